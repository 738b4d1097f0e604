//! Reports to the observer and to the counters.
//!
//! *Scope:* making [`Event`]s of what happens to connections and messages. *Not in scope:* what events there are
//! (`observe`).

use std::borrow::Cow;

use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::json::value::Members;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Response};
use crate::slab::Key;
use crate::text::shown;

impl Core {
    pub(crate) fn report_refusal(&mut self, key: Key, status: u16, reason: &str) {
        self.stats.refused += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.connections.get(key)) {
            let reason = without_session(reason);
            observer(&Event::Refused { peer: &conn.peer, status, reason: &in_words(&reason) });
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
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.connections.get(conn)) {
            let id = answer.id.as_ref().map_or_else(|| "null".to_owned(), shown_id);
            let error = answer.outcome.err().and_then(|error| Error::read(error).ok());
            let error = error.map(|error| shown(error.message.as_bytes()));
            observer(&Event::StrayAnswer { peer: &conn.peer, id: &id, error: error.as_deref() });
        }
    }

    pub(crate) fn ambiguous_cancel(&mut self, conn: Key, id: &IdRef<'_>, calls: usize) {
        self.stats.ambiguous_cancels += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.connections.get(conn)) {
            observer(&Event::AmbiguousCancel { peer: &conn.peer, id: &shown_id(id), calls });
        }
    }

    pub(crate) fn report_slow_reader(&mut self, key: Key, backlog_bytes: usize) {
        self.stats.slow_readers += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.connections.get(key)) {
            observer(&Event::SlowReader { peer: &conn.peer, backlog_bytes });
        }
    }

    /// Tells the observer of the first request of a connection that belongs to no session.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn report_sessionless(&mut self, conn: Key) {
        let Core { connections, observer, .. } = self;
        let (Some(entry), Some(observer)) = (connections.get_mut(conn), observer) else { return };
        if !std::mem::replace(&mut entry.is_sessionless, true) {
            observer(&Event::SessionlessClient { peer: &entry.peer });
        }
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        if let Some(observer) = &mut self.observer {
            observer(event);
        }
    }
}

/// What a body says to a person: the message of a JSON-RPC error, the description of an OAuth one (RFC 6750, section 3), or
/// all of it.
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

/// The reason without whole session ids: with one, a reader of the log could post into the session.
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
