//! Transports that begin with a handshake: its deadline, how many there may be, and who gives way.

use std::time::Duration;

use mcp_rill::engine::{Action, ConnKey, Engine, Event};
use mcp_rill::http::conn::CloseReason;
use mcp_rill::{Limits, Now, Peer, Principal, Server};
use std::sync::mpsc::{Receiver, channel};

/// What timers are exact to.
const TICK: Duration = Duration::from_millis(10);

/// An engine whose time is set by hand, and what its observer was told of connections that were closed.
struct Driven {
    engine: Engine,
    now: Now,
    closed: Receiver<(Peer, CloseReason)>,
}

impl Driven {
    fn new(limits: Limits) -> Driven {
        let mut engine = Engine::new(Server::new("test", "1").limits(limits), || 1).unwrap();
        let (tell, closed) = channel();
        engine.on_event(move |event| {
            if let Event::ConnectionClosed { peer, reason, .. } = event {
                tell.send((Peer::clone(peer), *reason)).unwrap();
            }
        });
        Driven { engine, now: Now::default(), closed }
    }

    fn open(&mut self, peer: &Peer) -> ConnKey {
        self.engine.open_handshake(self.now, peer.clone())
    }

    /// Does what the engine says, and lets this much time pass.
    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.engine.tick(self.now);
        while let action = self.engine.poll()
            && !matches!(action, Action::Wait(_))
        {
            if let Action::Write(conn) = action {
                let count = self.engine.outgoing(conn).len();
                self.engine.sent(self.now, conn, count);
            }
        }
    }

    fn closed(&self) -> Vec<CloseReason> {
        self.closed.try_iter().map(|(_, reason)| reason).collect()
    }
}

fn local() -> Peer {
    Peer { loopback: true, ..Peer::default() }
}

fn peer_at(host: u8) -> Peer {
    Peer { address: Some(([192, 0, 2, host], 1).into()), ..Peer::default() }
}

#[test]
pub fn a_handshake_that_takes_longer_is_closed() {
    let (short, long) = (100 * TICK, 500 * TICK);
    let mut driven = Driven::new(Limits { handshake_timeout: short, head_timeout: long, ..Limits::DEFAULT });
    driven.open(&local());
    driven.pass(short - TICK);
    assert_eq!(driven.closed(), []);
    driven.pass(TICK);
    assert_eq!(driven.closed(), [CloseReason::HandshakeTimeout]);

    // The time for the head begins when it is over.
    let conn = driven.open(&local());
    driven.pass(short - TICK);
    driven.engine.handshake_done(driven.now, conn, None);
    driven.engine.receive(driven.now, conn, b"GET ");
    driven.pass(long - TICK);
    assert_eq!(driven.closed(), []);
    driven.pass(TICK);
    assert_eq!(driven.closed(), [], "it is told of it, and may read that");
    driven.engine.end_of_input(driven.now, conn);
    driven.pass(TICK);
    assert_eq!(driven.closed(), [CloseReason::HeadTimeout]);
}

#[test]
pub fn one_handshake_more_closes_the_oldest_or_waits() {
    let grace = 50 * TICK;
    let limits = Limits { handshakes_max: 2, new_connection_grace: grace, ..Limits::DEFAULT };
    let mut driven = Driven::new(limits);
    let first = driven.open(&local());
    driven.pass(TICK);
    assert!(driven.engine.has_room_for_handshake(), "one less than the limit");
    let second = driven.open(&local());
    driven.pass(TICK);
    assert!(!driven.engine.has_room_for_handshake());
    driven.pass(TICK);
    assert_eq!(driven.closed(), [], "neither has had its time");
    // One that is over makes room.
    driven.engine.handshake_done(driven.now, second, None);
    assert!(driven.engine.has_room_for_handshake());
    driven.open(&local());
    driven.pass(grace);
    assert!(!driven.engine.has_room_for_handshake(), "the first one is closed first");
    assert_eq!(driven.engine.poll(), Action::Close(first));
    assert_eq!(driven.closed(), [CloseReason::Evicted]);
    assert!(driven.engine.has_room_for_handshake());
    driven.open(&local());
    // A driver that does not ask keeps the limit too.
    let untold = driven.open(&local());
    assert_eq!(driven.engine.outgoing(untold), b"");
    driven.pass(TICK);
    assert!(driven.closed().contains(&CloseReason::Refused));
}

#[test]
fn the_holder_with_most_handshakes_gives_way() {
    let limits = Limits { handshakes_max: 4, new_connection_grace: Duration::ZERO, ..Limits::DEFAULT };
    let mut driven = Driven::new(limits);
    for host in [1, 2, 2, 2] {
        driven.open(&peer_at(host));
        driven.pass(TICK);
    }
    assert!(!driven.engine.has_room_for_handshake());
    driven.pass(TICK);
    let closed: Vec<(Peer, CloseReason)> = driven.closed.try_iter().collect();
    assert_eq!(closed, [(peer_at(2), CloseReason::Evicted)], "not the one that came first");
}

#[test]
fn the_handshakes_principal_takes_the_place_of_the_one_before() {
    let mut driven = Driven::new(Limits::DEFAULT);
    let of = |name: &str| Peer { principal: Some(Principal::new(name)), ..local() };
    let (one, other) = (driven.open(&of("by the socket")), driven.open(&of("by the socket")));
    driven.engine.handshake_done(driven.now, one, Some(Principal::new("by the handshake")));
    driven.engine.handshake_done(driven.now, other, None);
    [one, other].iter().for_each(|conn| driven.engine.hang_up(driven.now, *conn));
    driven.pass(TICK);
    let names: Vec<String> =
        driven.closed.try_iter().map(|(peer, _)| peer.principal.unwrap().name().to_owned()).collect();
    assert_eq!(names, ["by the handshake", "by the socket"]);
}

#[test]
fn a_peer_that_is_gone_or_a_shutdown_ends_a_handshake() {
    let mut driven = Driven::new(Limits::DEFAULT);
    let conn = driven.open(&local());
    driven.engine.end_of_input(driven.now, conn);
    driven.pass(TICK);
    assert_eq!(driven.closed(), [CloseReason::EndOfInput]);
    driven.open(&local());
    driven.engine.shutdown(driven.now, Duration::from_secs(5));
    driven.pass(TICK);
    assert_eq!(driven.closed(), [CloseReason::Shutdown]);
    assert!(driven.engine.is_finished());
}

/// At `connections_max` a handshake is no better than a connection without a request.
#[test]
fn a_handshake_makes_room_for_another_connection() {
    let limits = Limits {
        connections_max: 2,
        sessions_max: 1,
        new_connection_grace: Duration::ZERO,
        ..Limits::DEFAULT
    };
    let mut driven = Driven::new(limits);
    driven.open(&local());
    driven.pass(TICK);
    driven.open(&local());
    driven.pass(TICK);
    assert!(!driven.engine.has_room());
    driven.pass(TICK);
    assert_eq!(driven.closed(), [CloseReason::Evicted]);
    assert!(driven.engine.has_room());
}
