//! Where a request came from, for its handler.
//!
//! *Scope:* [`Context`]. *Not in scope:* what the handler can do ([`Call`](crate::Call)).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::access::peer::{Peer, Principal};
use crate::http::head::Head;
use crate::json::value::JsonCow;
use crate::json::value::JsonRef;
use crate::jsonrpc::id::IdRef;
use crate::protocol::client_info::ClientInfo;
use crate::protocol::revision::Revision;
use crate::protocol::trace::TraceContext;
use crate::protocol::viewers::Viewer;
use crate::service::ServiceRequest;
use crate::service::session::{Session, short_id};

/// Where a request came from: borrowed while its bytes exist, owned if the call outlives them.
#[derive(Clone)]
pub(crate) struct Context<'a> {
    pub(crate) session_id: Option<Uuid>,
    pub(crate) revision: Revision,
    pub(crate) client: Option<Arc<ClientInfo>>,
    pub(crate) peer: Cow<'a, Peer>,
    pub(crate) principal: Option<Principal>,
    pub(crate) headers: Headers<'a>,
    pub(crate) meta: Option<JsonCow<'a>>,
    /// The length of the request's parameters as JSON.
    pub(crate) request_bytes: usize,
    /// How long this run of the handler may take, on a worker thread.
    pub(crate) timeout: Option<Duration>,
}

/// Without the whole id of the session, and what the client may have put into `_meta`.
impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("session_id", &self.session_id.map(short_id))
            .field("revision", &self.revision)
            .field("client", &self.client)
            .field("peer", &self.peer)
            .field("principal", &self.principal)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The header fields of the HTTP request.
#[derive(Clone)]
pub(crate) enum Headers<'a> {
    Live(&'a Head<'a>),
    /// `name: value` lines.
    Kept(Arc<[u8]>),
}

/// Names alone: values are secrets.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Headers::Live(head) => head.fmt(f),
            Headers::Kept(lines) => {
                let names =
                    lines.split(|byte| *byte == b'\n').filter_map(|line| line.split(|b| *b == b':').next());
                f.debug_list().entries(names.map(String::from_utf8_lossy)).finish()
            }
        }
    }
}

impl<'a> Context<'a> {
    pub(crate) fn of(
        incoming: &ServiceRequest<'a>,
        session: &Session,
        meta: Option<JsonRef<'a>>,
    ) -> Context<'a> {
        Context {
            session_id: session.is_kept().then_some(session.id),
            revision: session.revision(),
            client: session.client_arc(),
            peer: Cow::Borrowed(incoming.peer),
            principal: session.principal().cloned(),
            headers: Headers::Live(incoming.head),
            meta: meta.map(JsonCow::Borrowed),
            request_bytes: incoming.params.map_or(0, |params| params.text().len()),
            timeout: None,
        }
    }

    pub(crate) fn into_owned(self) -> Context<'static> {
        Context {
            session_id: self.session_id,
            revision: self.revision,
            client: self.client,
            peer: Cow::Owned(self.peer.into_owned()),
            principal: self.principal,
            headers: Headers::Kept(self.headers.into_lines()),
            meta: self.meta.map(JsonCow::into_owned),
            request_bytes: self.request_bytes,
            timeout: self.timeout,
        }
    }

    pub(crate) fn viewer(&self) -> Viewer<'_> {
        Viewer { principal: self.principal.as_ref(), session_id: self.session_id }
    }

    /// The trace that the client says the request belongs to.
    pub(crate) fn trace(&self) -> Option<TraceContext<'_>> {
        TraceContext::read(self.meta.as_ref()?.as_ref())
    }

    /// The token for reports of progress that the client has sent: a string or an integer, as JSON text.
    pub(crate) fn progress_token(&self) -> Option<&str> {
        let token = self.meta.as_ref()?.as_ref().member("progressToken").ok()??;
        IdRef::read(token).map(|_| token.text())
    }
}

impl Headers<'_> {
    /// How many bytes the kept lines take.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Headers::Kept(lines) => 2 * size_of::<usize>() + lines.len(),
            Headers::Live(_) => 0,
        }
    }

    fn into_lines(self) -> Arc<[u8]> {
        match self {
            Headers::Kept(lines) => lines,
            Headers::Live(head) => {
                let mut lines = Vec::new();
                head.headers().for_each(|(name, value)| {
                    [name.as_bytes(), b": ", value, b"\n"]
                        .iter()
                        .for_each(|part| lines.extend_from_slice(part));
                });
                lines.into()
            }
        }
    }

    /// The values of all fields of this name, in their order.
    pub(crate) fn named<'h>(&'h self, wanted: &str) -> impl Iterator<Item = &'h [u8]> {
        let (live, kept) = match self {
            Headers::Live(head) => (Some(head.headers_named(wanted)), &[][..]),
            Headers::Kept(lines) => (None, &**lines),
        };
        let kept = kept.split(|byte| *byte == b'\n').filter_map(move |line| {
            let (name, value) = line.split_at_checked(wanted.len())?;
            name.eq_ignore_ascii_case(wanted.as_bytes()).then(|| value.strip_prefix(b": ")).flatten()
        });
        live.into_iter().flatten().chain(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Fields, parse};
    use crate::limits::Limits;

    #[test]
    fn kept_fields_are_found_as_live_ones_are() {
        let mut fields = Fields::new();
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nX-User: eve\r\nX-Users: all\r\nx-user: ada\r\n\r\n";
        let head = parse(text, &mut fields, &Limits::DEFAULT).unwrap();
        let live = Headers::Live(&head);
        let kept = Headers::Kept(live.clone().into_lines());
        for headers in [live, kept] {
            assert_eq!(headers.named("X-USER").collect::<Vec<_>>(), [b"eve", b"ada"]);
            assert_eq!(headers.named("host").collect::<Vec<_>>(), [b"a"]);
            assert_eq!(headers.named("x-use").count(), 0);
        }
    }
}
