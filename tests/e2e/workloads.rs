//! Where workloads run, asked of Karmada and of the members themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, Kind, MEMBERS};
use crate::wait::eventually;

const DEPLOYMENT: Kind = ("apps", "v1", "Deployment");
const BINDING: Kind = ("work.karmada.io", "v1alpha2", "ResourceBinding");

/// Waits until a Deployment has a ready replica in a member.
pub async fn assert_runs_in(bed: &Bed, cluster: &str, namespace: &str, name: &str) {
    eventually(&format!("{name} runs in {cluster}"), Duration::from_secs(10), || async {
        match bed.ready_replicas(cluster, namespace, name).await {
            Some(ready) if ready >= 1 => Ok(()),
            other => Err(format!("ready replicas: {other:?}")),
        }
    })
    .await;
}

/// Waits until Karmada shows a Deployment scheduled to one cluster only and healthy there, and it is in no
/// other member.
pub async fn assert_runs_only_in(bed: &Bed, cluster: &str, namespace: &str, name: &str) {
    assert_runs_in(bed, cluster, namespace, name).await;
    let bindings = bed.api("karmada", BINDING, Some(namespace)).await;
    eventually(&format!("{name} is in {cluster} only"), Duration::from_secs(20), || async {
        let binding = bindings.get(&format!("{name}-deployment")).await.map_err(|error| error.to_string())?;
        if !is_healthy_only_in(&binding.data, cluster) {
            return Err(format!("{:#}", binding.data));
        }
        for other in MEMBERS.into_iter().filter(|member| *member != cluster) {
            if bed.ready_replicas(other, namespace, name).await.is_some() {
                return Err(format!("it is in {other} too"));
            }
        }
        Ok(())
    })
    .await;
}

fn is_healthy_only_in(binding: &Value, cluster: &str) -> bool {
    let list =
        |pointer: &str| binding.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let clusters = list("/spec/clusters");
    let applied =
        list("/status/conditions").iter().any(|c| c["type"] == "FullyApplied" && c["status"] == "True");
    let status = list("/status/aggregatedStatus");
    let healthy = status.iter().any(|item| item["clusterName"] == cluster && item["health"] == "Healthy");
    clusters.len() == 1 && clusters[0]["name"] == cluster && applied && healthy
}

/// The revisions of all releases in a namespace, as `release.vN`.
pub async fn revisions(bed: &Bed, namespace: &str) -> BTreeSet<String> {
    let secrets = bed.names("karmada", ("", "v1", "Secret"), Some(namespace)).await;
    let prefix = format!("{namespace}/sh.helm.release.v1.");
    secrets.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// Waits until a Deployment has exactly so many replicas, all ready, in Karmada and in its member.
pub async fn assert_replicas(bed: &Bed, cluster: &str, namespace: &str, name: &str, replicas: i32) {
    let deployments = bed.api("karmada", DEPLOYMENT, Some(namespace)).await;
    eventually(&format!("{name} has {replicas} ready replicas"), Duration::from_secs(40), || async {
        let deployment = deployments.get(name).await.map_err(|error| error.to_string())?.data;
        let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_i64);
        let wanted = number("/spec/replicas");
        let seen = (number("/status/readyReplicas"), bed.ready_replicas(cluster, namespace, name).await);
        let all = (Some(replicas.into()), Some(replicas));
        let is = wanted == Some(replicas.into()) && seen == all;
        if is {
            Ok(())
        } else {
            Err(format!("wanted {wanted:?}, ready in Karmada and in {cluster} {seen:?}"))
        }
    })
    .await;
}
