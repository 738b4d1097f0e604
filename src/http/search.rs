//! Finding the end of a head in bytes that arrive in pieces.
//!
//! *Scope:* [`Search`], which remembers how far it looked. *Not in scope:* what is in the lines, except for the version
//! at the end of the first one.
//!
//! httparse begins at the first byte on each call, so a head sent byte by byte would cost the square of its length.
//! The search remembers where it stopped, and httparse sees each head once, when it is whole. Line ends are judged
//! here alone, because httparse takes a bare LF for one. All that is decided here depends on positions only: a head is
//! accepted or refused in the same way however its bytes are cut.
//!
//! ```text
//!  start ──CR LF──▶ skipped ──CR LF──▶ refused          one empty line may precede a request (RFC 9112 §2.2)
//!    │                 │
//!    └──request line───┴──▶ fields ─┬─CR LF──▶ found
//!                             ▲     │
//!                             └─────┘ field line
//! ```
//!
//! ```
//! use mcp_rill::{Limits, http::head::Search};
//! let (limits, mut search) = (Limits::DEFAULT, Search::default());
//! assert_eq!(search.find(b"\r\nGET / HT", &limits)?, None);
//! assert_eq!(search.take_skipped(), 2);
//! assert_eq!(search.find(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", &limits)?, Some(0..27));
//! assert_eq!(Search::default().find(b"GET /\r\n", &limits).unwrap_err().status, 400);
//! # Ok::<(), mcp_rill::http::Refusal>(())
//! ```

use std::ops::Range;

use crate::http::refusal::Refusal;
use crate::limits::Limits;
use crate::text::{is_token_byte, shown, shown_field, shown_target};

/// Room in the first line for the method, the version, spaces and CR LF, besides the target itself. No method is longer.
const LINE_REST_BYTES_MAX: usize = 64;
/// Positions are kept in 32 bits, so that a connection stays small; no limit makes a head longer than this.
const HEAD_BYTES_CAP: usize = 1 << 30;

/// Where the search for the end of a head stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    start: u32,
    line: u32,
    from: u32,
    skipped: bool,
    in_fields: bool,
    response: bool,
    /// A byte of the head has come. Set by the caller, which decides when the wait for the head begins.
    pub(crate) began: bool,
}

impl Search {
    /// A search in a response (RFC 9112 §4), whose first line is judged by
    /// [`parse_response`](crate::http::client::parse_response).
    pub fn in_response() -> Search {
        Search { response: true, ..Search::default() }
    }

    /// Continues the search for the end of the head in `bytes`: those of the last call, and more.
    ///
    /// Returns the range of the head (without an empty line before it, with the one after it), or `None` if more
    /// bytes are needed.
    ///
    /// # Errors
    /// 400 for a bare LF, a second empty line, or what is not a request line (RFC 9112 §2.2, §3); 414 for a too long
    /// request line, or 501 if that is due to its method; 431 for a too long head; 505 for a version other than 1.0 and 1.1.
    pub fn find(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Range<usize>>, Refusal> {
        self.check_first_byte(bytes.get(self.start as usize))?;
        let from = self.from as usize;
        for at in memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
            if self.end_line(bytes, from + at + 1, limits)? {
                return Ok(Some(self.start as usize..from + at + 1));
            }
        }
        self.check_length(bytes, bytes.len(), limits)?;
        self.from = position(bytes.len());
        Ok(None)
    }

    /// A line ends before `end`. Returns whether it is the last one of the head.
    fn end_line(&mut self, bytes: &[u8], end: usize, limits: &Limits) -> Result<bool, Refusal> {
        self.check_length(bytes, end, limits)?;
        let line = bytes.get(self.line as usize..end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(self.bare_line_feed(bytes, line.trim_ascii_end()));
        };
        self.line = position(end);
        if !line.is_empty() {
            if !self.in_fields {
                self.check_first_line(line)?;
                self.in_fields = true;
            }
            return Ok(false);
        }
        if !self.in_fields {
            if self.skipped || self.response {
                return Err(Refusal::new(400, "empty lines stand before the first line; send at most one"));
            }
            self.skipped = true;
            (self.start, self.from) = (self.line, self.line);
            self.check_first_byte(bytes.get(end))?;
        }
        Ok(self.in_fields)
    }

    #[cold]
    fn bare_line_feed(&self, bytes: &[u8], line: &[u8]) -> Refusal {
        let before = bytes.get(self.start as usize..self.line as usize).unwrap_or_default();
        let named = match self.in_fields {
            true => shown_field(before.iter().filter(|byte| **byte == b'\n').count(), line),
            false => format!("the line `{}`", shown_target(line)),
        };
        Refusal::new(400, format!("{named} ends in a bare LF; end it with CR LF"))
    }

    /// How many bytes at the front are an empty line before the request. The caller drops them; they do not count
    /// as the beginning of a request, because some old clients send one after a body.
    pub fn take_skipped(&mut self) -> usize {
        let skipped = std::mem::take(&mut self.start);
        self.line = self.line.saturating_sub(skipped);
        self.from = self.from.saturating_sub(skipped);
        skipped as usize
    }

    /// A peer that speaks TLS or something else to this port sends no line end for long: refuse it at once.
    fn check_first_byte(&self, byte: Option<&u8>) -> Result<(), Refusal> {
        match byte {
            Some(0x16) if !self.response => Err(Refusal::new(
                400,
                "this looks like a TLS handshake, and this port speaks plain HTTP; use http:// instead of https://",
            )),
            Some(byte) if !self.response && !is_token_byte(*byte) && !b"\r\n".contains(byte) => {
                Err(Refusal::new(400, format!("a request cannot begin with the byte 0x{byte:02x}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a head that is too long already before `end`.
    fn check_length(&self, bytes: &[u8], end: usize, limits: &Limits) -> Result<(), Refusal> {
        let length = end.saturating_sub(self.start as usize);
        let head_max = limits.head_bytes_max.min(HEAD_BYTES_CAP);
        let line_max = limits.target_bytes_max.saturating_add(LINE_REST_BYTES_MAX);
        let in_first_line = !self.in_fields && !self.response;
        match length {
            _ if in_first_line && length > line_max => Err(self.line_too_long(bytes, limits)),
            _ if length > head_max => Err(head_too_long(head_max)),
            _ => Ok(()),
        }
    }

    /// RFC 9112 §3: 501 if it is the method that is too long.
    #[cold]
    fn line_too_long(&self, bytes: &[u8], limits: &Limits) -> Refusal {
        let start = self.start as usize;
        let beginning = bytes.get(start..start + LINE_REST_BYTES_MAX).unwrap_or_default();
        match memchr::memchr(b' ', beginning) {
            Some(_) => target_too_long(limits),
            None => method_too_long(),
        }
    }

    /// The version is judged as soon as its line is whole: an HTTP/0.9 peer waits for an answer to that one line.
    fn check_first_line(&self, line: &[u8]) -> Result<(), Refusal> {
        if self.response {
            return Ok(());
        }
        let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if last == b"HTTP/1.1" || last == b"HTTP/1.0" {
            return Ok(());
        }
        let number = last.strip_prefix(b"HTTP/").unwrap_or_default();
        if !number.is_empty() && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
            let version = shown(last);
            return Err(Refusal::new(505, format!("the version `{version}` is not supported; use HTTP/1.1")));
        }
        let line = shown_target(line);
        Err(Refusal::new(400, format!("the request line `{line}` does not end in HTTP/1.1; send it as one")))
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(super) fn target_too_long(limits: &Limits) -> Refusal {
    let max = limits.target_bytes_max;
    Refusal::new(414, format!("the request target is longer than {max} bytes; shorten it"))
}

#[cold]
fn head_too_long(max: usize) -> Refusal {
    Refusal::new(431, format!("the head is longer than {max} bytes; send fewer or shorter header fields"))
}

fn method_too_long() -> Refusal {
    let reason = format!(
        "no method that is supported has {LINE_REST_BYTES_MAX} bytes or more; use GET, POST or DELETE"
    );
    Refusal::new(501, reason)
}
