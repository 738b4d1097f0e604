//! The example `tokio`: handlers that are futures, over every transport and revision; and the server on a thread, or as a task.

#[path = "../../examples/tokio.rs"]
#[allow(dead_code, reason = "its `main` is for a shell")]
mod example;

use std::thread::{self, JoinHandle};

use mcp_rill::testing::{Harness, Notification, Way};
use mcp_rill::{Limits, Revision};
use serde_json::json;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::common::questions::eventually;
use example::server;

/// A runtime that runs until it is dropped.
struct Running {
    runtime: Handle,
    end: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Running {
    fn new() -> Running {
        let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
        let thread = thread::spawn(move || drop(runtime.block_on(ended)));
        Running { runtime: handle, end: Some((end, thread)) }
    }

    fn client(&self) -> Harness {
        // All calls at once are open on one session.
        Harness::new(server(self.runtime.clone()).limits(Limits { calls_max: 256, ..Limits::default() }))
    }

    fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (end, thread) = self.end.take().unwrap();
        let _ = end.send(());
        thread.join().unwrap();
    }
}

#[test]
fn futures_report_and_finish() {
    let running = Running::new();
    for way in Way::all() {
        let mut client = running.client().over(way);
        let response = client.call("work", json!({"steps": 3, "milliseconds": 1}));
        assert_eq!(response.text(), "3 steps", "{way}");
        let reported =
            |progress: &Notification| matches!(progress, Notification::Progress { total: Some(3.0), .. });
        assert!(response.notifications().iter().any(reported), "{way}: {:?}", response.notifications());
    }
    eventually("all futures have ended", || running.tasks() == 0);
}

#[test]
fn futures_ask_the_user() {
    let running = Running::new();
    for way in Way::all() {
        let book = |sure: bool| {
            let mut client = running.client().over(way).answer("sure", json!({"sure": sure}));
            client.call("book", json!({"town": "Ulm"})).text()
        };
        let booked =
            if way.revision() < Revision::V2025_06_18 { "nothing was booked" } else { "booked for 43 €" };
        assert_eq!([book(true), book(false)], [booked, "nothing was booked"], "{way}");
    }
}

#[test]
fn two_hundred_calls_at_once_of_which_half_are_cancelled() {
    let running = Running::new();
    for way in Way::all() {
        let mut client = running.client().over(way);
        // They take as long as they are not cancelled.
        let long = json!({"steps": 1000, "milliseconds": 60_000});
        let cancelled: Vec<_> = (0..100).map(|_| client.start("work", long.clone())).collect();
        let finished: Vec<_> =
            (0..100).map(|_| client.start("work", json!({"steps": 2, "milliseconds": 1}))).collect();
        for pending in cancelled {
            client.cancel(pending);
        }
        for pending in finished {
            assert_eq!(client.wait(pending).text(), "2 steps", "{way}");
        }
        eventually("the futures of cancelled calls are dropped", || running.tasks() == 0);
        client.disconnect();
        assert_eq!(client.stats().calls, 0, "{way}");
    }
}

#[cfg(feature = "client")]
#[test]
fn the_server_has_a_thread_or_is_a_task() {
    use mcp_rill::client::Client;
    use std::time::Duration;

    for task in [false, true] {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listening = server(runtime.handle().clone()).listen("127.0.0.1:0").unwrap();
        let (handle, address) = (listening.handle(), listening.local_addrs().next().unwrap());
        let served = thread::spawn(move || {
            runtime.block_on(async {
                #[cfg(unix)]
                if task {
                    return example::serve_as_task(listening).await;
                }
                let _ = task;
                example::serve_on_thread(listening).await
            })
        });
        // Which every build has.
        let mut client = Client::connect(&format!("http://{address}/sse")).unwrap();
        let calls: Vec<_> = (0..20)
            .map(|_| {
                client.send("tools/call", Some(r#"{"name":"work","arguments":{"steps":2,"milliseconds":1}}"#))
            })
            .collect();
        for call in calls {
            assert!(client.wait(&call.unwrap()).unwrap().get().contains("2 steps"), "task: {task}");
        }
        drop(client);
        handle.shutdown(Duration::ZERO);
        served.join().unwrap().unwrap();
    }
}
