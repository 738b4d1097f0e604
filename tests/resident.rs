//! What the server counts is what it takes: small things in great number, of which the text is the least, and the resident
//! memory of the process. A file of its own, since it has to be a process of its own.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/world.rs"]
mod common;

use std::fs;

use common::http::{call, mcp_post, ping, request};
use common::{Sock, World, demo};
use mcp_rill::Limits;

const SESSIONS: usize = 32;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn open(world: &mut World, sock: Sock) -> String {
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"t","version":"1"}}"#;
    world.send(sock, mcp_post(None, &request(0, "initialize", params)));
    world.response(sock).header("Mcp-Session-Id").unwrap().to_owned()
}

/// Sends so many requests into some sessions, and compares what is counted with what is resident.
fn fill(what: &str, accept: &str, count: usize, message: impl Fn(usize) -> String) -> World {
    let limits =
        Limits { calls_max: count, subscriptions_max: count, replay_streams_max: count, ..Limits::DEFAULT };
    // There are not so many notes.
    let server = demo::streaming(demo::server()).on_subscribe(|_, _| true);
    let mut world = World::new(server.limits(limits));
    let sock = world.connect();
    let sessions: Vec<String> = (0..SESSIONS).map(|_| open(&mut world, sock)).collect();
    let send = |world: &mut World, at: usize| {
        let post = mcp_post(Some(&sessions[at % SESSIONS]), &message(at));
        world.send(sock, post.replacen("Host:", &format!("Accept: {accept}\r\nHost:"), 1));
        let answer = world.take_text(sock);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("error"), "{answer}");
        world.forget(sock);
    };
    (0..count / 16).for_each(|at| send(&mut world, at));
    let (counted_before, resident_before) = (world.stats().buffered_bytes, resident());
    (count / 16..count).for_each(|at| send(&mut world, at));
    let counted = world.stats().buffered_bytes - counted_before;
    let resident = resident() - resident_before;
    println!("{what}: {count} take {counted} bytes by count, {resident} resident");
    // An eighth for what the README says of pages and holes; the rest is the test's.
    assert!(resident <= counted / 8 * 9 + (256 << 10), "{what}: {resident} of {counted}");
    assert!(counted >= 5 << 19, "{what}: too few to see anything");
    world
}

#[test]
fn what_is_counted_is_what_is_resident() {
    let subscribe = |at| request(at, "resources/subscribe", &format!(r#"{{"uri":"demo:///note/{at}"}}"#));
    // None is given back before the last: what is free already would not show.
    let worlds = [
        fill("streams that are over", "text/event-stream", 12_000, ping),
        fill("subscriptions", "*/*", 20_000, subscribe),
        fill("open calls", "*/*", 2_500, |id| call(id, "away", "{}")),
    ];
    worlds.into_iter().for_each(|mut world| world.quiesce());
}
