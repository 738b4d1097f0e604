//! Requests that have a name of their own, and what is known of the server.
//!
//! *Scope:* from arguments to params, from pages to lists; what the revisions do in different ways. *Not in scope:*
//! sending and waiting.

use crate::jsonrpc::json::string;
use serde_json::value::RawValue;

use super::{Client, Received, json_object};
use crate::client::carrier::Transport;
use crate::client::connection::after;
use crate::client::error::Error;
use crate::client::streamable::own_id;
use crate::jsonrpc::id::{Id, IdRef};
use crate::jsonrpc::json::{Array, Members, Object, member};
use crate::protocol::level::Level;
use crate::protocol::meta::{SERVER_INFO, SUBSCRIPTION_ID};
use crate::protocol::revision::Revision;

/// Pages that [`Client::list`] asks for: a server that never comes to an end is cut off.
const PAGES_MAX: usize = 1000;
/// Bytes of items that [`Client::list`] gathers.
const LIST_BYTES_MAX: usize = 64 << 20;

impl Client {
    /// Whether the server is there. Since 2026-07-28 there is no `ping`; `server/discover` stands in for it.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?.ping()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn ping(&mut self) -> Result<(), Error> {
        let method = if self.stateless.is_some() { "server/discover" } else { "ping" };
        self.request(method, None).map(|_| ())
    }

    /// All items of a list, such as `tools/list`, `resources/list`, `resources/templates/list` or `prompts/list`, page
    /// after page (MCP pagination). A stateless client notes which arguments of tools belong into header fields, and
    /// leaves out tools that say so wrongly (MCP 2026-07-28, transports, "Custom Headers").
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// for tool in client.list("tools/list")? {
    ///     println!("{tool}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request), and [`Error::Protocol`] if the list has no items member, no end, or 64 MiB.
    pub fn list(&mut self, method: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let bad = |what: &str| Error::Protocol(format!("the result of `{method}` {what}"));
        let (mut items, mut bytes, mut cursor) = (Vec::new(), 0_usize, None::<String>);
        for _ in 0..PAGES_MAX {
            let params = cursor.as_deref().map(|cursor| params(|object| object.str("cursor", cursor)));
            let page = self.request(method, params.as_deref())?;
            let page_members = Members::read_member(&page, "result")
                .map_err(|fault| bad(&format!("is not right: {fault}")))?;
            let name = items_member(method);
            let list = page_members.get(name).ok_or_else(|| bad(&format!("has no member `{name}`")))?;
            let list: Vec<Box<RawValue>> = serde_json::from_str(list.get())
                .map_err(|_| bad(&format!("is not right: `{name}` must be an array")))?;
            bytes += page.get().len();
            if bytes > LIST_BYTES_MAX {
                return Err(bad("is longer than 64 MiB"));
            }
            items.extend(list);
            let Some(next) = page_members.get("nextCursor") else {
                if let Some(stateless) = self.stateless.as_mut().filter(|_| method == "tools/list") {
                    stateless.annotated.learn(&mut items);
                }
                return Ok(items);
            };
            let next = string(next).ok_or_else(|| bad("is not right: `nextCursor` must be a string"))?;
            if cursor.as_deref() == Some(&*next) {
                return Err(bad("names the same page as the next one"));
            }
            cursor = Some(next.into_owned());
        }
        Err(bad(&format!("has more than {PAGES_MAX} pages")))
    }

    /// Calls a tool with the text of a JSON object (MCP tools, calling). A tool that failed gives a result with
    /// `"isError":true`, not an error.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// println!("{}", client.call_tool("add", r#"{"a":1,"b":2}"#)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn call_tool(&mut self, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        self.with_arguments("tools/call", name, arguments)
    }

    /// Reads a resource (MCP resources, reading).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// println!("{}", client.read_resource("note:///7")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn read_resource(&mut self, uri: &str) -> Result<Box<RawValue>, Error> {
        self.request("resources/read", Some(&params(|object| object.str("uri", uri))))
    }

    /// Gets a prompt with the text of a JSON object, whose members are strings (MCP prompts, getting).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// println!("{}", client.get_prompt("greet", r#"{"name":"Ada"}"#)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn get_prompt(&mut self, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        self.with_arguments("prompts/get", name, arguments)
    }

    /// Asks for values of an argument that begin in this way (MCP completion). `of` is the text of a reference: an
    /// object with the `type` `ref/prompt` and a `name`, or `ref/resource` and a `uri`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// println!("{}", client.complete(r#"{"type":"ref/prompt","name":"greet"}"#, "name", "A")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn complete(&mut self, of: &str, argument: &str, value: &str) -> Result<Box<RawValue>, Error> {
        json_object("the reference", of)?;
        let params = params(|object| {
            object.raw("ref", of).field("argument", |out| {
                Object::new(out).str("name", argument).str("value", value);
            })
        });
        self.request("completion/complete", Some(&params))
    }

    /// Asks for log messages from this level on (MCP logging): of the session, or of each later request since
    /// 2026-07-28. They come as the notification `notifications/message`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// client.set_level(mcp_rill::Level::Debug)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn set_level(&mut self, level: Level) -> Result<(), Error> {
        if let Some(stateless) = &mut self.stateless {
            stateless.level = Some(level.name().to_owned());
            return Ok(());
        }
        let params = params(|object| object.str("level", level.name()));
        self.request("logging/setLevel", Some(&params)).map(|_| ())
    }

    /// Asks to be told when these resources change (MCP resources, subscriptions); the notifications come while the
    /// client waits for something, as all others do.
    ///
    /// A session adds them to those it has, and is told of changed lists in any case. A stateless client has one
    /// `subscriptions/listen` at a time: this replaces it by one for these resources and all lists (MCP 2026-07-28,
    /// subscriptions), and [`Received::Unsubscribed`] tells if the server ends it.
    ///
    /// ```no_run
    /// use mcp_rill::client::{Client, Error};
    /// use std::time::Duration;
    /// # fn main() -> Result<(), Error> {
    /// let mut client = Client::connect("http://127.0.0.1:3001/mcp")?;
    /// client.subscribe(&["note:///7"])?;
    /// let change = client.next_message(Duration::from_secs(30))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn subscribe(&mut self, uris: &[&str]) -> Result<(), Error> {
        if self.stateless.is_none() {
            return uris.iter().try_for_each(|uri| {
                let params = params(|object| object.str("uri", uri));
                self.request("resources/subscribe", Some(&params)).map(|_| ())
            });
        }
        let params = params(|object| {
            object.field("notifications", |out| {
                let mut filter = Object::new(out);
                filter.bool("toolsListChanged", true).bool("promptsListChanged", true);
                filter.bool("resourcesListChanged", true).field("resourceSubscriptions", |out| {
                    let mut array = Array::new(out);
                    uris.iter().for_each(|uri| {
                        array.str(uri);
                    });
                });
            })
        });
        let id = self.send("subscriptions/listen", Some(&params))?;
        self.acknowledged(&id).inspect_err(|_| self.forget(&id))?;
        if let Some(before) = self.subscription.take() {
            self.forget(&before);
        }
        self.subscription = self.open.contains_key(&id).then_some(id);
        Ok(())
    }

    /// Waits for the first notification of a listen request, or its end: a server that has nothing to tell ends it at
    /// once.
    fn acknowledged(&mut self, id: &Id) -> Result<(), Error> {
        let deadline = after(self.request_timeout);
        loop {
            match self.receive(deadline, Some(id))? {
                Received::Answer { id: found, outcome } if found == *id => {
                    self.open.remove(&found);
                    return outcome.map(|_| ());
                }
                Received::Answer { id, outcome } => {
                    self.open.insert(id, Some(outcome));
                }
                Received::Notification { method, params: Some(params) }
                    if method == "notifications/subscriptions/acknowledged" =>
                {
                    let meta = member(&params, "_meta").ok().flatten();
                    let of = meta.and_then(|meta| member(meta, SUBSCRIPTION_ID).ok().flatten());
                    if of.and_then(IdRef::read).map(own_id).as_ref() == Some(id) {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    /// The session's id, if there is one that the server lets be seen. It is what lets others post into the session, so
    /// keep it out of logs.
    pub fn session_id(&self) -> Option<&str> {
        self.carrier.session_id()
    }

    /// Path and query of the address for messages.
    pub fn endpoint(&self) -> &str {
        self.carrier.endpoint()
    }

    /// How messages travel; never [`Transport::Auto`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// println!("{:?}, {:?}", client.transport(), client.revision());
    /// # Ok(())
    /// # }
    /// ```
    pub fn transport(&self) -> Transport {
        self.carrier.transport()
    }

    /// The revision agreed on; `None` before [`initialize`](Client::initialize).
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The whole result of `initialize`, or of `server/discover`: capabilities, instructions, and who the server is.
    pub fn initialize_result(&self) -> Option<&RawValue> {
        self.welcome.as_deref()
    }

    /// Who the server is: an object with `name` and `version`, if it says so.
    pub fn server_info(&self) -> Option<&RawValue> {
        let welcome = self.welcome.as_deref()?;
        if self.stateless.is_some() {
            return member(member(welcome, "_meta").ok()??, SERVER_INFO).ok()?;
        }
        member(welcome, "serverInfo").ok()?
    }

    fn with_arguments(&mut self, method: &str, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        json_object("the arguments", arguments)?;
        let params = params(|object| object.str("name", name).raw("arguments", arguments));
        self.request(method, Some(&params))
    }
}

fn params(write: impl for<'p, 'o> FnOnce(&'p mut Object<'o>) -> &'p mut Object<'o>) -> String {
    let mut out = Vec::new();
    write(&mut Object::new(&mut out));
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the result of a list method has its items.
fn items_member(method: &str) -> &str {
    match method {
        "resources/templates/list" => "resourceTemplates",
        other => other.strip_suffix("/list").unwrap_or(other),
    }
}
