//! What a message says that its way depends on: whether it wants an answer, under which id, and of which revision it is.
//!
//! *Scope:* a look into messages of both directions. *Not in scope:* changing them, and judging them any further: that is for the
//! two ends.

use std::borrow::Cow;

use crate::client::transport::limits;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::jsonrpc::{self, Error};
use crate::protocol::meta_names::PROTOCOL_VERSION;
use crate::protocol::revision::Revision;

/// An id as it is written: any JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdText(Box<str>);

impl IdText {
    fn of(value: JsonRef<'_>) -> IdText {
        IdText(value.text().into())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// True if both are the same value. Strings may be written with other escapes.
    pub(super) fn is(&self, other: &IdText) -> bool {
        self == other || self.string().is_some_and(|text| Some(text) == other.string())
    }

    /// True if a program that keeps ids as text, or as floating-point numbers, may have made one of the other.
    pub(super) fn resembles(&self, other: &IdText) -> bool {
        let content = |id: &IdText| id.string().unwrap_or_else(|| id.0.to_string());
        let (own, other) = (content(self), content(other));
        own == other
            || matches!((own.parse::<f64>(), other.parse::<f64>()), (Ok(own), Ok(other)) if own == other)
    }

    fn string(&self) -> Option<String> {
        Tape::new().read(&self.0).ok()?.as_str().map(Cow::into_owned)
    }
}

/// A message of the local client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Local {
    Request {
        id: IdText,
        method: String,
        /// The revision in `_meta`, if the request is one without a session.
        revision: Option<String>,
    },
    /// The ids of the requests in it.
    Batch(Vec<IdText>),
    Notification {
        method: String,
        /// The request that it cancels.
        cancels: Option<IdText>,
    },
    /// The id of the question that it answers.
    Response(IdText),
}

/// What is no message, and what to answer.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) id: Option<String>,
    pub(super) error: Error,
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Unreadable {
        Unreadable { id: None, error }
    }
}

/// Reads a line of the local client.
pub(super) fn read_local(line: &str, tape: &mut Tape) -> Result<Local, Unreadable> {
    let limits = limits();
    let json = match tape.read_within(line, &limits) {
        Ok(json) => json,
        Err(_) => {
            let rejected = jsonrpc::parse(line.as_bytes(), &limits, &mut Tape::new()).err();
            return Err(match rejected {
                Some(rejected) => {
                    Unreadable { id: rejected.id.map(|id| id.to_string()), error: rejected.error }
                }
                None => Error::parse_error("it is not JSON").into(),
            });
        }
    };
    if let Some(items) = json.items() {
        return Ok(Local::Batch(items.filter_map(request_id).collect()));
    }
    // A message that two readers understand in different ways cannot be kept account of.
    let members = Members::of(json).map_err(|problem| Unreadable::from(Error::invalid_request(problem)))?;
    let id = json.find("id").map(IdText::of);
    let Some(method) = members.get("method") else {
        let is_response = members.get("error").is_some() || json.find("result").is_some();
        return match id {
            Some(id) if is_response => Ok(Local::Response(id)),
            id => Err(Unreadable {
                id: id.map(|id| id.text().to_owned()),
                error: Error::invalid_request("no `method`, `result` or `error`"),
            }),
        };
    };
    let Some(method) = method.as_str().map(Cow::into_owned) else {
        let error = Error::invalid_request("`method` must be a string");
        return Err(Unreadable { id: id.map(|id| id.text().to_owned()), error });
    };
    let Some(id) = request_id(json) else {
        let requested = members.get("params").and_then(|params| params.find("requestId"));
        let cancels = requested.filter(|_| method == CANCELLED).map(IdText::of);
        return Ok(Local::Notification { method, cancels });
    };
    let revision = json.at(&["params", "_meta", PROTOCOL_VERSION]).and_then(JsonRef::as_str);
    let has_sessions =
        |name: &str| Revision::KNOWN.iter().any(|known| known.name() == name && known.has_sessions());
    let revision = revision.map(Cow::into_owned).filter(|name| !has_sessions(name));
    Ok(Local::Request { id, method, revision })
}

/// Returns the id of a request; `None` for any other message.
pub(super) fn request_id(message: JsonRef<'_>) -> Option<IdText> {
    let method = message.get("method")?.as_str().unwrap_or_default();
    // Programs that write every member of a structure send notifications with `"id":null`.
    let id = message.find("id").filter(|id| !(id.text() == "null" && method.starts_with("notifications/")));
    id.map(IdText::of)
}

/// The notification that gives up a request (MCP, cancellation).
pub(super) const CANCELLED: &str = "notifications/cancelled";

/// A message of the remote server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Response {
        /// `None` for an error whose sender could not read the id.
        id: Option<IdText>,
        is_error: bool,
    },
    Request {
        id: IdText,
    },
    Notification {
        /// The question that it withdraws.
        cancels: Option<IdText>,
    },
}

/// Reads a message of the remote server.
///
/// # Errors
/// What it is instead.
pub(super) fn read_incoming(json: JsonRef<'_>) -> Result<Incoming, String> {
    let members = Members::of(json).map_err(|problem| problem.to_string())?;
    let id = members.get("id").map(IdText::of);
    match members.text("method") {
        Some(method) => Ok(match id {
            Some(id) => Incoming::Request { id },
            None => Incoming::Notification {
                cancels: members
                    .get("params")
                    .and_then(|params| params.find("requestId"))
                    .filter(|_| method == CANCELLED)
                    .map(IdText::of),
            },
        }),
        None => match (members.get("error").is_some(), json.find("result").is_some()) {
            (false, false) => Err("it has no `method`, `result` or `error`".to_owned()),
            (is_error, _) => Ok(Incoming::Response { id: json.find("id").map(IdText::of), is_error }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(line: &str) -> Local {
        read_local(line, &mut Tape::new()).unwrap()
    }

    fn id(text: &str) -> IdText {
        IdText(text.into())
    }

    #[test]
    fn ids_of_any_type_stay_as_they_are() {
        for text in [
            "1",
            "\"1\"",
            "1.50",
            "123456789012345678901234567890",
            "null",
            "true",
            "{\"a\": [1]}",
            "\"\\u00e9\"",
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#);
            let request = Local::Request { id: id(text), method: "ping".to_owned(), revision: None };
            assert_eq!(local(&line), request);
        }
        assert!(id("\"\\u00e9\"").is(&id("\"é\"")));
        assert!(!id("1").is(&id("\"1\"")) && !id("1").is(&id("1.0")) && !id("\"a\"").is(&id("\"b\"")));
        for (one, other) in [("7", "\"7\""), ("1.0", "1"), ("123456789012345678901", "1.2345678901234568e20")]
        {
            assert!(id(one).resembles(&id(other)), "{one} {other}");
        }
        assert!(!id("7").resembles(&id("8")) && !id("\"a\"").resembles(&id("null")));
    }

    #[test]
    fn the_kind_of_a_message() {
        let notification = |method: &str, cancels| Local::Notification { method: method.to_owned(), cancels };
        assert_eq!(
            local(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
            notification("notifications/x", None)
        );
        assert_eq!(
            local(r#"{"jsonrpc":"2.0","id":null,"method":"notifications/x"}"#),
            notification("notifications/x", None)
        );
        assert_eq!(
            local(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#),
            notification(CANCELLED, Some(id("\"7\"")))
        );
        assert_eq!(local(r#"{"jsonrpc":"2.0","id":5,"result":null}"#), Local::Response(id("5")));
        assert_eq!(local(r#"{"jsonrpc":"2.0","id":5,"error":{}}"#), Local::Response(id("5")));
        let batch = r#"[{"id":1,"method":"a"},{"method":"b"},{"id":2,"result":{}},{"id":"3","method":"c"},{"id":null,"method":"notifications/x"}]"#;
        assert_eq!(local(batch), Local::Batch(vec![id("1"), id("\"3\"")]));
        for (version, lone) in [("2026-07-28", true), ("2031-01-01", true), ("2025-06-18", false)] {
            let line = format!(
                r#"{{"id":1,"method":"a","params":{{"_meta":{{"{PROTOCOL_VERSION}":"{version}"}}}}}}"#
            );
            let Local::Request { revision, .. } = local(&line) else { panic!("{line}") };
            assert_eq!(revision.as_deref(), lone.then_some(version));
        }
    }

    #[test]
    fn lines_that_are_no_messages_say_why() {
        for (line, answered, code) in [
            ("no JSON", None, -32700),
            ("7", None, -32600),
            ("{}", None, -32600),
            (r#"{"jsonrpc":"2.0","id":7}"#, Some("7"), -32600),
            (r#"{"jsonrpc":"2.0","id":[7],"method":1}"#, Some("[7]"), -32600),
            (r#"{"jsonrpc":"2.0","result":{}}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, None, -32600),
        ] {
            let unreadable = read_local(line, &mut Tape::new()).unwrap_err();
            assert_eq!((unreadable.id.as_deref(), unreadable.error.code), (answered, code), "{line}");
        }
        let deep = format!(r#"{{"id":7,"method":"a","params":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(read_local(&deep, &mut Tape::new()).unwrap_err().error.message.contains("json_depth_max"));
    }

    #[test]
    fn what_the_remote_server_sends() {
        let read = |text: &str| read_incoming(Tape::new().read(text).unwrap());
        assert_eq!(
            read(r#"{"id":1,"result":{}}"#),
            Ok(Incoming::Response { id: Some(id("1")), is_error: false })
        );
        assert_eq!(
            read(r#"{"id":null,"error":{}}"#),
            Ok(Incoming::Response { id: Some(id("null")), is_error: true })
        );
        assert_eq!(read(r#"{"error":{}}"#), Ok(Incoming::Response { id: None, is_error: true }));
        assert_eq!(read(r#"{"id":"q","method":"ping"}"#), Ok(Incoming::Request { id: id("\"q\"") }));
        assert_eq!(read(r#"{"method":"notifications/x"}"#), Ok(Incoming::Notification { cancels: None }));
        let cancelled = r#"{"method":"notifications/cancelled","params":{"requestId":3}}"#;
        assert_eq!(read(cancelled), Ok(Incoming::Notification { cancels: Some(id("3")) }));
        for bad in ["{}", "7", r#"{"id":1}"#, r#"{"id":1,"id":1,"result":{}}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
