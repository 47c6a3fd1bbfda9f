//! The replicas of a service's workload, when scaling decided them. Pure but for setting them.
//!
//! Charts that do not read the number from their values, and people, set other numbers. So the decision is
//! always compared with the observed number, not with the number last set.

use std::collections::BTreeSet;

use super::{Change, Resource, ResourceId, ResourceKind, State, Wanted};
use crate::clients::{ClientError, Outside, WorkloadObservation};
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{ServiceRecord, WorkloadKind, WorkloadUse};

/// The replicas of a service, given the workloads of its release; `None` when nothing was decided, or there is
/// no workload yet.
#[must_use]
pub(in crate::reconcile) fn resource(
    service: &ServiceRecord,
    observed: &[WorkloadObservation],
) -> Option<Resource> {
    let decided = service.replicas_decided?;
    let seen = ServiceRecord { workloads: observed.iter().map(seen).collect(), ..service.clone() };
    let change = match (seen.unscalable(), seen.workload_to_scale()) {
        (Some(why), _) => Change::LeaveAlone(why),
        (None, None) => return None,
        (None, Some(workload)) if workload.replicas == decided => Change::Keep,
        (None, Some(workload)) => Change::Apply(Wanted::Replicas {
            namespace: service.namespace.clone(),
            kind: workload.kind,
            name: workload.name.clone(),
            replicas: decided,
        }),
    };
    let id = ResourceId::new(ResourceKind::Replicas, &service.name);
    Some(Resource { id, change, after: BTreeSet::new() })
}

fn seen(workload: &WorkloadObservation) -> WorkloadUse {
    let WorkloadObservation { kind, replicas, ref name, .. } = *workload;
    WorkloadUse { kind, name: name.clone(), replicas, ..WorkloadUse::default() }
}

/// Sets the replicas of a workload.
pub(super) async fn apply(
    outside: &Outside,
    namespace: &str,
    kind: WorkloadKind,
    name: &str,
    replicas: i64,
) -> Result<(), ClientError> {
    tracing::info!("scale {} {name} in namespace {namespace} to {replicas}", kind.as_str());
    outside.scale(namespace, kind, name, replicas).await
}

/// The condition `Scaled`; `None` when nothing was decided or there is nothing to scale yet.
#[must_use]
pub(in crate::reconcile) fn condition(
    service: &ServiceRecord,
    state: Option<&State>,
) -> Option<ConditionUpdate> {
    let decided = counted(service.replicas_decided?);
    match state? {
        State::Present => {
            Some(ConditionUpdate::new(condition::REPLICAS_AS_DECIDED, format!("{decided} as decided")))
        }
        State::Failed(error) => {
            let reason = match error.kind.is_transient() {
                true => condition::SCALING_RETRIED,
                false => condition::SCALING_FAILED,
            };
            Some(ConditionUpdate::new(reason, format!("{decided} decided: {error}")))
        }
        State::LeftAlone(why) => {
            Some(ConditionUpdate::new(condition::NOT_SCALABLE, format!("{decided} decided, but {why}")))
        }
        State::Absent | State::Waits(_) | State::Superseded => None,
    }
}

fn counted(replicas: i64) -> String {
    if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::ClientErrorKind;
    use crate::hdag::Resources;
    use crate::model::testing::service;
    use crate::model::{Manifest, ManifestObject, ObjectId};

    fn deployment(name: &str, replicas: i64) -> WorkloadObservation {
        WorkloadObservation {
            kind: WorkloadKind::Deployment,
            name: name.into(),
            replicas,
            requests: Resources::default(),
            reported: Resources::default(),
            failure: None,
            binding: None,
        }
    }

    fn decided(replicas: Option<i64>) -> ServiceRecord {
        ServiceRecord { replicas_decided: replicas, ..service("a") }
    }

    fn change(replicas: Option<i64>, observed: &[WorkloadObservation]) -> Option<Change> {
        resource(&decided(replicas), observed).map(|resource| resource.change)
    }

    /// Reason and message of the condition.
    fn told(replicas: i64, state: State) -> (&'static str, String) {
        let update = condition(&decided(Some(replicas)), Some(&state)).unwrap();
        (update.reason, update.message)
    }

    #[test]
    fn a_deployment_with_another_number_is_scaled_and_one_with_the_decided_number_is_left() {
        let (namespace, name) = ("project".to_owned(), "d".to_owned());
        let scaled = Wanted::Replicas { namespace, kind: WorkloadKind::Deployment, name, replicas: 3 };
        assert_eq!(change(Some(3), &[deployment("d", 1)]), Some(Change::Apply(scaled)));
        assert_eq!(change(Some(3), &[deployment("d", 3)]), Some(Change::Keep));
        assert_eq!(told(3, State::Present), ("AsDecided", "3 replicas as decided".to_owned()));
        assert_eq!(told(1, State::Present).1, "1 replica as decided");
    }

    #[test]
    fn without_a_decision_or_a_deployment_there_is_nothing_to_do() {
        assert_eq!(change(None, &[deployment("a", 1)]), None);
        assert_eq!(change(Some(3), &[]), None);
        assert_eq!(condition(&decided(None), Some(&State::Present)), None);
        assert_eq!(condition(&decided(Some(3)), None), None);
    }

    #[test]
    fn several_deployments_are_left_alone_and_named() {
        let Some(Change::LeaveAlone(why)) = change(Some(2), &[deployment("a", 1), deployment("b", 1)]) else {
            panic!("they are left alone")
        };
        let (reason, message) = told(2, State::LeftAlone(why));
        assert_eq!(reason, "NotScalable");
        assert_eq!(
            message,
            "2 replicas decided, but it has several workloads: Deployment a, Deployment b; smo.scaling.workload \
             names the one that carries its load"
        );
    }

    #[test]
    fn of_several_workloads_the_named_one_is_scaled_or_the_only_one_that_can_be() {
        let of_kind = |kind, name| WorkloadObservation { kind, ..deployment(name, 1) };
        let front = of_kind(WorkloadKind::StatefulSet, "front");
        let scaled = |named: Option<&str>, observed: &[WorkloadObservation]| {
            let named = named.map(str::to_owned);
            match resource(&ServiceRecord { scaled_workload: named, ..decided(Some(2)) }, observed)?.change {
                Change::Apply(Wanted::Replicas { kind, name, replicas: 2, .. }) => Some(Ok((kind, name))),
                Change::LeaveAlone(why) => Some(Err(why)),
                _ => None,
            }
        };
        let it = Some(Ok((WorkloadKind::StatefulSet, "front".to_owned())));
        assert_eq!(scaled(Some("front"), &[deployment("a", 1), front.clone()]), it);
        assert_eq!(scaled(None, &[of_kind(WorkloadKind::Job, "migrate"), front.clone()]), it);
        let why = "none of its workloads is the one Deployment or StatefulSet back: StatefulSet front";
        assert_eq!(scaled(Some("back"), std::slice::from_ref(&front)), Some(Err(why.to_owned())));
        let both = scaled(Some("front"), &[deployment("front", 1), front]);
        assert!(both.as_ref().is_some_and(Result::is_err), "two of one name: {both:?}");
        let jobs = scaled(None, &[of_kind(WorkloadKind::Job, "a"), of_kind(WorkloadKind::CronJob, "b")]);
        assert_eq!(jobs, Some(Err("none of its workloads has replicas to set: Job a, CronJob b".to_owned())));
    }

    #[test]
    fn a_workload_without_replicas_and_a_chart_that_scales_itself_are_left_alone() {
        let alone = |service: &ServiceRecord, kind: WorkloadKind| match resource(
            service,
            &[WorkloadObservation { kind, ..deployment("a", 1) }],
        )
        .unwrap()
        .change
        {
            Change::LeaveAlone(why) => why,
            other => format!("{other:?}"),
        };
        let daemon = alone(&decided(Some(2)), WorkloadKind::DaemonSet);
        assert_eq!(daemon, "its workload is a DaemonSet, which has no replicas to set");
        let id = ObjectId { kind: "HorizontalPodAutoscaler".into(), name: "h".into(), ..ObjectId::default() };
        let objects = vec![ManifestObject { id, ..ManifestObject::default() }];
        let manifest = Some(Manifest { objects, ..Manifest::default() });
        let scaled = ServiceRecord { manifest, ..decided(Some(2)) };
        let why = alone(&scaled, WorkloadKind::Deployment);
        assert_eq!(why, "its chart brings HorizontalPodAutoscaler h, which scales it");
    }

    #[test]
    fn a_call_that_fails_is_told_with_its_cause() {
        let failed = |kind| told(3, State::Failed(ClientError::new("karmada", kind, "no such thing")));
        let (reason, message) = failed(ClientErrorKind::Unreachable);
        assert_eq!(reason, "Retrying");
        assert!(
            message.starts_with("3 replicas decided: ") && message.contains("no such thing"),
            "{message}"
        );
        assert_eq!(failed(ClientErrorKind::NotFound).0, "Failed");
    }
}
