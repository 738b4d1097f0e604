//! `--log`: a line for each call, as text and as JSON, and what is not in it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::shell::{Folder, run};
use super::{ANY, PING, Running, connect, post, read_through};

/// A server and the lines of its standard error.
struct Logged {
    running: Running,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Logged {
    fn start(arguments: &[&str]) -> Logged {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args(arguments);
        let mut running = Running::with_stderr(command, Stdio::piped());
        let lines = BufReader::new(running.guard.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        Logged { running, lines: Box::new(lines) }
    }

    /// The next line that has this.
    fn next(&mut self, part: &str) -> String {
        self.lines.find(|line| line.contains(part)).unwrap()
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A call of 2026-07-28 that belongs to a trace.
fn call(name: &str, arguments: &Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "traceparent": format!("00-{TRACE}-b7ad6b7169203331-01"),
        "tracestate": "vendor=1",
    });
    let params = json!({"name": name, "arguments": arguments, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let fields =
        format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n");
    post("/mcp", &body).replacen("\r\n", &format!("\r\n{fields}"), 1)
}

fn send(running: &Running, request: &str) {
    let mut socket = connect(running.addr());
    socket.write_all(request.as_bytes()).unwrap();
    read_through(&mut socket, "\"jsonrpc\"");
}

#[test]
fn each_call_is_a_line() {
    let mut logged = Logged::start(&[&ANY[..], &["--log"]].concat());
    send(&logged.running, &call("echo", &json!({"text": "a secret"})));
    let line = logged.next(" call ");
    assert!(line.starts_with("mcp-rill: call time=20"), "{line}");
    for part in [
        " peer=127.0.0.1:",
        " transport=streamable revision=2026-07-28 method=tools/call name=\"echo\" outcome=result seconds=0.",
        &format!(" trace={TRACE}"),
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let count = |name: &str| -> u64 {
        let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(count("bytes_in") > 100 && count("bytes_out") > 10, "{line}");
    assert!(!line.contains("secret") && !line.contains("arguments"), "{line}");
    // Of a session only the beginning of its id is shown.
    let mut stream = logged.running.open();
    logged.running.post(&stream.endpoint, PING);
    stream.next();
    let id = stream.endpoint.split_once("sessionId=").unwrap().1;
    let message =
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#;
    logged.running.post(&stream.endpoint, message);
    let line = logged.next(" call ");
    assert!(line.contains(&format!(" session={} ", &id[..8])) && !line.contains(id), "{line}");
    assert!(line.contains("transport=sse"), "{line}");
}

#[test]
fn as_json_each_line_is_an_object_with_the_arguments_if_they_are_wanted() {
    let folder = Folder::new();
    let manifest = json!({"manifest": 1, "tools": [{
        "name": "login", "description": "x", "argv": ["/bin/echo", "--", "{user}"],
        "inputSchema": {"type": "object", "required": ["user"], "properties": {
            "user": {"type": "string"},
            "password": {"type": "string", "writeOnly": true},
            "pin": {"type": "string", "format": "password"},
        }},
    }]});
    let file = folder.write("m.json", &manifest.to_string());
    let mut logged =
        Logged::start(&[&["serve", &*file], &ANY[..], &["--log", "json", "--log-arguments"]].concat());
    let arguments = json!({"user": "ada\n\u{202e}", "password": "never shown", "pin": "1234"});
    send(&logged.running, &call("login", &arguments));
    let line = logged.next(r#""event":"call""#);
    assert!(line.is_ascii() && !line.contains("never") && !line.contains("1234"), "{line}");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["arguments"], json!({"user": "ada\n\u{202e}", "password": "***", "pin": "***"}));
    for (name, value) in [
        ("level", json!("info")),
        ("method", json!("tools/call")),
        ("name", json!("login")),
        ("outcome", json!("result")),
        ("trace", json!(TRACE)),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["bytes_out"].as_u64().unwrap() > 0, "{line}");
    // Other lines are objects too.
    assert_eq!(logged.running.status("GET /sse HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "403");
    let refused: Value = serde_json::from_str(&logged.next("evil.example")).unwrap();
    assert_eq!((&refused["level"], &refused["event"]), (&json!("warning"), &json!("refused")));
}

#[cfg(feature = "bridge")]
#[test]
fn a_bridged_call_is_a_line_too_and_its_values_are_not_shown() {
    let child = ["--log", "--log-arguments", "--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", "--stdio"];
    let mut logged = Logged::start(&[&["bridge"], &ANY[..], &child].concat());
    assert_eq!(super::shell::done(&["call", &logged.running.urls[0], "echo", "text=hello"]), "hello\n");
    let line = logged.next(" call ");
    let end = r#" arguments={"text":"***"}"#;
    assert!(line.contains(r#"name="echo" outcome=result"#) && line.ends_with(end), "{line}");
}

#[test]
fn options_of_the_log_say_what_they_take() {
    for (arguments, part) in [
        (&["--log-level", "loud", "--log"][..], "--log-level loud: write one of error, warning, info"),
        (&["--log=loud"], "--log=loud: write one of text, json, off"),
        (&["--log-arguments"], "--log-arguments is about the log; add --log"),
        (&["--log", "off", "--log-level", "error"], "--log-level is about the log; add --log"),
    ] {
        let (code, _, err) = run(&[&ANY[..], arguments].concat());
        assert!(code == 2 && err.contains(part), "{err}");
    }
    // A word behind --log that names no form is a manifest.
    let (code, _, err) = run(&["serve", "--log", "missing.json"]);
    assert!(code == 1 && err.contains("missing.json"), "{err}");
}

/// What a command prints of its environment.
fn printing(variable: &str) -> Value {
    json!({"name": variable, "description": "x", "argv": ["/usr/bin/printenv", variable], "exitCodes": [0, 1]})
}

/// The text that a call of that tool returns.
fn answer(running: &Running, name: &str) -> String {
    let mut socket = connect(running.addr());
    socket.write_all(call(name, &json!({})).as_bytes()).unwrap();
    read_through(&mut socket, "\"text\":\"");
    read_through(&mut socket, "\"").trim_end_matches('"').to_owned()
}

#[test]
fn a_command_is_part_of_the_trace_of_its_call() {
    let folder = Folder::new();
    let mut own = printing("TRACEPARENT");
    (own["name"], own["env"]) = (json!("own"), json!({"TRACEPARENT": "mine"}));
    let tools = [printing("TRACEPARENT"), printing("TRACESTATE"), own];
    let file = folder.write("m.json", &json!({"manifest": 1, "tools": tools}).to_string());
    let traced = format!("00-{TRACE}-b7ad6b7169203331-01\\n");
    let running = Running::start(&[&["serve", &*file], &ANY[..]].concat());
    assert_eq!(answer(&running, "TRACEPARENT"), traced);
    assert_eq!(answer(&running, "TRACESTATE"), "vendor=1\\n");
    assert_eq!(answer(&running, "own"), "mine\\n");
    if cfg!(feature = "bridge") {
        // Through a bridge and a server of standard input and output.
        let child = ["--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", &*file, "--stdio"];
        let bridged = Running::start(&[&["bridge"], &ANY[..], &child].concat());
        assert_eq!(answer(&bridged, "TRACEPARENT"), traced);
    }
}
