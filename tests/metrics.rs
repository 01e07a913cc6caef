//! `GET /metrics` of the real binary: every line is read, what is counted is what REST tells, and
//! `docs/metrics.md` lists what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::host::{Host, Site};
use crate::support::{eventually, guests};

/// What was scraped.
#[derive(Debug, Default)]
struct Scrape {
    /// By the name of its samples: kind, labels without `le`.
    families: BTreeMap<String, (String, BTreeSet<String>)>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(host: &Host) -> Self {
        let (status, text) = host.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Self::read(text.as_str().unwrap())
    }

    /// Reads every line, in order; what is no line of such a text is a failure.
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut family = (String::new(), String::new());
        let mut described = BTreeSet::new();
        assert!(text.ends_with("# EOF\n"), "{text}");
        for line in text.trim_end_matches("# EOF\n").lines() {
            let Some(comment) = line.strip_prefix("# ") else {
                scrape.sample(line, &family);
                continue;
            };
            let [what, name, rest] =
                comment.splitn(3, ' ').collect::<Vec<_>>().try_into().expect(line);
            match what {
                "HELP" => assert!(described.insert(name.to_owned()), "{line}: twice"),
                "TYPE" => family = (name.to_owned(), rest.to_owned()),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                _ => panic!("{line}"),
            }
            assert!(described.contains(name), "{line}: no help before it");
            assert!(name.starts_with("campanile_"), "{line}");
        }
        scrape
    }

    /// `name{label="value",...} number`.
    fn sample(&mut self, line: &str, (family, kind): &(String, String)) {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
            None => (series, ""),
        };
        let suffix = name.strip_prefix(family.as_str()).expect(line);
        let (allowed, shown): (&[&str], _) = match kind.as_str() {
            "counter" => (&["_total"], name.to_owned()),
            "info" => (&["_info"], name.to_owned()),
            "gauge" => (&[""], name.to_owned()),
            "histogram" => (&["_bucket", "_sum", "_count"], family.clone()),
            _ => panic!("{line}: of kind {kind}"),
        };
        assert!(allowed.contains(&suffix), "{line}: of kind {kind}");
        let (_, known) = self.families.entry(shown).or_insert((kind.clone(), BTreeSet::new()));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, word) = label.split_once('=').expect(line);
            assert!(word.len() > 1 && word.starts_with('"') && word.ends_with('"'), "{line}");
            if label != "le" {
                known.insert(label.to_owned());
            }
        }
        let before = self.samples.insert(series.to_owned(), value.parse().expect(line));
        assert!(before.is_none(), "{line}: twice");
    }

    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// The words of a family with one label that are not 0.
    fn by_word(&self, family: &str, label: &str) -> BTreeMap<String, u64> {
        let prefix = format!("{family}{{{label}=\"");
        let words = self.samples.iter().filter_map(|(series, value)| {
            let word = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            Some((word.to_owned(), *value as u64))
        });
        words.filter(|(_, count)| *count > 0).collect()
    }
}

const JOBS: &str = "[executor]\nqueues = [\"default\"]\n\
    [jobs.fine]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n\
    [jobs.long]\nplugin = \"behave\"\nhandler = \"sleep\"\nargs = { ms = 2500 }\ntrigger = \"every 1s\"\n\
    [jobs.broken]\nplugin = \"behave\"\nhandler = \"fail_permanent\"\ntrigger = \"every 1s\"\n\
    [jobs.unserved]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\nqueue = \"gpu\"\nexpires = \"2s\"\n\
    [jobs.asked]\nplugin = \"behave\"\nhandler = \"ok\"\n";

const IDS: [&str; 5] = ["fine", "long", "broken", "unserved", "asked"];

/// What REST says of verdicts of fire times and of ends of runs.
fn told(host: &Host) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let (mut verdicts, mut outcomes) = (BTreeMap::new(), BTreeMap::new());
    for job in IDS {
        for item in host.items(&format!("/v1/jobs/{job}/ledger?limit=1000")) {
            if item["run"].is_null() {
                *verdicts.entry(word(&item["verdict"])).or_default() +=
                    item["count"].as_u64().unwrap();
            }
        }
        for run in host.items(&format!("/v1/runs?job={job}&limit=1000")) {
            if run["cause"] == "schedule" && !run["verdict"].is_null() {
                *verdicts.entry(word(&run["verdict"])).or_default() += 1;
            }
            if !run["outcome"].is_null() {
                *outcomes.entry(word(&run["outcome"])).or_default() += 1;
            }
        }
    }
    (verdicts, outcomes)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_is_counted_is_what_rest_tells_and_every_line_can_be_read() {
    let site = Site::new(JOBS);
    site.plugin("behave", "behave");
    let host = site.start();
    let (status, run) = host.post("/v1/jobs/asked/run", &json!({}));
    assert_eq!(status, 202, "{run}");
    eventually("verdicts of all kinds", || {
        let (verdicts, outcomes) = told(&host);
        let all = ["ran", "skipped", "expired"].iter().all(|it| verdicts.contains_key(*it));
        (all && outcomes.len() == 2 && verdicts["ran"] > 5).then_some(())
    });
    assert_eq!(host.post("/v1/scheduler/pause", &json!({"why": "to be counted"})).0, 200);
    eventually("that nothing is live", || {
        let live = host.items("/v1/runs?state=queued,running,retrying");
        live.iter().all(|run| run["job"] == "unserved").then_some(())
    });

    // Verdicts that the store gives by itself are counted a moment later.
    let queued = || host.items("/v1/runs?state=queued").len();
    let (scrape, (verdicts, outcomes)) = eventually("counts that agree", || {
        let (waiting, scrape, told) = (queued(), Scrape::of(&host), told(&host));
        let same = scrape.by_word("campanile_fires_total", "verdict") == told.0
            && scrape.value("campanile_runs_waiting") as usize == waiting;
        same.then_some((scrape, told))
    });
    assert_eq!(scrape.by_word("campanile_runs_total", "outcome"), outcomes);
    assert_eq!(scrape.value("campanile_start_lateness_seconds_count") as u64, verdicts["ran"]);
    let widest = scrape.value("campanile_start_lateness_seconds_bucket{le=\"+Inf\"}");
    assert_eq!(widest as u64, verdicts["ran"]);
    assert_eq!(scrape.value("campanile_runs_running"), 0.0);
    assert_eq!(scrape.value("campanile_store_up"), 1.0);
    assert_eq!(scrape.value("campanile_ledger_alarms"), 0.0);
    assert!(scrape.value("campanile_scheduler_passes_total") > 1.0);
    assert!(scrape.value("campanile_session_beat_age_seconds") < 30.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(scrape.value(&format!("campanile_build_info{{version=\"{version}\"}}")), 1.0);
    let calls = |method: &str| {
        let calls = format!("campanile_store_calls_total{{method=\"{method}\",result=\"ok\"}}");
        let timed = format!("campanile_store_call_seconds_count{{method=\"{method}\"}}");
        assert!(scrape.value(&timed) >= scrape.value(&calls), "{method}");
        scrape.value(&calls) as u64
    };
    assert_eq!(calls("attach"), 1);
    assert_eq!(calls("finish"), outcomes.values().sum::<u64>());
    assert!(calls("fire") > 0 && calls("due") > 0 && calls("health") > 0);

    assert_eq!(documented(), scrape.families);
}

/// The families of `docs/metrics.md`: name, kind and labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(guests::root().join("docs/metrics.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| Name |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let words = |cell: &str| -> Vec<String> {
                cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
            };
            let [name] = words(cells[1]).try_into().unwrap();
            (name, (cells[2].to_owned(), words(cells[3]).into_iter().collect()))
        })
        .collect()
}

#[test]
fn a_line_that_is_none_is_not_read_over() {
    let good = "# HELP campanile_x X.\n# TYPE campanile_x counter\ncampanile_x_total 1\n# EOF\n";
    assert_eq!(Scrape::read(good).value("campanile_x_total"), 1.0);
    for (from, to) in [
        ("campanile_x_total 1", "campanile_x_total one"),
        ("campanile_x_total 1", "campanile_x 1"),
        ("campanile_x_total 1", "campanile_x_total{a=b} 1"),
        ("campanile_x_total 1", "campanile_x_total 1\ncampanile_x_total 2"),
        ("campanile_x_total 1", "other 1"),
        ("counter", "count"),
        ("# EOF\n", ""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(std::panic::catch_unwind(|| Scrape::read(&bad)).is_err(), "{bad}");
    }
}
