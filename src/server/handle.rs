//! Access to the running server from other threads.
//!
//! *Scope:* [`Handle`]: announcing changes, logs, adding and removing items, shutdown.
//! *Not in scope:* acting on it: the mailbox carries it to the loop, and `handler_service` does the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::kinds::{ItemKind, ListKind};
use crate::protocol::level::Level;
use crate::protocol::result::Result;
use crate::protocol::uri::normal::normalize;
use crate::server::call::Call;
use crate::server::item::Item;
use crate::server::mailbox::{Change, Mailbox};
use crate::server::registry::Registry;

/// Too many requests of [`Handle`]s wait for the loop (limit `mailbox_max`). This one was not accepted.
///
/// ```
/// use mcp_rill::{Handle, ItemKind, MailboxFull};
/// fn remove(handle: &Handle, tool: &str) {
///     while handle.withdraw(ItemKind::Tool, tool).is_err_and(|error| error.is::<MailboxFull>()) {
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

/// The server has ended, so a request of a [`Handle`] was not accepted.
///
/// ```
/// use mcp_rill::{Ended, Handle, Tool};
/// fn offer(handle: &Handle, plugins: std::sync::mpsc::Receiver<String>) {
///     for name in plugins {
///         match handle.offer(Tool::new(name, "A plugin").handler(|(), _| "done")) {
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

/// Access to a running server from any thread, from `Listening::handle` or
/// [`Engine::handle`](crate::engine::Engine::handle). No method blocks; what is asked for is done in the loop's next turn.
/// Once the server has ended, methods that return a result return [`Ended`], and the others do nothing. The
/// [guide](crate::guide#what-changes-while-it-runs) has more examples.
///
/// ```
/// use mcp_rill::{ItemKind, Level, Now, Server, Tool, engine::Engine};
/// # fn main() -> mcp_rill::Result<()> {
/// let mut engine = Engine::new(Server::new("demo", "1.0.0").resource("demo:///n", "n", |_| "1"), || 1)?;
/// let handle = engine.handle();
/// std::thread::spawn(move || -> mcp_rill::Result<()> {
///     handle.resource_updated("demo:///n");
///     handle.log(Level::Warning, "low battery");
///     handle.log_as(Level::Info, "power", "charging");
///     handle.offer(Tool::new("hello", "Say hello").handler(|(), _| "hello"))?;
///     handle.withdraw(ItemKind::Resource, "demo:///n")?;
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
    /// are compared in [normal form](crate::uri::normalize), and each client gets the one that it subscribed to.
    pub fn resource_updated(&self, uri: &str) {
        let uri = normalize(uri);
        self.0.post(|mail, max| match mail.updated.len() < max || mail.updated.contains(&*uri) {
            true => {
                mail.updated.insert(uri.into_owned());
            }
            false => mail.all_updated = true,
        });
    }

    /// Tells every client that the list of tools has changed, as [`offer`](Handle::offer) and [`withdraw`](Handle::withdraw) do by themselves.
    pub fn tools_changed(&self) {
        self.changed(ListKind::Tools);
    }

    /// Tells every client that the list of resources has changed, as [`offer`](Handle::offer) and [`withdraw`](Handle::withdraw) do by themselves.
    pub fn resources_changed(&self) {
        self.changed(ListKind::Resources);
    }

    /// Tells every client that the list of prompts has changed, as [`offer`](Handle::offer) and [`withdraw`](Handle::withdraw) do by themselves.
    pub fn prompts_changed(&self) {
        self.changed(ListKind::Prompts);
    }

    /// Sends a log message to every client whose level lets it through. While `mailbox_max` messages wait for the loop, it is
    /// dropped and counted in [`Stats::logs_dropped`](crate::engine::observe::Stats::logs_dropped).
    pub fn log(&self, level: Level, data: impl Into<Value>) {
        self.0.log_to_all(level, None, data.into());
    }

    /// As [`log`](Handle::log), with the name of the part of the server that logs.
    pub fn log_as(&self, level: Level, logger: &str, data: impl Into<Value>) {
        self.0.log_to_all(level, Some(logger), data.into());
    }

    /// Adds an item, or replaces the one of the same kind and name. Completions that
    /// [`Server::complete_prompt`](crate::Server::complete_prompt) and
    /// [`Server::complete_template`](crate::Server::complete_template) have added for it stay.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the item.
    pub fn offer(&self, item: Item) -> Result<()> {
        let entry = item.0?;
        let kind = entry.kind();
        let tool = (kind == ItemKind::Tool).then(|| entry.name().to_owned());
        self.change(kind.list(), move |registry| registry.put(entry))?;
        tool.iter().for_each(|name| self.0.note_tool_name(name));
        Ok(())
    }

    /// Removes the item of that kind and name (a resource's URI, a template's text), if there is one, and the completions of its
    /// arguments. Calls of it that run on other threads go on; a call that waits for an answer of the client ends in an error.
    ///
    /// # Errors
    /// [`MailboxFull`] and [`Ended`].
    pub fn withdraw(&self, kind: ItemKind, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.change(kind.list(), move |registry| registry.remove(kind, &name))
    }

    /// True if the server has ended: for threads that work for it.
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

    /// Ends the server. It takes no new connections and requests; queued output is still sent and open calls may finish, for at
    /// most `grace`. Handlers on other threads see at once that they are to stop ([`Call::is_cancelled`]), and the server waits
    /// for them as long. Of several graces the shortest counts.
    pub fn shutdown(&self, grace: Duration) {
        self.0.ask_shutdown(grace);
    }

    /// Makes the loop call [`Service::tick`](crate::service::Service::tick) in its next turn: for a service of your own, when one
    /// of its threads has a result for it. The built-in service needs no call of this.
    pub fn wake(&self) {
        self.0.wake();
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
        // A change that was not accepted is dropped here, where the mailbox is not locked: a handler may own a `Reply`.
        match change {
            None => Ok(()),
            Some(_) if ended => Err(Ended.into()),
            Some(_) => Err(MailboxFull.into()),
        }
    }
}

impl Call<'_> {
    /// A [`Handle`] on the server, to announce what the handler has changed.
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
