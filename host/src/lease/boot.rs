//! The clock that leases are judged by: it never goes back, and time asleep counts.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the clock that counts from the machine's start stands; sleep counts, and nobody sets it.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
/// Elsewhere the nearest thing: it may stand still while the machine sleeps.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Time since the machine's start.
pub fn now() -> Duration {
    let time = clock_gettime(CLOCK);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
