//! Responses as the server writes them.
//!
//! *Scope:* [`Common`], which holds what all connections share to write responses (pool, limits, the `Date` of the
//! second) and [`Response`]. *Not in scope:* reading responses ([`client`](crate::http::client)), when one is due
//! ([`conn`](crate::http::conn)) and what is in it.
//!
//! ```text
//!  Common::set_now(now) ── same second ──▶ as it is
//!        └────────── another one ───▶ Date and the whole `202 Accepted` are written anew
//! ```
//!
//! ```
//! use std::time::Duration;
//! use mcp_rill::{Limits, Now, http::head::{Fields, Framing, Search}, http::client::parse_response, http::response::*};
//! let mut common = Common::new(Limits::DEFAULT);
//! common.set_now(Now { mono: Duration::ZERO, unix: Duration::from_secs(784_111_777) });
//! let mut out = Vec::new();
//! let response = Response { headers: &[("Allow", "GET")], ..Response::text(405, "Use GET.") };
//! common.write(&mut out, &response, RequestTraits { head_only: false, keep_alive: true, chunks: true });
//!
//! let limits = Limits::DEFAULT;
//! let range = Search::in_response().find(&out, &limits)?.unwrap();
//! let body = &out[range.end..];
//! let mut fields = Fields::new();
//! let head = parse_response(&out[range], &mut fields, "POST", &limits)?;
//! assert_eq!((head.status, head.framing, body), (405, Some(Framing::Length(8)), &b"Use GET."[..]));
//! assert_eq!(head.header("date"), Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]));
//! assert_eq!(head.header("Keep-Alive"), Some(&b"timeout=54"[..]));
//! # Ok::<(), mcp_rill::http::Refusal>(())
//! ```

use std::borrow::Cow;

use crate::http::date::imf_fixdate;
use crate::http::head::{Head, Version};
use crate::limits::Limits;
#[cfg(feature = "browser")]
use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::memory::{Account, Buffer, Charge, Pool};
use crate::text::write_number;
use crate::timers::Now;

/// The media type of JSON-RPC messages over Streamable HTTP.
pub(crate) const JSON: &str = "application/json";

/// Room for the head of a response, so that its buffer grows once at most.
const HEAD_BYTES_USUAL: usize = 256;

/// The place of a chunk's size before the chunk is written. Leading zeros are allowed (RFC 9112 §7.1).
const SIZE_PLACE: &[u8] = b"00000000\r\n";

/// The media type of every body that is a sentence for a person.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// What all connections of a server share: memory, limits, and the responses of the current second.
#[derive(Debug)]
pub struct Common {
    /// Lends the memory of all buffers.
    pub pool: Pool,
    /// The bounds of the server.
    pub limits: Limits,
    pub(crate) now: Now,
    /// Counts the heads that connections remember.
    pub(crate) heads: Account,
    second: u64,
    lines: Lines,
    accepted: Vec<u8>,
}

/// What the heads of all responses of one second have in common.
#[derive(Debug)]
struct Lines {
    date: [u8; 29],
    /// The end of a head after which the connection stays open.
    keep_alive: Vec<u8>,
    /// The beginning of the head of a 200 with JSON, up to the length: almost every answer to a POST of Streamable HTTP.
    json: Vec<u8>,
}

impl Lines {
    fn of(second: u64, limits: &Limits) -> Lines {
        // Announced a tenth shorter than it is, so that a client's pool lets a connection go before the server does:
        // a request that crosses a close is lost.
        let idle = limits.idle_timeout.saturating_sub(limits.idle_timeout / 10);
        let mut keep_alive = b"Connection: keep-alive\r\nKeep-Alive: timeout=".to_vec();
        write_number(&mut keep_alive, idle.as_secs().max(1));
        keep_alive.extend_from_slice(b"\r\n\r\n");
        let (date, mut json) = (imf_fixdate(second), Vec::new());
        begin(&mut json, &date, 200, Some(JSON));
        json.extend_from_slice(LENGTH);
        Lines { date, keep_alive, json }
    }
}

impl Common {
    /// With these limits, and the date of 1970 until [`set_now`](Common::set_now) is called.
    pub fn new(limits: Limits) -> Common {
        let lines = Lines::of(0, &limits);
        let accepted = accepted(&lines);
        Common {
            pool: Pool::default(),
            limits,
            now: Now::default(),
            heads: Account::default(),
            second: 0,
            lines,
            accepted,
        }
    }

    /// Sets the date. Cheap while the second is the same.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
        let second = now.unix.as_secs();
        if second != self.second {
            self.second = second;
            self.lines = Lines::of(second, &self.limits);
            self.accepted = accepted(&self.lines);
        }
    }

    /// The current second as an IMF-fixdate (RFC 9110 §5.6.7).
    pub fn date(&self) -> &[u8] {
        &self.lines.date
    }

    /// Writes a whole response (RFC 9112 §6: with a `Content-Length` unless the status forbids a body).
    pub fn write(&self, out: &mut Vec<u8>, response: &Response<'_>, to: RequestTraits) {
        write_response(out, &self.lines, response, to, None);
    }

    /// Appends `202 Accepted` with the body `Accepted`: the answer to every message that was taken, so it is one copy.
    pub(crate) fn accept(
        &mut self,
        output: &mut Buffer,
        to: RequestTraits,
        common_fields: Option<&CommonFields>,
    ) {
        if to.keep_alive && !to.head_only && common_fields.is_none() {
            output.append(&mut self.pool, &self.accepted);
        } else {
            self.respond(output, &ACCEPTED, to, common_fields);
        }
    }

    /// Appends a response to a connection's output.
    pub(crate) fn respond(
        &mut self,
        output: &mut Buffer,
        response: &Response<'_>,
        to: RequestTraits,
        common_fields: Option<&CommonFields>,
    ) {
        let Common { pool, lines, .. } = self;
        output.write(pool, |out| write_response(out, lines, response, to, common_fields));
    }

    /// Appends the head of a response whose body lasts until the connection is closed (RFC 9112 §6.3, rule 8: an SSE
    /// stream pays nothing per event that way), and what is first in it, so that both leave in one write.
    pub(crate) fn respond_stream(
        &mut self,
        output: &mut Buffer,
        content_type: &str,
        headers: &[(&str, &str)],
        common_fields: Option<&CommonFields>,
        first: impl FnOnce(&mut Vec<u8>),
    ) {
        let Common { pool, lines, .. } = self;
        output.write(pool, |out| {
            begin(out, &lines.date, 200, Some(content_type));
            write_fields(out, headers, common_fields);
            out.extend_from_slice(CLOSE);
            first(out);
        });
    }

    /// Appends the head of a response whose body comes in chunks.
    pub(super) fn respond_chunks(
        &mut self,
        output: &mut Buffer,
        content_type: &str,
        headers: &[(&str, &str)],
        to: RequestTraits,
        common_fields: Option<&CommonFields>,
    ) {
        let Common { pool, lines, .. } = self;
        output.write(pool, |out| {
            begin(out, &lines.date, 200, Some(content_type));
            write_fields(out, headers, common_fields);
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            out.extend_from_slice(if to.keep_alive { &lines.keep_alive } else { CLOSE });
        });
    }
}

/// What stands before the length of a body.
const LENGTH: &[u8] = b"Content-Length: ";

/// The end of a head after which the connection is closed.
const CLOSE: &[u8] = b"Connection: close\r\n\r\n";

fn accepted(lines: &Lines) -> Vec<u8> {
    let mut text = Vec::new();
    write_response(
        &mut text,
        lines,
        &ACCEPTED,
        RequestTraits { head_only: false, keep_alive: true, chunks: true },
        None,
    );
    text
}

const ACCEPTED: Response<'static> =
    Response { status: 202, headers: &[], content_type: Some(TEXT), body: b"Accepted" };

/// What a response depends on in the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTraits {
    /// The method was HEAD: the same head, but no body (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// The connection stays open after the response (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The peer knows chunks: HTTP/1.1.
    pub chunks: bool,
}

impl RequestTraits {
    pub(super) fn of(head: &Head<'_>) -> RequestTraits {
        RequestTraits {
            head_only: head.method == "HEAD",
            keep_alive: head.keep_alive,
            chunks: head.version == Version::Http11,
        }
    }
}

/// Header fields for every response to one request, also for those that are not written by its handler: the refusal of a long
/// body, a stream that begins later.
///
/// ```
/// use mcp_rill::http::response::CommonFields;
/// let common_fields = CommonFields::new(&[("Vary", "Origin"), ("X-Forged", "a\r\nSet-Cookie: b")]);
/// assert_eq!(common_fields.as_bytes(), b"Vary: Origin\r\nX-Forged: a  Set-Cookie: b\r\n");
/// ```
#[derive(Debug)]
pub struct CommonFields {
    lines: Box<[u8]>,
    /// Counts them while they are kept.
    _charge: Option<Charge>,
}

impl CommonFields {
    /// These fields in this order. Control bytes in values are replaced by spaces.
    pub fn new(fields: &[(&str, &str)]) -> CommonFields {
        let mut lines = Vec::new();
        fields.iter().for_each(|(name, value)| field(&mut lines, name, value));
        CommonFields { lines: lines.into(), _charge: None }
    }

    /// The same, counted as bytes that are kept for a peer.
    #[cfg(feature = "browser")]
    pub(crate) fn counted(mut self, account: &Account) -> CommonFields {
        let bytes = size_of::<CommonFields>() + self.lines.len() + 2 * BLOCK_OVERHEAD_BYTES;
        self._charge = Some(account.charge(bytes));
        self
    }

    /// The field lines as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }
}

/// A response with a body of known length.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// More header fields, besides `Date`, `Content-Type`, `Content-Length`, `Connection` and `Keep-Alive`, which are always
    /// written. Control bytes in values are replaced by spaces: no value can begin a new line.
    pub headers: &'a [(&'a str, &'a str)],
    /// The media type of the body.
    pub content_type: Option<&'a str>,
    /// The body; not sent with 1xx, 204 and 304, nor to HEAD.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// A response without fields, and with an empty body.
    pub fn new(status: u16) -> Response<'a> {
        Response { status, headers: &[], content_type: None, body: b"" }
    }

    /// A sentence for a person.
    pub fn text(status: u16, body: &'a str) -> Response<'a> {
        Response { content_type: Some(TEXT), body: body.as_bytes(), ..Response::new(status) }
    }
}

/// The phrase for a status code (RFC 9110 §15, RFC 6585); `Unknown` for codes that are not used here.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

fn write_response(
    out: &mut Vec<u8>,
    lines: &Lines,
    response: &Response<'_>,
    to: RequestTraits,
    common_fields: Option<&CommonFields>,
) {
    let Response { status, headers, content_type, body } = *response;
    // RFC 9110 §8.6 forbids the length with 1xx and 204; with 304 it would describe another response.
    let has_body = !(status < 200 || status == 204 || status == 304);
    out.reserve(HEAD_BYTES_USUAL + body.len());
    if status == 200 && content_type == Some(JSON) {
        out.extend_from_slice(&lines.json);
    } else {
        begin(out, &lines.date, status, content_type.filter(|_| has_body));
        out.extend_from_slice(if has_body { LENGTH } else { b"" });
    }
    if has_body {
        write_number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    write_fields(out, headers, common_fields);
    out.extend_from_slice(if to.keep_alive { &lines.keep_alive } else { CLOSE });
    if has_body && !to.head_only {
        out.extend_from_slice(body);
    }
}

fn write_fields(out: &mut Vec<u8>, fields: &[(&str, &str)], common_fields: Option<&CommonFields>) {
    fields.iter().for_each(|(name, value)| field(out, name, value));
    if let Some(CommonFields { lines, .. }) = common_fields {
        out.extend_from_slice(lines);
    }
}

fn begin(out: &mut Vec<u8>, date: &[u8], status: u16, content_type: Option<&str>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
    if let Some(content_type) = content_type {
        field(out, "Content-Type", content_type);
    }
}

/// One field line. Values may come from configuration or a handler; a line end in one would forge a field.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in out.get_mut(start..).unwrap_or_default() {
        *byte = if byte.is_ascii_control() { b' ' } else { *byte };
    }
    out.extend_from_slice(b"\r\n");
}

/// A [`Response`] that owns its parts, to be sent later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedResponse {
    /// The status code.
    pub status: u16,
    /// More header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The media type of the body.
    pub content_type: Option<Cow<'static, str>>,
    /// The body.
    pub body: Vec<u8>,
}

impl OwnedResponse {
    /// A sentence for a person.
    pub fn text(status: u16, body: impl Into<String>) -> OwnedResponse {
        OwnedResponse {
            status,
            headers: Vec::new(),
            content_type: Some(TEXT.into()),
            body: body.into().into_bytes(),
        }
    }

    /// The response to a request whose body of this length is not read (RFC 9110 §15.5.14).
    pub(crate) fn too_long(length: u64, limits: &Limits) -> OwnedResponse {
        let max = limits.body_bytes_max;
        let text =
            format!("the body of {length} bytes is longer than {max}; send less, or raise body_bytes_max");
        OwnedResponse::text(413, text)
    }

    pub(crate) fn write(
        &self,
        common: &mut Common,
        output: &mut Buffer,
        to: RequestTraits,
        common_fields: Option<&CommonFields>,
    ) {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = Response {
            status: self.status,
            headers: &headers,
            content_type: self.content_type.as_deref(),
            body: &self.body,
        };
        common.respond(output, &response, to, common_fields);
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> OwnedResponse {
        self.headers.push((name, value.into()));
        self
    }
}

/// Writes one chunk: nothing at all if `write` writes nothing, because an empty chunk would be the end.
pub(crate) fn write_chunk<R>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
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

    #[test]
    fn a_value_cannot_begin_a_line() {
        let mut out = Vec::new();
        field(&mut out, "X", "a\r\nSet-Cookie: b\0");
        assert_eq!(out, b"X: a  Set-Cookie: b \r\n");
    }
}
