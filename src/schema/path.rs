//! Where in the arguments a value stands, and the sentences about it.
//!
//! *Scope:* the path of a value, the nouns, and the wording that the reader of `schema!` types and the checker of JSON Schemas
//! have in common. *Not in scope:* what is wrong.

use std::fmt;

use crate::json::value::JsonRef;
use crate::text::printable;

/// What is being read, which chooses the nouns of an [`Error`](crate::schema::Error).
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
    pub(crate) fn noun(self) -> &'static str {
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

/// The way to a value, put into words only when something is wrong there: `near.lat`, `tags[2]`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'p> {
    Root(Subject),
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    pub(crate) fn member(&'p self, name: &'p str) -> Path<'p> {
        Path::Member(self, name)
    }

    pub(crate) fn item(&'p self, place: usize) -> Path<'p> {
        Path::Item(self, place)
    }

    pub(crate) fn subject(&self) -> Subject {
        match self {
            Path::Root(subject) => *subject,
            Path::Member(parent, _) | Path::Item(parent, _) => parent.subject(),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Path::Root(_))
    }

    /// The sentence that says `problem` about the value.
    pub(crate) fn sentence(&self, problem: &str) -> String {
        let noun = self.subject().noun();
        match self {
            Path::Root(_) => format!("{noun}s: {problem}"),
            _ => format!("{noun} `{self}`: {problem}"),
        }
    }

    /// The sentence about a value of the wrong form: `expected` is a noun with its article.
    pub(crate) fn expected(&self, expected: &str, found: JsonRef<'_>) -> String {
        self.sentence(&format!("expected {expected}, got {}", described(found)))
    }

    /// The sentence about a value that is not there.
    pub(crate) fn missing(&self, expected: &str) -> String {
        format!("missing {} `{self}` ({expected})", self.subject().noun())
    }

    /// The sentence about a member that the value must not have.
    pub(crate) fn unknown<'n>(&self, name: &str, known: impl ExactSizeIterator<Item = &'n str>) -> String {
        let name = printable(name);
        let noun = self.subject().noun();
        let known = enumeration(known.map(|name| format!("`{name}`")), "and", "none");
        match self {
            Path::Root(subject) => format!("unknown {noun} `{name}`; {} takes {known}", subject.owner()),
            _ => format!("unknown {noun} `{self}.{name}`; `{self}` takes {known}"),
        }
    }

    /// The sentence about too many or too few characters or items, if there are.
    pub(crate) fn count(&self, count: u64, unit: &str, [min, max]: [Option<u64>; 2]) -> Option<String> {
        let plural = if count == 1 { "" } else { "s" };
        let problem = match (min, max) {
            (_, Some(max)) if count > max => format!("at most {max} allowed"),
            (Some(min), _) if count < min => format!("at least {min} needed"),
            _ => return None,
        };
        Some(self.sentence(&format!("{count} {unit}{plural}, but {problem}")))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(_) => Ok(()),
            Path::Member(Path::Root(_), name) => f.write_str(&printable(name)),
            Path::Member(parent, name) => write!(f, "{parent}.{}", printable(name)),
            Path::Item(parent, place) => write!(f, "{parent}[{place}]"),
        }
    }
}

/// A value in a sentence.
pub(crate) fn described(value: JsonRef<'_>) -> String {
    let json = value.text();
    match json.as_bytes().first() {
        Some(b'"') => format!("the string {}", printable(json)),
        Some(b'{') => "an object".into(),
        Some(b'[') => "an array".into(),
        Some(b't' | b'f' | b'n') => json.to_owned(),
        _ => format!("the number {}", printable(json)),
    }
}

/// `a, b and c`.
pub(crate) fn enumeration(items: impl ExactSizeIterator<Item = String>, last: &str, none: &str) -> String {
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
