//! JSON-RPC 2.0 messages as MCP uses them: bounded, borrowed when read, written in place.
//!
//! *Scope:* the envelope (JSON-RPC 2.0, sections 4 and 5; MCP basic, "Messages") of one message in either direction,
//! ids, errors. *Not in scope:* the grammar of JSON and its values ([`json`](crate::json)), what methods mean, which id
//! answers which.
//!
//! ```text
//!   bytes ──▶ tape ──────────▶ envelope ──────────────▶ kind, by the members that are present
//!              │ UTF-8, JSON    │ one object              ├ method + id          Request
//!              │ depth          │ no member twice         ├ method, no id        Notification
//!              │ values         │ jsonrpc is "2.0"        ├ result + id          Response, Ok
//!              ▼                ▼                         ├ error (id optional)  Response, Err
//!            −32700       −32700 | −32600                 └ anything else        −32600
//! ```
//!
//! A member that may be left out may be null instead: programs that write every member of a structure send that.
//!
//! ```
//! use mcp_rill::Limits;
//! use mcp_rill::json::{Object, Tape};
//! use mcp_rill::jsonrpc::{self, IdRef, Message};
//!
//! let mut tape = Tape::new();
//! let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
//! let Message::Request(ping) = jsonrpc::parse(body, &Limits::DEFAULT, &mut tape)? else { unreachable!() };
//! assert_eq!((&ping.id, &*ping.method), (&IdRef::Int(1), "ping"));
//!
//! let mut reply = Vec::new();
//! jsonrpc::write_result(&mut reply, &ping.id, |out| Object::new(out).end());
//! assert_eq!(reply, br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
//!
//! let body = br#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#;
//! let refused = jsonrpc::parse(body, &Limits::DEFAULT, &mut tape).unwrap_err();
//! assert_eq!(refused.error.code, jsonrpc::Error::INVALID_REQUEST);
//! assert_eq!(refused.id, Some("a".into()));
//! # Ok::<(), jsonrpc::Rejected>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::json::tape::Tape;
use crate::json::value::{Items, JsonRef, Members, NotMembers};
use crate::json::write::Object;
use crate::json::write_raw;
use crate::limits::Limits;
use crate::text::error_text;

pub(crate) mod id;
pub(crate) mod unreadable;

pub use crate::jsonrpc::id::{Id, IdRef};

/// A JSON-RPC error object (JSON-RPC 2.0, section 5.1).
///
/// ```
/// use mcp_rill::jsonrpc::Error;
/// let error = Error::method_not_found("tools/fly");
/// assert_eq!((error.code, &*error.message), (-32601, "Method not found: tools/fly"));
/// assert_eq!(Error::parse_error("no text").to_string(), "Parse error: no text (-32700)");
/// assert_eq!(Error::invalid_request("no method").to_string(), "Invalid request: no method (-32600)");
/// assert_eq!(Error::invalid_params("no name").to_string(), "Invalid params: no name (-32602)");
/// assert_eq!(Error::internal("no disk").to_string(), "Internal error: no disk (-32603)");
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of error; the constants below and those of MCP.
    pub code: i64,
    /// One sentence for a person.
    pub message: Cow<'static, str>,
    /// Details, any JSON value.
    pub data: Option<Box<RawValue>>,
}

impl Error {
    /// The text is not JSON, not UTF-8, or over a limit.
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON, but not a JSON-RPC message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method, or one whose capability was not declared.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The method does not take these parameters.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The receiver failed.
    pub const INTERNAL_ERROR: i64 = -32603;

    /// An error without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Error {
        Error { code, message: message.into(), data: None }
    }

    /// −32700 with `Parse error: ` and the detail.
    pub fn parse_error(detail: impl fmt::Display) -> Error {
        Error::new(Error::PARSE_ERROR, format!("Parse error: {detail}"))
    }

    /// −32600 with `Invalid request: ` and the detail.
    pub fn invalid_request(detail: impl fmt::Display) -> Error {
        Error::new(Error::INVALID_REQUEST, format!("Invalid request: {detail}"))
    }

    /// −32601 with `Method not found: ` and the first 64 characters of the name.
    pub fn method_not_found(method: &str) -> Error {
        Error::new(Error::METHOD_NOT_FOUND, format!("Method not found: {method:.64}"))
    }

    /// −32602 with `Invalid params: ` and the detail.
    pub fn invalid_params(detail: impl fmt::Display) -> Error {
        Error::new(Error::INVALID_PARAMS, format!("Invalid params: {detail}"))
    }

    /// −32603 with `Internal error: ` and the detail.
    pub fn internal(detail: impl fmt::Display) -> Error {
        Error::new(Error::INTERNAL_ERROR, format!("Internal error: {detail}"))
    }

    /// Adds details for programs: any JSON value.
    ///
    /// ```
    /// use mcp_rill::jsonrpc::Error;
    /// let mut out = Vec::new();
    /// Error::new(-32000, "busy").with_data(serde_json::from_str("[5]")?).write(&mut out);
    /// assert_eq!(out, br#"{"code":-32000,"message":"busy","data":[5]}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn with_data(self, data: Box<RawValue>) -> Error {
        Error { data: Some(data), ..self }
    }

    /// Appends the error object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        object.int("code", self.code).str("message", &self.message);
        if let Some(data) = &self.data {
            object.raw("data", data.get());
        }
    }

    /// Reads the error object of a [`Response`].
    ///
    /// # Errors
    /// −32600 if it is not an object with an integer `code` and a string `message`, or has a member twice.
    ///
    /// ```
    /// use mcp_rill::{json::Tape, jsonrpc::Error};
    /// let mut tape = Tape::new();
    /// let error = Error::read(tape.read(r#"{"code": -32000, "message": "busy"}"#)?)?;
    /// assert_eq!(error.to_string(), "busy (-32000)");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(value: JsonRef<'_>) -> Result<Error, Error> {
        let members = Members::of_member(value, "error").map_err(Error::invalid_request)?;
        let code = members.get("code").and_then(|code| code.text().parse().ok());
        let message = members.text("message");
        match (code, message) {
            (Some(code), Some(message)) => Ok(Error {
                code,
                message: Cow::Owned(message.into_owned()),
                data: members.get("data").map(JsonRef::to_raw),
            }),
            _ => Err(Error::invalid_request("an error needs an integer code and a string message")),
        }
    }
}

error_text!(Error: |error| "{} ({})", error.message, error.code);

/// −32602: most objects that are read are parameters, or in them.
impl From<NotMembers> for Error {
    fn from(problem: NotMembers) -> Error {
        Error::invalid_params(problem)
    }
}

/// One message, borrowed from its bytes.
///
/// ```
/// use mcp_rill::{Limits, json::Tape, jsonrpc::{self, Message}};
/// let seen = |text: &str| match jsonrpc::parse(text.as_bytes(), &Limits::DEFAULT, &mut Tape::new()).unwrap() {
///     Message::Request(request) => format!("{} wants an answer", request.method),
///     Message::Notification(notification) => format!("{} was told", notification.method),
///     Message::Response(response) => format!("answered well: {}", response.outcome.is_ok()),
/// };
/// assert_eq!(seen(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), "ping wants an answer");
/// assert_eq!(seen(r#"{"jsonrpc":"2.0","method":"hello"}"#), "hello was told");
/// assert_eq!(seen(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), "answered well: true");
/// ```
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Must not be answered, whatever it says.
    Notification(Notification<'a>),
    /// Answers a request of ours.
    Response(Response<'a>),
}

impl Message<'_> {
    /// Appends the message in one line, without members that are no part of it.
    ///
    /// ```
    /// use mcp_rill::{Limits, json::Tape, jsonrpc};
    /// let (mut tape, mut out) = (Tape::new(), Vec::new());
    /// let text = b"{\"id\": 1, \"x\": 2,\n\"error\": {\"code\": 1}, \"jsonrpc\": \"2.0\"}";
    /// jsonrpc::parse(text, &Limits::DEFAULT, &mut tape)?.write(&mut out);
    /// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"error":{"code": 1}}"#);
    /// # Ok::<(), jsonrpc::Rejected>(())
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut message = begin(out);
        let (id, method) = match self {
            Message::Request(Request { id, method, .. }) => (Some(id), Some(method)),
            Message::Notification(Notification { method, .. }) => (None, Some(method)),
            Message::Response(Response { id, .. }) => (id.as_ref(), None),
        };
        if let Some(id) = id {
            message.field("id", |out| id.write(out));
        }
        message.opt_str("method", method.map(|method| &**method));
        let (name, value) = match self {
            Message::Request(Request { params, .. }) | Message::Notification(Notification { params, .. }) => {
                ("params", *params)
            }
            Message::Response(Response { outcome: Ok(result), .. }) => ("result", Some(*result)),
            Message::Response(Response { outcome: Err(error), .. }) => ("error", Some(*error)),
        };
        message.opt_field(name, |out| write_raw(out, value.map_or("", JsonRef::text)));
    }
}

/// As [`write`](Message::write) does.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// A message with `method` and `id`.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What the answer must carry.
    pub id: IdRef<'a>,
    /// The method's name, without its escapes.
    pub method: Cow<'a, str>,
    /// An object.
    pub params: Option<JsonRef<'a>>,
}

/// A message with `method` and without `id`.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// The method's name, without its escapes.
    pub method: Cow<'a, str>,
    /// An object.
    pub params: Option<JsonRef<'a>>,
}

/// A message with `result` or `error`.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// The request that is answered. `None` only for an error whose sender could not read the id.
    pub id: Option<IdRef<'a>>,
    /// `result`, or `error` for [`Error::read`]; any JSON value.
    pub outcome: Result<JsonRef<'a>, JsonRef<'a>>,
}

/// Why bytes are not a [`Message`].
///
/// ```
/// use mcp_rill::{Limits, json::Tape, jsonrpc::{parse, write_error}};
/// let mut tape = Tape::new();
/// let rejected = parse(br#"{"jsonrpc":"2.0","id":7,"method":1}"#, &Limits::DEFAULT, &mut tape).unwrap_err();
/// let mut out = Vec::new();
/// write_error(&mut out, rejected.id.as_ref().map(Into::into), &rejected.error);
/// assert!(out.starts_with(br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"#));
/// ```
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What to answer.
    pub error: Error,
    /// The id to answer with: of something that wants an answer and whose id could be read, else `None`.
    pub id: Option<Id>,
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Rejected {
        Rejected { error, id: None }
    }
}

error_text!(Rejected: |rejected| "{}", rejected.error);

/// What may stand before a JSON text and is no part of it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The text, without a byte order mark.
fn decode(bytes: &[u8]) -> Result<&str, Error> {
    str::from_utf8(unmarked(bytes)).map_err(Error::parse_error)
}

/// True if a JSON text is an array: a batch (MCP 2025-03-26, basic, "Batching"), for [`split_batch`]; [`parse`] refuses it.
///
/// ```
/// assert!(mcp_rill::jsonrpc::is_batch(b" [{}]"));
/// assert!(!mcp_rill::jsonrpc::is_batch(b"{}"));
/// ```
pub fn is_batch(bytes: &[u8]) -> bool {
    unmarked(bytes).trim_ascii_start().starts_with(b"[")
}

/// The messages of a batch as they stand (JSON-RPC 2.0, section 6), each for [`message`]. Only revision 2025-03-26 has
/// them.
///
/// # Errors
/// −32700 if the text is not JSON, not UTF-8, not an array, or over a limit.
///
/// ```
/// use mcp_rill::{Limits, json::Tape, jsonrpc::split_batch};
/// let mut tape = Tape::new();
/// let items = split_batch(br#"[ {"a":1}, 2 ]"#, &Limits::DEFAULT, &mut tape)?;
/// assert_eq!(items.map(|item| item.text()).collect::<Vec<_>>(), [r#"{"a":1}"#, "2"]);
/// # Ok::<(), mcp_rill::jsonrpc::Error>(())
/// ```
pub fn split_batch<'a>(bytes: &'a [u8], limits: &Limits, tape: &'a mut Tape) -> Result<Items<'a>, Error> {
    let text = decode(bytes)?;
    match tape.read_within(text, limits) {
        Ok(json) => json.items().ok_or_else(|| Error::parse_error("a batch is an array")),
        Err(fault) => Err(unreadable::batch(text, fault, limits)),
    }
}

/// Reads one message. The text is read once; the message and all that is in it are looked up in the tape.
///
/// Counted are nesting (`json_depth_max`) and values: every scalar, array and object, but not members' names
/// (`json_values_max`). Nothing inside a string counts. A byte order mark may stand before the text (RFC 8259, section 8.1).
///
/// # Errors
/// −32700 for what is not one JSON text in UTF-8, or is over a limit; the message names it. −32600 as for [`message`].
///
/// The id is returned also for a request over `json_depth_max` or `json_values_max`, but never one over `id_bytes_max`.
///
/// ```
/// use mcp_rill::{Limits, json::Tape, jsonrpc::{Error, parse}};
/// let limits = Limits { json_depth_max: 4, ..Limits::DEFAULT };
/// let mut tape = Tape::new();
/// let mut error = |text: &str| parse(text.as_bytes(), &limits, &mut tape).unwrap_err().error;
/// assert_eq!(error("{").code, Error::PARSE_ERROR);
/// assert_eq!(error("[]").code, Error::INVALID_REQUEST);
/// assert_eq!(error("[[[[[]]]]]").message, "Parse error: nested deeper than json_depth_max (4)");
/// ```
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits, tape: &'a mut Tape) -> Result<Message<'a>, Rejected> {
    let text = decode(bytes)?;
    match tape.read_within(text, limits) {
        Ok(json) => message_in(text, json, limits),
        Err(fault) => Err(unreadable::message(text, fault, limits)),
    }
}

/// Reads a JSON value as a message.
///
/// Members besides `jsonrpc`, `id`, `method`, `params`, `result` and `error` are ignored. Inside `params`, `result`
/// and `error` only the syntax is checked: [`Members`] and [`JsonRef::as_str`] refuse duplicates and bad escapes there.
///
/// `"params":null` is the same as no `params`; so are a `method` and an `error` that are null, and a null `result` beside
/// one of the two. `"id":null` is no id of a request (MCP basic, "Requests"), but with a method `notifications/…` it is
/// the same as no id. The id of a response may be written with a fraction of zeros, `7.0`, as languages without integers
/// do; it is read as the integer.
///
/// # Errors
/// −32600 for what is no message: an array, a member twice (escapes do not hide it), a `jsonrpc` other than `"2.0"`,
/// an id that is not an integer of 64 bits or a string, a method that is not a string, `params` that are not an
/// object (MCP has no positional ones), members of both a request and a response; a request's id that is longer than
/// `id_bytes_max`. Servers of the TypeScript SDK have −32700 here too; JSON-RPC 2.0, section 5.1, keeps that for what is
/// not JSON. −32700 for half of a surrogate pair in a name or in what is read here.
pub fn message<'a>(json: JsonRef<'a>, limits: &Limits) -> Result<Message<'a>, Rejected> {
    message_in(json.text(), json, limits)
}

/// Lines and columns in errors are those of `text`.
#[inline(always)]
fn message_in<'a>(text: &str, json: JsonRef<'a>, limits: &Limits) -> Result<Message<'a>, Rejected> {
    if !json.is_object() {
        let what = if json.is_array() { "batches are not supported" } else { "a message is an object" };
        return Err(Error::invalid_request(what).into());
    }
    let mut envelope = Envelope::default();
    if !envelope.read(json) {
        return Err(unreadable::not_json(text).into());
    }
    envelope
        .message(limits.id_bytes_max)
        .map_err(|error| Rejected { error, id: envelope.id_to_answer(limits.id_bytes_max) })
}

/// Appends a response with a result: what `result` appends, which must be one JSON value in one line.
///
/// The members' order is `jsonrpc`, `id`, `result`, here and below; nothing else is ever added, since some clients
/// refuse unknown members.
///
/// ```
/// use mcp_rill::jsonrpc::{Id, write_result};
/// let mut out = Vec::new();
/// write_result(&mut out, &Id::Int(1), |out| out.extend_from_slice(b"{}"));
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
/// ```
pub fn write_result<'i>(out: &mut Vec<u8>, id: impl Into<IdRef<'i>>, result: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    id.into().write(out);
    out.extend_from_slice(br#","result":"#);
    result(out);
    out.push(b'}');
}

/// Appends an error response. Without an id the member is left out, as MCP 2025-11-25 wants it.
///
/// ```
/// use mcp_rill::jsonrpc::{Error, Id, write_error};
/// let mut out = Vec::new();
/// write_error(&mut out, Some((&Id::Int(1)).into()), &Error::new(-32000, "busy"));
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"busy"}}"#);
/// ```
pub fn write_error(out: &mut Vec<u8>, id: Option<IdRef<'_>>, error: &Error) {
    let mut message = begin(out);
    if let Some(id) = id {
        message.field("id", |out| id.write(out));
    }
    message.field("error", |out| error.write(out));
}

/// Appends an error response whose error object is JSON text already.
///
/// ```
/// use mcp_rill::jsonrpc::{Id, write_error_text};
/// let mut out = Vec::new();
/// write_error_text(&mut out, &Id::Int(1), br#"{"code":1,"message":"no"}"#);
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#);
/// ```
pub fn write_error_text<'i>(out: &mut Vec<u8>, id: impl Into<IdRef<'i>>, error: &[u8]) {
    begin(out).field("id", |out| id.into().write(out)).field("error", |out| out.extend_from_slice(error));
}

/// Appends an error response for the body of a refused HTTP request: without an id it has `"id":null` (JSON-RPC 2.0,
/// section 5). Never for a stream: MCP's schema has no null id, and clients drop such a message there.
///
/// ```
/// use mcp_rill::jsonrpc::{Error, write_error_body};
/// let mut out = Vec::new();
/// write_error_body(&mut out, None, &Error::new(-32000, "busy"));
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"busy"}}"#);
/// ```
pub fn write_error_body(out: &mut Vec<u8>, id: Option<IdRef<'_>>, error: &Error) {
    let mut message = begin(out);
    match id {
        Some(id) => message.field("id", |out| id.write(out)),
        None => message.raw("id", "null"),
    };
    message.field("error", |out| error.write(out));
}

/// Appends a request. `params` appends one JSON object in one line; if it appends nothing, there are no params.
///
/// ```
/// use mcp_rill::jsonrpc::{Id, write_request};
/// let mut out = Vec::new();
/// write_request(&mut out, &Id::from("r1"), "ping", |_| {});
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":"r1","method":"ping"}"#);
/// ```
pub fn write_request<'i>(
    out: &mut Vec<u8>,
    id: impl Into<IdRef<'i>>,
    method: &str,
    params: impl FnOnce(&mut Vec<u8>),
) {
    begin(out).field("id", |out| id.into().write(out)).str("method", method).opt_field("params", params);
}

/// Appends a notification. `params` appends one JSON object in one line; if it appends nothing, there are no params.
///
/// ```
/// use mcp_rill::{json::Object, jsonrpc::write_notification};
/// let mut out = Vec::new();
/// write_notification(&mut out, "notifications/message", |out| {
///     Object::new(out).str("level", "info").str("data", "hello");
/// });
/// assert!(out.ends_with(br#""method":"notifications/message","params":{"level":"info","data":"hello"}}"#));
/// ```
pub fn write_notification(out: &mut Vec<u8>, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    begin(out).str("method", method).opt_field("params", params);
}

fn begin(out: &mut Vec<u8>) -> Object<'_> {
    Object::begun(out, br#"{"jsonrpc":"2.0""#)
}

/// The members as they are present. All are read before any is judged, so that an id after the defect is still found.
#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<JsonRef<'a>>,
    id: Option<JsonRef<'a>>,
    method: Option<JsonRef<'a>>,
    params: Option<JsonRef<'a>>,
    result: Option<JsonRef<'a>>,
    error: Option<JsonRef<'a>>,
    twice: Option<&'static str>,
}

impl<'a> Envelope<'a> {
    const NAMES: [&'static str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

    /// Reads the members. Returns false if a name has half of a surrogate pair.
    #[inline(always)]
    fn read(&mut self, object: JsonRef<'a>) -> bool {
        for pair in object.pairs() {
            let escaped;
            let name = match pair.plain_name() {
                Some(name) => name,
                None => {
                    let Some(name) = pair.name() else { return false };
                    escaped = name;
                    escaped.as_bytes()
                }
            };
            let (slot, name) = match name {
                b"jsonrpc" => (&mut self.jsonrpc, "jsonrpc"),
                b"id" => (&mut self.id, "id"),
                b"method" => (&mut self.method, "method"),
                b"params" => (&mut self.params, "params"),
                b"result" => (&mut self.result, "result"),
                b"error" => (&mut self.error, "error"),
                _ => continue,
            };
            // Of several duplicates the id is the one to remember: it must not be answered.
            if slot.replace(pair.value).is_some() && self.twice != Some("id") {
                self.twice = Some(name);
            }
        }
        true
    }

    #[inline(always)]
    fn message(&self, id_bytes_max: usize) -> Result<Message<'a>, Error> {
        if let Some(name) = self.twice {
            return Err(Error::invalid_request(format_args!("member `{name}` occurs twice")));
        }
        let is_usual = self.jsonrpc.is_some_and(|value| value.text() == r#""2.0""#);
        if !is_usual && text("jsonrpc", self.jsonrpc)? != "2.0" {
            return Err(Error::invalid_request("`jsonrpc` must be \"2.0\""));
        }
        match self.parts() {
            (Some(raw), None, None) => self.call(text("method", Some(raw))?, id_bytes_max),
            (None, Some(result), None) => match self.id {
                Some(raw) => {
                    Ok(Message::Response(Response { id: Some(response_id(raw)?), outcome: Ok(result) }))
                }
                None => Err(Error::invalid_request("a result needs an `id`")),
            },
            (None, None, Some(error)) => {
                let id = present(self.id).map(response_id).transpose()?;
                Ok(Message::Response(Response { id, outcome: Err(error) }))
            }
            (None, None, None) => Err(Error::invalid_request("no `method`, `result` or `error`")),
            _ => Err(Error::invalid_request("only one of `method`, `result` and `error` can be present")),
        }
    }

    /// `method`, `result` and `error`. A result may be null, but not beside one of the others.
    #[inline(always)]
    fn parts(&self) -> (Option<JsonRef<'a>>, Option<JsonRef<'a>>, Option<JsonRef<'a>>) {
        let (method, error) = (present(self.method), present(self.error));
        let alone = method.is_none() && error.is_none();
        (method, self.result.filter(|result| alone || !result.is_null()), error)
    }

    #[inline(always)]
    fn call(&self, method: Cow<'a, str>, id_bytes_max: usize) -> Result<Message<'a>, Error> {
        let params = present(self.params);
        if params.is_some_and(|params| !params.is_object()) {
            return Err(Error::invalid_request("`params` must be an object"));
        }
        // No request of MCP has such a name.
        let is_notice = |id: &JsonRef<'_>| id.is_null() && method.starts_with("notifications/");
        Ok(match self.id.filter(|id| !is_notice(id)) {
            Some(raw) => {
                let id = id(raw)?;
                if let IdRef::Str(id) = &id
                    && id.len() > id_bytes_max
                {
                    return Err(Error::invalid_request(format_args!(
                        "`id` has {} bytes, more than id_bytes_max ({id_bytes_max})",
                        id.len()
                    )));
                }
                Message::Request(Request { id, method, params })
            }
            None => Message::Notification(Notification { method, params }),
        })
    }

    fn id_to_answer(&self, bytes_max: usize) -> Option<Id> {
        let is_response = matches!(self.parts(), (None, Some(_), _) | (None, _, Some(_)));
        if is_response || self.twice == Some("id") {
            return None;
        }
        let fits = |id: &IdRef<'_>| !matches!(id, IdRef::Str(text) if text.len() > bytes_max);
        self.id.and_then(IdRef::read).filter(fits).map(IdRef::into_owned)
    }
}

/// A member that may be left out, or be null instead.
fn present(member: Option<JsonRef<'_>>) -> Option<JsonRef<'_>> {
    member.filter(|value| !value.is_null())
}

/// The id of a response.
fn response_id(value: JsonRef<'_>) -> Result<IdRef<'_>, Error> {
    let whole = value.text().split_once('.').filter(|(_, zeros)| zeros.bytes().all(|byte| byte == b'0'));
    match whole.and_then(|(number, _)| number.parse().ok()) {
        Some(number) => Ok(IdRef::Int(number)),
        None => id(value),
    }
}

fn id(value: JsonRef<'_>) -> Result<IdRef<'_>, Error> {
    match IdRef::read(value) {
        Some(id) => Ok(id),
        None if value.is_str() => text("id", Some(value)).map(IdRef::Str),
        None => Err(Error::invalid_request("`id` must be a string or an integer of 64 bits")),
    }
}

fn text<'a>(name: &str, value: Option<JsonRef<'a>>) -> Result<Cow<'a, str>, Error> {
    match value {
        Some(value) if value.is_str() => value
            .as_str()
            .ok_or_else(|| Error::parse_error(format_args!("`{name}` has half of a surrogate pair"))),
        Some(_) => Err(Error::invalid_request(format_args!("`{name}` must be a string"))),
        None => Err(Error::invalid_request(format_args!("`{name}` is missing"))),
    }
}
