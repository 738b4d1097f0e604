//! Messages with another id or progress token (MCP, progress).
//!
//! *Scope:* the one member that has to change on its way, in both directions. All else is copied as it was written: numbers keep
//! every digit, and members that are not known here stay.

use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::{Error, Notification, Response};
use crate::protocol::kinds::ListKind;
use crate::protocol::meta_names::{
    CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION, SUBSCRIPTION_ID,
};
use crate::service::outbox::{Outbox, Outgoing};

/// What stays of `_meta` besides the progress token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    All,
    /// All but what describes a client of 2026-07-28, and its answers.
    Bare,
}

/// What older servers do not know of a request of 2026-07-28, in `_meta` and beside it.
const DESCRIPTION: [&str; 4] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];
const ROUND: [&str; 2] = ["inputResponses", "requestState"];

/// Appends `params` with `token` in the place of the progress token. Returns the token that stood there; `None` if there is
/// none.
///
/// # Errors
/// −32602 if a member occurs twice where one has to be found.
pub(super) fn params(
    params: Option<JsonRef<'_>>,
    token: i64,
    kept: Meta,
    out: &mut Vec<u8>,
) -> Result<Option<Box<str>>, Error> {
    let Some(params) = params else { return Ok(None) };
    let meta = params.member("_meta")?.filter(|meta| meta.is_object());
    let asked = meta.map(|meta| meta.member("progressToken")).transpose()?.flatten();
    let meta = match meta.filter(|_| asked.is_some() || kept == Meta::Bare) {
        Some(meta) => Members::of_member(meta, "_meta")?,
        None => {
            out.extend_from_slice(params.text().as_bytes());
            return Ok(None);
        }
    };
    let params = Members::of(params)?;
    let goes = |names: &[&str], name: &str| kept == Meta::Bare && names.contains(&name);
    let mut object = Object::new(out);
    for (name, value) in params.iter().filter(|(name, _)| !goes(&ROUND, name)) {
        match &*name {
            "_meta" => object.field("_meta", |out| {
                let mut object = Object::new(out);
                for (name, value) in meta.iter().filter(|(name, _)| !goes(&DESCRIPTION, name)) {
                    match &*name {
                        "progressToken" if asked.is_some() => object.int("progressToken", token),
                        _ => object.raw(&name, value.text()),
                    };
                }
            }),
            _ => object.raw(&name, value.text()),
        };
    }
    object.end();
    Ok(asked.map(|asked| asked.text().into()))
}

/// Appends the members of a notification's parameters with `json` in the place of one of them.
pub(super) fn member(params: JsonRef<'_>, replaced: &str, json: &str, object: &mut Object<'_>) {
    for (name, value) in Members::of(params).unwrap_or_default().iter() {
        object.raw(&name, if name == replaced { json } else { value.text() });
    }
}

/// The outcome of a response, with its error read.
pub(super) fn outcome_of<'a>(response: &Response<'a>) -> Result<JsonRef<'a>, Error> {
    response.outcome.map_err(|error| {
        Error::read(error)
            .unwrap_or_else(|bad| Error::internal(format_args!("the server sent a bad error: {bad}")))
    })
}

/// Sends a notification as it came.
pub(super) fn notify(kind: Outgoing, told: &Notification<'_>, out: &mut Outbox) {
    out.notify(kind, &told.method, |out| {
        for (name, value) in
            told.params.and_then(|params| Members::of(params).ok()).unwrap_or_default().iter()
        {
            // Which of the bridge's own streams a child of 2026-07-28 said it on concerns no client.
            match value.get(SUBSCRIPTION_ID) {
                Some(_) if name == "_meta" => {
                    let kept: Vec<_> = Members::of(value)
                        .unwrap_or_default()
                        .iter()
                        .filter(|(name, _)| name != SUBSCRIPTION_ID)
                        .collect();
                    if !kept.is_empty() {
                        out.field("_meta", |out| {
                            let mut object = Object::new(out);
                            for (name, value) in &kept {
                                object.raw(name, value.text());
                            }
                        });
                    }
                }
                _ => drop(out.raw(&name, value.text())),
            }
        }
    });
}

/// The list whose change a notification announces.
pub(super) fn list_of(method: &str) -> Option<ListKind> {
    ListKind::ALL.into_iter().find(|list| list.changed() == method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn rewritten(text: &str) -> Result<(String, Option<String>), String> {
        let mut out = Vec::new();
        let mut tape = Tape::new();
        let token = params(Some(tape.read(text).unwrap()), 7, Meta::All, &mut out)
            .map_err(|error| error.to_string())?;
        Ok((String::from_utf8(out).unwrap(), token.map(String::from)))
    }

    #[test]
    fn only_the_progress_token_changes() {
        let text = r#"{"b": 1e400, "_meta":{"x":0.10,"progressToken": "a\"b"}, "a":18446744073709551616}"#;
        let (out, token) = rewritten(text).unwrap();
        assert_eq!(out, r#"{"b":1e400,"_meta":{"x":0.10,"progressToken":7},"a":18446744073709551616}"#);
        assert_eq!(token.unwrap(), r#""a\"b""#);
        for text in [
            r#"{ "a" : 1 }"#,
            r#"{"_meta":{"a":[]},"a":1}"#,
            r#"{"_meta":7}"#,
            r#"{"_meta":{"progressToken":null}}"#,
        ] {
            assert_eq!(rewritten(text).unwrap(), (text.to_owned(), None));
        }
    }

    #[test]
    fn what_describes_a_client_of_2026_is_left_out() {
        let text = r#"{"name":"a","requestState":"s","inputResponses":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1.0,"x":2,"io.modelcontextprotocol/clientCapabilities":{}}}"#;
        let (mut out, mut tape) = (Vec::new(), Tape::new());
        let token = params(Some(tape.read(text).unwrap()), 7, Meta::Bare, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"name":"a","_meta":{"progressToken":7,"x":2}}"#);
        assert_eq!(token.as_deref(), Some("1.0"));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        for text in [
            r#"{"_meta":{"progressToken":1},"_meta":{}}"#,
            r#"{"_meta":{"progressToken":1,"progressToken":2}}"#,
            r#"{"_meta":{"progressToken":1},"a":1,"a":2}"#,
        ] {
            assert!(rewritten(text).unwrap_err().contains("twice"), "{text}");
        }
    }
}
