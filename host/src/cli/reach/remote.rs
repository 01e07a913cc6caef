//! A host that is asked over HTTP.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::Answer;
use crate::cli::exit::Failure;

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
    /// It is no URL of a host.
    pub(super) fn at(url: &str) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/');
        let base = match base.split_once("://") {
            None => format!("http://{base}"),
            Some(("http", _)) => base.to_owned(),
            Some(_) => {
                let message = format!("`{url}` is no URL of a host: write http://ADDRESS:PORT");
                return Err(Failure::usage(message));
            }
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .build();
        Ok(Self { agent: config.new_agent(), base })
    }

    /// The host that listens there, if one does.
    pub(super) fn find(listen: SocketAddr) -> Result<Option<Self>, Failure> {
        if listen.port() == 0 {
            return Ok(None);
        }
        let remote = Self::at(&format!("http://{listen}"))?;
        let request = remote.agent.get(format!("{}/healthz", remote.base));
        let answer = request.config().timeout_global(Some(PROBE)).build().call();
        Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(remote))
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
        Failure::failed(format!(
            "no host answers at {} ({error}); start one with `host serve`, or correct --url",
            self.base
        ))
    }
}
