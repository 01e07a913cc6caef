use super::*;
use crate::schedule::preview::{Action, planned};

#[test]
fn another_layer_that_gives_the_same_value_is_noted_and_no_change() {
    let desired = job(HOURLY);
    let mut schedule = stored(&desired, EIGHT);
    let mut def = Definition::clone(&schedule.def);
    def.origins = Packed::default();
    schedule.def = Arc::new(def);
    let all = run(&desired, &[schedule.clone()], TEN);
    assert_eq!(replacement(&all).schedule.def.origins.get(), desired[0].origins);
    assert!(replacement(&all).schedule.keep_cursor);
    assert_eq!(planned(&all, &[schedule.clone()]), []);

    let shared = reconcile(
        &desired,
        &[schedule.clone()],
        &BTreeSet::new(),
        Some(&Peers::default()),
        utc(TEN),
    );
    assert_eq!(left(&shared), Left::Unchanged);
    let mut incomplete = desired;
    incomplete[0].incomplete = true;
    assert_eq!(left(&run(&incomplete, &[schedule], TEN)), Left::Unchanged);
}

#[test]
fn a_preview_tells_what_is_added_changed_and_parked() {
    let with = |name: &str, keys: &str| format!("[jobs.{name}]\nplugin = 'p'\n{keys}\n");
    let before = [
        with("gone", HOURLY),
        with("same", HOURLY),
        with("shorter", HOURLY),
        with("timed", "trigger = { type = 'cron', hour = 2 }\nlimits = { timeout = '1m' }"),
        with("worded", ""),
    ];
    let before = run(&declared(&before.concat()), &[], EIGHT);
    let before: Vec<Schedule> = before
        .steps
        .iter()
        .map(|step| match step {
            Step::Create(new) => kept(new, EIGHT),
            other => panic!("{other:?}"),
        })
        .collect();
    let after = [
        with("new", "trigger = 'cron 0 9 * * *'"),
        with("same", HOURLY),
        with("shorter", "trigger = 'every 5m'"),
        with("timed", "trigger = { type = 'cron', hour = 3 }\nlimits = { timeout = '2m' }"),
        with("worded", "priority = 0"),
    ];
    let all = run(&declared(&after.concat()), &before, EIGHT);
    let told: Vec<String> = planned(&all, &before)
        .iter()
        .map(|planned| {
            let changes = planned.changes.iter();
            let changes = changes.map(|it| format!(" {} {} -> {}", it.key, it.old, it.new));
            format!("{:?} {}:{}", planned.action, planned.job, changes.collect::<String>())
        })
        .collect();
    assert_eq!(
        told,
        [
            "Park gone:",
            "Add new:",
            "Change shorter: trigger \"every 1h\" -> \"every 5m\"",
            "Change timed: limits.timeout \"1m\" -> \"2m\" trigger.hour 2 -> 3",
            "Change worded:",
        ]
    );
}

#[test]
fn a_preview_tells_that_a_parked_job_comes_back() {
    let desired = job(HOURLY);
    let mut schedule = stored(&desired, EIGHT);
    schedule.parked = Some(UNDECLARED.to_owned());
    let all = run(&desired, std::slice::from_ref(&schedule), TEN);
    let [planned] = &planned(&all, &[schedule])[..] else { panic!("{all:?}") };
    assert_eq!(planned.action, Action::Change);
    assert_eq!((planned.changes.len(), planned.changes[0].key.as_str()), (1, "state"));
}
