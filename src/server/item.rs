//! What a server offers: a description together with its handler.
//!
//! *Scope:* [`Item`], made from a [`Tool`], [`Resource`], [`ResourceTemplate`] or [`Prompt`].
//! *Not in scope:* keeping items (`registry`), and the descriptions themselves.

use crate::protocol::check;
use crate::protocol::content::{IntoResource, IntoToolResult};
use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::prompt::IntoPrompt;
use crate::protocol::result::Made;
use crate::protocol::uri::{UriTemplate, Vars};
use crate::server::arguments::Arguments;
use crate::server::call::Call;
use crate::server::handler::Handler;
use crate::server::registry::Entry;

/// A tool, resource, resource template or prompt with its handler, for [`Server::offer`](crate::Server::offer) and
/// [`Handle::offer`](crate::Handle::offer). The methods `handler` and `blocking_handler` of the descriptions make one.
///
/// ```
/// use mcp_rill::{Prompt, Resource, ResourceTemplate, Server, Tool};
/// let server = Server::new("notes", "1.0.0")
///     .offer(Tool::new("count", "Count the notes").read_only(true).handler(|(), _| 2))
///     .offer(Resource::new("note:///1", "first").mime_type("text/plain").handler(|_| "milk"))
///     .offer(ResourceTemplate::new("note:///{id}", "note").title("A note").handler(|_, _| "bread"))
///     .offer(Prompt::new("tidy", "Tidy up").title("Tidy up the notes").handler(|(), _| "Tidy up my notes."));
/// ```
#[must_use = "an item is offered by `Server::offer` or `Handle::offer`"]
pub struct Item(pub(crate) Result<Entry, String>);

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(entry) => write!(f, "Item({} `{}`)", entry.kind().name(), entry.name()),
            Err(problem) => write!(f, "Item({problem})"),
        }
    }
}

impl Item {
    /// The same template with the handler that lists its resources.
    pub(crate) fn listed_by(mut self, list: Handler) -> Item {
        if let Ok(Entry::Template((.., listed))) = &mut self.0 {
            *listed = Some(list);
        }
        self
    }
}

impl Tool {
    /// The tool with the handler that answers its calls, on the loop's thread. The handler's first argument is a struct made by
    /// [`schema!`](crate::schema!), `()` for a tool without arguments, or a [`Value`](serde_json::Value). [`IntoToolResult`]
    /// lists what it may return. Arguments that do not fit are answered as an error result that names the argument, so that the
    /// model can correct its call.
    pub fn handler<A: Arguments, R: IntoToolResult>(
        self,
        mut handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> Item {
        let handler = Handler::inline(move |input, call| input.call_tool(|read| handler(read, call)));
        self.into_item::<A, R>(handler)
    }

    /// As [`handler`](Tool::handler), for a handler that takes a while: it runs on a worker thread.
    pub fn blocking_handler<A: Arguments, R: IntoToolResult>(
        self,
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        let handler = Handler::blocking(move |input, call| input.call_tool(|read| handler(read, call)));
        self.into_item::<A, R>(handler)
    }

    /// As [`handler`](Tool::handler), for a handler that takes the [state](crate::Server::with_state) of its server first. An item
    /// says nothing of that in its type: [`Server::offer`](crate::Server::offer) and [`Handle::offer`](crate::Handle::offer) check it.
    ///
    /// ```
    /// use mcp_rill::{Call, Server, Tool};
    /// struct Counter(u64);
    /// impl Counter {
    ///     fn next(&mut self, (): (), _: &mut Call) -> u64 {
    ///         self.0 += 1;
    ///         self.0
    ///     }
    /// }
    /// let server = Server::with_state("counter", "1.0.0", Counter(0))
    ///     .offer(Tool::new("next", "Count").open_world(false).handler_with_state(Counter::next));
    /// ```
    pub fn handler_with_state<S: 'static, A: Arguments, R: IntoToolResult>(
        self,
        mut handler: impl FnMut(&mut S, A, &mut Call) -> R + Send + 'static,
    ) -> Item {
        let handler = Handler::inline_with(move |state: &mut S, input, call| {
            input.call_tool(|read| handler(state, read, call))
        });
        self.into_item::<A, R>(handler)
    }

    /// As [`blocking_handler`](Tool::blocking_handler), for a handler that takes the
    /// [shared state](crate::Server::shared_state) of its server first.
    pub fn blocking_handler_with_state<B: 'static, A: Arguments, R: IntoToolResult>(
        self,
        handler: impl Fn(&B, A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        let handler = Handler::blocking_with(move |state: &B, input, call| {
            input.call_tool(|read| handler(state, read, call))
        });
        self.into_item::<A, R>(handler)
    }

    fn into_item<A: Arguments, R: IntoToolResult>(self, handler: Handler) -> Item {
        let tool = self.with_schemas(A::schema, R::output_schema());
        Item(check::check_tool(&tool).map(|()| Entry::Tool((tool, handler))))
    }
}

impl Resource {
    /// The resource with the handler that reads it, on the loop's thread. [`IntoResource`] lists what it may return.
    pub fn handler<R: IntoResource>(self, mut handler: impl FnMut(&mut Call) -> R + Send + 'static) -> Item {
        self.into_item(Handler::inline(move |_, call| handler(call).into_resource().map(Made::Contents)))
    }

    /// As [`handler`](Resource::handler), for a handler that takes a while: it runs on a worker thread.
    pub fn blocking_handler<R: IntoResource>(
        self,
        handler: impl Fn(&mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item(Handler::blocking(move |_, call| handler(call).into_resource().map(Made::Contents)))
    }

    /// As [`handler`](Resource::handler), for a handler that takes the [state](crate::Server::with_state) of its server first
    /// ([example](Tool::handler_with_state)).
    pub fn handler_with_state<S: 'static, R: IntoResource>(
        self,
        mut handler: impl FnMut(&mut S, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.into_item(Handler::inline_with(move |state: &mut S, _, call| {
            handler(state, call).into_resource().map(Made::Contents)
        }))
    }

    /// As [`blocking_handler`](Resource::blocking_handler), for a handler that takes the
    /// [shared state](crate::Server::shared_state) of its server first.
    pub fn blocking_handler_with_state<B: 'static, R: IntoResource>(
        self,
        handler: impl Fn(&B, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item(Handler::blocking_with(move |state: &B, _, call| {
            handler(state, call).into_resource().map(Made::Contents)
        }))
    }

    fn into_item(self, handler: Handler) -> Item {
        Item(check::check_resource(&self).map(|()| Entry::Resource((self, handler))))
    }
}

impl ResourceTemplate {
    /// The template with the handler that reads its resources, on the loop's thread: it gets the variables' values.
    pub fn handler<R: IntoResource>(
        self,
        mut handler: impl FnMut(&Vars, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.into_item(Handler::inline(move |input, call| {
            handler(input.vars, call).into_resource().map(Made::Contents)
        }))
    }

    /// As [`handler`](ResourceTemplate::handler), for a handler that takes a while: it runs on a worker thread.
    pub fn blocking_handler<R: IntoResource>(
        self,
        handler: impl Fn(&Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item(Handler::blocking(move |input, call| {
            handler(input.vars, call).into_resource().map(Made::Contents)
        }))
    }

    /// As [`handler`](ResourceTemplate::handler), for a handler that takes the [state](crate::Server::with_state) of its server
    /// first ([example](Tool::handler_with_state)).
    pub fn handler_with_state<S: 'static, R: IntoResource>(
        self,
        mut handler: impl FnMut(&mut S, &Vars, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.into_item(Handler::inline_with(move |state: &mut S, input, call| {
            handler(state, input.vars, call).into_resource().map(Made::Contents)
        }))
    }

    /// As [`blocking_handler`](ResourceTemplate::blocking_handler), for a handler that takes the
    /// [shared state](crate::Server::shared_state) of its server first.
    pub fn blocking_handler_with_state<B: 'static, R: IntoResource>(
        self,
        handler: impl Fn(&B, &Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item(Handler::blocking_with(move |state: &B, input, call| {
            handler(state, input.vars, call).into_resource().map(Made::Contents)
        }))
    }

    fn into_item(self, handler: Handler) -> Item {
        let pattern = UriTemplate::new(&self.uri_template)
            .map_err(|error| format!("resource template `{}`: {error}", self.uri_template));
        Item(pattern.and_then(|pattern| {
            check::check_template(&self)?;
            Ok(Entry::Template((self, pattern, handler, None)))
        }))
    }
}

impl Prompt {
    /// The prompt with the handler that writes it, on the loop's thread. The handler's first argument is a struct of strings
    /// made by [`schema!`](crate::schema!), or `()`. [`IntoPrompt`] lists what it may return. Arguments that do not fit
    /// are refused (−32602).
    pub fn handler<A: Arguments, R: IntoPrompt>(
        self,
        mut handler: impl FnMut(A, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.into_item::<A>(Handler::inline(move |input, call| input.get_prompt(|read| handler(read, call))))
    }

    /// As [`handler`](Prompt::handler), for a handler that takes a while: it runs on a worker thread.
    pub fn blocking_handler<A: Arguments, R: IntoPrompt>(
        self,
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item::<A>(Handler::blocking(move |input, call| {
            input.get_prompt(|read| handler(read, call))
        }))
    }

    /// As [`handler`](Prompt::handler), for a handler that takes the [state](crate::Server::with_state) of its server first
    /// ([example](Tool::handler_with_state)).
    pub fn handler_with_state<S: 'static, A: Arguments, R: IntoPrompt>(
        self,
        mut handler: impl FnMut(&mut S, A, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.into_item::<A>(Handler::inline_with(move |state: &mut S, input, call| {
            input.get_prompt(|read| handler(state, read, call))
        }))
    }

    /// As [`blocking_handler`](Prompt::blocking_handler), for a handler that takes the
    /// [shared state](crate::Server::shared_state) of its server first.
    pub fn blocking_handler_with_state<B: 'static, A: Arguments, R: IntoPrompt>(
        self,
        handler: impl Fn(&B, A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.into_item::<A>(Handler::blocking_with(move |state: &B, input, call| {
            input.get_prompt(|read| handler(state, read, call))
        }))
    }

    fn into_item<A: Arguments>(mut self, handler: Handler) -> Item {
        let arguments = check::check_prompt(&self).and_then(|()| {
            A::prompt_arguments().map_err(|problem| format!("prompt `{}`: {problem}", self.name))
        });
        Item(arguments.map(|arguments| {
            if self.arguments.is_empty() {
                self.arguments.clone_from(&arguments);
            }
            Entry::Prompt((self, handler, arguments))
        }))
    }
}
