//! Runs: started, taken, ended, dropped, cancelled, and their logs.

use super::fires::claim_of;
use super::link::Caller;
use super::scripts::Script;
use super::wire::{self, RoomRow};
use super::{RedisStore, accounts};
use crate::job::JobKey;
use crate::record::Session;
use crate::record::step::{
    Acquire, AttemptEnd, CancelReply, Claim, Finished, MAX_ACQUIRE, NewRun, Started,
};
use crate::run::id::{Fence, SessionId};
use crate::run::{Cause, LogLine, Reason, RunKey, Verdict};
use crate::store::Result;
use crate::store::core::runs::made_run;
use crate::store::error::StoreError;
use crate::time::Timestamp;

impl RedisStore {
    pub(super) async fn start(&self, new: NewRun, now: Timestamp) -> Result<Started> {
        if new.cause == Cause::Schedule {
            return Err(StoreError::Invalid("only a fire makes runs of the schedule".into()));
        }
        let (tenant, job) = (new.job.tenant.clone(), new.job.job.clone());
        // The script says which creation of the job it belongs to.
        let run = made_run(new, SessionId::from_bits(0), now);
        let args = wire::StartArgs { tenant: &tenant, job: &job, run };
        let answer: wire::StartAnswer =
            self.link.call(Script::Start, Caller::at(now), &args, b"").await?;
        let run = wire::unpack(&answer.run)?;
        Ok(if answer.made { Started::Made(run) } else { Started::Exists(run) })
    }

    pub(super) async fn acquire(
        &self,
        session: &Session,
        want: Acquire,
        now: Timestamp,
    ) -> Result<Vec<Claim>> {
        let digest = self.serving.digest(&want);
        let caller = Self::caller(session, now);
        let mut is_told = self.serving.is_told(session.id, &digest);
        let answer = loop {
            let args = wire::AcquireArgs {
                digest: &digest,
                serves: (!is_told).then(|| accounts::names(&want)),
                most: MAX_ACQUIRE,
                room: RoomRow::of(&want.room),
            };
            let answer: wire::AcquireAnswer =
                self.link.call(Script::Acquire, caller, &args, b"").await?;
            if !is_told || !answer.unknown {
                break answer;
            }
            is_told = false;
        };
        self.serving.note(session.id, digest);
        let mut claims = Vec::with_capacity(answer.runs.len());
        self.know(&answer.plans).await?;
        for (run, row) in answer.runs.into_iter().zip(&answer.plans) {
            claims.push(claim_of(wire::unpack(&run)?, self.schedule(row).await?));
        }
        Ok(claims)
    }

    pub(super) async fn finish(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        end: AttemptEnd,
        now: Timestamp,
    ) -> Result<Finished> {
        let log = log_text(&end.log)?;
        let said = wire::Said {
            result: end.result.as_ref().map(ToString::to_string),
            digest: end.digest,
            retry_at: end.retry_at,
            error: end.error,
            progress: end.progress,
        };
        let (id, tenant, lines) = (run.run, run.tenant.clone(), end.log.len());
        let row = wire::EndRow(id, tenant, fence, end.outcome, lines, log.len(), end.usage, said);
        let answer = self.ends.tell(session, row, log, now).await?;
        if let Some(job) = answer.ended {
            self.rounds().grew(&JobKey { tenant: run.tenant.clone(), job });
        }
        Ok(match answer.state.as_str() {
            "done" => Finished::Done,
            "already" => Finished::Already,
            "unknown" => return Err(StoreError::NotFound(format!("run {run}"))),
            _ => Finished::Fenced,
        })
    }

    pub(super) async fn drop_run(
        &self,
        run: &RunKey,
        verdict: Verdict,
        reason: Reason,
        now: Timestamp,
    ) -> Result<bool> {
        if verdict == Verdict::Ran {
            return Err(StoreError::Invalid("a run that is dropped did not run".into()));
        }
        let (verdict, reason) = (Some(verdict), Some(reason.as_ref()));
        let args = wire::RunArgs { verdict, reason, ..wire::RunArgs::of(run) };
        let answer: wire::Dropped =
            self.link.call(Script::Drop, Caller::at(now), &args, b"").await?;
        Ok(answer.dropped)
    }

    pub(super) async fn cancel(
        &self,
        run: &RunKey,
        why: &str,
        now: Timestamp,
    ) -> Result<CancelReply> {
        let args = wire::RunArgs { why: Some(why), ..wire::RunArgs::of(run) };
        let answer: wire::State =
            self.link.call(Script::Cancel, Caller::at(now), &args, b"").await?;
        Ok(match answer.state.as_str() {
            "ended" => CancelReply::Ended,
            "asked" => CancelReply::Asked,
            _ => CancelReply::AlreadyDone,
        })
    }

    pub(super) async fn log_append(
        &self,
        run: &RunKey,
        fence: Fence,
        lines: Vec<LogLine>,
    ) -> Result<()> {
        let text = log_text(&lines)?;
        let (fence, lines) = (Some(fence), Some(lines.len()));
        let args = wire::RunArgs { fence, lines, ..wire::RunArgs::of(run) };
        let caller = Caller::at(Timestamp::from_secs(0));
        let _: wire::Nothing = self.link.call(Script::Log, caller, &args, &text).await?;
        Ok(())
    }
}

pub(super) fn log_text(lines: &[LogLine]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)
            .map_err(|error| StoreError::Invalid(format!("a log line: {error}")))?;
        text.push(b'\n');
    }
    Ok(text)
}
