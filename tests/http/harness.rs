//! A handler that records, and a driver without a socket.

use std::time::Duration;

use mcp_rill::http::Refusal;
use mcp_rill::http::conn::{After, Body, CloseReason, Conn, Kept, Step};
use mcp_rill::http::head::{Fields, Head};
use mcp_rill::http::response::{Common, CommonFields, OwnedResponse, Response};
use mcp_rill::{Limits, Now};

use crate::client::{self, Response as Received};

/// Bounds small enough to try every split of an input that reaches them.
pub(crate) const SMALL: Limits = Limits {
    target_bytes_max: 100,
    head_bytes_max: 300,
    headers_max: 8,
    body_bytes_max: 64,
    chunk_extension_bytes_max: 16,
    trailer_bytes_max: 32,
    ..Limits::DEFAULT
};

pub(crate) fn at(seconds: u64) -> Now {
    Now { mono: Duration::from_secs(seconds), unix: Duration::from_secs(1_800_000_000 + seconds) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// What it does is told by the path: `/refuse`, `/away`, `/silent`, `/accepted`, `/close`, `/stream`, `/wait`; any other is
/// echoed. Responses to a request with `X-Extra` get that field back.
pub(crate) struct Recorder {
    pub(crate) common: Common,
    pub(crate) heads: usize,
    pub(crate) seen: Vec<Seen>,
}

impl Recorder {
    pub(crate) fn new(limits: Limits) -> Recorder {
        Recorder { common: Common::new(limits), heads: 0, seen: Vec::new() }
    }
}

impl Recorder {
    /// One turn of the connection; returns the refusals that it sent by itself.
    pub(crate) fn turn(&mut self, conn: &mut Conn, now: Now, bytes: &[u8]) -> Vec<Refusal> {
        self.common.set_now(now);
        let (mut kept, mut refused) = (Kept::default(), Vec::new());
        let mut input = conn.begin(bytes, &mut kept, &mut self.common);
        loop {
            let mut fields = Fields::new();
            match conn.step(&mut input, &mut fields, &mut self.common) {
                Step::Head(head) => {
                    self.heads += 1;
                    let extra = head.header_str("x-extra");
                    conn.set_common_fields(
                        extra.map(|value| Box::new(CommonFields::new(&[("X-Extra", value)]))),
                    );
                    let refusal = match head.path {
                        "/refuse" => Some((OwnedResponse::text(404, "refused"), false)),
                        "/away" => Some((OwnedResponse::text(401, "who are you?"), true)),
                        _ => None,
                    };
                    if let Some((answer, unread)) = refusal {
                        conn.refuse_head(&head, &mut input, &answer, unread, &mut self.common);
                        continue;
                    }
                    match conn.read_body(&head, &mut input, &mut self.common) {
                        Body::Whole(body) => self.answer(conn, &head, body),
                        Body::Awaited => {}
                        Body::TooLong(length) => {
                            let max = self.common.limits.body_bytes_max;
                            let text = format!(
                                "the body of {length} bytes is longer than {max}; send less, or raise body_bytes_max"
                            );
                            let answer = OwnedResponse::text(413, text);
                            conn.refuse_head(&head, &mut input, &answer, false, &mut self.common);
                        }
                        Body::Refused(refusal) => refused.push(refusal),
                    }
                }
                Step::Request(request) => {
                    let mut fields = Fields::new();
                    let limits = self.common.limits.clone();
                    let (head, body) = request.read(&mut fields, &limits).unwrap();
                    self.answer(conn, &head, body);
                    request.release(&mut self.common);
                }
                Step::Refused(refusal) => refused.push(refusal),
                Step::More => break,
            }
        }
        refused.extend(conn.end(input.used(), bytes, kept, &mut self.common));
        refused
    }

    pub(crate) fn end_of_input(&mut self, conn: &mut Conn, now: Now) {
        self.common.set_now(now);
        conn.end_input(&mut self.common);
        self.turn(conn, now, b"");
    }

    fn answer(&mut self, conn: &mut Conn, head: &Head<'_>, body: &[u8]) {
        assert!(!["/refuse", "/away"].contains(&head.path), "a refused request reached the handler");
        self.seen.push(Seen {
            method: head.method.to_owned(),
            target: head.target.to_owned(),
            headers: head.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            body: body.to_vec(),
        });
        let common = &mut self.common;
        match head.path {
            "/accepted" => conn.accept(common),
            "/silent" => conn.fail_unanswered(head, common),
            "/wait" => {}
            "/close" => {
                conn.close_after_response(CloseReason::Refused);
                conn.respond(&Response::text(200, "bye"), common);
            }
            "/stream" => {
                let first = |out: &mut Vec<u8>| out.extend_from_slice(b": first\n\n");
                conn.open_stream("text/event-stream", &[("X-Stream", "yes")], common, first);
            }
            "/big" => conn.respond(&Response { body: &[b'x'; 1000], ..Response::new(200) }, common),
            _ => conn.respond(&Response { body, ..Response::new(200) }, common),
        }
    }
}

/// Everything that can be seen of a connection from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
    pub(crate) heads: usize,
    pub(crate) output: Vec<u8>,
    /// Half-closed or closed by the server.
    pub(crate) ended: bool,
}

/// Takes all output, as a driver with a fast peer would.
pub(crate) fn drain(conn: &mut Conn, now: Now, handler: &mut Recorder, output: &mut Vec<u8>) {
    while !conn.outgoing().is_empty() {
        output.extend_from_slice(conn.outgoing());
        handler.common.set_now(now);
        if conn.sent(conn.outgoing().len(), &mut handler.common) {
            handler.turn(conn, now, b"");
        }
    }
    if conn.next() == After::HalfClose {
        conn.half_closed(&mut handler.common);
        assert_ne!(conn.next(), After::HalfClose);
    }
}

/// Feeds the pieces to a new connection, then, if `eof`, the end of the input.
pub(crate) fn run<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>, eof: bool) -> Outcome {
    let mut handler = Recorder::new(limits.clone());
    let (mut conn, now, mut output) = (Conn::new(at(0)), at(0), Vec::new());
    let mut ended = false;
    for piece in pieces {
        handler.turn(&mut conn, now, piece);
        ended |= conn.next() != After::Open;
        drain(&mut conn, now, &mut handler, &mut output);
        ended |= conn.next() != After::Open;
    }
    if eof {
        handler.end_of_input(&mut conn, now);
        drain(&mut conn, now, &mut handler, &mut output);
        assert_eq!(conn.next(), After::Close, "after the end of the input");
        ended = true;
    }
    if conn.idle_since().is_some() || conn.next() == After::Close {
        assert_eq!(handler.common.pool.used(), 0, "memory is held without a reason");
    }
    conn.release(&mut handler.common);
    assert_eq!(handler.common.pool.used(), 0, "memory is lost");
    Outcome { seen: handler.seen, heads: handler.heads, output: client::without_continue(&output), ended }
}

/// Runs the input whole, byte by byte, and cut in two at every place; all must come to the same.
pub(crate) fn run_all_ways(name: &str, limits: &Limits, input: &[u8], eof: bool) -> Outcome {
    let whole = run(limits, [input], eof);
    assert_eq!(run(limits, input.chunks(1), eof), whole, "{name}: byte by byte");
    for at in 1..input.len() {
        let (left, right) = input.split_at(at);
        let cut = run(limits, [left, right], eof);
        assert_eq!(cut, whole, "{name}: cut at {at}");
    }
    whole
}

/// The responses that the output consists of, to requests of that method; the last one may be a stream.
pub(crate) fn responses(mut output: &[u8], method: &str) -> Vec<Received> {
    let mut all = Vec::new();
    while !output.is_empty() {
        let (response, used) = client::response(output, method).expect("a whole response head");
        assert!(response.is_whole, "the response is cut");
        all.push(response);
        output = &output[used..];
    }
    all
}
