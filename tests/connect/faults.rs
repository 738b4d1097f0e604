//! Remote servers that go away, come back, and answer what they should not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use mcp_rill::Server;
use serde_json::json;

use crate::eras::server;
use crate::fake::{Fake, Request, WELCOME};
use crate::{Connect, PATIENCE, Running, call, error, lone, request, text, wait_until};

#[test]
fn a_remote_server_that_restarts_gets_the_session_again() {
    for path in ["/mcp", "/sse"] {
        let mut running = Running::start(server());
        let address = running.address.clone();
        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-06-18");
        assert_eq!(text(&connect.ask(1, "tools/call", call("echo", json!({"text": "a"})))), "a");
        for round in 0..3 {
            drop(running);
            running = Running::start_at(&address, server());
            assert_eq!(
                text(&connect.ask(2, "tools/call", call("echo", json!({"text": "b"})))),
                "b",
                "{path} {round}"
            );
            wait_until("there is one session", || running.sessions() == 1);
        }
        connect.says("the session is lost");
        connect.says("the session is open again, with 2025-06-18");
        assert_eq!(connect.end(), Vec::<serde_json::Value>::new());
    }
}

/// Without a request, so that what the server announces afterwards arrives.
#[test]
fn a_session_is_opened_again_by_itself() {
    for path in ["/mcp", "/sse"] {
        let running = Running::start(server());
        let address = running.address.clone();
        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-11-25");
        connect.ask(1, "ping", json!({}));
        drop(running);
        let running = Running::start_at(&address, server());
        connect.says("the session is open again");
        // A stream of its own, over which this arrives.
        let handle = running.handle.clone();
        let told = std::thread::spawn(move || {
            for _ in 0..600 {
                handle.tools_changed();
                std::thread::sleep(std::time::Duration::from_millis(100));
                if handle.has_ended() {
                    break;
                }
            }
        });
        assert_eq!(connect.next()["method"], "notifications/tools/list_changed");
        drop(running);
        told.join().unwrap();
    }
}

#[test]
fn open_requests_are_answered_when_the_remote_server_ends() {
    for (path, revision) in [("/mcp", "2025-11-25"), ("/sse", "2025-11-25"), ("/mcp", "2026-07-28")] {
        let running = Running::start(server());
        let mut connect = Connect::to(&[&running.url(path)]);
        let meta = |params| if revision == "2026-07-28" { lone(params) } else { params };
        if revision != "2026-07-28" {
            connect.initialize(revision);
        }
        for id in 0..5 {
            connect.tell(&request(id, "tools/call", meta(call("never", json!({})))));
        }
        connect.tell(&request("p", "tools/list", meta(json!({}))));
        assert_eq!(connect.next()["id"], "p");
        drop(running);
        let mut ids = Vec::new();
        for _ in 0..5 {
            let answer = connect.next();
            assert!(answer.get("error").is_some() || answer["result"]["isError"] == true, "{answer}");
            ids.push(answer["id"].as_u64().unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
        let answer = connect.ask("q", "tools/list", meta(json!({})));
        assert!(error(&answer).contains("cannot connect to http://127.0.0.1:"), "{answer}");
    }
}

/// What a server answers to a call, and what the client gets for it.
#[test]
fn every_refusal_is_an_answer_that_names_what_happened() {
    type Answer = fn(&mut Request);
    let cases: &[(Answer, i64, &str)] = &[
        (
            |request| request.answer(401, "", "who?"),
            -32603,
            "401 Unauthorized: who?; give a token with --token-file",
        ),
        (|request| request.answer(403, "", ""), -32603, "the server refused with 403 Forbidden"),
        (|request| request.answer(404, "", "no such page"), -32603, "404 Not Found: no such page"),
        (|request| request.answer(429, "", ""), -32603, "429 Too Many Requests"),
        (
            |request| request.answer(500, "", "<html><b>oops"),
            -32603,
            "500 Internal Server Error: <html><b>oops",
        ),
        (
            |request| request.answer(503, "Retry-After: 5\r\n", "full"),
            -32603,
            "503 Service Unavailable: full",
        ),
        (
            |request| request.answer(302, "Location: http://elsewhere/login\r\n", ""),
            -32603,
            "302 Found: moved to http://elsewhere/login; redirects are not followed",
        ),
        (
            |request| request.answer(200, "Content-Type: text/html\r\n", "<html>Log in</html>"),
            -32603,
            "`text/html` instead of application/json or text/event-stream",
        ),
        (|request| request.answer(202, "", ""), -32603, "202"),
        (|request| request.json("", "{"), -32603, "something other than its response"),
        (
            |request| request.json("", r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
            -32603,
            "something other",
        ),
        (|request| request.send("HTTP/1.1 200 OK\r\nContent-Ty"), -32603, "in the middle of its answer"),
        (|request| request.send("SSH-2.0-OpenSSH\r\n"), -32603, "does not speak HTTP"),
        (|_| {}, -32603, "closed the connection without answering"),
        (|request| request.begin_stream(""), -32603, "the stream ended before the answer came"),
        (
            |request| {
                request.begin_stream("");
                request.send(&format!("data: {}\n\n", "x".repeat(9 << 20)));
            },
            -32603,
            "longer than 8388608 bytes",
        ),
        // In terms of JSON-RPC, with its id or without.
        (
            |request| {
                let id = request.message()["id"].clone();
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32020,"message":"mismatch"}}}}"#
                );
                request.answer(400, "", &body);
            },
            -32020,
            "mismatch",
        ),
        (
            |request| {
                request.answer(
                    400,
                    "",
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#,
                )
            },
            -32600,
            "no",
        ),
    ];
    let which = Arc::new(AtomicUsize::new(0));
    let chosen = which.clone();
    let fake = Fake::new(move |request| {
        // A session without an id, which cannot be lost.
        match request.rpc().as_str() {
            "initialize" => request.result("", WELCOME),
            "tools/call" => cases[chosen.load(Ordering::SeqCst)].0(request),
            "" => request.answer(405, "", ""),
            _ => request.answer(202, "", ""),
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    for (number, (_, code, why)) in cases.iter().enumerate() {
        which.store(number, Ordering::SeqCst);
        let answer = connect.ask(number as u64, "tools/call", call("x", json!({})));
        assert_eq!(answer["error"]["code"], *code, "{answer}");
        assert!(error(&answer).contains(why), "{why}: {answer}");
    }
    // The same without a session; there `404` may mean that the server is older.
    for (number, (_, code, why)) in cases.iter().enumerate() {
        which.store(number, Ordering::SeqCst);
        let answer = connect.ask(number as u64, "tools/call", lone(call("x", json!({}))));
        let code = if why.starts_with("404") { -32601 } else { *code };
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert!(error(&answer).contains(why), "{why}: {answer}");
    }
}

#[test]
fn initialize_is_refused_in_the_same_way() {
    for (status, body, why) in [
        (401, "", "401 Unauthorized; give a token"),
        (503, "busy", "503 Service Unavailable: busy"),
        (404, "", "answered 404 to POST and 404 to GET: this is not an MCP endpoint; check the path"),
        (400, r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"not so"}}"#, "not so"),
    ] {
        let fake = Fake::new(move |request| request.answer(status, "", body));
        let mut connect = Connect::to(&[&fake.url()]);
        // It may be tried again.
        for _ in 0..2 {
            let answer = connect.ask(0, "initialize", crate::hello("2025-11-25"));
            assert!(error(&answer).contains(why), "{answer}");
        }
        connect.end();
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut connect = Connect::to(&[&format!("http://{nobody}/mcp")]);
    let answer = connect.ask(0, "initialize", crate::hello("2025-11-25"));
    assert!(error(&answer).contains("cannot connect to http://127.0.0.1:"), "{answer}");
}

#[test]
fn a_server_that_is_silent_is_given_up_and_told() {
    let (sender, cancelled) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| match request.rpc().as_str() {
        "tools/call" => {
            request.begin_stream("");
            request.wait_for_end();
        }
        "notifications/cancelled" => {
            sender.lock().unwrap().send(request.message()["params"]["requestId"].clone()).unwrap();
            request.answer(202, "", "");
        }
        _ => {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::to(&[&fake.url(), "--timeout", "8s"]);
    connect.initialize("2025-11-25");
    let answer = connect.ask("slow", "tools/call", call("x", json!({})));
    assert!(error(&answer).contains("did not answer in time (8 s; see --timeout)"), "{answer}");
    assert_eq!(cancelled.recv_timeout(PATIENCE).unwrap(), "slow");
    let answer = connect.ask("slow", "tools/call", lone(call("x", json!({}))));
    assert!(error(&answer).contains("did not answer in time"), "{answer}");
}

/// Progress shows that a server is at work, however long that takes.
#[test]
fn a_message_gives_the_server_its_time_anew() {
    let fake = Fake::new(|request| {
        if request.is_served("s1") {
            return;
        }
        request.begin_stream("");
        for step in 0..10 {
            std::thread::sleep(std::time::Duration::from_millis(1200));
            request.event("", &format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{step}}}}}"#));
        }
        let answer = request.response("{}");
        request.event("", &answer);
    });
    let mut connect = Connect::to(&[&fake.url(), "--timeout", "10s"]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "tools/call", call("x", json!({}))));
    for step in 0..10 {
        assert_eq!(connect.next()["params"]["progress"], step);
    }
    assert!(connect.next()["result"].is_object());
}

#[test]
fn a_lost_stream_is_resumed_where_it_was() {
    let fake = Fake::new(|request| {
        let cursor = request.field("last-event-id").map(str::to_owned);
        match (request.method.as_str(), cursor.as_deref()) {
            ("POST", _) if request.rpc() == "tools/call" => {
                request.begin_stream("");
                request.event("id: a1\nretry: 20\n", r#"{"jsonrpc":"2.0","method":"notifications/one"}"#);
            }
            ("GET", Some("a1")) => {
                request.begin_stream("");
                request.event("id: a2\n", r#"{"jsonrpc":"2.0","method":"notifications/two"}"#);
            }
            ("GET", Some("a2")) => {
                assert_eq!(request.field("mcp-session-id"), Some("s1"));
                assert_eq!(request.field("mcp-protocol-version"), Some("2025-11-25"));
                request.begin_stream("");
                request.event("id: a3\n", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
            }
            _ => {
                request.is_served("s1");
            }
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "tools/call", call("x", json!({}))));
    assert_eq!(connect.next()["method"], "notifications/one");
    assert_eq!(connect.next()["method"], "notifications/two");
    assert_eq!(connect.next()["id"], 1);
}

/// The stream of the session is resumed, too, and asked for anew when its server was away for a while.
#[test]
fn the_stream_of_a_session_is_resumed() {
    let streams = Arc::new(AtomicUsize::new(0));
    let fake = Fake::new(move |request| match request.method.as_str() {
        "GET" => {
            let number = streams.fetch_add(1, Ordering::SeqCst);
            let cursor = request.field("last-event-id").map(str::to_owned);
            match number {
                0 => {
                    assert_eq!(cursor, None);
                    request.begin_stream("");
                    request.event(
                        "id: g1\nretry: 10\n",
                        r#"{"jsonrpc":"2.0","method":"notifications/n","params":{"n":0}}"#,
                    );
                }
                // Restarts of proxies look like this.
                1 => request.answer(502, "", ""),
                2 => {}
                _ => {
                    assert_eq!(cursor.as_deref(), Some("g1"));
                    request.begin_stream("");
                    request.event(
                        "id: g2\n",
                        r#"{"jsonrpc":"2.0","method":"notifications/n","params":{"n":1}}"#,
                    );
                    request.wait_for_end();
                }
            }
        }
        _ => {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    assert_eq!(connect.next()["params"]["n"], 0);
    assert_eq!(connect.next()["params"]["n"], 1);
}

/// Some servers without such a stream answer 404, which is also what an unknown session gets.
#[test]
fn a_server_without_a_stream_of_the_session_is_not_asked_for_a_new_one() {
    let (sender, pinged) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| match (request.method.as_str(), request.rpc().as_str()) {
        ("GET", _) => request.answer(404, "", ""),
        ("POST", "ping") => {
            request.result("", "{}");
            sender.lock().unwrap().send(()).unwrap();
        }
        _ => {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    pinged.recv_timeout(PATIENCE).unwrap();
    assert_eq!(connect.end(), Vec::<serde_json::Value>::new(), "the answer to that is not the client's");
    assert_eq!(fake.count("POST /mcp initialize"), 1);
}

/// A restarted server of Streamable HTTP may be one of HTTP+SSE, and the other way round.
#[test]
fn a_server_of_another_era_than_before() {
    let is_old = Arc::new(AtomicUsize::new(0));
    let era = is_old.clone();
    let (sender, posted) = channel::<String>();
    let (sender, posted) = (Mutex::new(sender), Mutex::new(posted));
    let fake = Fake::new(move |request| {
        let is_old = era.load(Ordering::SeqCst) == 1;
        match (request.method.as_str(), request.target.as_str()) {
            ("GET", _) if is_old && request.field("mcp-session-id").is_none() => {
                request.begin_stream("");
                request.event("event: endpoint\n", "/post");
                let posted = posted.lock().unwrap();
                loop {
                    match posted.recv_timeout(std::time::Duration::from_millis(50)) {
                        Ok(body) => {
                            let message: serde_json::Value = serde_json::from_str(&body).unwrap();
                            let result =
                                if message["method"] == "initialize" { WELCOME } else { r#"{"era":"old"}"# };
                            let id = &message["id"];
                            request.event("", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
                        }
                        Err(_) if era.load(Ordering::SeqCst) == 1 => {}
                        Err(_) => break,
                    }
                }
            }
            ("POST", "/post") if is_old => {
                if request.message().get("id").is_some() {
                    sender.lock().unwrap().send(request.body.clone()).unwrap();
                }
                request.answer(202, "", "");
            }
            _ if is_old => request.answer(404, "", ""),
            _ => {
                if !request.is_served("s1") {
                    request.result("", r#"{"era":"new"}"#);
                }
            }
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    for (old, expected) in [(0, "new"), (1, "old"), (0, "new"), (1, "old")] {
        let changes = is_old.swap(old, Ordering::SeqCst) != old;
        if changes && old == 0 {
            connect.says("the server ended the stream");
        }
        let answer = connect.ask(1, "tools/call", call("x", json!({})));
        assert_eq!(answer["result"]["era"], expected, "{answer}");
    }
    // Both times the same `initialize`.
    assert_eq!(fake.count("POST /post initialize"), 2);
    assert_eq!(fake.count("POST /post notifications/initialized"), 2);
}

#[test]
fn garbage_of_the_remote_server_is_skipped_and_said() {
    let fake = Fake::new(|request| {
        if request.is_served("s1") {
            return;
        }
        request.begin_stream("");
        request.send(": comment\n\nevent: other\ndata: x\n\nid: 1\ndata:\n\n");
        request.event("", "no JSON\u{1b}[2J");
        request.event("", r#"{"jsonrpc":"2.0"}"#);
        request.event("", "[1, 2]");
        request.event("", r#"{"jsonrpc":"2.0","id":"stranger","result":{}}"#);
        let answer = request.response("{}");
        request.event("", &answer);
        request.event("", &answer);
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    assert!(connect.ask(1, "tools/call", call("x", json!({})))["result"].is_object());
    connect.says(r"is skipped: it is not JSON: `no JSON\u{1b}[2J`");
    connect.says("is skipped: it has no `method`, `result` or `error`");
    connect.says("no request waits for it (id \"stranger\")");
    assert_eq!(connect.end(), Vec::<serde_json::Value>::new());
}

/// A session that asks something and ends: its question is withdrawn, and the answer goes nowhere.
#[test]
fn questions_of_a_lost_session_are_withdrawn() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let (sender, answers) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| match request.rpc().as_str() {
        "initialize" => {
            let number = sessions.fetch_add(1, Ordering::SeqCst);
            request.result(&format!("Mcp-Session-Id: s{number}\r\n"), WELCOME);
        }
        "tools/call" => {
            let session = request.field("mcp-session-id").unwrap().to_owned();
            request.begin_stream("");
            request.event("", r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}"#);
            match session.as_str() {
                "s0" => {
                    let answer = request.response(r#"{"content":[]}"#);
                    request.event("", &answer);
                }
                _ => request.wait_for_end(),
            }
        }
        "tools/list" if request.field("mcp-session-id") == Some("s0") => request.answer(404, "", ""),
        "tools/list" => request.result("", "{}"),
        "" if request.method == "POST" => {
            let answer =
                (request.field("mcp-session-id").unwrap().to_owned(), request.message()["result"].clone());
            sender.lock().unwrap().send(answer).unwrap();
            request.answer(202, "", "");
        }
        _ => {
            request.is_served("s");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "tools/call", call("x", json!({}))));
    assert_eq!(connect.next()["method"], "elicitation/create");
    assert!(connect.next()["result"].is_object());
    connect.tell(&request(2, "tools/list", json!({})));
    let withdrawn = connect.next();
    assert_eq!(
        (&withdrawn["method"], &withdrawn["params"]["requestId"]),
        (&json!("notifications/cancelled"), &json!(1))
    );
    assert_eq!(connect.next()["id"], 2);
    connect.tell(&request(3, "tools/call", call("x", json!({}))));
    assert_eq!(connect.next()["method"], "elicitation/create");
    // Of two answers to one id the first is to the present question.
    connect.tell(&json!({"jsonrpc": "2.0", "id": 1, "result": {"to": "new"}}));
    assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), ("s1".to_owned(), json!({"to": "new"})));
    connect.tell(&json!({"jsonrpc": "2.0", "id": 1, "result": {"to": "old"}}));
    connect.says("an answer of the client is dropped");
}

/// A server that loses sessions at once is not asked for new ones without end.
#[test]
fn a_request_is_sent_again_once() {
    let fake = Fake::new(|request| {
        if !request.is_served("s1") {
            request.answer(404, "", "what session?");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    let answer = connect.ask(1, "tools/call", call("x", json!({})));
    assert!(error(&answer).contains("404 Not Found: what session?"), "{answer}");
    assert_eq!(fake.count("POST /mcp initialize"), 2);
    assert_eq!(fake.count("POST /mcp tools/call"), 2);
}

#[test]
fn an_endpoint_elsewhere_is_not_followed() {
    let fake = Fake::new(|request| match request.method.as_str() {
        "GET" => {
            request.begin_stream("");
            request.event("event: endpoint\n", "http://elsewhere.example/post");
            request.wait_for_end();
        }
        _ => request.answer(405, "", ""),
    });
    let mut connect = Connect::to(&[&fake.url()]);
    let answer = connect.ask(0, "initialize", crate::hello("2025-11-25"));
    assert!(
        error(&answer).contains("the server wants messages at `http://elsewhere.example/post`"),
        "{answer}"
    );
}

/// A server that keeps ids as text, or answers before it could read one.
#[test]
fn an_answer_on_the_connection_of_its_request_is_recognized() {
    let fake = Fake::new(|request| {
        if request.is_served("s1") {
            return;
        }
        match request.rpc().as_str() {
            "a/text" => request.json("", r#"{"jsonrpc":"2.0","id":"7","result":{"n":1.50}}"#),
            _ => request.json("", r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"}}"#),
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request(7, "a/text", json!({})));
    assert_eq!(connect.next_line(), r#"{"jsonrpc":"2.0","id":7,"result":{"n":1.50}}"#);
    connect.tell(&request(8, "a/error", json!({})));
    assert_eq!(connect.next_line(), r#"{"jsonrpc":"2.0","id":8,"error":{"code":-32700,"message":"what?"}}"#);
}

#[test]
fn a_server_without_sessions_needs_no_end() {
    let running = Running::start(Server::new("test", "1").tool("hello", "Say hello", |(), _| "hello"));
    let mut connect = Connect::to(&[&running.url("/mcp")]);
    assert_eq!(text(&connect.ask("x", "tools/call", lone(call("hello", json!({}))))), "hello");
    assert!(connect.end().is_empty());
    assert_eq!(running.sessions(), 0);
}

/// The server refuses the token, and the file has another one by now: what was refused is sent again, once.
#[test]
fn a_token_that_is_refused_is_read_again_once() {
    let lawful = Arc::new(Mutex::new("a".to_owned()));
    let known = lawful.clone();
    let fake = Fake::new(move |request| {
        let field = format!("Bearer {}", known.lock().unwrap());
        if request.field("authorization") != Some(&field) {
            return request.answer(401, "WWW-Authenticate: Bearer\r\n", "");
        }
        if !request.is_served("s1") {
            request.result("", "{}");
        }
    });
    let folder = std::env::temp_dir().join(format!("rill-token-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    let write = |text: &str| write_token(&file, text);
    let change = |token: &str| token.clone_into(&mut lawful.lock().unwrap());
    write("old");
    let mut connect = Connect::to(&[&fake.url(), "--token-file", file.to_str().unwrap()]);
    assert!(error(&connect.ask(0, "initialize", crate::hello("2025-11-25"))).contains("401"));
    assert_eq!(fake.count("POST /mcp initialize"), 1, "the file has no other one");
    // Before the session is open, in it, without one, and for what gets no answer.
    write("a");
    connect.initialize("2025-11-25");
    assert_eq!(fake.count("POST /mcp initialize"), 3);
    // Then nothing is sent without a message.
    wait_until("its stream is asked for", || fake.count("GET /mcp ") == 1);
    change("b");
    write("b");
    assert_eq!(connect.ask(1, "x/y", json!({}))["result"], json!({}));
    change("c");
    write("c");
    assert_eq!(connect.ask(2, "x/y", lone(json!({})))["result"], json!({}));
    assert_eq!(fake.count("POST /mcp x/y"), 4);
    change("d");
    write("d");
    connect.tell(&json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    wait_until("it arrives", || fake.count("POST /mcp notifications/x") == 2);
    assert_eq!(
        connect.ask(3, "x/y", json!({}))["result"],
        json!({}),
        "it is known that there is another one"
    );
    assert_eq!(fake.count("POST /mcp x/y"), 5);
    connect.says("the server has refused the token; the one that --token-file has now is used");

    // The file has no other one, one that is refused too, and then no token.
    change("e");
    assert!(error(&connect.ask(4, "x/y", json!({}))).contains("401"));
    assert_eq!(fake.count("POST /mcp x/y"), 6);
    write("f");
    assert!(error(&connect.ask(5, "x/y", json!({}))).contains("401"));
    assert_eq!(fake.count("POST /mcp x/y"), 8, "once more, and no more than that");
    write("two tokens");
    assert!(error(&connect.ask(6, "x/y", json!({}))).contains("401"));
    assert_eq!(fake.count("POST /mcp x/y"), 9);
    connect.says("it has to have one token and nothing else");
    // It is right again, and the program goes on.
    write("e");
    assert_eq!(connect.ask(7, "x/y", json!({}))["result"], json!({}));
    connect.end();
    std::fs::remove_dir_all(folder).unwrap();
}

fn write_token(file: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The stream of a request breaks, and the token is refused when the rest is asked for: the request would run twice if it were sent again.
#[test]
fn a_request_that_was_taken_is_not_sent_again_with_another_token() {
    let folder = std::env::temp_dir().join(format!("rill-token-of-stream-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    write_token(&file, "a");
    let (lawful, written) = (Mutex::new("a"), file.clone());
    let fake = Fake::new(move |request| {
        let mut lawful = lawful.lock().unwrap();
        if request.field("authorization") != Some(&format!("Bearer {lawful}")) {
            return request.answer(401, "WWW-Authenticate: Bearer\r\n", "");
        }
        match (request.rpc().as_str(), request.field("last-event-id")) {
            ("tools/call", _) => {
                request.begin_stream("");
                request.event("id: 1\nretry: 10\n", "");
                *lawful = "b";
                write_token(&written, "b");
            }
            (_, Some("1")) => {
                request.begin_stream("");
                request.event("", r#"{"jsonrpc":"2.0","id":1,"result":{"rest":1}}"#);
            }
            _ => drop(request.is_served("s1")),
        }
    });
    let mut connect = Connect::to(&[&fake.url(), "--token-file", file.to_str().unwrap()]);
    connect.initialize("2025-11-25");
    assert_eq!(connect.ask(1, "tools/call", call("pay", json!({})))["result"]["rest"], 1);
    assert_eq!(fake.count("POST /mcp tools/call"), 1);
    connect.end();
    std::fs::remove_dir_all(folder).unwrap();
}
