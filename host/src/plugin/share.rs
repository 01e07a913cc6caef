//! The share of runs that a new version is tried on.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

/// All runs, in the unit of a share: a hundredth of a percent.
const WHOLE: u16 = 10_000;

/// How many of all runs, in hundredths of a percent: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u16);

impl Share {
    /// Reads `10%` or `0.5%`; `0%` is none.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn read(text: &str) -> Result<Option<Self>, String> {
        let wrong = || format!("`{text}` is no share of runs: write `10%`, from 0% to 100%");
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 {
            return Err(wrong());
        }
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let part: u16 = format!("{part:0<2}").parse().map_err(|_| wrong())?;
        let share = whole.checked_mul(100).and_then(|share| share.checked_add(part));
        let share = share.filter(|share| *share <= WHOLE).ok_or_else(wrong)?;
        Ok((share > 0).then_some(Self(share)))
    }

    /// Whether a run is one of them. Each run is or is not, whichever host asks and however often.
    pub fn has(self, run: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish() % u64::from(WHOLE) < u64::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}%", self.0 / 100),
            part => {
                let text = format!("{}.{part:02}", self.0 / 100);
                write!(f, "{}%", text.trim_end_matches('0'))
            }
        }
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text)?.ok_or_else(|| "a share of none".to_owned())
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_and_shown() {
        for text in ["10%", "0.5%", "0.01%", "33.33%", "100%"] {
            assert_eq!(Share::read(text).unwrap().unwrap().to_string(), text);
        }
        assert_eq!(Share::read(" 7.50 %").unwrap().unwrap().to_string(), "7.5%");
        assert_eq!(Share::read("0%"), Ok(None));
        for text in ["10", "%", "-1%", "101%", "100.01%", "1.234%", "1e1%", "99999999%"] {
            assert!(Share::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn about_as_many_runs_are_in_it_as_it_says_and_always_the_same() {
        let share = Share::read("10%").unwrap().unwrap();
        let of = |share: Share| (0..100_000_u64).filter(|run| share.has(run)).count();
        assert!((9_500..10_500).contains(&of(share)), "{}", of(share));
        assert_eq!(of(share), of(share));
        assert_eq!(of(Share::read("100%").unwrap().unwrap()), 100_000);
    }
}
