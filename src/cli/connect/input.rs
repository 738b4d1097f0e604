//! Standard input: messages of the local client, one a line.
//!
//! *Scope:* two threads: one that reads, and so notices the end at once; one that hands each message to where it is posted, and
//! waits there if need be. *Not in scope:* what becomes of it (`requests`, `lane`).

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::lane::INITIALIZED;
use super::message::{IdText, Local, Unreadable, read_local, request_id};
use super::remote::{Event, Link, Posted, Remote, error_line};
use super::requests;
use super::table::Cancelled;
use crate::cli::bounds::CONNECT_MESSAGE_BYTES_MAX;
use crate::client::transport::limits;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::jsonrpc::Error;
use crate::lines::{Line, Splitter};
use crate::protocol::revision::Revision;
use crate::text::printable;
use crate::threads;

const READ_BYTES: usize = 64 << 10;
/// Another program that shares the descriptor may have made it non-blocking. Nothing says when it is ready again.
const NOT_READY_WAIT: Duration = Duration::from_millis(5);

/// How long a message waits for room before it looks again.
const LOOK: Duration = Duration::from_secs(1);

/// A line, or `None` for one that is too long.
type Read1 = Option<Vec<u8>>;

/// Starts both threads.
pub(super) fn begin(remote: &Arc<Remote>) -> io::Result<()> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (sender, receiver) = sync_channel(1);
    let (reading, handing) = (remote.clone(), remote.clone());
    threads::start("input", move || {
        read(input, &sender);
        let _ = reading.events.send(Event::InputEnded);
    })?;
    threads::start("messages", move || {
        hand_on(&handing, &receiver);
        let _ = handing.events.send(Event::InputPassedOn);
    })?;
    Ok(())
}

fn read(mut input: File, lines: &SyncSender<Read1>) {
    let (mut splitter, mut kept) = (Splitter::default(), Vec::new());
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = match input.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(NOT_READY_WAIT);
                continue;
            }
            // A terminal that has gone, for example.
            Err(_) => 0,
        };
        kept.extend_from_slice(bytes.get(..count).unwrap_or_default());
        let mut rest = kept.as_slice();
        loop {
            let found = match splitter.next(&mut rest, CONNECT_MESSAGE_BYTES_MAX) {
                None if count == 0 => splitter.last(&mut rest, CONNECT_MESSAGE_BYTES_MAX),
                found => found,
            };
            let line = match found {
                Some(Line::Whole(line)) => Some(line.to_vec()),
                Some(Line::TooLong) => None,
                None => break,
            };
            if lines.send(line).is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
        let used = kept.len() - rest.len();
        kept.drain(..used);
        if kept.is_empty() {
            // What a long line has needed is given back.
            kept.shrink_to(READ_BYTES);
        }
    }
}

fn hand_on(remote: &Arc<Remote>, lines: &Receiver<Read1>) {
    for line in lines {
        let refused = match line.as_deref().map(str::from_utf8) {
            Some(Ok(text)) => take(remote, text.strip_prefix('\u{feff}').unwrap_or(text)),
            Some(Err(error)) => Err(Error::parse_error(error).into()),
            None => {
                let error = format!(
                    "the line has more bytes than connect_message_bytes_max ({CONNECT_MESSAGE_BYTES_MAX}); it is skipped"
                );
                Err(Error::parse_error(error).into())
            }
        };
        if let Err(unreadable) = refused {
            refuse(remote, &unreadable);
        }
    }
}

fn refuse(remote: &Remote, Unreadable { id, error }: &Unreadable) {
    remote.write(&error_line(id.as_deref().unwrap_or("null"), error));
}

/// Takes one message.
fn take(remote: &Arc<Remote>, text: &str) -> Result<(), Unreadable> {
    let mut tape = Tape::new();
    match read_local(text, &mut tape)? {
        Local::Request { id, method, revision } => {
            requests::begin(remote, text, method, revision, vec![id]);
        }
        Local::Batch(ids) => {
            check_batch(remote)?;
            take_batch(remote, tape.read_within(text, &limits()).unwrap_or(JsonRef::NULL), ids)?;
        }
        Local::Notification { cancels: Some(id), .. } => {
            match remote.change(|state| state.table.cancel(&id)) {
                Cancelled::Here => {}
                Cancelled::Sent(ticket) => post(remote, Posted::Cancellation(text.to_owned(), ticket)),
                Cancelled::Unknown => post(remote, Posted::Notification(text.to_owned())),
            }
        }
        Local::Notification { method, .. } if method == INITIALIZED => {
            remote.change(|state| {
                state.initialized = Some(text.into());
                state.is_announcing = true;
            });
            post(remote, Posted::Announcement(text.to_owned()));
        }
        Local::Notification { .. } => post(remote, Posted::Notification(text.to_owned())),
        Local::Response(id) => match remote.change(|state| state.table.take_question(&id)) {
            Some(generation) => post(remote, Posted::Answer(text.to_owned(), generation)),
            None => remote.note(format_args!(
                "an answer of the client is dropped: no question waits for it (id {})",
                printable(id.text())
            )),
        },
    }
    Ok(())
}

/// Takes a batch with requests of these ids, which stay together. All other messages in it are taken one by one: each answer is
/// for a question of its own.
fn take_batch(remote: &Arc<Remote>, batch: JsonRef<'_>, ids: Vec<IdText>) -> Result<(), Unreadable> {
    let items: Vec<JsonRef<'_>> = batch.items().into_iter().flatten().collect();
    if items.is_empty() {
        return Err(Error::invalid_request("the batch is empty").into());
    }
    let mut requests = Vec::new();
    for item in items {
        let taken = match item.items() {
            _ if request_id(item).is_some() => {
                requests.push(item.text());
                continue;
            }
            Some(_) => Err(Error::invalid_request("a batch in a batch").into()),
            None => take(remote, item.text()),
        };
        if let Err(unreadable) = taken {
            refuse(remote, &unreadable);
        }
    }
    if !requests.is_empty() {
        let text = format!("[{}]", requests.join(","));
        requests::begin(remote, &text, String::new(), None, ids);
    }
    Ok(())
}

/// Hands a message to the lane, and waits if that is full.
fn post(remote: &Remote, message: Posted) {
    let bytes = message.bytes();
    let mut state = remote.state();
    while !state.begin_posting(bytes) {
        state = remote.wait(state, LOOK);
    }
    drop(state);
    if remote.lane.send(message).is_err() {
        remote.change(|state| state.end_posting(bytes));
    }
}

/// Batches are of one revision alone (MCP 2025-03-26, basic, "Batching").
fn check_batch(remote: &Remote) -> Result<(), Unreadable> {
    let revision = match &remote.state().link {
        Link::Open(session) => session.revision.clone(),
        _ => Revision::NEWEST_WITH_SESSIONS.name().to_owned(),
    };
    match revision == Revision::V2025_03_26.name() {
        true => Ok(()),
        false => Err(Error::invalid_request(format_args!(
            "batches are of revision {}, not of {revision}",
            Revision::V2025_03_26
        ))
        .into()),
    }
}
