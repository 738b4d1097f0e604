//! A queue in which holders take turns, and the sessions of each holder.
//!
//! *Scope:* the order in which jobs leave the queue, and which one gives way when it is full. *Not in scope:* how long it may get,
//! and the threads (`jobs`).
//!
//! ```text
//!  push ──▶ the jobs of a session, in their order ┐
//!           the sessions of a holder, in turns ───┼──▶ pop
//!           the holders, in turns ────────────────┘
//! ```

use std::collections::VecDeque;

use crate::access::fairness::{Claim, Holder, first_to_give_way};
use crate::access::peer::Peer;
use crate::service::keys::{CallKey, SessionKey};

/// Whose a job is.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) peer: Peer,
    /// `None` if its request has no session.
    pub(crate) session: Option<SessionKey>,
}

/// Jobs of one party, in the order in which they came, each with its number.
struct PartyJobs<J> {
    party: Party,
    jobs: VecDeque<(u64, CallKey, J)>,
}

/// Jobs of all parties. Those of one holder follow one another.
pub(crate) struct Turns<J> {
    holders: VecDeque<VecDeque<PartyJobs<J>>>,
    len: usize,
    /// The number of the job that came last.
    last: u64,
}

impl<J> Default for Turns<J> {
    fn default() -> Turns<J> {
        Turns { holders: VecDeque::new(), len: 0, last: 0 }
    }
}

impl<J> Turns<J> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, party: Party, call: CallKey, job: J) {
        self.len += 1;
        self.last += 1;
        let entry = (self.last, call, job);
        let holder = Holder::of(&party.peer);
        let is_theirs = |parties: &VecDeque<PartyJobs<J>>| {
            parties.front().is_some_and(|first| Holder::of(&first.party.peer) == holder)
        };
        let Some(at) = self.holders.iter().position(is_theirs) else {
            let jobs = VecDeque::from([entry]);
            return self.holders.push_back(VecDeque::from([PartyJobs { party, jobs }]));
        };
        let Some(parties) = self.holders.get_mut(at) else { return };
        match parties.iter_mut().find(|parties| parties.party.session == party.session) {
            Some(of_party) => of_party.jobs.push_back(entry),
            None => parties.push_back(PartyJobs { party, jobs: VecDeque::from([entry]) }),
        }
    }

    /// Takes the next job. Its holder and its session then wait until all others had their turn.
    pub(crate) fn pop(&mut self) -> Option<(CallKey, J)> {
        let mut parties = self.holders.pop_front()?;
        let mut of_party = parties.pop_front()?;
        let (_, call, job) = of_party.jobs.pop_front()?;
        self.len -= 1;
        if !of_party.jobs.is_empty() {
            parties.push_back(of_party);
        }
        if !parties.is_empty() {
            self.holders.push_back(parties);
        }
        Some((call, job))
    }

    /// Takes the job of that call out of the queue.
    pub(crate) fn remove(&mut self, call: CallKey) -> Option<J> {
        let of_call = |(_, queued, _): &(u64, CallKey, J)| *queued == call;
        let found = self.holders.iter().enumerate().find_map(|(holder, parties)| {
            let place = |(party, of_party): (usize, &PartyJobs<J>)| {
                Some((party, of_party.jobs.iter().position(of_call)?))
            };
            parties.iter().enumerate().find_map(place).map(|(party, job)| (holder, party, job))
        });
        let (holder, party, job) = found?;
        let parties = self.holders.get_mut(holder)?;
        let of_party = parties.get_mut(party)?;
        let (_, _, job) = of_party.jobs.remove(job)?;
        self.len -= 1;
        if of_party.jobs.is_empty() {
            parties.remove(party);
        }
        if parties.is_empty() {
            self.holders.remove(holder);
        }
        Some(job)
    }

    /// Returns the call that gives way to another job of that party: the newest one of those who wait with most. `None` if the
    /// new job is that one.
    pub(crate) fn first_to_give_way(&self, asking: &Party) -> Option<CallKey> {
        let claim = |party, key, number: u64| {
            let Party { peer, session }: &Party = party;
            Claim {
                key,
                holder: Holder::of(peer),
                proven: true,
                amount: 1,
                harm: 0,
                session: session.map(|session| session.0),
                order: u64::MAX - number,
            }
        };
        let parties = self.holders.iter().flatten();
        let queued = parties.flat_map(|parties| {
            parties.jobs.iter().map(move |(number, call, _)| claim(&parties.party, Some(*call), *number))
        });
        let claims: Vec<_> = queued.chain([claim(asking, None, u64::MAX)]).collect();
        first_to_give_way(&claims).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::peer::Principal;

    fn party(name: &str, session: Option<u32>) -> Party {
        let peer = Peer { principal: Some(Principal::new(name)), ..Peer::default() };
        Party { peer, session: session.map(SessionKey::for_tests) }
    }

    #[test]
    fn holders_take_turns_and_the_sessions_of_each() {
        let mut turns = Turns::default();
        let jobs = [("a", 1), ("a", 1), ("a", 1), ("a", 2), ("b", 3), ("b", 3), ("c", 4)];
        for (number, (name, session)) in jobs.into_iter().enumerate() {
            turns.push(party(name, Some(session)), CallKey::for_tests(number as u32), number);
        }
        assert_eq!(turns.len(), 7);
        assert_eq!(turns.remove(CallKey::for_tests(5)), Some(5));
        assert_eq!(turns.remove(CallKey::for_tests(5)), None);
        let order: Vec<usize> = std::iter::from_fn(|| turns.pop().map(|(_, number)| number)).collect();
        assert_eq!(order, [0, 4, 6, 3, 1, 2]);
        assert!(turns.is_empty() && turns.holders.is_empty());
    }

    #[test]
    fn the_newest_of_those_with_most_gives_way() {
        let mut turns = Turns::default();
        for number in 0..6 {
            let whose = if number < 4 { party("a", Some(number % 2)) } else { party("b", None) };
            turns.push(whose, CallKey::for_tests(number), number);
        }
        turns.push(party("a", Some(1)), CallKey::for_tests(6), 6);
        let newest = Some(CallKey::for_tests(6));
        assert_eq!(turns.first_to_give_way(&party("b", None)), newest);
        assert_eq!(turns.first_to_give_way(&party("c", Some(9))), newest);
        // Of its own holder too, if another session waits with more; otherwise it is refused itself.
        assert_eq!(turns.first_to_give_way(&party("a", Some(9))), newest);
        assert_eq!(turns.first_to_give_way(&party("a", Some(1))), None);
    }
}
