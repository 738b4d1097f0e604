//! How much of the server one peer address has.
//!
//! *Scope:* counts of connections and sessions by address, and whether an address has as many as one may. *Not in scope:* peers without an
//! address, such as those of Unix sockets: they are not counted.
//!
//! An IPv6 host has a whole network to take addresses from, so the first 64 bits are what is counted (RFC 4291, section
//! 2.5.4). There is an entry only for an address that has something, so connections and sessions bound their number.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::access::peer::Peer;
use crate::limits::Limits;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Connection,
    /// A connection that is being told that there is no place for it.
    Refused,
    Session,
}

#[derive(Default)]
pub(crate) struct Peers(HashMap<(IpAddr, Counted), usize>);

impl Peers {
    /// The peer has one more, if there is a limit to it.
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

    /// True if the peer has as many as one may.
    pub(crate) fn has_all(&self, peer: &Peer, counted: Counted, limits: &Limits) -> bool {
        let has = network(peer).and_then(|network| self.0.get(&(network, counted)));
        has.is_some_and(|has| *has >= max(counted, limits))
    }
}

pub(crate) fn max(counted: Counted, limits: &Limits) -> usize {
    match counted {
        Counted::Connection | Counted::Refused => limits.connections_per_peer_max,
        Counted::Session => limits.sessions_per_peer_max,
    }
}

/// The address that a peer is counted by.
pub(crate) fn network(peer: &Peer) -> Option<IpAddr> {
    match peer.address?.ip().to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_peer() {
        let of = |text: &str| {
            network(&Peer { address: Some(format!("{text}:1").parse().unwrap()), ..Peer::default() }).unwrap()
        };
        assert_eq!(of("[2001:db8::1]"), of("[2001:db8::ffff:0:0:1]"));
        assert_ne!(of("[2001:db8::1]"), of("[2001:db8:0:1::1]"));
        assert_eq!(of("[::ffff:192.0.2.1]"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(network(&Peer { unix: true, ..Peer::default() }), None);
    }

    #[test]
    fn nothing_is_left_of_who_has_nothing() {
        let limits = Limits { connections_per_peer_max: 2, ..Limits::DEFAULT };
        let peer = Peer { address: Some(([192, 0, 2, 1], 1).into()), ..Peer::default() };
        let mut peers = Peers::default();
        peers.add(&peer, Counted::Session, &limits);
        assert!(peers.0.is_empty(), "what has no limit is not counted");
        for _ in 0..2 {
            peers.add(&peer, Counted::Connection, &limits);
        }
        assert!(peers.has_all(&peer, Counted::Connection, &limits));
        for _ in 0..2 {
            peers.remove(&peer, Counted::Connection);
        }
        assert!(peers.0.is_empty());
    }
}
