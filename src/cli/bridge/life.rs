//! The life of children: when one is started, what it is told first, and how it ends.
//!
//! *Scope:* start, restart (`--restart`), back-off, end, and what becomes of the requests that are open then. *Not in scope:*
//! messages, what a child is asked first (`introduction`), and starts without a request (`eager`).
//!
//! ```text
//!        a request needs it                 answers initialize
//!  none ────────────────────▶ Starting ────────────────────────▶ Running
//!   ▲  not before the back-off    │ start_timeout, breaks a rule     │ session ends, idle, breaks a rule, does not read
//!   │                             ▼                                  ▼
//!   │     reaped              Draining ── stdin is closed; grace ──▶ Ending ── TERM; the guard: KILL ──▶ reaped
//!   └──── open requests: an error with the exit code and the last of standard error ◀────────────────────┘
//! ```

use std::time::Duration;

use super::child::{Child, State};
use super::options::Restart;
use super::service::Bridge;
use super::tables::{Owner, Pending};
use crate::cli::bounds::{
    CHILD_ABANDON_DELAY, CHILD_BACK_OFF_MAX, CHILD_EXTRA_IDLE, CHILD_INPUT_GRACE, CHILD_KILL_DELAY,
    CHILD_LAST_WORDS_TIMEOUT, CHILD_READ_TIMEOUT, CHILD_START_TIMEOUT,
};
use crate::cli::process::End;
use crate::cli::process::piped::Piped;
use crate::jsonrpc::Error;
use crate::key_map::KeyMap;
use crate::service::outbox::Outbox;
use crate::slab::Key;

/// The first wait after a child has ended before it served; it doubles with each one.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

impl Bridge {
    /// The child of an owner, which is started if there is none.
    ///
    /// # Errors
    /// Why there is none now.
    pub(super) fn child_for(&mut self, owner: &Owner) -> Result<Key, String> {
        let found = self.place(owner).and_then(|place| place.child);
        if let Some(key) = found.filter(|key| self.pool.get(*key).is_some_and(Child::serves)) {
            return Ok(key);
        }
        let (now, name) = (self.now, self.served.name.clone());
        let Some(place) = self.place(owner) else { return Err(format!("the server `{name}` has no place")) };
        let not_before = place.not_before;
        if let Some(last_end) = place.last_end.clone() {
            if self.options.restart == Restart::Never {
                let option = self.options.named("--restart never", "\"restart\": \"never\"");
                return Err(format!("the server `{name}` {last_end}, and is not started again ({option})"));
            }
            if now < not_before {
                let wait = (not_before - now).as_secs_f64();
                return Err(format!("the server `{name}` {last_end}; it is started again in {wait:.1} s"));
            }
        }
        self.start(owner)
    }

    pub(super) fn start(&mut self, owner: &Owner) -> Result<Key, String> {
        let (name, max) = (&self.served.name, self.options.children_max);
        if self.stopping {
            return Err("the bridge is shutting down".to_owned());
        }
        if self.pool.len() >= max {
            let option = self.options.named("--children-max", "childrenMax");
            return Err(format!(
                "the server `{name}` has as many processes as it may have: {max} ({option})"
            ));
        }
        let started = Piped::start(&self.served.spec, CHILD_KILL_DELAY, &self.guards).and_then(|piped| {
            let child = Child::new(piped, owner.clone(), self.account.charge(0));
            self.pool.insert(child).map_err(|error| format!("{error}"))
        });
        let key = match started {
            Ok(key) => key,
            Err(problem) => {
                let text = format!("the server `{name}` cannot be started: {problem}");
                self.log.pass_on(&text);
                self.note_failure(owner, "could not be started");
                return Err(text);
            }
        };
        if let Some(place) = self.place(owner) {
            place.child = Some(key);
        }
        self.note_start(owner);
        self.introduce(key, owner);
        Ok(key)
    }

    /// Notes that a child is in use, from when on it may be idle, and whether it reads what it is sent.
    pub(super) fn note_use(&mut self, key: Key) {
        let now = self.now;
        let Some(child) = self.pool.get_mut(key) else { return };
        if child.state != State::Running {
            return;
        }
        let deadline = match child.is_blocked() {
            true => Some(*child.read_deadline.get_or_insert(now + CHILD_READ_TIMEOUT)),
            false => {
                child.read_deadline = None;
                let is_extra = matches!(&child.owner, Owner::Shared(group) if group.lane > 0);
                let idle = self.options.child_idle.or(is_extra.then_some(CHILD_EXTRA_IDLE));
                idle.map(|idle| (now + idle).max(child.states.awaited_until()))
            }
        };
        if child.deadline != deadline {
            self.pool.set_deadline(key, deadline);
        }
    }

    /// A client without a session has to bring back a state to a child: until it has, or its time has passed, the child is not idle.
    pub(super) fn keep_for_answer(&mut self, key: Key, state: &str) {
        let until = self.now.saturating_add(self.limits.request_state_ttl);
        if let Some(child) = self.pool.get_mut(key) {
            child.states.note(state, until);
        }
        self.note_use(key);
    }

    /// True if clients with sessions have questions of results of that child to answer.
    fn has_rounds(&self, key: Key) -> bool {
        let owner = self.pool.get(key).map(|child| &child.owner);
        self.rounds.values().any(|round| Some(&round.owner) == owner)
    }

    /// A child takes more of what was written to it.
    pub(super) fn write_on(&mut self, key: Key) {
        let Some(child) = self.pool.get_mut(key) else { return };
        if child.is_blocked() && child.write_on() && child.state == State::Running {
            child.read_deadline = None;
            if child.listens_later {
                self.listen_anew(key);
            }
            self.note_use(key);
        }
    }

    /// The time of a child's next step has come.
    pub(super) fn take_step(&mut self, key: Key, out: &mut Outbox) {
        let now = self.now;
        // What is subscribed to at a child that several have would not be told any more.
        let is_needed = self.has_subscribers(key) || self.has_rounds(key);
        if self.try_initialize(key) {
            return;
        }
        let Some(child) = self.pool.get_mut(key) else { return };
        match child.state {
            State::Starting if child.left => self.fail(key, "closed its standard output".to_owned(), out),
            State::Starting => {
                let seconds = CHILD_START_TIMEOUT.as_secs();
                self.fail(key, format!("did not answer `initialize` within {seconds} s"), out);
            }
            State::Running if child.is_blocked() && child.read_deadline.is_some_and(|at| at <= now) => {
                let seconds = CHILD_READ_TIMEOUT.as_secs();
                self.fail(key, format!("did not read its standard input for {seconds} s"), out);
            }
            State::Running if child.is_idle() && !child.is_blocked() && !is_needed => self.drain(key, None),
            State::Running => self.note_use(key),
            State::Draining if !child.pending.is_empty() => {
                // It has closed its output and goes on.
                self.answer_open(key, "closed its standard output", out);
                self.pool.set_deadline(key, Some(now + CHILD_INPUT_GRACE));
            }
            State::Draining => {
                child.state = State::Ending;
                child.piped.terminate();
                self.pool.set_deadline(key, Some(now + CHILD_KILL_DELAY + CHILD_ABANDON_DELAY));
            }
            // It has not started yet, and has to count as long as its pipes are kept for that.
            State::Ending if child.piped.is_starting() => {
                self.pool.set_deadline(key, Some(now + CHILD_ABANDON_DELAY));
            }
            State::Ending => {
                self.log.pass_on(&format!(
                    "{}: a process does not end; its guard goes on ending it",
                    self.served.name
                ));
                let owner = child.owner.clone();
                self.forget(key);
                self.plan_start(&owner);
            }
        }
    }

    /// Asks a child to end. `reason` is why, if that is not as usual.
    pub(super) fn drain(&mut self, key: Key, reason: Option<String>) {
        let Some(child) = self.pool.get(key).filter(|child| child.serves()) else { return };
        let owner = child.owner.clone();
        self.pool.closing(key, |child| {
            child.state = State::Draining;
            child.reason = reason;
            child.close_stdin();
        });
        self.pool.set_deadline(key, Some(self.now + CHILD_INPUT_GRACE));
        // Its successor may be started meanwhile.
        if let Some(place) = self.place(&owner) {
            place.child = place.child.filter(|child| *child != key);
        }
    }

    /// Ends a child that has broken a rule. What is open is answered at once.
    pub(super) fn fail(&mut self, key: Key, reason: String, out: &mut Outbox) {
        let Some(child) = self.pool.get(key).filter(|child| child.serves()) else { return };
        let (owner, has_served) = (child.owner.clone(), child.has_served);
        self.log.pass_on(&format!("{}: it is ended, because it {reason}", self.served.name));
        self.answer_open(key, &reason, out);
        self.drain(key, Some(reason.clone()));
        if has_served {
            self.note_end(&owner, &reason);
        } else {
            self.note_failure(&owner, &reason);
        }
    }

    /// A child has closed its standard output: as a rule it is about to end, and its exit code is worth waiting for.
    pub(super) fn closed_output(&mut self, key: Key) {
        let Some(child) = self.pool.get(key).filter(|child| child.serves()) else { return };
        let wait = if child.pending.is_empty() { CHILD_INPUT_GRACE } else { CHILD_LAST_WORDS_TIMEOUT };
        // Another one may take over what waits for it.
        if !child.is_asked_for_revisions() {
            self.drain(key, None);
        }
        if let Some(child) = self.pool.get_mut(key) {
            child.left = true;
        }
        self.pool.set_deadline(key, Some(self.now + wait));
    }

    /// Something came from a child's guard: it may have ended.
    pub(super) fn look_after(&mut self, key: Key, out: &mut Outbox) {
        let Some(child) = self.pool.get_mut(key) else { return };
        if !child.piped.has_ended() {
            return;
        }
        self.read_rest(key, out);
        let Some(mut child) = self.pool.remove(key) else { return };
        if let Some(line) = child.take_stderr_line() {
            self.log.pass_on(&format!("{}: {line}", self.served.name));
        }
        let (owner, unasked) = (child.owner.clone(), child.serves() || child.left);
        let has_served = child.has_served;
        let last_words = child.last_words();
        if let Some(place) = self.place(&owner) {
            place.child = place.child.filter(|child| *child != key);
        }
        let end = child.piped.end(last_words.as_bytes());
        // One that did not run has not said what it does not speak.
        if unasked && !matches!(end, End::NotStarted(_)) && self.try_another(&mut child) {
            return;
        }
        let pending = std::mem::take(&mut child.pending);
        let how = how(&end);
        if unasked {
            let said =
                if last_words.is_empty() { String::new() } else { format!("; its last words: {last_words}") };
            self.log.pass_on(&format!("{}: it {how}", self.served.name));
            let error = Error::internal(format_args!("the server `{}` {how}{said}", self.served.name));
            self.answer_all(pending, &owner, !has_served, &error, out);
            if has_served {
                self.note_end(&owner, &how);
            } else {
                self.note_failure(&owner, &how);
            }
        }
        self.forget_questions(key);
    }

    fn forget(&mut self, key: Key) {
        self.pool.remove(key);
        self.forget_questions(key);
    }

    fn forget_questions(&mut self, key: Key) {
        // Those in results are answered to its successor.
        drop(self.questions.take(|question| question.child == key && !question.in_result));
    }

    /// Answers all that is open at a child with an error.
    fn answer_open(&mut self, key: Key, reason: &str, out: &mut Outbox) {
        let Some(child) = self.pool.get_mut(key) else { return };
        let (pending, owner) = (std::mem::take(&mut child.pending), child.owner.clone());
        let starting = !child.has_served;
        let last_words = child.last_words();
        let said =
            if last_words.is_empty() { String::new() } else { format!("; its last words: {last_words}") };
        let error = Error::internal(format_args!("the server `{}` {reason}{said}", self.served.name));
        self.answer_all(pending, &owner, starting, &error, out);
    }

    fn answer_all(
        &mut self,
        pending: KeyMap<i64, Pending>,
        owner: &Owner,
        starting: bool,
        error: &Error,
        out: &mut Outbox,
    ) {
        let mut calls = Vec::new();
        for pending in pending.into_values() {
            match pending.lone.and_then(|lone| lone.suspended) {
                Some(number) => self.keep_outcome(number, Err(error.clone())),
                None => calls.extend(pending.call),
            }
        }
        if starting && let Some(place) = self.place(owner) {
            calls.extend(place.awaiting.drain(..).map(|awaiting| awaiting.call()));
        }
        for call in calls {
            self.calls.remove(&call);
            out.error(call, error);
        }
    }

    /// A child has ended before it served: the next one has to wait, longer each time.
    fn note_failure(&mut self, owner: &Owner, how: &str) {
        let now = self.now;
        let Some(place) = self.place(owner) else { return };
        let wait = back_off(place.failures);
        place.failures = place.failures.saturating_add(1);
        place.not_before = now + wait;
        place.last_end = Some(how.into());
        self.plan_start(owner);
    }

    fn note_end(&mut self, owner: &Owner, how: &str) {
        if let Some(place) = self.place(owner) {
            place.last_end = Some(how.into());
        }
        self.plan_start(owner);
    }

    /// The server shuts down: calls that wait for the start of a child are not worth waiting for.
    pub(super) fn stop_starting(&mut self, out: &mut Outbox) {
        for key in self.pool.keys() {
            if self.pool.get(key).is_some_and(|child| child.state == State::Starting) {
                self.answer_open(key, "has not started before the bridge was shut down", out);
            }
        }
    }

    /// Ends the children that have nothing to answer any more.
    pub(super) fn drain_idle(&mut self) {
        for key in self.pool.keys() {
            if self.pool.get(key).is_some_and(|child| child.pending.is_empty()) {
                self.drain(key, None);
            }
        }
    }
}

/// The wait after so many ends in a row.
pub(super) fn back_off(failures: u32) -> Duration {
    BACK_OFF_MIN.saturating_mul(1 << failures.min(16)).min(CHILD_BACK_OFF_MAX)
}

fn how(end: &End) -> String {
    match end {
        End::Exited(code) => format!("ended with exit code {code}"),
        End::Signalled(signal) => format!("was ended by signal {signal}"),
        End::NotStarted(problem) => format!("could not be started: {problem}"),
        End::TimedOut | End::Cancelled => "was ended".to_owned(),
    }
}
