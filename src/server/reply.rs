//! Calls that a handler hands to other code.
//!
//! *Scope:* [`Call::defer`], and [`Reply`], by which the result comes from any thread. *Not in scope:* the mailbox that carries
//! it to the loop (that is `mailbox`), and what becomes of it (that is `run`).

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::content::{IntoResource, IntoToolResult, ResourceContents, ToolResult};
use crate::protocol::elicitation::Elicited;
use crate::protocol::error::{CallError, Failure};
use crate::protocol::level::Level;
use crate::protocol::prompt::{IntoPrompt, PromptResult};
use crate::protocol::result::Made;
use crate::server::call::{Call, CallHandle};
use crate::server::form::Form;
use crate::server::handle::Handle;
use crate::server::mailbox::{Ask, Finished, Progress, Update};

/// The result of a handler of some kind: [`ToolResult`] of a tool, `Vec<ResourceContents>` of a resource or template,
/// [`PromptResult`] of a prompt.
pub trait Outcome: made::Make {}

impl<T: made::Make> Outcome for T {}

/// Only this crate can implement it.
mod made {
    use crate::protocol::result::Made;

    pub trait Make {
        /// What errors call its handler.
        const KIND: &'static str;

        fn made(self) -> Made;
    }
}

/// What finishes a [`Reply`]: anything that a handler of its kind may return, which is [`IntoToolResult`], [`IntoResource`] or
/// [`IntoPrompt`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not finish a `Reply<{K}>`",
    note = "finish it with what a handler of its kind may return: of a tool, of a resource, or of a prompt"
)]
pub trait IntoReply<K> {
    /// The result.
    ///
    /// # Errors
    /// As of a handler that returns it.
    fn into_reply(self) -> Result<K, CallError>;
}

macro_rules! outcome {
    ($outcome:ty, $kind:literal, $made:ident, $into:ident, $method:ident) => {
        impl made::Make for $outcome {
            const KIND: &'static str = $kind;

            fn made(self) -> Made {
                Made::$made(self)
            }
        }

        impl<T: $into> IntoReply<$outcome> for T {
            fn into_reply(self) -> Result<$outcome, CallError> {
                self.$method()
            }
        }

        impl $into for Deferred<$outcome> {
            fn $method(self) -> Result<$outcome, CallError> {
                Err(CallError(Failure::Deferred))
            }
        }
    };
}

outcome!(ToolResult, "tool", Tool, IntoToolResult, into_tool_result);
outcome!(Vec<ResourceContents>, "resource", Contents, IntoResource, into_resource);
outcome!(PromptResult, "prompt", Prompt, IntoPrompt, into_prompt);

/// What a handler returns when a [`Reply`] will bring the result: only [`Call::defer`] makes one.
///
/// ```
/// use mcp_rill::{Call, Deferred, Reply};
/// fn start(call: &mut Call, jobs: &std::sync::mpsc::Sender<Reply>) -> Deferred {
///     call.defer(|reply| jobs.send(reply))
/// }
/// ```
#[derive(Debug)]
pub struct Deferred<K = ToolResult>(PhantomData<fn() -> K>);

impl Call<'_> {
    /// Hands the call to other code: `hand_over` gets a [`Reply`] to send to a thread, queue or callback of your own, and the
    /// handler returns at once, with what this method returns. The timeout of the tool, resource or prompt starts here.
    ///
    /// ```
    /// use mcp_rill::{Server, Reply, ResourceContents};
    /// use std::sync::mpsc;
    /// let (jobs, queue) = mpsc::channel::<Reply>();
    /// std::thread::spawn(move || for reply in queue { reply.finish("done"); });
    /// let (reads, to_read) = mpsc::channel::<Reply<Vec<ResourceContents>>>();
    /// std::thread::spawn(move || for reply in to_read { reply.finish(std::fs::read_to_string("/etc/motd")); });
    /// let server = Server::new("slow", "1.0.0")
    ///     .tool("work", "Work for a while", move |(), call| call.defer(|reply| jobs.send(reply)))
    ///     .resource("file:///etc/motd", "motd", move |call| call.defer(|reply| reads.send(reply)));
    /// ```
    pub fn defer<K: Outcome, X>(&mut self, hand_over: impl FnOnce(Reply<K>) -> X) -> Deferred<K> {
        self.deferred = true;
        let mut handle = self.handle.clone();
        self.handle.flags();
        handle.flags = self.handle.flags.clone();
        let wants_progress = self.progress_token().is_some();
        hand_over(Reply { handle, wants_progress, open: true, kind: PhantomData });
        Deferred(PhantomData)
    }
}

/// Finishes a call from any thread. Dropping it answers with an error, so no client waits in vain.
///
/// `K` is the result of its handler: a [`ToolResult`] of a tool, which is the default; `Vec<ResourceContents>` of a resource or
/// template; [`PromptResult`] of a prompt.
///
/// ```
/// use mcp_rill::{Level, Reply};
/// fn index(files: &[String], reply: Reply) {
///     for (done, file) in files.iter().enumerate() {
///         if reply.is_cancelled() {
///             return reply.log(Level::Notice, "nobody wants it any more");
///         }
///         reply.progress(done as f64, Some(files.len() as f64), Some(file));
///         reply.log_as(Level::Debug, "index", file.as_str());
///     }
///     reply.finish(format!("{} files", files.len()));
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping a reply answers the call with an error"]
pub struct Reply<K: Outcome = ToolResult> {
    handle: CallHandle,
    wants_progress: bool,
    open: bool,
    kind: PhantomData<fn(K)>,
}

impl<K: Outcome> Reply<K> {
    /// Finishes the call with anything that a handler of its kind may return. Nothing is sent if the call is cancelled.
    pub fn finish<R: IntoReply<K>>(mut self, result: R) {
        self.send(result.into_reply());
    }

    /// As [`Call::progress`], but it is sent at once; if the client reads slowly, only the latest value is.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        if self.wants_progress {
            let progress = Progress { done, total, message: message.map(str::to_owned) };
            self.handle.mailbox.update(self.handle.call, Update::Progress(progress));
        }
    }

    /// As [`Call::log`].
    pub fn log(&self, level: Level, data: impl Into<Value>) {
        self.handle.mailbox.update(self.handle.call, Update::Log { level, logger: None, data: data.into() });
    }

    /// As [`Call::log_as`].
    pub fn log_as(&self, level: Level, logger: &str, data: impl Into<Value>) {
        let logger = Some(logger.to_owned());
        self.handle.mailbox.update(self.handle.call, Update::Log { level, logger, data: data.into() });
    }

    /// As [`Call::disconnect`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// fn export(reply: mcp_rill::Reply, write_all: impl FnOnce() -> usize) {
    ///     reply.disconnect(Duration::from_secs(30));
    ///     reply.finish(format!("{} rows", write_all()));
    /// }
    /// ```
    pub fn disconnect(&self, retry: Duration) {
        self.handle.mailbox.update(self.handle.call, Update::Disconnect(retry));
    }

    /// True if the work should stop: the call was cancelled, has timed out, or its client is gone; or the server shuts down,
    /// and sends only what comes within its grace.
    pub fn is_cancelled(&self) -> bool {
        self.handle.flags.as_ref().is_some_and(|flags| flags.is_cancelled())
    }

    /// Calls this when the call is cancelled: when [`is_cancelled`](Reply::is_cancelled) becomes true, and at once if it is. It is
    /// called at most once, and not after the reply is finished or dropped. Of several closures each is called.
    ///
    /// It runs on the thread that cancels the call, which is the loop's, so it must not block: it signals the code that does the work.
    /// A panic in it is caught.
    ///
    /// ```
    /// use std::sync::mpsc::{Sender, channel};
    /// use mcp_rill::Reply;
    /// enum Order { Work(Reply), Stop(u32) }
    /// fn start(number: u32, reply: Reply, orders: &Sender<Order>) {
    ///     let stop = orders.clone();
    ///     reply.on_cancel(move || drop(stop.send(Order::Stop(number))));
    ///     let _ = orders.send(Order::Work(reply));
    /// }
    /// ```
    pub fn on_cancel(&self, act: impl FnOnce() + Send + 'static) {
        if let Some(flags) = &self.handle.flags {
            flags.on_cancel(self.handle.run, Box::new(act));
        }
    }

    /// True if nobody waits for the result any more, as [`Call::is_abandoned`] says.
    pub fn is_abandoned(&self) -> bool {
        self.handle.flags.as_ref().is_some_and(|flags| flags.is_abandoned())
    }

    /// Calls this when nobody waits for the result any more: when [`is_abandoned`](Reply::is_abandoned) becomes true, and at once if it
    /// is. Unlike [`on_cancel`](Reply::on_cancel) it is not called when a shutdown begins, only when its grace is over. For the rest
    /// the same holds.
    ///
    /// ```
    /// # use mcp_rill::Reply;
    /// # struct Task; impl Task { fn abort(&self) {} }
    /// fn start(reply: &Reply, task: Task) {
    ///     reply.on_abandon(move || task.abort());
    /// }
    /// ```
    pub fn on_abandon(&self, act: impl FnOnce() + Send + 'static) {
        if let Some(flags) = &self.handle.flags {
            flags.on_abandon(self.handle.run, Box::new(act));
        }
    }

    /// A [`Handle`] on the server, as [`Call::handle`].
    ///
    /// ```
    /// # use mcp_rill::Reply;
    /// fn import(reply: Reply, import_all: impl FnOnce() -> usize) {
    ///     let imported = import_all();
    ///     reply.handle().resources_changed(); // announced before the result
    ///     reply.finish(format!("{imported} notes"));
    /// }
    /// ```
    pub fn handle(&self) -> Handle {
        Handle(self.handle.mailbox.clone())
    }

    /// Shows the user a form, as [`Call::elicit`] does, and ends this reply. Once there is an answer the handler runs again, and gets
    /// it from [`Call::answer`] under the same key; then it may hand the call to other code again. So it works in every revision, also
    /// where the client answers in a new request. What the other code has done meanwhile is kept by the program, under a key that
    /// it finds again, or done again.
    ///
    /// ```
    /// use mcp_rill::{Call, Deferred, Elicited, Reply, Result, Server, schema};
    /// schema! { struct Confirm { /// Really?
    ///     sure: bool } }
    /// # fn count_files() -> usize { 3 }
    /// # fn delete_files() {}
    /// fn clean((): (), call: &mut Call) -> Result<Deferred> {
    ///     let answer = call.answer::<Confirm>("sure")?; // none in the first run
    ///     Ok(call.defer(|reply: Reply| {
    ///         std::thread::spawn(move || match answer {
    ///             None => reply.elicit::<Confirm>("sure", &format!("Delete {} files?", count_files())),
    ///             Some(Elicited::Accepted(Confirm { sure: true })) => {
    ///                 delete_files();
    ///                 reply.finish("deleted");
    ///             }
    ///             Some(_) => reply.finish("nothing was deleted"),
    ///         })
    ///     }))
    /// }
    /// let server = Server::new("files", "1.0.0").tool("clean", "Delete old files", clean);
    /// ```
    ///
    /// If the client cannot show forms, the handler runs again at once, and the answer is [`Elicited::Unavailable`]. A key
    /// that has an answer already, and the reply of a blocking handler, which can ask before it hands the call on, end the call in an
    /// error (−32603).
    ///
    /// [`Elicited::Unavailable`]: crate::Elicited::Unavailable
    pub fn elicit<T: Form>(mut self, key: &str, message: &str) {
        let (key, message) = (key.to_owned(), message.to_owned());
        let ask: Ask = Box::new(move |call| {
            let problem = |text: String| Err(CallError::internal(text));
            let Some(call) = call.downcast_mut::<Call<'static>>() else {
                return problem(format!("`{key}` was asked of no call"));
            };
            match call.elicit::<T>(&key, &message)? {
                Elicited::Unavailable(why) => Ok((key, why)),
                _ => problem(format!(
                    "`{key}` was answered already: `Call::answer` has the answer; give each question its own key"
                )),
            }
        });
        self.end(Finished::Asked(ask));
    }

    fn send(&mut self, result: Result<K, CallError>) {
        self.end(Finished::Deferred(result.map(made::Make::made)));
    }

    fn end(&mut self, finished: Finished) {
        self.open = false;
        if let Some(flags) = &self.handle.flags {
            flags.forget(self.handle.run);
        }
        self.handle.mailbox.finish((self.handle.call, self.handle.run), finished);
    }
}

impl<K: Outcome> Drop for Reply<K> {
    fn drop(&mut self) {
        if self.open {
            let kind = <K as made::Make>::KIND;
            self.send(Err(CallError::for_model(format!("the {kind} gave up without a result"))));
        }
    }
}
