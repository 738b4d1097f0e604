//! The service of a server without an engine, and what a service outside of the crate needs for its own tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcp_rill::engine::{Action, Engine, EngineConfig};
use mcp_rill::http::head;
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::IdRef;
use mcp_rill::service::{
    Audience, CallKey, Outbox, Outgoing, Service, ServiceRequest, Session, SessionKey, Slot,
};
use mcp_rill::{
    Capabilities, ClientInfo, Level, Limits, Now, Peer, Principal, Revision, Server, Settings, StateKey,
};
use serde_json::{Value, json};

use crate::common::{Cut, World, counted, http};

fn ask(
    service: &mut dyn Service,
    session: &mut Session,
    call: u32,
    method: &str,
    params: &Value,
) -> Vec<(Outgoing, Value)> {
    let (mut fields, mut out) = (head::Fields::new(), Outbox::default());
    let head = head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut fields, &Limits::DEFAULT).unwrap();
    let (params, mut tape) = (params.to_string(), Tape::new());
    let request = ServiceRequest {
        call: CallKey::for_tests(call),
        id: &IdRef::Int(i64::from(call)),
        session: SessionKey::for_tests(1),
        method,
        params: Some(tape.read(&params).unwrap()),
        head: &head,
        peer: &Peer::default(),
        now: Now::default(),
    };
    // As the engine does.
    match method {
        _ if !session.is_kept() => {}
        "initialize" => drop(session.initialize(request.params)),
        _ => session.operate(None),
    }
    service.request(&request, session, &mut out);
    read(&out)
}

fn read(out: &Outbox) -> Vec<(Outgoing, Value)> {
    out.iter().map(|(what, json)| (what.clone(), serde_json::from_slice(json).unwrap())).collect()
}

fn server() -> Server {
    Server::new("demo", "1")
        .tool("who", "Who asks", |(), call| {
            call.log(Level::Info, "asked");
            let user = call.principal().map_or("nobody", |principal| principal.name());
            let client = call.client().map_or("no client", |client| &client.name);
            format!("{user} with {client}")
        })
        .resource("demo:///one", "one", |_| "1")
}

#[test]
fn the_built_in_service_answers_without_an_engine() {
    let (mut service, config) = server().into_service(StateKey::new([7; 16])).unwrap();
    let service = &mut *service;
    let mut session = Session::for_tests(1, Some(Principal::new("ada")));
    service.opened(SessionKey::for_tests(1), &mut session);
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "cli", "version": "2"}});
    let said = ask(service, &mut session, 1, "initialize", &hello);
    assert_eq!(said[0].0, Outgoing::Result(CallKey::for_tests(1)));
    assert_eq!(said[0].1["protocolVersion"], "2025-06-18");
    assert_eq!((session.revision(), session.is_operating()), (Revision::V2025_06_18, false));
    let said = ask(service, &mut session, 2, "tools/call", &json!({"name": "who"}));
    let call = CallKey::for_tests(2);
    let log = Outgoing::Log(Audience::Call(call, SessionKey::for_tests(1)), Level::Info);
    assert_eq!((&said[0].0, said[1].1["content"][0]["text"].as_str()), (&log, Some("ada with cli")));
    assert!(session.is_operating());
    ask(service, &mut session, 3, "logging/setLevel", &json!({"level": "error"}));
    assert_eq!(session.log_level(), Some(Level::Error));
    let said = ask(service, &mut session, 4, "resources/subscribe", &json!({"uri": "demo:///one"}));
    assert_eq!(said, [(Outgoing::Result(CallKey::for_tests(4)), json!({}))]);
    let said = ask(service, &mut session, 5, "none", &json!({}));
    assert_eq!(said[0].0, Outgoing::Error(CallKey::for_tests(5), -32601));
    // The handle of its configuration reaches it from any thread.
    let handle = config.handle();
    std::thread::spawn(move || handle.resource_updated("demo:///one")).join().unwrap();
    let mut out = Outbox::default();
    service.tick(Now::default(), &mut out);
    let updated =
        Outgoing::Latest(Audience::One(SessionKey::for_tests(1)), Slot::Updated("demo:///one".into()));
    assert_eq!(read(&out)[0].0, updated);
    out.clear();
    assert!(out.is_empty());
}

#[test]
fn a_request_without_a_session_says_everything_itself() {
    let (mut service, _) = server().into_service(StateKey::new([7; 16])).unwrap();
    let client = ClientInfo::new("lone", "1", Capabilities::NONE);
    let mut session = Session::of_request(None, Revision::V2026_07_28, client, None);
    assert!(!session.is_kept() && session.log_level().is_none());
    let said = ask(&mut *service, &mut session, 1, "tools/call", &json!({"name": "who"}));
    assert_eq!(said.last().unwrap().1["content"][0]["text"], "nobody with lone");
}

/// A service that remembers a number for each session: it needs nothing of the crate's insides.
#[derive(Default)]
struct Counter(BTreeMap<SessionKey, u32>);

impl Service for Counter {
    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        match request.method {
            "initialize" => out.result(request.call, |out| {
                let result = json!({ "protocolVersion": session.revision().name(), "capabilities": {} });
                out.extend(result.to_string().bytes());
            }),
            _ => {
                let count = self.0.entry(request.session).or_default();
                *count += 1;
                out.result(request.call, |out| out.extend(count.to_string().bytes()));
            }
        }
    }

    fn closed(&mut self, key: SessionKey) {
        self.0.remove(&key);
    }
}

#[test]
fn a_service_of_ones_own_is_tested_without_an_engine() {
    let (mut counter, mut session) = (Counter::default(), Session::for_tests(7, None));
    let said = ask(&mut counter, &mut session, 1, "initialize", &json!({}));
    assert_eq!(said[0].1["protocolVersion"], "2025-11-25");
    for call in 1..4 {
        let said = ask(&mut counter, &mut session, call, "count", &json!({}));
        assert_eq!(said, [(Outgoing::Result(CallKey::for_tests(call)), json!(call))]);
    }
    counter.closed(SessionKey::for_tests(1));
    assert!(counter.0.is_empty() && SessionKey::for_tests(1) != SessionKey::for_tests(2));
}

#[test]
fn what_is_wrong_is_said_before_there_is_an_engine() {
    let wrong = Settings { base_path: "no-slash".into(), ..Settings::default() };
    assert!(EngineConfig::new(wrong.clone(), Limits::default()).is_err());
    assert!(EngineConfig::new(Settings::default(), Limits { workers: 0, ..Limits::default() }).is_err());
    let error = server().settings(wrong).into_service(StateKey::new([7; 16])).err();
    assert_eq!(
        error,
        Engine::new(
            server().settings(Settings { base_path: "no-slash".into(), ..Settings::default() }),
            || 1
        )
        .err()
    );
    let kept =
        EngineConfig::new(Settings { sse_path: "/events/".into(), ..Settings::default() }, Limits::default());
    assert!(format!("{:?}", kept.unwrap()).contains("\"/events\""));
}

#[test]
fn a_handle_wakes_the_loop() {
    let mut engine = Engine::new(server(), || 1).unwrap();
    let woken = Arc::new(AtomicU32::new(0));
    let count = woken.clone();
    engine.set_waker(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (handle, now) =
        (engine.handle(), |seconds| Now { mono: Duration::from_secs(seconds), ..Now::default() });
    engine.tick(now(1));
    assert_eq!(engine.poll(), Action::Wait(None));
    for turn in 2..4 {
        handle.wake();
        handle.wake();
        assert_eq!(woken.load(Ordering::Relaxed), u32::try_from(turn).unwrap() - 1, "once a turn");
        assert_eq!(engine.poll(), Action::Wait(Some(now(turn - 1).mono)));
        engine.tick(now(turn));
        assert_eq!(engine.poll(), Action::Wait(None));
    }
}

/// It need not wait for a message.
#[test]
fn a_service_that_is_due_from_the_beginning_gets_its_turn() {
    struct Early(Arc<AtomicU32>);
    impl Service for Early {
        fn request(&mut self, _: &ServiceRequest<'_>, _: &mut Session, _: &mut Outbox) {}

        fn tick(&mut self, _: Now, _: &mut Outbox) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn due(&self) -> Option<Duration> {
            (self.0.load(Ordering::Relaxed) == 0).then_some(Duration::from_secs(1))
        }
    }
    let turns = Arc::new(AtomicU32::new(0));
    let config = EngineConfig::new(Settings::default(), Limits::default()).unwrap();
    let mut engine = Engine::with_service(Box::new(Early(turns.clone())), config, counted());
    assert_eq!(engine.poll(), Action::Wait(Some(Duration::from_secs(1))));
    engine.tick(Now { mono: Duration::from_secs(1), ..Now::default() });
    assert_eq!((turns.load(Ordering::Relaxed), engine.poll()), (1, Action::Wait(None)));
}

#[test]
fn a_service_of_ones_own_answers_behind_the_engine() {
    let config = EngineConfig::new(Settings::default(), Limits::default()).unwrap();
    let engine = Engine::with_service(Box::new(Counter::default()), config, counted());
    let mut world = World::driving(engine, Cut::Whole, Cut::Whole);
    let (stream, posts) = (world.open_sse(), world.connect());
    let params =
        r#"{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    let refused = world.call(&stream, posts, &http::request(0, "initialize", "{}"));
    assert_eq!(refused["error"]["code"], -32602, "by the engine");
    let reply = world.call(&stream, posts, &http::request(1, "initialize", params));
    assert_eq!(reply["result"]["protocolVersion"], "2024-11-05");
    for count in 1..3 {
        assert_eq!(world.call(&stream, posts, &http::request(count, "count", "{}"))["result"], count);
    }
    if cfg!(not(feature = "streamable")) {
        return;
    }
    let hello = http::request(1, "initialize", &params.replace("2024-11-05", "2025-11-25"));
    world.send(posts, http::mcp_post(None, &hello));
    let opened = world.response(posts);
    let session = opened.header("mcp-session-id").unwrap();
    world.send(posts, http::mcp_post(Some(session), &http::request(2, "count", "{}")));
    assert_eq!(world.response(posts).messages()[0]["result"], 1, "sessions are told apart");
    world.quiesce();
}

#[cfg(all(feature = "auth", feature = "streamable"))]
#[test]
fn the_configuration_decides_who_is_admitted_and_where() {
    /// A service that says who asks.
    struct Who;

    impl Service for Who {
        fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
            let name = session.principal().map_or("nobody", |principal| principal.name());
            out.result(request.call, |out| out.extend(json!(name).to_string().bytes()));
        }
    }

    let settings = Settings { base_path: "/who".into(), ..Settings::default() };
    let config = EngineConfig::new(settings, Limits::default()).unwrap().authorize(|request| {
        match request.header("x-user") {
            Some(user) => Ok(Principal::new(user)),
            None => Err(mcp_rill::Denied::invalid_token("say who you are")),
        }
    });
    let mut world =
        World::driving(Engine::with_service(Box::new(Who), config, counted()), Cut::Whole, Cut::Whole);
    let sock = world.connect();
    let hello =
        r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    let ask =
        |user: &str| {
            http::mcp_post(None, &http::request(1, "initialize", hello))
                .replacen("/mcp", "/who/mcp", 1)
                .replacen("Host", &format!("{user}Host"), 1)
        };
    world.send(sock, ask(""));
    assert_eq!(world.response(sock).status, 401);
    let sock = world.connect();
    world.send(sock, ask("X-User: ada\r\n"));
    assert_eq!(world.response(sock).messages()[0]["result"], "ada");
    world.quiesce();
}
