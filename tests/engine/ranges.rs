//! Each limit at 0, 1, its least, its most, and the most that its type can be: it is refused with the range, or a client is served.

use mcp_rill::Limits;

use crate::common::http::{ping, request};
use crate::common::{World, demo};

/// What a client needs at least: of 10 values, and 4 levels deep.
const INITIALIZE: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"","version":""}}"#;

/// A client of HTTP+SSE does what all do.
fn serve(limits: Limits, about: &str) {
    let has_sessions = limits.sessions_max > 0;
    let mut world = World::with(limits);
    let (stream_sock, sock) = (world.connect(), world.connect());
    if !has_sessions {
        world.send(stream_sock, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(world.response(stream_sock).status, 503, "{about}");
        return world.quiesce();
    }
    let stream = world.open_sse_on(stream_sock, "/sse");
    for message in [request(1, "initialize", INITIALIZE), ping(1), request(1, "tools/list", "{}")] {
        let reply = world.call(&stream, sock, &message);
        assert!(reply["result"].is_object(), "{about}: {message} got {reply}");
    }
    world.quiesce();
}

/// Values as they are written on the command line.
fn values(name: &str) -> Vec<String> {
    let (least, most) = Limits::range(name).unwrap();
    let unit = if least.ends_with('s') { "ms" } else { "" };
    let written = [0, 1, u64::MAX / 1000, u64::MAX].map(|count| format!("{count}{unit}"));
    written.into_iter().chain([least, most]).collect()
}

#[test]
fn every_limit_at_every_end() {
    let (mut served, mut refused) = (0, 0);
    for name in Limits::NAMES {
        for value in values(name) {
            let mut limits = Limits::DEFAULT;
            let about = format!("{name}={value}");
            if let Err(error) = limits.set(name, &value) {
                let (_, most) = Limits::range(name).unwrap();
                assert_eq!(error, format!("limit {name}: `{value}` is too large; the most is {most}"));
                assert!(value.parse::<usize>().is_err(), "{about}: a word has room for it");
                refused += 1;
                continue;
            }
            match limits.check() {
                Ok(()) => {
                    serve(limits, &about);
                    served += 1;
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.starts_with("limit "), "{about}: {error}");
                    let (least, most) = Limits::range(name).unwrap();
                    let is_in_range = [least, most].contains(&value);
                    // In its range it is refused only together with another one.
                    assert_eq!(error.contains(" but must be from "), !is_in_range, "{about}: {error}");
                    assert!(error.contains(name) || is_in_range, "{about}: {error}");
                }
            }
        }
    }
    assert!(served > 100 && refused > 100, "{served} {refused}");
}

/// All of them at their least at once, but for those that would leave no session, and times that are over before anything is done.
#[test]
fn all_limits_at_their_least() {
    let mut limits = Limits::DEFAULT;
    for name in Limits::NAMES.iter().filter(|name| !name.ends_with("_timeout")) {
        limits.set(name, &Limits::range(name).unwrap().0).unwrap();
    }
    (limits.sessions_max, limits.connections_max, limits.keep_alive) = (1, 2, Limits::DEFAULT.keep_alive);
    limits.check().unwrap();
    let mut world = World::new(demo::server().limits(limits));
    let (stream_sock, sock) = (world.connect(), world.connect());
    let stream = world.open_sse_on(stream_sock, "/sse");
    assert!(world.call(&stream, sock, &request(1, "initialize", INITIALIZE))["result"].is_object());
    assert!(world.call(&stream, sock, &ping(1))["result"].is_object());
    world.quiesce();
}
