//! Streams of notifications for clients without sessions: `subscriptions/listen` (MCP 2026-07-28, subscriptions).
//!
//! *Scope:* which client listens to what, and its notifications. *Not in scope:* subscriptions of sessions
//! (`subscriptions`).
//!
//! ```text
//!  subscriptions/listen ─┬─ nothing of it can happen here ──▶ acknowledged, result
//!                        └─ acknowledged ──▶ notifications … ─┬─ the server shuts down ──▶ result
//!                                                             └─ the client goes ────────▶ forgotten
//! ```

use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};

use crate::access::fairness::{Claim, Holder, first_to_give_way};
use crate::access::peer::{Peer, Principal};
use crate::json::value::{JsonRef, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::jsonrpc::id::{Id, IdRef};
use crate::key_map::KeyMap;
use crate::memory::{Account, BLOCK_OVERHEAD_BYTES, Charge};
use crate::protocol::kinds::{ListKind, UPDATED};
use crate::protocol::meta_names::SUBSCRIPTION_ID;
use crate::protocol::uri::normal::normalize;
use crate::protocol::viewers::Viewers;
use crate::runtime::announcing::ListenPlace;
use crate::server::builder::Server;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};

/// What a client listens to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    /// In the order of their normal forms.
    pub(crate) uris: BTreeSet<Watched>,
}

/// A URI that a client listens to: in normal form, and as the client wrote it, if that is another text. A client may write one
/// URI in two ways and wait for both.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Watched {
    normal: Box<str>,
    spelling: Option<Box<str>>,
}

impl Watched {
    fn of(uri: &str) -> Watched {
        let normal = normalize(uri);
        Watched { spelling: (normal != uri).then(|| uri.into()), normal: normal.into() }
    }

    /// As the client wrote it.
    pub(crate) fn uri(&self) -> &str {
        self.spelling.as_deref().unwrap_or(&self.normal)
    }

    pub(crate) fn normal(&self) -> &str {
        &self.normal
    }

    pub(crate) fn held_bytes(&self) -> usize {
        let spelling = self.spelling.as_ref().map_or(0, |spelling| spelling.len() + BLOCK_OVERHEAD_BYTES);
        size_of::<Watched>() + BLOCK_OVERHEAD_BYTES + self.normal.len() + spelling
    }
}

impl Filter {
    /// Reads the `notifications` of the request. Unknown members are ignored.
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub(crate) fn read(params: Option<JsonRef<'_>>) -> Result<Filter, Error> {
        let wrong = |name: &str, what: &str| Error::invalid_params(format_args!("`{name}` must be {what}"));
        let missing = || wrong("notifications", "an object that says what to listen to");
        let params = params.map(Members::of).transpose()?.unwrap_or_default();
        let filter = Members::of(params.get("notifications").ok_or_else(missing)?).map_err(|_| missing())?;
        let flag = |name: &str| match filter.get(name).map(JsonRef::text) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(name, "true or false")),
        };
        let uris = || wrong("resourceSubscriptions", "an array of URIs");
        let list =
            filter.get("resourceSubscriptions").map(|list| list.items().ok_or_else(uris)).transpose()?;
        let mut watched = BTreeSet::new();
        for uri in list.unwrap_or_default() {
            watched.insert(Watched::of(&uri.as_str().ok_or_else(uris)?));
        }
        Ok(Filter {
            tools: flag("toolsListChanged")?,
            prompts: flag("promptsListChanged")?,
            resources: flag("resourcesListChanged")?,
            uris: watched,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.uris.iter().map(Watched::held_bytes).sum()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut filter = Object::new(out);
        for (name, wanted) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if wanted {
                filter.bool(name, true);
            }
        }
        if !self.uris.is_empty() {
            filter.field("resourceSubscriptions", |out| {
                let mut uris = Array::new(out);
                self.uris.iter().for_each(|uri| {
                    uris.str(uri.uri());
                });
            });
        }
    }
}

/// How many bytes a stream and its places take, besides its filter.
const LISTEN_BYTES: usize = 256;

/// One open stream of notifications.
#[derive(Debug)]
struct Listen {
    call: CallKey,
    id: Id,
    /// Who listens, with the principal of the request.
    peer: Peer,
    filter: Filter,
    charge: Charge,
}

impl Listen {
    fn audience(&self, session: SessionKey) -> Audience {
        Audience::Call(self.call, session)
    }
}

/// All open streams of notifications.
#[derive(Debug, Default)]
pub(crate) struct Listens {
    /// By the session of their request.
    open: KeyMap<SessionKey, Box<Listen>>,
    held: Account,
}

impl Listens {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.open.iter().map(|(session, listen)| (*session, listen.charge.bytes()))
    }

    /// Acknowledges the filter, and keeps it. Returns false if it is empty: then the request is over.
    pub(crate) fn begin(
        &mut self,
        (session, peer): (SessionKey, Peer),
        call: CallKey,
        id: &IdRef<'_>,
        filter: Filter,
        out: &mut Outbox,
    ) -> bool {
        let charge = self.held.charge(LISTEN_BYTES + filter.held_bytes());
        let listen = Listen { call, id: id.clone().into_owned(), peer, filter, charge };
        let kind = Outgoing::Message(listen.audience(session));
        out.notify(kind, "notifications/subscriptions/acknowledged", |params| {
            write_meta(params, &listen.id);
            params.field("notifications", |out| listen.filter.write(out));
        });
        let any = !listen.filter.is_empty();
        if any {
            self.open.insert(session, Box::new(listen));
        }
        any
    }

    /// Returns the session and the call of the listener that gives way to another one of that peer: the newest one of those with
    /// most. `None` if the new one is that one.
    pub(crate) fn first_to_give_way(&self, asking: &Peer) -> Option<(SessionKey, CallKey)> {
        let claim = |peer, key, number: u64| Claim {
            key,
            holder: Holder::of(peer),
            proven: true,
            amount: 1,
            harm: 0,
            session: None,
            order: u64::MAX - number,
        };
        let open = self
            .open
            .iter()
            .map(|(session, listen)| claim(&listen.peer, Some((*session, listen.call)), session.0.serial()));
        let claims: Vec<_> = open.chain([claim(asking, None, u64::MAX)]).collect();
        first_to_give_way(&claims).flatten()
    }

    /// The listener is gone.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        self.open.remove(&session);
    }

    /// Ends all of them; `write` appends the result.
    pub(crate) fn end_all(&mut self, out: &mut Outbox, write: impl Fn(&mut Vec<u8>, &Id)) {
        for listen in std::mem::take(&mut self.open).into_values() {
            out.written(listen.call, |out| write(out, &listen.id));
        }
    }

    /// A list has changed, for those viewers.
    pub(crate) fn changed(&self, list: ListKind, viewers: &Viewers, out: &mut Outbox) {
        for (session, listen) in self.open.iter() {
            let filter = &listen.filter;
            let wanted = match list {
                ListKind::Tools => filter.tools,
                ListKind::Prompts => filter.prompts,
                ListKind::Resources => filter.resources,
            };
            if wanted {
                let kind = Outgoing::Latest(listen.audience(*session), Slot::Changed(list));
                out.notify_viewers(viewers, kind, list.changed(), |params| write_meta(params, &listen.id));
            }
        }
    }

    /// The resource of this URI in normal form was updated; `None` if any may have been. Listeners are notified if they see it and
    /// the server's `permit` allows it: only those of one principal, if there is one, and only those after `last`, if that is given.
    /// Returns the last one if the outbox is full.
    pub(crate) fn updated(
        &self,
        uri: Option<&str>,
        only: Option<&Principal>,
        last: Option<ListenPlace>,
        server: &mut Server,
        out: &mut Outbox,
    ) -> Option<ListenPlace> {
        let known = uri.map(|uri| server.registry.viewers_of(uri));
        let first = uri.map(|uri| Watched { normal: uri.into(), spelling: None });
        let (session, told) = last.unwrap_or((SessionKey::LEAST, 0));
        let concerns = |listen: &Listen| only.is_none_or(|only| listen.peer.principal.as_ref() == Some(only));
        for (at, listen) in self.open.range_from(session).filter(|(_, listen)| concerns(listen)) {
            let watched = listen.filter.uris.range((first.as_ref().map_or(Unbounded, Included), Unbounded));
            let watched = watched.take_while(|watched| uri.is_none_or(|uri| uri == &*watched.normal));
            let told = if *at == session { told } else { 0 };
            for (number, watched) in watched.enumerate().skip(told) {
                if !server.still_permits(&watched.normal, listen.peer.principal.as_ref()) {
                    continue;
                }
                let viewers = known.clone().unwrap_or_else(|| server.registry.viewers_of(&watched.normal));
                let kind = Outgoing::Latest(listen.audience(*at), Slot::Updated(watched.uri().into()));
                out.notify_viewers(&viewers, kind, UPDATED, |params| {
                    write_meta(params, &listen.id);
                    params.str("uri", watched.uri());
                });
                if out.is_full() {
                    return Some((*at, number + 1));
                }
            }
        }
        None
    }
}

fn write_meta(params: &mut Object<'_>, id: &Id) {
    params.field("_meta", |out| {
        Object::new(out).field(SUBSCRIPTION_ID, |out| IdRef::from(id).write(out));
    });
}

/// Writes the member of a result's `_meta` that names the stream which ends with it.
pub(crate) fn write_subscription(meta: &mut Object<'_>, id: &Id) {
    meta.field(SUBSCRIPTION_ID, |out| IdRef::from(id).write(out));
}
