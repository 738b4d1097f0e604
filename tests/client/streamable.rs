//! Sessions over Streamable HTTP, against servers made of a script.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use mcp_rill::client::{Builder, Client, Error, Received, Transport};

use crate::mock::{
    END, STREAM, WELCOME, answer, error, event, field, json, method, mock, open_session,
    open_session_until_stream, parse, response, result, status, with,
};
use crate::{LONG, Peer, assert_protocol, rpc_code};

fn builder() -> Builder {
    Client::builder().transport(Transport::Streamable)
}

fn notification(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)
}

/// The next notification's method.
fn told(client: &mut Client) -> String {
    match client.next_message(LONG) {
        Ok(Some(Received::Notification { method, .. })) => method,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_session() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let (head, body) = answer(&listener, |_, body| result(body, "{}"));
        let address = listener.local_addr().unwrap();
        assert_eq!(
            head,
            format!(
                "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: application/json, text/event-stream\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nMcp-Session-Id: s1\r\n\
                 User-Agent: mcp-rill/{}\r\nAuthorization: Bearer x\r\nMCP-Protocol-Version: 2025-11-25\r\n\r\n",
                body.len(),
                env!("CARGO_PKG_VERSION")
            )
        );
        let (_, body) =
            answer(&listener, |_, body| error(200, body, r#"{"code":-32602,"message":"Unknown tool"}"#));
        // No line end of Unicode goes out raw, and none of JSON.
        let params = r#""params":{"name":"x\u2028","arguments":{"\u0085": "\u2029"}}}"#;
        assert!(body.ends_with(params), "{body}");
        let (head, _) = answer(&listener, |_, _| status(200));
        let asked =
            ["mcp-session-id", "mcp-protocol-version", "authorization"].map(|name| field(&head, name));
        assert!(head.starts_with("DELETE /mcp HTTP/1.1\r\n"), "{head}");
        assert_eq!(asked, [Some("s1"), Some("2025-11-25"), Some("Bearer x")]);
    };
    with(builder().header("Authorization", "Bearer x"), script, |mut client| {
        assert_eq!((client.session_id(), client.endpoint()), (Some("s1"), "/mcp"));
        client.ping().unwrap();
        assert_eq!(rpc_code(client.call_tool("x\u{2028}", "{\"\u{85}\":\n\"\u{2029}\"}")), -32602);
        // There is no stream, and no request: nothing can come.
        assert!(matches!(client.next_message(LONG), Ok(None)));
        client.close();
        assert!(matches!(client.ping(), Err(Error::Closed)));
        assert!(matches!(client.next_message(LONG), Err(Error::Closed)));
    });
}

#[test]
fn what_the_server_says_before_its_answer() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let mut call = Peer::accept(&listener);
        let (_, body) = call.request();
        call.send([STREAM, &event("event: message\n", &notification("one"))].concat());
        call.send(event("", r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#));
        // The answer is a message of its own, and gets a 202.
        let (head, answered) = answer(&listener, |_, _| status(202));
        assert_eq!(answered, r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#);
        assert_eq!(field(&head, "mcp-session-id"), Some("s1"));
        call.send(
            [event("", &notification("two")), event("", &response(&body, "{}")), END.to_owned()].concat(),
        );
        // The connection is whole: the next request comes on it.
        let (_, body) = call.request();
        call.send(result(&body, r#"{"again":true}"#));
        // What comes behind an answer makes it useless.
        let (_, body) = call.request();
        call.send([result(&body, "{}"), status(200)].concat());
        answer(&listener, |_, body| result(body, "{}"));
        drop(call);
        answer(&listener, |_, _| status(200));
    };
    let (tell, heard) = std::sync::mpsc::channel();
    let builder = builder()
        .on_request(|_, _| Ok(r#"{"roots":[]}"#.to_owned()))
        .on_notification(move |method, _| tell.send(method.to_owned()).unwrap());
    with(builder, script, |mut client| {
        client.call_tool("x", "{}").unwrap();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(client.request("y", None).unwrap().get(), r#"{"again":true}"#);
        client.ping().unwrap();
        client.ping().unwrap();
    });
}

#[test]
fn the_stream_of_the_session() {
    let script = |listener: TcpListener| {
        open_session_until_stream(&listener);
        let mut stream = Peer::accept(&listener);
        let (head, _) = stream.request();
        assert_eq!(field(&head, "accept"), Some("text/event-stream"));
        assert_eq!(field(&head, "mcp-session-id"), Some("s1"));
        assert_eq!(field(&head, "mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(field(&head, "last-event-id"), None);
        stream
            .send([STREAM, &event("id: 7\nretry: 20\n", ""), &event("id: 8\n", &notification("a"))].concat());
        // A request of the client's goes on meanwhile, and the server asks on this stream.
        let mut call = Peer::accept(&listener);
        let (_, body) = call.request();
        stream.send(event("", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
        answer(&listener, |_, _| status(202));
        call.send(result(&body, "{}"));
        drop((stream, call));
        // Taken up where it broke off.
        let (head, _) = answer(&listener, |_, _| [STREAM, &event("id: 9\n", &notification("b"))].concat());
        assert_eq!(field(&head, "last-event-id"), Some("8"));
        // Once it works the count begins anew.
        for _ in 0..2 {
            let (head, _) = answer(&listener, |_, _| [STREAM, END].concat());
            assert_eq!(field(&head, "last-event-id"), Some("9"));
        }
        answer(&listener, |_, _| status(200));
    };
    let (tell, heard) = std::sync::mpsc::channel();
    let builder = builder().reconnects_max(2);
    let builder = builder.on_notification(move |method, _| tell.send(method.to_owned()).unwrap());
    with(builder, script, |mut client| {
        client.ping().unwrap();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(told(&mut client), "b");
        assert!(matches!(client.next_message(LONG), Err(Error::Closed)));
        assert!(matches!(client.next_message(LONG), Ok(None)));
    });
}

#[test]
fn an_answer_is_fetched_again() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let (_, body) = answer(&listener, |_, _| {
            [STREAM, &event("id: 1-0\nretry: 10\n", ""), &event("id: 1-1\n", &notification("a")), END]
                .concat()
        });
        // Nobody there for a moment.
        drop(Peer::accept(&listener));
        let (head, nothing) = answer(&listener, |_, _| {
            [STREAM, &event("id: 1-2\n", &response(&body, r#"{"late":true}"#)), END].concat()
        });
        assert!(head.starts_with("GET /mcp ") && nothing.is_empty());
        assert_eq!(field(&head, "last-event-id"), Some("1-1"));
        // One without a place to go on from.
        answer(&listener, |_, _| [STREAM, &event("", &notification("b")), END].concat());
        // One that the server does not know any more.
        answer(&listener, |_, _| [STREAM, &event("id: 2-0\nretry: 10\n", ""), END].concat());
        answer(&listener, |_, _| status(400));
        answer(&listener, |_, _| status(200));
    };
    with(builder(), script, |mut client| {
        assert_eq!(client.call_tool("x", "{}").unwrap().get(), r#"{"late":true}"#);
        assert!(matches!(client.call_tool("x", "{}"), Err(Error::Closed)));
        assert!(matches!(client.call_tool("x", "{}"), Err(Error::Http { status: 400, .. })));
    });
}

#[test]
fn nothing_is_tried_for_ever() {
    let attempts = |max: u32| {
        move |listener: TcpListener| {
            open_session(&listener);
            answer(&listener, |_, _| [STREAM, &event("id: 1\nretry: 10\n", ""), END].concat());
            for _ in 0..max {
                let (head, _) = answer(&listener, |_, _| [STREAM, END].concat());
                assert_eq!(field(&head, "last-event-id"), Some("1"));
            }
            assert!(answer(&listener, |_, _| status(200)).0.starts_with("DELETE "));
        }
    };
    for max in [0, 1, 3] {
        with(builder().reconnects_max(max), attempts(max), |mut client| {
            assert!(matches!(client.call_tool("x", "{}"), Err(Error::Closed)));
        });
    }
}

#[test]
fn a_forgotten_session() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        // Another request is open; it is lost as well.
        let mut other = Peer::accept(&listener);
        other.request();
        answer(&listener, |_, _| status(404));
        assert_eq!(other.request_or_end(), None);
        // There is nothing to end.
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    };
    with(builder(), script, |mut client| {
        let other = client.send("x", None).unwrap();
        let error = client.ping().unwrap_err();
        assert!(matches!(error, Error::Expired), "{error:?}");
        assert_eq!(error.to_string(), "the server does not know the session any more; connect again");
        assert!(matches!(client.wait(&other), Err(Error::Expired)));
        assert!(matches!(client.notify("x", None), Err(Error::Expired)));
    });
    // A notification can be what finds it out.
    let script = |listener: TcpListener| {
        open_session(&listener);
        answer(&listener, |_, _| status(404));
    };
    with(builder(), script, |mut client| assert!(matches!(client.notify("x", None), Err(Error::Expired))));
}

#[test]
fn a_server_without_sessions_of_its_own() {
    let script = |listener: TcpListener| {
        answer(&listener, |_, body| result(body, WELCOME));
        answer(&listener, |_, _| status(202));
        answer(&listener, |_, _| status(405));
        let (head, _) = answer(&listener, |_, body| result(body, "{}"));
        assert_eq!(field(&head, "mcp-session-id"), None);
        assert!(matches!(answer(&listener, |_, _| status(404)), (head, _) if head.starts_with("POST ")));
        listener.set_nonblocking(true).unwrap();
    };
    with(builder(), script, |mut client| {
        assert_eq!(client.session_id(), None);
        client.ping().unwrap();
        // Without a session none can be lost.
        assert!(matches!(client.ping(), Err(Error::Http { status: 404, .. })));
    });
    // Nor is it one that is lost where there is no stream.
    let script = |listener: TcpListener| {
        answer(&listener, |_, body| result(body, WELCOME));
        answer(&listener, |_, _| status(202));
        assert!(answer(&listener, |_, _| status(404)).0.starts_with("GET "));
        answer(&listener, |_, body| result(body, "{}"));
    };
    with(builder(), script, |mut client| {
        assert!(matches!(client.next_message(LONG), Ok(None)));
        client.ping().unwrap();
    });
}

#[test]
fn a_timeout_is_told() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let mut call = Peer::accept(&listener);
        call.request();
        let (_, body) = answer(&listener, |_, _| status(202));
        assert_eq!(method(&body), "notifications/cancelled");
        assert_eq!(parse(&body)["params"]["requestId"], 2);
        assert_eq!(call.request_or_end(), None);
        answer(&listener, |_, _| status(200));
    };
    with(builder().request_timeout(Duration::from_millis(300)), script, |mut client| {
        assert!(matches!(client.call_tool("slow", "{}"), Err(Error::Timeout)));
    });
}

#[test]
fn a_lost_connection_is_tried_again_once_and_only_if_it_was_kept() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let mut kept = Peer::accept(&listener);
        let (_, body) = kept.request();
        kept.send(result(&body, "{}"));
        let (_, lost) = kept.request();
        drop(kept);
        let (_, again) = answer(&listener, |_, body| result(body, "{}"));
        assert_eq!(lost, again);
        let mut fresh = Peer::accept(&listener);
        fresh.request();
        drop(fresh);
        assert!(answer(&listener, |_, _| status(200)).0.starts_with("DELETE "));
    };
    with(builder(), script, |mut client| {
        client.ping().unwrap();
        client.ping().unwrap();
        let error = client.ping().unwrap_err();
        assert!(error.to_string().contains("closed the connection without answering"), "{error}");
    });
}

#[test]
fn a_server_that_does_not_end() {
    // Neither its session nor the client's patience.
    let script = |listener: TcpListener| {
        open_session(&listener);
        let mut end = Peer::accept(&listener);
        assert!(end.request().0.starts_with("DELETE "));
        assert_eq!(end.request_or_end(), None);
    };
    let server = mock(script);
    let client = builder().connect(&server.url).unwrap();
    let started = Instant::now();
    drop(client);
    assert!(started.elapsed() < LONG);
    server.thread.join().unwrap();
}

#[test]
fn a_stream_that_is_refused_is_told_once() {
    let script = |listener: TcpListener| {
        open_session_until_stream(&listener);
        answer(&listener, |_, _| json(500, "", "broken"));
        answer(&listener, |_, body| result(body, "{}"));
        answer(&listener, |_, _| status(200));
    };
    with(builder(), script, |mut client| {
        client.ping().unwrap();
        // The refusal may not have been read before the answer was there.
        let refused = client.next_message(LONG);
        assert!(matches!(refused, Err(Error::Http { status: 500, .. })), "{refused:?}");
        assert!(matches!(client.next_message(LONG), Ok(None)));
    });
    let script = |listener: TcpListener| {
        open_session_until_stream(&listener);
        answer(&listener, |_, _| json(200, "", "{}"));
        answer(&listener, |_, _| status(200));
    };
    with(builder(), script, |mut client| {
        assert_protocol(client.next_message(LONG), &["request for its event stream", "`application/json`"]);
    });
}

#[test]
fn a_caller_that_only_polls_hears_of_a_resumed_stream() {
    let script = |listener: TcpListener| {
        open_session_until_stream(&listener);
        answer(&listener, |_, _| [STREAM, &event("id: 1\nretry: 10\n", &notification("a")), END].concat());
        let (head, _) = answer(&listener, |_, _| [STREAM, &event("", &notification("b")), END].concat());
        assert_eq!(field(&head, "last-event-id"), Some("1"));
        answer(&listener, |_, _| status(200));
    };
    with(builder().reconnects_max(1), script, |mut client| {
        let end = Instant::now() + LONG;
        let mut heard = Vec::new();
        while heard.len() < 2 && Instant::now() < end {
            if let Some(Received::Notification { method, .. }) = client.next_message(Duration::ZERO).unwrap()
            {
                heard.push(method);
            }
        }
        assert_eq!(heard, ["a", "b"]);
    });
}

#[test]
fn a_request_that_has_failed_leaves_no_connection_open() {
    let script = |listener: TcpListener| {
        open_session(&listener);
        let mut call = Peer::accept(&listener);
        call.request();
        call.send([STREAM, &event("", "{broken")].concat());
        assert_eq!(call.request_or_end(), None);
        answer(&listener, |_, body| result(body, "{}"));
        answer(&listener, |_, _| status(200));
    };
    with(builder(), script, |mut client| {
        assert_protocol(client.request("x", None), &["an invalid message"]);
        client.ping().unwrap();
    });
}
