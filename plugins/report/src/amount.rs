//! Decimal amounts that add up without rounding.

use std::ops::AddAssign;

/// Digits kept behind the point.
const SCALE: usize = 6;
/// What one whole is made of.
const ONE: i128 = 10_i128.pow(SCALE as u32);
/// The most digits before the point; sums of that many rows cannot overflow.
const MAX_WHOLE_DIGITS: usize = 18;

/// A decimal number with up to six digits behind the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount(i128);

impl Amount {
    /// Reads `-12.50`; none when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let fits = whole.len() <= MAX_WHOLE_DIGITS && fraction.len() <= SCALE;
        if !fits || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let units: i128 = format!("{whole}{fraction:0<SCALE$}").parse().ok()?;
        Some(Self(if negative { -units } else { units }))
    }

    /// The nearest number that JSON readers can hold.
    pub fn to_f64(self) -> f64 {
        // Through text: dividing would round twice.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.abs() / ONE, self.0.abs() % ONE);
        write!(f, "{sign}{whole}.{fraction:0SCALE$}")
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_digits_with_a_point_among_them() {
        for (text, shown) in [
            ("12", Some("12.000000")),
            ("12.5", Some("12.500000")),
            ("-0.01", Some("-0.010000")),
            ("0.000001", Some("0.000001")),
            ("0.0000001", None),
            ("1,000", None),
            ("1e3", None),
            (".5", None),
            ("5.", None),
            ("+5", None),
            ("--5", None),
            ("", None),
            ("1234567890123456789", None),
        ] {
            assert_eq!(Amount::parse(text).map(|a| a.to_string()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn ten_dimes_make_a_whole() {
        let mut sum = Amount::default();
        for _ in 0..10 {
            sum += Amount::parse("0.1").unwrap();
        }
        assert_eq!(sum.to_f64(), 1.0);
    }
}
