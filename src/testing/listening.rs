//! What a client without a session has asked to hear.
//!
//! *Scope:* the state of its `subscriptions/listen`. *Not in scope:* sending that (`stateless`).

use serde_json::Value;

use crate::protocol::meta_names::SUBSCRIPTION_ID;

/// The request by which the client gets notifications.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Its id, once it was sent.
    pub(super) id: Option<i64>,
    /// What the server has promised to announce.
    pub(super) promised: Option<Value>,
    pub(super) uris: Vec<String>,
}

impl Listening {
    pub(super) fn acknowledged(&mut self, params: &Value) {
        if params["_meta"][SUBSCRIPTION_ID].as_i64() == self.id {
            self.promised = Some(params["notifications"].clone());
        }
    }

    /// True if the server has promised to announce changes of this resource.
    pub(super) fn promises(&self, uri: &str) -> bool {
        let promised =
            self.promised.as_ref().and_then(|promised| promised["resourceSubscriptions"].as_array());
        promised.is_some_and(|uris| uris.iter().any(|promised| promised == uri))
    }

    pub(super) fn forget(&mut self) {
        (self.id, self.promised) = (None, None);
    }
}
