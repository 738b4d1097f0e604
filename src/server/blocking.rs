//! Short forms for handlers that take a while.
//!
//! *Scope:* the setters of [`Server`] for handlers that run on worker threads. *Not in scope:* those threads
//! (that is `jobs`), and handlers that hand a call to a thread of their own (that is [`Call::defer`]).

use crate::protocol::content::{IntoResource, IntoToolResult};
use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::prompt::IntoPrompt;
use crate::protocol::uri::Vars;
use crate::server::arguments::Arguments;
use crate::server::builder::Server;
use crate::server::call::Call;

/// Blocking handlers run on worker threads (limits `workers` and `worker_queue_max`), several calls at a time, while the loop
/// goes on serving. A call waits for a worker for at most `worker_wait_timeout`. From then on its handler has the item's own
/// timeout, or `tool_timeout`.
impl Server {
    /// Adds a tool whose handler takes a while.
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Wait { seconds: u64 { max 30 } } }
    /// let server = Server::new("slow", "1.0.0").blocking_tool("wait", "Wait a while", |Wait { seconds }: Wait, call| {
    ///     for done in 0..seconds {
    ///         if call.is_cancelled() {
    ///             return Err("stopped early");
    ///         }
    ///         call.progress(done as f64, Some(seconds as f64), None);
    ///         std::thread::sleep(std::time::Duration::from_secs(1));
    ///     }
    ///     Ok("awake again")
    /// });
    /// ```
    ///
    /// Once a shutdown has begun, `is_cancelled` is true too. What the handler returns then still reaches the client, so return
    /// an error, not a result.
    pub fn blocking_tool<A: Arguments, R: IntoToolResult>(
        self,
        name: &str,
        description: &str,
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server {
        self.offer(Tool::new(name, description).blocking_handler(handler))
    }

    /// Adds a resource that takes a while to read, such as a file on a slow disk.
    ///
    /// ```
    /// use mcp_rill::{Server, schema};
    /// schema! { struct Review { file: String } }
    /// let server = Server::new("files", "1.0.0")
    ///     .blocking_resource("file:///etc/motd", "motd", |_| std::fs::read_to_string("/etc/motd"))
    ///     .blocking_template("log:///{day}", "log", |vars, _| {
    ///         let day: u32 = vars.get("day").unwrap_or_default().parse().map_err(|_| mcp_rill::CallError::not_found())?;
    ///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(std::fs::read_to_string(format!("/var/log/mine/{day}"))?)
    ///     })
    ///     .blocking_prompt("review", "Review a file", |Review { file }: Review, _| {
    ///         std::fs::read_to_string(&file).map(|text| format!("Review {file}:\n{text}"))
    ///     });
    /// ```
    pub fn blocking_resource<R: IntoResource>(
        self,
        uri: &str,
        name: &str,
        handler: impl Fn(&mut Call) -> R + Send + Sync + 'static,
    ) -> Server {
        self.offer(Resource::new(uri, name).blocking_handler(handler))
    }

    /// Adds a family of resources that take a while to read ([example](Server::blocking_resource)).
    pub fn blocking_template<R: IntoResource>(
        self,
        uri_template: &str,
        name: &str,
        handler: impl Fn(&Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server {
        self.offer(ResourceTemplate::new(uri_template, name).blocking_handler(handler))
    }

    /// Adds a prompt whose handler takes a while ([example](Server::blocking_resource)).
    pub fn blocking_prompt<A: Arguments, R: IntoPrompt>(
        self,
        name: &str,
        description: &str,
        handler: impl Fn(A, &mut Call) -> R + Send + Sync + 'static,
    ) -> Server {
        self.offer(Prompt::new(name, description).blocking_handler(handler))
    }
}
