//! The kinds of workloads: the pods that each asks for.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::pod;
use crate::hdag::{QuantityError, Resources};
use crate::model::{ObjectId, WorkloadKind, WorkloadUse};

/// A kind of objects that make pods.
pub(super) trait PodOwner {
    /// The kind.
    const KIND: WorkloadKind;

    /// The template of its pods.
    fn pod(&self) -> Option<&PodSpec>;

    /// How many pods it is to have now.
    fn replicas(&self) -> i64;

    /// Why it does not run and will not by itself.
    fn failure(&self) -> Option<String> {
        None
    }
}

impl PodOwner for Deployment {
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.template.spec.as_ref()
    }

    fn replicas(&self) -> i64 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).into()
    }
}

impl PodOwner for StatefulSet {
    const KIND: WorkloadKind = WorkloadKind::StatefulSet;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.template.spec.as_ref()
    }

    fn replicas(&self) -> i64 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).into()
    }
}

impl PodOwner for ReplicaSet {
    const KIND: WorkloadKind = WorkloadKind::ReplicaSet;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.template.as_ref()?.spec.as_ref()
    }

    fn replicas(&self) -> i64 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).into()
    }
}

impl PodOwner for DaemonSet {
    const KIND: WorkloadKind = WorkloadKind::DaemonSet;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.template.spec.as_ref()
    }

    /// One pod for each suitable node; one before its member has counted them.
    fn replicas(&self) -> i64 {
        let status = self.status.as_ref().filter(|status| status.observed_generation.is_some());
        status.map_or(1, |status| status.desired_number_scheduled.into())
    }
}

impl PodOwner for Job {
    const KIND: WorkloadKind = WorkloadKind::Job;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.template.spec.as_ref()
    }

    /// As many at once as it may, but no more than it still has to complete; none when it has ended.
    fn replicas(&self) -> i64 {
        let (Some(spec), status) = (self.spec.as_ref(), self.status.as_ref()) else { return 0 };
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        if conditions.clone().any(|condition| is_end(&condition.type_) && condition.status == "True") {
            return 0;
        }
        let succeeded = status.and_then(|status| status.succeeded).unwrap_or(0);
        let left = spec.completions.map_or(i32::MAX, |completions| completions - succeeded);
        parallelism(spec).min(left.max(0).into())
    }

    fn failure(&self) -> Option<String> {
        let conditions = self.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions.iter().find(|c| c.type_ == "Failed" && c.status == "True")?;
        let parts = [&failed.reason, &failed.message].map(|part| part.as_deref().unwrap_or_default());
        let why = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        Some(if why.is_empty() { "it failed".to_owned() } else { why })
    }
}

fn is_end(condition: &str) -> bool {
    matches!(condition, "Complete" | "Failed")
}

fn parallelism(spec: &JobSpec) -> i64 {
    spec.parallelism.unwrap_or(1).into()
}

impl PodOwner for CronJob {
    const KIND: WorkloadKind = WorkloadKind::CronJob;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.as_ref()
    }

    /// Those of one run, for which the place is kept.
    fn replicas(&self) -> i64 {
        let job = self.spec.as_ref().and_then(|spec| spec.job_template.spec.as_ref());
        job.map_or(0, parallelism)
    }
}

impl PodOwner for Pod {
    const KIND: WorkloadKind = WorkloadKind::Pod;

    fn pod(&self) -> Option<&PodSpec> {
        self.spec.as_ref()
    }

    fn replicas(&self) -> i64 {
        let phase = self.status.as_ref().and_then(|status| status.phase.as_deref());
        i64::from(!matches!(phase, Some("Succeeded" | "Failed")))
    }
}

/// The request of one pod of a workload, and what of it a cluster's report holds; nothing, with a warning, when it
/// cannot be read.
pub(super) fn requests(owner: &impl PodOwner, name: &str, namespace: &str) -> (Resources, Resources) {
    let read = |pod: &PodSpec| Ok::<_, QuantityError>((pod::request(pod)?, pod::reported(pod)?));
    owner.pod().map(read).transpose().map_or_else(
        |error| {
            tracing::warn!(workload = name, namespace, %error, "resources of {name} cannot be read");
            Default::default()
        },
        Option::unwrap_or_default,
    )
}

/// Reads the workload of a manifest; `None` when the object is none, or is not as its kind has it.
pub(super) fn workload_of(id: &ObjectId, object: &Value) -> Option<WorkloadUse> {
    match (id.api_version.as_str(), id.kind.as_str()) {
        ("apps/v1", "Deployment") => read::<Deployment>(id, object),
        ("apps/v1", "StatefulSet") => read::<StatefulSet>(id, object),
        ("apps/v1", "ReplicaSet") => read::<ReplicaSet>(id, object),
        ("apps/v1", "DaemonSet") => read::<DaemonSet>(id, object),
        ("batch/v1", "Job") => read::<Job>(id, object),
        ("batch/v1", "CronJob") => read::<CronJob>(id, object),
        ("v1", "Pod") => read::<Pod>(id, object),
        _ => None,
    }
}

fn read<K: PodOwner + DeserializeOwned>(id: &ObjectId, object: &Value) -> Option<WorkloadUse> {
    let owner = K::deserialize(object)
        .inspect_err(|error| tracing::warn!(%error, "{id} of a chart is not as its kind has it"))
        .ok()?;
    let (requests, reported) = requests(&owner, &id.name, id.namespace.as_deref().unwrap_or_default());
    let (kind, name, replicas) = (K::KIND, id.name.clone(), owner.replicas());
    Some(WorkloadUse { kind, name, requests, reported, replicas, ready: 0 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Replicas and millicores that an object counts.
    fn counted(api_version: &str, kind: &str, object: Value) -> Option<(i64, i64)> {
        let id = ObjectId { api_version: api_version.into(), kind: kind.into(), ..ObjectId::default() };
        workload_of(&id, &object).map(|workload| (workload.replicas, workload.requests.cpu_millicores))
    }

    #[test]
    fn every_kind_counts_its_pods() {
        let pod = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "250m"}}}]});
        let template = json!({"spec": pod});
        let apps = |kind: &str, spec: Value, status: Value| {
            counted("apps/v1", kind, json!({"spec": spec, "status": status}))
        };
        let set = |replicas: Value| json!({"replicas": replicas, "selector": {}, "serviceName": "a", "template": template});
        for kind in ["Deployment", "StatefulSet", "ReplicaSet"] {
            assert_eq!(apps(kind, set(json!(3)), Value::Null), Some((3, 250)), "{kind}");
            assert_eq!(apps(kind, set(Value::Null), Value::Null), Some((1, 250)), "{kind}");
        }
        let daemon = json!({"selector": {}, "template": template});
        let status = |count: i64| {
            json!({"observedGeneration": 1, "desiredNumberScheduled": count, "currentNumberScheduled": 0,
                "numberMisscheduled": 0, "numberReady": 0})
        };
        assert_eq!(apps("DaemonSet", daemon.clone(), Value::Null), Some((1, 250)));
        assert_eq!(apps("DaemonSet", daemon.clone(), status(5)), Some((5, 250)));
        assert_eq!(apps("DaemonSet", daemon, status(0)), Some((0, 250)));
        let job = |completions: Value, status: Value| {
            let spec = json!({"parallelism": 4, "completions": completions, "template": template});
            counted("batch/v1", "Job", json!({"spec": spec, "status": status}))
        };
        assert_eq!(job(json!(10), Value::Null), Some((4, 250)));
        assert_eq!(job(json!(10), json!({"succeeded": 8})), Some((2, 250)));
        assert_eq!(job(Value::Null, json!({"succeeded": 8})), Some((4, 250)));
        for end in ["Complete", "Failed"] {
            let status = json!({"conditions": [{"type": end, "status": "True"}]});
            assert_eq!(job(json!(10), status), Some((0, 250)), "{end}");
        }
        let cron = json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"parallelism": 2, "template": template}}});
        assert_eq!(counted("batch/v1", "CronJob", json!({"spec": cron})), Some((2, 250)));
        assert_eq!(counted("v1", "Pod", json!({"spec": pod})), Some((1, 250)));
        assert_eq!(
            counted("v1", "Pod", json!({"spec": pod, "status": {"phase": "Succeeded"}})),
            Some((0, 250))
        );
        assert_eq!(counted("v1", "Service", json!({"spec": {}})), None);
    }
}
