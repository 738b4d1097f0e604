//! How a client describes itself: name, version and capabilities (MCP lifecycle, `initialize`).
//!
//! *Scope:* [`ClientInfo`] and [`Capabilities`], read and written. *Not in scope:* the session that keeps them.

use std::fmt;

use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::jsonrpc::Error;

/// The capabilities that a client has declared (MCP lifecycle, capability negotiation).
///
/// ```
/// use mcp_rill::Capabilities;
/// let client = Capabilities::ELICITATION_FORM | Capabilities::ROOTS;
/// let can_ask_its_user = client.elicitation_form || client.elicitation_url;
/// assert!(can_ask_its_user && !client.sampling);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The client can list its roots.
    pub roots: bool,
    /// The client can ask its model (`sampling/createMessage`).
    pub sampling: bool,
    /// The model can use tools while it answers.
    pub sampling_tools: bool,
    /// The client can show its user a form.
    pub elicitation_form: bool,
    /// The client can show its user a URL.
    pub elicitation_url: bool,
}

impl Capabilities {
    /// None of them.
    pub const NONE: Capabilities = Capabilities {
        roots: false,
        sampling: false,
        sampling_tools: false,
        elicitation_form: false,
        elicitation_url: false,
    };
    /// [`roots`](Capabilities::roots) alone.
    pub const ROOTS: Capabilities = Capabilities { roots: true, ..Capabilities::NONE };
    /// [`sampling`](Capabilities::sampling) alone.
    pub const SAMPLING: Capabilities = Capabilities { sampling: true, ..Capabilities::NONE };
    /// [`sampling_tools`](Capabilities::sampling_tools), which needs `sampling`, too.
    pub const SAMPLING_TOOLS: Capabilities =
        Capabilities { sampling: true, sampling_tools: true, ..Capabilities::NONE };
    /// [`elicitation_form`](Capabilities::elicitation_form) alone.
    pub const ELICITATION_FORM: Capabilities = Capabilities { elicitation_form: true, ..Capabilities::NONE };
    /// [`elicitation_url`](Capabilities::elicitation_url) alone.
    pub const ELICITATION_URL: Capabilities = Capabilities { elicitation_url: true, ..Capabilities::NONE };

    /// Reads them from the member `name` of a message. Each is declared by an object, unknown ones included.
    ///
    /// # Errors
    /// −32602 names what is not an object.
    pub(crate) fn read(raw: JsonRef<'_>, name: &str) -> Result<Capabilities, Error> {
        let all = Members::of_member(raw, name)?;
        if all.iter().next().is_none() {
            return Ok(Capabilities::NONE);
        }
        if let Some((member, _)) = all.iter().find(|(_, value)| !value.is_null() && !value.is_object()) {
            return Err(Error::invalid_params(format_args!("`{name}.{member:.64}` must be an object")));
        }
        let [elicitation, sampling, roots] = all.pick(["elicitation", "sampling", "roots"]);
        let elicitation = declared(elicitation, format_args!("{name}.elicitation"))?;
        let sampling = declared(sampling, format_args!("{name}.sampling"))?;
        let mode = |of: &str, modes: &Option<Members<'_>>, mode: &str| {
            let found = modes.as_ref().and_then(|modes| modes.get(mode));
            declared(found, format_args!("{name}.{of}.{mode}")).map(|found| found.is_some())
        };
        let elicitation_url = mode("elicitation", &elicitation, "url")?;
        let form = mode("elicitation", &elicitation, "form")?;
        Ok(Capabilities {
            roots: declared(roots, format_args!("{name}.roots"))?.is_some(),
            sampling: sampling.is_some(),
            sampling_tools: mode("sampling", &sampling, "tools")?,
            elicitation_url,
            // An empty object means forms: it is all that 2025-06-18 knew.
            elicitation_form: form || (elicitation.is_some() && !elicitation_url),
        })
    }

    /// Returns those that are not among `others`.
    pub(crate) fn without(self, others: Capabilities) -> Capabilities {
        self.zip(others, |one, other| one && !other)
    }

    fn zip(self, other: Capabilities, join: fn(bool, bool) -> bool) -> Capabilities {
        Capabilities {
            roots: join(self.roots, other.roots),
            sampling: join(self.sampling, other.sampling),
            sampling_tools: join(self.sampling_tools, other.sampling_tools),
            elicitation_form: join(self.elicitation_form, other.elicitation_form),
            elicitation_url: join(self.elicitation_url, other.elicitation_url),
        }
    }

    /// Writes the object by which a client declares them.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let modes = |modes: &[(&str, bool)], out: &mut Vec<u8>| {
            let mut object = Object::new(out);
            modes.iter().filter(|(_, is)| *is).for_each(|(name, _)| {
                object.raw(name, "{}");
            });
        };
        let mut object = Object::new(out);
        if self.elicitation_form || self.elicitation_url {
            let kinds = [("form", self.elicitation_form), ("url", self.elicitation_url)];
            object.field("elicitation", |out| modes(&kinds, out));
        }
        if self.roots {
            object.raw("roots", "{}");
        }
        if self.sampling || self.sampling_tools {
            object.field("sampling", |out| modes(&[("tools", self.sampling_tools)], out));
        }
    }

    /// Names them in words for a person.
    pub(crate) fn in_words(self) -> String {
        let words = [
            (self.elicitation_form, "show forms (elicitation)"),
            (self.elicitation_url, "open URLs (elicitation.url)"),
            (self.roots, "list its roots (roots)"),
            (self.sampling, "ask its model (sampling)"),
            (self.sampling_tools, "let its model use tools (sampling.tools)"),
        ];
        let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
        words.join(" and ")
    }
}

impl std::ops::BitOr for Capabilities {
    type Output = Capabilities;

    /// Returns the capabilities of both.
    fn bitor(self, other: Capabilities) -> Capabilities {
        self.zip(other, |one, other| one || other)
    }
}

/// Reads a capability, which is declared by an object that may be empty.
fn declared<'a>(found: Option<JsonRef<'a>>, path: fmt::Arguments<'_>) -> Result<Option<Members<'a>>, Error> {
    Ok(found.map(|raw| Members::of_member(raw, path)).transpose()?)
}

/// A client as it described itself: the `clientInfo` and `capabilities` of its `initialize` request (MCP lifecycle), or since
/// 2026-07-28 of the request itself, where name and version may be missing, and are empty then.
///
/// ```
/// let server = mcp_rill::Server::new("news", "1.0.0").tool("news", "What is new", |(), call| match call.client() {
///     Some(client) if client.capabilities.sampling => format!("{} {} can sum it up", client.name, client.version),
///     _ => "all of it, unabridged".to_owned(),
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its name: at most 128 bytes of it, in whole characters.
    pub name: Box<str>,
    /// Its version: likewise.
    pub version: Box<str>,
    /// Its capabilities.
    pub capabilities: Capabilities,
}

impl ClientInfo {
    /// A client with its program's name and version, and its capabilities; for tests of a service.
    pub fn new(name: &str, version: &str, capabilities: Capabilities) -> ClientInfo {
        ClientInfo { name: name.into(), version: version.into(), capabilities }
    }
}
