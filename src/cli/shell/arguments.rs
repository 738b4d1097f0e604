//! The arguments of a tool or a prompt, from the words of a command line.
//!
//! *Scope:* `K=V`, `K:=JSON`, `K=@FILE`, `-`, `--json-args`, and names that do not exist or are missing. *Not in scope:*
//! whether the values are valid: the server knows.

use std::collections::BTreeSet;
use std::io::Read;

use crate::cli::Failure;
use crate::cli::bounds::ARGUMENT_BYTES_MAX;
use crate::cli::shell::kinds::{Kinds, plain, required_names, type_of};
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::text::{nearest, printable};

/// The arguments so far, in the order in which they were given.
#[derive(Default)]
struct Given {
    list: Vec<(String, String)>,
    names: BTreeSet<String>,
}

impl Given {
    fn add(&mut self, name: &str, json: String) -> Result<(), Failure> {
        if !self.names.insert(name.to_owned()) {
            return Err(Failure::usage(format!(
                "the argument `{}` is given twice; give it once",
                printable(name)
            )));
        }
        self.list.push((name.to_owned(), json));
        Ok(())
    }

    /// The members of a JSON object.
    fn add_all(&mut self, what: &str, text: &str) -> Result<(), Failure> {
        let bad = |why: String| Failure::usage(format!("{what}: {why}"));
        let mut tape = Tape::new();
        let object = tape.read(text).map_err(|error| bad(format!("it is not JSON: {error}")))?;
        let members = Members::of(object)
            .map_err(|_| bad("it is not a JSON object with names that do not repeat".to_owned()))?;
        members.iter().try_for_each(|(name, value)| self.add(&name, value.text().to_owned()))
    }

    /// One word. `typed` makes JSON of the value for a name.
    fn add_word(
        &mut self,
        word: &str,
        typed: impl Fn(&str, &str) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        if word == "-" {
            let text = read_all(std::io::stdin().lock())
                .map_err(|why| Failure::usage(format!("standard input: {why}")))?;
            return self.add_all("standard input", &text);
        }
        let (name, value) =
            word.split_once('=').filter(|(name, _)| !name.trim_end_matches(':').is_empty()).ok_or_else(
                || Failure::usage(format!("the argument `{}` has no value; write K=V", printable(word))),
            )?;
        if let Some(name) = name.strip_suffix(':') {
            return match Tape::new().read(value) {
                Ok(_) => self.add(name, value.to_owned()),
                Err(error) => Err(Failure::usage(format!(
                    "{}: `{}` is not JSON: {error}",
                    printable(name),
                    printable(value)
                ))),
            };
        }
        let json = match value.strip_prefix('@') {
            Some(path) => typed(name, &file(name, path)?)?,
            None => typed(name, value)?,
        };
        self.add(name, json)
    }

    fn into_json(self) -> String {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        for (name, json) in &self.list {
            object.raw(name, json);
        }
        object.end();
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The arguments of a tool, as the text of a JSON object.
pub(super) fn of_tool(
    tool: &str,
    schema: JsonRef<'_>,
    words: &[String],
    json_args: Option<&str>,
) -> Result<String, Failure> {
    let properties: Vec<(String, JsonRef<'_>)> = schema
        .get("properties")
        .into_iter()
        .flat_map(JsonRef::pairs)
        .filter_map(|pair| Some((pair.name()?.into_owned(), pair.value)))
        .collect();
    let mut given = Given::default();
    if let Some(text) = json_args {
        given.add_all("--json-args", text)?;
    }
    for word in words {
        given.add_word(word, |name, text| match properties.iter().find(|(known, _)| known == name) {
            Some((_, property)) => typed(name, *property, schema, text),
            None => Err(unknown(tool, name, &properties)),
        })?;
    }
    let missing: Vec<String> = required_names(schema)
        .filter(|name| !given.names.contains(&**name))
        .map(|name| match properties.iter().find(|(known, _)| *known == *name) {
            Some((_, property)) => format!("{}=… ({})", printable(&name), type_of(*property, schema)),
            None => format!("{}=…", printable(&name)),
        })
        .collect();
    match missing.is_empty() {
        true => Ok(given.into_json()),
        false => Err(Failure::usage(format!("the tool `{tool}` needs {}", missing.join(", ")))),
    }
}

/// The arguments of a prompt, which are all strings (MCP prompts).
pub(super) fn of_prompt(prompt: JsonRef<'_>, words: &[String]) -> Result<String, Failure> {
    let known: Vec<(String, bool)> = prompt
        .get("arguments")
        .and_then(JsonRef::items)
        .unwrap_or_default()
        .filter_map(|argument| {
            let required = argument.get("required").is_some_and(|required| required.text() == "true");
            Some((argument.get("name")?.as_str()?.into_owned(), required))
        })
        .collect();
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let mut given = Given::default();
    for word in words {
        given.add_word(word, |name, text| match names.contains(&name) {
            true => Kinds::STRING.typed(text).map_err(Failure::usage),
            false => Err(Failure::usage(no_argument("prompt", name, &names))),
        })?;
    }
    let missing = known.iter().filter(|(name, required)| *required && !given.names.contains(name));
    let missing: Vec<String> = missing.map(|(name, _)| format!("{}=…", printable(name))).collect();
    match missing.is_empty() {
        true => Ok(given.into_json()),
        false => Err(Failure::usage(format!("the prompt needs {}", missing.join(", ")))),
    }
}

fn typed(name: &str, schema: JsonRef<'_>, whole: JsonRef<'_>, text: &str) -> Result<String, Failure> {
    let json = Kinds::of(schema, whole).typed(text).and_then(|json| check_choice(schema, json));
    json.map_err(|why| Failure::usage(format!("the argument {}: {why}", printable(name))))
}

/// Checks that a value is one of an `enum`.
pub(super) fn check_choice(schema: JsonRef<'_>, json: String) -> Result<String, String> {
    let Some(choices) = schema.get("enum").and_then(JsonRef::items) else { return Ok(json) };
    let mut tape = Tape::new();
    let value = tape.read(&json).unwrap_or(JsonRef::NULL);
    let is_same = |choice: &JsonRef<'_>| match (choice.as_str(), value.as_str()) {
        (Some(choice), Some(value)) => choice == value,
        _ => choice.text() == value.text(),
    };
    if choices.clone().any(|choice| is_same(&choice)) {
        return Ok(json);
    }
    let choices: Vec<String> = choices.map(plain).collect();
    Err(format!("`{}` is not one of {}", plain(value), choices.join(", ")))
}

fn unknown(tool: &str, name: &str, properties: &[(String, JsonRef<'_>)]) -> Failure {
    let names: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
    let why = no_argument(&format!("tool `{tool}`"), name, &names);
    let end = if why.ends_with('?') { "" } else { "." };
    Failure::usage(format!("{why}{end} To send it anyway, write {}:=JSON", printable(name)))
}

fn no_argument(whose: &str, name: &str, names: &[&str]) -> String {
    let name = printable(name);
    match nearest(&name, names) {
        Some(meant) => format!("the {whose} has no argument `{name}`; did you mean `{}`?", printable(meant)),
        None if names.is_empty() => format!("the {whose} has no argument `{name}`, and no others"),
        None => {
            let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
            format!("the {whose} has no argument `{name}`; it has {}", names.join(", "))
        }
    }
}

fn file(name: &str, path: &str) -> Result<String, Failure> {
    let bad = |why: String| Failure::usage(format!("the argument {}: {path}: {why}", printable(name)));
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    read_all(file).map_err(bad)
}

fn read_all(from: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    from.take(ARGUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    // Before it is read as text, which may be cut within a character.
    match bytes.len() > ARGUMENT_BYTES_MAX {
        true => Err(format!("it is longer than {ARGUMENT_BYTES_MAX} bytes (argument_bytes_max)")),
        false => String::from_utf8(bytes).map_err(|_| "it is not text (UTF-8)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","required":["host"],"properties":{
        "host":{"type":"string"},"count":{"type":"integer"},"iface":{"enum":["wan","lan"]},"tags":{"type":"array"}}}"#;

    fn of(words: &[&str], json_args: Option<&str>) -> Result<String, String> {
        let mut tape = Tape::new();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        of_tool("ping", tape.read(SCHEMA).unwrap(), &words, json_args).map_err(|failure| {
            assert_eq!(failure.code, 2);
            failure.text
        })
    }

    #[test]
    fn a_file_has_a_most_of_bytes() {
        let read = |bytes: usize| read_all(std::io::repeat(b'x').take(bytes as u64));
        assert_eq!(read(ARGUMENT_BYTES_MAX).map(|text| text.len()), Ok(ARGUMENT_BYTES_MAX));
        assert_eq!(
            read(ARGUMENT_BYTES_MAX + 1).unwrap_err(),
            "it is longer than 67108864 bytes (argument_bytes_max)"
        );
    }

    #[test]
    fn words_become_an_object() {
        assert_eq!(of(&["host=007", "count=3"], None).unwrap(), r#"{"host":"007","count":3}"#);
        assert_eq!(of(&["host=a=b", "iface=wan"], None).unwrap(), r#"{"host":"a=b","iface":"wan"}"#);
        assert_eq!(of(&["host:=null", "x:=[1, 2]"], None).unwrap(), r#"{"host":null,"x":[1, 2]}"#);
        assert_eq!(of(&["count=1"], Some(r#"{"host":"h"}"#)).unwrap(), r#"{"host":"h","count":1}"#);
        assert_eq!(of(&["host="], None).unwrap(), r#"{"host":""}"#);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (words, json_args, why) in [
            (&["count=1"][..], None, "the tool `ping` needs host=… (string)"),
            (&["host=a", "count=x"], None, "the argument count: `x` is not a whole number"),
            (&["host=a", "iface=wna"], None, "`wna` is not one of wan, lan"),
            (
                &["host=a", "hosts=b"],
                None,
                "no argument `hosts`; did you mean `host`? To send it anyway, write hosts:=JSON",
            ),
            (&["host=a", "zzzzzzz=b"], None, "it has host, count, iface, tags"),
            (&["host=a", "host=b"], None, "`host` is given twice"),
            (&["host"], None, "`host` has no value; write K=V"),
            (&["=b"], None, "`=b` has no value"),
            (&[":=1"], None, "`:=1` has no value"),
            (&["host:=a"], None, "host: `a` is not JSON"),
            (&["host=@/no/such/file"], None, "the argument host: /no/such/file: No such file"),
            (&["host=a"], Some(r#"{"host":"b"}"#), "`host` is given twice"),
            (&[], Some("[]"), "--json-args: it is not a JSON object"),
            (&[], Some("{"), "--json-args: it is not JSON"),
        ] {
            let found = of(words, json_args).unwrap_err();
            assert!(found.contains(why), "{words:?}: {found}");
        }
    }
}
