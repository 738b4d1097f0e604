//! Resources that are listed on demand: pages, threads, and what goes wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{CallError, Limits, PageRequest, Resource, ResourceTemplate, Server, schema};
use serde_json::{Value, json};

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, eventually, one};
use crate::common::{Seen, World};
use crate::ways::{Visitor, ways, world};

schema! { struct Sure { sure: bool } }

const LIMITS: Limits = Limits { page_items_max: 3, ..Limits::DEFAULT };

fn note(name: &str) -> Resource {
    Resource::new(format!("note:///{name}"), name)
}

/// The pages of the list, each with the names on it.
fn pages(ask: &mut dyn FnMut(Value) -> Value) -> Vec<Vec<String>> {
    let (mut pages, mut params) = (Vec::new(), json!({}));
    for _ in 0..50 {
        let result = ask(params)["result"].take();
        let items = result["resources"].as_array().unwrap_or_else(|| panic!("{result}"));
        pages.push(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect());
        let Some(cursor) = result["nextCursor"].as_str() else { return pages };
        params = json!({ "cursor": cursor });
    }
    panic!("the list has no end: {pages:?}");
}

fn pages_of(world: &mut World, client: &Client) -> Vec<Vec<String>> {
    pages(&mut |params| client.ask(world, &request(1, "resources/list", &params.to_string())))
}

fn reply_of(text: &str) -> Value {
    let at = text.find(r#"{"jsonrpc""#).unwrap();
    serde_json::from_str(text[at..].lines().next().unwrap()).unwrap()
}

/// In an order of its own, and all of them each time.
fn all_notes() -> Vec<Resource> {
    ["z", "d", "a", "g", "c", "f", "b"].map(note).into()
}

/// In order, and no more than are wanted.
fn wanted_notes(page: &PageRequest<'_>) -> Vec<Resource> {
    let after = page.after().map_or("", |uri| uri.strip_prefix("note:///").unwrap());
    let names = ["a", "b", "c", "d", "f", "g", "z"];
    names.into_iter().filter(|name| *name > after).map(note).take(page.max()).collect()
}

#[test]
fn every_client_gets_all_pages_in_order_and_can_read_what_is_on_them() {
    for way in ways() {
        for sparing in [false, true] {
            let template = ResourceTemplate::new("note:///{name}", "note").list(move |page, call| {
                assert_eq!(call.principal().unwrap().name(), "ada");
                if sparing { wanted_notes(page) } else { all_notes() }
            });
            let server = Server::new("notes", "1")
                .limits(LIMITS)
                .resource("first:///1", "1", |_| "1")
                .resource("first:///2", "2", |_| "2")
                .offer(template.handler(|vars, _| vars.get("name").unwrap().to_owned()));
            let mut world = world(way, server);
            let mut visitor = Visitor::new(&mut world, way, "ada");
            let listed = pages(&mut |params| reply_of(&visitor.ask(&mut world, "resources/list", params)));
            let expected = [vec!["1", "2"], vec!["a", "b", "c"], vec!["d", "f", "g"], vec!["z"]];
            assert_eq!(listed, expected, "{way:?} {sparing}");
            let heard = visitor.ask(&mut world, "resources/read", json!({ "uri": "note:///d" }));
            assert_eq!(reply_of(&heard)["result"]["contents"][0]["text"], "d");
        }
    }
}

#[test]
fn templates_list_one_after_the_other_and_each_has_pages_of_its_own() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let few = ResourceTemplate::new("few:///{x}", "few").list(move |page, _| {
        log.lock().unwrap().push((page.after().map(str::to_owned), page.max()));
        vec![Resource::new("few:///1", "1")]
    });
    let none = ResourceTemplate::new("none:///{x}", "none").list(|_, _| Vec::new());
    let three = ResourceTemplate::new("three:///{x}", "three")
        .list(|_, _| [1, 2, 3].map(|n| Resource::new(format!("three:///{n}"), n.to_string())).to_vec());
    let server = Server::new("s", "1")
        .limits(LIMITS)
        .offer(few.handler(|_, _| "x"))
        .template("plain:///{x}", "plain", |_, _| "x")
        .offer(none.handler(|_, _| "x"))
        .offer(three.handler(|_, _| "x"));
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    // Without registered resources the first page is that of the first template.
    let expected = [vec!["1"], vec![], vec!["1", "2", "3"]];
    assert_eq!(pages_of(&mut world, &client), expected);
    assert_eq!(*asked.lock().unwrap(), [(None, 4)]);
    let reply = client.ask(&mut world, &request(1, "resources/templates/list", "{}"));
    assert_eq!(reply["result"]["resourceTemplates"].as_array().unwrap().len(), 3);
    for (method, cursor) in [
        ("resources/list", "of plain:///{x} "),
        ("resources/list", "of other:///{x} "),
        ("resources/list", "of few:///{x}"),
        ("resources/list", "of "),
        ("resources/templates/list", "of few:///{x} "),
    ] {
        let reply = client.ask(&mut world, &request(1, method, &json!({ "cursor": cursor }).to_string()));
        assert_eq!(reply["error"]["code"], -32602, "{method} {cursor:?}: {reply}");
        assert!(
            reply["error"]["message"].as_str().unwrap().contains("does not come from this list"),
            "{reply}"
        );
    }
}

#[test]
fn a_page_that_is_listed_ends_by_its_bytes_too() {
    let limits = Limits { page_bytes_max: 400, ..Limits::DEFAULT };
    let template = ResourceTemplate::new("note:///{x}", "note")
        .list(|_, _| (0..4).map(|n| note(&format!("{n}{}", "x".repeat(100)))).collect::<Vec<_>>());
    let server = Server::new("s", "1").limits(limits).offer(template.handler(|_, _| "x"));
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let counts: Vec<usize> = pages_of(&mut world, &client).iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 1, 1, 1]);
}

/// A server whose list is this, and its clients' replies to the first page.
fn listed<R: mcp_rill::IntoResourceList>(list: impl Fn() -> R + Send + Sync + 'static) -> (World, Value) {
    let template = ResourceTemplate::new("note:///{+x}", "note").list(move |_, _| list());
    let mut world = World::new(Server::new("s", "1").offer(template.handler(|_, _| "x")));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &request(1, "resources/list", "{}"));
    (world, reply["error"].clone())
}

#[test]
fn a_list_that_fails_is_an_error() {
    let (_, error) = listed(|| Err::<Vec<Resource>, _>("the disk is off"));
    assert_eq!(error, json!({ "code": -32603, "message": "Internal error: the disk is off" }));
    let (_, error) = listed(|| Err::<Vec<Resource>, _>(CallError::new(7, "not today")));
    assert_eq!(error, json!({ "code": 7, "message": "not today" }));
    let (_, error) = listed(|| Err::<Vec<Resource>, _>(CallError::not_found()));
    assert_eq!(error["message"], "Resource not found: note:///{+x}");
    let (_, error) = listed(|| -> Vec<Resource> { panic!("on purpose") });
    assert_eq!(error["code"], -32603);
    let (_, error) = listed(|| vec![note("a"), note("b c")]);
    assert_eq!(
        error["message"],
        "Internal error: the resource template `note:///{+x}` returned something that clients refuse: resource \
         `note:///b c`: ` ` cannot stand in a URI; write %20"
    );
}

#[test]
fn a_list_cannot_ask_the_client() {
    for way in ways() {
        let template =
            ResourceTemplate::new("note:///{x}", "note").list(|_, call| -> mcp_rill::Result<Vec<Resource>> {
                call.elicit::<Sure>("sure", "Sure?")?.required()?;
                Ok(all_notes())
            });
        let mut world = world(way, Server::new("s", "1").offer(template.handler(|_, _| "x")));
        let mut visitor = Visitor::new(&mut world, way, "ada");
        let heard = reply_of(&visitor.ask(&mut world, "resources/list", json!({})));
        let message = heard["error"]["message"].as_str().unwrap_or_else(|| panic!("{way:?} {heard}"));
        // Visitors with sessions have not declared that they can be asked.
        if !visitor.has_sessions() {
            assert_eq!(message, "Internal error: a list of resources cannot ask the client");
        }
        world.quiesce();
    }
    let template =
        ResourceTemplate::new("note:///{x}", "note").list(|_, call| -> mcp_rill::Result<Vec<Resource>> {
            call.elicit::<Sure>("sure", "Sure?")?.required()?;
            Ok(all_notes())
        });
    let mut world = World::new(Server::new("s", "1").offer(template.handler(|_, _| "x")));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &request(1, "resources/list", "{}"));
    assert_eq!(reply["error"]["message"], "Internal error: a list of resources cannot ask the client");
}

#[test]
fn a_list_may_take_a_while_on_a_thread_of_its_own() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let template = ResourceTemplate::new("note:///{x}", "note")
        .timeout(Duration::from_secs(5))
        .blocking_list(move |page, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            wait.lock().unwrap().recv().unwrap();
            wanted_notes(page)
        });
    let server = Server::new("s", "1").limits(LIMITS).offer(template.blocking_handler(|_, _| "x"));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &request(1, "resources/list", "{}"));
    // The loop goes on meanwhile.
    assert_eq!(client.ask(&mut world, &request(2, "resources/read", r#"{"uri":"x:///1"}"#))["id"], 2);
    go.send(()).unwrap();
    let reply = one(pool.heard(&mut world, &client, 1));
    assert_eq!((&reply["id"], reply["result"]["resources"].as_array().unwrap().len()), (&json!(1), 3));
    let cursor = reply["result"]["nextCursor"].as_str().unwrap();
    assert_eq!(cursor, "of note:///{x} note:///c");
    go.send(()).unwrap();
    client.tell(&mut world, &request(3, "resources/list", &json!({ "cursor": cursor }).to_string()));
    let reply = one(pool.heard(&mut world, &client, 1));
    assert_eq!(reply["result"]["resources"][0]["name"], "d");
    // Too late, and cancelled.
    client.tell(&mut world, &request(4, "resources/list", "{}"));
    pool.turn(&mut world);
    eventually("the list begins", || runs.load(Ordering::SeqCst) == 3);
    world.advance(Duration::from_secs(5));
    let reply = one(client.hear(&mut world));
    let late = "the resource template `note:///{x}` did not finish within 5 s (its timeout)";
    assert_eq!(reply["error"]["message"].as_str().unwrap(), format!("Internal error: {late}"));
    client.tell(&mut world, &request(5, "resources/list", "{}"));
    pool.turn(&mut world);
    assert!(client.cancel(&mut world, "5").is_empty());
    assert_eq!(world.stats().calls, 0);
    drop(go);
    assert!(!world.events().iter().any(|event| matches!(event, Seen::HandlerFault(_))));
}

#[test]
fn items_that_list_come_and_go_while_a_client_reads_pages() {
    let server = Server::new("s", "1").limits(LIMITS).tool("hide", "", |(), call| {
        call.handle().withdraw(mcp_rill::ItemKind::Template, "note:///{x}").unwrap();
    });
    let template = ResourceTemplate::new("note:///{x}", "note").list(|_, _| all_notes());
    let mut world = World::new(server.offer(template.handler(|_, _| "x")));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &request(1, "resources/list", "{}"));
    let params = json!({ "cursor": reply["result"]["nextCursor"] }).to_string();
    assert_eq!(client.say(&mut world, &call(2, "hide", "{}")).len(), 2, "announced, and answered");
    let reply = client.ask(&mut world, &request(3, "resources/list", &params));
    assert_eq!(reply["error"]["code"], -32602);
    let reply = client.ask(&mut world, &request(3, "resources/list", "{}"));
    assert_eq!(reply["result"], json!({ "resources": [] }));
}
