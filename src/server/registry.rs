//! The tools, resources and prompts that are offered, each with its handler.
//!
//! *Scope:* [`Registry`] and its entries. *Not in scope:* lists and their pages (`items`), making entries (`item`), calling
//! the handlers (`runtime`).

use std::collections::BTreeMap;

use crate::json::write::ToJson;
use crate::protocol::description::{Prompt, PromptArgument, Resource, ResourceTemplate, Tool};
use crate::protocol::kinds::{ItemKind, ListKind};
use crate::protocol::uri::UriTemplate;
use crate::protocol::uri::normal::{Forms, normalize, normalize_template};
use crate::protocol::viewers::{Viewer, Viewers};
use crate::server::complete::{Completed, Completing};
use crate::server::handler::Handler;
use crate::server::items::Items;
use crate::server::state::{StateTypes, States};

/// The handlers.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) tools: Items<ToolEntry>,
    pub(crate) resources: Items<ResourceEntry>,
    pub(crate) templates: Items<TemplateEntry>,
    pub(crate) prompts: Items<PromptEntry>,
    /// What completes an argument: by prompt or template, and argument.
    pub(crate) completions: BTreeMap<(Completed, String), Box<Completing>>,
    /// True if there ever was an argument to complete: clients were told then that the method works.
    pub(crate) completes: bool,
    pub(crate) states: States,
}

pub(crate) type ToolEntry = (Tool, Handler);
pub(crate) type ResourceEntry = (Resource, Handler);
/// With the handler that lists its resources, if they are listed on demand.
pub(crate) type TemplateEntry = (ResourceTemplate, UriTemplate, Handler, Option<Handler>);
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

    /// Checks that its handlers take states of these types, if any.
    ///
    /// # Errors
    /// A sentence that names the item and both types.
    pub(crate) fn check_state(&self, types: &StateTypes) -> Result<(), String> {
        let handlers = match self {
            Entry::Tool((_, handler)) | Entry::Resource((_, handler)) | Entry::Prompt((_, handler, _)) => {
                [Some(handler), None]
            }
            Entry::Template((.., handler, list)) => [Some(handler), list.as_ref()],
        };
        let mut handlers = handlers.into_iter().flatten();
        handlers.try_for_each(|handler| check_state(handler, self.kind(), self.name(), types))
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

fn check_state(handler: &Handler, kind: ItemKind, name: &str, types: &StateTypes) -> Result<(), String> {
    let problem = |problem| format!("the handler of {} `{name}` {problem}", kind.name());
    handler.takes.check(types).map_err(problem)
}

/// True if two descriptions are the same for clients.
fn is_same(one: &dyn ToJson, other: &dyn ToJson) -> bool {
    let [one, other] = [one, other].map(|description| {
        let mut text = Vec::new();
        description.write(&mut text);
        text
    });
    one == other
}

impl Registry {
    /// Adds a completer of an argument, or replaces it.
    pub(crate) fn complete(&mut self, of: Completed, argument: &str, completer: Box<Completing>) {
        self.completions.insert((of, argument.to_owned()), completer);
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
            Entry::Tool(mut entry) => {
                let (name, visible) = (entry.0.name.clone(), entry.0.visible.take());
                self.tools.insert(name, visible, entry, replaces)
            }
            Entry::Resource(mut entry) => {
                let (name, visible) = (normalize(&entry.0.uri).into_owned(), entry.0.visible.take());
                self.resources.insert(name, visible, entry, replaces)
            }
            Entry::Template(mut entry) => {
                let (name, visible) = (entry.1.normal().to_owned(), entry.0.visible.take());
                self.templates.insert(name, visible, entry, replaces)
            }
            Entry::Prompt(mut entry) => {
                self.completes |= entry.2.iter().any(|argument| !argument.choices.is_empty());
                let (name, visible) = (entry.0.name.clone(), entry.0.visible.take());
                self.prompts.insert(name, visible, entry, replaces)
            }
        }
    }

    /// Puts the items and completers of another registry in the place of all.
    pub(crate) fn replace(&mut self, others: Registry) {
        let Registry { tools, resources, templates, prompts, completions, completes, states } = others;
        self.tools.replace(tools, |one, other| is_same(&one.0, &other.0));
        self.resources.replace(resources, |one, other| is_same(&one.0, &other.0));
        self.templates.replace(templates, |one, other| {
            // What is listed on demand may be something else.
            one.3.is_none() && other.3.is_none() && is_same(&one.0, &other.0)
        });
        self.prompts.replace(prompts, |one, other| is_same(&one.0, &other.0));
        self.completions = completions;
        self.completes |= completes;
        self.states.replace(states);
    }

    /// Returns what is wrong with handlers that take a state of another type than a server with these has.
    pub(crate) fn state_problems(&self, types: &StateTypes) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |kind, name: &str, handler: &Handler| {
            problems.extend(check_state(handler, kind, name, types).err());
        };
        self.tools.all().for_each(|(name, _, entry)| check(ItemKind::Tool, name, &entry.1));
        self.resources.all().for_each(|(name, _, entry)| check(ItemKind::Resource, name, &entry.1));
        for (name, _, (.., handler, list)) in self.templates.all() {
            check(ItemKind::Template, name, handler);
            list.iter().for_each(|list| check(ItemKind::Template, name, list));
        }
        self.prompts.all().for_each(|(name, _, entry)| check(ItemKind::Prompt, name, &entry.1));
        problems
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

    /// True if there is a resource of that URI, or a template for it, that the client sees.
    pub(crate) fn has_resource(&mut self, uri: &str, viewer: &Viewer<'_>) -> bool {
        let forms = Forms::of(uri);
        self.resources.find(&normalize(uri), viewer).is_some()
            || self.templates.iter_mut(viewer).any(|(_, pattern, ..)| pattern.matches_forms(&forms).is_some())
    }

    /// The first template that the client sees and whose resources are listed on demand, in normal form; with `after` the next one
    /// after that.
    pub(crate) fn next_lister(&self, after: Option<&str>, viewer: &Viewer<'_>) -> Option<&str> {
        let mut templates = self.templates.seen(viewer);
        if let Some(after) = after {
            templates.find(|(name, _)| *name == after)?;
        }
        templates.find(|(_, (.., list))| list.is_some()).map(|(name, _)| name)
    }

    /// True if the client sees this template, in normal form, and its resources are listed on demand.
    pub(crate) fn is_lister(&self, template: &str, viewer: &Viewer<'_>) -> bool {
        self.templates.seen(viewer).any(|(name, (.., list))| name == template && list.is_some())
    }

    /// The clients that see a resource of this URI in normal form, or a template for it. All of them if there is neither: who
    /// subscribed to it could see it.
    pub(crate) fn viewers_of(&self, uri: &str) -> Viewers {
        let mut viewers = Viewers::default();
        let named = self.resources.all().filter(|(name, ..)| *name == uri);
        named.for_each(|(_, visible, _)| viewers.add(visible));
        if !viewers.are_all() {
            let forms = Forms::of(uri);
            let matching = self.templates.all().filter(|(.., entry)| entry.1.matches_forms(&forms).is_some());
            matching.for_each(|(_, visible, _)| viewers.add(visible));
        }
        if viewers.is_empty() { Viewers::ALL } else { viewers }
    }

    /// Returns whom the changes of a list since the last call concern.
    pub(crate) fn take_changed(&mut self, list: ListKind) -> Viewers {
        match list {
            ListKind::Tools => self.tools.take_changed(),
            ListKind::Prompts => self.prompts.take_changed(),
            ListKind::Resources => {
                let mut viewers = self.resources.take_changed();
                viewers.extend(self.templates.take_changed());
                viewers
            }
        }
    }

    /// The values of a prompt's argument that is an enum; none for others.
    pub(crate) fn choices(&self, of: &Completed, argument: &str) -> Vec<String> {
        let Completed::Prompt(name) = of else { return Vec::new() };
        let arguments = self.prompts.get(name).map_or(&[][..], |(_, _, arguments)| arguments);
        let known = arguments.iter().find(|known| known.name == argument);
        known.map(|known| known.choices.clone()).unwrap_or_default()
    }
}
