//! Who hears of changes of a resource: whoever may read it, and nobody learns more by subscribing than by reading.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mcp_rill::{Call, CallError, Elicited, Level, Limits, Server, schema};
use serde_json::{Value, json};

use super::clients::{Request, request as alone};
use crate::common::http::request;
use crate::common::questions::{ALL, Client, Pool, one};
use crate::common::{Sock, World, principal};

schema! { struct Sure { sure: bool } }

fn name(call: &Call) -> String {
    call.principal().map_or_else(|| "nobody".to_owned(), |principal| principal.name().to_owned())
}

/// Note 1 is for all, 5 for Ada, and 9 does not exist; 6, 7 and 8 are there and cannot be read, each in a way of its own.
fn server() -> Server {
    Server::new("permits", "1").template("note:///{id}", "note", |vars, call| {
        call.log(Level::Error, "looking");
        match vars.get("id").unwrap() {
            "1" => Ok("public"),
            "5" if name(call) == "ada" => Ok("secret"),
            "5" => Err(CallError::new(4003, "you may not read note 5")),
            "6" => Err(CallError::internal("no disk")),
            "7" => panic!("on purpose"),
            "8" => Err(CallError::invalid_params("8 is no number")),
            _ => Err(CallError::not_found()),
        }
    })
}

fn client(world: &mut World, name: &str) -> Client {
    let (stream, post) = (world.connect_as(principal(name)), world.connect_as(principal(name)));
    let client = Client::on(world.open_sse_on(stream, "/sse"), post);
    client.initialize(world, "2025-11-25", ALL);
    client
}

fn post(world: &mut World, client: &Client, method: &str, uri: &str) -> Vec<Value> {
    let heard = client.say(world, &request(1, method, &json!({ "uri": uri }).to_string()));
    heard.into_iter().filter(|message| message["method"] != "notifications/message").collect()
}

fn subscribe(world: &mut World, client: &Client, uri: &str) -> Value {
    one(post(world, client, "resources/subscribe", uri))
}

fn updated(world: &mut World, uris: &[&str]) {
    let handle = world.engine.handle();
    uris.iter().for_each(|uri| handle.resource_updated(uri));
    world.tick();
}

fn told(world: &mut World, client: &Client) -> Vec<String> {
    client.hear(world).iter().map(|frame| frame["params"]["uri"].as_str().unwrap().to_owned()).collect()
}

const NOTES: [&str; 6] = ["note:///1", "note:///5", "note:///6", "note:///7", "note:///8", "note:///9"];

#[test]
fn a_client_that_may_not_read_can_neither_subscribe_nor_learn_what_exists() {
    let mut world = World::new(server());
    let (ada, bob) = (client(&mut world, "ada"), client(&mut world, "bob"));
    let refusal = |uri: &str| {
        let error = json!({ "code": -32002, "message": format!("Resource not found: {uri}"), "data": { "uri": uri } });
        json!({ "jsonrpc": "2.0", "id": 1, "error": error })
    };
    let done = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    for uri in NOTES.into_iter().chain(["other:///1"]) {
        let may = |permitted: bool| if permitted { done.clone() } else { refusal(uri) };
        assert_eq!(subscribe(&mut world, &ada, uri), may(matches!(uri, "note:///1" | "note:///5")));
        assert_eq!(subscribe(&mut world, &bob, uri), may(uri == "note:///1"));
    }
    updated(&mut world, &NOTES);
    assert_eq!(told(&mut world, &ada), ["note:///1", "note:///5"]);
    assert_eq!(told(&mut world, &bob), ["note:///1"]);
    // With no room the answer says nothing of the resource either.
    let mut world = World::new(server().limits(Limits { subscriptions_max: 0, ..Limits::DEFAULT }));
    let bob = client(&mut world, "bob");
    let replies = NOTES.map(|uri| subscribe(&mut world, &bob, uri));
    assert!(
        replies.iter().all(|reply| *reply == replies[0] && reply["error"]["code"] == -32602),
        "{replies:?}"
    );
}

#[test]
fn a_client_that_subscribes_again_without_the_right_to_read_gets_no_more_updates() {
    let readers = Arc::new(Mutex::new(vec!["ada".to_owned()]));
    let known = readers.clone();
    let server = Server::new("permits", "1").resource("note:///5", "note", move |call| {
        known.lock().unwrap().contains(&name(call)).then_some("secret").ok_or_else(CallError::not_found)
    });
    let mut world = World::new(server);
    let ada = client(&mut world, "ada");
    assert_eq!(subscribe(&mut world, &ada, "note:///5")["result"], json!({}));
    readers.lock().unwrap().clear();
    assert_eq!(subscribe(&mut world, &ada, "NOTE:///5")["error"]["code"], -32002);
    updated(&mut world, &["note:///5"]);
    assert!(told(&mut world, &ada).is_empty());
    world.quiesce();
}

type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// A server whose hook writes down what it was asked, and says yes to who is among the friends.
fn hooked(friends: &Arc<Mutex<Vec<&'static str>>>) -> (Server, Asked) {
    let (asked, friends) = (Asked::default(), friends.clone());
    let log = asked.clone();
    let server = Server::new("permits", "1")
        .template("note:///{id}", "note", |_, _| -> mcp_rill::Result<String> { panic!("nobody reads it") })
        .on_subscribe(move |uri, principal| {
            let name = principal.map_or("nobody", |principal| principal.name());
            log.lock().unwrap().push((uri.to_owned(), name.to_owned()));
            assert_ne!(uri, "note:///boom", "on purpose");
            friends.lock().unwrap().contains(&name)
        });
    (server, asked)
}

#[test]
fn a_hook_is_asked_before_a_subscription_and_before_each_notification() {
    let friends = Arc::new(Mutex::new(vec!["ada", "bob"]));
    let (server, asked) = hooked(&friends);
    let mut world = World::new(server);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| client(&mut world, name));
    assert_eq!(subscribe(&mut world, &ada, "NOTE:///x/../5")["result"], json!({}));
    assert_eq!(subscribe(&mut world, &bob, "note:///5")["result"], json!({}));
    assert_eq!(subscribe(&mut world, &eve, "note:///5")["error"]["code"], -32002);
    assert_eq!(subscribe(&mut world, &ada, "note:///boom")["error"]["code"], -32002, "a panic is a no");
    // It is not asked of what is no resource.
    assert_eq!(subscribe(&mut world, &ada, "other:///5")["error"]["code"], -32002);
    let take = || std::mem::take(&mut *asked.lock().unwrap());
    let pair = |uri: &str, name: &str| (uri.to_owned(), name.to_owned());
    let five = |name| pair("note:///5", name);
    assert_eq!(take(), [five("ada"), five("bob"), five("eve"), pair("note:///boom", "ada")]);
    updated(&mut world, &["note:///5"]);
    assert_eq!(
        (told(&mut world, &ada), told(&mut world, &bob)),
        (vec!["NOTE:///x/../5".into()], vec!["note:///5".into()])
    );
    assert_eq!(take(), [five("ada"), five("bob")]);
    // A right that is withdrawn counts at once, and one that is given back, too.
    friends.lock().unwrap().retain(|name| *name != "ada");
    updated(&mut world, &["note:///5"]);
    assert_eq!((told(&mut world, &ada).len(), told(&mut world, &bob).len()), (0, 1));
    friends.lock().unwrap().push("ada");
    updated(&mut world, &["note:///5", "note:///6"]);
    assert_eq!((told(&mut world, &ada).len(), told(&mut world, &bob).len()), (1, 1));
    assert!(told(&mut world, &eve).is_empty());
    world.quiesce();
}

/// A server that asks the client before it lets it read.
fn asking() -> Server {
    Server::new("permits", "1").resource("note:///5", "note", |call| -> mcp_rill::Result<&str> {
        match call.elicit::<Sure>("sure", "May this client read note 5?")? {
            Elicited::Accepted(Sure { sure: true }) => Ok("secret"),
            _ => Err(CallError::not_found().into()),
        }
    })
}

#[test]
fn a_handler_that_asks_the_client_is_answered_before_it_may_subscribe() {
    let mut world = World::new(asking());
    for (sure, heard) in [(false, 0), (true, 1)] {
        let ada = client(&mut world, "ada");
        let question = subscribe(&mut world, &ada, "note:///5");
        assert_eq!(question["method"], "elicitation/create");
        updated(&mut world, &["note:///5"]);
        assert!(told(&mut world, &ada).is_empty(), "not yet");
        let result = json!({ "action": "accept", "content": { "sure": sure } }).to_string();
        let reply = one(ada.answer(&mut world, &question, &result));
        assert_eq!(reply.get("result").is_some(), sure, "{reply}");
        updated(&mut world, &["note:///5"]);
        assert_eq!(told(&mut world, &ada).len(), heard);
        world.reset(ada.stream.sock);
    }
    world.quiesce();
}

/// The handler is still being asked, here about a question to the client, when its client thinks better of it.
#[test]
fn an_unsubscription_wins_over_a_subscription_that_is_not_answered_yet() {
    let mut world = World::new(asking());
    for (sure, other) in [(true, "note:///5"), (true, "NOTE:///x/../5"), (false, "note:///5")] {
        let ada = client(&mut world, "ada");
        let question = subscribe(&mut world, &ada, "note:///5");
        let gone =
            one(ada
                .say(&mut world, &request(2, "resources/unsubscribe", &json!({ "uri": other }).to_string())));
        assert_eq!(gone, json!({ "jsonrpc": "2.0", "id": 2, "result": {} }));
        let result = json!({ "action": "accept", "content": { "sure": sure } }).to_string();
        let reply = one(ada.answer(&mut world, &question, &result));
        assert_eq!((&reply["id"], reply.get("result").is_some()), (&json!(1), sure), "{reply}");
        updated(&mut world, &["note:///5"]);
        assert!(told(&mut world, &ada).is_empty(), "it hears of a resource that it unsubscribed from");
        // What comes after it counts again.
        let question = subscribe(&mut world, &ada, "note:///5");
        ada.answer(
            &mut world,
            &question,
            &json!({ "action": "accept", "content": { "sure": true } }).to_string(),
        );
        updated(&mut world, &["note:///5"]);
        assert_eq!(told(&mut world, &ada).len(), 1);
        world.reset(ada.stream.sock);
    }
    world.quiesce();
}

fn listen(uris: &[&str]) -> Request {
    alone(1, "subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } }))
}

fn messages(world: &mut World, sock: Sock) -> Vec<Value> {
    let text = world.take_text(sock);
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The URIs that are promised.
fn promised(messages: &[Value]) -> Value {
    assert_eq!(messages[0]["method"], "notifications/subscriptions/acknowledged", "nothing comes before it");
    messages[0]["params"]["notifications"]["resourceSubscriptions"].clone()
}

#[test]
fn a_listener_is_promised_what_it_may_read() {
    let mut world = World::new(server());
    let mut open = |name: &str| {
        let sock = world.connect_as(principal(name));
        world.send(sock, listen(&NOTES).text());
        world.advance(Duration::ZERO);
        sock
    };
    let (ada, bob) = (open("ada"), open("bob"));
    assert_eq!(promised(&messages(&mut world, ada)), json!(["note:///1", "note:///5"]));
    assert_eq!(promised(&messages(&mut world, bob)), json!(["note:///1"]));
    updated(&mut world, &NOTES);
    assert_eq!((messages(&mut world, ada).len(), messages(&mut world, bob).len()), (2, 1));
    // Nothing to hear of: it is over at once.
    let eve = world.connect_as(principal("eve"));
    world.send(eve, listen(&["note:///5", "note:///9"]).text());
    world.advance(Duration::ZERO);
    let ended = messages(&mut world, eve);
    assert_eq!((promised(&ended), ended.len()), (Value::Null, 2));
    assert_eq!(ended[1]["result"]["resultType"], "complete");
    [ada, bob].into_iter().for_each(|sock| world.reset(sock));
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

#[test]
fn the_hook_decides_what_a_listener_hears() {
    let friends = Arc::new(Mutex::new(vec!["ada"]));
    let (server, asked) = hooked(&friends);
    let mut world = World::new(server);
    let sock = world.connect_as(principal("ada"));
    world.send(sock, listen(&["note:///5", "note:///boom", "other:///5"]).text());
    world.advance(Duration::ZERO);
    assert_eq!(promised(&messages(&mut world, sock)), json!(["note:///5"]));
    updated(&mut world, &["note:///5"]);
    assert_eq!(messages(&mut world, sock).len(), 1);
    friends.lock().unwrap().clear();
    updated(&mut world, &["note:///5"]);
    assert!(messages(&mut world, sock).is_empty());
    assert_eq!(asked.lock().unwrap().len(), 4);
    world.reset(sock);
    world.quiesce();
}

/// What asks is left out: a stream of notifications can carry no question.
#[test]
fn a_listener_is_not_promised_what_asks() {
    let server = Server::new("permits", "1")
        .resource("note:///1", "one", |_| "public")
        .resource("note:///2", "two", |call| call.elicit::<Sure>("sure", "Sure?").map(|_| "asked"))
        .resource("note:///3", "three", |call| {
            let _ = call.elicit::<Sure>("sure", "Sure?");
            "whatever the answer is"
        });
    let mut world = World::new(server);
    let sock = world.connect();
    world.send(sock, listen(&["note:///1", "note:///2", "note:///3"]).text());
    world.advance(Duration::ZERO);
    assert_eq!(promised(&messages(&mut world, sock)), json!(["note:///1"]));
    world.advance(Duration::from_millis(1));
    world.reset(sock);
    world.quiesce();
}

#[test]
fn completers_get_the_principal() {
    let own = |partial: &mcp_rill::CompletionRequest| {
        partial.principal().map(|who| who.name().to_owned()).into_iter().collect::<Vec<_>>()
    };
    let server = Server::new("permits", "1")
        .template("note:///{owner}", "note", |_, _| "")
        .complete_template("note:///{owner}", "owner", own);
    let mut world = World::new(server);
    let params = json!({ "ref": { "type": "ref/resource", "uri": "note:///{owner}" }, "argument": { "name": "owner", "value": "" } });
    for name in ["ada", "bob"] {
        let client = client(&mut world, name);
        let reply = client.ask(&mut world, &request(1, "completion/complete", &params.to_string()));
        assert_eq!(reply["result"]["completion"]["values"], json!([name]));
    }
}

/// Nothing is promised before handlers on other threads have said what they say.
#[test]
fn handlers_on_other_threads_are_waited_for() {
    let (keep, kept) = mpsc::channel::<mcp_rill::Reply<Vec<mcp_rill::ResourceContents>>>();
    let server = Server::new("permits", "1")
        .blocking_template("note:///{id}", "note", |vars, call| match vars.get("id").unwrap() {
            "1" => Ok("public"),
            "5" if name(call) == "ada" => Ok("secret"),
            _ => Err(CallError::not_found()),
        })
        .resource("now:///1", "now", |_| "here")
        .resource("away:///1", "away", |call| call.defer(|reply| std::thread::spawn(|| reply.finish("late"))))
        .resource("held:///1", "held", move |call| call.defer(|reply| keep.send(reply)));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let sock = world.connect_as(principal("ada"));
    let uris = ["away:///1", "note:///1", "note:///5", "note:///9", "now:///1"];
    world.send(sock, listen(&uris).text());
    world.advance(Duration::ZERO);
    assert!(messages(&mut world, sock).is_empty(), "not yet");
    assert!(world.stats().buffered_bytes > 0);
    let heard = pool.until(&mut world, |world| Some(messages(world, sock)).filter(|heard| !heard.is_empty()));
    assert_eq!(promised(&heard), json!(["away:///1", "note:///1", "note:///5", "now:///1"]));
    let bob = client(&mut world, "bob");
    for (uri, permitted) in
        [("away:///1", true), ("note:///1", true), ("note:///5", false), ("note:///9", false)]
    {
        bob.tell(&mut world, &request(1, "resources/subscribe", &json!({ "uri": uri }).to_string()));
        let reply = one(pool.heard(&mut world, &bob, 1));
        assert_eq!(reply.get("result").is_some(), permitted, "{reply}");
    }
    updated(&mut world, &uris);
    assert_eq!((messages(&mut world, sock).len(), told(&mut world, &bob).len()), (4, 2));
    // One that leaves before it is answered leaves nothing.
    let leaves = world.connect_as(principal("ada"));
    world.send(leaves, listen(&["held:///1"]).text());
    world.advance(Duration::ZERO);
    let _held = kept.recv().unwrap();
    world.reset(leaves);
    world.reset(sock);
    world.reset(bob.stream.sock);
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

/// `tool_timeout`: what has not been said by then is not promised.
#[test]
fn a_handler_that_does_not_return_keeps_no_client_waiting() {
    let (release, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let held = Mutex::new(held);
    let server = Server::new("permits", "1")
        .resource("a:///1", "first", |_| "here")
        .blocking_resource("b:///1", "second", move |_| {
            begin.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
            "late"
        })
        .resource("c:///1", "third", |_| "here");
    let limits = Limits { tool_timeout: Duration::from_secs(3), ..Limits::DEFAULT };
    let mut world = World::new(server.limits(limits));
    let pool = Pool::new(&mut world);
    let sock = world.connect();
    world.send(sock, listen(&["a:///1", "b:///1", "c:///1"]).text());
    world.advance(Duration::ZERO);
    pool.turn(&mut world);
    begun.recv().unwrap();
    world.advance(Duration::from_millis(2999));
    assert!(messages(&mut world, sock).is_empty());
    world.advance(Duration::from_millis(2));
    assert_eq!(promised(&messages(&mut world, sock)), json!(["a:///1"]));
    drop(release);
    world.reset(sock);
    world.quiesce();
}

/// Updates go by the normal form of a URI, so that is what its handler is asked about.
#[test]
fn another_spelling_of_a_uri_permits_nothing_else() {
    let own = Server::new("permits", "1").template("note://{id}", "note", |vars, call| {
        if vars.get("id") == Some(name(call).as_str()) { Ok("own") } else { Err(CallError::not_found()) }
    });
    let mut world = World::new(own);
    let (upper, lower) = (client(&mut world, "ADA"), client(&mut world, "ada"));
    let refusal = subscribe(&mut world, &upper, "note://ADA");
    assert_eq!(refusal["error"]["data"]["uri"], "note://ADA", "{refusal}");
    assert!(subscribe(&mut world, &lower, "note://ADA").get("result").is_some());
    let mut open = |name: &str| {
        let sock = world.connect_as(principal(name));
        world.send(sock, listen(&["note://ADA"]).text());
        world.advance(Duration::ZERO);
        (sock, promised(&messages(&mut world, sock)))
    };
    let (_, refused) = open("ADA");
    let (sock, granted) = open("ada");
    assert_eq!((refused, granted), (Value::Null, json!(["note://ADA"])));
    updated(&mut world, &["note://ada"]);
    assert_eq!(told(&mut world, &upper), [""; 0]);
    assert_eq!(told(&mut world, &lower), ["note://ADA"]);
    assert_eq!(one(messages(&mut world, sock))["params"]["uri"], "note://ADA");
}

/// A URI for which no worker thread is free is not promised; the others are.
#[test]
fn a_listener_hears_of_the_rest_where_no_thread_is_free() {
    for (worker_queue_max, wait) in [(0, Duration::ZERO), (1, Duration::from_secs(1))] {
        let server = Server::new("permits", "1").blocking_resource("a:///1", "first", |_| "here").resource(
            "b:///1",
            "second",
            |_| "here",
        );
        let worker_wait_timeout = Duration::from_secs(1);
        let limits = Limits { workers: 1, worker_queue_max, worker_wait_timeout, ..Limits::DEFAULT };
        let mut world = World::new(server.limits(limits));
        let (first, second) = (world.connect(), world.connect());
        world.send(first, listen(&["a:///1"]).text());
        world.advance(Duration::ZERO);
        world.send(second, listen(&["a:///1", "b:///1"]).text());
        world.advance(Duration::ZERO);
        if !wait.is_zero() {
            assert!(messages(&mut world, second).is_empty(), "it waits for a thread");
            world.advance(wait);
        }
        assert_eq!(promised(&messages(&mut world, second)), json!(["b:///1"]));
    }
}

/// One listener with many resources would hold everybody up for as long as their handlers take together.
#[test]
fn one_handler_is_asked_in_a_turn() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::new("permits", "1").template("many:///{n}", "many", move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        "one of many"
    });
    let mut world = World::new(server);
    let uris = ["many:///1", "many:///2", "many:///3", "many:///4"];
    let sock = world.connect();
    world.send(sock, listen(&uris).text());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(world.deadline(), Some(Duration::ZERO), "the next turn is wanted at once");
    world.jump(Duration::ZERO);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    world.advance(Duration::ZERO);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    assert_eq!(promised(&messages(&mut world, sock)), json!(uris));
    // Several listeners take turns, too.
    let others = [world.connect(), world.connect()];
    others.iter().for_each(|other| world.send(*other, listen(&uris).text()));
    assert_eq!(asked.load(Ordering::Relaxed), 6);
    world.jump(Duration::ZERO);
    assert_eq!(asked.load(Ordering::Relaxed), 7);
    world.jump(Duration::ZERO);
    assert_eq!(asked.load(Ordering::Relaxed), 8);
    world.advance(Duration::ZERO);
    for other in others {
        assert_eq!(promised(&messages(&mut world, other)), json!(uris));
        world.reset(other);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 12);
    // One that leaves in between is not asked for any more.
    let leaves = world.connect();
    world.send(leaves, listen(&uris).text());
    world.reset(leaves);
    world.advance(Duration::ZERO);
    assert_eq!(asked.load(Ordering::Relaxed), 13);
    world.reset(sock);
    world.quiesce();
    world.assert_empty();
}

#[test]
fn a_shutdown_answers_listeners_whose_handlers_are_still_asked() {
    let (asked, questions) = mpsc::channel();
    let server = Server::new("permits", "1")
        .template("slow:///{n}", "slow", move |_, call| call.defer(|reply| asked.send(reply)));
    let mut world = World::new(server);
    let sock = world.connect();
    world.send(sock, listen(&["slow:///1", "slow:///2"]).text());
    world.advance(Duration::ZERO);
    let first = questions.try_recv().unwrap();
    assert!(questions.try_recv().is_err() && messages(&mut world, sock).is_empty());
    world.shutdown(Duration::from_secs(8));
    let heard = messages(&mut world, sock);
    assert_eq!(heard.last().unwrap()["result"]["resultType"], "complete", "{heard:?}");
    assert!(first.is_cancelled());
    world.half_close(sock);
    assert!(world.closed(sock));
    first.finish("too late");
    world.advance(Duration::ZERO);
    assert!(questions.try_recv().is_err(), "no handler is asked any more");
    world.quiesce();
    world.assert_empty();
}
