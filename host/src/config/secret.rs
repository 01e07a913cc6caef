//! Where a secret is to be found. Never the secret itself: configurations are printed and logged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::keys;
use crate::job::names::{SecretName, TenantId};
use crate::table::Table;
use crate::table::value::text;

/// What a secret must be written as.
const FORM: &str = "must be a table `{ env = \"NAME\" }` or `{ file = \"PATH\" }`: a secret itself \
                    stands in no configuration";

/// Where a secret stands. It is read when it is used, and again each time, so that it may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In the environment variable of this name.
    Env(String),
    /// In this file, absolute; a line break at its end does not count.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
        }
    }
}

/// Where secrets with names stand.
pub type Named = BTreeMap<SecretName, SecretRef>;

/// Where the secrets of jobs stand. A tenant has its own and no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// By tenant; one that has none is not there.
    pub named: BTreeMap<TenantId, Named>,
    /// A folder, absolute, whose files are secrets of the tenant `default` named like them.
    pub dir: Option<PathBuf>,
}

impl Secrets {
    /// Where the secret of this name stands for jobs of a tenant, if anything says so: its own entry,
    /// then the folder.
    pub fn find(&self, tenant: &TenantId, name: &SecretName) -> Option<SecretRef> {
        let named = self.named.get(tenant).and_then(|named| named.get(name));
        let in_dir = || {
            let dir = self.dir.as_ref().filter(|_| *tenant == TenantId::default_tenant())?;
            Some(SecretRef::File(dir.join(name.as_str())))
        };
        named.cloned().or_else(in_dir)
    }

    /// The names that are written down for a tenant; files of the folder are not among them.
    pub fn names(&self, tenant: &TenantId) -> Vec<SecretName> {
        self.named.get(tenant).map(|named| named.keys().cloned().collect()).unwrap_or_default()
    }
}

/// How the secret of a tenant that stands nowhere could be written down.
pub fn how_to_write(tenant: &TenantId, name: &SecretName) -> String {
    match *tenant == TenantId::default_tenant() {
        true => format!(
            "`[secrets] {name} = {{ env = \"{name}\" }}` or `{{ file = \"PATH\" }}`, or by \
             `secrets_dir`"
        ),
        false => format!(
            "`[tenants.{tenant}.secrets] {name} = {{ env = \"{name}\" }}` or `{{ file = \"PATH\" }}`"
        ),
    }
}

/// Reads `secrets_dir` of `top`, relative to `base`.
pub fn secrets_dir(top: &mut Table<'_>, base: &Path) -> Option<PathBuf> {
    top.read("secrets_dir", |value| match text(value)? {
        path if path.contains('\0') => Err("must not contain the character NUL".to_owned()),
        path => Ok(base.join(path).components().collect()),
    })
}

/// Reads `secrets` of `top` or of a tenant; relative paths start at `base`.
pub fn secrets(top: &mut Table<'_>, base: &Path) -> Named {
    let mut named = Named::new();
    match top.raw("secrets") {
        None => (),
        Some(Value::Object(entries)) => {
            let mut table = Table::within(&top.path_of("secrets"), entries);
            for name in entries.keys() {
                match name.parse::<SecretName>() {
                    Err(error) => table.problem(name, error.to_string()),
                    Ok(known) => {
                        if let Some(found) = secret(&mut table, name, base) {
                            named.insert(known, found);
                        }
                    }
                }
            }
            top.absorb(table.finish());
        }
        Some(_) => top.problem("secrets", "must be a table of names and where each stands"),
    }
    named
}

/// Reads where the secret under `key` stands; relative paths start at `base`. No message shows a
/// value: somebody may have written the secret there.
pub fn secret(table: &mut Table<'_>, key: &str, base: &Path) -> Option<SecretRef> {
    match table.raw(key)? {
        Value::Object(_) => (),
        _ => {
            table.problem(key, FORM);
            return None;
        }
    }
    let mut inner = table.table(key, &keys::SECRET)?;
    let env = inner.read("env", |value| match value.as_str() {
        Some(name) if !name.is_empty() && !name.contains(['=', '\0']) => Ok(name.to_owned()),
        _ => Err("must be the name of an environment variable".to_owned()),
    });
    let file = inner.read("file", |value| match value.as_str() {
        Some(path) if !path.is_empty() && !path.contains('\0') => Ok(base.join(path)),
        _ => Err("must be the path of a file".to_owned()),
    });
    let found = match (env, file) {
        (Some(name), None) => Some(SecretRef::Env(name)),
        (None, Some(path)) => Some(SecretRef::File(path)),
        _ => None,
    };
    let given = ["env", "file"].iter().filter(|key| inner.raw(key).is_some()).count();
    table.absorb(inner.finish());
    if given != 1 {
        table.problem(key, "must name either `env` or `file`");
        return None;
    }
    found
}
