use super::account::*;
use crate::job::quota::{Allotment, Quota, QuotaKey};
use crate::run::admitted::Admitted;
use crate::time::Timestamp;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn allot(key: QuotaKey, limit: u64) -> Allotment {
    Allotment { quota: Quota::default().with(key, limit), weight: 1 }
}

#[test]
fn windows_begin_on_the_clock_and_a_clock_that_goes_back_begins_none() {
    let now = at("2026-03-01T09:59:30Z");
    let used = Windows { runs: 3, cpu_ms: 5, ..Windows::default().at(now) };
    assert_eq!(used.at(at("2026-03-01T09:59:59Z")), used);
    let next = used.at(at("2026-03-01T10:00:00Z"));
    assert_eq!((next.runs, next.cpu_ms), (0, 0));
    assert_eq!(used.at(at("2026-03-01T08:00:00Z")), used);
    assert_eq!(used.frees_at(QuotaKey::RunsPerMinute), at("2026-03-01T10:00:00Z"));
    let now = at("2026-03-01T09:30:10Z");
    let windows = Windows::default().at(now);
    assert_eq!(windows.frees_at(QuotaKey::RunsPerMinute), at("2026-03-01T09:31:00Z"));
    assert_eq!(windows.frees_at(QuotaKey::FuelPerHour), at("2026-03-01T10:00:00Z"));
}

#[test]
fn runs_wait_at_the_limit_and_go_on_when_one_has_ended() {
    let now = at("2026-03-01T09:00:00Z");
    let two = allot(QuotaKey::MaxRunning, 2);
    let mut account = Account::default();
    let first = account.admit(&two, 7, true, now);
    account.admit(&two, 7, true, now);
    assert_eq!(account.judge(&two, 7, true, now), Admission::Wait(QuotaKey::MaxRunning));
    account.release(&two, first, Some((1, 0)), now);
    assert_eq!(account.judge(&two, 7, true, now), Admission::Free);
    let memory = allot(QuotaKey::Memory, 10);
    assert_eq!(account.judge(&memory, 4, true, now), Admission::Wait(QuotaKey::Memory));
    assert_eq!(account.judge(&memory, 3, true, now), Admission::Free);
    let alone = Account::default();
    assert_eq!(alone.judge(&memory, 99, true, now), Admission::Free, "it gets all of it");
}

#[test]
fn a_minute_has_so_many_runs_and_later_attempts_are_none() {
    let now = at("2026-03-01T09:00:01Z");
    let one = allot(QuotaKey::RunsPerMinute, 1);
    let mut account = Account::default();
    account.admit(&one, 0, true, now);
    let used_up =
        UsedUp { key: QuotaKey::RunsPerMinute, limit: 1, frees_at: at("2026-03-01T09:01:00Z") };
    assert_eq!(account.judge(&one, 0, true, now), Admission::UsedUp(used_up));
    assert_eq!(account.judge(&one, 0, false, now), Admission::Free);
    account.admit(&one, 0, false, now);
    assert_eq!(account.windows.runs, 1);
    assert_eq!(account.judge(&one, 0, true, used_up.frees_at), Admission::Free);
}

#[test]
fn what_was_used_and_what_is_set_aside_never_pass_the_quota() {
    let now = at("2026-03-01T09:00:01Z");
    let quota = allot(QuotaKey::CpuPerHour, 50);
    let mut account = Account::default();
    let mut first = account.admit(&quota, 0, true, now);
    let second = account.admit(&quota, 0, true, now);
    let third = account.admit(&quota, 0, true, now);
    assert_eq!((first.cpu_ms, second.cpu_ms, third.cpu_ms), (20, 20, 10));
    assert_eq!(account.judge(&quota, 0, true, now), Admission::Wait(QuotaKey::CpuPerHour));
    let more = Draw { cpu: true, ..Draw::default() };
    let refused = account.draw(&quota, &mut first, more, now).unwrap();
    assert_eq!((refused.key, first.cpu_ms), (QuotaKey::CpuPerHour, 20));
    account.release(&quota, third, Some((4, 0)), now);
    assert_eq!(account.draw(&quota, &mut first, more, now), None);
    assert_eq!(first.cpu_ms, 26);
    account.release(&quota, first, Some((26, 0)), now);
    // Nobody knows what it used.
    account.release(&quota, second, None, now);
    assert_eq!(account.windows.cpu_ms, 50);
    assert!(matches!(account.judge(&quota, 0, true, now), Admission::UsedUp(_)));
}

#[test]
fn requests_are_booked_whole_or_not_at_all() {
    let now = at("2026-03-01T09:00:01Z");
    let quota =
        Quota::default().with(QuotaKey::HttpPerHour, 2).with(QuotaKey::HttpBytesPerHour, 100);
    let quota = Allotment { quota, weight: 1 };
    let (mut account, mut admitted) = (Account::default(), Admitted::default());
    let ask = |http, http_bytes| Draw { http, http_bytes, ..Draw::default() };
    assert_eq!(account.draw(&quota, &mut admitted, ask(1, 60), now), None);
    let refused = account.draw(&quota, &mut admitted, ask(1, 60), now).unwrap();
    assert_eq!((refused.key, account.windows.http), (QuotaKey::HttpBytesPerHour, 1));
    assert_eq!(account.draw(&quota, &mut admitted, ask(1, 40), now), None);
    let refused = account.draw(&quota, &mut admitted, ask(1, 0), now).unwrap();
    assert_eq!(refused.key, QuotaKey::HttpPerHour);
}

#[test]
fn who_uses_more_waits_longer_and_weight_counts() {
    let now = at("2026-03-01T09:00:01Z");
    let (light, heavy) = (Allotment::default(), Allotment { weight: 4, ..Allotment::default() });
    let used = |allotment: &Allotment| {
        let mut account = Account::default();
        let admitted = account.admit(allotment, 0, true, now);
        account.release(allotment, admitted, Some((8, 0)), now);
        account.tag
    };
    assert_eq!((used(&light), used(&heavy)), (80_000, 20_000));
}
