//! Handlers of all kinds share a state that the server owns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{
    Call, CallError, Ended, Item, Limits, MailboxFull, PageRequest, Principal, Prompt, Resource,
    ResourceTemplate, Server, State, Tool, engine::Engine, schema, uri::Vars,
};
use serde_json::json;

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, one, text};
use crate::common::{World, counted};
use crate::ways::{Visitor, ways, world};

schema! { struct Put { name: String, text: String } }
schema! { struct Named { name: String } }

/// What a server of notes keeps. It is not `Sync`.
#[derive(Default)]
struct Notes {
    texts: BTreeMap<String, String>,
    asked: std::cell::Cell<usize>,
}

impl Notes {
    fn put(&mut self, Put { name, text }: Put, _: &mut Call) -> usize {
        self.texts.insert(name, text);
        self.texts.len()
    }

    fn get(&mut self, Named { name }: Named, _: &mut Call) -> mcp_rill::Result<String> {
        Ok(self.texts.get(&name).cloned().ok_or("there is no such note")?)
    }

    fn count(&mut self, _: &mut Call) -> String {
        self.texts.len().to_string()
    }

    fn read(&mut self, vars: &Vars, _: &mut Call) -> Result<String, CallError> {
        self.texts.get(vars.get("name").unwrap_or_default()).cloned().ok_or_else(CallError::not_found)
    }

    fn list(&mut self, _: &PageRequest<'_>, _: &mut Call) -> Vec<Resource> {
        self.texts.keys().map(|name| Resource::new(format!("note:///{name}"), name)).collect()
    }

    fn all(&mut self, (): (), _: &mut Call) -> String {
        format!("Sum up {}.", self.texts.values().cloned().collect::<Vec<_>>().join(" and "))
    }

    fn permits(&mut self, uri: &str, _: Option<&Principal>) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.texts.contains_key(uri.strip_prefix("note:///").unwrap_or_default())
    }
}

fn server() -> Server<State<Notes>> {
    let note = ResourceTemplate::new("note:///{name}", "note").list_with_state(Notes::list);
    Server::with_state("notes", "1", Notes::default())
        .tool("put", "Write a note", Notes::put)
        .offer(Tool::new("get", "Read a note").read_only(true).handler_with_state(Notes::get))
        .tool("asked", "How often the hook was asked", |notes, (), _| notes.asked.get())
        .tool("plain", "Does without the state", |_, (), _| "plain")
        .offer(Tool::new("none", "Knows of no state").handler(|(), _| "none"))
        .resource("notes:///count", "count", Notes::count)
        .offer(note.handler_with_state(Notes::read))
        .prompt("sum-up", "Sum up", Notes::all)
        .prompt("about", "About a note", |_, Named { name }: Named, _| name)
        .complete_prompt_with_state("about", "name", |notes, partial| {
            notes.texts.keys().filter(|name| name.starts_with(partial.value())).cloned().collect()
        })
        .complete_template_with_state("note:///{name}", "name", |notes, _| {
            notes.texts.keys().cloned().collect()
        })
        .on_subscribe(Notes::permits)
}

#[test]
fn handlers_of_all_kinds_share_the_state() {
    for way in ways() {
        let mut world = world(way, server());
        let mut visitor = Visitor::new(&mut world, way, "ada");
        let put = |name: &str, text: &str| json!({"name": "put", "arguments": {"name": name, "text": text}});
        let complete = |reference: serde_json::Value| json!({"ref": reference, "argument": {"name": "name", "value": "m"}});
        for (method, params, expected) in [
            ("tools/call", put("milk", "Buy milk"), r#""text":"1""#),
            ("tools/call", put("nut", "Buy nuts"), r#""text":"2""#),
            ("tools/call", json!({"name": "get", "arguments": {"name": "nut"}}), "Buy nuts"),
            ("tools/call", json!({"name": "get", "arguments": {"name": "tea"}}), "there is no such note"),
            ("tools/call", json!({"name": "plain"}), r#""text":"plain""#),
            ("tools/call", json!({"name": "none"}), r#""text":"none""#),
            ("resources/read", json!({"uri": "notes:///count"}), r#""text":"2""#),
            ("resources/read", json!({"uri": "note:///milk"}), "Buy milk"),
            ("resources/read", json!({"uri": "note:///tea"}), r#""code":-3"#),
            ("resources/list", json!({"cursor": "of note:///{name} "}), r#""uri":"note:///nut""#),
            ("prompts/get", json!({"name": "sum-up"}), "Sum up Buy milk and Buy nuts."),
            (
                "completion/complete",
                complete(json!({"type": "ref/prompt", "name": "about"})),
                r#""values":["milk"]"#,
            ),
            (
                "completion/complete",
                complete(json!({"type": "ref/resource", "uri": "note:///{name}"})),
                r#""values":["milk","nut"]"#,
            ),
        ] {
            let heard = visitor.ask(&mut world, method, params);
            assert!(heard.contains(expected), "{way:?} {method}: {heard}");
        }
    }
}

#[test]
fn the_hook_of_subscriptions_gets_the_state() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.ask(&mut world, &call(1, "put", r#"{"name":"milk","text":"x"}"#));
    let subscribe = |world: &mut World, name: &str| {
        client.ask(
            world,
            &request(1, "resources/subscribe", &json!({"uri": format!("note:///{name}")}).to_string()),
        )
    };
    assert!(subscribe(&mut world, "milk")["result"].is_object());
    assert_eq!(subscribe(&mut world, "tea")["error"]["code"], -32002);
    let handle = world.engine.handle();
    handle.resource_updated("note:///milk");
    world.advance(Duration::from_millis(1));
    assert_eq!(one(client.hear(&mut world))["params"]["uri"], "note:///milk");
    // It sees what a handler has changed since.
    handle.change_state(|notes: &mut Notes| notes.texts.clear()).unwrap();
    handle.resource_updated("note:///milk");
    world.advance(Duration::from_millis(1));
    assert!(client.hear(&mut world).is_empty());
    assert_eq!(text(&client.ask(&mut world, &call(1, "asked", "{}"))), "4");
}

/// What worker threads of a server share.
struct Archive {
    reads: AtomicUsize,
}

impl Archive {
    fn find(&self, Named { name }: Named, _: &mut Call) -> String {
        format!("{name} {}", self.reads.fetch_add(1, Ordering::SeqCst))
    }
}

#[test]
fn blocking_handlers_share_another_state() {
    let archive = Arc::new(Archive { reads: AtomicUsize::new(0) });
    let list =
        ResourceTemplate::new("old:///{name}", "old").blocking_list_with_state(|archive: &Archive, _, _| {
            archive.reads.fetch_add(1, Ordering::SeqCst);
            vec![Resource::new("old:///1", "one")]
        });
    let server = Server::with_state("notes", "1", Notes::default())
        .shared_state(archive.clone())
        .tool("put", "Write a note", Notes::put)
        .blocking_tool("find", "Find a note", Archive::find)
        .blocking_resource("archive:///", "archive", |archive, _| {
            archive.reads.fetch_add(1, Ordering::SeqCst).to_string()
        })
        .offer(list.blocking_handler_with_state(|archive: &Archive, vars, _| {
            format!("{} {}", vars.get("name").unwrap(), archive.reads.fetch_add(1, Ordering::SeqCst))
        }))
        .blocking_template("older:///{name}", "older", |archive, vars, _| {
            format!("{} {}", vars.get("name").unwrap(), archive.reads.fetch_add(1, Ordering::SeqCst))
        })
        .blocking_prompt("about", "About it", |archive, Named { name }: Named, _| {
            format!("{name} {}", archive.reads.fetch_add(1, Ordering::SeqCst))
        });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (body, expected) in [
        (call(1, "put", r#"{"name":"a","text":"b"}"#), r#""text":"1""#),
        (call(1, "find", r#"{"name":"tea"}"#), r#""text":"tea 0""#),
        (request(1, "resources/read", r#"{"uri":"archive:///"}"#), r#""text":"1""#),
        (request(1, "resources/read", r#"{"uri":"old:///x"}"#), r#""text":"x 2""#),
        (request(1, "resources/read", r#"{"uri":"older:///y"}"#), r#""text":"y 3""#),
        (request(1, "prompts/get", r#"{"name":"about","arguments":{"name":"z"}}"#), r#""text":"z 4""#),
        (request(1, "resources/list", r#"{"cursor":"of old:///{name} "}"#), r#""name":"one""#),
    ] {
        client.post(&mut world, &body);
        let heard = one(pool.heard(&mut world, &client, 1)).to_string();
        assert!(heard.contains(expected), "{body}: {heard}");
    }
    assert_eq!(archive.reads.load(Ordering::SeqCst), 6);
}

fn problem<X>(server: Server<X>) -> String {
    Engine::new(server, || 1).unwrap_err()
}

/// One of each kind that takes a `Notes`.
fn items() -> Vec<(&'static str, Item)> {
    let template = || ResourceTemplate::new("note:///{name}", "note");
    vec![
        ("tool `get`", Tool::new("get", "").handler_with_state(Notes::get)),
        ("resource `notes:///count`", Resource::new("notes:///count", "").handler_with_state(Notes::count)),
        ("resource template `note:///{name}`", template().handler_with_state(Notes::read)),
        ("resource template `note:///{name}`", template().list_with_state(Notes::list).handler(|_, _| "x")),
        ("prompt `all`", Prompt::new("all", "").handler_with_state(Notes::all)),
    ]
}

#[test]
fn a_handler_of_another_state_is_reported_at_the_start() {
    let notes = "state::Notes";
    for (name, item) in items() {
        let none = problem(Server::new("s", "1").offer(item));
        let start = format!("the handler of {name} takes the state `");
        assert!(none.starts_with(&start) && none.contains(notes), "{none}");
        assert!(
            none.ends_with("`, and that of the server is missing (`Server::with_state` sets it)"),
            "{none}"
        );
    }
    for (name, item) in items() {
        let other = problem(Server::with_state("s", "1", 5_u8).offer(item));
        assert!(other.contains(name) && other.contains("and that of the server is `u8`"), "{other}");
    }
    let find = || Tool::new("find", "").blocking_handler_with_state(Archive::find);
    let none = problem(Server::with_state("s", "1", Notes::default()).offer(find()));
    assert!(none.contains("takes the shared state `"), "{none}");
    assert!(none.ends_with("and that of the server is missing (`Server::shared_state` sets it)"), "{none}");
    let other =
        problem(Server::with_state("s", "1", Notes::default()).shared_state(Arc::new(5_u8)).offer(find()));
    assert!(other.contains("and that of the server is `u8`"), "{other}");
    // Blocking handlers of a server without a shared state, if it is set after them.
    let late = Server::with_state("s", "1", 5_u8).blocking_tool("b", "", |(), (), _| "x");
    let late = problem(late.shared_state(Arc::new(5_u16)));
    assert!(late.contains("tool `b` takes the shared state `()`, and that of the server is `u16`"), "{late}");
}

#[test]
fn items_that_are_added_later_take_the_state() {
    let mut world = World::new(Server::with_state("s", "1", Notes::default()).tool("put", "", Notes::put));
    let (client, handle) = (Client::new(&mut world, "2025-11-25", ALL), world.engine.handle());
    for (_, item) in items() {
        handle.offer(item).unwrap();
    }
    let wrong = Tool::new("wrong", "").handler_with_state(|_: &mut String, (), _| "x");
    let error = handle.offer(wrong).unwrap_err().to_string();
    assert!(
        error.starts_with("the handler of tool `wrong` takes the state `alloc::string::String`"),
        "{error}"
    );
    world.advance(Duration::from_millis(1));
    client.hear(&mut world);
    client.ask(&mut world, &call(1, "put", r#"{"name":"a","text":"milk"}"#));
    assert_eq!(text(&client.ask(&mut world, &call(1, "get", r#"{"name":"a"}"#))), "milk");
    assert_eq!(client.ask(&mut world, &call(1, "wrong", "{}"))["error"]["code"], -32602);
}

#[test]
fn with_other_items_comes_another_state_or_the_old_one_stays() {
    let notes = |text: &str| Notes { texts: BTreeMap::from([("a".into(), text.into())]), ..Notes::default() };
    let get = || Tool::new("get", "").handler_with_state(Notes::get);
    let mut world = World::new(Server::with_state("s", "1", notes("old")).offer(get()));
    let (client, handle) = (Client::new(&mut world, "2025-11-25", ALL), world.engine.handle());
    let read = |world: &mut World| {
        world.advance(Duration::from_millis(1));
        client.hear(world);
        text(&client.ask(world, &call(1, "get", r#"{"name":"a"}"#))).to_owned()
    };
    handle.replace(Server::new("s", "1").offer(get())).unwrap();
    assert_eq!(read(&mut world), "old");
    handle.replace(Server::with_state("s", "1", notes("new")).offer(get())).unwrap();
    assert_eq!(read(&mut world), "new");
    let error = handle.replace(Server::with_state("s", "1", 5_u8)).unwrap_err().to_string();
    assert!(error.starts_with("its state is `u8`, and that of the running server is `"), "{error}");
    let error =
        handle.replace(Server::with_state("s", "1", notes("x")).shared_state(Arc::new(1_u8))).unwrap_err();
    assert_eq!(error.to_string(), "its shared state is `u8`, and that of the running server is missing");
    assert_eq!(read(&mut world), "new");
}

#[test]
fn another_thread_changes_the_state() {
    let limits = Limits { mailbox_max: 2, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let (client, handle) = (Client::new(&mut world, "2025-11-25", ALL), world.engine.handle());
    let put = |name: &'static str| {
        move |notes: &mut Notes| {
            notes.texts.insert(name.to_owned(), name.to_owned());
        }
    };
    let error = handle.change_state(|_: &mut u8| {}).unwrap_err().to_string();
    assert!(
        error.starts_with("the state of the server is `") && error.ends_with("Notes`, not `u8`"),
        "{error}"
    );
    handle.change_state(put("a")).unwrap();
    handle.change_state(|_: &mut Notes| panic!("a bug in a closure")).unwrap();
    assert!(handle.change_state(put("b")).unwrap_err().is::<MailboxFull>());
    world.advance(Duration::from_millis(1));
    handle.change_state(put("c")).unwrap();
    world.advance(Duration::from_millis(1));
    let reply = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"notes:///count"}"#));
    assert_eq!(reply["result"]["contents"][0]["text"], "2");
    drop(world);
    assert!(handle.change_state(put("d")).unwrap_err().is::<Ended>());
    let stateless = World::new(Server::new("s", "1"));
    let error = stateless.engine.handle().change_state(|_: &mut u8| {}).unwrap_err().to_string();
    assert_eq!(error, "the state of the server is missing, not `u8`");
}

/// A result that comes after a change finds the state changed.
#[test]
fn a_change_is_made_before_the_result_that_follows_it() {
    let replies = Arc::new(Mutex::new(Vec::new()));
    let kept = replies.clone();
    let server = Server::with_state("s", "1", 0_u64)
        .tool("work", "", move |_, (), call| call.defer(|reply| kept.lock().unwrap().push(reply)))
        .tool("done", "", |done, (), _| *done);
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let reply = replies.lock().unwrap().pop().unwrap();
    reply.handle().change_state(|done: &mut u64| *done += 1).unwrap();
    reply.finish("worked");
    world.advance(Duration::from_millis(1));
    assert_eq!(text(&one(client.hear(&mut world))), "worked");
    assert_eq!(text(&client.ask(&mut world, &call(2, "done", "{}"))), "1");
}

#[test]
fn after_a_panic_the_state_is_as_the_handler_left_it() {
    let server = Server::with_state("s", "1", 0_u64).tool("next", "", |count, (), _| {
        *count += 1;
        assert_ne!(*count, 2, "a bug in a handler");
        *count
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(text(&client.ask(&mut world, &call(1, "next", "{}"))), "1");
    assert_eq!(client.ask(&mut world, &call(1, "next", "{}"))["error"]["code"], -32603);
    assert_eq!(text(&client.ask(&mut world, &call(1, "next", "{}"))), "3");
}

#[test]
fn the_state_is_dropped_with_the_server() {
    struct Owned(Arc<AtomicUsize>);
    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let owned = || Owned(dropped.clone());
    let server = Server::with_state("s", "1", owned()).shared_state(Arc::new(owned()));
    let mut engine = Engine::new(server, counted()).unwrap();
    engine.handle().replace(Server::with_state("s", "1", owned())).unwrap();
    engine.tick(mcp_rill::Now::default());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    drop(engine);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}
