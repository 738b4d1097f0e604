//! What bytes do to a connection.
//!
//! *Scope:* the part of [`Conn`] that takes requests out of the input and puts answers into the output. *Not in scope:*
//! its interface, its states and their deadlines ([`conn`](crate::http::conn)).
//!
//! A request that is whole within one read is parsed where it lies and nothing is copied. Otherwise the `input` buffer
//! holds its head followed by the content so far, and the head is parsed a second time when the content is whole.
//!
//! ```text
//!  feed ──▶ advance ──▶ Search ──head whole──▶ start ──▶ parse ──▶ Handler::head
//!              ▲                                                     │
//!              │                 body whole in this read: deliver ◀──┼──▶ answer, if refused
//!              │                              │                      ▼
//!              └── next request ◀── answered ─┴──◀── complete ◀── body, read by read
//! ```

use std::ops::Range;
use std::time::Duration;

use crate::http::body::{Decoder, Progress};
use crate::http::conn::{Conn, Handler, Outcome, Pending, Reply, State, Verdict};
use crate::http::head::{Fields, Framing, Head, parse};
use crate::http::refusal::{Refusal, budget_spent};
use crate::http::response::{Common, OwnedResponse, RequestTraits, Response};
use crate::limits::Limits;
use crate::text::shown;
use crate::timers::{Nanos, Now};

/// What a peer may send on a connection that carries a stream. Nothing is expected there; a pipelined request or two
/// of a confused client is let pass, a flood is not.
const STREAM_INPUT_BYTES_MAX: usize = 4 << 10;

impl Conn {
    /// Puts what `advance` left aside: the beginning of a head, or requests that wait.
    pub(crate) fn keep(&mut self, bytes: &[u8], common: &mut Common) {
        if bytes.is_empty() || self.store(bytes, None, common) {
            return;
        }
        match self.is_chunking() {
            // In the middle of a response there is no place for another one.
            true => self.abort(common),
            false => self.refuse(common, &budget_spent(), false),
        }
    }

    pub(crate) fn advance_buffered(&mut self, now: Now, handler: &mut impl Handler) {
        let mut held = std::mem::take(&mut self.input);
        let used = self.advance(now, held.as_slice(), handler);
        held.consume(&mut handler.common().pool, used);
        if !held.is_empty() {
            self.input = held;
        }
    }

    /// Works through bytes that begin where the last call stopped. Returns how many are done with; what is left is
    /// the beginning of a head, or whole requests for whose answers there is no room yet.
    pub(crate) fn advance<H: Handler>(&mut self, now: Now, bytes: &[u8], handler: &mut H) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return used;
            }
            match &mut self.state {
                State::Head { search, began } => {
                    let limits = &handler.common().limits;
                    if self.output.len() >= limits.turn_bytes_max {
                        return used;
                    }
                    let found = search.find(rest, limits);
                    let skipped = search.take_skipped();
                    match found {
                        Ok(Some(range)) => used += self.start(now, rest, range, handler),
                        Ok(None) => {
                            // A CR alone may become one more empty line, which begins nothing.
                            let begun = rest.get(skipped..).is_some_and(|rest| !b"\r".starts_with(rest));
                            if begun && !*began {
                                *began = true;
                                self.since = Nanos::of(now);
                            }
                            return used + skipped;
                        }
                        Err(refusal) => {
                            let head_only = rest.get(skipped..).unwrap_or_default().starts_with(b"HEAD ");
                            self.refuse(handler.common(), &refusal, head_only);
                        }
                    }
                }
                State::Body(_) => used += self.body(now, rest, handler),
                State::Waiting(_) | State::Chunks(_) => return used,
                State::Stream | State::Closing | State::Linger | State::Closed => {
                    self.drop_input(rest.len(), &handler.common().limits);
                    return bytes.len();
                }
            }
        }
    }

    /// A whole head was found at `range` of `rest`. Returns how many bytes are done with.
    fn start<H: Handler>(&mut self, now: Now, rest: &[u8], range: Range<usize>, handler: &mut H) -> usize {
        let end = range.end;
        let bytes = rest.get(range).unwrap_or_default();
        let after = rest.get(end..).unwrap_or_default();
        let mut fields = Fields::new();
        let head = match parse(bytes, &mut fields, &handler.common().limits) {
            Ok(head) => head,
            Err(refusal) => {
                self.refuse(handler.common(), &refusal, bytes.starts_with(b"HEAD "));
                return end;
            }
        };
        let to = RequestTraits::of(&head);
        let length = match head.framing {
            Framing::None => Some(0),
            Framing::Length(length) => usize::try_from(length).ok(),
            // Chunks have to be put together, so they take the way over the buffer.
            Framing::Chunked => None,
        };
        let body = length.and_then(|length| after.get(..length));
        self.common_fields = handler.common_fields(&head);
        let verdict = handler.head(&head);
        let Limits { body_bytes_max, linger_bytes_max, .. } = handler.common().limits;
        let length_max =
            if matches!(verdict, Verdict::TurnAway(_)) { linger_bytes_max } else { body_bytes_max };
        let announced = match head.framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            // How long it is would show only by reading it.
            Framing::Chunked => {
                if matches!(verdict, Verdict::TurnAway(_)) {
                    u64::MAX
                } else {
                    0
                }
            }
        };
        if announced > length_max as u64 {
            let answer = match verdict {
                Verdict::Refuse(answer) | Verdict::TurnAway(answer) => *answer,
                Verdict::Read => handler.too_long(&head, announced),
            };
            self.answer(now, &answer, RequestTraits { keep_alive: false, ..to }, handler.common());
            return end;
        }
        match (verdict, body) {
            (Verdict::Refuse(answer) | Verdict::TurnAway(answer), _) if head.expect_continue => {
                self.answer(now, &answer, RequestTraits { keep_alive: false, ..to }, handler.common());
                end
            }
            (Verdict::Refuse(answer) | Verdict::TurnAway(answer), Some(body)) => {
                self.answer(now, &answer, to, handler.common());
                end + body.len()
            }
            (Verdict::Read, Some(body)) => {
                self.deliver(now, &head, body, handler);
                end + body.len()
            }
            (verdict, None) => {
                let waits = head.expect_continue && after.is_empty();
                let decoder = Decoder::new(head.framing);
                let (head_len, total) =
                    (bytes.len(), length.map(|length| length.saturating_add(bytes.len())));
                let refused = !matches!(verdict, Verdict::Read);
                let deadline = Nanos::of(now).later(handler.common().limits.body_timeout);
                let pending = Pending { decoder, head_len, to, total, deadline, refused };
                self.await_body(now, bytes, pending, waits, verdict, handler.common());
                end
            }
        }
    }

    fn await_body(
        &mut self,
        now: Now,
        head: &[u8],
        pending: Pending,
        waits: bool,
        verdict: Verdict,
        common: &mut Common,
    ) {
        self.since = Nanos::of(now);
        match verdict {
            Verdict::Refuse(answer) | Verdict::TurnAway(answer) => {
                answer.write(common, &mut self.input, pending.to, self.common_fields.as_deref());
            }
            Verdict::Read if self.store(head, pending.total, common) => {}
            Verdict::Read => return self.refuse(common, &budget_spent(), pending.to.head_only),
        }
        if waits {
            self.output.append(&mut common.pool, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = State::Body(Box::new(pending));
    }

    /// More of a body. Returns how many bytes belong to it.
    fn body<H: Handler>(&mut self, now: Now, bytes: &[u8], handler: &mut H) -> usize {
        let State::Body(pending) = &mut self.state else { return 0 };
        let common = handler.common();
        let Common { pool, limits, .. } = common;
        // What came fast earns no long wait: it is held meanwhile.
        let rate = limits.body_rate_min.max(1) as u64;
        let earned = Duration::from_nanos((bytes.len() as u64).saturating_mul(1_000_000_000) / rate);
        let latest = Nanos::of(now).later(limits.body_timeout);
        pending.deadline = pending.deadline.later(earned).min(latest);
        let (decoder, total) = (&mut pending.decoder, pending.total);
        let mut room = Some(limits.buffered_bytes_max.saturating_sub(pool.used()));
        let decoded = match pending.refused {
            true => decoder.decode(bytes, limits, |_| {}),
            false => self.input.write(pool, |out| {
                decoder
                    .decode(bytes, limits, |data| room = room.and_then(|room| append(out, data, total, room)))
            }),
        };
        let decoded = decoded.and_then(|progress| room.map(|_| progress).ok_or_else(budget_spent));
        match decoded {
            Ok(Progress { used, done }) => {
                if done {
                    self.complete(now, handler);
                }
                used
            }
            Err(refusal) => {
                let head_only = pending.to.head_only;
                self.refuse(common, &refusal, head_only);
                bytes.len()
            }
        }
    }

    /// The body is whole.
    fn complete<H: Handler>(&mut self, now: Now, handler: &mut H) {
        let State::Body(pending) = std::mem::replace(&mut self.state, State::Closed) else { return };
        let mut input = std::mem::take(&mut self.input);
        if pending.refused {
            let pool = &mut handler.common().pool;
            self.output.append(pool, input.as_slice());
            input.clear(pool);
            return self.answered(now, State::after(pending.to));
        }
        let mut fields = Fields::new();
        let (head, body) = input.as_slice().split_at_checked(pending.head_len).unwrap_or_default();
        match parse(head, &mut fields, &handler.common().limits) {
            Ok(head) => self.deliver(now, &head, body, handler),
            Err(refusal) => self.refuse(handler.common(), &refusal, pending.to.head_only),
        }
        input.clear(&mut handler.common().pool);
    }

    fn deliver<H: Handler>(&mut self, now: Now, head: &Head<'_>, body: &[u8], handler: &mut H) {
        let to = RequestTraits::of(head);
        let common_fields = self.common_fields.as_deref();
        let mut reply = Reply { output: &mut self.output, common_fields, to, outcome: Outcome::None };
        handler.request(head, body, &mut reply);
        if reply.outcome == Outcome::None {
            // A request without an answer would hang its peer, and the next answer would be taken for this one's.
            let path = shown(head.path.as_bytes());
            let text = format!("the server gave no answer to {} {path}", head.method);
            reply.send(handler.common(), &Response::text(500, &text));
        }
        let Reply { to, outcome, .. } = reply;
        let state = match outcome {
            Outcome::Stream => State::Stream,
            Outcome::Wait => State::Waiting(to),
            Outcome::None | Outcome::Sent => State::after(to),
        };
        self.answered(now, state);
    }

    fn answer(&mut self, now: Now, answer: &OwnedResponse, to: RequestTraits, common: &mut Common) {
        answer.write(common, &mut self.output, to, self.common_fields.as_deref());
        self.answered(now, State::after(to));
    }

    fn answered(&mut self, now: Now, state: State) {
        if !matches!(state, State::Waiting(_)) {
            self.common_fields = None;
        }
        self.state = state;
        self.since = Nanos::of(now);
        self.fresh = false;
    }

    /// The last response of this connection: from here on the peer's bytes have no certain meaning.
    pub(crate) fn refuse(&mut self, common: &mut Common, refusal: &Refusal, head_only: bool) {
        let retry: &[(&str, &str)] = if refusal.status == 503 { &[("Retry-After", "1")] } else { &[] };
        let response = Response { headers: retry, ..Response::text(refusal.status, &refusal.reason) };
        common.refused(refusal.status, refusal.reason.as_bytes());
        let to = RequestTraits { head_only, keep_alive: false, chunks: false };
        common.respond(&mut self.output, &response, to, self.common_fields.as_deref());
        self.common_fields = None;
        self.state = State::Closing;
    }

    fn drop_input(&mut self, count: usize, limits: &Limits) {
        self.dropped = self.dropped.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let max = if self.is_stream() { STREAM_INPUT_BYTES_MAX } else { limits.linger_bytes_max };
        if self.dropped as usize > max {
            self.state = State::Closed;
        }
    }

    /// Appends to `input`, unless that takes all peers together over the global budget.
    fn store(&mut self, bytes: &[u8], total: Option<usize>, common: &mut Common) -> bool {
        let room = common.limits.buffered_bytes_max.saturating_sub(common.pool.used());
        self.input.write(&mut common.pool, |out| append(out, bytes, total, room)).is_some()
    }

    /// Runs at the end of each call that may change the state.
    pub(crate) fn settle(&mut self, now: Now, quiet: bool, common: &mut Common) {
        let is_head = matches!(self.state, State::Head { .. });
        let max = common.limits.turn_bytes_max;
        self.stalled = is_head && self.output.len() >= max || self.is_waiting() && self.input.len() >= max;
        if self.eof && !self.stalled {
            match self.state {
                State::Head { began: false, .. } => self.state = State::Closing,
                State::Head { began: true, .. } | State::Body(_) => {
                    let reason = "the connection was half-closed within a request; send requests whole";
                    self.refuse(common, &Refusal::new(400, reason), false);
                }
                State::Stream => self.state = State::Closed,
                State::Waiting(_) | State::Chunks(_) | State::Closing | State::Linger | State::Closed => {}
            }
        }
        match self.state {
            State::Head { .. } | State::Body(_) | State::Waiting(_) | State::Chunks(_) => {}
            State::Stream | State::Closing | State::Linger => self.input.clear(&mut common.pool),
            State::Closed => self.release(common),
        }
        if quiet && !self.output.is_empty() {
            self.begin_output(now);
        }
    }
}

/// Appends `data` if the memory it takes is at most `room`; gives what is left of that.
///
/// A vector doubles when it grows; where the `total` is known it grows to no more than that, because a body of 4 MiB
/// must not be charged as 8.
fn append(out: &mut Vec<u8>, data: &[u8], total: Option<usize>, room: usize) -> Option<usize> {
    let (len, capacity) = (out.len(), out.capacity());
    let needed = len.saturating_add(data.len());
    if needed > capacity {
        let doubled = needed.max(capacity.saturating_mul(2));
        let target = total.map_or(doubled, |total| doubled.min(total.max(needed)));
        if target - capacity > room {
            return None;
        }
        out.reserve_exact(target - len);
    }
    out.extend_from_slice(data);
    Some(room.saturating_sub(out.capacity() - capacity))
}
