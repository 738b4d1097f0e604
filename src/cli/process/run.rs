//! One command, as the server sees it.
//!
//! *Scope:* its guard, its pipes, what is kept of its output, and its deadline. *Not in scope:* when it is looked at (`supervisor`), and
//! how the guard ends it (`guard`).

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use rustix::event::PollFlags;

use super::guarded::{Guarded, Outgoing, Pipes};
use super::output::{Captured, Keep, Lines};
use super::wire;
use super::{CommandSpec, Done, End, Finished, NewRun, OnLine, ProcessLimits};

/// What is read at a time.
pub(super) const READ_BYTES: usize = 64 << 10;
/// What is read at most once no process of the command is left: more than a pipe can hold by default, and an end to it if
/// another process has got hold of the other end.
const LEFT_BYTES_MAX: usize = 1 << 20;

/// A descriptor of a command that something happened to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Control,
    Stdin,
    Stdout,
    Stderr,
}

pub(super) struct Run {
    guarded: Guarded,
    stdin: Option<(PipeWriter, Outgoing)>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    captured: Captured,
    captured_stderr: Captured,
    lines: Option<(Lines, OnLine)>,
    last_lines: bool,
    done: Option<Done>,
    began: Instant,
    /// When the next step is due if nothing happens: the timeout, or the end of waiting for the guard.
    pub(super) due: Option<Instant>,
    /// Why the server asked the guard to end it.
    ending: Option<End>,
    bytes_max: usize,
}

/// The bytes that a command may make the server keep.
pub(super) fn bytes_max(spec: &CommandSpec, limits: &ProcessLimits) -> usize {
    let arguments: usize = spec.argv.iter().map(|argument| argument.len()).sum();
    let variables: usize = spec.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    let stdin = spec.stdin.as_ref().map_or(0, Vec::len);
    let bounds = [limits.line_bytes_max, limits.stderr_bytes_max, arguments, variables, stdin];
    bounds.iter().fold(spec.output_bytes_max, |sum, bytes| sum.saturating_add(*bytes))
}

impl Run {
    /// Starts a command. Returns the reason if that fails, with `done`, which has not been called.
    pub(super) fn start(
        program: &Path,
        new: NewRun,
        limits: &ProcessLimits,
        now: Instant,
    ) -> Result<Run, (String, Done)> {
        let NewRun { mut spec, on_line, done, .. } = new;
        let bytes_max = bytes_max(&spec, limits);
        let request = wire::encode(&spec.argv, &spec.env, &spec.cwd, &spec.rlimits);
        let with_stdin = spec.stdin.is_some();
        let prepared = Guarded::prepare(program, &spec.argv, request, with_stdin, limits.kill_delay);
        let (guarded, Pipes { stdin, stdout, stderr }, starter) = match prepared {
            Ok(prepared) => prepared,
            Err(text) => return Err((text, done)),
        };
        // This thread may wait for it, as it serves commands only.
        starter.start();
        Ok(Run {
            guarded,
            stdin: stdin.zip(spec.stdin.take().map(Outgoing::new)),
            stdout: Some(stdout),
            stderr: Some(stderr),
            captured: Captured::new(if spec.lines { Keep::Last } else { Keep::First }, spec.output_bytes_max),
            captured_stderr: Captured::new(Keep::Last, limits.stderr_bytes_max),
            lines: on_line.map(|on_line| (Lines::new(limits.line_bytes_max), on_line)),
            last_lines: spec.lines,
            done: Some(done),
            began: now,
            due: now.checked_add(spec.timeout),
            ending: None,
            bytes_max,
        })
    }

    /// The bytes that it may make the server keep.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The descriptors to wait for, each with what for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = (Part, BorrowedFd<'_>, PollFlags)> {
        let unsent = self.guarded.has_unsent();
        let control = if unsent { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let stdin = self.stdin.as_ref().map(|(stdin, _)| (Part::Stdin, stdin.as_fd(), PollFlags::OUT));
        let stdout = self.stdout.as_ref().map(|pipe| (Part::Stdout, pipe.as_fd(), PollFlags::IN));
        let stderr = self.stderr.as_ref().map(|pipe| (Part::Stderr, pipe.as_fd(), PollFlags::IN));
        let control = Some((Part::Control, self.guarded.control(), control));
        [control, stdin, stdout, stderr].into_iter().flatten()
    }

    /// Goes on where a descriptor is ready. Returns true if the guard has ended: nothing is left of the command.
    pub(super) fn proceed(&mut self, part: Part, scratch: &mut [u8]) -> bool {
        match part {
            Part::Control => {
                self.guarded.send_request();
                return self.guarded.read_reports(scratch);
            }
            Part::Stdin => self.write_stdin(),
            Part::Stdout => drop(self.read_stdout(scratch)),
            Part::Stderr => drop(self.read_stderr(scratch)),
        }
        false
    }

    fn write_stdin(&mut self) {
        let Some((pipe, outgoing)) = &mut self.stdin else { return };
        let open = match pipe.write(outgoing.rest()) {
            Ok(sent) => {
                outgoing.advance(sent);
                !outgoing.rest().is_empty()
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !open {
            // All is written, or the command does not want more.
            self.stdin = None;
        }
    }

    /// Reads once. Returns the number of bytes; `None` if there are none now, or will be none any more.
    fn read_stdout(&mut self, scratch: &mut [u8]) -> Option<usize> {
        let bytes = read_some(&mut self.stdout, scratch)?;
        self.captured.push(bytes);
        if let Some((lines, on_line)) = &mut self.lines {
            lines.push(bytes, on_line);
        }
        Some(bytes.len())
    }

    fn read_stderr(&mut self, scratch: &mut [u8]) -> Option<usize> {
        let bytes = read_some(&mut self.stderr, scratch)?;
        self.captured_stderr.push(bytes);
        Some(bytes.len())
    }

    /// Asks the guard to end the command, for the first reason that there is.
    pub(super) fn end(&mut self, reason: End, limits: &ProcessLimits, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(reason);
        self.due = now.checked_add(limits.kill_delay + limits.abandon_delay);
        self.guarded.terminate();
    }

    /// Takes the step that is due: ends what has run for too long, or reports what does not end.
    pub(super) fn take_due_step(&mut self, limits: &ProcessLimits, scratch: &mut [u8], now: Instant) {
        if self.ending.is_none() {
            self.end(End::TimedOut, limits, now);
        } else {
            self.due = None;
            self.finish(scratch, now);
        }
    }

    /// Reports the result of a command whose guard has ended.
    pub(super) fn conclude(mut self, scratch: &mut [u8], now: Instant) {
        self.guarded.wait();
        self.finish(scratch, now);
    }

    fn finish(&mut self, scratch: &mut [u8], now: Instant) {
        let Some(done) = self.done.take() else { return };
        let mut left = LEFT_BYTES_MAX;
        while let Some(read) = self.read_stdout(scratch).filter(|read| *read <= left) {
            left -= read;
        }
        while let Some(read) = self.read_stderr(scratch).filter(|read| *read <= left) {
            left -= read;
        }
        if let Some((lines, mut on_line)) = self.lines.take() {
            lines.finish(&mut on_line);
        }
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        let empty = Captured::new(Keep::First, 0);
        let (stdout, stdout_cut) = std::mem::replace(&mut self.captured, empty).finish(self.last_lines);
        let empty = Captured::new(Keep::First, 0);
        let (stderr, _) = std::mem::replace(&mut self.captured_stderr, empty).finish(false);
        let end = self.guarded.end(self.ending.clone(), &stderr);
        done(Finished { end, stdout, stdout_cut, stderr, ran: now.saturating_duration_since(self.began) });
    }
}

/// Reads what there is, and closes the pipe at its end.
fn read_some<'b>(pipe: &mut Option<PipeReader>, scratch: &'b mut [u8]) -> Option<&'b [u8]> {
    match pipe.as_mut()?.read(scratch) {
        Ok(read @ 1..) => scratch.get(..read),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
        _ => {
            *pipe = None;
            None
        }
    }
}
