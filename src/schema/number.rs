//! Numbers in, whatever their spelling.
//!
//! *Scope:* whole numbers such as `3`, `3.0` and `30e-1`, and the rules `min` and `max`.
//! *Not in scope:* the ranges of the Rust types (`types.rs`).

use super::shape::Kind;
use crate::json::value::JsonRef;
use crate::schema::read::{Error, Place};
use crate::text::shorten;

/// Reads an integer in the range of its type and of the rules.
pub(super) fn integer(value: JsonRef<'_>, place: &Place<'_>, min: i128, max: i128) -> Result<i128, Error> {
    let kind = Kind::Integer { min, max };
    let json = value.text();
    let number = match json.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => whole(json),
        _ => None,
    }
    .ok_or_else(|| place.expected_kind(&kind, value))?;
    let (min, max) = place.rules().range(min, max);
    if number > max {
        return Err(place.error(&format!("{} is more than the maximum {max}", shorten(json))));
    }
    if number < min {
        return Err(place.error(&format!("{} is less than the minimum {min}", shorten(json))));
    }
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
    if let Some(max) = place.rules().max
        && number > max.real
    {
        return Err(place.error(&format!("{} is more than the maximum {}", shorten(json), max.real)));
    }
    if let Some(min) = place.rules().min
        && number < min.real
    {
        return Err(place.error(&format!("{} is less than the minimum {}", shorten(json), min.real)));
    }
    Ok(())
}

/// The value of a JSON number if it has no fraction: `3`, `3.0` and `30e-1` are all 3. Beyond 128 bits the nearest end
/// of the range stands for it, which no type allows.
fn whole(json: &str) -> Option<i128> {
    if let Ok(number) = json.parse::<i64>() {
        return Some(number.into());
    }
    let (negative, json) = json.strip_prefix('-').map_or((false, json), |rest| (true, rest));
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = length(digits) - length(significant) - length(after);
    let zeros = zeros.saturating_add(exponent.parse::<i64>().unwrap_or(match exponent.starts_with('-') {
        true => i64::MIN / 2,
        false => i64::MAX / 2,
    }));
    if zeros < 0 {
        return None;
    }
    let size = significant.parse::<i128>().ok().and_then(|number| {
        let scale = 10i128.checked_pow(u32::try_from(zeros).ok()?)?;
        number.checked_mul(scale)
    });
    Some(match (negative, size) {
        (false, size) => size.unwrap_or(i128::MAX),
        (true, Some(size)) => -size,
        (true, None) => i128::MIN,
    })
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::schema::number::whole;

    #[test]
    fn whole_numbers_in_every_spelling() {
        for (json, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("0e999999999999999999999", Some(0)),
            ("3.0", Some(3)),
            ("30e-1", Some(3)),
            ("0.3E+1", Some(3)),
            ("-1.5e1", Some(-15)),
            ("1200", Some(1200)),
            ("1.2e3", Some(1200)),
            ("0.5", None),
            ("1e-1", None),
            ("5e-99999999999999999999", None),
            ("9223372036854775808", Some(1 << 63)),
            ("-9223372036854775809", Some(-(1 << 63) - 1)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("1e99999999999999999999", Some(i128::MAX)),
            ("-1e400", Some(i128::MIN)),
        ] {
            assert_eq!(whole(json), number, "{json}");
        }
        assert_eq!(whole(&format!("{}.{}", "7".repeat(4000), "0".repeat(4000))), Some(i128::MAX));
    }
}
