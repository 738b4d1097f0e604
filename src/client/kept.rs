//! Connections without a request, which are kept for the next one.

use crate::client::connection::Connection;

/// How many are kept.
const KEPT_MAX: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<Connection>);

impl Kept {
    /// Returns one that the server has not closed; those that it has are dropped.
    pub(crate) fn take(&mut self) -> Option<Connection> {
        let mut kept = std::iter::from_fn(|| self.0.pop());
        kept.find_map(|mut kept| kept.is_usable().then_some(kept))
    }

    /// Keeps a connection, if there is one and room for it.
    pub(crate) fn put(&mut self, connection: Option<Connection>) {
        self.0.extend(connection.filter(|_| self.0.len() < KEPT_MAX));
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
