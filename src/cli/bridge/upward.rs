//! From clients to children: requests, notifications, answers, cancellations.
//!
//! *Scope:* which child a message goes to, and the ids that it goes under. *Not in scope:* what comes back (`downward`).
//!
//! ```text
//!  initialize ──▶ the session's child is started with it; of a shared child the answer is known
//!  ping ─▶ the child, if it runs          any other request ─▶ the child, which is started if there is none
//!  under an id and a progress token of the bridge's own; everything else as it came
//! ```

use super::asking;
use super::child::{Child, Era};
use super::options::Isolation;
use super::rewrite;
use super::service::{Awaiting, Bridge};
use super::tables::{About, Group, Lone, Owner, Pending, Route};
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Error, Notification, Response};
use crate::protocol::client_info::Capabilities;
use crate::protocol::revision::Revision;
use crate::service::ServiceRequest;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::slab::Key;
use crate::text::printable;

impl Bridge {
    pub(super) fn take_request(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        if request.method == "tools/call"
            && !self.served.tools.is_open()
            && let Some(name) = request.member("name")?.and_then(JsonRef::as_str)
            && !self.served.tools.allows(&name)
        {
            return Err(Error::invalid_params(format_args!("unknown tool `{}`", printable(&name))));
        }
        if !session.revision().has_sessions() {
            return self.take_stateless(request, session, out);
        }
        let owner = self.owner(request.session, session);
        match request.method {
            "initialize" => {
                if let (Some(front), Some(client)) =
                    (self.sessions.get_mut(&request.session), session.client())
                {
                    (front.able, front.revision) = (client.capabilities, session.revision());
                }
                self.initialize(request, owner, session.revision(), out)
            }
            "ping" => {
                let child = self.place(&owner).and_then(|place| place.child);
                let serves = |child: &Child| child.serves() && child.era != Some(Era::Stateless);
                match child.filter(|child| self.pool.get(*child).is_some_and(serves)) {
                    Some(child) => self.forward(child, request, None, out),
                    None => {
                        out.empty_result(request.call);
                        Ok(())
                    }
                }
            }
            _ => {
                let child = self.place(&owner).and_then(|place| place.child);
                if self.is_stateless(&owner, child) {
                    if let Err(reason) = self.child_for(&owner) {
                        out.busy(request.call, &reason);
                        return Ok(());
                    }
                    if self.take_removed(request, session, &owner, out)? {
                        return Ok(());
                    }
                } else if let Owner::Shared(_) = owner
                    && self.take_shared(request, session, out)?
                {
                    return Ok(());
                }
                match self.child_for(&owner) {
                    Ok(child) => self.forward(child, request, None, out),
                    Err(reason) => {
                        out.busy(request.call, &reason);
                        Ok(())
                    }
                }
            }
        }
    }

    fn initialize(
        &mut self,
        request: &ServiceRequest<'_>,
        owner: Owner,
        revision: Revision,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        if let (Some(front), Some(params)) = (self.sessions.get_mut(&request.session), request.params) {
            let again = front.place.child;
            front.keep(params.text());
            if let Some(child) =
                again.filter(|child| self.pool.get(*child).is_some_and(|child| child.serves()))
            {
                // What it means to initialize again is the child's to say.
                return self.forward(child, request, None, out);
            }
        }
        match self.child_for(&owner) {
            Ok(child) => self.await_description(child, Awaiting::Initialize(request.call, revision), out),
            Err(reason) => out.busy(request.call, &reason),
        }
        Ok(())
    }

    /// Sends a request to a child. `lone` is for a request without a session.
    pub(super) fn forward(
        &mut self,
        key: Key,
        request: &ServiceRequest<'_>,
        lone: Option<Lone>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        if let Some(reason) = self.no_room(key, request) {
            out.busy(request.call, &reason);
            return Ok(());
        }
        let able = self.sessions.get(&request.session).map_or(Capabilities::NONE, |front| front.able);
        let ended = || Error::internal("the server has ended");
        let id = self.pool.get_mut(key).ok_or_else(ended)?.next_id();
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        let child = self.pool.get(key).ok_or_else(ended)?;
        let (era, mut token) = (child.era, Ok(None));
        jsonrpc::write_request(&mut message, IdRef::Int(id), request.method, |out| {
            token = self.write_params(child, request.params, id, lone.is_some(), request.session, out);
        });
        let token = token?;
        let child = self.pool.get_mut(key).ok_or_else(ended)?;
        child.send_written(&mut message);
        // A long message must not be paid for until the next one.
        message.clear();
        message.shrink_to(self.limits.turn_bytes_max);
        self.message = message;
        let about = if request.method == "tools/list" { About::Tools } else { About::Other };
        let lone_bytes = if lone.is_some() { size_of::<Lone>() } else { 0 };
        let asks = lone.is_none() && era != Some(Era::Sessions) && able != Capabilities::NONE;
        let again = if asks { asking::again(request.method, request.params, about) } else { None };
        let again_bytes = again.as_ref().map_or(0, |again| again.bytes());
        let charge = self.account.charge(Pending::bytes(token.as_deref()) + lone_bytes + again_bytes);
        let (call, session, lone) = (Some(request.call), request.session, lone.map(Box::new));
        child.pending.insert(id, Pending { call, session, token, about, lone, again, charge });
        self.calls.insert(request.call, Route { child: key, id });
        self.note_use(key);
        Ok(())
    }

    /// Why a child cannot be sent a request; `None` if it can.
    pub(super) fn no_room(&self, key: Key, request: &ServiceRequest<'_>) -> Option<String> {
        let waiting = self.pool.get(key)?.waiting_bytes();
        let bytes = request.params.map_or(0, |params| params.text().len());
        let name = &self.served.name;
        (waiting > 0 && waiting + bytes > self.limits.body_bytes_max).then(|| {
            format!("the server `{name}` has not read {waiting} bytes before this (limit body_bytes_max)")
        })
    }

    pub(super) fn take_notification(&mut self, key: SessionKey, notification: &Notification<'_>) {
        let initialized = notification.method == "notifications/initialized";
        if notification.method == "notifications/progress" {
            return self.pass_progress_up(key, notification);
        }
        let child = match self.options.isolation {
            Isolation::Session => self.sessions.get(&key).and_then(|front| front.place.child),
            // It has been told by the bridge itself that it is initialized, and has no roots that are one client's.
            Isolation::Shared if initialized || notification.method == "notifications/roots/list_changed" => {
                if let Some(front) = self.sessions.get_mut(&key) {
                    front.operating = true;
                }
                None
            }
            Isolation::Shared => self.shared.get(&Group::default()).and_then(|place| place.child),
        };
        child.into_iter().for_each(|child| self.tell(child, notification));
    }

    fn tell(&mut self, key: Key, notification: &Notification<'_>) {
        let max = self.limits.body_bytes_max;
        let Some(child) = self.pool.get_mut(key) else { return };
        let of_sessions = ["notifications/initialized", "notifications/roots/list_changed"];
        if child.era == Some(Era::Stateless) && of_sessions.contains(&&*notification.method) {
            return;
        }
        let params = notification.params.map_or("", JsonRef::text);
        if child.waiting_bytes() + params.len() > max {
            return self.log.pass_on(&format!(
                "{}: it does not read its input, so `{}` of its client is dropped (limit body_bytes_max)",
                self.served.name,
                printable(&notification.method)
            ));
        }
        child.send(|out| {
            jsonrpc::write_notification(out, &notification.method, |out| {
                out.extend_from_slice(params.as_bytes());
            });
        });
        self.note_use(key);
    }

    /// The progress of what a child has asked for.
    fn pass_progress_up(&mut self, session: SessionKey, notification: &Notification<'_>) {
        let Some(params) = notification.params else { return };
        let token =
            params.member("progressToken").ok().flatten().and_then(|token| IdRef::read(token)?.as_int());
        let Some(question) = token.and_then(|token| self.questions.of_session(token, session)) else {
            return;
        };
        let (Some(token), Some(child)) = (&question.token, self.pool.get_mut(question.child)) else { return };
        if child.waiting_bytes() + params.text().len() > self.limits.body_bytes_max {
            return;
        }
        child.send(|out| {
            jsonrpc::write_notification(out, &notification.method, |out| {
                rewrite::member(params, "progressToken", token, &mut Object::new(out));
            });
        });
    }

    /// The answer to a question of a child.
    pub(super) fn take_answer(
        &mut self,
        session: SessionKey,
        answer: &Response<'_>,
        out: &mut Outbox,
    ) -> bool {
        let Some(asked) = answer.id.as_ref().and_then(IdRef::as_int) else { return false };
        if self.questions.of_session(asked, session).is_none() {
            return false;
        }
        let Some(question) = self.questions.remove(asked) else { return false };
        if let (true, Some(call)) = (question.in_result, question.call) {
            self.take_turn(asked, call, answer, out);
            return true;
        }
        if let Some(child) = self.pool.get_mut(question.child) {
            child.questions = child.questions.saturating_sub(1);
            self.reply(question.child, out, |out| match answer.outcome {
                Ok(result) => jsonrpc::write_result(out, &question.id, |out| {
                    out.extend_from_slice(result.text().as_bytes());
                }),
                Err(error) => jsonrpc::write_error_text(out, &question.id, error.text().as_bytes()),
            });
        }
        true
    }

    /// A client has given up a call, or its session has ended.
    pub(super) fn cancel(&mut self, call: CallKey, out: &mut Outbox) {
        let Some(Route { child: key, id }) = self.calls.remove(&call) else {
            self.withdraw_round(call, out);
            return self.forget_awaiting(call);
        };
        let Some(child) = self.pool.get_mut(key) else { return };
        if let Some(pending) = child.pending.get_mut(&id).filter(|pending| pending.introduces()) {
            // It is not to be cancelled (MCP, cancellation), and the child does not serve without it.
            pending.call = None;
            return;
        }
        child.pending.remove(&id);
        child.send_cancelled(id);
        self.note_use(key);
    }
}
