//! What is open: requests of clients at a child, and questions of a child at a client.
//!
//! *Scope:* the entries of the tables, [`States`], and [`Questions`], which finds the child and its own id for the id that a client saw. Ids
//! are the bridge's own in both directions, so that no two clients and no two children can be taken for each other.

use std::collections::VecDeque;
use std::time::Duration;

use crate::access::peer::Principal;
use crate::cli::bounds::CHILD_STATES_MAX;
use crate::jsonrpc::Error;
use crate::jsonrpc::id::Id;
use crate::key_map::KeyMap;
use crate::memory::Charge;
use crate::protocol::client_info::Capabilities;
use crate::protocol::level::Level;
use crate::protocol::siphash::fingerprint;
use crate::runtime::stateless::listen::Filter;
use crate::service::keys::{CallKey, SessionKey};
use crate::slab::Key;

/// Whose child it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// That of one session, whose `initialize` it was sent.
    Session(SessionKey),
    /// That of several clients: of all of them, or of those of a principal that have no session. The bridge itself has sent
    /// `initialize`.
    Shared(Group),
}

impl Owner {
    /// The session that has the child for itself.
    pub(super) fn session(&self) -> Option<SessionKey> {
        match self {
            Owner::Session(session) => Some(*session),
            Owner::Shared(_) => None,
        }
    }
}

/// The clients that have a child together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) principal: Option<Principal>,
    /// Which of several children; the first is 0.
    pub(super) lane: usize,
}

/// A request that a child has to answer.
#[derive(Debug)]
pub(super) struct Pending {
    /// `None` for a request of the bridge itself.
    pub(super) call: Option<CallKey>,
    pub(super) session: SessionKey,
    /// The client's progress token as it was written.
    pub(super) token: Option<Box<str>>,
    pub(super) about: About,
    /// For a request without a session.
    pub(super) lone: Option<Box<Lone>>,
    /// For a request of a session that a child without sessions may answer with questions.
    pub(super) again: Option<Box<Again>>,
    pub(super) charge: Charge,
}

/// What is needed to send a request again with the answers to its questions.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) method: Box<str>,
    /// The parameters as the client wrote them.
    pub(super) params: Box<str>,
    /// How often its client was asked.
    pub(super) rounds: usize,
}

impl Again {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Again>() + self.method.len() + self.params.len()
    }
}

/// A request of a session whose client is asked before it is sent again.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) owner: Owner,
    pub(super) session: SessionKey,
    pub(super) token: Option<Box<str>>,
    pub(super) about: About,
    pub(super) again: Box<Again>,
    /// What the child wants back.
    pub(super) state: Option<Box<str>>,
    /// The ids of the open questions, with the names that the child gave them.
    pub(super) asked: KeyMap<i64, Box<str>>,
    /// The answers under these names.
    pub(super) answers: Vec<(Box<str>, Box<str>)>,
    pub(super) charge: Charge,
}

/// What a request of 2026-07-28 needs besides.
#[derive(Debug)]
pub(super) struct Lone {
    /// That of the request, which a state is sealed for.
    pub(super) digest: [u8; 16],
    /// What its client can be asked.
    pub(super) able: Capabilities,
    /// The logs that it wants.
    pub(super) level: Option<Level>,
    /// True if its result says how long it may be kept.
    pub(super) is_cached: bool,
    /// Its number among the calls that wait for the answers of their clients.
    pub(super) suspended: Option<u64>,
}

/// A call that waits for the answers of its client.
#[derive(Debug)]
pub(super) struct Suspended {
    pub(super) route: Route,
    pub(super) asked: Vec<Asked>,
    /// Its child did not wait for the answers.
    pub(super) outcome: Option<Result<Box<str>, Error>>,
    pub(super) until: Duration,
    pub(super) charge: Charge,
}

/// A question of such a call.
#[derive(Debug)]
pub(super) struct Asked {
    /// The id that the child gave it.
    pub(super) id: Id,
    pub(super) method: Box<str>,
    pub(super) params: Box<str>,
}

impl Asked {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Asked>() + self.method.len() + self.params.len()
    }
}

/// A client of 2026-07-28 that wants to listen.
#[derive(Debug)]
pub(super) struct NewListen {
    pub(super) call: CallKey,
    pub(super) session: SessionKey,
    pub(super) id: Id,
    pub(super) filter: Filter,
    pub(super) charge: Charge,
}

/// A client of 2026-07-28 that listens.
#[derive(Debug)]
pub(super) struct Listen {
    pub(super) call: CallKey,
    pub(super) id: Id,
    pub(super) filter: Filter,
    pub(super) owner: Owner,
    pub(super) charge: Charge,
}

/// What the answer to a request is needed for besides its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The child begins with it.
    Initialize,
    /// The child is asked with it whether it speaks 2026-07-28.
    Discover,
    Tools,
    Other,
}

impl Pending {
    /// True if it has no session, and its client wants logs of that level.
    pub(super) fn wants_logs(&self, level: Level) -> bool {
        let wanted = self.lone.as_ref().and_then(|lone| lone.level);
        wanted.is_some_and(|wanted| wanted <= level)
    }

    /// True if the child does not serve before it has answered this.
    pub(super) fn introduces(&self) -> bool {
        matches!(self.about, About::Initialize | About::Discover)
    }

    /// What one takes with a token of that many bytes, its places in the tables included.
    pub(super) fn bytes(token: Option<&str>) -> usize {
        size_of::<Pending>() + size_of::<Route>() + 64 + token.map_or(0, str::len)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// True if it has no session, and its client can be asked something in its result.
    pub(super) fn can_be_asked(&self) -> bool {
        self.lone.as_ref().is_some_and(|lone| lone.able != Capabilities::NONE)
    }
}

/// Where a call is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) child: Key,
    /// The id that the child knows.
    pub(super) id: i64,
}

/// A question of a child that waits for its client.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) child: Key,
    /// The id that the child gave it; of one in a result, which has none, the id that clients see.
    pub(super) id: Id,
    pub(super) session: SessionKey,
    /// True if the child asked it in the result of the call.
    pub(super) in_result: bool,
    /// The call on whose stream it was asked.
    pub(super) call: Option<CallKey>,
    /// The child's progress token as it was written.
    pub(super) token: Option<Box<str>>,
    /// When it is given up.
    pub(super) deadline: Duration,
    pub(super) charge: Charge,
}

impl Question {
    /// What one takes with an id and a token of that many bytes.
    pub(super) fn bytes(id: &Id, token: Option<&str>) -> usize {
        let id = match id {
            Id::Str(id) => id.len(),
            Id::Int(_) => 0,
        };
        size_of::<Question>() + 64 + id + token.map_or(0, str::len)
    }
}

/// All open questions, under the ids that clients see.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: KeyMap<i64, Question>,
    last: i64,
}

impl Questions {
    /// The id that the next one will have.
    pub(super) fn next(&self) -> i64 {
        self.last + 1
    }

    pub(super) fn ask(&mut self, question: Question) -> i64 {
        self.last += 1;
        self.open.insert(self.last, question);
        self.last
    }

    /// The question of that id, if that session was asked.
    pub(super) fn of_session(&self, id: i64, session: SessionKey) -> Option<&Question> {
        self.open.get(&id).filter(|question| question.session == session)
    }

    pub(super) fn remove(&mut self, id: i64) -> Option<Question> {
        self.open.remove(&id)
    }

    /// The id that clients see of a question that a child knows under another one.
    pub(super) fn find(&self, child: Key, id: &Id) -> Option<i64> {
        let mut all = self.open.iter();
        let asked = |question: &Question| question.child == child && !question.in_result;
        all.find(|(_, question)| asked(question) && question.id == *id).map(|(id, _)| *id)
    }

    /// Takes out those for which this returns true.
    pub(super) fn take(&mut self, wanted: impl Fn(&Question) -> bool) -> Vec<Question> {
        let ids: Vec<i64> =
            self.open.iter().filter(|(_, question)| wanted(question)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.open.remove(&id)).collect()
    }

    /// Bytes that are kept for those of a session.
    pub(super) fn bytes_of(&self, session: SessionKey) -> usize {
        let own = self.open.values().filter(|question| question.session == session);
        own.map(|question| question.charge.bytes()).sum()
    }

    /// When the first one is given up. All have the same time, so that is the oldest.
    pub(super) fn due(&self) -> Option<Duration> {
        self.open.first_key_value().map(|(_, question)| question.deadline)
    }
}

/// Fingerprints of the states that clients have to bring back to a child, each with the time until when they may, the latest first. A
/// state is often sealed with a key that only one process has.
#[derive(Debug, Default)]
pub(super) struct States(VecDeque<(u128, Duration)>);

impl States {
    /// A client may bring this one back until then. Of more than `child_states_max` the first is forgotten: later ones are awaited for
    /// longer.
    pub(super) fn note(&mut self, state: &str, until: Duration) {
        self.0.truncate(CHILD_STATES_MAX - 1);
        self.0.push_front((fingerprint(&[state.as_bytes()]), until));
    }

    /// A client has brought this one back.
    pub(super) fn forget(&mut self, state: &str) {
        let state = fingerprint(&[state.as_bytes()]);
        self.0.retain(|(noted, _)| *noted != state);
    }

    /// Until when one may come.
    pub(super) fn awaited_until(&self) -> Duration {
        self.0.front().map_or(Duration::ZERO, |(_, until)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_awaited_until_it_comes() {
        let mut states = States::default();
        assert_eq!(states.awaited_until(), Duration::ZERO);
        for (state, seconds) in [("a", 1), ("b", 2)] {
            states.note(state, Duration::from_secs(seconds));
        }
        // One that was not given out, and one that comes twice.
        for (state, left) in [("x", 2), ("b", 1), ("b", 1), ("a", 0)] {
            states.forget(state);
            assert_eq!(states.awaited_until(), Duration::from_secs(left), "{state}");
        }
    }

    /// `child_states_max`
    #[test]
    fn so_many_states_are_noted() {
        let mut states = States::default();
        for number in 0..=CHILD_STATES_MAX {
            states.note(&number.to_string(), Duration::from_secs(1));
        }
        // All but the first, which is the one too many.
        (2..=CHILD_STATES_MAX).for_each(|number| states.forget(&number.to_string()));
        assert_eq!(states.awaited_until(), Duration::from_secs(1));
        states.forget("1");
        assert_eq!(states.awaited_until(), Duration::ZERO);
    }
}
