//! Heads that repeat on a connection, which remembers one: what it must not change, and what it holds.

use crate::common::http::{INITIALIZED, call, mcp_post, ping, request};
use crate::common::{Cut, Sock, World, demo};
use mcp_rill::{Limits, Server, Settings};

const SESSION: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;

fn world() -> World {
    World::new(demo::streaming(demo::server()))
}

fn status(world: &mut World, sock: Sock, text: impl AsRef<[u8]>) -> u16 {
    world.send(sock, text);
    world.response(sock).status
}

fn initialize(world: &mut World, sock: Sock) -> String {
    world.send(sock, mcp_post(None, &request(0, "initialize", SESSION)));
    let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    assert_eq!(status(world, sock, mcp_post(Some(&id), INITIALIZED)), 202);
    id
}

/// The same request several times: from the third on its head is the remembered one.
fn repeat(world: &mut World, sock: Sock, text: &str) {
    for _ in 0..4 {
        assert_eq!(status(world, sock, text), 200, "{text}");
    }
    assert!(world.stats().remembered_bytes > text.find("\r\n\r\n").unwrap());
}

#[test]
fn the_first_request_of_a_connection_leaves_nothing() {
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    for (sent, remembers) in [(1, false), (2, true)] {
        let other = world.connect();
        let before = world.stats().remembered_bytes;
        (0..sent).for_each(|_| assert_eq!(status(&mut world, other, mcp_post(Some(&id), &ping(1))), 200));
        assert_eq!(world.stats().remembered_bytes > before, remembers);
        world.reset(other);
        assert_eq!(world.stats().remembered_bytes, before);
    }
    world.quiesce();
}

/// One byte of the head is another one, at every place in turn; the answer is that of a connection which remembers nothing.
#[test]
fn a_head_that_differs_in_one_byte_is_read_anew() {
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let right = mcp_post(Some(&id), &ping(1));
    let head_bytes = right.find("\r\n\r\n").unwrap() + 4;
    for at in 0..head_bytes {
        for change in [1, 0x20] {
            let mut other = right.clone().into_bytes();
            other[at] ^= change;
            let mut answers = Vec::new();
            for remembers in [true, false] {
                let sock = world.connect();
                if remembers {
                    repeat(&mut world, sock, &right);
                }
                world.send(sock, &other);
                world.half_close(sock);
                answers.push(world.take_text(sock));
            }
            assert_eq!(answers[0], answers[1], "byte {at} changed by {change}");
        }
    }
    world.quiesce();
}

#[test]
fn a_head_goes_on_where_the_remembered_one_ends() {
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let right = mcp_post(Some(&id), &ping(1));
    repeat(&mut world, sock, &right);
    let longer = right.replacen("\r\n\r\n", "\r\nOrigin: https://elsewhere.example\r\n\r\n", 1);
    assert_eq!(status(&mut world, sock, longer), 403);
    repeat(&mut world, sock, &right);
    let shorter = right.replacen(&format!("Mcp-Session-Id: {id}\r\n"), "", 1);
    assert_eq!(status(&mut world, sock, shorter), 400);
    repeat(&mut world, sock, &right);
    world.quiesce();
}

#[test]
fn a_head_that_repeats_gives_way_to_another_one_that_does() {
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let short = mcp_post(Some(&id), &ping(1));
    let long = short.replacen("\r\n", "\r\nX-Padding: 0123456789\r\n", 1);
    let remembered = |world: &World| world.stats().remembered_bytes;
    repeat(&mut world, sock, &short);
    let bytes = remembered(&world);
    // Now and then another one.
    for _ in 0..8 {
        assert_eq!(status(&mut world, sock, &long), 200);
        assert_eq!(remembered(&world), bytes);
        assert_eq!(status(&mut world, sock, &short), 200);
    }
    (0..8).for_each(|_| assert_eq!(status(&mut world, sock, &long), 200));
    assert!(remembered(&world) > bytes);
    // None of these repeats, so after a few hardly any is remembered.
    let mut changes = 0;
    for n in 0..200 {
        let before = remembered(&world);
        let other = short.replacen("\r\n", &format!("\r\nX-Padding: {}\r\n", "x".repeat(n)), 1);
        assert_eq!(status(&mut world, sock, other), 200);
        changes += usize::from(remembered(&world) != before);
    }
    assert!((2..10).contains(&changes), "{changes}");
    world.quiesce();
}

#[test]
fn a_head_that_repeats_is_read_however_it_is_cut() {
    for cut in Cut::kinds() {
        let mut world = World::cut(demo::streaming(demo::server()), cut, Cut::Whole);
        let sock = world.connect();
        let id = initialize(&mut world, sock);
        (0..4).for_each(|_| assert_eq!(status(&mut world, sock, mcp_post(Some(&id), &ping(1))), 200));
        world.quiesce();
    }
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let text = mcp_post(Some(&id), &call(1, "echo", r#"{"text":"hello"}"#));
    repeat(&mut world, sock, &text);
    for at in 1..text.len() {
        let (left, right) = text.split_at(at);
        world.send(sock, left);
        assert_eq!(status(&mut world, sock, right), 200, "cut at {at}");
    }
    world.send(sock, [&*text, &text, &text].concat());
    assert_eq!(world.responses(sock).len(), 3);
    world.quiesce();
}

#[test]
fn a_session_that_has_ended_is_not_found_by_a_head_that_repeats() {
    let mut world = world();
    let (sock, other) = (world.connect(), world.connect());
    let id = initialize(&mut world, sock);
    let text = mcp_post(Some(&id), &ping(1));
    repeat(&mut world, sock, &text);
    let end = format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n");
    assert_eq!(status(&mut world, other, end), 200);
    assert_eq!(status(&mut world, sock, &text), 404);
    let stream = world.open_sse();
    let text = crate::common::http::post(&stream.endpoint, &ping(1));
    (0..4).for_each(|_| assert_eq!(status(&mut world, sock, &text), 202));
    world.reset(stream.sock);
    assert_eq!(status(&mut world, sock, &text), 400);
    world.quiesce();
}

#[cfg(feature = "auth")]
#[test]
fn each_head_that_repeats_is_authorized() {
    use mcp_rill::Tokens;
    use std::sync::{Arc, Mutex};

    let tokens = |text: &str| Tokens::read(text).unwrap();
    let (ada, bob) = ("2a0f0b5e3c6d4a798f1e1d5c7b9a3e60", "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0");
    let list = Arc::new(Mutex::new(tokens(&format!("ada:{ada}"))));
    let hook = list.clone();
    let server = demo::server().authorize(move |request| hook.lock().unwrap().authorize(request));
    let mut world = World::new(server);
    let sock = world.connect();
    let by = |text: String| text.replacen("\r\n", &format!("\r\nAuthorization: Bearer {ada}\r\n"), 1);
    world.send(sock, by(mcp_post(None, &request(0, "initialize", SESSION))));
    let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
    let text = by(mcp_post(Some(&id), &ping(1)));
    repeat(&mut world, sock, &text);
    *list.lock().unwrap() = tokens(&format!("bob:{bob}"));
    assert_eq!(status(&mut world, sock, &text), 401);
    // The token is another principal's now: the session is a stranger's.
    *list.lock().unwrap() = tokens(&format!("bob:{ada}"));
    assert_eq!(status(&mut world, sock, &text), 404);
    *list.lock().unwrap() = tokens(&format!("ada:{ada}"));
    repeat(&mut world, sock, &text);
    world.quiesce();
}

#[test]
fn a_refused_head_is_not_remembered() {
    let settings = Settings { hosts: vec!["mcp.example".to_owned()], ..Settings::default() };
    let mut world = World::new(Server::new("t", "1").settings(settings).tool("a", "A", |(), _| "a"));
    let sock = world.connect();
    let text = mcp_post(None, &ping(1)).replace("localhost", "evil.example");
    for _ in 0..4 {
        assert_eq!(status(&mut world, sock, &text), 403);
        assert_eq!(world.stats().remembered_bytes, 0);
    }
    world.quiesce();
}

/// The budget has room for the heads or for the bodies: the heads give way, and nobody is refused.
#[test]
fn heads_give_way_when_the_budget_is_passed() {
    let max = 40 << 10;
    let limits = Limits {
        buffered_bytes_max: max,
        output_bytes_max: 16 << 10,
        message_bytes_max: 8 << 10,
        page_bytes_max: 4 << 10,
        id_bytes_max: 100,
        body_bytes_max: 16 << 10,
        ..Limits::DEFAULT
    };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits));
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let padding = format!("\r\nX-Padding: {}\r\n", "x".repeat(6 << 10));
    let text = mcp_post(Some(&id), &ping(1)).replacen("\r\n", &padding, 1);
    let socks: Vec<Sock> = (0..12).map(|_| world.connect()).collect();
    let mut most = 0;
    for sock in &socks {
        (0..3).for_each(|_| assert_eq!(status(&mut world, *sock, &text), 200));
        let stats = world.stats();
        most = most.max(stats.remembered_bytes);
        assert!(stats.remembered_bytes + stats.buffered_bytes <= max, "{stats:?}");
    }
    assert!(most > max / 2, "{most}");
    assert_eq!((world.stats().busy, world.stats().connections), (0, 13));
    world.quiesce();
}

#[test]
fn bodies_of_other_lengths_repeat_a_head() {
    let mut world = world();
    let sock = world.connect();
    let id = initialize(&mut world, sock);
    let body = |padding: usize| {
        request(padding, "ping", &format!(r#"{{"_meta":{{"x":"{}"}}}}"#, "x".repeat(padding)))
    };
    repeat(&mut world, sock, &mcp_post(Some(&id), &body(100)));
    let bytes = world.stats().remembered_bytes;
    for padding in 101..200 {
        world.send(sock, mcp_post(Some(&id), &body(padding)));
        let response = world.response(sock);
        assert_eq!(response.status, 200);
        assert!(response.text().contains(&format!(r#""id":{padding},"#)), "{}", response.text());
    }
    assert_eq!(world.stats().remembered_bytes, bytes);
    // The limit on bodies holds for each request.
    let sized = |bytes: usize| mcp_post(Some(&id), &(ping(1) + &" ".repeat(bytes - ping(1).len())));
    let max = Limits::DEFAULT.body_bytes_max;
    for (bytes, expected) in [(max - 1, 200), (max - 1, 200), (max, 200), (max + 1, 413)] {
        assert_eq!(status(&mut world, sock, sized(bytes)), expected);
    }
    world.quiesce();
}
