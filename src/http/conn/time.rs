//! Time on one connection: how long each wait may take, and what happens when it is over.
//!
//! *Scope:* deadlines of reading and writing, and peers that keep every deadline and dawdle all the same. *Not in scope:*
//! clocks and timers; the engine asks when, and says that it is time. The table of deadlines is in `mod.rs`.

use std::time::Duration;

use crate::http::conn::{Conn, State};
use crate::http::refusal::Refusal;
use crate::http::response::Common;
use crate::limits::Limits;
use crate::timers::{Nanos, Now};

impl Conn {
    /// When [`expire`](Conn::expire) wants to be called, as time on the `mono` clock.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        [self.read_deadline(limits), self.write_deadline(limits)].into_iter().flatten().min()
    }

    /// The deadline passed (if it did): 408 and close for half a request, else close. Does nothing before that. Returns the
    /// refusal that was sent.
    pub fn expire(&mut self, common: &mut Common) -> Option<Refusal> {
        let now = common.now.mono;
        let passed = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(self.write_deadline(&common.limits)) {
            self.abort(common);
            return None;
        }
        if !passed(self.read_deadline(&common.limits)) {
            return None;
        }
        let (what, head_only) = match &self.state {
            State::Head { began: true, .. } => ("head", false),
            State::Body(pending) => ("body", pending.to.head_only),
            _ => {
                self.abort(common);
                return None;
            }
        };
        let text = format!("the request's {what} took too long; send it faster");
        Some(self.refuse(Refusal::new(408, text), head_only, common))
    }

    /// True if what is held has been held for longer than an honest peer needs as a rule: half a request for more than
    /// `body_timeout`, though it may come as fast as `body_rate_min` wants it; output, though some of it is taken now and
    /// then, or what was sent on behind a request that waits, for more than `write_timeout`. Nobody is cut off for that
    /// alone, but such a connection gives way where there is no room.
    pub fn is_overdue(&self, now: Now, limits: &Limits) -> bool {
        let passed = |since: Nanos, wait: Duration| since.after(wait) <= now.mono;
        let has_output = !self.output.is_empty() && passed(self.behind, limits.write_timeout);
        let has_input = !self.input.is_empty()
            && match self.state {
                State::Body(_) | State::Lines(_) => passed(self.since, limits.body_timeout),
                State::Waiting(_) | State::Chunks(_) => passed(self.since, limits.write_timeout),
                // Heads have a deadline that nothing stretches; what else is here waits for output to be taken.
                _ => false,
            };
        has_output || has_input
    }

    /// Since when nothing was sent although the peer takes what it is sent; `None` while output waits, and where no answer
    /// or stream is open.
    pub fn silent_since(&self) -> Option<Duration> {
        let since = match self.state {
            State::Waiting(_) => self.since.max(self.wrote),
            State::Chunks(_) | State::Stream => self.wrote,
            State::Head { .. }
            | State::Body(_)
            | State::Lines(_)
            | State::Closing
            | State::Linger
            | State::Closed => {
                return None;
            }
        };
        self.output.is_empty().then(|| since.duration())
    }

    /// To be called before output is written: if there is none, a wait for the peer begins.
    pub(crate) fn begin_output(&mut self, now: Now) {
        if self.output.is_empty() {
            self.wrote = Nanos::of(now);
            self.behind = self.wrote;
        }
    }

    fn read_deadline(&self, limits: &Limits) -> Option<Duration> {
        let wait = match &self.state {
            // Not read, or not yet answered: the peer is not the one who is late.
            State::Head { .. } if self.stalled => return None,
            State::Head { began: true, .. } => limits.head_timeout,
            State::Head { began: false, .. } if !self.output.is_empty() => return None,
            State::Head { began: false, .. } if self.fresh => limits.head_timeout,
            State::Head { began: false, .. } => limits.idle_timeout,
            State::Body(pending) => return Some(pending.deadline.duration()),
            State::Linger => limits.linger_timeout,
            // What is open is still answered, but what waits for the peer would wait for ever.
            State::Lines(_) if self.eof => limits.shutdown_grace,
            State::Lines(_) => return None,
            State::Waiting(_) | State::Chunks(_) | State::Stream | State::Closing | State::Closed => {
                return None;
            }
        };
        Some(self.since.after(wait))
    }

    fn write_deadline(&self, limits: &Limits) -> Option<Duration> {
        let waits = !self.output.is_empty();
        waits.then(|| self.wrote.after(limits.write_timeout))
    }
}
