//! Counts the time of a future's polls: the processor's, by the thread's own clock, and the wall's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The time of all polls so far, in nanoseconds.
#[derive(Default)]
pub(super) struct Polled {
    cpu: AtomicU64,
    wall: AtomicU64,
}

impl Polled {
    /// On a processor.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// From start to end of each.
    pub(super) fn wall(&self) -> Duration {
        Duration::from_nanos(self.wall.load(Ordering::Relaxed))
    }
}

/// A future that adds the time of its polls to a counter.
pub(super) struct CpuMeter<F> {
    inner: Pin<Box<F>>,
    polled: Arc<Polled>,
}

impl<F: Future> CpuMeter<F> {
    /// Counts `inner`'s time into `polled`.
    pub(super) fn new(inner: F, polled: Arc<Polled>) -> Self {
        Self { inner: Box::pin(inner), polled }
    }
}

impl<F: Future> Future for CpuMeter<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let (start, began) = (thread_nanos(), Instant::now());
        let answer = self.inner.as_mut().poll(context);
        let Polled { cpu, wall } = &*self.polled;
        cpu.fetch_add(thread_nanos().saturating_sub(start), Ordering::Relaxed);
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        wall.fetch_add(nanos, Ordering::Relaxed);
        answer
    }
}

fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    secs * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
