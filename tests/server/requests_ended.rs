//! What an observer is told of requests that no handler answers: `initialize`, `server/discover` and lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_rill::engine::{CallKind, CallOutcome, Engine, EngineConfig, Transport};
use mcp_rill::service::{Outbox, Service, ServiceRequest, Session};
use mcp_rill::{Limits, Resource, ResourceTemplate, Server, Settings};
use serde_json::json;

use crate::common::{Cut, EndedRequest, World, counted};
use crate::ways::{Visitor, Way, ways, world};

const UNKNOWN: CallOutcome = CallOutcome::Error(-32601);

fn server() -> Server {
    let day =
        ResourceTemplate::new("log:///{day}", "log").list(|_, _| vec![Resource::new("log:///1", "one")]);
    Server::new("lists", "1")
        .tool("hello", "", |(), _| "hello")
        .resource("note:///1", "note", |_| "milk")
        .offer(day.handler(|_, _| "quiet"))
}

fn transport_of(way: Way) -> Transport {
    match way {
        Way::Sse(_) => Transport::Sse,
        Way::Lines(_) => Transport::Lines,
        #[cfg(feature = "stateless")]
        Way::LoneLines => Transport::Lines,
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        _ => Transport::Streamable,
    }
}

fn only(mut ended: Vec<EndedRequest>) -> EndedRequest {
    assert_eq!(ended.len(), 1, "{ended:?}");
    ended.remove(0)
}

#[test]
fn initialize_and_lists_are_reported_once_however_they_come() {
    for way in ways() {
        let mut world = world(way, server());
        let mut visitor = Visitor::new(&mut world, way, "ada");
        let begun = world.requests_ended();
        match way {
            Way::Sse(revision) | Way::Lines(revision) => {
                let begun = only(begun);
                assert_eq!((begun.method, begun.outcome), ("initialize", CallOutcome::Result), "{way:?}");
                assert_eq!((begun.revision.name(), begun.transport), (revision, transport_of(way)));
            }
            #[cfg(feature = "streamable")]
            Way::Streamable(revision) => assert_eq!(only(begun).revision.name(), revision),
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            _ => assert!(begun.is_empty(), "{way:?}: {begun:?}"),
        }
        for (method, outcome) in [
            ("tools/list", CallOutcome::Result),
            ("resources/templates/list", CallOutcome::Result),
            ("prompts/list", UNKNOWN),
            ("server/discover", if visitor.has_sessions() { UNKNOWN } else { CallOutcome::Result }),
        ] {
            visitor.ask(&mut world, method, json!({}));
            let ended = only(world.requests_ended());
            assert_eq!((ended.method, ended.outcome), (method, outcome), "{way:?}");
            assert_eq!((ended.transport, ended.ran), (transport_of(way), Duration::ZERO), "{way:?}");
        }
        assert!(world.calls_ended().is_empty(), "{way:?}");
        visitor.ask(&mut world, "ping", json!({}));
        visitor.ask(&mut world, "tools/call", json!({"name": "hello"}));
        assert!(world.requests_ended().is_empty(), "{way:?}: these are no lists");
        visitor.leave(&mut world);
        assert_eq!(world.stats().buffered_bytes, 0, "{way:?}");
    }
}

#[test]
fn a_page_that_a_template_makes_is_a_call_and_reported_as_nothing_else() {
    for way in ways() {
        let mut world = world(way, server());
        let mut visitor = Visitor::new(&mut world, way, "ada");
        world.requests_ended();
        let first = visitor.ask(&mut world, "resources/list", json!({}));
        assert_eq!(only(world.requests_ended()).method, "resources/list", "{way:?}");
        assert!(world.calls_ended().is_empty(), "{way:?}");
        let cursor = first.split_once(r#""nextCursor":""#).unwrap().1.split_once('"').unwrap().0;
        let second = visitor.ask(&mut world, "resources/list", json!({"cursor": cursor}));
        assert!(second.contains("log:///1"), "{way:?}: {second}");
        let calls = world.calls_ended();
        assert!(matches!(&calls[..], [call] if call.kind == CallKind::ResourceList), "{way:?}: {calls:?}");
        assert_eq!(world.requests_ended(), [], "{way:?}");
    }
}

/// Leaves its lists open, and answers the first one with the second.
#[derive(Default)]
struct Slow(Vec<mcp_rill::service::CallKey>);

impl Service for Slow {
    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        if request.method == "initialize" {
            let revision = session.revision().name();
            let result = json!({"protocolVersion": revision, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
            out.result(request.call, |out| out.extend(result.to_string().bytes()));
        } else {
            self.0.push(request.call);
            if let [first, _] = self.0[..] {
                out.busy(first, "one at a time");
            }
        }
    }
}

fn slow() -> World {
    let config = EngineConfig::new(Settings::default(), Limits::default()).unwrap();
    World::driving(Engine::with_service(Box::<Slow>::default(), config, counted()), Cut::Whole, Cut::Whole)
}

#[test]
fn the_time_of_a_list_is_until_its_answer() {
    let mut world = slow();
    let clock = Arc::new(AtomicU64::new(0));
    let time = clock.clone();
    world.engine.set_clock(move || Duration::from_secs(time.load(Ordering::SeqCst)));
    let mut visitor = Visitor::new(&mut world, Way::Lines("2025-11-25"), "ada");
    world.requests_ended();
    visitor.ask(&mut world, "tools/list", json!({}));
    assert_eq!(world.requests_ended(), []);
    clock.fetch_add(3, Ordering::SeqCst);
    visitor.tell(&mut world, r#"{"jsonrpc":"2.0","id":2,"method":"prompts/list"}"#);
    let ended = only(world.requests_ended());
    assert_eq!((ended.method, ended.outcome), ("tools/list", CallOutcome::Busy));
    assert_eq!(ended.ran, Duration::from_secs(3));
}

#[test]
fn a_list_that_is_cancelled_or_whose_client_goes_is_reported_too() {
    let ways = ways().into_iter().filter(|way| Visitor::is_of_any_server(*way));
    for (way, leaves) in ways.flat_map(|way| [(way, false), (way, true)]) {
        let mut world = slow();
        let mut visitor = Visitor::new(&mut world, way, "ada");
        world.requests_ended();
        visitor.ask(&mut world, "tools/list", json!({}));
        assert_eq!(world.requests_ended(), [], "{way:?}");
        match leaves {
            true => visitor.leave(&mut world),
            false => visitor.cancel(&mut world, "tools/list"),
        }
        let ended = only(world.requests_ended());
        assert_eq!((ended.method, ended.outcome), ("tools/list", CallOutcome::Cancelled), "{way:?}");
        assert_eq!(ended.transport, transport_of(way));
        if leaves {
            assert_eq!(world.stats().buffered_bytes, 0, "{way:?}");
        }
    }
}
