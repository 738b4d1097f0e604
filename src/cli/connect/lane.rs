//! Messages of the local client that get no answer, posted one after the other by a thread of their own.
//!
//! *Scope:* notifications, and answers to the remote server's questions. *Not in scope:* requests, which do not wait for each other
//! (`requests`).

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::opening::{announce, session};
use super::remote::{Link, Posted, Remote, within};
use super::wire::Session;
use crate::cli::bounds::{CONNECT_MESSAGE_TIMEOUT, CONNECT_REQUEST_TIMEOUT};
use crate::client::deadline::left;
use crate::client::error::Error;
use crate::client::transport::{Outgoing, Transport};
use crate::protocol::revision::Revision;

/// The notification with which the client's side of `initialize` ends.
pub(super) const INITIALIZED: &str = "notifications/initialized";

/// Posts what comes, until nothing can come any more.
pub(super) fn run(remote: &Arc<Remote>, posted: &Receiver<Posted>) {
    for message in posted {
        let done = match &message {
            Posted::Notification(text) => notify(remote, text),
            Posted::Announcement(text) => {
                let announced = announce_now(remote, text);
                remote.change(|state| state.is_announcing = false);
                announced
            }
            Posted::Cancellation(text, ticket) => {
                let until = within(CONNECT_REQUEST_TIMEOUT);
                let mut state = remote.state();
                while let (true, Ok(left)) = (state.table.is_sending(*ticket), left(until)) {
                    state = remote.wait(state, left);
                }
                drop(state);
                let notified = notify(remote, text);
                remote.change(|state| state.table.told(*ticket));
                notified
            }
            Posted::Answer(text, generation) => respond(remote, text, *generation),
        };
        if let Err(why) = done {
            remote.note(format_args!("a message of the client is lost: {why}"));
        }
        remote.change(|state| state.end_posting(message.bytes()));
    }
}

fn notify(remote: &Arc<Remote>, text: &str) -> Result<(), String> {
    let patience = CONNECT_MESSAGE_TIMEOUT.min(remote.options.timeout);
    match session(remote, within(patience))? {
        Some(session) => match post(remote, Some(&session), text, patience) {
            Err(Error::Expired) => {
                remote.lose(session.generation, "the server does not know it any more");
                let session = self::session(remote, within(patience))?;
                post(remote, session.as_deref(), text, patience)
            }
            done => done,
        },
        None => post(remote, None, text, patience),
    }
    .map_err(|error| remote.sentence(&error))
}

fn announce_now(remote: &Arc<Remote>, text: &str) -> Result<(), String> {
    let until = within(remote.options.timeout);
    let mut state = remote.state();
    while let (Link::Opening(_), Ok(left)) = (&state.link, left(until)) {
        state = remote.wait(state, left);
    }
    let Link::Open(session) = &state.link else {
        // There is nothing to announce, or a session that is opened again does it.
        return Ok(());
    };
    let session = session.clone();
    drop(state);
    announce(remote, &session, text).map_err(|error| remote.sentence(&error))
}

/// Posts the answer to a question to the session that asked. Another one would take it for an answer to another question.
fn respond(remote: &Arc<Remote>, text: &str, generation: u64) -> Result<(), String> {
    let session = match &remote.state().link {
        Link::Open(session) | Link::Opening(Some(session)) if session.generation == generation => {
            session.clone()
        }
        _ => return Err("the session that asked has ended".to_owned()),
    };
    let patience = CONNECT_MESSAGE_TIMEOUT.min(remote.options.timeout);
    post(remote, Some(&session), text, patience).map_err(|error| remote.sentence(&error))
}

fn post(remote: &Remote, session: Option<&Session>, text: &str, patience: Duration) -> Result<(), Error> {
    let lone = remote.wire.target(Transport::Stateless);
    let (target, endpoint) = match session {
        Some(session) => (&session.target, session.endpoint()),
        None => (&lone, lone.defaults.url.target.clone()),
    };
    let fields = match session {
        Some(session) => session.target.version.clone(),
        None => format!("MCP-Protocol-Version: {}\r\n", Revision::V2026_07_28),
    };
    let message = Outgoing { text: text.as_bytes(), request: None, fields: &fields };
    match remote.wire.deliver(|| target.post(&endpoint, message), target, within(patience))? {
        (200..300, _) => Ok(()),
        (404, _) if target.session_id.is_some() => Err(Error::Expired),
        (status, body) => Err(Error::Http { status, body }),
    }
}
