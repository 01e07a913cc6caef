//! The interface over a real socket, with the store in memory and a clock that stands still.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Context;
use crate::catalog::{Catalog, Entry, State};
use crate::clock::{ManualClock, SharedClock};
use crate::config::Config;
use crate::job::names::QueueName;
use crate::job::names::TenantId;
use crate::job::{History, JobKey, PluginKey, Source};
use crate::record::HostInfo;
use crate::record::packed::{Effective, Packed};
use crate::record::step::{Acquire, AttemptEnd, Claim, Conflict, NewSchedule};
use crate::record::{Definition, Session, TriggerState};
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::run::{LogLevel, LogLine, LogStream};
use crate::status::Status;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::time::Timestamp;

mod define;
mod enqueue;
mod steer;
mod why;

/// A served interface; it ends with this value.
struct Served {
    listen: SocketAddr,
    store: Arc<EmbeddedStore>,
    clock: Arc<ManualClock>,
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    _catalog: watch::Sender<Arc<Catalog>>,
}

fn now() -> Timestamp {
    Timestamp::parse("2026-12-01T00:00:00Z").unwrap()
}

fn key(job: &str) -> JobKey {
    JobKey { tenant: TenantId::default_tenant(), job: job.parse().unwrap() }
}

async fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let store = Arc::new(EmbeddedStore::memory());
    let clock = Arc::new(ManualClock::at(now()));
    let status = Arc::new(Status::default());
    let stop = watch::Sender::new(false);
    let refused = Entry {
        key: PluginKey { tenant: TenantId::default_tenant(), plugin: "report".parse().unwrap() },
        from: crate::catalog::FoundIn::Folder("plugins/report.wasm".into()),
        about: None,
        state: State::Refused("it is empty".to_owned()),
        loaded_at: now(),
        update_refused: None,
        versions: None,
        canary: None,
    };
    let catalog = watch::Sender::new(Arc::new(Catalog::default().with(refused)));
    let config = Config::parse("", Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
    let context = Context {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::clone(&clock) as SharedClock,
        catalog: catalog.subscribe(),
        intake: None,
        fleet: crate::catalog::fleet::Fleet::alone(catalog.subscribe()),
        jobs: Arc::default(),
        config: watch::Sender::new(Arc::new(config)).subscribe(),
        status: Arc::clone(&status),
        host: "tower".to_owned(),
        metrics: Arc::default(),
        session: None,
        reload: None,
        listen,
        access: super::access::Access::Local,
    };
    tokio::spawn(super::serve(listener, None, context, stop.subscribe()));
    Served { listen, store, clock, status, stop, _catalog: catalog }
}

impl Served {
    async fn put(&self, job: &str, trigger: Value) {
        let effective = json!({"plugin": "report", "trigger": trigger});
        let cursor = (!trigger.is_null()).then(|| now().after(Duration::from_secs(60)));
        let new = NewSchedule {
            key: key(job),
            source: Source::File,
            def: Definition {
                definition: Packed::of(&effective),
                effective: Effective::of(&effective),
                digest: String::new(),
                config_version: 1,
                origin: "host.toml".to_owned(),
                origins: Default::default(),
            },
            cursor,
            due_at: cursor,
            trigger_state: TriggerState { anchor: now() },
            keep_cursor: false,
            rules: crate::record::Rules::default(),
            max_instances: 1,
            history: History { keep: 100, max_age: Duration::from_hours(24) },
            parked: None,
            ranges: Vec::new(),
        };
        self.store.put(new, Conflict::Fail, now()).await.unwrap();
    }

    /// Sends a request on a thread of its own: the client blocks.
    async fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> (http::HeaderMap, u16, Value) {
        let url = format!("http://{}{path}", self.listen);
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let asked = tokio::task::spawn_blocking(move || {
            let answer = match body {
                None if method == "GET" || method == "DELETE" => {
                    agent().run(request.body(()).unwrap())
                }
                None => agent().run(request.body(Vec::new()).unwrap()),
                Some(body) => {
                    let request = request.header("content-type", "application/json");
                    agent().run(request.body(body.to_string().into_bytes()).unwrap())
                }
            };
            let mut answer = answer.unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::from(text));
            (answer.headers().clone(), answer.status().as_u16(), body)
        });
        asked.await.unwrap()
    }

    async fn ask(&self, method: &'static str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (_, status, body) = self.send(method, path, &[], body).await;
        (status, body)
    }

    /// Asks for something that is done.
    async fn done(&self, method: &'static str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    /// Makes a run of `job` and claims it, as an executor does.
    async fn claimed(&self, job: &str) -> (Session, Claim) {
        let hello = HostInfo::named("tower");
        let session = self.store.attach(hello, now()).await.unwrap().session;
        let (status, _) = self.ask("POST", &format!("/v1/jobs/{job}/run"), None).await;
        assert_eq!(status, 202);
        let plugin =
            PluginKey { tenant: TenantId::default_tenant(), plugin: "report".parse().unwrap() };
        let want = Acquire {
            room: crate::record::room::Room::of_slots(1),
            queues: Arc::new([QueueName::default()].into()),
            classes: Arc::new([plugin].into()),
        };
        let claim = self.store.acquire(&session, want, now()).await.unwrap().remove(0);
        (session, claim)
    }

    async fn finish(&self, session: &Session, claim: &Claim, lines: Vec<LogLine>) {
        let end = AttemptEnd {
            outcome: Outcome::Succeeded,
            result: Some(json!("fine")),
            error: None,
            usage: Usage::default(),
            digest: None,
            progress: None,
            log: lines,
            retry_at: None,
        };
        self.store.finish(session, &claim.run.key(), claim.fence, end, now()).await.unwrap();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(20))).build().new_agent()
}

fn line(message: &str) -> LogLine {
    LogLine {
        t: now(),
        level: LogLevel::Info,
        stream: LogStream::Log,
        context: String::new(),
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn a_host_is_ready_once_its_scheduler_looks() {
    let served = serve().await;
    assert_eq!(served.get("/healthz").await.0, 200);
    let (status, problem) = served.get("/readyz").await;
    assert_eq!((status, &problem["code"]), (503, &json!("not_ready")));
    assert_eq!(problem["errors"][0]["message"], "the scheduler has not started yet");
    served.status.passed(now(), None);
    assert_eq!(served.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn jobs_are_listed_by_page_and_shown_by_name() {
    let served = serve().await;
    for job in ["a", "b", "c"] {
        served.put(job, json!("every 1m")).await;
    }
    let (_, first) = served.get("/v1/jobs?limit=2").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, last) = served.get(&format!("/v1/jobs?limit=2&cursor={cursor}")).await;
    assert_eq!((&last["items"][0]["id"], &last["next_cursor"]), (&json!("c"), &Value::Null));
    let (status, job) = served.get("/v1/jobs/b").await;
    assert_eq!((status, &job["state"]), (200, &json!("active")));
    assert_eq!(job["next_fire_time"], "2026-12-01T00:01:00Z");
}

#[tokio::test]
async fn next_begins_at_the_cursor_and_with_after_on_the_grid() {
    let served = serve().await;
    served.put("minutely", json!("every 1m")).await;
    served.put("asked", Value::Null).await;
    for (path, expected) in [
        ("minutely/next?n=2", json!(["2026-12-01T00:01:00Z", "2026-12-01T00:02:00Z"])),
        ("minutely/next?n=1&after=2026-12-01T00:05:00Z", json!(["2026-12-01T00:05:00Z"])),
        ("minutely/next?n=1&after=2026-12-01T01:05:01%2B01:00", json!(["2026-12-01T00:06:00Z"])),
        ("asked/next", json!([])),
    ] {
        let (_, list) = served.get(&format!("/v1/jobs/{path}")).await;
        assert_eq!(list, json!({"items": expected, "next_cursor": null}), "{path}");
    }
}

#[tokio::test]
async fn what_is_unknown_or_wrong_is_said_as_a_problem() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    for (method, path, body, status, code, part) in [
        ("GET", "/v1/jobs/nightli", None, 404, "no_such_job", "did you mean `nightly`?"),
        ("GET", "/v1/jobs/nightly?tenant=acme", None, 404, "no_such_tenant", "`acme`"),
        ("GET", "/v1/jobs/a%20b/ledger", None, 404, "no_such_job", "a b"),
        ("GET", "/v1/jobs?limt=1", None, 422, "invalid", "did you mean `limit`?"),
        ("GET", "/v1/jobs?cursor=%00", None, 422, "invalid", ""),
        ("GET", "/v1/runs/zzz", None, 404, "no_such_run", "32 hexadecimal"),
        ("GET", "/v1/runs?state=done,dead", None, 422, "invalid", "`dead`"),
        ("GET", "/v1/plugins/reprot", None, 404, "no_such_plugin", "`report`"),
        ("GET", "/v1/nothing", None, 404, "no_such_route", "/v1/nothing"),
        ("GET", "/v1/openapi.json", None, 501, "not_built", "not built yet"),
        ("GET", "/v1/hosts?job=x", None, 422, "invalid", "known here: tenant"),
        ("POST", "/v1/reload", None, 503, "not_ready", "no host is running here"),
        ("POST", "/v1/jobs/nightly/next", None, 405, "wrong_method", "`POST`"),
        ("POST", "/v1/jobs/nightly/run", Some(json!({"arg": 1})), 422, "invalid", "`args`"),
        ("POST", "/v1/jobs/nightly/run", Some(json!([1])), 422, "invalid", "JSON object"),
    ] {
        let (got, problem) = served.ask(method, path, body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{method} {path}");
        assert_eq!(problem["status"], status, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_job_is_run_on_request_and_waits_when_its_plugin_is_missing() {
    let served = serve().await;
    served.put("nightly", json!("every 1h")).await;
    let body = json!({"args": {"n": 1}});
    let (status, run) = served.ask("POST", "/v1/jobs/nightly/run", Some(body)).await;
    assert_eq!(status, 202);
    assert_eq!((&run["cause"], &run["state"]), (&json!("manual"), &json!("queued")));
    assert_eq!((&run["reason"], &run["args"]), (&json!("no_plugin"), &json!({"n": 1})));
    assert_eq!(run["fire_time"], "2026-12-01T00:00:00Z");
    let id = run["id"].as_str().unwrap();
    assert_eq!(served.get(&format!("/v1/runs/{id}")).await, (200, run.clone()));
    let (_, runs) = served.get("/v1/runs?job=nightly&state=queued&cause=manual").await;
    assert_eq!(runs["items"], json!([run]));
    let (_, job) = served.get("/v1/jobs/nightly").await;
    assert_eq!(job["last_run"]["run"], id);
}

#[tokio::test]
async fn a_run_that_waits_is_cancelled_at_once_and_only_once() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let (_, run) = served.ask("POST", "/v1/jobs/nightly/run", None).await;
    let path = format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    let (status, run) = served.ask("POST", &path, None).await;
    assert_eq!((status, &run["verdict"]), (200, &json!("cancelled")));
    let (status, problem) = served.ask("POST", &path, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("already_done")));
}

#[tokio::test]
async fn waiting_for_a_run_ends_when_it_is_over_or_the_time_is_up() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let (session, claim) = served.claimed("nightly").await;
    let path = format!("/v1/runs/{}", claim.run.id);
    let (_, run) = served.get(&format!("{path}?wait=10ms")).await;
    assert_eq!((&run["state"], &run["attempt"]), (&json!("running"), &json!(1)));
    let waiting = format!("{path}?wait=30s");
    let waited = served.get(&waiting);
    let (waited, ()) = tokio::join!(waited, served.finish(&session, &claim, Vec::new()));
    assert_eq!(waited.1["outcome"], "succeeded");
    assert_eq!(served.get(&format!("{path}?wait=1h")).await.0, 422);
}

#[tokio::test]
async fn a_run_that_is_over_before_its_first_news_is_read_is_told_once() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let (session, claim) = served.claimed("nightly").await;
    served.finish(&session, &claim, Vec::new()).await;
    let run = served.store.run(&claim.run.key()).await.unwrap().unwrap();
    let mut seen = super::events::Seen::since(now().before(std::time::Duration::from_secs(60)));
    let told: Vec<String> = seen.run(&run).into_iter().map(|event| event.r#type).collect();
    assert_eq!(told.last().map(String::as_str), Some("run.succeeded"), "{told:?}");
    assert_eq!(seen.run(&run).len(), 0, "the news of its start and of its end come after it");
}

#[tokio::test]
async fn a_log_is_read_by_page_and_followed_to_its_end() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let (session, claim) = served.claimed("nightly").await;
    let path = format!("/v1/runs/{}/logs", claim.run.id);
    let key = claim.run.key();
    served.store.log_append(&key, claim.fence, vec![line("one"), line("two")]).await.unwrap();

    let (_, page) = served.get(&format!("{path}?limit=1")).await;
    assert_eq!(page["items"][0]["message"], "one");
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, page) = served.get(&format!("{path}?cursor={cursor}")).await;
    assert_eq!((&page["items"][0]["message"], &page["next_cursor"]), (&json!("two"), &Value::Null));

    let following = format!("{path}?follow");
    let followed = served.get(&following);
    let (followed, ()) = tokio::join!(followed, served.finish(&session, &claim, vec![line("end")]));
    let text = followed.1.as_str().unwrap().to_owned();
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages: Vec<_> = messages.map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["one", "two", "end"]);
}

#[tokio::test]
async fn what_comes_from_elsewhere_or_is_no_json_is_refused() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let url = format!("http://{}/v1/jobs/nightly/run", served.listen);
    let statuses = tokio::task::spawn_blocking(move || {
        let send = |header: &str, value: &str, body: &[u8]| {
            let request = agent().post(&url).header(header, value);
            request.send(body).unwrap().status().as_u16()
        };
        [
            send("host", "rebound.example", b""),
            send("origin", "http://page.example", b""),
            send("content-type", "text/plain", b"{}"),
            send("content-type", "application/json", b"{"),
            send("content-type", "application/json", &vec![b' '; super::body::MAX_BODY_BYTES + 1]),
        ]
    });
    assert_eq!(statuses.await.unwrap(), [403, 403, 415, 422, 413]);
    let (_, runs) = served.get("/v1/runs").await;
    assert_eq!(runs["items"], json!([]));
}

#[tokio::test]
async fn a_followed_log_ends_when_the_host_shuts_down() {
    let served = serve().await;
    served.put("nightly", Value::Null).await;
    let (_, run) = served.ask("POST", "/v1/jobs/nightly/run", None).await;
    let id = run["id"].as_str().unwrap();
    let url = format!("http://{}/v1/runs/{id}/logs?follow", served.listen);
    let stop = served.stop.clone();
    let followed = tokio::task::spawn_blocking(move || {
        // The answer has begun once there is one.
        let mut answer = agent().get(url).call().unwrap();
        stop.send_replace(true);
        answer.body_mut().read_to_string().unwrap()
    });
    assert_eq!(followed.await.unwrap(), "");
}
