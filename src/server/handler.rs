//! Handlers as the registry keeps them: closures of any kind in one of two forms.
//!
//! *Scope:* on which thread a handler runs, what it gets, reading arguments. *Not in scope:* running it (that is
//! `handlers` and `workers`).

use std::sync::Arc;

use crate::json::value::JsonRef;
use crate::protocol::content::{IntoToolResult, ToolResult};
use crate::protocol::error::CallError;
use crate::protocol::prompt::{IntoPrompt, PromptResult};
use crate::protocol::result::Made;
use crate::protocol::uri::Vars;
use crate::schema::read::Subject;
use crate::server::arguments::Arguments;
use crate::server::call::Call;

/// What a handler gets from a request: arguments for a tool or prompt, variables for a resource template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) arguments: Option<JsonRef<'a>>,
    pub(crate) vars: &'a Vars,
}

/// A handler of any kind of item.
pub(crate) enum Handler {
    /// On the loop's thread, one call at a time.
    Inline(Box<Inline>),
    /// On a worker thread, several calls at a time.
    Blocking(Arc<Blocking>),
}

type Inline = dyn FnMut(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send;
type Blocking = dyn Fn(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + Sync;

impl Handler {
    pub(crate) fn inline(
        handler: impl FnMut(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + 'static,
    ) -> Handler {
        Handler::Inline(Box::new(handler))
    }

    pub(crate) fn blocking(
        handler: impl Fn(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + Sync + 'static,
    ) -> Handler {
        Handler::Blocking(Arc::new(handler))
    }
}

impl Input<'_> {
    /// Runs a tool's handler. Arguments that do not fit are for the model, so that it can mend its call.
    pub(crate) fn call_tool<A: Arguments, R: IntoToolResult>(
        self,
        handler: impl FnOnce(A) -> R,
    ) -> Result<Made, CallError> {
        let result = match A::read(Subject::Argument, self.arguments) {
            Ok(arguments) => handler(arguments).into_tool_result(),
            Err(error) => Ok(ToolResult::error(error)),
        };
        result.map(Made::Tool)
    }

    /// Runs a prompt's handler. Arguments that do not fit are refused.
    pub(crate) fn get_prompt<A: Arguments, R: IntoPrompt>(
        self,
        handler: impl FnOnce(A) -> R,
    ) -> Result<Made, CallError> {
        let result: Result<PromptResult, CallError> = match A::read(Subject::PromptArgument, self.arguments) {
            Ok(arguments) => handler(arguments).into_prompt(),
            Err(error) => Err(CallError::invalid_params(error)),
        };
        result.map(Made::Prompt)
    }
}
