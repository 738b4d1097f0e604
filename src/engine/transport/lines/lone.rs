//! Requests without a session on a connection of lines (MCP 2026-07-28, transports, "stdio").
//!
//! *Scope:* what stands in for the session of each, which ends with its response. *Not in scope:* lines (the parent).

use crate::engine::core::Core;
use crate::engine::negotiate::unsupported;
use crate::engine::refusals::{Refused, as_error_of};
use crate::engine::state::sessions::LONE_BYTES;
use crate::engine::transport::stateless::session_of;
use crate::http::head::Head;
use crate::jsonrpc::{Error, Message, Request};
use crate::protocol::envelope::Envelope;
use crate::protocol::meta_names::names_revision;
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::slab::Key;

/// True for a notification of a revision that has none from clients but the one that cancels a request.
pub(super) fn is_foreign(message: &Message<'_>) -> bool {
    match message {
        Message::Notification(notification) => {
            notification.method != "notifications/cancelled"
                && notification.params.is_some_and(names_revision)
        }
        _ => false,
    }
}

/// A request that describes its client itself.
pub(super) fn take_lone_request(
    core: &mut Core,
    (conn, session): (Key, Key),
    message: &Message<'_>,
    request: &Request<'_>,
) -> Result<(), Refused> {
    let envelope = Envelope::read(request.params).map_err(|error| Refused::new(400, error))?;
    if envelope.version != Revision::V2026_07_28.name() {
        return Err(Refused::new(400, unsupported(&envelope.version)));
    }
    core.stats.messages_received += 1;
    let lone = core.begin_request(conn, |principal| session_of(principal, envelope));
    let Some(call) = core.begin_lone_call(lone, session, request) else {
        core.end_request(lone);
        let max = core.limits().calls_max;
        let busy = core.busy(&format!("{max} requests of this connection are open (limit calls_max)"));
        return Err(as_error_of(Error::INTERNAL_ERROR, busy));
    };
    core.hand_over(conn, lone, &Head::NONE, message, Some(call));
    core.flush();
    Ok(())
}

impl Core {
    /// Reserves the place of a request without a session on a connection of lines: it counts among the calls of the connection's session,
    /// and `lone` is what the service knows it by.
    pub(crate) fn begin_lone_call(
        &mut self,
        lone: Key,
        session: Key,
        request: &Request<'_>,
    ) -> Option<CallKey> {
        let stream = self.sessions.get(session)?.stream?;
        let (id, method) = (&request.id, &request.method);
        let call =
            self.sessions.begin_call(session, (stream, LONE_BYTES), id, method, &self.common.limits)?;
        self.sessions.call_mut(call)?.lone = Some(lone);
        self.sessions.get_mut(lone)?.stream = Some(stream);
        Some(call)
    }
}
