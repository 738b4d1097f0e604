//! Times as logs write them (RFC 3339), in UTC and to the millisecond.

use std::time::Duration;

use crate::http::date::civil;

/// Returns the text of a time since 1970.
pub(super) fn stamp(time: Duration) -> String {
    let seconds = time.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (month, millis) = (month + 1, time.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(stamp(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(Duration::from_millis(784_111_777_042)), "1994-11-06T08:49:37.042Z");
        assert_eq!(stamp(Duration::from_secs(1_709_164_799)), "2024-02-28T23:59:59.000Z");
        assert_eq!(stamp(Duration::from_secs(1_709_164_800)), "2024-02-29T00:00:00.000Z");
    }
}
