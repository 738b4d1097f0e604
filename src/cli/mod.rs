//! The command line: arguments in, exit code out.
//!
//! *Scope:* commands, their help, errors for people. *Not in scope:* anything an embedder would want; that is the library's.

mod args;
mod demo;
mod log;
mod peers;
mod secrets;
mod serve;
mod tokens;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use args::Command;

/// What the command line, the system or the configuration had against it; the exit code is 2.
#[derive(Debug)]
struct Failure(String);

impl<T: std::fmt::Display> From<T> for Failure {
    fn from(problem: T) -> Failure {
        Failure(problem.to_string())
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let done = args::parse(std::env::args_os().skip(1)).and_then(|command| match command {
        Command::Help => print(&args::help()),
        Command::Version => print(concat!("mcp-rill ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => serve::serve(*options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(problem)) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "mcp-rill: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output; a reader that has gone away has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
