//! The table `[api]`: where the host listens, whom it answers, and what it proves itself with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Api, TlsFiles, keys};
use crate::table::Table;
use crate::table::value::{shown, text};

/// Reads `api` of `top`; relative paths start at `base`.
pub fn api(top: &mut Table<'_>, base: &Path) -> Api {
    let listen = SocketAddr::from(([127, 0, 0, 1], 7600));
    let mut api = Api { listen, tokens: None, tls: None };
    let Some(mut table) = top.table("api", &keys::API) else { return api };
    api.listen = table.read("listen", address).unwrap_or(listen);
    api.tokens = table.read("tokens", |value| file(value, base));
    api.tls = tls(&mut table, base);
    // A wrong `tokens` has a problem of its own.
    if table.raw("tokens").is_none() && !api.listen.ip().is_loopback() {
        let message = format!(
            "`{}` can be reached from other machines, and there are no tokens: use a loopback \
             address like `127.0.0.1:{}`, or write `tokens = \"tokens.toml\"` below `[api]` and \
             make one with `host token create --role admin`",
            api.listen,
            api.listen.port()
        );
        table.problem("listen", message);
    }
    top.absorb(table.finish());
    api
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    text(value)?.parse().map_err(|_| {
        format!("must be an address and a port like `127.0.0.1:7600`, not {}", shown(value))
    })
}

fn tls(api: &mut Table<'_>, base: &Path) -> Option<TlsFiles> {
    let mut table = api.table("tls", &keys::TLS)?;
    for key in keys::TLS.built {
        if table.raw(key).is_none() {
            table.problem(key, "is missing: `tls = { cert = \"cert.pem\", key = \"key.pem\" }`");
        }
    }
    let cert = table.read("cert", |value| file(value, base));
    let key = table.read("key", |value| file(value, base));
    api.absorb(table.finish());
    Some(TlsFiles { cert: cert?, key: key? })
}

fn file(value: &Value, base: &Path) -> Result<PathBuf, String> {
    match text(value)? {
        path if path.contains('\0') => Err("must not contain the character NUL".to_owned()),
        path => Ok(base.join(path).components().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn parse(api: &str) -> Result<Api, String> {
        let text = format!("[api]\n{api}");
        let config = Config::parse(&text, Path::new("host.toml"), Path::new("/srv"), 1);
        config.map(|config| config.api).map_err(|error| error.to_string())
    }

    #[test]
    fn files_start_at_the_folder_of_the_configuration() {
        let api = parse("tokens = 't/x.toml'\ntls = { cert = 'c.pem', key = '/k.pem' }").unwrap();
        assert_eq!(api.tokens, Some("/srv/t/x.toml".into()));
        let tls = TlsFiles { cert: "/srv/c.pem".into(), key: "/k.pem".into() };
        assert_eq!((api.scheme(), api.tls), ("https", Some(tls)));
        assert_eq!(parse("").unwrap().scheme(), "http");
    }

    #[test]
    fn beyond_this_machine_there_must_be_tokens() {
        for (text, said) in [
            ("listen = '0.0.0.0:7600'", "`tokens = \"tokens.toml\"`"),
            ("listen = '0.0.0.0:7600'", "`host token create --role admin`"),
            ("listen = '[2001:db8::1]:80'", "`127.0.0.1:80`"),
            ("listen = '0.0.0.0:7600'\ntls = { cert = 'a', key = 'b' }", "no tokens"),
            ("listen = 'localhost:1'", "must be an address and a port"),
            ("tls = { cert = 'a' }", "api.tls.key: is missing"),
            ("tls = { cert = 'a', kee = 'b' }", "did you mean `key`?"),
            ("tokens = 3", "api.tokens: must be text"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let open = parse("listen = '0.0.0.0:7600'\ntokens = 'tokens.toml'").unwrap();
        assert!(!open.listen.ip().is_loopback());
    }
}
