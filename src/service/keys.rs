//! Names of sessions and calls.
//!
//! *Scope:* [`SessionKey`] and [`CallKey`]. *Not in scope:* what is behind them; only the engine knows.

use crate::slab::Key;

/// Names one session for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) Key);

impl SessionKey {
    /// Comes before all others, and names none.
    pub(crate) const LEAST: SessionKey = SessionKey(Key::LEAST);
}

/// Names one request that waits for its result, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub(crate) Key);
