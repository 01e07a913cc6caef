//! The table `capabilities` of a job, and the table `allow` of a tenant.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::super::capabilities::{Allow, Capabilities, DirGrant, DirMode};
use super::super::merge::Layer;
use super::super::names::TenantId;
use super::{MAX_DIRS, MAX_GRANTS, Place, keys};
use crate::problem::{Problem, join};
use crate::table::Table;
use crate::table::value::{choice, flag, list, shown, text};

/// Reads `capabilities` of `job`; whoever does not own the machine stays within what is allowed.
pub fn capabilities(job: &mut Table<'_>, layer: Layer, place: Place<'_>) -> Option<Capabilities> {
    let mut table = job.table("capabilities", &keys::CAPABILITIES)?;
    let dirs_path = table.path_of("dirs");
    let items = table.read("dirs", |value| match list(value)? {
        items if items.len() > MAX_DIRS => Err(format!("must be {MAX_DIRS} folders at most")),
        items => Ok(items.to_vec()),
    });
    let mut dirs: Vec<DirGrant> = Vec::new();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = join(&dirs_path, &index.to_string());
        match dir(item, &path, place.base_dir) {
            Ok(dir) if dirs.iter().any(|other| other.guest == dir.guest) => {
                let message = format!("`{}` is granted twice; choose another path", dir.guest);
                table.absorb(vec![Problem::new(join(&path, "guest"), message)]);
            }
            Ok(dir) => dirs.push(dir),
            Err(problems) => table.absorb(problems),
        }
    }
    let capabilities = Capabilities {
        dirs,
        http: table.read("http", grants).unwrap_or_default(),
        tcp: table.read("tcp", grants).unwrap_or_default(),
        env: table.read("env", grants).unwrap_or_default(),
        secrets: table.read("secrets", grants).unwrap_or_default(),
        kv: table.read("kv", flag).unwrap_or(false),
        jobs: table.read("jobs", flag).unwrap_or(false),
    };
    if !keys::may_grant(layer) {
        for (key, thing) in place.allow.beyond(&capabilities) {
            let default = TenantId::default_tenant();
            let tenant = place.tenant.unwrap_or(&default);
            let table = match *tenant == default {
                true => "jobs".to_owned(),
                false => format!("tenants.{tenant}.jobs"),
            };
            let message = format!(
                "only `host.toml` grants capabilities; define this job there under `[{table}.ID]`, \
                 or let any job of the tenant have this by `{}`",
                allowing(tenant, key, &thing)
            );
            job.problem("capabilities", message);
        }
    }
    job.absorb(table.finish());
    Some(capabilities)
}

/// What would let any job of a tenant have a thing.
fn allowing(tenant: &TenantId, key: &str, thing: &str) -> String {
    let value = if thing == "true" { thing.to_owned() } else { format!("[\"{thing}\"]") };
    format!("[tenants.{tenant}] allow = {{ {key} = {value} }}")
}

/// Reads the table `allow` of a tenant; relative folders start at `base_dir`.
pub fn allow(tenant: &mut Table<'_>, base_dir: &Path) -> Allow {
    let Some(mut table) = tenant.table("allow", &keys::ALLOW) else {
        return Allow::default();
    };
    let dirs = table.read("dirs", |value| match list(value)? {
        items if items.len() > MAX_DIRS => Err(format!("must be {MAX_DIRS} folders at most")),
        items => items.iter().map(|item| host_folder(item, base_dir)).collect(),
    });
    let allow = Allow {
        dirs: dirs.unwrap_or_default(),
        http: table.read("http", grants).unwrap_or_default(),
        tcp: table.read("tcp", grants).unwrap_or_default(),
        env: table.read("env", variables).unwrap_or_default(),
        secrets: table.read("secrets", grants).unwrap_or_default(),
        kv: table.read("kv", flag).unwrap_or(false),
        jobs: table.read("jobs", flag).unwrap_or(false),
    };
    tenant.absorb(table.finish());
    allow
}

/// Writes `capabilities` out whole.
pub fn written(capabilities: &Capabilities) -> Value {
    let mode = |mode| match mode {
        DirMode::ReadOnly => "ro",
        DirMode::ReadWrite => "rw",
    };
    let dir =
        |dir: &DirGrant| json!({"host": dir.host, "guest": dir.guest, "mode": mode(dir.mode)});
    json!({
        "dirs": capabilities.dirs.iter().map(dir).collect::<Vec<_>>(),
        "http": shown_all(&capabilities.http),
        "tcp": shown_all(&capabilities.tcp),
        "env": shown_all(&capabilities.env),
        "secrets": shown_all(&capabilities.secrets),
        "kv": capabilities.kv,
        "jobs": capabilities.jobs,
    })
}

fn shown_all<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Reads a list of grants of one kind.
fn grants<T: FromStr<Err: ToString>>(value: &Value) -> Result<Vec<T>, String> {
    match list(value)? {
        items if items.len() > MAX_GRANTS => Err(format!("must be {MAX_GRANTS} at most")),
        items => items
            .iter()
            .map(|item| text(item)?.parse().map_err(|error: T::Err| error.to_string()))
            .collect(),
    }
}

/// Reads names of variables, without values.
fn variables(value: &Value) -> Result<Vec<String>, String> {
    let names: Vec<String> = grants::<String>(value)?;
    match names.iter().find(|name| name.contains(['=', '\0'])) {
        Some(name) => Err(format!("must be names like `LANG`, not `{name}`")),
        None => Ok(names),
    }
}

/// Reads one granted folder.
fn dir(item: &Value, path: &str, base_dir: &Path) -> Result<DirGrant, Vec<Problem>> {
    let Value::Object(entries) = item else {
        let message =
            format!("must be like `{{ host = \"data\", guest = \"/data\" }}`, not {}", shown(item));
        return Err(vec![Problem::new(path, message)]);
    };
    let mut table = Table::new(path, entries, &keys::DIR);
    for key in ["host", "guest"] {
        if table.raw(key).is_none() {
            table.problem(key, format!("`{key}` is missing: name the folder"));
        }
    }
    let host = table.read("host", |value| host_folder(value, base_dir));
    let guest = table.read("guest", guest_folder);
    let mode = match table.raw("mode") {
        None => Some(DirMode::ReadOnly),
        Some(_) => {
            table.read("mode", choice(&[("ro", DirMode::ReadOnly), ("rw", DirMode::ReadWrite)]))
        }
    };
    match (host, guest, mode, table.finish()) {
        (Some(host), Some(guest), Some(mode), problems) if problems.is_empty() => {
            Ok(DirGrant { host, guest, mode })
        }
        (_, _, _, problems) => Err(problems),
    }
}

/// An absolute path, without `.` in it; `..` stays, since only the file system knows what it means.
fn host_folder(value: &Value, base_dir: &Path) -> Result<PathBuf, String> {
    let path = text(value)?;
    if path.contains('\0') {
        return Err("must not contain the character NUL".to_owned());
    }
    let folder: PathBuf = base_dir.join(path).components().collect();
    match folder.to_str() {
        Some(_) => Ok(folder),
        None => Err("the folder's whole path must be Unicode".to_owned()),
    }
}

/// An absolute path of the guest, one way to write each: `/data`, not `/data/` or `/./data`.
fn guest_folder(value: &Value) -> Result<String, String> {
    let written = text(value)?;
    let wrong = || format!("must be an absolute path like `/data`, not {}", shown(value));
    let mut folder = String::new();
    for component in Path::new(written).components() {
        match component {
            Component::RootDir => (),
            Component::Normal(part) => {
                folder.push('/');
                folder.push_str(part.to_str().ok_or_else(wrong)?);
            }
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => return Err(wrong()),
        }
    }
    if !written.starts_with('/') || written.contains('\0') {
        return Err(wrong());
    }
    Ok(if folder.is_empty() { "/".to_owned() } else { folder })
}
