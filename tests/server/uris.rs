//! URIs as clients write them: what is meant is found, and everybody is told the spelling that they know.

use crate::common::World;
use crate::common::http::request;
use crate::common::questions::Client;
use mcp_rill::engine::Engine;
use mcp_rill::{ItemKind, Resource, ResourceTemplate, Server};
use serde_json::{Value, json};

fn server() -> Server {
    Server::new("uris", "1")
        .resource("KBInfo://Summary", "summary", |_| "all of it")
        .resource("http://Example.com", "home", |_| "home")
        .template("KB://Wiki/%7Ex/{page}", "page", |vars, _| vars.get("page").unwrap().to_owned())
        .complete_template("KB://Wiki/%7Ex/{page}", "page", ["Index"])
        .template("docs:///{+path}", "file", |vars, _| vars.get("path").unwrap().to_owned())
        .complete_template("docs:///{+path}", "path", ["a/b"])
}

fn ask(world: &mut World, client: &Client, method: &str, params: Value) -> Value {
    client.ask(world, &request(1, method, &params.to_string()))
}

fn world(server: Server) -> (World, Client) {
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    (world, client)
}

fn updated(world: &mut World, client: &Client) -> Vec<String> {
    world.tick();
    let heard = client.hear(world);
    heard.iter().map(|frame| frame["params"]["uri"].as_str().unwrap().to_owned()).collect()
}

/// The Python SDK's `AnyUrl` and the `URL` of browsers write what they were given in a form of their own.
#[test]
fn a_resource_is_read_by_any_spelling_of_its_uri() {
    let (mut world, client) = world(server());
    for (uri, text) in [
        ("KBInfo://Summary", "all of it"),
        ("kbinfo://Summary", "all of it"),
        ("kbinfo://summary", "all of it"),
        ("kbinfo://summary/", "all of it"),
        ("http://example.com/", "home"),
        ("HTTP://EXAMPLE.COM:80", "home"),
        ("kb://wiki/~x/Index", "Index"),
        ("KB://Wiki/%7Ex/%49ndex", "Index"),
        ("kb://wiki/a/../%7ex/Index", "Index"),
        ("docs:///a/%7eb.md", "a/~b.md"),
    ] {
        let reply = ask(&mut world, &client, "resources/read", json!({ "uri": uri }));
        // The client finds its answer by the URI that it asked for.
        assert_eq!(reply["result"]["contents"], json!([{ "uri": uri, "text": text }]));
    }
    for uri in [
        "kbinfo://summary/x",
        "kb://wiki/~X/Index",
        "docs:///..%2Fa",
        "docs:///a/",
        "http://example.com:8080/",
    ] {
        let reply = ask(&mut world, &client, "resources/read", json!({ "uri": uri }));
        assert_eq!((&reply["error"]["code"], &reply["error"]["data"]["uri"]), (&json!(-32002), &json!(uri)));
    }
    // Lists have what the author wrote.
    let list = ask(&mut world, &client, "resources/list", json!({}));
    assert_eq!(list["result"]["resources"][0]["uri"], "KBInfo://Summary");
    let list = ask(&mut world, &client, "resources/templates/list", json!({}));
    assert_eq!(list["result"]["resourceTemplates"][0]["uriTemplate"], "KB://Wiki/%7Ex/{page}");
}

#[test]
fn subscribers_hear_of_the_spelling_that_they_subscribed_to() {
    let (mut world, one) = world(server());
    let other = Client::new(&mut world, "2025-11-25", "{}");
    let subscribe = |world: &mut World, client: &Client, uri: &str| {
        assert_eq!(
            ask(world, client, "resources/subscribe", json!({ "uri": uri }))["result"],
            json!({}),
            "{uri}"
        );
    };
    subscribe(&mut world, &one, "kbinfo://Summary");
    subscribe(&mut world, &other, "KBInfo://Summary");
    subscribe(&mut world, &other, "docs:///a/b");
    let handle = world.engine.handle();
    for updated_uri in ["KBInfo://Summary", "kbinfo://summary/", "KBINFO://SUMMARY"] {
        handle.resource_updated(updated_uri);
        assert_eq!(updated(&mut world, &one), ["kbinfo://Summary"]);
        assert_eq!(updated(&mut world, &other), ["KBInfo://Summary"]);
    }
    handle.resource_updated("DOCS:///x/../a/%62");
    assert_eq!(updated(&mut world, &other), ["docs:///a/b"]);
    handle.resource_updated("docs:///a/B");
    assert!(updated(&mut world, &other).is_empty());
    // Once more is once, and the newer spelling counts; any spelling ends it.
    subscribe(&mut world, &one, "kbinfo://summary/");
    handle.resource_updated("KBInfo://Summary");
    assert_eq!(updated(&mut world, &one), ["kbinfo://summary/"]);
    assert_eq!(updated(&mut world, &other), ["KBInfo://Summary"]);
    let before = world.stats().buffered_bytes;
    subscribe(&mut world, &one, "KBInfo://SUMMARY");
    assert_eq!(
        world.stats().buffered_bytes,
        before + "KBInfo://SUMMARY".len() + 16,
        "this one is not normal"
    );
    assert_eq!(
        ask(&mut world, &one, "resources/unsubscribe", json!({"uri": "kbinfo://Summary"}))["result"],
        json!({})
    );
    handle.resource_updated("KBInfo://Summary");
    assert!(updated(&mut world, &one).is_empty());
    assert_eq!(updated(&mut world, &other), ["KBInfo://Summary"]);
    world.quiesce();
}

#[test]
fn completions_are_found_by_any_spelling_of_their_template() {
    let (mut world, client) = world(server());
    for (uri, values) in [
        ("KB://Wiki/%7Ex/{page}", json!(["Index"])),
        ("kb://wiki/~x/{page}", json!(["Index"])),
        ("kb://WIKI/%7ex/{page}", json!(["Index"])),
        ("docs:///{+path}", json!(["a/b"])),
        ("kbinfo://summary", json!([])),
    ] {
        let name = if uri.contains('+') { "path" } else { "page" };
        let typed = if name == "path" { "a" } else { "i" };
        let params = json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": { "name": name, "value": typed } });
        let reply = ask(&mut world, &client, "completion/complete", params);
        assert_eq!(reply["result"]["completion"]["values"], values, "{uri}");
    }
    let params = json!({ "ref": { "type": "ref/resource", "uri": "kb://wiki/~X/{page}" }, "argument": { "name": "page", "value": "" } });
    assert_eq!(ask(&mut world, &client, "completion/complete", params)["error"]["code"], -32602);
}

#[test]
fn one_uri_in_two_spellings_is_a_mistake_at_the_start() {
    let problem = |server: Server| Engine::new(server, || 1).err().unwrap_or_default();
    assert_eq!(problem(server()), "");
    for (server, says) in [
        (
            server().resource("kbinfo://summary/", "again", |_| ""),
            "resource `kbinfo://summary/` was added twice",
        ),
        (
            server().template("kb://wiki/~x/{page}", "again", |_, _| ""),
            "resource template `kb://wiki/~x/{page}` was added twice",
        ),
        (
            server().complete_template("kb://wiki/{page}", "page", ["x"]),
            "there is no resource template `kb://wiki/{page}`",
        ),
    ] {
        let problem = problem(server);
        assert!(problem.contains(says), "{problem}");
    }
    // Paths have a case.
    assert_eq!(problem(server().resource("docs:///A", "a", |_| "").resource("docs:///a", "a", |_| "")), "");
}

#[test]
fn a_handle_puts_and_removes_by_any_spelling() {
    let (mut world, client) = world(server());
    let handle = world.engine.handle();
    let count = |world: &mut World, client: &Client, method: &str, member: &str| {
        client.hear(world);
        world.tick();
        client.hear(world);
        ask(world, client, method, json!({}))["result"][member].as_array().unwrap().len()
    };
    handle.offer(Resource::new("kbinfo://summary", "new").handler(|_| "new")).unwrap();
    handle.offer(ResourceTemplate::new("kb://wiki/~x/{page}", "new").handler(|_, _| "new")).unwrap();
    assert_eq!(count(&mut world, &client, "resources/list", "resources"), 2);
    assert_eq!(count(&mut world, &client, "resources/templates/list", "resourceTemplates"), 2);
    for uri in ["KBInfo://Summary", "KB://Wiki/~x/a"] {
        let reply = ask(&mut world, &client, "resources/read", json!({ "uri": uri }));
        assert_eq!(reply["result"]["contents"][0]["text"], "new");
    }
    handle.withdraw(ItemKind::Resource, "KBINFO://SUMMARY").unwrap();
    handle.withdraw(ItemKind::Template, "KB://Wiki/%7ex/{page}").unwrap();
    assert_eq!(count(&mut world, &client, "resources/list", "resources"), 1);
    assert_eq!(count(&mut world, &client, "resources/templates/list", "resourceTemplates"), 1);
}
