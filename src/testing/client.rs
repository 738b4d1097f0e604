//! One client: its connections, its open requests, and what it has heard.
//!
//! *Scope:* its requests, and what it does about each message. *Not in scope:* how messages are sent (`sending`), waiting
//! (`harness`), and what is special to 2026-07-28 (`stateless`).

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::access::peer::Peer;
use crate::engine::observe::Transport;
use crate::jsonrpc::Error;
#[cfg(feature = "stateless")]
use crate::protocol::routing::Params;
use crate::testing::answers::{Answer, Question, result_of};
use crate::testing::reading::{Arrival, Reader};
use crate::testing::response::{Failure, Notification, Response};
use crate::testing::shared::Shared;
use crate::testing::sockets::Sock;
use crate::testing::way::Way;

pub(super) type OnQuestion = Box<dyn FnMut(&Question) -> Answer>;

pub(super) struct Client {
    pub(super) way: Way,
    pub(super) peer: Peer,
    /// `/` and the name of the mount below which its paths are, or nothing.
    pub(super) below: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) capabilities: Value,
    pub(super) answers: BTreeMap<String, Answer>,
    pub(super) on_question: Option<OnQuestion>,
    /// The result of `initialize`.
    pub(super) welcome: Value,
    pub(super) connected: bool,
    pub(super) connections: Vec<Connection>,
    /// Where HTTP+SSE takes messages.
    pub(super) endpoint: Option<String>,
    pub(super) session: Option<String>,
    last_id: i64,
    pub(super) open: BTreeMap<i64, Open>,
    done: BTreeMap<i64, Response>,
    pub(super) notifications: VecDeque<Notification>,
    /// Questions that nothing answers, and the request in which they were asked, if that is known.
    unanswered: Vec<(Option<i64>, Question)>,
    /// True if a question is to stay without an answer.
    pub(super) ignores: bool,
    /// Streams whose rest the client has to come back for.
    pub(super) lost: Vec<Lost>,
    /// Why there is no connection.
    pub(super) refusal: Option<Failure>,
    #[cfg(feature = "stateless")]
    pub(super) listening: crate::testing::listening::Listening,
    /// Arguments that travel in header fields, once the tools were listed.
    #[cfg(feature = "stateless")]
    pub(super) annotated: Option<Params>,
}

/// A request without an answer.
pub(super) struct Open {
    what: String,
    pub(super) method: String,
    pub(super) params: Value,
    /// The id of the request on the wire: another one after each round of questions in results.
    pub(super) sent_as: i64,
    notifications: Vec<Notification>,
    pub(super) questions: Vec<Question>,
}

pub(super) struct Connection {
    pub(super) sock: Sock,
    reader: Reader,
    pub(super) purpose: Purpose,
    /// True once its end was read, which what is read elsewhere may have caused.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Everything travels on it.
    Lines,
    /// The session's own stream.
    Stream,
    /// The response belongs to this request, by its number on the wire.
    Request(i64),
    /// The response says only that a message was taken: of this request, if it is one.
    Delivery(Option<i64>),
    Idle,
}

pub(super) struct Lost {
    purpose: Purpose,
    last_event: String,
    retry_ms: u64,
}

impl Connection {
    pub(super) fn new(sock: Sock, purpose: Purpose) -> Connection {
        let reader = if purpose == Purpose::Lines { Reader::of_lines() } else { Reader::of_http() };
        Connection { sock, reader, purpose, is_over: false }
    }
}

impl Client {
    pub(super) fn new(way: Way) -> Client {
        Client {
            way,
            peer: Peer { loopback: true, ..Peer::default() },
            below: String::new(),
            headers: Vec::new(),
            capabilities: json!({
                "roots": {}, "sampling": {"tools": {}}, "elicitation": {"form": {}, "url": {}}
            }),
            answers: BTreeMap::new(),
            on_question: None,
            welcome: Value::Null,
            connected: false,
            connections: Vec::new(),
            endpoint: None,
            session: None,
            last_id: 0,
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            notifications: VecDeque::new(),
            unanswered: Vec::new(),
            ignores: false,
            lost: Vec::new(),
            refusal: None,
            #[cfg(feature = "stateless")]
            listening: Default::default(),
            #[cfg(feature = "stateless")]
            annotated: None,
        }
    }

    /// Sends a request, and returns its number. `what` names it in messages.
    pub(super) fn request(
        &mut self,
        shared: &mut Shared,
        what: String,
        method: &str,
        mut params: Value,
    ) -> i64 {
        self.last_id += 1;
        let id = self.last_id;
        if matches!(method, "tools/call" | "prompts/get" | "resources/read") && params["_meta"].is_null() {
            params["_meta"] = json!({"progressToken": id});
        }
        let refusal = self.refusal.take();
        let open = Open {
            what: format!("{what} ({})", self.way),
            method: method.to_owned(),
            params,
            sent_as: id,
            notifications: Vec::new(),
            questions: Vec::new(),
        };
        self.open.insert(id, open);
        match refusal {
            Some(failure) => self.finish(shared, id, Err(failure)),
            None => self.send_request(shared, id, &[]),
        }
        id
    }

    /// Sends an open request, with more members than its own.
    pub(super) fn send_request(&mut self, shared: &mut Shared, id: i64, more: &[(&str, Value)]) {
        let Some(open) = self.open.get(&id) else { return };
        let (method, sent_as) = (open.method.clone(), open.sent_as);
        let mut params = open.params.clone();
        for (name, value) in more {
            params[*name] = value.clone();
        }
        #[cfg(feature = "stateless")]
        let fields = match self.way.revision.has_sessions() {
            true => String::new(),
            false => self.complete_request(&method, &mut params),
        };
        #[cfg(not(feature = "stateless"))]
        let fields = String::new();
        let mut message = json!({"jsonrpc": "2.0", "id": sent_as, "method": method});
        if params != json!({}) {
            message["params"] = params;
        }
        self.send(shared, &message, &fields, Some(sent_as));
    }

    #[cfg(feature = "stateless")]
    pub(super) fn last_id(&self) -> i64 {
        self.last_id
    }

    #[cfg(feature = "stateless")]
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn notify(&mut self, shared: &mut Shared, method: &str, params: Value) {
        self.send(shared, &json!({"jsonrpc": "2.0", "method": method, "params": params}), "", None);
    }

    /// One turn: what is there is done and read. Returns true if anything came.
    pub(super) fn turn(&mut self, shared: &mut Shared) -> bool {
        shared.turn();
        self.read(shared)
    }

    /// Does all that can be done without waiting.
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        while self.turn(shared) || shared.is_due() || shared.read_slowly() || self.come_back(shared, false) {}
    }

    /// Reads what has come. Returns true if anything has.
    fn read(&mut self, shared: &mut Shared) -> bool {
        let mut came = false;
        let mut at = 0;
        while at < self.connections.len() {
            came |= self.read_connection(shared, at);
            at += 1;
        }
        self.connections.retain(|connection| !connection.is_over);
        came
    }

    fn read_connection(&mut self, shared: &mut Shared, at: usize) -> bool {
        let (sock, purpose) = (self.connections[at].sock, self.connections[at].purpose);
        let bytes = shared.sockets.take(sock);
        let resumable = cfg!(feature = "resume")
            && self.session.is_some()
            && matches!(purpose, Purpose::Request(_) | Purpose::Stream);
        let breaks = !bytes.is_empty() && resumable && shared.breaks();
        let kept = if breaks { shared.random.below(bytes.len() + 1) } else { bytes.len() };
        let mut arrivals = self.connections[at].reader.read(&bytes[..kept]);
        let reader = &self.connections[at].reader;
        let is_lost = breaks && reader.is_stream() && reader.last_event.is_some();
        if !is_lost {
            arrivals.extend(self.connections[at].reader.read(&bytes[kept..]));
        }
        for arrival in arrivals {
            self.take(shared, at, arrival);
        }
        if is_lost {
            shared.sockets.reset(sock);
            shared.note_lost_stream();
            // This client comes back at once.
            self.connections[at].reader.retry_ms = None;
        }
        // What was sent in answer to these bytes may have brought more.
        if shared.sockets.ended(sock) && (is_lost || shared.sockets.unseen(sock) == 0) {
            self.connections[at].is_over = true;
            self.connection_ended(shared, at);
        }
        !bytes.is_empty()
    }

    fn take(&mut self, shared: &mut Shared, at: usize, arrival: Arrival) {
        let purpose = self.connections[at].purpose;
        let request = match purpose {
            Purpose::Request(sent_as) | Purpose::Delivery(Some(sent_as)) => self.opened_as(sent_as),
            _ => None,
        };
        match arrival {
            Arrival::Head { status, session } => {
                if status == 200 && session.is_some() {
                    self.session = session;
                }
            }
            Arrival::Endpoint(endpoint) => self.endpoint = Some(endpoint),
            Arrival::Message(Value::Array(messages)) => {
                messages.into_iter().for_each(|message| self.message(shared, request, message));
            }
            Arrival::Message(message) => self.message(shared, request, message),
            Arrival::Refused { status, text } => {
                self.connections[at].purpose = Purpose::Idle;
                let message = serde_json::from_str(&text).unwrap_or(Value::Null);
                match request {
                    Some(_) if message["id"].is_i64() => self.message(shared, request, message),
                    Some(id) => self.finish(shared, id, Err(Failure::Refused(status, text))),
                    // The session's stream is refused where there is none: without a session, or by HTTP+SSE that is not allowed.
                    None if purpose == Purpose::Stream && self.way.transport == Transport::Sse => {
                        self.refusal = Some(Failure::Refused(status, text));
                    }
                    None => {}
                }
            }
            Arrival::End => {
                let reader = &self.connections[at].reader;
                let (last_event, retry_ms) = (reader.last_event.clone(), reader.retry_ms.unwrap_or(0));
                self.connections[at].purpose = Purpose::Idle;
                let (Purpose::Request(_), Some(id)) = (purpose, request) else { return };
                if let Some(last_event) = last_event.filter(|_| self.can_resume()) {
                    // The handler has sent the client away, which comes back for the rest.
                    self.lost.push(Lost { purpose, last_event, retry_ms });
                    return;
                }
                let why = "was not answered: the server ended its response before the result";
                self.finish(shared, id, Err(Failure::Unanswered(why.to_owned())));
            }
        }
    }

    fn connection_ended(&mut self, shared: &mut Shared, at: usize) {
        let Connection { reader, purpose, sock, .. } = &mut self.connections[at];
        let (last_event, retry_ms) = (reader.last_event.clone(), reader.retry_ms.unwrap_or(0));
        let (purpose, end) = (std::mem::replace(purpose, Purpose::Idle), shared.sockets.end(*sock));
        let why = || match end {
            Some((reason, _)) => format!("was not answered: its connection was closed ({reason:?})"),
            None => "was not answered: the server has ended its connection".to_owned(),
        };
        let request = match purpose {
            Purpose::Request(sent_as) | Purpose::Delivery(Some(sent_as)) => self.opened_as(sent_as),
            Purpose::Lines | Purpose::Stream => None,
            _ => return,
        };
        let is_over = matches!(purpose, Purpose::Request(_) | Purpose::Delivery(_)) && request.is_none();
        if is_over {
            return;
        }
        if let Some(last_event) = last_event.filter(|_| self.can_resume()) {
            self.lost.push(Lost { purpose, last_event, retry_ms });
            return;
        }
        match request {
            Some(id) => self.finish(shared, id, Err(Failure::Unanswered(why()))),
            None if self.way.transport == Transport::Streamable => {}
            None => self.fail_all(&why()),
        }
    }

    fn can_resume(&self) -> bool {
        cfg!(feature = "resume") && self.session.is_some()
    }

    /// Asks for the rest of streams that were lost, after the time that the server wants; without `waits` only where that is none.
    /// Returns true if there was any.
    pub(super) fn come_back(&mut self, shared: &mut Shared, waits: bool) -> bool {
        let (lost, later): (Vec<Lost>, Vec<Lost>) =
            std::mem::take(&mut self.lost).into_iter().partition(|lost| waits || lost.retry_ms == 0);
        self.lost = later;
        for Lost { purpose, last_event, retry_ms } in &lost {
            shared.advance(std::time::Duration::from_millis(*retry_ms));
            let path = self.mcp_path(shared);
            let fields = format!("{}Last-Event-ID: {last_event}\r\n", self.session_fields());
            self.get(shared, &path, &fields, *purpose);
        }
        !lost.is_empty()
    }

    pub(super) fn opened_as(&self, sent_as: i64) -> Option<i64> {
        self.open.iter().find(|(_, open)| open.sent_as == sent_as).map(|(id, _)| *id)
    }

    /// Takes a message that came in the response to a request, or elsewhere.
    fn message(&mut self, shared: &mut Shared, of: Option<i64>, mut message: Value) {
        // On a stream that all requests share only one request can be meant, if only one is open.
        let of = of.or_else(|| {
            let mut open = self.open.iter().filter(|(_, open)| open.method != "subscriptions/listen");
            open.next().map(|(id, _)| *id).filter(|_| open.next().is_none())
        });
        match (message["method"].take(), message.get("id").cloned()) {
            (Value::String(method), Some(id)) => self.asked(shared, of, &id, &method, &message["params"]),
            (Value::String(method), None) => self.heard(of, &method, &message["params"]),
            (_, Some(id)) => {
                let Some(request) = id.as_i64().and_then(|id| self.opened_as(id)) else { return };
                let outcome = match message.get_mut("result") {
                    Some(result) => Ok(result.take()),
                    None => Err(Failure::Rpc(error_of(&message["error"]))),
                };
                #[cfg(feature = "stateless")]
                if let Ok(result) = &outcome
                    && result["resultType"] == "input_required"
                {
                    return self.answer_in_request(shared, request, result);
                }
                self.finish(shared, request, outcome);
            }
            _ => {}
        }
    }

    fn asked(&mut self, shared: &mut Shared, of: Option<i64>, id: &Value, method: &str, params: &Value) {
        if method == "ping" {
            return self.send(shared, &json!({"jsonrpc": "2.0", "id": id, "result": {}}), "", None);
        }
        let key = id.as_i64().and_then(|id| shared.sockets.engine.core.service.question_key(id));
        let question = Question::new(key, method, (!params.is_null()).then_some(params));
        let answer = self.answer_to(&question);
        if let Some(open) = of.and_then(|id| self.open.get_mut(&id)) {
            open.questions.push(question.clone());
        }
        let Some(answer) = answer else { return self.unanswered.push((of, question)) };
        match result_of(&question, &answer) {
            Some(Ok(result)) => {
                self.send(shared, &json!({"jsonrpc": "2.0", "id": id, "result": result}), "", None);
            }
            Some(Err(error)) => {
                let error = json!({"code": error.code, "message": error.message});
                self.send(shared, &json!({"jsonrpc": "2.0", "id": id, "error": error}), "", None);
            }
            None => self.ignores = true,
        }
    }

    /// Returns what the test lets the client answer.
    pub(super) fn answer_to(&mut self, question: &Question) -> Option<Answer> {
        let by_key = question.key.as_ref().and_then(|key| self.answers.get(key)).cloned();
        by_key.or_else(|| self.on_question.as_mut().map(|answer| answer(question)))
    }

    #[cfg(feature = "stateless")]
    pub(super) fn note_unanswered(&mut self, of: i64, question: Question) {
        self.unanswered.push((Some(of), question));
    }

    /// Takes a question that keeps this request from being answered.
    pub(super) fn take_unanswered(&mut self, id: i64) -> Option<Question> {
        let at = self.unanswered.iter().position(|(of, _)| of.is_none_or(|of| of == id))?;
        Some(self.unanswered.swap_remove(at).1)
    }

    fn heard(&mut self, of: Option<i64>, method: &str, params: &Value) {
        #[cfg(feature = "stateless")]
        if method == "notifications/subscriptions/acknowledged" {
            return self.listening.acknowledged(params);
        }
        #[cfg(feature = "stateless")]
        if method == "notifications/tools/list_changed" {
            self.annotated = None;
        }
        if method == "notifications/cancelled" {
            // A question that the server does not ask any more; it was answered at once, or never will be.
            self.unanswered.clear();
            return;
        }
        let notification = Notification::of(method, params);
        let of = match notification {
            Notification::Progress { .. } => params["progressToken"].as_i64(),
            Notification::Log { .. } => of,
            _ => None,
        };
        if let Some(open) = of.and_then(|id| self.open.get_mut(&id)) {
            open.notifications.push(notification.clone());
        }
        self.notifications.push_back(notification);
    }

    pub(super) fn finish(&mut self, shared: &Shared, id: i64, outcome: Result<Value, Failure>) {
        let Some(open) = self.open.remove(&id) else { return };
        let Open { what, notifications, questions, .. } = open;
        let faults = shared.take_reports();
        self.done.insert(id, Response { what, outcome, notifications, questions, faults });
    }

    /// Takes the response to a request, if it has come.
    pub(super) fn take_response(&mut self, id: i64) -> Option<Response> {
        self.done.remove(&id)
    }

    /// Takes a response for one that has not come.
    pub(super) fn reopen(&mut self, id: i64, response: Response) {
        let Response { what, notifications, questions, .. } = response;
        let (method, params) = (String::new(), Value::Null);
        self.open.insert(id, Open { what, method, params, sent_as: id, notifications, questions });
    }

    pub(super) fn fail_all(&mut self, why: &str) {
        for (id, Open { what, notifications, questions, .. }) in std::mem::take(&mut self.open) {
            let outcome = Err(Failure::Unanswered(why.to_owned()));
            self.done.insert(id, Response { what, outcome, notifications, questions, faults: Vec::new() });
        }
    }
}

/// An error object; the server sends no other.
fn error_of(error: &Value) -> Error {
    let code = error["code"].as_i64().unwrap_or(Error::INTERNAL_ERROR);
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    let data = error.get("data").and_then(|data| serde_json::value::to_raw_value(data).ok());
    Error { code, message: message.into(), data }
}
