//! Judges what mcp-rill says by JSON Schema.
//!
//! `schema-check cases CASES` compares the verdicts of its own checker with those of the `jsonschema` crate.
//!
//! `schema-check SCHEMAS < TRANSCRIPT` validates a transcript of JSON-RPC messages by the official schemas of their revisions: the directory holds `<revision>.json`; each line of the transcript is
//! `{"revision": "2025-06-18", "direction": "server", "def": "ListToolsResult", "message": {…}}`. `def` names the
//! definition of the result, of the notification or of the request; without it only the envelope is judged. `parts` may
//! name more of them, each with a JSON pointer to what it judges: `{"/error": "InvalidParamsError"}`.

mod cases;
mod envelope;
mod schemas;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::ExitCode;

use schemas::Schemas;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Default)]
struct Count {
    messages: usize,
    failures: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let agreed = match &arguments[..] {
        [word, path] if word == "cases" => cases::check_all(path),
        [directory] => check_transcript(directory),
        _ => Err("usage: schema-check cases CASES, or schema-check SCHEMAS < TRANSCRIPT".into()),
    };
    match agreed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("schema-check: {error}");
            ExitCode::from(2)
        }
    }
}

/// Prints a line for each failure, then the counts of each revision.
fn check_transcript(directory: &str) -> Result<bool> {
    let mut schemas: BTreeMap<String, Schemas> = BTreeMap::new();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let entry: Value = serde_json::from_str(&line?)?;
        let revision = entry["revision"].as_str().ok_or("a line without a revision")?;
        if !schemas.contains_key(revision) {
            schemas.insert(revision.to_owned(), Schemas::load(directory, revision)?);
        }
        let count = counts.entry(revision.to_owned()).or_default();
        count.messages += 1;
        if let Some(schemas) = schemas.get_mut(revision) {
            let mut complaints = check_message(schemas, &entry["message"], entry["def"].as_str())?;
            complaints.extend(check_parts(schemas, &entry["message"], &entry["parts"])?);
            if !complaints.is_empty() {
                count.failures += 1;
                println!(
                    "FAIL line {}, {revision}: {} in {}",
                    index + 1,
                    complaints.join("; "),
                    entry["message"]
                );
            }
        }
    }
    for (revision, count) in &counts {
        if count.failures == 0 {
            println!("ok {revision}: {} messages are valid", count.messages);
        }
    }
    Ok(!counts.is_empty() && counts.values().all(|count| count.failures == 0))
}

fn check_message(schemas: &mut Schemas, message: &Value, definition: Option<&str>) -> Result<Vec<String>> {
    let mut complaints = envelope::surplus_members(message);
    let kind = envelope::Kind::of(message).ok_or("neither request, notification nor response")?;
    complaints.extend(schemas.validate(kind.definition(schemas), message)?);
    if let Some(definition) = definition {
        // The unions of all results accept nearly anything: only the definition that fits the request tells.
        let judged = if kind == envelope::Kind::Result { &message["result"] } else { message };
        complaints.extend(schemas.validate(definition, judged)?);
    }
    Ok(complaints)
}

fn check_parts(schemas: &mut Schemas, message: &Value, parts: &Value) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (place, definition) in parts.as_object().into_iter().flatten() {
        let part = message.pointer(place).ok_or_else(|| format!("nothing at {place} in {message}"))?;
        let definition = definition.as_str().ok_or("a part without a definition")?;
        complaints.extend(schemas.validate(definition, part)?);
    }
    Ok(complaints)
}
