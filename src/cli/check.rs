//! `mcp-rill check`: everything that is wrong with a manifest, and every risk.

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::Arg;

use super::manifest::Manifest;
use super::manifest::problem::Severity;
use super::verb::Verb;
use super::{Failure, NAME, print, say};

pub(super) const CHECK: Verb = Verb {
    name: "check",
    about: "Report every problem and every risk of a manifest",
    usage: "check FILE|DIR... [--strict]",
    options: "\
  FILE|DIR   Manifests, or folders of them (*.json), which are read as one
  --strict   Fail on warnings too

Nothing in them is run. Each problem is a line: FILE:LINE:COLUMN: /POINTER: what
is wrong, and what to change. Warnings have `warning:` before the pointer.

Exit codes: 0 if there are no errors, 1 if there are warnings and --strict was
given, 2 if there are errors.",
    examples: [
        ("check router.json", "Look through one manifest."),
        ("check --strict /etc/mcp.d", "Let a package's build fail on any finding."),
    ],
    run,
};

fn run(mut parser: lexopt::Parser) -> Result<ExitCode, Failure> {
    let (mut paths, mut strict) = (Vec::<PathBuf>::new(), false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("strict") => strict = true,
            Arg::Value(path) => paths.push(path.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if paths.is_empty() {
        return Err(Failure::usage(format!(
            "name a manifest or a folder of them; see `{NAME} check --help`"
        )));
    }
    let (contents, problems) = match Manifest::load(&paths, &environment) {
        Ok((manifest, warnings)) => (format!("{}; ", contents(&manifest)), warnings),
        Err(problems) => (String::new(), problems),
    };
    print(&problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())?;
    let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    say(NAME, &format!("{contents}{}, {}", counted(errors, "error"), counted(warnings, "warning")));
    Ok(ExitCode::from(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(strict),
        _ => 2,
    }))
}

/// A variable of the process's environment, if it is text.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn contents(manifest: &Manifest) -> String {
    let counts = [
        (manifest.tools.len(), "tool"),
        (manifest.resources.len(), "resource"),
        (manifest.prompts.len(), "prompt"),
        (manifest.mcp_servers.len(), "MCP server"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what));
    let text = counts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing is served".to_owned() } else { text }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
