//! The command line: arguments in, exit code out.
//!
//! *Scope:* commands, their help, errors for people. *Not in scope:* anything an embedder would want; that is the library's.

mod args;
mod demo;
mod descriptors;
mod log;
mod peers;
mod secrets;
mod serve;
mod tokens;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use args::Command;

/// Why the program ends without having done what it was asked to.
#[derive(Debug)]
struct Failure {
    text: String,
    /// The exit code: 2 for a mistake on the command line, 1 for anything else.
    code: u8,
}

impl Failure {
    /// A mistake on the command line: with the same arguments it fails anywhere.
    fn usage(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: 2 }
    }

    /// A port in use, a file that cannot be read: the same arguments may do another time.
    fn system(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: 1 }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(problem: lexopt::Error) -> Failure {
        Failure::usage(format!("{problem}; see `mcp-rill --help`"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(problem: std::io::Error) -> Failure {
        Failure::system(problem.to_string())
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let done = args::parse(std::env::args_os().skip(1)).and_then(|command| match command {
        Command::Help => print(&args::help()),
        Command::HelpLimits => print(&args::help_limits()),
        Command::Version => print(concat!("mcp-rill ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => serve::serve(*options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, code }) => {
            say(&text);
            ExitCode::from(code)
        }
    }
}

/// Writes to standard output; a reader that has gone away has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
fn say(text: &str) {
    // If standard error is closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "mcp-rill: {text}");
}
