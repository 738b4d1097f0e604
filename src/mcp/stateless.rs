//! Requests that stand alone: what each one says of its client, and the methods of the revision without sessions (MCP
//! 2026-07-28).
//!
//! *Scope:* the `_meta` of requests and results, `server/discover`, `subscriptions/listen`, calls that ask in their
//! result. *Not in scope:* header fields but those that repeat arguments, HTTP statuses (the engine's), and the tasks
//! extension, which is not implemented and not advertised.
//!
//! ```text
//!  request ─▶ _meta ─▶ server/discover, */list, completion/complete ─▶ result, with how long it may be kept
//!                   ├▶ tools/call, prompts/get, resources/read ─▶ handler ─┬▶ result
//!                   │                                                      └▶ input_required: asked again with answers
//!                   ├▶ subscriptions/listen ─▶ acknowledged ─▶ notifications … ─▶ result
//!                   └▶ anything else: −32601
//! ```

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::Now;
use crate::jsonrpc::{Array, Error, Members, Object, string};
use crate::mcp::asked::Asked;
use crate::mcp::cache::CacheHint;
use crate::mcp::calls::{Run, Target};
use crate::mcp::dispatch::{Dispatch, read_level};
use crate::mcp::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, Meta, PROTOCOL_VERSION, SERVER_INFO};
use crate::mcp::seal::{Binding, Subject};
use crate::mcp::session::cut;
use crate::mcp::{
    CallKey, Capabilities, ClientInfo, Implementation, Incoming, Level, Outbox, Revision, Session, headers,
    rounds,
};

/// What a request says of its client.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) params: Members<'a>,
    pub(crate) version: Cow<'a, str>,
    pub(crate) client: ClientInfo,
    /// `None`: it wants no logs.
    pub(crate) log_level: Option<Level>,
}

impl<'a> Envelope<'a> {
    /// Reads `params._meta`.
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub(crate) fn read(params: Option<&'a RawValue>) -> Result<Envelope<'a>, Error> {
        let wrong = |name: &str| {
            Error::invalid_params(format_args!("`params._meta` must have `{name}`, and of the right type"))
        };
        let params = params.map(Members::of).transpose()?.unwrap_or_default();
        let meta = params.get("_meta").ok_or_else(|| wrong(PROTOCOL_VERSION))?;
        let meta = Members::of_member(meta, "_meta")?;
        let version = meta.get(PROTOCOL_VERSION).and_then(string).ok_or_else(|| wrong(PROTOCOL_VERSION))?;
        let capabilities = meta.get(CLIENT_CAPABILITIES).ok_or_else(|| wrong(CLIENT_CAPABILITIES))?;
        let capabilities = Capabilities::read(capabilities, CLIENT_CAPABILITIES)?;
        let info = meta.get(CLIENT_INFO).map(|info| Members::of_member(info, CLIENT_INFO)).transpose()?;
        let text = |name| {
            let text = info.as_ref().and_then(|info| info.get(name)).and_then(string);
            text.map(|text| cut(&text).into()).unwrap_or_default()
        };
        let log_level = meta.get(LOG_LEVEL).map(|level| read_level(Some(level))).transpose()?;
        let client = ClientInfo { name: text("name"), version: text("version"), capabilities };
        Ok(Envelope { params, version, client, log_level })
    }
}

/// The `_meta` of every result.
pub(crate) fn result_meta(info: &Implementation) -> String {
    let mut meta = Vec::new();
    Object::new(&mut meta).field(SERVER_INFO, |out| info.write(out));
    String::from_utf8(meta).unwrap_or_default()
}

impl Dispatch {
    pub(crate) fn answer_stateless(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        match request.method {
            "server/discover" => {
                self.result(request.call, session.revision(), Some(self.list_cache), out, |out| {
                    let mut result = Object::new(out);
                    result.field("supportedVersions", |out| {
                        Array::new(out).str(session.revision().name());
                    });
                    result.field("capabilities", |out| self.write_capabilities(true, out));
                    result.opt_str("instructions", self.instructions.as_deref());
                });
                Ok(())
            }
            "subscriptions/listen" => self.listen(request, session, out),
            _ => self.answer_any(request, session, out),
        }
    }

    /// Sends a result: the object that `write` appends, and what all results have besides since 2026-07-28.
    pub(crate) fn result(
        &self,
        call: CallKey,
        revision: Revision,
        cache: Option<CacheHint>,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.result_with(call, revision, cache, &Meta::EMPTY, out, write);
    }

    /// As [`result`](Dispatch::result), with a `_meta` of its own.
    pub(crate) fn result_with(
        &self,
        call: CallKey,
        revision: Revision,
        cache: Option<CacheHint>,
        meta: &Meta,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        out.written(call, |out| {
            let start = out.len();
            write(out);
            if revision.has_sessions() && meta.is_empty() {
                return;
            }
            out.pop();
            let mut more = Vec::new();
            let mut result = Object::new(&mut more);
            if revision.has_sessions() {
                meta.write(&mut result);
            } else {
                result.str("resultType", "complete");
                if let Some(cache) = cache {
                    cache.write(&mut result);
                }
                self.write_meta(&mut result, meta);
            }
            result.end();
            if out.len() > start + 1 {
                out.push(b',');
            }
            out.extend(more.iter().skip(1));
        });
    }

    /// What a result says of itself, and of this server.
    fn write_meta(&self, result: &mut Object<'_>, meta: &Meta) {
        if meta.is_empty() {
            result.raw("_meta", &self.meta);
            return;
        }
        result.field("_meta", |out| {
            let mut members = Object::new(out);
            meta.write_members(&mut members);
            if !meta.has(SERVER_INFO) {
                members.field(SERVER_INFO, |out| self.info.write(out));
            }
        });
    }

    /// A call may be the next round of one that asked: what is known of earlier ones, and what later ones are bound to.
    pub(crate) fn take_up<'a>(
        &mut self,
        target: Target,
        subject: &str,
        params: &Members<'_>,
        request: &Incoming<'a>,
        session: &'a Session,
    ) -> Result<(Asked, Binding<'a>), Error> {
        if target == Target::Tool
            && let Some(schema) =
                self.registry.tools.find(subject).and_then(|(tool, _)| tool.input_schema_text())
        {
            headers::check_arguments(schema, params.get("arguments"), request.head)?;
        }
        let subject =
            Subject { method: request.method, params: request.params, principal: session.principal() };
        let asked = rounds::read(&self.seal, &subject, params, request.now.unix)?;
        Ok((asked, Binding::Live(self.seal, subject)))
    }

    /// Ends the request with the questions of its handler.
    pub(crate) fn ask_in_result(&mut self, run: &Run<'_>, now: Now, out: &mut Outbox) {
        let until = now.unix.saturating_add(self.limits.request_state_ttl);
        out.written(run.key, |out| {
            let mut result = Object::new(out);
            rounds::write(&mut result, &self.seal, &run.binding.digest(), &run.asked, until);
            result.raw("_meta", &self.meta);
        });
    }
}
