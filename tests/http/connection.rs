//! One connection over time: half-close, deadlines, backpressure, streams, memory.

use std::time::Duration;

use mcp_rill::http::conn::{After, CloseReason, Conn};
use mcp_rill::{Limits, Now};

use crate::harness::{Recorder, SMALL, at, drain, responses, run, run_all_ways};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
const STREAM: &[u8] = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

struct Wire {
    conn: Conn,
    handler: Recorder,
    output: Vec<u8>,
}

impl Wire {
    fn new(limits: Limits) -> Wire {
        Wire { conn: Conn::new(at(0)), handler: Recorder::new(limits), output: Vec::new() }
    }

    fn feed(&mut self, now: Now, bytes: &[u8]) {
        self.handler.turn(&mut self.conn, now, bytes);
    }

    fn drain(&mut self, now: Now) {
        drain(&mut self.conn, now, &mut self.handler, &mut self.output);
    }

    fn send(&mut self, now: Now, count: usize) -> bool {
        self.output.extend_from_slice(&self.conn.outgoing()[..count]);
        self.handler.common.set_now(now);
        self.conn.sent(count, &mut self.handler.common)
    }

    fn push(&mut self, now: Now, write: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
        self.handler.common.set_now(now);
        self.conn.push(&mut self.handler.common, write)
    }

    fn end(&mut self, now: Now) {
        self.handler.end_of_input(&mut self.conn, now);
    }

    fn expire(&mut self, now: Now) {
        self.handler.common.set_now(now);
        self.conn.expire(&mut self.handler.common);
    }

    fn deadline(&self) -> Option<u64> {
        let deadline = self.conn.deadline(&self.handler.common.limits)?;
        assert_eq!(deadline.subsec_nanos(), 0);
        Some(deadline.as_secs())
    }

    fn used(&self) -> usize {
        self.handler.common.pool.used()
    }

    fn statuses(&self) -> Vec<u16> {
        responses(&self.output, "GET").iter().map(|response| response.status).collect()
    }
}

#[test]
fn half_close() {
    let statuses = |input: &[u8]| -> Vec<u16> {
        let outcome = run_all_ways("half-close", &SMALL, input, true);
        responses(&outcome.output, "GET").iter().map(|response| response.status).collect()
    };
    assert_eq!(statuses(b""), Vec::<u16>::new());
    assert_eq!(statuses(b"\r\n"), Vec::<u16>::new());
    assert_eq!(statuses(b"GET"), [400]);
    assert_eq!(statuses(GET), [200], "a whole request is answered");
    assert_eq!(statuses(&[GET, GET].concat()), [200, 200]);
    assert_eq!(statuses(&[GET, b"\r\n"].concat()), [200]);
    assert_eq!(statuses(&[GET, b"G"].concat()), [200, 400]);
    assert_eq!(statuses(&[POST, b"012345678"].concat()), [400]);
    assert_eq!(statuses(&[POST, b"0123456789"].concat()), [200]);
    assert_eq!(statuses(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na"), [400]);
    assert_eq!(statuses(b"GET / HTTP/9.9\r\n"), [505]);
}

#[test]
fn half_close_before_the_output_is_taken() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), GET);
    wire.end(at(0));
    assert_eq!((wire.conn.next(), wire.conn.wants_read()), (After::Close, false));
    assert!(!wire.conn.outgoing().is_empty(), "close comes after the output");
    wire.drain(at(0));
    assert_eq!((wire.statuses(), wire.conn.next(), wire.used()), (vec![200], After::Close, 0));
}

#[test]
fn half_close_while_requests_wait_for_room() {
    let mut wire = Wire::new(Limits { turn_bytes_max: 1024, ..SMALL });
    wire.feed(at(0), &BIG.repeat(5));
    wire.end(at(0));
    assert_eq!(wire.conn.next(), After::Open, "requests that arrived whole are answered");
    wire.drain(at(0));
    assert_eq!((wire.statuses(), wire.conn.next()), (vec![200; 5], After::Close));
}

#[test]
fn pipelined_requests_wait_for_room() {
    let limits = Limits { turn_bytes_max: 1024, ..SMALL };
    let mut wire = Wire::new(limits);
    wire.feed(at(0), &[&BIG.repeat(5), &b"GET /last HT"[..]].concat());
    assert_eq!((wire.handler.seen.len(), wire.conn.wants_read()), (1, false));
    assert!(wire.conn.outgoing().len() < 1024 + 300);
    assert_eq!(wire.deadline(), Some(30), "only the peer's reading is waited for");
    let over = wire.conn.outgoing().len() - 1024;
    assert!(!wire.send(at(1), over), "still no room");
    assert!(wire.send(at(1), 1), "room");
    wire.feed(at(1), b"");
    assert_eq!((wire.handler.seen.len(), wire.conn.wants_read()), (2, false));
    wire.drain(at(2));
    assert_eq!((wire.handler.seen.len(), wire.conn.wants_read()), (5, true));
    assert_eq!(wire.deadline(), Some(12), "the head in progress begins to count when it can be read");
    wire.feed(at(3), b"TP/1.1\r\nHost: a\r\n\r\n");
    wire.drain(at(3));
    assert_eq!(wire.statuses(), [200; 6]);
    assert_eq!((wire.handler.seen[5].target.as_str(), wire.used()), ("/last", 0));
}

#[test]
fn bytes_fed_while_requests_wait_keep_their_order() {
    let mut wire = Wire::new(Limits { turn_bytes_max: 1024, ..SMALL });
    wire.feed(at(0), &[BIG, b"GET /1 HTTP/1.1\r\nHo"].concat());
    assert!(!wire.conn.wants_read());
    wire.feed(at(0), b"st: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.drain(at(0));
    let targets: Vec<_> = wire.handler.seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/big", "/1", "/2"]);
}

#[test]
fn output_in_small_pieces() {
    let mut wire = Wire::new(Limits { turn_bytes_max: 1024, ..SMALL });
    wire.feed(at(0), &BIG.repeat(4));
    while !wire.conn.outgoing().is_empty() {
        if wire.send(at(0), wire.conn.outgoing().len().min(7)) {
            wire.feed(at(0), b"");
        }
    }
    assert_eq!((wire.statuses(), wire.used()), (vec![200; 4], 0));
}

#[test]
fn silence_after_the_accept() {
    let mut wire = Wire::new(SMALL);
    assert_eq!(wire.deadline(), Some(10));
    wire.expire(at(9));
    assert_eq!(wire.conn.next(), After::Open, "not before its time");
    wire.expire(at(10));
    assert_eq!((wire.conn.next(), wire.conn.outgoing()), (After::Close, &b""[..]), "nobody waits for a 408");
}

#[test]
fn a_slow_head() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(7), b"GET / HTTP/1.1\r\n");
    assert_eq!(wire.deadline(), Some(17), "counted from its first byte");
    wire.feed(at(12), b"Host: a\r\n");
    assert_eq!(wire.deadline(), Some(17), "and not from its last");
    wire.expire(at(17));
    wire.drain(at(17));
    assert_eq!((wire.statuses(), wire.deadline()), (vec![408], Some(19)));
    wire.feed(at(18), b"\r\n");
    wire.expire(at(19));
    assert_eq!((wire.conn.next(), wire.handler.heads, wire.used()), (After::Close, 0, 0));
}

#[test]
fn a_slow_body() {
    let mut wire = Wire::new(Limits { body_rate_min: 2, ..SMALL });
    wire.feed(at(5), POST);
    assert_eq!(wire.deadline(), Some(35));
    wire.feed(at(30), b"0123");
    assert_eq!(wire.deadline(), Some(37), "four bytes at two a second buy two seconds");
    wire.expire(at(36));
    assert_eq!(wire.conn.next(), After::Open);
    wire.expire(at(37));
    wire.drain(at(37));
    assert_eq!((wire.statuses(), wire.handler.seen.len(), wire.used()), (vec![408], 0, 0));
}

#[test]
fn a_body_rate_of_zero_divides_nothing() {
    let mut wire = Wire::new(Limits { body_rate_min: 0, ..SMALL });
    wire.feed(at(0), POST);
    wire.feed(at(5), b"0123");
    assert_eq!(wire.deadline(), Some(34));
}

#[test]
fn idle_between_requests() {
    let mut wire = Wire::new(SMALL);
    assert_eq!(wire.conn.idle_since(), Some(Duration::ZERO));
    wire.feed(at(3), GET);
    assert_eq!((wire.deadline(), wire.conn.idle_since()), (Some(33), None), "the output waits");
    wire.drain(at(8));
    assert_eq!((wire.deadline(), wire.conn.idle_since()), (Some(68), Some(Duration::from_secs(8))));
    wire.feed(at(9), b"\r\n");
    assert_eq!((wire.deadline(), wire.used()), (Some(68), 0), "an empty line is no request");
    wire.feed(at(10), b"G");
    assert_eq!((wire.deadline(), wire.conn.idle_since()), (Some(20), None));
    wire.feed(at(11), &GET[1..]);
    wire.drain(at(11));
    wire.expire(at(71));
    assert_eq!((wire.conn.next(), wire.conn.outgoing()), (After::Close, &b""[..]));
}

#[test]
fn a_peer_that_does_not_read() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), BIG);
    assert_eq!(wire.deadline(), Some(30));
    assert!(!wire.send(at(20), 100));
    assert_eq!(wire.deadline(), Some(50), "counted from the last progress");
    wire.feed(at(40), BIG);
    assert_eq!(wire.deadline(), Some(50), "more output is no progress");
    assert!(!wire.send(at(45), 0));
    wire.expire(at(50));
    assert_eq!((wire.conn.next(), wire.conn.outgoing(), wire.used()), (After::Close, &b""[..], 0));
}

#[test]
fn linger_is_bounded_in_bytes() {
    let mut wire = Wire::new(Limits { linger_bytes_max: 1000, ..SMALL });
    wire.feed(at(0), b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.drain(at(0));
    wire.feed(at(0), &[b'x'; 900]);
    assert_eq!((wire.conn.next(), wire.conn.wants_read()), (After::Open, true));
    wire.feed(at(0), &[b'x'; 101]);
    assert_eq!((wire.conn.next(), wire.conn.wants_read()), (After::Close, false));
}

#[test]
fn linger_ends_with_the_peer() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.conn.next(), After::HalfClose);
    wire.drain(at(0));
    assert_eq!((wire.conn.next(), wire.deadline()), (After::Open, Some(2)));
    wire.end(at(1));
    assert_eq!((wire.conn.next(), wire.deadline()), (After::Close, None));
}

#[test]
fn a_stream() {
    let mut wire = Wire::new(SMALL);
    assert_eq!(wire.conn.push(&mut wire.handler.common, |_| panic!("no stream yet")), None);
    wire.feed(at(0), STREAM);
    wire.drain(at(0));
    let response = responses(&wire.output, "GET").pop().unwrap();
    assert_eq!((response.status, response.text()), (200, ": first\n\n"));
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("x-stream"), Some("yes"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!((response.header("content-length"), response.header("keep-alive")), (None, None));
    assert!(wire.conn.is_stream());
    assert_eq!((wire.deadline(), wire.conn.idle_since(), wire.used()), (None, None, 0));

    let pushed = wire.push(at(100), |out| out.extend_from_slice(b"data: 1\n\n"));
    assert_eq!((pushed, wire.deadline()), (Some(()), Some(130)));
    wire.push(at(110), |out| out.extend_from_slice(b"data: 2\n\n"));
    assert_eq!(wire.deadline(), Some(130));
    wire.drain(at(111));
    assert!(wire.output.ends_with(b": first\n\ndata: 1\n\ndata: 2\n\n"));
    assert_eq!((wire.deadline(), wire.used()), (None, 0));
    wire.push(at(112), |_| {});
    assert_eq!((wire.deadline(), wire.used()), (None, 0), "writing nothing holds nothing");

    wire.push(at(113), |out| out.extend_from_slice(b"data: 3\n\n"));
    wire.conn.end_response(&mut wire.handler.common);
    assert_eq!((wire.conn.next(), wire.push(at(113), |_| {})), (After::HalfClose, None));
    wire.drain(at(113));
    assert!(wire.output.ends_with(b"data: 3\n\n"));
    assert_eq!(wire.deadline(), Some(115));
}

#[test]
fn a_stream_ends_with_the_input() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), STREAM);
    wire.end(at(0));
    assert_eq!((wire.conn.next(), wire.conn.outgoing(), wire.used()), (After::Close, &b""[..], 0));
}

#[test]
fn input_on_a_stream_is_dropped_and_bounded() {
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), &[STREAM, GET].concat());
    wire.drain(at(0));
    assert_eq!((wire.handler.seen.len(), wire.conn.wants_read()), (1, true));
    wire.feed(at(0), &[b'x'; 4096 - GET.len()]);
    assert_eq!((wire.conn.next(), wire.used()), (After::Open, 0));
    wire.feed(at(0), b"x");
    assert_eq!(wire.conn.next(), After::Close);
}

#[test]
fn a_stream_in_http_1_0() {
    let outcome = run_all_ways("stream", &SMALL, b"GET /stream HTTP/1.0\r\n\r\n", false);
    assert!(outcome.output.ends_with(b"Connection: close\r\n\r\n: first\n\n"));
    assert!(!outcome.ended);
}

#[test]
fn continue_is_sent_when_the_body_is_waited_for() {
    let head = b"POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), head);
    assert_eq!(wire.conn.outgoing(), b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.drain(at(0));
    wire.feed(at(0), b"ab");
    wire.output.clear();
    wire.drain(at(0));
    assert_eq!(wire.statuses(), [200]);

    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), &[&head[..], b"a"].concat());
    assert_eq!(wire.conn.outgoing(), b"", "the body comes without being asked for");
}

#[test]
fn the_global_budget_bounds_bodies_and_heads() {
    let limits =
        Limits { buffered_bytes_max: 40_000, body_bytes_max: 30_000, head_bytes_max: 10_000, ..SMALL };
    let mut handler = Recorder::new(limits);
    let mut conns: Vec<Conn> = (0..8).map(|_| Conn::new(at(0))).collect();
    for conn in &mut conns {
        handler.turn(conn, at(0), b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    }
    let mut outputs = vec![Vec::new(); conns.len()];
    for _ in 0..30 {
        for (conn, output) in conns.iter_mut().zip(&mut outputs) {
            handler.turn(conn, at(0), &[b'x'; 1000]);
            assert!(handler.common.pool.used() <= 40_000 + 4096, "{}", handler.common.pool.used());
            drain(conn, at(0), &mut handler, output);
        }
    }
    for conn in &mut conns {
        conn.release(&mut handler.common);
    }
    assert_eq!(handler.common.pool.used(), 0);
    let answers: Vec<_> = outputs.iter().filter_map(|output| responses(output, "GET").pop()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.iter().all(|answer| answer.header("retry-after") == Some("1")));
    assert_eq!((answers.len(), handler.seen.len()), (8, 8 - refused.len()));
    assert!((1..8).contains(&refused.len()), "{}", refused.len());
}

#[test]
fn a_body_of_known_length_is_charged_once() {
    let mut wire = Wire::new(Limits::DEFAULT);
    wire.feed(at(0), b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    for _ in 0..79 {
        wire.feed(at(0), &[b'x'; 50_000]);
    }
    assert!(wire.used() <= 4_000_100, "{}", wire.used());
    wire.feed(at(0), &[b'x'; 50_000]);
    assert_eq!(wire.handler.seen[0].body.len(), 4_000_000);
    wire.drain(at(0));
    assert_eq!(wire.used(), 0);
}

#[test]
fn an_orderly_end() {
    let mut wire = Wire::new(SMALL);
    wire.conn.finish(CloseReason::Shutdown, &mut wire.handler.common);
    assert_eq!(wire.conn.next(), After::Close, "nothing was said yet");
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), &[GET, b"GET /half"].concat());
    wire.conn.finish(CloseReason::Shutdown, &mut wire.handler.common);
    assert_eq!(wire.conn.next(), After::HalfClose);
    wire.drain(at(0));
    assert_eq!((wire.statuses(), wire.used()), (vec![200], 0));
    wire.conn.abort(CloseReason::Broken, &mut wire.handler.common);
    assert_eq!(wire.conn.next(), After::Close);
}

#[test]
fn the_date_follows_the_clock() {
    let mut wire = Wire::new(SMALL);
    for seconds in [0, 0, 1, 59] {
        wire.feed(at(seconds), b"GET /accepted HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.feed(at(seconds), GET);
        wire.drain(at(seconds));
    }
    let dates: Vec<_> =
        responses(&wire.output, "GET").iter().map(|r| r.header("date").unwrap()[17..25].to_owned()).collect();
    let expected =
        ["08:00:00", "08:00:00", "08:00:00", "08:00:00", "08:00:01", "08:00:01", "08:00:59", "08:00:59"];
    assert_eq!(dates, expected);
}

#[test]
fn the_default_limits_are_exact() {
    let limits = Limits::DEFAULT;
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
    let head = |len: usize| {
        let shortest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(len - shortest))
    };
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let body = |len: usize| {
        let head = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        head + &"z".repeat(len)
    };
    let chunk = |len: usize| {
        let head = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{len:x}\r\n{}\r\n0\r\n\r\n", "z".repeat(len))
    };
    for (input, expected) in [
        (target(8192), 200),
        (target(8193), 414),
        (head(16384), 200),
        (head(16385), 431),
        (fields(100), 200),
        (fields(101), 431),
        (body(4 << 20), 200),
        (body((4 << 20) + 1), 413),
        (chunk(4 << 20), 200),
        (chunk((4 << 20) + 1), 413),
    ] {
        for size in [65_536, 1000, 1] {
            if size == 1 && input.len() > 100_000 {
                continue;
            }
            let outcome = run(&limits, input.as_bytes().chunks(size), false);
            // The echo of the largest body is longer than the client's reader takes with its head.
            let status = outcome.output.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned());
            assert_eq!(status, Some(expected.to_string()), "{} bytes in pieces of {size}", input.len());
            assert_eq!(outcome.seen.len(), usize::from(expected == 200));
        }
    }
}

/// `linger_bytes_max` at the limit and one past it.
#[test]
fn a_long_body_of_a_client_that_is_not_admitted_is_not_read() {
    let limits = Limits { linger_bytes_max: 10, ..SMALL };
    let away = |framing: &str, body: &str| {
        let input = format!("POST /away HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}");
        let outcome = run_all_ways("away", &limits, input.as_bytes(), false);
        let all = responses(&outcome.output, "POST");
        assert_eq!(all.len(), 1);
        (all[0].status, all[0].header("Connection").unwrap().to_owned(), outcome.ended)
    };
    assert_eq!(away("Content-Length: 10", "0123456789"), (401, "keep-alive".to_owned(), false));
    let gone = (401, "close".to_owned(), true);
    assert_eq!(away("Content-Length: 11", "0123456789"), gone);
    assert_eq!(away("Content-Length: 11", ""), gone, "the body is not waited for");
    assert_eq!(away("Transfer-Encoding: chunked", ""), gone);
    assert_eq!(away("Content-Length: 10\r\nExpect: 100-continue", ""), gone);
    let whole = run_all_ways(
        "away, then another",
        &limits,
        &[b"GET /away HTTP/1.1\r\nHost: a\r\n\r\n", GET].concat(),
        true,
    );
    assert_eq!(responses(&whole.output, "GET").iter().map(|r| r.status).collect::<Vec<_>>(), [401, 200]);
}

#[test]
fn extra_fields_are_on_every_response_to_that_request_and_no_other() {
    let extras = |request: &str| {
        let marked = request.replacen("Host: a\r\n", "Host: a\r\nX-Extra: yes\r\n", 1);
        let input = [GET, marked.as_bytes(), GET].concat();
        let outcome = run_all_ways(request, &SMALL, &input, true);
        let all = responses(&outcome.output, "GET");
        all.iter().map(|response| response.header("X-Extra").is_some()).collect::<Vec<_>>()
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["/", "/refuse", "/away", "/silent", "/accepted"] {
        assert_eq!(extras(&get(path)), [false, true, false], "{path}");
    }
    for path in ["/close", "/stream"] {
        assert_eq!(extras(&get(path)), [false, true], "{path}");
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(extras(&format!("{chunked}ff\r\n")), [false, true], "413");
    assert_eq!(extras("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n"), [false, true], "413");
    assert_eq!(extras(&format!("{chunked}x\r\n")), [false, true], "400");
}

#[test]
fn extra_fields_are_on_responses_that_come_later() {
    let wait = b"GET /wait HTTP/1.1\r\nHost: a\r\nX-Extra: yes\r\n\r\n";
    let mut wire = Wire::new(SMALL);
    wire.feed(at(0), wait);
    wire.handler.common.set_now(at(1));
    wire.conn.respond(&mcp_rill::http::response::Response::new(200), &mut wire.handler.common);
    wire.drain(at(1));
    wire.feed(at(2), wait);
    wire.handler.common.set_now(at(3));
    wire.conn.begin_chunks("text/plain", &[], &mut wire.handler.common);
    wire.conn.end_response(&mut wire.handler.common);
    wire.drain(at(3));
    wire.feed(at(4), GET);
    wire.drain(at(4));
    wire.feed(at(5), b"POST / HTTP/1.1\r\nHost: a\r\nX-Extra: yes\r\nContent-Length: 5\r\n\r\n");
    wire.expire(at(100));
    wire.drain(at(100));
    let all = responses(&wire.output, "GET");
    let seen: Vec<_> = all.iter().map(|r| (r.status, r.header("X-Extra").is_some())).collect();
    assert_eq!(seen, [(200, true), (200, true), (200, false), (408, true)]);
}
