//! Time on one connection: how long each wait may take, and what happens when it is over.
//!
//! *Scope:* deadlines of reading and writing, and peers that meet every deadline and still hold memory for long. *Not in
//! scope:* clocks and timers; the engine asks for the next deadline, and calls when it has passed. The table of deadlines is in
//! `mod.rs`.

use std::time::Duration;

use crate::http::conn::close::CloseReason;
use crate::http::conn::{Conn, State};
use crate::http::refusal::Refusal;
use crate::http::response::Common;
use crate::http::search::Search;
use crate::limits::Limits;
use crate::timers::{Nanos, Now, earlier};

/// What a connection waits for most of the time, with nothing to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The next request: `idle_timeout` from the last byte of the answer before.
    Request,
    /// Something to send on its stream: a comment `keep_alive` after what was sent last.
    Stream,
}

impl Conn {
    /// Returns when [`expire`](Conn::expire) has to be called, as time on the `mono` clock.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        self.due(limits).map(Nanos::duration)
    }

    pub(crate) fn due(&self, limits: &Limits) -> Option<Nanos> {
        earlier(self.read_deadline(limits), self.write_deadline(limits))
    }

    /// Returns what the connection rests in; `None` if its deadline may come earlier than it is now.
    pub(crate) fn rest(&self) -> Option<Rest> {
        match self.state {
            _ if !self.output.is_empty() => None,
            State::Head(Search { began: false, .. }) if !self.fresh && !self.stalled => Some(Rest::Request),
            State::Stream => Some(Rest::Stream),
            _ => None,
        }
    }

    /// The deadline passed (if it did): 408 and close for half a request, else close. Does nothing before that. Returns the
    /// refusal that was sent.
    pub fn expire(&mut self, common: &mut Common) -> Option<Refusal> {
        let now = Nanos::of(common.now);
        let passed = |deadline: Option<Nanos>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(self.write_deadline(&common.limits)) {
            self.abort(CloseReason::WriteTimeout, common);
            return None;
        }
        if !passed(self.read_deadline(&common.limits)) {
            return None;
        }
        let (what, reason, head_only) = match &self.state {
            State::Head(Search { began: true, .. }) => ("head", CloseReason::HeadTimeout, false),
            State::Body(pending) => ("body", CloseReason::BodyTimeout, pending.to.head_only),
            // What has lingered long enough has its reason already.
            state => {
                let reason = match state {
                    State::Lines(_) => CloseReason::EndOfInput,
                    State::Handshake => CloseReason::HandshakeTimeout,
                    _ => CloseReason::Idle,
                };
                self.abort(reason, common);
                return None;
            }
        };
        let text = format!("the request's {what} took too long; send it faster");
        Some(self.refuse(Refusal::new(408, text), reason, head_only, common))
    }

    /// True if what is held has been held for longer than an honest peer needs as a rule: half a request for more than
    /// `body_timeout`, though it may come as fast as `body_rate_min` wants it; output, though some of it is taken now and then,
    /// or what was sent on behind a request that waits, for more than `write_timeout`. No connection is closed for that alone,
    /// but such a connection is shed first when there is no room.
    pub fn is_overdue(&self, now: Now, limits: &Limits) -> bool {
        let passed = |since: Nanos, wait: Duration| since.later(wait) <= Nanos::of(now);
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
    pub(crate) fn silent_since(&self) -> Option<Nanos> {
        let since = match self.state {
            State::Waiting(_) => self.since.max(self.wrote),
            State::Chunks(_) | State::Stream => self.wrote,
            State::Handshake
            | State::Head(_)
            | State::Body(_)
            | State::Lines(_)
            | State::Closing(_)
            | State::Linger(_)
            | State::Closed { .. } => {
                return None;
            }
        };
        self.output.is_empty().then_some(since)
    }

    /// To be called before output is written: if there is none, a wait for the peer begins.
    pub(crate) fn begin_output(&mut self, now: Now) {
        if self.output.is_empty() {
            self.wrote = Nanos::of(now);
            self.behind = self.wrote;
        }
    }

    fn read_deadline(&self, limits: &Limits) -> Option<Nanos> {
        let wait = match &self.state {
            State::Handshake => limits.handshake_timeout,
            // Not read, or not yet answered: the peer is not the one who is late.
            State::Head(_) if self.stalled => return None,
            State::Head(Search { began: true, .. }) => limits.head_timeout,
            State::Head(Search { began: false, .. }) if !self.output.is_empty() => return None,
            State::Head(Search { began: false, .. }) if self.fresh => limits.head_timeout,
            State::Head(Search { began: false, .. }) => limits.idle_timeout,
            State::Body(pending) => return Some(pending.deadline),
            State::Linger(_) => limits.linger_timeout,
            // What is open is still answered, but what waits for the peer would wait for ever.
            State::Lines(_) if self.eof => limits.shutdown_grace,
            State::Lines(_) => return None,
            State::Waiting(_)
            | State::Chunks(_)
            | State::Stream
            | State::Closing(_)
            | State::Closed { .. } => {
                return None;
            }
        };
        Some(self.since.later(wait))
    }

    fn write_deadline(&self, limits: &Limits) -> Option<Nanos> {
        let waits = !self.output.is_empty();
        waits.then(|| self.wrote.later(limits.write_timeout))
    }
}
