//! The requests of the local client, each with a thread of its own until it is answered.
//!
//! *Scope:* how a request is posted in each era, and the error that it gets in place of an answer. *Not in scope:* messages that get
//! no answer (`lane`).

use std::sync::{Arc, PoisonError};
use std::thread::Builder;
use std::time::Instant;

use super::drive::{Ended, drive};
use super::message::{IdText, Incoming, read_incoming};
use super::opening::{Opened, Unopened, open, session};
use super::remote::{Link, Posted, Remote, cancellation, error_line, within};
use super::streams::follow;
use super::table::Ticket;
use super::tools;
use super::wire::{Session, answer};
use crate::cli::bounds::{
    CONNECT_CANCELLATION_TIMEOUT, CONNECT_HELD_BYTES_MAX, CONNECT_LAST_WORDS_TIMEOUT, CONNECT_REQUESTS_MAX,
};
use crate::cli::shell::options::Era;
use crate::client::deadline::left;
use crate::client::error::{Error, may_be_another_transport};
use crate::client::exchange::Exchange;
use crate::client::target::Target;
use crate::client::transport::{Outgoing, Transport, limits};
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::jsonrpc;
use crate::memory::Charge;
use crate::protocol::revision::Revision;
use crate::protocol::routing;
use crate::text::printable;
use crate::threads;

/// What a thread of a request needs at most: a look-up of a name takes much of it.
const STACK_BYTES: usize = 512 << 10;

/// A request, or a batch of them.
struct Post {
    text: Arc<str>,
    method: String,
    /// The revision of a request without a session.
    revision: Option<String>,
    ids: Vec<IdText>,
    tickets: Vec<Ticket>,
    _charge: Charge,
}

/// Posts a request. Whatever comes of it is written by its thread, or here if it cannot have one.
pub(super) fn begin(
    remote: &Arc<Remote>,
    text: &str,
    method: String,
    revision: Option<String>,
    ids: Vec<IdText>,
) {
    if let Err(error) = try_to_begin(remote, text, method, revision, &ids) {
        ids.iter().for_each(|id| remote.write(&error_line(id.text(), &error)));
    }
}

fn try_to_begin(
    remote: &Arc<Remote>,
    text: &str,
    method: String,
    revision: Option<String>,
    ids: &[IdText],
) -> Result<(), jsonrpc::Error> {
    check_era(remote.options.era, &method, revision.as_deref())?;
    let charge = remote.asked.charge(text.len());
    if remote.asked.bytes() > CONNECT_HELD_BYTES_MAX {
        return Err(jsonrpc::Error::internal(format_args!(
            "the open requests have more than {CONNECT_HELD_BYTES_MAX} bytes together (connect_held_bytes_max)"
        )));
    }
    let lasting = method == "subscriptions/listen";
    let mut tickets = Tickets { remote: remote.clone(), tickets: Vec::new() };
    for id in ids {
        let ticket = remote.change(|state| {
            state.table.open(id.clone(), revision.is_some() && !has_sse(&state.link), lasting)
        });
        tickets.tickets.push(ticket.ok_or_else(|| {
            jsonrpc::Error::internal(format_args!(
                "more than {CONNECT_REQUESTS_MAX} requests are open (connect_requests_max)"
            ))
        })?);
    }
    // Before a later message is read: it has to wait for the session.
    let is_opening = method == "initialize"
        && remote.change(|state| {
            let is_wanted = matches!(state.link, Link::Closed | Link::Lost(_));
            if is_wanted {
                state.link = Link::Opening(None);
            }
            is_wanted
        });
    let post = Post {
        text: text.into(),
        method,
        revision,
        ids: ids.to_vec(),
        tickets: tickets.tickets.clone(),
        _charge: charge,
    };
    let thread = Builder::new().name("request".to_owned()).stack_size(STACK_BYTES);
    let work = Box::new(move || {
        post.run(&tickets.remote, is_opening);
        drop(tickets);
    });
    let started = threads::start_as(thread, work);
    started.map(|_| ()).map_err(|error| {
        if is_opening {
            remote.change(|state| state.link = Link::Closed);
        }
        jsonrpc::Error::internal(format_args!("no thread can be started: {error}"))
    })
}

/// The places in the table, which are free again when the thread has ended, however it has.
struct Tickets {
    remote: Arc<Remote>,
    tickets: Vec<Ticket>,
}

impl Drop for Tickets {
    fn drop(&mut self) {
        self.remote.change(|state| self.tickets.iter().for_each(|ticket| state.table.close(*ticket)));
    }
}

/// True if the stream of a session of HTTP+SSE ends just now: a server that has restarted may refuse a message before the end of
/// the stream is seen here.
fn has_ended(remote: &Remote, generation: u64) -> bool {
    let until = within(CONNECT_LAST_WORDS_TIMEOUT);
    let mut state = remote.state();
    loop {
        match &state.link {
            Link::Open(session) if session.generation == generation => {}
            _ => return true,
        }
        match left(until) {
            Ok(left) => state = remote.wait(state, left),
            Err(_) => return false,
        }
    }
}

fn has_sse(link: &Link) -> bool {
    matches!(link, Link::Open(session) if session.is_sse())
}

/// Refuses what `--era` excludes in such a way that a client of several eras tries the other one.
fn check_era(era: Era, method: &str, revision: Option<&str>) -> Result<(), jsonrpc::Error> {
    match (era, revision) {
        (Era::Sessions | Era::Sse, Some(_)) => Err(jsonrpc::Error::method_not_found(method)),
        (Era::Stateless, None) => {
            let supported = Revision::V2026_07_28;
            let data = format!(r#"{{"supported":["{supported}"]}}"#);
            let error = jsonrpc::Error::new(
                UNSUPPORTED_PROTOCOL_VERSION,
                format!("--era 2026 passes on requests of revision {supported} alone, and this one is older"),
            );
            Err(match serde_json::value::RawValue::from_string(data) {
                Ok(data) => error.with_data(data),
                Err(_) => error,
            })
        }
        _ => Ok(()),
    }
}

/// UnsupportedProtocolVersionError (MCP 2026-07-28, schema).
const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

impl Post {
    fn run(&self, remote: &Arc<Remote>, is_opening: bool) {
        if is_opening {
            return self.open(remote);
        }
        let deadline = within(remote.options.timeout);
        self.await_cancellation(remote);
        let mut is_retry = false;
        loop {
            let lone = self.revision.is_some() && !has_sse(&remote.state().link);
            let session = match lone {
                true => None,
                false => match session(remote, deadline) {
                    Ok(session) => session,
                    Err(why) => return remote.fail(&self.tickets, &jsonrpc::Error::internal(why)),
                },
            };
            if !remote.change(|state| self.tickets.iter().all(|ticket| state.table.begin_sending(*ticket))) {
                return;
            }
            let ended = match &session {
                Some(session) if session.is_sse() => self.post_sse(remote, session),
                session => self.post(remote, session.as_deref()),
            };
            match (ended, &session) {
                (Ended::Done, _) => return,
                // It was not taken.
                (Ended::Refused(404, _), Some(session))
                    if session.target.session_id.is_some() && !is_retry =>
                {
                    remote.lose(session.generation, "the server does not know it any more");
                    is_retry = true;
                }
                (Ended::Refused(400 | 404, _), Some(session))
                    if session.is_sse() && !is_retry && has_ended(remote, session.generation) =>
                {
                    is_retry = true;
                }
                (Ended::Refused(400, body), None) if !is_retry && self.lacks_fields(remote, &body) => {
                    is_retry = true;
                }
                (Ended::Refused(status, body), _) => return self.refused(remote, status, body),
                (Ended::Failed(error), session) => return self.failed(remote, &error, session.as_deref()),
            }
        }
    }

    /// True if a call was refused because its header fields say too little, and they can say more now.
    fn lacks_fields(&self, remote: &Remote, body: &str) -> bool {
        self.method == "tools/call"
            && tools::is_mismatch(body)
            && self.revision.as_deref().is_some_and(|revision| tools::learn(remote, &self.text, revision))
    }

    /// Waits until the server knows that a request with the same id before this one is cancelled.
    fn await_cancellation(&self, remote: &Remote) {
        let until = within(CONNECT_CANCELLATION_TIMEOUT);
        let mut state = remote.state();
        while let (true, Ok(left)) = (self.ids.iter().any(|id| state.table.is_cancelling(id)), left(until)) {
            state = remote.wait(state, left);
        }
    }

    /// Opens the session with this request.
    fn open(&self, remote: &Arc<Remote>) {
        let (Some(id), Some(ticket)) = (self.ids.first(), self.tickets.first()) else { return };
        match open(remote, &self.text, id) {
            Ok(Opened { session, response, stream }) => {
                remote.change(|state| {
                    state.initialize = Some((self.text.clone(), id.clone()));
                    state.link = Link::Open(session.clone());
                });
                // What comes on the stream comes after it.
                remote.take_in(response, &[*ticket], Some(&session));
                if stream.is_some() {
                    follow(remote, &session, stream);
                }
            }
            Err(unopened) => {
                remote.change(|state| state.link = Link::Closed);
                match unopened {
                    Unopened::Response(response) => remote.take_in(response, &[*ticket], None),
                    Unopened::Error(error) => remote.fail(&[*ticket], &remote.explain(&error)),
                }
            }
        }
    }

    /// The header field lines of the request.
    fn fields(&self, remote: &Remote, session: Option<&Session>) -> String {
        match (&self.revision, session) {
            (_, Some(session)) => session.target.version.clone(),
            (None, None) => String::new(),
            (Some(revision), None) => {
                let mut tape = Tape::new();
                let json = tape.read_within(&self.text, &limits()).unwrap_or(JsonRef::NULL);
                let params = json.get("params").and_then(|params| Members::of(params).ok());
                let annotated = remote.annotated.lock().unwrap_or_else(PoisonError::into_inner);
                routing::fields(revision, &self.method, &params.unwrap_or_default(), &annotated)
            }
        }
    }

    fn sent(&self, remote: &Remote) {
        remote.change(|state| self.tickets.iter().for_each(|ticket| state.table.sent(*ticket)));
    }

    /// Posts to a server of Streamable HTTP, which answers the POST.
    fn post(&self, remote: &Remote, session: Option<&Session>) -> Ended {
        let lone;
        let target = match session {
            Some(session) => &session.target,
            None => {
                let transport =
                    if self.revision.is_some() { Transport::Stateless } else { Transport::Streamable };
                lone = remote.wire.target(transport);
                &lone
            }
        };
        let fields = self.fields(remote, session);
        let (mut cursor, mut is_again) = (String::new(), false);
        loop {
            let token = remote.wire.token();
            let begun = match &*cursor {
                "" => {
                    let message = Outgoing { text: self.text.as_bytes(), request: None, fields: &fields };
                    let post = target.post(&target.defaults.url.target, message);
                    remote.wire.send(answer(), post, within(remote.options.timeout))
                }
                cursor => remote.wire.resume(answer(), target, cursor, within(remote.options.timeout)),
            };
            self.sent(remote);
            let mut exchange = match begun {
                Ok(exchange) => exchange,
                Err(error) => return Ended::Failed(error),
            };
            let ended = self.read(remote, session, target, &mut exchange);
            exchange.cursor().clone_into(&mut cursor);
            // With another token a request is sent again, once. If the server has taken it, it is not: it would run twice. Then the rest
            // of its answer is asked for.
            let goes_on = !is_again || !cursor.is_empty();
            match ended {
                Ended::Refused(401, _) if goes_on && remote.wire.has_other_token(token) => is_again = true,
                ended => return ended,
            }
        }
    }

    /// Reads what comes in answer to a POST.
    fn read(
        &self,
        remote: &Remote,
        session: Option<&Session>,
        target: &Target,
        exchange: &mut Exchange,
    ) -> Ended {
        let lasting = self.method == "subscriptions/listen";
        let patience = Some(remote.options.timeout).filter(|_| !lasting);
        let is_over = || remote.is_over(&self.tickets);
        let ended = drive(remote, exchange, target, patience, is_over, |text| {
            remote.take_in(text, &self.tickets, session);
        });
        match ended {
            // The request was taken before: its answer is lost with the session.
            Ended::Refused(404, _) if !exchange.cursor().is_empty() => {
                if let Some(session) = session {
                    remote.lose(session.generation, "the server does not know it any more");
                }
                Ended::Failed(Error::Expired)
            }
            ended => ended,
        }
    }

    /// Posts to a server of HTTP+SSE, which answers on the stream of the session.
    fn post_sse(&self, remote: &Remote, session: &Session) -> Ended {
        let message = Outgoing { text: self.text.as_bytes(), request: None, fields: &session.target.version };
        let post = || session.target.post(&session.endpoint(), message);
        let timeout = remote.options.timeout;
        let delivered = remote.wire.deliver(post, &session.target, within(timeout));
        self.sent(remote);
        match delivered {
            Ok((200..300, _)) => {}
            Ok((status, body)) => return Ended::Refused(status, body),
            Err(error) => return Ended::Failed(error),
        }
        let start = Instant::now();
        let mut state = remote.state();
        loop {
            if self.tickets.iter().all(|ticket| state.table.is_over(*ticket)) {
                return Ended::Done;
            }
            match &state.link {
                Link::Open(open) | Link::Opening(Some(open)) if open.generation == session.generation => {}
                _ => return Ended::Failed(Error::Closed),
            }
            let silent = session.last_activity().max(start).elapsed();
            let left = timeout.saturating_sub(silent);
            if left.is_zero() {
                return Ended::Failed(Error::Timeout);
            }
            state = remote.wait(state, left);
        }
    }

    /// The server has refused the request with this status.
    fn refused(&self, remote: &Remote, status: u16, body: String) {
        let mut tape = Tape::new();
        let json = tape.read_within(&body, &limits()).unwrap_or(JsonRef::NULL);
        let is_for_people = matches!(status, 401 | 403 | 407);
        let is_answer = match read_incoming(json) {
            Ok(Incoming::Response { id: Some(id), is_error: true }) if id.text() != "null" => {
                !is_for_people && self.ids.iter().any(|own| own.is(&id) || own.resembles(&id))
            }
            // The server could not read the id.
            Ok(Incoming::Response { is_error: true, .. }) => {
                may_be_another_transport(status) && self.tickets.len() == 1
            }
            _ => false,
        };
        match is_answer {
            true => remote.take_in(body, &self.tickets, None),
            false => {
                let error = Error::Http { status, body };
                let error = match self.revision.is_some() && may_be_another_transport(status) {
                    // A client of several eras tries the other one.
                    true => jsonrpc::Error::new(jsonrpc::Error::METHOD_NOT_FOUND, remote.sentence(&error)),
                    false => remote.explain(&error),
                };
                remote.fail(&self.tickets, &error);
            }
        }
    }

    /// There is no answer.
    fn failed(&self, remote: &Remote, error: &Error, session: Option<&Session>) {
        let open = self.tickets.iter().zip(&self.ids);
        let open: Vec<_> = open.filter(|(ticket, _)| !remote.is_over(&[**ticket])).collect();
        remote.fail(&self.tickets, &remote.explain(error));
        if !matches!(error, Error::Timeout) || session.is_none() {
            return;
        }
        // Nobody waits for it any more.
        for (_, id) in open {
            let text = String::from_utf8(cancellation(id, "timed out")).unwrap_or_default();
            if !remote.try_to_post(Posted::Notification(text)) {
                remote
                    .note(format_args!("the server is not told that {} has timed out", printable(id.text())));
            }
        }
    }
}
