//! Timeouts of single items.
//!
//! *Scope:* the setters. *Not in scope:* the limit for items without one, and watching the time (`workers`).

use std::time::Duration;

use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};

macro_rules! timeout {
    ($($type:ident),+) => { $(
        impl $type {
            /// Sets how long its handler may take on other threads, blocking or deferred, instead of the limit `tool_timeout`.
            /// The waits for a worker thread (limit `worker_wait_timeout`) and for the user's answer do not count. Handlers
            /// on the loop's thread have no timeout.
            ///
            /// ```
            /// use std::time::Duration;
            /// use mcp_rill::{Prompt, Resource, ResourceTemplate, Tool};
            /// let seconds = Duration::from_secs(5);
            /// let count = Tool::new("count", "Count the news").timeout(seconds);
            /// let news = Resource::new("news:///today", "today").timeout(seconds);
            /// let archive = ResourceTemplate::new("news:///{day}", "archive").timeout(2 * seconds);
            /// let digest = Prompt::new("digest", "Sum up the news").timeout(3 * seconds);
            /// ```
            pub fn timeout(mut self, timeout: Duration) -> $type {
                self.timeout = Some(timeout);
                self
            }
        }
    )+ };
}

timeout!(Tool, Resource, ResourceTemplate, Prompt);
