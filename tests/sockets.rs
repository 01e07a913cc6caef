//! Where a job may connect to: exactly where `capabilities.tcp` says, and what is refused names the
//! key.

use serde_json::{Value, json};

use crate::support::host::{Host, Site};
use crate::support::reports;

/// Runs a job and answers with its result and what the host remarked in its log.
fn run(host: &Host, job: &str) -> (Value, Vec<String>) {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{job}: {run}");
    let id = run["id"].as_str().unwrap();
    let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!(run["outcome"], "succeeded", "{job}: {run}");
    let log = host.items(&format!("/v1/runs/{id}/logs"));
    let remarks = log.iter().filter(|line| line["context"] == "campanile");
    (run["result"].clone(), remarks.map(|line| line["message"].as_str().unwrap().into()).collect())
}

#[test]
fn a_job_connects_to_what_it_was_granted_and_a_refusal_names_the_key() {
    let (port, told) = reports::listener();
    let job = |name: &str, handler: &str, args: &str, granted: &str| {
        format!(
            "[jobs.{name}]\nplugin = 'behave'\nhandler = '{handler}'\nargs = {{ {args} }}\n\
             capabilities = {{ tcp = [{granted}] }}\n"
        )
    };
    let here = format!("address = '127.0.0.1:{port}'");
    let by_name = format!("address = 'localhost:{port}'");
    let site = Site::new(&format!(
        "{}{}{}{}{}{}{}",
        job("address", "report", &format!("{here}, times = 2"), &format!("'127.0.0.1:{port}'")),
        job("name", "report", &format!("{by_name}, times = 1"), &format!("'LOCALHOST:{port}'")),
        job("other-port", "tcp", &here, "'127.0.0.1:1', 'localhost:1'"),
        job("other-name", "tcp", &by_name, &format!("'127.0.0.1:{port}'")),
        job("nothing", "tcp", &here, ""),
        job("listens", "listen", "address = '127.0.0.1:0'", &format!("'127.0.0.1:{port}'")),
        job("datagrams", "udp", "address = '127.0.0.1:0'", &format!("'127.0.0.1:{port}'")),
    ));
    site.plugin("behave", "behave");
    let host = site.start();

    for (job, lines) in [("address", 2), ("name", 1)] {
        let (result, remarks) = run(&host, job);
        assert_eq!((result, remarks), (json!({ "ok": lines }), Vec::new()), "{job}");
        for line in 0..lines {
            let heard = told.recv().unwrap();
            assert_eq!((&heard["job"], &heard["told"]), (&json!(job), &json!(line)));
        }
    }
    for (job, why) in [
        ("other-port", format!("it needs `capabilities.tcp = [\"127.0.0.1:{port}\"]`")),
        ("other-name", "it needs `capabilities.tcp = [\"localhost:PORT\"]`".to_owned()),
        ("nothing", "it needs `capabilities.tcp = [\"HOST:PORT\"]`".to_owned()),
        ("listens", "`capabilities.tcp` only connects".to_owned()),
        ("datagrams", "`capabilities.tcp` is all there is for networks".to_owned()),
    ] {
        let (result, remarks) = run(&host, job);
        assert!(result.get("error").is_some(), "{job}: {result}");
        assert!(remarks[0].starts_with("denied: ") && remarks[0].ends_with(&why), "{remarks:?}");
    }
    assert!(told.try_recv().is_err(), "nothing reached the listener without a grant");
}

#[test]
fn sockets_have_a_limit_and_what_goes_through_them_is_counted() {
    let (port, _told) = reports::listener();
    let site = Site::new(&format!(
        "[jobs.many]\nplugin = 'behave'\nhandler = 'connect_many'\n\
         args = {{ address = '127.0.0.1:{port}', times = 5 }}\nlimits = {{ sockets = 3 }}\n\
         capabilities = {{ tcp = ['127.0.0.1:{port}'] }}\n"
    ));
    site.plugin("behave", "behave");
    let host = site.start();
    let (result, remarks) = run(&host, "many");
    assert_eq!((&result["open"], &result["again"]), (&json!(3), &json!(true)), "{result}");
    assert!(result["error"].is_string(), "{result}");
    let refused = "a TCP socket was refused: it wanted 4 (open sockets), over its limit of 3; \
                   `limits.sockets` raises it";
    assert_eq!(remarks, [refused, refused]);
    let runs = host.items("/v1/runs?job=many");
    let sockets = &runs[0]["usage"]["io"]["sockets"];
    assert_eq!((&sockets["bytes_in"], &sockets["bytes_out"]), (&json!(0), &json!(20)), "{sockets}");
}
