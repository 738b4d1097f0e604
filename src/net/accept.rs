//! From a listener's backlog to a connection of the engine.
//!
//! *Scope:* when to accept, what to do when there is no room or no descriptor, the hook that checks new sockets. *Not in
//! scope:* who has to make room (the engine decides).
//!
//! ```text
//!  backlog ─▶ accept ─┬─ room ──▶ hook ──▶ transport? ──▶ Engine::open
//!                     └─ none ──▶ kept in hand; what has arrived is read; an idle one is closed ──▶ again when there is room
//!  backlog for health checks ─▶ accept ──▶ Engine::open_health
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::listen::Listener;
use super::stream::Stream;
use super::transport::{StreamHook, TcpSocket, Transport, Wrapped};
use super::{Listening, Socket};
use crate::access::peer::{Peer, Principal};
use crate::engine::ConnKey;
use crate::engine::observe::Event;
use crate::limits::CONNECTIONS_CAP;
use crate::protocol::panics::contained;
use crate::timers::Now;

/// New connections of one turn, so that open ones get theirs.
const ACCEPTS_PER_TURN: usize = 256;
/// How long accepting pauses when descriptors or memory have run out: no event announces that they are back.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// At the limit every new connection finds no descriptor, so one report a minute is enough.
const EXHAUSTION_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Checks a new connection and may name the peer's principal. An error closes the connection.
#[cfg(unix)]
type AcceptHook = Box<dyn FnMut(std::os::fd::BorrowedFd<'_>, &Peer) -> io::Result<Option<Principal>> + Send>;
#[cfg(not(unix))]
type AcceptHook = Box<dyn FnMut((), &Peer) -> io::Result<Option<Principal>> + Send>;

/// What accepting remembers between turns.
pub(super) struct Accepting {
    pub(super) hook: Option<AcceptHook>,
    /// Makes the transports of TCP connections, if they have some.
    pub(super) wrap: Option<StreamHook>,
    /// When to try again without any event.
    pub(super) again: Option<Duration>,
    /// A connection that was accepted before there is room for it. An idle connection is closed only for one that is known
    /// to wait.
    pub(super) waiting: Option<(Stream, Peer)>,
    /// Connections that the program has accepted itself, at most `adopted_waiting_max`.
    pub(super) adopted: VecDeque<(Stream, Peer)>,
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
            wrap: None,
            again: None,
            waiting: None,
            adopted: VecDeque::new(),
            spare: Some(registry.try_clone()?),
            reported: None,
        })
    }
}

impl Listening {
    pub(super) fn accept(&mut self, now: Now) {
        let Accepting { again, waiting, adopted, spare, .. } = &self.accepting;
        let is_idle = again.is_none() && waiting.is_none() && adopted.is_empty() && spare.is_some();
        if is_idle && !self.listeners.iter().any(|listener| listener.pending) {
            return;
        }
        if self.accepting.again.is_none_or(|at| at <= now.mono) {
            self.accepting.again = None;
            self.accept_clients(now);
        }
        // Afterwards, since it may want another turn too.
        self.accept_health(now);
    }

    fn accept_clients(&mut self, now: Now) {
        for accepted in 0..ACCEPTS_PER_TURN {
            let Some((stream, peer)) = self.next_peer(now) else {
                return self.take_spare();
            };
            self.take_spare();
            if self.accepting.spare.is_none() {
                self.report_exhaustion(now);
            }
            // A new connection may have sent something already, so it is read before an idle one is chosen.
            let crowded = self.accepting.spare.is_none()
                || self.engine.stats().connections >= self.engine.limits().connections_max;
            if crowded && accepted == 0 {
                // Work of this turn may have taken a while, in which an idle client has asked.
                self.hear_again(now);
            }
            let has_room = !(crowded && accepted > 0)
                && self.engine.has_room()
                && (!self.wraps(&stream) || self.engine.has_room_for_handshake());
            if has_room && self.accepting.spare.is_some() {
                self.open_connection(now, stream, peer);
                continue;
            }
            if has_room {
                self.engine.evict();
            }
            self.accepting.waiting = Some((stream, peer));
            self.accepting.again = Some(if accepted > 0 { now.mono } else { now.mono + ACCEPT_RETRY });
            return;
        }
        self.accepting.again = Some(now.mono);
    }

    /// Health checks neither wait for a place nor take one, and are not for the hook.
    fn accept_health(&mut self, now: Now) {
        let mut left = self.engine.limits().health_connections_max.max(1);
        let has_peer = |listener: &&mut Listener| listener.is_for_health && listener.pending;
        while let Some(listener) = self.listeners.iter_mut().find(has_peer) {
            match listener.accept() {
                Ok((stream, peer)) => {
                    let key = self.engine.open_health(now, peer);
                    self.add_socket(now, key, stream);
                    left -= 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => listener.pending = false,
                Err(error) => {
                    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
                    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
                        self.accepting.again.get_or_insert(now.mono + ACCEPT_RETRY);
                        return;
                    }
                }
            }
            if left == 0 {
                // Those that wait here have their turn after the ones that were just accepted.
                self.accepting.again = Some(now.mono);
                return;
            }
        }
    }

    /// A connection was closed, so peers that wait are accepted in the next turn.
    pub(super) fn room_was_made(&mut self, now: Now) {
        if self.accepting.waiting.is_some()
            || !self.accepting.adopted.is_empty()
            || self.for_clients().any(|listener| listener.pending)
        {
            self.accepting.again = Some(now.mono);
        }
    }

    /// The next peer that waits, in hand or in a listener's backlog.
    fn next_peer(&mut self, now: Now) -> Option<(Stream, Peer)> {
        let Accepting { waiting, adopted, .. } = &mut self.accepting;
        waiting.take().or_else(|| adopted.pop_front()).or_else(|| self.next_waiting(now))
    }

    /// The next peer in a listener's backlog.
    fn next_waiting(&mut self, now: Now) -> Option<(Stream, Peer)> {
        let has_peer = |listener: &&mut Listener| listener.pending && !listener.is_for_health;
        while let Some(listener) = self.listeners.iter_mut().find(has_peer) {
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
        if let Some(hook) = &mut self.accepting.hook
            && let Some(descriptor) = stream.descriptor()
        {
            match contained(|| hook(descriptor, &peer)) {
                Some(Ok(principal)) => peer.principal = principal.or(peer.principal),
                Some(Err(_)) => return,
                None => return self.engine.core.observe(&Event::HookPanicked { hook: "on_accept" }),
            }
        }
        match (stream, &mut self.accepting.wrap) {
            (Stream::Tcp(socket), Some(wrap)) => match contained(|| wrap(TcpSocket(socket), &peer)) {
                Some(Ok(transport)) => self.open_transport(now, transport, peer),
                Some(Err(_)) => {}
                None => self.engine.core.observe(&Event::HookPanicked { hook: "on_stream" }),
            },
            (stream, _) => {
                let key = self.engine.open(now, peer);
                self.add_socket(now, key, stream);
            }
        }
    }

    /// True if the connection gets a transport, which may begin with a handshake.
    fn wraps(&self, stream: &Stream) -> bool {
        self.accepting.wrap.is_some() && matches!(stream, Stream::Tcp(_))
    }

    fn open_transport(&mut self, now: Now, transport: Box<dyn Transport>, peer: Peer) {
        let wrapped = Wrapped::new(transport, self.engine.limits().transport_bytes_max);
        let key = match wrapped.is_handshaking {
            true => self.engine.open_handshake(now, peer),
            false => self.engine.open(now, peer),
        };
        self.add_socket(now, key, Stream::Wrapped(Box::new(wrapped)));
        // It may have something to say first.
        self.flush_transport(now, key);
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
