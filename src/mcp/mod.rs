//! What the protocol means: revisions, types, the registry of tools, resources and prompts, and the seam between a
//! session and whatever answers it.
//!
//! *Scope:* JSON-RPC methods and their results, per revision. *Not in scope:* how messages travel (that is
//! [`engine`](crate::engine)), sockets, time.
//!
//! ```text
//!            initialize                 notifications/initialized or any request
//!   Fresh ───────────────▶ Initializing ──────────────────────────▶ Operating
//!     └─────────────────────────────────────────────────────────────────▲
//!        any other request: a client that lost its stream goes on without initializing again
//! ```
//!
//! ```
//! use mcp_rill::mcp::Revision;
//! assert_eq!(Revision::negotiate("2025-06-18"), Revision::V2025_06_18);
//! assert_eq!(Revision::negotiate("2031-01-01"), Revision::NEWEST_WITH_SESSIONS);
//! ```
//!
//! # What a server can say of itself
//! [`Server`] has a setter for each member of its `initialize` result, and a long form of each thing that it offers:
//!
//! ```
//! use mcp_rill::*;
//! let server = Server::new("notes", "1.0.0")
//!     .title("Notes")
//!     .description("Your notes.")
//!     .website_url("https://notes.example")
//!     .icon(Icon::new("https://notes.example/icon.png"))
//!     .add_tool(Tool::new("count", "Count the notes").read_only(true), |(), _| 2)
//!     .add_blocking_tool(Tool::new("sync", "Sync the notes").open_world(true), |(), _| "in sync")
//!     .add_resource(Resource::new("note:///1", "first").mime_type("text/plain"), |_| "milk")
//!     .add_template(ResourceTemplate::new("note:///{id}", "note").title("A note"), |_, _| "bread")
//!     .complete_template("note:///{id}", "id", ["1", "2"])
//!     .add_prompt(Prompt::new("tidy", "Tidy up").title("Tidy up the notes"), |(), _| "Tidy up my notes.")
//!     .settings(Settings { base_path: "/notes".into(), ..Settings::default() })
//!     .allow_host("notes.example")
//!     .allow_origin("https://notes.example")
//!     .cors()
//!     .protected_resource(ProtectedResource::new("https://notes.example/mcp", "https://login.example"))
//!     .insecure_public();
//! ```
//!
//! What is wrong with it is said all at once, before anything is served:
//!
//! ```
//! use mcp_rill::{Server, engine::Engine};
//! let server = Server::new("twice", "1.0.0").tool("a", "One", |(), _| 1).tool("a", "Another", |(), _| 2);
//! assert_eq!(Engine::new(server, || 1).unwrap_err(), "tool `a` was added twice");
//! ```
//!
//! [`Settings`] are what its HTTP side takes:
//!
//! ```
//! use mcp_rill::{Server, Settings, engine::Engine};
//! let settings = Settings {
//!     base_path: "/tools".into(),
//!     sse_path: "/events/".into(),
//!     hosts: vec!["tools.example".into()],
//!     origins: vec!["https://app.example".into()],
//!     node_id: "n1".into(),
//!     insecure_public: true,
//!     ..Settings::default()
//! };
//! let engine = Engine::new(Server::new("demo", "1.0.0").settings(settings), || 1)?;
//! assert_eq!(engine.settings().sse_path, "/events"); // served with and without the slash
//! # Ok::<(), String>(())
//! ```
//!
//! # What handlers take and return
//! [`Arguments`] are read before a tool's handler runs, so that what does not fit never reaches it:
//!
//! ```
//! use mcp_rill::{Arguments, schema::Subject};
//! mcp_rill::schema! { struct Add { a: f64, b: f64 } }
//! assert!(<Add as Arguments>::schema().starts_with(r#"{"type":"object","properties":{"a":"#));
//! assert_eq!(<Add as Arguments>::read(Subject::Argument, None).err().as_deref(), Some("missing argument `a` (a number)"));
//! ```
//!
//! Tools give text, numbers, or blocks of [`Content`] for whom [`Role`] says:
//!
//! ```
//! use mcp_rill::{Annotations, Content, Resource, ResourceContents, Role, Server};
//! let server = Server::new("camera", "1.0.0").tool("shoot", "Take a picture", |(), _| {
//!     let (picture, click) = (vec![0x89, b'P', b'N', b'G'], vec![b'R', b'I', b'F', b'F']);
//!     vec![
//!         Content::text("a tree"),
//!         Content::image(picture, "image/png").annotate(Annotations::default().audience(Role::User)),
//!         Content::audio(click, "audio/wav"),
//!         Content::resource(ResourceContents::text("f/8, 1/125 s").uri("camera:///settings")),
//!         Content::link(Resource::new("camera:///album", "album")),
//!     ]
//! });
//! assert_eq!(Content::from("a tree"), Content::text("a tree"));
//! ```
//!
//! A [`ToolResult`] says the rest, such as what went wrong in words for the model:
//!
//! ```
//! use mcp_rill::{Content, IntoToolResult, ToolResult};
//! fn found(files: Vec<String>) -> ToolResult {
//!     match files.len() {
//!         0 => ToolResult::error("nothing found; try a shorter name"),
//!         n => ToolResult::blocks(files.into_iter().map(Content::text).collect()).structured(format!(r#"{{"n":{n}}}"#)),
//!     }
//! }
//! assert_eq!("a.txt".into_tool_result().ok(), Some(ToolResult::text("a.txt"))); // what returning text means
//! ```
//!
//! Types of your own can be returned as well, by [`IntoToolResult`], [`IntoResource`] and [`IntoPrompt`]:
//!
//! ```
//! use mcp_rill::{CallError, IntoToolResult, Server, ToolResult};
//! struct Celsius(f64);
//! impl IntoToolResult for Celsius {
//!     fn into_tool_result(self) -> Result<ToolResult, CallError> {
//!         Ok(ToolResult::text(format!("{} °C", self.0)))
//!     }
//! }
//! let server = Server::new("weather", "1.0.0").tool("now", "The temperature", |(), _| Celsius(21.5));
//! let failed = Err::<Celsius, _>("the sensor is off").into_tool_result();
//! assert_eq!(failed.ok(), Some(ToolResult::error("the sensor is off"))); // for the model to read
//! ```
//!
//! ```
//! use mcp_rill::{CallError, IntoResource, ResourceContents, Server};
//! struct Page(String);
//! impl IntoResource for Page {
//!     fn into_resource(self) -> Result<Vec<ResourceContents>, CallError> {
//!         Ok(vec![ResourceContents::text(self.0).mime_type("text/html")])
//!     }
//! }
//! let server = Server::new("web", "1.0.0").resource("web:///", "home", |_| Page("<h1>Rill</h1>".into()));
//! assert_eq!(b"\0".to_vec().into_resource().ok(), Some(vec![ResourceContents::blob(*b"\0")]));
//! ```
//!
//! ```
//! use mcp_rill::{CallError, IntoPrompt, PromptMessage, PromptResult, Server};
//! struct Quiz(&'static str);
//! impl IntoPrompt for Quiz {
//!     fn into_prompt(self) -> Result<PromptResult, CallError> {
//!         vec![PromptMessage::user(self.0), PromptMessage::assistant("Let me think.")].into_prompt()
//!     }
//! }
//! let server = Server::new("quiz", "1.0.0").prompt("quiz", "A question", |(), _| Quiz("Why is the sky blue?"));
//! assert_eq!("Why?".into_prompt().ok(), Some(PromptResult::new(vec![PromptMessage::user("Why?")])));
//! ```
//!
//! A prompt of several [`PromptMessage`]s, with a description for this time only in its [`PromptResult`]:
//!
//! ```
//! use mcp_rill::{Content, PromptMessage, PromptResult, Server};
//! let server = Server::new("tutor", "1.0.0").prompt("look", "Talk about a picture", |(), _| {
//!     let picture = Content::image([0x89], "image/png");
//!     let messages = vec![PromptMessage::user(picture), PromptMessage::assistant("I see a tree.")];
//!     PromptResult::new(messages).description("A tree")
//! });
//! ```
//!
//! # What changes while it runs
//! A [`Handle`] adds and removes, and clients are told. Where something else about a list is new, such as what its
//! handlers now give, say so:
//!
//! ```
//! # use mcp_rill::{Handle, Prompt, Resource, ResourceTemplate};
//! # fn f(handle: &Handle) -> mcp_rill::Result<()> {
//! handle.add_resource(Resource::new("log:///today", "today"), |_| "all quiet")?;
//! handle.add_template(ResourceTemplate::new("log:///{day}", "day"), |_, _| "all quiet")?;
//! handle.add_prompt(Prompt::new("sum-up", "Sum up the day"), |(), _| "Sum up log:///today.")?;
//! handle.remove_template("log:///{day}")?;
//! handle.remove_prompt("sum-up")?;
//! [Handle::tools_changed, Handle::resources_changed, Handle::prompts_changed].map(|tell| tell(handle));
//! # Ok(()) }
//! ```

mod annotations;
mod answer;
mod arguments;
mod ask;
mod asked;
mod authorize;
mod base64;
mod blocking;
mod cache;
mod call;
mod calls;
mod check;
mod complete;
mod content;
mod defer;
mod dispatch;
mod extensions;
mod failure;
mod forms;
mod handle;
mod handler;
mod handlers;
mod headers;
mod icon;
mod jobs;
mod listen;
mod mail;
pub(crate) mod meta;
mod permit;
mod prompt;
mod protected;
mod registry;
mod reply;
mod rounds;
mod sample;
mod seal;
mod server;
mod service;
mod session;
mod settings;
mod stateless;
mod structured;
mod subscriptions;
mod timeouts;
mod tokens;
#[cfg(feature = "schemars")]
mod typed;
mod types;
pub mod uri;
mod uri_syntax;
mod verdict;
mod workers;

pub use annotations::{Annotations, Role};
pub use answer::{Answer, Elicited, Root, Unavailable};
pub use arguments::Arguments;
pub(crate) use authorize::Authorize;
pub use authorize::{Denied, HttpRequest};
#[cfg(feature = "net")]
pub(crate) use base64::encode as encode_base64;
pub use cache::CacheScope;
pub use call::Call;
pub use complete::{Completer, Partial};
pub use content::{Content, IntoResource, IntoToolResult, Json, ResourceContents, ToolResult};
pub use defer::{Deferred, IntoReply, Outcome, Reply};
pub(crate) use dispatch::Dispatch;
pub use failure::CallError;
pub use handle::{Ended, Full, Handle};
#[cfg(feature = "net")]
pub(crate) use headers::{Annotation, annotations};
pub(crate) use headers::{
    HEADER_MISMATCH, check as check_header, check_coded as check_coded_header, check_uri as check_uri_header,
};
pub use icon::Icon;
pub use jobs::Jobs;
pub use prompt::{IntoPrompt, PromptMessage, PromptResult};
pub use protected::ProtectedResource;
pub(crate) use protected::WELL_KNOWN;
pub use reply::Level;
pub(crate) use reply::Mailbox;
pub use sample::{Sample, Sampled, ToolChoice, ToolUse};
pub use seal::StateKey;
pub use server::{List, Server};
pub use service::{Audience, CallKey, Incoming, Outbox, Outgoing, Service, SessionKey, Slot};
pub use session::{Capabilities, ClientInfo, Peer, Principal, Session};
pub use settings::Settings;
pub(crate) use settings::{NODE_ID_CHARS_MAX, is_node_id};
pub(crate) use stateless::Envelope;
pub use tokens::Tokens;
#[cfg(feature = "schemars")]
pub use typed::Typed;
pub use types::{Implementation, Prompt, PromptArgument, Resource, ResourceTemplate, Tool};

/// What a handler may return: any value of [`IntoToolResult`] and its kin, or any error.
///
/// In a closure that uses `?`, write the return type as `mcp_rill::Result<_>`.
///
/// ```
/// use mcp_rill::{Result, Server};
/// let server = Server::new("machine", "1.0.0").tool("name", "The machine's name", |(), _| -> Result<_> {
///     Ok(std::fs::read_to_string("/etc/hostname")?)
/// });
/// ```
pub type Result<T = ToolResult, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// A revision of the protocol, oldest first.
///
/// ```
/// use mcp_rill::Revision;
/// assert!(Revision::V2025_03_26 < Revision::NEWEST);
/// assert_eq!(Revision::named("2025-06-18"), Some(Revision::V2025_06_18));
/// assert_eq!(Revision::ALL.map(Revision::name)[0], "2024-11-05");
/// assert!(Revision::NEWEST_WITH_SESSIONS.has_sessions() && !Revision::NEWEST.has_sessions());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types, reason = "the names are dates")]
pub enum Revision {
    /// 2024-11-05: HTTP+SSE.
    V2024_11_05,
    /// 2025-03-26: audio, tool annotations, batches.
    V2025_03_26,
    /// 2025-06-18: structured results, resource links, elicitation, titles.
    V2025_06_18,
    /// 2025-11-25: icons, tools in sampling, url elicitation.
    V2025_11_25,
    /// 2026-07-28: no sessions; every request says who asks, and questions travel in results.
    V2026_07_28,
}

impl Revision {
    /// The newest revision.
    pub const NEWEST: Revision = Revision::V2026_07_28;

    /// The newest revision that has sessions, which begin with `initialize`.
    pub const NEWEST_WITH_SESSIONS: Revision = Revision::V2025_11_25;

    /// All revisions, oldest first.
    pub const ALL: [Revision; 5] = [
        Revision::V2024_11_05,
        Revision::V2025_03_26,
        Revision::V2025_06_18,
        Revision::V2025_11_25,
        Revision::V2026_07_28,
    ];

    /// The revision of that name, such as `2025-06-18`; `None` if it is not served.
    pub fn named(name: &str) -> Option<Revision> {
        Revision::ALL.into_iter().find(|revision| revision.name() == name)
    }

    /// What a server answers to an `initialize` that asks for `name`: the same if it is served and has sessions, else
    /// the newest that has (MCP lifecycle, version negotiation).
    ///
    /// ```
    /// # use mcp_rill::Revision;
    /// assert_eq!(Revision::negotiate("2031-01-01"), Revision::NEWEST_WITH_SESSIONS);
    /// ```
    pub fn negotiate(name: &str) -> Revision {
        let asked = Revision::named(name).filter(|revision| revision.has_sessions());
        asked.unwrap_or(Revision::NEWEST_WITH_SESSIONS)
    }

    /// Whether clients begin with `initialize`, and the server remembers them. Since 2026-07-28 each request stands
    /// alone (MCP 2026-07-28, basic).
    pub fn has_sessions(self) -> bool {
        self <= Revision::NEWEST_WITH_SESSIONS
    }

    /// The name on the wire: the date of the revision, such as `2025-06-18`.
    pub fn name(self) -> &'static str {
        match self {
            Revision::V2024_11_05 => "2024-11-05",
            Revision::V2025_03_26 => "2025-03-26",
            Revision::V2025_06_18 => "2025-06-18",
            Revision::V2025_11_25 => "2025-11-25",
            Revision::V2026_07_28 => "2026-07-28",
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
