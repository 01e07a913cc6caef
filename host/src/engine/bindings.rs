//! The contract of `wit/0.1` as Rust traits. Generated; WASI's own come from wasmtime-wasi.

wasmtime::component::bindgen!({
    path: "../wit/0.1",
    world: "campanile:job/job",
    imports: {
        "wasi:keyvalue/store": async | trappable,
        "wasi:keyvalue/atomics": async | trappable,
        "campanile:job/state": async | trappable,
        "campanile:job/jobs": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:cli": wasmtime_wasi::p2::bindings::cli,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem,
        "wasi:random": wasmtime_wasi::p2::bindings::random,
        "wasi:sockets/instance-network": wasmtime_wasi::p2::bindings::sockets::instance_network,
        "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
        "wasi:sockets/tcp": wasmtime_wasi::p2::bindings::sockets::tcp,
        "wasi:sockets/tcp-create-socket": wasmtime_wasi::p2::bindings::sockets::tcp_create_socket,
        "wasi:sockets/udp": wasmtime_wasi::p2::bindings::sockets::udp,
        "wasi:sockets/udp-create-socket": wasmtime_wasi::p2::bindings::sockets::udp_create_socket,
        "wasi:sockets/ip-name-lookup.resolve-address-stream": super::host::lookup::Lookup,
        "wasi:http": wasmtime_wasi_http::p2::bindings::http,
        "wasi:keyvalue/store.bucket": super::host::keyvalue::Opened,
    },
});
