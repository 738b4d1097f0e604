//! Questions of a child to a client of 2026-07-28, which are asked in the answer to its call and answered by the call's repetition.
//!
//! *Scope:* the calls that are kept open meanwhile. *Not in scope:* questions to clients that have a session (`downward`).
//!
//! ```text
//!  call ──▶ child ── question ──▶ the call is answered: input_required, requestState ──▶ suspended
//!                                                                                           │
//!  the same call with inputResponses and requestState ──▶ the answers go to the child ──▶ open again ──▶ result, or next question
//!                        │ request_state_ttl has passed: the child is told that the call is cancelled
//! ```
//!
//! The sealed state only names the call. It is bound to the request and its principal, so that no other client can continue it.

use std::time::Duration;

use super::rewrite::outcome_of;
use super::service::Bridge;
use super::stateless::{sealed, write_meta};
use super::tables::{Asked, Pending, Route, Suspended};
use crate::cli::bounds::SUSPENDED_CALLS_MAX;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{self, Error, Request, Response};
use crate::protocol::level::Level;
use crate::service::ServiceRequest;
use crate::service::keys::CallKey;
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::slab::Key;

impl Bridge {
    /// A child asks the client of the request that has this id. Returns the reason if that is impossible.
    pub(super) fn ask_lone(
        &mut self,
        key: Key,
        id: i64,
        request: &Request<'_>,
        out: &mut Outbox,
    ) -> Result<(), &'static str> {
        let question = Asked {
            id: request.id.clone().into_owned(),
            method: request.method.clone().into_owned().into(),
            params: request.params.map_or("{}", JsonRef::text).into(),
        };
        let bytes = question.bytes();
        let until = self.now.saturating_add(self.limits.request_state_ttl);
        let full = self.suspended.len() >= SUSPENDED_CALLS_MAX;
        let Some(child) = self.pool.get_mut(key) else { return Ok(()) };
        let Some(pending) = child.pending.get_mut(&id) else { return Ok(()) };
        let Some(lone) = &mut pending.lone else { return Ok(()) };
        let number = match lone.suspended {
            Some(number) => number,
            None if full => {
                return Err("too many calls wait for the answers of their clients (suspended_calls_max)");
            }
            None => {
                self.last_suspended += 1;
                lone.suspended = Some(self.last_suspended);
                self.last_suspended
            }
        };
        child.questions += 1;
        let call = pending.call.take();
        let route = Route { child: key, id };
        let mut suspended = self.suspended.remove(&number).unwrap_or_else(|| Suspended {
            route,
            asked: Vec::new(),
            outcome: None,
            until,
            charge: self.account.charge(0),
        });
        (suspended.until, suspended.route) = (until, route);
        suspended.charge.grow(bytes);
        suspended.asked.push(question);
        self.suspended.insert(number, suspended);
        if let Some(call) = call {
            self.calls.remove(&call);
            self.answer_with_questions(call, number, out);
        }
        Ok(())
    }

    /// Answers a call with the open questions of its child.
    fn answer_with_questions(&mut self, call: CallKey, number: u64, out: &mut Outbox) {
        let Some(suspended) = self.suspended.get(&number) else { return };
        let child = self.pool.get(suspended.route.child);
        let digest = child
            .and_then(|child| child.pending.get(&suspended.route.id)?.lone.as_ref())
            .map_or([0; 16], |lone| lone.digest);
        let state = self.seal.seal(&digest, number.to_string().as_bytes());
        let info = child.and_then(|child| child.info.as_deref());
        out.written(call, |out| {
            let mut result = Object::new(out);
            result.str("resultType", "input_required");
            result.field("inputRequests", |out| {
                let mut requests = Object::new(out);
                for asked in &suspended.asked {
                    requests.field(&asked.key(), |out| {
                        Object::new(out).str("method", &asked.method).raw("params", &asked.params);
                    });
                }
            });
            result.str("requestState", &state);
            write_meta(&mut result, &Members::default(), info);
        });
    }

    /// A call comes again, with answers.
    pub(super) fn take_round(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        state: JsonRef<'_>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let text = state.as_str().ok_or_else(|| Error::invalid_params("`requestState` must be a string"))?;
        let number = self
            .seal
            .open(&sealed(request, session), &text)
            .and_then(|state| str::from_utf8(&state).ok()?.parse::<u64>().ok());
        let number = number.ok_or_else(|| {
            Error::invalid_params(
                "`requestState` is not what this server sent for this request; send it unchanged, with the same parameters, or call again \
                 without it if the server was started again",
            )
        })?;
        let gone = || {
            Error::invalid_params(
                "`requestState` has expired (limit request_state_ttl), or is used already; call again without it",
            )
        };
        let suspended = self.suspended.get_mut(&number).ok_or_else(gone)?;
        let Route { child: key, id } = suspended.route;
        let pending = self.pool.get(key).and_then(|child| child.pending.get(&id));
        if pending.is_some_and(|pending| pending.call.is_some()) {
            return Err(Error::invalid_params(
                "`requestState` is used by a call that is open; wait for its answer",
            ));
        }
        let responses = match request.member("inputResponses")? {
            Some(responses) => Members::of_member(responses, "inputResponses")?,
            None => Members::default(),
        };
        let mut answered = Vec::new();
        suspended.asked.retain(|asked| match responses.get(&asked.key()) {
            Some(response) => {
                answered.push((asked.id.clone(), response));
                false
            }
            None => true,
        });
        for (id, response) in &answered {
            if let Some(child) = self.pool.get_mut(key) {
                child.questions = child.questions.saturating_sub(1);
            }
            self.reply(key, out, |out| {
                jsonrpc::write_result(out, id, |out| out.extend_from_slice(response.text().as_bytes()));
            });
        }
        let suspended = self.suspended.get_mut(&number).ok_or_else(gone)?;
        if let Some(outcome) = suspended.outcome.take() {
            self.suspended.remove(&number);
            match outcome {
                Ok(result) => out.written(request.call, |out| out.extend_from_slice(result.as_bytes())),
                Err(error) => out.error(request.call, &error),
            }
            return Ok(());
        }
        if !suspended.asked.is_empty() {
            suspended.until = self.now.saturating_add(self.limits.request_state_ttl);
            self.answer_with_questions(request.call, number, out);
            return Ok(());
        }
        self.suspended.remove(&number);
        self.reopen(key, id, request, session.log_level())
    }

    /// The call of a child has a client again.
    fn reopen(
        &mut self,
        key: Key,
        id: i64,
        request: &ServiceRequest<'_>,
        level: Option<Level>,
    ) -> Result<(), Error> {
        if let Some(level) = level {
            self.lower_level(key, level);
        }
        let token = match request.member("_meta")? {
            Some(meta) => meta.member("progressToken")?.map(|token| Box::<str>::from(token.text())),
            None => None,
        };
        let pending = self.pool.get_mut(key).and_then(|child| child.pending.get_mut(&id));
        let Some(pending) = pending else { return Err(Error::internal("the server has ended")) };
        (pending.call, pending.session) = (Some(request.call), request.session);
        pending.charge.set(Pending::bytes(token.as_deref()));
        pending.token = token;
        if let Some(lone) = &mut pending.lone {
            (lone.suspended, lone.level) = (None, level);
        }
        self.calls.insert(request.call, Route { child: key, id });
        self.note_use(key);
        Ok(())
    }

    /// A suspended call has its outcome, which waits for its client.
    pub(super) fn keep_outcome(&mut self, number: u64, outcome: Result<Box<str>, Error>) {
        let Some(suspended) = self.suspended.get_mut(&number) else { return };
        suspended.charge.grow(outcome.as_ref().map_or(0, |result| result.len()));
        suspended.outcome = Some(outcome);
    }

    /// A question of a child is withdrawn. Returns true if it was one to a client of this kind.
    pub(super) fn withdraw_lone(&mut self, key: Key, id: &Id) -> bool {
        let mut all = self.suspended.values_mut().filter(|suspended| suspended.route.child == key);
        let found = all.find_map(|suspended| {
            let at = suspended.asked.iter().position(|asked| asked.id == *id)?;
            Some(suspended.asked.remove(at))
        });
        if found.is_some()
            && let Some(child) = self.pool.get_mut(key)
        {
            child.questions = child.questions.saturating_sub(1);
        }
        found.is_some()
    }

    /// Ends the calls whose clients have not come back in time, or all of them.
    pub(super) fn expire_suspended(&mut self, all: bool) {
        let due = |suspended: &Suspended| all || suspended.until <= self.now;
        let over: Vec<u64> = self
            .suspended
            .iter()
            .filter(|(_, suspended)| due(suspended))
            .map(|(number, _)| *number)
            .collect();
        if over.is_empty() {
            return;
        }
        let error = Error::internal("the client has not answered in time (limit request_state_ttl)");
        for number in over {
            let Some(Suspended { route, asked, .. }) = self.suspended.remove(&number) else { continue };
            let Some(child) = self.pool.get_mut(route.child) else { continue };
            for asked in asked {
                child.refuse(&asked.id, &error);
            }
            if child.pending.remove(&route.id).is_some() {
                child.send_cancelled(route.id);
            }
            self.note_use(route.child);
        }
    }

    pub(super) fn suspended_due(&self) -> Option<Duration> {
        self.suspended.values().map(|suspended| suspended.until).min()
    }
}

impl Asked {
    /// What the client calls the question.
    fn key(&self) -> String {
        match &self.id {
            Id::Int(number) => format!("question-{number}"),
            Id::Str(text) => format!("question-{text}"),
        }
    }
}

/// The result of a call as its client gets it, for one that is kept.
pub(super) fn kept_outcome(
    response: &Response<'_>,
    complete: impl FnOnce(JsonRef<'_>, &mut Vec<u8>),
) -> Result<Box<str>, Error> {
    let result = outcome_of(response)?;
    let mut out = Vec::new();
    complete(result, &mut out);
    Ok(String::from_utf8(out).unwrap_or_default().into())
}
