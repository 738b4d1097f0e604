//! What lies between the socket of a connection and its HTTP: TLS, above all.
//!
//! *Scope:* [`Transport`], the interface of one, and driving it so that nothing that it keeps is forgotten. *Not in scope:* any
//! transport of this crate's own; how many handshakes there may be and how long one may take (the engine knows).
//!
//! ```text
//!  socket ──▶ read ──▶ Engine::receive
//!  Engine::outgoing ──▶ write, at most transport_bytes_max ──▶ flush ─┬─ all has left ──▶ Engine::sent ──▶ the next part
//!                                                                     └─ some is kept ──▶ an event ──▶ flush
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;

use crate::access::peer::{Peer, Principal};
use crate::protocol::panics::contained;

/// Makes the transport of a new TCP connection.
pub(super) type StreamHook = Box<dyn FnMut(TcpSocket, &Peer) -> io::Result<Box<dyn Transport>> + Send>;

/// A TCP connection that was just accepted, for a [`Transport`] to read from and to write to. It never blocks.
///
/// It is a transport itself, which passes everything on as it is: for a hook of
/// [`Listening::on_stream`](crate::net::Listening::on_stream) that has TLS for some peers only.
#[derive(Debug)]
pub struct TcpSocket(pub(super) TcpStream);

impl TcpSocket {
    /// Returns the address that the peer connected to.
    ///
    /// # Errors
    /// From the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// From the system, if the peer is gone already, say.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl Read for TcpSocket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for TcpSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Transport for TcpSocket {
    fn socket(&mut self) -> &mut TcpSocket {
        self
    }
}

/// What lies between a socket and HTTP, such as TLS: [`Listening::on_stream`](crate::net::Listening::on_stream) makes one for each
/// connection, and `examples/tls.rs` is one.
///
/// [`Read`] and [`Write`] are the side of HTTP. The other side is the socket, which the transport owns and which never blocks. The loop
/// calls the transport whenever something has happened to the socket, and relies on this:
///
/// - `read` reads from the socket until it has something to return or the socket says `WouldBlock`, and does the handshake on the way.
///   It may return less than there is: it is called again until it returns `WouldBlock`. `Ok(0)` is the end that the peer has told of
///   (for TLS: `close_notify`); the error `UnexpectedEof` counts as such an end after the handshake, because HTTP has lengths of its
///   own.
/// - `write` takes some of the bytes, and may keep what it makes of them. It is not called during the handshake, nor with more than
///   [`transport_bytes_max`](crate::Limits::transport_bytes_max) bytes, nor while something is kept of those before, so that is all it
///   ever keeps. `WouldBlock` means that nothing was taken, and the same bytes are offered again.
/// - `flush` writes what is kept until nothing is left or the socket says `WouldBlock`, which it may return or not. It is called after
///   each `write`, and whenever the socket takes bytes again.
/// - `has_unsent` returns true while something is kept: of `write`, of the handshake, of an end. The bytes of a response count as
///   sent, for every limit and for the end of the connection, when it has become false.
///
/// An error, except `WouldBlock` and `Interrupted`, ends the connection, and so does a panic.
///
/// ```
/// use mcp_rill::net::{TcpSocket, Transport};
/// use std::io::{self, Read, Write};
///
/// /// Hides nothing from anybody.
/// struct Rot128(TcpSocket, Vec<u8>);
///
/// impl Read for Rot128 {
///     fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
///         let count = self.0.read(room)?;
///         room.iter_mut().take(count).for_each(|byte| *byte ^= 128);
///         Ok(count)
///     }
/// }
///
/// impl Write for Rot128 {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         self.1.extend(bytes.iter().map(|byte| byte ^ 128));
///         Ok(bytes.len())
///     }
///
///     fn flush(&mut self) -> io::Result<()> {
///         while !self.1.is_empty() {
///             let count = self.0.write(&self.1)?;
///             self.1.drain(..count);
///         }
///         Ok(())
///     }
/// }
///
/// impl Transport for Rot128 {
///     fn socket(&mut self) -> &mut TcpSocket {
///         &mut self.0
///     }
///
///     fn has_unsent(&self) -> bool {
///         !self.1.is_empty()
///     }
/// }
/// ```
pub trait Transport: Read + Write + Send {
    /// The socket, which is the one that the hook got. The loop waits for it, and ends its write half.
    fn socket(&mut self) -> &mut TcpSocket;

    /// True until the handshake is complete. It is asked after each `read` and `flush`. A transport that begins with one says so from
    /// the beginning.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// True while bytes are kept that the socket has not taken yet.
    fn has_unsent(&self) -> bool {
        false
    }

    /// Keeps what tells the peer that no more comes, such as a `close_notify`, for the next `flush`. Called once at most, when all of
    /// the output has left. The write half of the socket is ended when this has left too.
    ///
    /// # Errors
    /// They are ignored: the connection ends anyway.
    fn end_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Who the peer is, if the handshake has told: by a certificate, say. Asked once, when the handshake is complete. It takes the
    /// place of what [`on_accept`](crate::net::Listening::on_accept) returned.
    fn principal(&self) -> Option<Principal> {
        None
    }
}

/// A transport, and what is known of it.
pub(super) struct Wrapped {
    transport: Box<dyn Transport>,
    /// True until the engine was told that the handshake is complete.
    pub(super) is_handshaking: bool,
    /// How many bytes of the engine's output it has taken that may not have left yet.
    taken: usize,
    /// How many it is given at once.
    part_max: usize,
    ending: Ending,
}

/// How far the end of the output has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The transport knows, and may keep something that tells the peer.
    Begun,
    Done,
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Wrapped { is_handshaking, taken, ending, .. } = self;
        let mut shown = f.debug_struct("Wrapped");
        shown.field("is_handshaking", is_handshaking).field("taken", taken).field("ending", ending);
        shown.finish_non_exhaustive()
    }
}

impl Wrapped {
    pub(super) fn new(transport: Box<dyn Transport>, part_max: usize) -> Wrapped {
        let is_handshaking = contained(|| transport.is_handshaking()).unwrap_or(false);
        Wrapped { transport, is_handshaking, taken: 0, part_max, ending: Ending::No }
    }

    /// The socket below.
    pub(super) fn socket(&mut self) -> io::Result<&mut TcpStream> {
        contained(|| self.transport.socket()).map(|socket| &mut socket.0).ok_or_else(panicked)
    }

    pub(super) fn has_unsent(&self) -> bool {
        contained(|| self.transport.has_unsent()).unwrap_or(true)
    }

    /// Reads what the peer has sent. An end without a word for it is an end.
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match contained(|| self.transport.read(room)).unwrap_or_else(|| Err(panicked())) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && !self.is_handshaking => Ok(0),
            read => read,
        }
    }

    /// Writes from the beginning of what was not reported as sent. Returns how much of it has left now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_handshaking {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = 0;
        loop {
            if !self.flush()? {
                return Ok(left);
            }
            left += std::mem::take(&mut self.taken);
            let rest = bytes.get(left..).unwrap_or_default();
            let part = rest.get(..self.part_max).unwrap_or(rest);
            if part.is_empty() {
                return Ok(left);
            }
            match contained(|| self.transport.write(part)).unwrap_or_else(|| Err(panicked())) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.taken = count.min(part.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(left),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what is kept. Returns true if all of it has left.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        loop {
            match contained(|| self.transport.flush()).unwrap_or_else(|| Err(panicked())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        let all = !self.has_unsent();
        if all && self.ending == Ending::Begun {
            self.ending = Ending::Done;
            self.socket()?.shutdown(Shutdown::Write)?;
        }
        Ok(all)
    }

    /// Ends the write half, as soon as what tells the peer has left.
    pub(super) fn end_output(&mut self) -> io::Result<()> {
        if self.ending == Ending::No {
            self.ending = Ending::Begun;
            let _ = contained(|| self.transport.end_output());
        }
        self.flush().map(|_| ())
    }

    /// Tells the peer of the end before the socket is closed, unless output is lost: then the peer must not take it for all.
    pub(super) fn close(&mut self) {
        if !self.is_handshaking && self.taken == 0 && !self.has_unsent() {
            let _ = self.end_output();
        }
    }

    /// Returns true if the handshake was completed since this was last asked, and who the peer is.
    pub(super) fn take_handshake(&mut self) -> Option<Option<Principal>> {
        if !self.is_handshaking || contained(|| self.transport.is_handshaking()).unwrap_or(true) {
            return None;
        }
        self.is_handshaking = false;
        Some(contained(|| self.transport.principal()).flatten())
    }
}

/// The error of a transport that has panicked.
fn panicked() -> io::Error {
    io::Error::other(Panicked)
}

#[derive(Debug)]
struct Panicked;

impl std::error::Error for Panicked {}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the transport panicked")
    }
}

/// True if the error is that of a panic.
pub(super) fn is_panic(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Panicked>())
}
