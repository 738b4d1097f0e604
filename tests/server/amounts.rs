//! How much a service says at once: the rest waits for the next turn, nothing is lost, and the order stays.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use mcp_rill::http::head;
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::IdRef;
use mcp_rill::service::{CallKey, Outbox, Outgoing, Service, ServiceRequest, Session, SessionKey, Slot};
use mcp_rill::{Limits, Now, Peer, Reply, Server, StateKey};
use serde_json::{Value, json};

/// A budget that a few messages fill.
#[cfg(feature = "streamable")]
const TIGHT: Limits = Limits {
    buffered_bytes_max: 256 << 10,
    body_bytes_max: 200 << 10,
    output_bytes_max: 100 << 10,
    message_bytes_max: 80 << 10,
    page_bytes_max: 1 << 10,
    ..Limits::DEFAULT
};

/// What fills an outbox.
const TEXT_BYTES: usize = 64 << 10;
const MESSAGES: usize = 256;

/// A service, and the sessions that would be an engine's.
struct Bench {
    service: Box<dyn Service>,
    handle: mcp_rill::Handle,
    sessions: Vec<Session>,
    calls: u32,
    now: Now,
}

impl Bench {
    fn new(server: Server, sessions: usize) -> Bench {
        let (service, config) = server.into_service(StateKey::new([7; 16])).unwrap();
        let mut bench =
            Bench { service, handle: config.handle(), sessions: Vec::new(), calls: 0, now: Now::default() };
        for number in 0..sessions {
            let mut session = Session::for_tests(u32::try_from(number).unwrap(), None);
            bench.service.opened(Bench::key(number), &mut session);
            bench.sessions.push(session);
            let client = json!({"name": "cli", "version": "2"});
            let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": client});
            bench.ask(number, "initialize", &params);
        }
        bench
    }

    fn key(number: usize) -> SessionKey {
        SessionKey::for_tests(u32::try_from(number).unwrap())
    }

    fn ask(&mut self, session: usize, method: &str, params: &Value) -> Vec<Outgoing> {
        self.calls += 1;
        let (params, mut tape, mut out) = (params.to_string(), Tape::new(), Outbox::default());
        let request = ServiceRequest {
            call: CallKey::for_tests(self.calls),
            id: &IdRef::Int(i64::from(self.calls)),
            session: Bench::key(session),
            method,
            params: Some(tape.read(&params).unwrap()),
            head: &head::Head::NONE,
            peer: &Peer::default(),
            now: self.now,
        };
        self.service.request(&request, &mut self.sessions[session], &mut out);
        out.iter().map(|(kind, _)| kind.clone()).collect()
    }

    /// Turns until nothing is due at once. Returns what each has left in the outbox, which is no more than fills it, and one message
    /// of every kind that a call ends with.
    fn turns(&mut self, first: impl FnOnce(&mut dyn Service, Now, &mut Outbox)) -> Vec<Vec<Outgoing>> {
        let mut all = Vec::new();
        let mut out = Outbox::default();
        first(&mut *self.service, self.now, &mut out);
        loop {
            let texts = out.iter().map(|(_, text)| text.len());
            assert!(texts.sum::<usize>() < TEXT_BYTES + 20_000, "{} messages", out.iter().count());
            all.push(out.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>());
            assert!(all.last().unwrap().len() < MESSAGES + 3);
            out.clear();
            if self.service.due().is_none_or(|due| due > self.now.mono) {
                return all;
            }
            assert!(all.len() < 10_000, "it is due again and again");
            self.service.tick(self.now, &mut out);
        }
    }
}

fn results(turns: &[Vec<Outgoing>]) -> usize {
    turns.iter().flatten().filter(|kind| matches!(kind, Outgoing::Result(_))).count()
}

fn asking(bytes: usize) -> Server {
    let form = r#"{"type":"object","properties":{}}"#;
    let server = Server::new("demo", "1")
        .limits(Limits { question_timeout: Duration::from_secs(5), ..Limits::DEFAULT });
    server.tool("ask", "Ask, and say much", move |(), call| -> mcp_rill::Result<String> {
        call.elicit_raw("name", "Who?", form)?;
        Ok("x".repeat(bytes))
    })
}

#[test]
fn calls_that_are_over_at_once_are_answered_little_by_little() {
    for (bytes, least) in [(10_000, 400 / 7), (1, 400 * 2 / (MESSAGES + 3))] {
        let mut bench = Bench::new(asking(bytes), 2);
        (0..400).for_each(|number| drop(bench.ask(number % 2, "tools/call", &json!({"name": "ask"}))));
        bench.now.mono = Duration::from_secs(5);
        let turns = bench.turns(|service, now, out| service.tick(now, out));
        assert_eq!(results(&turns), 400);
        assert!(turns.len() > least, "{}", turns.len());
    }
}

#[test]
fn a_shutdown_ends_questions_little_by_little() {
    let mut bench = Bench::new(asking(1), 2);
    (0..400).for_each(|number| drop(bench.ask(number % 2, "tools/call", &json!({"name": "ask"}))));
    let turns = bench.turns(|service, now, out| service.stopping(now, out));
    assert_eq!(results(&turns), 400);
    assert!(turns.len() > 2, "{}", turns.len());
}

/// A server that many have subscribed to, and whose results come when the test wants.
fn news(replies: mpsc::Sender<Reply>) -> Server {
    Server::new("demo", "1")
        .limits(Limits { mailbox_max: 2, ..Limits::DEFAULT })
        .tool("later", "Answer later", move |(), call| call.defer(|reply| replies.send(reply)))
        .template("news:///{name}", "news", |_, _| "news")
        .on_subscribe(|_, _| true)
}

#[test]
fn updates_are_told_little_by_little_and_results_after_them() {
    const SESSIONS: usize = 300;
    let (send, replies) = mpsc::channel();
    let mut bench = Bench::new(news(send), SESSIONS);
    for session in 0..SESSIONS {
        for name in ["a", "b", "c"] {
            bench.ask(session, "resources/subscribe", &json!({"uri": format!("news:///{name}")}));
        }
    }
    bench.ask(0, "tools/call", &json!({"name": "later"}));
    // More than the mailbox has room for: any may have been updated.
    ["x", "y", "z"].iter().for_each(|name| bench.handle.resource_updated(name));
    replies.recv().unwrap().finish("done");
    let handle = bench.handle.clone();
    let turns = bench.turns(|service, now, out| {
        service.tick(now, out);
        // Comes while the others are told.
        handle.resource_updated("news:///b");
    });
    assert!(turns.len() > 3 * SESSIONS / (MESSAGES + 3), "{}", turns.len());
    let all: Vec<Outgoing> = turns.into_iter().flatten().collect();
    let result = all.iter().position(|kind| matches!(kind, Outgoing::Result(_))).unwrap();
    assert_eq!(result, 3 * SESSIONS, "it comes after the updates before it, and before the one after it");
    let mut heard: BTreeMap<String, usize> = BTreeMap::new();
    for kind in &all {
        if let Outgoing::Latest(audience, Slot::Updated(uri)) = kind {
            *heard.entry(format!("{audience:?} {uri}")).or_default() += 1;
        }
    }
    assert_eq!(heard.len(), 3 * SESSIONS);
    assert!(heard.iter().all(|(of, count)| *count == if of.ends_with("/b") { 2 } else { 1 }), "{heard:?}");
}

#[test]
fn one_outbox_is_filled_by_text_or_by_messages() {
    let fill = |bytes: usize, count: usize| {
        let mut out = Outbox::default();
        (0..count).for_each(|_| out.busy(CallKey::for_tests(1), &"x".repeat(bytes)));
        out.is_full()
    };
    assert_eq!([fill(TEXT_BYTES - 1, 1), fill(TEXT_BYTES, 1)], [false, true]);
    assert_eq!([fill(1, MESSAGES - 1), fill(1, MESSAGES)], [false, true]);
}

#[cfg(feature = "stateless")]
#[test]
fn listeners_are_told_little_by_little() {
    use mcp_rill::{Capabilities, ClientInfo, Revision};
    const LISTENERS: usize = 20;
    let (send, _replies) = mpsc::channel();
    let mut bench = Bench::new(news(send), 0);
    let uris: Vec<String> = (0..50).map(|number| format!("news:///{number}")).collect();
    for number in 0..LISTENERS {
        let client = ClientInfo::new("lone", "1", Capabilities::NONE);
        bench.sessions.push(Session::of_request(None, Revision::V2026_07_28, client, None));
        bench.ask(number, "subscriptions/listen", &json!({"notifications": {"resourceSubscriptions": uris}}));
    }
    ["x", "y", "z"].iter().for_each(|name| bench.handle.resource_updated(name));
    let turns = bench.turns(|service, now, out| service.tick(now, out));
    assert!(turns.len() > LISTENERS * uris.len() / (MESSAGES + 3), "{}", turns.len());
    let mut heard: BTreeMap<String, usize> = BTreeMap::new();
    turns.iter().flatten().for_each(|kind| *heard.entry(format!("{kind:?}")).or_default() += 1);
    assert_eq!(heard.len(), LISTENERS * uris.len());
    assert!(heard.values().all(|count| *count == 1));
}

/// A service that keeps all calls but `ping`, and says what the test wants in the next turn.
#[cfg(feature = "streamable")]
struct Mute {
    calls: Vec<(CallKey, SessionKey)>,
    turn: fn(&[(CallKey, SessionKey)], &mut Outbox),
}

#[cfg(feature = "streamable")]
impl Service for Mute {
    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        match request.method {
            "initialize" => {
                session.initialize(request.params).unwrap();
                session.operate(None);
                out.empty_result(request.call);
            }
            "ping" => out.empty_result(request.call),
            _ => self.calls.push((request.call, request.session)),
        }
    }

    fn unreached(&mut self, _: SessionKey, call: Option<CallKey>, _: &[u8], _: Now, out: &mut Outbox) {
        let Some(call) = call else { return };
        assert!(out.is_empty(), "what was said for another call is sent before");
        out.result(call, |out| out.extend_from_slice(b"\"unreached\""));
    }

    fn tick(&mut self, _: Now, out: &mut Outbox) {
        (self.turn)(&self.calls, out);
    }
}

#[cfg(feature = "streamable")]
fn world_of(
    limits: Limits,
    turn: fn(&[(CallKey, SessionKey)], &mut Outbox),
) -> (crate::common::World, mcp_rill::Handle, crate::common::Sock, String) {
    use crate::common::{Cut, World, counted, http};
    use mcp_rill::engine::{Engine, EngineConfig};
    let config = EngineConfig::new(mcp_rill::Settings::default(), limits).unwrap();
    let (handle, service) = (config.handle(), Mute { calls: Vec::new(), turn });
    let engine = Engine::with_service(Box::new(service), config, counted());
    let mut world = World::driving(engine, Cut::Whole, Cut::Whole);
    let sock = world.connect();
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    world.send(sock, http::mcp_post(None, &http::request(0, "initialize", &params.to_string())));
    let session = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    (world, handle, sock, session)
}

#[cfg(feature = "streamable")]
#[test]
fn calls_that_cannot_be_reached_are_handled_one_at_a_time() {
    use crate::common::http;
    let (mut world, handle, _, session) = world_of(Limits::DEFAULT, |calls, out| {
        for (call, session) in calls {
            let audience = mcp_rill::service::Audience::Call(*call, *session);
            out.request(audience, 1, "roots/list", b"");
        }
    });
    let socks = [1, 2, 3].map(|id| {
        let sock = world.connect();
        let post = http::mcp_post(Some(&session), &http::call(id, "any", "{}"));
        world.send(sock, post.replacen("Host:", "Accept: application/json\r\nHost:", 1));
        sock
    });
    handle.wake();
    world.tick();
    for sock in socks {
        assert_eq!(world.response(sock).messages()[0]["result"], "unreached");
    }
    world.quiesce();
}

#[cfg(feature = "streamable")]
#[test]
fn what_waits_in_an_outbox_counts() {
    use crate::common::http;
    let limits = TIGHT;
    // Behind a message that is sent, one whose call is over: it takes memory until it comes up, and there is no other trace of it.
    type Turn = fn(&[(CallKey, SessionKey)], &mut Outbox);
    let said: [(Turn, bool); 2] = [
        (|calls, out| calls.iter().for_each(|(call, _)| say_twice(*call, 50_000, out)), false),
        (|calls, out| calls.iter().for_each(|(call, _)| say_twice(*call, 150_000, out)), true),
    ];
    let held = 150 << 10;
    for (turn, gives_way) in said {
        let (mut world, handle, sock, session) = world_of(limits.clone(), turn);
        let half = world.connect();
        world.send(half, http::post_head("/mcp", held) + &" ".repeat(held - 1));
        world.send(sock, http::mcp_post(Some(&session), &http::call(1, "any", "{}")));
        assert_eq!(world.stats().calls, 1);
        handle.wake();
        world.tick();
        assert_eq!(world.ended(half), gives_way);
        assert_eq!((world.response(sock).status, world.stats().late), (200, 1));
        world.quiesce();
    }
}

#[cfg(feature = "streamable")]
fn say_twice(call: CallKey, bytes: usize, out: &mut Outbox) {
    out.empty_result(call);
    out.result(call, |out| out.extend(format!("\"{}\"", "x".repeat(bytes)).bytes()));
}

/// A service that holds much for the call `hold`, says something when that is cancelled, and answers others at length.
#[cfg(feature = "streamable")]
#[derive(Default)]
struct Holding {
    held: Option<SessionKey>,
    is_much: bool,
}

#[cfg(feature = "streamable")]
impl Holding {
    fn held(&self) -> Option<(SessionKey, usize)> {
        self.held.filter(|_| self.is_much).map(|session| (session, 250 << 10))
    }
}

#[cfg(feature = "streamable")]
impl Service for Holding {
    fn request(&mut self, request: &ServiceRequest<'_>, _: &mut Session, out: &mut Outbox) {
        match request.method {
            "initialize" => out.empty_result(request.call),
            "hold" => self.held = Some(request.session),
            _ => {
                self.is_much = true;
                out.result(request.call, |out| out.extend(format!("\"{}\"", "x".repeat(50_000)).bytes()));
                out.result(request.call, |out| out.extend_from_slice(b"\"late\""));
            }
        }
    }

    fn cancelled(&mut self, session: SessionKey, _: CallKey, out: &mut Outbox) {
        self.held = None;
        let changed = Slot::Changed(mcp_rill::service::ListKind::Tools);
        let audience = mcp_rill::service::Audience::One(session);
        out.notify(Outgoing::Latest(audience, changed), "notifications/tools/list_changed", |_| {});
    }

    fn held_bytes(&self) -> usize {
        self.held().map_or(0, |(_, bytes)| bytes)
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        self.held().into_iter().collect()
    }
}

/// A session is ended in the middle of an outbox, to make room for a response in it, and messages are sent for that.
#[cfg(feature = "streamable")]
#[test]
fn what_is_said_while_an_outbox_is_sent_is_counted_by_itself() {
    use crate::common::{Cut, World, counted, http};
    use mcp_rill::engine::{Engine, EngineConfig};
    let limits = TIGHT;
    let config = EngineConfig::new(mcp_rill::Settings::default(), limits).unwrap();
    let engine = Engine::with_service(Box::new(Holding::default()), config, counted());
    let mut world = World::driving(engine, Cut::Whole, Cut::Whole);
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let mut clients = Vec::new();
    for method in ["hold", "say"] {
        let sock = world.connect();
        world.send(sock, http::mcp_post(None, &http::request(0, "initialize", &params.to_string())));
        let session = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
        world.send(sock, http::mcp_post(Some(&session), &http::request(1, method, "{}")));
        clients.push(sock);
    }
    assert_eq!((world.stats().sessions_shed, world.stats().sessions), (1, 1));
    assert_eq!(world.response(clients[1]).status, 200);
    assert!(world.stats().buffered_bytes < 10_000, "{}", world.stats().buffered_bytes);
    world.quiesce();
}
