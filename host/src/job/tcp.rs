//! Where a job may connect to by TCP: an address or a name, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// One place that a job may connect to. Written `db.example.com:5432`, `10.0.0.5:5432` or
/// `[2001:db8::1]:5432`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpGrant {
    /// Where.
    pub host: TcpHost,
    /// 1 to 65535.
    pub port: u16,
}

/// The part of a [`TcpGrant`] before its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpHost {
    /// This address.
    Address(IpAddr),
    /// Whatever public address the name leads to; lower case.
    Name(String),
}

impl TcpGrant {
    /// Whether it is this address, or this name leads there.
    pub fn allows(&self, address: SocketAddr, names: impl Fn(&str) -> bool) -> bool {
        let there = match &self.host {
            TcpHost::Address(granted) => *granted == address.ip().to_canonical(),
            TcpHost::Name(name) => names(name),
        };
        there && self.port == address.port()
    }

    /// Whether it names this host; case and a final dot don't matter.
    pub fn has_name(&self, asked: &str) -> bool {
        let asked = asked.strip_suffix('.').unwrap_or(asked);
        matches!(&self.host, TcpHost::Name(name) if name.eq_ignore_ascii_case(asked))
    }
}

impl fmt::Display for TcpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            TcpHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            TcpHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for TcpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must be like `db.example.com:5432`, `10.0.0.5:5432` or `[2001:db8::1]:5432`, not \
                 `{text}`"
            )
        };
        let (host, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (TcpHost::Address(address.ip().to_canonical()), address.port()),
            Err(_) => {
                let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
                if !is_name(name) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(wrong());
                }
                let port = port.parse().map_err(|_| wrong())?;
                (TcpHost::Name(name.to_ascii_lowercase()), port)
            }
        };
        let nowhere = matches!(host, TcpHost::Address(address) if address.is_unspecified());
        if port == 0 || nowhere {
            return Err(wrong());
        }
        Ok(Self { host, port })
    }
}

/// Whether an address is of this machine or of a net that is not the world's: what a public name
/// must not lead to, since whoever owns the name could point it there.
pub fn is_inner(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let protocols = [first, second, third] == [192, 0, 0];
            let benches = first == 198 && (second == 18 || second == 19);
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || first == 0
                || first >= 240
                || shared
                || protocols
                || benches
        }
        IpAddr::V6(v6) => {
            let carried = carried(v6).is_some_and(|v4| is_inner(IpAddr::V4(v4)));
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            carried
                || site_local
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

/// The IPv4 address that packets to this one end up at: by way of NAT64, 6to4, or as it once was
/// written.
fn carried(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // A NAT64 of one's own net: where in it the address stands is for that net to say.
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::UNSPECIFIED),
        _ => None,
    }
}

/// Labels of letters, digits and hyphens; the last one begins with a letter, so that no number is
/// mistaken for a name.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len())
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_written_in_one_way_and_reads_back() {
        for (written, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.5]:5432", "10.0.0.5:5432"),
            ("DB.Internal:5432", "db.internal:5432"),
            ("redis:6379", "redis:6379"),
        ] {
            let grant: TcpGrant = written.parse().unwrap();
            assert_eq!(grant.to_string(), shown);
            assert_eq!(shown.parse(), Ok(grant));
        }
        for wrong in [
            "db",
            "db:",
            "db:0",
            "db:70000",
            "db:+80",
            ":80",
            "::1:80",
            "0x7f.1:80",
            "1.2.3:80",
            "*.db:80",
            "db.:80",
            "a b:80",
            "0.0.0.0:80",
            "[::]:80",
            "10.0.0.5:0",
            "-a:80",
        ] {
            let refused = wrong.parse::<TcpGrant>().unwrap_err();
            assert!(refused.ends_with(&format!("not `{wrong}`")), "{refused}");
        }
    }

    #[test]
    fn an_address_is_allowed_with_its_port_and_a_name_where_it_leads() {
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        let address: TcpGrant = "10.0.0.5:80".parse().unwrap();
        let nothing = |_: &str| false;
        assert!(address.allows(to("10.0.0.5:80"), nothing));
        assert!(address.allows(to("[::ffff:10.0.0.5]:80"), nothing));
        assert!(!address.allows(to("10.0.0.5:81"), nothing));
        assert!(!address.allows(to("10.0.0.6:80"), |_| true));
        let name: TcpGrant = "db.example.com:80".parse().unwrap();
        assert!(name.allows(to("93.184.216.34:80"), |name| name == "db.example.com"));
        assert!(!name.allows(to("93.184.216.34:80"), nothing));
        assert!(name.has_name("DB.example.com.") && !name.has_name("example.com"));
    }

    #[test]
    fn addresses_of_this_machine_and_of_inner_nets_are_told_apart() {
        for inner in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "192.0.0.170",
            "198.18.0.1",
            "fec0::1",
            "64:ff9b::10.0.0.5",
            "64:ff9b:1::1",
            "2002:a00:5::1",
            "::10.0.0.5",
        ] {
            assert!(is_inner(inner.parse().unwrap()), "{inner}");
        }
        for public in ["93.184.216.34", "100.128.0.1", "2001:4860:4860::8888", "64:ff9b::5db8:d822"]
        {
            assert!(!is_inner(public.parse().unwrap()), "{public}");
        }
    }
}
