//! What kind of JSON-RPC message a value is, and which members it may have.

use serde_json::Value;

use crate::schemas::Schemas;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Notification,
    Result,
    Error,
}

impl Kind {
    pub(crate) fn of(message: &Value) -> Option<Kind> {
        let has = |name| message.get(name).is_some();
        match (has("method"), has("id"), has("result"), has("error")) {
            (true, true, false, false) => Some(Kind::Request),
            (true, false, false, false) => Some(Kind::Notification),
            (false, true, true, false) => Some(Kind::Result),
            (false, _, false, true) => Some(Kind::Error),
            _ => None,
        }
    }

    /// The definition of the envelope; two of them were renamed with 2025-11-25.
    pub(crate) fn definition(self, schemas: &Schemas) -> &'static str {
        let either = |new, old| if schemas.defines(new) { new } else { old };
        match self {
            Kind::Request => "JSONRPCRequest",
            Kind::Notification => "JSONRPCNotification",
            Kind::Result => either("JSONRPCResultResponse", "JSONRPCResponse"),
            Kind::Error => either("JSONRPCErrorResponse", "JSONRPCError"),
        }
    }
}

/// The schemas leave every object open, but the TypeScript SDK drops a message whose envelope has any other member.
pub(crate) fn surplus_members(message: &Value) -> Vec<String> {
    let surplus = |value: &Value, allowed: &[&str]| -> Vec<String> {
        let names = value.as_object().into_iter().flat_map(|object| object.keys());
        names
            .filter(|name| !allowed.contains(&name.as_str()))
            .map(|name| format!("surplus member `{name}`"))
            .collect()
    };
    let mut found = surplus(message, &["jsonrpc", "id", "method", "params", "result", "error"]);
    found.extend(surplus(&message["error"], &["code", "message", "data"]));
    found
}
