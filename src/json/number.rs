//! Numbers of JSON, exactly: compared digit by digit, whatever their size and spelling.
//!
//! *Scope:* the value of a number's text, its order, whole numbers. *Not in scope:* the grammar (that is `tape`), floats.

use std::cmp::Ordering;

/// The value of a JSON number: its significant digits, and the place of the decimal point.
///
/// `1200`, `1.2e3` and `1200.0` are one value: the digits `12`, with the point four places after their start. An exponent
/// beyond 64 bits counts as the greatest or least of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    negative: bool,
    /// The digits before and after the point of the text, without zeros at either end. None for zero.
    digits: [&'a [u8]; 2],
    /// How many places after the first digit's start the point is; 0 for zero.
    point: i64,
}

impl<'a> Number<'a> {
    /// The value of a text that is known to be a JSON number.
    pub(crate) fn of(text: &'a str) -> Number<'a> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let before = before.trim_start_matches('0');
        // The zeros after the point count only where nothing is before it.
        let fraction = if before.is_empty() { after.trim_start_matches('0') } else { after };
        let moved = length(before) - (length(after) - length(fraction));
        let fraction = fraction.trim_end_matches('0');
        let before = if fraction.is_empty() { before.trim_end_matches('0') } else { before };
        if before.is_empty() && fraction.is_empty() {
            return Number { negative: false, digits: [b"", b""], point: 0 };
        }
        let exponent = exponent.parse::<i64>().unwrap_or(match exponent.starts_with('-') {
            true => i64::MIN,
            false => i64::MAX,
        });
        let point = moved.saturating_add(exponent);
        Number { negative, digits: [before.as_bytes(), fraction.as_bytes()], point }
    }

    /// The significant digits as ASCII, from the first to the last that is not zero; none for zero.
    pub(crate) fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        let [before, after] = self.digits;
        before.iter().chain(after).copied()
    }

    /// The power of ten that the last significant digit stands for; 0 for zero.
    pub(crate) fn exponent(&self) -> i64 {
        let count: usize = self.digits.iter().map(|digits| digits.len()).sum();
        self.point.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits == [b"", b""]
    }

    /// True if it has no fraction.
    pub(crate) fn is_whole(&self) -> bool {
        self.exponent() >= 0
    }

    /// The value if it has no fraction. Beyond 128 bits the nearest end of the range stands for it.
    pub(crate) fn whole(&self) -> Option<i128> {
        let zeros = u64::try_from(self.exponent()).ok()?;
        let size = self
            .digits()
            .try_fold(0_i128, |size, digit| size.checked_mul(10)?.checked_add(i128::from(digit - b'0')));
        let scale = u32::try_from(zeros).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
        let size = if self.is_zero() {
            Some(0)
        } else {
            size.zip(scale).and_then(|(size, scale)| size.checked_mul(scale))
        };
        Some(match (self.negative, size) {
            (false, size) => size.unwrap_or(i128::MAX),
            (true, Some(size)) => -size,
            (true, None) => i128::MIN,
        })
    }

    /// Appends the one spelling that all spellings of the value have in common: `12e2`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        match self.is_zero() {
            true => out.push(b'0'),
            false => out.extend(self.digits()),
        }
        if self.exponent() != 0 {
            out.extend_from_slice(format!("e{}", self.exponent()).as_bytes());
        }
    }

    /// The order of the values without their signs.
    fn cmp_size(&self, other: &Number<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits().cmp(other.digits())),
            (one, other) => other.cmp(&one),
        }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (one, other) => other.cmp(&one),
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number<'_> {}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("0.0030e3", Some(3)),
            ("-1.5e1", Some(-15)),
            ("1200", Some(1200)),
            ("1.2e3", Some(1200)),
            ("0.5", None),
            ("10.05", None),
            ("1e-1", None),
            ("5e-99999999999999999999", None),
            ("9223372036854775808", Some(1 << 63)),
            ("-9223372036854775809", Some(-(1 << 63) - 1)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("1e99999999999999999999", Some(i128::MAX)),
            ("-1e400", Some(i128::MIN)),
        ] {
            let found = Number::of(json);
            assert_eq!((found.whole(), found.is_whole()), (number, number.is_some()), "{json}");
        }
        let long = format!("{}.{}", "7".repeat(4000), "0".repeat(4000));
        assert_eq!(Number::of(&long).whole(), Some(i128::MAX));
    }

    #[test]
    fn numbers_in_ascending_order() {
        let long = "9".repeat(400);
        let ascending = [
            "-1e400",
            "-12345678901234567890123",
            "-12345678901234567890122.5",
            "-10",
            "-9.5",
            "-0.1",
            "-0.09",
            "-1e-400",
            "0",
            "1e-99999999999999999999",
            "1e-400",
            "0.0123",
            "0.1",
            "0.12",
            "1",
            "1.0000000000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "1e22",
            &long,
            "1e400",
            "1e99999999999999999999",
        ];
        for (place, one) in ascending.iter().enumerate() {
            for (other_place, other) in ascending.iter().enumerate() {
                assert_eq!(
                    Number::of(one).cmp(&Number::of(other)),
                    place.cmp(&other_place),
                    "{one} and {other}"
                );
            }
        }
    }

    #[test]
    fn every_spelling_of_a_value_is_written_alike() {
        for (spellings, written) in [
            (&["0", "-0", "0.000", "0e7", "-0.0e-7"][..], "0"),
            (&["1200", "1.2e3", "1200.0", "0.12E4", "120000e-2", "0.0012e+6"], "12e2"),
            (&["-0.05", "-5e-2", "-0.0500"], "-5e-2"),
            (&["101", "101.0", "1.01e2"], "101"),
        ] {
            for spelling in spellings {
                let mut out = Vec::new();
                Number::of(spelling).write(&mut out);
                assert_eq!(String::from_utf8(out).unwrap(), written, "{spelling}");
                assert_eq!(Number::of(spelling), Number::of(written));
            }
        }
    }
}
