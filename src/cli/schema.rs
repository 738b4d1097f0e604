//! `mcp-rill schema`: the JSON Schema of manifests, for editors.

use std::process::ExitCode;

use super::manifest::Manifest;
use super::verb::Verb;
use super::{Failure, print};

pub(super) const SCHEMA: Verb = Verb {
    name: "schema",
    about: "Print the JSON Schema of manifests, for editors",
    usage: "schema",
    options: "\
Editors that know JSON Schema complete and check manifests by it. Most of them
find it by a member of the manifest:
  { \"$schema\": \"./manifest.schema.json\", \"manifest\": 1 }
What a schema cannot know, such as an argument that is spelled otherwise in
`argv`, `check` finds.",
    examples: [
        ("schema > manifest.schema.json", "Save it beside the manifest."),
        ("schema | less", "Look up what a manifest may have."),
    ],
    run,
};

fn run(mut parser: lexopt::Parser) -> Result<ExitCode, Failure> {
    match parser.next()? {
        None => print(&Manifest::json_schema()).map(|()| ExitCode::SUCCESS),
        Some(other) => Err(other.unexpected().into()),
    }
}
