//! Which clients get notifications of a resource: decided when a client subscribes, and again before each notification.
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
//!  Handle::resource_updated ─▶ hook ─▶ notified, or not
//! ```
//!
//! A refusal is answered as if the resource did not exist, whatever its handler said.

use std::borrow::Cow;

use crate::jsonrpc::Error;
use crate::protocol::error::CallError;
use crate::protocol::uri::normal::normalize;
use crate::runtime::calls::{Purpose, Run};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::server::context::Context;
use crate::service::ServiceRequest;
use crate::service::outbox::Outbox;
use crate::service::session::Session;

impl HandlerService {
    pub(crate) fn subscribe(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let uri = request.uri()?;
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
        let permitted = match self.server.registry.has_resource(&run.item, &session.viewer()) {
            true => self.server.may_subscribe(&run.item, session.principal()),
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
        let uri = request.uri()?;
        self.subscriptions.remove(request.session, &uri);
        self.calls.unsubscribe(request.session, &normalize(&uri));
        out.empty_result(request.call);
        Ok(())
    }

    /// Takes the result of a handler that only decides about a subscription. Returns false if the run was for something else.
    pub(crate) fn take_probe(&mut self, run: &Run<'_>, is_readable: bool, out: &mut Outbox) -> bool {
        match run.purpose {
            Purpose::Answer => return false,
            Purpose::SubscribeInVain if is_readable => out.empty_result(run.key),
            Purpose::Subscribe | Purpose::SubscribeInVain => self.subscribed(run, is_readable, out),
            Purpose::Listen => self.note_decision(run, is_readable),
        }
        true
    }
}
