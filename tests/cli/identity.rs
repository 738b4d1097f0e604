//! `--identity-header`: a proxy on this machine says who asks.

use super::shell::run;
use super::{ANY, Running};

const INIT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;

/// The status of a request with these fields.
fn status(running: &Running, fields: &str) -> String {
    let length = INIT.len();
    running.status(&format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{fields}Content-Length: {length}\r\n\r\n{INIT}"
    ))
}

#[test]
fn the_field_names_the_principal() {
    let running = Running::start(&[&ANY[..], &["--identity-header", "X-Forwarded-User"]].concat());
    for (fields, expected) in [
        ("X-Forwarded-User: ada\r\n", "200"),
        ("x-forwarded-user:  ada \r\n", "200"),
        ("", "401"),
        ("X-Forwarded-User:\r\n", "401"),
        ("X-Forwarded-User: ada\r\nX-Forwarded-User: bob\r\n", "400"),
        ("X-Forwarded-User: a\u{202e}b\r\n", "400"),
        (&format!("X-Forwarded-User: {}\r\n", "a".repeat(256)), "200"),
        (&format!("X-Forwarded-User: {}\r\n", "a".repeat(257)), "400"),
        ("X-Other: ada\r\n", "401"),
    ] {
        assert_eq!(status(&running, fields), expected, "{fields}");
    }
}

#[test]
fn sessions_belong_to_the_principal() {
    let running = Running::start(&[&ANY[..], &["--identity-header", "X-User"]].concat());
    let mut socket = super::connect(running.addr());
    std::io::Write::write_all(&mut socket, b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User: ada\r\n\r\n")
        .unwrap();
    super::read_through(&mut socket, "event: endpoint\ndata: ");
    let endpoint = super::read_through(&mut socket, "\n\n").trim_end().to_owned();
    let as_user = |user: &str| {
        running.status(&super::post(&endpoint, super::PING).replacen(
            "\r\n",
            &format!("\r\nX-User: {user}\r\n"),
            1,
        ))
    };
    assert_eq!(as_user("ada"), "202");
    assert_eq!(as_user("bob"), "400", "it looks like a session that does not exist");
}

#[test]
fn it_is_taken_from_this_machine_alone() {
    for (arguments, part) in [
        (&["--listen", "0.0.0.0:0", "--identity-header", "X-User"][..], "others can reach 0.0.0.0:"),
        (&["--identity-header", "X User"], "write the name of a header field"),
        (&["--identity-header", "X-User", "--token-file", "tokens"], "both say who asks; leave out one"),
        (&["--identity-header", "X-User", "--stdio"], "contradict each other"),
    ] {
        let (code, _, err) = run(arguments);
        assert!(code == 2 && err.contains(part), "{err}");
    }
}
