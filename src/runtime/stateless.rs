//! The methods of the revision without sessions, in which each request describes its client (MCP 2026-07-28).
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

use crate::json::value::Members;
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::protocol::cache::CacheHint;
use crate::protocol::meta::Meta;
use crate::protocol::meta_names::SERVER_INFO;
use crate::runtime::calls::Run;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::runtime::seal::{Binding, SealedRequest};
use crate::runtime::{headers, rounds};
use crate::server::questions::Questions;
use crate::service::ServiceRequest;
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::timers::Now;

impl HandlerService {
    pub(crate) fn answer_stateless(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        match request.method {
            "server/discover" => {
                self.result(request.call, session.revision(), Some(self.server.list_cache), out, |out| {
                    let mut result = Object::new(out);
                    result.field("supportedVersions", |out| {
                        Array::new(out).str(session.revision().name());
                    });
                    result.field("capabilities", |out| self.write_capabilities(true, out));
                    result.opt_str("instructions", self.server.instructions.as_deref());
                });
                Ok(())
            }
            "subscriptions/listen" => self.listen(request, session, out),
            _ => self.answer_any(request, session, out),
        }
    }

    /// Writes the members that all results have since 2026-07-28.
    pub(crate) fn write_common(&self, result: &mut Object<'_>, cache: Option<CacheHint>, meta: &Meta) {
        result.str("resultType", "complete");
        if let Some(cache) = cache {
            cache.write(result);
        }
        self.write_meta(result, meta);
    }

    /// Writes the `_meta` of a result, with the server's name.
    fn write_meta(&self, result: &mut Object<'_>, meta: &Meta) {
        if meta.is_empty() {
            // It is one line already.
            result.field("_meta", |out| out.extend_from_slice(self.stateless.meta.as_bytes()));
            return;
        }
        result.field("_meta", |out| {
            let mut members = Object::new(out);
            meta.write_members(&mut members);
            if !meta.has(SERVER_INFO) {
                members.field(SERVER_INFO, |out| self.server.info.write(out));
            }
        });
    }

    /// A call may be the next round of one that asked. Returns what is known from earlier rounds, and what later ones are bound
    /// to.
    pub(crate) fn continue_rounds<'a>(
        &mut self,
        target: Target,
        subject: &str,
        params: &Members<'_>,
        request: &ServiceRequest<'a>,
        session: &'a Session,
    ) -> Result<(Questions, Binding<'a>), Error> {
        // Only HTTP has fields that could say something else.
        if target == Target::Tool
            && !request.head.is_none()
            && let Some((tool, _)) = self.server.registry.tools.find(subject)
        {
            headers::check_arguments(tool.param_headers(), params.get("arguments"), request.head)?;
        }
        let subject =
            SealedRequest { method: request.method, params: request.params, principal: session.principal() };
        let questions = rounds::read(&self.stateless.seal, &subject, params, request.now.unix)?;
        Ok((questions, Binding::Live(self.stateless.seal, subject)))
    }

    /// Answers the request with the questions of its handler.
    pub(crate) fn ask_in_result(&mut self, run: &Run<'_>, now: Now, out: &mut Outbox) {
        let until = now.unix.saturating_add(self.server.limits.request_state_ttl);
        out.written(run.key, |out| {
            let mut result = Object::new(out);
            rounds::write(
                &mut result,
                &self.stateless.seal,
                &run.binding.digest(),
                &run.call.questions,
                until,
            );
            result.raw("_meta", &self.stateless.meta);
        });
    }
}
