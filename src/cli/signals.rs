//! What a serving program does on signals.
//!
//! *Scope:* SIGINT and SIGTERM, SIGHUP, what the service manager is told of them. *Not in scope:* what is read again:
//! manifests (`serve_manifest`), `tokens`, `secrets`, and what an author adds (`on_reload`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use super::log::Lines;
use super::service_manager::Manager;
use crate::server::handle::Handle;
use crate::threads;

/// What reads something again on SIGHUP. Returns what to tell the operator.
pub(super) type Reload = Box<dyn FnMut(&Handle) -> Result<String, Failure> + Send>;

/// SIGHUPs since the program began to read what it serves: one that came before the server runs is served then, and ends nothing.
pub(super) struct Hangups(Signals);

impl Hangups {
    pub(super) fn listen() -> Result<Hangups, Failure> {
        Ok(Hangups(Signals::new([SIGHUP])?))
    }
}

/// How a server ends.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// How long it serves on after it has said that it will end.
    pub(super) drain_delay: Duration,
    pub(super) grace: Duration,
}

/// The first signal that asks for an end ends the server in good order, the second one at once. SIGHUP reads the files
/// again and never ends it.
///
/// The thread that hears signals does nothing that could keep it waiting: files are read by other threads, and lines are
/// left for another one. If one file system does not answer, the other files are read all the same.
pub(super) fn heed_signals(
    Hangups(mut signals): Hangups,
    handle: &Handle,
    Ending { drain_delay, grace }: Ending,
    reloads: Vec<Reload>,
    (lines, manager): (&Lines, &Manager),
) -> io::Result<()> {
    let reload = |reload| reload_apart(reload, handle.clone(), lines.clone(), manager.clone());
    let reloads = reloads.into_iter().map(reload).collect::<io::Result<Vec<SyncSender<()>>>>()?;
    let (handle, lines, manager) = (handle.clone(), lines.clone(), manager.clone());
    // Not before the files are read: a pipe may keep the program waiting, and then they have to end it.
    signals.add_signal(SIGINT)?;
    signals.add_signal(SIGTERM)?;
    threads::start("signals", move || {
        let mut ending = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => {
                    if reloads.is_empty() {
                        lines.say("SIGHUP: there is no --token-file and no --state-key-file to read again");
                    }
                    manager.begin_reload(reloads.len());
                    for reload in &reloads {
                        // One that waits already reads what is in its file by then.
                        if reload.try_send(()).is_err() {
                            manager.end_reload();
                        }
                    }
                }
                _ if std::mem::replace(&mut ending, true) => std::process::exit(128 + signal),
                _ => {
                    manager.tell("STOPPING=1");
                    match drain_delay.is_zero() {
                        true => handle.shutdown(grace),
                        false => {
                            let seconds = drain_delay.as_secs_f64();
                            lines.say(&format!(
                                "draining: clients are served for another {seconds} s (--drain-delay); a second signal ends it at once"
                            ));
                            handle.drain(drain_delay, grace);
                        }
                    }
                }
            }
        }
    })?;
    Ok(())
}

/// Starts a thread that reads something again each time it is sent something.
fn reload_apart(
    mut reload: Reload,
    handle: Handle,
    lines: Lines,
    manager: Manager,
) -> io::Result<SyncSender<()>> {
    let (ask, asked) = sync_channel(1);
    threads::start("reload", move || {
        while asked.recv().is_ok() {
            let read = catch_unwind(AssertUnwindSafe(|| reload(&handle)))
                .unwrap_or_else(|_| Err(Failure::system("reading again on SIGHUP panicked")));
            lines.say(&match read {
                Ok(text) => text,
                Err(problem) => format!("{}; what was read before stays in force", problem.text),
            });
            manager.end_reload();
        }
    })?;
    Ok(ask)
}
