//! Sessions over HTTP+SSE: who gets which reply, and what is left when somebody goes away.

use std::time::Duration;

use crate::common::http::{self, call, ping, post, request};
use crate::common::{Cut, Sock, Stream, World, demo, principal};
use mcp_rill::{Server, Tool, ToolResult};
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

/// What every dead or foreign session gets, whatever is posted to it.
fn assert_unknown(world: &mut World, sock: Sock, endpoint: &str) {
    for body in [
        ping(1),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        "no JSON".to_owned(),
    ] {
        let response = world.post(sock, endpoint, &body);
        assert_eq!((response.status, response.text()), (400, NO_SESSION));
        assert!(response.keeps_alive());
    }
}

#[test]
fn a_session_ends_with_its_stream() {
    type End = fn(&mut World, &Stream);
    let ends: [(&str, End); 4] = [
        ("half-close", |world, stream| world.half_close(stream.sock)),
        ("reset", |world, stream| world.reset(stream.sock)),
        ("junk on the stream's connection", |world, stream| world.send(stream.sock, [b'x'; 4097])),
        ("a client that stopped reading", |world, stream| {
            world.reads_only(stream.sock, 0);
            world.advance(Duration::from_secs(50));
        }),
    ];
    for (name, end) in ends {
        let mut world = world();
        let (stream, sock) = (world.open_sse(), world.connect());
        assert_eq!(world.stats().sessions, 1);
        end(&mut world, &stream);
        assert!(world.closed(stream.sock), "{name}");
        assert_eq!(world.stats().sessions, 0, "{name}");
        let sock = if world.closed(sock) { world.connect() } else { sock };
        assert_unknown(&mut world, sock, &stream.endpoint);
        world.quiesce();
    }
}

#[test]
fn a_session_is_dead_as_soon_as_its_stream_is() {
    // The driver has seen the stream end, and in the same turn reads a POST: taking it would be a promise that nobody
    // can keep.
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    let (now, posts) = (world.now, world.key(sock));
    let key = world.key(stream.sock);
    world.engine.hang_up(now, key);
    world.engine.receive(now, posts, post(&stream.endpoint, &ping(1)).as_bytes());
    world.run();
    assert_eq!(world.response(sock).text(), NO_SESSION);
    // The same where the client ended the stream.
    let stream = world.open_sse();
    let key = world.key(stream.sock);
    world.engine.end_of_input(now, key);
    world.engine.receive(now, posts, post(&stream.endpoint, &ping(1)).as_bytes());
    world.run();
    assert_eq!(world.response(sock).text(), NO_SESSION);
    assert_eq!(world.stats().messages_received, 0);
    world.quiesce();
}

#[test]
fn junk_up_to_4_kib_on_a_stream_is_passed_over() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    world.send(stream.sock, [b'x'; 4096]);
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    world.quiesce();
}

#[test]
fn a_strangers_session_looks_exactly_unknown() {
    let mut world = world();
    let owner = world.connect_as(principal("ann"));
    let stream = world.open_sse_on(owner, "/sse");
    for peer in [principal("bob"), crate::common::local()] {
        let sock = world.connect_as(peer);
        let unknown = "/messages?sessionId=00000000-0000-4000-8000-0000000fffff";
        for body in [ping(1), "no JSON".to_owned()] {
            let foreign = world.post(sock, &stream.endpoint, &body);
            assert_eq!(foreign, world.post(sock, unknown, &body));
            assert_eq!(foreign.text(), NO_SESSION);
        }
        // Not even by what it costs to ask: a body is refused at the same point.
        world.send(
            sock,
            http::post_head(&stream.endpoint, 10).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
        );
        assert_eq!(world.response(sock).text(), NO_SESSION);
    }
    assert_eq!(world.frames(&stream), [] as [Value; 0]);
    let own = world.connect_as(principal("ann"));
    assert_eq!(world.call(&stream, own, &ping(1))["id"], 1);
    world.quiesce();
}

/// One session's life: initialize, a call, an error, a notification, a refusal, a page.
fn exchange() -> Vec<String> {
    let hello =
        r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"ann","version":"1"}}"#;
    vec![
        request(0, "initialize", hello),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        call(1, "echo", r#"{"text":"a \"b\"\n€ 😀"}"#),
        call(2, "add", r#"{"a":1}"#),
        "{".to_owned(),
        request(3, "tools/list", "{}"),
        call(4, "big", r#"{"bytes":3000}"#),
        request(5, "no/such", "{}"),
    ]
}

/// The frames and the statuses of the whole exchange.
fn play(reads: Cut, writes: Cut, chunked: bool) -> (Vec<Value>, Vec<u16>) {
    let mut world = World::cut(demo::server(), reads, writes);
    let (stream, sock) = (world.open_sse(), world.connect());
    for body in exchange() {
        if chunked {
            let head = http::post_head(&stream.endpoint, 0)
                .replace("Content-Length: 0", "Transfer-Encoding: chunked");
            world.queue(sock, format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        } else {
            world.queue(sock, post(&stream.endpoint, &body));
        }
    }
    world.run();
    let frames = world.frames(&stream);
    let statuses = world.responses(sock).iter().map(|response| response.status).collect();
    world.quiesce();
    (frames, statuses)
}

#[test]
fn the_same_frames_come_however_bytes_are_cut() {
    let (frames, statuses) = play(Cut::Whole, Cut::Whole, false);
    assert_eq!(
        frames.iter().map(|frame| frame["id"].as_i64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5]
    );
    assert_eq!(statuses, [202, 202, 202, 202, 400, 202, 202, 202]);
    for chunked in [false, true] {
        for reads in Cut::kinds() {
            for writes in Cut::kinds() {
                let got = play(reads, writes, chunked);
                assert_eq!(got, (frames.clone(), statuses.clone()), "{reads:?} {writes:?} {chunked}");
            }
        }
    }
}

#[test]
fn the_same_frames_come_wherever_a_post_is_split() {
    let body = call(1, "echo", r#"{"text":"€"}"#);
    let whole = post("/messages?sessionId=00000000-0000-4000-8000-000000000002", &body);
    for at in 0..=whole.len() {
        let mut world = World::cut(demo::server(), Cut::Whole, Cut::At(at % 60));
        let (stream, sock) = (world.open_sse(), world.connect());
        world.send(sock, &whole.as_bytes()[..at]);
        world.send(sock, &whole.as_bytes()[at..]);
        assert_eq!(world.response(sock).status, 202, "split at {at}");
        assert_eq!(text_of(&world.frames(&stream)[0]), "€", "split at {at}");
        world.quiesce();
    }
}

#[test]
fn a_reset_at_every_byte_of_an_exchange_leaves_nothing_behind() {
    let body = call(1, "echo", r#"{"text":"x"}"#);
    let whole = post("/messages?sessionId=00000000-0000-4000-8000-000000000002", &body);
    for at in 0..=whole.len() {
        let mut world = world();
        let (stream, sock) = (world.open_sse(), world.connect());
        world.send(sock, &whole[..at]);
        match at % 3 {
            0 => world.reset(sock),
            1 => world.reset(stream.sock),
            _ => world.half_close(sock),
        }
        // What is left is a world without that connection: the session goes on, or is unknown.
        let other = world.connect();
        if at % 3 == 1 {
            assert_unknown(&mut world, other, &stream.endpoint);
        } else {
            let taken = world.frames(&stream).len();
            assert_eq!(taken, usize::from(at == whole.len()), "reset at {at}");
            assert_eq!(world.call(&stream, other, &ping(2))["id"], 2);
        }
        world.quiesce();
    }
}

#[test]
fn a_reset_while_output_waits_leaves_nothing_behind() {
    for window in [0, 1, 100, 300, 1000] {
        let mut world = world();
        let (stream, sock) = (world.open_sse(), world.connect());
        world.reads_only(stream.sock, window);
        world.reads_only(sock, window / 2);
        for id in 0..5 {
            world.send(sock, post(&stream.endpoint, &call(id, "big", r#"{"bytes":500}"#)));
        }
        assert!(world.stats().buffered_bytes > 0);
        world.reset(stream.sock);
        world.reset(sock);
        world.assert_empty();
    }
}

#[test]
fn a_half_closed_post_still_gets_its_answer() {
    for reads in Cut::kinds() {
        let mut world = World::cut(demo::server(), reads, Cut::Whole);
        let (stream, sock) = (world.open_sse(), world.connect());
        // Two requests and the end, all there before the server reads anything.
        world.queue(sock, post(&stream.endpoint, &ping(1)) + &post(&stream.endpoint, &ping(2)));
        world.half_close(sock);
        let responses = world.responses(sock);
        assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [202, 202]);
        assert_eq!(world.frames(&stream).len(), 2);
        assert!(world.closed(sock));
        world.quiesce();
    }
}

#[test]
fn what_is_asked_on_a_connection_that_is_closed_already_is_not_done() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    let bytes = post(&stream.endpoint, &call(1, "nothing", "{}"));
    // Both happen before the driver has asked what to do: it learns of the close after the read.
    let (now, key) = (world.now, world.key(sock));
    world.engine.hang_up(now, key);
    world.engine.receive(now, key, bytes.as_bytes());
    world.run();
    assert!(world.closed(sock));
    assert_eq!((world.stats().messages_received, world.frames(&stream).len()), (0, 0));
    world.quiesce();
}

#[test]
fn pipelined_posts_are_answered_in_order() {
    let mut world = world();
    let (a, b, sock) = (world.open_sse(), world.open_sse(), world.connect());
    let mut bytes = String::new();
    for id in 0..200 {
        let stream = if id % 3 == 0 { &b } else { &a };
        // Every tenth is refused, so that the order of the responses can be told.
        let body = if id % 10 == 9 { "x".to_owned() } else { ping(id) };
        bytes += &post(&stream.endpoint, &body);
    }
    world.send(sock, bytes);
    let statuses: Vec<u16> = world.responses(sock).iter().map(|response| response.status).collect();
    let expected: Vec<u16> = (0..200).map(|id| if id % 10 == 9 { 400 } else { 202 }).collect();
    assert_eq!(statuses, expected);
    for (stream, of_b) in [(&a, false), (&b, true)] {
        let ids: Vec<i64> = world.frames(stream).iter().map(|frame| frame["id"].as_i64().unwrap()).collect();
        let expected: Vec<i64> = (0..200).filter(|id| id % 10 != 9 && (id % 3 == 0) == of_b).collect();
        assert_eq!(ids, expected);
    }
    world.quiesce();
}

#[test]
fn the_202_leaves_before_the_reply_and_both_in_one_write_each() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    world.written.clear();
    world.send(sock, post(&stream.endpoint, &ping(1)) + &post(&stream.endpoint, &ping(2)));
    assert_eq!(world.written, [sock, stream.sock]);
    assert_eq!(world.frames(&stream).len(), 2);
    world.quiesce();
}

#[test]
fn ids_come_back_with_their_type() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    for id in [
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        r#""1""#,
        r#""""#,
        r#""日本 \u0000 \\ 😀""#,
    ] {
        // All the ways a reply can take: a result, an error, an error result.
        for body in [ping(id), request(id, "no/such", "{}"), call(id, "fail", "{}")] {
            let frame = world.call(&stream, sock, &body);
            assert_eq!(frame["id"], serde_json::from_str::<Value>(id).unwrap(), "{body}");
        }
    }
    world.quiesce();
}

#[test]
fn notifications_are_never_answered() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    let methods =
        ["notifications/initialized", "notifications/cancelled", "notifications/x", "tools/call", "ping", ""];
    let params =
        ["{}", r#"{"requestId":1}"#, r#"{"requestId":[]}"#, r#"{"name":"panic"}"#, r#"{"a":1,"a":2}"#];
    for method in methods {
        for params in params {
            let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
            assert_eq!(world.post(sock, &stream.endpoint, &body).status, 202, "{body}");
        }
    }
    // One that is no message at all is told so over HTTP, and only there.
    for body in [r#"{"jsonrpc":"2.0","method":1}"#, r#"{"jsonrpc":"2.0","method":"x","params":[]}"#] {
        assert_eq!(world.post(sock, &stream.endpoint, body).status, 400, "{body}");
    }
    assert_eq!(world.frames(&stream), [] as [Value; 0]);
    world.quiesce();
}

#[test]
fn every_frame_is_one_line_whatever_handlers_give() {
    let lines = "{\r\n\"type\":\n\"object\"}";
    let tool = Tool::new("raw", "Two\r\nlines").input_schema(lines).output_schema(lines);
    let server = Server::new("lines", "1\n2")
        .instructions("a\nb\rc\u{2028}d")
        .offer(tool.handler(move |value: Value, _| ToolResult::text(value.to_string()).structured(lines)));
    let mut world = World::new(server);
    let (stream, sock) = (world.open_sse(), world.connect());
    let hello =
        r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}"#;
    // That a frame is two lines is checked wherever frames are read; here there is something to get wrong.
    let frame = world.call(&stream, sock, &request(0, "initialize", hello));
    assert_eq!(frame["result"]["instructions"], "a\nb\rc\u{2028}d");
    let frame = world.call(&stream, sock, &request(1, "tools/list", "{}"));
    assert_eq!(frame["result"]["tools"][0]["inputSchema"], json!({"type": "object"}));
    assert_eq!(frame["result"]["tools"][0]["description"], "Two\r\nlines");
    let frame = world.call(&stream, sock, &call(2, "raw", "{\n\"b\":\r\n[]}"));
    assert_eq!(
        (text_of(&frame), &frame["result"]["structuredContent"]),
        ("{\"b\":[]}", &json!({"type": "object"}))
    );
    world.quiesce();
}

#[test]
fn stray_answers_are_counted() {
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    for body in [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":null,"error":{}}"#] {
        assert_eq!(world.post(sock, &stream.endpoint, body).status, 202, "{body}");
    }
    assert_eq!(world.stats().stray_answers, 2);
    assert_eq!(world.frames(&stream), [] as [Value; 0]);
    world.quiesce();
}

#[test]
fn a_session_is_counted_and_told_to_the_observer() {
    use crate::common::Seen;
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    world.post(sock, &stream.endpoint, &ping(1));
    world.post(sock, "/messages", &ping(1));
    world.reset(stream.sock);
    let missing = "Missing sessionId parameter".to_owned();
    assert_eq!(world.events(), [Seen::Opened, Seen::Refused(400, missing), Seen::Closed]);
    let stats = world.stats();
    assert_eq!((stats.sessions_opened, stats.connections_opened), (1, 2));
    assert_eq!((stats.messages_received, stats.messages_queued, stats.refused), (1, 1, 1));
    world.quiesce();
}

#[test]
fn a_thousand_sessions_that_come_and_go_leave_nothing_behind() {
    let mut world = world();
    let sock = world.connect();
    for round in 0..1000 {
        let stream = world.open_sse();
        assert_eq!(world.call(&stream, sock, &ping(round))["id"], round);
        world.reset(stream.sock);
    }
    assert_eq!((world.stats().sessions, world.stats().connections), (0, 1));
    world.quiesce();
}

#[test]
fn a_leap_of_time_closes_what_is_due_and_nothing_else() {
    // A laptop that slept for a year: streams are alive until their clients say otherwise.
    let mut world = world();
    let (stream, sock) = (world.open_sse(), world.connect());
    world.jump(Duration::from_secs(365 * 86_400));
    world.run();
    assert!(world.closed(sock));
    assert_eq!(world.take_text(stream.sock), ": ping\n\n");
    let sock = world.connect();
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    world.quiesce();
}
