//! Reports to the observer and to the counters.
//!
//! *Scope:* making [`Event`]s of what happens to connections and messages. *Not in scope:* what events there are
//! (`observe`).

use std::borrow::Cow;

use crate::engine::core::{Core, Observer};
use crate::engine::observe::Event;
use crate::engine::state::connections::Connection;
use crate::http::conn::close::CloseReason;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::json::value::Members;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Response};
use crate::protocol::panics::contained;
use crate::server::stats::Stats;
use crate::service::ended::CallEnd;
use crate::slab::Key;
use crate::text::shown;

impl Core {
    pub(crate) fn report_refusal(&mut self, key: Key, status: u16, reason: &str) {
        self.stats.refused += 1;
        let Core { observer, stats, connections, .. } = self;
        if let (Some(observer), Some(conn)) = (observer, connections.get(key)) {
            let reason = without_session(reason);
            let event = Event::Refused { peer: &conn.peer, status, reason: &in_words(&reason) };
            tell(observer, stats, &event);
        }
    }

    /// Reports an answer if it refuses its request.
    pub(crate) fn report_answer(&mut self, key: Key, answer: &OwnedResponse) {
        if answer.status >= 400 {
            self.report_refusal(key, answer.status, &String::from_utf8_lossy(&answer.body));
        }
    }

    pub(crate) fn stray_answer(&mut self, conn: Key, answer: &Response<'_>) {
        self.stats.stray_answers += 1;
        let Core { observer, stats, connections, .. } = self;
        if let (Some(observer), Some(conn)) = (observer, connections.get(conn)) {
            let id = answer.id.as_ref().map_or_else(|| "null".to_owned(), shown_id);
            let error = answer.outcome.err().and_then(|error| Error::read(error).ok());
            let error = error.map(|error| shown(error.message.as_bytes()));
            tell(observer, stats, &Event::StrayAnswer { peer: &conn.peer, id: &id, error: error.as_deref() });
        }
    }

    pub(crate) fn ambiguous_cancel(&mut self, conn: Key, id: &IdRef<'_>, calls: usize) {
        self.stats.ambiguous_cancels += 1;
        let Core { observer, stats, connections, .. } = self;
        if let (Some(observer), Some(conn)) = (observer, connections.get(conn)) {
            tell(observer, stats, &Event::AmbiguousCancel { peer: &conn.peer, id: &shown_id(id), calls });
        }
    }

    /// Ends a connection that was taken out, and reports why.
    pub(crate) fn report_close(&mut self, conn: &mut Connection) {
        let Some((reason, unsent_bytes)) = conn.end(&mut self.common) else { return };
        let is_slow = match reason {
            CloseReason::SlowReader => true,
            CloseReason::WriteTimeout | CloseReason::Budget => unsent_bytes > 0,
            _ => false,
        };
        self.stats.slow_readers += u64::from(is_slow);
        self.observe(&Event::ConnectionClosed { peer: &conn.peer, reason, unsent_bytes });
    }

    /// Tells the observer of the first request of a connection that belongs to no session.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn report_sessionless(&mut self, conn: Key) {
        let Core { connections, observer, stats, .. } = self;
        let (Some(entry), Some(observer)) = (connections.get_mut(conn), observer) else { return };
        if entry.note_sessionless() {
            tell(observer, stats, &Event::SessionlessClient { peer: &entry.peer });
        }
    }

    /// Tells the observer of a call that has ended. It is still open in the engine, so its stream is known.
    pub(crate) fn report_call(&mut self, end: &CallEnd) {
        let transport = self.transport_of(end.call);
        self.timing.forget(end.call);
        self.observe(&Event::CallEnded {
            kind: end.kind,
            name: &end.name,
            is_known: end.is_known,
            peer: &end.peer,
            principal: end.principal.as_ref(),
            session: end.session,
            transport,
            revision: end.revision,
            queued: end.queued,
            ran: end.ran,
            outcome: end.outcome,
            runs: end.runs,
            bytes: end.bytes,
            request_bytes: end.request_bytes,
            trace: end.trace.as_ref(),
            arguments: end.arguments.as_deref(),
        });
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        if let Some(observer) = &mut self.observer {
            tell(observer, &mut self.stats, event);
        }
    }
}

/// Calls the observer. A panic of it is counted, and it is called again with the next event.
pub(crate) fn tell(observer: &mut Observer, stats: &mut Stats, event: &Event<'_>) {
    stats.observer_panics += u64::from(contained(|| observer(event)).is_none());
}

/// Returns the text of a body that is for a person: the message of a JSON-RPC error, the description of an OAuth one (RFC 6750,
/// section 3), or all of it.
fn in_words(body: &str) -> Cow<'_, str> {
    if !body.starts_with('{') {
        return Cow::Borrowed(body);
    }
    let mut tape = Tape::new();
    let members = tape.read(body).ok().and_then(|body| Members::of(body).ok());
    let message = members.and_then(|members| match members.get("error_description") {
        Some(description) => description.as_str().map(|text| Cow::Owned(text.into_owned())),
        None => Some(Error::read(members.get("error")?).ok()?.message),
    });
    message.unwrap_or(Cow::Borrowed(body))
}

/// Returns the reason with session ids cut: with a whole one, a reader of the log could post into the session.
fn without_session(reason: &str) -> String {
    const NAME: &str = "sessionId=";
    const SHOWN_BYTES: usize = 8;
    let mut parts = reason.split(NAME);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
        text.push_str(NAME);
        text.push_str(part.get(..end.min(SHOWN_BYTES)).unwrap_or_default());
        text.push_str(if end > SHOWN_BYTES { "..." } else { "" });
        text.push_str(part.get(end..).unwrap_or_default());
    }
    text
}

fn shown_id(id: &IdRef<'_>) -> String {
    let mut text = Vec::new();
    id.write(&mut text);
    shown(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_words() {
        for (body, words) in [
            ("no", "no"),
            ("", ""),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"send \"one\""}}"#,
                r#"send "one""#,
            ),
            (r#"{"error":"invalid_token","error_description":"it is gone"}"#, "it is gone"),
            ("{cut", "{cut"),
            ("{}", "{}"),
            (r#"{"error":7}"#, r#"{"error":7}"#),
        ] {
            assert_eq!(in_words(body), words);
        }
    }

    #[test]
    fn no_log_gets_a_whole_session_id() {
        let reason =
            "bad line `GET /messages?sessionId=70228fad-ceea-4b35-8826-7a15b68f0204&x=1`; sessionId=short";
        let told = without_session(reason);
        assert_eq!(told, "bad line `GET /messages?sessionId=70228fad...&x=1`; sessionId=short");
    }
}
