//! What every request says since 2026-07-28, and the questions that come as results (MCP 2026-07-28, basic, "Metadata";
//! patterns, "Multi Round-Trip Requests").
//!
//! *Scope:* params and header fields of requests, and of retries with answers. *Not in scope:* sending them, and answering
//! the questions.
//!
//! ```text
//!   call, id 1 ──▶ result: input_required ──▶ answers ──▶ call, id 2 ──▶ … ──▶ result: complete, for id 1
//! ```

use crate::client::error::Error;
use crate::client::object;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc;
use crate::protocol::level::Level;
use crate::protocol::meta_names::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION};
use crate::protocol::revision::Revision;
use crate::protocol::routing::{Params, fields};
use crate::text::shown;

/// What is kept between requests, because the server does not keep it.
#[derive(Debug)]
pub(super) struct Stateless {
    client_info: String,
    capabilities: String,
    pub(super) level: Option<Level>,
    pub(super) annotated: Params,
}

/// What a result asks for.
#[derive(Debug, Default)]
pub(super) struct Questions<'a> {
    /// Key, method, params.
    pub(super) list: Vec<(String, String, Option<JsonRef<'a>>)>,
    state: Option<JsonRef<'a>>,
}

impl Stateless {
    pub(super) fn new(client_info: &str, capabilities: &str) -> Stateless {
        let (client_info, capabilities) = (client_info.to_owned(), capabilities.to_owned());
        Stateless { client_info, capabilities, level: None, annotated: Params::default() }
    }

    /// Returns the params and the header field lines of a request (MCP 2026-07-28, transports, "Standard Request
    /// Headers"): the caller's members, with those of `more` in place of members of the same name, and what every request
    /// must say.
    pub(super) fn request(
        &self,
        method: &str,
        params: &str,
        more: &[(&str, &str)],
    ) -> Result<(String, String), Error> {
        let mut tape = Tape::new();
        let members = Members::of(tape.read(params).unwrap_or(JsonRef::NULL)).map_err(|problem| {
            Error::Invalid(format!("the params cannot be sent: {}", jsonrpc::Error::from(problem)))
        })?;
        let meta = match members.get("_meta") {
            Some(meta) => Members::of(meta)
                .map_err(|problem| Error::Invalid(format!("`_meta`: {}", jsonrpc::Error::from(problem))))?,
            None => Members::default(),
        };
        let ours = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES];
        let level = self.level.filter(|_| meta.get(LOG_LEVEL).is_none());
        let is_replaced = |name: &str| name == "_meta" || more.iter().any(|(new, _)| *new == name);
        let params = object(|object| {
            for (name, value) in members.iter().filter(|(name, _)| !is_replaced(name)) {
                object.raw(&name, value.text());
            }
            for (name, value) in more {
                object.raw(name, value);
            }
            object.field("_meta", |out| {
                let mut object = Object::new(out);
                for (name, value) in meta.iter().filter(|(name, _)| !ours.contains(&&**name)) {
                    object.raw(&name, value.text());
                }
                object.str(PROTOCOL_VERSION, Revision::V2026_07_28.name());
                object.raw(CLIENT_INFO, &self.client_info).raw(CLIENT_CAPABILITIES, &self.capabilities);
                object.opt_str(LOG_LEVEL, level.map(Level::name));
            })
        });
        Ok((params, fields(Revision::V2026_07_28.name(), method, &members, &self.annotated)))
    }

    /// Returns the params and the header field lines of a call that is sent again with answers.
    pub(super) fn retry(
        &self,
        method: &str,
        params: &str,
        questions: &Questions<'_>,
        answers: &[(String, String)],
    ) -> Result<(String, String), Error> {
        let responses = object(|object| {
            for (key, answer) in answers {
                object.raw(key, answer);
            }
            object
        });
        let responses = Some(&*responses).filter(|_| !answers.is_empty());
        let state = questions.state.map(JsonRef::text);
        let more = [("inputResponses", responses), ("requestState", state)];
        let more: Vec<_> = more.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.request(method, params, &more)
    }
}

impl<'a> Questions<'a> {
    /// Returns what a result asks for; `None` if it is complete.
    pub(super) fn of(result: JsonRef<'a>) -> Result<Option<Questions<'a>>, Error> {
        let bad = |what: &str| Error::Protocol(format!("the server's `input_required` result {what}"));
        // Anything but an object is not a result of this revision either, but that is for the caller to see.
        let kind = result.member("resultType").ok().flatten().and_then(JsonRef::as_str);
        if kind.as_deref() != Some("input_required") {
            return Ok(None);
        }
        let read = |raw, name: &str| {
            Members::of_member(raw, name).map_err(|fault| bad(&format!("is not valid: {fault}")))
        };
        let parts = read(result, "result")?;
        let state = parts.get("requestState");
        if state.is_some_and(|state| !state.is_str()) {
            return Err(bad("has a `requestState` that is not a string"));
        }
        let mut questions = Questions { list: Vec::new(), state };
        if let Some(requests) = parts.get("inputRequests") {
            let requests = read(requests, "inputRequests")?;
            for (key, request) in requests.iter().filter(|(_, request)| !request.is_null()) {
                let request = read(request, &format!("inputRequests.{}", shown(key.as_bytes())))?;
                let method = request.text("method").ok_or_else(|| bad("has a request without a `method`"))?;
                questions.list.push((key.into_owned(), method.into_owned(), request.get("params")));
            }
        }
        if questions.list.is_empty() && state.is_none() {
            return Err(bad("has neither `inputRequests` nor `requestState`"));
        }
        Ok(Some(questions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_keep_what_the_caller_says() {
        let params = |stateless: &Stateless, params: &str| stateless.request("x", params, &[]).unwrap().0;
        let mut stateless = Stateless::new(r#"{"name":"n"}"#, "{}");
        let ours = concat!(
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientInfo":{"name":"n"},"io.modelcontextprotocol/clientCapabilities":{}"#,
        );
        assert_eq!(params(&stateless, "{}"), format!(r#"{{"_meta":{{{ours}}}}}"#));
        let given = r#"{"_meta":{"progressToken":1,"io.modelcontextprotocol/protocolVersion":"x"},"a":[1]}"#;
        assert_eq!(params(&stateless, given), format!(r#"{{"a":[1],"_meta":{{"progressToken":1,{ours}}}}}"#));
        stateless.level = Some(Level::Info);
        let level = r#""io.modelcontextprotocol/logLevel":"info""#;
        assert_eq!(params(&stateless, "{}"), format!(r#"{{"_meta":{{{ours},{level}}}}}"#));
        for bad in [r#"{"_meta":1}"#, r#"{"a":1,"a":2}"#, "[]"] {
            assert!(matches!(stateless.request("x", bad, &[]), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn questions_that_are_none() {
        for complete in ["{}", "7", r#"{"resultType":"complete"}"#, r#"{"resultType":"task"}"#] {
            let mut tape = Tape::new();
            assert!(Questions::of(tape.read(complete).unwrap()).unwrap().is_none(), "{complete}");
        }
        for bad in [
            r#"{"resultType":"input_required"}"#,
            r#"{"resultType":"input_required","inputRequests":{}}"#,
            r#"{"resultType":"input_required","inputRequests":[]}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{}}}"#,
            r#"{"resultType":"input_required","requestState":7}"#,
        ] {
            let mut tape = Tape::new();
            assert!(matches!(Questions::of(tape.read(bad).unwrap()), Err(Error::Protocol(_))), "{bad}");
        }
    }
}
