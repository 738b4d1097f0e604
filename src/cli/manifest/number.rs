//! Writes whole JSON numbers in plain digits (`3` for `3.0`), because programs read nothing else.

use std::borrow::Cow;

use crate::json::number::Number;

/// Every number of so many digits is an integer of 64 bits.
const DIGITS_MAX: usize = 18;

/// The text of a JSON number: a whole number of at most [`DIGITS_MAX`] digits in digits alone (`3` for `3.0` and `0.3e1`), because
/// programs that want one read nothing else; any other as it was written.
pub(super) fn number_text(text: &str) -> Cow<'_, str> {
    match whole(text) {
        Some(digits) if digits != text => Cow::Owned(digits),
        _ => Cow::Borrowed(text),
    }
}

fn whole(text: &str) -> Option<String> {
    let number = Number::of(text);
    if number.is_zero() {
        return Some("0".to_owned());
    }
    let mut digits: String = number.digits().map(char::from).collect();
    let zeros = usize::try_from(number.exponent()).ok()?;
    if zeros.saturating_add(digits.len()) > DIGITS_MAX {
        return None;
    }
    digits.push_str(&"0".repeat(zeros));
    Some(if text.starts_with('-') { format!("-{digits}") } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_digits_alone() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.0", "0"),
            ("-0.0e7", "0"),
            ("3", "3"),
            ("-3", "-3"),
            ("3.0", "3"),
            ("-3.00", "-3"),
            ("30", "30"),
            ("0.3e1", "3"),
            ("1e2", "100"),
            ("1E+2", "100"),
            ("1200e-2", "12"),
            ("1.5e1", "15"),
            ("1.5", "1.5"),
            ("1.50", "1.50"),
            ("1e-2", "1e-2"),
            ("1e17", "100000000000000000"),
            ("1e18", "1e18"),
            ("123456789012345678901", "123456789012345678901"),
            ("123456789012345678901.0", "123456789012345678901.0"),
            ("1e99999999999999999999", "1e99999999999999999999"),
            ("0e99999999999999999999", "0"),
            ("1e-9223372036854775808", "1e-9223372036854775808"),
            ("1e9223372036854775807", "1e9223372036854775807"),
        ] {
            assert_eq!(number_text(text), expected, "{text}");
        }
    }
}
