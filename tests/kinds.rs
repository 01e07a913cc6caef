//! What may be a plugin beside a component of our world: programs that know nothing of it, and core
//! modules, which the host makes components of.

use serde_json::{Value, json};

use crate::support::guests;
use crate::support::host::{Host, Site};

/// A program in a core module, as compilers make them for WASI's first version: says its name and
/// exits with a code.
fn first_wasi(code: u32) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\06\00\00\00")
            (data (i32.const 16) "first\n")
            (func (export "_start")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (call $exit (i32.const {code}))))"#
    );
    wat::parse_str(text).unwrap()
}

/// Runs a job and answers with the run and what it wrote to standard output.
fn run(host: &Host, job: &str) -> (Value, Vec<String>) {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{job}: {run}");
    let id = run["id"].as_str().unwrap();
    let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    let log = host.items(&format!("/v1/runs/{id}/logs"));
    let out = log.iter().filter(|line| line["stream"] == "stdout");
    (run, out.map(|line| line["message"].as_str().unwrap().to_owned()).collect())
}

fn plugin(host: &Host, name: &str) -> Value {
    let (status, list) = host.get("/v1/plugins");
    assert_eq!(status, 200, "{list}");
    let items = list["items"].as_array().unwrap();
    items.iter().find(|plugin| plugin["name"] == name).unwrap().clone()
}

#[test]
fn a_program_runs_as_it_is_and_its_three_ways_to_end_are_told_apart() {
    let job = |name: &str, args: &str| {
        format!("[jobs.{name}]\nplugin = 'program'\nargs = {args}\nlimits = {{ timeout = '2s' }}\n")
    };
    let words = ["exit-0", "return-badly", "exit-3", "panic", "spin"];
    let config: String = words.map(|word| job(word, &format!("['{word}']"))).concat();
    let config = config + &job("texts", "['tell', 'two words']") + &job("table", "{ path = '/x' }");
    let site = Site::new(&config);
    site.plugin("program", "program");
    let host = site.start();
    assert_eq!(plugin(&host, "program")["kind"], "program");

    let (run_of_texts, told) = run(&host, "texts");
    assert_eq!(run_of_texts["outcome"], "succeeded", "{run_of_texts}");
    assert_eq!(run_of_texts["result"], Value::Null);
    let id = run_of_texts["id"].as_str().unwrap();
    for line in [
        "argument texts",
        "argument tell",
        "argument two words",
        "variable CAMPANILE_ATTEMPT=1",
        "variable CAMPANILE_CAUSE=manual",
        "variable CAMPANILE_JOB=texts",
        &format!("variable CAMPANILE_RUN={id}"),
        &format!("variable CAMPANILE_FENCE={}", run_of_texts["fence"]),
        &format!("variable CAMPANILE_FIRE_TIME={}", run_of_texts["fire_time"].as_str().unwrap()),
        r#"input ["tell","two words"]"#,
    ] {
        assert!(told.iter().any(|told| told == line), "{line} is not among {told:#?}");
    }
    let own = told.iter().filter(|line| line.starts_with("variable "));
    assert!(own.into_iter().all(|line| line.starts_with("variable CAMPANILE_")), "{told:#?}");
    let (_, told) = run(&host, "table");
    assert_eq!(told.iter().filter(|line| line.starts_with("argument ")).count(), 1, "{told:?}");
    assert!(told.contains(&r#"input {"path":"/x"}"#.to_owned()), "{told:?}");

    for (word, outcome, said) in [
        ("exit-0", "succeeded", ""),
        ("return-badly", "failed", "exit code 1): this did not go well"),
        ("exit-3", "failed", "exit code 1): three"),
        ("panic", "trapped", "no way out"),
        ("spin", "timed_out", "`limits.timeout` raises it"),
    ] {
        let (run, _) = run(&host, word);
        assert_eq!(run["outcome"], outcome, "{word}: {run}");
        let message = run["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(said), "{word}: {message}");
        if outcome == "failed" {
            assert_eq!(run["error"]["retryable"], true, "{word}");
        }
    }
}

#[test]
fn core_modules_are_made_into_components_when_they_are_loaded() {
    let site = Site::new(
        "[jobs.job]\nplugin = 'noop'\nlimits = { meter = true }\n\
         [jobs.good]\nplugin = 'good'\n[jobs.bad]\nplugin = 'bad'\n",
    );
    site.plugin_bytes(&guests::core_bytes("noop"), "noop");
    site.plugin_bytes(&first_wasi(0), "good");
    site.plugin_bytes(&first_wasi(5), "bad");
    for start in ["compiled", "from the cache"] {
        let host = site.start();
        for (name, kind) in [("noop", "module"), ("good", "module program")] {
            let plugin = plugin(&host, name);
            assert_eq!((&plugin["state"], &plugin["kind"]), (&json!("active"), &json!(kind)));
        }
        let (noop, _) = run(&host, "job");
        assert_eq!(noop["outcome"], "succeeded", "{start}: {noop}");
        assert!(noop["usage"]["fuel"].as_u64().unwrap() > 0, "{start}: {noop}");
        let (good, told) = run(&host, "good");
        assert_eq!((&good["outcome"], told), (&json!("succeeded"), vec!["first".to_owned()]));
        let (bad, told) = run(&host, "bad");
        assert_eq!((&bad["outcome"], told), (&json!("failed"), vec!["first".to_owned()]));
        assert!(host.terminate().0.success());
    }
}
