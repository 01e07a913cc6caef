//! Files that are included: tenants of theirs, and errors that name them.

use super::parse;
use crate::config::definitions::definitions;
use crate::config::include::Included;
use crate::config::*;

fn included(name: &str, text: &str) -> Included {
    Included {
        file: Path::new("/srv").join(name),
        shown: name.to_owned(),
        text: Ok(text.to_owned()),
        seconds: 1,
    }
}

fn parse_all(text: &str, included: &[Included]) -> Result<Config, ConfigError> {
    Config::parse_all(text, Path::new("host.toml"), Path::new("/srv"), 7, included)
}

#[test]
fn tenants_of_all_files_are_one_configuration() {
    let text = "include = ['t/*.toml']\n[tenants.zeta]\n[jobs.x]\nplugin = 'p'\n";
    let acme = included(
        "t/acme.toml",
        "[tenants.acme]\nplugins_dir = '../acme'\n[tenants.acme.jobs.x]\nplugin = 'p'\n\
         capabilities = { dirs = [{ host = 'data', guest = '/data' }] }\n",
    );
    let config = parse_all(text, &[acme, included("t/b.toml", "[tenants.b]\n")]).unwrap();
    let names: Vec<&str> = config.tenants.keys().map(TenantId::as_str).collect();
    assert_eq!(names, ["acme", "b", "default", "zeta"]);
    let jobs = definitions(&config, &[], &[]).jobs;
    let told = |at: usize| (jobs[at].job.key.to_string(), jobs[at].origin.as_str());
    assert_eq!(told(0), ("acme/x".to_owned(), "t/acme.toml"));
    assert_eq!(told(1), ("default/x".to_owned(), "host.toml"));
    assert_eq!(jobs[0].effective["capabilities"]["dirs"][0]["host"], "/srv/t/data");
    assert_eq!(config.plugins_of(&"acme".parse().unwrap()), Path::new("/srv/t/../acme"));
    assert_ne!(config.include, parse("").unwrap().include);
}

#[test]
fn every_problem_of_every_file_is_told_with_its_file() {
    let text = "include = ['t/*.toml', 'x', '*/y.toml']\npriority = 3\n[tenants.zeta]\n\
                [jobs.x]\nplugin = 'p'\n";
    let unreadable = Included { text: Err("it is gone".to_owned()), ..included("t/e.toml", "") };
    let files = [
        included("t/a.toml", "job = 1\nplugins = 'x'\n[tenants.a.jobs.x]\nplugin = 'p'\nx = 1\n"),
        included("t/b.toml", "[tenants.zeta]\n[tenants.b]\n"),
        included("t/c.toml", "[tenants.b]\n[tenants.default.jobs.x]\nplugin = 'q'\n"),
        included("t/d.toml", "[tenants\n"),
        unreadable,
        included("t/f.toml", "[tenants.f]\nplugins_dir = '../plugins'\n"),
    ];
    let error = parse_all(text, &files).unwrap_err().to_string();
    for line in [
        "  include: `x` must end in `.toml`, as `tenants.d/*.toml` does\n",
        "  t/a.toml: job: unknown key `job`; known here: tenants\n",
        "  t/a.toml: plugins: stands in `host.toml` only; an included file has `[tenants.X]` tables\n",
        "  t/a.toml: tenants.a.jobs.x.x: unknown key `x`",
        "  t/b.toml: tenants.zeta: stands in `host.toml` too; keep one of the two tables\n",
        "  t/c.toml: tenants.b: stands in `t/b.toml` too; keep one of the two tables\n",
        "  t/c.toml: tenants.default.jobs.x: stands in `[jobs]` too",
        "  t/d.toml: line 1, column ",
        "  t/e.toml: it is gone\n",
        "  t/f.toml: tenants.f.plugins_dir: `../plugins` is the folder of the tenant `default`",
    ] {
        assert!(error.contains(line), "{line} in {error}");
    }
    assert_eq!(error.lines().count(), 13, "{error}");
}
