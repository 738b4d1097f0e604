//! What the server says unasked: logs, updates of resources, changed lists; and what a `Handle` does from any thread.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::common::http::{call, ping, request};
use crate::common::questions::{ALL, Client, Pool, one, text};
use crate::common::{Seen, World};
use mcp_rill::{Call, Handle, ItemKind, Level, Limits, Prompt, Resource, ResourceTemplate, Server, Tool};
use mcp_rill::{Ended, MailboxFull};
use serde_json::{Value, json};

const LEVELS: [(Level, &str); 8] = [
    (Level::Debug, "debug"),
    (Level::Info, "info"),
    (Level::Notice, "notice"),
    (Level::Warning, "warning"),
    (Level::Error, "error"),
    (Level::Critical, "critical"),
    (Level::Alert, "alert"),
    (Level::Emergency, "emergency"),
];

fn all_levels(call: &mut Call) -> &'static str {
    LEVELS.iter().for_each(|(level, name)| call.log(*level, *name));
    "logged"
}

fn server() -> Server {
    Server::new("notices", "1")
        .tool("log", "Log", |(), call| all_levels(call))
        .tool("log_as", "Log", |(), call| {
            call.log_as(Level::Error, "disk", json!({ "free": [1, 2.5, null] }));
            call.log(Level::Error, Value::Null);
            "logged"
        })
        .resource("res:///one", "one", |_| "1")
        .template("res:///many/{n}", "many", |vars, _| vars.get("n").unwrap_or_default().to_owned())
}

fn set_level(world: &mut World, client: &Client, params: &str) -> Value {
    client.ask(world, &request("\"level\"", "logging/setLevel", params))
}

fn logged(frames: &[Value]) -> Vec<&str> {
    let logs = frames.iter().filter(|frame| frame["method"] == "notifications/message");
    logs.map(|log| log["params"]["data"].as_str().unwrap()).collect()
}

fn subscribe(world: &mut World, client: &Client, uri: &str) -> Value {
    client.ask(world, &request(1, "resources/subscribe", &json!({ "uri": uri }).to_string()))
}

fn unsubscribe(world: &mut World, client: &Client, uri: &str) -> Value {
    client.ask(world, &request(1, "resources/unsubscribe", &json!({ "uri": uri }).to_string()))
}

/// Time for the loop to look into its mailbox.
fn turn(world: &mut World) {
    world.advance(Duration::from_millis(1));
}

/// A single turn of the loop; says whether it wants another one at once.
fn step(world: &mut World) -> bool {
    world.tick();
    world.deadline().is_some_and(|due| due <= world.now.mono)
}

/// The URIs and lists that the client was told of since the last look.
fn told(world: &mut World, client: &Client) -> Vec<String> {
    let frames = client.hear(world);
    let name = |frame: &Value| {
        assert!(frame.get("id").is_none(), "{frame}");
        match frame["method"].as_str().unwrap() {
            "notifications/resources/updated" => frame["params"]["uri"].as_str().unwrap().to_owned(),
            method => {
                assert_eq!(*frame, json!({ "jsonrpc": "2.0", "method": method }));
                method.strip_prefix("notifications/").unwrap().to_owned()
            }
        }
    };
    frames.iter().map(name).collect()
}

#[test]
fn logs_go_out_from_the_sessions_own_level_on() {
    let mut world = World::new(server());
    let (quiet, loud) =
        (Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2024-11-05", "{}"));
    let names: Vec<&str> = LEVELS.iter().map(|(_, name)| *name).collect();
    // Nothing was said: from info on.
    let heard = quiet.say(&mut world, &call(1, "log", "{}"));
    assert_eq!(logged(&heard), names[1..]);
    assert_eq!(text(heard.last().unwrap()), "logged", "logs come before the result");
    for (n, (level, name)) in LEVELS.iter().enumerate() {
        let reply = set_level(&mut world, &quiet, &format!(r#"{{"level":"{name}"}}"#));
        assert_eq!(reply, json!({ "jsonrpc": "2.0", "id": "level", "result": {} }));
        assert_eq!(logged(&quiet.say(&mut world, &call(1, "log", "{}"))), names[n..], "{level:?}");
    }
    assert_eq!(logged(&loud.say(&mut world, &call(1, "log", "{}"))), names[1..], "each session for itself");
}

#[test]
fn a_log_has_its_level_logger_and_data() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let [first, second, _] = client.say(&mut world, &call(1, "log_as", "{}")).try_into().unwrap();
    let params = json!({ "level": "error", "logger": "disk", "data": { "free": [1, 2.5, null] } });
    assert_eq!(first, json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params }));
    assert_eq!(second["params"], json!({ "level": "error", "data": null }));
}

#[test]
fn a_level_that_is_none_is_refused_and_changes_nothing() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    set_level(&mut world, &client, r#"{"level":"alert"}"#);
    for wrong in [r#"{"level":"loud"}"#, r#"{"level":"Alert"}"#, r#"{"level":7}"#, r#"{"level":null}"#, "{}"]
    {
        let reply = set_level(&mut world, &client, wrong);
        assert_eq!(reply["error"]["code"], -32602, "{wrong}: {reply}");
    }
    let reply = client.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel"}"#);
    assert_eq!(reply["error"]["code"], -32602);
    assert_eq!(logged(&client.say(&mut world, &call(1, "log", "{}"))), ["alert", "emergency"]);
}

#[test]
fn a_handle_logs_to_every_session_that_takes_part_and_wants_it() {
    let mut world = World::new(server());
    let (deaf, all) =
        (Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-11-25", ALL));
    set_level(&mut world, &deaf, r#"{"level":"emergency"}"#);
    let handle = world.engine.handle();
    handle.log(Level::Warning, "low battery");
    handle.log_as(Level::Warning, "power", "still low");
    handle.log(Level::Debug, "fine otherwise");
    turn(&mut world);
    assert!(deaf.hear(&mut world).is_empty());
    let heard = all.hear(&mut world);
    assert_eq!(heard[0]["params"], json!({ "level": "warning", "data": "low battery" }));
    assert_eq!(heard[1]["params"], json!({ "level": "warning", "logger": "power", "data": "still low" }));
    assert_eq!((heard.len(), world.stats().logs_dropped), (2, 0), "what is unwanted is not dropped");
}

#[test]
fn a_log_that_is_too_long_for_a_message_is_dropped_and_counted() {
    let limits = Limits { message_bytes_max: 2000, page_bytes_max: 1000, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let handle = world.engine.handle();
    handle.log(Level::Error, "x".repeat(2000));
    handle.log(Level::Error, "short");
    turn(&mut world);
    assert_eq!(logged(&client.hear(&mut world)), ["short"]);
    assert_eq!(world.stats().oversized, 1);
}

#[test]
fn only_sessions_that_take_part_hear_of_changes() {
    let mut world = World::new(server());
    let operating = Client::new(&mut world, "2025-11-25", ALL);
    let (fresh, pinged) = (Client::silent(&mut world), Client::silent(&mut world));
    pinged.ask(&mut world, &ping(1));
    let initializing = Client::silent(&mut world);
    let info = r#"{"name":"t","version":"1"}"#;
    let params = format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{info}}}"#);
    initializing.ask(&mut world, &request(1, "initialize", &params));
    // This one lost its stream and goes on without initializing again.
    let again = Client::silent(&mut world);
    again.ask(&mut world, &request(1, "tools/list", "{}"));
    let handle = world.engine.handle();
    handle.tools_changed();
    handle.log(Level::Error, "x");
    turn(&mut world);
    for client in [&operating, &again] {
        assert_eq!(client.hear(&mut world).len(), 2);
    }
    for client in [&fresh, &pinged, &initializing] {
        assert!(client.hear(&mut world).is_empty());
    }
    initializing.tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    handle.prompts_changed();
    turn(&mut world);
    assert_eq!(told(&mut world, &initializing), ["prompts/list_changed"]);
}

#[test]
fn updates_reach_exactly_the_subscribers() {
    let mut world = World::new(server());
    let clients: Vec<Client> = (0..3).map(|_| Client::new(&mut world, "2025-11-25", ALL)).collect();
    let one_reply = subscribe(&mut world, &clients[0], "res:///one");
    assert_eq!(one_reply, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    subscribe(&mut world, &clients[0], "res:///many/7");
    subscribe(&mut world, &clients[1], "res:///many/7");
    subscribe(&mut world, &clients[1], "res:///many/8");
    let handle = world.engine.handle();
    for (uri, heard) in [
        ("res:///one", [true, false, false]),
        ("res:///many/7", [true, true, false]),
        ("res:///many/8", [false, true, false]),
        ("res:///many/9", [false, false, false]),
        ("res:///", [false, false, false]),
    ] {
        handle.resource_updated(uri);
        turn(&mut world);
        for (client, heard) in clients.iter().zip(heard) {
            assert_eq!(told(&mut world, client), if heard { vec![uri] } else { vec![] }, "{uri}");
        }
    }
    // Twice subscribed is once, and once unsubscribed is none.
    subscribe(&mut world, &clients[0], "res:///one");
    handle.resource_updated("res:///one");
    turn(&mut world);
    assert_eq!(told(&mut world, &clients[0]), ["res:///one"]);
    assert_eq!(unsubscribe(&mut world, &clients[0], "res:///one")["result"], json!({}));
    assert_eq!(
        unsubscribe(&mut world, &clients[0], "res:///one")["result"],
        json!({}),
        "nor is that an error"
    );
    assert_eq!(unsubscribe(&mut world, &clients[0], "res:///many/8")["result"], json!({}), "another's stays");
    handle.resource_updated("res:///one");
    handle.resource_updated("res:///many/8");
    turn(&mut world);
    assert!(clients[0].hear(&mut world).is_empty());
    assert_eq!(told(&mut world, &clients[1]), ["res:///many/8"]);
}

#[test]
fn what_is_no_resource_cannot_be_subscribed_to() {
    let mut world = World::new(server().limits(Limits { uri_bytes_max: 50, ..Limits::DEFAULT }));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = subscribe(&mut world, &client, "res:///two");
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["data"]),
        (&json!(-32002), &json!({ "uri": "res:///two" }))
    );
    assert_eq!(
        subscribe(&mut world, &client, &format!("res:///many/{}", "7".repeat(50)))["error"]["code"],
        -32602
    );
    for wrong in [r#"{"uri":7}"#, "{}"] {
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            assert_eq!(client.ask(&mut world, &request(1, method, wrong))["error"]["code"], -32602);
        }
    }
    let mut none = World::new(Server::new("none", "1"));
    let client = Client::new(&mut none, "2025-11-25", ALL);
    assert_eq!(subscribe(&mut none, &client, "res:///one")["error"]["code"], -32601);
}

#[test]
fn subscriptions_have_a_limit_and_are_counted_towards_the_budget() {
    for max in [0, 3] {
        let mut world = World::new(server().limits(Limits { subscriptions_max: max, ..Limits::DEFAULT }));
        let client = Client::new(&mut world, "2025-11-25", ALL);
        let uri = |n: usize| format!("res:///many/{n}-{}", "x".repeat(1000));
        let before = world.stats().buffered_bytes;
        for n in 0..max {
            assert_eq!(subscribe(&mut world, &client, &uri(n))["result"], json!({}));
        }
        assert!(world.stats().buffered_bytes >= before + max * 1000);
        let refused = subscribe(&mut world, &client, &uri(max));
        assert_eq!(refused["error"]["code"], -32602);
        assert!(refused["error"]["message"].as_str().unwrap().contains("subscriptions_max"));
        if max > 0 {
            assert_eq!(subscribe(&mut world, &client, &uri(0))["result"], json!({}), "it has this one");
            unsubscribe(&mut world, &client, &uri(0));
            assert_eq!(subscribe(&mut world, &client, &uri(max))["result"], json!({}));
        }
        world.quiesce();
    }
}

/// Short URIs of one session each take about ten times their text.
#[test]
fn short_uris_are_counted_with_all_around_them() {
    let mut world = World::new(server());
    let clients = [(); 2].map(|()| Client::new(&mut world, "2025-11-25", ALL));
    let before = world.stats().buffered_bytes;
    let uri = |at: usize, n: usize| format!("res:///many/{at}-{n}");
    for (at, client) in clients.iter().enumerate() {
        (0..100).for_each(|n| drop(subscribe(&mut world, client, &uri(at, n))));
    }
    let held = world.stats().buffered_bytes - before;
    assert!((200 * 150..200 * 200).contains(&held), "{held}");
    (0..100).for_each(|n| drop(unsubscribe(&mut world, &clients[0], &uri(0, n))));
    (0..100).for_each(|n| drop(unsubscribe(&mut world, &clients[0], &uri(1, n))));
    assert_eq!(world.stats().buffered_bytes - before, held / 2, "those of the other session stay");
    world.quiesce();
}

/// A URI that begins like another one is another one, and each session hears of its own.
#[test]
fn updates_go_to_clients_that_subscribed_to_that_uri() {
    let mut world = World::new(server());
    let clients = [(); 3].map(|()| Client::new(&mut world, "2025-11-25", ALL));
    let uris = ["res:///many/1", "res:///many/10", "res:///many/1"];
    for (client, uri) in clients.iter().zip(uris) {
        subscribe(&mut world, client, uri);
        subscribe(&mut world, client, "res:///many/0");
    }
    let handle = world.engine.handle();
    for (updated, heard) in
        [("1", [1, 0, 1]), ("10", [0, 1, 0]), ("0", [1, 1, 1]), ("", [0; 3]), ("100", [0; 3])]
    {
        handle.resource_updated(&format!("res:///many/{updated}"));
        turn(&mut world);
        assert_eq!(clients.each_ref().map(|client| told(&mut world, client).len()), heard, "{updated}");
    }
    world.quiesce();
}

#[test]
fn a_burst_of_updates_is_one_per_uri_and_turn() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    subscribe(&mut world, &client, "res:///many/1");
    subscribe(&mut world, &client, "res:///many/2");
    let handle = world.engine.handle();
    (0..1000).for_each(|n| handle.resource_updated(&format!("res:///many/{}", n % 3)));
    (0..10).for_each(|_| handle.resources_changed());
    turn(&mut world);
    let mut heard = told(&mut world, &client);
    heard.sort();
    assert_eq!(heard, ["res:///many/1", "res:///many/2", "resources/list_changed"]);
    turn(&mut world);
    assert!(client.hear(&mut world).is_empty());
}

#[test]
fn when_too_many_uris_were_updated_every_subscription_hears_of_it() {
    for (updates, heard) in [(5, 0), (6, 2)] {
        let mut world = World::new(server().limits(Limits { mailbox_max: 5, ..Limits::DEFAULT }));
        let clients =
            [Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-11-25", ALL)];
        clients.iter().for_each(|client| {
            subscribe(&mut world, client, "res:///one");
        });
        let handle = world.engine.handle();
        (0..updates).for_each(|n| handle.resource_updated(&format!("res:///many/{n}")));
        (0..5).for_each(|n| handle.resource_updated(&format!("res:///many/{n}")));
        turn(&mut world);
        let told: usize = clients.iter().map(|client| told(&mut world, client).len()).sum();
        assert_eq!(told, heard, "{updates}");
    }
}

/// One in which a result of `big` makes a stream slow that nobody reads.
fn world_with_big() -> World {
    let limits = Limits {
        output_bytes_max: 64 << 10,
        message_bytes_max: 40 << 10,
        page_bytes_max: 8 << 10,
        ..Limits::DEFAULT
    };
    World::new(server().limits(limits).tool("big", "Big", |(), _| "x".repeat(36 << 10)))
}

#[test]
fn a_slow_stream_hears_of_each_thing_once_when_it_reads_again() {
    let mut world = world_with_big();
    let (slow, quick) =
        (Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-11-25", ALL));
    for client in [&slow, &quick] {
        subscribe(&mut world, client, "res:///one");
        subscribe(&mut world, client, "res:///many/1");
    }
    world.reads_only(slow.stream.sock, 0);
    assert_eq!(slow.post(&mut world, &call(1, "big", "{}")).status, 202);
    let handle = world.engine.handle();
    for _ in 0..5 {
        handle.resource_updated("res:///one");
        handle.resource_updated("res:///many/1");
        handle.tools_changed();
        turn(&mut world);
        assert_eq!(told(&mut world, &quick).len(), 3);
    }
    assert!(slow.hear(&mut world).is_empty());
    world.reads_all(slow.stream.sock);
    let mut heard = slow.hear(&mut world);
    assert_eq!(heard.remove(0)["id"], 1);
    assert_eq!(heard.len(), 3, "{heard:?}");
    handle.resource_updated("res:///one");
    turn(&mut world);
    assert_eq!(told(&mut world, &slow), ["res:///one"]);
    world.quiesce();
}

/// What is held back for a slow stream counts with the URI that it is held by, and is free when it is replaced or sent.
#[test]
fn what_a_slow_stream_has_not_heard_is_counted_with_its_uri() {
    let mut world = world_with_big();
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let uris = ["y", "z"].map(|letter| format!("res:///many/{}", letter.repeat(8000)));
    uris.iter().for_each(|uri| drop(subscribe(&mut world, &client, uri)));
    let before = world.stats().buffered_bytes;
    world.reads_only(client.stream.sock, 0);
    assert_eq!(client.post(&mut world, &call(1, "big", "{}")).status, 202);
    let slow = world.stats().buffered_bytes;
    let handle = world.engine.handle();
    for (held, uri) in [(1, &uris[0]), (1, &uris[0]), (2, &uris[1]), (2, &uris[0])] {
        handle.resource_updated(uri);
        turn(&mut world);
        let counted = world.stats().buffered_bytes - slow;
        assert!((held * 16_000..held * 16_500).contains(&counted), "{counted}");
    }
    world.reads_all(client.stream.sock);
    assert_eq!(client.hear(&mut world).len(), 3);
    assert_eq!(world.stats().buffered_bytes, before);
    world.quiesce();
}

fn names(world: &mut World, client: &Client, method: &str, list: &str, name: &str) -> Vec<String> {
    let reply = client.ask(world, &request(1, method, "{}"));
    let items = reply["result"][list].as_array().unwrap_or_else(|| panic!("{reply}"));
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

/// Runs on a thread of its own, as a `Handle` is meant to be used.
fn elsewhere<R: Send + 'static>(world: &World, act: impl FnOnce(Handle) -> R + Send + 'static) -> R {
    let handle = world.engine.handle();
    thread::spawn(move || act(handle)).join().unwrap()
}

#[test]
fn tools_come_and_go_while_the_server_runs() {
    let mut world = World::new(Server::new("empty", "1").tool("first", "First", |(), _| 1));
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    elsewhere(&world, |handle| handle.offer(Tool::new("second", "Second").handler(|(), _| "two")).unwrap());
    assert_eq!(one(pool.heard(&mut world, &client, 1))["method"], "notifications/tools/list_changed");
    assert_eq!(names(&mut world, &client, "tools/list", "tools", "name"), ["first", "second"]);
    assert_eq!(text(&client.ask(&mut world, &call(1, "second", "{}"))), "two");
    elsewhere(&world, |handle| {
        handle.offer(Tool::new("second", "Another").handler(|(), _| "other")).unwrap();
        handle.withdraw(ItemKind::Tool, "first").unwrap();
        handle.withdraw(ItemKind::Tool, "never there").unwrap();
        let no_object = Tool::new("t", "Wrong").input_schema("{}");
        assert!(handle.offer(no_object.handler(|_: serde_json::Value, _| "never")).is_err());
        let wrong = handle.offer(Tool::new("not a name", "Wrong").handler(|(), _| "never")).unwrap_err();
        assert!(wrong.to_string().contains("`not a name`"), "{wrong}");
    });
    turn(&mut world);
    assert_eq!(told(&mut world, &client), ["tools/list_changed"]);
    assert_eq!(names(&mut world, &client, "tools/list", "tools", "name"), ["second"]);
    assert_eq!(text(&client.ask(&mut world, &call(1, "second", "{}"))), "other");
    assert_eq!(client.ask(&mut world, &call(1, "first", "{}"))["error"]["code"], -32602);
    // The client was told that there are tools, so the list of none is a list.
    elsewhere(&world, |handle| handle.withdraw(ItemKind::Tool, "second").unwrap());
    turn(&mut world);
    told(&mut world, &client);
    assert_eq!(names(&mut world, &client, "tools/list", "tools", "name"), [] as [&str; 0]);
    assert_eq!(client.ask(&mut world, &call(1, "second", "{}"))["error"]["code"], -32602);
}

#[test]
fn resources_templates_and_prompts_come_and_go_too() {
    let mut world = World::new(Server::new("empty", "1"));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(client.ask(&mut world, &request(1, "prompts/list", "{}"))["error"]["code"], -32601);
    elsewhere(&world, |handle| {
        handle.offer(Resource::new("r:///1", "r1").handler(|_| "one")).unwrap();
        handle
            .offer(
                ResourceTemplate::new("r:///t/{n}", "rt")
                    .handler(|vars, _| vars.get("n").unwrap().to_owned()),
            )
            .unwrap();
        handle.offer(Prompt::new("p", "P").handler(|(), _| "prompted")).unwrap();
        assert!(handle.offer(ResourceTemplate::new("r:///{", "x").handler(|_, _| "")).is_err());
        assert!(handle.offer(Resource::new("motd", "no scheme").handler(|_| "x")).is_err());
    });
    turn(&mut world);
    assert_eq!(told(&mut world, &client), ["resources/list_changed", "prompts/list_changed"]);
    let (resources, templates) = ("resources/list", "resources/templates/list");
    assert_eq!(names(&mut world, &client, resources, "resources", "uri"), ["r:///1"]);
    assert_eq!(names(&mut world, &client, templates, "resourceTemplates", "uriTemplate"), ["r:///t/{n}"]);
    assert_eq!(names(&mut world, &client, "prompts/list", "prompts", "name"), ["p"]);
    let read = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"r:///t/9"}"#));
    assert_eq!(read["result"]["contents"][0]["text"], "9");
    subscribe(&mut world, &client, "r:///1");
    elsewhere(&world, |handle| {
        handle.withdraw(ItemKind::Resource, "r:///1").unwrap();
        handle.withdraw(ItemKind::Template, "r:///t/{n}").unwrap();
        handle.withdraw(ItemKind::Prompt, "p").unwrap();
        handle.resource_updated("r:///1");
    });
    turn(&mut world);
    assert_eq!(told(&mut world, &client), ["resources/list_changed", "prompts/list_changed", "r:///1"]);
    assert_eq!(names(&mut world, &client, resources, "resources", "uri"), [] as [&str; 0]);
    assert_eq!(names(&mut world, &client, templates, "resourceTemplates", "uriTemplate"), [] as [&str; 0]);
    assert_eq!(names(&mut world, &client, "prompts/list", "prompts", "name"), [] as [&str; 0]);
    let read = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"r:///1"}"#));
    assert_eq!(read["error"]["code"], -32002);
}

#[test]
fn sessions_that_are_gone_are_skipped() {
    let mut world = World::new(server());
    let (gone, stays) =
        (Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-11-25", ALL));
    for client in [&gone, &stays] {
        subscribe(&mut world, client, "res:///one");
    }
    let handle = world.engine.handle();
    handle.resource_updated("res:///one");
    handle.tools_changed();
    world.reset(gone.stream.sock);
    turn(&mut world);
    assert_eq!(told(&mut world, &stays), ["tools/list_changed", "res:///one"]);
    assert!(gone.hear(&mut world).is_empty());
    world.quiesce();
}

#[test]
fn changes_have_room_up_to_a_limit_and_again_after_the_loop_has_looked() {
    for max in [0, 4] {
        let mut world = World::new(server().limits(Limits { mailbox_max: max, ..Limits::DEFAULT }));
        let handle = world.engine.handle();
        for _ in 0..2 {
            (0..max).for_each(|n| handle.withdraw(ItemKind::Tool, &n.to_string()).unwrap());
            let full = handle.offer(Tool::new("late", "Late").handler(|(), _| "never")).unwrap_err();
            assert!(full.is::<MailboxFull>() && full.to_string().contains("mailbox_max"), "{full}");
            assert!(handle.withdraw(ItemKind::Prompt, "p").unwrap_err().is::<MailboxFull>());
            // What cannot wait in line still can be said.
            handle.resource_updated("res:///one");
            handle.tools_changed();
            handle.log(Level::Error, "x");
            turn(&mut world);
        }
        assert_eq!(world.stats().logs_dropped, if max == 0 { 2 } else { 0 });
    }
}

#[test]
fn a_blocking_tool_can_be_added_and_one_that_finds_no_room_is_dropped_without_a_lock() {
    let (send, replies) = std::sync::mpsc::channel();
    let server = server().tool("defer", "Defer", move |(), call| call.defer(|reply| send.send(reply)));
    let mut world = World::new(server.limits(Limits { mailbox_max: 1, ..Limits::DEFAULT }));
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let slow = |handle: Handle| handle.offer(Tool::new("slow", "Slow").blocking_handler(|(), _| "slow"));
    client.tell(&mut world, &call(7, "defer", "{}"));
    let reply = replies.recv().unwrap();
    elsewhere(&world, move |handle| slow(handle).unwrap());
    // A second change is refused. Its handler owns a reply, and dropping that leaves something in the mailbox itself.
    elsewhere(&world, move |handle| {
        let mut owned = Some(reply);
        let full = handle.offer(Tool::new("owner", "Owner").handler(move |(), _| owned.take().is_some()));
        assert!(full.unwrap_err().is::<MailboxFull>());
    });
    let heard = pool.heard(&mut world, &client, 2);
    assert!(heard.iter().any(|frame| frame["id"] == 7 && frame["result"]["isError"] == true), "{heard:?}");
    client.tell(&mut world, &call(8, "slow", "{}"));
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "slow");
}

#[test]
fn a_burst_of_logs_costs_clients_that_read_nothing() {
    const CLIENTS: usize = 16;
    let limits = Limits {
        buffered_bytes_max: 64 << 10,
        output_bytes_max: 60 << 10,
        message_bytes_max: 30 << 10,
        page_bytes_max: 4 << 10,
        body_bytes_max: 40 << 10,
        ..Limits::DEFAULT
    };
    let mut world = World::new(server().limits(limits));
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&mut world, "2025-11-25", ALL)).collect();
    let handle = world.engine.handle();
    // All at once it would be four times what the server may hold, so nobody could be told apart from a slow reader.
    (0..16).for_each(|n| handle.log(Level::Error, format!("{n:02} {}", "x".repeat(1000))));
    handle.tools_changed();
    let mut turns = 0;
    while step(&mut world) {
        turns += 1;
    }
    assert!(turns > 4, "{turns}");
    for client in &clients {
        let frames = client.hear(&mut world);
        let numbers: Vec<usize> = logged(&frames).iter().map(|log| log[..2].parse().unwrap()).collect();
        assert_eq!(numbers, (0..16).collect::<Vec<_>>());
        assert_eq!(frames.last().unwrap()["method"], "notifications/tools/list_changed");
    }
    assert_eq!((world.stats().slow_readers, world.stats().logs_dropped), (0, 0));
    // What is said meanwhile comes after it, and a result after its own logs.
    (0..8).for_each(|n| handle.log(Level::Error, format!("{n:02} {}", "x".repeat(1000))));
    assert!(step(&mut world));
    handle.log(Level::Error, "99 the last");
    handle.withdraw(ItemKind::Resource, "res:///one").unwrap();
    while step(&mut world) {}
    let frames = clients[3].hear(&mut world);
    let numbers: Vec<usize> = logged(&frames).iter().map(|log| log[..2].parse().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 99]);
    assert_eq!(frames.last().unwrap()["method"], "notifications/resources/list_changed");
}

#[test]
fn a_loop_that_was_woken_and_has_not_looked_is_not_woken_again() {
    let mut world = World::new(server());
    let (wake, woken) = std::sync::mpsc::channel();
    world.engine.set_waker(move || wake.send(()).unwrap());
    let handle = world.engine.handle();
    for _ in 0..2 {
        (0..100).for_each(|n| handle.log(Level::Error, n));
        handle.shutdown(Duration::from_secs(1));
        assert_eq!(woken.try_iter().count(), 1);
        turn(&mut world);
        assert!(world.engine.is_stopping());
    }
}

#[test]
fn many_threads_may_hold_a_handle_and_nothing_is_lost() {
    const THREADS: usize = 8;
    let mut world = World::new(server());
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (handle, start) = (world.engine.handle(), start.clone());
            thread::spawn(move || {
                start.wait();
                for m in 0..20 {
                    let tool = Tool::new(format!("t{n}-{m}"), "T");
                    handle.offer(tool.handler(|(), _| "t")).unwrap();
                    handle.log(Level::Error, format!("{n}-{m}"));
                }
            })
        })
        .collect();
    let (mut logs, mut changes) = (0, 0);
    pool.until(&mut world, |world| {
        for frame in client.hear(world) {
            match frame["method"].as_str().unwrap() {
                "notifications/message" => logs += 1,
                _ => changes += 1,
            }
        }
        (logs == THREADS * 20).then_some(())
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    pool.turn(&mut world);
    assert!(changes > 0);
    client.hear(&mut world);
    let mut all = 0;
    let mut cursor = "{}".to_owned();
    loop {
        let page = client.ask(&mut world, &request(1, "tools/list", &cursor));
        all += page["result"]["tools"].as_array().unwrap().len();
        match page["result"]["nextCursor"].as_str() {
            Some(next) => cursor = json!({ "cursor": next }).to_string(),
            None => break,
        }
    }
    assert_eq!(all, 2 + THREADS * 20);
}

#[test]
fn a_handle_may_outlive_the_server() {
    let world = World::new(server());
    let handle = world.engine.handle();
    // What the loop has not taken goes with it, although it holds the mailbox that it is in.
    let (owned, sign) = (handle.clone(), Arc::new(()));
    let goes = Arc::downgrade(&sign);
    handle
        .offer(Tool::new("late", "Late").handler(move |(), _| {
            let _ = &sign;
            owned.tools_changed();
        }))
        .unwrap();
    assert!(!handle.has_ended() && goes.upgrade().is_some());
    drop(world);
    assert!(handle.has_ended() && goes.upgrade().is_none());
    handle.tools_changed();
    handle.log(Level::Error, "nobody listens");
    handle.shutdown(Duration::ZERO);
    for result in [
        handle.withdraw(ItemKind::Tool, "log"),
        handle.offer(Tool::new("new", "New").handler(|(), _| "x")),
        handle.offer(Tool::new("new", "New").blocking_handler(|(), _| "x")),
        handle.offer(Resource::new("res:///x", "x").handler(|_| "x")),
        handle.offer(Prompt::new("x", "x").handler(|(), _| "x")),
    ] {
        let error = result.unwrap_err();
        assert!(error.is::<Ended>(), "{error}");
        assert_eq!(error.to_string(), "the server has ended");
    }
}

#[test]
fn names_that_model_apis_refuse_are_reported_at_the_start_and_when_they_are_added() {
    let server = server().tool("files.read", "Read", |(), _| "x").tool(&"x".repeat(65), "Long", |(), _| "x");
    let mut world = World::new(server);
    turn(&mut world);
    let odd = |name: &str| Seen::ToolName(name.to_owned());
    assert_eq!(world.events(), [odd("files.read"), odd(&"x".repeat(65))]);
    elsewhere(&world, |handle| {
        handle.offer(Tool::new("fine", "Fine").handler(|(), _| "x")).unwrap();
        handle.offer(Tool::new("a/b", "Odd").blocking_handler(|(), _| "x")).unwrap();
        handle.offer(Tool::new("a b", "Refused").handler(|(), _| "x")).unwrap_err();
    });
    turn(&mut world);
    assert_eq!(world.events(), [odd("a/b")]);
}

#[test]
fn what_clients_would_refuse_is_refused_when_it_is_added() {
    let world = World::new(server());
    let problems = elsewhere(&world, |handle| {
        [
            handle.offer(
                Tool::new("t", "").input_schema(r#"{"type":"object","properties":[]}"#).handler(|(), _| "x"),
            ),
            handle.offer(Resource::new("res:///x y", "x").handler(|_| "x")),
            handle.offer(ResourceTemplate::new("res://x:y/{z}", "x").handler(|_, _| "x")),
            handle.offer(Prompt::new("", "x").handler(|(), _| "x")),
        ]
        .map(|result| result.unwrap_err().to_string())
    });
    let expected = [
        "tool `t`: its input schema has `properties` [], which must be an object",
        "resource `res:///x y`: ` ` cannot stand in a URI; write %20",
        "resource template `res://x:y/{z}`: `:y` after the host is not a port",
        "a prompt has no name",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_handler_announces_what_it_has_changed() {
    let server = Server::new("tank", "1").resource("tank:///level", "level", |_| "full").tool(
        "drain",
        "Drain the tank",
        |(), call| {
            call.handle().resource_updated("tank:///level");
            "drained"
        },
    );
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    client.ask(&mut world, &request(1, "resources/subscribe", r#"{"uri":"tank:///level"}"#));
    let [told, result] = client.say(&mut world, &call(2, "drain", "{}")).try_into().unwrap();
    assert_eq!(text(&result), "drained");
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], "tank:///level");
}
