//! Requests as a client writes them, and a reader of responses that shares no code with the library.

use mcp_rill::sse::Decoder;
use serde_json::Value;

/// A response, or what there is of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Chunks are put together.
    pub body: Vec<u8>,
    /// The body has neither a length nor chunks: it lasts until the connection ends, and begins here.
    pub is_stream: bool,
    /// The body is whole; that of a stream always is.
    pub is_whole: bool,
}

impl Response {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is sent twice");
        value
    }

    /// Whether the connection stays open after it, as it says itself.
    pub fn keeps_alive(&self) -> bool {
        match self.header("Connection") {
            Some("keep-alive") => true,
            Some("close") => false,
            other => panic!("every response says what becomes of the connection, not {other:?}"),
        }
    }

    pub fn is_event_stream(&self) -> bool {
        self.header("Content-Type") == Some("text/event-stream")
    }

    /// The messages in it, whether it is JSON or a stream.
    pub fn messages(&self) -> Vec<Value> {
        match self.header("Content-Type") {
            Some("application/json") => match serde_json::from_slice(&self.body).unwrap() {
                Value::Array(messages) => messages,
                one => vec![one],
            },
            Some("text/event-stream") => frames(&self.body),
            other => panic!("a message is not in {other:?}"),
        }
    }

    /// Reads the content from what follows the head. Returns how many bytes of that are part of this response.
    fn read_body(&mut self, bytes: &[u8], method: &str) -> usize {
        let length = match self.header("Content-Length") {
            _ if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) => Some(0),
            _ if self.header("Transfer-Encoding") == Some("chunked") => return self.read_chunks(bytes),
            length => length.map(|length| length.parse().unwrap()),
        };
        self.is_stream = length.is_none();
        let used = length.unwrap_or(usize::MAX).min(bytes.len());
        self.body = bytes[..used].to_vec();
        self.is_whole = length.is_none_or(|length| length == used);
        used
    }

    fn read_chunks(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(line) = find(&bytes[at..], b"\r\n") {
            let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk of size {size:?}"));
            let content = &bytes[at + line + 2..];
            self.body.extend_from_slice(&content[..size.min(content.len())]);
            let Some(end) = content.get(size..size + 2) else { break };
            assert_eq!(end, b"\r\n", "the end of a chunk");
            at += line + 2 + size + 2;
            if size == 0 {
                self.is_whole = true;
                return at;
            }
        }
        bytes.len()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The first response to that method, as far as it is there, and how many bytes it takes; `None` if more bytes of its head
/// are needed.
pub fn response(bytes: &[u8], method: &str) -> Option<(Response, usize)> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{head:?}"));
    let headers = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?}")));
    let mut response = Response {
        status: status[..3].parse().unwrap(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Vec::new(),
        is_stream: false,
        is_whole: false,
    };
    let used = response.read_body(&bytes[end + 4..], method);
    Some((response, end + 4 + used))
}

pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether `100 Continue` is sent depends on whether the body came with the head, and may.
pub fn without_continue(output: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::new(), output);
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(CONTINUE) {
            Some(after) => rest = after,
            None => {
                kept.push(*first);
                rest = tail;
            }
        }
    }
    kept
}

/// Splits bytes into the whole responses they consist of, none of them to HEAD.
pub fn responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let shown = || String::from_utf8_lossy(bytes);
        let (response, used) =
            response(bytes, "GET").unwrap_or_else(|| panic!("not a whole head: {:?}", shown()));
        assert!(response.is_whole && !response.is_stream, "not a whole response: {:?}", shown());
        all.push(response);
        bytes = &bytes[used..];
    }
    all
}

/// The messages in a piece of a stream.
///
/// The library's own decoder reads the events; that each is written in the one form that we promise is checked by hand.
pub fn frames(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    for block in text.split_inclusive("\n\n") {
        let lines: Vec<&str> = block.strip_suffix("\n\n").expect("frames are whole").split('\n').collect();
        match lines.as_slice() {
            [": ping"] => {}
            [id, "data:"] if id.starts_with("id: ") => {}
            [id, retry, "data:"] if id.starts_with("id: ") && retry.starts_with("retry: ") => {}
            [id, "event: message", data] if id.starts_with("id: ") => {
                assert!(data.starts_with("data: {"), "{data}")
            }
            ["event: message", data] => {
                assert!(data.starts_with("data: {") && !data.contains('\r'), "{data}")
            }
            _ => panic!("not a frame of ours: {block:?}"),
        }
    }
    let (mut decoder, mut rest, mut values) = (Decoder::new(64 << 20), bytes, Vec::new());
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        assert_eq!(event.name, "message");
        if event.data.is_empty() {
            continue;
        }
        values.push(serde_json::from_str(&event.data).unwrap());
    }
    values
}

/// A whole POST of JSON.
pub fn post(target: &str, body: &str) -> String {
    format!("{}{body}", post_head(target, body.len()))
}

pub fn post_head(target: &str, length: impl std::fmt::Display) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A whole POST of JSON to `/mcp`, into that session.
pub fn mcp_post(session: Option<&str>, body: &str) -> String {
    let session = session.map_or(String::new(), |id| format!("Mcp-Session-Id: {id}\r\n"));
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{session}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A request as JSON text; `params` is JSON text too.
pub fn request(id: impl std::fmt::Display, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// A call of a tool.
pub fn call(id: impl std::fmt::Display, tool: &str, arguments: &str) -> String {
    request(id, "tools/call", &format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#))
}

pub fn ping(id: impl std::fmt::Display) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

/// The parameters of `initialize` of a client that can answer nothing.
pub const INITIALIZE: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;

pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
