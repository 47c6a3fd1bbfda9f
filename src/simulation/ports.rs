//! The ports over a simulated world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::world::{Operation, World};
use crate::clients::{
    AlertRules, ClientError, ClientErrorKind, FiringAlert, GraphRules, Inventory, Latencies, Metrics,
    Networks, Ports, ReleaseKey, ReleaseObservation, ReleaseSpec, ReleaseStatus, Releases, WatchState,
    WorkloadObservation, Workloads,
};
use crate::model::{ClusterNetworks, ClusterObservation, RoundTripTimes};

type Result<T> = std::result::Result<T, ClientError>;

pub(super) fn of(world: &World) -> Ports {
    let world = Arc::new(world.clone());
    Ports {
        inventory: world.clone(),
        workloads: world.clone(),
        releases: world.clone(),
        rules: Some(world.clone()),
        metrics: Some(world.clone()),
        networks: Some(world.clone()),
        latencies: Some(world),
    }
}

/// A watch of what is in this process is always complete and alive.
fn watched(name: &'static str) -> WatchState {
    WatchState {
        system: "simulation",
        name,
        complete: true,
        age: Duration::ZERO,
        errors: 0,
        last_error: None,
    }
}

#[async_trait]
impl Inventory for World {
    async fn clusters(&self) -> Result<Vec<ClusterObservation>> {
        self.call(Operation::ListClusters)?;
        let state = self.state();
        Ok(state.clusters.values().map(|cluster| state.observe_cluster(cluster)).collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.cluster_changes()
    }

    fn watches(&self) -> Vec<WatchState> {
        vec![watched("clusters")]
    }
}

#[async_trait]
impl Workloads for World {
    async fn of_release(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.call(Operation::ReadWorkloads)?;
        Ok(self.state().observe_workload(release))
    }

    async fn scale(&self, namespace: &str, deployment: &str, replicas: i64) -> Result<()> {
        self.call(Operation::Scale)?;
        let key = ReleaseKey { namespace: namespace.to_owned(), name: deployment.to_owned() };
        let mut state = self.state();
        let workload = state.releases.get_mut(&key).and_then(|release| release.workload.as_mut());
        let Some(workload) = workload else {
            let message = format!("Deployment {deployment} in namespace {namespace} does not exist");
            return Err(ClientError::new("karmada", ClientErrorKind::NotFound, message));
        };
        workload.replicas = replicas;
        drop(state);
        self.workload_changed(&key, None);
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.workload_changes()
    }

    fn watches(&self) -> Vec<WatchState> {
        vec![watched("workloads"), watched("bindings")]
    }
}

#[async_trait]
impl Releases for World {
    async fn list(&self, namespace: &str) -> Result<Vec<ReleaseObservation>> {
        self.call(Operation::ListReleases)?;
        let state = self.state();
        let first = ReleaseKey { namespace: namespace.to_owned(), name: String::new() };
        let releases = state.releases.range(first..).take_while(|(key, _)| key.namespace == namespace);
        Ok(releases
            .map(|(key, release)| ReleaseObservation {
                name: key.name.clone(),
                revision: release.revision,
                status: ReleaseStatus::Deployed,
                owner: release.mark.as_ref().map(|mark| mark.owner.clone()),
                digest: release.mark.as_ref().map(|mark| mark.digest.clone()),
            })
            .collect())
    }

    async fn apply(&self, release: &ReleaseSpec) -> Result<()> {
        self.call(Operation::ApplyRelease)?;
        self.refuse_foreign(&release.key, &release.owner)?;
        let ready_at = self.state().apply(release);
        self.record_changed(&release.key);
        self.workload_changed(&release.key, Some(ready_at));
        Ok(())
    }

    async fn uninstall(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        self.call(Operation::UninstallRelease)?;
        self.refuse_foreign(key, owner)?;
        self.state().releases.remove(key);
        self.record_changed(key);
        self.workload_changed(key, None);
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.release_changes()
    }

    fn watches(&self) -> Vec<WatchState> {
        vec![watched("releases")]
    }
}

impl World {
    fn refuse_foreign(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        let state = self.state();
        let Some(release) = state.releases.get(key) else { return Ok(()) };
        if release.mark.as_ref().is_some_and(|mark| mark.owner == owner) {
            return Ok(());
        }
        let message = format!("release {} in namespace {} belongs to somebody else", key.name, key.namespace);
        Err(ClientError::new("helm", ClientErrorKind::Conflict, message))
    }
}

#[async_trait]
impl AlertRules for World {
    async fn apply(&self, rules: &GraphRules) -> Result<()> {
        self.call(Operation::ApplyRules)?;
        if rules.rules.is_empty() {
            self.state().delete_rules(&rules.object_name);
        } else {
            self.state().rules.insert(rules.object_name.clone(), rules.clone());
        }
        self.rules_changed(&rules.object_name);
        Ok(())
    }

    async fn delete(&self, object_name: &str) -> Result<()> {
        self.call(Operation::DeleteRules)?;
        self.state().delete_rules(object_name);
        self.rules_changed(object_name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.call(Operation::ListRules)?;
        Ok(self.state().rules.keys().cloned().collect())
    }

    async fn observed(&self, object_name: &str) -> Result<Option<GraphRules>> {
        self.call(Operation::ListRules)?;
        Ok(self.state().rules.get(object_name).cloned())
    }

    fn changes(&self) -> broadcast::Receiver<String> {
        self.rule_changes()
    }

    fn watches(&self) -> Vec<WatchState> {
        vec![watched("rules")]
    }
}

#[async_trait]
impl Metrics for World {
    async fn firing_alerts(&self) -> Result<Vec<FiringAlert>> {
        self.call(Operation::FiringAlerts)?;
        let state = self.state();
        let label =
            |labels: &BTreeMap<String, String>, name: &str| labels.get(name).cloned().unwrap_or_default();
        let rules = state.rules.values().flat_map(|object| &object.rules);
        Ok(rules
            .map(|rule| FiringAlert {
                alert: rule.alert.clone(),
                graph: label(&rule.labels, "graph"),
                service: label(&rule.labels, "service"),
            })
            .filter(|alert| {
                state.firing.iter().any(|(graph, service)| *graph == alert.graph && *service == alert.service)
            })
            .collect())
    }

    async fn rates(&self, _query: &str) -> Result<BTreeMap<String, f64>> {
        self.call(Operation::ListRates)?;
        Ok(self.state().rates.clone())
    }
}

#[async_trait]
impl Latencies for World {
    async fn latencies(&self, clusters: &[String]) -> Result<RoundTripTimes> {
        self.call(Operation::Latencies)?;
        Ok(self.state().measured(clusters))
    }
}

#[async_trait]
impl Networks for World {
    async fn networks(&self) -> Result<BTreeMap<String, ClusterNetworks>> {
        self.call(Operation::Networks)?;
        let state = self.state();
        let networks = |spec: &super::ClusterSpec| ClusterNetworks {
            pod_cidr: spec.pod_cidr.clone(),
            service_cidr: spec.service_cidr.clone(),
        };
        Ok(state
            .clusters
            .values()
            .map(|cluster| (cluster.spec.name.clone(), networks(&cluster.spec)))
            .collect())
    }
}
