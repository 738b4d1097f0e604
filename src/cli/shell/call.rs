//! `call`: calls a tool.

use crate::cli::Failure;
use crate::cli::shell::arguments;
use crate::cli::shell::content;
use crate::cli::shell::dry_run;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::session::{Session, find, params, tool_failed};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let [name] = options.take_words(["TOOL"])?;
    if options.dry_run {
        return dry_run::run(options, &name, output);
    }
    let mut session = Session::open(options)?;
    let tools = session.list("tools/list")?;
    let mut tape = Tape::new();
    let tool = tape.read(find("tool", &name, &tools)?).unwrap_or(JsonRef::NULL);
    let schema = tool.get("inputSchema").unwrap_or(JsonRef::NULL);
    let arguments = arguments::of_tool(&name, schema, &options.words, options.json_args.as_deref())?;
    let params = params(|object| {
        object.str("name", &name).raw("arguments", &arguments).field("_meta", |out| {
            Object::new(out).int("progressToken", 1);
        })
    });
    let result = session.request("tools/call", &params, &["content", "structuredContent"])?;
    let mut tape = Tape::new();
    let result = tape.read(result.get()).unwrap_or(JsonRef::NULL);
    let failed = result.get("isError").is_some_and(|failed| failed.text() == "true");
    if options.json {
        output.json(result.text())?;
    } else if !failed {
        write(output, result)?;
    }
    match failed {
        true => {
            output.flush()?;
            Err(tool_failed(&name, &content::text_of(result)))
        }
        false => Ok(()),
    }
}

fn write(output: &mut Output, result: JsonRef<'_>) -> Result<(), Failure> {
    let contents: Vec<JsonRef<'_>> =
        result.get("content").and_then(JsonRef::items).unwrap_or_default().collect();
    match (contents.is_empty(), result.get("structuredContent")) {
        (true, Some(structured)) => output.json(structured.text()),
        _ => contents.into_iter().try_for_each(|content| content::write(output, content)),
    }
}
