//! Servers that break the rules of Streamable HTTP: every answer of theirs ends in an error, soon, and never in a wait
//! or a pile of memory.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use mcp_rill::client::{Client, Error, Received, Transport};

use crate::mock::{
    END, STREAM, WELCOME, answer, event, json, mock, open_session, open_without_id, response, result, status,
    with,
};
use crate::{LONG, Peer, assert_protocol};

/// What comes of a request that is answered in this way, with a limit of 64 KiB for answers.
fn ask(with_answer: impl FnOnce(&str) -> String + Send + 'static) -> Result<String, Error> {
    let server = mock(|listener| {
        open_without_id(&listener);
        let mut peer = Peer::accept(&listener);
        let (_, body) = peer.request();
        peer.send(with_answer(&body));
        assert_eq!(peer.request_or_end(), None);
    });
    let started = Instant::now();
    let builder = Client::builder().transport(Transport::Streamable).event_bytes_max(64 << 10);
    let mut client = builder.request_timeout(Duration::from_secs(2)).connect(&server.url).unwrap();
    let outcome = client.request("x", None).map(|result| result.get().to_owned());
    assert!(started.elapsed() < LONG);
    drop(client);
    server.thread.join().unwrap();
    outcome
}

fn fixed(response: impl Into<String>) -> Result<String, Error> {
    let response = response.into();
    ask(move |_| response)
}

#[test]
fn heads() {
    assert_protocol(fixed(format!("HTTP/1.1 200 {}", "x".repeat(100 << 10))), &["head is longer than"]);
    assert_protocol(fixed("220 mail.example ESMTP\r\n"), &["does not speak HTTP", "`220 mail.example ESMTP"]);
    assert_protocol(raw(vec![21, 3, 3, 0, 2, 2, 70]), &["speaks TLS"]);
    assert_protocol(fixed(["HTTP/1.1 200 OK\r\n", &"X: y\r\n".repeat(20_000)].concat()), &["malformed"]);
    assert_protocol(fixed("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), &["interim"]);
    assert_protocol(fixed("HTTP/1.1 200 OK\r\nMcp-Session-Id: a\x01b\r\n\r\n"), &["malformed"]);
    for begun in ["HTTP/1.1 2", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let cut = cut_off(begun).unwrap_err();
        assert!(
            cut.to_string().contains("closed the connection in the middle of its answer"),
            "{begun}: {cut}"
        );
    }
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    assert_protocol(fixed(twice), &["malformed", "twice"]);
}

#[test]
fn statuses() {
    assert_protocol(fixed(status(202)), &["answered a request with 202 instead of 200"]);
    assert_protocol(fixed("HTTP/1.1 204 No\r\n\r\n"), &["answered a request with 204"]);
    let moved = "HTTP/1.1 307 Go\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n";
    match fixed(moved) {
        Err(Error::Http { status: 307, body }) => {
            assert_eq!(body, "moved to http://evil.example/");
        }
        other => panic!("{other:?}"),
    }
    let endless =
        ["HTTP/1.1 500 No\r\nContent-Length: 999999999999\r\n\r\n", &"x".repeat(300 << 10)].concat();
    assert!(matches!(fixed(endless), Err(Error::Http { status: 500, body }) if body.len() == 64 << 10));
}

#[test]
fn bodies() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n<>";
    assert_protocol(fixed(html), &["`text/html`", "MCP endpoint"]);
    assert_protocol(fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), &["answered a request with ``"]);
    let announced = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n";
    assert_protocol(fixed(announced), &["longer than 65536 bytes", "raise event_bytes_max"]);
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let padded = [chunked, "ffffffffffffffff\r\n", &" ".repeat(100 << 10)].concat();
    assert_protocol(fixed(padded), &["longer than 65536 bytes"]);
    assert_protocol(fixed([chunked, "10000000000000000\r\n"].concat()), &["malformed"]);
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{";
    assert_protocol(cut_off(cut), &["ends in the middle"]);
    let binary = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n".to_vec();
    let mut binary = binary;
    binary.push(0xff);
    assert_protocol(raw(binary), &["not UTF-8"]);
    // At the limit, and one past it.
    let of_length = |length: usize| {
        move |body: &str| {
            let padding = length - response(body, r#""""#).len();
            result(body, &format!(r#""{}""#, "x".repeat(padding)))
        }
    };
    assert!(ask(of_length(64 << 10)).is_ok());
    assert_protocol(ask(of_length((64 << 10) + 1)), &["longer than 65536 bytes"]);
}

/// As [`fixed`], for bytes of any kind, and the server hangs up.
fn raw(response: Vec<u8>) -> Result<String, Error> {
    let server = mock(move |listener| {
        open_without_id(&listener);
        let mut peer = Peer::accept(&listener);
        peer.request();
        peer.send(response);
    });
    let builder = Client::builder().transport(Transport::Streamable);
    let mut client = builder.connect(&server.url).unwrap();
    let outcome = client.request("x", None).map(|result| result.get().to_owned());
    drop(client);
    server.thread.join().unwrap();
    outcome
}

fn cut_off(response: &str) -> Result<String, Error> {
    raw(response.as_bytes().to_vec())
}

#[test]
fn answers_to_something_else() {
    let other = |json_text: &'static str| ask(move |_| json(200, "", json_text));
    assert_protocol(other(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#), &["not its response"]);
    assert_protocol(other(r#"{"jsonrpc":"2.0","id":"02","result":{}}"#), &["not its response"]);
    // Servers that keep ids as text, or have no integers.
    for id in [r#""2""#, "2.0"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"right":true}},"error":null}}"#);
        assert_eq!(ask(move |_| json(200, "", &text)).unwrap(), r#"{"right":true}"#, "{id}");
    }
    assert_protocol(other(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#), &["not its response"]);
    assert_protocol(other(r#"[{"jsonrpc":"2.0","id":2,"result":{}}]"#), &["an invalid message"]);
    assert_protocol(other(r#"{"jsonrpc":"2.0","id":2,"result":{},"error":{}}"#), &["an invalid message"]);
    assert_protocol(other("{broken"), &["an invalid message"]);
    assert_protocol(other(""), &["an invalid message"]);
    assert_protocol(other(r#"{"jsonrpc":"2.0","id":2,"error":7}"#), &["an invalid error object"]);
    assert!(matches!(
        other(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#),
        Err(Error::Rpc(error)) if error.code == -32600
    ));
}

#[test]
fn streams() {
    let stream = |events: String| fixed([STREAM, &events].concat());
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    assert_protocol(stream(chunk(&"x".repeat(100 << 10))), &["longer than 65536 bytes"]);
    assert_protocol(stream("zz\r\n".to_owned()), &["malformed"]);
    assert_protocol(stream(event("", "{broken")), &["an invalid message"]);
    // The answer to another request is none; then the stream ends.
    let strange = event("", r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    assert!(matches!(stream([&strange, END].concat()), Err(Error::Closed)));
    // Two answers: the first one counts.
    let twice = |body: &str| {
        let (one, two) = (response(body, r#"{"n":1}"#), response(body, r#"{"n":2}"#));
        [STREAM, &event("", &one), &event("", &two), END].concat()
    };
    assert_eq!(ask(twice).unwrap(), r#"{"n":1}"#);
    // A place to resume that would be a header field of its own, or fill a head.
    for id in ["\x01\x02".to_owned(), "x".repeat(2000)] {
        let events = [event(&format!("id: {id}\n"), ""), END.to_owned()].concat();
        assert!(matches!(stream(events), Err(Error::Closed)));
    }
    // Comments for ever: the time is what bounds them.
    let comments = chunk(&": hello\n".repeat(8000)).repeat(20);
    assert!(matches!(stream(comments), Err(Error::Timeout)));
}

#[test]
fn a_wait_without_end() {
    let patience = Duration::from_millis(500);
    for retry in ["1000000000000", "18446744073709551615", "99999999999999999999999"] {
        let server = mock(move |listener| {
            open_session(&listener);
            let primed = event(&format!("id: 1\nretry: {retry}\n"), "");
            answer(&listener, |_, _| [STREAM, &primed, END].concat());
            // The cancellation, and the end of the session.
            answer(&listener, |_, _| status(202));
            answer(&listener, |_, _| status(200));
        });
        let builder = Client::builder().transport(Transport::Streamable).request_timeout(patience);
        let mut client = builder.connect(&server.url).unwrap();
        let started = Instant::now();
        assert!(matches!(client.call_tool("x", "{}"), Err(Error::Timeout)), "{retry}");
        assert!(started.elapsed() < LONG);
        drop(client);
        server.thread.join().unwrap();
    }
}

#[test]
fn session_ids_that_would_be_more_than_that() {
    for (id, why) in [
        ("a b", "visible ASCII"),
        ("", "visible ASCII"),
        ("caf\u{e9}", "visible ASCII"),
        ("a\tb", "visible ASCII"),
        ("a\r\nMcp-Session-Id: b", "two different values"),
        ("a\r\nX: y\r\nmcp-session-id: a\r\nMCP-SESSION-ID: A", "two different values"),
    ] {
        let server = mock(move |listener: TcpListener| {
            answer(&listener, |_, body| {
                json(200, &format!("Mcp-Session-Id: {id}\r\n"), &response(body, WELCOME))
            });
        });
        let result = Client::builder().transport(Transport::Streamable).connect(&server.url);
        assert_protocol(result, &["Mcp-Session-Id", why]);
        server.thread.join().unwrap();
    }
    // The same one twice is one.
    let script = |listener: TcpListener| {
        let twice = "Mcp-Session-Id: a\r\nmcp-session-id: a\r\n";
        answer(&listener, |_, body| json(200, twice, &response(body, WELCOME)));
        answer(&listener, |_, _| status(202));
        answer(&listener, |_, _| status(405));
        assert!(answer(&listener, |_, _| status(200)).0.starts_with("DELETE "));
    };
    with(Client::builder().transport(Transport::Streamable), script, |client| {
        assert_eq!(client.session_id(), Some("a"));
    });
}

#[test]
fn a_server_that_blocks_until_its_streams_are_read() {
    const EVENTS: usize = 64;
    let script = |listener: TcpListener| {
        open_without_id(&listener);
        let mut call = Peer::accept(&listener);
        let (_, body) = call.request();
        let mut post = Peer::accept(&listener);
        post.request();
        call.send(STREAM);
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"n","params":{{"x":"{}"}}}}"#, "x".repeat(256 << 10));
        for _ in 0..EVENTS {
            call.send(event("", &text));
        }
        post.send(status(202));
        call.send([event("", &response(&body, "{}")), END.to_owned()].concat());
    };
    let builder = Client::builder().transport(Transport::Streamable).event_bytes_max(32 << 20);
    with(builder, script, |mut client| {
        let id = client.send("x", None).unwrap();
        client.notify("y", None).unwrap();
        for _ in 0..EVENTS {
            assert!(matches!(client.next_message(LONG), Ok(Some(Received::Notification { .. }))));
        }
        client.wait(&id).unwrap();
    });
}

#[test]
fn requests_of_a_server_that_must_not_send_any() {
    let script = |listener: TcpListener| {
        answer(&listener, |_, body| result(body, crate::mock::DISCOVERED));
        answer(&listener, |_, body| {
            let ping = event("", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
            [STREAM, &ping, &event("", &response(body, "{}")), END].concat()
        });
    };
    with(Client::builder(), script, |mut client| {
        let id = client.send("x", None).unwrap();
        assert_protocol(client.wait(&id), &["the request `ping`"]);
        client.wait(&id).unwrap();
    });
}
