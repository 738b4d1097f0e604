//! Requests made up from a seed: lawful ones are read as they were written, and mutilated ones come to the same end
//! however they are cut.

use std::time::Duration;

use mcp_rill::http::conn::{After, CloseReason, Conn};
use mcp_rill::{Limits, Now};

use crate::harness::{Recorder, SMALL, Seen, at, responses, run};
use mcp_rill::testing::Random;

/// Requests and their parts.
trait Draw {
    fn word(&mut self, letters: &[u8], len: usize) -> String;
    fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]>;
}

impl Draw for Random {
    fn word(&mut self, letters: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(letters[self.below(letters.len())])).collect()
    }

    fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let most = [1, 3, 20, 200][self.below(4)];
        self.pieces(bytes, most)
    }
}

const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PATH: &[u8] = b"/%25-._~!$&'()*+,;=:@abcxyz0129";

/// A lawful request and what it should be read as.
fn request(dice: &mut Random) -> (Vec<u8>, Seen) {
    let method = dice.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let length = dice.below(30);
    let target = format!("/{}{}", dice.word(PATH, length), dice.pick(&["", "?", "?a=b", "?/?"]));
    let mut headers: Vec<(String, Vec<u8>)> =
        vec![("hOsT".into(), dice.pick(&["a", "b:1", "[::1]:2"]).into())];
    for _ in 0..dice.below(5) {
        let length = 1 + dice.below(8);
        // The prefix keeps it from naming a field that means something.
        let name = format!("x{}", dice.word(TOKEN, length));
        let length = dice.below(10);
        let value = (0..length).map(|_| 0x80 | dice.below(0x80) as u8).collect();
        headers.insert(dice.below(headers.len() + 1), (name, value));
    }
    let body: Vec<u8> = (0..dice.below(65)).map(|_| dice.below(256) as u8).collect();
    let body = if method == "GET" || method == "HEAD" { Vec::new() } else { body };
    let mut framed = Vec::new();
    if method == "GET" || method == "HEAD" {
    } else if dice.below(2) == 0 {
        headers.push(("Content-length".into(), body.len().to_string().into()));
        framed.extend_from_slice(&body);
    } else {
        headers.push(("TRANSFER-ENCODING".into(), "chunked".into()));
        framed = chunks(dice, &body);
    }
    let mut bytes = format!("{}{method} {target} HTTP/1.1\r\n", dice.pick(&["", "\r\n"])).into_bytes();
    for (name, value) in &headers {
        let (before, after) = (dice.pick(&["", " ", "\t "]), dice.pick(&["", " ", " \t"]));
        bytes.extend_from_slice(format!("{name}:{before}").as_bytes());
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(format!("{after}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&framed);
    (bytes, Seen { method: method.into(), target, headers, body })
}

fn chunks(dice: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in dice.cut(body) {
        let size = match dice.below(3) {
            0 => format!("{:x}", chunk.len()),
            1 => format!("{:X}", chunk.len()),
            _ => format!("{:04x}", chunk.len()),
        };
        bytes.extend_from_slice(format!("{size}\r\n").as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    let end = dice.pick(&["0", "000", "0;a", "0 ; a=\"b\""]);
    let trailers = dice.pick(&["", "A: b\r\n", "A:\r\nB: c d\r\n"]);
    bytes.extend_from_slice(format!("{end}\r\n{trailers}\r\n").as_bytes());
    bytes
}

#[test]
fn lawful_requests_are_read_as_written() {
    for seed in 1..=1500 {
        let mut dice = Random::new(seed);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(4) {
            let (request, seen) = request(&mut dice);
            bytes.extend_from_slice(&request);
            expected.push(seen);
        }
        let outcome = run(&SMALL, dice.cut(&bytes), false);
        assert_eq!(outcome.seen, expected, "seed {seed}: {}", String::from_utf8_lossy(&bytes));
        assert!(!outcome.ended, "seed {seed}");
    }
}

#[test]
fn mutilated_requests_end_the_same_however_they_are_cut() {
    const RUBBISH: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"\x7f",
        b"\xff",
        b"0",
        b"ffffffffffffffff",
        b"HTTP/1.0",
        b"\r\n ",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: a\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"/stream",
        b"/refuse",
        b"GET ",
        b"0\r\n\r\n",
    ];
    let (mut refused, mut accepted) = (0, 0);
    for seed in 1..=4000 {
        let mut dice = Random::new(seed);
        let mut bytes = request(&mut dice).0;
        bytes.extend_from_slice(&request(&mut dice).0);
        for _ in 0..dice.below(3) {
            let at = dice.below(bytes.len());
            let until = (at + dice.below(4)).min(bytes.len());
            bytes.splice(at..until, dice.pick(RUBBISH).iter().copied());
        }
        let eof = dice.below(2) == 0;
        let whole = run(&SMALL, [&bytes[..]], eof);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(run(&SMALL, bytes.chunks(1), eof), whole, "seed {seed}: {shown}");
        assert_eq!(run(&SMALL, dice.cut(&bytes), eof), whole, "seed {seed}: {shown}");
        match whole.seen.len() {
            0 | 1 => refused += 1,
            _ => accepted += 1,
        }
        if shown.contains("HEAD") || shown.contains("/stream") {
            continue;
        }
        if let Some(last) = responses(&whole.output, "GET").last().filter(|last| last.status >= 400) {
            assert!(last.text().is_ascii() && last.text().len() < 400, "seed {seed}: {}", last.text());
        }
    }
    assert!(
        refused > 500 && accepted > 500,
        "the rubbish is well measured: {refused} refused, {accepted} not"
    );
}

/// Everything a driver may do, in any order: no panic, nothing lost, nothing held for ever.
#[test]
fn any_order_of_events_is_survived() {
    let limits = Limits { turn_bytes_max: 600, linger_bytes_max: 300, ..SMALL };
    let (mut closed, mut answered) = (0, 0);
    for seed in 1..=3000 {
        let mut dice = Random::new(seed);
        let mut handler = Recorder::new(limits.clone());
        let (mut conn, mut now) = (Conn::new(at(0)), at(0));
        let mut input: Vec<u8> = Vec::new();
        for _ in 0..300 {
            if input.is_empty() {
                input = match dice.below(8) {
                    0 => b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                    1 => b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3),
                    _ => request(&mut dice).0,
                };
            }
            step(&mut dice, &mut conn, &mut now, &mut handler, &mut input);
            let deadline = conn.deadline(&limits);
            let held = limits.turn_bytes_max + 1000 + 300 + limits.head_bytes_max + 64 + 600;
            assert!(
                conn.is_stream() || handler.common.pool.used() <= 2 * held.next_power_of_two(),
                "seed {seed}"
            );
            if conn.next() == After::Close && conn.outgoing().is_empty() {
                assert_eq!(
                    (deadline, conn.wants_read(), handler.common.pool.used()),
                    (None, false, 0),
                    "seed {seed}"
                );
                closed += 1;
                break;
            }
            let waits = deadline.is_some() || conn.is_stream() || conn.next() == After::HalfClose;
            assert!(waits, "seed {seed}: nothing would ever end this connection");
        }
        answered += handler.seen.len();
        conn.release(&mut handler.common);
        assert_eq!(handler.common.pool.used(), 0, "seed {seed}");
    }
    assert!(closed > 2000 && answered > 3000, "{closed} closed, {answered} answered");
}

fn step(dice: &mut Random, conn: &mut Conn, now: &mut Now, handler: &mut Recorder, input: &mut Vec<u8>) {
    match dice.below(60) {
        0..30 if conn.wants_read() => {
            let count = (1 + dice.below(80)).min(input.len());
            let bytes: Vec<u8> = input.drain(..count).collect();
            handler.turn(conn, *now, &bytes);
        }
        30..50 if !conn.outgoing().is_empty() => {
            let count = dice.below(conn.outgoing().len() + 1);
            handler.common.set_now(*now);
            if conn.sent(count, &mut handler.common) {
                handler.turn(conn, *now, b"");
            }
        }
        30..50 if conn.next() == After::HalfClose => {
            handler.common.set_now(*now);
            conn.half_closed(&mut handler.common);
        }
        50..54 => {
            let passed = Duration::from_millis(dice.below(9000) as u64);
            now.mono += passed;
            now.unix += passed;
            handler.common.set_now(*now);
            conn.expire(&mut handler.common);
            assert!(
                conn.deadline(&handler.common.limits).is_none_or(|deadline| deadline > now.mono),
                "spins"
            );
        }
        54..57 => {
            conn.push(&mut handler.common, |out| out.extend_from_slice(b": \n\n"));
        }
        57 if dice.below(20) == 0 => handler.end_of_input(conn, *now),
        58 if dice.below(20) == 0 => conn.end_response(&mut handler.common),
        59 if dice.below(40) == 0 => conn.finish(CloseReason::Shutdown, &mut handler.common),
        _ => {}
    }
}
