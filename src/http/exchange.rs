//! Responses that are not at hand when their request is read: whole ones that come later, and streams in chunks.
//!
//! *Scope:* a request that waits for its response, and the response's chunks (RFC 9112 §7.1). *Not in scope:* what is in
//! them; streams that last as long as their connection ([`Reply::stream`](super::conn::Reply::stream)).
//!
//! ```text
//!  Reply::wait ──▶ Waiting ──respond──────────────────────────────▶ Head, or Closing
//!                     └─────begin_chunks──▶ Chunks ──end_chunks───▶ Head, or Closing
//!                                            └─▶ push
//! ```
//!
//! What the peer sends meanwhile is kept for afterwards, up to `turn_bytes_max`; then reading stops.

use super::conn::{Conn, State};
use super::response::{Response, Shared};
use crate::timers::Nanos;
use crate::{Limits, Now};

/// The place of a chunk's size before the chunk is written. Leading zeros are lawful (RFC 9112 §7.1).
const SIZE_PLACE: &[u8] = b"00000000\r\n";

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
    pub fn respond(&mut self, now: Now, shared: &mut Shared, response: &Response<'_>) {
        if let State::Waiting(to) = self.state {
            let quiet = self.output.is_empty();
            shared.respond(&mut self.output, response, to, self.extra.as_deref());
            self.over(now, to, quiet, shared);
        }
    }

    /// Begins a streamed answer to the request that waits: [`push`](Conn::push) writes on. To HTTP/1.0, which knows no
    /// chunks, it lasts until the connection is closed.
    pub fn begin_chunks(
        &mut self,
        now: Now,
        shared: &mut Shared,
        content_type: &str,
        headers: &[(&str, &str)],
    ) {
        let State::Waiting(to) = self.state else { return };
        if self.output.is_empty() {
            self.begin_output(now);
        }
        if to.chunks {
            shared.respond_chunks(&mut self.output, content_type, headers, to, self.extra.as_deref());
            self.state = State::Chunks(to);
        } else {
            shared.respond_stream(&mut self.output, content_type, headers, self.extra.as_deref(), |_| {});
            self.state = State::Stream;
        }
    }

    /// Ends a streamed answer.
    pub fn end_chunks(&mut self, now: Now, shared: &mut Shared) {
        if let State::Chunks(to) = self.state {
            let quiet = self.output.is_empty();
            self.output.append(&mut shared.pool, b"0\r\n\r\n");
            self.over(now, to, quiet, shared);
        } else {
            self.end_stream();
        }
    }

    fn over(&mut self, now: Now, to: super::response::To, quiet: bool, shared: &mut Shared) {
        self.state = State::after(to);
        self.extra = None;
        self.since = Nanos::of(now);
        self.fresh = false;
        if self.input.is_empty() || !matches!(self.state, State::Head { .. }) {
            return self.settle(now, quiet, shared);
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

/// Writes one chunk: nothing at all if `write` writes nothing, because an empty chunk would be the end.
pub(super) fn write_chunk<R>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let start = out.len();
    out.extend_from_slice(SIZE_PLACE);
    let result = write(out);
    let size = out.len() - start - SIZE_PLACE.len();
    if size == 0 {
        out.truncate(start);
        return result;
    }
    set_size(out, start, size);
    out.extend_from_slice(b"\r\n");
    result
}

/// A chunk of 4 GiB or more has a longer size, for which there is no place yet.
fn set_size(out: &mut Vec<u8>, start: usize, size: usize) {
    let place = start..start + SIZE_PLACE.len() - 2;
    out.splice(place, format!("{size:08x}").into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_measured_after_it_is_written() {
        let mut out = b"before".to_vec();
        write_chunk(&mut out, |out| out.extend_from_slice(&[b'x'; 26]));
        assert_eq!(out, [b"before0000001a\r\n".as_slice(), &[b'x'; 26], b"\r\n"].concat());
        write_chunk(&mut out, |_| {});
        assert!(out.ends_with(b"x\r\n"));
    }

    #[test]
    fn a_size_of_more_digits_pushes_the_line_end_on() {
        let mut out = [b"before", SIZE_PLACE, b"data"].concat();
        set_size(&mut out, 6, usize::MAX);
        assert_eq!(out, format!("before{:x}\r\ndata", usize::MAX).into_bytes());
    }
}
