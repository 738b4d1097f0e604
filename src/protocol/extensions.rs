//! Extensions of MCP that a server declares (MCP 2026-07-28, `ServerCapabilities.extensions`).
//!
//! *Scope:* the declaration in the capabilities. *Not in scope:* what an extension does; its data are in `_meta`.

use serde_json::{Map, Value};

use crate::json;
use crate::json::write::Object;

/// Extensions by name, with their settings.
#[derive(Debug, Default)]
pub(crate) struct Extensions(pub(crate) Map<String, Value>);

impl Extensions {
    pub(crate) fn write(&self, capabilities: &mut Object<'_>) {
        if !self.0.is_empty() {
            capabilities.field("extensions", |out| json::put(out, &self.0));
        }
    }

    /// Returns a sentence for each declaration that clients would refuse.
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
