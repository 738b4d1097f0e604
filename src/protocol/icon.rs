//! Icons of servers and of what they offer.
//!
//! *Scope:* [`Icon`] and its JSON. *Not in scope:* the items that have icons (that is `description`).

use crate::json::write::{Object, ToJson};
use crate::protocol::setters::setters;

/// A picture for a tool, resource, prompt or server (MCP 2025-11-25, `Icon`).
///
/// ```
/// let icon = mcp_rill::Icon::new("https://example.com/sum.png").mime_type("image/png").size("48x48").size("96x96");
/// let server = mcp_rill::Server::new("calc", "1.0.0").icon(icon);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Icon {
    src: String,
    mime_type: Option<String>,
    sizes: Vec<String>,
}

impl Icon {
    /// An icon at `src`, an `https:` or `data:` URI.
    pub fn new(src: impl Into<String>) -> Icon {
        Icon { src: src.into(), ..Icon::default() }
    }

    pub(crate) fn src(&self) -> &str {
        &self.src
    }
}

setters! { Icon {
    /// Sets its media type, such as `image/png`.
    mime_type(impl Into<String>) => mime_type;
    /// Adds a size that it is made for: `WxH` in pixels, or `any`.
    size(impl Into<String>) => sizes;
} }

impl ToJson for Icon {
    fn write(&self, out: &mut Vec<u8>) {
        Object::new(out)
            .member("src", &self.src)
            .member("mimeType", &self.mime_type)
            .member("sizes", &self.sizes);
    }
}
