//! From a listener's backlog to a connection of the engine.
//!
//! *Scope:* when to accept, what to do when there is no room or no descriptor, the hook that looks at new sockets.
//! *Not in scope:* who has to make room (the engine decides).
//!
//! ```text
//!  backlog ─▶ accept ─┬─ room ──▶ hook ──▶ Engine::open
//!                     └─ none ──▶ kept in hand; an idle one is closed ──▶ again when there is room
//! ```

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::stream::Stream;
use super::{Listening, Socket};
use crate::access::peer::{Peer, Principal};
use crate::engine::keys::ConnKey;
use crate::engine::observe::Event;
use crate::limits::CONNECTIONS_CAP;
use crate::timers::Now;

/// New connections of one turn, so that open ones get theirs.
const ACCEPTS_PER_TURN: usize = 256;
/// How long accepting pauses when descriptors or memory have run out: no event announces that they are back.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// At the limit every new connection finds no descriptor, so one report a minute is enough.
const EXHAUSTION_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Looks at a new connection and may name the peer's principal. An error closes the connection.
#[cfg(unix)]
type AcceptHook = Box<dyn FnMut(std::os::fd::BorrowedFd<'_>, &Peer) -> io::Result<Option<Principal>> + Send>;
#[cfg(not(unix))]
type AcceptHook = Box<dyn FnMut((), &Peer) -> io::Result<Option<Principal>> + Send>;

/// What accepting remembers between turns.
pub(super) struct Accepting {
    pub(super) hook: Option<AcceptHook>,
    /// When to try again without any event.
    pub(super) again: Option<Duration>,
    /// A connection that was accepted before there is room for it. An idle connection is closed only for one that is known
    /// to wait.
    pub(super) waiting: Option<(Stream, Peer)>,
    /// A descriptor to close when none is left: accepting takes a descriptor before it looks, so without one it is unknown
    /// if a peer waits.
    spare: Option<Registry>,
    /// When it was last reported that descriptors have run out.
    reported: Option<Duration>,
}

impl Accepting {
    pub(super) fn new(registry: &Registry) -> io::Result<Accepting> {
        Ok(Accepting {
            hook: None,
            again: None,
            waiting: None,
            spare: Some(registry.try_clone()?),
            reported: None,
        })
    }
}

impl Listening {
    pub(super) fn accept(&mut self, now: Now) {
        if self.accepting.again.is_some_and(|at| at > now.mono) {
            return;
        }
        self.accepting.again = None;
        for accepted in 0..ACCEPTS_PER_TURN {
            let Some((stream, peer)) = self.accepting.waiting.take().or_else(|| self.next_waiting(now))
            else {
                return self.take_spare();
            };
            self.take_spare();
            if self.accepting.spare.is_none() {
                self.report_exhaustion(now);
            }
            // A new connection may have sent something already, so it is read before an idle one is chosen.
            let crowded = self.accepting.spare.is_none()
                || self.engine.stats().connections >= self.engine.limits().connections_max;
            let has_room = !(crowded && accepted > 0) && self.engine.has_room();
            if has_room && self.accepting.spare.is_some() {
                self.open_connection(now, stream, peer);
                continue;
            }
            if has_room {
                self.engine.evict_idle();
            }
            self.accepting.waiting = Some((stream, peer));
            self.accepting.again = Some(if accepted > 0 { now.mono } else { now.mono + ACCEPT_RETRY });
            return;
        }
        self.accepting.again = Some(now.mono);
    }

    /// A connection was closed, so peers that wait are looked at in the next turn.
    pub(super) fn room_was_made(&mut self, now: Now) {
        if self.accepting.waiting.is_some() || self.listeners.iter().any(|listener| listener.pending) {
            self.accepting.again = Some(now.mono);
        }
    }

    /// The next peer in a listener's backlog.
    fn next_waiting(&mut self, now: Now) -> Option<(Stream, Peer)> {
        while let Some(listener) = self.listeners.iter_mut().find(|listener| listener.pending) {
            match listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => listener.pending = false,
                    // The peer went away while it waited. There may be another one.
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {}
                    _ if is_exhaustion(&error) && self.accepting.spare.take().is_some() => {}
                    _ => {
                        if is_exhaustion(&error) {
                            self.report_exhaustion(now);
                        }
                        self.accepting.again = Some(now.mono + ACCEPT_RETRY);
                        return None;
                    }
                },
            }
        }
        None
    }

    fn report_exhaustion(&mut self, now: Now) {
        if self.accepting.reported.is_none_or(|at| now.mono >= at.saturating_add(EXHAUSTION_REPORT_INTERVAL))
        {
            self.accepting.reported = Some(now.mono);
            self.engine.core.observe(&Event::OutOfDescriptors);
        }
    }

    fn take_spare(&mut self) {
        if self.accepting.spare.is_none() {
            self.accepting.spare = self.poll.registry().try_clone().ok();
        }
    }

    fn open_connection(&mut self, now: Now, stream: Stream, mut peer: Peer) {
        #[cfg(unix)]
        if let Some(hook) = &mut self.accepting.hook {
            match hook(std::os::fd::AsFd::as_fd(&stream), &peer) {
                Ok(principal) => peer.principal = principal,
                Err(_) => return,
            }
        }
        let key = self.engine.open(now, peer);
        self.add_socket(now, key, stream);
    }

    /// Waits for what comes on the socket of that connection.
    pub(super) fn add_socket(&mut self, now: Now, key: ConnKey, mut stream: Stream) {
        let token = Token(key.token() as usize);
        if stream.register(self.poll.registry(), token, Interest::READABLE).is_err() {
            return self.engine.hang_up(now, key);
        }
        if self.sockets.len() <= key.index() {
            self.sockets.resize_with((key.index() + 1).min(CONNECTIONS_CAP), || None);
        }
        if let Some(slot) = self.sockets.get_mut(key.index()) {
            *slot = Some(Socket { key, stream, listed: false, ended: false, watches_writes: false });
        }
    }
}

/// True if descriptors or memory have run out, in this process or in the system: then trying again does not help.
#[cfg(unix)]
fn is_exhaustion(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) || error.kind() == ErrorKind::OutOfMemory
}

#[cfg(not(unix))]
fn is_exhaustion(error: &io::Error) -> bool {
    const WSAEMFILE: i32 = 10024;
    error.raw_os_error() == Some(WSAEMFILE) || error.kind() == ErrorKind::OutOfMemory
}
