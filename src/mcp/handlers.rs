//! Finding the handler of a call and running it.
//!
//! *Scope:* tools on the loop's thread, prompts, resources and templates; the boundary at which panics stop.
//! *Not in scope:* what becomes of the result (that is `calls`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::value::RawValue;

use crate::mcp::cache::CacheHint;
use crate::mcp::calls::Target;
use crate::mcp::dispatch::shorten;
use crate::mcp::failure::CallError;
use crate::mcp::server::{Registry, ToolHandler};
use crate::mcp::uri::{Forms, normalize};
use crate::mcp::{Call, PromptResult, ResourceContents, ToolResult};

/// What a handler has made.
pub(crate) enum Produced {
    Tool(ToolResult),
    Contents(Vec<ResourceContents>, Option<String>, CacheHint),
    Prompt(PromptResult, Option<String>),
}

impl Produced {
    /// Clients refuse the whole result for a URI that is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(self) -> Result<Produced, String> {
        match &self {
            Produced::Tool(result) => result.check_blocks()?,
            Produced::Contents(contents, ..) => contents.iter().try_for_each(ResourceContents::check)?,
            Produced::Prompt(result, _) => result.check()?,
        }
        Ok(self)
    }
}

/// Finds the handler and calls it.
pub(crate) fn produce(
    registry: &mut Registry,
    target: Target,
    subject: &str,
    arguments: Option<&RawValue>,
    call: &mut Call<'_>,
) -> Result<Produced, CallError> {
    match target {
        Target::Tool => match registry.tools.find(subject) {
            Some((_, ToolHandler::Inline(handler))) => {
                guarded("tool", subject, || handler(arguments, call)).map(Produced::Tool)
            }
            _ => Err(CallError::invalid_params(format!(
                "unknown tool `{}`; `tools/list` lists the tools",
                shorten(subject)
            ))),
        },
        Target::Prompt => match registry.prompts.find(subject) {
            Some((prompt, handler, _)) => {
                let result = guarded("prompt", subject, || handler(arguments, call))?;
                Ok(Produced::Prompt(result, prompt.description_text().map(str::to_owned)))
            }
            None => Err(CallError::invalid_params(format!(
                "unknown prompt `{}`; `prompts/list` lists the prompts",
                shorten(subject)
            ))),
        },
        Target::Resource => read_resource(registry, subject, call),
    }
}

/// A resource of that URI, else the first template that matches it.
fn read_resource(registry: &mut Registry, uri: &str, call: &mut Call<'_>) -> Result<Produced, CallError> {
    if let Some((resource, handler)) = registry.resources.find(&normalize(uri)) {
        let contents = guarded("resource", uri, || handler(call))?;
        return Ok(Produced::Contents(contents, resource.mime().map(str::to_owned), resource.cache_hint()));
    }
    let forms = Forms::of(uri);
    for (template, pattern, handler) in registry.templates.iter_mut() {
        if let Some(vars) = pattern.matches_forms(&forms) {
            let contents = guarded("resource template", &template.uri_template, || handler(&vars, call))?;
            return Ok(Produced::Contents(
                contents,
                template.mime().map(str::to_owned),
                template.cache_hint(),
            ));
        }
    }
    Err(CallError::not_found())
}

/// The one boundary where a panic of a user's handler is caught.
pub(crate) fn guarded<T>(
    kind: &str,
    name: &str,
    handler: impl FnOnce() -> Result<T, CallError>,
) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(handler))
        .unwrap_or_else(|_| Err(CallError::internal(format!("the handler of {kind} `{name}` panicked"))))
}
