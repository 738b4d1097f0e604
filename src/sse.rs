//! Server-sent events: frames out, events in.
//!
//! *Scope:* the `text/event-stream` format of the WHATWG HTML standard, section 9.2: an encoder that appends to a byte
//! buffer, and a bounded incremental [`Decoder`].
//! *Not in scope:* the HTTP response around the stream, reconnecting, and what the events mean.
//!
//! ```text
//!              first byte not ':'                 CR | LF | CRLF
//!   line start ──────────────────▶ field line ────────────────────▶ line start   (field kept for the event)
//!     │  │  │                          │
//!     │  │  └ ':' ──▶ comment ─────────│──── CR | LF | CRLF ──────▶ line start   (nothing kept)
//!     │  │                             │
//!     │  └ CR | LF | CRLF ── data seen? yes: Event, no: nothing ──▶ line start   (fields forgotten, id persists)
//!     │                                │
//!     └──── more than event_bytes_max ─┴──▶ TooLong, for good
//! ```
//!
//! ```
//! use mcp_rill::sse::{self, Decoder};
//! let mut stream = Vec::new();
//! sse::event(&mut stream, "endpoint", "/messages?sessionId=1");
//! sse::comment(&mut stream, "ping");
//! sse::Frame { id: Some("7"), data: Some("{}"), ..Default::default() }.encode(&mut stream);
//! assert_eq!(stream, b"event: endpoint\ndata: /messages?sessionId=1\n\n: ping\n\nid: 7\ndata: {}\n\n");
//!
//! let mut decoder = Decoder::new(1024);
//! let mut bytes = &stream[..];
//! let endpoint = decoder.next(&mut bytes)?.unwrap();
//! assert_eq!((&*endpoint.name, &*endpoint.data), ("endpoint", "/messages?sessionId=1"));
//! let message = decoder.next(&mut bytes)?.unwrap();
//! assert_eq!((&*message.name, &*message.data, decoder.last_id()), ("message", "{}", "7"));
//! assert_eq!(decoder.next(&mut bytes)?, None); // everything was taken: read more
//! # Ok::<(), sse::TooLong>(())
//! ```

use std::mem;

use memchr::{memchr2, memchr3};

use crate::text::{error_text, write_number};

/// The media type of an event stream (WHATWG HTML, section 9.2.7).
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The text before one line of JSON that makes it a `message` event (MCP 2024-11-05, basic/transports).
///
/// With [`MESSAGE_END`] it frames a message that is written straight into the output. The text between the two must
/// be one line: what [`jsonrpc`](crate::jsonrpc) writes always is.
///
/// ```
/// use mcp_rill::sse::{MESSAGE_END, MESSAGE_START};
/// let frame = [MESSAGE_START, b"{}", MESSAGE_END].concat();
/// assert_eq!(frame, b"event: message\ndata: {}\n\n");
/// ```
pub const MESSAGE_START: &[u8] = b"event: message\ndata: ";

/// The text after the line that [`MESSAGE_START`] begins: the end of that line, and the blank line that dispatches it.
pub const MESSAGE_END: &[u8] = b"\n\n";

/// Appends one named event: `event: NAME`, a `data:` line for each line of `data`, and a blank line.
///
/// CR, LF and CRLF in `data` all end a line, so a reader gets LF for each. A name cannot hold a line end: CR, LF
/// and NUL in it are left out, so that it can never begin another field.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::sse::event(&mut out, "log", "one\r\ntwo");
/// assert_eq!(out, b"event: log\ndata: one\ndata: two\n\n");
/// ```
pub fn event(out: &mut Vec<u8>, name: &str, data: &str) {
    Frame { event: Some(name), data: Some(data), ..Frame::default() }.encode(out);
}

/// Appends a comment, which readers skip: it keeps proxies from closing a quiet stream (WHATWG HTML 9.2.7).
///
/// CR, LF and NUL in `text` are left out.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::sse::comment(&mut out, "ping");
/// assert_eq!(out, b": ping\n\n");
/// ```
pub fn comment(out: &mut Vec<u8>, text: &str) {
    line(out, b": ", text);
    out.push(b'\n');
}

/// Appends an `id:` line, which belongs to the event whose `data:` follows: put it before [`MESSAGE_START`].
///
/// CR, LF and NUL in `id` are left out: the first two would end the line, the last makes readers ignore the field.
///
/// ```
/// use mcp_rill::sse;
/// let mut out = Vec::new();
/// sse::id(&mut out, "3/14");
/// out.extend_from_slice(sse::MESSAGE_START);
/// assert_eq!(out, b"id: 3/14\nevent: message\ndata: ");
/// ```
pub fn id(out: &mut Vec<u8>, id: &str) {
    line(out, b"id: ", id);
}

/// Appends a `retry:` line: how many milliseconds a reader waits before it reconnects.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::sse::retry(&mut out, 1500);
/// assert_eq!(out, b"retry: 1500\n");
/// ```
pub fn retry(out: &mut Vec<u8>, ms: u64) {
    out.extend_from_slice(b"retry: ");
    write_number(out, ms);
    out.push(b'\n');
}

/// One event with any of its fields; the absent ones are not written.
///
/// Without `data` readers dispatch no event, but they keep `id` and `retry_ms`.
///
/// The priming event of MCP 2025-11-25 (basic/transports) has an id and empty data:
///
/// ```
/// use mcp_rill::sse::Frame;
/// let mut out = Vec::new();
/// Frame { id: Some("0"), retry_ms: Some(500), data: Some(""), ..Frame::default() }.encode(&mut out);
/// assert_eq!(out, b"id: 0\nretry: 500\ndata:\n\n");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event's name; readers take an absent or empty one for `message`. CR, LF and NUL are left out.
    pub event: Option<&'a str>,
    /// What a reader sends as `Last-Event-ID` when it reconnects. CR, LF and NUL are left out.
    pub id: Option<&'a str>,
    /// Milliseconds a reader waits before it reconnects.
    pub retry_ms: Option<u64>,
    /// The payload, in as many `data:` lines as it has lines.
    pub data: Option<&'a str>,
}

impl Frame<'_> {
    /// Appends the fields in the order `event`, `id`, `retry`, `data`, then the blank line that dispatches them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(name) = self.event {
            line(out, b"event: ", name);
        }
        if let Some(text) = self.id {
            id(out, text);
        }
        if let Some(ms) = self.retry_ms {
            retry(out, ms);
        }
        if let Some(data) = self.data {
            let mut rest = Some(data.as_bytes());
            while let Some(text) = rest {
                let (first, more) = split_line(text);
                out.extend_from_slice(if first.is_empty() { b"data:" } else { b"data: " });
                out.extend_from_slice(first);
                out.push(b'\n');
                rest = more.map(|(end, tail)| match (end, tail) {
                    (b'\r', [b'\n', tail @ ..]) => tail,
                    _ => tail,
                });
            }
        }
        out.push(b'\n');
    }
}

/// An event that a [`Decoder`] read. Its id is [`Decoder::last_id`] until the next one.
///
/// ```
/// use mcp_rill::sse::{Decoder, Event};
/// let event = Decoder::new(64).next(&mut &b"data: one\ndata: two\n\n"[..])?;
/// assert_eq!(event, Some(Event { name: "message".into(), data: "one\ntwo".into() }));
/// # Ok::<(), mcp_rill::sse::TooLong>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; `message` when it was absent or empty.
    pub name: String,
    /// The `data` fields joined by LF.
    pub data: String,
}

/// The lines of an event have more bytes than the decoder allows. The decoder reads no further.
///
/// ```
/// use mcp_rill::sse::{Decoder, TooLong};
/// let error = Decoder::new(8).next(&mut &b"data: more than that\n\n"[..]).unwrap_err();
/// assert_eq!(error, TooLong { event_bytes_max: 8 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The `event_bytes_max` of the decoder.
    pub event_bytes_max: usize,
}

error_text!(TooLong: |error| "an event is longer than {} bytes", error.event_bytes_max);

/// Reads an event stream in pieces of any size (WHATWG HTML 9.2.6, "interpreting an event stream").
///
/// Lines end with CR, LF or CRLF. One byte order mark at the start is skipped. Bytes that are not UTF-8 become U+FFFD. An
/// event that the end of the stream cuts off is dropped. The work is linear in the input, however it is cut.
///
/// The decoder keeps what a client needs to connect again:
///
/// ```
/// let mut decoder = mcp_rill::sse::Decoder::new(1024);
/// let event = decoder.next(&mut &b"id: 7\nretry: 500\ndata: {}\n\n"[..])?;
/// assert_eq!((decoder.last_id(), decoder.retry_ms()), ("7", Some(500)));
/// # Ok::<(), mcp_rill::sse::TooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    event_bytes_max: usize,
    /// Bytes of this event's field lines so far, counted as they come: the result does not depend on how the stream is cut
    /// into pieces.
    event_bytes: usize,
    /// Bytes of the byte order mark matched so far, until it is known whether there is one.
    mark: Option<usize>,
    at: At,
    /// The part of a field line that has come so far.
    line: Vec<u8>,
    /// The line ended with CR: a LF right after it belongs to the same line end.
    after_cr: bool,
    name: Vec<u8>,
    data: Option<Vec<u8>>,
    /// Takes effect at the next blank line: a cut-off event must not move the point a reader resumes from.
    pending_id: Option<String>,
    last_id: String,
    retry_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Field,
    Comment,
    Failed,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Decoder {
    /// A decoder at the start of a stream.
    ///
    /// `event_bytes_max` bounds the bytes of one event's lines together, without line ends and comments. Memory stays
    /// within about four times that.
    pub fn new(event_bytes_max: usize) -> Decoder {
        Decoder {
            event_bytes_max,
            event_bytes: 0,
            mark: Some(0),
            at: At::LineStart,
            line: Vec::new(),
            after_cr: false,
            name: Vec::new(),
            data: None,
            pending_id: None,
            last_id: String::new(),
            retry_ms: None,
        }
    }

    /// Removes bytes from the front of `input` up to the end of the next event. Returns `None` if they have no end of an event:
    /// then all are removed.
    ///
    /// Comments and unknown fields are skipped.
    ///
    /// # Errors
    /// [`TooLong`] when one event exceeds `event_bytes_max`, and on every call after that.
    ///
    /// ```
    /// use mcp_rill::sse::Decoder;
    /// let mut decoder = Decoder::new(64);
    /// let mut names = Vec::new();
    /// for mut piece in ["event: a\r", "\ndata: 1\n\r", "\ndata: 2\n\n"].map(str::as_bytes) {
    ///     while let Some(event) = decoder.next(&mut piece)? {
    ///         names.push(event.name);
    ///     }
    /// }
    /// assert_eq!(names, ["a", "message"]);
    /// # Ok::<(), mcp_rill::sse::TooLong>(())
    /// ```
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, TooLong> {
        self.skip_mark(input)?;
        loop {
            if self.at == At::Failed {
                return Err(TooLong { event_bytes_max: self.event_bytes_max });
            }
            let Some((&first, tail)) = input.split_first() else { return Ok(None) };
            if mem::take(&mut self.after_cr) && first == b'\n' {
                *input = tail;
                continue;
            }
            if self.at == At::LineStart && first == b':' {
                self.at = At::Comment;
            }
            let (text, more) = split_line(input);
            if self.at != At::Comment {
                self.count(text.len())?;
            }
            let Some((end, tail)) = more else {
                *input = &[];
                if self.at != At::Comment {
                    self.at = At::Field;
                    self.line.extend_from_slice(text);
                }
                return Ok(None);
            };
            *input = tail;
            self.after_cr = end == b'\r';
            match mem::replace(&mut self.at, At::LineStart) {
                At::LineStart if text.is_empty() => match self.dispatch() {
                    None => {}
                    event => return Ok(event),
                },
                At::LineStart => self.field(text),
                At::Field => {
                    // Taken, not cleared: a decoder that has seen one large event gives its memory back.
                    let mut held = mem::take(&mut self.line);
                    held.extend_from_slice(text);
                    self.field(&held);
                }
                At::Comment | At::Failed => {}
            }
        }
    }

    /// The last event id that took effect, to be sent as `Last-Event-ID` after a reconnect; empty if there is none.
    ///
    /// An event without an `id` keeps the one before. A copy in each [`Event`] would let a peer with one long id and
    /// many short events make the reader copy far more than it receives.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The last `retry` of the stream in milliseconds, if there was one that fits.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Returns how many bytes of an event that is not whole are kept.
    #[cfg(feature = "bridge")]
    pub(crate) fn unused_bytes(&self) -> usize {
        self.line.len() + self.name.len() + self.data.as_ref().map_or(0, Vec::len)
    }

    fn skip_mark(&mut self, input: &mut &[u8]) -> Result<(), TooLong> {
        while let (Some(matched), Some((first, tail))) = (self.mark, input.split_first()) {
            if BYTE_ORDER_MARK.get(matched) == Some(first) {
                *input = tail;
                self.mark = Some(matched + 1).filter(|n| *n < BYTE_ORDER_MARK.len());
                continue;
            }
            // Not a mark after all: what looked like one begins the first line.
            self.mark = None;
            if matched > 0 {
                self.at = At::Field;
                self.line.extend(BYTE_ORDER_MARK.iter().take(matched));
                self.count(matched)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.event_bytes = self.event_bytes.saturating_add(bytes);
        if self.event_bytes <= self.event_bytes_max {
            return Ok(());
        }
        (self.line, self.name, self.data) = (Vec::new(), Vec::new(), None);
        self.at = At::Failed;
        Err(TooLong { event_bytes_max: self.event_bytes_max })
    }

    fn field(&mut self, line: &[u8]) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.name = value.to_vec(),
            b"data" => match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"id" if !value.contains(&0) => self.pending_id = Some(text(value.to_vec())),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let ms = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry_ms = ms.or(self.retry_ms);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.event_bytes = 0;
        if let Some(id) = self.pending_id.take() {
            self.last_id = id;
        }
        let name = mem::take(&mut self.name);
        let data = text(self.data.take()?);
        let name = if name.is_empty() { "message".to_owned() } else { text(name) };
        Some(Event { name, data })
    }
}

/// Splits at the first line end: the line, and if there is one its first byte (CR or LF) with what follows that.
fn split_line(bytes: &[u8]) -> (&[u8], Option<(u8, &[u8])>) {
    let at = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    let (line, tail) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (line, tail.split_first().map(|(end, tail)| (*end, tail)))
}

/// Appends a field whose value must stay on its line.
fn line(out: &mut Vec<u8>, field: &[u8], value: &str) {
    out.extend_from_slice(field);
    let mut rest = value.as_bytes();
    while let Some((good, bad)) = memchr3(b'\r', b'\n', 0, rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(good);
        rest = bad.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
