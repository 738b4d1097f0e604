//! A bridge in front of real processes, met by real clients.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Real processes go with real time.
#![allow(clippy::disallowed_methods)]

mod child;
mod clients;
mod eager;
mod eras;
mod faults;
mod life;
mod manifest;
mod messages;
mod shared;
mod stateless;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::client::{Builder, Client, Error, Transport};
use serde_json::Value;

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bridge, and what it has written to standard error.
struct Bridge {
    process: Child,
    address: String,
    said: Arc<Mutex<String>>,
}

/// A bridge with these options in front of a child in that mode.
fn bridge(options: &[&str], mode: &str) -> Bridge {
    started(program(options, mode))
}

fn bridge_of(options: &[&str], mode: &str, command: &[&str]) -> Bridge {
    started(program_of(options, mode, command))
}

fn program(options: &[&str], mode: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    // Descriptor 3 is the child's standard output, without what a test harness writes.
    let script = "exec 3>&1 >/dev/null; exec \"$0\" --exact child::child";
    program_of(options, mode, &["sh", "-c", script, own.to_str().unwrap()])
}

fn program_of(options: &[&str], mode: &str, command: &[&str]) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    process
        .args(["bridge", "--listen", "127.0.0.1:0", "--name", "kid"])
        .args(options)
        .arg("--")
        .args(command);
    process.env("RILL_CHILD", mode);
    process
}

/// Waits until the program listens.
fn started(mut process: Command) -> Bridge {
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = process.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let listed = lines.find_map(|line| line.unwrap().trim().strip_prefix("http://").map(str::to_owned));
    let address = listed.expect("it does not listen").split('/').next().unwrap().to_owned();
    let said = Arc::new(Mutex::new(String::new()));
    let (heard, mut stderr) = (said.clone(), process.stderr.take().unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut bytes) {
            heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    thread::spawn(move || lines.for_each(drop));
    Bridge { process, address, said }
}

impl Bridge {
    fn builder(&self, transport: Transport) -> Builder {
        Client::builder().transport(transport).request_timeout(PATIENCE)
    }

    fn url(&self, transport: Transport) -> String {
        let path = if transport == Transport::Sse { "sse" } else { "mcp" };
        format!("http://{}/{path}", self.address)
    }

    fn connect(&self, transport: Transport) -> Client {
        self.builder(transport).connect(&self.url(transport)).unwrap()
    }

    fn client(&self) -> Client {
        self.connect(Transport::Streamable)
    }

    /// A client of a server with this name.
    fn client_of(&self, name: &str, transport: Transport) -> Result<Client, Error> {
        let path = if transport == Transport::Sse { "sse" } else { "mcp" };
        self.builder(transport).connect(&format!("http://{}/{name}/{path}", self.address))
    }

    /// Waits until it has said this.
    fn says(&self, text: &str) {
        wait_until(text, || self.said.lock().unwrap().contains(text));
    }

    /// The most memory that it has had, in KiB.
    fn resident_most_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// The memory that it has, in KiB.
    fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        signal(name, self.process.id());
    }

    /// Ends it as a service manager does, and returns how long that took.
    fn end(&mut self) -> Duration {
        let start = Instant::now();
        self.signal("TERM");
        assert!(self.process.wait().unwrap().success(), "{}", self.said.lock().unwrap());
        start.elapsed()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it does not come to this: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(process: &str) -> bool {
    // A zombie is as good as gone.
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// The text of a tool's result.
#[track_caller]
fn call(client: &mut Client, tool: &str, arguments: &str) -> String {
    text(&client.call_tool(tool, arguments).unwrap())
}

fn text(result: &serde_json::value::RawValue) -> String {
    let result: Value = serde_json::from_str(result.get()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The error of a request that fails.
#[track_caller]
fn refused(client: &mut Client, tool: &str, arguments: &str) -> String {
    match client.call_tool(tool, arguments).unwrap_err() {
        Error::Rpc(error) => error.to_string(),
        other => other.to_string(),
    }
}
