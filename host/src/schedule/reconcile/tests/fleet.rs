//! Whose definition counts among hosts that share a store, and what is parked.

use super::*;
use crate::config::definitions::Definitions;
use crate::schedule::declared::Declaration;

const TWO_HOURLY: &str = "trigger = 'every 2h'";

/// A declaration of these jobs with this version.
fn says(mut jobs: Vec<Resolved>, version: i64) -> Arc<Declaration> {
    for job in &mut jobs {
        job.config_version = version;
    }
    Arc::new(Declaration::of(&Definitions { jobs, ..Definitions::default() }))
}

fn at_version(mut jobs: Vec<Resolved>, version: i64) -> Vec<Resolved> {
    for job in &mut jobs {
        job.config_version = version;
    }
    jobs
}

/// What is done about an own job, or about none, beside these others.
fn beside(peers: &Peers, desired: &[Resolved], kept: Schedule) -> Reconciliation {
    reconcile(desired, &[kept], &BTreeSet::new(), Some(peers), utc(TEN))
}

/// `own`, or why the stored definition stays.
fn who(all: &Reconciliation) -> String {
    match all.steps.as_slice() {
        [Step::Replace(_)] => "own".to_owned(),
        [Step::Leave { why, .. }] => format!("{why:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_higher_version_counts_whoever_was_first_and_an_older_one_waits_for_hosts_to_be_gone() {
    // The own definition has version 5, the one that is kept another trigger.
    for (kept_version, live, settled, silent, expected) in [
        (4, None, false, false, "own"),
        (4, Some(6), true, false, "Newer"),
        (4, Some(4), true, false, "own"),
        (6, Some(6), true, false, "Newer"),
        (6, None, false, false, "Newer"),
        (6, None, true, true, "Newer"),
        (6, None, true, false, "own"),
        (6, Some(4), true, false, "own"),
        (5, Some(5), false, false, "First"),
        (5, Some(5), true, false, "First"),
        (5, None, false, true, "Elsewhere"),
        (5, None, false, false, "own"),
    ] {
        let case = format!("{kept_version} {live:?} {settled} {silent}");
        let kept = stored(&at_version(job(HOURLY), kept_version), EIGHT);
        let known = live.map(|version| says(job(HOURLY), version)).into_iter().collect();
        let peers = Peers { known, settled, silent, parks: true };
        let all = beside(&peers, &job(TWO_HOURLY), kept);
        assert_eq!(who(&all), expected, "{case}");
        let concern = all.warnings.first().map(|warning| &warning.concern);
        match expected {
            "Newer" => assert_eq!(concern, Some(&Concern::Newer(6)), "{case}"),
            "First" => {
                let conflict = Concern::ConfigConflict { version: 5, ours: false };
                assert_eq!(concern, Some(&conflict), "{case}");
                assert!(all.warnings[0].to_string().starts_with("config_conflict: "), "{case}");
            }
            _ => assert_eq!(concern, None, "{case}"),
        }
    }
}

#[test]
fn a_conflict_is_raised_on_the_host_whose_definition_stands_too() {
    let peers = Peers { known: vec![says(job(TWO_HOURLY), 5)], ..Peers::default() };
    let all = beside(&peers, &job(HOURLY), stored(&job(HOURLY), EIGHT));
    assert_eq!(left(&all), Left::Unchanged);
    let conflict = Concern::ConfigConflict { version: 5, ours: true };
    assert_eq!(all.warnings[0].concern, conflict);
    for (theirs, version) in [(HOURLY, 5), (TWO_HOURLY, 4)] {
        let peers = Peers { known: vec![says(job(theirs), version)], ..Peers::default() };
        let all = beside(&peers, &job(HOURLY), stored(&job(HOURLY), EIGHT));
        assert_eq!(all.warnings, [], "{theirs} {version}");
    }
}

#[test]
fn a_definition_that_lacks_its_plugin_does_not_stand_against_the_same_one_that_has_it() {
    let mut lacking = job(HOURLY);
    lacking[0].incomplete = true;
    lacking[0].digest = "sha256:0123456789abcdef01234567".to_owned();
    for version in [5, 9] {
        let kept = stored(&at_version(lacking.clone(), version), EIGHT);
        let peers = Peers { known: vec![says(lacking.clone(), version)], ..Peers::default() };
        assert_eq!(who(&beside(&peers, &job(HOURLY), kept)), "own", "{version}");
    }
    let whole = Peers { known: vec![says(job(HOURLY), 5)], ..Peers::default() };
    let kept = stored(&job(HOURLY), EIGHT);
    assert_eq!(who(&beside(&whole, &at_version(lacking, 9), kept)), "Broken");
}

#[test]
fn a_job_is_parked_by_one_host_once_no_live_host_has_declared_it_for_a_while() {
    let ours = || stored(&job(HOURLY), EIGHT);
    let theirs = vec![says(job(TWO_HOURLY), 5)];
    let other = vec![says(declared("[jobs.y]\nplugin = 'p'"), 5)];
    for (known, settled, silent, parks, parked) in [
        (vec![], true, false, true, true),
        (other.clone(), true, false, true, true),
        (theirs, true, false, true, false),
        (vec![], false, false, true, false),
        (vec![], true, true, true, false),
        (other, true, false, false, false),
    ] {
        let case = format!("{known:?} {settled} {silent} {parks}");
        let peers = Peers { known, settled, silent, parks };
        match beside(&peers, &[], ours()).steps.as_slice() {
            [Step::Park { patch, .. }] => {
                assert!(parked, "{case}");
                assert_eq!(patch.parked, Some(Some(UNDECLARED.to_owned())), "{case}");
            }
            [Step::Leave { why, .. }] => {
                assert!(!parked, "{case}");
                assert_eq!(*why, Left::Elsewhere, "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn what_a_host_can_not_read_it_may_declare_and_what_comes_back_is_declared_at_once() {
    let broken = BTreeSet::from(["host.toml".to_owned()]);
    let says_so = Declaration::of(&Definitions { broken, ..Definitions::default() });
    let peers = Peers { known: vec![Arc::new(says_so)], settled: true, parks: true, silent: false };
    assert_eq!(who(&beside(&peers, &[], stored(&job(HOURLY), EIGHT))), "Elsewhere");

    let mut parked = stored(&at_version(job(HOURLY), 9), EIGHT);
    parked.parked = Some(UNDECLARED.to_owned());
    let all = beside(&Peers::default(), &job(HOURLY), parked);
    assert_eq!(replacement(&all).schedule.parked, None);
}
