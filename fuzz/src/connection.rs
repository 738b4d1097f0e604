//! One HTTP connection: a hyphen or an `h` (the peer half-closes at the end), a byte that chooses how the rest is cut
//! and how fast the peer reads, and the bytes that it sends.

use std::time::Duration;

use mcp_rill::http::conn::{After, Body, CloseReason, Conn, Kept, Step};
use mcp_rill::http::head::{Fields, Head};
use mcp_rill::http::response::{Common, OwnedResponse, Response};
use mcp_rill::{Limits, Now};

use super::client;
use super::common::http;
use super::cut::Dice;
use super::head::SMALL;
use super::naive::{self, NaiveChunked, NaiveFraming};

const LIMITS: Limits = Limits { turn_bytes_max: 1024, linger_bytes_max: 1 << 20, ..SMALL };
const NOW: Now = Now { mono: Duration::from_secs(9), unix: Duration::from_secs(1_800_000_000) };
/// The longest response of [`Recorder`], its head included.
const RESPONSE_BYTES_MAX: usize = 1000;

pub fn check(data: &[u8]) {
    let [half_close, way, bytes @ ..] = data else { return };
    let half_close = *half_close == b'h';
    let mut dice = Dice::new(u64::from(*way));
    let whole = run(&dice.pieces(bytes, 2 * LIMITS.turn_bytes_max), half_close, usize::MAX);
    let most = [2, 7, 40, 300][usize::from(way % 4)];
    let slow = [1, 13, 100, 1500][usize::from(way / 4 % 4)];
    for (pieces, taken) in [
        (bytes.chunks(1).collect(), usize::MAX),
        (before_posts(bytes), usize::MAX),
        (dice.pieces(bytes, most), usize::MAX),
        (dice.pieces(bytes, most), slow),
        (dice.pieces(bytes, 1 << 20), slow),
    ] {
        assert_eq!(run(&pieces, half_close, taken), whole, "cut differently, {taken} bytes taken at a time");
    }
    compare(bytes, &whole);
    if half_close {
        assert!(whole.ended, "open after the end of the input");
    }
}

/// Pieces that begin where a request may, as a client sends them: a head is read by the one before it, if it is the same.
fn before_posts(bytes: &[u8]) -> Vec<&[u8]> {
    let starts = (1..bytes.len()).filter(|at| bytes[*at..].starts_with(b"POST "));
    let ends: Vec<usize> = starts.chain([bytes.len()]).collect();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| &bytes[start..*end]).collect()
}

/// Everything that can be seen of a connection from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// Method, target and body of what reached the handler.
    requests: Vec<(String, String, Vec<u8>)>,
    /// The methods of all lawful heads, and whether the request was refused for what its head says.
    heads: Vec<(String, bool)>,
    output: Vec<u8>,
    ended: bool,
}

struct Recorder {
    common: Common,
    outcome: Outcome,
}

impl Recorder {
    /// One turn of the connection.
    fn turn(&mut self, conn: &mut Conn, bytes: &[u8]) {
        let mut kept = Kept::default();
        let mut input = conn.begin(bytes, &mut kept, &mut self.common);
        loop {
            let mut fields = Fields::new();
            match conn.step(&mut input, &mut fields, &mut self.common) {
                Step::Head(head) => {
                    let refuses = head.path == "/refuse";
                    self.outcome.heads.push((head.method.to_owned(), refuses));
                    if refuses {
                        let answer = OwnedResponse::text(404, "refused");
                        conn.refuse_head(&head, &mut input, &answer, false, &mut self.common);
                        continue;
                    }
                    match conn.read_body(&head, &mut input, &mut self.common) {
                        Body::Whole(body) => self.answer(conn, &head, body),
                        Body::Awaited | Body::Refused(_) => {}
                        Body::TooLong(_) => {
                            let answer = OwnedResponse::text(413, "the body is too long");
                            conn.refuse_head(&head, &mut input, &answer, false, &mut self.common);
                        }
                    }
                }
                Step::Request(request) => {
                    let mut fields = Fields::new();
                    let (head, body) = request.read(&mut fields, &LIMITS).unwrap();
                    self.answer(conn, &head, body);
                    request.release(&mut self.common);
                }
                Step::Refused(_) => {}
                Step::More => break,
            }
        }
        conn.end(input.used(), bytes, kept, &mut self.common);
    }

    fn answer(&mut self, conn: &mut Conn, head: &Head<'_>, body: &[u8]) {
        assert_ne!(head.path, "/refuse", "a refused request reached the handler");
        assert_eq!(
            self.outcome.heads.last(),
            Some(&(head.method.to_owned(), false)),
            "a request without its head"
        );
        self.outcome.requests.push((head.method.to_owned(), head.target.to_owned(), body.to_vec()));
        let common = &mut self.common;
        match head.path {
            "/silent" => conn.fail_unanswered(head, common),
            "/accepted" => conn.accept(common),
            "/close" => {
                conn.close_after_response(CloseReason::Refused);
                conn.respond(&Response::text(200, "bye"), common);
            }
            "/stream" => {
                conn.open_stream("text/event-stream", &[], common, |out| out.extend(b": first\n\n"));
            }
            "/big" => conn.respond(&Response { body: &[b'x'; 600], ..Response::new(200) }, common),
            _ => conn.respond(&Response { body, ..Response::new(200) }, common),
        }
    }
}

struct Peer {
    conn: Conn,
    recorder: Recorder,
    steps: usize,
}

impl Peer {
    /// Takes up to `most` bytes of output, as one write does.
    fn take(&mut self, most: usize) {
        let Peer { conn, recorder, .. } = self;
        let count = conn.outgoing().len().min(most);
        recorder.outcome.output.extend_from_slice(&conn.outgoing()[..count]);
        if conn.sent(count, &mut recorder.common) {
            recorder.turn(conn, b"");
        }
        self.check_memory();
        self.steps += 1;
        self.recorder.outcome.ended |= self.conn.next() != After::Open;
        if self.conn.outgoing().is_empty() && self.conn.next() == After::HalfClose {
            self.conn.half_closed(&mut self.recorder.common);
            assert_ne!(self.conn.next(), After::HalfClose);
        }
    }

    /// Half a request may be held, in a vector that has doubled; output may be one response over a turn's worth; and
    /// memory from the pool comes in blocks of what was held before.
    fn check_memory(&self) {
        let input = LIMITS.head_bytes_max + LIMITS.body_bytes_max + 2 * LIMITS.turn_bytes_max;
        let output = LIMITS.turn_bytes_max + RESPONSE_BYTES_MAX;
        let used = self.recorder.common.pool.used();
        assert!(used <= 2 * 2 * input.max(output), "{used} bytes are held");
        assert!(self.conn.outgoing().len() <= output, "{} bytes of output", self.conn.outgoing().len());
    }
}

fn run(pieces: &[&[u8]], half_close: bool, most: usize) -> Outcome {
    let outcome = Outcome { requests: vec![], heads: vec![], output: vec![], ended: false };
    let recorder = Recorder { common: Common::new(LIMITS), outcome };
    let mut peer = Peer { conn: Conn::new(NOW), recorder, steps: 0 };
    for piece in pieces.iter().flat_map(|piece| piece.chunks(LIMITS.turn_bytes_max)) {
        while !peer.conn.wants_read() && peer.conn.next() != After::Close {
            peer.take(most);
        }
        peer.recorder.turn(&mut peer.conn, piece);
        peer.check_memory();
        peer.take(most);
    }
    while !peer.conn.outgoing().is_empty() {
        peer.take(most);
    }
    if half_close {
        peer.conn.end_input(&mut peer.recorder.common);
        peer.recorder.turn(&mut peer.conn, b"");
        while !peer.conn.outgoing().is_empty() {
            peer.take(most);
        }
        assert_eq!(peer.conn.next(), After::Close, "after the end of the input");
        peer.recorder.outcome.ended = true;
    }
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    let output = peer.recorder.outcome.output.len();
    assert!(peer.steps <= 2 * (bytes + output) + 8, "{} steps for {bytes} bytes", peer.steps);
    if peer.conn.idle_since().is_some() || peer.conn.next() == After::Close {
        assert_eq!(peer.recorder.common.pool.used(), 0, "memory is held without a reason");
    }
    peer.conn.release(&mut peer.recorder.common);
    assert_eq!(peer.recorder.common.pool.used(), 0, "memory is lost");
    let mut outcome = peer.recorder.outcome;
    outcome.output = http::without_continue(&outcome.output);
    outcome
}

/// What reached the handler is what the naive reader finds, and each head has at most one response.
fn compare(bytes: &[u8], outcome: &Outcome) {
    let (mut rest, mut heads) = (bytes, outcome.heads.iter());
    let mut requests = outcome.requests.iter();
    while let Some((method, refused)) = heads.next() {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of a head") + 4;
        let (head, after) = rest.split_at(end);
        let head = naive::head(head).expect("RFC 9112 does not allow this head");
        assert_eq!(head.method, method.as_bytes());
        let (body, used) = match head.framing().expect("an ambiguous framing") {
            NaiveFraming::None => (Some(vec![]), 0),
            NaiveFraming::Length(length) => {
                (after.get(..length as usize).map(<[u8]>::to_vec), length as usize)
            }
            NaiveFraming::Chunked => match naive::chunked(after) {
                NaiveChunked::Whole(body) => (Some(body.content), body.used),
                NaiveChunked::Cut | NaiveChunked::Broken => (None, 0),
            },
        };
        let Some(body) = body else {
            assert!(heads.next().is_none(), "a head after a body that is not whole");
            break;
        };
        if !refused && let Some(request) = requests.next() {
            assert_eq!((request.1.as_bytes(), &request.2), (head.target, &body));
        }
        rest = after.get(used..).unwrap_or_default();
    }
    assert!(requests.next().is_none(), "a request that the naive reader does not see");
    check_responses(outcome);
}

fn check_responses(outcome: &Outcome) {
    let (mut rest, mut count, mut closed) = (&outcome.output[..], 0, false);
    while !rest.is_empty() {
        assert!(!closed, "output after the last response");
        let method = outcome.heads.get(count).map_or("GET", |head| head.0.as_str());
        // Of a refused head the method is not known here: with HEAD the response ends with its own head.
        let found = client::response(rest, method).or_else(|| client::response(rest, "HEAD"));
        let (response, used) = found.expect("a whole response");
        let response_to_stream =
            response.is_stream || response.header("content-type") == Some("text/event-stream");
        closed = !response.keeps_alive() || response_to_stream;
        count += 1;
        rest = if response.is_stream { &[] } else { &rest[used..] };
    }
    let (heads, requests) = (outcome.heads.len(), outcome.requests.len());
    assert!(count >= requests && count <= heads + 1, "{count} responses to {heads} heads");
    assert!(
        !closed || outcome.ended || outcome.output.windows(8).any(|part| part == b": first\n"),
        "{outcome:?}"
    );
}
