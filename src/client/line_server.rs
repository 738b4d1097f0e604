//! A server that takes and sends lines, one message each (MCP 2025-11-25 and 2026-07-28, transports, "stdio"): a child, or what is
//! at the other end of a socket.
//!
//! *Scope:* its lines; starting and ending a child. *Not in scope:* a child's standard error, which goes where the caller's command
//! says; processes that it starts.
//!
//! ```text
//!  started ──▶ lines … ──▶ close: its input ends ──2 s──▶ TERM ──2 s──▶ KILL
//!  connected ──▶ │              └────────────────┴─────────────┴──▶ reaped, or the socket is closed
//!                └─ it ends, or its output does ──▶ every request fails, and says how it ended
//! ```
//!
//! A child's standard input and output are sockets, which can be read and written for no longer than a given time; no thread is
//! needed. Node starts its children in the same way, so that servers meet this every day.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::deadline::left;
use crate::client::error::Error;
use crate::client::socket::{SLICE, Socket};
use crate::client::transport::{Arrival, Outgoing};
use crate::lines::{Line, Splitter};
use crate::text::{keep_on_one_line, shown};

/// How long the child may take to end once its input has ended, and again after TERM.
const END_GRACE: Duration = Duration::from_secs(2);
/// How often a child is looked at that is about to end.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take from the end of its output to its own, so that an error can say how it ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Lines in a row that are no messages: banners, and what is printed by mistake.
const NOISE_LINES_MAX: u32 = 100;

/// A server and its lines.
#[derive(Debug)]
pub(super) struct LineServer {
    far_end: FarEnd,
    line_bytes_max: usize,
    /// Its input.
    to: Socket,
    /// Its output.
    from: Socket,
    /// What was read and not used yet.
    input: Vec<u8>,
    splitter: Splitter,
    noise_lines: u32,
    /// Why nothing can be sent or received any more.
    over: Option<Over>,
}

#[derive(Debug)]
enum FarEnd {
    Child {
        command: Box<Command>,
        process: process::Child,
    },
    /// Who holds the other end of the socket is not known here.
    Socket,
}

#[derive(Debug)]
enum Over {
    /// The client was closed.
    Closed,
    /// The server has ended; how.
    Ended(String),
}

impl LineServer {
    /// Starts a child. Its standard input and output are set here.
    pub(super) fn start(mut command: Command, line_bytes_max: usize) -> Result<LineServer, Error> {
        let (to, input) = UnixStream::pair()?;
        let (output, from) = UnixStream::pair()?;
        command.stdin(Stdio::from(OwnedFd::from(input))).stdout(Stdio::from(OwnedFd::from(output)));
        let spawned = command.spawn();
        // The command holds the child's ends of the sockets: with them open here, its output would never end.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = spawned.map_err(|error| {
            let program = shown(command.get_program().as_encoded_bytes());
            io::Error::new(error.kind(), format!("cannot start `{program}`: {error}"))
        })?;
        Ok(LineServer::new(FarEnd::Child { command: Box::new(command), process }, to, from, line_bytes_max))
    }

    /// Speaks with the server at the other end of a connected socket.
    pub(super) fn connected(socket: UnixStream, line_bytes_max: usize) -> Result<LineServer, Error> {
        socket.set_nonblocking(false)?;
        let from = socket.try_clone()?;
        Ok(LineServer::new(FarEnd::Socket, socket, from, line_bytes_max))
    }

    fn new(far_end: FarEnd, to: UnixStream, from: UnixStream, line_bytes_max: usize) -> LineServer {
        LineServer {
            far_end,
            line_bytes_max,
            to: Socket::Unix(to),
            from: Socket::Unix(from),
            input: Vec::new(),
            splitter: Splitter::default(),
            noise_lines: 0,
            over: None,
        }
    }

    /// Returns the name of a child's program; of a socket nothing is known.
    pub(super) fn place(&self) -> String {
        match &self.far_end {
            FarEnd::Child { command, .. } => format!("`{}`", shown(command.get_program().as_encoded_bytes())),
            FarEnd::Socket => "the server".to_owned(),
        }
    }

    /// After `server/discover` failed: a server with sessions may not have answered it, or may have ended at a request that
    /// comes before `initialize`. A child is started once more then.
    pub(super) fn recover(&mut self, error: Error) -> Result<(), Error> {
        if matches!((&error, &self.over), (Error::Timeout, None)) {
            return Ok(());
        }
        if matches!(self.over, Some(Over::Ended(_))) {
            self.end();
            if let FarEnd::Child { command, .. } = &mut self.far_end {
                let command = mem::replace(&mut **command, Command::new(""));
                *self = LineServer::start(command, self.line_bytes_max)?;
                return Ok(());
            }
        }
        Err(error)
    }

    fn check_open(&self) -> Result<(), Error> {
        match &self.over {
            None => Ok(()),
            Some(Over::Closed) => Err(Error::Closed),
            Some(Over::Ended(how)) => Err(io::Error::new(ErrorKind::UnexpectedEof, how.clone()).into()),
        }
    }

    pub(super) fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error> {
        self.check_open()?;
        let mut line = message.text.to_vec();
        keep_on_one_line(&mut line);
        line.push(b'\n');
        let LineServer { to, from, input, line_bytes_max, .. } = self;
        // It may take nothing before its output is read.
        let written = to.write_all(&line, deadline, || {
            while input.len() <= *line_bytes_max
                && from.read(input, Duration::ZERO)?.is_some_and(|count| count > 0)
            {}
            Ok(())
        });
        match written {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.has_ended("stopped reading its standard input")),
            Err(error) => {
                // Part of a line is there, and nothing can follow it.
                self.over = Some(Over::Ended("the server took only a part of a message".to_owned()));
                Err(error)
            }
        }
    }

    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Arrival, Error> {
        loop {
            if let Some(message) = self.next_message()? {
                return Ok(Arrival::Message(message, None));
            }
            self.check_open()?;
            let wait = left(deadline)?.min(SLICE);
            match self.from.read(&mut self.input, wait) {
                Ok(Some(0)) | Err(_) => return Err(self.has_ended("closed its standard output")),
                Ok(_) => {}
            }
        }
    }

    /// Returns the next message in what was read.
    fn next_message(&mut self) -> Result<Option<String>, Error> {
        loop {
            let mut rest = self.input.as_slice();
            let line = match self.splitter.next(&mut rest, self.line_bytes_max) {
                Some(Line::Whole(line)) => Some(line.to_vec()),
                Some(Line::TooLong) => None,
                None => {
                    let used = self.input.len() - rest.len();
                    self.input.drain(..used);
                    return Ok(None);
                }
            };
            let used = self.input.len() - rest.len();
            self.input.drain(..used);
            let line = line.ok_or_else(|| {
                Error::Protocol(format!(
                    "the server sent a line of more than {} bytes; raise event_bytes_max to read it",
                    self.line_bytes_max
                ))
            })?;
            if matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
                self.noise_lines = 0;
                let text = String::from_utf8(line);
                return text
                    .map(Some)
                    .map_err(|_| Error::protocol("the server sent a line that is not UTF-8"));
            }
            self.noise_lines += 1;
            if self.noise_lines > NOISE_LINES_MAX {
                self.noise_lines = 0;
                return Err(Error::Protocol(format!(
                    "the server printed more than {NOISE_LINES_MAX} lines that are not messages, such as `{}`; only \
                     messages belong on its standard output",
                    shown(&line)
                )));
            }
        }
    }

    /// The server has ended, or does `what`, which is as good: returns the error, now and later.
    fn has_ended(&mut self, what: &str) -> Error {
        let until = Instant::now() + LAST_WORDS;
        let how = match (self.wait(until), &self.far_end) {
            (Some(status), _) => how(status),
            (None, FarEnd::Child { .. }) => format!("the server {what}"),
            (None, FarEnd::Socket) => "the server ended the connection".to_owned(),
        };
        self.over = Some(Over::Ended(how.clone()));
        io::Error::new(ErrorKind::UnexpectedEof, how).into()
    }

    /// Waits for the end of a child, and reads what it still writes, so that it is not kept from ending.
    fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        let FarEnd::Child { process, .. } = &mut self.far_end else { return None };
        loop {
            // It is not running if this fails.
            if let Ok(Some(status)) = process.try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            let mut dropped = Vec::new();
            if !matches!(self.from.read(&mut dropped, LOOK), Ok(Some(1..) | None)) {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Ends the server's input; a child that has not ended then is ended, and reaped.
    fn end(&mut self) {
        if let Socket::Unix(to) = &self.to {
            // It fails if the server has closed its end.
            let _ = to.shutdown(Shutdown::Write);
        }
        let FarEnd::Child { process, .. } = &self.far_end else { return };
        let id = process.id();
        if self.wait(Instant::now() + END_GRACE).is_some() {
            return;
        }
        terminate(id);
        let ended = self.wait(Instant::now() + END_GRACE).is_some();
        if let FarEnd::Child { process, .. } = &mut self.far_end {
            if !ended {
                // It fails if the child has just ended.
                let _ = process.kill();
            }
            let _ = process.wait();
        }
    }

    /// Ends the connection, and a child. Everything later is [`Error::Closed`].
    pub(super) fn close(&mut self) {
        if !matches!(self.over, Some(Over::Closed)) {
            self.over = Some(Over::Closed);
            self.end();
        }
    }
}

/// Asks a child to end that is not reaped yet, so that the id is still its own.
///
/// The standard library sends KILL and nothing else, and another way needs unsafe code or a crate. A shell has it built in.
fn terminate(id: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -TERM \"$0\"", &id.to_string()]);
    // Where there is no shell, KILL follows.
    let _ = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the server ended with exit code {code}"),
        (None, Some(signal)) => format!("the server was ended by signal {signal}"),
        (None, None) => "the server ended".to_owned(),
    }
}
