//! All transports and revisions on one engine under a seeded run of lawful requests at unlawful moments: nothing panics or
//! underflows, nobody is answered for somebody else, and when everybody has gone nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::demo::small_budgets;
use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::testing::Random;
use mcp_rill::{Limits, Now, Reply, Server, Tool};
use mcp_rill::{Peer, Principal};

const NAMES: [&str; 2] = ["ada", "bob"];

/// One of three peers.
fn peer(number: usize) -> Peer {
    Peer { address: Some(([192, 0, 2, number as u8], 1).into()), ..Peer::default() }
}

/// What a seed's server is like besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Plain,
    /// No stream can be resumed.
    Forgets,
    /// Of the answers that are over so many are kept.
    Keeps(usize),
    Sessionless,
}

impl Flavour {
    const ALL: [Flavour; 8] = [
        Flavour::Plain,
        Flavour::Plain,
        Flavour::Plain,
        Flavour::Plain,
        Flavour::Forgets,
        Flavour::Keeps(0),
        Flavour::Keeps(1),
        Flavour::Sessionless,
    ];

    fn of(seed: u64) -> Flavour {
        Flavour::ALL[(seed / 3) as usize % Flavour::ALL.len()]
    }
}

fn server(replies: std::sync::mpsc::Sender<Reply>, flavour: Flavour) -> Server {
    let budgets = small_budgets();
    let limits = Limits {
        replay_timeout: if flavour == Flavour::Forgets { Duration::ZERO } else { budgets.replay_timeout },
        replay_streams_max: if let Flavour::Keeps(streams) = flavour {
            streams
        } else {
            budgets.replay_streams_max
        },
        buffered_bytes_max: 96 << 10,
        calls_max: 4,
        sessions_max: 12,
        sessions_per_peer_max: 5,
        connections_per_peer_max: 8,
        replay_bytes_max: 4 << 10,
        listens_max: 3,
        ..budgets
    };
    let server = Server::new("chaos", "1");
    let server = if flavour == Flavour::Sessionless { server.sessionless() } else { server };
    server
        .limits(limits)
        .tool("now", "Answer at once", |(), _| "now")
        .tool("large", "Answer much", |(), _| "x".repeat(7000))
        .tool("away", "Send the client away first", |(), call| -> mcp_rill::Result<_> {
            call.disconnect(Duration::from_millis(5));
            Ok(format!("{} roots", call.roots("roots")?.required()?.len()))
        })
        .tool("later", "Answer later", move |(), call| call.defer(|reply| replies.send(reply)))
        .offer(Tool::new("ask", "Ask first").handler(|(), call| -> mcp_rill::Result<_> {
            call.progress(1.0, None, None);
            call.log(mcp_rill::Level::Error, "asking");
            Ok(format!("{} roots", call.roots("roots")?.required()?.len()))
        }))
        .tool("who", "Say who is asking", |(), call| {
            format!("for {}", call.principal().map_or("nobody", Principal::name))
        })
        .resource("x:///1", "1", |_| "1")
}

/// Admits every name; `bob` only as long as he may.
#[cfg(feature = "auth")]
fn guarded(server: Server, bob_may: Arc<AtomicBool>) -> Server {
    server.authorize(move |request| match request.bearer()? {
        "bob" if !bob_may.load(Ordering::Relaxed) => Err(mcp_rill::Denied::invalid_token("not any more")),
        name => Ok(Principal::new(name)),
    })
}

fn body(random: &mut Random) -> String {
    let id = random.below(6);
    let call = |name: &str| {
        let params = format!(r#"{{"name":"{name}","_meta":{{"progressToken":{id}}}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
    };
    let revision = ["2025-03-26", "2025-11-25"][random.below(2)];
    match random.below(14) {
        0 | 1 => format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{"roots":{{}}}},"clientInfo":{{"name":"c","version":"1"}}}}}}"#
        ),
        2 => r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        3 => {
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
        }
        4 | 5 => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"roots":[]}}}}"#, random.below(60)),
        6 => call("now"),
        7 => call("large"),
        8 => call("later"),
        9 => call("ask"),
        10 | 11 => call("away"),
        12 => format!("[{},{}]", call("ask"), call("later").replace("\"id\":", "\"id\":1")),
        _ => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/subscribe","params":{{"uri":"x:///1"}}}}"#
        ),
    }
}

/// What clients have seen: the sessions, of streams the session and an event, and questions.
#[derive(Default)]
struct Seen {
    ids: Vec<String>,
    events: Vec<(String, String)>,
    states: Vec<String>,
    counts: Counts,
}

/// How often something came to pass that a run is there for.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Runs in which a session was opened whose client learned of it: nearly all.
    opened: usize,
    resumed: usize,
    asked: usize,
    answered: usize,
    listens: usize,
    told: usize,
}

impl Seen {
    fn look_at(&mut self, text: &str) {
        let after = |mark: &str| text.split(mark).skip(1).map(str::to_owned).collect::<Vec<_>>();
        let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        let sessions = after("Mcp-Session-Id: ");
        self.ids.extend(sessions.iter().filter_map(|rest| rest.get(..36)).map(str::to_owned));
        let events: Vec<String> = after("\nid: ").iter().map(first_line).collect();
        if let (Some(session), Some(event)) = (sessions.last().map(first_line), events.first()) {
            self.events.push((session, event.clone()));
        }
        // A stream whose first event was no stream's first.
        let first = after("\r\n\r\nid: ").first().map(first_line);
        let counts = &mut self.counts;
        counts.resumed += usize::from(first.is_some_and(|id| !id.ends_with("-0")));
        let states = after(r#""requestState":""#);
        self.states.extend(states.iter().filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        let count = |mark: &str| text.matches(mark).count();
        counts.asked += states.len();
        // Since 2026-07-28 only results say what they are.
        counts.answered += count(r#"0 roots"}],"isError":false,"resultType":"complete""#)
            + count(r#"0 roots"}],"resultType":"complete""#);
        counts.listens += count("notifications/subscriptions/acknowledged");
        counts.told += count(r#"resources/updated","params":{"_meta":"#);
    }
}

/// The method and the name of a request that stands alone (MCP 2026-07-28), or of a notification; and the message.
fn message(random: &mut Random, seen: &Seen) -> (&'static str, Option<&'static str>, String) {
    let id = random.below(6);
    let (method, name, more) = match random.below(12) {
        0 => ("server/discover", None, String::new()),
        1 => ("no/such", None, String::new()),
        2 | 3 => (
            "subscriptions/listen",
            None,
            r#","notifications":{"toolsListChanged":true,"resourceSubscriptions":["x:///1"]}"#.to_owned(),
        ),
        4 => ("resources/read", Some("x:///1"), r#","uri":"x:///1""#.to_owned()),
        5 | 6 if !seen.states.is_empty() => {
            let state = &seen.states[seen.states.len() - 1 - random.below(seen.states.len().min(4))];
            let more = format!(
                r#","name":"ask","requestState":"{state}","inputResponses":{{"roots":{{"roots":[]}}}}"#
            );
            ("tools/call", Some("ask"), more)
        }
        _ => {
            let name = ["now", "large", "later", "ask", "ask", "away", "who"][random.below(7)];
            ("tools/call", Some(name), format!(r#","name":"{name}""#))
        }
    };
    let meta = concat!(
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{"roots":{}},"#,
        r#""io.modelcontextprotocol/logLevel":"error""#
    );
    let params = format!(r#"{{"_meta":{{{meta},"progressToken":{id}}}{more}}}"#);
    let id = if random.below(16) == 0 { String::new() } else { format!(r#""id":{id},"#) };
    let body = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#);
    (method, name, body)
}

/// Such a message over HTTP.
fn alone(random: &mut Random, seen: &Seen, fields: &str) -> String {
    let (method, name, body) = message(random, seen);
    let name = name.map_or(String::new(), |name| format!("Mcp-Name: {name}\r\n"));
    let length = body.len();
    format!(
        "{fields}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// A message on a connection of lines, of a session or alone.
fn line(random: &mut Random, seen: &Seen) -> String {
    let text = if random.below(3) > 0 { body(random) } else { message(random, seen).2 };
    text + ["\n", "\r\n", "\n\n"][random.below(3)]
}

fn resume(random: &mut Random, seen: &Seen, known: &str) -> String {
    let (session, event) = &seen.events[seen.events.len() - 1 - random.below(seen.events.len().min(4))];
    format!(
        "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{known}Mcp-Session-Id: {session}\r\nLast-Event-ID: {event}\r\n\r\n"
    )
}

fn request(random: &mut Random, seen: &Seen, who: &str) -> String {
    let session = &seen.ids[seen.ids.len() - 1 - random.below(seen.ids.len().min(6))];
    let body = body(random);
    let fields = format!("Host: 127.0.0.1\r\n{who}Content-Type: application/json\r\n");
    let known = if random.below(6) == 0 { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") };
    let accept = ["", "Accept: application/json\r\n", "Accept: text/event-stream\r\n"][random.below(3)];
    let version = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"][random.below(3)];
    let length = body.len();
    match random.below(15) {
        10 if random.below(4) == 0 => format!("HEAD /sse {version}\r\n{fields}\r\n"),
        11.. => format!("POST /mcp {version}\r\n{}", alone(random, seen, &format!("{fields}{accept}"))),
        0 => format!("GET /sse {version}\r\n{fields}\r\n"),
        1 => format!("GET /mcp {version}\r\n{fields}{known}\r\n"),
        2 => format!("DELETE /mcp {version}\r\n{fields}{known}\r\n"),
        3 | 4 => format!(
            "POST /messages?sessionId={session} {version}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ),
        _ => format!("POST /mcp {version}\r\n{fields}{known}{accept}Content-Length: {length}\r\n\r\n{body}"),
    }
}

struct Conn {
    key: ConnKey,
    is_lines: bool,
    /// The names under which requests were sent on it.
    names: Vec<&'static str>,
}

/// One seed: an engine, its clients, and what they have seen.
struct Run {
    random: Random,
    engine: Engine,
    now: Now,
    conns: Vec<Conn>,
    seen: Seen,
    replies: std::sync::mpsc::Receiver<Reply>,
    kept: Vec<Reply>,
    bob_may: Option<Arc<AtomicBool>>,
}

impl Run {
    /// One seed in three is of a server that asks who is there.
    fn new(seed: u64) -> Run {
        let (send, replies) = std::sync::mpsc::channel();
        let bob_may = (cfg!(feature = "auth") && seed % 3 == 2).then(|| Arc::new(AtomicBool::new(true)));
        let server = server(send, Flavour::of(seed));
        let server = match &bob_may {
            #[cfg(feature = "auth")]
            Some(bob_may) => guarded(server, bob_may.clone()),
            _ => server,
        };
        let mut last = 0;
        let engine = Engine::new(server, move || {
            last += 1;
            last
        });
        let unknown = "70228fad-ceea-4b35-8826-7a15b68f0204".to_owned();
        Run {
            random: Random::new(seed),
            engine: engine.unwrap(),
            now: Now::default(),
            conns: Vec::new(),
            seen: Seen { ids: vec![unknown], ..Seen::default() },
            replies,
            kept: Vec::new(),
            bob_may,
        }
    }

    fn step(&mut self) {
        let Run { random, engine, now, .. } = self;
        let at = (!self.conns.is_empty()).then(|| random.below(self.conns.len()));
        let conn = at.map(|at| self.conns[at].key);
        match (random.below(17), conn) {
            (0 | 1, _) | (_, None) => {
                let (is_lines, peer) = (random.below(8) == 0, peer(random.below(3)));
                let key = if is_lines { engine.open_lines(*now, peer) } else { engine.open(*now, peer) };
                self.conns.push(Conn { key, is_lines, names: Vec::new() });
            }
            (2, Some(conn)) => engine.hang_up(*now, conn),
            (3, Some(conn)) => engine.end_of_input(*now, conn),
            (4 | 5, Some(conn)) => engine.writable(*now, conn),
            (6, _) => now.mono += Duration::from_millis([1, 900, 16_000, 61_000][random.below(4)]),
            (7, _) => self.kept.extend(self.replies.try_iter()),
            (8, _) if !self.kept.is_empty() => {
                self.kept.swap_remove(random.below(self.kept.len())).finish("later");
            }
            (9, _) => engine.handle().resource_updated("x:///1"),
            (10, _) => engine.handle().log(mcp_rill::Level::Alert, "y".repeat(random.below(4000))),
            (11, _) => {
                if let Some(bob_may) = &self.bob_may {
                    bob_may.store(random.below(3) > 0, Ordering::Relaxed);
                    #[cfg(feature = "auth")]
                    engine.handle().reauthorize();
                }
            }
            (_, Some(_)) => self.send(at.unwrap()),
        }
        // A driver may do several things before it asks what to do next.
        if self.random.below(4) > 0 {
            self.engine.tick(self.now);
            self.drain();
        }
    }

    fn send(&mut self, at: usize) {
        let Run { random, engine, now, seen, .. } = self;
        let Conn { key, is_lines, names } = &mut self.conns[at];
        let mut who = String::new();
        if !*is_lines && self.bob_may.is_some() && random.below(12) > 0 {
            let name = NAMES[random.below(NAMES.len())];
            names.push(name);
            who = format!("Authorization: Bearer {name}\r\n");
        }
        let mut text = String::new();
        // Some requests do not wait for the answer to the one before.
        for _ in 0..[1, 1, 1, 2, 3][random.below(5)] {
            text += &match random.below(4) {
                _ if *is_lines => line(random, seen),
                0 if !seen.events.is_empty() => resume(random, seen, &who),
                _ => request(random, seen, &who),
            };
        }
        let cut = random.below(text.len());
        for part in [&text[..cut], &text[cut..]] {
            if engine.wants_read(*key) && !part.is_empty() {
                engine.receive(*now, *key, part.as_bytes());
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.engine.poll() {
                Action::Write(conn) => {
                    let text = String::from_utf8_lossy(self.engine.outgoing(conn)).into_owned();
                    self.look_at(conn, &text);
                    let most = text.len() + 1;
                    let count = if self.random.below(3) == 0 { self.random.below(most) } else { most - 1 };
                    self.engine.sent(self.now, conn, count.min(self.engine.outgoing(conn).len()));
                }
                Action::Close(key) => self.conns.retain(|conn| conn.key != key),
                Action::Read(_) | Action::HalfClose(_) => {}
                Action::Wait(_) => return,
            }
        }
        panic!("the engine never rests");
    }

    fn look_at(&mut self, conn: ConnKey, text: &str) {
        self.seen.look_at(text);
        let names = self.conns.iter().find(|other| other.key == conn).map(|other| &other.names);
        for name in NAMES {
            let told = text.contains(&format!("for {name}\""));
            assert!(!told || names.is_some_and(|names| names.contains(&name)), "not for {name}: {text}");
        }
    }

    /// The server ends, whatever is open; only who does not read waits for the end of the grace.
    fn shut_down(&mut self) {
        let grace = Duration::from_secs(30);
        self.engine.shutdown(self.now, grace);
        self.drain();
        for _ in 0..40 {
            self.step();
        }
        self.now.mono += grace;
        self.engine.tick(self.now);
        self.drain();
        assert!(self.engine.is_finished());
        let stats = self.engine.stats();
        assert_eq!((stats.connections, stats.sessions, stats.calls, stats.buffered_bytes), (0, 0, 0, 0));
        assert_eq!(self.engine.poll(), Action::Wait(None), "nothing is left to wake up for");
    }

    /// Everybody goes, and what is kept for those who might come back is given up in time.
    fn end(&mut self) {
        self.conns.iter().for_each(|conn| self.engine.hang_up(self.now, conn.key));
        for _ in 0..40 {
            self.now.mono += Duration::from_secs(600);
            self.engine.tick(self.now);
            self.drain();
        }
        let stats = self.engine.stats();
        let left = (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes);
        assert_eq!(left, (0, 0, 0, 0));
        self.seen.counts.opened += usize::from(stats.sessions_opened > 0 && self.seen.ids.len() > 1);
        // Whoever has nothing may have all again.
        let stream = b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ada\r\n\r\n";
        for number in 0..3 {
            let all: Vec<ConnKey> = (0..8).map(|_| self.engine.open(self.now, peer(number))).collect();
            for conn in &all[..5] {
                self.engine.receive(self.now, *conn, stream);
                assert!(self.engine.outgoing(*conn).starts_with(b"HTTP/1.1 200 OK\r\n"));
            }
            for conn in &all[5..] {
                assert!(self.engine.wants_read(*conn) && self.engine.outgoing(*conn).is_empty());
            }
            all.iter().for_each(|conn| self.engine.hang_up(self.now, *conn));
            self.drain();
        }
    }
}

/// Names the seed of a run that panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// `CHAOS_SEEDS` is how many are run.
#[test]
fn whatever_comes_when_nothing_is_left_at_the_end() {
    let seeds = std::env::var("CHAOS_SEEDS").map_or(60, |count| count.parse().unwrap());
    let mut sum = Counts::default();
    for seed in 0..seeds {
        let _named = Named(seed);
        let mut run = Run::new(seed);
        for _ in 0..900 {
            run.step();
            assert!(run.engine.stats().buffered_bytes < 1 << 20, "{:?}", run.engine.stats());
        }
        match seed % 4 {
            0 => run.shut_down(),
            _ => run.end(),
        }
        let counts = run.seen.counts;
        sum.opened += counts.opened;
        sum.resumed += counts.resumed;
        sum.asked += counts.asked;
        sum.answered += counts.answered;
        sum.listens += counts.listens;
        sum.told += counts.told;
    }
    assert!(sum.opened as u64 > seeds / 2, "most runs open a session: {sum:?}");
    let least = sum.resumed.min(sum.asked).min(sum.answered).min(sum.listens).min(sum.told);
    // Without these features the clients that need them are refused, which must leave nothing either.
    let is_whole = cfg!(all(feature = "resume", feature = "stateless"));
    assert!(!is_whole || least > 10, "the runs do not do what they are there for: {sum:?}");
}
