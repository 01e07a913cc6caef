//! Reaches for what WASI offers: files, environment, network, randomness.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use campanile_sdk::wit::wasi::http::outgoing_handler;
use campanile_sdk::wit::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use campanile_sdk::wit::wasi::random::random::get_random_bytes;
use campanile_sdk::{Context, job};
use serde::Deserialize;
use serde_json::json;

use crate::answer::Answer;

#[derive(Deserialize)]
struct Read {
    path: String,
}

/// Reads `{path}` and answers with the length of its content, in bytes.
#[job]
fn read(args: Read) -> Answer<usize> {
    fs::read(args.path).map(|content| content.len()).into()
}

#[derive(Deserialize)]
struct Write {
    path: String,
    text: String,
}

/// Writes `{text}` to `{path}`.
#[job]
fn write(args: Write) -> Answer<()> {
    fs::write(args.path, args.text).into()
}

/// Returns the environment.
#[job]
fn env() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

#[derive(Deserialize)]
struct Http {
    url: String,
}

/// Gets `{url}` and answers with the status.
#[job]
fn http(args: Http) -> Answer<u16> {
    get(&args.url).into()
}

fn get(url: &str) -> Result<u16, String> {
    let (scheme, rest) = url.split_once("://").ok_or("write a URL, as `http://host/path`")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let refused = |()| format!("malformed URL `{url}`");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;

    let future = outgoing_handler::handle(request, None).map_err(|error| error.to_string())?;
    future.subscribe().block();
    let response = future.get().ok_or("no response")?.map_err(|()| "response taken twice")?;
    response.map(|response| response.status()).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Tcp {
    address: String,
}

/// Connects to `{address}`, a host and port.
#[job]
fn tcp(args: Tcp) -> Answer<()> {
    TcpStream::connect(args.address).map(drop).into()
}

#[derive(Deserialize)]
struct Report {
    address: String,
    times: u32,
    #[serde(default)]
    every_ms: u64,
}

/// Tells `{address}` `{times}` times what it is, a line of JSON each, `{every_ms?}` apart; answers
/// with how many were told.
#[job]
fn report(ctx: &Context, args: Report) -> Answer<u32> {
    let tell = || -> std::io::Result<u32> {
        let mut listener = TcpStream::connect(&args.address)?;
        for told in 0..args.times {
            let line = json!({
                "job": ctx.job(),
                "run": ctx.run_id(),
                "attempt": ctx.attempt(),
                "fence": ctx.fence(),
                "told": told,
            });
            writeln!(listener, "{line}")?;
            listener.flush()?;
            thread::sleep(Duration::from_millis(args.every_ms));
        }
        Ok(args.times)
    };
    tell().into()
}

#[derive(Deserialize)]
struct Bind {
    address: String,
}

/// Listens on `{address}`.
#[job]
fn listen(args: Bind) -> Answer<()> {
    TcpListener::bind(args.address).map(drop).into()
}

/// Makes a UDP socket at `{address}`.
#[job]
fn udp(args: Bind) -> Answer<()> {
    UdpSocket::bind(args.address).map(drop).into()
}

#[derive(Deserialize)]
struct Random {
    #[serde(default = "eight")]
    bytes: u64,
}

/// Returns `{bytes?}` random bytes in hexadecimal digits.
#[job]
fn random(args: Random) -> String {
    get_random_bytes(args.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn eight() -> u64 {
    8
}
