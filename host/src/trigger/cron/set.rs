//! Sets of small numbers: the values of one cron field.
//!
//! [`Values`] holds what fits in 64 bits, every field but the year; [`Years`] holds runs of years,
//! since there are 8,030 of them.

use super::field::Run;

/// A set of numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::trigger) struct Values(u64);

impl Values {
    /// Nothing.
    pub(super) const EMPTY: Self = Self(0);

    /// Every number from `first` to `last`, both at most 63.
    pub(super) const fn span(first: u32, last: u32) -> Self {
        Self((u64::MAX >> (63 - last)) & (u64::MAX << first))
    }

    /// The numbers of `runs`; those above 63 are left out.
    pub(super) fn from_runs(runs: &[Run]) -> Self {
        runs.iter().flat_map(Run::values).fold(Self::EMPTY, |values, value| values.with(value))
    }

    /// This set and `value`; numbers above 63 are left out.
    pub(super) const fn with(self, value: u32) -> Self {
        if value < 64 { Self(self.0 | 1 << value) } else { self }
    }

    /// What is in either set.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set without the members of `run`.
    pub(super) fn without(self, run: &Run) -> Self {
        Self(self.0 & !Self::from_runs(&[*run]).0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn contains(self, value: u32) -> bool {
        value < 64 && self.0 & 1 << value != 0
    }

    /// The smallest member that is `from` or more.
    pub(super) const fn next(self, from: u32) -> Option<u32> {
        let rest = if from < 64 { self.0 & u64::MAX << from } else { 0 };
        if rest == 0 { None } else { Some(rest.trailing_zeros()) }
    }

    /// The largest member that is `to` or less.
    pub(super) const fn prev(self, to: u32) -> Option<u32> {
        let rest = if to < 63 { self.0 & ((1 << (to + 1)) - 1) } else { self.0 };
        if rest == 0 { None } else { Some(63 - rest.leading_zeros()) }
    }

    /// The numbers whose bits are set.
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// A bit for each member.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// How many members there are.
    pub(super) fn count(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    /// How many members are less than `value`.
    pub(super) fn count_below(self, value: u32) -> u64 {
        match value.checked_sub(1) {
            Some(last) if last < 63 => self.and(Self::span(0, last)).count(),
            Some(_) => self.count(),
            None => 0,
        }
    }

    /// All members, smallest first.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        let mut rest = self.next(0);
        std::iter::from_fn(move || {
            let value = rest?;
            rest = self.next(value + 1);
            Some(value)
        })
    }
}

/// A set of years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Years(Vec<Run>);

impl Years {
    /// The years of `runs`.
    pub(super) fn from_runs(runs: Vec<Run>) -> Self {
        Self(runs)
    }

    /// The runs they were made from.
    pub(super) fn runs(&self) -> &[Run] {
        &self.0
    }

    pub(super) fn contains(&self, year: u32) -> bool {
        self.next(year) == Some(year)
    }

    /// The first year that is `from` or later.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        self.0.iter().filter_map(|run| run.next(from)).min()
    }

    /// The last year that is `to` or earlier.
    pub(super) fn prev(&self, to: u32) -> Option<u32> {
        self.0.iter().filter_map(|run| run.prev(to)).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_answers_like_a_sorted_list() {
        for list in [vec![], vec![0], vec![63], vec![0, 5, 6, 31, 32, 62, 63], (0..64).collect()] {
            let set = list.iter().fold(Values::EMPTY, |set, value| set.with(*value));
            assert_eq!(set.iter().collect::<Vec<u32>>(), list);
            for value in 0..=64 {
                let below = list.iter().filter(|member| **member < value).count() as u64;
                assert_eq!(set.count_below(value), below, "{list:?} below {value}");
                let next = list.iter().copied().find(|member| *member >= value);
                assert_eq!(set.next(value), next, "{list:?} from {value}");
                let prev = list.iter().copied().rfind(|member| *member <= value);
                assert_eq!(set.prev(value), prev, "{list:?} to {value}");
                assert_eq!(set.contains(value), list.contains(&value), "{list:?} has {value}");
            }
        }
    }
}
