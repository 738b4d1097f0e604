//! What header fields say of a Streamable HTTP request: which media types are wanted, which revision is spoken.
//!
//! *Scope:* `Accept` (RFC 9110 §12.5.1) as far as two media types go, `MCP-Protocol-Version`.
//! *Not in scope:* what follows from them.

use crate::http::fields::Derivation;
use crate::http::head::{Head, Single};
#[cfg(feature = "stateless")]
use crate::json::write::{Array, Object};
#[cfg(feature = "stateless")]
use crate::jsonrpc::Error;
use crate::protocol::revision::Revision;

/// What a request on the path of Streamable HTTP wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum McpMethod {
    /// To send messages.
    Post,
    /// A session's stream.
    #[cfg(feature = "streamable")]
    Get,
    /// The end of a session.
    #[cfg(feature = "streamable")]
    Delete,
}

/// Which forms of an answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptField {
    pub(crate) json: bool,
    pub(crate) events: bool,
}

impl AcceptField {
    /// Without the field, or with an empty one, everything is acceptable.
    pub(crate) fn of(head: &Head<'_>) -> AcceptField {
        let derive = || {
            let AcceptField { json, events } = AcceptField::read(head);
            u128::from(json) | u128::from(events) << 1
        };
        let forms = head.derive(Derivation::Accept, derive);
        AcceptField { json: forms & 1 != 0, events: forms & 2 != 0 }
    }

    fn read(head: &Head<'_>) -> AcceptField {
        // All SDKs send this: it needs no parsing.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version<'a> {
    /// The field is missing, as in 2025-03-26 and in `initialize`.
    Absent,
    /// A revision with sessions.
    Served,
    /// 2026-07-28 or a later one: without sessions.
    Modern(&'a str),
    /// Anything else.
    Unknown,
    /// More than one field, even if they are equal.
    Several,
}

/// The first revision without sessions.
const MODERN: &str = "2026-07-28";

impl<'a> Version<'a> {
    pub(crate) fn of(head: &Head<'a>) -> Version<'a> {
        let derive = || match Version::read(head) {
            Version::Absent => 0,
            Version::Served => 1,
            Version::Several => 2,
            Version::Unknown => 3,
            Version::Modern(_) => 4,
        };
        match head.derive(Derivation::Version, derive) {
            0 => Version::Absent,
            1 => Version::Served,
            2 => Version::Several,
            3 => Version::Unknown,
            _ => Version::Modern(head.usual_str("MCP-Protocol-Version").unwrap_or_default()),
        }
    }

    fn read(head: &Head<'a>) -> Version<'a> {
        let value = match head.single("mcp-protocol-version") {
            Single::Absent => return Version::Absent,
            Single::Several => return Version::Several,
            Single::One(value) => value,
        };
        match std::str::from_utf8(value) {
            Ok(name) if Revision::named(name).is_some_and(Revision::has_sessions) => Version::Served,
            // Names are dates, so they compare as text.
            Ok(name) if is_date(name) && name >= MODERN => Version::Modern(name),
            _ => Version::Unknown,
        }
    }
}

fn is_date(name: &str) -> bool {
    let shape =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    name.len() == MODERN.len() && name.bytes().enumerate().all(shape)
}

/// The code of the error for a revision that is not served (MCP 2026-07-28).
#[cfg(feature = "stateless")]
const UNSUPPORTED_VERSION: i64 = -32022;

/// Returns the error for a revision that is not served. Its data list those that are.
#[cfg(feature = "stateless")]
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
        let reads = |fields: &str, version: Version<'_>| {
            with(fields, |head| assert_eq!(Version::of(head), version, "{fields}"));
        };
        let named = |name: &str, version| reads(&format!("MCP-Protocol-Version: {name}\r\n"), version);
        reads("", Version::Absent);
        for revision in Revision::ALL.iter().copied().filter(|revision| revision.has_sessions()) {
            named(revision.name(), Version::Served);
        }
        for name in ["2026-07-28", "2027-01-01"] {
            named(name, Version::Modern(name));
        }
        for name in ["2026-07-27", "2024-10-07", "DRAFT-2026-v1", "2026-07-28x", "9", "2026-07-2\u{e9}"] {
            named(name, Version::Unknown);
        }
        named("2025-11-25\r\nMCP-Protocol-Version: 2025-11-25", Version::Several);
    }
}
