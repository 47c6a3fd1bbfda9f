//! The state of a simulated world and its transitions: scheduling, readiness, capacity. Knows no locks and no
//! ports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::Instant;

use super::continuum::{ClusterSpec, Continuum, MeasuredLatency};
use crate::clients::{
    AlertRule, BindingObservation, GraphRules, MemberStatus, PropagationSpec, ReleaseKey, ReleaseSpec,
    WorkloadObservation,
};
use crate::hdag::{self, ChartSource, Dimension, Resources};
use crate::model::{
    ClusterObservation, ManifestObject, ObjectId, RoundTripTimes, ServicePort, WorkloadKind, WorkloadUse,
};

/// Label that marks a cluster as having GPUs, as it is called where no setting says otherwise.
const GPU_LABEL: &str = "acceleration";

/// Everything there is.
pub(super) struct State {
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) releases: BTreeMap<ReleaseKey, Release>,
    /// Releases by the installation and the graph that own them.
    owned: HashMap<(String, String), BTreeSet<ReleaseKey>>,
    /// The workloads scheduled to each cluster, whether they fit or not.
    scheduled: HashMap<String, Scheduled>,
    /// How releases are propagated whose charts bring no policies.
    pub(super) policies: BTreeMap<ReleaseKey, PropagationSpec>,
    /// By name, with the installation that made them.
    pub(super) rules: BTreeMap<String, (String, GraphRules)>,
    /// How often the archives of the chart repositories have been replaced by others.
    pub(super) edition: u64,
    /// Graphs whose rules Prometheus does not load.
    pub(super) unloaded: BTreeSet<String>,
    /// Graphs whose rules Prometheus cannot evaluate, with the error.
    pub(super) broken: BTreeMap<String, String>,
    /// Graph and service of the alerts that fire.
    pub(super) firing: Vec<(String, String)>,
    /// Load by service, as Prometheus would report it.
    pub(super) rates: BTreeMap<String, f64>,
    latencies: Vec<MeasuredLatency>,
    ready_delay: Duration,
    charts: BTreeMap<String, Resources>,
    plain_charts: BTreeSet<String>,
    default_requests: Resources,
    chance: StdRng,
}

pub(super) struct Cluster {
    pub(super) spec: ClusterSpec,
    pub(super) available: bool,
}

pub(super) struct Release {
    pub(super) revision: i64,
    /// `None` for a foreign release.
    pub(super) mark: Option<Mark>,
    pub(super) workload: Option<Workload>,
}

pub(super) struct Mark {
    pub(super) installation: String,
    pub(super) owner: String,
    pub(super) digest: String,
}

impl Mark {
    fn owner_key(&self) -> (String, String) {
        (self.installation.clone(), self.owner.clone())
    }
}

impl Release {
    /// The clusters that it is scheduled to, with its workload.
    fn places(&self) -> impl Iterator<Item = (&String, &Workload)> {
        self.workload
            .iter()
            .flat_map(|workload| workload.places.keys().map(move |cluster| (cluster, workload)))
    }
}

/// A Deployment and the clusters it is scheduled to, with the time from which its pods are ready there.
pub(super) struct Workload {
    pub(super) replicas: i64,
    pub(super) requests: Resources,
    pub(super) places: BTreeMap<String, Instant>,
}

/// The workloads of a cluster.
#[derive(Default)]
struct Scheduled {
    releases: BTreeSet<ReleaseKey>,
    /// Requests of all their replicas together.
    requests: Resources,
}

impl State {
    pub(super) fn new(continuum: Continuum, seed: u64) -> Self {
        let cluster = |spec: ClusterSpec| (spec.name.clone(), Cluster { spec, available: true });
        Self {
            clusters: continuum.clusters.into_iter().map(cluster).collect(),
            releases: BTreeMap::new(),
            owned: HashMap::new(),
            scheduled: HashMap::new(),
            policies: BTreeMap::new(),
            rules: BTreeMap::new(),
            edition: 0,
            unloaded: BTreeSet::new(),
            broken: BTreeMap::new(),
            firing: Vec::new(),
            rates: BTreeMap::new(),
            latencies: continuum.latencies,
            ready_delay: continuum.ready_delay,
            charts: continuum.charts,
            plain_charts: continuum.plain_charts,
            default_requests: continuum.default_requests,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    /// Installs or upgrades; returns the time at which the last of its pods will be ready.
    pub(super) fn apply(&mut self, installation: &str, spec: &ReleaseSpec) -> Instant {
        let wanted = match self.policies.get(&spec.key) {
            Some(policies) => vec![policies.cluster.clone()],
            None if self.is_plain(&spec.chart) => Vec::new(),
            None => self.wanted_clusters(&spec.values),
        };
        let delay = self.ready_delay.mul_f64(1.0 + self.chance.random_range(0.0..0.25));
        let requests = self.requests_of(spec);
        let replicas = replicas(&spec.values);
        let old = self.put_release(&spec.key, None);
        let kept = old.as_ref().and_then(|old| old.workload.as_ref()).map(|workload| workload.places.clone());
        let ready_at = Instant::now() + delay;
        let place = |cluster: String| {
            let since = kept.as_ref().and_then(|places| places.get(&cluster)).copied().unwrap_or(ready_at);
            (cluster, since)
        };
        let release = Release {
            revision: old.map_or(1, |old| old.revision + 1),
            mark: Some(Mark {
                installation: installation.to_owned(),
                owner: spec.owner.clone(),
                digest: spec.digest.clone(),
            }),
            workload: Some(Workload { replicas, requests, places: wanted.into_iter().map(place).collect() }),
        };
        self.put_release(&spec.key, Some(release));
        ready_at
    }

    fn is_plain(&self, chart: &str) -> bool {
        self.plain_charts.contains(&chart_name(chart))
    }

    fn requests_of(&self, spec: &ReleaseSpec) -> Resources {
        let listed = self.charts.get(&chart_name(&spec.chart)).copied();
        requests(&spec.values).or(listed).unwrap_or(self.default_requests)
    }

    /// The objects of every chart: a Deployment and a Service of the release's name.
    pub(super) fn render(&self, spec: &ReleaseSpec) -> Vec<ManifestObject> {
        let object = |api_version: &str, kind: &str| {
            let ReleaseKey { namespace, name } = spec.key.clone();
            let id = ObjectId {
                api_version: api_version.into(),
                kind: kind.into(),
                namespace: Some(namespace),
                name,
            };
            ManifestObject { id, selected: !self.is_plain(&spec.chart), ..ManifestObject::default() }
        };
        let (requests, name) = (self.requests_of(spec), spec.key.name.clone());
        let (replicas, reported) = (replicas(&spec.values), requests);
        let workload = WorkloadUse { name, requests, reported, replicas, ..WorkloadUse::default() };
        let port = ServicePort { name: None, port: 80, protocol: "TCP".into(), app_protocol: None };
        vec![
            ManifestObject { workload: Some(workload), ..object("apps/v1", "Deployment") },
            ManifestObject { ports: vec![port], ..object("v1", "Service") },
        ]
    }

    /// Propagates a release as wanted; returns the time at which its pods are ready there.
    pub(super) fn propagate(&mut self, wanted: &PropagationSpec) -> Instant {
        self.policies.insert(wanted.release.clone(), wanted.clone());
        let delay = self.ready_delay.mul_f64(1.0 + self.chance.random_range(0.0..0.25));
        let ready_at = Instant::now() + delay;
        let release = self.put_release(&wanted.release, None);
        if let Some(mut release) = release {
            if let Some(workload) = &mut release.workload {
                let since = workload.places.get(&wanted.cluster).copied().unwrap_or(ready_at);
                workload.places = BTreeMap::from([(wanted.cluster.clone(), since)]);
            }
            self.put_release(&wanted.release, Some(release));
        }
        ready_at
    }

    /// All alert rules.
    pub(super) fn alert_rules(&self) -> impl Iterator<Item = &AlertRule> {
        self.rules.values().flat_map(|(_, object)| &object.rules)
    }

    /// Removes a rules object. Its alerts end with it.
    pub(super) fn delete_rules(&mut self, object_name: &str) {
        let gone = self.rules.remove(object_name);
        for rule in gone.iter().flat_map(|(_, object)| &object.rules) {
            let graph = rule.labels.get("graph");
            self.firing.retain(|(firing, _)| Some(firing) != graph);
        }
    }

    /// Replaces or removes the release of a key; returns the old one.
    pub(super) fn put_release(&mut self, key: &ReleaseKey, release: Option<Release>) -> Option<Release> {
        let old = self.releases.remove(key);
        if let Some(old) = &old {
            self.forget(key, old);
        }
        if let Some(release) = release {
            self.index(key, &release);
            self.releases.insert(key.clone(), release);
        }
        old
    }

    fn index(&mut self, key: &ReleaseKey, release: &Release) {
        if let Some(mark) = &release.mark {
            self.owned.entry(mark.owner_key()).or_default().insert(key.clone());
        }
        for (cluster, workload) in release.places() {
            let there = self.scheduled.entry(cluster.clone()).or_default();
            there.releases.insert(key.clone());
            there.requests += workload.requests.times(workload.replicas);
        }
    }

    fn forget(&mut self, key: &ReleaseKey, release: &Release) {
        if let Some(owner) = release.mark.as_ref().map(Mark::owner_key)
            && let Some(owned) = self.owned.get_mut(&owner)
        {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(&owner);
            }
        }
        for (cluster, workload) in release.places() {
            if let Some(there) = self.scheduled.get_mut(cluster) {
                there.releases.remove(key);
                there.requests = there.requests.minus_clamped(workload.requests.times(workload.replicas));
            }
        }
    }

    /// Sets the replicas of a release's workload; false when it has none.
    pub(super) fn scale(&mut self, key: &ReleaseKey, replicas: i64) -> bool {
        let Some(mut release) = self.put_release(key, None) else { return false };
        let workload = release.workload.as_mut().map(|workload| workload.replicas = replicas);
        self.put_release(key, Some(release));
        workload.is_some()
    }

    /// The releases that a graph of an installation owns.
    pub(super) fn owned_by(&self, installation: &str, owner: &str) -> impl Iterator<Item = &ReleaseKey> {
        self.owned.get(&(installation.to_owned(), owner.to_owned())).into_iter().flatten()
    }

    /// The clusters that the values name; without any, the chart decides: the first one that is available.
    fn wanted_clusters(&self, values: &Value) -> Vec<String> {
        let named =
            values.get("clustersAffinity").or_else(|| values.pointer("/voChartOverwrite/clustersAffinity"));
        let named = named
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
        let first =
            || self.clusters.iter().find(|(_, cluster)| cluster.available).map(|(name, _)| name.clone());
        named.unwrap_or_else(|| first().into_iter().collect())
    }

    pub(super) fn observe_cluster(&self, cluster: &Cluster) -> ClusterObservation {
        let spec = &cluster.spec;
        ClusterObservation {
            name: spec.name.clone(),
            available: cluster.available,
            reason: (!cluster.available).then(|| "ClusterNotReachable: taken down".to_owned()),
            allocatable: spec.allocatable,
            allocated: self.allocated(spec),
            allocating: self.requested_on(&spec.name).minus_clamped(self.allocated(spec)),
            readable: true,
            storage_reported: true,
            acceleration: spec.allocatable.gpus > 0
                || spec.labels.get(GPU_LABEL).is_some_and(|value| value != "false"),
            location: spec.location.clone(),
            region: spec.region.clone(),
            labels: spec.labels.clone(),
        }
    }

    /// Round-trip times between available clusters, as far as one of these measures them.
    pub(super) fn measured(&self, clusters: &[String]) -> RoundTripTimes {
        let up = |name: &String| self.clusters.get(name).is_some_and(|cluster| cluster.available);
        let measured = self.latencies.iter().filter(|latency| {
            let [one, other] = &latency.between;
            up(one) && up(other) && (clusters.contains(one) || clusters.contains(other))
        });
        let mut times = RoundTripTimes::new();
        for MeasuredLatency { between: [one, other], ms } in measured.filter(|latency| latency.ms > 0.0) {
            times.insert((one.min(other).clone(), one.max(other).clone()), *ms);
        }
        times
    }

    pub(super) fn observe_workload(&self, key: &ReleaseKey) -> Vec<WorkloadObservation> {
        let workload = self.releases.get(key).and_then(|release| release.workload.as_ref());
        workload
            .map(|workload| WorkloadObservation {
                kind: WorkloadKind::Deployment,
                name: key.name.clone(),
                replicas: workload.replicas,
                requests: workload.requests,
                reported: workload.requests,
                failure: None,
                binding: self.observe_binding(key, workload),
            })
            .into_iter()
            .collect()
    }

    /// The binding of any object of a release: they go where its workload goes.
    pub(super) fn binding_of(&self, object: &ObjectId) -> Option<BindingObservation> {
        let namespace = object.namespace.clone()?;
        let key = ReleaseKey { namespace, name: object.name.clone() };
        self.observe_binding(&key, self.releases.get(&key)?.workload.as_ref()?)
    }

    /// `None` for what no policy selects.
    fn observe_binding(&self, key: &ReleaseKey, workload: &Workload) -> Option<BindingObservation> {
        (!workload.places.is_empty()).then(|| self.binding(key, workload))
    }

    fn binding(&self, key: &ReleaseKey, workload: &Workload) -> BindingObservation {
        let known = |name: &&String| self.clusters.contains_key(*name);
        let scheduled: BTreeMap<String, i64> =
            workload.places.keys().filter(known).map(|name| (name.clone(), workload.replicas)).collect();
        let status = |(name, ready_at): (&String, &Instant)| {
            let running = self.running(key, workload, name, *ready_at);
            let status = MemberStatus {
                applied: true,
                healthy: running == workload.replicas,
                ready_replicas: running,
                message: None,
            };
            (name.clone(), status)
        };
        BindingObservation {
            unscheduled_reason: scheduled.is_empty().then(|| "no cluster fits the policy".to_owned()),
            fully_applied: !scheduled.is_empty(),
            clusters: workload.places.iter().filter(|(name, _)| known(name)).map(status).collect(),
            scheduled,
            policy: None,
            managed: self.policies.contains_key(key).then(|| key.clone()),
            up_to_date: true,
        }
    }

    /// Running replicas: none before `ready_at`, and no more than fit after the preceding releases.
    fn running(&self, key: &ReleaseKey, workload: &Workload, cluster: &str, ready_at: Instant) -> i64 {
        let Some(spec) = self.clusters.get(cluster).map(|cluster| &cluster.spec) else { return 0 };
        if Instant::now() < ready_at {
            return 0;
        }
        if self.all_fit(spec) {
            return workload.replicas;
        }
        let mut free = spec.allocatable;
        for (_, theirs) in self.workloads_on(cluster).take_while(|(other, _)| *other != key) {
            let running = fitting(free, theirs);
            free = free.minus_clamped(theirs.requests.times(running));
        }
        fitting(free, workload)
    }

    /// Whether a cluster has capacity for everything that is scheduled to it.
    fn all_fit(&self, spec: &ClusterSpec) -> bool {
        let requested = self.requested_on(&spec.name);
        Dimension::ALL.iter().all(|dimension| requested.get(*dimension) <= spec.allocatable.get(*dimension))
    }

    fn requested_on(&self, cluster: &str) -> Resources {
        self.scheduled.get(cluster).map_or_else(Resources::default, |there| there.requests)
    }

    /// The workloads of a cluster in the order of their names.
    fn workloads_on(&self, cluster: &str) -> impl Iterator<Item = (&ReleaseKey, &Workload)> {
        let keys = self.scheduled.get(cluster).into_iter().flat_map(|there| &there.releases);
        keys.filter_map(|key| self.releases.get(key)?.workload.as_ref().map(|workload| (key, workload)))
    }

    fn allocated(&self, spec: &ClusterSpec) -> Resources {
        if self.all_fit(spec) {
            return self.requested_on(&spec.name);
        }
        self.workloads_on(&spec.name).fold(Resources::default(), |used, (_, workload)| {
            let scheduled = fitting(spec.allocatable.minus_clamped(used), workload);
            used + workload.requests.times(scheduled)
        })
    }
}

fn replicas(values: &Value) -> i64 {
    values.get("replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// The name of a chart.
fn chart_name(reference: &str) -> String {
    ChartSource::parse(reference).map_or_else(|_| reference.to_owned(), |source| source.name().to_owned())
}

/// How many of the replicas fit.
fn fitting(free: Resources, workload: &Workload) -> i64 {
    let fits = |free: i64, need: i64| if need == 0 { i64::MAX } else { free / need };
    let each = Dimension::ALL.map(|dimension| fits(free.get(dimension), workload.requests.get(dimension)));
    each.into_iter().fold(workload.replicas, i64::min)
}

/// Resources that a replica requests according to the values of its chart: its requests, and limits without a
/// request.
fn requests(values: &Value) -> Option<Resources> {
    let resources = values.get("resources")?;
    let text = |key: &str| {
        let value = ["requests", "limits"].iter().find_map(|section| resources.get(section)?.get(key))?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    Some(Resources {
        cpu_millicores: text("cpu").and_then(|text| hdag::millicores(&text).ok()).unwrap_or(0),
        ram_bytes: text("memory").and_then(|text| hdag::bytes(&text).ok()).unwrap_or(0),
        storage_bytes: 0,
        gpus: text("nvidia.com/gpu").and_then(|text| hdag::count(&text).ok()).unwrap_or(0),
        pods: 1,
    })
}
