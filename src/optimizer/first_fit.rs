//! First fit: services in the order of the problem, clusters in the order of their names.
//!
//! Co-located services form one group that is placed as a whole when its first member's turn comes. The
//! strategy never looks back: a group that finds no room makes the problem infeasible, although another order
//! might have worked. The answer says what each cluster lacked at that moment.

use std::collections::{BTreeMap, HashMap};

use super::text::amounts;
use super::{
    ClusterState, ClusterVerdict, Infeasibility, Outcome, Plan, Problem, ServiceDemand, ServiceExplanation,
    Violation,
};
use crate::hdag::Resources;

const NAME: &str = "first-fit";
/// So many clusters are named in a summary; the verdicts list all.
const MAX_NAMED: usize = 8;

/// Places each service, or group of co-located services, on the first cluster by name that has room for it.
#[must_use]
pub fn first_fit(problem: &Problem) -> Outcome {
    let mut clusters: Vec<Room<'_>> = problem.clusters.iter().map(Room::new).collect();
    clusters.sort_by(|one, other| one.cluster.name.cmp(&other.cluster.name));
    let mut assignment = BTreeMap::new();
    let mut explained: Vec<Option<ServiceExplanation>> = vec![None; problem.services.len()];
    for members in groups(&problem.services) {
        let group: Vec<&ServiceDemand> = members.iter().map(|index| &problem.services[*index]).collect();
        let needs = group.iter().fold(Resources::default(), |sum, service| sum + service.total());
        let verdicts: Vec<ClusterVerdict> = clusters.iter().map(|room| room.verdict(needs)).collect();
        let Some(chosen) = verdicts.iter().position(|verdict| verdict.feasible) else {
            return Outcome::Infeasible(infeasible(&group, verdicts));
        };
        for (index, service) in members.iter().zip(&group) {
            let cluster = clusters[chosen].cluster.name.clone();
            explained[*index] = Some(ServiceExplanation {
                service: service.name.clone(),
                cluster: cluster.clone(),
                reason: reason(service, &group, needs, &clusters[chosen]),
                clusters: verdicts.clone(),
            });
            assignment.insert(service.name.clone(), cluster);
        }
        clusters[chosen].used += needs;
    }
    let explanation = explained.into_iter().flatten().collect();
    Outcome::Feasible(Plan { strategy: NAME.to_owned(), assignment, explanation })
}

/// A cluster and what this run has placed on it.
struct Room<'a> {
    cluster: &'a ClusterState,
    used: Resources,
}

impl<'a> Room<'a> {
    fn new(cluster: &'a ClusterState) -> Self {
        Self { cluster, used: Resources::default() }
    }

    fn free(&self) -> Resources {
        self.cluster.free.minus_clamped(self.used)
    }

    fn verdict(&self, needs: Resources) -> ClusterVerdict {
        let free = self.free();
        let mut violated = Vec::new();
        if !self.cluster.available {
            violated.push(Violation::Unavailable);
        }
        if needs.cpu_millicores > free.cpu_millicores {
            violated.push(Violation::Cpu { needed: needs.cpu_millicores, free: free.cpu_millicores });
        }
        if needs.ram_bytes > free.ram_bytes {
            violated.push(Violation::Ram { needed: needs.ram_bytes, free: free.ram_bytes });
        }
        if self.cluster.storage_reported && needs.storage_bytes > free.storage_bytes {
            violated.push(Violation::Storage { needed: needs.storage_bytes, free: free.storage_bytes });
        }
        if needs.gpus > free.gpus {
            violated.push(Violation::Gpu { needed: needs.gpus, free: free.gpus });
        }
        ClusterVerdict { cluster: self.cluster.name.clone(), feasible: violated.is_empty(), violated }
    }
}

/// Indices of the services that must share a cluster, by the first member's turn; members in order.
///
/// Co-location is symmetric and transitive; names that are not in the problem bind nothing.
fn groups(services: &[ServiceDemand]) -> Vec<Vec<usize>> {
    let index: HashMap<&str, usize> =
        services.iter().enumerate().map(|(index, service)| (service.name.as_str(), index)).collect();
    let mut parent: Vec<usize> = (0..services.len()).collect();
    for (this, service) in services.iter().enumerate() {
        for other in service.co_location.iter().filter_map(|name| index.get(name.as_str())) {
            let (one, other) = (root(&mut parent, this), root(&mut parent, *other));
            // The smaller index leads, so the leader is the member whose turn comes first.
            parent[one.max(other)] = one.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for this in 0..services.len() {
        groups.entry(root(&mut parent, this)).or_default().push(this);
    }
    groups.into_values().collect()
}

fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

fn reason(service: &ServiceDemand, group: &[&ServiceDemand], needs: Resources, room: &Room<'_>) -> String {
    let others: Vec<&str> =
        group.iter().map(|member| member.name.as_str()).filter(|name| *name != service.name).collect();
    let who = if others.is_empty() {
        "needs".to_owned()
    } else {
        format!("together with co-located {} needs", others.join(", "))
    };
    let gpus = needs.gpus > 0;
    format!(
        "first cluster in name order with room: {who} {}; free {}",
        amounts(needs, true, gpus),
        amounts(room.free(), room.cluster.storage_reported, gpus)
    )
}

fn infeasible(group: &[&ServiceDemand], verdicts: Vec<ClusterVerdict>) -> Infeasibility {
    let services: Vec<String> = group.iter().map(|service| service.name.clone()).collect();
    let who = match services.as_slice() {
        [only] => format!("service {only} fits"),
        several => format!("co-located services {} fit together", several.join(", ")),
    };
    let mut lacks: Vec<String> = verdicts
        .iter()
        .take(MAX_NAMED)
        .map(|verdict| {
            let violated: Vec<String> = verdict.violated.iter().map(ToString::to_string).collect();
            format!("{} ({})", verdict.cluster, violated.join("; "))
        })
        .collect();
    if verdicts.len() > MAX_NAMED {
        lacks.push(format!("and {} more", verdicts.len() - MAX_NAMED));
    }
    let where_ = if lacks.is_empty() { "no cluster is known".to_owned() } else { lacks.join(", ") };
    Infeasibility {
        strategy: NAME.to_owned(),
        summary: format!("{who} on no cluster: {where_}"),
        services,
        clusters: verdicts,
    }
}
