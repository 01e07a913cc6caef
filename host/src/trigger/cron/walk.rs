//! From wall times to instants: where daylight saving is decided.
//!
//! The zone is cut into stretches of one offset, so that within a stretch labels and instants go
//! side by side. What happens at the seams is the trigger's `dst`:
//!
//! ```text
//! label         in a gap                              in an overlap
//! wall          never fires                           fires in both passes
//! once          fires at the first instant after it   fires in the first pass
//! ```
//!
//! `once` has one sentence: a label fires at the first instant whose wall clock has reached it. So
//! the highest label shown so far decides alone, fires keep the order of labels, and labels that
//! are reached at one instant merge. Only a date that the zone never had fires nothing.

use chrono_tz::Tz;

use super::Dst;
use super::calendar::{Calendar, FIRST_LABEL, LABELS_END};
use super::seconds::Seconds;
use crate::trigger::zone::{self, DAY, FARTHEST};

/// How far one look at the zone goes, in seconds. No zone ever turned its clock by so much, so
/// what happened longer ago than this has no label in common with now.
pub(super) const REACH: i64 = 2 * DAY;

/// Finds the instants, in whole seconds, at which the wall clock of a zone shows what a calendar
/// asks for.
pub(super) struct Walker<'a> {
    calendar: &'a Calendar,
    zone: Tz,
    dst: Dst,
}

/// A stretch of one offset, `start` to before `end`, and which labels fire in it.
struct Piece {
    start: i64,
    end: i64,
    offset: i64,
    /// Labels from here on were not shown before; those below do not fire.
    fresh: i64,
    /// Labels from here to that of `start` were skipped when the piece began.
    skipped_from: i64,
}

impl<'a> Walker<'a> {
    pub(super) fn new(calendar: &'a Calendar, zone: Tz, dst: Dst) -> Self {
        let dst = if calendar.has_all_hours() { Dst::Wall } else { dst };
        Self { calendar, zone, dst }
    }

    /// The first fire that is `at` or later.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        let mut at = at.max(FIRST_LABEL - FARTHEST);
        for piece in self.pieces(at, LABELS_END + FARTHEST) {
            if piece.end <= at {
                continue;
            }
            if let Some(fire) = self.first_in(&piece, at) {
                return Some(fire);
            }
            // Whatever the offsets are by then, no instant before this shows the next label.
            let label = self.calendar.next(piece.end - FARTHEST, LABELS_END)?;
            at = at.max(label - FARTHEST);
        }
        None
    }

    /// The last fire before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        let mut before = before.min(LABELS_END + FARTHEST);
        while FIRST_LABEL - FARTHEST < before {
            let from = before - REACH;
            let pieces = self.pieces(from, before);
            let fires = pieces.filter_map(|piece| self.last_in(&piece, before));
            if let Some(fire) = fires.last().filter(|fire| from <= *fire) {
                return Some(fire);
            }
            // Whatever the offsets were by then, no instant after this shows the label.
            let label = self.calendar.prev(from + FARTHEST, FIRST_LABEL)?;
            before = from.min(label + FARTHEST + 1);
        }
        None
    }

    /// How many fires there are from `from` to before `to`.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        let from = from.max(FIRST_LABEL - FARTHEST);
        let to = to.min(LABELS_END + FARTHEST);
        if to <= from {
            return 0;
        }
        self.pieces(from, to).map(|piece| self.count_in(&piece, from, to)).sum()
    }

    /// Marks the fires from `from` to before `to`, all of one day of UTC.
    pub(super) fn mark(&self, from: i64, to: i64, seconds: &mut Seconds) {
        for piece in self.pieces(from, to) {
            let first = piece.fresh.max(from + piece.offset);
            let end = piece.end.min(to) + piece.offset;
            self.calendar.each_minute(first, end, |label, mask| {
                seconds.mark(label - piece.offset, mask);
            });
            if from <= piece.start && self.catches_up(&piece) {
                seconds.mark(piece.start, 1);
            }
        }
    }

    /// The pieces that make up `from` to before `to`; under `once` also some before them, to know
    /// which labels were shown already.
    fn pieces(&self, from: i64, to: i64) -> impl Iterator<Item = Piece> {
        let dst = self.dst;
        let from = match dst {
            Dst::Wall => from,
            Dst::Once => from - REACH,
        };
        let mut shown = None;
        zone::stretches(self.zone, from, to).map(move |stretch| {
            let (start, end, offset) = (stretch.start, stretch.end, stretch.offset);
            let first_label = start + offset;
            let shown_before = match dst {
                Dst::Wall => first_label,
                Dst::Once => shown.unwrap_or(first_label),
            };
            shown = Some(shown_before.max(end + offset));
            let fresh = shown_before.max(first_label);
            Piece { start, end, offset, fresh, skipped_from: shown_before.min(first_label) }
        })
    }

    /// The first fire in `piece` that is `at` or later.
    fn first_in(&self, piece: &Piece, at: i64) -> Option<i64> {
        if at <= piece.start && self.catches_up(piece) {
            return Some(piece.start);
        }
        let from = piece.fresh.max(at + piece.offset);
        let label = self.calendar.next(from, piece.end + piece.offset)?;
        Some(label - piece.offset)
    }

    /// The last fire in `piece` that is before `before`.
    fn last_in(&self, piece: &Piece, before: i64) -> Option<i64> {
        let to = piece.end.min(before) + piece.offset;
        let label = self.calendar.prev(to, piece.fresh);
        label
            .map(|label| label - piece.offset)
            .or_else(|| (piece.start < before && self.catches_up(piece)).then_some(piece.start))
    }

    /// How many fires of `piece` lie from `from` to before `to`.
    fn count_in(&self, piece: &Piece, from: i64, to: i64) -> u64 {
        let first_label = piece.start + piece.offset;
        let shown = self
            .calendar
            .count(piece.fresh.max(from + piece.offset), piece.end.min(to) + piece.offset);
        let catches_up = from <= piece.start
            && piece.start < to
            && self.catches_up(piece)
            && !self.calendar.matches(first_label);
        shown + u64::from(catches_up)
    }

    /// Whether a skipped label fires at the start of `piece`.
    fn catches_up(&self, piece: &Piece) -> bool {
        let (from, to) = (piece.skipped_from, piece.start + piece.offset);
        if from == to {
            return false;
        }
        // The first date began before the gap unless the gap took all of it; the last one goes on
        // after the gap; those between never were.
        let next_midnight = (from.div_euclid(DAY) + 1) * DAY;
        let first_date_exists = from.rem_euclid(DAY) != 0 || to < next_midnight;
        let last_midnight = to.div_euclid(DAY) * DAY;
        first_date_exists && self.calendar.next(from, to.min(next_midnight)).is_some()
            || self.calendar.next(from.max(last_midnight), to).is_some()
    }
}
