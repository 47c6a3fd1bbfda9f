use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::text;

use super::*;

const RESYNC: Duration = Duration::from_secs(300);

/// Every run that a test's work saw, with its time.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<(String, Instant)>>>);

impl Runs {
    fn note(&self, key: &Key) {
        self.0.lock().unwrap().push((key.name.clone(), Instant::now()));
    }

    fn of(&self, name: &str) -> Vec<Instant> {
        self.0.lock().unwrap().iter().filter(|(run, _)| run == name).map(|(_, at)| *at).collect()
    }

    /// How many there were in each second from a time on.
    fn per_second(&self, begun: Instant) -> BTreeMap<u64, usize> {
        let mut per_second = BTreeMap::new();
        for (_, at) in self.0.lock().unwrap().iter().filter(|(_, at)| *at >= begun) {
            *per_second.entry((*at - begun).as_secs()).or_default() += 1;
        }
        per_second
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn settings() -> ReconcileSettings {
    ReconcileSettings { workers: 3, resync: RESYNC, ..ReconcileSettings::default() }
}

fn done(outcome: WorkOutcome) -> Worked {
    (Ok((outcome, Progress { generation: 1, done: true, ..Progress::default() })), Memory::default())
}

/// A queue whose work notes each run and then is as `work` says.
fn queue<F>(runs: &Runs, work: impl Fn(Key, WorkerSlot) -> F + Send + Sync + 'static) -> (Queue, Registry)
where
    F: Future<Output = Worked> + Send + 'static,
{
    let (runs, mut registry) = (runs.clone(), Registry::default());
    let noted = move |key: Key, _, slot| {
        runs.note(&key);
        work(key, slot).boxed()
    };
    let queue = Queue::new(noted, settings(), &mut registry);
    (queue, registry)
}

/// Lets everything run that can run now: paused time moves on only when all tasks wait.
async fn idle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn exposed(registry: &Registry) -> String {
    let mut exposed = String::new();
    text::encode(&mut exposed, registry).unwrap();
    exposed
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_wakes_is_worked_on_once_and_a_wake_during_work_once_more() {
    let runs = Runs::default();
    let (queue, _registry) = queue(&runs, |_, _| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        done(WorkOutcome::Settled)
    });
    (0..10).for_each(|_| queue.wake("a"));
    idle().await;
    (0..10).for_each(|_| queue.wake("a"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(runs.of("a").len(), 2);
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_worked_on_at_once_than_there_are_workers() {
    let (runs, most) = (Runs::default(), Arc::new(AtomicUsize::new(0)));
    let (now, seen) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
    let (queue, _registry) = queue(&runs, move |_, _| {
        let (now, seen) = (Arc::clone(&now), Arc::clone(&seen));
        async move {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            done(WorkOutcome::Settled)
        }
    });
    (0..50).for_each(|n| queue.wake(&n.to_string()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((runs.len(), most.load(Ordering::SeqCst)), (50, 3));
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_for_something_long_lends_its_worker_to_others() {
    let runs = Runs::default();
    let (queue, _registry) = queue(&runs, |key, slot| async move {
        if key.name.starts_with("long") {
            slot.lend_during(tokio::time::sleep(Duration::from_secs(100))).await;
        }
        done(WorkOutcome::Settled)
    });
    let _followed: Vec<_> = (0..5).map(|n| queue.begin(&format!("long-{n}"))).collect();
    queue.wake("quick");
    idle().await;
    assert_eq!(runs.len(), 6);
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_follows_the_progress_and_brings_a_backoff_forward_where_news_does_not() {
    let runs = Runs::default();
    let (queue, _registry) = queue(&runs, |_, _| async {
        (
            Ok((WorkOutcome::Failed { after: Some(Duration::from_secs(60)) }, Progress::under_way(7))),
            Memory::default(),
        )
    });
    let progress = queue.begin("a");
    idle().await;
    assert_eq!(*progress.borrow(), Progress::under_way(7));
    queue.wake("a");
    queue.wake_all();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(runs.of("a").len(), 1, "news does not shorten the backoff");
    let _progress = queue.begin("a");
    idle().await;
    assert_eq!(runs.of("a").len(), 2);
    tokio::time::sleep(Duration::from_secs(80)).await;
    let at = runs.of("a");
    assert_eq!(at.len(), 3, "after the backoff it is tried again");
    assert!(at[2] - at[1] >= Duration::from_secs(60), "never earlier than asked");
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_are_counted_and_tried_again_after_a_growing_delay() {
    let runs = Runs::default();
    let (queue, registry) = queue(&runs, |key, _| async move {
        if key.name == "error" {
            return (Err(crate::error::Error::Internal("no database".into())), Memory::default());
        }
        assert!(key.name != "panic", "a fault in the program");
        done(WorkOutcome::Settled)
    });
    ["error", "panic", "fine"].iter().for_each(|name| queue.wake(name));
    tokio::time::sleep(Duration::from_secs(120)).await;
    for name in ["error", "panic"] {
        let at = runs.of(name);
        let delays: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert!(delays.len() >= 5, "{name}: {delays:?}");
        for (nth, delay) in (0_i32..).zip(&delays).take(5) {
            let backoff = 2_f64.powi(nth);
            assert!((0.74 * backoff..=1.26 * backoff).contains(delay), "{name}: {delays:?}");
        }
    }
    assert_eq!(runs.of("fine").len(), 1, "others are not disturbed");
    let exposed = exposed(&registry);
    for (outcome, runs) in
        [("error", runs.of("error").len()), ("panic", runs.of("panic").len()), ("settled", 1)]
    {
        let line = format!("smo_reconciles_total{{kind=\"graph\",outcome=\"{outcome}\"}} {runs}\n");
        assert!(exposed.contains(&line), "{line}{exposed}");
    }
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_database_knows_is_taken_up_at_once_when_it_is_not_done_and_else_spread() {
    let runs = Runs::default();
    let (queue, registry) = queue(&runs, |_, _| async { done(WorkOutcome::Settled) });
    let begun = Instant::now();
    let mut keys: Vec<(Key, bool)> = (0..1000).map(|n| (Key::graph(&format!("done-{n}")), true)).collect();
    keys.push((Key::graph("cut-off"), false));
    queue.take_up(keys.clone());
    idle().await;
    assert_eq!(runs.of("cut-off").len(), 1);
    assert!(exposed(&registry).contains("smo_queue_keys{kind=\"graph\"} 1001\n"), "{}", exposed(&registry));
    queue.take_up(keys);
    tokio::time::sleep(Duration::from_secs(21)).await;
    let per_second = runs.per_second(begun);
    assert_eq!(per_second.values().sum::<usize>(), 1001, "each once: {per_second:?}");
    assert!(per_second.len() >= 20 && per_second.values().all(|count| *count < 100), "{per_second:?}");
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_together_is_not_tried_again_together() {
    let minute = Some(Duration::from_secs(60));
    let (asked, own) = (60.0..=75.0, 0.75..=1.25);
    for (outcome, expected) in [
        (WorkOutcome::Retry { after: minute }, &asked),
        (WorkOutcome::Failed { after: minute }, &asked),
        (WorkOutcome::Retry { after: None }, &own),
        (WorkOutcome::Failed { after: None }, &own),
    ] {
        let runs = Runs::default();
        let (queue, _registry) = queue(&runs, move |_, _| async move { done(outcome) });
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        names.iter().for_each(|name| queue.wake(name));
        tokio::time::sleep(Duration::from_secs(80)).await;
        let delay = |name: &String| {
            let at = runs.of(name);
            (at[1] - at[0]).as_secs_f64()
        };
        let delays: Vec<f64> = names.iter().map(delay).collect();
        let rounding = 0.01;
        let in_bounds = |delay: &f64| expected.contains(delay) || expected.contains(&(delay - rounding));
        assert!(delays.iter().all(in_bounds), "{outcome:?}: {delays:?}");
        let (first, last) =
            (delays.iter().copied().fold(f64::MAX, f64::min), delays.iter().copied().fold(0.0, f64::max));
        assert!(last - first > (expected.end() - expected.start()) / 2.0, "{outcome:?}: {delays:?}");
        queue.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wake_of_all_is_spread_over_a_time_that_grows_with_their_number() {
    let runs = Runs::default();
    let (queue, _registry) = queue(&runs, |_, _| async { done(WorkOutcome::Settled) });
    (0..1000).for_each(|n| queue.wake(&n.to_string()));
    idle().await;
    assert_eq!(runs.len(), 1000);
    let begun = Instant::now();
    queue.wake_all();
    tokio::time::sleep(Duration::from_secs(21)).await;
    let per_second = runs.per_second(begun);
    assert_eq!(per_second.values().sum::<usize>(), 1000, "each once: {per_second:?}");
    assert!(per_second.len() >= 20 && per_second.values().all(|count| *count < 100), "{per_second:?}");
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_settled_key_is_looked_at_again_once_per_resync_and_when_all_are_woken() {
    let runs = Runs::default();
    let (queue, _registry) = queue(&runs, |_, _| async { done(WorkOutcome::Settled) });
    queue.wake("a");
    tokio::time::sleep(RESYNC.mul_f64(1.26)).await;
    assert_eq!(runs.of("a").len(), 2);
    queue.wake_all();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(runs.of("a").len(), 3);
    queue.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_begins_nothing_new_lets_work_end_and_cuts_off_what_takes_longer() {
    let runs = Runs::default();
    let finished = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&finished);
    let (queue, _registry) = queue(&runs, move |key, _| {
        let counted = Arc::clone(&counted);
        async move {
            let long = if key.name == "endless" { 100_000 } else { 5 };
            tokio::time::sleep(Duration::from_secs(long)).await;
            counted.fetch_add(1, Ordering::SeqCst);
            done(WorkOutcome::Settled)
        }
    });
    ["quick", "endless"].iter().for_each(|name| queue.wake(name));
    idle().await;
    let begun = Instant::now();
    queue.begin_shutdown();
    queue.wake("late");
    queue.stopping().await;
    queue.shutdown(Duration::from_secs(30)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert_eq!((finished.load(Ordering::SeqCst), runs.of("late").len()), (1, 0));
}
