//! `subscriptions/listen` of 2026-07-28, from the notifications of a child that has sessions.
//!
//! *Scope:* which client listens to what, and the subscriptions that the child is asked for in its place. *Not in scope:*
//! subscriptions of sessions (`shared`).

use std::collections::BTreeSet;

use super::child::{Era, State};
use super::options::Isolation;
use super::rewrite;
use super::service::{Awaiting, Bridge};
use super::sessions::Description;
use super::shared::covers;
use super::tables::{Listen, NewListen, Owner};
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Error, Notification};
use crate::protocol::client_info::Capabilities;
use crate::protocol::kinds::{ListKind, UPDATED};
use crate::protocol::meta_names::SUBSCRIPTION_ID;
use crate::runtime::stateless::listen::{Filter, write_subscription};
use crate::service::ServiceRequest;
use crate::service::keys::SessionKey;
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
use crate::slab::Key;

impl Bridge {
    pub(super) fn listen(
        &mut self,
        child: Key,
        request: &ServiceRequest<'_>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let filter = Filter::read(request.params)?;
        let (asked, max) = (filter.uris.len(), self.limits.subscriptions_max);
        if asked > max {
            return Err(Error::invalid_params(format_args!(
                "`resourceSubscriptions` has {asked} URIs, more than the limit subscriptions_max = {max}"
            )));
        }
        let max = self.limits.uri_bytes_max;
        if filter.uris.iter().any(|watched| watched.uri().len() > max) {
            return Err(Error::invalid_params(format_args!(
                "a URI of `resourceSubscriptions` is longer than the limit uri_bytes_max = {max}"
            )));
        }
        let waiting = self.shared.values().flat_map(|place| &place.awaiting);
        let waiting = waiting.filter(|awaiting| matches!(awaiting, Awaiting::Listen(_))).count();
        if self.listens.len() + waiting >= self.limits.listens_max {
            out.busy(request.call, "too many clients are listening (limit listens_max)");
            return Ok(());
        }
        let charge = self.account.charge(size_of::<NewListen>() + 64 + filter.held_bytes());
        let (call, session) = (request.call, request.session);
        let listen = NewListen { call, session, id: request.id.clone().into_owned(), filter, charge };
        self.await_description(child, Awaiting::Listen(Box::new(listen)), out);
        Ok(())
    }

    /// The child has said what it has: the listener is told what it will hear, and no more.
    pub(super) fn begin_listening(&mut self, child: Key, new: NewListen, out: &mut Outbox) {
        let NewListen { call, session, id, mut filter, charge } = new;
        let described = self.pool.get(child).and_then(|child| child.described.as_deref()).unwrap_or("{}");
        let mut tape = Tape::new();
        let capabilities = tape.read(described).ok().and_then(|described| described.get("capabilities"));
        let has = |of: &str, what: &str| {
            let flag = capabilities.and_then(|all| all.get(of)).and_then(|of| of.get(what));
            flag.is_some_and(|flag| flag.text() == "true")
        };
        filter.tools &= has("tools", "listChanged");
        filter.prompts &= has("prompts", "listChanged");
        filter.resources &= has("resources", "listChanged");
        if !has("resources", "subscribe") {
            filter.uris.clear();
        }
        let kind = Outgoing::Message(Audience::Call(call, session));
        out.notify(kind, "notifications/subscriptions/acknowledged", |params| {
            params.field("_meta", |out| write_subscription(&mut Object::new(out), &id));
            params.field("notifications", |out| filter.write(out));
        });
        let Some(owner) = self.pool.get(child).map(|child| child.owner.clone()) else { return };
        let listen = Listen { call, id, filter, owner, charge };
        if listen.filter.is_empty() || self.stopping {
            return self.end_listen(&listen, out);
        }
        let uris: Vec<String> = listen.filter.uris.iter().map(|watched| watched.uri().to_owned()).collect();
        self.listens.insert(session, listen);
        if self.listen_anew(child) {
            return;
        }
        for uri in uris {
            self.ask_child(child, "resources/subscribe", |params| {
                params.str("uri", &uri);
            });
        }
    }

    fn end_listen(&self, listen: &Listen, out: &mut Outbox) {
        out.written(listen.call, |out| {
            let mut result = Object::new(out);
            result.str("resultType", "complete");
            result.field("_meta", |out| write_subscription(&mut Object::new(out), &listen.id));
        });
    }

    /// The server shuts down.
    pub(super) fn end_listens(&mut self, out: &mut Outbox) {
        for listen in std::mem::take(&mut self.listens).into_values() {
            self.end_listen(&listen, out);
        }
    }

    /// The request of that session is over.
    pub(super) fn forget_listen(&mut self, session: SessionKey) {
        if let Some(Listen { filter, owner, .. }) = self.listens.remove(&session) {
            self.end_subscriptions(&owner, filter.uris.iter().map(|watched| watched.uri().to_owned()));
        }
    }

    /// Listens at a child of 2026-07-28 to what its clients want to hear, in one stream for all of them. Returns false if it is an
    /// older one.
    pub(super) fn listen_anew(&mut self, key: Key) -> bool {
        let Some(child) = self.pool.get(key) else { return false };
        match child.era {
            Some(Era::Stateless) if child.state == State::Running => {}
            era => return era == Some(Era::Stateless),
        }
        let is_blocked = child.is_blocked();
        // The filter of many clients is long, and each change sends the whole of it.
        let filter = if is_blocked { "".into() } else { self.wanted_of(&child.owner) };
        let Some(child) = self.pool.get_mut(key) else { return true };
        child.listens_later = is_blocked;
        if is_blocked {
            return true;
        }
        let before = child.listening.as_ref().map_or("", |(_, filter)| filter);
        if *filter == *before {
            return true;
        }
        let next = (!filter.is_empty()).then(|| child.next_id());
        if let Some(id) = next {
            child.send(|out| {
                jsonrpc::write_request(out, IdRef::Int(id), "subscriptions/listen", |out| {
                    let mut params = Object::new(out);
                    params.raw("notifications", &filter);
                    params.field("_meta", |out| {
                        Description::of(None, Capabilities::NONE, None).write(&mut Object::new(out));
                    });
                });
            });
        }
        // The new stream is there before the old one ends, so that nothing is missed.
        if let Some((old, _)) = std::mem::replace(&mut child.listening, next.map(|id| (id, filter))) {
            child.send_cancelled(old);
        }
        true
    }

    /// What the clients of a child want to hear, as a filter; empty if that is nothing.
    fn wanted_of(&self, owner: &Owner) -> Box<str> {
        let fronts = self.sessions.iter().filter(|(session, _)| match owner {
            Owner::Session(own) => own == *session,
            Owner::Shared(_) => self.options.isolation == Isolation::Shared,
        });
        let listens =
            self.listens.values().filter(|listen| listen.owner == *owner).map(|listen| &listen.filter);
        let mut lists = [false; 3];
        let mut uris: BTreeSet<String> = BTreeSet::new();
        for (_, front) in fronts {
            lists = [true; 3];
            uris.extend(front.subscriptions.iter().cloned());
        }
        for filter in listens {
            lists = [lists[0] | filter.tools, lists[1] | filter.prompts, lists[2] | filter.resources];
            uris.extend(filter.uris.iter().map(|watched| watched.uri().to_owned()));
        }
        if lists == [false; 3] && uris.is_empty() {
            return "".into();
        }
        let mut out = Vec::new();
        let mut filter = Object::new(&mut out);
        for (name, wanted) in
            ["toolsListChanged", "promptsListChanged", "resourcesListChanged"].iter().zip(lists)
        {
            if wanted {
                filter.bool(name, true);
            }
        }
        if !uris.is_empty() {
            filter.field("resourceSubscriptions", |out| {
                let mut all = Array::new(out);
                uris.iter().for_each(|uri| {
                    all.str(uri);
                });
            });
        }
        filter.end();
        String::from_utf8(out).unwrap_or_default().into()
    }

    /// Tells the listeners of a child what it has announced.
    pub(super) fn tell_listeners(&mut self, key: Key, told: &Notification<'_>, out: &mut Outbox) {
        let Some(child) = self.pool.get(key) else { return };
        let list = rewrite::list_of(&told.method);
        let uri = told.params.and_then(|params| params.get("uri")).and_then(JsonRef::as_str);
        let uri = uri.filter(|_| told.method == UPDATED);
        let params = told.params.and_then(|params| Members::of(params).ok()).unwrap_or_default();
        for (session, listen) in self.listens.iter().filter(|(_, listen)| listen.owner == child.owner) {
            let filter = &listen.filter;
            let slot = match (list, &uri) {
                (Some(ListKind::Tools), _) if filter.tools => Slot::Changed(ListKind::Tools),
                (Some(ListKind::Prompts), _) if filter.prompts => Slot::Changed(ListKind::Prompts),
                (Some(ListKind::Resources), _) if filter.resources => Slot::Changed(ListKind::Resources),
                (None, Some(uri)) if filter.uris.iter().any(|watched| covers(watched.uri(), uri)) => {
                    Slot::Updated((&**uri).into())
                }
                _ => continue,
            };
            let kind = Outgoing::Latest(Audience::Call(listen.call, *session), slot);
            out.notify(kind, &told.method, |object| {
                for (name, value) in params.iter().filter(|(name, _)| name != "_meta") {
                    object.raw(&name, value.text());
                }
                let meta = params.get("_meta").and_then(|meta| Members::of(meta).ok()).unwrap_or_default();
                object.field("_meta", |out| {
                    let mut object = Object::new(out);
                    for (name, value) in meta.iter().filter(|(name, _)| name != SUBSCRIPTION_ID) {
                        object.raw(&name, value.text());
                    }
                    write_subscription(&mut object, &listen.id);
                });
            });
        }
    }
}
