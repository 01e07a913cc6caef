//! Ports that stay where they are, also while nobody listens on them.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives to outgoing connections: one of those could otherwise take the
/// port of a server that is down for a moment, or even connect to itself.
const FIRST: u16 = 12_000;
/// After the last.
const END: u16 = 32_000;

/// A port of this machine that nobody listens on, and that this process hands out once.
///
/// # Panics
///
/// All are taken.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = END - FIRST;
    // Processes that test at the same time begin at different places.
    let begin = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(span)).unwrap();
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = FIRST + (begin + step) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {END} is free");
}
