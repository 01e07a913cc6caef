//! HTTP requests to the origins that a job was granted, and to nowhere else.
//!
//! `wasi:http/types` only builds things in the guest's table and is served by wasmtime-wasi-http;
//! what has an effect is sending, and that is ours: the origin is judged against the grants, its
//! name is looked up once, each address found is judged too, and the connection goes to exactly such
//! an address. Redirects are answers like any other: a guest that follows one is judged again.
//! Nothing is kept for a next request, no proxy is used, and there is HTTP/1.1 alone.

mod body;
mod connect;
mod exchange;
mod names;
mod origin;
mod reason;
mod tls;
mod toll;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Uri, header};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::connect::Way;
use self::exchange::{Answered, Exchange, Permit};
use self::names::Lookups;
use self::origin::Origin;
use self::reason::Witness;
use super::control::Control;
use super::meter::Meter;
use crate::job::bound::Bound;
use crate::job::http::HttpGrant;

pub(super) use self::names::Names;
pub(super) use self::tls::Trust;

/// What a guest may write to a body at once; as much again waits until it is sent. In bytes.
const BODY_CHUNK_BYTES: usize = 16 * 1024;

/// What the requests of all runs of a host share.
#[derive(Default)]
pub(super) struct Net {
    /// Who says where names lead.
    pub(super) names: Names,
    /// Whose certificates are believed.
    pub(super) trust: Trust,
}

/// The requests of one run.
pub(super) struct Requests {
    granted: Arc<[HttpGrant]>,
    meter: Arc<Meter>,
    control: Arc<Control>,
    net: Arc<Net>,
    lookups: Lookups,
}

/// What is left to do for a request that was answered.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Requests {
    /// The requests of a run that may go to the origins of `granted`.
    pub(super) fn new(
        granted: &[HttpGrant],
        meter: Arc<Meter>,
        control: Arc<Control>,
        net: Arc<Net>,
    ) -> Self {
        Self { granted: granted.into(), meter, control, net, lookups: Lookups::default() }
    }

    /// Asks where a name leads, for whoever may know: so many at once as for requests.
    pub(super) fn find(
        &self,
        name: String,
    ) -> impl Future<Output = std::io::Result<Vec<IpAddr>>> + Send + use<> {
        let (net, lookups) = (Arc::clone(&self.net), self.lookups.clone());
        async move { net.names.find(&name, &lookups).await }
    }

    /// Judges a request by all that is known before it is sent.
    fn begin(
        &self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Exchange, Error> {
        let origin = Origin::of(request.uri())?;
        let witness = Witness::new(&origin, &self.control, &self.meter);
        if !origin.is_granted(&self.granted) {
            return Err(witness.denied(&format!("a request to {origin}"), &origin.needs()));
        }
        if request.method() == Method::CONNECT {
            // A proxy that is granted would lead anywhere.
            return Err(witness.failed("CONNECT is not for jobs", Error::HttpRequestMethodInvalid));
        }
        let host = HeaderValue::from_str(&origin.authority());
        let host = host.map_err(|_| Error::HttpRequestUriInvalid)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        *request.uri_mut() = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
        request.headers_mut().insert(header::HOST, host);
        let head = request.method().as_str().len() as u64 + path.len() as u64;
        witness.headers(head, request.headers(), Error::HttpRequestHeaderSectionSize)?;
        witness.declared(request.headers(), Error::HttpRequestBodySize)?;
        let permit = Permit::take(&self.meter)
            .map_err(|exceeded| witness.over(exceeded, Error::ConnectionLimitReached))?;
        Ok(Exchange {
            way: Way {
                origin,
                granted: Arc::clone(&self.granted),
                net: Arc::clone(&self.net),
                lookups: self.lookups.clone(),
                witness,
            },
            request,
            times: Times::new(&self.meter, options),
            permit,
        })
    }
}

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Rest,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Rest), Error>> + Send> {
        let begun = self.begin(request, options);
        Box::new(async move {
            let Answered { response, rest } = begun?.run().await?;
            Ok((response, Box::new(rest) as Rest))
        })
    }

    /// It is set from the origin that was judged.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}

/// How long the parts of one exchange may take. What the guest asks for only shortens.
#[derive(Clone, Copy)]
struct Times {
    /// When all of it is to be over.
    deadline: Instant,
    /// What the limit is, for messages.
    limit: Duration,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    between_bytes: Option<Duration>,
}

impl Times {
    fn new(meter: &Meter, options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let limit = Duration::from_millis(meter.limit(Bound::HttpTimeout));
        Self {
            deadline: Instant::now() + limit,
            limit,
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        }
    }

    /// When a part that begins now and may take `own` is to be over.
    fn by(&self, own: Option<Duration>) -> Instant {
        let own = own.and_then(|own| Instant::now().checked_add(own));
        own.map_or(self.deadline, |own| own.min(self.deadline))
    }
}

#[cfg(test)]
mod tests;
