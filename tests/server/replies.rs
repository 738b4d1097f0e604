//! Calls that a handler gives away: deferred results, from whatever thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use mcp_rill::{Elicited, Level, Limits, Reply, Server, Tool, schema};
use serde_json::json;

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, error_text, one, text};
use crate::ways::{self, Visitor, ways};

schema! { struct Name { name: String } }

/// A server whose calls of `work` end up in a queue.
fn server(tool: Tool) -> (Server, Receiver<Reply>) {
    let (jobs, queue) = mpsc::channel();
    let server =
        Server::new("slow", "1").offer(tool.handler(move |(), call| call.defer(|reply| jobs.send(reply))));
    (server, queue)
}

fn work() -> Tool {
    Tool::new("work", "Work")
}

fn with_token(id: u32, tool: &str, token: &str) -> String {
    request(id, "tools/call", &format!(r#"{{"name":"{tool}","_meta":{{"progressToken":{token}}}}}"#))
}

#[test]
fn another_thread_reports_logs_and_finishes() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &with_token(1, "work", "\"t\""));
    let reply = queue.recv().unwrap();
    let worker = thread::spawn(move || {
        reply.progress(1.0, Some(2.0), Some("half"));
        reply.log_as(Level::Error, "disk", json!({ "free": 0 }));
        reply.log(Level::Debug, "unheard");
        assert!(!reply.is_cancelled());
        reply.finish(vec![mcp_rill::Content::text("done")]);
    });
    let [progress, log, result] = pool.heard(&mut world, &client, 3).try_into().unwrap();
    let params = json!({ "progressToken": "t", "progress": 1, "total": 2, "message": "half" });
    assert_eq!((&progress["method"], &progress["params"]), (&json!("notifications/progress"), &params));
    let params = json!({ "level": "error", "logger": "disk", "data": { "free": 0 } });
    assert_eq!((&log["method"], &log["params"]), (&json!("notifications/message"), &params));
    assert_eq!((text(&result), &result["id"]), ("done", &json!(1)));
    worker.join().unwrap();
    world.quiesce();
}

#[test]
fn a_reply_that_is_dropped_answers_with_an_error() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    thread::spawn(move || drop(queue.recv().unwrap())).join().unwrap();
    let reply = one(pool.heard(&mut world, &client, 1));
    assert!(error_text(&reply).contains("gave up"), "{reply}");
    // With nobody left to take replies, the hand-over itself drops them.
    client.tell(&mut world, &call(2, "work", "{}"));
    assert!(error_text(&one(pool.heard(&mut world, &client, 1))).contains("gave up"));
    assert_eq!((world.stats().calls, world.stats().late), (0, 0));
}

/// Limits with room for two long results that wait for the loop.
fn tight() -> Limits {
    Limits {
        buffered_bytes_max: 512 << 10,
        body_bytes_max: 64 << 10,
        page_bytes_max: 4 << 10,
        message_bytes_max: 60 << 10,
        output_bytes_max: 128 << 10,
        ..Limits::DEFAULT
    }
}

/// The loop takes results one after the other. Those that wait for it count, and have a bound.
#[test]
fn results_of_other_threads_that_wait_for_the_loop_are_counted() {
    let kib = |count: usize| "x".repeat(count << 10);
    let (server, queue) = server(work());
    let mut world = World::new(server.limits(tight()));
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let replies = |world: &mut World, count: usize| -> Vec<Reply> {
        (0..count).for_each(|id| client.tell(world, &call(id, "work", "{}")));
        queue.try_iter().collect()
    };
    // Two of 50 KiB have room, one more has not; a short one always has.
    let mut three = replies(&mut world, 4);
    let short = three.pop().unwrap();
    three.into_iter().for_each(|reply| reply.finish(kib(50)));
    short.finish("short");
    let heard = pool.heard(&mut world, &client, 4);
    let (busy, results): (Vec<_>, Vec<_>) = heard.iter().partition(|reply| reply["result"].is_null());
    assert_eq!((results.len(), busy.len()), (3, 1));
    assert_eq!((&busy[0]["id"], &busy[0]["error"]["code"]), (&json!(2), &json!(-32000)));
    assert!(busy[0]["error"]["message"].as_str().unwrap().contains("buffered_bytes_max"), "{busy:?}");
    // What a call that is cancelled has left is dropped with it.
    let late = world.stats().late;
    replies(&mut world, 1).into_iter().for_each(|reply| reply.finish(kib(50)));
    client
        .tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#);
    assert_eq!((world.stats().late - late, world.stats().calls), (1, 0));
    world.quiesce();
}

#[test]
fn a_worker_thread_waits_until_there_is_room_for_its_result() {
    let (done, all_done) = mpsc::channel();
    let server = Server::new("slow", "1").limits(tight()).blocking_tool("work", "Work", move |(), _| {
        done.send(()).unwrap();
        "x".repeat(50 << 10)
    });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    (0..4).for_each(|id| client.tell(&mut world, &call(id, "work", "{}")));
    pool.turn(&mut world);
    (0..4).for_each(|_| all_done.recv().unwrap());
    // Two have room beside each other.
    let heard = pool.heard(&mut world, &client, 4);
    assert!(heard.iter().all(|reply| text(reply).len() == 50 << 10), "{heard:?}");
    world.quiesce();
}

#[test]
fn a_deferred_call_times_out_with_nothing_else_going_on() {
    for (tool, seconds) in [(work().timeout(Duration::from_secs(5)), 5), (work(), 60)] {
        let (server, queue) = server(tool);
        let mut world = World::new(server);
        let client = Client::new(&mut world, "2025-11-25", ALL);
        client.tell(&mut world, &call(1, "work", "{}"));
        let reply = queue.recv().unwrap();
        world.advance(Duration::from_millis(seconds * 1000 - 1));
        assert!(client.hear(&mut world).is_empty() && !reply.is_cancelled());
        world.advance(Duration::from_millis(1));
        let result = one(client.hear(&mut world));
        assert!(error_text(&result).contains(&format!("within {seconds} s")), "{result}");
        assert!(reply.is_cancelled());
        reply.progress(1.0, None, None);
        reply.log(Level::Error, "too late");
        reply.finish("too late");
        world.advance(Duration::from_millis(1));
        assert!(client.hear(&mut world).is_empty());
        assert_eq!((world.stats().late, world.stats().calls), (1, 0));
        world.quiesce();
    }
}

#[test]
fn a_cancelled_call_is_not_answered_and_its_reply_shows_that() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call("\"a\"", "work", "{}"));
    let reply = queue.recv().unwrap();
    assert!(client.cancel(&mut world, "\"a\"").is_empty());
    assert!(reply.is_cancelled());
    assert_eq!(world.stats().calls, 0);
    // Its deadline comes and goes without a word, and without keeping the loop awake.
    world.advance(Duration::from_secs(61));
    assert!(client.hear(&mut world).is_empty());
    reply.finish("too late");
    world.advance(Duration::from_millis(1));
    assert_eq!((client.hear(&mut world).len(), world.stats().late), (0, 1));
    world.quiesce();
}

#[test]
fn the_end_of_the_stream_cancels_and_a_late_reply_is_dropped() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let gone = Client::new(&mut world, "2025-11-25", ALL);
    let stays = Client::new(&mut world, "2025-11-25", ALL);
    gone.tell(&mut world, &call(1, "work", "{}"));
    stays.tell(&mut world, &call(1, "work", "{}"));
    let (lost, kept) = (queue.recv().unwrap(), queue.recv().unwrap());
    world.reset(gone.stream.sock);
    assert!(lost.is_cancelled() && !kept.is_cancelled());
    assert_eq!((world.stats().calls, world.stats().sessions), (1, 1));
    drop(lost);
    kept.finish("here");
    world.advance(Duration::from_millis(1));
    assert_eq!(text(&one(stays.hear(&mut world))), "here");
    assert_eq!(world.stats().late, 1);
    world.quiesce();
}

#[test]
fn threads_that_work_for_a_server_see_its_end() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let reply = queue.recv().unwrap();
    drop(world);
    assert!(reply.is_cancelled());
    reply.finish("nobody listens");
}

/// Counts how often the closures are called that it makes.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn act(&self) -> impl FnOnce() + Send + 'static {
        let count = self.0.clone();
        move || {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_reply_calls_once_when_its_call_is_cancelled() {
    for way in ways() {
        for end in ["cancelled", "too late", "client gone", "shutdown", "server gone"] {
            let (server, queue) = server(work().timeout(Duration::from_secs(5)));
            let mut world = ways::world(way, server);
            let mut visitor = Visitor::new(&mut world, way, "ada");
            visitor.ask(&mut world, "tools/call", json!({ "name": "work" }));
            let (reply, counter) = (queue.recv().unwrap(), Counter::default());
            reply.on_cancel(counter.act());
            reply.on_cancel(|| panic!("on purpose"));
            reply.on_cancel(counter.act());
            let abandoned = Counter::default();
            reply.on_abandon(abandoned.act());
            world.advance(Duration::from_secs(4));
            assert_eq!((counter.count(), reply.is_cancelled()), (0, false), "{way:?} {end}");
            assert_eq!((abandoned.count(), reply.is_abandoned()), (0, false), "{way:?} {end}");
            let mut world = Some(world);
            match (end, world.as_mut().unwrap()) {
                ("cancelled", world) => visitor.cancel(world, "tools/call"),
                ("too late", world) => world.advance(Duration::from_secs(1)),
                ("client gone", world) => visitor.leave(world),
                ("shutdown", world) => world.shutdown(Duration::from_secs(10)),
                _ => drop(world.take()),
            }
            assert_eq!((counter.count(), reply.is_cancelled()), (2, true), "{way:?} {end}");
            reply.on_cancel(counter.act());
            assert_eq!(counter.count(), 3, "{way:?} {end}: it has happened already");
            // A server that shuts down waits for the result, but not for ever.
            if let ("shutdown", Some(world)) = (end, &mut world) {
                assert_eq!((abandoned.count(), reply.is_abandoned()), (0, false), "{way:?}");
                world.advance(Duration::from_secs(10));
            }
            assert_eq!((abandoned.count(), reply.is_abandoned()), (1, true), "{way:?} {end}");
            reply.on_abandon(abandoned.act());
            assert_eq!(abandoned.count(), 2, "{way:?} {end}: it has happened already");
            drop(reply);
            if let Some(world) = &mut world {
                world.advance(Duration::from_secs(60));
                world.quiesce();
            }
            assert_eq!(counter.count(), 3, "{way:?} {end}");
        }
    }
}

#[test]
fn a_deferred_call_has_the_time_of_its_tool_by_every_way() {
    for way in ways() {
        let (server, queue) = server(work().timeout(Duration::from_secs(5)));
        let mut world = ways::world(way, server);
        let mut visitor = Visitor::new(&mut world, way, "ada");
        visitor.ask(&mut world, "tools/call", json!({ "name": "work" }));
        let reply = queue.recv().unwrap();
        world.advance(Duration::from_millis(4999));
        assert!(!visitor.listen(&mut world).contains("\"result\""), "{way:?}");
        world.advance(Duration::from_millis(1));
        let heard = visitor.listen(&mut world);
        assert!(
            heard.contains("the tool `work` did not finish within 5 s (its timeout)"),
            "{way:?}: {heard}"
        );
        assert!(heard.contains("\"isError\":true") && reply.is_cancelled(), "{way:?}: {heard}");
        drop(reply);
        world.quiesce();
    }
}

#[test]
fn a_shutdown_waits_for_a_deferred_call_by_every_way() {
    for way in ways() {
        let (server, queue) = server(work());
        let mut world = ways::world(way, server);
        let mut visitor = Visitor::new(&mut world, way, "ada");
        visitor.ask(&mut world, "tools/call", json!({ "name": "work" }));
        let reply = queue.recv().unwrap();
        world.shutdown(Duration::from_secs(10));
        world.advance(Duration::from_secs(9));
        assert!(!world.engine.is_finished(), "{way:?}");
        reply.finish("in time");
        world.advance(Duration::from_millis(1));
        assert!(visitor.listen(&mut world).contains("in time"), "{way:?}");
        visitor.socks.into_iter().for_each(|sock| {
            if !world.closed(sock) {
                world.reset(sock);
            }
        });
        assert!(world.engine.is_finished(), "{way:?}: before the grace is over");
    }
}

#[test]
fn a_reply_that_is_over_calls_nothing() {
    for finish in [true, false] {
        let (server, queue) = server(work());
        let mut world = World::new(server);
        let client = Client::new(&mut world, "2025-11-25", ALL);
        client.tell(&mut world, &call(1, "work", "{}"));
        let (reply, counter) = (queue.recv().unwrap(), Counter::default());
        reply.on_cancel(counter.act());
        if finish {
            reply.finish("done")
        } else {
            drop(reply)
        }
        assert_eq!(Arc::strong_count(&counter.0), 1, "it is dropped with the reply");
        // The loop has not seen the end yet.
        client.cancel(&mut world, "1");
        world.shutdown(Duration::ZERO);
        assert_eq!(counter.count(), 0);
    }
}

#[test]
fn an_earlier_reply_that_is_over_leaves_the_calls_of_a_later_one() {
    let (jobs, queue) = mpsc::channel();
    let server =
        Server::new("twice", "1").tool("ask", "Defer, then ask", move |(), call| -> mcp_rill::Result<_> {
            let deferred = call.defer(|reply: Reply| jobs.send(reply));
            call.elicit::<Name>("name", "Who?")?;
            Ok(deferred)
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(1, "ask", "{}"));
    let accept = r#"{"action":"accept","content":{"name":"Ada"}}"#;
    assert!(client.answer(&mut world, &question, accept).is_empty());
    let (first, second, counter) = (queue.recv().unwrap(), queue.recv().unwrap(), Counter::default());
    first.on_cancel(|| panic!("its run is over"));
    second.on_cancel(counter.act());
    drop(first);
    client.cancel(&mut world, "1");
    assert_eq!(counter.count(), 1);
}

#[test]
fn a_reply_announces_changes_before_its_result() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let reply = queue.recv().unwrap();
    reply.handle().tools_changed();
    reply.finish("done");
    world.advance(Duration::from_millis(1));
    let [announced, result] = client.hear(&mut world).try_into().unwrap();
    assert_eq!(announced["method"], "notifications/tools/list_changed");
    assert_eq!(text(&result), "done");
}

#[test]
fn a_reply_that_is_finished_while_it_is_handed_over_answers_in_the_next_turn() {
    let server = Server::new("eager", "1")
        .tool("work", "Work", |(), call| call.defer(|reply| reply.finish("at once")));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "at once");
}

#[test]
fn only_what_the_handler_returns_defers_and_only_its_last_run_answers() {
    let (jobs, queue) = mpsc::channel();
    let more = jobs.clone();
    let server = Server::new("confused", "1")
        .tool("both", "Answer twice", move |(), call| {
            call.defer(|reply| more.send(reply));
            "returned"
        })
        .tool("ask", "Defer, then ask", move |(), call| -> mcp_rill::Result<_> {
            let deferred = call.defer(|reply| jobs.send(reply));
            match call.elicit::<Name>("name", "Who?")? {
                Elicited::Accepted(_) => Ok(deferred),
                _ => Err("nobody".into()),
            }
        });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(text(&client.ask(&mut world, &call(1, "both", "{}"))), "returned");
    queue.recv().unwrap().finish("unheard");
    pool.turn(&mut world);
    assert_eq!((client.hear(&mut world).len(), world.stats().late), (0, 1));
    // The first run's reply answers neither while the question is open nor afterwards.
    for answered_first in [false, true] {
        let late = world.stats().late;
        let question = client.ask(&mut world, &call(2, "ask", "{}"));
        let first = queue.recv().unwrap();
        let accept = r#"{"action":"accept","content":{"name":"Ada"}}"#;
        if answered_first {
            assert!(client.answer(&mut world, &question, accept).is_empty());
            first.finish("first");
            pool.turn(&mut world);
        } else {
            first.finish("first");
            pool.turn(&mut world);
            assert!(client.answer(&mut world, &question, accept).is_empty());
        }
        assert_eq!((client.hear(&mut world).len(), world.stats().late), (0, late + 1));
        queue.recv().unwrap().finish("second");
        assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "second");
    }
    world.quiesce();
}

#[test]
fn progress_that_does_not_grow_replaces_nothing() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &with_token(1, "work", "7"));
    let reply = queue.recv().unwrap();
    let heard = |world: &mut World| -> Vec<f64> {
        world.advance(Duration::from_millis(1));
        client.hear(world).iter().map(|frame| frame["params"]["progress"].as_f64().unwrap()).collect()
    };
    for done in [5.0, 3.0, f64::NAN, f64::INFINITY] {
        reply.progress(done, None, None);
    }
    assert_eq!(heard(&mut world), [5.0]);
    for done in [5.0, 4.0, f64::NAN] {
        reply.progress(done, None, None);
    }
    assert_eq!(heard(&mut world), [] as [f64; 0]);
    (6..100).for_each(|done| reply.progress(f64::from(done), None, None));
    assert_eq!(heard(&mut world), [99.0], "of one turn the latest");
    // Nobody asked for it.
    client.tell(&mut world, &call(2, "work", "{}"));
    let unasked = queue.recv().unwrap();
    unasked.progress(1.0, None, None);
    assert_eq!(heard(&mut world), [] as [f64; 0]);
    drop((reply, unasked));
}

#[test]
fn logs_that_the_loop_cannot_keep_up_with_are_dropped_and_counted() {
    let (server, queue) = server(work());
    let mut world = World::new(server.limits(Limits { mailbox_max: 10, ..Limits::DEFAULT }));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    let reply = queue.recv().unwrap();
    (0..11).for_each(|n| reply.log(Level::Error, n));
    reply.finish("done");
    world.advance(Duration::from_millis(1));
    let heard = client.hear(&mut world);
    let logged: Vec<_> = heard.iter().filter_map(|frame| frame["params"]["data"].as_i64()).collect();
    assert_eq!(logged, (0..10).collect::<Vec<_>>());
    assert_eq!(text(heard.last().unwrap()), "done", "a result always has its place");
    assert_eq!(world.stats().logs_dropped, 1);
}

#[test]
fn a_shutdown_waits_for_open_calls_and_ends_the_stream_with_the_last_one() {
    let (server, queue) = server(work());
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    client.tell(&mut world, &call(2, "work", "{}"));
    let (first, second) = (queue.recv().unwrap(), queue.recv().unwrap());
    world.shutdown(Duration::from_secs(10));
    first.finish("one");
    world.advance(Duration::from_secs(1));
    assert!(!world.ended(client.stream.sock));
    second.finish("two");
    world.advance(Duration::from_secs(1));
    assert_eq!(client.hear(&mut world).len(), 2);
    assert!(world.ended(client.stream.sock));
}
