//! Arguments that are repeated in header fields, so that a proxy can route by them (MCP 2026-07-28, tools).
//!
//! *Scope:* `Mcp-Name` and `Mcp-Param-*` fields against the body. *Not in scope:* the annotations in the schema
//! (`param_headers`), which requests must have the fields.
//!
//! ```text
//!  "region": { "type": "string", "x-mcp-header": "Region" }   and   Mcp-Param-Region: eu
//!     arguments.region │ field
//!     ─────────────────┼──────────────────────────────────────────
//!     present          │ must be there and say the same
//!     absent, null     │ must not be there: a proxy that routed by it was misled
//!     there twice      │ refused: a proxy may have read the other one
//! ```

use std::borrow::Cow;

use crate::base64::decode::decode;
use crate::http::head::{Head, Single};
use crate::json::value::JsonRef;
use crate::jsonrpc::Error;
use crate::protocol::param_headers::Annotation;
use crate::protocol::uri::normal::normalize;
use crate::text::printable;

/// A header field and the body contradict each other (MCP 2026-07-28).
pub(crate) const HEADER_MISMATCH: i64 = -32020;

/// The field with what is called, or the URI of what is read.
const NAME: &str = "Mcp-Name";

/// How a text in base64 begins.
const CODED: &str = "=?base64?";

/// The text of a field: itself, or what its base64 form wraps.
fn unwrapped(value: &[u8]) -> Option<Cow<'_, str>> {
    let wrapped = value.strip_prefix(CODED.as_bytes()).and_then(|rest| rest.strip_suffix(b"?="));
    match wrapped {
        Some(wrapped) => String::from_utf8(decode(wrapped)?).ok().map(Cow::Owned),
        None => std::str::from_utf8(value).ok().map(Cow::Borrowed),
    }
}

/// Checks that a field has literally the text of the body.
///
/// # Errors
/// −32020 names the field, and the text of the body.
pub(crate) fn check(head: &Head<'_>, field: &'static str, body: &str) -> Result<(), Error> {
    let value = sent(head.usual(field), field, body)?;
    match value == body.as_bytes() {
        true => Ok(()),
        false => Err(differs(field, &String::from_utf8_lossy(value), body)),
    }
}

/// Checks that `Mcp-Name` has the text of the body, literally or in base64: a name may be a text that no field can hold.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_name(head: &Head<'_>, body: &str) -> Result<(), Error> {
    check_coded(head.usual(NAME), NAME, body)
}

fn check_coded(value: Single<'_>, field: &str, body: &str) -> Result<(), Error> {
    if value == Single::One(body.as_bytes()) && !body.starts_with(CODED) {
        return Ok(());
    }
    let text = decoded(value, field, body)?;
    match text == body {
        true => Ok(()),
        false => Err(differs(field, &text, body)),
    }
}

/// As [`check_name`], for a URI, which a proxy may have written in another form of the same URI.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_uri(head: &Head<'_>, body: &str) -> Result<(), Error> {
    let text = decoded(head.usual(NAME), NAME, body)?;
    match text == body || normalize(&text) == normalize(body) {
        true => Ok(()),
        false => Err(differs(NAME, &text, body)),
    }
}

fn decoded<'a>(value: Single<'a>, field: &str, body: &str) -> Result<Cow<'a, str>, Error> {
    unwrapped(sent(value, field, body)?)
        .ok_or_else(|| mismatch(format!("{field} is neither text nor the base64 of text (=?base64?…?=)")))
}

fn sent<'a>(value: Single<'a>, field: &str, body: &str) -> Result<&'a [u8], Error> {
    match value {
        Single::One(value) => Ok(value),
        Single::Absent => Err(mismatch(format!("{field} is missing; the body says `{}`", printable(body)))),
        Single::Several => Err(mismatch(format!("{field} is sent more than once"))),
    }
}

fn differs(field: &str, text: &str, body: &str) -> Error {
    mismatch(format!("{field} says `{}`, but the body says `{}`", printable(text), printable(body)))
}

fn mismatch(text: String) -> Error {
    Error::new(HEADER_MISMATCH, format!("Header mismatch: {text}"))
}

/// Checks the `Mcp-Param-*` fields of a call against its arguments.
///
/// # Errors
/// −32020 names the field; also if an annotated argument, or an object around it, occurs twice.
pub(crate) fn check_arguments(
    annotations: &[Annotation],
    arguments: Option<JsonRef<'_>>,
    head: &Head<'_>,
) -> Result<(), Error> {
    for Annotation { path, header } in annotations {
        let field = format!("Mcp-Param-{header}");
        let value = arguments.map_or(Ok(None), |arguments| argument(arguments, path));
        let value = value.map_err(|error| {
            mismatch(format!("{field} cannot be compared with `{}`: {}", path.join("."), error.message))
        })?;
        match value {
            Some(value) => check_argument(head, &field, value)?,
            None if head.header(&field).is_none() => {}
            None => {
                return Err(mismatch(format!(
                    "{field} is sent, but there is no argument `{}`",
                    path.join(".")
                )));
            }
        }
    }
    Ok(())
}

/// The value at a path; `None` if the path leads through a value that is no object.
///
/// # Errors
/// As [`JsonRef::member`].
fn argument<'a>(arguments: JsonRef<'a>, path: &[String]) -> Result<Option<JsonRef<'a>>, Error> {
    let mut value = arguments;
    for name in path {
        if !value.is_object() {
            return Ok(None);
        }
        let Some(inner) = value.member(name)? else { return Ok(None) };
        value = inner;
    }
    Ok(Some(value))
}

fn check_argument(head: &Head<'_>, field: &str, value: JsonRef<'_>) -> Result<(), Error> {
    let body = value.as_str().unwrap_or(Cow::Borrowed(value.text()));
    if !value.is_number() {
        return check_coded(head.single(field), field, &body);
    }
    let text = decoded(head.single(field), field, &body)?;
    let same = match (integer(&text), integer(&body)) {
        (Some(one), Some(other)) => one == other,
        _ => text == body,
    };
    match same {
        true => Ok(()),
        false => Err(differs(field, &text, &body)),
    }
}

/// The integer that a JSON number is, however it is written: `42.0` is 42.
fn integer(text: &str) -> Option<i128> {
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    number.as_i128().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
        Some(float as i128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::with_fields as with;
    use crate::json::tape::Tape;
    use crate::protocol::param_headers::{ANNOTATED, annotations};

    fn verdict(fields: &str, arguments: &str) -> Result<(), Error> {
        let mut tape = Tape::new();
        let arguments = tape.read(arguments).unwrap();
        with(fields, |head| check_arguments(&annotations(ANNOTATED).unwrap(), Some(arguments), head))
    }

    #[test]
    fn fields_that_say_what_the_arguments_say() {
        for (fields, arguments) in [
            ("", "{}"),
            ("", r#"{"region":null,"place":{"floor":null},"dry":null}"#),
            ("", r#"{"place":3}"#),
            ("Mcp-Param-Region: eu\r\n", r#"{"region":"eu"}"#),
            ("mcp-param-region:   eu \r\n", r#"{"region":"eu"}"#),
            ("Mcp-Param-Region: =?base64?SGVsbG8=?=\r\n", r#"{"region":"Hello"}"#),
            ("Mcp-Param-Region: =?base64?Y2Fmw6k=?=\r\n", r#"{"region":"caf\u00e9"}"#),
            ("Mcp-Param-Region: SGVsbG8=\r\n", r#"{"region":"SGVsbG8="}"#),
            ("Mcp-Param-Region: =?BASE64?SGVsbG8=?=\r\n", r#"{"region":"=?BASE64?SGVsbG8=?="}"#),
            ("Mcp-Param-Region: =?base64??=\r\n", r#"{"region":""}"#),
            ("Mcp-Param-Floor: 42\r\n", r#"{"place":{"floor":42}}"#),
            ("Mcp-Param-Floor: 42.0\r\n", r#"{"place":{"floor":42}}"#),
            ("Mcp-Param-Floor: -7\r\n", r#"{"place":{"floor":-7.0}}"#),
            ("Mcp-Param-Floor: 9007199254740993\r\n", r#"{"place":{"floor":9007199254740993}}"#),
            ("Mcp-Param-Dry: true\r\n", r#"{"dry":true}"#),
        ] {
            assert!(verdict(fields, arguments).is_ok(), "{fields}{arguments}");
        }
    }

    #[test]
    fn fields_that_do_not() {
        for (fields, arguments, complaint) in [
            ("", r#"{"region":"eu"}"#, "Mcp-Param-Region is missing; the body says `eu`"),
            ("Mcp-Param-Region: us\r\n", r#"{"region":"eu"}"#, "says `us`, but the body says `eu`"),
            ("Mcp-Param-Region: EU\r\n", r#"{"region":"eu"}"#, "says `EU`"),
            ("Mcp-Param-Region: eu\r\n", "{}", "there is no argument `region`"),
            ("Mcp-Param-Floor: 1\r\n", r#"{"place":null}"#, "there is no argument `place.floor`"),
            ("Mcp-Param-Region: eu\r\nMcp-Param-Region: eu\r\n", r#"{"region":"eu"}"#, "more than once"),
            ("Mcp-Param-Region: =?base64?SGVsbG8?=\r\n", r#"{"region":"Hello"}"#, "neither text nor"),
            ("Mcp-Param-Region: =?base64?/w==?=\r\n", r#"{"region":"Hello"}"#, "neither text nor"),
            ("Mcp-Param-Region: \u{e9}\r\n", r#"{"region":"e"}"#, "says"),
            ("Mcp-Param-Floor: 42.5\r\n", r#"{"place":{"floor":42}}"#, "says `42.5`"),
            ("Mcp-Param-Floor: 9007199254740993\r\n", r#"{"place":{"floor":9007199254740992}}"#, "says"),
            ("Mcp-Param-Floor: \r\n", r#"{"place":{"floor":0}}"#, "says ``"),
            ("Mcp-Param-Dry: True\r\n", r#"{"dry":true}"#, "says `True`"),
            ("Mcp-Param-Dry: 1\r\n", r#"{"dry":true}"#, "says `1`"),
            // Whatever the field says: who stands between may have read the other one.
            ("", r#"{"region":"eu","region":"us"}"#, "member `region` occurs twice"),
            ("", r#"{"region":"eu","region":null}"#, "member `region` occurs twice"),
            ("Mcp-Param-Region: eu\r\n", r#"{"region":"eu","re\u0067ion":"eu"}"#, "`region` occurs twice"),
            (
                "",
                r#"{"place":{"floor":1},"place":{"floor":13}}"#,
                "`place.floor`: Invalid params: member `place`",
            ),
            ("Mcp-Param-Floor: 1\r\n", r#"{"place":{"floor":1,"floor":13}}"#, "member `floor` occurs twice"),
        ] {
            let error = verdict(fields, arguments).unwrap_err();
            assert_eq!(error.code, HEADER_MISMATCH);
            assert!(error.message.contains(complaint), "{fields}{arguments}: {}", error.message);
        }
    }
}
