//! Lines of every revision: batches, and requests without a session among those of one.

use super::*;
use crate::common::http::INITIALIZE;

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

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
    world.tick();
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
    world.tick();
    assert_eq!(told(world.lines(sock)), ["list_changed \"b\"", "list_changed null"]);
    // At the end of the server a listener gets its result.
    world.shutdown(Duration::from_secs(1));
    let result = one(world.lines(sock));
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!("b"), &json!("complete")));
    assert!(world.ended(sock));
    world.quiesce();
}

#[test]
fn a_slow_reader_gets_only_the_latest_notifications() {
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
        world.tick();
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
