//! Places for connections, when there are no more: which connection is closed to make room for another one.
//!
//! *Scope:* `connections_max` and its reserve, and `connections_per_peer_max`. *Not in scope:* the rule that chooses
//! (`access::fairness`), and what is told to a connection that is refused (`connections`).
//!
//! ```text
//!  a new connection, no place ─┬▶ one that is over, has finished no request, is between two, or sends one slowly: closed
//!                              ├▶ the holder with most has only such as wait or carry a stream ──▶ its oldest: 503, or closed
//!                              └▶ all wait or carry a stream, of one holder ──▶ the new one gets 503
//!  one more that waits, no place ──▶ of the session and holder with most that wait, the oldest: 503, or closed
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::access::fairness::{Claim, Holder, in_order_of_giving_way, network};
use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::state::connections::{Connection, Connections};
use crate::engine::state::peers::Counted;
use crate::http::conn::close::CloseReason;
use crate::slab::Key;

/// At most so many connections are closed at a time, and no more than one in a hundred: looking for them takes long, and as a
/// rule many more come.
const EVICTED_AT_ONCE: usize = 16;

const NO_PLACE_TO_WAIT: &str =
    "too many connections wait for answers or carry streams (limit connections_reserve_percent)";

const PLACES_FULL: &str = "all connections are in use, most of them by this client (limit connections_max)";

/// The harm of closing a connection up to which that is done.
const HARMLESS: u8 = 1;

/// The harm of closing a connection between two requests.
const BETWEEN_REQUESTS: u8 = 2;

/// The harm of ending one that waits for an answer or carries a stream: only where its holder has more than others.
const WAITS: u8 = u8::MAX;

impl Core {
    /// True if another connection has a place. If not, others are closed to make room, if any may be.
    pub(crate) fn has_place(&mut self) -> bool {
        let limits = self.limits();
        let (max, refused_max) = (limits.connections_max, limits.refused_connections_max);
        if self.connections.placed() < max {
            return true;
        }
        let any = |connections: &Connections, is_so: fn(&Connection) -> bool| {
            connections.iter().any(|(_, conn)| !conn.is_refused() && !conn.is_for_health() && is_so(conn))
        };
        let has_room_soon = any(&self.connections, Connection::is_over)
            || self.evict_connections(None)
            || any(&self.connections, |conn| !conn.waits());
        // Otherwise the new one is told that there is no room.
        !has_room_soon && self.connections.refused() < refused_max
    }

    /// True if there is no place for another connection, and none that would be closed for one.
    pub(crate) fn are_connections_busy(&self) -> bool {
        let gives_way = |conn: &Connection| conn.is_over() || conn.harm_of_eviction().is_some();
        self.connections.placed() >= self.limits().connections_max
            && !self.connections.iter().any(|(_, conn)| gives_way(conn))
    }

    /// Returns why another connection of that peer has no place; `None` if it has one.
    pub(crate) fn no_place_for(&mut self, peer: &Peer) -> Option<String> {
        let (max, max_of_peer) = (self.limits().connections_max, self.limits().connections_per_peer_max);
        if self.connections.placed() >= max {
            return Some(format!("all {max} connections are in use (limit connections_max)"));
        }
        let is_crowded = self.connections.is_at_limit(peer, Counted::Connection, self.limits())
            && !self.evict_connections(network(peer));
        is_crowded
            .then(|| format!("this address has {max_of_peer} connections (limit connections_per_peer_max)"))
    }

    /// Closes the connection that gives way first, of that peer or of all, and a few more if they do no more than hold their
    /// places. Connections that wait or carry streams count, too: one of them gives way where its holder has nothing else, and
    /// more than another holder. Returns true if there was one.
    pub(crate) fn evict_connections(&mut self, peer: Option<IpAddr>) -> bool {
        let (now, grace) = (self.now().mono, self.limits().new_connection_grace);
        let reserve = self.limits().connections_max - self.connections.waiting_max();
        let is_theirs = |conn: &Connection| peer.is_none() || network(&conn.peer) == peer;
        let open = self.connections.iter().filter(|(_, conn)| is_theirs(conn));
        let all = open.filter_map(|(key, conn)| {
            if conn.waits() && conn.has_place() {
                return Some((false, self.waiting_claim((key, WAITS), conn, WAITS)));
            }
            // One that has come in this turn may have sent something that was not looked at yet.
            let (harm, since) = conn.harm_of_eviction().filter(|(_, since)| *since < now)?;
            let is_new = harm != BETWEEN_REQUESTS && since.saturating_add(grace) > now;
            Some((is_new, claim((key, harm), conn, harm, since)))
        });
        let (new, old): (Vec<_>, Vec<_>) = all.partition(|(is_new, _)| *is_new);
        let are_many = new.len() >= reserve.max(1);
        let candidates = old.into_iter().chain(new.into_iter().filter(|_| are_many));
        let claims: Vec<_> = candidates.map(|(_, claim)| claim).collect();
        let count = if peer.is_some() { 1 } else { self.at_once() };
        let mut chosen = in_order_of_giving_way(&claims, count);
        if chosen.first().is_some_and(|first| first.1 == WAITS && !is_of_most(&claims, first.0)) {
            let others: Vec<_> = claims.iter().copied().filter(|claim| claim.harm < WAITS).collect();
            chosen = in_order_of_giving_way(&others, count);
        }
        let harmless = chosen.iter().take_while(|(_, harm)| *harm <= HARMLESS).count();
        chosen.truncate(harmless.max(1));
        let is_any = !chosen.is_empty();
        for (key, harm) in chosen {
            match harm {
                WAITS => self.give_up_place(key, PLACES_FULL),
                _ => self.connections.close(key, CloseReason::Evicted),
            }
        }
        is_any
    }

    /// Returns the claim of one that waits or carries a stream.
    fn waiting_claim<'a, K>(&'a self, key: K, conn: &'a Connection, harm: u8) -> Claim<'a, K> {
        let session = conn.stream.and_then(|stream| self.kept_session_of(stream));
        Claim { session, ..claim(key, conn, harm, conn.http.waits_since()) }
    }

    /// Returns why a stream may not begin on this connection; `None` if it may. Where too many connections wait, some of them
    /// give way.
    pub(crate) fn no_place_to_wait(&mut self, conn: Key) -> Option<String> {
        (!self.may_wait(conn)).then(|| NO_PLACE_TO_WAIT.to_owned())
    }

    /// Keeps the reserve after a request was handed over that is not answered yet.
    #[inline]
    pub(crate) fn keep_reserve(&mut self, conn: Key) {
        if self.is_crowded()
            && self.connections.get(conn).is_some_and(|conn| conn.stream.is_some())
            && !self.may_wait(conn)
        {
            self.give_up_place(conn, NO_PLACE_TO_WAIT);
        }
    }

    /// True if so many connections are open that the reserve may be used up.
    fn is_crowded(&self) -> bool {
        self.connections.placed() + self.connections.refused() > self.connections.waiting_max()
    }

    /// If so many connections wait that the reserve is used up, those that give way first are closed. Returns false if `asking`
    /// would be the first.
    fn may_wait(&mut self, asking: Key) -> bool {
        if !self.is_crowded() || self.connections.take_known_place() {
            return true;
        }
        let waits = |(key, conn): &(Key, &Connection)| {
            !conn.is_closing() && !conn.is_for_health() && (conn.waits() || *key == asking)
        };
        let of_conn = |(key, conn)| {
            let claim = self.waiting_claim(key, conn, 0);
            Claim { order: if key == asking { u64::MAX } else { claim.order }, ..claim }
        };
        let claims: Vec<_> = self.connections.iter().filter(waits).map(of_conn).collect();
        let max = self.connections.waiting_max();
        let chosen = match claims.len() > max {
            true => in_order_of_giving_way(&claims, claims.len() - max + self.at_once() - 1),
            false => Vec::new(),
        };
        let others: Vec<Key> = chosen.iter().copied().take_while(|key| *key != asking).collect();
        let may_wait = chosen.is_empty() || !others.is_empty();
        self.connections.know_places((max + others.len()).saturating_sub(claims.len()));
        others.into_iter().for_each(|key| self.give_up_place(key, NO_PLACE_TO_WAIT));
        may_wait
    }

    fn at_once(&self) -> usize {
        (1 + self.limits().connections_max / 100).min(EVICTED_AT_ONCE)
    }

    /// Returns the session of that stream, unless it stands in for one.
    pub(crate) fn kept_session_of(&self, stream: Key) -> Option<Key> {
        let session = self.streams.get(stream)?.session;
        self.sessions.get(session).filter(|entry| entry.session.is_kept()).map(|_| session)
    }

    /// Answers the request that waits on a connection with 503 and cancels its calls; closes a connection whose answer has
    /// begun.
    fn give_up_place(&mut self, key: Key, reason: &str) {
        if !self.refuse_waiting(key, None, reason) {
            self.connections.close(key, CloseReason::Evicted);
        }
    }
}

/// True if the holder of that claim has more than each other holder, of whom there is one.
fn is_of_most(claims: &[Claim<'_, (Key, u8)>], key: Key) -> bool {
    let mut counts = BTreeMap::new();
    claims.iter().for_each(|claim| *counts.entry(claim.holder).or_insert(0) += 1);
    let holder = claims.iter().find(|claim| claim.key.0 == key).map(|claim| claim.holder);
    let own = holder.and_then(|holder| counts.remove(&holder));
    counts.values().max() < own.as_ref() && !counts.is_empty()
}

/// Returns the claim of a connection to its place.
fn claim<K>(key: K, conn: &Connection, harm: u8, since: Duration) -> Claim<'_, K> {
    let order = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let holder = Holder::of(&conn.peer);
    Claim { key, holder, proven: conn.is_proven(), amount: 1, harm, session: None, order }
}
