//! Builds a plan from an assignment: objective, bound, and for each service and cluster the reason for or
//! against it.

use super::compile::{Compiled, Undecidable, Unknown};
use super::model::{Model, NANO};
use super::partial::PartialAssignment;
use super::{
    Certificate, ClusterVerdict, Link, Outcome, Plan, Requirement, ServiceExplanation, Waived, objective,
};

/// Most clusters with a verdict in the explanation of one service: with all of them, the record of a decision about a
/// thousand services on hundreds of clusters would have tens of megabytes.
const MOST_VERDICTS: usize = 20;

/// The proof of an assignment's quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanProof {
    /// No assignment has a smaller cost in the unit of the model; `None` when nothing is proven.
    pub bound: Option<i64>,
    /// How that was proven.
    pub certificate: Certificate,
}

impl PlanProof {
    /// Nothing is proven.
    pub const NONE: Self = Self { bound: None, certificate: Certificate::None };
}

/// The outcome of a feasible assignment. `reasons` are those of the strategy, by item; where there is none,
/// one is made from the verdicts.
#[must_use]
pub fn outcome(
    compiled: &Compiled<'_>,
    assignment: &[usize],
    proof: PlanProof,
    reasons: Vec<String>,
) -> Outcome {
    let problem = compiled.problem;
    let cost = compiled.model.cost_of(assignment);
    let objective = objective::objective(compiled, assignment);
    let optimal = proof.bound.is_some_and(|bound| bound >= cost);
    // An optimal plan's bound is its objective, regardless of the rounding of the last digit.
    #[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
    let bound = proof.bound.map(|bound| if optimal { objective.total } else { bound as f64 / compiled.unit });
    let gap = bound.map(|bound| {
        if objective.total > 0.0 { ((objective.total - bound) / objective.total).max(0.0) } else { 0.0 }
    });
    let situation = PartialAssignment::of(compiled, assignment);
    let unknowns = situation.unknowns();
    let plan = Plan {
        strategy: problem.strategy.clone(),
        assignment: compiled.names(assignment),
        replicas: problem
            .services
            .iter()
            .map(|service| (service.name.clone(), service.replicas.min))
            .collect(),
        objective,
        bound,
        gap,
        certificate: proof.certificate,
        resolution: (compiled.unit < NANO).then(|| 1.0 / compiled.unit),
        reproducible: problem.limits.deadline_ms.is_none(),
        unknown_allowed: compiled.unknown != Unknown::Forbids,
        waived: waived(compiled),
        warnings: compiled.warnings.iter().cloned().chain(unknowns).collect(),
        explanation: explanation(compiled, &situation, assignment, &reasons),
    };
    if optimal { Outcome::Optimal(plan) } else { Outcome::Feasible(plan) }
}

fn waived(compiled: &Compiled<'_>) -> Vec<Waived> {
    let waived = compiled.undecidable.iter().filter(|open| compiled.unknown.allows(**open));
    let named = |open: &Undecidable| match *open {
        Undecidable::Requirement(service, index) => {
            let service = &compiled.problem.services[service];
            let Requirement { intent, attribute, .. } = service.requires[index].clone();
            Waived::Intent { service: service.name.clone(), intent, attribute }
        }
        Undecidable::Link(index) => {
            let Link { from, to, .. } = compiled.problem.links[index].clone();
            Waived::Latency { from, to }
        }
    };
    waived.map(named).collect()
}

fn explanation(
    compiled: &Compiled<'_>,
    situation: &PartialAssignment<'_>,
    assignment: &[usize],
    reasons: &[String],
) -> Vec<ServiceExplanation> {
    let differences = Differences::new(compiled, assignment);
    let verdicts: Vec<Vec<ClusterVerdict>> = (0..compiled.items.len())
        .map(|item| {
            let mut verdicts = situation.verdicts(item);
            for (cluster, verdict) in verdicts.iter_mut().enumerate() {
                verdict.cost_difference = Some(differences.of(item, cluster));
            }
            verdicts
        })
        .collect();
    let explain = |(service, item): (&super::ServiceDemand, &usize)| {
        let cluster = &compiled.problem.clusters[assignment[*item]].name;
        let moved_from = service.current.clone().filter(|current| current != cluster);
        let verdicts = &verdicts[*item];
        let reason = match (&moved_from, &service.current) {
            (Some(from), _) => moved(from, verdicts),
            (None, Some(_)) => "stays where it is".to_owned(),
            (None, None) => reasons.get(*item).cloned().unwrap_or_else(|| new(cluster, verdicts)),
        };
        let clusters = telling(verdicts, cluster, moved_from.as_deref());
        ServiceExplanation {
            service: service.name.clone(),
            cluster: cluster.clone(),
            moved_from,
            reason,
            omitted: verdicts.len() - clusters.len(),
            clusters,
        }
    };
    compiled.problem.services.iter().zip(&compiled.item_of).map(explain).collect()
}

/// The verdicts that tell most, in the order of the clusters: where the service is and was, then where it could be
/// for the smallest difference, then where the fewest constraints forbid it.
fn telling(verdicts: &[ClusterVerdict], cluster: &str, from: Option<&str>) -> Vec<ClusterVerdict> {
    let mut order: Vec<usize> = (0..verdicts.len()).collect();
    let is_own =
        |verdict: &ClusterVerdict| verdict.cluster == cluster || Some(verdict.cluster.as_str()) == from;
    order.sort_by(|one, other| {
        let key = |at: &usize| {
            let verdict = &verdicts[*at];
            (!is_own(verdict), !verdict.feasible, verdict.violated.len())
        };
        let cost = |at: &usize| verdicts[*at].cost_difference.unwrap_or(0.0);
        key(one).cmp(&key(other)).then(cost(one).total_cmp(&cost(other))).then(one.cmp(other))
    });
    order.truncate(MOST_VERDICTS);
    order.sort_unstable();
    order.into_iter().map(|at| verdicts[at].clone()).collect()
}

fn moved(from: &str, verdicts: &[ClusterVerdict]) -> String {
    match verdicts.iter().find(|verdict| verdict.cluster == from) {
        None => format!("moves away from {from}, which is not known any more"),
        Some(verdict) if !verdict.feasible => {
            let violated: Vec<String> = verdict.violated.iter().map(ToString::to_string).collect();
            format!("moves away from {from}: {}", violated.join("; "))
        }
        Some(verdict) => {
            let difference = more_or_less(verdict.cost_difference.unwrap_or(0.0));
            format!("moves away from {from}, where it would cost {difference}")
        }
    }
}

fn new(cluster: &str, verdicts: &[ClusterVerdict]) -> String {
    let others = verdicts.iter().filter(|verdict| verdict.feasible && verdict.cluster != cluster);
    let difference = |verdict: &&ClusterVerdict| verdict.cost_difference.unwrap_or(f64::INFINITY);
    match others.min_by(|one, other| difference(one).total_cmp(&difference(other))) {
        None => "no other cluster can take it, everything else being placed as planned".to_owned(),
        Some(next) => {
            let difference = more_or_less(difference(&next));
            format!("the next best cluster, {}, would cost {difference}", next.cluster)
        }
    }
}

/// A strategy that minimises nothing, or is stopped, may leave a cheaper cluster.
fn more_or_less(difference: f64) -> String {
    if difference < 0.0 { format!("{:.3} less", -difference) } else { format!("{difference:.3} more") }
}

/// Cost differences of single changes of an assignment.
struct Differences<'a> {
    model: &'a Model,
    /// So much of its costs is one cost unit.
    unit: f64,
    assignment: &'a [usize],
    /// Millicores and items on each cluster.
    millicores: Vec<i64>,
    items: Vec<usize>,
    /// Edges of each item: the other item and the weight.
    edges: Vec<Vec<(usize, i64)>>,
}

impl<'a> Differences<'a> {
    fn new(compiled: &'a Compiled<'_>, assignment: &'a [usize]) -> Self {
        let (model, unit) = (&compiled.model, compiled.unit);
        let mut items = vec![0; model.clusters()];
        assignment.iter().for_each(|cluster| items[*cluster] += 1);
        let mut edges = vec![Vec::new(); model.items()];
        for edge in &model.edges {
            edges[edge.a].push((edge.b, edge.weight));
            edges[edge.b].push((edge.a, edge.weight));
        }
        let millicores = model.used(assignment).into_iter().map(|used| used[0]).collect();
        Self { model, unit, assignment, millicores, items, edges }
    }

    /// Increase of the objective when the item is on `to` instead, in cost units.
    fn of(&self, item: usize, to: usize) -> f64 {
        let (model, from) = (self.model, self.assignment[item]);
        if from == to {
            return 0.0;
        }
        let mut nano = model.cost.at(item, to) - model.cost.at(item, from);
        if self.items[from] == 1 {
            nano -= model.activation[from];
        }
        if self.items[to] == 0 {
            nano += model.activation[to];
        }
        for (other, weight) in &self.edges[item] {
            let there = self.assignment[*other];
            nano += weight * (model.latency.at(to, there) - model.latency.at(from, there));
        }
        if let Some(overload) = &model.overload {
            let demand = model.demand[item][0];
            let excess = |cluster: usize, change: i64| {
                (self.millicores[cluster] + change - overload.threshold[cluster]).max(0)
            };
            let change = excess(to, demand) - excess(to, 0) + excess(from, -demand) - excess(from, 0);
            nano += overload.rate * change;
        }
        #[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
        let units = nano as f64 / self.unit;
        units
    }
}
