//! Tenants that were made over REST, laid over what the files say.
//!
//! The same keys and the same checks as those of a `[tenants.X]` table, but for its jobs, which are
//! made over REST one by one. A tenant that a file names is the file's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::secret::Named;
use super::tenants::{Given, Ground, Tenant, Tenants};
use super::{Config, FILE_NAME, folders, keys};
use crate::job::names::TenantId;
use crate::problem::Problem;
use crate::record::tenant::KeptTenant;
use crate::table::{Entries, Table};

/// What is said of `jobs`.
const NO_JOBS: &str = "stand in no tenant that is made over REST; make each of them by \
                       `PUT /v1/jobs/{id}?tenant=X`";

/// Keys that nobody without a token may give, and how each is reached in the body. What they grant,
/// whoever is on this machine could read that is not theirs; and nobody of them says which plugins
/// need no signature.
const OF_FILES: [&[&str]; 7] = [
    &["allow", "dirs"],
    &["allow", "env"],
    &["allow", "secrets"],
    &["secrets"],
    &["plugins_dir"],
    &["reload", "require_signature"],
    &["reload", "signature_keys"],
];

/// Lays tenants over what files say. Answers in words why some do not count. `real` tells which
/// folder a path leads to.
pub fn overlay(
    files: Config,
    kept: &[KeptTenant],
    real: impl Fn(&Path) -> PathBuf,
) -> (Config, Vec<String>) {
    let (mut config, mut warnings) = (files.clone(), Vec::new());
    for one in kept {
        match read(&config, one, &real) {
            Ok((tenant, secrets)) => put(&mut config, one, tenant, secrets),
            Err(problems) => warnings.push(left_out(one, &problems)),
        }
    }
    if folders::shared(&config.plugins, &config.tenants, &real).is_empty() {
        return (config, warnings);
    }
    // One of them has a folder that is another's: which one shows when they come one by one.
    let (mut config, mut warnings) = (files, Vec::new());
    for one in kept {
        match with(config.clone(), one, &real) {
            Ok(more) => config = more,
            Err(problems) => warnings.push(left_out(one, &problems)),
        }
    }
    (config, warnings)
}

/// A configuration with this tenant as it is now.
///
/// # Errors
///
/// All that is wrong with it, each with its path in the body.
pub fn with(
    mut config: Config,
    kept: &KeptTenant,
    real: impl Fn(&Path) -> PathBuf,
) -> Result<Config, Vec<Problem>> {
    let (tenant, secrets) = read(&config, kept, &real)?;
    put(&mut config, kept, tenant, secrets);
    let shared = folders::shared(&config.plugins, &config.tenants, &real);
    if shared.is_empty() {
        return Ok(config);
    }
    let mine = |problem: Problem| Problem { path: "plugins_dir".to_owned(), ..problem };
    Err(shared.into_iter().map(mine).collect())
}

/// Which file names a tenant, so that it is not to be changed over REST; `None`: none does.
pub fn file_of<'a>(config: &'a Config, name: &TenantId) -> Option<&'a str> {
    let tenant = config.tenants.get(name).filter(|tenant| tenant.given.is_none())?;
    Some(tenant.file.as_deref().unwrap_or(FILE_NAME))
}

/// What of a body only the files of a host may say that asks for no tokens.
pub fn for_files_only(body: &Entries) -> Vec<Problem> {
    let refused = |path: &&[&str]| {
        let (first, rest) = path.split_first()?;
        let found = rest.iter().try_fold(body.get(*first)?, |value, key| value.get(key))?;
        let is_empty = match found {
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Null => true,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        let key = path.join(".");
        let message = "is not given over REST without a token: whoever is on this machine could \
                       reach by it what is not theirs; write `[tenants.X]` in `host.toml`, or let \
                       the host have tokens (`[api] tokens`)";
        (!is_empty).then(|| Problem::new(key, message))
    };
    OF_FILES.iter().filter_map(refused).collect()
}

/// What a document stands for among the others of this configuration.
fn read(
    config: &Config,
    kept: &KeptTenant,
    real: impl Fn(&Path) -> PathBuf,
) -> Result<(Tenant, Named), Vec<Problem>> {
    if let Some(file) = file_of(config, &kept.name) {
        let message = format!("`{file}` names this tenant, and that counts");
        return Err(vec![Problem::new("", message)]);
    }
    let Config { timezone, executor, job_defaults, base, .. } = config;
    let ground = Ground { zone: *timezone, caps: &executor.caps, job_defaults };
    let mut all = Tenants::over(ground, config.reload_of_all.clone());
    let mut table = Table::new("", &kept.doc.keys, &keys::TENANT);
    if table.raw("jobs").is_some() {
        table.problem("jobs", NO_JOBS);
    }
    let tenant = all.read(&kept.name, &mut table, base);
    let is_inside =
        |dir: &PathBuf| is_below(&folders::by_text(dir), base) && is_below(&real(dir), &real(base));
    if let Some(dir) = tenant.plugins_dir.as_ref().filter(|dir| !is_inside(dir)) {
        table.absorb(vec![outside(config, dir)]);
    }
    let secrets = all.secrets.remove(&kept.name).unwrap_or_default();
    let given = Given { version: kept.version, removal: kept.doc.removal.clone() };
    match table.finish() {
        problems if problems.is_empty() => Ok((Tenant { given: Some(given), ..tenant }, secrets)),
        problems => Err(problems),
    }
}

fn put(config: &mut Config, kept: &KeptTenant, tenant: Tenant, secrets: Named) {
    config.tenants.insert(kept.name.clone(), tenant);
    match secrets.is_empty() {
        true => config.secrets.named.remove(&kept.name),
        false => config.secrets.named.insert(kept.name.clone(), secrets),
    };
}

fn is_below(path: &Path, base: &Path) -> bool {
    path != base && path.starts_with(base)
}

fn outside(config: &Config, dir: &Path) -> Problem {
    let message = format!(
        "`{}` does not lie below the folder of the configuration; a tenant that is made over REST \
         has its plugins there",
        config.short(dir)
    );
    Problem::new("plugins_dir", message)
}

fn left_out(kept: &KeptTenant, problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!(
        "the tenant `{}` that was made over REST does not count here: {}",
        kept.name,
        all.join("; ")
    )
}

/// Which tenants that were made over REST are there in `before` and in `now` no more.
pub fn gone<'a>(
    before: &'a BTreeMap<TenantId, Tenant>,
    now: &'a BTreeMap<TenantId, Tenant>,
) -> impl Iterator<Item = &'a TenantId> {
    let given = before.iter().filter(|(_, tenant)| tenant.given.is_some());
    given.map(|(name, _)| name).filter(|name| !now.contains_key(name))
}
