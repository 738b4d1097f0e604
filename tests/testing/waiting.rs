//! Handlers on other threads, calls that are deferred, virtual time, and calls that hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mcp_rill::testing::{Harness, Notification, Way};
use mcp_rill::{Call, Elicited, Reply, Server, schema};
use serde_json::json;

use crate::panic_of;

schema! { struct Confirm { sure: bool } }

/// A server whose calls of `work` end up in a queue.
fn deferring() -> (Server, Receiver<Reply>) {
    let (jobs, queue) = mpsc::channel::<Reply>();
    let server =
        Server::new("slow", "1").tool("work", "Work", move |(), call| call.defer(|reply| jobs.send(reply)));
    (server, queue)
}

#[test]
fn blocking_handlers_are_waited_for() {
    for way in Way::all() {
        let server = Server::new("slow", "1")
            .blocking_tool("ask", "Ask and work", |(), call: &mut Call| -> mcp_rill::Result<_> {
                call.progress(1.0, None, None);
                thread::sleep(Duration::from_millis(2));
                Ok(match call.elicit::<Confirm>("sure", "Sure?")? {
                    Elicited::Unavailable(_) => "nobody",
                    _ => "done",
                })
            })
            .blocking_resource("slow:///", "slow", |_| "read");
        let mut harness = Harness::new(server).over(way).answer("sure", json!({"sure": true}));
        let response = harness.call("ask", json!({}));
        assert!(["done", "nobody"].contains(&&*response.text()), "{way}");
        assert!(matches!(response.notifications()[0], Notification::Progress { .. }), "{way}");
        assert_eq!(harness.read("slow:///").text(), "read", "{way}");
    }
}

#[test]
fn deferred_calls_are_finished_by_another_thread() {
    for way in Way::all() {
        let (server, queue) = deferring();
        let worker = thread::spawn(move || {
            for (number, reply) in queue.into_iter().enumerate() {
                reply.progress(0.5, None, None);
                reply.finish(format!("job {number}"));
            }
        });
        let mut harness = Harness::new(server).over(way);
        assert_eq!(harness.call("work", json!({})).text(), "job 0", "{way}");
        let pending: Vec<_> = (0..3).map(|_| harness.start("work", json!({}))).collect();
        for (number, pending) in pending.into_iter().enumerate().rev() {
            assert_eq!(harness.wait(pending).text(), format!("job {}", number + 1), "{way}");
        }
        drop(harness);
        worker.join().unwrap();
    }
}

#[test]
fn timeouts_are_met_at_once() {
    for way in Way::all() {
        let (server, queue) = deferring();
        let mut harness = Harness::new(server).over(way);
        let pending = harness.start("work", json!({}));
        let reply = queue.recv().unwrap();
        harness.advance(Duration::from_secs(59));
        assert!(!reply.is_cancelled());
        harness.advance(Duration::from_secs(1));
        assert!(harness.wait(pending).tool_error().contains("within 60 s"), "{way}");
        assert!(reply.is_cancelled());
    }
}

#[test]
fn a_call_is_cancelled() {
    for way in Way::all() {
        let (server, queue) = deferring();
        let mut harness = Harness::new(server).over(way);
        let pending = harness.start("work", json!({}));
        let reply = queue.recv().unwrap();
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        reply.on_cancel(move || tell.store(true, Ordering::SeqCst));
        harness.cancel(pending);
        assert!(reply.is_cancelled() && told.load(Ordering::SeqCst), "{way}");
        let text = panic_of(|| harness.wait(pending));
        assert!(text.contains("cancelled"), "{text}");
        // The same, because the client is gone.
        let pending = harness.start("work", json!({}));
        let reply = queue.recv().unwrap();
        harness.disconnect();
        if !reply.is_cancelled() {
            // Streamable HTTP: nothing but the end of the session cancels it.
            panic!("{way}: the session has ended");
        }
        let gone = harness.wait(pending);
        assert!(gone.to_string().contains("the test has disconnected the client"), "{gone}");
    }
}

#[test]
fn a_blocking_handler_is_told_that_its_call_is_cancelled() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let server = Server::new("slow", "1").blocking_tool("wait", "Wait", move |(), call: &mut Call| {
        tell.lock().unwrap().send("begun").unwrap();
        while !call.is_cancelled() {
            thread::yield_now();
        }
        tell.lock().unwrap().send("cancelled").unwrap();
    });
    let mut harness = Harness::new(server);
    let pending = harness.start("wait", json!({}));
    // `start` has made the thread. It may take its time.
    assert_eq!(told.recv(), Ok("begun"));
    harness.cancel(pending);
    assert_eq!(told.recv(), Ok("cancelled"));
}

#[test]
fn a_call_that_nothing_finishes_says_so() {
    for way in Way::all() {
        let (server, queue) = deferring();
        let mut harness = Harness::new(server).over(way).patience(Duration::from_millis(20));
        let hangs = harness.call("work", json!({}));
        let text = panic_of(|| hangs.text());
        for part in [
            "a text was expected of the tool `work`, called with {}",
            &format!(
                "({way}), which was not answered within 20ms of real time (`patience`); no handler is running"
            ),
            "its `Reply` is still held somewhere",
            "after 60s of virtual time the server gave it up: the tool `work`",
            "within 60 s",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        drop(queue);
        assert!(harness.call("work", json!({})).tool_error().contains("gave up"), "the harness goes on");
    }
}

#[test]
fn a_blocking_handler_that_hangs_is_named() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let server = Server::new("slow", "1").blocking_tool("wait", "Wait", move |(), _| {
        let _ = gone.lock().unwrap().recv();
    });
    let mut harness = Harness::new(server).patience(Duration::from_millis(50));
    let hangs = harness.call("wait", json!({})).to_string();
    assert!(hangs.contains("still running on a worker thread"), "{hangs}");
    drop(go);
}

#[test]
fn what_another_thread_announces_is_waited_for() {
    for way in Way::all() {
        let mut harness =
            Harness::new(Server::new("news", "1").resource("news:///", "news", |_| "none")).over(way);
        assert!(harness.subscribe("news:///"), "{way}");
        let handle = harness.handle();
        let thread = thread::spawn(move || handle.resource_updated("news:///"));
        assert_eq!(harness.next_notification(), Notification::ResourceUpdated("news:///".into()), "{way}");
        thread.join().unwrap();
        let text = panic_of(|| {
            let mut harness = harness.patience(Duration::from_millis(20));
            harness.next_notification()
        });
        assert_eq!(text, format!("no notification came within 20ms of real time ({way})"));
    }
}

#[test]
fn times_of_calls_are_virtual() {
    let (server, queue) = deferring();
    let mut harness = Harness::new(server);
    let pending = harness.start("work", json!({}));
    harness.advance(Duration::from_secs(30));
    queue.recv().unwrap().finish("done");
    assert_eq!(harness.wait(pending).text(), "done");
    harness.shutdown(Duration::from_secs(5));
    let refused = harness.call("work", json!({}));
    assert!(!refused.is_ok(), "{refused}");
}
