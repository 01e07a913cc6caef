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
        path.replace("{id}", id).replace("{name}", "none").replace("{tenant}", name) + at
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
        // And by the id of what it has: to the letter as if it were not there.
        if route.path.contains("{id}") {
            let id = if route.path.starts_with("/v1/runs") { &world.runs[2] } else { "of-zeta" };
            let none = if id == "of-zeta" { "of-beta" } else { &"0123456789abcdef".repeat(2) };
            let foreign = world.path(route.path, 2);
            let [foreign, none] =
                [(&foreign, id), (&foreign.replace(id, none), none)].map(|(path, name)| {
                    let answer = world.acme.send(method, path, &body);
                    (answer.status, without(&answer, &[name]))
                });
            assert_eq!(foreign, none, "{what}");
            // What names no plugin is no job, wherever it is to be.
            let expected = if method == "PUT" { 422 } else { 404 };
            assert_eq!(foreign.0, expected, "{what}");
        }
    }
    let jobs = world.admin.get("/v1/jobs?tenant=zeta");
    assert_eq!(jobs.body["items"].as_array().unwrap().len(), 1, "nothing happened to it");
    assert_eq!(world.admin.get("/v1/jobs").body["items"][0]["id"], "of-default");
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
