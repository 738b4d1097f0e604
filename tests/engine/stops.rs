//! The driver did not run for a time, and tells the engine: nothing of that time counts against anybody.

use std::time::Duration;

use crate::common::http::{ping, post};
use crate::common::{Sock, World};
use mcp_rill::Limits;
use mcp_rill::http::conn::CloseReason;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// The process does not run for that long, and its driver does as the contract says.
    fn stop(&mut self, time: Duration) {
        let due = self.deadline();
        self.engine.put_off_deadlines(time);
        assert_eq!(self.deadline(), due.map(|due| due + time));
        self.now.mono += time;
        self.now.unix += time;
    }
}

/// Stops the world twice, lets nearly all of the time pass that is left, and then the rest. Returns why the connection is closed.
fn end_after(world: &mut World, sock: Sock, left: Duration) -> CloseReason {
    for _ in 0..2 {
        world.stop(HOUR);
        world.tick();
        assert_eq!(world.end(sock), None);
    }
    world.advance(left - 20 * MS);
    assert_eq!(world.end(sock), None, "it is closed too early");
    world.advance(40 * MS);
    let linger = world.engine.limits().linger_timeout;
    world.advance(linger + 20 * MS);
    world.end(sock).expect("it is still open").0
}

#[test]
pub fn each_deadline_of_a_connection_is_put_off() {
    let limits = Limits::DEFAULT;
    let scenarios: [(&str, Duration, CloseReason); 4] = [
        ("GET /sse HTTP/1.1\r\n", limits.head_timeout, CloseReason::HeadTimeout),
        (
            "POST /messages?sessionId=SESSION HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
            limits.body_timeout,
            CloseReason::BodyTimeout,
        ),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", limits.idle_timeout, CloseReason::Idle),
        ("", limits.head_timeout, CloseReason::Idle),
    ];
    for (request, timeout, reason) in scenarios {
        // Comments on the stream would be deadlines too.
        let mut world = World::with(Limits { keep_alive: 10 * HOUR, ..limits.clone() });
        let stream = world.open_sse();
        let sock = world.connect();
        world.send(sock, request.replace("SESSION", stream.id()));
        world.advance(timeout / 2);
        assert_eq!(end_after(&mut world, sock, timeout / 2), reason, "{request}");
        world.quiesce();
    }
}

#[test]
pub fn output_that_is_not_taken_is_waited_for_as_long_as_before() {
    let mut world = World::with(Limits { keep_alive: 10 * HOUR, ..Limits::DEFAULT });
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 10);
    world.post(sock, &stream.endpoint, &ping(1));
    let timeout = Limits::DEFAULT.write_timeout;
    world.advance(timeout / 2);
    assert_eq!(end_after(&mut world, stream.sock, timeout / 2), CloseReason::WriteTimeout);
    world.quiesce();
}

#[test]
pub fn what_has_arrived_is_heard_before_a_deadline_is_looked_at() {
    let mut world = World::with(Limits::DEFAULT);
    let (stream, sock) = (world.open_sse(), world.connect());
    let request = post(&stream.endpoint, &ping(1));
    let (first, rest) = request.split_at(request.len() / 2);
    world.send(sock, first);
    world.advance(Limits::DEFAULT.head_timeout - MS);
    world.stop(HOUR);
    world.send(sock, rest);
    world.tick();
    assert_eq!(world.response(sock).status, 202);
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

/// The grace of a shutdown, and what the service waits for.
#[test]
pub fn calls_and_the_grace_of_a_shutdown_are_put_off() {
    let mut world = World::with(Limits { keep_alive: 10 * HOUR, ..Limits::DEFAULT });
    let stream = world.open_sse();
    world.reads_only(stream.sock, 10);
    let sock = world.connect();
    world.post(sock, &stream.endpoint, &ping(1));
    world.shutdown(Duration::from_secs(20));
    world.stop(HOUR);
    world.advance(Duration::from_secs(20) - MS);
    assert!(!world.engine.is_finished() && world.end(stream.sock).is_none());
    world.advance(2 * MS);
    assert!(world.engine.is_finished());
    world.assert_empty();
}
