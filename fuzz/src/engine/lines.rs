//! Connections whose messages are lines: what is sent on them, and what must come back.

use std::collections::BTreeMap;

use mcp_rill::Limits;
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::{self, Id, IdRef, Message};

use super::messages::{ANSWERS, MESSAGES, MODERN};
use super::peers::Peers;
use super::streamable::Body;

/// What the client of such a connection has sent and heard.
#[derive(Default)]
pub struct Lines {
    questions: Vec<String>,
    counts: BTreeMap<i64, Counts>,
    /// The ids in each batch that has requests: one of them is answered, or names what is wrong with the batch.
    batches: Vec<Vec<i64>>,
    /// Errors whose id is null: of lines that could not be read, or that there was no memory for.
    nameless: usize,
    /// A subscription of 2026-07-28 was asked for, which lasts until its client goes.
    pub listens: bool,
}

/// What happened under one id.
#[derive(Debug, Default)]
struct Counts {
    /// Requests, each of which gets one reply.
    asked: usize,
    /// Messages with this id that may have a reply: those of batches, and those that are no requests, and may be refused under it.
    uncertain: usize,
    cancels: usize,
    replies: usize,
    last_is_result: bool,
}

impl Lines {
    fn heard(&mut self, line: &str, any_raw: bool) {
        if line.starts_with('[') {
            let batch: Vec<&serde_json::value::RawValue> = serde_json::from_str(line).expect("an array");
            assert!(!batch.is_empty(), "an empty batch");
            batch.iter().for_each(|message| self.heard(message.get(), any_raw));
            return;
        }
        let mut tape = Tape::new();
        match jsonrpc::parse(line.as_bytes(), &Limits::DEFAULT, &mut tape).expect("a message") {
            Message::Request(question) => {
                let mut id = Vec::new();
                question.id.write(&mut id);
                self.questions.push(String::from_utf8(id).expect("an id"));
            }
            Message::Notification(_) => {}
            Message::Response(reply) => match reply.id.map(IdRef::into_owned) {
                Some(Id::Int(id)) => {
                    let counts = self.counts.entry(id).or_default();
                    counts.replies += 1;
                    counts.last_is_result = reply.outcome.is_ok();
                    assert!(any_raw || counts.replies <= counts.asked + counts.uncertain, "{id}: {counts:?}");
                }
                Some(other) => assert!(any_raw, "a reply to {other:?}"),
                None => {
                    assert!(reply.outcome.is_err(), "a result of nothing");
                    self.nameless += 1;
                }
            },
        }
    }
}

impl Peers {
    pub fn connect_lines(&mut self) {
        if self.world.engine.has_room() {
            let sock = self.world.connect_lines();
            self.connected(sock, Some(Lines::default()));
        }
    }

    fn pick_lines(&self, n: usize) -> Option<usize> {
        let open = |at: &usize| self.conns[*at].open && self.conns[*at].lines.is_some();
        let all: Vec<usize> = (0..self.conns.len()).filter(open).collect();
        all.get(n % all.len().max(1)).copied()
    }

    pub fn initialize_lines(&mut self, n: usize, revision: usize) {
        let Some(at) = self.pick_lines(n) else { return };
        self.send_line(at, &Body::initialize(revision));
    }

    /// A message of [`MESSAGES`], or behind them one of [`MODERN`].
    pub fn say(&mut self, n: usize, message: usize, id: usize) {
        let Some(at) = self.pick_lines(n) else { return };
        let body = match (message % (MESSAGES.len() + MODERN.len())).checked_sub(MESSAGES.len()) {
            None => Body::one(message % (MESSAGES.len() + MODERN.len()), id),
            Some(message) => Body::modern(message, id, &self.state),
        };
        self.send_line(at, &body);
    }

    pub fn say_batch(&mut self, n: usize, messages: &[(usize, usize)]) {
        let Some(at) = self.pick_lines(n) else { return };
        self.send_line(at, &Body::batch(messages));
    }

    pub fn answer_line(&mut self, n: usize, what: usize) {
        let Some(at) = self.pick_lines(n) else { return };
        let Some(question) = self.conns[at].lines.as_mut().and_then(|lines| lines.questions.pop()) else {
            return;
        };
        let text = format!(r#"{{"jsonrpc":"2.0","id":{question},{}}}"#, ANSWERS[what % ANSWERS.len()]);
        self.send_line(at, &Body::answer(text));
    }

    fn send_line(&mut self, at: usize, body: &Body) {
        let Body { text, ids, named, cancelled, messages, .. } = body;
        if !self.send(at, format!("{text}\n").as_bytes()) {
            return;
        }
        self.posts += messages;
        let Some(lines) = &mut self.conns[at].lines else { return };
        lines.listens |= text.contains("subscriptions/listen");
        // A batch may be refused as a whole, under one id that is wrong with it.
        let is_batch = text.starts_with('[');
        for id in ids {
            let counts = lines.counts.entry(*id).or_default();
            *(if is_batch { &mut counts.uncertain } else { &mut counts.asked }) += 1;
        }
        if is_batch && !ids.is_empty() {
            lines.batches.push(ids.iter().chain(named).copied().collect());
        }
        named.iter().for_each(|id| lines.counts.entry(*id).or_default().uncertain += 1);
        cancelled.iter().for_each(|id| lines.counts.entry(*id).or_default().cancels += 1);
    }

    /// The peer looks at what it was sent, line by line.
    pub fn read_lines(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let Some(lines) = &mut conn.lines else { return };
        while let Some(end) = conn.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = conn.input.drain(..=end).collect();
            let line = std::str::from_utf8(&line).expect("UTF-8").trim_end();
            if let Some((_, state)) = line.split_once(r#""requestState":""#) {
                self.state = state.split('"').next().unwrap_or_default().to_owned();
            }
            lines.heard(line, self.any_raw);
        }
    }

    /// Each request on a connection that is still open has its reply, unless it was cancelled, or its line could not be kept.
    pub fn check_lines(&self) {
        for conn in self.conns.iter().filter(|conn| conn.open && !self.any_raw && !self.stopping) {
            let Some(lines) = &conn.lines else { continue };
            for (id, counts) in &lines.counts {
                let answered = counts.replies + counts.cancels + lines.nameless >= counts.asked;
                assert!(answered, "{id}: {counts:?}, and {} without an id", lines.nameless);
            }
            for ids in &lines.batches {
                let answered = |id: &i64| lines.counts[id].replies + lines.counts[id].cancels > 0;
                assert!(lines.nameless > 0 || ids.iter().any(answered), "a batch of {ids:?} has no answer");
            }
        }
    }

    /// After all that, every client that is still there is served.
    pub fn check_service_of_lines(&mut self) {
        let served = |at: &usize| {
            let conn = &self.conns[*at];
            conn.open && conn.lines.is_some() && !conn.half_closed && !self.any_raw && !self.stopping
        };
        for at in (0..self.conns.len()).filter(served).collect::<Vec<_>>() {
            self.send_line(at, &Body::one(0, 9999));
            self.settle();
            let counts = self.conns[at].lines.as_ref().map(|lines| &lines.counts[&9999]);
            assert!(
                counts.is_some_and(|counts| counts.replies == 1 && counts.last_is_result),
                "no service: {counts:?}"
            );
        }
    }
}
