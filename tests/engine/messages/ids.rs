//! Ids of requests in both directions: which answer is whose.

use std::sync::mpsc::{self, Receiver};

use mcp_rill::{Reply, Server, schema};
use serde_json::{Value, json};

use super::Client;
use crate::common::http::frames;
use crate::common::http::{call, ping, request};
use crate::common::questions::{self, ALL, one, text};
use crate::common::{Seen, Sock, World, demo};

schema! { struct Work { n: usize } }

/// A server whose tool `work` is finished by the test, and what finishes its calls.
fn bench() -> (World, Receiver<(usize, Reply)>) {
    let (send, replies) = mpsc::channel();
    let server: Server =
        demo::streaming(demo::server()).tool("work", "Work for a while", move |Work { n }, call| {
            call.defer(|reply| send.send((n, reply)))
        });
    (World::new(server), replies)
}

fn work(id: &str, n: usize) -> String {
    let params = format!(r#"{{"name":"work","arguments":{{"n":{n}}},"_meta":{{"progressToken":{n}}}}}"#);
    request(id, "tools/call", &params)
}

fn turn(world: &mut World) {
    world.tick();
}

fn cancel(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
}

fn result(n: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": format!("{n} done")}]}})
}

/// The id of the last event in what came on a connection.
fn last_event(bytes: &str) -> String {
    bytes.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id").to_owned()
}

/// A hosted client numbers every request 1, several at once, on one session.
#[test]
fn requests_with_one_id_on_posts_of_their_own_are_all_answered() {
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let (mut world, replies) = bench();
        let client = Client::new(&mut world, revision);
        let socks: Vec<Sock> = (0..12).map(|n| client.ask(&mut world, &work("1", n))).collect();
        let mut calls: Vec<(usize, Reply)> = replies.try_iter().collect();
        assert_eq!((calls.len(), world.stats().calls), (12, 12));
        // What is answered at once does not wait for them.
        assert_eq!(
            client.post(&mut world, &ping("1")).messages(),
            [json!({"jsonrpc":"2.0","id":1,"result":{}})]
        );

        // One says something, loses its connection, and comes back for the rest.
        calls[5].1.progress(1.0, None, None);
        turn(&mut world);
        let before = world.take_text(socks[5]);
        assert!(before.contains(r#""progressToken":5"#), "{before}");
        world.reset(socks[5]);
        let back = world.connect();
        let (id, last) = (&client.id, last_event(&before));
        world.send(
            back,
            format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\nLast-Event-ID: {last}\r\n\r\n"),
        );

        // They are finished in another order than they were begun.
        calls.sort_by_key(|(n, _)| (n * 7) % 12);
        for (n, reply) in calls {
            reply.finish(format!("{n} done"));
            turn(&mut world);
        }
        for (n, sock) in socks.iter().enumerate().filter(|(n, _)| *n != 5) {
            assert_eq!(world.response(*sock).messages(), [result(n)], "{revision}");
        }
        let rest = world.take_text(back);
        let (_, events) = rest.split_once("\r\n\r\n").unwrap();
        assert_eq!(frames(events.as_bytes()), [result(5)], "{revision}: {rest}");
        assert_eq!((world.stats().calls, world.stats().late), (0, 0));
    }
}

/// A client that lost the connection of a POST asks again in the same words. The first call goes on, for nobody.
#[test]
fn a_request_that_is_repeated_on_another_connection_is_answered_there() {
    let (mut world, replies) = bench();
    let client = Client::new(&mut world, "2025-06-18");
    let lost = client.ask(&mut world, &work("1", 0));
    world.reset(lost);
    let again = client.ask(&mut world, &work("1", 1));
    for (n, reply) in replies.try_iter() {
        reply.finish(format!("{n} done"));
        turn(&mut world);
    }
    assert_eq!(world.response(again).messages(), [result(1)]);
    assert_eq!((world.stats().calls, world.stats().late), (0, 1));
}

#[test]
fn a_cancellation_that_names_several_requests_cancels_none() {
    let (mut world, replies) = bench();
    let client = Client::new(&mut world, "2025-11-25");
    let socks = [0, 1].map(|n| client.ask(&mut world, &work(r#""a""#, n)));
    let other = client.ask(&mut world, &work("7", 2));
    world.events();
    assert_eq!(client.post(&mut world, &cancel(r#""a""#)).status, 202);
    assert_eq!((world.stats().calls, world.stats().ambiguous_cancels), (3, 1));
    assert_eq!(world.events(), [Seen::Ambiguous(r#""a""#.to_owned(), 2)]);
    // One that names one request still does.
    client.post(&mut world, &cancel("7"));
    assert_eq!((world.stats().calls, world.stats().ambiguous_cancels), (2, 1));
    assert!(world.take_text(other).ends_with("0\r\n\r\n"));

    let mut calls: Vec<(usize, Reply)> = replies.try_iter().collect();
    calls.remove(0).1.finish("0 done");
    turn(&mut world);
    assert_eq!(world.response(socks[0]).messages()[0]["id"], "a");
    // Now it is clear which is meant.
    client.post(&mut world, &cancel(r#""a""#));
    assert_eq!((world.stats().calls, world.stats().ambiguous_cancels), (0, 1));
    assert_eq!(world.events(), []);
}

#[test]
fn an_id_that_is_shown_is_cut() {
    let (mut world, _replies) = bench();
    let client = Client::new(&mut world, "2025-11-25");
    let id = format!(r#""{}\n""#, "é".repeat(400));
    let _socks = [0, 1].map(|n| client.ask(&mut world, &work(&id, n)));
    world.events();
    client.post(&mut world, &cancel(&id));
    client.post(&mut world, &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":1,"message":{id}}}}}"#));
    let [Seen::Ambiguous(named, 2), Seen::Stray(stray, Some(error))] = &world.events()[..] else { panic!() };
    for text in [named, stray, error] {
        assert!(text.len() < 100 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text}");
    }
}

#[test]
fn a_batch_has_each_id_once() {
    let (mut world, replies) = bench();
    let client = Client::new(&mut world, "2025-03-26");
    let refused = client.post(&mut world, &format!("[{},{},{}]", ping("1"), ping("2"), ping("2")));
    let error = &refused.messages()[0];
    assert_eq!((refused.status, &error["id"], &error["error"]["code"]), (400, &json!(2), &json!(-32600)));
    assert!(error["error"]["message"].as_str().unwrap().contains("same id"), "{error}");
    assert_eq!(world.stats().calls, 0, "nothing of it was taken");
    // What is open elsewhere is on another POST.
    let first = client.ask(&mut world, &work("1", 0));
    let batch = client.ask(&mut world, &format!("[{},{}]", work("1", 1), work("2", 2)));
    for (n, reply) in replies.try_iter() {
        reply.finish(format!("{n} done"));
        turn(&mut world);
    }
    assert_eq!(world.response(first).messages(), [result(0)]);
    let answers = world.response(batch).messages();
    assert_eq!((answers.len(), &answers[0]), (2, &result(1)));
}

/// One stream has all answers there, so the second of two could not be told from the first.
#[test]
fn over_sse_a_second_request_with_an_id_in_flight_is_refused_by_that_id() {
    for id in ["7", r#""a""#] {
        let (mut world, replies) = bench();
        let client = questions::Client::new(&mut world, "2025-11-25", ALL);
        client.tell(&mut world, &work(id, 0));
        let refused = client.post(&mut world, &ping(id));
        assert_eq!((refused.status, refused.header("Content-Type")), (400, Some("application/json")));
        let error = &refused.messages()[0];
        assert_eq!(error["id"].to_string(), id);
        assert_eq!(error["error"]["code"], -32600);
        assert!(error["error"]["message"].as_str().unwrap().contains("in flight"), "{error}");
        replies.recv().unwrap().1.finish("done");
        turn(&mut world);
        assert_eq!(one(client.hear(&mut world))["id"].to_string(), id);
        assert_eq!(client.ask(&mut world, &ping(id))["id"].to_string(), id);
    }
}

/// As the Python SDK's server takes it: ours are integers, and clients may keep ids as text or have no integers.
#[test]
fn an_answer_may_spell_the_id_of_its_question_otherwise() {
    let (mut world, _replies) = bench();
    let sse = questions::Client::new(&mut world, "2025-11-25", ALL);
    let streamable = Client::new(&mut world, "2025-11-25");
    for spelling in ["N", r#""N""#, "N.0", r#""\u003N""#] {
        let answer = |question: &Value| {
            let id = spelling.replace('N', &question["id"].to_string());
            let result = r#"{"action":"accept","content":{"name":"Ada"}}"#;
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result},"error":null}}"#)
        };
        let question = sse.ask(&mut world, &call(1, "ask", "{}"));
        if spelling.contains('u') && question["id"].as_u64().unwrap() > 9 {
            continue;
        }
        assert_eq!(text(&one(sse.say(&mut world, &answer(&question)))), "Ada", "{spelling}");

        let sock = streamable.ask(&mut world, &call(1, "ask", "{}"));
        let asked = world.take_text(sock);
        let data = asked.lines().filter_map(|line| line.strip_prefix("data: {")).next().unwrap();
        let question: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        assert_eq!(streamable.post(&mut world, &answer(&question)).status, 202);
        let rest = world.take_text(sock);
        assert!(rest.contains(r#""text":"Ada""#), "{spelling}: {rest}");
    }
    assert_eq!((world.stats().stray_answers, world.stats().calls), (0, 0));
}

#[test]
fn an_answer_to_nothing_is_an_event() {
    let (mut world, _replies) = bench();
    let client = questions::Client::new(&mut world, "2025-11-25", ALL);
    world.events();
    for (answer, seen) in [
        (r#""id":99,"result":{}"#, Seen::Stray("99".into(), None)),
        (r#""id":"x","result":{}"#, Seen::Stray("\"x\"".into(), None)),
        (r#""id":"01","result":{}"#, Seen::Stray("\"01\"".into(), None)),
        (r#""id":5,"error":{"code":1,"message":"no\nway"}"#, Seen::Stray("5".into(), Some("no?way".into()))),
        (r#""id":null,"error":{"code":1,"message":"no"}"#, Seen::Stray("null".into(), Some("no".into()))),
        (r#""error":7"#, Seen::Stray("null".into(), None)),
    ] {
        client.tell(&mut world, &format!(r#"{{"jsonrpc":"2.0",{answer}}}"#));
        assert_eq!(world.events(), [seen], "{answer}");
    }
    assert_eq!(world.stats().stray_answers, 6);
    // Over Streamable HTTP it is the same.
    let streamable = Client::new(&mut world, "2025-11-25");
    world.events();
    streamable.post(&mut world, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(world.events(), [Seen::Stray("1".into(), None)]);
}

/// A request that is answered with an error by the end of its session is told which it was.
#[test]
fn the_end_of_a_session_is_told_by_the_id() {
    let (mut world, _replies) = bench();
    let client = Client::new(&mut world, "2025-11-25");
    let sock = world.connect();
    let body = work(r#""a""#, 0);
    let id = &client.id;
    let length = body.len();
    world.send(
        sock,
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nMcp-Session-Id: {id}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
    );
    let batch = Client::new(&mut world, "2025-03-26");
    let both = batch.ask(&mut world, &format!("[{},{}]", work("1", 0), work("2", 1)));
    for id in [&client.id, &batch.id] {
        let delete = world.connect();
        world
            .send(delete, format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"));
        assert_eq!(world.response(delete).status, 200);
    }
    for (sock, id) in [(sock, json!("a")), (both, Value::Null)] {
        let response = world.response(sock);
        let error = &response.messages()[0];
        assert_eq!((response.status, &error["id"], &error["error"]["code"]), (404, &id, &json!(-32001)));
    }
}
