//! A transport that does its worst: one byte at a time, refusals to write, readiness for nothing, and the end of the
//! connection at every place. What comes of it is what comes of an undisturbed one, or nothing at all.
//!
//! *Scope:* the engine under its driving contract, for every case of the table. *Not in scope:* what the cases mean.

use mcp_rill::Peer;
use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::{Limits, Server, Settings};

use crate::client::without_continue;
use crate::harness::at;

/// What goes wrong on the way.
#[derive(Clone, Copy, Debug)]
struct Faults {
    /// One byte is read, and one is written, at a time.
    bytes: bool,
    /// Each write is refused once before it is taken, as by a full socket.
    would_block: bool,
    /// The socket is said to be readable and writable although nothing has changed, and the clock ticks.
    spurious: bool,
}

const NONE: Faults = Faults { bytes: false, would_block: false, spurious: false };

/// One connection of an engine, and what its peer got.
struct Transport<'e> {
    engine: &'e mut Engine,
    key: ConnKey,
    faults: Faults,
    refused: bool,
    output: Vec<u8>,
    /// Half-closed or closed by the server.
    ended: bool,
    closed: bool,
}

fn engine(limits: &Limits) -> Engine {
    // The table's host and paths.
    let settings =
        Settings { sse_path: "/stream".to_owned(), mcp_path: "/p".to_owned(), ..Settings::default() };
    let server = Server::new("faults", "1")
        .settings(settings)
        .limits(Limits { body_bytes_max: limits.body_bytes_max.max(256), ..limits.clone() })
        .allow_host("a")
        .tool("hello", "Say hello", |(), _| "hello");
    let mut last = 0;
    let ids = move || {
        last += 1;
        last
    };
    Engine::new(server, ids).unwrap()
}

impl Transport<'_> {
    fn open(engine: &mut Engine, faults: Faults) -> Transport<'_> {
        let key = engine.open(at(0), Peer { loopback: true, ..Peer::default() });
        Transport { engine, key, faults, refused: false, output: Vec::new(), ended: false, closed: false }
    }

    /// Does what the engine says until it has nothing more to say; the socket takes at most so many bytes.
    fn act(&mut self, most: usize) {
        let mut left = most;
        loop {
            match self.engine.poll() {
                Action::Write(key) => {
                    let outgoing = self.engine.outgoing(key);
                    assert!(!outgoing.is_empty() && !self.closed, "asked to write nothing, or to nobody");
                    let would_block = self.faults.would_block && !std::mem::replace(&mut self.refused, true);
                    let count = match (would_block, self.faults.bytes) {
                        (true, _) => 0,
                        (false, true) => left.min(1),
                        (false, false) => left.min(outgoing.len()),
                    };
                    self.output.extend_from_slice(&outgoing[..count]);
                    left -= count;
                    let short = count < outgoing.len();
                    self.engine.sent(at(0), key, count);
                    if count > 0 {
                        self.refused = false;
                    }
                    if short && left > 0 {
                        self.engine.writable(at(0), key);
                    }
                }
                Action::HalfClose(_) => self.ended = true,
                Action::Close(_) => (self.ended, self.closed) = (true, true),
                Action::Read(_) => {}
                Action::Wait(_) => return,
            }
        }
    }

    fn disturb(&mut self) {
        if self.faults.spurious {
            self.engine.writable(at(0), self.key);
            self.engine.receive(at(0), self.key, b"");
            self.engine.tick(at(0));
            let wants = self.engine.wants_read(self.key);
            assert_eq!(self.engine.wants_read(self.key), wants);
        }
    }

    fn receive(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            self.disturb();
            if !self.engine.wants_read(self.key) {
                // What is left is never read: nothing but the end of the connection can follow.
                return self.act(usize::MAX);
            }
            let (now, later) = input.split_at(if self.faults.bytes { 1 } else { input.len() });
            self.engine.receive(at(0), self.key, now);
            input = later;
            self.act(usize::MAX);
        }
        self.disturb();
        self.act(usize::MAX);
    }

    fn hang_up(mut self, name: &str) {
        self.engine.hang_up(at(0), self.key);
        self.faults = NONE;
        self.act(usize::MAX);
        let stats = self.engine.stats();
        let left = (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes);
        assert_eq!(left, (0, 0, 0, 0), "{name}");
    }
}

fn outcome(limits: &Limits, input: &[u8], faults: Faults) -> (String, bool) {
    let mut engine = engine(limits);
    let mut transport = Transport::open(&mut engine, faults);
    transport.receive(input);
    let shown = String::from_utf8_lossy(&without_continue(&transport.output)).into_owned();
    let ended = transport.ended;
    transport.hang_up("after all");
    (shown, ended)
}

/// One input under every fault.
pub(crate) fn change_nothing(name: &str, limits: &Limits, input: &[u8]) {
    let whole = outcome(limits, input, NONE);
    let faults = [
        Faults { bytes: true, ..NONE },
        Faults { would_block: true, ..NONE },
        Faults { spurious: true, ..NONE },
        Faults { bytes: true, would_block: true, spurious: true },
    ];
    for faults in faults {
        assert_eq!(outcome(limits, input, faults), whole, "{name}: {faults:?}");
    }
    // The end of the connection at every place of the request and of the answer: on one engine, so that what is left
    // would add up.
    let mut engine = engine(limits);
    for end in 0..=input.len() {
        let mut transport = Transport::open(&mut engine, NONE);
        transport.receive(&input[..end]);
        transport.hang_up(name);
    }
    for end in (0..whole.0.len()).step_by(7) {
        let mut transport = Transport::open(&mut engine, NONE);
        transport.engine.receive(at(0), transport.key, input);
        transport.act(end);
        transport.hang_up(name);
    }
}
