//! A connection whose messages are lines, without HTTP.
//!
//! *Scope:* the turn of such a connection: which bytes are kept, when its peer has to wait. *Not in scope:* what ends a line
//! ([`lines`](crate::lines)), what a line says, what is sent.
//!
//! ```text
//!  begin_lines ──▶ next_line ─┬─ a line, or one that is too long ──▶ the caller serves it
//!                    ▲  ▲     └─ none, or over half of output_bytes_max waits ──▶ end_lines: the rest is kept
//!                    └──┴─────────────── next line ◀──── served
//! ```

use crate::http::conn::close::CloseReason;
use crate::http::conn::input::Kept;
use crate::http::conn::{Conn, State};
use crate::http::response::Common;
use crate::lines::Line;
use crate::timers::{Nanos, Now};

/// There is no memory for a line, which is skipped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl Conn {
    /// A connection without HTTP.
    pub(crate) fn of_lines(now: Now) -> Conn {
        Conn { state: State::Lines(Box::default()), ..Conn::new(now) }
    }

    /// True if its messages are lines.
    pub fn is_lines(&self) -> bool {
        matches!(self.state, State::Lines(_))
    }

    /// Begins a turn with what a read brought, or without bytes with what waits. `kept` is room for bytes of earlier reads.
    /// Returns what there is to read.
    ///
    /// # Errors
    /// There is no memory for more of the line that has begun: it is skipped, and what follows it is in the bytes themselves.
    pub(crate) fn begin_lines<'b>(
        &mut self,
        bytes: &'b [u8],
        kept: &'b mut Kept,
        common: &mut Common,
    ) -> Result<&'b [u8], NoMemory> {
        if self.input.is_empty() {
            return Ok(bytes);
        }
        if !bytes.is_empty() && !self.store(bytes, self.line_max(common), common) {
            self.skip_line(common);
            return Err(NoMemory);
        }
        kept.bytes = std::mem::take(&mut self.input);
        Ok(kept.bytes.as_slice())
    }

    /// The next line, if there is one, and room for its answer.
    pub(crate) fn next_line<'b>(&mut self, rest: &mut &'b [u8], common: &Common) -> Option<Line<'b>> {
        if self.output.len() > self.backlog_max(&common.limits) {
            return None;
        }
        let State::Lines(splitter) = &mut self.state else { return None };
        let max = common.limits.body_bytes_max;
        let line = splitter.next(rest, max);
        if line.is_none() && self.eof { splitter.last(rest, max) } else { line }
    }

    /// Ends a turn: the last `left` bytes are kept, the beginning of a line or lines that wait.
    ///
    /// # Errors
    /// There is no memory for the line that has begun: it is skipped.
    pub(crate) fn end_lines(
        &mut self,
        left: usize,
        bytes: &[u8],
        Kept { bytes: mut kept, .. }: Kept,
        common: &mut Common,
    ) -> Result<(), NoMemory> {
        if !self.is_lines() {
            kept.clear(&mut common.pool);
            return Ok(());
        }
        self.stalled = self.output.len() > self.backlog_max(&common.limits);
        if !kept.is_empty() {
            let used = kept.len().saturating_sub(left);
            kept.consume(&mut common.pool, used);
            self.input = kept;
            self.begin_line(used, common);
            return Ok(());
        }
        let used = bytes.len().saturating_sub(left);
        let rest = bytes.get(used..).unwrap_or_default();
        self.begin_line(bytes.len(), common);
        if !rest.is_empty() && !self.store(rest, self.line_max(common), common) {
            self.skip_line(common);
            return Err(NoMemory);
        }
        Ok(())
    }

    /// Notes when the line began that is not whole, if anything before it was taken.
    fn begin_line(&mut self, used: usize, common: &Common) {
        if used > 0 && !self.eof {
            self.since = Nanos::of(common.now);
        }
    }

    /// Skips the line that has begun. If complete lines wait as well, for whose answers there is no room, they get none, and
    /// the connection is closed.
    pub(crate) fn skip_line(&mut self, common: &mut Common) {
        if self.stalled {
            return self.abort(CloseReason::Budget, common);
        }
        if let State::Lines(splitter) = &mut self.state {
            splitter.skip();
        }
        self.input.clear(&mut common.pool);
    }

    /// The most that the beginning of a line takes.
    fn line_max(&self, common: &Common) -> Option<usize> {
        Some(common.limits.body_bytes_max.saturating_add(1))
    }
}
