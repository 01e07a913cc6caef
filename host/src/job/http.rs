//! Where a job may send HTTP requests: a scheme, a host and a port.

use std::fmt;
use std::str::FromStr;

use super::tcp::{TcpGrant, TcpHost};

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Readable by whoever carries it.
    Http,
    /// Encrypted, with the server's certificate checked.
    Https,
}

impl Scheme {
    /// As it stands before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of an address that names none.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// One place that a job may send requests to. Written `https://api.example.com`,
/// `http://10.0.0.5:8080` or `http://[2001:db8::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    /// How.
    pub scheme: Scheme,
    /// Where; the scheme's own port when none is written.
    pub place: TcpGrant,
}

impl HttpGrant {
    /// Whether a request with this scheme may go to this host and port. `host` is a name or an
    /// address, IPv6 without brackets.
    pub fn allows(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        let same = match &self.place.host {
            TcpHost::Address(granted) => {
                host.parse().is_ok_and(|asked: std::net::IpAddr| *granted == asked.to_canonical())
            }
            TcpHost::Name(_) => self.place.has_name(host),
        };
        same && self.scheme == scheme && self.place.port == port
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        let place = self.place.to_string();
        let usual = format!(":{}", self.scheme.port());
        write!(f, "{scheme}://{}", place.strip_suffix(usual.as_str()).unwrap_or(&place))
    }
}

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must be an origin like `https://api.example.com` or `http://10.0.0.5:8080`, \
                 without a path, not `{text}`"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let bracketed = rest.starts_with('[') && rest.ends_with(']');
        let has_port = !bracketed && rest.rsplit_once(':').is_some();
        let place = if has_port { rest.to_owned() } else { format!("{rest}:{}", scheme.port()) };
        Ok(Self { scheme, place: place.parse().map_err(|_: String| wrong())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_reads_back_as_it_was_written() {
        for text in [
            "https://api.example.com",
            "http://api.example.com:8080",
            "https://10.0.0.5:8443",
            "http://localhost",
            "http://[2001:db8::1]",
            "http://[2001:db8::1]:81",
        ] {
            let grant: HttpGrant = text.parse().unwrap();
            assert_eq!(grant.to_string(), text);
        }
        let usual: HttpGrant = "https://api.example.com:443/".parse().unwrap();
        assert_eq!(usual.to_string(), "https://api.example.com");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "api.example.com",
            "ftp://api.example.com",
            "https://",
            "https://api.example.com/path",
            "https://user@api.example.com",
            "https://*.example.com",
            "https://api.example.com:0",
            "https://0.0.0.0",
        ] {
            let error = text.parse::<HttpGrant>().unwrap_err();
            assert!(error.contains("must be an origin like"), "{text}: {error}");
        }
    }

    #[test]
    fn scheme_host_and_port_must_all_be_the_granted_ones() {
        let grant: HttpGrant = "https://api.example.com".parse().unwrap();
        assert!(grant.allows(Scheme::Https, "API.example.com.", 443));
        assert!(!grant.allows(Scheme::Http, "api.example.com", 443));
        assert!(!grant.allows(Scheme::Https, "api.example.com", 444));
        assert!(!grant.allows(Scheme::Https, "b.api.example.com", 443));
        let address: HttpGrant = "http://127.0.0.1:80".parse().unwrap();
        assert!(address.allows(Scheme::Http, "::ffff:127.0.0.1", 80));
        assert!(!address.allows(Scheme::Http, "localhost", 80));
    }
}
