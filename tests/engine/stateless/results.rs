//! What results have besides, what is said before them, and what ends a request.

use std::time::Duration;

use mcp_rill::{CacheScope, Capabilities, Limits, Resource, Server, Tool, ToolResult, schema};
use serde_json::{Value, json};

use super::clients::{call, request};
use crate::common::questions::{ALL, Client};
use crate::common::{Seen, World, demo, http};

const LEVEL: &str = "io.modelcontextprotocol/logLevel";

fn world() -> World {
    World::new(demo::streaming(demo::server()))
}

#[test]
fn every_result_says_what_it_is_and_whose() {
    let mut world = world();
    let info = json!({"name": "demo", "version": "1.2.3"});
    for (method, params, hinted) in [
        ("server/discover", json!({}), true),
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({"uri": "demo:///about"}), true),
        ("tools/call", json!({"name": "nothing"}), false),
        ("tools/call", json!({"name": "fail", "arguments": {}}), false),
        ("prompts/get", json!({"name": "chat"}), false),
    ] {
        let result = &request(1, method, params).reply(&mut world)["result"];
        assert_eq!(result["resultType"], "complete", "{method}");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"], info, "{method}");
        let hints = (result.get("ttlMs").cloned(), result.get("cacheScope").cloned());
        let wanted = hinted.then(|| json!(0)).zip(hinted.then(|| json!("private"))).unzip();
        assert_eq!(hints, wanted, "{method}");
    }
    let discovered = request("d", "server/discover", json!({})).reply(&mut world);
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(discovered["result"]["instructions"], "Try it.");
    assert_eq!(discovered["result"]["capabilities"]["tools"], json!({"listChanged": true}));
}

#[test]
fn hints_are_what_the_server_says() {
    let minute = Duration::from_secs(60);
    let server = Server::new("almanac", "1")
        .cache_lists(5 * minute, CacheScope::Public)
        .offer(Resource::new("a:///today", "today").cache(minute, CacheScope::Private).handler(|_| "sunny"))
        .offer(Resource::new("a:///now", "now").handler(|_| "rainy"));
    let mut world = World::new(server);
    let hints = |world: &mut World, method: &str, params: Value| {
        let result = request(1, method, params).reply(world)["result"].take();
        (result["ttlMs"].clone(), result["cacheScope"].clone())
    };
    for list in ["server/discover", "resources/list", "resources/templates/list"] {
        assert_eq!(hints(&mut world, list, json!({})), (json!(300_000), json!("public")));
    }
    let today = hints(&mut world, "resources/read", json!({"uri": "a:///today"}));
    assert_eq!(today, (json!(60_000), json!("private")));
    let now = hints(&mut world, "resources/read", json!({"uri": "a:///now"}));
    assert_eq!(now, (json!(0), json!("private")));
}

#[test]
fn what_is_not_found_is_an_invalid_parameter() {
    let mut world = world();
    let error = &request(1, "resources/read", json!({"uri": "demo:///none"})).reply(&mut world)["error"];
    assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32602), &json!("demo:///none")));
    let error = &call(1, "none", json!({})).reply(&mut world)["error"];
    assert_eq!(error["code"], -32602);
}

/// In every revision, from a handler of each kind, bare or inside another error.
#[test]
fn a_file_that_is_not_there_is_a_resource_that_is_not_there() {
    use std::io::{Error, ErrorKind};
    #[derive(Debug)]
    struct Outer(Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("page 7 cannot be read")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let server = Server::new("files", "1")
        .resource("file:///none", "none", |_| std::fs::read_to_string("/nowhere/none"))
        .resource("file:///inside", "inside", |_| Err::<String, _>(Outer(ErrorKind::NotFound.into())))
        .template("file:///locked/{name}", "locked", |_, _| {
            Err::<String, _>(Error::from(ErrorKind::PermissionDenied))
        })
        .resource("file:///words", "words", |_| Err::<String, _>("no disk"))
        .resource("file:///own", "own", |_| -> mcp_rill::Result<String> {
            Err(Error::new(ErrorKind::NotFound, mcp_rill::CallError::new(4001, "quota used up")).into())
        })
        .prompt("none", "None", |(), _| std::fs::read_to_string("/nowhere/none"));
    let mut world = World::new(server);
    let error_of = |world: &mut World, revision: &str, method: &str, params: Value| match revision {
        "2026-07-28" => request(1, method, params).reply(world)["error"].clone(),
        _ => {
            let client = Client::new(world, revision, ALL);
            client.ask(world, &http::request(1, method, &params.to_string()))["error"].clone()
        }
    };
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        let mut read = |uri: &str| error_of(&mut world, revision, "resources/read", json!({ "uri": uri }));
        let code = if revision == "2026-07-28" { -32602 } else { -32002 };
        for uri in ["file:///none", "file:///inside"] {
            let message = format!("Resource not found: {uri}");
            assert_eq!(read(uri), json!({ "code": code, "message": message, "data": { "uri": uri } }));
        }
        let message = "Internal error: the resource `file:///locked/a`: permission denied";
        assert_eq!(read("file:///locked/a"), json!({ "code": -32603, "message": message }));
        assert_eq!(read("file:///words")["message"], "Internal error: no disk");
        assert_eq!(read("file:///own")["code"], 4001);
        let prompt = error_of(&mut world, revision, "prompts/get", json!({ "name": "none" }));
        assert_eq!(prompt["code"], -32603, "{prompt}");
    }
    world.quiesce();
}

#[test]
fn progress_and_logs_go_to_clients_that_ask_for_them() {
    let mut world = world();
    let steps = || call(1, "steps", json!({}));
    let messages = |world: &mut World, request: super::clients::Request| request.response(world).messages();
    assert_eq!(messages(&mut world, steps()).len(), 1);
    let heard = messages(&mut world, steps().meta("progressToken", "p"));
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0]["params"]["progressToken"], "p");
    for (level, count) in [("debug", 2), ("info", 2), ("notice", 1)] {
        let heard = messages(&mut world, steps().meta(LEVEL, level));
        assert_eq!(heard.len(), count, "{level}");
        assert_eq!(heard[count - 1]["result"]["resultType"], "complete");
    }
    let both = steps().meta("progressToken", 3).meta(LEVEL, "debug");
    assert_eq!(messages(&mut world, both.clone()).len(), 3);
    // Whoever takes no events gets the result.
    assert_eq!(messages(&mut world, both.header("Accept", "application/json")).len(), 1);
    // What is for all sessions is for none of these.
    world.engine.handle().log(mcp_rill::Level::Error, "to whom it may concern");
    assert_eq!(messages(&mut world, steps().meta(LEVEL, "debug")).len(), 2);
    world.quiesce();
}

#[test]
fn a_lost_connection_cancels_its_request() {
    let mut world = world();
    for half in [true, false] {
        let sock = world.connect();
        world.send(sock, call(1, "later", json!({})).text());
        let stats = world.stats();
        assert_eq!((stats.calls, stats.sessions), (1, 0));
        match half {
            true => world.half_close(sock),
            false => world.reset(sock),
        }
        assert_eq!(world.stats().calls, 0);
        assert!(world.closed(sock) || !half);
    }
    world.quiesce();
}

#[test]
fn a_client_that_sends_all_it_has_at_once_is_answered() {
    let mut world = world();
    let sock = world.connect();
    world.queue(sock, request(1, "tools/list", json!({})).text());
    world.half_close(sock);
    assert_eq!(world.response(sock).status, 200);
    assert!(world.closed(sock));
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let mut world = world();
    let sock = world.connect();
    let all: String = (0..50).map(|id| call(id, "echo", json!({"text": id.to_string()})).text()).collect();
    world.send(sock, all);
    let responses = world.responses(sock);
    for (id, response) in responses.iter().enumerate() {
        assert_eq!(response.messages()[0]["result"]["content"][0]["text"], id.to_string());
    }
    assert_eq!(responses.len(), 50);
}

#[test]
fn posted_notifications_do_nothing() {
    let mut world = world();
    let sock = world.connect();
    world.send(sock, call(1, "later", json!({})).text());
    for method in ["notifications/cancelled", "notifications/initialized", "nonsense"] {
        let mut note = request(1, method, json!({"requestId": 1}));
        note.body.as_object_mut().unwrap().remove("id");
        let response = note.response(&mut world);
        assert_eq!((response.status, response.body.len()), (202, 0));
        // The field alone says so, too.
        note.body["params"].as_object_mut().unwrap().remove("_meta");
        assert_eq!(note.response(&mut world).status, 202);
    }
    assert_eq!(world.stats().calls, 1);
}

#[test]
fn a_missing_capability_is_named_as_an_object() {
    let server = demo::server()
        .tool("needs", "Need much", |(), call| -> mcp_rill::Result<_> {
            call.require(Capabilities::SAMPLING | Capabilities::ELICITATION_URL)?;
            Ok("it can")
        })
        .tool("samples_model", "Ask the model", |(), call| -> mcp_rill::Result<_> {
            Ok(call.sample("a", "What is the capital of France?")?.required()?.text())
        })
        .prompt("needs", "Need roots", |(), call| -> mcp_rill::Result<String> {
            Ok(call.roots("r")?.required()?.len().to_string())
        });
    let mut world = World::new(server);
    let mut missing = |request: super::clients::Request, capabilities: Value| {
        let response = request.capabilities(capabilities).response(&mut world);
        let error = response.messages()[0]["error"].clone();
        assert_eq!((response.status, &error["code"]), (400, &json!(-32021)), "{error}");
        error["data"]["requiredCapabilities"].clone()
    };
    let needs = || call(1, "needs", json!({}));
    assert_eq!(missing(needs(), json!({})), json!({"sampling": {}, "elicitation": {"url": {}}}));
    assert_eq!(missing(needs(), json!({"sampling": {}})), json!({"elicitation": {"url": {}}}));
    assert_eq!(missing(call(1, "samples_model", json!({})), json!({"roots": {}})), json!({"sampling": {}}));
    let prompt = request(1, "prompts/get", json!({"name": "needs"}));
    assert_eq!(missing(prompt, json!({"sampling": {}})), json!({"roots": {}}));
    let able = needs().capabilities(json!({"sampling": {}, "elicitation": {"url": {}}}));
    assert_eq!(able.reply(&mut world)["result"]["content"][0]["text"], "it can");
}

schema! { struct Place { region: String { header "Region" }, floor: Option<i64> { header "Floor" } } }

#[test]
fn arguments_that_are_repeated_in_header_fields() {
    let server = Server::new("places", "1")
        .tool("at", "Say where", |Place { region, floor }: Place, _| format!("{region} {floor:?}"));
    let mut world = World::new(server);
    let at = |arguments: Value| call(1, "at", arguments);
    let right = at(json!({"region": "eu", "floor": 3}))
        .header("Mcp-Param-Region", "eu")
        .header("mcp-param-floor", "3.0");
    assert_eq!(right.reply(&mut world)["result"]["content"][0]["text"], "eu Some(3)");
    for wrong in [
        right.clone().without("Mcp-Param-Region"),
        right.clone().header("Mcp-Param-Region", "us"),
        right.clone().header("Mcp-Param-Region", "=?base64?%?="),
        right.clone().header("Mcp-Param-Floor", "4"),
        at(json!({"region": "eu"})).header("Mcp-Param-Region", "eu").header("Mcp-Param-Floor", "4"),
    ] {
        let response = wrong.response(&mut world);
        let error = &response.messages()[0];
        assert_eq!(
            (response.status, &error["error"]["code"], &error["id"]),
            (400, &json!(-32020), &json!(1))
        );
    }
    let problem = mcp_rill::engine::Engine::new(
        Server::new("places", "1").offer(
            Tool::new("at", "Say where")
                .input_schema(r#"{"type":"object","x-mcp-header":"A"}"#)
                .handler(|_: Value, _| ""),
        ),
        || 1,
    );
    assert!(problem.unwrap_err().contains("tool `at`: x-mcp-header"));
}

#[test]
fn an_argument_that_is_there_twice_does_not_get_past_its_header_field() {
    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "place":{"type":"object","properties":{"floor":{"type":"integer","x-mcp-header":"Floor"}}}}}"#;
    let at = Tool::new("at", "Say where").input_schema(SCHEMA);
    let mut world =
        World::new(Server::new("places", "1").offer(at.handler(|arguments: Value, _| arguments.to_string())));
    let twice = |arguments: Value, field: (&str, &str)| {
        let request = call(1, "at", arguments).header(field.0, field.1).text();
        request.replace("regioX", "region").replace("placX", "place").replace("flooX", "floor")
    };
    for field in [("X", "none"), ("Mcp-Param-Region", "eu"), ("Mcp-Param-Floor", "1")] {
        for arguments in [
            json!({"region": "eu", "regioX": "us"}),
            json!({"place": {"floor": 1}, "placX": {"floor": 13}}),
            json!({"place": {"floor": 1, "flooX": 13}}),
        ] {
            let sock = world.connect();
            world.send(sock, twice(arguments, field));
            let response = world.response(sock);
            let error = &response.messages()[0];
            assert_eq!((response.status, &error["error"]["code"]), (400, &json!(-32020)), "{error}");
            assert_eq!(error["id"], 1);
        }
    }
}

#[test]
fn they_take_no_session_and_leave_none() {
    let limits = Limits { sessions_max: 0, ..Limits::DEFAULT };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits));
    let mut socks = Vec::new();
    for id in 0..20 {
        let sock = world.connect();
        world.send(sock, call(id, "later", json!({})).text());
        socks.push(sock);
    }
    let stats = world.stats();
    assert_eq!((stats.calls, stats.sessions, stats.sessions_opened), (20, 0, 0));
    assert_eq!(world.events(), vec![Seen::Sessionless; 20]);
    socks.into_iter().for_each(|sock| world.reset(sock));
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

#[test]
fn busy_is_said_by_the_status() {
    let limits = Limits { workers: 1, worker_queue_max: 0, ..Limits::DEFAULT };
    let server = demo::server().limits(limits).blocking_tool("slow", "Take long", |(), _| "done");
    let mut world = World::new(server);
    let first = world.connect();
    world.send(first, call(1, "slow", json!({})).text());
    let response = call(2, "slow", json!({})).response(&mut world);
    let reply = &response.messages()[0];
    assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")));
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(2), &json!(-32603)));
    assert_eq!(world.stats().busy, 1);
}

#[test]
fn a_shutdown_answers_what_is_open() {
    let mut world = world();
    let sock = world.connect();
    let steps = call(1, "later", json!({}));
    world.send(sock, steps.text());
    world.shutdown(Duration::from_secs(5));
    world.advance(Duration::from_secs(4));
    assert!(!world.closed(sock));
    world.advance(Duration::from_secs(2));
    assert!(world.closed(sock) && world.engine.is_finished());
    assert_eq!(world.stats().calls, 0);
}

#[test]
fn what_is_kept_for_a_request_counts_and_goes_with_its_connection() {
    let limits = Limits {
        buffered_bytes_max: 64 << 10,
        head_bytes_max: 16 << 10,
        body_bytes_max: 40 << 10,
        message_bytes_max: 30 << 10,
        page_bytes_max: 4 << 10,
        output_bytes_max: 60 << 10,
        ..Limits::DEFAULT
    };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits));
    let kept = |bytes: usize| call(1, "later", json!({})).meta("example.com/pad", "x".repeat(bytes)).text();
    let socks: Vec<_> = [8, 24, 16].map(|kib| (world.connect(), kib)).into();
    for (sock, kib) in &socks {
        world.send(*sock, kept(kib << 10));
    }
    assert_eq!(world.stats().calls, 3);
    let held = world.stats().buffered_bytes;
    assert!(held > 48 << 10, "{held}");
    // Both have room when their heads are read.
    let last = [world.connect(), world.connect()].map(|sock| {
        let text = kept(9 << 10);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        world.send(sock, format!("{head}\r\n\r\n"));
        (sock, body.to_owned())
    });
    last.into_iter().for_each(|(sock, body)| world.send(sock, body));
    // Whoever had the most kept for it is gone, and nobody else.
    let closed: Vec<bool> = socks.iter().map(|(sock, _)| world.closed(*sock)).collect();
    assert_eq!((closed, world.stats().sessions_shed), (vec![false, true, false], 1));
    assert!(world.stats().buffered_bytes <= 64 << 10);
    world.quiesce();
}

#[test]
fn a_status_of_its_own_is_told_in_whatever_form() {
    let mut world = World::new(demo::streaming(demo::server()));
    let events_only = |request: super::clients::Request| request.header("Accept", "text/event-stream");
    let response = events_only(request(1, "ping", json!({}))).response(&mut world);
    assert_eq!((response.status, &response.messages()[0]["error"]["code"]), (404, &json!(-32601)));
    let lacking = events_only(call(1, "ask", json!({})).capabilities(json!({})));
    assert_eq!(lacking.response(&mut world).status, 400);
    // What has none comes as it was asked for.
    let response = events_only(call(1, "nothing", json!({}))).response(&mut world);
    assert_eq!(response.header("Content-Type"), Some("text/event-stream"));
}

#[test]
fn no_room_is_told_in_the_words_of_the_revision() {
    let limits = Limits { buffered_bytes_max: 64 << 10, body_bytes_max: 40 << 10, ..Limits::DEFAULT };
    let limits =
        Limits { message_bytes_max: 30 << 10, page_bytes_max: 4 << 10, output_bytes_max: 60 << 10, ..limits };
    let mut world = World::new(demo::server().limits(limits));
    let half = world.connect();
    let text = call(1, "echo", json!({"text": "x".repeat(30 << 10)})).text();
    world.send(half, &text[..text.len() - 1]);
    for (version, code) in [(super::clients::VERSION, -32603), ("2025-11-25", -32000)] {
        let response =
            call(2, "echo", json!({"text": "x".repeat(39 << 10)})).header("MCP-Protocol-Version", version);
        let response = response.response(&mut world);
        assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")));
        assert_eq!(response.messages()[0]["error"]["code"], code, "{version}");
    }
}

#[test]
fn structured_content_is_any_json_value() {
    let server = [("array", "[1,2]"), ("null", "null"), ("text", "\"x\""), ("none", "[1"), ("two", "1,2")]
        .into_iter()
        .fold(Server::new("any", "1"), |server, (name, text)| {
            server.tool(name, "Any", move |(), _| ToolResult::text("x").structured(text))
        })
        .tool("json", "A list", |(), _| ToolResult::json(&[1.0, 2.5]));
    let mut world = World::new(server);
    for (tool, value) in
        [("array", json!([1, 2])), ("null", Value::Null), ("text", json!("x")), ("json", json!([1, 2.5]))]
    {
        let reply = call(1, tool, json!({})).reply(&mut world);
        assert_eq!(reply["result"].get("structuredContent"), Some(&value), "{reply}");
    }
    for tool in ["none", "two"] {
        let error = &call(1, tool, json!({})).reply(&mut world)["error"];
        assert_eq!(error["code"], -32603);
        assert!(error["message"].as_str().unwrap().contains("is not JSON"), "{error}");
    }
}

#[test]
fn meta_of_a_result_stands_beside_the_servers() {
    const INFO: &str = "io.modelcontextprotocol/serverInfo";
    let server = Server::new("meta", "1")
        .extension("com.example/e", json!({"on": true}))
        .tool("own", "Own", |(), _| ToolResult::text("x").meta("com.example/k", 1.0))
        .tool("info", "Info", |(), _| {
            ToolResult::text("x").meta(INFO, json!({"name": "proxied", "version": "2"}))
        });
    let mut world = World::new(server);
    let mut meta = |tool: &str| call(1, tool, json!({})).reply(&mut world)["result"]["_meta"].take();
    assert_eq!(meta("own"), json!({"com.example/k": 1, INFO: {"name": "meta", "version": "1"}}));
    assert_eq!(meta("info"), json!({INFO: {"name": "proxied", "version": "2"}}));
    let discovered = request(2, "server/discover", json!({})).reply(&mut world);
    assert_eq!(discovered["result"]["capabilities"]["extensions"], json!({"com.example/e": {"on": true}}));
}
