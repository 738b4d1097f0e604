//! One child: its lines in both directions, the last of its standard error, and where it is in its life.
//!
//! *Scope:* bytes and lines. *Not in scope:* what a message means, and when a child starts or ends (`life`).
//!
//! ```text
//!  Starting ── answers initialize ──▶ Running ── its session ends, it is idle ──▶ Draining ──▶ Ending ──▶ reaped
//!     │ held lines wait                  │ lines go to its standard input            │ stdin is closed │ TERM, KILL
//!     └──────────────────────────────────┴── it ends, or breaks a rule ──────────────┴─────────────────┴──▶ reaped
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::tables::{About, Owner, Pending, States};
use crate::cli::bounds::{CHILD_LOG_LINE_BYTES_MAX, CHILD_NOISE_LINES_MAX, CHILD_TAIL_BYTES_MAX};
use crate::cli::process::piped::{Piped, Taken};
use crate::json::write::Object;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{self, Error};
use crate::key_map::KeyMap;
use crate::lines::{Line, Splitter};
use crate::memory::Charge;
use crate::protocol::level::Level;
use crate::text::keep_on_one_line;
use crate::text::without_hidden;

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not answered `initialize`.
    Starting,
    Running,
    /// Its standard input is closed, by which it is asked to end.
    Draining,
    /// Its guard ends it.
    Ending,
}

/// What a child speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// It begins with `initialize`.
    Sessions,
    /// 2026-07-28.
    Stateless,
}

/// A child that serves its standard input and output.
pub(super) struct Child {
    pub(super) piped: Piped,
    pub(super) owner: Owner,
    pub(super) state: State,
    /// When the next step of its life is due, in [`Now::mono`](crate::Now) time.
    pub(super) deadline: Option<Duration>,
    /// Why it is ended, for the requests that are open; `None` as long as it is not.
    pub(super) reason: Option<String>,
    /// True once it has answered `initialize` or `server/discover`.
    pub(super) has_served: bool,
    /// `None` until it has.
    pub(super) era: Option<Era>,
    /// How it refused `initialize`, if it did.
    pub(super) refusal: Option<Error>,
    /// True if it has closed its standard output without having been asked to end.
    pub(super) left: bool,
    /// Requests that it has to answer, under the ids that it knows.
    pub(super) pending: KeyMap<i64, Pending>,
    /// Questions that it has asked and that are open.
    pub(super) questions: usize,
    /// The states that clients without a session have yet to bring back.
    pub(super) states: States,
    /// When it is ended if it has not read on by then what it was sent; `None` as long as it reads.
    pub(super) read_deadline: Option<Duration>,
    /// The id of the last request that it was sent.
    pub(super) last_id: i64,
    /// What it answered to `initialize`, if the bridge needs it again; of one that has none, what it would have answered.
    pub(super) described: Option<Box<str>>,
    /// What it answered to `server/discover`.
    pub(super) discovered: Option<Box<str>>,
    /// Its open `subscriptions/listen`: the id, and the filter.
    pub(super) listening: Option<(i64, Box<str>)>,
    /// True if its clients may want to hear something else, and it is to be told once it has read what it was sent.
    pub(super) listens_later: bool,
    /// Its name and version, as it wrote them.
    pub(super) info: Option<Box<str>>,
    /// The level of logs that it was last asked for.
    pub(super) level: Option<Level>,
    /// Lines for its standard input, which the pipe has not taken.
    output: VecDeque<u8>,
    /// Lines that wait until it has answered `initialize`.
    held: Vec<u8>,
    /// A line that is not whole.
    input: Vec<u8>,
    splitter: Splitter,
    noise_lines: usize,
    stderr_line: Vec<u8>,
    tail: VecDeque<u8>,
    charge: Charge,
}

/// What keeps a child from going on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Noise(Vec<u8>),
    TooLong,
}

/// What was read from standard output.
pub(super) struct Output<'s> {
    /// The beginning of a line that came before, and the new bytes; empty if no such line had begun.
    kept: Vec<u8>,
    fresh: &'s [u8],
    pub(super) taken: Taken,
}

impl Output<'_> {
    /// All bytes whose lines were not taken yet.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.kept.is_empty() { self.fresh } else { &self.kept }
    }
}

impl Child {
    pub(super) fn new(piped: Piped, owner: Owner, charge: Charge) -> Child {
        Child {
            piped,
            owner,
            state: State::Starting,
            deadline: None,
            reason: None,
            has_served: false,
            era: None,
            refusal: None,
            left: false,
            pending: KeyMap::new(),
            questions: 0,
            states: States::default(),
            read_deadline: None,
            last_id: 0,
            described: None,
            discovered: None,
            listening: None,
            listens_later: false,
            info: None,
            level: None,
            output: VecDeque::new(),
            held: Vec::new(),
            input: Vec::new(),
            splitter: Splitter::default(),
            noise_lines: 0,
            stderr_line: Vec::new(),
            tail: VecDeque::new(),
            charge,
        }
    }

    /// Counts what its buffers hold now.
    fn recount(&mut self) {
        self.charge.set(self.output.capacity() + self.held.capacity() + self.input.capacity());
    }

    /// True if it takes messages, now or once it has started.
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    /// True if nothing waits for it and it waits for nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.questions == 0
    }

    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Bytes that it has not taken yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.output.len() + self.held.len()
    }

    /// Bytes of peers' data that are kept for it.
    pub(super) fn held_bytes(&self) -> usize {
        self.charge.bytes() + self.pending.values().map(Pending::held_bytes).sum::<usize>()
    }

    /// Sends a message, which `write` appends: at once, or once it has started. Nothing is sent to a child that ends.
    pub(super) fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.state {
            State::Starting => {
                append_line(&mut self.held, write);
                self.recount();
            }
            State::Running => self.send_now(write),
            State::Draining | State::Ending => {}
        }
    }

    /// Gives up a request that it was sent.
    pub(super) fn send_cancelled(&mut self, id: i64) {
        self.send(|out| {
            jsonrpc::write_notification(out, "notifications/cancelled", |out| {
                Object::new(out).int("requestId", id);
            });
        });
    }

    /// Refuses a question of its own.
    pub(super) fn refuse(&mut self, question: &Id, error: &Error) {
        self.questions = self.questions.saturating_sub(1);
        self.send(|out| jsonrpc::write_error(out, Some(question.into()), error));
    }

    /// Sends a message before those that wait for its start.
    pub(super) fn send_now(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut line = Vec::new();
        append_line(&mut line, write);
        self.write_line(&line);
    }

    /// As [`send`](Child::send), of a message that is written already, and whose end of line is added.
    pub(super) fn send_written(&mut self, message: &mut Vec<u8>) {
        end_line(message, 0);
        match self.state {
            State::Starting => {
                self.held.extend_from_slice(message);
                self.recount();
            }
            State::Running => self.write_line(message),
            State::Draining | State::Ending => {}
        }
    }

    fn write_line(&mut self, line: &[u8]) {
        let written = if self.output.is_empty() { self.piped.write(line).unwrap_or(line.len()) } else { 0 };
        self.output.extend(line.get(written..).unwrap_or_default());
        self.recount();
    }

    /// It has started. What has waited for that goes to [`send_held`](Child::send_held).
    pub(super) fn begin(&mut self) -> Vec<u8> {
        (self.state, self.has_served) = (State::Running, true);
        std::mem::take(&mut self.held)
    }

    /// Takes over what waits for the start of another one, which has ended.
    pub(super) fn inherit(&mut self, other: &mut Child) {
        self.held = std::mem::take(&mut other.held);
        self.last_id = self.last_id.max(other.last_id);
        let open = std::mem::take(&mut other.pending);
        self.pending.extend(open.into_entries().filter(|(_, pending)| !pending.introduces()));
        self.recount();
    }

    /// The open request of that kind.
    pub(super) fn open_about(&mut self, about: About) -> Option<&mut Pending> {
        self.pending.values_mut().find(|pending| pending.about == about)
    }

    /// True if it was asked for its revisions, and has not answered.
    pub(super) fn is_asked_for_revisions(&self) -> bool {
        self.state == State::Starting && self.pending.values().any(|pending| pending.about == About::Discover)
    }

    /// Sends the lines that have waited for its start.
    pub(super) fn send_held(&mut self, held: &[u8]) {
        self.output.extend(held);
        self.write_on();
    }

    /// Writes what the pipe takes. Returns true if it took something.
    pub(super) fn write_on(&mut self) -> bool {
        let mut took = false;
        while !self.output.is_empty() {
            let (first, _) = self.output.as_slices();
            match self.piped.write(first) {
                Some(0) => {
                    self.recount();
                    return took;
                }
                Some(written) => {
                    took = true;
                    self.output.drain(..written);
                }
                // The end of the child is met when it is read from.
                None => self.output.clear(),
            }
        }
        self.output = VecDeque::new();
        self.recount();
        took
    }

    /// True if it does not take what was written to it.
    pub(super) fn is_blocked(&self) -> bool {
        !self.output.is_empty()
    }

    /// Closes its standard input. What it has not taken is dropped.
    pub(super) fn close_stdin(&mut self) {
        self.piped.close_stdin();
        (self.output, self.held) = (VecDeque::new(), Vec::new());
        self.recount();
    }

    /// Reads once from standard output. What is left of the bytes goes back by [`keep`](Child::keep).
    pub(super) fn read<'s>(&mut self, scratch: &'s mut [u8]) -> Output<'s> {
        let taken = self.piped.read_stdout(scratch);
        let count = if let Taken::Bytes(count) = taken { count } else { 0 };
        let (mut kept, fresh) = (std::mem::take(&mut self.input), scratch.get(..count).unwrap_or_default());
        if !kept.is_empty() {
            kept.extend_from_slice(fresh);
        }
        Output { kept, fresh, taken }
    }

    /// The next message in `rest`, as it stands.
    pub(super) fn next_line<'b>(
        &mut self,
        rest: &mut &'b [u8],
        line_bytes_max: usize,
    ) -> Option<Result<&'b [u8], Fault>> {
        match self.splitter.next(rest, line_bytes_max)? {
            Line::TooLong => Some(Err(Fault::TooLong)),
            Line::Whole(line) if matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) => {
                self.noise_lines = 0;
                Some(Ok(line))
            }
            Line::Whole(line) => {
                self.noise_lines += 1;
                match self.noise_lines > CHILD_NOISE_LINES_MAX {
                    true => Some(Err(Fault::Noise(line.to_vec()))),
                    false => Some(Ok(line)),
                }
            }
        }
    }

    /// Keeps the beginning of a line, the last `left` bytes, for the next read.
    pub(super) fn keep(&mut self, Output { mut kept, fresh, .. }: Output<'_>, left: usize) {
        if kept.is_empty() {
            kept.extend_from_slice(fresh.get(fresh.len().saturating_sub(left)..).unwrap_or_default());
        } else {
            kept.drain(..kept.len().saturating_sub(left));
            // A long message before must not be paid for by an idle child.
            kept.shrink_to(2 * left);
        }
        self.input = kept;
        self.recount();
    }

    /// Takes bytes of standard error, and returns the lines that they complete.
    pub(super) fn take_stderr(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = CHILD_LOG_LINE_BYTES_MAX.saturating_sub(self.stderr_line.len());
            self.stderr_line.extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                lines.extend(self.take_stderr_line());
            }
        }
        self.tail.extend(bytes.get(bytes.len().saturating_sub(CHILD_TAIL_BYTES_MAX)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(CHILD_TAIL_BYTES_MAX);
        self.tail.drain(..excess);
        lines
    }

    /// The line of standard error that is not whole; `None` if it is blank.
    pub(super) fn take_stderr_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.stderr_line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        // What it prints must not look like another line of ours, nor move the cursor.
        (!text.is_empty()).then(|| without_hidden(&text.replace('\t', " ")).into_owned())
    }

    /// The last lines of standard error, for an error that a person reads: on one line; empty if it said nothing.
    pub(super) fn last_words(&self) -> String {
        let (mut first, second) = self.tail.as_slices();
        let mut all = Vec::new();
        if self.tail.len() == CHILD_TAIL_BYTES_MAX
            && let Some(end) = first.iter().position(|byte| *byte == b'\n')
        {
            first = first.get(end + 1..).unwrap_or_default();
        }
        all.extend_from_slice(first);
        all.extend_from_slice(second);
        let text = String::from_utf8_lossy(&all);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        without_hidden(&lines.collect::<Vec<_>>().join(" | ")).into_owned()
    }
}

fn append_line(lines: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = lines.len();
    write(lines);
    end_line(lines, start);
}

/// Ends a line that begins at `start`.
fn end_line(lines: &mut Vec<u8>, start: usize) {
    keep_on_one_line(lines.get_mut(start..).unwrap_or_default());
    lines.push(b'\n');
}
