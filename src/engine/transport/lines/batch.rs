//! Batches on a connection of lines, which sessions of 2025-03-26 have.
//!
//! *Scope:* taking them, all or nothing; their responses are one line. *Not in scope:* what a batch is (`transport::batch`).

use crate::engine::core::Core;
use crate::engine::refusals::{Refused, as_error, id_of};
use crate::engine::state::streams::Stream;
use crate::engine::transport::batch::read_messages;
#[cfg(feature = "stateless")]
use crate::engine::transport::batch::without_batches;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Message};
#[cfg(feature = "stateless")]
use crate::protocol::meta_names::names_revision;
use crate::slab::Key;

/// A batch is taken as a whole or not at all.
pub(super) fn read_batch<'a>(
    core: &mut Core,
    (conn, session): (Key, Key),
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
    let mut ids = messages.iter().filter_map(id_of);
    if let Some((refused, id)) = ids.find_map(|id| Some((core.in_flight(session, &id)?, id))) {
        return Err(refused.answer(Some(id)));
    }
    if messages.iter().any(|message| id_of(message).is_some())
        && let Some(reason) = core.no_room_to_begin(conn, line.len())
    {
        return Err(as_error(core.busy(&reason)));
    }
    Ok(messages)
}

pub(super) fn take_batch(core: &mut Core, conn: Key, session: Key, messages: &[Message<'_>]) {
    core.stats.messages_received += messages.len() as u64;
    let batch = core.streams.open(Stream::of_batch(session, conn, core.held.charge(0)));
    core.hand_over_all(conn, batch, &Head::NONE, messages);
    core.flush();
    // Where all were refused, or nothing wants an answer, nothing has completed it.
    core.complete(batch);
}
