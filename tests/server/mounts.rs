//! Servers below paths of another one: each client finds one of them, over every transport of HTTP, and nothing of the others.

use std::time::Duration;

use mcp_rill::engine::{Engine, Transport};
use mcp_rill::testing::{Harness, Notification, Way};
use mcp_rill::{CallError, Elicited, Limits, Revision, RouteResponse, Server, Settings, Tool, schema};
use serde_json::json;

use crate::common::http::{INITIALIZED, get, mcp_post, ping, post, request};
use crate::common::{World, counted};

schema! { struct Add {
    /// How much.
    amount: i64,
} }

schema! { struct Sure {
    /// Go on?
    sure: bool,
} }

/// A sum as a state, a tool that blocks, one that asks, a resource.
fn account(name: &str) -> Server<mcp_rill::State<i64>> {
    Server::with_state(name, "1.0.0", 0)
        .instructions(format!("This is {name}."))
        .tool("add", "Add to the sum", |sum: &mut i64, Add { amount }: Add, call| {
            *sum += amount;
            call.handle().resource_updated("sum:///now");
            *sum
        })
        .tool("clear", "Clear the sum", |sum: &mut i64, (), call| -> mcp_rill::Result<_> {
            match call.elicit::<Sure>("sure", "Clear it?")? {
                Elicited::Accepted(Sure { sure: true }) => *sum = 0,
                _ => return Err("not sure".into()),
            }
            Ok("cleared")
        })
        .offer(Tool::new("wait", "Work on another thread").blocking_handler(|(), _| "waited"))
        .offer(
            mcp_rill::Resource::new("sum:///now", "sum")
                .handler_with_state(|sum: &mut i64, _| Ok::<_, CallError>(sum.to_string())),
        )
}

fn server() -> Server {
    Server::new("outer", "1.0.0")
        .tool("hello", "Greet", |(), _| "hello")
        .mount("one", account("first"))
        .mount("two", account("second"))
}

fn ways() -> impl Iterator<Item = Way> {
    Way::all().into_iter().filter(|way| way.transport() != Transport::Lines)
}

fn initialize() -> String {
    let client = r#""capabilities":{},"clientInfo":{"name":"tester","version":"9"}"#;
    request(0, "initialize", &format!(r#"{{"protocolVersion":"2025-06-18",{client}}}"#))
}

#[test]
fn each_path_has_a_server_of_its_own() {
    for way in ways() {
        let mut outer = Harness::new(server()).over(way);
        let [mut one, mut two] = ["one", "two"].map(|mount| outer.another().over(way).below(mount));
        assert_eq!(outer.tools(), ["hello"], "{way}");
        assert_eq!(outer.call("hello", json!({})).text(), "hello", "{way}");
        assert_eq!(one.tools(), ["add", "clear", "wait"], "{way}");
        assert_eq!(one.call("add", json!({"amount": 2})).text(), "2", "{way}");
        assert_eq!(two.call("add", json!({"amount": 40})).text(), "40", "{way}");
        assert_eq!(one.call("add", json!({"amount": 1})).text(), "3", "{way}");
        assert_eq!([one.read("sum:///now").text(), two.read("sum:///now").text()], ["3", "40"], "{way}");
        assert!(outer.read("sum:///now").error().message.contains("not"), "{way}");
        assert_eq!(one.call("hello", json!({})).error().code, -32602, "{way}");
        // On worker threads, which all of them share.
        for client in [&mut one, &mut two] {
            assert_eq!(client.call("wait", json!({})).text(), "waited", "{way}");
        }
    }
}

#[test]
fn changes_are_announced_to_the_clients_of_that_server() {
    for way in ways() {
        let mut one = Harness::new(server()).over(way).below("one");
        let mut others = ["one", "two"].map(|mount| one.another().over(way).below(mount));
        let mut outer = one.another().over(way);
        for client in &mut others {
            assert!(client.subscribe("sum:///now"), "{way}");
        }
        assert_eq!(outer.tools(), ["hello"]);
        assert!(one.call("add", json!({"amount": 2})).is_ok());
        let heard = others.each_mut().map(Harness::notifications);
        assert_eq!(heard, [vec![Notification::ResourceUpdated("sum:///now".into())], vec![]], "{way}");
        // From another thread, by the handle of the server that is meant.
        let handle = one.handle();
        handle.mounted("two").unwrap().resource_updated("sum:///now");
        handle.mounted("two").unwrap().mounted("one").unwrap().tools_changed();
        assert!(handle.mounted("three").is_none());
        one.advance(Duration::from_millis(1));
        let heard = others.each_mut().map(Harness::notifications);
        let updated = vec![Notification::ResourceUpdated("sum:///now".into())];
        assert_eq!(heard, [vec![Notification::ToolsChanged], updated], "{way}");
        assert_eq!(outer.notifications(), [], "{way}");
    }
}

#[test]
fn a_question_is_answered_where_it_was_asked() {
    // Forms came with this revision.
    for way in ways().filter(|way| way.revision() >= Revision::V2025_06_18) {
        let mut one = Harness::new(server()).over(way).below("one").answer("sure", json!({"sure": true}));
        let mut two = one.another().over(way).below("two").answer("sure", json!({"sure": false}));
        for client in [&mut one, &mut two] {
            assert!(client.call("add", json!({"amount": 1})).is_ok());
        }
        assert_eq!(one.call("clear", json!({})).text(), "cleared", "{way}");
        assert_eq!(two.call("clear", json!({})).tool_error(), "not sure", "{way}");
        assert_eq!([one.read("sum:///now").text(), two.read("sum:///now").text()], ["0", "1"], "{way}");
    }
}

#[test]
fn a_session_of_one_path_is_unknown_on_the_others() {
    let mut world = World::new(server());
    let sock = world.connect();
    let stream = world.open_sse_at("/one/sse");
    let (path, query) = stream.endpoint.split_once('?').unwrap();
    assert_eq!(path, "/one/messages");
    for (below, status) in [("/one", 202), ("/two", 400), ("", 400)] {
        let response = world.post(sock, &format!("{below}/messages?{query}"), &ping(1));
        assert_eq!(response.status, status, "{below}");
    }
    assert_eq!(world.frames(&stream).len(), 1);
    if cfg!(feature = "streamable") {
        let below = |mount: &str, text: String| text.replace("POST /mcp", &format!("POST {mount}/mcp"));
        world.send(sock, below("/one", mcp_post(None, &initialize())));
        let welcome = world.response(sock);
        assert!(welcome.text().contains(r#""name":"first""#), "{}", welcome.text());
        let id = welcome.header("Mcp-Session-Id").unwrap().to_owned();
        world.send(sock, below("/one", mcp_post(Some(&id), INITIALIZED)));
        assert_eq!(world.response(sock).status, 202);
        for (mount, status) in [("/one", 200), ("/two", 404), ("", 404)] {
            world.send(sock, below(mount, mcp_post(Some(&id), &ping(1))));
            assert_eq!(world.response(sock).status, status, "{mount}");
        }
    }
    world.quiesce();
}

#[test]
fn other_paths_are_not_found() {
    let mut world =
        World::new(server().settings(Settings { base_path: "/base".to_owned(), ..Settings::default() }));
    let sock = world.connect();
    for path in ["/three/sse", "/one/two/sse", "/one", "/one/", "/ONE/sse", "/one/x"] {
        world.send(sock, get(path));
        assert_eq!(world.response(sock).status, 404, "{path}");
    }
    assert_eq!(world.open_sse_at("/base/two/sse").endpoint.split_once('?').unwrap().0, "/base/two/messages");
    let mut world = World::new(server().settings(Settings { serves_root: false, ..Settings::default() }));
    let sock = world.connect();
    world.send(sock, get("/sse"));
    let response = world.response(sock);
    assert!(response.status == 404 && response.text().contains("one, two"), "{}", response.text());
    world.send(sock, post("/messages?sessionId=1", &ping(1)));
    assert_eq!(world.response(sock).status, 404);
    world.open_sse_at("/one/sse");
    world.quiesce();
}

#[test]
fn a_shutdown_ends_all_of_them() {
    for through in [None, Some("two")] {
        let mut world = World::new(server());
        let streams = ["/sse", "/one/sse", "/two/sse"].map(|path| world.open_sse_at(path));
        let handle = world.engine.handle();
        let handle = through.map_or(handle.clone(), |name| handle.mounted(name).unwrap());
        handle.shutdown(Duration::ZERO);
        world.tick();
        assert!(world.engine.is_finished());
        for stream in &streams {
            assert!(world.ended(stream.sock), "{stream:?}");
        }
        drop(world);
        assert!(handle.has_ended());
        assert!(
            handle
                .offer(Tool::new("late", "Too late").handler(|(), _| "x"))
                .unwrap_err()
                .is::<mcp_rill::Ended>()
        );
    }
}

#[test]
fn handles_change_the_server_that_they_belong_to() {
    let mut one = Harness::new(server()).below("one");
    let mut outer = one.another();
    let handle = one.handle().mounted("one").unwrap();
    handle.offer(Tool::new("new", "New").handler(|(), _| "new")).unwrap();
    handle.change_state(|sum: &mut i64| *sum = 7).unwrap();
    assert!(one.handle().change_state(|_: &mut i64| {}).unwrap_err().to_string().contains("is missing"));
    one.advance(Duration::from_millis(1));
    assert_eq!([one.call("new", json!({})).text(), one.read("sum:///now").text()], ["new", "7"]);
    assert_eq!(outer.tools(), ["hello"]);
    handle.replace(account("first")).unwrap();
    one.advance(Duration::from_millis(1));
    assert_eq!(one.tools(), ["add", "clear", "wait"]);
    assert_eq!(one.read("sum:///now").text(), "0");
}

#[test]
fn all_count_towards_the_limits_of_the_outer_server() {
    let mut world = World::new(server().limits(Limits { sessions_max: 2, ..Limits::DEFAULT }));
    let _streams = ["/one/sse", "/two/sse"].map(|path| world.open_sse_at(path));
    let sock = world.connect();
    world.send(sock, get("/sse"));
    assert_eq!(world.response(sock).status, 503);
    world.quiesce();
}

/// Which server a session belongs to is kept for as long as the session is.
#[test]
fn what_is_kept_for_a_session_counts_until_it_ends() {
    let mut held = Vec::new();
    for count in [1, 11] {
        let mut world = World::new(server());
        let sock = world.connect();
        let streams: Vec<_> = (0..count).map(|_| world.open_sse_at("/one/sse")).collect();
        let stream = streams.last().unwrap();
        assert_eq!(world.post(sock, &stream.endpoint, &ping(1)).status, 202);
        assert_eq!(world.frames(stream).len(), 1);
        held.push(world.stats().buffered_bytes);
        world.quiesce();
        assert_eq!(world.stats().buffered_bytes, 0);
    }
    let each = (held[1] - held[0]) / 10;
    assert!((32..256).contains(&each), "{held:?}");
}

/// The servers have the worker threads together, and a call of one gives way to a call of another.
#[test]
fn a_call_that_gives_way_to_one_of_another_server_is_answered() {
    let limits = Limits { workers: 1, worker_queue_max: 3, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let streams = ["/one/sse", "/two/sse"].map(|path| world.open_sse_at(path));
    let sock = world.connect();
    let mut call = |at: usize, id: u32| {
        let body = request(id, "tools/call", r#"{"name":"wait","arguments":{}}"#);
        assert_eq!(world.post(sock, &streams[at].endpoint, &body).status, 202);
        world.tick();
        streams.each_ref().map(|stream| world.frames(stream))
    };
    (1..=4).for_each(|id| assert!(call(0, id).iter().all(Vec::is_empty), "{id}"));
    let [told, others] = call(1, 1);
    assert!(told.len() == 1 && others.is_empty(), "{told:?} {others:?}");
    assert_eq!(told[0]["id"], 4);
    assert!(told[0]["error"]["message"].as_str().unwrap().contains("worker_queue_max"), "{told:?}");
}

/// A client compares the document with the URL that it connects to.
#[cfg(feature = "auth")]
#[test]
fn the_document_about_tokens_is_for_the_path_of_the_client() {
    let resource = mcp_rill::ProtectedResource::new("https://mcp.example", "https://login.example");
    let server = server().protected_resource(resource).authorize(|_| Err(mcp_rill::Denied::missing()));
    let mut world = World::new(server);
    let sock = world.connect();
    for (below, path) in [("", "/sse"), ("/one", "/sse"), ("/two", "/mcp")] {
        world.send(sock, get(&format!("{below}{path}")));
        let denied = world.response(sock);
        assert_eq!(denied.status, 401, "{below}{path}");
        let document = format!("/.well-known/oauth-protected-resource{below}{path}");
        let challenge = denied.header("WWW-Authenticate").unwrap();
        assert!(
            challenge.contains(&format!("resource_metadata=\"https://mcp.example{document}\"")),
            "{challenge}"
        );
        world.send(sock, get(&document));
        let document = world.response(sock).text().to_owned();
        assert!(
            document.contains(&format!(r#""resource":"https://mcp.example{below}{path}""#)),
            "{document}"
        );
    }
}

/// What one server has sealed, another one does not open, though both have the same name and the same key.
#[cfg(feature = "stateless")]
#[test]
fn the_state_of_a_question_is_for_its_own_server() {
    let both = || Server::new("outer", "1").mount("one", account("same")).mount("two", account("same"));
    let mut world = World::new(both().state_key(mcp_rill::StateKey::new([7; 16])));
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}}}"#;
    let sock = world.connect();
    let mut ask = |mount: &str, more: &str| {
        let body = request(1, "tools/call", &format!(r#"{{"name":"clear",{meta}{more}}}"#));
        let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: clear\r\n";
        let fields = format!(
            "{fields}Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
        );
        let length = body.len();
        world.send(sock, format!("POST /{mount}/mcp HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}"));
        world.response(sock).messages().pop().unwrap()
    };
    let asked = ask("one", "");
    let (state, questions) = (&asked["result"]["requestState"], &asked["result"]["inputRequests"]);
    let key = questions.as_object().unwrap().keys().next().unwrap();
    let answer = json!({ key: {"action": "accept", "content": {"sure": true}} });
    let more = format!(r#","requestState":{state},"inputResponses":{answer}"#);
    assert_eq!(ask("two", &more)["error"]["code"], -32602);
    assert_eq!(ask("one", &more)["result"]["content"][0]["text"], "cleared");
}

#[test]
fn what_belongs_to_the_port_is_not_for_mounted_servers() {
    let inner = || Server::new("inner", "1");
    let problem =
        |server: Server| Engine::new(Server::new("outer", "1").mount("one", server), counted()).unwrap_err();
    let limits = Limits { sessions_max: 1, ..Limits::DEFAULT };
    assert_eq!(
        problem(inner().limits(limits.clone()).allow_host("a.example")),
        "the server that is mounted as `one` has limits, settings (paths, hosts, origins, health checks) of its own; set that for \
         the server it is mounted in"
    );
    let route = |server: Server| server.route("GET", "/version", |_| RouteResponse::new(204));
    assert!(problem(route(inner())).contains("has routes of its own"));
    assert!(problem(inner().mount("two", inner())).contains("has mounts of its own"));
    #[cfg(feature = "auth")]
    assert!(
        problem(inner().authorize(|_| Err(mcp_rill::Denied::missing())))
            .contains("a hook that authorizes of its own")
    );
    let twice = inner().tool("a", "", |(), _| "").tool("a", "", |(), _| "");
    assert!(problem(twice).starts_with("the server that is mounted as `one`: "));
    // The same as the outer one has is no contradiction.
    let outer = Server::new("outer", "1").limits(limits.clone()).mount("one", inner().limits(limits));
    assert!(Engine::new(outer, counted()).is_ok());
    let both = |name: &str| Server::new(name, "1").allow_host("A.example").health();
    let outer = both("outer").mount("one", both("first")).mount("two", inner());
    assert_eq!(Engine::new(outer, counted()).err(), None);
}

#[test]
fn names_are_segments_of_paths_and_there_are_255() {
    let many = |count: usize| {
        let mounted = (0..count).map(|at| (format!("m{at}"), Server::new("inner", "1")));
        Engine::new(
            mounted.fold(Server::new("outer", "1"), |outer, (name, inner)| outer.mount(name, inner)),
            counted(),
        )
    };
    assert!(many(255).is_ok());
    assert_eq!(many(256).unwrap_err(), "there are 256 mounts; 255 are the most");
    let named = |names: &[&str]| {
        let outer = Server::new("outer", "1").route("GET", "/git/x", |_| RouteResponse::new(204));
        let outer = names.iter().fold(outer, |outer, name| outer.mount(*name, Server::new("inner", "1")));
        Engine::new(outer, counted()).unwrap_err()
    };
    assert!(named(&["a/b"]).contains("must be a segment of a path"));
    assert!(named(&["a", "a"]).contains("twice"));
    assert!(named(&["git"]).contains("below the mount `git`"));
    assert!(named(&[".well-known"]).contains("give it another name"));
    // Behind a proxy that strips the base path, `/time/time/mcp` and `/time/mcp` would be the same.
    let settings = Settings { base_path: "/time".to_owned(), ..Settings::default() };
    let both = Server::new("outer", "1").settings(settings).mount("time", Server::new("inner", "1"));
    assert!(Engine::new(both, counted()).unwrap_err().contains("cannot be told from the base path `/time`"));
    let settings = Settings { mounts: vec!["a".to_owned()], ..Settings::default() };
    let both = Server::new("outer", "1").settings(settings).mount("b", Server::new("inner", "1"));
    assert!(Engine::new(both, counted()).unwrap_err().contains("`Server::mount` sets it by itself"));
}
