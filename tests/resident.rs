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
    open_as(world, sock, "2025-11-25")
}

fn open_as(world: &mut World, sock: Sock, revision: &str) -> String {
    let params = r#"{"protocolVersion":"REVISION","capabilities":{"elicitation":{}},"clientInfo":{"name":"t","version":"1"}}"#;
    world.send(sock, mcp_post(None, &request(0, "initialize", &params.replace("REVISION", revision))));
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
    // An eighth for pages and holes, of which small things leave few; the rest is the test's.
    assert!(resident <= counted / 8 * 9 + (256 << 10), "{what}: {resident} of {counted}");
    assert!(counted >= 5 << 19, "{what}: too few to see anything");
    world
}

/// Responses that wait for others of their batch, to requests with long ids.
fn waiting(count: usize) -> World {
    let limits = Limits { calls_max: count, connections_max: 2 * count, ..Limits::DEFAULT };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits));
    let sock = world.connect();
    let sessions: Vec<String> = (0..SESSIONS).map(|_| open_as(&mut world, sock, "2025-03-26")).collect();
    let send = |world: &mut World, at: usize| {
        let id = format!("\"{}{at}\"", "i".repeat(900));
        let echo = call(id, "echo", &format!(r#"{{"text":"{}"}}"#, "x".repeat(3000)));
        let post = mcp_post(Some(&sessions[at % SESSIONS]), &format!("[{echo},{}]", call(1, "later", "{}")));
        let sock = world.connect();
        // In pieces, or the test's own socket would take as much.
        let post = post.replacen("Host:", "Accept: application/json\r\nHost:", 1);
        post.as_bytes().chunks(256).for_each(|piece| world.send(sock, piece));
    };
    (0..count / 16).for_each(|at| send(&mut world, at));
    let (counted_before, resident_before) = (world.stats().buffered_bytes, resident());
    (count / 16..count).for_each(|at| send(&mut world, at));
    let counted = world.stats().buffered_bytes - counted_before;
    let resident = resident() - resident_before;
    println!("responses that wait: {count} take {counted} bytes by count, {resident} resident");
    // Besides: their connections.
    assert!(resident <= counted / 8 * 9 + count * 600 + (256 << 10), "{resident} of {counted}");
    world
}

/// Nothing is kept of the index of a message with very many values once it is answered.
fn read_many_values() {
    let limits = Limits {
        body_bytes_max: 16 << 20,
        json_values_max: 10_000_000,
        buffered_bytes_max: 128 << 20,
        ..Limits::DEFAULT
    };
    let mut world = World::new(demo::server().limits(limits));
    let sock = world.connect();
    let session = open(&mut world, sock);
    let mut resident_after = |values: usize| {
        let params = format!(r#"{{"_meta":{{"x":[{}]}}}}"#, vec!["1"; values].join(","));
        world.send(sock, mcp_post(Some(&session), &request(1, "ping", &params)));
        drop(params);
        assert_eq!(world.response(sock).status, 200);
        resident()
    };
    let (few, many) = (resident_after(1), resident_after(4_000_000));
    println!("an index of 64 MB: {} bytes more are resident", many.saturating_sub(few));
    assert!(many < few + (48 << 20), "{few} {many}");
    world.quiesce();
}

#[test]
fn what_is_counted_is_what_is_resident() {
    let subscribe = |at| request(at, "resources/subscribe", &format!(r#"{{"uri":"demo:///note/{at}"}}"#));
    // None is given back before the last: what is free already would not show.
    let worlds = [
        fill("streams that are over", "text/event-stream", 12_000, ping),
        fill("subscriptions", "*/*", 20_000, subscribe),
        fill("open calls", "*/*", 2_500, |id| call(id, "away", "{}")),
        waiting(600),
    ];
    worlds.into_iter().for_each(|mut world| world.quiesce());
    read_many_values();
}
