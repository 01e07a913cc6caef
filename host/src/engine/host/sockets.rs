//! `wasi:sockets`, but for what works on a TCP socket: making sockets, looking up names.
//!
//! Where a run may connect to is judged by [`Reach`](crate::engine::sockets::Reach).

use std::net::IpAddr;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsView;

use crate::engine::guest::Guest;
use crate::engine::sockets::needs;
use crate::job::bound::Bound;
use crate::run::LogLevel;
use crate::run::usage::Effect;

impl network::Host for Guest {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for Guest {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.gate(Effect::Sockets).map_err(SocketError::trap)?;
        if self.reach.is_nowhere() {
            self.reach.deny("a TCP socket", &needs("HOST:PORT"));
            return Err(ErrorCode::AccessDenied.into());
        }
        self.open_socket("a TCP socket")?;
        let made = tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family);
        made.inspect_err(|_| self.meter.give_back(Bound::Sockets, 1))
    }
}

impl Guest {
    /// Takes leave for one more socket or look-up at once.
    fn open_socket(&self, what: &str) -> SocketResult<()> {
        self.meter.spend(Bound::Sockets, 1).map_err(|exceeded| {
            self.control.log().remark(LogLevel::Warn, format!("{what} was refused: {exceeded}"));
            ErrorCode::NewSocketLimit.into()
        })
    }
}

impl udp_create_socket::Host for Guest {
    async fn create_udp_socket(
        &mut self,
        _family: IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        self.gate(Effect::Sockets).map_err(SocketError::trap)?;
        self.reach.deny("a UDP socket", "`capabilities.tcp` is all there is for networks");
        Err(ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::Host for Guest {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.gate(Effect::Sockets).map_err(SocketError::trap)?;
        if !self.reach.may_look_up(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.open_socket("a look-up")?;
        let named = name.clone();
        let found = ip_name_lookup::Host::resolve_addresses(&mut self.sockets(), network, named);
        let found = found.inspect_err(|_| self.meter.give_back(Bound::Sockets, 1))?;
        self.lookups.insert(found.rep(), name);
        Ok(found)
    }
}

impl HostResolveAddressStream for Guest {
    fn resolve_next_address(
        &mut self,
        lookup: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        self.gate(Effect::Sockets).map_err(SocketError::trap)?;
        let rep = lookup.rep();
        loop {
            let next = Resource::new_borrow(rep);
            let found = self.sockets().resolve_next_address(next)?;
            let (Some(found), Some(name)) = (found, self.lookups.get(&rep)) else {
                return Ok(found);
            };
            if self.reach.leads(name, address(found)) {
                return Ok(Some(found));
            }
        }
    }

    fn subscribe(
        &mut self,
        lookup: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        HostResolveAddressStream::subscribe(&mut self.sockets(), lookup)
    }

    fn drop(&mut self, lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        let rep = lookup.rep();
        HostResolveAddressStream::drop(&mut self.sockets(), lookup)?;
        self.lookups.remove(&rep);
        self.meter.give_back(Bound::Sockets, 1);
        Ok(())
    }
}

fn address(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
