//! `wasi:sockets`, but for what works on a TCP socket and looks up names: making sockets.
//!
//! Where a run may connect to is judged by [`Reach`](crate::engine::sockets::Reach).

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult, TcpSocket, UdpSocket};
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
        self.open_socket()?;
        let made = tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family);
        made.inspect_err(|_| self.meter.give_back(Bound::Sockets, 1))
    }
}

impl Guest {
    /// Takes leave for one more socket at once.
    fn open_socket(&self) -> SocketResult<()> {
        self.meter.spend(Bound::Sockets, 1).map_err(|exceeded| {
            let remark = format!("a TCP socket was refused: {exceeded}");
            self.control.log().remark(LogLevel::Warn, remark);
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
