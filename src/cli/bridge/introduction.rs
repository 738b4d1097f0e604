//! How a child begins: what it is asked first, and what it speaks.
//!
//! *Scope:* `initialize`, `server/discover`, and what has waited for their answers. *Not in scope:* processes (`life`).
//!
//! ```text
//!  child of a session:   initialize ──▶ serves              initialize ── refused ──▶ server/discover ──▶ serves as 2026-07-28
//!  child of several:     server/discover ──▶ serves as 2026-07-28
//!                        server/discover ── refused, 10 s, or its end ──▶ initialize ──▶ serves
//! ```
//!
//! What a child has refused is not asked of the next one. A child of several clients is better used as one of 2026-07-28: there a
//! question belongs to its call.

use std::time::Duration;

use super::child::{Child, Era, State};
use super::rewrite::{self, Meta, outcome_of};
use super::service::{Awaiting, Bridge};
use super::sessions::{self, Description};
use super::shared;
use super::tables::{About, Owner, Pending, Route};
use crate::cli::bounds::{CHILD_DISCOVER_TIMEOUT, CHILD_START_TIMEOUT};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Message, Response};
use crate::protocol::client_info::Capabilities;
use crate::protocol::revision::Revision;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::slab::Key;

impl Bridge {
    /// Asks a new child who it is.
    pub(super) fn introduce(&mut self, key: Key, owner: &Owner) {
        let discovers = match owner {
            Owner::Session(_) => self.refuses_initialize,
            Owner::Shared(_) => !self.refuses_discover,
        };
        match discovers {
            true => self.send_discover(key, None),
            false => self.send_initialize(key, owner, None),
        }
    }

    /// A child begins with the `initialize` of its session, or with one of the bridge's own.
    fn send_initialize(&mut self, key: Key, owner: &Owner, call: Option<CallKey>) {
        let params = match owner {
            Owner::Session(session) => self.sessions.get(session).and_then(|front| front.initialize.clone()),
            Owner::Shared(_) => None,
        };
        let params = params.unwrap_or_else(own_initialize);
        self.begin_with(key, About::Initialize, call, CHILD_START_TIMEOUT, |out, id| {
            jsonrpc::write_request(out, IdRef::Int(id), "initialize", |out| {
                out.extend_from_slice(params.as_bytes());
            });
        });
    }

    fn send_discover(&mut self, key: Key, call: Option<CallKey>) {
        self.begin_with(key, About::Discover, call, CHILD_DISCOVER_TIMEOUT, |out, id| {
            jsonrpc::write_request(out, IdRef::Int(id), "server/discover", |out| {
                Object::new(out).field("_meta", |out| {
                    Description::of(None, Capabilities::NONE, None).write(&mut Object::new(out));
                });
            });
        });
    }

    fn begin_with(
        &mut self,
        key: Key,
        about: About,
        call: Option<CallKey>,
        patience: Duration,
        write: impl FnOnce(&mut Vec<u8>, i64),
    ) {
        let charge = self.account.charge(Pending::bytes(None));
        let Some(child) = self.pool.get_mut(key) else { return };
        let session = match child.owner {
            Owner::Session(session) => session,
            Owner::Shared(_) => SessionKey::LEAST,
        };
        let id = child.next_id();
        child.send_now(|out| write(out, id));
        child
            .pending
            .insert(id, Pending { call, session, token: None, about, lone: None, again: None, charge });
        if let Some(call) = call {
            self.calls.insert(call, Route { child: key, id });
        }
        self.pool.set_deadline(key, Some(self.now + patience));
    }

    /// A call of `initialize` waits for what the child says of itself.
    pub(super) fn await_description(&mut self, key: Key, awaiting: Awaiting, out: &mut Outbox) {
        let Some(child) = self.pool.get_mut(key) else { return };
        if child.described.is_some() {
            return self.give_description(key, awaiting, out);
        }
        let owner = child.owner.clone();
        if let (Owner::Session(_), Some((id, pending))) = (&owner, child.pending.iter_mut().next()) {
            pending.call = Some(awaiting.call());
            self.calls.insert(awaiting.call(), Route { child: key, id });
        } else if let Some(place) = self.place(&owner) {
            place.awaiting.push(awaiting);
        }
    }

    fn give_description(&mut self, key: Key, awaiting: Awaiting, out: &mut Outbox) {
        let child = self.pool.get(key);
        let described = child.and_then(|child| child.described.as_deref()).unwrap_or_default();
        let discovered = child.and_then(|child| child.discovered.as_deref());
        match awaiting {
            Awaiting::Initialize(call, revision) => {
                out.written(call, |out| shared::describe(described, revision, out));
            }
            Awaiting::Discover(call) => out.written(call, |out| match discovered {
                Some(discovered) => sessions::write_discovered(discovered, out),
                None => Bridge::discovered(described, out),
            }),
            Awaiting::Listen(listen) => self.begin_listening(key, *listen, out),
        }
    }

    pub(super) fn forget_awaiting(&mut self, call: CallKey) {
        let places = self.shared.values_mut().chain(self.sessions.values_mut().map(|front| &mut front.place));
        places.for_each(|place| place.awaiting.retain(|awaiting| awaiting.call() != call));
    }

    /// A child has answered `initialize`.
    pub(super) fn take_description(
        &mut self,
        key: Key,
        response: &Response<'_>,
        call: Option<CallKey>,
        out: &mut Outbox,
    ) {
        if let Some(call) = call {
            self.calls.remove(&call);
        }
        let Some(child) = self.pool.get_mut(key) else { return };
        let result = match outcome_of(response) {
            Ok(result) => result,
            Err(refusal) => {
                let was_asked = self.refuses_discover && matches!(child.owner, Owner::Shared(_));
                child.refusal = Some(refusal);
                // It may have been slow, and answer that yet.
                if let Some(asked) = child.open_about(About::Discover) {
                    asked.call = asked.call.or(call);
                    return;
                }
                return match was_asked {
                    true => self.give_up_start(key, call, out),
                    false => self.send_discover(key, call),
                };
            }
        };
        child.era = Some(Era::Sessions);
        child.pending.retain(|_, pending| pending.about != About::Discover);
        // Its questions are requests.
        for pending in child.pending.values_mut() {
            if let Some(again) = pending.again.take() {
                pending.charge.set(pending.charge.bytes().saturating_sub(again.bytes()));
            }
        }
        if matches!(child.owner, Owner::Shared(_)) {
            child.described = Some(result.text().into());
            child.info = result.get("serverInfo").map(|info| info.text().into());
        }
        // Only its own client says `notifications/initialized` by itself, and only if this is the answer for it.
        if call.is_none() {
            child.send_now(|out| jsonrpc::write_notification(out, "notifications/initialized", |_| {}));
        }
        if let Some(call) = call {
            out.written(call, |out| out.extend_from_slice(result.text().as_bytes()));
        }
        self.begin(key, out);
    }

    /// A child has answered `server/discover`.
    pub(super) fn take_discovered(
        &mut self,
        key: Key,
        response: &Response<'_>,
        call: Option<CallKey>,
        out: &mut Outbox,
    ) {
        let Some(child) = self.pool.get_mut(key) else { return };
        let result = response.outcome.ok().filter(|result| serves_newest(*result));
        let Some(result) = result else {
            if child.refusal.is_some() {
                return self.give_up_start(key, call, out);
            }
            self.refuses_discover = true;
            if let Some(begun) = child.open_about(About::Initialize) {
                begun.call = begun.call.or(call);
                return;
            }
            let owner = child.owner.clone();
            return self.send_initialize(key, &owner, call);
        };
        child.era = Some(Era::Stateless);
        // It was only slow.
        let call = call.or_else(|| child.open_about(About::Initialize).and_then(|begun| begun.call));
        child.pending.retain(|_, pending| pending.about != About::Initialize);
        self.refuses_initialize |= child.refusal.take().is_some();
        self.is_stateless = true;
        child.discovered = Some(result.text().into());
        child.info = sessions::info_of(result).map(|info| info.text().into());
        let mut described = Vec::new();
        sessions::write_described(result, &mut described);
        child.described = String::from_utf8(described).ok().map(Into::into);
        if let Some(call) = call {
            self.calls.remove(&call);
            let session = child.owner.session().and_then(|session| self.sessions.get(&session));
            let revision = session.map_or(Revision::NEWEST_WITH_SESSIONS, |front| front.revision);
            self.give_description(key, Awaiting::Initialize(call, revision), out);
        }
        self.begin(key, out);
    }

    /// A child speaks neither era.
    fn give_up_start(&mut self, key: Key, call: Option<CallKey>, out: &mut Outbox) {
        let Some(refusal) = self.pool.get_mut(key).and_then(|child| child.refusal.take()) else { return };
        if let Some(call) = call {
            self.calls.remove(&call);
            out.error(call, &refusal);
        }
        self.fail(key, format!("refused `initialize`: {refusal}"), out);
    }

    /// A child serves: what has waited for that goes on.
    fn begin(&mut self, key: Key, out: &mut Outbox) {
        self.pool.set_deadline(key, None);
        let Some(child) = self.pool.get_mut(key) else { return };
        let held = child.begin();
        let (owner, shared) = (child.owner.clone(), matches!(child.owner, Owner::Shared(_)));
        let is_stateless = child.era == Some(Era::Stateless);
        let mut awaiting = Vec::new();
        if let Some(place) = self.place(&owner) {
            (place.failures, place.last_end) = (0, None);
            awaiting.append(&mut place.awaiting);
        }
        awaiting.into_iter().for_each(|awaiting| self.give_description(key, awaiting, out));
        if shared || is_stateless {
            self.restore(key);
        }
        let held = self.in_its_era(key, &held);
        if let Some(child) = self.pool.get_mut(key) {
            child.send_held(&held);
        }
        self.note_use(key);
    }

    /// Lines that have waited until it was known what their child speaks.
    fn in_its_era(&mut self, key: Key, held: &[u8]) -> Vec<u8> {
        let (mut lines, mut tape) = (Vec::new(), std::mem::take(&mut self.tape));
        for line in held.split_inclusive(|byte| *byte == b'\n') {
            if let Ok(Message::Request(request)) = jsonrpc::parse(line, &self.child_limits, &mut tape)
                && let Some(id) = request.id.as_int()
                && let Some(child) = self.pool.get(key)
                && let Some(pending) = child.pending.get(&id)
            {
                let start = lines.len();
                let written = jsonrpc_line(&mut lines, id, &request.method, |out| {
                    self.write_params(child, request.params, id, pending.lone.is_some(), pending.session, out)
                });
                if written.is_some() {
                    continue;
                }
                lines.truncate(start);
            }
            lines.extend_from_slice(line);
        }
        self.tape = tape.emptied();
        lines
    }

    /// Appends parameters as a child wants them, and returns the client's progress token.
    ///
    /// # Errors
    /// As [`rewrite::params`].
    pub(super) fn write_params(
        &self,
        child: &Child,
        params: Option<JsonRef<'_>>,
        id: i64,
        is_lone: bool,
        session: SessionKey,
        out: &mut Vec<u8>,
    ) -> Result<Option<Box<str>>, crate::jsonrpc::Error> {
        match (child.era, is_lone) {
            (Some(Era::Sessions), true) => rewrite::params(params, id, Meta::Bare, out),
            (Some(Era::Stateless), false) => {
                let mut tape = Tape::new();
                let front = self.sessions.get(&session);
                sessions::params(params, id, &Description::of_front(front, &mut tape), |_| {}, out)
            }
            _ => rewrite::params(params, id, Meta::All, out),
        }
    }

    /// A child has not answered `server/discover` in time: it is sent `initialize` too. Returns false if it has no more time.
    pub(super) fn try_initialize(&mut self, key: Key) -> bool {
        let Some(child) = self.pool.get_mut(key) else { return false };
        let waits = child.refusal.is_none() && !child.left && child.open_about(About::Initialize).is_none();
        let Some(asked) = child.open_about(About::Discover).filter(|_| waits) else { return false };
        let call = asked.call.take();
        let owner = child.owner.clone();
        self.send_initialize(key, &owner, call);
        true
    }

    /// A child has ended when it was asked for its revisions, as some do that expect `initialize`. Returns true if another one
    /// has taken over what waits for it.
    pub(super) fn try_another(&mut self, ended: &mut Child) -> bool {
        let asked = ended.is_asked_for_revisions() && ended.refusal.is_none();
        if !asked || self.refuses_discover || self.stopping {
            return false;
        }
        self.refuses_discover = true;
        let owner = ended.owner.clone();
        let Ok(key) = self.start(&owner) else { return false };
        let Some(child) = self.pool.get_mut(key) else { return false };
        child.inherit(ended);
        let moved: Vec<_> = child.pending.iter().map(|(id, pending)| (*id, pending.call)).collect();
        for (id, call) in moved {
            if let Some(call) = call {
                self.calls.insert(call, Route { child: key, id });
            }
        }
        true
    }

    /// True if the next child of that owner, or the one that it has, speaks 2026-07-28, as far as is known.
    pub(super) fn is_stateless(&self, owner: &Owner, key: Option<Key>) -> bool {
        let child = key.and_then(|key| self.pool.get(key)).filter(|child| child.state != State::Starting);
        match (child.and_then(|child| child.era), owner) {
            (Some(era), _) => era == Era::Stateless,
            (None, Owner::Session(_)) => self.refuses_initialize,
            (None, Owner::Shared(_)) => self.is_stateless && !self.refuses_discover,
        }
    }
}

/// Appends a request and the end of its line; `None` if its parameters cannot be written.
fn jsonrpc_line<T, E>(
    lines: &mut Vec<u8>,
    id: i64,
    method: &str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Option<T> {
    let mut written = None;
    jsonrpc::write_request(lines, IdRef::Int(id), method, |out| written = write(out).ok());
    lines.push(b'\n');
    written
}

/// What the bridge says of itself to a child that several clients have together.
fn own_initialize() -> Box<str> {
    let mut out = Vec::new();
    let mut params = Object::new(&mut out);
    params.str("protocolVersion", Revision::NEWEST_WITH_SESSIONS.name());
    params.field("capabilities", |out| shared::DECLARED.write(out));
    params.field("clientInfo", |out| {
        Object::new(out).str("name", crate::cli::NAME).str("version", env!("CARGO_PKG_VERSION"));
    });
    params.end();
    String::from_utf8(out).unwrap_or_default().into()
}

fn serves_newest(discovered: JsonRef<'_>) -> bool {
    let served = discovered.get("supportedVersions").and_then(JsonRef::items);
    served.is_some_and(|mut served| {
        served.any(|name| name.as_str().as_deref() == Some(Revision::V2026_07_28.name()))
    })
}
