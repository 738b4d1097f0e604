//! Responses: writing them for the server, and reading their heads for the client.
//!
//! *Scope:* [`Shared`], which holds what all connections share to write responses (pool, limits, the `Date` of the
//! second); [`Response`]; [`ResponseHead`] and [`parse_response`]. *Not in scope:* when a response is due
//! ([`conn`](super::conn)) and what is in it.
//!
//! ```text
//!  Shared::at(now) ── same second ──▶ as it is
//!        └────────── another one ───▶ Date and the whole `202 Accepted` are written anew
//! ```
//!
//! ```
//! use std::time::Duration;
//! use mcp_rill::{Limits, Now, http::head::{Fields, Framing, Search}, http::response::*};
//! let mut shared = Shared::new(Limits::DEFAULT);
//! shared.at(Now { mono: Duration::ZERO, unix: Duration::from_secs(784_111_777) });
//! let mut out = Vec::new();
//! let response = Response { headers: &[("Allow", "GET")], ..Response::text(405, "Use GET.") };
//! shared.write(&mut out, &response, To { head_only: false, keep_alive: true, chunks: true });
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

use std::io::Write;

use super::Refusal;
use super::head::{Fields, Framing, Head, Single, Version, content_length, faulty_field, transfer_coding};
use super::shown;
use crate::buffer::{Buffer, Pool};
use crate::limits::HEADERS_CAP;
use crate::{Limits, Now};

/// The media type of every body that is a sentence for a person.
pub const TEXT: &str = "text/plain; charset=utf-8";

const SECONDS_PER_DAY: u64 = 86_400;

/// What all connections of a server share: memory, limits, and the responses of the current second.
#[derive(Debug)]
pub struct Shared {
    /// Lends the memory of all buffers.
    pub pool: Pool,
    /// The bounds of the server.
    pub limits: Limits,
    second: u64,
    date: [u8; 29],
    accepted: Vec<u8>,
    refusals: Vec<Refusal>,
}

impl Shared {
    /// With these limits, and the date of 1970 until [`at`](Shared::at) is called.
    pub fn new(limits: Limits) -> Shared {
        let mut shared = Shared {
            pool: Pool::default(),
            limits,
            second: 0,
            date: imf_fixdate(0),
            accepted: Vec::new(),
            refusals: Vec::new(),
        };
        shared.render();
        shared
    }

    /// Brings the date up to now. Cheap when the second is still the same.
    pub fn at(&mut self, now: Now) {
        let second = now.unix.as_secs();
        if second != self.second {
            self.second = second;
            self.date = imf_fixdate(second);
            self.render();
        }
    }

    /// The current second as an IMF-fixdate (RFC 9110 §5.6.7).
    pub fn date(&self) -> &[u8] {
        &self.date
    }

    /// Writes a whole response (RFC 9112 §6: with a `Content-Length` unless the status forbids a body).
    pub fn write(&self, out: &mut Vec<u8>, response: &Response<'_>, to: To) {
        write_response(out, &self.date, &self.limits, response, to, None);
    }

    /// Remembers a refusal until someone asks: a log wants to know, and a connection has no log.
    pub(crate) fn refused(&mut self, status: u16, reason: &[u8]) {
        self.refusals.push(Refusal::new(status, without_session(&String::from_utf8_lossy(reason))));
    }

    /// What was refused since the last call.
    pub(crate) fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Appends `202 Accepted` with the body `Accepted`: the answer to every message that was taken, so it is one copy.
    pub(crate) fn accept(&mut self, output: &mut Buffer, to: To, extra: Option<&Extra>) {
        if to.keep_alive && !to.head_only && extra.is_none() {
            output.append(&mut self.pool, &self.accepted);
        } else {
            self.respond(output, &ACCEPTED, to, extra);
        }
    }

    /// Appends a response to a connection's output.
    pub(crate) fn respond(
        &mut self,
        output: &mut Buffer,
        response: &Response<'_>,
        to: To,
        extra: Option<&Extra>,
    ) {
        let Shared { pool, limits, date, .. } = self;
        output.write(pool, |out| write_response(out, date, limits, response, to, extra));
    }

    /// Appends the head of a response whose body lasts until the connection is closed (RFC 9112 §6.3, rule 8: an SSE
    /// stream pays nothing per event that way), and what is first in it, so that both leave in one write.
    pub(crate) fn respond_stream(
        &mut self,
        output: &mut Buffer,
        content_type: &str,
        headers: &[(&str, &str)],
        extra: Option<&Extra>,
        first: impl FnOnce(&mut Vec<u8>),
    ) {
        let Shared { pool, date, .. } = self;
        output.write(pool, |out| {
            begin(out, date, 200);
            field(out, "Content-Type", content_type);
            headers.iter().for_each(|(name, value)| field(out, name, value));
            write_extra(out, extra);
            out.extend_from_slice(b"Connection: close\r\n\r\n");
            first(out);
        });
    }

    /// Appends the head of a response whose body comes in chunks.
    pub(super) fn respond_chunks(
        &mut self,
        output: &mut Buffer,
        content_type: &str,
        headers: &[(&str, &str)],
        to: To,
        extra: Option<&Extra>,
    ) {
        let Shared { pool, date, limits, .. } = self;
        output.write(pool, |out| {
            begin(out, date, 200);
            field(out, "Content-Type", content_type);
            headers.iter().for_each(|(name, value)| field(out, name, value));
            write_extra(out, extra);
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            write_connection(out, limits, to);
        });
    }

    fn render(&mut self) {
        let mut accepted = std::mem::take(&mut self.accepted);
        accepted.clear();
        self.write(&mut accepted, &ACCEPTED, To { head_only: false, keep_alive: true, chunks: true });
        self.accepted = accepted;
    }
}

const ACCEPTED: Response<'static> =
    Response { status: 202, headers: &[], content_type: Some(TEXT), body: b"Accepted" };

/// What a response has to know of the request it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct To {
    /// The method was HEAD: the same head, but no body (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// The connection stays open after the response (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The peer knows chunks: HTTP/1.1.
    pub chunks: bool,
}

impl To {
    pub(super) fn of(head: &Head<'_>) -> To {
        To {
            head_only: head.method == "HEAD",
            keep_alive: head.keep_alive,
            chunks: head.version == Version::Http11,
        }
    }
}

/// Header fields for every response to one request, also those that are written before or after its handler has a say:
/// a body that is too long, a stream that begins later.
///
/// ```
/// use mcp_rill::http::response::Extra;
/// let extra = Extra::new(&[("Vary", "Origin"), ("X-Forged", "a\r\nSet-Cookie: b")]);
/// assert_eq!(extra.as_bytes(), b"Vary: Origin\r\nX-Forged: a  Set-Cookie: b\r\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra(Box<[u8]>);

impl Extra {
    /// These fields in this order. Control bytes in values are replaced by spaces.
    pub fn new(fields: &[(&str, &str)]) -> Extra {
        let mut lines = Vec::new();
        fields.iter().for_each(|(name, value)| field(&mut lines, name, value));
        Extra(lines.into())
    }

    /// The field lines as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A response with a body of known length.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// More header fields. `Date`, `Content-Type`, `Content-Length`, `Connection` and `Keep-Alive` are written
    /// without being asked for. Control bytes in values are replaced by spaces: no value can begin a new line.
    pub headers: &'a [(&'a str, &'a str)],
    /// The media type of the body.
    pub content_type: Option<&'a str>,
    /// The body; not sent with 1xx, 204 and 304, nor to HEAD.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// A response without fields and with an empty body.
    pub fn new(status: u16) -> Response<'a> {
        Response { status, headers: &[], content_type: None, body: b"" }
    }

    /// A sentence for a person.
    pub fn text(status: u16, body: &'a str) -> Response<'a> {
        Response { content_type: Some(TEXT), body: body.as_bytes(), ..Response::new(status) }
    }
}

/// The phrase that goes with a status code (RFC 9110 §15, RFC 6585); `Unknown` for codes that are not met here.
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

/// Seconds since 1970 as an IMF-fixdate (RFC 9110 §5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Years after 9999 do not fit the format and are written as the last second of 9999.
pub fn imf_fixdate(unix: u64) -> [u8; 29] {
    const LAST: u64 = 253_402_300_799;
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let unix = unix.min(LAST);
    let (days, second) = (unix / SECONDS_PER_DAY, unix % SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month).copied().unwrap_or_default();
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut date = [b' '; 29];
    // Every part has a fixed width, so the text fills the array exactly.
    let _ = write!(
        date.as_mut_slice(),
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    );
    date
}

/// Year, month (from 0) and day (from 1) of a day counted from 1970-01-01, by walking: at most 400 years and 12
/// months, once per second of a running server.
fn civil(mut days: u64) -> (u64, usize, u64) {
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970 + 400 * (days / DAYS_PER_400_YEARS);
    days %= DAYS_PER_400_YEARS;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn write_response(
    out: &mut Vec<u8>,
    date: &[u8],
    limits: &Limits,
    response: &Response<'_>,
    to: To,
    extra: Option<&Extra>,
) {
    let Response { status, headers, content_type, body } = *response;
    begin(out, date, status);
    // RFC 9110 §8.6 forbids the length with 1xx and 204; with 304 it would describe another response.
    let has_body = !(status < 200 || status == 204 || status == 304);
    if let Some(content_type) = content_type.filter(|_| has_body) {
        field(out, "Content-Type", content_type);
    }
    if has_body {
        out.extend_from_slice(b"Content-Length: ");
        number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    headers.iter().for_each(|(name, value)| field(out, name, value));
    write_extra(out, extra);
    write_connection(out, limits, to);
    if has_body && !to.head_only {
        out.extend_from_slice(body);
    }
}

fn write_extra(out: &mut Vec<u8>, extra: Option<&Extra>) {
    if let Some(Extra(lines)) = extra {
        out.extend_from_slice(lines);
    }
}

/// Ends a head: whether the connection stays open, and the empty line.
fn write_connection(out: &mut Vec<u8>, limits: &Limits, to: To) {
    if to.keep_alive {
        // Announced a tenth shorter than it is, so that a client's pool lets a connection go before the server does:
        // a request that crosses a close is lost.
        let idle = limits.idle_timeout.saturating_sub(limits.idle_timeout / 10);
        out.extend_from_slice(b"Connection: keep-alive\r\nKeep-Alive: timeout=");
        number(out, idle.as_secs().max(1));
        out.extend_from_slice(b"\r\n\r\n");
    } else {
        out.extend_from_slice(b"Connection: close\r\n\r\n");
    }
}

/// A session's id lets whoever reads it post into the session, so no log gets a whole one.
fn without_session(reason: &str) -> String {
    const NAME: &str = "sessionId=";
    const SHOWN_BYTES: usize = 8;
    let mut parts = reason.split(NAME);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
        text.push_str(NAME);
        text.push_str(part.get(..end.min(SHOWN_BYTES)).unwrap_or_default());
        text.push_str(if end > SHOWN_BYTES { "..." } else { "" });
        text.push_str(part.get(end..).unwrap_or_default());
    }
    text
}

fn begin(out: &mut Vec<u8>, date: &[u8], status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, value: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// One field line. Values may come from configuration or a handler; a line end in one would forge a field.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// The head of a response, as a client reads it.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// How the body is delimited; `None`: it lasts until the connection is closed (RFC 9112 §6.3).
    pub framing: Option<Framing>,
    /// Whether the connection may carry another request after this response (RFC 9112 §9.3).
    pub keep_alive: bool,
    fields: &'a [httparse::Header<'a>],
}

impl<'a> ResponseHead<'a> {
    /// All fields in order (RFC 9110 §5).
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The value of the first field with this name, compared without case (RFC 9110 §5.1).
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Reads a whole response head to a request with `method`; as strict as the server is with requests.
///
/// Responses with 1xx come before the final one and have no body (RFC 9110 §15.2): read on after them.
///
/// # Errors
/// A [`Refusal`] with 502 if the response could be read in two ways.
pub fn parse_response<'a>(
    bytes: &'a [u8],
    room: &'a mut Fields<'a>,
    method: &str,
    limits: &Limits,
) -> Result<ResponseHead<'a>, Refusal> {
    let bad = |what: &str| Refusal::new(502, format!("the server's response is malformed: {what}"));
    let room = room.room(limits);
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room);
    match parsed {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(bad(&format!("more than {} header fields", limits.headers_max.min(HEADERS_CAP))));
        }
        Ok(httparse::Status::Partial) | Err(_) => return Err(bad(&explain_response(bytes))),
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(bad(&explain_response(bytes)));
    };
    let fields: &'a [httparse::Header<'a>] = response.headers;
    let head = ResponseHead { status, framing: None, keep_alive: false, fields };
    let options = || fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let has = |option: &str| {
        let mut all = options().flat_map(|field| field.value.split(|byte| *byte == b','));
        all.any(|value| value.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    let framing = response_framing(&head, method, minor).map_err(|refusal| bad(&refusal.reason))?;
    let keep_alive = framing.is_some() && !has("close") && (minor == 1 || has("keep-alive"));
    Ok(ResponseHead { framing, keep_alive, ..head })
}

/// RFC 9112 §6.3.
fn response_framing(head: &ResponseHead<'_>, method: &str, minor: u8) -> Result<Option<Framing>, Refusal> {
    let single = |name: &str| {
        let mut values = head.headers().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (None, _) => Single::Absent,
            (Some((_, value)), None) => Single::One(value),
            (Some(_), Some(_)) => Single::Several,
        }
    };
    if method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304 {
        return Ok(Some(Framing::None));
    }
    match (single("transfer-encoding"), single("content-length")) {
        (Single::Absent, Single::Absent) => Ok(None),
        (Single::Absent, Single::One(value)) => content_length(value).map(Framing::Length).map(Some),
        (Single::One(value), Single::Absent) if minor == 1 => transfer_coding(value).map(Some),
        _ => Err(Refusal::new(502, "its length is given twice, or by Transfer-Encoding in HTTP/1.0")),
    }
}

fn explain_response(bytes: &[u8]) -> String {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = shown(lines.next().unwrap_or_default());
    faulty_field(lines).unwrap_or_else(|| format!("the status line `{first}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(unix: u64) -> String {
        String::from_utf8(imf_fixdate(unix).to_vec()).unwrap()
    }

    #[test]
    fn dates_of_known_seconds() {
        for (unix, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (946_684_799, "Fri, 31 Dec 1999 23:59:59 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (2_147_483_647, "Tue, 19 Jan 2038 03:14:07 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(date(unix), expected, "{unix}");
        }
    }

    #[test]
    fn a_value_cannot_begin_a_line() {
        let mut out = Vec::new();
        field(&mut out, "X", "a\r\nSet-Cookie: b\0");
        assert_eq!(out, b"X: a  Set-Cookie: b \r\n");
    }

    #[test]
    fn no_log_gets_a_whole_session_id() {
        let reason =
            "bad line `GET /messages?sessionId=70228fad-ceea-4b35-8826-7a15b68f0204&x=1`; sessionId=short";
        let told = without_session(reason);
        assert_eq!(told, "bad line `GET /messages?sessionId=70228fad...&x=1`; sessionId=short");
    }
}
