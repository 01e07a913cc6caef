//! Threads that are less important than the scheduler's.

/// Makes the calling thread so much nicer. On Linux a thread has a priority of its own; elsewhere
/// all share the host's.
#[cfg(target_os = "linux")]
pub fn lower_priority(nice: i32) {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), nice) {
        tracing::debug!(%error, "a thread keeps the host's priority");
    }
}

/// Elsewhere all threads share the host's priority.
#[cfg(not(target_os = "linux"))]
pub fn lower_priority(_nice: i32) {}
