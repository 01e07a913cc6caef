//! Who defines a job over REST, and what they may grant.

use super::access::{By, Caller};
use crate::access::Principal;
use crate::job::Source;
use crate::job::capabilities::Capabilities;
use crate::job::names::JobId;
use crate::problem::Problem;

/// Who asks for a job.
#[derive(Clone, Debug)]
pub struct Author {
    /// What kind of source it is.
    pub source: Source,
    /// What stands as the origin of its jobs.
    pub origin: String,
    /// Whether it may grant what its tenant may; those without a name may not.
    pub may_grant: bool,
    /// As the audit names it.
    pub by: By,
}

impl Author {
    /// A client of this interface.
    pub fn client(caller: &Caller) -> Self {
        Self {
            source: Source::Api,
            origin: "api".to_owned(),
            may_grant: caller.principal != Principal::Local,
            by: By::caller(caller),
        }
    }

    /// A job of this name; one that nobody with a name stands behind grants no more than whoever made
    /// it may, nor do those that it makes.
    pub fn job(job: &JobId, may_grant: bool) -> Self {
        let by = By::job(job);
        Self { source: Source::Guest, origin: by.who.clone(), may_grant, by }
    }

    /// What a job may not have that somebody without a token makes: whoever is on this machine, and what
    /// runs there, could read files and secrets by it that are not theirs.
    pub fn ungranted(&self, granted: &Capabilities) -> Vec<Problem> {
        if self.may_grant {
            return Vec::new();
        }
        let kinds = [
            ("dirs", granted.dirs.is_empty()),
            ("env", granted.env.is_empty()),
            ("secrets", granted.secrets.is_empty()),
        ];
        let refused = |(kind, is_empty): (&str, bool)| {
            let message = format!(
                "a job that is made over REST without a token, or by such a job, gets no `{kind}`, whatever `allow` says: \
                 define it in `host.toml`, write `{kind} = []` in it, or let the host have tokens \
                 (`[api] tokens`)"
            );
            (!is_empty).then(|| Problem::new(format!("capabilities.{kind}"), message))
        };
        kinds.into_iter().filter_map(refused).collect()
    }
}
