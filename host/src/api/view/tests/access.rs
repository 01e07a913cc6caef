//! Tokens and changes.

use serde_json::{Value, json};

use super::super::List;
use super::{check, time};
use crate::access::Role;
use crate::access::token::TokenView;
use crate::audit::Note;
use crate::audit::action::Action;

#[test]
fn a_change_says_who_from_where_and_how_it_was_before_and_after() {
    let paused = Note {
        time: time("2026-12-01T09:00:00.000001Z"),
        who: "token ci".to_owned(),
        from: Some("10.0.0.7".to_owned()),
        action: Action::JobPaused,
        tenant: Some("acme".parse().unwrap()),
        target: "nightly".to_owned(),
        before: Value::Null,
        after: json!({"by": "token ci", "why": "moving", "until": null}),
    };
    let removed = Note::by_file(time("2026-12-01T08:00:00Z"), Action::TokenRemoved, None, "old");
    let gone = json!({"id": "old", "role": "viewer"});
    check("audit", &List::whole(vec![paused, removed.changed(gone, Value::Null)]));
}

#[test]
fn a_token_is_shown_without_its_secret() {
    let token = TokenView {
        id: "ci".parse().unwrap(),
        tenant: Some("acme".parse().unwrap()),
        role: Role::Operator,
        created: time("2026-12-01T09:00:00Z"),
        expires: None,
    };
    check("token", &token);
}
