//! Descriptions of what a server offers, as in its lists: tools, resources, resource templates, prompts; and of itself.
//!
//! *Scope:* the descriptions and their JSON (MCP schema: `Tool`, `Resource`, `ResourceTemplate`, `Prompt`,
//! `Implementation`). *Not in scope:* the handlers behind them, and the results of calls.
//!
//! Members that a revision does not know (a title before 2025-06-18, icons before 2025-11-25) are sent all the same:
//! every revision's objects are open, and a client that knows the member can use it.

use std::sync::Arc;
use std::time::Duration;

use crate::json::value::JsonBuf;
use crate::json::write::{Object, ToJson};
use crate::protocol::annotations::Annotations;
use crate::protocol::cache::{CacheHint, CacheScope};
use crate::protocol::icon::Icon;
use crate::protocol::meta::{Meta, with_meta};
#[cfg(feature = "stateless")]
use crate::protocol::meta_names::SERVER_INFO;
#[cfg(feature = "stateless")]
use crate::protocol::param_headers::{Annotation, annotations};
use crate::protocol::setters::setters;
use crate::protocol::structured;
use crate::protocol::viewers::Visible;
use crate::schema::shape::Field;

/// Members that all descriptions have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Common {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) icons: Vec<Icon>,
    pub(crate) meta: Meta,
}

impl Common {
    fn write(&self, object: &mut Object<'_>) {
        object
            .member("title", &self.title)
            .member("description", &self.description)
            .member("icons", &self.icons)
            .member("_meta", &self.meta);
    }
}

macro_rules! common {
    ($type:ident) => {
        setters! { $type {
            /// Sets a name for people. Without it clients show the name.
            title(impl Into<String>) => common.title;
            /// Sets the description, which people and models read.
            description(impl Into<String>) => common.description;
            /// Adds an icon.
            icon(Icon) => common.icons;
        } }

        impl $type {
            pub(crate) fn icon_uris(&self) -> impl Iterator<Item = &str> {
                self.common.icons.iter().map(|icon| icon.src())
            }
        }
    };
}

/// The server's description of itself: the `serverInfo` of an `initialize` result (MCP lifecycle).
#[derive(Clone, Debug)]
pub(crate) struct Implementation {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) website_url: Option<String>,
    common: Common,
}

common!(Implementation);

impl Implementation {
    /// A program's name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Implementation {
        Implementation {
            name: name.into(),
            version: version.into(),
            website_url: None,
            common: Common::default(),
        }
    }

    /// The `_meta` of results without a session (MCP 2026-07-28).
    #[cfg(feature = "stateless")]
    pub(crate) fn result_meta(&self) -> String {
        let mut meta = Vec::new();
        Object::new(&mut meta).field(SERVER_INFO, |out| self.write(out));
        String::from_utf8(meta).unwrap_or_default()
    }
}

setters! { Implementation {
    /// Sets the address of the page where people read more.
    website_url(impl Into<String>) => website_url;
} }

impl ToJson for Implementation {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        object.member("name", &self.name).member("version", &self.version);
        self.common.write(&mut object);
        object.member("websiteUrl", &self.website_url);
    }
}

/// A tool's description (MCP tools). With its handler it is an [`Item`](crate::Item), which a server offers.
///
/// ```
/// use mcp_rill::{Icon, Server, Tool};
/// let remove = Tool::new("remove", "Remove a note")
///     .title("Remove a note")
///     .icon(Icon::new("https://notes.example/bin.png"))
///     .destructive(true)
///     .idempotent(true)
///     .open_world(false);
/// let count = Tool::new("count", "Count the notes")
///     .read_only(true)
///     .timeout(std::time::Duration::from_secs(5));
/// let server = Server::new("notes", "1.0.0")
///     .offer(remove.handler(|(), _| "removed"))
///     .offer(count.blocking_handler(|(), _| 2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tool {
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) input_schema: Option<String>,
    pub(crate) output_schema: Option<String>,
    /// The output schema as a value, to check results against.
    pub(crate) output_rules: Option<Arc<JsonBuf>>,
    /// The arguments that clients repeat in header fields.
    #[cfg(feature = "stateless")]
    pub(crate) param_headers: Vec<Annotation>,
    pub(crate) hints: Hints,
    pub(crate) timeout: Option<Duration>,
    pub(crate) visible: Option<Visible>,
}

common!(Tool);
with_meta!(Tool, common.meta);

/// The schema of arguments that may be anything. Some model APIs refuse an object without `properties`.
pub(crate) const ANY_OBJECT: &str = r#"{"type":"object","properties":{}}"#;

/// What a tool does to the world, as far as its author declares it (MCP schema, `ToolAnnotations`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hints {
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

impl ToJson for Hints {
    fn write(&self, out: &mut Vec<u8>) {
        Object::new(out)
            .member("readOnlyHint", &self.read_only)
            .member("destructiveHint", &self.destructive)
            .member("idempotentHint", &self.idempotent)
            .member("openWorldHint", &self.open_world);
    }

    fn is_absent(&self) -> bool {
        *self == Hints::default()
    }
}

impl Tool {
    /// A tool with its name (1 to 128 characters of `A-Z a-z 0-9 _ . - /`) and what it does.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Tool {
        Tool { name: name.into(), ..Tool::default() }.description(description)
    }

    /// Fills in the schemas of the handler's types, where none was set by hand.
    pub(crate) fn with_schemas(mut self, input: impl FnOnce() -> String, output: Option<String>) -> Tool {
        self.input_schema.get_or_insert_with(input);
        self.output_schema = self.output_schema.or(output);
        // A schema that is not JSON is reported before anything is checked against it.
        self.output_rules = self.output_schema.as_deref().and_then(structured::rules).map(Arc::new);
        // As is one with a wrong annotation.
        #[cfg(feature = "stateless")]
        {
            self.param_headers =
                self.input_schema.as_deref().map_or(Ok(Vec::new()), annotations).unwrap_or_default();
        }
        self
    }
}

setters! { Tool {
    /// Sets the JSON Schema of the arguments as text, instead of the one of the handler's argument type. The root must be an
    /// object with `"type": "object"`: the server reports anything else before it serves, since clients refuse the whole list
    /// for it. The text is sent as it is. Arguments are not checked against it; the handler has to do that.
    ///
    /// ```
    /// use mcp_rill::{Server, Tool};
    /// let schema = r#"{"type":"object","properties":{"point":{"type":"array","items":{"type":"number"}}}}"#;
    /// let tool = Tool::new("plot", "Draw a point").input_schema(schema);
    /// let server = Server::new("plot", "1.0.0")
    ///     .offer(tool.handler(|arguments: serde_json::Value, _| format!("a point at {}", arguments["point"])));
    /// ```
    input_schema(impl Into<String>) => input_schema;
    /// Sets the JSON Schema of the structured result as text, instead of the one of [`Json`](crate::Json): for a handler that
    /// returns a [`ToolResult`](crate::ToolResult). Every result but an error must then have structured content that
    /// keeps the schema, or it is answered with an error (−32603); an error result goes out without content that does not. The
    /// root must have `"type": "object"` here too: 2026-07-28 allows others, the revisions before do not.
    ///
    /// ```
    /// use mcp_rill::{Server, Tool, ToolResult};
    /// let tool = Tool::new("dice", "Roll a die")
    ///     .output_schema(r#"{"type":"object","properties":{"eyes":{"type":"integer"}},"required":["eyes"]}"#);
    /// let server = Server::new("dice", "1.0.0")
    ///     .offer(tool.handler(|(), _| ToolResult::text("4").structured(r#"{"eyes":4}"#)));
    /// ```
    output_schema(impl Into<String>) => output_schema;
    /// Declares whether it changes nothing (`readOnlyHint`, by default false).
    read_only(bool) => hints.read_only;
    /// Declares whether it may destroy something (`destructiveHint`, by default true).
    destructive(bool) => hints.destructive;
    /// Declares whether a second call with the same arguments has no further effect (`idempotentHint`, by default false).
    idempotent(bool) => hints.idempotent;
    /// Declares whether it interacts with things outside of the server (`openWorldHint`, by default true).
    open_world(bool) => hints.open_world;
} }

impl ToJson for Tool {
    fn write(&self, out: &mut Vec<u8>) {
        let mut tool = Object::new(out);
        tool.member("name", &self.name);
        self.common.write(&mut tool);
        tool.raw("inputSchema", self.input_schema.as_deref().unwrap_or(ANY_OBJECT));
        if let Some(schema) = &self.output_schema {
            tool.raw("outputSchema", schema);
        }
        tool.member("annotations", &self.hints);
    }
}

/// Members that resources and templates have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct About {
    pub(crate) mime_type: Option<String>,
    pub(crate) annotations: Option<Annotations>,
    pub(crate) cache: CacheHint,
}

impl About {
    fn write(&self, object: &mut Object<'_>) {
        object.member("mimeType", &self.mime_type).member("annotations", &self.annotations);
    }
}

macro_rules! about {
    ($type:ident) => {
        setters! { $type {
            /// Sets the media type, such as `text/markdown`. Contents that the handler returns without one get it.
            mime_type(impl Into<String>) => about.mime_type;
            /// Sets its audience, priority and time of the last change.
            annotations(Annotations) => about.annotations;
        } }

        impl $type {
            /// Sets how long clients may keep its contents, and who may share them (MCP 2026-07-28, caching). Without this they may
            /// not.
            pub fn cache(mut self, ttl: Duration, scope: CacheScope) -> $type {
                self.about.cache = CacheHint { ttl, scope };
                self
            }

            pub(crate) fn check_cache(&self) -> Result<(), String> {
                match self.visible.is_some() && self.about.cache.scope == CacheScope::Public {
                    true => Err("not all clients see it, so its cache scope cannot be public".to_owned()),
                    false => Ok(()),
                }
            }

            pub(crate) fn check_annotations(&self) -> Result<(), String> {
                self.about.annotations.as_ref().map_or(Ok(()), Annotations::check)
            }
        }
    };
}

/// A resource's description (MCP resources), also in a resource link of a tool's result.
///
/// ```
/// use mcp_rill::{Annotations, Icon, Resource, Role, Server};
/// let readme = Resource::new("file:///README.md", "readme")
///     .title("Read me")
///     .description("What this is and how to begin.")
///     .mime_type("text/markdown")
///     .size(1024)
///     .icon(Icon::new("https://files.example/page.png"))
///     .annotations(Annotations::default().audience(Role::User).priority(1.0));
/// let server = Server::new("files", "1.0.0").offer(readme.handler(|_| "# Read me"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub(crate) uri: String,
    name: String,
    size: Option<u64>,
    pub(crate) common: Common,
    pub(crate) about: About,
    pub(crate) timeout: Option<Duration>,
    pub(crate) visible: Option<Visible>,
}

common!(Resource);
with_meta!(Resource, common.meta);
about!(Resource);

impl Resource {
    /// Returns about what it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Resource>() + self.uri.len() + self.name.len()
    }

    /// A resource with its URI, which begins with a scheme such as `note:` (RFC 3986, section 3.1), and name.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Resource {
        Resource { uri: uri.into(), name: name.into(), ..Resource::default() }
    }

    /// Sets how many bytes it has, before any encoding.
    pub fn size(mut self, bytes: u64) -> Resource {
        self.size = Some(bytes);
        self
    }

    /// `name: uri`, for clients that know no resource links.
    pub(crate) fn as_line(&self) -> String {
        format!("{}: {}", self.name, self.uri)
    }

    /// Writes the members that the text form of a link has besides [`as_line`](Resource::as_line).
    pub(crate) fn write_marks(&self, block: &mut Object<'_>) {
        block.member("annotations", &self.about.annotations).member("_meta", &self.common.meta);
    }

    pub(crate) fn write_members(&self, resource: &mut Object<'_>) {
        resource.member("uri", &self.uri).member("name", &self.name);
        self.common.write(resource);
        self.about.write(resource);
        if let Some(size) = self.size {
            resource.int("size", i64::try_from(size).unwrap_or(i64::MAX));
        }
    }
}

impl ToJson for Resource {
    fn write(&self, out: &mut Vec<u8>) {
        self.write_members(&mut Object::new(out));
    }
}

/// The description of a family of resources: a URI template (RFC 6570, level 1) such as `note:///{id}`.
///
/// ```
/// use mcp_rill::{Annotations, Icon, ResourceTemplate, Role, Server};
/// let note = ResourceTemplate::new("note:///{id}", "note")
///     .title("A note")
///     .description("A note by its number.")
///     .mime_type("text/plain")
///     .icon(Icon::new("https://notes.example/note.png"))
///     .annotations(Annotations::default().audience(Role::Assistant));
/// let server = Server::new("notes", "1.0.0")
///     .offer(note.handler(|vars, _| format!("note {}", vars.get("id").unwrap_or_default())));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ResourceTemplate {
    pub(crate) uri_template: String,
    name: String,
    pub(crate) common: Common,
    pub(crate) about: About,
    pub(crate) timeout: Option<Duration>,
    pub(crate) visible: Option<Visible>,
}

common!(ResourceTemplate);
with_meta!(ResourceTemplate, common.meta);
about!(ResourceTemplate);

impl ResourceTemplate {
    /// A family of resources with the template of its URIs, and its name.
    pub fn new(uri_template: impl Into<String>, name: impl Into<String>) -> ResourceTemplate {
        ResourceTemplate {
            uri_template: uri_template.into(),
            name: name.into(),
            ..ResourceTemplate::default()
        }
    }
}

impl ToJson for ResourceTemplate {
    fn write(&self, out: &mut Vec<u8>) {
        let mut template = Object::new(out);
        template.member("uriTemplate", &self.uri_template).member("name", &self.name);
        self.common.write(&mut template);
        self.about.write(&mut template);
    }
}

/// A prompt's description (MCP prompts). Its arguments come from the handler's argument type unless they are given here.
///
/// ```
/// use mcp_rill::{Icon, Prompt, Server, schema};
/// schema! { struct Review { /// The file's path.
///     file: String } }
/// let review = Prompt::new("review", "Review a file")
///     .title("Review")
///     .icon(Icon::new("https://review.example/eye.png"));
/// let server = Server::new("review", "1.0.0")
///     .offer(review.handler(|Review { file }: Review, _| format!("Review {file}.")));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    pub(crate) name: String,
    pub(crate) arguments: Vec<PromptArgument>,
    pub(crate) common: Common,
    pub(crate) timeout: Option<Duration>,
    pub(crate) visible: Option<Visible>,
}

common!(Prompt);
with_meta!(Prompt, common.meta);

impl Prompt {
    /// A prompt with its name and what it is for.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Prompt {
        Prompt { name: name.into(), ..Prompt::default() }.description(description)
    }

    pub(crate) fn description_text(&self) -> Option<&str> {
        self.common.description.as_deref()
    }
}

setters! { Prompt {
    /// Adds an argument by hand, for handlers that take a [`serde_json::Value`].
    argument(PromptArgument) => arguments;
} }

impl ToJson for Prompt {
    fn write(&self, out: &mut Vec<u8>) {
        let mut prompt = Object::new(out);
        prompt.member("name", &self.name);
        self.common.write(&mut prompt);
        prompt.member("arguments", &self.arguments);
    }
}

/// One argument of a prompt. Its value is always text.
///
/// ```
/// use mcp_rill::{Prompt, PromptArgument, Server};
/// let greet = Prompt::new("greet", "Greet somebody")
///     .argument(PromptArgument::new("name").description("Whom to greet.").required())
///     .argument(PromptArgument::new("tone"));
/// let server = Server::new("greet", "1.0.0")
///     .offer(greet.handler(|given: serde_json::Value, _| format!("Greet {}.", given["name"])));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PromptArgument {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    /// All values that it can have, if they are known.
    pub(crate) choices: Vec<String>,
}

impl PromptArgument {
    /// An argument with its name.
    pub fn new(name: impl Into<String>) -> PromptArgument {
        PromptArgument { name: name.into(), ..PromptArgument::default() }
    }

    /// An argument as a struct made by `schema!` declares it.
    pub(crate) fn of_field(field: &Field) -> PromptArgument {
        PromptArgument {
            name: field.name.to_owned(),
            required: field.required(),
            title: None,
            description: field.description(),
            choices: field.choices().map(str::to_owned).collect(),
        }
    }

    /// True if it cannot be an empty string.
    #[cfg(feature = "schemars")]
    pub(crate) fn refuses_empty(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| !choice.is_empty())
    }

    /// Makes it required.
    pub fn required(mut self) -> PromptArgument {
        self.required = true;
        self
    }
}

setters! { PromptArgument {
    /// Sets a name for people. Without it clients show the name.
    title(impl Into<String>) => title;
    /// Sets what it is for.
    description(impl Into<String>) => description;
} }

impl ToJson for PromptArgument {
    fn write(&self, out: &mut Vec<u8>) {
        Object::new(out)
            .member("name", &self.name)
            .member("title", &self.title)
            .member("description", &self.description)
            .member("required", &self.required);
    }
}
