//! A blocking socket, TCP or Unix, that is never read or written for longer than a given time.
//!
//! *Scope:* [`Socket`]: connecting, reading and writing. *Not in scope:* what is sent.
//!
//! A write that blocks is interrupted every [`SLICE`], and the caller can read what it is sent: a server that takes nothing
//! before some of that has been read would otherwise wait for us while we wait for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::deadline::left;
use crate::client::error::Error;
use crate::client::url::Url;

/// How long one read or write blocks before others get a turn.
pub(super) const SLICE: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 16 << 10;
/// How long to wait before a Unix socket is tried again at which too many clients wait. Nothing says when there is room.
#[cfg(unix)]
const RETRY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Does the same with either socket.
macro_rules! either {
    ($socket:expr, $inner:ident => $what:expr) => {
        match $socket {
            Socket::Tcp($inner) => $what,
            #[cfg(unix)]
            Socket::Unix($inner) => $what,
        }
    };
}

impl Socket {
    /// Connects to the server of a URL.
    pub(crate) fn connect(url: &Url, deadline: Instant) -> Result<Socket, Error> {
        let connected = match &url.socket {
            Some(path) => connect_unix(path, deadline),
            None => connect_tcp(&url.host, url.port, deadline),
        };
        connected.map_err(|error| match error {
            Error::Io(error) => {
                let text = format!("cannot connect to {}: {error}", url.origin());
                Error::Io(io::Error::new(error.kind(), text))
            }
            error => error,
        })
    }

    /// Writes all of it, and returns true; false if the peer has ended the connection. Whenever the socket blocks, `meanwhile`
    /// is called; an error of it gives up.
    pub(super) fn write_all(
        &mut self,
        bytes: &[u8],
        deadline: Instant,
        mut meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let timeout = Some(left(deadline)?.min(SLICE));
            either!(self, socket => socket.set_write_timeout(timeout))?;
            match either!(self, socket => socket.write(rest)) {
                Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_pause(&error) => meanwhile()?,
                Err(error) if is_break(&error) => return Ok(false),
                written => return Err(written.err().unwrap_or_else(|| ErrorKind::WriteZero.into()).into()),
            }
        }
        Ok(true)
    }

    /// Reads once and appends to `input`, for no longer than `wait`. Returns the number of bytes, which is 0 at the end, or
    /// `None` if nothing came.
    pub(super) fn read(&mut self, input: &mut Vec<u8>, wait: Duration) -> io::Result<Option<usize>> {
        let mut buffer = [0; READ_BYTES];
        let read = if wait.is_zero() {
            either!(self, socket => socket.set_nonblocking(true))?;
            let read = either!(self, socket => socket.read(&mut buffer));
            either!(self, socket => socket.set_nonblocking(false))?;
            read
        } else {
            either!(self, socket => socket.set_read_timeout(Some(wait)))?;
            either!(self, socket => socket.read(&mut buffer))
        };
        match read {
            Ok(count) => {
                input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(Some(count))
            }
            Err(error) if is_pause(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Tries each address of the host. The system looks up its name, and keeps no deadline.
fn connect_tcp(host: &str, port: u16, deadline: Instant) -> Result<Socket, Error> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    let mut addresses = (host, port).to_socket_addrs()?;
    while let Some(address) = addresses.next() {
        // An address that swallows everything must leave time for the next one.
        let rest = u32::try_from(addresses.size_hint().0).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(&address, left(deadline)? / rest.saturating_add(1)) {
            Ok(socket) => {
                // Without it a request can wait 40 ms for the server's delayed acknowledgement.
                let _ = socket.set_nodelay(true);
                return Ok(Socket::Tcp(socket));
            }
            Err(error) => last = error,
        }
    }
    if last.kind() == ErrorKind::TimedOut { Err(Error::Timeout) } else { Err(last.into()) }
}

#[cfg(unix)]
fn connect_unix(path: &Path, deadline: Instant) -> Result<Socket, Error> {
    loop {
        match crate::net::unix::connect(path) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(RETRY.min(left(deadline)?));
            }
            connected => return Ok(Socket::Unix(connected?)),
        }
    }
}

#[cfg(not(unix))]
fn connect_unix(_: &Path, _: Instant) -> Result<Socket, Error> {
    Err(io::Error::new(ErrorKind::Unsupported, "this system has no Unix sockets").into())
}

/// True if nothing happened in the time that was given; systems disagree on what to call that.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// True if the peer, or something on the way, has ended the connection.
pub(super) fn is_break(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_too_many_that_wait_has_a_deadline() {
        let path = std::env::temp_dir().join(format!("rill-full-{}", std::process::id()));
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // The system has a bound on how many may wait, which depends on it.
        let full = (0..1 << 20).find_map(|_| connect_unix(&path, Instant::now()).err());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(full, Some(Error::Timeout)), "{full:?}");
    }
}
