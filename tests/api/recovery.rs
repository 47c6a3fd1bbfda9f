//! Crash safety: a deployment that fails or is cut off at any of its numbered steps is finished by the next
//! server, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use smo::clients::{ClientError, ClientErrorKind};
use smo::faults::{FaultAction, Faults};
use smo::simulation::{Snapshot, World};

use crate::support::app::{TestApp, conditional, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    a_server_cut_off_at_any_step_leaves_work_that_the_next_one_finishes,
    a_step_that_fails_once_is_tried_again,
    a_restarted_server_continues_a_delete,
);

fn descriptor() -> Value {
    let dependent = json!({ "deployment": { "trigger": { "auto": { "dependencies": ["a"] } } } });
    graph("g", &[service("a", json!({})), service("b", dependent), conditional("c")])
}

async fn assert_finishes(app: &TestApp, world: &World, step: u64) {
    let posted = app.post("/project/demo/graphs", &descriptor()).await;
    assert!(matches!(posted.status, 200 | 202), "step {step}: {:#}", posted.body);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    assert_eq!((world.revision("demo", "a"), world.revision("demo", "b")), (Some(1), Some(1)), "step {step}");
    assert_eq!(app.delete("/graphs/g").await.status, 200, "step {step}");
    assert_eq!(world.snapshot(), Snapshot::default(), "step {step}");
}

async fn a_server_cut_off_at_any_step_leaves_work_that_the_next_one_finishes(database: TestDatabase) {
    for step in 1.. {
        let (world, reached) = (world(), Arc::new(AtomicU64::new(0)));
        let seen = Arc::clone(&reached);
        // From this step on nothing moves any more, as if the process were dead.
        let faults = Faults::hook(move |at| {
            seen.fetch_max(at.number, Ordering::SeqCst);
            (at.number >= step).then_some(FaultAction::Hang)
        });
        let short = |settings: &mut smo::config::Settings| {
            settings.wait = std::time::Duration::from_millis(300);
            settings.reconcile.shutdown_grace = std::time::Duration::ZERO;
        };
        let first = TestApp::start_with(&database, world.clone(), faults, short).await;
        let body = descriptor();
        let post = first.post("/project/demo/graphs", &body);
        let answered = tokio::time::timeout(std::time::Duration::from_millis(400), post).await.is_ok();
        first.shutdown().await;
        let second = TestApp::start_in(&database, world.clone(), Faults::none()).await;
        assert_finishes(&second, &world, step).await;
        second.shutdown().await;
        if answered && reached.load(Ordering::SeqCst) < step {
            assert!(step > 8, "only {step} steps were reached");
            return;
        }
    }
}

async fn a_step_that_fails_once_is_tried_again(database: TestDatabase) {
    for step in 1..=12 {
        let world = world();
        let faults = Faults::hook(move |at| {
            (at.number == step).then(|| FaultAction::Fail("connection refused".to_owned()))
        });
        let app = TestApp::start_in(&database, world.clone(), faults).await;
        let first = app.post("/project/demo/graphs", &descriptor()).await;
        // The commit of the request itself may be the step that fails: then the client is told, and posts
        // again.
        assert!(matches!(first.status, 200 | 202 | 503), "step {step}: {:#}", first.body);
        assert_finishes(&app, &world, step).await;
        app.shutdown().await;
    }
}

async fn a_restarted_server_continues_a_delete(database: TestDatabase) {
    let world = world();
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    assert_eq!(app.post("/project/demo/graphs", &descriptor()).await.status, 200);
    let down = ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    world.fail_next(smo::simulation::Operation::UninstallRelease, down, usize::MAX);
    let request = axum::http::Request::delete("/graphs/g").header("prefer", "respond-async");
    let answer = app.call(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("Deleting")), "{:#}", answer.body);
    app.shutdown().await;
    let up = ClientError::new("karmada", ClientErrorKind::Unreachable, "unused");
    world.fail_next(smo::simulation::Operation::UninstallRelease, up, 0);
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    app.until("g", "is gone", |answer| answer.status == 404).await;
    assert_eq!(world.snapshot(), Snapshot::default());
    app.shutdown().await;
}
