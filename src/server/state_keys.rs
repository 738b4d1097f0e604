//! The keys that seal what clients without sessions carry (MCP 2026-07-28).
//!
//! *Scope:* setting them before and while the server runs. *Not in scope:* sealing (`seal`).

use crate::protocol::state_key::{Seal, StateKey};
use crate::server::builder::Server;
use crate::server::handle::Handle;

impl<X> Server<X> {
    /// Sets the key that seals questions to clients without sessions: the same on every node that may get the answer.
    pub fn state_key(mut self, key: StateKey) -> Server<X> {
        self.state_keys[0] = Some(key);
        self
    }

    /// Sets the key that was in use before: what it sealed is still accepted, so that a new key loses no call.
    pub fn previous_state_key(mut self, key: StateKey) -> Server<X> {
        self.state_keys[1] = Some(key);
        self
    }
}

impl Handle {
    /// Replaces the keys of [`Server::state_key`](crate::Server::state_key) and
    /// [`Server::previous_state_key`](crate::Server::previous_state_key). From its next turn on the loop seals with `current`, and
    /// still accepts what `previous` has sealed. Without `previous`, calls that wait for an answer under an older key have to
    /// start again.
    ///
    /// ```
    /// # use mcp_rill::{Server, StateKey, engine::Engine};
    /// # fn read(_: &str) -> Result<StateKey, String> { StateKey::read("000102030405060708090a0b0c0d0e0f") }
    /// let (old, new) = (StateKey::new([7; 16]), read("/etc/mcp/key")?);
    /// let engine = Engine::new(Server::new("demo", "1.0.0").state_key(old), || 1)?;
    /// engine.handle().set_state_keys(new, Some(old));
    /// # Ok::<(), String>(())
    /// ```
    pub fn set_state_keys(&self, current: StateKey, previous: Option<StateKey>) {
        self.0.post_seal(Seal { current, previous });
    }
}
