//! A form in the words of an older revision.
//!
//! *Scope:* what 2025-06-18 says differently about the fields of a form. *Not in scope:* asking, and reading answers.
//!
//! | field | 2025-11-25 | 2025-06-18 |
//! |---|---|---|
//! | one of several, titled | `oneOf: [{const, title}, …]` | `enum`, `enumNames` |
//! | several of several | `type: array` | – |

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::jsonrpc::{Array, Members, Object, string};
use crate::mcp::Revision;

/// The schema of a form as a client of this revision knows it.
///
/// # Errors
/// What the form needs that the revision does not have, as something that a client can do.
pub(crate) fn in_words_of(revision: Revision, schema: &str) -> Result<Cow<'_, str>, String> {
    if revision >= Revision::V2025_11_25 {
        return Ok(Cow::Borrowed(schema));
    }
    // What is no such object is sent as it is, and the client will say what it thinks of it.
    let Ok(raw) = serde_json::from_str::<&RawValue>(schema) else { return Ok(Cow::Borrowed(schema)) };
    let Ok(form) = Members::of(raw) else { return Ok(Cow::Borrowed(schema)) };
    let Some(fields) = form.get("properties").and_then(|fields| Members::of(fields).ok()) else {
        return Ok(Cow::Borrowed(schema));
    };
    let is_list = |field: &RawValue| {
        let kind = Members::of(field).ok().and_then(|field| field.get("type")).and_then(string);
        kind.as_deref() == Some("array")
    };
    if let Some((name, _)) = fields.iter().find(|(_, field)| is_list(field)) {
        return Err(format!("let its user choose several values (`{name}`; since 2025-11-25)"));
    }
    let mut out = Vec::new();
    let mut object = Object::new(&mut out);
    for (name, value) in form.iter() {
        match name {
            "properties" => object.field(name, |out| {
                let mut properties = Object::new(out);
                for (name, field) in fields.iter() {
                    properties.field(name, |out| write_field(out, field));
                }
            }),
            _ => object.raw(name, value.get()),
        };
    }
    object.end();
    Ok(String::from_utf8(out).map_or(Cow::Borrowed(schema), Cow::Owned))
}

fn write_field(out: &mut Vec<u8>, field: &RawValue) {
    let members = Members::of(field).unwrap_or_default();
    let choices = members.get("oneOf").and_then(|choices| serde_json::from_str(choices.get()).ok());
    let Some(choices): Option<Vec<&RawValue>> = choices else {
        return crate::jsonrpc::write_raw(out, field.get());
    };
    let mut object = Object::new(out);
    for (name, value) in members.iter() {
        if name != "oneOf" {
            object.raw(name, value.get());
            continue;
        }
        for (list, member) in [("enum", "const"), ("enumNames", "title")] {
            object.field(list, |out| {
                let mut values = Array::new(out);
                for choice in &choices {
                    let choice = Members::of(choice).unwrap_or_default();
                    let value = choice.get(member).or(choice.get("const"));
                    values.raw(value.map_or("null", RawValue::get));
                }
            });
        }
    }
}
