//! Resources, templates and prompts whose handlers block, or hand the call to somebody else: as tools do.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{
    CallError, ItemKind, Limits, Prompt, PromptResult, Reply, Resource, ResourceContents, ResourceTemplate,
    Server, schema,
};
use serde_json::{Value, json};

use crate::common::World;
use crate::common::http::{ping, request};
use crate::common::questions::{ALL, Client, Pool, eventually, one};

schema! { struct Name { name: String } }

/// Who goes through has to be let through, one by one.
#[derive(Clone)]
struct Turnstile(Arc<Mutex<Receiver<()>>>);

impl Turnstile {
    fn new() -> (mpsc::Sender<()>, Turnstile) {
        let (open, turns) = mpsc::channel();
        (open, Turnstile(Arc::new(Mutex::new(turns))))
    }

    fn pass(&self) {
        self.0.lock().unwrap().recv().unwrap();
    }
}

/// One of each kind that blocks, and what lets their handlers go on.
fn blocking() -> (Server, mpsc::Sender<()>) {
    let (open, turns) = Turnstile::new();
    let [resource, template, prompt] = [turns.clone(), turns.clone(), turns];
    let seconds = Duration::from_secs;
    let server = Server::new("slow", "1")
        .limits(Limits { workers: 3, ..Limits::DEFAULT })
        .offer(
            Resource::new("disk:///one", "one").mime_type("text/x-one").timeout(seconds(3)).blocking_handler(
                move |call| {
                    assert_eq!(call.timeout(), Some(seconds(3)));
                    resource.pass();
                    "1"
                },
            ),
        )
        .offer(
            ResourceTemplate::new("disk:///many/{n}", "many")
                .mime_type("text/x-many")
                .timeout(seconds(4))
                .blocking_handler(move |vars, _| {
                    template.pass();
                    vars.get("n").filter(|n| *n != "0").map(str::to_owned).ok_or_else(CallError::not_found)
                }),
        )
        .offer(Prompt::new("ask", "Asks a lot").timeout(seconds(5)).blocking_handler(
            move |Name { name }, _| {
                prompt.pass();
                format!("Ask {name}.")
            },
        ))
        .blocking_resource("disk:///bad", "bad", |_| -> String { panic!("a bug in a handler") })
        .blocking_template("bad:///{n}", "bad", |_, _| -> String { panic!("a bug in a handler") })
        .blocking_prompt("bad", "Bad", |(), _| -> String { panic!("a bug in a handler") });
    (server, open)
}

fn read(id: u32, uri: &str) -> String {
    request(id, "resources/read", &json!({ "uri": uri }).to_string())
}

fn get(id: u32, name: &str, arguments: &str) -> String {
    request(id, "prompts/get", &format!(r#"{{"name":"{name}","arguments":{arguments}}}"#))
}

/// Lets the three handlers end, whose results are those that [`asked`] expects.
fn finish_all(world: &mut World, pool: &Pool, client: &Client, open: &mpsc::Sender<()>) {
    (0..3).for_each(|_| open.send(()).unwrap());
    let mut heard = pool.heard(world, client, 3);
    heard.sort_by_key(|reply| reply["id"].as_i64());
    for (reply, (_, result)) in heard.iter().zip(asked()) {
        assert_eq!(reply["result"], result);
    }
}

/// The three requests, and what they get.
fn asked() -> [(String, Value); 3] {
    let contents = |uri: &str, mime: &str, text: &str| json!({ "contents": [{ "uri": uri, "mimeType": mime, "text": text }] });
    let message = json!({ "role": "user", "content": { "type": "text", "text": "Ask Ada." } });
    [
        (read(1, "disk:///one"), contents("disk:///one", "text/x-one", "1")),
        (read(2, "disk:///many/7"), contents("disk:///many/7", "text/x-many", "7")),
        (get(3, "ask", r#"{"name":"Ada"}"#), json!({ "description": "Asks a lot", "messages": [message] })),
    ]
}

#[test]
fn the_loop_serves_while_they_block() {
    let (server, open) = blocking();
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    asked().iter().for_each(|(request, _)| client.tell(&mut world, request));
    assert_eq!(pool.turn(&mut world), 3);
    eventually("all three run", || world.stats().workers_busy == 3);
    assert_eq!(client.ask(&mut world, &ping(9))["id"], 9);
    finish_all(&mut world, &pool, &client, &open);
    world.quiesce();
}

#[test]
fn their_errors_name_them() {
    let (server, open) = blocking();
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (seconds, (request, _), what) in [
        (3, asked()[0].clone(), "the resource `disk:///one` did not finish within 3 s (its timeout)"),
        (4, asked()[1].clone(), "the resource `disk:///many/7` did not finish within 4 s (its timeout)"),
        (5, asked()[2].clone(), "the prompt `ask` did not finish within 5 s (its timeout)"),
    ] {
        client.tell(&mut world, &request);
        pool.turn(&mut world);
        eventually("it runs", || world.stats().workers_busy == 1);
        world.advance(Duration::from_millis(seconds * 1000 - 1));
        assert!(client.hear(&mut world).is_empty());
        world.advance(Duration::from_millis(1));
        let error = one(client.hear(&mut world))["error"].take();
        assert_eq!(error["code"], -32603);
        assert!(error["message"].as_str().unwrap().ends_with(what), "{error}");
        open.send(()).unwrap();
        eventually("it has ended", || world.stats().workers_busy == 0);
    }
    for (request, what) in [
        (read(1, "disk:///bad"), "the handler of resource `disk:///bad` panicked"),
        (read(2, "bad:///7"), "the handler of resource `bad:///7` panicked"),
        (get(3, "bad", "{}"), "the handler of prompt `bad` panicked"),
    ] {
        client.tell(&mut world, &request);
        let error = one(pool.heard(&mut world, &client, 1))["error"].take();
        assert_eq!(error["code"], -32603);
        assert!(error["message"].as_str().unwrap().ends_with(what), "{error}");
    }
    // Arguments that do not fit, and a resource that is not there, are what they are elsewhere.
    client.tell(&mut world, &get(4, "ask", "{}"));
    assert_eq!(one(pool.heard(&mut world, &client, 1))["error"]["code"], -32602);
    open.send(()).unwrap();
    client.tell(&mut world, &read(5, "disk:///many/0"));
    let error = one(pool.heard(&mut world, &client, 1))["error"].take();
    assert_eq!((&error["code"], &error["data"]), (&json!(-32002), &json!({ "uri": "disk:///many/0" })));
    pool.until(&mut world, |world| (world.stats().late == 3).then_some(()));
    world.quiesce();
}

#[test]
fn they_can_be_handed_to_another_thread() {
    type Contents = Vec<ResourceContents>;
    let (reads, to_read) = mpsc::channel::<Reply<Contents>>();
    let (prompts, to_say) = mpsc::channel::<Reply<PromptResult>>();
    let [resource, template, blocking] = [(); 3].map(|()| reads.clone());
    let server = Server::new("slow", "1")
        .offer(
            Resource::new("disk:///one", "one")
                .mime_type("text/x-one")
                .handler(move |call| call.defer(|reply| resource.send(reply))),
        )
        .offer(
            ResourceTemplate::new("disk:///many/{n}", "many")
                .mime_type("text/x-many")
                .handler(move |_, call| call.defer(|reply| template.send(reply))),
        )
        .offer(
            Prompt::new("ask", "Asks a lot")
                .timeout(Duration::from_secs(5))
                .handler(move |Name { .. }, call| call.defer(|reply| prompts.send(reply))),
        )
        .blocking_resource("disk:///handed", "handed", move |call| call.defer(|reply| blocking.send(reply)));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let [one_of, many, ask] = asked();
    for ((request, result), text) in [(one_of.clone(), "1"), (many, "7")] {
        client.tell(&mut world, &request);
        to_read.recv().unwrap().finish(text);
        assert_eq!(one(pool.heard(&mut world, &client, 1))["result"], result);
    }
    client.tell(&mut world, &ask.0);
    to_say.recv().unwrap().finish(Ok::<_, CallError>("Ask Ada."));
    assert_eq!(one(pool.heard(&mut world, &client, 1))["result"], ask.1);
    client.tell(&mut world, &read(4, "disk:///handed"));
    pool.turn(&mut world);
    to_read.recv().unwrap().finish(ResourceContents::text("4"));
    let reply = one(pool.heard(&mut world, &client, 1));
    assert_eq!(reply["result"]["contents"], json!([{ "uri": "disk:///handed", "text": "4" }]));
    // Who gives up says of what, and so does a timeout.
    client.tell(&mut world, &one_of.0);
    drop(to_read.recv().unwrap());
    let error = one(pool.heard(&mut world, &client, 1))["error"].take();
    assert!(error["message"].as_str().unwrap().ends_with("the resource gave up without a result"), "{error}");
    client.tell(&mut world, &ask.0);
    let reply = to_say.recv().unwrap();
    world.advance(Duration::from_secs(5));
    let error = one(client.hear(&mut world))["error"].take();
    assert!(
        error["message"].as_str().unwrap().contains("the prompt `ask` did not finish within 5 s"),
        "{error}"
    );
    assert!(reply.is_cancelled());
    drop(reply);
    pool.until(&mut world, |world| (world.stats().late == 1).then_some(()));
    world.quiesce();
}

#[test]
fn a_blocking_prompt_may_ask_and_what_is_removed_meanwhile_is_done_all_the_same() {
    let (open, turns) = Turnstile::new();
    let server =
        Server::new("slow", "1").blocking_prompt("greet", "Greets", |(), call| -> mcp_rill::Result<_> {
            let name = call.elicit::<Name>("name", "Who are you?")?.accepted().map(|Name { name }| name);
            Ok(format!("Greet {}.", name.as_deref().unwrap_or("nobody")))
        });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &get(1, "greet", "{}"));
    let question = one(pool.heard(&mut world, &client, 1));
    let accept = r#"{"action":"accept","content":{"name":"Ada"}}"#;
    assert!(client.answer(&mut world, &question, accept).is_empty());
    let result = one(pool.heard(&mut world, &client, 1))["result"].take();
    assert_eq!(
        (&result["description"], &result["messages"][0]["content"]["text"]),
        (&json!("Greets"), &json!("Greet Ada."))
    );

    let handle = world.engine.handle();
    let [resource, template, prompt] = [turns.clone(), turns.clone(), turns];
    handle
        .offer(Resource::new("disk:///one", "one").mime_type("text/x-one").blocking_handler(move |_| {
            resource.pass();
            "1"
        }))
        .unwrap();
    let many = ResourceTemplate::new("disk:///many/{n}", "many").mime_type("text/x-many");
    handle
        .offer(many.blocking_handler(move |vars, _| {
            template.pass();
            vars.get("n").unwrap_or_default().to_owned()
        }))
        .unwrap();
    handle
        .offer(Prompt::new("ask", "Asks a lot").blocking_handler(move |Name { name }, _| {
            prompt.pass();
            format!("Ask {name}.")
        }))
        .unwrap();
    pool.heard(&mut world, &client, 2);
    asked().iter().for_each(|(request, _)| client.tell(&mut world, request));
    pool.turn(&mut world);
    eventually("all three run", || world.stats().workers_busy == 3);
    handle.withdraw(ItemKind::Resource, "disk:///one").unwrap();
    handle.withdraw(ItemKind::Template, "disk:///many/{n}").unwrap();
    handle.withdraw(ItemKind::Prompt, "ask").unwrap();
    pool.heard(&mut world, &client, 2);
    finish_all(&mut world, &pool, &client, &open);
    world.quiesce();
}
