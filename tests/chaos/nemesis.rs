//! What is done to hosts, store and wires, and when: all of it follows from a seed.

use std::time::Duration;

use crate::support::proxy::{Faults, Way};

/// The time between two disturbances, on average.
const PACE: Duration = Duration::from_millis(2_500);
/// The first disturbance comes after this.
const CALM: Duration = Duration::from_secs(3);

/// What may be disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// So many hosts.
    pub hosts: usize,
    /// Their leases.
    pub ttl: Duration,
    /// They share a Redis server, over a wire each.
    pub redis: bool,
}

/// Something that is done at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Kill(usize),
    Start(usize),
    Freeze(usize),
    Thaw(usize),
    KillRedis,
    StartRedis,
    FreezeRedis,
    ThawRedis,
    /// What is wrong with a host's wire from now on.
    Wire(usize, Faults),
    /// Its connections are closed.
    Cut(usize),
    /// Its connections are half open until the wire is healed.
    HalfOpen(usize),
}

/// A disturbance: it is done and, later, undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: Duration,
    pub deed: Deed,
    pub until: Duration,
    pub undo: Option<Deed>,
}

impl Event {
    /// One word for what is disturbed.
    pub fn kind(&self) -> &'static str {
        match self.deed {
            Deed::Kill(_) | Deed::Start(_) => "kill",
            Deed::Freeze(_) | Deed::Thaw(_) => "freeze",
            Deed::KillRedis | Deed::StartRedis | Deed::FreezeRedis | Deed::ThawRedis => "redis",
            Deed::Wire(..) | Deed::Cut(_) | Deed::HalfOpen(_) => "wire",
        }
    }
}

/// Disturbances for so long, in order. Two of the same thing never overlap: what is down can't be
/// killed, and a wire has one fault at a time.
pub fn plan(seed: u64, reach: Reach, length: Duration) -> Vec<Event> {
    let mut dice = Dice(seed);
    let mut events: Vec<Event> = Vec::new();
    let mut at = CALM;
    loop {
        // Uniform from nothing to twice the pace: bursts, and pauses in which all can settle.
        at += PACE.mul_f64(dice.share() * 2.0);
        if at >= length {
            return events;
        }
        let event = event(&mut dice, reach, at);
        let free = events.iter().all(|other| other.until < at || !clash(other, &event));
        if free {
            events.push(event);
        }
    }
}

/// Whether two disturbances are about the same process or wire.
fn clash(one: &Event, other: &Event) -> bool {
    let subject = |deed: &Deed| match deed {
        Deed::Kill(host) | Deed::Start(host) | Deed::Freeze(host) | Deed::Thaw(host) => {
            ("host", *host)
        }
        Deed::KillRedis | Deed::StartRedis | Deed::FreezeRedis | Deed::ThawRedis => ("redis", 0),
        Deed::Wire(host, _) | Deed::Cut(host) | Deed::HalfOpen(host) => ("wire", *host),
    };
    subject(&one.deed) == subject(&other.deed)
}

fn event(dice: &mut Dice, reach: Reach, at: Duration) -> Event {
    let host = dice.below(reach.hosts);
    let choices = if reach.redis { 12 } else { 6 };
    let (deed, length, undo) = match dice.below(choices) {
        0..=2 => (Deed::Kill(host), dice.between(0.05, 4.0), Some(Deed::Start(host))),
        3..=5 => {
            let ttl = reach.ttl.as_secs_f64();
            (Deed::Freeze(host), dice.between(0.5 * ttl, 3.0 * ttl), Some(Deed::Thaw(host)))
        }
        6..=7 => (Deed::KillRedis, dice.between(0.05, 5.0), Some(Deed::StartRedis)),
        8 => (Deed::FreezeRedis, dice.between(0.1, 5.0), Some(Deed::ThawRedis)),
        9 => (Deed::Cut(host), Duration::ZERO, None),
        _ => {
            let length = dice.between(0.2, 8.0);
            let heal = Some(Deed::Wire(host, Faults::default()));
            (wire(dice, host), length, heal)
        }
    };
    Event { at, deed, until: at + length, undo }
}

/// One of the ways in which a wire is bad.
fn wire(dice: &mut Dice, host: usize) -> Deed {
    let none = Faults::default();
    let faults = match dice.below(7) {
        0 => Faults { latency: dice.between(0.02, 0.2), jitter: dice.between(0.0, 0.2), ..none },
        1 => Faults { latency: dice.between(0.5, 1.5), ..none },
        2 => Faults { refuse: true, ..none },
        3 => Faults { replies: Way::Lost, ..none },
        4 => Faults { requests: Way::Held, ..none },
        5 => Faults { requests: Way::Held, replies: Way::Held, ..none },
        _ => return Deed::HalfOpen(host),
    };
    Deed::Wire(host, faults)
}

/// SplitMix64: a seed means the same for ever, whatever library is in fashion.
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 to less than 1.
    fn share(&mut self) -> f64 {
        f64::from((self.next() >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
    }

    /// A whole number less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn between(&mut self, least: f64, most: f64) -> Duration {
        Duration::from_secs_f64(least + (most - least) * self.share())
    }
}

#[test]
fn a_seed_gives_one_plan() {
    let reach = Reach { hosts: 3, ttl: Duration::from_secs(3), redis: true };
    let length = Duration::from_secs(600);
    let one = plan(7, reach, length);
    assert_eq!(one, plan(7, reach, length));
    assert_ne!(one, plan(8, reach, length));
    for kind in ["kill", "freeze", "redis", "wire"] {
        let count = one.iter().filter(|event| event.kind() == kind).count();
        assert!(count >= 10, "{count} of {kind}");
    }
    assert!(one.is_sorted_by_key(|event| event.at));
    for (index, event) in one.iter().enumerate() {
        let meanwhile = one[..index].iter().filter(|other| other.until >= event.at);
        assert!(meanwhile.clone().all(|other| !clash(other, event)), "{event:?}: {meanwhile:?}");
    }
    let alone = plan(7, Reach { hosts: 1, redis: false, ..reach }, length);
    assert!(alone.iter().all(|event| ["kill", "freeze"].contains(&event.kind())), "{alone:?}");
}
