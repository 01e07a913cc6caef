//! Tenants that an admin makes, changes and removes while hosts run.

mod made;
mod others;
mod removed;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

const WASM: &str = "application/wasm";

/// Makes a tenant, or gives it other keys.
fn put(host: &Host, name: &str, keys: &Value) -> (u16, Value) {
    host.send("PUT", &format!("/v1/tenants/{name}"), keys)
}

/// The names of the tenants that a host has.
fn names(host: &Host) -> Vec<String> {
    host.items("/v1/tenants").iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

/// Puts a guest under a name of a tenant.
fn put_plugin(host: &Host, tenant: &str, guest: &str, name: &str) {
    let path = format!("/v1/plugins/{name}?tenant={tenant}");
    let (status, plugin) = host.put_bytes(&path, &guests::bytes(guest), &[("content-type", WASM)]);
    assert_eq!(status, 201, "{plugin}");
}

/// Runs a job of a tenant to its end.
fn run(host: &Host, tenant: &str, job: &str) -> Value {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run?tenant={tenant}"), &json!({}));
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().unwrap();
    eventually("the run's end", || {
        let (_, run) = host.get(&format!("/v1/runs/{id}?tenant={tenant}&wait=30s"));
        (run["state"] == "done").then_some(run)
    })
}

/// Makes a job of a tenant over REST.
fn put_job(host: &Host, tenant: &str, id: &str, body: &Value) {
    let (status, job) = host.send("PUT", &format!("/v1/jobs/{id}?tenant={tenant}"), body);
    assert_eq!(status, 201, "{job}");
}

/// Asks for a tenant to be removed; answers what is shown of it.
fn remove(host: &Host, tenant: &str, drain: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}?confirm={tenant}&drain={drain}");
    let (status, shown) = host.send("DELETE", &path, &Value::Null);
    assert_eq!(status, 202, "{shown}");
    assert_eq!(shown["state"], "draining", "{shown}");
    shown
}

fn gone(host: &Host, tenant: &str) {
    eventually("the tenant to be gone", || {
        (host.get(&format!("/v1/tenants/{tenant}")).0 == 404).then_some(())
    });
}

/// The records of a file by their kind, after its first line.
fn exported(site: &Site, name: &str) -> Vec<(String, Value)> {
    let path = site.path(&format!(".campanile/{name}"));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line.as_object().unwrap().clone().into_iter().next().unwrap()).collect()
}
