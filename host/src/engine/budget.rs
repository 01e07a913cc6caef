//! Keeps a run within the processor time and the fuel that are set aside for it.
//!
//! Before each step of the guest it is seen how much it has used. When half of the last piece is
//! gone the next one is asked for, so that a run normally never waits; when so little is left that
//! the next step could go over it, the guest rests until there is more, or is over when there is
//! none.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::cpu::Polled;
use super::tab::{Refused, Tab};
use crate::job::quota::QuotaKey;
use crate::lease::Lapsed;
use crate::record::account::{Draw, UsedUp};
use crate::run::admitted::Admitted;

/// What is left of the processor time at least when the guest is let go on for a step: it lasts for
/// an epoch's tick of one millisecond, and for longer where threads wait for a processor.
const CPU_MARGIN: Duration = Duration::from_millis(4);
/// The same of fuel.
const FUEL_MARGIN: u64 = 4 * FUEL_STEP;
/// A guest whose fuel is counted lets others run after so much of it. What it has burnt is known to
/// this, and no step burns more.
pub(super) const FUEL_STEP: u64 = 2_000_000;
/// A piece that is free, because the store knows of no quota, is so many margins at least and at most,
/// each larger than the one before.
const FREE_PIECE_MARGINS: (u64, u64) = (8, 256);
/// What is burnt at most in a nanosecond on a processor.
const MOST_FUEL_A_NANO: u64 = 64;

/// A tenant's quota was used up while a run needed more of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct OutOfQuota(pub(super) UsedUp);

/// What one thing of which pieces are set aside has come to.
#[derive(Debug)]
struct Budget {
    /// It may use so much altogether.
    aside: u64,
    /// The store has set so much of that aside.
    said: u64,
    /// Whether the last piece was not the store's.
    is_free: bool,
    /// The last piece of what it may use.
    piece: u64,
    /// What is left at least when a step begins.
    margin: u64,
    /// Used when the last step began.
    before: u64,
    /// What the longest step used.
    longest: u64,
    /// There was no more when it was asked for.
    refused: Option<UsedUp>,
}

/// What the next step may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    /// And another piece is to be asked for.
    GoAndAsk,
    /// It waits until another piece was asked for.
    Ask,
}

impl Budget {
    fn new(aside: u64, margin: u64) -> Self {
        Self {
            aside,
            said: aside,
            is_free: false,
            piece: aside,
            margin,
            before: 0,
            longest: 0,
            refused: None,
        }
    }

    /// Judges the next step of a run that has used so much.
    fn next(&mut self, used: u64) -> Next {
        self.longest = self.longest.max(used.saturating_sub(self.before));
        self.before = used;
        let left = self.aside.saturating_sub(used);
        if left < self.margin.max(self.longest) {
            return Next::Ask;
        }
        match self.refused {
            None if left < self.piece / 2 => Next::GoAndAsk,
            None | Some(_) => Next::Go,
        }
    }

    /// The store has set so much aside altogether now. Where that is no more than before it knows of no
    /// quota, maybe only for as long as its hosts have not said so: a piece is free then, and the store is
    /// asked again.
    fn given(&mut self, aside: u64) {
        let more = aside.saturating_sub(self.said);
        self.said = aside;
        self.refused = None;
        if 0 < more {
            // What was free and is not used is free no more.
            let so_far = if self.is_free { self.aside.min(self.before) } else { self.aside };
            (self.aside, self.piece, self.is_free) = (so_far.saturating_add(more), more, false);
            return;
        }
        let (least, most) = FREE_PIECE_MARGINS;
        let bounds = (self.margin.saturating_mul(least), self.margin.saturating_mul(most));
        let piece = self.piece.saturating_mul(2).clamp(bounds.0, bounds.1);
        self.piece = piece.max(self.longest.saturating_mul(4));
        self.aside = self.before.saturating_add(self.piece);
        self.is_free = true;
    }
}

/// A draw under way.
type Asked = Pin<Box<dyn Future<Output = Result<Admitted, Refused>> + Send>>;

/// One thing of which pieces are set aside.
struct Kind {
    budget: Budget,
    draw: Draw,
    /// How much of it is set aside.
    aside: fn(&Admitted) -> u64,
    asked: Option<Asked>,
    /// Whether it was asked for because the run can't go on without.
    in_need: bool,
}

/// What is known of the fuel that a guest burns.
#[derive(Debug, Default)]
pub(super) struct Burnt {
    /// So much of it was seen to be gone.
    seen: AtomicU64,
    /// How often that was looked at.
    looks: AtomicU64,
}

impl Burnt {
    /// So much is gone, but for less than a step.
    pub(super) fn see(&self, fuel: u64) {
        self.seen.store(fuel, Ordering::Relaxed);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a guest stood when its fuel was last looked at.
#[derive(Debug, Default)]
struct Look {
    looks: u64,
    /// Steps since then.
    steps: u64,
    /// On a processor then, in nanoseconds.
    nanos: u64,
}

impl Look {
    /// What may be burnt at most when another step begins.
    fn most(&mut self, burnt: &Burnt, nanos: u64) -> u64 {
        let looks = burnt.looks.load(Ordering::Relaxed);
        if self.looks != looks {
            *self = Self { looks, steps: 0, nanos };
        }
        let since = nanos.saturating_sub(self.nanos).saturating_mul(MOST_FUEL_A_NANO);
        let since = since.min(self.steps.saturating_mul(FUEL_STEP));
        burnt.seen.load(Ordering::Relaxed).saturating_add(since).saturating_add(FUEL_STEP)
    }
}

/// A call that is polled only within what is set aside for it.
pub(super) struct Frugal<F> {
    call: Pin<Box<F>>,
    tab: Option<Arc<Tab>>,
    polled: Arc<Polled>,
    burnt: Arc<Burnt>,
    look: Look,
    cpu: Option<Kind>,
    fuel: Option<Kind>,
}

impl<F> Frugal<F> {
    /// Holds `call` to what its tab has for it. Without one it is free.
    pub(super) fn new(
        call: F,
        tab: Option<&Arc<Tab>>,
        polled: &Arc<Polled>,
        burnt: &Arc<Burnt>,
    ) -> Self {
        let kind = |key, draw, aside: fn(&Admitted) -> u64, margin| {
            let tab = tab.filter(|tab| tab.has(key))?;
            let budget = Budget::new(aside(&tab.admitted()), margin);
            Some(Kind { budget, draw, aside, asked: None, in_need: false })
        };
        let (cpu, fuel) =
            (Draw { cpu: true, ..Draw::default() }, Draw { fuel: true, ..Draw::default() });
        let cpu_nanos = |admitted: &Admitted| admitted.cpu_ms.saturating_mul(1_000_000);
        Self {
            call: Box::pin(call),
            tab: tab.cloned(),
            polled: Arc::clone(polled),
            burnt: Arc::clone(burnt),
            look: Look::default(),
            cpu: kind(QuotaKey::CpuPerHour, cpu, cpu_nanos, nanos(CPU_MARGIN)),
            fuel: kind(QuotaKey::FuelPerHour, fuel, |admitted| admitted.fuel, FUEL_MARGIN),
        }
    }
}

impl Kind {
    /// Ready when the next step may be taken.
    fn poll_next(
        &mut self,
        used: u64,
        tab: &Arc<Tab>,
        context: &mut Context<'_>,
    ) -> Poll<wasmtime::Result<()>> {
        loop {
            if let Some(asked) = &mut self.asked
                && let Poll::Ready(answer) = asked.as_mut().poll(context)
            {
                self.asked = None;
                match answer {
                    Ok(admitted) => self.budget.given((self.aside)(&admitted)),
                    Err(Refused::UsedUp(used_up)) if self.in_need => {
                        return Poll::Ready(Err(OutOfQuota(used_up).into()));
                    }
                    // What it has it may use; then it is asked once more.
                    Err(Refused::UsedUp(used_up)) => self.budget.refused = Some(used_up),
                    Err(Refused::Fenced) => return Poll::Ready(Err(Lapsed.into())),
                }
            }
            let next = self.budget.next(used);
            match (next, &self.asked) {
                (Next::Go, _) | (Next::GoAndAsk, Some(_)) => return Poll::Ready(Ok(())),
                (Next::Ask, Some(_)) => return Poll::Pending,
                (Next::GoAndAsk | Next::Ask, None) => {
                    self.in_need = next == Next::Ask;
                    let (tab, draw) = (Arc::clone(tab), self.draw);
                    self.asked = Some(Box::pin(async move { tab.draw(draw).await }));
                }
            }
        }
    }
}

impl<T, F: Future<Output = wasmtime::Result<T>>> Future for Frugal<F> {
    type Output = wasmtime::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { call, tab, polled, burnt, look, cpu, fuel } = &mut *self;
        if let Some(tab) = tab {
            let cpu_used = nanos(polled.cpu());
            let used = [(cpu, cpu_used), (fuel, look.most(burnt, cpu_used))];
            for (kind, used) in used {
                let Some(kind) = kind else { continue };
                match kind.poll_next(used, tab, context) {
                    Poll::Ready(Ok(())) => (),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            look.steps += 1;
        }
        call.as_mut().poll(context)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn another_piece_is_asked_for_ahead_and_no_step_begins_that_could_go_over() {
        let mut budget = Budget::new(20, 4);
        assert_eq!((budget.next(0), budget.next(3)), (Next::Go, Next::Go));
        let far = [6, 9, 10, 11, 14, 16].map(|used| budget.next(used));
        assert_eq!(far[..3], [Next::Go; 3]);
        assert_eq!(far[3..], [Next::GoAndAsk; 3]);
        assert_eq!(budget.next(17), Next::Ask, "three are left, and a step may take four");
        budget.given(40);
        assert_eq!((budget.next(20), budget.next(24)), (Next::Go, Next::Go));
        assert_eq!((budget.next(29), budget.next(34)), (Next::Go, Next::GoAndAsk));
        assert_eq!(budget.next(36), Next::Ask, "a step took five");
    }

    #[test]
    fn what_is_there_is_used_when_there_is_no_more() {
        let used_up = UsedUp {
            key: QuotaKey::CpuPerHour,
            limit: 20,
            frees_at: Timestamp::from_micros(3_600_000_000),
        };
        let mut budget = Budget::new(20, 4);
        assert_eq!((budget.next(4), budget.next(8)), (Next::Go, Next::Go));
        assert_eq!(budget.next(12), Next::GoAndAsk);
        budget.refused = Some(used_up);
        assert_eq!((budget.next(15), budget.next(17)), (Next::Go, Next::Ask));
        budget.given(25);
        assert_eq!((budget.next(17), budget.refused), (Next::Go, None));
    }

    #[test]
    fn of_fuel_the_most_is_taken_that_may_be_burnt_since_it_was_looked_at() {
        let (burnt, mut look) = (Burnt::default(), Look::default());
        assert_eq!(look.most(&burnt, 0), FUEL_STEP);
        look.steps = 3;
        assert_eq!(look.most(&burnt, 1_000_000), 4 * FUEL_STEP, "no more than a step in each");
        assert_eq!(look.most(&burnt, 1_000), FUEL_STEP + 64_000, "nor than a processor can");
        burnt.see(5 * FUEL_STEP);
        assert_eq!(look.most(&burnt, 1_000_000), 6 * FUEL_STEP);
    }

    #[test]
    fn a_piece_smaller_than_the_margin_lets_nothing_begin() {
        let mut budget = Budget::new(3, 4);
        assert_eq!(budget.next(0), Next::Ask);
        budget.given(6);
        assert_eq!(budget.next(1), Next::Go);
        assert_eq!(budget.next(3), Next::Ask);
    }

    #[test]
    fn where_the_store_knows_of_no_quota_it_is_asked_again_after_each_piece_until_it_does() {
        let mut budget = Budget::new(0, 4);
        assert_eq!(budget.next(0), Next::Ask);
        budget.given(0);
        assert_eq!([4, 8, 12, 16].map(|used| budget.next(used)), [Next::Go; 4]);
        assert_eq!(budget.next(20), Next::GoAndAsk);
        budget.given(0);
        assert_eq!(budget.next(24), Next::Go);
        // Now it does.
        budget.given(20);
        assert_eq!((budget.next(28), budget.next(36)), (Next::Go, Next::GoAndAsk));
        assert_eq!(budget.next(41), Next::Ask);
        budget.given(40);
        assert_eq!(budget.next(41), Next::Go);
        // However long a step was, the next one may begin.
        assert_eq!(budget.next(100_000), Next::Ask);
        budget.given(40);
        assert_eq!(budget.next(100_000), Next::Go);
    }
}
