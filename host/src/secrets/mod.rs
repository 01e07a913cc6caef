//! Secrets of jobs: read where the configuration says they stand, each time a run starts, and kept
//! nowhere. What a run says is freed of them by [`redact`].

pub mod redact;

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crate::config::secret::{self, SecretRef};
use crate::job::names::{SecretName, TenantId};
use redact::Redactor;

/// Bytes of one secret at most.
pub const MAX_BYTES: u64 = 64 << 10;
/// Bytes of all secrets of one run at most: each log line is searched for them.
pub const MAX_SUM_BYTES: usize = 256 << 10;
/// Bytes of one secret at least: shorter ones can't be told from other text.
pub const MIN_BYTES: usize = 4;
/// How long reading may take.
const READ_TIME: Duration = Duration::from_secs(10);

/// The secrets of one run. Neither shown nor written by anything.
#[derive(Default)]
pub struct Secrets {
    values: BTreeMap<SecretName, String>,
    redactor: Redactor,
}

impl Secrets {
    /// Reads those of these names, as a tenant's jobs may have them.
    ///
    /// # Errors
    ///
    /// Which one can't be had, and where it should stand.
    pub async fn read(
        places: &secret::Secrets,
        tenant: &TenantId,
        names: &[SecretName],
    ) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self::default());
        }
        let find = |name: &SecretName| {
            let place = places.find(tenant, name).ok_or_else(|| {
                let write = secret::how_to_write(tenant, name);
                format!("the secret `{name}` stands nowhere; say where in `host.toml`: {write}")
            })?;
            Ok((name.clone(), place))
        };
        let wanted = names.iter().map(find).collect::<Result<Vec<_>, String>>()?;
        // A file may stand on a disk that does not answer.
        let reading = tokio::task::spawn_blocking(move || {
            let read = |(name, place)| value(&name, &place).map(|value| (name, value));
            wanted.into_iter().map(read).collect::<Result<BTreeMap<_, _>, _>>().and_then(Self::of)
        });
        match tokio::time::timeout(READ_TIME, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => {
                Err(format!("its secrets could not be read within {READ_TIME:?}"))
            }
        }
    }

    /// These, if they are not too much.
    fn of(values: BTreeMap<SecretName, String>) -> Result<Self, String> {
        if MAX_SUM_BYTES < values.values().map(String::len).sum() {
            return Err(format!("its secrets have more than {MAX_SUM_BYTES} bytes altogether"));
        }
        let redactor = Redactor::new(values.iter().map(|(name, value)| (name.as_str(), value)));
        Ok(Self { values, redactor })
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name: SecretName = name.parse().ok()?;
        self.values.get(&name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What takes them out of a text.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Reads one where it stands. No message shows it.
fn value(name: &SecretName, place: &SecretRef) -> Result<String, String> {
    let text = match place {
        SecretRef::Env(variable) => std::env::var(variable).map_err(|error| match error {
            VarError::NotPresent => "it is not set".to_owned(),
            // Its own message would show the value.
            VarError::NotUnicode(_) => "it is not Unicode".to_owned(),
        }),
        SecretRef::File(path) => file(path),
    };
    let text = text.map_err(|why| {
        format!("the secret `{name}` stands in {place}, which can't be read: {why}")
    })?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    let wrong = match value.len() {
        0 => "is empty".to_owned(),
        short if short < MIN_BYTES => format!("has less than {MIN_BYTES} bytes"),
        long if MAX_BYTES < long as u64 => format!("has more than {MAX_BYTES} bytes"),
        _ => return Ok(value.to_owned()),
    };
    Err(format!("the secret `{name}` in {place} {wrong}; it needs {MIN_BYTES} to {MAX_BYTES}"))
}

/// Reads a file, no more of it than a secret may have.
fn file(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    // One line break at the end does not count.
    let read = file.take(MAX_BYTES + 3).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dir: &Path) -> secret::Secrets {
        let named = BTreeMap::from([
            ("HERE".parse().unwrap(), SecretRef::File(dir.join("here"))),
            ("ENV".parse().unwrap(), SecretRef::Env("CAMPANILE_NO_SUCH_VARIABLE".to_owned())),
        ]);
        let named = BTreeMap::from([(TenantId::default_tenant(), named)]);
        secret::Secrets { named, dir: Some(dir.to_owned()) }
    }

    async fn read(dir: &Path, name: &str) -> Result<Secrets, String> {
        Secrets::read(&places(dir), &TenantId::default_tenant(), &[name.parse().unwrap()]).await
    }

    #[tokio::test]
    async fn a_secret_is_read_anew_each_time_without_its_line_break() {
        let dir = tempfile::tempdir().unwrap();
        for (text, value) in
            [("one-two\n", "one-two"), ("three\r\n", "three"), ("a b\n\n", "a b\n")]
        {
            std::fs::write(dir.path().join("here"), text).unwrap();
            let secrets = read(dir.path(), "HERE").await.unwrap();
            assert_eq!(secrets.get("HERE"), Some(value));
            assert_eq!(secrets.get("OTHER"), None);
            assert_eq!(format!("{secrets:?}"), "{SecretName(\"HERE\")}");
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_the_place_where_it_should_stand() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("short"), "abc\n").unwrap();
        std::fs::write(dir.path().join("long"), "x".repeat(70_000)).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        for (name, part) in [
            ("HERE", "the secret `HERE` stands in the file `"),
            ("ENV", "the environment variable `CAMPANILE_NO_SUCH_VARIABLE`, which can't be read"),
            ("short", "has less than 4 bytes; it needs 4 to 65536"),
            ("long", "has more than 65536 bytes"),
            ("folder", "it is no file"),
        ] {
            let error = read(dir.path(), name).await.unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("abc"), "{error}");
        }
        let (none, tenant) = (secret::Secrets::default(), TenantId::default_tenant());
        let nowhere = Secrets::read(&none, &tenant, &["X".parse().unwrap()]).await;
        assert!(nowhere.unwrap_err().contains("`[secrets] X = { env = \"X\" }`"));
    }

    #[tokio::test]
    async fn a_tenant_has_no_secret_of_another_and_is_not_told_that_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here"), "one-two").unwrap();
        let acme = "acme".parse().unwrap();
        let read = |name: &str| {
            let (places, name) = (places(dir.path()), name.parse().unwrap());
            let acme: &TenantId = &acme;
            async move { Secrets::read(&places, acme, &[name]).await.unwrap_err() }
        };
        // One by its name, one of the folder, and one that nobody has.
        let (named, in_dir, none) = (read("HERE").await, read("here").await, read("HALF").await);
        assert_eq!(named, none.replace("HALF", "HERE"));
        assert_eq!(in_dir, none.replace("HALF", "here"));
        assert!(none.contains("`[tenants.acme.secrets] HALF = { env = \"HALF\" }`"), "{none}");
        assert!(!none.contains("secrets_dir"), "{none}");
    }
}
