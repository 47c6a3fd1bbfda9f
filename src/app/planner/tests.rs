//! Tests of the planner alone, over the simulated continuum.

use std::sync::Arc;
use std::sync::mpsc;

use axum::{Json, Router};
use futures::FutureExt;
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::clients::Calls;
use crate::config::ExternalStrategy;
use crate::faults::Faults;
use crate::hdag::Resources;
use crate::model::now;
use crate::optimizer::ClusterAttributes;
use crate::optimizer::placement::{BuiltIn, ClusterState, ServiceDemand};
use crate::simulation::{Continuum, World};

fn planner(change: impl FnOnce(&mut Settings)) -> Planner {
    let mut settings = Settings::default();
    change(&mut settings);
    let world = World::new(Continuum::built_in().unwrap(), 1);
    let outside = Outside::new(
        world.ports(),
        Calls::new(&settings.calls, &settings.helm, Faults::none()),
        settings.stale_after,
    );
    Planner::new(&settings, outside)
}

/// One service on the only cluster.
fn problem(strategy: impl Into<placement::Strategy>) -> Problem {
    let needs = Resources { cpu_millicores: 500, ..Resources::default() };
    let cluster = ClusterState {
        name: "only".to_owned(),
        rank: 1,
        available: true,
        free: needs.times(4),
        storage_reported: false,
        gpus_counted: true,
        pods_counted: false,
        nodes: Vec::new(),
        reserved: Resources::default(),
        own: Resources::default(),
        attributes: ClusterAttributes::default(),
    };
    Problem::new("g", strategy, vec![cluster], vec![ServiceDemand::new("a", needs)])
}

fn context() -> DecisionContext {
    let services = BTreeMap::new();
    DecisionContext { project: "demo".to_owned(), at: now(), intents: Value::Null, services }
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A solve that begins, reports its stop, and continues when it is allowed to.
fn blocking() -> (impl FnOnce(&Stop) + Send + 'static, mpsc::Receiver<Stop>, mpsc::Sender<()>) {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let work = move |stop: &Stop| {
        begun.send(stop.clone()).unwrap();
        // An error means that the test is over.
        let _ = may_go_on.recv();
    };
    (work, has_begun, go_on)
}

#[tokio::test]
async fn while_one_strategy_thinks_another_decides() {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (asked.clone(), go_on.clone());
    let answer = async move || {
        tell.notify_one();
        wait.notified().await;
        Json(json!({ "assignment": { "a": "only" } }))
    };
    let url = serve(Router::new().fallback(answer)).await;
    let planner = planner(|settings| {
        let slow = ExternalStrategy::new(url, Duration::from_secs(60), BuiltIn::FirstFit);
        settings.placement.external.insert("slow".to_owned(), slow);
    });
    let context = context();
    let thinking = planner.place(problem("slow"), &context, Caller::Request);
    let meanwhile = async {
        asked.notified().await;
        let decided = planner.place(problem(BuiltIn::Cost), &context, Caller::Request).await.unwrap();
        assert_eq!(decided.record.strategy, "cost");
        go_on.notify_one();
    };
    let (decided, ()) = tokio::join!(thinking, meanwhile);
    let decided = decided.unwrap();
    assert_eq!(decided.record.strategy, "slow");
    assert_eq!(decided.plan().unwrap().assignment["a"], "only");
}

#[tokio::test]
async fn a_solve_whose_client_left_is_told_to_end_and_keeps_its_permit_until_it_has() {
    let planner = planner(|_| {});
    let (work, has_begun, go_on) = blocking();
    let mut solving = Box::pin(planner.solve(Caller::Request, work));
    assert!((&mut solving).now_or_never().is_none());
    let (stop, has_begun) =
        tokio::task::spawn_blocking(move || (has_begun.recv().unwrap(), has_begun)).await.unwrap();
    assert!(!stop.is_due());
    drop(solving);
    assert!(stop.is_due(), "nothing new begins");
    let mut next = Box::pin(planner.solve(Caller::Request, |_| ()));
    assert!((&mut next).now_or_never().is_none(), "the thread still works");
    go_on.send(()).unwrap();
    next.await.unwrap();
    drop(has_begun);
}

#[tokio::test]
async fn what_waits_for_a_client_that_left_never_begins() {
    let planner = planner(|_| {});
    let (work, has_begun, go_on) = blocking();
    let mut first = Box::pin(planner.solve(Caller::Request, work));
    assert!((&mut first).now_or_never().is_none());
    let (never, has_never_begun, _) = blocking();
    let mut waiting = Box::pin(planner.solve(Caller::Request, never));
    assert!((&mut waiting).now_or_never().is_none());
    drop(waiting);
    go_on.send(()).unwrap();
    first.await.unwrap();
    planner.solve(Caller::Request, |_| ()).await.unwrap();
    assert!(has_begun.recv().is_ok() && has_never_begun.recv().is_err());
}

#[tokio::test]
async fn more_than_may_wait_are_refused() {
    let planner = planner(|settings| settings.placement.solve_queue = 1);
    let (work, _has_begun, go_on) = blocking();
    let mut solving = Box::pin(planner.solve(Caller::Request, work));
    assert!((&mut solving).now_or_never().is_none());
    let context = context();
    let mut waiting = Box::pin(planner.place(problem(BuiltIn::FirstFit), &context, Caller::DryRun));
    assert!((&mut waiting).now_or_never().is_none());
    let refused = planner.place(problem(BuiltIn::FirstFit), &context, Caller::Request).await;
    assert!(matches!(refused, Err(Error::Busy { waiting: 1, .. })), "{refused:?}");
    go_on.send(()).unwrap();
    assert!(waiting.await.unwrap().plan().is_ok());
    solving.await.unwrap();
}

#[tokio::test]
async fn a_strategy_that_does_not_answer_is_left_alone_after_a_few_times() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let silent = async move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let url = serve(Router::new().fallback(silent)).await;
    let planner = planner(|settings| {
        settings.calls.breaker_threshold = 2;
        settings.calls.breaker_open = Duration::from_secs(3600);
        let dead = ExternalStrategy::new(url, Duration::from_millis(200), BuiltIn::MinMoves);
        settings.placement.external.insert("dead".to_owned(), dead);
    });
    let mut warnings = Vec::new();
    for _ in 0..4 {
        let decided = planner.place(problem("dead"), &context(), Caller::Request).await.unwrap();
        assert_eq!(decided.record.strategy, "min-moves");
        warnings.push(decided.plan().unwrap().warnings[0].clone());
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert!(warnings[1].contains("timed out") && warnings[3].contains("left alone"), "{warnings:?}");
}
