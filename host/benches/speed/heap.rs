//! Counts what is allocated, while it is asked to.

#![expect(unsafe_code, reason = "an allocator is asked for memory in no other way")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

#[global_allocator]
static HEAP: Counted = Counted;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// Bytes allocated less bytes freed while counting.
static BYTES: AtomicI64 = AtomicI64::new(0);

/// Bytes that `work` leaves allocated, as they were asked for: what the allocator itself adds to
/// each piece is not in it. Whatever other threads do meanwhile counts too.
pub fn bytes_kept<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let before = BYTES.load(Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let made = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    (made, BYTES.load(Ordering::Relaxed) - before)
}

/// The system's allocator with a counter, which costs one look at a flag when nobody counts.
struct Counted;

fn count(added: usize, freed: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        let added = i64::try_from(added).unwrap_or(i64::MAX);
        let freed = i64::try_from(freed).unwrap_or(i64::MAX);
        BYTES.fetch_add(added - freed, Ordering::Relaxed);
    }
}

// SAFETY: hands every call on as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}
