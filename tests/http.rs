//! Requests of jobs: to what was granted and nowhere else, within their limits, whatever the server
//! does.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::support::host::{Host, Site};
use crate::support::web::{Web, Wire};
use crate::support::{eventually, guests};

/// A job of the test: its name, handler, arguments, grants and limits.
struct Job<'a>(&'a str, &'a str, Value, &'a [&'a str], &'a str);

/// A host with these jobs, and one beside them that does as it should.
fn site(jobs: &[Job<'_>]) -> Site {
    let mut config = "[jobs.beside]\nplugin = 'behave'\nhandler = 'ok'\nargs = 7\n".to_owned();
    for Job(name, handler, args, granted, limits) in jobs {
        let args = toml::Value::try_from(args).unwrap();
        writeln!(config, "[jobs.{name}]\nplugin = 'behave'\nhandler = '{handler}'").unwrap();
        writeln!(config, "args = {args}\nlimits = {{ {limits} }}").unwrap();
        writeln!(config, "capabilities = {{ http = {granted:?} }}").unwrap();
    }
    let site = Site::new(&config);
    site.plugin("behave", "behave");
    site
}

fn begin(host: &Host, job: &str) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{job}: {run}");
    run["id"].as_str().unwrap().to_owned()
}

/// Waits for the end of a run; answers with it and what the host remarked in its log.
fn end(host: &Host, id: &str) -> (Value, Vec<String>) {
    let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    let log = host.items(&format!("/v1/runs/{id}/logs"));
    let remarks = log.iter().filter(|line| line["context"] == "campanile");
    (run, remarks.map(|line| line["message"].as_str().unwrap().to_owned()).collect())
}

/// Runs a job while the one beside it runs too.
fn run(host: &Host, job: &str) -> (Value, Vec<String>) {
    let id = begin(host, job);
    beside(host);
    end(host, &id)
}

/// The well-behaved job does what it should, meanwhile.
fn beside(host: &Host) {
    let (run, remarks) = end(host, &begin(host, "beside"));
    assert_eq!((&run["outcome"], &run["result"]), (&json!("succeeded"), &json!(7)), "{run}");
    assert!(remarks.is_empty(), "{remarks:?}");
}

#[test]
fn a_granted_request_is_answered_counted_and_carries_the_judged_host() {
    let web = Web::start();
    let (origin, port) = (web.origin(), web.port);
    let by_name = format!("http://localhost:{port}");
    let url = |rest: &str| format!("{origin}{rest}");
    let grants = [origin.as_str()];
    let site = site(&[
        Job("get", "fetch", json!({"url": url("/x?key=secret")}), &grants, ""),
        Job("named", "fetch", json!({"url": format!("{by_name}/x")}), &[&by_name], ""),
        Job(
            "post",
            "fetch",
            json!({"url": url("/x"), "method": "POST", "body_bytes": 100_000}),
            &grants,
            "",
        ),
        Job("forges", "fetch", json!({"url": url("/x"), "headers": {"host": "x"}}), &grants, ""),
        Job("tunnels", "fetch", json!({"url": url("/x"), "method": "CONNECT"}), &grants, ""),
    ]);
    let host = site.start();
    let used = |calls: u64, got: u64, gave: u64| json!({"calls": calls, "bytes_in": got, "bytes_out": gave});
    for (job, io) in
        [("get", used(1, 5, 0)), ("named", used(1, 5, 0)), ("post", used(1, 5, 100_000))]
    {
        let (run, remarks) = run(&host, job);
        let fetched = json!({"ok": {"status": 200, "bytes": 5, "hops": 0}});
        assert_eq!(run["result"], fetched, "{job}: {run}");
        assert_eq!(run["attempts"][0]["usage"]["io"]["http"], io, "{job}: {run}");
        assert!(remarks.is_empty(), "{job}: {remarks:?}");
    }
    for (job, told) in [("forges", "the header `host`"), ("tunnels", "MethodInvalid")] {
        let (run, _) = run(&host, job);
        let error = run["result"]["error"].as_str().unwrap();
        assert!(error.contains(told), "{job}: {run}");
    }
    let heads = web.heads();
    assert_eq!(heads.len(), 3, "{heads:?}");
    assert!(heads[0].starts_with("GET /x?key=secret HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains(&format!("host: 127.0.0.1:{port}\r\n")), "{heads:?}");
    assert!(heads[1].contains(&format!("host: localhost:{port}\r\n")), "{heads:?}");
    assert!(heads[2].contains("content-length: 100000\r\n"), "{heads:?}");
    assert_eq!(web.body_bytes(), 100_000);
}

#[test]
fn a_request_elsewhere_is_denied_and_the_key_is_named() {
    let (web, other) = (Web::start(), Web::start());
    let (origin, port) = (web.origin(), web.port);
    let elsewhere = format!("{}/inner", other.origin());
    let redirect = format!("{origin}/redirect?to={elsewhere}");
    let fetch = |url: &str| json!({"url": url, "follow": true});
    let grants = [origin.as_str()];
    let site = site(&[
        Job("port", "fetch", fetch(&elsewhere), &grants, ""),
        Job("scheme", "fetch", fetch(&format!("https://127.0.0.1:{port}/")), &grants, ""),
        Job("host", "fetch", fetch(&format!("http://localhost:{port}/")), &grants, ""),
        Job("number", "fetch", fetch(&format!("http://0x7f.1:{port}/")), &grants, ""),
        Job("nothing", "fetch", fetch(&format!("{origin}/?key=secret")), &[], ""),
        Job("redirect", "fetch", fetch(&redirect), &grants, ""),
        Job("user", "fetch", fetch(&format!("http://ada:hunter2@127.0.0.1:{port}/")), &grants, ""),
    ]);
    let host = site.start();
    let needs = |origin: &str| {
        format!("denied: a request to {origin}; it needs `capabilities.http = [\"{origin}\"]`")
    };
    for (job, told) in [
        ("port", needs(&other.origin())),
        ("scheme", needs(&format!("https://127.0.0.1:{port}"))),
        ("host", needs(&format!("http://localhost:{port}"))),
        (
            "number",
            format!(
                "denied: a request to http://0x7f.1:{port}; only names and whole addresses can be \
                 granted in `capabilities.http`"
            ),
        ),
        ("nothing", needs(&origin)),
        ("redirect", needs(&other.origin())),
    ] {
        let (run, remarks) = run(&host, job);
        assert_eq!(run["outcome"], "succeeded", "{job}: {run}");
        let error = run["result"]["error"].as_str().unwrap();
        assert!(error.ends_with(&told), "{job}: {error}");
        assert_eq!(remarks, [told], "{job}");
    }
    let (run, _) = run(&host, "user");
    assert!(run["result"]["error"].as_str().unwrap().contains("a URL holds no secrets"), "{run}");
    assert!(!run["result"]["error"].as_str().unwrap().contains("hunter2"), "{run}");
    assert_eq!(web.heads().len(), 1, "the redirect alone: {:?}", web.heads());
    assert_eq!(other.heads().len(), 0);
}

#[test]
fn a_server_that_takes_too_long_or_sends_too_much_is_left() {
    let web = Web::start();
    let origin = web.origin();
    let url = |rest: &str| json!({"url": format!("{origin}{rest}")});
    let with = |rest: &str, key: &str, value: u64| json!({"url": format!("{origin}{rest}"), "method": "POST", key: value});
    let grants = [origin.as_str()];
    let small = "http_body = '64KiB', http_headers = '16KiB', http_timeout = '10s'";
    let brief = "http_timeout = '1s'";
    let site = site(&[
        Job("drips", "fetch", url("/drip"), &grants, brief),
        Job("is-silent", "fetch", url("/never"), &grants, brief),
        Job("is-impatient", "fetch", with("/never", "timeout_ms", 500), &grants, ""),
        Job("is-endless", "fetch", url("/endless"), &grants, small),
        Job("claims-much", "fetch", url("/claims?bytes=70000"), &grants, small),
        Job("has-large-headers", "fetch", url("/headers?count=40&bytes=1000"), &grants, small),
        Job("has-many-headers", "fetch", url("/headers?count=5000&bytes=0"), &grants, ""),
        Job("tells-much", "fetch", with("/x", "body_bytes", 70_000), &grants, small),
        Job("is-no-server", "fetch", url("/garbage"), &grants, ""),
        Job("closes", "fetch", url("/closes"), &grants, ""),
        Job("fails", "fetch_or_fail", url("/endless"), &grants, small),
        Job("writes-large-headers", "fetch", with("/x", "header_bytes", 20_000), &grants, small),
    ]);
    let host = site.start();
    for (job, error, remark) in [
        (
            "drips",
            "timeout",
            "was not whole within 1s, the limit of one exchange; `limits.http_timeout`",
        ),
        (
            "is-silent",
            "no answer in time",
            "no answer within 1s, the limit of one exchange; `limits.http_timeout`",
        ),
        ("is-impatient", "no answer in time", "no answer within 500ms, its own limit"),
        (
            "is-endless",
            "exceeds limit",
            "bytes in one HTTP body), over its limit of 64KiB; `limits.http_body`",
        ),
        ("claims-much", "too large", "wanted 70000"),
        ("has-large-headers", "too many headers", "over its limit of 16KiB; `limits.http_headers`"),
        ("has-many-headers", "too many headers", "`limits.http_headers`"),
        ("tells-much", "too large", "over its limit of 64KiB; `limits.http_body`"),
        ("is-no-server", "HttpProtocolError", "the answer is not HTTP/1.1"),
        ("closes", "closed too early", "was closed before the answer was whole"),
    ] {
        let (run, remarks) = run(&host, job);
        assert_eq!(run["outcome"], "succeeded", "{job}: {run}");
        let told = run["result"]["error"].as_str().unwrap();
        assert!(told.contains(error), "{job}: {told}");
        assert_eq!(remarks.len(), 1, "{job}: {remarks:?}");
        assert!(remarks[0].contains(&format!("the request to {origin} failed: ")), "{remarks:?}");
        assert!(remarks[0].contains(remark), "{job}: {remarks:?}");
        eventually("no connection of it", || (web.open() == 0).then_some(()));
    }
    for (job, key) in
        [("fails", "limits.http_body"), ("writes-large-headers", "limits.http_headers")]
    {
        let (run, _) = run(&host, job);
        assert_eq!(run["outcome"], "limit_exceeded", "{job}: {run}");
        assert!(run["error"]["message"].as_str().unwrap().contains(key), "{job}: {run}");
    }
    assert!(web.body_bytes() <= 64 * 1024, "{}", web.body_bytes());
}

#[test]
fn ten_thousand_requests_are_no_more_connections_than_the_limit() {
    let web = Web::start();
    let args = |times: u64, refused: u64| json!({"authority": format!("127.0.0.1:{}", web.port), "times": times, "refused": refused});
    let origin = web.origin();
    let site =
        site(&[Job("floods", "flood", args(10_000, 9_996), &[&origin], "http_connections = 4")]);
    let host = site.start();
    let (run, remarks) = run(&host, "floods");
    let refused = json!({"ErrorCode::ConnectionLimitReached": 9_996});
    assert_eq!(run["result"], json!({"open": 4, "answered": 0, "refused": refused}), "{run}");
    assert_eq!(run["attempts"][0]["usage"]["io"]["http"]["calls"], 10_000, "{run}");
    assert!(remarks[0].contains("over its limit of 4; `limits.http_connections`"), "{remarks:?}");
    assert!(web.most() <= 4, "{}", web.most());
    eventually("no connection of it", || (web.open() == 0).then_some(()));
}

#[test]
fn a_run_that_ends_takes_its_connections_along() {
    let web = Web::start();
    let origin = web.origin();
    let never = json!({"url": format!("{origin}/never")});
    let site = site(&[
        Job("is-cancelled", "fetch", never.clone(), &[&origin], ""),
        Job("times-out", "fetch", never, &[&origin], "timeout = '1s'"),
    ]);
    let host = site.start();
    let id = begin(&host, "is-cancelled");
    eventually("its request", || (web.open() == 1).then_some(()));
    beside(&host);
    assert_eq!(host.post(&format!("/v1/runs/{id}/cancel"), &json!({})).0, 202);
    assert_eq!(end(&host, &id).0["outcome"], "cancelled");
    eventually("no connection of it", || (web.open() == 0).then_some(()));
    assert_eq!(run(&host, "times-out").0["outcome"], "timed_out");
    eventually("no connection of it", || (web.open() == 0).then_some(()));
    assert_eq!(web.heads().len(), 2);
}

#[test]
fn a_certificate_is_believed_when_the_machine_does_and_only_for_its_name() {
    let issuer = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&issuer).unwrap();
    let issuer = rcgen::Issuer::new(authority, issuer);
    let key = rcgen::KeyPair::generate().unwrap();
    let named = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let named = named.signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![CertificateDer::from(named)],
        PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
    )
    .unwrap();
    let config = Arc::new(config);
    let web = Web::over(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
        Some(Box::new(rustls::StreamOwned::new(connection, stream)) as Box<dyn Wire>)
    });
    let (by_name, by_address) =
        (format!("https://localhost:{}", web.port), format!("https://127.0.0.1:{}", web.port));
    let site = site(&[
        Job("named", "fetch", json!({"url": by_name}), &[&by_name], ""),
        Job("unnamed", "fetch", json!({"url": by_address}), &[&by_address], ""),
    ]);
    let file = site.path("authority.pem");
    std::fs::write(&file, root.pem()).unwrap();

    let host = site.start_with_env(&[("SSL_CERT_FILE", file.to_str().unwrap())]);
    let (named, remarks) = run(&host, "named");
    assert_eq!(named["result"]["ok"]["status"], 200, "{named} {remarks:?}");
    let (unnamed, remarks) = run(&host, "unnamed");
    let told = unnamed["result"]["error"].as_str().unwrap();
    assert!(told.contains("its certificate is not believed"), "{unnamed}");
    assert!(
        remarks[0].contains("its certificate is not believed (certificate not valid for name"),
        "{remarks:?}"
    );
    drop(host);

    std::fs::write(
        &file,
        rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem(),
    )
    .unwrap();
    let host = site.start_with_env(&[("SSL_CERT_FILE", file.to_str().unwrap())]);
    let (named, remarks) = run(&host, "named");
    assert!(named["result"].get("error").is_some(), "{named}");
    assert!(remarks[0].contains("its certificate is not believed"), "{remarks:?}");
    assert_eq!(web.heads().len(), 1);
}

#[test]
fn the_probe_tells_how_a_server_answered_and_which_failures_are_for_good() {
    let web = Web::start();
    let (origin, site) = (web.origin(), Site::new(""));
    let plugin = guests::path("probe");
    let probe = |args: &Value, grant: &str| {
        let mut line = vec!["run", plugin.to_str().unwrap(), "--json"];
        let args = args.to_string();
        line.extend(["--args", args.as_str()]);
        if !grant.is_empty() {
            line.extend(["--allow-http", grant]);
        }
        let output = site.cli(&line);
        let ended: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code(), ended)
    };
    let url = format!("{origin}/healthz?key=secret");
    let (code, ended) = probe(&json!({"url": url, "timeout_ms": 5_000}), &origin);
    assert_eq!((code, &ended["result"]["status"]), (Some(0), &json!(200)), "{ended}");
    assert_eq!(ended["result"]["bytes"], 5, "{ended}");
    let never = format!("{origin}/never");
    for (args, grant, retryable, told) in [
        (json!({"url": url, "expect_status": 204}), &*origin, true, "it answered 200, not 204"),
        (json!({"url": never, "timeout_ms": 500}), &origin, true, "no answer in time"),
        (json!({"url": url}), "", false, "it needs `capabilities.http = "),
        (json!({"url": url, "timeout_ms": 0}), &origin, false, "`timeout_ms` is to be 1 or more"),
        (json!({"address": url}), &origin, false, "unknown field `address`"),
    ] {
        let (code, ended) = probe(&args, grant);
        assert_eq!((code, &ended["outcome"]), (Some(1), &json!("failed")), "{ended}");
        let error = &ended["error"];
        assert_eq!(error["retryable"], retryable, "{ended}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(told) && !message.contains("secret"), "{message}");
    }
}
