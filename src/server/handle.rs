//! Access to the running server from other threads.
//!
//! *Scope:* [`Handle`]: announcing changes, logs, adding, removing and replacing items, shutdown.
//! *Not in scope:* acting on it: the mailbox carries it to the loop, and `runtime::mail` acts on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::access::peer::Principal;
use crate::protocol::kinds::{ItemKind, ListKind};
use crate::protocol::level::Level;
use crate::protocol::panics::guarded;
use crate::protocol::result::Result;
use crate::protocol::uri::normal::normalize;
use crate::server::builder::Server;
use crate::server::call::Call;
use crate::server::item::Item;
use crate::server::mailbox::{Change, Mailbox};
use crate::server::registry::Registry;
use crate::server::state::StateType;
use crate::server::stats::Stats;

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

    /// As [`resource_updated`](Handle::resource_updated), for the clients of one principal only: where each has their own resource
    /// under one URI, or may not learn when that of others changes.
    ///
    /// ```
    /// # use mcp_rill::{Call, Principal};
    /// # fn f(call: &mut Call) {
    /// if let Some(principal) = call.principal() {
    ///     call.handle().resource_updated_for(principal, "inbox:///new");
    /// }
    /// # }
    /// ```
    pub fn resource_updated_for(&self, principal: &Principal, uri: &str) {
        let update = (normalize(uri).into_owned(), principal.clone());
        self.0.post(|mail, max| match mail.updated_for.len() < max || mail.updated_for.contains(&update) {
            true => {
                mail.updated_for.insert(update);
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

    /// As [`tools_changed`](Handle::tools_changed), for the clients of one principal only.
    pub fn tools_changed_for(&self, principal: &Principal) {
        self.changed_for(ListKind::Tools, principal);
    }

    /// As [`resources_changed`](Handle::resources_changed), for the clients of one principal only: where
    /// [lists](crate::ResourceTemplate::list) differ from one to the next.
    ///
    /// ```
    /// # use mcp_rill::{Call, schema};
    /// # schema! { struct Note { text: String } }
    /// fn add(notes: &mut Vec<(String, String)>, Note { text }: Note, call: &mut Call) -> mcp_rill::Result<&'static str> {
    ///     let owner = call.principal().ok_or("who are you?")?;
    ///     notes.push((owner.name().to_owned(), text));
    ///     call.handle().resources_changed_for(owner); // only they see it in their list
    ///     Ok("added")
    /// }
    /// ```
    pub fn resources_changed_for(&self, principal: &Principal) {
        self.changed_for(ListKind::Resources, principal);
    }

    /// As [`prompts_changed`](Handle::prompts_changed), for the clients of one principal only.
    pub fn prompts_changed_for(&self, principal: &Principal) {
        self.changed_for(ListKind::Prompts, principal);
    }

    /// Sends a log message to every client whose level lets it through. While `mailbox_max` messages wait for the loop, it is
    /// dropped and counted in [`Stats::logs_dropped`](crate::engine::Stats::logs_dropped).
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
        entry.check_state(&self.0.states)?;
        let tool = (entry.kind() == ItemKind::Tool).then(|| entry.name().to_owned());
        self.change(move |registry| registry.put(entry))?;
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
        self.change(move |registry| registry.remove(kind, &name))
    }

    /// Puts the items and completions of another [`Server`] in the place of all that are offered, as when a configuration is read
    /// again. They are checked as at the start, and nothing changes if there is a problem. If the other server has a
    /// [state](Server::with_state), that takes the place of the present one, which must have the same type; otherwise the present state
    /// stays, and the handlers may take it. All else of the running server stays as it is: name, instructions, limits, settings, hooks.
    ///
    /// Clients are told once of each list that has changed for them: an item was added or removed, has another description, or
    /// became visible or invisible. A template that [lists](crate::ResourceTemplate::list) its resources counts as changed.
    /// Calls that run on other threads end under their old handlers; a call that waits for an answer of its client continues with
    /// the new handler of the same name. A client that is in the middle of a list that changes begins it again.
    ///
    /// ```
    /// use mcp_rill::{Handle, Result, Server};
    /// fn server(names: &str) -> Server {
    ///     let server = Server::new("greetings", "1.0.0");
    ///     names.lines().fold(server, |server, name| server.tool(name, "Greet", |(), _| "Hello!"))
    /// }
    /// fn reload(handle: &Handle) -> Result<()> {
    ///     handle.replace(server(&std::fs::read_to_string("names.txt")?))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and what is wrong with the server: one sentence for each problem.
    pub fn replace<X>(&self, server: Server<X>) -> Result<()> {
        let states = &self.0.states;
        states.check_replacement(&server.registry.states.types)?;
        let registry = server.retyped().checked(states)?.registry;
        let names: Vec<String> = registry.tools.all().map(|(name, ..)| name.to_owned()).collect();
        self.change(move |current| current.replace(registry))?;
        names.iter().for_each(|name| self.0.note_tool_name(name));
        Ok(())
    }

    /// Changes the [state](Server::with_state) that the server's handlers share: the closure runs on the loop's thread in its next
    /// turn, so it must not block. Calls that are finished after this find the state changed.
    ///
    /// ```
    /// use mcp_rill::{Call, Deferred, Handle, Server};
    /// #[derive(Default)]
    /// struct Index { words: usize }
    /// impl Index {
    ///     fn rebuild(&mut self, (): (), call: &mut Call) -> Deferred {
    ///         call.defer(|reply| {
    ///             std::thread::spawn(move || {
    ///                 let words = std::fs::read_to_string("book.txt").unwrap_or_default().split(' ').count();
    ///                 let _ = reply.handle().change_state(move |index: &mut Index| index.words = words);
    ///                 reply.finish("done"); // the next call finds the new index
    ///             });
    ///         })
    ///     }
    /// }
    /// let server = Server::with_state("book", "1.0.0", Index::default())
    ///     .tool("rebuild", "Count the words again", Index::rebuild)
    ///     .tool("words", "The number of words", |index, (), _| index.words);
    /// ```
    ///
    /// A panic in the closure is caught, and leaves the state as it was then.
    ///
    /// # Errors
    /// [`MailboxFull`], [`Ended`], and a sentence with both types if the server's state is of another one.
    pub fn change_state<S: 'static>(&self, change: impl FnOnce(&mut S) + Send + 'static) -> Result<()> {
        let (there, wanted) = (self.0.states.own, StateType::of::<S>());
        if there != wanted {
            let problem = format!("the state of the server {}, not `{}`", there.or_none(), wanted.name());
            return Err(problem.into());
        }
        self.change(move |registry| {
            let _ = guarded("change_state", wanted.name(), || {
                registry.states.own.downcast_mut().map(change);
                Ok(())
            });
        })
    }

    /// Counters and gauges, as they were at the end of the loop's last turn: for a page of metrics.
    ///
    /// ```
    /// fn metrics(handle: &mcp_rill::Handle) -> String {
    ///     let stats = handle.stats();
    ///     format!("sessions {}\ncalls {}\nmessages_received {}\n", stats.sessions, stats.calls, stats.messages_received)
    /// }
    /// ```
    pub fn stats(&self) -> Stats {
        self.0.stats()
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

    /// Says whether clients may come, from now on: `GET /readyz` gets 503 while they may not, so that load balancers send them
    /// elsewhere. Those that come all the same are served. A server is ready from its start on, unless this is called before.
    ///
    /// ```
    /// # #[cfg(feature = "net")]
    /// # fn f(server: mcp_rill::Server) -> std::io::Result<()> {
    /// let listening = server.health().listen("127.0.0.1:3001")?;
    /// let handle = listening.handle();
    /// handle.set_ready(false);
    /// std::thread::spawn(move || {
    ///     // What takes its time: reading an index, say.
    ///     handle.set_ready(true);
    /// });
    /// listening.run()
    /// # }
    /// ```
    pub fn set_ready(&self, ready: bool) {
        self.0.set_ready(ready);
    }

    /// Ends the server after it has told load balancers: for `delay` clients are served as before while `GET /readyz` gets 503, then it
    /// shuts down as [`shutdown`](Handle::shutdown) does. The delay is the time that a load balancer needs to notice: its interval
    /// of health checks, times the failures that it waits for. A shutdown meanwhile ends the delay.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn f(handle: &mcp_rill::Handle) {
    /// handle.drain(Duration::from_secs(5), Duration::from_secs(8));
    /// # }
    /// ```
    pub fn drain(&self, delay: Duration, grace: Duration) {
        self.0.ask_drain(delay, grace);
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
            mail.changed.insert((list, None));
        });
    }

    fn changed_for(&self, list: ListKind, principal: &Principal) {
        let change = (list, Some(principal.clone()));
        self.0.post(|mail, max| {
            let has_room = mail.changed.len() < max || mail.changed.contains(&change);
            mail.changed.insert(if has_room { change } else { (list, None) });
        });
    }

    fn change<X>(&self, change: impl FnOnce(&mut Registry) -> X + Send + 'static) -> Result<()> {
        let mut change: Option<Change> =
            Some(Box::new(move |registry| drop(registry.downcast_mut().map(change))));
        let mut ended = false;
        self.0.post(|mail, max| {
            ended = self.0.has_ended();
            if !ended && mail.changes.len() < max {
                mail.changes.extend(change.take());
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
