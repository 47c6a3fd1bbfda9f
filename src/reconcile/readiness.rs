//! Readiness: whether a service runs where it was placed. Pure.
//!
//! Right after a move Karmada still shows the old replicas, and a dead member keeps its last status. So ready
//! means all of: the binding is scheduled to the desired cluster and nowhere else, everything was applied
//! there, the status is of the newest generation, the member reports the workload healthy, and the member
//! itself is available.

use std::collections::BTreeMap;

use super::resources::release::key_of;
use crate::clients::{BindingObservation, WorkloadObservation};
use crate::hdag::{Dimension, Propagation, Resources};
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{DEFINITION, ManifestObject, ObjectId, ServiceRecord, WorkloadUse};

/// Groups outside Kubernetes whose health Karmada 1.18 can tell (its `thirdparty/resourcecustomizations`).
const HEALTH_KNOWN: [&str; 10] = [
    "apps.kruise.io",
    "argoproj.io",
    "batch.volcano.sh",
    "flink.apache.org",
    "helm.toolkit.fluxcd.io",
    "kubeflow.org",
    "kustomize.toolkit.fluxcd.io",
    "kyverno.io",
    "ray.io",
    "source.toolkit.fluxcd.io",
];

/// An object besides workloads, with its binding if Karmada has made one.
pub(super) type BoundObject<'a> = (&'a ObjectId, Option<BindingObservation>);

/// Whether a service runs where it was placed, with its observed replicas and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The condition `Ready`.
    pub ready: ConditionUpdate,
    /// Its workloads, with the replicas that are ready in the clusters that count.
    pub workloads: Vec<WorkloadUse>,
}

/// The objects besides workloads that have to reach the cluster of a service: all that `smo` propagates, and of a
/// chart that propagates itself those that it selects, if it has no workloads. Hooks come and
/// go, and definitions go to all clusters.
#[must_use]
pub(super) fn awaited(service: &ServiceRecord) -> Vec<&ObjectId> {
    let Some(manifest) = &service.manifest else { return Vec::new() };
    let stays = |object: &&ManifestObject| {
        let ManifestObject { id, hook, kept, workload, .. } = object;
        !hook && !kept && workload.is_none() && id.kind != DEFINITION
    };
    let is_of_karmada = |object: &ManifestObject| object.id.group().ends_with("karmada.io");
    let has_workloads = manifest.objects.iter().any(|object| object.workload.is_some() && !object.hook);
    let managed = service.propagated_by() == Some(Propagation::Managed);
    let concerns = |object: &&ManifestObject| match managed {
        true => object.is_for_members(),
        false => !has_workloads && object.selected && !is_of_karmada(object),
    };
    manifest.objects.iter().filter(stays).filter(concerns).map(|object| &object.id).collect()
}

/// Judges a service by its workloads and by other objects that are [`awaited`]. `available` tells whether a
/// cluster is available.
#[must_use]
pub(super) fn judge(
    service: &ServiceRecord,
    workloads: &[WorkloadObservation],
    objects: &[BoundObject<'_>],
    available: &BTreeMap<String, bool>,
) -> Verdict {
    if workloads.is_empty() && objects.is_empty() {
        let ready =
            ConditionUpdate::new(condition::NO_WORKLOAD, "Karmada has no workload of this release yet");
        return Verdict { ready, workloads: Vec::new() };
    }
    let cluster = service.cluster.as_deref();
    let of_workload = workloads.iter().find_map(|workload| missing(service, workload, available));
    let missing = of_workload.or_else(|| objects.iter().find_map(|object| missing_object(service, object)));
    let ready = missing.unwrap_or_else(|| {
        let place = cluster.map_or_else(|| places(workloads), str::to_owned);
        ConditionUpdate::new(condition::RUNNING, format!("runs on {place}{}", unknown_health(objects)))
    });
    Verdict {
        ready,
        workloads: workloads
            .iter()
            .map(|workload| WorkloadUse {
                kind: workload.kind,
                name: workload.name.clone(),
                requests: workload.requests,
                reported: workload.reported,
                replicas: workload.replicas,
                ready: ready_replicas(cluster, workload),
            })
            .collect(),
    }
}

/// A clause about objects that Karmada reports as healthy whatever they are.
fn unknown_health(objects: &[BoundObject<'_>]) -> String {
    let is_unknown = |id: &ObjectId| {
        id.group().contains('.') && !id.group().ends_with(".k8s.io") && !HEALTH_KNOWN.contains(&id.group())
    };
    let names: Vec<String> =
        objects.iter().map(|(id, _)| *id).filter(|id| is_unknown(id)).map(ToString::to_string).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("; the health of {} is not known", names.join(", "))
    }
}

/// Compares what a chart requests with its intent; `None` while nothing was observed. Resources that the
/// chart does not request are left out: of them the intent counts.
#[must_use]
pub fn resources_match(service: &ServiceRecord) -> Option<ConditionUpdate> {
    let who = match service.workloads.len() {
        0 => return None,
        1 => "a replica requests".to_owned(),
        several => format!("its {several} workloads request"),
    };
    let requested = service.requested();
    let is_stated =
        |dimension: &Dimension| *dimension != Dimension::Pods && is_requested(service, *dimension);
    let stated: Vec<Dimension> = Dimension::ALL.into_iter().filter(is_stated).collect();
    let amounts = |resources: Resources| {
        let text = |dimension: &Dimension| dimension.exact_with_noun(resources.get(*dimension));
        stated.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let update = if stated.is_empty() {
        (condition::REQUESTS_AS_INTENDED, "the chart requests nothing; decisions count the intent".to_owned())
    } else if stated.iter().all(|dimension| requested.get(*dimension) == service.needs.get(*dimension)) {
        (condition::REQUESTS_AS_INTENDED, format!("{who} {}", amounts(requested)))
    } else {
        let message = format!(
            "{who} {}, the intent says {}; decisions count what the chart requests, and the intent where it requests nothing",
            amounts(requested),
            amounts(service.needs)
        );
        (condition::CHART_DIFFERS, message)
    };
    Some(ConditionUpdate::new(update.0, update.1))
}

/// A pod that should have a GPU and does not request one may run where there is none.
fn is_requested(service: &ServiceRecord, dimension: Dimension) -> bool {
    service.requests_any(dimension) || (dimension == Dimension::Gpus && service.needs.gpus > 0)
}

fn missing(
    service: &ServiceRecord,
    workload: &WorkloadObservation,
    available: &BTreeMap<String, bool>,
) -> Option<ConditionUpdate> {
    let (cluster, name) =
        (service.cluster.as_deref(), format!("{} {}", workload.kind.as_str(), workload.name));
    let fails = |reason, message: String| Some(ConditionUpdate::new(reason, message));
    let binding = match bound(service, &name, workload.binding.as_ref()) {
        Ok(binding) => binding,
        Err(missing) => return Some(missing),
    };
    let scheduled: Vec<&str> = binding.scheduled.keys().map(String::as_str).collect();
    if scheduled.is_empty() || cluster.is_some_and(|cluster| scheduled != [cluster]) {
        let wanted = cluster.unwrap_or("any cluster");
        let found = if scheduled.is_empty() { "nowhere".to_owned() } else { scheduled.join(", ") };
        return fails(
            condition::WRONG_CLUSTER,
            format!("{name} is scheduled to {found}, wanted on {wanted}"),
        );
    }
    for member in scheduled {
        if !available.get(member).copied().unwrap_or(false) {
            return fails(condition::CLUSTER_UNAVAILABLE, format!("cluster {member} is not available"));
        }
        if let Some(missing) = not_applied(&name, binding, member) {
            return Some(missing);
        }
        let status = binding.clusters.get(member);
        if let Some(why) = &workload.failure {
            return fails(condition::NOT_HEALTHY, format!("{name} has failed on {member}: {why}"));
        }
        if !binding.up_to_date || !status.is_some_and(|status| status.healthy) {
            let ready = status.map_or(0, |status| status.ready_replicas);
            let message = format!(
                "{ready} of {} replicas of {} are ready on {member}",
                workload.replicas, workload.name
            );
            return fails(condition::NOT_HEALTHY, message);
        }
    }
    None
}

/// An object besides workloads is not where the service runs.
fn missing_object(service: &ServiceRecord, object: &BoundObject<'_>) -> Option<ConditionUpdate> {
    let (name, cluster) = (object.0.to_string(), service.cluster.as_deref()?);
    let binding = match bound(service, &name, object.1.as_ref()) {
        Ok(binding) => binding,
        Err(missing) => return Some(missing),
    };
    if !binding.scheduled.contains_key(cluster) {
        let message = format!("{name} is not scheduled to {cluster} yet");
        return Some(ConditionUpdate::new(condition::NOT_SCHEDULED, message));
    }
    let unhealthy = || {
        let healthy = binding.clusters.get(cluster).is_some_and(|status| status.healthy);
        let update =
            ConditionUpdate::new(condition::NOT_HEALTHY, format!("{name} is not healthy on {cluster}"));
        (!healthy).then_some(update)
    };
    not_applied(&name, binding, cluster).or_else(unhealthy)
}

/// The binding of an object, if the right policy has made one and Karmada could schedule it.
fn bound<'b>(
    service: &ServiceRecord,
    name: &str,
    binding: Option<&'b BindingObservation>,
) -> Result<&'b BindingObservation, ConditionUpdate> {
    let fails = |reason, message: String| Err(ConditionUpdate::new(reason, message));
    let Some(binding) = binding else {
        return fails(condition::NOT_SCHEDULED, format!("Karmada has not scheduled {name} yet"));
    };
    let managed = service.propagated_by() == Some(Propagation::Managed);
    if managed && binding.managed.as_ref() != Some(&key_of(service)) {
        let by = binding.policy.as_deref().unwrap_or("no policy");
        return fails(
            condition::CLAIMED,
            format!("{name} is claimed by {by}, not by the policy that smo wrote"),
        );
    }
    match &binding.unscheduled_reason {
        Some(reason) => fails(condition::NOT_SCHEDULED, format!("Karmada cannot schedule {name}: {reason}")),
        None => Ok(binding),
    }
}

fn not_applied(name: &str, binding: &BindingObservation, member: &str) -> Option<ConditionUpdate> {
    let fails = |message| Some(ConditionUpdate::new(condition::NOT_APPLIED, message));
    let status = binding.clusters.get(member);
    if let Some(message) = status.and_then(|status| status.message.as_ref()) {
        return fails(format!("cluster {member} did not take {name}: {message}"));
    }
    if !binding.fully_applied || !status.is_some_and(|status| status.applied) {
        return fails(format!("{name} has not reached cluster {member} yet"));
    }
    None
}

fn ready_replicas(cluster: Option<&str>, workload: &WorkloadObservation) -> i64 {
    let Some(binding) = &workload.binding else { return 0 };
    binding
        .clusters
        .iter()
        .filter(|(name, _)| cluster.is_none_or(|cluster| cluster == name.as_str()))
        .map(|(_, status)| status.ready_replicas)
        .sum()
}

fn places(workloads: &[WorkloadObservation]) -> String {
    let mut names: Vec<&str> = workloads
        .iter()
        .filter_map(|workload| workload.binding.as_ref())
        .flat_map(|binding| binding.scheduled.keys().map(String::as_str))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{MemberStatus, ReleaseKey};
    use crate::model::{ConditionStatus, Manifest, WorkloadKind, testing};

    fn running_on(cluster: &str) -> WorkloadObservation {
        let status = MemberStatus { applied: true, healthy: true, ready_replicas: 1, message: None };
        WorkloadObservation {
            kind: WorkloadKind::Deployment,
            name: "a".into(),
            failure: None,
            replicas: 1,
            requests: Resources { cpu_millicores: 500, ..Resources::default() },
            reported: Resources { cpu_millicores: 500, ..Resources::default() },
            binding: Some(BindingObservation {
                scheduled: BTreeMap::from([(cluster.into(), 1)]),
                unscheduled_reason: None,
                fully_applied: true,
                clusters: BTreeMap::from([(cluster.into(), status)]),
                policy: None,
                managed: None,
                up_to_date: true,
            }),
        }
    }

    fn placed(cluster: Option<&str>) -> ServiceRecord {
        ServiceRecord { cluster: cluster.map(str::to_owned), ..testing::service("a") }
    }

    fn reason(cluster: Option<&str>, workload: WorkloadObservation, available: bool) -> &'static str {
        let available = BTreeMap::from([("edge-1".to_owned(), available), ("edge-2".to_owned(), available)]);
        judge(&placed(cluster), &[workload], &[], &available).ready.reason
    }

    #[test]
    fn a_healthy_workload_on_its_cluster_is_ready() {
        assert_eq!(reason(Some("edge-1"), running_on("edge-1"), true), "Running");
        assert_eq!(reason(None, running_on("edge-2"), true), "Running");
    }

    #[test]
    fn a_workload_elsewhere_or_on_a_dead_cluster_is_not_ready() {
        assert_eq!(reason(Some("edge-1"), running_on("edge-2"), true), "WrongCluster");
        assert_eq!(reason(Some("edge-1"), running_on("edge-1"), false), "ClusterUnavailable");
    }

    #[test]
    fn each_missing_step_is_named() {
        let changed = |change: fn(&mut BindingObservation)| {
            let mut workload = running_on("edge-1");
            workload.binding.as_mut().map(change);
            reason(Some("edge-1"), workload, true)
        };
        assert_eq!(changed(|b| b.fully_applied = false), "NotApplied");
        assert_eq!(changed(|b| b.up_to_date = false), "NotHealthy");
        assert_eq!(changed(|b| b.clusters.clear()), "NotApplied");
        assert_eq!(changed(|b| b.scheduled.clear()), "WrongCluster");
        assert_eq!(changed(|b| b.unscheduled_reason = Some("no room".into())), "NotScheduled");
        assert_eq!(
            reason(None, WorkloadObservation { binding: None, ..running_on("x") }, true),
            "NotScheduled"
        );
        assert_eq!(judge(&placed(None), &[], &[], &BTreeMap::new()).ready.reason, "NoWorkload");
    }

    #[test]
    fn every_workload_is_judged_and_counted() {
        let mut second = running_on("edge-1");
        (second.replicas, second.name) = (3, "b".into());
        second.binding.as_mut().unwrap().up_to_date = false;
        let available = BTreeMap::from([("edge-1".into(), true)]);
        let verdict = judge(&placed(Some("edge-1")), &[running_on("edge-1"), second], &[], &available);
        assert_eq!(verdict.ready.reason, "NotHealthy");
        assert_eq!(verdict.ready.message, "1 of 3 replicas of b are ready on edge-1");
        let counts: Vec<(i64, i64)> = verdict.workloads.iter().map(|w| (w.replicas, w.ready)).collect();
        assert_eq!(counts, [(1, 1), (3, 1)]);
    }

    /// A service whose chart brings a Deployment and a ConfigMap without policies.
    fn managed() -> ServiceRecord {
        let object = |kind: &str, workload: Option<WorkloadUse>| {
            let (name, namespace) = ("a".to_owned(), Some("project".to_owned()));
            let id = ObjectId { kind: kind.into(), namespace, name, ..ObjectId::default() };
            ManifestObject { id, workload, ..ManifestObject::default() }
        };
        // Karmada makes namespaces itself, definitions go to all clusters: neither is awaited.
        let of_cluster = |kind| {
            let object = object(kind, None);
            ManifestObject { id: ObjectId { namespace: None, ..object.id }, ..object }
        };
        let objects = vec![
            object("Deployment", Some(WorkloadUse::default())),
            object("ConfigMap", None),
            of_cluster("Namespace"),
            of_cluster(DEFINITION),
        ];
        let manifest = Some(Manifest { objects, ..Manifest::default() });
        ServiceRecord { manifest, ..testing::service("a") }
    }

    #[test]
    fn objects_that_smo_propagates_have_to_be_there_by_its_own_policy() {
        let service = managed();
        let [id] = awaited(&service)[..] else { panic!("the ConfigMap is awaited") };
        let available = BTreeMap::from([("edge-1".to_owned(), true)]);
        let key = ReleaseKey { namespace: "project".into(), name: "a".into() };
        let bound = |managed: Option<ReleaseKey>| {
            let mut workload = running_on("edge-1");
            let binding = workload.binding.as_mut().unwrap();
            (binding.managed, binding.policy) = (managed, Some("PropagationPolicy other".into()));
            workload
        };
        let judged = |workload: &WorkloadObservation, object: Option<BindingObservation>| {
            let verdict = judge(&service, std::slice::from_ref(workload), &[(id, object)], &available);
            (verdict.ready.reason, verdict.ready.message)
        };
        let (ours, theirs) = (bound(Some(key)), bound(None));
        assert_eq!(judged(&ours, ours.binding.clone()), ("Running", "runs on edge-1".to_owned()));
        assert_eq!(
            judged(&ours, None),
            ("NotScheduled", "Karmada has not scheduled ConfigMap a yet".to_owned())
        );
        let message = "Deployment a is claimed by PropagationPolicy other, not by the policy that smo wrote";
        assert_eq!(judged(&theirs, ours.binding.clone()), ("Claimed", message.to_owned()));
        let mut elsewhere = ours.binding.clone().unwrap();
        elsewhere.scheduled = BTreeMap::from([("edge-2".into(), 1)]);
        assert_eq!(judged(&ours, Some(elsewhere)).0, "NotScheduled");
    }

    #[test]
    fn a_job_that_failed_is_told_with_its_cause() {
        let failure = Some("BackoffLimitExceeded".to_owned());
        let job = WorkloadObservation { kind: WorkloadKind::Job, failure, ..running_on("edge-1") };
        let available = BTreeMap::from([("edge-1".to_owned(), true)]);
        let verdict = judge(&placed(Some("edge-1")), &[job], &[], &available);
        assert_eq!(verdict.ready.message, "Job a has failed on edge-1: BackoffLimitExceeded");
    }

    /// The condition of a service of half a core and 500 MiB whose workloads have these millicores, MiB and
    /// replicas.
    fn condition_of(workloads: &[(i64, i64, i64)]) -> Option<(ConditionStatus, String)> {
        let workload = |&(cpu_millicores, mebibytes, replicas): &(i64, i64, i64)| WorkloadUse {
            requests: Resources { cpu_millicores, ram_bytes: mebibytes << 20, ..Resources::default() },
            replicas,
            ready: replicas,
            ..WorkloadUse::default()
        };
        let service = ServiceRecord {
            needs: Resources { cpu_millicores: 500, ram_bytes: 500 << 20, ..Resources::default() },
            workloads: workloads.iter().map(workload).collect(),
            ..testing::service("a")
        };
        resources_match(&service).map(|update| (update.status, update.message))
    }

    #[test]
    fn a_chart_that_requests_something_else_is_told_with_both_numbers() {
        assert_eq!(condition_of(&[]), None);
        assert_eq!(condition_of(&[(500, 500, 1)]).unwrap().0, ConditionStatus::True);
        assert_eq!(
            condition_of(&[(0, 0, 1)]).unwrap().0,
            ConditionStatus::True,
            "the intent counts, there is no difference"
        );
        let (status, message) = condition_of(&[(2000, 0, 1)]).unwrap();
        assert_eq!(status, ConditionStatus::False);
        assert_eq!(
            message,
            "a replica requests 2 cores, the intent says 0.5 cores; decisions count what the chart requests, and the intent where it requests nothing"
        );
        let gpu = ServiceRecord {
            needs: Resources { gpus: 1, ..Resources::default() },
            workloads: vec![WorkloadUse::default()],
            ..testing::service("a")
        };
        let update = resources_match(&gpu).unwrap();
        assert_eq!(update.status, ConditionStatus::False);
        assert!(update.message.contains("0 GPUs") && update.message.contains("1 GPU;"), "{}", update.message);
        let (_, message) = condition_of(&[(500, 100, 1), (250, 100, 3)]).unwrap();
        assert_eq!(
            message,
            "its 2 workloads request 1.25 cores, 400MiB RAM, the intent says 0.5 cores, 500MiB RAM; \
             decisions count what the chart requests, and the intent where it requests nothing"
        );
    }
}
