//! Responses that are not at hand when their request is read: whole ones that come later, and streams in chunks.
//!
//! *Scope:* a request that waits for its response, and the response's chunks (RFC 9112 §7.1). *Not in scope:* what is in
//! them; streams that last as long as their connection ([`Reply::stream`](crate::http::conn::Reply::stream)).
//!
//! ```text
//!  Reply::wait ──▶ Waiting ──respond──────────────────────────────▶ Head, or Closing
//!                     └─────begin_chunks──▶ Chunks ──end_chunks───▶ Head, or Closing
//!                                            └─▶ push
//! ```
//!
//! What the peer sends meanwhile is kept for afterwards, up to `turn_bytes_max`; then reading stops.

use crate::http::conn::{Conn, State};
use crate::http::response::{Common, RequestTraits, Response};
use crate::limits::Limits;
use crate::timers::{Nanos, Now};

impl Conn {
    /// Whether a request waits for its response, or for the end of it.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Chunks(_))
    }

    /// Whether a response is being sent in chunks.
    pub fn is_chunking(&self) -> bool {
        matches!(self.state, State::Chunks(_))
    }

    /// Answers the request that waits. Does nothing if none does.
    pub fn respond(&mut self, now: Now, common: &mut Common, response: &Response<'_>) {
        if let State::Waiting(to) = self.state {
            let quiet = self.output.is_empty();
            common.respond(&mut self.output, response, to, self.common_fields.as_deref());
            self.over(now, to, quiet, common);
        }
    }

    /// Begins a streamed answer to the request that waits: [`push`](Conn::push) writes on. To HTTP/1.0, which knows no
    /// chunks, it lasts until the connection is closed.
    pub fn begin_chunks(
        &mut self,
        now: Now,
        common: &mut Common,
        content_type: &str,
        headers: &[(&str, &str)],
    ) {
        let State::Waiting(to) = self.state else { return };
        if self.output.is_empty() {
            self.begin_output(now);
        }
        if to.chunks {
            common.respond_chunks(&mut self.output, content_type, headers, to, self.common_fields.as_deref());
            self.state = State::Chunks(to);
        } else {
            common.respond_stream(
                &mut self.output,
                content_type,
                headers,
                self.common_fields.as_deref(),
                |_| {},
            );
            self.state = State::Stream;
        }
    }

    /// Ends a streamed answer.
    pub fn end_chunks(&mut self, now: Now, common: &mut Common) {
        if let State::Chunks(to) = self.state {
            let quiet = self.output.is_empty();
            self.output.append(&mut common.pool, b"0\r\n\r\n");
            self.over(now, to, quiet, common);
        } else {
            self.end_stream();
        }
    }

    fn over(&mut self, now: Now, to: RequestTraits, quiet: bool, common: &mut Common) {
        self.state = State::after(to);
        self.common_fields = None;
        self.since = Nanos::of(now);
        self.fresh = false;
        if self.input.is_empty() || !matches!(self.state, State::Head { .. }) {
            return self.settle(now, quiet, common);
        }
        // Requests came meanwhile: they wait for `resume`, also where the peer has sent all it had to say.
        self.stalled = true;
        if quiet {
            self.begin_output(now);
        }
    }

    /// Whether requests wait for [`resume`](Conn::resume) and there is room for their answers.
    pub fn wants_resume(&self, limits: &Limits) -> bool {
        let waits = self.stalled && matches!(self.state, State::Head { .. });
        waits && self.output.len() < limits.turn_bytes_max
    }
}
