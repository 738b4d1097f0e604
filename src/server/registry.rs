//! The tools, resources and prompts that are offered, each with its handler.
//!
//! *Scope:* [`Registry`], its entries, and how closures of any type become handlers of one type. *Not in scope:* lists and their
//! pages (`items`), calling the handlers (`runtime`).

use std::collections::BTreeMap;

use crate::protocol::check;
use crate::protocol::content::IntoToolResult;
use crate::protocol::description::{Prompt, PromptArgument, Resource, ResourceTemplate, Tool};
use crate::protocol::uri::UriTemplate;
use crate::protocol::uri::normal::{normalize, normalize_template};
use crate::server::arguments::Arguments;
use crate::server::complete::{Completed, Completer};
use crate::server::handler::{PromptHandler, ResourceHandler, TemplateHandler, ToolHandler};
use crate::server::items::Items;

/// The handlers.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) tools: Items<ToolEntry>,
    pub(crate) resources: Items<ResourceEntry>,
    pub(crate) templates: Items<TemplateEntry>,
    pub(crate) prompts: Items<PromptEntry>,
    /// What completes an argument, as it was told: by prompt or template, and argument.
    pub(crate) completions: BTreeMap<(Completed, String), Box<dyn Completer>>,
    /// Whether there ever was anything to complete: clients were told then that the method works.
    pub(crate) completes: bool,
}

impl Registry {
    /// Adds what completes an argument, in the place of what did.
    pub(crate) fn complete(&mut self, of: Completed, argument: &str, completer: impl Completer + 'static) {
        self.completions.insert((of, argument.to_owned()), Box::new(completer));
        self.completes = true;
    }

    /// Adds a prompt; says whether the name was free, and changes nothing if it was not.
    pub(crate) fn add_prompt(&mut self, entry: PromptEntry) -> bool {
        self.completes |= entry.2.iter().any(|argument| !argument.choices.is_empty());
        self.prompts.add(&entry.0.name.clone(), entry)
    }

    /// Puts a prompt in the place of one with the same name, or adds it. What completes arguments of that name stays.
    pub(crate) fn put_prompt(&mut self, entry: PromptEntry) {
        self.completes |= entry.2.iter().any(|argument| !argument.choices.is_empty());
        self.prompts.put(&entry.0.name.clone(), entry);
    }

    pub(crate) fn remove_prompt(&mut self, name: &str) {
        self.prompts.remove(name);
        self.completions.retain(|(of, _), _| !matches!(of, Completed::Prompt(prompt) if prompt == name));
    }

    /// Puts a resource in the place of one with the same URI, or adds it.
    pub(crate) fn put_resource(&mut self, entry: ResourceEntry) {
        let uri = normalize(&entry.0.uri).into_owned();
        self.resources.put(&uri, entry);
    }

    pub(crate) fn remove_resource(&mut self, uri: &str) {
        self.resources.remove(&normalize(uri));
    }

    /// Puts a template in the place of one with the same text, or adds it. What completes its variables stays.
    pub(crate) fn put_template(&mut self, entry: TemplateEntry) {
        let text = entry.1.normal().to_owned();
        self.templates.put(&text, entry);
    }

    pub(crate) fn remove_template(&mut self, text: &str) {
        let normal = normalize_template(text);
        self.templates.remove(&normal);
        self.completions
            .retain(|(of, _), _| !matches!(of, Completed::Template(template) if *template == normal));
    }

    /// The values of a prompt's argument that is an enum; none for others.
    pub(crate) fn choices(&mut self, of: &Completed, argument: &str) -> Vec<String> {
        let Completed::Prompt(name) = of else { return Vec::new() };
        let arguments = self.prompts.find(name).map_or(&[][..], |(_, _, arguments)| arguments);
        let known = arguments.iter().find(|known| known.name == argument);
        known.map(|known| known.choices.clone()).unwrap_or_default()
    }
}

pub(crate) type ToolEntry = (Tool, ToolHandler);
pub(crate) type ResourceEntry = (Resource, ResourceHandler);
pub(crate) type TemplateEntry = (ResourceTemplate, UriTemplate, TemplateHandler);
/// With the arguments that its handler takes.
pub(crate) type PromptEntry = (Prompt, PromptHandler, Vec<PromptArgument>);

/// With the schemas of its handler's arguments and result.
pub(crate) fn tool<A: Arguments, R: IntoToolResult>(
    tool: Tool,
    handler: ToolHandler,
) -> Result<ToolEntry, String> {
    let tool = tool.with_schemas(A::schema, R::output_schema());
    check::check_tool(&tool).map(|()| (tool, handler))
}

pub(crate) fn resource(resource: Resource, handler: ResourceHandler) -> Result<ResourceEntry, String> {
    check::check_resource(&resource)?;
    Ok((resource, handler))
}

pub(crate) fn template(
    template: ResourceTemplate,
    handler: TemplateHandler,
) -> Result<TemplateEntry, String> {
    let pattern = UriTemplate::new(&template.uri_template)
        .map_err(|error| format!("resource template `{}`: {error}", template.uri_template))?;
    check::check_template(&template)?;
    Ok((template, pattern, handler))
}

/// With the arguments that its handler takes.
pub(crate) fn prompt<A: Arguments>(
    mut prompt: Prompt,
    handler: PromptHandler,
) -> Result<PromptEntry, String> {
    check::check_prompt(&prompt)?;
    let arguments =
        A::prompt_arguments().map_err(|problem| format!("prompt `{}`: {problem}", prompt.name))?;
    if prompt.arguments.is_empty() {
        prompt.arguments.clone_from(&arguments);
    }
    Ok((prompt, handler, arguments))
}
