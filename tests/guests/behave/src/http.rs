//! Sends requests and opens connections, the well-behaved ones and the others.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use campanile_sdk::http::{Request, Response};
use campanile_sdk::wit::wasi::http::outgoing_handler;
use campanile_sdk::wit::wasi::http::types::{
    Fields, FutureIncomingResponse, OutgoingRequest, Scheme,
};
use campanile_sdk::{Result, job, permanent};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// Redirects that are followed.
const MAX_HOPS: u32 = 5;

#[derive(Deserialize)]
struct Fetch {
    url: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Bytes of one more header.
    #[serde(default)]
    header_bytes: usize,
    #[serde(default)]
    body_bytes: usize,
    timeout_ms: Option<u64>,
    #[serde(default)]
    follow: bool,
}

#[derive(Serialize)]
struct Fetched {
    status: u16,
    bytes: usize,
    hops: u32,
}

/// Sends a request and reads the answer: `{url, method?, headers?, header_bytes?, body_bytes?,
/// timeout_ms?, follow?}`.
#[job]
fn fetch(args: Fetch) -> Answer<Fetched> {
    fetched(args).into()
}

/// As `fetch`, and fails when that fails.
#[job]
fn fetch_or_fail(args: Fetch) -> Result<Fetched> {
    fetched(args)
}

fn fetched(args: Fetch) -> Result<Fetched> {
    let mut url = args.url.clone();
    let mut hops = 0;
    loop {
        let mut answer = ask(&args, &url)?;
        let location = answer.header("location").filter(|_| args.follow).map(str::to_owned);
        let status = answer.status();
        let bytes = length(&mut answer)?;
        match location {
            Some(location) if hops < MAX_HOPS => url = location,
            Some(_) | None => return Ok(Fetched { status, bytes, hops }),
        }
        hops += 1;
    }
}

fn ask(args: &Fetch, url: &str) -> Result<Response> {
    let mut request = Request::new(&args.method, url).body(vec![b'x'; args.body_bytes]);
    for (name, value) in &args.headers {
        request = request.header(name, value.as_bytes());
    }
    if args.header_bytes > 0 {
        request = request.header("x-large", vec![b'x'; args.header_bytes]);
    }
    if let Some(timeout) = args.timeout_ms {
        request = request.timeout(Duration::from_millis(timeout));
    }
    request.send()
}

/// Reads to the end, keeping nothing.
fn length(answer: &mut Response) -> Result<usize> {
    let mut buffer = [0; 4_096];
    let mut bytes = 0;
    loop {
        match answer.read(&mut buffer)? {
            0 => return Ok(bytes),
            more => bytes += more,
        }
    }
}

#[derive(Deserialize)]
struct Flood {
    authority: String,
    times: usize,
    /// How many of them are to be refused.
    refused: usize,
}

#[derive(Default, Serialize)]
struct Flooded {
    open: usize,
    answered: usize,
    refused: BTreeMap<String, usize>,
}

/// Begins `{times}` requests to `{authority}` without waiting for an answer, until `{refused}` of
/// them were refused; answers with how many are open then.
#[job]
fn flood(args: Flood) -> Result<Flooded> {
    let mut flooded = Flooded::default();
    let mut open = Vec::new();
    let refused = |flooded: &Flooded| flooded.refused.values().sum::<usize>();
    for _ in 0..args.times {
        open.push(begin(&args.authority)?);
        if open.len() > 100 {
            sift(&mut open, &mut flooded);
        }
    }
    while refused(&flooded) < args.refused {
        thread::sleep(Duration::from_millis(1));
        sift(&mut open, &mut flooded);
    }
    flooded.open = open.len();
    Ok(flooded)
}

fn begin(authority: &str) -> Result<FutureIncomingResponse> {
    let request = OutgoingRequest::new(Fields::new());
    let malformed = |()| permanent("a malformed request");
    request.set_scheme(Some(&Scheme::Http)).map_err(malformed)?;
    request.set_authority(Some(authority)).map_err(malformed)?;
    request.set_path_with_query(Some("/never")).map_err(malformed)?;
    Ok(outgoing_handler::handle(request, None)?)
}

/// Takes out those that have ended.
fn sift(open: &mut Vec<FutureIncomingResponse>, flooded: &mut Flooded) {
    open.retain(|future| {
        if !future.subscribe().ready() {
            return true;
        }
        match future.get() {
            Some(Ok(Err(code))) => *flooded.refused.entry(format!("{code:?}")).or_default() += 1,
            Some(_) | None => flooded.answered += 1,
        }
        false
    });
}

#[derive(Deserialize)]
struct Connect {
    address: String,
    times: usize,
}

#[derive(Serialize)]
struct Connected {
    open: usize,
    error: Option<String>,
    /// Whether there was another connection once these were closed.
    again: bool,
}

/// Opens up to `{times}` connections to `{address}` at once and says hello on each; answers with how
/// many there were.
#[job]
fn connect_many(args: Connect) -> Connected {
    let hello = || -> io::Result<TcpStream> {
        let mut connection = TcpStream::connect(&args.address)?;
        connection.write_all(b"hello")?;
        Ok(connection)
    };
    let mut open = Vec::new();
    let mut error = None;
    for _ in 0..args.times {
        match hello() {
            Ok(connection) => open.push(connection),
            Err(refused) => error = Some(refused.to_string()),
        }
    }
    let count = open.len();
    drop(open);
    Connected { open: count, error, again: hello().is_ok() }
}

fn get() -> String {
    "GET".into()
}
