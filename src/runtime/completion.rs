//! `completion/complete` (MCP completion).
//!
//! *Scope:* reading the request, asking the completer, writing its values. *Not in scope:* the completers
//! ([`Completer`]).

use crate::json::value::{JsonRef, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::protocol::panics::guarded;
use crate::protocol::revision::Revision;
use crate::protocol::uri::normal::{normalize, normalize_template};
use crate::protocol::viewers::Viewer;
use crate::runtime::handler_service::HandlerService;
use crate::server::builder::Server;
use crate::server::call::Call;
use crate::server::complete::{Completed, Completer, CompletionRequest, VALUES_MAX};
use crate::server::context::Context;
use crate::server::registry::Registry;
use crate::service::ServiceRequest;
use crate::service::ended::{CallKind, CallOutcome};
use crate::service::outbox::Outbox;
use crate::service::session::Session;

impl HandlerService {
    /// Answers `completion/complete`.
    ///
    /// # Errors
    /// −32602 for wrong parameters, and for a prompt, resource or template that does not exist; −32603 if the
    /// completer panics; what the hook `before_call` answers. An argument without a completer has no values.
    pub(crate) fn complete(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut call = self.call_of(request.call, Context::of(request, session, request.member("_meta")?));
        let (mut result, mut name, begun) = (Vec::new(), String::new(), self.measured_time());
        self.lend_session_data(request.session, &mut call);
        let completed = complete(&mut self.server, request.params, &mut call, &mut name, &mut result);
        self.take_session_data(request.session, &mut call);
        let outcome = match &completed {
            Ok(()) => CallOutcome::Result,
            Err(error) => CallOutcome::Error(error.code),
        };
        let before = out.bytes();
        match completed {
            Ok(()) => {
                self.result(request.call, session.revision(), None, out, |out| out.append(&mut result));
            }
            Err(error) => out.error(request.call, &error),
        }
        let (about, end) = ((&*name, outcome == CallOutcome::Result), (outcome, out.bytes() - before));
        self.report_completion((request.call, &call.context), about, end, begun, out);
        Ok(())
    }
}

/// Appends the values, and notes the `name` of what is completed.
fn complete<'p>(
    server: &mut Server,
    params: Option<JsonRef<'p>>,
    call: &mut Call<'_>,
    of: &mut String,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let registry = &mut server.registry;
    let missing = |name: &str| Error::invalid_params(format_args!("`{name}` is missing or not a string"));
    let needed = |name: &str| Error::invalid_params(format_args!("`{name}` is missing"));
    let params = Members::of(params.ok_or_else(|| needed("ref"))?)?;
    let reference = params.get("ref").ok_or_else(|| needed("ref"))?;
    let completed = read_reference(registry, &call.context.viewer(), reference, of)?;
    let argument = Members::of_member(params.get("argument").ok_or_else(|| needed("argument"))?, "argument")?;
    let name = argument.get("name").and_then(JsonRef::as_str).ok_or_else(|| missing("argument.name"))?;
    let value = argument.get("value").and_then(JsonRef::as_str).ok_or_else(|| missing("argument.value"))?;
    let mut others = Vec::new();
    let member =
        |raw: Option<JsonRef<'p>>, name: &str| raw.map(|raw| Members::of_member(raw, name)).transpose();
    if let Some(context) = member(params.get("context"), "context")?
        && let Some(known) = member(context.get("arguments"), "context.arguments")?
    {
        others.extend(
            known.iter().filter_map(|(name, value)| Some((name.into_owned(), value.as_str()?.into_owned()))),
        );
    }
    let revision = call.context.revision;
    let admitted = server.before_call.ask(&mut *registry.states.own, call, CallKind::Completion, of);
    admitted.map_err(|error| error.into_error(Some(of), revision))?;
    let (partial, argument) = (
        CompletionRequest { value: &value, others: &others, principal: call.context.principal.as_ref() },
        (completed, name.into_owned()),
    );
    let values = match registry.completions.get_mut(&argument) {
        Some(completer) => {
            guarded("completion of", &argument.1, || Ok(completer(&mut *registry.states.own, &partial)))
                .map_err(|error| error.into_error(None, Revision::NEWEST))?
        }
        None => registry.choices(&argument.0, &argument.1).complete(&partial),
    };
    write(out, &values);
    Ok(())
}

fn read_reference(
    registry: &mut Registry,
    viewer: &Viewer<'_>,
    reference: JsonRef<'_>,
    of: &mut String,
) -> Result<Completed, Error> {
    let members = Members::of_member(reference, "ref")?;
    let text = |name: &str| {
        members.get(name).and_then(JsonRef::as_str).map(|text| text.into_owned()).unwrap_or_default()
    };
    let (completed, exists) = match text("type").as_str() {
        "ref/prompt" => {
            *of = text("name");
            (Completed::Prompt(text("name")), registry.prompts.find(&text("name"), viewer).is_some())
        }
        // A resource has nothing to complete, but asking is no mistake.
        "ref/resource" => {
            *of = text("uri");
            let (uri, template) = (text("uri"), normalize_template(&text("uri")));
            let exists = registry.templates.find(&template, viewer).is_some()
                || registry.resources.find(&normalize(&uri), viewer).is_some();
            (Completed::Template(template), exists)
        }
        _ => return Err(Error::invalid_params("`ref.type` must be ref/prompt or ref/resource")),
    };
    exists.then_some(completed).ok_or_else(|| {
        Error::invalid_params("`ref` names no prompt, resource or resource template of this server")
    })
}

fn write(out: &mut Vec<u8>, values: &[String]) {
    let mut result = Object::new(out);
    result.field("completion", |out| {
        let mut completion = Object::new(out);
        completion.field("values", |out| {
            let mut list = Array::new(out);
            values.iter().take(VALUES_MAX).for_each(|value| {
                list.str(value);
            });
        });
        completion.int("total", i64::try_from(values.len()).unwrap_or(i64::MAX));
        completion.bool("hasMore", values.len() > VALUES_MAX);
    });
}
