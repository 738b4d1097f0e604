//! The streams of sessions, each read by a thread of its own.
//!
//! *Scope:* the stream of HTTP+SSE, with which its session ends; the stream of a session of Streamable HTTP, which is resumed for
//! as long as the session lives. *Not in scope:* opening a session again once it is lost (`opening`).

use std::sync::Arc;
use std::time::Duration;

use super::drive::count;
use super::remote::{Link, Remote, within};
use super::token::Version;
use super::wire::Session;
use crate::cli::bounds::{CONNECT_BACK_OFF_MAX, CONNECT_OPEN_TIMEOUT};
use crate::client::error::Error;
use crate::client::exchange::{Exchange, Purpose, Step};
use crate::client::transport::Outgoing;
use crate::threads;

/// How long a thread reads before it looks whether its session is still the present one.
const LOOK: Duration = Duration::from_secs(5);
/// A request whose id no client uses.
const PING: &str = r#"{"jsonrpc":"2.0","id":"mcp-rill: does the session live?","method":"ping"}"#;
/// The least that is waited before another attempt.
pub(super) const BACK_OFF_MIN: Duration = Duration::from_secs(1);

/// How long to wait after so many failures in a row.
pub(super) fn back_off(failures: u32) -> Duration {
    BACK_OFF_MIN.saturating_mul(1 << failures.min(16)).min(CONNECT_BACK_OFF_MAX)
}

/// Reads the streams that a session has.
pub(super) fn follow(remote: &Arc<Remote>, session: &Arc<Session>, stream: Option<Box<Exchange>>) {
    let (remote, session) = (remote.clone(), session.clone());
    let generation = session.generation;
    let shared = remote.clone();
    let started = threads::start("stream", move || match stream {
        Some(stream) => follow_sse(&remote, &session, *stream),
        None => follow_session(&remote, &session),
    });
    if let Err(error) = started {
        shared.lose(generation, &format!("its stream cannot be read: {error}"));
    }
}

fn follow_sse(remote: &Remote, session: &Session, mut stream: Exchange) {
    let mut charge = remote.held.charge(0);
    let why = loop {
        remote.output.wait_until_read();
        if !remote.is_current(session.generation) {
            return;
        }
        match stream.step(LOOK, &session.target, within(CONNECT_OPEN_TIMEOUT)) {
            Ok(Step::Partial(_)) => {}
            Ok(Step::Event(event)) => match event.name.as_str() {
                "endpoint" => match session.move_endpoint(&event.data) {
                    Ok(()) => {}
                    Err(error) => break error.to_string(),
                },
                "message" if !event.data.is_empty() => {
                    session.note_activity();
                    remote.take_in(event.data, &[], Some(session));
                }
                _ => {}
            },
            Ok(Step::Whole(status, ..)) => break format!("the stream ended with {status}"),
            Err(Error::Closed) => break "the server ended the stream".to_owned(),
            Err(error) => break error.to_string(),
        }
        if let Err(error) = count(remote, &mut charge, stream.unused_bytes()) {
            break error.to_string();
        }
    };
    remote.lose(session.generation, &why);
}

/// What came of one attempt to read the stream of a session.
enum Read {
    /// The session is not the present one any more, or has no stream.
    Over,
    /// To be resumed behind this event.
    Broken(String),
}

fn follow_session(remote: &Remote, session: &Session) {
    let (mut cursor, mut failures, mut was_open) = (String::new(), 0, false);
    loop {
        let token = remote.wire.token();
        let was_read =
            match remote.wire.resume(Purpose::Stream, &session.target, &cursor, within(CONNECT_OPEN_TIMEOUT))
            {
                Ok(stream) => {
                    match read_session(remote, session, stream, token, (&mut was_open, &mut failures)) {
                        Read::Over => break,
                        Read::Broken(at) => at,
                    }
                }
                Err(_) => cursor,
            };
        remote.change(|state| state.streamed = session.generation);
        cursor = was_read;
        let until = within(back_off(failures));
        failures += 1;
        let mut state = remote.state();
        while let Ok(left) = crate::client::deadline::left(until) {
            match &state.link {
                Link::Open(open) if open.generation == session.generation => {}
                _ => return,
            }
            state = remote.wait(state, left);
        }
    }
    remote.change(|state| state.streamed = session.generation);
}

/// True if the server still knows a session: it is sent a `ping`, whose answer stays here.
fn knows(remote: &Remote, session: &Session) -> bool {
    let message = Outgoing { text: PING.as_bytes(), request: None, fields: &session.target.version };
    let post = || session.target.post(&session.endpoint(), message);
    let answered = remote.wire.deliver(post, &session.target, within(CONNECT_OPEN_TIMEOUT));
    session.target.session_id.is_none() || !matches!(answered, Ok((404, _)))
}

fn read_session(
    remote: &Remote,
    session: &Session,
    mut stream: Exchange,
    token: Version,
    (was_open, failures): (&mut bool, &mut u32),
) -> Read {
    let mut charge = remote.held.charge(0);
    loop {
        remote.output.wait_until_read();
        if !remote.is_current(session.generation) {
            return Read::Over;
        }
        let step = stream.step(LOOK, &session.target, within(CONNECT_OPEN_TIMEOUT));
        if stream.is_streaming() && !*was_open {
            remote.change(|state| state.streamed = session.generation);
        }
        if stream.is_streaming() {
            (*was_open, *failures) = (true, 0);
        }
        match step {
            Ok(Step::Partial(_)) => {}
            Ok(Step::Event(event)) => {
                if event.name == "message" && !event.data.is_empty() {
                    remote.take_in(event.data, &[], Some(session));
                }
            }
            // Not every server has one. Of those without some answer 404, which may also mean that the session has ended.
            Ok(Step::Whole(405, ..)) => return Read::Over,
            Ok(Step::Whole(404, ..)) if !*was_open && knows(remote, session) => return Read::Over,
            Ok(Step::Whole(404, ..)) => {
                remote.lose(session.generation, "the server does not know it any more");
                return Read::Over;
            }
            Ok(Step::Whole(401, ..)) if remote.wire.has_other_token(token) => {
                return Read::Broken(stream.cursor().to_owned());
            }
            Ok(Step::Whole(status @ 400..500, text, _)) if !matches!(status, 408 | 409 | 429) => {
                let error = Error::Http { status, body: text };
                remote.note(format_args!("the session has no stream: {}", remote.sentence(&error)));
                return Read::Over;
            }
            Ok(Step::Whole(..)) => return Read::Broken(stream.cursor().to_owned()),
            Err(error @ Error::Protocol(_)) => {
                remote.note(format_args!("the stream of the session: {}", remote.sentence(&error)));
                return Read::Broken(stream.cursor().to_owned());
            }
            Err(_) => return Read::Broken(stream.cursor().to_owned()),
        }
        if let Err(error) = count(remote, &mut charge, stream.unused_bytes()) {
            remote.note(format_args!("the stream of the session: {error}"));
            return Read::Broken(stream.cursor().to_owned());
        }
    }
}
