//! The JSON Schema of manifests: it allows what is a manifest, and nothing but what it cannot know is none.
//!
//! With `SCHEMA_CASES` set to the path of a file the tests write each case there as a line of JSON, for
//! `tests/interop/run schema-cases`, where another implementation judges them by the schema.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use mcp_rill::cli::manifest::Manifest;
use mcp_rill::schema::conforms;
use serde_json::{Value, json};

use super::manifest::{Mistake, errors, mistakes};
use super::output;

/// The mistakes that no schema can find: what refers to a name elsewhere in the manifest, to the environment or to the file
/// system, and what JSON Schema has no keyword for.
const BEYOND: [&str; 38] = [
    "a key twice",
    "server: listen on a Unix socket with a path that is too long",
    "server: a variable that is not set",
    "server: limits that contradict each other",
    "server: a limit that is out of its range",
    "tool: a name twice",
    "argv: an argument of a tool without arguments",
    "argv: an argument that is spelled otherwise",
    "argv: an argument like no other",
    "argv: a variable of the environment",
    "argv: an optional argument",
    "argv: an argument that may be null",
    "argv: an object as text",
    "argv: an argument without a type",
    "argv: an array inside a text",
    "argv: an array of anything",
    "argv: an array of arrays",
    "argv: a group with an argument that is spelled otherwise",
    "argv: when names no argument",
    "argv: another optional argument inside when",
    "dash: no argument of this name",
    "stdin: an array",
    "stdin: an optional argument",
    "inputSchema: a pattern that takes more than linear time",
    "inputSchema: a default that it refuses itself",
    "inputSchema: required names what properties does not have",
    "resource: a uri twice, spelled otherwise",
    "resource: a variable that the template does not have",
    "resource: a folder as a file",
    "resource: a file as a folder",
    "resource: an argument in the command of a plain uri",
    "resource: a variable in the path that is not set",
    "prompt: a name twice",
    "prompt: an argument that there is not",
    "prompt: an argument twice",
    "mcpServers: eager without a process of all clients",
    "mcpServers: eager and ended when it is idle",
    "mcpServers: a variable that is not set",
];

/// Writes a manifest down for the other judge. What is no JSON is no matter of schemas.
fn write_down(name: &str, text: &str, valid: bool) {
    let Some(path) = std::env::var_os("SCHEMA_CASES") else { return };
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let schema: Value = serde_json::from_str(&Manifest::json_schema()).unwrap();
    let line = format!("{}\n", json!({ "name": name, "schema": schema, "value": value, "valid": valid }));
    // In one write, since tests that run at the same time append to it too.
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

#[test]
fn what_is_a_manifest_is_one_to_the_schema() {
    let schema = Manifest::json_schema();
    let cases = mistakes(include_str!("accepted.txt"));
    assert!(cases.len() >= 14, "{} cases were read", cases.len());
    for case in cases.into_iter().filter(Mistake::is_judged) {
        assert_eq!(errors(&case.text), [], "{}", case.title);
        assert_eq!(conforms(&schema, &case.text), Ok(()), "{}", case.title);
        write_down(case.title, &case.text, true);
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/manifests");
    let files = fs::read_dir(&examples).unwrap().map(|file| file.unwrap().path());
    let texts: Vec<(String, String)> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .map(|file| {
            (file.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&file).unwrap())
        })
        .collect();
    assert!(!texts.is_empty());
    for (name, text) in texts {
        assert_eq!(conforms(&schema, &text), Ok(()), "{name}");
        write_down(&name, &text, true);
    }
}

#[test]
fn what_is_no_manifest_is_written_down_for_the_other_judge() {
    let mut beyond: BTreeSet<&str> = BEYOND.into();
    for case in mistakes(include_str!("mistakes.txt")) {
        write_down(case.title, &case.text, beyond.remove(case.title));
    }
    assert!(beyond.is_empty(), "BEYOND names cases that mistakes.txt does not have: {beyond:?}");
}

/// The names after these words of an error, up to its end.
fn listed(text: &str, key: &str, words: &str) -> BTreeSet<String> {
    let problems = errors(text);
    let said = problems.iter().map(|problem| &*problem.message).find(|message| message.contains(key));
    let names = said.and_then(|message| message.split(words).nth(1));
    let names = names.unwrap_or_else(|| panic!("{text}: {problems:?}"));
    names.split(", ").flat_map(|part| part.split(" and ")).map(str::to_owned).collect()
}

/// What a manifest may have and what the schema knows are the same keys.
#[test]
fn the_schema_has_the_keys_that_a_manifest_may_have() {
    let schema: Value = serde_json::from_str(&Manifest::json_schema()).unwrap();
    let tool = |members: &str| {
        format!(r#"{{ "manifest": 1, "tools": [ {{ "name": "t", "argv": ["/bin/true"], {members} }} ] }}"#)
    };
    let item = |list: &str, members: &str| format!(r#"{{ "manifest": 1, "{list}": [ {{ {members} }} ] }}"#);
    let unknown = r#""zzzzzzzz": 1"#;
    for (text, place) in [
        (format!(r#"{{ "manifest": 1, {unknown} }}"#), ""),
        (format!(r#"{{ "manifest": 1, "server": {{ {unknown} }} }}"#), "/definitions/server"),
        (format!(r#"{{ "manifest": 1, "defaults": {{ {unknown} }} }}"#), "/definitions/defaults"),
        (tool(unknown), "/definitions/tool"),
        (tool(&format!(r#""annotations": {{ {unknown} }}"#)), "/definitions/tool/properties/annotations"),
        (tool(&format!(r#""output": {{ {unknown} }}"#)), "/definitions/tool/properties/output/anyOf/1"),
        (tool(&format!(r#""confirm": {{ {unknown} }}"#)), "/definitions/tool/properties/confirm/anyOf/1"),
        (tool(&format!(r#""rlimits": {{ {unknown} }}"#)), "/definitions/rlimits"),
        (
            item("tools", &format!(r#""name": "t", "argv": ["/bin/true", {{ {unknown} }}]"#)),
            "/definitions/element/anyOf/2",
        ),
        (item("resources", unknown), "/definitions/resource"),
        (
            item("resources", &format!(r#""annotations": {{ {unknown} }}"#)),
            "/definitions/resource/properties/annotations",
        ),
        (item("prompts", unknown), "/definitions/prompt"),
        (
            item("prompts", &format!(r#""arguments": [ {{ {unknown} }} ]"#)),
            "/definitions/prompt/properties/arguments/items",
        ),
        (
            item("prompts", &format!(r#""messages": [ {{ {unknown} }} ]"#)),
            "/definitions/prompt/properties/messages/items",
        ),
        (
            format!(r#"{{ "manifest": 1, "mcpServers": {{ "a": {{ {unknown} }} }} }}"#),
            "/properties/mcpServers/additionalProperties",
        ),
        (
            format!(r#"{{ "manifest": 1, "mcpServers": {{ "a": {{ "tools": {{ {unknown} }} }} }} }}"#),
            "/properties/mcpServers/additionalProperties/properties/tools",
        ),
    ]
    .into_iter()
    .filter(|(text, _)| cfg!(feature = "bridge") || !text.contains("mcpServers"))
    {
        let known = schema.pointer(&format!("{place}/properties")).unwrap().as_object().unwrap();
        let known: BTreeSet<String> = known.keys().cloned().collect();
        assert_eq!(known, listed(&text, "zzzzzzzz", "known here: "), "{place}");
    }
    let keywords = schema.pointer("/definitions/schema/properties").unwrap().as_object().unwrap();
    let text = tool(&format!(r#""inputSchema": {{ "type": "object", {unknown} }}"#));
    assert_eq!(keywords.keys().cloned().collect::<BTreeSet<_>>(), listed(&text, "zzzzzzzz", "may have "));
}

#[test]
fn the_verb_prints_the_schema() {
    let printed = output(&["schema"]);
    assert_eq!(printed.status.code(), Some(0));
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), Manifest::json_schema());
    assert!(printed.stderr.is_empty());
}
