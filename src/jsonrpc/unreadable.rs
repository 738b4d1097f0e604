//! The errors for texts that cannot be read.
//!
//! *Scope:* the sentence about what is wrong, and the id of a message that is over a limit. All of this is off the path of
//! messages that are served, so serde_json reads the text once more: its sentences name the line and column.
//! *Not in scope:* finding out that something is wrong (that is `json::tape`).

use std::fmt;

use serde_core::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::tape::{Fault, Tape};
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{Envelope, Error, Rejected};
use crate::limits::Limits;

/// Returns the error for a message, and the id to answer with.
#[cold]
pub(super) fn message(text: &str, fault: Fault, limits: &Limits) -> Rejected {
    match fault {
        Fault::Syntax => not_json(text).into(),
        Fault::Deep | Fault::Many | Fault::Long => {
            Rejected { error: over_limit(fault, limits), id: id_in(text, limits) }
        }
    }
}

/// Returns the error for a batch.
#[cold]
pub(super) fn batch(text: &str, fault: Fault, limits: &Limits) -> Error {
    match fault {
        Fault::Syntax => because(serde_json::from_str::<Vec<&RawValue>>(text)),
        Fault::Deep | Fault::Many | Fault::Long => over_limit(fault, limits),
    }
}

/// Returns the error for a text over a limit.
pub(crate) fn over_limit(fault: Fault, limits: &Limits) -> Error {
    let (depth_max, values_max) = (limits.json_depth_max, limits.json_values_max);
    match fault {
        Fault::Deep => Error::parse_error(format_args!("nested deeper than json_depth_max ({depth_max})")),
        Fault::Many => Error::parse_error(format_args!("more values than json_values_max ({values_max})")),
        Fault::Long => Error::parse_error("longer than 4 GiB"),
        Fault::Syntax => Error::parse_error("not JSON"),
    }
}

/// Returns the error for a message that is not JSON, or has a name with half of a surrogate pair.
#[cold]
pub(super) fn not_json(text: &str) -> Error {
    match is_object(text) {
        true => because(walk(text, &mut |_, _| {})),
        false => because(serde_json::from_str::<&RawValue>(text)),
    }
}

fn because<T>(read: Result<T, serde_json::Error>) -> Error {
    read.err().map_or_else(|| over_limit(Fault::Syntax, &Limits::DEFAULT), Error::parse_error)
}

/// The id to answer with in a text that is over a limit. What the parser needs for this is bounded by the text.
fn id_in(text: &str, limits: &Limits) -> Option<Id> {
    if !is_object(text) {
        return None;
    }
    // The same message without what is inside its members: whether they are there and what kind they are is enough.
    let mut short = Vec::from(b"{");
    let read = walk(text, &mut |name, value| {
        if Envelope::NAMES.contains(&name) {
            let value = match value.as_bytes() {
                [b'{', ..] => "{}",
                [b'[', ..] => "[]",
                _ => value,
            };
            let comma = if short.len() > 1 { "," } else { "" };
            short.extend_from_slice(format!("{comma}\"{name}\":{value}").as_bytes());
        }
    });
    short.push(b'}');
    let short = read.ok().and_then(|()| String::from_utf8(short).ok())?;
    let mut tape = Tape::new();
    let mut envelope = Envelope::default();
    envelope.read(tape.read(&short).ok()?).then(|| envelope.id_to_answer(limits.id_bytes_max)).flatten()
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

/// Visits the members of an object; anything after it in `text` is an error.
fn walk(text: &str, each: &mut dyn FnMut(&str, &str)) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Walk(each))?;
    json.end()
}

struct Walk<'f>(&'f mut dyn FnMut(&str, &str));

impl<'a> Visitor<'a> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            (self.0)(&name, value.get());
        }
        Ok(())
    }
}
