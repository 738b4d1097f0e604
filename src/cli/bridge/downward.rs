//! From children to clients: answers, notifications, questions.
//!
//! *Scope:* reading a child's standard output and error, and which client each message is for. *Not in scope:* what clients send
//! (`upward`).
//!
//! ```text
//!  answer ─────────▶ the call of that id, once; any other is dropped
//!  progress ───────▶ the call of that token            cancelled ──▶ the client that was asked
//!  other notification, question ──▶ the child's session; on the stream of its latest open call
//! ```

use super::asking;
use super::child::{Era, Fault};
use super::options::Isolation;
use super::rewrite::{self, Meta, outcome_of};
use super::rounds::kept_outcome;
use super::service::{Bridge, Client};
use super::sessions;
use super::shared;
use super::tables::{About, Lone, Owner, Pending, Question};
use crate::cli::bounds::{CHILD_NOISE_LINES_MAX, CHILD_QUESTIONS_MAX};
use crate::cli::process::piped::Taken;
use crate::json::value::JsonRef;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Error, Message, Notification, Request, Response};
use crate::protocol::client_info::Capabilities;
use crate::protocol::kinds::UPDATED;
use crate::protocol::level::Level;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
use crate::slab::Key;
use crate::text::{printable, shown};

impl Bridge {
    /// Reads once what a child has written, at most its share of a turn. What is left is read in the next turn. `has_ended` is true if
    /// nothing announces the end of the output any more.
    pub(super) fn read_from(&mut self, key: Key, has_ended: bool, out: &mut Outbox) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = self.read_once(key, &mut scratch, out);
        self.scratch = scratch;
        match read {
            // A short read has emptied the pipe, and what comes later is an event.
            Some(Taken::Bytes(count)) if count < self.scratch.len() && !has_ended => {}
            Some(Taken::Bytes(_)) => self.pool.read_later(key),
            Some(Taken::Over) => self.closed_output(key),
            Some(Taken::Nothing) | None => {}
        }
    }

    /// Reads all that a child which has ended has left, but not for ever: something else may hold the pipe.
    pub(super) fn read_rest(&mut self, key: Key, out: &mut Outbox) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut left = self.limits.message_bytes_max + scratch.len();
        while left > 0
            && let Some(Taken::Bytes(count)) = self.read_once(key, &mut scratch, out)
        {
            left = left.saturating_sub(count);
        }
        self.scratch = scratch;
        while self.read_stderr_once(key) && left > 0 {
            left = left.saturating_sub(self.scratch.len());
        }
    }

    /// Reads once, and takes the messages that are whole. `None` if the child is gone.
    fn read_once(&mut self, key: Key, scratch: &mut [u8], out: &mut Outbox) -> Option<Taken> {
        let max = self.limits.message_bytes_max;
        let child = self.pool.get_mut(key)?;
        let output = child.read(scratch);
        let mut rest = output.bytes();
        loop {
            let child = self.pool.get_mut(key)?;
            match child.next_line(&mut rest, max) {
                Some(Ok(line)) => self.take_line(key, line, out),
                Some(Err(fault)) => {
                    let reason = reason_of(&fault, max);
                    self.fail(key, reason, out);
                }
                None => break,
            }
        }
        let (left, taken) = (rest.len(), output.taken);
        self.pool.get_mut(key)?.keep(output, left);
        Some(taken)
    }

    pub(super) fn read_stderr(&mut self, key: Key) {
        // Lines beyond what the log takes are dropped, so that no child waits for it.
        for _ in 0..4 {
            if !self.read_stderr_once(key) {
                return;
            }
        }
        self.pool.read_later(key);
    }

    /// Returns true if there may be more.
    fn read_stderr_once(&mut self, key: Key) -> bool {
        let Some(child) = self.pool.get_mut(key) else { return false };
        let taken = child.piped.read_stderr(&mut self.scratch);
        let Taken::Bytes(count) = taken else { return false };
        let lines = child.take_stderr(self.scratch.get(..count).unwrap_or_default());
        for line in lines {
            self.log.pass_on(&format!("{}: {line}", self.served.name));
        }
        true
    }

    fn take_line(&mut self, key: Key, line: &[u8], out: &mut Outbox) {
        if !matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
            let text = format!(
                "{}: its standard output has a line that is no message, which is skipped: {}",
                self.served.name,
                shown(line)
            );
            return self.log.pass_on(&text);
        }
        let mut tape = std::mem::take(&mut self.tape);
        if jsonrpc::is_batch(line) {
            let items = jsonrpc::split_batch(line, &self.child_limits, &mut tape);
            match items {
                Ok(items) => items.for_each(|item| {
                    match jsonrpc::message(item, &self.child_limits) {
                        Ok(message) => self.take_message(key, &message, out),
                        Err(refused) => self.note_invalid(&refused.error),
                    };
                }),
                Err(error) => self.note_invalid(&error),
            }
        } else {
            match jsonrpc::parse(line, &self.child_limits, &mut tape) {
                Ok(message) => self.take_message(key, &message, out),
                Err(refused) => self.note_invalid(&refused.error),
            }
        }
        self.tape = tape.emptied();
    }

    fn note_invalid(&self, error: &Error) {
        self.log
            .pass_on(&format!("{}: it sent what is no message, which is dropped: {error}", self.served.name));
    }

    fn take_message(&mut self, key: Key, message: &Message<'_>, out: &mut Outbox) {
        // One that was ended for what it said has nothing more to say.
        if self.pool.get(key).is_none_or(|child| child.reason.is_some()) {
            return;
        }
        self.note_use(key);
        match message {
            Message::Response(response) => self.take_response(key, response, out),
            Message::Notification(notification) => self.take_child_notification(key, notification, out),
            Message::Request(request) => self.take_question(key, request, out),
        }
    }

    fn take_response(&mut self, key: Key, response: &Response<'_>, out: &mut Outbox) {
        let Some(child) = self.pool.get_mut(key) else { return };
        let id = response.id.as_ref().and_then(IdRef::as_int);
        let Some(mut pending) = id.and_then(|id| child.pending.remove(&id)) else {
            // It hears nothing more, as a server that shuts down says.
            if let Some((_, _)) = child.listening.take_if(|(listening, _)| Some(*listening) == id) {
                return;
            }
            // One for a call that was cancelled, or a second one, is as usual as it is useless.
            return match id.is_some_and(|id| (1..=child.last_id).contains(&id)) {
                true => out.late(),
                false => self.note_stray(response),
            };
        };
        match pending.about {
            About::Initialize => return self.take_description(key, response, pending.call, out),
            About::Discover => return self.take_discovered(key, response, pending.call, out),
            About::Tools | About::Other => {}
        }
        let is_stateless = child.era == Some(Era::Stateless);
        if let Some(lone) = &pending.lone {
            return self.take_lone_response(key, response, &pending, lone, out);
        }
        let Some(call) = pending.call else { return };
        self.calls.remove(&call);
        match outcome_of(response) {
            Ok(result) if is_stateless && asking::asks_for_input(result) => match pending.again.take() {
                Some(again) => self.ask_in_turn(key, call, (pending, again), result, out),
                None => {
                    out.error(call, &Error::internal("the server asks its client, which can answer nothing"))
                }
            },
            Ok(result) if is_stateless => out.written(call, |out| match pending.about {
                About::Tools => self.served.tools.filtered(result, |list| sessions::write_plain(list, out)),
                _ => sessions::write_plain(result, out),
            }),
            Err(error) if is_stateless => out.error(call, &sessions::plain_error(error)),
            Ok(result) if pending.about == About::Tools => {
                out.written(call, |out| self.served.tools.write_list(result, out));
            }
            Ok(result) => out.written(call, |out| out.extend_from_slice(result.text().as_bytes())),
            Err(error) => out.error(call, &error),
        }
    }

    fn take_lone_response(
        &mut self,
        key: Key,
        response: &Response<'_>,
        pending: &Pending,
        lone: &Lone,
        out: &mut Outbox,
    ) {
        if pending.about == About::Tools
            && let Ok(result) = response.outcome
        {
            self.note_headers(result);
        }
        let is_stateless = self.pool.get(key).is_some_and(|child| child.era == Some(Era::Stateless));
        let complete = |result: JsonRef<'_>, out: &mut Vec<u8>| {
            if is_stateless && (pending.about != About::Tools || self.served.tools.is_open()) {
                return out.extend_from_slice(result.text().as_bytes());
            }
            if pending.about == About::Tools && !self.served.tools.is_open() {
                let tools = &self.served.tools;
                return tools.filtered(result, |list| self.complete(key, list, lone.is_cached, out));
            }
            self.complete(key, result, lone.is_cached, out);
        };
        if let Some(number) = lone.suspended {
            let outcome = kept_outcome(response, complete);
            return self.keep_outcome(number, outcome);
        }
        let Some(call) = pending.call else { return };
        match outcome_of(response) {
            Ok(result) => {
                out.written(call, |out| complete(result, out));
                if is_stateless
                    && asking::asks_for_input(result)
                    && let Some(state) = result.get("requestState").and_then(JsonRef::as_str)
                {
                    self.keep_for_answer(key, &state);
                }
            }
            // The code for a resource that does not exist has changed (MCP 2026-07-28, resources).
            Err(error) if error.code == -32002 => {
                out.error(call, &Error { code: Error::INVALID_PARAMS, ..error });
            }
            Err(error) => out.error(call, &error),
        }
        self.calls.remove(&call);
    }

    fn note_stray(&self, response: &Response<'_>) {
        let id = response.id.as_ref().map_or_else(
            || "null".to_owned(),
            |id| match id {
                IdRef::Int(id) => id.to_string(),
                IdRef::Str(id) => format!("\"{}\"", printable(id)),
            },
        );
        let error = match response.outcome {
            Ok(_) => String::new(),
            Err(error) => format!(", with the error: {}", shown(error.text().as_bytes())),
        };
        self.log.pass_on(&format!(
            "{}: it answered a request that it was not sent (id {id}){error}",
            self.served.name
        ));
    }

    fn take_child_notification(&mut self, key: Key, told: &Notification<'_>, out: &mut Outbox) {
        let member = |name: &str| told.params.and_then(|params| params.member(name).ok().flatten());
        match &*told.method {
            "notifications/progress" => {
                let token = member("progressToken").and_then(|token| IdRef::read(token)?.as_int());
                let pending = token.and_then(|token| self.pool.get(key)?.pending.get(&token));
                if let (Some(params), Some(pending)) = (told.params, pending)
                    && let (Some(call), Some(token)) = (pending.call, &pending.token)
                {
                    let kind = Outgoing::Latest(Audience::Call(call, pending.session), Slot::Progress(call));
                    out.notify(kind, &told.method, |out| {
                        rewrite::member(params, "progressToken", token, out);
                    });
                }
            }
            "notifications/cancelled" => {
                let id = member("requestId").and_then(IdRef::read).map(IdRef::into_owned);
                if id.as_ref().is_some_and(|id| self.withdraw_lone(key, id)) {
                    return;
                }
                let asked = id.and_then(|id| self.questions.find(key, &id));
                let question = asked.and_then(|asked| Some((asked, self.questions.remove(asked)?)));
                if let (Some(params), Some((asked, question))) = (told.params, question) {
                    if let Some(child) = self.pool.get_mut(key) {
                        child.questions = child.questions.saturating_sub(1);
                    }
                    let kind = Outgoing::Message(audience(question.call, question.session));
                    out.notify(kind, &told.method, |out| {
                        rewrite::member(params, "requestId", &asked.to_string(), out);
                    });
                }
            }
            "notifications/subscriptions/acknowledged" => {}
            _ if self.pool.get(key).is_some_and(|child| matches!(child.owner, Owner::Shared(_))) => {
                self.share(key, told, out);
            }
            _ => {
                let Some(Client::Session(call, session)) = self.client_of(key) else { return };
                let uri = member("uri").and_then(JsonRef::as_str);
                let kind = match (&*told.method, uri) {
                    // The child knows which logs its client wants.
                    ("notifications/message", _) => Outgoing::Log(audience(call, session), Level::Emergency),
                    (UPDATED, Some(uri)) => {
                        Outgoing::Latest(audience(call, session), Slot::Updated((&*uri).into()))
                    }
                    (method, _) => match rewrite::list_of(method) {
                        Some(list) => Outgoing::Latest(audience(call, session), Slot::Changed(list)),
                        None => Outgoing::Message(audience(None, session)),
                    },
                };
                rewrite::notify(kind, told, out);
            }
        }
    }

    /// The client that a message of a child is for; `None` if that is not sure.
    pub(super) fn client_of(&self, key: Key) -> Option<Client> {
        let child = self.pool.get(key)?;
        if let Owner::Session(session) = child.owner {
            let latest = child.pending.values().rev().find_map(|pending| pending.call);
            return Some(Client::Session(latest, session));
        }
        // Requests of the bridge itself ask nothing.
        let mut all = child.pending.iter().rev();
        let mut all = all.by_ref().filter(|(_, pending)| pending.call.is_some() || pending.lone.is_some());
        match all.next() {
            Some((id, pending)) => {
                let alone = all.all(|(_, other)| other.session == pending.session);
                let client = match pending.lone {
                    Some(_) => Client::Lone(*id),
                    None => Client::Session(pending.call, pending.session),
                };
                alone.then_some(client)
            }
            None => {
                let mut all = self.sessions.keys().filter(|_| self.options.isolation == Isolation::Shared);
                all.next().filter(|_| all.next().is_none()).map(|session| Client::Session(None, *session))
            }
        }
    }

    fn take_question(&mut self, key: Key, request: &Request<'_>, out: &mut Outbox) {
        if request.method == "ping" {
            return self.reply(key, out, |out| {
                jsonrpc::write_result(out, &request.id, |out| out.extend_from_slice(b"{}"));
            });
        }
        let (call, session) = match self.askable(key, request) {
            Ok(Client::Session(call, session)) => (call, session),
            Ok(Client::Lone(id)) => match self.ask_lone(key, id, request, out) {
                Ok(()) => return,
                Err(reason) => return self.refuse_question(key, request, &Error::internal(reason), out),
            },
            Err(reason) => return self.refuse_question(key, request, &Error::internal(reason), out),
        };
        // The number that the question gets is known first, since it is its progress token too.
        let asked = self.questions.next();
        let mut params = Vec::new();
        let token = rewrite::params(request.params, asked, Meta::All, &mut params);
        let token = match token {
            Ok(token) => token,
            Err(error) => return self.refuse_question(key, request, &error, out),
        };
        let Some(child) = self.pool.get_mut(key) else { return };
        child.questions += 1;
        let id = request.id.clone().into_owned();
        let charge = self.account.charge(Question::bytes(&id, token.as_deref()));
        let deadline = self.now.saturating_add(self.limits.question_timeout);
        let in_result = false;
        self.questions.ask(Question { child: key, id, session, in_result, call, token, deadline, charge });
        out.request(audience(call, session), asked, &request.method, &params);
    }

    /// The client of a question, if it can be asked.
    fn askable(&self, key: Key, request: &Request<'_>) -> Result<Client, &'static str> {
        let client = self.client_of(key);
        let child = self.pool.get(key).ok_or("it has ended")?;
        let able = match &client {
            // A child of a session's own knows what its client can do.
            Some(Client::Session(..)) if matches!(child.owner, Owner::Session(_)) => None,
            Some(Client::Session(_, session)) => self.sessions.get(session).map(|front| front.able),
            Some(Client::Lone(id)) => {
                child.pending.get(id).and_then(|pending| pending.lone.as_ref()).map(|lone| lone.able)
            }
            None => None,
        };
        let needed = shared::needed(&request.method, request.params);
        match client {
            _ if self.stopping => Err("the bridge is shutting down"),
            _ if child.questions >= CHILD_QUESTIONS_MAX => {
                Err("as many questions of this server are open as may be (child_questions_max)")
            }
            None => {
                Err("it cannot be told which client is meant: no request is open, or those of several are")
            }
            Some(_) if able.is_some_and(|able| needed.without(able) != Capabilities::NONE) => {
                Err("its client cannot answer that: it has not declared the capability")
            }
            Some(client) => Ok(client),
        }
    }

    fn refuse_question(&mut self, key: Key, request: &Request<'_>, error: &Error, out: &mut Outbox) {
        self.reply(key, out, |out| jsonrpc::write_error(out, Some((&request.id).into()), error));
    }

    /// Sends a child the answer to a request of its own, also before it has answered `initialize`: it may ping and wait for that. A
    /// child that asks without reading the answers is ended.
    pub(super) fn reply(&mut self, key: Key, out: &mut Outbox, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(child) = self.pool.get_mut(key).filter(|child| child.serves()) else { return };
        child.send_now(write);
        let waiting = child.waiting_bytes();
        // What clients have sent may wait too, up to the limit.
        if waiting > self.limits.body_bytes_max.saturating_mul(2) {
            let reason = format!(
                "has not read {waiting} bytes of answers to its own requests and of other messages (twice body_bytes_max)"
            );
            return self.fail(key, reason, out);
        }
        self.note_use(key);
    }
}

fn audience(call: Option<CallKey>, session: SessionKey) -> Audience {
    call.map_or(Audience::One(session), |call| Audience::Call(call, session))
}

fn reason_of(fault: &Fault, line_bytes_max: usize) -> String {
    match fault {
        Fault::TooLong => {
            format!("sent a line of more than {line_bytes_max} bytes (limit message_bytes_max)")
        }
        Fault::Noise(line) => format!(
            "printed more than {CHILD_NOISE_LINES_MAX} lines in a row that are no messages (child_noise_lines_max), such as `{}`; \
             only messages belong on standard output",
            shown(line)
        ),
    }
}
