//! The tools, resources and prompts that are offered, each with its handler.
//!
//! *Scope:* [`Registry`] and its entries. *Not in scope:* lists and their pages (`items`), making entries (`item`), calling
//! the handlers (`runtime`).

use std::collections::BTreeMap;

use crate::protocol::description::{Prompt, PromptArgument, Resource, ResourceTemplate, Tool};
use crate::protocol::kinds::ItemKind;
use crate::protocol::uri::UriTemplate;
use crate::protocol::uri::normal::{Forms, normalize, normalize_template};
use crate::server::complete::{Completed, Completer};
use crate::server::handler::Handler;
use crate::server::items::Items;

/// The handlers.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) tools: Items<ToolEntry>,
    pub(crate) resources: Items<ResourceEntry>,
    pub(crate) templates: Items<TemplateEntry>,
    pub(crate) prompts: Items<PromptEntry>,
    /// What completes an argument: by prompt or template, and argument.
    pub(crate) completions: BTreeMap<(Completed, String), Box<dyn Completer>>,
    /// True if there ever was an argument to complete: clients were told then that the method works.
    pub(crate) completes: bool,
}

pub(crate) type ToolEntry = (Tool, Handler);
pub(crate) type ResourceEntry = (Resource, Handler);
pub(crate) type TemplateEntry = (ResourceTemplate, UriTemplate, Handler);
/// With the arguments that its handler takes.
pub(crate) type PromptEntry = (Prompt, Handler, Vec<PromptArgument>);

/// An item that was checked, on its way into the registry.
pub(crate) enum Entry {
    Tool(ToolEntry),
    Resource(ResourceEntry),
    Template(TemplateEntry),
    Prompt(PromptEntry),
}

impl Entry {
    pub(crate) fn kind(&self) -> ItemKind {
        match self {
            Entry::Tool(_) => ItemKind::Tool,
            Entry::Resource(_) => ItemKind::Resource,
            Entry::Template(_) => ItemKind::Template,
            Entry::Prompt(_) => ItemKind::Prompt,
        }
    }

    /// Its name, URI or template, as its author wrote it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Entry::Tool((tool, _)) => &tool.name,
            Entry::Resource((resource, _)) => &resource.uri,
            Entry::Template((template, ..)) => &template.uri_template,
            Entry::Prompt((prompt, ..)) => &prompt.name,
        }
    }
}

impl Registry {
    /// Adds a completer of an argument, or replaces it.
    pub(crate) fn complete(&mut self, of: Completed, argument: &str, completer: impl Completer + 'static) {
        self.completions.insert((of, argument.to_owned()), Box::new(completer));
        self.completes = true;
    }

    /// Adds an item.
    ///
    /// # Errors
    /// A sentence that names it, if there is one of that name already: nothing is changed then.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<(), String> {
        let (kind, name) = (entry.kind().name(), entry.name().to_owned());
        match self.insert(entry, false) {
            true => Ok(()),
            false => Err(format!("{kind} `{name}` was added twice")),
        }
    }

    /// Adds an item, or replaces the one of the same name. Completers of its arguments stay.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.insert(entry, true);
    }

    fn insert(&mut self, entry: Entry, replaces: bool) -> bool {
        match entry {
            Entry::Tool(entry) => self.tools.insert(entry.0.name.clone(), entry, replaces),
            Entry::Resource(entry) => {
                self.resources.insert(normalize(&entry.0.uri).into_owned(), entry, replaces)
            }
            Entry::Template(entry) => self.templates.insert(entry.1.normal().to_owned(), entry, replaces),
            Entry::Prompt(entry) => {
                self.completes |= entry.2.iter().any(|argument| !argument.choices.is_empty());
                self.prompts.insert(entry.0.name.clone(), entry, replaces)
            }
        }
    }

    /// Removes an item, and the completers of its arguments.
    pub(crate) fn remove(&mut self, kind: ItemKind, name: &str) {
        let completed = match kind {
            ItemKind::Tool => return self.tools.remove(name),
            ItemKind::Resource => return self.resources.remove(&normalize(name)),
            ItemKind::Template => {
                let normal = normalize_template(name);
                self.templates.remove(&normal);
                Completed::Template(normal)
            }
            ItemKind::Prompt => {
                self.prompts.remove(name);
                Completed::Prompt(name.to_owned())
            }
        };
        self.completions.retain(|(of, _), _| *of != completed);
    }

    /// True if there ever was a resource or a template.
    pub(crate) fn offers_resources(&self) -> bool {
        self.resources.is_offered() || self.templates.is_offered()
    }

    /// True if there is a resource of that URI, or a template for it.
    pub(crate) fn has_resource(&mut self, uri: &str) -> bool {
        let forms = Forms::of(uri);
        self.resources.find(&normalize(uri)).is_some()
            || self.templates.iter_mut().any(|(_, pattern, _)| pattern.matches_forms(&forms).is_some())
    }

    /// The values of a prompt's argument that is an enum; none for others.
    pub(crate) fn choices(&mut self, of: &Completed, argument: &str) -> Vec<String> {
        let Completed::Prompt(name) = of else { return Vec::new() };
        let arguments = self.prompts.find(name).map_or(&[][..], |(_, _, arguments)| arguments);
        let known = arguments.iter().find(|known| known.name == argument);
        known.map(|known| known.choices.clone()).unwrap_or_default()
    }
}
