//! A reply asks the user, and the handler runs again with the answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{Elicited, Limits, Reply, Server, schema};
use serde_json::json;

use crate::common::http::call;
use crate::common::questions::{ALL, Client, Pool, error_text, one, text};
use crate::common::{Seen, World};
#[cfg(feature = "stateless")]
use crate::ways::{Visitor, Way};

schema! { #[derive(Debug)] struct Confirm { sure: bool } }
schema! { #[derive(Debug)] struct Name { name: String } }

/// What the handler has handed over, and what it knew then.
type Handed = Arc<Mutex<Vec<(Reply, String)>>>;

fn server(handed: &Handed) -> Server {
    let handed = handed.clone();
    Server::new("later", "1").tool("work", "", move |(), call| -> mcp_rill::Result<_> {
        let known = match call.answer::<Confirm>("sure")? {
            None => "nothing".to_owned(),
            Some(Elicited::Accepted(Confirm { sure })) => match call.answer::<Name>("name")? {
                None => format!("sure: {sure}"),
                Some(name) => format!("{:?}", name.accepted().map(|name| name.name)),
            },
            Some(Elicited::Unavailable(why)) => why.to_string(),
            Some(_) => "no".to_owned(),
        };
        Ok(call.defer(|reply| handed.lock().unwrap().push((reply, known))))
    })
}

fn take(handed: &Handed) -> (Reply, String) {
    handed.lock().unwrap().remove(0)
}

fn turn(world: &mut World) {
    world.advance(Duration::from_millis(1));
}

#[test]
fn the_handler_runs_again_with_each_answer() {
    let handed = Handed::default();
    let mut world = World::new(server(&handed));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let (reply, known) = take(&handed);
    assert_eq!(known, "nothing");
    std::thread::spawn(move || reply.elicit::<Confirm>("sure", "Delete 3 files?")).join().unwrap();
    turn(&mut world);
    let question = one(client.hear(&mut world));
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("Delete 3 files?"))
    );
    assert!(
        client.answer(&mut world, &question, r#"{"action":"accept","content":{"sure":true}}"#).is_empty()
    );
    let (reply, known) = take(&handed);
    assert_eq!(known, "sure: true");
    reply.elicit::<Name>("name", "Who are you?");
    turn(&mut world);
    let question = one(client.hear(&mut world));
    client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"Ada"}}"#);
    let (reply, known) = take(&handed);
    assert_eq!(known, r#"Some("Ada")"#);
    reply.finish("done");
    turn(&mut world);
    assert_eq!(text(&one(client.hear(&mut world))), "done");
    let ended = world.calls_ended();
    assert_eq!((ended.len(), ended[0].runs), (1, 3));
    world.quiesce();
}

#[test]
fn an_answer_that_does_not_fit_or_does_not_come_ends_as_with_call_elicit() {
    let handed = Handed::default();
    let mut world = World::new(server(&handed));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let ask = |world: &mut World| {
        client.tell(world, &call(1, "work", "{}"));
        take(&handed).0.elicit::<Confirm>("sure", "Sure?");
        turn(world);
        one(client.hear(world))
    };
    let question = ask(&mut world);
    let reply = one(client.answer(&mut world, &question, r#"{"action":"accept","content":{"sure":1}}"#));
    assert!(error_text(&reply).contains("the client's answer to `sure` is not valid"), "{reply}");
    let question = ask(&mut world);
    client.answer(&mut world, &question, r#"{"action":"decline"}"#);
    let (reply, known) = take(&handed);
    assert_eq!(known, "no");
    drop(reply);
    turn(&mut world);
    assert!(error_text(&one(client.hear(&mut world))).contains("gave up"));
    ask(&mut world);
    world.advance(Limits::DEFAULT.question_timeout);
    assert_eq!(take(&handed).1, "no");
    turn(&mut world);
    assert!(error_text(&one(client.hear(&mut world)[1..].to_vec())).contains("gave up"));
    // A cancelled call is not asked about.
    client.tell(&mut world, &call(7, "work", "{}"));
    let (reply, _) = take(&handed);
    client.cancel(&mut world, "7");
    reply.elicit::<Confirm>("sure", "Sure?");
    client.hear(&mut world);
    turn(&mut world);
    assert!(client.hear(&mut world).is_empty());
}

#[test]
fn a_client_that_cannot_be_asked_is_known_at_once() {
    let handed = Handed::default();
    let limits = Limits { rounds_max: 1, ..Limits::DEFAULT };
    let mut world = World::new(server(&handed).limits(limits));
    let client = Client::new(&mut world, "2025-11-25", "{}");
    client.tell(&mut world, &call(1, "work", "{}"));
    take(&handed).0.elicit::<Confirm>("sure", "Sure?");
    turn(&mut world);
    let (reply, known) = take(&handed);
    assert!(known.contains("elicitation"), "{known}");
    // It cannot go round for ever.
    reply.elicit::<Confirm>("other", "Sure?");
    turn(&mut world);
    let reply = one(client.hear(&mut world));
    assert!(error_text(&reply).contains("limit rounds_max"), "{reply}");
}

#[test]
fn a_key_with_an_answer_is_not_asked_again() {
    let handed = Handed::default();
    let mut world = World::new(server(&handed));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    take(&handed).0.elicit::<Confirm>("sure", "Sure?");
    turn(&mut world);
    let question = one(client.hear(&mut world));
    client.answer(&mut world, &question, r#"{"action":"accept","content":{"sure":true}}"#);
    take(&handed).0.elicit::<Confirm>("sure", "Sure?");
    turn(&mut world);
    let reply = one(client.hear(&mut world));
    assert_eq!(reply["error"]["code"], -32603, "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains("`sure` was answered already"), "{reply}");
}

#[test]
fn the_reply_of_a_blocking_handler_cannot_ask() {
    let handed: Arc<Mutex<Vec<Reply>>> = Arc::default();
    let kept = handed.clone();
    let server = Server::new("later", "1")
        .blocking_tool("work", "", move |(), call| call.defer(|reply| kept.lock().unwrap().push(reply)));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let reply = pool.until(&mut world, |_| handed.lock().unwrap().pop());
    reply.elicit::<Confirm>("sure", "Sure?");
    let reply = one(pool.heard(&mut world, &client, 1));
    assert_eq!(reply["error"]["code"], -32603, "{reply}");
    let fault =
        |seen: &Seen| matches!(seen, Seen::HandlerFault(text) if text.contains("ask by `Call::elicit`"));
    assert!(world.events().iter().any(fault));
}

#[cfg(feature = "stateless")]
#[test]
fn without_a_session_the_answer_comes_with_the_next_request() {
    let handed = Handed::default();
    let mut world = World::new(server(&handed));
    let mut visitor = Visitor::new(&mut world, Way::Stateless, "ada");
    assert_eq!(visitor.ask(&mut world, "tools/call", json!({"name": "work"})), "");
    take(&handed).0.elicit::<Confirm>("sure", "Sure?");
    turn(&mut world);
    let heard = visitor.listen(&mut world);
    let body = heard.split_once("\r\n\r\n").unwrap().1;
    let result: serde_json::Value = serde_json::from_str(body).unwrap();
    let result = &result["result"];
    assert_eq!(result["inputRequests"]["sure"]["params"]["message"], "Sure?", "{heard}");
    let answer = json!({"sure": {"action": "accept", "content": {"sure": true}}});
    let params = json!({"name": "work", "requestState": result["requestState"], "inputResponses": answer});
    assert_eq!(visitor.ask(&mut world, "tools/call", params), "");
    let (reply, known) = take(&handed);
    assert_eq!(known, "sure: true");
    reply.finish("done");
    turn(&mut world);
    assert!(visitor.listen(&mut world).contains(r#""text":"done""#));
}
