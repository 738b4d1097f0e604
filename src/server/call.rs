//! What a handler gets besides its arguments.
//!
//! *Scope:* [`Call`]: who is asking, what the handler can do while it runs, and what it keeps for a session. *Not in scope:* arguments,
//! results and errors; the questions that a handler can ask (that is `ask`), and work that goes on after it returned (that is `reply`).

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::peer::{Peer, Principal};
use crate::json::value::{JsonCow, JsonRef};
use crate::protocol::client_info::{Capabilities, ClientInfo};
use crate::protocol::error::CallError;
use crate::protocol::level::Level;
use crate::protocol::revision::Revision;
use crate::protocol::trace::TraceContext;
use crate::server::context::Context;
use crate::server::flags::Flags;
use crate::server::mailbox::{Mailbox, Progress, Update};
use crate::server::questions::Questions;
use crate::service::keys::CallKey;
use serde_json::Value;

/// One request as its handler sees it: who is asking, in which session, with which revision and HTTP headers. Through it the
/// handler reports progress, logs, and asks the client.
///
/// ```
/// use mcp_rill::Server;
/// let server = Server::new("whoami", "1.0.0").tool("whoami", "Say who is asking", |(), call| {
///     let client = call.client().map_or("somebody", |client| &client.name);
///     let user = call.principal().map_or("nobody in particular", |principal| principal.name());
///     let address = call.peer().address.map_or("nowhere".to_owned(), |address| address.to_string());
///     let agent = call.header("user-agent").unwrap_or("no browser");
///     format!("{client} for {user}, from {address} with {agent}, in the words of {}", call.revision())
/// });
/// ```
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) questions: Questions,
    pub(crate) updates: Updates,
    pub(crate) handle: CallHandle,
    pub(crate) deferred: bool,
    /// What is kept for the session; `None` where nothing can be.
    pub(crate) session_data: Option<SessionData>,
}

/// What ties a call to the loop, for what outlives the handler.
#[derive(Clone, Debug)]
pub(crate) struct CallHandle {
    pub(crate) call: CallKey,
    /// Which run of the handler this is: a [`Reply`](crate::Reply) of an earlier one answers nothing.
    pub(crate) run: u32,
    pub(crate) flags: Option<Arc<Flags>>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// Where progress and logs go: to the loop, which is this thread or another one.
#[derive(Debug)]
pub(crate) enum Updates {
    /// To the loop's thread: nothing can be sent before the handler returns.
    Kept(Vec<Update>),
    /// From another thread.
    Mailed,
}

impl Call<'_> {
    /// The session's id, without the node's: a UUID in lower case.
    /// `None` for a request without a session, as all are since 2026-07-28, and those of other clients of Streamable HTTP where
    /// the server keeps no sessions ([`Settings::sessionless`](crate::Settings::sessionless)). With it anybody can post into the
    /// session, so keep it out of logs.
    ///
    /// What is kept for a session only is better kept as its [data](Call::session_data), which is dropped with it.
    pub fn session_id(&self) -> Option<String> {
        self.context.session_id.map(|id| id.to_string())
    }

    /// The revision of MCP that was negotiated. Results are written in its form automatically.
    pub fn revision(&self) -> Revision {
        self.context.revision
    }

    /// The client's name, version and capabilities; `None` if it has not initialized this session: after a lost stream clients do
    /// not.
    pub fn client(&self) -> Option<&ClientInfo> {
        self.context.client.as_deref()
    }

    /// The capabilities that the client declared when it initialized (MCP lifecycle, capability negotiation); none if it has not.
    /// There is no need to check them before a question: if the client cannot take it, it comes back with
    /// [`Unavailable`](crate::Unavailable). Check them before work that is done only for the sake of a question.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, read_all: impl Fn() -> String) -> mcp_rill::Result<String> {
    /// if !call.capabilities().sampling {
    ///     return Ok("Read it yourself: …".to_owned());
    /// }
    /// Ok(call.sample("summary", format!("Summarize: {}", read_all()))?.required()?.text())
    /// # }
    /// ```
    pub fn capabilities(&self) -> Capabilities {
        self.client().map(|client| client.capabilities).unwrap_or_default()
    }

    /// Ends the call unless the client has all of these capabilities: with an error for the model, or since 2026-07-28 with the
    /// error that tells the client what it has to declare (−32021). A client that has not declared any passes. Questions check
    /// by themselves, and [`Elicited::required`](crate::Elicited::required) does the same after one; this is for work that
    /// should not be started in vain.
    ///
    /// # Errors
    /// If the client lacks one of them. Pass it on with `?`.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, read_all: impl Fn() -> String) -> mcp_rill::Result<String> {
    /// use mcp_rill::Capabilities;
    /// call.require(Capabilities::SAMPLING)?;
    /// let everything = read_all();
    /// Ok(call.sample("short", format!("Summarize: {everything}"))?.required()?.text())
    /// # }
    /// ```
    pub fn require(&self, needed: Capabilities) -> Result<(), CallError> {
        self.lacking(needed, true).map_or(Ok(()), |why| Err(why.into()))
    }

    /// The other end of the connection that brought this request.
    pub fn peer(&self) -> &Peer {
        &self.context.peer
    }

    /// Who is asking, where peers are authenticated.
    pub fn principal(&self) -> Option<&Principal> {
        self.context.principal.as_ref()
    }

    /// The value of a header field of the HTTP request that brought this call. The name matches in any case. `None` if it is missing,
    /// sent more than once ([`headers`](Call::headers) returns all of them), or not text (UTF-8), and where the call came as a
    /// line, without HTTP.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.context.headers.named(name);
        let value = values.next()?;
        values.next().is_none().then(|| std::str::from_utf8(value).ok()).flatten()
    }

    /// The values of all header fields of that name, in their order. What is not text (UTF-8) is left out.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.context.headers.named(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The request's `_meta` member.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
    /// let meta: serde_json::Value = call.meta().map_or(Ok(serde_json::Value::Null), |meta| serde_json::from_str(meta.text()))?;
    /// let trace = meta["example.com/trace"].as_str().unwrap_or("untraced");
    /// # Ok(()) }
    /// ```
    pub fn meta(&self) -> Option<JsonRef<'_>> {
        self.context.meta.as_ref().map(JsonCow::as_ref)
    }

    /// The trace that the request belongs to, as its `_meta` says it (`traceparent` and `tracestate`); `None` if it is not traced. Pass
    /// it on to what the handler asks of others, so that their spans are found below the client's.
    pub fn trace_context(&self) -> Option<TraceContext<'_>> {
        self.context.trace()
    }

    /// The token under which the client wants reports of progress, as JSON text; `None` if it wants none (MCP progress).
    /// [`progress`](Call::progress) checks it by itself; check it before work that is done only for the sake of progress.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, count_files: impl Fn() -> u32) {
    /// let total = call.progress_token().is_some().then(|| f64::from(count_files()));
    /// call.progress(0.0, total, Some("looking"));
    /// # }
    /// ```
    pub fn progress_token(&self) -> Option<&str> {
        self.context.progress_token()
    }

    /// How long a blocking handler may take from its start: its item's timeout, less the time of its earlier runs. The wait for a
    /// worker thread does not count. `None` on the loop's thread, where nothing times out.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, pages: &[&str], index: impl Fn(&str)) {
    /// let end = call.timeout().map(|timeout| std::time::Instant::now() + timeout);
    /// for page in pages.iter().take_while(|_| end.is_none_or(|end| std::time::Instant::now() < end)) {
    ///     index(page);
    /// }
    /// # }
    /// ```
    pub fn timeout(&self) -> Option<Duration> {
        self.context.timeout
    }

    /// True if the work should stop: the call was cancelled or has timed out, and its result will not be sent; or the server
    /// shuts down, and sends only what comes within its grace. Only a blocking handler can see this change while it runs.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, files: Vec<String>, index: impl Fn(&String)) -> usize {
    /// files.iter().take_while(|_| !call.is_cancelled()).map(index).count()
    /// # }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.handle.flags.as_ref().is_some_and(|flags| flags.is_cancelled())
    }

    /// True if nobody waits for the result any more: the call was cancelled or has timed out, its client is gone, or the grace of a
    /// shutdown is over. Unlike [`is_cancelled`](Call::is_cancelled) it is false while a server that shuts down still waits: for work
    /// that is short enough to be finished then.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, parts: Vec<String>, send: impl Fn(&String)) -> usize {
    /// parts.iter().take_while(|_| !call.is_abandoned()).map(send).count()
    /// # }
    /// ```
    pub fn is_abandoned(&self) -> bool {
        self.handle.flags.as_ref().is_some_and(|flags| flags.is_abandoned())
    }

    /// Tells the client how far the work is: `done` of `total`, in any unit. Nothing is sent if the client did not ask for
    /// progress, or if `done` is not finite or not more than before (MCP progress). A total that is not finite is left out. The
    /// message is for people; clients get it since 2025-03-26.
    ///
    /// The progress of a handler on the loop's thread arrives just before the result, which is too late for the TypeScript SDKs.
    /// Use a blocking tool or [`defer`](Call::defer) to show progress while it happens.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, pages: &[&str]) {
    /// for (page, name) in pages.iter().enumerate() {
    ///     call.progress(page as f64, Some(pages.len() as f64), Some(name));
    /// }
    /// # }
    /// ```
    pub fn progress(&mut self, done: f64, total: Option<f64>, message: Option<&str>) {
        if self.progress_token().is_some() {
            let progress = Progress { done, total, message: message.map(str::to_owned) };
            self.update(Update::Progress(progress));
        }
    }

    /// Sends a log message of this server to the client, if the session's level lets it through: [`Level::Info`] until the
    /// client sets another one (MCP logging). The data is text or any JSON value. A handler that runs again after a
    /// question does not send again what it has logged before.
    ///
    /// ```
    /// use mcp_rill::{Level, Server};
    /// let server = Server::new("backup", "1.0.0").tool("backup", "Back everything up", |(), call| {
    ///     call.log(Level::Info, "starting");
    ///     call.log_as(Level::Debug, "disk", serde_json::json!({ "free_mib": 512 }));
    ///     "done"
    /// });
    /// ```
    pub fn log(&mut self, level: Level, data: impl Into<Value>) {
        self.write_log(level, None, data.into());
    }

    /// As [`log`](Call::log), with the name of the part of the server that logs.
    pub fn log_as(&mut self, level: Level, logger: &str, data: impl Into<Value>) {
        self.write_log(level, Some(logger), data.into());
    }

    fn write_log(&mut self, level: Level, logger: Option<&str>, data: Value) {
        if self.questions.logs_again() {
            self.update(Update::Log { level, logger: logger.map(str::to_owned), data });
        }
    }

    /// Disconnects the client while the call goes on: the response to its POST ends now, and the client reconnects for the
    /// result after about `retry`, in milliseconds on the wire (MCP 2025-11-25, transports: polling). What the call sends
    /// meanwhile, questions and result included, is kept for it ([`Limits::replay_timeout`](crate::Limits::replay_timeout)).
    /// It is for calls of minutes, which proxies or sleeping machines would cut off.
    ///
    /// It does nothing where clients cannot reconnect: over HTTP+SSE, before 2025-11-25, in revisions without sessions, for
    /// clients that take no event streams, and if `replay_timeout` is 0. From a handler on the loop's thread it takes
    /// effect when that returns, so it is for blocking tools and [`defer`](Call::defer).
    ///
    /// ```
    /// use std::time::Duration;
    /// use mcp_rill::Server;
    /// let server = Server::new("backup", "1.0.0").blocking_tool("backup", "Back everything up", |(), call| {
    ///     call.disconnect(Duration::from_secs(20));
    ///     std::thread::sleep(Duration::from_secs(50));
    ///     "done"
    /// });
    /// ```
    pub fn disconnect(&mut self, retry: Duration) {
        if self.questions.logs_again() {
            self.update(Update::Disconnect(retry));
        }
    }

    fn update(&mut self, update: Update) {
        match &mut self.updates {
            Updates::Kept(updates) => updates.push(update),
            Updates::Mailed => self.handle.mailbox.update(self.handle.call, update),
        }
    }
}

/// A value of any type can be kept for as long as the session lives.
///
/// It is for handlers on the loop's thread: on worker threads several calls of one session run at once, so there is none. A session
/// ends when its client leaves, is [idle](crate::Limits::session_idle_timeout), or makes room for another one; there are at most
/// `sessions_max`. [`Event::SessionClosed`](crate::engine::Event::SessionClosed) reports it. Requests without a session keep nothing:
/// those of 2026-07-28, and of servers that [keep none](crate::Settings::sessionless). What is to outlive a session belongs into the
/// [state](crate::Server::with_state) of the server, under the [principal](Call::principal).
impl Call<'_> {
    /// The value of this type that is kept for the session; `None` if there is none.
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Dir { path: String } }
    /// struct Folder(String);
    /// let server = Server::new("shell", "1.0.0")
    ///     .tool("cd", "Change to another folder", |Dir { path }: Dir, call| match call.session_data_or_insert_with(|| Folder("/".into())) {
    ///         Some(folder) => {
    ///             folder.0 = path;
    ///             Ok("changed")
    ///         }
    ///         None => Err("this client has no session, so it must send whole paths"),
    ///     })
    ///     .tool("pwd", "Show the folder", |(), call| call.session_data().map_or("/".to_owned(), |Folder(path)| path.clone()));
    /// ```
    pub fn session_data<T: Send + 'static>(&mut self) -> Option<&mut T> {
        self.session_data.as_mut()?.get()
    }

    /// The value of this type that is kept for the session. If there is none yet, it is the one that the closure returns. `None`, and
    /// the closure is not called, if nothing can be kept: the request has no session, or the handler runs on a worker thread.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> Option<u32> {
    /// let count = call.session_data_or_insert_with::<u32>(Default::default)?;
    /// *count += 1;
    /// # Some(*count)
    /// # }
    /// ```
    pub fn session_data_or_insert_with<T: Send + 'static>(
        &mut self,
        value: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        self.session_data.as_mut()?.get_or_insert_with(value)
    }
}

impl Call<'_> {
    pub(crate) fn into_owned(self) -> Call<'static> {
        Call { context: self.context.into_owned(), ..self }
    }
}

impl CallHandle {
    /// The call's flags, made when they are first needed.
    pub(crate) fn flags(&mut self) -> &Arc<Flags> {
        self.flags.get_or_insert_default()
    }
}

impl Updates {
    pub(crate) fn take(&mut self) -> Vec<Update> {
        match self {
            Updates::Kept(updates) => std::mem::take(updates),
            Updates::Mailed => Vec::new(),
        }
    }
}

/// The values that are kept for a session, one of each type.
#[derive(Default)]
pub(crate) struct SessionData(Vec<Box<dyn Any + Send>>);

impl SessionData {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|value| value.downcast_mut())
    }

    pub(crate) fn get_or_insert_with<T: Send + 'static>(
        &mut self,
        value: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        if self.get::<T>().is_none() {
            self.0.push(Box::new(value()));
        }
        self.get()
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionData({})", self.0.len())
    }
}
