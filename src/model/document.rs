//! The reference of conditions and events, printed from their tables: `docs/conditions-and-events.md`.

use super::condition::{CONDITIONS, Subject};
use super::event::{EVENTS, EventKind};

const CONDITIONS_HEAD: &str = "\
# Conditions and events

<!-- Printed by `smo conditions` from src/model/condition.rs and src/model/event.rs; `make documents` writes it. -->

## Conditions

A condition has a type, a status (`True`, `False`, `Unknown`), a reason for programs, a message for people, and `since`,
the time at which the status last changed. Conditions are part of the answer to `GET /graphs/NAME`. `Reconciled` shows
the first of its reasons that applies. A condition that no longer has a meaning is removed.

| type | of | status | reason | meaning |
|---|---|---|---|---|
";

const EVENTS_HEAD: &str = "
## Events

`GET /graphs/NAME/events` lists them. Each has a global sequence number `seq`, a time, a subject, an actor, the id of
the request that caused it, and `data`.

| type | meaning | actors | data |
|---|---|---|---|
";

/// The reference of conditions and events, in Markdown.
#[must_use]
pub fn conditions_and_events() -> String {
    let mut page = CONDITIONS_HEAD.to_owned();
    for row in CONDITIONS {
        let of = match row.of {
            Subject::Graph => "graph",
            Subject::Service => "service",
        };
        page += &format!(
            "| `{}` | {of} | {:?} | `{}` | {} |\n",
            row.condition, row.status, row.reason, row.meaning
        );
    }
    page += EVENTS_HEAD;
    for row in EVENTS {
        page += &format!("| `{}` | {} | {} | {} |\n", row.kind, row.meaning, row.actors, members(row));
    }
    page
}

fn members(event: &EventKind) -> String {
    let member = |(name, meaning): &(&str, &str)| format!("`{name}`: {meaning}");
    event.data.iter().map(member).collect::<Vec<_>>().join("; ")
}
