//! Whether a service has the replicas that scaling decided. Pure.
//!
//! Charts that do not read the number from their values, and people, set another one. So what was decided is compared with
//! what is seen, again and again, and not with what was done.

use crate::clients::{ClientError, WorkloadObservation};
use crate::model::condition::{ConditionUpdate, SCALED};

/// What is to be done about the replicas of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    /// Nothing: the chart decides, or there is no Deployment yet.
    Undecided,
    /// Nothing: there are as many as decided.
    AsDecided(i64),
    /// This Deployment must get so many.
    Scale {
        /// Name of the Deployment.
        deployment: String,
        /// How many.
        replicas: i64,
    },
    /// Nothing: it is not said which of these Deployments the decision means.
    Ambiguous {
        /// Names of the Deployments.
        deployments: Vec<String>,
        /// How many were decided.
        replicas: i64,
    },
}

/// Compares the replicas that were decided with the Deployments of the release.
#[must_use]
pub fn compare(decided: Option<i64>, workloads: &[WorkloadObservation]) -> Replicas {
    match (decided, workloads) {
        (None, _) | (_, []) => Replicas::Undecided,
        (Some(replicas), [only]) if only.replicas == replicas => Replicas::AsDecided(replicas),
        (Some(replicas), [only]) => Replicas::Scale { deployment: only.deployment.clone(), replicas },
        (Some(replicas), several) => {
            let deployments = several.iter().map(|workload| workload.deployment.clone()).collect();
            Replicas::Ambiguous { deployments, replicas }
        }
    }
}

impl Replicas {
    /// The condition `Scaled` after what was to be done was tried; `None` when nothing was decided.
    #[must_use]
    pub fn update(&self, error: Option<&ClientError>) -> Option<ConditionUpdate> {
        match (self, error) {
            (Self::Undecided, _) => None,
            (Self::Scale { replicas, .. }, Some(error)) => {
                let reason = if error.kind.is_transient() { "Retrying" } else { "Failed" };
                Some(ConditionUpdate::fails(
                    SCALED,
                    reason,
                    format!("{} decided: {error}", counted(*replicas)),
                ))
            }
            (Self::AsDecided(replicas) | Self::Scale { replicas, .. }, _) => Some(ConditionUpdate::holds(
                SCALED,
                "AsDecided",
                format!("{} as decided", counted(*replicas)),
            )),
            (Self::Ambiguous { deployments, replicas }, _) => {
                let (replicas, names) = (counted(*replicas), deployments.join(", "));
                let message = format!("{replicas} decided, but the release has several Deployments: {names}");
                Some(ConditionUpdate::fails(SCALED, "SeveralDeployments", message))
            }
        }
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
    use crate::model::ConditionStatus;

    fn deployment(name: &str, replicas: i64) -> WorkloadObservation {
        WorkloadObservation {
            deployment: name.into(),
            replicas,
            requests: Resources::default(),
            binding: None,
        }
    }

    fn found(replicas: &Replicas, error: Option<&ClientError>) -> (ConditionStatus, &'static str, String) {
        let update = replicas.update(error).unwrap();
        (update.status, update.reason, update.message)
    }

    #[test]
    fn a_deployment_with_another_number_is_scaled_and_one_with_the_decided_number_is_left() {
        let scale = compare(Some(3), &[deployment("a", 1)]);
        assert_eq!(scale, Replicas::Scale { deployment: "a".into(), replicas: 3 });
        let done = compare(Some(3), &[deployment("a", 3)]);
        assert_eq!(done, Replicas::AsDecided(3));
        let expected = (ConditionStatus::True, "AsDecided", "3 replicas as decided".to_owned());
        assert_eq!((found(&scale, None), found(&done, None)), (expected.clone(), expected));
        assert_eq!(found(&compare(Some(1), &[deployment("a", 1)]), None).2, "1 replica as decided");
    }

    #[test]
    fn without_a_decision_or_a_deployment_there_is_nothing_to_do() {
        for nothing in [compare(None, &[deployment("a", 1)]), compare(Some(3), &[])] {
            assert_eq!(nothing, Replicas::Undecided);
            assert_eq!(nothing.update(None), None);
        }
    }

    #[test]
    fn several_deployments_are_left_alone_and_named() {
        let ambiguous = compare(Some(2), &[deployment("a", 1), deployment("b", 1)]);
        let (status, reason, message) = found(&ambiguous, None);
        assert_eq!((status, reason), (ConditionStatus::False, "SeveralDeployments"));
        assert_eq!(message, "2 replicas decided, but the release has several Deployments: a, b");
    }

    #[test]
    fn a_call_that_fails_is_told_with_its_cause() {
        let scale = compare(Some(3), &[deployment("a", 1)]);
        let failed = |kind| ClientError::new("karmada", kind, "no such thing");
        let (status, reason, message) = found(&scale, Some(&failed(ClientErrorKind::Unreachable)));
        assert_eq!((status, reason), (ConditionStatus::False, "Retrying"));
        assert!(
            message.starts_with("3 replicas decided: ") && message.contains("no such thing"),
            "{message}"
        );
        assert_eq!(found(&scale, Some(&failed(ClientErrorKind::NotFound))).1, "Failed");
    }
}
