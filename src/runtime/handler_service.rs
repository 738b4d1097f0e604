//! The built-in service: from a method's name to its answer.
//!
//! *Scope:* the methods of the 2024-11-05 to 2025-11-25 revisions, answered from the registry of handlers.
//! *Not in scope:* methods of 2026-07-28 only (`stateless`), running handlers (`run`), mail of other threads (`mail`),
//! envelopes, streams.
//!
//! ```text
//!  request ─▶ initialize, ping, logging/setLevel, resources/subscribe ─▶ session state ─▶ result
//!          └▶ */list, completion/complete ─▶ registry ─────────────────────────────────▶ result
//!          └▶ tools/call, resources/read, prompts/get ─▶ calls ─▶ handler ─▶ … ────────▶ result or error
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::json::value::{JsonCow, JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::{Error, Notification, Response};
use crate::protocol::level::read_level;
use crate::protocol::revision::Revision;
use crate::protocol::state_key::StateKey;
use crate::runtime::calls::{Calls, Run};
use crate::runtime::completion;
use crate::runtime::handlers::Target;
use crate::runtime::jobs::Jobs;
#[cfg(feature = "stateless")]
use crate::runtime::stateless_state::StatelessState;
use crate::runtime::subscriptions::Subscriptions;
use crate::server::builder::Server;
use crate::server::context::Context;
use crate::server::mailbox::Mailbox;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::{Clients, Session};
use crate::service::{Service, ServiceRequest};
use crate::text::shorten;
use crate::timers::Now;

/// The registry of handlers as a service.
pub(crate) struct HandlerService {
    pub(crate) server: Server,
    /// What only clients without sessions need.
    #[cfg(feature = "stateless")]
    pub(crate) stateless: StatelessState,
    pub(crate) calls: Calls,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) jobs: Arc<Jobs>,
    clients: Clients,
    pub(crate) sessions: usize,
    /// The server shuts down: no answer of a client comes any more.
    pub(crate) stopping: bool,
    pub(crate) subscriptions: Subscriptions,
}

impl HandlerService {
    /// `key` seals what clients carry for the server, unless the server has a key of its own.
    pub(crate) fn new(
        mut server: Server,
        mailbox: Arc<Mailbox>,
        jobs: Arc<Jobs>,
        key: StateKey,
    ) -> HandlerService {
        server.registry.tools.iter_mut().for_each(|(tool, _)| mailbox.note_tool_name(&tool.name));
        #[cfg(not(feature = "stateless"))]
        let _ = key;
        HandlerService {
            #[cfg(feature = "stateless")]
            stateless: StatelessState::new(&server, key),
            server,
            calls: Calls::default(),
            mailbox,
            jobs,
            clients: Clients::default(),
            sessions: 0,
            stopping: false,
            subscriptions: Subscriptions::default(),
        }
    }
}

impl Service for HandlerService {
    fn opened(&mut self, _: SessionKey, _: &mut Session) {
        self.sessions += 1;
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        #[cfg(feature = "stateless")]
        if !session.revision().has_sessions() {
            if let Err(error) = self.answer_stateless(request, session, out) {
                out.error(request.call, &error);
            }
            return;
        }
        if !matches!(request.method, "initialize" | "ping") {
            session.operate(request.head.header_str("mcp-protocol-version"));
        }
        if let Err(error) = self.answer_request(request, session, out) {
            out.error(request.call, &error);
        }
    }

    fn notification(
        &mut self,
        _: SessionKey,
        session: &mut Session,
        notification: &Notification<'_>,
        _: &mut Outbox,
    ) {
        if notification.method == "notifications/initialized" {
            session.operate(None);
        }
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        self.take_answer(key, answer, now, out)
    }

    fn cancelled(&mut self, call: CallKey, out: &mut Outbox) {
        self.cancel_call(call, out);
    }

    fn unreached(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        self.give_up_asking(call, now, out);
    }

    fn closed(&mut self, key: SessionKey) {
        self.sessions = self.sessions.saturating_sub(1);
        self.subscriptions.forget(key);
        #[cfg(feature = "stateless")]
        self.stateless.forget(key);
    }

    fn stopping(&mut self, _: Now, out: &mut Outbox) {
        self.stopping = true;
        self.hurry_all();
        #[cfg(feature = "stateless")]
        self.stop_listening(out);
        self.stop_all_asking(out);
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        self.take_mail(now, out);
        self.expire_calls(now, out);
        #[cfg(feature = "stateless")]
        self.go_on_probing(now, out);
    }

    fn due(&self) -> Option<Duration> {
        #[cfg(feature = "stateless")]
        if let Some(due) = self.stateless.due() {
            return Some(due);
        }
        self.calls.due()
    }

    fn held_bytes(&self) -> usize {
        let held = self.calls.held_bytes() + self.subscriptions.held_bytes();
        #[cfg(feature = "stateless")]
        let held = held + self.stateless.held_bytes();
        held
    }

    fn largest(&self) -> Option<(usize, SessionKey)> {
        let mut sums: BTreeMap<SessionKey, usize> = BTreeMap::new();
        let held = self.calls.held_by_session().chain(self.subscriptions.held_by_session());
        #[cfg(feature = "stateless")]
        let held = held.chain(self.stateless.held_by_session());
        for (session, bytes) in held {
            *sums.entry(session).or_default() += bytes;
        }
        sums.into_iter().map(|(session, bytes)| (bytes, session)).max()
    }
}

impl HandlerService {
    fn answer_request(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let kept = session.is_kept();
        let resources = self.server.registry.offers_resources();
        match request.method {
            "initialize" => self.initialize(request, session, out),
            "ping" => {
                out.empty_result(request.call);
                Ok(())
            }
            "resources/subscribe" if kept && resources => self.subscribe(request, session, out),
            "resources/unsubscribe" if kept && resources => self.unsubscribe(request, out),
            "logging/setLevel" if kept => {
                session.log_level = Some(read_level(request.member("level")?)?);
                out.empty_result(request.call);
                Ok(())
            }
            _ => self.answer_any(request, session, out),
        }
    }

    /// The methods that all revisions have.
    pub(crate) fn answer_any(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let registry = &mut self.server.registry;
        let (tools, prompts) = (registry.tools.is_offered(), registry.prompts.is_offered());
        let resources = registry.offers_resources();
        match request.method {
            "tools/list" | "resources/list" | "resources/templates/list" | "prompts/list" => {
                self.list(request, session.revision(), out)
            }
            "tools/call" if tools => self.call(Target::Tool, "name", request, session, out),
            "prompts/get" if prompts => self.call(Target::Prompt, "name", request, session, out),
            "resources/read" if resources => self.call(Target::Resource, "uri", request, session, out),
            "completion/complete" if registry.completes => {
                let mut result = Vec::new();
                completion::complete(registry, request.params, session.principal(), &mut result)?;
                self.result(request.call, session.revision(), None, out, |out| out.append(&mut result));
                Ok(())
            }
            other => Err(Error::method_not_found(&shorten(other))),
        }
    }

    fn initialize(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let revision = session.initialize(request.params)?;
        session.share_client(&mut self.clients);
        out.written(request.call, |out| {
            let mut result = Object::new(out);
            result.str("protocolVersion", revision.name());
            result.field("capabilities", |out| self.write_capabilities(session.is_kept(), out));
            result.field("serverInfo", |out| self.server.info.write(out));
            result.opt_str("instructions", self.server.instructions.as_deref());
        });
        Ok(())
    }

    /// Writes only what the server has: a client may take a capability as a promise that its methods work. `tells` is true if
    /// the client can be told of something between two requests.
    pub(crate) fn write_capabilities(&self, tells: bool, out: &mut Vec<u8>) {
        let mut capabilities = Object::new(out);
        let list = if tells { r#"{"listChanged":true}"# } else { "{}" };
        if tells {
            capabilities.raw("logging", "{}");
        }
        if self.server.registry.completes {
            capabilities.raw("completions", "{}");
        }
        if self.server.registry.prompts.is_offered() {
            capabilities.raw("prompts", list);
        }
        if self.server.registry.offers_resources() {
            let subscribe = r#"{"subscribe":true,"listChanged":true}"#;
            capabilities.raw("resources", if tells { subscribe } else { list });
        }
        if self.server.registry.tools.is_offered() {
            capabilities.raw("tools", list);
        }
        self.server.extensions.write(&mut capabilities);
    }

    fn list(
        &mut self,
        request: &ServiceRequest<'_>,
        revision: Revision,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let (registry, limits, params) = (&self.server.registry, &self.server.limits, request.params);
        let page = &mut Vec::new();
        match request.method {
            "tools/list" if registry.tools.is_offered() => {
                registry.tools.write_page(page, "tools", params, limits, |item, out| item.0.write(out))
            }
            "prompts/list" if registry.prompts.is_offered() => {
                registry.prompts.write_page(page, "prompts", params, limits, |item, out| item.0.write(out))
            }
            "resources/list" if registry.offers_resources() => {
                registry
                    .resources
                    .write_page(page, "resources", params, limits, |item, out| item.0.write(out))
            }
            "resources/templates/list" if registry.offers_resources() => {
                let member = "resourceTemplates";
                registry.templates.write_page(page, member, params, limits, |item, out| item.0.write(out))
            }
            other => Err(Error::method_not_found(other)),
        }?;
        self.result(request.call, revision, Some(self.server.list_cache), out, |out| out.append(page));
        Ok(())
    }

    /// A request that reaches a handler. `member` names what is called.
    fn call(
        &mut self,
        target: Target,
        member: &str,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let params = Members::of(request.params.ok_or_else(|| request.lacks(member))?)?;
        let item = params.get(member).and_then(JsonRef::as_str).ok_or_else(|| request.lacks(member))?;
        if target == Target::Resource {
            self.check_uri(&item)?;
        }
        let call = self.call_of(request.call, Context::of(request, session, params.get("_meta")));
        let mut run = Run::new(call, request.session, target, item);
        run.arguments = params.get("arguments").map(JsonCow::Borrowed);
        #[cfg(feature = "stateless")]
        if !session.revision().has_sessions() {
            (run.call.questions, run.binding) =
                self.continue_rounds(target, &run.item, &params, request, session)?;
        }
        self.run(run, request.now, out);
        Ok(())
    }

    pub(crate) fn check_uri(&self, uri: &str) -> Result<(), Error> {
        let (bytes, max) = (uri.len(), self.server.limits.uri_bytes_max);
        match bytes <= max {
            true => Ok(()),
            false => Err(Error::invalid_params(format_args!(
                "`uri` has {bytes} bytes, more than the limit uri_bytes_max = {max}"
            ))),
        }
    }
}
