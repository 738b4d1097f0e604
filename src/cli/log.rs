//! Lines on standard error about what happens: `--log`.
//!
//! *Scope:* one line for each event, in words. *Not in scope:* time stamps and files, which whoever collects standard error
//! adds; numbers to draw.
//!
//! ```text
//!  loop ── line ──▶ a bounded queue ──▶ a thread ──▶ standard error
//!             └─ no room: counted, and said with the next line
//! ```

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use mcp_rill::Peer;
use mcp_rill::engine::Event;

/// Lines that may wait. A peer that makes many must fill neither memory nor a disk, and nobody else must wait for them.
const WAITING_MAX: usize = 1000;
/// After each line, so that there are a hundred a second at most.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the program's end waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that writes.
pub(super) struct Log {
    ended: Receiver<()>,
}

impl Log {
    /// Begins to write to `out` what the observer is told.
    pub(super) fn begin(
        out: impl Write + Send + 'static,
    ) -> io::Result<(Log, impl FnMut(&Event<'_>) + Send + 'static)> {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let (end, ended) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write(out, &waiting, &counted, end))?;
        let observer = move |event: &Event<'_>| {
            if let Some(line) = line(event)
                && lines.try_send(line).is_err()
            {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        };
        Ok((Log { ended }, observer))
    }

    /// Waits until all is written, but not for ever. To be called when the observer is gone.
    pub(super) fn end(self) {
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

fn write(mut out: impl Write, waiting: &Receiver<String>, lost: &AtomicU64, end: SyncSender<()>) {
    let mut say = |line: &str| {
        // Nobody is left to tell if standard error is closed.
        let _ = out.write_all(format!("mcp-rill: {line}\n").as_bytes());
    };
    while let Ok(line) = waiting.recv() {
        say(&line);
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => say(&format!("{count} more lines found no room")),
        }
        thread::sleep(PAUSE);
    }
    drop(end);
}

/// What is said of an event.
fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::SessionOpened { peer } => format!("{} opened a session", name(peer)),
        Event::SessionClosed { peer } => format!("the session of {} ended", name(peer)),
        Event::SessionlessClient { peer } => format!("{} sends requests without a session", name(peer)),
        Event::SessionEvicted { peer, idle } => {
            format!("the session of {}, idle for {} s, makes room for a new one", name(peer), idle.as_secs())
        }
        Event::Refused { peer, status, reason } => {
            format!("{} was refused with {status}: {}", name(peer), reason.lines().next().unwrap_or_default())
        }
        Event::SlowReader { peer, backlog_bytes } => {
            format!("{} does not read and was cut off; {backlog_bytes} bytes are lost", name(peer))
        }
        Event::StrayAnswer { peer, id, error } => {
            let error = error.map_or_else(String::new, |error| format!(", with the error: {error}"));
            format!("{} answered what it was not asked (id {id}){error}", name(peer))
        }
        Event::AmbiguousCancel { peer, id, calls } => {
            let name = name(peer);
            format!("{name} cancelled nothing: {calls} of its open requests have the id {id} that it named")
        }
        Event::LargeMessage { bytes } => {
            format!("a message of {bytes} bytes was sent; from 1 MiB on some clients drop it")
        }
        Event::ToolName { name } => {
            format!(
                "the tool `{name}` has a name that large model APIs refuse: they take 1 to 64 of A-Z a-z 0-9 _ -"
            )
        }
        Event::OutOfDescriptors => {
            "no descriptor is left for new connections, so clients wait (ulimit -n)".to_owned()
        }
        Event::HandlerFault { problem } => problem.lines().next().unwrap_or_default().to_owned(),
        Event::WorkersLeft { count } => format!("the grace is over; handlers that still run: {count}"),
        _ => return None,
    })
}

fn name(peer: &Peer) -> String {
    let place = peer.address.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
    match &peer.principal {
        Some(principal) => format!("{} ({place})", principal.name()),
        None => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_rill::Principal;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<String>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_event_is_a_line() {
        let page = Page::default();
        let (log, mut observe) = Log::begin(page.clone()).unwrap();
        let ada = Peer {
            address: Some(([127, 0, 0, 1], 4000).into()),
            principal: Some(Principal::new("ada")),
            ..Peer::default()
        };
        let unix = Peer { unix: true, ..Peer::default() };
        observe(&Event::SessionOpened { peer: &ada });
        observe(&Event::SessionlessClient { peer: &unix });
        observe(&Event::SessionEvicted { peer: &ada, idle: Duration::from_millis(65_900) });
        observe(&Event::Refused { peer: &unix, status: 403, reason: "no\nfurther" });
        observe(&Event::SlowReader { peer: &unix, backlog_bytes: 7 });
        observe(&Event::LargeMessage { bytes: 2_000_000 });
        observe(&Event::ToolName { name: "a.b" });
        observe(&Event::OutOfDescriptors);
        observe(&Event::StrayAnswer { peer: &ada, id: "7", error: None });
        observe(&Event::StrayAnswer { peer: &ada, id: "null", error: Some("no such tool") });
        observe(&Event::AmbiguousCancel { peer: &ada, id: "\"a\"", calls: 2 });
        observe(&Event::HandlerFault { problem: "the tool `x` went on\nand on" });
        observe(&Event::WorkersLeft { count: 2 });
        observe(&Event::SessionClosed { peer: &ada });
        drop(observe);
        log.end();
        let expected = [
            "mcp-rill: ada (127.0.0.1:4000) opened a session",
            "mcp-rill: a Unix socket sends requests without a session",
            "mcp-rill: the session of ada (127.0.0.1:4000), idle for 65 s, makes room for a new one",
            "mcp-rill: a Unix socket was refused with 403: no",
            "mcp-rill: a Unix socket does not read and was cut off; 7 bytes are lost",
            "mcp-rill: a message of 2000000 bytes was sent; from 1 MiB on some clients drop it",
            "mcp-rill: the tool `a.b` has a name that large model APIs refuse: they take 1 to 64 of A-Z a-z 0-9 _ -",
            "mcp-rill: no descriptor is left for new connections, so clients wait (ulimit -n)",
            "mcp-rill: ada (127.0.0.1:4000) answered what it was not asked (id 7)",
            "mcp-rill: ada (127.0.0.1:4000) answered what it was not asked (id null), with the error: no such tool",
            "mcp-rill: ada (127.0.0.1:4000) cancelled nothing: 2 of its open requests have the id \"a\" that it named",
            "mcp-rill: the tool `x` went on",
            "mcp-rill: the grace is over; handlers that still run: 2",
            "mcp-rill: the session of ada (127.0.0.1:4000) ended",
        ];
        assert_eq!(page.0.lock().unwrap().lines().collect::<Vec<_>>(), expected);
    }

    /// Standard error that nobody reads, such as a pipe that is full.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_standard_error() {
        let (release, stuck) = sync_channel(0);
        let (log, mut observe) = Log::begin(Stuck(stuck)).unwrap();
        // All of these return, and what is kept of them is bounded.
        (0..3 * WAITING_MAX).for_each(|bytes| observe(&Event::LargeMessage { bytes }));
        drop(observe);
        assert!(log.ended.try_recv().is_err());
        drop(release);
    }

    #[test]
    fn lines_without_room_are_counted() {
        let (page, lost) = (Page::default(), AtomicU64::new(41));
        let ((lines, waiting), (end, _ended)) = (sync_channel(2), sync_channel(0));
        ["one", "two"].into_iter().for_each(|line| lines.send(line.to_owned()).unwrap());
        drop(lines);
        write(page.clone(), &waiting, &lost, end);
        assert_eq!(
            *page.0.lock().unwrap(),
            "mcp-rill: one\nmcp-rill: 41 more lines found no room\nmcp-rill: two\n"
        );
    }
}
