//! Every route of the one table, with every kind of token.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use campanile::access::file::edit;
use campanile::access::token::{Secret, Token};
use campanile::access::{Role, Tokens};
use campanile::api::routes::{Need, table};
use campanile::time::Timestamp;
use serde_json::{Value, json};

use super::wire::{Answer, Wire};
use super::{site, token};
use crate::support::host::{Host, Site};

/// A host with jobs of three tenants, and who asks it.
struct World {
    _site: Site,
    host: Host,
    admin: Wire,
    viewer: Wire,
    operator: Wire,
    /// An admin of acme.
    acme: Wire,
    expired: String,
    /// Runs of default, acme and zeta.
    runs: [String; 3],
}

/// A new address each time: whoever guesses is not heard for long.
fn elsewhere() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

fn world() -> World {
    let site = site();
    let made = |args: &[&str]| token(&site, args);
    let admin = made(&["--role", "admin", "--id", "root"]);
    let viewer = made(&["--role", "viewer"]);
    let operator = made(&["--role", "operator", "--expires", "1d"]);
    let acme = made(&["--role", "admin", "--tenant", "acme"]);
    let secret = Secret::fresh().unwrap();
    let old = Token {
        id: "old".parse().unwrap(),
        tenant: None,
        role: Role::Admin,
        hash: secret.hash(),
        created: Timestamp::from_secs(1),
        expires: Some(Timestamp::from_secs(2)),
    };
    let expired = secret.shown(&old.id);
    let with_old = |tokens: Tokens| Ok((tokens.with(old.clone()), ()));
    edit(&site.path("tokens.toml"), with_old).unwrap();
    for tenant in ["acme", "zeta"] {
        site.plugin("noop", &format!("{tenant}/of-{tenant}"));
    }
    let host = site.start();
    let wire = Wire::to(&host);
    let admin = wire.with(&admin);
    let runs = ["default", "acme", "zeta"].map(|tenant| {
        let job = json!({"id": format!("of-{tenant}"), "plugin": "none"});
        let made = admin.send("POST", &format!("/v1/jobs?tenant={tenant}"), &job);
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/v1/jobs/of-{tenant}/run?tenant={tenant}");
        let run = admin.send("POST", &path, &json!({}));
        assert_eq!(run.status, 202, "{run:?}");
        run.body["id"].as_str().unwrap().to_owned()
    });
    let [viewer, operator, acme] = [viewer, operator, acme].map(|token| wire.with(&token));
    World { _site: site, host, admin, viewer, operator, acme, expired, runs }
}

impl World {
    /// A path of the table about things of a tenant.
    fn path(&self, path: &str, tenant: usize) -> String {
        let name = ["default", "acme", "zeta"][tenant];
        let id =
            if path.starts_with("/v1/runs/") { &self.runs[tenant] } else { &format!("of-{name}") };
        let at = if path.ends_with("/why") { "?at=2026-11-01T00:00:00Z" } else { "" };
        let plugin = if tenant == 0 { "none" } else { &format!("of-{name}") };
        path.replace("{id}", id).replace("{name}", plugin).replace("{tenant}", name) + at
    }
}

/// Less what stands there of the path.
fn without(answer: &Answer, names: &[&str]) -> Value {
    let mut text = answer.body.to_string();
    for name in names {
        text = text.replace(name, "X");
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_route_is_for_those_with_a_token_that_counts() {
    let world = world();
    let wire = Wire::to(&world.host);
    for route in table() {
        let path = world.path(route.path, 0);
        let (method, body) = (route.method.as_str(), json!({}));
        let what = format!("{method} {path}");
        let none = wire.from(elsewhere()).send(method, &path, &body);
        if route.need == Need::Nothing {
            assert_eq!(none.status, 200, "{what}: {none:?}");
            continue;
        }
        assert_eq!((none.status, none.code()), (401, "no_token"), "{what}: {none:?}");
        assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"campanile\""), "{what}");
        assert!(none.detail().contains("Authorization: Bearer camp_"), "{none:?}");

        let wrong = ["camp_root_", "camp_nobody_"].map(|start| {
            let guess = format!("{start}{}", "0".repeat(64));
            wire.from(elsewhere()).with(&guess).send(method, &path, &body)
        });
        for answer in &wrong {
            assert_eq!((answer.status, answer.code()), (401, "no_token"), "{what}: {answer:?}");
            assert!(answer.header("www-authenticate").is_some(), "{what}");
        }
        assert_eq!(wrong[0].body, wrong[1].body, "{what}");

        let expired = wire.with(&world.expired).send(method, &path, &body);
        assert_eq!((expired.status, expired.code()), (401, "no_token"), "{what}: {expired:?}");
        assert!(expired.detail().contains("`old` expired at 1970-01-01T00:00:02Z"), "{expired:?}");
        let guessed = world.expired.replace(&world.expired[9..20], &"0".repeat(11));
        let guessed = wire.from(elsewhere()).with(&guessed).send(method, &path, &body);
        assert_eq!(guessed.body, wrong[0].body, "{what}");
    }
    // What is no route is not shown to be none.
    let nothing = wire.get("/v1/nothing");
    assert_eq!((nothing.status, nothing.code()), (401, "no_token"), "{nothing:?}");
    assert_eq!(world.admin.get("/v1/nothing").code(), "no_such_route");
}

#[test]
fn every_route_asks_for_its_role_and_names_it() {
    let world = world();
    for route in table() {
        let path = world.path(route.path, 0);
        let (method, body) = (route.method.as_str(), json!({}));
        let (Need::Tenant(needed) | Need::Host(needed)) = route.need else { continue };
        for (wire, role) in [
            (&world.viewer, Role::Viewer),
            (&world.operator, Role::Operator),
            (&world.admin, Role::Admin),
        ] {
            let answer = wire.send(method, &path, &body);
            let what = format!("{role}: {method} {path}: {answer:?}");
            if role < needed {
                assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{what}");
                assert!(answer.detail().contains(&format!("needs the role `{needed}`")), "{what}");
            } else {
                assert!(![401, 403, 429].contains(&answer.status), "{what}");
                assert!(!["no_such_route", "no_such_tenant"].contains(&answer.code()), "{what}");
            }
        }
    }
}

#[test]
fn a_tenants_token_finds_nothing_of_the_host_nor_of_others() {
    let world = world();
    for route in table() {
        let (method, body) = (route.method.as_str(), json!({}));
        let own = world.path(route.path, 1);
        let answer = world.acme.send(method, &own, &body);
        let what = format!("{method} {own}: {answer:?}");
        match route.need {
            Need::Nothing => {
                assert_eq!(answer.status, 200, "{what}");
                continue;
            }
            Need::Host(_) => {
                assert_eq!((answer.status, answer.code()), (404, "no_such_route"), "{what}");
                // To the letter what is said of a path that nobody has.
                let none = world.acme.send(method, &own.replace("/v1/", "/v2/"), &body);
                let whole = answer.body.to_string().replace(&own, "/v2/X");
                assert_eq!(
                    whole,
                    none.body.to_string().replace(&own.replace("/v1/", "/v2/"), "/v2/X")
                );
                continue;
            }
            Need::Tenant(_) => {
                assert!(![401, 403].contains(&answer.status), "{what}");
                assert!(!["no_such_route", "no_such_tenant"].contains(&answer.code()), "{what}");
            }
        }
        // Another tenant, that is there or not, by its name.
        let [hidden, none] = ["zeta", "nobody"].map(|tenant| {
            let path = world.path(route.path, 2);
            let mark = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{mark}tenant={tenant}");
            world.acme.send(method, &path, &body)
        });
        assert_eq!((hidden.status, hidden.code()), (404, "no_such_tenant"), "{what}: {hidden:?}");
        assert_eq!(without(&hidden, &["zeta"]), without(&none, &["nobody"]), "{what}");
        // And by the name of what it has, or its own: to the letter as if it were not there.
        if route.path.contains('{') {
            let (name, none) = other_names(&world, route.path);
            let foreign = world.path(route.path, 2);
            let [foreign, none] =
                [(&foreign, name), (&foreign.replace(name, none), none)].map(|(path, name)| {
                    let answer = world.acme.send(method, path, &body);
                    (answer.status, without(&answer, &[name]))
                });
            assert_eq!(foreign, none, "{what}");
            // What names no plugin is no job, wherever it is to be.
            let expected = if method == "PUT" { 422 } else { 404 };
            assert!(foreign.0 == expected || !route.path.contains("{id}"), "{what}: {foreign:?}");
        }
    }
    let jobs = world.admin.get("/v1/jobs?tenant=zeta");
    assert_eq!(jobs.body["items"].as_array().unwrap().len(), 1, "nothing happened to it");
    assert_eq!(world.admin.get("/v1/jobs").body["items"][0]["id"], "of-default");
}

/// A name of zeta's for what a route names, and one of the same kind that nobody has.
fn other_names<'a>(world: &'a World, route: &str) -> (&'a str, &'static str) {
    match route {
        _ if route.starts_with("/v1/runs") => (&world.runs[2], "0123456789abcdef0123456789abcdef"),
        _ if route.contains("{tenant}") => ("zeta", "beta"),
        _ => ("of-zeta", "of-beta"),
    }
}

#[test]
fn whatever_names_a_thing_of_another_tenant_is_answered_as_if_it_were_not_there() {
    let world = world();
    // By parameters and in bodies, with a token of the tenant, and with one of no tenant that asks for
    // the tenant's things.
    let run = world.runs[2].as_str();
    let no_run = "0123456789abcdef0123456789abcdef";
    let at = "2026-11-01T00:00:00Z";
    let asked: [(&str, &str, Value, &str, &str); 7] = [
        ("GET", "/v1/runs?job=NAME", json!(null), "of-zeta", "of-beta"),
        ("GET", "/v1/runs?job=NAME&state=queued", json!(null), "of-zeta", "of-beta"),
        ("POST", "/v1/runs", json!({"job": "NAME"}), "of-zeta", "of-beta"),
        ("POST", "/v1/runs", json!({"job": "NAME", "at": at}), "of-zeta", "of-beta"),
        ("GET", "/v1/runs/NAME?wait=1s", json!(null), run, no_run),
        ("GET", "/v1/runs/NAME/logs?follow", json!(null), run, no_run),
        ("PATCH", "/v1/jobs/NAME", json!({"priority": 3}), "of-zeta", "of-beta"),
    ];
    for (method, path, body, name, none) in asked {
        for (wire, query) in [(&world.acme, ""), (&world.admin, "tenant=acme")] {
            let mark = if path.contains('?') { "&" } else { "?" };
            let path =
                if query.is_empty() { path.to_owned() } else { format!("{path}{mark}{query}") };
            let [foreign, none] = [name, none].map(|name| {
                let body = serde_json::from_str(&body.to_string().replace("NAME", name)).unwrap();
                let answer = wire.send(method, &path.replace("NAME", name), &body);
                (answer.status, without(&answer, &[name]))
            });
            assert_eq!(foreign, none, "{method} {path}");
            assert!([200, 404].contains(&foreign.0), "{method} {path}: {foreign:?}");
            let is_empty = foreign.0 == 404 || foreign.1["items"] == json!([]);
            assert!(is_empty, "{method} {path}: {foreign:?}");
        }
    }
    // Every route that names something, asked for in acme by one who may ask for all.
    for route in table().iter().filter(|route| route.path.contains('{')) {
        let (name, none) = other_names(&world, route.path);
        let method = route.method.as_str();
        if name == "zeta" {
            // Who may see all tenants sees this one.
            continue;
        }
        let path = world.path(route.path, 2);
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}tenant=acme");
        let [foreign, none] =
            [(path.clone(), name), (path.replace(name, none), none)].map(|(path, name)| {
                let answer = world.admin.send(method, &path, &json!({}));
                (answer.status, without(&answer, &[name]))
            });
        assert_eq!(foreign, none, "{method} {path}");
        // `{}` is no plugin and no job, wherever it is to be.
        assert!([404, 415, 422].contains(&foreign.0), "{method} {path}: {foreign:?}");
    }
    // A job of acme that names zeta's plugin has none.
    for (id, plugin) in [("theirs", "of-zeta"), ("nobodys", "of-beta")] {
        let made = world.acme.send("POST", "/v1/jobs", &json!({"id": id, "plugin": plugin}));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let [theirs, nobodys] = [("theirs", "of-zeta"), ("nobodys", "of-beta")].map(|(id, plugin)| {
        let answer = world.acme.get(&format!("/v1/jobs/{id}"));
        without(&answer, &[id, plugin])
    });
    for key in ["state", "reason", "effective", "definition"] {
        assert_eq!(theirs[key], nobodys[key], "{key}");
    }
    let kept = world.admin.get("/v1/jobs/of-zeta?tenant=zeta");
    assert_eq!((kept.status, &kept.body["version"]), (200, &json!(1)), "{kept:?}");
    assert_eq!(world.admin.get("/v1/plugins/of-zeta?tenant=zeta").status, 200);
    let run = world.admin.get(&format!("/v1/runs/{run}?tenant=zeta"));
    assert_eq!(run.body["state"], "queued", "{run:?}");
}

#[test]
fn a_tenants_token_sees_its_own_tenant_and_one_of_none_sees_all() {
    let world = world();
    let names = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&world.admin.get("/v1/tenants")), ["acme", "default", "zeta"]);
    let page = world.viewer.get("/v1/tenants?limit=2");
    assert_eq!(
        (names(&page), &page.body["next_cursor"]),
        (vec!["acme".into(), "default".into()], &json!("default"))
    );
    assert_eq!(names(&world.viewer.get("/v1/tenants?limit=2&cursor=default")), ["zeta"]);
    assert_eq!(world.acme.get("/v1/tenants").code(), "no_such_route");
    let own = world.acme.get("/v1/tenants/acme");
    assert_eq!((own.status, &own.body), (200, &world.admin.get("/v1/tenants/acme").body));
    assert_eq!(
        (&own.body["plugins"], &own.body["runs"]["queued"]),
        (&json!(1), &json!(1)),
        "{own:?}"
    );
    assert_eq!(own.body["jobs"]["active"], 1, "{own:?}");
    for name in ["Beta", "a%20b"] {
        let answer = world.admin.get(&format!("/v1/tenants/{name}"));
        assert_eq!((answer.status, answer.code()), (404, "no_such_tenant"), "{answer:?}");
    }
}

#[test]
fn a_tenants_token_is_told_what_its_own_jobs_used_and_of_no_other() {
    let world = world();
    for name in ["acme", "-"] {
        let own = world.acme.get(&format!("/v1/tenants/{name}/usage"));
        assert_eq!((own.status, &own.body["tenant"]), (200, &json!("acme")), "{own:?}");
    }
    let [hidden, none] = ["zeta", "nobody"]
        .map(|tenant| (tenant, world.acme.get(&format!("/v1/tenants/{tenant}/usage"))));
    assert_eq!((hidden.1.status, hidden.1.code()), (404, "no_such_tenant"), "{hidden:?}");
    assert_eq!(without(&hidden.1, &[hidden.0]), without(&none.1, &[none.0]));
    for (name, tenant) in [("zeta", "zeta"), ("-", "default")] {
        let any = world.viewer.get(&format!("/v1/tenants/{name}/usage"));
        assert_eq!((any.status, &any.body["tenant"]), (200, &json!(tenant)), "{any:?}");
    }
}

#[test]
fn a_tenants_token_means_its_tenant_and_sees_its_own_figures() {
    let world = world();
    let jobs = world.acme.get("/v1/jobs");
    assert_eq!(jobs.body["items"][0]["id"], "of-acme", "{jobs:?}");
    assert_eq!(world.acme.get("/v1/jobs?tenant=acme").body, jobs.body);
    let [all, own] = [&world.admin, &world.acme].map(|wire| {
        let text = wire.get("/metrics").body;
        text.as_str().unwrap().to_owned()
    });
    assert!(all.contains("campanile_store_up"), "{all}");
    let figures = own.lines().filter(|line| !line.starts_with('#'));
    assert!(figures.clone().all(|line| line.contains("tenant=\"acme\"")), "{own}");
    assert!(own.ends_with("# EOF\n"), "{own}");
    assert!(!own.contains("zeta") && !own.contains("campanile_store_up"), "{own}");
}
