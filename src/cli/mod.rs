//! The command line: of the binary `mcp-rill`, and for a server of yours.
//!
//! [`run`] serves a [`Server`](crate::Server) with the options of `mcp-rill serve`, and [`Program`] adds options of your own.
//!
//! *Scope:* arguments, help, errors for people, exit codes, signals. *Not in scope:* serving itself ([`net`](crate::net)).

#[cfg(feature = "operations")]
mod activation;
mod args;
mod bounds;
#[cfg(feature = "bridge")]
mod bridge;
mod check;
#[cfg(feature = "bridge")]
mod connect;
#[cfg(feature = "operations")]
mod console;
mod demo;
mod descriptors;
mod help;
mod identity;
mod json_schema;
mod log;
pub mod manifest;
#[cfg(feature = "bridge")]
mod mcp_servers;
mod messages;
#[cfg(feature = "operations")]
mod metrics;
#[cfg(not(feature = "bridge"))]
mod no_mcp_servers;
#[cfg(not(feature = "operations"))]
mod no_operations;
mod open;
mod peers;
mod process;
mod program;
mod provide;
mod schema;
mod secrets;
mod serve;
mod serve_manifest;
#[cfg(feature = "operations")]
mod service_manager;
mod shell;
mod signals;
mod tokens;
mod verb;
mod worst_case;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use args::{Serve, Syntax, Task};
use check::CHECK;
use messages::{NAME, say};
#[cfg(not(feature = "bridge"))]
use no_mcp_servers as mcp_servers;
#[cfg(not(feature = "operations"))]
use no_operations::{activation, console, metrics, service_manager};
use schema::SCHEMA;
use verb::Verb;
use worst_case::LIMITS;

pub use program::{OwnOptions, Program, run};

/// The verbs, in the order of the overview.
const VERBS: &[Verb] = &[
    SERVE,
    #[cfg(feature = "bridge")]
    bridge::BRIDGE,
    #[cfg(feature = "bridge")]
    connect::CONNECT,
    CHECK,
    SCHEMA,
    LIMITS,
    shell::LIST,
    shell::CALL,
    shell::READ,
    shell::PROMPT,
    shell::COMPLETE,
    shell::PING,
    shell::WATCH,
    shell::DOCTOR,
];

/// Why the program ends without having done what it was asked to.
#[derive(Debug)]
struct Failure {
    text: String,
    /// The exit code: 2 for a mistake on the command line, 1 for anything else. The client's verbs have others too.
    code: u8,
}

impl Failure {
    /// A mistake on the command line: with the same arguments it fails anywhere.
    fn usage(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: 2 }
    }

    /// What was written to standard error already.
    fn told() -> Failure {
        Failure::system("")
    }

    /// A port in use, a file that cannot be read: the same arguments may work at another time.
    fn system(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: 1 }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(problem: lexopt::Error) -> Failure {
        Failure::usage(format!("{problem}; see --help"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(problem: std::io::Error) -> Failure {
        Failure::system(problem.to_string())
    }
}

/// Runs the verb that this process's arguments name: all that the binary `mcp-rill` does.
pub fn main() -> ExitCode {
    // This program may have been started by itself, to run a command.
    process::trampoline().unwrap_or_else(|| finish(NAME, dispatch(std::env::args_os().skip(1).collect())))
}

fn dispatch(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let Some(first) = arguments.first().and_then(|first| first.to_str()) else {
        return serve_demo(arguments).map(|()| ExitCode::SUCCESS);
    };
    match (first, arguments.len()) {
        ("-h" | "--help", 1) => return print(&verb::overview(VERBS)).map(|()| ExitCode::SUCCESS),
        (option, _) if option.starts_with('-') => return serve_demo(arguments).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let verb = verb::find(VERBS, first)?;
    let rest = arguments.get(1..).unwrap_or_default();
    if let Some(at) = verb::help_at(rest) {
        let text = match rest.get(at + 1).and_then(|topic| topic.to_str()) {
            Some("limits") => help::limits(NAME),
            Some("options") => help::all_options(NAME),
            _ => verb.help(),
        };
        return print(&text).map(|()| ExitCode::SUCCESS);
    }
    (verb.run)(lexopt::Parser::from_args(rest))
}

const SERVE: Verb = Verb {
    name: "serve",
    about: "Serve a manifest over HTTP, or on standard input and output",
    usage: "serve [FILE|DIR] [OPTIONS]",
    options: help::MAIN_OPTIONS,
    examples: [
        ("serve router.json --listen unix:/run/mcp/s", "A manifest, on a Unix socket."),
        ("serve /etc/mcp.d --stdio", "All manifests of a folder as one, for a client that starts it."),
    ],
    run: |mut parser| serve_file_or_demo(parser.raw_args()?.collect()).map(|()| ExitCode::SUCCESS),
};

fn serve_file_or_demo(arguments: Vec<OsString>) -> Result<(), Failure> {
    let syntax = Syntax { program: NAME, takes_manifest: true, own: &[] };
    let manifest = match args::parse(&syntax, arguments.clone(), Serve::default())? {
        Task::Serve(options) => options.manifest,
        Task::Help | Task::HelpLimits | Task::Version => None,
    };
    match manifest {
        Some(path) => serve_manifest::serve(path, arguments),
        None => serve_demo(arguments),
    }
}

fn serve_demo(arguments: Vec<OsString>) -> Result<(), Failure> {
    let mut program = Program::new(NAME, env!("CARGO_PKG_VERSION"), |_| Ok(demo::server()));
    program.what = "a demo".to_owned();
    program.try_run(arguments)
}

/// The exit code; the text of a failure is said.
fn finish(program: &str, done: Result<ExitCode, Failure>) -> ExitCode {
    done.unwrap_or_else(|Failure { text, code }| {
        if !text.is_empty() {
            say(program, &text);
        }
        ExitCode::from(code)
    })
}

/// Writes to standard output. It is no error if its reader has gone.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
