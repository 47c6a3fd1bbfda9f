//! The cost objective as a mixed-integer linear program, for small models.
//!
//! ```text
//! x[i][e] item i is on e,  u[e] e is used,  o[e] load above the soft limit
//! Σe x[i][e] = 1;  x[i][e] ≤ u[e];  Σi demand[i][r]·x[i][e] ≤ capacity[e][r]·u[e]
//! o[e] ≥ Σi cpu[i]·x[i][e] − threshold[e];  x[a][e] + Σ{f incompatible with e} x[b][f] ≤ 1
//! ```
//!
//! `u` stands in the capacity rows because its LP bound is much stronger there than in `x ≤ u` alone. An edge
//! between clusters of different latencies is a unit flow from `x[a]` to `x[b]`, the local polytope of W. P.
//! Adams and T. A. Johnson's linearisation (*Improved linear programming-based lower bounds for the quadratic
//! assignment problem*, DIMACS 16, 1994). Where all latencies are equal, `z[e] ≥ x[a][e] − x[b][e]` gives the
//! same bound with fewer columns (J. Kleinberg, É. Tardos, *Approximation algorithms for classification
//! problems with pairwise relationships*, JACM 49(5), 2002).

use good_lp::{Constraint, Expression, Variable, variable};

use super::super::model::{Edge, Model, NANO, PairRule, RESOURCES};
use crate::optimizer::Stop;
use crate::optimizer::solver::{Answer, Formulation, Options, minimise};

/// The best assignment known after an exact method, and how good it can still be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact {
    /// Best feasible assignment (item → cluster) and its nano-cost.
    pub incumbent: Option<(Vec<usize>, i64)>,
    /// Lower bound, nano-cost; `i64::MAX` when no assignment is feasible. From a mixed-integer program it
    /// holds up to the solver's tolerances.
    pub bound: i64,
}

/// The solver's relative tolerance; bounds are lowered by it.
const TOLERANCE: f64 = 1e-6;

/// Minimises the cost by a mixed-integer program that starts from a feasible assignment, if there is one.
/// Meant for some hundred items × clusters.
#[must_use]
pub fn exact_cost(model: &Model, start: Option<&[usize]>, seed: u64, stop: &Stop) -> Exact {
    let start = start.filter(|start| model.is_feasible(start));
    let mut program = Program::new(model, start);
    program.build();
    let Program { formulation, values, places, .. } = program;
    let options = Options { start: start.map(|_| values), seed, ..Options::default() };
    let mut incumbent = start.map(|start| (start.to_vec(), model.cost_of(start)));
    let (solution, bound) = match minimise(formulation, &options, stop) {
        Answer::Optimal(solution) | Answer::Feasible(solution) => {
            let bound = solution.bound;
            (Some(solution), bound)
        }
        Answer::Infeasible if start.is_none() => return Exact { incumbent, bound: i64::MAX },
        Answer::Infeasible => (None, 0.0),
        Answer::Unknown { bound } => (None, bound.unwrap_or(0.0)),
    };
    if let Some(assignment) = solution.and_then(|solution| read(&places, &solution.values)) {
        let cost = model.cost_of(&assignment);
        let better = incumbent.as_ref().is_none_or(|(_, best)| cost < *best);
        if better && model.is_feasible(&assignment) {
            incumbent = Some((assignment, cost));
        }
    }
    let bound = (bound * NANO * (1.0 - TOLERANCE)).floor().max(0.0) as i64;
    let bound = incumbent.as_ref().map_or(bound, |(_, cost)| bound.min(*cost));
    Exact { incumbent, bound }
}

/// The largest place variable of every item, by its position.
fn read(places: &[Vec<Option<Place>>], values: &[f64]) -> Option<Vec<usize>> {
    let largest = |row: &Vec<Option<Place>>| {
        let value = |place: &Place| values.get(place.position).copied().unwrap_or(0.0);
        let cells =
            row.iter().enumerate().filter_map(|(cluster, place)| Some((cluster, value(place.as_ref()?))));
        cells.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(cluster, _)| cluster)
    };
    places.iter().map(largest).collect()
}

/// The variable of an item on a cluster.
#[derive(Clone, Copy)]
struct Place {
    variable: Variable,
    /// Among all variables.
    position: usize,
}

/// A formulation under construction, with the value of every variable in the starting assignment.
struct Program<'a> {
    model: &'a Model,
    start: Option<&'a [usize]>,
    formulation: Formulation,
    values: Vec<f64>,
    /// Items × clusters; `None` where the item may not go.
    places: Vec<Vec<Option<Place>>>,
    used: Vec<Variable>,
}

impl<'a> Program<'a> {
    fn new(model: &'a Model, start: Option<&'a [usize]>) -> Self {
        let formulation = Formulation::default();
        Self { model, start, formulation, values: Vec::new(), places: Vec::new(), used: Vec::new() }
    }

    fn build(&mut self) {
        self.add_places();
        self.add_capacities();
        self.add_overload();
        for edge in &self.model.edges {
            match uniform_latency(self.model) {
                Some(latency) => self.add_uniform_edge(edge, latency),
                None => self.add_flow(edge),
            }
        }
        for rule in &self.model.pair_rules {
            self.add_pair_rule(rule);
        }
    }

    fn is_at(&self, item: usize, cluster: usize) -> bool {
        self.start.is_some_and(|start| start[item] == cluster)
    }

    /// A variable with its nano-cost and its value at the start.
    fn add(&mut self, binary: bool, cost: i64, value: f64) -> Variable {
        let definition = if binary { variable().binary() } else { variable().min(0) };
        let variable = self.formulation.variables.add(definition);
        self.values.push(value);
        if cost != 0 {
            self.formulation.objective.add_mul(cost as f64 / NANO, variable);
        }
        variable
    }

    fn row(&mut self, row: Constraint) {
        self.formulation.constraints.push(row);
    }

    fn add_places(&mut self) {
        for cluster in 0..self.model.clusters() {
            let used = self.start.is_some_and(|start| start.contains(&cluster));
            let variable = self.add(true, self.model.activation[cluster], f64::from(u8::from(used)));
            self.used.push(variable);
        }
        for item in 0..self.model.items() {
            let mut row = vec![None; self.model.clusters()];
            let mut sum = Expression::default();
            for (cluster, place) in row.iter_mut().enumerate() {
                if self.model.allowed.at(item, cluster) {
                    let value = f64::from(u8::from(self.is_at(item, cluster)));
                    let position = self.values.len();
                    let variable = self.add(true, self.model.cost.at(item, cluster), value);
                    *place = Some(Place { variable, position });
                    sum.add_mul(1, variable);
                    self.row((Expression::from(variable) - self.used[cluster]).leq(0));
                }
            }
            self.places.push(row);
            self.row(sum.eq(1));
        }
    }

    /// Capacity rows in parts of the capacity, so that bytes and cores have the same scale.
    fn add_capacities(&mut self) {
        for cluster in 0..self.model.clusters() {
            for resource in 0..RESOURCES {
                let capacity = self.model.capacity[cluster][resource];
                if capacity == i64::MAX {
                    continue;
                }
                let mut load = self.load(cluster, resource, capacity.max(1) as f64);
                load.add_mul(if capacity == 0 { 0 } else { -1 }, self.used[cluster]);
                self.row(load.leq(0));
            }
        }
    }

    /// The load of a cluster, in units of `unit`.
    fn load(&self, cluster: usize, resource: usize, unit: f64) -> Expression {
        let mut load = Expression::default();
        for (row, demand) in self.places.iter().zip(&self.model.demand) {
            if let Some(place) = row[cluster].filter(|_| demand[resource] > 0) {
                load.add_mul(demand[resource] as f64 / unit, place.variable);
            }
        }
        load
    }

    fn add_overload(&mut self) {
        let Some(overload) = &self.model.overload else { return };
        let loads = self.start.map(|start| self.model.used(start));
        for (cluster, threshold) in overload.threshold.iter().enumerate() {
            // In cores: the rate is per millicore.
            let above = loads.as_ref().map_or(0, |loads| (loads[cluster][0] - threshold).max(0));
            let excess = self.add(false, overload.rate.saturating_mul(1000), above as f64 / 1000.0);
            let load = self.load(cluster, 0, 1000.0);
            self.row((load - excess).leq(*threshold as f64 / 1000.0));
        }
    }

    fn add_uniform_edge(&mut self, edge: &Edge, latency: i64) {
        for cluster in 0..self.model.clusters() {
            let Some(a) = self.places[edge.a][cluster] else { continue };
            let leaves = self.is_at(edge.a, cluster) && !self.is_at(edge.b, cluster);
            let differs = self.add(false, edge.weight.saturating_mul(latency), f64::from(u8::from(leaves)));
            let mut row = Expression::from(a.variable);
            row.add_mul(-1, differs);
            if let Some(b) = self.places[edge.b][cluster] {
                row.add_mul(-1, b.variable);
            }
            self.row(row.leq(0));
        }
    }

    fn add_flow(&mut self, edge: &Edge) {
        let clusters = self.model.clusters();
        let mut entering: Vec<Expression> = vec![Expression::default(); clusters];
        for a in 0..clusters {
            let Some(from) = self.places[edge.a][a] else { continue };
            let mut leaving = Expression::default();
            for (b, entering) in entering.iter_mut().enumerate() {
                if self.places[edge.b][b].is_some() {
                    let flows = self.is_at(edge.a, a) && self.is_at(edge.b, b);
                    let cost = edge.weight.saturating_mul(self.model.latency.at(a, b));
                    let flow = self.add(false, cost, f64::from(u8::from(flows)));
                    leaving.add_mul(1, flow);
                    entering.add_mul(1, flow);
                }
            }
            self.row((leaving - from.variable).eq(0));
        }
        for (b, entering) in entering.into_iter().enumerate() {
            if let Some(to) = self.places[edge.b][b] {
                self.row((entering - to.variable).eq(0));
            }
        }
    }

    fn add_pair_rule(&mut self, rule: &PairRule) {
        let relation = &self.model.relations[rule.relation];
        for (a, place) in self.places[rule.a].clone().into_iter().enumerate() {
            let Some(place) = place else { continue };
            let mut row = Expression::from(place.variable);
            for (b, other) in self.places[rule.b].iter().enumerate() {
                if let Some(other) = other.filter(|_| !relation.at(a, b)) {
                    row.add_mul(1, other.variable);
                }
            }
            self.row(row.leq(1));
        }
    }
}

/// The latency between all different clusters, when it is the same.
fn uniform_latency(model: &Model) -> Option<i64> {
    let clusters = model.clusters();
    let mut pairs = (0..clusters).flat_map(|a| (0..clusters).filter(move |b| *b != a).map(move |b| (a, b)));
    let latency = pairs.next().map_or(0, |(a, b)| model.latency.at(a, b));
    pairs.all(|(a, b)| model.latency.at(a, b) == latency).then_some(latency)
}
