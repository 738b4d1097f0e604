//! `serve --stdio` as the programs meet it that start it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::Guard;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(["serve", "--stdio"]).args(arguments).stderr(Stdio::piped());
    command
}

/// A server with both ends of its pipes.
struct Server {
    guard: Guard,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let child = command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut guard = Guard(child);
        let output = BufReader::new(guard.0.stdout.take().unwrap());
        Server { input: guard.0.stdin.take(), output, guard }
    }

    fn tell(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a message: {line:?}"))
    }

    fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.tell(&request(id, method, params));
        self.next()
    }

    /// Ends the input; gives the lines that were left, and what was said to people.
    fn end(mut self) -> (Vec<Value>, String) {
        drop(self.input.take());
        let lines =
            (&mut self.output).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert_eq!(self.guard.exit_code(), Some(0));
        (lines, said(&mut self.guard))
    }
}

fn said(guard: &mut Guard) -> String {
    let mut text = String::new();
    guard.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn request(id: u32, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize(id: u32) -> Value {
    let client = json!({"name": "tester", "version": "1"});
    request(
        id,
        "initialize",
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}),
    )
}

/// The parameters of a request of 2026-07-28.
fn lone(mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    params
}

fn echo(id: u32, text: &str) -> Value {
    request(id, "tools/call", json!({"name": "echo", "arguments": {"text": text}}))
}

#[test]
fn it_serves_the_program_that_started_it() {
    let mut server = Server::start(&[]);
    server.tell(&initialize(1));
    let reply = server.next();
    assert_eq!(reply["result"]["protocolVersion"], "2025-11-25", "{reply}");
    server.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert!(server.ask(2, "tools/list", json!({}))["result"]["tools"].is_array());
    let reply = server.ask(3, "server/discover", lone(json!({})));
    assert_eq!(reply["result"]["supportedVersions"], json!(["2026-07-28"]));
    writeln!(server.input.as_mut().unwrap(), "no JSON").unwrap();
    assert_eq!(server.next()["error"]["code"], -32700);
    assert_eq!(server.end(), (vec![], String::new()), "standard output has messages alone");
}

#[test]
fn what_came_before_the_end_of_the_input_is_answered() {
    let mut server = Server::start(&[]);
    server.tell(&initialize(0));
    let listen = lone(json!({"notifications": {"toolsListChanged": true}}));
    server.tell(&request(1000, "subscriptions/listen", listen));
    (1..=500).for_each(|id| server.tell(&request(id, "ping", json!({}))));
    // The last one has no line feed.
    write!(server.input.as_mut().unwrap(), "{}", request(501, "tools/list", json!({}))).unwrap();
    let (lines, _) = server.end();
    let mut ids: Vec<u64> = lines.iter().filter_map(|line| line["id"].as_u64()).collect();
    ids.sort_unstable();
    let expected: Vec<u64> = (0..=501).chain([1000]).collect();
    assert_eq!(ids, expected, "also a listener hears of the end");
}

#[test]
fn files_are_input_and_output_as_well() {
    let directory = std::env::temp_dir().join(format!("mcp-rill-stdio-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (input, output) = (directory.join("in"), directory.join("out"));
    std::fs::write(&input, format!("{}\r\n\n{}", initialize(1), request(2, "ping", json!({})))).unwrap();
    let mut command = command(&["--limit", "shutdown_grace=5s"]);
    let child =
        command.stdin(File::open(&input).unwrap()).stdout(File::create(&output).unwrap()).spawn().unwrap();
    assert_eq!(Guard(child).exit_code(), Some(0));
    let text = std::fs::read_to_string(&output).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(
        text.lines().count() == 2 && text.ends_with("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n"),
        "{text}"
    );
}

#[test]
fn a_signal_ends_it_while_the_input_is_open() {
    let mut server = Server::start(&[]);
    server.tell(&initialize(1));
    server.next();
    server.guard.signal("TERM");
    assert_eq!(server.guard.exit_code(), Some(0));
    assert_eq!(server.output.lines().count(), 0);
}

#[test]
fn its_output_has_no_reader_any_more() {
    let mut server = Server::start(&[]);
    server.tell(&initialize(1));
    server.next();
    let Server { mut guard, input, output } = server;
    drop(output);
    let mut input = input.unwrap();
    // The first write shows it, and the input is closed then.
    while writeln!(input, "{}", request(2, "ping", json!({}))).is_ok()
        && guard.0.try_wait().unwrap().is_none()
    {}
    assert_eq!((guard.exit_code(), &*said(&mut guard)), (Some(0), ""));
}

#[test]
fn a_reader_that_stalls_holds_up_itself_alone() {
    let mut server = Server::start(&[]);
    let mut input = server.input.take().unwrap();
    let text = "x".repeat(10_000);
    let count = 2000;
    let writer = thread::spawn(move || {
        (1..=count).for_each(|id| writeln!(input, "{}", echo(id, &text)).unwrap());
        input
    });
    // Pipes and buffers are full long before all of it is sent.
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(!writer.is_finished(), "20 MB were taken from a client that reads nothing");
    for id in 1..=count {
        assert_eq!(server.next()["id"], id);
    }
    server.input = Some(writer.join().unwrap());
    assert_eq!(server.end().0, [] as [Value; 0]);
}

#[test]
fn a_reader_that_stalls_for_good_does_not_keep_it() {
    let mut server = Server::start(&["--limit", "write_timeout=200ms", "--limit", "shutdown_grace=200ms"]);
    let text = "x".repeat(10_000);
    let mut input = server.input.take().unwrap();
    let writer = thread::spawn(move || {
        let mut id = 0;
        // Until it is gone.
        while writeln!(input, "{}", echo(id, &text)).is_ok() {
            id += 1;
        }
    });
    assert_eq!(server.guard.exit_code(), Some(0));
    writer.join().unwrap();
}

#[test]
fn non_blocking_descriptors_do() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let output: OwnedFd = theirs.try_clone().unwrap().into();
    let child = command(&[]).stdin(OwnedFd::from(theirs)).stdout(output).spawn().unwrap();
    let mut guard = Guard(child);
    let writer = ours.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let text = "x".repeat(50_000);
        (1..=100).for_each(|id| writeln!(&writer, "{}", echo(id, &text)).unwrap());
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let ids = BufReader::new(&ours).lines().take(100);
    let ids = ids.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["id"].clone());
    assert!(ids.eq((1..=100).map(|id| json!(id))));
    sender.join().unwrap();
    assert_eq!(guard.exit_code(), Some(0));
}
