//! Crash safety: SIGKILL at numbered steps of a deployment, restart, and everything runs exactly once.

use std::time::Duration;

use crate::bed::Bed;
use crate::brussels::brussels;
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;

/// How many kills: one at each of the first steps of a deployment with its alert.
const KILLS: u64 = 20;
const SERVICES: [&str; 3] = ["image-compression-vo", "noise-reduction", "image-detection"];
const ALERT: &str =
    r#"{"version": "4", "alerts": [{"status": "firing", "labels": {"service": "image-compression-vo"}}]}"#;

#[tokio::test]
async fn a_server_killed_at_any_step_of_a_deployment_finishes_it_after_a_restart() {
    let bed = Bed::take().await;
    let before = Inventory::take(&bed).await;
    let mut points = Vec::new();
    for step in 1..=KILLS {
        let data = Data::new().await;
        let point = deploy_with_kill(&bed, &data, step).await;
        println!("kill {step:2}: {point}");
        points.push(point);
        before.assert_restored(&bed).await;
    }
    let killed = points.iter().filter(|point| point.starts_with("kill point")).count() as u64;
    println!("{killed} kills at distinct steps; all services ran, no release twice, nothing left behind");
    assert_eq!(killed, KILLS, "every step is reached: {points:#?}");
}

/// Deploys Brussels with a server that kills itself at the step; restarts; checks; deletes. Gives the kill
/// point.
async fn deploy_with_kill(bed: &Bed, data: &Data, step: u64) -> String {
    let environment = vec![("SMO_KILL_AT_STEP".to_owned(), step.to_string())];
    let mut first = Server::spawn(bed, data, &Options { port: None, environment });
    let body = brussels(bed).await.to_string();
    let posted = async {
        eventually("smo listens", Duration::from_secs(20), || listens(&first.url)).await;
        first.try_post("/project/brussels/graphs", "application/json", body.clone()).await;
        first.try_post("/alerts", "application/json", ALERT.to_owned()).await;
    };
    drop(tokio::time::timeout(Duration::from_secs(15), posted).await);
    if !first.died(Duration::from_secs(10)).await {
        first.kill().await;
    }

    let second = Server::start(bed, data, &Options::default()).await;
    // A kill before the graph was recorded lost the request, and its client knows: it posts again.
    let (status, graph) = second.post("/project/brussels/graphs", "application/json", body).await;
    assert_eq!(status, 200, "after step {step}: {graph:#}");
    let (status, _) = second.post("/alerts", "application/json", ALERT.to_owned()).await;
    assert_eq!(status, 200);
    second
        .until("brussels-demo", "runs", |_, graph| {
            SERVICES.iter().all(|name| service(graph, name)["ready"] == true)
        })
        .await;
    assert_one_release_each(bed).await;
    second.delete_graph("brussels-demo").await;
    let log = std::fs::read_to_string(data.folder.path().join("smo.log")).expect("log");
    let point = log.lines().find(|line| line.contains("kill point")).unwrap_or("no such step");
    point.to_owned()
}

async fn listens(url: &str) -> Result<(), String> {
    let address = url.trim_start_matches("http://");
    tokio::net::TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
}

/// Helm's storage has one deployed revision of each release and nothing pending.
async fn assert_one_release_each(bed: &Bed) {
    let secrets = bed.names("karmada", ("", "v1", "Secret"), Some("brussels")).await;
    for name in SERVICES {
        let prefix = format!("brussels/sh.helm.release.v1.{name}.");
        let revisions: Vec<_> = secrets.iter().filter(|secret| secret.starts_with(&prefix)).collect();
        assert_eq!(revisions.len(), 1, "one revision of {name}: {secrets:?}");
    }
}
