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
use std::fmt::{self, Write as _};

use crate::text::shorten;

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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// What is being read, which chooses the nouns of an [`Error`].
///
/// ```
/// use mcp_rill::schema::{self, Subject};
/// mcp_rill::schema! { struct Confirm { ok: bool } }
/// let missing = |subject| schema::read::<Confirm>(subject, None).err().unwrap().to_string();
/// assert_eq!(missing(Subject::Argument), "missing argument `ok` (true or false)");
/// assert_eq!(missing(Subject::Member), "missing member `ok` (true or false)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The arguments of a tool.
    Argument,
    /// The arguments of a prompt: all text, and empty where the user has left a field of the client's dialogue empty.
    PromptArgument,
    /// What a person filled into a form.
    Answer,
    /// An object with no such role.
    Member,
}

impl Subject {
    fn noun(self) -> &'static str {
        match self {
            Subject::Argument | Subject::PromptArgument => "argument",
            Subject::Answer => "answer",
            Subject::Member => "member",
        }
    }

    fn owner(self) -> &'static str {
        match self {
            Subject::Argument => "this tool",
            Subject::PromptArgument => "this prompt",
            Subject::Answer => "this form",
            Subject::Member => "this object",
        }
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
    parent: Option<&'a Place<'a>>,
    step: Step,
    rules: Rules,
    subject: Subject,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Root,
    Member(&'static str),
    Item(usize),
}

impl<'a> Place<'a> {
    /// The place of the object that holds all others.
    pub const fn root(subject: Subject) -> Place<'a> {
        Place { parent: None, step: Step::Root, rules: Rules::NONE, subject }
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
        let noun = self.subject.noun();
        let text = match self.step {
            Step::Root => format!("{noun}s: {problem}"),
            _ => format!("{noun} `{self}`: {problem}"),
        };
        Error { text: text.into() }
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
        let json = found.text();
        let found = match json.as_bytes().first() {
            Some(b'"') => format!("the string {}", shorten(json)),
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b't' | b'f' | b'n') => json.to_owned(),
            _ => format!("the number {}", shorten(json)),
        };
        self.error(&format!("expected {expected}, got {found}"))
    }

    pub(super) fn expected_kind(&self, kind: &Kind, found: JsonRef<'_>) -> Error {
        self.expected(&phrase(kind), found)
    }

    fn member(&'a self, field: &Field) -> Place<'a> {
        Place {
            parent: Some(self),
            step: Step::Member(field.name),
            rules: field.rules,
            subject: self.subject,
        }
    }

    fn item(&'a self, index: usize) -> Place<'a> {
        Place {
            parent: Some(self),
            step: Step::Item(index),
            rules: self.rules.of_items(),
            subject: self.subject,
        }
    }

    fn missing(&self, kind: &Kind) -> Error {
        Error { text: format!("missing {} `{self}` ({})", self.subject.noun(), phrase(kind)).into() }
    }

    fn repeated(&self) -> Error {
        self.error("given twice")
    }

    fn unknown(&self, name: &str, fields: &[Field]) -> Error {
        let name: String = shorten(name).escape_debug().collect();
        let mut text = format!("unknown {} `", self.subject.noun());
        let owner = match self.step {
            Step::Root => self.subject.owner().to_owned(),
            _ => format!("`{self}`"),
        };
        // Writing to a string does not fail.
        let _ = match self.step {
            Step::Root => write!(text, "{name}`; {owner} takes "),
            _ => write!(text, "{self}.{name}`; {owner} takes "),
        };
        text.push_str(&enumeration(fields.iter().map(|field| format!("`{}`", field.name)), "and", "none"));
        Error { text: text.into() }
    }
}

/// The path: `near.lat`, `tags[2]`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.step, self.parent.map(|parent| parent.step)) {
            (Step::Root, _) => Ok(()),
            (Step::Member(name), None | Some(Step::Root)) => f.write_str(name),
            (Step::Member(name), _) => write!(f, ".{name}"),
            (Step::Item(index), _) => write!(f, "[{index}]"),
        }
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
        if !(matches!(place.step, Step::Root) && value.is_null()) {
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
            r#""""# => place.subject == Subject::PromptArgument && field.refuses_empty(),
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
    let plural = if count == 1 { "" } else { "s" };
    if count > span.max {
        return Err(place.error(&format!("{count} {unit}{plural}, but at most {} allowed", span.max)));
    }
    if count < span.min {
        return Err(place.error(&format!("{count} {unit}{plural}, but at least {} needed", span.min)));
    }
    Ok(())
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

/// `a, b and c`.
fn enumeration(items: impl ExactSizeIterator<Item = String>, last: &str, none: &str) -> String {
    let count = items.len();
    let mut text = String::new();
    for (index, item) in items.enumerate() {
        match index {
            0 => {}
            _ if index + 1 == count => {
                text.push(' ');
                text.push_str(last);
                text.push(' ');
            }
            _ => text.push_str(", "),
        }
        text.push_str(&item);
    }
    if text.is_empty() { none.into() } else { text }
}
