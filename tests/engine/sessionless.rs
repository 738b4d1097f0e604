//! A server that keeps no sessions for clients before 2026-07-28: any process can serve any request, and nothing is left.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::stateless::clients;
use crate::common::http::{INITIALIZE, INITIALIZED, call, get, mcp_post, request};
use crate::common::{Seen, World, demo, principal};
use mcp_rill::{Limits, Reply, Server};

const S: Duration = Duration::from_secs(1);

fn server() -> (Server, Receiver<Reply>) {
    let (send, replies) = mpsc::channel();
    let server = demo::streaming(demo::server())
        .sessionless()
        .tool("work", "Work for a while", move |(), call| call.defer(|reply| send.send(reply)))
        .tool("session", "Say which session this is", |(), call| format!("{:?}", call.session_id()));
    (server, replies)
}

/// Also a client of 2026-07-28, on any server.
#[test]
fn a_client_without_a_session_is_an_event_once_for_each_connection() {
    let mut world = World::new(server().0);
    let stateless_call = clients::call(1, "echo", serde_json::json!({ "text": "here" }));
    for ask in [mcp_post(None, &call(1, "echo", r#"{"text":"here"}"#)), stateless_call.text()] {
        let sock = world.connect();
        for _ in 0..2 {
            world.send(sock, &ask);
            assert_eq!(world.response(sock).status, 200);
        }
        assert_eq!(world.events(), [Seen::Sessionless], "{ask}");
    }
    world.quiesce();
}

#[test]
fn any_server_takes_any_request() {
    let mut worlds = [World::new(server().0), World::new(server().0)];
    for step in 0..10 {
        let world = &mut worlds[step % 2];
        let sock = world.connect();
        let (body, expected) = match step {
            0 => (request(0, "initialize", INITIALIZE), "\"serverInfo\""),
            1 => (request(1, "tools/list", "{}"), "\"tools\""),
            2 => (call(1, "session", "{}"), "None"),
            _ => (call(1, "echo", r#"{"text":"here"}"#), "here"),
        };
        world.send(sock, mcp_post(None, &body));
        let response = world.response(sock);
        assert_eq!((response.status, response.header("Mcp-Session-Id")), (200, None), "{response:?}");
        assert!(response.text().contains(expected), "{response:?}");
        assert_eq!((world.stats().sessions, world.stats().sessions_opened, world.stats().calls), (0, 0, 0));
    }
    worlds.iter_mut().for_each(World::quiesce);
}

/// No place for a session is needed, and a notification leaves nothing.
#[test]
fn no_request_takes_the_place_of_a_session() {
    let (server, replies) = server();
    let mut world = World::new(server.limits(Limits { sessions_max: 1, ..Limits::DEFAULT }));
    let stream = world.open_sse();
    let socks: Vec<_> = (0..20).map(|_| world.connect()).collect();
    for sock in &socks {
        world.send(*sock, mcp_post(None, INITIALIZED));
        assert_eq!(world.response(*sock).status, 202);
        world.send(*sock, mcp_post(None, &call(1, "work", "{}")));
    }
    assert_eq!((world.stats().sessions, world.stats().calls), (1, 20));
    replies.try_iter().for_each(|reply| reply.finish("done"));
    world.tick();
    assert!(socks.iter().all(|sock| world.response(*sock).text().contains("done")));
    // The session of HTTP+SSE is one as ever: its client hears of changes.
    let sock = world.connect();
    assert_eq!(world.call(&stream, sock, &request(1, "initialize", INITIALIZE))["id"], 1);
    world.quiesce();
}

/// The end of what a client sends ends a stream, also one that is opened later for a request sent before.
#[test]
fn a_stream_that_waited_behind_a_call_ends_with_its_half_closed_client() {
    let (server, replies) = server();
    let mut world = World::new(server);
    let sock = world.connect_as(principal("ada"));
    world.send(sock, mcp_post(None, &call(1, "work", "{}")) + &get("/sse"));
    world.half_close(sock);
    replies.try_recv().unwrap().finish("done");
    world.tick();
    let text = world.take_text(sock);
    assert!(text.contains("done") && text.contains("event: endpoint\n"), "{text}");
    assert!(world.closed(sock), "nobody would ever end it");
    world.assert_empty();
}

/// Before 2026-07-28 the end of what a client sends is no cancellation; the end of its connection leaves nobody to answer.
#[test]
fn a_call_ends_with_its_connection_and_not_before() {
    let (server, replies) = server();
    let mut world = World::new(server);
    let (patient, gone) = (world.connect_as(principal("ada")), world.connect_as(principal("ada")));
    for sock in [patient, gone] {
        world.send(sock, mcp_post(None, &call(1, "work", "{}")));
    }
    let (first, second) = (replies.try_recv().unwrap(), replies.try_recv().unwrap());
    world.half_close(patient);
    world.half_close(gone);
    assert_eq!((world.stats().calls, first.is_cancelled(), second.is_cancelled()), (2, false, false));
    // Only a write can show which of them is gone.
    let text = world.take_text(patient);
    assert!(text.contains("text/event-stream") && text.contains(": ping\n"), "{text}");
    world.reset(gone);
    assert_eq!((world.stats().calls, first.is_cancelled(), second.is_cancelled()), (1, false, true));
    first.finish("done");
    second.finish("too late");
    world.tick();
    assert!(world.take_text(patient).contains("done"));
    world.quiesce();
}

/// An answer that takes long becomes a stream that is kept alive; it has no ids, since nobody could come back with one.
#[test]
fn a_long_call_is_a_stream_without_ids() {
    let (server, replies) = server();
    let mut world = World::new(server);
    let sock = world.connect();
    world.send(sock, mcp_post(None, &call(1, "work", "{}")));
    let reply = replies.try_recv().unwrap();
    world.advance(15 * S);
    reply.disconnect(S);
    reply.finish("done");
    world.tick();
    let text = world.take_text(sock);
    assert!(text.contains(": ping\n") && text.contains("done") && text.ends_with("0\r\n\r\n"), "{text}");
    assert!(!text.contains("id: ") && !text.contains("retry") && !text.contains("Mcp-Session-Id"), "{text}");
    world.quiesce();
}

#[test]
fn a_call_over_the_budget_gives_way() {
    let (server, _replies) = server();
    let mut world = World::new(server.limits(demo::small_budgets()));
    let pad = format!(r#"{{"pad":"{}"}}"#, "x".repeat(6000));
    let socks: Vec<_> = (0..12).map(|_| world.connect()).collect();
    for sock in &socks {
        world.send(*sock, mcp_post(None, &call(1, "work", &pad)));
        assert!(world.stats().buffered_bytes <= 40 << 10);
    }
    world.quiesce();
}

#[cfg(feature = "browser")]
#[test]
fn preflights_are_told_of_post_alone() {
    for (sessionless, methods) in [(false, "GET, POST, DELETE"), (true, "POST")] {
        let settings = mcp_rill::Settings { sessionless, cors: true, ..Default::default() };
        let mut world = World::new(demo::server().settings(settings));
        let sock = world.connect();
        let fields = "Origin: http://localhost:1\r\nAccess-Control-Request-Method: POST\r\n";
        world.send(sock, format!("OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        let response = world.response(sock);
        assert_eq!(response.header("Access-Control-Allow-Methods"), Some(methods));
        world.quiesce();
    }
}
