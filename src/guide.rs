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
//! # State that handlers share
//! A closure owns what it captures, so two handlers cannot capture the same map or connection without a lock. Let the server own it:
//! [`Server::with_state`](crate::Server::with_state) has an example of five handlers that use one. Handlers get it first, so methods
//! fit as well as closures:
//!
//! ```
//! use mcp_rill::{Call, Server, Tool};
//! struct Tank { litres: u32 }
//! impl Tank {
//!     fn drain(&mut self, (): (), call: &mut Call) -> u32 {
//!         self.litres = self.litres.saturating_sub(10);
//!         call.handle().resource_updated("tank:///litres");
//!         self.litres
//!     }
//! }
//! let server = Server::with_state("tank", "1.0.0", Tank { litres: 100 })
//!     .offer(Tool::new("drain", "Drain the tank").destructive(true).handler_with_state(Tank::drain))
//!     .resource("tank:///litres", "litres", |tank, _| tank.litres.to_string());
//! ```
//!
//! | who wants it | how |
//! |---|---|
//! | a handler on the loop's thread | `&mut S` is its first argument |
//! | a blocking handler | `&B` is its first argument, of [`Server::shared_state`](crate::Server::shared_state) |
//! | another thread | [`Handle::change_state`](crate::Handle::change_state) |
//!
//! # Who sees what
//! `visible` restricts who sees an item ([`Tool::visible`](crate::Tool::visible) has the details). The closure gets a
//! [`Viewer`](crate::Viewer), and is asked each time:
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::sync::{Arc, Mutex};
//! use mcp_rill::{Resource, ResourceTemplate, Server, Viewer};
//! let staff = Arc::new(Mutex::new(BTreeSet::from(["ada".to_owned()])));
//! let known = staff.clone();
//! let is_staff = move |viewer: &Viewer<'_>| match (viewer.principal(), known.lock()) {
//!     (Some(principal), Ok(staff)) => staff.contains(principal.name()),
//!     _ => false,
//! };
//! let server = Server::new("shop", "1.0.0")
//!     .resource("shop:///hours", "hours", |_| "9 to 5")
//!     .offer(Resource::new("shop:///sales", "sales").visible(is_staff.clone()).handler(|_| "…"))
//!     .offer(ResourceTemplate::new("order:///{id}", "order").visible(is_staff).handler(|_, _| "…"));
//! staff.lock().unwrap().insert("bob".to_owned()); // from here on Bob sees them, too
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
//! [`Handle::replace`](crate::Handle::replace) changes everything at once: it takes the items of a `Server` that was built anew.
//!
//! # Resources that are listed on demand
//! A template's resources can be listed when a client asks for them, instead of adding them one by one. The same template reads
//! them ([`ResourceTemplate::list`](crate::ResourceTemplate::list) has the details):
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::{Arc, Mutex};
//! use mcp_rill::{CallError, Resource, ResourceTemplate, Server};
//! let notes = Arc::new(Mutex::new(BTreeMap::from([("1".to_owned(), "milk".to_owned())])));
//! let listed = notes.clone();
//! let note = ResourceTemplate::new("note:///{id}", "note").list(move |_, _| {
//!     let notes = listed.lock().unwrap();
//!     notes.keys().map(|id| Resource::new(format!("note:///{id}"), id)).collect::<Vec<_>>()
//! });
//! let server = Server::new("notes", "1.0.0").offer(note.handler(move |vars, _| {
//!     let notes = notes.lock().unwrap();
//!     notes.get(vars.get("id").unwrap_or_default()).cloned().ok_or_else(CallError::not_found)
//! }));
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
