//! Time as a value, and a wheel of deadlines.

use std::time::Duration;

/// The present, handed to the engine by its driver: nothing below the driver reads a clock.
///
/// ```
/// use std::time::Duration;
/// let now = mcp_rill::Now { mono: Duration::from_secs(5), unix: Duration::from_secs(1_800_000_000) };
/// assert!(now.mono < now.unix);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Time since some fixed point that never goes back: what deadlines are measured in.
    pub mono: Duration,
    /// Time since 1970-01-01 UTC: what the `Date` header field shows.
    pub unix: Duration,
}
