//! The use of the members as the server counts it, against the pods that their own API servers have.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use smo::clients::karmada::pod_request;
use smo::hdag::Resources;
use smo::model::{Desired, WorkloadKind};
use smo::store::Store;

use crate::bed::{Bed, Kind, MEMBERS};
use crate::server::Data;
use crate::wait::eventually;

const CLUSTER: Kind = ("cluster.karmada.io", "v1alpha1", "Cluster");
/// Karmada asks a member for its pods every ten seconds or so.
const REPORTED_WITHIN: Duration = Duration::from_secs(40);

/// Waits until each member's pods of the namespaces of graphs request what the server counts for them, to the
/// millicore and the byte. Intents that stand in for requests and the room kept for a CronJob are no pods, and left
/// out on both sides.
pub async fn assert_counted(bed: &Bed, data: &Data) {
    let store = Store::connect(&data.database_url).await.expect("database of the server");
    eventually("what is counted is what runs", REPORTED_WITHIN, || async {
        let (believed, namespaces) = believed(&store).await;
        for member in MEMBERS {
            let mut running = Resources::default();
            for namespace in &namespaces {
                running += requested(bed, member, Some(namespace)).await;
            }
            let believed = believed.get(member).copied().unwrap_or_default();
            if running != believed {
                return Err(format!("{member}: pods request {running:?}, the server counts {believed:?}"));
            }
        }
        Ok(())
    })
    .await;
    store.close().await;
}

/// Waits until Karmada reports for each member what its pods request: true where no pod has init containers or
/// resources of its own, which the report leaves out.
pub async fn assert_reported(bed: &Bed) {
    eventually("Karmada reports what runs", REPORTED_WITHIN, || async {
        for member in MEMBERS {
            let clusters = bed.api("karmada", CLUSTER, None).await;
            let report = clusters.get(member).await.map_err(|error| error.to_string())?.data;
            let cpu = report.pointer("/status/resourceSummary/allocated/cpu").and_then(|cpu| cpu.as_str());
            let reported = smo::hdag::millicores(cpu.unwrap_or("0")).expect("a quantity");
            let running = requested(bed, member, None).await.cpu_millicores;
            if reported != running {
                return Err(format!(
                    "{member}: pods request {running} millicores, Karmada reports {reported}"
                ));
            }
        }
        Ok(())
    })
    .await;
}

/// The sum of the requests of all workloads by cluster, and the namespaces they are in.
async fn believed(store: &Store) -> (BTreeMap<String, Resources>, Vec<String>) {
    let (mut sums, mut namespaces) = (BTreeMap::<String, Resources>::new(), Vec::new());
    for name in store.graph_names().await.expect("graphs") {
        let graph = store.graph(&name).await.expect("graph").expect("it is there");
        namespaces.push(graph.namespace.clone());
        for mut service in store.services(&name).await.expect("services") {
            service.workloads.retain(|workload| workload.kind != WorkloadKind::CronJob);
            let Some(cluster) = service.cluster.clone().filter(|_| graph.desired == Desired::Running) else {
                continue;
            };
            if service.is_due() && !service.workloads.is_empty() {
                service.needs = Resources::default();
                *sums.entry(cluster).or_default() += service.counted_use();
            }
        }
    }
    namespaces.sort();
    namespaces.dedup();
    (sums, namespaces)
}

/// Σ of what the scheduler counts for the pods that have not ended.
async fn requested(bed: &Bed, member: &str, namespace: Option<&str>) -> Resources {
    let client = bed.client(member).await;
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let listed = pods.list(&ListParams::default()).await.expect("member answers").items;
    let has_ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let specs = listed.iter().filter(|pod| !has_ended(pod)).filter_map(|pod| pod.spec.as_ref());
    let requests = specs.map(|spec| pod_request(spec).expect("quantities"));
    requests.fold(Resources::default(), |sum, request| sum + request)
}
