//! Which revision a POST is of, and clients of all of them at once.

use serde_json::{Value, json};

use super::clients::{VERSION, accepted, call};
use crate::common::http::{self, mcp_post};
use crate::common::questions::Client as SseClient;
use crate::common::{Cut, World, demo};

fn post(world: &mut World, version: Option<&str>, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let version = version.map_or(String::new(), |version| format!("MCP-Protocol-Version: {version}\r\n"));
    let sock = world.connect();
    world.send(
        sock,
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Method: tools/list\r\n{version}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let response = world.response(sock);
    let body = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, body)
}

#[test]
fn the_order_of_the_choice() {
    let mut world = World::new(demo::server());
    let meta = json!({"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}});
    let list = |params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
    let modern = list(json!({"_meta": meta}));
    let info = json!({"name": "c", "version": "1"});
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}});
    let mut modern_initialize = initialize.clone();
    modern_initialize["params"]["_meta"] = meta.clone();
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let (now, old, odd) = (Some(VERSION), Some("2025-11-25"), Some("1999-01-01"));
    for (version, body, status, code) in [
        // 1: arrays
        (now, json!([list(json!({}))]), 400, Some(-32600)),
        (None, json!([modern]), 400, Some(-32600)),
        (old, json!([list(json!({})), modern]), 400, Some(-32600)),
        (None, json!([list(json!({}))]), 400, Some(-32000)),
        // 2: answers
        (now, answer.clone(), 400, Some(-32600)),
        (None, answer, 400, Some(-32000)),
        // 3: the body names its revision
        (now, modern.clone(), 200, None),
        (None, modern.clone(), 400, Some(-32020)),
        (old, modern.clone(), 400, Some(-32020)),
        (odd, modern, 400, Some(-32020)),
        (now, modern_initialize, 400, Some(-32020)),
        // 4: initialize
        (now, initialize.clone(), 400, Some(-32020)),
        (Some("2030-01-01"), initialize.clone(), 400, Some(-32020)),
        (None, initialize.clone(), 200, None),
        (odd, initialize, 200, None),
        // 5: only the header names a revision without sessions
        (now, note.clone(), 202, None),
        (Some("2030-01-01"), note.clone(), 202, None),
        (now, list(json!({})), 400, Some(-32602)),
        (Some("2030-01-01"), list(json!({})), 400, Some(-32602)),
        // 6 and 7: sessions
        (odd, list(json!({})), 400, Some(-32000)),
        (old, list(json!({})), 400, Some(-32000)),
        (None, note, 400, Some(-32000)),
    ] {
        let (found, reply) = post(&mut world, version, &body);
        assert_eq!((found, reply["error"]["code"].as_i64()), (status, code), "{version:?} {body}: {reply}");
    }
}

#[test]
fn initialize_of_an_unknown_or_a_sessionless_revision_gets_the_newest_with_sessions() {
    let mut world = World::new(demo::server());
    for version in [VERSION, "2031-01-01", "nonsense"] {
        let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
            {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
        let (status, reply) = post(&mut world, None, &initialize);
        assert_eq!((status, &reply["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
    }
}

/// 64 clients of each transport, all at once, each asked for a name while all the others are: whoever gets another one's
/// message has another one's name in his result.
#[test]
fn clients_of_all_eras_never_cross() {
    const COUNT: usize = 64;
    for seed in 1..=2 {
        let limits = mcp_rill::Limits::DEFAULT;
        let server = demo::streaming(demo::server()).limits(limits);
        let mut world = World::cut(server, Cut::Torn(seed), Cut::Torn(seed));
        let ask = http::call(1, "ask", "{}");
        let initialize = http::request(
            0,
            "initialize",
            r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}"#,
        );
        let (mut old, mut middle, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..COUNT {
            old.push((SseClient::new(&mut world, "2024-11-05", "{}"), world.connect()));
            let (sock, answers) = (world.connect(), world.connect());
            world.send(sock, mcp_post(None, &initialize));
            let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
            middle.push((sock, answers, id));
            new.push(world.connect());
        }
        for at in 0..COUNT {
            // 2024-11-05 has no forms: its clients send back a text of their own.
            let echo = http::call(1, "echo", &format!(r#"{{"text":"old {at}"}}"#));
            world.queue(old[at].1, http::post(&old[at].0.stream.endpoint, &echo));
            world.queue(middle[at].0, mcp_post(Some(&middle[at].2), &ask));
            world.queue(new[at], call(1, "ask", json!({})).text());
        }
        world.run();
        let mut streams = Vec::new();
        for at in 0..COUNT {
            let (sock, answers, id) = &middle[at];
            let stream = world.take_text(*sock);
            let question = stream.lines().find_map(|line| line.strip_prefix("data: {")).unwrap();
            let question: Value = serde_json::from_str(&format!("{{{question}")).unwrap();
            streams.push(stream);
            let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": accepted(json!({"name": format!("middle {at}")}))});
            world.queue(*answers, mcp_post(Some(id), &answer.to_string()));
            let asked = world.response(new[at]).messages().remove(0);
            let again = call(2, "ask", json!({}))
                .answered(&asked, json!({"name": accepted(json!({"name": format!("new {at}")}))}));
            world.queue(new[at], again.text());
        }
        world.run();
        for at in 0..COUNT {
            let text = |reply: &Value| reply["result"]["content"][0]["text"].as_str().unwrap().to_owned();
            let heard = old[at].0.hear(&mut world);
            assert_eq!((heard.len(), text(&heard[0])), (1, format!("old {at}")));
            streams[at].push_str(&world.take_text(middle[at].0));
            let replies = http::responses(streams[at].as_bytes()).remove(0).messages();
            assert_eq!((replies.len(), text(&replies[1])), (2, format!("middle {at}")));
            let reply = world.response(new[at]).messages().remove(0);
            assert_eq!((&reply["id"], text(&reply)), (&json!(2), format!("new {at}")));
        }
        assert_eq!(world.stats().sessions, 2 * COUNT);
        world.quiesce();
    }
}
