//! What every request says since 2026-07-28, and the questions that come as results (MCP 2026-07-28, basic, "Metadata";
//! patterns, "Multi Round-Trip Requests").
//!
//! *Scope:* params and header fields of requests, and which retry belongs to which call. *Not in scope:* sending them,
//! and answering the questions.
//!
//! ```text
//!   call, id 1 ──▶ result: input_required ──▶ answers ──▶ call, id 2 ──▶ … ──▶ result: complete, for id 1
//! ```

use crate::jsonrpc::json::string;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::routing::{Params, line};
use crate::client::error::Error;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::json::{Members, Object, member};
use crate::protocol::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION, named_by};
use crate::protocol::revision::Revision;
use crate::text::shown;

/// What is kept between requests: only what the server does not keep for us.
#[derive(Debug)]
pub(super) struct Stateless {
    revision: Revision,
    client_info: String,
    capabilities: String,
    pub(super) level: Option<String>,
    pub(super) annotated: Params,
    /// Calls that may come back with questions, by the id of their last request.
    calls: BTreeMap<Id, Call>,
}

/// A call that may be asked about.
#[derive(Debug)]
pub(super) struct Call {
    /// The id that its caller knows.
    pub(super) caller: Id,
    pub(super) method: String,
    /// As the caller gave them.
    params: String,
    pub(super) rounds: u32,
}

/// What a result asks for.
#[derive(Debug, Default)]
pub(super) struct Questions<'a> {
    /// Key, method, params.
    pub(super) list: Vec<(String, String, Option<&'a RawValue>)>,
    state: Option<&'a RawValue>,
}

impl Stateless {
    pub(super) fn new(client_info: &str, capabilities: &str) -> Stateless {
        Stateless {
            revision: Revision::NEWEST,
            client_info: client_info.to_owned(),
            capabilities: capabilities.to_owned(),
            level: None,
            annotated: Params::default(),
            calls: BTreeMap::new(),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Params with what every request must say; `_meta` members of the caller's own stay.
    pub(super) fn params(&self, params: Option<&str>) -> Result<String, Error> {
        self.params_with(params.unwrap_or("{}"), &[])
    }

    fn params_with(&self, params: &str, more: &[(&str, &str)]) -> Result<String, Error> {
        let members = members(params)?;
        let meta = match members.get("_meta") {
            Some(meta) => Members::of(meta).map_err(|error| Error::Invalid(format!("`_meta`: {error}")))?,
            None => Members::default(),
        };
        let ours = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES];
        let level = self.level.as_deref().filter(|_| meta.get(LOG_LEVEL).is_none());
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        for (name, value) in members.iter().filter(|(name, _)| *name != "_meta") {
            if !more.iter().any(|(new, _)| *new == name) {
                object.raw(name, value.get());
            }
        }
        for (name, value) in more {
            object.raw(name, value);
        }
        object.field("_meta", |out| {
            let mut object = Object::new(out);
            for (name, value) in meta.iter().filter(|(name, _)| !ours.contains(name)) {
                object.raw(name, value.get());
            }
            object.str(PROTOCOL_VERSION, self.revision.name());
            object.raw(CLIENT_INFO, &self.client_info).raw(CLIENT_CAPABILITIES, &self.capabilities);
            object.opt_str(LOG_LEVEL, level);
        });
        object.end();
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The field lines that repeat what a request says (MCP 2026-07-28, transports, "Standard Request Headers").
    pub(super) fn fields(&self, method: &str, params: &str) -> Result<String, Error> {
        let mut fields = format!("MCP-Protocol-Version: {}\r\n", self.revision);
        fields.push_str(&line("Mcp-Method", method));
        let members = members(params)?;
        let name = match method {
            "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
            _ => named_by(method),
        };
        if let Some(name) = name.and_then(|name| members.get(name)).and_then(string) {
            fields.push_str(&line("Mcp-Name", &name));
            if method == "tools/call" {
                fields.push_str(&self.annotated.lines(&name, members.get("arguments")));
            }
        }
        Ok(fields)
    }

    /// Takes note of a request that may come back with questions.
    pub(super) fn sent(&mut self, id: &Id, method: &str, params: Option<&str>) {
        if named_by(method).is_some() {
            let params = params.unwrap_or("{}").to_owned();
            let call = Call { caller: id.clone(), method: method.to_owned(), params, rounds: 0 };
            self.calls.insert(id.clone(), call);
        }
    }

    /// The call that an answer is for.
    pub(super) fn take(&mut self, id: &Id) -> Option<Call> {
        self.calls.remove(id)
    }

    /// Under which id a request of the caller's is on its way now.
    pub(super) fn on_its_way<'i>(&'i self, caller: &'i Id) -> &'i Id {
        self.calls.iter().find(|(_, call)| call.caller == *caller).map_or(caller, |(id, _)| id)
    }

    /// Params and header fields of a call that brings answers along, which is then the one on its way.
    pub(super) fn retry(
        &mut self,
        call: Call,
        id: &Id,
        questions: &Questions<'_>,
        answers: &[(String, String)],
    ) -> Result<(String, String), Error> {
        let mut responses = Vec::new();
        let mut object = Object::new(&mut responses);
        for (key, answer) in answers {
            object.raw(key, answer);
        }
        object.end();
        let responses = String::from_utf8_lossy(&responses);
        let mut more = Vec::new();
        if !answers.is_empty() {
            more.push(("inputResponses", &*responses));
        }
        if let Some(state) = questions.state {
            more.push(("requestState", state.get()));
        }
        let params = self.params_with(&call.params, &more)?;
        let fields = self.fields(&call.method, &params)?;
        self.calls.insert(id.clone(), Call { rounds: call.rounds + 1, ..call });
        Ok((params, fields))
    }
}

impl<'a> Questions<'a> {
    /// What a result asks for; `None` if it is complete.
    pub(super) fn of(result: &'a RawValue) -> Result<Option<Questions<'a>>, Error> {
        let bad = |what: &str| Error::Protocol(format!("the server's `input_required` result {what}"));
        // What is not an object is not a result of this revision either, but that is for the caller to see.
        let kind = member(result, "resultType").ok().flatten().and_then(string);
        if kind.as_deref() != Some("input_required") {
            return Ok(None);
        }
        let read = |raw, name: &str| {
            Members::read_member(raw, name).map_err(|fault| bad(&format!("is not right: {fault}")))
        };
        let parts = read(result, "result")?;
        let state = parts.get("requestState");
        if state.is_some_and(|state| !state.get().starts_with('"')) {
            return Err(bad("has a `requestState` that is not a string"));
        }
        let mut questions = Questions { list: Vec::new(), state };
        if let Some(requests) = parts.get("inputRequests") {
            let requests = read(requests, "inputRequests")?;
            for (key, request) in requests.iter().filter(|(_, request)| request.get() != "null") {
                let request = read(request, &format!("inputRequests.{}", shown(key.as_bytes())))?;
                let method = request.get("method").and_then(string);
                let method = method.ok_or_else(|| bad("has a request without a `method`"))?;
                questions.list.push((key.to_owned(), method.into_owned(), request.get("params")));
            }
        }
        if questions.list.is_empty() && state.is_none() {
            return Err(bad("has neither `inputRequests` nor `requestState`"));
        }
        Ok(Some(questions))
    }
}

fn members(params: &str) -> Result<Members<'_>, Error> {
    let params: Result<&RawValue, _> = serde_json::from_str(params);
    let params = params.map_err(|error| Error::Invalid(format!("the params are not JSON: {error}")))?;
    Members::of(params).map_err(|error| Error::Invalid(format!("the params cannot be sent: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_keep_what_the_caller_says() {
        let mut stateless = Stateless::new(r#"{"name":"n"}"#, "{}");
        let ours = concat!(
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientInfo":{"name":"n"},"io.modelcontextprotocol/clientCapabilities":{}"#,
        );
        assert_eq!(stateless.params(None).unwrap(), format!(r#"{{"_meta":{{{ours}}}}}"#));
        let given = r#"{"_meta":{"progressToken":1,"io.modelcontextprotocol/protocolVersion":"x"},"a":[1]}"#;
        assert_eq!(
            stateless.params(Some(given)).unwrap(),
            format!(r#"{{"a":[1],"_meta":{{"progressToken":1,{ours}}}}}"#)
        );
        stateless.level = Some("info".to_owned());
        let level = r#""io.modelcontextprotocol/logLevel":"info""#;
        assert_eq!(stateless.params(None).unwrap(), format!(r#"{{"_meta":{{{ours},{level}}}}}"#));
        for bad in [r#"{"_meta":1}"#, r#"{"a":1,"a":2}"#, "[]"] {
            assert!(matches!(stateless.params(Some(bad)), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn questions_that_are_none() {
        let of = |text: &'static str| Questions::of(serde_json::from_str(text).unwrap());
        for complete in ["{}", "7", r#"{"resultType":"complete"}"#, r#"{"resultType":"task"}"#] {
            assert!(of(complete).unwrap().is_none(), "{complete}");
        }
        for bad in [
            r#"{"resultType":"input_required"}"#,
            r#"{"resultType":"input_required","inputRequests":{}}"#,
            r#"{"resultType":"input_required","inputRequests":[]}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{}}}"#,
            r#"{"resultType":"input_required","requestState":7}"#,
        ] {
            assert!(matches!(of(bad), Err(Error::Protocol(_))), "{bad}");
        }
    }
}
