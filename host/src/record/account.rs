//! What a tenant has of a fleet, and whether it may have more.
//!
//! A store keeps one [`Account`] a tenant and changes it in the very step that begins or ends an
//! attempt, so that no quota is passed however many hosts there are. What a run may use of the
//! hour's processor time and fuel is set aside piece by piece ([`PIECES`]) before it is used: what
//! was used and what is set aside never sum to more than the quota.
//!
//! Tenants are served by start-time fair queueing (Goyal, Vin, Cheng 1996): the one with the least
//! [`tag`](Account::tag) goes first, which grows by processor time over weight.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::names::{QueueName, TenantId};
use crate::job::quota::{Allotment, QuotaKey};
use crate::run::admitted::Admitted;
use crate::time::Timestamp;

/// A piece of a quota that is set aside for a run at a time: a part of so many.
pub const PIECES: u64 = 64;
/// Of processor time, milliseconds: a piece has so many at least and at most.
pub const CPU_PIECE_MS: (u64, u64) = (20, 10_000);
/// The same of fuel.
pub const FUEL_PIECE: (u64, u64) = (50_000_000, 50_000_000_000);
/// An hour with less of it left is used up: nothing that begins would come far.
pub const WORTH_MS: u64 = 10;
/// The same of fuel.
pub const WORTH_FUEL: u64 = 20_000_000;
/// What an attempt counts for at least in fair queueing, microseconds.
pub const LEAST_COST_US: u64 = 100;
/// Tags count tenths of a microsecond of a tenant with weight 1.
pub const TAGS_A_MICROSECOND: u64 = 10;

/// What all tenants and queues of a fleet may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allotments {
    /// Of two hosts' configurations the higher wins.
    pub version: i64,
    /// Tenants that have anything but the default.
    pub tenants: BTreeMap<TenantId, Allotment>,
    /// Runs at once, of queues for which that is limited.
    pub queues: BTreeMap<QueueName, u64>,
}

/// What was counted in the present windows of the clock, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// When the minute began, microseconds.
    pub minute: i64,
    /// Runs begun in it.
    pub runs: u64,
    /// When the hour began, microseconds.
    pub hour: i64,
    /// Used in it, milliseconds.
    pub cpu_ms: u64,
    /// Used in it.
    pub fuel: u64,
    /// Requests begun in it.
    pub http: u64,
    /// Bytes of bodies in it.
    pub http_bytes: u64,
}

/// What one tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Attempts under way.
    pub running: u64,
    /// The sum of their memory limits, bytes.
    pub memory: u64,
    /// Runs that are not over.
    pub live: u64,
    /// By windows of the clock.
    pub windows: Windows,
    /// Set aside for attempts under way and not yet booked, milliseconds.
    pub cpu_aside_ms: u64,
    /// The same of fuel.
    pub fuel_aside: u64,
    /// Its place among tenants that wait: the least goes first.
    pub tag: u64,
    /// What an attempt used of late, microseconds.
    pub mean_us: u64,
}

/// A quota that is used up until its window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// Which.
    pub key: QuotaKey,
    /// How much there is.
    pub limit: u64,
    /// When the next window begins.
    pub frees_at: Timestamp,
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, limit, frees_at } = self;
        let limit = key.show(*limit);
        write!(f, "the tenant has used up `quota.{key}` = {limit}; more is free from {frees_at} on")
    }
}

/// Whether an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Free,
    /// When another one has ended.
    Wait(QuotaKey),
    /// Not in this window of the clock.
    UsedUp(UsedUp),
}

/// More of a quota that an attempt wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// Whether it wants another piece of processor time set aside.
    pub cpu: bool,
    /// Whether it wants another piece of fuel set aside.
    pub fuel: bool,
    /// HTTP requests that it begins now.
    pub http: u64,
    /// Bytes of HTTP bodies that it will move, or has.
    pub http_bytes: u64,
}

/// The answer to a [`Draw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// All of it; so much is set aside for the attempt altogether now. Where there is no quota the
    /// numbers mean nothing.
    Given(Admitted),
    /// Nothing: there is no more of this.
    UsedUp(UsedUp),
}

impl Windows {
    /// These as they are at `now`: what belongs to a window that is over counts no more. A clock that
    /// was stepped back begins none anew.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let minute = begin(now, QuotaKey::RunsPerMinute);
        let hour = begin(now, QuotaKey::CpuPerHour);
        let mut windows = self;
        if self.minute < minute {
            (windows.minute, windows.runs) = (minute, 0);
        }
        if self.hour < hour {
            windows = Self { minute: windows.minute, runs: windows.runs, hour, ..Self::default() };
        }
        windows
    }

    /// How much of `key` was counted.
    pub fn used(&self, key: QuotaKey) -> u64 {
        match key {
            QuotaKey::RunsPerMinute => self.runs,
            QuotaKey::CpuPerHour => self.cpu_ms,
            QuotaKey::FuelPerHour => self.fuel,
            QuotaKey::HttpPerHour => self.http,
            QuotaKey::HttpBytesPerHour => self.http_bytes,
            _ => 0,
        }
    }

    /// When the present window of `key` ends.
    pub fn frees_at(&self, key: QuotaKey) -> Timestamp {
        let began = match key {
            QuotaKey::RunsPerMinute => self.minute,
            _ => self.hour,
        };
        Timestamp::from_micros(began).after(key.window().unwrap_or_default())
    }
}

/// When the window of `key` began that `now` lies in, microseconds.
fn begin(now: Timestamp, key: QuotaKey) -> i64 {
    let length = key.window().unwrap_or(Duration::from_secs(1)).as_micros();
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    now.micros().div_euclid(length) * length
}

/// The keys whose windows are asked about before a run begins, in this order.
const WINDOW_KEYS: [QuotaKey; 5] = [
    QuotaKey::RunsPerMinute,
    QuotaKey::CpuPerHour,
    QuotaKey::FuelPerHour,
    QuotaKey::HttpPerHour,
    QuotaKey::HttpBytesPerHour,
];

impl Account {
    /// Runs that wait.
    pub fn queued(&self) -> u64 {
        self.live.saturating_sub(self.running)
    }

    /// The first quota by windows that is used up at `now`. An attempt after the first is no new run.
    pub fn used_up(&self, allotment: &Allotment, is_first: bool, now: Timestamp) -> Option<UsedUp> {
        if !allotment.quota.has_windows() {
            return None;
        }
        let windows = self.windows.at(now);
        WINDOW_KEYS.into_iter().filter(|key| is_first || *key != QuotaKey::RunsPerMinute).find_map(
            |key| {
                let limit = allotment.quota.get(key)?;
                (limit < windows.used(key) + worth(key, limit)).then(|| UsedUp {
                    key,
                    limit,
                    frees_at: windows.frees_at(key),
                })
            },
        )
    }

    /// Whether an attempt with this memory limit may begin at `now`.
    pub fn judge(
        &self,
        allotment: &Allotment,
        memory: u64,
        is_first: bool,
        now: Timestamp,
    ) -> Admission {
        if let Some(used_up) = self.used_up(allotment, is_first, now) {
            return Admission::UsedUp(used_up);
        }
        let windows = self.windows.at(now);
        let worth = |key| worth(key, allotment.quota.get(key).unwrap_or(u64::MAX));
        use QuotaKey as Key;
        let would_be = [
            (Key::MaxRunning, self.running + 1),
            (Key::Memory, self.memory + memory_within(allotment, memory)),
            // What is set aside for others may come back.
            (Key::CpuPerHour, windows.cpu_ms + self.cpu_aside_ms + worth(Key::CpuPerHour)),
            (Key::FuelPerHour, windows.fuel + self.fuel_aside + worth(Key::FuelPerHour)),
        ];
        let over = |(key, sum): &(QuotaKey, u64)| {
            allotment.quota.get(*key).is_some_and(|limit| limit < *sum)
        };
        would_be
            .iter()
            .find(|it| over(it))
            .map_or(Admission::Free, |(key, _)| Admission::Wait(*key))
    }

    /// Whether no attempt may begin, whichever it is, until another one has ended. Not when something
    /// is used up: then runs get a verdict.
    pub fn must_wait(&self, allotment: &Allotment, now: Timestamp) -> bool {
        matches!(self.judge(allotment, 0, true, now), Admission::Wait(_))
    }

    /// An attempt begins.
    pub fn admit(
        &mut self,
        allotment: &Allotment,
        memory: u64,
        is_first: bool,
        now: Timestamp,
    ) -> Admitted {
        let mut admitted = Admitted {
            memory: memory_within(allotment, memory),
            cost_us: self.mean_us.max(LEAST_COST_US),
            ..Admitted::default()
        };
        self.running += 1;
        self.memory += admitted.memory;
        self.tag += tags(admitted.cost_us, allotment.weight);
        if allotment.quota.has_windows() {
            self.windows = self.windows.at(now);
            self.windows.runs += u64::from(is_first);
            admitted.cpu_ms = self.piece(allotment, QuotaKey::CpuPerHour);
            admitted.fuel = self.piece(allotment, QuotaKey::FuelPerHour);
            self.cpu_aside_ms += admitted.cpu_ms;
            self.fuel_aside += admitted.fuel;
        }
        admitted
    }

    /// The attempt that `admitted` was given has ended; it used so much, or nobody knows how much:
    /// then what was set aside counts as used.
    pub fn release(
        &mut self,
        allotment: &Allotment,
        admitted: Admitted,
        used: Option<(u64, u64)>,
        now: Timestamp,
    ) {
        self.running = self.running.saturating_sub(1);
        self.memory = self.memory.saturating_sub(admitted.memory);
        self.cpu_aside_ms = self.cpu_aside_ms.saturating_sub(admitted.cpu_ms);
        self.fuel_aside = self.fuel_aside.saturating_sub(admitted.fuel);
        let (cpu_ms, fuel) = used.unwrap_or((admitted.cpu_ms, admitted.fuel));
        let cost_us = cpu_ms.saturating_mul(1_000).max(LEAST_COST_US);
        let (before, after) =
            (tags(admitted.cost_us, allotment.weight), tags(cost_us, allotment.weight));
        self.tag = self.tag.saturating_add(after).saturating_sub(before);
        self.mean_us = (self.mean_us * 7 + cost_us) / 8;
        if allotment.quota.has_windows() {
            self.windows = self.windows.at(now);
            self.windows.cpu_ms += cpu_ms;
            self.windows.fuel += fuel;
        }
    }

    /// Takes more for an attempt under way: all that `draw` asks for, or nothing. Where nothing is
    /// limited by windows, nothing is counted.
    pub fn draw(
        &mut self,
        allotment: &Allotment,
        admitted: &mut Admitted,
        draw: Draw,
        now: Timestamp,
    ) -> Option<UsedUp> {
        let quota = &allotment.quota;
        if !quota.has_windows() {
            return None;
        }
        self.windows = self.windows.at(now);
        let cpu = if draw.cpu { self.piece(allotment, QuotaKey::CpuPerHour) } else { 0 };
        let fuel = if draw.fuel { self.piece(allotment, QuotaKey::FuelPerHour) } else { 0 };
        let is_over = |key, more: u64| {
            0 < more && quota.get(key).is_some_and(|limit| limit < self.windows.used(key) + more)
        };
        let is_out = |key, wanted, piece| wanted && piece == 0 && quota.get(key).is_some();
        let refused = [
            (QuotaKey::CpuPerHour, is_out(QuotaKey::CpuPerHour, draw.cpu, cpu)),
            (QuotaKey::FuelPerHour, is_out(QuotaKey::FuelPerHour, draw.fuel, fuel)),
            (QuotaKey::HttpPerHour, is_over(QuotaKey::HttpPerHour, draw.http)),
            (QuotaKey::HttpBytesPerHour, is_over(QuotaKey::HttpBytesPerHour, draw.http_bytes)),
        ];
        if let Some((key, _)) = refused.into_iter().find(|(_, is)| *is) {
            let limit = quota.get(key).unwrap_or(0);
            return Some(UsedUp { key, limit, frees_at: self.windows.frees_at(key) });
        }
        self.windows.http += draw.http;
        self.windows.http_bytes += draw.http_bytes;
        self.cpu_aside_ms += cpu;
        self.fuel_aside += fuel;
        admitted.cpu_ms += cpu;
        admitted.fuel += fuel;
        None
    }

    /// The next piece of a quota that can be set aside; 0 when nothing is left, or nothing limited.
    fn piece(&self, allotment: &Allotment, key: QuotaKey) -> u64 {
        let Some(limit) = allotment.quota.get(key) else { return 0 };
        let (aside, (least, most)) = match key {
            QuotaKey::CpuPerHour => (self.cpu_aside_ms, CPU_PIECE_MS),
            _ => (self.fuel_aside, FUEL_PIECE),
        };
        let left = limit.saturating_sub(self.windows.used(key)).saturating_sub(aside);
        (limit / PIECES).clamp(least, most).min(left)
    }
}

/// How much of a window must be left that something may begin.
fn worth(key: QuotaKey, limit: u64) -> u64 {
    let least = match key {
        QuotaKey::CpuPerHour => WORTH_MS,
        QuotaKey::FuelPerHour => WORTH_FUEL,
        _ => 1,
    };
    least.min(limit).max(1)
}

/// How far a tag grows.
fn tags(cost_us: u64, weight: u32) -> u64 {
    cost_us.saturating_mul(TAGS_A_MICROSECOND) / u64::from(weight.max(1))
}

/// A run's memory limit, within what its tenant may have.
pub fn memory_within(allotment: &Allotment, memory: u64) -> u64 {
    allotment.quota.get(QuotaKey::Memory).map_or(memory, |most| memory.min(most))
}
