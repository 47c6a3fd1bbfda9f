//! The costs of a [`Model`](super::model::Model) from weights, attributes and preferences.
//!
//! Missing data is filled in here: an unknown price or carbon intensity counts as the highest known one, an unknown
//! latency as `unknown_latency_ms`.

use std::collections::BTreeMap;

use super::compile::Compiled;
use super::model::{Edge, Overload};
use super::{BuiltIn, Problem, Strategy, Weights};
use crate::hdag::Resources;
use crate::optimizer::ClusterAttributes;

/// Largest cost of one item on one cluster, or weight of one edge, in the unit of the model.
const LARGEST_COST: f64 = 1e14;

impl Compiled<'_> {
    /// Moving a service costs `weight` times its own weight.
    pub(super) fn set_moves(&mut self, weight: f64) -> Result<(), String> {
        for (item, members) in self.items.iter().enumerate() {
            for (index, cluster) in self.problem.clusters.iter().enumerate() {
                let moved = members.iter().map(|member| &self.problem.services[*member]).filter(|service| {
                    service.current.as_ref().is_some_and(|current| *current != cluster.name)
                });
                let cost: f64 = moved.map(|service| weight * service.move_weight).sum();
                let sum = self.model.cost.at(item, index) + self.counted(cost, "moving a service")?;
                self.model.cost.set(item, index, sum);
            }
        }
        Ok(())
    }

    /// A cluster without what a service prefers costs what the preference is worth.
    pub(super) fn set_preferences(&mut self) -> Result<(), String> {
        for (item, members) in self.items.iter().enumerate() {
            for (index, cluster) in self.problem.clusters.iter().enumerate() {
                let missing =
                    |member: &usize| self.problem.services[*member].missing_preferences(&cluster.attributes);
                let cost = self.counted(members.iter().map(missing).sum(), "a preference")?;
                self.model.cost.set(item, index, cost);
            }
        }
        Ok(())
    }

    pub(super) fn set_cost(&mut self, demand: &[Resources]) -> Result<(), String> {
        let (problem, weights) = (self.problem, effective_weights(self.problem));
        let price = self.known(weights.price, "price_per_core_hour", |a| a.price_per_core_hour, 0.0);
        let carbon = self.known(weights.carbon, "carbon_per_core_hour", |a| a.carbon_per_core_hour, 0.0);
        let activation = self.known(weights.activation, "activation_cost", |a| a.activation_cost, 1.0);
        self.set_moves(weights.moves)?;
        for (index, cluster) in problem.clusters.iter().enumerate() {
            let per_core = weights.price * price[index] + weights.carbon * carbon[index];
            for (item, demand) in demand.iter().enumerate() {
                let cost = self.counted(per_core * cores(demand.cpu_millicores), &cluster.name)?;
                self.model.cost.set(item, index, self.model.cost.at(item, index) + cost);
            }
            self.model.activation[index] =
                self.counted(weights.activation * activation[index], &cluster.name)?;
            for other in 0..problem.clusters.len() {
                self.model.latency.set(index, other, self.proximity.microseconds(index, other));
            }
        }
        self.model.edges = self.edges(weights.latency)?;
        if weights.balance > 0.0 {
            let above = problem.limits.balance_above;
            let rate = self.counted(weights.balance / 1000.0, "the weight balance")?;
            let threshold =
                |cluster: &super::ClusterState| balance_threshold(cluster.free.cpu_millicores, above);
            let threshold = problem.clusters.iter().map(threshold).collect();
            self.model.overload = Some(Overload { rate, threshold });
        }
        Ok(())
    }

    /// A number per cluster; where it is unknown the largest known one, and `neutral` when none is known.
    fn known(
        &mut self,
        weight: f64,
        name: &str,
        read: impl Fn(&ClusterAttributes) -> Option<f64>,
        neutral: f64,
    ) -> Vec<f64> {
        let (values, unknown) = pessimistic(self.problem, read, neutral);
        if weight > 0.0 && !unknown.is_empty() && name != "activation_cost" {
            let of = unknown.join(", ");
            self.warnings.push(if unknown.len() == values.len() {
                format!("{name} is known of no cluster: it does not count")
            } else {
                format!("{name} of {of} is unknown: it counts as the highest one that is known")
            });
        }
        values
    }

    /// A cost in the unit of the model.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn counted(&self, cost: f64, what: &str) -> Result<i64, String> {
        let counted = (cost * self.unit).round();
        if counted.is_finite() && (0.0..=LARGEST_COST).contains(&counted) {
            Ok(counted as i64)
        } else {
            Err(format!("{what} would cost {cost}; costs must be from 0 to {}", LARGEST_COST / self.unit))
        }
    }

    /// Traffic between items, in the model's unit of cost per microsecond.
    fn edges(&self, weight: f64) -> Result<Vec<Edge>, String> {
        let mut edges: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for (link, from, to) in self.links_between_items() {
            let weight = self.counted(weight * self.problem.links[link].traffic / 1000.0, "traffic")?;
            *edges.entry((from.min(to), from.max(to))).or_default() += weight;
        }
        Ok(edges
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|((a, b), weight)| Edge { a, b, weight })
            .collect())
    }
}

/// The weights that count for the problem's strategy.
pub(super) fn effective_weights(problem: &Problem) -> Weights {
    match problem.strategy {
        Strategy::BuiltIn(BuiltIn::Green) => problem.weights.green(),
        Strategy::BuiltIn(BuiltIn::FirstFit | BuiltIn::MinMoves | BuiltIn::Cost) | Strategy::External(_) => {
            problem.weights
        }
    }
}

/// Millicores of a cluster above which the term `balance` counts.
pub(super) fn balance_threshold(free_millicores: i64, above: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "far below 2^53 millicores"
    )]
    let threshold = (free_millicores as f64 * above).floor() as i64;
    threshold
}

/// A number per cluster, and the clusters of which it is unknown.
pub(super) fn pessimistic(
    problem: &Problem,
    read: impl Fn(&ClusterAttributes) -> Option<f64>,
    neutral: f64,
) -> (Vec<f64>, Vec<&str>) {
    let read = |cluster: &super::ClusterState| read(&cluster.attributes);
    let highest = problem.clusters.iter().filter_map(read).reduce(f64::max).unwrap_or(neutral);
    let unknown = problem
        .clusters
        .iter()
        .filter(|cluster| read(cluster).is_none())
        .map(|cluster| cluster.name.as_str());
    (problem.clusters.iter().map(|cluster| read(cluster).unwrap_or(highest)).collect(), unknown.collect())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 millicores")]
pub(super) fn cores(millicores: i64) -> f64 {
    millicores as f64 / 1000.0
}
