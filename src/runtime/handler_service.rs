//! The built-in service: from the name of a method to its answer.
//!
//! *Scope:* the methods of the 2024-11-05 to 2025-11-25 revisions, answered from the registry of handlers.
//! *Not in scope:* methods of 2026-07-28 only (`stateless`), lists (`lists`), running handlers (`run`), mail of other threads (`mail`),
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
use crate::jsonrpc::{Error, Response};
use crate::key_map::KeyMap;
use crate::protocol::cache::CacheHint;
use crate::protocol::level::read_level;
use crate::protocol::meta::Meta;
use crate::protocol::revision::Revision;
use crate::protocol::state_key::StateKey;
use crate::runtime::announcing::Announcing;
use crate::runtime::calls::{Calls, Run};
use crate::runtime::handlers::Target;
use crate::runtime::jobs::Jobs;
#[cfg(feature = "stateless")]
use crate::runtime::stateless::state::StatelessState;
use crate::runtime::subscriptions::Subscriptions;
use crate::server::builder::Server;
use crate::server::call::{Call, SessionData};
use crate::server::context::Context;
use crate::server::mailbox::Mailbox;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::service::{Service, ServiceRequest};
use crate::text::printable;
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
    pub(crate) sessions: usize,
    /// The server shuts down: no answer of a client comes any more.
    pub(crate) stopping: bool,
    pub(crate) subscriptions: Subscriptions,
    /// What is left of earlier mail.
    pub(crate) announcing: Announcing,
    session_data: KeyMap<SessionKey, SessionData>,
    /// The time of the turn.
    pub(crate) now: Now,
}

impl HandlerService {
    /// `key` seals what clients carry for the server, unless the server has a key of its own.
    pub(crate) fn new(
        server: Server,
        mailbox: Arc<Mailbox>,
        jobs: Arc<Jobs>,
        key: StateKey,
    ) -> HandlerService {
        server.registry.tools.all().for_each(|(name, ..)| mailbox.note_tool_name(name));
        #[cfg(not(feature = "stateless"))]
        let _ = key;
        let mut calls = Calls::default();
        calls.last_question = mailbox.questions_before();
        HandlerService {
            #[cfg(feature = "stateless")]
            stateless: StatelessState::new(&server, mailbox.mount(), key),
            server,
            calls,
            mailbox,
            jobs,
            sessions: 0,
            stopping: false,
            subscriptions: Subscriptions::default(),
            announcing: Announcing::default(),
            session_data: KeyMap::new(),
            now: Now::default(),
        }
    }
}

impl Service for HandlerService {
    fn opened(&mut self, _: SessionKey, _: &mut Session) {
        self.sessions += 1;
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        self.now = request.now;
        let answered = if session.revision().has_sessions() {
            self.answer_request(request, session, out)
        } else {
            self.answer_stateless(request, session, out)
        };
        if let Err(error) = answered {
            out.error(request.call, &error);
        }
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        self.now = now;
        self.take_answer(key, answer, now, out)
    }

    fn cancelled(&mut self, _: SessionKey, call: CallKey, out: &mut Outbox) {
        self.cancel_call(call, out);
    }

    fn unreached(&mut self, _: SessionKey, call: Option<CallKey>, _: &[u8], now: Now, out: &mut Outbox) {
        if let Some(call) = call {
            self.give_up_asking(call, now, out);
        }
    }

    fn closed(&mut self, key: SessionKey) {
        self.sessions = self.sessions.saturating_sub(1);
        self.subscriptions.forget(key);
        self.session_data.remove(&key);
        self.forget_listens(key);
    }

    fn stopping(&mut self, _: Now, out: &mut Outbox) {
        self.stopping = true;
        self.cancel_handlers();
        self.stop_listening(out);
        self.stop_all_asking(out);
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        if self.stopping {
            self.stop_all_asking(out);
        }
        self.now = now;
        self.take_mail(now, out);
        self.expire_calls(now, out);
        self.go_on_probing(now, out);
    }

    fn due(&self) -> Option<Duration> {
        let has_more = !self.announcing.is_idle() || self.stopping && self.calls.are_asking();
        let now = has_more.then_some(Duration::ZERO);
        now.or_else(|| self.probing_due()).or_else(|| self.calls.due())
    }

    fn held_bytes(&self) -> usize {
        let results = self.mailbox.count_results();
        self.calls.held_bytes() + self.subscriptions.held_bytes() + self.listens_bytes() + results
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        let mut sums: BTreeMap<SessionKey, usize> = BTreeMap::new();
        let held = self.calls.held_by_session().chain(self.subscriptions.held_by_session());
        let results = self.announcing.waiting_results().chain(self.mailbox.waiting_results());
        let results = results.filter_map(|(call, bytes)| Some((self.calls.session_of(call)?, bytes)));
        for (session, bytes) in held.chain(self.listens_by_session()).chain(results) {
            *sums.entry(session).or_default() += bytes;
        }
        sums.into_iter().collect()
    }

    #[cfg(feature = "testing")]
    fn question_key(&self, id: i64) -> Option<&str> {
        let kept = self.calls.kept.get(self.calls.questions.get(&id)?)?;
        kept.asking.iter().find(|(asked, _)| *asked == id).map(|(_, label)| &*label.key)
    }
}

impl HandlerService {
    /// Lends a handler on this thread what is kept for its session.
    pub(crate) fn lend_session_data(&mut self, session: SessionKey, call: &mut Call<'_>) {
        if call.context.session_id.is_some() {
            call.session_data = Some(self.session_data.remove(&session).unwrap_or_default());
        }
    }

    /// Takes it back.
    pub(crate) fn take_session_data(&mut self, session: SessionKey, call: &mut Call<'_>) {
        if let Some(data) = call.session_data.take().filter(|data| !data.is_empty()) {
            self.session_data.insert(session, data);
        }
    }

    fn answer_request(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let kept = session.is_kept();
        let resources = self.server.registry.offers_resources();
        match request.method {
            "initialize" => {
                self.welcome(request.call, session, out);
                Ok(())
            }
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
                self.list(request, session, out)
            }
            "tools/call" if tools => self.call(Target::Tool, "name", request, session, out),
            "prompts/get" if prompts => self.call(Target::Prompt, "name", request, session, out),
            "resources/read" if resources => self.call(Target::Resource, "uri", request, session, out),
            "completion/complete" if registry.completes => self.complete(request, session, out),
            other => Err(Error::method_not_found(&printable(other))),
        }
    }

    /// Answers `initialize`.
    fn welcome(&self, call: CallKey, session: &Session, out: &mut Outbox) {
        out.written(call, |out| {
            let mut result = Object::new(out);
            result.str("protocolVersion", session.revision().name());
            result.field("capabilities", |out| self.write_capabilities(session.is_kept(), out));
            result.member("serverInfo", &self.server.info);
            result.opt_str("instructions", self.server.instructions.as_deref());
        });
    }

    /// Writes only what the server has: a client may take a capability as a promise that its methods work. `notifies` is true
    /// if the client can get notifications between two requests.
    pub(crate) fn write_capabilities(&self, notifies: bool, out: &mut Vec<u8>) {
        let mut capabilities = Object::new(out);
        let list = if notifies { r#"{"listChanged":true}"# } else { "{}" };
        if notifies {
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
            capabilities.raw("resources", if notifies { subscribe } else { list });
        }
        if self.server.registry.tools.is_offered() {
            capabilities.raw("tools", list);
        }
        self.server.extensions.write(&mut capabilities);
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
        let [item, arguments, meta] = params.pick([member, "arguments", "_meta"]);
        let item = item.and_then(JsonRef::as_str).ok_or_else(|| request.lacks(member))?;
        if target == Target::Resource {
            self.check_uri(&item)?;
        }
        let call = self.call_of(request.call, Context::of(request, session, meta));
        let mut run = Run::new(call, request.session, target, item);
        run.arguments = arguments.map(JsonCow::Borrowed);
        if !session.revision().has_sessions() {
            self.continue_rounds(&mut run, &params, request, session)?;
        }
        if let Some(next) = self.run_handler(&mut run, out) {
            self.go_on(run, next, request.now, out);
        }
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

/// Sending results.
impl HandlerService {
    /// Sends a result: the object that `write` appends, and the members that all results have since 2026-07-28.
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

    /// As [`result`](HandlerService::result), with a `_meta` of its own.
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
            let mut result = Object::reopened(out, start);
            if !revision.has_sessions() {
                return self.write_common(&mut result, cache, meta);
            }
            result.member("_meta", meta);
        });
    }
}
