//! Tokens that are made and revoked while the host serves, those who guess, and a host without any.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::wire::Wire;
use super::{printed, said, site, token};
use crate::support::eventually;
use crate::support::host::Site;

#[test]
fn a_token_counts_from_when_it_is_made_until_it_is_revoked() {
    let site = site();
    let missing = site.start_in_vain();
    assert!(!missing.0.success(), "{missing:?}");
    assert!(missing.1.contains("tokens.toml` is not there"), "{missing:?}");
    assert!(missing.1.contains("host token create --role admin"), "{missing:?}");

    let first = token(&site, &["--role", "viewer", "--id", "first"]);
    let file = site.path("tokens.toml");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = first.rsplit_once('_').unwrap().1;
    assert_eq!(secret.len(), 64);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(secret));

    let host = site.start();
    let wire = Wire::to(&host);
    assert_eq!(wire.with(&first).get("/v1/jobs").status, 200);
    let second = site.cli(&["token", "create", "--role", "operator", "--id", "second", "--json"]);
    let made = &printed(&second)[0];
    assert_eq!(
        (&made["id"], &made["role"], &made["tenant"]),
        (&json!("second"), &json!("operator"), &json!(null))
    );
    let second = made["token"].as_str().unwrap();
    let from = Ipv4Addr::new(127, 5, 0, 1);
    let mut tries = 0;
    eventually("the new token to count", || {
        // Asked too early it is one that nobody knows.
        tries += 1;
        let wire = wire.from(Ipv4Addr::from_bits(from.to_bits() + tries)).with(second);
        (wire.get("/v1/jobs").status == 200).then_some(())
    });
    host.says("the file of tokens was read again");

    let listed = site.cli(&["token", "ls", "--json"]);
    let ids: Vec<_> = printed(&listed).iter().map(|token| token["id"].clone()).collect();
    assert_eq!(ids, ["first", "second"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("hash"));
    let revoked = site.cli(&["token", "revoke", "frist"]);
    assert!(said(&revoked).contains("did you mean `first`?"), "{revoked:?}");
    assert!(site.cli(&["token", "revoke", "first"]).status.success());
    eventually("the old token to be refused", || {
        (wire.with(&first).get("/v1/jobs").status == 401).then_some(())
    });
    assert_eq!(wire.with(second).get("/v1/jobs").status, 200);

    // A file that is wrong takes nobody's token away.
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "[[token]]\nid = 3").unwrap();
    host.says("the tokens that were read before count");
    assert_eq!(wire.with(second).get("/v1/jobs").status, 200);
    let vain = site.cli(&["token", "create", "--role", "admin"]);
    assert_eq!(vain.status.code(), Some(2), "{vain:?}");
    std::fs::write(&file, good + "# touched\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(site.cli(&["token", "revoke", "second"]).status.success());
    eventually("nobody to be known", || {
        (wire.with(second).get("/v1/jobs").status == 401).then_some(())
    });
    let told = host.terminate().1;
    assert!(!told.contains(secret) && !told.contains(second), "{told}");
}

#[test]
fn what_is_followed_ends_with_the_token() {
    let site = site();
    let viewer = token(&site, &["--role", "viewer", "--id", "v"]);
    let host = site.start();
    let told = Wire::to(&host).with(&viewer).to_the_end("/v1/events", || {
        assert!(site.cli(&["token", "revoke", "v"]).status.success());
    });
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("0\r\n\r\n"), "{told}");
    host.says("the file of tokens was read again");
}

#[test]
fn a_file_that_others_may_read_is_warned_of() {
    let site = site();
    token(&site, &["--role", "viewer"]);
    std::fs::set_permissions(site.path("tokens.toml"), PermissionsExt::from_mode(0o644)).unwrap();
    let host = site.start();
    host.says("others may read or write the file of tokens");
}

#[test]
fn what_can_not_be_a_token_is_refused_with_what_would_be_right() {
    let site = site();
    token(&site, &["--role", "viewer", "--id", "taken"]);
    for (args, code, part) in [
        (&["--role", "root"][..], 2, "there are the roles viewer, operator, admin"),
        (&["--role", "viewer", "--tenant", "other"], 2, "there are acme, default, zeta"),
        (&["--role", "viewer", "--expires", "1999-01-01T00:00:00Z"], 2, "has passed"),
        (&["--role", "viewer", "--expires", "soon"], 2, "--expires"),
        (&["--role", "viewer", "--id", "taken"], 1, "there is a token `taken` already"),
    ] {
        let refused = site.cli(&[&["token", "create"], args].concat());
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {refused:?}");
        assert!(said(&refused).contains(part), "{args:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
    let without = Site::new("");
    let refused = without.cli(&["token", "create", "--role", "admin"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(
        said(&refused).contains("write `tokens = \"tokens.toml\"` below `[api]`"),
        "{refused:?}"
    );
}

#[test]
fn who_guesses_is_not_heard_for_a_while_and_others_are() {
    let site = site();
    let good = token(&site, &["--role", "viewer"]);
    let host = site.start();
    let wire = Wire::to(&host);
    let (guesser, other) = (Ipv4Addr::new(127, 9, 0, 1), Ipv4Addr::new(127, 9, 0, 2));
    for _ in 0..9 {
        assert_eq!(wire.from(guesser).with("camp_x_0").get("/v1/jobs").status, 401);
    }
    assert_eq!(wire.from(guesser).with(&good).get("/v1/jobs").status, 200);
    assert_eq!(wire.from(guesser).with("camp_x_0").get("/v1/jobs").status, 401);
    for token in ["camp_x_0", &good] {
        let refused = wire.from(guesser).with(token).get("/v1/jobs");
        assert_eq!((refused.status, refused.code()), (429, "too_many_failures"), "{refused:?}");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{refused:?}");
    }
    assert_eq!(wire.from(guesser).get("/healthz").status, 200);
    assert_eq!(wire.from(other).with(&good).get("/v1/jobs").status, 200);
    host.says("somebody guesses tokens");
}

#[test]
fn the_command_line_sends_a_token_and_says_when_it_needs_one() {
    let site = site();
    let operator = token(&site, &["--role", "operator", "--tenant", "acme", "--id", "ops"]);
    let host = site.start();
    let url = host.url();
    let refused = site.cli(&["jobs", "ls", "--url", &url]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said(&refused).contains("CAMPANILE_TOKEN"), "{refused:?}");
    std::fs::write(site.path("x.json"), r#"{"id": "x", "plugin": "none"}"#).unwrap();
    let with = |args: &[&str]| site.cli(&[args, &["--url", &url, "--token", &operator]].concat());
    let put = with(&["jobs", "put", "x.json"]);
    assert!(put.status.success(), "{put:?}");
    let listed = printed(&with(&["jobs", "ls", "--json"]));
    assert_eq!((&listed[0]["id"], &listed[0]["tenant"]), (&json!("x"), &json!("acme")));
    let paused = printed(&with(&["pause", "x", "--json"]));
    assert_eq!(paused[0]["paused"]["by"], "token ops", "{paused:?}");
    let foreign = with(&["jobs", "ls", "--tenant", "zeta"]);
    assert!(said(&foreign).contains("there is no tenant `zeta`"), "{foreign:?}");
    let all = with(&["pause", "--all"]);
    assert!(!all.status.success(), "{all:?}");
}

#[test]
fn beyond_this_machine_a_host_wants_tokens() {
    let site = Site::new("");
    let listen = |more: &str| {
        let text = format!("[api]\nlisten = \"0.0.0.0:0\"\n{more}\n");
        std::fs::write(site.path("host.toml"), text).unwrap();
    };
    listen("");
    let (status, said) = site.start_in_vain();
    assert_eq!(status.code(), Some(2), "{said}");
    for part in ["127.0.0.1:0", "`tokens = \"tokens.toml\"`", "host token create"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    listen("tokens = \"tokens.toml\"");
    token(&site, &["--role", "viewer"]);
    let host = site.start_unseen();
    host.says("tokens travel unencrypted");
    host.says("listens on http://0.0.0.0:");
}

#[test]
fn without_tokens_a_form_changes_nothing_and_rest_grants_nothing_of_the_machine() {
    let site = Site::new(
        "[tenants.default]\nallow = { dirs = [\"plugins\"], env = [\"MODE\"], secrets = [\"HOOK\"], \
         kv = true }\n[secrets]\nHOOK = { env = \"HOOK\" }\n",
    );
    site.plugin("noop", "noop");
    let host = site.start();
    let wire = Wire::to(&host);
    let job = r#"{"id": "x", "plugin": "noop"}"#;
    for (headers, status) in [
        (&[("content-type", "text/plain")][..], 415),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-type", "multipart/form-data; boundary=x")], 415),
        (&[], 415),
        (&[("content-type", "application/json")], 201),
    ] {
        let answer = wire.ask("POST", "/v1/jobs", headers, job);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
    }
    let pause = "/v1/jobs/x/pause";
    assert_eq!(wire.ask("POST", pause, &[("content-type", "text/plain")], "").status, 415);
    assert_eq!(wire.ask("POST", pause, &[], "").status, 200);
    for (kind, granted) in [
        ("dirs", json!([{"host": "plugins", "guest": "/p"}])),
        ("env", json!(["MODE=fast"])),
        ("secrets", json!(["HOOK"])),
    ] {
        let body = json!({"plugin": "noop", "capabilities": {kind: granted}});
        let refused = wire.send("PUT", "/v1/jobs/y", &body);
        assert_eq!(refused.status, 422, "{kind}: {refused:?}");
        assert_eq!(refused.body["errors"][0]["path"], format!("capabilities.{kind}"));
        for part in ["`host.toml`", "`[api] tokens`"] {
            assert!(refused.detail().contains(part), "{kind}: {refused:?}");
        }
    }
    let kv = json!({"plugin": "noop", "capabilities": {"kv": true}});
    assert_eq!(wire.send("PUT", "/v1/jobs/y", &kv).status, 201);
    drop(host);

    // Whoever has a token may grant what the tenant may.
    let text = std::fs::read_to_string(site.path("host.toml")).unwrap();
    std::fs::write(site.path("host.toml"), text + "tokens = \"tokens.toml\"\n").unwrap();
    let operator = token(&site, &["--role", "operator"]);
    let host = site.start();
    let body =
        json!({"plugin": "noop", "capabilities": {"secrets": ["HOOK"], "env": ["MODE=fast"]}});
    let made = Wire::to(&host).with(&operator).send("PUT", "/v1/jobs/z", &body);
    assert_eq!(made.status, 201, "{made:?}");
}

#[test]
fn a_job_that_somebody_without_a_token_made_can_not_make_one_that_sees_more() {
    let site = Site::new(
        "[tenants.default]\nallow = { env = [\"MODE\"], jobs = true }\n\
         [jobs.chief]\nplugin = \"behave\"\nhandler = \"steer\"\ncapabilities = { jobs = true }\n\
         [jobs.other]\nplugin = \"put\"\nhandler = \"steer\"\ncapabilities = { jobs = true }\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let made = json!({"id": "made", "plugin": "behave", "handler": "ok",
        "capabilities": {"env": ["MODE=fast"]}});
    let args = json!({"what": "put", "definition": made});
    let stranger = json!({"plugin": "behave", "handler": "steer", "capabilities": {"jobs": true}});
    let (status, job) = host.send("PUT", "/v1/jobs/stranger", &stranger);
    assert_eq!(status, 201, "{job}");
    let run = |job: &str| {
        let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({"args": args}));
        assert_eq!(status, 202, "{run}");
        let path = format!("/v1/runs/{}?wait=30s", run["id"].as_str().unwrap());
        host.get(&path).1["result"].clone()
    };
    let wasm = [("content-type", "application/wasm")];
    let put = host.put_bytes("/v1/plugins/put", &crate::support::guests::bytes("behave"), &wasm);
    assert_eq!(put.0, 201, "{}", put.1);
    for job in ["stranger", "other"] {
        let refused = run(job);
        let message = refused["error"].as_str().unwrap();
        assert!(message.contains("or by such a job, gets no `env`"), "{job}: {refused}");
    }
    assert_eq!(host.get("/v1/jobs/made").0, 404);
    assert_eq!(run("chief"), json!({"ok": null}), "the owner of the machine wrote that one");
}
