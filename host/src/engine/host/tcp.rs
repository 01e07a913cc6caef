//! `wasi:sockets/tcp`: what works on a socket.
//!
//! What reaches the network or sets the socket up passes the gate; asking a socket how it is does
//! not. The streams of a connection count what moves through them.

use std::mem::replace;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, SocketError, SocketResult, TcpSocket,
};
use wasmtime_wasi::sockets::WasiSocketsView;

use crate::engine::counted::Counted;
use crate::engine::guest::Guest;
use crate::job::bound::Bound;
use crate::run::usage::Effect;

/// A TCP socket of the guest's table.
type Socket = Resource<TcpSocket>;
/// What a connection is read from, and what it is written to.
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

impl Guest {
    fn tcp_gate(&mut self) -> SocketResult<()> {
        self.gate(Effect::Sockets).map_err(SocketError::trap)
    }

    /// Puts counters around the streams of a connection.
    fn counted(&mut self, (input, output): Streams) -> SocketResult<Streams> {
        let place = self.table.get_mut(&input)?;
        let inner = replace(place, Box::new(ClosedInputStream));
        *place = Box::new(Counted::new(inner, Arc::clone(&self.meter), Effect::Sockets));
        let place = self.table.get_mut(&output)?;
        let inner = replace(place, Box::new(ClosedOutputStream));
        *place = Box::new(Counted::new(inner, Arc::clone(&self.meter), Effect::Sockets));
        Ok((input, output))
    }
}

impl tcp::Host for Guest {}

impl HostTcpSocket for Guest {
    async fn start_bind(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().start_bind(socket, network, address).await
    }

    fn finish_bind(&mut self, socket: Socket) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().finish_bind(socket)
    }

    fn start_connect(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().start_connect(socket, network, address)
    }

    fn finish_connect(&mut self, socket: Socket) -> SocketResult<Streams> {
        self.tcp_gate()?;
        let streams = self.sockets().finish_connect(socket)?;
        self.counted(streams)
    }

    async fn start_listen(&mut self, socket: Socket) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().start_listen(socket).await
    }

    fn finish_listen(&mut self, socket: Socket) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().finish_listen(socket)
    }

    /// Nothing listens, so there is nothing to accept: this answers with an error.
    fn accept(
        &mut self,
        socket: Socket,
    ) -> SocketResult<(Socket, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.tcp_gate()?;
        self.sockets().accept(socket)
    }

    fn shutdown(&mut self, socket: Socket, way: ShutdownType) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().shutdown(socket, way)
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        HostTcpSocket::drop(&mut self.sockets(), socket)?;
        self.meter.give_back(Bound::Sockets, 1);
        Ok(())
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_listen_backlog_size(socket, value)
    }

    fn set_keep_alive_enabled(&mut self, socket: Socket, value: bool) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_keep_alive_enabled(socket, value)
    }

    fn set_keep_alive_idle_time(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_keep_alive_idle_time(socket, value)
    }

    fn set_keep_alive_interval(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_keep_alive_interval(socket, value)
    }

    fn set_keep_alive_count(&mut self, socket: Socket, value: u32) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_keep_alive_count(socket, value)
    }

    fn set_hop_limit(&mut self, socket: Socket, value: u8) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_hop_limit(socket, value)
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_receive_buffer_size(socket, value)
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> SocketResult<()> {
        self.tcp_gate()?;
        self.sockets().set_send_buffer_size(socket, value)
    }

    fn local_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        self.sockets().local_address(socket)
    }

    fn remote_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        self.sockets().remote_address(socket)
    }

    fn is_listening(&mut self, socket: Socket) -> wasmtime::Result<bool> {
        self.sockets().is_listening(socket)
    }

    fn address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        self.sockets().address_family(socket)
    }

    fn keep_alive_enabled(&mut self, socket: Socket) -> SocketResult<bool> {
        self.sockets().keep_alive_enabled(socket)
    }

    fn keep_alive_idle_time(&mut self, socket: Socket) -> SocketResult<u64> {
        self.sockets().keep_alive_idle_time(socket)
    }

    fn keep_alive_interval(&mut self, socket: Socket) -> SocketResult<u64> {
        self.sockets().keep_alive_interval(socket)
    }

    fn keep_alive_count(&mut self, socket: Socket) -> SocketResult<u32> {
        self.sockets().keep_alive_count(socket)
    }

    fn hop_limit(&mut self, socket: Socket) -> SocketResult<u8> {
        self.sockets().hop_limit(socket)
    }

    fn receive_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        self.sockets().receive_buffer_size(socket)
    }

    fn send_buffer_size(&mut self, socket: Socket) -> SocketResult<u64> {
        self.sockets().send_buffer_size(socket)
    }

    fn subscribe(&mut self, socket: Socket) -> wasmtime::Result<Resource<DynPollable>> {
        HostTcpSocket::subscribe(&mut self.sockets(), socket)
    }
}
