//! Who may be told of changes of a resource: decided when a client subscribes, and again before each notification.
//!
//! *Scope:* when the hook of [`Server::on_subscribe`](crate::Server::on_subscribe) is asked, and what decides without one;
//! `resources/subscribe`, `resources/unsubscribe` and `subscriptions/listen` as far as they are about URIs. *Not in scope:*
//! who has subscribed (`subscriptions` and `listen`).
//!
//! ```text
//!  resources/subscribe, subscriptions/listen ─┬─ hook ────▶ yes or no
//!                                             └─ no hook ─▶ its normal form is read for that client, to be thrown away
//!                                                 ├─ contents ─────────────────────▶ yes
//!                                                 ├─ any error, panic, timeout ────▶ no
//!                                                 ├─ on another thread, deferred ──▶ when that is done
//!                                                 └─ a question ─┬─ subscribe ─────▶ asked, then as above
//!                                                                └─ listen ────────▶ no: nothing can be asked there
//!  Handle::resource_updated ─▶ hook ─▶ told, or not
//! ```
//!
//! A refusal is answered as if the resource did not exist, whatever its handler said.

use std::borrow::Cow;

use crate::access::peer::Principal;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc::Error;
use crate::jsonrpc::id::{Id, IdRef};
use crate::protocol::error::CallError;
use crate::protocol::meta::SERVER_INFO;
use crate::protocol::uri::normal::normalize;
use crate::runtime::calls::{Purpose, Run};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::runtime::listen::{Filter, write_subscription};
use crate::runtime::probing::{Judged, Probe};
use crate::server::context::Context;
use crate::service::ServiceRequest;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::timers::Now;

impl HandlerService {
    pub(crate) fn subscribe(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let uri = read_uri(request)?;
        self.check_uri(&uri)?;
        // Before the handler runs, so that the answer reveals nothing about the resource.
        if !self.subscriptions.has_room(request.session, &uri, self.server.limits.subscriptions_max) {
            return Err(self.too_many_subscriptions());
        }
        let context = Context::of(request, session, request.member("_meta")?);
        let normal = Cow::Owned(normalize(&uri).into_owned());
        let call = self.call_of(request.call, context);
        let mut run = Run::new(call, request.session, Target::Resource, normal);
        (run.purpose, run.spelling) = (Purpose::Subscribe, Some(uri));
        let permitted = match self.server.registry.has_resource(&run.item) {
            true => self.server.permit.ask(&run.item, session.principal()),
            false => Some(false),
        };
        match permitted {
            Some(permitted) => self.subscribed(&run, permitted, out),
            None => self.run(run, request.now, out),
        }
        Ok(())
    }

    /// Answers `resources/subscribe`. A refusal ends an earlier subscription.
    fn subscribed(&mut self, run: &Run<'_>, permitted: bool, out: &mut Outbox) {
        let (session, uri, max) =
            (run.session, run.spelling.as_deref().unwrap_or(&run.item), self.server.limits.subscriptions_max);
        if !permitted {
            self.subscriptions.remove(session, uri);
            return out.error(run.key, &CallError::not_found().into_error(Some(uri), run.revision()));
        }
        match self.subscriptions.add(session, uri, run.call.context.principal.as_ref(), max) {
            true => out.empty_result(run.key),
            false => out.error(run.key, &self.too_many_subscriptions()),
        }
    }

    fn too_many_subscriptions(&self) -> Error {
        let max = self.server.limits.subscriptions_max;
        Error::invalid_params(format_args!(
            "this session has {max} subscriptions already (limit subscriptions_max)"
        ))
    }

    pub(crate) fn unsubscribe(
        &mut self,
        request: &ServiceRequest<'_>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let uri = read_uri(request)?;
        self.subscriptions.remove(request.session, &uri);
        self.calls.unsubscribe(request.session, &normalize(&uri));
        out.empty_result(request.call);
        Ok(())
    }

    pub(crate) fn listen(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut filter = Filter::read(request.params)?;
        let (asked, max) = (filter.uris.len(), self.server.limits.subscriptions_max);
        if asked > max {
            return Err(Error::invalid_params(format_args!(
                "`resourceSubscriptions` has {asked} URIs, more than the limit subscriptions_max = {max}"
            )));
        }
        filter.uris.iter().try_for_each(|watched| self.check_uri(watched.uri()))?;
        if self.listens.len() >= self.server.limits.listens_max {
            self.refuse_to_listen(request.call, out);
            return Ok(());
        }
        // Promises only what can happen.
        filter.tools &= self.server.registry.tools.is_offered();
        filter.prompts &= self.server.registry.prompts.is_offered();
        filter.resources &= self.server.registry.offers_resources();
        let mut waiting = Vec::new();
        for watched in std::mem::take(&mut filter.uris).into_iter().rev() {
            if !self.server.registry.has_resource(watched.uri()) {
                continue;
            }
            match self.server.permit.ask(watched.normal(), session.principal()) {
                Some(true) => drop(filter.uris.insert(watched)),
                Some(false) => {}
                None => waiting.push(watched),
            }
        }
        let context = Context::of(request, session, None).into_owned();
        let deadline = request.now.mono.saturating_add(self.server.limits.tool_timeout);
        let id = request.id.clone().into_owned();
        let probe =
            Probe { session: request.session, id, context, filter, asked: None, waiting, runs: 0, deadline };
        self.probing.open.insert(request.call, probe);
        self.probe(request.call, request.now, out);
        Ok(())
    }

    /// Runs the next handler that decides about a URI of this call; after the last one its stream begins. Only one runs in a turn
    /// of the loop, or a client that listens to many resources would hold everybody up.
    fn probe(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        loop {
            let Some(probe) = self.probing.open.get_mut(&call) else { return };
            if probe.deadline <= now.mono {
                probe.waiting.clear();
            }
            let Some(watched) = probe.waiting.pop() else { break };
            let uri = Cow::Owned(watched.normal().to_owned());
            probe.asked = Some(watched);
            let (session, runs, context) = (probe.session, probe.runs, probe.context.clone());
            probe.runs += 1;
            let mut run = Run::new(self.call_of(call, context), session, Target::Resource, uri);
            (run.purpose, run.runs) = (Purpose::Listen, runs);
            self.run(run, now, out);
            let at = self.probing.judged.iter().position(|judged| judged.call == call);
            let more = self.probing.open.get(&call).is_some_and(|probe| !probe.waiting.is_empty());
            // Otherwise it runs on another thread, or the next one has its turn later.
            let Some(at) = at.filter(|_| !more) else { return };
            let Some(judged) = self.probing.judged.remove(at) else { return };
            self.judge(&judged);
        }
        if let Some(Probe { session, id, context, filter, .. }) = self.probing.open.remove(&call) {
            self.begin_listening((call, session), &id, context.principal, filter, out);
        }
    }

    fn judge(&mut self, judged: &Judged) {
        let Some(probe) = self.probing.open.get_mut(&judged.call) else { return };
        if judged.given_up {
            probe.waiting.clear();
        }
        probe.filter.uris.extend(probe.asked.take().filter(|_| judged.permitted));
    }

    /// Goes on with the request to listen whose handler was first to decide. The others have turns of their own, or many
    /// listeners together would hold everybody up.
    pub(crate) fn go_on_probing(&mut self, now: Now, out: &mut Outbox) {
        if let Some(judged) = self.probing.judged.pop_front() {
            self.judge(&judged);
            self.probe(judged.call, now, out);
        }
    }

    /// Takes the result of a handler that only decides about a subscription. Returns false if the run was for something else.
    pub(crate) fn take_probe(&mut self, run: &Run<'_>, is_readable: bool, out: &mut Outbox) -> bool {
        match run.purpose {
            Purpose::Answer => return false,
            Purpose::SubscribeInVain if is_readable => out.empty_result(run.key),
            Purpose::Subscribe | Purpose::SubscribeInVain => self.subscribed(run, is_readable, out),
            Purpose::Listen => self.probing.judged.push_back(Judged {
                call: run.key,
                permitted: is_readable && run.call.questions.pending.is_empty(),
                given_up: run.call.handle.flags.as_ref().is_some_and(|flags| flags.is_cancelled()),
            }),
        }
        true
    }

    fn begin_listening(
        &mut self,
        (call, session): (CallKey, SessionKey),
        id: &Id,
        principal: Option<Principal>,
        filter: Filter,
        out: &mut Outbox,
    ) {
        // Others may have begun to listen meanwhile.
        if self.listens.len() >= self.server.limits.listens_max {
            return self.refuse_to_listen(call, out);
        }
        let filter = if self.stopping { Filter::default() } else { filter };
        if !self.listens.begin((session, principal), call, &IdRef::from(id), filter, out) {
            out.written(call, |out| self.write_listened(out, id));
        }
    }

    /// The server shuts down: requests to listen that are still being decided are answered, and promise nothing.
    pub(crate) fn end_probing(&mut self, out: &mut Outbox) {
        for (call, probe) in std::mem::take(&mut self.probing.open) {
            if let Some(kept) = self.calls.take(call) {
                self.abandon(&kept, "the server is shutting down", out);
            }
            let Probe { session, id, context, filter, .. } = probe;
            self.begin_listening((call, session), &id, context.principal, filter, out);
        }
        self.probing.judged.clear();
    }

    fn refuse_to_listen(&self, call: CallKey, out: &mut Outbox) {
        let max = self.server.limits.listens_max;
        out.busy(call, &format!("{max} clients are listening already (limit listens_max)"));
    }

    pub(crate) fn end_listens(&mut self, out: &mut Outbox) {
        let mut listens = std::mem::take(&mut self.listens);
        listens.end_all(out, |out, id| self.write_listened(out, id));
    }

    fn write_listened(&self, out: &mut Vec<u8>, id: &Id) {
        let mut result = Object::new(out);
        result.str("resultType", "complete");
        result.field("_meta", |out| {
            let mut meta = Object::new(out);
            meta.field(SERVER_INFO, |out| self.server.info.write(out));
            write_subscription(&mut meta, id);
        });
    }
}

fn read_uri<'a>(request: &ServiceRequest<'a>) -> Result<Cow<'a, str>, Error> {
    request.member("uri")?.and_then(JsonRef::as_str).ok_or_else(|| request.lacks("uri"))
}
