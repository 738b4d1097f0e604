//! Every check that comes before a method, with its exact status, code and echoed id.

use serde_json::{Value, json};

use super::clients::{Request, call, request};
use crate::common::{Cut, World, demo};

/// Posts it with every kind of cut; gives status, code, id and message.
fn refusal(request: &Request) -> (u16, i64, Value, String) {
    let all: Vec<_> = Cut::kinds()
        .map(|cut| {
            let mut world = World::cut(demo::server(), cut, cut);
            let sock = world.connect();
            world.send(sock, request.text());
            let response = world.response(sock);
            // It was read whole and without doubt: the connection goes on.
            assert!(response.keeps_alive());
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(response.header("Mcp-Session-Id"), None);
            world.reset(sock);
            world.quiesce();
            let error = &body["error"];
            (
                response.status,
                error["code"].as_i64().unwrap_or_default(),
                body["id"].clone(),
                error.to_string(),
            )
        })
        .collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    all[0].clone()
}

fn assert_refused(request: &Request, status: u16, code: i64, says: &str) {
    let (found_status, found_code, id, message) = refusal(request);
    assert_eq!((found_status, found_code), (status, code), "{request:?}: {message}");
    assert_eq!(id, request.body["id"], "{message}");
    assert!(message.contains(says), "{message}");
}

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const INFO: &str = "io.modelcontextprotocol/clientInfo";
const LEVEL: &str = "io.modelcontextprotocol/logLevel";

#[test]
fn the_envelope() {
    let list = || request("a", "tools/list", json!({}));
    let mut bare = list();
    bare.body["params"] = json!({});
    assert_refused(&bare, 400, -32602, VERSION);
    bare.body.as_object_mut().unwrap().remove("params");
    assert_refused(&bare, 400, -32602, VERSION);
    assert_refused(&list().param("_meta", "x"), 400, -32602, "`_meta` must be an object");
    assert_refused(&list().param("_meta", Value::Null), 400, -32602, VERSION);
    assert_refused(&list().meta(VERSION, Value::Null), 400, -32602, VERSION);
    assert_refused(&list().meta(VERSION, 20260728), 400, -32602, VERSION);
    assert_refused(&list().meta(CAPABILITIES, Value::Null), 400, -32602, CAPABILITIES);
    assert_refused(&list().meta(CAPABILITIES, "all"), 400, -32602, CAPABILITIES);
    assert_refused(&list().meta(INFO, "me"), 400, -32602, INFO);
    assert_refused(&list().meta(LEVEL, "loud"), 400, -32602, "the log level must be debug");
    let mut world = World::new(demo::server());
    for lawful in [list().meta(INFO, Value::Null), list().meta(INFO, json!({})), list().meta(LEVEL, "debug")]
    {
        assert!(lawful.reply(&mut world)["result"]["tools"].is_array());
    }
}

#[test]
fn the_version_header() {
    let list = || request(7, "tools/list", json!({}));
    let header = "MCP-Protocol-Version";
    assert_refused(&list().without(header), 400, -32020, "MCP-Protocol-Version is missing");
    // The last one is the right value in the form that is for names and arguments only.
    for other in ["2025-11-25", "2027-01-01", "x", "2026-07-28 x", "", "=?base64?MjAyNi0wNy0yOA==?="] {
        assert_refused(&list().header(header, other), 400, -32020, "MCP-Protocol-Version says");
    }
    let mut twice = list();
    twice.headers.push((header.to_owned(), "2026-07-28".to_owned()));
    assert_refused(&twice, 400, -32020, "more than once");
    for other in ["2027-01-01", "2025-11-25", "x"] {
        let unknown = list().header(header, other).meta(VERSION, other);
        let says = format!(r#""data":{{"requested":"{other}","supported":["2026-07-28"]}}"#);
        assert_refused(&unknown, 400, -32022, &says);
        // It may have other header fields: the version comes first, so that its client can go on.
        assert_refused(&unknown.without("Mcp-Method"), 400, -32022, &says);
    }
}

#[test]
fn method_and_name_headers() {
    let list = || request(7, "tools/list", json!({}));
    assert_refused(&list().without("Mcp-Method"), 400, -32020, "Mcp-Method is missing");
    // The last one is the right value in the form that is for names and arguments only.
    for other in ["tools/LIST", "tools/call", "", "=?base64?!?=", "=?base64?dG9vbHMvbGlzdA==?="] {
        assert_refused(&list().header("Mcp-Method", other), 400, -32020, "Mcp-Method says");
    }
    let named = [
        request(1, "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})),
        request(1, "prompts/get", json!({"name": "explain", "arguments": {"term": "x"}})),
        request(1, "resources/read", json!({"uri": "demo:///about"})),
    ];
    let mut world = World::new(demo::server());
    for request in named {
        assert_refused(&request.clone().without("Mcp-Name"), 400, -32020, "Mcp-Name is missing");
        assert_refused(&request.clone().header("Mcp-Name", "Echo"), 400, -32020, "Mcp-Name says `Echo`");
        let mut nameless = request.clone();
        nameless.body["params"].as_object_mut().unwrap().retain(|name, _| name == "_meta");
        assert_refused(&nameless, 400, -32020, "the body has no name");
        assert!(request.reply(&mut world)["result"].is_object());
        // Names in any case, values as they are, white space around them is none of theirs.
        let mut lower = request.clone();
        lower.headers.iter_mut().for_each(|(name, value)| {
            *name = name.to_lowercase();
            *value = format!("  {value} \t");
        });
        assert!(lower.reply(&mut world)["result"].is_object());
    }
    let coded = call(1, "echo", json!({"text": "x"})).header("Mcp-Name", "=?base64?ZWNobw==?=");
    let wrong = coded.clone().header("Mcp-Name", "=?base64?!?=");
    assert_refused(&wrong, 400, -32020, "Mcp-Name is neither text nor the base64");
    assert!(coded.reply(&mut world)["result"].is_object());
    let without = request(1, "tools/call", json!({})).without("Mcp-Name");
    assert_eq!(without.reply(&mut world)["error"]["code"], -32602);
}

#[test]
fn methods_that_are_not_there() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/get",
        "tools/nothing",
    ] {
        assert_refused(&request("x", method, json!({})), 404, -32601, method);
    }
}

#[test]
fn shapes() {
    let mut world = World::new(demo::server());
    for (body, code, id) in [
        ("{", -32700, Value::Null),
        ("3", -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600, Value::Null),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600, Value::Null),
    ] {
        let sock = world.connect();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nMCP-Protocol-Version: 2026-07-28\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        world.send(sock, head + body);
        let response = world.response(sock);
        let error: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, &error["error"]["code"]), (400, &json!(code)), "{body}");
        assert_eq!(error["id"], id, "{body}");
    }
}

#[test]
fn a_refused_request_reaches_no_handler() {
    let mut world = World::new(demo::server());
    let wrong = call(1, "echo", json!({"text": "x"})).header("Mcp-Name", "add");
    assert_eq!(wrong.response(&mut world).status, 400);
    let stats = world.stats();
    assert_eq!((stats.messages_received, stats.messages_queued, stats.sessions_opened), (0, 0, 0));
    let right = call(1, "echo", json!({"text": "x"}));
    right.reply(&mut world);
    let stats = world.stats();
    assert_eq!((stats.messages_received, stats.messages_queued, stats.sessions_opened), (1, 1, 0));
    world.quiesce();
}

#[test]
fn a_session_id_and_an_event_id_are_ignored() {
    let mut world = World::new(demo::server());
    let list =
        request(1, "tools/list", json!({})).header("Mcp-Session-Id", "nobody").header("Last-Event-ID", "3");
    let response = list.response(&mut world);
    assert_eq!((response.status, response.header("Mcp-Session-Id")), (200, None));
}

#[test]
fn there_is_nothing_but_post() {
    let mut world = World::new(demo::server());
    for method in ["GET", "DELETE"] {
        let sock = world.connect();
        world.send(
            sock,
            format!("{method} /mcp HTTP/1.1\r\nHost: localhost\r\nMCP-Protocol-Version: 2026-07-28\r\n\r\n"),
        );
        let response = world.response(sock);
        assert_eq!(response.status, 405, "{method}");
        assert!(response.header("Allow").unwrap().starts_with("POST"));
    }
}

#[cfg(feature = "streamable")]
#[test]
fn a_body_without_the_marks_of_this_revision_needs_a_session() {
    let mut world = World::new(demo::server());
    let sock = world.connect();
    world.send(
        sock,
        crate::common::http::mcp_post(None, r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#),
    );
    let response = world.response(sock);
    assert_eq!((response.status, response.messages()[0]["error"]["code"].as_i64()), (400, Some(-32000)));
}
