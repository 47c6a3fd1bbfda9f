//! Duties of every implementation of the ports. Runs on the simulated continuum in `cargo test`, and on
//! the real systems of the test bed in the end-to-end tests.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use smo::clients::{
    AlertRule, ClientErrorKind, FiringAlert, GraphRules, MemberStatus, Ports, PropagationSpec, ReleaseKey,
    ReleaseObservation, ReleaseSpec, ReleaseStatus, WatchReport, WorkloadObservation,
};
use smo::model::{Manifest, ManifestObject, ObjectId, RoundTripTimes, ServicePort, WorkloadKind};
use tokio::sync::broadcast;
use tokio::time::timeout;

use crate::wait::eventually;

/// The differences between the worlds.
pub struct Fixture {
    /// A namespace that is free to use.
    pub namespace: String,
    /// A chart with one Deployment, placed by `clustersAffinity`; its Deployment and release are called
    /// `hello-world`.
    pub chart: String,
    /// Two clusters with room.
    pub clusters: [String; 2],
}

const RELEASE: &str = "hello-world";
const OWNER: &str = "contract-owner";
const LIMIT: Duration = Duration::from_secs(60);
/// How soon an alert fires or ends after its rule was written: Prometheus has to load it, and to see it hold.
const FIRES_WITHIN: Duration = Duration::from_secs(120);

impl Fixture {
    fn key(&self) -> ReleaseKey {
        ReleaseKey { namespace: self.namespace.clone(), name: RELEASE.to_owned() }
    }

    fn release(&self, cluster: &str, digest: &str) -> ReleaseSpec {
        let values = json!({ "clustersAffinity": [cluster], "serviceImportClusters": [cluster] });
        let (key, chart) = (self.key(), self.chart.clone());
        ReleaseSpec { key, chart, archive: None, values, owner: OWNER.to_owned(), digest: digest.to_owned() }
    }
}

/// Clusters are listed with what they have, and with the sizes of their nodes; a cluster that cannot be asked for
/// these is no error.
pub async fn inventory(ports: &Ports, fixture: &Fixture) {
    let clusters = ports.inventory.clusters().await.unwrap();
    for name in &fixture.clusters {
        let cluster = clusters.iter().find(|cluster| cluster.name == *name).unwrap();
        assert!(cluster.available, "{cluster:?}");
        assert!(cluster.allocatable.cpu_millicores > 0 && cluster.allocatable.ram_bytes > 0, "{cluster:?}");
        let asked = [name.clone(), "no-such-cluster".to_owned()];
        let nodes = ports.inventory.largest_nodes(&asked).await.unwrap();
        assert_eq!(nodes.keys().collect::<Vec<_>>(), [name]);
        for node in &nodes[name] {
            assert!(node.cpu_millicores > 0 && node.fits(cluster.allocatable), "{node:?}, {cluster:?}");
        }
        assert!(!nodes[name].is_empty());
    }
}

/// A release from its installation to its end: seen with owner and digest, runs where it was placed, moves,
/// goes.
pub async fn life_of_a_release(ports: &Ports, fixture: &Fixture) {
    let [first, second] = &fixture.clusters;
    assert_eq!(listed(ports, fixture).await, None);
    ports.releases.apply(&fixture.release(first, "one")).await.unwrap();
    let seen = listed(ports, fixture).await.unwrap();
    assert_eq!((seen.revision, seen.status), (1, ReleaseStatus::Deployed));
    assert_eq!((seen.owner.as_deref(), seen.digest.as_deref()), (Some(OWNER), Some("one")));
    until_running(ports, fixture, first).await;

    ports.workloads.scale(&fixture.namespace, WorkloadKind::Deployment, RELEASE, 2).await.unwrap();
    until(ports, fixture, "has two replicas", |found| found.iter().any(|w| w.replicas == 2)).await;

    ports.releases.apply(&fixture.release(second, "two")).await.unwrap();
    let moved = listed(ports, fixture).await.unwrap();
    assert_eq!((moved.revision, moved.digest.as_deref()), (2, Some("two")));
    until_running(ports, fixture, second).await;

    ports.releases.uninstall(&fixture.key(), OWNER).await.unwrap();
    assert_eq!(listed(ports, fixture).await, None);
    until(ports, fixture, "is gone", <[_]>::is_empty).await;
    ports.releases.uninstall(&fixture.key(), OWNER).await.unwrap();
}

/// Policies of a release: written, seen, changed, removed.
pub async fn life_of_policies(ports: &Ports, fixture: &Fixture) {
    let [first, second] = &fixture.clusters;
    let (policies, key) = (&ports.propagation, fixture.key());
    let object = |api_version: &str, kind: &str| ManifestObject {
        id: ObjectId {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(fixture.namespace.clone()),
            name: RELEASE.to_owned(),
        },
        ..ManifestObject::default()
    };
    let port = ServicePort { name: None, port: 80, protocol: "TCP".to_owned(), app_protocol: None };
    let service = ManifestObject { ports: vec![port], ..object("v1", "Service") };
    let objects = vec![object("apps/v1", "Deployment"), service];
    let spec = |cluster: &String, importers: &[&String]| PropagationSpec {
        release: key.clone(),
        owner: OWNER.to_owned(),
        cluster: cluster.clone(),
        installs: false,
        importers: importers.iter().map(|name| (*name).clone()).collect(),
        manifest: Manifest { objects: objects.clone(), ..Manifest::default() },
    };
    until_policies(ports, &key, false).await;
    let (alone, called) = (spec(first, &[]), spec(first, &[second]));
    assert!(!policies.is_applied(&alone).await.unwrap());
    for wanted in [&alone, &called, &spec(second, &[first]), &alone] {
        let mut changes = policies.changes();
        policies.apply(wanted).await.unwrap();
        assert_eq!(next_change(&mut changes).await, key);
        assert!(policies.is_applied(wanted).await.unwrap(), "{wanted:?}");
        assert!(policies.exist(&key).await.unwrap());
    }
    assert!(!policies.is_applied(&called).await.unwrap());
    policies.remove(&key).await.unwrap();
    assert!(!policies.exist(&key).await.unwrap());
    policies.remove(&key).await.unwrap();
}

/// Rendering shows the objects of a chart, and makes none.
pub async fn rendering(ports: &Ports, fixture: &Fixture) {
    let rendering = ports.releases.render(&fixture.release(&fixture.clusters[0], "one")).await.unwrap();
    let deployment = rendering.objects.iter().find(|object| object.id.kind == "Deployment").unwrap();
    assert_eq!(deployment.id.namespace.as_ref(), Some(&fixture.namespace));
    assert!(deployment.selected, "the chart brings policies: {rendering:#?}");
    let workload = deployment.workload.as_ref().unwrap();
    assert_eq!((workload.replicas, workload.requests.cpu_millicores), (1, 500));
    assert_eq!(listed(ports, fixture).await, None);
}

async fn until_policies(ports: &Ports, release: &ReleaseKey, exist: bool) {
    eventually("the policies are known", LIMIT, || async {
        match ports.propagation.exist(release).await {
            Ok(found) if found == exist => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// A release of somebody else is told apart, and neither changed nor removed.
pub async fn a_foreign_release_is_left_alone(ports: &Ports, fixture: &Fixture) {
    let theirs =
        ReleaseSpec { owner: "somebody-else".to_owned(), ..fixture.release(&fixture.clusters[0], "one") };
    ports.releases.apply(&theirs).await.unwrap();
    let refused = ports.releases.apply(&fixture.release(&fixture.clusters[0], "two")).await.unwrap_err();
    assert_eq!(refused.kind, ClientErrorKind::Conflict, "{refused}");
    let refused = ports.releases.uninstall(&fixture.key(), OWNER).await.unwrap_err();
    assert_eq!(refused.kind, ClientErrorKind::Conflict, "{refused}");
    let seen = listed(ports, fixture).await.unwrap();
    assert_eq!((seen.revision, seen.digest.as_deref()), (1, Some("one")));
    ports.releases.uninstall(&fixture.key(), "somebody-else").await.unwrap();
    until(ports, fixture, "is gone", <[_]>::is_empty).await;
}

/// A release of another installation is recognised as foreign, left alone, and becomes ours when adopted.
pub async fn a_release_of_another_installation(ports: &Ports, other: &Ports, fixture: &Fixture) {
    let spec = |digest| fixture.release(&fixture.clusters[0], digest);
    other.releases.apply(&spec("theirs")).await.unwrap();
    until_listed(ports, fixture).await;
    let seen = listed(ports, fixture).await.unwrap();
    assert_eq!((seen.revision, seen.owner), (1, None));
    for refused in
        [ports.releases.apply(&spec("ours")).await, ports.releases.uninstall(&fixture.key(), OWNER).await]
    {
        assert_eq!(refused.unwrap_err().kind, ClientErrorKind::Conflict);
    }

    ports.releases.adopt(&fixture.key(), OWNER, "adopted").await.unwrap();
    let adopted = listed(ports, fixture).await.unwrap();
    assert_eq!((adopted.revision, adopted.status), (1, ReleaseStatus::Deployed));
    assert_eq!((adopted.owner.as_deref(), adopted.digest.as_deref()), (Some(OWNER), Some("adopted")));
    let refused = other.releases.uninstall(&fixture.key(), OWNER).await.unwrap_err();
    assert_eq!(refused.kind, ClientErrorKind::Conflict, "{refused}");
    ports.releases.apply(&spec("ours")).await.unwrap();
    let applied = listed(ports, fixture).await.unwrap();
    assert_eq!((applied.revision, applied.digest.as_deref()), (2, Some("ours")));
    ports.releases.uninstall(&fixture.key(), OWNER).await.unwrap();
    until(ports, fixture, "is gone", <[_]>::is_empty).await;

    let absent = ports.releases.adopt(&fixture.key(), OWNER, "adopted").await.unwrap_err();
    assert_eq!(absent.kind, ClientErrorKind::NotFound, "{absent}");
}

/// A change of a release or of rules is announced.
pub async fn changes_are_announced(ports: &Ports, fixture: &Fixture) {
    let (rules, mut releases) = (ports.rules.as_ref().unwrap(), ports.releases.changes());
    ports.releases.apply(&fixture.release(&fixture.clusters[0], "one")).await.unwrap();
    assert_eq!(next_change(&mut releases).await, fixture.key());
    let mut releases = ports.releases.changes();
    ports.releases.uninstall(&fixture.key(), OWNER).await.unwrap();
    assert_eq!(next_change(&mut releases).await, fixture.key());
    until(ports, fixture, "is gone", <[_]>::is_empty).await;

    let mut objects = rules.changes();
    rules.apply(&rules_object("vector(1) > 2")).await.unwrap();
    assert_eq!(next_change(&mut objects).await, RULES);
    let mut objects = rules.changes();
    rules.delete(RULES).await.unwrap();
    assert_eq!(next_change(&mut objects).await, RULES);
}

async fn next_change<T: Clone>(changes: &mut broadcast::Receiver<T>) -> T {
    timeout(LIMIT, changes.recv()).await.expect("a change is announced in time").unwrap()
}

/// All watches have shown their first state and are alive.
pub async fn watches(ports: &Ports) {
    let all = || {
        let rules = ports.rules.as_ref().unwrap().watches();
        let [clusters, workloads] = [ports.inventory.watches(), ports.workloads.watches()];
        [clusters, workloads, ports.releases.watches(), ports.propagation.watches(), rules].concat()
    };
    let names: Vec<&str> = all().iter().map(|watch| watch.name).collect();
    let expected = [
        "clusters",
        "deployments",
        "statefulsets",
        "daemonsets",
        "replicasets",
        "jobs",
        "cronjobs",
        "pods",
        "bindings",
        "clusterbindings",
        "releases",
        "overridepolicies",
        "serviceexports",
        "serviceimports",
        "propagationpolicies",
        "clusterpropagationpolicies",
        "rules",
    ];
    assert_eq!(names, expected);
    eventually("every watch is complete and alive", LIMIT, async || {
        let found = all();
        let alive = |watch: &WatchReport| watch.complete && watch.age < LIMIT && watch.last_error.is_none();
        if found.iter().all(alive) { Ok(()) } else { Err(format!("{found:#?}")) }
    })
    .await;
}

const RULES: &str = "smo-contract";
const ALERT: &str = "contract-alert";

fn rules_object(expr: &str) -> GraphRules {
    GraphRules {
        object_name: RULES.to_owned(),
        owner: OWNER.to_owned(),
        rules: vec![AlertRule {
            alert: ALERT.to_owned(),
            expr: expr.to_owned(),
            for_duration: "5s".to_owned(),
            labels: BTreeMap::from([
                ("graph".to_owned(), "contract".to_owned()),
                ("service".to_owned(), "s".to_owned()),
            ]),
            annotations: BTreeMap::new(),
        }],
    }
}

/// Rules are written, replaced, observed and removed as a whole, and those of another installation left
/// alone.
pub async fn life_of_alert_rules(ports: &Ports, other: &Ports) {
    let (rules, theirs) = (ports.rules.as_ref().unwrap(), other.rules.as_ref().unwrap());
    rules.apply(&rules_object("vector(1) > 2")).await.unwrap();
    rules.apply(&rules_object("vector(1) > 3")).await.unwrap();
    assert_eq!(rules.observed(RULES).await.unwrap(), Some(rules_object("vector(1) > 3")));
    let names = rules.list().await.unwrap();
    assert_eq!(names.iter().filter(|name| *name == RULES).count(), 1, "{names:?}");

    let refused = theirs.apply(&rules_object("vector(1) > 3")).await.unwrap_err();
    assert_eq!(refused.kind, ClientErrorKind::Conflict, "{refused}");
    theirs.delete(RULES).await.unwrap();
    assert!(!theirs.list().await.unwrap().contains(&RULES.to_owned()));
    assert!(rules.list().await.unwrap().contains(&RULES.to_owned()));

    rules.delete(RULES).await.unwrap();
    rules.delete(RULES).await.unwrap();
    assert_eq!(rules.observed(RULES).await.unwrap(), None);
    assert!(!rules.list().await.unwrap().contains(&RULES.to_owned()));
}

/// An alert is reported while it fires. `set_firing` is for worlds that do not evaluate expressions.
pub async fn firing_alerts(ports: &Ports, set_firing: impl Fn(bool)) {
    let (rules, metrics) = (ports.rules.as_ref().unwrap(), ports.metrics.as_ref().unwrap());
    let until_it_is = async |fires: bool| {
        eventually(&format!("that the alert fires is {fires}"), FIRES_WITHIN, async || {
            let firing = metrics.firing_alerts().await.map_err(|error| error.to_string())?;
            let expected = FiringAlert {
                alert: ALERT.to_owned(),
                graph: "contract".to_owned(),
                service: "s".to_owned(),
            };
            if firing.contains(&expected) == fires { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await;
    };
    until_it_is(false).await;
    rules.apply(&rules_object("vector(1) > 0")).await.unwrap();
    set_firing(true);
    until_it_is(true).await;
    rules.apply(&rules_object("vector(1) > 2")).await.unwrap();
    set_firing(false);
    until_it_is(false).await;
    rules.delete(RULES).await.unwrap();
}

/// A query that gives service `contract` the value 3 and service `idle` no number.
pub const RATES: &str = r#"label_replace(vector(3), "service", "contract", "", "")
    or label_replace(vector(0) / 0, "service", "idle", "", "")"#;

/// Rates come by service; what is no number is absent.
pub async fn rates(ports: &Ports) {
    let rates = ports.metrics.as_ref().unwrap().rates(RATES, "service").await.unwrap();
    assert_eq!(rates.labelled, BTreeMap::from([("contract".to_owned(), 3.0)]));
}

/// Round-trip times are positive and name two different clusters in order; a cluster that cannot be asked is
/// no error.
pub async fn latencies(ports: &Ports, fixture: &Fixture) -> RoundTripTimes {
    let mut clusters = fixture.clusters.to_vec();
    clusters.push("no-such-cluster".to_owned());
    let times = ports.latencies.as_ref().unwrap().latencies(&clusters).await.unwrap();
    assert!(times.iter().all(|((one, other), ms)| one < other && *ms > 0.0), "{times:?}");
    times
}

async fn listed(ports: &Ports, fixture: &Fixture) -> Option<ReleaseObservation> {
    // A watch that has not listed everything yet says so, and is asked again.
    let releases = eventually("releases are listed", LIMIT, async || {
        let found = ports.releases.find(&fixture.namespace, OWNER, &[RELEASE]).await;
        found.map_err(|error| error.to_string())
    })
    .await;
    releases.into_iter().find(|release| release.name == RELEASE)
}

/// The watch of one installation may be behind that of another.
async fn until_listed(ports: &Ports, fixture: &Fixture) {
    eventually(&format!("{RELEASE} is listed"), LIMIT, async || {
        listed(ports, fixture).await.map(drop).ok_or_else(|| "it is not".to_owned())
    })
    .await;
}

async fn until_running(ports: &Ports, fixture: &Fixture, cluster: &str) {
    let healthy = |status: &MemberStatus| status.applied && status.healthy && status.ready_replicas >= 1;
    until(ports, fixture, &format!("runs on {cluster} and nowhere else"), |found| {
        found.iter().any(|workload| {
            workload.binding.as_ref().is_some_and(|binding| {
                let places: Vec<&String> = binding.scheduled.keys().collect();
                places == [cluster]
                    && binding.up_to_date
                    && binding.clusters.get(cluster).is_some_and(healthy)
            })
        })
    })
    .await;
}

async fn until(
    ports: &Ports,
    fixture: &Fixture,
    what: &str,
    wanted: impl Fn(&[WorkloadObservation]) -> bool,
) {
    eventually(&format!("{RELEASE} {what}"), LIMIT, async || {
        // A watch that has not listed everything yet says so, and is asked again.
        let found = ports.workloads.of_release(&fixture.key()).await;
        if found.as_deref().is_ok_and(&wanted) { Ok(()) } else { Err(format!("{found:#?}")) }
    })
    .await;
}
