//! Servers with a state that their handlers share.
//!
//! *Scope:* making them, and the short forms of [`Server`] whose closures take the state first. *Not in scope:* the state itself
//! (`state`), and the other setters, which are those of every server (`builder`).

use std::sync::Arc;

use crate::access::peer::Principal;
use crate::protocol::content::{IntoResource, IntoToolResult};
use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::error::CallError;
use crate::protocol::prompt::IntoPrompt;
use crate::protocol::uri::Vars;
use crate::protocol::uri::normal::normalize_template;
use crate::server::arguments::Arguments;
use crate::server::builder::Server;
use crate::server::call::Call;
use crate::server::complete::{Completed, Completing, CompletionRequest};
use crate::server::handler::other_state;
use crate::server::hooks::{BeforeCall, Permit};
use crate::server::state::State;
use crate::service::ended::CallKind;

impl<S: Send + 'static> Server<State<S>> {
    /// A server that owns a state, which its handlers share: each gets `&mut S` before its other arguments. There is no lock,
    /// because they run one at a time on the loop's thread.
    ///
    /// A closure that is a handler owns what it captures, so two of them cannot own the same connection or map. This is how five of
    /// them use one. Handlers are methods here, but closures will do:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use mcp_rill::{Call, CallError, Result, Server, schema, uri::Vars};
    ///
    /// schema! { struct Put { /// Its name.
    ///     name: String, /// What it says.
    ///     text: String } }
    /// schema! { struct Named { /// Its name.
    ///     name: String } }
    ///
    /// /// It could as well hold a connection to a database.
    /// #[derive(Default)]
    /// struct Notes { texts: BTreeMap<String, String> }
    ///
    /// impl Notes {
    ///     fn put(&mut self, Put { name, text }: Put, call: &mut Call) -> &'static str {
    ///         call.handle().resource_updated(&format!("note:///{name}"));
    ///         self.texts.insert(name, text).map_or("added", |_| "replaced")
    ///     }
    ///
    ///     fn get(&mut self, Named { name }: Named, _: &mut Call) -> Result<String> {
    ///         Ok(self.texts.get(&name).cloned().ok_or("there is no such note; `count` shows how many there are")?)
    ///     }
    ///
    ///     fn delete(&mut self, Named { name }: Named, _: &mut Call) -> bool {
    ///         self.texts.remove(&name).is_some()
    ///     }
    ///
    ///     fn read(&mut self, vars: &Vars, _: &mut Call) -> Result<String, CallError> {
    ///         self.texts.get(vars.get("name").unwrap_or_default()).cloned().ok_or_else(CallError::not_found)
    ///     }
    /// }
    ///
    /// let server = Server::with_state("notes", "1.0.0", Notes::default())
    ///     .tool("put", "Write a note", Notes::put)
    ///     .tool("get", "Read a note", Notes::get)
    ///     .tool("delete", "Delete a note", Notes::delete)
    ///     .tool("count", "Count the notes", |notes, (), _| notes.texts.len())
    ///     .template("note:///{name}", "note", Notes::read);
    /// ```
    ///
    /// [`offer`](Server::offer) takes items whose handlers are set by `handler_with_state`, such as [`Tool::handler_with_state`]. The
    /// other setters are those of every server. [`shared_state`](Server::shared_state) is for blocking handlers, and
    /// [`Handle::change_state`](crate::Handle::change_state) for other threads.
    ///
    /// A handler that asks the client runs again from its beginning once the answer is there ([`Call`]), so it changes the state
    /// after its questions. After a panic the state is as the handler has left it.
    pub fn with_state(name: impl Into<String>, version: impl Into<String>, state: S) -> Server<State<S>> {
        let mut server = Server::begin(name, version);
        server.registry.states.set_own(state);
        server
    }

    /// Sets the state that blocking handlers share: each gets `&B` before its other arguments. Several run at once on worker
    /// threads, so what changes in it needs a lock, or is a pool of connections. The program may keep a clone of the `Arc`. Call this
    /// before blocking handlers are added.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use mcp_rill::{Call, Server, schema};
    /// schema! { struct Find { word: String } }
    /// struct Archive { folder: std::path::PathBuf, searches: Mutex<u64> }
    /// impl Archive {
    ///     fn find(&self, Find { word }: Find, _: &mut Call) -> std::io::Result<Vec<String>> {
    ///         *self.searches.lock().unwrap() += 1;
    ///         let text = std::fs::read_to_string(self.folder.join("all.txt"))?;
    ///         Ok(text.lines().filter(|line| line.contains(&word)).map(str::to_owned).collect())
    ///     }
    /// }
    /// let archive = Arc::new(Archive { folder: "/var/lib/notes".into(), searches: Mutex::new(0) });
    /// let server = Server::with_state("notes", "1.0.0", Vec::<String>::new())
    ///     .shared_state(archive.clone())
    ///     .tool("last", "The newest note", |notes, (), _| notes.last().cloned().unwrap_or_default())
    ///     .blocking_tool("find", "Search the old notes", |archive, find, call| archive.find(find, call).map(|found| found.join("\n")));
    /// ```
    pub fn shared_state<B: Send + Sync + 'static>(mut self, shared: Arc<B>) -> Server<State<S, B>> {
        self.registry.states.set_shared(shared);
        self.retyped()
    }
}

/// The short forms of a server with a state: their closures take it first.
impl<S: 'static, B: 'static> Server<State<S, B>> {
    /// As [`Server::tool`](Server::<()>::tool), with the state.
    pub fn tool<A: Arguments, R: IntoToolResult>(
        self,
        name: &str,
        description: &str,
        handler: impl FnMut(&mut S, A, &mut Call) -> R + Send + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Tool::new(name, description).handler_with_state(handler))
    }

    /// As [`Server::resource`](Server::<()>::resource), with the state.
    pub fn resource<R: IntoResource>(
        self,
        uri: &str,
        name: &str,
        handler: impl FnMut(&mut S, &mut Call) -> R + Send + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Resource::new(uri, name).handler_with_state(handler))
    }

    /// As [`Server::template`](Server::<()>::template), with the state.
    pub fn template<R: IntoResource>(
        self,
        uri_template: &str,
        name: &str,
        handler: impl FnMut(&mut S, &Vars, &mut Call) -> R + Send + 'static,
    ) -> Server<State<S, B>> {
        self.offer(ResourceTemplate::new(uri_template, name).handler_with_state(handler))
    }

    /// As [`Server::prompt`](Server::<()>::prompt), with the state.
    pub fn prompt<A: Arguments, R: IntoPrompt>(
        self,
        name: &str,
        description: &str,
        handler: impl FnMut(&mut S, A, &mut Call) -> R + Send + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Prompt::new(name, description).handler_with_state(handler))
    }

    /// As [`Server::blocking_tool`](Server::<()>::blocking_tool), with the [shared state](Server::shared_state).
    pub fn blocking_tool<A: Arguments, R: IntoToolResult>(
        self,
        name: &str,
        description: &str,
        handler: impl Fn(&B, A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Tool::new(name, description).blocking_handler_with_state(handler))
    }

    /// As [`Server::blocking_resource`](Server::<()>::blocking_resource), with the [shared state](Server::shared_state).
    pub fn blocking_resource<R: IntoResource>(
        self,
        uri: &str,
        name: &str,
        handler: impl Fn(&B, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Resource::new(uri, name).blocking_handler_with_state(handler))
    }

    /// As [`Server::blocking_template`](Server::<()>::blocking_template), with the [shared state](Server::shared_state).
    pub fn blocking_template<R: IntoResource>(
        self,
        uri_template: &str,
        name: &str,
        handler: impl Fn(&B, &Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server<State<S, B>> {
        self.offer(ResourceTemplate::new(uri_template, name).blocking_handler_with_state(handler))
    }

    /// As [`Server::blocking_prompt`](Server::<()>::blocking_prompt), with the [shared state](Server::shared_state).
    pub fn blocking_prompt<A: Arguments, R: IntoPrompt>(
        self,
        name: &str,
        description: &str,
        handler: impl Fn(&B, A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server<State<S, B>> {
        self.offer(Prompt::new(name, description).blocking_handler_with_state(handler))
    }

    /// As [`Server::on_subscribe`](Server::<()>::on_subscribe), with the state.
    pub fn on_subscribe(
        mut self,
        mut hook: impl FnMut(&mut S, &str, Option<&Principal>) -> bool + Send + 'static,
    ) -> Server<State<S, B>> {
        self.permit = Permit(Some(Box::new(move |state, uri, principal| {
            state.downcast_mut().is_some_and(|state| hook(state, uri, principal))
        })));
        self
    }

    /// As [`Server::before_call`](Server::<()>::before_call), with the state.
    ///
    /// ```
    /// use mcp_rill::{CallError, Server};
    /// #[derive(Default)]
    /// struct Shop { closed: bool }
    /// let server = Server::with_state("shop", "1.0.0", Shop::default())
    ///     .tool("close", "Close the shop", |shop, (), _| shop.closed = true)
    ///     .before_call(|shop, _, _, _| match shop.closed {
    ///         true => Err(CallError::new(4001, "the shop is closed")),
    ///         false => Ok(()),
    ///     });
    /// ```
    pub fn before_call(
        mut self,
        mut hook: impl FnMut(&mut S, &mut Call, CallKind, &str) -> Result<(), CallError> + Send + 'static,
    ) -> Server<State<S, B>> {
        self.before_call = BeforeCall(Some(Box::new(move |state, call, kind, name| {
            hook(state.downcast_mut().ok_or_else(other_state)?, call, kind, name)
        })));
        self
    }

    /// As [`complete_prompt`](Server::complete_prompt), by a closure that takes the state.
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Review { file: String } }
    /// let server = Server::with_state("review", "1.0.0", vec!["main.rs".to_owned()])
    ///     .prompt("review", "Review a file", |_, Review { file }: Review, _| format!("Review {file}."))
    ///     .complete_prompt_with_state("review", "file", |files, partial| {
    ///         files.iter().filter(|file| file.starts_with(partial.value())).cloned().collect()
    ///     });
    /// ```
    pub fn complete_prompt_with_state(
        mut self,
        prompt: &str,
        argument: &str,
        completer: impl FnMut(&mut S, &CompletionRequest<'_>) -> Vec<String> + Send + 'static,
    ) -> Server<State<S, B>> {
        self.registry.complete(Completed::Prompt(prompt.to_owned()), argument, with_state(completer));
        self
    }

    /// As [`complete_template`](Server::complete_template), by a closure that takes the state.
    pub fn complete_template_with_state(
        mut self,
        uri_template: &str,
        variable: &str,
        completer: impl FnMut(&mut S, &CompletionRequest<'_>) -> Vec<String> + Send + 'static,
    ) -> Server<State<S, B>> {
        let of = Completed::Template(normalize_template(uri_template));
        self.registry.complete(of, variable, with_state(completer));
        self
    }
}

fn with_state<S: 'static>(
    mut completer: impl FnMut(&mut S, &CompletionRequest<'_>) -> Vec<String> + Send + 'static,
) -> Box<Completing> {
    Box::new(move |state, partial| {
        state.downcast_mut().map(|state| completer(state, partial)).unwrap_or_default()
    })
}
