//! The ports over a simulated world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::state::{Mark, Release};
use super::world::{Operation, World};
use crate::clients::{
    AlertRules, BindingObservation, ChartArchive, ChartRepositories, ClientError, ClientErrorKind,
    FiringAlert, GraphRules, Inventory, Latencies, LoadedRule, Metrics, Networks, Ports, PropagationPolicies,
    PropagationSpec, Rates, ReleaseKey, ReleaseObservation, ReleaseSpec, ReleaseStatus, Releases, Rendering,
    WatchReport, WorkloadObservation, Workloads,
};
use crate::hdag::Resources;
use crate::model::{ClusterNetworks, ClusterObservation, ObjectId, RoundTripTimes, WorkloadKind, largest};

type Result<T> = std::result::Result<T, ClientError>;

/// One of the installations that share a world.
struct Tenant {
    world: World,
    installation: String,
}

pub(super) fn of(world: &World, installation: &str) -> Ports {
    let tenant = Arc::new(Tenant { world: world.clone(), installation: installation.to_owned() });
    let world = Arc::new(world.clone());
    Ports {
        inventory: world.clone(),
        workloads: world.clone(),
        releases: tenant.clone(),
        charts: world.clone(),
        propagation: world.clone(),
        rules: Some(tenant),
        metrics: Some(world.clone()),
        networks: Some(world.clone()),
        latencies: Some(world),
    }
}

/// A watch within this process is always complete and alive.
fn watched(name: &'static str) -> WatchReport {
    WatchReport {
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

    async fn largest_nodes(&self, clusters: &[String]) -> Result<BTreeMap<String, Vec<Resources>>> {
        self.call(Operation::ListNodes)?;
        let state = self.state();
        let told = clusters.iter().filter_map(|name| {
            let nodes = &state.clusters.get(name).filter(|cluster| cluster.available)?.spec.nodes;
            (!nodes.is_empty()).then(|| (name.clone(), largest(nodes.clone())))
        });
        Ok(told.collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.cluster_changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![watched("clusters")]
    }
}

#[async_trait]
impl Workloads for World {
    async fn of_release(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.call(Operation::ReadWorkloads)?;
        Ok(self.state().observe_workload(release))
    }

    async fn bindings_of(&self, objects: &[&ObjectId]) -> Result<Vec<Option<BindingObservation>>> {
        let state = self.state();
        Ok(objects.iter().map(|object| state.binding_of(object)).collect())
    }

    async fn scale(&self, namespace: &str, kind: WorkloadKind, name: &str, replicas: i64) -> Result<()> {
        self.call(Operation::Scale)?;
        let key = ReleaseKey { namespace: namespace.to_owned(), name: name.to_owned() };
        if kind != WorkloadKind::Deployment || !self.state().scale(&key, replicas) {
            let message = format!("{} {name} in namespace {namespace} does not exist", kind.as_str());
            return Err(ClientError::new("karmada", ClientErrorKind::NotFound, message));
        }
        self.workload_changed(&key, None);
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.workload_changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        let kinds = ["deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "pods"];
        kinds.into_iter().chain(["bindings", "clusterbindings"]).map(watched).collect()
    }
}

#[async_trait]
impl PropagationPolicies for World {
    async fn is_applied(&self, wanted: &PropagationSpec) -> Result<bool> {
        Ok(self.state().policies.get(&wanted.release) == Some(wanted))
    }

    async fn exist(&self, release: &ReleaseKey) -> Result<bool> {
        Ok(self.state().policies.contains_key(release))
    }

    async fn apply(&self, wanted: &PropagationSpec) -> Result<()> {
        self.call(Operation::ApplyPolicies)?;
        let ready_at = self.state().propagate(wanted);
        self.policies_changed(&wanted.release);
        self.workload_changed(&wanted.release, Some(ready_at));
        Ok(())
    }

    async fn remove(&self, release: &ReleaseKey) -> Result<()> {
        self.call(Operation::DeletePolicies)?;
        self.state().policies.remove(release);
        self.policies_changed(release);
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.policy_changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        let policies = ["propagationpolicies", "clusterpropagationpolicies"];
        ["overridepolicies", "serviceexports", "serviceimports"]
            .into_iter()
            .chain(policies)
            .map(watched)
            .collect()
    }
}

#[async_trait]
impl Releases for Tenant {
    async fn find(&self, namespace: &str, owner: &str, names: &[&str]) -> Result<Vec<ReleaseObservation>> {
        self.world.call(Operation::ListReleases)?;
        let state = self.world.state();
        let owned = state.owned_by(&self.installation, owner).filter(|key| key.namespace == namespace);
        let mut keys: BTreeSet<ReleaseKey> = owned.cloned().collect();
        let named = |name: &&str| ReleaseKey { namespace: namespace.to_owned(), name: (*name).to_owned() };
        keys.extend(names.iter().map(named));
        let releases = keys.iter().filter_map(|key| state.releases.get_key_value(key));
        Ok(releases
            .map(|(key, release)| ReleaseObservation {
                name: key.name.clone(),
                revision: release.revision,
                status: ReleaseStatus::Deployed,
                owner: self.mark(release).map(|mark| mark.owner.clone()),
                digest: release.mark.as_ref().map(|mark| mark.digest.clone()),
            })
            .collect())
    }

    async fn render(&self, release: &ReleaseSpec) -> Result<Rendering> {
        self.world.call(Operation::Render)?;
        let chart_digest = release.archive.as_ref().map(|archive| archive.digest.clone());
        Ok(Rendering { objects: self.world.state().render(release), chart_digest })
    }

    async fn apply(&self, release: &ReleaseSpec) -> Result<()> {
        self.world.call(Operation::ApplyRelease)?;
        self.refuse_foreign(&release.key, &release.owner)?;
        let ready_at = self.world.state().apply(&self.installation, release);
        self.world.record_changed(&release.key);
        self.world.workload_changed(&release.key, Some(ready_at));
        Ok(())
    }

    async fn uninstall(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        self.world.call(Operation::UninstallRelease)?;
        self.refuse_foreign(key, owner)?;
        self.world.state().put_release(key, None);
        self.world.record_changed(key);
        self.world.workload_changed(key, None);
        Ok(())
    }

    async fn adopt(&self, key: &ReleaseKey, owner: &str, digest: &str) -> Result<()> {
        self.world.call(Operation::AdoptRelease)?;
        let mut state = self.world.state();
        let Some(mut release) = state.put_release(key, None) else {
            let message = format!("there is no release {} in namespace {}", key.name, key.namespace);
            return Err(ClientError::new("helm", ClientErrorKind::NotFound, message));
        };
        release.mark = Some(Mark {
            installation: self.installation.clone(),
            owner: owner.to_owned(),
            digest: digest.to_owned(),
        });
        state.put_release(key, Some(release));
        drop(state);
        self.world.record_changed(key);
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.world.release_changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![watched("releases")]
    }
}

impl Tenant {
    /// The mark of a release, if it is this installation's.
    fn mark<'a>(&self, release: &'a Release) -> Option<&'a Mark> {
        release.mark.as_ref().filter(|mark| mark.installation == self.installation)
    }

    fn is_foreign(&self, object_name: &str) -> bool {
        let state = self.world.state();
        state.rules.get(object_name).is_some_and(|(installation, _)| *installation != self.installation)
    }

    fn refuse_foreign(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        let state = self.world.state();
        let Some(release) = state.releases.get(key) else { return Ok(()) };
        if self.mark(release).is_some_and(|mark| mark.owner == owner) {
            return Ok(());
        }
        let message = format!("release {} in namespace {} belongs to somebody else", key.name, key.namespace);
        Err(ClientError::new("helm", ClientErrorKind::Conflict, message))
    }
}

#[async_trait]
impl AlertRules for Tenant {
    async fn apply(&self, rules: &GraphRules) -> Result<()> {
        self.world.call(Operation::ApplyRules)?;
        if rules.rules.is_empty() {
            return self.delete(&rules.object_name).await;
        }
        let name = &rules.object_name;
        if self.is_foreign(name) {
            let message = format!("the rules {name} exist and belong to another installation of smo");
            return Err(ClientError::new("monitoring", ClientErrorKind::Conflict, message));
        }
        self.world.state().rules.insert(name.clone(), (self.installation.clone(), rules.clone()));
        self.world.rules_changed(name);
        Ok(())
    }

    async fn delete(&self, object_name: &str) -> Result<()> {
        self.world.call(Operation::DeleteRules)?;
        if !self.is_foreign(object_name) {
            self.world.state().delete_rules(object_name);
            self.world.rules_changed(object_name);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.world.call(Operation::ListRules)?;
        let state = self.world.state();
        let ours = state.rules.iter().filter(|(_, (installation, _))| *installation == self.installation);
        Ok(ours.map(|(name, _)| name.clone()).collect())
    }

    async fn observed(&self, object_name: &str) -> Result<Option<GraphRules>> {
        self.world.call(Operation::ListRules)?;
        let state = self.world.state();
        let found = state.rules.get(object_name);
        Ok(found.filter(|(by, _)| *by == self.installation).map(|(_, rules)| rules.clone()))
    }

    fn changes(&self) -> broadcast::Receiver<String> {
        self.world.rule_changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![watched("rules")]
    }
}

/// Repositories have every chart.
#[async_trait]
impl ChartRepositories for World {
    async fn fetch(&self, chart: &str) -> Result<ChartArchive> {
        self.call(Operation::FetchChart)?;
        let content = format!("{chart}, edition {}", self.state().edition);
        let digest = format!("sha256:{}", crate::hdag::digest(&content.clone().into()));
        Ok(ChartArchive { digest, archive: content.into() })
    }
}

#[async_trait]
impl Metrics for World {
    async fn firing_alerts(&self) -> Result<Vec<FiringAlert>> {
        self.call(Operation::FiringAlerts)?;
        let state = self.state();
        let label =
            |labels: &BTreeMap<String, String>, name: &str| labels.get(name).cloned().unwrap_or_default();
        Ok(state
            .alert_rules()
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

    async fn loaded_rules(&self) -> Result<BTreeMap<String, Vec<LoadedRule>>> {
        self.call(Operation::LoadedRules)?;
        let state = self.state();
        let mut rules = BTreeMap::<String, Vec<LoadedRule>>::new();
        for rule in state.alert_rules().filter(|rule| !state.unloaded.contains(&rule.labels["graph"])) {
            let graph = rule.labels["graph"].clone();
            let error = state.broken.get(&graph).cloned();
            rules.entry(graph).or_default().push(LoadedRule { alert: rule.alert.clone(), error });
        }
        Ok(rules)
    }

    async fn rates(&self, _query: &str, _label: &str) -> Result<Rates> {
        self.call(Operation::ListRates)?;
        Ok(Rates { labelled: self.state().rates.clone(), unlabelled: Vec::new() })
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
