//! What an observer is told of each call, and the hook before each call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::engine::{Action, CallDetails, CallKind, CallOutcome, Engine, Event, Transport};
use mcp_rill::{
    Call, CallError, Limits, Now, Peer, Prompt, PromptArgument, Reply, Resource, ResourceTemplate, Revision,
    Server, Tool, Viewer, schema,
};
use serde_json::{Value, json};

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, one, text};
use crate::common::{EndedCall, World, counted, local};
use crate::ways::{Visitor, Way, ways, world};

schema! { struct Name { name: String } }

fn carol(viewer: &Viewer<'_>) -> bool {
    viewer.principal().is_some_and(|principal| principal.name() == "carol")
}

/// Each kind of item, and a tool that only Carol sees.
fn server() -> Server {
    Server::new("watched", "1")
        .tool("echo", "", |Name { name }: Name, _| name)
        .tool("fail", "", |(), _| Err::<String, _>("no"))
        .tool("refuse", "", |(), _| Err::<String, _>(CallError::new(4001, "no")))
        .offer(Tool::new("hidden", "").visible(carol).handler(|(), _| "x"))
        .resource("note:///1", "note", |_| "milk")
        .offer(
            ResourceTemplate::new("log:///{day}", "log")
                .list(|_, _| vec![Resource::new("log:///1", "one")])
                .handler(|_, _| "quiet"),
        )
        .offer(Prompt::new("prompt", "").argument(PromptArgument::new("x")).handler(|_: Value, _| "hello"))
        .complete_prompt("prompt", "x", ["one", "other"])
}

const LONG: &str = "a name of a tool that nobody has, and that is longer than what is shown of a peer's text";

/// Every way to a handler, the kind, the name and the outcome of what is reported.
fn calls() -> Vec<(&'static str, Value, CallKind, String, CallOutcome)> {
    let reference = |name: &str| json!({"type": "ref/prompt", "name": name});
    let complete = |name: &str| json!({"ref": reference(name), "argument": {"name": "x", "value": "o"}});
    let tool = |name: &str, outcome| {
        let params =
            json!({"name": name, "arguments": if name == "echo" { json!({"name": "x"}) } else { json!({}) }});
        ("tools/call", params, CallKind::Tool, name.to_owned(), outcome)
    };
    let not_found = |way_error| CallOutcome::Error(way_error);
    vec![
        tool("echo", CallOutcome::Result),
        ("tools/call", json!({"name": "echo"}), CallKind::Tool, "echo".to_owned(), CallOutcome::ToolError),
        tool("fail", CallOutcome::ToolError),
        tool("refuse", CallOutcome::Error(4001)),
        tool("hidden", CallOutcome::Error(-32602)),
        tool("none", CallOutcome::Error(-32602)),
        (
            "tools/call",
            json!({"name": LONG}),
            CallKind::Tool,
            format!("{}…", &LONG[..80]),
            CallOutcome::Error(-32602),
        ),
        (
            "resources/read",
            json!({"uri": "note:///1"}),
            CallKind::Resource,
            "note:///1".to_owned(),
            CallOutcome::Result,
        ),
        (
            "resources/read",
            json!({"uri": "log:///4"}),
            CallKind::Resource,
            "log:///4".to_owned(),
            CallOutcome::Result,
        ),
        ("resources/read", json!({"uri": "x:///"}), CallKind::Resource, "x:///".to_owned(), not_found(0)),
        (
            "resources/list",
            json!({"cursor": "of log:///{day} "}),
            CallKind::ResourceList,
            "log:///{day}".to_owned(),
            CallOutcome::Result,
        ),
        (
            "prompts/get",
            json!({"name": "prompt"}),
            CallKind::Prompt,
            "prompt".to_owned(),
            CallOutcome::Result,
        ),
        (
            "completion/complete",
            complete("prompt"),
            CallKind::Completion,
            "prompt".to_owned(),
            CallOutcome::Result,
        ),
        (
            "completion/complete",
            complete("nothing"),
            CallKind::Completion,
            "nothing".to_owned(),
            CallOutcome::Error(-32602),
        ),
    ]
}

/// What a resource that does not exist is answered with.
fn code_of(outcome: CallOutcome, revision: Revision) -> CallOutcome {
    match outcome {
        CallOutcome::Error(0) if revision.has_sessions() => CallOutcome::Error(-32002),
        CallOutcome::Error(0) => CallOutcome::Error(-32602),
        other => other,
    }
}

#[test]
fn every_call_is_reported_once_however_it_comes() {
    for way in ways() {
        let mut world = world(way, server());
        let mut visitor = Visitor::new(&mut world, way, "ada");
        let transport = match way {
            Way::Sse(_) => Transport::Sse,
            Way::Lines(_) => Transport::Lines,
            #[cfg(feature = "stateless")]
            Way::LoneLines => Transport::Lines,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            _ => Transport::Streamable,
        };
        assert!(world.calls_ended().is_empty(), "{way:?}");
        for (method, params, kind, name, outcome) in calls() {
            let sent = params.to_string().len();
            let heard = visitor.ask(&mut world, method, params);
            let ended = world.calls_ended();
            let [end] = &ended[..] else { panic!("{way:?} {method} {name}: {ended:?}") };
            let outcome = code_of(outcome, end.revision);
            assert_eq!((end.kind, &end.name, end.outcome), (kind, &name, outcome), "{way:?} {heard}");
            assert_eq!((end.principal.as_deref(), end.transport, end.runs), (Some("ada"), transport, 1));
            assert_eq!((end.ran, end.queued), (Duration::ZERO, Duration::ZERO));
            let answer =
                heard.lines().find_map(|line| line.find(r#"{"jsonrpc""#).map(|at| &line[at..])).unwrap();
            let member = if matches!(outcome, CallOutcome::Error(_)) { "\"error\":" } else { "\"result\":" };
            let body = answer.split_once(member).unwrap().1;
            assert_eq!(end.bytes, body.len() - 1, "{answer}");
            let exists = !matches!(outcome, CallOutcome::Error(-32602 | -32002));
            assert_eq!(end.is_known, exists, "{way:?} {method} {name}");
            assert!(end.request_bytes >= sent, "{way:?} {method}: {} of {sent}", end.request_bytes);
            let session = match way {
                Way::Sse(_) => visitor.target.rsplit_once("sessionId=").map(|(_, id)| id.to_owned()),
                #[cfg(feature = "streamable")]
                Way::Streamable(_) => Some(visitor.target.clone()),
                Way::Lines(_) => end.session.clone(),
                #[cfg(any(feature = "streamable", feature = "stateless"))]
                _ => None,
            };
            assert_eq!(end.session, session, "{way:?}");
        }
        visitor.ask(&mut world, "tools/list", json!({}));
        visitor.ask(&mut world, "resources/list", json!({}));
        assert!(world.calls_ended().is_empty(), "pages that no handler makes are no calls");
    }
}

fn only(mut ended: Vec<EndedCall>) -> EndedCall {
    assert_eq!(ended.len(), 1, "{ended:?}");
    ended.remove(0)
}

/// A server with a clock of its own, which runs on by a second in each call of `work`.
#[test]
fn the_time_of_handlers_is_measured_and_that_of_questions_is_not() {
    let clock = Arc::new(AtomicU64::new(0));
    let worked = clock.clone();
    let server = Server::new("clock", "1").tool("work", "", move |(), call| -> mcp_rill::Result<_> {
        worked.fetch_add(1, Ordering::SeqCst);
        let name = call.elicit::<Name>("name", "Who?")?.required()?;
        Ok(name.accepted().map_or_else(String::new, |name| name.name))
    });
    let mut world = World::new(server);
    let time = clock.clone();
    world.engine.set_clock(move || Duration::from_secs(time.load(Ordering::SeqCst)));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = one(client.say(&mut world, &call(1, "work", "{}")));
    assert!(world.calls_ended().is_empty());
    clock.fetch_add(100, Ordering::SeqCst);
    client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"Ada"}}"#);
    let end = only(world.calls_ended());
    assert_eq!((end.ran, end.runs, end.outcome), (Duration::from_secs(2), 2, CallOutcome::Result));
}

#[test]
fn the_time_of_a_deferred_call_is_until_its_reply() {
    let (send, replies) = mpsc::channel::<Reply>();
    let server =
        Server::new("later", "1").tool("work", "", move |(), call| call.defer(|reply| send.send(reply)));
    let mut world = World::new(server);
    let clock = Arc::new(AtomicU64::new(0));
    let time = clock.clone();
    world.engine.set_clock(move || Duration::from_secs(time.load(Ordering::SeqCst)));
    let pass = |world: &mut World, time: Duration| {
        clock.fetch_add(time.as_secs(), Ordering::SeqCst);
        world.advance(time);
    };
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    pass(&mut world, Duration::from_secs(5));
    replies.recv().unwrap().finish("done");
    world.advance(Duration::from_millis(1));
    assert_eq!(text(&one(client.hear(&mut world))), "done");
    let end = only(world.calls_ended());
    assert_eq!((end.ran, end.outcome), (Duration::from_secs(5), CallOutcome::Result));
    // Cancelled by its client.
    client.tell(&mut world, &call(2, "work", "{}"));
    pass(&mut world, Duration::from_secs(3));
    client.cancel(&mut world, "2");
    let end = only(world.calls_ended());
    assert_eq!((end.ran, end.outcome, end.bytes), (Duration::from_secs(3), CallOutcome::Cancelled, 0));
    // With its session.
    client.tell(&mut world, &call(3, "work", "{}"));
    world.reset(client.stream.sock);
    assert_eq!(only(world.calls_ended()).outcome, CallOutcome::Cancelled);
    // Too slow.
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(4, "work", "{}"));
    pass(&mut world, Limits::DEFAULT.tool_timeout);
    let end = only(world.calls_ended());
    assert_eq!((end.ran, end.outcome), (Limits::DEFAULT.tool_timeout, CallOutcome::TimedOut));
}

#[test]
fn the_wait_for_a_thread_is_told_from_the_run() {
    let (go, release) = mpsc::channel::<()>();
    let release = Mutex::new(release);
    let limits = Limits { workers: 1, worker_queue_max: 1, ..Limits::DEFAULT };
    let server = Server::new("pool", "1").limits(limits).blocking_tool("work", "", move |(), _| {
        release.lock().unwrap().recv().unwrap();
        "done"
    });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(1, "work", "{}"));
    pool.turn(&mut world);
    client.tell(&mut world, &call(2, "work", "{}"));
    let busy = one(client.say(&mut world, &call(3, "work", "{}")));
    assert_eq!(busy["error"]["code"], -32000, "{busy}");
    assert_eq!(only(world.calls_ended()).outcome, CallOutcome::Busy);
    world.advance(Duration::from_secs(7));
    go.send(()).unwrap();
    pool.heard(&mut world, &client, 1);
    let first = only(world.calls_ended());
    assert_eq!((first.queued, first.ran), (Duration::ZERO, Duration::from_secs(7)));
    go.send(()).unwrap();
    pool.heard(&mut world, &client, 1);
    let second = only(world.calls_ended());
    assert_eq!((second.queued, second.outcome), (Duration::from_secs(7), CallOutcome::Result));
}

/// What is told of the request of each call: the ids of its trace, and its arguments.
type Details = Arc<Mutex<Vec<(Option<String>, Option<String>)>>>;

#[test]
fn the_request_is_repeated_only_as_far_as_it_is_asked_for() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |id: u32| {
        let meta = format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=1"}}"#);
        let params = format!(r#"{{"name":"trace","arguments":{{"name":"milk"}},"_meta":{meta}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#) + "\n"
    };
    let arguments = || Some(r#"{"name":"milk"}"#.to_owned());
    let id = || Some("0af7651916cd43dd8448eb211c80319c a=1".to_owned());
    let none = CallDetails::default();
    for (details, told) in [
        (none, (None, None)),
        (CallDetails { trace: true, ..none }, (id(), None)),
        (CallDetails { arguments_bytes_max: 15, ..none }, (None, arguments())),
        (CallDetails { trace: true, arguments_bytes_max: 15 }, (id(), arguments())),
        (CallDetails { arguments_bytes_max: 14, ..none }, (None, None)),
    ] {
        let server = Server::new("traced", "1").tool("trace", "", |Name { .. }: Name, call| {
            call.trace_context().map_or(String::new(), |trace| trace.traceparent().to_owned())
        });
        let mut engine = Engine::new(server, || 1).unwrap();
        engine.set_call_details(details);
        let seen = Details::default();
        let sink = seen.clone();
        engine.on_event(move |event| {
            if let Event::CallEnded { trace, arguments, .. } = event {
                let trace =
                    trace.map(|trace| format!("{} {}", trace.trace_id(), trace.tracestate().unwrap()));
                sink.lock().unwrap().push((trace, arguments.map(str::to_owned)));
            }
        });
        let now = Now::default();
        let conn = engine.open_lines(now, Peer::default());
        engine.receive(now, conn, traced(1).as_bytes());
        assert!(
            String::from_utf8_lossy(engine.outgoing(conn)).contains(PARENT),
            "the handler sees it always"
        );
        assert_eq!(*seen.lock().unwrap(), [told], "{details:?}");
    }
}

#[test]
fn arguments_are_reported_without_secrets() {
    let schema = r#"{"type":"object","properties":{"user":{"type":"string"},"key":{"type":"string","format":"password"}}}"#;
    let server = Server::new("login", "1")
        .offer(Tool::new("login", "").input_schema(schema).handler(|_: Value, _| "in"))
        .offer(Tool::new("hidden", "").input_schema(schema).visible(carol).handler(|_: Value, _| "in"));
    let mut engine = Engine::new(server, || 1).unwrap();
    engine.set_call_details(CallDetails { arguments_bytes_max: 1000, ..CallDetails::default() });
    let (tell, told) = mpsc::channel();
    engine.on_event(move |event| {
        if let Event::CallEnded { arguments, .. } = event {
            tell.send(arguments.map(str::to_owned)).unwrap();
        }
    });
    let conn = engine.open_lines(Now::default(), Peer::default());
    for (name, shown) in [
        ("login", r#"{"user":"ada","key":"***"}"#),
        ("hidden", r#"{"user":"***","key":"***"}"#),
        ("nothing", r#"{"user":"***","key":"***"}"#),
    ] {
        let params = json!({"name": name, "arguments": {"user": "ada", "key": "secret"}});
        let message = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params});
        engine.receive(Now::default(), conn, format!("{message}\n").as_bytes());
        // The order of members is that of the request.
        let sent: Value = serde_json::from_str(&told.recv().unwrap().unwrap()).unwrap();
        assert_eq!(sent, serde_json::from_str::<Value>(shown).unwrap(), "{name}");
    }
}

#[test]
fn the_end_of_a_session_says_how_long_it_was_open() {
    let mut engine = Engine::new(server(), || 1).unwrap();
    let (tell, told) = mpsc::channel();
    engine.on_event(move |event| match event {
        Event::SessionOpened { transport, .. } => tell.send((*transport, None)).unwrap(),
        Event::SessionClosed { transport, revision, lasted, .. } => {
            tell.send((*transport, Some((*revision, *lasted)))).unwrap();
        }
        _ => {}
    });
    let at = |seconds| Now { mono: Duration::from_secs(seconds), ..Now::default() };
    let conn = engine.open(at(1), Peer { loopback: true, ..Peer::default() });
    engine.receive(at(2), conn, b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    engine.hang_up(at(9), conn);
    while !matches!(engine.poll(), Action::Wait(_)) {}
    assert_eq!(told.recv().unwrap(), (Transport::Sse, None));
    let (transport, end) = told.recv().unwrap();
    assert_eq!((transport, end.unwrap().1), (Transport::Sse, Duration::from_secs(7)));
    let conn = engine.open_lines(at(10), Peer::default());
    assert_eq!(told.recv().unwrap(), (Transport::Lines, None));
    engine.end_of_input(at(11), conn);
    while !matches!(engine.poll(), Action::Wait(_)) {}
    let (transport, end) = told.recv().unwrap();
    assert_eq!((transport, end.unwrap().1), (Transport::Lines, Duration::from_secs(1)));
}

#[cfg(feature = "stateless")]
#[test]
fn a_request_that_is_answered_with_questions_is_reported_as_such() {
    let server = Server::new("ask", "1").tool("ask", "", |(), call| -> mcp_rill::Result<_> {
        Ok(call.elicit::<Name>("name", "Who?")?.accepted().map(|name| name.name).unwrap_or_default())
    });
    let mut world = World::new(server);
    let mut visitor = Visitor::new(&mut world, Way::Stateless, "ada");
    let heard = visitor.ask(&mut world, "tools/call", json!({"name": "ask"}));
    assert!(heard.contains("input_required"), "{heard}");
    let end = only(world.calls_ended());
    assert_eq!((end.outcome, end.runs), (CallOutcome::Asked, 1));
    assert!(end.bytes > 0);
}

#[test]
fn reads_that_decide_about_a_subscription_are_not_reported() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for uri in ["note:///1", "none:///"] {
        client.ask(&mut world, &request(1, "resources/subscribe", &json!({ "uri": uri }).to_string()));
    }
    assert!(world.calls_ended().is_empty());
}

/// What the hook was asked about.
type Asked = Arc<Mutex<Vec<(CallKind, String)>>>;

fn noting(asked: &Asked) -> impl FnMut(&mut Call, CallKind, &str) -> Result<(), CallError> + Send + use<> {
    let asked = asked.clone();
    move |call, kind, name| {
        assert_eq!(call.principal().unwrap().name(), "ada");
        asked.lock().unwrap().push((kind, name.to_owned()));
        Ok(())
    }
}

#[test]
fn the_hook_is_asked_before_every_handler_and_not_about_what_does_not_exist() {
    for way in ways() {
        let asked = Asked::default();
        let mut world = world(way, server().before_call(noting(&asked)));
        let mut visitor = Visitor::new(&mut world, way, "ada");
        for (method, params, kind, name, outcome) in calls() {
            visitor.ask(&mut world, method, params);
            let seen = std::mem::take(&mut *asked.lock().unwrap());
            let exists = !matches!(outcome, CallOutcome::Error(0 | -32602));
            let expected = if exists { vec![(kind, name)] } else { Vec::new() };
            assert_eq!(seen, expected, "{way:?} {method}");
        }
    }
}

/// With a hook that refuses all, the bytes for what is hidden are those of a server without a hook.
#[test]
fn what_the_hook_refuses_is_answered_with_its_error() {
    for way in ways() {
        let refusing = server().before_call(|_, _, _| Err(CallError::new(4003, "not today")));
        let (mut world_of_it, mut plain) = (world(way, refusing), world(way, server()));
        let mut visitor = Visitor::new(&mut world_of_it, way, "ada");
        let mut other = Visitor::new(&mut plain, way, "ada");
        for (method, params, _, name, outcome) in calls() {
            let heard = visitor.ask(&mut world_of_it, method, params.clone());
            let exists = !matches!(outcome, CallOutcome::Error(0 | -32602));
            match exists {
                true => assert!(heard.contains(r#""code":4003,"message":"not today""#), "{way:?} {heard}"),
                false => assert_eq!(heard, other.ask(&mut plain, method, params), "{way:?} {name}"),
            }
        }
        assert!(
            world_of_it.calls_ended().iter().filter(|end| end.outcome == CallOutcome::Error(4003)).count()
                >= 8
        );
    }
}

#[test]
fn a_subscription_needs_the_hook_like_a_read() {
    let server = server().before_call(|_, _, name| match name {
        "note:///1" => Err(CallError::internal("not today")),
        _ => Ok(()),
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let subscribe = |world: &mut World, uri: &str| {
        client.ask(world, &request(1, "resources/subscribe", &json!({ "uri": uri }).to_string()))
    };
    assert_eq!(subscribe(&mut world, "note:///1")["error"]["code"], -32002);
    assert!(subscribe(&mut world, "log:///1")["result"].is_object());
}

#[test]
fn the_hook_is_not_asked_again_after_a_question() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let server = Server::new("ask", "1")
        .tool("ask", "", |(), call| -> mcp_rill::Result<_> {
            Ok(call.elicit::<Name>("name", "Who?")?.accepted().map(|name| name.name).unwrap_or_default())
        })
        .before_call(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = one(client.say(&mut world, &call(1, "ask", "{}")));
    let answer = client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"Ada"}}"#);
    assert_eq!((text(&one(answer)), asked.load(Ordering::SeqCst)), ("Ada", 1));
}

#[test]
fn a_hook_that_panics_or_asks_refuses_the_call() {
    let ran = Arc::new(AtomicU64::new(0));
    for asks in [true, false] {
        let count = ran.clone();
        let server = Server::new("ask", "1")
            .tool("work", "", move |(), _| count.fetch_add(1, Ordering::SeqCst))
            .before_call(move |call, _, _| {
                assert!(asks, "a bug in a hook");
                let _ = call.elicit::<Name>("name", "Who?");
                Ok(())
            });
        let mut world = World::new(server);
        let client = Client::new(&mut world, "2025-11-25", ALL);
        let reply = client.ask(&mut world, &call(1, "work", "{}"));
        let error =
            if asks { "cannot ask the client" } else { "the handler of before_call of `work` panicked" };
        assert_eq!(reply["error"]["code"], -32603, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(error), "{reply}");
        // The server goes on.
        assert!(client.ask(&mut world, &request(2, "ping", "{}"))["result"].is_object());
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_handle_has_the_numbers_of_the_last_turn() {
    let mut world = World::new(server());
    let handle = world.engine.handle();
    assert_eq!(handle.stats(), world.stats());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.ask(&mut world, &call(1, "fail", "{}"));
    let stats = std::thread::spawn(move || handle.stats()).join().unwrap();
    assert_eq!(stats, world.stats());
    assert_eq!((stats.sessions, stats.messages_received), (1, 3));
}

#[test]
fn an_observer_of_all_but_calls_makes_nobody_look_at_the_clock() {
    for (all, expected) in [(true, (1, 2)), (false, (0, 0))] {
        let server = Server::new("test", "1").tool("hello", "", |(), _| "hello");
        let mut engine = Engine::new(server, counted()).unwrap();
        let (looks, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (clock, calls) = (looks.clone(), ended.clone());
        engine.set_clock(move || Duration::from_secs(clock.fetch_add(1, Ordering::Relaxed)));
        let observer = move |event: &Event<'_>| {
            let is_call = matches!(event, Event::CallEnded { .. });
            calls.fetch_add(u64::from(is_call), Ordering::Relaxed);
        };
        match all {
            true => engine.on_event(observer),
            false => engine.on_event_but_calls(observer),
        }
        let conn = engine.open_lines(Now::default(), local());
        let call =
            concat!(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#, "\n");
        engine.receive(Now::default(), conn, call.as_bytes());
        assert_eq!(engine.poll(), Action::Write(conn));
        assert_eq!((ended.load(Ordering::Relaxed), looks.load(Ordering::Relaxed)), expected);
    }
}
