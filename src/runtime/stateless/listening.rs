//! `subscriptions/listen`: which of the URIs that a client asks for it may listen to, and the answer (MCP 2026-07-28).
//!
//! *Scope:* asking the hook or the handlers, one after the other, and the beginning and end of a stream of notifications. *Not
//! in scope:* what decides (`permit`), and who listens (`listen`).

use std::borrow::Cow;

use crate::access::peer::Peer;
use crate::json::write::Object;
use crate::jsonrpc::Error;
use crate::jsonrpc::id::{Id, IdRef};
use crate::protocol::meta_names::SERVER_INFO;
use crate::runtime::calls::{Purpose, Run};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::runtime::stateless::listen::{Filter, write_subscription};
use crate::runtime::stateless::probing::{Decision, Probe};
use crate::server::context::Context;
use crate::service::ServiceRequest;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::timers::Now;

const LISTENS_FULL: &str = "too many clients are listening (limit listens_max)";

impl HandlerService {
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
        if self.stateless.listens.len() >= self.server.limits.listens_max
            && self.stateless.listens.first_to_give_way(request.peer).is_none()
        {
            out.busy(request.call, LISTENS_FULL);
            return Ok(());
        }
        // Promises only what can happen.
        filter.tools &= self.server.registry.tools.is_offered();
        filter.prompts &= self.server.registry.prompts.is_offered();
        filter.resources &= self.server.registry.offers_resources();
        let mut waiting = Vec::new();
        for watched in std::mem::take(&mut filter.uris).into_iter().rev() {
            if !self.server.registry.has_resource(watched.uri(), &session.viewer()) {
                continue;
            }
            match self.server.may_subscribe(watched.normal(), session.principal()) {
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
        self.stateless.probing.open.insert(request.call, Box::new(probe));
        self.probe(request.call, request.now, out);
        Ok(())
    }

    /// Runs the next handler that decides about a URI of this call; after the last one its stream begins. Only one runs in a
    /// turn of the loop, or a client that listens to many resources would hold up all others.
    fn probe(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        loop {
            let Some(probe) = self.stateless.probing.open.get_mut(&call) else { return };
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
            let at = self.stateless.probing.decisions.iter().position(|decision| decision.call == call);
            let more = self.stateless.probing.open.get(&call).is_some_and(|probe| !probe.waiting.is_empty());
            // Otherwise it runs on another thread, or the next one has its turn later.
            let Some(at) = at.filter(|_| !more) else { return };
            let Some(decision) = self.stateless.probing.decisions.remove(at) else { return };
            self.apply_decision(&decision);
        }
        if let Some(probe) = self.stateless.probing.open.remove(&call) {
            let Probe { session, id, context, filter, .. } = *probe;
            self.begin_listening((call, session), &id, context.peer.into_owned(), filter, out);
        }
    }

    fn apply_decision(&mut self, decision: &Decision) {
        let Some(probe) = self.stateless.probing.open.get_mut(&decision.call) else { return };
        if decision.given_up {
            probe.waiting.clear();
        }
        probe.filter.uris.extend(probe.asked.take().filter(|_| decision.permitted));
    }

    /// Goes on with the request to listen whose handler was first to decide. The others have turns of their own, or many
    /// listeners together would hold up all clients.
    pub(crate) fn go_on_probing(&mut self, now: Now, out: &mut Outbox) {
        if let Some(decision) = self.stateless.probing.decisions.pop_front() {
            self.apply_decision(&decision);
            self.probe(decision.call, now, out);
        }
    }

    fn begin_listening(
        &mut self,
        (call, session): (CallKey, SessionKey),
        id: &Id,
        peer: Peer,
        filter: Filter,
        out: &mut Outbox,
    ) {
        // Others may have begun to listen meanwhile.
        if self.stateless.listens.len() >= self.server.limits.listens_max {
            let Some((other, other_call)) = self.stateless.listens.first_to_give_way(&peer) else {
                return out.busy(call, LISTENS_FULL);
            };
            self.stateless.listens.forget(other);
            out.busy(other_call, LISTENS_FULL);
        }
        let filter = if self.stopping { Filter::default() } else { filter };
        if !self.stateless.listens.begin((session, peer), call, &IdRef::from(id), filter, out) {
            out.written(call, |out| self.write_listened(out, id));
        }
    }

    /// The server shuts down.
    pub(crate) fn stop_listening(&mut self, out: &mut Outbox) {
        self.end_listens(out);
        self.end_probing(out);
    }

    /// The server shuts down: requests to listen that are still being decided are answered, and promise nothing.
    fn end_probing(&mut self, out: &mut Outbox) {
        for (call, probe) in std::mem::take(&mut self.stateless.probing.open).into_entries() {
            if let Some(kept) = self.calls.take(call) {
                self.abandon(&kept, "the server is shutting down", out);
            }
            let Probe { session, id, context, filter, .. } = *probe;
            self.begin_listening((call, session), &id, context.peer.into_owned(), filter, out);
        }
        self.stateless.probing.decisions.clear();
    }

    fn end_listens(&mut self, out: &mut Outbox) {
        let mut listens = std::mem::take(&mut self.stateless.listens);
        listens.end_all(out, |out, id| self.write_listened(out, id));
    }

    fn write_listened(&self, out: &mut Vec<u8>, id: &Id) {
        let mut result = Object::new(out);
        result.str("resultType", "complete");
        result.field("_meta", |out| {
            let mut meta = Object::new(out);
            meta.member(SERVER_INFO, &self.server.info);
            write_subscription(&mut meta, id);
        });
    }
}
