//! Why an instant stands as it stands, as JSON and in sentences.

use serde::{Deserialize, Serialize};

use super::job::PauseView;
use super::ledger::LedgerView;
use super::run::RunView;
use crate::job::Job;
use crate::job::names::{JobId, TenantId};
use crate::job::quota::QuotaKey;
use crate::run::outcome::Outcome;
use crate::run::{Reason, Run, RunState, Verdict, reason};
use crate::schedule::why::{Facts, Nearest, Standing};
use crate::status::SchedulerPause;
use crate::table::unit::show_duration;
use crate::time::Timestamp;

/// The chain from the trigger to the outcome, for one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The instant.
    pub at: Timestamp,
    /// Whether it is or was a fire time.
    pub fire_time: bool,
    /// Where it stands.
    pub standing: Standing,
    /// The chain in words, a sentence a step.
    pub says: Vec<String>,
    /// The last fire time of the trigger before it.
    pub previous: Option<Timestamp>,
    /// The first after it.
    pub next: Option<Timestamp>,
    /// Since when the job has its trigger.
    pub registered_at: Timestamp,
    /// The fire time plus jitter.
    pub due_at: Option<Timestamp>,
    /// What became of it.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Option<Reason>,
    /// What the ledger says of it, and perhaps of those beside it.
    pub entry: Option<LedgerView>,
    /// The run that it became, or that stands for it.
    pub run: Option<RunView>,
    /// The host of the first attempt.
    pub host: Option<String>,
    /// From `due_at` to the start of the first attempt, milliseconds.
    pub lateness_ms: Option<i64>,
    /// How the run ended.
    pub outcome: Option<Outcome>,
    /// Set while the job is paused.
    pub paused: Option<PauseView>,
    /// Set while the whole scheduler is paused.
    pub scheduler_paused: Option<SchedulerPause>,
    /// Runs that somebody asked for with this instant, newest first.
    pub asked_for: Vec<RunView>,
}

/// What is known about an instant, and who asks when.
pub struct Known<'a> {
    /// The instant.
    pub at: Timestamp,
    /// When it is asked.
    pub now: Timestamp,
    /// The job as a value.
    pub job: &'a Job,
    /// What is kept.
    pub facts: Facts<'a>,
    /// The run that stands for it, when it was coalesced.
    pub into: Option<&'a Run>,
    /// Whether a run of the job that waits now would find a host; `None`: that is not known.
    pub served: Option<bool>,
    /// Why the whole scheduler is paused.
    pub scheduler_pause: Option<&'a SchedulerPause>,
    /// Runs that somebody asked for.
    pub asked_for: &'a [Run],
}

impl WhyView {
    /// What is shown of it.
    pub fn of(known: &Known<'_>) -> Self {
        let Known { at, job, facts, .. } = *known;
        let schedule = facts.schedule;
        let anchor = schedule.trigger_state.anchor;
        let nearest = job.trigger.as_ref().map(|trigger| Nearest::of(trigger, anchor, at));
        let fire_time = facts.is_fire_time(at);
        let entry = facts.entry.filter(|_| fire_time);
        let run = facts.run.or(known.into);
        let first = run.and_then(|run| run.attempts.iter().find(|attempt| attempt.attempt == 1));
        let due_at = facts.run.map_or(at, |run| run.due_at);
        let late = |started: Timestamp| started.micros().saturating_sub(due_at.micros()) / 1_000;
        Self {
            job: schedule.key.job.clone(),
            tenant: schedule.key.tenant.clone(),
            at,
            fire_time,
            standing: facts.standing(at, known.now),
            says: says(known),
            previous: nearest.and_then(|nearest| nearest.previous),
            next: nearest.and_then(|nearest| nearest.next),
            registered_at: anchor,
            due_at: fire_time.then_some(due_at),
            verdict: facts.run.and_then(|run| run.verdict).or(entry.map(|entry| entry.verdict)),
            reason: facts
                .run
                .and_then(|run| run.shown_reason().cloned())
                .or_else(|| entry.map(|entry| entry.reason.clone())),
            entry: entry.map(LedgerView::of),
            run: run.map(RunView::of),
            host: first.map(|attempt| attempt.host.clone()),
            lateness_ms: first.map(|attempt| late(attempt.started_at)),
            outcome: run.and_then(|run| run.outcome),
            paused: schedule.pause.as_ref().map(PauseView::of),
            scheduler_paused: known.scheduler_pause.cloned(),
            asked_for: known.asked_for.iter().map(RunView::of).collect(),
        }
    }
}

fn says(known: &Known<'_>) -> Vec<String> {
    let mut says = vec![of_the_grid(known)];
    says.extend(of_the_standing(known));
    says.extend(of_the_verdict(known));
    if let Some(run) = known.facts.run.or(known.into) {
        of_the_run(run, &mut says);
    }
    for run in known.asked_for {
        let (cause, ended) = (format!("{:?}", run.cause).to_lowercase(), how(run));
        says.push(format!("run {} was asked for besides ({cause}) and {ended}", run.id));
    }
    says
}

/// Whether the trigger asks for it.
fn of_the_grid(known: &Known<'_>) -> String {
    let (at, id) = (known.at, &known.job.key.job);
    let Some(trigger) = &known.job.trigger else {
        return format!("job `{id}` has no trigger: it runs when somebody asks");
    };
    if known.facts.is_fire_time(at) {
        return format!("{at} is a fire time of job `{id}` (trigger: {})", trigger.kind());
    }
    let anchor = known.facts.schedule.trigger_state.anchor;
    let why = trigger.explain(anchor, at).why;
    let near = Nearest::of(trigger, anchor, at);
    format!("{at} is no fire time of job `{id}` (trigger: {}): {why}; {near}", trigger.kind())
}

/// What keeps it from having a verdict.
fn of_the_standing(known: &Known<'_>) -> Option<String> {
    let schedule = known.facts.schedule;
    let by_job = schedule.pause.as_ref().map(|pause| {
        let until = pause.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let why = if pause.why.is_empty() { String::new() } else { format!(" ({})", pause.why) };
        format!("the job is paused by {}{until}{why}", pause.by)
    });
    let by_all = known.scheduler_pause.map(|pause| {
        let why = if pause.why.is_empty() { String::new() } else { format!(" ({})", pause.why) };
        format!("the scheduler is paused by {} since {}{why}", pause.by, pause.since)
    });
    let parked = schedule.parked.as_deref().unwrap_or_default();
    let anchor = schedule.trigger_state.anchor;
    Some(match known.facts.standing(known.at, known.now) {
        Standing::NoFireTime | Standing::Decided => return None,
        Standing::BeforeRegistration => {
            format!("it had passed when the job got its trigger, at {anchor}: nothing was due")
        }
        Standing::NotYetDue => match by_job.or(by_all) {
            Some(paused) => format!("it is not yet due; {paused}"),
            None if schedule.parked.is_some() => {
                format!("it is not yet due; the job is parked: {parked}")
            }
            None => "it is not yet due".to_owned(),
        },
        Standing::Due => "it has just come due and is being decided".to_owned(),
        Standing::Paused => format!(
            "{}; it will be counted as `paused`, or be caught up with if that is asked for",
            by_job.unwrap_or_default()
        ),
        Standing::SchedulerPaused => {
            format!("{}; when it goes on, grace and coalescing decide", by_all.unwrap_or_default())
        }
        Standing::Parked => format!("the job is parked, so nothing is scheduled: {parked}"),
        Standing::Unscheduled => {
            "it passed while the job was not scheduled: nobody declared it then, or it was paused \
             or parked"
                .to_owned()
        }
        Standing::Queued => of_the_queue(known),
        Standing::Running => "its run is under way".to_owned(),
        Standing::Retrying => "its run failed and will be tried again".to_owned(),
        Standing::Forgotten => format!(
            "what became of it is older than what is kept (`history.max_age` is {})",
            show_duration(schedule.history.max_age)
        ),
        Standing::Fault => format!(
            "it has been due since {} and has no verdict and no run: that is a fault of the host",
            known.at
        ),
    })
}

/// What a queued run waits for.
fn of_the_queue(known: &Known<'_>) -> String {
    let run = known.facts.run;
    let (plugin, no_plugin) = (&known.job.plugin, Some(reason::NO_PLUGIN));
    let is_without = run.and_then(|run| run.reason.as_deref()) == no_plugin;
    match (known.served, run) {
        (Some(false), Some(run)) => {
            let end = run.start_by.as_ref().map(|start_by| start_by.at);
            let end = end.map(|end| format!("; it is given up at {end}")).unwrap_or_default();
            format!(
                "its run waits: no host that lives takes runs of plugin `{plugin}` from queue \
                 `{}`{end}",
                run.queue
            )
        }
        (None, _) if is_without => format!("its run waits: no plugin `{plugin}` is here"),
        (_, Some(run)) if run.reason.as_deref() == Some(reason::RATE_LIMIT) => {
            let rate = known.job.policy.rate_limit;
            let rate = rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
            let until = run.not_before.map(|at| format!(" until {at}")).unwrap_or_default();
            format!("its run waits{until}: as many began as `rate_limit` allows (now {rate})")
        }
        (_, _) => {
            "its run waits for a slot: of its host, or of its tenant's or queue's `max_running` or \
             `memory`"
                .to_owned()
        }
    }
}

/// Which policy decided, and for which others as well.
fn of_the_verdict(known: &Known<'_>) -> Option<String> {
    let Facts { run, entry, .. } = known.facts;
    let (verdict, reason) = match (run, entry) {
        (Some(run), _) => (run.verdict?, run.reason.clone().unwrap_or_default()),
        (None, Some(entry)) if known.facts.is_fire_time(known.at) => {
            (entry.verdict, entry.reason.clone())
        }
        (None, _) => return None,
    };
    let mut said = format!("verdict `{}`, reason `{reason}`", verdict.word());
    if let Some(words) = policy(known.job, verdict, &reason) {
        said.push_str(&format!(": {words}"));
    }
    if let Some(entry) = entry.filter(|entry| entry.count > 1) {
        let (count, first, last) = (entry.count, entry.first, entry.last);
        said.push_str(&format!(
            "; it is one of {count} fire times from {first} to {last} with that"
        ));
    }
    if let Some(into) = entry.and_then(|entry| entry.into) {
        said.push_str(&format!("; run {into} stands for it"));
    }
    Some(said)
}

/// The rule behind a reason, with the value that the job has for it now.
fn policy(job: &Job, verdict: Verdict, why: &str) -> Option<String> {
    let policy = &job.policy;
    let grace = policy.misfire_grace_time.map_or_else(|| "none".to_owned(), show_duration);
    Some(match (verdict, why) {
        (Verdict::Ran, reason::ON_TIME) => "it started within a second of its time".to_owned(),
        (Verdict::Ran, reason::LATE) => "it started more than a second after its time: no slot was free, its plugin came late, or its `rate_limit` was reached".to_owned(),
        (Verdict::Ran, reason::CATCH_UP) => "it was overdue, and `coalesce` let it run".to_owned(),
        (Verdict::Misfired, reason::LATE) => {
            format!("it came due later than `misfire_grace_time` allows (now {grace})")
        }
        (Verdict::Misfired, reason::QUEUED_TOO_LONG) => {
            format!("it waited for a slot longer than `misfire_grace_time` allows (now {grace})")
        }
        (Verdict::Misfired, reason::BEFORE_REGISTRATION) => {
            "its time had passed before the job was registered".to_owned()
        }
        (Verdict::Misfired, reason::DROP) => {
            "it was overdue, and `coalesce = \"drop\"` runs nothing that is".to_owned()
        }
        (Verdict::Coalesced, reason::LATEST) => {
            "it was overdue, and `coalesce = \"latest\"` runs the newest alone".to_owned()
        }
        (Verdict::Coalesced, reason::EARLIEST) => {
            "it was overdue, and `coalesce = \"earliest\"` runs the oldest alone".to_owned()
        }
        (Verdict::Coalesced, reason::MAX_CATCHUP) => {
            format!("more were overdue than `max_catchup` runs (now {})", policy.max_catchup)
        }
        (Verdict::Skipped, reason::MAX_INSTANCES) => format!(
            "as many runs were live as `max_instances` allows (now {})",
            policy.max_instances
        ),
        (Verdict::Skipped, reason::QUEUE_LIMIT) => {
            format!("as many fires waited as `queue_limit` allows (now {})", policy.queue_limit)
        }
        (Verdict::Quota, why) => {
            let window = why.parse::<QuotaKey>().ok().and_then(QuotaKey::window);
            let frees = match window {
                Some(window) if window.as_secs() == 60 => "; more is free with each minute of the clock",
                Some(_) => "; more is free with each hour of the clock",
                None => "",
            };
            format!("its tenant had used up `quota.{why}`{frees} (see `host tenants show`)")
        }
        (Verdict::Expired, reason::EXPIRES) => "it had not started when it expired".to_owned(),
        (Verdict::Paused, reason::PAUSED) => "the job was paused then".to_owned(),
        (Verdict::NoPlugin, reason::NO_PLUGIN) => format!(
            "plugin `{}` did not come within `plugin_wait` (now {})",
            job.plugin,
            show_duration(policy.plugin_wait)
        ),
        (Verdict::Cancelled, reason::BY_REQUEST) => "somebody cancelled it".to_owned(),
        (Verdict::Cancelled, reason::REPLACED) => {
            "a newer fire took its place (`overlap = \"replace\"`)".to_owned()
        }
        (Verdict::Cancelled, crate::schedule::reconcile::RESCHEDULED) => {
            "the job got another trigger before it was decided".to_owned()
        }
        (Verdict::Cancelled, crate::schedule::reconcile::UNDECLARED) => {
            "no file and no plugin declared the job any more".to_owned()
        }
        // Whoever gave another reason said it in its own words.
        (_, _) => return None,
    })
}

fn of_the_run(run: &Run, says: &mut Vec<String>) {
    if run.attempts.first().is_some_and(|first| first.attempt > 1) {
        says.push(format!("run {} had attempts before those that are kept", run.id));
    }
    for attempt in &run.attempts {
        let (number, host) = (attempt.attempt, &attempt.host);
        let late = attempt.started_at.since(run.due_at).as_millis();
        let mut said = format!("attempt {number} of run {} started on host `{host}`", run.id);
        said.push_str(&format!(" at {}, {late} ms after it was due", attempt.started_at));
        said.push_str(&format!(", fence {} of session {}", attempt.fence, attempt.session));
        match (attempt.outcome, attempt.finished_at) {
            (Some(outcome), Some(end)) => {
                said.push_str(&format!(", and ended at {end}: {}", outcome.as_str()));
            }
            (_, _) => said.push_str(", and is under way"),
        }
        if let Some(error) = &attempt.error {
            said.push_str(&format!(" ({})", error.message));
        }
        says.push(said);
    }
    if run.state == RunState::Done {
        says.push(format!("run {} {}", run.id, how(run)));
    }
}

/// How a run ended or stands.
fn how(run: &Run) -> String {
    match (run.outcome, run.verdict, run.state) {
        (Some(outcome), _, RunState::Done) => format!("is over: {}", outcome.as_str()),
        (None, Some(verdict), RunState::Done) => {
            format!("is over and did not run: {}", verdict.word())
        }
        (_, _, RunState::Running) => "is running".to_owned(),
        (_, _, RunState::Retrying) => "is tried again later".to_owned(),
        (_, _, RunState::Queued | RunState::Done) => "waits".to_owned(),
    }
}
