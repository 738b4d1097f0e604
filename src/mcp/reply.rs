//! What reaches the loop from other threads: late results, progress, logs, and the wishes of a [`Handle`].
//!
//! *Scope:* [`Reply`] for a call that is finished elsewhere, [`Handle`] for everything else, and the mailbox both write to.
//! *Not in scope:* threads (a pool of them is in `net`), and what becomes of the mail (that is `calls`).
//!
//! ```text
//!  handler ─ call.defer(…) ─▶ Reply ─ progress, log, finish or Drop ─┐
//!  blocking handler on a worker ─ progress, log, its result ─────────┼─▶ mailbox ─ wakes ─▶ loop ─▶ streams
//!  Handle ─ updated, changed, log, add, remove, shutdown ────────────┘
//! ```
//!
//! Nothing here blocks: the final reply of a call always has its place, progress is only the latest value, logs are
//! dropped and counted when the loop does not keep up, updates of one URI are one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::mcp::ask::Asked;
use crate::mcp::call::{CallError, Failure, Link, Notes};
use crate::mcp::server::{self, List, Registry};
use crate::mcp::{
    Arguments, Call, CallKey, IntoPrompt, IntoResource, IntoToolResult, Prompt, Resource, ResourceTemplate,
    Tool, ToolResult,
};

/// How much a log message matters (MCP logging; RFC 5424, section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For whoever debugs.
    Debug,
    /// Something happened that was meant to.
    Info,
    /// Something happened that is worth a look.
    Notice,
    /// Something may become a problem.
    Warning,
    /// Something failed.
    Error,
    /// A part of the server failed.
    Critical,
    /// Somebody must act now.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    const ALL: [(Level, &'static str); 8] = [
        (Level::Debug, "debug"),
        (Level::Info, "info"),
        (Level::Notice, "notice"),
        (Level::Warning, "warning"),
        (Level::Error, "error"),
        (Level::Critical, "critical"),
        (Level::Alert, "alert"),
        (Level::Emergency, "emergency"),
    ];

    /// The level of that name on the wire.
    pub fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|(_, known)| *known == name).map(|(level, _)| level)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Level::ALL.iter().find(|(level, _)| *level == self).map_or("info", |(_, name)| name)
    }
}

/// What a call says besides its result.
#[derive(Debug)]
pub(crate) enum Note {
    Progress(Progress),
    Log { level: Level, logger: Option<String>, data: Value },
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) done: f64,
    pub(crate) total: Option<f64>,
    pub(crate) message: Option<String>,
}

/// What a call's handler and its helpers on other threads can see of its fate.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    cancelled: AtomicBool,
}

impl Flags {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// How a call ended on another thread, and in which of its runs that thread was set to work.
pub(crate) type Ended = (CallKey, u32, Finished);

/// How a run of a call ended on another thread.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Through a [`Reply`].
    Deferred(Result<ToolResult, CallError>),
    /// A blocking handler returned, with its result or with questions.
    Ran(Result<ToolResult, CallError>, Asked),
}

type Change = Box<dyn FnOnce(&mut Registry) + Send>;

/// What other threads have left for the loop.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) finished: Vec<Ended>,
    pub(crate) progress: BTreeMap<CallKey, Progress>,
    /// Of one call, or of the server.
    pub(crate) logs: Vec<(Option<CallKey>, Note)>,
    pub(crate) updated: BTreeSet<String>,
    /// So many URIs were updated that it is not known which.
    pub(crate) all_updated: bool,
    pub(crate) changed: BTreeSet<List>,
    pub(crate) changes: Vec<Change>,
}

/// Where other threads leave things for the loop.
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    /// Looked at in every turn of the loop, so that an empty mailbox costs no lock.
    has_mail: AtomicBool,
    /// The grace of a shutdown, for whoever drives the service.
    shutdown: Mutex<Option<Duration>>,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    queue_max: usize,
    logs_dropped: AtomicU64,
}

impl Mailbox {
    pub(crate) fn new(queue_max: usize) -> Mailbox {
        Mailbox {
            mail: Mutex::default(),
            has_mail: AtomicBool::new(false),
            shutdown: Mutex::default(),
            waker: OnceLock::new(),
            queue_max,
            logs_dropped: AtomicU64::new(0),
        }
    }

    /// Sets what wakes the loop; the first one counts.
    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = self.waker.set(waker);
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// Empties it.
    pub(crate) fn take(&self) -> Mail {
        self.has_mail.store(false, Ordering::Release);
        std::mem::take(&mut *self.lock())
    }

    /// The grace of a shutdown that was asked for since the last call.
    pub(crate) fn take_shutdown(&self) -> Option<Duration> {
        self.shutdown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn finish(&self, (call, run): (CallKey, u32), finished: Finished) {
        self.lock().finished.push((call, run, finished));
        self.wake();
    }

    pub(crate) fn note(&self, call: CallKey, note: Note) {
        match note {
            // Compared here, since the loop only sees the last one: less than before is not the latest.
            Note::Progress(progress) if progress.done.is_finite() => {
                let mut mail = self.lock();
                if mail.progress.get(&call).is_none_or(|before| progress.done > before.done) {
                    mail.progress.insert(call, progress);
                }
            }
            Note::Progress(_) => return,
            log => self.log(Some(call), log),
        }
        self.wake();
    }

    fn log(&self, call: Option<CallKey>, log: Note) {
        let mut mail = self.lock();
        if mail.logs.len() < self.queue_max {
            mail.logs.push((call, log));
        } else {
            self.logs_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs that found no room here.
    pub(crate) fn logs_dropped(&self) -> u64 {
        self.logs_dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.has_mail.store(true, Ordering::Release);
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// What a handler returns when a [`Reply`] will bring the result: only [`Call::defer`] makes one.
#[derive(Debug)]
pub struct Deferred(());

impl IntoToolResult for Deferred {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Err(CallError(Failure::Deferred))
    }
}

impl Call<'_> {
    /// Hands the call to somebody else: `hand_over` gets a [`Reply`] to send to a thread, queue or callback of your own,
    /// and the handler returns at once. The tool's timeout counts from here.
    ///
    /// ```
    /// use mcp_rill::{Server, Reply};
    /// use std::sync::mpsc;
    /// let (jobs, queue) = mpsc::channel::<Reply>();
    /// std::thread::spawn(move || for reply in queue { reply.finish("done"); });
    /// let server = Server::new("slow", "1.0.0")
    ///     .tool("work", "Work for a while", move |(), call| call.defer(|reply| jobs.send(reply)));
    /// ```
    pub fn defer<X>(&mut self, hand_over: impl FnOnce(Reply) -> X) -> Deferred {
        self.deferred = true;
        let mut link = self.link.clone();
        self.link.flags();
        link.flags = self.link.flags.clone();
        hand_over(Reply { link, wants_progress: self.progress_token().is_some(), open: true });
        Deferred(())
    }
}

/// The result of a call, to be given from any thread. Dropping it answers with an error, so no client waits in vain.
#[derive(Debug)]
#[must_use = "dropping a reply answers the call with an error"]
pub struct Reply {
    link: Link,
    wants_progress: bool,
    open: bool,
}

impl Reply {
    /// Gives the result: anything that a tool's handler may return. Nothing is sent if the call is cancelled.
    pub fn finish<R: IntoToolResult>(mut self, result: R) {
        self.send(result.into_tool_result());
    }

    /// As [`Call::progress`], and it arrives at once; if the client reads slowly, only the latest value does.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        if self.wants_progress {
            let progress = Progress { done, total, message: message.map(str::to_owned) };
            self.link.mailbox.note(self.link.call, Note::Progress(progress));
        }
    }

    /// As [`Call::log`].
    pub fn log(&self, level: Level, data: impl Into<Value>) {
        self.link.mailbox.note(self.link.call, Note::Log { level, logger: None, data: data.into() });
    }

    /// As [`Call::log_as`].
    pub fn log_as(&self, level: Level, logger: &str, data: impl Into<Value>) {
        let logger = Some(logger.to_owned());
        self.link.mailbox.note(self.link.call, Note::Log { level, logger, data: data.into() });
    }

    /// Whether the call was cancelled, has timed out, or its client is gone: the work can stop.
    pub fn is_cancelled(&self) -> bool {
        self.link.flags.as_ref().is_some_and(|flags| flags.is_cancelled())
    }

    fn send(&mut self, result: Result<ToolResult, CallError>) {
        self.open = false;
        self.link.mailbox.finish((self.link.call, self.link.run), Finished::Deferred(result));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.open {
            self.send(Err(CallError::told("the tool gave up without a result")));
        }
    }
}

/// The loop has not kept up with what a [`Handle`] wants of it (limit `mailbox_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many changes are waiting (limit mailbox_max); try again")
    }
}

impl std::error::Error for Full {}

/// A hold on a running server for any thread. Nothing here blocks.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use mcp_rill::{Level, Server, Tool};
/// let listening = Server::new("demo", "1.0.0").resource("demo:///n", "n", |_| "1").listen("127.0.0.1:0")?;
/// let handle = listening.handle();
/// std::thread::spawn(move || {
///     handle.resource_updated("demo:///n");
///     handle.log(Level::Warning, "low battery");
///     handle.add_tool(Tool::new("hello", "Say hello"), |(), _| "hello").expect("there is room");
///     handle.shutdown(std::time::Duration::from_secs(1));
/// });
/// listening.run()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Mailbox>);

impl Handle {
    /// Tells every client that subscribed to this URI that the resource has changed.
    pub fn resource_updated(&self, uri: &str) {
        self.post(|mail, max| match mail.updated.len() < max || mail.updated.contains(uri) {
            true => {
                mail.updated.insert(uri.to_owned());
            }
            false => mail.all_updated = true,
        });
    }

    /// Tells every client that the list of tools has changed, as adding and removing does by itself.
    pub fn tools_changed(&self) {
        self.changed(List::Tools);
    }

    /// Tells every client that the list of resources has changed, as adding and removing does by itself.
    pub fn resources_changed(&self) {
        self.changed(List::Resources);
    }

    /// Tells every client that the list of prompts has changed, as adding and removing does by itself.
    pub fn prompts_changed(&self) {
        self.changed(List::Prompts);
    }

    /// Sends a log message to every client whose level lets it through.
    pub fn log(&self, level: Level, data: impl Into<Value>) {
        self.0.log(None, Note::Log { level, logger: None, data: data.into() });
        self.0.wake();
    }

    /// As [`log`](Handle::log), with the name of the part of the server that logs.
    pub fn log_as(&self, level: Level, logger: &str, data: impl Into<Value>) {
        self.0.log(None, Note::Log { level, logger: Some(logger.to_owned()), data: data.into() });
        self.0.wake();
    }

    /// Adds a tool, in the place of one with the same name.
    ///
    /// # Errors
    /// [`Full`]; and what is wrong with the tool.
    pub fn add_tool<A, R, F>(&self, tool: Tool, handler: F) -> crate::Result<()>
    where
        A: Arguments,
        R: IntoToolResult,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        let (tool, handler) = server::inline_tool(tool, handler)?;
        self.change(List::Tools, move |registry| registry.tools.put(&tool.name.clone(), (tool, handler)))
    }

    /// Removes a tool. Its calls that run on other threads go on; those that wait for an answer find it gone.
    ///
    /// # Errors
    /// [`Full`].
    pub fn remove_tool(&self, name: &str) -> crate::Result<()> {
        let name = name.to_owned();
        self.change(List::Tools, move |registry| registry.tools.remove(&name))
    }

    /// Adds a resource, in the place of one with the same URI.
    ///
    /// # Errors
    /// [`Full`].
    pub fn add_resource<R, F>(&self, resource: Resource, handler: F) -> crate::Result<()>
    where
        R: IntoResource,
        F: FnMut(&mut Call) -> R + Send + 'static,
    {
        let entry = server::resource(resource, handler);
        self.change(List::Resources, move |registry| registry.resources.put(&entry.0.uri.clone(), entry))
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// [`Full`].
    pub fn remove_resource(&self, uri: &str) -> crate::Result<()> {
        let uri = uri.to_owned();
        self.change(List::Resources, move |registry| registry.resources.remove(&uri))
    }

    /// Adds a resource template, in the place of one with the same text.
    ///
    /// # Errors
    /// [`Full`]; and what is wrong with the template.
    pub fn add_template<R, F>(&self, template: ResourceTemplate, handler: F) -> crate::Result<()>
    where
        R: IntoResource,
        F: FnMut(&crate::mcp::uri::Vars, &mut Call) -> R + Send + 'static,
    {
        let entry = server::template(template, handler)?;
        self.change(List::Resources, move |registry| {
            registry.templates.put(&entry.0.uri_template.clone(), entry)
        })
    }

    /// Removes a resource template.
    ///
    /// # Errors
    /// [`Full`].
    pub fn remove_template(&self, uri_template: &str) -> crate::Result<()> {
        let text = uri_template.to_owned();
        self.change(List::Resources, move |registry| registry.templates.remove(&text))
    }

    /// Adds a prompt, in the place of one with the same name.
    ///
    /// # Errors
    /// [`Full`]; and what is wrong with the prompt.
    pub fn add_prompt<A, R, F>(&self, prompt: Prompt, handler: F) -> crate::Result<()>
    where
        A: Arguments,
        R: IntoPrompt,
        F: FnMut(A, &mut Call) -> R + Send + 'static,
    {
        let entry = server::prompt(prompt, handler)?;
        self.change(List::Prompts, move |registry| {
            let name = entry.0.name.clone();
            registry.complete_choices::<A>(&name);
            registry.prompts.put(&name, entry);
        })
    }

    /// Removes a prompt.
    ///
    /// # Errors
    /// [`Full`].
    pub fn remove_prompt(&self, name: &str) -> crate::Result<()> {
        let name = name.to_owned();
        self.change(List::Prompts, move |registry| registry.prompts.remove(&name))
    }

    /// Ends the server: no new connections and requests; what is queued is still sent and open calls may finish, for at
    /// most `grace`.
    pub fn shutdown(&self, grace: Duration) {
        let mut shutdown = self.0.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        *shutdown = Some(shutdown.map_or(grace, |before| before.min(grace)));
        drop(shutdown);
        self.0.wake();
    }

    fn changed(&self, list: List) {
        self.post(|mail, _| {
            mail.changed.insert(list);
        });
    }

    fn change<X>(
        &self,
        list: List,
        change: impl FnOnce(&mut Registry) -> X + Send + 'static,
    ) -> crate::Result<()> {
        let mut full = false;
        self.post(|mail, max| {
            full = mail.changes.len() >= max;
            if !full {
                mail.changes.push(Box::new(move |registry| drop(change(registry))));
                mail.changed.insert(list);
            }
        });
        if full { Err(Full.into()) } else { Ok(()) }
    }

    fn post(&self, act: impl FnOnce(&mut Mail, usize)) {
        act(&mut self.0.lock(), self.0.queue_max);
        self.0.wake();
    }
}

impl Link {
    /// The call's flags, made when somebody first wants to look at them.
    pub(crate) fn flags(&mut self) -> &Arc<Flags> {
        self.flags.get_or_insert_default()
    }
}

impl Notes {
    pub(crate) fn take(&mut self) -> Vec<Note> {
        match self {
            Notes::Kept(notes) => std::mem::take(notes),
            Notes::Mailed => Vec::new(),
        }
    }
}
