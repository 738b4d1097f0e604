//! Values in: from JSON text to fields, or a sentence that says which argument is wrong and how.
//!
//! *Scope:* the place of a value and the wording of errors, the members of an object, strings, lists, enums.
//! *Not in scope:* numbers (`number.rs`) and which Rust type wants what (`types.rs`, `macros.rs`).
//!
//! A value arrives borrowed from a text that has been read, so what is inside is found without reading it again. How deep
//! that goes is decided by the Rust type, not by the peer.

use super::Schema;
use super::shape::{Field, Kind, Rules, Span};
use crate::json::value::JsonRef;
use std::borrow::Cow;
use std::fmt;

use crate::schema::path::{Path, Subject, enumeration};
use crate::text::error_text;

/// Why a value could not be read: one sentence that names the place, what was expected and what was found.
///
/// ```
/// mcp_rill::schema! { struct Add { a: f64, b: f64 } }
/// let error = mcp_rill::schema::parse::<Add>(r#"{"a":1,"b":2,"c":3}"#).err().unwrap();
/// assert_eq!(error.to_string(), "unknown argument `c`; this tool takes `a` and `b`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: Box<str>,
}

error_text!(Error: |error| "{}", error.text);

impl Error {
    fn new(text: String) -> Error {
        Error { text: text.into() }
    }
}

/// Where in the arguments a value stands, and the rules it has to keep there.
///
/// A hand-written [`Schema::read`] gets one, passes it on to the type it builds upon, and makes its own errors with it.
///
/// ```
/// use mcp_rill::json::JsonRef;
/// use mcp_rill::schema::{Place, Schema, Subject};
/// let place = Place::root(Subject::Member);
/// assert!(place.rules().min.is_none());
/// assert!(u8::read(JsonRef::NULL, &place).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    path: Path<'a>,
    rules: Rules,
}

impl<'a> Place<'a> {
    /// The place of the object that holds all others.
    pub const fn root(subject: Subject) -> Place<'a> {
        Place { path: Path::Root(subject), rules: Rules::NONE }
    }

    /// The rules of the field whose value this is.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The error that says `problem` about the value in this place.
    ///
    /// ```
    /// use mcp_rill::schema::{Place, Subject};
    /// assert_eq!(Place::root(Subject::Argument).error("too many").to_string(), "arguments: too many");
    /// ```
    pub fn error(&self, problem: &str) -> Error {
        Error::new(self.path.sentence(problem))
    }

    /// The error for a value of the wrong form: `expected` is a noun with its article.
    ///
    /// ```
    /// use mcp_rill::json::JsonRef;
    /// use mcp_rill::schema::{Place, Subject};
    /// let error = Place::root(Subject::Argument).expected("a colour", JsonRef::NULL);
    /// assert_eq!(error.to_string(), "arguments: expected a colour, got null");
    /// ```
    pub fn expected(&self, expected: &str, found: JsonRef<'_>) -> Error {
        Error::new(self.path.expected(expected, found))
    }

    pub(super) fn expected_kind(&self, kind: &Kind, found: JsonRef<'_>) -> Error {
        self.expected(&phrase(kind), found)
    }

    fn member(&'a self, field: &Field) -> Place<'a> {
        Place { path: self.path.member(field.name), rules: field.rules }
    }

    fn item(&'a self, index: usize) -> Place<'a> {
        Place { path: self.path.item(index), rules: self.rules.of_items() }
    }

    fn missing(&self, kind: &Kind) -> Error {
        Error::new(self.path.missing(&phrase(kind)))
    }

    fn repeated(&self) -> Error {
        self.error("given twice")
    }

    fn unknown(&self, name: &str, fields: &[Field]) -> Error {
        Error::new(self.path.unknown(name, fields.iter().map(|field| field.name)))
    }
}

/// The path: `near.lat`, `tags[2]`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// The members of an object, sorted into one slot per field and then taken out in declared order.
#[doc(hidden)]
#[derive(Debug)]
pub struct Members<'a, 'j> {
    fields: std::slice::Iter<'static, Field>,
    slots: std::slice::Iter<'a, Option<JsonRef<'j>>>,
    place: &'a Place<'a>,
}

impl<'a, 'j> Members<'a, 'j> {
    /// Fills the slots, one for each field.
    pub fn read(
        value: JsonRef<'j>,
        place: &'a Place<'a>,
        fields: &'static [Field],
        slots: &'a mut [Option<JsonRef<'j>>],
    ) -> Result<Members<'a, 'j>, Error> {
        // At the root `null` stands for arguments that were left out.
        if !(place.path.is_root() && value.is_null()) {
            if !value.is_object() {
                return Err(place.expected("an object", value));
            }
            for pair in value.pairs() {
                let name =
                    pair.name().ok_or_else(|| place.error("a name has an escape that is no character"))?;
                let index = fields.iter().position(|field| field.name == name);
                let index = index.ok_or_else(|| place.unknown(&name, fields))?;
                match (slots.get_mut(index), fields.get(index)) {
                    (Some(slot @ None), _) => *slot = Some(pair.value),
                    (_, Some(field)) => return Err(place.member(field).repeated()),
                    _ => return Err(place.error("more members than slots")),
                }
            }
        }
        Ok(Members { fields: fields.iter(), slots: slots.iter(), place })
    }

    /// Reads the next field.
    pub fn take<T: Schema>(&mut self, default: Option<fn() -> T>) -> Result<T, Error> {
        let (Some(field), Some(slot)) = (self.fields.next(), self.slots.next()) else {
            return Err(self.place.error("more fields than members"));
        };
        let place = self.place.member(field);
        let left_out = |value: &JsonRef<'_>| match value.text() {
            "null" => true,
            r#""""# => place.path.subject() == Subject::PromptArgument && field.refuses_empty(),
            _ => false,
        };
        match slot.filter(|value| field.required() || !left_out(value)) {
            Some(value) => T::read(value, &place),
            None => default.map(|make| make()).or_else(T::absent).ok_or_else(|| place.missing(field.kind)),
        }
    }
}

impl Field {
    /// True if an empty string is not a value of it.
    fn refuses_empty(&self) -> bool {
        match self.kind {
            Kind::Choice { choices, .. } => choices.iter().all(|choice| !choice.value.is_empty()),
            _ => self.rules.length.is_some_and(|span| span.min > 0),
        }
    }
}

/// Reads a string and applies `length`.
pub(super) fn text(value: JsonRef<'_>, place: &Place<'_>) -> Result<String, Error> {
    let text = string(value, place, &Kind::Text)?.into_owned();
    if let Some(span) = place.rules.length {
        within(text.chars().count(), span, "character", place)?;
    }
    Ok(text)
}

/// Reads one of the strings of an enum as its index.
#[doc(hidden)]
pub fn read_choice(value: JsonRef<'_>, place: &Place<'_>, kind: &'static Kind) -> Result<usize, Error> {
    let text = string(value, place, kind)?;
    match kind {
        Kind::Choice { choices, .. } => choices.iter().position(|choice| choice.value == text),
        _ => None,
    }
    .ok_or_else(|| place.expected_kind(kind, value))
}

/// Reads an array and applies `items`.
pub(super) fn items<T>(
    value: JsonRef<'_>,
    place: &Place<'_>,
    read: fn(JsonRef<'_>, &Place<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = value.items().ok_or_else(|| place.expected("an array", value))?;
    let items = items.enumerate().map(|(index, item)| read(item, &place.item(index)));
    let items = items.collect::<Result<Vec<T>, Error>>()?;
    if let Some(span) = place.rules.items {
        within(items.len(), span, "item", place)?;
    }
    Ok(items)
}

fn string<'j>(value: JsonRef<'j>, place: &Place<'_>, kind: &Kind) -> Result<Cow<'j, str>, Error> {
    if !value.is_str() {
        return Err(place.expected_kind(kind, value));
    }
    // JSON allows half of a surrogate pair as an escape; a Rust string has no room for it.
    value.as_str().ok_or_else(|| place.error("the string has an escape that is no character"))
}

fn within(count: usize, span: Span, unit: &str, place: &Place<'_>) -> Result<(), Error> {
    let [count, min, max] = [count, span.min, span.max].map(|count| count as u64);
    match place.path.count(count, unit, [Some(min), Some(max)]) {
        Some(problem) => Err(Error::new(problem)),
        None => Ok(()),
    }
}

fn phrase(kind: &Kind) -> String {
    match kind {
        Kind::Any => "any value".into(),
        Kind::Boolean => "true or false".into(),
        Kind::Integer { .. } => "an integer".into(),
        Kind::Number => "a number".into(),
        Kind::Text => "a string".into(),
        Kind::List(_) => "an array".into(),
        Kind::Object { .. } => "an object".into(),
        Kind::Choice { choices, .. } => {
            enumeration(choices.iter().map(|choice| format!("{:?}", choice.value)), "or", "nothing")
        }
    }
}
