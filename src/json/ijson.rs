//! Values that all readers read alike (I-JSON, RFC 7493, sections 2.1 to 2.3).
//!
//! *Scope:* numbers, strings, names, nesting. *Not in scope:* the grammar (that is `tape`).

use crate::json::value::{JsonRef, Members};
use crate::text::printable;

/// How deep such a value may be nested: what serde_json reads.
pub(crate) const DEPTH_MAX: usize = 128;

/// Checks that no number is out of range, no string holds half of a surrogate pair, no member occurs twice, and the value is
/// nested at most [`DEPTH_MAX`] deep.
///
/// # Errors
/// What is wrong first, without its place.
pub(crate) fn check(value: JsonRef<'_>) -> Result<(), String> {
    check_value(value, DEPTH_MAX)
}

fn check_value(value: JsonRef<'_>, depth: usize) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
    if value.is_number() && !value.text().parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(format!("number out of range: {}", printable(value.text())));
    }
    if value.is_str() && value.as_str().is_none() {
        return Err(format!("half of a surrogate pair: {}", printable(value.text())));
    }
    if let Some(mut items) = value.items() {
        return items.try_for_each(|item| check_value(item, depth));
    }
    match value.is_object() {
        true => {
            let members = Members::of(value).map_err(|problem| problem.to_string())?;
            members.iter().try_for_each(|(_, value)| check_value(value, depth))
        }
        false => Ok(()),
    }
}
