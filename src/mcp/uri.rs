//! URI templates: which resources a server has without listing them, and which one a URI means.
//!
//! *Scope:* RFC 6570 level 1, that is `{name}` and nothing else: parsing, expanding, and the way back, which the RFC leaves open.
//! *Not in scope:* operators, lists and prefixes (refused when the template is made), and whether a URI is otherwise valid.
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
//! The text before the first variable must begin the URI and the text after the last one must end it. In between, each variable
//! ends where the literal after it first occurs, at least one character later, and the last variable takes what is left.
//! So of `{a}-{b}`, `x-y-z` means `a` = `x` and `b` = `y-z`. There is no second attempt: every step searches only text
//! that no step before it has consumed, and the search itself is linear, so matching costs time proportional to the template and the URI.
//!
//! A variable stands for one or more characters other than `/`, `?`, `#`, spaces and control characters. That is more than
//! [`UriTemplate::expand`] produces, because clients differ in what they leave unescaped (JavaScript keeps `!'()*`,
//! and people write `é`). Escapes are decoded, once; one that is malformed or does not give UTF-8 matches nothing.
//!
//! **A decoded value may hold anything**: `%2F` is a slash, `%00` a NUL, and `..` needs no escape. Check it before it becomes part of a path.
//!
//! Literals are compared byte by byte, so `%2f` is not `%2F`.
//!
//! ```
//! use mcp_rill::mcp::uri::UriTemplate;
//!
//! let template = UriTemplate::new("test://users/{user}/posts/{post}.json").unwrap();
//! let vars = template.matches("test://users/ada/posts/a%20b.json").unwrap();
//! assert_eq!((vars.get("user"), vars.get("post")), (Some("ada"), Some("a b")));
//! assert_eq!(template.expand(|name| vars.get(name)), "test://users/ada/posts/a%20b.json");
//! assert!(template.matches("test://users/ada/x/posts/1.json").is_none());
//! ```

use std::fmt::{self, Write as _};

/// A parsed URI template of RFC 6570 level 1. Its `Display` is the text it was made from.
///
/// ```
/// use mcp_rill::mcp::uri::UriTemplate;
/// let template = UriTemplate::new("test://template/{id}/data").unwrap();
/// assert_eq!(template.as_str(), "test://template/{id}/data");
/// assert_eq!(template.variables().collect::<Vec<_>>(), ["id"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    prefix: String,
    /// Each variable with the literal after it; only the last of these may be empty.
    parts: Vec<Part>,
}

/// The values of a template's variables, decoded, in the order of the template.
///
/// ```
/// use mcp_rill::mcp::uri::UriTemplate;
/// let vars = UriTemplate::new("log://{day}/{level}").unwrap().matches("log://mon/warn").unwrap();
/// assert_eq!(vars.iter().collect::<Vec<_>>(), [("day", "mon"), ("level", "warn")]);
/// assert_eq!((vars.get("level"), vars.get("month")), (Some("warn"), None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars {
    pairs: Vec<(String, String)>,
}

/// Why a text is no URI template: a sentence that names the construct and its byte offset.
///
/// ```
/// use mcp_rill::mcp::uri::UriTemplate;
/// let error = UriTemplate::new("file:///{+path}").unwrap_err();
/// assert_eq!(error.to_string(), "`{+path}` at byte 8: the operator `+` is not supported, only `{name}`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    variable: String,
    literal: String,
}

impl UriTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// Operators and modifiers (`{+x}`, `{?x}`, `{x*}`, `{x:3}`, `{x,y}`), names that RFC 6570 does not allow, a variable
    /// used twice, two variables with nothing between them (where one ends could only be guessed), a brace without its
    /// partner, and characters that a URI cannot hold; those are written percent-encoded.
    pub fn new(template: &str) -> Result<UriTemplate, TemplateError> {
        let mut parts: Vec<Part> = Vec::new();
        let (prefix, mut rest) = literal(template, 0)?;
        while !rest.is_empty() {
            let start = template.len() - rest.len();
            let (expression, after) = match rest.split_once('}') {
                Some((expression, after)) if !expression.get(1..).unwrap_or_default().contains('{') => {
                    (expression, after)
                }
                _ => return Err(refusal("{", start, "has no closing `}`")),
            };
            let variable = expression.strip_prefix('{').unwrap_or(expression);
            let shown = format!("{{{variable}}}");
            if let Some(problem) = name_problem(variable) {
                return Err(refusal(&shown, start, &problem));
            }
            if parts.iter().any(|part| part.variable == variable) {
                return Err(refusal(&shown, start, "the variable is used twice"));
            }
            if parts.last().is_some_and(|part| part.literal.is_empty()) {
                return Err(refusal(&shown, start, "follows a variable with nothing between them"));
            }
            let (text, next) = literal(after, template.len() - after.len())?;
            parts.push(Part { variable: variable.to_owned(), literal: text.to_owned() });
            rest = next;
        }
        Ok(UriTemplate { text: template.to_owned(), prefix: prefix.to_owned(), parts })
    }

    /// The values that the variables have in this URI, or `None` if it is not one of this template; see [the rules](self).
    ///
    /// A template without variables matches its own text and gives no values.
    ///
    /// ```
    /// use mcp_rill::mcp::uri::UriTemplate;
    /// let template = UriTemplate::new("x:{a}-{b}").unwrap();
    /// assert_eq!(template.matches("x:1-2-3").unwrap().get("b"), Some("2-3"));
    /// assert_eq!(template.matches("x:1"), None);
    /// ```
    pub fn matches(&self, uri: &str) -> Option<Vars> {
        let mut rest = uri.strip_prefix(self.prefix.as_str())?;
        let Some((last, earlier)) = self.parts.split_last() else {
            return rest.is_empty().then(Vars::default);
        };
        rest = rest.strip_suffix(last.literal.as_str())?;
        let mut pairs = Vec::with_capacity(self.parts.len());
        for part in earlier {
            let first = rest.chars().next()?.len_utf8();
            let end = first + rest.get(first..)?.find(part.literal.as_str())?;
            pairs.push((part.variable.clone(), decode(rest.get(..end)?)?));
            rest = rest.get(end + part.literal.len()..)?;
        }
        pairs.push((last.variable.clone(), decode(rest)?));
        Some(Vars { pairs })
    }

    /// The URI for these values. Everything but letters, digits and `-._~` is percent-encoded; a variable without a
    /// value is left out, as RFC 6570 has it, and such a URI may not match again.
    ///
    /// ```
    /// use mcp_rill::mcp::uri::UriTemplate;
    /// let template = UriTemplate::new("x:{a}/{b}").unwrap();
    /// assert_eq!(template.expand(|name| (name == "a").then_some("ü/1")), "x:%C3%BC%2F1/");
    /// ```
    pub fn expand<V: AsRef<str>>(&self, mut value: impl FnMut(&str) -> Option<V>) -> String {
        let mut uri = self.prefix.clone();
        for part in &self.parts {
            if let Some(value) = value(&part.variable) {
                encode(value.as_ref(), &mut uri);
            }
            uri.push_str(&part.literal);
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

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TemplateError {}

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

/// What keeps the text between two braces from being the name of one variable.
fn name_problem(name: &str) -> Option<String> {
    let only = "is not supported, only `{name}`";
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
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The value that a variable has by this piece of a URI, if it may be one.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, after @ ..] = rest {
        match byte {
            b'%' => {
                bytes.push(escape(rest)?);
                rest = after.get(2..)?;
                continue;
            }
            b'/' | b'?' | b'#' | 0..=b' ' | 0x7f => return None,
            byte => bytes.push(*byte),
        }
        rest = after;
    }
    if raw.is_empty() { None } else { String::from_utf8(bytes).ok() }
}

fn encode(value: &str, uri: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
}
