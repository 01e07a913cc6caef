//! A host with a certificate of its own, that is replaced while it serves.

use rcgen::CertifiedKey;

use super::{printed, said, token};
use crate::support::eventually;
use crate::support::host::{Host, Site};

fn certificate() -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap()
}

fn install(site: &Site, certificate: &CertifiedKey<rcgen::KeyPair>) {
    std::fs::write(site.path("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
    std::fs::write(site.path("cert.pem"), certificate.cert.pem()).unwrap();
}

/// The exit code of a command that believes what stands in a file, and what it said.
fn asked(site: &Site, host: &Host, ca: &str, token: &str) -> (Option<i32>, String) {
    let line = ["jobs", "ls", "--url", &host.url(), "--ca-file", ca, "--token", token];
    let output = site.cli(&line);
    (output.status.code(), said(&output))
}

#[test]
fn a_certificate_is_used_and_replaced_while_the_host_serves() {
    let site = Site::new("");
    let tls = "tokens = \"tokens.toml\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }";
    site.configure_api("", tls);
    let viewer = token(&site, &["--role", "viewer"]);
    let (status, why) = site.start_in_vain();
    assert!(!status.success() && why.contains("`[api] tls` cert `"), "{why}");

    let (first, second) = (certificate(), certificate());
    install(&site, &first);
    std::fs::write(site.path("first.pem"), first.cert.pem()).unwrap();
    std::fs::write(site.path("second.pem"), second.cert.pem()).unwrap();
    let host = site.start_unseen();
    assert!(host.url().starts_with("https://127.0.0.1:"));
    assert_eq!(asked(&site, &host, "first.pem", &viewer).0, Some(0));
    let (code, why) = asked(&site, &host, "second.pem", &viewer);
    assert!(code == Some(1) && why.contains("--ca-file"), "{why}");
    let (code, why) = asked(&site, &host, "first.pem", "camp_x_0");
    assert!(code == Some(1) && why.contains("host token create"), "{why}");

    install(&site, &second);
    host.says("the certificate was read again");
    eventually("the new certificate", || {
        (asked(&site, &host, "second.pem", &viewer).0 == Some(0)).then_some(())
    });
    assert_eq!(asked(&site, &host, "first.pem", &viewer).0, Some(1));

    // One that is wrong changes nothing.
    std::fs::write(site.path("cert.pem"), "nothing").unwrap();
    host.says("the certificate is of no use");
    assert_eq!(asked(&site, &host, "second.pem", &viewer).0, Some(0));
}

#[test]
fn a_host_with_a_certificate_is_found_where_the_configuration_says() {
    let port = crate::support::ports::free();
    let site = Site::new("");
    let text = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\ntls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n"
    );
    std::fs::write(site.path("host.toml"), text).unwrap();
    install(&site, &certificate());
    let host = site.start_unseen();
    host.says("listens on https://");
    let found = site.cli(&["hosts", "--json"]);
    assert!(found.status.success(), "{found:?}");
    assert_eq!(printed(&found)[0]["self"], true, "{found:?}");
}
