//! Reading what tools and resources have in common that run a command, and the `defaults` of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::manifest::argv_reader::Templates;
use crate::cli::manifest::entries::CommandEntry;
use crate::cli::manifest::reader::{Reader, Section, Value};
use crate::cli::manifest::risks;
use crate::cli::process::Rlimits;

/// The keys of an item that are about its command.
pub(super) const COMMAND_KEYS: [&str; 9] =
    ["argv", "dash", "stdin", "env", "cwd", "timeoutMs", "concurrency", "exitCodes", "rlimits"];

const DEFAULTS_KEYS: [&str; 7] =
    ["timeoutMs", "outputBytesMax", "bytesMax", "concurrency", "cwd", "env", "rlimits"];

/// What applies to the items of a file that do not say otherwise.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) output_bytes_max: usize,
    pub(super) bytes_max: usize,
    pub(super) concurrency: usize,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(String, String)>,
    pub(super) rlimits: Rlimits,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            timeout: Duration::from_secs(30),
            output_bytes_max: 64 << 10,
            bytes_max: 1 << 20,
            concurrency: 4,
            cwd: "/".into(),
            env: Vec::new(),
            rlimits: Rlimits::default(),
        }
    }
}

/// Reads the `defaults` section.
pub(super) fn defaults<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Defaults> {
    let section = reader.section(value, &DEFAULTS_KEYS)?;
    let builtin = Defaults::default();
    Some(Defaults {
        timeout: section.read(reader, "timeoutMs", timeout).unwrap_or(builtin.timeout),
        output_bytes_max: section.read(reader, "outputBytesMax", bytes).unwrap_or(builtin.output_bytes_max),
        bytes_max: section.read(reader, "bytesMax", bytes).unwrap_or(builtin.bytes_max),
        concurrency: section.read(reader, "concurrency", concurrency).unwrap_or(builtin.concurrency),
        cwd: section.read(reader, "cwd", folder).unwrap_or(builtin.cwd),
        env: section.read(reader, "env", env).unwrap_or(builtin.env),
        rlimits: section.read(reader, "rlimits", rlimits).unwrap_or(builtin.rlimits),
    })
}

/// Reads the command of an item that has `argv`. `templates` learns which arguments it names.
pub(super) fn command<'a>(
    reader: &mut Reader<'a>,
    entry: &Section<'a>,
    templates: &mut Templates<'_>,
    defaults: &Defaults,
    output_bytes_max: usize,
) -> CommandEntry {
    templates.dash =
        entry.read(reader, "dash", |reader, value| dash(reader, value, templates)).unwrap_or_default();
    if let Some(env) = entry.get("env") {
        risks::warn_of_env(reader, &env, templates.known);
    }
    let argv = entry.read(reader, "argv", |reader, value| templates.argv(reader, value));
    CommandEntry {
        argv: argv.unwrap_or_default(),
        stdin: entry.read(reader, "stdin", |reader, value| templates.text(reader, value)),
        env: entry.read(reader, "env", env).unwrap_or_else(|| defaults.env.clone()),
        cwd: entry.read(reader, "cwd", folder).unwrap_or_else(|| defaults.cwd.clone()),
        timeout: entry.read(reader, "timeoutMs", timeout).unwrap_or(defaults.timeout),
        output_bytes_max,
        concurrency: entry.read(reader, "concurrency", concurrency).unwrap_or(defaults.concurrency),
        exit_codes: entry.read(reader, "exitCodes", exit_codes).unwrap_or_else(|| vec![0]),
        rlimits: entry.read(reader, "rlimits", rlimits).unwrap_or(defaults.rlimits),
    }
}

/// The arguments that may begin an element with `-`.
fn dash<'a>(reader: &mut Reader<'a>, value: &Value<'a>, templates: &Templates<'_>) -> Option<Vec<String>> {
    reader.list(value, |reader, item| {
        let name = reader.name(item)?;
        match templates.known.check_name(&name) {
            Ok(()) => Some(name),
            Err(problem) => {
                reader.problem(item, problem);
                None
            }
        }
    })
}

/// The longest time that a command may have: a day.
const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

fn timeout<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Duration> {
    reader.whole(value, 1..=TIMEOUT_MS_MAX, " of milliseconds").map(Duration::from_millis)
}

/// A number of bytes that are held in memory, up to a gigabyte.
pub(super) fn bytes<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<usize> {
    reader.whole(value, 1..=1 << 30, " of bytes").and_then(|bytes| usize::try_from(bytes).ok())
}

fn concurrency<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<usize> {
    reader.whole(value, 1..=1024, "").and_then(|count| usize::try_from(count).ok())
}

fn exit_codes<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<u8>> {
    let codes = reader.list(value, |reader, item| {
        reader.whole(item, 0..=255, "").and_then(|code| u8::try_from(code).ok())
    })?;
    if value.json.items().is_some_and(|mut items| items.next().is_none()) {
        reader.problem(value, "`exitCodes` is empty, so no run would succeed; list the codes of success, or leave it out for [0]");
    }
    Some(codes)
}

/// A folder in which a command runs.
pub(super) fn folder<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<PathBuf> {
    let folder = reader.path(value)?;
    if !folder.is_dir() {
        reader.warning(
            value,
            format_args!("{} is not a folder now; the command cannot run there", folder.display()),
        );
    }
    Some(folder)
}

/// The whole environment of a command.
pub(super) fn env<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<(String, String)>> {
    let mut env = Vec::new();
    for (name, member, _) in reader.members(value)? {
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.problem(&member, "this is no name of a variable: it is empty, or has `=` or NUL in it");
        }
        env.extend(reader.system_text(&member).map(|text| (name.into_owned(), text)));
    }
    Some(env)
}

/// The greatest number that JavaScript's editors and tools keep exactly, and beyond what any system has.
const RLIMIT_MAX: u64 = (1 << 53) - 1;

fn rlimits<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Rlimits> {
    let section = reader.section(value, &["cpuSeconds", "memoryBytes", "files", "processes"])?;
    let mut limit =
        |name, least| section.read(reader, name, |reader, value| reader.whole(value, least..=RLIMIT_MAX, ""));
    let rlimits = Rlimits {
        cpu_seconds: limit("cpuSeconds", 1),
        memory_bytes: limit("memoryBytes", 1),
        // Standard input, output and errors.
        files: limit("files", 3),
        processes: limit("processes", 1),
    };
    for refusal in rlimits.refused() {
        reader.warning(value, refusal);
    }
    Some(rlimits)
}
