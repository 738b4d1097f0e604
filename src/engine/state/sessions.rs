//! The data of one session beside its service: its stream, its calls, its lifetime, and its
//! rank among those that may end for others.
//!
//! *Scope:* [`Open`], [`Life`] and [`Order`]. *Not in scope:* when sessions begin and end (`core`, `transport`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU64;

use crate::access::peer::Peer;
use crate::engine::state::streams::Replay;
use crate::service::keys::CallKey;
use crate::service::session::Session;
use crate::slab::Key;
use crate::timers::{Linked, Nanos, TimerLink};

/// What decides which session ends first, the one of the least: when it was last used, in nanoseconds, and above that whether
/// its client has worked with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(NonZeroU64);

impl Rank {
    const LEAST: Rank = Rank(NonZeroU64::MIN);

    pub(crate) fn new(life: &Life) -> Rank {
        Rank(NonZeroU64::MIN.saturating_add(life.used.count()) | u64::from(life.worked) << 63)
    }

    /// That of a session now; `None` if it has to stay.
    pub(crate) fn of(open: &Open) -> Option<Rank> {
        let life = open.life.as_ref().filter(|_| open.calls.is_none() && open.conn.is_none())?;
        Some(Rank::new(life))
    }
}

/// Sessions that may end for others, by rank.
#[derive(Default)]
pub(crate) struct Order {
    all: BTreeSet<(Rank, Key)>,
    /// The same for each peer, where sessions are counted by peer.
    by_peer: BTreeSet<(IpAddr, Rank, Key)>,
}

impl Order {
    pub(crate) fn insert(&mut self, peer: Option<IpAddr>, rank: Rank, key: Key) {
        self.all.insert((rank, key));
        self.by_peer.extend(peer.map(|peer| (peer, rank, key)));
    }

    pub(crate) fn remove(&mut self, peer: Option<IpAddr>, rank: Rank, key: Key) {
        self.all.remove(&(rank, key));
        if let Some(peer) = peer {
            self.by_peer.remove(&(peer, rank, key));
        }
    }

    /// The first of all, or of one peer.
    pub(crate) fn first(&self, peer: Option<IpAddr>) -> Option<(Rank, Key)> {
        let Some(peer) = peer else { return self.all.first().copied() };
        let (found, rank, key) = self.by_peer.range((peer, Rank::LEAST, Key::LEAST)..).next()?;
        (*found == peer).then_some((*rank, *key))
    }
}

/// One session, and where its messages go.
pub(crate) struct Open {
    pub(crate) session: Session,
    /// Its stream: over HTTP+SSE what it lives and dies with, over Streamable HTTP the one of a GET, if there is one.
    pub(crate) conn: Option<Key>,
    /// The first of its open calls.
    pub(crate) calls: Option<CallKey>,
    pub(crate) calls_count: u32,
    /// How long it lives, if it is one of Streamable HTTP.
    pub(crate) life: Option<Box<Life>>,
    timer: TimerLink,
}

impl Open {
    pub(crate) fn new(session: Session, conn: Option<Key>, life: Option<Box<Life>>) -> Open {
        Open { session, conn, calls: None, calls_count: 0, life, timer: TimerLink::default() }
    }
}

impl Linked for Open {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// How long a session lives that has no stream to end with.
pub(crate) struct Life {
    /// Who opened it.
    pub(crate) peer: Peer,
    /// When it was last heard of.
    pub(crate) used: Nanos,
    /// Its client has sent something else than `initialize` and lists.
    pub(crate) worked: bool,
    /// Where it stands among those that may end for others.
    pub(crate) rank: Option<Rank>,
    /// What its streams have said.
    pub(crate) replay: Replay,
}
