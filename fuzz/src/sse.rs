//! Event streams: the events that the WHATWG algorithm gives, however the bytes are cut; and frames that are read as
//! they were meant.

use mcp_rill::sse::{self, Decoder, Frame};

use super::cut;
use super::head::lengths;

/// Bytes of one event's lines.
const EVENT_BYTES_MAX: usize = 64;

pub fn check(data: &[u8]) {
    let whole = decode(&[data], EVENT_BYTES_MAX);
    for pieces in cut::ways(data) {
        assert_eq!(decode(&pieces, EVENT_BYTES_MAX), whole, "cut into {:?}", lengths(&pieces));
    }
    assert_eq!(whole, naive(data, EVENT_BYTES_MAX));
    check_encoded(data);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Stream {
    /// Name, data, and the id in force.
    events: Vec<(String, String, String)>,
    retry_ms: Option<u64>,
    too_long: bool,
}

fn decode(pieces: &[&[u8]], max: usize) -> Stream {
    let (mut decoder, mut stream) = (Decoder::new(max), Stream::default());
    for piece in pieces {
        let (mut rest, mut calls) = (*piece, 0);
        while !stream.too_long {
            let before = rest.len();
            match decoder.next(&mut rest) {
                Ok(Some(event)) => {
                    assert!(rest.len() < before, "an event of no bytes");
                    stream.events.push((event.name, event.data, decoder.last_id().to_owned()));
                }
                Ok(None) => {
                    assert!(rest.is_empty());
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.next(&mut &b"data: 1\n\n"[..]), Err(error), "it reads on");
                    stream.too_long = true;
                }
            }
            calls += 1;
            assert!(calls <= piece.len() + 1, "more calls than bytes");
        }
    }
    stream.retry_ms = decoder.retry_ms();
    stream
}

/// WHATWG HTML, section 9.2.6, word by word, with the bound of the decoder beside it.
fn naive(data: &[u8], max: usize) -> Stream {
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    let (mut stream, mut last_id, mut id) = (Stream::default(), String::new(), None);
    let (mut name, mut text, mut has_data, mut bytes) = (String::new(), String::new(), false, 0);
    let mut rest = data;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        bytes += if line.starts_with(b":") { 0 } else { line.len() };
        // A mark that is cut off at the end of the stream has not been told from a line yet.
        let is_mark = rest.len() == data.len() && end.is_none() && b"\xEF\xBB\xBF".starts_with(line);
        if bytes > max && !is_mark {
            stream.too_long = true;
            return stream;
        }
        let Some(end) = end else { return stream };
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        if line.is_empty() {
            (bytes, last_id) = (0, id.take().unwrap_or(last_id));
            let (event, data) = (std::mem::take(&mut name), std::mem::take(&mut text));
            if std::mem::take(&mut has_data) {
                let event = if event.is_empty() { "message".to_owned() } else { event };
                let data = data.strip_suffix('\n').unwrap_or(&data).to_owned();
                stream.events.push((event, data, last_id.clone()));
            }
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => {
                has_data = true;
                text.push_str(value);
                text.push('\n');
            }
            "id" if !value.contains('\0') => id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                stream.retry_ms = value.parse().ok().or(stream.retry_ms);
            }
            _ => {}
        }
    }
}

/// A frame with any texts in it is read as one event with these texts, less what no line can hold.
fn check_encoded(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '|');
    let (event, id) = (parts.next().unwrap_or_default(), parts.next());
    let payload = parts.next().unwrap_or(event);
    let retry_ms = id.map(|id| id.len() as u64);
    let mut bytes = Vec::new();
    sse::comment(&mut bytes, payload);
    Frame { event: Some(event), id, retry_ms, data: Some(payload) }.encode(&mut bytes);
    sse::event(&mut bytes, "last", "");
    let clean = |text: &str| text.replace(['\r', '\n', '\0'], "");
    let name = Some(clean(event)).filter(|name| !name.is_empty()).unwrap_or("message".to_owned());
    let payload = payload.replace("\r\n", "\n").replace('\r', "\n");
    let id = id.map(clean).unwrap_or_default();
    let events = vec![(name, payload, id.clone()), ("last".to_owned(), String::new(), id)];
    assert_eq!(decode(&[&bytes], usize::MAX), Stream { events, retry_ms, too_long: false });
}
