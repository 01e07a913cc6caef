//! Whether every list names exactly the records that belong into it.
//!
//! Each record's places are computed from it and looked for; that there are no more of them is seen
//! by counting. While hosts are at work, what changes between two questions looks like a fault.

use std::collections::{BTreeMap, HashSet};

use redis::pipe;

use super::reader::Reader;
use super::tallies::Tallies;
use super::wire::{self, LiveRow, Plan, RangeRow, job_name, job_of_name, run_name, sortable};
use super::{definitions, used};
use crate::run::id::Fence;
use crate::run::{Cause, Run};
use crate::store::Result;
use crate::store::embedded::export::Moving as _;
use crate::time::Timestamp;

/// Records read in one question.
const AT_ONCE: usize = 256;
/// Faults told at most.
const MAX_FAULTS: usize = 100;

/// Where a record should stand: the list, by its name in scripts, and as what.
pub(super) type Standing = (&'static str, String);

/// What has been found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) faults: Vec<String>,
    /// How many records stand in each list.
    counts: BTreeMap<&'static str, u64>,
    /// What the live runs have of what tenants and queues may have.
    pub(super) tallies: Tallies,
}

impl Found {
    fn check_fences(&mut self, run: &Run, last: Fence) {
        if run.attempts.iter().any(|attempt| last < attempt.fence) {
            let key = run.key();
            self.faults.push(format!("run {key}: it has a fence that was never given out"));
        }
    }
}

impl Reader<'_> {
    /// Everything that is wrong, in words.
    pub(super) fn check_lists(&self) -> Result<Vec<String>> {
        let mut found = Found::default();
        for lists in [
            &["JOB_LIVE", "READY", "LATER", "DEADLINE", "OWN"][..],
            &["BY_AGE", "LIVE_AGE", "JOB_RUN", "JOB_FIRE", "JOB_DONE", "JOB_BODY"],
            &["JOB", "DUE", "RANGE_JOB", "RANGE_AGE", "USED_BY", "USED_AGE", "WAITING"],
        ] {
            found.counts.extend(lists.iter().map(|list| (*list, 0)));
        }
        self.check_hash("PLAN", &mut found, |name, record, found| {
            let (plan, _) = Plan::read(record)?;
            let job = job_of_name(name.as_bytes())?;
            let mut standings = vec![("JOB", name.to_owned())];
            if due_key(&plan).is_some() {
                standings.push(("DUE", name.to_owned()));
            }
            let def = self.field("DEF", name)?.unwrap_or_default();
            if !def.starts_with(definitions::head_of(&plan).as_bytes()) {
                found.faults.push(format!("job {job}: its definition is missing or another's"));
            }
            Ok((format!("job {job}"), standings))
        })?;
        let (with_log, sessions) = (self.names_in("LINES")?, self.names_in("SES")?);
        let fence = self.fence()?;
        let mut runs = self.check_hash("LIVE", &mut found, |name, record, found| {
            let placed = LiveRow::read(record)?;
            let run = &placed.run;
            if name != run_name(&run.key()) {
                found.faults.push(format!("run {}: it is kept under another's key", run.key()));
            }
            if placed.holder.as_ref().is_some_and(|holder| !sessions.contains(holder)) {
                let key = run.key();
                found.faults.push(format!("run {key}: it is held by a session that is not there"));
            }
            found.check_fences(run, fence);
            found.tallies.add(&placed);
            Ok((format!("run {}", run.key()), standings_of_live(&placed)))
        })?;
        self.check_accounts(&mut found)?;
        runs.extend(self.check_hash("PAST", &mut found, |name, record, found| {
            let run: Run = wire::unpack(record)?;
            found.check_fences(&run, fence);
            Ok((format!("run {}", run.key()), standings_of_done(&run, with_log.contains(name))))
        })?);
        let lost = with_log.difference(&runs);
        found.faults.extend(lost.map(|run| format!("run {run}: there is a log of it, and no run")));
        self.check_hash("RANGE", &mut found, |_, record, _| {
            let row: RangeRow = wire::unpack(record)?;
            let jk = format!("{}\0{}\0", row.tenant, row.job);
            let by_fire = format!("{jk}{}{:016x}", sortable(row.range.last), row.id);
            let by_age = format!("{jk}{}{:016x}", sortable(row.noted_at), row.id);
            let standings = vec![("RANGE_JOB", by_fire), ("RANGE_AGE", by_age)];
            Ok((format!("range {} of job {}/{}", row.id, row.tenant, row.job), standings))
        })?;
        self.check_hash("USED", &mut found, |name, record, _| {
            let item = used::read_item(name, record)?;
            let (by_tenant, by_age) = used::keys_of(&item.bucket);
            let what = format!("what {} used in {}", item.bucket.tenant, item.bucket.hour);
            Ok((what, vec![("USED_BY", by_tenant), ("USED_AGE", by_age)]))
        })?;
        for (list, count) in &found.counts {
            let listed: u64 = self.ask(&self.command("ZCARD", list))?;
            if listed != *count {
                let key = self.command("ZCARD", list);
                let key = key.args_iter().nth(1).map(shown_arg).unwrap_or_default();
                found.faults.push(format!(
                    "the list `{key}` has {listed} entries, and the records that belong into it are {count}"
                ));
            }
        }
        found.faults.truncate(MAX_FAULTS);
        Ok(found.faults)
    }

    /// The names of all fields of a hash.
    fn names_in(&self, hash: &'static str) -> Result<HashSet<String>> {
        self.ask(&self.command("HKEYS", hash))
    }

    /// Looks at every record of a hash: whether it stands where it should. Answers their names.
    fn check_hash(
        &self,
        hash: &'static str,
        found: &mut Found,
        standings_of: impl Fn(&str, &[u8], &mut Found) -> Result<(String, Vec<Standing>)>,
    ) -> Result<HashSet<String>> {
        let (mut at, mut seen) = ("0".to_owned(), HashSet::new());
        loop {
            let ask = self.command("HSCAN", hash).arg(&at).arg("COUNT").arg(AT_ONCE).clone();
            let (next, rows): (String, Vec<(String, Vec<u8>)>) = self.ask(&ask)?;
            let mut looked_for = Vec::new();
            for (name, record) in &rows {
                // A scan may come upon a record twice.
                if !seen.insert(name.clone()) {
                    continue;
                }
                match standings_of(name, record, found) {
                    Ok((what, standings)) => {
                        let standings = standings.into_iter();
                        looked_for.extend(standings.map(|standing| (what.clone(), standing)));
                    }
                    Err(error) => found.faults.push(format!("{}: {error}", name.escape_debug())),
                }
            }
            self.look_for(looked_for, found)?;
            if next == "0" {
                return Ok(seen);
            }
            at = next;
        }
    }

    pub(super) fn look_for(
        &self,
        looked_for: Vec<(String, Standing)>,
        found: &mut Found,
    ) -> Result<()> {
        for some in looked_for.chunks(AT_ONCE) {
            let mut ask = pipe();
            for (_, (list, member)) in some {
                ask.add_command(self.command("ZSCORE", list).arg(member).clone());
            }
            let scores: Vec<Option<f64>> = self.ask_all(&ask)?;
            for ((what, (list, _)), score) in some.iter().zip(scores) {
                *found.counts.entry(list).or_default() += 1;
                if score.is_none() && found.faults.len() < MAX_FAULTS {
                    found.faults.push(format!("{what}: it is missing in the list {list}"));
                }
            }
        }
        Ok(())
    }
}

fn shown_arg(arg: redis::Arg<&[u8]>) -> String {
    match arg {
        redis::Arg::Simple(name) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

/// As the scripts say it.
fn due_key(plan: &Plan) -> Option<Timestamp> {
    match (&plan.parked, &plan.pause) {
        (Some(_), _) => None,
        (None, Some(pause)) => pause.until,
        (None, None) => plan.due_at,
    }
}

fn standings_of_run(run: &Run) -> Vec<Standing> {
    let jk = job_name(&run.job_key());
    let mut standings = vec![
        ("BY_AGE", age_place(run)),
        ("JOB_RUN", format!("{jk}\0{}{}", sortable(run.queued_at), run.id)),
    ];
    if run.cause == Cause::Schedule {
        standings.push(("JOB_FIRE", format!("{jk}\0{}{}", sortable(run.fire_time), run.id)));
    }
    standings
}

fn age_place(run: &Run) -> String {
    format!("{}{}", sortable(run.queued_at), run_name(&run.key()))
}

fn standings_of_live(LiveRow { place, holder, run }: &LiveRow) -> Vec<Standing> {
    let (rk, jk) = (run_name(&run.key()), job_name(&run.job_key()));
    let mut standings = standings_of_run(run);
    standings.push(("LIVE_AGE", age_place(run)));
    if run.start_by.is_some() && run.verdict.is_none() {
        standings.push(("DEADLINE", rk.clone()));
    }
    let (at, fire_time) = (sortable(run.queued_at), sortable(run.fire_time));
    let with_slot = format!("s{}", run.id);
    let live = match place.as_str() {
        "ready" => {
            let class = format!("{}/{}/{}", run.tenant, run.queue, run.plugin);
            let urgency = 9 - run.priority.min(9);
            standings.push(("READY", format!("{class}\0{urgency}{fire_time}{}", run.id)));
            with_slot
        }
        "held" => {
            let holder = holder.as_deref().unwrap_or_default();
            standings.push(("OWN", format!("{holder}{rk}")));
            with_slot
        }
        "put_off" => {
            standings.push(("LATER", rk));
            with_slot
        }
        "later" => {
            standings.push(("LATER", rk));
            if run.attempts.is_empty() { format!("z{}", run.id) } else { with_slot }
        }
        _ => format!("w{at}{fire_time}{}", run.id),
    };
    standings.push(("JOB_LIVE", format!("{jk}\0{}{live}", run.uid)));
    standings
}

fn standings_of_done(run: &Run, has_log: bool) -> Vec<Standing> {
    let mut standings = standings_of_run(run);
    let jk = job_name(&run.job_key());
    let end = run.finished_at.map(sortable).unwrap_or_default();
    let place = format!("{jk}\0{end}{}{}", sortable(run.queued_at), run.id);
    if run.args.is_some() || run.result.is_some() || has_log {
        standings.push(("JOB_BODY", place.clone()));
    }
    standings.push(("JOB_DONE", place));
    standings
}
