//! A connection's socket, TCP or Unix.
//!
//! *Scope:* [`Stream`]: reading, writing, readiness. *Not in scope:* when to do which; the loop knows.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

/// One connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Does the same with either socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $what:expr) => {
        match $stream {
            Stream::Tcp($socket) => $what,
            #[cfg(unix)]
            Stream::Unix($socket) => $what,
        }
    };
}

impl Stream {
    /// Ends the write half.
    pub(super) fn end_output(&self) -> io::Result<()> {
        either!(self, socket => socket.shutdown(Shutdown::Write))
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        faults::interrupt()?;
        either!(self, socket => socket.read(room))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        faults::interrupt()?;
        either!(self, socket => socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, socket => socket.flush())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, socket => socket.register(registry, token, interest))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, socket => socket.reregister(registry, token, interest))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        either!(self, socket => socket.deregister(registry))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        either!(self, socket => socket.as_fd())
    }
}

/// Signals that come in the middle of a system call, which no test could time.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// How many calls of this thread were interrupted; `None` if none are to be.
        pub(in crate::net) static INTERRUPTED: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Interrupts every other call.
    pub(super) fn interrupt() -> io::Result<()> {
        let Some(count) = INTERRUPTED.get() else { return Ok(()) };
        INTERRUPTED.set(Some(count + 1));
        if count % 2 == 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}
