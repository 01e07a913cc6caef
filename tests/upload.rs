//! Plugins over REST, and plugins that must be signed.

use std::io::Cursor;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use campanile::engine::plugin::Digest;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

const WASM: &str = "application/wasm";

fn digest_of(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Puts bytes under a path with these headers.
fn put(host: &Host, path: &str, bytes: &[u8], headers: &[(&str, &str)]) -> (u16, Value) {
    host.put_bytes(&format!("/v1/plugins/{path}"), bytes, headers)
}

#[test]
fn a_plugin_that_is_put_runs_and_is_there_after_a_restart() {
    let site = Site::new("[jobs.tick]\nplugin = 'bell'\ntrigger = 'every 200ms'\n");
    let host = site.start();
    let (old, new) = (guests::bytes("noop"), guests::core_bytes("noop"));
    let (status, plugin) = put(&host, "bell", &old, &[("content-type", WASM)]);
    assert_eq!((status, &plugin["state"]), (201, &json!("active")), "{plugin}");
    assert_eq!(
        (&plugin["digest"], &plugin["found_in"]),
        (&json!(digest_of(&old)), &json!("store"))
    );
    host.item("a run", "/v1/runs?state=done", |run| run["digest"] == digest_of(&old));

    let file = site.path("out.wasm");
    std::fs::write(&file, &new).unwrap();
    let output = host.cli(&["plugins", "put", file.to_str().unwrap(), "--name", "bell", "--json"]);
    let plugin: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plugin["digest"], digest_of(&new), "{plugin}");
    host.item("a run of it", "/v1/runs?state=done", |run| run["digest"] == digest_of(&new));
    assert_eq!(host.get_bytes("/v1/plugins/bell", WASM), new, "it comes back as it was");
    assert!(host.terminate().0.success());

    let host = site.start();
    let plugin = host.get("/v1/plugins/bell").1;
    assert_eq!((&plugin["state"], &plugin["digest"]), (&json!("active"), &json!(digest_of(&new))));
    assert!(host.cli(&["plugins", "rm", "bell"]).status.success());
    assert_eq!(host.get("/v1/plugins/bell").0, 404);
    assert_eq!(host.send("DELETE", "/v1/plugins/bell", &Value::Null).0, 404);
    let waiting =
        host.item("a fire that waits", "/v1/runs?state=queued", |run| run["reason"] == "no_plugin");
    assert_eq!(put(&host, "bell", &old, &[("content-type", WASM)]).0, 201);
    let path = format!("/v1/runs/{}?wait=30s", waiting["id"].as_str().unwrap());
    assert_eq!(host.get(&path).1["outcome"], "succeeded");
}

#[test]
fn what_is_wrong_with_one_that_is_put_is_told_and_changes_nothing() {
    let site = Site::new("");
    let host = site.start();
    let good = guests::bytes("noop");
    assert_eq!(put(&host, "bell", &good, &[("content-type", WASM)]).0, 201);
    let other = digest_of(b"other");
    let wrong = format!("sha-256=:{}:", BASE64_STANDARD.encode([0; 32]));
    let right = format!("sha-256=:{}:", BASE64_STANDARD.encode(Digest::of(&good).bytes()));
    let wasm = ("content-type", WASM);
    let cut = &good[..good.len() / 2];
    for (path, bytes, headers, expected) in [
        ("bell", &b"no plugin"[..], vec![wasm], (422, "plugin_refused")),
        ("bell", cut, vec![wasm], (422, "plugin_refused")),
        ("bell", &good[..], vec![("content-type", "text/plain")], (415, "wrong_content_type")),
        (&format!("bell?digest={other}"), &good[..], vec![wasm], (422, "invalid")),
        ("bell?digest=md5", &good[..], vec![wasm], (422, "invalid")),
        ("bell", &good[..], vec![wasm, ("repr-digest", &wrong)], (422, "invalid")),
        ("bell", &good[..], vec![wasm, ("campanile-signature", "%")], (422, "invalid")),
        ("bell?tenant=nobody", &good[..], vec![wasm], (404, "no_such_tenant")),
        ("b%20l", &good[..], vec![wasm], (422, "invalid")),
    ] {
        let (status, problem) = put(&host, path, bytes, &headers);
        assert_eq!((status, problem["code"].as_str().unwrap()), expected, "{path}: {problem}");
    }
    let plugin = host.get("/v1/plugins/bell").1;
    assert_eq!((&plugin["digest"], &plugin["error"]), (&json!(digest_of(&good)), &Value::Null));
    assert_eq!(plugin["versions"].as_array().unwrap().len(), 1, "{plugin}");
    let named = format!("bell?digest={}", digest_of(&good));
    assert_eq!(put(&host, &named, &good, &[wasm, ("repr-digest", &right)]).0, 200);
}

#[test]
fn a_file_and_what_is_put_follow_each_other_and_only_the_file_is_removed_by_hand() {
    let site = Site::new("");
    let versions: Vec<_> = (0..3).map(|it| guests::version(&guests::bytes("noop"), it)).collect();
    site.plugin_bytes(&versions[0], "bell");
    let host = site.start();
    let runs = |host: &Host, bytes: &[u8]| {
        let digest = digest_of(bytes);
        eventually("it", || (host.get("/v1/plugins/bell").1["digest"] == *digest).then_some(()));
    };
    let (status, problem) = host.send("DELETE", "/v1/plugins/bell", &Value::Null);
    assert_eq!((status, &problem["code"]), (409, &json!("managed_by_file")), "{problem}");
    assert_eq!(put(&host, "bell", &versions[1], &[("content-type", WASM)]).0, 200);
    runs(&host, &versions[1]);
    assert!(host.terminate().0.success());
    let host = site.start();
    runs(&host, &versions[1]);
    site.plugin_bytes(&versions[2], "bell");
    runs(&host, &versions[2]);
    assert_eq!(put(&host, "bell", &versions[1], &[("content-type", WASM)]).0, 200);
    assert_eq!(host.send("DELETE", "/v1/plugins/bell", &Value::Null).0, 204);
    runs(&host, &versions[2]);
}

#[test]
fn what_is_put_on_one_host_is_on_every_host_of_the_store() {
    let redis = Redis::start();
    let config = format!("store = {{ url = \"{}\" }}", redis.url());
    let (one, two) = (Site::new(&config), Site::new(&config));
    let (one, two) = (one.start(), two.start());
    let versions: Vec<_> = (0..2).map(|it| guests::version(&guests::bytes("noop"), it)).collect();
    for (host, bytes) in [(&one, &versions[0]), (&two, &versions[1])] {
        assert!(put(host, "bell", bytes, &[("content-type", WASM)]).0 < 300);
        for host in [&one, &two] {
            eventually("it everywhere", || {
                (host.get("/v1/plugins/bell").1["digest"] == digest_of(bytes)).then_some(())
            });
        }
    }
    assert_eq!(one.post("/v1/plugins/bell/rollback", &json!({})).0, 200);
    eventually("the way back everywhere", || {
        (two.get("/v1/plugins/bell").1["digest"] == digest_of(&versions[0])).then_some(())
    });
    assert!(one.cli(&["plugins", "rm", "bell"]).status.success());
    eventually("it to be gone", || (two.get("/v1/plugins/bell").0 == 404).then_some(()));
}

/// A key, and how it is written into a configuration.
fn key() -> (minisign::KeyPair, String) {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let text = pair.pk.to_base64();
    (pair, text)
}

fn signed(pair: &minisign::KeyPair, bytes: &[u8]) -> String {
    minisign::sign(None, &pair.sk, Cursor::new(bytes), None, None).unwrap().into_string()
}

#[test]
fn only_what_is_signed_with_a_known_key_is_taken_where_that_is_required() {
    let ((pair, public), (foreign, _)) = (key(), key());
    let site = Site::new(&format!(
        "[tenants.acme.reload]\nrequire_signature = true\nsignature_keys = ['{public}']\n"
    ));
    std::fs::create_dir(site.path("plugins/acme")).unwrap();
    let good = guests::bytes("noop");
    site.plugin_bytes(&good, "acme/bell");
    site.plugin_bytes(&good, "free");
    let host = site.start();
    let refused = |says: &str| {
        host.item("the reason", "/v1/plugins?tenant=acme", |plugin| {
            plugin["state"] == "refused" && plugin["error"].as_str().unwrap().contains(says)
        });
    };
    assert_eq!(host.get("/v1/plugins/free").1["state"], "active", "another tenant's");
    refused("is not signed, and its tenant requires that");
    let sign =
        |text: &str| std::fs::write(site.path("plugins/acme/bell.wasm.minisig"), text).unwrap();
    sign("not a signature");
    refused("has a signature that can't be read");
    sign(&signed(&foreign, &good));
    refused("signed with a key that `signature_keys` does not name");
    sign(&signed(&pair, b"other bytes"));
    refused("is not what was signed");
    sign(&signed(&pair, &good));
    host.item("it", "/v1/plugins?tenant=acme", |plugin| plugin["state"] == "active");

    let next = guests::version(&good, 1);
    let path = "bell?tenant=acme";
    let (status, problem) = put(&host, path, &next, &[("content-type", WASM)]);
    assert_eq!((status, &problem["code"]), (422, &json!("plugin_refused")), "{problem}");
    let signature = BASE64_STANDARD.encode(signed(&pair, &next));
    let headers = [("content-type", WASM), ("campanile-signature", signature.as_str())];
    let (status, plugin) = put(&host, path, &next, &headers);
    assert_eq!((status, &plugin["digest"]), (200, &json!(digest_of(&next))), "{plugin}");
    let file = site.path("bell.wasm");
    let last = guests::version(&good, 2);
    std::fs::write(&file, &last).unwrap();
    std::fs::write(site.path("bell.wasm.minisig"), signed(&pair, &last)).unwrap();
    let output = host.cli(&["plugins", "put", file.to_str().unwrap(), "--tenant", "acme"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_somebody_without_a_token_puts_sees_nothing_of_the_machine() {
    let site = Site::new(
        "[jobs.sees]\nplugin = 'bell'\ncapabilities = { env = ['MODE=fast'] }\n\
         [jobs.blind]\nplugin = 'bell'\n",
    );
    let host = site.start();
    let good = guests::bytes("noop");
    assert_eq!(put(&host, "bell", &good, &[("content-type", WASM)]).0, 201);
    let run = |job: &str| {
        let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
        assert_eq!(status, 202, "{run}");
        host.get(&format!("/v1/runs/{}?wait=30s", run["id"].as_str().unwrap())).1
    };
    assert_eq!(run("blind")["outcome"], "succeeded");
    let refused = run("sees");
    assert_eq!(refused["outcome"], "failed", "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("without a token, and job `sees` has env"), "{message}");
    // The very same bytes, from somebody who may write the folder.
    site.plugin_bytes(&good, "bell");
    eventually("a run that sees", || (run("sees")["outcome"] == "succeeded").then_some(()));
}
