//! Batches (JSON-RPC 2.0, section 6; MCP 2025-03-26 only), and what one POST carries.
//!
//! *Scope:* reading an array of messages, which is taken as a whole or not at all; ids that are in flight.
//! *Not in scope:* single messages, and answering (`streamable`).

use crate::engine::core::Core;
use crate::engine::negotiate::Version;
use crate::engine::refusals::{Refused, id_of, rejection};
use crate::engine::transport::session::{named_session, no_question, revision_of};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::json::value::Items;
use crate::jsonrpc::{self, Error, Message};
#[cfg(feature = "stateless")]
use crate::protocol::meta_names::names_revision;
use crate::protocol::revision::Revision;
use crate::slab::Key;

/// A batch (JSON-RPC 2.0, section 6; MCP 2025-03-26 only). It is taken as a whole or not at all; a refusal has the id of the
/// message at fault, if there is one. Returns its session too: `None` if it opens one, or the server keeps none.
pub(crate) fn read_batch<'a>(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    body: &'a [u8],
    tape: &'a mut Tape,
) -> Result<(Option<Key>, Vec<Message<'a>>), OwnedResponse> {
    let limits = &core.common.limits;
    let items = jsonrpc::split_batch(body, limits, tape).map_err(|error| Refused::new(400, error))?;
    let version = Version::of(head);
    #[cfg(feature = "stateless")]
    if matches!(version, Version::Modern(_)) && head.header("mcp-session-id").is_none()
        || items.clone().any(|item| item.member("params").ok().flatten().is_some_and(names_revision))
    {
        return Err(without_batches());
    }
    let session = named_session(core, conn, head, &version)?;
    let revision = match session {
        Some(session) => core.sessions.get(session).map(|open| open.session.revision()),
        None => Some(revision_of(head)),
    };
    let messages = read_messages(core, revision, items, !core.settings.sessionless)?;
    Ok((session, messages))
}

/// The messages of a batch of that revision. `answers` says whether answers may be among them.
pub(crate) fn read_messages<'a>(
    core: &Core,
    revision: Option<Revision>,
    items: Items<'a>,
    answers: bool,
) -> Result<Vec<Message<'a>>, OwnedResponse> {
    let limits = &core.common.limits;
    if revision != Some(Revision::V2025_03_26) {
        let revision = revision.map_or("another", Revision::name);
        return Err(invalid(format!("batches are of revision 2025-03-26, not of {revision}")));
    }
    let (count, max) = (items.clone().count(), limits.batch_max);
    if count == 0 || count > max {
        return Err(invalid(format!("a batch has 1 to {max} messages (limit batch_max), this one {count}")));
    }
    let mut messages = Vec::with_capacity(count);
    for (at, item) in items.enumerate() {
        let message = jsonrpc::message(item, limits).map_err(|mut rejected| {
            rejected.error.message = format!("message {at}: {}", rejected.error.message).into();
            rejection(rejected)
        })?;
        let refuse = |what: &str| Refused::new(400, Error::invalid_request(what)).answer(id_of(&message));
        if matches!(&message, Message::Request(request) if request.method == "initialize") {
            return Err(refuse("`initialize` cannot be part of a batch"));
        }
        if !answers && matches!(message, Message::Response(_)) {
            return Err(no_question().into());
        }
        // All answers come in one array, where only the id tells them apart. At most batch_max are compared.
        let id = id_of(&message);
        if id.is_some() && messages.iter().any(|other| id_of(other) == id) {
            return Err(refuse("two requests of this batch have the same id"));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Returns the refusal of a batch of a revision without sessions.
#[cfg(feature = "stateless")]
pub(crate) fn without_batches() -> OwnedResponse {
    invalid("revisions without sessions have no batches".to_owned())
}

fn invalid(what: String) -> OwnedResponse {
    Refused::new(400, Error::invalid_request(what)).into()
}
