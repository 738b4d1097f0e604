//! All items of a running server are replaced at once: what clients hear of it, and what becomes of calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{
    Ended, ItemKind, Limits, MailboxFull, Prompt, PromptArgument, Reply, Resource, ResourceTemplate, Server,
    Tool, ToolResult, Viewer, schema,
};
use serde_json::{Value, json};

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, eventually, one, text};
use crate::common::{Seen, World, principal};
use crate::ways::{Visitor, ways, world};

schema! { struct Name { name: String } }

fn begun() -> Server {
    Server::new("reload", "1")
}

/// One of each kind.
fn whole() -> Server {
    begun()
        .tool("tool", "A tool", |(), _| "old")
        .resource("note:///1", "note", |_| "old")
        .template("log:///{day}", "log", |_, _| "old")
        .offer(
            Prompt::new("prompt", "A prompt").argument(PromptArgument::new("x")).handler(|_: Value, _| "old"),
        )
        .complete_prompt("prompt", "x", ["old"])
        .complete_template("log:///{day}", "day", ["old"])
}

fn only(name: &'static str) -> impl Fn(&Viewer<'_>) -> bool + Send + Sync + Clone + 'static {
    move |viewer| viewer.principal().is_some_and(|principal| principal.name() == name)
}

fn client(world: &mut World, name: &str) -> Client {
    let (stream, post) = (world.connect_as(principal(name)), world.connect_as(principal(name)));
    let client = Client::on(world.open_sse_on(stream, "/sse"), post);
    client.initialize(world, "2025-11-25", ALL);
    client
}

/// The lists that have changed, as a client hears it.
fn told(world: &mut World, client: &Client) -> Vec<String> {
    world.advance(Duration::from_millis(1));
    let method = |frame: &Value| frame["method"].as_str().unwrap().to_owned();
    client.hear(world).iter().map(method).collect()
}

const TOOLS: &str = "notifications/tools/list_changed";
const RESOURCES: &str = "notifications/resources/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";

#[test]
fn lists_that_have_changed_are_announced_once_and_others_not() {
    let prompt = |description: &str| {
        let prompt = Prompt::new("prompt", description).argument(PromptArgument::new("x"));
        prompt.handler(|_: Value, _| "new")
    };
    let note = |name: &str| Resource::new("note:///1", name).handler(|_| "new");
    let tool = |name: &str| Tool::new(name, "A tool").handler(|(), _| "new");
    let log = || ResourceTemplate::new("log:///{day}", "log").handler(|_, _| "new");
    let server = |items: Vec<mcp_rill::Item>| items.into_iter().fold(begun(), Server::offer);
    let listed = ResourceTemplate::new("log:///{day}", "log").list(|_, _| Vec::new()).handler(|_, _| "new");
    let cases: Vec<(Vec<mcp_rill::Item>, Vec<&str>)> = vec![
        (vec![tool("tool"), note("note"), log(), prompt("A prompt")], vec![]),
        (vec![prompt("A prompt"), log(), tool("tool"), note("note")], vec![]),
        (vec![tool("tool"), tool("more"), note("note"), log(), prompt("A prompt")], vec![TOOLS]),
        (vec![tool("another"), note("note"), log(), prompt("A prompt")], vec![TOOLS]),
        (vec![note("note"), log(), prompt("A prompt")], vec![TOOLS]),
        (vec![tool("tool"), note("other"), log(), prompt("A prompt")], vec![RESOURCES]),
        (vec![tool("tool"), note("note"), prompt("A prompt")], vec![RESOURCES]),
        (vec![tool("tool"), note("note"), listed, prompt("A prompt")], vec![RESOURCES]),
        (vec![tool("tool"), note("note"), log(), prompt("Another")], vec![PROMPTS]),
        (vec![], vec![TOOLS, RESOURCES, PROMPTS]),
    ];
    for (items, expected) in cases {
        let mut world = World::new(whole());
        let client = Client::new(&mut world, "2025-11-25", ALL);
        world.engine.handle().replace(server(items)).unwrap();
        assert_eq!(told(&mut world, &client), expected);
        // The methods work as they did.
        let reply = client.ask(&mut world, &request(1, "tools/list", "{}"));
        assert!(reply["result"]["tools"].is_array(), "{reply}");
        assert!(told(&mut world, &client).is_empty());
    }
}

/// In every revision, and also where announcements cannot come.
#[test]
fn the_new_items_answer_at_once() {
    for way in ways() {
        let mut world = world(way, whole());
        let mut visitor = Visitor::new(&mut world, way, "ada");
        let new = begun()
            .tool("tool", "A tool", |(), _| "new")
            .tool("other", "Another", |(), _| "new")
            .resource("note:///1", "note", |_| "new")
            .template("log:///{+day}", "log", |_, _| "new")
            .offer(
                Prompt::new("prompt", "Other")
                    .argument(PromptArgument::new("x"))
                    .handler(|_: Value, _| "new"),
            )
            .complete_prompt("prompt", "x", ["new"]);
        world.engine.handle().replace(new).unwrap();
        world.advance(Duration::from_millis(1));
        visitor.listen(&mut world);
        let reference = json!({"type": "ref/prompt", "name": "prompt"});
        for (method, params) in [
            ("tools/list", json!({})),
            ("tools/call", json!({"name": "tool"})),
            ("tools/call", json!({"name": "other"})),
            ("resources/read", json!({"uri": "note:///1"})),
            ("resources/read", json!({"uri": "log:///1/2"})),
            ("prompts/get", json!({"name": "prompt"})),
            ("completion/complete", json!({"ref": reference, "argument": {"name": "x", "value": ""}})),
        ] {
            let heard = visitor.ask(&mut world, method, params);
            let expected = if method == "tools/list" { "\"Another\"" } else { "\"new\"" };
            assert!(heard.contains(expected) && !heard.contains("\"old\""), "{way:?} {method}: {heard}");
        }
    }
}

#[test]
fn each_client_hears_of_what_has_changed_for_it() {
    let tool = |name: &str| Tool::new(name, "A tool");
    let server = |tool: Tool| begun().offer(tool.handler(|(), _| "x")).prompt("p", "", |(), _| "p");
    for (before, after, ada, bob) in [
        (tool("t").visible(only("ada")), tool("t").visible(only("ada")), false, false),
        (tool("t").visible(only("ada")), tool("t").visible(only("bob")), true, true),
        (tool("t").visible(only("ada")), tool("t"), false, true),
        (tool("t"), tool("t").visible(only("ada")), false, true),
        (tool("t").visible(only("ada")), tool("u").visible(only("ada")), true, false),
        (tool("t").visible(only("ada")), tool("t").visible(only("ada")).title("T"), true, false),
        (tool("t"), tool("t"), false, false),
        (tool("t"), tool("t").title("T"), true, true),
    ] {
        let case = format!("{before:?} {after:?}");
        let mut world = World::new(server(before));
        let clients = ["ada", "bob"].map(|name| client(&mut world, name));
        world.engine.handle().replace(server(after)).unwrap();
        world.advance(Duration::from_millis(1));
        let heard = clients.map(|client| client.hear(&mut world).len());
        assert_eq!(heard, [usize::from(ada), usize::from(bob)], "{case}");
    }
}

#[test]
fn with_a_problem_nothing_changes() {
    let mut world = World::new(whole());
    let (client, handle) = (Client::new(&mut world, "2025-11-25", ALL), world.engine.handle());
    let wrong = begun()
        .tool("new", "", |(), _| "new")
        .tool("new", "", |(), _| "new")
        .resource("no uri", "x", |_| "x")
        .complete_prompt("none", "x", ["x"])
        .limits(Limits { workers: 0, ..Limits::DEFAULT });
    let error = handle.replace(wrong).unwrap_err().to_string();
    for part in ["tool `new` was added twice", "resource `no uri`", "no prompt `none`", "limit workers"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(told(&mut world, &client).is_empty());
    assert_eq!(text(&client.ask(&mut world, &call(1, "tool", "{}"))), "old");
}

#[test]
fn a_reload_is_one_change_of_those_that_may_wait() {
    let limits = Limits { mailbox_max: 2, ..Limits::DEFAULT };
    let mut world = World::new(whole().limits(limits));
    let handle = world.engine.handle();
    handle.replace(whole()).unwrap();
    handle.replace(whole().tool("more", "", |(), _| "x")).unwrap();
    assert!(handle.replace(whole()).unwrap_err().is::<MailboxFull>());
    world.advance(Duration::from_millis(1));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(text(&client.ask(&mut world, &call(1, "more", "{}"))), "x");
    drop(world);
    assert!(handle.replace(whole()).unwrap_err().is::<Ended>());
}

#[test]
fn odd_names_are_reported_again() {
    let mut world = World::new(whole());
    world.events();
    world.engine.handle().replace(begun().tool("a.b", "", |(), _| "x")).unwrap();
    world.advance(Duration::from_millis(1));
    assert!(world.events().contains(&Seen::ToolName("a.b".to_owned())));
}

/// A server whose results say which one it was.
fn slow(
    version: &'static str,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
    replies: mpsc::Sender<Reply>,
) -> Server {
    let schema =
        format!(r#"{{"type":"object","properties":{{"v":{{"const":"{version}"}}}},"required":["v"]}}"#);
    let result = move || ToolResult::text(version).structured(format!(r#"{{"v":"{version}"}}"#));
    begun()
        .offer(Tool::new("blocking", "").output_schema(schema).blocking_handler(move |(), _| {
            release.lock().unwrap().recv().unwrap();
            result()
        }))
        .tool("deferred", "", move |(), call| call.defer(|reply| replies.send(reply)))
        .tool("ask", "", move |(), call| -> mcp_rill::Result<_> {
            let name = call.elicit::<Name>("name", "Who?")?.required()?;
            Ok(name.accepted().map_or_else(String::new, |name| format!("{} by {version}", name.name)))
        })
}

#[test]
fn calls_that_run_end_under_their_old_handlers() {
    let (go, release) = mpsc::channel();
    let (send, replies) = mpsc::channel();
    let release = Arc::new(Mutex::new(release));
    let mut world = World::new(slow("one", release.clone(), send.clone()));
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "blocking", "{}"));
    client.tell(&mut world, &call(2, "deferred", "{}"));
    let question = one(client.say(&mut world, &call(3, "ask", "{}")));
    pool.turn(&mut world);
    world.engine.handle().replace(slow("two", release, send)).unwrap();
    pool.turn(&mut world);
    // The tool with the other schema has changed.
    assert_eq!(told(&mut world, &client), [TOOLS]);
    go.send(()).unwrap();
    let first = one(pool.heard(&mut world, &client, 1));
    assert_eq!(first["result"]["structuredContent"], json!({ "v": "one" }), "{first}");
    let reply = replies.recv().unwrap();
    assert!(!reply.is_cancelled());
    reply.finish("of old");
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "of old");
    let accepted = r#"{"action":"accept","content":{"name":"Ada"}}"#;
    assert_eq!(text(&one(client.answer(&mut world, &question, accepted))), "Ada by two");
    // A call of a tool that is gone, and waits for its client, ends.
    let question = one(client.say(&mut world, &call(4, "ask", "{}")));
    world.engine.handle().replace(begun()).unwrap();
    assert_eq!(told(&mut world, &client), [TOOLS]);
    let reply = one(client.answer(&mut world, &question, accepted));
    assert_eq!(reply["error"]["code"], -32602, "{reply}");
    world.quiesce();
}

/// What a handler owns is dropped when it is replaced, and not before its last call is over.
#[test]
fn what_old_handlers_own_is_dropped() {
    struct Owned(Arc<AtomicUsize>);
    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let owned = || Owned(dropped.clone());
    let (go, release) = mpsc::channel::<()>();
    let release = Mutex::new(release);
    let (inline, blocking) = (owned(), owned());
    let server = begun()
        .tool("inline", "", move |(), _| usize::from(inline.0.load(Ordering::SeqCst) > 0))
        .blocking_tool("blocking", "", move |(), _| {
            release.lock().unwrap().recv().unwrap();
            blocking.0.load(Ordering::SeqCst)
        });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "blocking", "{}"));
    pool.turn(&mut world);
    world.engine.handle().replace(begun().tool("inline", "", |(), _| "new")).unwrap();
    assert_eq!(told(&mut world, &client), [TOOLS]);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    go.send(()).unwrap();
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "1");
    drop(world);
    eventually("the handler is dropped", || dropped.load(Ordering::SeqCst) == 2);
}

#[test]
fn items_are_found_in_their_new_order() {
    let template =
        |text: &str, name: &'static str| ResourceTemplate::new(text, name).handler(move |_, _| name);
    let mut world =
        World::new(begun().offer(template("x:///{a}", "first")).offer(template("x:///{+b}", "second")));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let read = |world: &mut World| {
        let reply = client.ask(world, &request(1, "resources/read", r#"{"uri":"x:///1"}"#));
        reply["result"]["contents"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(read(&mut world), "first");
    let other = begun().offer(template("x:///{+b}", "second")).offer(template("x:///{a}", "first"));
    world.engine.handle().replace(other).unwrap();
    world.advance(Duration::from_millis(1));
    assert_eq!(read(&mut world), "second");
    world.engine.handle().withdraw(ItemKind::Template, "x:///{+b}").unwrap();
    world.advance(Duration::from_millis(1));
    client.hear(&mut world);
    let reply = client.ask(&mut world, &request(1, "resources/templates/list", "{}"));
    assert_eq!(reply["result"]["resourceTemplates"].as_array().unwrap().len(), 1);
}
