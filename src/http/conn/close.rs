//! The end of a connection, and why it comes.
//!
//! *Scope:* [`CloseReason`], and the calls that end a connection from outside. *Not in scope:* what ends it from inside: input
//! that has no meaning (`input.rs`), the last response (`output.rs`), deadlines (`time.rs`). All of them name their reason, because
//! the states `Closing`, `Linger` and `Closed` cannot be written down without one.

use std::fmt;

use crate::http::conn::{Conn, State};
use crate::http::response::Common;
use crate::http::search::Search;

/// Why a connection is closed. [`Display`](fmt::Display) is one line for a person.
///
/// Where several things end a connection, the first one counts: a client that is refused and then goes away was
/// [`Refused`](CloseReason::Refused). A later one counts if output was lost by it.
///
/// ```
/// use mcp_rill::http::conn::CloseReason;
/// assert_eq!(CloseReason::Idle.to_string(), "no request came within idle_timeout (for the first one: head_timeout)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client wanted one response: `Connection: close`, or HTTP/1.0 (RFC 9112 §9.3).
    Requested,
    /// The client ended its side (RFC 9112 §9.6).
    EndOfInput,
    /// The connection broke, or the driver gave it up ([`Engine::hang_up`](crate::engine::Engine::hang_up)).
    Broken,
    /// No request came within [`idle_timeout`](crate::Limits::idle_timeout), or the first one within
    /// [`head_timeout`](crate::Limits::head_timeout).
    Idle,
    /// The transport's handshake was not complete within [`handshake_timeout`](crate::Limits::handshake_timeout).
    HandshakeTimeout,
    /// A head was not whole within [`head_timeout`](crate::Limits::head_timeout). The client got 408.
    HeadTimeout,
    /// A body did not come as fast as [`body_timeout`](crate::Limits::body_timeout) and
    /// [`body_rate_min`](crate::Limits::body_rate_min) demand. The client got 408.
    BodyTimeout,
    /// The client took no output for [`write_timeout`](crate::Limits::write_timeout).
    WriteTimeout,
    /// More than [`output_bytes_max`](crate::Limits::output_bytes_max) waited for the client to read.
    SlowReader,
    /// A request was refused, and bytes after it have no certain meaning; or the connection itself was refused.
    Refused,
    /// [`buffered_bytes_max`](crate::Limits::buffered_bytes_max) was passed, and this connection held most.
    Budget,
    /// The client sent more than a little where nothing is read: behind a refused request
    /// ([`linger_bytes_max`](crate::Limits::linger_bytes_max)), or on a connection that carries a stream.
    UnreadInput,
    /// It makes room for another connection, as [`connections_max`](crate::Limits::connections_max) and
    /// [`connections_reserve_percent`](crate::Limits::connections_reserve_percent) say.
    Evicted,
    /// The stream or the answer that it carried is complete.
    Complete,
    /// The session whose stream it carried has ended.
    SessionEnded,
    /// The client went on with its stream on another connection.
    Superseded,
    /// The hook of `Server::authorize` would not let its request in any more.
    Revoked,
    /// The server shuts down.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Requested => "the client asked for one response (`Connection: close`, or HTTP/1.0)",
            CloseReason::EndOfInput => "the client ended its side of the connection",
            CloseReason::Broken => "the connection broke",
            CloseReason::Idle => "no request came within idle_timeout (for the first one: head_timeout)",
            CloseReason::HandshakeTimeout => "the handshake took longer than handshake_timeout",
            CloseReason::HeadTimeout => "the head of a request took longer than head_timeout",
            CloseReason::BodyTimeout => {
                "the body of a request came slower than body_timeout and body_rate_min allow"
            }
            CloseReason::WriteTimeout => "the client took no output for write_timeout",
            CloseReason::SlowReader => "more output than output_bytes_max waited for the client to read",
            CloseReason::Refused => "a request was refused",
            CloseReason::Budget => {
                "all connections together held more than buffered_bytes_max, and this one most"
            }
            CloseReason::UnreadInput => "the client sent more than linger_bytes_max where nothing is read",
            CloseReason::Evicted => "it made room for another connection",
            CloseReason::Complete => "the stream or the answer that it carried was complete",
            CloseReason::SessionEnded => "the session whose stream it carried ended",
            CloseReason::Superseded => "the client went on with its stream on another connection",
            CloseReason::Revoked => "the client was not authorized any more",
            CloseReason::Shutdown => "the server was shut down",
        })
    }
}

impl Conn {
    /// Takes no further request: what is queued is sent, then the connection is closed. For a shutdown, and for a session that
    /// has ended.
    pub fn finish(&mut self, reason: CloseReason, common: &mut Common) {
        match &mut self.state {
            State::Waiting(to) | State::Chunks(to) => {
                // If the client wanted no other response, that was the reason already.
                if std::mem::take(&mut to.keep_alive) {
                    self.last_because = reason;
                }
            }
            State::Handshake => self.abort(reason, common),
            // Between two requests there is nothing that a close could cut off.
            State::Head(Search { began: false, .. }) if self.output.is_empty() => self.abort(reason, common),
            State::Head(_) | State::Body(_) | State::Stream | State::Lines(_) => {
                self.enter(State::Closing(reason), common);
            }
            State::Closing(_) | State::Linger(_) | State::Closed { .. } => {}
        }
    }

    /// Gives up the answer, or the rest of it, to the request that waits: what is queued is sent, then the connection is
    /// closed.
    pub fn give_up(&mut self, reason: CloseReason, common: &mut Common) {
        if self.is_waiting() || self.is_stream() || self.is_lines() {
            self.enter(State::Closing(reason), common);
        }
    }

    /// Closes at once; what is queued is lost.
    pub fn abort(&mut self, reason: CloseReason, common: &mut Common) {
        let unsent_bytes = u32::try_from(self.output.len()).unwrap_or(u32::MAX);
        let reason = match self.state {
            State::Closed { .. } => return,
            State::Closing(first) | State::Linger(first) if unsent_bytes == 0 => first,
            _ => reason,
        };
        self.enter(State::Closed { reason, unsent_bytes }, common);
    }

    /// Why the connection is closed, and how many bytes of output were lost by that; `None` while it is open, or some of its
    /// output may still be sent.
    pub fn closed(&self) -> Option<(CloseReason, usize)> {
        match self.state {
            State::Closed { reason, unsent_bytes } => Some((reason, unsent_bytes as usize)),
            _ => None,
        }
    }
}
