//! What a connection does with bytes that arrive.
//!
//! *Scope:* the part of [`Conn`] that takes requests out of what has arrived: [`Input`] and [`Step`]. *Not in scope:* the
//! states and their deadlines ([`conn`](crate::http::conn)), answers (`output.rs`).
//!
//! A request that is whole within one read is parsed where it lies and nothing is copied. Otherwise the `input` buffer
//! holds its head followed by the content so far, and the head is parsed a second time when the content is whole.
//!
//! ```text
//!  begin ──▶ step ──▶ Search ──head whole──▶ parse ──▶ Step::Head ─┬─▶ read_body ─┬─ Body::Whole ──▶ the caller answers
//!             ▲ ▲                                                  │              ├─ Body::TooLong ──▶ the caller answers 413
//!             │ │                                                  │              └─ Body::Awaited ─▶ body, read by read
//!             │ │                                                  └─▶ refuse_head                        │
//!             │ └─────────────── next request ◀──── answered ◀────────── the caller ◀──── Step::Request ◀─┘
//!             └── Step::Refused; Step::More ──▶ end
//! ```

use std::time::Duration;

use crate::http::body::{Decoder, Progress};
use crate::http::conn::close::CloseReason;
use crate::http::conn::{Conn, Pending, State};
use crate::http::head::{Fields, Framing, Head, parse};
use crate::http::refusal::{Refusal, budget_spent};
use crate::http::remembered::RememberedHead;
use crate::http::response::{Common, CommonFields, OwnedResponse, RequestTraits, Response};
use crate::http::search::Search;
use crate::limits::Limits;
use crate::memory::{Buffer, grown};
use crate::timers::Nanos;

/// What a peer may send on a connection that carries a stream. Nothing is expected there; a pipelined request or two of a
/// confused client is tolerated, a flood is not.
const STREAM_INPUT_BYTES_MAX: usize = 4 << 10;

/// Bytes that a turn works through: what a read brought, or what was kept of earlier reads. It does not borrow the connection,
/// so the caller can use that freely between two steps.
#[derive(Debug)]
pub struct Input<'b> {
    bytes: &'b [u8],
    used: usize,
    /// The head that was found last.
    head: &'b [u8],
    remembered: Option<&'b RememberedHead>,
    refused: Option<Refusal>,
}

impl<'b> Input<'b> {
    fn new(bytes: &'b [u8], remembered: Option<&'b RememberedHead>) -> Input<'b> {
        Input { bytes, used: 0, head: b"", remembered, refused: None }
    }

    /// How many bytes were used.
    pub fn used(&self) -> usize {
        self.used
    }

    /// What was not used yet: behind a head its body, as far as that is here.
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }
}

/// Room during a turn for what the connection keeps from one turn to the next: bytes of earlier reads, a head.
#[derive(Debug, Default)]
pub struct Kept {
    pub(crate) bytes: Buffer,
    head: Option<Box<RememberedHead>>,
}

/// What [`Conn::step`] found.
#[derive(Debug)]
pub enum Step<'b> {
    /// A head is complete and valid. The caller decides: [`Conn::read_body`] or [`Conn::refuse_head`].
    Head(Head<'b>),
    /// A request is whole whose body came in pieces. The caller answers it, at once or later.
    Request(WholeRequest),
    /// What the peer sent was refused; the response is in the output, and the connection is closed after it.
    Refused(Refusal),
    /// Nothing more can be done now: bytes are missing, or room in the output, or the answer to a request.
    More,
}

/// What [`Conn::read_body`] found.
#[derive(Debug)]
pub enum Body<'b> {
    /// The body is here. The caller answers the request, at once or later.
    Whole(&'b [u8]),
    /// The body is to come: [`Step::Request`] will bring it.
    Awaited,
    /// The body is announced with this length, which is more than `body_bytes_max`. It is not read: the caller answers
    /// with [`Conn::refuse_head`] (RFC 9110 §15.5.14).
    TooLong(u64),
    /// There is no memory for the request; it was refused.
    Refused(Refusal),
}

/// A request whose body came in pieces: its head and its body, end to end.
#[derive(Debug)]
pub struct WholeRequest {
    bytes: Buffer,
    head_len: usize,
}

impl WholeRequest {
    /// Reads the head again, and returns it with the body.
    ///
    /// # Errors
    /// None as long as the limits are those that the head was first read with.
    pub fn read<'b>(
        &'b self,
        fields: &'b mut Fields<'b>,
        limits: &Limits,
    ) -> Result<(Head<'b>, &'b [u8]), Refusal> {
        let (head, body) = self.bytes.as_slice().split_at_checked(self.head_len).unwrap_or_default();
        Ok((parse(head, fields, limits)?, body))
    }

    /// Returns the memory to the pool.
    pub fn release(mut self, common: &mut Common) {
        self.bytes.clear(&mut common.pool);
    }
}

/// A turn: `begin`, then `step` until it returns [`Step::More`], then `end`.
impl Conn {
    /// Begins a turn with what a read brought, at most `turn_bytes_max`; with no bytes to go on with what waits. `kept` is
    /// room for bytes of earlier reads; hand it to [`end`](Conn::end).
    #[inline]
    pub fn begin<'b>(&mut self, bytes: &'b [u8], kept: &'b mut Kept, common: &mut Common) -> Input<'b> {
        if self.input.is_empty() || !matches!(self.state, State::Head(_)) {
            kept.head = self.remembered.take();
            return Input::new(bytes, kept.head.as_deref());
        }
        if !bytes.is_empty() && !self.store(bytes, None, common) {
            let refused = Some(self.refuse(budget_spent(), CloseReason::Budget, false, common));
            return Input { refused, ..Input::new(bytes, None) };
        }
        kept.bytes = std::mem::take(&mut self.input);
        Input::new(kept.bytes.as_slice(), None)
    }

    /// Works through the input to the next point where the caller has to decide or to answer.
    #[inline]
    pub fn step<'b: 'f, 'f>(
        &mut self,
        input: &mut Input<'b>,
        fields: &'f mut Fields<'f>,
        common: &mut Common,
    ) -> Step<'f> {
        // After most requests there is nothing more.
        match input.rest().is_empty() && input.refused.is_none() && !self.eof {
            true => Step::More,
            false => self.work_through(input, fields, common),
        }
    }

    #[inline(always)]
    fn work_through<'b: 'f, 'f>(
        &mut self,
        input: &mut Input<'b>,
        fields: &'f mut Fields<'f>,
        common: &mut Common,
    ) -> Step<'f> {
        if let Some(refusal) = input.refused.take() {
            return Step::Refused(refusal);
        }
        loop {
            let rest = input.rest();
            if rest.is_empty() {
                return self.rest_is_missing(common);
            }
            match &mut self.state {
                // Its driver has not said that the handshake is over, but there is no other way to get here.
                State::Handshake => self.end_handshake(common),
                State::Head(_) if self.output.len() >= common.limits.turn_bytes_max => return Step::More,
                State::Head(_) => {
                    return match self.repeated_head(input, common) {
                        Some(head) => Step::Head(head),
                        None => self.find_head(input, fields, common),
                    };
                }
                State::Body(_) => match self.decode(input, common) {
                    Ok(None) => {}
                    Ok(Some(request)) => return Step::Request(request),
                    Err(refusal) => return Step::Refused(refusal),
                },
                // Lines have a turn of their own.
                State::Waiting(_) | State::Chunks(_) | State::Lines(_) => return Step::More,
                State::Stream | State::Closing(_) | State::Linger(_) | State::Closed { .. } => {
                    input.used = input.bytes.len();
                    self.drop_input(rest.len(), common);
                }
            }
        }
    }

    /// Ends a turn: bytes from `used` on are kept, which are the beginning of a head, or requests that wait. Returns the
    /// refusal that was sent instead, if there is no memory for them.
    #[inline]
    pub fn end(
        &mut self,
        used: usize,
        bytes: &[u8],
        Kept { bytes: mut kept, head }: Kept,
        common: &mut Common,
    ) -> Option<Refusal> {
        let mut refused = None;
        let may_repeat =
            matches!(self.state, State::Head(_) | State::Body(_) | State::Waiting(_) | State::Chunks(_));
        if may_repeat && self.remembered.is_none() {
            self.remembered = head;
        }
        if !may_repeat {
            kept.clear(&mut common.pool);
        } else if !kept.is_empty() {
            kept.consume(&mut common.pool, used);
            if !kept.is_empty() {
                self.input = kept;
            }
        } else {
            let rest = bytes.get(used..).unwrap_or_default();
            if !rest.is_empty() && !self.store(rest, None, common) {
                // In the middle of a response there is no place for another one.
                match self.is_chunking() {
                    true => self.abort(CloseReason::Budget, common),
                    false => refused = Some(self.refuse(budget_spent(), CloseReason::Budget, false, common)),
                }
            }
        }
        let is_head = matches!(self.state, State::Head(_));
        let max = common.limits.turn_bytes_max;
        self.stalled = is_head && self.output.len() >= max || self.is_waiting() && self.input.len() >= max;
        refused
    }

    /// The peer will send nothing more. To be called before a turn, in which a whole request is still answered; a stream is
    /// over.
    pub fn end_input(&mut self, common: &mut Common) {
        self.eof = true;
        match self.state {
            State::Handshake | State::Stream | State::Linger(_) => {
                self.abort(CloseReason::EndOfInput, common);
            }
            State::Lines(_) => self.since = Nanos::of(common.now),
            _ => {}
        }
    }

    fn rest_is_missing(&mut self, common: &mut Common) -> Step<'static> {
        match self.state {
            State::Head(Search { began: false, .. }) if self.eof => {
                self.enter(State::Closing(CloseReason::EndOfInput), common);
            }
            State::Head(Search { began: true, .. }) | State::Body(_) if self.eof => {
                let reason = "the connection was half-closed within a request; send requests whole";
                return Step::Refused(self.refuse(
                    Refusal::new(400, reason),
                    CloseReason::EndOfInput,
                    false,
                    common,
                ));
            }
            _ => {}
        }
        Step::More
    }

    /// Takes the head that is remembered, if it comes again.
    #[inline(always)]
    fn repeated_head<'b>(&mut self, input: &mut Input<'b>, common: &mut Common) -> Option<Head<'b>> {
        let State::Head(Search { began: false, .. }) = self.state else { return None };
        let (head, bytes) = input.remembered?.read(input.rest())?;
        input.used += bytes.len();
        input.head = bytes;
        self.enter(State::Waiting(RequestTraits::of(&head)), common);
        Some(head)
    }

    fn find_head<'b: 'f, 'f>(
        &mut self,
        input: &mut Input<'b>,
        fields: &'f mut Fields<'f>,
        common: &mut Common,
    ) -> Step<'f> {
        let rest = input.rest();
        let State::Head(search) = &mut self.state else { return Step::More };
        let found = search.find(rest, &common.limits);
        let skipped = search.take_skipped();
        let begun = rest.get(skipped..).unwrap_or_default();
        let head_only = begun.starts_with(b"HEAD ");
        let range = match found {
            Ok(Some(range)) => range,
            Ok(None) => {
                // A CR alone may become one more empty line, which begins nothing.
                if !b"\r".starts_with(begun) && !search.began {
                    search.began = true;
                    self.since = Nanos::of(common.now);
                }
                input.used += skipped;
                return self.rest_is_missing(common);
            }
            Err(refusal) => {
                return Step::Refused(self.refuse(refusal, CloseReason::Refused, head_only, common));
            }
        };
        input.used += range.end;
        input.head = rest.get(range).unwrap_or_default();
        match parse(input.head, fields, &common.limits) {
            Ok(head) => {
                self.enter(State::Waiting(RequestTraits::of(&head)), common);
                Step::Head(head)
            }
            Err(refusal) => Step::Refused(self.refuse(refusal, CloseReason::Refused, head_only, common)),
        }
    }
}

/// What the caller decides at a head.
impl Conn {
    /// Puts back the head that [`step`](Conn::step) has just returned, because the caller cannot decide yet. Nothing more is
    /// taken from the input until [`resume_head`](Conn::resume_head).
    pub(crate) fn hold_head(&mut self, input: &mut Input<'_>) {
        input.used = input.used.saturating_sub(input.head.len());
    }

    /// The caller can decide about the head that it has put back: the next turn finds it again. Returns false if the connection
    /// has ended meanwhile.
    #[cfg(feature = "auth")]
    pub(crate) fn resume_head(&mut self, common: &mut Common) -> bool {
        if !self.is_waiting() {
            return false;
        }
        let fresh = self.fresh;
        self.enter(State::new_head(), common);
        // Its first request is not answered yet.
        self.fresh = fresh;
        true
    }

    /// Sets the fields that every response to the current request gets.
    pub fn set_common_fields(&mut self, fields: Option<Box<CommonFields>>) {
        self.common_fields = fields;
    }

    /// Reads the body of the request whose head [`step`](Conn::step) has just returned.
    #[inline]
    pub fn read_body<'b>(&mut self, head: &Head<'_>, input: &mut Input<'b>, common: &mut Common) -> Body<'b> {
        let State::Waiting(to) = self.state else { return Body::Awaited };
        if let Framing::Length(length) = head.framing
            && length > common.limits.body_bytes_max as u64
        {
            return Body::TooLong(length);
        }
        if let Some(body) = whole_body(head, input) {
            // The first request of a connection is often its last one.
            if !self.fresh && !head.repeats() {
                self.remember(head, input, common);
            }
            return Body::Whole(body);
        }
        let total = length_of(head).map(|length| length.saturating_add(input.head.len()));
        if !self.store(input.head, total, common) {
            return Body::Refused(self.refuse(budget_spent(), CloseReason::Budget, to.head_only, common));
        }
        if head.expect_continue && input.rest().is_empty() {
            self.begin_output(common.now);
            self.output.append(&mut common.pool, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.await_body(head, input, to, false, common);
        Body::Awaited
    }

    /// Remembers the head, unless the one that is remembered stays.
    fn remember(&mut self, head: &Head<'_>, input: &Input<'_>, common: &Common) {
        let before = self.remembered.as_deref().or(input.remembered);
        if let Some(patience) = before.map_or(Some(0), RememberedHead::give_way) {
            let head = RememberedHead::of(head, input.head, patience, &common.heads);
            self.remembered = head.map(Box::new).or(self.remembered.take());
        }
    }

    /// Refuses the request whose head [`step`](Conn::step) has just returned. As a rule its body is read and dropped before the
    /// answer is sent. A peer that waits for `100 Continue` gets the answer at once instead, and the connection is closed,
    /// because it may send the body or not (RFC 9110 §10.1.1); likewise one whose body is too long. With `unread`, for clients
    /// that are not admitted, a body longer than `linger_bytes_max` or of unknown length counts as too long.
    pub fn refuse_head(
        &mut self,
        head: &Head<'_>,
        input: &mut Input<'_>,
        answer: &OwnedResponse,
        unread: bool,
        common: &mut Common,
    ) {
        let State::Waiting(to) = self.state else { return };
        let max = if unread { common.limits.linger_bytes_max } else { common.limits.body_bytes_max };
        let announced = match head.framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            // Its length is known only after reading it.
            Framing::Chunked if unread => u64::MAX,
            Framing::Chunked => 0,
        };
        if announced > max as u64 || head.expect_continue {
            self.close_after_response(CloseReason::Refused);
            self.answer(answer, common);
        } else if whole_body(head, input).is_some() {
            self.answer(answer, common);
        } else {
            answer.write(common, &mut self.input, to, self.common_fields.as_deref());
            self.await_body(head, input, to, true, common);
        }
    }

    fn await_body(
        &mut self,
        head: &Head<'_>,
        input: &Input<'_>,
        to: RequestTraits,
        refused: bool,
        common: &mut Common,
    ) {
        let pending = Pending {
            decoder: Decoder::new(head.framing),
            head_len: input.head.len(),
            to,
            total: length_of(head).map(|length| length.saturating_add(input.head.len())),
            deadline: Nanos::of(common.now).later(common.limits.body_timeout),
            refused,
        };
        self.enter(State::Body(Box::new(pending)), common);
    }

    /// Decodes more of a body. Returns the request if the body is whole now and is not dropped.
    fn decode(
        &mut self,
        input: &mut Input<'_>,
        common: &mut Common,
    ) -> Result<Option<WholeRequest>, Refusal> {
        let State::Body(pending) = &mut self.state else { return Ok(None) };
        let bytes = input.rest();
        let Common { pool, limits, now, .. } = common;
        // Bytes extend the deadline by the time that they take at `body_rate_min`, to `body_timeout` from now at most, however
        // fast they came: they are held meanwhile.
        let rate = limits.body_rate_min.max(1) as u64;
        let earned = Duration::from_nanos((bytes.len() as u64).saturating_mul(1_000_000_000) / rate);
        let latest = Nanos::of(*now).later(limits.body_timeout);
        pending.deadline = pending.deadline.later(earned).min(latest);
        let (decoder, total, to) = (&mut pending.decoder, pending.total, pending.to);
        let (input_kept, refused, max) = (&mut self.input, pending.refused, limits.buffered_bytes_max);
        let mut has_room = true;
        let decoded = decoder.decode(bytes, limits, |data| {
            has_room = has_room && (refused || input_kept.gather(pool, data, total, max));
        });
        let decoded = decoded.map_err(|refusal| (refusal, CloseReason::Refused));
        let spent = || (budget_spent(), CloseReason::Budget);
        let decoded = decoded.and_then(|progress| has_room.then_some(progress).ok_or_else(spent));
        let Progress { used, done } = decoded.map_err(|(refusal, reason)| {
            input.used = input.bytes.len();
            self.refuse(refusal, reason, to.head_only, common)
        })?;
        input.used += used;
        Ok(if done { self.complete(common) } else { None })
    }

    /// The body is whole.
    fn complete(&mut self, common: &mut Common) -> Option<WholeRequest> {
        let State::Body(pending) = &self.state else { return None };
        let Pending { to, head_len, refused, .. } = **pending;
        let mut bytes = std::mem::take(&mut self.input);
        self.enter(State::Waiting(to), common);
        bytes.join(&mut common.pool);
        if !refused {
            return Some(WholeRequest { bytes, head_len });
        }
        self.begin_output(common.now);
        self.output.append(&mut common.pool, bytes.as_slice());
        bytes.clear(&mut common.pool);
        self.finish_response(common);
        None
    }

    /// Sends the last response of this connection: from here on the peer's bytes have no certain meaning.
    pub(crate) fn refuse(
        &mut self,
        refusal: Refusal,
        reason: CloseReason,
        head_only: bool,
        common: &mut Common,
    ) -> Refusal {
        let retry: &[(&str, &str)] = if refusal.status == 503 { &[("Retry-After", "1")] } else { &[] };
        let response = Response { headers: retry, ..Response::text(refusal.status, &refusal.reason) };
        let to = RequestTraits { head_only, keep_alive: false, chunks: false };
        self.begin_output(common.now);
        common.respond(&mut self.output, &response, to, self.common_fields.as_deref());
        self.enter(State::Closing(reason), common);
        refusal
    }

    fn drop_input(&mut self, count: usize, common: &mut Common) {
        self.dropped = self.dropped.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let max = if self.is_stream() { STREAM_INPUT_BYTES_MAX } else { common.limits.linger_bytes_max };
        if self.dropped as usize > max {
            self.abort(CloseReason::UnreadInput, common);
        }
    }

    /// Appends to `input`, unless that takes all peers together over the global budget.
    pub(crate) fn store(&mut self, bytes: &[u8], total: Option<usize>, common: &mut Common) -> bool {
        let room = common.limits.buffered_bytes_max.saturating_sub(common.pool.used());
        self.input.write_whole(&mut common.pool, |out| append(out, bytes, total, room))
    }
}

/// The length of the body, if the head says it. Chunks have to be put together.
fn length_of(head: &Head<'_>) -> Option<usize> {
    match head.framing {
        Framing::None => Some(0),
        Framing::Length(length) => usize::try_from(length).ok(),
        Framing::Chunked => None,
    }
}

/// Takes the body out of the input if it is there whole.
fn whole_body<'b>(head: &Head<'_>, input: &mut Input<'b>) -> Option<&'b [u8]> {
    let body = input.rest().get(..length_of(head)?)?;
    input.used += body.len();
    Some(body)
}

/// Appends `data` if the memory it takes is at most `room`; returns false if it is more.
fn append(out: &mut Vec<u8>, data: &[u8], total: Option<usize>, room: usize) -> bool {
    let target = grown(out.capacity(), out.len().saturating_add(data.len()), total);
    if target - out.capacity() > room {
        return false;
    }
    out.reserve_exact(target - out.len());
    out.extend_from_slice(data);
    true
}
