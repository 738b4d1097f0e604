//! The types of arguments that handlers take: types with a schema, or any JSON.
//!
//! *Scope:* [`Arguments`] reads the arguments of a call before its handler runs. Types with a schema are checked as they are read.
//! Types that take any JSON are not: a schema that an author has written for them is listed to clients, and the handler checks.
//! *Not in scope:* schemas ([`mod@crate::schema`]).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::protocol::description::{ANY_OBJECT, PromptArgument};
use crate::schema::path::Subject;
use crate::schema::{self, Object};

/// The arguments that a handler may take: a struct made by [`schema!`](crate::schema!), `()` for no arguments, or any JSON as a
/// [`Value`] or `Box<RawValue>`, together with a schema written by hand
/// ([example](crate::guide#what-handlers-take-and-return)).
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its arguments",
    note = "take a struct made by `schema!`, `()` for no arguments, `serde_json::Value`, `Box<RawValue>`, or, with the \
            feature `schemars`, `Typed<T>` where `T` derives `Deserialize` and `schemars::JsonSchema`"
)]
pub trait Arguments: Sized {
    /// Returns the JSON Schema as text.
    fn schema() -> String;

    /// Returns the arguments one by one, for a prompt: none if the handler takes any JSON.
    ///
    /// # Errors
    /// A sentence that names an argument that a prompt cannot have: clients send every argument of a prompt as a string.
    fn prompt_arguments() -> Result<Vec<PromptArgument>, String>;

    /// Reads the `arguments` member of a request; `None` if there is none. `subject` says whose arguments they are.
    ///
    /// # Errors
    /// A sentence that names the argument that does not fit.
    fn read(subject: Subject, arguments: Option<JsonRef<'_>>) -> Result<Self, String>;
}

impl<T: Object> Arguments for T {
    fn schema() -> String {
        schema::schema_text::<T>()
    }

    fn prompt_arguments() -> Result<Vec<PromptArgument>, String> {
        match T::FIELDS.iter().find(|field| !field.is_text()) {
            Some(field) => Err(not_text(field.name)),
            None => Ok(T::FIELDS.iter().map(PromptArgument::of_field).collect()),
        }
    }

    fn read(subject: Subject, arguments: Option<JsonRef<'_>>) -> Result<T, String> {
        schema::read(subject, arguments).map_err(|error| error.to_string())
    }
}

macro_rules! any_json {
    ($type:ty) => {
        impl Arguments for $type {
            fn schema() -> String {
                ANY_OBJECT.to_owned()
            }

            fn prompt_arguments() -> Result<Vec<PromptArgument>, String> {
                Ok(Vec::new())
            }

            fn read(subject: Subject, arguments: Option<JsonRef<'_>>) -> Result<$type, String> {
                let text = text_of(arguments);
                serde_json::from_str(text).map_err(|error| explain(subject, text, &error))
            }
        }
    };
}

any_json!(Value);
any_json!(Box<RawValue>);

pub(crate) fn not_text(name: &str) -> String {
    format!("argument `{name}` must be text: clients send every argument as a string")
}

/// The arguments as JSON text: `{}` if there are none.
pub(crate) fn text_of(arguments: Option<JsonRef<'_>>) -> &str {
    arguments.map(JsonRef::text).filter(|text| *text != "null").unwrap_or("{}")
}

/// The most characters of an error of serde that are shown: it may repeat a value of the peer.
const PROBLEM_CHARS_MAX: usize = 300;

/// Explains an error of serde about arguments, or about another subject. The path of the argument takes the place of line and
/// column, since a model has no text in which it could count them.
pub(crate) fn explain(subject: Subject, text: &str, error: &serde_json::Error) -> String {
    let noun = subject.noun();
    let whole = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem: String =
        whole.strip_suffix(&place).unwrap_or(&whole).chars().take(PROBLEM_CHARS_MAX).collect();
    let lines_before = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines_before.map(str::len).sum::<usize>() + error.column();
    match path_at(text, offset) {
        path if path.is_empty() => format!("{noun}s: {problem}"),
        path => format!("{noun} `{path}`: {problem}"),
    }
}

/// The path of the innermost value that contains this offset or ends there, such as `near.lat` or `tags[2]`.
fn path_at(text: &str, offset: usize) -> String {
    let mut path = String::new();
    let mut tape = Tape::new();
    let Ok(mut value) = tape.read(text) else { return path };
    // Every value is borrowed from the text, so its address says where it stands.
    let at = text.as_ptr().addr() + offset;
    while let Some((step, inner)) = child_at(value, at) {
        path.push_str(if path.is_empty() { step.strip_prefix('.').unwrap_or(&step) } else { &step });
        value = inner;
    }
    path
}

fn child_at(value: JsonRef<'_>, at: usize) -> Option<(String, JsonRef<'_>)> {
    let is_there = |inner: JsonRef<'_>| {
        let start = inner.text().as_ptr().addr();
        (start..=start + inner.text().len()).contains(&at)
    };
    if let Ok(members) = Members::of(value) {
        let mut members = members.iter();
        return members.find(|(_, inner)| is_there(*inner)).map(|(name, inner)| (format!(".{name}"), inner));
    }
    let mut items = value.items()?.enumerate();
    items.find(|(_, inner)| is_there(*inner)).map(|(index, inner)| (format!("[{index}]"), inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_what_is_at_an_offset() {
        let text = "{\"a\": {\"b\": [1,\n {\"c.d\": \"xy\"}]},\n\"e\":7}";
        let at = |part: &str| path_at(text, text.find(part).unwrap_or_default());
        assert_eq!(at("\"a\""), "");
        assert_eq!(at("1,"), "a.b[0]");
        assert_eq!(at("xy"), "a.b[1].c.d");
        assert_eq!(at(",\n {"), "a.b[0]");
        assert_eq!(at("]}"), "a.b[1]");
        assert_eq!((at("7"), at("}]")), ("e".to_owned(), "a.b[1].c.d".to_owned()));
        assert_eq!((path_at(text, 0), path_at(text, 999), path_at("{", 1)), Default::default());
    }

    #[test]
    fn an_error_of_serde_names_the_argument() {
        let read = |text: &str| {
            serde_json::from_str::<std::collections::BTreeMap<String, Vec<u8>>>(text)
                .map_err(|error| explain(Subject::Argument, text, &error))
        };
        assert_eq!(
            read("{\"a\":[1],\n\n \"b\":[1,2,300]}"),
            Err("argument `b[2]`: invalid value: integer `300`, expected u8".to_owned())
        );
        assert_eq!(
            read(r#"{"a":{"b":1}}"#),
            Err("argument `a`: invalid type: map, expected a sequence".to_owned())
        );
        assert_eq!(read("[]"), Err("arguments: invalid type: sequence, expected a map".to_owned()));
        let long = read(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5000))).err().unwrap_or_default();
        assert!(long.len() < 400 && long.starts_with("argument `a`: invalid type: string \"xx"), "{long}");
    }

    #[test]
    fn any_json_takes_what_is_left_out_as_nothing() {
        assert_eq!(Value::read(Subject::Argument, None), Ok(serde_json::json!({})));
        assert_eq!(Value::read(Subject::Argument, Some(JsonRef::NULL)), Ok(serde_json::json!({})));
        let mut tape = Tape::new();
        let half = tape.read(r#"{"a":"\ud800"}"#).ok();
        let error = Value::read(Subject::Argument, half).err().unwrap_or_default();
        assert!(error.starts_with("argument `a`: ") && !error.contains("column"), "{error}");
    }
}
