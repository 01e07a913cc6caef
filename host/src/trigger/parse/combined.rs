//! Triggers made of others: `or` and `and`, with their members in `triggers`.

use serde_json::Value;

use super::super::Trigger;
use super::super::and::{And, THRESHOLD, WIDEST};
use super::super::keys::{self, Keys, describe};
use super::super::or::Or;
use super::{Place, parse_at};

/// Triggers in one combination at most, those inside of members counted and combinations not.
pub const MAX_MEMBERS: usize = 16;

/// Combinations within each other at most.
pub const MAX_DEPTH: usize = 4;

pub(super) fn or(keys: &mut Keys<'_>, place: Place) -> Option<Or> {
    keys.only(&keys::OR);
    let jitter = keys.jitter();
    Some(Or { members: members(keys, place)?, jitter })
}

pub(super) fn and(keys: &mut Keys<'_>, place: Place) -> Option<And> {
    keys.only(&keys::AND);
    let jitter = keys.jitter();
    let threshold = keys.seconds("threshold", WIDEST).unwrap_or(THRESHOLD);
    Some(And { members: members(keys, place)?, threshold, jitter })
}

/// The triggers under `triggers`, when all of them are right.
fn members(keys: &mut Keys<'_>, place: Place) -> Option<Vec<Trigger>> {
    let example = "such as [\"every 1h\", \"cron 30 2 * * *\"]";
    let values = match keys.get("triggers") {
        Some(Value::Array(values)) if !values.is_empty() => values,
        Some(Value::Array(_)) => {
            keys.refuse("triggers", format!("is empty; give at least one trigger, {example}"));
            return None;
        }
        Some(other) => {
            let what = describe(other);
            keys.refuse("triggers", format!("must be a list of triggers {example}, not {what}"));
            return None;
        }
        None => {
            keys.refuse("triggers", format!("is missing; give a list of triggers {example}"));
            return None;
        }
    };
    if place.depth == MAX_DEPTH {
        keys.refuse("triggers", format!("stands in too many others; {MAX_DEPTH} is the limit"));
        return None;
    }
    if MAX_MEMBERS < values.len() {
        too_many(keys);
        return None;
    }
    let inside = Place { depth: place.depth + 1, ..place };
    let mut members = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let key = format!("triggers.{index}");
        let member = parse_at(value, &keys.path_of(&key), inside, keys.problems());
        if member.as_ref().is_some_and(|member| member.jitter() != 0) {
            let message = "belongs to the combination as a whole; give it beside `triggers`";
            keys.refuse(&format!("{key}.jitter"), message);
        }
        members.extend(member);
    }
    if members.len() < values.len() {
        return None;
    }
    if MAX_MEMBERS < members.iter().map(leaves).sum() {
        too_many(keys);
    }
    Some(members)
}

fn too_many(keys: &mut Keys<'_>) {
    keys.refuse("triggers", format!("holds too many triggers; {MAX_MEMBERS} is the limit"));
}

/// How many triggers that are no combination there are in `trigger`.
fn leaves(trigger: &Trigger) -> usize {
    match trigger {
        Trigger::Date(_) | Trigger::Interval(_) | Trigger::Cron(_) => 1,
        Trigger::Or(Or { members, .. }) | Trigger::And(And { members, .. }) => {
            members.iter().map(leaves).sum()
        }
    }
}
