//! Branch and bound over the Lagrangian bound: best node first, clusters in use before places of items.
//!
//! The weakest open node is the bound. Children start from their parent's multipliers. Assignments come from
//! elsewhere; a node only takes the one that its parts happen to agree on.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::ascent::{Averages, Pace, Schedule, ascend};
use super::domain::{Domain, Use};
use super::dual::{Dual, Multipliers};

/// Steps of a node: few, as its parent's multipliers are near.
const NODE: Schedule = Schedule { rounds: 60, first: 0.15, last: 0.01, memory: 0.9 };
/// Memory for open nodes, bytes; the search ends when they need more.
const MEMORY: usize = 256 << 20;
/// A cluster whose average use is this near to 0 or 1 is not worth a branch.
const DECIDED: f32 = 0.05;

/// How to split a domain in two.
#[derive(Debug, Clone, Copy)]
enum Branch {
    /// In use or not.
    Use(usize),
    /// An item on a cluster or not.
    Place { item: usize, cluster: usize },
}

/// A part of the assignments that may hold a better one than the incumbent.
#[derive(Debug)]
struct Node {
    bound: i64,
    /// Order of creation: breaks ties.
    serial: usize,
    domain: Domain,
    multipliers: Multipliers,
    /// `None` when one assignment is left, whose cost is the bound.
    branch: Option<Branch>,
}

/// A search that can be continued node by node.
pub(super) struct Search<'a> {
    dual: &'a Dual<'a>,
    upper: Option<i64>,
    /// The assignment that costs `upper`, if it was found here.
    found: Option<Vec<usize>>,
    pace: Pace<'a>,
    open: BinaryHeap<Node>,
    created: usize,
}

impl<'a> Search<'a> {
    /// The root: all assignments, multipliers improved by `schedule`.
    pub(super) fn new(dual: &'a Dual<'a>, upper: Option<i64>, schedule: Schedule, pace: Pace<'a>) -> Self {
        let mut search = Self { dual, upper, found: None, pace, open: BinaryHeap::new(), created: 0 };
        search.add(Domain::new(dual.model), dual.start(), schedule, 0);
        search
    }

    /// Lower bound of all assignments; `i64::MAX` when none is feasible.
    pub(super) fn bound(&self) -> i64 {
        let weakest = self.open.peek().map_or(i64::MAX, |node| node.bound);
        self.upper.map_or(weakest, |upper| upper.min(weakest)).max(0)
    }

    /// A better assignment than the one the search was started with, and its cost.
    pub(super) fn into_found(self) -> Option<(Vec<usize>, i64)> {
        self.found.zip(self.upper)
    }

    /// Splits the weakest node. False when nothing is left to do or the time or memory is used up.
    pub(super) fn step(&mut self) -> bool {
        if self.pace.is_over() {
            return false;
        }
        if self.open.peek().is_some_and(|node| self.upper.is_some_and(|upper| node.bound >= upper)) {
            return false;
        }
        let Some((node, branch)) = self.open.peek().and_then(|node| Some((node, node.branch?))) else {
            return false;
        };
        if self.open.len() * node.size() > MEMORY {
            return false;
        }
        let Some(Node { bound, domain, multipliers, .. }) = self.open.pop() else { return false };
        let (first, second) = split(&domain, branch);
        self.add(first, multipliers.clone(), NODE, bound);
        self.add(second, multipliers, NODE, bound);
        true
    }

    /// Bounds a domain, and keeps it unless it is empty or no better than the incumbent.
    fn add(&mut self, mut domain: Domain, mut multipliers: Multipliers, schedule: Schedule, parent: i64) {
        let averages = ascend(self.dual, &domain, &mut multipliers, self.upper, schedule, self.pace);
        self.try_assignment(&averages.labels);
        let Some(bound) = self.dual.certify(&mut domain, &multipliers, self.upper) else { return };
        let mut bound = bound.max(parent);
        let mut next = branch(self.dual, &domain, &averages);
        if let Some(assignment) = domain.single() {
            if !self.dual.model.is_feasible(&assignment) {
                return;
            }
            self.try_assignment(&assignment);
            bound = self.dual.model.cost_of(&assignment);
            next = None;
        }
        if self.upper.is_none_or(|upper| bound < upper) {
            self.created += 1;
            self.open.push(Node { bound, serial: self.created, domain, multipliers, branch: next });
        }
    }

    fn try_assignment(&mut self, assignment: &[usize]) {
        let model = self.dual.model;
        // An item without a choice may be on padding.
        if assignment.iter().all(|cluster| *cluster < model.clusters()) && model.is_feasible(assignment) {
            let cost = model.cost_of(assignment);
            if self.upper.is_none_or(|upper| cost < upper) {
                self.upper = Some(cost);
                self.found = Some(assignment.to_vec());
            }
        }
    }
}

fn split(domain: &Domain, branch: Branch) -> (Domain, Domain) {
    let (mut with, mut without) = (domain.clone(), domain.clone());
    match branch {
        Branch::Use(cluster) => {
            with.uses[cluster] = Use::Open;
            without.close(cluster);
        }
        Branch::Place { item, cluster } => {
            for other in domain.choices(item).filter(|other| *other != cluster) {
                with.allowed.set(item, other, false);
            }
            without.allowed.set(item, cluster, false);
        }
    }
    (with, without)
}

/// The least decided cluster; when all are, the least decided item, large ones first.
fn branch(dual: &Dual<'_>, domain: &Domain, averages: &Averages) -> Option<Branch> {
    let doubt = |cluster: &usize| 0.5 - (averages.open[*cluster] - 0.5).abs();
    let cluster = (0..dual.model.clusters())
        .filter(|cluster| domain.uses[*cluster] == Use::Free && doubt(cluster) > DECIDED)
        .max_by(|a, b| doubt(a).total_cmp(&doubt(b)));
    if let Some(cluster) = cluster {
        return Some(Branch::Use(cluster));
    }
    let stride = dual.pairs.stride();
    let undecided = (0..dual.model.items()).filter(|item| domain.choices(*item).nth(1).is_some());
    let scored = undecided.filter_map(|item| {
        let average = |cluster: &usize| averages.place[item * stride + cluster];
        let cluster = domain.choices(item).max_by(|a, b| average(a).total_cmp(&average(b)))?;
        let doubt = 1.0 - average(&cluster);
        Some((doubt * (0.1 + dual.clusters.share(item, cluster)), Branch::Place { item, cluster }))
    });
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, branch)| branch)
}

impl Node {
    /// Bytes, about.
    fn size(&self) -> usize {
        let multipliers = self.multipliers.values.price.len() + self.multipliers.messages.len();
        4 * multipliers + self.multipliers.values.price.len()
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.bound, other.serial).cmp(&(self.bound, self.serial))
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Node {}
