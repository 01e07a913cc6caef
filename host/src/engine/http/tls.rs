//! Whose certificates are believed: the machine's own store, or what `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// The certificates that this machine believes; read when the first request wants them.
#[derive(Default)]
pub(in crate::engine) struct Trust(OnceCell<Result<TlsConnector, String>>);

impl Trust {
    /// What makes encrypted connections.
    ///
    /// # Errors
    ///
    /// This machine believes nobody, as the rest of a sentence.
    pub(super) async fn connector(&self) -> Result<TlsConnector, String> {
        let read = async || {
            let read = tokio::task::spawn_blocking(read).await;
            read.unwrap_or_else(|error| Err(format!("its certificates can't be read ({error})")))
        };
        self.0.get_or_init(read).await.clone()
    }
}

fn read() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this machine has no certificates of authorities{why}; install `ca-certificates`, or \
             name a file with SSL_CERT_FILE"
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up ({error})"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
