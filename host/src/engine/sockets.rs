//! TCP connections to the places that a job was granted, and to nowhere else.
//!
//! wasmtime-wasi makes the sockets and asks [`Reach`] before each use of an address. Names that
//! were granted may be looked up, and lead to what was found until the run ends; a public name that
//! leads into an inner net leads nowhere. Nothing listens, and there is no UDP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::control::Control;
use crate::job::tcp::{TcpGrant, TcpHost, is_inner};
use crate::plugin::wants::Want;

/// The one name that leads to this machine.
const LOCALHOST: &str = "localhost";

/// Where one run may connect to, and what the names among it were found to lead to.
pub(super) struct Reach {
    granted: Vec<TcpGrant>,
    found: Mutex<BTreeMap<IpAddr, BTreeSet<String>>>,
    control: Arc<Control>,
}

impl Reach {
    /// The places of `granted`; what is refused is told in the log of `control`.
    pub(super) fn new(granted: Vec<TcpGrant>, control: Arc<Control>) -> Self {
        Self { granted, found: Mutex::default(), control }
    }

    /// Lets a run use sockets so far as this says.
    pub(super) fn grant(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        if self.granted.is_empty() {
            return;
        }
        let reach = Arc::clone(self);
        builder.allow_tcp(true).allow_ip_name_lookup(true).socket_addr_check(move |address, to| {
            let allowed = reach.allows(address, to);
            Box::pin(std::future::ready(allowed))
        });
    }

    /// Whether nothing is granted.
    pub(super) fn is_nowhere(&self) -> bool {
        self.granted.is_empty()
    }

    fn allows(&self, address: SocketAddr, to: SocketAddrUse) -> bool {
        match to {
            SocketAddrUse::TcpConnect => self.may_connect(address),
            // Each connection begins with a bind to no address in particular.
            SocketAddrUse::TcpBind if address.ip().is_unspecified() && address.port() == 0 => true,
            SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
                self.deny("a TCP socket of its own address", "`capabilities.tcp` only connects");
                false
            }
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        }
    }

    fn may_connect(&self, address: SocketAddr) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let names = found.get(&address.ip().to_canonical());
        let leads = |name: &str| names.is_some_and(|names| names.contains(name));
        let allowed = self.granted.iter().any(|grant| grant.allows(address, leads));
        let name = names.and_then(BTreeSet::first).cloned();
        drop(found);
        if !allowed {
            let place = name
                .map_or_else(|| address.to_string(), |name| format!("{name}:{}", address.port()));
            self.deny(&format!("a TCP connection to {place}"), &needs(&place));
        }
        allowed
    }

    /// Whether the name may be looked up. A number is no name: nobody is asked for it.
    pub(super) fn may_look_up(&self, name: &str) -> bool {
        let number = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let allowed = number || self.granted.iter().any(|grant| grant.has_name(name));
        if !allowed {
            self.deny(&format!("looking up `{name}`"), &needs(&format!("{name}:PORT")));
        }
        allowed
    }

    /// Notes that a granted name leads to this address. Answers whether it may.
    pub(super) fn leads(&self, name: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.parse::<IpAddr>().is_ok() {
            return true;
        }
        if self.granted.iter().any(|grant| grant.host == TcpHost::Address(address)) {
            return true;
        }
        let may = if name == LOCALHOST { address.is_loopback() } else { !is_inner(address) };
        if may {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.entry(address).or_default().insert(name);
        } else {
            let what = format!("`{name}` as {address}, which is an inner address");
            self.deny(
                &what,
                &needs(&SocketAddr::new(address, 0).to_string().replace(":0", ":PORT")),
            );
        }
        may
    }

    pub(super) fn deny(&self, what: &str, why: &str) {
        self.control.deny(Some(Want::Sockets), format!("denied: {what}; {why}"));
    }
}

/// The key that would grant a place.
pub(super) fn needs(place: &str) -> String {
    format!("it needs `capabilities.tcp = [\"{place}\"]`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::engine::log::Log;

    fn reach(granted: &[&str]) -> Reach {
        let control = Control::new(Log::new(64 * 1024, Arc::new(SystemClock)));
        let granted = granted.iter().map(|grant| grant.parse().unwrap()).collect();
        Reach::new(granted, Arc::new(control))
    }

    fn said(reach: &Reach) -> Vec<String> {
        reach.control.log().take_rest().into_iter().map(|line| line.message).collect()
    }

    fn connects(reach: &Reach, to: &str) -> bool {
        reach.allows(to.parse().unwrap(), SocketAddrUse::TcpConnect)
    }

    #[test]
    fn addresses_are_granted_with_their_port_and_the_key_is_named_otherwise() {
        let reach = reach(&["127.0.0.1:80", "[::1]:80"]);
        assert!(connects(&reach, "127.0.0.1:80") && connects(&reach, "[::1]:80"));
        assert!(said(&reach).is_empty());
        assert!(!connects(&reach, "127.0.0.1:81"));
        assert_eq!(
            said(&reach),
            ["denied: a TCP connection to 127.0.0.1:81; it needs \
                 `capabilities.tcp = [\"127.0.0.1:81\"]`"]
        );
        for to in [SocketAddrUse::TcpBind, SocketAddrUse::TcpListen, SocketAddrUse::UdpSend] {
            assert!(!reach.allows("127.0.0.1:80".parse().unwrap(), to));
        }
        assert!(reach.allows("0.0.0.0:0".parse().unwrap(), SocketAddrUse::TcpBind));
    }

    #[test]
    fn a_name_leads_where_it_was_found_to_lead_but_never_into_an_inner_net() {
        let reach = reach(&["db.example.com:5432", "localhost:80"]);
        assert!(reach.may_look_up("DB.example.com") && reach.may_look_up("127.0.0.1"));
        assert!(!reach.may_look_up("example.com"));
        assert!(!connects(&reach, "93.184.216.34:5432"), "nothing was looked up yet");
        assert!(reach.leads("db.example.com.", [93, 184, 216, 34].into()));
        assert!(connects(&reach, "93.184.216.34:5432"));
        assert!(!connects(&reach, "93.184.216.34:80"));
        assert!(!reach.leads("db.example.com", [10, 0, 0, 5].into()));
        assert!(!connects(&reach, "10.0.0.5:5432"));
        assert!(reach.leads("localhost", [127, 0, 0, 1].into()));
        assert!(connects(&reach, "127.0.0.1:80") && !connects(&reach, "127.0.0.1:5432"));
        let said = said(&reach);
        let said: Vec<_> = said.iter().filter_map(|line| line.split("it needs ").nth(1)).collect();
        assert_eq!(
            said,
            [
                "`capabilities.tcp = [\"example.com:PORT\"]`",
                "`capabilities.tcp = [\"93.184.216.34:5432\"]`",
                "`capabilities.tcp = [\"db.example.com:80\"]`",
                "`capabilities.tcp = [\"10.0.0.5:PORT\"]`",
                "`capabilities.tcp = [\"10.0.0.5:5432\"]`",
                "`capabilities.tcp = [\"localhost:5432\"]`",
            ]
        );
    }
}
