//! Opening a session, and opening it again once it is lost.
//!
//! *Scope:* finding out which transport the server speaks (MCP 2025-11-25, transports, "Backwards Compatibility"), as
//! `client::negotiation` does; repeating the same `initialize` for a session that was lost. *Not in scope:* what the client does
//! without a session.
//!
//! ```text
//!   POST initialize ──result──▶ Streamable HTTP
//!     │ 4xx, whatever its body says
//!     ▼
//!   GET ──`endpoint` event──▶ HTTP+SSE ──▶ POST initialize, its result comes on the stream
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drive::{Ended, drive};
use super::message::{IdText, Incoming, read_incoming};
use super::remote::{Link, Remote, State, within};
use super::streams::{back_off, follow};
use super::wire::{Session, answer};
use crate::cli::bounds::{CONNECT_ANNOUNCE_TIMEOUT, CONNECT_ENDPOINT_TIMEOUT, CONNECT_STREAM_TIMEOUT};
use crate::cli::shell::options::Era;
use crate::client::deadline::left;
use crate::client::error::{Error, may_be_another_transport};
use crate::client::exchange::{Exchange, Purpose, Step};
use crate::client::transport::{Outgoing, Transport, limits};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;

/// After so long without being lost a session is opened again as quickly as the first time.
const STEADY: Duration = Duration::from_secs(60);
/// How long a thread reads before it looks at the clock.
const LOOK: Duration = Duration::from_millis(100);

/// A session that was opened.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    /// The response to `initialize`, as it came.
    pub(super) response: String,
    /// The stream of HTTP+SSE.
    pub(super) stream: Option<Box<Exchange>>,
}

/// Why there is no session.
pub(super) enum Unopened {
    /// The server answered `initialize` with this error response.
    Response(String),
    Error(Error),
}

impl From<Error> for Unopened {
    fn from(error: Error) -> Unopened {
        Unopened::Error(error)
    }
}

/// Opens a session with this `initialize`. The state of the link is the caller's to change.
pub(super) fn open(remote: &Remote, initialize: &str, id: &IdText) -> Result<Opened, Unopened> {
    let token = remote.wire.token();
    match open_once(remote, initialize, id) {
        Err(Unopened::Error(Error::Http { status: 401, .. })) if remote.wire.has_other_token(token) => {
            open_once(remote, initialize, id)
        }
        opened => opened,
    }
}

fn open_once(remote: &Remote, initialize: &str, id: &IdText) -> Result<Opened, Unopened> {
    let generation = remote.change(|state| {
        state.attempts += 1;
        state.attempts
    });
    let opening = Opening { remote, initialize, id, generation };
    let refused = match remote.options.era {
        Era::Sse => return opening.sse(),
        era => match opening.streamable()? {
            Tried::Opened(opened) => return Ok(opened),
            Tried::Refused(status, body) if era == Era::Auto && may_be_another_transport(status) => {
                (status, body)
            }
            Tried::Refused(status, body) => return Err(opening.refused(status, body)),
        },
    };
    opening.sse().map_err(|error| opening.no_endpoint(refused, error))
}

enum Tried {
    Opened(Opened),
    Refused(u16, String),
}

struct Opening<'o> {
    remote: &'o Remote,
    initialize: &'o str,
    id: &'o IdText,
    generation: u64,
}

impl Opening<'_> {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { text: self.initialize.as_bytes(), request: None, fields: "" }
    }

    fn streamable(&self) -> Result<Tried, Unopened> {
        let (remote, target) = (self.remote, self.remote.wire.target(Transport::Streamable));
        let place = target.defaults.url.target.clone();
        let post = target.post(&place, self.outgoing());
        let mut exchange = remote.wire.send(answer(), post, within(remote.options.timeout))?;
        let provisional = Session::new(
            self.generation,
            remote.wire.target(Transport::Streamable),
            place.clone(),
            String::new(),
        );
        let mut response = None;
        let captured = std::cell::Cell::new(false);
        let ended = drive(
            remote,
            &mut exchange,
            &target,
            Some(remote.options.timeout),
            || captured.get(),
            |text| match self.is_response(&text) {
                true => {
                    captured.set(true);
                    response = Some(text);
                }
                false => remote.take_in(text, &[], Some(&provisional)),
            },
        );
        match (ended, response) {
            (Ended::Refused(status, body), _) => Ok(Tried::Refused(status, body)),
            (Ended::Failed(error), None) => Err(error.into()),
            (_, None) => Err(Error::Closed.into()),
            (_, Some(response)) => {
                self.opened(response, exchange.session_id.clone(), place, None).map(Tried::Opened)
            }
        }
    }

    fn sse(&self) -> Result<Opened, Unopened> {
        let (remote, target) = (self.remote, self.remote.wire.target(Transport::Sse));
        let deadline = within(CONNECT_ENDPOINT_TIMEOUT.min(remote.options.timeout));
        let mut stream = remote.wire.send(Purpose::Stream, target.get(""), deadline)?;
        let place = target.defaults.url.target.clone();
        let session = Arc::new(Session::new(self.generation, target, place, String::new()));
        self.read(&mut stream, &session, deadline, |event, data| match event {
            "endpoint" => session.move_endpoint(data).map(|()| true),
            _ => {
                remote.take_in(data.to_owned(), &[], Some(&session));
                Ok(false)
            }
        })?;
        // Questions may come, and be answered, before the answer to `initialize`.
        remote.change(|state| state.link = Link::Opening(Some(session.clone())));
        let post = || session.target.post(&session.endpoint(), self.outgoing());
        let deadline = within(remote.options.timeout);
        match remote.wire.deliver(post, &session.target, deadline)? {
            (200..300, _) => {}
            (status, body) => return Err(self.refused(status, body)),
        }
        let mut response = None;
        self.read(&mut stream, &session, deadline, |event, data| match event {
            "endpoint" => session.move_endpoint(data).map(|()| false),
            _ if self.is_response(data) => {
                response = Some(data.to_owned());
                Ok(true)
            }
            _ => {
                remote.take_in(data.to_owned(), &[], Some(&session));
                Ok(false)
            }
        })?;
        self.opened(response.unwrap_or_default(), None, session.endpoint(), Some(Box::new(stream)))
    }

    /// Reads events until one is the awaited one.
    fn read(
        &self,
        stream: &mut Exchange,
        session: &Session,
        deadline: Instant,
        mut is_awaited: impl FnMut(&str, &str) -> Result<bool, Error>,
    ) -> Result<(), Unopened> {
        loop {
            self.remote.output.wait_until_read();
            match stream.step(left(deadline)?.min(LOOK), &session.target, deadline)? {
                Step::Partial(_) => {}
                Step::Event(event)
                    if matches!(event.name.as_str(), "endpoint" | "message") && !event.data.is_empty() =>
                {
                    if is_awaited(&event.name, &event.data)? {
                        return Ok(());
                    }
                }
                Step::Event(_) => {}
                Step::Whole(status, body, _) => return Err(Error::Http { status, body }.into()),
            }
        }
    }

    /// True if a text is the response to `initialize`.
    fn is_response(&self, text: &str) -> bool {
        let mut tape = Tape::new();
        let Ok(json) = tape.read_within(text, &limits()) else { return false };
        match read_incoming(json) {
            Ok(Incoming::Response { id: Some(id), .. }) => id.is(self.id) || id.resembles(self.id),
            Ok(Incoming::Response { id: None, is_error }) => is_error,
            _ => false,
        }
    }

    fn opened(
        &self,
        response: String,
        session_id: Option<String>,
        endpoint: String,
        stream: Option<Box<Exchange>>,
    ) -> Result<Opened, Unopened> {
        let mut tape = Tape::new();
        let json = tape.read_within(&response, &limits()).unwrap_or(JsonRef::NULL);
        if json.get("error").is_some() {
            return Err(Unopened::Response(response));
        }
        let revision = json.at(&["result", "protocolVersion"]).and_then(JsonRef::as_str).map(Cow::into_owned);
        let revision = revision.unwrap_or_default();
        // It goes into every later request.
        if revision.is_empty() || !revision.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = "the result of `initialize` has no `protocolVersion` that can be sent back";
            return Err(Error::Protocol(text.to_owned()).into());
        }
        let transport = if stream.is_some() { Transport::Sse } else { Transport::Streamable };
        let mut target = self.remote.wire.target(transport);
        target.session_id = session_id;
        target.version = format!("MCP-Protocol-Version: {revision}\r\n");
        let session = Arc::new(Session::new(self.generation, target, endpoint, revision));
        Ok(Opened { session, response, stream })
    }

    /// Returns why there is no session if the server refused `initialize` so.
    fn refused(&self, status: u16, body: String) -> Unopened {
        match may_be_another_transport(status) && self.is_response(&body) {
            true => Unopened::Response(body),
            false => Error::Http { status, body }.into(),
        }
    }

    /// Returns the error for a server that refused `initialize`, and then GET in this way.
    fn no_endpoint(&self, (post, body): (u16, String), get: Unopened) -> Unopened {
        let status = match &get {
            Unopened::Error(Error::Http { status, .. }) if may_be_another_transport(*status) => Some(*status),
            Unopened::Error(Error::Timeout | Error::Closed) => None,
            _ => return get,
        };
        match (self.refused(post, body), status) {
            // A server that refuses in terms of MCP has an endpoint, but none for HTTP+SSE.
            (response @ Unopened::Response(_), _) => response,
            (refused, None) => refused,
            (_, Some(status)) => Error::Protocol(format!(
                "it answered {post} to POST and {status} to GET: this is not an MCP endpoint; check the path"
            ))
            .into(),
        }
    }
}

/// Posts `notifications/initialized`, and reads the session's streams from then on.
pub(super) fn announce(remote: &Arc<Remote>, session: &Arc<Session>, initialized: &str) -> Result<(), Error> {
    let message = Outgoing { text: initialized.as_bytes(), request: None, fields: &session.target.version };
    let post = || session.target.post(&session.endpoint(), message);
    let deadline = within(CONNECT_ANNOUNCE_TIMEOUT.min(remote.options.timeout));
    let delivered = remote.wire.deliver(post, &session.target, deadline);
    // Without it some servers answer nothing, but others do.
    if !session.is_sse() {
        follow(remote, session, None);
        let until = within(CONNECT_STREAM_TIMEOUT);
        let mut state = remote.state();
        while let (true, Ok(left)) = (state.streamed < session.generation, left(until)) {
            state = remote.wait(state, left);
        }
    }
    match delivered? {
        (200..300, _) => Ok(()),
        (status, body) => Err(Error::Http { status, body }),
    }
}

/// Opens the session again with the same `initialize`. The link is `Opening` before, and is not after.
///
/// # Errors
/// Why it cannot be opened; the link has that too.
fn reopen(remote: &Arc<Remote>, before: &str) -> Result<(), String> {
    let (initialize, initialized) = {
        let state = remote.state();
        (state.initialize.clone(), state.initialized.clone())
    };
    let opened = match &initialize {
        Some((text, id)) => open(remote, text, id),
        None => Err(Error::Closed.into()),
    };
    match opened {
        Ok(Opened { session, stream, .. }) => {
            remote.change(|state| {
                state.is_announcing = initialized.is_some();
                state.link = Link::Open(session.clone());
            });
            remote.say(format_args!(
                "{}: the session is open again, with {}",
                remote.options.place, session.revision
            ));
            if stream.is_some() {
                follow(remote, &session, stream);
            }
            if let Some(initialized) = initialized {
                if let Err(error) = announce(remote, &session, &initialized) {
                    remote.note(format_args!("notifications/initialized: {}", remote.sentence(&error)));
                }
                remote.change(|state| state.is_announcing = false);
            }
            Ok(())
        }
        Err(unopened) => {
            let now = match unopened {
                Unopened::Error(error) => remote.sentence(&error),
                Unopened::Response(response) => {
                    format!("the server refuses `initialize`: {}", crate::text::printable(&response))
                }
            };
            let why = format!("the session was lost ({before}) and cannot be opened again: {now}");
            remote.change(|state| state.link = Link::Lost(before.to_owned()));
            Err(why)
        }
    }
}

/// Returns the session for a request, once it is there. One that was lost is opened again. `None` if none was ever opened.
///
/// # Errors
/// Why there is none, in a sentence.
pub(super) fn session(remote: &Arc<Remote>, deadline: Instant) -> Result<Option<Arc<Session>>, String> {
    let mut state = remote.state();
    loop {
        match &state.link {
            Link::Open(session) if !state.is_announcing => return Ok(Some(session.clone())),
            Link::Closed => return Ok(None),
            Link::Lost(why) => {
                let why = why.clone();
                return reopen_now(remote, state, &why).map(|()| current(remote));
            }
            Link::Opening(_) | Link::Open(_) => {}
        }
        let left = left(deadline).map_err(|_| "the session was not open in time".to_owned())?;
        state = remote.wait(state, left);
    }
}

fn reopen_now(
    remote: &Arc<Remote>,
    mut state: std::sync::MutexGuard<'_, State>,
    why: &str,
) -> Result<(), String> {
    state.link = Link::Opening(None);
    drop(state);
    reopen(remote, why)
}

fn current(remote: &Remote) -> Option<Arc<Session>> {
    match &remote.state().link {
        Link::Open(session) => Some(session.clone()),
        _ => None,
    }
}

/// Opens lost sessions again without a request, so that what the server announces arrives. Returns at the end of the program.
pub(super) fn keep_open(remote: &Arc<Remote>) {
    let (mut failures, mut last) = (0, None::<Instant>);
    let mut state = remote.state();
    while !state.is_ending {
        if !matches!(state.link, Link::Lost(_)) {
            state = remote.wait(state, STEADY);
            continue;
        }
        if last.is_some_and(|last| last.elapsed() > STEADY) {
            failures = 0;
        }
        let (attempts, until) = (state.attempts, within(back_off(failures)));
        while let (Link::Lost(_), false, Ok(left)) = (&state.link, state.is_ending, left(until)) {
            state = remote.wait(state, left);
        }
        (failures, last) = (failures + 1, Some(Instant::now()));
        match &state.link {
            Link::Lost(why) if state.attempts == attempts && !state.is_ending => {
                let why = why.clone();
                // Why not is said where a request needs the session.
                let _ = reopen_now(remote, state, &why);
                state = remote.state();
            }
            _ => {}
        }
    }
}
