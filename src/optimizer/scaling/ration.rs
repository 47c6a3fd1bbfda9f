//! What becomes of a load that needs more replicas than the graph may have.

use std::collections::BTreeMap;

use super::{ScaledService, ScalingConflict, ScalingInfeasibility, ScalingProblem};

/// The same problem with largest numbers of replicas that add up to what the graph may have, when that is all that is in
/// the way; else `None`. The replicas go, one by one, to the service that is loaded most.
#[must_use]
pub fn ration(problem: &ScalingProblem, cause: &ScalingInfeasibility) -> Option<ScalingProblem> {
    let [ScalingConflict::Maximum { maximum, .. }] = cause.conflicts.as_slice() else { return None };
    let needed =
        |service: &ScaledService| cause.needed.get(&service.name).copied().unwrap_or(service.previous);
    let mut shares: Vec<i64> =
        problem.services.iter().map(|service| service.profile.min.min(needed(service))).collect();
    let mut left = maximum - shares.iter().sum::<i64>();
    if left < 0 {
        return None;
    }
    while left > 0 {
        let open = (0..shares.len()).filter(|index| shares[*index] < needed(&problem.services[*index]));
        let load = |index: &usize| load(&problem.services[*index], shares[*index]);
        let Some(most) = open.max_by(|one, other| load(one).total_cmp(&load(other))) else { break };
        shares[most] += 1;
        left -= 1;
    }
    let by_name: BTreeMap<&str, i64> =
        problem.services.iter().map(|service| service.name.as_str()).zip(shares).collect();
    let mut rationed = problem.clone();
    for service in &mut rationed.services {
        let share = by_name.get(service.name.as_str()).copied().unwrap_or(service.profile.max);
        // A profile allows at least one replica; a share of none is left to the bound over all services.
        service.profile.max = share.max(service.profile.min).max(1);
    }
    Some(rationed)
}

/// Share of what so many replicas serve that the rate takes.
fn load(service: &ScaledService, replicas: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "few replicas")]
    let capacity = service.profile.alpha * replicas as f64 + service.profile.beta;
    let rate = service.rate.unwrap_or(0.0);
    if capacity > 0.0 { rate / capacity } else { f64::INFINITY }
}
