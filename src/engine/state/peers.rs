//! How many connections and sessions one peer address has.
//!
//! *Scope:* counts of connections and sessions by address, and whether an address is at its limit. *Not in scope:* peers
//! without an address, such as those of Unix sockets: they are not counted.
//!
//! There is an entry only for an address that has something, so connections and sessions bound their number.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::access::fairness::network;
use crate::access::peer::Peer;
use crate::limits::Limits;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Connection,
    /// A connection that is refused because its address is at the limit.
    Refused,
    /// A connection that carries health checks and nothing else.
    Health,
    Session,
}

#[derive(Default)]
pub(crate) struct Peers(HashMap<(IpAddr, Counted), usize>);

impl Peers {
    /// Counts one more for the peer, if there is a limit.
    pub(crate) fn add(&mut self, peer: &Peer, counted: Counted, limits: &Limits) {
        if let Some(network) = network(peer).filter(|_| max(counted, limits) > 0) {
            *self.0.entry((network, counted)).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, peer: &Peer, counted: Counted) {
        let Some(key) = network(peer).map(|network| (network, counted)) else { return };
        if let Some(count) = self.0.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// True if the peer has as many as its limit allows.
    pub(crate) fn is_at_limit(&self, peer: &Peer, counted: Counted, limits: &Limits) -> bool {
        let has = network(peer).and_then(|network| self.0.get(&(network, counted)));
        has.is_some_and(|has| *has >= max(counted, limits))
    }
}

pub(crate) fn max(counted: Counted, limits: &Limits) -> usize {
    match counted {
        Counted::Connection | Counted::Refused => limits.connections_per_peer_max,
        Counted::Session => limits.sessions_per_peer_max,
        Counted::Health => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_has_nothing_has_no_entry() {
        let limits = Limits { connections_per_peer_max: 2, ..Limits::DEFAULT };
        let peer = Peer { address: Some(([192, 0, 2, 1], 1).into()), ..Peer::default() };
        let mut peers = Peers::default();
        peers.add(&peer, Counted::Session, &limits);
        assert!(peers.0.is_empty(), "what has no limit is not counted");
        for _ in 0..2 {
            peers.add(&peer, Counted::Connection, &limits);
        }
        assert!(peers.is_at_limit(&peer, Counted::Connection, &limits));
        for _ in 0..2 {
            peers.remove(&peer, Counted::Connection);
        }
        assert!(peers.0.is_empty());
    }
}
