//! Sessions over HTTP+SSE: who gets which reply, and what is left when somebody goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::http::{self, call, ping, post, request};
use common::{Cut, Sock, Stream, World, demo, principal};
use serde_json::{Value, json};

const NO_SESSION: &str = "No transport found for sessionId";

fn world() -> World {
    World::new(demo::server())
}

fn text_of(frame: &Value) -> &str {
    frame["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{frame}"))
}

#[test]
fn replies_of_64_interleaved_sessions_never_cross() {
    let mut world = world();
    let streams: Vec<Stream> = (0..64).map(|_| world.open_sse()).collect();
    let posts: Vec<Sock> = (0..16).map(|_| world.connect()).collect();
    for round in 0..4 {
        // Every session is written to over a different connection in each round, all in one turn.
        for (at, stream) in streams.iter().enumerate() {
            let post_to = posts[(at * 7 + round) % posts.len()];
            let body = call(round, "echo", &format!(r#"{{"text":"session {at} round {round}"}}"#));
            world.queue(post_to, post(&stream.endpoint, &body));
        }
        world.run();
        for (at, stream) in streams.iter().enumerate() {
            let frames = world.frames(stream);
            assert_eq!(frames.len(), 1, "{frames:?}");
            assert_eq!(frames[0]["id"], json!(round));
            assert_eq!(text_of(&frames[0]), format!("session {at} round {round}"));
        }
        for sock in &posts {
            let responses = world.responses(*sock);
            assert_eq!(responses.len(), 4);
            assert!(responses.iter().all(|response| response.status == 202));
        }
    }
    world.quiesce();
}

#[test]
fn a_session_knows_its_own_id_and_client() {
    let mut world = world();
    let (a, b, sock) = (world.open_sse(), world.open_sse(), world.connect());
    let hello =
        r#"{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"ann","version":"1"}}"#;
    world.call(&a, sock, &request(0, "initialize", hello));
    let frame = world.call(&a, sock, &call(1, "who", "{}"));
    assert_eq!(text_of(&frame), format!("ann 2025-03-26 {}", a.id()));
    let frame = world.call(&b, sock, &call(1, "who", "{}"));
    assert_eq!(text_of(&frame), format!("nobody 2025-11-25 {}", b.id()));
    assert_ne!(a.id(), b.id());
    world.quiesce();
}
