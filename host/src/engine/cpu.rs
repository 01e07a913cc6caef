//! Counts the processor time of a future: the thread's own clock, summed over its polls.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use rustix::time::{ClockId, clock_gettime};

/// A future that adds the time of its polls to a counter.
pub(super) struct CpuMeter<F> {
    inner: Pin<Box<F>>,
    nanos: Arc<AtomicU64>,
}

impl<F: Future> CpuMeter<F> {
    /// Counts `inner`'s time in nanoseconds into `nanos`.
    pub(super) fn new(inner: F, nanos: Arc<AtomicU64>) -> Self {
        Self { inner: Box::pin(inner), nanos }
    }
}

impl<F: Future> Future for CpuMeter<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = thread_nanos();
        let polled = self.inner.as_mut().poll(context);
        self.nanos.fetch_add(thread_nanos().saturating_sub(start), Ordering::Relaxed);
        polled
    }
}

fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    secs * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
