//! What handlers return, and its JSON in each revision.
//!
//! *Scope:* content blocks, resource contents, tool results, and the traits that make them of other values.
//! *Not in scope:* the envelope around a result.
//!
//! Clients check content blocks against the closed list of types that their revision knows, so newer types are sent in
//! an older form: audio becomes an embedded resource before 2025-03-26, a resource link becomes text before 2025-06-18.
//! Structured content is left out before 2025-06-18.

use std::borrow::Cow;
use std::error::Error;

use serde_core::Serialize;
use serde_json::Value;

use crate::json::value::JsonRef;
use crate::json::write::{Object, write_list};
use crate::json::write_str;
use crate::protocol::annotations::Annotations;
use crate::protocol::check::check_resource;
use crate::protocol::description::Resource;
use crate::protocol::error::CallError;
use crate::protocol::meta::{Meta, with_meta};
use crate::protocol::revision::Revision;
use crate::protocol::setters::setters;
use crate::protocol::{structured, uri_syntax};
use crate::{base64, json, schema};

/// A block of content in a tool's result or a prompt's message: [all kinds](crate::guide#what-handlers-take-and-return).
///
/// ```
/// use mcp_rill::Content;
/// let answer = vec![Content::text("a tree"), Content::image([0x89, 0x50, 0x4E, 0x47], "image/png")];
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    kind: Block,
    annotations: Option<Box<Annotations>>,
    meta: Meta,
}

#[derive(Clone, Debug, PartialEq)]
enum Block {
    Text(Cow<'static, str>),
    Image { data: Vec<u8>, mime_type: Cow<'static, str> },
    Audio { data: Vec<u8>, mime_type: Cow<'static, str> },
    Embedded(Box<ResourceContents>),
    Link(Box<Resource>),
}

impl Content {
    /// A block of text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Content {
        Block::Text(text.into()).into()
    }

    /// A picture: the bytes of its file, which are sent in base64, and their media type.
    pub fn image(data: impl Into<Vec<u8>>, mime_type: impl Into<Cow<'static, str>>) -> Content {
        Block::Image { data: data.into(), mime_type: mime_type.into() }.into()
    }

    /// A sound: the bytes of its file, which are sent in base64, and their media type.
    pub fn audio(data: impl Into<Vec<u8>>, mime_type: impl Into<Cow<'static, str>>) -> Content {
        Block::Audio { data: data.into(), mime_type: mime_type.into() }.into()
    }

    /// A resource with its contents.
    pub fn resource(contents: ResourceContents) -> Content {
        Block::Embedded(Box::new(contents)).into()
    }

    /// A link to a resource that the client can read.
    pub fn link(resource: Resource) -> Content {
        Block::Link(Box::new(resource)).into()
    }

    /// Sets the annotations of the block. Those of a link replace the resource's own.
    pub fn annotate(mut self, annotations: Annotations) -> Content {
        match self.kind {
            Block::Link(link) => Content::link(link.annotations(annotations)),
            _ => {
                self.annotations = Some(Box::new(annotations));
                self
            }
        }
    }

    /// Adds a member to its `_meta`, for clients that know it: any JSON value, which is sent as it is, in every revision.
    /// A name of your own begins with a domain, as in `com.example/price` (MCP basic, `_meta`). The same name again replaces
    /// the value; the `_meta` of a link is that of its resource.
    ///
    /// ```
    /// let content = mcp_rill::Content::text("12 €").meta("com.example/price", serde_json::json!({ "cents": 1200 }));
    /// ```
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<Value>) -> Content {
        match self.kind {
            Block::Link(link) => Content::link(link.meta(name, value)),
            _ => {
                self.meta.set(name.into(), value.into());
                self
            }
        }
    }

    /// Checks for things that make clients refuse the whole message.
    ///
    /// # Errors
    /// A sentence that names it.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.kind {
            Block::Embedded(contents) => contents.check_embedded()?,
            Block::Link(link) => check_resource(link)?,
            Block::Text(_) | Block::Image { .. } | Block::Audio { .. } => {}
        }
        self.annotations.as_deref().map_or(Ok(()), Annotations::check)
    }

    /// The name of the block's type, if a message to a model cannot have it (MCP schema, `SamplingMessage`).
    pub(crate) fn unfit_for_models(&self) -> Option<&'static str> {
        match &self.kind {
            Block::Text(_) | Block::Image { .. } | Block::Audio { .. } => None,
            Block::Embedded(_) => Some("a resource"),
            Block::Link(_) => Some("a link to a resource"),
        }
    }

    /// Returns about what it holds: its text or bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = match &self.kind {
            Block::Text(text) => bytes_of(text),
            Block::Image { data, .. } | Block::Audio { data, .. } => data.capacity(),
            Block::Embedded(contents) => contents.held_bytes(),
            Block::Link(link) => link.held_bytes(),
        };
        size_of::<Content>() + held
    }

    pub(crate) fn is_audio(&self) -> bool {
        matches!(self.kind, Block::Audio { .. })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut block = Object::new(out);
        match &self.kind {
            Block::Text(text) => {
                block.str("type", "text").str("text", text);
            }
            Block::Image { data, mime_type } => write_media(&mut block, "image", data, mime_type),
            Block::Audio { data, mime_type } if revision < Revision::V2025_03_26 => {
                let contents =
                    ResourceContents::blob(data.clone()).uri("attachment:audio").mime_type(mime_type.clone());
                block.str("type", "resource").field("resource", |out| contents.write(out, "", None));
            }
            Block::Audio { data, mime_type } => write_media(&mut block, "audio", data, mime_type),
            Block::Embedded(contents) => {
                block.str("type", "resource").field("resource", |out| contents.write(out, "", None));
            }
            Block::Link(link) if revision < Revision::V2025_06_18 => {
                block.str("type", "text").str("text", &link.as_line());
                link.write_marks(&mut block);
            }
            Block::Link(link) => {
                block.str("type", "resource_link");
                link.write_members(&mut block);
            }
        }
        block.member("annotations", &self.annotations.as_deref()).member("_meta", &self.meta);
    }
}

fn write_media(block: &mut Object<'_>, kind: &str, data: &[u8], mime_type: &str) {
    block.str("type", kind).field("data", |out| write_base64(out, data));
    block.str("mimeType", mime_type);
}

impl From<Block> for Content {
    fn from(kind: Block) -> Content {
        Content { kind, annotations: None, meta: Meta::EMPTY }
    }
}

/// The contents of one resource: text, or bytes.
///
/// ```
/// use mcp_rill::ResourceContents;
/// let page = ResourceContents::text("<p>Hello</p>").mime_type("text/html");
/// let icon = ResourceContents::blob([0, 1, 2]).mime_type("image/png").uri("icon:///small");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceContents {
    uri: Option<String>,
    mime_type: Option<Cow<'static, str>>,
    body: Body,
    meta: Meta,
}

with_meta!(ResourceContents, meta);

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Text(Cow<'static, str>),
    Blob(Vec<u8>),
}

impl ResourceContents {
    /// Contents of text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> ResourceContents {
        Body::Text(text.into()).into()
    }

    /// Contents of bytes, which are sent in base64.
    pub fn blob(bytes: impl Into<Vec<u8>>) -> ResourceContents {
        Body::Blob(bytes.into()).into()
    }

    /// Checks the URI, if there is one.
    ///
    /// # Errors
    /// A sentence that names it.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.uri.as_deref().map_or(Ok(()), |uri| {
            uri_syntax::check(uri).map_err(|problem| format!("contents of `{uri}`: {problem}"))
        })
    }

    fn check_embedded(&self) -> Result<(), String> {
        match self.uri {
            Some(_) => self.check(),
            None => {
                Err("an embedded resource without a URI: say whose contents they are with `uri`".to_owned())
            }
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, uri: &str, mime_type: Option<&str>) {
        let mut contents = Object::new(out);
        contents.str("uri", self.uri.as_deref().unwrap_or(uri));
        contents.opt_str("mimeType", self.mime_type.as_deref().or(mime_type));
        match &self.body {
            Body::Text(text) => contents.str("text", text),
            Body::Blob(bytes) => contents.field("blob", |out| write_base64(out, bytes)),
        };
        contents.member("_meta", &self.meta);
    }
}

setters! { ResourceContents {
    /// Sets the URI of the resource. Without it, it is the URI that was asked for.
    uri(impl Into<String>) => uri;
    /// Sets the media type. Without it, it is that of the resource's description.
    mime_type(impl Into<Cow<'static, str>>) => mime_type;
} }

impl From<Body> for ResourceContents {
    fn from(body: Body) -> ResourceContents {
        ResourceContents { uri: None, mime_type: None, body, meta: Meta::EMPTY }
    }
}

/// The result of a tool's call: content for the model, optionally a structured value, and whether it is an error.
///
/// Handlers rarely [name this type](crate::guide#what-handlers-take-and-return): they return a type of [`IntoToolResult`].
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    content: Blocks,
    structured: Option<String>,
    is_error: bool,
    pub(crate) meta: Meta,
}

with_meta!(ToolResult, meta);

/// One text is by far the most frequent result, and needs no vector.
#[derive(Clone, Debug, PartialEq)]
enum Blocks {
    Text(Cow<'static, str>),
    Many(Vec<Content>),
}

impl ResourceContents {
    /// Returns about what they hold: their text or bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = match &self.body {
            Body::Text(text) => bytes_of(text),
            Body::Blob(data) => data.capacity(),
        };
        size_of::<ResourceContents>() + held
    }
}

/// Returns what a text holds: an owned one all that it has room for.
#[expect(clippy::ptr_arg, reason = "the capacity of an owned one counts")]
fn bytes_of(text: &Cow<'static, str>) -> usize {
    match text {
        Cow::Owned(text) => text.capacity(),
        Cow::Borrowed(text) => text.len(),
    }
}

impl ToolResult {
    /// Returns about what it holds: its texts and bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let content = match &self.content {
            Blocks::Text(text) => bytes_of(text),
            Blocks::Many(blocks) => blocks.iter().map(Content::held_bytes).sum(),
        };
        content + self.structured.as_ref().map_or(0, String::capacity)
    }

    /// A result of one text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> ToolResult {
        Blocks::Text(text.into()).into()
    }

    /// An error that the model reads and can react to (`isError`), unlike a protocol error.
    pub fn error(text: impl Into<Cow<'static, str>>) -> ToolResult {
        ToolResult { is_error: true, ..ToolResult::text(text) }
    }

    /// A result of several blocks.
    pub fn blocks(content: Vec<Content>) -> ToolResult {
        Blocks::Many(content).into()
    }

    /// A structured result of any serializable type: the value as JSON text for the model, and as structured content.
    ///
    /// # Errors
    /// −32603 if the value has no JSON form: a float in it that is not finite is named by its path.
    ///
    /// ```
    /// use mcp_rill::{Server, Tool, ToolResult};
    /// let tool = Tool::new("dice", "Roll a die")
    ///     .output_schema(r#"{"type":"object","properties":{"eyes":{"type":"integer"}},"required":["eyes"]}"#);
    /// let server = Server::new("dice", "1.0.0")
    ///     .offer(tool.handler(|(), _| ToolResult::json(&serde_json::json!({ "eyes": 4 }))));
    ///
    /// let error = ToolResult::json(&[[0.5, f64::NAN]]).unwrap_err();
    /// assert!(error.to_string().contains("the number `[0][1]` is NaN"));
    /// ```
    pub fn json(value: &(impl Serialize + ?Sized)) -> std::result::Result<ToolResult, CallError> {
        let text = json::text(value).map_err(unsendable)?;
        Ok(ToolResult::text(text.clone()).structured(text))
    }

    /// Checks the structured content against the tool's output schema. An error result that does not fit loses its content.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence about the tool.
    pub(crate) fn check(
        &mut self,
        rules: Option<JsonRef<'_>>,
        revision: Revision,
    ) -> std::result::Result<(), String> {
        match structured::check(self.structured.as_deref(), rules, revision) {
            Err(_) if self.is_error => {
                self.structured = None;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// True if it is an error that the model reads (`isError`).
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// Its blocks, for a wrapper or a test.
    ///
    /// ```
    /// use mcp_rill::{Content, ToolResult};
    /// let result = ToolResult::text("4").structured(r#"{"eyes":4}"#);
    /// assert_eq!(result.content().collect::<Vec<_>>(), [Content::text("4")]);
    /// assert_eq!((result.structured_content(), result.is_error()), (Some(r#"{"eyes":4}"#), false));
    /// ```
    pub fn content(&self) -> impl Iterator<Item = Content> + '_ {
        let (text, many) = match &self.content {
            Blocks::Text(text) => (Some(Content::text(text.clone())), &[][..]),
            Blocks::Many(content) => (None, content.as_slice()),
        };
        text.into_iter().chain(many.iter().cloned())
    }

    /// The structured content, as JSON text.
    pub fn structured_content(&self) -> Option<&str> {
        self.structured.as_deref()
    }

    /// The text of an error result; empty if it has several blocks. `None` if it is no error.
    pub(crate) fn error_text(&self) -> Option<&str> {
        self.is_error.then_some(match &self.content {
            Blocks::Text(text) => text,
            Blocks::Many(_) => "",
        })
    }

    /// As [`Content::check`].
    pub(crate) fn check_blocks(&self) -> Result<(), String> {
        match &self.content {
            Blocks::Text(_) => Ok(()),
            Blocks::Many(content) => content.iter().try_for_each(Content::check),
        }
    }

    /// Appends the result without its `_meta`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut result = match &self.content {
            Blocks::Text(text) => {
                out.extend_from_slice(br#"{"content":[{"type":"text","text":"#);
                write_str(out, text);
                Object::begun(out, b"}]")
            }
            Blocks::Many(content) => {
                let mut result = Object::new(out);
                result.field("content", |out| {
                    write_list(out, content, |block, out| block.write(out, revision))
                });
                result
            }
        };
        if let Some(structured) = &self.structured
            && revision >= Revision::V2025_06_18
        {
            result.raw("structuredContent", structured);
        }
        if self.is_error {
            result.written(r#""isError":true"#);
        }
    }
}

setters! { ToolResult {
    /// Adds `structuredContent`: JSON as text, and an object unless all clients speak 2026-07-28. Text that is not JSON, that
    /// has a number out of range (`1e999`) or a member twice, or that breaks the tool's output schema, is answered with an error (−32603) in its place; an error result goes out
    /// without it.
    structured(impl Into<String>) => structured;
} }

impl From<Blocks> for ToolResult {
    fn from(content: Blocks) -> ToolResult {
        ToolResult { content, structured: None, is_error: false, meta: Meta::EMPTY }
    }
}

/// A structured result: its type determines the tool's `outputSchema`, its value is sent as `structuredContent` and, for
/// clients before 2025-06-18, as JSON text (MCP tools, structured content). A float in it that is not finite is an error
/// (−32603) that names the field.
///
/// ```
/// use mcp_rill::{Json, Server, schema};
/// schema! { struct City { name: String } }
/// schema! { struct Weather { /// In degrees Celsius.
///     temperature: f64, raining: bool } }
/// let server = Server::new("weather", "1.0.0")
///     .tool("weather", "The weather in a city", |City { name: _ }: City, _| Json(Weather { temperature: 21.5, raining: false }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A type that a tool's handler may return.
///
/// Implemented for text, numbers (a float that is not finite is an error, −32603), `bool`, `()` (no content), [`Content`], `Vec<Content>`, [`Json`], [`ToolResult`], and
/// `Result` of any of them: an error becomes a result with `isError` that the model reads, except a [`CallError`] of its
/// constructors, which becomes a protocol error.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    note = "return text, a number, a bool, `()`, `Content`, `Vec<Content>`, `Json<T>`, `ToolResult` \
            (`ToolResult::json(&value)` takes any `Serialize`), `serde_json::Value`, `Typed<T>` (feature `schemars`), \
            `Deferred`, or a `Result` of one of them",
    note = "handlers are not async: give a future to a runtime of yours, and its `Reply` with it, by `call.defer(|reply| …)`"
)]
pub trait IntoToolResult {
    /// Returns the JSON Schema of the structured content, if the type has one.
    fn output_schema() -> Option<String> {
        None
    }

    /// Returns the result.
    ///
    /// # Errors
    /// A [`CallError`] is answered as a JSON-RPC error.
    fn into_tool_result(self) -> std::result::Result<ToolResult, CallError>;
}

/// The value as JSON text for the model, and where it is an object as structured content, too.
///
/// ```
/// use mcp_rill::{IntoToolResult, Server};
/// use serde_json::json;
/// let server = Server::new("dice", "1.0.0").tool("roll", "Roll a die", |(), _| json!({ "eyes": 4 }));
/// assert_eq!(json!([1, 2]).into_tool_result().unwrap().structured_content(), None);
/// ```
impl IntoToolResult for Value {
    fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
        let result = ToolResult::json(&self)?;
        // Before 2026-07-28 structured content is an object.
        Ok(if self.is_object() { result } else { ToolResult { structured: None, ..result } })
    }
}

impl<T: schema::Object> IntoToolResult for Json<T> {
    fn output_schema() -> Option<String> {
        Some(schema::output_text::<T>())
    }

    fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
        let text = schema::finite_json(&self.0).map_err(unsendable)?;
        Ok(ToolResult::text(text.clone()).structured(text))
    }
}

impl<T: IntoToolResult, E: Into<Box<dyn Error + Send + Sync>>> IntoToolResult for std::result::Result<T, E> {
    fn output_schema() -> Option<String> {
        T::output_schema()
    }

    fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
        match self {
            Ok(value) => value.into_tool_result(),
            Err(error) => CallError::from_any(error.into()).map(ToolResult::error),
        }
    }
}

/// A type that a resource's handler may return: text, bytes, [`ResourceContents`], a `Vec` of it, or a `Result` of one of them.
#[diagnostic::on_unimplemented(
    message = "a resource cannot return `{Self}`",
    note = "return text, `Vec<u8>`, `ResourceContents`, `Vec<ResourceContents>`, or a `Result` of one of them",
    note = "handlers are not async: give a future to a runtime of yours, and its `Reply` with it, by `call.defer(|reply| …)`"
)]
pub trait IntoResource {
    /// Returns the contents.
    ///
    /// # Errors
    /// Any error is answered as a JSON-RPC error: a [`CallError`] with its own code, an [`io::Error`](std::io::Error) of kind
    /// [`NotFound`](std::io::ErrorKind::NotFound) as [`CallError::not_found`], others as internal errors.
    fn into_resource(self) -> std::result::Result<Vec<ResourceContents>, CallError>;
}

impl<T: IntoResource, E: Into<Box<dyn Error + Send + Sync>>> IntoResource for std::result::Result<T, E> {
    fn into_resource(self) -> std::result::Result<Vec<ResourceContents>, CallError> {
        self.map_err(|error| CallError::of_resource(error.into()))?.into_resource()
    }
}

/// The error of a handler whose result has no JSON form.
pub(crate) fn unsendable(problem: String) -> CallError {
    CallError::internal(format!("the result cannot be sent: {problem}"))
}

/// Writes `bytes` as a JSON string of base64.
fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    base64::encode(out, bytes);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(content: &Content, revision: Revision) -> String {
        let mut out = Vec::new();
        content.write(&mut out, revision);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn newer_blocks_are_sent_in_an_older_form() {
        let audio = Content::audio([1, 2, 3], "audio/wav");
        assert_eq!(
            json(&audio, Revision::V2024_11_05),
            r#"{"type":"resource","resource":{"uri":"attachment:audio","mimeType":"audio/wav","blob":"AQID"}}"#
        );
        assert_eq!(
            json(&audio, Revision::V2025_03_26),
            r#"{"type":"audio","data":"AQID","mimeType":"audio/wav"}"#
        );
        let link = Content::link(Resource::new("note:///1", "one"));
        assert_eq!(json(&link, Revision::V2025_03_26), r#"{"type":"text","text":"one: note:///1"}"#);
        assert_eq!(
            json(&link, Revision::V2025_06_18),
            r#"{"type":"resource_link","uri":"note:///1","name":"one"}"#
        );
    }

    #[test]
    fn a_text_counts_with_all_that_it_has_room_for() {
        let roomy = || {
            let mut text = String::with_capacity(10_000);
            text.push_str("{}");
            text
        };
        assert!(ToolResult::text(roomy()).held_bytes() >= 10_000);
        assert!(ToolResult::text("{}").structured(roomy()).held_bytes() >= 10_000);
        assert!(
            ToolResult::blocks(vec![Content::text(roomy()), Content::text(roomy())]).held_bytes() >= 10_000
        );
        assert!(ResourceContents::text(roomy()).held_bytes() >= 10_000);
    }

    #[test]
    fn structured_content_is_for_revisions_that_know_it() {
        let result = ToolResult::text("{}").structured("{}");
        let text = |revision| {
            let mut out = Vec::new();
            result.write(&mut out, revision);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Revision::V2025_03_26), r#"{"content":[{"type":"text","text":"{}"}]}"#);
        assert!(text(Revision::V2025_06_18).contains(r#""structuredContent":{}"#));
    }
}
