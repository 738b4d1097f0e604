//! Connections whose messages are lines: MCP over standard input and output.

use std::time::Duration;

use mcp_rill::{Limits, Peer, Server, Tool};
use serde_json::{Value, json};

use crate::common::http::{INITIALIZE, call, get, ping, request};
use crate::common::questions::{ALL, Pool, one, text};
use crate::common::{Cut, Seen, Sock, World, demo, local};

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// A connection that has initialized.
fn connect(world: &mut World, revision: &str, capabilities: &str) -> Sock {
    let sock = world.connect_lines();
    let info = r#"{"name":"tester","version":"9"}"#;
    let params =
        format!(r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{info}}}"#);
    let reply = one(world.say(sock, &request(0, "initialize", &params)));
    assert_eq!(reply["result"]["protocolVersion"], revision, "{reply}");
    assert!(world.say(sock, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).is_empty());
    sock
}

/// A request of 2026-07-28.
fn lone(id: impl Into<Value>, method: &str, params: Value) -> String {
    lone_with(id, method, params, json!({}))
}

fn lone_with(id: impl Into<Value>, method: &str, mut params: Value, meta: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    });
    let members = meta.as_object().unwrap().clone();
    params["_meta"].as_object_mut().unwrap().extend(members);
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}).to_string()
}

fn lone_call(id: impl Into<Value>, tool: &str, arguments: Value) -> String {
    lone(id, "tools/call", json!({"name": tool, "arguments": arguments}))
}

fn cancel(id: Value) -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}).to_string()
}

fn world(limits: Limits) -> World {
    World::new(demo::streaming(demo::server()).limits(limits))
}

fn default_world() -> World {
    world(Limits::DEFAULT)
}

fn error_of(reply: &Value) -> (i64, &str) {
    (reply["error"]["code"].as_i64().unwrap(), reply["error"]["message"].as_str().unwrap())
}

#[test]
fn every_revision_is_spoken() {
    let mut world = default_world();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let sock = connect(&mut world, revision, "{}");
        let reply = one(world.say(sock, &call(1, "echo", r#"{"text":"a\nb\u2028"}"#)));
        assert_eq!((&reply["id"], text(&reply)), (&json!(1), "a\nb\u{2028}"));
        let reply = one(world.say(sock, &call(2, "who", "{}")));
        assert!(text(&reply).starts_with(&format!("tester {revision} ")), "{reply}");
    }
    assert_eq!(world.stats().sessions, 4);
    // In any order on one connection.
    let sock = connect(&mut world, "2025-11-25", "{}");
    for id in [json!(1), json!("one")] {
        let reply = one(world.say(sock, &lone_call(id.clone(), "echo", json!({"text": "alone"}))));
        assert_eq!((&reply["id"], text(&reply)), (&id, "alone"));
        assert_eq!(reply["result"]["resultType"], "complete", "{reply}");
        let reply = one(world.say(sock, &call(&id, "echo", r#"{"text":"together"}"#)));
        assert!(text(&reply) == "together" && reply["result"].get("resultType").is_none(), "{reply}");
    }
    let reply = one(world.say(sock, &lone(3, "server/discover", json!({}))));
    assert_eq!(reply["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!((world.stats().sessions, world.stats().calls), (5, 0));
    world.quiesce();
}

#[test]
fn requests_that_describe_their_client_are_checked() {
    let mut world = default_world();
    let sock = world.connect_lines();
    let later = lone(1, "ping", json!({})).replace("2026-07-28", "2027-01-01");
    let reply = one(world.say(sock, &later));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(1), -32022), "{reply}");
    assert_eq!(reply["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "2027-01-01"}));
    let meta = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let reply = one(world.say(sock, &request(2, "tools/list", meta)));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(2), -32602), "{reply}");
    let reply = one(world.say(sock, &lone(3, "tools/fly", json!({}))));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(3), -32601), "{reply}");
    // Notifications of that revision but one mean nothing.
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":META}"#;
    assert!(world.say(sock, &notice.replace("META", meta)).is_empty());
    world.engine.handle().tools_changed();
    world.advance(Duration::ZERO);
    assert_eq!(world.lines(sock), [] as [Value; 0], "it is not in operation");
    world.quiesce();
}

#[test]
fn no_header_fields_are_asked_for() {
    let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
    let route = Tool::new("route", "Go")
        .input_schema(schema)
        .handler(|value: Value, call| format!("{} {:?}", value["region"], call.header("mcp-param-region")));
    let mut world = World::new(Server::new("lines", "1").offer(route));
    let sock = world.connect_lines();
    let reply = one(world.say(sock, &lone_call(1, "route", json!({"region": "eu"}))));
    assert_eq!(text(&reply), "\"eu\" None");
}

#[test]
fn what_is_no_message_is_answered_and_the_connection_lives_on() {
    let mut world = default_world();
    let sock = world.connect_lines();
    for (line, id, code) in [
        ("no JSON", json!(null), -32700),
        ("{", json!(null), -32700),
        ("\u{1}", json!(null), -32700),
        ("3", json!(null), -32600),
        ("{}", json!(null), -32600),
        (r#"{"jsonrpc":"2.0","id":7}"#, json!(7), -32600),
        (r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, json!("x"), -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
            json!(null),
            -32700,
        ),
        ("[]", json!(null), -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, json!(null), -32600),
    ] {
        let reply = one(world.say(sock, line));
        assert_eq!((reply.get("id"), error_of(&reply).0), (Some(&id), code), "{line}: {reply}");
        assert!(matches!(&world.events()[..], [.., Seen::Refused(400, _)]), "{line}");
    }
    world.send(sock, b"\xff\n");
    assert_eq!(error_of(&one(world.lines(sock))).0, -32700);
    // Blank lines are nothing; a byte order mark and a CR are no part of a message.
    world.send(sock, format!("\n\r\n \t\r\n\u{feff}{}\r\n", ping(8)));
    assert_eq!(world.lines(sock), [json!({"jsonrpc": "2.0", "id": 8, "result": {}})]);
    assert_eq!(world.stats().refused, 11);
    world.quiesce();
}

/// Something of everything, for a connection that is torn.
fn transcript() -> Vec<String> {
    let batch = format!("[{},{}]", ping("\"a\""), call("\"b\"", "echo", r#"{"text":"in a batch"}"#));
    vec![
        request(0, "initialize", &INITIALIZE.replace("2025-11-25", "2025-03-26")),
        "\r".to_owned(),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned() + "\r",
        call(1, "steps", r#"{}"#).replace("\"params\":{", r#""params":{"_meta":{"progressToken":"p"},"#),
        String::new(),
        "no JSON".to_owned(),
        batch,
        lone_call("alone", "echo", json!({"text": "\u{fc}"})),
        "x".repeat(700),
        request(2, "resources/read", r#"{"uri":"demo:///about"}"#),
        // Without an end.
        ping(3),
    ]
}

#[test]
fn lines_do_not_depend_on_how_they_are_torn() {
    let input = transcript().join("\n");
    let run = |reads: Cut, writes: Cut| {
        let limits = Limits { body_bytes_max: 600, ..Limits::DEFAULT };
        let mut world = World::cut(demo::streaming(demo::server()).limits(limits), reads, writes);
        let sock = world.connect_lines();
        world.send(sock, &input);
        world.half_close(sock);
        assert!(world.closed(sock));
        let text = world.take_text(sock);
        world.assert_empty();
        text
    };
    let expected = run(Cut::Whole, Cut::Whole);
    let lines: Vec<Value> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let name = |line: &Value| match &line["method"] {
        Value::Null if line.is_array() => "batch".to_owned(),
        Value::Null => format!("{} {}", line["id"], line["error"]["code"]),
        method => method.to_string(),
    };
    assert_eq!(
        lines.iter().map(name).collect::<Vec<_>>(),
        [
            "0 null",
            "\"notifications/progress\"",
            "\"notifications/message\"",
            "1 null",
            "null -32700",
            "batch",
            "\"alone\" null",
            "null -32700",
            "2 null",
            "3 null"
        ],
        "{expected}"
    );
    for at in 1..input.len() {
        assert_eq!(run(Cut::At(at), Cut::At(at % 50)), expected, "torn at {at}");
    }
    for cut in Cut::kinds() {
        assert_eq!(run(cut, cut), expected, "{cut:?}");
    }
}

#[test]
fn a_line_has_a_longest_length() {
    let limits = Limits { body_bytes_max: 200, ..Limits::DEFAULT };
    for cut in [Cut::Whole, Cut::Bytes] {
        let mut world = World::cut(demo::server().limits(limits.clone()), cut, cut);
        let sock = world.connect_lines();
        let line = |bytes: usize| format!("{:bytes$}", ping(1));
        for end in ["\n", "\r\n"] {
            world.send(sock, line(200) + end);
            assert_eq!(world.lines(sock), [json!({"jsonrpc": "2.0", "id": 1, "result": {}})]);
            world.send(sock, line(201));
            let early = world.lines(sock);
            world.send(sock, "x".repeat(5000) + end + &ping(2) + end);
            let mut lines = early;
            lines.extend(world.lines(sock));
            let told = "Parse error: the line has more bytes than body_bytes_max (200); it is skipped";
            assert_eq!(error_of(&lines[0]), (-32700, told), "{lines:?}");
            assert_eq!((&lines[0]["id"], &lines[1]["id"], lines.len()), (&json!(null), &json!(2), 2));
        }
        assert!(world.events().contains(&Seen::Refused(
            413,
            "Parse error: the line has more bytes than body_bytes_max (200); it is skipped".to_owned()
        )));
        world.quiesce();
    }
}

#[test]
fn batches_are_answered_in_one_line() {
    let mut world = World::new(demo::streaming(demo::server()));
    let sock = connect(&mut world, "2025-03-26", ALL);
    let steps = call(2, "steps", "{}");
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let lines = world.say(sock, &format!("[{},{notice},{steps},{}]", ping(1), call(3, "fail", "{}")));
    let [log, batch] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(log["method"], "notifications/message");
    let ids: Vec<&Value> = batch.as_array().unwrap().iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, [1, 2, 3]);
    // Of one message; of notifications alone.
    assert_eq!(one(world.say(sock, &format!("[{}]", ping(1)))).as_array().unwrap().len(), 1);
    assert!(world.say(sock, &format!("[{notice},{notice}]")).is_empty());
}

#[test]
fn a_batch_waits_for_its_last_response() {
    let mut world = default_world();
    let sock = connect(&mut world, "2025-03-26", "{}");
    let batch = format!("[{},{},{}]", ping(1), call(2, "later", "{}"), call(3, "later", "{}"));
    assert!(world.say(sock, &batch).is_empty());
    assert_eq!(one(world.say(sock, &ping(4)))["id"], 4, "others do not wait");
    let reply = one(world.say(sock, &format!("[{}]", ping(2))));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(2), -32600));
    assert_eq!(error_of(&one(world.say(sock, &ping(3)))).0, -32600, "an id names one request");
    assert!(world.say(sock, &cancel(json!(2))).is_empty());
    world.advance(Limits::DEFAULT.tool_timeout);
    let batch = one(world.lines(sock));
    let ids: Vec<&Value> = batch.as_array().unwrap().iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, [1, 3], "a request that was cancelled gets no response");
    // Where all are cancelled, there is nothing to say.
    assert!(world.say(sock, &format!("[{}]", call(5, "later", "{}"))).is_empty());
    assert!(world.say(sock, &cancel(json!(5))).is_empty());
    assert_eq!(world.stats().calls, 0);
    // One that is open when its client goes leaves nothing.
    world.say(sock, &batch_of(&[call(6, "later", "{}"), ping(7)]));
    world.reset(sock);
    world.assert_empty();
}

fn batch_of(messages: &[String]) -> String {
    format!("[{}]", messages.join(","))
}

#[test]
fn batches_have_a_most_of_messages_and_of_calls() {
    let limits = Limits { batch_max: 3, calls_max: 4, ..Limits::DEFAULT };
    let mut world = world(limits);
    let sock = connect(&mut world, "2025-03-26", "{}");
    let batch =
        |ids: std::ops::Range<u32>| batch_of(&ids.map(|id| call(id, "later", "{}")).collect::<Vec<_>>());
    let reply = one(world.say(sock, &batch(0..4)));
    assert!(error_of(&reply).1.contains("limit batch_max"), "{reply}");
    assert!(world.say(sock, &batch(0..3)).is_empty());
    assert!(world.say(sock, &batch(3..6)).is_empty());
    world.advance(Limits::DEFAULT.tool_timeout);
    let batches = world.lines(sock);
    assert_eq!(batches.len(), 2);
    let busy = batches[1].as_array().unwrap().iter().filter(|reply| reply["error"]["code"] == -32000).count();
    assert_eq!(busy, 2, "{batches:?}");
    // Elements with a revision of their own, or `initialize`, are refused with all others.
    for wrong in [lone(9, "ping", json!({})), request(9, "initialize", INITIALIZE)] {
        assert_eq!(error_of(&one(world.say(sock, &batch_of(&[ping(8), wrong])))).0, -32600);
    }
    world.quiesce();
}

#[test]
fn questions_are_asked_both_ways() {
    let mut world = default_world();
    let sock = connect(&mut world, "2025-11-25", ALL);
    let question = one(world.say(sock, &call(1, "ask", "{}")));
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"],
        "result": {"action": "accept", "content": {"name": "Ada"}}});
    assert_eq!(text(&one(world.say(sock, &answer.to_string()))), "Ada");
    assert!(world.say(sock, &answer.to_string()).is_empty(), "an answer to nothing");
    assert!(matches!(&world.events()[..], [.., Seen::Stray(..)]));
    // Without a session the question is a result, and the answer comes with the next request.
    let result = one(world.say(sock, &lone_call(2, "ask", json!({}))));
    assert_eq!(result["result"]["resultType"], "input_required", "{result}");
    let (key, _) = result["result"]["inputRequests"].as_object().unwrap().iter().next().unwrap();
    let again = json!({"name": "ask", "arguments": {}, "requestState": result["result"]["requestState"],
        "inputResponses": {key: {"action": "accept", "content": {"name": "Bob"}}}});
    assert_eq!(text(&one(world.say(sock, &lone(2, "tools/call", again)))), "Bob");
    world.quiesce();
}

#[test]
fn progress_and_logs_go_where_they_are_wanted() {
    let mut world = default_world();
    let sock = connect(&mut world, "2025-11-25", "{}");
    assert_eq!(
        one(world.say(sock, &request(1, "logging/setLevel", r#"{"level":"error"}"#)))["result"],
        json!({})
    );
    let reply = one(world.say(sock, &call(2, "steps", "{}")));
    assert_eq!(text(&reply), "done");
    // The level of a request without a session is its own.
    let meta = json!({LOG_LEVEL: "debug", "progressToken": "mine"});
    let params = json!({"name": "steps", "arguments": {}});
    let lines = world.say(sock, &lone_with(3, "tools/call", params.clone(), meta));
    let methods: Vec<&Value> = lines.iter().map(|line| &line["method"]).collect();
    assert_eq!(methods, [&json!("notifications/progress"), &json!("notifications/message"), &json!(null)]);
    assert_eq!(lines[0]["params"]["progressToken"], "mine");
    assert_eq!(world.say(sock, &lone(4, "tools/call", params)).len(), 1, "no level, no logs");
    world.quiesce();
}

#[test]
fn requests_are_cancelled_by_their_id() {
    let mut world = default_world();
    let sock = connect(&mut world, "2025-11-25", "{}");
    for request in [call(1, "later", "{}"), lone_call("one", "later", json!({}))] {
        let id = serde_json::from_str::<Value>(&request).unwrap()["id"].clone();
        assert!(world.say(sock, &request).is_empty());
        assert_eq!(world.stats().calls, 1);
        let reply = one(world.say(sock, &ping(&id)));
        assert_eq!((&reply["id"], error_of(&reply).0), (&id, -32600), "an id is in flight once");
        let reply = one(world.say(sock, &lone(id.clone(), "tools/list", json!({}))));
        assert_eq!((&reply["id"], error_of(&reply).0), (&id, -32600));
        assert!(world.say(sock, &cancel(id.clone())).is_empty());
        assert_eq!(world.stats().calls, 0);
        assert_eq!(one(world.say(sock, &ping(&id)))["id"], id);
    }
    assert!(world.say(sock, &cancel(json!(9))).is_empty());
    world.quiesce();
}

#[test]
fn subscriptions_and_lists_are_told_of() {
    let mut world = default_world();
    let sock = connect(&mut world, "2025-11-25", "{}");
    let about = json!({"uri": "demo:///about"});
    assert_eq!(
        one(world.say(sock, &request(1, "resources/subscribe", &about.to_string())))["result"],
        json!({})
    );
    let filter =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["demo:///about"]}});
    for id in ["a", "b"] {
        let acknowledged = one(world.say(sock, &lone(id, "subscriptions/listen", filter.clone())));
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    }
    assert_eq!(world.stats().calls, 2);
    world.engine.handle().resource_updated("demo:///about");
    world.engine.handle().tools_changed();
    world.advance(Duration::ZERO);
    world.jump(world.now.mono);
    world.run();
    let told = |lines: Vec<Value>| {
        let name = |line: &Value| {
            let id = &line["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
            format!("{} {id}", line["method"].as_str().unwrap().rsplit('/').next().unwrap())
        };
        let mut told: Vec<String> = lines.iter().map(name).collect();
        told.sort();
        told
    };
    let all = [
        "list_changed \"a\"",
        "list_changed \"b\"",
        "list_changed null",
        "updated \"a\"",
        "updated \"b\"",
        "updated null",
    ];
    assert_eq!(told(world.lines(sock)), all);
    assert!(world.say(sock, &cancel(json!("a"))).is_empty());
    world.engine.handle().tools_changed();
    world.advance(Duration::ZERO);
    world.jump(world.now.mono);
    world.run();
    assert_eq!(told(world.lines(sock)), ["list_changed \"b\"", "list_changed null"]);
    // At the end of the server a listener gets its result.
    world.shutdown(Duration::from_secs(1));
    let result = one(world.lines(sock));
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!("b"), &json!("complete")));
    assert!(world.ended(sock));
    world.quiesce();
}

#[test]
fn nobody_who_reads_slowly_is_told_everything() {
    let limits = demo::small_budgets();
    let mut world = world(limits.clone());
    let sock = connect(&mut world, "2025-11-25", "{}");
    let about = json!({"uri": "demo:///about"});
    world.say(sock, &request(1, "resources/subscribe", &about.to_string()));
    let filter = json!({"notifications": {"resourceSubscriptions": ["demo:///about"]}});
    for id in ["a", "b"] {
        world.say(sock, &lone(id, "subscriptions/listen", filter.clone()));
    }
    world.reads_only(sock, 0);
    world.tell(sock, &call(2, "big", r#"{"bytes":7000}"#));
    world.tell(sock, &call(3, "big", r#"{"bytes":7000}"#));
    for _ in 0..50 {
        world.engine.handle().resource_updated("demo:///about");
        world.advance(Duration::ZERO);
        world.jump(world.now.mono);
        world.run();
    }
    world.reads_all(sock);
    let lines = world.lines(sock);
    let updates = lines.iter().filter(|line| line["method"] == "notifications/resources/updated");
    let ids: Vec<&Value> =
        updates.map(|line| &line["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]).collect();
    // The latest for each of the three, and none is taken for another one's.
    assert_eq!(ids.len(), 3, "{ids:?}");
    for id in [json!("a"), json!("b"), json!(null)] {
        assert!(ids.contains(&&id), "{ids:?}");
    }
    world.quiesce();
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let limits = demo::small_budgets();
    let half = limits.output_bytes_max / 2;
    let mut world = world(limits.clone());
    let sock = world.connect_lines();
    world.reads_only(sock, 0);
    let big = call(1, "big", r#"{"bytes":2000}"#);
    for _ in 0..40 {
        world.tell(sock, &big);
    }
    let waits = world.engine.outgoing(world.key(sock)).len();
    assert!(waits > half && waits < half + 4096, "{waits}");
    assert!(!world.wants_read(sock) && world.unread(sock) > 0);
    world.reads_all(sock);
    assert_eq!((world.lines(sock).len(), world.unread(sock)), (40, 0), "nothing is lost");
    // Lines that came in one read wait as well.
    world.reads_only(sock, 0);
    world.send(sock, format!("{big}\n").repeat(40));
    assert_eq!(world.unread(sock), 0);
    let waits = world.engine.outgoing(world.key(sock)).len();
    assert!(waits > half && waits < half + 4096, "{waits}");
    world.reads_all(sock);
    assert_eq!(world.lines(sock).len(), 40);
    // One that never reads is closed.
    world.reads_only(sock, 0);
    world.send(sock, format!("{big}\n").repeat(20));
    world.advance(limits.write_timeout - Duration::from_millis(1));
    assert!(!world.closed(sock));
    world.advance(Duration::from_millis(1));
    assert!(world.closed(sock));
    assert!(matches!(&world.events()[..], [.., Seen::SlowReader(_), Seen::Closed]));
    world.assert_empty();
}

#[test]
fn calls_have_a_most_whatever_they_speak() {
    let mut world = world(Limits { calls_max: 2, batch_max: 2, ..Limits::DEFAULT });
    let sock = connect(&mut world, "2025-11-25", "{}");
    assert!(world.say(sock, &call(1, "later", "{}")).is_empty());
    assert!(world.say(sock, &lone_call(2, "later", json!({}))).is_empty());
    let reply = one(world.say(sock, &call(3, "later", "{}")));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(3), -32000), "{reply}");
    let reply = one(world.say(sock, &lone_call(4, "later", json!({}))));
    assert_eq!((&reply["id"], error_of(&reply).0), (&json!(4), -32603), "{reply}");
    assert_eq!(one(world.say(sock, &ping(5)))["result"], json!({}), "a ping always finds room");
    assert_eq!((world.stats().calls, world.stats().busy), (2, 2));
    assert!(world.say(sock, &cancel(json!(2))).is_empty());
    assert!(world.say(sock, &lone_call(4, "later", json!({}))).is_empty());
    world.quiesce();
}

#[test]
fn half_a_line_gives_way_where_there_is_no_room() {
    let limits = demo::small_budgets();
    let mut world = world(limits.clone());
    let socks: Vec<Sock> = (0..6).map(|_| world.connect_lines()).collect();
    // Each begins a line that may be as long, but not all of them at once.
    for sock in &socks {
        world.send(*sock, "x".repeat(limits.body_bytes_max));
        assert!(world.stats().buffered_bytes <= limits.buffered_bytes_max);
    }
    let skipped: Vec<Value> = socks.iter().flat_map(|sock| world.lines(*sock)).collect();
    assert_eq!(skipped.len(), 2);
    for reply in &skipped {
        assert_eq!((&reply["id"], error_of(reply).0), (&json!(null), -32000), "{reply}");
        assert!(error_of(reply).1.contains("limit buffered_bytes_max"), "{reply}");
    }
    for sock in &socks {
        world.tell(*sock, "");
        world.lines(*sock);
        world.tell(*sock, &ping(1));
        assert_eq!(one(world.lines(*sock))["id"], 1);
    }
    world.quiesce();
}

#[test]
fn one_line_may_take_the_whole_budget() {
    let limits = Limits { buffered_bytes_max: 24 << 10, ..demo::small_budgets() };
    let mut world = world(limits.clone());
    let sock = world.connect_lines();
    let line = format!("{:1$}", ping(1), limits.body_bytes_max);
    for piece in [1, 100, 5000] {
        line.as_bytes().chunks(piece).for_each(|bytes| world.send(sock, bytes));
        world.send(sock, "\n");
        assert_eq!(one(world.lines(sock))["id"], 1);
    }
}

#[test]
fn the_end_of_the_input_lets_open_calls_end() {
    let mut world = default_world();
    let pool = Pool::new(&mut world);
    let sock = connect(&mut world, "2025-11-25", ALL);
    world.send(
        sock,
        format!("{}\n{}", call(1, "echo", r#"{"text":"x"}"#), call(2, "echo", r#"{"text":"y"}"#)),
    );
    world.half_close(sock);
    assert_eq!(world.lines(sock).len(), 2, "the last line needs no end");
    assert!(world.closed(sock));
    world.assert_empty();
    // Those that take their time are waited for.
    for late in [false, true] {
        let limits =
            Limits { tool_timeout: Duration::from_secs(if late { 60 } else { 2 }), ..Limits::DEFAULT };
        let grace = limits.shutdown_grace;
        let mut world = self::world(limits);
        let sock = connect(&mut world, "2025-11-25", ALL);
        world.tell(sock, &call(1, "later", "{}"));
        world.tell(sock, &lone_call(2, "later", json!({})));
        world.half_close(sock);
        assert!(world.lines(sock).is_empty() && !world.ended(sock));
        world.advance(Duration::from_secs(2));
        assert_eq!((world.lines(sock).len(), world.closed(sock)), if late { (0, false) } else { (2, true) });
        world.advance(grace);
        assert!(world.closed(sock), "the grace is over");
        world.assert_empty();
    }
    drop(pool);
}

#[test]
fn a_shutdown_waits_for_calls_and_takes_no_more() {
    let mut world = default_world();
    let (idle, busy) = (world.connect_lines(), connect(&mut world, "2025-11-25", ALL));
    world.tell(busy, &call(1, "later", "{}"));
    let question = one(world.say(busy, &call(2, "ask", "{}")));
    world.shutdown(Duration::from_secs(100));
    assert!(world.ended(idle) && !world.ended(busy));
    let over = world.lines(busy);
    assert_eq!(
        (&over[0]["params"]["requestId"], &over[1]["id"], over.len()),
        (&question["id"], &json!(2), 2)
    );
    let refused = one(world.say(busy, &ping(3)));
    assert_eq!(error_of(&refused), (-32000, "busy: the server is shutting down; try again"));
    let refused = one(world.say(busy, &lone(4, "tools/list", json!({}))));
    assert_eq!((&refused["id"], error_of(&refused).0), (&json!(4), -32603));
    world.advance(Limits::DEFAULT.tool_timeout);
    assert_eq!(one(world.lines(busy))["id"], 1);
    assert!(world.ended(busy));
    world.half_close(busy);
    world.half_close(idle);
    assert!(world.engine.is_finished());
    world.assert_empty();
}

#[test]
fn places_are_those_of_all_sessions() {
    let limits = Limits { sessions_max: 1, connections_max: 3, ..Limits::DEFAULT };
    let mut world = world(limits);
    let first = world.connect_lines();
    let second = world.connect_lines();
    let refused = one(world.lines(second));
    assert_eq!((&refused["id"], error_of(&refused).0), (&json!(null), -32000));
    assert!(error_of(&refused).1.contains("limit sessions_max"), "{refused}");
    assert!(world.ended(second) && !world.ended(first));
    world.half_close(second);
    assert!(world.closed(second));
    // They are neither evicted nor found by an id.
    let http = world.connect();
    let id = "00000000-0000-4000-8000-000000000002";
    world.send(http, crate::common::http::post(&format!("/messages?sessionId={id}"), &ping(1)));
    assert_eq!(world.response(http).status, 400);
    world.send(http, get("/sse"));
    assert_eq!(world.response(http).status, 503);
    world.reset(first);
    world.send(http, get("/sse"));
    assert!(world.take_text(http).starts_with("HTTP/1.1 200"));
    world.quiesce();
}

#[test]
fn connections_of_one_address_are_counted() {
    let limits = Limits { connections_per_peer_max: 1, ..Limits::DEFAULT };
    let mut world = world(limits);
    let peer = || Peer { address: Some(([192, 0, 2, 1], 1).into()), ..local() };
    let first = world.connect_lines_as(peer());
    let second = world.connect_lines_as(peer());
    let refused = one(world.lines(second));
    assert!(error_of(&refused).1.contains("limit connections_per_peer_max"), "{refused}");
    assert!(world.ended(second));
    let third = world.connect_lines_as(peer());
    assert_eq!((world.take_text(third), world.closed(third)), (String::new(), true));
    assert_eq!(one(world.say(first, &ping(1)))["id"], 1);
}

#[cfg(feature = "auth")]
#[test]
fn who_the_peer_is_says_its_principal() {
    let server = Server::new("lines", "1").tool("me", "Say who calls", |(), call| {
        call.principal().map_or_else(|| "nobody".to_owned(), |principal| principal.name().to_owned())
    });
    let server = server.authorize(|_| Err(mcp_rill::Denied::missing()));
    let mut world = World::new(server);
    let sock = world.connect_lines_as(crate::common::principal("ada"));
    assert_eq!(text(&one(world.say(sock, &call(1, "me", "{}")))), "ada");
    assert_eq!(text(&one(world.say(sock, &lone_call(2, "me", json!({}))))), "ada");
    world.engine.handle().reauthorize();
    world.advance(Duration::ZERO);
    assert_eq!(text(&one(world.say(sock, &call(3, "me", "{}")))), "ada");
}

#[test]
fn an_idle_connection_is_left_alone() {
    let mut world = default_world();
    let sock = world.connect_lines();
    world.send(sock, "{\"half\":");
    assert!(world.take(sock).is_empty());
    world.advance(Duration::from_secs(24 * 3600));
    assert!(world.take(sock).is_empty() && !world.ended(sock), "no comments, no deadline");
    world.tell(sock, "1}");
    assert_eq!(error_of(&one(world.lines(sock))).0, -32600);
    world.quiesce();
}

#[test]
fn no_output_holds_a_raw_line_break() {
    let mut world = World::new(demo::server());
    let sock = world.connect_lines();
    // One tool has a schema that was written over several lines.
    for request in
        [request(1, "tools/list", "{}"), call(2, "samples", "{}"), call(3, "raw", r#"{"a":"\n\r\u2028"}"#)]
    {
        world.tell(sock, &request);
        let output = world.take_text(sock);
        assert_eq!(output.matches(['\n', '\r']).count(), 1, "{output}");
    }
}
