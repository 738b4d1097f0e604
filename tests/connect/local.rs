//! Local clients that do what they should not, or go away.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::eras::server;
use crate::fake::{Fake, WELCOME};
use crate::{Connect, Running, call, command, error, initialized, lone, request, text, wait_until};

#[test]
fn what_came_before_the_end_of_the_input_is_answered() {
    let running = Running::start(server());
    for path in ["/mcp", "/sse"] {
        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-11-25");
        (1..=50).for_each(|id| connect.tell(&request(id, "ping", json!({}))));
        // The last one has no line feed.
        write!(connect.input.as_mut().unwrap(), "{}", request(51, "tools/list", json!({}))).unwrap();
        let mut ids: Vec<u64> = connect.end().iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=51).collect::<Vec<_>>(), "{path}");
        wait_until("the session has ended", || running.sessions() == 0);
    }
}

#[test]
fn a_subscription_does_not_hold_up_the_end() {
    let running = Running::start(server());
    let mut connect = Connect::to(&[&running.url("/mcp")]);
    let filter = json!({"notifications": {"toolsListChanged": true}});
    connect.tell(&request("s", "subscriptions/listen", lone(filter)));
    assert_eq!(connect.next()["method"], "notifications/subscriptions/acknowledged");
    let rest = connect.end();
    assert_eq!((rest.len(), &rest[0]["id"]), (1, &json!("s")), "it is told: {rest:?}");
    assert!(error(&rest[0]).contains("standard input has ended"));
}

#[test]
fn garbage_is_answered_and_skipped() {
    let running = Running::start(server());
    let mut connect = Connect::to(&[&running.url("/mcp")]);
    connect.initialize("2025-11-25");
    for (line, id, code) in [
        (&b"no JSON\n"[..], Value::Null, -32700),
        (b"\xff\xfe\n", Value::Null, -32700),
        (b"{}\n", Value::Null, -32600),
        (b"\"text\"\n", Value::Null, -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":7}\n", json!([1]), -32600),
        (b"{\"id\":1,\"id\":2,\"method\":\"ping\"}\n", Value::Null, -32600),
    ] {
        connect.input.as_mut().unwrap().write_all(line).unwrap();
        let answer = connect.next();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{answer}");
    }
    connect.input.as_mut().unwrap().write_all(b"\r\n  \n\xef\xbb\xbf").unwrap();
    assert!(connect.ask(1, "ping", json!({}))["result"].is_object());
}

/// Ids are JSON, and whatever JSON they are, an answer has the same.
#[test]
fn ids_of_any_type_come_back_as_they_are() {
    let fake = Fake::new(|request| {
        if !request.is_served("s1") {
            let body = &request.body;
            let id = &body[body.find("\"id\":").unwrap() + 5..body.find(",\"method\"").unwrap()];
            let answer = format!("{{\"jsonrpc\":\"2.0\",\n\"id\":{id},\"result\":{{\"id\":{id}}}}}");
            request.json("", &answer);
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    for id in [
        "1",
        "-7",
        "1.50",
        "123456789012345678901234567890.5e3",
        "\"1\"",
        "\"\\u00e9\\n\"",
        "null",
        "true",
        "{\"a\":[1]}",
    ] {
        connect.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x/y","extra":1.0}}"#));
        let line = connect.next_line();
        assert_eq!(line, format!(r#"{{"jsonrpc":"2.0", "id":{id},"result":{{"id":{id}}}}}"#));
    }
}

#[test]
fn messages_pass_byte_for_byte() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let fake = Fake::new(move |request| {
        if !request.is_served("s1") {
            seen.lock().unwrap().push(request.body.clone());
            request.begin_stream("");
            request.event("", r#"{"method":"notifications/x",  "params":{"n":1.0e2,"big":12345678901234567890123}, "jsonrpc":"2.0"}"#);
            request.event("", r#"{"result":{"_meta":{"a/b":1.50}},"id":5,"jsonrpc":"2.0"}"#);
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    let line = r#" {"method":"vendor/x", "params" : {"n":1.00,"big":98765432109876543210},"id":5,"jsonrpc":"2.0","unknown":[ ]}"#;
    connect.line(line);
    assert_eq!(
        connect.next_line(),
        r#"{"method":"notifications/x",  "params":{"n":1.0e2,"big":12345678901234567890123}, "jsonrpc":"2.0"}"#
    );
    assert_eq!(connect.next_line(), r#"{"result":{"_meta":{"a/b":1.50}},"id":5,"jsonrpc":"2.0"}"#);
    assert_eq!(*bodies.lock().unwrap(), [line]);
}

#[test]
fn a_client_that_has_gone_ends_the_program() {
    let running = Running::start(server());
    for path in ["/mcp", "/sse"] {
        let mut connect = Connect::without_reader(&mut command(&[&running.url(path)]));
        connect.tell(&request(0, "initialize", crate::hello("2025-11-25")));
        wait_until("there is a session", || running.sessions() == 1);
        drop(connect.process.stdout.take());
        connect.tell(&initialized());
        connect.tell(&request(1, "ping", json!({})));
        assert_eq!(connect.code(), Some(0));
        wait_until("the session has ended", || running.sessions() == 0);
        assert_eq!(*connect.said.lock().unwrap(), "");
    }
    // With its input at an end too, and a call that is never answered: that is not waited for.
    let mut connect = Connect::without_reader(&mut command(&[&running.url("/mcp")]));
    connect.tell(&request(0, "initialize", crate::hello("2025-11-25")));
    connect.tell(&initialized());
    connect.tell(&request(1, "tools/call", call("never", json!({}))));
    // Only a session of which it knows can be ended by it.
    let mut output = BufReader::new(connect.process.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    wait_until("there is a session", || running.sessions() == 1);
    drop(output);
    drop(connect.input.take());
    assert_eq!(connect.code(), Some(0));
    wait_until("the session has ended", || running.sessions() == 0);
}

/// The session is ended although its id is known only after the client has gone.
#[test]
fn a_client_that_goes_before_its_session_is_open_leaves_none() {
    let (opens, answers) = channel::<()>();
    let answers = Mutex::new(answers);
    let fake = Fake::new(move |request| {
        if request.rpc() == "initialize" {
            answers.lock().unwrap().recv().unwrap();
        }
        request.is_served("s1");
    });
    let mut connect = Connect::without_reader(&mut command(&[&fake.url()]));
    connect.tell(&request(0, "initialize", crate::hello("2025-11-25")));
    wait_until("it is asked for", || fake.count("POST /mcp initialize") == 1);
    drop(connect.process.stdout.take());
    drop(connect.input.take());
    // Too short a time could only hide that it ends before the answer.
    std::thread::sleep(std::time::Duration::from_millis(300));
    opens.send(()).unwrap();
    assert_eq!(connect.code(), Some(0));
    assert_eq!(fake.count("DELETE /mcp "), 1, "{:?}", fake.seen());
}

#[test]
fn a_signal_ends_it_in_good_order() {
    let running = Running::start(server());
    let mut connect = Connect::to(&[&running.url("/mcp")]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "tools/call", call("never", json!({}))));
    connect.ask(2, "ping", json!({}));
    let id = connect.process.id();
    assert!(Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().unwrap().success());
    assert!(error(&connect.next()).contains("the program was asked to end"));
    assert_eq!(connect.code(), Some(0));
    wait_until("the session has ended", || running.sessions() == 0);
}

/// Its memory stays as it is while nobody reads, and the server's output waits where it is.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_does_not_read_stalls_the_remote_server() {
    let (sender, sent) = channel::<u64>();
    let sender: Mutex<Sender<u64>> = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        if request.method == "GET" {
            request.begin_stream("");
            let event = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"x":"{}"}}}}"#,
                "x".repeat(1 << 20)
            );
            request.stream.set_write_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
            let mut bytes = 0;
            while bytes < 400 << 20 {
                match request.stream.write_all(format!("data: {event}\n\n").as_bytes()) {
                    Ok(()) => bytes += event.len() as u64,
                    Err(_) => break,
                }
            }
            sender.lock().unwrap().send(bytes).unwrap();
        } else {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::without_reader(&mut command(&[&fake.url()]));
    connect.tell(&request(0, "initialize", crate::hello("2025-11-25")));
    connect.tell(&initialized());
    let bytes = sent.recv_timeout(crate::PATIENCE).unwrap();
    assert!(bytes < 64 << 20, "{bytes} bytes were taken from the server");
    let status = std::fs::read_to_string(format!("/proc/{}/status", connect.process.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB are resident");
    // The end of its input ends it all the same, once it is clear that nobody will read.
    drop(connect.input.take());
    drop(connect.process.stdout.take());
    assert_eq!(connect.code(), Some(0));
}

#[test]
fn a_cancelled_request_is_not_answered_and_the_server_hears_of_it_afterwards() {
    let (sender, heard) = channel::<String>();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        if request.rpc() == "notifications/cancelled" || request.rpc() == "tools/call" {
            sender.lock().unwrap().send(request.rpc()).unwrap();
        }
        if !request.is_served("s1") && request.rpc() == "tools/call" {
            request.begin_stream("");
            // It answers all the same, when the connection is closed at the latest.
            request.wait_for_end();
        } else if request.rpc() == "ping" {
            request.result("", "{}");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request("c", "tools/call", call("never", json!({}))));
    assert_eq!(heard.recv_timeout(crate::PATIENCE).unwrap(), "tools/call");
    connect
        .tell(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}}));
    assert_eq!(heard.recv_timeout(crate::PATIENCE).unwrap(), "notifications/cancelled");
    connect.ask(2, "ping", json!({}));
    assert_eq!(connect.end(), Vec::<Value>::new());
}

/// Since 2026-07-28 the end of its connection cancels a request over HTTP.
#[test]
fn a_cancelled_request_without_a_session_has_its_connection_closed() {
    let (sender, ended) = channel::<&str>();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        let sender = sender.lock().unwrap().clone();
        request.begin_stream("");
        sender.send("begun").unwrap();
        request.wait_for_end();
        sender.send("closed").unwrap();
    });
    let mut connect = Connect::to(&[&fake.url()]);
    for (method, params) in
        [("tools/call", call("never", json!({}))), ("subscriptions/listen", json!({"notifications": {}}))]
    {
        connect.tell(&request(1, method, lone(params)));
        assert_eq!(ended.recv_timeout(crate::PATIENCE).unwrap(), "begun");
        connect.tell(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        );
        assert_eq!(ended.recv_timeout(crate::PATIENCE).unwrap(), "closed");
    }
    assert_eq!(connect.end(), Vec::<Value>::new());
    assert_eq!(fake.seen().len(), 2, "nothing is posted: {:?}", fake.seen());
}

#[test]
fn who_asks_is_said_in_header_fields() {
    let fake = Fake::new(|request| {
        let token = request.field("authorization").unwrap_or("none").to_owned();
        let other = request.field("x-other").unwrap_or("none").to_owned();
        let answer =
            request.response(&json!({"content": [{"text": format!("{token} {other}")}]}).to_string());
        request.json("", &answer);
    });
    let folder = std::env::temp_dir().join(format!("rill-connect-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (token, fields) = (folder.join("token"), folder.join("fields"));
    std::fs::write(&token, "of-a-file\n").unwrap();
    std::fs::write(&fields, "X-Other: 1\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (token, fields) = (token.to_str().unwrap(), fields.to_str().unwrap());
    let url = fake.url();
    for (arguments, variable, expected) in [
        (&[url.as_str()][..], None, "none none"),
        (&[&url], Some("of-the-environment"), "Bearer of-the-environment none"),
        (&[&url, "--token-file", token], Some("other"), "Bearer of-a-file none"),
        (
            &[&url, "--header", "Authorization: Basic eA==", "--header-file", fields],
            Some("x"),
            "Basic eA== 1",
        ),
    ] {
        let mut command = command(arguments);
        command.envs(variable.map(|token| ("MCP_TOKEN", token)));
        let mut connect = Connect::run(command);
        assert_eq!(text(&connect.ask(1, "tools/call", lone(call("who", json!({}))))), expected);
    }
    std::fs::remove_dir_all(folder).unwrap();

    let mut command = command(&[&url]);
    command.env("MCP_TOKEN", "se cret").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("MCP_TOKEN") && !said.contains("cret"), "{said}");
}

/// A form of what a client of 2024 does: the answer to `initialize` comes on the stream, with a question before it.
#[test]
fn a_question_before_the_session_is_open_can_be_answered() {
    let (sender, answered) = channel::<Value>();
    let (sender, answered) = (Mutex::new(sender), Mutex::new(answered));
    let fake = Fake::new(move |request| match (request.method.as_str(), request.rpc().as_str()) {
        ("GET", _) => {
            request.begin_stream("");
            request.event("event: endpoint\n", "/post?sessionId=1");
            request.event("", r#"{"jsonrpc":"2.0","id":"early","method":"ping"}"#);
            let answer = answered.lock().unwrap().recv().unwrap();
            assert_eq!(answer["id"], "early");
            request.event("", &format!(r#"{{"jsonrpc":"2.0","id":0,"result":{WELCOME}}}"#));
            request.wait_for_end();
        }
        ("POST", "") => {
            sender.lock().unwrap().send(request.message()).unwrap();
            request.answer(202, "", "");
        }
        ("POST", _) if request.target.starts_with("/post") => request.answer(202, "", ""),
        _ => request.answer(405, "", ""),
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.tell(&request(0, "initialize", crate::hello("2025-11-25")));
    assert_eq!(connect.next()["method"], "ping");
    connect.tell(&json!({"jsonrpc": "2.0", "id": "early", "result": {}}));
    assert_eq!(connect.next()["result"]["serverInfo"]["name"], "fake");
}

#[test]
fn standard_error_that_is_not_read_holds_up_nothing() {
    let fake = Fake::new(|request| {
        if request.is_served("s1") {
            return;
        }
        request.begin_stream("");
        (0..3000).for_each(|_| request.event("", "garbage"));
        let answer = request.response("{}");
        request.event("", &answer);
    });
    let mut process = command(&[&fake.url()]);
    let mut process = process.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    writeln!(
        input,
        "{}\n{}",
        request(0, "initialize", crate::hello("2025-11-25")),
        request(1, "x/y", json!({}))
    )
    .unwrap();
    drop(input);
    let mut output = String::new();
    process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output.lines().count(), 2, "{output}");
    assert!(process.wait().unwrap().success());
}
