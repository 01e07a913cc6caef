//! Which folder belongs to which tenant: each has one of its own, and nobody's plugins are taken for
//! those of another.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::include::within;
use super::tenants::Tenant;
use crate::job::names::TenantId;
use crate::problem::Problem;
use crate::table::Table;
use crate::table::value::text;

/// Reads `plugins_dir` of a tenant, relative to `base`.
pub fn plugins_dir(table: &mut Table<'_>, tenant: &TenantId, base: &Path) -> Option<PathBuf> {
    table.read("plugins_dir", |value| match text(value)? {
        _ if *tenant == TenantId::default_tenant() => {
            Err("the folder of the tenant `default` is `plugins` at the top of `host.toml`"
                .to_owned())
        }
        "" => Err("must be the path of a folder".to_owned()),
        path if path.contains('\0') => Err("must not contain the character NUL".to_owned()),
        path => Ok(base.join(path).components().collect()),
    })
}

/// The folder of a tenant's plugins; `plugins` is that of the tenant `default`.
pub fn of(plugins: &Path, tenant: &TenantId, own: Option<&Tenant>) -> PathBuf {
    match own.and_then(|own| own.plugins_dir.as_ref()) {
        Some(own) => own.clone(),
        None if *tenant == TenantId::default_tenant() => plugins.to_owned(),
        None => plugins.join(tenant.as_str()),
    }
}

/// The folders that more than one tenant would have. `real` tells which folder a path leads to.
pub fn shared(
    plugins: &Path,
    tenants: &BTreeMap<TenantId, Tenant>,
    real: impl Fn(&Path) -> PathBuf,
) -> Vec<Problem> {
    if tenants.values().all(|tenant| tenant.plugins_dir.is_none()) {
        // What is usual is never shared.
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut owners: BTreeMap<PathBuf, &TenantId> = BTreeMap::new();
    // Those that say so themselves come last: it is they who are told.
    let mut all: Vec<_> = tenants.iter().collect();
    all.sort_by_key(|(_, tenant)| tenant.plugins_dir.is_some());
    let default = real(plugins);
    for (id, tenant) in all {
        let folder = of(plugins, id, Some(tenant));
        let led_to = real(&folder);
        let mut refuse = |other: &TenantId, why: &str| {
            let message = format!(
                "`{}` {why} of the tenant `{other}`; give `{id}` a folder of its own",
                folder.strip_prefix(&tenant.base).unwrap_or(&folder).display()
            );
            let problem = Problem::new(format!("tenants.{id}.plugins_dir"), message);
            problems.push(match &tenant.file {
                Some(file) => within(file, problem),
                None => problem,
            });
        };
        if let Some(other) = owners.get(&led_to) {
            refuse(other, "is the folder");
            continue;
        }
        let usual = (led_to.parent() == Some(&default)).then(|| led_to.file_name()).flatten();
        let usual = usual.and_then(|name| name.to_str()?.parse::<TenantId>().ok());
        match usual.filter(|usual| usual != id && tenants.contains_key(usual)) {
            Some(other) => refuse(&other, "lies in `plugins` and has the name"),
            None => {
                owners.insert(led_to, id);
            }
        }
    }
    problems
}

/// The folder that a path leads to as far as its text tells: `a/../b` is `b`.
pub fn by_text(path: &Path) -> PathBuf {
    let mut folder = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                folder.pop();
            }
            other => folder.push(other),
        }
    }
    folder
}
