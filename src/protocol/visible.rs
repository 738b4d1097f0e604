//! Items that only some clients see.
//!
//! *Scope:* the setters. *Not in scope:* what their closures get (`viewers`), and leaving the items out (`items`).

use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
use crate::protocol::viewers::{Viewer, Visible};

macro_rules! visible {
    ($($type:ident),+) => { $(
        impl $type {
            /// Restricts who sees it. For all others it does not exist: lists leave it out, requests that name it are answered
            /// as for an unknown name, and its changes are not announced. The closure is asked each time, so that granting or
            /// withdrawing a right takes effect at once; announce that by [`Handle::tools_changed`](crate::Handle::tools_changed)
            /// and its like. A resource that a client does not see may still match a template that it sees.
            ///
            /// The closure runs on the loop's thread and must not block. A panic counts as a no. That the server has tools,
            /// resources or prompts at all is in its capabilities, which are the same for everybody.
            ///
            /// ```
            /// use mcp_rill::{Prompt, Resource, ResourceTemplate, Server, Tool, Viewer};
            /// fn admin(viewer: &Viewer<'_>) -> bool {
            ///     viewer.principal().is_some_and(|principal| principal.name() == "admin")
            /// }
            /// let server = Server::new("router", "1.0.0")
            ///     .offer(Tool::new("reboot", "Restart the router").visible(admin).handler(|(), _| "restarting"))
            ///     .offer(Resource::new("net:///keys", "keys").visible(admin).handler(|_| "…"))
            ///     .offer(ResourceTemplate::new("log:///{day}", "log").visible(admin).handler(|_, _| "…"))
            ///     .offer(Prompt::new("audit", "Audit the router").visible(admin).handler(|(), _| "Read log:///today."));
            /// ```
            pub fn visible(mut self, visible: impl Fn(&Viewer<'_>) -> bool + Send + Sync + 'static) -> $type {
                self.visible = Some(Visible::new(visible));
                self
            }
        }
    )+ };
}

visible!(Tool, Resource, ResourceTemplate, Prompt);
