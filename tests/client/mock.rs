//! Servers made of a script that speak Streamable HTTP.

use std::net::TcpListener;

use mcp_rill::client::{Builder, Client};
use serde_json::Value;

use crate::{Peer, Scripted, scripted};

pub const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A response with this status and no body.
pub fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
}

/// A JSON response.
pub fn json(status: u16, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// A response of JSON-RPC to the request with this body.
pub fn result(body: &str, result: &str) -> String {
    json(200, "", &response(body, result))
}

pub fn response(body: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, parse(body)["id"])
}

pub fn error(status: u16, body: &str, error: &str) -> String {
    json(status, "", &format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, parse(body)["id"]))
}

/// A chunk with one event in it.
pub fn event(fields: &str, data: &str) -> String {
    let event = format!("{fields}data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

pub const END: &str = "0\r\n\r\n";

pub fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

pub fn method(body: &str) -> String {
    parse(body)["method"].as_str().unwrap_or_default().to_owned()
}

/// The value of a header field.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Takes one request on a connection of its own, and answers it.
pub fn answer(listener: &TcpListener, with: impl FnOnce(&str, &str) -> String) -> (String, String) {
    let mut peer = Peer::accept(listener);
    let (head, body) = peer.request();
    // The next request is to come on a new connection.
    peer.send(with(&head, &body).replacen("\r\n", "\r\nConnection: close\r\n", 1));
    (head, body)
}

pub const WELCOME: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"mock","version":"1"}}"#;

pub const DISCOVERED: &str = r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#;

/// Opens a session up to the client's GET, which gets 405.
pub fn open_session(listener: &TcpListener) {
    open_session_until_stream(listener);
    let (head, _) = answer(listener, |_, _| status(405));
    assert!(head.starts_with("GET /mcp HTTP/1.1\r\n"), "{head}");
}

pub fn open_session_until_stream(listener: &TcpListener) {
    let (head, body) =
        answer(listener, |_, body| json(200, "Mcp-Session-Id: s1\r\n", &response(body, WELCOME)));
    assert_eq!((method(&body).as_str(), field(&head, "mcp-session-id")), ("initialize", None));
    assert_eq!(field(&head, "accept"), Some("application/json, text/event-stream"));
    assert_eq!(field(&head, "mcp-protocol-version"), None);
    let (head, body) = answer(listener, |_, _| status(202));
    assert_eq!(method(&body), "notifications/initialized");
    assert_eq!(field(&head, "mcp-session-id"), Some("s1"));
    assert_eq!(field(&head, "mcp-protocol-version"), Some("2025-11-25"));
}

/// As [`open_session`], on a server that gives no id: there will be nothing to end.
pub fn open_without_id(listener: &TcpListener) {
    answer(listener, |_, body| result(body, WELCOME));
    answer(listener, |_, _| status(202));
    answer(listener, |_, _| status(405));
}

/// A server at `/mcp`.
pub fn mock(script: impl FnOnce(TcpListener) + Send + 'static) -> Scripted {
    let mut server = scripted(script);
    server.url = server.url.replace("/sse", "/mcp");
    server
}

/// Connects to a script, uses the client, and waits for the script's end.
pub fn with(builder: Builder, script: impl FnOnce(TcpListener) + Send + 'static, usage: impl FnOnce(Client)) {
    let server = mock(script);
    usage(builder.connect(&server.url).unwrap());
    server.thread.join().unwrap();
}
