//! `host token`: who may use the host. Edits the file that the configuration names; hosts notice.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::Common;
use super::exit::{Exit, Failure};
use super::kept;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, table};
use crate::access::token::{Secret, Token as Made, fresh_id};
use crate::access::{Role, Tokens, file};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, FILE_NAME};
use crate::job::names::{TenantId, TokenId};
use crate::problem::nearest;
use crate::table::unit::positive_duration;
use crate::time::Timestamp;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is printed once and kept nowhere
    #[command(after_help = "\
Examples:
  host token create --role admin                          for yourself: everything
  host token create --tenant acme --role viewer --id dash
  export CAMPANILE_TOKEN=$(host token create --role operator --expires 30d --id ci)

A viewer reads. An operator also makes, changes, removes, runs, pauses and cancels jobs. An
admin also puts plugins, approves what they ask for, and reads `host audit`. A token of a
tenant sees nothing of the others, nor of the host. The file is the one that `[api] tokens`
names; of the secret only a hash stands there. Hosts that run know the token within seconds.")]
    Create(Create),
    /// List tokens, without their secrets
    #[command(after_help = "\
Examples:
  host token ls
  host token ls --json | jq -r 'select(.role == \"admin\") | .id'")]
    Ls(List),
    /// Take a token back; hosts that run refuse it within seconds
    #[command(after_help = "Example:\n  host token revoke ci")]
    Revoke(Revoke),
}

/// What kind of token.
#[derive(Debug, Args)]
pub struct Create {
    /// What it may do: viewer, operator or admin
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Role,
    /// Whose things it sees; without it everybody's, and the host's
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// From when on it counts no more: a duration like 30d, or a time; without it never
    #[arg(long, value_name = "SPAN")]
    expires: Option<String>,
    /// What lists and the audit call it; without it a few random letters
    #[arg(long, visible_alias = "name", value_name = "ID")]
    id: Option<TokenId>,
}

/// Nothing more than every command takes.
#[derive(Debug, Args)]
pub struct List {}

/// Which token.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Its id, as `host token ls` shows it
    id: TokenId,
}

/// Does it.
///
/// # Errors
///
/// The configuration names no file of tokens, or the file is wrong.
pub fn token(token: &Token, common: &Common) -> Result<Exit, Failure> {
    let config = common.load()?;
    let file = file_of(&config)?;
    match token {
        Token::Create(args) => create(args, common, &config, &file),
        Token::Ls(_) => list(common, &config, &file),
        Token::Revoke(args) => revoke(args, common, &config, &file),
    }
}

/// The file of tokens.
fn file_of(config: &Config) -> Result<PathBuf, Failure> {
    config.api.tokens.clone().ok_or_else(|| {
        let add = "`tokens = \"tokens.toml\"` below `[api]`";
        Failure::usage(match &config.file {
            Some(_) => format!("`{}` names no file of tokens; write {add}", config.origin()),
            None => {
                format!("there is no {FILE_NAME} here; `host init` writes one, then write {add}")
            }
        })
    })
}

fn role(text: &str) -> Result<Role, String> {
    Role::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| {
        let words = Role::ALL.map(Role::word);
        format!("there are the roles {}", words.join(", "))
    })
}

/// Refuses a tenant that no file names and that was not made over REST either.
fn must_be_there(tenant: &TenantId, config: &Config) -> Result<(), Failure> {
    let runtime = crate::cli::runtime()?;
    let all = runtime.block_on(kept::with_tenants(config.clone()))?;
    if all.tenants.contains_key(tenant) {
        return Ok(());
    }
    let names: Vec<&str> = all.tenants.keys().map(TenantId::as_str).collect();
    Err(Failure::usage(format!(
        "there is no tenant `{tenant}`; there are {}, and `[tenants.X]` in `{}` makes another, or \
         `host tenants put`",
        names.join(", "),
        config.origin()
    )))
}

fn create(args: &Create, common: &Common, config: &Config, path: &Path) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    if let Some(tenant) = &args.tenant
        && !config.tenants.contains_key(tenant)
    {
        must_be_there(tenant, config)?;
    }
    let expires = args.expires.as_deref().map(|text| end(text, common, now)).transpose()?;
    let id = args.id.clone().map_or_else(fresh_id, Ok).map_err(Failure::failed)?;
    let secret = Secret::fresh().map_err(Failure::failed)?;
    let made = Made {
        id: id.clone(),
        tenant: args.tenant.clone(),
        role: args.role,
        hash: secret.hash(),
        // Whole seconds are enough for people.
        created: Timestamp::from_secs(now.micros() / 1_000_000),
        expires,
    };
    let view = made.view();
    edit(path, |tokens| match tokens.get(&made.id) {
        Some(_) => {
            Err(format!("there is a token `{}` already; revoke it, or take another --id", made.id))
        }
        None => Ok((tokens.with(made), ())),
    })?;
    let text = secret.shown(&id);
    if common.json {
        let mut shown = json!(view);
        if let Value::Object(shown) = &mut shown {
            shown.insert("token".to_owned(), Value::String(text));
        }
        print_json(&shown)?;
        return Ok(Exit::Done);
    }
    let whose = view.tenant.map_or("all tenants".to_owned(), |tenant| format!("tenant {tenant}"));
    let until = view.expires.map_or("for ever".to_owned(), |end| format!("until {end}"));
    note(format!(
        "token {id}: {} of {whose}, {until}; it is in {}, and shown this once:",
        view.role,
        config.short(path)
    ));
    print(text)?;
    Ok(Exit::Done)
}

/// When a token ends: so long from now, or then.
fn end(text: &str, common: &Common, now: Timestamp) -> Result<Timestamp, Failure> {
    let end = match positive_duration(&Value::from(text)) {
        Ok(span) => Timestamp::from_secs(now.after(span).micros() / 1_000_000),
        Err(_) => common.instant("--expires", text)?,
    };
    if end <= now {
        return Err(Failure::usage(format!("--expires: {end} has passed; give a later time")));
    }
    Ok(end)
}

fn list(common: &Common, config: &Config, path: &Path) -> Result<Exit, Failure> {
    let tokens = match file::read(path) {
        Ok(found) => found.tokens,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Tokens::default(),
        Err(error) => return Err(Failure::usage(error)),
    };
    if common.json {
        tokens.iter().try_for_each(|token| print_json(&token.view()))?;
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        let file = config.short(path);
        note(format!("there is no token in {file}; make one: `host token create --role admin`"));
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let rows: Vec<_> = tokens.iter().map(|token| row(token, now)).collect();
    print(table(["TOKEN", "ROLE", "TENANT", "CREATED", "EXPIRES"], &rows))?;
    Ok(Exit::Done)
}

fn row(token: &Made, now: Timestamp) -> [Cell; 5] {
    let expires = match token.expires {
        Some(end) if end <= now => Cell::new(format!("{end} (expired)"), Tone::Bad),
        end => Cell::or_dash(end),
    };
    [
        token.id.to_string().into(),
        token.role.word().into(),
        Cell::or_dash(token.tenant.as_ref()),
        token.created.to_string().into(),
        expires,
    ]
}

fn revoke(args: &Revoke, common: &Common, config: &Config, path: &Path) -> Result<Exit, Failure> {
    let gone = edit(path, |tokens| match tokens.get(&args.id).map(Made::view) {
        Some(view) => Ok((tokens.without(&args.id), view)),
        None => {
            let ids: Vec<&str> = tokens.iter().map(|token| token.id.as_str()).collect();
            let help = match nearest(args.id.as_str(), &ids) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`host token ls` shows which there are".to_owned(),
            };
            Err(format!("there is no token `{}`; {help}", args.id))
        }
    })?;
    if common.json {
        print_json(&gone)?;
    } else {
        note(format!("token {} is revoked, in {}", gone.id, config.short(path)));
    }
    Ok(Exit::Done)
}

fn edit<T>(
    path: &Path,
    change: impl FnOnce(Tokens) -> Result<(Tokens, T), String>,
) -> Result<T, Failure> {
    file::edit(path, change).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::usage(error),
        std::io::ErrorKind::Other => Failure::failed(error),
        _ => Failure::failed(format!("`{}` can't be written: {error}", path.display())),
    })
}
