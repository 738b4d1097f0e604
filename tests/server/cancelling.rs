//! Progress of handlers on the loop's thread, slow streams, cancellation in every form, and what is left of it: nothing.

use std::sync::mpsc;
use std::time::Duration;

use mcp_rill::{Level, Limits, Reply, Server, schema};
use serde_json::{Value, json};

use crate::common::World;
use crate::common::http::{call, ping, post_head, request};
use crate::common::questions::{ALL, Client, one, text};

schema! { struct Name { name: String } }
schema! { struct Steps { steps: Vec<f64> } }
schema! { struct Big { bytes: usize } }

fn server() -> (Server, mpsc::Receiver<Reply>) {
    let (jobs, queue) = mpsc::channel();
    let server = Server::new("steps", "1")
        .tool("steps", "Show", |Steps { steps }: Steps, call| {
            steps.into_iter().for_each(|step| call.progress(step, Some(9.0), Some("on it")));
            "done"
        })
        .tool("big", "Be big", |Big { bytes }: Big, _| "x".repeat(bytes))
        .tool("log", "Log", |(), call| {
            call.log(Level::Error, "x");
            "logged"
        })
        .tool("ask", "Ask", |(), call| -> mcp_rill::Result<_> {
            let (name, roots) = (call.elicit::<Name>("name", "Who?"), call.roots("roots"));
            name?;
            roots?;
            Ok("asked")
        })
        .tool("work", "Work", move |(), call| call.defer(|reply| jobs.send(reply)));
    (server, queue)
}

fn steps(id: u32, steps: &str, token: &str) -> String {
    let arguments = format!(r#"{{"steps":{steps}}}"#);
    let meta = format!(r#"{{"progressToken":{token}}}"#);
    request(id, "tools/call", &format!(r#"{{"name":"steps","arguments":{arguments},"_meta":{meta}}}"#))
}

#[test]
fn progress_is_said_before_the_result_and_only_grows() {
    let mut world = World::new(server().0);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for token in ["7", "\"a\\\"b\"", "-1", "\"\""] {
        let heard = client.say(&mut world, &steps(1, "[1, 3, 2, 3, 3.5]", token));
        let (result, progress) = heard.split_last().unwrap();
        assert_eq!(text(result), "done");
        let token: Value = serde_json::from_str(token).unwrap();
        let all: Vec<_> = progress.iter().map(|frame| &frame["params"]).collect();
        let expected =
            |done: Value| json!({ "progressToken": token, "progress": done, "total": 9, "message": "on it" });
        assert_eq!(all, [&expected(json!(1)), &expected(json!(3)), &expected(json!(3.5))]);
    }
    for no_token in ["null", "1.5", "[]", "{}", "true"] {
        assert_eq!(text(&client.ask(&mut world, &steps(1, "[1, 2]", no_token))), "done");
    }
    assert_eq!(text(&client.ask(&mut world, &call(1, "steps", r#"{"steps":[1]}"#))), "done");
}

#[test]
fn progress_of_2024_11_05_has_no_message() {
    let mut world = World::new(server().0);
    let client = Client::new(&mut world, "2024-11-05", "{}");
    let heard = client.say(&mut world, &steps(1, "[1]", "1"));
    assert_eq!(heard[0]["params"], json!({ "progressToken": 1, "progress": 1, "total": 9 }));
}

/// A stream that takes nothing any more and has more than half of its output full.
fn slow() -> (World, Client, mpsc::Receiver<Reply>) {
    let limits = Limits {
        output_bytes_max: 64 << 10,
        message_bytes_max: 32 << 10,
        page_bytes_max: 8 << 10,
        ..Limits::DEFAULT
    };
    let (server, queue) = server();
    let mut world = World::new(server.limits(limits));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let meta = r#"{"name":"work","_meta":{"progressToken":1}}"#;
    client.tell(&mut world, &request(1, "tools/call", meta));
    client.tell(&mut world, &request(2, "tools/call", &meta.replace(":1", ":2")));
    world.reads_only(client.stream.sock, 0);
    for id in [3, 4] {
        assert_eq!(client.post(&mut world, &call(id, "big", r#"{"bytes":20000}"#)).status, 202);
    }
    assert_eq!(client.post(&mut world, &ping(5)).status, 503);
    (world, client, queue)
}

#[test]
fn a_slow_stream_gets_the_latest_progress_only() {
    let (mut world, client, queue) = slow();
    let (first, second) = (queue.recv().unwrap(), queue.recv().unwrap());
    for done in 1..=5 {
        first.progress(f64::from(done), None, None);
        second.progress(f64::from(10 * done), None, None);
        world.advance(Duration::from_millis(1));
    }
    // What is said of the second one would come after its result.
    second.finish("done");
    world.advance(Duration::from_millis(1));
    world.reads_all(client.stream.sock);
    let heard = client.hear(&mut world);
    let kinds: Vec<_> = heard.iter().map(|frame| (&frame["id"], &frame["params"]["progress"])).collect();
    let null = &Value::Null;
    // The refusal of the ping is told on the stream.
    let heard =
        [(&json!(3), null), (&json!(4), null), (&json!(5), null), (&json!(2), null), (null, &json!(5))];
    assert_eq!(kinds, heard);
    first.progress(6.0, None, None);
    world.advance(Duration::from_millis(1));
    assert_eq!(one(client.hear(&mut world))["params"]["progress"], 6);
    world.quiesce();
}

#[test]
fn a_slow_stream_gets_no_logs_and_they_are_counted() {
    let (mut world, client, queue) = slow();
    let (first, _second) = (queue.recv().unwrap(), queue.recv().unwrap());
    first.log(Level::Emergency, "unheard");
    first.log(Level::Debug, "unwanted anyway");
    world.engine.handle().log(Level::Emergency, "unheard");
    world.advance(Duration::from_millis(1));
    assert_eq!(world.stats().logs_dropped, 2);
    world.reads_all(client.stream.sock);
    // The refusal of the ping is told on the stream.
    assert_eq!(client.hear(&mut world).len(), 3);
    first.log(Level::Emergency, "heard");
    world.advance(Duration::from_millis(1));
    assert_eq!(one(client.hear(&mut world))["params"]["data"], "heard");
}

#[test]
fn what_is_held_for_a_slow_stream_is_counted_and_freed_with_it() {
    let (mut world, client, queue) = slow();
    let (first, _second) = (queue.recv().unwrap(), queue.recv().unwrap());
    let before = world.stats().buffered_bytes;
    first.progress(1.0, None, Some(&"x".repeat(1000)));
    world.advance(Duration::from_millis(1));
    assert!(world.stats().buffered_bytes >= before + 1000);
    first.progress(2.0, None, None);
    world.advance(Duration::from_millis(1));
    let held = world.stats().buffered_bytes;
    assert!((before + 1..before + 1000).contains(&held), "{before} {held}");
    world.reset(client.stream.sock);
    world.quiesce();
}

#[test]
fn a_cancelled_question_is_taken_back_from_the_client() {
    let mut world = World::new(server().0);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let [name, roots] = client.say(&mut world, &call("\"x\"", "ask", "{}")).try_into().unwrap();
    assert!(client.answer(&mut world, &roots, r#"{"roots":[]}"#).is_empty());
    let cancelled = one(client.cancel(&mut world, "\"x\""));
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], name["id"], "the other one was answered");
    assert!(client.answer(&mut world, &name, r#"{"action":"decline"}"#).is_empty());
    assert_eq!((world.stats().stray_answers, world.stats().calls), (1, 0));
    world.quiesce();
}

#[test]
fn cancelling_what_is_unknown_or_finished_does_nothing() {
    let (server, queue) = server();
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let other = Client::new(&mut world, "2025-11-25", ALL);
    client.ask(&mut world, &ping(1));
    client.tell(&mut world, &call(2, "work", "{}"));
    // Finished, unknown, of the other type, no id at all; and 0 was `initialize`, which is never cancelled.
    for id in ["1", "99", "\"2\"", "2.0", "null", "{}", "0"] {
        assert!(client.cancel(&mut world, id).is_empty(), "{id}");
    }
    assert!(other.cancel(&mut world, "2").is_empty(), "of another session");
    client.tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#);
    client.tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#);
    let reply = queue.recv().unwrap();
    assert!(!reply.is_cancelled());
    reply.finish("still here");
    world.advance(Duration::from_millis(1));
    assert_eq!(text(&one(client.hear(&mut world))), "still here");
    assert_eq!(client.ask(&mut world, &ping(3))["id"], 3);
}

#[test]
fn a_call_may_be_cancelled_in_the_same_read_that_brings_it() {
    let (server, queue) = server();
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let sock = world.connect();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let post = |body: &str| crate::common::http::post(&client.stream.endpoint, body);
    world.send(sock, post(&call(1, "work", "{}")) + &post(cancel) + &post(&ping(1)));
    assert_eq!(world.responses(sock).iter().map(|response| response.status).collect::<Vec<_>>(), [202; 3]);
    assert_eq!(one(client.hear(&mut world))["id"], 1, "the id is free again");
    assert!(queue.recv().unwrap().is_cancelled());
}

#[test]
fn ten_thousand_cancelled_or_abandoned_calls_leave_nothing() {
    let (server, queue) = server();
    let mut world = World::new(server);
    let pad = "y".repeat(200);
    let (mut highest, mut opened) = ([0; 2], 0);
    for round in 0..200 {
        let client = Client::new(&mut world, "2025-11-25", ALL);
        for n in 0..25 {
            let id = format!("\"{pad}{n}\"");
            let tool = ["ask", "work"][n % 2];
            client.say(&mut world, &call(&id, tool, "{}"));
            client.say(&mut world, &call(format!("\"q{n}\""), ["work", "ask"][n % 2], "{}"));
            opened += 2;
            if n % 3 != 0 {
                client.cancel(&mut world, &id);
                client.cancel(&mut world, &format!("\"q{n}\""));
            }
        }
        let stats = world.stats();
        assert_eq!(stats.calls, 18);
        highest[usize::from(round > 100)] = highest[usize::from(round > 100)].max(stats.buffered_bytes);
        world.reset(client.stream.sock);
        assert_eq!((world.stats().calls, world.stats().sessions), (0, 0));
        while let Ok(reply) = queue.try_recv() {
            assert!(reply.is_cancelled());
        }
        world.advance(Duration::from_millis(1));
        assert_eq!(world.stats().buffered_bytes, 0);
    }
    assert_eq!(opened, 10_000);
    assert_eq!(highest[0], highest[1], "the second half took no more than the first");
    assert_eq!(world.deadline().map(|due| due > world.now.mono), Some(true), "nothing is due");
    world.quiesce();
}

/// A budget that four large calls fill.
fn quarter_of_a_mebibyte() -> Limits {
    Limits {
        buffered_bytes_max: 256 << 10,
        body_bytes_max: 64 << 10,
        message_bytes_max: 64 << 10,
        output_bytes_max: 128 << 10,
        page_bytes_max: 32 << 10,
        ..Limits::DEFAULT
    }
}

#[test]
fn the_session_that_holds_the_budget_with_open_calls_is_ended() {
    let (server, queue) = server();
    let limits = Limits { keep_alive: Duration::from_secs(3600), ..quarter_of_a_mebibyte() };
    let mut world = World::new(server.limits(limits));
    let [greedy, modest] = [(); 2].map(|()| Client::new(&mut world, "2025-11-25", ALL));
    let work = |id, bytes| {
        let padding = "x".repeat(bytes);
        request(id, "tools/call", &format!(r#"{{"name":"work","_meta":{{"x":"{padding}"}}}}"#))
    };
    for id in 1..=4 {
        greedy.tell(&mut world, &work(id, 60_000));
    }
    // The last one fits while it is a message, and no more once it is kept with its headers.
    let room = world.engine.limits().buffered_bytes_max - world.stats().buffered_bytes;
    assert_eq!(greedy.post(&mut world, &work(5, room - work(5, 0).len())).status, 202);
    // The others lose nothing, not even an answer.
    for id in 10..15 {
        assert_eq!(modest.ask(&mut world, &ping(id))["id"], id);
    }
    assert!(world.ended(greedy.stream.sock) && !world.ended(modest.stream.sock));
    let stats = world.stats();
    assert_eq!((stats.sessions, stats.sessions_shed, stats.slow_readers, stats.calls), (1, 1, 0, 0));
    assert!(queue.try_iter().all(|reply| reply.is_cancelled()));
    world.quiesce();
}

/// What fills the budget just so far that nobody is over it must not keep others out, for minutes in the case of kept calls.
#[test]
fn what_is_kept_for_calls_gives_way_to_a_body_where_it_is_most() {
    let limits = quarter_of_a_mebibyte();
    for is_most in [false, true] {
        let mut world = World::new(server().0.limits(limits.clone()));
        let [greedy, modest] = [(); 2].map(|()| Client::new(&mut world, "2025-11-25", ALL));
        let max = world.engine.limits().buffered_bytes_max;
        let mut id = 0;
        let mut work = |world: &mut World, bytes| {
            id += 1;
            let padding = "x".repeat(bytes);
            let params = format!(r#"{{"name":"work","_meta":{{"x":"{padding}"}}}}"#);
            greedy.tell(world, &request(100 + id, "tools/call", &params));
            world.stats().buffered_bytes
        };
        let (first, second) = (work(&mut world, 50_000), work(&mut world, 50_000));
        let wanted = if is_most { max / 2 } else { max * 45 / 100 };
        let kept = work(&mut world, wanted - second - (first - 50_000));
        assert_eq!(kept, wanted);
        // Three bodies that are never whole take the rest, but for what a refusal needs.
        let halves: Vec<_> = (0..3)
            .map(|left| {
                let sock = world.connect();
                let share = (max - world.stats().buffered_bytes - 2000) / (3 - left);
                let length = share + 1 - post_head(&modest.stream.endpoint, 30_000).len();
                world.send(sock, post_head(&modest.stream.endpoint, length) + &"x".repeat(length - 1));
                sock
            })
            .collect();
        assert!(world.stats().buffered_bytes > max - 2100 && world.stats().sessions_shed == 0);
        let response = modest.post(&mut world, &(ping(1) + &" ".repeat(3000)));
        assert_eq!(response.status, 202, "{}", response.text());
        assert_eq!(world.ended(greedy.stream.sock), is_most);
        assert_eq!(world.stats().sessions_shed, u64::from(is_most));
        assert_eq!(halves.iter().filter(|sock| world.ended(**sock)).count(), usize::from(!is_most));
        assert!(!world.ended(modest.stream.sock));
        world.quiesce();
    }
}
