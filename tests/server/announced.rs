//! What a handler changes is announced before the result that speaks of it, by every way that leads to the client.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use mcp_rill::{Handle, ItemKind, Reply, Resource, Server, Tool};
use serde_json::{Value, json};

use crate::common::http::{self, call, request};
use crate::common::questions::{Client, Pool, text};
use crate::common::{Sock, World};

/// Changes a bit of everything.
fn change(handle: &Handle) {
    handle.offer(Tool::new("new", "A new tool").handler(|(), _| "new")).unwrap();
    handle.withdraw(ItemKind::Tool, "old").unwrap();
    handle.offer(Resource::new("log:///2", "second").handler(|_| "2")).unwrap();
    handle.prompts_changed();
    handle.resource_updated("log:///1");
}

/// What a client hears of that, sorted.
const CHANGED: [&str; 4] = [
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/tools/list_changed",
];

fn server() -> (Server, Receiver<Reply>) {
    let (replies, deferred) = mpsc::channel();
    let server = Server::new("changing", "1")
        .tool("old", "An old tool", |(), _| "old")
        .tool("inline", "Change", |(), call| {
            change(&call.handle());
            "changed"
        })
        .blocking_tool("blocking", "Change", |(), call| {
            change(&call.handle());
            "changed"
        })
        .tool("deferred", "Change", move |(), call| call.defer(|reply| replies.send(reply)))
        .resource("log:///1", "first", |_| "1")
        .prompt("p", "A prompt", |(), _| "p");
    (server, deferred)
}

/// Sorted, and each once: of what another thread changes one by one the loop may have heard in several turns.
fn methods(messages: &[Value]) -> Vec<&str> {
    let mut methods: Vec<&str> = messages.iter().map(|message| message["method"].as_str().unwrap()).collect();
    methods.sort_unstable();
    methods.dedup();
    methods
}

#[test]
fn on_one_stream() {
    for (id, tool) in [(1, "inline"), (2, "blocking"), (3, "deferred")] {
        let (server, deferred) = server();
        let mut world = World::new(server);
        let pool = Pool::new(&mut world);
        let client = Client::new(&mut world, "2025-11-25", "{}");
        client.ask(&mut world, &request(0, "resources/subscribe", r#"{"uri":"log:///1"}"#));
        let mut heard = client.say(&mut world, &call(id, tool, "{}"));
        if tool == "deferred" {
            change(&world.engine.handle());
            deferred.recv().unwrap().finish("changed");
        }
        pool.until(&mut world, |world| {
            heard.extend(client.hear(world));
            heard.last().is_some_and(|last| last.get("id").is_some()).then_some(())
        });
        assert_eq!(text(&heard.pop().unwrap()), "changed");
        assert_eq!(methods(&heard), CHANGED, "{tool}");
        // Who hears of it finds it done.
        let list = client.ask(&mut world, &request(9, "tools/list", "{}"));
        let names: Vec<_> = list["result"]["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
        assert!(names.contains(&&json!("new")) && !names.contains(&&json!("old")), "{names:?}");
        world.advance(Duration::from_millis(1));
        assert!(client.hear(&mut world).is_empty(), "it is said once");
        world.quiesce();
    }
}

/// Sends a call and takes turns until `heard` has the announcements and `post` the result; checks which was written first.
fn called(world: &mut World, pool: &Pool, request: &str, heard: Sock, post: Sock) -> Vec<Value> {
    world.written.clear();
    world.send(post, request);
    let mut announced = Vec::new();
    let result = pool.until(world, |world| {
        announced.extend(world.take(heard));
        let response = world.take(post);
        (!response.is_empty()).then(|| String::from_utf8(response).unwrap())
    });
    assert!(result.contains("changed"), "{result}");
    let first = |sock| world.written.iter().position(|written| *written == sock).expect("it was written to");
    assert!(first(heard) < first(post), "the result was written first");
    let text = String::from_utf8(announced).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty());
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn on_a_stream_beside_the_post() {
    for tool in ["inline", "blocking"] {
        let mut world = World::new(server().0);
        let pool = Pool::new(&mut world);
        let (stream, post) = (world.connect(), world.connect());
        let info = r#"{"name":"tester","version":"9"}"#;
        let params = format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{info}}}"#);
        world.send(post, http::mcp_post(None, &request(0, "initialize", &params)));
        let opened = world.response(post);
        let id = opened.header("Mcp-Session-Id").unwrap();
        let subscribe = request(1, "resources/subscribe", r#"{"uri":"log:///1"}"#);
        world.send(post, http::mcp_post(Some(id), &subscribe));
        assert_eq!(world.response(post).status, 200);
        world.send(stream, format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"));
        world.take(stream);
        let request = http::mcp_post(Some(id), &call(2, tool, "{}"));
        assert_eq!(methods(&called(&mut world, &pool, &request, stream, post)), CHANGED, "{tool}");
    }
}

#[test]
fn to_one_who_listens() {
    let alone = |method: &str, name: &str, mut params: Value| {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let fields = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
        http::mcp_post(None, &body).replacen("Content-Type", &format!("{fields}Content-Type"), 1)
    };
    for tool in ["inline", "blocking"] {
        let mut world = World::new(server().0);
        let pool = Pool::new(&mut world);
        let (stream, post) = (world.connect(), world.connect());
        let filter = json!({"notifications": {"toolsListChanged": true, "resourcesListChanged": true,
            "promptsListChanged": true, "resourceSubscriptions": ["log:///1"]}});
        world.send(stream, alone("subscriptions/listen", "", filter));
        assert!(world.take_text(stream).contains("subscriptions/acknowledged"));
        let request =
            alone("tools/call", &format!("Mcp-Name: {tool}\r\n"), json!({"name": tool, "arguments": {}}));
        assert_eq!(methods(&called(&mut world, &pool, &request, stream, post)), CHANGED, "{tool}");
    }
}
