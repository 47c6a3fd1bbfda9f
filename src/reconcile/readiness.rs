//! Readiness: whether a service runs where it was placed. Pure.
//!
//! Right after a move Karmada still shows the old replicas, and a dead member keeps its last status. So ready
//! means all of: the binding is scheduled to the desired cluster and nowhere else, everything was applied
//! there, the status is of the newest generation, the member reports the workload healthy, and the member
//! itself is available.

use std::collections::BTreeMap;

use crate::clients::WorkloadObservation;
use crate::hdag::{Dimension, Resources};
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{ServiceRecord, WorkloadUse};

/// Whether a service runs where it was placed, with its observed replicas and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The condition `Ready`.
    pub ready: ConditionUpdate,
    /// Its Deployments, with the replicas that are ready in the clusters that count.
    pub workloads: Vec<WorkloadUse>,
}

/// Judges a service by its Deployments. `cluster` is where it was placed (`None`: anywhere), `available`
/// tests whether a cluster is available.
#[must_use]
pub fn judge(
    cluster: Option<&str>,
    workloads: &[WorkloadObservation],
    available: &BTreeMap<String, bool>,
) -> Verdict {
    if workloads.is_empty() {
        let ready =
            ConditionUpdate::new(condition::NO_WORKLOAD, "Karmada has no Deployment of this release yet");
        return Verdict { ready, workloads: Vec::new() };
    }
    let missing = workloads.iter().find_map(|workload| missing(cluster, workload, available));
    let ready = missing.unwrap_or_else(|| {
        let place = cluster.map_or_else(|| places(workloads), str::to_owned);
        ConditionUpdate::new(condition::RUNNING, format!("runs on {place}"))
    });
    Verdict {
        ready,
        workloads: workloads
            .iter()
            .map(|workload| WorkloadUse {
                requests: workload.requests,
                replicas: workload.replicas,
                ready: ready_replicas(cluster, workload),
            })
            .collect(),
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
    // A pod that should have a GPU and does not request one may run where there is none.
    let is_stated = |dimension: &Dimension| {
        service.requests_any(*dimension) || (*dimension == Dimension::Gpus && service.needs.gpus > 0)
    };
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

fn missing(
    cluster: Option<&str>,
    workload: &WorkloadObservation,
    available: &BTreeMap<String, bool>,
) -> Option<ConditionUpdate> {
    let name = &workload.deployment;
    let fails = |reason, message: String| Some(ConditionUpdate::new(reason, message));
    let Some(binding) = &workload.binding else {
        return fails(condition::NOT_SCHEDULED, format!("Karmada has not scheduled Deployment {name} yet"));
    };
    if let Some(reason) = &binding.unscheduled_reason {
        return fails(
            condition::NOT_SCHEDULED,
            format!("Karmada cannot schedule Deployment {name}: {reason}"),
        );
    }
    let scheduled: Vec<&str> = binding.scheduled.keys().map(String::as_str).collect();
    if scheduled.is_empty() || cluster.is_some_and(|cluster| scheduled != [cluster]) {
        let wanted = cluster.unwrap_or("any cluster");
        let found = if scheduled.is_empty() { "nowhere".to_owned() } else { scheduled.join(", ") };
        return fails(
            condition::WRONG_CLUSTER,
            format!("Deployment {name} is scheduled to {found}, wanted on {wanted}"),
        );
    }
    for member in scheduled {
        if !available.get(member).copied().unwrap_or(false) {
            return fails(condition::CLUSTER_UNAVAILABLE, format!("cluster {member} is not available"));
        }
        let status = binding.clusters.get(member);
        if let Some(message) = status.and_then(|status| status.message.as_ref()) {
            return fails(
                condition::NOT_APPLIED,
                format!("cluster {member} did not take Deployment {name}: {message}"),
            );
        }
        if !binding.fully_applied || !status.is_some_and(|status| status.applied) {
            return fails(
                condition::NOT_APPLIED,
                format!("Deployment {name} has not reached cluster {member} yet"),
            );
        }
        if !binding.up_to_date || !status.is_some_and(|status| status.healthy) {
            let ready = status.map_or(0, |status| status.ready_replicas);
            let message =
                format!("{ready} of {} replicas of {name} are ready on {member}", workload.replicas);
            return fails(condition::NOT_HEALTHY, message);
        }
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
    use crate::clients::{BindingObservation, MemberStatus};
    use crate::model::{ConditionStatus, testing};

    fn running_on(cluster: &str) -> WorkloadObservation {
        let status = MemberStatus { applied: true, healthy: true, ready_replicas: 1, message: None };
        WorkloadObservation {
            deployment: "a".into(),
            replicas: 1,
            requests: Resources { cpu_millicores: 500, ..Resources::default() },
            binding: Some(BindingObservation {
                scheduled: BTreeMap::from([(cluster.into(), 1)]),
                unscheduled_reason: None,
                fully_applied: true,
                clusters: BTreeMap::from([(cluster.into(), status)]),
                up_to_date: true,
            }),
        }
    }

    fn reason(cluster: Option<&str>, workload: WorkloadObservation, available: bool) -> &'static str {
        let available = BTreeMap::from([("edge-1".to_owned(), available), ("edge-2".to_owned(), available)]);
        judge(cluster, &[workload], &available).ready.reason
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
        assert_eq!(judge(None, &[], &BTreeMap::new()).ready.reason, "NoWorkload");
    }

    #[test]
    fn every_workload_is_judged_and_counted() {
        let mut second = running_on("edge-1");
        (second.replicas, second.deployment) = (3, "b".into());
        second.binding.as_mut().unwrap().up_to_date = false;
        let available = BTreeMap::from([("edge-1".into(), true)]);
        let verdict = judge(Some("edge-1"), &[running_on("edge-1"), second], &available);
        assert_eq!(verdict.ready.reason, "NotHealthy");
        assert_eq!(verdict.ready.message, "1 of 3 replicas of b are ready on edge-1");
        let counts: Vec<(i64, i64)> = verdict.workloads.iter().map(|w| (w.replicas, w.ready)).collect();
        assert_eq!(counts, [(1, 1), (3, 1)]);
    }

    /// The condition of a service of half a core and 500 MiB whose workloads have these millicores, MiB and
    /// replicas.
    fn condition_of(workloads: &[(i64, i64, i64)]) -> Option<(ConditionStatus, String)> {
        let workload = |&(cpu_millicores, mebibytes, replicas): &(i64, i64, i64)| WorkloadUse {
            requests: Resources { cpu_millicores, ram_bytes: mebibytes << 20, ..Resources::default() },
            replicas,
            ready: replicas,
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
