//! Reading the values of one file, and collecting everything that is wrong with them.
//!
//! *Scope:* objects with known keys, strings, numbers, lists, each with a message that names the value and what to write.
//! *Not in scope:* which keys there are, and what they mean.
//!
//! A function that returns `None` has reported why. The manifest is refused then, so what stands in for the value does not
//! matter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use crate::cli::bounds::PROBLEMS_MAX;
use crate::cli::manifest::number::number_text;
use crate::cli::manifest::problem::{Problem, Severity};
use crate::cli::manifest::source::ManifestText;
use crate::json::pointer;
use crate::json::tape::{Fault, Tape};
use crate::json::value::JsonRef;
use crate::limits::Limits;
use crate::text::{nearest, printable, without_hidden};

/// The variables of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A file that is being read, and what is wrong with it so far.
pub(super) struct Reader<'a> {
    pub(super) source: &'a ManifestText,
    pub(super) environment: Environment<'a>,
    pub(super) problems: Vec<Problem>,
}

const PROBLEMS_LAST: usize = PROBLEMS_MAX - 1;

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub(super) json: JsonRef<'a>,
    /// The way to it (RFC 6901).
    pub(super) pointer: String,
}

/// An object of the file whose keys are all known, and stand once.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) value: Value<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a ManifestText, environment: Environment<'a>) -> Reader<'a> {
        Reader { source, environment, problems: Vec::new() }
    }

    /// Reads the text as JSON, in the limits that messages have by default.
    pub(super) fn root(&mut self, tape: &'a mut Tape) -> Option<Value<'a>> {
        let (limits, text) = (Limits::DEFAULT, &self.source.text);
        let fault = match tape.read_within(text, &limits) {
            Ok(json) => return Some(Value { json, pointer: String::new() }),
            Err(fault) => fault,
        };
        let (offset, message) = match fault {
            Fault::Deep => (
                too_deep(text, limits.json_depth_max),
                format!("nested deeper than {} levels", limits.json_depth_max),
            ),
            Fault::Many => (
                0,
                format!(
                    "more than {} values; split the file into several in a folder",
                    limits.json_values_max
                ),
            ),
            Fault::Long | Fault::Syntax => syntax_error(text),
        };
        self.report(offset, "", Severity::Error, message);
        None
    }

    /// Reports an error about a value.
    pub(super) fn problem(&mut self, value: &Value<'_>, message: impl fmt::Display) {
        self.report(value.json.start(), &value.pointer, Severity::Error, message.to_string());
    }

    /// Reports a risk about a value.
    pub(super) fn warning(&mut self, value: &Value<'_>, message: impl fmt::Display) {
        self.report(value.json.start(), &value.pointer, Severity::Warning, message.to_string());
    }

    fn report(&mut self, offset: usize, pointer: &str, severity: Severity, message: String) {
        let message = match self.problems.iter().filter(|problem| problem.severity == severity).count() {
            PROBLEMS_MAX.. => return,
            PROBLEMS_LAST => {
                "there are more like these, which are not shown (problems_max); correct these first"
                    .to_owned()
            }
            _ => message,
        };
        let position = self.source.position(offset, pointer);
        // Parts of the file may be in it, and it is shown on a terminal.
        let message = without_hidden(&message).into_owned();
        self.problems.push(Problem { position, severity, message });
    }

    /// Reports that a value is not of the kind that it should be. `wanted` completes the sentence "… must be".
    pub(super) fn wrong(&mut self, value: &Value<'_>, wanted: impl fmt::Display) {
        self.problem(value, format_args!("{} must be {wanted}, not {}", value.subject(), shown(value.json)));
    }

    /// An object, with these keys at most. Unknown ones and those that stand twice are reported.
    pub(super) fn section(&mut self, value: &Value<'a>, known: &[&str]) -> Option<Section<'a>> {
        let members = self.members(value)?;
        for (name, member, start) in &members {
            if known.contains(&&**name) {
                continue;
            }
            let meant = match nearest(name, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("the key `{}` is unknown; {meant}", printable(name));
            self.report(*start, &member.pointer, Severity::Error, message);
        }
        Some(Section { value: value.clone() })
    }

    /// The members of an object with any keys, each with the offset of its key. A key that stands twice is reported, and
    /// left out.
    pub(super) fn members(&mut self, value: &Value<'a>) -> Option<Vec<(Cow<'a, str>, Value<'a>, usize)>> {
        if !value.json.is_object() {
            self.wrong(value, "an object");
            return None;
        }
        let mut members = Vec::new();
        let mut seen: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for pair in value.json.pairs() {
            let Some(name) = pair.name() else {
                let message = "this key has half of a surrogate pair, which is no text".to_owned();
                self.report(pair.start(), &value.pointer, Severity::Error, message);
                continue;
            };
            let member = value.child(&name, pair.value);
            match seen.get(&name) {
                Some(first) => {
                    let line = self.source.position(*first, "").line;
                    let message = format!(
                        "the key `{}` stands twice in this object, first in line {line}; remove one of them",
                        printable(&name)
                    );
                    self.report(pair.start(), &member.pointer, Severity::Error, message);
                }
                None => {
                    seen.insert(name.clone(), pair.start());
                    members.push((name, member, pair.start()));
                }
            }
        }
        Some(members)
    }

    pub(super) fn items(&mut self, value: &Value<'a>) -> Option<Vec<Value<'a>>> {
        let Some(items) = value.json.items() else {
            self.wrong(value, "an array");
            return None;
        };
        Some(items.enumerate().map(|(at, item)| value.item(at, item)).collect())
    }

    /// Reads each item of an array; those that are wrong are left out.
    pub(super) fn list<T>(
        &mut self,
        value: &Value<'a>,
        mut read: impl FnMut(&mut Self, &Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(value)?;
        Some(items.iter().filter_map(|item| read(self, item)).collect())
    }

    /// A string of any length.
    pub(super) fn text(&mut self, value: &Value<'a>) -> Option<String> {
        if !value.json.is_str() {
            self.wrong(value, "a string");
            return None;
        }
        let text = value.json.as_str();
        if text.is_none() {
            self.problem(
                value,
                format_args!("{} has half of a surrogate pair, which is no text", value.subject()),
            );
        }
        text.map(Cow::into_owned)
    }

    /// A string that is not empty.
    pub(super) fn name(&mut self, value: &Value<'a>) -> Option<String> {
        let text = self.text(value)?;
        if text.is_empty() {
            self.problem(value, format_args!("{} is empty; write a text, or leave it out", value.subject()));
            return None;
        }
        Some(text)
    }

    pub(super) fn bool(&mut self, value: &Value<'a>) -> Option<bool> {
        match value.json.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.wrong(value, "true or false");
                None
            }
        }
    }

    /// A whole number of this range, in any form. `unit` is what it counts, if its key does not say so.
    pub(super) fn whole(&mut self, value: &Value<'a>, range: RangeInclusive<u64>, unit: &str) -> Option<u64> {
        let number = value.json.is_number().then(|| number_text(value.json.text()).parse().ok()).flatten();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(value, format_args!("a whole number{unit} from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// One of these words.
    pub(super) fn word(&mut self, value: &Value<'a>, words: &[&'static str]) -> Option<&'static str> {
        let text = value.json.as_str().unwrap_or_default();
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            let all: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            self.wrong(value, all.join(" or "));
        }
        found.copied()
    }
}

impl<'a> Value<'a> {
    pub(super) fn child(&self, name: &str, json: JsonRef<'a>) -> Value<'a> {
        let mut pointer = self.pointer.clone();
        pointer::push(&mut pointer, name);
        Value { json, pointer }
    }

    fn item(&self, at: usize, json: JsonRef<'a>) -> Value<'a> {
        Value { json, pointer: format!("{}/{at}", self.pointer) }
    }

    /// The value to which a pointer leads from here, and this one if it leads nowhere.
    pub(super) fn descend(&self, way: &str) -> Value<'a> {
        match pointer::find(self.json, way) {
            Some(json) => Value { json, pointer: format!("{}{way}", self.pointer) },
            None => self.clone(),
        }
    }

    /// Names the value in a sentence: by its key, or as an item.
    pub(super) fn subject(&self) -> String {
        let Some((before, last)) = self.pointer.rsplit_once('/') else { return "the manifest".to_owned() };
        match last.bytes().all(|byte| byte.is_ascii_digit()) {
            true => match before.rsplit('/').find(|token| !token.bytes().all(|byte| byte.is_ascii_digit())) {
                Some(list) => format!("an item of `{}`", plain(list)),
                None => "an item".to_owned(),
            },
            false => format!("`{}`", plain(last)),
        }
    }
}

impl<'a> Section<'a> {
    /// The value of a key; also if that is null.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        Some(self.value.child(name, self.value.json.find(name)?))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// What `read` reads of a key's value, if the key is there.
    pub(super) fn read<T>(
        &self,
        reader: &mut Reader<'a>,
        name: &str,
        read: impl FnOnce(&mut Reader<'a>, &Value<'a>) -> Option<T>,
    ) -> Option<T> {
        read(reader, &self.get(name)?)
    }

    /// The same of a key that has to be there. `remedy` says what to write.
    pub(super) fn require<T>(
        &self,
        reader: &mut Reader<'a>,
        name: &str,
        remedy: &str,
        read: impl FnOnce(&mut Reader<'a>, &Value<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(value) => read(reader, &value),
            None => {
                reader.problem(&self.value, format_args!("`{name}` is missing; {remedy}"));
                None
            }
        }
    }
}

/// A token of a pointer as the key that it stands for, for messages.
fn plain(token: &str) -> String {
    printable(&token.replace("~1", "/").replace("~0", "~"))
}

/// A value in a sentence.
pub(super) fn shown(json: JsonRef<'_>) -> String {
    match json.text().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        _ => printable(json.text()),
    }
}

/// The offset of the first bracket that is nested too deeply.
fn too_deep(text: &str, depth_max: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return offset;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    0
}

/// Where the text stops to be JSON, and why.
fn syntax_error(text: &str) -> (usize, String) {
    if text.starts_with('\u{feff}') {
        return (0, "the file begins with a byte order mark; save it as UTF-8 without one".to_owned());
    }
    let read: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
    let Err(error) = read else { return (0, "the file is too long".to_owned()) };
    let line_start =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let offset = (line_start + error.column().saturating_sub(1)).min(text.len());
    let offset = (0..=offset).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let message = error.to_string();
    if error.is_eof() {
        return (text.trim_end().len(), "not JSON: the file ends in the middle of a value".to_owned());
    }
    let message = message.split(" at line ").next().unwrap_or_default();
    let remedy = match text.get(offset..).unwrap_or_default() {
        rest if rest.starts_with('/') || rest.starts_with('#') => "JSON has no comments",
        rest if rest.starts_with('\'') => "JSON has strings in double quotes",
        rest if rest.starts_with(['}', ']']) => "JSON has no comma after the last one",
        _ => "write JSON (RFC 8259)",
    };
    (offset, format!("not JSON: {message}; {remedy}"))
}
