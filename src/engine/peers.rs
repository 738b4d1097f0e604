//! How much of the server one peer address has.
//!
//! *Scope:* counting connections and sessions by address, and turning away who has enough. *Not in scope:* peers without an
//! address, such as those of Unix sockets: they are not counted.
//!
//! An IPv6 host has a whole network to take addresses from, so the first 64 bits are what is counted (RFC 4291, section
//! 2.5.4). There is an entry only for who has something, so connections and sessions bound their number.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Engine;
use crate::Limits;
use crate::mcp::Peer;
use crate::slab::Key;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Share {
    Connection,
    /// A connection that is being told that there is no place for it.
    Refused,
    Session,
}

#[derive(Default)]
pub(super) struct Peers(HashMap<(IpAddr, Share), usize>);

impl Peers {
    /// The peer has one more, if there is a limit to it.
    pub(super) fn add(&mut self, peer: &Peer, share: Share, limits: &Limits) {
        if let Some(network) = network(peer).filter(|_| max(share, limits) > 0) {
            *self.0.entry((network, share)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, peer: &Peer, share: Share) {
        let Some(key) = network(peer).map(|network| (network, share)) else { return };
        if let Some(count) = self.0.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// Whether the peer has as many as one may.
    pub(super) fn has_all(&self, peer: &Peer, share: Share, limits: &Limits) -> bool {
        let has = network(peer).and_then(|network| self.0.get(&(network, share)));
        has.is_some_and(|has| *has >= max(share, limits))
    }
}

fn max(share: Share, limits: &Limits) -> usize {
    match share {
        Share::Connection | Share::Refused => limits.connections_per_peer_max,
        Share::Session => limits.sessions_per_peer_max,
    }
}

/// The address that a peer is counted by.
pub(super) fn network(peer: &Peer) -> Option<IpAddr> {
    match peer.address?.ip().to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        v4 => Some(v4),
    }
}

impl Engine {
    /// What a new connection of that peer is. Where the peer has all it may, an idle one makes room.
    pub(super) fn share_of(&mut self, peer: &Peer) -> Share {
        let now = self.now.mono;
        // Who has come in this very turn may have sent something that was not looked at yet.
        let crowded = self.peers.has_all(peer, Share::Connection, &self.shared.limits)
            && !self.evict(|other, since| since < now && network(other) == network(peer));
        if crowded { Share::Refused } else { Share::Connection }
    }

    /// Counts a new connection. As many as one peer may have are told that they are too many, and more are closed.
    pub(super) fn count_in(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let limits = &self.shared.limits;
        let untold = self.peers.has_all(&conn.peer, Share::Refused, limits);
        self.peers.add(&conn.peer, conn.share, limits);
        match conn.share {
            Share::Refused if untold => self.close(key),
            Share::Refused => {
                let max = limits.connections_per_peer_max;
                let text = format!(
                    "busy: this address has {max} connections (limit connections_per_peer_max); try again"
                );
                conn.http.turn_away(self.now, &mut self.shared, text);
                self.report_refusals(key);
                self.enqueue(key);
            }
            Share::Connection | Share::Session => {}
        }
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
        peers.add(&peer, Share::Session, &limits);
        assert!(peers.0.is_empty(), "what has no limit is not counted");
        for _ in 0..2 {
            peers.add(&peer, Share::Connection, &limits);
        }
        assert!(peers.has_all(&peer, Share::Connection, &limits));
        for _ in 0..2 {
            peers.remove(&peer, Share::Connection);
        }
        assert!(peers.0.is_empty());
    }
}
