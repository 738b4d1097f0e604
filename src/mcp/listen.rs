//! Streams of notifications for clients without sessions: `subscriptions/listen` (MCP 2026-07-28, subscriptions).
//!
//! *Scope:* who listens to what, and what each one is told. *Not in scope:* subscriptions of sessions (`dispatch`).
//!
//! ```text
//!  subscriptions/listen ─┬─ nothing of it can happen here ──▶ acknowledged, result
//!                        └─ acknowledged ──▶ notifications … ─┬─ the server shuts down ──▶ result
//!                                                             └─ the client goes ────────▶ forgotten
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::jsonrpc::{Array, Error, Id, IdRef, Members, Object, string};
use crate::mcp::meta::SUBSCRIPTION_ID;
use crate::mcp::server::List;
use crate::mcp::{Audience, CallKey, Outbox, Outgoing, SessionKey, Slot};

/// What somebody wants to hear of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    pub(crate) uris: BTreeSet<Box<str>>,
}

impl Filter {
    /// Reads the `notifications` of the request; members that it does not know are left out.
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub(crate) fn read(params: Option<&RawValue>) -> Result<Filter, Error> {
        let wrong = |name: &str, what: &str| Error::invalid_params(format_args!("`{name}` must be {what}"));
        let missing = || wrong("notifications", "an object that says what to listen to");
        let params = params.map(Members::of).transpose()?.unwrap_or_default();
        let filter = Members::of(params.get("notifications").ok_or_else(missing)?).map_err(|_| missing())?;
        let flag = |name: &str| match filter.get(name).map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(name, "true or false")),
        };
        let uris = || wrong("resourceSubscriptions", "an array of URIs");
        let list: Option<Vec<&RawValue>> = filter
            .get("resourceSubscriptions")
            .map(|list| serde_json::from_str(list.get()))
            .transpose()
            .map_err(|_| uris())?;
        let list: Option<BTreeSet<Box<str>>> =
            list.unwrap_or_default().into_iter().map(|uri| Some(string(uri)?.into())).collect();
        Ok(Filter {
            tools: flag("toolsListChanged")?,
            prompts: flag("promptsListChanged")?,
            resources: flag("resourcesListChanged")?,
            uris: list.ok_or_else(uris)?,
        })
    }

    fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    fn write(&self, out: &mut Vec<u8>) {
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
                    uris.str(uri);
                });
            });
        }
    }
}

/// One open stream of notifications.
#[derive(Debug)]
struct Listen {
    call: CallKey,
    id: Id,
    filter: Filter,
}

impl Listen {
    fn audience(&self, session: SessionKey) -> Audience {
        Audience::Call(self.call, session)
    }

    fn held_bytes(&self) -> usize {
        256 + self.filter.uris.iter().map(|uri| uri.len() + 32).sum::<usize>()
    }
}

/// All open streams of notifications.
#[derive(Debug, Default)]
pub(crate) struct Listens {
    /// By what stands in for their session.
    open: BTreeMap<SessionKey, Listen>,
    held_bytes: usize,
}

impl Listens {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.open.iter().map(|(session, listen)| (*session, listen.held_bytes()))
    }

    /// Acknowledges what will be told, and remembers it. Says whether anything will: if not, the request is over.
    pub(crate) fn begin(
        &mut self,
        session: SessionKey,
        call: CallKey,
        id: &IdRef<'_>,
        filter: Filter,
        out: &mut Outbox,
    ) -> bool {
        let listen = Listen { call, id: id.clone().into_owned(), filter };
        let kind = Outgoing::Message(listen.audience(session));
        out.notify(kind, "notifications/subscriptions/acknowledged", |params| {
            write_meta(params, &listen.id);
            params.field("notifications", |out| listen.filter.write(out));
        });
        let any = !listen.filter.is_empty();
        if any {
            self.held_bytes += listen.held_bytes();
            self.open.insert(session, listen);
        }
        any
    }

    /// Whoever listened is gone.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        if let Some(listen) = self.open.remove(&session) {
            self.held_bytes -= listen.held_bytes();
        }
    }

    /// Ends all of them; `write` appends the result.
    pub(crate) fn end_all(&mut self, out: &mut Outbox, write: impl Fn(&mut Vec<u8>, &Id)) {
        self.held_bytes = 0;
        for listen in std::mem::take(&mut self.open).into_values() {
            out.result(listen.call, |out| write(out, &listen.id));
        }
    }

    /// A list has changed.
    pub(crate) fn changed(&self, list: List, method: &str, out: &mut Outbox) {
        for (session, listen) in &self.open {
            let filter = &listen.filter;
            let wanted = match list {
                List::Tools => filter.tools,
                List::Prompts => filter.prompts,
                List::Resources => filter.resources,
            };
            if wanted {
                let kind = Outgoing::Latest(listen.audience(*session), Slot::Changed(list));
                out.notify(kind, method, |params| write_meta(params, &listen.id));
            }
        }
    }

    /// A resource has been updated; `None`: so many that all may have been.
    pub(crate) fn updated(&self, uri: Option<&str>, method: &str, out: &mut Outbox) {
        for (session, listen) in &self.open {
            for subscribed in &listen.filter.uris {
                if uri.is_none_or(|uri| uri == &**subscribed) {
                    let slot = Slot::Updated(subscribed.clone());
                    out.notify(Outgoing::Latest(listen.audience(*session), slot), method, |params| {
                        write_meta(params, &listen.id);
                        params.str("uri", subscribed);
                    });
                }
            }
        }
    }
}

fn write_meta(params: &mut Object<'_>, id: &Id) {
    params.field("_meta", |out| {
        Object::new(out).field(SUBSCRIPTION_ID, |out| IdRef::from(id).write(out));
    });
}

/// The member of a result's `_meta` that says which stream ends with it.
pub(crate) fn write_subscription(meta: &mut Object<'_>, id: &Id) {
    meta.field(SUBSCRIPTION_ID, |out| IdRef::from(id).write(out));
}
