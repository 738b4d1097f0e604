//! Responses as a client reads them (RFC 9112 §4, §6.3).
//!
//! *Scope:* [`parse_response`]: the head of a response and the framing of its body. *Not in scope:* reading the body
//! ([`body`](crate::http::body)), and what the fields mean to MCP.

use crate::http::head::{Fields, Framing, Single, content_length, faulty_field, transfer_coding};
use crate::http::refusal::Refusal;
use crate::limits::{HEADERS_CAP, Limits};
use crate::text::shown;

/// The head of a response, as a client reads it.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// How the body is delimited; `None`: it lasts until the connection is closed (RFC 9112 §6.3).
    pub framing: Option<Framing>,
    /// True if the connection may carry another request after this response (RFC 9112 §9.3).
    pub keep_alive: bool,
    fields: &'a [httparse::Header<'a>],
}

impl<'a> ResponseHead<'a> {
    /// Returns all fields in order (RFC 9110 §5).
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// Returns the value of the first field with this name, compared without case (RFC 9110 §5.1).
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Reads the whole head of a response to a request with `method`, as strictly as the server reads requests.
///
/// Responses with 1xx come before the final one and have no body (RFC 9110 §15.2): go on reading after them.
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

/// Returns how the body is delimited (RFC 9112 §6.3).
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
