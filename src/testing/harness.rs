//! A client of a server in memory.
//!
//! *Scope:* [`Harness`]: requests, and waiting for what comes of them. *Not in scope:* messages and connections (`client`).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::access::peer::{Peer, Principal};
use crate::engine::Engine;
use crate::engine::observe::Transport;
use crate::protocol::revision::Revision;
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::server::stats::Stats;
use crate::testing::answers::{Answer, Question};
use crate::testing::client::Client;
use crate::testing::faults::{Faults, FaultsSeen};
use crate::testing::response::{Notification, Response, shown};
use crate::testing::shared::Shared;
use crate::testing::stuck::{HANG_MAX, Stuck};
use crate::testing::way::Way;

/// A client of a server in memory, for tests of handlers. The server is the real one, and so are the bytes between the two; there
/// are no sockets, and time passes only by [`advance`](Harness::advance). See the [module](crate::testing) for a whole program.
///
/// Methods that wait return as soon as the answer is there. Blocking handlers run on worker threads, as in any server, and a call
/// that is [deferred](crate::Call::defer) is finished by a thread of the program: both are waited for, for at most
/// [`patience`](Harness::patience).
///
/// # Panics
/// If the server cannot be reached, with the reason. What comes back for a request is judged by the methods of [`Response`].
pub struct Harness {
    shared: Rc<RefCell<Shared>>,
    client: Client,
}

/// A request that was [started](Harness::start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "wait for its response, or cancel it"]
pub struct Pending(i64);

impl Harness {
    /// A client of this server. It speaks the newest revision with sessions, over the transport of most clients.
    ///
    /// # Panics
    /// If the server is not valid, with the [reason](Engine::new).
    #[track_caller]
    pub fn new<X>(server: Server<X>) -> Harness {
        let mut ids = 0;
        let engine = Engine::new(server, move || {
            ids += 1;
            ids
        });
        match engine {
            Ok(engine) => Harness::of(engine),
            Err(problem) => panic!("the server is not valid: {problem}"),
        }
    }

    /// A client of an engine, such as one with a [`Service`](crate::service::Service) of your own. The harness sets its waker, its clock
    /// and its observer.
    ///
    /// ```
    /// use mcp_rill::testing::Harness;
    /// use mcp_rill::{Server, engine::Engine};
    /// let engine = Engine::new(Server::new("demo", "1.0.0"), || 1)?;
    /// assert!(Harness::of(engine).request("ping", serde_json::json!({})).is_ok());
    /// # Ok::<(), String>(())
    /// ```
    pub fn of(engine: Engine) -> Harness {
        let way = Way::of(Revision::NEWEST_WITH_SESSIONS);
        Harness { shared: Rc::new(RefCell::new(Shared::new(engine))), client: Client::new(way) }
    }

    /// Another client of the same server, with settings of its own.
    ///
    /// ```
    /// use mcp_rill::testing::{Harness, Notification};
    /// use mcp_rill::{Call, Server};
    /// use serde_json::json;
    /// let server = Server::new("shop", "1.0.0")
    ///     .tool("sell", "Sell one", |(), call: &mut Call| call.handle().resource_updated("shop:///stock"))
    ///     .resource("shop:///stock", "stock", |_| "7 left");
    /// let mut ada = Harness::new(server).principal("ada");
    /// let mut bob = ada.another().principal("bob");
    /// assert!(bob.subscribe("shop:///stock"));
    /// assert!(ada.call("sell", json!({})).is_ok());
    /// assert_eq!(bob.notifications(), [Notification::ResourceUpdated("shop:///stock".into())]);
    /// ```
    pub fn another(&self) -> Harness {
        Harness { shared: self.shared.clone(), client: Client::new(self.client.way) }
    }

    // Who the client is, and how it speaks: before its first request.

    /// Sets the principal, as a transport does that knows its peer. A hook of [`Server::authorize`] decides by itself who sends a
    /// request: for that use [`token`](Harness::token).
    #[track_caller]
    pub fn principal(self, name: &str) -> Harness {
        let principal = Some(Principal::new(name));
        let peer = Peer { principal, ..self.client.peer.clone() };
        self.peer(peer)
    }

    /// Sets all that the server knows of the other end of the connections.
    #[track_caller]
    pub fn peer(self, peer: Peer) -> Harness {
        self.set(|client| client.peer = peer)
    }

    /// Sends `Authorization: Bearer` with this token in every request. Lines have no header fields.
    #[track_caller]
    pub fn token(self, token: &str) -> Harness {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends a header field in every request.
    ///
    /// # Panics
    /// If there is a line end in it.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Harness {
        assert!(!name.contains(['\r', '\n']) && !value.contains(['\r', '\n']), "a header field is one line");
        self.set(|client| client.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Sends all requests below `/NAME`, to the server that is [mounted](Server::mount) under that name. Lines have no paths.
    #[track_caller]
    pub fn below(self, mount: &str) -> Harness {
        self.set(|client| client.below = format!("/{mount}"))
    }

    /// Sets the revision, over the transport that most clients of it use.
    #[track_caller]
    pub fn revision(self, revision: Revision) -> Harness {
        self.over(Way::of(revision))
    }

    /// Sets the transport and the revision.
    ///
    /// # Panics
    /// If this build has no such transport with that revision.
    #[track_caller]
    pub fn over(self, way: Way) -> Harness {
        if let Some(problem) = way.problem() {
            panic!("{problem}");
        }
        self.set(|client| client.way = way)
    }

    /// Sets what the client says that it can do. By default it can be asked everything.
    #[track_caller]
    pub fn capabilities(self, capabilities: Value) -> Harness {
        self.set(|client| client.capabilities = capabilities)
    }

    /// Sets what goes wrong on the connections of all clients of this server.
    ///
    /// # Panics
    /// After the first request of this client.
    #[track_caller]
    pub fn faults(self, faults: Faults) -> Harness {
        self.shared.borrow_mut().set_faults(faults);
        self.set(|_| {})
    }

    #[track_caller]
    fn set(mut self, change: impl FnOnce(&mut Client)) -> Harness {
        assert!(
            !self.client.connected,
            "this client has connected already: set this before its first request, or for `another()`"
        );
        change(&mut self.client);
        self
    }

    /// Sets the answer to the question that a handler asks under this key, whenever it is asked: JSON, a text, or any [`Answer`].
    pub fn answer(mut self, key: &str, answer: impl Into<Answer>) -> Harness {
        self.client.answers.insert(key.to_owned(), answer.into());
        self
    }

    /// Sets what answers the questions that [`answer`](Harness::answer) does not.
    pub fn on_question(mut self, answer: impl FnMut(&Question) -> Answer + 'static) -> Harness {
        self.client.on_question = Some(Box::new(answer));
        self
    }

    /// Sets how long, in real time, nothing may come from another thread until a wait is given up: 20 s by default. It holds for
    /// all clients of this server.
    pub fn patience(self, time: Duration) -> Harness {
        self.shared.borrow_mut().patience = time;
        self
    }

    // Requests.

    /// Calls a tool, and returns what came back. `arguments` is an object.
    ///
    /// ```
    /// use mcp_rill::testing::Harness;
    /// use mcp_rill::{Server, schema};
    /// use serde_json::json;
    /// schema! { struct Add { a: f64, b: f64 } }
    /// let server = Server::new("calc", "1.0.0").tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b);
    /// assert_eq!(Harness::new(server).call("add", json!({"a": 1, "b": 2})).text(), "3");
    /// ```
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Response {
        let pending = self.start(tool, arguments);
        self.wait(pending)
    }

    /// Calls a tool, and returns once its handler runs, or has ended: to [wait](Harness::wait) for it later, or to [cancel](Harness::cancel) it.
    ///
    /// ```
    /// use mcp_rill::testing::Harness;
    /// use mcp_rill::{Reply, Server};
    /// use serde_json::json;
    /// use std::{sync::mpsc, time::Duration};
    /// let (jobs, queue) = mpsc::channel::<Reply>();
    /// let server = Server::new("slow", "1.0.0").tool("work", "Work", move |(), call| call.defer(|reply| jobs.send(reply)));
    /// let mut harness = Harness::new(server);
    /// let (first, late) = (harness.start("work", json!({})), harness.start("work", json!({})));
    /// queue.recv().unwrap().finish("done");
    /// assert_eq!(harness.wait(first).text(), "done");
    /// let forgotten = queue.recv().unwrap();
    /// harness.advance(Duration::from_secs(60)); // takes no time
    /// assert!(harness.wait(late).tool_error().contains("within 60 s"));
    /// assert!(forgotten.is_cancelled());
    /// ```
    #[track_caller]
    pub fn start(&mut self, tool: &str, arguments: Value) -> Pending {
        let what = format!("the tool `{tool}`, called with {}", shown(&arguments.to_string()));
        self.connect();
        #[cfg(feature = "stateless")]
        if self.client.way.is_stateless_http() && self.client.annotated.is_none() && self.client.connected {
            let tools = self.list_or_fail("tools/list").unwrap_or_default();
            self.client.learn_annotations(&tools);
        }
        self.begin(what, "tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Reads a resource.
    #[track_caller]
    pub fn read(&mut self, uri: &str) -> Response {
        self.ask(format!("the resource `{uri}`"), "resources/read", json!({"uri": uri}))
    }

    /// Gets a prompt. `arguments` is an object of strings.
    #[track_caller]
    pub fn prompt(&mut self, name: &str, arguments: Value) -> Response {
        let what = format!("the prompt `{name}`, with {}", shown(&arguments.to_string()));
        self.ask(what, "prompts/get", json!({"name": name, "arguments": arguments}))
    }

    /// Completes an argument of a prompt from what the user has typed.
    #[track_caller]
    pub fn complete_prompt(&mut self, name: &str, argument: &str, typed: &str) -> Response {
        self.complete(json!({"type": "ref/prompt", "name": name}), argument, typed)
    }

    /// Completes a variable of a resource template from what the user has typed.
    #[track_caller]
    pub fn complete_template(&mut self, uri_template: &str, variable: &str, typed: &str) -> Response {
        self.complete(json!({"type": "ref/resource", "uri": uri_template}), variable, typed)
    }

    #[track_caller]
    fn complete(&mut self, of: Value, name: &str, value: &str) -> Response {
        let what = format!("the completion of `{name}` from {value:?}, of {of}");
        self.ask(what, "completion/complete", json!({"ref": of, "argument": {"name": name, "value": value}}))
    }

    /// Sends any other request, with params that are an object.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Response {
        self.ask(format!("the request `{method}` with {}", shown(&params.to_string())), method, params)
    }

    #[track_caller]
    fn ask(&mut self, what: String, method: &str, params: Value) -> Response {
        let pending = self.begin(what, method, params);
        self.wait(pending)
    }

    #[track_caller]
    fn begin(&mut self, what: String, method: &str, params: Value) -> Pending {
        self.connect();
        let id = self.client.request(&mut self.shared.borrow_mut(), what, method, params);
        self.settle();
        Pending(id)
    }

    /// Waits for the response to a request that was started.
    ///
    /// # Panics
    /// If there is no such request: it was waited for already, or cancelled.
    #[track_caller]
    pub fn wait(&mut self, pending: Pending) -> Response {
        let Pending(id) = pending;
        let known = self.client.open.contains_key(&id);
        let waited = self.wait_until(Some(id), |client| client.take_response(id));
        self.client.ignores = false;
        match waited {
            Ok(response) => return response,
            Err(_) if !known => panic!("this request was cancelled, or its response was taken already"),
            Err(stuck) => stuck.explain(id, &mut self.client, &mut self.shared.borrow_mut()),
        }
        match self.client.take_response(id) {
            Some(response) => response,
            None => panic!("this request was cancelled while it was waited for"),
        }
    }

    /// Cancels a request that was started, as clients do in this transport and revision.
    #[track_caller]
    pub fn cancel(&mut self, pending: Pending) {
        self.client.cancel(&mut self.shared.borrow_mut(), pending.0);
        self.settle();
    }

    // Lists.

    /// Returns the names of the tools that the client sees.
    #[track_caller]
    pub fn tools(&mut self) -> Vec<String> {
        self.names("tools/list", "name")
    }

    /// Returns the URIs of the resources that the client sees, those that are listed on demand included.
    #[track_caller]
    pub fn resources(&mut self) -> Vec<String> {
        self.names("resources/list", "uri")
    }

    /// Returns the templates of URIs that the client sees.
    #[track_caller]
    pub fn templates(&mut self) -> Vec<String> {
        self.names("resources/templates/list", "uriTemplate")
    }

    /// Returns the names of the prompts that the client sees.
    #[track_caller]
    pub fn prompts(&mut self) -> Vec<String> {
        self.names("prompts/list", "name")
    }

    #[track_caller]
    fn names(&mut self, method: &str, member: &str) -> Vec<String> {
        let name = |item: &Value| item[member].as_str().unwrap_or_default().to_owned();
        self.list(method).iter().map(name).collect()
    }

    /// Returns all pages of a list, such as `tools/list`: its items as they are on the wire.
    ///
    /// # Panics
    /// If the server answers with an error.
    #[track_caller]
    pub fn list(&mut self, method: &str) -> Vec<Value> {
        match self.list_or_fail(method) {
            Ok(items) => items,
            Err(response) => panic!("a list was expected of {response}"),
        }
    }

    #[track_caller]
    fn list_or_fail(&mut self, method: &str) -> Result<Vec<Value>, Box<Response>> {
        let (mut items, mut params) = (Vec::new(), json!({}));
        loop {
            let response = self.ask(format!("the list `{method}`"), method, params);
            let Ok(page) = &response.outcome else { return Err(Box::new(response)) };
            let lists = page.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_array());
            items.extend(lists.flatten().cloned());
            match page.get("nextCursor") {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(items),
            }
        }
    }

    // Subscriptions and notifications.

    /// Subscribes to a resource. Returns true if the server will announce its changes to this client.
    #[track_caller]
    pub fn subscribe(&mut self, uri: &str) -> bool {
        self.connect();
        #[cfg(feature = "stateless")]
        if !self.client.way.revision.has_sessions() {
            self.client.listening.uris.push(uri.to_owned());
            self.listen();
            return self.client.listening.promises(uri);
        }
        self.ask(format!("the subscription to `{uri}`"), "resources/subscribe", json!({"uri": uri})).is_ok()
    }

    /// Ends a subscription.
    #[track_caller]
    pub fn unsubscribe(&mut self, uri: &str) {
        #[cfg(feature = "stateless")]
        if !self.client.way.revision.has_sessions() {
            self.client.listening.uris.retain(|subscribed| subscribed != uri);
            return self.listen();
        }
        let what = format!("the end of the subscription to `{uri}`");
        let _ = self.ask(what, "resources/unsubscribe", json!({"uri": uri})).result();
    }

    /// Returns the notifications that have come since the last call, in order, without waiting for more: progress, logs, and
    /// changes of lists and resources.
    #[track_caller]
    pub fn notifications(&mut self) -> Vec<Notification> {
        self.connect();
        self.settle();
        self.client.notifications.drain(..).collect()
    }

    /// Waits for the next notification, such as one that another thread causes.
    ///
    /// # Panics
    /// If none comes within [`patience`](Harness::patience).
    #[track_caller]
    pub fn next_notification(&mut self) -> Notification {
        self.connect();
        match self.wait_until(None, |client| client.notifications.pop_front()) {
            Ok(notification) => notification,
            Err(_) => {
                let patience = self.shared.borrow().patience;
                panic!("no notification came within {patience:?} of real time ({})", self.client.way)
            }
        }
    }

    /// Sends a notification, with params that are an object.
    #[track_caller]
    pub fn notify(&mut self, method: &str, params: Value) {
        self.connect();
        self.client.notify(&mut self.shared.borrow_mut(), method, params);
        self.settle();
    }

    // Time, and the server itself.

    /// Lets virtual time pass for the server: every deadline in it is met, in order, at once. Handlers that run on other threads
    /// are not waited for.
    pub fn advance(&mut self, time: Duration) {
        self.settle();
        self.shared.borrow_mut().advance(time);
        self.settle();
    }

    /// Breaks all connections of this client, and ends its session. Its open requests are cancelled. With the next request it
    /// connects anew.
    pub fn disconnect(&mut self) {
        self.client.disconnect(&mut self.shared.borrow_mut());
        self.settle();
    }

    /// Returns a [`Handle`] on the server.
    pub fn handle(&self) -> Handle {
        self.shared.borrow().sockets.engine.handle()
    }

    /// Begins a shutdown of the server, which may take so much virtual time.
    pub fn shutdown(&mut self, grace: Duration) {
        self.shared.borrow_mut().sockets.shutdown(grace);
        self.settle();
    }

    /// Returns the server's counters and gauges.
    pub fn stats(&self) -> Stats {
        self.shared.borrow().sockets.engine.stats()
    }

    /// Returns how often something went wrong on the connections, by [`faults`](Harness::faults).
    pub fn faults_seen(&self) -> FaultsSeen {
        self.shared.borrow().faults_seen()
    }

    /// Returns the result of `initialize`: capabilities, instructions, who the server is. Null since 2026-07-28, where there is none:
    /// [`request`](Harness::request) `server/discover` instead.
    #[track_caller]
    pub fn initialize_result(&mut self) -> Value {
        self.connect();
        self.client.welcome.clone()
    }

    // Connecting and waiting.

    /// Connects, if that is still to be done. If the server refuses that, each request finds out why by itself.
    #[track_caller]
    fn connect(&mut self) {
        if self.client.connected {
            return;
        }
        self.client.open_connections(&mut self.shared.borrow_mut());
        if self.client.way.transport == Transport::Sse {
            self.settle();
            if self.client.endpoint.is_none() {
                return;
            }
        }
        if self.client.way.revision.has_sessions() {
            self.initialize();
        } else {
            self.client.connected = true;
            #[cfg(feature = "stateless")]
            self.listen();
        }
    }

    #[track_caller]
    fn initialize(&mut self) {
        let revision = self.client.way.revision;
        let params = json!({
            "protocolVersion": revision.name(), "capabilities": self.client.capabilities,
            "clientInfo": {"name": "harness", "version": "1"},
        });
        let id = self.client.request(
            &mut self.shared.borrow_mut(),
            "the request `initialize`".to_owned(),
            "initialize",
            params,
        );
        let response = self.wait(Pending(id));
        let Ok(welcome) = &response.outcome else { return };
        let agreed = &welcome["protocolVersion"];
        assert_eq!(agreed, revision.name(), "the server answered with another revision");
        self.client.welcome = welcome.clone();
        self.client.connected = true;
        self.client.notify(&mut self.shared.borrow_mut(), "notifications/initialized", json!({}));
        self.client.open_stream(&mut self.shared.borrow_mut());
        if !self.client.welcome["capabilities"]["logging"].is_null() {
            let _ = self.request("logging/setLevel", json!({"level": "debug"})).result();
        }
        self.settle();
    }

    /// Asks for notifications, and waits until the server has said which ones come.
    #[cfg(feature = "stateless")]
    #[track_caller]
    fn listen(&mut self) {
        let id = self.client.listen(&mut self.shared.borrow_mut());
        let answered = self.wait_until(Some(id), |client| {
            (client.listening.promised.is_some() || !client.open.contains_key(&id)).then_some(())
        });
        if answered.is_err() {
            panic!("the server does not answer `subscriptions/listen` ({})", self.client.way);
        }
        // A server without anything to announce ends it at once; one that refuses says why with every other request, too.
        let _ = self.client.take_response(id);
    }

    /// Does all that can be done without waiting.
    fn settle(&mut self) {
        self.client.settle(&mut self.shared.borrow_mut());
    }

    /// Waits until there is something. `request` is what it is for, if it is a request.
    fn wait_until<T>(
        &mut self,
        request: Option<i64>,
        mut ready: impl FnMut(&mut Client) -> Option<T>,
    ) -> Result<T, Stuck> {
        let mut until = self.shared.borrow().give_up_at();
        let mut passed = Duration::ZERO;
        loop {
            let came = self.client.turn(&mut self.shared.borrow_mut());
            if let Some(found) = ready(&mut self.client) {
                return Ok(found);
            }
            if came {
                until = self.shared.borrow().give_up_at();
                continue;
            }
            if let Some(question) = request.and_then(|id| self.client.take_unanswered(id)) {
                return Err(Stuck::Asked(question));
            }
            if request.is_some_and(|id| !self.client.open.contains_key(&id)) {
                return Err(Stuck::Silent);
            }
            let shared = &mut *self.shared.borrow_mut();
            if shared.is_due() || shared.read_slowly() || self.client.come_back(shared, true) {
                continue;
            }
            if self.client.ignores
                && passed < HANG_MAX
                && let Some(time) = shared.advance_to_deadline()
            {
                passed += time;
                continue;
            }
            if !shared.wait_for_threads(until) {
                return Err(Stuck::Silent);
            }
        }
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("way", &self.client.way)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
