//! Whose certificates a command believes when it asks a host over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::cli::exit::Failure;

/// TLS that believes this machine's certificates, those of `ca_file`, and those of `own`: the
/// certificate that the host itself was configured with, as far as it can be read.
///
/// # Errors
///
/// `ca_file` can't be read or has no certificate.
pub(super) fn tls(ca_file: Option<&Path>, own: Option<&Path>) -> Result<TlsConfig, Failure> {
    let mut believed = rustls_native_certs::load_native_certs().certs;
    if let Some(file) = ca_file {
        let wrong = |why: &dyn std::fmt::Display| {
            let file = file.display();
            Failure::usage(format!("--ca-file `{file}`: {why}; it must hold certificates as PEM"))
        };
        let found = certificates(file).map_err(|error| wrong(&error))?;
        if found.is_empty() {
            return Err(wrong(&"there is none in it"));
        }
        believed.extend(found);
    }
    // Whoever may not read it names the authority.
    believed.extend(own.and_then(|file| certificates(file).ok()).unwrap_or_default());
    let roots: Vec<_> = believed.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
    let config = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    Ok(config.build())
}

fn certificates(
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}
