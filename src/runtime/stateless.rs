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

pub(crate) mod headers;
pub(crate) mod listen;
pub(crate) mod listening;
pub(crate) mod probing;
pub(crate) mod rounds;
pub(crate) mod seal;
pub(crate) mod state;

use std::time::Duration;

use crate::access::peer::Principal;
use crate::json::value::{JsonCow, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::protocol::cache::CacheHint;
use crate::protocol::kinds::ListKind;
use crate::protocol::meta::Meta;
use crate::protocol::meta_names::SERVER_INFO;
use crate::protocol::viewers::Viewers;
use crate::runtime::announcing::ListenPlace;
use crate::runtime::calls::Run;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::runtime::stateless::probing::Decision;
use crate::runtime::stateless::seal::{Binding, SealedRequest};
use crate::runtime::stateless::state::StatelessState;
use crate::server::mailbox::Inbox;
use crate::service::ServiceRequest;
use crate::service::keys::SessionKey;
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
        result.written(r#""resultType":"complete""#);
        if let Some(cache) = cache {
            cache.write(result);
        }
        self.write_meta(result, meta);
    }

    /// Writes the `_meta` of a result, with the server's name.
    fn write_meta(&self, result: &mut Object<'_>, meta: &Meta) {
        if meta.is_empty() {
            // It is one line already.
            result.written(r#""_meta":"#).extend_from_slice(self.stateless.meta.as_bytes());
            return;
        }
        result.field("_meta", |out| {
            let mut members = Object::new(out);
            meta.write_members(&mut members);
            if !meta.has(SERVER_INFO) {
                members.member(SERVER_INFO, &self.server.info);
            }
        });
    }

    /// A call may be the next round of one that asked. Notes what is known from earlier rounds, and what later ones are bound to.
    pub(crate) fn continue_rounds<'a>(
        &mut self,
        run: &mut Run<'a>,
        params: &Members<'_>,
        request: &ServiceRequest<'a>,
        session: &'a Session,
    ) -> Result<(), Error> {
        // Only HTTP has fields that could say something else.
        if run.target == Target::Tool
            && !request.head.is_none()
            && let Some((tool, _)) = self.server.registry.tools.find(&run.item, &session.viewer())
        {
            let arguments = run.arguments.as_ref().map(JsonCow::as_ref);
            headers::check_arguments(&tool.param_headers, arguments, request.head)?;
        }
        let subject =
            SealedRequest { method: request.method, params: request.params, principal: session.principal() };
        run.call.questions = rounds::read(&self.stateless.seal, &subject, params, request.now.unix)?;
        run.binding = Binding::Live(self.stateless.seal, subject);
        Ok(())
    }

    /// Answers the request with the questions of its handler.
    pub(crate) fn ask_in_result(&mut self, run: &Run<'_>, now: Now, out: &mut Outbox) {
        let times = rounds::Times {
            from: now.unix,
            until: now.unix.saturating_add(self.server.limits.request_state_ttl),
        };
        out.written(run.key, |out| {
            let mut result = Object::new(out);
            rounds::write(
                &mut result,
                &self.stateless.seal,
                &run.binding.digest(),
                &run.call.questions,
                times,
            );
            result.raw("_meta", &self.stateless.meta);
        });
    }
}

/// What the service does for all its clients, as far as it concerns those without sessions.
impl HandlerService {
    /// Seals with other keys from now on, if a handle has set some.
    pub(crate) fn take_seal(&mut self, mail: &mut Inbox) {
        if let Some(seal) = mail.seal.take() {
            self.stateless.seal = seal.of_server(&self.server.info.name, self.mailbox.mount());
        }
    }

    /// Tells those that listen to a list that it has changed.
    pub(crate) fn tell_of_change(&self, list: ListKind, viewers: &Viewers, out: &mut Outbox) {
        self.stateless.listens.changed(list, viewers, out);
    }

    /// Tells those that listen to a resource, or to any if none is named, that it was updated.
    /// Only the clients of one principal, if there is one. Begins after `last`, and returns the last one if the outbox is full.
    pub(crate) fn tell_of_update(
        &mut self,
        uri: Option<&str>,
        only: Option<&Principal>,
        last: Option<ListenPlace>,
        out: &mut Outbox,
    ) -> Option<ListenPlace> {
        self.stateless.listens.updated(uri, only, last, &mut self.server, out)
    }

    /// Takes the result of a handler that only decides whether a client may listen to a resource.
    pub(crate) fn note_decision(&mut self, run: &Run<'_>, is_readable: bool) {
        self.stateless.probing.decisions.push_back(Decision {
            call: run.key,
            permitted: is_readable && run.call.questions.pending.is_empty(),
            given_up: run.call.handle.flags.as_ref().is_some_and(|flags| flags.is_cancelled()),
        });
    }

    /// The request of that session is over.
    pub(crate) fn forget_listens(&mut self, session: SessionKey) {
        self.stateless.listens.forget(session);
        self.stateless.probing.forget(session);
    }

    /// Decisions left for the next turn are due at once.
    pub(crate) fn probing_due(&self) -> Option<Duration> {
        (!self.stateless.probing.decisions.is_empty()).then_some(Duration::ZERO)
    }

    pub(crate) fn listens_bytes(&self) -> usize {
        self.stateless.listens.held_bytes() + self.stateless.probing.held_bytes()
    }

    pub(crate) fn listens_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        let StatelessState { listens, probing, .. } = &self.stateless;
        listens.held_by_session().chain(probing.held_by_session())
    }
}
