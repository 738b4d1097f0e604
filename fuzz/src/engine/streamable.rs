//! Clients of `/mcp`: what they send, and what must be true of what they get.

use std::collections::BTreeSet;

use mcp_rill::Limits;
use mcp_rill::engine::Stats;
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::{self, Id, IdRef, Message};
use mcp_rill::sse::Decoder;

use super::super::client::Response;
use super::messages::{ANSWERS, MESSAGES, META, MODERN};
use super::peers::{Asked, Peers};

const BOTH: &str = "Accept: application/json, text/event-stream\r\n";

/// Header fields of a POST; `chunked` is about its body.
pub const FORMS: &[&str] = &[
    BOTH,
    "",
    "Accept: application/json\r\n",
    "Accept: text/event-stream\r\n",
    "Accept: text/html, application/json;q=0, text/event-stream;q=0\r\n",
    "Accept: */*\r\nMCP-Protocol-Version: 2025-11-25\r\n",
    "Accept: */*\r\nMCP-Protocol-Version: 2026-07-28\r\n",
    "Accept: */*\r\nMCP-Protocol-Version: 1999-01-01\r\n",
    "Accept: */*\r\nMcp-Session-Id: 00000000-0000-4000-8000-000000000001\r\n",
    "Accept: */*\r\nTransfer-Encoding: chunked\r\n",
];

/// A session of Streamable HTTP as its client sees it.
#[derive(Default)]
pub struct McpSession {
    id: String,
    questions: Vec<String>,
    cancelled: BTreeSet<i64>,
    /// A DELETE was answered with 200.
    pub ended: bool,
    /// A request of it was not answered: only the end of the session is an excuse.
    doubtful: bool,
    /// Streams were left and may have been taken over: a response can be on another one.
    resumed: bool,
}

impl McpSession {
    /// Takes in one message from the server; gives the id of a response.
    pub fn heard(&mut self, text: &str) -> Option<i64> {
        match parse(text) {
            Heard::Question(id) => self.questions.push(id),
            Heard::Reply(id, _) => return Some(id),
            Heard::Notice => {}
        }
        None
    }
}

enum Heard {
    Question(String),
    /// Its id, and whether it is a result.
    Reply(i64, bool),
    Notice,
}

fn parse(text: &str) -> Heard {
    match jsonrpc::parse(text.as_bytes(), &Limits::DEFAULT, &mut Tape::new()).expect("a message") {
        Message::Request(question) => {
            let mut id = Vec::new();
            question.id.write(&mut id);
            Heard::Question(String::from_utf8(id).expect("an id"))
        }
        Message::Notification(_) => Heard::Notice,
        Message::Response(reply) => match reply.id.map(IdRef::into_owned) {
            Some(Id::Int(id)) => Heard::Reply(id, reply.outcome.is_ok()),
            other => panic!("a reply to {other:?}"),
        },
    }
}

/// What one POST carries, and what came back so far.
pub struct Parcel {
    session: Option<usize>,
    ids: Vec<i64>,
    messages: u64,
    form: &'static str,
    /// No server may take it.
    broken: bool,
    /// Without a session: a refusal may come after it was looked at.
    modern: bool,
    /// It lasts until its client goes.
    listens: bool,
    /// The session was over before this was sent.
    too_late: bool,
    events_seen: usize,
    replies: Vec<(i64, bool)>,
}

/// Messages with their ids filled in, as one body.
pub struct Body {
    pub text: String,
    /// Of its requests.
    pub ids: Vec<i64>,
    /// Of what looks like a request.
    pub named: Vec<i64>,
    pub cancelled: Vec<i64>,
    pub messages: u64,
    broken: bool,
}

impl Body {
    /// `initialize`, of one of three revisions.
    pub fn initialize(revision: usize) -> Body {
        let revision = ["2025-11-25", "2025-03-26", "1.0"][revision % 3];
        let text = MESSAGES[1].replace('@', "0").replace("2025-11-25", revision);
        Body { ids: vec![0], ..Body::answer(text) }
    }

    /// An answer to a question.
    pub fn answer(text: String) -> Body {
        Body { text, ids: Vec::new(), named: Vec::new(), cancelled: Vec::new(), messages: 1, broken: false }
    }

    /// A message of [`MODERN`], with the state that the last result asked to be sent back.
    pub fn modern(message: usize, id: usize, state: &str) -> Body {
        let text = MODERN[message % MODERN.len()];
        let ids = if text.contains(r#""id":@"#) { vec![id as i64] } else { Vec::new() };
        let cancelled = if text.contains("cancelled") { vec![id as i64] } else { Vec::new() };
        let text = text.replace('@', &id.to_string()).replace("META", META).replace("STATE", state);
        Body { ids, cancelled, ..Body::answer(text) }
    }

    pub fn one(message: usize, id: usize) -> Body {
        let text = MESSAGES[message % MESSAGES.len()];
        let is_request = text.contains(r#""id":@,"method""#);
        let cancelled = if text.contains("cancelled") { vec![id as i64] } else { Vec::new() };
        Body {
            text: text.replace('@', &id.to_string()),
            ids: if is_request { vec![id as i64] } else { Vec::new() },
            named: if is_request { Vec::new() } else { vec![id as i64] },
            cancelled,
            messages: 1,
            broken: !text.ends_with('}') && !text.ends_with(']')
                || text.ends_with("@}")
                || text.contains("initialize\""),
        }
    }

    pub fn batch(messages: &[(usize, usize)]) -> Body {
        let parts: Vec<Body> = messages.iter().map(|(message, id)| Body::one(*message, *id)).collect();
        let texts: Vec<&str> = parts.iter().map(|part| &*part.text).collect();
        Body {
            text: format!("[{}]", texts.join(",")),
            ids: parts.iter().flat_map(|part| part.ids.clone()).collect(),
            named: parts.iter().flat_map(|part| part.named.clone()).collect(),
            cancelled: parts.iter().flat_map(|part| part.cancelled.clone()).collect(),
            messages: parts.len() as u64,
            broken: parts.is_empty() || parts.iter().any(|part| part.broken || part.text.starts_with('[')),
        }
    }
}

impl Peers {
    pub fn initialize(&mut self, n: usize, revision: usize, form: usize) {
        self.send_parcel(n, None, Body::initialize(revision), FORMS[form % FORMS.len()], false);
    }

    pub fn mcp_post(&mut self, n: usize, session: usize, messages: &[(usize, usize)], form: usize) {
        let [(message, id)] = messages else { return };
        let body = Body::one(*message, *id);
        self.send_parcel(n, Some(session), body, FORMS[form % FORMS.len()], false);
    }

    pub fn mcp_batch(&mut self, n: usize, session: usize, messages: &[(usize, usize)], form: usize) {
        self.send_parcel(n, Some(session), Body::batch(messages), FORMS[form % FORMS.len()], false);
    }

    /// Forms from 5 on are those of other eras: here they are what a modern client must not leave out.
    pub fn mcp_modern(&mut self, n: usize, message: usize, id: usize, form: usize) {
        let body = Body::modern(message, id, &self.state);
        self.send_parcel(n, None, body, FORMS[form % FORMS.len()], true);
    }

    fn send_parcel(
        &mut self,
        n: usize,
        session: Option<usize>,
        body: Body,
        form: &'static str,
        modern: bool,
    ) {
        let Some(at) = self.pick(n) else { return };
        let session = session.map(|session| session % self.mcp.len().max(1));
        if session.is_some_and(|session| self.mcp.get(session).is_none()) {
            return;
        }
        let Body { text, ids, cancelled, messages, broken, .. } = body;
        let leaves = text.contains("leave");
        let named = session.map(|session| format!("Mcp-Session-Id: {}\r\n", self.mcp[session].id));
        let framed = match form.contains("chunked") {
            true => format!("\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len()),
            false => format!("Content-Length: {}\r\n\r\n{text}", text.len()),
        };
        let eras = if modern { "MCP-Protocol-Version: 2026-07-28\r\n" } else { "" };
        let routing = match modern.then(|| serde_json::from_str::<serde_json::Value>(&text).expect("JSON")) {
            Some(value) => {
                let name = value.pointer("/params/name").or(value.pointer("/params/uri"));
                let name = name.map(|name| format!("Mcp-Name: {}\r\n", name.as_str().unwrap_or_default()));
                let method = value["method"].as_str().unwrap_or_default();
                format!("Mcp-Method: {method}\r\n{}", name.unwrap_or_default())
            }
            None => String::new(),
        };
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{form}{eras}{routing}{}{framed}",
            named.unwrap_or_default()
        );
        if !self.send(at, request.as_bytes()) {
            return;
        }
        self.posts += messages;
        if let Some(session) = session {
            self.mcp[session].cancelled.extend(cancelled);
            self.mcp[session].resumed |= leaves;
        }
        let listens = text.contains("subscriptions/listen");
        let modern = modern || form.contains("2026");
        let too_late = session.is_some_and(|session| self.mcp[session].ended);
        let parcel = Parcel {
            session,
            ids,
            messages,
            form,
            broken,
            modern,
            listens,
            too_late,
            events_seen: 0,
            replies: Vec::new(),
        };
        self.conns[at].waiting.push(Asked::McpPost(parcel));
    }

    pub fn mcp_answer(&mut self, n: usize, session: usize, what: usize) {
        let session = session % self.mcp.len().max(1);
        let Some(question) = self.mcp.get_mut(session).and_then(|session| session.questions.pop()) else {
            return;
        };
        let text = format!(r#"{{"jsonrpc":"2.0","id":{question},{}}}"#, ANSWERS[what % ANSWERS.len()]);
        self.send_parcel(n, Some(session), Body::answer(text), BOTH, false);
    }

    pub fn mcp_stream(&mut self, n: usize, session: usize, what: usize) {
        const FIELDS: [&str; 6] = [
            "",
            "Accept: text/event-stream\r\n",
            "Accept: text/event-stream\r\nLast-Event-ID: LAST\r\n",
            "Last-Event-ID: \r\nLast-Event-ID: x\r\n",
            "Last-Event-ID: 18446744073709551616-\u{fffd}\r\n",
            "Accept: application/json\r\n",
        ];
        let (Some(at), session) = (self.pick(n), session % self.mcp.len().max(1)) else { return };
        let Some(McpSession { id, .. }) = self.mcp.get(session) else { return };
        let fields = FIELDS[what % FIELDS.len()].replace("LAST", &self.last_event);
        let request = format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n{fields}\r\n");
        if self.send(at, request.as_bytes()) {
            let resumes = fields.contains("Last-Event-ID");
            self.mcp[session].resumed |= resumes;
            self.conns[at].waiting.push(Asked::McpStream(session, resumes));
        }
    }

    pub fn mcp_delete(&mut self, n: usize, session: usize) {
        let (Some(at), session) = (self.pick(n), session % self.mcp.len().max(1)) else { return };
        let Some(McpSession { id, .. }) = self.mcp.get(session) else { return };
        let request = format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n");
        if self.send(at, request.as_bytes()) {
            self.conns[at].waiting.push(Asked::McpEnd(session));
        }
    }

    /// An answer has begun that is not yet whole: events can be read, and questions in them answered.
    pub fn read_part(&mut self, at: usize, response: &Response) {
        let Some(Asked::McpPost(parcel)) = self.conns[at].waiting.first_mut() else { return };
        if !response.is_event_stream() {
            return;
        }
        let (mut decoder, mut rest, mut seen) = (Decoder::new(1 << 16), &response.body[..], 0);
        while let Some(event) = decoder.next(&mut rest).expect("a short event") {
            seen += 1;
            if seen <= parcel.events_seen || event.data.is_empty() {
                continue;
            }
            assert_eq!(event.name, "message");
            match (parse(&event.data), parcel.session) {
                (Heard::Question(id), Some(session)) => self.mcp[session].questions.push(id),
                (Heard::Question(_), None) => panic!("a question to nobody"),
                (Heard::Reply(id, is_result), _) => parcel.replies.push((id, is_result)),
                (Heard::Notice, _) => {}
            }
        }
        parcel.events_seen = seen.max(parcel.events_seen);
        if !decoder.last_id().is_empty() {
            self.last_event = decoder.last_id().to_owned();
        }
    }

    /// What was missed of a stream that is over.
    pub fn heard_again(&mut self, session: usize, response: &Response) {
        let (mut decoder, mut rest) = (Decoder::new(1 << 16), &response.body[..]);
        while let Some(event) = decoder.next(&mut rest).expect("a short event") {
            if !event.data.is_empty() {
                self.mcp[session].heard(&event.data);
            }
        }
    }

    pub fn parcel_answered(&mut self, at: usize, parcel: Parcel, response: &Response) {
        let mut parcel = parcel;
        let status = response.status;
        match status {
            200 if response.is_event_stream() => {
                assert!(
                    !parcel.form.contains("Accept: application/json\r"),
                    "an answer that is not accepted"
                );
                self.conns[at].waiting.insert(0, Asked::McpPost(parcel));
                self.read_part(at, response);
                let Asked::McpPost(read) = self.conns[at].waiting.remove(0) else { return };
                parcel = read;
            }
            200 => {
                assert!(!parcel.form.contains("Accept: text/event"), "an answer that is not accepted");
                let text = std::str::from_utf8(&response.body).expect("JSON");
                let messages: Vec<&serde_json::value::RawValue> = match text.starts_with('[') {
                    true => serde_json::from_str(text).expect("an array"),
                    false => vec![serde_json::from_str(text).expect("a value")],
                };
                for message in messages {
                    let Heard::Reply(id, is_result) = parse(message.get()) else { panic!("{text}") };
                    parcel.replies.push((id, is_result));
                }
            }
            202 => assert!(parcel.ids.is_empty(), "a request is accepted and not answered"),
            _ => assert!(status >= 400, "{response:?}"),
        }
        let body = String::from_utf8_lossy(&response.body);
        if let Some(state) =
            body.split_once(r#""requestState":""#).and_then(|(_, rest)| rest.split('"').next())
        {
            self.state = state.to_owned();
        }
        // Said of a session that ended meanwhile, 404 does not tell whether the message was taken.
        let taken = status < 400;
        self.accepted += if taken && !parcel.modern { parcel.messages } else { 0 };
        self.refused += if status >= 400 && status != 404 && !parcel.modern { parcel.messages } else { 0 };
        if self.any_raw {
            return;
        }
        assert!(
            !taken || !parcel.broken && (parcel.modern || !parcel.too_late),
            "{status} although nobody may take it"
        );
        self.check_ids(&parcel, taken);
        self.learn_session(&parcel, response);
    }

    /// Every request of a POST that was taken has one response, and nothing else has one.
    fn check_ids(&mut self, parcel: &Parcel, taken: bool) {
        let mut left = parcel.ids.clone();
        for (id, _) in &parcel.replies {
            let place = left.iter().position(|other| other == id);
            left.remove(place.unwrap_or_else(|| panic!("{id} is answered, of {:?}", parcel.ids)));
        }
        if let (Some(session), true) = (parcel.session, taken) {
            let session = &mut self.mcp[session];
            session.doubtful |= !session.resumed && left.iter().any(|id| !session.cancelled.contains(id));
        } else if taken {
            assert!(left.is_empty(), "{left:?} got no answer");
        }
    }

    fn learn_session(&mut self, parcel: &Parcel, response: &Response) {
        let named = response.header("mcp-session-id");
        match (parcel.session, named) {
            (Some(session), Some(id)) => assert_eq!(self.mcp[session].id, id, "another one's session"),
            (None, Some(id)) => {
                let [(0, true)] = parcel.replies[..] else { panic!("a session without a result") };
                assert!(id.len() == 36 && self.mcp.iter().all(|other| other.id != id), "{id} again");
                self.mcp.push(McpSession { id: id.to_owned(), ..McpSession::default() });
            }
            (None, None) => {
                let opened = !parcel.modern && parcel.replies.iter().any(|(_, is_result)| *is_result);
                assert!(!opened, "a result without a session");
            }
            (Some(_), None) => {}
        }
    }

    /// A session whose request went without an answer has to be over, and stays so.
    pub fn check_doubtful(&mut self) {
        let doubtful: Vec<usize> = (0..self.mcp.len())
            .filter(|at| self.mcp[*at].doubtful && !self.any_raw && !self.stopping)
            .collect();
        for session in doubtful {
            self.mcp[session].ended = true;
            let before = self.conns.len();
            self.connect();
            if self.conns.len() > before {
                let newest = self.newest();
                self.mcp_post(newest, session, &[(0, 9999)], 0);
                self.settle();
                self.world.reset(self.conns[before].sock);
                self.settle();
            }
        }
    }

    /// Streams of notifications have no end of their own.
    pub fn stop_listening(&mut self) {
        for conn in self.conns.iter().filter(|conn| conn.open) {
            let waits = |asked: &Asked| matches!(asked, Asked::McpPost(parcel) if parcel.listens);
            if conn.waiting.iter().any(waits) || conn.lines.as_ref().is_some_and(|lines| lines.listens) {
                self.world.reset(conn.sock);
            }
        }
        self.settle();
    }

    /// A POST waits for calls that are open, and for nothing else.
    pub fn check_waiting(&self) {
        let waits = |asked: &Asked| matches!(asked, Asked::McpPost(_));
        let mut conns = self.conns.iter().filter(|conn| conn.open && !conn.is_stream());
        let any = !self.any_raw && conns.any(|conn| conn.waiting.iter().any(waits));
        assert!(!any || self.world.engine.stats().calls > 0, "a POST has no answer and no open call");
    }

    /// After all that somebody new is served, and can go again.
    pub fn check_newcomer(&mut self) {
        let Stats { connections, sessions, .. } = self.world.engine.stats();
        if self.stopping || self.any_raw || sessions == super::peers::LIMITS.sessions_max {
            return;
        }
        assert_eq!(connections, 0);
        let known = self.mcp.len();
        self.connect();
        self.initialize(0, 0, 0);
        self.settle();
        assert_eq!(self.mcp.len(), known + 1, "nobody new is served");
        let before = self.accepted;
        self.mcp_post(0, known, &[(3, 1)], 0);
        self.settle();
        assert_eq!(self.accepted, before + 1, "a new session is not served");
        self.mcp_delete(0, known);
        self.settle();
        assert!(
            self.mcp[known].ended && self.world.engine.stats().sessions == sessions,
            "a session does not end"
        );
        self.hang_up(0);
        self.settle();
    }
}
