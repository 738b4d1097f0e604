//! `mcp-rill connect` as the programs meet it that start it, in front of servers of this crate and of scripted ones.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Real processes go with real time.
#![allow(clippy::disallowed_methods)]

mod bounds;
mod eras;
mod fake;
mod faults;
mod local;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mcp_rill::Server;
use mcp_rill::net::Handle;
use serde_json::{Value, json};

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// `mcp-rill connect`, with both ends of its pipes.
struct Connect {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Arc<Mutex<String>>,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.arg("connect").args(arguments).env_remove("MCP_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Connect {
    fn to(arguments: &[&str]) -> Connect {
        Connect::run(command(arguments))
    }

    fn run(mut command: Command) -> Connect {
        let mut connect = Connect::without_reader(&mut command);
        let output = connect.process.stdout.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        connect.lines = lines;
        connect
    }

    /// Nobody reads its standard output.
    fn without_reader(command: &mut Command) -> Connect {
        let mut process = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (heard, mut stderr) = (said.clone(), process.stderr.take().unwrap());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Connect { input: process.stdin.take(), process, lines: channel().1, said }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn tell(&mut self, message: &Value) {
        self.line(&message.to_string());
    }

    #[track_caller]
    fn next_line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("no line comes; it said: {}", self.said.lock().unwrap()))
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.next_line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a message: {line:?}"))
    }

    #[track_caller]
    fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let id = id.into();
        self.tell(&request(id.clone(), method, params));
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Opens a session of this revision.
    #[track_caller]
    fn initialize(&mut self, revision: &str) {
        let answer = self.ask(0, "initialize", hello(revision));
        assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
        self.tell(&initialized());
    }

    /// Waits until it has said this.
    #[track_caller]
    fn says(&self, text: &str) {
        wait_until(text, || self.said.lock().unwrap().contains(text));
    }

    /// Waits for the end, and returns the exit code.
    #[track_caller]
    fn code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end; it said: {}", self.said.lock().unwrap());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the input. Returns the messages that were left.
    #[track_caller]
    fn end(mut self) -> Vec<Value> {
        drop(self.input.take());
        assert_eq!(self.code(), Some(0), "{}", self.said.lock().unwrap());
        self.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

fn hello(revision: &str) -> Value {
    json!({"protocolVersion": revision, "capabilities": {"elicitation": {}, "roots": {}, "sampling": {}},
        "clientInfo": {"name": "tester", "version": "1"}})
}

fn initialized() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// The parameters of a request of 2026-07-28.
fn lone(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}, "roots": {}});
    params
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

/// The message of an error.
#[track_caller]
fn error(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it does not come to this: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server of this crate in a thread, until dropped.
struct Running {
    address: String,
    handle: Handle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(server: Server) -> Running {
        Running::start_at("127.0.0.1:0", server)
    }

    fn start_at(address: &str, server: Server) -> Running {
        let listening = server.listen(address).unwrap();
        let address = listening.local_addrs().next().unwrap().to_string();
        let handle = listening.handle();
        Running { address, handle, thread: Some(thread::spawn(move || listening.run())) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn sessions(&self) -> usize {
        self.handle.stats().sessions
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}
