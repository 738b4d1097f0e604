//! URIs: the form in which they are compared; templates of them: which resources a server has without listing them, and
//! which one a URI means.
//!
//! *Scope:* [`normalize`]; RFC 6570 as far as `{name}` (simple expansion) and `{+name}` (reserved expansion) go: parsing,
//! expanding, and the way back, which the RFC leaves open.
//! *Not in scope:* other operators, lists and prefixes (refused when the template is made), and whether a URI is otherwise valid.
//!
//! ```text
//!   test://users/{user}/posts/{post}.json
//!   └── prefix ──┘    └─ next ─┘     └───┘ suffix: the last literal
//!                │             │
//!                ▼             ▼
//!   test://users/ada/posts/a%20b.json      matches ─▶ user = "ada", post = "a b"
//!                                          expand  ◀─
//! ```
//!
//! # How a URI is matched
//! The URI and the template's literal text are compared in [normal form](crate::protocol::uri::normal::normalize), so `TEST://Users/./ada` is
//! `test://users/ada`. The text before the first variable must begin the URI and the text after the last one must end it.
//! In between, each variable ends where the literal after it first occurs, at least one character later, and the last
//! variable takes what is left. So of `{a}-{b}`, `x-y-z` means `a` = `x` and `b` = `y-z`. There is no second attempt: every
//! step searches only text that no step before it has consumed, and the search itself is linear, so matching costs time
//! proportional to the template and the URI.
//!
//! Values keep the case in which they came, also in the host. Clients may write hosts in lower case, so put text whose case
//! matters into the path.
//!
//! # What a variable stands for
//! Escapes are decoded once. A value with a malformed escape, or that is not UTF-8 when decoded, matches nothing.
//!
//! `{name}` stands for one or more characters other than `/`, `?`, `#` and control characters. That is more than
//! [`UriTemplate::expand`] produces, because clients differ in what they leave unescaped (JavaScript keeps `!'()*`,
//! and people write `é`). **Its decoded value may hold anything**: `%2F` is a slash, `%00` a NUL, and `%2F..%2F` leads up.
//! Check it before it becomes part of a path.
//!
//! `{+name}` stands for a relative path of one or more segments, and its value is safe to be joined to the path of a folder:
//! there is one value for each file below it, and none for anything else. These match nothing:
//! - an empty path or segment: a slash at the beginning, which would make the path absolute, at the end, or next to another
//!   one;
//! - a segment `.` or `..`, however it is encoded, that is left in normal form, which resolves those of the path first: so
//!   `files:///../x` is `files:///x`;
//! - `\`, `%5C` and `%2F`, and NUL and all other control characters;
//! - a first segment that begins with a letter and a colon, which is a drive on Windows.
//!
//! The handler has to check what the value does not show: where symbolic links lead, and the names of devices on Windows. A
//! `{+name}` at the place of the host takes the host as its first segment: `docs://{+path}` matches `docs://guide/a.md`.
//! `file://{+path}` matches no `file:///etc/motd`, since that path is absolute; write `file:///{+path}`.
//!
//! ```
//! use mcp_rill::uri::UriTemplate;
//!
//! let template = UriTemplate::new("test://users/{user}/posts/{post}.json").unwrap();
//! let vars = template.matches("test://users/ada/posts/a%20b.json").unwrap();
//! assert_eq!((vars.get("user"), vars.get("post")), (Some("ada"), Some("a b")));
//! assert_eq!(template.expand(|name| vars.get(name)), "test://users/ada/posts/a%20b.json");
//! assert!(template.matches("test://users/ada/x/posts/1.json").is_none());
//!
//! let files = UriTemplate::new("file:///srv/{+path}").unwrap();
//! assert_eq!(files.matches("file:///srv/a/b%20c.txt").unwrap().get("path"), Some("a/b c.txt"));
//! assert!(files.matches("file:///srv/a/..%2F..%2Fpasswd").is_none());
//! ```

pub(crate) mod normal;

use std::fmt;

use crate::protocol::uri::normal::{dot_segment, is_reserved, is_unreserved, open_at, write_byte};
use crate::text::error_text;

pub use crate::protocol::uri::normal::normalize;
pub(crate) use crate::protocol::uri::normal::{Forms, normalize_template};

/// A parsed URI template (RFC 6570) of `{name}` and `{+name}`. Its `Display` is the text it was made from.
///
/// ```
/// use mcp_rill::uri::UriTemplate;
/// let template = UriTemplate::new("test://template/{id}/data").unwrap();
/// assert_eq!(template.as_str(), "test://template/{id}/data");
/// assert_eq!(template.variables().collect::<Vec<_>>(), ["id"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    /// The text in the form in which it is compared with URIs.
    normal: String,
    prefix: String,
    /// Each variable with the literal after it; only the last of these may be empty.
    parts: Vec<Part>,
}

/// The values of a template's variables, decoded, in the order of the template.
///
/// ```
/// use mcp_rill::uri::UriTemplate;
/// let vars = UriTemplate::new("log://{day}/{level}").unwrap().matches("log://mon/warn").unwrap();
/// assert_eq!(vars.iter().collect::<Vec<_>>(), [("day", "mon"), ("level", "warn")]);
/// assert_eq!((vars.get("level"), vars.get("month")), (Some("warn"), None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars {
    pairs: Vec<(String, String)>,
}

/// Why a text is not a URI template: a sentence that names the construct and its byte offset.
///
/// ```
/// use mcp_rill::uri::UriTemplate;
/// let error = UriTemplate::new("file:///{#path}").unwrap_err();
/// assert_eq!(error.to_string(), "`{#path}` at byte 8: the operator `#` is not supported, only `{name}` and `{+name}`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    variable: String,
    /// `{+name}`: it may have slashes.
    is_path: bool,
    /// In normal form.
    literal: String,
    /// True if the literal may be part of a host or of a path, so that its case counts.
    is_exact: bool,
}

impl UriTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// Operators and modifiers other than `+` (`{?x}`, `{x*}`, `{x:3}`, `{x,y}`), names that RFC 6570 does not allow, a
    /// variable used twice, two variables with nothing between them (where one ends could only be guessed), a brace without
    /// its partner, characters that a URI cannot hold (those are written percent-encoded), and segments `.` and `..` of
    /// the path, which no URI in normal form has.
    pub fn new(template: &str) -> Result<UriTemplate, TemplateError> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut before, mut rest) = literal(template, 0)?;
        while !rest.is_empty() {
            let start = template.len() - rest.len();
            let (expression, after) = match rest.split_once('}') {
                Some((expression, after)) if !expression.get(1..).unwrap_or_default().contains('{') => {
                    (expression, after)
                }
                _ => return Err(refusal("{", start, "has no closing `}`")),
            };
            let name = expression.strip_prefix('{').unwrap_or(expression);
            let variable = name.strip_prefix('+').unwrap_or(name);
            let (is_path, shown) = (name != variable, format!("{{{name}}}"));
            if let Some(problem) = name_problem(variable) {
                return Err(refusal(&shown, start, &problem));
            }
            if parts.iter().any(|part| part.variable == variable) {
                return Err(refusal(&shown, start, "the variable is used twice"));
            }
            if before.is_empty() && !parts.is_empty() {
                return Err(refusal(&shown, start, "follows a variable with nothing between them"));
            }
            parts.push(Part {
                variable: variable.to_owned(),
                is_path,
                literal: String::new(),
                is_exact: false,
            });
            (before, rest) = literal(after, template.len() - after.len())?;
        }
        if let Some((offset, segment)) = dot_segment(template) {
            return Err(refusal(
                segment,
                offset,
                "is a segment that no URI has in normal form; leave it out",
            ));
        }
        let normal = normalize_template(template);
        let known = normal.get(..open_at(&normal)).map_or(0, |known| known.matches('{').count());
        let mut pieces = normal.split('{');
        let prefix = pieces.next().unwrap_or_default().to_owned();
        for (index, (part, piece)) in parts.iter_mut().zip(pieces).enumerate() {
            part.literal = piece.split_once('}').map_or("", |(_, literal)| literal).to_owned();
            part.is_exact = index >= known;
        }
        Ok(UriTemplate { text: template.to_owned(), prefix, parts, normal })
    }

    /// Returns the values of the variables in this URI, or `None` if the template does not match it; see [the rules](self).
    ///
    /// A template without variables matches its own text and has no values.
    ///
    /// ```
    /// use mcp_rill::uri::UriTemplate;
    /// let template = UriTemplate::new("x:{a}-{b}").unwrap();
    /// assert_eq!(template.matches("x:1-2-3").unwrap().get("b"), Some("2-3"));
    /// assert_eq!(template.matches("x:1"), None);
    /// ```
    pub fn matches(&self, uri: &str) -> Option<Vars> {
        self.matches_forms(&Forms::of(uri))
    }

    pub(crate) fn matches_forms(&self, Forms { folded, kept }: &Forms<'_>) -> Option<Vars> {
        let mut at = folded.starts_with(self.prefix.as_str()).then_some(self.prefix.len())?;
        let Some((last, earlier)) = self.parts.split_last() else {
            return (at == folded.len()).then(Vars::default);
        };
        let searched = |part: &Part| if part.is_exact { kept } else { folded };
        let end = at + searched(last).get(at..)?.strip_suffix(last.literal.as_str())?.len();
        let mut pairs = Vec::with_capacity(self.parts.len());
        for part in earlier {
            let rest = searched(part).get(at..end)?;
            let first = rest.chars().next()?.len_utf8();
            let length = first + rest.get(first..)?.find(part.literal.as_str())?;
            pairs.push((part.variable.clone(), part.value(kept.get(at..at + length)?)?));
            at += length + part.literal.len();
        }
        pairs.push((last.variable.clone(), last.value(kept.get(at..end)?)?));
        Some(Vars { pairs })
    }

    /// Returns the URI for these values (RFC 6570 §3.2.2 and §3.2.3).
    ///
    /// Letters, digits and `-._~` are written as they are, and everything else is percent-encoded. In the value of a `{+name}`
    /// reserved characters such as `/` and `?`, and escapes, are written as they are, too. A variable without a value is left
    /// out. The URI may then not match the template, nor if a value is one that its variable
    /// [does not stand for](self#what-a-variable-stands-for).
    ///
    /// ```
    /// use mcp_rill::uri::UriTemplate;
    /// let template = UriTemplate::new("x:{a}/{b}").unwrap();
    /// assert_eq!(template.expand(|name| (name == "a").then_some("ü/1")), "x:%C3%BC%2F1/");
    /// let template = UriTemplate::new("x:{+a}").unwrap();
    /// assert_eq!(template.expand(|_| Some("ü/1")), "x:%C3%BC/1");
    /// ```
    pub fn expand<V: AsRef<str>>(&self, mut value: impl FnMut(&str) -> Option<V>) -> String {
        let mut pieces = self.text.split('{');
        let mut uri = pieces.next().unwrap_or_default().to_owned();
        for (part, piece) in self.parts.iter().zip(pieces) {
            if let Some(value) = value(&part.variable) {
                encode(value.as_ref(), part.is_path, &mut uri);
            }
            uri.push_str(piece.split_once('}').map_or("", |(_, literal)| literal));
        }
        uri
    }

    /// The names of the variables, in order.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = &str> {
        self.parts.iter().map(|part| part.variable.as_str())
    }

    /// The text it was made from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text for all templates that differ only in the spelling of their literals.
    pub(crate) fn normal(&self) -> &str {
        &self.normal
    }
}

impl Part {
    /// The value that this piece of a URI stands for, if the variable may have it.
    fn value(&self, raw: &str) -> Option<String> {
        match self.is_path {
            true => decode(raw, b"?#").filter(|path| is_path_below(raw, path)),
            false => decode(raw, b"/?#"),
        }
    }
}

impl fmt::Display for UriTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for UriTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<UriTemplate, TemplateError> {
        UriTemplate::new(text)
    }
}

impl Vars {
    /// The value of a variable; `None` if the template has no such variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value)
    }

    /// Names and values, in the order of the template.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

error_text!(TemplateError: |error| "{}", error.text);

fn refusal(construct: &str, offset: usize, problem: &str) -> TemplateError {
    TemplateError { text: format!("`{construct}` at byte {offset}: {problem}") }
}

/// Splits off the literal text up to the next `{`, checking that a URI can hold it. `offset` is for the error.
fn literal(text: &str, offset: usize) -> Result<(&str, &str), TemplateError> {
    let (literal, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
    for (index, character) in literal.char_indices() {
        let problem = match character {
            '}' => "has no opening `{`",
            '%' if escape(literal.as_bytes().get(index..).unwrap_or_default()).is_none() => {
                "is not followed by two hexadecimal digits"
            }
            '!' | '#'..='_' | 'a'..='z' | '~' if !matches!(character, '<' | '>' | '\\' | '^') => continue,
            _ => "cannot stand in a URI; write it percent-encoded",
        };
        return Err(refusal(character.encode_utf8(&mut [0; 4]), offset + index, problem));
    }
    Ok((literal, rest))
}

/// Why the text between two braces is not the name of one variable.
fn name_problem(name: &str) -> Option<String> {
    let only = "is not supported, only `{name}` and `{+name}`";
    if let Some(operator) = name.chars().next().filter(|first| "+#./;?&=,!@|".contains(*first)) {
        return Some(format!("the operator `{operator}` {only}"));
    }
    if name.contains(',') {
        return Some(format!("a list of variables {only}"));
    }
    if let Some(modifier) = name.chars().find(|character| matches!(character, '*' | ':')) {
        return Some(format!("the modifier `{modifier}` {only}"));
    }
    if name.split('.').all(is_name_part) {
        return None;
    }
    Some("a variable's name is letters, digits and `_`, with single dots between".to_owned())
}

/// Letters, digits, `_` and escapes: at least one of them.
fn is_name_part(part: &str) -> bool {
    let mut rest = part.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'%' if escape(rest).is_some() => after.get(2..).unwrap_or_default(),
            b'_' => after,
            byte if byte.is_ascii_alphanumeric() => after,
            _ => return false,
        };
    }
    !part.is_empty()
}

/// The byte that `%XX` at the start of the text stands for.
pub(crate) fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// A piece of a URI without its escapes, if it is not empty and has none of these characters.
fn decode(raw: &str, without: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, after @ ..] = rest {
        match byte {
            b'%' => {
                bytes.push(escape(rest)?);
                rest = after.get(2..)?;
                continue;
            }
            byte if without.contains(byte) || byte.is_ascii_control() => return None,
            byte => bytes.push(*byte),
        }
        rest = after;
    }
    if raw.is_empty() { None } else { String::from_utf8(bytes).ok() }
}

/// True if a decoded value is the only spelling of its path, and the path leads down from any folder that it is joined to.
fn is_path_below(raw: &str, path: &str) -> bool {
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    let is_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    slashes(path) == slashes(raw)
        && !is_drive
        && !path.contains(|c: char| c == '\\' || c.is_control())
        && path.split('/').all(is_segment)
}

fn encode(value: &str, is_path: bool, uri: &mut String) {
    let bytes = value.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let literally = is_unreserved(*byte)
            || is_path && (is_reserved(*byte) || bytes.get(at..).and_then(escape).is_some());
        write_byte(*byte, literally, uri);
    }
}
