//! Finding the handler of a call and running it.
//!
//! *Scope:* handlers on the loop's thread. *Not in scope:* what becomes of the result
//! (that is `run`), and worker threads (that is `workers`).

use std::time::Duration;

use serde_json::value::RawValue;

use crate::protocol::cache::CacheHint;
use crate::protocol::content::{ResourceContents, ToolResult};
use crate::protocol::error::CallError;
use crate::protocol::prompt::PromptResult;
use crate::protocol::result::Made;
use crate::protocol::uri::normal::{Forms, normalize};
use crate::server::call::Call;
use crate::server::guard::guarded;
use crate::server::handler::Handler;
use crate::server::registry::Registry;
use crate::text::shorten;

/// A result with what is said of it besides.
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

/// What an item says besides its handler: it is needed when the call is done, and the item may be gone by then.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// Its own, if it has one.
    pub(crate) timeout: Option<Duration>,
    /// The media type of contents that have none, or the description of a prompt's result that has none.
    text: Option<String>,
    cache: CacheHint,
}

impl About {
    pub(crate) fn complete(&mut self, made: Made) -> Produced {
        match made {
            Made::Tool(result) => Produced::Tool(result),
            Made::Contents(contents) => Produced::Contents(contents, self.text.take(), self.cache),
            Made::Prompt(result) => Produced::Prompt(result, self.text.take()),
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, String::len)
    }
}

/// What a blocking handler does with a call.
pub(crate) type Work = Box<dyn FnOnce(Option<&RawValue>, &mut Call) -> Result<Made, CallError> + Send>;

pub(crate) enum Started {
    /// The handler has run.
    Here(Result<Made, CallError>),
    /// It is to run on a worker thread.
    Elsewhere(Work),
}

/// Finds the handler, and calls it unless it blocks.
pub(crate) fn produce(
    registry: &mut Registry,
    target: Target,
    item: &str,
    arguments: Option<&RawValue>,
    call: &mut Call<'_>,
) -> (About, Started) {
    match target {
        Target::Tool => call_tool(registry, item, arguments, call),
        Target::Prompt => get_prompt(registry, item, arguments, call),
        Target::Resource => read_resource(registry, item, call),
    }
}

fn call_tool(
    registry: &mut Registry,
    name: &str,
    arguments: Option<&RawValue>,
    call: &mut Call<'_>,
) -> (About, Started) {
    let Some((tool, handler)) = registry.tools.find(name) else {
        return none(CallError::invalid_params(format!(
            "unknown tool `{}`; `tools/list` lists the tools",
            shorten(name)
        )));
    };
    let about = About { timeout: tool.timeout, ..About::default() };
    let outcome = match handler {
        Handler::Inline(handler) => {
            Started::Here(guarded("tool", name, || handler(arguments, call)).map(Made::Tool))
        }
        Handler::Blocking(handler) => {
            let handler = handler.clone();
            Started::Elsewhere(Box::new(move |arguments, call| handler(arguments, call).map(Made::Tool)))
        }
    };
    (about, outcome)
}

fn get_prompt(
    registry: &mut Registry,
    name: &str,
    arguments: Option<&RawValue>,
    call: &mut Call<'_>,
) -> (About, Started) {
    let Some((prompt, handler, _)) = registry.prompts.find(name) else {
        return none(CallError::invalid_params(format!(
            "unknown prompt `{}`; `prompts/list` lists the prompts",
            shorten(name)
        )));
    };
    let text = prompt.description_text().map(str::to_owned);
    let about = About { timeout: prompt.timeout, text, ..About::default() };
    let outcome = match handler {
        Handler::Inline(handler) => {
            Started::Here(guarded("prompt", name, || handler(arguments, call)).map(Made::Prompt))
        }
        Handler::Blocking(handler) => {
            let handler = handler.clone();
            Started::Elsewhere(Box::new(move |arguments, call| handler(arguments, call).map(Made::Prompt)))
        }
    };
    (about, outcome)
}

/// A resource of that URI, else the first template that matches it.
fn read_resource(registry: &mut Registry, uri: &str, call: &mut Call<'_>) -> (About, Started) {
    if let Some((resource, handler)) = registry.resources.find(&normalize(uri)) {
        let text = resource.mime().map(str::to_owned);
        let about = About { timeout: resource.timeout, text, cache: resource.cache_hint() };
        let outcome = match handler {
            Handler::Inline(handler) => {
                Started::Here(guarded("resource", uri, || handler(call)).map(Made::Contents))
            }
            Handler::Blocking(handler) => {
                let handler = handler.clone();
                Started::Elsewhere(Box::new(move |_, call| handler(call).map(Made::Contents)))
            }
        };
        return (about, outcome);
    }
    let forms = Forms::of(uri);
    for (template, pattern, handler) in registry.templates.iter_mut() {
        let Some(vars) = pattern.matches_forms(&forms) else { continue };
        let text = template.mime().map(str::to_owned);
        let about = About { timeout: template.timeout, text, cache: template.cache_hint() };
        let outcome = match handler {
            Handler::Inline(handler) => {
                let name = &template.uri_template;
                let made = guarded("resource template", name, || handler(&vars, call));
                Started::Here(made.map(Made::Contents))
            }
            Handler::Blocking(handler) => {
                let handler = handler.clone();
                Started::Elsewhere(Box::new(move |_, call| handler(&vars, call).map(Made::Contents)))
            }
        };
        return (about, outcome);
    }
    none(CallError::not_found())
}

/// There is no such thing.
fn none(error: CallError) -> (About, Started) {
    (About::default(), Started::Here(Err(error)))
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tool,
    Resource,
    Prompt,
}

impl Target {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Tool => "tool",
            Target::Resource => "resource",
            Target::Prompt => "prompt",
        }
    }
}
