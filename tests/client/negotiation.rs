//! Finding out what a server speaks, step by step.

use std::net::TcpListener;
use std::time::Duration;

use mcp_rill::Revision;
use mcp_rill::client::{Client, Error, Transport};

use crate::mock::{
    DISCOVERED, WELCOME, answer, error, event, field, json, method, mock, parse, result, status,
};
use crate::{ENDPOINT, Peer, STREAM, assert_protocol};

/// The error of a server that takes no message without a session.
const NO_SESSION: &str = r#"{"code":-32000,"message":"no session"}"#;

/// What comes of connecting to a server that answers in this way, one request after another.
fn connect(script: impl FnOnce(&TcpListener) + Send + 'static) -> Result<Client, Error> {
    let server = mock(move |listener| {
        script(&listener);
        // Whatever else is tried is not what the script is about.
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "there was one step too many");
    });
    let result = Client::builder().connect_timeout(Duration::from_secs(2)).connect(&server.url);
    server.thread.join().unwrap();
    result
}

fn discover(listener: &TcpListener, with: impl FnOnce(&str) -> String) {
    let (head, body) = answer(listener, |_, body| with(body));
    assert_eq!(method(&body), "server/discover");
    assert_eq!(field(&head, "mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(field(&head, "mcp-method"), Some("server/discover"));
    let meta = parse(&body)["params"]["_meta"].clone();
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "mcp-rill");
    assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
}

/// A session up to the GET, and what revision was asked for.
fn initialize(listener: &TcpListener) -> String {
    let (_, body) = answer(listener, |_, body| result(body, WELCOME));
    assert_eq!(method(&body), "initialize");
    answer(listener, |_, _| status(202));
    answer(listener, |_, _| status(405));
    parse(&body)["params"]["protocolVersion"].as_str().unwrap().to_owned()
}

/// HTTP+SSE up to `initialized`.
fn sse(listener: &TcpListener) {
    let mut stream = Peer::accept(listener);
    assert!(stream.request().0.starts_with("GET /mcp HTTP/1.1\r\n"));
    stream.send([STREAM, ENDPOINT].concat());
    let mut posts = Peer::accept(listener);
    let id = parse(&posts.message())["id"].clone();
    stream.event(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{WELCOME}}}"#));
    assert_eq!(method(&posts.message()), "notifications/initialized");
}

#[test]
fn a_stateless_server() {
    let client = connect(|listener| discover(listener, |body| result(body, DISCOVERED))).unwrap();
    assert_eq!((client.transport(), client.revision()), (Transport::Stateless, Some(Revision::V2026_07_28)));
    let streamed = |body: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{DISCOVERED}}}"#, parse(body)["id"]);
        [crate::mock::STREAM, &event("", &text), crate::mock::END].concat()
    };
    let client = connect(move |listener| discover(listener, streamed)).unwrap();
    assert_eq!(client.transport(), Transport::Stateless);
}

#[test]
fn a_server_that_names_what_it_serves() {
    let unsupported = |supported: &'static str| {
        move |body: &str| {
            let data = format!(r#"{{"supported":{supported},"requested":"2026-07-28"}}"#);
            error(400, body, &format!(r#"{{"code":-32022,"message":"Unsupported","data":{data}}}"#))
        }
    };
    let client = connect(move |listener| {
        discover(listener, unsupported(r#"["2025-03-26","2025-06-18","2031-01-01"]"#));
        assert_eq!(initialize(listener), "2025-06-18");
    });
    assert_eq!(client.unwrap().transport(), Transport::Streamable);
    // In a result as well.
    let client = connect(|listener| {
        discover(listener, |body| result(body, r#"{"supportedVersions":["2025-06-18"]}"#));
        assert_eq!(initialize(listener), "2025-06-18");
    });
    assert_eq!(client.unwrap().transport(), Transport::Streamable);

    // It may have changed its mind, and is asked once more.
    let client = connect(move |listener| {
        discover(listener, unsupported(r#"["2026-07-28"]"#));
        discover(listener, |body| result(body, r#"{"supportedVersions":["2026-07-28"]}"#));
    });
    assert_eq!(client.unwrap().transport(), Transport::Stateless);
    let contradiction = connect(move |listener| {
        discover(listener, unsupported(r#"["2026-07-28"]"#));
        discover(listener, unsupported(r#"["2026-07-28"]"#));
    });
    assert!(matches!(contradiction, Err(Error::Rpc(error)) if error.code == -32022));
    // Without the list it is an error as any other.
    let client = connect(move |listener| {
        discover(listener, |body| error(400, body, r#"{"code":-32022,"message":"no"}"#));
        assert_eq!(initialize(listener), "2025-11-25");
    });
    client.unwrap();
}

#[test]
fn a_server_that_names_only_what_is_unknown_here_may_have_sessions_too() {
    let strange: [fn(&str) -> String; 3] = [
        |body| {
            let data = r#"{"supported":["2031-01-01"],"requested":"2026-07-28"}"#;
            error(400, body, &format!(r#"{{"code":-32022,"message":"Unsupported","data":{data}}}"#))
        },
        |body| result(body, r#"{"supportedVersions":["2031-01-01"]}"#),
        |body| result(body, r#"{"supportedVersions":[]}"#),
    ];
    for (strange, named) in strange.into_iter().zip(["`2031-01-01`", "`2031-01-01`", "``"]) {
        let client = connect(move |listener| {
            discover(listener, strange);
            assert_eq!(initialize(listener), "2025-11-25");
        });
        assert_eq!(client.unwrap().transport(), Transport::Streamable);

        // If it has none, what it named is what there is to know, however it says so.
        let no_sessions: [fn(&str) -> String; 3] = [
            |_| status(404),
            |body| error(400, body, NO_SESSION),
            |body| error(200, body, r#"{"code":-32601,"message":"Method not found"}"#),
        ];
        for (at, no_session) in no_sessions.into_iter().enumerate() {
            let result = connect(move |listener| {
                discover(listener, strange);
                assert_eq!(method(&answer(listener, |_, body| no_session(body)).1), "initialize");
                if at < 2 {
                    answer(listener, |_, _| status(405));
                }
            });
            let said = format!("the server serves the revisions {named}");
            assert_protocol(result, &[&said, "this client knows 2024-11-05"]);
        }
        let result = connect(move |listener| {
            discover(listener, strange);
            answer(listener, |_, _| status(503));
        });
        assert!(matches!(result, Err(Error::Http { status: 503, .. })), "{result:?}");
    }
}

#[test]
fn a_server_with_sessions() {
    let refusals: [fn(&str) -> String; 7] = [
        |body| error(200, body, r#"{"code":-32601,"message":"Method not found"}"#),
        |body| error(404, body, r#"{"code":-32601,"message":"Method not found"}"#),
        |_| json(400, "", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#),
        |_| json(200, "", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#),
        |_| status(404),
        |_| status(405),
        |_| status(415),
    ];
    for refusal in refusals {
        let client = connect(move |listener| {
            discover(listener, refusal);
            assert_eq!(initialize(listener), "2025-11-25");
        });
        let client = client.unwrap();
        assert_eq!(
            (client.transport(), client.revision()),
            (Transport::Streamable, Some(Revision::V2025_11_25))
        );
    }
}

#[test]
fn a_server_of_http_and_sse() {
    for refused in [400, 404, 405, 406, 415] {
        let client = connect(move |listener| {
            discover(listener, |_| status(refused));
            let (_, body) = answer(listener, |_, _| status(refused));
            assert_eq!(method(&body), "initialize");
            sse(listener);
        });
        assert_eq!(client.unwrap().transport(), Transport::Sse, "{refused}");
    }
}

#[test]
fn a_server_of_http_and_sse_that_refuses_in_terms_of_json_rpc() {
    for refused in [400, 404, 405] {
        let client = connect(move |listener| {
            for step in ["server/discover", "initialize"] {
                let (_, body) = answer(listener, |_, body| error(refused, body, NO_SESSION));
                assert_eq!(method(&body), step);
            }
            sse(listener);
        });
        assert_eq!(client.unwrap().transport(), Transport::Sse, "{refused}");
    }
    // If there is no such stream, the error is what there is to know.
    let get: [fn(&str) -> String; 3] =
        [|_| status(405), |_| status(400), |_| [crate::mock::STREAM, crate::mock::END].concat()];
    for get in get {
        let result = connect(move |listener| {
            answer(listener, |_, _| status(404));
            answer(listener, |_, body| error(400, body, NO_SESSION));
            let (head, _) = answer(listener, |_, body| get(body));
            assert!(head.starts_with("GET "), "{head}");
        });
        assert!(matches!(&result, Err(Error::Rpc(error)) if error.code == -32000), "{result:?}");
    }
    let result = connect(move |listener| {
        answer(listener, |_, _| status(404));
        answer(listener, |_, body| error(400, body, NO_SESSION));
        answer(listener, |_, _| status(401));
    });
    assert!(matches!(result, Err(Error::Http { status: 401, .. })), "{result:?}");
}

#[test]
fn a_client_set_to_an_older_revision_asks_for_no_newer_one() {
    let server = mock(|listener| assert_eq!(initialize(&listener), "2025-03-26"));
    let client = Client::builder().revision("2025-03-26").connect(&server.url).unwrap();
    assert_eq!(client.transport(), Transport::Streamable);
    server.thread.join().unwrap();
}

#[test]
fn answers_that_say_nothing_about_the_transport() {
    // Each at the first step, at the second, and at the third.
    for refused in [401, 403, 407, 408, 429, 500, 503, 302] {
        for step in 0..3 {
            let result = connect(move |listener| {
                for at in 0..=step {
                    answer(listener, |_, _| status(if at == step { refused } else { 404 }));
                }
            });
            assert!(
                matches!(result, Err(Error::Http { status, .. }) if status == refused),
                "{refused} at step {step}: {result:?}"
            );
        }
    }
    // What its body says in terms of JSON-RPC does not make it another refusal.
    for refused in [401, 429] {
        let result = connect(move |listener| {
            discover(listener, |body| error(refused, body, r#"{"code":-32601,"message":"x"}"#));
        });
        assert!(matches!(result, Err(Error::Http { status, .. }) if status == refused));
    }
    let result = connect(|listener| {
        discover(listener, |_| status(404));
        answer(listener, |_, body| error(200, body, r#"{"code":-32602,"message":"no"}"#));
    });
    assert!(matches!(result, Err(Error::Rpc(error)) if error.code == -32602));
}

#[test]
fn no_endpoint_at_all() {
    let result = connect(|listener| {
        for refused in [405, 404, 405] {
            answer(listener, |_, _| status(refused));
        }
    });
    assert_protocol(result, &["/mcp answered 404 to POST and 405 to GET", "check the path"]);
    let empty = |_: &str| [crate::mock::STREAM, crate::mock::END].concat();
    let result = connect(move |listener| discover(listener, empty));
    let text = result.unwrap_err().to_string();
    assert!(text.ends_with("the stream ended before the answer came"), "{text}");
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let result = connect(move |listener| discover(listener, |_| page.to_owned()));
    assert_protocol(result, &["`text/html`", "application/json", "is this the URL of an MCP endpoint?"]);
}

#[test]
fn silence_is_no_refusal() {
    let server = mock(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.request();
        assert_eq!(peer.request_or_end(), None);
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    });
    let builder = Client::builder().request_timeout(Duration::from_millis(100));
    assert!(matches!(builder.connect(&server.url), Err(Error::Timeout)));
    server.thread.join().unwrap();
}
