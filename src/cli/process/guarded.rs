//! A guard that was started, the request on its way to `launch`, and what the two report.
//!
//! *Scope:* what is the same for a command that runs to its end ([`run`](super::run)) and for one that serves for long
//! ([`piped`](super::piped)). *Not in scope:* what is written to the command, and what becomes of its output.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wire::{self, Report};
use super::{End, GUARD};

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

pub(super) struct Guarded {
    guard: Child,
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
    /// Starts a guard, and sends as much of the request as its socket takes.
    pub(super) fn start(
        program: &Path,
        request: Vec<u8>,
        with_stdin: bool,
        kill_delay: Duration,
    ) -> io::Result<(Guarded, Pipes)> {
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
        let guard = Command::new(program)
            .arg0("rill-guard")
            .arg(GUARD)
            .arg(kill_delay.as_millis().to_string())
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout_writer)
            .stderr(stderr_writer)
            .spawn()?;
        let (stdin_reader, stdin) = stdin.unzip();
        let mut guarded =
            Guarded { guard, control, request: Outgoing::new(request), stdin_reader, reports: Vec::new() };
        guarded.send_request();
        Ok((guarded, Pipes { stdin, stdout, stderr }))
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
        // It has not been waited for, so the id is its own.
        let guard = Pid::from_child(&self.guard);
        let _ = kill_process(guard, Signal::TERM);
        // A command may have stopped it.
        let _ = kill_process(guard, Signal::CONT);
    }

    /// Reaps the guard, which has ended.
    pub(super) fn wait(&mut self) -> Option<ExitStatus> {
        // It closed its socket by ending, so this does not wait.
        self.guard.wait().ok()
    }

    /// Returns how the command ended: by the reports, by `reason` if the server ended it, or by the guard's own end. `stderr`
    /// is what the guard may have written.
    pub(super) fn end(&self, reason: Option<End>, status: Option<ExitStatus>, stderr: &[u8]) -> End {
        match (wire::read_reports(&self.reports), reason) {
            (Some(Report::Failed(text)), _) => End::NotStarted(text),
            (_, Some(reason)) => reason,
            (Some(Report::Exited(code)), None) => End::Exited(code),
            (Some(Report::Signalled(signal)), None) => End::Signalled(signal),
            // Another process has killed the guard, and the command with it.
            (None, None) => match status.and_then(|status| status.signal()) {
                Some(signal) => End::Signalled(signal),
                None => End::NotStarted(format!(
                    "its guard ended without a report: {}",
                    String::from_utf8_lossy(stderr).trim_end()
                )),
            },
        }
    }
}

/// Says why a guard cannot be started, and what to do about it.
pub(super) fn explain(program: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!(
            "{} cannot be found, by which this program starts itself again: mount /proc",
            program.display()
        ),
        ErrorKind::WouldBlock => {
            format!("{error}: the user has as many processes as the system allows (ulimit -u)")
        }
        _ => error.to_string(),
    }
}
