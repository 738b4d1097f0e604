//! What mcp-rill finds in the bytes of HTTP/1 connections: `verdicts < INPUTS`.
//!
//! Each line of the input is the bytes of one connection in hexadecimal. Each line of the output is
//! `{"requests": [["method", "target", "body in hexadecimal"]], "status": 400}`: the requests that would be answered, and
//! the status of the refusal after them, or null.

use std::io::{self, BufRead, Write};

use mcp_rill::http::conn::{Conn, Handler, Reply, Verdict};
use mcp_rill::http::head::Head;
use mcp_rill::http::response::{Response, Common};
use mcp_rill::{Limits, Now};

struct Recorder {
    common: Common,
    requests: Vec<String>,
}

impl Handler for Recorder {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn head(&mut self, _: &Head<'_>) -> Verdict {
        Verdict::Read
    }

    /// A method is a token and a target visible ASCII, so two bytes of all need an escape.
    fn request(&mut self, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        self.requests.push(format!("[{},{},\"{body}\"]", text(head.method), text(head.target)));
        reply.send(&mut self.common, &Response::new(204));
    }
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let bytes = bytes(&line?).ok_or_else(|| io::Error::other("a line is not hexadecimal"))?;
        let mut recorder = Recorder { common: Common::new(Limits::DEFAULT), requests: Vec::new() };
        let (mut conn, now, mut output) = (Conn::new(Now::default()), Now::default(), Vec::new());
        conn.feed(now, &bytes, &mut recorder);
        while !conn.outgoing().is_empty() {
            output.extend_from_slice(conn.outgoing());
            if conn.sent(now, conn.outgoing().len(), &mut recorder.common) {
                conn.resume(now, &mut recorder);
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
