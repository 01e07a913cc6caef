//! Addresses from which somebody guesses tokens, and how long they are not heard. Pure: takes `now`.
//!
//! A secret has 256 bits, so nobody guesses one; the bound keeps logs and processors free of those
//! who try.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Timestamp;

/// Wrong tokens from one address within [`WINDOW`] until it is not heard any more.
pub const MAX_FAILURES: u32 = 10;
/// What wrong tokens are counted in.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long an address is not heard then.
pub const PENALTY: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that the one that failed longest ago is forgotten.
pub const MAX_ADDRESSES: usize = 10_000;
/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it.
const NETWORK_BITS: u32 = 64;

/// Who failed how often.
#[derive(Debug, Default)]
pub struct Penalties(HashMap<IpAddr, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    /// When the first of them was.
    since: Timestamp,
    last: Timestamp,
    count: u32,
}

impl Penalties {
    /// How long `address` is not heard from `now` on; `None`: it is.
    pub fn left(&self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        let failures = self.0.get(&network(address))?;
        // A clock that was set back must not make a penalty longer.
        let is_held = MAX_FAILURES <= failures.count && failures.last <= now;
        let end = failures.last.after(PENALTY);
        (is_held && now < end).then(|| end.since(now))
    }

    /// Notes a wrong token.
    pub fn failed(&mut self, address: IpAddr, now: Timestamp) {
        let address = network(address);
        let fresh = Failures { since: now, last: now, count: 0 };
        if !self.0.contains_key(&address) && MAX_ADDRESSES <= self.0.len() {
            self.make_room(now);
        }
        let failures = self.0.entry(address).or_insert(fresh);
        if failures.is_over(now) {
            *failures = fresh;
        }
        failures.last = now;
        failures.count = failures.count.saturating_add(1);
    }

    fn make_room(&mut self, now: Timestamp) {
        self.0.retain(|_, failures| !failures.is_over(now));
        if MAX_ADDRESSES <= self.0.len()
            && let Some(oldest) = self.0.iter().min_by_key(|(_, it)| it.last).map(|(at, _)| *at)
        {
            self.0.remove(&oldest);
        }
    }
}

impl Failures {
    /// Whether nothing of them counts any more.
    fn is_over(&self, now: Timestamp) -> bool {
        let held = if MAX_FAILURES <= self.count { self.last.after(PENALTY) } else { self.last };
        now < self.last || (self.since.after(WINDOW) <= now && held <= now)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_ten_failures_within_a_minute_an_address_is_not_heard_for_one() {
        let mut penalties = Penalties::default();
        for second in 0..9 {
            penalties.failed(ip("10.0.0.1"), at(second));
        }
        assert_eq!(penalties.left(ip("10.0.0.1"), at(9)), None);
        penalties.failed(ip("10.0.0.1"), at(9));
        for (now, left) in [(9, Some(60)), (60, Some(9)), (68, Some(1)), (69, None), (8, None)] {
            let left = left.map(Duration::from_secs);
            assert_eq!(penalties.left(ip("10.0.0.1"), at(now)), left, "{now}");
        }
        assert_eq!(penalties.left(ip("10.0.0.2"), at(9)), None);
        // After it all is forgotten.
        penalties.failed(ip("10.0.0.1"), at(69));
        assert_eq!(penalties.left(ip("10.0.0.1"), at(69)), None);
    }

    #[test]
    fn failures_that_are_far_apart_are_no_guessing() {
        let mut penalties = Penalties::default();
        for minute in 0..100 {
            for second in 0..9 {
                penalties.failed(ip("::1"), at(60 * minute + second));
            }
            assert_eq!(penalties.left(ip("::1"), at(60 * minute + 9)), None, "{minute}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_within_ipv6_is_ipv4() {
        let mut penalties = Penalties::default();
        for last in 0..10 {
            penalties.failed(ip(&format!("2001:db8::{last}")), at(0));
            penalties.failed(ip("::ffff:10.0.0.1"), at(0));
        }
        assert!(penalties.left(ip("2001:db8::ffff"), at(0)).is_some());
        assert!(penalties.left(ip("10.0.0.1"), at(0)).is_some());
        assert!(penalties.left(ip("2001:db8:0:1::1"), at(0)).is_none());
    }

    #[test]
    fn so_many_addresses_are_remembered_and_no_more() {
        let mut penalties = Penalties::default();
        for _ in 0..10 {
            penalties.failed(ip("192.0.2.1"), at(1));
        }
        for number in 0..MAX_ADDRESSES as u32 {
            penalties.failed(IpAddr::from(number.to_be_bytes()), at(2));
        }
        assert_eq!(penalties.0.len(), MAX_ADDRESSES);
        assert!(penalties.left(ip("192.0.2.1"), at(2)).is_none(), "the oldest was forgotten");
        // What is over goes first.
        penalties.failed(ip("192.0.2.2"), at(1_000));
        assert_eq!(penalties.0.len(), 1);
    }
}
