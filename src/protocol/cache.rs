//! How long clients may keep results (MCP 2026-07-28, caching).
//!
//! *Scope:* the hints. *Not in scope:* keeping anything.

use std::time::Duration;

#[cfg(feature = "stateless")]
use crate::json::write::Object;

/// Who may share a kept result (MCP 2026-07-28, caching).
///
/// ```
/// use std::time::Duration;
/// use mcp_rill::{CacheScope, Resource, Server};
/// let server = Server::new("almanac", "1.0.0")
///     .cache_lists(Duration::from_secs(300), CacheScope::Public)
///     .offer(
///         Resource::new("almanac:///today", "today")
///             .cache(Duration::from_secs(60), CacheScope::Private)
///             .handler(|_| "sunny"),
///     );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Everybody, also where peers are authenticated: the result is the same for all.
    Public,
    /// Only the principal that asked for it.
    Private,
}

/// The hint of one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheHint {
    pub(crate) ttl: Duration,
    pub(crate) scope: CacheScope,
}

/// The result must not be kept.
impl Default for CacheHint {
    fn default() -> CacheHint {
        CacheHint { ttl: Duration::ZERO, scope: CacheScope::Private }
    }
}

#[cfg(feature = "stateless")]
impl CacheHint {
    pub(crate) fn write(self, result: &mut Object<'_>) {
        result.int("ttlMs", i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX));
        result.str(
            "cacheScope",
            match self.scope {
                CacheScope::Public => "public",
                CacheScope::Private => "private",
            },
        );
    }
}
