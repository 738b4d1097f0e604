//! Lines on standard error while a server runs: what it tells its operator, and with `--log` what happens.
//!
//! *Scope:* which lines wait for standard error, which may be stuck, and how each is written: text, or JSON. *Not in scope:* files, which
//! the collector of standard error keeps; metrics; what is said before a server runs and by other verbs (`say`).
//!
//! ```text
//!  loop, signals, reloads ── line ──▶ bounded queues ──▶ a thread ──▶ standard error
//!                               └─ no room: counted, and said with the next line
//! ```
//!
//! Lines of calls are written as fast as they are taken. Those of other events, which any peer can cause, are written at a hundred a second.

pub(super) mod call;
mod event;
pub(super) mod options;
mod time;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event::Told;
use options::{Format, LogOptions, Severity};
use time::stamp;

use super::bounds::{CALL_LINES_BYTES_MAX, LOGGED_LINES_MAX, SAID_LINES_MAX};
use crate::engine::observe::Event;
use crate::json::write::Object;
use crate::service::ended::CallDetails;
use crate::text::{is_hidden, lines_without_hidden, without_hidden};
use crate::threads;

/// Between two lines of events, so that there are a hundred a second at most.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the program's end waits for what is still to be written.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Longer arguments are left out of the line of a call.
const ARGUMENTS_BYTES_MAX: usize = 4 << 10;

/// The lines that wait for standard error. Clones add to the same ones. Nothing here waits for a reader of standard error.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    program: String,
    options: LogOptions,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    said: VecDeque<String>,
    calls: VecDeque<String>,
    /// Of all lines of calls together.
    calls_bytes: usize,
    logged: VecDeque<String>,
    /// How many found no room since the last one was written.
    dropped: u64,
    /// True once the program ends.
    ending: bool,
    /// True once all is written.
    ended: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.calls.is_empty() && self.logged.is_empty()
    }
}

impl Lines {
    /// Starts the thread that writes to `out`: text with the program's name before each line, or JSON.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(super) fn begin(
        out: impl Write + Send + 'static,
        program: &str,
        options: LogOptions,
    ) -> io::Result<Lines> {
        let (queue, changed) = (Mutex::default(), Condvar::new());
        let lines = Lines(Arc::new(Shared { program: program.to_owned(), options, queue, changed }));
        let writer = lines.clone();
        threads::start("log", move || writer.write(out))?;
        Ok(lines)
    }

    /// Which parts of its request the line of a call has; `None` if calls have no lines.
    pub(super) fn call_details(&self) -> Option<CallDetails> {
        let LogOptions { format, level, arguments } = self.0.options;
        let arguments_bytes_max = if arguments { ARGUMENTS_BYTES_MAX } else { 0 };
        let is_logged = format.is_some() && level >= Severity::Info;
        is_logged.then_some(CallDetails { trace: true, arguments_bytes_max })
    }

    /// Adds what the operator is told: one line, or several.
    pub(super) fn say(&self, text: &str) {
        let line = match self.0.options.format {
            Some(Format::Json) => json(Severity::Info, "message", text),
            _ => lines_without_hidden(text).into_owned(),
        };
        self.add(line, |queue| (&mut queue.said, SAID_LINES_MAX));
    }

    /// Adds a line about an event, if there is one for it.
    pub(super) fn log(&self, event: &Event<'_>) {
        let LogOptions { format: Some(format), level, .. } = self.0.options else { return };
        if level >= Severity::Info
            && let Some(line) = call::line(event, now(), format)
        {
            return self.add_call(match format {
                Format::Text => without_hidden(&line).into_owned(),
                Format::Json => json_without_hidden(line),
            });
        }
        if let Some(Told { level: of_event, name, message }) = event::told(event)
            && of_event <= level
        {
            self.add_logged(of_event, name, &message);
        }
    }

    /// Adds a line of a server that runs behind this one.
    #[cfg(feature = "bridge")]
    pub(super) fn pass_on(&self, line: &str) {
        self.add_logged(Severity::Info, "bridged", line);
    }

    fn add_logged(&self, level: Severity, name: &'static str, message: &str) {
        let line = match self.0.options.format {
            Some(Format::Json) => json(level, name, message),
            _ => without_hidden(message).into_owned(),
        };
        self.add(line, |queue| (&mut queue.logged, LOGGED_LINES_MAX));
    }

    fn add(&self, line: String, place: impl FnOnce(&mut Queue) -> (&mut VecDeque<String>, usize)) {
        let mut queue = self.queue();
        let (lines, max) = place(&mut queue);
        if lines.len() < max {
            lines.push_back(line);
        } else {
            queue.dropped += 1;
        }
        self.0.changed.notify_all();
    }

    fn add_call(&self, line: String) {
        let mut queue = self.queue();
        let bytes = queue.calls_bytes.saturating_add(line.len());
        if bytes <= CALL_LINES_BYTES_MAX {
            queue.calls_bytes = bytes;
            queue.calls.push_back(line);
        } else {
            queue.dropped += 1;
        }
        self.0.changed.notify_all();
    }

    /// Waits until all is written, but not for ever. What is added later is lost.
    pub(super) fn end(&self) {
        let mut queue = self.queue();
        queue.ending = true;
        self.0.changed.notify_all();
        let _ = self.0.changed.wait_timeout_while(queue, PATIENCE, |queue| !queue.ended);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write) {
        let is_json = self.0.options.format == Some(Format::Json);
        let mut write = |line: &str| {
            let line = if is_json { format!("{line}\n") } else { format!("{}: {line}\n", self.0.program) };
            // If standard error is closed, the error cannot be reported.
            let _ = out.write_all(line.as_bytes());
        };
        let mut paced = Paced::default();
        while let Some((line, dropped)) = self.next(&mut paced) {
            write(&line);
            if dropped > 0 {
                let text = format!("{dropped} more lines were dropped");
                write(&if is_json { json(Severity::Warning, "dropped", &text) } else { text });
            }
        }
    }

    /// Waits for the next line. Returns it, and how many were dropped since the one before; `None` at the end of the program.
    fn next(&self, paced: &mut Paced) -> Option<(String, u64)> {
        let mut queue = self.queue();
        loop {
            let wait = if queue.logged.is_empty() { None } else { paced.wait() };
            let line = match queue.said.pop_front() {
                Some(line) => Some(line),
                None if wait.is_none() && !queue.logged.is_empty() => {
                    paced.note();
                    queue.logged.pop_front()
                }
                None => queue.calls.pop_front().inspect(|line| queue.calls_bytes -= line.len()),
            };
            if let Some(line) = line {
                return Some((line, std::mem::take(&mut queue.dropped)));
            }
            if queue.ending && queue.is_empty() {
                queue.ended = true;
                self.0.changed.notify_all();
                return None;
            }
            queue = match wait {
                Some(time) => {
                    self.0.changed.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// When the next line of an event may be written.
#[derive(Default)]
struct Paced {
    last: Option<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "standard error goes with real time")]
impl Paced {
    /// How long to wait; `None` if not at all.
    fn wait(&self) -> Option<Duration> {
        let left = PAUSE.saturating_sub(self.last?.elapsed());
        (!left.is_zero()).then_some(left)
    }

    fn note(&mut self) {
        self.last = Some(Instant::now());
    }
}

#[expect(clippy::disallowed_methods, reason = "a log goes with real time")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A line that is one JSON object.
fn json(level: Severity, name: &str, message: &str) -> String {
    let mut out = Vec::with_capacity(message.len() + 96);
    let mut object = Object::new(&mut out);
    object.str("time", &stamp(now())).str("level", level.name()).str("event", name).str("message", message);
    object.end();
    json_without_hidden(String::from_utf8(out).unwrap_or_default())
}

/// Writes hidden characters, which JSON has in strings alone, as JSON escapes them.
fn json_without_hidden(json: String) -> String {
    if !json.contains(is_hidden) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::peer::{Peer, Principal};
    use crate::engine::observe::Transport;
    use crate::http::conn::close::CloseReason;
    use crate::protocol::revision::Revision;
    use crate::protocol::trace::TraceContext;
    use crate::service::ended::{CallKind, CallOutcome};
    use crate::service::session::SessionId;
    use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
    use std::thread;

    fn text() -> LogOptions {
        LogOptions { format: Some(Format::Text), ..LogOptions::default() }
    }

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
        let lines = Lines::begin(page.clone(), "mcp-rill", text()).unwrap();
        let observe = |event: &Event<'_>| lines.log(event);
        let id = SessionId(uuid::Uuid::nil());
        let ada = Peer {
            address: Some(([127, 0, 0, 1], 4000).into()),
            principal: Some(Principal::new("ada")),
            ..Peer::default()
        };
        let unix = Peer { unix: true, ..Peer::default() };
        observe(&Event::SessionOpened { peer: &ada, id, transport: Transport::Sse });
        observe(&Event::SessionlessClient { peer: &unix });
        observe(&Event::SessionEvicted { peer: &ada, idle: Duration::from_millis(65_900) });
        observe(&Event::Refused { peer: &unix, status: 403, reason: "no\nfurther" });
        let closed = |reason, unsent_bytes| Event::ConnectionClosed { peer: &unix, reason, unsent_bytes };
        observe(&closed(CloseReason::SlowReader, 7));
        observe(&closed(CloseReason::EndOfInput, 0));
        observe(&closed(CloseReason::Broken, 1));
        observe(&closed(CloseReason::Evicted, 0));
        observe(&Event::LargeMessage { bytes: 2_000_000 });
        observe(&Event::ToolName { name: "a.b" });
        observe(&Event::HandlerFault { problem: "the tool `a\u{202e}b` \u{1b}[2J" });
        observe(&Event::OutOfDescriptors);
        observe(&Event::StrayAnswer { peer: &ada, id: "7", error: None });
        observe(&Event::StrayAnswer { peer: &ada, id: "null", error: Some("no such tool") });
        observe(&Event::AmbiguousCancel { peer: &ada, id: "\"a\"", calls: 2 });
        observe(&Event::HandlerFault { problem: "the tool `x` went on\nand on" });
        observe(&Event::HandshakeFailed { peer: &ada, error: "no certificate" });
        observe(&Event::HookPanicked { hook: "on_accept" });
        observe(&Event::WorkersLeft { count: 2 });
        let (transport, revision, lasted) = (Transport::Sse, Revision::NEWEST, Duration::ZERO);
        observe(&Event::SessionClosed { peer: &ada, id, transport, revision, lasted });
        lines.end();
        let expected = [
            "mcp-rill: ada (127.0.0.1:4000) opened a session",
            "mcp-rill: a Unix socket sends requests without a session",
            "mcp-rill: the session of ada (127.0.0.1:4000), idle for 65 s, makes room for a new one",
            "mcp-rill: a Unix socket was refused with 403: no",
            "mcp-rill: the connection of a Unix socket is closed: more output than output_bytes_max waited for the client to read; 7 bytes of output are lost",
            "mcp-rill: the connection of a Unix socket is closed: the connection broke; 1 bytes of output are lost",
            "mcp-rill: the connection of a Unix socket is closed: it made room for another connection",
            "mcp-rill: a message of 2000000 bytes was sent; from 1 MiB on some clients drop it",
            "mcp-rill: the tool `a.b` has a name that large model APIs refuse: they take 1 to 64 of A-Z a-z 0-9 _ -",
            r"mcp-rill: the tool `a\u{202e}b` \u{1b}[2J",
            "mcp-rill: no descriptor is left for new connections, so clients wait (ulimit -n)",
            "mcp-rill: ada (127.0.0.1:4000) sent an answer that no request waits for (id 7)",
            "mcp-rill: ada (127.0.0.1:4000) sent an answer that no request waits for (id null), with the error: no such tool",
            "mcp-rill: ada (127.0.0.1:4000) cancelled nothing: 2 of its open requests have the id \"a\"",
            "mcp-rill: the tool `x` went on",
            "mcp-rill: the handshake with ada (127.0.0.1:4000) failed: no certificate",
            "mcp-rill: the hook on_accept panicked; the connection is closed",
            "mcp-rill: the grace is over; handlers that still run: 2",
            "mcp-rill: the session of ada (127.0.0.1:4000) ended",
        ];
        assert_eq!(page.0.lock().unwrap().lines().collect::<Vec<_>>(), expected);
    }

    /// Standard error that is not read until the sender is dropped, such as a pipe that is full.
    struct Stuck {
        /// Told when a write has begun, as long as somebody listens.
        begun: Sender<()>,
        released: Receiver<()>,
        page: Page,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            let _ = self.released.recv();
            self.page.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lines whose thread is stuck in its first write, the page that they will be on, and what releases the thread once dropped.
    fn stuck(first: &str) -> (Lines, Page, SyncSender<()>) {
        let ((begun, begins), (release, released), page) = (channel(), sync_channel(0), Page::default());
        let lines = Lines::begin(Stuck { begun, released, page: page.clone() }, "mcp-rill", text()).unwrap();
        lines.say(first);
        begins.recv().unwrap();
        (lines, page, release)
    }

    #[test]
    fn a_standard_error_that_is_not_read_holds_up_nothing_and_what_is_dropped_is_counted() {
        let (lines, page, release) = stuck("begins");
        // All of these return, and what is kept of them is bounded.
        (0..3 * LOGGED_LINES_MAX).for_each(|bytes| lines.log(&Event::LargeMessage { bytes }));
        (0..2 * SAID_LINES_MAX).for_each(|_| lines.say("told"));
        {
            let queue = lines.queue();
            assert_eq!((queue.said.len(), queue.logged.len()), (SAID_LINES_MAX, LOGGED_LINES_MAX));
        }
        drop(release);
        while page.0.lock().unwrap().lines().count() < 3 {
            thread::sleep(Duration::from_millis(1));
        }
        // What the operator is told goes first.
        let dropped = format!("mcp-rill: {} more lines were dropped", 2 * LOGGED_LINES_MAX + SAID_LINES_MAX);
        let page = page.0.lock().unwrap();
        assert_eq!(
            page.lines().take(3).collect::<Vec<_>>(),
            ["mcp-rill: begins", "mcp-rill: told", &dropped]
        );
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (lines, _, release) = stuck("begins");
        lines.end();
        assert!(!lines.queue().ended);
        drop(release);
    }

    /// A call whose texts try to end their value and their line.
    fn call<'a>(
        peer: &'a Peer,
        name: &'a str,
        outcome: CallOutcome,
        trace: Option<&'a TraceContext<'a>>,
    ) -> Event<'a> {
        Event::CallEnded {
            kind: CallKind::Tool,
            name,
            is_known: true,
            peer,
            principal: peer.principal.as_ref(),
            session: Some(SessionId(uuid::Uuid::from_u128(0x7022_8fad << 96))),
            transport: Transport::Streamable,
            revision: Revision::V2025_11_25,
            queued: Duration::ZERO,
            ran: Duration::from_micros(3042),
            outcome,
            runs: 1,
            bytes: 44,
            request_bytes: 120,
            trace,
            arguments: Some(r#"{"a":"x\n","key":"***"}"#),
        }
    }

    /// What was written of a call, without its time.
    fn lines_of_calls(options: LogOptions) -> Vec<String> {
        let page = Page::default();
        let lines = Lines::begin(page.clone(), "mcp-rill", options).unwrap();
        let mut tape = crate::json::tape::Tape::new();
        let meta = r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;
        let trace = TraceContext::read(tape.read(meta).unwrap()).unwrap();
        let forger = Principal::new("eve\" outcome=result\nmcp-rill: call \u{202e}");
        let peer =
            Peer { address: Some(([127, 0, 0, 1], 4000).into()), principal: Some(forger), ..Peer::default() };
        lines.log(&call(&peer, "a\" b=c", CallOutcome::Error(-32602), Some(&trace)));
        lines.log(&call(&Peer::default(), "ping", CallOutcome::TimedOut, None));
        lines.end();
        let page = page.0.lock().unwrap();
        let bare = |line: &str| {
            let at = line.find("20").unwrap();
            format!("{}{}", &line[..at], &line[at + 24..])
        };
        page.lines().map(bare).collect()
    }

    #[test]
    fn a_call_is_a_line_that_nothing_in_it_can_forge() {
        assert_eq!(
            lines_of_calls(text()),
            [
                r#"mcp-rill: call time= principal="eve\" outcome=result\nmcp-rill: call \u{202e}" peer=127.0.0.1:4000 transport=streamable revision=2025-11-25 session=70228fad method=tools/call name="a\" b=c" outcome=error code=-32602 seconds=0.003042 queued_seconds=0.000000 bytes_in=120 bytes_out=44 trace=0af7651916cd43dd8448eb211c80319c arguments={"a":"x\n","key":"***"}"#,
                r#"mcp-rill: call time= transport=streamable revision=2025-11-25 session=70228fad method=tools/call name="ping" outcome=timeout seconds=0.003042 queued_seconds=0.000000 bytes_in=120 bytes_out=44 arguments={"a":"x\n","key":"***"}"#,
            ]
        );
    }

    #[test]
    fn as_json_each_line_is_an_object() {
        let options = LogOptions { format: Some(Format::Json), ..LogOptions::default() };
        let lines = lines_of_calls(options);
        let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(
            first,
            serde_json::json!({
                "time": "", "level": "info", "event": "call", "principal": "eve\" outcome=result\nmcp-rill: call \u{202e}",
                "peer": "127.0.0.1:4000", "transport": "streamable", "revision": "2025-11-25", "session": "70228fad",
                "method": "tools/call", "name": "a\" b=c", "outcome": "error", "code": -32602, "seconds": 0.003042,
                "queued_seconds": 0.0, "bytes_in": 120, "bytes_out": 44, "trace": "0af7651916cd43dd8448eb211c80319c",
                "arguments": { "a": "x\n", "key": "***" }
            })
        );
        assert!(lines.len() == 2 && lines[0].is_ascii(), "{lines:?}");
        let page = Page::default();
        let lines = Lines::begin(page.clone(), "mcp-rill", options).unwrap();
        lines.say("two\nlines");
        lines.log(&Event::ToolName { name: "a\u{202e}b" });
        lines.end();
        let page = page.0.lock().unwrap();
        let members = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            ["level", "event", "message"].map(|name| line[name].as_str().unwrap().to_owned())
        };
        let read: Vec<_> = page.lines().map(members).collect();
        assert_eq!(read[0], ["info", "message", "two\nlines"]);
        assert_eq!(read[1][..2], ["warning", "tool_name"]);
        assert!(read.len() == 2 && page.is_ascii(), "{page}");
    }

    #[test]
    fn a_level_leaves_out_what_matters_less() {
        for (level, expected) in [(Severity::Error, 1), (Severity::Warning, 3), (Severity::Info, 5)] {
            let page = Page::default();
            let lines = Lines::begin(page.clone(), "mcp-rill", LogOptions { level, ..text() }).unwrap();
            let peer = Peer::default();
            lines.log(&call(&peer, "ping", CallOutcome::Result, None));
            lines.log(&call(&peer, "ping", CallOutcome::TimedOut, None));
            lines.log(&Event::SessionlessClient { peer: &peer });
            lines.log(&Event::LargeMessage { bytes: 1 });
            lines.log(&Event::OutOfDescriptors);
            lines.end();
            assert_eq!(page.0.lock().unwrap().lines().count(), expected, "{level:?}");
            assert_eq!(lines.call_details().is_some(), level == Severity::Info);
        }
        let page = Page::default();
        let lines = Lines::begin(page.clone(), "mcp-rill", LogOptions::default()).unwrap();
        lines.log(&Event::OutOfDescriptors);
        lines.end();
        assert_eq!(*page.0.lock().unwrap(), "", "nothing is logged");
    }

    #[test]
    fn lines_of_calls_have_a_bound_together() {
        let (lines, page, release) = stuck("begins");
        let peer = Peer::default();
        lines.log(&call(&peer, "ping", CallOutcome::Result, None));
        let one = lines.queue().calls_bytes;
        let fits = CALL_LINES_BYTES_MAX / one;
        (1..fits + 50).for_each(|_| lines.log(&call(&peer, "ping", CallOutcome::Result, None)));
        {
            let queue = lines.queue();
            assert_eq!((queue.calls.len(), queue.dropped), (fits, 50));
            assert!(queue.calls_bytes <= CALL_LINES_BYTES_MAX);
        }
        drop(release);
        while page.0.lock().unwrap().lines().count() < fits + 2 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(lines.queue().calls_bytes, 0);
        assert!(page.0.lock().unwrap().contains("mcp-rill: 50 more lines were dropped\n"));
    }
}
