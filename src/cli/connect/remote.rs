//! The two ends of a connection and what is known of both: what all threads share.
//!
//! *Scope:* the state of the session, messages from the remote server on their way to standard output. *Not in scope:* opening
//! sessions (`opening`), messages of the local client (`requests`, `lane`).
//!
//! ```text
//!             initialize           its result            404, or the stream of HTTP+SSE ends
//!   closed ──────────────▶ opening ──────────▶ open ───────────────────────────────────────▶ lost
//!      ▲                      │  ▲                                                            │
//!      └── refused ───────────┘  └───────── the same initialize, by the next request ─────────┘
//! ```

use std::fmt::Display;
use std::io;
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::{CANCELLED, IdText, Incoming, read_incoming};
use super::options::ConnectOptions;
use super::output::Output;
use super::table::{Answered, Table, Ticket};
use super::wire::{Session, Wire};
use crate::cli::bounds::{
    CONNECT_ID_BYTES_MAX, CONNECT_QUESTIONS_MAX, CONNECT_TOOLS_MAX, CONNECT_WAITING_BYTES_MAX,
};
use crate::cli::log::Lines;
use crate::client::error::Error;
use crate::client::transport::limits;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc;
use crate::memory::Account;
use crate::protocol::routing::Params;
use crate::text::{keep_on_one_line, printable};

/// The session, in its course.
pub(super) enum Link {
    Closed,
    /// With what is open already: questions may come, and be answered, before the session is.
    Opening(Option<Arc<Session>>),
    Open(Arc<Session>),
    /// Why it was lost.
    Lost(String),
}

/// What happens outside the loop that waits for the end.
pub(super) enum Event {
    InputEnded,
    /// All of standard input was passed on.
    InputPassedOn,
    /// Nobody reads standard output any more.
    OutputGone,
    /// A signal asks for the end.
    Signal,
}

/// A message for the remote server that gets no answer.
pub(super) enum Posted {
    Notification(String),
    /// `notifications/initialized`.
    Announcement(String),
    /// Of the request with this ticket, which has to leave first.
    Cancellation(String, Ticket),
    /// The answer to a question that came in the session of this generation.
    Answer(String, u64),
}

impl Posted {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Posted::Notification(text)
            | Posted::Announcement(text)
            | Posted::Cancellation(text, _)
            | Posted::Answer(text, _) => text.len(),
        }
    }
}

pub(super) struct State {
    pub(super) link: Link,
    /// How often a session was opened, or tried to be.
    pub(super) attempts: u64,
    /// The client's `initialize` as it came, and its id.
    pub(super) initialize: Option<(Arc<str>, IdText)>,
    /// The client's `notifications/initialized`, as it came.
    pub(super) initialized: Option<Arc<str>>,
    /// True from when that is read until it has arrived. Requests wait meanwhile.
    pub(super) is_announcing: bool,
    /// The generation of the last session whose stream is open, or is known not to be there.
    pub(super) streamed: u64,
    pub(super) table: Table,
    /// How many messages the lane has.
    pub(super) posts: usize,
    /// Bytes of them.
    pub(super) posted_bytes: usize,
    /// True once the program is about to end.
    pub(super) is_ending: bool,
}

impl State {
    /// Takes account of a message for the lane. Returns false if there is no room for so many bytes now.
    pub(super) fn begin_posting(&mut self, bytes: usize) -> bool {
        let sum = self.posted_bytes.saturating_add(bytes);
        if self.posts > 0 && sum > CONNECT_WAITING_BYTES_MAX {
            return false;
        }
        (self.posts, self.posted_bytes) = (self.posts + 1, sum);
        true
    }

    /// A message of the lane is done with.
    pub(super) fn end_posting(&mut self, bytes: usize) {
        self.posts = self.posts.saturating_sub(1);
        self.posted_bytes = self.posted_bytes.saturating_sub(bytes);
    }
}

pub(super) struct Remote {
    pub(super) options: ConnectOptions,
    pub(super) wire: Wire,
    pub(super) output: Output,
    pub(super) lines: Lines,
    /// What is held of answers that are not whole.
    pub(super) held: Account,
    /// The requests that are open.
    pub(super) asked: Account,
    /// Which arguments of tools are repeated in header fields.
    pub(super) annotated: Mutex<Params>,
    pub(super) lane: SyncSender<Posted>,
    pub(super) events: Sender<Event>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Remote {
    pub(super) fn new(
        options: ConnectOptions,
        wire: Wire,
        lines: Lines,
        lane: SyncSender<Posted>,
        events: Sender<Event>,
    ) -> io::Result<Remote> {
        let state = State {
            link: Link::Closed,
            attempts: 0,
            initialize: None,
            initialized: None,
            is_announcing: false,
            streamed: 0,
            table: Table::default(),
            posts: 0,
            posted_bytes: 0,
            is_ending: false,
        };
        Ok(Remote {
            options,
            wire,
            output: Output::open()?,
            lines,
            held: Account::default(),
            asked: Account::default(),
            annotated: Mutex::default(),
            lane,
            events,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state may have changed, but not for ever.
    pub(super) fn wait<'s>(&self, state: MutexGuard<'s, State>, patience: Duration) -> MutexGuard<'s, State> {
        self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn changed(&self) {
        self.changed.notify_all();
    }

    /// Changes the state, and tells all threads.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed();
        changed
    }

    /// True if all these requests are over.
    pub(super) fn is_over(&self, tickets: &[Ticket]) -> bool {
        let state = self.state();
        tickets.iter().all(|ticket| state.table.is_over(*ticket))
    }

    /// True if a session is the present one.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        match &self.state().link {
            Link::Opening(Some(session)) | Link::Open(session) => session.generation == generation,
            _ => false,
        }
    }

    /// Says something to the people who look at standard error. What others have written has to be cut before.
    pub(super) fn say(&self, text: impl Display) {
        self.lines.say(&text.to_string());
    }

    /// Says something that a peer can cause again and again.
    pub(super) fn note(&self, text: impl Display) {
        self.lines.pass_on(&text.to_string());
    }

    /// Writes a message to standard output.
    pub(super) fn write(&self, message: &[u8]) {
        if self.output.write(message).is_err() {
            // Without a receiver the end is near anyway.
            let _ = self.events.send(Event::OutputGone);
        }
    }

    /// Answers a request with an error, unless it is over.
    pub(super) fn fail(&self, tickets: &[Ticket], error: &jsonrpc::Error) {
        for ticket in tickets {
            let id = self.change(|state| state.table.take(*ticket));
            if let Some(id) = id {
                self.write(&error_line(id.text(), error));
            }
        }
    }

    /// The session is lost: what it asked cannot be answered any more. Another one that was opened meanwhile is not.
    pub(super) fn lose(&self, generation: u64, why: &str) {
        let mut state = self.state();
        match &state.link {
            Link::Open(session) if session.generation == generation => {}
            _ => return,
        }
        state.link = Link::Lost(why.to_owned());
        let questions = state.table.take_questions(generation);
        drop(state);
        self.changed();
        self.say(format_args!("{}: the session is lost: {why}", self.options.place));
        for question in questions {
            self.write(&cancellation(&question, "the session with the remote server has ended"));
        }
    }

    /// Takes what the remote server has sent, in answer to the POST of the requests `own` if they are known, and passes it on.
    pub(super) fn take_in(&self, text: String, own: &[Ticket], session: Option<&Session>) {
        let mut text = text.into_bytes();
        keep_on_one_line(&mut text);
        let text = String::from_utf8(text).unwrap_or_default();
        let mut tape = Tape::new();
        let json = match tape.read_within(&text, &limits()) {
            Ok(json) => json,
            Err(_) => return self.skip(&text, "it is not JSON"),
        };
        match json.items() {
            // Of revision 2025-03-26. Clients of all revisions take the messages one by one.
            Some(items) => items.for_each(|item| self.take_message(item, own, session)),
            None => self.take_message(json, own, session),
        }
    }

    fn skip(&self, text: &str, why: &str) {
        self.note(format_args!("what the remote server sent is skipped: {why}: `{}`", printable(text)));
    }

    fn take_message(&self, json: JsonRef<'_>, own: &[Ticket], session: Option<&Session>) {
        let text = json.text();
        match read_incoming(json) {
            Ok(Incoming::Response { id, is_error }) => {
                if !is_error && session.is_none() {
                    self.learn(json);
                }
                let answered = self.change(|state| state.table.answer(id.as_ref(), is_error, own));
                match answered {
                    Some(Answered { is_exact: true, .. }) => self.write(text.as_bytes()),
                    Some(Answered { id: own, .. }) => self.write(&renamed(json, &own)),
                    None => {
                        let id = id.map_or_else(|| "none".to_owned(), |id| printable(id.text()));
                        self.note(format_args!(
                            "an answer of the remote server is dropped: no request waits for it (id {id})"
                        ));
                    }
                }
            }
            Ok(Incoming::Request { id }) => match session {
                // There is no way to answer it (MCP 2026-07-28, basic, "Messages").
                None => self.skip(text, "a request has to come in a session"),
                Some(session) => self.take_question(text, id, session.generation),
            },
            Ok(Incoming::Notification { cancels }) => {
                if let Some(question) = cancels {
                    self.change(|state| state.table.take_question(&question));
                }
                self.write(text.as_bytes());
            }
            Err(why) => self.skip(text, &why),
        }
    }

    fn take_question(&self, text: &str, id: IdText, generation: u64) {
        let bytes = id.text().len();
        if bytes > CONNECT_ID_BYTES_MAX {
            let max = CONNECT_ID_BYTES_MAX;
            return self
                .skip(text, &format!("its `id` has {bytes} bytes, more than connect_id_bytes_max ({max})"));
        }
        let raw = id.text().to_owned();
        if self.change(|state| state.table.ask(id, generation)) {
            return self.write(text.as_bytes());
        }
        let error = jsonrpc::Error::internal(format_args!(
            "more than {CONNECT_QUESTIONS_MAX} requests to the client are open (connect_questions_max)"
        ));
        let answer = String::from_utf8(error_line(&raw, &error)).unwrap_or_default();
        // Of more that find no room here none is waited for.
        self.try_to_post(Posted::Answer(answer, generation));
    }

    /// Hands a message to the lane. Returns false if that has no room.
    pub(super) fn try_to_post(&self, message: Posted) -> bool {
        let bytes = message.bytes();
        if !self.change(|state| state.begin_posting(bytes)) {
            return false;
        }
        let is_posted = self.lane.try_send(message).is_ok();
        if !is_posted {
            self.change(|state| state.end_posting(bytes));
        }
        is_posted
    }

    /// Takes note of which arguments of tools are repeated in header fields, if the message lists tools.
    pub(super) fn learn(&self, json: JsonRef<'_>) {
        let Some(tools) = json.at(&["result", "tools"]).and_then(JsonRef::items) else { return };
        let mut annotated = self.annotated.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in tools {
            let name = tool.get("name").and_then(JsonRef::as_str).unwrap_or_default();
            let has_room = annotated.len() < CONNECT_TOOLS_MAX || annotated.has(&name);
            if has_room && name.len() <= CONNECT_ID_BYTES_MAX {
                annotated.learn_tool(tool);
            }
        }
    }

    /// Returns why a request has no answer, for the client.
    pub(super) fn explain(&self, error: &Error) -> jsonrpc::Error {
        jsonrpc::Error::internal(self.sentence(error))
    }

    /// Returns an error in a sentence, with what to do about it.
    pub(super) fn sentence(&self, error: &Error) -> String {
        let place = &self.options.place;
        let remedy = match error {
            Error::Http { status: 401, .. } if !self.options.has_token => {
                "; give a token with --token-file, or in the environment as MCP_TOKEN".to_owned()
            }
            Error::Timeout => format!(" ({} s; see --timeout)", self.options.timeout.as_secs_f64()),
            _ => String::new(),
        };
        format!("{place}: {error}{remedy}")
    }

    /// Answers these requests, which are open no more, with an error.
    pub(super) fn fail_all(&self, requests: &[IdText], why: &str) {
        let error = jsonrpc::Error::internal(why);
        requests.iter().for_each(|id| self.write(&error_line(id.text(), &error)));
    }
}

/// Returns a response with an error to the request with this id.
pub(super) fn error_line(id: &str, error: &jsonrpc::Error) -> Vec<u8> {
    let mut out = Vec::new();
    Object::new(&mut out).str("jsonrpc", "2.0").raw("id", id).field("error", |out| error.write(out));
    out
}

/// Returns the notification that gives up a request.
pub(super) fn cancellation(id: &IdText, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    jsonrpc::write_notification(&mut out, CANCELLED, |out| {
        Object::new(out).raw("requestId", id.text()).str("reason", reason);
    });
    out
}

/// Returns a response with the id that the client wrote.
fn renamed(response: JsonRef<'_>, id: &IdText) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Object::new(&mut out);
    message.str("jsonrpc", "2.0").raw("id", id.text());
    for name in ["result", "error"] {
        if let Some(value) = response.find(name) {
            message.raw(name, value.text());
        }
    }
    message.end();
    out
}

/// Returns a moment from now on.
pub(super) fn within(patience: Duration) -> Instant {
    crate::client::deadline::after(patience)
}
