//! Where revisions without sessions, streams that are resumed and authentication meet on one connection or one limit, in
//! memory.

use std::time::Duration;

use super::stateless::clients::call;
use crate::common::demo::small_budgets;
use crate::common::http::{INITIALIZED, mcp_post, request};
use crate::common::{Sock, World, demo};
use mcp_rill::{Level, Limits};
use serde_json::json;

#[cfg(feature = "auth")]
const ADA: &str = "2a0f0b5e3c6d4a798f1e1d5c7b9a3e60";
#[cfg(feature = "auth")]
const BOB: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

fn streaming(limits: Limits) -> World {
    World::new(demo::streaming(demo::server()).limits(limits))
}

fn hello() -> String {
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"t","version":"1"}}"#;
    request(0, "initialize", params)
}

fn initialize(world: &mut World, sock: Sock) -> String {
    world.send(sock, mcp_post(None, &hello()));
    let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    world.send(sock, mcp_post(Some(&id), INITIALIZED));
    assert_eq!(world.response(sock).status, 202);
    id
}

fn get(session: &str, last: Option<&str>) -> String {
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\n{last}\r\n")
}

/// The last id in a stream.
fn last_id(text: &str) -> String {
    let id = text.rsplit("id: ").next().unwrap();
    id.lines().next().unwrap().to_owned()
}

#[test]
fn a_request_that_stands_alone_needs_room_for_one_call() {
    let mut world = streaming(Limits { calls_max: 1, ..Limits::DEFAULT });
    assert_eq!(call(1, "nothing", json!({})).response(&mut world).status, 200);
    let none = Limits { calls_max: 0, ..Limits::DEFAULT };
    assert_eq!(none.check().unwrap_err(), "limit calls_max is 0, but must be from 1 to 1048576");
}

#[test]
fn comments_without_a_pause_are_no_setting() {
    let error = Limits { keep_alive: Duration::ZERO, ..Limits::DEFAULT }.check().unwrap_err();
    assert!(error.starts_with("limit keep_alive is 0"), "{error}");
    assert_eq!(Limits { keep_alive: Duration::from_millis(1), ..Limits::DEFAULT }.check(), Ok(()));
}

#[test]
fn a_request_after_which_the_client_has_gone_is_cancelled_also_where_it_had_to_wait() {
    let mut world = streaming(Limits::DEFAULT);
    let sock = world.connect();
    let session = initialize(&mut world, sock);
    let first = request(1, "tools/call", r#"{"name":"later","arguments":{}}"#);
    world.send(sock, mcp_post(Some(&session), &first));
    world.send(sock, call(2, "later", json!({})).text());
    world.half_close(sock);
    assert_eq!((world.stats().calls, world.closed(sock)), (1, false));
    // The one before it is answered all the same.
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let other = world.connect();
    world.send(other, mcp_post(Some(&session), cancel));
    assert!(world.take_text(sock).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!((world.stats().calls, world.closed(sock)), (0, true));
}

#[test]
fn the_time_to_come_back_begins_with_the_loss() {
    let mut world = streaming(Limits { keep_alive: Duration::from_secs(3600), ..Limits::DEFAULT });
    let (sock, stream) = (world.connect(), world.connect());
    let session = initialize(&mut world, sock);
    world.send(stream, get(&session, None));
    let last = last_id(&world.take_text(stream));
    // Nothing happens for a long time, so nobody tells the engine of it.
    world.now.mono += Duration::from_secs(100);
    world.reset(stream);
    world.advance(Duration::from_secs(1));
    world.engine.handle().log(Level::Error, "missed");
    world.advance(Duration::from_secs(1));
    let again = world.connect();
    world.send(again, get(&session, Some(&last)));
    let text = world.take_text(again);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("missed"), "{text}");
}

#[cfg(feature = "auth")]
fn guarded() -> mcp_rill::Server {
    let tokens = mcp_rill::Tokens::read(&format!("ada:{ADA}\nbob:{BOB}")).unwrap();
    demo::streaming(demo::server())
        .tool("principal", "Say who is asking", |(), call| {
            call.principal().map_or("nobody", mcp_rill::Principal::name).to_owned()
        })
        .authorize(move |request| tokens.authorize(request))
}

/// The request with a token.
#[cfg(feature = "auth")]
fn of(token: &str, request: &str) -> String {
    request.replacen("\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n"), 1)
}

#[cfg(feature = "auth")]
#[test]
fn a_disconnected_client_has_nothing_open_on_the_connection() {
    let mut world = World::new(guarded());
    let sock = world.connect();
    world.send(sock, of(ADA, &mcp_post(None, &hello())));
    let session = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    let away = request(1, "tools/call", r#"{"name":"away","arguments":{}}"#);
    world.send(sock, of(ADA, &mcp_post(Some(&session), &away)));
    let answer = world.response(sock);
    assert!(answer.keeps_alive());
    let last = last_id(answer.text());
    // The connection is somebody else's now, who has nothing of ada's.
    world.send(sock, of(BOB, &crate::common::http::get("/")));
    assert_eq!(world.response(sock).status, 404);
    let other = world.connect();
    world.send(other, of(BOB, &get(&session, Some(&last))));
    assert_eq!(world.response(other).status, 404);
    world.engine.handle().reauthorize();
    world.tick();
    assert!(!world.ended(sock), "nothing is open on it, so nobody is asked about it");
    world.send(sock, of(BOB, &call(2, "principal", json!({})).text()));
    assert_eq!(world.response(sock).messages()[0]["result"]["content"][0]["text"], "bob");
    world.send(other, of(ADA, &get(&session, Some(&last))));
    assert!(world.take_text(other).contains("elicitation/create"));
}

#[test]
fn too_much_behind_a_streamed_answer_does_not_end_up_in_it() {
    let mut world = streaming(small_budgets());
    let sock = world.connect();
    let session = initialize(&mut world, sock);
    let ask = request(1, "tools/call", r#"{"name":"ask","arguments":{}}"#);
    world.send(sock, mcp_post(Some(&session), &ask));
    let begun = world.take_text(sock);
    assert!(begun.contains("chunked") && begun.contains("elicitation/create"), "{begun}");
    let behind = mcp_post(Some(&session), &"x".repeat(7 << 10));
    world.send(sock, behind.repeat(6));
    let rest = world.take_text(sock);
    assert_eq!((rest.as_str(), world.closed(sock)), ("", true), "a client would take this for a chunk");
}

/// Resumes a stream whose first connection takes nothing, with this budget. Gives what was buffered before, the status, and
/// how many of the missed messages came.
fn resume_with(buffered_bytes_max: usize) -> (usize, u16, usize) {
    let mut world = streaming(Limits { buffered_bytes_max, ..small_budgets() });
    let (sock, stream, again) = (world.connect(), world.connect(), world.connect());
    let session = initialize(&mut world, sock);
    for at in 1..=200 {
        let subscribe = request(at, "resources/subscribe", &format!(r#"{{"uri":"demo:///note/{at}"}}"#));
        world.send(sock, mcp_post(Some(&session), &subscribe));
        assert_eq!(world.response(sock).status, 200);
    }
    world.send(stream, get(&session, None));
    let last = last_id(&world.take_text(stream));
    world.reads_only(stream, 0);
    let handle = world.engine.handle();
    for _ in 0..3 {
        handle.log(Level::Error, "x".repeat(4000));
    }
    world.advance(Duration::ZERO);
    (1..=200).for_each(|at| handle.resource_updated(&format!("demo:///note/{at}")));
    world.advance(Duration::ZERO);
    let before = world.stats().buffered_bytes;
    world.send(again, get(&session, Some(&last)));
    let text = world.take_text(again);
    // The answer itself may be too much: then the connection is closed.
    assert_eq!(text.is_empty(), world.closed(again));
    let status = text.get(9..12).map_or(0, |status| status.parse().unwrap());
    (before, status, text.matches("\nid: ").count())
}

#[test]
fn a_client_that_resumes_gets_everything_or_an_error_even_if_memory_runs_out() {
    let (buffered, status, came) = resume_with(1 << 20);
    assert_eq!((status, came), (200, 203));
    let mut told = 0;
    for budget in (buffered - (24 << 10)..buffered + (16 << 10)).step_by(500) {
        let (_, status, came) = resume_with(budget);
        told += usize::from(status != 200);
        assert!(status != 200 || came == 203, "{came} of 203 with {budget} bytes");
    }
    assert!((1..80).contains(&told), "{told}");
}
