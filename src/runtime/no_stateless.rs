//! The twin of `stateless` for builds without revision 2026-07-28, in which every client has a session.

use std::time::Duration;

use crate::access::peer::Principal;
use crate::json::value::Members;
use crate::json::write::Object;
use crate::jsonrpc::Error;
use crate::protocol::cache::CacheHint;
use crate::protocol::kinds::ListKind;
use crate::protocol::meta::Meta;
use crate::protocol::viewers::Viewers;
use crate::runtime::announcing::ListenPlace;
use crate::runtime::calls::Run;
use crate::runtime::handler_service::HandlerService;
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
        self.answer_any(request, session, out)
    }

    pub(crate) fn continue_rounds(
        &mut self,
        _: &mut Run<'_>,
        _: &Members<'_>,
        _: &ServiceRequest<'_>,
        _: &Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn write_common(&self, _: &mut Object<'_>, _: Option<CacheHint>, _: &Meta) {}

    pub(crate) fn ask_in_result(&mut self, _: &Run<'_>, _: Now, _: &mut Outbox) {}

    pub(crate) fn stop_listening(&mut self, _: &mut Outbox) {}

    pub(crate) fn go_on_probing(&mut self, _: Now, _: &mut Outbox) {}

    pub(crate) fn take_seal(&mut self, _: &mut Inbox) {}

    pub(crate) fn tell_of_change(&self, _: ListKind, _: &Viewers, _: &mut Outbox) {}

    pub(crate) fn tell_of_update(
        &mut self,
        _: Option<&str>,
        _: Option<&Principal>,
        _: Option<ListenPlace>,
        _: &mut Outbox,
    ) -> Option<ListenPlace> {
        None
    }

    pub(crate) fn note_decision(&mut self, _: &Run<'_>, _: bool) {}

    pub(crate) fn forget_listens(&mut self, _: SessionKey) {}

    pub(crate) fn probing_due(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn listens_bytes(&self) -> usize {
        0
    }

    pub(crate) fn listens_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        std::iter::empty()
    }
}
