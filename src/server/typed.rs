//! Arguments and results of types that have serde's and schemars' derives (feature `schemars`).
//!
//! *Scope:* the wrapper [`Typed`]. *Not in scope:* `schema!`, which needs no derive and names arguments in its errors.

use std::borrow::Cow;

use crate::json;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::protocol::content::{IntoToolResult, Json, ToolResult};
use crate::protocol::description::PromptArgument;
use crate::protocol::error::CallError;
use crate::protocol::forms;
use crate::schema::path::Subject;
use crate::server::arguments::{Arguments, explain, not_text, text_of};
use crate::server::form::{Form, Kept};
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::Value;

/// Formats of strings that clients' validators know. Others make them warn or refuse.
const FORMATS: [&str; 15] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// A tool's or prompt's arguments, a tool's structured result, a form ([`Call::elicit`](crate::Call::elicit)), or a value that is kept
/// ([`Call::once`](crate::Call::once)), of any type with the derives of serde and schemars: for structs that another program has
/// already. Their schema must be that of an object: an enum needs a struct around it. The
/// arguments of a prompt must be strings, or enums of unit variants. A float in a result that is not finite is an error
/// (−32603) that names the field.
///
/// It needs the feature `schemars` of this crate, and in your own `Cargo.toml` `schemars = "1"` and
/// `serde = { version = "1", features = ["derive"] }`.
///
/// The schema is made for clients that are particular: types stand where they are used instead of behind a `$ref` (unless
/// they contain themselves), what takes any value is `{}`, and formats such as `uint8`, which are in no standard, are left
/// out, as are `$schema` and the title of the whole.
///
/// ```
/// use mcp_rill::{Server, Typed};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Add { /** First addend. */ a: f64, b: f64 }
/// #[derive(Serialize, JsonSchema)]
/// struct Sum { sum: f64 }
///
/// let server = Server::new("calc", "1.0.0")
///     .tool("add", "Add two numbers", |Typed(Add { a, b }): Typed<Add>, _| Typed(Sum { sum: a + b }))
///     .tool("ask", "Ask for two numbers", |(), call| -> mcp_rill::Result<_> {
///         let Some(Typed(Add { a, b })) = call.elicit::<Typed<Add>>("numbers", "Which two?")?.accepted() else {
///             return Ok("nothing was added".to_owned());
///         };
///         Ok((a + b).to_string())
///     });
/// ```
///
/// In a form the documentation of an enum's variant is what the user reads. A form has only strings, numbers, booleans, enums and
/// lists of enums; each may be optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed<T>(pub T);

fn schema_of<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.with_transform(simplify).into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema
}

fn text(schema: &Schema) -> String {
    json::text(schema.as_value()).unwrap_or_default()
}

fn simplify(schema: &mut Schema) {
    // As plain yes or no these two are understood.
    let closed = ["additionalProperties", "unevaluatedProperties"].map(|name| {
        let is_flag = schema.get(name).is_some_and(Value::is_boolean);
        (name, is_flag.then(|| schema.remove(name)).flatten())
    });
    let object = schema.ensure_object();
    if object.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format)) {
        object.remove("format");
    }
    if object.get("type").is_some_and(|kind| kind == "object") {
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    transform_subschemas(&mut simplify, schema);
    for (name, flag) in closed {
        flag.map(|flag| schema.insert(name.to_owned(), flag));
    }
}

/// The strings that a value may be: none where it may be any string.
///
/// # Errors
/// If it may be something else than a string, or `null` for one that is left out.
fn choices(schema: &Value) -> Result<Vec<String>, ()> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(());
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(only) = schema.get("const") {
        return text(only).map(|only| vec![only]);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter(|value| !value.is_null()).map(text).collect();
    }
    let alternatives = ["anyOf", "oneOf"].into_iter().find_map(|name| schema.get(name)?.as_array());
    if let Some(alternatives) = alternatives {
        let each = alternatives.iter().filter(|schema| !is_null(schema)).map(choices);
        let each = each.collect::<Result<Vec<_>, ()>>()?;
        let any = each.iter().any(Vec::is_empty);
        return Ok(if any { Vec::new() } else { each.concat() });
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "string" => Ok(Vec::new()),
        Some(Value::Array(names)) if names.iter().all(|name| name == "string" || name == "null") => {
            Ok(Vec::new())
        }
        _ => Err(()),
    }
}

/// Without the empty strings that stand for choices which the user has left out.
fn without_empty<'a, T: Arguments>(text: &'a str) -> Option<Cow<'a, str>> {
    let mut tape = Tape::new();
    let given = Members::of(tape.read(text).ok()?).ok()?;
    let known = T::prompt_arguments().ok()?;
    let left_out = |name: &str, value: JsonRef<'_>| {
        let refuses = |argument: &PromptArgument| {
            argument.name == name && !argument.required && argument.refuses_empty()
        };
        value.text() == r#""""# && known.iter().any(refuses)
    };
    let mut out = Vec::new();
    let mut kept = Object::new(&mut out);
    given.iter().filter(|(name, value)| !left_out(name, *value)).for_each(|(name, value)| {
        kept.raw(&name, value.text());
    });
    kept.end();
    String::from_utf8(out).ok().map(Cow::Owned)
}

impl<T: DeserializeOwned + JsonSchema> Arguments for Typed<T> {
    fn schema() -> String {
        text(&schema_of::<T>(SchemaSettings::draft2020_12()))
    }

    fn prompt_arguments() -> Result<Vec<PromptArgument>, String> {
        let schema = schema_of::<T>(SchemaSettings::draft2020_12());
        if ["anyOf", "oneOf", "allOf", "$ref"].into_iter().any(|name| schema.get(name).is_some()) {
            return Err(
                "the schema of its arguments does not list them one by one; take a struct of strings"
                    .to_owned(),
            );
        }
        let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        properties
            .map(|(name, property)| {
                let mut argument = PromptArgument::new(name);
                argument.choices = choices(property).map_err(|()| not_text(name))?;
                argument.required = required.iter().any(|required| required == name);
                argument.description = property.get("description").and_then(Value::as_str).map(str::to_owned);
                Ok(argument)
            })
            .collect()
    }

    fn read(subject: Subject, arguments: Option<JsonRef<'_>>) -> Result<Typed<T>, String> {
        let text = text_of(arguments);
        let may_leave_out = subject == Subject::PromptArgument && text.contains(r#""""#);
        let text =
            may_leave_out.then(|| without_empty::<Self>(text)).flatten().unwrap_or(Cow::Borrowed(text));
        serde_json::from_str(&text).map(Typed).map_err(|error| explain(subject, &text, &error))
    }
}

/// The keywords of a field that a form may have, and the formats (MCP schema, `PrimitiveSchemaDefinition`).
const FORM_FORMATS: [&str; 4] = ["email", "uri", "date", "date-time"];

/// A schema as a form has it: without what the form's grammar cannot say and a reader of the form does not need. What else is
/// not in the grammar stays, and is reported when the form is checked.
fn form_of(schema: &Schema) -> Value {
    let mut form = serde_json::Map::new();
    for name in ["type", "properties", "required"] {
        form.extend(schema.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(fields) = form.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().for_each(form_field);
    }
    Value::Object(form)
}

fn form_field(field: &mut Value) {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    let Some(members) = field.as_object_mut() else { return };
    // An `Option` may be left out, which a form says by `required`.
    for name in ["anyOf", "oneOf"] {
        let Some(alternatives) = members.get_mut(name).and_then(Value::as_array_mut) else { continue };
        alternatives.retain(|alternative| !is_null(alternative));
        if let [Value::Object(only)] = &alternatives[..] {
            let only = only.clone();
            members.remove(name);
            only.into_iter().for_each(|(name, value)| {
                members.entry(name).or_insert(value);
            });
        }
    }
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &kinds[..] {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(titled) = members.get("oneOf").and_then(titled_choices) {
        members.insert("type".to_owned(), Value::from("string"));
        members.insert("oneOf".to_owned(), titled);
    }
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if members.get("format").and_then(Value::as_str).is_some_and(|format| !FORM_FORMATS.contains(&format)) {
        members.remove("format");
    }
    members.remove("pattern");
    if let Some(item) = members.get_mut("items") {
        if let Some(titled) = item.get("oneOf").and_then(titled_choices) {
            *item = serde_json::json!({ "anyOf": titled });
        } else if let Some(item) = item.as_object_mut() {
            item.remove("description");
        }
        // Of a set: the user cannot choose twice anyway.
        members.remove("uniqueItems");
    }
}

/// The variants of an enum whose variants are documented: that is how schemars describes them. A variant's documentation is its title.
fn titled_choices(variants: &Value) -> Option<Value> {
    let titled = |variant: &Value| {
        let value = variant.get("const")?.as_str()?;
        let title = ["title", "description"].into_iter().find_map(|name| variant.get(name)?.as_str());
        Some(serde_json::json!({ "const": value, "title": title.unwrap_or(value) }))
    };
    variants.as_array()?.iter().map(titled).collect::<Option<Vec<_>>>().map(Value::Array)
}

impl<T: DeserializeOwned + JsonSchema> Form for Typed<T> {
    const IS_FLAT: () = ();

    fn form() -> Result<String, String> {
        let form = json::text(&form_of(&schema_of::<T>(SchemaSettings::draft2020_12())))?;
        forms::check(&form)?;
        Ok(form)
    }

    fn read_answer(content: JsonRef<'_>) -> Result<Typed<T>, String> {
        let text = content.text();
        serde_json::from_str(text).map(Typed).map_err(|error| explain(Subject::Answer, text, &error))
    }
}

impl<T: Serialize + DeserializeOwned + JsonSchema> Kept for Typed<T> {
    fn kept_schema() -> String {
        text(&schema_of::<T>(SchemaSettings::draft2020_12()))
    }

    fn to_kept(&self) -> Result<String, String> {
        json::text(&self.0)
    }

    fn read_kept(kept: JsonRef<'_>) -> Result<Typed<T>, String> {
        let text = kept.text();
        serde_json::from_str(text).map(Typed).map_err(|error| explain(Subject::Member, text, &error))
    }
}

/// As [`Typed`] alone, for code that is generic in what is inside a [`Json`].
impl<T: Serialize + JsonSchema> IntoToolResult for Json<Typed<T>> {
    fn output_schema() -> Option<String> {
        Typed::<T>::output_schema()
    }

    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        self.0.into_tool_result()
    }
}

impl<T: Serialize + JsonSchema> IntoToolResult for Typed<T> {
    fn output_schema() -> Option<String> {
        Some(text(&schema_of::<T>(SchemaSettings::draft2020_12().for_serialize())))
    }

    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        ToolResult::json(&self.0)
    }
}
