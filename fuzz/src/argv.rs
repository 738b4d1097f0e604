//! Command lines: the text before the first LF has the elements of an `argv` after its program, the text after it the arguments
//! of a call.
//!
//! A naive reader of templates stands beside ours. It is written from the rules: letter by letter, and with the origin of each
//! element's first character.

use std::borrow::Cow;

use mcp_rill::cli::manifest::Manifest;
use mcp_rill::json::{JsonRef, Members, Tape};

/// What the arguments may be: `x` is required, `d` has the default `5`, `free` may begin with a dash.
const SCHEMA: &str = r#"{"type":"object","required":["x"],"additionalProperties":false,"properties":{"x":{"type":"string"},
    "y":{"type":"string"},"free":{"type":"string"},"n":{"type":"number"},"b":{"type":"boolean"},"d":{"type":"string",
    "default":"5"},"null":{"type":["string","null"]},"o":{"type":"object"},"l":{"type":"array","items":{"type":["string",
    "number","boolean"]}}}}"#;

const NAMES: [&str; 9] = ["x", "y", "free", "n", "b", "d", "null", "o", "l"];

/// Deeper templates are refused for their depth.
const DEPTH_MAX: usize = 40;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, arguments) = text.split_once('\n').unwrap_or((&text, "{}"));
    let list = format!("[{template}]");
    let mut tape = Tape::new();
    let Ok(list) = tape.read(&list) else { return };
    if depth(list) > DEPTH_MAX || !list.is_array() {
        return;
    }
    let is_empty = list.items().is_none_or(|mut items| items.next().is_none());
    let elements = if is_empty { String::new() } else { format!(",{template}") };
    let manifest = format!(
        r#"{{"manifest":1,"tools":[{{"name":"t","dash":["free"],"inputSchema":{SCHEMA},"argv":["/bin/echo"{elements}]}}]}}"#
    );
    let read = Manifest::from_text("fuzz.json", &manifest, &|_| None);
    let lawful = list.items().is_some_and(|mut items| items.all(|item| is_lawful(item, &[])));
    let manifest = match (read, lawful) {
        (Ok((manifest, _)), true) => manifest,
        (Err(_), false) => return,
        (Ok(_), false) => panic!("{template:?} is taken"),
        (Err(problems), true) => panic!("{template:?} is refused: {problems:?}"),
    };
    let ours = manifest.argv("t", arguments);
    let mut tape = Tape::new();
    let naive = tape.read(arguments).ok().and_then(naive_arguments).and_then(|arguments| {
        let mut line = Line { arguments, elements: vec!["/bin/echo".to_owned()], ended: false };
        line.parts(list)?;
        Some(line.elements)
    });
    match (&ours, naive) {
        (Ok(ours), Some(naive)) => assert_eq!(*ours, naive, "{template:?} with {arguments:?}"),
        (Err(problem), None) => assert!(!problem.is_empty() && !problem.contains('\n'), "{problem:?}"),
        (ours, naive) => panic!("{template:?} with {arguments:?}: {ours:?}, and naively {naive:?}"),
    }
}

fn depth(value: JsonRef<'_>) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0, 0_usize, false, false);
    for byte in value.text().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => now += 1,
            b']' | b'}' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

#[derive(Debug)]
enum Letter {
    Is(char),
    Argument(String),
    Json(String),
    All,
}

/// A template, letter by letter; `None` if it is none.
fn letters(text: &str) -> Option<Vec<Letter>> {
    let text: Vec<char> = text.chars().collect();
    let mut letters = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('{', Some('{')) | ('}', Some('}')) => {
                letters.push(Letter::Is(text[at]));
                at += 2;
            }
            ('}', _) => return None,
            ('{', _) => {
                let end = (at + 1..text.len()).find(|end| text[*end] == '}')?;
                let inside: String = text[at + 1..end].iter().collect();
                let (name, json) = match inside.strip_suffix(":json") {
                    Some(name) => (name, true),
                    None if inside.contains(':') => return None,
                    None => (&*inside, false),
                };
                if name.trim() != name || name.is_empty() || name.contains('"') || name.contains('{') {
                    return None;
                }
                letters.push(match (name, json) {
                    ("*", true) => Letter::All,
                    ("*", false) => return None,
                    (name, true) => Letter::Json(name.to_owned()),
                    (name, false) => Letter::Argument(name.to_owned()),
                });
                at = end + 1;
            }
            (other, _) => {
                letters.push(Letter::Is(other));
                at += 1;
            }
        }
    }
    Some(letters)
}

fn names(letters: &[Letter]) -> impl Iterator<Item = &str> {
    letters.iter().filter_map(|letter| match letter {
        Letter::Argument(name) | Letter::Json(name) => Some(&**name),
        Letter::Is(_) | Letter::All => None,
    })
}

/// Whether a part of a template may stand where these arguments are there for certain.
fn is_lawful(part: JsonRef<'_>, present: &[&str]) -> bool {
    if part.is_str() {
        let Some(letters) = part.as_str().and_then(|text| letters(&text)) else { return false };
        return letters.iter().all(|letter| match letter {
            Letter::Is(letter) => *letter != '\0',
            Letter::All => true,
            Letter::Json(name) => is_there(name, present),
            Letter::Argument(name) => {
                let has_form = name != "o" && (name != "l" || letters.len() == 1);
                has_form && is_there(name, present)
            }
        });
    }
    if let Some(items) = part.items() {
        let own: Option<Vec<Vec<Letter>>> =
            items.clone().filter(|item| item.is_str()).map(|item| letters(&item.as_str()?)).collect();
        let Some(own) = own else { return false };
        let own: Vec<&str> = own.iter().flat_map(|letters| names(letters)).collect();
        return !own.is_empty() && items.clone().all(|item| is_lawful(item, &[present, &own].concat()));
    }
    let Ok(members) = Members::of(part) else { return false };
    let known = members.iter().all(|(name, _)| name == "when" || name == "argv");
    let Some((when, parts)) = members.get("when").zip(members.get("argv")) else { return false };
    let (Some(when), Some(mut items)) = (when.as_str(), parts.items()) else { return false };
    known && NAMES.contains(&&*when) && items.all(|item| is_lawful(item, &[present, &[&*when]].concat()))
}

fn is_there(name: &str, present: &[&str]) -> bool {
    NAMES.contains(&name) && (["x", "d"].contains(&name) || present.contains(&name))
}

/// The arguments, if the schema allows them.
fn naive_arguments(root: JsonRef<'_>) -> Option<Vec<(Cow<'_, str>, JsonRef<'_>)>> {
    let members = Members::of(root).ok()?;
    let is_bool = |value: JsonRef<'_>| ["true", "false"].contains(&value.text());
    let lawful = members.iter().all(|(name, value)| match &*name {
        "x" | "y" | "free" | "d" => value.is_str(),
        "null" => value.is_str() || value.is_null(),
        "n" => value.is_number(),
        "b" => is_bool(value),
        "o" => value.is_object(),
        "l" => value
            .items()
            .is_some_and(|mut items| items.all(|item| item.is_str() || item.is_number() || is_bool(item))),
        _ => false,
    });
    // Which also refuses halves of surrogate pairs and numbers that no float holds.
    let is_read = serde_json::from_str::<serde_json::Value>(root.text()).is_ok();
    (lawful && is_read && members.get("x").is_some() && is_unique(root)).then(|| members.iter().collect())
}

fn is_unique(value: JsonRef<'_>) -> bool {
    if let Some(mut items) = value.items() {
        return items.all(is_unique);
    }
    !value.is_object()
        || Members::of(value).is_ok_and(|members| members.iter().all(|(_, value)| is_unique(value)))
}

struct Line<'a> {
    arguments: Vec<(Cow<'a, str>, JsonRef<'a>)>,
    elements: Vec<String>,
    ended: bool,
}

impl<'a> Line<'a> {
    /// The JSON text of an argument that is there and not null.
    fn get(&self, name: &str) -> Option<JsonRef<'a>> {
        let found = self.arguments.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        found.filter(|value| !value.is_null())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some() || name == "d"
    }

    /// `None` if the call is refused.
    fn parts(&mut self, list: JsonRef<'_>) -> Option<()> {
        for part in list.items()? {
            if let Some(text) = part.as_str() {
                self.element(&text)?;
            } else if part.is_array() {
                let own: Vec<Letter> =
                    part.items()?.filter_map(|item| letters(&item.as_str()?)).flatten().collect();
                if names(&own).all(|name| self.has(name)) {
                    self.parts(part)?;
                }
            } else {
                let when = part.get("when")?.as_str()?;
                let is_false = self.get(&when).is_some_and(|value| value.text() == "false");
                if self.has(&when) && !is_false {
                    self.parts(part.get("argv")?)?;
                }
            }
        }
        Some(())
    }

    fn element(&mut self, template: &str) -> Option<()> {
        let letters = letters(template)?;
        if let [Letter::Argument(name)] = &letters[..]
            && let Some(items) = self.get(name).and_then(JsonRef::items)
        {
            for item in items {
                self.push(vec![(plain(item)?, item.is_str().then_some(&**name))])?;
            }
            return Some(());
        }
        let mut pieces = Vec::new();
        for letter in &letters {
            pieces.push(match letter {
                Letter::Is(letter) => (letter.to_string(), None),
                Letter::All => (self.all(), None),
                Letter::Json(name) => (self.get(name).map_or("\"5\"".to_owned(), one_line), None),
                Letter::Argument(name) => match self.get(name) {
                    Some(value) => (plain(value)?, value.is_str().then_some(&**name)),
                    None => ("5".to_owned(), Some(&**name)),
                },
            });
        }
        self.push(pieces)?;
        self.ended |= template == "--";
        Some(())
    }

    /// The pieces of an element, each with the argument whose string it is.
    fn push(&mut self, pieces: Vec<(String, Option<&str>)>) -> Option<()> {
        let element: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let first = pieces.iter().find(|(text, _)| !text.is_empty());
        let chosen = first.and_then(|(_, name)| *name).is_some_and(|name| name != "free");
        if element.contains('\0')
            || element.len() > 131_071
            || element.starts_with('-') && chosen && !self.ended
        {
            return None;
        }
        self.elements.push(element);
        Some(())
    }

    fn all(&self) -> String {
        let mut members: Vec<String> = Vec::new();
        for (name, value) in &self.arguments {
            members.push(format!("\"{name}\":{}", one_line(*value)));
        }
        if self.arguments.iter().all(|(name, _)| name != "d") {
            members.push("\"d\":\"5\"".to_owned());
        }
        format!("{{{}}}", members.join(","))
    }
}

/// The text of a string, a number, true or false.
fn plain(value: JsonRef<'_>) -> Option<String> {
    match value.is_number() {
        true => Some(number(value.text())),
        false => Some(value.as_str().map_or(value.text().to_owned(), Cow::into_owned)),
    }
}

/// Whole numbers below 10^18 in digits, others as they are.
fn number(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut digits: Vec<char> = mantissa.chars().filter(char::is_ascii_digit).collect();
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if digits.iter().all(|digit| *digit == '0') {
        return "0".to_owned();
    }
    let Ok(exponent) = exponent.parse::<i64>() else { return text.to_owned() };
    let mut places = exponent.saturating_sub(fraction as i64);
    while digits.first() == Some(&'0') {
        digits.remove(0);
    }
    while digits.last() == Some(&'0') {
        digits.pop();
        places = places.saturating_add(1);
    }
    if !(0..=18).contains(&places) || digits.len() + places as usize > 18 {
        return text.to_owned();
    }
    digits.extend(std::iter::repeat_n('0', places as usize));
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    format!("{sign}{}", digits.into_iter().collect::<String>())
}

/// JSON without anything that ends a line.
fn one_line(value: JsonRef<'_>) -> String {
    let escape = |letter: char| match letter {
        '\n' | '\r' => " ".to_owned(),
        '\u{85}' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", letter as u32),
        other => other.to_string(),
    };
    value.text().chars().map(escape).collect()
}
