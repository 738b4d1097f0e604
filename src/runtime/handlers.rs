//! Finding the handler of a call and running it.
//!
//! *Scope:* handlers on the loop's thread. *Not in scope:* what becomes of the result
//! (that is `run`), and worker threads (that is `workers`).

use std::sync::Arc;
use std::time::Duration;

use crate::json::value::{JsonBuf, JsonRef};
use crate::protocol::cache::CacheHint;
use crate::protocol::check::check_resource;
use crate::protocol::content::{ResourceContents, ToolResult};
use crate::protocol::description::{self, Resource};
use crate::protocol::error::CallError;
use crate::protocol::kinds::ItemKind;
use crate::protocol::panics::guarded;
use crate::protocol::prompt::PromptResult;
use crate::protocol::result::Made;
use crate::protocol::uri::Vars;
use crate::protocol::uri::normal::{Forms, normalize};
use crate::protocol::viewers::Viewer;
use crate::server::builder::Server;
use crate::server::call::Call;
use crate::server::handler::{Handler, Input, Way};
use crate::server::items::Items;
use crate::server::registry::{PromptEntry, Registry, ResourceEntry, TemplateEntry, ToolEntry};
use crate::service::ended::CallKind;
use crate::text::printable;

/// A result, and what its item adds to it.
pub(crate) enum Produced {
    Tool(ToolResult),
    Contents(Vec<ResourceContents>, Option<String>, CacheHint),
    Prompt(PromptResult, Option<String>),
    Listed(Vec<Resource>),
}

impl Produced {
    /// Checks the URIs in it: clients refuse the whole result if one is not valid.
    ///
    /// # Errors
    /// A sentence that names the wrong one.
    pub(crate) fn check(self) -> Result<Produced, String> {
        match &self {
            Produced::Tool(result) => result.check_blocks()?,
            Produced::Contents(contents, ..) => contents.iter().try_for_each(ResourceContents::check)?,
            Produced::Prompt(result, _) => result.check()?,
            Produced::Listed(resources) => resources.iter().try_for_each(check_resource)?,
        }
        Ok(self)
    }
}

/// Properties of an item that its results need. They are kept with the call, since the item may have been removed by the end of
/// it.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// The item's own timeout, if it has one.
    pub(crate) timeout: Option<Duration>,
    /// The media type of contents that have none, or the description of a prompt's result that has none.
    text: Option<String>,
    cache: CacheHint,
    /// The schema of a tool's results. The tool shares it, unless it was replaced meanwhile.
    pub(crate) output_rules: Option<Arc<JsonBuf>>,
    /// True if there is such an item.
    pub(crate) is_found: bool,
}

impl About {
    fn found(timeout: Option<Duration>) -> About {
        About { timeout, is_found: true, ..About::default() }
    }

    fn of_resource(about: &description::About, timeout: Option<Duration>) -> About {
        About { text: about.mime_type.clone(), cache: about.cache, ..About::found(timeout) }
    }

    pub(crate) fn complete(&mut self, made: Made) -> Produced {
        match made {
            Made::Tool(result) => Produced::Tool(result),
            Made::Contents(contents) => Produced::Contents(contents, self.text.take(), self.cache),
            Made::Prompt(result) => Produced::Prompt(result, self.text.take()),
            Made::Listed(resources) => Produced::Listed(resources),
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

/// Finds the handler, and calls it unless it blocks. `is_admitted` is true if the hook `before_call` has let it run before.
pub(crate) fn produce(
    server: &mut Server,
    target: Target,
    item: &str,
    arguments: Option<JsonRef<'_>>,
    call: &mut Call<'_>,
    is_admitted: bool,
) -> (About, Started) {
    // One more than on a page: it shows that there is another page.
    let page_max = server.limits.page_items_max.saturating_add(1);
    let viewer = call.context.viewer();
    let Registry { tools, resources, templates, prompts, states, .. } = &mut server.registry;
    let found = match target {
        Target::Tool => find_tool(tools, item, &viewer),
        Target::Prompt => find_prompt(prompts, item, &viewer),
        Target::Resource => find_resource(resources, templates, item, &viewer),
        Target::List => find_lister(templates, item, &viewer),
    };
    let Found { about, handler, kind, name, vars } = match found {
        Ok(found) => found,
        Err(error) => return (About::default(), Started::Here(Err(error))),
    };
    if !is_admitted && let Err(error) = server.before_call.ask(&mut *states.own, call, target.kind(), item) {
        return (about, Started::Here(Err(error)));
    }
    let started = match &mut handler.way {
        Way::Inline(handler) => Started::Here(guarded(kind.name(), name, || {
            handler(&mut *states.own, Input { arguments, vars: &vars, page_max }, call)
        })),
        Way::Blocking(handler) => {
            let (handler, shared) = (handler.clone(), states.shared.clone());
            Started::Elsewhere(Box::new(move |arguments, call| {
                handler(&*shared, Input { arguments, vars: &vars, page_max }, call)
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

fn find_tool<'r>(
    tools: &'r mut Items<ToolEntry>,
    name: &'r str,
    viewer: &Viewer<'_>,
) -> Result<Found<'r>, CallError> {
    let (tool, handler) = tools.find(name, viewer).ok_or_else(|| unknown("tool", name))?;
    let about = About { output_rules: tool.output_rules.clone(), ..About::found(tool.timeout) };
    Ok(Found { about, handler, kind: ItemKind::Tool, name, vars: Vars::default() })
}

fn find_prompt<'r>(
    prompts: &'r mut Items<PromptEntry>,
    name: &'r str,
    viewer: &Viewer<'_>,
) -> Result<Found<'r>, CallError> {
    let (prompt, handler, _) = prompts.find(name, viewer).ok_or_else(|| unknown("prompt", name))?;
    let text = prompt.description_text().map(str::to_owned);
    let about = About { text, ..About::found(prompt.timeout) };
    Ok(Found { about, handler, kind: ItemKind::Prompt, name, vars: Vars::default() })
}

fn unknown(kind: &str, name: &str) -> CallError {
    CallError::invalid_params(format!(
        "unknown {kind} `{}`; `{kind}s/list` lists the {kind}s",
        printable(name)
    ))
}

/// A resource of that URI, else the first template that matches it.
fn find_resource<'r>(
    resources: &'r mut Items<ResourceEntry>,
    templates: &'r mut Items<TemplateEntry>,
    uri: &'r str,
    viewer: &Viewer<'_>,
) -> Result<Found<'r>, CallError> {
    if let Some((resource, handler)) = resources.find(&normalize(uri), viewer) {
        let about = About::of_resource(&resource.about, resource.timeout);
        return Ok(Found { about, handler, kind: ItemKind::Resource, name: uri, vars: Vars::default() });
    }
    let forms = Forms::of(uri);
    for (template, pattern, handler, _) in templates.iter_mut(viewer) {
        let Some(vars) = pattern.matches_forms(&forms) else { continue };
        let about = About::of_resource(&template.about, template.timeout);
        return Ok(Found { about, handler, kind: ItemKind::Template, name: &template.uri_template, vars });
    }
    Err(CallError::not_found())
}

/// The handler by which a template, in normal form, lists its resources.
fn find_lister<'r>(
    templates: &'r mut Items<TemplateEntry>,
    template: &str,
    viewer: &Viewer<'_>,
) -> Result<Found<'r>, CallError> {
    let (template, .., list) = templates.find(template, viewer).ok_or_else(CallError::not_found)?;
    let handler = list.as_mut().ok_or_else(CallError::not_found)?;
    Ok(Found {
        about: About::found(template.timeout),
        handler,
        kind: ItemKind::Template,
        name: &template.uri_template,
        vars: Vars::default(),
    })
}

/// The kind of thing that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tool,
    Resource,
    Prompt,
    /// The resources of a template, by its text in normal form.
    List,
}

impl Target {
    pub(crate) fn kind(self) -> CallKind {
        match self {
            Target::Tool => CallKind::Tool,
            Target::Resource => CallKind::Resource,
            Target::Prompt => CallKind::Prompt,
            Target::List => CallKind::ResourceList,
        }
    }

    /// The name that errors use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Tool => "tool",
            Target::Resource => "resource",
            Target::Prompt => "prompt",
            Target::List => ItemKind::Template.name(),
        }
    }
}
