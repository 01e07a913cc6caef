//! What a run may touch, and how much of that a tenant may give away by itself.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::http::HttpGrant;
use super::names::SecretName;
use super::tcp::TcpGrant;

/// What a run may touch; whatever is not here is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Folders of the host, as the guest sees them.
    pub dirs: Vec<DirGrant>,
    /// Where it may send HTTP requests.
    pub http: Vec<HttpGrant>,
    /// Where it may connect to.
    pub tcp: Vec<TcpGrant>,
    /// Its environment.
    pub env: Vec<EnvGrant>,
    /// What `wasi:config` answers beside the job's own configuration.
    pub secrets: Vec<SecretName>,
    /// Whether it has buckets of keys and values.
    pub kv: bool,
    /// Whether it may define and start jobs of its tenant.
    pub jobs: bool,
}

/// One granted folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// On the host, absolute.
    pub host: PathBuf,
    /// In the guest, absolute: `/data`.
    pub guest: String,
    /// Whether it may be written.
    pub mode: DirMode,
}

/// How a granted folder may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirMode {
    /// Read only.
    ReadOnly,
    /// Read and written.
    ReadWrite,
}

/// One variable of a job's environment. Written `LANG`, the host's own, or `LANG=C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvGrant {
    /// Its name.
    pub name: String,
    /// What it is; `None`: what it is for the host when the run starts.
    pub value: Option<String>,
}

impl fmt::Display for EnvGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for EnvGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || text.contains('\0') {
            return Err(format!(
                "must be like `LANG`, which hands on the host's own, or `LANG=C`, not `{text}`"
            ));
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

/// What those who do not own the machine may give to jobs of their tenant: sidecars, plugins, REST,
/// guests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Folders of the host, and all below them; absolute.
    pub dirs: Vec<PathBuf>,
    /// Where requests may go.
    pub http: Vec<HttpGrant>,
    /// Where connections may go.
    pub tcp: Vec<TcpGrant>,
    /// Names of the host's own variables. A variable with a value of its own needs no leave.
    pub env: Vec<String>,
    /// Secrets.
    pub secrets: Vec<SecretName>,
    /// Buckets.
    pub kv: bool,
    /// Jobs.
    pub jobs: bool,
}

impl Allow {
    /// Nothing at all.
    pub fn nothing() -> &'static Self {
        static NOTHING: Allow = Allow {
            dirs: Vec::new(),
            http: Vec::new(),
            tcp: Vec::new(),
            env: Vec::new(),
            secrets: Vec::new(),
            kv: false,
            jobs: false,
        };
        &NOTHING
    }

    /// What of `wanted` goes beyond it: the key and the thing, one each.
    pub fn beyond(&self, wanted: &Capabilities) -> Vec<(&'static str, String)> {
        let mut beyond = Vec::new();
        let dirs = wanted.dirs.iter().filter(|dir| !self.has_dir(dir));
        beyond.extend(dirs.map(|dir| ("dirs", dir.host.display().to_string())));
        let http = wanted.http.iter().filter(|grant| !self.http.contains(grant));
        beyond.extend(http.map(|grant| ("http", grant.to_string())));
        let tcp = wanted.tcp.iter().filter(|grant| !self.tcp.contains(grant));
        beyond.extend(tcp.map(|grant| ("tcp", grant.to_string())));
        let own = wanted.env.iter().filter(|grant| grant.value.is_none());
        let env = own.filter(|grant| !self.env.contains(&grant.name));
        beyond.extend(env.map(|grant| ("env", grant.name.clone())));
        let secrets = wanted.secrets.iter().filter(|name| !self.secrets.contains(name));
        beyond.extend(secrets.map(|name| ("secrets", name.to_string())));
        for (key, wanted, allowed) in [("kv", wanted.kv, self.kv), ("jobs", wanted.jobs, self.jobs)]
        {
            if wanted && !allowed {
                beyond.push((key, "true".to_owned()));
            }
        }
        beyond
    }

    /// A folder below an allowed one; one with `..` in its path is below none.
    fn has_dir(&self, dir: &DirGrant) -> bool {
        let up = dir.host.components().any(|part| part == std::path::Component::ParentDir);
        !up && self.dirs.iter().any(|allowed| dir.host.starts_with(allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(host: &str) -> DirGrant {
        DirGrant { host: host.into(), guest: "/data".to_owned(), mode: DirMode::ReadWrite }
    }

    #[test]
    fn what_goes_beyond_is_named_with_its_key() {
        let wanted = Capabilities {
            dirs: vec![dir("/srv/acme/in"), dir("/srv/acme2"), dir("/srv/acme/../other")],
            http: vec!["https://a.example.com".parse().unwrap()],
            tcp: vec!["10.0.0.5:80".parse().unwrap()],
            env: vec!["LANG".parse().unwrap(), "A=b".parse().unwrap()],
            secrets: vec!["TOKEN".parse().unwrap()],
            kv: true,
            jobs: true,
        };
        let keys = |allow: &Allow| -> Vec<&str> {
            allow.beyond(&wanted).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(
            keys(Allow::nothing()),
            ["dirs", "dirs", "dirs", "http", "tcp", "env", "secrets", "kv", "jobs"]
        );
        let allow = Allow {
            dirs: vec!["/srv/acme".into()],
            http: wanted.http.clone(),
            tcp: wanted.tcp.clone(),
            env: vec!["LANG".to_owned()],
            secrets: wanted.secrets.clone(),
            kv: true,
            jobs: true,
        };
        assert_eq!(
            allow.beyond(&wanted),
            [("dirs", "/srv/acme2".to_owned()), ("dirs", "/srv/acme/../other".to_owned())]
        );
    }

    #[test]
    fn a_variable_is_the_hosts_own_or_has_a_value() {
        for text in ["LANG", "LANG=C", "EMPTY="] {
            assert_eq!(text.parse::<EnvGrant>().unwrap().to_string(), text);
        }
        assert!("=C".parse::<EnvGrant>().is_err());
    }
}
