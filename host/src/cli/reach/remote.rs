//! A host that is asked over HTTP.

use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, HeaderValue};
use ureq::http::{Request, Response};
use ureq::middleware::MiddlewareNext;
use ureq::{Agent, Body, SendBody};

use super::Answer;
use super::trust::tls;
use crate::cli::args::Whom;
use crate::cli::exit::Failure;
use crate::config::Api;

/// How long a host may take to say that it is there.
const PROBE: Duration = Duration::from_millis(1_500);
/// How long it may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take until its answer begins: longer than it waits itself.
const ANSWER: Duration = Duration::from_secs(120);
/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 1 << 30;

/// A host at an address.
pub struct Remote {
    agent: Agent,
    base: String,
}

impl Remote {
    /// The host at `url`, whether it answers or not.
    ///
    /// # Errors
    ///
    /// It is no URL of a host; or a token or certificates were given that are none.
    pub(super) fn at(url: &str, whom: &Whom) -> Result<Self, Failure> {
        Self::believing(url, whom, None)
    }

    /// The same, which also believes the certificate in the file `own`.
    fn believing(url: &str, whom: &Whom, own: Option<&Path>) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/');
        let base = match base.split_once("://") {
            None => format!("http://{base}"),
            Some(("http" | "https", _)) => base.to_owned(),
            Some(_) => {
                let message = format!(
                    "`{url}` is no URL of a host: write http://ADDRESS:PORT or https://NAME:PORT"
                );
                return Err(Failure::usage(message));
            }
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER));
        if base.starts_with("https://") {
            config = config.tls_config(tls(whom.ca_file(), own)?);
        }
        if let Some(token) = whom.token() {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Failure::usage("--token: there are characters in it that no token has")
            })?;
            value.set_sensitive(true);
            config = config.middleware(
                move |mut request: Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
                    request.headers_mut().insert(AUTHORIZATION, value.clone());
                    next.handle(request)
                },
            );
        }
        Ok(Self { agent: config.build().new_agent(), base })
    }

    /// The host that listens where the configuration says, if one does.
    ///
    /// # Errors
    ///
    /// One does, and its certificate is not believed.
    pub(super) fn find(api: &Api, whom: &Whom) -> Result<Option<Self>, Failure> {
        let mut listen = api.listen;
        if listen.port() == 0 {
            return Ok(None);
        }
        // What listens everywhere listens here.
        match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => (),
        }
        let own = api.tls.as_ref().map(|files| files.cert.as_path());
        let remote = Self::believing(&format!("{}://{listen}", api.scheme()), whom, own)?;
        let request = remote.agent.get(format!("{}/healthz", remote.base));
        let answer = request.config().timeout_global(Some(PROBE)).build().call();
        match answer {
            Ok(answer) => Ok((answer.status() == 200).then_some(remote)),
            Err(error) if is_about_tls(&error) => Err(remote.unreachable(&error)),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.agent.get(format!("{}{path}", self.base)).call();
        self.answer(answer)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let answer = self.agent.post(format!("{}{path}", self.base)).send_json(body);
        self.answer(answer)
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let answer = self.agent.put(format!("{}{path}", self.base)).send_json(body);
        self.answer(answer)
    }

    pub(super) fn put_plugin(
        &self,
        path: &str,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        request = request.header("content-type", "application/wasm");
        if let Some(signature) = signature {
            request = request.header("campanile-signature", signature);
        }
        self.answer(request.send(bytes))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.agent.delete(format!("{}{path}", self.base)).call();
        self.answer(answer)
    }

    pub(super) fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let answer = self.agent.get(format!("{}{path}", self.base)).call();
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(self.answer(Ok(answer))?.refusal());
        }
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        for line in BufReader::new(body).lines() {
            let line = line.map_err(|error| {
                Failure::failed(format!("the host at {} went away: {error}", self.base))
            })?;
            each(&line)?;
        }
        Ok(())
    }

    fn answer(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Answer, Failure> {
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        Ok(Answer { status, body })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let base = &self.base;
        let help = match is_about_tls(error) {
            true => {
                "name the authority that vouches for it with --ca-file, and the host with --url as \
                 its certificate does"
            }
            false => "start one with `host serve`, or correct --url",
        };
        Failure::failed(format!("no host answers at {base} ({error}); {help}"))
    }
}

/// Whether there is somebody whose certificate is not believed, or who does not speak TLS.
fn is_about_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}
