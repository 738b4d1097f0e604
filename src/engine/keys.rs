//! Keys of connections, for the engine's driver.
//!
//! *Scope:* [`ConnKey`]. *Not in scope:* keys of sessions and calls (`service::keys`).

use crate::slab::Key;

/// The key of one connection. It is never used again for another one.
///
/// ```
/// # let mut engine = mcp_rill::engine::Engine::new(mcp_rill::Server::new("demo", "1.0.0"), || 1).unwrap();
/// let conn = engine.open(Default::default(), Default::default());
/// assert_eq!((conn.index(), engine.find(conn.token())), (0, Some(conn)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey(pub(crate) Key);

impl ConnKey {
    /// The slot number: below `connections_max`, and shared with keys that are dead.
    pub fn index(self) -> usize {
        self.0.index() as usize
    }

    /// 32 bits that [`Engine::find`](crate::engine::Engine::find) turns back into the key, for event queues that carry one word.
    pub fn token(self) -> u32 {
        self.0.token()
    }
}
