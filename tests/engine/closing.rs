//! Why connections are closed, as the observer is told it. [`World`] asserts in every test that it is told once for each of them.

use std::time::Duration;

use crate::common::http::{call, get, ping, post_head};
use crate::common::{Sock, World};
use mcp_rill::http::conn::CloseReason;
use mcp_rill::{Limits, Peer};

const MS: Duration = Duration::from_millis(1);

fn world(change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    World::with(limits)
}

/// Does something to a world until a connection in it is closed, and says which.
type Story = fn() -> (World, Sock);

/// Each reason, what leads to it, and how many bytes of output are lost by it.
const STORIES: &[(CloseReason, Story, usize)] = &[
    (CloseReason::Requested, one_response, 0),
    (CloseReason::EndOfInput, || gone(|world, sock| world.half_close(sock)), 0),
    (CloseReason::EndOfInput, the_end_of_lines, 0),
    (CloseReason::EndOfInput, half_a_request, 0),
    (CloseReason::Broken, || gone(|world, sock| world.reset(sock)), 0),
    (CloseReason::Idle, || late("", |limits| limits.head_timeout), 0),
    (CloseReason::Idle, || late(&get("/nothing"), |limits| limits.idle_timeout), 0),
    (CloseReason::HeadTimeout, || late("GET /", |limits| limits.head_timeout), 0),
    (CloseReason::BodyTimeout, a_body_that_does_not_come, 0),
    (CloseReason::WriteTimeout, || unread(small(), 1, Limits::DEFAULT.write_timeout), 10_000),
    (CloseReason::SlowReader, || unread(Limits { output_bytes_max: 38_000, ..small() }, 2, MS), 29_000),
    (CloseReason::Budget, the_most_of_a_spent_budget, 29_000),
    (CloseReason::Budget, half_a_body_too_much, 0),
    (CloseReason::Refused, || refused(|world, sock| world.half_close(sock)), 0),
    (CloseReason::Refused, || refused(|world, _| world.advance(Limits::DEFAULT.linger_timeout)), 0),
    (CloseReason::Refused, one_of_a_peer_too_many, 0),
    (CloseReason::UnreadInput, a_flood_into_a_stream, 0),
    (CloseReason::Evicted, one_connection_more, 0),
    (CloseReason::Shutdown, idle_at_a_shutdown, 0),
    (CloseReason::Shutdown, a_stream_at_a_shutdown, 0),
    #[cfg(feature = "streamable")]
    (CloseReason::SessionEnded, || streamable::replaced(streamable::delete), 0),
    #[cfg(feature = "streamable")]
    (CloseReason::Superseded, || streamable::replaced(streamable::get_again), 0),
    #[cfg(feature = "streamable")]
    (CloseReason::Complete, streamable::answer_in_a_stream_to_http_1_0, 0),
    #[cfg(feature = "auth")]
    (CloseReason::Revoked, a_stream_whose_token_is_withdrawn, 0),
];

#[test]
fn every_reason_is_reported_once_with_the_output_that_is_lost() {
    for (at, (reason, story, lost)) in STORIES.iter().enumerate() {
        let (mut world, sock) = story();
        let end = world.end(sock);
        let is_so =
            matches!(end, Some((why, unsent)) if why == *reason && (*lost..=*lost * 2).contains(&unsent));
        assert!(is_so, "story {at}: {end:?} is not {reason:?}");
        world.quiesce();
    }
}

#[test]
fn a_reason_is_one_line_of_its_own() {
    let lines: std::collections::BTreeSet<String> =
        STORIES.iter().map(|(reason, ..)| reason.to_string()).collect();
    let reasons: std::collections::HashSet<CloseReason> =
        STORIES.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(lines.len(), reasons.len(), "{lines:?}");
    assert!(lines.iter().all(|line| (10..100).contains(&line.len()) && !line.contains('\n')), "{lines:?}");
}

/// The first reason counts, unless output is lost by another one.
#[test]
fn a_refusal_that_is_not_read_is_lost_by_the_timeout() {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.reads_only(sock, 7);
    world.send(sock, "nonsense\r\n\r\n");
    world.advance(Limits::DEFAULT.write_timeout);
    let end = world.end(sock);
    assert!(matches!(end, Some((CloseReason::WriteTimeout, 100..400))), "{end:?}");
    assert_eq!(world.stats().slow_readers, 1);
}

fn one_response() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(world.ended(sock) && !world.closed(sock));
    // A shutdown that comes later has not ended it.
    world.shutdown(MS);
    world.half_close(sock);
    (world, sock)
}

/// A client opens a stream and goes away.
fn gone(end: fn(&mut World, Sock)) -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.open_sse().sock;
    end(&mut world, sock);
    (world, sock)
}

fn the_end_of_lines() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect_lines();
    assert_eq!(world.say(sock, &ping(1)).len(), 1);
    world.half_close(sock);
    (world, sock)
}

fn half_a_request() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, "GET /");
    world.half_close(sock);
    assert_eq!(world.response(sock).status, 400);
    (world, sock)
}

/// A client sends something, and then nothing for that long.
fn late(first: &str, wait: fn(&Limits) -> Duration) -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, first);
    let limits = world.engine.limits();
    let all = wait(limits) + limits.linger_timeout;
    world.advance(all);
    (world, sock)
}

fn a_body_that_does_not_come() -> (World, Sock) {
    let mut world = world(|_| {});
    let stream = world.open_sse();
    let sock = world.connect();
    world.send(sock, post_head(&stream.endpoint, 100));
    world.advance(Limits::DEFAULT.body_timeout);
    assert_eq!(world.response(sock).status, 408);
    world.half_close(sock);
    (world, sock)
}

fn small() -> Limits {
    Limits { message_bytes_max: 29_500, page_bytes_max: 4000, body_bytes_max: 1000, ..Limits::DEFAULT }
}

/// A client does not read the answers that it asked for: one of 10,000 bytes, and perhaps one of 29,000.
fn unread(limits: Limits, answers: usize, wait: Duration) -> (World, Sock) {
    let mut world = World::with(limits);
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 0);
    for bytes in [10_000, 29_000].into_iter().take(answers) {
        let call = call(1, "big", &format!(r#"{{"bytes":{bytes}}}"#));
        assert_eq!(world.post(sock, &stream.endpoint, &call).status, 202);
    }
    world.advance(wait);
    assert_eq!((world.stats().slow_readers, world.stats().sessions), (1, 0));
    (world, stream.sock)
}

/// Two clients do not read, and one of them has asked for more.
fn the_most_of_a_spent_budget() -> (World, Sock) {
    let mut world = World::with(Limits { buffered_bytes_max: 38_000, output_bytes_max: 38_000, ..small() });
    let (first, second, sock) = (world.open_sse(), world.open_sse(), world.connect());
    for (stream, bytes) in [(&first, 10_000), (&second, 29_000)] {
        world.reads_only(stream.sock, 0);
        let call = call(1, "big", &format!(r#"{{"bytes":{bytes}}}"#));
        assert_eq!(world.post(sock, &stream.endpoint, &call).status, 202);
    }
    assert_eq!((world.stats().slow_readers, world.stats().sessions), (1, 1));
    (world, second.sock)
}

fn half_a_body_too_much() -> (World, Sock) {
    let mut world = World::with(Limits { buffered_bytes_max: 38_000, output_bytes_max: 38_000, ..small() });
    let streams: Vec<_> = (0..40).map(|_| world.open_sse()).collect();
    let socks: Vec<_> = streams
        .iter()
        .map(|stream| {
            let sock = world.connect();
            let head = post_head(&stream.endpoint, 1000)
                .replace("Content-Length: 1000", "Transfer-Encoding: chunked");
            world.send(sock, format!("{head}3e0\r\n{}", " ".repeat(990)));
            sock
        })
        .collect();
    let refused =
        socks.into_iter().find(|sock| world.ended(*sock)).expect("38,000 bytes are not enough for 40");
    assert_eq!(world.response(refused).status, 503);
    world.half_close(refused);
    (world, refused)
}

fn refused(end: fn(&mut World, Sock)) -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, "nonsense\r\n\r\n");
    assert_eq!(world.response(sock).status, 400);
    end(&mut world, sock);
    (world, sock)
}

fn one_of_a_peer_too_many() -> (World, Sock) {
    let mut world = world(|limits| limits.connections_per_peer_max = 1);
    let peer = || Peer { address: Some(([192, 0, 2, 1], 1).into()), ..Peer::default() };
    let (_first, _told, untold) =
        (world.connect_as(peer()), world.connect_as(peer()), world.connect_as(peer()));
    (world, untold)
}

fn a_flood_into_a_stream() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.open_sse().sock;
    world.send(sock, "x".repeat(100_000));
    (world, sock)
}

fn one_connection_more() -> (World, Sock) {
    let mut world = world(|limits| (limits.connections_max, limits.sessions_max) = (2, 1));
    let sock = world.connect();
    world.advance(MS);
    world.connect();
    assert!(!world.engine.has_room());
    world.run();
    (world, sock)
}

fn idle_at_a_shutdown() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.shutdown(MS);
    (world, sock)
}

fn a_stream_at_a_shutdown() -> (World, Sock) {
    let mut world = world(|_| {});
    let sock = world.open_sse().sock;
    world.shutdown(MS);
    world.half_close(sock);
    (world, sock)
}

#[cfg(feature = "auth")]
fn a_stream_whose_token_is_withdrawn() -> (World, Sock) {
    use crate::common::demo;
    use mcp_rill::{Denied, Principal};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let withdrawn = Arc::new(AtomicBool::new(false));
    let asked = withdrawn.clone();
    let server = demo::server().authorize(move |_| match asked.load(Ordering::Relaxed) {
        true => Err(Denied::invalid_token("it was withdrawn")),
        false => Ok(Principal::new("ada")),
    });
    let mut world = World::new(server);
    let sock = world.open_sse().sock;
    withdrawn.store(true, Ordering::Relaxed);
    world.engine.handle().reauthorize();
    world.tick();
    (world, sock)
}

#[cfg(feature = "streamable")]
mod streamable {
    use super::*;
    use crate::common::demo;
    use crate::common::http::{INITIALIZE, INITIALIZED, mcp_post, request};

    fn begin(world: &mut World) -> (Sock, String) {
        let sock = world.connect();
        world.send(sock, mcp_post(None, &request(0, "initialize", INITIALIZE)));
        let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
        world.send(sock, mcp_post(Some(&id), INITIALIZED));
        assert_eq!(world.response(sock).status, 202);
        (sock, id)
    }

    fn head(method: &str, id: &str) -> String {
        format!(
            "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\nAccept: text/event-stream\r\n\r\n"
        )
    }

    /// A client has a session with a stream, and does something on another connection that ends the stream's.
    pub fn replaced(act: fn(&mut World, Sock, &str)) -> (World, Sock) {
        let mut world = world(|_| {});
        let (sock, id) = begin(&mut world);
        let stream = world.connect();
        world.send(stream, head("GET", &id));
        assert!(world.take_text(stream).starts_with("HTTP/1.1 200 "));
        act(&mut world, sock, &id);
        world.half_close(stream);
        (world, stream)
    }

    pub fn delete(world: &mut World, sock: Sock, id: &str) {
        world.send(sock, head("DELETE", id));
        assert_eq!(world.response(sock).status, 200);
    }

    pub fn get_again(world: &mut World, sock: Sock, id: &str) {
        world.send(sock, head("GET", id));
    }

    /// HTTP/1.0 knows no chunks: a stream lasts until the connection is closed.
    pub fn answer_in_a_stream_to_http_1_0() -> (World, Sock) {
        let mut world = World::new(demo::streaming(demo::server()));
        let (_, id) = begin(&mut world);
        let sock = world.connect();
        let body = request(1, "tools/call", r#"{"name":"steps","_meta":{"progressToken":1}}"#);
        let post = mcp_post(Some(&id), &body).replace(" HTTP/1.1", " HTTP/1.0");
        world.send(sock, post.replace("Host:", "Accept: application/json, text/event-stream\r\nHost:"));
        assert!(world.take_text(sock).contains("text/event-stream"));
        world.half_close(sock);
        (world, sock)
    }
}
