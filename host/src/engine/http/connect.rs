//! A connection to an origin: its name looked up once, each address judged, TLS where it is asked
//! for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wasmtime_wasi_http::Error;

use super::Net;
use super::names::Lookups;
use super::origin::Origin;
use super::reason::Witness;
use crate::job::http::{HttpGrant, Scheme};

/// The least time that an address gets when there are others to try.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// Bytes to and from a server.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// How a request gets to its origin.
pub(super) struct Way {
    pub(super) origin: Origin,
    pub(super) granted: Arc<[HttpGrant]>,
    pub(super) net: Arc<Net>,
    pub(super) lookups: Lookups,
    pub(super) witness: Witness,
}

impl Way {
    /// Connects. Takes as long as it takes: the caller holds it to its time.
    pub(super) async fn connect(&self, until: Instant) -> Result<Box<dyn Wire>, Error> {
        let addresses = self.addresses().await?;
        let stream = self.reach(&addresses, until).await?;
        // Small requests are to leave at once; a connection that can't do that does as well.
        let _ = stream.set_nodelay(true);
        match self.origin.scheme {
            Scheme::Http => Ok(Box::new(stream)),
            Scheme::Https => self.encrypt(stream).await,
        }
    }

    /// The addresses that the origin leads to and may lead to.
    async fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let (origin, witness) = (&self.origin, &self.witness);
        if let Some(address) = origin.address() {
            return Ok(vec![address]);
        }
        let found = self.net.names.find(&origin.host, &self.lookups).await;
        let found = found.map_err(|error| {
            let payload = Error::DnsError { rcode: None, info_code: None };
            witness.failed(format!("`{}` leads nowhere ({error})", origin.host), payload)
        })?;
        let mut refused = None;
        let mut leads = Vec::new();
        for address in found.into_iter().map(|address| address.to_canonical()) {
            if origin.may_lead(address, &self.granted) {
                leads.push(address);
            } else {
                let what = format!("`{}` as {address}, which is an inner address", origin.host);
                refused = Some(witness.denied(&what, &origin.at(address).needs()));
            }
        }
        match (leads.is_empty(), refused) {
            (false, _) => Ok(leads),
            (true, Some(refused)) => Err(refused),
            (true, None) => {
                let reason = format!("`{}` leads nowhere", origin.host);
                Err(witness.failed(reason, Error::DestinationNotFound))
            }
        }
    }

    /// A connection to the first address that takes one.
    async fn reach(&self, addresses: &[IpAddr], until: Instant) -> Result<TcpStream, Error> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for (index, address) in addresses.iter().enumerate() {
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let left = until.saturating_duration_since(Instant::now());
            let share = (left / others).max(LEAST_TIME);
            let to = SocketAddr::new(*address, self.origin.port);
            match timeout(share, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        let error = match last.kind() {
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            _ => Error::DestinationUnavailable,
        };
        Err(self.witness.failed(format!("it takes no connection ({last})"), error))
    }

    async fn encrypt(&self, stream: TcpStream) -> Result<Box<dyn Wire>, Error> {
        let connector = self.net.trust.connector().await;
        let connector =
            connector.map_err(|reason| self.witness.failed(reason, Error::ConfigurationError))?;
        let name = ServerName::try_from(self.origin.host.clone())
            .map_err(|error| self.witness.failed(error, Error::TlsProtocolError))?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                let kind = error.get_ref().and_then(|inner| inner.downcast_ref());
                let (reason, code) = match kind {
                    Some(rustls::Error::InvalidCertificate(why)) => (
                        format!("its certificate is not believed ({why})"),
                        Error::TlsCertificateError,
                    ),
                    Some(_) | None => (format!("no TLS ({error})"), Error::TlsProtocolError),
                };
                Err(self.witness.failed(reason, code))
            }
        }
    }
}
