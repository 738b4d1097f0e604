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

use super::transport::Wrapped;

/// One connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Boxed, and called through a table, so that the others cost no more because of it.
    Wrapped(Box<Wrapped>),
}

/// Does the same with either socket, and something else with a transport.
macro_rules! either {
    ($stream:expr, $socket:ident => $what:expr, $wrapped:ident => $other:expr) => {
        match $stream {
            Stream::Tcp($socket) => $what,
            #[cfg(unix)]
            Stream::Unix($socket) => $what,
            Stream::Wrapped($wrapped) => $other,
        }
    };
}

impl Stream {
    /// A TCP connection that was just accepted.
    pub(super) fn of_tcp(socket: TcpStream) -> Stream {
        // Without it small replies wait up to 40 ms for the peer's delayed acknowledgement.
        let _ = socket.set_nodelay(true);
        Stream::Tcp(socket)
    }

    /// The descriptor; `None` below a transport, which has it.
    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        either!(self, socket => Some(socket.as_fd()), _wrapped => None)
    }

    /// What lies between the socket and HTTP, if there is something.
    pub(super) fn wrapped(&mut self) -> Option<&mut Wrapped> {
        match self {
            Stream::Wrapped(wrapped) => Some(wrapped),
            _ => None,
        }
    }

    /// Ends the write half.
    pub(super) fn end_output(&mut self) -> io::Result<()> {
        either!(self, socket => socket.shutdown(Shutdown::Write), wrapped => wrapped.end_output())
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        faults::interrupt()?;
        either!(self, socket => socket.read(room), wrapped => wrapped.read(room))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        faults::interrupt()?;
        either!(self, socket => socket.write(bytes), wrapped => wrapped.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, socket => socket.flush(), wrapped => wrapped.flush().map(|_| ()))
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, socket => socket.register(registry, token, interest), wrapped => wrapped.socket()?.register(registry, token, interest))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, socket => socket.reregister(registry, token, interest), wrapped => wrapped.socket()?.reregister(registry, token, interest))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        either!(self, socket => socket.deregister(registry), wrapped => wrapped.socket()?.deregister(registry))
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
