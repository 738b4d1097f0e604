//! The bridge as a service: from a call of the engine to the child that it concerns.
//!
//! *Scope:* the state of a bridge and every method of [`Service`]. *Not in scope:* what is written to a child (`upward`), what
//! comes from it (`downward`), and its life (`life`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::child::Child;
use super::options::{BridgeOptions, Isolation};
use super::pool::{Part, Pool};
use super::reported::Reports;
use super::tables::{Group, Listen, NewListen, Owner, Question, Questions, Round, Route, Suspended};
use crate::cli::bounds::CHILD_INITIALIZE_BYTES_MAX;
use crate::cli::log::Lines;
use crate::cli::manifest::mcp_server::ToolFilter;
use crate::cli::process::guards::Guards;
use crate::cli::process::piped::PipedSpec;
use crate::json::tape::Tape;
use crate::jsonrpc::{Error, Notification, Response};
use crate::key_map::KeyMap;
use crate::limits::Limits;
use crate::memory::{Account, Charge};
use crate::net::random_id;
use crate::net::readiness::Readiness;
use crate::protocol::client_info::Capabilities;
use crate::protocol::level::Level;
use crate::protocol::param_headers::Annotation;
use crate::protocol::revision::Revision;
use crate::protocol::state_key::{Seal, StateKey};
use crate::service::ended::CallDetails;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::service::{Service, ServiceRequest};
use crate::slab::Key;
use crate::timers::Now;

/// The server that children are processes of.
pub(super) struct Served {
    pub(super) name: String,
    pub(super) spec: PipedSpec,
    pub(super) tools: ToolFilter,
}

/// The children of one server, and the sessions in front of them.
pub(super) struct Bridge {
    pub(super) served: Served,
    pub(super) options: BridgeOptions,
    pub(super) limits: Limits,
    /// For what children send: they are trusted more than peers.
    pub(super) child_limits: Limits,
    pub(super) pool: Pool,
    pub(super) guards: Guards,
    pub(super) eager: Eager,
    pub(super) sessions: KeyMap<SessionKey, Front>,
    /// The children that several clients have together.
    pub(super) shared: BTreeMap<Group, Place>,
    pub(super) calls: KeyMap<CallKey, Route>,
    pub(super) questions: Questions,
    /// Calls without a session that wait for the answers of their clients.
    pub(super) suspended: KeyMap<u64, Suspended>,
    pub(super) last_suspended: u64,
    /// Calls of sessions that wait for the answers of their clients.
    pub(super) rounds: KeyMap<CallKey, Round>,
    /// Clients without a session that listen, by the session of their request.
    pub(super) listens: KeyMap<SessionKey, Listen>,
    pub(super) seal: Seal,
    /// Bytes of peers' data that are kept here.
    pub(super) account: Account,
    pub(super) log: Lines,
    pub(super) tape: Tape,
    pub(super) scratch: Vec<u8>,
    /// Room for a message to a child.
    pub(super) message: Vec<u8>,
    pub(super) now: Duration,
    pub(super) stopping: bool,
    /// What a child has refused is not asked of the next one.
    pub(super) refuses_initialize: bool,
    pub(super) refuses_discover: bool,
    /// The arguments of its tools that header fields repeat.
    pub(super) headers: BTreeMap<String, Vec<Annotation>>,
    /// True once a child has said that it speaks 2026-07-28.
    pub(super) is_stateless: bool,
    reports: Reports,
}

/// What stands in front of a child: a session, or the clients of a principal.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) child: Option<Key>,
    /// How often children have ended in a row before they answered `initialize`.
    pub(super) failures: u32,
    /// No child is started before this time.
    pub(super) not_before: Duration,
    /// How the last one ended.
    pub(super) last_end: Option<Box<str>>,
    /// What waits until the child has said what it is.
    pub(super) awaiting: Vec<Awaiting>,
}

/// When the child that all clients have is started next without a request, and what that follows from.
#[derive(Debug, Default)]
pub(super) struct Eager {
    /// `None` as long as it runs, and without `--eager`.
    pub(super) start_at: Option<Duration>,
    /// When the last one was started.
    pub(super) started_at: Duration,
    /// How many in a row have run for less than the longest wait.
    pub(super) short_runs: u32,
}

impl Eager {
    fn new(options: &BridgeOptions) -> Eager {
        Eager { start_at: options.eager.then_some(Duration::ZERO), ..Eager::default() }
    }
}

/// A call that waits until a child has said what it is.
#[derive(Debug)]
pub(super) enum Awaiting {
    /// `initialize` of a client of that revision.
    Initialize(CallKey, Revision),
    /// `server/discover`.
    Discover(CallKey),
    /// `subscriptions/listen`.
    Listen(Box<NewListen>),
}

impl Awaiting {
    pub(super) fn call(&self) -> CallKey {
        match self {
            Awaiting::Initialize(call, _) | Awaiting::Discover(call) => *call,
            Awaiting::Listen(listen) => listen.call,
        }
    }
}

/// Whom a message of a child is for.
pub(super) enum Client {
    /// A session; its latest open call, on whose stream the message goes.
    Session(Option<CallKey>, SessionKey),
    /// The client of a request without a session, which has this id at the child.
    Lone(i64),
}

/// One session.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) place: Place,
    /// The parameters of its `initialize`, for a child that takes the place of one that has ended.
    pub(super) initialize: Option<Box<str>>,
    /// What its client has declared, and the revision that it speaks.
    pub(super) able: Capabilities,
    pub(super) revision: Revision,
    /// What it has asked of a child that others have too.
    pub(super) operating: bool,
    pub(super) level: Option<Level>,
    pub(super) subscriptions: BTreeSet<String>,
    charge: Charge,
}

impl Front {
    /// Keeps the parameters of `initialize`.
    pub(super) fn keep(&mut self, params: &str) {
        self.initialize = (params.len() <= CHILD_INITIALIZE_BYTES_MAX).then(|| params.into());
        self.recount();
    }

    /// Counts what is kept now.
    pub(super) fn recount(&mut self) {
        let initialize = self.initialize.as_ref().map_or(0, |params| params.len());
        let uris = self.subscriptions.iter().map(|uri| uri.len() + 64).sum::<usize>();
        self.charge.set(FRONT_BYTES + initialize + uris);
    }
}

/// What a session and its places take at least.
const FRONT_BYTES: usize = size_of::<Front>() + 64;

impl Bridge {
    pub(super) fn new(
        served: Served,
        options: BridgeOptions,
        limits: Limits,
        log: Lines,
        ready: Readiness,
        guards: Guards,
        details: Option<CallDetails>,
    ) -> Bridge {
        let child_limits = Limits { json_depth_max: 500, json_values_max: 1 << 20, ..limits.clone() };
        Bridge {
            served,
            eager: Eager::new(&options),
            options,
            scratch: vec![0; limits.turn_bytes_max],
            message: Vec::new(),
            limits,
            child_limits,
            pool: Pool::new(ready),
            guards,
            sessions: KeyMap::new(),
            shared: BTreeMap::new(),
            calls: KeyMap::new(),
            questions: Questions::default(),
            suspended: KeyMap::new(),
            last_suspended: 0,
            rounds: KeyMap::new(),
            listens: KeyMap::new(),
            // The state names a call in this process, so no other one could open it.
            seal: Seal { current: StateKey::new(random_id().to_be_bytes()), previous: None },
            account: Account::default(),
            log,
            tape: Tape::new(),
            now: Duration::ZERO,
            stopping: false,
            refuses_initialize: false,
            headers: BTreeMap::new(),
            refuses_discover: false,
            is_stateless: false,
            reports: Reports::new(details),
        }
    }

    /// How many children may run at once.
    pub(super) fn processes_max(&self) -> usize {
        self.options.children_max
    }

    /// Who has the child that a session's messages go to.
    pub(super) fn owner(&self, session: SessionKey, state: &Session) -> Owner {
        match self.options.isolation {
            Isolation::Session if state.is_kept() => Owner::Session(session),
            Isolation::Session => Owner::Shared(Group { principal: state.principal().cloned(), lane: 0 }),
            Isolation::Shared => Owner::Shared(Group::default()),
        }
    }

    pub(super) fn place(&mut self, owner: &Owner) -> Option<&mut Place> {
        match owner {
            Owner::Session(session) => self.sessions.get_mut(session).map(|front| &mut front.place),
            Owner::Shared(group) => Some(self.shared.entry(group.clone()).or_default()),
        }
    }
}

impl Service for Bridge {
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        if session.is_kept() {
            let (place, charge) = (Place::default(), self.account.charge(FRONT_BYTES));
            let front = Front {
                place,
                initialize: None,
                able: Capabilities::NONE,
                revision: session.revision(),
                operating: false,
                level: None,
                subscriptions: BTreeSet::new(),
                charge,
            };
            self.sessions.insert(key, front);
        }
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        self.now = request.now.mono;
        self.reports.begin(request, session, &self.account);
        if let Err(error) = self.take_request(request, session, out) {
            out.error(request.call, &error);
        }
        self.reports.end(self.now, out);
    }

    fn notification(
        &mut self,
        key: SessionKey,
        _: &mut Session,
        notification: &Notification<'_>,
        _: &mut Outbox,
    ) {
        self.take_notification(key, notification);
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        self.now = now.mono;
        let is_awaited = self.take_answer(key, answer, out);
        self.reports.end(self.now, out);
        is_awaited
    }

    fn cancelled(&mut self, _: SessionKey, call: CallKey, out: &mut Outbox) {
        self.cancel(call, out);
        self.reports.end(self.now, out);
        self.reports.cancelled(call, self.now, out);
    }

    fn closed(&mut self, key: SessionKey) {
        let error = Error::internal("the client's session has ended");
        let asked = self.questions.take(|question| question.session == key);
        self.rounds.retain(|_, round| round.session != key);
        asked.into_iter().for_each(|question| self.give_up(&question, &error));
        let Some(front) = self.sessions.remove(&key) else { return self.forget_listen(key) };
        match front.place.child {
            Some(child) => self.drain(child, None),
            None => self.end_subscriptions(&Owner::Shared(Group::default()), front.subscriptions),
        }
    }

    fn stopping(&mut self, now: Now, out: &mut Outbox) {
        self.now = now.mono;
        self.stopping = true;
        // No answer of a client comes any more.
        let error = Error::internal("the bridge is shutting down");
        self.end_rounds(|_| true, &error, out);
        let asked = self.questions.take(|_| true);
        asked.into_iter().for_each(|question| self.give_up(&question, &error));
        self.expire_suspended(true);
        self.end_listens(out);
        self.stop_starting(out);
        self.drain_idle();
        self.reports.end(self.now, out);
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        self.now = now.mono;
        let unread: VecDeque<Key> = self.pool.take_unread();
        self.pool.take_events();
        while let Some((key, part, is_end)) = self.pool.next_event() {
            match part {
                Part::Control => self.look_after(key, out),
                Part::Stdin => self.write_on(key),
                Part::Stdout if unread.contains(&key) => {}
                Part::Stdout => self.read_from(key, is_end, out),
                Part::Stderr => self.read_stderr(key),
            }
        }
        for key in unread {
            self.read_stderr(key);
            self.read_from(key, true, out);
        }
        while let Some(key) = self.pool.take_due(self.now) {
            self.take_step(key, out);
        }
        self.start_eagerly();
        self.expire_questions(out);
        self.expire_suspended(false);
        if self.stopping {
            self.drain_idle();
        }
        self.reports.end(self.now, out);
    }

    fn due(&self) -> Option<Duration> {
        [self.pool.due(), self.questions.due(), self.suspended_due(), self.eager_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn held_bytes(&self) -> usize {
        self.account.bytes()
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        let of = |session: SessionKey, front: &Front| {
            let child = front.place.child.and_then(|child| self.pool.get(child));
            let rounds = self.rounds.values().filter(|round| round.session == session);
            let asked =
                self.questions.bytes_of(session) + rounds.map(|round| round.charge.bytes()).sum::<usize>();
            front.charge.bytes() + asked + child.map_or(0, Child::held_bytes)
        };
        let listens = self.listens.iter().map(|(session, listen)| (*session, listen.charge.bytes()));
        self.sessions.iter().map(|(session, front)| (*session, of(*session, front))).chain(listens).collect()
    }
}

impl Bridge {
    /// Answers a question in the place of its client.
    pub(super) fn give_up(&mut self, question: &Question, error: &Error) {
        let child = self.pool.get_mut(question.child).filter(|_| !question.in_result);
        child.into_iter().for_each(|child| child.refuse(&question.id, error));
    }

    fn expire_questions(&mut self, out: &mut Outbox) {
        if self.questions.due().is_none_or(|due| due > self.now) {
            return;
        }
        let error = Error::internal("the client has not answered in time (limit question_timeout)");
        let now = self.now;
        let late = self.questions.take(|question| question.deadline <= now && question.in_result);
        late.iter().filter_map(|question| question.call).for_each(|call| self.end_round(call, &error, out));
        let asked = self.questions.take(|question| question.deadline <= now);
        asked.into_iter().for_each(|question| self.give_up(&question, &error));
    }
}
