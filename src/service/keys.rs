//! Keys of sessions and calls.
//!
//! *Scope:* [`SessionKey`] and [`CallKey`]. *Not in scope:* the sessions and calls themselves, which are the engine's.

use crate::key_map::Numbered;
use crate::slab::Key;

/// The key of one session. It is never used again for another one.
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

/// The key of one request that waits for its result. It is never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub(crate) Key);

impl CallKey {
    /// A number that belongs to this call alone, of all that an engine ever has: an id for what the service asks of others for its
    /// sake. It is greater than those of earlier calls, and every client reads it exactly: it stays below 2⁵³.
    ///
    /// ```
    /// use mcp_rill::service::CallKey;
    /// assert!(CallKey::for_tests(1).number() < CallKey::for_tests(2).number());
    /// ```
    pub fn number(self) -> i64 {
        i64::try_from(self.0.serial()).unwrap_or(i64::MAX)
    }

    /// A key for tests of a service without an engine, which makes its own: equal for equal numbers.
    pub fn for_tests(number: u32) -> CallKey {
        CallKey(Key::numbered(number))
    }
}

impl Numbered for SessionKey {
    fn place(self) -> u128 {
        self.0.place()
    }
}

impl Numbered for CallKey {
    fn place(self) -> u128 {
        self.0.place()
    }
}
