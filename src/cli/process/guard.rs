//! The guard of one command: a process that starts it, adopts what it leaves behind, and ends when nothing is left.
//!
//! *Scope:* TERM, KILL, and orphans, inside that process. *Not in scope:* the server's end of it (`guarded`).
//!
//! ```text
//!                     the command has ended
//!   Running ────────────────────────────────────────────▶ Killing ──▶ no child is left: report, end
//!      │                                                     ▲
//!      └─▶ Ending: TERM was sent ────────────────────────────┘
//!   asked by the server (TERM), or the server has gone       kill_delay has passed
//! ```
//!
//! It signals the process group of the command, for as long as the command has not been reaped, and its own children. No other
//! process can reap those, so an id never names another process. What lies deeper moves up: when a process dies, its children
//! become the guard's.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, setsid, wait,
    waitid,
};
use rustix::stdio::dup2_stdout;
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::low_level::pipe;

use super::wire::{self, Report};
use super::{LAUNCH, system};

/// How often what has been sent KILL is looked at again, if no child ends meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// Runs the command that is requested on standard input, a socket, and reports there how it ended.
pub(super) fn guard(kill_delay: Duration) -> io::Result<ExitCode> {
    let control = wire::socket_on_stdin()?;
    let report = match Guard::start(control.try_clone()?, kill_delay) {
        Ok(guard) => guard.run(),
        Err(error) => Report::Failed(format!("its guard cannot work: {error}")),
    };
    wire::report(&control, &report);
    Ok(ExitCode::SUCCESS)
}

enum Phase {
    Running,
    /// TERM has been sent; KILL follows at that time.
    Ending(Instant),
    Killing,
}

struct Guard {
    control: UnixStream,
    /// Readable after SIGCHLD and SIGTERM.
    signals: UnixStream,
    asked: Arc<AtomicBool>,
    server_gone: bool,
    command: Pid,
    /// How the command ended.
    outcome: Option<Report>,
    phase: Phase,
    kill_delay: Duration,
}

impl Guard {
    fn start(control: UnixStream, kill_delay: Duration) -> io::Result<Guard> {
        // Not the terminal's signals, nor those for the process group of the server.
        setsid()?;
        system::adopt_orphans()?;
        std::env::set_current_dir("/")?;
        let (signals, wake) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGTERM, Arc::clone(&asked))?;
        pipe::register(SIGTERM, wake.try_clone()?)?;
        pipe::register(SIGCHLD, wake)?;
        let child = Command::new(system::own_program()?)
            .arg0("rill-launch")
            .arg(LAUNCH)
            .arg(getpid().as_raw_pid().to_string())
            .env_clear()
            .process_group(0)
            .spawn()?;
        // The command's standard output ends when nothing of the command holds it any more.
        dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        let command = Pid::from_child(&child);
        let phase = Phase::Running;
        Ok(Guard { control, signals, asked, server_gone: false, command, outcome: None, phase, kill_delay })
    }

    fn run(mut self) -> Report {
        while self.reap() {
            self.advance();
            self.sleep();
        }
        self.outcome.unwrap_or_else(|| Report::Failed("its guard lost it".to_owned()))
    }

    /// Takes note of all children that have ended. Returns false if there are none any more.
    fn reap(&mut self) -> bool {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if self.outcome.is_none()
            && matches!(waitid(WaitId::Pid(self.command), peek), Ok(Some(_)))
            && (matches!(self.phase, Phase::Running) || !system::ADOPTS_ORPHANS)
        {
            // As long as the command has not been reaped, its process group is surely its own.
            self.signal_group(Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => {
                    self.outcome = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Some(Report::Exited(code)),
                        (None, Some(signal)) => Some(Report::Signalled(signal)),
                        (None, None) => None,
                    };
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    fn advance(&mut self) {
        match self.phase {
            Phase::Running if self.outcome.is_some() => self.phase = Phase::Killing,
            Phase::Running if self.server_gone || self.asked.load(Ordering::SeqCst) => {
                self.terminate();
                self.phase = Phase::Ending(now() + self.kill_delay);
            }
            Phase::Ending(kill_at) if now() >= kill_at => self.phase = Phase::Killing,
            _ => {}
        }
        if let Phase::Killing = self.phase {
            if self.outcome.is_none() {
                self.signal_group(Signal::KILL);
            }
            // Those that could not be listed are met in the next round.
            for child in system::children().unwrap_or_default() {
                let _ = kill_process(child.pid, Signal::KILL);
            }
        }
    }

    fn terminate(&self) {
        self.signal_group(Signal::TERM);
        // What is stopped could not heed it.
        self.signal_group(Signal::CONT);
        let own = self.command.as_raw_pid();
        for child in system::children().unwrap_or_default() {
            // Adopted ones that have left the group. None is signalled twice: many programs end at once at the second TERM.
            if child.group != own {
                let _ = kill_process(child.pid, Signal::TERM);
                let _ = kill_process(child.pid, Signal::CONT);
            }
        }
    }

    fn signal_group(&self, signal: Signal) {
        // If this fails, no process is left in the group.
        let _ = kill_process_group(self.command, signal);
    }

    /// Waits until a child ends, the server asks for an end or goes, or the next step is due.
    fn sleep(&mut self) {
        let timeout = match self.phase {
            Phase::Running => None,
            Phase::Ending(kill_at) => Some(kill_at.saturating_duration_since(now())),
            Phase::Killing => Some(KILL_AGAIN),
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut ready = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if !self.server_gone {
            // It is `launch` that reads from it. That the server has gone is seen without reading.
            ready.push(PollFd::new(&self.control, PollFlags::empty()));
        }
        // An interrupted wait is as good as one that ended.
        let _ = poll(&mut ready, timeout.as_ref());
        let gone =
            ready.get(1).is_some_and(|control| control.revents().intersects(PollFlags::HUP | PollFlags::ERR));
        self.server_gone |= gone;
        let mut bytes = [0; 64];
        while matches!((&self.signals).read(&mut bytes), Ok(1..)) {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a guard is a process of its own with a clock of its own")]
fn now() -> Instant {
    Instant::now()
}
