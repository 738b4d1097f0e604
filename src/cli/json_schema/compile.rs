//! Schemas in: every keyword is understood, or is a problem with its place.
//!
//! *Scope:* the values that keywords may have, and defaults, which their own schemas have to allow. All problems are found, not
//! only the first one.

use super::multiple::Divisor;
use super::pattern::Pattern;
use super::{Bound, Choice, Count, Schema, SchemaProblem, Side, Types};
use crate::json::canonical::canonical;
use crate::json::number::Number;
use crate::json::value::{JsonBuf, JsonRef};
use crate::json::{ijson, pointer};
use crate::schema::json_type::JsonType;
use crate::schema::meta::is_keyword;
use crate::schema::path::{Path, Subject, enumeration};
use crate::text::{nearest, printable};

/// The keywords that a schema may have.
const KEYWORDS: [&str; 25] = [
    "$schema",
    "additionalProperties",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// What to write instead of some keywords.
const INSTEAD: [(&str, &str); 5] = [
    ("$ref $defs definitions $dynamicRef", "write the schema out where it is used"),
    ("anyOf oneOf", "name several types in `type`, or the values in `enum`"),
    ("nullable", "add \"null\" to `type`"),
    ("prefixItems additionalItems", "describe all items by one schema in `items`"),
    ("deprecated readOnly $comment", "say it in `description`"),
];

/// The drafts in which the subset means the same.
const DRAFTS: [&str; 2] =
    ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema"];

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the text.
    pub(crate) fn compile(schema: JsonRef<'_>) -> Result<Schema, Vec<SchemaProblem>> {
        let mut compiler = Compiler::default();
        if let Err(problem) = ijson::check(schema) {
            compiler.report("", problem);
            return Err(compiler.problems);
        }
        let compiled = compiler.schema("", schema);
        if compiler.problems.is_empty() { Ok(compiled) } else { Err(compiler.problems) }
    }
}

#[derive(Default)]
struct Compiler {
    problems: Vec<SchemaProblem>,
}

impl Compiler {
    fn report(&mut self, pointer: &str, message: impl Into<String>) {
        self.problems.push(SchemaProblem { pointer: pointer.to_owned(), message: message.into() });
    }

    /// Reports a value of the wrong form.
    fn wrong(&mut self, place: &Place<'_>, expected: &str) {
        let found = printable(place.value.text());
        self.report(&place.pointer, format!("`{}` is {found}; it must be {expected}", place.keyword));
    }

    fn schema(&mut self, pointer: &str, schema: JsonRef<'_>) -> Schema {
        match schema.text() {
            "true" => return Schema::default(),
            "false" => return Schema { types: Types::NONE, ..Schema::default() },
            _ if schema.is_object() => {}
            other => {
                self.report(
                    pointer,
                    format!("a schema is an object, true or false, not {}", printable(other)),
                );
                return Schema::default();
            }
        }
        let before = self.problems.len();
        let mut compiled = Schema::default();
        for pair in schema.pairs() {
            let keyword = pair.name().unwrap_or_default();
            let place = Place { keyword: &keyword, pointer: child(pointer, &keyword), value: pair.value };
            self.keyword(&mut compiled, &place);
        }
        if let Some(default) = &compiled.default
            && self.problems.len() == before
        {
            let root = Path::Root(Subject::Member);
            if let Err(problem) = compiled.check_in(&root.member("default"), default.as_ref()) {
                self.report(
                    &child(pointer, "default"),
                    format!("the schema does not allow its default: {problem}"),
                );
            }
        }
        compiled
    }

    fn keyword(&mut self, schema: &mut Schema, place: &Place<'_>) {
        match place.keyword {
            "$schema" => self.draft(place),
            "type" => schema.types = self.types(place).unwrap_or_default(),
            "enum" => schema.choices = self.list(place, "an array of at least one value", true).map(choices),
            "const" => schema.constant = Some(choice(place.value)),
            "required" => schema.required = self.names(place),
            "properties" => schema.properties = self.properties(place),
            "additionalProperties" => schema.closed = self.flag(place) == Some(false),
            "items" => schema.items = Some(Box::new(self.items(place))),
            "minItems" => schema.item_count = self.count(place, schema.item_count, 0),
            "maxItems" => schema.item_count = self.count(place, schema.item_count, 1),
            "minLength" => schema.length = self.count(place, schema.length, 0),
            "maxLength" => schema.length = self.count(place, schema.length, 1),
            "uniqueItems" => schema.unique_items = self.flag(place) == Some(true),
            "minimum" => schema.bounds.extend(self.bound(place, Side::Minimum)),
            "exclusiveMinimum" => schema.bounds.extend(self.bound(place, Side::ExclusiveMinimum)),
            "maximum" => schema.bounds.extend(self.bound(place, Side::Maximum)),
            "exclusiveMaximum" => schema.bounds.extend(self.bound(place, Side::ExclusiveMaximum)),
            "multipleOf" => schema.multiple_of = self.divisor(place),
            "pattern" => schema.pattern = self.pattern(place),
            "default" => schema.default = Some(place.value.into()),
            "title" | "description" => drop(self.text(place)),
            "format" => schema.secret |= self.text(place).as_deref() == Some("password"),
            "writeOnly" => schema.secret |= self.flag(place) == Some(true),
            "examples" => drop(self.list(place, "an array", false)),
            _ => self.unknown(place),
        }
    }

    fn unknown(&mut self, place: &Place<'_>) {
        let keyword = printable(place.keyword);
        let instead = INSTEAD.iter().find(|(names, _)| names.split(' ').any(|name| name == place.keyword));
        let message = match (instead, nearest(place.keyword, &KEYWORDS)) {
            (Some((_, instead)), _) => format!("the keyword `{keyword}` is not supported; {instead}"),
            (None, _) if is_keyword(place.keyword) => {
                format!("the keyword `{keyword}` is not supported; leave it out")
            }
            (None, Some(near)) => format!("unknown keyword `{keyword}`; did you mean `{near}`?"),
            (None, None) => {
                let known = KEYWORDS.iter().map(|name| (*name).to_owned());
                format!(
                    "unknown keyword `{keyword}`; a schema may have {}",
                    enumeration(known, "and", "none")
                )
            }
        };
        self.report(&place.pointer, message);
    }

    fn draft(&mut self, place: &Place<'_>) {
        let is_root = place.pointer == "/$schema";
        let name = place.value.as_str().unwrap_or_default();
        if !is_root {
            self.report(&place.pointer, "`$schema` stands only in the outermost schema; leave it out here");
        } else if !DRAFTS.contains(&name.trim_end_matches('#')) {
            let [new, old] = DRAFTS;
            self.wrong(place, &format!("\"{new}\" or \"{old}#\""));
        }
    }

    fn types(&mut self, place: &Place<'_>) -> Option<Types> {
        let one = |value: JsonRef<'_>| value.as_str().and_then(|name| JsonType::named(&name));
        let types = match place.value.items() {
            Some(mut items) => items.try_fold(Types::NONE, |types, value| {
                one(value).filter(|one| !types.contains(*one)).map(|one| types.with(one))
            }),
            None => one(place.value).map(|one| Types::NONE.with(one)),
        };
        let types = types.filter(|types| *types != Types::NONE);
        if types.is_none() {
            let names = JsonType::ALL.iter().map(|one| format!("\"{}\"", one.name()));
            let names = enumeration(names, "or", "none");
            self.wrong(place, &format!("{names}, or an array of some of them, each once"));
        }
        types
    }

    fn list<'v>(
        &mut self,
        place: &Place<'v>,
        expected: &str,
        needs_one: bool,
    ) -> Option<impl Iterator<Item = JsonRef<'v>> + use<'v>> {
        let items = place.value.items().filter(|items| !needs_one || items.clone().next().is_some());
        if items.is_none() {
            self.wrong(place, expected);
        }
        items
    }

    fn names(&mut self, place: &Place<'_>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let lawful = place.value.items().is_some_and(|mut items| {
            items.all(|item| match item.as_str() {
                Some(name) if !names.iter().any(|known| *known == name) => {
                    names.push(name.into_owned());
                    true
                }
                _ => false,
            })
        });
        if !lawful {
            self.wrong(place, "an array of strings, each once");
        }
        names
    }

    fn properties(&mut self, place: &Place<'_>) -> Vec<(String, Schema)> {
        if !place.value.is_object() {
            self.wrong(place, "an object with a schema for each member");
        }
        let members = place.value.pairs().map(|pair| {
            let name = pair.name().unwrap_or_default().into_owned();
            let schema = self.schema(&child(&place.pointer, &name), pair.value);
            (name, schema)
        });
        members.collect()
    }

    fn items(&mut self, place: &Place<'_>) -> Schema {
        match place.value.is_array() {
            true => {
                self.wrong(place, "one schema, which holds for all items");
                Schema::default()
            }
            false => self.schema(&place.pointer, place.value),
        }
    }

    fn flag(&mut self, place: &Place<'_>) -> Option<bool> {
        if !place.value.is_bool() {
            self.wrong(place, "true or false");
        }
        place.value.is_bool().then(|| place.value.text() == "true")
    }

    fn text(&mut self, place: &Place<'_>) -> Option<String> {
        let text = place.value.as_str();
        if text.is_none() {
            self.wrong(place, "a string");
        }
        text.map(String::from)
    }

    /// The count with its least (0) or its greatest (1) end set.
    fn count(&mut self, place: &Place<'_>, mut count: Count, end: usize) -> Count {
        let number = place.value.is_number().then(|| Number::of(place.value.text()));
        let number = number.and_then(|number| number.whole()).filter(|number| *number >= 0);
        match (number, count.get_mut(end)) {
            (Some(number), Some(end)) => *end = Some(u64::try_from(number).unwrap_or(u64::MAX)),
            _ => self.wrong(place, "a whole number, 0 or more"),
        }
        count
    }

    fn bound(&mut self, place: &Place<'_>, side: Side) -> Option<Bound> {
        if !place.value.is_number() {
            self.wrong(place, "a number");
            return None;
        }
        Some(Bound { side, text: place.value.text().to_owned() })
    }

    fn divisor(&mut self, place: &Place<'_>) -> Option<Divisor> {
        let divisor = place.value.is_number().then(|| Divisor::of(place.value.text())).flatten();
        if divisor.is_none() {
            self.wrong(place, "a number greater than 0 of at most 19 significant digits");
        }
        divisor
    }

    fn pattern(&mut self, place: &Place<'_>) -> Option<Pattern> {
        let text = self.text(place)?;
        match Pattern::compile(&text) {
            Ok(pattern) => Some(pattern),
            Err(problem) => {
                self.report(
                    &place.pointer,
                    format!("the pattern {} does not compile: {problem}", printable(&text)),
                );
                None
            }
        }
    }
}

/// A keyword with its place and value.
struct Place<'v> {
    keyword: &'v str,
    pointer: String,
    value: JsonRef<'v>,
}

fn child(pointer: &str, name: &str) -> String {
    let mut pointer = pointer.to_owned();
    pointer::push(&mut pointer, name);
    pointer
}

fn choices<'v>(values: impl Iterator<Item = JsonRef<'v>>) -> Vec<Choice> {
    values.map(choice).collect()
}

fn choice(value: JsonRef<'_>) -> Choice {
    Choice { value: JsonBuf::from(value), canonical: canonical(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn problems(schema: &str) -> Vec<String> {
        let found = Schema::compile(Tape::new().read(schema).unwrap()).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_place_and_a_remedy() {
        let types = "\"null\", \"boolean\", \"object\", \"array\", \"number\", \"string\" or \"integer\", or an array of some of \
                     them, each once";
        let count = "a whole number, 0 or more";
        for (schema, problem) in [
            ("3", ": a schema is an object, true or false, not 3".to_owned()),
            (r#"{"properties":{"a":"string"}}"#, "/properties/a: a schema is an object, true or false, not \"string\"".to_owned()),
            (r#"{"items":null}"#, "/items: a schema is an object, true or false, not null".to_owned()),
            (r#"{"items":[{}]}"#, "/items: `items` is [{}]; it must be one schema, which holds for all items".to_owned()),
            (r#"{"type":"strng"}"#, format!("/type: `type` is \"strng\"; it must be {types}")),
            (r#"{"type":[]}"#, format!("/type: `type` is []; it must be {types}")),
            (r#"{"type":["null","null"]}"#, format!("/type: `type` is [\"null\",\"null\"]; it must be {types}")),
            (r#"{"type":null}"#, format!("/type: `type` is null; it must be {types}")),
            (r#"{"enum":[]}"#, "/enum: `enum` is []; it must be an array of at least one value".to_owned()),
            (r#"{"enum":"a"}"#, "/enum: `enum` is \"a\"; it must be an array of at least one value".to_owned()),
            (r#"{"examples":1}"#, "/examples: `examples` is 1; it must be an array".to_owned()),
            (r#"{"required":"a"}"#, "/required: `required` is \"a\"; it must be an array of strings, each once".to_owned()),
            (r#"{"required":["a","a"]}"#, "/required: `required` is [\"a\",\"a\"]; it must be an array of strings, each once".to_owned()),
            (r#"{"required":[1]}"#, "/required: `required` is [1]; it must be an array of strings, each once".to_owned()),
            (r#"{"properties":[]}"#, "/properties: `properties` is []; it must be an object with a schema for each member".to_owned()),
            (r#"{"additionalProperties":{}}"#, "/additionalProperties: `additionalProperties` is {}; it must be true or false".to_owned()),
            (r#"{"uniqueItems":1}"#, "/uniqueItems: `uniqueItems` is 1; it must be true or false".to_owned()),
            (r#"{"writeOnly":null}"#, "/writeOnly: `writeOnly` is null; it must be true or false".to_owned()),
            (r#"{"minItems":-1}"#, format!("/minItems: `minItems` is -1; it must be {count}")),
            (r#"{"maxItems":1.5}"#, format!("/maxItems: `maxItems` is 1.5; it must be {count}")),
            (r#"{"minLength":"1"}"#, format!("/minLength: `minLength` is \"1\"; it must be {count}")),
            (r#"{"maxLength":null}"#, format!("/maxLength: `maxLength` is null; it must be {count}")),
            (r#"{"minimum":"1"}"#, "/minimum: `minimum` is \"1\"; it must be a number".to_owned()),
            (r#"{"maximum":null}"#, "/maximum: `maximum` is null; it must be a number".to_owned()),
            (r#"{"exclusiveMinimum":true}"#, "/exclusiveMinimum: `exclusiveMinimum` is true; it must be a number".to_owned()),
            (r#"{"exclusiveMaximum":[]}"#, "/exclusiveMaximum: `exclusiveMaximum` is []; it must be a number".to_owned()),
            (r#"{"multipleOf":0}"#, "/multipleOf: `multipleOf` is 0; it must be a number greater than 0 of at most 19 significant digits".to_owned()),
            (r#"{"multipleOf":"2"}"#, "/multipleOf: `multipleOf` is \"2\"; it must be a number greater than 0 of at most 19 significant digits".to_owned()),
            (r#"{"title":1}"#, "/title: `title` is 1; it must be a string".to_owned()),
            (r#"{"description":null}"#, "/description: `description` is null; it must be a string".to_owned()),
            (r#"{"format":{}}"#, "/format: `format` is {}; it must be a string".to_owned()),
            (r#"{"pattern":1}"#, "/pattern: `pattern` is 1; it must be a string".to_owned()),
            (r#"{"pattern":"a("}"#, "/pattern: the pattern a( does not compile: `(` has no `)`".to_owned()),
            (
                r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#,
                "/$schema: `$schema` is \"http://json-schema.org/draft-04/schema#\"; it must be \
                 \"https://json-schema.org/draft/2020-12/schema\" or \"http://json-schema.org/draft-07/schema#\""
                    .to_owned(),
            ),
            (
                r#"{"items":{"$schema":"https://json-schema.org/draft/2020-12/schema"}}"#,
                "/items/$schema: `$schema` stands only in the outermost schema; leave it out here".to_owned(),
            ),
            (r#"{"maxlength":1}"#, "/maxlength: unknown keyword `maxlength`; did you mean `maxLength`?".to_owned()),
            (r#"{"require":[]}"#, "/require: unknown keyword `require`; did you mean `required`?".to_owned()),
            (r#"{"anyOf":[]}"#, "/anyOf: the keyword `anyOf` is not supported; name several types in `type`, or the values in `enum`".to_owned()),
            (r##"{"$ref":"#"}"##, "/$ref: the keyword `$ref` is not supported; write the schema out where it is used".to_owned()),
            (r#"{"nullable":true}"#, "/nullable: the keyword `nullable` is not supported; add \"null\" to `type`".to_owned()),
            (r#"{"if":{}}"#, "/if: the keyword `if` is not supported; leave it out".to_owned()),
            (r#"{"maxProperties":1}"#, "/maxProperties: the keyword `maxProperties` is not supported; leave it out".to_owned()),
            (r#"{"properties":{"a/b":{"not":{}}}}"#, "/properties/a~1b/not: the keyword `not` is not supported; leave it out".to_owned()),
            (
                r#"{"type":"integer","maximum":3,"default":4}"#,
                "/default: the schema does not allow its default: member `default`: 4 is more than the maximum 3".to_owned(),
            ),
            (
                r#"{"properties":{"a":{"required":["b"],"default":{}}}}"#,
                "/properties/a/default: the schema does not allow its default: missing member `default.b` (any value)".to_owned(),
            ),
            (r#"{"type":"object","type":"object"}"#, ": member `type` occurs twice".to_owned()),
            (r#"{"minimum":1e999}"#, ": number out of range: 1e999".to_owned()),
            (r#"{"title":"\ud83d"}"#, r#": half of a surrogate pair: "\ud83d""#.to_owned()),
        ] {
            assert_eq!(problems(schema), [problem], "{schema}");
        }
        let unknown = problems(r#"{"x-order":1}"#);
        assert!(
            unknown[0].starts_with("/x-order: unknown keyword `x-order`; a schema may have $schema, "),
            "{unknown:?}"
        );
    }

    #[test]
    fn all_problems_are_found() {
        let schema = r#"{"type":"objct","properties":{"a":{"minLength":-1,"items":{"oneOf":[]}},"b":3},"required":[0]}"#;
        let pointers: Vec<String> = Schema::compile(Tape::new().read(schema).unwrap())
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.pointer)
            .collect();
        assert_eq!(
            pointers,
            ["/type", "/properties/a/minLength", "/properties/a/items/oneOf", "/properties/b", "/required"]
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{{}}{}", r#"{"items":"#.repeat(depth), "}".repeat(depth));
        assert!(problems(&nested(127)).is_empty());
        assert_eq!(problems(&nested(128)), [": nested too deeply"]);
        assert_eq!(problems(&nested(100_000)), [": nested too deeply"]);
    }
}
