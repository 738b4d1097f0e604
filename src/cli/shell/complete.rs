//! `complete`: the values of an argument that begin with a prefix.

use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::session::{Session, params};
use crate::cli::{Failure, NAME, say};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let [name, argument] = options.take_words(["NAME", "ARGUMENT=PREFIX"])?;
    options.no_more_words()?;
    let (argument, prefix) =
        argument.split_once('=').filter(|(argument, _)| !argument.is_empty()).ok_or_else(|| {
            Failure::usage(format!("`{argument}`: write ARGUMENT=PREFIX; the prefix may be empty"))
        })?;
    let mut session = Session::open(options)?;
    // The names of prompts have no scheme (RFC 3986 §3.1).
    let is_template = name.contains("://") || name.contains('{');
    let params = params(|object| {
        object.field("ref", |out| {
            match is_template {
                true => Object::new(out).str("type", "ref/resource").str("uri", &name),
                false => Object::new(out).str("type", "ref/prompt").str("name", &name),
            };
        });
        object.field("argument", |out| {
            Object::new(out).str("name", argument).str("value", prefix);
        })
    });
    let result = session.request("completion/complete", &params, &["completion"])?;
    if options.json {
        return output.json(result.get());
    }
    let mut tape = Tape::new();
    let completion = tape.read(result.get()).ok().and_then(|result| result.get("completion"));
    let completion = completion.unwrap_or(JsonRef::NULL);
    for value in
        completion.get("values").and_then(JsonRef::items).unwrap_or_default().filter_map(JsonRef::as_str)
    {
        output.line(&value)?;
    }
    if completion.get("hasMore").is_some_and(|more| more.text() == "true") {
        say(NAME, "there are more; write a longer prefix");
    }
    Ok(())
}
