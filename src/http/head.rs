//! The head of a request: every rule that decides its meaning and how its body is delimited.
//!
//! *Scope:* [`parse`] reads a whole head, which [`Search`] found, into a [`Head`], or refuses it. A field that may
//! come once only and comes twice is [`Single::Several`]: Host, Content-Length, Transfer-Encoding and Expect are refused here, any
//! other by the code that reads it. *Not in scope:* what the target, the host or a field means to the application.
//!
//! ```text
//!  bytes ──Search──▶ a whole head ──httparse──▶ lines and fields ──method, target, Host, framing, Expect──▶ Head
//!            │                          │                                     │
//!            └──────────────────────────┴───────── Refusal ───────────────────┘
//! ```
//!
//! ```
//! use mcp_rill::{Limits, http::head::{Fields, Framing, Search, parse}};
//! let (limits, mut search) = (Limits::DEFAULT, Search::default());
//! let bytes = b"\r\nPOST /messages?sessionId=7 HTTP/1.1\r\nHost: localhost:3001\r\nContent-Length: 2\r\n\r\n{}";
//! assert_eq!(search.find(&bytes[..50], &limits)?, None);
//! let range = search.find(bytes, &limits)?.unwrap();
//! let mut fields = Fields::new();
//! let head = parse(&bytes[range], &mut fields, &limits)?;
//! assert_eq!((head.method, head.path, head.query), ("POST", "/messages", Some("sessionId=7")));
//! assert_eq!((head.framing, head.keep_alive), (Framing::Length(2), true));
//! assert_eq!(head.host.map(|host| (host.name, host.port)), Some(("localhost", Some(3001))));
//! # Ok::<(), mcp_rill::http::Refusal>(())
//! ```

use std::fmt;
use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use crate::http::fields::{Derivation, Derived, FieldList};
use crate::http::refusal::Refusal;
use crate::http::search::target_too_long;
use crate::limits::{HEADERS_CAP, Limits};
use crate::text::{is_token_byte, is_value_byte, shown, shown_field, shown_target};

pub use crate::http::search::Search;

/// The protocol version of a request (RFC 9112 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, and closed after the response unless `Connection: keep-alive` asks otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`: exactly this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// The fields of one name, where several would be ambiguous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Single<'a> {
    /// No field has the name.
    #[default]
    Absent,
    /// One field has it; this is its value.
    One(&'a [u8]),
    /// More than one field has it.
    Several,
}

impl<'a> Single<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Single::Absent => Single::One(value),
            Single::One(_) | Single::Several => Single::Several,
        };
    }
}

/// A valid `Host` value: a name or address, and perhaps a port (RFC 9110 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The whole value.
    pub text: &'a str,
    /// The name or address, in the case the peer wrote it; an IPv6 address without its brackets.
    pub name: &'a str,
    /// The port, if one is given.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `host[:port]`, the port of 1 to 5 digits; `None` if it is anything else.
    ///
    /// Narrower than the `reg-name` of RFC 3986 §3.2.2. Names in use consist of letters, digits, `-`, `.` and `_`; parsers
    /// disagree about the other characters (`,`, `@`, `%`, …).
    pub fn read(text: &'a str) -> Option<Host<'a>> {
        let (name, after) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                (address, after)
            }
            None => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
                let end = text.bytes().position(|byte| !is_plain(byte));
                text.split_at_checked(end.unwrap_or(text.len())).filter(|(name, _)| !name.is_empty())?
            }
        };
        let port = match after.strip_prefix(':') {
            Some("") => None,
            // Leading zeros change nothing, so a port could otherwise be as long as a head.
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None if after.is_empty() => None,
            None => return None,
        };
        Some(Host { text, name, port })
    }
}

/// Room for the fields of one head, on the stack next to the bytes that they borrow from.
pub struct Fields<'a>([MaybeUninit<httparse::Header<'a>>; HEADERS_CAP]);

impl Fields<'_> {
    /// Empty room. It is not zeroed, so that a head of ten fields does not pay for [`HEADERS_CAP`].
    pub fn new() -> Self {
        Fields([const { MaybeUninit::uninit() }; HEADERS_CAP])
    }
}

impl<'a> Fields<'a> {
    /// Room for as many fields as the limits allow.
    pub(crate) fn room(&mut self, limits: &Limits) -> &mut [MaybeUninit<httparse::Header<'a>>] {
        self.0.get_mut(..limits.headers_max.min(HEADERS_CAP)).unwrap_or_default()
    }
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Fields::new()
    }
}

/// A valid request head, with one meaning only.
///
/// `{:?}` shows neither the query nor the values of fields, because they hold tokens and session ids.
#[derive(Clone)]
pub struct Head<'a> {
    /// One of GET, HEAD, POST, PUT, DELETE, OPTIONS and PATCH (RFC 9110 §9).
    pub method: &'a str,
    /// The target as sent: visible ASCII without `#` (RFC 9112 §3.2).
    pub target: &'a str,
    /// The path as sent, still percent-encoded; begins with `/`, or is `*` (with OPTIONS only).
    pub path: &'a str,
    /// What follows the first `?`, still percent-encoded.
    pub query: Option<&'a str>,
    /// The version (RFC 9112 §2.3).
    pub version: Version,
    /// How the body is delimited (RFC 9112 §6.3).
    pub framing: Framing,
    /// True if the connection may carry another request after this one (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// True if the peer waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// The host that the request is for. Only HTTP/1.0 may leave it out (RFC 9110 §7.2).
    pub host: Option<Host<'a>>,
    pub(super) fields: FieldList<'a>,
    pub(super) marks: u64,
    /// Only of a head that repeats.
    pub(super) derived: Option<&'a Derived>,
}

/// One bit of 64 for a field name, by its first letter and its length. Where the bit is missing in the bits of all fields,
/// none has the name: most names that are looked up are in no field.
pub(super) fn mark(name: &str) -> u64 {
    let first = name.as_bytes().first().map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
    1 << ((5 * first + name.len()) % 64)
}

impl<'a> Head<'a> {
    /// What stands in for the head of a message that came without HTTP, as a line: no method, no path, no fields.
    pub const NONE: Head<'static> = Head {
        method: "",
        target: "",
        path: "",
        query: None,
        version: Version::Http11,
        framing: Framing::None,
        keep_alive: true,
        expect_continue: false,
        host: None,
        fields: FieldList::EMPTY,
        marks: 0,
        derived: None,
    };

    /// True if the message came without HTTP.
    pub fn is_none(&self) -> bool {
        self.method.is_empty()
    }

    /// All fields in order, names as sent, values without surrounding whitespace (RFC 9110 §5).
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter()
    }

    /// The values of all fields with this name, in order; names are compared without case (RFC 9110 §5.1).
    pub fn headers_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = if self.marks & mark(name) == 0 { FieldList::EMPTY } else { self.fields };
        let mut at = 0;
        std::iter::from_fn(move || fields.next_named(name, &mut at))
    }

    /// The value of the first field with this name (RFC 9110 §5.1).
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers_named(name).next()
    }

    /// The value of the first field with this name, if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&'a str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the field with this name, if there is only one, and if it is UTF-8.
    pub fn single_str(&self, name: &str) -> Option<&'a str> {
        match self.single(name) {
            Single::One(value) => std::str::from_utf8(value).ok(),
            Single::Absent | Single::Several => None,
        }
    }

    /// The value of a field that may be sent once only, such as `Origin`: taking the first of several would be a
    /// guess (RFC 9110 §5.3).
    pub fn single(&self, name: &str) -> Single<'a> {
        let mut single = Single::Absent;
        self.headers_named(name).for_each(|value| single.add(value));
        single
    }

    /// True if the head is the same as one before it on its connection.
    pub(crate) fn repeats(&self) -> bool {
        self.derived.is_some()
    }

    /// A number that follows from the head, and from nothing that changes while its connection is open. It is computed once for
    /// all requests of the connection with the same head.
    pub(crate) fn derive(&self, what: Derivation, derive: impl FnOnce() -> u128) -> u128 {
        match self.derived {
            Some(derived) => derived.get(what, derive),
            None => derive(),
        }
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("version", &self.version)
            .field("framing", &self.framing)
            .field("fields", &names)
            .finish_non_exhaustive()
    }
}

/// Reads the whole head that [`Search::find`] found.
///
/// # Errors
/// A [`Refusal`] for every head that could be read in two ways, or that asks for something this server does not do. Each
/// rule stands at the function that applies it, with its section.
pub fn parse<'a>(bytes: &'a [u8], room: &'a mut Fields<'a>, limits: &Limits) -> Result<Head<'a>, Refusal> {
    let room = room.room(limits);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(explain(bytes, None, limits)),
        Err(error) => return Err(explain(bytes, Some(error), limits)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(explain(bytes, None, limits));
    };
    let fields: &'a [httparse::Header<'a>] = request.headers;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    check_method(method)?;
    let target_parts = split_target(method, target, limits)?;
    let known = Known::collect(fields);
    let host = known.host(version, target_parts.authority)?;
    let framing = known.framing(method, version)?;
    let expects = known.expects_continue(version)?;
    let keep_alive = !known.close && (version == Version::Http11 || known.keep_alive);
    Ok(Head {
        method,
        target,
        path: target_parts.path,
        query: target_parts.query,
        version,
        framing,
        keep_alive,
        expect_continue: expects && !matches!(framing, Framing::None | Framing::Length(0)),
        host,
        fields: FieldList::Parsed(fields),
        marks: known.marks,
        derived: None,
    })
}

/// RFC 9110 §9.1: a method that is not implemented gets 501, CONNECT and TRACE included. Which of the others a path takes
/// is decided later.
fn check_method(method: &str) -> Result<(), Refusal> {
    if matches!(method, "GET" | "POST" | "OPTIONS" | "DELETE" | "HEAD" | "PUT" | "PATCH") {
        return Ok(());
    }
    let method = shown(method.as_bytes());
    let reason = format!("the method `{method}` is not supported; use GET, POST or DELETE");
    Err(Refusal::new(501, reason))
}

struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// The four forms of a target (RFC 9112 §3.2). The authority-form belongs to CONNECT, which is refused before.
fn split_target<'a>(method: &str, target: &'a str, limits: &Limits) -> Result<Target<'a>, Refusal> {
    if target.len() > limits.target_bytes_max {
        return Err(target_too_long(limits));
    }
    let refuse = |why: &str| {
        let target = shown_target(target.as_bytes());
        Err(Refusal::new(400, format!("the request target `{target}` {why}")))
    };
    // RFC 9112 §3.2 names no fragment, and RFC 3986 §2 only visible ASCII. Without an early exit this loop is
    // vectorized.
    let plain = target.bytes().fold(true, |plain, byte| plain & byte.is_ascii_graphic() & (byte != b'#'));
    if !plain {
        return match target.contains('#') {
            true => refuse("holds a `#`; leave the fragment out"),
            false => refuse("holds bytes that are not visible ASCII; percent-encode them"),
        };
    }
    if target == "*" {
        if method == "OPTIONS" {
            return Ok(Target { authority: None, path: target, query: None });
        }
        return refuse("is for OPTIONS only; send a path");
    }
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else {
        let scheme =
            |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let Some((_, rest)) = target.split_once("://").filter(|(found, _)| scheme(found)) else {
            return refuse("is neither a path nor an http URL; begin it with `/`");
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        (Some(authority), rest)
    };
    if authority.is_some_and(|authority| authority.contains('@')) {
        // RFC 9110 §4.2.4: user information hides which host is meant.
        return refuse("holds user information; leave it out");
    }
    let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    Ok(Target { authority, path: if path.is_empty() { "/" } else { path }, query })
}

/// The fields that framing and routing depend on, collected in one pass.
#[derive(Default)]
struct Known<'a> {
    host: Single<'a>,
    length: Single<'a>,
    coding: Single<'a>,
    expectation: Single<'a>,
    close: bool,
    keep_alive: bool,
    /// The [`mark`]s of all names.
    marks: u64,
}

impl<'a> Known<'a> {
    fn collect(fields: &[httparse::Header<'a>]) -> Known<'a> {
        let mut known = Known::default();
        for field in fields {
            known.marks |= mark(field.name);
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                4 if is("host") => known.host.add(field.value),
                6 if is("expect") => known.expectation.add(field.value),
                10 if is("connection") => known.connection(field.value),
                14 if is("content-length") => known.length.add(field.value),
                17 if is("transfer-encoding") => known.coding.add(field.value),
                _ => {}
            }
        }
        known
    }

    /// RFC 9110 §7.6.1: a list, which may be spread over several fields; `close` wins (RFC 9112 §9.3).
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 §3.2: exactly one valid `Host`, and only HTTP/1.0 may leave it out. RFC 9112 §3.2.2: the authority of
    /// an absolute-form target replaces it; this server wants both to be equal, so that no two readers can differ.
    fn host(&self, version: Version, authority: Option<&'a str>) -> Result<Option<Host<'a>>, Refusal> {
        let invalid = |what: &str, value: &[u8]| {
            let value = shown(value);
            Refusal::new(400, format!("{what} `{value}` is not a host and port; send it like localhost:3001"))
        };
        let host = match self.host {
            Single::Absent if version == Version::Http10 => None,
            Single::Absent => return Err(Refusal::new(400, "the Host header field is missing; send one")),
            Single::Several => return Err(Refusal::new(400, "Host is sent more than once; send it once")),
            Single::One(value) => {
                let text = std::str::from_utf8(value).ok();
                Some(text.and_then(Host::read).ok_or_else(|| invalid("the Host header field", value))?)
            }
        };
        let Some(authority) = authority else { return Ok(host) };
        let named =
            Host::read(authority).ok_or_else(|| invalid("the target's host", authority.as_bytes()))?;
        match host {
            Some(host) if !host.text.eq_ignore_ascii_case(authority) => {
                let (host, target) = (shown(host.text.as_bytes()), shown(authority.as_bytes()));
                let reason =
                    format!("Host is `{host}` but the target's host is `{target}`; send the same in both");
                Err(Refusal::new(400, reason))
            }
            Some(host) => Ok(Some(host)),
            None => Ok(Some(named)),
        }
    }

    /// RFC 9112 §6.3, with every repair a recipient may make replaced by a refusal.
    fn framing(&self, method: &str, version: Version) -> Result<Framing, Refusal> {
        let framing = match (self.coding, self.length) {
            (Single::Absent, Single::Absent) => Framing::None,
            (Single::Absent, Single::One(value)) => Framing::Length(content_length(value)?),
            (Single::Absent, Single::Several) => {
                return Err(Refusal::new(400, "Content-Length is sent more than once; send it once"));
            }
            // RFC 9112 §6.1: HTTP/1.0 knows no transfer codings, so a relay may have passed this on unread.
            (_, _) if version == Version::Http10 => {
                return Err(Refusal::new(400, "Transfer-Encoding is sent with HTTP/1.0; use Content-Length"));
            }
            // RFC 9112 §6.1 and §11.2: the signature of request smuggling.
            (_, Single::One(_) | Single::Several) => {
                let reason = "Transfer-Encoding and Content-Length are sent together; send one of them";
                return Err(Refusal::new(400, reason));
            }
            (Single::Several, Single::Absent) => {
                return Err(Refusal::new(400, "Transfer-Encoding is sent more than once; send it once"));
            }
            (Single::One(value), Single::Absent) => transfer_coding(value)?,
        };
        match (method, framing) {
            // RFC 9110 §9.3.1 and §9.3.2: such content means nothing, and some recipients take it for a request.
            ("GET" | "HEAD", Framing::Length(1..) | Framing::Chunked) => {
                Err(Refusal::new(400, format!("a {method} request has a body; leave it out")))
            }
            // RFC 9110 §15.5.12: every path that takes POST wants content. RFC 9112 §6.3 (7): other methods have none then.
            ("POST", Framing::None) => {
                Err(Refusal::new(411, "a POST request has no Content-Length; send one"))
            }
            (_, framing) => Ok(framing),
        }
    }

    /// RFC 9110 §10.1.1: the one expectation there is, to be ignored from HTTP/1.0.
    fn expects_continue(&self, version: Version) -> Result<bool, Refusal> {
        match self.expectation {
            _ if version == Version::Http10 => Ok(false),
            Single::Absent => Ok(false),
            Single::One(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Single::One(value) => {
                let value = shown(value);
                Err(Refusal::new(417, format!("the expectation `{value}` cannot be met; leave Expect out")))
            }
            Single::Several => Err(Refusal::new(417, "Expect is sent more than once; send it once")),
        }
    }
}

/// RFC 9112 §6.2 and RFC 9110 §8.6: digits only. A list of equal lengths could be repaired; it is refused.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let append = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    value.iter().try_fold(0, append).filter(|_| !value.is_empty()).ok_or_else(|| {
        let value = shown(value);
        Refusal::new(400, format!("Content-Length is `{value}`, which is not a number of bytes; send digits"))
    })
}

/// RFC 9112 §6.1: `chunked` must be last, else the length is unknown; what is before it is not implemented.
pub(crate) fn transfer_coding(value: &[u8]) -> Result<Framing, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let mut codings = value.rsplit(|byte| *byte == b',');
    let last_is_chunked = codings.next().is_some_and(is_chunked);
    let status = if last_is_chunked && !codings.any(is_chunked) { 501 } else { 400 };
    let value = shown(value);
    Err(Refusal::new(status, format!("Transfer-Encoding is `{value}`; only `chunked` alone is supported")))
}

/// Finds the line that httparse refused, to name it. This runs once per refused connection, so it may be slow.
fn explain(head: &[u8], error: Option<httparse::Error>, limits: &Limits) -> Refusal {
    if error == Some(httparse::Error::TooManyHeaders) {
        let max = limits.headers_max.min(HEADERS_CAP);
        return Refusal::new(431, format!("there are more than {max} header fields; send fewer"));
    }
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = shown_target(lines.next().unwrap_or_default());
    if let Some(fault) = faulty_field(lines) {
        return Refusal::new(400, fault);
    }
    Refusal::new(400, format!("the request line `{first}` is malformed; send it like `GET /path HTTP/1.1`"))
}

/// The first field line with a fault, and the fault.
pub(crate) fn faulty_field<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines.find_map(|(at, line)| Some(format!("{} {}", shown_field(at + 1, line), fault_of_field(line)?)))
}

/// What is wrong with a field line (RFC 9112 §5).
fn fault_of_field(line: &[u8]) -> Option<&'static str> {
    if line.first().is_some_and(|byte| b" \t".contains(byte)) {
        return Some("begins with whitespace; do not fold lines");
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Some("has no colon; send it like `Name: value`");
    };
    let (name, value) = line.split_at_checked(colon)?;
    if name.is_empty() {
        return Some("has no name; send it like `Name: value`");
    }
    if name.last().is_some_and(|byte| b" \t".contains(byte)) {
        return Some("has whitespace before its colon; leave it out");
    }
    if !name.iter().copied().all(is_token_byte) {
        return Some("has a name with a forbidden byte; use letters, digits and hyphens");
    }
    if !value.iter().copied().all(is_value_byte) {
        return Some("has a control byte in its value; leave it out");
    }
    None
}

/// For unit tests: the head of a GET with these field lines.
#[cfg(all(test, any(feature = "streamable", feature = "stateless")))]
#[allow(clippy::unwrap_used, reason = "unit tests alone call this, with heads that are right")]
pub(crate) fn with_fields<T>(lines: &str, read: impl FnOnce(&Head<'_>) -> T) -> T {
    let limits = Limits::DEFAULT;
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let range = Search::default().find(text.as_bytes(), &limits).unwrap().unwrap();
    let mut room = Fields::new();
    read(&parse(text.as_bytes().get(range).unwrap(), &mut room, &limits).unwrap())
}
