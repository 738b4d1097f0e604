//! Limits by name and as text, for the command line.
//!
//! *Scope:* [`Limits::set`], [`Limits::get`], [`Limits::range`] and [`Limits::describe`]. *Not in scope:* whether a value goes with
//! the others ([`Limits::check`]).

use std::time::Duration;

use crate::limits::{Limits, Value};
use crate::text::nearest;

impl Limits {
    /// Sets one limit from text: a size (`4096`, `64KiB`, `4MiB`, `1GiB`), a count, or a time
    /// (`500ms`, `10s`, `30min`, `1h`).
    ///
    /// # Errors
    /// A sentence that names the limit and the value, if there is no limit of this name (one that is spelled nearly so is
    /// proposed), or if the value is not of the limit's kind, such as a size for a count.
    ///
    /// ```
    /// let mut limits = mcp_rill::Limits::DEFAULT;
    /// limits.set("body_bytes_max", "64KiB").unwrap();
    /// assert_eq!(limits.body_bytes_max, 65536);
    /// assert!(limits.set("idle_timeout", "fast").unwrap_err().contains("10s"));
    /// assert_eq!(limits.set("sesions_max", "4").unwrap_err(), "unknown limit `sesions_max`; did you mean `sessions_max`?");
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match self.named(name) {
            Some((limit, _)) => limit.read(name, value),
            None => Err(match nearest(name, Self::NAMES) {
                Some(near) => format!("unknown limit `{name}`; did you mean `{near}`?"),
                None => format!("unknown limit `{name}`; see --help limits"),
            }),
        }
    }

    /// One limit as text that [`set`](Limits::set) reads back; `None` if there is no limit of this name.
    ///
    /// ```
    /// use mcp_rill::Limits;
    /// assert!(Limits::NAMES.iter().all(|name| Limits::DEFAULT.get(name).is_some()));
    /// assert_eq!(Limits::DEFAULT.get("shutdown_grace").as_deref(), Some("8s"));
    /// ```
    pub fn get(&self, name: &str) -> Option<String> {
        self.clone().named(name).map(|(limit, _)| limit.show(name))
    }

    /// The least and the most that a limit may be, as text that [`set`](Limits::set) reads; `None` if there is no limit of this
    /// name.
    ///
    /// ```
    /// let (least, most) = mcp_rill::Limits::range("headers_max").unwrap();
    /// assert_eq!((&*least, &*most), ("8", "256"));
    /// ```
    pub fn range(name: &str) -> Option<(String, String)> {
        let range = Limits::DEFAULT.ranges().into_iter().find(|range| range.name == name)?;
        let shown = |value| match value {
            Value::Count(count) => count.show(name),
            Value::Time(time) => time.show(name),
        };
        Some((shown(range.least), shown(range.most)))
    }

    /// The documentation of one limit as Markdown: what it bounds, what the peer sees when it is hit, what it costs.
    /// `None` if there is no limit of this name.
    ///
    /// ```
    /// let text = mcp_rill::Limits::describe("batch_max").unwrap();
    /// assert!(text.starts_with("Messages of one batch"));
    /// ```
    pub fn describe(name: &str) -> Option<&'static str> {
        let mut limits = Limits::DEFAULT;
        limits.named(name).map(|(_, about)| about)
    }
}

/// A limit that is read from text and shown as text.
pub(super) trait Limit {
    /// What may follow a number, and what the number is multiplied by.
    fn units(&self, name: &str) -> &'static [(&'static str, u64)];

    /// What a text must be, with examples.
    fn form(&self, name: &str) -> &'static str;

    /// Sets it; `None` if it cannot be as much.
    fn set(&mut self, count: u64) -> Option<()>;

    fn show(&self, name: &str) -> String;

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        let (digits, unit) = value.split_at(end);
        let known = self.units(name).iter().find(|(known, _)| *known == unit);
        let Some((_, scale)) = known.filter(|_| !digits.is_empty()) else {
            return Err(format!("limit {name}: `{value}` is not {}", self.form(name)));
        };
        let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(*scale));
        count.and_then(|count| self.set(count)).ok_or_else(|| {
            let most = Limits::range(name).map(|(_, most)| most).unwrap_or_default();
            format!("limit {name}: `{value}` is too large; the most is {most}")
        })
    }
}

/// True if the limit of this name counts bytes; any other number counts things.
fn is_size(name: &str) -> bool {
    name.contains("bytes") || name.ends_with("_rate_min")
}

impl Limit for usize {
    fn units(&self, name: &str) -> &'static [(&'static str, u64)] {
        match is_size(name) {
            true => &[("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
            false => &[("", 1)],
        }
    }

    fn form(&self, name: &str) -> &'static str {
        match is_size(name) {
            true => "a size in bytes; write it like 4096, 64KiB or 4MiB",
            false => "a count; write a whole number without a unit, like 64",
        }
    }

    fn set(&mut self, count: u64) -> Option<()> {
        *self = usize::try_from(count).ok()?;
        Some(())
    }

    fn show(&self, name: &str) -> String {
        let count = *self as u64;
        let mut units = self.units(name).iter().rev();
        match units.find(|(_, scale)| count >= *scale && count.is_multiple_of(*scale)) {
            Some((unit, scale)) => format!("{}{unit}", count / scale),
            None => count.to_string(),
        }
    }
}

impl Limit for Duration {
    fn units(&self, _: &str) -> &'static [(&'static str, u64)] {
        &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)]
    }

    fn form(&self, _: &str) -> &'static str {
        "a time; write it like 500ms, 10s, 30min or 1h"
    }

    fn set(&mut self, count: u64) -> Option<()> {
        *self = Duration::from_millis(count);
        Some(())
    }

    fn show(&self, _: &str) -> String {
        match self.as_millis() {
            ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
            ms => format!("{ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONNECTIONS_CAP;

    #[test]
    fn every_limit_is_read_back_as_shown() {
        for name in Limits::NAMES {
            let shown = Limits::DEFAULT.get(name).unwrap();
            let mut limits = Limits::DEFAULT;
            limits.set(name, &shown).unwrap_or_else(|e| panic!("{name}={shown}: {e}"));
            assert_eq!(limits, Limits::DEFAULT, "{name}={shown}");
        }
    }

    #[test]
    fn bytes_are_shown_as_sizes_and_counts_as_counts() {
        let shown = |name: &str| Limits::DEFAULT.get(name).unwrap();
        assert_eq!((shown("connections_max"), shown("mailbox_max")), ("2048".to_owned(), "1024".to_owned()));
        assert_eq!(
            (shown("turn_bytes_max"), shown("body_rate_min")),
            ("64KiB".to_owned(), "1KiB".to_owned())
        );
    }

    #[test]
    fn a_bad_name_or_value_is_named() {
        let mut limits = Limits::DEFAULT;
        for (wrong, right) in [
            ("sesions_max", "sessions_max"),
            ("session_max", "sessions_max"),
            ("body_byte_max", "body_bytes_max"),
            ("worker", "workers"),
            ("keepalive", "keep_alive"),
            ("Sessions-Max", "sessions_max"),
        ] {
            let error = limits.set(wrong, "1").unwrap_err();
            assert_eq!(error, format!("unknown limit `{wrong}`; did you mean `{right}`?"));
        }
        assert!(limits.set("", "1").is_err() && limits.set(&"x".repeat(100_000), "1").is_err());
        for bad in ["", "x", "-1", "4KiB", "1KB", "1.5", " 1", "99999999999999999999KiB"] {
            let error = limits.set("sessions_max", bad).unwrap_err();
            assert!(error.contains(&format!("sessions_max: `{bad}` is not a count")), "{error}");
        }
        for bad in ["", "x", "-1", "1KB", "1.5MiB", " 1", "99999999999999999999KB"] {
            let error = limits.set("body_bytes_max", bad).unwrap_err();
            assert!(error.contains(&format!("body_bytes_max: `{bad}` is not a size")), "{error}");
        }
        for bad in ["1", "1m", "s", "1 s"] {
            let error = limits.set("keep_alive", bad).unwrap_err();
            assert!(error.contains(&format!("keep_alive: `{bad}` is not a time")), "{error}");
        }
        for (name, large, most) in [
            ("sessions_max", "99999999999999999999", "524288"),
            ("body_bytes_max", "18446744073709551615GiB", "1GiB"),
            ("keep_alive", "99999999999999999999ms", "8640000s"),
            ("keep_alive", "18446744073709551615h", "8640000s"),
        ] {
            let error = limits.set(name, large).unwrap_err();
            assert_eq!(error, format!("limit {name}: `{large}` is too large; the most is {most}"));
        }
        assert_eq!(limits, Limits::DEFAULT);
    }

    #[test]
    fn a_limit_out_of_its_range_is_refused_with_the_range() {
        for name in Limits::NAMES {
            let (least, most) = Limits::range(name).unwrap();
            for end in [&least, &most] {
                let mut limits = Limits::DEFAULT;
                limits.set(name, end).unwrap();
                // It may be too little or too much for another limit.
                let refused = limits.check().err().unwrap_or_default();
                assert!(!refused.contains(" but must be from "), "{refused}");
            }
            let number = |text: &str| {
                let mut limits = Limits::DEFAULT;
                limits.set(name, text).unwrap();
                limits.get(name).unwrap()
            };
            assert_eq!([number(&least), number(&most)], [least, most], "it is read as it is shown");
        }
        for (name, value, range) in [
            ("connections_max", "0", "from 1 to 1048576"),
            ("connections_max", "1048577", "from 1 to 1048576"),
            ("connections_reserve_percent", "91", "from 0 to 90"),
            ("headers_max", "1", "from 8 to 256"),
            ("headers_max", "257", "from 8 to 256"),
            ("body_bytes_max", "1", "from 256 to 1073741824"),
            ("calls_max", "0", "from 1 to 1048576"),
            ("json_depth_max", "129", "from 4 to 128"),
            ("turn_bytes_max", "4294967295", "from 1024 to 67108864"),
            ("tool_timeout", "0s", "from 1ms to 8640000s"),
            ("keep_alive", "0s", "from 1ms to 8640000s"),
            ("shutdown_grace", "8640001s", "from 0s to 8640000s"),
        ] {
            let mut limits = Limits::DEFAULT;
            limits.set(name, value).unwrap();
            assert_eq!(limits.check(), Err(format!("limit {name} is {value}, but must be {range}")));
        }
        for name in ["tcp_user_timeout", "replay_timeout", "linger_timeout", "shutdown_grace"] {
            let mut limits = Limits::DEFAULT;
            limits.set(name, "0s").unwrap();
            assert_eq!(limits.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn connections_those_that_are_refused_and_those_for_health_have_one_cap() {
        let mut limits = Limits::DEFAULT;
        limits.set("connections_max", &(CONNECTIONS_CAP - 80).to_string()).unwrap();
        assert_eq!(limits.check(), Ok(()));
        limits.set("connections_max", &(CONNECTIONS_CAP - 79).to_string()).unwrap();
        assert_eq!(
            limits.check().unwrap_err(),
            "limit connections_max is 1048497, but may be at most 1048496 (with refused_connections_max and health_connections_max)"
        );
    }
}
