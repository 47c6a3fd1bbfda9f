//! Crash safety: a change that fails or is cut off at any of its numbered steps is finished by the next
//! server, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use smo::clients::{ClientError, ClientErrorKind};
use smo::config::{ScalingProfile, Settings};
use smo::faults::{FaultAction, Faults, Phase, Step};
use smo::simulation::{Operation, Snapshot, World};
use tokio::sync::Notify;

use crate::support::app::{Answer, TestApp, conditional, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    a_deployment_cut_off_at_any_step_is_finished_by_the_next_server,
    a_stop_cut_off_at_any_step_is_finished_by_the_next_server,
    a_move_cut_off_at_any_step_is_finished_by_the_next_server,
    a_scaling_cut_off_at_any_step_is_finished_by_the_next_server,
    a_delete_cut_off_at_any_step_is_finished_by_the_next_server,
    a_step_that_fails_once_is_tried_again,
    a_restarted_server_continues_a_delete,
);

fn descriptor() -> Value {
    let dependent = json!({ "deployment": { "trigger": { "auto": { "dependencies": ["a"] } } } });
    graph("g", &[service("a", json!({})), service("b", dependent), conditional("c")])
}

async fn until_ready(app: &TestApp) -> Answer {
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await
}

fn revisions(world: &World) -> [Option<i64>; 2] {
    ["a", "b"].map(|name| world.revision("demo", name))
}

/// A change of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Deployment,
    Stop,
    Move,
    Scaling,
    Delete,
}

impl Change {
    /// Leads to where the change begins.
    async fn prepare(self, app: &TestApp) {
        if self == Self::Deployment {
            return;
        }
        assert_eq!(app.post("/project/demo/graphs", &descriptor()).await.status, 200);
        let home = until_ready(app).await.body["services"][0]["cluster_affinity"].clone();
        match self {
            Self::Move => {
                app.world.set_cluster_available(home.as_str().unwrap(), false).unwrap();
                assert_eq!(app.get("/clusters").await.status, 200);
                app.until("g", "is not ready", |answer| answer.body["ready"] == false).await;
            }
            Self::Scaling => app.world.set_rate("a", 22.0),
            _ => {}
        }
        app.until_at_rest().await;
    }

    /// Asks for it.
    async fn ask(self, app: &TestApp) {
        let answer = match self {
            Self::Deployment => app.post("/project/demo/graphs", &descriptor()).await,
            Self::Stop => app.post("/graphs/g/stop", &Value::Null).await,
            Self::Move => app.post("/graphs/g/placement", &json!({})).await,
            Self::Delete => app.delete("/graphs/g").await,
            Self::Scaling => {
                app.tick(&mut app.scaler()).await;
                return;
            }
        };
        assert!(matches!(answer.status, 200 | 202), "{self:?}: {} {:#}", answer.status, answer.body);
    }

    /// Waits until it is done, and checks that it was done once.
    async fn assert_done(self, app: &TestApp) {
        let world = &app.world;
        match self {
            Self::Deployment => {
                until_ready(app).await;
                assert_eq!(revisions(world), [Some(1), Some(1)]);
            }
            Self::Stop => {
                app.until("g", "is stopped", |answer| answer.body["status"] == "Stopped").await;
                app.until("g", "is removed", |_| world.snapshot() == Snapshot::default()).await;
                assert_eq!(world.calls(Operation::ApplyRelease), 2, "nothing is installed again");
            }
            Self::Move => {
                until_ready(app).await;
                assert_eq!(revisions(world), [Some(2), Some(2)]);
            }
            Self::Scaling => {
                let three = json!({ "wanted": 3, "ready": 3 });
                app.until("g", "is scaled", |answer| answer.body["services"][0]["replicas"] == three).await;
                assert_eq!((revisions(world), world.calls(Operation::Scale)), ([Some(1), Some(1)], 1));
            }
            Self::Delete => {
                app.until("g", "is gone", |answer| answer.status == 404).await;
                assert_eq!(world.snapshot(), Snapshot::default());
                assert_eq!(world.calls(Operation::ApplyRelease), 2, "nothing is installed again");
            }
        }
    }
}

/// The commits by which changes are recorded.
const INTENTS: [&str; 4] = ["create", "desire", "placement", "scaling"];

/// Steps of a server that end as if its process had died: from one on nothing moves any more.
struct Cut {
    /// Only the steps of the change count.
    armed: AtomicBool,
    reached: AtomicU64,
    /// The change is in the database: nobody has to ask for it again.
    recorded: AtomicBool,
    died: Notify,
}

impl Cut {
    fn at(step: u64) -> (Arc<Self>, Faults) {
        let cut = Arc::new(Self {
            armed: AtomicBool::new(false),
            reached: AtomicU64::new(0),
            recorded: AtomicBool::new(false),
            died: Notify::new(),
        });
        let hook = Arc::clone(&cut);
        (cut, Faults::hook(move |at| hook.reach(at, step)))
    }

    fn reach(&self, at: &Step, step: u64) -> Option<FaultAction> {
        if !self.armed.load(Ordering::SeqCst) {
            return None;
        }
        let number = self.reached.fetch_add(1, Ordering::SeqCst) + 1;
        let is_intent = at.name.strip_prefix("store.commit ").is_some_and(|label| INTENTS.contains(&label));
        if is_intent && at.phase == Phase::After {
            self.recorded.store(true, Ordering::SeqCst);
        }
        (number >= step).then(|| {
            self.died.notify_one();
            FaultAction::Hang
        })
    }
}

fn settings(settings: &mut Settings) {
    settings.reconcile.shutdown_grace = std::time::Duration::ZERO;
    settings.scaling.enabled = true;
    settings.scaling.interval = std::time::Duration::from_secs(3600);
    let profile = ScalingProfile::read(&json!({ "alpha": 10.0, "max": 4 })).unwrap();
    settings.scaling.profiles.insert("a".to_owned(), profile);
}

/// Cuts servers off at each step of a change in turn until it has no more; at least `least` are reached.
async fn cut_at_every_step(database: &TestDatabase, change: Change, least: u64) {
    for step in 1.. {
        let (world, (cut, faults)) = (world(), Cut::at(step));
        let first = TestApp::start_with(database, world.clone(), faults, settings).await;
        change.prepare(&first).await;
        cut.armed.store(true, Ordering::SeqCst);
        let whole = async {
            change.ask(&first).await;
            change.assert_done(&first).await;
        };
        let died = tokio::select! {
            biased;
            () = cut.died.notified() => true,
            () = whole => false,
        };
        first.shutdown().await;
        let second = TestApp::start_with(database, world.clone(), Faults::none(), settings).await;
        if !cut.recorded.load(Ordering::SeqCst) {
            // Its client got no answer.
            change.ask(&second).await;
        }
        change.assert_done(&second).await;
        if change != Change::Delete {
            assert_eq!(second.delete("/graphs/g").await.status, 200, "{change:?}, step {step}");
        }
        assert_eq!(world.snapshot(), Snapshot::default(), "{change:?}, step {step}");
        second.shutdown().await;
        if !died {
            assert!(step > least, "only {} steps of {change:?} were reached", step - 1);
            return;
        }
    }
}

async fn a_deployment_cut_off_at_any_step_is_finished_by_the_next_server(database: TestDatabase) {
    cut_at_every_step(&database, Change::Deployment, 8).await;
}

async fn a_stop_cut_off_at_any_step_is_finished_by_the_next_server(database: TestDatabase) {
    cut_at_every_step(&database, Change::Stop, 8).await;
}

async fn a_move_cut_off_at_any_step_is_finished_by_the_next_server(database: TestDatabase) {
    cut_at_every_step(&database, Change::Move, 6).await;
}

async fn a_scaling_cut_off_at_any_step_is_finished_by_the_next_server(database: TestDatabase) {
    cut_at_every_step(&database, Change::Scaling, 4).await;
}

async fn a_delete_cut_off_at_any_step_is_finished_by_the_next_server(database: TestDatabase) {
    cut_at_every_step(&database, Change::Delete, 8).await;
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
        Change::Deployment.ask(&app).await;
        Change::Deployment.assert_done(&app).await;
        assert_eq!(app.delete("/graphs/g").await.status, 200, "step {step}");
        assert_eq!(world.snapshot(), Snapshot::default(), "step {step}");
        app.shutdown().await;
    }
}

async fn a_restarted_server_continues_a_delete(database: TestDatabase) {
    let world = world();
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    assert_eq!(app.post("/project/demo/graphs", &descriptor()).await.status, 200);
    let down = ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    world.fail_next(Operation::UninstallRelease, down, usize::MAX);
    let request = axum::http::Request::delete("/graphs/g").header("prefer", "respond-async");
    let answer = app.call(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("Deleting")), "{:#}", answer.body);
    app.shutdown().await;
    let up = ClientError::new("karmada", ClientErrorKind::Unreachable, "unused");
    world.fail_next(Operation::UninstallRelease, up, 0);
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    app.until("g", "is gone", |answer| answer.status == 404).await;
    assert_eq!(world.snapshot(), Snapshot::default());
    app.shutdown().await;
}
