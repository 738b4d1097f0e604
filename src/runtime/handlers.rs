//! Finding the handler of a call and running it.
//!
//! *Scope:* handlers on the loop's thread. *Not in scope:* what becomes of the result
//! (that is `run`), and worker threads (that is `workers`).

use std::time::Duration;

use crate::json::value::JsonRef;
use crate::protocol::cache::CacheHint;
use crate::protocol::content::{ResourceContents, ToolResult};
use crate::protocol::error::CallError;
use crate::protocol::kinds::ItemKind;
use crate::protocol::prompt::PromptResult;
use crate::protocol::result::Made;
use crate::protocol::uri::Vars;
use crate::protocol::uri::normal::{Forms, normalize};
use crate::server::call::Call;
use crate::server::guard::guarded;
use crate::server::handler::{Handler, Input};
use crate::server::registry::Registry;
use crate::text::shorten;

/// A result, and what its item adds to it.
pub(crate) enum Produced {
    Tool(ToolResult),
    Contents(Vec<ResourceContents>, Option<String>, CacheHint),
    Prompt(PromptResult, Option<String>),
}

impl Produced {
    /// Checks the URIs in it: clients refuse the whole result for one that is no URI.
    ///
    /// # Errors
    /// A sentence that names the wrong one.
    pub(crate) fn check(self) -> Result<Produced, String> {
        match &self {
            Produced::Tool(result) => result.check_blocks()?,
            Produced::Contents(contents, ..) => contents.iter().try_for_each(ResourceContents::check)?,
            Produced::Prompt(result, _) => result.check()?,
        }
        Ok(self)
    }
}

/// What an item says besides its handler. It is kept with the call, since the item may be gone when the call is done.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// The item's own timeout, if it has one.
    pub(crate) timeout: Option<Duration>,
    /// The media type of contents that have none, or the description of a prompt's result that has none.
    text: Option<String>,
    cache: CacheHint,
    /// True for a tool whose results have a schema.
    pub(crate) has_rules: bool,
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

/// A blocking handler, ready for one call.
pub(crate) type Work = Box<dyn FnOnce(Option<JsonRef<'_>>, &mut Call) -> Result<Made, CallError> + Send>;

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
    arguments: Option<JsonRef<'_>>,
    call: &mut Call<'_>,
) -> (About, Started) {
    let found = match target {
        Target::Tool => find_tool(registry, item),
        Target::Prompt => find_prompt(registry, item),
        Target::Resource => find_resource(registry, item),
    };
    let Found { about, handler, kind, name, vars } = match found {
        Ok(found) => found,
        Err(error) => return (About::default(), Started::Here(Err(error))),
    };
    let started = match handler {
        Handler::Inline(handler) => {
            Started::Here(guarded(kind.name(), name, || handler(Input { arguments, vars: &vars }, call)))
        }
        Handler::Blocking(handler) => {
            let handler = handler.clone();
            Started::Elsewhere(Box::new(move |arguments, call| {
                handler(Input { arguments, vars: &vars }, call)
            }))
        }
    };
    (about, started)
}

/// A handler, and what its item says besides.
struct Found<'r> {
    about: About,
    handler: &'r mut Handler,
    kind: ItemKind,
    name: &'r str,
    vars: Vars,
}

fn find_tool<'r>(registry: &'r mut Registry, name: &'r str) -> Result<Found<'r>, CallError> {
    let (tool, handler) = registry.tools.find(name).ok_or_else(|| unknown("tool", name))?;
    let has_rules = tool.output_rules().is_some();
    let about = About { timeout: tool.timeout, has_rules, ..About::default() };
    Ok(Found { about, handler, kind: ItemKind::Tool, name, vars: Vars::default() })
}

fn find_prompt<'r>(registry: &'r mut Registry, name: &'r str) -> Result<Found<'r>, CallError> {
    let (prompt, handler, _) = registry.prompts.find(name).ok_or_else(|| unknown("prompt", name))?;
    let text = prompt.description_text().map(str::to_owned);
    let about = About { timeout: prompt.timeout, text, ..About::default() };
    Ok(Found { about, handler, kind: ItemKind::Prompt, name, vars: Vars::default() })
}

fn unknown(kind: &str, name: &str) -> CallError {
    CallError::invalid_params(format!("unknown {kind} `{}`; `{kind}s/list` lists the {kind}s", shorten(name)))
}

/// A resource of that URI, else the first template that matches it.
fn find_resource<'r>(registry: &'r mut Registry, uri: &'r str) -> Result<Found<'r>, CallError> {
    if let Some((resource, handler)) = registry.resources.find(&normalize(uri)) {
        let text = resource.mime().map(str::to_owned);
        let about =
            About { timeout: resource.timeout, text, cache: resource.cache_hint(), ..About::default() };
        return Ok(Found { about, handler, kind: ItemKind::Resource, name: uri, vars: Vars::default() });
    }
    let forms = Forms::of(uri);
    for (template, pattern, handler) in registry.templates.iter_mut() {
        let Some(vars) = pattern.matches_forms(&forms) else { continue };
        let text = template.mime().map(str::to_owned);
        let about =
            About { timeout: template.timeout, text, cache: template.cache_hint(), ..About::default() };
        return Ok(Found { about, handler, kind: ItemKind::Template, name: &template.uri_template, vars });
    }
    Err(CallError::not_found())
}

/// The kind of thing that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tool,
    Resource,
    Prompt,
}

impl Target {
    /// The name that errors use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Tool => "tool",
            Target::Resource => "resource",
            Target::Prompt => "prompt",
        }
    }
}
