//! `prompt`: gets a prompt.

use crate::cli::Failure;
use crate::cli::shell::arguments;
use crate::cli::shell::content;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::session::{Session, find, params};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::text::printable;

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let [name] = options.take_words(["NAME"])?;
    let mut session = Session::open(options)?;
    let prompts = session.list("prompts/list")?;
    let mut tape = Tape::new();
    let prompt = tape.read(find("prompt", &name, &prompts)?).unwrap_or(JsonRef::NULL);
    let arguments = arguments::of_prompt(prompt, &options.words)?;
    let params = params(|object| object.str("name", &name).raw("arguments", &arguments));
    let result = session.request("prompts/get", &params, &["messages"])?;
    if options.json {
        return output.json(result.get());
    }
    let mut tape = Tape::new();
    let messages =
        tape.read(result.get()).ok().and_then(|result| result.get("messages")).and_then(JsonRef::items);
    for message in messages.unwrap_or_default() {
        let role = message.get("role").and_then(JsonRef::as_str).unwrap_or_default();
        output.text(&format!("{}: ", printable(&role)))?;
        content::write(output, message.get("content").unwrap_or(JsonRef::NULL))?;
    }
    Ok(())
}
