//! Names of sessions and calls.
//!
//! *Scope:* [`SessionKey`] and [`CallKey`]. *Not in scope:* what they name; only the engine knows.

use crate::slab::Key;

/// Names one session. No key is ever used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) Key);

impl SessionKey {
    /// Comes before all others, and names none.
    pub(crate) const LEAST: SessionKey = SessionKey(Key::LEAST);

    /// A key for tests of a service without an engine, which makes its own: equal for equal numbers.
    pub fn for_tests(number: u32) -> SessionKey {
        SessionKey(Key::numbered(number))
    }
}

/// Names one request that waits for its result. No key is ever used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub(crate) Key);

impl CallKey {
    /// A key for tests of a service without an engine, which makes its own: equal for equal numbers.
    pub fn for_tests(number: u32) -> CallKey {
        CallKey(Key::numbered(number))
    }
}
