//! Who gives way when there is no more of something that is limited: connections, sessions, listeners, places in a queue, bytes.
//!
//! *Scope:* the rule, as a function of what is held. *Not in scope:* when something is full, and how a holder gives it up: each
//! limit's own code does that.
//!
//! A holder is a principal, or a network address where there is no principal. A holder is *proven* if it has a principal or has
//! finished a request. The unproven count together as one holder. The share of each is the mean.
//!
//! 1. If the unproven together hold more than their share, or no proven holder does, the unproven one that holds most gives way.
//! 2. Otherwise, and if all are proven, the holder that holds most gives way.
//! 3. What it gives up is what is lost with the least harm; of that, from the session that holds most; of that, the first claim.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::access::peer::Peer;
use crate::slab::Key;
use crate::sort::sort_by;

/// Who holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder<'a> {
    Principal(&'a str),
    Network(IpAddr),
    /// Peers of Unix sockets that have no principal.
    Unix,
    /// Peers without an address, such as those of standard input.
    Local,
}

impl<'a> Holder<'a> {
    pub(crate) fn of(peer: &'a Peer) -> Holder<'a> {
        match (&peer.principal, network(peer)) {
            (Some(principal), _) => Holder::Principal(principal.name()),
            (None, Some(network)) => Holder::Network(network),
            (None, None) if peer.unix => Holder::Unix,
            (None, None) => Holder::Local,
        }
    }
}

/// The address that a peer is counted by. An IPv6 host has a whole network to take addresses from, so the first 64 bits are
/// what is counted (RFC 4291, section 2.5.4).
pub(crate) fn network(peer: &Peer) -> Option<IpAddr> {
    match peer.address?.ip().to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        v4 => Some(v4),
    }
}

/// Something that a holder has, or asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a, K> {
    pub(crate) key: K,
    pub(crate) holder: Holder<'a>,
    /// True if its holder has a principal, or has finished a request.
    pub(crate) proven: bool,
    /// Bytes, or 1 where things are counted.
    pub(crate) amount: usize,
    /// How much harm its loss does, compared with other claims of the same holder.
    pub(crate) harm: u8,
    /// The session that it belongs to.
    pub(crate) session: Option<Key>,
    /// Of claims that are alike otherwise, the one of the least `order` gives way.
    pub(crate) order: u64,
}

/// Returns the claim that gives way first; `None` if there are none. If it is that of the one who asks, the request is refused.
pub(crate) fn first_to_give_way<K: Copy>(claims: &[Claim<'_, K>]) -> Option<K> {
    in_order_of_giving_way(claims, 1).pop()
}

/// Returns the claims that give way, one after the other, up to a number of them.
pub(crate) fn in_order_of_giving_way<K: Copy>(claims: &[Claim<'_, K>], count: usize) -> Vec<K> {
    let numbered = claims.iter().enumerate().map(|(place, claim)| claim.numbered(place)).collect();
    let places = places_in_order(numbered, count).into_iter();
    places.filter_map(|place| claims.get(place).map(|claim| claim.key)).collect()
}

/// The same of claims that are numbered: the rule is compiled once, not for each kind of key.
fn places_in_order(claims: Vec<Claim<'_, usize>>, count: usize) -> Vec<usize> {
    let mut contest = Contest::new(&claims);
    std::iter::from_fn(|| contest.next().map(|claim| claim.key)).take(count).collect()
}

impl<'a, K> Claim<'a, K> {
    fn numbered(&self, key: usize) -> Claim<'a, usize> {
        let Claim { key: _, holder, proven, amount, harm, session, order } = *self;
        Claim { key, holder, proven, amount, harm, session, order }
    }
}

/// The claims of one holder that do the same harm and belong to the same session. The last one is the first to give way.
struct Group<'c, 'a> {
    share: usize,
    harm: u8,
    amount: usize,
    claims: Vec<&'c Claim<'a, usize>>,
}

impl Group<'_, '_> {
    /// Of groups that hold the same, the one with the first claim comes first.
    fn rank(&self) -> (usize, Reverse<u64>) {
        (self.amount, Reverse(self.claims.last().map_or(u64::MAX, |claim| claim.order)))
    }
}

/// What one holder holds, of which it has proven something or not.
struct Share {
    proven: bool,
    holder: usize,
    amount: usize,
}

/// All claims, grouped.
struct Contest<'c, 'a> {
    shares: Vec<Share>,
    groups: Vec<Group<'c, 'a>>,
}

impl<'c, 'a> Contest<'c, 'a> {
    fn new(claims: &'c [Claim<'a, usize>]) -> Contest<'c, 'a> {
        let mut holder_places = BTreeMap::new();
        let (mut share_places, mut group_places) = (BTreeMap::new(), BTreeMap::new());
        let mut contest = Contest { shares: Vec::new(), groups: Vec::new() };
        for claim in claims {
            let count = holder_places.len();
            let holder = *holder_places.entry(claim.holder).or_insert(count);
            let share = *share_places.entry((claim.proven, holder)).or_insert_with(|| {
                contest.shares.push(Share { proven: claim.proven, holder, amount: 0 });
                contest.shares.len() - 1
            });
            let at = *group_places.entry((share, claim.harm, claim.session)).or_insert_with(|| {
                contest.groups.push(Group { share, harm: claim.harm, amount: 0, claims: Vec::new() });
                contest.groups.len() - 1
            });
            if let Some(share) = contest.shares.get_mut(share) {
                share.amount = share.amount.saturating_add(claim.amount);
            }
            if let Some(group) = contest.groups.get_mut(at) {
                group.amount = group.amount.saturating_add(claim.amount);
                group.claims.push(claim);
            }
        }
        // Of claims of the same order, the one that was named first comes first.
        for group in &mut contest.groups {
            group.claims.reverse();
            sort_by(&mut group.claims, |one, other| other.order.cmp(&one.order));
        }
        contest
    }

    fn next(&mut self) -> Option<&'c Claim<'a, usize>> {
        let holding = || self.shares.iter().enumerate().filter(|(_, share)| share.amount > 0);
        let sum = |sum: usize, (_, share): (usize, &Share)| sum.saturating_add(share.amount);
        let unproven = holding().filter(|(_, share)| !share.proven).fold(0, sum);
        let all = holding().fold(0, sum);
        let proven = || holding().filter(|(_, share)| share.proven);
        // The share of each is the mean. All who have proven nothing count as one holder.
        let holders = proven().count() + usize::from(unproven > 0);
        let is_over = |amount: usize| amount.saturating_mul(holders) > all;
        let most = proven().map(|(_, share)| share.amount).max();
        let of_proven = unproven == 0 || !is_over(unproven) && most.is_some_and(is_over);
        let (chosen, holder) = holding()
            .filter(|(_, share)| share.proven == of_proven)
            .max_by_key(|(at, share)| (share.amount, self.first_of(*at)))
            .map(|(at, share)| (at, share.holder))?;
        // All that a holder holds may give way for it, also what comes of requests that are not finished.
        let is_theirs = |share: usize| {
            share == chosen || of_proven && self.shares.get(share).is_some_and(|share| share.holder == holder)
        };
        let groups = self.groups.iter().enumerate();
        let groups = groups.filter(|(_, group)| is_theirs(group.share) && !group.claims.is_empty());
        let (at, _) = groups.max_by_key(|(_, group)| (Reverse(group.harm), group.rank()))?;
        let group = self.groups.get_mut(at)?;
        let claim = group.claims.pop()?;
        group.amount = group.amount.saturating_sub(claim.amount);
        if let Some(share) = self.shares.get_mut(group.share) {
            share.amount = share.amount.saturating_sub(claim.amount);
        }
        Some(claim)
    }

    /// The least order of a share's claims.
    fn first_of(&self, share: usize) -> Reverse<u64> {
        let groups = self.groups.iter().filter(|group| group.share == share);
        groups.map(|group| group.rank().1).max().unwrap_or(Reverse(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % end
        }
    }

    const NAMES: [&str; 5] = ["ada", "bob", "cy", "dee", "eve"];

    fn claims(random: &mut Random, key: usize) -> Claim<'static, usize> {
        let (principal, number) = (random.below(2) == 0, random.below(5));
        let most = if random.below(4) == 0 { 1000 } else { 2 };
        let session = Some(random.below(4)).filter(|session| *session > 0);
        let holder = match principal {
            true => Holder::Principal(NAMES[number]),
            false => Holder::Network(IpAddr::from([192, 0, 2, number as u8])),
        };
        Claim {
            key,
            holder,
            proven: principal || random.below(2) == 0,
            amount: 1 + random.below(most),
            harm: random.below(3) as u8,
            session: session.map(|session| Key::numbered(session as u32)),
            order: random.below(1000) as u64,
        }
    }

    fn held(claims: &[Claim<'_, usize>], is_theirs: impl Fn(&Claim<'_, usize>) -> bool) -> usize {
        claims.iter().filter(|claim| is_theirs(claim)).map(|claim| claim.amount).sum()
    }

    /// Of one share: a holder, or all who have proven nothing.
    fn same_share(one: &Claim<'_, usize>, other: &Claim<'_, usize>) -> bool {
        one.proven == other.proven && (!one.proven || one.holder == other.holder)
    }

    #[test]
    fn nobody_within_their_share_gives_way_while_somebody_is_over_theirs() {
        let random = &mut Random(7);
        for _ in 0..20_000 {
            let count = 1 + random.below(12);
            let all: Vec<_> = (0..count).map(|key| claims(random, key)).collect();
            let first = all[first_to_give_way(&all).unwrap()];
            let mut shares: Vec<Claim<'_, usize>> = Vec::new();
            for claim in &all {
                if !shares.iter().any(|share| same_share(share, claim)) {
                    shares.push(*claim);
                }
            }
            let total = held(&all, |_| true);
            let of_share = |share: &Claim<'_, usize>| held(&all, |claim| same_share(claim, share));
            let is_over = |share: &Claim<'_, usize>| of_share(share) * shares.len() > total;
            // What a holder has not finished may give way for the rest of what it holds.
            let rest = shares.iter().find(|share| share.proven && share.holder == first.holder);
            let unproven = shares.iter().find(|share| !share.proven);
            let unproven_first = unproven.is_some_and(is_over) || !shares.iter().any(is_over);
            match rest.filter(|_| unproven.is_none() || !unproven_first) {
                Some(rest) => {
                    assert!(is_over(rest) || !shares.iter().any(is_over), "{first:?} of {all:?}");
                    let proven = shares.iter().filter(|share| share.proven);
                    assert_eq!(of_share(rest), proven.map(of_share).max().unwrap(), "{all:?}");
                }
                // Of those who are over theirs, who has proven nothing goes first, and of these who holds most.
                None => {
                    assert!(!first.proven && unproven_first, "{first:?} of {all:?}");
                    let of_holder = |one: &Claim<'_, usize>| {
                        held(&all, |claim| !claim.proven && claim.holder == one.holder)
                    };
                    let most = all.iter().filter(|claim| !claim.proven).map(of_holder).max();
                    assert_eq!(Some(of_holder(&first)), most, "{all:?}");
                }
            }
        }
    }

    #[test]
    fn within_one_holder_the_least_harm_comes_first_then_the_session_with_most_then_the_first_claim() {
        let random = &mut Random(11);
        for _ in 0..20_000 {
            let count = 1 + random.below(12);
            let mut all: Vec<_> = (0..count).map(|key| claims(random, key)).collect();
            all.iter_mut().for_each(|claim| (claim.holder, claim.proven) = (Holder::Local, true));
            let first = all[first_to_give_way(&all).unwrap()];
            assert!(all.iter().all(|claim| first.harm <= claim.harm), "{first:?} of {all:?}");
            all.retain(|claim| claim.harm == first.harm);
            let of_session = |one: &Claim<'_, usize>| held(&all, |claim| claim.session == one.session);
            assert!(all.iter().all(|claim| of_session(claim) <= of_session(&first)), "{first:?} of {all:?}");
            let mut session = all.iter().filter(|claim| claim.session == first.session);
            assert!(session.all(|claim| first.order <= claim.order), "{first:?} of {all:?}");
        }
    }

    #[test]
    fn several_give_way_in_the_order_in_which_one_after_the_other_would() {
        let random = &mut Random(13);
        for _ in 0..2_000 {
            let count = 1 + random.below(12);
            let mut all: Vec<_> = (0..count).map(|key| claims(random, key)).collect();
            // Of claims that are alike in all, any may be first.
            all.iter_mut().enumerate().for_each(|(at, claim)| claim.order = claim.order * 16 + at as u64);
            let several = in_order_of_giving_way(&all, count);
            let mut left = all.clone();
            for key in &several {
                assert_eq!(first_to_give_way(&left), Some(*key), "{all:?}");
                left.retain(|claim| claim.key != *key);
            }
            assert!(left.is_empty());
        }
    }

    #[test]
    fn a_few_that_have_just_come_do_not_give_way_to_one_that_holds_all_the_rest() {
        let claim = |key, proven| Claim {
            key,
            holder: Holder::Local,
            proven,
            amount: 1,
            harm: 0,
            session: None,
            order: key as u64,
        };
        let mut all: Vec<_> = (0..10).map(|key| claim(key, true)).collect();
        all.extend((10..15).map(|key| claim(key, false)));
        assert_eq!(first_to_give_way(&all), Some(0));
        all.extend((15..20).map(|key| claim(key, false)));
        assert_eq!(first_to_give_way(&all), Some(10), "as many as the rest");
        assert_eq!(first_to_give_way::<usize>(&[]), None);
    }

    #[test]
    fn a_holder_is_a_principal_or_a_network() {
        use crate::access::peer::Principal;
        let at = |text: &str| Peer { address: Some(format!("{text}:1").parse().unwrap()), ..Peer::default() };
        let of = |text: &str| network(&at(text)).unwrap();
        assert_eq!(of("[2001:db8::1]"), of("[2001:db8::ffff:0:0:1]"));
        assert_ne!(of("[2001:db8::1]"), of("[2001:db8:0:1::1]"));
        assert_eq!(of("[::ffff:192.0.2.1]"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        let unix = Peer { unix: true, ..Peer::default() };
        assert_eq!((Holder::of(&unix), Holder::of(&Peer::default())), (Holder::Unix, Holder::Local));
        let ada = Peer { principal: Some(Principal::new("ada")), ..at("192.0.2.1") };
        assert_eq!(Holder::of(&ada), Holder::Principal("ada"));
        assert_eq!(Holder::of(&at("192.0.2.1")), Holder::Network(of("192.0.2.1")));
    }
}
