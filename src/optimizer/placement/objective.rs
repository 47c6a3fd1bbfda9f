//! The value of an assignment, term by term, in cost units.

use super::compile::Compiled;
use super::costs::{balance_threshold, cores, effective_weights, pessimistic};
use super::{BuiltIn, Objective, Problem, Strategy, Term};

/// Which objective a strategy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objectives {
    /// The number of moved services, weighted (and, in each objective, what preferences cost that are not kept).
    Moves,
    /// Moves, activation, price, carbon, latency and balance, weighted.
    Cost,
}

impl Objectives {
    /// The objective of a strategy. Plans of external ones are valued by their cost.
    #[must_use]
    pub fn of(strategy: &Strategy) -> Self {
        match strategy {
            Strategy::BuiltIn(BuiltIn::FirstFit | BuiltIn::MinMoves) => Self::Moves,
            Strategy::BuiltIn(BuiltIn::Cost | BuiltIn::Green) | Strategy::External(_) => Self::Cost,
        }
    }
}

/// The objective of the problem's strategy for an assignment of items.
#[must_use]
pub fn objective(compiled: &Compiled<'_>, assignment: &[usize]) -> Objective {
    let problem = compiled.problem;
    let on: Vec<usize> = compiled.item_of.iter().map(|item| assignment[*item]).collect();
    let mut terms = match Objectives::of(&problem.strategy) {
        Objectives::Moves => vec![term("moves", moves(problem, &on))],
        Objectives::Cost => cost_terms(compiled, &on),
    };
    if problem.services.iter().any(|service| !service.prefers.is_empty()) {
        let on = problem.services.iter().zip(&on);
        let missing = on.map(|(service, on)| service.missing_preferences(&problem.clusters[*on].attributes));
        terms.push(term("preference", missing.sum()));
    }
    // An empty sum is -0.0.
    Objective { total: terms.iter().map(|term| term.value).sum::<f64>() + 0.0, terms }
}

fn term(name: &str, value: f64) -> Term {
    Term { name: name.to_owned(), value: value + 0.0 }
}

fn moves(problem: &Problem, on: &[usize]) -> f64 {
    let moved = problem.services.iter().zip(on).filter(|(service, cluster)| {
        service.current.as_ref().is_some_and(|current| *current != problem.clusters[**cluster].name)
    });
    moved.map(|(service, _)| service.move_weight).sum()
}

fn cost_terms(compiled: &Compiled<'_>, on: &[usize]) -> Vec<Term> {
    let (problem, weights) = (compiled.problem, effective_weights(compiled.problem));
    let mut millicores = vec![0_i64; problem.clusters.len()];
    let mut used = vec![false; problem.clusters.len()];
    for (service, cluster) in problem.services.iter().zip(on) {
        millicores[*cluster] += service.total().cpu_millicores;
        used[*cluster] = true;
    }
    let per_core =
        |values: Vec<f64>| -> f64 { values.iter().zip(&millicores).map(|(v, m)| v * cores(*m)).sum() };
    let (price, _) = pessimistic(problem, |a| a.price_per_core_hour, 0.0);
    let (carbon, _) = pessimistic(problem, |a| a.carbon_per_core_hour, 0.0);
    let (activation, _) = pessimistic(problem, |a| a.activation_cost, 1.0);
    let activation: f64 = activation.iter().zip(&used).filter(|(_, used)| **used).map(|(cost, _)| cost).sum();
    let excess = |(cluster, millicores): (&super::ClusterState, &i64)| {
        cores(
            (millicores - balance_threshold(cluster.free.cpu_millicores, problem.limits.balance_above))
                .max(0),
        )
    };
    let balance: f64 = problem.clusters.iter().zip(&millicores).map(excess).sum();
    vec![
        term("moves", weights.moves * moves(problem, on)),
        term("activation", weights.activation * activation),
        term("price", weights.price * per_core(price)),
        term("carbon", weights.carbon * per_core(carbon)),
        term("latency", weights.latency * latency(compiled, on)),
        term("balance", weights.balance * balance),
    ]
}

/// Milliseconds × traffic over all links.
fn latency(compiled: &Compiled<'_>, on: &[usize]) -> f64 {
    let services = &compiled.problem.services;
    let find = |name: &String| services.binary_search_by(|service| service.name.cmp(name)).ok();
    let links =
        compiled.problem.links.iter().filter_map(|link| Some((link, find(&link.from)?, find(&link.to)?)));
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
    let milliseconds =
        |one: usize, other: usize| compiled.proximity.microseconds(on[one], on[other]) as f64 / 1000.0;
    links.map(|(link, from, to)| link.traffic * milliseconds(from, to)).sum()
}
