//! Connections whose messages are lines: MCP over standard input and output.

#[cfg(all(feature = "streamable", feature = "stateless"))]
mod eras;

use std::time::Duration;

use mcp_rill::http::conn::CloseReason;
use mcp_rill::{Limits, Peer, Server, Tool};
use serde_json::{Value, json};

use crate::common::http::{call, get, ping, request};
use crate::common::questions::{ALL, Pool, one, text};
use crate::common::{Cut, Seen, Sock, World, demo, local};

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

#[test]
fn a_line_has_a_longest_length() {
    let limits = Limits { body_bytes_max: 300, ..Limits::DEFAULT };
    for cut in [Cut::Whole, Cut::Bytes] {
        let mut world = World::cut(demo::server().limits(limits.clone()), cut, cut);
        let sock = world.connect_lines();
        let line = |bytes: usize| format!("{:bytes$}", ping(1));
        for end in ["\n", "\r\n"] {
            world.send(sock, line(300) + end);
            assert_eq!(world.lines(sock), [json!({"jsonrpc": "2.0", "id": 1, "result": {}})]);
            world.send(sock, line(301));
            let early = world.lines(sock);
            world.send(sock, "x".repeat(5000) + end + &ping(2) + end);
            let mut lines = early;
            lines.extend(world.lines(sock));
            let told = "Parse error: the line has more bytes than body_bytes_max (300); it is skipped";
            assert_eq!(error_of(&lines[0]), (-32700, told), "{lines:?}");
            assert_eq!((&lines[0]["id"], &lines[1]["id"], lines.len()), (&json!(null), &json!(2), 2));
        }
        assert!(world.events().contains(&Seen::Refused(
            413,
            "Parse error: the line has more bytes than body_bytes_max (300); it is skipped".to_owned()
        )));
        world.quiesce();
    }
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
    assert!(matches!(world.end(sock), Some((CloseReason::WriteTimeout, 1..))), "{:?}", world.end(sock));
    assert_eq!(world.events().last(), Some(&Seen::Closed));
    world.assert_empty();
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
fn the_principal_is_that_of_the_peer() {
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
