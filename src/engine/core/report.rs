//! Reports to the observer and to the counters.
//!
//! *Scope:* making [`Event`]s of what happens to connections and messages. *Not in scope:* what events there are
//! (`observe`).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::json::{Members, string};
use crate::jsonrpc::{Error, Response};
use crate::slab::Key;
use crate::text::shown;

impl Engine {
    pub(crate) fn report_refusals(&mut self, key: Key) {
        for refusal in self.common.take_refusals() {
            self.stats.refused += 1;
            if let (Some(observer), Some(conn)) = (&mut self.observer, self.conns.get(key)) {
                observer(&Event::Refused {
                    peer: &conn.peer,
                    status: refusal.status,
                    reason: &in_words(&refusal.reason),
                });
            }
        }
    }

    pub(crate) fn stray_answer(&mut self, conn: Key, answer: &Response<'_>) {
        self.stats.stray_answers += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.conns.get(conn)) {
            let id = answer.id.as_ref().map_or_else(|| "null".to_owned(), shown_id);
            let error = answer.outcome.err().and_then(|error| Error::read(error).ok());
            let error = error.map(|error| shown(error.message.as_bytes()));
            observer(&Event::StrayAnswer { peer: &conn.peer, id: &id, error: error.as_deref() });
        }
    }

    pub(crate) fn ambiguous_cancel(&mut self, conn: Key, id: &IdRef<'_>, calls: usize) {
        self.stats.ambiguous_cancels += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.conns.get(conn)) {
            observer(&Event::AmbiguousCancel { peer: &conn.peer, id: &shown_id(id), calls });
        }
    }

    pub(crate) fn report_tool_names(&mut self) {
        for name in self.mailbox.take_odd_names() {
            self.observe(&Event::ToolName { name: &name });
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
    let members = serde_json::from_str::<&RawValue>(body).ok().and_then(|raw| Members::of(raw).ok());
    let message = members.and_then(|members| match members.get("error_description") {
        Some(description) => string(description),
        None => Some(Error::read(members.get("error")?).ok()?.message),
    });
    message.unwrap_or(Cow::Borrowed(body))
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
}
