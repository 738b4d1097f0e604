//! `read`: reads a resource.

use crate::cli::Failure;
use crate::cli::shell::content;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::session::{Session, params};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let [uri] = options.take_words(["URI"])?;
    options.no_more_words()?;
    let mut session = Session::open(options)?;
    let result =
        session.request("resources/read", &params(|object| object.str("uri", &uri)), &["contents"])?;
    if options.json {
        return output.json(result.get());
    }
    let mut tape = Tape::new();
    let contents =
        tape.read(result.get()).ok().and_then(|result| result.get("contents")).and_then(JsonRef::items);
    contents.unwrap_or_default().try_for_each(|resource| content::write_resource(output, resource))
}
