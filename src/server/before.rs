//! A hook before each call.
//!
//! *Scope:* [`BeforeCall`]: asking the hook of [`Server::before_call`](crate::Server::before_call). *Not in scope:* when it is asked
//! (`handlers`, `completion`).

use crate::protocol::error::CallError;
use crate::protocol::guard::guarded;
use crate::server::call::Call;
use crate::server::state::Own;
use crate::service::ended::CallKind;

type Hook = dyn FnMut(&mut Own, &mut Call<'_>, CallKind, &str) -> Result<(), CallError> + Send;

/// The hook, if there is one.
#[derive(Default)]
pub(crate) struct BeforeCall(pub(crate) Option<Box<Hook>>);

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
