//! Hooks of a server around its handlers.
//!
//! *Scope:* asking them: before each call ([`BeforeCall`]), and which clients get notifications of a resource ([`Permit`]). *Not in
//! scope:* when they are asked (`handlers`, `completion` and `permit` of `runtime`), and what decides without a hook.

use crate::access::peer::Principal;
use crate::protocol::error::CallError;
use crate::protocol::panics::guarded;
use crate::server::call::Call;
use crate::server::state::Own;
use crate::service::ended::CallKind;

type CallHook = dyn FnMut(&mut Own, &mut Call<'_>, CallKind, &str) -> Result<(), CallError> + Send;

/// The hook of [`Server::before_call`](crate::Server::before_call), if there is one.
#[derive(Default)]
pub(crate) struct BeforeCall(pub(crate) Option<Box<CallHook>>);

impl BeforeCall {
    /// Asks the hook if the handler may run.
    ///
    /// # Errors
    /// What the hook answers in the place of the handler; −32603 if it panics, or asks the client.
    pub(crate) fn ask(
        &mut self,
        state: &mut Own,
        call: &mut Call<'_>,
        kind: CallKind,
        name: &str,
    ) -> Result<(), CallError> {
        let Some(hook) = self.0.as_mut() else { return Ok(()) };
        let answer = guarded("before_call of", name, || hook(state, call, kind, name));
        if !call.questions.pending.is_empty() {
            call.questions.pending.clear();
            return Err(CallError::internal("the hook `before_call` cannot ask the client"));
        }
        answer
    }
}

type SubscribeHook = Box<dyn FnMut(&mut Own, &str, Option<&Principal>) -> bool + Send>;

/// The hook of [`Server::on_subscribe`](crate::Server::on_subscribe), if there is one.
#[derive(Default)]
pub(crate) struct Permit(pub(crate) Option<SubscribeHook>);

impl Permit {
    /// Asks the hook about this URI in normal form; `None` if there is no hook.
    pub(crate) fn ask(&mut self, state: &mut Own, uri: &str, principal: Option<&Principal>) -> Option<bool> {
        let hook = self.0.as_mut()?;
        Some(guarded("on_subscribe", uri, || Ok(hook(state, uri, principal))).unwrap_or(false))
    }
}
