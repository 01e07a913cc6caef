//! Files of tenants that `host.toml` includes: they count as it does, and are followed as it is.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};

const INCLUDE: &str = "include = ['tenants.d/*.toml']\n";

fn site() -> Site {
    let site = Site::new(INCLUDE);
    std::fs::create_dir(site.path("tenants.d")).unwrap();
    site
}

/// Writes a file of one tenant with one job of this hour, as editors do: aside, then in its place.
fn write(site: &Site, tenant: &str, hour: u32) {
    let text = format!(
        "[tenants.{tenant}.jobs.timed]\nplugin = 'bell'\ntrigger = {{ type = 'cron', hour = {hour} }}\n"
    );
    put(site, tenant, &text);
}

fn put(site: &Site, name: &str, text: &str) {
    let aside = site.path(&format!("tenants.d/.{name}.toml"));
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, site.path(&format!("tenants.d/{name}.toml"))).unwrap();
}

/// The hour of a tenant's job; `None`: there is no such tenant.
fn hour(host: &Host, tenant: &str) -> Option<u64> {
    let (_, job) = host.get(&format!("/v1/jobs/timed?tenant={tenant}"));
    job["effective"]["trigger"]["hour"].as_u64()
}

fn comes_to(host: &Host, tenant: &str, wanted: Option<u64>) {
    let what = format!("{tenant} with {wanted:?}");
    eventually(&what, || (hour(host, tenant) == wanted).then_some(()));
}

#[test]
fn what_a_file_says_counts_when_it_comes_changes_and_goes() {
    let site = site();
    write(&site, "acme", 1);
    let host = site.start();
    assert_eq!((hour(&host, "acme"), hour(&host, "zeta")), (Some(1), None));
    let origin = |tenant: &str| host.get(&format!("/v1/jobs/timed?tenant={tenant}")).1;
    assert_eq!(origin("acme")["source"], "file");
    write(&site, "acme", 2);
    comes_to(&host, "acme", Some(2));
    write(&site, "zeta", 3);
    comes_to(&host, "zeta", Some(3));
    std::fs::remove_file(site.path("tenants.d/zeta.toml")).unwrap();
    comes_to(&host, "zeta", None);
    assert_eq!(hour(&host, "acme"), Some(2));
    // It comes back with its history.
    write(&site, "zeta", 3);
    comes_to(&host, "zeta", Some(3));
    // Another folder, by the file that includes.
    std::fs::create_dir(site.path("more")).unwrap();
    std::fs::write(
        site.path("more/gamma.toml"),
        "[tenants.gamma.jobs.timed]\nplugin = 'p'\n\
        trigger = { type = 'cron', hour = 7 }\n",
    )
    .unwrap();
    site.configure("include = ['tenants.d/acme.toml', 'more/*.toml']\n");
    comes_to(&host, "gamma", Some(7));
    comes_to(&host, "zeta", None);
    std::fs::remove_file(site.path("more/gamma.toml")).unwrap();
    comes_to(&host, "gamma", None);
    assert!(host.terminate().0.success());
}

#[test]
fn a_file_with_errors_changes_nothing_and_is_named() {
    let site = site();
    write(&site, "acme", 1);
    let host = site.start();
    let version = || host.items("/v1/hosts")[0]["config_refused"].clone();
    assert_eq!(version(), Value::Null);
    put(&site, "acme", "[tenants.acme.jobs.timed]\nplugin = 'bell'\nhour = 3\n");
    let why = eventually("the error", || version().as_str().map(str::to_owned));
    assert!(
        why.contains("tenants.d/acme.toml: tenants.acme.jobs.timed.hour: unknown key"),
        "{why}"
    );
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!(status, 422, "{answer}");
    let path = &answer["errors"][0]["path"];
    assert_eq!(path, "tenants.d/acme.toml: tenants.acme.jobs.timed.hour", "{answer}");
    assert_eq!(hour(&host, "acme"), Some(1));
    write(&site, "acme", 4);
    comes_to(&host, "acme", Some(4));
    assert_eq!(version(), Value::Null);
    // A tenant in two files.
    put(&site, "other", "[tenants.acme]\n");
    let twice = "tenants.d/other.toml: tenants.acme: stands in `tenants.d/acme.toml` too";
    eventually("both files", || {
        version().as_str().is_some_and(|why| why.contains(twice)).then_some(())
    });
    assert_eq!(hour(&host, "acme"), Some(4));
    std::fs::remove_file(site.path("tenants.d/other.toml")).unwrap();
    eventually("it to be right again", || version().is_null().then_some(()));
}

#[test]
fn there_may_be_a_thousand_files_and_one_that_is_named_must_be_there() {
    let site = site();
    for number in 0..=1_000 {
        std::fs::write(site.path(&format!("tenants.d/{number}.toml")), "").unwrap();
    }
    let refused = |part: &str| {
        let output = site.cli(&["validate"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    };
    refused("include: names more than 1000 files");
    std::fs::remove_file(site.path("tenants.d/0.toml")).unwrap();
    assert_eq!(site.cli(&["validate"]).status.code(), Some(0));
    site.configure("include = ['tenants.d/gone.toml', '*.toml', 'nowhere/*.toml']\n");
    refused("tenants.d/gone.toml: it can't be read");
    std::fs::create_dir(site.path("tenants.d/gone.toml")).unwrap();
    refused("tenants.d/gone.toml: it can't be read: it is not a regular file");
}

#[test]
fn the_newest_of_the_files_says_which_definitions_count() {
    let site = site();
    write(&site, "acme", 1);
    let seconds = 4_000_000_000;
    let newest = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let file = std::fs::File::options().append(true).open(site.path("tenants.d/acme.toml"));
    file.unwrap().set_modified(newest).unwrap();
    let config =
        campanile::config::load::load(Some(&site.path("host.toml")), &site.path("")).unwrap();
    assert_eq!(config.config_version, i64::try_from(seconds).unwrap());
}
