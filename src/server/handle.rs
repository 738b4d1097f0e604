//! A hold on the running server for other threads.
//!
//! *Scope:* [`Handle`]: what changed, logs, tools, resources and prompts that come and go, the end.
//! *Not in scope:* what becomes of it: the mailbox carries it to the loop, and `handler_service` acts on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::content::{IntoResource, IntoToolResult};
use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::level::Level;
use crate::protocol::list_kind::ListKind;
use crate::protocol::prompt::IntoPrompt;
use crate::protocol::result::Result;
use crate::protocol::state_key::{Seal, StateKey};
use crate::protocol::uri::Vars;
use crate::protocol::uri::normal::normalize;
use crate::server::arguments::Arguments;
use crate::server::call::Call;
use crate::server::handler::{PromptHandler, ResourceHandler, TemplateHandler, ToolHandler};
use crate::server::mailbox::{Change, Mailbox};
use crate::server::registry::{self, PromptEntry, Registry, ResourceEntry, TemplateEntry, ToolEntry};

/// The loop has not kept up with what a [`Handle`] wants of it (limit `mailbox_max`). What was wanted is not done.
///
/// ```
/// use mcp_rill::{MailboxFull, Handle};
/// fn remove(handle: &Handle, tool: &str) {
///     while handle.remove_tool(tool).is_err_and(|error| error.is::<MailboxFull>()) {
///         std::thread::sleep(std::time::Duration::from_millis(50));
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxFull;

impl fmt::Display for MailboxFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many changes are waiting (limit mailbox_max); try again")
    }
}

impl std::error::Error for MailboxFull {}

/// The server has ended, so what was wanted of it by a [`Handle`] is not done.
///
/// ```
/// use mcp_rill::{Ended, Handle, Tool};
/// fn offer(handle: &Handle, plugins: std::sync::mpsc::Receiver<String>) {
///     for name in plugins {
///         match handle.add_tool(Tool::new(name, "A plugin"), |(), _| "done") {
///             Err(error) if error.is::<Ended>() => return,
///             Err(error) => eprintln!("{error}"),
///             Ok(()) => {}
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server has ended")
    }
}

impl std::error::Error for Ended {}

/// A hold on a running server for any thread, from `Listening::handle` or [`Engine::handle`](crate::engine::core::Engine::handle).
/// Nothing here blocks; what is asked for is done in the loop's next turn. Once the server has ended, what returns a result
/// returns [`Ended`], and the rest does nothing.
/// The [module](crate::mcp#what-changes-while-it-runs) shows the rest of it.
///
/// ```
/// use mcp_rill::{Level, Now, Server, Tool, engine::Engine};
/// # fn main() -> mcp_rill::Result<()> {
/// let mut engine = Engine::new(Server::new("demo", "1.0.0").resource("demo:///n", "n", |_| "1"), || 1)?;
/// let handle = engine.handle();
/// std::thread::spawn(move || -> mcp_rill::Result<()> {
///     handle.resource_updated("demo:///n");
///     handle.log(Level::Warning, "low battery");
///     handle.log_as(Level::Info, "power", "charging");
///     handle.add_tool(Tool::new("hello", "Say hello"), |(), _| "hello")?;
///     handle.remove_resource("demo:///n")?;
///     handle.shutdown(std::time::Duration::from_secs(1));
///     Ok(())
/// }).join().expect("it did not panic")?;
/// engine.tick(Now::default()); // a turn of the loop
/// assert!(engine.is_stopping());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Mailbox>);

impl Handle {
    /// Tells every client that subscribed to this URI that the resource has changed (MCP resources, subscriptions). URIs
    /// are compared in [normal form](crate::mcp::uri::normalize), and each client is told the one that it subscribed to.
    pub fn resource_updated(&self, uri: &str) {
        let uri = normalize(uri);
        self.0.post(|mail, max| match mail.updated.len() < max || mail.updated.contains(&*uri) {
            true => {
                mail.updated.insert(uri.into_owned());
            }
            false => mail.all_updated = true,
        });
    }

    /// Tells every client that the list of tools has changed, as adding and removing does by itself.
    pub fn tools_changed(&self) {
        self.changed(ListKind::Tools);
    }

    /// Tells every client that the list of resources has changed, as adding and removing does by itself.
    pub fn resources_changed(&self) {
        self.changed(ListKind::Resources);
    }

    /// Tells every client that the list of prompts has changed, as adding and removing does by itself.
    pub fn prompts_changed(&self) {
        self.changed(ListKind::Prompts);
    }

    /// Sends a log message to every client whose level lets it through. It is dropped and counted in
    /// [`Stats::logs_dropped`](crate::engine::observe::Stats::logs_dropped) while `mailbox_max` messages wait for the loop.
    pub fn log(&self, level: Level, data: impl Into<Value>) {
        self.0.log_to_all(level, None, data.into());
    }

    /// As [`log`](Handle::log), with the name of the part of the server that logs.
    pub fn log_as(&self, level: Level, logger: &str, data: impl Into<Value>) {
        self.0.log_to_all(level, Some(logger), data.into());
    }

    /// Adds a tool, in the place of one with the same name.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the tool.
    pub fn add_tool<A, R, F>(&self, tool: Tool, handler: F) -> Result<()>
    where
        A: Arguments,
        R: IntoToolResult,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.put_tool(registry::tool::<A, R>(tool, ToolHandler::inline(handler))?)
    }

    /// Removes a tool, if there is one. Its calls that run on other threads go on; those that wait for an answer find it gone.
    ///
    /// # Errors
    /// [`MailboxFull`] and [`Ended`].
    pub fn remove_tool(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.change(ListKind::Tools, move |registry| registry.tools.remove(&name))
    }

    /// Adds a resource, in the place of one with the same URI.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the resource.
    pub fn add_resource<R, F>(&self, resource: Resource, handler: F) -> Result<()>
    where
        R: IntoResource,
        F: FnMut(&mut Call) -> R + Send + 'static,
    {
        self.put_resource(registry::resource(resource, ResourceHandler::inline(handler))?)
    }

    /// Removes a resource, if it is there.
    ///
    /// # Errors
    /// [`MailboxFull`] and [`Ended`].
    pub fn remove_resource(&self, uri: &str) -> Result<()> {
        let uri = uri.to_owned();
        self.change(ListKind::Resources, move |registry| registry.remove_resource(&uri))
    }

    /// Adds a resource template, in the place of one with the same text. What
    /// [`Server::complete_template`](crate::Server::complete_template) completes goes on being completed.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the template.
    pub fn add_template<R, F>(&self, template: ResourceTemplate, handler: F) -> Result<()>
    where
        R: IntoResource,
        F: FnMut(&Vars, &mut Call) -> R + Send + 'static,
    {
        self.put_template(registry::template(template, TemplateHandler::inline(handler))?)
    }

    /// Removes a resource template, if it is there, and what completes its variables.
    ///
    /// # Errors
    /// [`MailboxFull`] and [`Ended`].
    pub fn remove_template(&self, uri_template: &str) -> Result<()> {
        let text = uri_template.to_owned();
        self.change(ListKind::Resources, move |registry| registry.remove_template(&text))
    }

    /// Adds a prompt, in the place of one with the same name. What
    /// [`Server::complete_prompt`](crate::Server::complete_prompt) completes goes on being completed.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the prompt.
    pub fn add_prompt<A, R, F>(&self, prompt: Prompt, handler: F) -> Result<()>
    where
        A: Arguments,
        R: IntoPrompt,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        self.put_prompt(registry::prompt::<A>(prompt, PromptHandler::inline(handler))?)
    }

    /// Removes a prompt, if it is there, and what completes its arguments.
    ///
    /// # Errors
    /// [`MailboxFull`] and [`Ended`].
    pub fn remove_prompt(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.change(ListKind::Prompts, move |registry| registry.remove_prompt(&name))
    }

    /// Whether the server has ended: for threads that work for it.
    ///
    /// ```
    /// # fn watch(handle: &mcp_rill::Handle, next_change: impl Fn() -> String) {
    /// while !handle.has_ended() {
    ///     handle.resource_updated(&next_change());
    /// }
    /// # }
    /// ```
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Ends the server: no new connections and requests; what is queued is still sent and open calls may finish, for at
    /// most `grace`. Handlers on other threads see at once that they are to stop ([`Call::is_cancelled`]), and are waited for
    /// as long. Of several graces the shortest counts.
    pub fn shutdown(&self, grace: Duration) {
        self.0.ask_shutdown(grace);
    }

    /// Asks the hook of [`Server::authorize`](crate::Server::authorize) again about every stream that is open and every request
    /// that waits for its answer, with the head that it was opened with. Where the hook denies it now, or names somebody else,
    /// the connection is closed. A request whose body is on its way is asked about again when that is whole. To be called when a
    /// token is withdrawn or may have expired: requests are asked about one by one anyway. Heads are kept for this, and count towards `buffered_bytes_max`.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # use mcp_rill::{Server, Tokens, engine::Engine};
    /// let tokens = Arc::new(Mutex::new(Tokens::default()));
    /// let list = tokens.clone();
    /// let server = Server::new("demo", "1.0.0").authorize(move |request| match list.lock() {
    ///     Ok(tokens) => tokens.authorize(request),
    ///     Err(_) => panic!("nobody is let in"),
    /// });
    /// let engine = Engine::new(server, || 1)?;
    /// // later, on any thread, with another list:
    /// *tokens.lock().unwrap() = Tokens::read("ada:2a0f0b5e3c6d4a798f1e1d5c7b9a3e60").unwrap();
    /// engine.handle().reauthorize();
    /// # Ok::<(), String>(())
    /// ```
    pub fn reauthorize(&self) {
        self.0.ask_reauthorize();
    }

    /// Replaces the keys of [`Server::state_key`](crate::Server::state_key) and
    /// [`Server::previous_state_key`](crate::Server::previous_state_key): the loop seals with `current` from its next turn
    /// on, and still takes what `previous` has sealed. Without `previous`, calls that wait for an answer under an older key
    /// have to be begun again.
    ///
    /// ```
    /// # use mcp_rill::{Server, StateKey, engine::Engine};
    /// # fn read(_: &str) -> Result<StateKey, String> { StateKey::read("000102030405060708090a0b0c0d0e0f") }
    /// let (old, new) = (StateKey::new([7; 16]), read("/etc/mcp/key")?);
    /// let engine = Engine::new(Server::new("demo", "1.0.0").state_key(old), || 1)?;
    /// engine.handle().set_state_keys(new, Some(old));
    /// # Ok::<(), String>(())
    /// ```
    pub fn set_state_keys(&self, current: StateKey, previous: Option<StateKey>) {
        self.0.post(|mail, _| mail.seal = Some(Seal { current, previous }));
    }

    pub(crate) fn put_tool(&self, entry: ToolEntry) -> Result<()> {
        let name = entry.0.name.clone();
        self.change(ListKind::Tools, move |registry| registry.tools.put(&entry.0.name.clone(), entry))?;
        self.0.note_tool_name(&name);
        Ok(())
    }

    pub(crate) fn put_resource(&self, entry: ResourceEntry) -> Result<()> {
        self.change(ListKind::Resources, move |registry| registry.put_resource(entry))
    }

    pub(crate) fn put_template(&self, entry: TemplateEntry) -> Result<()> {
        self.change(ListKind::Resources, move |registry| registry.put_template(entry))
    }

    pub(crate) fn put_prompt(&self, entry: PromptEntry) -> Result<()> {
        self.change(ListKind::Prompts, move |registry| registry.put_prompt(entry))
    }

    fn changed(&self, list: ListKind) {
        self.0.post(|mail, _| {
            mail.changed.insert(list);
        });
    }

    fn change<X>(
        &self,
        list: ListKind,
        change: impl FnOnce(&mut Registry) -> X + Send + 'static,
    ) -> Result<()> {
        let mut change: Option<Change> =
            Some(Box::new(move |registry| drop(registry.downcast_mut().map(change))));
        let mut ended = false;
        self.0.post(|mail, max| {
            ended = self.0.has_ended();
            if !ended && mail.changes.len() < max {
                mail.changes.extend(change.take());
                mail.changed.insert(list);
            }
        });
        // One that was not taken is dropped here, where the mailbox is not locked: a handler may own a `Reply`.
        match change {
            None => Ok(()),
            Some(_) if ended => Err(Ended.into()),
            Some(_) => Err(MailboxFull.into()),
        }
    }
}

impl Call<'_> {
    /// A hold on the server, to announce what the handler has changed.
    ///
    /// ```
    /// use mcp_rill::Server;
    /// let mut level = 0;
    /// let server = Server::new("tank", "1.0.0")
    ///     .resource("tank:///level", "level", |_| "full")
    ///     .tool("drain", "Drain the tank", move |(), call| {
    ///         level -= 1;
    ///         call.handle().resource_updated("tank:///level");
    ///         level
    ///     });
    /// ```
    pub fn handle(&self) -> Handle {
        Handle(self.handle.mailbox.clone())
    }
}
