//! Checks of structured content before it is sent: it must be what its tool and the revision promise.
//!
//! *Scope:* the text of `structuredContent` (MCP tools, "Structured Content" and "Output Schema").
//! *Not in scope:* what is sent in its place.

use std::collections::BTreeSet;
use std::fmt;

use serde_core::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::protocol::revision::Revision;
use crate::schema::conforms;

/// `rules` is the tool's output schema, if it has one.
///
/// # Errors
/// What is wrong, as the rest of a sentence about the tool.
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
    serde_json::from_str::<Sound>(text).map_err(not_json)?;
    if let Some(rules) = rules {
        let value: Value = serde_json::from_str(text).map_err(not_json)?;
        conforms::check(rules, &value).map_err(|problem| {
            format!("returned structured content that breaks its output schema: {problem}")
        })?;
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

/// A value that all readers read alike: no number is out of range, and no member occurs twice (RFC 7493, section 2).
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Sound, D::Error> {
        json.deserialize_any(Sound)
    }
}

macro_rules! sound {
    ($($method:ident($type:ty))+) => { $(
        fn $method<E: Error>(self, _: $type) -> Result<Sound, E> {
            Ok(Sound)
        }
    )+ };
}

impl<'de> Visitor<'de> for Sound {
    type Value = Sound;

    sound! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
        while items.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sound, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Sound)) = members.next_entry::<String, Sound>()? {
            if let Some(name) = names.replace(name) {
                return Err(Error::custom(format_args!("the member `{name:.64}` occurs twice")));
            }
        }
        Ok(Sound)
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
        assert!(problem(r#"{"x":{"a":1,"\u0061":2}}"#).contains("the member `a` occurs twice"));
        let (rules, twice) = (serde_json::json!({ "type": "object" }), r#"{"a":1,"a":2}"#);
        assert!(check(Some(twice), Some(&rules), Revision::V2025_11_25).is_err());
    }
}
