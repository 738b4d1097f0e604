//! `call FILE TOOL --dry-run`: what a call of a manifest's tool would run.

use crate::cli::Failure;
use crate::cli::manifest::entries::{Output as Form, ToolEntry};
use crate::cli::serve_manifest;
use crate::cli::shell::arguments;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::session::tool_failed;
use crate::cli::shell::target::Target;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::json::write_str;
use crate::text::{nearest, printable};

/// Writes one line of JSON: the command line, its environment, folder, input and limits. Nothing is run.
pub(super) fn run(options: &Options, name: &str, output: &mut Output) -> Result<(), Failure> {
    let Target::Manifest(path) = &options.target else {
        return Err(Failure::usage(
            "--dry-run is about the tools of a manifest; write its FILE.json in the place of TARGET",
        ));
    };
    let manifest = serve_manifest::load(path)?;
    let entry = manifest.tools.iter().find(|entry| entry.tool.name == name).ok_or_else(|| {
        let names: Vec<&str> = manifest.tools.iter().map(|entry| entry.tool.name.as_str()).collect();
        let (file, name) = (path.display(), printable(name));
        Failure::usage(match nearest(&name, &names) {
            Some(meant) => format!("{file} has no tool `{name}`; did you mean `{meant}`?"),
            None => format!("{file} has no tool `{name}`; it has {}", names.join(", ")),
        })
    })?;
    let mut tape = Tape::new();
    let schema = tape.read(entry.tool.input_schema.as_deref().unwrap_or_default()).unwrap_or(JsonRef::NULL);
    let arguments = arguments::of_tool(name, schema, &options.words, options.json_args.as_deref())?;
    let mut tape = Tape::new();
    let arguments = tape.read(&arguments).unwrap_or(JsonRef::NULL);
    output.json(&what_would_run(entry, arguments).map_err(|why| tool_failed(name, &why))?)
}

/// # Errors
/// What is wrong with the arguments, as the call would be answered.
fn what_would_run(entry: &ToolEntry, arguments: JsonRef<'_>) -> Result<String, String> {
    let prepared = entry.prepare(arguments)?;
    let command = &entry.command;
    let mut out = Vec::new();
    let mut object = Object::new(&mut out);
    object.field("argv", |out| {
        let mut argv = Array::new(out);
        for element in &prepared.argv {
            argv.str(element);
        }
    });
    object.field("env", |out| {
        let mut env = Object::new(out);
        for (name, value) in &command.env {
            env.str(name, value);
        }
    });
    object.str("cwd", &command.cwd.to_string_lossy());
    object.opt_str("stdin", prepared.stdin.as_deref());
    object.opt_str("confirm", entry.confirm.as_ref().map(|confirm| confirm.message.as_str()));
    object.field("output", |out| match &entry.output {
        Form::Text => write_str(out, "text"),
        Form::Json => write_str(out, "json"),
        Form::Lines => write_str(out, "lines"),
        Form::Media(mime_type) => {
            Object::new(out).str("mimeType", mime_type);
        }
    });
    number(&mut object, "timeoutMs", command.timeout.as_millis());
    number(&mut object, "outputBytesMax", command.output_bytes_max);
    number(&mut object, "concurrency", command.concurrency);
    object.field("exitCodes", |out| {
        let mut codes = Array::new(out);
        for code in &command.exit_codes {
            codes.raw(&code.to_string());
        }
    });
    object.field("rlimits", |out| {
        let mut rlimits = Object::new(out);
        let limits = command.rlimits;
        for (name, value) in [
            ("cpuSeconds", limits.cpu_seconds),
            ("memoryBytes", limits.memory_bytes),
            ("files", limits.files),
            ("processes", limits.processes),
        ] {
            if let Some(value) = value {
                number(&mut rlimits, name, value);
            }
        }
    });
    object.end();
    String::from_utf8(out).map_err(|error| error.to_string())
}

fn number(object: &mut Object<'_>, name: &str, value: impl ToString) {
    object.raw(name, &value.to_string());
}
