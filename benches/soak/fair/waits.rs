//! How long threads were ready to run and no processor was free.

use std::path::PathBuf;
use std::time::Duration;

/// The honest client's thread, and the server's loop, which is the main thread of the process that started this one.
pub(super) struct Waits {
    server: PathBuf,
}

/// What both have run and waited since they began.
pub(super) struct Waited {
    client: Times,
    server: Times,
}

#[derive(Default)]
struct Times {
    run: Duration,
    wait: Duration,
}

impl Waits {
    pub(super) fn of_this_thread_and_the_loop() -> Waits {
        Waits { server: format!("/proc/{}/schedstat", std::os::unix::process::parent_id()).into() }
    }

    pub(super) fn so_far(&self) -> Waited {
        Waited {
            client: times_in("/proc/thread-self/schedstat".into()),
            server: times_in(self.server.clone()),
        }
    }
}

impl Waited {
    /// Returns what is left of a time between the two without waits for a processor: at least what the server ran meanwhile. Of both
    /// waits the longer one counts, since they may have been at the same time. One that was over in this time is counted as a
    /// whole, although it may have begun before it.
    pub(super) fn left_of(&self, time: Duration, before: &Waited) -> Duration {
        let of = |now: &Times, before: &Times| {
            (now.run.saturating_sub(before.run), now.wait.saturating_sub(before.wait))
        };
        let (_, client_wait) = of(&self.client, &before.client);
        let (server_run, server_wait) = of(&self.server, &before.server);
        time.saturating_sub(client_wait.max(server_wait)).max(server_run.min(time))
    }
}

/// The first figure is nanoseconds on a processor, the second one in the queue for it. A kernel that does not count them says nothing,
/// and all time is the server's then.
fn times_in(path: PathBuf) -> Times {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut figures = text.split_whitespace().map_while(|nanos| nanos.parse().ok().map(Duration::from_nanos));
    let (Some(run), Some(wait)) = (figures.next(), figures.next()) else { return Times::default() };
    Times { run, wait }
}
