//! `wasi:sockets/ip-name-lookup`: where granted names lead.
//!
//! Ours from end to end: wasmtime-wasi asks the system on a thread for each look-up, however many
//! are under way, and a guest that drops them as soon as they have begun could use up all threads.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use crate::engine::bindings::wasi::sockets::ip_name_lookup::{Host, HostResolveAddressStream};
use crate::engine::guest::Guest;
use crate::job::bound::Bound;
use crate::run::LogLevel;
use crate::run::usage::Effect;

/// The addresses of a name, as far as they are known.
pub struct Lookup {
    name: String,
    state: State,
}

enum State {
    Asked(AbortOnDropJoinHandle<io::Result<Vec<IpAddr>>>),
    Found(VecDeque<IpAddr>),
    Unknown,
}

impl Lookup {
    /// Takes in the answer if there is one; whether there is.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let State::Asked(asked) = &mut self.state {
            let Poll::Ready(found) = Pin::new(asked).poll(context) else { return Poll::Pending };
            self.state = found.map_or(State::Unknown, |found| State::Found(found.into()));
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }
}

impl Host for Guest {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Lookup>, ErrorCode>> {
        self.gate(Effect::Sockets)?;
        self.table.get(&network)?;
        if !self.reach.may_look_up(&name) {
            return Ok(Err(ErrorCode::AccessDenied));
        }
        if let Err(exceeded) = self.meter.spend(Bound::Sockets, 1) {
            self.control.log().remark(LogLevel::Warn, format!("a look-up was refused: {exceeded}"));
            return Ok(Err(ErrorCode::NewSocketLimit));
        }
        let number = name.trim_matches(['[', ']']).parse::<IpAddr>();
        let state = match number {
            Ok(address) => State::Found([address].into()),
            Err(_) => State::Asked(spawn(self.requests.find(name.clone()))),
        };
        Ok(Ok(self.table.push(Lookup { name, state })?))
    }
}

impl HostResolveAddressStream for Guest {
    fn resolve_next_address(
        &mut self,
        lookup: Resource<Lookup>,
    ) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
        self.gate(Effect::Sockets)?;
        let Lookup { name, state } = {
            let lookup = self.table.get_mut(&lookup)?;
            // Nobody is woken by this look: whoever waits asks `ready`.
            let _ = lookup.poll(&mut Context::from_waker(Waker::noop()));
            lookup
        };
        Ok(match state {
            State::Asked(_) => Err(ErrorCode::WouldBlock),
            State::Unknown => Err(ErrorCode::NameUnresolvable),
            State::Found(found) => loop {
                let Some(address) = found.pop_front() else { break Ok(None) };
                if self.reach.leads(name, address) {
                    break Ok(Some(address.into()));
                }
            },
        })
    }

    fn subscribe(&mut self, lookup: Resource<Lookup>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, lookup)
    }

    fn drop(&mut self, lookup: Resource<Lookup>) -> wasmtime::Result<()> {
        self.table.delete(lookup)?;
        self.meter.give_back(Bound::Sockets, 1);
        Ok(())
    }
}
