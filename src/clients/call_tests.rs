//! Tests of the call wrapper under a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::text::encode;

use super::*;
use crate::config::Settings;
use crate::faults::FaultAction;

const READ: Operation = Operation { system: "karmada", name: "clusters", policy: Policy::Read, proves: &[] };
const WRITE: Operation = Operation { system: "karmada", name: "scale", policy: Policy::Write, proves: &[] };
const APPLY: Operation =
    Operation { system: "helm", name: "apply", policy: Policy::Write, proves: &["karmada", "registry"] };

fn settings() -> CallSettings {
    CallSettings {
        deadline: Duration::from_secs(10),
        helm_deadline: Duration::from_secs(300),
        attempts: 3,
        first_delay: Duration::from_millis(200),
        breaker_threshold: 5,
        breaker_open: Duration::from_secs(30),
    }
}

fn helm() -> HelmSettings {
    HelmSettings { parallel: 1, ..Settings::default().helm }
}

fn calls() -> Calls {
    Calls::new(&settings(), &helm(), Faults::none())
}

fn error(kind: ClientErrorKind) -> ClientError {
    ClientError::new("karmada", kind, "as told")
}

/// Counts attempts and answers each with `answer(attempt number)`.
async fn attempts(
    calls: &Calls,
    operation: Operation,
    answer: impl Fn(usize) -> Result<()>,
) -> (usize, Result<()>) {
    let made = AtomicUsize::new(0);
    let result = calls
        .run(operation, || {
            let number = made.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = answer(number);
            async move { answer }
        })
        .await;
    (made.load(Ordering::SeqCst), result)
}

/// Counts attempts at a Helm operation with a chart of a registry.
async fn helm_attempts(calls: &Calls, answer: impl Fn() -> Result<()>) -> (usize, Result<()>) {
    let made = AtomicUsize::new(0);
    let result = calls.run_helm(APPLY, Slot::Install("registry.example"), || {
        made.fetch_add(1, Ordering::SeqCst);
        std::future::ready(answer())
    });
    let result = result.await;
    (made.load(Ordering::SeqCst), result)
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_until_it_succeeds() {
    let answer = |n| if n < 3 { Err(error(ClientErrorKind::Unreachable)) } else { Ok(()) };
    assert_eq!(attempts(&calls(), READ, answer).await, (3, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_told_when_all_attempts_fail() {
    let failure = error(ClientErrorKind::Failed);
    let answer = |_| Err(failure.clone());
    assert_eq!(attempts(&calls(), READ, answer).await, (3, Err(failure.clone())));
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_not_tried_again() {
    for kind in [ClientErrorKind::NotFound, ClientErrorKind::Invalid, ClientErrorKind::Conflict] {
        assert_eq!(attempts(&calls(), READ, |_| Err(error(kind))).await, (1, Err(error(kind))));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_answer_ends_at_the_deadline() {
    let calls = Calls::new(&CallSettings { attempts: 1, ..settings() }, &helm(), Faults::none());
    let begun = Instant::now();
    let answer: Result<()> = calls.run(READ, std::future::pending).await;
    assert_eq!(answer.unwrap_err().kind, ClientErrorKind::Timeout);
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_is_waited_for() {
    let begun = Instant::now();
    let answer = |n| {
        let mut busy = error(ClientErrorKind::Failed);
        busy.retry_after = Some(Duration::from_secs(7));
        if n == 1 { Err(busy) } else { Ok(()) }
    };
    assert_eq!(attempts(&calls(), READ, answer).await, (2, Ok(())));
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_is_left_to_the_caller() {
    let mut busy = error(ClientErrorKind::Failed);
    busy.retry_after = Some(Duration::from_secs(60));
    assert_eq!(attempts(&calls(), READ, |_| Err(busy.clone())).await, (1, Err(busy.clone())));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_and_after_its_pause_one_success_closes_it() {
    let calls = calls();
    let down = |_| Err(error(ClientErrorKind::Unreachable));
    // 3 + 2 attempts reach the threshold of 5; the sixth is refused without asking.
    assert_eq!(attempts(&calls, READ, down).await.0, 3);
    let (made, refused) = attempts(&calls, READ, down).await;
    let refused = refused.unwrap_err();
    assert_eq!((made, refused.kind), (3, ClientErrorKind::CircuitOpen));
    assert!(refused.retry_after.unwrap() <= Duration::from_secs(30));
    assert!(refused.message.contains("as told"), "{}", refused.message);

    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(attempts(&calls, READ, |_| Ok(())).await, (1, Ok(())));
    assert_eq!(attempts(&calls, READ, |_| Ok(())).await, (1, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_errors_do_not_open_the_breaker() {
    let calls = calls();
    for _ in 0..20 {
        let kind = attempts(&calls, READ, |_| Err(error(ClientErrorKind::Failed))).await.1.unwrap_err().kind;
        assert_eq!(kind, ClientErrorKind::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_does_not_block_the_next_one() {
    let calls = Calls::new(
        &CallSettings { breaker_threshold: 1, attempts: 1, ..settings() },
        &helm(),
        Faults::none(),
    );
    attempts(&calls, READ, |_| Err(error(ClientErrorKind::Unreachable))).await.1.unwrap_err();
    tokio::time::advance(Duration::from_secs(31)).await;
    let probe = calls.run::<(), _, _>(READ, std::future::pending);
    assert!(timeout(Duration::from_secs(1), probe).await.is_err());
    assert_eq!(attempts(&calls, READ, |_| Ok(())).await, (1, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_helm_operation_is_tried_once_and_a_registry_that_is_down_is_left_alone_without_the_rest() {
    let calls = calls();
    let down = ClientError::new("registry", ClientErrorKind::Unreachable, "connection refused");
    for _ in 0..5 {
        assert_eq!(helm_attempts(&calls, || Err(down.clone())).await, (1, Err(down.clone())));
    }
    let (made, refused) = helm_attempts(&calls, || Ok(())).await;
    assert_eq!((made, refused.unwrap_err().kind), (0, ClientErrorKind::CircuitOpen));
    assert_eq!(attempts(&calls, READ, |_| Ok(())).await, (1, Ok(())));
    assert_eq!(calls.run_helm(APPLY, Slot::Remove, async || Ok(())).await, Ok(()));
    assert_eq!(
        calls.run_helm(APPLY, Slot::Install("other"), async || Err::<(), _>(down.clone())).await,
        Err(down)
    );
    let registry = calls.probes().into_iter().find(|probe| probe.system == "registry").unwrap();
    assert_eq!(registry.last_error.as_deref(), Some("connection refused"));
}

#[tokio::test(start_paused = true)]
async fn helm_operations_do_not_start_while_karmada_is_left_alone() {
    let calls = Calls::new(
        &CallSettings { breaker_threshold: 1, attempts: 1, ..settings() },
        &helm(),
        Faults::none(),
    );
    attempts(&calls, READ, |_| Err(error(ClientErrorKind::Unreachable))).await.1.unwrap_err();
    let (made, refused) = helm_attempts(&calls, || Ok(())).await;
    assert_eq!((made, refused.unwrap_err().system), (0, "karmada"));
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(helm_attempts(&calls, || Ok(())).await, (1, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_slot_is_not_part_of_the_deadline() {
    let calls = calls();
    let work = async || {
        tokio::time::sleep(Duration::from_secs(400)).await;
        Ok(())
    };
    let slot = Slot::Install("registry.example");
    let (first, second) = tokio::join!(calls.run_helm(APPLY, slot, work), calls.run_helm(APPLY, slot, work));
    assert_eq!((first, second), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_fault_steps_and_an_injected_failure_reaches_the_caller() {
    let injected = ClientError::new("karmada", ClientErrorKind::Failed, "as asked");
    let faults = Faults::hook(move |step| {
        (step.name == "karmada.scale" && step.phase == Phase::After)
            .then(|| FaultAction::Fail("as asked".to_owned()))
    });
    let calls = Calls::new(&settings(), &helm(), faults);
    assert_eq!(attempts(&calls, READ, |_| Ok(())).await, (1, Ok(())));
    assert_eq!(calls.faults().reached(), 0);
    assert_eq!(attempts(&calls, WRITE, |_| Ok(())).await, (1, Err(injected)));
    assert_eq!(calls.faults().reached(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_step_ends_at_the_deadline() {
    let calls = Calls::new(&settings(), &helm(), Faults::hook(|_| Some(FaultAction::Hang)));
    let (made, answer) = helm_attempts(&calls, || Ok(())).await;
    assert_eq!((made, answer.unwrap_err().kind), (0, ClientErrorKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_system_operation_and_outcome() {
    let calls = calls();
    let mut registry = Registry::default();
    calls.register(&mut registry);
    let answer = |n| if n < 3 { Err(error(ClientErrorKind::Unreachable)) } else { Ok(()) };
    attempts(&calls, READ, answer).await.1.unwrap();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let counted = |outcome: &str, n: u64| {
        format!(r#"smo_outside_calls_total{{system="karmada",operation="clusters",outcome="{outcome}"}} {n}"#)
    };
    assert!(text.contains(&counted("unreachable", 2)), "{text}");
    assert!(text.contains(&counted("ok", 1)), "{text}");
    assert!(
        text.contains(r#"smo_outside_call_duration_seconds_count{system="karmada",operation="clusters"} 3"#),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn probes_tell_the_last_success_and_forget_an_error_that_is_over() {
    let calls = calls();
    attempts(&calls, READ, |_| Err(error(ClientErrorKind::Unreachable))).await.1.unwrap_err();
    let probe = |calls: &Calls| calls.probes().into_iter().find(|p| p.system == "karmada").unwrap();
    assert_eq!(probe(&calls).last_error.as_deref(), Some("as told"));
    assert_eq!(probe(&calls).last_success, None);
    helm_attempts(&calls, || Ok(())).await.1.unwrap();
    assert_eq!(probe(&calls).last_error, None);
    assert!(probe(&calls).last_success.is_some());
}
