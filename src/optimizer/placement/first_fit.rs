//! First fit: services and clusters in the order of their ranks, clusters of equal rank in that of their names;
//! clusters with what a service prefers come first.
//!
//! Co-located services form one item that is placed as a whole when its first member's turn comes. The
//! strategy does not backtrack: an item that fits nowhere ends it, although another order might have worked.
//! The answer lists the resources each cluster lacked at that point.

use super::compile::Compiled;
use super::partial::PartialAssignment;
use super::{ClusterVerdict, Infeasibility};
use crate::hdag::Dimension;
use crate::optimizer::text::amounts;

/// Maximum number of clusters named in a summary; the verdicts list all.
const MAX_NAMED: usize = 8;

/// Places each item on the first cluster that it fits; returns the reasons too.
pub(super) fn first_fit(compiled: &Compiled<'_>) -> Result<(Vec<usize>, Vec<String>), Box<Infeasibility>> {
    let mut situation = PartialAssignment::empty(compiled);
    let clusters = &compiled.problem.clusters;
    let mut turns: Vec<usize> = (0..clusters.len()).collect();
    turns.sort_by_key(|cluster| clusters[*cluster].rank);
    let (mut assignment, mut reasons) = (Vec::new(), Vec::new());
    for item in 0..compiled.items.len() {
        let verdicts = situation.verdicts(item);
        let missing = |cluster: &usize| preferences(compiled, item, *cluster);
        let feasible = turns.iter().copied().filter(|cluster| verdicts[*cluster].feasible);
        // The first of those that keep as many preferences as any.
        let Some(chosen) = feasible.min_by(|one, other| missing(one).total_cmp(&missing(other))) else {
            return Err(Box::new(no_cluster(compiled, item, verdicts)));
        };
        reasons.push(reason(&situation, compiled, item, chosen));
        situation.place(item, chosen);
        assignment.push(chosen);
    }
    Ok((assignment, reasons))
}

/// What it costs that a cluster lacks what the services of an item prefer.
fn preferences(compiled: &Compiled<'_>, item: usize, cluster: usize) -> f64 {
    let (services, cluster) = (&compiled.problem.services, &compiled.problem.clusters[cluster]);
    let members = compiled.items[item].iter();
    members.map(|member| services[*member].missing_preferences(&cluster.attributes)).sum()
}

fn reason(situation: &PartialAssignment<'_>, compiled: &Compiled<'_>, item: usize, cluster: usize) -> String {
    let (needs, free) = (situation.total(item), situation.free_for(item, cluster));
    let names: Vec<&str> =
        compiled.items[item].iter().map(|member| compiled.problem.services[*member].name.as_str()).collect();
    let who = match names.as_slice() {
        [_] => "needs".to_owned(),
        several => format!("co-located {} need", several.join(", ")),
    };
    let free_of = &compiled.problem.clusters[cluster];
    let unused: Vec<Dimension> =
        Dimension::ALL.into_iter().filter(|dimension| needs.get(*dimension) == 0).collect();
    let members = &compiled.items[item];
    let prefers = members.iter().any(|member| !compiled.problem.services[*member].prefers.is_empty());
    let most = if prefers { " and most of what is preferred" } else { "" };
    format!(
        "first cluster in order of discovery with room{most}: {who} {}; free {}",
        amounts(needs, &unused),
        amounts(free, &[unused, free_of.unlimited()].concat())
    )
}

/// The answer for an item that no cluster can take.
pub(super) fn no_cluster(
    compiled: &Compiled<'_>,
    item: usize,
    clusters: Vec<ClusterVerdict>,
) -> Infeasibility {
    let name = |member: &usize| compiled.problem.services[*member].name.clone();
    let services: Vec<String> = compiled.items[item].iter().map(name).collect();
    let who = match services.as_slice() {
        [only] => format!("service {only} fits"),
        several => format!("co-located services {} fit together", several.join(", ")),
    };
    let mut lacks: Vec<String> = clusters
        .iter()
        .take(MAX_NAMED)
        .map(|verdict| {
            let violated: Vec<String> = verdict.violated.iter().map(ToString::to_string).collect();
            format!("{} ({})", verdict.cluster, violated.join("; "))
        })
        .collect();
    if clusters.len() > MAX_NAMED {
        lacks.push(format!("and {} more", clusters.len() - MAX_NAMED));
    }
    let where_ = if lacks.is_empty() { "no cluster is known".to_owned() } else { lacks.join(", ") };
    Infeasibility {
        strategy: compiled.problem.strategy.clone(),
        summary: format!("{who} on no cluster: {where_}"),
        services,
        clusters,
        proven: false,
        conflict: Vec::new(),
        minimal: false,
        relaxations: Vec::new(),
        cut_short: false,
    }
}
