//! Request heads: one decision however the bytes are cut, and three readers that agree on what was accepted.

use mcp_rill::Limits;
use mcp_rill::http::Refusal;
use mcp_rill::http::head::{Fields, Framing, Head, Search, Version, parse};

use super::cut;
use super::naive::{self, NaiveFraming};

/// Bounds that short inputs reach.
pub const SMALL: Limits = Limits {
    target_bytes_max: 100,
    head_bytes_max: 400,
    headers_max: 8,
    body_bytes_max: 64,
    chunk_extension_bytes_max: 16,
    trailer_bytes_max: 32,
    ..Limits::DEFAULT
};

pub fn check(data: &[u8]) {
    let whole = search(&[data]);
    for pieces in cut::ways(data) {
        assert_eq!(search(&pieces), whole, "cut into {:?}", lengths(&pieces));
    }
    match whole {
        Found::Head(from, to) => accepted_or_refused(&data[from..to]),
        Found::Refused(refusal) => check_refusal(&refusal),
        Found::Cut => assert!(data.len() <= SMALL.head_bytes_max + 2, "{} bytes and no decision", data.len()),
    }
}

pub fn lengths(pieces: &[&[u8]]) -> Vec<usize> {
    pieces.iter().map(|piece| piece.len()).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Head(usize, usize),
    Refused(Refusal),
    Cut,
}

/// Looks for the head as a connection does: an empty line before it is dropped as soon as it is known.
fn search(pieces: &[&[u8]]) -> Found {
    let (mut search, mut bytes, mut dropped) = (Search::default(), Vec::new(), 0);
    for piece in pieces {
        bytes.extend_from_slice(piece);
        let found = search.find(&bytes, &SMALL);
        let skipped = search.take_skipped();
        match found {
            Ok(Some(range)) => return Found::Head(dropped + range.start, dropped + range.end),
            Err(refusal) => return Found::Refused(refusal),
            Ok(None) => drop(bytes.drain(..skipped)),
        }
        dropped += skipped;
    }
    Found::Cut
}

fn accepted_or_refused(bytes: &[u8]) {
    let mut room = Fields::new();
    match parse(bytes, &mut room, &SMALL) {
        Ok(head) => {
            check_accepted(bytes, &head);
            check_written_again(&head);
        }
        Err(refusal) => check_refusal(&refusal),
    }
}

fn check_refusal(refusal: &Refusal) {
    let known = [400, 411, 414, 417, 431, 501, 505];
    assert!(known.contains(&refusal.status), "{refusal}");
    let lawful =
        refusal.reason.len() < 400 && refusal.reason.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(lawful, "a reason that is no clean sentence: {:?}", refusal.reason);
}

/// What a lawful head is, read by httparse and by the naive reader too.
fn check_accepted(bytes: &[u8], head: &Head<'_>) {
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut foreign = httparse::Request::new(&mut room);
    assert_eq!(foreign.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    let minor = u8::from(head.version == Version::Http11);
    assert_eq!(
        (foreign.method, foreign.path, foreign.version),
        (Some(head.method), Some(head.target), Some(minor))
    );

    let naive = naive::head(bytes).expect("the grammar of RFC 9112 does not allow this head");
    assert_eq!(
        (naive.method, naive.target, naive.minor),
        (head.method.as_bytes(), head.target.as_bytes(), minor)
    );
    let fields: Vec<(&[u8], &[u8])> = head.headers().map(|(name, value)| (name.as_bytes(), value)).collect();
    assert_eq!(fields, naive.fields);
    assert_eq!(fields, foreign.headers.iter().map(|f| (f.name.as_bytes(), f.value)).collect::<Vec<_>>());
    let framing = match head.framing {
        Framing::None => NaiveFraming::None,
        Framing::Length(length) => NaiveFraming::Length(length),
        Framing::Chunked => NaiveFraming::Chunked,
    };
    assert_eq!(Some(framing), naive.framing());
    assert_eq!(head.keep_alive, naive.keep_alive());
    let bodiless = matches!(head.framing, Framing::None | Framing::Length(0));
    assert!(bodiless || !matches!(head.method, "GET" | "HEAD"), "a {} with a body", head.method);
    assert!(!head.expect_continue || (!bodiless && minor == 1));

    let hosts = naive.values("host");
    assert!(hosts.len() == 1 || (hosts.is_empty() && minor == 0), "{} Host fields", hosts.len());
    if let Some(host) = head.host {
        let port = host.port.map_or(String::new(), |port| port.to_string());
        let bare = host.text.strip_prefix('[').is_some();
        let (name, after) = host.text.split_at(if bare { host.name.len() + 2 } else { host.name.len() });
        assert_eq!(name.trim_matches(['[', ']']), host.name);
        let digits = after.strip_prefix(':').unwrap_or_default().trim_start_matches('0');
        assert!(digits == port || port == "0", "{host:?}");
    }
    let query = head.query.map_or(String::new(), |query| format!("?{query}"));
    assert!(head.path == "*" || head.path.starts_with('/'));
    let end = format!("{}{query}", head.path);
    assert!(head.target.ends_with(&end) || (head.path == "/" && head.target.ends_with(&query)), "{head:?}");
    assert!(bytes.len() <= SMALL.head_bytes_max && fields.len() <= SMALL.headers_max);
    assert!(head.target.len() <= SMALL.target_bytes_max && !head.target.contains('#'));
}

/// What was read and is written out again is read as the same.
fn check_written_again(head: &Head<'_>) {
    let version = if head.version == Version::Http11 { "1.1" } else { "1.0" };
    let mut bytes = format!("{} {} HTTP/{version}\r\n", head.method, head.target).into_bytes();
    for (name, value) in head.headers() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    assert_eq!(search(&[&bytes]), Found::Head(0, bytes.len()));
    let mut room = Fields::new();
    let again = parse(&bytes, &mut room, &SMALL).expect("a lawful head that was written again");
    assert_eq!(format!("{again:?}"), format!("{head:?}"));
}
