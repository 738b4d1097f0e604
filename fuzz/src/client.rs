//! What the peer sees: responses in the order of its requests.

use mcp_rill::Limits;
use mcp_rill::http::body::Decoder;
use mcp_rill::http::client::parse_response;
use mcp_rill::http::head::{Fields, Search};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub keep_alive: bool,
    /// The body lasts until the connection ends, and begins here.
    pub is_stream: bool,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is sent twice");
        value
    }

    pub fn is_event_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }
}

/// The first whole response in `bytes` and how long it is; `None` if more bytes are needed. Checks what every response
/// of this server must have.
pub fn response(bytes: &[u8], method: &str) -> Option<(Response, usize)> {
    begun(bytes, method).filter(|(.., whole)| *whole).map(|(response, used, _)| (response, used))
}

/// The same as far as it is there, and whether that is all of it; `None` if more bytes of the head are needed.
pub fn begun(bytes: &[u8], method: &str) -> Option<(Response, usize, bool)> {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let skipped = if bytes.starts_with(CONTINUE) { CONTINUE.len() } else { 0 };
    let bytes = &bytes[skipped..];
    let limits = Limits::DEFAULT;
    let range = Search::in_response().find(bytes, &limits).expect("the head of a response")?;
    let (head, rest) = bytes.split_at(range.end);
    let mut room = Fields::new();
    let head = parse_response(head, &mut room, method, &limits).expect("the head of a response");
    let headers = head.headers().map(|(name, value)| {
        (name.to_owned(), String::from_utf8(value.to_vec()).expect("a value that is no text"))
    });
    let mut response = Response {
        status: head.status,
        headers: headers.collect(),
        keep_alive: head.keep_alive,
        is_stream: head.framing.is_none(),
        body: Vec::new(),
    };
    let mut decoder = head.framing.map_or(Decoder::until_close(), Decoder::new);
    let progress =
        decoder.decode(rest, &limits, |data| response.body.extend_from_slice(data)).expect("a body");
    let whole = progress.done || response.is_stream;
    if whole || response.is_event_stream() {
        check(&response, method);
    }
    Some((response, skipped + range.end + progress.used, whole))
}

fn check(response: &Response, method: &str) {
    assert!(response.header("date").is_some_and(|date| date.len() == 29), "{response:?}");
    assert!(response.header("connection").is_some(), "{response:?}");
    assert_eq!(response.header("keep-alive").is_some(), response.keep_alive, "{response:?}");
    // What was missed of a stream that is over comes as events, and as a whole.
    let has_length = response.header("content-length").is_some();
    assert!(
        !(has_length && response.is_stream) && (has_length || response.is_event_stream()),
        "{response:?}"
    );
    assert!(response.status != 405 || response.header("allow").is_some(), "{response:?}");
    assert!(response.status != 503 || response.header("retry-after").is_some(), "{response:?}");
    assert!(method != "HEAD" || response.body.is_empty());
    if response.status >= 400 {
        let text = std::str::from_utf8(&response.body).expect("a reason that is no text");
        assert!(text.chars().count() < 600 && !text.contains(char::is_control), "{text:?}");
    }
}
