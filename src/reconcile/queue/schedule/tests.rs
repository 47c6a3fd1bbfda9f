use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> Key {
    Key::graph(name)
}

fn take(schedule: &mut Schedule, now: Instant) -> Option<String> {
    schedule.take(now).map(|job| job.key.name)
}

/// Ends the work on a key as one that is as desired.
fn settle(schedule: &mut Schedule, name: &str, now: Instant) {
    finish(schedule, name, false, Next::At(now + 300 * SECOND, Priority::Resync), now);
}

fn finish(schedule: &mut Schedule, name: &str, failed: bool, next: Next, now: Instant) {
    schedule.finish(&key(name), (failed, Memory::default(), Progress::default()), |_| next, now);
}

#[test]
fn wakes_of_one_key_merge() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    for _ in 0..3 {
        schedule.wake(&key("a"), Priority::Change, now);
    }
    assert_eq!(take(&mut schedule, now).as_deref(), Some("a"));
    assert_eq!(take(&mut schedule, now), None);
}

#[test]
fn a_key_that_is_woken_during_its_work_is_worked_on_again_afterwards_and_never_twice_at_a_time() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    schedule.wake(&key("a"), Priority::Change, now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("a"));
    schedule.wake(&key("a"), Priority::Change, now);
    schedule.wake_by(&key("a"), now + SECOND, Priority::Resync);
    assert_eq!(take(&mut schedule, now), None);
    settle(&mut schedule, "a", now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("a"));
    settle(&mut schedule, "a", now);
    assert_eq!(take(&mut schedule, now), None);
}

#[test]
fn no_more_keys_are_taken_than_there_are_workers_but_a_lent_worker_counts_for_others() {
    let (mut schedule, now) = (Schedule::new(2), Instant::now());
    for name in ["a", "b", "c", "d"] {
        schedule.wake(&key(name), Priority::Change, now);
    }
    assert_eq!([take(&mut schedule, now), take(&mut schedule, now)], [Some("a".into()), Some("b".into())]);
    assert_eq!(take(&mut schedule, now), None);
    schedule.lend(&key("a"));
    assert_eq!(take(&mut schedule, now).as_deref(), Some("c"));
    schedule.lend(&key("a"));
    schedule.take_back(&key("a"));
    settle(&mut schedule, "b", now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("d"), "a still waits for its other operation");
    settle(&mut schedule, "d", now);
    schedule.take_back(&key("a"));
    schedule.wake(&key("d"), Priority::Change, now);
    assert_eq!(take(&mut schedule, now), None, "a and c hold the two workers");
    settle(&mut schedule, "a", now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("d"));
}

#[test]
fn while_as_many_of_the_background_wait_for_helm_as_there_are_workers_only_requests_begin() {
    let (mut schedule, now) = (Schedule::new(1), Instant::now());
    schedule.wake(&key("a"), Priority::Change, now);
    schedule.wake(&key("b"), Priority::Change, now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("a"));
    schedule.lend(&key("a"));
    assert_eq!(take(&mut schedule, now), None);
    schedule.wake(&key("c"), Priority::Request, now);
    assert_eq!(take(&mut schedule, now).as_deref(), Some("c"));
    schedule.lend(&key("c"));
    assert_eq!(take(&mut schedule, now), None);
    settle(&mut schedule, "a", now);
    assert_eq!(
        take(&mut schedule, now).as_deref(),
        Some("b"),
        "what a request waits for is not the background's"
    );
}

#[test]
fn the_most_urgent_key_is_taken_first_and_equals_in_the_order_they_came() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    for (name, priority) in [
        ("resync", Priority::Resync),
        ("change", Priority::Change),
        ("first", Priority::Request),
        ("second", Priority::Request),
        ("raised", Priority::Resync),
    ] {
        schedule.wake(&key(name), priority, now);
    }
    schedule.wake(&key("raised"), Priority::Change, now);
    schedule.wake(&key("change"), Priority::Resync, now);
    let order: Vec<String> = std::iter::from_fn(|| take(&mut schedule, now)).collect();
    assert_eq!(order, ["first", "second", "change", "raised", "resync"]);
}

#[test]
fn no_priority_is_starved_by_those_above_it() {
    let (mut schedule, now) = (Schedule::new(1), Instant::now());
    let mut taken = BTreeMap::new();
    for turn in 0..1000 {
        for (name, priority) in [("r", Priority::Request), ("c", Priority::Change), ("s", Priority::Resync)] {
            for nth in [turn, turn + 1] {
                schedule.wake(&key(&format!("{name}{nth}")), priority, now);
            }
        }
        let name = take(&mut schedule, now).unwrap();
        *taken.entry(name.chars().next().unwrap()).or_insert(0) += 1;
        finish(&mut schedule, &name, false, Next::Forget, now);
    }
    assert!(taken[&'s'] >= 40 && taken[&'c'] >= 150, "{taken:?}");
    assert!(taken[&'r'] > taken[&'c'] && taken[&'c'] > taken[&'s'], "{taken:?}");
}

#[test]
fn news_does_not_shorten_a_backoff_and_a_request_does() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    let until = now + 10 * SECOND;
    schedule.wake(&key("a"), Priority::Change, now);
    take(&mut schedule, now).unwrap();
    schedule.wake(&key("a"), Priority::Change, now);
    finish(&mut schedule, "a", true, Next::NotBefore(until), now);
    schedule.wake(&key("a"), Priority::Change, now);
    schedule.wake_by(&key("a"), now + SECOND, Priority::Resync);
    assert_eq!((take(&mut schedule, now), schedule.advance(now)), (None, Some(until)));
    schedule.advance(until);
    assert_eq!(take(&mut schedule, until).as_deref(), Some("a"));
    finish(&mut schedule, "a", true, Next::NotBefore(until + 10 * SECOND), until);
    schedule.wake(&key("a"), Priority::Request, until);
    assert_eq!(take(&mut schedule, until).as_deref(), Some("a"));
}

#[test]
fn failures_in_a_row_are_counted_and_forgotten_after_a_success_or_a_request() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    let mut counted = Vec::new();
    for (failed, request) in [(true, false), (true, false), (true, true), (false, false), (true, false)] {
        schedule.wake(&key("a"), if request { Priority::Request } else { Priority::Change }, now);
        schedule.take(now).unwrap();
        let report = (failed, Memory::default(), Progress::default());
        schedule.finish(
            &key("a"),
            report,
            |failures| {
                counted.push(failures);
                Next::At(now, Priority::Resync)
            },
            now,
        );
    }
    assert_eq!(counted, [1, 2, 1, 0, 1]);
}

#[test]
fn a_key_at_rest_holds_a_timer_and_nothing_else() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    let progress = schedule.begin(&key("a"), now);
    take(&mut schedule, now).unwrap();
    settle(&mut schedule, "a", now);
    assert!(schedule.entries[&key("a")].kept.is_some(), "a request follows it");
    drop(progress);
    schedule.wake(&key("a"), Priority::Change, now);
    take(&mut schedule, now).unwrap();
    settle(&mut schedule, "a", now);
    let entry = &schedule.entries[&key("a")];
    assert!(entry.kept.is_none() && entry.queued.is_none() && entry.timer.is_some());
    assert_eq!(schedule.timers.len(), 1);
}

#[test]
fn a_key_that_is_gone_is_forgotten_unless_it_was_woken_meanwhile() {
    let (mut schedule, now) = (Schedule::new(9), Instant::now());
    let gone = |schedule: &mut Schedule| {
        schedule.finish(&key("a"), (false, Memory::default(), Progress::gone()), |_| Next::Forget, now);
    };
    schedule.wake(&key("a"), Priority::Change, now);
    take(&mut schedule, now).unwrap();
    let anew = schedule.begin(&key("a"), now);
    gone(&mut schedule);
    assert!(!anew.borrow().gone, "the request is about the graph that was made anew");
    assert_eq!(take(&mut schedule, now).as_deref(), Some("a"));
    gone(&mut schedule);
    assert!(anew.borrow().gone);
    assert!(schedule.entries.is_empty() && schedule.timers.is_empty());
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Wake(u8, Priority),
    WakeBy(u8, u64),
    Take,
    Lend,
    Finish(bool, u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(Priority::Request), Just(Priority::Change), Just(Priority::Resync)];
    let step = prop_oneof![
        4 => (0..6_u8, priority).prop_map(|(key, priority)| Step::Wake(key, priority)),
        1 => (0..6_u8, 0..20_u64).prop_map(|(key, seconds)| Step::WakeBy(key, seconds)),
        4 => Just(Step::Take),
        1 => Just(Step::Lend),
        3 => (any::<bool>(), 0..4_u8).prop_map(|(last, next)| Step::Finish(last, next)),
        2 => (0..20_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

/// A schedule under test, with the model of what it owes.
struct Driven {
    schedule: Schedule,
    now: Instant,
    running: Vec<Key>,
    /// Keys that were woken and not taken since.
    owed: BTreeSet<Key>,
}

impl Driven {
    fn take(&mut self) -> bool {
        self.schedule.advance(self.now);
        let Some(job) = self.schedule.take(self.now) else { return false };
        assert!(!self.running.contains(&job.key), "{:?} is worked on twice at a time", job.key);
        self.owed.remove(&job.key);
        self.running.push(job.key);
        true
    }

    fn finish(&mut self, last: bool, next: Next) {
        let key = if last {
            self.running.pop()
        } else {
            (!self.running.is_empty()).then(|| self.running.remove(0))
        };
        let Some(key) = key else { return };
        let failed = matches!(next, Next::NotBefore(_));
        self.schedule.finish(&key, (failed, Memory::default(), Progress::default()), |_| next, self.now);
    }

    fn step(&mut self, step: Step) {
        let name = |key: u8| Key::graph(&key.to_string());
        match step {
            Step::Wake(key, priority) => {
                self.schedule.wake(&name(key), priority, self.now);
                self.owed.insert(name(key));
            }
            Step::WakeBy(key, seconds) => {
                let at = self.now + Duration::from_secs(seconds);
                self.schedule.wake_by(&name(key), at, Priority::Resync);
                self.owed.insert(name(key));
            }
            Step::Take => drop(self.take()),
            Step::Lend => {
                if let Some(key) = self.running.first() {
                    self.schedule.lend(key);
                }
            }
            Step::Finish(last, next) => {
                let later = self.now + Duration::from_secs(7);
                let next = match next {
                    0 => Next::Forget,
                    1 => Next::At(later, Priority::Resync),
                    2 => Next::NotBefore(later),
                    _ => Next::AtOnce,
                };
                self.finish(last, next);
            }
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds),
        }
    }
}

proptest! {
    #[test]
    fn no_wake_is_lost_in_any_history(steps in steps()) {
        let schedule = Schedule::new(2);
        let mut driven = Driven { schedule, now: Instant::now(), running: Vec::new(), owed: BTreeSet::new() };
        for step in steps {
            driven.step(step);
            prop_assert!(driven.schedule.busy <= driven.running.len().min(2));
        }
        // Every woken key gets its turn once the workers continue and time passes.
        for _ in 0..500 {
            driven.finish(false, Next::At(driven.now + Duration::from_secs(3600), Priority::Resync));
            if !driven.take() {
                driven.now += Duration::from_secs(1);
            }
        }
        prop_assert!(driven.owed.is_empty(), "never worked on: {:?}", driven.owed);
        while !driven.running.is_empty() {
            driven.finish(false, Next::Forget);
        }
        prop_assert_eq!((driven.schedule.busy, driven.schedule.lent), (0, 0));
    }
}
