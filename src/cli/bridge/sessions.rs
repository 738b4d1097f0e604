//! Clients with sessions, served by a child of 2026-07-28, which knows none.
//!
//! *Scope:* adding to requests what the child expects, removing from results what these clients do not know, and answering requests
//! that the child no longer has. *Not in scope:* its
//! questions (`asking`), what it announces (`listens`).
//!
//! ```text
//!  initialize ──▶ what the child has answered to `server/discover`
//!  ping, logging/setLevel, resources/subscribe, resources/unsubscribe ──▶ the bridge itself
//!  any other ──▶ _meta with revision, client, capabilities, level ──▶ the child ──▶ without resultType, cache hints, serverInfo
//! ```

use super::service::{Bridge, Front};
use super::tables::Owner;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::Error;
use crate::protocol::client_info::Capabilities;
use crate::protocol::level::{Level, read_level};
use crate::protocol::meta_names::{
    CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION, SERVER_INFO,
};
use crate::protocol::revision::Revision;
use crate::service::ServiceRequest;
use crate::service::outbox::Outbox;
use crate::service::session::Session;

/// Members of results that sessions do not have.
const OF_RESULTS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// What a client says of itself in each request of 2026-07-28.
pub(super) struct Description<'a> {
    info: Option<&'a str>,
    capabilities: String,
    level: Option<Level>,
}

impl<'a> Description<'a> {
    pub(super) fn of(info: Option<&'a str>, able: Capabilities, level: Option<Level>) -> Description<'a> {
        let mut capabilities = Vec::new();
        able.write(&mut capabilities);
        Description { info, capabilities: String::from_utf8(capabilities).unwrap_or_default(), level }
    }

    /// What the client of a session has said to `initialize`, as it wrote it.
    pub(super) fn of_front(front: Option<&'a Front>, tape: &'a mut Tape) -> Description<'a> {
        let Some(front) = front else { return Description::of(None, Capabilities::NONE, None) };
        let said = front.initialize.as_deref().and_then(|params| tape.read(params).ok());
        let member = |name: &str| said.and_then(|said| said.get(name)).filter(|member| member.is_object());
        let own = Description::of(member("clientInfo").map(JsonRef::text), front.able, front.level);
        match member("capabilities") {
            Some(capabilities) => Description { capabilities: capabilities.text().to_owned(), ..own },
            None => own,
        }
    }

    pub(super) fn write(&self, meta: &mut Object<'_>) {
        meta.str(PROTOCOL_VERSION, Revision::V2026_07_28.name());
        meta.raw(CLIENT_CAPABILITIES, &self.capabilities);
        if let Some(info) = self.info {
            meta.raw(CLIENT_INFO, info);
        }
        if let Some(level) = self.level {
            meta.str(LOG_LEVEL, level.name());
        }
    }
}

/// Appends the parameters of a session's request with its client's description, and with `token` in the place of the progress
/// token. `more` adds members. Returns the token that stood there.
///
/// # Errors
/// −32602 if a member occurs twice.
pub(super) fn params(
    params: Option<JsonRef<'_>>,
    token: i64,
    description: &Description<'_>,
    more: impl FnOnce(&mut Object<'_>),
    out: &mut Vec<u8>,
) -> Result<Option<Box<str>>, Error> {
    let members = params.map(Members::of).transpose()?.unwrap_or_default();
    let meta = members.get("_meta").filter(|meta| meta.is_object());
    let meta = meta.map(|meta| Members::of_member(meta, "_meta")).transpose()?.unwrap_or_default();
    let asked = meta.get("progressToken");
    let mut object = Object::new(out);
    for (name, value) in members.iter().filter(|(name, _)| name != "_meta") {
        object.raw(&name, value.text());
    }
    more(&mut object);
    object.field("_meta", |out| {
        let mut object = Object::new(out);
        let own = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];
        for (name, value) in meta.iter().filter(|(name, _)| !own.contains(&&**name)) {
            match &*name {
                "progressToken" => object.int("progressToken", token),
                _ => object.raw(&name, value.text()),
            };
        }
        description.write(&mut object);
    });
    object.end();
    Ok(asked.map(|asked| asked.text().into()))
}

/// Appends a result without what sessions do not have.
pub(super) fn write_plain(result: JsonRef<'_>, out: &mut Vec<u8>) {
    let Ok(members) = Members::of(result) else { return out.extend_from_slice(result.text().as_bytes()) };
    let mut object = Object::new(out);
    for (name, value) in members.iter().filter(|(name, _)| !OF_RESULTS.contains(&&**name)) {
        match Members::of(value) {
            Ok(meta) if name == "_meta" => {
                let kept: Vec<_> = meta.iter().filter(|(name, _)| name != SERVER_INFO).collect();
                if kept.is_empty() {
                    continue;
                }
                object.field("_meta", |out| {
                    let mut object = Object::new(out);
                    for (name, value) in &kept {
                        object.raw(name, value.text());
                    }
                });
            }
            _ => {
                object.raw(&name, value.text());
            }
        }
    }
}

/// An error as sessions have it: the code for a resource that does not exist was another one (MCP 2026-07-28, resources).
pub(super) fn plain_error(error: Error) -> Error {
    let mut tape = Tape::new();
    let data = error.data.as_ref().and_then(|data| tape.read(data.get()).ok());
    match error.code == Error::INVALID_PARAMS && data.is_some_and(|data| data.get("uri").is_some()) {
        true => Error { code: -32002, ..error },
        false => error,
    }
}

/// The name and version in the result of `server/discover`.
pub(super) fn info_of(discovered: JsonRef<'_>) -> Option<JsonRef<'_>> {
    discovered.get("_meta").and_then(|meta| meta.get(SERVER_INFO))
}

/// Appends what a child would have answered to `initialize`.
pub(super) fn write_described(discovered: JsonRef<'_>, out: &mut Vec<u8>) {
    let mut object = Object::new(out);
    object.str("protocolVersion", Revision::NEWEST_WITH_SESSIONS.name());
    object.raw("capabilities", discovered.get("capabilities").map_or("{}", JsonRef::text));
    // Sessions need a name, and 2026-07-28 does not.
    object.raw("serverInfo", info_of(discovered).map_or(r#"{"name":"","version":""}"#, JsonRef::text));
    if let Some(instructions) = discovered.get("instructions") {
        object.raw("instructions", instructions.text());
    }
}

/// Appends a child's answer to `server/discover` for a client: the revision is the one that is spoken here.
pub(super) fn write_discovered(discovered: &str, out: &mut Vec<u8>) {
    let mut tape = Tape::new();
    if let Ok(discovered) = tape.read(discovered) {
        let versions = format!("[\"{}\"]", Revision::V2026_07_28.name());
        super::rewrite::member(discovered, "supportedVersions", &versions, &mut Object::new(out));
    }
}

impl Bridge {
    /// Requests of a session that a child of 2026-07-28 does not know. Returns false if the request is for the child.
    pub(super) fn take_removed(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &mut Session,
        owner: &Owner,
        out: &mut Outbox,
    ) -> Result<bool, Error> {
        if let Some(front) = self.sessions.get_mut(&request.session) {
            front.operating = true;
        }
        match request.method {
            "logging/setLevel" => {
                let level = read_level(request.member("level")?)?;
                session.set_log_level(Some(level));
                if let Some(front) = self.sessions.get_mut(&request.session) {
                    front.level = Some(level);
                }
            }
            "resources/subscribe" | "resources/unsubscribe" => {
                let uri = request.uri()?;
                let begins = request.method == "resources/subscribe";
                if begins && !self.subscribe(request, &uri, out)? {
                    return Ok(true);
                }
                if !begins && let Some(front) = self.sessions.get_mut(&request.session) {
                    front.subscriptions.remove(&*uri);
                    front.recount();
                }
                let child = self.place(owner).and_then(|place| place.child);
                if let Some(child) = child {
                    self.listen_anew(child);
                }
            }
            _ => return Ok(false),
        }
        out.empty_result(request.call);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_describe_their_client_and_keep_the_rest() {
        let written = |text: Option<&str>| {
            let (mut out, mut tape) = (Vec::new(), Tape::new());
            let description =
                Description::of(Some(r#"{"name":"c"}"#), Capabilities::ROOTS, Some(Level::Error));
            let json = text.map(|text| tape.read(text).unwrap());
            let token = params(json, 7, &description, |_| {}, &mut out).unwrap();
            (String::from_utf8(out).unwrap(), token.map(String::from))
        };
        let description = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"error""#;
        assert_eq!(written(None).0, format!(r#"{{"_meta":{{{description}}}}}"#));
        let text = r#"{"a":1.50,"_meta":{"own":[1e400],"progressToken":"t"}}"#;
        let (out, token) = written(Some(text));
        assert_eq!(out, format!(r#"{{"a":1.50,"_meta":{{"own":[1e400],"progressToken":7,{description}}}}}"#));
        assert_eq!(token.as_deref(), Some(r#""t""#));
    }

    #[test]
    fn results_lose_what_sessions_do_not_have() {
        for (text, plain) in [
            (
                r#"{"resultType":"complete","tools":[1.0],"ttlMs":0,"cacheScope":"private"}"#,
                r#"{"tools":[1.0]}"#,
            ),
            (r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{},"a":1}}"#, r#"{"_meta":{"a":1}}"#),
            (r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#, "{}"),
            ("7", "7"),
        ] {
            let (mut out, mut tape) = (Vec::new(), Tape::new());
            write_plain(tape.read(text).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), plain);
        }
    }
}
