//! What mcp-rill finds in the bytes of HTTP/1 connections: `verdicts < INPUTS`.
//!
//! Each line of the input is the bytes of one connection in hexadecimal. Each line of the output is
//! `{"requests": [["method", "target", "body in hexadecimal"]], "status": 400}`: the requests that would be answered, and
//! the status of the refusal after them, or null.

use std::io::{self, BufRead, Write};

use mcp_rill::http::conn::{Body, Conn, Kept, Step};
use mcp_rill::http::head::{Fields, Head};
use mcp_rill::http::response::{Common, OwnedResponse, Response};
use mcp_rill::{Limits, Now};

struct Recorder {
    common: Common,
    requests: Vec<String>,
}

impl Recorder {
    /// One turn of the connection.
    fn turn(&mut self, conn: &mut Conn, bytes: &[u8]) {
        let mut kept = Kept::default();
        let mut input = conn.begin(bytes, &mut kept, &mut self.common);
        loop {
            let mut fields = Fields::new();
            match conn.step(&mut input, &mut fields, &mut self.common) {
                Step::Head(head) => match conn.read_body(&head, &mut input, &mut self.common) {
                    Body::Whole(body) => self.answer(conn, &head, body),
                    Body::Awaited | Body::Refused(_) => {}
                    Body::TooLong(_) => {
                        let answer = OwnedResponse::text(413, "the body is too long");
                        conn.refuse_head(&head, &mut input, &answer, false, &mut self.common);
                    }
                },
                Step::Request(request) => {
                    let mut fields = Fields::new();
                    let limits = self.common.limits.clone();
                    if let Ok((head, body)) = request.read(&mut fields, &limits) {
                        self.answer(conn, &head, body);
                    }
                    request.release(&mut self.common);
                }
                Step::Refused(_) => {}
                Step::More => break,
            }
        }
        conn.end(input.used(), bytes, kept, &mut self.common);
    }

    /// A method is a token and a target visible ASCII, so two bytes of all need an escape.
    fn answer(&mut self, conn: &mut Conn, head: &Head<'_>, body: &[u8]) {
        let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        self.requests.push(format!("[{},{},\"{body}\"]", text(head.method), text(head.target)));
        conn.respond(&Response::new(204), &mut self.common);
    }
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let bytes = bytes(&line?).ok_or_else(|| io::Error::other("a line is not hexadecimal"))?;
        let mut recorder = Recorder { common: Common::new(Limits::DEFAULT), requests: Vec::new() };
        let (mut conn, mut output) = (Conn::new(Now::default()), Vec::new());
        recorder.turn(&mut conn, &bytes);
        while !conn.outgoing().is_empty() {
            output.extend_from_slice(conn.outgoing());
            if conn.sent(conn.outgoing().len(), &mut recorder.common) {
                recorder.turn(&mut conn, b"");
            }
        }
        writeln!(out, "{{\"requests\":[{}],\"status\":{}}}", recorder.requests.join(","), refusal(&output))?;
    }
    Ok(())
}

fn bytes(line: &str) -> Option<Vec<u8>> {
    let digits = |at| line.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..line.len()).step_by(2).map(digits).collect()
}

/// The status of the last response, if it is none of this program's own.
fn refusal(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let mut statuses = output.rsplit("HTTP/1.1 ").filter_map(|part| part.get(..3)?.parse::<u16>().ok());
    statuses.next().filter(|status| *status >= 400).map_or("null".to_owned(), |status| status.to_string())
}
