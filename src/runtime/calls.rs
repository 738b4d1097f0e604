//! The table of calls that are not finished.
//!
//! *Scope:* [`Calls`]: the runs that are kept, by call, deadline and question. *Not in scope:* starting and ending them
//! (`run`).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::json::value::JsonCow;
use crate::key_map::{KeyMap, entry_bytes};
use crate::memory::{Account, BLOCK_OVERHEAD_BYTES, Charge};
use crate::protocol::revision::Revision;
use crate::runtime::handlers::{About, Target};
#[cfg(feature = "stateless")]
use crate::runtime::stateless::seal::Binding;
use crate::server::call::Call;
use crate::server::flags::Flags;
use crate::server::questions::Label;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Audience;

/// Everything that a run of a handler needs, and what is kept of it for the next run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) key: CallKey,
    pub(crate) session: SessionKey,
    pub(crate) target: Target,
    pub(crate) purpose: Purpose,
    /// The tool's or prompt's name, or the resource's URI.
    pub(crate) item: Cow<'a, str>,
    /// The URI as the client wrote it, where `item` is its normal form because the run decides who may subscribe.
    pub(crate) spelling: Option<Cow<'a, str>>,
    pub(crate) arguments: Option<JsonCow<'a>>,
    /// What its handler gets.
    pub(crate) call: Call<'a>,
    /// What its sealed state belongs to, where there is no session.
    #[cfg(feature = "stateless")]
    pub(crate) binding: Binding<'a>,
    pub(crate) about: About,
    /// What is left of the handler's time on other threads.
    pub(crate) time_left: Option<Duration>,
    /// The progress reported last.
    pub(crate) progress: Option<f64>,
    /// How often the handler has run.
    pub(crate) runs: u32,
    /// True once the hook `before_call` has let it run.
    pub(crate) admitted: bool,
    pub(crate) times: Times,
}

impl<'a> Run<'a> {
    /// The first run of a request.
    pub(crate) fn new(call: Call<'a>, session: SessionKey, target: Target, item: Cow<'a, str>) -> Run<'a> {
        Run {
            key: call.handle.call,
            session,
            target,
            purpose: Purpose::Answer,
            item,
            spelling: None,
            arguments: None,
            call,
            #[cfg(feature = "stateless")]
            binding: Binding::None,
            about: About::default(),
            time_left: None,
            progress: None,
            runs: 0,
            admitted: false,
            times: Times::default(),
        }
    }

    pub(crate) fn into_owned(self) -> Run<'static> {
        Run {
            key: self.key,
            session: self.session,
            target: self.target,
            purpose: self.purpose,
            item: Cow::Owned(self.item.into_owned()),
            spelling: self.spelling.map(|spelling| Cow::Owned(spelling.into_owned())),
            arguments: self.arguments.map(JsonCow::into_owned),
            call: self.call.into_owned(),
            #[cfg(feature = "stateless")]
            binding: self.binding.into_owned(),
            about: self.about,
            time_left: self.time_left,
            progress: self.progress,
            runs: self.runs,
            admitted: self.admitted,
            times: self.times,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.call.context.revision
    }

    /// The audience of the call's own messages.
    pub(crate) fn audience(&self) -> Audience {
        Audience::Call(self.key, self.session)
    }

    /// How many bytes it holds besides itself.
    pub(crate) fn held_bytes(&self) -> usize {
        let arguments = self.arguments.as_ref().map_or(0, JsonCow::bytes);
        let meta = self.call.context.meta.as_ref().map_or(0, JsonCow::bytes);
        let headers = self.call.context.headers.held_bytes();
        let spelling = self.spelling.as_ref().map_or(0, |spelling| spelling.len() + BLOCK_OVERHEAD_BYTES);
        let texts = self.item.len() + spelling + arguments + meta + headers + self.about.held_bytes();
        texts + 4 * BLOCK_OVERHEAD_BYTES + self.call.questions.held_bytes()
    }
}

/// How long a call has waited for threads and run on them, until it last changed between the two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) since: Duration,
    pub(crate) queued: Duration,
    pub(crate) ran: Duration,
}

/// A call that is not finished.
#[derive(Debug)]
pub(crate) struct UnfinishedCall {
    pub(crate) run: Run<'static>,
    /// Requests to the client that have no answer yet. Without any, the call runs on another thread.
    pub(crate) asking: Vec<(i64, Label)>,
    /// True while no worker thread has taken it.
    pub(crate) waits: bool,
    pub(crate) deadline: Duration,
    /// How many bytes another thread holds for it.
    elsewhere_bytes: usize,
    /// Set while it is in the table.
    charge: Option<Charge>,
}

impl UnfinishedCall {
    pub(crate) fn new(
        run: Run<'static>,
        asking: Vec<(i64, Label)>,
        elsewhere_bytes: usize,
        deadline: Duration,
    ) -> UnfinishedCall {
        UnfinishedCall { run, asking, waits: false, deadline, elsewhere_bytes, charge: None }
    }

    /// Counts the time since the last change. The time in which its client is asked does not count.
    pub(crate) fn count_time(&mut self, now: Duration) {
        let times = &mut self.run.times;
        let passed = now.saturating_sub(std::mem::replace(&mut times.since, now));
        match (self.asking.is_empty(), self.waits) {
            (true, true) => times.queued += passed,
            (true, false) => times.ran += passed,
            (false, _) => {}
        }
    }

    /// True if its handler was given to a worker thread.
    pub(crate) fn is_on_worker(&self) -> bool {
        self.elsewhere_bytes > 0
    }

    /// How many bytes it takes, with its places in [`Calls`], of which half may be free.
    fn count(&self) -> usize {
        let own = size_of::<UnfinishedCall>() + BLOCK_OVERHEAD_BYTES + CALL_PLACES_BYTES;
        let keys = self
            .asking
            .iter()
            .map(|(_, label)| label.key.len() + BLOCK_OVERHEAD_BYTES + entry_bytes::<i64, CallKey>());
        let asking = self.asking.capacity() * size_of::<(i64, Label)>() + keys.sum::<usize>();
        own + asking + self.run.held_bytes() + self.elsewhere_bytes
    }
}

/// What the maps of [`Calls`] keep of one call.
const CALL_PLACES_BYTES: usize =
    entry_bytes::<CallKey, Box<UnfinishedCall>>() + 2 * size_of::<(Duration, CallKey)>();

/// The calls that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Boxed, since a map may have as many places free as are taken.
    pub(crate) kept: KeyMap<CallKey, Box<UnfinishedCall>>,
    /// By the id of the request to the client. Ids are never used twice.
    pub(crate) questions: KeyMap<i64, CallKey>,
    pub(crate) last_question: i64,
    pub(crate) deadlines: BTreeSet<(Duration, CallKey)>,
    /// Calls that a `Reply` has finished while their handlers still run, by the end of the handlers' time.
    pub(crate) outrun: BTreeSet<(Duration, CallKey)>,
    held: Account,
}

impl Calls {
    pub(crate) fn keep(&mut self, mut kept: Box<UnfinishedCall>) {
        kept.charge = Some(self.held.charge(kept.count()));
        self.deadlines.insert((kept.deadline, kept.run.key));
        kept.asking.iter().for_each(|(id, _)| {
            self.questions.insert(*id, kept.run.key);
        });
        self.kept.insert(kept.run.key, kept);
    }

    pub(crate) fn take(&mut self, key: CallKey) -> Option<Box<UnfinishedCall>> {
        let mut kept = self.kept.remove(&key)?;
        kept.charge = None;
        self.deadlines.remove(&(kept.deadline, key));
        kept.asking.iter().for_each(|(id, _)| {
            self.questions.remove(id);
        });
        Some(kept)
    }

    /// True if that run of the call continues on another thread.
    pub(crate) fn is_elsewhere(&self, key: CallKey, run: u32) -> bool {
        self.kept.get(&key).is_some_and(|kept| kept.asking.is_empty() && kept.run.runs == run)
    }

    pub(crate) fn all_flags(&self) -> impl Iterator<Item = &Flags> {
        self.kept.values().filter_map(|kept| kept.run.call.handle.flags.as_deref())
    }

    /// True if a call waits for answers of its client.
    pub(crate) fn are_asking(&self) -> bool {
        !self.questions.is_empty()
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        let first = [self.deadlines.first(), self.outrun.first()];
        first.into_iter().flatten().map(|(deadline, _)| *deadline).min()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.kept.values().map(|kept| (kept.run.session, kept.charge.as_ref().map_or(0, Charge::bytes)))
    }

    /// The session unsubscribes from this URI in normal form: a subscription that is still being decided is not made.
    pub(crate) fn unsubscribe(&mut self, session: SessionKey, uri: &str) {
        let of_session = self.kept.values_mut().filter(|kept| kept.run.session == session);
        of_session
            .filter(|kept| kept.run.purpose == Purpose::Subscribe && kept.run.item == uri)
            .for_each(|kept| kept.run.purpose = Purpose::SubscribeInVain);
    }

    pub(crate) fn session_of(&self, key: CallKey) -> Option<SessionKey> {
        self.kept.get(&key).map(|kept| kept.run.session)
    }
}

/// The loop is gone: handlers on other threads can stop.
impl Drop for Calls {
    fn drop(&mut self) {
        self.all_flags().for_each(|flags| flags.cancel());
    }
}

/// What a run of a resource's handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its result answers the request.
    Answer,
    /// It decides if its client may subscribe.
    Subscribe,
    /// The same, but the client has unsubscribed since. The request is answered, and makes no subscription.
    SubscribeInVain,
    /// It decides if its client may listen to one of the URIs that it has asked for.
    Listen,
}
