//! `subscriptions/listen`.

use std::time::Duration;

use mcp_rill::{Limits, Peer, Server, Tool};
use serde_json::{Value, json};

use super::clients::{Request, request};
use crate::common::{Sock, World, demo, principal};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

fn listen(id: impl Into<Value>, filter: Value) -> Request {
    request(id, "subscriptions/listen", json!({"notifications": filter}))
}

/// Opens a stream of notifications; gives its first message.
fn open(world: &mut World, request: &Request) -> (Sock, Value) {
    let sock = world.connect();
    world.send(sock, request.text());
    world.advance(Duration::ZERO);
    let text = world.take_text(sock);
    let (head, first) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: text/event-stream\r\n"),
        "{head}"
    );
    let mut messages = data(first);
    (sock, messages.remove(0))
}

fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn heard(world: &mut World, sock: Sock) -> Vec<Value> {
    data(&world.take_text(sock))
}

fn all() -> Value {
    json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": ["demo:///about", "demo:///note/7", "demo:///none"]})
}

fn change_everything(world: &mut World) {
    let handle = world.engine.handle();
    handle.tools_changed();
    handle.prompts_changed();
    handle.resources_changed();
    for uri in ["demo:///about", "demo:///note/7", "demo:///bytes"] {
        handle.resource_updated(uri);
    }
    world.advance(Duration::ZERO);
    world.tick();
}

#[test]
fn it_is_told_what_it_asked_for_under_its_id() {
    let mut world = World::new(demo::server());
    let (one, first) = open(&mut world, &listen("l1", all()));
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][ID], "l1");
    // Of the URIs only those that can be read are promised.
    let uris = json!(["demo:///about", "demo:///note/7"]);
    assert_eq!(first["params"]["notifications"]["resourceSubscriptions"], uris);
    assert_eq!(first["params"]["notifications"]["toolsListChanged"], true);
    let (two, first) =
        open(&mut world, &listen(2, json!({"promptsListChanged": true, "toolsListChanged": false})));
    assert_eq!(first["params"], json!({"_meta": {ID: 2}, "notifications": {"promptsListChanged": true}}));

    change_everything(&mut world);
    let told = heard(&mut world, one);
    let mut methods: Vec<_> = told.iter().map(|told| told["method"].as_str().unwrap()).collect();
    methods.sort_unstable();
    assert_eq!(
        methods,
        [
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        ]
    );
    assert!(told.iter().all(|told| told["params"]["_meta"][ID] == "l1"));
    let told = heard(&mut world, two);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["params"], json!({"_meta": {ID: 2}}));
    assert_eq!((world.stats().calls, world.stats().sessions), (2, 0));
    world.reset(one);
    world.half_close(two);
    assert_eq!((world.stats().calls, world.stats().buffered_bytes), (0, 0));
    change_everything(&mut world);
    world.quiesce();
}

/// Clients write URIs in forms of their own, and wait for what they wrote.
#[test]
fn it_is_told_of_uris_as_it_wrote_them() {
    let mut world = World::new(demo::server());
    let uris = json!(["demo:///about", "DEMO:///%61bout", "demo:///x/../note/7"]);
    let (sock, first) = open(&mut world, &listen(1, json!({"resourceSubscriptions": uris})));
    let promised = &first["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(promised, &uris);
    change_everything(&mut world);
    let told = heard(&mut world, sock);
    let told: Vec<_> = told.iter().map(|told| told["params"]["uri"].as_str().unwrap()).collect();
    assert_eq!(told, ["demo:///about", "DEMO:///%61bout", "demo:///x/../note/7"]);
    world.reset(sock);
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

/// Whoever routes by `Mcp-Name` may have it in another form of the same URI.
#[test]
fn the_name_of_a_read_is_a_uri() {
    let mut world = World::new(demo::server());
    let read =
        |name: &str, uri: &str| request(1, "resources/read", json!({ "uri": uri })).header("Mcp-Name", name);
    for (name, uri) in [("demo:///about", "DEMO:///%61bout"), ("DEMO:///./about", "demo:///about")] {
        let reply = read(name, uri).reply(&mut world);
        assert_eq!(reply["result"]["contents"][0]["uri"], uri, "{reply}");
    }
    let refused = |world: &mut World, request: &Request| {
        let response = request.response(world);
        assert_eq!((response.status, &response.messages()[0]["error"]["code"]), (400, &json!(-32020)));
    };
    refused(&mut world, &read("demo:///About", "demo:///about"));
    // Names of tools are no URIs.
    let call = request(1, "tools/call", json!({ "name": "x:/a" })).header("Mcp-Name", "x:/./a");
    refused(&mut world, &call);
}

#[test]
fn what_never_happens_is_not_waited_for() {
    let mut world = World::new(Server::new("bare", "1").tool("t", "A tool", |(), _| ""));
    for filter in
        [json!({}), json!({"promptsListChanged": true}), json!({"resourceSubscriptions": ["a:b"], "x": 1})]
    {
        let messages = listen(1, filter).response(&mut world).messages();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0]["params"]["notifications"], json!({}));
        assert_eq!(messages[1]["result"]["resultType"], "complete");
        assert_eq!(messages[1]["result"]["_meta"][ID], 1);
    }
    assert_eq!(world.stats().calls, 0);
}

#[test]
fn filters_that_are_none() {
    let mut world = World::new(demo::server());
    let mut bare = listen(1, json!({}));
    bare.body["params"].as_object_mut().unwrap().remove("notifications");
    for (wrong, says) in [
        (bare, "`notifications` must be an object"),
        (listen(1, json!([])), "`notifications` must be an object"),
        (listen(1, json!({"toolsListChanged": "yes"})), "`toolsListChanged` must be true or false"),
        (
            listen(1, json!({"resourceSubscriptions": "a"})),
            "`resourceSubscriptions` must be an array of URIs",
        ),
        (
            listen(1, json!({"resourceSubscriptions": [1]})),
            "`resourceSubscriptions` must be an array of URIs",
        ),
    ] {
        let reply = wrong.reply(&mut world);
        assert_eq!(reply["error"]["code"], -32602);
        assert!(reply["error"]["message"].as_str().unwrap().contains(says), "{reply}");
    }
    let response = listen(1, all()).header("Accept", "application/json").response(&mut world);
    assert_eq!((response.status, &response.messages()[0]["id"]), (406, &json!(1)));
}

#[test]
fn it_ends_with_a_result_when_the_server_does() {
    let mut world = World::new(demo::server());
    let (sock, _) = open(&mut world, &listen(1, all()));
    world.shutdown(Duration::from_secs(10));
    let last = heard(&mut world, sock);
    assert_eq!(last.len(), 1);
    assert_eq!((&last[0]["id"], &last[0]["result"]["_meta"][ID]), (&json!(1), &json!(1)));
    assert!(world.ended(sock));
    world.advance(Duration::from_secs(3));
    assert!(world.closed(sock) && world.engine.is_finished());
}

#[test]
fn a_silent_one_gets_comments() {
    let mut world = World::new(demo::server());
    let (sock, _) = open(&mut world, &listen(1, all()));
    world.advance(Duration::from_secs(15));
    assert!(world.take_text(sock).contains(": ping\n\n"));
}

/// `listens_max`
#[test]
fn one_listener_too_many_is_told_to_come_again() {
    let mut world = World::new(demo::server().limits(Limits { listens_max: 2, ..Limits::DEFAULT }));
    let (one, _) = open(&mut world, &listen(1, all()));
    let _two = open(&mut world, &listen(1, all()));
    let response = listen(3, all()).response(&mut world);
    let error = &response.messages()[0]["error"];
    assert_eq!((response.status, &error["code"]), (503, &json!(-32603)));
    assert!(error["message"].as_str().unwrap().contains("listens_max"), "{error}");
    world.reset(one);
    open(&mut world, &listen(4, all()));
}

#[test]
fn a_mounted_server_has_listeners_of_its_own() {
    let limits = Limits { listens_max: 1, ..Limits::DEFAULT };
    let mut world = World::new(demo::server().limits(limits).mount("inner", demo::server()));
    open(&mut world, &listen(1, all()));
    let [one, two] = [2, 3].map(|id| {
        let sock = world.connect();
        world.send(sock, listen(id, all()).text().replacen("POST /mcp ", "POST /inner/mcp ", 1));
        world.advance(Duration::ZERO);
        sock
    });
    assert!(world.take_text(one).contains("acknowledged"));
    assert!(world.take_text(two).starts_with("HTTP/1.1 503 "));
}

#[test]
fn the_newest_listener_of_those_with_most_gives_way() {
    let mut world = World::new(demo::server().limits(Limits { listens_max: 3, ..Limits::DEFAULT }));
    let [ada, bob] = ["ada", "bob"].map(principal);
    let open_as = |world: &mut World, peer: &Peer| {
        let sock = world.connect_as(peer.clone());
        world.send(sock, listen(1, all()).text());
        world.advance(Duration::ZERO);
        (sock, world.take_text(sock))
    };
    let of_ada: Vec<Sock> = (0..3).map(|_| open_as(&mut world, &ada).0).collect();
    let (of_bob, text) = open_as(&mut world, &bob);
    assert!(text.contains("acknowledged"), "{text}");
    let told = world.take_text(of_ada[2]);
    assert!(told.contains(r#""code":-32603"#) && told.contains("listens_max"), "{told}");
    // She has most, so that she gets no more.
    assert!(open_as(&mut world, &ada).1.starts_with("HTTP/1.1 503 "));
    change_everything(&mut world);
    for sock in [of_ada[0], of_ada[1], of_bob] {
        assert!(world.take_text(sock).contains("list_changed"));
    }
}

#[test]
fn the_uris_of_one_listener_are_bounded() {
    let limits = Limits { subscriptions_max: 2, uri_bytes_max: 20, ..Limits::DEFAULT };
    let mut world = World::new(demo::server().limits(limits));
    let subscribe = |uris: Value| listen(1, json!({"resourceSubscriptions": uris}));
    open(&mut world, &subscribe(json!(["demo:///about", "demo:///note/7"])));
    let error = subscribe(json!(["demo:///about", "demo:///note/7", "demo:///note/8"])).reply(&mut world);
    assert!(error["error"]["message"].as_str().unwrap().contains("subscriptions_max = 2"), "{error}");
    open(&mut world, &subscribe(json!([format!("demo:///note/{}", "1".repeat(7))])));
    let error = subscribe(json!([format!("demo:///note/{}", "1".repeat(8))])).reply(&mut world);
    assert!(error["error"]["message"].as_str().unwrap().contains("uri_bytes_max = 20"), "{error}");
}

#[test]
fn a_slow_listener_gets_the_latest_of_each_kind() {
    let limits = Limits {
        message_bytes_max: 1024,
        page_bytes_max: 512,
        id_bytes_max: 16,
        output_bytes_max: 2048,
        ..Limits::DEFAULT
    };
    let mut world = World::new(demo::server().limits(limits));
    let (sock, _) = open(&mut world, &listen(1, all()));
    world.reads_only(sock, 0);
    for _ in 0..100 {
        change_everything(&mut world);
    }
    assert!(!world.closed(sock) && world.stats().buffered_bytes < 4224, "{:?}", world.stats());
    world.reads_all(sock);
    let told = heard(&mut world, sock);
    assert!((5..40).contains(&told.len()), "{}", told.len());
    world.reset(sock);
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

#[test]
fn tools_that_come_and_go_are_heard_of() {
    let mut world = World::new(demo::server());
    let (sock, _) = open(&mut world, &listen(1, json!({"toolsListChanged": true})));
    let handle = world.engine.handle();
    handle.offer(Tool::new("new", "A new tool").handler(|(), _| "new")).unwrap();
    world.tick();
    assert_eq!(heard(&mut world, sock)[0]["method"], "notifications/tools/list_changed");
}
