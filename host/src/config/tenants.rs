//! The `[tenants.X]` tables: what jobs of a tenant may be given by those who do not own the machine,
//! and the most that any of them gets.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::keys;
use super::reload::{Reload, Said};
use crate::job::capabilities::Allow;
use crate::job::limits::Caps;
use crate::job::names::TenantId;
use crate::job::parse;
use crate::problem::join;
use crate::table::Table;
use crate::table::value::shown;

/// Tenants that one host serves at most.
const MAX_TENANTS: usize = 10_000;

/// What is configured of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// What its sidecars, plugins, REST and guests may grant.
    pub allow: Allow,
    /// The most that any of its jobs gets.
    pub caps: Caps,
    /// What happens to its plugins' versions.
    pub reload: Reload,
}

impl Tenant {
    /// A tenant that the file does not name.
    fn unnamed(tenant: &TenantId, reload: &Said) -> Self {
        Self {
            allow: Allow::default(),
            caps: Caps::none(&caps_place(tenant)),
            reload: reload.over(Reload::built_in(*tenant == TenantId::default_tenant())),
        }
    }
}

/// Reads `tenants` of `top`; relative folders start at `base`. There is always one of the name
/// `default`.
pub fn tenants(top: &mut Table<'_>, base: &Path) -> BTreeMap<TenantId, Tenant> {
    let default = TenantId::default_tenant();
    let reload = Said::read(top);
    let unnamed = Tenant::unnamed(&default, &reload);
    no_keys(top, "reload", &unnamed.reload);
    let mut tenants = BTreeMap::from([(default, unnamed)]);
    let written = match top.raw("tenants") {
        None => return tenants,
        Some(Value::Object(written)) => written,
        Some(other) => {
            top.problem("tenants", format!("must be tables `[tenants.X]`, not {}", shown(other)));
            return tenants;
        }
    };
    if MAX_TENANTS < written.len() {
        top.problem("tenants", format!("are {} tenants, more than {MAX_TENANTS}", written.len()));
        return tenants;
    }
    for (name, value) in written {
        let path = join("tenants", name);
        let tenant: TenantId = match name.parse() {
            Ok(tenant) => tenant,
            Err(error) => {
                top.problem(&path, format!("{error}"));
                continue;
            }
        };
        let Value::Object(entries) = value else {
            top.problem(&path, format!("must be a table, not {}", shown(value)));
            continue;
        };
        let unnamed = Tenant::unnamed(&tenant, &reload);
        let mut table = Table::new(&path, entries, &keys::TENANT);
        let allow = parse::allow(&mut table, base);
        let caps = caps(&mut table, unnamed.caps);
        let reload = Said::read(&mut table).over(unnamed.reload);
        no_keys(&mut table, "reload", &reload);
        top.absorb(table.finish());
        tenants.insert(tenant, Tenant { allow, caps, reload });
    }
    tenants
}

/// Notes that nothing could ever be taken: signatures are required, and no key is named.
fn no_keys(table: &mut Table<'_>, key: &str, reload: &Reload) {
    if reload.require_signature && reload.signature_keys.is_empty() {
        let message = "`require_signature` needs `signature_keys = [\"RW...\"]`, the public keys \
                       of minisign that plugins may be signed with";
        table.problem(key, message);
    }
}

/// Reads `caps` of `table` over those of `caps`.
pub fn caps(table: &mut Table<'_>, mut caps: Caps) -> Caps {
    if let Some(mut written) = table.table("caps", &keys::CAPS) {
        for key in keys::CAPS.built {
            written.read(key, |value| caps.set(key, value));
        }
        table.absorb(written.finish());
    }
    caps
}

fn caps_place(tenant: &TenantId) -> String {
    format!("tenants.{tenant}.caps")
}
