//! Trace context: which trace a request belongs to, as its client says it in `_meta`.
//!
//! *Scope:* reading `traceparent` and `tracestate` of W3C Trace Context, which MCP carries as members of `_meta`. *Not in scope:*
//! starting spans and exporting them.

use std::borrow::Cow;
use std::fmt;

use crate::json::value::JsonRef;

/// The version, the ids of the trace and of the calling span, and the flags, with a `-` between each two (section 3.2).
const TRACEPARENT_BYTES: usize = 55;
/// What later versions may add is passed on up to this length.
const TRACEPARENT_BYTES_MAX: usize = 128;
/// Every implementation has to pass on this many (section 3.3.1.5).
const TRACESTATE_BYTES_MAX: usize = 512;

/// The place of a request in a distributed trace (W3C Trace Context), from the members `traceparent` and `tracestate` of its `_meta`.
///
/// ```
/// use mcp_rill::Server;
/// let server = Server::new("demo", "1.0.0").tool("lookup", "Look something up", |(), call| match call.trace_context() {
///     Some(trace) => format!("part of the trace {}", trace.trace_id()), // 32 hexadecimal digits
///     None => "not traced".to_owned(),
/// });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext<'a> {
    parent: Cow<'a, str>,
    state: Option<Cow<'a, str>>,
}

impl<'a> TraceContext<'a> {
    /// Reads the context in `_meta`. `None` if there is no valid `traceparent`; a `tracestate` that is too long or has other
    /// characters than printable ones is left out.
    pub(crate) fn read(meta: JsonRef<'a>) -> Option<TraceContext<'a>> {
        let text = |name: &str| meta.member(name).ok().flatten().and_then(JsonRef::as_str);
        let parent = text("traceparent").filter(|parent| is_traceparent(parent))?;
        let lawful = |state: &Cow<'_, str>| {
            let bytes = state.as_bytes();
            !bytes.is_empty()
                && bytes.len() <= TRACESTATE_BYTES_MAX
                && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        };
        Some(TraceContext { parent, state: text("tracestate").filter(lawful) })
    }

    pub(crate) fn into_owned(self) -> TraceContext<'static> {
        TraceContext {
            parent: Cow::Owned(self.parent.into_owned()),
            state: self.state.map(|state| Cow::Owned(state.into_owned())),
        }
    }

    /// The whole `traceparent`, for the requests that are made on behalf of this one.
    pub fn traceparent(&self) -> &str {
        &self.parent
    }

    /// The `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }
}

impl fmt::Debug for TraceContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.parent).finish()
    }
}

/// True for a valid `traceparent` (section 3.2.2): lower-case digits, ids that are not 0, and in version 00 nothing behind the flags.
fn is_traceparent(text: &str) -> bool {
    let hex = |text: &str, digits: usize| {
        text.len() == digits
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let id = |text: &str, digits: usize| hex(text, digits) && text.bytes().any(|byte| byte != b'0');
    let mut parts = text.splitn(5, '-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let is_whole = text.len() == TRACEPARENT_BYTES
        || (version != "00"
            && (TRACEPARENT_BYTES + 1..=TRACEPARENT_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic()));
    is_whole && hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(meta: &str) -> Option<(String, Option<String>)> {
        let mut tape = Tape::new();
        let context = TraceContext::read(tape.read(meta).unwrap())?;
        Some((context.traceparent().to_owned(), context.tracestate().map(str::to_owned)))
    }

    #[test]
    fn a_trace_is_read_from_meta() {
        let meta = format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=1,b=2"}}"#);
        assert_eq!(read(&meta), Some((PARENT.to_owned(), Some("a=1,b=2".to_owned()))));
        let mut tape = Tape::new();
        let context = TraceContext::read(tape.read(&meta).unwrap()).unwrap();
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read(&format!(r#"{{"traceparent":"{PARENT}"}}"#)), Some((PARENT.to_owned(), None)));
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"traceparent":7}"#), None);
    }

    #[test]
    fn what_is_no_traceparent_is_not_taken() {
        for (parent, valid) in [
            (PARENT.to_owned(), true),
            (PARENT.to_uppercase(), false),
            (PARENT.replace("00-", "ff-"), false),
            (PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            (PARENT.replace("b7ad6b7169203331", &"0".repeat(16)), false),
            (format!("{PARENT}-x"), false),
            (format!("{}-x", PARENT.replace("00-", "01-")), true),
            (format!("{}x", PARENT.replace("00-", "01-")), false),
            (format!("{}-x y", PARENT.replace("00-", "01-")), false),
            (format!("{}-{}", PARENT.replace("00-", "01-"), "x".repeat(72)), true),
            (format!("{}-{}", PARENT.replace("00-", "01-"), "x".repeat(73)), false),
            (PARENT.replace('-', "_"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_traceparent(&parent), valid, "{parent}");
        }
    }

    #[test]
    fn a_state_that_cannot_be_passed_on_is_left_out() {
        let state =
            |state: &str| read(&format!(r#"{{"traceparent":"{PARENT}","tracestate":"{state}"}}"#)).unwrap().1;
        assert_eq!(state(&"x".repeat(512)).map(|state| state.len()), Some(512));
        assert_eq!(state(&"x".repeat(513)), None);
        assert_eq!(state(r"a\nb"), None);
        assert_eq!(state(""), None);
    }
}
