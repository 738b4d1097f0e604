//! What the SSE encoder writes and the decoder reads, however the stream is cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mcp_rill::sse::{self, Decoder, Frame, TooLong};
use mcp_rill::testing::Random;

/// Name, data and last id of each event; then the last id and `retry` at the end of the stream.
type Seen = (Vec<(String, String, String)>, String, Option<u64>);

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Seen, TooLong> {
    let mut events = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(event) = decoder.next(&mut piece)? {
            events.push((event.name, event.data, decoder.last_id().to_owned()));
        }
        assert!(piece.is_empty(), "None means that all was taken");
    }
    Ok((events, decoder.last_id().to_owned(), decoder.retry_ms()))
}

/// Decodes whole, byte by byte, and in every two pieces; all must agree.
fn decode_every_way(stream: &[u8], event_bytes_max: usize) -> Result<Seen, TooLong> {
    let whole = decode(&mut Decoder::new(event_bytes_max), &[stream]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decode(&mut Decoder::new(event_bytes_max), &bytes), whole, "byte by byte");
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(decode(&mut Decoder::new(event_bytes_max), &[left, right]), whole, "split at {at}");
    }
    whole
}

#[test]
fn streams() {
    type Case = (&'static [u8], &'static [(&'static str, &'static str, &'static str)]);
    let cases: &[Case] = &[
        (b"", &[]),
        (b"\n\n\r\r\r\n\r\n", &[]),
        (b"data: a\n\n", &[("message", "a", "")]),
        (b"data: a\r\n\r\n", &[("message", "a", "")]),
        (b"data: a\r\r", &[("message", "a", "")]),
        (b"data: a\r\n\n", &[("message", "a", "")]),
        (b"data: a\n\r\n", &[("message", "a", "")]),
        (
            b"data: a\rdata: b\ndata: c\r\n\r\ndata: d\r\rdata: e\n\n",
            &[("message", "a\nb\nc", ""), ("message", "d", ""), ("message", "e", "")],
        ),
        // Only one space is the separator.
        (b"data:a\ndata:  b\ndata:\tc\n\n", &[("message", "a\n b\n\tc", "")]),
        (b"data\n\n", &[("message", "", "")]),
        (b"data\ndata\n\n", &[("message", "\n", "")]),
        (b"data:\n\ndata: \n\n", &[("message", "", ""), ("message", "", "")]),
        // No blank line, no event.
        (b"data: a\n\ndata: b\n", &[("message", "a", "")]),
        (b"data: a", &[]),
        // Nothing to dispatch without data; the name does not leak into the next event.
        (b"event: x\n\ndata: a\n\n", &[("message", "a", "")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", &[("x", "a", ""), ("message", "b", "")]),
        (b"event: x\nevent: y\ndata\n\nevent:\ndata\n\n", &[("y", "", ""), ("message", "", "")]),
        (b"event: x\nevent\ndata\n\n", &[("message", "", "")]),
        // Ids persist, take effect without data, and may be emptied.
        (b"id: 1\ndata: a\n\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
        (b"id: 1\n\ndata: a\n\nid\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "")]),
        (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
        (b": comment\n:\n:data: x\ndata: a\n: in between\ndata: b\n\n:\n\n", &[("message", "a\nb", "")]),
        (b"Data: x\n data: y\ndata : z\ndatum: 1\nnothing\ndata: a:b\n\n", &[("message", "a:b", "")]),
        (b"\xEF\xBB\xBFdata: a\n\n", &[("message", "a", "")]),
        (b"\xEF\xBB\xBF: comment\ndata: a\n\n", &[("message", "a", "")]),
        (b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", &[("message", "b", "")]),
        (b"\xEF\xBBdata: a\n\ndata: b\n\n", &[("message", "b", "")]),
        (b"\xEF\ndata: b\n\n", &[("message", "b", "")]),
        (b"data: a\n\n\xEF\xBB\xBFdata: b\n\n", &[("message", "a", "")]),
        (b"data: \xEF\xBB\xBFa\n\n", &[("message", "\u{FEFF}a", "")]),
        (
            b"data: a\xFFb\xE2\x82\n\nevent: \xC3\ndata: \xE2\x82\xAC\nid: \xF0\x9F\n\n",
            &[("message", "a\u{FFFD}b\u{FFFD}", ""), ("\u{FFFD}", "€", "\u{FFFD}")],
        ),
        // U+2028 and U+0085 end lines elsewhere, not here.
        ("data: a\u{2028}b\u{85}c\n\n".as_bytes(), &[("message", "a\u{2028}b\u{85}c", "")]),
    ];
    for (stream, expected) in cases {
        let (events, ..) = decode_every_way(stream, 1 << 10).unwrap();
        let events: Vec<_> = events.iter().map(|(n, d, i)| (n.as_str(), d.as_str(), i.as_str())).collect();
        assert_eq!(events, *expected, "{}", stream.escape_ascii());
    }
}

#[test]
fn ids_and_retry_at_the_end_of_the_stream() {
    let cases: &[(&[u8], &str, Option<u64>)] = &[
        (b"id: 1\n\nid: 2\n", "1", None),
        (b"id: 1\n\nid: 2", "1", None),
        (b"id: 1\nid: 2\n\n", "2", None),
        (b"retry: 1500\n", "", Some(1500)),
        (b"retry:0\n", "", Some(0)),
        (b"retry: 10\nretry: -1\nretry: 1.5\nretry:\nretry\nretry: 1 \nretry:  1\nretry: +1\n", "", Some(10)),
        (b"retry: 99999999999999999999\n", "", None),
        (b"retry: 1500", "", None),
        (b"id: 0\nretry: 500\ndata: \n\n", "0", Some(500)),
    ];
    for (stream, id, retry) in cases {
        let (_, last_id, retry_ms) = decode_every_way(stream, 1 << 10).unwrap();
        assert_eq!((last_id.as_str(), retry_ms), (*id, *retry), "{}", stream.escape_ascii());
    }
}

#[test]
fn the_limit_counts_the_lines_of_one_event() {
    let cases: &[(&[u8], usize)] = &[
        (b"data: 1234\n\n", 10),
        (b"data: 12345\r\n\r\n", 11),
        (b"event: a\r\ndata: b\r\n\r\n", 15),
        (b"data: 1234\n\ndata: 1234\n\ndata: 1234\n\n", 10),
        (b": a comment of any length\ndata: 1234\n\n", 10),
        (b"\xEF\xBB\xBFdata: 1234\n\n", 10),
        (b"\xEF\xBBx\n\n", 3),
        (b"x-unknown: 1\n", 12),
        (b"id: 123456\n", 10),
        (b"unfinished", 10),
    ];
    for (stream, exact) in cases {
        assert!(decode_every_way(stream, *exact).is_ok(), "{}", stream.escape_ascii());
        let error = decode_every_way(stream, exact - 1).unwrap_err();
        assert_eq!(error, TooLong { event_bytes_max: exact - 1 });
    }
}

#[test]
fn a_decoder_in_error_stays_there() {
    let mut decoder = Decoder::new(8);
    assert!(decode(&mut decoder, &[b"data: 123"]).is_err());
    assert!(decode(&mut decoder, &[b"\n\n"]).is_err());
    assert!(decode(&mut decoder, &[b""]).is_err());
    assert_eq!(
        decode(&mut decoder, &[b"data: 1\n\n"]).unwrap_err().to_string(),
        "an event is longer than 8 bytes"
    );
}

#[test]
fn a_long_event_fed_byte_by_byte_is_linear() {
    let data = "x".repeat(4 << 20);
    let mut stream = Vec::new();
    sse::event(&mut stream, "big", &data);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let (events, ..) = decode(&mut Decoder::new(5 << 20), &bytes).unwrap();
    assert_eq!((events.len(), &events[0].1), (1, &data));
}

#[test]
fn frames() {
    let cases: &[(Frame, &str)] = &[
        (Frame::default(), "\n"),
        (Frame { data: Some(""), ..Frame::default() }, "data:\n\n"),
        (
            Frame { data: Some("a\nb\rc\r\nd\n"), ..Frame::default() },
            "data: a\ndata: b\ndata: c\ndata: d\ndata:\n\n",
        ),
        (Frame { data: Some("\n\r"), ..Frame::default() }, "data:\ndata:\ndata:\n\n"),
        (
            Frame { event: Some("e"), id: Some("i"), retry_ms: Some(u64::MAX), data: Some(" d") },
            "event: e\nid: i\nretry: 18446744073709551615\ndata:  d\n\n",
        ),
        // Nothing in a value may begin a field of its own.
        (
            Frame { event: Some("a\r\ndata: x\n\n"), id: Some("\n1\0\r"), ..Frame::default() },
            "event: adata: x\nid: 1\n\n",
        ),
    ];
    for (frame, expected) in cases {
        let mut out = Vec::new();
        frame.encode(&mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
    }
    let mut out = Vec::new();
    sse::comment(&mut out, "a\n\ndata: b");
    sse::comment(&mut out, "");
    assert_eq!(out, b": adata: b\n\n: \n\n");
}

/// Texts and fields of events.
trait Draw {
    fn text(&mut self) -> String;
    fn field(&mut self) -> Option<String>;
}

impl Draw for Random {
    fn text(&mut self) -> String {
        const PARTS: [&str; 14] = [
            "\n", "\r", "\r\n", " ", ":", "data", "event: x", "id", "\0", "a", "é", "\u{FEFF}", "\u{2028}",
            "😀",
        ];
        (0..self.below(8)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    fn field(&mut self) -> Option<String> {
        (self.below(2) == 0).then(|| self.text())
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], "")
}

#[test]
fn what_was_encoded_is_decoded() {
    let mut random = Random::new(0x5EED);
    for round in 0..2000 {
        let (mut stream, mut expected, mut last_id, mut last_retry) =
            (Vec::new(), Vec::new(), String::new(), None);
        for _ in 0..random.below(6) {
            if random.below(4) == 0 {
                sse::comment(&mut stream, &random.text());
                continue;
            }
            let (name, id, data) = (random.field(), random.field(), random.field());
            let retry_ms = (random.below(4) == 0).then(|| random.below(9000) as u64);
            Frame { event: name.as_deref(), id: id.as_deref(), retry_ms, data: data.as_deref() }
                .encode(&mut stream);
            last_id = id.map_or(last_id, |id| one_line(&id));
            last_retry = retry_ms.or(last_retry);
            if let Some(data) = data {
                let name = one_line(&name.unwrap_or_default());
                let name = if name.is_empty() { "message".to_owned() } else { name };
                expected.push((name, data.replace("\r\n", "\n").replace('\r', "\n"), last_id.clone()));
            }
        }
        let seen = decode_every_way(&stream, 1 << 12).unwrap();
        assert_eq!(seen, (expected, last_id, last_retry), "round {round}: {}", stream.escape_ascii());
    }
}

#[test]
fn any_bytes_are_read_the_same_however_cut() {
    let mut random = Random::new(0xF00D);
    const PARTS: [&[u8]; 14] = [
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b":",
        b" ",
        b"data:",
        b"event:",
        b"id:",
        b"retry:7",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\0",
        b"x",
    ];
    for _ in 0..3000 {
        let stream: Vec<u8> =
            (0..random.below(14)).flat_map(|_| PARTS[random.below(PARTS.len())]).copied().collect();
        let _ = decode_every_way(&stream, random.below(40));
    }
}
