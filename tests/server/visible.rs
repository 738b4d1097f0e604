//! Items that only some clients see: to all others they do not exist, by any door and in every revision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{
    CacheScope, Handle, ItemKind, Limits, Prompt, PromptArgument, Resource, ResourceTemplate, Server, Tool,
    Viewer, engine::Engine, schema,
};
use serde_json::{Value, json};

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, one, text};
use crate::common::{World, principal};
#[cfg(feature = "stateless")]
use crate::ways::Way;
use crate::ways::{Visitor, ways, world};

schema! { struct Sure { sure: bool } }

/// A tool's argument that is repeated in a header field.
const ROUTED: &str = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;

fn only(name: &'static str) -> impl Fn(&Viewer<'_>) -> bool + Send + Sync + 'static {
    move |viewer| viewer.principal().is_some_and(|principal| principal.name() == name)
}

/// One item of each kind with this name, for one principal or for all. A template whose name ends in 2 lists its resources.
fn items(name: &'static str, viewer: Option<&'static str>) -> Vec<mcp_rill::Item> {
    let tool = Tool::new(name, "A tool").input_schema(ROUTED);
    let resource = Resource::new(format!("note:///{name}"), name);
    let template = ResourceTemplate::new(format!("{name}:///{{id}}"), name);
    let prompt = Prompt::new(name, "A prompt").argument(PromptArgument::new("x"));
    let (tool, resource, template, prompt) = match viewer {
        Some(viewer) => (
            tool.visible(only(viewer)),
            resource.visible(only(viewer)),
            template.visible(only(viewer)),
            prompt.visible(only(viewer)),
        ),
        None => (tool, resource, template, prompt),
    };
    vec![
        tool.handler(move |_: Value, _| name),
        resource.handler(move |_| name),
        match name.ends_with('2') {
            true => template
                .list(move |_, _| {
                    ["b", "a", "c"].map(|id| Resource::new(format!("{name}:///{id}"), id)).to_vec()
                })
                .handler(move |vars, _| vars.get("id").unwrap().to_owned()),
            false => template.handler(move |vars, _| vars.get("id").unwrap().to_owned()),
        },
        prompt.handler(move |_: Value, _| name),
    ]
}

/// Items for everybody and for Ada, and with `hidden` items for Carol between them.
fn server(hidden: bool) -> Server {
    let limits = Limits { page_items_max: 2, ..Limits::DEFAULT };
    let mut server =
        Server::new("doors", "1").limits(limits).cache_lists(Duration::from_secs(9), CacheScope::Public);
    let names = [
        ("carol-1", Some("carol")),
        ("all-1", None),
        ("carol-2", Some("carol")),
        ("ada-1", Some("ada")),
        ("carol-3", Some("carol")),
        ("ada-2", Some("ada")),
        ("carol-4", Some("carol")),
        ("ada-3", Some("ada")),
        ("all-2", None),
        ("carol-5", Some("carol")),
        ("all-3", None),
        ("carol-6", Some("carol")),
        ("ada-4", Some("ada")),
    ];
    for (name, viewer) in names.into_iter().filter(|(_, viewer)| hidden || *viewer != Some("carol")) {
        server = items(name, viewer).into_iter().fold(server, Server::offer);
        server = server.complete_prompt(name, "x", ["one", "other"]).complete_template(
            &format!("{name}:///{{id}}"),
            "id",
            ["1", "2"],
        );
    }
    server
}

impl Visitor {
    /// Knocks at every door there is, with each of these names.
    fn knock(&mut self, world: &mut World, names: &[&str]) {
        let lists = [
            ("tools/list", "tools"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
            ("prompts/list", "prompts"),
        ];
        for (method, member) in lists {
            let mut seen = Vec::new();
            let mut params = json!({});
            // The end of a list is not where a page ends.
            for _ in 0..20 {
                let page = self.ask(world, method, params);
                let page =
                    page.lines().find_map(|line| line.find(r#"{"jsonrpc""#).map(|at| line[at..].to_owned()));
                let page: Value = serde_json::from_str(&page.unwrap()).unwrap();
                let items = page["result"][member].as_array().unwrap();
                seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
                let Some(cursor) = page["result"]["nextCursor"].as_str() else { break };
                params = json!({ "cursor": cursor });
            }
            let mut expected = match self.name {
                "ada" => vec!["all-1", "ada-1", "ada-2", "ada-3", "all-2", "all-3", "ada-4"],
                _ => vec!["all-1", "all-2", "all-3"],
            };
            if method == "resources/list" {
                // Of each template whose name ends in 2.
                let lists = if self.name == "ada" { 2 } else { 1 };
                expected.extend(["a", "b", "c"].repeat(lists));
            }
            assert_eq!(seen, expected, "{method} {:?} {}", self.way, self.name);
        }
        for name in names {
            let uris = [format!("note:///{name}"), format!("{name}:///1")];
            self.ask(world, "tools/call", json!({"name": name, "arguments": {"region": "eu"}}));
            self.ask(world, "tools/call", json!({"name": name}));
            self.ask(world, "prompts/get", json!({"name": name}));
            let prompt = json!({"type": "ref/prompt", "name": name});
            let argument = json!({"name": "x", "value": "o"});
            self.ask(world, "completion/complete", json!({"ref": prompt, "argument": argument}));
            for uri in &uris {
                self.ask(world, "resources/read", json!({"uri": uri}));
                if self.has_sessions() {
                    self.ask(world, "resources/subscribe", json!({"uri": uri}));
                }
            }
            for uri in [uris[0].clone(), format!("{name}:///{{id}}")] {
                let template = json!({"type": "ref/resource", "uri": uri});
                let argument = json!({"name": "id", "value": ""});
                self.ask(world, "completion/complete", json!({"ref": template, "argument": argument}));
            }
        }
        if !self.has_sessions() {
            let uris: Vec<String> =
                names.iter().flat_map(|name| [format!("note:///{name}"), format!("{name}:///1")]).collect();
            let filter = json!({"toolsListChanged": true, "promptsListChanged": true,
                "resourcesListChanged": true, "resourceSubscriptions": uris});
            self.ask(world, "subscriptions/listen", json!({"notifications": filter}));
        }
    }
}

/// Changes everything that Carol sees, and nothing else.
fn change(world: &mut World, handle: &Handle, name: &'static str, viewer: &'static str) {
    for item in items(name, Some(viewer)) {
        handle.offer(item).unwrap();
    }
    world.advance(Duration::from_millis(1));
    for uri in [format!("note:///{name}"), format!("{name}:///1")] {
        handle.resource_updated(&uri);
    }
    world.advance(Duration::from_millis(1));
    handle.withdraw(ItemKind::Tool, name).unwrap();
    handle.withdraw(ItemKind::Resource, &format!("note:///{name}")).unwrap();
    handle.withdraw(ItemKind::Template, &format!("{name}:///{{id}}")).unwrap();
    handle.withdraw(ItemKind::Prompt, name).unwrap();
    world.advance(Duration::from_millis(1));
}

const NAMES: [&str; 6] = ["all-1", "ada-2", "carol-3", "carol-6", "nobody", "all-3"];

/// Every byte that Ada and Bob get is what they get from a server without Carol's items.
#[test]
fn an_item_that_a_client_does_not_see_does_not_exist_for_it() {
    for way in ways() {
        for name in ["ada", "bob"] {
            let [with, without] = [true, false].map(|hidden| {
                let mut world = world(way, server(hidden));
                let handle = world.engine.handle();
                let mut visitor = Visitor::new(&mut world, way, name);
                visitor.knock(&mut world, &NAMES);
                world.advance(Duration::from_secs(1));
                visitor.listen(&mut world);
                let answers = visitor.heard.len();
                if hidden {
                    for name in ["carol-3", "carol-6", "carol-7"] {
                        change(&mut world, &handle, name, "carol");
                    }
                }
                visitor.listen(&mut world);
                assert_eq!(visitor.heard.len(), answers, "{way:?}: {}", &visitor.heard[answers..]);
                visitor.heard
            });
            assert_eq!(with, without, "{way:?} {name}");
            let seen = if name == "ada" { "\"text\":\"ada-2\"" } else { "\"text\":\"all-1\"" };
            assert!(with.contains(seen) && !with.contains("\"text\":\"carol"), "{way:?} {name}");
        }
    }
}

/// The same door answers a name that nobody has and one that somebody else has alike.
#[test]
fn a_hidden_name_is_answered_as_an_unknown_one() {
    for way in ways() {
        let mut world = world(way, server(true));
        let mut visitor = Visitor::new(&mut world, way, "bob");
        let mut ask = |name: &str| {
            visitor.heard.clear();
            let requests = [
                ("tools/call", json!({"name": name})),
                ("prompts/get", json!({"name": name})),
                ("resources/read", json!({"uri": format!("note:///{name}")})),
                ("resources/read", json!({"uri": format!("{name}:///1")})),
                ("resources/subscribe", json!({"uri": format!("note:///{name}")})),
                (
                    "completion/complete",
                    json!({"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "x", "value": ""}}),
                ),
            ];
            requests.into_iter().for_each(|(method, params)| drop(visitor.ask(&mut world, method, params)));
            visitor.heard.replace(name, "NAME")
        };
        assert_eq!(ask("carol-1"), ask("nobody1"), "{way:?}");
        assert_ne!(ask("carol-1"), ask("all-1"), "{way:?}");
    }
}

#[test]
fn changes_are_announced_to_those_who_see_them() {
    for way in ways() {
        let mut world = world(way, server(true));
        let handle = world.engine.handle();
        let mut visitors = ["carol", "bob"].map(|name| Visitor::new(&mut world, way, name));
        let names = ["carol-7"];
        handle.offer(items("carol-7", Some("carol")).remove(1)).unwrap();
        handle.offer(items("carol-7", Some("carol")).remove(2)).unwrap();
        world.advance(Duration::from_millis(1));
        for visitor in &mut visitors {
            visitor.listen(&mut world);
            for uri in names.iter().flat_map(|name| [format!("note:///{name}"), format!("{name}:///1")]) {
                if visitor.has_sessions() {
                    visitor.ask(&mut world, "resources/subscribe", json!({"uri": uri}));
                }
            }
            if !visitor.has_sessions() {
                let filter = json!({"toolsListChanged": true, "promptsListChanged": true,
                    "resourcesListChanged": true, "resourceSubscriptions": ["note:///carol-7", "carol-7:///1"]});
                visitor.ask(&mut world, "subscriptions/listen", json!({"notifications": filter}));
                world.advance(Duration::from_millis(1));
                visitor.listen(&mut world);
                assert!(visitor.heard.contains("acknowledged"));
            }
            visitor.heard.clear();
        }
        change(&mut world, &handle, "carol-7", "carol");
        let heard = visitors.map(|mut visitor| {
            visitor.listen(&mut world);
            [
                "tools/list_changed",
                "resources/list_changed",
                "prompts/list_changed",
                "\"uri\":\"note:///carol-7\"",
                "\"uri\":\"carol-7:///1\"",
            ]
            .map(|expected| visitor.heard.matches(expected).count() > 0)
        });
        let is_told = format!("{way:?}") != "Sessionless";
        assert_eq!(heard, [[is_told; 5], [false; 5]], "{way:?}");
    }
}

fn list(client: &Client, world: &mut World, params: &str) -> (Vec<String>, Option<String>) {
    let reply = client.ask(world, &request(1, "tools/list", params));
    let names = reply["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned());
    (names.collect(), reply["result"]["nextCursor"].as_str().map(str::to_owned))
}

fn client(world: &mut World, name: &str) -> Client {
    let (stream, post) = (world.connect_as(principal(name)), world.connect_as(principal(name)));
    let client = Client::on(world.open_sse_on(stream, "/sse"), post);
    client.initialize(world, "2025-11-25", ALL);
    client
}

/// A closure of this server that says what the switch says.
fn switched() -> (Arc<AtomicBool>, impl Fn(&Viewer<'_>) -> bool + Send + Sync + Clone + 'static) {
    let switch = Arc::new(AtomicBool::new(true));
    let seen = switch.clone();
    (switch, move |_: &Viewer<'_>| seen.load(Ordering::SeqCst))
}

#[test]
fn a_page_begins_after_an_item_that_is_gone() {
    let limits = Limits { page_items_max: 3, ..Limits::DEFAULT };
    let mut server = Server::new("pages", "1").limits(limits);
    for name in ["a", "b", "c", "d", "e"] {
        let tool = Tool::new(name, "").visible(|_| true);
        server = server.offer(tool.handler(|(), _| "x")).tool(&name.to_uppercase(), "", |(), _| "x");
    }
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let (first, cursor) = list(&client, &mut world, "{}");
    assert_eq!((first, cursor.as_deref()), (["a", "A", "b"].map(str::to_owned).to_vec(), Some("after-1 b")));
    let (second, cursor) = list(&client, &mut world, r#"{"cursor":"after-1 b"}"#);
    assert_eq!((second, cursor.as_deref()), (["B", "c", "C"].map(str::to_owned).to_vec(), Some("after-3")));
    let handle = world.engine.handle();
    handle.withdraw(ItemKind::Tool, "b").unwrap();
    handle.withdraw(ItemKind::Tool, "C").unwrap();
    world.advance(Duration::from_millis(1));
    client.hear(&mut world);
    // An item that stayed is neither left out nor repeated.
    assert_eq!(list(&client, &mut world, r#"{"cursor":"after-1 b"}"#).0, ["B", "c", "d"]);
    assert_eq!(list(&client, &mut world, r#"{"cursor":"after-3"}"#).0, ["d", "D", "e"]);
    for wrong in ["after-", "after-x", "after-1b", "after--1", "before-1", "after- 1", ""] {
        let reply =
            client.ask(&mut world, &request(1, "tools/list", &json!({ "cursor": wrong }).to_string()));
        assert_eq!(reply["error"]["code"], -32602, "{wrong}: {reply}");
    }
}

#[test]
fn a_right_that_is_withdrawn_ends_at_once() {
    let (switch, sees) = switched();
    let server = Server::new("rights", "1")
        .offer(Resource::new("note:///1", "note").visible(sees.clone()).handler(|_| "secret"))
        .offer(Tool::new("ask", "Ask").visible(sees).handler(|(), call| -> mcp_rill::Result<_> {
            let sure = call.elicit::<Sure>("sure", "Sure?")?.required()?;
            Ok(sure.accepted().map_or("no", |_| "yes"))
        }));
    let mut world = World::new(server);
    let (client, handle) = (Client::new(&mut world, "2025-11-25", ALL), world.engine.handle());
    let uri = r#"{"uri":"note:///1"}"#;
    assert_eq!(client.ask(&mut world, &request(1, "resources/subscribe", uri))["result"], json!({}));
    let question = one(client.say(&mut world, &call(2, "ask", "{}")));
    let told = |client: &Client, world: &mut World| {
        handle.resource_updated("note:///1");
        world.advance(Duration::from_millis(1));
        client.hear(world).len()
    };
    assert_eq!(told(&client, &mut world), 1);
    switch.store(false, Ordering::SeqCst);
    assert_eq!(told(&client, &mut world), 0);
    let accepted = r#"{"action":"accept","content":{"sure":true}}"#;
    let reply = one(client.answer(&mut world, &question, accepted));
    assert_eq!(reply["error"]["message"], "Invalid params: unknown tool `ask`; `tools/list` lists the tools");
    assert_eq!(client.ask(&mut world, &request(3, "resources/read", uri))["error"]["code"], -32002);
    switch.store(true, Ordering::SeqCst);
    assert_eq!(told(&client, &mut world), 1, "a subscription is kept");
    world.quiesce();
}

/// Nor does a hook that would permit it learn that somebody has asked.
#[test]
fn nobody_subscribes_to_what_is_hidden_whatever_the_hook_says() {
    for way in ways() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let server = server(true).on_subscribe(move |uri, principal| {
            log.lock().unwrap().push((uri.to_owned(), principal.unwrap().name().to_owned()));
            true
        });
        let mut world = world(way, server);
        for name in ["carol", "bob"] {
            let mut visitor = Visitor::new(&mut world, way, name);
            let uris = ["note:///carol-1", "carol-1:///1"];
            if visitor.has_sessions() {
                for uri in uris {
                    visitor.ask(&mut world, "resources/subscribe", json!({ "uri": uri }));
                }
            } else {
                let filter = json!({ "resourceSubscriptions": uris });
                visitor.ask(&mut world, "subscriptions/listen", json!({ "notifications": filter }));
            }
        }
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert!(asked.iter().all(|(_, name)| name == "carol"), "{way:?} {asked:?}");
        let kept = format!("{way:?}") != "Sessionless";
        assert_eq!(asked.len(), if kept { 2 } else { 0 }, "{way:?} {asked:?}");
    }
}

#[test]
fn an_item_can_belong_to_a_session() {
    let unlocked = Arc::new(Mutex::new(Vec::<String>::new()));
    let sessions = unlocked.clone();
    let erase = Tool::new("erase", "Erase")
        .visible(move |viewer| viewer.session_id().is_some_and(|id| sessions.lock().unwrap().contains(&id)));
    let server = Server::new("disk", "1").offer(erase.handler(|(), _| "erased")).tool(
        "unlock",
        "",
        move |(), call| {
            unlocked.lock().unwrap().extend(call.session_id());
            "unlocked"
        },
    );
    let mut world = World::new(server);
    let [one_client, other] = [(); 2].map(|()| client(&mut world, "ada"));
    assert_eq!(text(&one_client.ask(&mut world, &call(1, "unlock", "{}"))), "unlocked");
    assert_eq!(list(&one_client, &mut world, "{}").0, ["erase", "unlock"]);
    assert_eq!(list(&other, &mut world, "{}").0, ["unlock"]);
    assert_eq!(text(&one_client.ask(&mut world, &call(2, "erase", "{}"))), "erased");
    assert_eq!(other.ask(&mut world, &call(2, "erase", "{}"))["error"]["code"], -32602);
}

#[test]
fn an_item_that_becomes_hidden_or_visible_is_announced_to_both_sides() {
    let mut world = World::new(Server::new("both", "1").tool("a", "", |(), _| "a"));
    let handle = world.engine.handle();
    let (ada, bob) = (client(&mut world, "ada"), client(&mut world, "bob"));
    let offer = |tool: Tool| handle.offer(tool.handler(|(), _| "x")).unwrap();
    let told = |world: &mut World| {
        world.advance(Duration::from_millis(1));
        [&ada, &bob].map(|client| client.hear(world).len())
    };
    offer(Tool::new("a", "").visible(only("ada")));
    assert_eq!(told(&mut world), [1, 1], "it was there for all before");
    offer(Tool::new("a", "Another").visible(only("ada")));
    assert_eq!(told(&mut world), [1, 0]);
    offer(Tool::new("a", "").visible(only("bob")));
    assert_eq!(told(&mut world), [1, 1]);
    offer(Tool::new("a", ""));
    assert_eq!(told(&mut world), [1, 1]);
    handle.withdraw(ItemKind::Tool, "nobody has this").unwrap();
    assert_eq!(told(&mut world), [0, 0], "nothing has changed");
    handle.tools_changed();
    assert_eq!(told(&mut world), [1, 1], "what is said to all is said to all");
}

#[test]
fn a_resource_that_is_hidden_may_match_a_template_that_is_not() {
    let server = Server::new("notes", "1")
        .offer(Resource::new("note:///1", "first").visible(only("ada")).handler(|_| "of ada"))
        .offer(ResourceTemplate::new("note:///{id}", "notes").visible(only("bob")).handler(|_, _| "of bob"))
        .template("note:///{+any}", "any", |_, _| "of all");
    let mut world = World::new(server);
    for (name, expected) in [("ada", "of ada"), ("bob", "of bob"), ("carol", "of all")] {
        let client = client(&mut world, name);
        let reply = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"note:///1"}"#));
        assert_eq!(reply["result"]["contents"][0]["text"], expected);
        client.ask(&mut world, &request(2, "resources/subscribe", r#"{"uri":"note:///1"}"#));
        world.engine.handle().resource_updated("note:///1");
        world.advance(Duration::from_millis(1));
        assert_eq!(client.hear(&mut world).len(), 1);
    }
}

#[test]
fn a_closure_that_panics_hides_its_item() {
    let broken = Tool::new("broken", "").visible(|_| panic!("on purpose"));
    let mut world =
        World::new(Server::new("s", "1").tool("a", "", |(), _| "a").offer(broken.handler(|(), _| "b")));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(list(&client, &mut world, "{}").0, ["a"]);
    assert_eq!(client.ask(&mut world, &call(1, "broken", "{}"))["error"]["code"], -32602);
}

#[test]
fn what_some_see_is_not_cached_for_all() {
    let public =
        |resource: Resource| resource.cache(Duration::from_secs(1), CacheScope::Public).handler(|_| "x");
    let note = || Resource::new("note:///1", "note");
    let server = |item| Server::new("s", "1").offer(item);
    assert!(Engine::new(server(public(note())), || 1).is_ok());
    assert_eq!(
        Engine::new(server(public(note().visible(only("ada")))), || 1).unwrap_err(),
        "resource `note:///1`: not all clients see it, so its cache scope cannot be public"
    );
    let template = ResourceTemplate::new("note:///{id}", "n").visible(only("ada"));
    let template = template.cache(Duration::from_secs(1), CacheScope::Public).handler(|_, _| "x");
    assert_eq!(
        Engine::new(server(template), || 1).unwrap_err(),
        "resource template `note:///{id}`: not all clients see it, so its cache scope cannot be public"
    );
}

#[cfg(feature = "stateless")]
#[test]
fn a_page_with_something_that_some_see_is_not_cached_for_all() {
    for (name, expected) in
        [("ada", vec!["private", "private", "public", "private"]), ("bob", vec!["public"; 2])]
    {
        let mut world = World::new(server(true));
        let mut visitor = Visitor::new(&mut world, Way::Stateless, name);
        let (mut scopes, mut params) = (Vec::new(), json!({}));
        while params["cursor"].is_string() || scopes.is_empty() {
            let page = visitor.ask(&mut world, "tools/list", params);
            let page: Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
            scopes.push(page["result"]["cacheScope"].as_str().unwrap().to_owned());
            params = json!({ "cursor": page["result"]["nextCursor"] });
        }
        assert_eq!(scopes, expected, "{name}");
    }
}
