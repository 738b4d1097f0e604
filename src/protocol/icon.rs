//! Icons of servers and of what they offer.
//!
//! *Scope:* [`Icon`] and its JSON. *Not in scope:* the items that have icons (that is `description`).

use crate::json::write::{Object, write_strs};

/// A picture for a tool, resource, prompt or server (MCP 2025-11-25, `Icon`).
///
/// ```
/// let icon = mcp_rill::Icon::new("https://example.com/sum.png").mime_type("image/png").size("48x48").size("96x96");
/// let server = mcp_rill::Server::new("calc", "1.0.0").icon(icon);
/// ```
#[derive(Clone, Debug, Default)]
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

    /// Sets its media type, such as `image/png`.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Icon {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// Adds a size that it is made for: `WxH` in pixels, or `any`.
    pub fn size(mut self, size: impl Into<String>) -> Icon {
        self.sizes.push(size.into());
        self
    }

    pub(crate) fn src(&self) -> &str {
        &self.src
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut icon = Object::new(out);
        icon.str("src", &self.src).opt_str("mimeType", self.mime_type.as_deref());
        if !self.sizes.is_empty() {
            icon.field("sizes", |out| write_strs(out, &self.sizes));
        }
        icon.end();
    }
}
