//! Too much of one thing, in memory: requests without end from peers that do not read, and ends of work that nobody
//! waits for. `benches/soak` does the same to real sockets, and more of it.

use std::sync::mpsc;
use std::time::Duration;

use crate::common::http::{self, call, get};
use crate::common::{Sock, World, demo};
use mcp_rill::engine::Stats;
use mcp_rill::{Limits, Reply, Server};

const REQUESTS: usize = 10_000;

fn ids(text: &str) -> Vec<usize> {
    let numbers = text.split("\"id\":").skip(1);
    numbers.map(|rest| rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()).collect()
}

/// Sends everything on one connection whose peer does not read, looks, and lets it read; gives what it read.
fn flood(world: &mut World, sock: Sock, requests: impl Iterator<Item = String>) -> String {
    let stats = world.stats();
    world.reads_only(sock, 0);
    requests.for_each(|request| world.queue(sock, request));
    let sent = world.unread(sock);
    world.run();
    let (unread, turn) = (world.unread(sock), world.engine.limits().turn_bytes_max);
    assert!(unread > sent - 4 * turn, "{} of {sent} bytes were read", sent - unread);
    let held = world.stats().buffered_bytes - stats.buffered_bytes;
    assert!(held <= 4 * turn, "{held} bytes are held");
    // Others are served meanwhile.
    let other = world.connect();
    world.send(other, get("/nothing"));
    assert_eq!(world.response(other).status, 404);
    world.reset(other);
    world.reads_all(sock);
    assert_eq!(world.unread(sock), 0);
    world.take_text(sock)
}

#[test]
fn peers_of_sse_that_do_not_read_are_not_read_and_lose_nothing() {
    let mut world = World::new(demo::server());
    let (stream, sock) = (world.open_sse(), world.connect());
    let accepted =
        flood(&mut world, sock, (0..REQUESTS).map(|id| http::post(&stream.endpoint, &http::ping(id))));
    assert_eq!(accepted.matches("HTTP/1.1 202 Accepted\r\n").count(), REQUESTS);
    assert_eq!(ids(&world.take_text(stream.sock)), (0..REQUESTS).collect::<Vec<_>>());
    world.quiesce();
}

#[test]
#[cfg(all(feature = "streamable", feature = "stateless"))]
fn peers_that_do_not_read_are_not_read_and_lose_nothing() {
    /// A request of 2026-07-28 to ping-like effect.
    fn alone(id: usize) -> String {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"nothing","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: nothing\r\n";
        http::mcp_post(None, &body).replacen("Content-Type", &format!("{fields}Content-Type"), 1)
    }

    let mut world = World::new(demo::server());
    let all: Vec<usize> = (0..REQUESTS).collect();

    let sock = world.connect();
    let initialize =
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    world.send(sock, http::mcp_post(None, &http::request(0, "initialize", initialize)));
    let session = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    let text =
        flood(&mut world, sock, (0..REQUESTS).map(|id| http::mcp_post(Some(&session), &http::ping(id))));
    assert_eq!(ids(&text), all);

    let sock = world.connect();
    assert_eq!(ids(&flood(&mut world, sock, (0..REQUESTS).map(alone))), all);
    world.quiesce();
}

/// The stream is what is not read here: its requests are refused, not piled up.
#[test]
fn a_stream_that_is_not_read_takes_no_more_than_its_share() {
    let mut world = World::new(demo::server());
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 0);
    let max = world.engine.limits().output_bytes_max;
    let (mut taken, mut refused) = (0, 0);
    for id in 0..200 {
        let body = call(id, "big", r#"{"bytes":100000}"#);
        match world.post(sock, &stream.endpoint, &body).status {
            202 => taken += 1,
            503 => refused += 1,
            status => panic!("{status}"),
        }
        assert!(world.stats().buffered_bytes <= max + (1 << 20), "{:?}", world.stats());
    }
    assert!(taken > 30 && refused > 100, "{taken} taken, {refused} refused");
    assert_eq!(world.stats().busy, refused);
    world.reads_all(stream.sock);
    let frames = world.frames(&stream);
    let answered = frames.iter().filter(|frame| frame["result"].is_object()).count();
    assert_eq!(answered, taken, "what was taken is answered");
    // The others are told so.
    assert_eq!(frames.len(), taken + usize::try_from(refused).unwrap());
    world.quiesce();
}

#[test]
fn abandoned_work_leaves_nothing() {
    let (send, replies) = mpsc::channel::<Reply>();
    let server = Server::new("soak", "1")
        .limits(Limits { tool_timeout: Duration::from_secs(5), ..Limits::DEFAULT })
        .tool("later", "Answer later", move |(), call| call.defer(|reply| send.send(reply)))
        .tool("panic", "Panic", |(), _| -> String { panic!("a bug in a handler") })
        .blocking_tool("block", "Block", |(), _| "done");
    let mut world = World::new(server);
    let sock = world.connect();
    for round in 0..200 {
        let stream = world.open_sse();
        assert_eq!(world.call(&stream, sock, &call(1, "panic", "{}"))["error"]["code"], -32603);
        for id in 2..5 {
            assert_eq!(world.post(sock, &stream.endpoint, &call(id, "later", "{}")).status, 202);
        }
        // No thread can be made for this one, so it waits in the queue until its time is over, or its session.
        assert_eq!(world.post(sock, &stream.endpoint, &call(5, "block", "{}")).status, 202);
        let jobs = world.engine.jobs();
        assert!(jobs.wants_thread());
        jobs.thread_failed();
        assert_eq!(world.stats().calls, 4);
        let (first, second, third) =
            (replies.recv().unwrap(), replies.recv().unwrap(), replies.recv().unwrap());
        if round % 2 == 0 {
            world.reset(stream.sock);
        } else {
            world.advance(Duration::from_secs(6));
            assert_eq!(world.frames(&stream).len(), 4, "each is told that its time is over");
            world.reset(stream.sock);
        }
        assert!(first.is_cancelled());
        first.progress(1.0, None, None);
        first.finish("too late");
        drop(second);
        world.advance(Duration::from_millis(1));
        third.finish("later still");
        world.advance(Duration::from_millis(1));
        let Stats { sessions, calls, late, buffered_bytes, .. } = world.stats();
        assert_eq!((sessions, calls, late, buffered_bytes), (0, 0, 3 * (round + 1), 0));
        assert!(!jobs.wants_thread(), "the job is gone with its call");
    }
    world.quiesce();
    assert_eq!(world.deadline(), None, "no timer is left");
}

#[test]
fn keys_that_are_dead_stay_dead() {
    let mut world = World::new(demo::server());
    let (stream, sock) = (world.open_sse(), world.connect());
    let mut dead = Vec::new();
    for round in 0..1000 {
        let gone = world.connect();
        world.send(gone, "GET /s");
        world.reset(gone);
        dead.push(world.key(gone));
        let (now, key) = (world.now, dead[round / 2]);
        // Whatever a driver may still have heard of it, while its slot is somebody else's.
        let next = world.connect();
        world.engine.receive(now, key, b"SE /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
        world.engine.writable(now, key);
        world.engine.sent(now, key, 10);
        world.engine.end_of_input(now, key);
        world.engine.hang_up(now, key);
        assert!(!world.engine.wants_read(key) && world.engine.outgoing(key).is_empty());
        assert_eq!(world.engine.find(key.token()), None);
        world.send(next, get("/nothing"));
        assert_eq!(world.response(next).status, 404);
        world.reset(next);
    }
    assert_eq!(world.call(&stream, sock, &http::ping(1))["id"], 1);
    assert_eq!(world.stats().connections, 2);
    world.quiesce();
}
