//! Asks a URL and says how it answered: status, latency, bytes.
//!
//! ```toml
//! [jobs.probe-api]
//! plugin  = "probe"
//! trigger = "every 1m"
//! args    = { url = "https://api.example.com/healthz", timeout_ms = 2000 }
//! retry   = { max_attempts = 3, backoff = "5s" }
//! pause_after_failures = 10
//! capabilities = { http = ["https://api.example.com"] }
//! ```
//!
//! No answer, or one with another status than expected, may be better next time: another attempt is
//! made. A URL that is malformed or was not granted stays so: the run fails for good.

use std::io::Read;
use std::time::{Duration, Instant};

use campanile_sdk::http::{Request, Response};
use campanile_sdk::{Context, Result, ResultExt, job, permanent, retryable};

/// The body is read in pieces of this size, and thrown away.
const PIECE_BYTES: usize = 4_096;

/// What to ask.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// `http://` or `https://`, of an origin that was granted.
    url: String,
    /// The status that it is to answer with; any from 200 to 299 when left out.
    expect_status: Option<u16>,
    /// How long the connection, the answer's beginning and each pause in it may take, at least 1.
    timeout_ms: Option<u64>,
}

/// How it answered.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Probed {
    status: u16,
    /// Until the head of the answer had come.
    latency_ms: u64,
    /// Of the body.
    bytes: u64,
}

/// Asks a URL and says how it answered.
#[job(max_instances = 1, timeout = "1m")]
fn run(ctx: &Context, args: Args) -> Result<Probed> {
    let mut request = Request::get(&args.url);
    match args.timeout_ms {
        Some(0) => return Err(permanent("`timeout_ms` is to be 1 or more")),
        Some(timeout) => request = request.timeout(Duration::from_millis(timeout)),
        None => (),
    }
    if let Some(status @ (..=99 | 600..)) = args.expect_status {
        return Err(permanent(format!("`expect_status` is to be from 100 to 599, not {status}")));
    }
    let asked = Instant::now();
    let mut answer = request.send()?;
    let latency = asked.elapsed();
    let probed = Probed {
        status: answer.status(),
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        bytes: length(&mut answer).context("the answer")?,
    };
    if !is_expected(probed.status, args.expect_status) {
        let wanted =
            args.expect_status.map_or("200 to 299".to_owned(), |wanted| wanted.to_string());
        return Err(retryable(format!("it answered {}, not {wanted}", probed.status)));
    }
    ctx.info(format!("{} in {} ms, {} bytes", probed.status, probed.latency_ms, probed.bytes));
    Ok(probed)
}

fn is_expected(status: u16, wanted: Option<u16>) -> bool {
    wanted.map_or((200..300).contains(&status), |wanted| status == wanted)
}

/// Reads to the end.
fn length(answer: &mut Response) -> Result<u64> {
    let mut piece = [0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        match answer.read(&mut piece)? {
            0 => return Ok(bytes),
            more => bytes += more as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use campanile_sdk::Invocation;

    use super::*;

    fn refused(args: Args) -> String {
        let error = run(&Context::new(Invocation::default()), args).unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn arguments_that_cannot_be_right_fail_for_good() {
        let url = || "http://127.0.0.1/".to_owned();
        let zero = Args { url: url(), expect_status: None, timeout_ms: Some(0) };
        assert!(refused(zero).contains("`timeout_ms` is to be 1 or more"));
        let status = Args { url: url(), expect_status: Some(20), timeout_ms: None };
        assert!(refused(status).contains("from 100 to 599, not 20"));
        let no_url = Args { url: "127.0.0.1".into(), expect_status: None, timeout_ms: None };
        assert!(refused(no_url).contains("begin with `http://`"));
    }

    #[test]
    fn a_status_is_the_expected_one_or_a_good_one() {
        for (status, wanted, expected) in
            [(204, None, true), (302, None, false), (404, Some(404), true), (200, Some(404), false)]
        {
            assert_eq!(is_expected(status, wanted), expected, "{status} {wanted:?}");
        }
    }
}
