//! Chunked bodies: one decision however they are cut, and the content that the naive reader finds.

use mcp_rill::http::Refusal;
use mcp_rill::http::body::Decoder;

use super::cut::{self, Dice};
use super::head::{SMALL, lengths};
use super::naive::{self, NaiveChunked};

pub fn check(data: &[u8]) {
    let whole = decode(&[data]);
    for pieces in cut::ways(data) {
        let cut = decode(&pieces);
        // What was handed out before a refusal is worthless, and may be less where more came at once.
        let same =
            (cut.end == whole.end) && (cut.content == whole.content || matches!(cut.end, End::Refused(_)));
        assert!(same, "cut into {:?}: {cut:?} instead of {whole:?}", lengths(&pieces));
    }
    compare(data, &whole);
    check_encoded(data);
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Done { used: usize },
    Cut,
    Refused(Refusal),
}

#[derive(Debug)]
struct Decoded {
    content: Vec<u8>,
    end: End,
}

fn decode(pieces: &[&[u8]]) -> Decoded {
    let (mut decoder, mut content, mut used) = (Decoder::chunked(), Vec::new(), 0);
    for piece in pieces {
        let mut calls = 0;
        let progress = decoder.decode(piece, &SMALL, |data| {
            calls += 1;
            assert!(!data.is_empty(), "nothing was handed out");
            content.extend_from_slice(data);
        });
        // A chunk takes at least six bytes, so what is handed out cannot outnumber them.
        assert!(calls <= piece.len() / 6 + 1, "{calls} pieces of content in {} bytes", piece.len());
        assert!(content.len() <= SMALL.body_bytes_max, "{} bytes of content", content.len());
        match progress {
            Err(refusal) => return Decoded { content, end: End::Refused(refusal) },
            Ok(progress) if progress.done => {
                let again = decoder.decode(b"5\r\nhello\r\n", &SMALL, |_| panic!("content after the end"));
                assert!(again.is_ok_and(|again| again.done && again.used == 0));
                return Decoded { content, end: End::Done { used: used + progress.used } };
            }
            Ok(progress) => {
                assert_eq!(progress.used, piece.len());
                used += progress.used;
            }
        }
    }
    Decoded { content, end: End::Cut }
}

fn compare(data: &[u8], ours: &Decoded) {
    match (naive::chunked(data), &ours.end) {
        (NaiveChunked::Whole(naive), End::Done { used }) => {
            assert_eq!((naive.used, &naive.content), (*used, &ours.content));
            assert!(naive.extension_bytes <= 16 && naive.trailer_bytes <= 32, "{naive:?}");
            for line in naive.size_lines {
                assert_sized_alike(line);
            }
        }
        (NaiveChunked::Whole(naive), End::Refused(refusal)) => {
            let over = naive.content.len() > SMALL.body_bytes_max
                || naive.extension_bytes > SMALL.chunk_extension_bytes_max
                || naive.trailer_bytes > SMALL.trailer_bytes_max;
            assert!(over, "a lawful body is refused: {refusal}");
        }
        (NaiveChunked::Cut | NaiveChunked::Broken, End::Refused(_)) | (NaiveChunked::Cut, End::Cut) => {}
        (naive, ours) => panic!("the naive reader says {naive:?}, the decoder {ours:?}"),
    }
    if let End::Refused(refusal) = &ours.end {
        assert!(matches!(refusal.status, 400 | 413), "{refusal}");
    }
}

fn assert_sized_alike(line: &[u8]) {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&line[..digits]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((used, foreign))) => {
            assert_eq!((used, Some(foreign)), (line.len(), size), "{line:?}");
        }
        other => panic!("httparse says {other:?} of {line:?}"),
    }
}

/// Content that is put into chunks comes out again.
fn check_encoded(data: &[u8]) {
    let content = &data[..data.len().min(SMALL.body_bytes_max)];
    let (mut bytes, mut dice) = (Vec::new(), Dice::of(data));
    for chunk in dice.pieces(content, 30) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let end = bytes.len();
    bytes.extend_from_slice(data);
    let decoded = decode(&[&bytes]);
    assert_eq!((decoded.end, &decoded.content[..]), (End::Done { used: end }, content));
}
