//! Decisions count the requests of a chart, workload by workload.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::belief::assert_counted;
use crate::charts::push_own;
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};
use crate::workloads::assert_replicas;

/// The millicores of a replica, the replicas, and the millicores beside them that a placement decision counts for a
/// service.
async fn counted(server: &Server, graph: &str, name: &str) -> (i64, i64, i64) {
    let (status, plan) = server.trigger(&format!("/graphs/{graph}/placement?dry_run=true")).await;
    assert_eq!((status, &plan["moves"]), (200, &json!([])), "{plan:#}");
    let id = plan["plan_id"].as_str().expect("a plan has an id");
    let (_, decision) = server.get(&format!("/graphs/{graph}/decisions/{id}")).await;
    let services = decision["problem"]["services"].as_array().expect("services");
    let found = services.iter().find(|service| service["name"] == name).expect("the service");
    let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("{found:#}"));
    let beside = found.get("fixed_needs").map_or(0, |fixed| number(&fixed["cpu_millicores"]));
    (number(&found["needs"]["cpu_millicores"]), number(&found["replicas"]["min"]), beside)
}

/// Scales the Deployment that the descriptor names: 25 requests/s need three replicas of 10.
const SCALED: &str = "several-deployments";

#[tokio::test]
async fn several_deployments_and_sidecars_count_what_the_scheduler_counts() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let variables =
        [("SMO_WAIT", "60"), ("SMO_SETTLE", "1s"), ("SCALING_ENABLED", "true"), ("SCALING_INTERVAL", "1")];
    let mut environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    // Rates are taken over four scrapes.
    environment.push(data.config("scaling: {scrape_interval: 2s}"));
    let server = Server::start(&bed, &data, &Options { port: None, environment }).await;
    let mut services = Vec::new();
    for chart in [SCALED, "sidecar"] {
        services.push(json!({
            "id": chart,
            "deployment": {
                "trigger": { "auto": { "dependencies": [] } },
                "intent": { "compute": { "cpu": "light", "ram": "light" } },
            },
            "artifact": { "ociImage": push_own(&bed, chart).await },
        }));
    }
    services[0]["smo"] = json!({ "scaling": { "alpha": 10, "max": 4, "workload": format!("{SCALED}-web") } });
    let graph = json!({ "hdaGraph": { "id": "counted", "services": services } });
    let (status, answer) =
        server.post("/project/counted/graphs", "application/json", graph.to_string()).await;
    assert_eq!(status, 200, "{answer:#}");
    let ready = server.until_ready("counted").await;

    assert_counted(&bed, &data).await;

    // 2 × 0.5 + 0.75 cores, in three Deployments of four replicas together.
    assert_eq!(service(&ready, SCALED)["replicas"], json!({ "wanted": 4, "ready": 4 }));
    assert_eq!(counted(&server, "counted", SCALED).await, (500, 2, 750));
    // 0.5 cores and a sidecar of 0.25, more than the init container of 0.6 needs before them.
    assert_eq!(counted(&server, "counted", "sidecar").await, (750, 1, 0));

    bed.set_rate(SCALED, 22.0).await;
    assert_replicas(&bed, "member1", "counted", &format!("{SCALED}-web"), 3).await;
    assert_replicas(&bed, "member1", "counted", &format!("{SCALED}-worker"), 1).await;
    server.until_ready("counted").await;
    assert_counted(&bed, &data).await;
    assert_eq!(counted(&server, "counted", SCALED).await, (500, 3, 750));
    bed.remove_rate(SCALED).await;
    server.delete_graph("counted").await;
    before.assert_restored(&bed).await;
}
