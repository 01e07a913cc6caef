//! Where a request is to go: scheme, host and port, and whether that is granted.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use wasmtime_wasi_http::Error;

use crate::job::http::{HttpGrant, Scheme};
use crate::job::tcp::is_inner;

/// The one name that leads to this machine.
const LOCALHOST: &str = "localhost";

/// Where a request is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    /// A name in lower case without a final dot, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of a URI.
    ///
    /// # Errors
    ///
    /// It has none, or there is a user in it: what is to be secret belongs into a header.
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let bare = authority.host();
        let port = match authority.as_str().strip_prefix(bare) {
            Some("") => scheme.port(),
            Some(rest) => {
                let port = rest.strip_prefix(':').ok_or(Error::HttpRequestUriInvalid)?;
                port.parse().map_err(|_| Error::HttpRequestUriInvalid)?
            }
            None => return Err(Error::HttpRequestUriInvalid),
        };
        let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
        let host = match bare.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase(),
        };
        if host.is_empty() || port == 0 {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Self { scheme, host, port })
    }

    /// Whether a request may go there.
    pub(super) fn is_granted(&self, granted: &[HttpGrant]) -> bool {
        granted.iter().any(|grant| grant.allows(self.scheme, &self.host, self.port))
    }

    /// The address that it is, if it is no name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether its name, which is granted, may lead to this address: to a public one, to one that is
    /// granted itself, and `localhost` to this machine.
    pub(super) fn may_lead(&self, address: IpAddr, granted: &[HttpGrant]) -> bool {
        let address = address.to_canonical();
        let public =
            if self.host == LOCALHOST { address.is_loopback() } else { !is_inner(address) };
        public || self.at(address).is_granted(granted)
    }

    /// The same at an address that its name leads to.
    pub(super) fn at(&self, address: IpAddr) -> Self {
        Self { host: address.to_string(), ..self.clone() }
    }

    /// What stands in the header `host`.
    pub(super) fn authority(&self) -> String {
        let origin = self.to_string();
        origin.split_once("://").map_or(origin.clone(), |(_, rest)| rest.to_owned())
    }

    /// What would grant it.
    pub(super) fn needs(&self) -> String {
        let origin = self.to_string();
        if origin.parse::<HttpGrant>().is_ok() {
            format!("it needs `capabilities.http = [\"{origin}\"]`")
        } else {
            "only names and whole addresses can be granted in `capabilities.http`".to_owned()
        }
    }
}

impl fmt::Display for Origin {
    /// As it is granted: without the port that is the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{}{host}{}", scheme.as_str(), brackets.0, brackets.1)?;
        if *port == scheme.port() { Ok(()) } else { write!(f, ":{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(uri: &str) -> Result<String, String> {
        let uri: Uri = uri.parse().unwrap();
        Origin::of(&uri).map(|origin| origin.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_origin_has_one_spelling() {
        for (uri, spelling) in [
            ("http://api.example.com/path?key=secret", "http://api.example.com"),
            ("HTTPS://API.Example.com.:443/", "https://api.example.com"),
            ("http://10.0.0.5:8080/", "http://10.0.0.5:8080"),
            ("http://[::ffff:10.0.0.5]/", "http://10.0.0.5"),
            ("http://[::1]:81/", "http://[::1]:81"),
            ("http://0x7f.1/", "http://0x7f.1"),
        ] {
            assert_eq!(origin(uri).as_deref(), Ok(spelling), "{uri}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_and_users_are_not_repeated() {
        for uri in [
            "/path",
            "http://user:pass@api.example.com/",
            "http://api.example.com:0/",
            "http://api.example.com:99999/",
            "http://api.example.com:/",
        ] {
            let refused = origin(uri).unwrap_err();
            assert!(!refused.contains("pass"), "{refused}");
        }
    }

    #[test]
    fn a_name_leads_to_public_addresses_and_to_granted_ones() {
        let granted = |texts: &[&str]| -> Vec<HttpGrant> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let leads = |uri: &str, address: &str, grants: &[&str]| {
            let origin = Origin::of(&uri.parse().unwrap()).unwrap();
            origin.may_lead(address.parse().unwrap(), &granted(grants))
        };
        let api = "http://api.example.com:8080/";
        assert!(leads(api, "93.184.216.34", &[]));
        for inner in ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "::ffff:10.0.0.5"] {
            assert!(!leads(api, inner, &[]), "{inner}");
        }
        assert!(leads(api, "10.0.0.5", &["http://10.0.0.5:8080"]));
        assert!(!leads(api, "10.0.0.5", &["http://10.0.0.5"]), "another port");
        assert!(!leads(api, "10.0.0.5", &["https://10.0.0.5:8080"]), "another scheme");
        assert!(leads("http://localhost/", "127.0.0.1", &[]));
        assert!(!leads("http://localhost/", "93.184.216.34", &[]));
        assert!(!leads("http://localhost.example.com/", "127.0.0.1", &[]));
    }

    #[test]
    fn what_would_grant_it_is_named_when_it_can_be_granted() {
        let needs = |uri: &str| Origin::of(&uri.parse().unwrap()).unwrap().needs();
        assert_eq!(
            needs("http://127.0.0.1:81/x"),
            "it needs `capabilities.http = [\"http://127.0.0.1:81\"]`"
        );
        assert!(needs("http://0x7f.1/").starts_with("only names"));
    }
}
