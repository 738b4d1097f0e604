//! What the tape says of a JSON text, and what serde_json says: the same texts, the same values.

use std::fmt;

use mcp_rill::Limits;
use mcp_rill::json::{JsonRef, Members, Tape};
use mcp_rill::jsonrpc;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Panics where the two differ.
pub fn check(text: &str, tape: &mut Tape) {
    let raw = serde_json::from_str::<&RawValue>(text);
    match (tape.read(text), raw) {
        (Ok(ours), Ok(raw)) => same(ours, raw),
        (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string(), "{text:?}"),
        (ours, theirs) => panic!("of {text:?} the tape says {ours:?}, serde_json {theirs:?}"),
    }
    // What is said of a message has the line and column of serde_json, which reads the names of an object too.
    let mut json = serde_json::Deserializer::from_str(text);
    let read = match text.trim_ascii_start().starts_with('{') {
        true => json.deserialize_map(Pairs).and_then(|_| json.end()).map_err(|error| error.to_string()),
        false => {
            <&RawValue>::deserialize(&mut json).and_then(|_| json.end()).map_err(|error| error.to_string())
        }
    };
    let limits = Limits { json_depth_max: usize::MAX, json_values_max: usize::MAX, ..Limits::DEFAULT };
    match (jsonrpc::parse(text.as_bytes(), &limits, tape), read) {
        _ if text.starts_with('\u{feff}') => {}
        (Err(ours), Err(theirs)) => {
            assert_eq!(ours.error.message, format!("Parse error: {theirs}"), "{text:?}")
        }
        (ours, Err(theirs)) => panic!("of {text:?} the parser says {ours:?}, serde_json {theirs:?}"),
        (_, Ok(())) => {}
    }
}

fn same(ours: JsonRef<'_>, raw: &RawValue) {
    let text = raw.get();
    assert_eq!((ours.text(), ours.text().as_ptr()), (text, text.as_ptr()));
    assert_eq!(ours.is_null(), text == "null");
    assert_eq!(ours.is_str(), text.starts_with('"'));
    assert_eq!(ours.is_number(), text.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
    assert_eq!(ours.as_str().as_deref(), serde_json::from_str::<String>(text).ok().as_deref());
    assert_eq!((ours.is_array(), ours.is_object()), (text.starts_with('['), text.starts_with('{')));
    let items: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
    match (ours.items(), items) {
        (Some(ours), Some(theirs)) => {
            assert_eq!(ours.clone().count(), theirs.len(), "{text}");
            ours.zip(theirs).for_each(|(ours, theirs)| same(ours, theirs));
        }
        (ours, theirs) => assert_eq!(ours.is_none(), theirs.is_none(), "{text}"),
    }
    if !ours.is_object() {
        return assert!(Members::of(ours).is_err() && ours.member("a").is_err() && ours.get("a").is_none());
    }
    let pairs = serde_json::Deserializer::from_str(text).deserialize_map(Pairs);
    let Ok(pairs) = pairs else {
        // serde_json gives up at a name with half of a surrogate pair.
        let error = Members::of(ours).expect_err("such a name is none").to_string();
        assert_eq!(error, "the name of a member has half of a surrogate pair", "{text}");
        return assert!(ours.member("a").is_err());
    };
    let count = |name: &str| pairs.iter().filter(|pair| pair.0 == name).count();
    let twice = pairs.iter().enumerate().find(|(at, (name, _))| pairs[..*at].iter().any(|p| p.0 == *name));
    match (Members::of(ours), twice) {
        (Ok(members), None) => {
            assert_eq!(members.iter().count(), pairs.len(), "{text}");
            members.iter().zip(&pairs).for_each(|((name, ours), (theirs, raw))| {
                assert_eq!(name, *theirs);
                same(ours, raw);
            });
        }
        (Err(error), Some((_, (name, _)))) => {
            assert_eq!(error.to_string(), format!("member `{name:.64}` occurs twice"));
        }
        (ours, twice) => panic!("{text}: {ours:?}, {twice:?}"),
    }
    for (name, _) in &pairs {
        let first = pairs.iter().find(|pair| pair.0 == *name).map(|pair| pair.1.get());
        let found = ours.get(name).map_or("null", |found| found.text());
        assert_eq!(Some(found), first, "{text}");
        match ours.member(name) {
            Ok(one) => assert_eq!((one.map_or("null", |one| one.text()), count(name)), (found, 1)),
            Err(_) => assert!(count(name) > 1, "{text}"),
        }
    }
}

struct Pairs;

impl<'a> Visitor<'a> for Pairs {
    type Value = Vec<(String, &'a RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
