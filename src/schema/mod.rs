//! Typed values and their JSON Schema without a derive: tool arguments, structured results and forms for a person.
//!
//! *Scope:* the macro [`schema!`](crate::schema!), the trait [`Schema`] behind it, the JSON Schema text of a type,
//! reading a value from JSON with errors that name the argument, and writing it back.
//! *Not in scope:* schemas that a type cannot express (a tool takes raw schema text for those), bounds on depth and
//! number of values (the scan of the whole message applies them before anything here runs), and checking `format`.
//!
//! ```text
//!   schema! { struct Add { /// First addend.        ┌─ macros.rs   the grammar, expanded to …
//!       a: f64, … } }                               │
//!        │                                          ├─ shape.rs    one constant per type: Kind, Field, Rules;
//!        ▼                                          │              checked by the compiler
//!   Add::KIND ───────── schema_text ──▶ text ───────┼─ write.rs    {"type":"object","properties":{…},…}
//!   Add::read(value, place) ◀── JsonRef ────────────┼─ read.rs     members → slots → fields, or an Error;
//!                                                   │              path.rs for its words, number.rs for numbers
//!   add.write(&mut out) ───────────────▶ JSON ──────┴─ types.rs    bool, integers, floats, strings, lists, options
//! ```
//!
//! ```
//! use mcp_rill::schema::{self, schema_text, to_json};
//!
//! mcp_rill::schema! {
//!     enum Unit { Celsius = "celsius", Fahrenheit = "fahrenheit" }
//! }
//! mcp_rill::schema! {
//!     /// Where to look and in which unit to answer.
//!     struct Weather {
//!         /// Name of the town.
//!         town: String { length 1..=80 },
//!         days: i64 { min 1, max 14 } = 3,
//!         unit: Option<Unit>,
//!     }
//! }
//!
//! assert_eq!(schema_text::<Weather>(), concat!(
//!     r#"{"type":"object","properties":{"#,
//!     r#""town":{"type":"string","description":"Name of the town.","minLength":1,"maxLength":80},"#,
//!     r#""days":{"type":"integer","minimum":1,"maximum":14,"default":3},"#,
//!     r#""unit":{"type":"string","enum":["celsius","fahrenheit"]}},"#,
//!     r#""required":["town"],"additionalProperties":false}"#,
//! ));
//!
//! let weather: Weather = schema::parse(r#"{"unit":"celsius","town":"Ulm"}"#).unwrap();
//! assert_eq!((weather.days, matches!(weather.unit, Some(Unit::Celsius))), (3, true));
//! assert_eq!(to_json(&weather), r#"{"town":"Ulm","days":3,"unit":"celsius"}"#);
//!
//! let error = schema::parse::<Weather>(r#"{"town":"Ulm","days":60}"#).err().unwrap();
//! assert_eq!(error.to_string(), "argument `days`: 60 is more than the maximum 14");
//! ```

pub(crate) mod conforms;
pub(crate) mod json_type;
mod macros;
pub(crate) mod meta;
mod number;
pub(crate) mod path;
pub(crate) mod read;
pub(crate) mod secrets;
pub(crate) mod shape;
mod types;
mod write;

use crate::json::finite::sentence;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use memchr::memmem;

pub use crate::schema::path::Subject;
pub use crate::schema::read::{Error, Place};
pub use conforms::conforms;
pub use shape::{Bound, Choice, Docs, Field, Kind, NoBound, Rules, Span};
use write::Purpose;

/// A type that has a JSON Schema, and that is read from and written to JSON.
///
/// The macro [`schema!`](crate::schema!) implements it for structs and string enums. It is implemented for `bool`, the integers
/// up to 64 bits, `f32`, `f64`, `String`, `Box<str>`, `Vec<T>`, `Option<T>` (an argument that may be left out),
/// [`serde_json::Value`] and `Box<RawValue>` (anything).
///
/// Implement it by hand for a type that reads more strictly than its schema can say:
///
/// ```
/// use mcp_rill::json::JsonRef;
/// use mcp_rill::schema::{self, Bound, Error, Kind, NoBound, Place, Schema};
///
/// struct Even(i64);
///
/// impl Schema for Even {
///     type Bound = NoBound;
///     const KIND: &'static Kind = i64::KIND;
///     fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Even, Error> {
///         match i64::read(value, place)? {
///             n if n % 2 == 0 => Ok(Even(n)),
///             _ => Err(place.expected("an even number", value)),
///         }
///     }
///     fn write(&self, out: &mut Vec<u8>) {
///         self.0.write(out);
///     }
/// }
///
/// mcp_rill::schema! { struct Legs { count: Even } }
/// let error = schema::parse::<Legs>(r#"{"count":3}"#).err().unwrap();
/// assert_eq!(error.to_string(), "argument `count`: expected an even number, got the number 3");
/// assert_eq!(schema::parse::<Legs>(r#"{"count":4}"#).unwrap().count.0, 4);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no JSON Schema",
    label = "not a type that an argument or a result can have",
    note = "a field is a bool, an integer up to 64 bits, f32, f64, String, Box<str>, Vec<T>, Option<T>, a struct or enum made \
            by `schema!`, serde_json::Value or Box<RawValue>",
    note = "for structs with the derives of serde and schemars there is `Typed<T>` (feature `schemars`), around the whole struct"
)]
pub trait Schema: Sized {
    /// The type in which `min` and `max` of a field are written: the number type itself, [`NoBound`] where they make no
    /// sense.
    type Bound;

    /// What the type looks like in JSON. A constant, so that the compiler checks the rules of every field.
    const KIND: &'static Kind;

    /// True if an argument of this type may be left out without a default: only `Option`.
    const OPTIONAL: bool = false;

    /// Reads one JSON value, applying the rules of the field it stands in.
    ///
    /// # Errors
    /// One sentence that names the argument, what was expected and what was found.
    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Self, Error>;

    /// Appends the value as one line of JSON.
    fn write(&self, out: &mut Vec<u8>);

    /// The value of an argument that was left out, if the type has one of its own.
    fn absent() -> Option<Self> {
        None
    }

    /// True if a member with this value is left out when its struct is written.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A [`Schema`] type that is a JSON object: what a tool takes as its arguments, returns as its structured result, or asks a
/// person to fill in.
///
/// Made by [`schema!`](crate::schema!); `()` is the object without members, for a tool that takes no arguments.
///
/// ```
/// use mcp_rill::schema::{Object, schema_text};
/// mcp_rill::schema! { struct Point { lat: f64, lon: f64 } }
/// let names: Vec<&str> = Point::FIELDS.iter().map(|field| field.name).collect();
/// assert_eq!(names, ["lat", "lon"]);
/// assert_eq!(schema_text::<()>(), r#"{"type":"object","properties":{},"additionalProperties":false}"#);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a JSON object with named members",
    note = "make a struct of named fields with `schema!`; use `()` for no arguments; a tool may also return \
            `ToolResult::json(&value)`, or `Typed(value)` with the feature `schemars`"
)]
pub trait Object: Schema {
    /// The members, in declared order.
    const FIELDS: &'static [Field];
}

/// The JSON Schema of a type: one line of JSON, with members in declared order.
///
/// The documentation of the type itself is left out, since a tool has a description of its own and a form has its
/// message; it describes members of that type which have no documentation.
///
/// ```
/// mcp_rill::schema! { struct Greet { /** Who to greet. */ name: String } }
/// assert_eq!(
///     mcp_rill::schema::schema_text::<Greet>(),
///     r#"{"type":"object","properties":{"name":{"type":"string","description":"Who to greet."}},"required":["name"],"additionalProperties":false}"#,
/// );
/// ```
pub fn schema_text<T: Schema>() -> String {
    purpose_text::<T>(Purpose::Input)
}

/// The schema of a structured result: without `x-mcp-header`, which is about arguments.
pub(crate) fn output_text<T: Schema>() -> String {
    purpose_text::<T>(Purpose::Output)
}

/// The schema of a form: the root and its fields have only the members that forms may have.
pub(crate) fn form_text<T: Schema>() -> String {
    purpose_text::<T>(Purpose::Form)
}

fn purpose_text<T: Schema>(purpose: Purpose) -> String {
    let mut out = Vec::new();
    write::kind_schema(&mut out, purpose, T::KIND);
    text(out)
}

/// Reads an object; `None` is an object without members, because clients may leave `arguments` out.
///
/// # Errors
/// One sentence about the first problem: a member that is missing, unknown, given twice or has a wrong value.
/// `subject` chooses its nouns.
///
/// ```
/// use mcp_rill::schema::{self, Subject};
/// mcp_rill::schema! { struct Confirm { ok: bool } }
/// let error = schema::read::<Confirm>(Subject::Answer, None).err().unwrap();
/// assert_eq!(error.to_string(), "missing answer `ok` (true or false)");
/// ```
pub fn read<T: Object>(subject: Subject, value: Option<JsonRef<'_>>) -> Result<T, Error> {
    T::read(value.unwrap_or(JsonRef::NULL), &Place::root(subject))
}

/// Reads arguments from JSON text; [`fn@read`] is the same for a value that is known to be JSON.
///
/// # Errors
/// As [`fn@read`], and for text that is not JSON.
///
/// ```
/// mcp_rill::schema! { struct Add { a: f64, b: f64 } }
/// let error = mcp_rill::schema::parse::<Add>(r#"{"a":1,"b":"x"}"#).err().unwrap();
/// assert_eq!(error.to_string(), r#"argument `b`: expected a number, got the string "x""#);
/// ```
pub fn parse<T: Object>(text: &str) -> Result<T, Error> {
    match Tape::new().read(text) {
        Ok(value) => read(Subject::Argument, Some(value)),
        Err(error) => Err(Place::root(Subject::Argument).error(&format!("not JSON: {error}"))),
    }
}

/// Writes a value as one line of JSON. Options that are `None` are left out; a float that JSON cannot hold is `null`.
///
/// ```
/// mcp_rill::schema! { struct Sum { total: i64, note: Option<String> } }
/// assert_eq!(mcp_rill::schema::to_json(&Sum { total: 5, note: None }), r#"{"total":5}"#);
/// ```
pub fn to_json<T: Schema>(value: &T) -> String {
    let mut out = Vec::new();
    value.write(&mut out);
    text(out)
}

/// As [`to_json`], of a value that is to be read by others.
///
/// # Errors
/// A sentence that names the first float in it that is not finite.
pub(crate) fn finite_json<T: Schema>(value: &T) -> Result<String, String> {
    let json = to_json(value);
    // Every other null is in a text, or of a member that takes anything.
    let problem = memmem::find(json.as_bytes(), b"null")
        .and_then(|_| serde_json::from_str(&json).ok())
        .and_then(|value| write::not_finite(T::KIND, &value, String::new()));
    problem.map_or(Ok(json), |path| Err(sentence(&path, "infinite or NaN")))
}

/// What the expansion of `schema!` uses. No part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::schema::read::Members;
    pub use crate::schema::read::read_choice;
    pub use crate::schema::shape::check;
    pub use crate::schema::shape::check_choices;
    pub use crate::schema::shape::plain_name;
    pub use crate::schema::types::default_value;
    pub use crate::schema::write::ObjectWriter;
    pub use crate::schema::write::write_choice;
    pub use std::vec::Vec;
}

fn text(json: Vec<u8>) -> String {
    // Only a hand-written `Schema::write` can put anything but UTF-8 here.
    String::from_utf8(json).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
