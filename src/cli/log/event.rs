//! An event in words.
//!
//! *Scope:* one sentence for each event that is worth a line, how much it matters, and its name for programs. *Not in scope:* the line
//! that each call has (`call`); that one timed out is said here where the lines of calls are left out.

use super::options::Severity;
use crate::access::peer::Peer;
use crate::engine::observe::Event;
use crate::http::conn::close::CloseReason;
use crate::service::ended::CallOutcome;

/// A line about an event.
pub(super) struct Told {
    pub(super) level: Severity,
    /// For programs.
    pub(super) name: &'static str,
    pub(super) message: String,
}

/// Returns the line for an event; `None` if there is none.
pub(super) fn told(event: &Event<'_>) -> Option<Told> {
    use Severity::{Error, Info, Warning};
    let (level, name, message) = match event {
        Event::SessionOpened { peer, .. } => {
            (Info, "session_opened", format!("{} opened a session", who(peer)))
        }
        Event::SessionClosed { peer, .. } => {
            (Info, "session_closed", format!("the session of {} ended", who(peer)))
        }
        Event::SessionlessClient { peer } => {
            (Info, "sessionless_client", format!("{} sends requests without a session", who(peer)))
        }
        Event::SessionEvicted { peer, idle } => {
            let (peer, idle) = (who(peer), idle.as_secs());
            let text = format!("the session of {peer}, idle for {idle} s, makes room for a new one");
            (Warning, "session_evicted", text)
        }
        Event::Refused { peer, status, reason } => {
            let reason = reason.lines().next().unwrap_or_default();
            (Warning, "refused", format!("{} was refused with {status}: {reason}", who(peer)))
        }
        Event::ConnectionClosed { peer, reason, unsent_bytes } => {
            (Warning, "connection_closed", closed(peer, *reason, *unsent_bytes)?)
        }
        Event::StrayAnswer { peer, id, error } => {
            let error = error.map_or_else(String::new, |error| format!(", with the error: {error}"));
            let text = format!("{} sent an answer that no request waits for (id {id}){error}", who(peer));
            (Warning, "stray_answer", text)
        }
        Event::AmbiguousCancel { peer, id, calls } => {
            let text =
                format!("{} cancelled nothing: {calls} of its open requests have the id {id}", who(peer));
            (Warning, "ambiguous_cancel", text)
        }
        Event::LargeMessage { bytes } => {
            let text = format!("a message of {bytes} bytes was sent; from 1 MiB on some clients drop it");
            (Warning, "large_message", text)
        }
        Event::ToolName { name } => {
            let text = format!(
                "the tool `{name}` has a name that large model APIs refuse: they take 1 to 64 of A-Z a-z 0-9 _ -"
            );
            (Warning, "tool_name", text)
        }
        Event::OutOfDescriptors => {
            let text = "no descriptor is left for new connections, so clients wait (ulimit -n)".to_owned();
            (Error, "out_of_descriptors", text)
        }
        Event::HandlerFault { problem } => {
            (Error, "handler_fault", problem.lines().next().unwrap_or_default().to_owned())
        }
        Event::CallEnded { name, outcome: CallOutcome::TimedOut, ran, .. } => {
            let text = format!("the handler of `{name}` did not finish within {} s", ran.as_secs_f64());
            (Warning, "timed_out", text)
        }
        Event::HandshakeFailed { peer, error } => {
            let error = error.lines().next().unwrap_or_default();
            (Warning, "handshake_failed", format!("the handshake with {} failed: {error}", who(peer)))
        }
        Event::HookPanicked { hook } => {
            (Error, "hook_panicked", format!("the hook {hook} panicked; the connection is closed"))
        }
        Event::WorkersLeft { count } => {
            (Error, "workers_left", format!("the grace is over; handlers that still run: {count}"))
        }
        _ => return None,
    };
    Some(Told { level, name, message })
}

/// What is said of the end of a connection: nothing where clients end it as they do all the time and lose nothing, or where another
/// line has the reason.
fn closed(peer: &Peer, reason: CloseReason, unsent_bytes: usize) -> Option<String> {
    let is_own_decision = matches!(
        reason,
        CloseReason::WriteTimeout
            | CloseReason::SlowReader
            | CloseReason::Budget
            | CloseReason::UnreadInput
            | CloseReason::Evicted
            | CloseReason::Revoked
    );
    let lost = match unsent_bytes {
        0 => String::new(),
        count => format!("; {count} bytes of output are lost"),
    };
    (is_own_decision || unsent_bytes > 0)
        .then(|| format!("the connection of {} is closed: {reason}{lost}", who(peer)))
}

/// Names a peer.
pub(super) fn who(peer: &Peer) -> String {
    let place = peer.address.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
    match &peer.principal {
        Some(principal) => format!("{} ({place})", principal.name()),
        None => place,
    }
}
