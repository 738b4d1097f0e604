//! `_meta`: members for what MCP has no members of its own for (MCP basic, "`_meta`").
//!
//! *Scope:* the `_meta` that an author adds. *Not in scope:* the protocol's own members (`meta_names`), reading `_meta`.
//!
//! Results have it in every revision, other objects since 2025-06-18. It is sent in every revision: their objects are open.

use serde_json::{Map, Value};

use crate::json::put;
use crate::json::write::{Object, ToJson};

/// The `_meta` of something that a server sends; mostly empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meta(Option<Box<Map<String, Value>>>);

impl Meta {
    pub(crate) const EMPTY: Meta = Meta(None);

    pub(crate) fn set(&mut self, name: String, value: Value) {
        self.0.get_or_insert_default().insert(name, value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[cfg(feature = "stateless")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|members| members.contains_key(name))
    }

    pub(crate) fn write_members(&self, meta: &mut Object<'_>) {
        for (name, value) in self.0.iter().flat_map(|members| members.iter()) {
            meta.field(name, |out| put(out, value));
        }
    }
}

impl ToJson for Meta {
    fn write(&self, out: &mut Vec<u8>) {
        self.write_members(&mut Object::new(out));
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// Adds the setter of `_meta` to a type that keeps it in this field.
macro_rules! with_meta {
    ($type:ident, $($place:ident).+) => {
        impl $type {
            /// Adds a member to its `_meta`, for clients that know it: any JSON value, which is sent as it is, in every
            /// revision. A name of your own begins with a domain, as in `com.example/price` (MCP basic, `_meta`). The same name
            /// again replaces the value.
            pub fn meta(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> $type {
                self.$($place).+.set(name.into(), value.into());
                self
            }
        }
    };
}

pub(crate) use with_meta;
