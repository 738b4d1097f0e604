//! Manifests: commands, files and prompts as a server, from JSON files.
//!
//! *Scope:* from text to checked data, with everything that is wrong and where. *Not in scope:* running what they say.
//!
//! ```text
//!   source ──▶ reader ──▶ tool, resource, prompt, mcp_server, server ──▶ entries
//!                             │            ├─ argv_reader, known ──▶ argv, template
//!                             │            └─ variables, paths
//!                             └─ risks: warnings
//! ```
//!
//! # The format
//!
//! A manifest is one JSON object. An unknown key, and a key that stands twice, is an error. Names that MCP has are MCP's, others
//! have their unit at the end. A `*` marks what has to be there.
//!
//! | key | value |
//! |---|---|
//! | `manifest` * | `1`, the version of the format |
//! | `$schema` | for editors |
//! | `server` | `name`, `title`, `version`, `instructions`; `listen`: addresses, `"127.0.0.1:3001"` or `"unix:PATH"`; `basePath`, `allowHosts`, `allowOrigins`, `cors`, `tokenFile`, `insecurePublic`, `nodeId`, `stateKeyFile`, `log`, `metrics`, as the options of `mcp-rill serve`; `limits`: names and values of [`Limits`](crate::Limits) |
//! | `defaults` | for the items of this file: `timeoutMs`, `outputBytesMax`, `bytesMax`, `concurrency`, `cwd`, `env`, `rlimits` |
//! | `groups` | names, each with a list of principals |
//! | `tools` | objects with the keys of a tool and those of a command |
//! | `resources` | objects with the keys of a resource, and with `argv` those of a command |
//! | `prompts` | objects with the keys of a prompt |
//! | `mcpServers` | names, each with `command` *, `args`, `env`, `cwd`, `type` (`"stdio"`), `tools`: `{"allow": [...], "deny": [...]}`, and as the options of `mcp-rill bridge` `isolate` (`"session"`, `"shared"`), `childrenMax` (64), `restart` (`"needed"`, `"never"`), `eager`, `childIdleSeconds` |
//!
//! Several files are read as one. The section `server` stands in one of them, and each name once.
//!
//! | of a tool | |
//! |---|---|
//! | `name` *, `title`, `description`, `annotations` | as in MCP; the annotations are `readOnlyHint`, `destructiveHint`, `idempotentHint`, `openWorldHint` |
//! | `inputSchema` | the JSON Schema of the arguments, which is enforced; without it there are none |
//! | `output` | what standard output is: `"text"`, `"json"` (structured content), `"lines"` (each is progress, the last ones are the result), or `{"mimeType": "image/png"}` (`"text"`) |
//! | `outputSchema` | what the structured content is checked against |
//! | `outputBytesMax` | bytes of output that are kept (65536) |
//! | `confirm` | a question to the user before the command runs, or `{"message": "...", "otherwise": "run"}`, which runs it where the client cannot ask |
//! | `principals` | who sees it and may call it: names of tokens, `uid:1000`, groups |
//!
//! | of a resource | |
//! |---|---|
//! | `uri` *, or `uriTemplate` with `argv` | the variables of a template are the arguments of the command |
//! | `name` *, `title`, `description`, `mimeType`, `annotations` | as in MCP |
//! | `file`, `directory`, or `argv` * | where the content comes from; the `uri` of a directory ends with `/`, and its files are below it |
//! | `bytesMax` | the most bytes of content (1048576) |
//! | `principals` | as of a tool |
//!
//! | of a prompt | |
//! |---|---|
//! | `name` *, `title`, `description`, `principals` | as of a tool |
//! | `arguments` | objects with `name` *, `title`, `description`, `required`, and `completions`: a list of texts |
//! | `text` *, or `messages` * | a text with `{name}` for arguments, or objects with `role` (`"user"`, `"assistant"`) and `text` |
//!
//! | of a command | |
//! |---|---|
//! | `argv` * | the program, by an absolute path or one with a slash that is relative to the manifest; then elements, groups, conditions |
//! | `dash` | arguments that may begin an element with `-` |
//! | `stdin` | a text with arguments; without it `/dev/null` |
//! | `env`, `cwd` | the whole environment (none), and the folder in which it runs (`/`) |
//! | `timeoutMs`, `concurrency` | how long it may run (30000), and how many run at once (4) |
//! | `exitCodes` | those that count as success (`[0]`) |
//! | `rlimits` | `cpuSeconds`, `memoryBytes`, `files`, `processes`: what the system bounds |
//!
//! In an element `{x}` is the text of the argument `x`, `{x:json}` its JSON, `{*:json}` all arguments as one JSON object, and `{{` and
//! `}}` are braces. An element that is exactly `{x}` of an array becomes one element for each item; no other element is ever split, and
//! no shell sees it. `["-I", "{iface}"]` is a group, which drops out when an argument that it names is absent; `{"when": "quiet",
//! "argv": ["-q"]}` is kept if `quiet` is present and not false. An argument without a default that may be absent stands only in these.
//! A string that would begin an element with `-` is refused, unless an element `"--"` stands before it or the argument is in `dash`.
//!
//! `${NAME}` and `${NAME:-default}` are variables of the environment, and `$${` is `${`: in `env`, `cwd`, `listen`, `tokenFile`,
//! `stateKeyFile`, `file`, `directory` and in `mcpServers`. Relative paths are relative to the folder of the manifest.

mod argv;
mod argv_reader;
pub(crate) mod call;
mod command;
mod definitions;
pub(crate) mod entries;
mod known;
#[cfg(feature = "bridge")]
pub(crate) mod mcp_server;
#[cfg(not(feature = "bridge"))]
pub(crate) mod no_mcp_server;
mod number;
mod paths;
pub mod problem;
mod prompt;
mod reader;
mod resource;
mod risks;
mod schema;
mod server;
mod source;
mod template;
mod tool;
pub(in crate::cli) mod variables;

use std::path::PathBuf;

#[cfg(not(feature = "bridge"))]
pub(crate) use no_mcp_server as mcp_server;

use crate::cli::manifest::command::defaults;
use crate::cli::manifest::definitions::Definitions;
use crate::cli::manifest::entries::{Groups, PromptEntry, ResourceEntry, ServerSection, ToolEntry};
use crate::cli::manifest::mcp_server::{McpServerEntry, mcp_servers};
use crate::cli::manifest::number::number_text;
use crate::cli::manifest::problem::{Problem, Severity};
use crate::cli::manifest::reader::{Environment, Reader, Section, Value};
use crate::cli::manifest::source::{ManifestText, read_all};
use crate::json::tape::Tape;
use crate::sort::sort_by;
use crate::text::printable;

const MANIFEST_KEYS: [&str; 9] =
    ["$schema", "manifest", "server", "defaults", "groups", "tools", "resources", "prompts", "mcpServers"];

/// What one manifest, or several that are read as one, say.
///
/// ```
/// use mcp_rill::cli::manifest::Manifest;
/// let text = r#"{ "manifest": 1, "tools": [ { "name": "ping", "description": "Ping a host",
///     "inputSchema": { "type": "object", "required": ["host"], "properties": {
///         "host": { "type": "string", "pattern": "^[a-z0-9.]{1,253}$" },
///         "count": { "type": "integer", "minimum": 1, "maximum": 10, "default": 3 } } },
///     "argv": ["/bin/ping", "-c", "{count}", "--", "{host}"] } ] }"#;
/// let (manifest, _) = Manifest::from_text("router.json", text, &|_| None).unwrap();
/// let argv = manifest.argv("ping", r#"{"host": "example.org"}"#).unwrap();
/// assert_eq!(argv, ["/bin/ping", "-c", "3", "--", "example.org"]);
/// assert!(manifest.argv("ping", r#"{"host": "-f"}"#).unwrap_err().contains("`host`"));
///
/// let problems = Manifest::from_text("router.json", &text.replace("{count}", "{cuont}"), &|_| None).unwrap_err();
/// let mistake = "router.json:5:33: /tools/0/argv/2: there is no argument `cuont`; did you mean `count`?";
/// assert!(problems.iter().any(|problem| problem.to_string().starts_with(mistake)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) server: ServerSection,
    pub(crate) tools: Vec<ToolEntry>,
    pub(crate) resources: Vec<ResourceEntry>,
    pub(crate) prompts: Vec<PromptEntry>,
    pub(crate) mcp_servers: Vec<McpServerEntry>,
    pub(crate) groups: Groups,
}

impl Manifest {
    /// Reads files, and of folders all files whose names end with `.json`, in the order of their names, as one manifest.
    /// `environment` has the variables that `${NAME}` stands for. Returns the warnings too.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the files and their lines, and the warnings.
    pub fn load(
        paths: &[PathBuf],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
        let mut problems = Vec::new();
        let sources = read_all(paths, &mut problems);
        Manifest::read(&sources, environment, problems)
    }

    /// Reads the text of one file. Problems name `file`, and relative paths are relative to its folder; it need not exist.
    ///
    /// # Errors
    /// As of [`load`](Manifest::load).
    pub fn from_text(
        file: impl Into<PathBuf>,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
        let source = ManifestText::new(file.into(), text.to_owned());
        Manifest::read(&[source], environment, Vec::new())
    }

    /// The command line that a call of the tool with these arguments, a JSON object, runs; the program first. Nothing is run.
    ///
    /// # Errors
    /// There is no such tool, or what a client is told of arguments that the tool does not take.
    pub fn argv(&self, tool: &str, arguments: &str) -> Result<Vec<String>, String> {
        let entry = self.tools.iter().find(|entry| entry.tool.name == tool);
        let entry = entry.ok_or_else(|| format!("there is no tool `{}`", printable(tool)))?;
        let mut tape = Tape::new();
        let arguments =
            tape.read(arguments).map_err(|error| format!("the arguments are not JSON: {error}"))?;
        entry.prepare(arguments).map(|call| call.argv)
    }

    fn read(
        sources: &[ManifestText],
        environment: Environment<'_>,
        mut problems: Vec<Problem>,
    ) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
        let mut tapes: Vec<Tape> = sources.iter().map(|_| Tape::new()).collect();
        let mut files = Vec::new();
        for (source, tape) in sources.iter().zip(&mut tapes) {
            let mut reader = Reader::new(source, environment);
            let root = reader.root(tape).and_then(|root| reader.section(&root, &MANIFEST_KEYS));
            files.push((reader, root));
        }
        let mut definitions = Definitions::default();
        for (reader, root) in &mut files {
            if let Some(root) = root {
                root.read(reader, "groups", |reader, value| definitions.read_groups(reader, value));
            }
        }
        let mut manifest = Manifest::default();
        for (mut reader, root) in files {
            if let Some(root) = root {
                manifest.add(&mut reader, &root, &mut definitions);
            }
            let place = |problem: &Problem| (problem.position.line, problem.position.column);
            sort_by(&mut reader.problems, |one, other| place(one).cmp(&place(other)));
            problems.append(&mut reader.problems);
        }
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        manifest.files = sources.iter().map(|source| source.file.clone()).collect();
        manifest.groups = definitions.groups;
        Ok((manifest, problems))
    }

    /// Adds what one file says.
    fn add<'a>(&mut self, reader: &mut Reader<'a>, root: &Section<'a>, definitions: &mut Definitions) {
        root.require(reader, "manifest", "write \"manifest\": 1, the version of the format", version);
        root.read(reader, "$schema", Reader::text);
        if let Some(section) = root.get("server") {
            definitions.define(reader, "section", "server", &section);
            self.server = server::server(reader, &section).unwrap_or_default();
        }
        let defaults = root.read(reader, "defaults", defaults).unwrap_or_default();
        let tools = root.read(reader, "tools", |reader, value| {
            reader.list(value, |reader, item| tool::tool(reader, item, definitions, &defaults))
        });
        self.tools.extend(tools.unwrap_or_default());
        let resources = root.read(reader, "resources", |reader, value| {
            reader.list(value, |reader, item| resource::resource(reader, item, definitions, &defaults))
        });
        self.resources.extend(resources.unwrap_or_default());
        let prompts = root.read(reader, "prompts", |reader, value| {
            reader.list(value, |reader, item| prompt::prompt(reader, item, definitions))
        });
        self.prompts.extend(prompts.unwrap_or_default());
        let mcp_servers =
            root.read(reader, "mcpServers", |reader, value| mcp_servers(reader, value, definitions));
        self.mcp_servers.extend(mcp_servers.unwrap_or_default());
        risks::warn_of_file(reader, &root.value, &reader.source.file);
    }
}

fn version<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<()> {
    match value.json.is_number() && number_text(value.json.text()) == "1" {
        true => Some(()),
        false => {
            reader.wrong(value, "1, the version of the format");
            None
        }
    }
}
