//! `wasi:http/outgoing-handler`: the one function of `wasi:http` with an effect.
//!
//! All of `wasi:http/types` makes, reads and drops things in the guest's own table, and does not
//! pass the gate: `limits.resources` bounds how many there are, `limits.http_headers` how large a
//! set of fields gets. Bodies are streams, and pass it as such.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, RequestOptions};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};

use crate::engine::guest::Guest;
use crate::run::usage::Effect;

/// What `handle` takes: a request, and options for it.
type Asked = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
/// What it answers with.
type Begun = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

/// Links the interface. By hand: its generated trait would ask for all of `wasi:http/types` too.
pub(in crate::engine) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let handle = |mut store: StoreContextMut<'_, Guest>, (request, options): Asked| {
        Ok((store.data_mut().handle(request, options)?,))
    };
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap("handle", handle)
}

impl Guest {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Begun> {
        self.gate(Effect::Http)?;
        match self.http().handle(request, options) {
            Ok(response) => Ok(Ok(response)),
            Err(error) => Ok(Err(error.downcast()?)),
        }
    }
}
