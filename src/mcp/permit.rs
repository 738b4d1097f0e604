//! Who may hear of a resource: what is asked before somebody subscribes, and before he is told.
//!
//! *Scope:* [`Server::on_subscribe`], and what takes its place where it is not set; `resources/subscribe`,
//! `resources/unsubscribe` and `subscriptions/listen` as far as they are about URIs. *Not in scope:* who has subscribed
//! (that is `subscriptions` and `listen`).
//!
//! ```text
//!  resources/subscribe, subscriptions/listen ─┬─ hook ────▶ yes or no
//!                                             └─ no hook ─▶ the resource is read for that client, to be thrown away
//!                                                 ├─ contents ─────────────────────▶ yes
//!                                                 ├─ any error, panic, timeout ────▶ no
//!                                                 ├─ on another thread, deferred ──▶ when that is done
//!                                                 └─ a question ─┬─ subscribe ─────▶ asked, then as above
//!                                                                └─ listen ────────▶ no: nothing can be asked there
//!  Handle::resource_updated ─▶ hook ─▶ told, or not
//! ```
//!
//! No is answered as if the resource did not exist, whatever its handler says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::Now;
use crate::jsonrpc::{Error, Id, IdRef, Object, member, string};
use crate::mcp::asked::Asked;
use crate::mcp::call::Context;
use crate::mcp::calls::{Run, Target};
use crate::mcp::dispatch::Dispatch;
use crate::mcp::failure::CallError;
use crate::mcp::handlers::{About, guarded};
use crate::mcp::listen::{Filter, Watched, write_subscription};
use crate::mcp::meta::SERVER_INFO;
use crate::mcp::seal::Binding;
use crate::mcp::uri::{Forms, normalize};
use crate::mcp::{CallKey, Incoming, Outbox, Principal, Server, Session, SessionKey};

impl Server {
    /// Asks `hook` who may hear of changes of which resource: it gets the URI in
    /// [normal form](crate::mcp::uri::normalize) and the principal, where peers are authenticated. It is asked when somebody
    /// subscribes (`resources/subscribe`, `subscriptions/listen`), and again before each notification, so that a right that is
    /// withdrawn counts from then on. Whom it says no to is answered as if there were no such resource, and hears nothing.
    ///
    /// Without a hook the resource's handler is asked when somebody subscribes: it runs as for `resources/read`, for that
    /// client and with that request, and what it returns is thrown away. Any error refuses the subscription. So whoever may
    /// not read a resource cannot subscribe to it, and a resource that is not there yet has no subscribers. A
    /// handler that works elsewhere is waited for. One that asks the client asks over `resources/subscribe`, too; in a
    /// `subscriptions/listen` nothing can be asked, so there its resource is left out. The handler is not asked again for each
    /// notification. Set a hook where rights to single resources can be withdrawn while a client stays, or where reading is
    /// dear: clients may subscribe to `subscriptions_max` resources at once.
    ///
    /// The hook runs on the loop's thread and must not block. A panic is a no.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::{Arc, Mutex};
    /// let owners = Arc::new(Mutex::new(BTreeMap::from([("note:///5".to_owned(), "ada".to_owned())])));
    /// let rights = owners.clone();
    /// let server = mcp_rill::Server::new("notes", "1.0.0")
    ///     .template("note:///{id}", "note", |_, _| "a long read")
    ///     .on_subscribe(move |uri, principal| match (rights.lock(), principal) {
    ///         (Ok(rights), Some(principal)) => rights.get(uri).is_some_and(|owner| owner == principal.name()),
    ///         _ => false,
    ///     });
    /// owners.lock().unwrap().remove("note:///5"); // from here on nobody hears of it
    /// ```
    pub fn on_subscribe(
        mut self,
        hook: impl FnMut(&str, Option<&Principal>) -> bool + Send + 'static,
    ) -> Server {
        self.permit = Permit(Some(Box::new(hook)));
        self
    }
}

type Hook = Box<dyn FnMut(&str, Option<&Principal>) -> bool + Send>;

/// The hook of [`Server::on_subscribe`], if there is one.
#[derive(Default)]
pub(crate) struct Permit(Option<Hook>);

impl Permit {
    /// What the hook says of this URI in normal form; `None` if there is none.
    pub(crate) fn ask(&mut self, uri: &str, principal: Option<&Principal>) -> Option<bool> {
        let hook = self.0.as_mut()?;
        Some(guarded("on_subscribe", uri, || Ok(hook(uri, principal))).unwrap_or(false))
    }

    /// Whether who has subscribed to it may still hear of it.
    pub(crate) fn allows(&mut self, uri: &str, principal: Option<&Principal>) -> bool {
        self.ask(uri, principal).unwrap_or(true)
    }
}

/// What a run of a resource's handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To answer with what it returns.
    Answer,
    /// To find out whether its client may subscribe.
    Subscribe,
    /// The same for one of the URIs that its client wants to listen to.
    Listen,
}

/// Requests to listen that wait for what handlers say.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    open: BTreeMap<CallKey, Probe>,
    judged: Vec<Judged>,
}

#[derive(Debug)]
struct Probe {
    session: SessionKey,
    id: Id,
    context: Context<'static>,
    /// With the URIs that the client may listen to, so far.
    filter: Filter,
    asked: Option<Watched>,
    /// Not asked yet, the last one first.
    waiting: Vec<Watched>,
    /// How many were asked: runs of one call are told apart by this.
    runs: u32,
    deadline: Duration,
}

#[derive(Debug)]
struct Judged {
    call: CallKey,
    permitted: bool,
    /// The handler was given up: to go on would be to take its worker's place.
    given_up: bool,
}

impl Probe {
    fn held_bytes(&self) -> usize {
        let uris = self.waiting.iter().chain(&self.asked);
        size_of::<Probe>()
            + self.context.headers.held_bytes()
            + self.filter.held_bytes()
            + uris.map(Watched::held_bytes).sum::<usize>()
    }
}

impl Probing {
    /// The session ended, or the request that stands for one.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        self.open.retain(|_, probe| probe.session != session);
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.open.values().map(Probe::held_bytes).sum()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.open.values().map(|probe| (probe.session, probe.held_bytes()))
    }
}

impl Dispatch {
    pub(crate) fn subscribe(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let uri = read_uri(request)?;
        self.check_uri(&uri)?;
        // Before the handler is asked, so that this says nothing of the resource.
        if !self.subscriptions.has_room(request.session, &uri, self.limits.subscriptions_max) {
            return Err(self.too_many_subscriptions());
        }
        let meta = request.params.map(|params| member(params, "_meta")).transpose()?.flatten();
        let context = Context::of(request, session, meta);
        let run = probe_of(request.call, request.session, uri, context, Purpose::Subscribe);
        let permitted = match self.is_resource(&run.subject) {
            true => self.permit.ask(&normalize(&run.subject), session.principal()),
            false => Some(false),
        };
        match permitted {
            Some(permitted) => self.subscribed(&run, permitted, out),
            None => self.run(run, request.now, out),
        }
        Ok(())
    }

    /// Answers `resources/subscribe`. No ends a subscription that there was.
    fn subscribed(&mut self, run: &Run<'_>, permitted: bool, out: &mut Outbox) {
        let (session, uri, max) = (run.session, &*run.subject, self.limits.subscriptions_max);
        if !permitted {
            self.subscriptions.remove(session, uri);
            return out.error(run.key, &CallError::not_found().into_error(Some(uri), run.revision()));
        }
        match self.subscriptions.add(session, uri, run.context.principal.as_ref(), max) {
            true => out.empty_result(run.key),
            false => out.error(run.key, &self.too_many_subscriptions()),
        }
    }

    fn too_many_subscriptions(&self) -> Error {
        let max = self.limits.subscriptions_max;
        Error::invalid_params(format_args!(
            "this session has {max} subscriptions already (limit subscriptions_max)"
        ))
    }

    /// Whether there is a resource of that URI, or a template for it.
    fn is_resource(&mut self, uri: &str) -> bool {
        let forms = Forms::of(uri);
        self.registry.resources.find(&normalize(uri)).is_some()
            || self
                .registry
                .templates
                .iter_mut()
                .any(|(_, pattern, _)| pattern.matches_forms(&forms).is_some())
    }

    pub(crate) fn unsubscribe(&mut self, request: &Incoming<'_>, out: &mut Outbox) -> Result<(), Error> {
        let uri = read_uri(request)?;
        self.subscriptions.remove(request.session, &uri);
        out.empty_result(request.call);
        Ok(())
    }

    pub(crate) fn listen(
        &mut self,
        request: &Incoming<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut filter = Filter::read(request.params)?;
        let (asked, max) = (filter.uris.len(), self.limits.subscriptions_max);
        if asked > max {
            return Err(Error::invalid_params(format_args!(
                "`resourceSubscriptions` has {asked} URIs, more than the limit subscriptions_max = {max}"
            )));
        }
        filter.uris.iter().try_for_each(|watched| self.check_uri(watched.uri()))?;
        if self.listens.len() >= self.limits.listens_max {
            self.refuse_to_listen(request.call, out);
            return Ok(());
        }
        // Only what can happen is promised.
        filter.tools &= self.registry.tools.is_offered();
        filter.prompts &= self.registry.prompts.is_offered();
        filter.resources &= self.has_resources();
        let mut waiting = Vec::new();
        for watched in std::mem::take(&mut filter.uris).into_iter().rev() {
            if !self.is_resource(watched.uri()) {
                continue;
            }
            match self.permit.ask(watched.normal(), session.principal()) {
                Some(true) => drop(filter.uris.insert(watched)),
                Some(false) => {}
                None => waiting.push(watched),
            }
        }
        let context = Context::of(request, session, None).into_owned();
        let deadline = request.now.mono.saturating_add(self.limits.tool_timeout);
        let id = request.id.clone().into_owned();
        let probe =
            Probe { session: request.session, id, context, filter, asked: None, waiting, runs: 0, deadline };
        self.probing.open.insert(request.call, probe);
        self.probe(request.call, request.now, out);
        Ok(())
    }

    /// Asks the handlers that are still to be asked for this call, one after the other; then its stream begins.
    fn probe(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        loop {
            let Some(probe) = self.probing.open.get_mut(&call) else { return };
            if probe.deadline <= now.mono {
                probe.waiting.clear();
            }
            let Some(watched) = probe.waiting.pop() else { break };
            let uri = Cow::Owned(watched.uri().to_owned());
            probe.asked = Some(watched);
            let context = probe.context.clone();
            let mut run = probe_of(call, probe.session, uri, context, Purpose::Listen);
            run.runs = probe.runs;
            probe.runs += 1;
            self.run(run, now, out);
            let at = self.probing.judged.iter().position(|judged| judged.call == call);
            // Else it works elsewhere.
            let Some(judged) = at.map(|at| self.probing.judged.swap_remove(at)) else { return };
            self.judge(&judged);
        }
        if let Some(Probe { session, id, context, filter, .. }) = self.probing.open.remove(&call) {
            self.begin_listening((call, session), &id, context.principal, filter, out);
        }
    }

    fn judge(&mut self, judged: &Judged) {
        let Some(probe) = self.probing.open.get_mut(&judged.call) else { return };
        if judged.given_up {
            probe.waiting.clear();
        }
        probe.filter.uris.extend(probe.asked.take().filter(|_| judged.permitted));
    }

    /// Goes on with the requests to listen whose handler has come back from another thread.
    pub(crate) fn go_on_probing(&mut self, now: Now, out: &mut Outbox) {
        while let Some(judged) = self.probing.judged.pop() {
            self.judge(&judged);
            self.probe(judged.call, now, out);
        }
    }

    /// Takes what a handler has said, if it was only to find out who may subscribe.
    pub(crate) fn take_probe(&mut self, run: &Run<'_>, is_readable: bool, out: &mut Outbox) -> bool {
        match run.purpose {
            Purpose::Answer => return false,
            Purpose::Subscribe => self.subscribed(run, is_readable, out),
            Purpose::Listen => self.probing.judged.push(Judged {
                call: run.key,
                permitted: is_readable && run.asked.pending.is_empty(),
                given_up: run.flags.as_ref().is_some_and(|flags| flags.is_cancelled()),
            }),
        }
        true
    }

    fn begin_listening(
        &mut self,
        (call, session): (CallKey, SessionKey),
        id: &Id,
        principal: Option<Principal>,
        filter: Filter,
        out: &mut Outbox,
    ) {
        // Others may have begun meanwhile.
        if self.listens.len() >= self.limits.listens_max {
            return self.refuse_to_listen(call, out);
        }
        let filter = if self.stopping { Filter::default() } else { filter };
        if !self.listens.begin((session, principal), call, &IdRef::from(id), filter, out) {
            out.written(call, |out| self.write_listened(out, id));
        }
    }

    fn refuse_to_listen(&self, call: CallKey, out: &mut Outbox) {
        let max = self.limits.listens_max;
        out.busy(call, &format!("{max} clients are listening already (limit listens_max)"));
    }

    pub(crate) fn end_listens(&mut self, out: &mut Outbox) {
        let mut listens = std::mem::take(&mut self.listens);
        listens.end_all(out, |out, id| self.write_listened(out, id));
    }

    fn write_listened(&self, out: &mut Vec<u8>, id: &Id) {
        let mut result = Object::new(out);
        result.str("resultType", "complete");
        result.field("_meta", |out| {
            let mut meta = Object::new(out);
            meta.field(SERVER_INFO, |out| self.info.write(out));
            write_subscription(&mut meta, id);
        });
    }
}

fn probe_of<'a>(
    key: CallKey,
    session: SessionKey,
    subject: Cow<'a, str>,
    context: Context<'a>,
    purpose: Purpose,
) -> Run<'a> {
    Run {
        key,
        session,
        target: Target::Resource,
        purpose,
        subject,
        arguments: None,
        context,
        asked: Asked::default(),
        binding: Binding::None,
        flags: None,
        about: About::default(),
        time_left: None,
        progress: None,
        runs: 0,
    }
}

fn read_uri<'a>(request: &Incoming<'a>) -> Result<Cow<'a, str>, Error> {
    let uri = request.params.map(|params| member(params, "uri")).transpose()?.flatten();
    uri.and_then(string).ok_or_else(|| {
        Error::invalid_params(format_args!("`uri` is missing or not a string; `{}` needs it", request.method))
    })
}
