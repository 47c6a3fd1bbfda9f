//! Local search over a [`Model`]: a greedy start and simulated annealing within a budget.
//!
//! The search explores with chains that cool down from where everything moves, then refines the best results
//! with chains that start cooler. Chains are independent of each other and their random numbers come from one
//! seed, so the number of threads changes the time and nothing else. A result is feasible by
//! [`Model::is_feasible`]; no result does not prove that the model has no solution.
//!
//! Costs, random numbers and acceptance are integers: equal budgets without a deadline give equal answers on
//! every platform. The costs of a model must add up to less than 2⁵⁶ nano (72 million cost units).

mod chain;
mod greedy;
mod landscape;
mod plan;
mod random;
mod state;

#[cfg(test)]
mod tests;

use std::thread;
use std::time::Instant;

use self::chain::{Pace, anneal_chain};
pub use self::greedy::greedy;
use self::landscape::Landscape;
pub use self::plan::iterations;
use self::plan::{Phase, phases};
use self::random::Random;
use super::Model;
use crate::optimizer::Stop;

/// How much a search may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Decides all random choices.
    pub seed: u64,
    /// Changes proposed by all chains together; [`iterations`] recommends a number.
    pub iterations: u64,
    /// Time to use up, instead of `iterations`; the answer then depends on the speed of the machine.
    pub deadline: Option<Instant>,
    /// Threads to use, at least one. As long as no clock ends the search, they do not change the answer.
    pub threads: usize,
}

/// The best feasible assignment that the budget allows to find; `None` if none was found.
///
/// Begins at the starts and at [`greedy()`]'s answer; starts that are not feasible are ignored. The result
/// costs no more than any of these. Of equally cheap results it is the one with the fewest items away from
/// [`Model::current`], then the lexicographically first.
#[must_use]
pub fn anneal(model: &Model, start: &[Vec<usize>], budget: &Budget, stop: &Stop) -> Option<Vec<usize>> {
    let landscape = Landscape::new(model)?;
    let first = greedy::start(&landscape);
    let mut pool = Pool { model, best_first: Vec::new() };
    pool.add(start.iter().filter(|start| is_assignment(model, start)).cloned());
    pool.add([first.clone()]);
    if landscape.movable.is_empty() {
        return pool.into_best();
    }
    let began = budget.deadline.map(|_| Instant::now());
    let mut streams = 0;
    for phase in phases(model, budget, began) {
        let starts = pool.starts(phase.chains, &first);
        let found = run(&landscape, &phase, &starts, streams, budget, stop);
        streams += phase.chains;
        pool.add(found);
    }
    pool.into_best()
}

fn is_assignment(model: &Model, start: &[usize]) -> bool {
    start.len() == model.items() && start.iter().all(|cluster| *cluster < model.clusters())
}

/// Runs the chains of a phase on the threads of the budget; results in the order of the chains.
fn run(
    landscape: &Landscape<'_>,
    phase: &Phase,
    starts: &[Vec<usize>],
    first_stream: usize,
    budget: &Budget,
    stop: &Stop,
) -> Vec<Vec<usize>> {
    let threads = budget.threads.clamp(1, phase.chains);
    let work = |thread: usize| -> Vec<(usize, Vec<usize>)> {
        let mut found = Vec::new();
        for chain in (thread..phase.chains).step_by(threads) {
            let remaining = (phase.chains - chain).div_ceil(threads);
            let pace = match phase.end {
                Some(end) => Pace::until(end, remaining, stop),
                None => Pace::steps(phase.steps, stop),
            };
            let random = Random::new(budget.seed, (first_stream + chain) as u64);
            let best = anneal_chain(landscape, &starts[chain], phase.heat, &pace, random);
            found.extend(best.map(|best| (chain, best)));
        }
        found
    };
    let mut found: Vec<(usize, Vec<usize>)> = thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let mut found = work(0);
        found.extend(others.into_iter().filter_map(|other| other.join().ok()).flatten());
        found
    });
    found.sort_unstable();
    found.into_iter().map(|(_, best)| best).collect()
}

/// Feasible assignments, the best first, none twice.
struct Pool<'a> {
    model: &'a Model,
    best_first: Vec<(i64, usize, Vec<usize>)>,
}

impl Pool<'_> {
    /// Adds those that are feasible.
    fn add(&mut self, assignments: impl IntoIterator<Item = Vec<usize>>) {
        for assignment in assignments {
            if self.model.is_feasible(&assignment) {
                let cost = self.model.cost_of(&assignment);
                let away = assignment.iter().zip(&self.model.current);
                let moves = away.filter(|(at, current)| **current != Some(**at)).count();
                self.best_first.push((cost, moves, assignment));
            }
        }
        self.best_first.sort_unstable();
        self.best_first.dedup();
    }

    /// Where `count` chains begin: the best ones in turn, or `otherwise` if there is none.
    fn starts(&self, count: usize, otherwise: &[usize]) -> Vec<Vec<usize>> {
        let mut best =
            self.best_first.iter().take(count).map(|(_, _, assignment)| assignment.as_slice()).cycle();
        (0..count).map(|_| best.next().unwrap_or(otherwise).to_vec()).collect()
    }

    fn into_best(self) -> Option<Vec<usize>> {
        self.best_first.into_iter().next().map(|(_, _, assignment)| assignment)
    }
}
