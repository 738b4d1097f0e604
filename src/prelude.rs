//! The names that most servers use: `use mcp_rill::prelude::*;`.
//!
//! *Scope:* those, and no others. *Not in scope:* [`Result`](crate::Result), which would hide that of the standard library.
//!
//! ```
//! use mcp_rill::prelude::*;
//! schema! { struct Greet { /// Who to greet.
//!     name: String } }
//! let server = Server::new("greeter", "1.0.0")
//!     .offer(Tool::new("greet", "Greet").read_only(true).handler(|Greet { name }: Greet, _| format!("Hello, {name}!")));
//! ```

pub use crate::protocol::content::{Content, Json, ToolResult};
pub use crate::protocol::description::{Prompt, Resource, ResourceTemplate, Tool};
pub use crate::protocol::elicitation::Elicited;
pub use crate::protocol::error::CallError;
pub use crate::schema;
pub use crate::server::builder::Server;
pub use crate::server::call::Call;
pub use crate::server::handle::Handle;
