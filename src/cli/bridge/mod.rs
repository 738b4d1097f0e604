//! `mcp-rill bridge -- COMMAND`: a server of standard input and output, on all transports of this one.
//!
//! *Scope:* a [`Service`] whose requests are answered by children, which are processes of another server. *Not in scope:*
//! transports, sessions and streams, which are the engine's; how a process is started so that nothing of it is left behind
//! ([`process`]).
//!
//! ```text
//!  clients ⇄ engine ── Service ──▶ Bridge ── upward ──▶ child ⇄ the server, one message a line
//!               ▲                    │ life: start, initialize, back-off, end
//!               └─── Outbox ◀── downward ◀── lines ◀── pipes, in the poll of the loop
//! ```

mod asking;
mod child;
mod downward;
mod eager;
mod filter;
mod headers;
mod introduction;
mod life;
mod listens;
pub(super) mod options;
mod pool;
mod reported;
mod rewrite;
mod rounds;
mod service;
mod sessions;
mod shared;
mod stateless;
mod tables;
mod upward;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use options::{BridgeOptions, own_options};
use service::{Bridge, Served};

use super::args::{self, Serve, Syntax, Task};
use super::log::Lines;
use super::manifest::mcp_server::{McpServerEntry, ToolFilter};
use super::process::guards::Guards;
use super::process::piped::{PipedSpec, find_program};
use super::serve::{self, Answering, Setup};
use super::signals::Hangups;
use super::verb::Verb;
use super::{Failure, NAME, help, print, process, say};
use crate::limits::Limits;
use crate::net::readiness::Readiness;
use crate::runtime::config::EngineConfig;
use crate::service::Service;
use crate::service::ended::CallDetails;

pub(super) const BRIDGE: Verb = Verb {
    name: "bridge",
    about: "Put a server of standard input and output on HTTP",
    usage: "bridge [OPTIONS] -- COMMAND [ARGUMENTS]",
    options: "  --isolate session|shared  Who has a process: each session, or all [session]
  --children-max COUNT      Processes at once; one more is refused as busy [64]
  --restart needed|never    Start one that has ended when it is needed [needed]
  --eager                   Start the shared one at once, and again when it ends
  --child-idle SECONDS      End a process that was not needed for so long
  --name NAME               The server's name in the log [the program's name]
All options of `mcp-rill serve` come before `--` too: --listen, --token-file ...
A process has the environment and the working folder of this one. What it writes
to standard error is written here, each line with its name. The end of its input
asks it to end; TERM follows after 2 s, KILL after another 2 s, for all of it.",
    examples: [
        (
            "bridge -- npx -y @modelcontextprotocol/server-everything",
            "A server of npm, on http://127.0.0.1:3001/mcp.",
        ),
        (
            "bridge --listen 127.0.0.1:8080 --isolate shared -- ./server --verbose",
            "One process for all clients.",
        ),
    ],
    run: |mut parser| run(parser.raw_args()?.collect()).map(|()| ExitCode::SUCCESS),
};

fn run(arguments: Vec<OsString>) -> Result<(), Failure> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (options, command) = arguments.split_at(end);
    let own = own_options();
    let syntax = Syntax { program: NAME, takes_manifest: false, own: &own };
    let serve = match args::parse(&syntax, options.to_vec(), Serve::default())? {
        Task::Help => return print(&BRIDGE.help()),
        Task::HelpLimits => return print(&help::limits(NAME)),
        Task::Version => return print(&format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Task::Serve(serve) => serve,
    };
    if serve.state_key_file.is_some() {
        return Err(Failure::usage(
            "--state-key-file is of no use to a bridge: a client's state names a call that is open in one process; leave it out",
        ));
    }
    let (options, name) = BridgeOptions::read(&serve.own).map_err(Failure::usage)?;
    let Some((program, rest)) = command.get(1..).and_then(<[OsString]>::split_first) else {
        return Err(Failure::usage(
            "the command is missing; write it behind `--`, such as `mcp-rill bridge -- npx -y SERVER`",
        ));
    };
    let spec = spec_of(program, rest)?;
    let name = name.unwrap_or_else(|| name_of(program));
    process::missing().iter().for_each(|lack| say(NAME, &format!("warning: {lack}")));
    let served = Served { name: name.clone(), spec, tools: ToolFilter::default() };
    let service = Box::new(move |setup: Setup| {
        let (limits, lines, ready) = (setup.limits.clone(), setup.lines.clone(), setup.ready.of_service()?);
        let bridge = Bridge::new(served, options, limits, lines, ready, Guards::start()?, setup.details);
        let processes = bridge.processes_max();
        let config = config(setup)?;
        Ok(Answering { service: Box::new(bridge), config, processes })
    });
    serve::serve(
        *serve,
        serve::Served {
            hangups: Hangups::listen()?,
            program: NAME.to_owned(),
            content: service,
            what: name,
            reload: None,
            begin: None,
            stopping: None,
            end: None,
        },
    )
}

/// The configuration of the engine in front of a bridge.
fn config(setup: Setup) -> Result<EngineConfig, Failure> {
    let config = EngineConfig::new(setup.settings, setup.limits).map_err(Failure::usage)?;
    Ok(match setup.guard {
        Some(guard) => config.authorize(move |request| guard.authorize(request)),
        None => config,
    })
}

/// A bridge of a manifest, beside other services.
pub(super) struct OwnService {
    pub(super) service: Box<dyn Service>,
    /// Processes that it may run at once.
    pub(super) processes: usize,
}

/// The bridge of an entry of a manifest.
///
/// # Errors
/// If its program is not there.
pub(super) fn of_entry(
    entry: &McpServerEntry,
    limits: &Limits,
    lines: Lines,
    ready: Readiness,
    guards: Guards,
    details: Option<CallDetails>,
) -> Result<OwnService, Failure> {
    let named = |problem: String| Failure::system(format!("{}: {problem}", entry.position));
    let kept = KEPT_VARIABLES.iter().filter(|name| entry.env.iter().all(|(own, _)| own != **name));
    let kept = kept.filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
    let own = entry.env.iter().map(|(name, value)| (name.into(), value.into()));
    let env: Vec<(OsString, OsString)> = kept.chain(own).collect();
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone()).unwrap_or_default();
    let program = find_program(&entry.command, &path).map_err(|error| named(error.to_string()))?;
    let argv =
        std::iter::once(program.into_os_string()).chain(entry.args.iter().map(OsString::from)).collect();
    let cwd = match &entry.cwd {
        Some(cwd) => cwd.clone(),
        None => std::env::current_dir().map_err(|error| named(format!("the working folder: {error}")))?,
    };
    let spec = PipedSpec { argv, env, cwd };
    let served = Served { name: entry.name.clone(), spec, tools: entry.tools.clone() };
    let bridge = Bridge::new(served, entry.bridge.clone(), limits.clone(), lines, ready, guards, details);
    let processes = bridge.processes_max();
    Ok(OwnService { service: Box::new(bridge), processes })
}

/// Variables that the servers of a manifest get from this process besides those of their entries, as other clients pass them on.
const KEPT_VARIABLES: [&str; 6] = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

/// Variables that a service manager sets for one process: its children must not speak for it.
const OWN_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The command as it is typed: with the environment and the folder of this process.
fn spec_of(program: &OsString, arguments: &[OsString]) -> Result<PipedSpec, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = find_program(Path::new(program), &path).map_err(|error| Failure::usage(error.to_string()))?;
    let argv = std::iter::once(found.into_os_string()).chain(arguments.iter().cloned()).collect();
    let cwd =
        std::env::current_dir().map_err(|error| Failure::system(format!("the working folder: {error}")))?;
    let env = std::env::vars_os().filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| name == own));
    Ok(PipedSpec { argv, env: env.collect(), cwd })
}

/// The program's file name.
fn name_of(program: &OsString) -> String {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    crate::text::printable(&name)
}
