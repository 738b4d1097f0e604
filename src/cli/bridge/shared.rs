//! One child for several sessions: what each of them asks for is kept apart here, because the child takes them for one client.
//!
//! *Scope:* the description of the child for each session's revision, levels of logs, subscriptions, and whom the child's
//! notifications concern. *Not in scope:* clients without sessions (`stateless`).
//!
//! | from the child | to |
//! |---|---|
//! | a list has changed | all sessions in operation |
//! | a resource was updated | those that have subscribed to it, or to what it is below |
//! | a log | all, as far as their level wants it; the child's level is the lowest of theirs |
//! | a question, a notification that is not known here | the only session with open requests, or the only one that there is |

use std::collections::BTreeSet;

use super::child::Era;
use super::options::Isolation;
use super::rewrite;
use super::service::{Bridge, Client};
use super::tables::{About, Group, Owner, Pending};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Error, Notification};
use crate::protocol::client_info::Capabilities;
use crate::protocol::kinds::UPDATED;
use crate::protocol::level::{Level, read_level};
use crate::protocol::revision::Revision;
use crate::service::ServiceRequest;
use crate::service::keys::SessionKey;
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
use crate::service::session::Session;
use crate::slab::Key;

/// What the bridge declares to a child that several clients have together: a question is refused if its client cannot answer it.
pub(super) const DECLARED: Capabilities = Capabilities {
    roots: true,
    sampling: true,
    sampling_tools: false,
    elicitation_form: true,
    elicitation_url: false,
};

impl Bridge {
    /// Requests of a session that change what is kept for it here. Returns false if the request is for the child.
    pub(super) fn take_shared(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<bool, Error> {
        let Some(front) = self.sessions.get_mut(&request.session) else { return Ok(false) };
        front.operating = true;
        match request.method {
            "logging/setLevel" => {
                let level = read_level(request.member("level")?)?;
                session.set_log_level(Some(level));
                front.level = Some(level);
                let owner = Owner::Shared(Group::default());
                match self.child_for(&owner) {
                    Ok(child) if self.lacks(child, "logging") => return Ok(false),
                    Ok(child) => {
                        self.set_child_level(child);
                        out.empty_result(request.call);
                    }
                    Err(reason) => out.busy(request.call, &reason),
                }
                Ok(true)
            }
            "resources/subscribe" => {
                let uri = request.uri()?;
                Ok(!self.subscribe(request, &uri, out)?)
            }
            "resources/unsubscribe" => {
                let uri = request.uri()?;
                front.subscriptions.remove(&*uri);
                front.recount();
                let others = self.is_subscribed(&Owner::Shared(Group::default()), &uri);
                if others {
                    out.empty_result(request.call);
                }
                Ok(others)
            }
            _ => Ok(false),
        }
    }

    /// Notes a subscription of a session. Returns false if it has no room for it, which the client is told.
    pub(super) fn subscribe(
        &mut self,
        request: &ServiceRequest<'_>,
        uri: &str,
        out: &mut Outbox,
    ) -> Result<bool, Error> {
        let max = self.limits.uri_bytes_max;
        if uri.len() > max {
            return Err(Error::invalid_params(format_args!("`uri` is longer than uri_bytes_max ({max})")));
        }
        let Some(front) = self.sessions.get_mut(&request.session) else { return Ok(true) };
        let max = self.limits.subscriptions_max;
        if front.subscriptions.len() >= max && !front.subscriptions.contains(uri) {
            out.busy(request.call, &format!("{max} resources are subscribed to (limit subscriptions_max)"));
            return Ok(false);
        }
        front.subscriptions.insert(uri.into());
        front.recount();
        Ok(true)
    }

    /// True if sessions wait for notifications of that child.
    pub(super) fn has_subscribers(&self, child: Key) -> bool {
        let owner = self.pool.get(child).map(|child| &child.owner);
        if self.listens.values().any(|listen| Some(&listen.owner) == owner) {
            return true;
        }
        self.shared_child() == Some(child)
            && self.sessions.values().any(|front| !front.subscriptions.is_empty())
    }

    /// True if clients of that child have subscribed to it.
    fn is_subscribed(&self, owner: &Owner, uri: &str) -> bool {
        let mut listens = self.listens.values().filter(|listen| listen.owner == *owner);
        let is_first =
            self.options.isolation == Isolation::Shared && *owner == Owner::Shared(Group::default());
        (is_first && self.sessions.values().any(|front| front.subscriptions.contains(uri)))
            || listens.any(|listen| listen.filter.uris.iter().any(|watched| watched.uri() == uri))
    }

    /// A request wants logs from that level on.
    pub(super) fn lower_level(&mut self, child: Key, level: Level) {
        let entry = self.pool.get_mut(child).filter(|child| child.era != Some(Era::Stateless));
        let Some(entry) = entry else { return };
        if entry.level.is_none_or(|known| known > level) {
            entry.level = Some(level);
            self.ask_child(child, "logging/setLevel", |params| {
                params.str("level", level.name());
            });
        }
    }

    /// A client of that child has ended that had these subscriptions.
    pub(super) fn end_subscriptions(&mut self, owner: &Owner, uris: impl IntoIterator<Item = String>) {
        let Some(child) = self.place(owner).and_then(|place| place.child) else { return };
        if self.listen_anew(child) {
            return;
        }
        for uri in uris {
            if !self.is_subscribed(owner, &uri) {
                self.ask_child(child, "resources/unsubscribe", |params| {
                    params.str("uri", &uri);
                });
            }
        }
    }

    /// A child begins that takes the place of another one: it is told what sessions have asked that one for.
    pub(super) fn restore(&mut self, child: Key) {
        if self.listen_anew(child) {
            return;
        }
        self.set_child_level(child);
        let Some(owner) = self.pool.get(child).map(|child| child.owner.clone()) else { return };
        let mut uris = BTreeSet::new();
        if owner == Owner::Shared(Group::default()) {
            uris.extend(self.sessions.values().flat_map(|front| front.subscriptions.iter().cloned()));
        }
        let listens = self.listens.values().filter(|listen| listen.owner == owner);
        let watched = listens.flat_map(|listen| &listen.filter.uris);
        uris.extend(watched.map(|watched| watched.uri().to_owned()));
        for uri in uris {
            self.ask_child(child, "resources/subscribe", |params| {
                params.str("uri", &uri);
            });
        }
    }

    /// The lowest level of all sessions is that of the child.
    fn set_child_level(&mut self, child: Key) {
        let wanted = self.sessions.values().filter_map(|front| front.level).min();
        let (Some(level), Some(entry)) = (wanted, self.pool.get_mut(child)) else { return };
        if entry.level.replace(level) != Some(level) {
            self.ask_child(child, "logging/setLevel", |params| {
                params.str("level", level.name());
            });
        }
    }

    /// Sends a request of the bridge's own, whose answer nothing waits for.
    pub(super) fn ask_child(&mut self, key: Key, method: &str, write: impl FnOnce(&mut Object<'_>)) {
        let charge = self.account.charge(Pending::bytes(None));
        let Some(child) = self.pool.get_mut(key) else { return };
        let id = child.next_id();
        child.send(|out| {
            jsonrpc::write_request(out, IdRef::Int(id), method, |out| write(&mut Object::new(out)))
        });
        let (session, about) = (SessionKey::LEAST, About::Other);
        let pending = Pending { call: None, session, token: None, about, lone: None, again: None, charge };
        child.pending.insert(id, pending);
    }

    fn shared_child(&self) -> Option<Key> {
        self.shared.get(&Group::default())?.child
    }

    /// True if the child has said that it has no such capability.
    fn lacks(&self, child: Key, capability: &str) -> bool {
        let described = self.pool.get(child).and_then(|child| child.described.as_deref());
        let mut tape = Tape::new();
        let described = described.and_then(|described| tape.read(described).ok());
        described.is_some_and(|described| {
            described.get("capabilities").and_then(|all| all.get(capability)).is_none()
        })
    }

    /// A notification of a child that is no single session's.
    pub(super) fn share(&mut self, key: Key, told: &Notification<'_>, out: &mut Outbox) {
        self.tell_listeners(key, told, out);
        let member = |name: &str| told.params.and_then(|params| params.member(name).ok().flatten());
        let text = |name: &str| member(name).and_then(JsonRef::as_str);
        let list = rewrite::list_of(&told.method);
        let kind_for: Box<dyn Fn(SessionKey) -> Outgoing> = match (&*told.method, list) {
            ("notifications/message", _) => {
                let level = text("level").and_then(|level| Level::named(&level)).unwrap_or(Level::Emergency);
                Box::new(move |session| Outgoing::Log(Audience::One(session), level))
            }
            (UPDATED, _) => {
                let Some(uri) = text("uri") else { return };
                let slot: Box<str> = (&*uri).into();
                Box::new(move |session| Outgoing::Latest(Audience::One(session), Slot::Updated(slot.clone())))
            }
            (_, Some(list)) => {
                Box::new(move |session| Outgoing::Latest(Audience::One(session), Slot::Changed(list)))
            }
            (method, None) => {
                return match self.client_of(key) {
                    Some(Client::Session(_, session)) => {
                        rewrite::notify(Outgoing::Message(Audience::One(session)), told, out);
                    }
                    _ => self.log.pass_on(&format!(
                        "{}: it sent `{}`, and it cannot be told to which of its clients; it is dropped",
                        self.served.name,
                        crate::text::printable(method)
                    )),
                };
            }
        };
        // A request without a session has a level of its own, and logs while it is open.
        if told.method == "notifications/message"
            && let Some(child) = self.pool.get(key)
            && let Outgoing::Log(_, level) = kind_for(SessionKey::LEAST)
            && let Some(pending) = only(child.pending.values().filter(|pending| pending.wants_logs(level)))
            && let Some(call) = pending.call
        {
            rewrite::notify(Outgoing::Log(Audience::Call(call, pending.session), level), told, out);
        }
        let updated = (told.method == UPDATED).then(|| text("uri")).flatten();
        if self.options.isolation == Isolation::Session {
            return;
        }
        for (session, front) in self.sessions.iter().filter(|(_, front)| front.operating) {
            if updated.as_deref().is_none_or(|uri| front.subscriptions.iter().any(|own| covers(own, uri))) {
                rewrite::notify(kind_for(*session), told, out);
            }
        }
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

/// True if a subscription to `own` is one to `uri`: a server may tell of what lies below (MCP, resources).
pub(super) fn covers(own: &str, uri: &str) -> bool {
    let below = uri.strip_prefix(own);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || own.ends_with('/'))
}

/// Appends what a child has answered to `initialize`, for a client of that revision: the older one of both is spoken.
pub(super) fn describe(described: &str, revision: Revision, out: &mut Vec<u8>) {
    let mut tape = Tape::new();
    let read = tape.read(described).ok();
    let own = read.and_then(|described| described.get("protocolVersion")).and_then(JsonRef::as_str);
    match (read, own) {
        // Their names are dates.
        (Some(described), Some(own)) if &*own > revision.name() => {
            let name = format!("\"{}\"", revision.name());
            rewrite::member(described, "protocolVersion", &name, &mut Object::new(out));
        }
        _ => out.extend_from_slice(described.as_bytes()),
    }
}

/// What a client has to be able to do to answer a question.
pub(super) fn needed(method: &str, params: Option<JsonRef<'_>>) -> Capabilities {
    let mode = params.and_then(|params| params.get("mode")).and_then(JsonRef::as_str);
    match method {
        "roots/list" => Capabilities::ROOTS,
        "sampling/createMessage" => Capabilities::SAMPLING,
        "elicitation/create" if mode.as_deref() == Some("url") => Capabilities::ELICITATION_URL,
        "elicitation/create" => Capabilities::ELICITATION_FORM,
        _ => Capabilities::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_covers_what_is_below() {
        for (own, uri, covered) in [
            ("a:b", "a:b", true),
            ("a:b", "a:b/c", true),
            ("a:b", "a:bc", false),
            ("a:b/", "a:b/c", true),
            ("a:b/c", "a:b", false),
            ("a://", "a://x", true),
        ] {
            assert_eq!(covers(own, uri), covered, "{own} {uri}");
        }
    }

    #[test]
    fn the_older_revision_is_spoken() {
        let described = r#"{"protocolVersion":"2025-06-18","x":1.0}"#;
        let told = |revision| {
            let mut out = Vec::new();
            describe(described, revision, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(Revision::V2025_11_25), described);
        assert_eq!(told(Revision::V2025_06_18), described);
        assert_eq!(told(Revision::V2024_11_05), r#"{"protocolVersion":"2024-11-05","x":1.0}"#);
    }
}
