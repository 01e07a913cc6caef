use super::*;

const RULES: Rules = Rules { keep: 3, hold: true, trial: true, any_age: true };

fn digest(name: char) -> String {
    format!("sha256:{}", name.to_string().repeat(64))
}

fn version(name: char, wants: &[Want]) -> Version {
    Version {
        digest: digest(name),
        size: 1,
        added_at: Timestamp::from_secs(0),
        wants: wants.iter().copied().collect(),
        interpreter: false,
        signature: None,
        note: None,
        unnamed: false,
    }
}

fn offered(name: char, written_at: i64) -> Offered {
    Offered { digest: digest(name), written_at: Timestamp::from_secs(written_at), by: Way::File }
}

/// Versions that were offered one after another, the last of them current.
fn of(names: &str) -> Versions {
    let mut names = names.chars();
    let first = names.next().unwrap();
    let mut versions = Versions::first(version(first, &[]), offered(first, 0));
    for name in names {
        assert_eq!(versions.offer(version(name, &[]), offered(name, 0), RULES), Taken::Current);
    }
    versions
}

fn kept(versions: &Versions) -> String {
    versions.kept.iter().map(|kept| kept.digest.chars().nth(7).unwrap()).collect()
}

#[test]
fn what_comes_is_current_and_so_many_are_kept() {
    let versions = of("abcd");
    assert_eq!((versions.running(), kept(&versions).as_str()), (digest('d').as_str(), "dcb"));
    let mut again = versions.clone();
    assert_eq!(again.offer(version('d', &[]), offered('d', 9), RULES), Taken::Same);
    assert_eq!(again, versions);
    assert_eq!(again.offer(version('b', &[]), offered('b', 9), RULES), Taken::Current);
    assert_eq!((again.running(), kept(&again).as_str()), (digest('b').as_str(), "bdc"));
}

#[test]
fn an_older_file_of_another_host_is_no_news() {
    let mut versions = Versions::first(version('a', &[]), offered('a', 10));
    let rules = Rules { any_age: false, ..RULES };
    assert_eq!(versions.offer(version('b', &[]), offered('b', 9), rules), Taken::Older);
    assert_eq!(versions.offer(version('b', &[]), offered('b', 10), rules), Taken::Current);
    assert_eq!(versions.offer(version('a', &[]), offered('a', 9), rules), Taken::Older);
    assert_eq!(versions.offer(version('a', &[]), offered('a', 9), RULES), Taken::Current);
}

#[test]
fn going_back_stays_until_something_else_comes() {
    let mut versions = of("abc");
    assert_eq!(versions.roll_back(None, "it is slow"), Ok(digest('b')));
    assert_eq!(versions.get(&digest('c')).unwrap().note.as_deref(), Some("it is slow"));
    assert_eq!(
        versions.offer(version('c', &[]), offered('c', 99), RULES),
        Taken::Same,
        "a restart"
    );
    assert_eq!(versions.running(), digest('b'));
    assert_eq!(versions.roll_back(None, "worse"), Ok(digest('a')));
    assert!(versions.roll_back(None, "x").unwrap_err().contains("no version is kept from before"));
    assert!(
        versions.roll_back(Some(&digest('a')), "x").unwrap_err().contains("current one already")
    );
    assert_eq!(versions.roll_back(Some(&digest('c')), "back"), Ok(digest('c')), "forward, too");
    assert_eq!(versions.get(&digest('c')).unwrap().note, None);
    assert_eq!(versions.offer(version('d', &[]), offered('d', 0), RULES), Taken::Current);
    assert_eq!(
        versions.roll_back(None, "x"),
        Ok(digest('c')),
        "what was taken back is passed over"
    );
}

#[test]
fn a_pinned_version_runs_whatever_comes() {
    let mut versions = of("ab");
    versions.pin(Some(&digest('a'))).unwrap();
    for name in "cdef".chars() {
        assert_eq!(versions.offer(version(name, &[]), offered(name, 0), RULES), Taken::Current);
        assert_eq!(versions.running(), digest('a'));
    }
    assert_eq!(kept(&versions), "feda");
    assert!(versions.roll_back(None, "x").unwrap_err().contains("is pinned"));
    versions.unpin();
    assert_eq!(versions.running(), digest('f'));
    versions.pin(None).unwrap();
    assert_eq!(versions.pinned, Some(digest('f')));
}

#[test]
fn a_canary_gets_its_share_until_it_is_current() {
    let mut versions = of("ab");
    let share = Share::read("50%").unwrap();
    assert!(versions.try_on(&digest('b'), share).unwrap_err().contains("runs already"));
    versions.try_on(&digest('a'), share).unwrap();
    let runs: BTreeSet<&str> = (0..100).map(|run| versions.of_run(run)).collect();
    assert_eq!(runs, BTreeSet::from([digest('a').as_str(), digest('b').as_str()]));
    versions.roll_back(Some(&digest('a')), "x").unwrap();
    assert_eq!(versions.canary, None);
    versions.try_on(&digest('b'), share).unwrap();
    versions.try_on(&digest('b'), None).unwrap();
    assert_eq!(versions.canary, None);
}

#[test]
fn one_that_wants_more_waits_until_somebody_approves() {
    let mut versions = of("a");
    let wants = [Want::Http, Want::Jobs];
    let new = BTreeSet::from(wants);
    assert_eq!(
        versions.offer(version('b', &wants), offered('b', 0), RULES),
        Taken::Held(new.clone())
    );
    assert_eq!(versions.running(), digest('a'));
    for refused in [
        versions.clone().roll_back(Some(&digest('b')), "x").unwrap_err(),
        versions.clone().pin(Some(&digest('b'))).unwrap_err(),
        versions.clone().try_on(&digest('b'), Share::read("1%").unwrap()).unwrap_err(),
    ] {
        assert!(refused.contains("is held; approve it"), "{refused}");
    }
    assert!(versions.approve(Some(&digest('a')), true).is_err());
    assert_eq!(versions.approve(None, true), Ok(new));
    assert_eq!(versions.running(), digest('b'));
    assert!(versions.approve(None, true).unwrap_err().contains("no version is held"));
    // What was approved once is no news, and what is not wanted any more is.
    assert_eq!(versions.offer(version('c', &[Want::Http]), offered('c', 0), RULES), Taken::Current);
    let again = versions.offer(version('d', &wants), offered('d', 0), RULES);
    assert_eq!(again, Taken::Held(BTreeSet::from([Want::Jobs])));
    // Another one takes the place of the one that waits.
    assert_eq!(versions.offer(version('e', &[]), offered('e', 0), RULES), Taken::Current);
    assert_eq!(versions.held, None);
    assert_eq!(versions.get(&digest('d')), None, "nor can it be gone back to");
    let free = Rules { hold: false, ..RULES };
    assert_eq!(versions.offer(version('f', &wants), offered('f', 0), free), Taken::Current);
}

#[test]
fn first_runs_that_fail_are_counted_until_one_ends_well() {
    let mut versions = of("ab");
    assert!(!versions.ended(&digest('b'), false, 3));
    assert!(!versions.ended(&digest('a'), false, 3), "of another version");
    assert!(!versions.ended(&digest('b'), false, 3));
    let mut good = versions.clone();
    assert!(versions.ended(&digest('b'), false, 3));
    assert!(versions.ended(&digest('b'), false, 3), "until it is gone back from");
    versions.roll_back(None, "x").unwrap();
    assert!(!versions.ended(&digest('b'), false, 3));
    assert!(!good.ended(&digest('b'), true, 3));
    assert_eq!(good.trial, None);
    assert!((0..9).all(|_| !good.ended(&digest('b'), false, 3)));
    assert!((0..9).all(|_| !of("ab").ended(&digest('b'), false, 0)), "turned off");
}

#[test]
fn an_interpreter_is_held_for_what_it_is_denied_and_never_tried_before() {
    let interpreter = |name| Version { interpreter: true, ..version(name, &[]) };
    let mut versions = Versions::first(interpreter('a'), offered('a', 0));
    let (http, jobs) = (BTreeSet::from([Want::Http]), BTreeSet::from([Want::Jobs]));
    let none = BTreeSet::new();
    assert!(versions.is_news(&digest('a'), &http, &none));
    assert_eq!(versions.reached(&digest('a'), &none, &http, true), none, "there is none before");
    assert!(!versions.is_news(&digest('a'), &http, &http));
    assert_eq!(versions.offer(interpreter('b'), offered('b', 0), RULES), Taken::Current);
    assert_eq!(versions.reached(&digest('b'), &none, &http, true), none, "the one before did, too");
    assert_eq!(
        versions.reached(&digest('b'), &BTreeSet::from([Want::Keyvalue]), &none, true),
        none
    );
    assert_eq!(versions.reached(&digest('b'), &none, &jobs, false), none, "nobody holds it");
    assert_eq!(versions.offer(interpreter('c'), offered('c', 0), RULES), Taken::Current);
    let sockets = BTreeSet::from([Want::Sockets]);
    assert_eq!(versions.reached(&digest('c'), &none, &sockets, true), sockets);
    assert_eq!(versions.running(), digest('b'));
    assert_eq!(versions.held.as_ref().map(|held| held.ran), Some(true));
    assert_eq!(versions.approve(None, true), Ok(sockets.clone()));
    assert_eq!(versions.running(), digest('c'));
    assert_eq!(versions.reached(&digest('c'), &none, &sockets, true), none, "it was approved");
}

#[test]
fn what_nobody_stands_behind_is_known_until_somebody_does() {
    let unnamed = |name| Version { unnamed: true, ..version(name, &[]) };
    let mut versions = of("a");
    assert_eq!(versions.offer(unnamed('b'), offered('b', 0), RULES), Taken::Current);
    assert!(versions.get(&digest('b')).unwrap().unnamed);
    assert_eq!(versions.offer(unnamed('a'), offered('a', 0), RULES), Taken::Current);
    assert!(!versions.get(&digest('a')).unwrap().unnamed, "it was a file once");
    assert_eq!(versions.offer(version('b', &[]), offered('b', 0), RULES), Taken::Current);
    assert!(!versions.get(&digest('b')).unwrap().unnamed);
    let mut first = Versions::first(unnamed('c'), offered('c', 0));
    assert_eq!(first.offer(version('c', &[]), offered('c', 0), RULES), Taken::Same);
    assert!(!first.get(&digest('c')).unwrap().unnamed);
}

#[test]
fn the_same_bytes_may_be_signed_anew() {
    let mut versions = of("a");
    let signed = |text: &str| Version { signature: Some(text.to_owned()), ..version('a', &[]) };
    assert_eq!(versions.offer(signed("one"), offered('a', 0), RULES), Taken::Same);
    assert_eq!(versions.offer(version('a', &[]), offered('a', 0), RULES), Taken::Same);
    assert_eq!(versions.kept[0].signature.as_deref(), Some("one"));
    assert_eq!(versions.offer(signed("two"), offered('a', 0), RULES), Taken::Same);
    assert_eq!(versions.kept[0].signature.as_deref(), Some("two"));
}

#[test]
fn a_component_after_an_interpreter_wants_what_that_one_never_reached_for() {
    let interpreter = Version { interpreter: true, ..version('a', &[Want::Http]) };
    let mut versions = Versions::first(interpreter, offered('a', 0));
    let wants = [Want::Http, Want::Sockets];
    let taken = versions.offer(version('b', &wants), offered('b', 0), RULES);
    assert_eq!(taken, Taken::Held(BTreeSet::from([Want::Sockets])));
}

#[test]
fn the_beginning_of_a_digest_names_it() {
    let versions = of("ab");
    assert_eq!(versions.find("aaaa"), Ok(digest('a')));
    assert_eq!(versions.find("sha256:BBBBBB"), Ok(digest('b')));
    assert_eq!(versions.find("newest"), Ok(digest('b')));
    assert!(versions.find("aa").unwrap_err().contains("too short"));
    assert!(versions.find("cccc").unwrap_err().contains("there are sha256:bbbbbbbbbbbb, sha256:a"));
}

#[test]
fn what_is_kept_reads_back_and_needs_only_what_was_always_there() {
    let mut versions = of("ab");
    versions.try_on(&digest('a'), Share::read("2.5%").unwrap()).unwrap();
    versions.offer(version('c', &[Want::Http]), offered('c', 1), RULES);
    let text = serde_json::to_string(&versions).unwrap();
    assert!(text.contains("\"share\":\"2.5%\"") && text.contains("\"new\":[\"http\"]"), "{text}");
    assert_eq!(serde_json::from_str::<Versions>(&text).unwrap(), versions);
}
