//! Checks of structured content before it is sent: it must be what its tool and the revision promise.
//!
//! *Scope:* the text of `structuredContent` (MCP tools, "Structured Content" and "Output Schema").
//! *Not in scope:* what is sent in its place.

use crate::json::ijson;
use crate::json::tape::Tape;
use crate::json::value::{JsonBuf, JsonRef};
use crate::protocol::revision::Revision;
use crate::schema::conforms;

/// An output schema as [`check`] takes it; `None` for a text that is no JSON, or not the same JSON to all readers.
pub(crate) fn rules(text: &str) -> Option<JsonBuf> {
    JsonBuf::try_from(text).ok().filter(|rules| ijson::check(rules.as_ref()).is_ok())
}

/// `rules` is the tool's output schema, if it has one.
///
/// # Errors
/// What is wrong, as the rest of a sentence about the tool.
pub(crate) fn check(
    structured: Option<&str>,
    rules: Option<JsonRef<'_>>,
    revision: Revision,
) -> Result<(), String> {
    let Some(text) = structured else {
        return match rules {
            Some(_) => Err("declares an output schema but returned no structured content".to_owned()),
            None => Ok(()),
        };
    };
    let not_json = |problem: String| format!("returned structured content that is not JSON: {problem}");
    let mut tape = Tape::new();
    let value = tape.read(text).map_err(|error| not_json(error.to_string()))?;
    ijson::check(value).map_err(not_json)?;
    if let Some(rules) = rules {
        conforms::check(rules, value).map_err(|problem| {
            format!("returned structured content that breaks its output schema: {problem}")
        })?;
    }
    // Before 2025-06-18 it is not sent, and since 2026-07-28 it may be anything.
    let only_objects = revision >= Revision::V2025_06_18 && revision.has_sessions();
    match only_objects && !value.is_object() {
        true => Err(format!(
            "returned structured content that is not an object, {text:.60}; clients before 2026-07-28 take nothing else, so \
             put it into a member of one"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_read_differently_is_refused() {
        let problem = |text: &str| check(Some(text), None, Revision::V2025_11_25).err().unwrap_or_default();
        assert_eq!(problem(r#"{"a":[1e308,-3,null,"x",{"a":true}],"b":{"a":18446744073709551615}}"#), "");
        assert!(problem(r#"{"a":[1e999]}"#).contains("number out of range"));
        assert!(problem(r#"{"a":["\ud83d"]}"#).contains("half of a surrogate pair"));
        assert!(problem(&("[".repeat(129) + &"]".repeat(129))).contains("nested too deeply"));
        assert!(problem(r#"{"x":{"a":1,"\u0061":2}}"#).contains("member `a` occurs twice"));
        let mut tape = Tape::new();
        let rules = tape.read(r#"{"type":"object"}"#).ok();
        assert!(check(Some(r#"{"a":1,"a":2}"#), rules, Revision::V2025_11_25).is_err());
    }
}
