//! Settings and queries of the operating system about connections.
//!
//! *Scope:* how many may wait to be accepted, dead TCP peers, and who is behind a Unix socket. *Not in scope:* what peers may
//! do once they are connected.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::Failure;
use crate::access::peer::{Peer, Principal};

/// Connections that may wait to be accepted; the system has a bound of its own (`net.core.somaxconn`).
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 1024;

/// Lets more connections wait than the standard library does: of a crowd that comes all at once, after a restart for
/// example, those that find no place come back only after a second or more.
#[cfg(target_os = "linux")]
pub(super) fn expect_crowds(listener: BorrowedFd<'_>) {
    // Without it they have to try again.
    let _ = rustix::net::listen(listener, BACKLOG);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn expect_crowds(_: BorrowedFd<'_>) {}

/// How new connections are checked.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Users who may connect over Unix sockets. If empty, the file's mode decides.
    pub(super) uids: Vec<u32>,
    /// Their sessions are bound to their uid.
    pub(super) by_uid: bool,
}

impl Admission {
    /// Refuses what this system cannot do.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match cfg!(not(target_os = "linux")) && (self.by_uid || !self.uids.is_empty()) {
            true => Err(Failure::usage(
                "--peer-uid and --allow-uid need the uid of the peer, which is known on Linux only",
            )),
            false => Ok(()),
        }
    }

    /// Returns the peer's principal. An error closes the connection.
    #[cfg(target_os = "linux")]
    pub(super) fn look(
        &self,
        socket: BorrowedFd<'_>,
        peer: &Peer,
        user_timeout: Duration,
    ) -> io::Result<Option<Principal>> {
        use rustix::net::sockopt;
        if !peer.unix {
            let millis = u32::try_from(user_timeout.as_millis()).unwrap_or(u32::MAX);
            // Without it the connection works; only its end is noticed later.
            let _ = sockopt::set_tcp_user_timeout(socket, millis);
            return Ok(None);
        }
        if !self.by_uid && self.uids.is_empty() {
            return Ok(None);
        }
        let uid = sockopt::socket_peercred(socket)?.uid.as_raw();
        if !self.uids.is_empty() && !self.uids.contains(&uid) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Some(Principal::new(format!("uid:{uid}"))))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn look(&self, _: BorrowedFd<'_>, _: &Peer, _: Duration) -> io::Result<Option<Principal>> {
        Ok(None)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const TCP: Peer = Peer { address: None, loopback: true, unix: false, principal: None };
    const UNIX: Peer = Peer { unix: true, ..TCP };

    #[test]
    fn a_crowd_finds_a_place() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let crowd = allowed.trim().parse::<usize>().unwrap().min(300);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        expect_crowds(listener.as_fd());
        let address = listener.local_addr().unwrap();
        // Nothing is accepted: a client that finds no place waits for this long, or forever.
        let patience = Duration::from_secs(20);
        let all: Vec<TcpStream> =
            (0..crowd).map(|_| TcpStream::connect_timeout(&address, patience).unwrap()).collect();
        assert_eq!(all.len(), crowd);
    }

    #[test]
    fn a_tcp_peer_gets_the_user_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let admission = Admission { uids: vec![1], by_uid: true };
        for (timeout, millis) in [(Duration::from_secs(60), 60_000), (Duration::ZERO, 0)] {
            assert_eq!(admission.look(socket.as_fd(), &TCP, timeout).unwrap(), None);
            assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), millis);
        }
    }

    #[test]
    fn a_unix_peer_is_known_by_its_uid() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let own = sockopt::socket_peercred(&socket).unwrap().uid.as_raw();
        assert_eq!(own, std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()));
        let who = |uids: &[u32], by_uid| {
            Admission { uids: uids.to_vec(), by_uid }.look(socket.as_fd(), &UNIX, Duration::ZERO)
        };
        let me = Principal::new(format!("uid:{own}"));
        assert_eq!(who(&[], false).unwrap(), None);
        assert_eq!(who(&[], true).unwrap(), Some(me.clone()));
        assert_eq!(who(&[own + 1, own], false).unwrap(), Some(me));
        assert_eq!(who(&[own + 1], true).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
