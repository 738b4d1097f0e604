//! Verbs: what the first argument of `mcp-rill` names, with the help on each.
//!
//! *Scope:* [`Verb`], finding one by its name, help texts. *Not in scope:* what a verb does, and the list of them
//! ([`cli`](crate::cli)).

use std::ffi::OsString;
use std::process::ExitCode;

use super::messages::left_out;
use super::{Failure, NAME};
use crate::text::nearest;

/// One verb of the program.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// One line for the overview, at most 60 characters.
    pub(crate) about: &'static str,
    /// What follows the program's name; each form on a line of its own.
    pub(crate) usage: &'static str,
    /// The arguments and options, in lines as they are printed.
    pub(crate) options: &'static str,
    /// Two command lines without the program's name, each with what it does.
    pub(crate) examples: [(&'static str, &'static str); 2],
    /// Runs it. The parser stands behind the verb's name.
    pub(crate) run: fn(lexopt::Parser) -> Result<ExitCode, Failure>,
}

impl Verb {
    /// The answer to `mcp-rill VERB --help`.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}.\n\n", self.about);
        for (at, form) in self.usage.lines().enumerate() {
            let begin = if at == 0 { "Usage:" } else { "      " };
            text.push_str(&format!("{begin} {NAME} {form}\n"));
        }
        text.push_str(&format!("\n{}\n\nExamples:\n", self.options.trim_matches('\n')));
        for (command, effect) in self.examples {
            text.push_str(&format!("  # {effect}\n  {NAME} {command}\n"));
        }
        text
    }
}

/// The verbs of the feature `bridge`.
const OF_BRIDGE: [&str; 2] = ["bridge", "connect"];

/// The verb of this name.
///
/// # Errors
/// A sentence with the name that is nearest if there is none, or with the feature that this build lacks.
pub(super) fn find<'v>(verbs: &'v [Verb], name: &str) -> Result<&'v Verb, Failure> {
    verbs.iter().find(|verb| verb.name == name).ok_or_else(|| {
        let names: Vec<&str> = verbs.iter().map(|verb| verb.name).collect();
        Failure::usage(match nearest(name, &names) {
            _ if OF_BRIDGE.contains(&name) => left_out("bridge", &format!("has no verb `{name}`")),
            Some(near) => format!("there is no verb `{name}`; did you mean `{near}`?"),
            None => format!("there is no verb `{name}`; see `{NAME} --help`"),
        })
    })
}

/// The answer to `mcp-rill --help`.
pub(super) fn overview(verbs: &[Verb]) -> String {
    let mut text = format!(
        "Usage: {NAME} [VERB] [OPTIONS]\n\n\
         Serves and uses the Model Context Protocol. Without a verb it serves a demo on\n\
         http://{}/mcp, with the options of `{NAME} serve`.\n\nVerbs:\n",
        super::args::DEFAULT_ADDRESS
    );
    for verb in verbs {
        text.push_str(&format!("  {:<10} {}\n", verb.name, verb.about));
    }
    text.push_str(&format!(
        "\n{NAME} VERB --help shows the options of a verb, {NAME} --help limits what\n\
         each limit means, {NAME} --version the version.\n"
    ));
    text
}

/// Where the arguments behind a verb ask for help; `None` if they do not. What follows `--` belongs to another command.
pub(super) fn help_at(arguments: &[OsString]) -> Option<usize> {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    own.into_iter().position(|argument| argument == "--help" || argument == "-h")
}
