//! A tour of the parts of a server. This module has no items.
//!
//! *Scope:* the setters of [`Server`], the arguments and results of handlers, and changes while a server runs. *Not in scope:*
//! the first steps, which are in the README, and questions to the client, which are at [`Call`].
//!
//! # Describing a server
//! [`Server`] has a setter for each member of its `initialize` result. [`offer`](crate::Server::offer) adds items that need more
//! than a name and a description:
//!
#![cfg_attr(all(feature = "auth", feature = "browser"), doc = "```")]
#![cfg_attr(not(all(feature = "auth", feature = "browser")), doc = "```ignore")]
//! use mcp_rill::*;
//! let server = Server::new("notes", "1.0.0")
//!     .title("Notes")
//!     .description("Your notes.")
//!     .website_url("https://notes.example")
//!     .icon(Icon::new("https://notes.example/icon.png"))
//!     .offer(Tool::new("count", "Count the notes").read_only(true).handler(|(), _| 2))
//!     .offer(Tool::new("sync", "Sync the notes").open_world(true).blocking_handler(|(), _| "in sync"))
//!     .offer(Resource::new("note:///1", "first").mime_type("text/plain").handler(|_| "milk"))
//!     .offer(ResourceTemplate::new("note:///{id}", "note").title("A note").handler(|_, _| "bread"))
//!     .complete_template("note:///{id}", "id", ["1", "2"])
//!     .offer(Prompt::new("tidy", "Tidy up").title("Tidy up the notes").handler(|(), _| "Tidy up my notes."))
//!     .settings(Settings { base_path: "/notes".into(), ..Settings::default() })
//!     .allow_host("notes.example")
//!     .allow_origin("https://notes.example")
//!     .cors()
//!     .protected_resource(ProtectedResource::new("https://notes.example/mcp", "https://login.example"))
//!     .insecure_public();
//! ```
//!
//! Mistakes in a server are reported together, before anything is served:
//!
//! ```
//! use mcp_rill::{Server, engine::Engine};
//! let server = Server::new("twice", "1.0.0").tool("a", "One", |(), _| 1).tool("a", "Another", |(), _| 2);
//! assert_eq!(Engine::new(server, || 1).unwrap_err(), "tool `a` was added twice");
//! ```
//!
//! [`Settings`] has the paths, hosts and origins of its HTTP side:
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
//! # Arguments and results of handlers
//! [`Arguments`] are read before a tool's handler runs, so that it never sees invalid ones:
//!
//! ```
//! use mcp_rill::{Arguments, schema::Subject};
//! mcp_rill::schema! { struct Add { a: f64, b: f64 } }
//! assert!(<Add as Arguments>::schema().starts_with(r#"{"type":"object","properties":{"a":"#));
//! assert_eq!(<Add as Arguments>::read(Subject::Argument, None).err().as_deref(), Some("missing argument `a` (a number)"));
//! ```
//!
//! Tools return text, numbers, or blocks of [`Content`]. A block's [`Role`]s name its audience:
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
//! A [`ToolResult`] has the rest, such as an error text for the model:
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
//! Handlers can return types of your own that implement [`IntoToolResult`], [`IntoResource`] or [`IntoPrompt`]:
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
//! A prompt of several [`PromptMessage`]s. The description in its [`PromptResult`] is for this result only:
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
//! # Changes while it runs
//! A [`Handle`] adds and removes items, and clients are notified. For other changes, such as new contents of the same resources,
//! call the method that announces them:
//!
//! ```
//! # use mcp_rill::{Handle, ItemKind, Prompt, Resource, ResourceTemplate};
//! # fn f(handle: &Handle) -> mcp_rill::Result<()> {
//! handle.offer(Resource::new("log:///today", "today").handler(|_| "all quiet"))?;
//! handle.offer(ResourceTemplate::new("log:///{day}", "day").handler(|_, _| "all quiet"))?;
//! handle.offer(Prompt::new("sum-up", "Sum up the day").handler(|(), _| "Sum up log:///today."))?;
//! handle.withdraw(ItemKind::Template, "log:///{day}")?;
//! handle.withdraw(ItemKind::Prompt, "sum-up")?;
//! [Handle::tools_changed, Handle::resources_changed, Handle::prompts_changed].map(|tell| tell(handle));
//! # Ok(()) }
//! ```
//!
//! [`Arguments`]: crate::Arguments
//! [`Call`]: crate::Call
//! [`Content`]: crate::Content
//! [`Handle`]: crate::Handle
//! [`IntoPrompt`]: crate::IntoPrompt
//! [`IntoResource`]: crate::IntoResource
//! [`IntoToolResult`]: crate::IntoToolResult
//! [`PromptMessage`]: crate::PromptMessage
//! [`PromptResult`]: crate::PromptResult
//! [`Role`]: crate::Role
//! [`Server`]: crate::Server
//! [`Settings`]: crate::Settings
//! [`ToolResult`]: crate::ToolResult
