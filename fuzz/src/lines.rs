//! Lines: what a naive splitter finds, however the bytes are cut; and of each line exactly what it gets.

use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::{self, Id, IdRef, Message};
use mcp_rill::lines::{Line, Splitter};
use mcp_rill::{Limits, Server};
use serde_json::Value;

use super::common::{Cut, World};
use super::cut::{self, Dice};
use super::head::lengths;

/// Bytes of one line, for the splitter alone.
const LINE_BYTES_MAX: usize = 12;

pub fn check(data: &[u8]) {
    let lines = naive(data, LINE_BYTES_MAX);
    for pieces in cut::ways(data) {
        assert_eq!(split(&pieces), lines, "cut into {:?}", lengths(&pieces));
    }
    let mut dice = Dice::of(data);
    let answers = answer(data, Cut::Whole);
    for cut in [Cut::Bytes, Cut::Torn(dice.roll(1 << 20) as u64)] {
        assert_eq!(answer(data, cut), answers, "{cut:?}");
    }
    check_answers(data, &answers);
}

/// A line; `None` if it is too long.
type Found = Option<Vec<u8>>;

fn split(pieces: &[&[u8]]) -> Vec<Found> {
    let (mut splitter, mut kept, mut found) = (Splitter::default(), Vec::new(), Vec::new());
    let mut tell = |line: Line<'_>| {
        found.push(match line {
            Line::Whole(line) => Some(line.to_vec()),
            Line::TooLong => None,
        });
    };
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut rest = &kept[..];
        while let Some(line) = splitter.next(&mut rest, LINE_BYTES_MAX) {
            tell(line);
        }
        assert!(rest.len() <= LINE_BYTES_MAX + 1, "more is kept than a line may have");
        kept = rest.to_vec();
    }
    splitter.last(&mut &kept[..], LINE_BYTES_MAX).into_iter().for_each(tell);
    found
}

fn naive(data: &[u8], max: usize) -> Vec<Found> {
    let lines = data.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let blank = |line: &&[u8]| line.len() <= max && line.iter().all(u8::is_ascii_whitespace);
    lines.filter(|line| !blank(line)).map(|line| (line.len() <= max).then(|| line.to_vec())).collect()
}

fn limits() -> Limits {
    Limits { body_bytes_max: 300, batch_max: 4, id_bytes_max: 64, ..Limits::DEFAULT }
}

/// What a server says whose handlers answer at once.
fn answer(data: &[u8], cut: Cut) -> String {
    let server = Server::new("fuzz", "1").tool("hello", "Say hello", |(), _| "hello\n");
    let server = server.resource("fuzz:///one", "one", |_| "1").limits(limits());
    let mut world = World::cut(server, cut, cut);
    let sock = world.connect_lines();
    world.send(sock, data);
    world.half_close(sock);
    let text = world.take_text(sock);
    // A listener would wait for ever.
    world.advance(limits().shutdown_grace);
    assert!(world.closed(sock) && world.take(sock).is_empty());
    world.assert_empty();
    text
}

/// How many messages come of one line.
enum Expected {
    /// One with this id.
    Reply(Value),
    /// One with any id, or several in an array.
    Batch,
    Nothing,
}

fn check_answers(data: &[u8], answers: &str) {
    assert!(answers.is_empty() || answers.ends_with('\n'));
    assert!(!answers.contains('\r'));
    let messages: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut replies = messages.iter().filter(|message| message.get("method").is_none());
    for line in naive(data, limits().body_bytes_max) {
        let Some(expected) = expected(line.as_deref()) else { return };
        match expected {
            Expected::Reply(id) => {
                let reply = replies.next().unwrap_or_else(|| panic!("no reply to {id}"));
                assert_eq!(reply["id"], id);
                assert_ne!(reply.get("result").is_some(), reply.get("error").is_some(), "{reply}");
            }
            Expected::Batch => {
                let reply = replies.next().expect("no reply to a batch");
                let count = reply.as_array().map_or(1, Vec::len);
                assert!((1..=limits().batch_max).contains(&count), "{reply}");
            }
            Expected::Nothing => {}
        }
    }
    assert_eq!(replies.next(), None, "an answer to nothing");
}

/// `None` if it depends on what came before, and on what is open.
fn expected(line: Option<&[u8]>) -> Option<Expected> {
    let Some(line) = line else { return Some(Expected::Reply(Value::Null)) };
    let (limits, mut tape) = (limits(), Tape::new());
    if jsonrpc::is_batch(line) {
        let wants_answer = match jsonrpc::split_batch(line, &limits, &mut tape) {
            Ok(mut items) => {
                items.clone().count() == 0
                    || items.any(|item| {
                        !matches!(
                            jsonrpc::message(item, &limits),
                            Ok(Message::Notification(_) | Message::Response(_))
                        )
                    })
            }
            Err(_) => true,
        };
        return wants_answer.then_some(Expected::Batch);
    }
    match jsonrpc::parse(line, &limits, &mut tape) {
        Ok(Message::Request(request)) if request.method == "subscriptions/listen" => None,
        Ok(Message::Request(request)) => Some(Expected::Reply(value(&request.id))),
        Ok(Message::Notification(_) | Message::Response(_)) => Some(Expected::Nothing),
        Err(rejected) => {
            Some(Expected::Reply(rejected.id.as_ref().map_or(Value::Null, |id: &Id| value(&id.into()))))
        }
    }
}

fn value(id: &IdRef<'_>) -> Value {
    match id {
        IdRef::Int(number) => (*number).into(),
        IdRef::Str(text) => (&**text).into(),
    }
}
