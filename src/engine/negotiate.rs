//! What header fields say of a Streamable HTTP request: which media types are wanted, which revision is spoken.
//!
//! *Scope:* `Accept` (RFC 9110 §12.5.1) as far as two media types go, `MCP-Protocol-Version`.
//! *Not in scope:* what follows from them.

use crate::engine::refusals::Refused;
use crate::http::head::{Head, Single};
use crate::json::write::{Array, Object};
use crate::jsonrpc::{Error, Message};
use crate::protocol::meta::names_revision;
use crate::protocol::revision::Revision;
use crate::runtime::headers::HEADER_MISMATCH;
use crate::text::shown;

/// Which forms of an answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptField {
    pub(crate) json: bool,
    pub(crate) events: bool,
}

impl AcceptField {
    /// Without the field, or with an empty one, everything is acceptable.
    pub(crate) fn of(head: &Head<'_>) -> AcceptField {
        // What all SDKs send needs no reading.
        if head.header("accept") == Some(b"application/json, text/event-stream") {
            return AcceptField { json: true, events: true };
        }
        let fields =
            || head.headers_named("accept").map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
        if fields().next().is_none() {
            return AcceptField { json: true, events: true };
        }
        let takes = |kind: &str, subtype: &str| {
            let ranges = fields().flat_map(|value| value.split(|byte| *byte == b','));
            // The most specific range that matches decides, wherever it stands.
            ranges
                .filter_map(|range| match_range(range, kind, subtype))
                .max()
                .is_some_and(|(_, wanted)| wanted)
        };
        AcceptField { json: takes("application", "json"), events: takes("text", "event-stream") }
    }
}

/// How specifically a media range names the type, and whether it wants it; `None` if it does not name it.
fn match_range(range: &[u8], kind: &str, subtype: &str) -> Option<(u8, bool)> {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let (range_kind, range_subtype) = split(parts.next()?)?;
    let named = |found: &[u8], name: &str| found.eq_ignore_ascii_case(name.as_bytes());
    let specific = match (range_kind, range_subtype) {
        (b"*", b"*") => 0,
        (found, b"*") if named(found, kind) => 1,
        (found, sub) if named(found, kind) && named(sub, subtype) => 2,
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    // Only a weight of zero is a refusal, whatever number of digits it is written with.
    let refused = weight.is_some_and(|weight| {
        weight.starts_with(b"0") && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
    });
    Some((specific, !refused))
}

fn split(range: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = range.iter().position(|byte| *byte == b'/')?;
    Some((range.get(..slash)?, range.get(slash + 1..)?))
}

/// What `MCP-Protocol-Version` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Nothing, which 2025-03-26 and `initialize` do.
    Absent,
    /// A revision with sessions.
    Served,
    /// 2026-07-28 or a later one: without sessions.
    Modern(String),
    /// Anything else, made visible.
    Unknown(String),
    /// More than one field, be they equal.
    Several,
}

/// The first revision without sessions.
const MODERN: &str = "2026-07-28";

impl Version {
    pub(crate) fn of(head: &Head<'_>) -> Version {
        let value = match head.single("mcp-protocol-version") {
            Single::Absent => return Version::Absent,
            Single::Several => return Version::Several,
            Single::One(value) => value,
        };
        match std::str::from_utf8(value) {
            Ok(name) if Revision::named(name).is_some_and(Revision::has_sessions) => Version::Served,
            // Names are dates, so they compare as text.
            Ok(name) if is_date(name) && name >= MODERN => Version::Modern(name.to_owned()),
            _ => Version::Unknown(shown(value)),
        }
    }

    /// Why the request cannot be served, if that is so: `in_session` only revisions with sessions can.
    pub(crate) fn fault(&self, in_session: bool) -> Option<String> {
        let name = match self {
            Version::Absent | Version::Served => return None,
            Version::Modern(_) if !in_session => return None,
            Version::Several => return Some("MCP-Protocol-Version is sent more than once".to_owned()),
            Version::Modern(name) | Version::Unknown(name) => name,
        };
        let revisions = Revision::ALL.iter().rev();
        let served: Vec<&str> = revisions
            .filter(|revision| !in_session || revision.has_sessions())
            .map(|revision| revision.name())
            .collect();
        let served = served.join(", ");
        Some(format!("unsupported MCP-Protocol-Version `{name}`; supported are {served}"))
    }
}

fn is_date(name: &str) -> bool {
    let shape =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    name.len() == MODERN.len() && name.bytes().enumerate().all(shape)
}

/// Which kind of POST a single message is.
pub(crate) enum Era {
    /// It belongs to a session, or opens one.
    Session,
    /// It belongs to no session.
    Stateless,
}

/// The era of a message that is no batch. The body decides; where it is silent, the header fields do. One that names a session
/// belongs to that, and hears there what is wrong with the revision that it names besides.
///
/// # Errors
/// A refusal where the two contradict each other.
pub(crate) fn era(message: &Message<'_>, head: &Head<'_>) -> Result<Era, Refused> {
    let version = &Version::of(head);
    let names_session = || head.header("mcp-session-id").is_some();
    let (method, params) = match message {
        Message::Response(_) => {
            return match version {
                Version::Modern(name) if !names_session() => {
                    let text = format_args!("clients of {name} post no responses");
                    Err(Refused::new(400, Error::invalid_request(text)))
                }
                _ => Ok(Era::Session),
            };
        }
        Message::Request(request) => (&request.method, request.params),
        Message::Notification(notification) => (&notification.method, notification.params),
    };
    match version {
        // Whether the body says so, too, is for the checks to find out.
        Version::Modern(_) if method != "initialize" && !names_session() => Ok(Era::Stateless),
        _ if params.is_some_and(names_revision) => Ok(Era::Stateless),
        Version::Modern(_) if method != "initialize" => Ok(Era::Session),
        Version::Modern(name) => {
            let text = format!("MCP-Protocol-Version is `{name}`, a revision without `initialize`");
            Err(Refused::new(400, Error::new(HEADER_MISMATCH, text)))
        }
        _ => Ok(Era::Session),
    }
}

/// The revision of a request that belongs to no session although its revision has them.
pub(crate) fn revision_of(head: &Head<'_>) -> Revision {
    let named = head.header_str("mcp-protocol-version").and_then(Revision::named);
    named.filter(|revision| revision.has_sessions()).unwrap_or(Revision::V2025_03_26)
}

/// The revision is not served (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

/// The revision is not served: the data say which one is.
pub(crate) fn unsupported(version: &str) -> Error {
    let mut data = Vec::new();
    let shown: String = version.chars().take(80).collect();
    let mut object = Object::new(&mut data);
    object.field("supported", |out| {
        Array::new(out).str(Revision::V2026_07_28.name());
    });
    object.str("requested", &shown);
    object.end();
    let error = Error::new(UNSUPPORTED_VERSION, format!("Unsupported protocol version: {shown}"));
    match serde_json::from_slice(&data) {
        Ok(data) => error.with_data(data),
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::with_fields as with;

    #[test]
    fn media_ranges() {
        for (fields, json, events) in [
            ("", true, true),
            ("Accept:\r\n", true, true),
            ("Accept: */*\r\n", true, true),
            ("Accept: application/json, text/event-stream\r\n", true, true),
            ("Accept: application/json\r\nAccept: text/event-stream\r\n", true, true),
            ("Accept: application/json, text/event-stream\r\nAccept: */*;q=0\r\n", true, true),
            ("Accept: Application/JSON;charset=utf-8\r\n", true, false),
            ("Accept: text/*;q=0.5\r\n", false, true),
            ("Accept: application/*\r\n", true, false),
            ("Accept: text/html\r\n", false, false),
            ("Accept: json\r\n", false, false),
            ("Accept: */*, text/event-stream;q=0\r\n", true, false),
            ("Accept: application/json; q=0.000, */*\r\n", false, true),
            ("Accept: application/json;q=0.001\r\n", true, false),
            ("Accept: application/jsonx\r\n", false, false),
        ] {
            assert_eq!(with(fields, AcceptField::of), AcceptField { json, events }, "{fields}");
        }
    }

    #[test]
    fn versions() {
        let version = |value: &str| with(&format!("MCP-Protocol-Version: {value}\r\n"), Version::of);
        assert_eq!(with("", Version::of), Version::Absent);
        for revision in Revision::ALL.iter().copied().filter(|revision| revision.has_sessions()) {
            assert_eq!(version(revision.name()), Version::Served);
        }
        for name in ["2026-07-28", "2027-01-01"] {
            assert_eq!(version(name), Version::Modern(name.to_owned()));
        }
        for name in ["2026-07-27", "2024-10-07", "DRAFT-2026-v1", "2026-07-28x", "9", "2026-07-2\u{e9}"] {
            assert!(matches!(version(name), Version::Unknown(_)), "{name}");
        }
        assert_eq!(version("2025-11-25\r\nMCP-Protocol-Version: 2025-11-25"), Version::Several);
    }
}
