//! Tenants of other names: each has a folder of plugins, and jobs and runs that nobody else sees.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};

const TENANTS: &str = "[tenants.acme]\n[tenants.zeta]\n";

#[test]
fn what_lies_in_a_tenants_folder_is_that_tenants() {
    let site = Site::new(TENANTS);
    site.plugin("noop", "shared");
    site.plugin("noop", "acme/bell");
    let sidecar = "[jobs.tick]\nhandler = 'run'\ntrigger = 'every 1s'\n";
    std::fs::write(site.path("plugins/acme/bell.toml"), sidecar).unwrap();
    let host = site.start();
    host.says("acme/bell");
    let run = host.item("a run", "/v1/runs?tenant=acme&state=done", |run| run["job"] == "tick");
    assert_eq!((&run["tenant"], &run["outcome"]), (&json!("acme"), &json!("succeeded")), "{run}");
    let names = |path: &str| {
        let all = host.items(path);
        all.iter().map(|item| item["name"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(names("/v1/plugins?tenant=acme"), [json!("bell")]);
    assert_eq!(names("/v1/plugins"), [json!("shared")]);
    assert_eq!(names("/v1/plugins?tenant=zeta"), [] as [Value; 0]);
    for path in ["/v1/jobs", "/v1/jobs?tenant=zeta", "/v1/runs", "/v1/runs?tenant=zeta"] {
        assert_eq!(host.items(path), [] as [Value; 0], "{path}");
    }
    let run = run["id"].as_str().unwrap();
    for (path, status) in [
        ("/v1/jobs/tick?tenant=acme".to_owned(), 200),
        ("/v1/jobs/tick".to_owned(), 404),
        ("/v1/jobs/tick?tenant=zeta".to_owned(), 404),
        (format!("/v1/runs/{run}?tenant=acme"), 200),
        (format!("/v1/runs/{run}"), 404),
        (format!("/v1/runs/{run}/logs?tenant=zeta"), 404),
        ("/v1/jobs?tenant=nobody".to_owned(), 404),
    ] {
        assert_eq!(host.get(&path).0, status, "{path}");
    }
    assert!(host.terminate().0.success());
}

#[test]
fn a_job_made_over_rest_uses_its_tenants_plugin_and_nobody_elses() {
    let site = Site::new(TENANTS);
    site.plugin("noop", "acme/bell");
    let host = site.start();
    let job = json!({"id": "x", "plugin": "bell"});
    for (tenant, reason) in [("acme", "manual"), ("zeta", "no_plugin")] {
        let (status, made) = host.post(&format!("/v1/jobs?tenant={tenant}"), &job);
        assert_eq!(status, 201, "{made}");
        let (status, run) = host.post(&format!("/v1/jobs/x/run?tenant={tenant}"), &json!({}));
        assert_eq!(status, 202, "{run}");
        host.item("the run", &format!("/v1/runs?tenant={tenant}"), |run| {
            run["reason"] == reason && (run["outcome"] == "succeeded") == (reason == "manual")
        });
    }
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

#[test]
fn a_tenants_jobs_stand_in_the_file_with_defaults_of_their_own() {
    let site = Site::new(
        "[job_defaults]\npriority = 2\nmax_rescues = 7\n[jobs.x]\nplugin = 'bell'\n\
         [tenants.acme]\njob_defaults = { priority = 4 }\ncaps = { timeout = '1m' }\n\
         [tenants.acme.jobs.x]\nplugin = 'bell'\nhandler = 'run'\ntrigger = 'every 1h'\n\
         limits = { timeout = '2m' }\ncapabilities = { kv = true }\n",
    );
    site.plugin("noop", "acme/bell");
    site.plugin("noop", "bell");
    std::fs::write(site.path("plugins/acme/bell.toml"), "[jobs.x]\ntags = ['beside']\n").unwrap();
    let host = site.start();
    let (_, job) = host.get("/v1/jobs/x?tenant=acme");
    assert_eq!((&job["source"], &job["tenant"]), (&json!("file"), &json!("acme")), "{job}");
    let (_, explained) = host.get("/v1/jobs/x/explain?tenant=acme");
    for (key, value, origin) in [
        ("priority", json!(4), "tenant"),
        ("max_rescues", json!(7), "job_defaults"),
        ("tags", json!(["beside"]), "sidecar"),
        ("limits.timeout", json!("1m"), "tenants.acme.caps.timeout (file wanted \"2m\")"),
    ] {
        let item = json!({"key": key, "value": value, "origin": origin});
        assert!(explained["items"].as_array().unwrap().contains(&item), "{item}: {explained}");
    }
    let (_, own) = host.get("/v1/jobs/x");
    assert_eq!((&own["effective"]["priority"], own.get("error")), (&json!(2), None), "{own}");
    assert_eq!(run(&host, "acme", "x")["outcome"], "succeeded");
}

#[test]
fn a_tenant_gets_its_own_secret_and_never_that_of_another_tenant() {
    let tell = |table: &str, name: &str| {
        format!(
            "[{table}.tell-{name}]\nplugin = 'behave'\nhandler = 'tell'\n\
             args = {{ name = '{name}' }}\ncapabilities = {{ secrets = ['{name}'] }}\n"
        )
    };
    let tables: String =
        ["OWN", "TOKEN", "inside", "NONE"].map(|name| tell("tenants.acme.jobs", name)).concat();
    let site = Site::new(&format!(
        "secrets_dir = 'vault'\n{}{tables}{}\
         [secrets]\nTOKEN = {{ file = 'token' }}\nOWN = {{ file = 'token' }}\n\
         [tenants.acme]\nallow = {{ secrets = ['TOKEN'] }}\n\
         secrets = {{ OWN = {{ file = 'own' }} }}\n",
        tell("jobs", "OWN"),
        tell("jobs", "inside"),
    ));
    for (file, text) in [("token", "the-host's-own"), ("own", "of-acme"), ("vault/inside", "12345")]
    {
        std::fs::create_dir_all(site.path(file).parent().unwrap()).unwrap();
        std::fs::write(site.path(file), text).unwrap();
    }
    site.plugin("behave", "behave");
    site.plugin("behave", "acme/behave");
    let beside = "[jobs.beside]\nhandler = 'tell'\nargs = { name = 'TOKEN' }\n\
                  capabilities = { secrets = ['TOKEN'] }\n";
    std::fs::write(site.path("plugins/acme/behave.toml"), beside).unwrap();
    let host = site.start();
    let length = |tenant: &str, job: &str| {
        let run = run(&host, tenant, job);
        run["result"][0].as_u64().unwrap_or_else(|| panic!("{run}"))
    };
    assert_eq!(length("default", "tell-OWN"), "the-host's-own".len() as u64);
    assert_eq!(length("acme", "tell-OWN"), "of-acme".len() as u64);
    assert_eq!(length("default", "tell-inside"), 5);

    // One that `default` has by name, one in its folder, one that nobody has; by a sidecar too.
    let why = |job: &str| {
        let run = run(&host, "acme", job);
        assert_eq!(run["outcome"], "failed", "{run}");
        run["error"].to_string()
    };
    let none = why("tell-NONE");
    for (job, name) in [("tell-TOKEN", "TOKEN"), ("tell-inside", "inside"), ("beside", "TOKEN")] {
        assert_eq!(why(job), none.replace("NONE", name));
    }
}

#[test]
fn a_tenants_plugins_lie_where_its_table_says_and_follow_it() {
    let config = |dir: &str| format!("[tenants.acme]\nplugins_dir = '{dir}'\n[tenants.zeta]\n");
    let site = Site::new(&config("first"));
    let put = |guest: &str, path: &str| {
        std::fs::create_dir_all(site.path(path).parent().unwrap()).unwrap();
        site.plugin(guest, &format!("../{path}"));
    };
    put("noop", "first/bell");
    std::fs::write(site.path("first/bell.toml"), "[jobs.tick]\ntrigger = 'every 1h'\n").unwrap();
    put("noop", "plugins/acme/stray");
    put("noop", "second/chime");
    let host = site.start();
    let names = |tenant: &str| {
        let all = host.items(&format!("/v1/plugins?tenant={tenant}"));
        all.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("acme"), ["bell"]);
    assert_eq!(run(&host, "acme", "tick")["outcome"], "succeeded");
    // One that comes later, and another folder.
    put("noop", "first/gong");
    eventually("the later one", || (names("acme") == ["bell", "gong"]).then_some(()));
    let sidecar = "[jobs.tock]\ntrigger = 'every 1h'\n";
    std::fs::write(site.path("first/gong.toml"), sidecar).unwrap();
    host.item("its job", "/v1/jobs?tenant=acme", |job| job["id"] == "tock");
    site.configure(&config("second"));
    eventually("the other folder", || names("acme").contains(&"chime".to_owned()).then_some(()));
    host.item("its job to be parked", "/v1/jobs?tenant=acme", |job| {
        job["id"] == "tock" && job["state"] == "parked"
    });
    // Nobody gets the folder of another, by whatever way it leads there.
    std::os::unix::fs::symlink(site.path("plugins"), site.path("link")).unwrap();
    for (dir, other) in [("link", "default"), ("link/zeta", "zeta"), ("plugins", "default")] {
        std::fs::create_dir_all(site.path("plugins/zeta")).unwrap();
        site.configure(&config(dir));
        let output = site.cli(&["validate"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{dir}: {said}");
        let why = format!("is the folder of the tenant `{other}`; give `acme` a folder of its own");
        assert!(said.contains("tenants.acme.plugins_dir: `") && said.contains(&why), "{said}");
    }
    assert!(names("acme").contains(&"chime".to_owned()));
}

#[test]
fn tenants_are_listed_and_shown_with_and_without_a_host() {
    let tenants: String = (0..150).map(|number| format!("[tenants.t{number:03}]\n")).collect();
    let site = Site::new(&format!(
        "{tenants}[tenants.acme]\nsecrets = {{ TOKEN = {{ file = 'hidden' }} }}\n\
         [tenants.acme.jobs.x]\nplugin = 'none'\n"
    ));
    std::fs::write(site.path("hidden"), "hunter2").unwrap();
    let objects = |args: &[&str]| -> Vec<Value> {
        let output = site.cli(&[&["tenants"], args, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("hidden"), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let host = site.start();
    // However many are asked for, an answer has a hundred at most.
    let (_, page) = host.get("/v1/tenants?limit=1000");
    assert_eq!(page["items"].as_array().unwrap().len(), 100);
    assert_eq!(page["next_cursor"], page["items"][99]["name"]);
    let (_, acme) = host.get("/v1/tenants/acme");
    assert_eq!((&acme["jobs"]["active"], &acme["secrets"]), (&json!(1), &json!(["TOKEN"])));
    assert!(host.terminate().0.success());
    // Now the store alone answers.
    let all = objects(&["ls"]);
    assert_eq!(all.len(), 152);
    assert_eq!(all[0], acme);
    assert_eq!(objects(&["show", "acme"]), [acme]);
    assert_eq!(objects(&["ls", "--limit", "2"]).len(), 2);
    let unknown = site.cli(&["tenants", "show", "nobody"]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("there is no tenant `nobody`"), "{said}");
    assert_eq!(site.cli(&["tenants", "show", "No Body"]).status.code(), Some(2));
}
