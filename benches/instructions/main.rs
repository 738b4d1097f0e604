//! How many instructions a message costs the server, counted by valgrind's callgrind: the same on a busy machine as on an
//! idle one.
//!
//! ```text
//! cargo bench --bench instructions                     all cases, compared with counts.txt
//! cargo bench --bench instructions -- Streamable       cases whose names contain all these words
//! cargo bench --bench instructions -- --record         writes counts.txt
//! ```
//!
//! Each case runs the release binary twice, with 300 and with 1,300 messages over one connection. The difference leaves out
//! what it costs to start, to open a session and to end. A count that is more than 3 % over the recorded one is a failure.
//! Of a bridge only its own process is counted. Its two turns for a call, one for the client and one for the server behind it, follow
//! one after the other, so that its counts differ by less than 1 %.
//!
//! Another compiler or another C library makes other counts: then record them in a commit of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for people at a terminal"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.txt");

/// Messages of the two runs.
const MESSAGES: [u64; 2] = [300, 1300];

const TOLERANCE_PERCENT: u64 = 3;

/// How long one answer may take; under valgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    HttpSse,
    Streamable,
    Stateless,
}

struct Case {
    name: &'static str,
    transport: Transport,
    /// The members of a request behind its id.
    request: &'static str,
    /// True if the server is a bridge to one that is not counted.
    bridged: bool,
}

const PING: &str = r#""method":"ping""#;
const CALL: &str = r#""method":"tools/call","params":{"name":"echo","arguments":{"text":"hello world"}}"#;
const STATELESS_CALL: &str = r#""method":"tools/call","params":{"name":"echo","arguments":{"text":"hello world"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;

const CASES: [Case; 6] = [
    Case { name: "HTTP+SSE ping", transport: Transport::HttpSse, request: PING, bridged: false },
    Case { name: "HTTP+SSE call", transport: Transport::HttpSse, request: CALL, bridged: false },
    Case { name: "Streamable HTTP ping", transport: Transport::Streamable, request: PING, bridged: false },
    Case { name: "Streamable HTTP call", transport: Transport::Streamable, request: CALL, bridged: false },
    Case { name: "stateless call", transport: Transport::Stateless, request: STATELESS_CALL, bridged: false },
    Case { name: "bridged call", transport: Transport::Streamable, request: CALL, bridged: true },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if !has("--bench") {
        println!("run by `cargo bench`");
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no valgrind on this machine; Debian has it in the package `valgrind`");
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let mut recorded = read_counts();
    let mut failed = false;
    for case in CASES.iter().filter(|case| words.iter().all(|word| case.name.contains(word.as_str()))) {
        let count = per_message(case);
        let known = recorded.iter_mut().find(|(name, _)| name == case.name);
        if has("--record") {
            println!("{:<22} {count:>7}", case.name);
            match known {
                Some((_, known)) => *known = count,
                None => recorded.push((case.name.to_owned(), count)),
            }
            continue;
        }
        let known = known.map_or(0, |(_, known)| *known);
        let (worse, better) = (known * (100 + TOLERANCE_PERCENT), known * (100 - TOLERANCE_PERCENT));
        let verdict = match count * 100 {
            hundredfold if hundredfold > worse => {
                failed = true;
                "FAILED: more than 3 % over the recorded count"
            }
            hundredfold if hundredfold < better => "better by more than 3 %: record it with --record",
            _ => "",
        };
        println!("{:<22} {count:>7}, recorded {known:>7} {verdict}", case.name);
    }
    if has("--record") {
        write_counts(&recorded);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The lines of the file: a name, and the count at the end of the line.
fn read_counts() -> Vec<(String, u64)> {
    let text = fs::read_to_string(COUNTS).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            line.rsplit_once(' ').map(|(name, count)| (name.to_owned(), count.parse().unwrap())).unwrap()
        })
        .collect()
}

fn write_counts(counts: &[(String, u64)]) {
    let mut text = String::from(
        "# Instructions of the server per message: cargo bench --bench instructions -- --record\n",
    );
    for (name, count) in counts {
        writeln!(text, "{name} {count}").unwrap();
    }
    fs::write(COUNTS, text).unwrap();
}

fn per_message(case: &Case) -> u64 {
    let [few, many] = MESSAGES.map(|messages| instructions(case, messages));
    (many - few) / (MESSAGES[1] - MESSAGES[0])
}

/// Instructions of one run of the server, from its start to its end.
fn instructions(case: &Case, messages: u64) -> u64 {
    let mut server = Server::start(case.bridged);
    let mut client = Client::open(&server, case.transport);
    for id in 1..=messages {
        client.request(id, case.request);
    }
    server.end()
}

/// The release binary under callgrind; killed if it is dropped before its end.
struct Server {
    child: Child,
    port: u16,
    counted: PathBuf,
}

impl Server {
    /// Takes the first free port from one that depends on the process, below those that the system gives out.
    fn start(bridged: bool) -> Server {
        let id = std::process::id();
        let counted = std::env::temp_dir().join(format!("mcp-rill-instructions-{id}"));
        let first = 20_000 + (id % 10_000) as u16;
        let started = (first..first + 20).find_map(|port| Server::start_at(port, counted.clone(), bridged));
        started.expect("a free port")
    }

    /// `None` if the server ends before it says that it serves, as it does if the port is taken.
    fn start_at(port: u16, counted: PathBuf, bridged: bool) -> Option<Server> {
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--tool=callgrind"]);
        command.arg(format!("--callgrind-out-file={}", counted.display()));
        let program = env!("CARGO_BIN_EXE_mcp-rill");
        command.args([program, if bridged { "bridge" } else { "serve" }, "--listen"]);
        command.arg(format!("127.0.0.1:{port}"));
        if bridged {
            command.args(["--", program, "serve", "--stdio"]).env("MCP_RILL_OWN_PROGRAM", program);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut server = Server { child, port, counted };
        let mut output = BufReader::new(server.child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            if output.read_line(&mut said).unwrap() == 0 {
                return None;
            }
        }
        Some(server)
    }

    /// Asks the server to end and returns what callgrind has counted.
    fn end(&mut self) -> u64 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
        let text = fs::read_to_string(&self.counted).unwrap();
        let total =
            text.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
        total.expect("callgrind's total").trim().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.counted);
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn new(port: u16) -> Connection {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(socket))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the server closed the connection");
        line.truncate(line.trim_end().len());
        line
    }

    /// The `data` of the next event; what frames it, chunks included, is on lines of their own.
    fn event(&mut self) -> String {
        loop {
            if let Some(data) = self.line().strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    /// Reads a response and returns its session's id, if it has one.
    fn response(&mut self, expected: &str) -> Option<String> {
        let status = self.line();
        assert!(status.contains(expected), "`{status}` instead of {expected}");
        let (mut length, mut session) = (0, None);
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "mcp-session-id" => session = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        session
    }
}

/// A client with one request in flight.
struct Client {
    port: u16,
    posts: Connection,
    /// The stream of HTTP+SSE.
    stream: Option<Connection>,
    target: String,
    /// Fields that each request has besides those of all.
    fields: String,
}

impl Client {
    fn open(server: &Server, transport: Transport) -> Client {
        let port = server.port;
        let posts = Connection::new(port);
        let mut client =
            Client { port, posts, stream: None, target: "/mcp".to_owned(), fields: String::new() };
        let accept = "Accept: application/json, text/event-stream\r\n";
        match transport {
            Transport::HttpSse => {
                let mut stream = Connection::new(port);
                stream.send("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
                client.target = stream.event();
                client.stream = Some(stream);
                client.initialize("2025-06-18", "202");
            }
            Transport::Streamable => {
                client.fields = accept.to_owned();
                let session = client.initialize("2025-11-25", "200").expect("a session's id");
                client.fields =
                    format!("{accept}Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
            }
            Transport::Stateless => {
                client.fields = format!(
                    "{accept}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
                );
                return client;
            }
        }
        client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client.posts.response("202");
        client
    }

    fn initialize(&mut self, revision: &str, status: &str) -> Option<String> {
        self.post(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"c","version":"0"}}}}}}"#
        ));
        let session = self.posts.response(status);
        self.stream.as_mut().map(Connection::event);
        session
    }

    fn request(&mut self, id: u64, members: &str) {
        self.post(&format!(r#"{{"jsonrpc":"2.0","id":{id},{members}}}"#));
        match &mut self.stream {
            Some(stream) => {
                self.posts.response("202");
                stream.event();
            }
            None => {
                self.posts.response("200");
            }
        }
    }

    fn post(&mut self, body: &str) {
        let Client { port, target, fields, .. } = self;
        let length = body.len();
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
        self.posts.send(&text);
    }
}
