//! Handlers as the registry keeps them: closures of any kind in one of two forms.
//!
//! *Scope:* reading arguments, converting results, and on which thread a handler runs. *Not in scope:* running it (that is
//! `handlers` and `workers`).

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::protocol::content::{IntoResource, IntoToolResult, ResourceContents, ToolResult};
use crate::protocol::error::CallError;
use crate::protocol::prompt::{IntoPrompt, PromptResult};
use crate::protocol::uri::Vars;
use crate::schema::read::Subject;
use crate::server::arguments::Arguments;
use crate::server::call::Call;

/// `I` is the closure of a handler on the loop's thread, `B` that of a blocking one.
pub(crate) enum Handler<I: ?Sized, B: ?Sized> {
    /// On the loop's thread, one call at a time.
    Inline(Box<I>),
    /// On a worker thread, several calls at a time.
    Blocking(Arc<B>),
}

pub(crate) type ToolHandler = Handler<
    dyn FnMut(Option<&RawValue>, &mut Call) -> Result<ToolResult, CallError> + Send,
    dyn Fn(Option<&RawValue>, &mut Call) -> Result<ToolResult, CallError> + Send + Sync,
>;
pub(crate) type ResourceHandler = Handler<
    dyn FnMut(&mut Call) -> Result<Vec<ResourceContents>, CallError> + Send,
    dyn Fn(&mut Call) -> Result<Vec<ResourceContents>, CallError> + Send + Sync,
>;
pub(crate) type TemplateHandler = Handler<
    dyn FnMut(&Vars, &mut Call) -> Result<Vec<ResourceContents>, CallError> + Send,
    dyn Fn(&Vars, &mut Call) -> Result<Vec<ResourceContents>, CallError> + Send + Sync,
>;
pub(crate) type PromptHandler = Handler<
    dyn FnMut(Option<&RawValue>, &mut Call) -> Result<PromptResult, CallError> + Send,
    dyn Fn(Option<&RawValue>, &mut Call) -> Result<PromptResult, CallError> + Send + Sync,
>;

impl ToolHandler {
    pub(crate) fn inline<A: Arguments, R: IntoToolResult>(
        mut handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> ToolHandler {
        Handler::Inline(Box::new(move |arguments, call| tool(arguments, |read| handler(read, call))))
    }

    pub(crate) fn blocking<A: Arguments, R: IntoToolResult>(
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> ToolHandler {
        Handler::Blocking(Arc::new(move |arguments, call| tool(arguments, |read| handler(read, call))))
    }
}

/// Arguments that do not fit are for the model, so that it can mend its call.
fn tool<A: Arguments, R: IntoToolResult>(
    arguments: Option<&RawValue>,
    handler: impl FnOnce(A) -> R,
) -> Result<ToolResult, CallError> {
    match A::read(Subject::Argument, arguments) {
        Ok(arguments) => handler(arguments).into_tool_result(),
        Err(error) => Ok(ToolResult::error(error)),
    }
}

impl ResourceHandler {
    pub(crate) fn inline<R: IntoResource>(
        mut handler: impl FnMut(&mut Call) -> R + Send + 'static,
    ) -> ResourceHandler {
        Handler::Inline(Box::new(move |call| handler(call).into_resource()))
    }

    pub(crate) fn blocking<R: IntoResource>(
        handler: impl Fn(&mut Call) -> R + Send + Sync + 'static,
    ) -> ResourceHandler {
        Handler::Blocking(Arc::new(move |call| handler(call).into_resource()))
    }
}

impl TemplateHandler {
    pub(crate) fn inline<R: IntoResource>(
        mut handler: impl FnMut(&Vars, &mut Call) -> R + Send + 'static,
    ) -> TemplateHandler {
        Handler::Inline(Box::new(move |vars, call| handler(vars, call).into_resource()))
    }

    pub(crate) fn blocking<R: IntoResource>(
        handler: impl Fn(&Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> TemplateHandler {
        Handler::Blocking(Arc::new(move |vars, call| handler(vars, call).into_resource()))
    }
}

impl PromptHandler {
    pub(crate) fn inline<A: Arguments, R: IntoPrompt>(
        mut handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> PromptHandler {
        Handler::Inline(Box::new(move |arguments, call| prompt(arguments, |read| handler(read, call))))
    }

    pub(crate) fn blocking<A: Arguments, R: IntoPrompt>(
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> PromptHandler {
        Handler::Blocking(Arc::new(move |arguments, call| prompt(arguments, |read| handler(read, call))))
    }
}

fn prompt<A: Arguments, R: IntoPrompt>(
    arguments: Option<&RawValue>,
    handler: impl FnOnce(A) -> R,
) -> Result<PromptResult, CallError> {
    match A::read(Subject::PromptArgument, arguments) {
        Ok(arguments) => handler(arguments).into_prompt(),
        Err(error) => Err(CallError::invalid_params(error)),
    }
}
