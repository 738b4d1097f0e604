//! Extensions of MCP that a server says it speaks (MCP 2026-07-28, `ServerCapabilities.extensions`).
//!
//! *Scope:* the declaration in the capabilities. *Not in scope:* what an extension does; its data are in `_meta`.

use serde_json::{Map, Value};

use crate::jsonrpc::Object;
use crate::mcp::Server;

/// Extensions by name, with their settings.
#[derive(Debug, Default)]
pub(crate) struct Extensions(Map<String, Value>);

impl Extensions {
    pub(crate) fn write(&self, capabilities: &mut Object<'_>) {
        if !self.0.is_empty() {
            capabilities.field("extensions", |out| crate::json::put(out, &self.0));
        }
    }

    /// Sentences about what clients would refuse.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(name, settings)| {
            let has_prefix =
                name.split_once('/').is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty());
            if !has_prefix {
                return Some(format!(
                    "extension `{name}`: a name has a prefix, such as `com.example/{name}`"
                ));
            }
            let problem = || {
                format!(
                    "extension `{name}`: its settings are a JSON object, such as {{}}, and not {settings}"
                )
            };
            (!settings.is_object()).then(problem)
        })
    }
}

impl Server {
    /// Says that the server speaks an extension of MCP, with its settings: a JSON object, `{}` if there are none. It goes out
    /// as it is among the capabilities, in every revision: the older ones leave the set of capabilities open, and clients of
    /// MCP Apps look for it there. The same name again replaces the settings.
    ///
    /// ```
    /// use mcp_rill::{Resource, Server, Tool};
    /// use serde_json::json;
    /// let server = Server::new("weather", "1.0.0")
    ///     .extension("io.modelcontextprotocol/ui", json!({ "mimeTypes": ["text/html;profile=mcp-app"] }))
    ///     .add_tool(
    ///         Tool::new("weather", "The weather, with a picture").meta("ui", json!({ "resourceUri": "ui://weather" })),
    ///         |(), _| "sunny",
    ///     )
    ///     .add_resource(
    ///         Resource::new("ui://weather", "weather").mime_type("text/html;profile=mcp-app"),
    ///         |_| "<p>A picture of the weather</p>",
    ///     );
    /// ```
    pub fn extension(mut self, name: impl Into<String>, settings: impl Into<Value>) -> Server {
        self.extensions.0.insert(name.into(), settings.into());
        self
    }
}
