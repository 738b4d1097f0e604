//! Tools that take their time: on the worker threads of the server, or on a thread of one's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mcp_rill::{Call, Level, Reply, Server, schema};

const STEP: Duration = Duration::from_millis(50);
/// After how long a client that was sent away comes back.
const RETRY: Duration = Duration::from_millis(500);

schema! { struct Wait {
    /// For how long, unless the call is cancelled.
    seconds: f64 { min 0.0, max 30.0 } = 0.1,
} }

pub fn add(server: Server) -> Server {
    let replies = start_replier();
    let cancelled = Arc::new(AtomicU64::new(0));
    let seen = cancelled.clone();
    server
        .blocking_tool("test_tool_with_progress", "Report progress three times", |(), call| {
            call.progress(0.0, Some(100.0), Some("begun"));
            thread::sleep(STEP);
            call.progress(50.0, Some(100.0), Some("half done"));
            thread::sleep(STEP);
            call.progress(100.0, Some(100.0), Some("done"));
            // The TypeScript SDKs lose progress that they read together with the result.
            thread::sleep(STEP);
            format!("progress token: {}", call.progress_token().unwrap_or("none"))
        })
        .blocking_tool("test_tool_with_logging", "Log three times", |(), call| {
            call.log(Level::Info, "Tool execution started");
            thread::sleep(STEP);
            call.log(Level::Info, "Tool processing data");
            thread::sleep(STEP);
            call.log(Level::Info, "Tool execution completed");
            "Logged three times"
        })
        .tool("test_logging_tool", "Log once at every level", |(), call| {
            for level in LEVELS {
                call.log_as(level, "test", format!("A log at level {}", level.name()));
            }
            "Logged"
        })
        .tool(
            "test_reconnection",
            "Send the client away, and finish late from another thread",
            move |(), call| {
                call.disconnect(RETRY);
                call.defer(|reply| replies.send(reply))
            },
        )
        .blocking_tool("test_wait", "Wait, and stop as soon as the call is cancelled", {
            move |Wait { seconds }: Wait, call| wait(Duration::from_secs_f64(seconds), call, &cancelled)
        })
        .tool("test_wait_cancelled", "Tell how many calls of test_wait saw that they were cancelled", {
            move |(), _| seen.load(Ordering::Relaxed)
        })
}

const LEVELS: [Level; 8] = [
    Level::Debug,
    Level::Info,
    Level::Notice,
    Level::Warning,
    Level::Error,
    Level::Critical,
    Level::Alert,
    Level::Emergency,
];

fn wait(time: Duration, call: &mut Call, cancelled: &AtomicU64) -> &'static str {
    let steps = time.as_millis() / STEP.as_millis();
    for _ in 0..steps {
        if call.is_cancelled() {
            cancelled.fetch_add(1, Ordering::Relaxed);
            return "cancelled";
        }
        thread::sleep(STEP);
    }
    "waited"
}

/// A thread of our own that finishes calls a moment after it got them. It ends with the server, which drops the sender.
fn start_replier() -> mpsc::Sender<Reply> {
    let (sender, replies) = mpsc::channel::<Reply>();
    thread::spawn(move || {
        for reply in replies {
            thread::sleep(2 * STEP);
            reply.finish("Finished after a while");
        }
    });
    sender
}
