//! The exact strategy: no plan within the constraints has a smaller objective.
//!
//! Every service has a minimum and a maximum number of replicas and a convex cost in between
//! ([`super::demand`]). The cheapest number for each service alone is the answer wherever it fits, in `O(n
//! log n)` for the sort by name. A cluster where it does not fit is a program of its own
//! ([`super::program`]), in which services with equal needs are one variable; bounds over all services that
//! this breaks join the clusters into one program. A program of one row (one scarce resource) is solved in
//! pseudo-polynomial time, mostly in less than the sort takes. Several rows are solved exactly while few
//! distinct needs or few services are involved; beyond, the search may end with the best plan found, a bound,
//! and `optimal` false. It is counted in states, not in time, so that equal problems have equal plans unless
//! they are stopped.
//!
//! Among plans of equal cost, one with the fewest replicas started or stopped is taken (unless a search is
//! large). Solving again from an optimal answer changes nothing: with it as `previous`, nothing else costs
//! less, by the triangle inequality, and everything else changes more.

use super::demand::{COST_UNIT, Demand};
use super::instance::{Instance, RESOURCES};
use super::program::{Group, Program, Segment};
use super::{BuiltIn, ScalingConflict, ScalingInvalid, ScalingOutcome, ScalingProblem, validate};
use crate::optimizer::Stop;

/// Fraction by which an objective may exceed the minimum and still count as optimal, when a search is large.
const NEGLIGIBLE: f64 = 1e-9;

/// The cheapest plan within all constraints.
#[must_use]
pub fn exact(problem: &ScalingProblem) -> ScalingOutcome {
    exact_within(problem, BuiltIn::Exact, &Stop::never())
}

/// As [`exact`], but ends when it has to, and answers in the name of a strategy.
pub(super) fn exact_within(problem: &ScalingProblem, strategy: BuiltIn, stop: &Stop) -> ScalingOutcome {
    if let Err(faults) = validate(problem) {
        return ScalingOutcome::Invalid(ScalingInvalid { faults });
    }
    let instance = Instance::new(problem);
    let least = instance.least();
    let conflicts = instance.conflicts(&least);
    if !conflicts.is_empty() {
        return ScalingOutcome::Infeasible(instance.infeasible(strategy, conflicts, &least));
    }
    let model = Model::new(&instance, stop);
    match model.decide() {
        Ok(Decision { replicas, excess }) => {
            let mut plan = instance.plan(&strategy.into(), &replicas);
            plan.optimal = excess <= model.negligible;
            plan.bound = Some(plan.objective.total - excess);
            plan.cut_short = stop.has_cut();
            ScalingOutcome::Decided(plan)
        }
        Err(RoomMissing { conflict, needed }) => {
            let mut refusal = instance.infeasible(strategy, vec![conflict], &needed);
            refusal.cut_short = stop.has_cut();
            ScalingOutcome::Infeasible(refusal)
        }
    }
}

struct Decision {
    replicas: Vec<i64>,
    /// How far the objective may be above the minimum; 0 when the search was complete.
    excess: f64,
}

struct RoomMissing {
    conflict: ScalingConflict,
    needed: Vec<i64>,
}

/// The bounds that a program has as rows.
#[derive(Clone, Copy)]
struct Rows {
    /// Capacities of the clusters.
    room: bool,
    /// Minimum number of replicas over all services.
    minimum: Option<i64>,
    /// Maximum number of replicas over all services.
    maximum: Option<i64>,
}

struct Model<'a> {
    instance: &'a Instance<'a>,
    stop: &'a Stop,
    least: Vec<i64>,
    /// Costs are multiplied by this before changes are added, so that changes decide among equal costs only.
    scale: i128,
    /// How far the objective may be above the minimum when a search is large.
    negligible: f64,
}

impl<'a> Model<'a> {
    fn new(instance: &'a Instance<'a>, stop: &'a Stop) -> Self {
        let changes = |demand: &Demand| {
            (demand.most - demand.previous).abs().max((demand.previous - demand.least).abs())
        };
        let most: i64 = instance.demands.iter().map(changes).sum();
        let least = instance.least();
        let negligible = NEGLIGIBLE * (1.0 + instance.objective(&least).total);
        Self { instance, stop, least, scale: i128::from(most) + 1, negligible }
    }

    fn decide(&self) -> Result<Decision, RoomMissing> {
        let cheapest = |service| {
            let paying = self.segments(service).into_iter().filter(|segment| segment.slope < 0);
            self.least[service] + paying.map(|segment| segment.length).sum::<i64>()
        };
        let mut decision = Decision { replicas: (0..self.least.len()).map(cheapest).collect(), excess: 0.0 };
        for cluster in self.instance.overfull(&decision.replicas) {
            let mut members: Vec<usize> = (0..self.least.len()).collect();
            members.retain(|service| self.instance.on[*service] == cluster);
            let rows = Rows { room: true, minimum: None, maximum: None };
            self.solve(&mut members, rows, None, &mut decision);
        }
        let total: i64 = decision.replicas.iter().sum();
        let (minimum, maximum) = (self.instance.problem.min_overall, self.instance.problem.max_overall);
        if minimum.is_some_and(|minimum| total < minimum) || maximum.is_some_and(|maximum| total > maximum) {
            decision.excess = 0.0;
            self.decide_jointly(Rows { room: true, minimum, maximum }, &mut decision)?;
        }
        Ok(decision)
    }

    /// All clusters together, because a bound over all services binds.
    fn decide_jointly(&self, rows: Rows, decision: &mut Decision) -> Result<(), RoomMissing> {
        let mut members: Vec<usize> = (0..self.least.len()).collect();
        let Some(minimum) = rows.minimum else {
            self.solve(&mut members, rows, None, decision);
            return Ok(());
        };
        let start = self.most_steps(&mut members, rows);
        let room = self.least.iter().sum::<i64>() + start.iter().sum::<i64>();
        if room < minimum {
            // Without regard to capacity, the largest numbers satisfy the minimum.
            let anywhere = Rows { room: false, ..rows };
            let start = self.most_steps(&mut members, anywhere);
            self.solve(&mut members, anywhere, Some(start), decision);
            let conflict = ScalingConflict::RoomForMinimum { minimum, room };
            return Err(RoomMissing { conflict, needed: std::mem::take(&mut decision.replicas) });
        }
        self.solve(&mut members, rows, Some(start), decision);
        Ok(())
    }

    /// Decides the members again; without a `start`, their minimum replicas are taken to be feasible.
    fn solve(&self, members: &mut [usize], rows: Rows, start: Option<Vec<i64>>, decision: &mut Decision) {
        let program = self.program(members, rows, |service| self.segments(service));
        let start = start.unwrap_or_else(|| vec![0; program.groups.len()]);
        let solution =
            program.clone().solve(start, (self.negligible * COST_UNIT) as i128 * self.scale, self.stop);
        for service in members.iter() {
            decision.replicas[*service] = self.least[*service];
        }
        for (group, steps) in program.groups.iter().zip(&solution.steps) {
            let mut steps = *steps;
            for segment in group.segments() {
                let taken = segment.length.min(steps);
                decision.replicas[segment.owner] += taken;
                steps -= taken;
            }
        }
        decision.excess += (solution.cost - solution.bound) as f64 / self.scale as f64 / COST_UNIT;
    }

    /// As many steps as fit.
    fn most_steps(&self, members: &mut [usize], rows: Rows) -> Vec<i64> {
        let gain = |service: usize| {
            let length = self.instance.demands[service].most - self.least[service];
            // Large, so that multipliers, which are integers, can be fractions of it.
            [Segment { slope: -(1 << 40), owner: service, length }; 1]
        };
        let program = self.program(members, Rows { minimum: None, ..rows }, gain);
        let start = vec![0; program.groups.len()];
        program.solve(start, 0, self.stop).steps
    }

    /// The program of some services, in steps above their minimum replicas; equal needs on one cluster form a
    /// group.
    fn program<S, const N: usize>(&self, members: &mut [usize], rows: Rows, segments: S) -> Program
    where
        S: Fn(usize) -> [Segment; N],
    {
        let instance = self.instance;
        let kind = |service: &usize| (instance.on[*service], instance.services[*service].needs.amounts());
        members.sort_by_cached_key(|service| (kind(service), *service));
        let least: i128 = members.iter().map(|service| i128::from(self.least[*service])).sum();
        let mut limits = Vec::new();
        let mut clusters: Vec<usize> = members.iter().map(|service| instance.on[*service]).collect();
        clusters.dedup();
        let clusters = if rows.room { clusters } else { Vec::new() };
        let used = instance.used(&self.least);
        for cluster in &clusters {
            let capacity = instance.capacity(*cluster).map(i128::from);
            limits.extend(capacity.iter().zip(used[*cluster]).map(|(capacity, used)| capacity - used));
        }
        limits.extend(rows.maximum.map(|maximum| i128::from(maximum) - least));
        limits.extend(rows.minimum.map(|minimum| least - i128::from(minimum)));
        let group = |alike: &[usize]| {
            let (on, needs) = kind(&alike[0]);
            let here = |cluster: &usize| if *cluster == on { needs } else { [0; RESOURCES] };
            let mut coefficients: Vec<i128> = clusters.iter().flat_map(here).map(i128::from).collect();
            coefficients.extend(rows.maximum.map(|_| 1));
            coefficients.extend(rows.minimum.map(|_| -1));
            Group::new(coefficients, alike.iter().flat_map(|service| segments(*service)).collect())
        };
        Program {
            groups: members.chunk_by(|one, other| kind(one) == kind(other)).map(group).collect(),
            limits,
        }
    }

    /// The steps of a service above its minimum replicas: up to the held number, to the current number, and
    /// beyond.
    fn segments(&self, service: usize) -> [Segment; 3] {
        let demand = &self.instance.demands[service];
        let now = demand.previous.clamp(demand.held, demand.most);
        [(demand.least, demand.held), (demand.held, now), (now, demand.most)].map(|(from, to)| {
            let change = if from < demand.previous { -1 } else { 1 };
            let slope = demand.slope(from) * self.scale + change;
            Segment { slope, owner: service, length: to - from }
        })
    }
}
