//! JSON-RPC messages: a naive reader of RFC 8259 and JSON-RPC 2.0 comes to the same verdict, code and id.

use std::borrow::Cow;

use mcp_rill::Limits;
use mcp_rill::json::{JsonRef, Members, Tape, write_raw};
use mcp_rill::jsonrpc::{self, Error, IdRef, Message};

use super::same;

const LIMITS: Limits = Limits { json_depth_max: 8, json_values_max: 64, id_bytes_max: 16, ..Limits::DEFAULT };

pub fn check(data: &[u8]) {
    let text = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    let naive = Reader::read(text);
    check_bounds(data, naive.as_ref());
    let mut tape = Tape::new();
    if let Some(text) = std::str::from_utf8(data).ok().filter(|text| !is_deep(text.as_bytes())) {
        same::check(text, &mut tape);
    }
    let expected = verdict(naive.as_ref());
    match (jsonrpc::parse(data, &LIMITS, &mut tape), expected) {
        // The naive reader has not looked.
        (Err(rejected), Err((code, None))) if naive.is_none() && is_deep(text) => {
            assert_eq!(rejected.error.code, code, "{rejected}");
        }
        (Ok(message), Ok(kind)) => {
            assert_eq!(kind_of(&message), kind);
            check_written_again(&message);
        }
        (Err(rejected), Err((code, id))) => {
            assert_eq!(
                (rejected.error.code, rejected.id.as_ref().map(IdRef::from)),
                (code, id),
                "{rejected}"
            );
            assert!(rejected.error.message.len() < 400, "{rejected}");
        }
        (ours, naive) => panic!("the naive reader says {naive:?}, the parser {ours:?}"),
    }
    assert_eq!(jsonrpc::is_batch(data), text.trim_ascii_start().first() == Some(&b'['));
}

/// Whether it may be deeper than the naive reader goes.
fn is_deep(text: &[u8]) -> bool {
    text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > Reader::DEPTH_MAX
}

/// Exactly the depth and number of values that a text has let it pass.
fn check_bounds(data: &[u8], naive: Option<&(Json<'_>, Reader<'_>)>) {
    let Some((_, reader)) = naive else { return };
    let (depth, values) = (reader.deepest, reader.values);
    let limits = Limits { json_depth_max: depth, json_values_max: values, ..Limits::DEFAULT };
    let is_over = |limits: &Limits| {
        let error =
            jsonrpc::parse(data, limits, &mut Tape::new()).err().map(|rejected| rejected.error.message);
        error.is_some_and(|text| text.contains("json_depth_max") || text.contains("json_values_max"))
    };
    assert!(!is_over(&limits), "{depth} deep, {values} values");
    let tight = Limits { json_values_max: values - 1, ..limits.clone() };
    assert!(is_over(&tight), "{values} values pass for fewer");
    if depth > 0 {
        assert!(is_over(&Limits { json_depth_max: depth - 1, ..limits }));
    }
}

/// What a message says, as text that two readers can be compared by.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    Request { id: IdRef<'a>, method: Cow<'a, str>, params: Option<Cow<'a, str>> },
    Notification { method: Cow<'a, str>, params: Option<Cow<'a, str>> },
    Response { id: Option<IdRef<'a>>, outcome: Result<Cow<'a, str>, Cow<'a, str>> },
}

fn kind_of<'a>(message: &Message<'a>) -> Kind<'a> {
    let raw = |value: JsonRef<'a>| Cow::Borrowed(value.text());
    match message.clone() {
        Message::Request(r) => Kind::Request { id: r.id, method: r.method, params: r.params.map(raw) },
        Message::Notification(n) => Kind::Notification { method: n.method, params: n.params.map(raw) },
        Message::Response(r) => Kind::Response { id: r.id, outcome: r.outcome.map(raw).map_err(raw) },
    }
}

impl Kind<'_> {
    /// The same with every text in one line, as it goes onto a stream: no line end of JSON or Unicode is raw.
    fn lined(self) -> Self {
        let line = |raw: Cow<'_, str>| {
            let line = raw.replace(['\r', '\n'], " ").replace('\u{85}', r"\u0085");
            Cow::Owned(line.replace('\u{2028}', r"\u2028").replace('\u{2029}', r"\u2029"))
        };
        match self {
            Kind::Request { id, method, params } => Kind::Request { id, method, params: params.map(line) },
            Kind::Notification { method, params } => Kind::Notification { method, params: params.map(line) },
            Kind::Response { id, outcome } => Kind::Response { id, outcome: outcome.map(line).map_err(line) },
        }
    }
}

type Verdict<'a> = Result<Kind<'a>, (i64, Option<IdRef<'a>>)>;

/// JSON-RPC 2.0, sections 4 and 5, with what MCP takes away (batches, null ids, positional parameters), and with null for
/// what may be absent.
fn verdict<'a>(naive: Option<&(Json<'a>, Reader<'a>)>) -> Verdict<'a> {
    let parse_error = Err((Error::PARSE_ERROR, None));
    let Some((json, reader)) = naive else { return parse_error };
    let over = reader.deepest > LIMITS.json_depth_max || reader.values > LIMITS.json_values_max;
    let Json::Object(members) = json else {
        return if over { parse_error } else { Err((Error::INVALID_REQUEST, None)) };
    };
    if members.iter().any(|(name, ..)| name.is_none()) {
        return parse_error;
    }
    let all = |name: &str| members.iter().filter(|m| m.0.as_deref() == Some(name)).collect::<Vec<_>>();
    let one = |name: &str| all(name).last().map(|(_, value, raw)| (value, *raw));
    let some = |name: &str| one(name).filter(|(value, _)| !matches!(value, Json::Null));
    let id_value = one("id").and_then(|(value, raw)| id(value, raw));
    let (method, error) = (some("method"), some("error"));
    let result = if method.is_none() && error.is_none() { one("result") } else { some("result") };
    let is_response = method.is_none() && (result.is_some() || error.is_some());
    let is_short = |id: &IdRef<'a>| !matches!(id, IdRef::Str(id) if id.len() > LIMITS.id_bytes_max);
    let answers = id_value.clone().filter(|id| !is_response && all("id").len() == 1 && is_short(id));
    let fail = |code| Err((code, answers.clone()));
    if over {
        return fail(Error::PARSE_ERROR);
    }
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    if known.iter().any(|name| all(name).len() > 1) {
        return fail(Error::INVALID_REQUEST);
    }
    match one("jsonrpc") {
        Some((Json::Str(Some(text)), _)) if text == "2.0" => {}
        Some((Json::Str(None), _)) => return fail(Error::PARSE_ERROR),
        _ => return fail(Error::INVALID_REQUEST),
    }
    let has_half = |member: Option<(&Json<'a>, &'a str)>| matches!(member, Some((Json::Str(None), _)));
    let is_null = |member: Option<(&Json<'a>, &'a str)>| matches!(member, Some((Json::Null, _)));
    let whole = one("id").and_then(|(value, raw)| whole(value, raw)).or(id_value.clone());
    match (method, result, error) {
        (Some((Json::Str(Some(method)), _)), None, None) => {
            let params = match some("params") {
                None => None,
                Some((Json::Object(_), raw)) => Some(raw.into()),
                Some(_) => return fail(Error::INVALID_REQUEST),
            };
            let method = method.clone();
            match (one("id"), id_value) {
                (None, _) => Ok(Kind::Notification { method, params }),
                (null, _) if is_null(null) && method.starts_with("notifications/") => {
                    Ok(Kind::Notification { method, params })
                }
                (Some(_), Some(IdRef::Str(id))) if id.len() > LIMITS.id_bytes_max => {
                    Err((Error::INVALID_REQUEST, None))
                }
                (Some(_), Some(id)) => Ok(Kind::Request { id, method, params }),
                (half, None) if has_half(half) => fail(Error::PARSE_ERROR),
                (Some(_), None) => fail(Error::INVALID_REQUEST),
            }
        }
        (Some((Json::Str(None), _)), None, None) => fail(Error::PARSE_ERROR),
        (None, Some((_, raw)), None) => match whole {
            Some(id) => Ok(Kind::Response { id: Some(id), outcome: Ok(raw.into()) }),
            None if has_half(one("id")) => fail(Error::PARSE_ERROR),
            None => fail(Error::INVALID_REQUEST),
        },
        (None, None, Some((_, raw))) => match (some("id"), whole) {
            (None, _) => Ok(Kind::Response { id: None, outcome: Err(raw.into()) }),
            (_, Some(id)) => Ok(Kind::Response { id: Some(id), outcome: Err(raw.into()) }),
            (half, None) if has_half(half) => fail(Error::PARSE_ERROR),
            _ => fail(Error::INVALID_REQUEST),
        },
        _ => fail(Error::INVALID_REQUEST),
    }
}

fn id<'a>(value: &Json<'a>, raw: &'a str) -> Option<IdRef<'a>> {
    match value {
        Json::Number => raw.parse().ok().map(IdRef::Int),
        Json::Str(Some(text)) => Some(IdRef::Str(text.clone())),
        _ => None,
    }
}

/// The id of a response that is written as `7.0`.
fn whole<'a>(value: &Json<'a>, raw: &'a str) -> Option<IdRef<'a>> {
    let (number, zeros) = raw.split_once('.')?;
    let is_whole = matches!(value, Json::Number) && zeros.trim_end_matches('0').is_empty();
    is_whole.then(|| number.parse().ok().map(IdRef::Int)).flatten()
}

/// What was read and is written out again is read as the same, and is one line.
fn check_written_again(message: &Message<'_>) {
    let mut out = Vec::new();
    let write = |out: &mut Vec<u8>, text: &str| write_raw(out, text);
    match &kind_of(message) {
        Kind::Request { id, method, params } => jsonrpc::write_request(&mut out, id, method, |out| {
            write(out, params.as_deref().unwrap_or_default());
        }),
        Kind::Notification { method, params } => jsonrpc::write_notification(&mut out, method, |out| {
            write(out, params.as_deref().unwrap_or_default());
        }),
        Kind::Response { id: Some(id), outcome: Ok(raw) } => {
            jsonrpc::write_result(&mut out, id, |out| write(out, raw));
        }
        Kind::Response { id: Some(id), outcome: Err(raw) } => {
            let mut error = Vec::new();
            write(&mut error, raw);
            jsonrpc::write_error_text(&mut out, id, &error);
        }
        Kind::Response { id: None, .. } => return check_error(message),
    }
    assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "more than one line");
    let mut tape = Tape::new();
    let again = jsonrpc::parse(&out, &LIMITS, &mut tape).expect("a message that was written again");
    assert_eq!(kind_of(&again), kind_of(message).lined());
    check_error(message);
    check_members(message);
}

fn check_error(message: &Message<'_>) {
    let Message::Response(response) = message else { return };
    let Err(raw) = response.outcome else { return };
    let Ok(error) = Error::read(raw) else { return };
    let mut out = Vec::new();
    jsonrpc::write_error(&mut out, response.id.as_ref().map(IdRef::from), &error);
    let mut tape = Tape::new();
    let Ok(Message::Response(again)) = jsonrpc::parse(&out, &Limits::DEFAULT, &mut tape) else {
        panic!("an error")
    };
    assert_eq!(again.id, response.id);
    let again = again.outcome.err().and_then(|raw| Error::read(raw).ok()).expect("an error again");
    assert_eq!((again.code, &again.message), (error.code, &error.message));
}

/// Members are what the naive reader finds, and no name is there twice.
fn check_members(message: &Message<'_>) {
    let params = match message {
        Message::Request(request) => request.params,
        Message::Notification(notification) => notification.params,
        Message::Response(_) => None,
    };
    let Some(params) = params else { return };
    let Some((Json::Object(naive), _)) = Reader::read(params.text().as_bytes()) else { panic!("no object") };
    let names: Option<Vec<&str>> = naive.iter().map(|(name, ..)| name.as_deref()).collect();
    let unique = |names: &[&str]| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    match Members::of(params) {
        Ok(members) => {
            let found: Vec<(Cow<'_, str>, &str)> =
                members.iter().map(|(name, value)| (name, value.text())).collect();
            let names = names.expect("a name with half of a surrogate pair is taken");
            assert!(unique(&names));
            assert_eq!(
                found,
                naive.iter().zip(&names).map(|(m, name)| (Cow::Borrowed(*name), m.2)).collect::<Vec<_>>()
            );
        }
        Err(error) => assert!(names.is_none_or(|names| !unique(&names)), "{error}"),
    }
}

type Member<'a> = (Option<Cow<'a, str>>, Json<'a>, &'a str);

/// A JSON value; `Str(None)` is a string with half of a surrogate pair.
#[derive(Debug)]
enum Json<'a> {
    Null,
    Bool,
    Number,
    Str(Option<Cow<'a, str>>),
    Array,
    Object(Vec<Member<'a>>),
}

/// RFC 8259, section by section.
#[derive(Debug, Default)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    deepest: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    /// Deeper texts are over the limit and are not told from texts that are no JSON.
    const DEPTH_MAX: usize = 100;

    fn read(data: &'a [u8]) -> Option<(Json<'a>, Reader<'a>)> {
        let mut reader = Reader { text: std::str::from_utf8(data).ok()?, ..Reader::default() };
        let (json, _) = reader.value()?;
        reader.blanks();
        (reader.at == data.len()).then_some((json, reader))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn eat(&mut self, text: &str) -> Option<()> {
        self.blanks();
        self.rest().starts_with(text).then(|| self.at += text.len())
    }

    fn value(&mut self) -> Option<(Json<'a>, &'a str)> {
        self.blanks();
        self.values += 1;
        let start = self.at;
        let json = match self.rest().as_bytes().first()? {
            b'{' => self.nested(Reader::object)?,
            b'[' => self.nested(Reader::array)?,
            b'"' => Json::Str(self.string()?),
            b'n' => self.eat("null").map(|()| Json::Null)?,
            b't' => self.eat("true").map(|()| Json::Bool)?,
            b'f' => self.eat("false").map(|()| Json::Bool)?,
            _ => self.number()?,
        };
        Some((json, &self.text[start..self.at]))
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Json<'a>>) -> Option<Json<'a>> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let json = if self.depth > Reader::DEPTH_MAX { None } else { read(self) };
        self.depth -= 1;
        json
    }

    fn object(&mut self) -> Option<Json<'a>> {
        let mut members = Vec::new();
        self.eat("{")?;
        if self.eat("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            self.eat(":")?;
            let (json, raw) = self.value()?;
            members.push((name, json, raw));
            if self.eat("}").is_some() {
                return Some(Json::Object(members));
            }
            self.eat(",")?;
        }
    }

    fn array(&mut self) -> Option<Json<'a>> {
        self.eat("[")?;
        if self.eat("]").is_some() {
            return Some(Json::Array);
        }
        loop {
            self.value()?;
            if self.eat("]").is_some() {
                return Some(Json::Array);
            }
            self.eat(",")?;
        }
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn number(&mut self) -> Option<Json<'a>> {
        let rest = self.rest().strip_prefix('-').unwrap_or(self.rest());
        self.at = self.text.len() - rest.len();
        if rest.starts_with('0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if let Some(rest) = self.rest().strip_prefix('.') {
            self.at = self.text.len() - rest.len();
            self.digits()?;
        }
        if let Some(rest) = self.rest().strip_prefix(['e', 'E']) {
            self.at = self.text.len() - rest.strip_prefix(['+', '-']).unwrap_or(rest).len();
            self.digits()?;
        }
        Some(Json::Number)
    }

    /// The outer `None`: no string. The inner one: half of a surrogate pair.
    #[allow(clippy::option_option)]
    fn string(&mut self) -> Option<Option<Cow<'a, str>>> {
        let mut units: Vec<u16> = Vec::new();
        let mut rest = self.rest().strip_prefix('"')?.chars();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => match rest.next()? {
                    'u' => {
                        let digits = rest.as_str().get(..4)?;
                        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                        units.push(hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()?);
                        rest = rest.as_str()[4..].chars();
                    }
                    'b' => units.push(8),
                    'f' => units.push(12),
                    'n' => units.push(10),
                    'r' => units.push(13),
                    't' => units.push(9),
                    c @ ('"' | '\\' | '/') => units.push(c as u16),
                    _ => return None,
                },
                c if c < ' ' => return None,
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        self.at = self.text.len() - rest.as_str().len();
        Some(String::from_utf16(&units).ok().map(Cow::Owned))
    }
}
