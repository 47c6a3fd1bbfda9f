//! The placement program: a mixed-integer program over groups of items.
//!
//! Per group g and cluster e two integers count the items that stay and those that come: `0 <= stay[g,e] <=
//! residents`, `0 <= come[g,e] <= others`, `Σ_e (stay + come)[g,e] = |g|`, and per cluster and resource `Σ_g
//! demand[g] (stay + come)[g,e] <= capacity[e]`. A pair rule (a, b, R) forbids a on a cluster while b is on
//! an incompatible one: `Σ_{e in E} x[a,e] + Σ_{f not in R(E)} x[b,f] <= 1` for each set E of clusters that
//! are compatible with the same others.

use std::collections::BTreeMap;

use good_lp::{Expression, Variable, variable};

use super::super::{Matrix, Model, PairRule, RESOURCES};
use super::groups::{Group, Grouping, Objective, groups};
use super::scale::Scale;
use super::{Placement, Run};
use crate::optimizer::solver::{self, Answer, Formulation};

/// Where items of a group are counted.
struct Column {
    group: usize,
    cluster: usize,
    stays: bool,
    /// Maximum number of items that it can count.
    upper: usize,
    variable: Variable,
}

/// Demand of items for a resource of a cluster, in coefficients of the resource's [`Scale`].
pub(super) struct Load {
    pub(super) cluster: usize,
    pub(super) resource: usize,
    pub(super) sum: Expression,
}

/// A program without its capacities.
pub(super) struct Program<'a> {
    model: &'a Model,
    groups: Vec<Group>,
    columns: Vec<Column>,
    /// How amounts of each resource become coefficients.
    pub(super) scales: [Scale; RESOURCES],
    costs: Costs,
    /// Variables, pair rules, and that every item is somewhere.
    pub(super) formulation: Formulation,
}

/// How coefficients of the objective become nano-costs.
struct Costs {
    /// The minimum cost of the groups.
    base: i64,
    scale: Scale,
}

impl<'a> Program<'a> {
    pub(super) fn new(model: &'a Model, objective: Objective, grouping: Grouping) -> Self {
        let scales =
            std::array::from_fn(|resource| Scale::of(model.demand.iter().map(|demand| demand[resource])));
        let mut program = Self {
            model,
            groups: groups(model, objective, grouping),
            columns: Vec::new(),
            scales,
            costs: Costs { base: 0, scale: Scale::of(std::iter::empty()) },
            formulation: Formulation::default(),
        };
        program.add_columns();
        program.add_objective();
        program.add_totals();
        program.add_pair_rules();
        program
    }

    fn add_columns(&mut self) {
        for (index, group) in self.groups.iter().enumerate() {
            let allowed = self.model.allowed.row(group.items[0]);
            for cluster in (0..allowed.len()).filter(|cluster| allowed[*cluster]) {
                let residents = group.residents.get(&cluster).copied().unwrap_or_default();
                for (stays, upper) in [(true, residents), (false, group.items.len() - residents)] {
                    if upper > 0 {
                        let variable =
                            self.formulation.variables.add(variable().integer().clamp(0.0, count(upper)));
                        self.columns.push(Column { group: index, cluster, stays, upper, variable });
                    }
                }
            }
        }
    }

    /// Adds the costs above the minimum cost of each group.
    fn add_objective(&mut self) {
        let cost = |column: &Column| {
            let group = &self.groups[column.group];
            if column.stays { group.stay } else { group.come.at(column.cluster) }
        };
        let mut least: Vec<Option<i64>> = vec![None; self.groups.len()];
        for column in &self.columns {
            let least = &mut least[column.group];
            *least = Some(least.map_or(cost(column), |least| least.min(cost(column))));
        }
        // A group without columns has no place, hence no cost.
        let least: Vec<i64> = least.into_iter().map(Option::unwrap_or_default).collect();
        let above = |column: &Column| cost(column) - least[column.group];
        let scale = Scale::of(self.columns.iter().map(above));
        for column in self.columns.iter().filter(|column| above(column) > 0) {
            self.formulation.objective.add_mul(scale.coefficient(above(column)), column.variable);
        }
        let sizes = self.groups.iter().map(|group| i64::try_from(group.items.len()).unwrap_or(i64::MAX));
        let base = least.iter().zip(sizes).map(|(least, size)| least.saturating_mul(size)).sum();
        self.costs = Costs { base, scale };
    }

    fn add_totals(&mut self) {
        let mut totals = vec![Expression::default(); self.groups.len()];
        for column in &self.columns {
            totals[column.group] += column.variable;
        }
        for (total, group) in totals.into_iter().zip(&self.groups) {
            self.formulation.constraints.push(total.eq(count(group.items.len())));
        }
    }

    fn add_pair_rules(&mut self) {
        let at = self.by_item();
        for rule in &self.model.pair_rules {
            let relation = &self.model.relations[rule.relation];
            for PairRule { a, b, .. } in [*rule, PairRule { a: rule.b, b: rule.a, ..*rule }] {
                for (compatible, clusters) in alike(relation, self.model.clusters()) {
                    let sum = |item: usize, clusters: &mut dyn Iterator<Item = usize>| -> Expression {
                        clusters.filter_map(|cluster| at.get(&(item, cluster))).sum()
                    };
                    let here = sum(a, &mut clusters.into_iter());
                    let barred = sum(b, &mut (0..compatible.len()).filter(|cluster| !compatible[*cluster]));
                    self.formulation.constraints.push((here + barred).leq(1.0));
                }
            }
        }
    }

    /// The variable of each distinct item, per cluster.
    fn by_item(&self) -> BTreeMap<(usize, usize), Variable> {
        let key = |column: &Column| (self.groups[column.group].items[0], column.cluster);
        self.columns.iter().map(|column| (key(column), column.variable)).collect()
    }

    /// The loads that could exceed a capacity.
    pub(super) fn loads(&self) -> Vec<Load> {
        let mut columns = vec![Vec::new(); self.model.clusters()];
        for column in &self.columns {
            columns[column.cluster].push(column);
        }
        let mut loads = Vec::new();
        for (cluster, columns) in columns.iter().enumerate() {
            for (resource, scale) in self.scales.iter().enumerate() {
                let demand =
                    |column: &Column| self.model.demand[self.groups[column.group].items[0]][resource];
                let most = columns.iter().fold(0_i64, |sum, column| {
                    let items = i64::try_from(column.upper).unwrap_or(i64::MAX);
                    sum.saturating_add(items.saturating_mul(demand(column)))
                });
                if most > self.model.capacity[cluster][resource] {
                    let mut sum = Expression::with_capacity(columns.len());
                    for column in columns.iter().filter(|column| demand(column) > 0) {
                        sum.add_mul(scale.coefficient(demand(column)), column.variable);
                    }
                    loads.push(Load { cluster, resource, sum });
                }
            }
        }
        loads
    }

    /// Forbids the sets of items with which an assignment exceeds capacities; only for distinct items.
    ///
    /// Of such a set the k largest that exceed the capacity already are a cover; of these and all items not
    /// smaller than the largest of them, any k exceed it: at most k − 1 may be there.
    pub(super) fn cut(&mut self, assignment: &[usize]) {
        let at = self.by_item();
        let used = self.model.used(assignment);
        for (cluster, resource) in
            (0..used.len()).flat_map(|cluster| (0..RESOURCES).map(move |r| (cluster, r)))
        {
            let capacity = self.model.capacity[cluster][resource];
            if used[cluster][resource] <= capacity {
                continue;
            }
            let demand = |item: usize| self.model.demand[item][resource];
            let mut items: Vec<usize> =
                (0..assignment.len()).filter(|item| assignment[*item] == cluster).collect();
            items.sort_by_key(|item| std::cmp::Reverse(demand(*item)));
            let mut sum = 0;
            let enough = items.iter().position(|item| {
                sum += demand(*item);
                sum > capacity
            });
            let cover = &items[..=enough.unwrap_or(items.len() - 1)];
            let largest = demand(cover[0]);
            let extended =
                (0..assignment.len()).filter(|item| cover.contains(item) || demand(*item) >= largest);
            let there: Expression = extended.filter_map(|item| at.get(&(item, cluster))).sum();
            self.formulation.constraints.push(there.leq(count(cover.len() - 1)));
        }
    }

    /// Solves the program with its capacities.
    pub(super) fn solve(&self, start: Option<&Placement>, run: &Run<'_>) -> Answer {
        let mut formulation = self.formulation.clone();
        for load in self.loads() {
            let limit = self.scales[load.resource].limit(self.model.capacity[load.cluster][load.resource]);
            formulation.constraints.push(load.sum.leq(limit));
        }
        let options = solver::Options {
            // Integer objectives: a difference below one is none.
            absolute_gap: if self.costs.scale.is_exact() { 0.999 } else { 0.0 },
            seed: run.seed,
            start: start.map(|start| self.values(&start.assignment)),
            ..solver::Options::default()
        };
        solver::minimise(formulation, &options, run.stop)
    }

    /// The nano-cost that an answer proves to be necessary.
    pub(super) fn bound(&self, answer: &Answer) -> i64 {
        let bound = match answer {
            Answer::Optimal(solution) | Answer::Feasible(solution) => solution.bound,
            Answer::Unknown { bound: Some(bound) } => *bound,
            Answer::Unknown { bound: None } | Answer::Infeasible => return self.costs.base,
        };
        self.costs.base.saturating_add(self.costs.scale.at_least(bound))
    }

    /// The values of the variables for an assignment.
    fn values(&self, assignment: &[usize]) -> Vec<f64> {
        let mut counts = Matrix::new(self.groups.len(), self.model.clusters(), 0_usize);
        for (index, group) in self.groups.iter().enumerate() {
            for item in &group.items {
                counts.set(index, assignment[*item], counts.at(index, assignment[*item]) + 1);
            }
        }
        let value = |column: &Column| {
            let here = counts.at(column.group, column.cluster);
            let residents =
                self.groups[column.group].residents.get(&column.cluster).copied().unwrap_or_default();
            if column.stays { here.min(residents) } else { here.saturating_sub(residents) }
        };
        self.columns.iter().map(|column| count(value(column))).collect()
    }

    /// The assignment for values of the variables; `None` when they do not add up.
    pub(super) fn assignment(&self, values: &[f64]) -> Option<Vec<usize>> {
        let mut counts = vec![vec![0; self.model.clusters()]; self.groups.len()];
        for (column, value) in self.columns.iter().zip(values) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
            let items = value.round() as usize;
            counts[column.group][column.cluster] += items;
        }
        let mut assignment = vec![None; self.model.items()];
        for (group, mut free) in self.groups.iter().zip(counts) {
            if free.iter().sum::<usize>() != group.items.len() {
                return None;
            }
            // From the highest item down, so that the lowest leave.
            for item in group.items.iter().rev() {
                let home = self.model.current[*item].filter(|home| group.residents.contains_key(home));
                if let Some(home) = home.filter(|home| free[*home] > 0) {
                    free[home] -= 1;
                    assignment[*item] = Some(home);
                }
            }
            let mut places =
                free.iter().enumerate().flat_map(|(cluster, free)| std::iter::repeat_n(cluster, *free));
            for item in &group.items {
                if assignment[*item].is_none() {
                    assignment[*item] = places.next();
                }
            }
        }
        assignment.into_iter().collect()
    }
}

/// Clusters grouped by the clusters they are compatible with.
fn alike(relation: &Matrix<bool>, clusters: usize) -> BTreeMap<&[bool], Vec<usize>> {
    let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for cluster in 0..clusters {
        alike.entry(relation.row(cluster)).or_default().push(cluster);
    }
    // Clusters that are compatible with all need no rule.
    alike.retain(|compatible, _| compatible.contains(&false));
    alike
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 items")]
fn count(items: usize) -> f64 {
    items as f64
}
