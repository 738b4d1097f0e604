//! Sockets that a service manager has opened and hands over: socket activation, as systemd does it.
//!
//! *Scope:* taking them (`LISTEN_FDS`, sd_listen_fds(3)), and ending a server that nobody uses, because the manager starts it again with
//! the next connection. *Not in scope:* serving them ([`Listening::adopt`]).

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use listenfd::ListenFd;

use super::Failure;
use super::log::Lines;
use crate::net::Listening;
use crate::server::handle::Handle;
use crate::threads;

/// Sockets that were handed over to this process.
pub(super) struct Inherited(ListenFd);

/// True if sockets may have been handed over.
pub(super) fn is_announced() -> bool {
    std::env::var_os("LISTEN_FDS").is_some()
}

impl Inherited {
    /// Takes them from the environment, once.
    pub(super) fn take() -> Inherited {
        Inherited(ListenFd::from_env())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Has them served.
    pub(super) fn serve(mut self, listening: &mut Listening) -> Result<(), Failure> {
        for at in 0..self.0.len() {
            let place = |error: io::Error| {
                let descriptor = at + 3;
                Failure::system(format!(
                    "the socket that was handed over as descriptor {descriptor} (LISTEN_FDS) cannot be served: {error}"
                ))
            };
            let adopted = match self.0.take_tcp_listener(at) {
                Ok(Some(socket)) => listening.adopt(socket),
                Ok(None) => Ok(()),
                Err(_) => self
                    .0
                    .take_unix_listener(at)
                    .and_then(|socket| socket.map_or(Ok(()), |socket| listening.adopt(socket))),
            };
            adopted.map_err(place)?;
        }
        Ok(())
    }
}

/// Ends the server once there was no session, no open call and no message for so long.
#[expect(clippy::disallowed_methods, reason = "a server that is idle has real time")]
pub(super) fn exit_when_idle(
    handle: Handle,
    after: Duration,
    grace: Duration,
    lines: Lines,
) -> io::Result<()> {
    let pause = (after / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
    threads::start("idle", move || {
        let (mut since, mut seen) = (Instant::now(), 0);
        while !handle.has_ended() {
            let stats = handle.stats();
            if stats.sessions + stats.calls > 0 || stats.messages_received != seen {
                (since, seen) = (Instant::now(), stats.messages_received);
            }
            if since.elapsed() >= after {
                lines.say(&format!("nobody used it for {} s (--idle-exit), so it ends", after.as_secs_f64()));
                return handle.shutdown(grace);
            }
            thread::sleep(pause);
        }
    })?;
    Ok(())
}
