//! What the tests stand on: real components, the real binary, one way to wait.

pub mod faulty;
pub mod guests;
pub mod hooked;
pub mod host;
pub mod line;
pub mod mutants;
pub mod ports;
pub mod proxy;
pub mod redis;
pub mod reports;
pub mod requests;
pub mod told;
pub mod web;

use std::time::{Duration, Instant};

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again and again until `look` gives something, for 30 s at most. A [`host::Host`] of the test
/// that waited in vain tells how it was.
///
/// # Panics
///
/// Nothing came; `what` says what was awaited.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The same, where looking has to be awaited.
///
/// # Panics
///
/// As [`eventually`].
pub async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
