//! A command that serves its standard input and output for as long as its caller wants.
//!
//! *Scope:* starting and ending it, and its pipes, which the caller reads and writes in a loop of its own. *Not in scope:*
//! waiting for the pipes, and what passes through them.
//!
//! ```text
//!  started ──▶ close stdin: it may end by itself ──▶ terminate: TERM, and after kill_delay KILL ──▶ has_ended ──▶ end
//!     └────────────── it ends by itself, and its guard kills what it leaves behind ───────────────────▲
//! ```

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::guarded::{Guarded, Pipes};
use super::guards::Guards;
use super::{End, Rlimits, system, wire};

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct PipedSpec {
    /// The program and its arguments. The program is a path.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The working folder.
    pub(crate) cwd: PathBuf,
}

/// A command with its pipes. If it is dropped, its guard ends it.
pub(crate) struct Piped {
    guarded: Guarded,
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    guards: Guards,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Bytes(usize),
    /// There is nothing now.
    Nothing,
    /// There will be nothing any more.
    Over,
}

impl Piped {
    /// Starts a command, whose pipes are there at once. If its guard cannot be started, it ends at once, and [`end`](Piped::end) says why.
    ///
    /// # Errors
    /// A sentence with the cause and the remedy.
    pub(crate) fn start(spec: &PipedSpec, kill_delay: Duration, guards: &Guards) -> Result<Piped, String> {
        let program = system::own_program().map_err(|error| error.to_string())?;
        let request = wire::encode(&spec.argv, &spec.env, &spec.cwd, &Rlimits::default());
        let (guarded, Pipes { stdin, stdout, stderr }, starter) =
            Guarded::prepare(&program, &spec.argv, request, true, kill_delay)?;
        guards.start_guard(starter);
        let (stdout, stderr, guards) = (Some(stdout), Some(stderr), guards.clone());
        Ok(Piped { guarded, stdin, stdout, stderr, guards })
    }

    /// The descriptors to wait for: the guard's socket in both directions, standard input for writing, the others for reading.
    /// `None` for those that are closed.
    pub(crate) fn descriptors(&self) -> [Option<BorrowedFd<'_>>; 4] {
        [
            Some(self.guarded.control()),
            self.stdin.as_ref().map(AsFd::as_fd),
            self.stdout.as_ref().map(AsFd::as_fd),
            self.stderr.as_ref().map(AsFd::as_fd),
        ]
    }

    /// The guard's socket.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.guarded.control()
    }

    /// Goes on with the guard. Returns true if it has ended: nothing is left of the command.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.guarded.send_request();
        self.guarded.read_reports(&mut [0; 1024])
    }

    /// True if its guard has not been started yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.guarded.is_starting()
    }

    /// Writes as much as standard input takes now. Returns `None` if nothing can be written any more.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            match self.stdin.as_mut()?.write(bytes) {
                Ok(written) => return Some(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(0),
                Err(_) => return None,
            }
        }
    }

    /// Closes standard input, by which a server is asked to end.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Reads once from standard output.
    pub(crate) fn read_stdout(&mut self, scratch: &mut [u8]) -> Taken {
        read_some(&mut self.stdout, scratch)
    }

    /// Reads once from standard error.
    pub(crate) fn read_stderr(&mut self, scratch: &mut [u8]) -> Taken {
        read_some(&mut self.stderr, scratch)
    }

    /// Sends TERM, and KILL to what is left after the delay that it was started with. To be called once.
    pub(crate) fn terminate(&self) {
        self.guarded.terminate();
    }

    /// Returns how the command ended, once [`has_ended`](Piped::has_ended) returns true. `stderr` is the last of standard error.
    pub(crate) fn end(&self, stderr: &[u8]) -> End {
        self.guarded.end(None, stderr)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.guards.reap(self.guarded.process());
    }
}

/// Reads what there is, and closes the pipe at its end.
fn read_some(pipe: &mut Option<PipeReader>, scratch: &mut [u8]) -> Taken {
    let Some(reader) = pipe else { return Taken::Over };
    loop {
        match reader.read(scratch) {
            Ok(read @ 1..) => return Taken::Bytes(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Taken::Nothing,
            _ => {
                *pipe = None;
                return Taken::Over;
            }
        }
    }
}

/// Returns the path of a program that is named as in a shell: one with a slash as it is, any other is looked for on `path`.
pub(crate) fn find_program(name: &Path, path: &std::ffi::OsStr) -> io::Result<PathBuf> {
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(name);
    }
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok());
    found.ok_or_else(|| {
        let text =
            format!("there is no program `{}` on the PATH; install it, or write its path", name.display());
        io::Error::new(ErrorKind::NotFound, text)
    })
}
