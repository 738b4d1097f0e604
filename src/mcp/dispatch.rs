//! From a method's name to its handler and back to a result.
//!
//! *Scope:* the methods of the 2024-11-05 to 2025-11-25 revisions, answered from the registry of handlers.
//! *Not in scope:* arguments' and results' types, envelopes.
//!
//! ```text
//!  request ─▶ initialize, ping ────────────────────────────────▶ session state ─▶ result
//!          └▶ */list ─▶ a page of the registry ─────────────────────────────────▶ result
//!          └▶ tools/call, resources/read, prompts/get ─▶ handler ─┬ value ──────▶ result
//!                                                                 ├ error ──────▶ isError result, or error
//!                                                                 └ panic ──────▶ −32603
//! ```

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::value::RawValue;

use crate::Limits;
use crate::jsonrpc::{Array, Error, Members, Notification, Object, string};
use crate::mcp::server::Registry;
use crate::mcp::{
    Call, CallError, Implementation, Incoming, Outbox, ResourceContents, Server, Service, Session, SessionKey,
};

/// The registry of handlers as a service.
pub(crate) struct Dispatch {
    info: Implementation,
    instructions: Option<String>,
    limits: Limits,
    registry: Registry,
}

impl Dispatch {
    pub(crate) fn new(server: Server) -> Dispatch {
        let Server { info, instructions, limits, registry, .. } = server;
        Dispatch { info, instructions, limits, registry }
    }
}

impl Service for Dispatch {
    fn request(&mut self, request: &Incoming<'_>, session: &mut Session, out: &mut Outbox) {
        if !matches!(request.method, "initialize" | "ping") {
            let version = request.head.header("mcp-protocol-version");
            session.operate(version.and_then(|version| std::str::from_utf8(version).ok()));
        }
        if let Err(error) = self.answer_request(request, session, out) {
            out.error(request.call, &error);
        }
    }

    fn notification(
        &mut self,
        _: SessionKey,
        session: &mut Session,
        notification: &Notification<'_>,
        _: &mut Outbox,
    ) {
        if notification.method == "notifications/initialized" {
            session.operate(None);
        }
    }
}

impl Dispatch {
    fn answer_request(
        &mut self,
        request: &Incoming<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        match request.method {
            "initialize" => self.initialize(request, session, out),
            "ping" => {
                out.result(request.call, |out| out.extend_from_slice(b"{}"));
                Ok(())
            }
            "tools/list" if !self.registry.tools.is_empty() => {
                let tools = &self.registry.tools;
                list(request, out, |out| {
                    tools.write_page(out, "tools", request.params, &self.limits, |(tool, _), out| {
                        tool.write(out)
                    })
                })
            }
            "resources/list" if self.has_resources() => {
                let resources = &self.registry.resources;
                list(request, out, |out| {
                    resources.write_page(
                        out,
                        "resources",
                        request.params,
                        &self.limits,
                        |(resource, _), out| resource.write(out),
                    )
                })
            }
            "resources/templates/list" if self.has_resources() => {
                let templates = &self.registry.templates;
                list(request, out, |out| {
                    templates.write_page(
                        out,
                        "resourceTemplates",
                        request.params,
                        &self.limits,
                        |(template, ..), out| template.write(out),
                    )
                })
            }
            "prompts/list" if !self.registry.prompts.is_empty() => {
                let prompts = &self.registry.prompts;
                list(request, out, |out| {
                    prompts.write_page(out, "prompts", request.params, &self.limits, |(prompt, _), out| {
                        prompt.write(out)
                    })
                })
            }
            "tools/call" if !self.registry.tools.is_empty() => self.call_tool(request, session, out),
            "resources/read" if self.has_resources() => self.read_resource(request, session, out),
            "prompts/get" if !self.registry.prompts.is_empty() => self.get_prompt(request, session, out),
            other => Err(Error::method_not_found(&shorten(other))),
        }
    }

    fn has_resources(&self) -> bool {
        !self.registry.resources.is_empty() || !self.registry.templates.is_empty()
    }

    fn initialize(
        &mut self,
        request: &Incoming<'_>,
        session: &mut Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let revision = session.initialize(request.params)?;
        out.result(request.call, |out| {
            let mut result = Object::new(out);
            result.str("protocolVersion", revision.name());
            result.field("capabilities", |out| self.write_capabilities(out));
            result.field("serverInfo", |out| self.info.write(out));
            result.opt_str("instructions", self.instructions.as_deref());
            result.end();
        });
        Ok(())
    }

    /// Only what is there is advertised: a client may take a capability as a promise that the methods work.
    fn write_capabilities(&self, out: &mut Vec<u8>) {
        let mut capabilities = Object::new(out);
        if !self.registry.prompts.is_empty() {
            capabilities.raw("prompts", "{}");
        }
        if self.has_resources() {
            capabilities.raw("resources", "{}");
        }
        if !self.registry.tools.is_empty() {
            capabilities.raw("tools", "{}");
        }
        capabilities.end();
    }

    fn call_tool(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let params = Params::read(request, "name")?;
        let name = params.subject;
        let Some((tool, handler)) = self.registry.tools.find(&name) else {
            return Err(Error::invalid_params(format_args!(
                "unknown tool `{}`; `tools/list` lists the tools",
                shorten(&name)
            )));
        };
        let mut call = Call { incoming: request, session, meta: params.meta };
        let result = guarded("tool", &name, || handler(params.arguments, &mut call))
            .map_err(|error| error.into_error(None))?;
        if tool.has_output_schema() && result.structured_text().is_none() && !result.is_error() {
            return Err(Error::internal(format_args!(
                "the tool `{name}` declares an output schema but returned no structured content"
            )));
        }
        out.result(request.call, |out| result.write(out, session.revision()));
        Ok(())
    }

    fn read_resource(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let params = Params::read(request, "uri")?;
        let uri = params.subject;
        if uri.len() > self.limits.uri_bytes_max {
            return Err(Error::invalid_params(format_args!(
                "`uri` has {} bytes, more than the limit uri_bytes_max = {}",
                uri.len(),
                self.limits.uri_bytes_max
            )));
        }
        let mut call = Call { incoming: request, session, meta: params.meta };
        let (contents, mime_type) =
            self.contents_of(&uri, &mut call).map_err(|error| error.into_error(Some(&uri)))?;
        out.result(request.call, |out| {
            let mut result = Object::new(out);
            result.field("contents", |out| {
                let mut items = Array::new(out);
                contents.iter().for_each(|contents| {
                    items.item(|out| contents.write(out, &uri, mime_type.as_deref()));
                });
                items.end();
            });
            result.end();
        });
        Ok(())
    }

    /// A resource of exactly that URI, else the first template that matches it.
    fn contents_of(
        &mut self,
        uri: &str,
        call: &mut Call<'_>,
    ) -> Result<(Vec<ResourceContents>, Option<String>), CallError> {
        if let Some((resource, handler)) = self.registry.resources.find(uri) {
            let contents = guarded("resource", uri, || handler(call))?;
            return Ok((contents, resource.mime().map(str::to_owned)));
        }
        for (template, pattern, handler) in self.registry.templates.iter_mut() {
            if let Some(vars) = pattern.matches(uri) {
                let contents = guarded("resource template", &template.uri_template, || handler(&vars, call))?;
                return Ok((contents, template.mime().map(str::to_owned)));
            }
        }
        Err(CallError::not_found())
    }

    fn get_prompt(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let params = Params::read(request, "name")?;
        let name = params.subject;
        let Some((prompt, handler)) = self.registry.prompts.find(&name) else {
            return Err(Error::invalid_params(format_args!(
                "unknown prompt `{}`; `prompts/list` lists the prompts",
                shorten(&name)
            )));
        };
        let mut call = Call { incoming: request, session, meta: params.meta };
        let result = guarded("prompt", &name, || handler(params.arguments, &mut call))
            .map_err(|error| error.into_error(None))?;
        out.result(request.call, |out| result.write(out, prompt.description_text(), session.revision()));
        Ok(())
    }
}

/// Writes a page, or leaves nothing behind if the cursor is not right.
fn list(
    request: &Incoming<'_>,
    out: &mut Outbox,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut page = Vec::new();
    write(&mut page)?;
    out.result(request.call, |out| out.append(&mut page));
    Ok(())
}

/// The parameters of the three methods that reach a handler.
struct Params<'a> {
    subject: Cow<'a, str>,
    arguments: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    fn read(request: &Incoming<'a>, subject: &str) -> Result<Params<'a>, Error> {
        let missing = || {
            Error::invalid_params(format_args!(
                "`{subject}` is missing or not a string; `{}` needs it",
                request.method
            ))
        };
        let params = Members::of(request.params.ok_or_else(missing)?)?;
        let subject = params.get(subject).and_then(string).ok_or_else(missing)?;
        Ok(Params { subject, arguments: params.get("arguments"), meta: params.get("_meta") })
    }
}

/// The one boundary where a panic of a user's handler is caught.
fn guarded<T>(
    kind: &str,
    name: &str,
    handler: impl FnOnce() -> Result<T, CallError>,
) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(handler))
        .unwrap_or_else(|_| Err(CallError::internal(format!("the handler of {kind} `{name}` panicked"))))
}

/// The start of a peer's text, so that an error message stays one line of sane length.
fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}
