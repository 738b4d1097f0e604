//! Numbers in, whatever their spelling.
//!
//! *Scope:* whole numbers such as `3`, `3.0` and `30e-1`, and the rules `min` and `max`.
//! *Not in scope:* the ranges of the Rust types (`types.rs`).

use std::fmt;

use super::shape::Kind;
use crate::json::number::Number;
use crate::json::value::JsonRef;
use crate::schema::read::{Error, Place};
use crate::text::printable;

/// Reads an integer in the range of its type and of the rules.
pub(super) fn integer(value: JsonRef<'_>, place: &Place<'_>, min: i128, max: i128) -> Result<i128, Error> {
    let kind = Kind::Integer { min, max };
    let json = value.text();
    let number = match json.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => json.parse().ok().map(i64::into).or_else(|| Number::of(json).whole()),
        _ => None,
    }
    .ok_or_else(|| place.expected_kind(&kind, value))?;
    let (min, max) = place.rules().range(min, max);
    check_range(number, [Some(min), Some(max)], value, place)?;
    Ok(number)
}

/// Checks that the value is a number which keeps the rules.
pub(super) fn number(value: JsonRef<'_>, place: &Place<'_>) -> Result<(), Error> {
    let json = value.text();
    let number = match json.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => json.parse::<f64>().ok(),
        _ => None,
    }
    .ok_or_else(|| place.expected_kind(&Kind::Number, value))?;
    check_range(number, place.rules().real_range(), value, place)
}

fn check_range<T: PartialOrd + fmt::Display>(
    number: T,
    [min, max]: [Option<T>; 2],
    value: JsonRef<'_>,
    place: &Place<'_>,
) -> Result<(), Error> {
    let problem = match (min, max) {
        (_, Some(max)) if number > max => format!("more than the maximum {max}"),
        (Some(min), _) if number < min => format!("less than the minimum {min}"),
        _ => return Ok(()),
    };
    Err(place.error(&format!("{} is {problem}", printable(value.text()))))
}
