//! What a tenant's jobs used.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::Datelike as _;

use super::App;
use super::access::Caller;
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params};
use super::view::usage::{By, Sums, UsageView};
use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page, UsageFilter};
use crate::record::used::{HOUR_US, KEPT, hour_of};
use crate::time::Timestamp;

/// `GET /v1/tenants/{tenant}/usage`: whole hours, and when nobody says which, the month so far. The
/// tenant `-` is that of the token, else `default`.
pub async fn show(
    State(app): State<App>,
    Name(name): Name,
    caller: Caller,
    mut params: Params,
) -> Result<Json<UsageView>, ApiError> {
    let now = app.context.clock.now();
    let by = params.read("by", params::word::<By>).unwrap_or_default();
    let to = params.read("to", params::time);
    let from = params.read("from", params::time);
    let (from, to) = span(from, to, now);
    params.refuse(wrong_span(from, to));
    let tenant = match params.finish_about(&name) {
        // The bill of one that is no more is for those who may see all tenants.
        Err(error) if error.is(Kind::NoSuchTenant) && caller.principal.tenant().is_none() => {
            past(&app, &name).await?.ok_or(error)?
        }
        found => found?,
    };
    let filter = UsageFilter {
        tenant: Some(tenant.clone()),
        from: Some(from),
        to: Some(to),
        ..UsageFilter::default()
    };
    let (mut sums, mut cursor) = (Sums::new(by), None);
    loop {
        let page = Page { limit: MAX_PAGE, cursor };
        let found = app.context.store.usage(filter.clone(), page).await?;
        found.items.into_iter().for_each(|item| sums.add(item));
        cursor = found.next_cursor;
        if cursor.is_none() {
            return Ok(Json(sums.view(tenant, from, to)));
        }
    }
}

/// A tenant that is no more and has used something.
async fn past(app: &App, name: &str) -> Result<Option<TenantId>, ApiError> {
    let Ok(tenant) = name.parse::<TenantId>() else { return Ok(None) };
    let filter = UsageFilter { tenant: Some(tenant.clone()), ..UsageFilter::default() };
    let found = app.context.store.usage(filter, Page { limit: 1, cursor: None }).await?;
    Ok((!found.items.is_empty()).then_some(tenant))
}

/// The whole hours that are asked about.
fn span(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> (Timestamp, Timestamp) {
    let last = to.unwrap_or(now).before(Duration::from_micros(1));
    let to = hour_of(last).after(Duration::from_micros(HOUR_US.unsigned_abs()));
    let from = from.map_or_else(|| month_of(last), hour_of);
    (from, to)
}

/// When the month began that `time` lies in, UTC.
fn month_of(time: Timestamp) -> Timestamp {
    let date = time.to_utc().date_naive();
    let first = date.with_day(1).unwrap_or(date).and_time(chrono::NaiveTime::MIN).and_utc();
    Timestamp::from(first)
}

fn wrong_span(from: Timestamp, to: Timestamp) -> Option<(&'static str, String)> {
    let days = KEPT.as_secs() / 86_400;
    if to <= from {
        Some(("from", format!("{from} is not before {to}; give an earlier `from` or a later `to`")))
    } else if KEPT < to.since(from) {
        let detail = "what was used is kept no longer; give a later `from` or an earlier `to`";
        Some(("from", format!("{from} is more than {days} days before {to}; {detail}")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn without_times_it_is_the_month_so_far_in_whole_hours() {
        let now = at("2026-03-17T12:34:56Z");
        let month = at("2026-03-01T00:00:00Z");
        assert_eq!(span(None, None, now), (month, at("2026-03-17T13:00:00Z")));
        let early = at("2026-03-01T00:00:00Z");
        assert_eq!(span(None, Some(early), now), (at("2026-02-01T00:00:00Z"), early));
        let (from, to) = (at("2026-01-02T03:59:00Z"), at("2026-01-02T04:00:00.000001Z"));
        let whole = (at("2026-01-02T03:00:00Z"), at("2026-01-02T05:00:00Z"));
        assert_eq!(span(Some(from), Some(to), now), whole);
    }

    #[test]
    fn times_that_are_the_wrong_way_round_or_too_far_apart_are_refused() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"));
        assert_eq!(wrong_span(from, to), None);
        assert_eq!(wrong_span(from, from.after(KEPT)), None);
        let (_, text) = wrong_span(to, from).unwrap();
        assert!(text.contains("is not before 2026-01-01T00:00:00Z"), "{text}");
        let (_, text) = wrong_span(from, to.after(KEPT)).unwrap();
        assert!(text.contains("more than 400 days before"), "{text}");
    }
}
