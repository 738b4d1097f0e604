//! JSON text out: the schema of a type, and objects.
//!
//! *Scope:* the order and form of a schema's keywords, members and commas of objects.
//! *Not in scope:* how single values are written (`types.rs`, and `json` below it).
//!
//! Keywords come as `type`, `title`, `description`, what the kind adds, `default`, `x-mcp-header`.
//!
//! | keyword | input | output | form |
//! |---|---|---|---|
//! | `x-mcp-header`: the client repeats an argument in a header field | yes | – | – |
//! | `pattern` | yes | yes | –: clients refuse it |
//! | `additionalProperties` | yes | yes | –: clients refuse it |

use serde_json::Value;

use super::Schema;
use super::shape::{Choice, Docs, Field, Kind, Rules};
use crate::json::write::{Object, write_list};
use crate::json::{put, write_str};

/// Writes the members of a struct in declared order, leaving out the absent ones.
#[doc(hidden)]
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    json: Object<'a>,
    fields: std::slice::Iter<'static, Field>,
}

impl<'a> ObjectWriter<'a> {
    /// Starts an object with these members.
    pub fn new(out: &'a mut Vec<u8>, fields: &'static [Field]) -> ObjectWriter<'a> {
        ObjectWriter { json: Object::new(out), fields: fields.iter() }
    }

    /// Writes the value of the next member.
    pub fn member<T: Schema>(&mut self, value: &T) {
        if let Some(field) = self.fields.next()
            && !value.is_absent()
        {
            self.json.field(field.name, |out| value.write(out));
        }
    }

    /// Ends the object.
    pub fn end(self) {
        self.json.end();
    }
}

/// Writes one string of an enum.
#[doc(hidden)]
pub fn write_choice(out: &mut Vec<u8>, value: &'static str) {
    write_str(out, value);
}

/// What a schema describes. Each has a grammar of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The arguments of a tool.
    Input,
    /// The structured result of a tool.
    Output,
    /// What a person fills in (MCP schema, `ElicitRequest`).
    Form,
}

/// Writes the schema of a type that stands alone.
pub(super) fn kind_schema(out: &mut Vec<u8>, purpose: Purpose, kind: &Kind) {
    schema(out, purpose, kind, &Rules::NONE, String::new(), None);
}

fn field_schema(out: &mut Vec<u8>, purpose: Purpose, field: &Field) {
    schema(out, purpose, field.kind, &field.rules, field.description().unwrap_or_default(), field.default);
}

fn schema(
    out: &mut Vec<u8>,
    purpose: Purpose,
    kind: &Kind,
    rules: &Rules,
    description: String,
    default: Option<fn(&mut Vec<u8>)>,
) {
    let mut json = Object::new(out);
    json.opt_str("type", type_name(kind)).opt_str("title", rules.title);
    if !description.is_empty() {
        json.str("description", &description);
    }
    keywords(&mut json, purpose, kind, rules);
    if let Some(write_default) = default {
        let mut value = Vec::new();
        write_default(&mut value);
        // `None`, and a float that JSON cannot hold, are no value that the schema's type has.
        if value != b"null" || matches!(kind, Kind::Any) {
            json.field("default", |out| out.extend_from_slice(&value));
        }
    }
    json.opt_str("x-mcp-header", rules.header.filter(|_| purpose == Purpose::Input));
}

fn type_name(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Any => None,
        Kind::Boolean => Some("boolean"),
        Kind::Integer { .. } => Some("integer"),
        Kind::Number => Some("number"),
        Kind::Text | Kind::Choice { .. } => Some("string"),
        Kind::List(_) => Some("array"),
        Kind::Object { .. } => Some("object"),
    }
}

fn keywords(json: &mut Object<'_>, purpose: Purpose, kind: &Kind, rules: &Rules) {
    match kind {
        Kind::Any | Kind::Boolean => {}
        Kind::Integer { min, max } => integer_range(json, rules.range(*min, *max)),
        Kind::Number => {
            let [min, max] = rules.real_range();
            json.member("minimum", &min).member("maximum", &max);
        }
        Kind::Text => {
            if let Some(span) = rules.length {
                limits(json, ["minLength", "maxLength"], span.min, span.max);
            }
            json.opt_str("format", rules.format);
            json.opt_str("pattern", rules.pattern.filter(|_| purpose != Purpose::Form));
        }
        Kind::Choice { choices, .. } if titled(choices) => {
            json.field("oneOf", |out| titles(out, choices));
        }
        Kind::Choice { choices, .. } => {
            json.field("enum", |out| write_list(out, *choices, |choice, out| write_str(out, choice.value)));
        }
        Kind::List(item) => {
            json.field("items", |out| item_schema(out, purpose, item, rules));
            if let Some(span) = rules.items {
                limits(json, ["minItems", "maxItems"], span.min, span.max);
            }
        }
        Kind::Object { fields, .. } => members(json, purpose, fields),
    }
}

/// The forms of a multiple choice are prescribed: without titles `type` and `enum`, with titles `anyOf` alone.
fn item_schema(out: &mut Vec<u8>, purpose: Purpose, item: &Kind, rules: &Rules) {
    match item {
        Kind::Choice { choices, .. } if titled(choices) => {
            Object::new(out).field("anyOf", |out| titles(out, choices));
        }
        Kind::Choice { .. } => kind_schema(out, purpose, item),
        _ => schema(out, purpose, item, &rules.of_items(), joined(type_docs(item)), None),
    }
}

/// What every 64-bit integer keeps anyway is not worth a keyword.
fn integer_range(json: &mut Object<'_>, (min, max): (i128, i128)) {
    if min != i128::from(i64::MIN) {
        json.field("minimum", |out| put(out, &min));
    }
    if max != i128::from(i64::MAX) && max != i128::from(u64::MAX) {
        json.field("maximum", |out| put(out, &max));
    }
}

fn limits(json: &mut Object<'_>, [least, most]: [&str; 2], min: usize, max: usize) {
    if min > 0 {
        json.field(least, |out| put(out, &min));
    }
    if max < usize::MAX {
        json.field(most, |out| put(out, &max));
    }
}

fn members(json: &mut Object<'_>, purpose: Purpose, fields: &[Field]) {
    // Forms must have `properties` and some model APIs refuse an object without it, so an empty one is written too.
    json.field("properties", |out| {
        let mut properties = Object::new(out);
        for field in fields {
            properties.field(field.name, |out| field_schema(out, purpose, field));
        }
    });
    let required = fields.iter().filter(|field| field.required()).map(|field| field.name);
    json.member("required", &required.collect::<Vec<_>>());
    if purpose != Purpose::Form {
        json.bool("additionalProperties", false);
    }
}

fn titled(choices: &[Choice]) -> bool {
    choices.iter().any(|choice| choice.title.is_some())
}

fn titles(out: &mut Vec<u8>, choices: &[Choice]) {
    write_list(out, choices, |choice, out| {
        Object::new(out).str("const", choice.value).str("title", choice.title.unwrap_or(choice.value));
    });
}

fn type_docs(kind: &Kind) -> Docs {
    match kind {
        Kind::Choice { docs, .. } | Kind::Object { docs, .. } => docs,
        _ => &[],
    }
}

impl Field {
    /// The member's documentation as one text, or its type's if it has none itself.
    pub fn description(&self) -> Option<String> {
        let own = joined(self.docs);
        let text = if own.is_empty() { joined(type_docs(self.kind)) } else { own };
        (!text.is_empty()).then_some(text)
    }

    /// The strings that its value can be, if it is an enum.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &'static str> {
        let choices = if let Kind::Choice { choices, .. } = self.kind { *choices } else { &[] };
        choices.iter().map(|choice| choice.value)
    }

    /// True if its value is a string: a prompt's argument can be nothing else.
    pub const fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Choice { .. })
    }
}

/// The lines of a documentation as one text: joined by spaces, an empty line starts a paragraph.
fn joined(docs: Docs) -> String {
    let mut text = String::new();
    let mut gap = "";
    for line in docs.iter().flatten().flat_map(|part| if part.is_empty() { "\n" } else { part }.lines()) {
        match line.trim() {
            "" if !text.is_empty() => gap = "\n\n",
            "" => {}
            line => {
                text.push_str(gap);
                text.push_str(line);
                gap = " ";
            }
        }
    }
    text
}

/// The path of the first number in a written value that is null, because it is not finite.
pub(super) fn not_finite(kind: &Kind, value: &Value, path: String) -> Option<String> {
    match (kind, value) {
        (Kind::Number, Value::Null) => Some(path),
        (Kind::List(kind), Value::Array(items)) => {
            let mut places = items.iter().enumerate();
            places.find_map(|(place, item)| not_finite(kind, item, format!("{path}[{place}]")))
        }
        (Kind::Object { fields, .. }, Value::Object(members)) => fields.iter().find_map(|field| {
            let dot = if path.is_empty() { "" } else { "." };
            not_finite(field.kind, members.get(field.name)?, format!("{path}{dot}{}", field.name))
        }),
        _ => None,
    }
}
