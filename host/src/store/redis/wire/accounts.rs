//! What tenants have, and may have, as the scripts keep it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unreadable;
use crate::job::names::{QueueName, TenantId};
use crate::job::quota::{Allotment, QuotaKey};
use crate::record::account::{Account, Allotments, Draw, Drawn, UsedUp, Windows};
use crate::run::RunKey;
use crate::run::admitted::Admitted;
use crate::run::id::{Fence, RunId};
use crate::store::Result;
use crate::time::Timestamp;

#[derive(Serialize)]
pub(in crate::store::redis) struct AllotArgs<'a> {
    by: &'a str,
    version: i64,
    tenants: Vec<(&'a TenantId, AllotmentRow)>,
    queues: &'a BTreeMap<QueueName, u64>,
}

#[derive(Serialize)]
struct AllotmentRow {
    weight: u32,
    limits: BTreeMap<&'static str, u64>,
    /// The limits in words.
    shown: BTreeMap<&'static str, String>,
    has_windows: bool,
}

impl AllotmentRow {
    fn of(Allotment { quota, weight }: &Allotment) -> Self {
        Self {
            weight: *weight,
            limits: quota.iter().map(|(key, limit)| (key.as_str(), limit)).collect(),
            shown: quota.iter().map(|(key, limit)| (key.as_str(), key.show(limit))).collect(),
            has_windows: quota.has_windows(),
        }
    }
}

impl<'a> AllotArgs<'a> {
    pub(in crate::store::redis) fn new(by: &'a str, allotments: &'a Allotments) -> Self {
        let tenants = allotments.tenants.iter();
        Self {
            by,
            version: allotments.version,
            tenants: tenants.map(|(tenant, of)| (tenant, AllotmentRow::of(of))).collect(),
            queues: &allotments.queues,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct AllotAnswer {
    pub(in crate::store::redis) counts: bool,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct DrawArgs<'a> {
    run: RunId,
    tenant: &'a TenantId,
    fence: Fence,
    cpu: bool,
    fuel: bool,
    http: u64,
    http_bytes: u64,
}

impl<'a> DrawArgs<'a> {
    pub(in crate::store::redis) fn new(run: &'a RunKey, fence: Fence, draw: Draw) -> Self {
        let Draw { cpu, fuel, http, http_bytes } = draw;
        Self { run: run.run, tenant: &run.tenant, fence, cpu, fuel, http, http_bytes }
    }
}

/// What is set aside by now, or what there is no more of.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::store::redis) struct DrawAnswer {
    admitted: Admitted,
    used_up: Option<(QuotaKey, u64, Timestamp)>,
}

impl From<DrawAnswer> for Drawn {
    fn from(answer: DrawAnswer) -> Self {
        match answer.used_up {
            None => Self::Given(answer.admitted),
            Some((key, limit, frees_at)) => Self::UsedUp(UsedUp { key, limit, frees_at }),
        }
    }
}

/// An account as it is kept: its numbers one after another, those of windows once there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store::redis) struct AccountRow {
    pub(in crate::store::redis) account: Account,
    /// Runs that may begin.
    pub(in crate::store::redis) ready: u64,
    /// Whether anything was counted by windows.
    pub(in crate::store::redis) has_windows: bool,
}

impl AccountRow {
    pub(in crate::store::redis) fn read(packed: &[u8]) -> Result<Self> {
        let mut rest = rmp_serde::Deserializer::new(packed);
        let (mut numbers, mut count) = ([0_u64; 15], 0);
        for place in &mut numbers {
            if rest.get_ref().is_empty() {
                break;
            }
            let number = Deserialize::deserialize(&mut rest);
            *place = number.map_err(|error| unreadable("an account", error))?;
            count += 1;
        }
        let [running, memory, live, ready, tag, mean_us, minute, runs, hour, cpu_ms, rest @ ..] =
            numbers;
        let [fuel, http, http_bytes, cpu_aside_ms, fuel_aside] = rest;
        let time = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        let (minute, hour) = (time(minute), time(hour));
        let windows = Windows { minute, runs, hour, cpu_ms, fuel, http, http_bytes };
        let account =
            Account { running, memory, live, windows, cpu_aside_ms, fuel_aside, tag, mean_us };
        Ok(Self { account, ready, has_windows: 6 < count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_with_and_without_windows() {
        let packed = |numbers: std::ops::Range<u64>| -> Vec<u8> {
            numbers.flat_map(|number| rmp_serde::to_vec(&(number * 1_000)).unwrap()).collect()
        };
        let row = AccountRow::read(&packed(1..7)).unwrap();
        assert_eq!((row.account.running, row.ready, row.account.mean_us), (1_000, 4_000, 6_000));
        assert!(!row.has_windows);
        let row = AccountRow::read(&packed(1..16)).unwrap();
        assert_eq!((row.account.windows.minute, row.account.fuel_aside), (7_000, 15_000));
        assert!(row.has_windows);
    }
}
