//! A partial assignment, and the constraints that keep an item off a cluster given the rest.

use super::compile::{Compiled, Unknown};
use super::proximity::Tri;
use super::{AttributeTest, ClusterVerdict, LatencyBound, Requirement, Violation};
use crate::hdag::{Dimension, Resources};

/// Latency bounds of one item, each with the service at the other end.
type Bounds = Vec<(LatencyBound, usize)>;

/// A partial or whole assignment of the items of a model.
pub struct PartialAssignment<'a> {
    compiled: &'a Compiled<'a>,
    /// The cluster of each placed item.
    placed: Vec<Option<usize>>,
    /// Usage of the placed items on each cluster.
    used: Vec<Resources>,
    /// Latency bounds of each item: the bound and the service at the other end.
    bounds: Vec<Bounds>,
    /// Services that each item must be apart from.
    apart: Vec<Vec<usize>>,
}

impl<'a> PartialAssignment<'a> {
    /// Nothing is placed yet.
    #[must_use]
    pub fn empty(compiled: &'a Compiled<'a>) -> Self {
        let (bounds, apart) = neighbours(compiled);
        Self {
            compiled,
            placed: vec![None; compiled.items.len()],
            used: vec![Resources::default(); compiled.problem.clusters.len()],
            bounds,
            apart,
        }
    }

    /// Everything is placed.
    #[must_use]
    pub fn of(compiled: &'a Compiled<'a>, assignment: &[usize]) -> Self {
        let mut situation = Self::empty(compiled);
        assignment.iter().enumerate().for_each(|(item, cluster)| situation.place(item, *cluster));
        situation
    }

    /// Puts an item on a cluster, without checking capacity.
    pub fn place(&mut self, item: usize, cluster: usize) {
        self.placed[item] = Some(cluster);
        let total = self.total(item);
        self.used[cluster] += total;
    }

    /// The demand of an item.
    #[must_use]
    pub fn total(&self, item: usize) -> Resources {
        super::compile::total(self.compiled.problem, &self.compiled.items[item])
    }

    /// The capacity left on a cluster for an item by the other placed items.
    #[must_use]
    pub fn free_for(&self, item: usize, cluster: usize) -> Resources {
        let own = if self.placed[item] == Some(cluster) { self.total(item) } else { Resources::default() };
        self.compiled.problem.clusters[cluster].free.minus_clamped(self.used[cluster].minus_clamped(own))
    }

    /// The verdicts on all clusters for an item.
    #[must_use]
    pub fn verdicts(&self, item: usize) -> Vec<ClusterVerdict> {
        (0..self.compiled.problem.clusters.len()).map(|cluster| self.verdict(item, cluster)).collect()
    }

    /// Whether an item could be on a cluster, and if not, every constraint that forbids it.
    #[must_use]
    pub fn verdict(&self, item: usize, cluster: usize) -> ClusterVerdict {
        let state = &self.compiled.problem.clusters[cluster];
        let mut violated = Vec::new();
        if !state.available {
            violated.push(Violation::Unavailable);
        }
        self.room(item, cluster, &mut violated);
        for member in &self.compiled.items[item] {
            let service = &self.compiled.problem.services[*member];
            if let (true, Some(current)) = (service.pinned, &service.current)
                && *current != state.name
            {
                let because = service.pinned_because.clone();
                violated.push(Violation::Pinned { cluster: current.clone(), because });
            }
            if let Some(pod) = state.too_large(service) {
                violated.push(Violation::Node { needed: *pod, largest: state.nodes.clone() });
            }
            let failing = service
                .requires
                .iter()
                .filter(|requirement| !self.holds(requirement.met_by(&state.attributes)));
            violated.extend(failing.map(|requirement| Violation::Attribute {
                intent: requirement.intent.clone(),
                attribute: requirement.attribute.clone(),
                wanted: wanted(requirement),
                found: state.attributes.get(&requirement.attribute),
            }));
        }
        self.neighbours(item, cluster, &mut violated);
        ClusterVerdict {
            cluster: state.name.clone(),
            feasible: violated.is_empty(),
            violated,
            cost_difference: None,
        }
    }

    fn holds(&self, met: Tri) -> bool {
        met.decided(self.compiled.unknown == Unknown::Allows)
    }

    fn room(&self, item: usize, cluster: usize, violated: &mut Vec<Violation>) {
        let (needs, free) = (self.total(item), self.free_for(item, cluster));
        let unlimited = self.compiled.problem.clusters[cluster].unlimited();
        for dimension in Dimension::ALL.into_iter().filter(|dimension| !unlimited.contains(dimension)) {
            let (needed, free) = (needs.get(dimension), free.get(dimension));
            if needed > free {
                violated.push(Violation::shortage(dimension, needed, free));
            }
        }
    }

    /// Latency bounds and anti-affinity towards items that are placed.
    fn neighbours(&self, item: usize, cluster: usize, violated: &mut Vec<Violation>) {
        let (problem, item_of) = (self.compiled.problem, &self.compiled.item_of);
        for (bound, other) in &self.bounds[item] {
            let Some(there) = self.placed[item_of[*other]] else { continue };
            if !self.holds(self.compiled.proximity.within(*bound, cluster, there)) {
                violated.push(Violation::Latency {
                    service: problem.services[*other].name.clone(),
                    wanted: bound_text(*bound, problem),
                    milliseconds: self.compiled.proximity.milliseconds(cluster, there),
                });
            }
        }
        for other in &self.apart[item] {
            // One that shares the item can never be apart from it.
            if item_of[*other] == item || self.placed[item_of[*other]] == Some(cluster) {
                violated.push(Violation::AntiAffinity { service: problem.services[*other].name.clone() });
            }
        }
    }

    /// The unknown data that an assignment relies on, in words.
    #[must_use]
    pub fn unknowns(&self) -> Vec<String> {
        let problem = self.compiled.problem;
        let mut unknowns = Vec::new();
        for (index, service) in problem.services.iter().enumerate() {
            let Some(cluster) = self.placed[self.compiled.item_of[index]] else { continue };
            let state = &problem.clusters[cluster];
            for requirement in service.requires.iter().filter(|r| r.met_by(&state.attributes) == Tri::Unknown)
            {
                unknowns.push(format!(
                    "intent {} of service {} cannot be decided: {} of cluster {} is unknown",
                    requirement.intent, service.name, requirement.attribute, state.name
                ));
            }
        }
        let find = |name: &String| problem.services.binary_search_by(|service| service.name.cmp(name)).ok();
        for link in &problem.links {
            let (Some(bound), Some(from), Some(to)) = (link.bound, find(&link.from), find(&link.to)) else {
                continue;
            };
            let place = |service: usize| self.placed[self.compiled.item_of[service]];
            let (Some(here), Some(there)) = (place(from), place(to)) else { continue };
            if self.compiled.proximity.within(bound, here, there) == Tri::Unknown {
                unknowns.push(format!(
                    "{} and {} want {}, but no latency between their clusters {} and {} is known",
                    link.from,
                    link.to,
                    bound_text(bound, problem),
                    problem.clusters[here].name,
                    problem.clusters[there].name
                ));
            }
        }
        unknowns
    }
}

/// Per item, the latency bounds and the services it must be apart from.
fn neighbours(compiled: &Compiled<'_>) -> (Vec<Bounds>, Vec<Vec<usize>>) {
    let (problem, item_of) = (compiled.problem, &compiled.item_of);
    let find = |name: &String| problem.services.binary_search_by(|service| service.name.cmp(name)).ok();
    let mut bounds = vec![Vec::new(); compiled.items.len()];
    for link in &problem.links {
        let (Some(bound), Some(from), Some(to)) = (link.bound, find(&link.from), find(&link.to)) else {
            continue;
        };
        if item_of[from] != item_of[to] {
            bounds[item_of[from]].push((bound, to));
            bounds[item_of[to]].push((bound, from));
        }
    }
    let mut apart = vec![Vec::new(); compiled.items.len()];
    for (at, service) in problem.services.iter().enumerate() {
        for other in service.anti_affinity.iter().filter_map(find) {
            apart[item_of[at]].push(other);
            apart[item_of[other]].push(at);
        }
    }
    for services in &mut apart {
        services.sort_unstable();
        services.dedup();
    }
    (bounds, apart)
}

/// A requirement in words.
pub(super) fn wanted(requirement: &Requirement) -> String {
    match &requirement.test {
        AttributeTest::OneOf(texts) => texts.join(" or "),
        AttributeTest::NoneOf(texts) => format!("not {}", texts.join(" nor ")),
        AttributeTest::AtMost(most) => format!("at most {most}"),
        AttributeTest::AtLeast(least) => format!("at least {least}"),
        AttributeTest::Known => "known".to_owned(),
    }
}

/// A latency bound in words.
pub(super) fn bound_text(bound: LatencyBound, problem: &super::Problem) -> String {
    match bound {
        LatencyBound::Ultralow => format!("less than {} ms", problem.limits.ultralow_ms),
        LatencyBound::Low => {
            format!(
                "the same or a neighbouring cluster (same region, or at most {} ms)",
                problem.limits.neighbour_ms
            )
        }
    }
}
