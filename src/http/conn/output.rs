//! Answers: whole ones, and streams.
//!
//! *Scope:* how the request that was taken is answered, at once or later, and what follows on the connection. *Not in
//! scope:* what is in an answer; how responses are written ([`response`](crate::http::response)).
//!
//! ```text
//!  Waiting ─┬─ respond, answer, accept ─────────────────────────────▶ Head, or Closing
//!           ├─ open_stream ─────────────────▶ Stream ─ end_response ─▶ Closing
//!           └─ begin_chunks ──▶ Chunks ─ end_response ──────────────▶ Head, or Closing
//!                                 └─▶ push
//! ```
//!
//! What the peer sends meanwhile is kept for afterwards, up to `turn_bytes_max`; then reading stops.

use crate::http::conn::close::CloseReason;
use crate::http::conn::{Conn, State};
use crate::http::head::Head;
use crate::http::response::{Common, OwnedResponse, Response, write_chunk};
use crate::limits::Limits;
use crate::text::shown;

impl Conn {
    /// True if a request waits for its response, or for the end of it.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Chunks(_))
    }

    /// True if a response is being sent in chunks.
    pub fn is_chunking(&self) -> bool {
        matches!(self.state, State::Chunks(_))
    }

    /// True if this connection carries a stream that ends with it.
    pub fn is_stream(&self) -> bool {
        matches!(self.state, State::Stream)
    }

    /// Answers the request that waits with a whole response. Does nothing if none waits.
    pub fn respond(&mut self, response: &Response<'_>, common: &mut Common) {
        if let State::Waiting(to) = self.state {
            self.begin_output(common.now);
            common.respond(&mut self.output, response, to, self.common_fields.as_deref());
            self.finish_response(common);
        }
    }

    /// As [`respond`](Conn::respond), with an [`OwnedResponse`].
    pub fn answer(&mut self, answer: &OwnedResponse, common: &mut Common) {
        if let State::Waiting(to) = self.state {
            self.begin_output(common.now);
            answer.write(common, &mut self.output, to, self.common_fields.as_deref());
            self.finish_response(common);
        }
    }

    /// As [`respond`](Conn::respond), with `202 Accepted` and the text `Accepted`.
    #[inline]
    pub fn accept(&mut self, common: &mut Common) {
        if let State::Waiting(to) = self.state {
            self.begin_output(common.now);
            common.accept(&mut self.output, to, self.common_fields.as_deref());
            self.finish_response(common);
        }
    }

    /// Answers with 500 if the request still waits: without an answer its peer would hang, and would take the next answer for
    /// this one.
    pub fn fail_unanswered(&mut self, head: &Head<'_>, common: &mut Common) {
        if let State::Waiting(_) = self.state {
            let path = shown(head.path.as_bytes());
            let text = format!("the server gave no answer to {} {path}", head.method);
            self.respond(&Response::text(500, &text), common);
        }
    }

    /// Makes the response to the request that waits the last one of the connection. To be called before the answer.
    pub fn close_after_response(&mut self, reason: CloseReason) {
        if let State::Waiting(to) = &mut self.state {
            to.keep_alive = false;
            self.last_because = reason;
        }
    }

    /// Answers with a body that lasts until either side closes the connection, and writes its first bytes.
    ///
    /// To HEAD, the head alone is sent, and to a peer that has half-closed, the head and the first bytes. Returns true if the
    /// stream is open: [`push`](Conn::push) then writes on.
    pub fn open_stream(
        &mut self,
        content_type: &str,
        headers: &[(&str, &str)],
        common: &mut Common,
        first: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let State::Waiting(to) = &mut self.state else { return false };
        to.keep_alive = false;
        let opens = !to.head_only;
        self.begin_output(common.now);
        let fields = self.common_fields.as_deref();
        common.respond_stream(&mut self.output, content_type, headers, fields, |out| {
            if opens {
                first(out);
            }
        });
        // A peer that has sent its last byte by now may have done so before this request came up.
        let opens = opens && !self.eof;
        self.enter(if opens { State::Stream } else { State::Closing(CloseReason::Complete) }, common);
        opens
    }

    /// Begins a streamed answer to the request that waits: [`push`](Conn::push) writes on. To HTTP/1.0, which knows no
    /// chunks, it lasts until the connection is closed.
    pub fn begin_chunks(&mut self, content_type: &str, headers: &[(&str, &str)], common: &mut Common) {
        let State::Waiting(to) = self.state else { return };
        self.begin_output(common.now);
        let fields = self.common_fields.as_deref();
        if to.chunks {
            common.respond_chunks(&mut self.output, content_type, headers, to, fields);
            self.enter(State::Chunks(to), common);
        } else {
            common.respond_stream(&mut self.output, content_type, headers, fields, |_| {});
            self.enter(State::Stream, common);
        }
    }

    /// Writes on in the stream or among the lines, or one more chunk; `None` if this connection carries none (any more).
    pub fn push<R>(&mut self, common: &mut Common, write: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let chunks = self.is_chunking();
        if !chunks && !self.is_stream() && !self.is_lines() {
            return None;
        }
        self.begin_output(common.now);
        let result = self.output.write(&mut common.pool, |out| match chunks {
            true => write_chunk(out, write),
            false => write(out),
        });
        if self.output.is_empty() {
            self.output.clear(&mut common.pool);
        }
        Some(result)
    }

    /// Ends a streamed answer: what is queued is sent. A stream ends by closing the connection.
    pub fn end_response(&mut self, common: &mut Common) {
        match self.state {
            State::Chunks(_) => {
                self.begin_output(common.now);
                self.output.append(&mut common.pool, b"0\r\n\r\n");
                self.finish_response(common);
            }
            State::Stream => self.enter(State::Closing(CloseReason::Complete), common),
            _ => {}
        }
    }

    /// The response is in the output. Requests that have come meanwhile wait for a turn, and so does the end of the input.
    pub(crate) fn finish_response(&mut self, common: &mut Common) {
        if let State::Waiting(to) | State::Chunks(to) = self.state {
            let next = if to.keep_alive { State::new_head() } else { State::Closing(self.last_because) };
            self.enter(next, common);
            self.stalled = matches!(self.state, State::Head(_)) && (!self.input.is_empty() || self.eof);
        }
    }

    /// True if requests wait for a turn and there is room for their answers.
    pub fn wants_turn(&self, limits: &Limits) -> bool {
        let waits = self.stalled && matches!(self.state, State::Head(_) | State::Lines(_));
        waits && self.output.len() < self.backlog_max(limits)
    }
}
