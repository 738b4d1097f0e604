//! Annotations of content and resources: the audience, the priority, the time of the last change.
//!
//! *Scope:* [`Role`] and [`Annotations`], and checking times. *Not in scope:* the things that have annotations.

use crate::json::write::{Object, ToJson};
use crate::protocol::setters::setters;

/// The speaker of a message, or the audience of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

impl ToJson for Role {
    fn write(&self, out: &mut Vec<u8>) {
        self.name().write(out);
    }
}

/// The audience of something, its priority, and when it last changed (MCP schema, `Annotations`).
///
/// ```
/// use mcp_rill::{Annotations, Content, Role};
/// let hint = Annotations::default().audience(Role::Assistant).priority(0.2).last_modified("2026-01-31T09:00:00Z");
/// let content = Content::text("internal").annotate(hint);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    audience: Vec<Role>,
    priority: Option<f64>,
    last_modified: Option<String>,
}

impl Annotations {
    /// Sets how important it is, from 0 (may be left out) to 1 (required). Other values are moved into that range.
    pub fn priority(mut self, priority: f64) -> Annotations {
        self.priority = Some(from_0_to_1(priority));
        self
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.last_modified {
            Some(time) if !is_date_time(time) => {
                Err(format!("`lastModified` {time:?} is not a time such as 2026-01-31T09:00:00Z"))
            }
            _ => Ok(()),
        }
    }
}

setters! { Annotations {
    /// Adds a role to the audience.
    audience(Role) => audience;
    /// Sets when it last changed: a date and time such as `2026-01-31T09:00:00Z` (RFC 3339, section 5.6). Clients check it, so
    /// anything else is an error when the item is added, or of the result that has it.
    last_modified(impl Into<String>) => last_modified;
} }

impl ToJson for Annotations {
    fn write(&self, out: &mut Vec<u8>) {
        Object::new(out)
            .member("audience", &self.audience)
            .member("priority", &self.priority)
            .member("lastModified", &self.last_modified);
    }
}

/// Moves a number into the range that the protocol has for priorities.
pub(crate) fn from_0_to_1(priority: f64) -> f64 {
    if priority.is_nan() { 0.0 } else { priority.clamp(0.0, 1.0) }
}

/// True for a date and time with its offset from UTC (RFC 3339, section 5.6), as clients check it.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let (time, offset) = match time.strip_suffix('Z') {
        Some(time) => (time, "00:00"),
        None => time.split_at(time.find(['+', '-']).unwrap_or(time.len())),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let offset = offset.strip_prefix(['+', '-']).unwrap_or(offset);
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let Some([year, month, day]) = numbers(date, '-', [4, 2, 2]) else { return false };
    let times = (numbers(time, ':', [2, 2, 2]), numbers(offset, ':', [2, 2]));
    let (Some([hour, minute, second]), Some([offset_hours, offset_minutes])) = times else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let is_time = hour < 24 && minute < 60 && second < 60 && offset_hours < 24 && offset_minutes < 60;
    (1..=days).contains(&day) && is_time && is_fraction
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|digit| digit.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_times() {
        for (text, lawful) in [
            ("2026-01-31T09:00:00Z", true),
            ("2024-02-29T23:59:59.123456+05:30", true),
            ("2026-12-01T00:00:00-08:00", true),
            ("2026-01-31", false),
            ("2026-01-31T09:00:00", false),
            ("2026-01-31T09:00Z", false),
            ("2026-01-31 09:00:00Z", false),
            ("2026-01-31t09:00:00z", false),
            ("2026-02-29T09:00:00Z", false),
            ("2100-02-29T09:00:00Z", false),
            ("2026-04-31T09:00:00Z", false),
            ("2026-13-01T09:00:00Z", false),
            ("2026-00-01T09:00:00Z", false),
            ("2026-01-00T09:00:00Z", false),
            ("2026-01-31T24:00:00Z", false),
            ("2026-01-31T09:60:00Z", false),
            ("2026-01-31T09:00:60Z", false),
            ("2026-01-31T09:00:00.Z", false),
            ("2026-01-31T09:00:00+0100", false),
            ("2026-01-31T09:00:00+-01:00", false),
            ("26-01-31T09:00:00Z", false),
            ("yesterday", false),
            ("", false),
        ] {
            assert_eq!(is_date_time(text), lawful, "{text}");
        }
    }
}
