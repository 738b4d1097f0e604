//! Requests that have a method of their own, and what is known of the server.
//!
//! *Scope:* from arguments to params, from pages to lists; what the revisions do in different ways. *Not in scope:*
//! sending and waiting.

use serde_json::value::RawValue;

use crate::client::deadline::after;
use crate::client::error::Error;
use crate::client::incoming::own_id;
use crate::client::transport::Transport;
use crate::client::{Client, Received, check_object, object};
use crate::json::tape::Tape;
use crate::json::value::{JsonBuf, JsonRef, Members};
use crate::json::write::{Object, write_list};
use crate::json::write_str;
use crate::jsonrpc::id::{Id, IdRef};
use crate::protocol::level::Level;
use crate::protocol::meta_names::{SERVER_INFO, SUBSCRIPTION_ID};
use crate::protocol::revision::Revision;

/// Pages that [`Client::list`] asks for: a server that never comes to an end is cut off.
const PAGES_MAX: usize = 1000;
/// Bytes of items that [`Client::list`] gathers.
const LIST_BYTES_MAX: usize = 64 << 20;

impl Client {
    /// Checks that the server answers. Since 2026-07-28 there is no `ping`, and `server/discover` is sent instead.
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

    /// Returns all items of a list, such as `tools/list`, `resources/list`, `resources/templates/list` or `prompts/list`,
    /// page after page (MCP pagination). A stateless client takes note of which arguments of tools are repeated in header
    /// fields, and leaves out tools whose annotations are wrong (MCP 2026-07-28, transports, "Custom Headers").
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
    /// As [`request`](Client::request), and [`Error::Protocol`] if a page has no items, or the list has no end or more than 64 MiB.
    pub fn list(&mut self, method: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let bad = |what: &str| Error::Protocol(format!("the result of `{method}` {what}"));
        let (mut items, mut bytes, mut cursor) = (Vec::new(), 0_usize, None::<String>);
        for _ in 0..PAGES_MAX {
            let params = cursor.as_deref().map(|cursor| object(|object| object.str("cursor", cursor)));
            let result = self.request(method, params.as_deref())?;
            let mut tape = Tape::new();
            let page = Members::of_member(tape.read(result.get()).unwrap_or(JsonRef::NULL), "result")
                .map_err(|fault| bad(&format!("is not valid: {fault}")))?;
            let name = items_member(method);
            let list = page.get(name).ok_or_else(|| bad(&format!("has no member `{name}`")))?;
            let list =
                list.items().ok_or_else(|| bad(&format!("is not valid: `{name}` must be an array")))?;
            items.extend(list.map(JsonRef::to_raw));
            bytes += result.get().len();
            if bytes > LIST_BYTES_MAX {
                return Err(bad("is longer than 64 MiB"));
            }
            let Some(next) = page.get("nextCursor") else {
                if let Some(stateless) = self.stateless.as_mut().filter(|_| method == "tools/list") {
                    stateless.annotated.learn(&mut items);
                }
                return Ok(items);
            };
            let next = next.as_str().ok_or_else(|| bad("is not valid: `nextCursor` must be a string"))?;
            if cursor.as_deref() == Some(&*next) {
                return Err(bad("leads to the same page again"));
            }
            cursor = Some(next.into_owned());
        }
        Err(bad(&format!("has more than {PAGES_MAX} pages")))
    }

    /// Calls a tool with arguments, the text of a JSON object (MCP tools, calling). A tool that failed returns a result
    /// with `"isError":true`, not an error.
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

    /// Reads a resource and returns its contents (MCP resources, reading).
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
        self.request("resources/read", Some(&object(|object| object.str("uri", uri))))
    }

    /// Gets a prompt (MCP prompts, getting). `arguments` is the text of a JSON object whose members are strings.
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

    /// Asks for values of an argument that begin with `value` (MCP completion). `of` is the text of a reference: an object
    /// with the `type` `ref/prompt` and a `name`, or `ref/resource` and a `uri`.
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
        check_object("the reference", of)?;
        let params = object(|object| {
            object.raw("ref", of).field("argument", |out| {
                Object::new(out).str("name", argument).str("value", value);
            })
        });
        self.request("completion/complete", Some(&params))
    }

    /// Asks for log messages of this level and above (MCP logging): of the session, or of each later request since
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
            stateless.level = Some(level);
            return Ok(());
        }
        let params = object(|object| object.str("level", level.name()));
        self.request("logging/setLevel", Some(&params)).map(|_| ())
    }

    /// Subscribes to changes of these resources (MCP resources, subscriptions). The notifications come while the client
    /// waits for something, as all others do.
    ///
    /// In a session they are added to earlier ones, and changes of lists are announced in any case. A stateless client has
    /// one `subscriptions/listen` at a time: this replaces it by one for these resources and all lists (MCP 2026-07-28,
    /// subscriptions), and [`Received::Unsubscribed`] says that the server has ended it.
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
                let params = object(|object| object.str("uri", uri));
                self.request("resources/subscribe", Some(&params)).map(|_| ())
            });
        }
        let params = object(|object| {
            object.field("notifications", |out| {
                let mut filter = Object::new(out);
                filter.bool("toolsListChanged", true).bool("promptsListChanged", true);
                filter.bool("resourcesListChanged", true);
                filter.field("resourceSubscriptions", |out| {
                    write_list(out, uris, |uri, out| write_str(out, uri))
                });
            })
        });
        let id = self.send("subscriptions/listen", Some(&params))?;
        self.acknowledged(&id).inspect_err(|_| self.give_up(&id))?;
        if let Some(before) = self.subscription.take() {
            self.cancel(&before, "replaced by another subscription")?;
        }
        self.subscription = self.open.contains_key(&id).then_some(id);
        Ok(())
    }

    /// Waits for the first notification of a listen request, or its end: a server that has nothing to announce ends it
    /// at once.
    fn acknowledged(&mut self, id: &Id) -> Result<(), Error> {
        let deadline = after(self.options.request_timeout);
        loop {
            match self.receive(deadline, Some(id))? {
                Received::Answer { id: found, outcome } if found == *id => return outcome.map(|_| ()),
                answer @ Received::Answer { .. } => self.events.push_back(answer),
                Received::Notification { method, params: Some(params) }
                    if method == "notifications/subscriptions/acknowledged" =>
                {
                    let mut tape = Tape::new();
                    let meta = tape.read(params.get()).ok().and_then(|params| params.member("_meta").ok()?);
                    let of = meta.and_then(|meta| meta.member(SUBSCRIPTION_ID).ok()?);
                    if of.and_then(IdRef::read).map(own_id).as_ref() == Some(id) {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the session's id, if the client knows one. With it others can post into the session, so keep it out of
    /// logs.
    pub fn session_id(&self) -> Option<&str> {
        self.carrier.session_id()
    }

    /// Returns path and query of the address for messages; nothing for a child.
    pub fn endpoint(&self) -> &str {
        self.carrier.endpoint()
    }

    /// Returns how messages travel; never [`Transport::Auto`].
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

    /// Returns the revision that client and server agreed on; `None` before [`initialize`](Client::initialize).
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Returns the whole result of `initialize`, or of `server/discover`: capabilities, instructions, and who the server is.
    pub fn initialize_result(&self) -> Option<JsonRef<'_>> {
        self.welcome.as_ref().map(JsonBuf::as_ref)
    }

    /// Returns who the server says it is: an object with `name` and `version`.
    pub fn server_info(&self) -> Option<JsonRef<'_>> {
        let welcome = self.initialize_result()?;
        if self.stateless.is_some() {
            return welcome.member("_meta").ok()??.member(SERVER_INFO).ok()?;
        }
        welcome.member("serverInfo").ok()?
    }

    fn with_arguments(&mut self, method: &str, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        check_object("the arguments", arguments)?;
        let params = object(|object| object.str("name", name).raw("arguments", arguments));
        self.request(method, Some(&params))
    }
}

/// Returns the member in which the result of a list method has its items.
fn items_member(method: &str) -> &str {
    match method {
        "resources/templates/list" => "resourceTemplates",
        other => other.strip_suffix("/list").unwrap_or(other),
    }
}
