//! `mcp-rill connect URL`: a remote server of HTTP as a server of standard input and output, for local clients that speak nothing
//! else.
//!
//! *Scope:* messages pass as they are, byte for byte, of every revision; what is kept is what HTTP needs: the session and its
//! streams, header fields, and which requests are open, so that each is answered. *Not in scope:* speaking for either end: a client
//! of one era meets a server of another as it would directly.
//!
//! ```text
//!  standard input ──▶ reader ──▶ messages ─┬─▶ a thread for each request ──POST──▶ its answer ──┐
//!                                          └─▶ lane: what gets no answer ──POST──▶               │
//!                                               streams of the session ◀──GET── their messages ──┤
//!  standard output ◀──────────────────── one at a time; nobody reads on while it is stuck ◀──────┘
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "waiting for a server needs a clock; like `client`, this is above the engine"
)]

mod drive;
mod input;
mod lane;
mod message;
mod opening;
mod options;
mod output;
mod remote;
mod requests;
mod streams;
mod table;
mod token;
mod tools;
mod wire;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::bounds::{CONNECT_END_TIMEOUT, CONNECT_GRACE, CONNECT_WAITING_MAX};
use super::log::Lines;
use super::log::options::LogOptions;
use super::verb::Verb;
use super::{Failure, NAME};
use crate::threads;
use remote::{Event, Link, Remote, within};
use token::Token;
use wire::Wire;

/// How often the end looks whether all is answered.
const LOOK: Duration = Duration::from_millis(20);

pub(super) const CONNECT: Verb = Verb {
    name: "connect",
    about: "Be a remote server, on standard input and output",
    usage: "connect URL [OPTIONS]",
    options: "  URL                http://HOST:PORT/PATH, unix:///SOCKET#/PATH, FILE.json:NAME
  --token-file FILE  Send the bearer token in this file, or that in MCP_TOKEN
  --header 'N: V'    Send this field; --header-file FILE sends those in a file
  --plain-http       Allow http:// to other machines, without encryption
  --era ERA          Speak 2026, 2025 or sse and nothing else [auto]
  --timeout TIME     How long the server may be silent: 500ms, 10s, 5min [10min]
For clients that only start programs. Messages pass unchanged; each request gets
an answer, also if the server goes away. A session that is lost is opened again.
What people should know is on standard error. It ends with standard input.",
    examples: [
        ("connect http://127.0.0.1:3001/mcp", "A server on this machine, or behind ssh -L."),
        ("connect unix:///run/mcp/s#/mcp --token-file ~/.mcp-token", "On a socket, with a token."),
    ],
    run: |mut parser| run(parser.raw_args()?.collect()),
};

fn run(arguments: Vec<std::ffi::OsString>) -> Result<ExitCode, Failure> {
    let (options, defaults) = options::read(arguments)?;
    let lines = Lines::begin(io::stderr(), NAME, LogOptions::default())?;
    let (lane, posted) = sync_channel(CONNECT_WAITING_MAX);
    let (events, happened) = channel();
    let wire = Wire::new(defaults, Token::new(options.token_file.clone(), lines.clone()));
    let remote = Arc::new(Remote::new(options, wire, lines, lane, events)?);
    heed_signals(&remote)?;
    let (posting, keeping) = (remote.clone(), remote.clone());
    threads::start("lane", move || lane::run(&posting, &posted))?;
    threads::start("session", move || opening::keep_open(&keeping))?;
    input::begin(&remote)?;
    let why = wait_for_end(&remote, &happened);
    end(&remote, &why);
    Ok(ExitCode::SUCCESS)
}

/// The first signal that asks for an end ends the program in good order, the second one at once.
fn heed_signals(remote: &Arc<Remote>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let events = remote.events.clone();
    threads::start("signals", move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            if std::mem::replace(&mut is_ending, true) {
                std::process::exit(128 + signal);
            }
            let _ = events.send(Event::Signal);
        }
    })?;
    Ok(())
}

/// Waits until nothing is left to do. Returns why what is open is not answered.
fn wait_for_end(remote: &Remote, happened: &Receiver<Event>) -> String {
    let (mut deadline, mut is_passed_on, mut is_gone) = (None::<Instant>, false, false);
    loop {
        let event = match deadline {
            Some(_) => happened.recv_timeout(LOOK),
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::InputEnded) => {}
            Ok(Event::InputPassedOn) => is_passed_on = true,
            Ok(Event::OutputGone) | Err(RecvTimeoutError::Disconnected) => is_gone = true,
            Ok(Event::Signal) => return "the program was asked to end".to_owned(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // All of these announce the end.
        let deadline = *deadline.get_or_insert_with(|| within(CONNECT_GRACE));
        let (is_idle, is_opening) = {
            let state = remote.state();
            (state.posts == 0 && state.table.is_idle(), matches!(state.link, Link::Opening(None)))
        };
        if is_passed_on && is_idle {
            return "standard input has ended".to_owned();
        }
        is_gone |= remote.output.is_gone();
        // A session that is being opened can be ended on the server only once its id is known.
        if is_gone && !is_opening {
            return "standard output is not read any more".to_owned();
        }
        if Instant::now() >= deadline {
            return format!(
                "standard input has ended, and the answer has not come within {} s (connect_grace)",
                CONNECT_GRACE.as_secs()
            );
        }
    }
}

/// Answers what is open, and ends the session on the server too.
fn end(remote: &Arc<Remote>, why: &str) {
    let (session, open) = remote.change(|state| {
        state.is_ending = true;
        let session = match std::mem::replace(&mut state.link, Link::Closed) {
            Link::Open(session) => Some(session),
            _ => None,
        };
        // Before the session is left: what the server says of them then comes too late.
        (session, state.table.take_all())
    });
    // Nobody may read standard output any more.
    let (done, answered) = channel();
    let (answering, why) = (remote.clone(), why.to_owned());
    let started = threads::start("end", move || {
        answering.fail_all(&open, &why);
        let _ = done.send(());
    });
    if let Some(session) = session.filter(|session| session.target.session_id.is_some()) {
        let request = || session.target.bare("DELETE", "*/*", "");
        // If this fails, the server ends the unused session by itself.
        let _ = remote.wire.deliver(request, &session.target, within(CONNECT_END_TIMEOUT));
    }
    if started.is_ok() {
        let _ = answered.recv_timeout(CONNECT_END_TIMEOUT);
    }
    remote.lines.end();
}
