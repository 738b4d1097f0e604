//! The end of the server, whatever its transports; what each of these does then is tested with the rest of it.

use std::thread;
use std::time::Duration;

use crate::common::World;
use crate::common::http::ping;
use crate::common::questions::{ALL, Client, Pool};
use mcp_rill::{Level, Limits, Server};

const MS: Duration = Duration::from_millis(1);
const TEN: Duration = Duration::from_secs(10);

#[test]
pub fn after_the_grace_the_rest_is_reset() {
    let mut world = World::with(Limits { shutdown_grace: TEN, ..Limits::DEFAULT });
    let (stream, stuck, sock, idle) = (world.open_sse(), world.open_sse(), world.connect(), world.connect());
    world.reads_only(stuck.sock, 10);
    for stream in [&stream, &stuck] {
        world.post(sock, &stream.endpoint, &ping(1));
    }
    let grace = world.engine.limits().shutdown_grace;
    world.shutdown(grace);
    // What is queued is sent; who asked for nothing is closed at once.
    assert_eq!(world.frames(&stream).len(), 1);
    assert!(world.ended(stream.sock) && world.ended(sock) && world.closed(idle));
    assert!(!world.ended(stuck.sock) && !world.engine.is_finished());
    assert!(!world.engine.has_room());
    world.advance(TEN - MS);
    assert!(!world.closed(stuck.sock) && !world.engine.is_finished());
    world.advance(MS);
    assert!(world.closed(stuck.sock) && world.engine.is_finished());
    world.assert_empty();
}

#[test]
pub fn a_finished_shutdown_has_no_deadline() {
    let mut world = World::with(Limits { linger_timeout: TEN, ..Limits::DEFAULT });
    let stream = world.open_sse();
    world.shutdown(TEN * 2);
    // A second call may only shorten the grace.
    world.shutdown(TEN * 100);
    world.half_close(stream.sock);
    assert!(world.engine.is_finished());
    assert_eq!(world.deadline(), None, "a loop that goes on must not spin");
    world.assert_empty();
}

#[test]
fn a_stream_that_has_ended_gets_no_comment_and_no_deadline_for_one() {
    let mut world = World::with(Limits { linger_timeout: TEN, ..Limits::DEFAULT });
    let stream = world.open_sse();
    let keep_alive = world.engine.limits().keep_alive;
    world.advance(keep_alive - 500 * MS);
    world.shutdown(TEN * 2);
    assert!(world.ended(stream.sock) && !world.closed(stream.sock), "its peer may still read");
    world.advance(1000 * MS);
    let deadline = world.deadline().unwrap();
    assert!(deadline >= world.now.mono + 1000 * MS, "{deadline:?} comes at once, again and again");
    world.advance(TEN);
    assert!(world.closed(stream.sock) && world.engine.is_finished());
}

#[test]
fn a_shutdown_from_a_handle_is_taken_up_in_the_next_turn() {
    let mut world = World::with(Limits::DEFAULT);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let handle = world.engine.handle();
    let elsewhere = thread::spawn(move || {
        handle.log(Level::Error, "going");
        handle.shutdown(Duration::from_secs(5));
    });
    elsewhere.join().unwrap();
    assert_eq!(pool.heard(&mut world, &client, 1)[0]["params"]["data"], "going");
    assert!(world.engine.is_stopping());
    world.advance(Duration::from_secs(1));
    assert!(world.ended(client.stream.sock));
    world.advance(Duration::from_secs(5));
    assert!(world.engine.is_finished());
}

#[test]
fn a_shutdown_may_be_announced_first() {
    let mut world = World::new(Server::new("test", "1").health());
    let handle = world.engine.handle();
    let (delay, grace) = (Duration::from_secs(5), Duration::from_secs(1));
    let sock = world.connect();
    let ready = |world: &mut World| {
        world.send(sock, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let response = world.response(sock);
        (response.status, response.text().to_owned())
    };
    assert_eq!(ready(&mut world).0, 200);
    handle.drain(delay, grace);
    // Another one changes nothing.
    handle.drain(Duration::from_secs(500), grace);
    world.advance(Duration::from_millis(1));
    let (status, text) = ready(&mut world);
    assert!(status == 503 && text.contains("the server is draining"), "{text}");
    let stream = world.open_sse();
    assert!(!world.engine.is_stopping(), "clients are served");
    world.advance(delay);
    assert!(world.engine.is_stopping());
    assert!(world.ended(stream.sock));
    world.advance(grace);
    assert!(world.engine.is_finished());
}

#[test]
fn a_shutdown_ends_the_delay() {
    let mut world = World::new(Server::new("test", "1"));
    let handle = world.engine.handle();
    handle.drain(Duration::from_secs(500), Duration::from_secs(1));
    world.advance(Duration::from_millis(1));
    assert!(!world.engine.is_stopping());
    handle.shutdown(Duration::ZERO);
    world.advance(Duration::from_millis(1));
    assert!(world.engine.is_stopping() && world.engine.is_finished());
}
