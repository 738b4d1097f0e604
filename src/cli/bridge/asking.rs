//! Questions in the result of a child of 2026-07-28, to a client that has a session.
//!
//! *Scope:* the calls that wait for answers. *Not in scope:* clients of 2026-07-28, which get such a result as it is.
//!
//! ```text
//!  call ──▶ child ── input_required ──▶ each question goes to the client as a request
//!                                          │ all are answered
//!  the same call with inputResponses and requestState ──▶ child ──▶ result, or the next questions (rounds_max)
//!  a question refused, late (question_timeout), or one that the client cannot be asked ──▶ the call's error
//! ```

use super::rewrite;
use super::service::{Bridge, Front};
use super::sessions::{self, Description};
use super::shared;
use super::tables::{About, Again, Pending, Question, Round, Route};
use crate::cli::bounds::CHILD_QUESTIONS_MAX;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::id::{Id, IdRef};
use crate::jsonrpc::{self, Error, Response};
use crate::key_map::KeyMap;
use crate::protocol::client_info::Capabilities;
use crate::service::keys::CallKey;
use crate::service::outbox::{Audience, Outbox, Outgoing};
use crate::slab::Key;
use crate::text::printable;

/// A question of a result.
struct Wanted<'a> {
    /// What the child calls it.
    name: Box<str>,
    method: String,
    params: &'a str,
}

impl Bridge {
    /// The result of a call asks for input. `pending` is the call.
    pub(super) fn ask_in_turn(
        &mut self,
        key: Key,
        call: CallKey,
        (pending, again): (Pending, Box<Again>),
        result: JsonRef<'_>,
        out: &mut Outbox,
    ) {
        let questions = match self.questions_of(key, &pending, &again, result) {
            Ok(questions) => questions,
            Err(problem) => return out.error(call, &Error::internal(problem)),
        };
        let state = result.get("requestState").and_then(JsonRef::as_str).map(|state| (&*state).into());
        let Pending { session, token, about, mut charge, .. } = pending;
        let Some(owner) = self.pool.get(key).map(|child| child.owner.clone()) else { return };
        let mut round = Round {
            owner,
            session,
            token,
            about,
            again,
            state,
            asked: KeyMap::new(),
            answers: Vec::new(),
            charge: self.account.charge(0),
        };
        charge.grow(result.text().len());
        round.charge = charge;
        round.again.rounds += 1;
        for Wanted { name, method, params } in questions {
            let number = self.questions.next();
            let charge = self.account.charge(Question::bytes(&Id::Int(number), None));
            let deadline = self.now.saturating_add(self.limits.question_timeout);
            let question = Question {
                child: key,
                id: Id::Int(number),
                session,
                in_result: true,
                call: Some(call),
                token: None,
                deadline,
                charge,
            };
            self.questions.ask(question);
            round.asked.insert(number, name);
            out.request(Audience::Call(call, session), number, &method, params.as_bytes());
        }
        match round.asked.is_empty() {
            true => self.ask_again(call, round, out),
            false => drop(self.rounds.insert(call, round)),
        }
    }

    /// The questions of a result.
    ///
    /// # Errors
    /// Why its client cannot be asked.
    fn questions_of<'a>(
        &self,
        key: Key,
        pending: &Pending,
        again: &Again,
        result: JsonRef<'a>,
    ) -> Result<Vec<Wanted<'a>>, String> {
        let max = self.limits.rounds_max;
        if again.rounds >= max {
            return Err(format!(
                "the server `{}` asked the client in more than {max} rounds (limit rounds_max)",
                self.served.name
            ));
        }
        let requests = result.get("inputRequests").and_then(|requests| Members::of(requests).ok());
        let requests = requests.unwrap_or_default();
        let able = self.sessions.get(&pending.session).map_or(Capabilities::NONE, |front: &Front| front.able);
        let mut questions = Vec::new();
        for (name, request) in requests.iter() {
            let method = request.get("method").and_then(JsonRef::as_str).unwrap_or_default().into_owned();
            let params = request.get("params");
            if params.is_some_and(|params| !params.is_object()) {
                return Err(format!(
                    "the server `{}` asks its client for `{}` with `params` that is no object",
                    self.served.name,
                    printable(&method)
                ));
            }
            if shared::needed(&method, params).without(able) != Capabilities::NONE {
                return Err(format!(
                    "the server `{}` asks its client for `{}`, for which that has not declared the capability",
                    self.served.name,
                    printable(&method)
                ));
            }
            let params = params.map_or("{}", JsonRef::text);
            questions.push(Wanted { name: (&*name).into(), method, params });
        }
        let owner = self.pool.get(key).map(|child| &child.owner);
        let open = self.rounds.values().filter(|round| Some(&round.owner) == owner);
        let open = open.map(|round| round.asked.len()).sum::<usize>();
        if open + questions.len() > CHILD_QUESTIONS_MAX {
            return Err(format!(
                "as many questions of the server `{}` are open as may be (child_questions_max)",
                self.served.name
            ));
        }
        if questions.is_empty() && result.get("requestState").is_none() {
            return Err(format!(
                "the server `{}` asks for input, and for nothing in particular",
                self.served.name
            ));
        }
        Ok(questions)
    }

    /// The client has answered a question that was taken out of the table.
    pub(super) fn take_turn(&mut self, number: i64, call: CallKey, answer: &Response<'_>, out: &mut Outbox) {
        let Some(round) = self.rounds.get_mut(&call) else { return };
        let Some(name) = round.asked.remove(&number) else { return };
        match rewrite::outcome_of(answer) {
            Ok(result) => {
                round.charge.grow(name.len() + result.text().len());
                round.answers.push((name, result.text().into()));
                if round.asked.is_empty()
                    && let Some(round) = self.rounds.remove(&call)
                {
                    self.ask_again(call, round, out);
                }
            }
            Err(error) => {
                self.end_round(call, &Error::internal(format_args!("the client refused: {error}")), out)
            }
        }
    }

    /// A call of a client cannot go on: it is answered, and what else it was asked is withdrawn.
    pub(super) fn end_round(&mut self, call: CallKey, error: &Error, out: &mut Outbox) {
        if self.withdraw_round(call, out) {
            out.error(call, error);
        }
    }

    /// Withdraws the questions of a call. Returns false if it has none.
    pub(super) fn withdraw_round(&mut self, call: CallKey, out: &mut Outbox) -> bool {
        let Some(round) = self.rounds.remove(&call) else { return false };
        for (number, _) in round.asked.into_entries() {
            self.questions.remove(number);
            let kind = Outgoing::Message(Audience::One(round.session));
            out.notify(kind, "notifications/cancelled", |params| {
                params.int("requestId", number).str("reason", "the call is over");
            });
        }
        true
    }

    /// Ends the calls that wait for their clients and for which this is true.
    pub(super) fn end_rounds(&mut self, over: impl Fn(&Round) -> bool, error: &Error, out: &mut Outbox) {
        let all = self.rounds.iter().filter(|(_, round)| over(round));
        let all: Vec<CallKey> = all.map(|(call, _)| *call).collect();
        all.into_iter().for_each(|call| self.end_round(call, error, out));
    }

    /// Sends a call again, with what was answered.
    fn ask_again(&mut self, call: CallKey, round: Round, out: &mut Outbox) {
        let Round { owner, session, token, about, again, state, answers, .. } = round;
        let ended = Error::internal(format_args!("the server `{}` has ended", self.served.name));
        // A successor, if there is one, has what it needs in the state, unless that is sealed with a key of the process's own.
        let key = match self.child_for(&owner) {
            Ok(key) => key,
            Err(reason) => return out.error(call, &Error::internal(reason)),
        };
        let Some(child) = self.pool.get_mut(key) else { return out.error(call, &ended) };
        let id = child.next_id();
        let (mut params, mut tape, mut own) = (Vec::new(), Tape::new(), Tape::new());
        let description = Description::of_front(self.sessions.get(&session), &mut own);
        let more = |object: &mut Object<'_>| {
            if !answers.is_empty() {
                object.field("inputResponses", |out| {
                    let mut object = Object::new(out);
                    for (name, answer) in &answers {
                        object.raw(name, answer);
                    }
                });
            }
            if let Some(state) = &state {
                object.str("requestState", state);
            }
        };
        let written = sessions::params(tape.read(&again.params).ok(), id, &description, more, &mut params);
        if let Err(error) = written {
            return out.error(call, &error);
        }
        let charge = self.account.charge(Pending::bytes(token.as_deref()) + again.bytes());
        self.reply(key, out, |out| {
            jsonrpc::write_request(out, IdRef::Int(id), &again.method, |out| out.append(&mut params));
        });
        let child = self.pool.get_mut(key).filter(|child| child.serves());
        let Some(child) = child else { return out.error(call, &ended) };
        let again = Some(again);
        child
            .pending
            .insert(id, Pending { call: Some(call), session, token, about, lone: None, again, charge });
        self.calls.insert(call, Route { child: key, id });
    }
}

/// True if a result asks for input.
pub(super) fn asks_for_input(result: JsonRef<'_>) -> bool {
    result.get("resultType").and_then(JsonRef::as_str).as_deref() == Some("input_required")
}

/// What is kept of a request, if its result may ask for input.
pub(super) fn again(method: &str, params: Option<JsonRef<'_>>, about: About) -> Option<Box<Again>> {
    let asks = about == About::Other && crate::protocol::meta_names::named_by(method).is_some();
    let params = params.map_or("{}", JsonRef::text);
    asks.then(|| Box::new(Again { method: method.into(), params: params.into(), rounds: 0 }))
}
