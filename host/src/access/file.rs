//! `tokens.toml`: read whole, written whole beside itself and put in its place.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::token::{Hash, Token};
use super::{MAX_TOKENS, Role, Tokens};
use crate::config::text;
use crate::problem::Problem;
use crate::table::value::{choice, list, name, shown};
use crate::table::{Keys, Table};
use crate::time::Timestamp;

/// Bytes of the file at most.
pub const MAX_FILE_BYTES: u64 = 8 << 20;
/// Who may read and write the file: its owner.
const MODE: u32 = 0o600;
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;
/// What stands at the top of the file.
const HEAD: &str = "\
# Who may use this host. `host token create` adds a token, `host token revoke` takes one away; hosts
# notice within seconds. Written anew each time: what is not a token is not kept.
";

/// The keys at the top.
const TOP: Keys = Keys { built: &["token"], planned: &[], reserved: &[], refused: &[] };
/// The keys of one token.
const TOKEN: Keys = Keys {
    built: &["id", "tenant", "role", "hash", "created", "expires"],
    planned: &[],
    reserved: &[],
    refused: &[("secret", "a secret stands in no file; `hash` is what stands here")],
};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The tokens.
    pub tokens: Tokens,
    /// Whether others than the owner may read or write the file.
    pub is_open_to_others: bool,
}

/// Reads the file.
///
/// # Errors
///
/// It is not there, can't be read, or is wrong: all that is wrong, in one message that names it.
pub fn read(file: &Path) -> io::Result<Found> {
    let wrong = |why: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("`{}`: {why}", file.display()))
    };
    let open = fs::File::open(file)
        .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", file.display())))?;
    let about = open.metadata()?;
    let mut text = String::new();
    open.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(format!("it can't be read: {error}")))?;
    if MAX_FILE_BYTES < text.len() as u64 {
        return Err(wrong(format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    let tokens = parse(&text).map_err(|problems| {
        wrong(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    Ok(Found { tokens, is_open_to_others: about.mode() & OTHERS != 0 })
}

/// Changes the file in one step, for its owner alone; makes it when there is none. Of several who
/// do so at once each sees what the one before has written.
///
/// # Errors
///
/// The file is wrong or can't be written, or what `change` says.
pub fn edit<T>(
    file: &Path,
    change: impl FnOnce(Tokens) -> Result<(Tokens, T), String>,
) -> io::Result<T> {
    // What a link leads to is replaced, not the link.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().unwrap_or(Path::new("."));
    let lock = fs::File::open(folder)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let before = match read(&file) {
        Ok(found) => found.tokens,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Tokens::default(),
        Err(error) => return Err(error),
    };
    let (after, done) = change(before).map_err(io::Error::other)?;
    if MAX_TOKENS < after.len() {
        return Err(io::Error::other(format!("there are {MAX_TOKENS} tokens; revoke some")));
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    // What is left of a change that broke off may be open to others.
    let _ = fs::remove_file(beside);
    let mut written =
        fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    written.write_all(render(&after).as_bytes())?;
    // Of whoever runs the host, also when somebody else changes it.
    let of = |about: &fs::Metadata| (about.uid(), about.gid());
    if let Ok(owner) = fs::metadata(&file).map(|about| of(&about))
        && owner != of(&written.metadata()?)
    {
        fchown(&written, Some(owner.0), Some(owner.1))?;
    }
    written.sync_all()?;
    fs::rename(beside, &file)?;
    lock.sync_all()?;
    Ok(done)
}

/// Reads the text of the file.
///
/// # Errors
///
/// All that is wrong with it. No message shows a hash.
pub fn parse(text: &str) -> Result<Tokens, Vec<Problem>> {
    let entries = text::entries(text).map_err(|problem| vec![problem])?;
    let mut top = Table::new("", &entries, &TOP);
    let items: Vec<Value> = top
        .read("token", |value| match list(value)? {
            many if MAX_TOKENS < many.len() => Err(format!("are more than {MAX_TOKENS}")),
            items => Ok(items.to_vec()),
        })
        .unwrap_or_default();
    let mut tokens = Tokens::default();
    for (number, item) in items.iter().enumerate() {
        let path = format!("token[{number}]");
        let Value::Object(entries) = item else {
            top.problem(&path, format!("must be a table `[[token]]`, not {}", shown(item)));
            continue;
        };
        let mut table = Table::new(&path, entries, &TOKEN);
        if let Some(token) = token(&mut table) {
            if tokens.get(&token.id).is_some() {
                table.problem("id", format!("`{}` stands there twice", token.id));
            }
            tokens = tokens.with(token);
        }
        top.absorb(table.finish());
    }
    let problems = top.finish();
    if problems.is_empty() { Ok(tokens) } else { Err(problems) }
}

fn token(table: &mut Table<'_>) -> Option<Token> {
    for key in ["id", "role", "hash", "created"] {
        if table.raw(key).is_none() {
            table.problem(key, "is missing");
        }
    }
    let time = |value: &Value| Timestamp::parse(value.as_str().unwrap_or_default());
    let id = table.read("id", name);
    // One that is wrong must not become one that sees everybody's things.
    let tenant = match table.raw("tenant") {
        Some(_) => Some(table.read("tenant", name)?),
        None => None,
    };
    let role = table.read("role", choice(&Role::ALL.map(|role| (role.word(), role))));
    let hash = table.read("hash", |value| Hash::parse(value.as_str().unwrap_or_default()));
    let created = table.read("created", time);
    let expires = match table.raw("expires") {
        Some(_) => Some(table.read("expires", time)?),
        None => None,
    };
    Some(Token { id: id?, tenant, role: role?, hash: hash?, created: created?, expires })
}

/// The file's text. Every value is of letters that TOML takes as they are.
fn render(tokens: &Tokens) -> String {
    let mut text = HEAD.to_owned();
    for token in tokens.iter() {
        text.push_str(&format!("\n[[token]]\nid = \"{}\"\n", token.id));
        if let Some(tenant) = &token.tenant {
            text.push_str(&format!("tenant = \"{tenant}\"\n"));
        }
        text.push_str(&format!("role = \"{}\"\nhash = \"{}\"\n", token.role, token.hash));
        text.push_str(&format!("created = {}\n", token.created));
        if let Some(expires) = token.expires {
            text.push_str(&format!("expires = {expires}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::token::Secret;
    use super::*;

    fn token(id: &str, tenant: Option<&str>, expires: Option<i64>) -> Token {
        Token {
            id: id.parse().unwrap(),
            tenant: tenant.map(|tenant| tenant.parse().unwrap()),
            role: Role::Operator,
            hash: Secret::of([1; 32]).hash(),
            created: Timestamp::from_secs(1_000),
            expires: expires.map(Timestamp::from_secs),
        }
    }

    #[test]
    fn what_is_written_reads_back_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.toml");
        assert_eq!(read(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
        let tokens = [token("ci", None, None), token("acme", Some("acme"), Some(2_000))];
        for token in tokens.clone() {
            edit(&file, |tokens| Ok((tokens.with(token), ()))).unwrap();
        }
        let found = read(&file).unwrap();
        assert_eq!(found, Found { tokens: Tokens::new(tokens), is_open_to_others: false });
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        edit(&link, |tokens| Ok((tokens.without(&"ci".parse().unwrap()), ()))).unwrap();
        fs::remove_file(&link).unwrap();
        assert_eq!(read(&file).unwrap().tokens.len(), 1);
        assert!(edit(&file, |_| Err::<(Tokens, ()), _>("no".to_owned())).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(read(&file).unwrap().is_open_to_others);
    }

    #[test]
    fn all_that_is_wrong_is_named_and_no_hash_is_shown() {
        let secret = "a".repeat(64);
        let text = format!(
            "[[token]]\nid = 'a b'\nrole = 'root'\nhash = '{secret}'\n[[token]]\nid = 'x'\ntenant \
             = 'X'\nrole = 'viewer'\n"
        );
        let problems = parse(&text).unwrap_err();
        let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "token[0].id",
            "token[0].role",
            "token[0].hash",
            "token[0].created",
            "token[1].tenant",
            "token[1].hash",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert!(!all.contains(&secret), "{all}");
        let twice = render(&Tokens::new([token("x", None, None)]));
        let twice = format!("{twice}{twice}");
        assert!(parse(&twice).unwrap_err()[0].message.contains("twice"));
        assert!(parse("token = 3").is_err());
        assert_eq!(parse("").unwrap(), Tokens::default());
    }
}
