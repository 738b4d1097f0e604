//! Deadlines.

use std::time::{Duration, Instant};

use crate::client::error::Error;

/// Returns the time until a deadline.
///
/// # Errors
/// [`Error::Timeout`] if none is left.
pub(crate) fn left(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::Timeout) } else { Ok(left) }
}

/// Returns a moment from now; a time beyond what the clock can hold becomes a century.
pub(crate) fn after(time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time.min(CENTURY)).unwrap_or(now)
}
