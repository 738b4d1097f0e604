//! The builder: a server's description, its items, and its settings.
//!
//! *Scope:* [`Server`], which collects handlers and settings.
//! *Not in scope:* listening (that is `net`), and answering requests (that is `handler_service`).

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::Value;

use crate::access::peer::Principal;
use crate::access::route::{Route, RouteRequest, RouteResponse, Routes};
use crate::access::settings::Settings;
use crate::limits::Limits;
use crate::protocol::cache::{CacheHint, CacheScope};
use crate::protocol::check;
use crate::protocol::content::{IntoResource, IntoToolResult};
use crate::protocol::description::{Implementation, Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::error::CallError;
use crate::protocol::extensions::Extensions;
use crate::protocol::icon::Icon;
use crate::protocol::prompt::IntoPrompt;
#[cfg(feature = "stateless")]
use crate::protocol::state_key::StateKey;
use crate::protocol::uri::Vars;
use crate::protocol::uri::normal::normalize_template;
use crate::server::arguments::Arguments;
use crate::server::call::Call;
use crate::server::complete::{Completed, Completer, completing};
use crate::server::hooks::{BeforeCall, Permit};
use crate::server::item::Item;
use crate::server::registry::Registry;
use crate::server::state::StateTypes;
use crate::service::ended::CallKind;
use crate::service::router::Join;

/// A server: who it is, what it offers, and what it allows.
///
/// Handlers run one at a time on the thread that runs the server, so what one closure owns needs no lock. The
/// [guide](crate::guide#what-a-server-can-say-of-itself) shows every setter.
///
/// ```
/// use mcp_rill::{Server, schema};
/// schema! { struct Add { /// First addend.
///     a: f64, /// Second addend.
///     b: f64 } }
/// schema! { struct Explain { /// What to explain.
///     term: String } }
/// let server = Server::new("calc", "1.0.0")
///     .instructions("Adds numbers.")
///     .tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
///     .resource("calc:///pi", "pi", |_| "3.14159")
///     .template("calc:///square/{n}", "square", |vars, _| -> mcp_rill::Result<_> {
///         let n: f64 = vars.get("n").unwrap_or_default().parse()?;
///         Ok((n * n).to_string())
///     })
///     .prompt("explain", "Explain a term", |Explain { term }: Explain, _| format!("Explain what `{term}` means."))
///     .limits(mcp_rill::Limits { sessions_max: 8, ..Default::default() });
/// ```
///
/// Where several handlers need the same thing, such as a connection to a database, the server owns it as their
/// [state](Server::with_state). `X` is `()` for a server without a state, which is `Server` for short.
pub struct Server<X = ()> {
    pub(crate) info: Implementation,
    pub(crate) instructions: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) routes: Routes,
    pub(crate) registry: Registry,
    pub(crate) list_cache: CacheHint,
    /// The current key and the previous one.
    #[cfg(feature = "stateless")]
    pub(crate) state_keys: [Option<StateKey>; 2],
    #[cfg(feature = "auth")]
    pub(crate) authorize: Option<crate::server::admission::AuthorizeHook>,
    pub(crate) extensions: Extensions,
    pub(crate) permit: Permit,
    pub(crate) before_call: BeforeCall,
    /// Servers below paths of this one, with their names.
    pub(crate) mounts: Vec<(String, Server)>,
    /// Set with the first mount, and nowhere else: a program without mounts does not have the code for them.
    pub(crate) mounting: Option<Mounting>,
    problems: Vec<String>,
    state: PhantomData<fn(X)>,
}

/// What a server with mounts needs, and no other one.
#[derive(Clone, Copy)]
pub(crate) struct Mounting {
    /// Returns the outer server, checked, and the mounted ones with their names.
    pub(crate) prepare: fn(Server, &StateTypes) -> Result<Apart, String>,
    pub(crate) join: Join,
}

/// The outer server, and those that are mounted in it.
pub(crate) type Apart = (Server, Vec<(Server, String)>);

impl Server {
    /// A server with its program's name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Server {
        Server::begin(name, version)
    }
}

impl<X> Server<X> {
    pub(crate) fn begin(name: impl Into<String>, version: impl Into<String>) -> Server<X> {
        Server {
            info: Implementation::new(name, version),
            instructions: None,
            limits: Limits::DEFAULT,
            settings: Settings::default(),
            routes: Routes::default(),
            registry: Registry::default(),
            list_cache: CacheHint::default(),
            #[cfg(feature = "stateless")]
            state_keys: [None; 2],
            #[cfg(feature = "auth")]
            authorize: None,
            extensions: Extensions::default(),
            permit: Permit::default(),
            before_call: BeforeCall::default(),
            mounts: Vec::new(),
            mounting: None,
            problems: Vec::new(),
            state: PhantomData,
        }
    }

    /// The same server as another type.
    pub(crate) fn retyped<Y>(self) -> Server<Y> {
        Server {
            info: self.info,
            instructions: self.instructions,
            limits: self.limits,
            settings: self.settings,
            routes: self.routes,
            registry: self.registry,
            list_cache: self.list_cache,
            #[cfg(feature = "stateless")]
            state_keys: self.state_keys,
            #[cfg(feature = "auth")]
            authorize: self.authorize,
            extensions: self.extensions,
            permit: self.permit,
            before_call: self.before_call,
            mounts: self.mounts,
            mounting: self.mounting,
            problems: self.problems,
            state: PhantomData,
        }
    }

    /// Sets a name for people.
    pub fn title(mut self, title: impl Into<String>) -> Server<X> {
        self.info = self.info.title(title);
        self
    }

    /// Sets the text that says what the server is for.
    pub fn description(mut self, description: impl Into<String>) -> Server<X> {
        self.info = self.info.description(description);
        self
    }

    /// Sets the address of the page where people read more.
    pub fn website_url(mut self, url: impl Into<String>) -> Server<X> {
        self.info = self.info.website_url(url);
        self
    }

    /// Adds an icon.
    pub fn icon(mut self, icon: Icon) -> Server<X> {
        self.info = self.info.icon(icon);
        self
    }

    /// Sets the text that says how to use the server; clients may give it to the model.
    pub fn instructions(mut self, text: impl Into<String>) -> Server<X> {
        self.instructions = Some(text.into());
        self
    }

    /// Sets how long clients may keep lists and the result of `server/discover`, and who may share them (MCP 2026-07-28, caching).
    /// Without this they may not. Clients that listen are told of changes in any case. A page with an item that not all clients
    /// [see](Tool::visible) is marked as private.
    pub fn cache_lists(mut self, ttl: Duration, scope: CacheScope) -> Server<X> {
        self.list_cache = CacheHint { ttl, scope };
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: Limits) -> Server<X> {
        self.limits = limits;
        self
    }

    /// Replaces the HTTP settings.
    pub fn settings(mut self, settings: Settings) -> Server<X> {
        self.settings = settings;
        self
    }

    /// Answers health checks: `GET /healthz`, `/livez` and `/readyz`, as [`Settings::health`] says.
    ///
    /// ```
    /// let server = mcp_rill::Server::new("clock", "1.0.0").health().tool("tick", "Tick", |(), _| "tock");
    /// ```
    pub fn health(mut self) -> Server<X> {
        self.settings.health = true;
        self
    }

    /// Serves a path besides those of MCP: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`. A route of `GET` answers `HEAD`, too. The path is
    /// relative to the [base path](crate::Settings::base_path).
    ///
    /// The request has passed the checks of Host and Origin, and the hook that authorizes requests, if there is one. Its body has at most
    /// `body_bytes_max` bytes, and the response at most `message_bytes_max`; both are buffered whole. The handler runs on the server's
    /// thread, so it must not block. If it panics the client gets 500. Other methods of the path get 405.
    ///
    /// ```
    /// use mcp_rill::{RouteResponse, Server};
    /// let server = Server::new("router", "1.0.0")
    ///     .tool("reboot", "Restart the router", |(), _| "restarting")
    ///     .route("GET", "/version", |_| RouteResponse::text(200, env!("CARGO_PKG_VERSION")))
    ///     .route("POST", "/hook", |request| match request.body() {
    ///         b"up" => RouteResponse::new(204),
    ///         _ => RouteResponse::text(400, "send `up`"),
    ///     });
    /// ```
    pub fn route(
        mut self,
        method: &str,
        path: &str,
        handler: impl FnMut(&RouteRequest<'_>) -> RouteResponse + Send + 'static,
    ) -> Server<X> {
        self.routes.0.push(Route::new(method, path, Box::new(handler)));
        self
    }

    /// Allows requests that name this host. Case does not matter, and there is no port in it.
    pub fn allow_host(mut self, host: impl Into<String>) -> Server<X> {
        self.settings.hosts.push(host.into());
        self
    }

    /// Allows requests from web pages of this origin, such as `https://app.example`.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Server<X> {
        self.settings.origins.push(origin.into());
        self
    }

    /// Allows listening on addresses that other machines can reach, although peers are not authenticated.
    pub fn insecure_public(mut self) -> Server<X> {
        self.settings.insecure_public = true;
        self
    }

    /// Adds an item: a tool, resource, template or prompt with more than a name, a description and a handler.
    ///
    /// ```
    /// use mcp_rill::{Server, Tool};
    /// let server = Server::new("notes", "1.0.0")
    ///     .offer(Tool::new("count", "Count the notes").title("How many notes?").read_only(true).handler(|(), _| 2));
    /// ```
    pub fn offer(mut self, item: Item) -> Server<X> {
        let added = item.0.and_then(|entry| self.registry.add(entry));
        self.problems.extend(added.err());
        self
    }
}

impl Server {
    /// Adds a tool. The handler's first argument is a struct made by [`schema!`](crate::schema!), `()` for a tool without
    /// arguments, or a [`Value`]. [`IntoToolResult`] lists what it may return.
    pub fn tool<A: Arguments, R: IntoToolResult>(
        self,
        name: &str,
        description: &str,
        handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> Server {
        self.offer(Tool::new(name, description).handler(handler))
    }

    /// Adds a resource with a fixed URI. [`IntoResource`] lists what the handler may return.
    pub fn resource<R: IntoResource>(
        self,
        uri: &str,
        name: &str,
        handler: impl FnMut(&mut Call) -> R + Send + 'static,
    ) -> Server {
        self.offer(Resource::new(uri, name).handler(handler))
    }

    /// Adds a family of resources by a URI template of `{name}` and `{+name}` (RFC 6570); the handler gets the variables'
    /// values. Those of `{+name}` are paths that can be joined to that of a folder; [`uri`](crate::protocol::uri) has the rules.
    ///
    /// ```
    /// use std::path::Path;
    /// let server = mcp_rill::Server::new("manual", "1.0.0")
    ///     .template("manual:///{+page}", "page", |vars, _| -> mcp_rill::Result<_> {
    ///         let page = vars.get("page").unwrap_or_default();
    ///         Ok(std::fs::read_to_string(Path::new("/usr/share/manual").join(page))?)
    ///     });
    /// ```
    pub fn template<R: IntoResource>(
        self,
        uri_template: &str,
        name: &str,
        handler: impl FnMut(&Vars, &mut Call) -> R + Send + 'static,
    ) -> Server {
        self.offer(ResourceTemplate::new(uri_template, name).handler(handler))
    }

    /// Adds a prompt. The handler's first argument is a struct of strings made by [`schema!`](crate::schema!), or `()`.
    /// [`IntoPrompt`] lists what it may return.
    pub fn prompt<A: Arguments, R: IntoPrompt>(
        self,
        name: &str,
        description: &str,
        handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> Server {
        self.offer(Prompt::new(name, description).handler(handler))
    }
}

impl<X> Server<X> {
    /// Completes an argument of a prompt while the user types (MCP completion): from a list of values, or by a closure.
    /// Arguments that are enums of `schema!` are completed from their values without this. A completion stays when
    /// [`Handle::offer`](crate::Handle::offer) replaces the prompt, and is removed with it. The server does not start if the
    /// prompt or argument does not exist; it may be added after its completion. Arguments of handlers that take any JSON are
    /// declared by [`Prompt::argument`].
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Review { language: String, file: String } }
    /// let server = Server::new("review", "1.0.0")
    ///     .prompt("review", "Review a file", |Review { language, file }: Review, _| format!("Review {file} ({language})."))
    ///     .complete_prompt("review", "language", ["c", "python", "rust"])
    ///     .complete_prompt("review", "file", |partial: &mcp_rill::CompletionRequest| match partial.other("language") {
    ///         Some("rust") => vec![format!("{}.rs", partial.value())],
    ///         _ => vec![],
    ///     });
    /// ```
    pub fn complete_prompt(
        mut self,
        prompt: &str,
        argument: &str,
        completer: impl Completer + 'static,
    ) -> Server<X> {
        self.registry.complete(Completed::Prompt(prompt.to_owned()), argument, completing(completer));
        self
    }

    /// Completes a variable of a resource template, as [`complete_prompt`](Server::complete_prompt); see [`Completer`].
    pub fn complete_template(
        mut self,
        uri_template: &str,
        variable: &str,
        completer: impl Completer + 'static,
    ) -> Server<X> {
        let of = Completed::Template(normalize_template(uri_template));
        self.registry.complete(of, variable, completing(completer));
        self
    }
}

impl Server {
    /// Checks everything before anything is served.
    ///
    /// # Errors
    /// One sentence for each problem: a name used twice, a schema that is not JSON, a completion for an argument that does not
    /// exist, limits or paths that are not possible, a handler that takes another state than these.
    pub(crate) fn checked(mut self, states: &StateTypes) -> Result<Server, String> {
        self.problems.extend(check::check_info(&self.info).err());
        self.problems.extend(completion_problems(&self.registry));
        self.problems.extend(self.registry.state_problems(states));
        self.problems.extend(self.extensions.problems());
        if let Err(problem) = self.limits.check() {
            self.problems.push(problem);
        }
        match self.settings.clone().checked() {
            Ok(settings) => self.settings = settings,
            Err(problem) => self.problems.push(problem),
        }
        if self.problems.is_empty() { Ok(self) } else { Err(self.problems.join("; ")) }
    }
}

impl<X> std::fmt::Debug for Server<X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Server {
    /// Sets the hook that decides who is told of changes of which resource. It gets the URI in
    /// [normal form](crate::uri::normalize) and the principal, where peers are authenticated. It is asked when a client
    /// subscribes (`resources/subscribe`, `subscriptions/listen`), and again before each notification, so that withdrawing a
    /// right takes effect at once. A client that it refuses is answered as if there were no such resource, and gets no
    /// notifications.
    ///
    /// Without a hook the resource's handler decides when a client subscribes: it runs as for `resources/read`, for that
    /// client and with that request, and its result is discarded. Any error refuses the subscription. So a client that may
    /// not read a resource cannot subscribe to it, and a resource that does not exist yet has no subscribers. The answer waits for
    /// a handler that blocks or defers. A handler that asks the client does so during `resources/subscribe`, too; during
    /// `subscriptions/listen` nothing can be asked, so its resource is left out there. The handler is not asked again for each
    /// notification. Set a hook where rights to single resources can be withdrawn while a client stays, or where reading is
    /// expensive: a client may subscribe to `subscriptions_max` resources at once.
    ///
    /// The hook runs on the loop's thread and must not block. A panic counts as a refusal.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::{Arc, Mutex};
    /// let owners = Arc::new(Mutex::new(BTreeMap::from([("note:///5".to_owned(), "ada".to_owned())])));
    /// let rights = owners.clone();
    /// let server = mcp_rill::Server::new("notes", "1.0.0")
    ///     .template("note:///{id}", "note", |_, _| "a long read")
    ///     .on_subscribe(move |uri, principal| match (rights.lock(), principal) {
    ///         (Ok(rights), Some(principal)) => rights.get(uri).is_some_and(|owner| owner == principal.name()),
    ///         _ => false,
    ///     });
    /// owners.lock().unwrap().remove("note:///5"); // from here on nobody is told of it
    /// ```
    pub fn on_subscribe(
        mut self,
        mut hook: impl FnMut(&str, Option<&Principal>) -> bool + Send + 'static,
    ) -> Server {
        self.permit = Permit(Some(Box::new(move |_, uri, principal| hook(uri, principal))));
        self
    }

    /// Sets the hook that is called before each handler: for scopes, quotas, and records of who does what. If it returns an error, that
    /// is the answer, and the handler does not run. It gets the call, its kind, and the tool's or prompt's name or the resource's URI.
    /// It is called once for each request of a tool, resource, prompt or completion, for the list of a
    /// [template](ResourceTemplate::list), and where a handler [decides](Server::on_subscribe) about a subscription; not again when a handler
    /// runs again after a question. (A client of 2026-07-28 answers questions in a new request.)
    ///
    /// What a client does not [see](Tool::visible) does not exist: it is refused before this, in the same words.
    ///
    /// The hook runs on the loop's thread and must not block, and it cannot ask the client. A panic refuses the call (−32603).
    /// [`Event::CallEnded`](crate::engine::Event::CallEnded) reports how each call has ended.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use mcp_rill::{CallError, Server, engine::CallKind};
    /// let mut left: BTreeMap<String, u32> = BTreeMap::new();
    /// let server = Server::new("oracle", "1.0.0")
    ///     .tool("ask", "Ask the oracle", |(), _| "yes")
    ///     .before_call(move |call, kind, name| {
    ///         let (CallKind::Tool, "ask") = (kind, name) else { return Ok(()) };
    ///         let who = call.principal().ok_or_else(|| CallError::new(4001, "the oracle wants to know your name"))?;
    ///         let left = left.entry(who.name().to_owned()).or_insert(10);
    ///         *left = left.checked_sub(1).ok_or_else(|| CallError::new(4002, "ten questions are enough"))?;
    ///         Ok(())
    ///     });
    /// ```
    pub fn before_call(
        mut self,
        mut hook: impl FnMut(&mut Call, CallKind, &str) -> Result<(), CallError> + Send + 'static,
    ) -> Server {
        self.before_call = BeforeCall(Some(Box::new(move |_, call, kind, name| hook(call, kind, name))));
        self
    }

    /// Asks the hook about this URI in normal form; `None` if there is no hook.
    pub(crate) fn may_subscribe(&mut self, uri: &str, principal: Option<&Principal>) -> Option<bool> {
        self.permit.ask(&mut *self.registry.states.own, uri, principal)
    }

    /// True if a principal that has subscribed to the URI may still get its notifications.
    pub(crate) fn still_permits(&mut self, uri: &str, principal: Option<&Principal>) -> bool {
        self.may_subscribe(uri, principal).unwrap_or(true)
    }
}

/// Returns what is wrong with completions: each must be for an argument that exists.
pub(crate) fn completion_problems(registry: &Registry) -> Vec<String> {
    let Registry { prompts, templates, completions, .. } = registry;
    let problem = |(of, argument): &(Completed, String)| match of {
        Completed::Prompt(name) => match prompts.get(name) {
            None => Some(format!("complete_prompt: there is no prompt `{name}`")),
            Some((prompt, ..)) if prompt.arguments.iter().any(|known| known.name == *argument) => None,
            Some(_) => Some(format!(
                "complete_prompt: prompt `{name}` has no argument `{argument}` (Prompt::argument declares those of handlers \
                 that take any JSON)"
            )),
        },
        Completed::Template(text) => match templates.get(text) {
            None => Some(format!("complete_template: there is no resource template `{text}`")),
            Some((_, template, ..)) if template.variables().any(|known| known == argument) => None,
            Some(_) => {
                Some(format!("complete_template: resource template `{text}` has no variable `{argument}`"))
            }
        },
    };
    completions.keys().filter_map(problem).collect()
}

impl<X> Server<X> {
    /// Declares that the server speaks an extension of MCP, with its settings: a JSON object, `{}` if there are none. It is sent
    /// as it is among the capabilities, in every revision: the older ones leave the set of capabilities open, and clients of
    /// MCP Apps look for it there. The same name again replaces the settings.
    ///
    /// ```
    /// use mcp_rill::{Resource, Server, Tool};
    /// use serde_json::json;
    /// let server = Server::new("weather", "1.0.0")
    ///     .extension("io.modelcontextprotocol/ui", json!({ "mimeTypes": ["text/html;profile=mcp-app"] }))
    ///     .offer(
    ///         Tool::new("weather", "The weather, with a picture")
    ///             .meta("ui", json!({ "resourceUri": "ui://weather" }))
    ///             .handler(|(), _| "sunny"),
    ///     )
    ///     .offer(
    ///         Resource::new("ui://weather", "weather")
    ///             .mime_type("text/html;profile=mcp-app")
    ///             .handler(|_| "<p>A picture of the weather</p>"),
    ///     );
    /// ```
    pub fn extension(mut self, name: impl Into<String>, settings: impl Into<Value>) -> Server<X> {
        self.extensions.0.insert(name.into(), settings.into());
        self
    }
}

impl<X> Server<X> {
    /// Lets web pages of allowed origins read answers: see [`Settings::cors`].
    #[cfg(feature = "browser")]
    pub fn cors(mut self) -> Server<X> {
        self.settings.cors = true;
        self
    }

    /// Keeps no sessions for clients before 2026-07-28, so that any of several processes can serve any request: see
    /// [`Settings::sessionless`].
    ///
    /// ```
    /// let server = mcp_rill::Server::new("clock", "1.0.0").sessionless().tool("tick", "Tick", |(), _| "tock");
    /// ```
    pub fn sessionless(mut self) -> Server<X> {
        self.settings.sessionless = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::annotations::Annotations;
    use crate::protocol::description::PromptArgument;

    crate::schema! { struct Named { name: String } }

    fn problems(server: Server) -> String {
        server.checked(&StateTypes::default()).err().unwrap_or_default()
    }

    #[test]
    fn completions_are_for_arguments_that_exist() {
        let begun = || {
            Server::new("s", "1")
                .complete_prompt("typed", "name", ["x"])
                .complete_prompt("any", "declared", ["x"])
                .complete_template("note:///{id}", "id", ["x"])
        };
        let any = Prompt::new("any", "Any").argument(PromptArgument::new("declared"));
        let whole = |server: Server| {
            server
                .prompt("typed", "Typed", |_: Named, _| "x")
                .offer(any.clone().handler(|_: serde_json::Value, _| "x"))
                .template("note:///{id}", "note", |_, _| "x")
        };
        assert_eq!(problems(whole(begun())), "");
        assert_eq!(
            problems(begun()),
            "complete_prompt: there is no prompt `any`; complete_prompt: there is no prompt `typed`; complete_template: \
             there is no resource template `note:///{id}`"
        );
        let argument = "(Prompt::argument declares those of handlers that take any JSON)";
        for (server, problem) in [
            (
                begun().complete_prompt("typed", "nam", ["x"]),
                format!("complete_prompt: prompt `typed` has no argument `nam` {argument}"),
            ),
            (
                begun().complete_prompt("any", "other", ["x"]),
                format!("complete_prompt: prompt `any` has no argument `other` {argument}"),
            ),
            (
                begun().complete_template("note:///{id}", "ids", ["x"]),
                "complete_template: resource template `note:///{id}` has no variable `ids`".to_owned(),
            ),
        ] {
            assert_eq!(problems(whole(server)), problem);
        }
    }

    #[test]
    fn names_are_not_empty() {
        assert_eq!(problems(Server::new("", "1")), "the server has no name");
        let server = || Server::new("s", "1");
        assert_eq!(problems(server().prompt("", "x", |(), _| "x")), "a prompt has no name");
        assert!(problems(server().tool("", "x", |(), _| "x")).starts_with("tool ``: a name has 1 to 128"));
    }

    #[test]
    fn uris_of_lists_are_uris() {
        let begun = || Server::new("s", "1");
        let resource = |uri: &str| problems(begun().resource(uri, "r", |_| "x"));
        assert_eq!(resource("calc:///pi"), "");
        assert_eq!(resource("pi"), "resource `pi`: a URI begins with a scheme, such as `file:`");
        assert_eq!(resource("memo://x y"), "resource `memo://x y`: ` ` cannot stand in a URI; write %20");
        let template = |text: &str| problems(begun().template(text, "t", |_, _| "x"));
        for text in ["{scheme}://x", "x:{a}", "http://{host}:{port}/{a}-{b}", "x:y"] {
            assert_eq!(template(text), "", "{text}");
        }
        assert_eq!(
            template("notes/{id}"),
            "resource template `notes/{id}`: a URI begins with a scheme, such as `file:`"
        );
        assert_eq!(template("http:///{id}"), "resource template `http:///{id}`: has no host");
        let icon = || Icon::new("https://a.example/b c.png");
        let problem = "its icon `https://a.example/b c.png`: ` ` cannot stand in a URI; write %20";
        for (server, item) in [
            (begun().icon(icon()), "the server"),
            (begun().offer(Tool::new("t", "").icon(icon()).handler(|(), _| "x")), "tool `t`"),
            (begun().offer(Prompt::new("p", "").icon(icon()).handler(|(), _| "x")), "prompt `p`"),
            (begun().offer(Resource::new("x:y", "r").icon(icon()).handler(|_| "x")), "resource `x:y`"),
            (
                begun().offer(ResourceTemplate::new("x:{y}", "r").icon(icon()).handler(|_, _| "x")),
                "resource template `x:{y}`",
            ),
        ] {
            assert_eq!(problems(server), format!("{item}: {problem}"));
        }
        assert_eq!(
            problems(begun().website_url("calc.example")),
            "the server: its website URL `calc.example`: a URI begins with a scheme, such as `file:`"
        );
    }

    #[test]
    fn times_in_lists_are_times() {
        let old = Annotations::default().last_modified("yesterday");
        let server = Server::new("s", "1").offer(Resource::new("x:y", "r").annotations(old).handler(|_| "x"));
        assert_eq!(
            problems(server),
            "resource `x:y`: `lastModified` \"yesterday\" is not a time such as 2026-01-31T09:00:00Z"
        );
    }
}
