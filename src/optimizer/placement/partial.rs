//! A partial assignment, and the constraints that keep an item off a cluster given the rest.

use super::compile::{Compiled, Undecidable};
use super::proximity::Tri;
use super::{AttributeTest, ClusterVerdict, LatencyBound, Link, Requirement, Violation};
use crate::hdag::{Dimension, Resources};

/// A latency bound of an item.
struct Bound {
    /// Index of the link.
    link: usize,
    bound: LatencyBound,
    /// The service at the other end.
    other: usize,
}

/// A partial or whole assignment of the items of a model.
pub struct PartialAssignment<'a> {
    compiled: &'a Compiled<'a>,
    /// The cluster of each placed item.
    placed: Vec<Option<usize>>,
    /// Usage of the placed items on each cluster.
    used: Vec<Resources>,
    /// Latency bounds of each item.
    bounds: Vec<Vec<Bound>>,
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
            let failing = service.requires.iter().enumerate().filter(|(index, requirement)| {
                !self.holds(requirement.met_by(&state.attributes), Undecidable::Requirement(*member, *index))
            });
            violated.extend(failing.map(|(_, requirement)| Violation::Attribute {
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

    fn holds(&self, met: Tri, requirement: Undecidable) -> bool {
        met.decided(self.compiled.unknown.allows(requirement))
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
        for Bound { link, bound, other } in &self.bounds[item] {
            let Some(there) = self.placed[item_of[*other]] else { continue };
            let near = self.compiled.proximity.within(*bound, cluster, there);
            if !self.holds(near, Undecidable::Link(*link)) {
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

    /// The requirements that an assignment keeps only as far as is known.
    #[must_use]
    pub fn undecided(&self) -> Vec<Undecidable> {
        let problem = self.compiled.problem;
        let place = |service: usize| self.placed[self.compiled.item_of[service]];
        let mut undecided = Vec::new();
        for (at, service) in problem.services.iter().enumerate() {
            let Some(cluster) = place(at) else { continue };
            let attributes = &problem.clusters[cluster].attributes;
            let open = |index: &usize| service.requires[*index].met_by(attributes) == Tri::Unknown;
            let open = (0..service.requires.len()).filter(open);
            undecided.extend(open.map(|index| Undecidable::Requirement(at, index)));
        }
        for (index, link) in problem.links.iter().enumerate() {
            let ends = (find(problem, &link.from).and_then(place), find(problem, &link.to).and_then(place));
            let (Some(bound), (Some(here), Some(there))) = (link.bound, ends) else { continue };
            if self.compiled.proximity.within(bound, here, there) == Tri::Unknown {
                undecided.push(Undecidable::Link(index));
            }
        }
        undecided
    }

    /// The unknown data that an assignment relies on, in words.
    #[must_use]
    pub fn unknowns(&self) -> Vec<String> {
        self.undecided().into_iter().map(|open| self.unknown_text(open)).collect()
    }

    fn unknown_text(&self, open: Undecidable) -> String {
        let problem = self.compiled.problem;
        let cluster = |service: Option<usize>| {
            let place = service.and_then(|service| self.placed[self.compiled.item_of[service]]);
            place.map_or("no cluster", |cluster| problem.clusters[cluster].name.as_str())
        };
        match open {
            Undecidable::Requirement(at, index) => {
                let service = &problem.services[at];
                let requirement = &service.requires[index];
                format!(
                    "intent {} of service {} cannot be decided: {} of cluster {} is unknown",
                    requirement.intent,
                    service.name,
                    requirement.attribute,
                    cluster(Some(at))
                )
            }
            Undecidable::Link(index) => {
                let link = &problem.links[index];
                let (here, there) = (find(problem, &link.from), find(problem, &link.to));
                format!(
                    "{} and {} want {}, but no latency between their clusters {} and {} is known",
                    link.from,
                    link.to,
                    link.bound.map_or_else(String::new, |bound| bound_text(bound, problem)),
                    cluster(here),
                    cluster(there)
                )
            }
        }
    }
}

/// The index of a service.
fn find(problem: &super::Problem, name: &String) -> Option<usize> {
    problem.services.binary_search_by(|service| service.name.cmp(name)).ok()
}

/// Per item, the latency bounds and the services it must be apart from.
fn neighbours(compiled: &Compiled<'_>) -> (Vec<Vec<Bound>>, Vec<Vec<usize>>) {
    let (problem, item_of) = (compiled.problem, &compiled.item_of);
    let find = |name: &String| find(problem, name);
    let mut bounds: Vec<Vec<Bound>> = compiled.items.iter().map(|_| Vec::new()).collect();
    for (link, Link { from, to, bound, .. }) in problem.links.iter().enumerate() {
        let (Some(bound), Some(from), Some(to)) = (*bound, find(from), find(to)) else { continue };
        if item_of[from] != item_of[to] {
            bounds[item_of[from]].push(Bound { link, bound, other: to });
            bounds[item_of[to]].push(Bound { link, bound, other: from });
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
