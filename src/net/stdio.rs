//! Standard input and output as a connection of lines.
//!
//! *Scope:* two threads that carry bytes between the descriptors and the loop, and the end of the server when either ends; a
//! connected socket in their place. *Not in scope:* what the lines say.
//!
//! ```text
//!  standard input ──▶ thread ──▶ ┌─────────────┐ ──▶ loop: a connection of lines
//!                                │ socket pair │
//!  standard output ◀── thread ◀─ └─────────────┘ ◀── loop
//!
//!  end of input ──▶ shutdown: open calls are answered, for shutdown_grace ──▶ what is left is written ──▶ the end
//!  output is gone ──▶ shutdown, and the connection is lost
//! ```
//!
//! The descriptors may be files, terminals and pipes, which a loop cannot all wait for, and to make one that others share
//! non-blocking would change it for those. So threads block in their place, and the socket pair is what the loop waits for: a
//! reader that stalls fills it, and is then what any other slow reader is.

use std::io::{self, ErrorKind, Read, Write};
#[cfg(unix)]
use std::net::Shutdown;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::Listening;
#[cfg(unix)]
use super::stream::Stream;
#[cfg(unix)]
use crate::access::peer::Peer;
use crate::engine::ConnKey;
use crate::server::builder::Server;
use crate::threads;
use crate::timers::Now;

/// How much is carried at once.
const PIECE_BYTES: usize = 16 << 10;
/// Another program that shares the descriptor may have made it non-blocking. Nothing says when it is ready again.
const NOT_READY_WAIT: Duration = Duration::from_millis(5);

/// The connection, and the thread that writes.
pub(super) struct Stdio {
    pub(super) key: ConnKey,
    written: Receiver<io::Result<()>>,
}

impl Stdio {
    /// Waits until what was sent is written, at most for this time: its reader may have stalled.
    pub(super) fn finish(self, grace: Duration) -> io::Result<()> {
        self.written.recv_timeout(grace).unwrap_or(Ok(()))
    }
}

impl<X> Server<X> {
    /// Serves standard input and output, one message a line (MCP, transports, "stdio"), until the input ends and open calls are
    /// answered, at most [`shutdown_grace`](crate::Limits::shutdown_grace) later. Only on Unix.
    ///
    /// Handlers must not print to standard output: a client takes each line there for a message. `eprintln!` does no harm: a
    /// client keeps or shows standard error. Handlers have nothing to read on standard input either.
    ///
    /// # Errors
    /// - `InvalidInput`: the server is not configured correctly.
    /// - If standard output cannot be written to. It is not an error if its reader has gone.
    /// - As [`Listening::run`].
    ///
    /// ```no_run
    /// fn main() -> std::io::Result<()> {
    ///     mcp_rill::Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello").run_stdio()
    /// }
    /// ```
    pub fn run_stdio(self) -> io::Result<()> {
        let mut listening = Listening::of_server(self.retyped())?;
        listening.serve_stdio()?;
        listening.run()
    }
}

impl Listening {
    /// Serves standard input and output besides, as [`Server::run_stdio`] says. When either ends, the server does, as after
    /// [`Handle::shutdown`](crate::Handle::shutdown). Only on Unix.
    ///
    /// [`run`](Listening::run) waits until what was sent is written. A loop of one's own has no such wait.
    ///
    /// # Errors
    /// - `AlreadyExists`: it was called before.
    /// - `Unsupported`: the system is not Unix.
    /// - If the system makes no thread or has no descriptor.
    pub fn serve_stdio(&mut self) -> io::Result<()> {
        if self.stdio.is_some() {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "standard input and output are served already",
            ));
        }
        #[cfg(unix)]
        {
            use std::os::fd::AsFd;
            // Descriptors of their own: no lock and no buffer is shared with what handlers print.
            let input = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
            let output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
            self.serve_lines(input, output)
        }
        #[cfg(not(unix))]
        Err(io::Error::new(
            ErrorKind::Unsupported,
            "this system has no Unix sockets, which standard input and output need; listen on HOST:PORT",
        ))
    }

    /// Serves the peer of a connected socket, one message a line as over standard input and output: a client in the same process
    /// that holds the other end of [`UnixStream::pair`], for example. Several sockets may be served. The peer has no principal
    /// and counts as this machine. When it closes its end, its open calls are answered and its session ends; the server goes
    /// on. Only on Unix.
    ///
    /// [`Builder::connect_socket`](crate::client::Builder::connect_socket) has an example.
    ///
    /// # Errors
    /// If the system cannot make the socket non-blocking.
    #[cfg(unix)]
    pub fn serve_socket(&mut self, socket: UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let now = self.now();
        let key = self.engine.open_lines(now, Peer { loopback: true, ..Peer::default() });
        self.add_socket(now, key, Stream::Unix(mio::net::UnixStream::from_std(socket)));
        Ok(())
    }

    /// Serves a connection of lines that come from `input`, with the answers on `output`.
    #[cfg(unix)]
    pub(super) fn serve_lines(
        &mut self,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
    ) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let reading = theirs.try_clone()?;
        let (done, written) = mpsc::channel();
        threads::start("mcp-rill input", move || {
            // What fails here ends the input, and with it the server.
            let _ = carry(input, &reading);
            let _ = reading.shutdown(Shutdown::Write);
        })?;
        threads::start("mcp-rill output", move || {
            let outcome = carry(&theirs, output);
            let _ = theirs.shutdown(Shutdown::Both);
            let _ = done.send(outcome.or_else(|error| match error.kind() {
                ErrorKind::BrokenPipe => Ok(()),
                kind => Err(io::Error::new(kind, format!("standard output: {error}"))),
            }));
        })?;
        let now = self.now();
        let key = self.engine.open_lines(now, Peer { loopback: true, ..Peer::default() });
        self.add_socket(now, key, Stream::Unix(mio::net::UnixStream::from_std(ours)));
        self.stdio = Some(Stdio { key, written });
        Ok(())
    }

    /// Standard input or output has ended, if that is what the connection is: so does the server.
    pub(super) fn end_with_stdio(&mut self, now: Now, key: ConnKey) {
        if self.is_stdio(key) {
            let grace = self.engine.limits().shutdown_grace;
            self.engine.shutdown(now, grace);
        }
    }

    /// True for the connection that standard input and output are.
    pub(super) fn is_stdio(&self, key: ConnKey) -> bool {
        self.stdio.as_ref().is_some_and(|stdio| stdio.key == key)
    }
}

/// Carries bytes as they come, until the input ends.
fn carry(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match from.read(&mut piece) {
            // The loop closes its end without reading what came last.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            read => match retried(read)? {
                Some(count) => count,
                None => continue,
            },
        };
        if count == 0 {
            return Ok(());
        }
        let mut rest = piece.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let taken = retried(to.write(rest))?;
            if taken == Some(0) {
                return Err(ErrorKind::WriteZero.into());
            }
            rest = rest.get(taken.unwrap_or(0)..).unwrap_or_default();
        }
        to.flush()?;
    }
}

/// The count; `None` if it is to be tried again.
fn retried(count: io::Result<usize>) -> io::Result<Option<usize>> {
    match count {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            thread::sleep(NOT_READY_WAIT);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
