//! Manifests: any text is read, and everything that is wrong with it stands somewhere in it.

use mcp_rill::cli::manifest::Manifest;
use mcp_rill::cli::manifest::problem::{Problem, Severity};
use serde_json::Value;

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/fuzz".to_owned()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("${HOME}{x}\n\"".to_owned()),
        _ => None,
    }
}

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = || Manifest::from_text("fuzz.json", &text, &environment);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let (manifest, problems) = match read() {
        Ok((manifest, warnings)) => (Some(manifest), warnings),
        Err(problems) => (None, problems),
    };
    let has_errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(has_errors, manifest.is_none(), "{problems:?}");
    let (Ok((_, again)) | Err(again)) = read();
    assert_eq!(problems, again, "read twice");
    let places: Vec<(usize, usize)> =
        problems.iter().map(|problem| (problem.position.line, problem.position.column)).collect();
    assert!(places.is_sorted(), "{places:?}");
    for problem in &problems {
        check_position(problem, &text, json.as_ref());
    }
    match (&manifest, &json) {
        // A text with half of a surrogate pair somewhere, or with a number that no float holds, may be lawful JSON.
        (Some(_), None) => panic!("{text:?} is no JSON that serde_json reads, and is taken"),
        (Some(manifest), Some(json)) => check_content(manifest, json),
        (None, _) => {}
    }
}

fn check_position(problem: &Problem, text: &str, json: Option<&Value>) {
    let position = &problem.position;
    assert_eq!(position.file.to_str(), Some("fuzz.json"));
    let lines: Vec<&str> = text.split('\n').collect();
    let line = lines.get(position.line.wrapping_sub(1)).expect("a line of the file");
    assert!((1..=line.chars().count() + 1).contains(&position.column), "{problem}");
    assert!(!problem.message.is_empty() && !problem.to_string().contains(char::is_control), "{problem:?}");
    // Of two members with one name, serde_json keeps the last.
    if let Some(json) = json
        && !text.contains("\\u")
        && json.pointer(&position.pointer).is_none()
    {
        assert!(is_repeated(text), "{problem}: the pointer leads nowhere");
    }
}

/// True if a member occurs twice in an object of the text.
fn is_repeated(text: &str) -> bool {
    let mut tape = mcp_rill::json::Tape::new();
    let Ok(root) = tape.read(text) else { return false };
    let mut pending = vec![root];
    while let Some(value) = pending.pop() {
        pending.extend(value.items().into_iter().flatten());
        if value.is_object() {
            let Ok(members) = mcp_rill::json::Members::of(value) else { return true };
            pending.extend(members.iter().map(|(_, value)| value));
        }
    }
    false
}

/// Each tool of the text is there, and is refused or has its program first, whatever it is called with.
fn check_content(manifest: &Manifest, json: &Value) {
    assert_eq!(json["manifest"].as_f64(), Some(1.0));
    let known = [
        "$schema",
        "manifest",
        "server",
        "defaults",
        "groups",
        "tools",
        "resources",
        "prompts",
        "mcpServers",
    ];
    assert!(json.as_object().is_some_and(|members| members.keys().all(|key| known.contains(&&**key))));
    for tool in json["tools"].as_array().into_iter().flatten() {
        let name = tool["name"].as_str().expect("the name of a tool");
        for arguments in ["{}", r#"{"x":"-x"}"#, r#"{"x":1,"host":"a b","quiet":true}"#] {
            if let Ok(argv) = manifest.argv(name, arguments) {
                let program = argv.first().expect("a program");
                assert!(program.starts_with('/'), "{argv:?}");
                assert!(argv.iter().all(|element| !element.contains('\0')), "{argv:?}");
            }
        }
    }
    assert!(manifest.argv("no such tool", "{}").is_err());
}
