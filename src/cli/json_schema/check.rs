//! Values in: valid, or a sentence for the model that made them.
//!
//! *Scope:* all assertions of the subset, in one order: members that are not allowed, members that are missing, then values
//! from the outside in. The first one that fails is the error.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Bound, Choice, Mismatch, Schema, Side, Types};
use crate::json::canonical::canonical;
use crate::json::ijson;
use crate::json::number::Number;
use crate::json::value::JsonRef;
use crate::schema::json_type::JsonType;
use crate::schema::path::{Path, Subject, described, enumeration};
use crate::text::printable;

/// So many values of an `enum` are listed in an error.
const LISTED_MAX: usize = 40;

impl Schema {
    /// Checks a value; `subject` chooses the nouns of the error.
    ///
    /// # Errors
    /// The first thing that is wrong with it, also if readers would not read it alike ([`ijson`]).
    pub(crate) fn check(&self, subject: Subject, value: JsonRef<'_>) -> Result<(), Mismatch> {
        self.check_in(&Path::Root(subject), value)
    }

    /// As [`check`](Schema::check), of a value in this place.
    pub(super) fn check_in(&self, path: &Path<'_>, value: JsonRef<'_>) -> Result<(), Mismatch> {
        let checked = ijson::check(value).map_err(|problem| path.sentence(&problem));
        checked.and_then(|()| self.check_value(path, value)).map_err(Mismatch)
    }

    fn check_value(&self, path: &Path<'_>, value: JsonRef<'_>) -> Result<(), String> {
        if !self.chooses(value) || !self.types.iter().any(|one| one.has(value)) {
            return Err(path.expected(&self.expectation(), value));
        }
        if let Some(text) = value.as_str() {
            self.check_text(path, value, &text)
        } else if value.is_number() {
            self.check_number(path, value)
        } else if value.is_array() {
            self.check_items(path, value)
        } else if value.is_object() {
            self.check_members(path, value)
        } else {
            Ok(())
        }
    }

    /// True if `enum` and `const` allow it.
    fn chooses(&self, value: JsonRef<'_>) -> bool {
        if self.choices.is_none() && self.constant.is_none() {
            return true;
        }
        let found = canonical(value);
        let is = |choice: &Choice| choice.canonical == found;
        self.choices.as_ref().is_none_or(|choices| choices.iter().any(is))
            && self.constant.as_ref().is_none_or(is)
    }

    /// What would be right, as a noun.
    fn expectation(&self) -> String {
        let Some(values) = self.enum_values() else { return types_of(self.types) };
        let values: Vec<String> = values.map(|value| printable(value.text())).collect();
        match values.get(LISTED_MAX..) {
            None | Some([]) => enumeration(values.into_iter(), "or", "nothing"),
            Some(others) => {
                let listed = values.get(..LISTED_MAX).unwrap_or_default().join(", ");
                format!("one of {listed} and {} others", others.len())
            }
        }
    }

    fn check_text(&self, path: &Path<'_>, value: JsonRef<'_>, text: &str) -> Result<(), String> {
        let count = text.chars().count() as u64;
        if let Some(problem) = path.count(count, "character", self.length) {
            return Err(problem);
        }
        match &self.pattern {
            Some(pattern) if count > pattern.characters_max => Err(path.sentence(&format!(
                "{count} characters, but at most {} are matched with the pattern {}",
                pattern.characters_max,
                printable(&pattern.text)
            ))),
            Some(pattern) if !pattern.is_match(text) => Err(path.sentence(&format!(
                "{} does not match the pattern {}",
                described(value),
                printable(&pattern.text)
            ))),
            _ => Ok(()),
        }
    }

    fn check_number(&self, path: &Path<'_>, value: JsonRef<'_>) -> Result<(), String> {
        let number = Number::of(value.text());
        if let Some(bound) = self.bounds.iter().find(|bound| !bound.allows(&number)) {
            let problem = format!("{} is {} {}", printable(value.text()), bound.problem(), bound.text);
            return Err(path.sentence(&problem));
        }
        match &self.multiple_of {
            Some(divisor) if !divisor.divides(&number) => Err(path.sentence(&format!(
                "{} is not a multiple of {}",
                printable(value.text()),
                divisor.text
            ))),
            _ => Ok(()),
        }
    }

    fn check_items(&self, path: &Path<'_>, value: JsonRef<'_>) -> Result<(), String> {
        let items = value.items().unwrap_or_default();
        if let Some(problem) = path.count(items.clone().count() as u64, "item", self.item_count) {
            return Err(problem);
        }
        if let Some(schema) = &self.items {
            let mut items = items.clone().enumerate();
            items.try_for_each(|(place, item)| schema.check_value(&path.item(place), item))?;
        }
        if self.unique_items {
            let mut places = HashMap::new();
            for (place, item) in items.enumerate() {
                if let Some(before) = places.insert(canonical(item), place) {
                    let again = format!("items {before} and {place} are equal, but each may occur once only");
                    return Err(path.sentence(&again));
                }
            }
        }
        Ok(())
    }

    fn check_members(&self, path: &Path<'_>, value: JsonRef<'_>) -> Result<(), String> {
        let members: HashMap<Cow<'_, str>, JsonRef<'_>> =
            value.pairs().map(|pair| (pair.name().unwrap_or_default(), pair.value)).collect();
        if self.closed {
            let known = |name: &str| self.property(name).is_some();
            let mut names = value.pairs().filter_map(|pair| pair.name());
            if let Some(name) = names.find(|name| !known(name)) {
                return Err(path.unknown(&name, self.properties().map(|(name, _)| name)));
            }
        }
        if let Some(name) = self.required().find(|name| !members.contains_key(*name)) {
            let expected = self.property(name).map_or("any value".to_owned(), Schema::expectation);
            return Err(path.member(name).missing(&expected));
        }
        self.properties().try_for_each(|(name, schema)| match members.get(name) {
            Some(value) => schema.check_value(&path.member(name), *value),
            None => Ok(()),
        })
    }
}

impl Bound {
    fn allows(&self, number: &Number<'_>) -> bool {
        let bound = Number::of(&self.text);
        match self.side {
            Side::Minimum => *number >= bound,
            Side::ExclusiveMinimum => *number > bound,
            Side::Maximum => *number <= bound,
            Side::ExclusiveMaximum => *number < bound,
        }
    }

    fn problem(&self) -> &'static str {
        match self.side {
            Side::Minimum => "less than the minimum",
            Side::ExclusiveMinimum => "not more than",
            Side::Maximum => "more than the maximum",
            Side::ExclusiveMaximum => "not less than",
        }
    }
}

fn types_of(types: Types) -> String {
    let name = |one| match one {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Object => "an object",
        JsonType::Array => "an array",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Integer => "an integer",
    };
    if types == Types::ALL {
        return "any value".to_owned();
    }
    let names: Vec<String> = types.iter().map(|one| name(one).to_owned()).collect();
    enumeration(names.into_iter(), "or", "no value at all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn mismatch(schema: &str, value: &str) -> String {
        let (mut schema_tape, mut value_tape) = (Tape::new(), Tape::new());
        let schema = Schema::compile(schema_tape.read(schema).unwrap()).unwrap();
        let found = schema.check(Subject::Argument, value_tape.read(value).unwrap());
        found.err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn errors_name_the_argument_its_value_and_what_would_be_right() {
        let ping = r#"{"type":"object","required":["host"],"additionalProperties":false,"properties":{
            "host":{"type":"string","pattern":"^[a-z.]+$","minLength":1,"maxLength":5},
            "count":{"type":"integer","minimum":1,"maximum":10,"multipleOf":2},"load":{"exclusiveMinimum":0,"exclusiveMaximum":1},
            "iface":{"type":"string","enum":["wan","lan"]},"mode":{"const":7},"none":false,
            "tags":{"items":{"type":["string","null"]},"minItems":1,"maxItems":3,"uniqueItems":true},
            "near":{"type":"object","properties":{"lat":{"type":"number"}},"required":["lat"],"additionalProperties":false}}}"#;
        for (value, problem) in [
            ("[]", "arguments: expected an object, got an array"),
            ("{}", "missing argument `host` (a string)"),
            (
                r#"{"hots":"a"}"#,
                "unknown argument `hots`; this tool takes `host`, `count`, `load`, `iface`, `mode`, `none`, `tags` and `near`",
            ),
            (r#"{"host":3}"#, "argument `host`: expected a string, got the number 3"),
            (r#"{"host":""}"#, "argument `host`: 0 characters, but at least 1 needed"),
            (r#"{"host":"abcdef"}"#, "argument `host`: 6 characters, but at most 5 allowed"),
            (
                r#"{"host":"a b"}"#,
                r#"argument `host`: the string "a b" does not match the pattern ^[a-z.]+$"#,
            ),
            (r#"{"host":"a","count":0}"#, "argument `count`: 0 is less than the minimum 1"),
            (r#"{"host":"a","count":12}"#, "argument `count`: 12 is more than the maximum 10"),
            (r#"{"host":"a","count":3}"#, "argument `count`: 3 is not a multiple of 2"),
            (r#"{"host":"a","count":2.5}"#, "argument `count`: expected an integer, got the number 2.5"),
            (r#"{"host":"a","count":"2"}"#, r#"argument `count`: expected an integer, got the string "2""#),
            (r#"{"host":"a","load":0}"#, "argument `load`: 0 is not more than 0"),
            (r#"{"host":"a","load":1.0}"#, "argument `load`: 1.0 is not less than 1"),
            (
                r#"{"host":"a","iface":"dmz"}"#,
                r#"argument `iface`: expected "wan" or "lan", got the string "dmz""#,
            ),
            (r#"{"host":"a","iface":null}"#, r#"argument `iface`: expected "wan" or "lan", got null"#),
            (r#"{"host":"a","mode":8}"#, "argument `mode`: expected 7, got the number 8"),
            (r#"{"host":"a","none":8}"#, "argument `none`: expected no value at all, got the number 8"),
            (r#"{"host":"a","tags":[]}"#, "argument `tags`: 0 items, but at least 1 needed"),
            (r#"{"host":"a","tags":["a","b","c","d"]}"#, "argument `tags`: 4 items, but at most 3 allowed"),
            (r#"{"host":"a","tags":["a",true]}"#, "argument `tags[1]`: expected null or a string, got true"),
            (
                r#"{"host":"a","tags":["a","b","a"]}"#,
                "argument `tags`: items 0 and 2 are equal, but each may occur once only",
            ),
            (r#"{"host":"a","near":{}}"#, "missing argument `near.lat` (a number)"),
            (r#"{"host":"a","near":{"lat":1,"lon":2}}"#, "unknown argument `near.lon`; `near` takes `lat`"),
            (
                r#"{"host":"a","near":{"lat":"1"}}"#,
                r#"argument `near.lat`: expected a number, got the string "1""#,
            ),
        ] {
            assert_eq!(mismatch(ping, value), problem, "{value}");
        }
        assert_eq!(
            mismatch(r#"{"required":["a"],"properties":{"a":{"enum":[1,"x"]}}}"#, "{}"),
            r#"missing argument `a` (1 or "x")"#
        );
    }

    #[test]
    fn what_readers_read_differently_is_refused_wherever_it_is() {
        for (value, problem) in [
            (r#"{"a":1,"\u0061":2}"#, "arguments: member `a` occurs twice"),
            (r#"{"x":[{"a":1,"a":1}]}"#, "arguments: member `a` occurs twice"),
            (r#"{"x":"\ud83d"}"#, r#"arguments: half of a surrogate pair: "\ud83d""#),
            (r#"{"\udc00":1}"#, "arguments: the name of a member has half of a surrogate pair"),
            (r#"{"x":1e400}"#, "arguments: number out of range: 1e400"),
            (&("[".repeat(129) + &"]".repeat(129)), "arguments: nested too deeply"),
            (&("[".repeat(100_000) + &"]".repeat(100_000)), "arguments: nested too deeply"),
        ] {
            assert_eq!(mismatch("{}", value), problem);
        }
    }

    #[test]
    fn a_text_is_matched_up_to_a_length_that_the_pattern_decides() {
        let problem = |pattern: &str, count: usize| {
            mismatch(&format!(r#"{{"pattern":"{pattern}"}}"#), &format!("\"{}\"", "é".repeat(count)))
        };
        assert_eq!(problem("^[^x]{0,2048}$", 2048), "");
        assert_eq!(
            problem("^[^x]{0,2048}$", 2049),
            "arguments: 2049 characters, but at most 2048 are matched with the pattern ^[^x]{0,2048}$"
        );
        assert_eq!(problem("^[^x]*é$", 100_000), "");
        assert!(problem("(?:a|b|c|d){1,250}x", 2396).contains("at most 2395 are matched"));
        assert!(problem("(?:a|b|c|d){1,250}x", 2395).contains("does not match the pattern"));
    }

    #[test]
    fn errors_are_short_whatever_the_value() {
        let long = format!("\"{}\"", "x".repeat(100_000));
        for schema in [
            r#"{"type":"integer"}"#.to_owned(),
            r#"{"pattern":"^y"}"#.to_owned(),
            format!(r#"{{"const":{long}1"}}"#).replace("\"1\"", "1\""),
            format!(r#"{{"enum":[{}]}}"#, (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")),
        ] {
            let problem = mismatch(&schema, &long);
            assert!(!problem.is_empty() && problem.len() < 600, "{problem}");
        }
        let closed = mismatch(r#"{"additionalProperties":false}"#, &format!("{{{long}:1}}"));
        assert!(closed.len() < 200, "{closed}");
    }

    #[test]
    fn many_items_and_members_take_linear_time() {
        let numbers: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        assert_eq!(mismatch(r#"{"uniqueItems":true}"#, &format!("[{}]", numbers.join(","))), "");
        let members: Vec<String> = numbers.iter().map(|n| format!("\"{n}\":0")).collect();
        let schema = r#"{"properties":{"1":{"maximum":0},"99999":{"maximum":0}},"required":["5","99998"]}"#;
        assert_eq!(mismatch(schema, &format!("{{{}}}", members.join(","))), "");
    }
}
