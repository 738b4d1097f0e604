//! Structured content, before it is sent: whether it is what its tool and the revision promise.
//!
//! *Scope:* one look at the text of `structuredContent` (MCP tools, "Structured Content" and "Output Schema").
//! *Not in scope:* what becomes of the result.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::revision::Revision;
use crate::schema::conforms;

/// `rules` is the tool's output schema, if it has one.
///
/// # Errors
/// What is wrong, to follow the tool's name.
pub(crate) fn check(
    structured: Option<&str>,
    rules: Option<&Value>,
    revision: Revision,
) -> Result<(), String> {
    let Some(text) = structured else {
        return match rules {
            Some(_) => Err("declares an output schema but returned no structured content".to_owned()),
            None => Ok(()),
        };
    };
    let not_json = |error| format!("returned structured content that is not JSON: {error}");
    match rules {
        Some(rules) => {
            let value: Value = serde_json::from_str(text).map_err(not_json)?;
            conforms::check(rules, &value).map_err(|problem| {
                format!("returned structured content that breaks its output schema: {problem}")
            })?;
        }
        None => drop(serde_json::from_str::<&RawValue>(text).map_err(not_json)?),
    }
    // Before 2025-06-18 it is not sent, and since 2026-07-28 it may be anything.
    let only_objects = revision >= Revision::V2025_06_18 && revision.has_sessions();
    match only_objects && !text.trim_ascii_start().starts_with('{') {
        true => Err(format!(
            "returned structured content that is no object, {text:.60}; clients before 2026-07-28 take nothing else, so \
             put it into a member of one"
        )),
        false => Ok(()),
    }
}
