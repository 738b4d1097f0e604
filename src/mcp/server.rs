//! The builder: what a server is, offers, and allows.
//!
//! *Scope:* [`Server`], which collects handlers and settings.
//! *Not in scope:* listening (that is `net`), and answering requests (that is `dispatch`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Limits;
use crate::mcp::cache::CacheHint;
use crate::mcp::check;
use crate::mcp::complete::{Completed, Completer};
use crate::mcp::extensions::Extensions;
use crate::mcp::handler::{PromptHandler, ResourceHandler, TemplateHandler, ToolHandler};
use crate::mcp::permit::Permit;
use crate::mcp::registry::Items;
use crate::mcp::uri::{UriTemplate, Vars, normalize, normalize_template};
use crate::mcp::{
    Arguments, Authorize, CacheScope, Call, Icon, Implementation, IntoPrompt, IntoResource, IntoToolResult,
    Prompt, PromptArgument, Resource, ResourceTemplate, Settings, StateKey, Tool,
};

/// A list that can change, for [`Slot::Changed`](crate::mcp::Slot::Changed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `resources/list` and `resources/templates/list`.
    Resources,
    /// `prompts/list`.
    Prompts,
}

/// A server: who it is, what it offers, and what it allows.
///
/// Handlers run one at a time on the thread that runs the server, so what one closure owns needs no lock. The
/// [module](crate::mcp#what-a-server-can-say-of-itself) shows every setter.
///
/// ```
/// use mcp_rill::{Server, schema};
/// schema! { struct Add { /// First addend.
///     a: f64, /// Second addend.
///     b: f64 } }
/// schema! { struct Explain { /// What to explain.
///     term: String } }
/// let server = Server::new("calc", "1.0.0")
///     .instructions("Adds numbers.")
///     .tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
///     .resource("calc:///pi", "pi", |_| "3.14159")
///     .template("calc:///square/{n}", "square", |vars, _| -> mcp_rill::Result<_> {
///         let n: f64 = vars.get("n").unwrap_or_default().parse()?;
///         Ok((n * n).to_string())
///     })
///     .prompt("explain", "Explain a term", |Explain { term }: Explain, _| format!("Explain what `{term}` means."))
///     .limits(mcp_rill::Limits { sessions_max: 8, ..Default::default() });
/// ```
pub struct Server {
    pub(crate) info: Implementation,
    pub(crate) instructions: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) list_cache: CacheHint,
    /// The current one and the one before it.
    pub(crate) state_keys: [Option<StateKey>; 2],
    pub(crate) authorize: Option<Authorize>,
    pub(crate) extensions: Extensions,
    pub(crate) permit: Permit,
    problems: Vec<String>,
}

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
    fn complete(&mut self, of: Completed, argument: &str, completer: impl Completer + 'static) {
        self.completions.insert((of, argument.to_owned()), Box::new(completer));
        self.completes = true;
    }

    /// Adds a prompt; says whether the name was free, and changes nothing if it was not.
    fn add_prompt(&mut self, entry: PromptEntry) -> bool {
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

impl Server {
    /// A server by its program's name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Server {
        Server {
            info: Implementation::new(name, version),
            instructions: None,
            limits: Limits::DEFAULT,
            settings: Settings::default(),
            registry: Registry::default(),
            list_cache: CacheHint::default(),
            state_keys: [None; 2],
            authorize: None,
            extensions: Extensions::default(),
            permit: Permit::default(),
            problems: Vec::new(),
        }
    }

    /// A name for people.
    pub fn title(mut self, title: impl Into<String>) -> Server {
        self.info = self.info.title(title);
        self
    }

    /// What the server is for.
    pub fn description(mut self, description: impl Into<String>) -> Server {
        self.info = self.info.description(description);
        self
    }

    /// Where people read more.
    pub fn website_url(mut self, url: impl Into<String>) -> Server {
        self.info = self.info.website_url(url);
        self
    }

    /// Adds an icon.
    pub fn icon(mut self, icon: Icon) -> Server {
        self.info = self.info.icon(icon);
        self
    }

    /// How to use the server; clients may give this to the model.
    pub fn instructions(mut self, text: impl Into<String>) -> Server {
        self.instructions = Some(text.into());
        self
    }

    /// How long clients may keep lists and what `server/discover` says, and who may share them (MCP 2026-07-28, caching).
    /// Not at all if not said. Clients that listen are told of changes all the same.
    pub fn cache_lists(mut self, ttl: Duration, scope: CacheScope) -> Server {
        self.list_cache = CacheHint { ttl, scope };
        self
    }

    /// The key under which questions to clients without sessions are sealed: the same on every node that may get the
    /// answer.
    pub fn state_key(mut self, key: StateKey) -> Server {
        self.state_keys[0] = Some(key);
        self
    }

    /// The key before the present one: what it sealed is still taken, so that a new key loses no call.
    pub fn previous_state_key(mut self, key: StateKey) -> Server {
        self.state_keys[1] = Some(key);
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// Replaces the HTTP settings.
    pub fn settings(mut self, settings: Settings) -> Server {
        self.settings = settings;
        self
    }

    /// Allows requests that name this host, in any case, without a port.
    pub fn allow_host(mut self, host: impl Into<String>) -> Server {
        self.settings.hosts.push(host.into());
        self
    }

    /// Allows requests from web pages of this origin, such as `https://app.example`.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Server {
        self.settings.origins.push(origin.into());
        self
    }

    /// Allows listening on addresses that others can reach although peers are not authenticated.
    pub fn insecure_public(mut self) -> Server {
        self.settings.insecure_public = true;
        self
    }

    /// Adds a tool. The handler's first argument is a struct made by [`schema!`](crate::schema!), `()` for a tool without
    /// arguments, or a [`Value`](serde_json::Value); what it may return says [`IntoToolResult`].
    pub fn tool<A, R, F>(self, name: &str, description: &str, handler: F) -> Server
    where
        A: Arguments,
        R: IntoToolResult,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.add_tool(Tool::new(name, description), handler)
    }

    /// Adds a tool with all that a [`Tool`] can say. Arguments that do not fit are answered as an error result that
    /// names the argument, so that the model can mend its call.
    pub fn add_tool<A, R, F>(self, tool: Tool, handler: F) -> Server
    where
        A: Arguments,
        R: IntoToolResult,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.put_tool(self::tool::<A, R>(tool, ToolHandler::inline(handler)))
    }

    pub(crate) fn put_tool(mut self, entry: Result<ToolEntry, String>) -> Server {
        match entry {
            Ok(entry) => {
                let name = entry.0.name.clone();
                let added = self.registry.tools.add(&name, entry);
                self.note_twice(added, "tool", &name)
            }
            Err(problem) => self.note_problem(problem),
        }
    }

    /// Adds a resource with a fixed URI; what the handler may return says [`IntoResource`].
    pub fn resource<R, F>(self, uri: &str, name: &str, handler: F) -> Server
    where
        R: IntoResource,
        F: FnMut(&mut Call) -> R + Send + 'static,
    {
        self.add_resource(Resource::new(uri, name), handler)
    }

    /// Adds a resource with all that a [`Resource`] can say.
    pub fn add_resource<R, F>(self, description: Resource, handler: F) -> Server
    where
        R: IntoResource,
        F: FnMut(&mut Call) -> R + Send + 'static,
    {
        self.put_resource(resource(description, ResourceHandler::inline(handler)))
    }

    pub(crate) fn put_resource(mut self, entry: Result<ResourceEntry, String>) -> Server {
        match entry {
            Ok(entry) => {
                let uri = entry.0.uri.clone();
                let added = self.registry.resources.add(&normalize(&uri), entry);
                self.note_twice(added, "resource", &uri)
            }
            Err(problem) => self.note_problem(problem),
        }
    }

    /// Adds a family of resources by a URI template of `{name}` and `{+name}` (RFC 6570); the handler gets the variables'
    /// values. Those of `{+name}` are paths that can be joined to that of a folder; [`uri`](crate::mcp::uri) has the rules.
    ///
    /// ```
    /// use std::path::Path;
    /// let server = mcp_rill::Server::new("manual", "1.0.0")
    ///     .template("manual:///{+page}", "page", |vars, _| -> mcp_rill::Result<_> {
    ///         let page = vars.get("page").unwrap_or_default();
    ///         Ok(std::fs::read_to_string(Path::new("/usr/share/manual").join(page))?)
    ///     });
    /// ```
    pub fn template<R, F>(self, uri_template: &str, name: &str, handler: F) -> Server
    where
        R: IntoResource,
        F: FnMut(&Vars, &mut Call) -> R + Send + 'static,
    {
        self.add_template(ResourceTemplate::new(uri_template, name), handler)
    }

    /// Adds a family of resources with all that a [`ResourceTemplate`] can say.
    pub fn add_template<R, F>(self, description: ResourceTemplate, handler: F) -> Server
    where
        R: IntoResource,
        F: FnMut(&Vars, &mut Call) -> R + Send + 'static,
    {
        self.put_template(template(description, TemplateHandler::inline(handler)))
    }

    pub(crate) fn put_template(mut self, entry: Result<TemplateEntry, String>) -> Server {
        match entry {
            Ok(entry) => {
                let (text, normal) = (entry.0.uri_template.clone(), entry.1.normal().to_owned());
                let added = self.registry.templates.add(&normal, entry);
                self.note_twice(added, "resource template", &text)
            }
            Err(problem) => self.note_problem(problem),
        }
    }

    /// Adds a prompt. The handler's first argument is a struct of strings made by [`schema!`](crate::schema!), or `()`;
    /// what it may return says [`IntoPrompt`].
    pub fn prompt<A, R, F>(self, name: &str, description: &str, handler: F) -> Server
    where
        A: Arguments,
        R: IntoPrompt,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.add_prompt(Prompt::new(name, description), handler)
    }

    /// Adds a prompt with all that a [`Prompt`] can say. Arguments that do not fit are refused (−32602).
    pub fn add_prompt<A, R, F>(self, description: Prompt, handler: F) -> Server
    where
        A: Arguments,
        R: IntoPrompt,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.put_prompt(prompt::<A>(description, PromptHandler::inline(handler)))
    }

    pub(crate) fn put_prompt(mut self, entry: Result<PromptEntry, String>) -> Server {
        match entry {
            Ok(entry) => {
                let name = entry.0.name.clone();
                let added = self.registry.add_prompt(entry);
                self.note_twice(added, "prompt", &name)
            }
            Err(problem) => self.note_problem(problem),
        }
    }

    /// Completes an argument of a prompt while the user types (MCP completion): from a list of values, or by a closure.
    /// Arguments that are enums of `schema!` are completed from their values without this. It stays when
    /// [`Handle::add_prompt`](crate::Handle::add_prompt) replaces the prompt, and goes with the prompt when that is removed.
    /// A prompt or argument that is not there when the server starts is a problem that it reports then; the order in which
    /// they are added does not matter, and arguments of handlers that take any JSON are declared by [`Prompt::argument`].
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Review { language: String, file: String } }
    /// let server = Server::new("review", "1.0.0")
    ///     .prompt("review", "Review a file", |Review { language, file }: Review, _| format!("Review {file} ({language})."))
    ///     .complete_prompt("review", "language", ["c", "python", "rust"])
    ///     .complete_prompt("review", "file", |partial: &mcp_rill::Partial| match partial.other("language") {
    ///         Some("rust") => vec![format!("{}.rs", partial.value())],
    ///         _ => vec![],
    ///     });
    /// ```
    pub fn complete_prompt(
        mut self,
        prompt: &str,
        argument: &str,
        completer: impl Completer + 'static,
    ) -> Server {
        self.registry.complete(Completed::Prompt(prompt.to_owned()), argument, completer);
        self
    }

    /// Completes a variable of a resource template, as [`complete_prompt`](Server::complete_prompt); see [`Completer`].
    pub fn complete_template(
        mut self,
        uri_template: &str,
        variable: &str,
        completer: impl Completer + 'static,
    ) -> Server {
        self.registry.complete(Completed::Template(normalize_template(uri_template)), variable, completer);
        self
    }

    fn note_problem(mut self, problem: String) -> Server {
        self.problems.push(problem);
        self
    }

    fn note_twice(mut self, added: bool, kind: &str, name: &str) -> Server {
        if !added {
            self.problems.push(format!("{kind} `{name}` was added twice"));
        }
        self
    }

    /// Everything that is wrong with what was put together, before anything is served.
    ///
    /// # Errors
    /// One sentence for each problem: a name used twice, a schema that is not JSON, completions of what is not there, limits
    /// or paths that cannot be.
    pub(crate) fn checked(mut self) -> Result<Server, String> {
        self.problems.extend(check::check_info(&self.info).err());
        self.problems.extend(check::completion_problems(&mut self.registry));
        self.problems.extend(self.extensions.problems());
        if let Err(problem) = self.limits.check() {
            self.problems.push(problem);
        }
        match self.settings.clone().checked() {
            Ok(settings) => self.settings = settings,
            Err(problem) => self.problems.push(problem),
        }
        if self.problems.is_empty() { Ok(self) } else { Err(self.problems.join("; ")) }
    }
}

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

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("info", &self.info).finish_non_exhaustive()
    }
}
