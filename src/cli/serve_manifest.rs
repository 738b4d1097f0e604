//! `mcp-rill serve FILE|DIR`: a manifest as a server, read again on SIGHUP.
//!
//! *Scope:* loading it for serving, and which of its settings options replace. *Not in scope:* its items (`provide`).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::args::{self, Serve, Syntax, Task};
use super::check::environment;
use super::log::options::LogOptions;
use super::manifest::Manifest;
use super::manifest::entries::{ResourceContent, ServerSection};
use super::manifest::problem::{Problem, Severity};
use super::process::{self, Processes};
use super::provide::Provider;
use super::provide::commands::Commands;
use super::serve::{self, Served};
use super::signals::{Hangups, Reload};
use super::{Failure, NAME, mcp_servers, say};
use crate::limits::Limits;
use crate::server::handle::Handle;
use crate::threads;

/// Serves the manifest at a path. `arguments` are all that stand behind the verb.
pub(super) fn serve(path: PathBuf, arguments: Vec<OsString>) -> Result<(), Failure> {
    let hangups = Hangups::listen()?;
    let manifest = load(&path)?;
    let syntax = Syntax { program: NAME, takes_manifest: true, own: &[] };
    let Task::Serve(mut options) = args::parse(&syntax, arguments, settings(&manifest.server))? else {
        return Ok(());
    };
    if options.stdio {
        // The program that starts the server needs no token, and may not be allowed to read the file.
        options.token_file = None;
    }
    restrictions(&manifest).iter().for_each(|warning| say(NAME, warning));
    let provider = Provider::new(Processes::start()?);
    let limits = options.limits.clone();
    let server = provider.server(&manifest, &limits);
    let has_own = has_own_items(&manifest);
    let servers = mcp_servers::served(&manifest.mcp_servers, options.stdio, has_own)?;
    let Provider { watch, commands } = provider.clone();
    let (grace, ending) = (limits.shutdown_grace, commands.clone());
    let served = Served {
        hangups,
        program: NAME.to_owned(),
        content: Box::new(move |setup| mcp_servers::serve_with(&servers, setup, server, has_own)),
        what: description(&manifest),
        reload: Some(reload(path, provider, limits)),
        begin: Some(Box::new(move |handle: Handle| Ok(watch.start(handle)?))),
        stopping: Some(Box::new(move |grace| end_in_time(&ending, grace))),
        end: Some(Box::new(move || {
            let left = commands.shut_down(grace);
            let text = || format!("commands that have not ended: {left}; their guards go on ending them");
            (left > 0).then(text)
        })),
    };
    serve::serve(*options, served)
}

/// How long before the end of the grace commands that still run are ended: TERM, KILL two seconds later, and the result is sent.
const END_BEFORE: Duration = Duration::from_secs(3);

/// Lets commands that run when a shutdown begins be finished, and ends those that are not before the grace is over.
fn end_in_time(commands: &Commands, grace: Duration) {
    let (ending, time) = (commands.clone(), grace.saturating_sub(END_BEFORE));
    let wait_and_end = move || {
        thread::sleep(time);
        ending.shut_down(END_BEFORE);
    };
    if threads::start("ending", wait_and_end).is_err() {
        commands.abandon();
    }
}

/// True if the manifest is a server itself, besides those that it names.
fn has_own_items(manifest: &Manifest) -> bool {
    !(manifest.tools.is_empty() && manifest.resources.is_empty() && manifest.prompts.is_empty())
}

/// Reads a manifest. Warnings are counted on standard error, and shown by `mcp-rill check`.
pub(super) fn load(path: &Path) -> Result<Manifest, Failure> {
    let (manifest, warnings) = read(path).map_err(|problems| failure(path, &problems))?;
    say_warnings(path, &warnings);
    Ok(manifest)
}

/// Says how many warnings a manifest has.
pub(super) fn say_warnings(path: &Path, warnings: &[Problem]) {
    if let Some(counted) = counted(path, warnings) {
        say(NAME, &counted);
    }
}

/// Returns how many warnings a manifest has, in words, if there are any.
fn counted(path: &Path, warnings: &[Problem]) -> Option<String> {
    match warnings.len() {
        0 => None,
        1 => Some(format!("{0} has a warning; `{NAME} check {0}` shows it", path.display())),
        count => Some(format!("{0} has {count} warnings; `{NAME} check {0}` shows them", path.display())),
    }
}

/// Reads a manifest with the variables of this process.
pub(super) fn read(path: &Path) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
    Manifest::load(&[path.to_owned()], &environment)
}

/// All mistakes, a line each.
pub(super) fn failure(path: &Path, problems: &[Problem]) -> Failure {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    Failure::system(match &*errors {
        [error] => error.clone(),
        errors => format!("{} has {} mistakes:\n{}", path.display(), errors.len(), errors.join("\n")),
    })
}

/// What the manifest sets and options may replace.
pub(super) fn settings(section: &ServerSection) -> Serve {
    let ServerSection { listen, health_listen, token_file, state_key_file, settings, limits, .. } =
        section.clone();
    let (log, metrics) = (LogOptions { format: section.log, ..LogOptions::default() }, section.metrics);
    Serve {
        listen,
        health_listen,
        token_file,
        state_key_file,
        log,
        metrics,
        settings,
        limits,
        ..Serve::default()
    }
}

/// What this system lacks for running commands, and what the kernel would refuse each time one starts: a warning each.
pub(super) fn restrictions(manifest: &Manifest) -> Vec<String> {
    let of_tools = manifest.tools.iter().map(|tool| (&tool.position, &tool.command));
    let of_resources = manifest.resources.iter().filter_map(|resource| match &resource.content {
        ResourceContent::Command(command) => Some((&resource.position, &**command)),
        ResourceContent::File(_) | ResourceContent::Directory(_) => None,
    });
    let refused = of_tools.chain(of_resources).flat_map(|(position, command)| {
        command.rlimits.refused().into_iter().map(move |refusal| format!("{position}: rlimits: {refusal}"))
    });
    let lacks = process::missing().iter().map(ToString::to_string);
    lacks.chain(refused).map(|warning| format!("warning: {warning}")).collect()
}

/// What is served, for people.
fn description(manifest: &Manifest) -> String {
    let count = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let kinds = [
        count(manifest.tools.len(), "tool"),
        count(manifest.resources.len(), "resource"),
        count(manifest.prompts.len(), "prompt"),
        count(manifest.mcp_servers.len(), "server"),
    ];
    let kinds: Vec<String> = kinds.into_iter().flatten().collect();
    let name = manifest.server.name.as_deref().unwrap_or("a manifest");
    if kinds.is_empty() { name.to_owned() } else { format!("{name} ({})", kinds.join(", ")) }
}

/// Reads the manifest again. Calls that run end as they began.
fn reload(path: PathBuf, provider: Provider, limits: Limits) -> Reload {
    Box::new(move |handle| {
        // Opening a pipe waits for its other end, and then nothing would be read again any more.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let shown = path.display();
            return Err(Failure::system(format!(
                "{shown} is not a regular file or a folder, so it is not read again"
            )));
        }
        let (manifest, warnings) = read(&path).map_err(|problems| failure(&path, &problems))?;
        handle
            .replace(provider.server(&manifest, &limits))
            .map_err(|error| Failure::system(error.to_string()))?;
        let servers = match manifest.mcp_servers.is_empty() {
            true => "",
            false => "; its mcpServers stay as they were at the start",
        };
        let read = format!("{} was read again: {}{servers}", path.display(), description(&manifest));
        Ok(counted(&path, &warnings).into_iter().chain([read]).collect::<Vec<_>>().join("\n"))
    })
}
