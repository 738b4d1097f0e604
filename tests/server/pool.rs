//! Blocking tools on worker threads: real threads, virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use mcp_rill::{Elicited, Limits, Server, Tool, schema};
use serde_json::json;

use crate::common::http::{call, ping, request};
use crate::common::questions::{ALL, Client, Pool, error_text, eventually, one, text};
use crate::common::{Seen, World};

schema! { #[derive(Debug)] struct Name { name: String } }

/// Where handlers wait until the test lets them go.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    inside: AtomicUsize,
}

impl Gate {
    fn wait(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.changed.notify_all();
    }

    fn until(&self, count: usize) {
        eventually("so many handlers wait", || self.inside.load(Ordering::SeqCst) == count);
    }
}

/// A server with a tool that waits at the gate.
fn server(limits: Limits) -> (Server, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let at = gate.clone();
    let wait = Tool::new("wait", "Wait").timeout(Duration::from_secs(30));
    let server = Server::new("pool", "1")
        .limits(limits)
        .offer(wait.blocking_handler(move |(), _| {
            at.wait();
            "waited"
        }))
        .blocking_tool("quick", "Be quick", |(), _| "quick")
        .blocking_tool("panic", "Panic", |(), _| -> String { panic!("a bug in a handler") })
        .tool("inline", "Answer", |(), _| "inline");
    (server, gate)
}

fn workers(workers: usize, worker_queue_max: usize, workers_stuck_max: usize) -> Limits {
    Limits { workers, worker_queue_max, workers_stuck_max, ..Limits::DEFAULT }
}

#[test]
fn sessions_take_turns_for_workers() {
    let (server, gate) = server(workers(1, 100, 0));
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let ran = order.clone();
    let server = server.blocking_tool("note", "Note who runs", move |Name { name }: Name, _| {
        ran.lock().unwrap().push(name);
        "noted"
    });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let [greedy, modest] = [(); 2].map(|()| Client::new(&mut world, "2025-11-25", ALL));
    greedy.tell(&mut world, &call(1, "wait", "{}"));
    pool.turn(&mut world);
    gate.until(1);
    for id in 2..=5 {
        greedy.tell(&mut world, &call(id, "note", r#"{"name":"greedy"}"#));
    }
    for id in 1..=2 {
        modest.tell(&mut world, &call(id, "note", r#"{"name":"modest"}"#));
    }
    gate.set(true);
    pool.heard(&mut world, &greedy, 5);
    assert_eq!(*order.lock().unwrap(), ["greedy", "modest", "greedy", "modest", "greedy", "greedy"]);
    world.quiesce();
}

#[test]
fn the_newest_call_of_the_session_with_most_gives_up_its_place_in_the_queue() {
    let (server, gate) = server(workers(1, 3, 0));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let [greedy, modest] = [(); 2].map(|()| Client::new(&mut world, "2025-11-25", ALL));
    for id in 1..=4 {
        greedy.tell(&mut world, &call(id, "wait", "{}"));
        pool.turn(&mut world);
    }
    gate.until(1);
    assert!(greedy.hear(&mut world).is_empty(), "one runs, and three wait");
    let is_told = |replies: &[serde_json::Value], id: usize| {
        let [reply] = replies else { panic!("{replies:?}") };
        let message = reply["error"]["message"].as_str().unwrap();
        reply["id"] == id && message.contains("worker_queue_max")
    };
    modest.tell(&mut world, &call(1, "quick", "{}"));
    world.tick();
    assert!(is_told(&greedy.hear(&mut world), 4) && modest.hear(&mut world).is_empty());
    // With another one it would have as many as the other session.
    let told = modest.say(&mut world, &call(2, "quick", "{}"));
    assert!(is_told(&told, 2) && greedy.hear(&mut world).is_empty());
    gate.set(true);
    drop(pool);
    world.quiesce();
}

#[test]
fn while_all_workers_sleep_the_loop_serves() {
    let (server, gate) = server(workers(2, 10, 0));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let clients: Vec<Client> = (0..3).map(|_| Client::new(&mut world, "2025-11-25", ALL)).collect();
    clients.iter().for_each(|client| client.tell(&mut world, &call(1, "wait", "{}")));
    assert_eq!(pool.turn(&mut world), 2, "no more threads than workers");
    gate.until(2);
    for client in &clients {
        assert_eq!(client.ask(&mut world, &ping(2))["id"], 2);
        assert_eq!(text(&client.ask(&mut world, &call(3, "inline", "{}"))), "inline");
    }
    gate.set(true);
    for client in &clients {
        assert_eq!(text(&one(pool.heard(&mut world, client, 1))), "waited");
    }
    world.quiesce();
}

#[test]
fn a_thread_is_made_for_a_job_and_works_again() {
    let (server, _) = server(workers(4, 10, 0));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(pool.turn(&mut world), 0, "none before a blocking tool is called");
    client.tell(&mut world, &call(1, "quick", "{}"));
    assert_eq!(pool.turn(&mut world), 1, "one job wants one thread");
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "quick");
}

#[test]
fn jobs_that_no_thread_is_free_for_wait_up_to_a_limit() {
    for queue_max in [0, 1, 3] {
        let (server, gate) = server(workers(2, queue_max, 0));
        let mut world = World::new(server);
        let pool = Pool::new(&mut world);
        let client = Client::new(&mut world, "2025-11-25", ALL);
        // Before any thread was made, which must not matter.
        (0..2 + queue_max).for_each(|id| client.tell(&mut world, &call(id, "wait", "{}")));
        let busy = client.ask(&mut world, &call(99, "wait", "{}"));
        assert_eq!(busy["error"]["code"], -32000, "{busy}");
        assert!(busy["error"]["message"].as_str().unwrap().contains("worker_queue_max"), "{busy}");
        assert_eq!((world.stats().busy, world.stats().calls), (1, 2 + queue_max));
        pool.turn(&mut world);
        gate.until(2);
        assert_eq!(client.ask(&mut world, &call(99, "wait", "{}"))["error"]["code"], -32000);
        gate.set(true);
        for result in pool.heard(&mut world, &client, 2 + queue_max) {
            assert_eq!(text(&result), "waited");
        }
        client.tell(&mut world, &call(100, "quick", "{}"));
        assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "quick");
    }
}

#[test]
fn a_handler_that_panics_is_an_error_and_its_thread_goes_on() {
    let (server, _) = server(workers(1, 10, 0));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "panic", "{}"));
    client.tell(&mut world, &call(2, "quick", "{}"));
    assert_eq!(pool.turn(&mut world), 1);
    let mut heard = pool.heard(&mut world, &client, 2);
    heard.sort_by_key(|reply| reply["id"].as_i64());
    assert_eq!(heard[0]["error"]["code"], -32603);
    assert!(heard[0]["error"]["message"].as_str().unwrap().contains("tool `panic` panicked"));
    assert_eq!(text(&heard[1]), "quick");
    assert_eq!(pool.turn(&mut world), 0);
}

#[test]
fn a_call_that_takes_too_long_is_an_error_and_its_handler_can_see_it() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let spin = Tool::new("spin", "Spin").timeout(Duration::from_secs(5));
    let server = Server::new("slow", "1").offer(spin.blocking_handler(move |(), call| {
        assert_eq!(call.timeout(), Some(Duration::from_secs(5)));
        counted.store(1, Ordering::SeqCst);
        while !call.is_cancelled() {
            thread::yield_now();
        }
        counted.store(2, Ordering::SeqCst);
        "too late"
    }));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    world.advance(Duration::from_secs(2));
    client.tell(&mut world, &call(1, "spin", "{}"));
    pool.turn(&mut world);
    eventually("the handler runs", || seen.load(Ordering::SeqCst) == 1);
    world.advance(Duration::from_millis(4999));
    assert!(client.hear(&mut world).is_empty());
    assert_eq!(world.stats().workers_stuck, 0);
    world.advance(Duration::from_millis(1));
    let reply = one(client.hear(&mut world));
    assert!(error_text(&reply).contains("`spin` did not finish within 5 s"), "{reply}");
    pool.until(&mut world, |world| (world.stats().late == 1).then_some(()));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    eventually("its thread is free again", || world.stats().workers_stuck == 0);
    assert!(client.hear(&mut world).is_empty());
    world.quiesce();
}

#[test]
fn a_call_that_waits_for_a_thread_for_too_long_is_never_run() {
    let limits = Limits { worker_wait_timeout: Duration::from_secs(9), ..workers(1, 10, 0) };
    let (server, gate) = server(limits);
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "wait", "{}"));
    client.tell(&mut world, &call(2, "panic", "{}"));
    pool.turn(&mut world);
    gate.until(1);
    world.advance(Duration::from_millis(8999));
    assert!(client.hear(&mut world).is_empty());
    world.advance(Duration::from_millis(1));
    let error = one(client.hear(&mut world))["error"].take();
    let text_of_it = "busy: no worker thread was free for tool `panic` within 9 s (limit worker_wait_timeout); it was not run";
    assert_eq!((&error["code"], &error["message"]), (&json!(-32000), &json!(text_of_it)));
    gate.set(true);
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "waited");
    assert_eq!((world.stats().late, world.stats().workers_stuck, world.stats().busy), (0, 0, 1));
    world.quiesce();
}

#[test]
fn the_wait_for_a_thread_is_not_the_tools_time() {
    let gates = [Arc::new(Gate::default()), Arc::new(Gate::default())];
    let [first, second] = gates.clone();
    let short = Tool::new("second", "Wait").timeout(Duration::from_secs(5));
    let server = Server::new("pool", "1")
        .limits(workers(1, 10, 0))
        .blocking_tool("first", "Wait", move |(), _| first.wait())
        .offer(short.blocking_handler(move |(), call| {
            assert_eq!(call.timeout(), Some(Duration::from_secs(5)));
            second.wait();
        }));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for in_time in [true, false] {
        client.tell(&mut world, &call(1, "first", "{}"));
        client.tell(&mut world, &call(2, "second", "{}"));
        pool.turn(&mut world);
        gates[0].until(1);
        // Far longer than the second tool may take.
        world.advance(Duration::from_secs(50));
        gates[0].set(true);
        assert_eq!(one(pool.heard(&mut world, &client, 1))["id"], 1);
        gates[1].until(1);
        pool.turn(&mut world);
        world.advance(Duration::from_millis(4999));
        assert!(client.hear(&mut world).is_empty());
        if in_time {
            gates[1].set(true);
            assert_eq!(one(pool.heard(&mut world, &client, 1))["id"], 2);
            gates.iter().for_each(|gate| gate.set(false));
        } else {
            world.advance(Duration::from_millis(1));
            let reply = one(client.hear(&mut world));
            assert!(error_text(&reply).contains("tool `second` did not finish within 5 s"), "{reply}");
            gates[1].set(true);
        }
    }
    pool.until(&mut world, |world| (world.stats().late == 1).then_some(()));
    world.quiesce();
}

#[test]
fn a_shutdown_tells_handlers_to_stop_and_waits_for_them() {
    let gate = Arc::new(Gate::default());
    let at = gate.clone();
    let (replies, deferred) = std::sync::mpsc::channel::<mcp_rill::Reply>();
    let server = Server::new("pool", "1")
        .blocking_tool("long", "Work until told", move |(), call| {
            at.inside.fetch_add(1, Ordering::SeqCst);
            while !call.is_cancelled() {
                thread::yield_now();
            }
            at.wait();
            "stopped"
        })
        .tool("defer", "Defer", move |(), call| call.defer(|reply| replies.send(reply)));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "long", "{}"));
    client.tell(&mut world, &call(2, "defer", "{}"));
    pool.turn(&mut world);
    let reply = deferred.recv().unwrap();
    gate.until(1);
    assert!(!reply.is_cancelled());
    world.shutdown(Duration::from_secs(8));
    assert!(reply.is_cancelled());
    // The handler has seen it too. What it returns in time is sent.
    gate.until(2);
    reply.finish("in time");
    gate.set(true);
    let heard = pool.heard(&mut world, &client, 2);
    assert!(heard.iter().any(|reply| reply["id"] == 1 && text(reply) == "stopped"), "{heard:?}");
    assert!(heard.iter().any(|reply| reply["id"] == 2 && text(reply) == "in time"), "{heard:?}");
    assert!(world.ended(client.stream.sock));
    world.half_close(client.stream.sock);
    pool.until(&mut world, |world| world.engine.is_finished().then_some(()));
    assert_eq!(world.stats().workers_busy, 0);
}

#[test]
fn handlers_that_outlast_the_grace_are_counted_and_left() {
    for grace in [Duration::from_secs(8), Duration::ZERO] {
        let (server, gate) = server(workers(3, 10, 4));
        let mut world = World::new(server);
        let pool = Pool::new(&mut world);
        let client = Client::new(&mut world, "2025-11-25", ALL);
        (1..=2).for_each(|id| client.tell(&mut world, &call(id, "wait", "{}")));
        pool.turn(&mut world);
        gate.until(2);
        // With its stream the session and its calls are gone, and no connection is left: but the handlers run.
        world.reset(client.stream.sock);
        assert_eq!((world.stats().calls, world.stats().workers_busy), (0, 2));
        world.events();
        world.shutdown(grace);
        if !grace.is_zero() {
            assert!(!world.engine.is_finished());
            assert_eq!(world.deadline(), Some(grace), "a driver wakes up at the end of the grace");
            world.advance(grace - Duration::from_millis(1));
            assert!(!world.engine.is_finished() && world.events().is_empty());
        }
        world.advance(Duration::from_millis(1));
        assert!(world.engine.is_finished() && world.events().ends_with(&[Seen::WorkersLeft(2)]));
        assert_eq!(world.deadline(), None, "a loop that goes on must not spin");
        world.advance(Duration::from_secs(1));
        assert_eq!(world.events(), []);
        gate.set(true);
        eventually("they end all the same", || world.stats().workers_busy == 0);
    }
}

#[test]
fn a_persons_time_is_not_the_tools_time() {
    let gate = Arc::new(Gate::default());
    let at = gate.clone();
    let ask = Tool::new("ask", "Ask").timeout(Duration::from_secs(5));
    let server =
        Server::new("patient", "1").offer(ask.blocking_handler(move |(), call| -> mcp_rill::Result<_> {
            at.wait();
            Ok(match call.elicit::<Name>("name", "Who?")? {
                Elicited::Accepted(Name { name }) => {
                    assert_eq!(call.timeout(), Some(Duration::from_secs(3)));
                    name
                }
                _ => "nobody".to_owned(),
            })
        }));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for in_time in [true, false] {
        let start = world.now.mono;
        client.tell(&mut world, &call(1, "ask", "{}"));
        pool.turn(&mut world);
        gate.until(1);
        world.advance(Duration::from_secs(2));
        gate.set(true);
        let question = one(pool.heard(&mut world, &client, 1));
        gate.set(false);
        world.advance(Duration::from_secs(100));
        assert!(client.hear(&mut world).is_empty());
        let accept = r#"{"action":"accept","content":{"name":"Ada"}}"#;
        assert!(client.answer(&mut world, &question, accept).is_empty());
        pool.turn(&mut world);
        gate.until(1);
        // Three of its five seconds are left.
        world.advance(Duration::from_millis(2999));
        assert!(client.hear(&mut world).is_empty());
        if in_time {
            gate.set(true);
            assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "Ada");
            gate.set(false);
        } else {
            world.advance(Duration::from_millis(1));
            assert_eq!(world.now.mono - start, Duration::from_secs(105));
            assert!(error_text(&one(client.hear(&mut world))).contains("within 5 s"));
            gate.set(true);
        }
    }
}

#[test]
fn stuck_threads_are_replaced_up_to_a_limit_and_come_back() {
    let (server, gate) = server(workers(1, 10, 1));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for stuck in 1..=2 {
        client.tell(&mut world, &call(stuck, "wait", "{}"));
        assert_eq!(pool.turn(&mut world), 1, "a thread in the place of the stuck one");
        gate.until(stuck);
        world.advance(Duration::from_secs(30));
        assert!(error_text(&one(client.hear(&mut world))).contains("timeout"));
        assert_eq!(world.stats().workers_stuck, stuck);
    }
    let busy = client.ask(&mut world, &call(3, "quick", "{}"));
    assert_eq!(busy["error"]["code"], -32000);
    assert_eq!(pool.turn(&mut world), 0);
    gate.set(true);
    pool.until(&mut world, |world| (world.stats().late == 2).then_some(()));
    eventually("the threads are free again", || world.stats().workers_stuck == 0);
    client.tell(&mut world, &call(4, "quick", "{}"));
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "quick");
    assert_eq!(client.hear(&mut world).len(), 0);
    world.quiesce();
}

/// A `Reply` may answer before its handler returns; the handler still has no more than its time.
#[test]
fn a_thread_that_stays_after_its_reply_counts_as_stuck_when_its_time_is_over() {
    let (server, gate) = server(workers(1, 10, 1));
    let (send, replies) = std::sync::mpsc::channel::<mcp_rill::Reply>();
    let at = gate.clone();
    let stay = Tool::new("stay", "Defer and stay").timeout(Duration::from_secs(30));
    let server = server.offer(stay.blocking_handler(move |(), call| {
        let deferred = call.defer(|reply| send.send(reply));
        at.wait();
        deferred
    }));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "stay", "{}"));
    pool.turn(&mut world);
    gate.until(1);
    world.advance(Duration::from_secs(10));
    replies.recv().unwrap().finish("deferred");
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "deferred");
    world.advance(Duration::from_secs(19));
    assert_eq!(world.stats().workers_stuck, 0, "one second is left");
    client.tell(&mut world, &call(2, "quick", "{}"));
    world.advance(Duration::from_secs(1));
    assert_eq!(world.stats().workers_stuck, 1);
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "quick", "another thread does it");
    gate.set(true);
    eventually("the thread is free again", || world.stats().workers_stuck == 0);
    world.quiesce();
}

#[test]
fn a_cancelled_blocking_call_says_nothing_and_its_thread_counts_as_stuck_until_it_ends() {
    let (server, gate) = server(workers(1, 10, 1));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "wait", "{}"));
    pool.turn(&mut world);
    gate.until(1);
    assert!(client.cancel(&mut world, "1").is_empty());
    assert_eq!((world.stats().calls, world.stats().workers_stuck), (0, 1));
    client.tell(&mut world, &call(2, "quick", "{}"));
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "quick");
    gate.set(true);
    pool.until(&mut world, |world| (world.stats().late == 1).then_some(()));
    assert!(client.hear(&mut world).is_empty());
    world.quiesce();
}

#[test]
fn a_blocking_handler_may_defer_and_show_progress_while_it_works() {
    let (send, queue) = std::sync::mpsc::channel();
    let gate = Arc::new(Gate::default());
    let at = gate.clone();
    let server = Server::new("pool", "1")
        .blocking_tool("defer", "Defer", move |(), call| call.defer(|reply| send.send(reply)))
        .blocking_tool("show", "Show", move |(), call| {
            call.progress(1.0, Some(2.0), None);
            at.wait();
            call.progress(0.5, Some(2.0), None);
            "shown"
        });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "defer", "{}"));
    pool.turn(&mut world);
    queue.recv().unwrap().finish("deferred");
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "deferred");
    client.tell(&mut world, &request(2, "tools/call", r#"{"name":"show","_meta":{"progressToken":5}}"#));
    let progress = one(pool.heard(&mut world, &client, 1));
    assert_eq!(progress["params"], json!({ "progressToken": 5, "progress": 1, "total": 2 }));
    gate.set(true);
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "shown");
    assert_eq!(world.stats().late, 0);
    world.quiesce();
}

#[test]
fn a_handler_that_continues_without_an_answer_is_not_cancelled() {
    let server = Server::new("patient", "1").blocking_tool("ask", "Ask", |(), call| -> mcp_rill::Result<_> {
        let answer = call.elicit::<Name>("name", "Who?")?;
        Ok(format!("{answer:?} {}", call.is_cancelled()))
    });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "ask", "{}"));
    one(pool.heard(&mut world, &client, 1));
    world.advance(Limits::DEFAULT.question_timeout);
    let [cancelled, reply] = pool.heard(&mut world, &client, 2).try_into().unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(text(&reply), "Cancelled false");
    assert_eq!(world.stats().workers_stuck, 0);
}
