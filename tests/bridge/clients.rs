//! Clients that vanish, come back, give up, and use one id for everything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use mcp_rill::client::{Error, Transport};
use serde_json::{Value, json};

use super::life::descendants;
use super::{Bridge, bridge, call, is_alive, wait_until};

/// Posts a message on a connection of its own.
fn post(bridge: &Bridge, session: Option<&str>, message: &Value) -> TcpStream {
    let body = message.to_string();
    let session = session.map(|session| format!("Mcp-Session-Id: {session}\r\n")).unwrap_or_default();
    let mut socket = TcpStream::connect(&bridge.address).unwrap();
    write!(
        socket,
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{session}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    socket
}

/// The head and the message of the answer.
fn answer(mut socket: TcpStream) -> (String, Value) {
    let mut all = String::new();
    socket.read_to_string(&mut all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    let line = body.lines().find_map(|line| line.find('{').map(|at| &line[at..]));
    (head.to_owned(), line.map_or(Value::Null, |line| serde_json::from_str(line).unwrap()))
}

/// Opens a session, and returns its id.
fn initialize(bridge: &Bridge) -> String {
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let (head, _) = answer(post(bridge, None, &message));
    let id = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("mcp-session-id").then(|| value.to_owned())
    });
    id.unwrap_or_else(|| panic!("no session: {head}"))
}

fn calling(tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

/// `kill -9` of a client in the middle of a call over HTTP+SSE, whose session ends with its stream. Over Streamable HTTP a lost connection
/// is no end: there the session ends when it has been idle.
#[test]
fn a_client_that_vanishes_takes_its_process_with_it() {
    let bridge = bridge(&["--limit", "session_idle_timeout=1s"], "serve");
    let mut client = Command::new(env!("CARGO_BIN_EXE_mcp-rill"))
        .args(["call", &format!("http://{}/sse", bridge.address), "hush", "--era", "sse"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    bridge.says("kid: is silent");
    client.kill().unwrap();
    client.wait().unwrap();
    wait_until("its process is gone", || descendants(bridge.process.id()).is_empty());

    let session = initialize(&bridge);
    let pid = answer(post(&bridge, Some(&session), &calling("pid", json!({})))).1;
    wait_until("its process is gone", || !is_alive(text(&pid)));
}

/// A lost connection is not the end of its session.
#[test]
fn a_client_that_comes_back_finds_its_process() {
    let bridge = bridge(&[], "serve");
    let session = initialize(&bridge);
    let pid = || text(&answer(post(&bridge, Some(&session), &calling("pid", json!({})))).1).to_owned();
    let first = pid();
    drop(post(&bridge, Some(&session), &calling("silent", json!({}))));
    wait_until("it has come to the process", || {
        let kept = answer(post(&bridge, Some(&session), &calling("kept", json!({"of": "silent"})))).1;
        text(&kept) == "yes"
    });
    assert_eq!(pid(), first);
    assert!(is_alive(&first));
}

/// Each of several open requests with the same id has the answer to itself.
#[test]
fn a_client_that_uses_one_id_for_everything_gets_each_answer_where_it_asked() {
    let bridge = bridge(&[], "serve");
    let session = initialize(&bridge);
    let gate = std::env::temp_dir().join(format!("rill-one-id-{}", std::process::id()));
    // The process reads nothing more until the file is there, so that all are open at once.
    let paused = post(&bridge, Some(&session), &calling("pause", json!({"until": gate})));
    let words: Vec<String> = (0..20).map(|at| format!("word-{at}")).collect();
    let open: Vec<TcpStream> = words
        .iter()
        .map(|word| post(&bridge, Some(&session), &calling("echo", json!({"own": word}))))
        .collect();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(text(&answer(paused).1), "went on");
    for (socket, word) in open.into_iter().zip(&words) {
        let (_, answer) = answer(socket);
        assert_eq!(answer["id"], 1);
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["own"], *word, "{answer}");
    }
    std::fs::remove_file(gate).unwrap();
}

#[test]
fn a_client_that_does_not_wait_longer_goes_on() {
    let bridge = bridge(&[], "serve");
    for transport in [Transport::Sse, Transport::Streamable] {
        let builder = bridge.builder(transport).request_timeout(Duration::from_secs(1));
        let mut client = builder.connect(&bridge.url(transport)).unwrap();
        let error = client.call_tool("silent", "{}").unwrap_err();
        assert!(matches!(error, Error::Timeout), "{error}");
        // The machine may be slower than this client is patient.
        let mut kept = None;
        wait_until("it goes on", || {
            kept = client.call_tool("kept", r#"{"of":"silent"}"#).ok();
            kept.is_some()
        });
        assert_eq!(super::text(&kept.unwrap()), "yes", "by the same process");
    }
    call(&mut bridge.client(), "pid", "{}");
}
