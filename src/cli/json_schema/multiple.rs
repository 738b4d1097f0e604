//! The keyword `multipleOf`, exactly: `0.3` is a multiple of `0.1`.
//!
//! *Scope:* divisors of up to 19 significant digits, numbers of any size.

use crate::json::number::Number;

/// A number that others have to be multiples of.
#[derive(Clone, Debug)]
pub(crate) struct Divisor {
    /// Its significant digits as an integer.
    digits: u64,
    /// The power of ten that the last of them stands for.
    exponent: i64,
    /// As it is written in the schema.
    pub(crate) text: String,
}

impl Divisor {
    /// `None` for a number that is not greater than 0, or has too many digits.
    pub(crate) fn of(text: &str) -> Option<Divisor> {
        let number = Number::of(text);
        let digits = number
            .digits()
            .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
        let positive = number > Number::of("0");
        positive.then(|| Divisor { digits, exponent: number.exponent(), text: text.to_owned() })
    }

    /// True if the number is a multiple: if `number / self` is an integer.
    pub(crate) fn divides(&self, number: &Number<'_>) -> bool {
        if number.is_zero() {
            return true;
        }
        // Neither ends in a zero, so a number whose last digit stands for less is no multiple.
        let Ok(zeros) = u64::try_from(number.exponent().saturating_sub(self.exponent)) else { return false };
        let divisor = u128::from(self.digits);
        let rest = number.digits().fold(0, |rest, digit| (rest * 10 + u128::from(digit - b'0')) % divisor);
        (rest * power_of_ten(zeros, divisor)).is_multiple_of(divisor)
    }
}

/// 10^zeros modulo a divisor below 2^64, by squaring.
fn power_of_ten(mut zeros: u64, divisor: u128) -> u128 {
    let (mut power, mut square) = (1 % divisor, 10 % divisor);
    while zeros > 0 {
        if zeros & 1 == 1 {
            power = power * square % divisor;
        }
        square = square * square % divisor;
        zeros >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_exact() {
        for (number, divisor, divides) in [
            ("0", "7", true),
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("19.99", "0.01", true),
            ("19.995", "0.01", false),
            ("-4.5", "1.5", true),
            ("1e3", "8", true),
            ("1e2", "8", false),
            ("10", "2.5", true),
            ("7", "2.5", false),
            ("1e308", "3", false),
            ("3e308", "3", true),
            ("1e300", "0.00000000000000000001", true),
            ("9007199254740993", "3", true),
            ("9007199254740992", "3", false),
            ("123456789012345678901234567890", "18446744073709551615", false),
            ("55340232221128654845", "18446744073709551615", true),
            // The crate `jsonschema` takes this one for a multiple.
            ("123456789012345678901234567890.5", "1", false),
            ("1e-400", "1e-401", true),
            ("1e-401", "1e-400", false),
        ] {
            let found = Divisor::of(divisor).unwrap().divides(&Number::of(number));
            assert_eq!(found, divides, "{number} and {divisor}");
        }
    }

    #[test]
    fn what_is_no_divisor() {
        for text in ["0", "-0.0", "-1", "18446744073709551616", "1.2345678901234567890123"] {
            assert!(Divisor::of(text).is_none(), "{text}");
        }
        assert!(Divisor::of("18446744073709551615").is_some());
    }
}
