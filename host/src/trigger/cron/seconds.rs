//! The seconds of one day of UTC, a bit for each: how crons are counted together.
//!
//! Knows no triggers; who marks what is `walk`'s and `union`'s.

/// Seconds in a day.
pub(in crate::trigger) const DAY: i64 = 86_400;

/// Bits in a word.
const WORD: i64 = 64;

/// A set of seconds of one day.
pub(in crate::trigger) struct Seconds {
    /// The first second of the day.
    day: i64,
    words: [u64; (DAY / WORD) as usize],
}

impl Default for Seconds {
    fn default() -> Self {
        Self { day: 0, words: [0; (DAY / WORD) as usize] }
    }
}

impl Seconds {
    /// Forgets all, and turns to the day that begins with the second `day`.
    pub(in crate::trigger) fn clear(&mut self, day: i64) {
        self.day = day;
        self.words.fill(0);
    }

    /// The first second of the day, and the first after it.
    pub(super) fn span(&self) -> (i64, i64) {
        (self.day, self.day + DAY)
    }

    /// Adds `first` and those after it whose bits are set in `mask`; none may lie outside the day.
    pub(super) fn mark(&mut self, first: i64, mask: u64) {
        let (mut at, mut mask) = (first - self.day, mask);
        if at < 0 {
            mask = mask.checked_shr(u32::try_from(-at).unwrap_or(u32::MAX)).unwrap_or(0);
            at = 0;
        }
        let (word, shift) = (at / WORD, at % WORD);
        self.add(word, mask << shift);
        if shift != 0 {
            self.add(word + 1, mask >> (WORD - shift));
        }
    }

    /// Takes out `second`, if it is of this day.
    pub(in crate::trigger) fn unmark(&mut self, second: i64) {
        let at = second - self.day;
        if let Some(word) = usize::try_from(at / WORD).ok().and_then(|at| self.words.get_mut(at))
            && at >= 0
        {
            *word &= !(1 << (at % WORD));
        }
    }

    /// How many there are.
    pub(in crate::trigger) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn add(&mut self, word: i64, mask: u64) {
        if let Some(word) = usize::try_from(word).ok().and_then(|word| self.words.get_mut(word)) {
            *word |= mask;
        }
    }
}
