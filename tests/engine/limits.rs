//! Every limit at its value and one past it, as the peer sees it: what each field's documentation promises.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::http::{self, call, get, ping, post_head, request};
use crate::common::{Seen, Sock, Stream, World, demo};
use crate::shutdown::{a_finished_shutdown_has_no_deadline, after_the_grace_the_rest_is_reset};
use mcp_rill::http::conn::CloseReason;
use mcp_rill::{Limits, Peer, Server, Tool};
use serde_json::{Value, json};

type Tests = &'static [fn()];

/// Which tests stand for which limit.
const TESTED: &[(&str, Tests)] = &[
    (
        "buffered_bytes_max",
        &[
            bodies_of_all_peers_share_the_budget,
            a_body_in_chunks_that_outgrows_the_budget_gets_503,
            half_a_request_gives_way_to_a_session,
            the_one_who_asks_for_most_is_refused,
            a_reply_has_room_while_others_hold_more,
            the_largest_backlog_pays_for_queued_output,
            the_budget_holds_against_clients_that_do_not_read_their_responses,
            bodies_that_fill_the_budget_cost_no_others_their_streams,
            bodies_that_drip_make_room,
            messages_that_are_taken_get_their_202,
            output_that_is_taken_drop_by_drop_makes_room,
            #[cfg(feature = "stateless")]
            what_is_sent_behind_a_request_that_waits_makes_room,
            #[cfg(feature = "stateless")]
            a_budget_for_a_body_is_enough_for_the_answer_to_it,
        ],
    ),
    (
        "connections_max",
        &[
            at_the_cap_the_longest_idle_connection_goes,
            at_the_cap_connections_that_finished_no_request_go_first,
        ],
    ),
    (
        "connections_reserve_percent",
        &[
            #[cfg(feature = "streamable")]
            connections_that_wait_leave_a_reserve,
        ],
    ),
    (
        "loop_bytes_max",
        &[
            #[cfg(feature = "streamable")]
            kept_requests_of_all_connections_take_turns,
        ],
    ),
    ("new_connection_grace", &[a_new_connection_has_time_for_its_first_request]),
    (
        "refused_connections_max",
        &[
            #[cfg(feature = "streamable")]
            a_connection_more_gets_503_where_none_may_be_closed,
        ],
    ),
    ("health_connections_max", &[crate::health::one_connection_for_health_checks_more_closes_the_oldest]),
    (
        "sessions_max",
        &[
            #[cfg(feature = "streamable")]
            one_session_more_ends_the_one_idle_longest,
            one_session_more_gets_503,
        ],
    ),
    (
        "connections_per_peer_max",
        &[
            one_connection_of_a_peer_more_gets_503,
            a_peers_idle_connection_makes_room_for_its_next,
            no_more_of_a_peers_connections_are_told_than_it_may_have,
        ],
    ),
    (
        "sessions_per_peer_max",
        &[
            #[cfg(feature = "streamable")]
            one_session_of_a_peer_more_gets_503,
        ],
    ),
    ("target_bytes_max", &[a_longer_target_gets_414]),
    ("head_bytes_max", &[a_longer_head_gets_431]),
    ("headers_max", &[one_header_more_gets_431]),
    ("body_bytes_max", &[a_longer_body_gets_413, a_body_past_all_limits_costs_no_other_client_anything]),
    ("chunk_extension_bytes_max", &[longer_chunk_extensions_get_400]),
    ("trailer_bytes_max", &[a_longer_trailer_section_gets_400]),
    ("json_depth_max", &[deeper_json_is_a_parse_error]),
    ("json_values_max", &[more_json_values_are_a_parse_error]),
    ("id_bytes_max", &[a_longer_id_is_refused]),
    ("message_bytes_max", &[a_longer_result_is_replaced, a_large_message_is_told]),
    (
        "output_bytes_max",
        &[over_half_of_the_output_requests_get_503, over_all_of_the_output_the_stream_is_closed],
    ),
    ("calls_max", &[one_open_call_more_is_refused_as_busy]),
    ("page_items_max", &[more_items_come_with_the_next_cursor]),
    ("page_bytes_max", &[a_page_ends_by_bytes, a_full_page_is_never_too_long_a_message]),
    ("uri_bytes_max", &[a_longer_uri_is_refused]),
    ("turn_bytes_max", &[unsent_output_stops_reading]),
    ("handshakes_max", &[crate::handshakes::one_handshake_more_closes_the_oldest_or_waits]),
    ("handshake_timeout", &[crate::handshakes::a_handshake_that_takes_longer_is_closed]),
    ("head_timeout", &[a_slow_head_gets_408, a_silent_connection_is_closed]),
    ("body_timeout", &[a_slow_body_gets_408]),
    ("body_rate_min", &[a_body_that_keeps_the_rate_may_take_longer]),
    ("write_timeout", &[a_peer_that_takes_no_output_is_closed]),
    ("idle_timeout", &[an_idle_connection_is_closed, a_short_idle_timeout_is_kept]),
    ("linger_timeout", &[after_a_refusal_the_connection_lingers_for_a_time]),
    ("linger_bytes_max", &[after_a_refusal_the_connection_lingers_for_some_bytes]),
    (
        "keep_alive",
        &[
            a_silent_stream_gets_a_comment,
            a_stream_on_a_connection_that_was_idle_gets_its_comment_in_time,
            a_comment_is_not_piled_on_a_backlog,
        ],
    ),
    ("shutdown_grace", &[after_the_grace_the_rest_is_reset, a_finished_shutdown_has_no_deadline]),
];

/// Limits whose tests need questions or threads: those are in `tests/server/` and `notices.rs`; or Streamable HTTP:
/// those are in `streamable.rs`, `resume.rs` and `stateless/`; or the binary applies them: `src/cli/peers.rs`; or the loop does: `src/net.rs`,
/// `tests/net/adopted.rs`, `tests/net/transports.rs`.
const ELSEWHERE: &[&str] = &[
    "replay_bytes_max",
    "replay_streams_max",
    "replay_timeout",
    "batch_max",
    "session_idle_timeout",
    "initialize_timeout",
    "rounds_max",
    "subscriptions_max",
    "workers",
    "worker_queue_max",
    "workers_stuck_max",
    "mailbox_max",
    "tool_timeout",
    "worker_wait_timeout",
    "question_timeout",
    "listens_max",
    "authorizing_max",
    "authorize_timeout",
    "request_state_ttl",
    "tcp_user_timeout",
    "adopted_waiting_max",
    "transport_bytes_max",
];

#[test]
fn every_limit_has_a_test() {
    for name in Limits::NAMES {
        let tests = TESTED.iter().filter(|(tested, _)| tested == name).count();
        let elsewhere = ELSEWHERE.iter().filter(|other| *other == name).count();
        assert_eq!(tests + elsewhere, 1, "{name} needs a test at the limit and one past it");
    }
    assert_eq!(TESTED.len() + ELSEWHERE.len(), Limits::NAMES.len(), "a name here is no limit any more");
}

const MS: Duration = Duration::from_millis(1);

/// Small sizes, so that filling them is quick; long times, so that only the one under test passes.
fn small() -> Limits {
    let hour = Duration::from_secs(3600);
    let limits = Limits {
        buffered_bytes_max: 64 << 10,
        connections_max: 20,
        sessions_max: 10,
        target_bytes_max: 512,
        head_bytes_max: 2 << 10,
        body_bytes_max: 40 << 10,
        message_bytes_max: 30 << 10,
        page_bytes_max: 4 << 10,
        output_bytes_max: 60 << 10,
        head_timeout: hour,
        body_timeout: hour,
        write_timeout: hour,
        idle_timeout: hour,
        linger_timeout: hour,
        keep_alive: hour,
        ..Limits::DEFAULT
    };
    limits.check().unwrap();
    limits
}

fn world(change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = small();
    change(&mut limits);
    World::with(limits)
}

/// The one response of a connection that was refused and closed.
fn refused(world: &mut World, sock: Sock) -> http::Response {
    let response = world.response(sock);
    assert!(!response.keeps_alive(), "{response:?}");
    assert!(world.ended(sock));
    response
}

fn assert_busy(response: &http::Response, limit: &str) {
    assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")), "{response:?}");
    assert!(response.text().contains(limit), "{response:?}");
}

/// A ping whose text has exactly this many bytes.
fn padded_ping(bytes: usize) -> String {
    let empty = request(1, "ping", r#"{"pad":""}"#);
    request(1, "ping", &format!(r#"{{"pad":"{}"}}"#, "x".repeat(bytes - empty.len())))
}

/// A call of `big` whose frame on the stream has exactly this many bytes.
fn framed(bytes: usize) -> String {
    let empty = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"\"}]}}\n\n";
    call(7, "big", &format!(r#"{{"bytes":{}}}"#, bytes - empty.len()))
}

/// The bytes of a kept-alive 404.
fn not_found() -> usize {
    let mut world = World::with(small());
    let sock = world.connect();
    world.send(sock, get("/x"));
    world.take(sock).len()
}

#[test]
fn bodies_of_all_peers_share_the_budget() {
    let mut world = world(|_| {});
    let (stream, slow, quick) = (world.open_sse(), world.connect(), world.connect());
    let body = padded_ping(30_000);
    world.send(slow, post_head(&stream.endpoint, body.len()));
    world.send(slow, &body[..29_999]);
    let room = world.engine.limits().buffered_bytes_max - world.stats().buffered_bytes;
    assert!((20_000..40_000).contains(&room), "{room}");
    assert_eq!(world.post(quick, &stream.endpoint, &padded_ping(room)).status, 202);
    let refused = world.post(quick, &stream.endpoint, &padded_ping(room + 1));
    assert_busy(&refused, "buffered_bytes_max");
    assert!(refused.keeps_alive());
    assert_eq!(world.stats().busy, 1);
    // What was begun is finished, and gives its share back.
    world.send(slow, &body[29_999..]);
    assert_eq!(world.response(slow).status, 202);
    assert_eq!(world.post(quick, &stream.endpoint, &padded_ping(room + 1)).status, 202);
    // The refusal is told on the stream too: a common client does not look at the response to its POST.
    let frames = world.frames(&stream);
    let told = frames.iter().filter(|frame| frame["error"]["code"] == -32000 && frame["id"] == 1);
    assert_eq!((frames.len(), told.count()), (4, 1), "{frames:?}");
    world.quiesce();
}

#[test]
fn a_body_in_chunks_that_outgrows_the_budget_gets_503() {
    let mut world = world(|_| {});
    let stream = world.open_sse();
    let head = post_head(&stream.endpoint, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let socks: Vec<Sock> = (0..4).map(|_| world.connect()).collect();
    for sock in &socks {
        world.send(*sock, &head);
    }
    let mut refused_count = 0;
    for _ in 0..6 {
        for sock in &socks {
            if world.ended(*sock) {
                continue;
            }
            world.send(*sock, format!("1000\r\n{}\r\n", "x".repeat(4096)));
            assert!(world.stats().buffered_bytes <= world.engine.limits().buffered_bytes_max);
            if world.ended(*sock) {
                assert_busy(&refused(&mut world, *sock), "");
                refused_count += 1;
            }
        }
    }
    assert!((1..4).contains(&refused_count), "{refused_count}");
    world.quiesce();
}

#[test]
fn half_a_request_gives_way_to_a_session() {
    for spare in [0, 1] {
        let mut world = world(|_| {});
        let (stream, new) = (world.open_sse(), world.connect());
        let max = world.engine.limits().buffered_bytes_max;
        // Bodies of known length are charged exactly, with their heads: here, all but the last byte.
        let slow = [max / 2, max / 2 - spare].map(|share| {
            let slow = world.connect();
            let length = share + 1 - post_head(&stream.endpoint, 30_000).len();
            world.send(slow, post_head(&stream.endpoint, length) + &"x".repeat(length - 1));
            slow
        });
        assert_eq!(world.stats().buffered_bytes, max - spare);
        world.open_sse_on(new, "/sse");
        // Those who hold most have no more room than others: one of them is told so, and not how much there is.
        let refused_count = slow.iter().filter(|slow| world.ended(**slow)).count();
        assert_eq!(refused_count, 1, "the head of the stream takes more than a byte");
        world.quiesce();
    }
}

#[test]
fn the_one_who_asks_for_most_is_refused() {
    let mut world = world(|_| {});
    let (stream, slow, quick) = (world.open_sse(), world.connect(), world.connect());
    let body = padded_ping(30_000);
    world.send(slow, post_head(&stream.endpoint, body.len()));
    world.send(slow, &body[..29_999]);
    let room = world.engine.limits().buffered_bytes_max - world.stats().buffered_bytes;
    let response = world.post(quick, &stream.endpoint, &padded_ping(room + 1));
    assert_busy(&response, "buffered_bytes_max");
    assert!(!response.text().contains(|letter: char| letter.is_ascii_digit()), "{response:?}");
    assert!(response.keeps_alive() && !world.ended(slow));
    world.send(slow, &body[29_999..]);
    assert_eq!(world.response(slow).status, 202);
    world.quiesce();
}

#[test]
fn a_reply_has_room_while_others_hold_more() {
    let mut world = world(|limits| limits.connections_max = 40);
    let (stream, sock) = (world.open_sse(), world.connect());
    let max = world.engine.limits().buffered_bytes_max;
    let half = |world: &mut World, share: usize| {
        let slow = world.connect();
        let length = share + 1 - post_head(&stream.endpoint, 30_000).len();
        world.send(slow, post_head(&stream.endpoint, length) + &"x".repeat(length - 1));
        slow
    };
    let mut slow = vec![half(&mut world, max / 2), half(&mut world, max / 4)];
    for bytes in [4000, 8000, 16_000] {
        let left = max - world.stats().buffered_bytes;
        slow.push(half(&mut world, left));
        assert_eq!(world.stats().buffered_bytes, max);
        // The reply waits for its turn to be sent in more room than there is.
        world.send(sock, http::post(&stream.endpoint, &framed(bytes)));
        assert_eq!(world.response(sock).status, 202);
        assert_eq!(world.frames(&stream).len(), 1, "{bytes}");
    }
    assert!(world.ended(slow[0]) && !world.ended(stream.sock));
    assert_eq!(world.stats().slow_readers, 0);
    world.quiesce();
}

#[test]
fn the_largest_backlog_pays_for_queued_output() {
    let mut world = world(|_| {});
    let (a, b, c, sock) = (world.open_sse(), world.open_sse(), world.open_sse(), world.connect());
    for (stream, frames) in [(&a, 4), (&b, 7), (&c, 3)] {
        world.reads_only(stream.sock, 0);
        for _ in 0..frames {
            assert_eq!(world.post(sock, &stream.endpoint, &framed(2000)).status, 202);
        }
    }
    assert_eq!(world.stats().slow_readers, 0);
    let max = world.engine.limits().buffered_bytes_max;
    let mut posted = 3;
    while world.stats().slow_readers == 0 {
        assert_eq!(world.post(sock, &c.endpoint, &framed(2000)).status, 202);
        posted += 1;
        assert!(world.stats().buffered_bytes <= max);
    }
    // The one that asked for more has grown past the others, if only by one frame.
    let largest = if posted > 7 { &c } else { &b };
    assert!(world.closed(largest.sock));
    let end = world.end(largest.sock);
    assert!(matches!(end, Some((CloseReason::Budget, 14_000..))), "{end:?}");
    for (stream, frames) in [(&a, 4), (&b, 7)] {
        if stream.sock != largest.sock {
            world.reads_all(stream.sock);
            assert_eq!(world.frames(stream).len(), frames);
        }
    }
    world.quiesce();
}

#[test]
fn the_budget_holds_against_clients_that_do_not_read_their_responses() {
    // Each may leave no more unsent than `turn_bytes_max` and one response, but there may be many of them.
    let mut world = world(|limits| limits.turn_bytes_max = 8 << 10);
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 0);
    assert_eq!(world.post(sock, &stream.endpoint, &framed(1000)).status, 202);
    let max = world.engine.limits().buffered_bytes_max;
    for _ in 0..18 {
        let attacker = world.connect();
        world.reads_only(attacker, 0);
        world.send(attacker, get("/x").repeat(100));
        assert!(world.stats().buffered_bytes <= max, "{} bytes", world.stats().buffered_bytes);
    }
    // And they do not make the server turn against those who did nothing.
    assert_eq!(world.call_unread(&stream, sock), 202);
    world.reads_all(stream.sock);
    assert_eq!(world.frames(&stream).len(), 2);
    world.quiesce();
}

#[test]
fn bodies_that_fill_the_budget_cost_no_others_their_streams() {
    let mut world = world(|_| {});
    let (stream, sock) = (world.open_sse(), world.connect());
    let max = world.engine.limits().buffered_bytes_max;
    let slow: Vec<Sock> = [max / 2 + 1000, max / 2 - 1000]
        .map(|share| {
            let slow = world.connect();
            let length = share + 1 - post_head(&stream.endpoint, 30_000).len();
            world.send(slow, post_head(&stream.endpoint, length) + &"x".repeat(length - 1));
            slow
        })
        .to_vec();
    assert_eq!(world.stats().buffered_bytes, max);
    // There is no room for as much as a response now, so the one that holds most makes some.
    world.send(sock, get("/x"));
    assert_eq!(world.response(sock).status, 404);
    assert_busy(&refused(&mut world, slow[0]), "");
    assert!(!world.ended(slow[1]));
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    assert_eq!((world.stats().slow_readers, world.stats().refused), (0, 2));
    world.quiesce();
}

#[test]
fn bodies_that_drip_make_room() {
    for in_chunks in [false, true] {
        let mut world = world(|limits| {
            (limits.body_timeout, limits.body_rate_min) = (TEN, 1);
            limits.turn_bytes_max = 8 << 10;
        });
        let (stream, sock) = (world.open_sse(), world.connect());
        let max = world.engine.limits().buffered_bytes_max;
        // There is some room, but not enough. All of it but a little at once, and then a byte whenever it must be, which is as fast as the limits want it.
        let slow: Vec<Sock> = [max / 2 - 1000, max / 2 - 2000]
            .map(|share| {
                let slow = world.connect();
                let length = share - 10 - post_head(&stream.endpoint, 30_000).len();
                world.send(slow, post_head(&stream.endpoint, length) + &"x".repeat(length - 3));
                slow
            })
            .to_vec();
        world.advance(TEN - MS);
        slow.iter().for_each(|slow| world.send(*slow, "x"));
        // Until then they do not give way to one who asks for more than they hold.
        let bytes = if in_chunks { 6000 } else { 33_000 };
        if !in_chunks {
            assert_busy(&world.post(sock, &stream.endpoint, &padded_ping(bytes)), "buffered_bytes_max");
        }
        world.advance(MS);
        // The one that holds most makes room, and nobody else pays.
        let head = post_head(&stream.endpoint, bytes);
        if in_chunks {
            world.send(sock, head.replace("Content-Length: 6000", "Transfer-Encoding: chunked"));
            world.send(sock, format!("1770\r\n{}\r\n0\r\n\r\n", padded_ping(6000)));
        } else {
            world.send(sock, head + &padded_ping(bytes));
        }
        assert_eq!(world.response(sock).status, 202);
        assert_busy(&refused(&mut world, slow[0]), "");
        assert!(!world.ended(slow[1]));
        assert_eq!((world.frames(&stream).len(), world.stats().slow_readers), (1, 0));
        world.quiesce();
    }
}

#[test]
fn output_that_is_taken_drop_by_drop_makes_room() {
    let mut world = world(|limits| limits.write_timeout = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    let slow = [world.open_sse(), world.open_sse()];
    for (slow, bytes) in slow.iter().zip([14_000, 13_000]) {
        world.reads_only(slow.sock, 0);
        assert_eq!(world.post(sock, &slow.endpoint, &framed(bytes)).status, 202);
    }
    let body = padded_ping(30_000);
    world.advance(TEN - MS);
    slow.iter().for_each(|slow| world.reads_only(slow.sock, 1));
    assert_busy(&world.post(sock, &stream.endpoint, &body), "buffered_bytes_max");
    world.advance(MS);
    assert_eq!(world.post(sock, &stream.endpoint, &body).status, 202);
    assert!(world.closed(slow[0].sock) && !world.closed(slow[1].sock));
    // The refusal was told on the stream.
    assert_eq!((world.frames(&stream).len(), world.stats().slow_readers), (2, 1));
    // So does output that finds no room, however much more of it there is.
    let more = world.open_sse();
    world.reads_only(more.sock, 0);
    for _ in 0..2 {
        assert_eq!(world.post(sock, &more.endpoint, &framed(14_000)).status, 202);
        world.advance(TEN / 4);
    }
    world.reads_only(slow[1].sock, 1);
    assert_eq!(world.post(sock, &more.endpoint, &framed(14_000)).status, 202);
    world.advance(TEN / 4);
    assert!(world.closed(slow[1].sock) && !world.closed(more.sock));
    world.reset(more.sock);
    // Having taken all, a peer begins anew.
    let anew = world.open_sse();
    for _ in 0..2 {
        world.reads_only(anew.sock, 0);
        assert_eq!(world.post(sock, &anew.endpoint, &framed(14_000)).status, 202);
        world.advance(TEN - MS);
        world.reads_all(anew.sock);
    }
    world.reads_only(anew.sock, 0);
    assert_eq!(world.post(sock, &anew.endpoint, &framed(14_000)).status, 202);
    world.advance(TEN - MS);
    assert_busy(&world.post(sock, &stream.endpoint, &padded_ping(39_000)), "buffered_bytes_max");
    assert!(!world.closed(anew.sock));
    world.quiesce();
}

#[cfg(feature = "stateless")]
#[test]
fn what_is_sent_behind_a_request_that_waits_makes_room() {
    let mut world = world(|limits| limits.write_timeout = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    let listens: Vec<Sock> = (0..2).map(|_| world.connect()).collect();
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body = request(
        1,
        "subscriptions/listen",
        &format!(r#"{{"_meta":{meta},"notifications":{{"toolsListChanged":true}}}}"#),
    );
    let fields =
        "POST /mcp HTTP/1.1\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
    for (listen, bytes) in listens.iter().zip([20_000, 19_000]) {
        world.send(*listen, http::mcp_post(None, &body).replace("POST /mcp HTTP/1.1\r\n", fields));
        assert!(world.take_text(*listen).contains("acknowledged"));
        world.send(*listen, "x".repeat(bytes));
    }
    let body = padded_ping(39_000);
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    world.advance(TEN - MS);
    assert_busy(&world.post(sock, &stream.endpoint, &body), "buffered_bytes_max");
    world.advance(MS);
    assert_eq!(world.post(sock, &stream.endpoint, &body).status, 202);
    assert!(world.closed(listens[0]) && !world.closed(listens[1]));
    // The refusal was told on the stream.
    assert_eq!(world.frames(&stream).len(), 2);
    world.quiesce();
}

fn finish_a_request(world: &mut World, sock: Sock) {
    world.send(sock, get("/x"));
    assert_eq!(world.response(sock).status, 404);
    world.advance(MS);
}

/// Connections that have finished a request, one after the other.
fn finished(world: &mut World, count: usize) -> Vec<Sock> {
    let one = |_| {
        assert!(world.engine.has_room());
        let sock = world.connect();
        finish_a_request(world, sock);
        sock
    };
    (0..count).map(one).collect()
}

/// Which of them are closed, after room was made for one.
fn made_room(world: &mut World, socks: &[Sock]) -> Vec<usize> {
    assert!(!world.engine.has_room());
    world.run();
    assert!(world.engine.has_room());
    (0..socks.len()).filter(|at| world.closed(socks[*at])).collect()
}

#[test]
fn at_the_cap_the_longest_idle_connection_goes() {
    let mut world = world(|_| {});
    let socks = finished(&mut world, 20);
    // The first one was idle longest, until it sent something. The second one is within a request.
    finish_a_request(&mut world, socks[0]);
    world.send(socks[1], "GET ");
    world.advance(MS);
    assert_eq!(made_room(&mut world, &socks), [2]);
    assert_eq!(world.take_text(socks[2]), "");
    world.quiesce();
}

#[test]
fn at_the_cap_connections_that_finished_no_request_go_first() {
    let mut world = world(|_| {});
    let mut socks = finished(&mut world, 11);
    for part in ["G", "", "GET /x HTTP/1.1\r\n", "P", "GET /", "", "G", "H", "H"] {
        let sock = world.connect();
        world.send(sock, part);
        world.advance(10 * MS);
        socks.push(sock);
    }
    world.advance(2 * TEN);
    assert_eq!(made_room(&mut world, &socks), [11], "the oldest of them");
    socks.push(world.connect());
    world.send(socks[20], "GET ");
    world.advance(2 * TEN);
    assert_eq!(made_room(&mut world, &socks), [11, 12]);
    world.quiesce();
}

#[test]
fn a_new_connection_has_time_for_its_first_request() {
    for (elapsed, gone) in [(TEN - MS, 1), (TEN, 0)] {
        // More places are reserved than new connections can take, so that their age alone decides.
        let mut world = world(|limits| {
            (limits.new_connection_grace, limits.connections_reserve_percent) = (TEN, 90);
        });
        let first = world.connect();
        world.send(first, "GET ");
        world.advance(elapsed - MS);
        let mut socks = finished(&mut world, 1);
        socks.insert(0, first);
        (0..18).for_each(|_| socks.push(world.connect()));
        assert_eq!(made_room(&mut world, &socks), [gone], "{elapsed:?}");
        world.quiesce();
    }
}

/// Calls that are answered after their time, of one session over Streamable HTTP.
#[cfg(feature = "streamable")]
fn waiting_calls(world: &mut World, count: usize) -> Vec<Sock> {
    waiting_calls_of(world, &crate::common::local(), count)
}

#[cfg(feature = "streamable")]
fn waiting_calls_of(world: &mut World, peer: &Peer, count: usize) -> Vec<Sock> {
    let opener = world.connect_as(peer.clone());
    world.send(opener, http::mcp_post(None, &request(0, "initialize", http::INITIALIZE)));
    let id = world.response(opener).header("Mcp-Session-Id").unwrap().to_owned();
    world.reset(opener);
    let one = |at| {
        let sock = world.connect_as(peer.clone());
        world.send(sock, http::mcp_post(Some(&id), &call(at, "later", "{}")));
        world.advance(MS);
        sock
    };
    (0..count).map(one).collect()
}

#[cfg(feature = "streamable")]
#[test]
fn connections_that_wait_leave_a_reserve() {
    // Of 20 connections 2 are reserved.
    let mut world = World::new(demo::streaming(demo::server()).limits(small()));
    let streams: Vec<Stream> = (0..8).map(|_| world.open_sse()).collect();
    let posts = waiting_calls(&mut world, 10);
    assert!(posts.iter().all(|sock| !world.ended(*sock)));
    let short = finished(&mut world, 1);
    // One more takes the place of the oldest one of the session with most.
    let more = world.open_sse();
    assert_busy(&refused(&mut world, posts[0]), "connections_reserve_percent");
    assert!(posts[1..].iter().all(|sock| !world.ended(*sock)));
    assert!(streams.iter().chain([&more]).all(|stream| !world.ended(stream.sock)));
    // The call that gave way is cancelled, and there is a place for others.
    assert_eq!(world.stats().calls, 9);
    finish_a_request(&mut world, short[0]);
    world.quiesce();
}

/// Answers ten requests of ten connections at once, each with twenty more behind it. Returns how many of those are taken up in each
/// turn of the loop, and the bytes of one.
#[cfg(feature = "streamable")]
fn taken_up(loop_bytes_max: usize) -> (Vec<u64>, usize) {
    let (send, replies) = std::sync::mpsc::channel::<mcp_rill::Reply>();
    let server = demo::server().limits(Limits { loop_bytes_max, ..Limits::DEFAULT }).tool(
        "wait",
        "Wait",
        move |(), call| call.defer(|reply| send.send(reply)),
    );
    let mut world = World::new(server);
    let opener = world.connect();
    world.send(opener, http::mcp_post(None, &request(0, "initialize", http::INITIALIZE)));
    let id = world.response(opener).header("Mcp-Session-Id").unwrap().to_owned();
    let kept = http::mcp_post(Some(&id), &ping(1));
    let socks: Vec<Sock> = (0..10)
        .map(|at| {
            let sock = world.connect();
            world.send(sock, http::mcp_post(Some(&id), &call(at, "wait", "{}")) + &kept.repeat(20));
            sock
        })
        .collect();
    let before = world.stats().messages_received;
    replies.try_iter().for_each(|reply| reply.finish("done"));
    world.jump(world.now.mono);
    let mut taken = Vec::new();
    while let (true, deadline) = world.turn() {
        taken.push(world.stats().messages_received - before - taken.iter().sum::<u64>());
        let is_over = taken.iter().sum::<u64>() == 200;
        assert_eq!(deadline == Some(world.now.mono), !is_over, "the rest comes at once");
    }
    assert!(socks.iter().all(|sock| world.responses(*sock).len() == 21));
    world.quiesce();
    (taken, kept.len())
}

/// Requests that are kept behind one that waits are not all run in the turn in which that is answered.
#[cfg(feature = "streamable")]
#[test]
fn kept_requests_of_all_connections_take_turns() {
    let (all, bytes) = taken_up(Limits::DEFAULT.loop_bytes_max);
    assert_eq!(all, [200]);
    // What one connection has kept is not divided.
    assert_eq!(taken_up(40 * bytes).0, [40; 5]);
    assert_eq!(taken_up(40 * bytes + 1).0, [60, 60, 60, 20]);
}

/// Connections that wait count for their holder, too.
#[cfg(feature = "streamable")]
#[test]
fn no_idle_connection_is_closed_while_another_holder_has_more_that_wait() {
    let of = |host: u8| Peer { address: Some(([192, 0, 2, host], 1).into()), ..crate::common::local() };
    let mut world = World::new(demo::streaming(demo::server()).limits(small()));
    let idle = |world: &mut World, host: u8| {
        let sock = world.connect_as(of(host));
        finish_a_request(world, sock);
        sock
    };
    // Those of the second holder are idle longest.
    let modest: Vec<Sock> = (0..7).map(|_| idle(&mut world, 2)).collect();
    world.advance(MS);
    let greedy_idle = idle(&mut world, 1);
    let waiting = waiting_calls_of(&mut world, &of(1), 12);
    let left =
        |world: &World| [&modest, &waiting].map(|all| all.iter().filter(|sock| !world.ended(**sock)).count());
    assert_eq!((left(&world), world.ended(greedy_idle)), ([7, 12], false));
    // First what does the least harm, of the one who has more.
    assert!(!world.engine.has_room());
    world.run();
    assert_eq!((left(&world), world.ended(greedy_idle)), ([7, 12], true));
    idle(&mut world, 3);
    world.advance(MS);
    assert!(!world.engine.has_room());
    world.run();
    assert_busy(&refused(&mut world, waiting[0]), "connections_max");
    assert_eq!(left(&world), [7, 11]);
    world.quiesce();
}

#[cfg(feature = "streamable")]
#[test]
fn a_connection_more_gets_503_where_none_may_be_closed() {
    let limits = Limits { connections_reserve_percent: 0, refused_connections_max: 2, ..small() };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits));
    let _posts = waiting_calls(&mut world, 20);
    let told = [0, 1].map(|_| {
        assert!(world.engine.has_room());
        let sock = world.connect();
        assert_busy(&world.response(sock), "connections_max");
        sock
    });
    assert!(!world.engine.has_room(), "as many are being refused as may be");
    let untold = world.connect();
    assert!(world.closed(untold) && world.take_text(untold).is_empty());
    world.half_close(told[0]);
    assert!(world.engine.has_room());
    world.quiesce();
}

/// All sessions have streams, so that only the end of one makes room.
fn assert_full(response: &http::Response, limit: &str, seconds: &str) {
    assert_eq!((response.status, response.header("Retry-After")), (503, Some(seconds)), "{response:?}");
    assert!(response.text().contains(limit) && response.keeps_alive(), "{response:?}");
}

#[test]
fn one_session_more_gets_503() {
    for (keep_alive, seconds) in [(15 * TEN / 10, "15"), (TEN / 8, "2"), (60 * TEN, "60")] {
        let mut world = world(|limits| (limits.sessions_max, limits.keep_alive) = (3, keep_alive));
        let streams: Vec<Stream> = (0..3).map(|_| world.open_sse()).collect();
        let sock = world.connect();
        world.send(sock, get("/sse"));
        assert_full(&world.response(sock), "sessions_max", seconds);
        world.reset(streams[1].sock);
        world.open_sse_on(sock, "/sse");
        world.quiesce();
    }
}

#[cfg(feature = "streamable")]
#[test]
fn one_session_more_ends_the_one_idle_longest() {
    let mut world = world(|limits| limits.sessions_max = 3);
    let ids: Vec<String> = (0..4)
        .map(|_| {
            world.advance(MS);
            let sock = world.connect();
            world.send(sock, http::mcp_post(None, &request(0, "initialize", http::INITIALIZE)));
            world.response(sock).header("Mcp-Session-Id").unwrap().to_owned()
        })
        .collect();
    assert_eq!((world.stats().sessions, world.stats().sessions_evicted), (3, 1));
    let statuses = ids.iter().map(|id| {
        let sock = world.connect();
        world.send(sock, http::mcp_post(Some(id), &ping(1)));
        world.response(sock).status
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [404, 200, 200, 200]);
    world.quiesce();
}

/// A peer of that address.
fn at(address: &str) -> Peer {
    Peer { address: Some(format!("{address}:1").parse().unwrap()), ..crate::common::local() }
}

/// A connection that is within a request.
fn busy(world: &mut World, address: &str) -> Sock {
    let sock = world.connect_as(at(address));
    world.send(sock, "GET ");
    sock
}

#[test]
fn one_connection_of_a_peer_more_gets_503() {
    let mut world = world(|limits| limits.connections_per_peer_max = 2);
    let stream = world.connect_as(at("192.0.2.1"));
    let post = busy(&mut world, "192.0.2.1");
    let stream = world.open_sse_on(stream, "/sse");
    // Nothing was asked yet: it is told at once, and does not hold its place until it asks.
    let more = world.connect_as(at("192.0.2.1"));
    let response = refused(&mut world, more);
    assert_busy(&response, "connections_per_peer_max");
    assert_eq!(world.stats().refused, 1);
    // Others are others, and who has no address is not counted.
    busy(&mut world, "192.0.2.2");
    for _ in 0..3 {
        let sock = world.connect_as(Peer { unix: true, ..Peer::default() });
        world.send(sock, "GET ");
        assert!(!world.ended(sock));
    }
    // One network of IPv6 is one peer.
    busy(&mut world, "[2001:db8::1]");
    busy(&mut world, "[2001:db8::2]");
    let more = world.connect_as(at("[2001:db8::3]"));
    assert_busy(&refused(&mut world, more), "connections_per_peer_max");
    // Closing makes room, even while others are still being told that there was none.
    world.reset(post);
    let again = world.connect_as(at("192.0.2.1"));
    assert_eq!(world.call(&stream, again, &ping(1))["id"], 1);
    world.quiesce();
}

#[test]
fn a_peers_idle_connection_makes_room_for_its_next() {
    let mut world = world(|limits| limits.connections_per_peer_max = 2);
    let others = world.connect_as(at("192.0.2.2"));
    world.advance(MS * 10);
    busy(&mut world, "192.0.2.1");
    let idle = world.connect_as(at("192.0.2.1"));
    world.advance(MS * 10);
    finish_a_request(&mut world, idle);
    let next = world.connect_as(at("192.0.2.1"));
    assert!(world.closed(idle) && !world.closed(others));
    // What has just come may have sent something that was not read yet: it stays.
    let more = world.connect_as(at("192.0.2.1"));
    assert_busy(&refused(&mut world, more), "connections_per_peer_max");
    world.send(next, get("/x"));
    assert_eq!(world.response(next).status, 404);
    world.quiesce();
}

#[test]
fn no_more_of_a_peers_connections_are_told_than_it_may_have() {
    let mut world = world(|limits| limits.connections_per_peer_max = 3);
    for _ in 0..3 {
        busy(&mut world, "192.0.2.1");
    }
    let told: Vec<Sock> = (0..3).map(|_| world.connect_as(at("192.0.2.1"))).collect();
    let untold = world.connect_as(at("192.0.2.1"));
    assert!(world.closed(untold) && world.take_text(untold).is_empty());
    for sock in &told {
        assert_busy(&world.response(*sock), "connections_per_peer_max");
        assert!(!world.closed(*sock), "it lingers until the peer has read that");
    }
    assert_eq!(world.stats().connections, 6);
    // Who has read it leaves the place to the next one who is told.
    world.half_close(told[0]);
    assert!(world.closed(told[0]));
    let more = world.connect_as(at("192.0.2.1"));
    assert_busy(&refused(&mut world, more), "connections_per_peer_max");
    world.quiesce();
}

#[cfg(feature = "streamable")]
#[test]
fn one_session_of_a_peer_more_gets_503() {
    let mut world = world(|limits| limits.sessions_per_peer_max = 2);
    let socks = [(); 3].map(|()| world.connect_as(at("192.0.2.1")));
    world.open_sse_on(socks[0], "/sse");
    // Both transports count.
    let initialize = http::mcp_post(None, &request(0, "initialize", http::INITIALIZE));
    let id = |response: http::Response| response.header("Mcp-Session-Id").unwrap().to_owned();
    world.send(socks[1], &initialize);
    let first = id(world.response(socks[1]));
    let stream = world.connect_as(at("192.0.2.1"));
    world.send(stream, format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {first}\r\n\r\n"));
    for request in [&get("/sse"), &initialize] {
        world.send(socks[2], request);
        assert_full(&world.response(socks[2]), "sessions_per_peer_max", "60");
    }
    let other = world.connect_as(at("192.0.2.2"));
    world.open_sse_on(other, "/sse");
    // The end of each makes room.
    world.reset(socks[0]);
    world.send(socks[2], &initialize);
    let second = id(world.response(socks[2]));
    world.send(
        socks[1],
        format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {first}\r\n\r\n"),
    );
    assert_eq!(world.response(socks[1]).status, 200);
    world.open_sse_on(socks[1], "/sse");
    // One that is idle makes room as well.
    assert_eq!(world.stats().sessions_evicted, 0);
    let more = world.connect_as(at("192.0.2.1"));
    world.open_sse_on(more, "/sse");
    assert_eq!(world.stats().sessions_evicted, 1);
    world.send(socks[2], http::mcp_post(Some(&second), &ping(1)));
    assert_eq!(world.response(socks[2]).status, 404);
    world.quiesce();
}

#[test]
fn a_longer_target_gets_414() {
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, get(&format!("/{}", "x".repeat(511))));
    assert_eq!(world.response(sock).status, 404);
    world.send(sock, get(&format!("/{}", "x".repeat(512))));
    let response = refused(&mut world, sock);
    assert_eq!(response.status, 414);
    assert!(response.text().contains("512"), "{response:?}");
    world.quiesce();
}

#[test]
fn a_longer_head_gets_431() {
    let head = |length: usize| {
        let bare = get("/x").replace("\r\n\r\n", "\r\nPad: \r\n\r\n");
        bare.replace("Pad: ", &format!("Pad: {}", "x".repeat(length - bare.len())))
    };
    let mut world = world(|_| {});
    let sock = world.connect();
    world.send(sock, head(2048));
    assert_eq!(world.response(sock).status, 404);
    world.send(sock, head(2049));
    assert_eq!(refused(&mut world, sock).status, 431);
    world.quiesce();
}

#[test]
fn one_header_more_gets_431() {
    let head =
        |count: usize| get("/x").replace("\r\n\r\n", &format!("{}\r\n\r\n", "\r\nA: b".repeat(count - 1)));
    let mut world = world(|limits| limits.headers_max = 8);
    let sock = world.connect();
    world.send(sock, head(8));
    assert_eq!(world.response(sock).status, 404);
    world.send(sock, head(9));
    assert_eq!(refused(&mut world, sock).status, 431);
    world.quiesce();
}

#[test]
fn a_longer_body_gets_413() {
    let mut world = world(|_| {});
    let (stream, sock) = (world.open_sse(), world.connect());
    let max = world.engine.limits().body_bytes_max;
    assert_eq!(world.post(sock, &stream.endpoint, &padded_ping(max)).status, 202);
    // Announced: refused before any of it is read.
    world.send(sock, post_head(&stream.endpoint, max + 1));
    assert_eq!(refused(&mut world, sock).status, 413);
    // In chunks: refused at the chunk that is too much.
    let sock = world.connect();
    let head = post_head(&stream.endpoint, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    world.send(sock, format!("{head}{max:x}\r\n{}\r\n", padded_ping(max)));
    world.send(sock, "0\r\n\r\n");
    assert_eq!(world.response(sock).status, 202);
    world.send(sock, format!("{head}{max:x}\r\n{}\r\n", padded_ping(max)));
    assert_eq!(world.take_text(sock), "");
    world.send(sock, "1\r\n");
    assert_eq!(refused(&mut world, sock).status, 413);
    // The session lives on.
    assert_eq!(world.frames(&stream).len(), 2);
    let sock = world.connect();
    assert_eq!(world.call(&stream, sock, &ping(1))["id"], 1);
    world.quiesce();
}

/// Posts a ping in chunks of 20 bytes, with these extensions and this trailer section.
fn chunked_ping(stream: &Stream, extensions: [&str; 2], trailer: &str) -> String {
    let head = post_head(&stream.endpoint, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let (body, [first, second]) = (ping(1), extensions);
    format!("{head}14{first}\r\n{}\r\n14{second}\r\n{}\r\n0\r\n{trailer}\r\n", &body[..20], &body[20..])
}

#[test]
fn longer_chunk_extensions_get_400() {
    let mut world = world(|limits| limits.chunk_extension_bytes_max = 64);
    let (stream, sock) = (world.open_sse(), world.connect());
    let half = format!(";{}", "x".repeat(31));
    world.send(sock, chunked_ping(&stream, [&half, &half], ""));
    assert_eq!(world.response(sock).status, 202);
    world.send(sock, chunked_ping(&stream, [&half, &(half.clone() + "x")], ""));
    assert_eq!(refused(&mut world, sock).status, 400);
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

#[test]
fn a_longer_trailer_section_gets_400() {
    let mut world = world(|limits| limits.trailer_bytes_max = 64);
    let (stream, sock) = (world.open_sse(), world.connect());
    let half = format!("a: {}\r\n", "x".repeat(27));
    world.send(sock, chunked_ping(&stream, ["", ""], &(half.clone() + &half)));
    assert_eq!(world.response(sock).status, 202);
    world.send(sock, chunked_ping(&stream, ["", ""], &(half.clone() + &half.replacen('x', "xx", 1))));
    assert_eq!(refused(&mut world, sock).status, 400);
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

/// Posts a ping with such a member in its parameters.
fn post_member(world: &mut World, sock: Sock, stream: &Stream, member: &str) -> http::Response {
    world.post(sock, &stream.endpoint, &request(1, "ping", &format!(r#"{{"a":{member}}}"#)))
}

#[test]
fn deeper_json_is_a_parse_error() {
    let mut world = world(|limits| limits.json_depth_max = 10);
    let (stream, sock) = (world.open_sse(), world.connect());
    // The message and its parameters are two of the levels.
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(post_member(&mut world, sock, &stream, &nested(8)).status, 202);
    let response = post_member(&mut world, sock, &stream, &nested(9));
    assert_eq!((response.status, response.keeps_alive()), (400, true));
    assert!(
        response.text().contains("Parse error") && response.text().contains("json_depth_max"),
        "{response:?}"
    );
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

#[test]
fn more_json_values_are_a_parse_error() {
    let mut world = world(|limits| limits.json_values_max = 100);
    let (stream, sock) = (world.open_sse(), world.connect());
    // The message, its four members, and the array are six of them.
    let array = |values: usize| format!("[{}]", vec!["1"; values].join(","));
    assert_eq!(post_member(&mut world, sock, &stream, &array(94)).status, 202);
    let response = post_member(&mut world, sock, &stream, &array(95));
    assert_eq!((response.status, response.keeps_alive()), (400, true));
    assert!(
        response.text().contains("Parse error") && response.text().contains("json_values_max"),
        "{response:?}"
    );
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

#[test]
fn a_longer_result_is_replaced() {
    let mut world = world(|_| {});
    let (stream, sock) = (world.open_sse(), world.connect());
    let max = world.engine.limits().message_bytes_max;
    let bytes = max - r#"{"content":[{"type":"text","text":""}]}"#.len();
    let frame = world.call(&stream, sock, &call(1, "big", &format!(r#"{{"bytes":{bytes}}}"#)));
    assert_eq!(frame["result"].to_string().len(), max);
    let frame = world.call(&stream, sock, &call("\"two\"", "big", &format!(r#"{{"bytes":{}}}"#, bytes + 1)));
    assert_eq!((&frame["id"], &frame["error"]["code"]), (&json!("two"), &json!(-32603)));
    assert!(frame["error"]["message"].as_str().unwrap().contains("message_bytes_max"), "{frame}");
    assert_eq!(world.stats().oversized, 1);
    world.quiesce();
}

#[test]
fn a_large_message_is_told() {
    let mut world = World::with(Limits::DEFAULT);
    let (stream, sock) = (world.open_sse(), world.connect());
    let bytes = (1 << 20) - r#"{"content":[{"type":"text","text":""}]}"#.len();
    world.call(&stream, sock, &call(1, "big", &format!(r#"{{"bytes":{}}}"#, bytes - 1)));
    world.events();
    world.call(&stream, sock, &call(1, "big", &format!(r#"{{"bytes":{bytes}}}"#)));
    assert_eq!(world.events(), [Seen::Large(1 << 20)]);
    world.quiesce();
}

#[test]
fn over_half_of_the_output_requests_get_503() {
    for (extra, status) in [(0, 202), (1, 503)] {
        let mut world = world(|_| {});
        let (stream, sock) = (world.open_sse(), world.connect());
        world.reads_only(stream.sock, 0);
        for bytes in [15 << 10, (15 << 10) + extra] {
            assert_eq!(world.post(sock, &stream.endpoint, &framed(bytes)).status, 202);
        }
        let response = world.post(sock, &stream.endpoint, &ping(1));
        assert_eq!(response.status, status);
        if status == 503 {
            assert_busy(&response, "output_bytes_max");
            assert!(response.keeps_alive());
        }
        // What has no reply is taken: an answer, a notification.
        for body in
            [r#"{"jsonrpc":"2.0","id":9,"result":{}}"#, r#"{"jsonrpc":"2.0","method":"notifications/x"}"#]
        {
            assert_eq!(world.post(sock, &stream.endpoint, body).status, 202);
        }
        // Nothing that was taken is lost, and with room there is service again.
        world.reads_all(stream.sock);
        let frames = world.frames(&stream);
        assert_eq!(frames.len(), 3);
        // The refusal is told on the stream too: a common client does not look at the response to its POST.
        let error = &frames[2]["error"];
        assert_eq!((&frames[2]["id"], error.is_object()), (&1.into(), status == 503), "{frames:?}");
        assert!(
            status == 202
                || error["code"] == -32000 && error["message"].as_str().unwrap().contains("output_bytes_max")
        );
        assert_eq!(world.call(&stream, sock, &ping(2))["id"], 2);
        world.quiesce();
    }
}

#[test]
fn over_all_of_the_output_the_stream_is_closed() {
    for (extra, closes) in [(0, false), (1, true)] {
        // The budget is made large enough for a buffer that doubled.
        let mut world = world(|limits| limits.buffered_bytes_max = 256 << 10);
        let (stream, sock) = (world.open_sse(), world.connect());
        world.reads_only(stream.sock, 0);
        for bytes in [30 << 10, (30 << 10) + extra] {
            assert_eq!(world.post(sock, &stream.endpoint, &framed(bytes)).status, 202);
        }
        assert_eq!(world.closed(stream.sock), closes);
        assert_eq!(world.stats().slow_readers, u64::from(closes));
        let end = (CloseReason::SlowReader, (60 << 10) + 1);
        assert_eq!(world.end(stream.sock), closes.then_some(end));
        if !closes {
            world.reads_all(stream.sock);
            assert_eq!(world.frames(&stream).len(), 2);
        }
        world.quiesce();
    }
}

#[test]
fn one_open_call_more_is_refused_as_busy() {
    let replies = Arc::new(Mutex::new(Vec::new()));
    let kept = replies.clone();
    let server = demo::server().tool("later", "Answer later", move |(), call| {
        let kept = kept.clone();
        call.defer(move |reply| kept.lock().unwrap().push(reply))
    });
    let mut world = World::new(server.limits(Limits { calls_max: 3, ..small() }));
    let (stream, other, sock) = (world.open_sse(), world.open_sse(), world.connect());
    for id in 0..3 {
        assert_eq!(world.post(sock, &stream.endpoint, &call(id, "later", "{}")).status, 202);
    }
    assert_eq!(world.stats().calls, 3);
    // An id that is in flight is refused before its 202: two answers could not be told apart.
    let twice = world.post(sock, &stream.endpoint, &ping(1));
    assert_eq!((twice.status, twice.keeps_alive()), (400, true));
    assert_eq!(world.frames(&stream), [] as [Value; 0]);
    let frame = world.call(&stream, sock, &call(3, "later", "{}"));
    assert_eq!((&frame["id"], &frame["error"]["code"]), (&json!(3), &json!(-32000)));
    assert!(frame["error"]["message"].as_str().unwrap().contains("calls_max"), "{frame}");
    // A ping always gets through, and another session has calls of its own.
    assert_eq!(world.call(&stream, sock, &ping(4))["id"], 4);
    assert_eq!(world.call(&other, sock, &call(1, "echo", r#"{"text":""}"#))["id"], 1);
    // A cancelled call makes room.
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(world.post(sock, &stream.endpoint, cancel).status, 202);
    assert_eq!(world.stats().calls, 2);
    assert_eq!(world.call(&stream, sock, &call(5, "echo", r#"{"text":""}"#))["id"], 5);
    world.quiesce();
}

/// A server of so many tools.
fn tools(count: usize, limits: Limits) -> World {
    let server = (0..count).fold(Server::new("many", "1"), |server, at| {
        server.offer(Tool::new(format!("tool-{at}"), "x".repeat(100)).handler(|(), _| ""))
    });
    World::new(server.limits(limits))
}

/// All pages of the list of tools: how many tools each has.
fn pages(mut world: World) -> Vec<usize> {
    let (stream, sock) = (world.open_sse(), world.connect());
    let (mut pages, mut names, mut params) = (Vec::new(), Vec::new(), "{}".to_owned());
    loop {
        let frame = world.call(&stream, sock, &request(1, "tools/list", &params));
        let tools = frame["result"]["tools"].as_array().unwrap_or_else(|| panic!("{frame}"));
        pages.push(tools.len());
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        match &frame["result"]["nextCursor"] {
            Value::Null => break,
            cursor => params = json!({ "cursor": cursor }).to_string(),
        }
    }
    let expected: Vec<String> = (0..names.len()).map(|at| format!("tool-{at}")).collect();
    assert_eq!(names, expected);
    world.quiesce();
    pages
}

#[test]
fn more_items_come_with_the_next_cursor() {
    let limits = Limits { page_items_max: 3, ..small() };
    assert_eq!(pages(tools(3, limits.clone())), [3]);
    assert_eq!(pages(tools(4, limits.clone())), [3, 1]);
    assert_eq!(pages(tools(9, limits)), [3, 3, 3]);
}

/// The length of the list of so many tools, without the bracket that closes it.
fn list_bytes(count: usize) -> usize {
    let mut world = tools(count, small());
    let (stream, sock) = (world.open_sse(), world.connect());
    let frame = world.call(&stream, sock, &request(1, "tools/list", "{}"));
    frame["result"]["tools"].to_string().len() - 1
}

#[test]
fn a_page_ends_by_bytes() {
    let bytes = list_bytes(5);
    let with = |page_bytes_max| Limits { page_bytes_max, ..small() };
    assert_eq!(pages(tools(5, with(bytes))), [5]);
    assert_eq!(pages(tools(5, with(bytes - 1))), [4, 1]);
    // One item is always sent: a page without any would be the end of the list to some clients.
    assert_eq!(pages(tools(3, with(10))), [1, 1, 1]);
}

#[test]
fn a_full_page_is_never_too_long_a_message() {
    // The smallest message_bytes_max that goes with this page_bytes_max still takes the page and its cursor.
    let page_bytes_max = list_bytes(8);
    let fits = |message_bytes_max| Limits { page_bytes_max, message_bytes_max, ..small() }.check().is_ok();
    let message_bytes_max = (1024..).find(|bytes| fits(*bytes)).unwrap();
    assert!(message_bytes_max > 1024, "the page is what decides");
    assert_eq!(pages(tools(9, Limits { page_bytes_max, message_bytes_max, ..small() })), [8, 1]);
}

#[test]
fn a_longer_uri_is_refused() {
    let mut world = world(|limits| limits.uri_bytes_max = 100);
    let (stream, sock) = (world.open_sse(), world.connect());
    let mut read = |bytes: usize| {
        let uri = format!("demo:///note/{}", "x".repeat(bytes - "demo:///note/".len()));
        world.call(&stream, sock, &request(1, "resources/read", &format!(r#"{{"uri":"{uri}"}}"#)))
    };
    assert!(read(100)["result"].is_object());
    let frame = read(101);
    assert_eq!(frame["error"]["code"], -32602);
    assert!(frame["error"]["message"].as_str().unwrap().contains("uri_bytes_max"), "{frame}");
    world.quiesce();
}

#[test]
fn a_longer_id_is_refused() {
    let mut world = world(|limits| limits.id_bytes_max = 20);
    let (stream, sock) = (world.open_sse(), world.connect());
    let mut ping = |bytes: usize| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(bytes));
        world.post(sock, &stream.endpoint, &body)
    };
    assert_eq!(ping(20).status, 202);
    let refused = ping(21);
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("id_bytes_max"), "{refused:?}");
    world.quiesce();
}

#[test]
fn unsent_output_stops_reading() {
    let response = not_found();
    for (extra, answered) in [(0, 8), (1, 9)] {
        let mut world = world(|limits| limits.turn_bytes_max = response * 8 + extra);
        let sock = world.connect();
        world.reads_only(sock, 0);
        // More than one read brings, so that some of it has to wait in the kernel.
        let count = 200;
        world.send(sock, get("/x").repeat(count));
        assert_eq!(world.engine.outgoing(world.key(sock)).len(), answered * response);
        assert!(world.unread(sock) > 0);
        // A stalled peer does not stall others.
        let other = world.connect();
        world.send(other, get("/x"));
        assert_eq!(world.response(other).status, 404);
        // Reading goes on when output was taken.
        world.reads_all(sock);
        assert_eq!(world.responses(sock).len(), count);
        assert_eq!(world.unread(sock), 0);
        world.quiesce();
    }
}

/// Asserts that the connection is closed when this much time has passed, and not a moment before.
fn assert_closes_after(world: &mut World, sock: Sock, time: Duration) {
    world.advance(time - MS);
    assert!(!world.ended(sock), "closed early");
    world.advance(MS);
    assert!(world.ended(sock), "still open");
}

const TEN: Duration = Duration::from_secs(10);

#[test]
fn a_silent_connection_is_closed() {
    let mut world = world(|limits| limits.head_timeout = TEN);
    let sock = world.connect();
    assert_closes_after(&mut world, sock, TEN);
    assert!(world.closed(sock));
    // It asked for nothing, so there is nothing to say.
    assert_eq!(world.take_text(sock), "");
    world.assert_empty();
}

#[test]
fn a_slow_head_gets_408() {
    let mut world = world(|limits| limits.head_timeout = TEN);
    let sock = world.connect();
    world.advance(TEN / 2);
    world.send(sock, "GET / HTTP/1.1\r\n");
    // From the first byte on, and more bytes do not help.
    world.advance(TEN / 2);
    world.send(sock, "Host: ");
    assert_closes_after(&mut world, sock, TEN / 2);
    assert_eq!(refused(&mut world, sock).status, 408);
    world.quiesce();
    // A later request has its own time.
    let mut world = self::world(|limits| limits.head_timeout = TEN);
    let sock = world.connect();
    world.send(sock, get("/x"));
    world.take(sock);
    world.advance(TEN * 3);
    world.send(sock, "G");
    assert_closes_after(&mut world, sock, TEN);
    assert_eq!(refused(&mut world, sock).status, 408);
    world.quiesce();
}

#[test]
fn a_slow_body_gets_408() {
    let mut world = world(|limits| limits.body_timeout = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    let body = ping(1);
    world.send(sock, post_head(&stream.endpoint, body.len()));
    world.send(sock, &body[..39]);
    world.advance(TEN - MS);
    world.send(sock, &body[39..]);
    assert_eq!(world.response(sock).status, 202, "in time");
    world.advance(MS);
    world.send(sock, post_head(&stream.endpoint, body.len()) + &body[..39]);
    assert_closes_after(&mut world, sock, TEN);
    assert_eq!(refused(&mut world, sock).status, 408);
    assert_eq!(world.frames(&stream).len(), 1);
    world.quiesce();
}

#[test]
fn a_body_that_keeps_the_rate_may_take_longer() {
    let mut world = world(|limits| (limits.body_timeout, limits.body_rate_min) = (TEN, 100));
    let (stream, sock) = (world.open_sse(), world.connect());
    world.send(sock, post_head(&stream.endpoint, 4001));
    // 100 bytes a second earn a second each: the deadline stays ten seconds ahead.
    for _ in 0..20 {
        world.send(sock, [b'x'; 100]);
        world.advance(Duration::from_secs(1));
    }
    assert!(!world.ended(sock));
    // 67 do not: each step brings it nearer by ten milliseconds, of the nine seconds that are left.
    for _ in 0..800 {
        world.send(sock, [b'x'; 2]);
        assert!(!world.ended(sock));
        world.advance(MS * 30);
    }
    assert_closes_after(&mut world, sock, MS * 1000);
    assert_eq!(refused(&mut world, sock).status, 408);
    world.quiesce();
}

#[test]
fn a_body_that_came_fast_earns_no_long_silence() {
    let mut world = world(|limits| (limits.body_timeout, limits.body_rate_min) = (TEN, 100));
    let (stream, sock) = (world.open_sse(), world.connect());
    world.send(sock, post_head(&stream.endpoint, 30_001));
    // At 100 bytes a second this would be held for five minutes more.
    world.send(sock, [b'x'; 30_000]);
    assert_closes_after(&mut world, sock, TEN);
    assert_eq!(refused(&mut world, sock).status, 408);
    assert!(world.stats().buffered_bytes < 1000);
    // Nor does it earn a drip.
    let drip = world.connect();
    world.send(drip, post_head(&stream.endpoint, 30_001));
    world.send(drip, [b'x'; 29_000]);
    for _ in 0..11 {
        assert!(!world.ended(drip));
        world.advance(Duration::from_secs(1) - MS);
        world.send(drip, "x");
    }
    assert_eq!(refused(&mut world, drip).status, 408);
    world.quiesce();
}

/// What can never be taken makes nobody give way.
#[test]
fn a_body_past_all_limits_costs_no_other_client_anything() {
    let mut world = world(|limits| limits.write_timeout = TEN);
    let (stream, slow, sock) = (world.open_sse(), world.open_sse(), world.connect());
    world.reads_only(slow.sock, 0);
    assert_eq!(world.post(sock, &slow.endpoint, &framed(20_000)).status, 202);
    for n in 0..9 {
        world.advance(TEN - MS);
        world.reads_only(slow.sock, 1);
        // A stranger's session, and one that is his.
        let endpoint = if n % 2 == 0 { "/messages?sessionId=x" } else { &stream.endpoint };
        let (liar, length) = (world.connect(), 70_000_u64 << (4 * n));
        world.send(liar, post_head(endpoint, length));
        let status = refused(&mut world, liar).status;
        assert_eq!(status, if n % 2 == 0 { 400 } else { 413 }, "{length}");
        world.reset(liar);
    }
    assert!(!world.closed(slow.sock) && world.stats().busy == 0);
    world.quiesce();
}

#[test]
fn a_peer_that_takes_no_output_is_closed() {
    let mut world = world(|limits| limits.write_timeout = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 0);
    world.advance(TEN * 5);
    assert!(!world.closed(stream.sock), "nothing waits for it");
    world.post(sock, &stream.endpoint, &framed(1000));
    world.advance(TEN - MS);
    // One byte is a sign of life.
    world.reads_only(stream.sock, 1);
    world.advance(MS);
    // More output is not.
    world.post(sock, &stream.endpoint, &framed(1000));
    world.advance(TEN - MS * 2);
    assert!(!world.closed(stream.sock));
    world.advance(MS * 10);
    assert!(world.closed(stream.sock));
    // Replies were lost, so it is counted.
    assert_eq!((world.stats().sessions, world.stats().slow_readers), (0, 1));
    assert_eq!(world.end(stream.sock), Some((CloseReason::WriteTimeout, 1999)));
    // The same for a response.
    world.reads_only(sock, 10);
    world.send(sock, get("/x"));
    world.advance(TEN - MS);
    assert!(!world.closed(sock));
    world.advance(MS * 10);
    assert!(world.closed(sock));
    assert_eq!(world.stats().slow_readers, 2);
    world.assert_empty();
}

#[test]
fn an_idle_connection_is_closed() {
    let mut world = world(|limits| limits.idle_timeout = TEN);
    let sock = world.connect();
    for _ in 0..3 {
        world.send(sock, get("/x"));
        // A tenth less is announced: a client that reuses a connection at the last moment would lose its request.
        assert_eq!(world.response(sock).header("Keep-Alive"), Some("timeout=9"));
        world.advance(TEN - MS * 10);
    }
    assert!(!world.ended(sock));
    world.advance(MS * 10);
    assert!(world.closed(sock));
    assert_eq!(world.take_text(sock), "");
    world.assert_empty();
}

#[test]
fn a_short_idle_timeout_is_kept() {
    // Shorter than every other time, so that no other deadline brings the connection up before.
    let second = Duration::from_secs(1);
    let mut world = world(|limits| limits.idle_timeout = second);
    let (stream, sock) = (world.open_sse(), world.connect());
    world.post(sock, &stream.endpoint, &ping(1));
    assert_closes_after(&mut world, sock, second);
    world.quiesce();
}

#[test]
fn after_a_refusal_the_connection_lingers_for_a_time() {
    let mut world = world(|limits| limits.linger_timeout = TEN);
    let sock = world.connect();
    world.send(sock, "BAD\r\n\r\n");
    assert_eq!(refused(&mut world, sock).status, 400);
    assert!(!world.closed(sock), "the client has time to read the response");
    world.advance(TEN - MS);
    world.send(sock, "more");
    assert!(!world.closed(sock));
    world.advance(MS);
    assert!(world.closed(sock));
    world.assert_empty();
}

#[test]
fn after_a_refusal_the_connection_lingers_for_some_bytes() {
    let mut world = world(|limits| limits.linger_bytes_max = 1000);
    let sock = world.connect();
    let bad = "BAD\r\n\r\n";
    world.send(sock, bad);
    assert_eq!(refused(&mut world, sock).status, 400);
    // What was refused counts.
    world.send(sock, "x".repeat(1000 - bad.len()));
    assert!(!world.closed(sock));
    world.send(sock, "x");
    assert!(world.closed(sock));
    // The client ends it: nothing to wait for.
    let sock = world.connect();
    world.send(sock, bad);
    world.half_close(sock);
    assert!(world.closed(sock));
    world.assert_empty();
}

#[test]
fn a_silent_stream_gets_a_comment() {
    let mut world = world(|limits| limits.keep_alive = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    for _ in 0..3 {
        world.advance(TEN - MS);
        assert_eq!(world.take_text(stream.sock), "");
        world.advance(MS);
        assert_eq!(world.take_text(stream.sock), ": ping\n\n");
    }
    // A message is as good as a comment.
    world.advance(TEN / 2);
    world.call(&stream, sock, &ping(1));
    world.advance(TEN - MS);
    assert_eq!(world.take_text(stream.sock), "");
    world.advance(MS);
    assert_eq!(world.take_text(stream.sock), ": ping\n\n");
    // The longest time that may be set.
    let mut world = self::world(|limits| limits.keep_alive = Duration::from_secs(100 * 24 * 3600));
    world.advance(TEN);
    let stream = world.open_sse();
    world.advance(TEN * 1000);
    assert_eq!(world.take_text(stream.sock), "");
    world.quiesce();
}

/// Its timer was set for much later, when it was idle.
#[test]
fn a_stream_on_a_connection_that_was_idle_gets_its_comment_in_time() {
    let mut world = world(|limits| (limits.keep_alive, limits.idle_timeout) = (TEN, 10 * TEN));
    let sock = world.connect();
    for _ in 0..3 {
        world.send(sock, "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(world.response(sock).status, 404);
        world.advance(TEN);
    }
    let stream = world.open_sse_on(sock, "/sse");
    world.advance(TEN - MS);
    assert_eq!(world.take_text(stream.sock), "");
    world.advance(MS);
    assert_eq!(world.take_text(stream.sock), ": ping\n\n");
}

#[test]
fn a_comment_is_not_piled_on_a_backlog() {
    let mut world = world(|limits| limits.keep_alive = TEN);
    let (stream, sock) = (world.open_sse(), world.connect());
    world.reads_only(stream.sock, 0);
    world.post(sock, &stream.endpoint, &ping(1));
    world.advance(TEN * 20);
    world.reads_all(stream.sock);
    let text = world.take_text(stream.sock);
    assert!(text.starts_with("event: message\n") && !text.contains(": ping\n\n"), "{text}");
    world.quiesce();
}

/// Many messages in one read, whose calls take more memory than there is: each of them is refused, or its client learns that it was
/// taken. Regression: the connection had the most output of all, and was closed before its socket was offered any of it.
#[test]
fn messages_that_are_taken_get_their_202() {
    let limits = Limits {
        message_bytes_max: 4000,
        page_bytes_max: 2000,
        output_bytes_max: 20_000,
        head_bytes_max: 1000,
        target_bytes_max: 500,
        body_bytes_max: 29_000,
        buffered_bytes_max: 30_000,
        ..Limits::DEFAULT
    };
    let mut world = World::new(demo::streaming(demo::server()).limits(limits.clone()));
    let (streams, sock) = ((0..15).map(|_| world.open_sse()).collect::<Vec<_>>(), world.connect());
    let post = |at: usize| http::post(&streams[at % 15].endpoint, &call(at, "later", "{}"));
    world.send(sock, (0..60).map(post).collect::<String>());
    assert!(world.stats().buffered_bytes <= limits.buffered_bytes_max);
    assert!(!world.ended(sock), "{:?}", world.end(sock));
    let statuses: Vec<u16> = world.responses(sock).iter().map(|response| response.status).collect();
    assert_eq!(statuses.len(), 60, "{statuses:?}");
    assert!(world.stats().sessions_shed > 0, "the budget was not spent: {statuses:?}");
    // A session may give way to others, with its calls; its stream ends then.
    let open = |at: &usize| statuses[*at] == 202 && !world.ended(streams[at % 15].sock);
    assert_eq!(world.stats().calls, (0..60).filter(open).count(), "{statuses:?}");
    assert!(world.stats().calls > 0);
    world.quiesce();
}

/// A body that came in pieces is let go before its request is answered.
#[test]
#[cfg(feature = "stateless")]
fn a_budget_for_a_body_is_enough_for_the_answer_to_it() {
    let limits = |limits: &mut Limits| {
        (limits.message_bytes_max, limits.output_bytes_max) = (600_000, 700_000);
        (limits.body_bytes_max, limits.buffered_bytes_max) = (600_000, 1_000_000);
    };
    let mut all = Limits::DEFAULT;
    limits(&mut all);
    let mut world = World::new(demo::server().limits(all));
    let sock = world.connect();
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let text = "x".repeat(580_000);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}},"_meta":{meta}}}}}"#
    );
    let fields = "Accept: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nHost:";
    let post = http::mcp_post(None, &body).replacen("Host:", fields, 1);
    post.as_bytes().chunks(50_000).for_each(|piece| world.send(sock, piece));
    let response = world.response(sock);
    assert_eq!((response.status, world.stats().slow_readers), (200, 0));
    world.quiesce();
}

/// What CORS repeats of an origin in the response is kept while a request is received, and waits.
#[cfg(feature = "browser")]
#[test]
fn an_origin_that_is_repeated_is_counted() {
    let origin = format!("https://{}.example", "a".repeat(1000));
    let server = crate::common::demo::server().allow_origin(&*origin).cors();
    let mut world = World::new(server);
    let stream = world.open_sse();
    // Half a request is held, with a field of the same length.
    let [with, without] = ["Origin", "X-Else"].map(|name| {
        let sock = world.connect();
        let before = world.stats().buffered_bytes;
        let field = format!("{name}: {origin}\r\nContent-Type:");
        let head = post_head(&stream.endpoint, 100).replace("Content-Type:", &field);
        world.send(sock, head + "{");
        let held = world.stats().buffered_bytes - before;
        world.reset(sock);
        assert_eq!(world.stats().buffered_bytes, before, "{name}");
        held
    });
    assert!(with - without > origin.len(), "{with} {without}");
    world.quiesce();
}
