//! What the peer sees: responses in the order of its requests, each with what every response must have.

use mcp_rill::Limits;
use mcp_rill::http::body::Decoder;
use mcp_rill::http::client::parse_response;
use mcp_rill::http::head::{Fields, Search};

use super::common::http;
pub use super::common::http::Response;

/// The first whole response in `bytes` and how long it is; `None` if more bytes are needed.
pub fn response(bytes: &[u8], method: &str) -> Option<(Response, usize)> {
    begun(bytes, method).filter(|(response, _)| response.is_whole)
}

/// The same as far as it is there; `None` if more bytes of the head are needed.
pub fn begun(bytes: &[u8], method: &str) -> Option<(Response, usize)> {
    let skipped = if bytes.starts_with(http::CONTINUE) { http::CONTINUE.len() } else { 0 };
    let (response, used) = http::response(&bytes[skipped..], method)?;
    if response.is_whole || response.is_event_stream() {
        check(&response, method);
        compare(&bytes[skipped..][..used], &response, method);
    }
    Some((response, skipped + used))
}

fn check(response: &Response, method: &str) {
    assert!(response.header("date").is_some_and(|date| date.len() == 29), "{response:?}");
    assert_eq!(response.header("keep-alive").is_some(), response.keeps_alive(), "{response:?}");
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

/// The library's own reader finds the same.
fn compare(bytes: &[u8], response: &Response, method: &str) {
    let (limits, mut fields, mut body) = (Limits::DEFAULT, Fields::new(), Vec::new());
    let head = Search::in_response().find(bytes, &limits).expect("a head").expect("a whole head");
    let (head, rest) = bytes.split_at(head.end);
    let head = parse_response(head, &mut fields, method, &limits).expect("the head of a response");
    assert_eq!((head.status, head.keep_alive), (response.status, response.keeps_alive()));
    assert_eq!(head.framing.is_none(), response.is_stream, "{response:?}");
    let mut decoder = head.framing.map_or(Decoder::until_close(), Decoder::new);
    let progress = decoder.decode(rest, &limits, |data| body.extend_from_slice(data)).expect("a body");
    assert_eq!((body, progress.used), (response.body.clone(), rest.len()));
}
