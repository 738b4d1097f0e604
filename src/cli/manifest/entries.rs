//! What a manifest says, as owned data: every default applied, every path absolute, every group expanded.
//!
//! *Scope:* the types. *Not in scope:* reading them (the files named like the sections), serving them (`provide`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::access::settings::Settings;
use crate::cli::json_schema::Schema;
use crate::cli::log::options::Format;
use crate::cli::manifest::argv::ArgvTemplate;
use crate::cli::manifest::problem::Position;
use crate::cli::manifest::template::TextTemplate;
use crate::cli::process::Rlimits;
use crate::limits::Limits;
use crate::net::listen::Address;
use crate::protocol::annotations::Role;
use crate::protocol::description::{About, Common, Prompt, Tool};
use crate::protocol::uri::UriTemplate;
use crate::protocol::viewers::Visible;

/// The `server` section, with what a flag on the command line may replace.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSection {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) instructions: Option<String>,
    /// The paths of Unix sockets are absolute.
    pub(crate) listen: Vec<Address>,
    pub(crate) health_listen: Option<Address>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) state_key_file: Option<PathBuf>,
    pub(crate) log: Option<Format>,
    pub(crate) metrics: bool,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
}

/// A tool that runs a command.
#[derive(Clone, Debug)]
pub(crate) struct ToolEntry {
    pub(crate) position: Position,
    /// As clients see it. Its schemas are one line of JSON each; where the manifest has none for arguments, an object without members.
    pub(crate) tool: Tool,
    /// What arguments are checked against.
    pub(crate) schema: Schema,
    /// What structured content is checked against.
    pub(crate) output_schema: Option<Schema>,
    pub(crate) command: CommandEntry,
    pub(crate) output: Output,
    pub(crate) confirm: Option<Confirm>,
}

/// A command with everything that bounds it.
#[derive(Clone, Debug)]
pub(crate) struct CommandEntry {
    pub(crate) argv: ArgvTemplate,
    /// What is written to standard input; without it that is `/dev/null`.
    pub(crate) stdin: Option<TextTemplate>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Absolute.
    pub(crate) cwd: PathBuf,
    pub(crate) timeout: Duration,
    /// Of standard output. A resource's `bytesMax`, a tool's `outputBytesMax`.
    pub(crate) output_bytes_max: usize,
    /// How many of it run at once.
    pub(crate) concurrency: usize,
    /// Those that count as success; at least one.
    pub(crate) exit_codes: Vec<u8>,
    pub(crate) rlimits: Rlimits,
}

/// What a tool's standard output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    /// One JSON value, which becomes `structuredContent`.
    Json,
    /// Each line is progress; the last ones are the result.
    Lines,
    /// The bytes of an image, audio or another file of this MIME type.
    Media(String),
}

/// The question to the user before a tool runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) message: String,
    /// True to run the command where the client cannot ask its user; false to refuse.
    pub(crate) otherwise_run: bool,
}

/// A resource, or with a template many.
#[derive(Clone, Debug)]
pub(crate) struct ResourceEntry {
    pub(crate) position: Position,
    pub(crate) uri: ResourceUri,
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) about: About,
    pub(crate) visible: Option<Visible>,
    pub(crate) content: ResourceContent,
    pub(crate) bytes_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum ResourceUri {
    /// That of a directory ends with a slash.
    Fixed(String),
    /// Only with a command, whose arguments are the variables, all of them strings.
    Template(UriTemplate),
}

/// Where a resource's content comes from. Paths are absolute.
#[derive(Clone, Debug)]
pub(crate) enum ResourceContent {
    File(PathBuf),
    Directory(PathBuf),
    Command(Box<CommandEntry>),
}

#[derive(Clone, Debug)]
pub(crate) struct PromptEntry {
    /// As clients see it.
    pub(crate) prompt: Prompt,
    /// Values of its arguments to choose from, by their names.
    pub(crate) completions: Vec<(String, Vec<String>)>,
    /// At least one. `text` of a manifest is one of the user.
    pub(crate) messages: Vec<PromptMessageEntry>,
}

#[derive(Clone, Debug)]
pub(crate) struct PromptMessageEntry {
    pub(crate) role: Role,
    /// An argument that is absent is the empty string.
    pub(crate) text: TextTemplate,
}

/// The names in `groups`, and who is in each of them.
pub(crate) type Groups = BTreeMap<String, Vec<String>>;
