//! A guard and its process, the request on its way to `launch`, and what the two report.
//!
//! *Scope:* what is the same for a command that runs to its end ([`run`](super::run)) and for one that serves for long
//! ([`piped`](super::piped)). *Not in scope:* what is written to the command, and what becomes of its output.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wire::{self, Report};
use super::{End, GUARD};

/// How often a guard that was killed is looked at until it has ended, and the wait between two looks: 20 ms in all.
const GUARD_END_LOOKS: u32 = 20;
const GUARD_END_LOOK: Duration = Duration::from_millis(1);

/// A report is one path and a sentence.
const REPORT_BYTES_MAX: usize = 64 << 10;

/// Bytes that are written as far as the other side takes them.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(super) fn new(bytes: Vec<u8>) -> Outgoing {
        Outgoing { bytes, sent: 0 }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
    }
}

/// The process of a guard, which another thread may start and reap.
#[derive(Clone)]
pub(super) struct GuardProcess(Arc<Mutex<State>>);

enum State {
    /// `is_to_end` is true if the guard is to be asked for its end at once.
    Starting {
        is_to_end: bool,
    },
    Started(Child),
    /// The sentence says why.
    NotStarted(String),
}

impl GuardProcess {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the guard to end the command.
    fn terminate(&self) {
        match &mut *self.state() {
            State::Starting { is_to_end } => *is_to_end = true,
            State::Started(guard) => terminate(guard),
            State::NotStarted(_) => {}
        }
    }

    /// Waits until the guard has ended, and reaps it.
    fn wait(&self) {
        if let State::Started(guard) = &mut *self.state() {
            let _ = guard.wait();
        }
    }

    /// Returns how a guard ended that has closed its socket. `None` if it cannot be reaped within 20 ms, as when a debugger holds it: the
    /// loop of a bridge calls this.
    fn end_of_guard(&self) -> Option<ExitStatus> {
        let State::Started(guard) = &mut *self.state() else { return None };
        for _ in 0..GUARD_END_LOOKS {
            match guard.try_wait() {
                Ok(None) => std::thread::sleep(GUARD_END_LOOK),
                ended => return ended.ok().flatten(),
            }
        }
        None
    }

    /// How a command ended whose guard has closed its socket without a report. `stderr` is what the guard may have written.
    fn end_without_report(&self, stderr: &[u8]) -> End {
        // Another process has killed the guard, and the command with it.
        if let Some(signal) = self.end_of_guard().and_then(|status| status.signal()) {
            return End::Signalled(signal);
        }
        End::NotStarted(match &*self.state() {
            State::NotStarted(text) => text.clone(),
            State::Starting { .. } => {
                "the thread that starts processes has ended: restart the server".to_owned()
            }
            State::Started(_) => {
                format!("its guard ended without a report: {}", String::from_utf8_lossy(stderr).trim_end())
            }
        })
    }

    /// Reaps the guard if it has ended. Returns false if it has not.
    #[cfg(feature = "bridge")]
    pub(super) fn try_reap(&self) -> bool {
        match &mut *self.state() {
            State::Started(guard) => !matches!(guard.try_wait(), Ok(None)),
            State::Starting { .. } | State::NotStarted(_) => true,
        }
    }
}

fn terminate(guard: &Child) {
    // It has not been waited for, so the id is its own.
    let guard = Pid::from_child(guard);
    let _ = kill_process(guard, Signal::TERM);
    // A command may have stopped it.
    let _ = kill_process(guard, Signal::CONT);
}

/// A guard that is to be started.
pub(super) struct Starter {
    command: Command,
    /// The command that it guards, for an error.
    name: String,
    process: GuardProcess,
}

impl Starter {
    /// Starts the guard. It waits until the system has loaded the program. If that fails, the guard's socket ends.
    pub(super) fn start(mut self) {
        let started = self.command.spawn();
        let mut state = self.process.state();
        let is_to_end = matches!(*state, State::Starting { is_to_end: true });
        *state = match started {
            Ok(guard) => {
                if is_to_end {
                    terminate(&guard);
                }
                State::Started(guard)
            }
            Err(error) => {
                State::NotStarted(not_started(&self.name, Path::new(self.command.get_program()), &error))
            }
        };
        // `command` is dropped after this, and closes the guard's ends of the pipes: by then the reason has to be noted.
        drop(state);
    }
}

pub(super) struct Guarded {
    process: GuardProcess,
    control: UnixStream,
    request: Outgoing,
    /// The end that `launch` is sent with the first bytes of the request.
    stdin_reader: Option<PipeReader>,
    reports: Vec<u8>,
}

/// The server's ends of the pipes of a command. None of them blocks.
pub(super) struct Pipes {
    pub(super) stdin: Option<PipeWriter>,
    pub(super) stdout: PipeReader,
    pub(super) stderr: PipeReader,
}

impl Guarded {
    /// Prepares a guard for a command, and sends as much of the request as its socket takes. It runs once the [`Starter`] has
    /// started it.
    ///
    /// # Errors
    /// A sentence with the cause and the remedy.
    pub(super) fn prepare(
        program: &Path,
        argv: &[OsString],
        request: Vec<u8>,
        with_stdin: bool,
        kill_delay: Duration,
    ) -> Result<(Guarded, Pipes, Starter), String> {
        let name = argv.first().map(|command| command.display().to_string()).unwrap_or_default();
        let prepared = Guarded::with_pipes(program, request, with_stdin, kill_delay);
        let (guarded, pipes, command) = prepared.map_err(|error| not_started(&name, program, &error))?;
        let process = guarded.process.clone();
        Ok((guarded, pipes, Starter { command, name, process }))
    }

    fn with_pipes(
        program: &Path,
        request: Vec<u8>,
        with_stdin: bool,
        kill_delay: Duration,
    ) -> io::Result<(Guarded, Pipes, Command)> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_nonblocking(true)?;
        let stdin = with_stdin.then(io::pipe).transpose()?;
        if let Some((_, writer)) = &stdin {
            rustix::io::ioctl_fionbio(writer, true)?;
        }
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        let mut command = Command::new(program);
        command
            .arg0("rill-guard")
            .arg(GUARD)
            .arg(kill_delay.as_millis().to_string())
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout_writer)
            .stderr(stderr_writer);
        let (stdin_reader, stdin) = stdin.unzip();
        let process = GuardProcess(Arc::new(Mutex::new(State::Starting { is_to_end: false })));
        let request = Outgoing::new(request);
        let mut guarded = Guarded { process, control, request, stdin_reader, reports: Vec::new() };
        guarded.send_request();
        Ok((guarded, Pipes { stdin, stdout, stderr }, command))
    }

    /// True if the guard has not been started yet.
    #[cfg(feature = "bridge")]
    pub(super) fn is_starting(&self) -> bool {
        matches!(*self.process.state(), State::Starting { .. })
    }

    /// The guard, to be reaped elsewhere.
    #[cfg(feature = "bridge")]
    pub(super) fn process(&self) -> GuardProcess {
        self.process.clone()
    }

    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// True if part of the request is still to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.request.rest().is_empty()
    }

    /// Sends what is left of the request, as far as the socket takes it.
    pub(super) fn send_request(&mut self) {
        while self.has_unsent() {
            let stdin = self.stdin_reader.as_ref().map(AsFd::as_fd);
            match wire::send(&self.control, self.request.rest(), stdin) {
                Ok(sent) => {
                    self.request.advance(sent);
                    self.stdin_reader = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The end of the guard is met when it is read from.
                Err(_) => break,
            }
        }
        self.request = Outgoing::new(Vec::new());
        self.stdin_reader = None;
    }

    /// Reads what has been reported. Returns true if the guard has ended: nothing is left of the command.
    pub(super) fn read_reports(&mut self, scratch: &mut [u8]) -> bool {
        loop {
            match self.control.read(scratch) {
                Ok(0) => return true,
                Ok(read) => {
                    let room = REPORT_BYTES_MAX - self.reports.len().min(REPORT_BYTES_MAX);
                    let read = scratch.get(..read.min(room)).unwrap_or_default();
                    self.reports.extend_from_slice(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// Asks the guard to end the command.
    pub(super) fn terminate(&self) {
        self.process.terminate();
    }

    /// Reaps the guard, which has ended.
    pub(super) fn wait(&self) {
        // It closed its socket by ending, so this takes milliseconds. A loop must not wait for that.
        self.process.wait();
    }

    /// Returns how the command ended: by the reports, by `reason` if the server ended it, or by the guard's own end. `stderr`
    /// is what the guard may have written.
    pub(super) fn end(&self, reason: Option<End>, stderr: &[u8]) -> End {
        match (wire::read_reports(&self.reports), reason) {
            (Some(Report::Failed(text)), _) => End::NotStarted(text),
            (_, Some(reason)) => reason,
            (Some(Report::Exited(code)), None) => End::Exited(code),
            (Some(Report::Signalled(signal)), None) => End::Signalled(signal),
            (None, None) => self.process.end_without_report(stderr),
        }
    }
}

/// Says why the guard of a command cannot be started, and what to do about it.
fn not_started(name: &str, program: &Path, error: &io::Error) -> String {
    let reason = match error.kind() {
        ErrorKind::NotFound => format!(
            "{} cannot be found, by which this program starts itself again: mount /proc",
            program.display()
        ),
        ErrorKind::WouldBlock => {
            format!("{error}: the user has as many processes as the system allows (ulimit -u)")
        }
        _ => error.to_string(),
    };
    format!("{name} cannot be started: its guard cannot: {reason}")
}
