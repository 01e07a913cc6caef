//! The files that say whom the host answers and what it proves itself with: read at the start, and
//! again when they change. What is wrong then changes nothing, and is said once.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::access::Access;
use super::server::stopped;
use crate::access::token::Token;
use crate::access::{Tokens, file};
use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::clock::SharedClock;
use crate::config::{Api, TlsFiles};
use crate::job::names::TokenId;
use crate::store::Store;
use crate::time::Timestamp;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a file with certificates or a key at most.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// The certificate that connections are encrypted with, as it stands now.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

impl Tls {
    /// What the next connection is encrypted with.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow())
    }
}

/// How a host is entered: what was read at the start, and what keeps it up to date.
#[derive(Debug)]
pub struct Doors {
    /// Whom it answers.
    pub access: Access,
    /// What it proves itself with; `None`: it speaks plainly.
    pub tls: Option<Tls>,
    /// Looks at the files.
    pub keeper: Keeper,
}

/// Reads the files again when they change.
#[derive(Debug)]
pub struct Keeper {
    tokens: Option<(Api, watch::Sender<Arc<Tokens>>)>,
    tls: Option<Certificate>,
    /// What was last said of either, so that it is said once.
    said_of_tokens: String,
    said_of_tls: String,
}

/// A certificate with its files.
#[derive(Debug)]
struct Certificate {
    files: TlsFiles,
    /// What was last taken over.
    pem: Pem,
    sender: watch::Sender<Arc<ServerConfig>>,
}

impl Doors {
    /// Of a host that nobody asks over the network.
    pub fn shut() -> Self {
        Self { access: Access::Local, tls: None, keeper: Keeper::of(None, None) }
    }

    /// Reads what the configuration names, and warns of what is unsafe.
    ///
    /// # Errors
    ///
    /// A file is missing or wrong; the message says which and what makes it.
    pub fn open(api: &Api) -> anyhow::Result<Self> {
        let (access, tokens) = match &api.tokens {
            None => (Access::Local, None),
            Some(path) => {
                let (sender, receiver) = watch::channel(Arc::new(tokens(path)?));
                (Access::tokens(receiver), Some((api.clone(), sender)))
            }
        };
        let (tls, certificate) = match &api.tls {
            None => (None, None),
            Some(files) => {
                let pem = Pem::read(files)?;
                let (sender, receiver) = watch::channel(pem.config(files)?);
                (Some(Tls(receiver)), Some(Certificate { files: files.clone(), pem, sender }))
            }
        };
        if api.tls.is_none() && !api.listen.ip().is_loopback() {
            warn!(listen = %api.listen, "tokens travel unencrypted: give the host a certificate \
                (`[api] tls`), or put a proxy that has one before it");
        }
        Ok(Self { access, tls, keeper: Keeper::of(tokens, certificate) })
    }
}

fn tokens(path: &Path) -> anyhow::Result<Tokens> {
    let found = match file::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "the file of tokens `{}` is not there (`[api] tokens`); `host token create --role \
             admin` makes it, with a token for you",
            path.display()
        ),
        found => found.context("`[api] tokens`")?,
    };
    warn_of(path, found.is_open_to_others);
    if found.tokens.is_empty() {
        warn!(file = %path.display(), "there is no token, so nobody may ask; make one with \
            `host token create --role admin`");
    }
    Ok(found.tokens)
}

fn warn_of(path: &Path, is_open_to_others: bool) {
    if is_open_to_others {
        let file = path.display();
        warn!(%file, "others may read or write the file of tokens; `chmod 600 {file}` keeps them out");
    }
}

/// The bytes of a certificate and of its key.
#[derive(PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let cert = read(&files.cert).with_context(|| named("cert", &files.cert))?;
        let key = read(&files.key).with_context(|| named("key", &files.key))?;
        Ok(Self { cert, key })
    }

    fn config(&self, files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .with_context(|| named("cert", &files.cert))?;
        if chain.is_empty() {
            bail!("{}: there is no certificate in it; it must be PEM", named("cert", &files.cert));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .with_context(|| format!("{}: it must be a key as PEM", named("key", &files.key)))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS can't be set up")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("{} does not go with its key", named("cert", &files.cert)))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem")
    }
}

fn named(key: &str, file: &Path) -> String {
    format!("`[api] tls` {key} `{}`", file.display())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_PEM_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Keeper {
    fn of(tokens: Option<(Api, watch::Sender<Arc<Tokens>>)>, tls: Option<Certificate>) -> Self {
        Self { tokens, tls, said_of_tokens: String::new(), said_of_tls: String::new() }
    }

    /// Looks until `stop` holds true. What the file of tokens changed is kept in the audit.
    pub async fn keep(
        mut self,
        store: Arc<dyn Store>,
        clock: SharedClock,
        mut stop: watch::Receiver<bool>,
    ) {
        if self.tokens.is_none() && self.tls.is_none() {
            return;
        }
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(LOOK_EVERY) => (),
            }
            let now = clock.now();
            // A file may stand on a disk that does not answer.
            let looked = tokio::task::spawn_blocking(move || {
                let changes = self.look(now);
                (self, changes)
            });
            let Ok((keeper, changes)) = looked.await else {
                error!("nobody looks at the files of tokens and certificates any more");
                return;
            };
            self = keeper;
            for note in changes {
                audit::note(&store, note).await;
            }
        }
    }

    /// Takes over what has changed; answers which tokens did.
    fn look(&mut self, now: Timestamp) -> Vec<Note> {
        if let Some(certificate) = &mut self.tls {
            look_at_certificate(certificate, &mut self.said_of_tls);
        }
        match &self.tokens {
            Some((api, sender)) => look_at_tokens(api, sender, &mut self.said_of_tokens, now),
            None => Vec::new(),
        }
    }
}

/// Takes over the tokens that the file has now; answers what changed.
fn look_at_tokens(
    api: &Api,
    sender: &watch::Sender<Arc<Tokens>>,
    said: &mut String,
    now: Timestamp,
) -> Vec<Note> {
    let Some(path) = &api.tokens else { return Vec::new() };
    let found = match file::read(path) {
        Ok(found) => found,
        Err(error) => {
            if say(said, &error) {
                warn!(%error, "the file of tokens is of no use; the tokens that were read before count");
            }
            return Vec::new();
        }
    };
    said.clear();
    let before = Arc::clone(&sender.borrow());
    if *before == found.tokens {
        return Vec::new();
    }
    warn_of(path, found.is_open_to_others);
    let changes = changes(&before, &found.tokens, now);
    info!(
        tokens = found.tokens.len(),
        changes = changes.len(),
        "the file of tokens was read again"
    );
    sender.send_replace(Arc::new(found.tokens));
    changes
}

fn look_at_certificate(certificate: &mut Certificate, said: &mut String) {
    let Certificate { files, pem, sender } = certificate;
    let read = Pem::read(files).and_then(|new| match new == *pem {
        true => Ok(None),
        false => new.config(files).map(|config| Some((new, config))),
    });
    match read {
        Err(error) => {
            if say(said, &format!("{error:#}")) {
                warn!(
                    error = format!("{error:#}"),
                    "the certificate is of no use; the one that was \
                    read before goes on"
                );
            }
        }
        Ok(None) => said.clear(),
        Ok(Some((new, config))) => {
            said.clear();
            info!(file = %files.cert.display(), "the certificate was read again");
            sender.send_replace(config);
            *pem = new;
        }
    }
}

/// Whether this was not said before.
fn say(said: &mut String, error: &impl ToString) -> bool {
    let error = error.to_string();
    let is_new = *said != error;
    *said = error;
    is_new
}

/// What differs, as the audit tells it. No hash stands there.
fn changes(before: &Tokens, after: &Tokens, now: Timestamp) -> Vec<Note> {
    let ids: BTreeSet<&TokenId> =
        before.iter().chain(after.iter()).map(|token| &token.id).collect();
    let shown = |token: Option<&Token>| token.map_or(Value::Null, |token| json!(token.view()));
    let mut notes = Vec::new();
    for id in ids {
        let (old, new) = (before.get(id), after.get(id));
        let action = match (old, new) {
            (None, Some(_)) => Action::TokenAdded,
            (Some(_), None) => Action::TokenRemoved,
            (Some(old), Some(new)) if old != new => Action::TokenChanged,
            (_, _) => continue,
        };
        notes.push(Note::by_file(now, action, None, id).changed(shown(old), shown(new)));
    }
    notes
}
