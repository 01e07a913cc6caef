//! `host tenants put`, `rm` and `export`: tenants made, changed and removed while hosts run.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::jobs::read;
use super::reach::{self, Asked};
use super::screen::{harmless, note, print, print_json};
use crate::api::view::problem::ProblemView;
use crate::api::view::tenant::TenantView;
use crate::job::names::TenantId;

/// Which tenant, and what it may have.
#[derive(Debug, Args)]
pub struct Put {
    /// Its name
    name: TenantId,
    /// A file with the keys of its table as TOML or JSON, or - for standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    whom: Whom,
}

/// Which tenant, and whether that is meant.
#[derive(Debug, Args)]
pub struct Remove {
    /// Its name
    name: TenantId,
    /// Do it, without asking
    #[arg(long)]
    yes: bool,
    /// How long its runs may go on before they are cancelled; without it the host's `[executor] drain`
    #[arg(long, value_name = "DURATION")]
    drain: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// Which tenant, and where to.
#[derive(Debug, Args)]
pub struct Export {
    /// Its name
    pub name: TenantId,
    /// The file to write; without it, or with -, standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// Makes or changes a tenant.
///
/// # Errors
///
/// The file is wrong, or what the host says.
pub fn put(args: &Put, common: &Common) -> Result<Exit, Failure> {
    let keys = read(&args.file)?;
    let reached = reach::steering(common, &args.whom)?;
    let path = path(&args.name);
    let tenant: TenantView = reached.put(&path, args.whom.query(), &Value::Object(keys))?;
    if common.json {
        print_json(&tenant)?;
    } else {
        note(format!("tenant {} stands; its plugins are in {}", tenant.name, tenant.plugins_dir));
    }
    Ok(Exit::Done)
}

/// Removes a tenant, after it has told what that deletes.
///
/// # Errors
///
/// Nobody confirms it, or what the host says.
pub fn remove(args: &Remove, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let (path, mut query) = (path(&args.name), args.whom.query());
    query.extend(args.drain.as_ref().map(|drain| ("drain", drain.clone())));
    let told = match reached.ask_to_delete(&path, query.clone())? {
        Asked::Done(tenant) => return drains(&tenant, common),
        Asked::Told(problem) => problem,
    };
    tell(args, &told);
    if !args.yes && !is_confirmed(&args.name)? {
        let message = format!("nothing was removed; `host tenants rm {} --yes` does it", args.name);
        return Err(Failure::usage(message));
    }
    query.push(("confirm", args.name.to_string()));
    match reached.ask_to_delete(&path, query)? {
        Asked::Done(tenant) => drains(&tenant, common),
        Asked::Told(problem) => Err(Failure::failed(problem.detail)),
    }
}

fn path(name: &TenantId) -> String {
    format!("/v1/tenants/{name}")
}

/// What is deleted and what is kept.
fn tell(args: &Remove, told: &ProblemView) {
    note(format!("removing tenant {} deletes", args.name));
    for part in &told.errors {
        note(format!("  {}", harmless(&part.message)));
    }
    note(
        "and keeps what it used, for 400 days, the audit, the folder of its plugins and the file of \
         tokens; all that is deleted goes into a file first",
    );
}

/// Whether somebody at a terminal gives the name once more.
fn is_confirmed(name: &TenantId) -> Result<bool, Failure> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() {
        return Ok(false);
    }
    let mut given = String::new();
    let asked = write!(stderr, "give its name to do that: ").and_then(|()| stderr.flush());
    asked
        .and_then(|()| stdin.lock().read_line(&mut given))
        .map_err(|error| Failure::failed(format!("nobody can be asked: {error}")))?;
    Ok(given.trim() == name.as_str())
}

fn drains(tenant: &TenantView, common: &Common) -> Result<Exit, Failure> {
    if common.json {
        print_json(tenant)?;
        return Ok(Exit::Done);
    }
    let name = &tenant.name;
    match &tenant.removal {
        Some(removal) => print(format!(
            "tenant {name} drains; what it has goes to {} in the `state_dir` on host {}",
            removal.export, removal.host
        ))?,
        None => print(format!("tenant {name} is being removed"))?,
    }
    note(format!("`host tenants show {name}` says how far that is; then it is not there any more"));
    Ok(Exit::Done)
}
