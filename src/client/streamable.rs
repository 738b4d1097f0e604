//! Streamable HTTP from the client's side (MCP 2025-03-26 to 2026-07-28, transports): each request has a connection of
//! its own until it is answered, and sessions can have one more stream, which the client opens with GET.
//!
//! *Scope:* the connections, which of them is read when, the session's id, lost streams.
//! *Not in scope:* what messages say, and what the header fields of a request say of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::error::{Error, is_other};
use crate::client::events::Fixed;
use crate::client::exchange::{Exchange, Step};
use crate::client::http::{Answer, Connection, SLICE, Turn, left, refused};
use crate::client::url::Url;
use crate::jsonrpc::id::{Id, IdRef};
use crate::jsonrpc::{self, Message};
use crate::sse;

/// How long one connection is read alone while others are open too.
const TURN: Duration = Duration::from_millis(10);
/// Connections without a request that are kept for the next one.
const IDLE_MAX: usize = 4;
/// How long the server may take to end the session when it is told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What comes from a server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The text of a message; with an id if it is all that the server answers to that request.
    Message(String, Option<Id>),
    /// This request will not be answered.
    Failed(Id, Error),
}

/// An endpoint, and everything open there.
#[derive(Debug)]
pub(super) struct Streamable {
    url: Url,
    fixed: Arc<Fixed>,
    /// Whether the server may open a session.
    sessions: bool,
    session_id: Option<String>,
    /// The field line that names the revision, for requests without a message.
    version: String,
    exchanges: Vec<Exchange>,
    /// Whose turn it is to be waited for.
    turn: usize,
    idle: Vec<Connection>,
    inbox: VecDeque<Incoming>,
    inbox_bytes: usize,
    /// Why there is no stream of the session any more.
    trouble: Option<Error>,
    /// The status that came with the last refusal told as an error of JSON-RPC.
    refusal: Option<u16>,
    expired: bool,
    closed: bool,
}

impl Streamable {
    pub(super) fn new(url: &Url, fixed: &Arc<Fixed>, sessions: bool) -> Streamable {
        Streamable {
            url: url.clone(),
            fixed: fixed.clone(),
            sessions,
            session_id: None,
            version: String::new(),
            exchanges: Vec::new(),
            turn: 0,
            idle: Vec::new(),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            trouble: None,
            refusal: None,
            expired: false,
            closed: false,
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.url.target
    }

    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    pub(super) fn refusal(&self) -> Option<u16> {
        self.refusal
    }

    /// Opens the stream of the session itself, if the server has one (MCP 2025-11-25, transports, "Listening for
    /// Messages from the Server"). `version` is the field line that names the revision.
    pub(super) fn listen(&mut self, version: String, deadline: Instant) -> Result<(), Error> {
        self.version = version;
        if self.exchanges.iter().any(|exchange| exchange.id().is_none()) {
            return Ok(());
        }
        let request = self.get("");
        let (connection, request) = self.send(request, deadline)?;
        self.exchanges.push(Exchange::new(None, connection, request));
        Ok(())
    }

    /// Posts one message. `id` is that of a request, whose answer [`receive`](Streamable::receive) will bring.
    pub(super) fn post(
        &mut self,
        body: &[u8],
        id: Option<&Id>,
        fields: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.check_open()?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{}{}{fields}\r\n",
            self.url.target,
            self.url.authority(),
            sse::MEDIA_TYPE,
            body.len(),
            self.session_field(),
            self.fixed.fields
        );
        let request = [head.as_bytes(), body].concat();
        if let Some(id) = id {
            let (connection, request) = self.send(request, deadline)?;
            self.exchanges.push(Exchange::new(Some(id.clone()), connection, request));
            return Ok(());
        }
        let (connection, answer) = self.exchange("POST", &request, deadline)?;
        let fixed = self.fixed.clone();
        let (error, kept) =
            refused(connection, &answer, &fixed.limits, deadline, &mut || self.drain(deadline));
        self.keep_connection(kept);
        match answer.status {
            200..300 => Ok(()),
            404 if self.session_id.is_some() => Err(self.expire()),
            _ => Err(error),
        }
    }

    /// What comes next. The connection of `awaited` is the one that is waited for, the others get short looks.
    pub(super) fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Incoming, Error> {
        loop {
            if let Some(incoming) = self.inbox.pop_front() {
                if let Incoming::Message(text, _) = &incoming {
                    self.inbox_bytes -= text.len();
                }
                return Ok(incoming);
            }
            self.check_open()?;
            if awaited.is_none()
                && let Some(error) = self.trouble.take()
            {
                return Err(error);
            }
            let left = left(deadline)?;
            if self.exchanges.is_empty() {
                // Nothing is open that could bring anything.
                return Err(if awaited.is_none() { Error::Timeout } else { Error::Closed });
            }
            self.turn = (self.turn + 1) % self.exchanges.len();
            let of = awaited.and_then(|id| self.exchanges.iter().position(|found| found.id() == Some(id)));
            let chosen = of.unwrap_or(self.turn);
            for at in (0..self.exchanges.len()).filter(|at| *at != chosen) {
                self.step(at, Duration::ZERO, deadline);
            }
            let alone = self.exchanges.len() == 1;
            let wait = if alone { SLICE } else { TURN };
            let wait = if self.inbox.is_empty() { wait.min(left) } else { Duration::ZERO };
            self.step(chosen, wait, deadline);
            self.exchanges.retain(|exchange| !exchange.is_done());
        }
    }

    /// The answer to this request has come, or nobody waits for it any more.
    pub(super) fn done(&mut self, id: &Id) {
        let found = self.exchanges.iter().position(|exchange| exchange.id() == Some(id));
        if let Some(at) = found {
            let kept = self.exchanges.swap_remove(at).finish(&self.fixed);
            self.keep_connection(kept);
        }
    }

    /// Closes all connections and ends the session on the server (MCP 2025-11-25, transports, "Session Management").
    pub(super) fn close(&mut self) {
        if self.closed {
            return;
        }
        self.exchanges.clear();
        self.inbox.clear();
        if self.session_id.is_some() && !self.expired {
            let deadline = Instant::now() + CLOSE_TIMEOUT;
            let request = self.plain("DELETE", "*/*", "");
            // Nobody is left to tell that this failed; the server ends unused sessions by itself.
            let _ = self.exchange("DELETE", &request, deadline);
        }
        self.closed = true;
        self.idle.clear();
    }

    fn check_open(&self) -> Result<(), Error> {
        match (self.closed, self.expired) {
            (true, _) => Err(Error::Closed),
            (_, true) => Err(Error::Expired),
            _ => Ok(()),
        }
    }

    fn expire(&mut self) -> Error {
        self.expired = true;
        self.exchanges.clear();
        Error::Expired
    }

    fn session_field(&self) -> String {
        self.session_id.as_ref().map_or_else(String::new, |id| format!("Mcp-Session-Id: {id}\r\n"))
    }

    fn plain(&self, method: &str, accept: &str, fields: &str) -> Vec<u8> {
        let (target, host) = (&self.url.target, self.url.authority());
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nCache-Control: no-store\r\n{}{}{}{fields}\r\n",
            self.session_field(),
            self.version,
            self.fixed.fields
        )
        .into_bytes()
    }

    fn get(&self, cursor: &str) -> Vec<u8> {
        let resume = if cursor.is_empty() { String::new() } else { format!("Last-Event-ID: {cursor}\r\n") };
        self.plain("GET", sse::MEDIA_TYPE, &resume)
    }

    fn keep_connection(&mut self, connection: Option<Connection>) {
        self.idle.extend(connection.filter(|_| self.idle.len() < IDLE_MAX));
    }

    /// A connection that was kept, or a new one.
    fn connection(&mut self, deadline: Instant) -> Result<Connection, Error> {
        while let Some(kept) = self.idle.pop() {
            if kept.is_usable() {
                return Ok(kept);
            }
        }
        Connection::open(&self.url, deadline)
    }

    /// Sends a request, and reads what the server says on other connections meanwhile.
    fn send(&mut self, request: Vec<u8>, deadline: Instant) -> Result<(Connection, Vec<u8>), Error> {
        let mut connection = self.connection(deadline)?;
        connection.send(&request, deadline, &mut || self.drain(deadline))?;
        Ok((connection, request))
    }

    /// Sends a request and waits for the head of its response.
    fn exchange(
        &mut self,
        method: &str,
        request: &[u8],
        deadline: Instant,
    ) -> Result<(Connection, Answer), Error> {
        let fixed = self.fixed.clone();
        let mut connection = self.connection(deadline)?;
        let turn: Turn<'_> = &mut || self.drain(deadline);
        let mut result = connection.exchange(method, request, &fixed.limits, deadline, turn);
        // Closed in the moment between the look at it and the request, which therefore was not taken.
        if connection.was_used() && matches!(&result, Err(failed) if failed.unanswered) {
            connection = Connection::open(&self.url, deadline)?;
            result =
                connection.exchange(method, request, &fixed.limits, deadline, &mut || self.drain(deadline));
        }
        let answer = result.map_err(|failed| failed.error)?;
        Ok((connection, answer))
    }

    /// Takes what is there without waiting, so that a server can go on that is stuck until its streams are read.
    fn drain(&mut self, deadline: Instant) -> Result<(), Error> {
        for at in 0..self.exchanges.len() {
            while self.inbox_bytes < self.fixed.event_bytes_max && self.step(at, Duration::ZERO, deadline) {}
        }
        Ok(())
    }

    /// Reads one exchange once; whether there may be more at once.
    fn step(&mut self, at: usize, wait: Duration, deadline: Instant) -> bool {
        let Some(exchange) = self.exchanges.get_mut(at) else { return false };
        let step = exchange.step(wait, &self.fixed);
        let id = exchange.id().cloned();
        let step = match exchange.take_session_id() {
            Some(session) if self.sessions && self.session_id.is_none() => self.adopt(session).and(step),
            _ => step,
        };
        match step {
            Ok(Step::Nothing) => return false,
            Ok(Step::Progress) => {}
            Ok(Step::Message(text)) => self.keep(Incoming::Message(text, None)),
            Ok(Step::Whole(text, kept)) => {
                self.keep_connection(kept);
                self.keep(Incoming::Message(text, id));
            }
            Ok(Step::Refused(status, body, kept)) => {
                self.keep_connection(kept);
                self.refuse(id, status, body);
            }
            Ok(Step::Ended) => self.lost(at, Error::Closed),
            Ok(Step::Again(request)) => match self.again(at, &request, deadline) {
                Ok(()) => {}
                Err(error) => self.fail(id, error),
            },
            Ok(Step::Due) => {
                let request = self.exchanges.get(at).map(|exchange| self.get(exchange.cursor()));
                if let Err(error) = self.again(at, &request.unwrap_or_default(), deadline) {
                    self.lost(at, error);
                }
            }
            Err(error) => {
                self.exchanges.get_mut(at).and_then(|exchange| exchange.finish(&self.fixed));
                self.fail(id, error);
            }
        }
        true
    }

    fn keep(&mut self, incoming: Incoming) {
        if let Incoming::Message(text, _) = &incoming {
            self.inbox_bytes += text.len();
        }
        self.inbox.push_back(incoming);
    }

    fn fail(&mut self, id: Option<Id>, error: Error) {
        match id {
            Some(id) => self.keep(Incoming::Failed(id, error)),
            None => self.trouble = Some(error),
        }
    }

    /// A stream ended, or could not be taken up again.
    fn lost(&mut self, at: usize, error: Error) {
        let (sessions, max) = (self.sessions, self.fixed.reconnects_max);
        let Some(exchange) = self.exchanges.get_mut(at) else { return };
        if !exchange.pause(if sessions { max } else { 0 }) {
            let id = exchange.id().cloned();
            self.fail(id, error);
        }
    }

    /// Sends a request of an exchange on a new connection.
    fn again(&mut self, at: usize, request: &[u8], deadline: Instant) -> Result<(), Error> {
        let mut connection = Connection::open(&self.url, deadline)?;
        connection.send(request, deadline, &mut || Ok(()))?;
        if let Some(exchange) = self.exchanges.get_mut(at) {
            exchange.ask_again(connection);
        }
        Ok(())
    }

    /// The session's id goes into every later request: it must not be able to begin another field, or another request
    /// (MCP 2025-11-25, transports: visible ASCII).
    fn adopt(&mut self, session: String) -> Result<(), Error> {
        if session.is_empty() || !session.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = "the server's Mcp-Session-Id is empty or has characters other than visible ASCII";
            return Err(Error::Protocol(text.to_owned()));
        }
        self.session_id = Some(session);
        Ok(())
    }

    fn refuse(&mut self, id: Option<Id>, status: u16, body: String) {
        let Some(id) = id else {
            match status {
                404 if self.session_id.is_some() => self.trouble = Some(Error::Expired),
                // Not every server has a stream of its own.
                404 | 405 => {}
                _ => self.trouble = Some(Error::Http { status, body }),
            }
            return;
        };
        if status == 404 && self.session_id.is_some() {
            let error = self.expire();
            return self.keep(Incoming::Failed(id, error));
        }
        // What a person must change, what has to wait, and what is broken is for the caller whatever the body says.
        if is_other(status) && is_error_for(&body, &id, &self.fixed) {
            self.refusal = Some(status);
            return self.keep(Incoming::Message(body, Some(id)));
        }
        self.keep(Incoming::Failed(id, Error::Http { status, body }));
    }
}

/// Whether a refusal says in terms of JSON-RPC what is wrong with this request.
fn is_error_for(body: &str, id: &Id, fixed: &Fixed) -> bool {
    match jsonrpc::parse(body.as_bytes(), &fixed.limits) {
        Ok(Message::Response(response)) => {
            response.outcome.is_err() && response.id.map(own_id).as_ref() == Some(id)
        }
        _ => false,
    }
}

/// The id of a request of ours, also from a server that keeps ids as text.
pub(crate) fn own_id(id: IdRef<'_>) -> Id {
    id.as_int().map_or_else(|| id.into_owned(), Id::Int)
}
