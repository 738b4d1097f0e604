//! Handlers as the registry keeps them: closures of any kind in one of two forms.
//!
//! *Scope:* on which thread a handler runs, what it gets, reading arguments. *Not in scope:* running it (that is
//! `handlers` and `workers`).

use std::fmt;
use std::sync::Arc;

use crate::json::value::JsonRef;
use crate::protocol::content::{IntoToolResult, ToolResult};
use crate::protocol::error::CallError;
use crate::protocol::listing::{IntoResourceList, PageRequest};
use crate::protocol::prompt::{IntoPrompt, PromptResult};
use crate::protocol::result::Made;
use crate::protocol::uri::Vars;
use crate::schema::path::Subject;
use crate::server::arguments::Arguments;
use crate::server::call::Call;
use crate::server::pages::listed_after;
use crate::server::state::{Own, Shared, StateType, Takes};

/// What a handler gets from a request: arguments for a tool or prompt, variables for a resource template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) arguments: Option<JsonRef<'a>>,
    pub(crate) vars: &'a Vars,
    /// How many resources a handler that lists may return with effect. Its arguments are the cursor.
    pub(crate) page_max: usize,
}

/// A handler of any kind of item.
pub(crate) struct Handler {
    pub(crate) way: Way,
    pub(crate) takes: Takes,
}

/// On which thread a handler runs, with which of the server's [`States`](crate::server::state::States).
pub(crate) enum Way {
    /// On the loop's thread, one call at a time.
    Inline(Box<Inline>),
    /// On a worker thread, several calls at a time.
    Blocking(Arc<Blocking>),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::Inline(_) => "Inline",
            Way::Blocking(_) => "Blocking",
        })
    }
}

type Inline = dyn FnMut(&mut Own, Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send;
type Blocking = dyn Fn(&Shared, Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + Sync;

impl Handler {
    pub(crate) fn inline(
        mut handler: impl FnMut(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + 'static,
    ) -> Handler {
        let way = Way::Inline(Box::new(move |_, input, call| handler(input, call)));
        Handler { way, takes: Takes::Nothing }
    }

    pub(crate) fn blocking(
        handler: impl Fn(Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + Sync + 'static,
    ) -> Handler {
        let way = Way::Blocking(Arc::new(move |_, input, call| handler(input, call)));
        Handler { way, takes: Takes::Nothing }
    }

    /// A handler that takes the server's state.
    pub(crate) fn inline_with<S: 'static>(
        mut handler: impl FnMut(&mut S, Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + 'static,
    ) -> Handler {
        let way = Way::Inline(Box::new(move |state, input, call| {
            handler(state.downcast_mut().ok_or_else(other_state)?, input, call)
        }));
        Handler { way, takes: Takes::Own(StateType::of::<S>()) }
    }

    /// A handler that takes the state that worker threads share.
    pub(crate) fn blocking_with<B: 'static>(
        handler: impl Fn(&B, Input<'_>, &mut Call<'_>) -> Result<Made, CallError> + Send + Sync + 'static,
    ) -> Handler {
        let way = Way::Blocking(Arc::new(move |state, input, call| {
            handler(state.downcast_ref().ok_or_else(other_state)?, input, call)
        }));
        Handler { way, takes: Takes::Shared(StateType::of::<B>()) }
    }
}

/// Never occurs: the types are compared when a handler is offered.
pub(crate) fn other_state() -> CallError {
    CallError::internal("the server has a state of another type")
}

impl Input<'_> {
    /// Runs a tool's handler. The model gets to read which arguments do not fit, so that it can correct its call.
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

    /// Runs a handler that lists resources.
    pub(crate) fn list<R: IntoResourceList>(
        self,
        handler: impl FnOnce(&PageRequest<'_>) -> R,
    ) -> Result<Made, CallError> {
        let cursor = self.arguments.and_then(JsonRef::as_str);
        let page = PageRequest { after: listed_after(cursor.as_deref()), max: self.page_max };
        handler(&page).into_resource_list().map(Made::Listed)
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
