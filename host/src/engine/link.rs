//! Ties every interface of the world to the code that serves it.
//!
//! All are linked for every plugin, whatever it was granted; what it was not granted fails at the
//! call. A plugin is refused only for an import that is not in [`SERVED`].

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{ResourceTable, WasiView};
use wasmtime_wasi_http::p2::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};

use super::bindings::{campanile, wasi};
use super::guest::Guest;

/// The interfaces that a plugin may import, without their versions.
pub const SERVED: &[&str] = &[
    "campanile:job/context",
    "campanile:job/jobs",
    "campanile:job/state",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:config/store",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:keyvalue/atomics",
    "wasi:keyvalue/store",
    "wasi:logging/logging",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// A linker that serves [`SERVED`].
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    link_io(l)?;
    link_wasi(l)?;
    link_sockets(l)?;
    http::types::add_to_linker::<_, WasiHttp>(l, &Default::default(), Guest::http)?;
    super::host::http::link(l)?;
    wasi::logging::logging::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    wasi::config::store::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    wasi::keyvalue::store::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    wasi::keyvalue::atomics::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    campanile::job::context::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    campanile::job::state::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    campanile::job::jobs::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    Ok(linker)
}

/// What a resource table serves: errors.
struct HasTable;

impl wasmtime::component::HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

fn link_io(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, HasTable>(l, |guest| guest.ctx().table)?;
    io::poll::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    io::streams::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)
}

fn link_wasi(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, Guest::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, Guest::clocks)?;
    filesystem::types::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    filesystem::preopens::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::random::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::insecure::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::insecure_seed::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::stdin::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    cli::stdout::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    cli::stderr::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Guest::cli)
}

/// TCP, making sockets and looking up names are ours; UDP sockets there are none.
fn link_sockets(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    sockets::tcp_create_socket::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    sockets::udp_create_socket::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    sockets::tcp::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    sockets::network::add_to_linker::<_, WasiSockets>(l, &Default::default(), Guest::sockets)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)
}
