//! Who may do what: every route with every kind of token, tokens that come and go while the host
//! serves, its certificate, and what is kept of changes.

mod audit;
mod routes;
mod tls;
mod tokens;
pub mod wire;

use std::process::Output;

use serde_json::Value;

use crate::support::host::Site;

/// A site with tokens and three tenants.
fn site() -> Site {
    let site = Site::new("");
    site.configure_api("[tenants.acme]\n[tenants.zeta]\n", "tokens = \"tokens.toml\"");
    site
}

/// Makes a token with these arguments; answers its text.
fn token(site: &Site, args: &[&str]) -> String {
    let made = site.cli(&[&["token", "create"], args].concat());
    assert!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim().to_owned()
}

/// What a command said on standard error.
fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a command printed, a JSON value a line.
fn printed(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
