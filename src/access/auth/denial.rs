//! Responses to requests that the hook denies (RFC 6750 §3, RFC 9728 §5.1).
//!
//! *Scope:* the response to a [`Denied`]. *Not in scope:* asking the hook (`hook`), and when it is asked (the
//! engine's `auth`).

use crate::access::auth::hook::Denied;
use crate::access::auth::resource::ProtectedResource;
use crate::access::settings::{self, Settings};
use crate::http::head::Head;
use crate::http::response::{JSON, OwnedResponse};
use crate::json::write::Object;

/// MCP does not define the body. It has the form that SDK servers use, on every route.
pub(crate) fn denial(denied: &Denied, head: &Head<'_>, settings: &Settings) -> OwnedResponse {
    let mut body = Vec::new();
    let mut object = Object::new(&mut body);
    object.str("error", denied.error()).str("error_description", denied.description());
    object.end();
    let answer = OwnedResponse {
        status: denied.status(),
        content_type: Some(JSON.into()),
        body,
        ..OwnedResponse::default()
    };
    match denied.status() {
        503 => return answer.header("Retry-After", "1".to_owned()),
        500.. => return answer,
        _ => {}
    }
    let (mount, path) = settings::split(head.path, settings);
    // Messages that are posted there belong to a stream.
    let path = if path == settings.message_path { &settings.sse_path } else { path };
    let resource = settings.resource.as_ref();
    let served =
        |own: &ProtectedResource| own.served_at((mount, path), settings).unwrap_or_else(|| own.clone());
    let metadata = resource.map(|own| served(own).url());
    // A client without a valid token asks for one with all scopes (MCP 2025-11-25, authorization).
    let scopes = resource.filter(|resource| denied.status() == 401 && !resource.scopes.is_empty());
    let scope = scopes.map(|resource| resource.scopes.join(" "));
    answer.header("WWW-Authenticate", denied.challenge(metadata.as_deref(), scope.as_deref()))
}
