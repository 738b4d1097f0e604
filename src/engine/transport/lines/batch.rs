//! Batches on a connection of lines, which sessions of 2025-03-26 have.
//!
//! *Scope:* taking them, all or nothing; their responses are one line. *Not in scope:* what a batch is (`transport::batch`).

use crate::engine::core::Core;
use crate::engine::refusals::{Refused, as_error, id_of};
use crate::engine::state::streams::Stream;
use crate::engine::transport::batch::read_messages;
#[cfg(feature = "stateless")]
use crate::engine::transport::batch::without_batches;
use crate::engine::transport::lines::{Carried, no_room};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message};
#[cfg(feature = "stateless")]
use crate::protocol::meta_names::names_revision;
use crate::service::keys::CallKey;
use crate::slab::Key;

/// A batch is taken as a whole or not at all.
pub(super) fn read_batch<'a>(
    core: &mut Core,
    session: Key,
    line: &'a [u8],
    tape: &'a mut Tape,
) -> Result<Vec<Message<'a>>, OwnedResponse> {
    let items = jsonrpc::split_batch(line, core.limits(), tape).map_err(|error| Refused::new(400, error))?;
    #[cfg(feature = "stateless")]
    if items.clone().any(|item| item.member("params").ok().flatten().is_some_and(names_revision)) {
        return Err(without_batches());
    }
    let revision = core.sessions.get(session).map(|entry| entry.session.revision());
    let messages = read_messages(core, revision, items, true)?;
    let in_flight = |message: &&Message<'_>| {
        id_of(message).is_some_and(|id| core.sessions.calls_of_id(session, &id).next().is_some())
    };
    if let Some(message) = messages.iter().find(in_flight) {
        let error = Error::invalid_request("a request with this id is in flight already");
        return Err(Refused::new(400, error).answer(id_of(message)));
    }
    if messages.iter().any(|message| id_of(message).is_some())
        && let Some(reason) = no_room(core, line.len())
    {
        return Err(as_error(core.busy(&reason)));
    }
    Ok(messages)
}

pub(super) fn take_batch(core: &mut Core, Carried { conn, session, .. }: Carried, messages: &[Message<'_>]) {
    core.stats.messages_received += messages.len() as u64;
    let batch = core.streams.open(Stream::of_batch(session, conn, core.held.charge(0)));
    // All calls are open before the first one can be answered, or cancelled by a notification further on.
    let begin = |message: &Message<'_>| match message {
        Message::Request(request) => core.begin_call_of_answer(session, batch, request),
        _ => None,
    };
    let calls: Vec<Option<CallKey>> = messages.iter().map(begin).collect();
    for (message, call) in messages.iter().zip(calls) {
        core.hand_over(conn, session, &Head::NONE, message, call);
    }
    core.flush();
    // Where all were refused, or nothing wants an answer, nothing has completed it.
    core.complete(batch);
}
