//! Adoption of replica numbers decided by another program.

use std::collections::BTreeMap;

use super::instance::Instance;
use super::{ScalingOutcome, ScalingProblem, Strategy, check, validate};

/// The outcome of these numbers of replicas, after the checker has accepted them.
///
/// # Errors
/// The problem is meaningless, a service is missing or unknown, or a constraint is broken; one sentence each.
pub fn adopt(
    problem: &ScalingProblem,
    strategy: &str,
    replicas: &BTreeMap<String, i64>,
) -> Result<ScalingOutcome, Vec<String>> {
    validate(problem).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let instance = Instance::new(problem);
    let known = |name: &String| instance.services.iter().any(|service| service.name == *name);
    let mut faults: Vec<String> = Vec::new();
    faults.extend(
        replicas
            .keys()
            .filter(|name| !known(name))
            .map(|name| format!("service {name} is not part of the problem")),
    );
    let mut numbers = Vec::new();
    for service in &instance.services {
        match replicas.get(&service.name) {
            Some(number) => numbers.push(*number),
            None => faults.push(format!("service {} has no number of replicas", service.name)),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let outcome = ScalingOutcome::Decided(instance.plan(&Strategy::External(strategy.to_owned()), &numbers));
    check(problem, &outcome)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, ScaledService, ScalingCluster};
    use super::*;
    use crate::hdag::Resources;

    fn problem() -> ScalingProblem {
        let needs = Resources { cpu_millicores: 1000, ..Resources::default() };
        let mut service = ScaledService::new("a", "c", needs, Profile::new(10.0, 0.0, 1, 3));
        service.rate = Some(15.0);
        let free = Resources { cpu_millicores: 4000, ..Resources::default() };
        let cluster = ScalingCluster {
            name: "c".to_owned(),
            free,
            storage_reported: false,
            gpus_counted: true,
            pods_counted: false,
            acceleration: false,
        };
        ScalingProblem::new("g", vec![cluster], vec![service])
    }

    #[test]
    fn numbers_that_keep_the_constraints_become_a_plan_and_others_are_refused() {
        let adopted = |name: &str, replicas: i64| {
            adopt(&problem(), "mine", &BTreeMap::from([(name.to_owned(), replicas)]))
        };
        assert!(
            matches!(adopted("a", 2), Ok(ScalingOutcome::Decided(plan)) if plan.strategy.name() == "mine")
        );
        // 15 requests/s need 2 replicas of 10, and no more than 3 are allowed.
        assert!(adopted("a", 1).is_err());
        assert!(adopted("a", 4).is_err());
        let refused = adopted("b", 2).unwrap_err();
        assert_eq!(refused, ["service b is not part of the problem", "service a has no number of replicas"]);
    }
}
