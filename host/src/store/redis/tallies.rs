//! Whether accounts say what the live runs have.

use std::collections::{BTreeMap, BTreeSet};

use super::checkup::{Found, Standing};
use super::reader::Reader;
use super::wire::{AccountRow, LiveRow};
use crate::store::Result;

/// What the live runs have of what tenants and queues may have.
#[derive(Default)]
pub(super) struct Tallies {
    /// By tenant. Windows, tags and means are nothing that runs have.
    accounts: BTreeMap<String, AccountRow>,
    /// Attempts under way by queue.
    running: BTreeMap<String, u64>,
}

impl Tallies {
    pub(super) fn add(&mut self, LiveRow { place, run, .. }: &LiveRow) {
        let row = self.accounts.entry(run.tenant.to_string()).or_default();
        row.account.live += 1;
        row.ready += u64::from(place == "ready");
        let Some(admitted) = run.admitted.filter(|_| place == "held") else { return };
        row.account.running += 1;
        row.account.memory += admitted.memory;
        row.account.cpu_aside_ms += admitted.cpu_ms;
        row.account.fuel_aside += admitted.fuel;
        *self.running.entry(run.queue.to_string()).or_default() += 1;
    }
}

impl Reader<'_> {
    /// Compares what is kept with the tallies of all live runs.
    pub(super) fn check_accounts(&self, found: &mut Found) -> Result<()> {
        let kept: BTreeMap<String, Vec<u8>> = self.ask(&self.command("HGETALL", "ACCOUNT"))?;
        let mut accounts = std::mem::take(&mut found.tallies.accounts);
        let mut turns: Vec<(String, Standing)> = Vec::new();
        for (tenant, packed) in kept {
            let row = match AccountRow::read(&packed) {
                Ok(row) => row,
                Err(error) => {
                    found.faults.push(format!("tenant {tenant}: {error}"));
                    continue;
                }
            };
            let turn = || format!("{:016x}{tenant}", row.account.tag);
            if 0 < row.ready {
                turns.push((format!("tenant {tenant}"), ("WAITING", turn())));
            }
            let counted = accounts.remove(&tenant).unwrap_or_default();
            found.compare(&tenant, &row, &counted);
        }
        for (tenant, counted) in accounts {
            found.compare(&tenant, &AccountRow::default(), &counted);
        }
        self.look_for(turns, found)?;
        let kept: BTreeMap<String, u64> = self.ask(&self.command("HGETALL", "RUNNING"))?;
        let counted = std::mem::take(&mut found.tallies.running);
        let queues: BTreeSet<&String> = kept.keys().chain(counted.keys()).collect();
        for queue in queues {
            let said = kept.get(queue).copied().unwrap_or(0);
            let is = counted.get(queue).copied().unwrap_or(0);
            if said != is {
                found.faults.push(format!(
                    "queue {queue}: {said} attempts are said to be under way, and {is} are"
                ));
            }
        }
        Ok(())
    }
}

impl Found {
    fn compare(&mut self, tenant: &str, kept: &AccountRow, counted: &AccountRow) {
        let numbers = |row: &AccountRow| {
            [
                ("running", row.account.running),
                ("memory", row.account.memory),
                ("live", row.account.live),
                ("ready", row.ready),
                ("cpu_aside_ms", row.account.cpu_aside_ms),
                ("fuel_aside", row.account.fuel_aside),
            ]
        };
        for ((name, kept), (_, counted)) in numbers(kept).into_iter().zip(numbers(counted)) {
            if kept != counted {
                self.faults.push(format!(
                    "tenant {tenant}: its account says `{name}` is {kept}, and its runs have {counted}"
                ));
            }
        }
    }
}
