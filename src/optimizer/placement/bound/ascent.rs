//! Ascent on the multipliers: deflected subgradient steps between message passes.
//!
//! The direction is an exponential average of subgradients (P. M. Camerini, L. Fratta, F. Maffioli, *On
//! improving relaxation methods by modified gradient techniques*, Mathematical Programming Study 3, 1975),
//! the length is B. T. Polyak's, a part of the gap over the squared norm; that part shrinks geometrically.

use std::time::Instant;

use super::super::model::RESOURCES;
use super::domain::Domain;
use super::dual::{Dual, Multipliers, Parts};
use crate::optimizer::Stop;

/// How steps change over a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// Rounds: one message pass, one solution of every part, one step.
    pub(super) rounds: usize,
    /// Part of Polyak's step in the first round, and in the last one.
    pub(super) first: f64,
    pub(super) last: f64,
    /// Decay factor of the direction from round to round.
    pub(super) memory: f32,
}

/// The budget of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<'a> {
    /// Time to use up; steps shrink towards it.
    pub(super) deadline: Option<Instant>,
    /// Ends the run, and leaves its steps as they are.
    pub(super) stop: &'a Stop,
}

impl Pace<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline) || self.stop.is_due()
    }
}

/// Averages of the parts' solutions over the last rounds, which guide branching.
#[derive(Debug)]
pub(super) struct Averages {
    /// Items × stride.
    pub(super) place: Vec<f32>,
    pub(super) open: Vec<f32>,
    /// Cluster of each item in the last round.
    pub(super) labels: Vec<usize>,
}

/// Decay factor of the averages from round to round.
const AVERAGE_MEMORY: f32 = 0.95;
/// Without an incumbent the optimum is guessed to be this part above the bound.
const GUESSED_GAP: f64 = 0.3;

/// Averaged subgradients.
#[derive(Debug)]
struct Direction {
    price: Vec<f32>,
    rent: Vec<[f32; RESOURCES]>,
    duty: Vec<f32>,
}

/// Improves `multipliers` on a domain; they end at the best point met.
pub(super) fn ascend(
    dual: &Dual<'_>,
    domain: &Domain,
    multipliers: &mut Multipliers,
    upper: Option<i64>,
    schedule: Schedule,
    pace: Pace<'_>,
) -> Averages {
    let (cells, clusters) = (multipliers.values.price.len(), dual.model.clusters());
    let mut averages = Averages { place: vec![0.0; cells], open: vec![0.0; clusters], labels: Vec::new() };
    let mut direction = Direction {
        price: vec![0.0; cells],
        rent: vec![[0.0; RESOURCES]; clusters],
        duty: vec![0.0; clusters],
    };
    let mut parts = dual.parts();
    let mut best = multipliers.clone();
    let mut best_bound = f64::NEG_INFINITY;
    let started = Instant::now();
    for round in 0..schedule.rounds {
        let spent = pace.deadline.map_or(0.0, |deadline| spent(started, deadline));
        if spent >= 1.0 || pace.stop.is_due() {
            break;
        }
        dual.evaluate(domain, multipliers, round % 2 == 0, &mut parts);
        if parts.bound > best_bound {
            best_bound = parts.bound;
            best.clone_from(multipliers);
        }
        averages.add(&parts, dual.pairs.stride());
        let norm = direction.turn(dual, &parts, schedule.memory);
        let done = spent.max(round as f64 / schedule.rounds as f64);
        let part = schedule.first * power(schedule.last / schedule.first, done);
        let length = part * gap(parts.bound, upper) / norm;
        if !length.is_finite() || length <= 0.0 {
            break;
        }
        direction.step(multipliers, length as f32);
    }
    *multipliers = best;
    averages.labels = parts.labels;
    averages
}

/// `base` to the power of an exponent from 0 to 1, in steps of 2⁻²⁰: by square roots, which are the same on every
/// machine, as those of mathematical libraries are not.
fn power(base: f64, exponent: f64) -> f64 {
    let (mut power, mut root, mut rest) = (1.0, base, exponent);
    if rest >= 1.0 {
        return base;
    }
    for _ in 0..20 {
        (root, rest) = (root.sqrt(), rest * 2.0);
        if rest >= 1.0 {
            (power, rest) = (power * root, rest - 1.0);
        }
    }
    power
}

/// Elapsed fraction of the time, at most 1.
fn spent(started: Instant, deadline: Instant) -> f64 {
    let available = deadline.saturating_duration_since(started);
    if available.is_zero() { 1.0 } else { started.elapsed().div_duration_f64(available).min(1.0) }
}

/// How far the optimum may be above a bound.
fn gap(bound: f64, upper: Option<i64>) -> f64 {
    let guess = GUESSED_GAP * bound.abs();
    upper.map_or(guess, |upper| upper as f64 - bound)
}

impl Averages {
    fn add(&mut self, parts: &Parts, stride: usize) {
        for cell in self.place.iter_mut().chain(&mut self.open) {
            *cell *= AVERAGE_MEMORY;
        }
        for (item, cluster) in parts.labels.iter().enumerate() {
            self.place[item * stride + cluster] += 1.0 - AVERAGE_MEMORY;
        }
        for (cell, _) in self.open.iter_mut().zip(&parts.open).filter(|(_, open)| **open) {
            *cell += 1.0 - AVERAGE_MEMORY;
        }
    }
}

impl Direction {
    /// Adds the disagreement of the parts to the direction; returns the squared norm.
    fn turn(&mut self, dual: &Dual<'_>, parts: &Parts, memory: f32) -> f64 {
        let stride = dual.pairs.stride();
        let gain = 1.0 - memory;
        for cell in self.price.iter_mut().chain(self.rent.as_flattened_mut()).chain(&mut self.duty) {
            *cell *= memory;
        }
        for (item, cluster) in parts.labels.iter().enumerate() {
            self.price[item * stride + cluster] += gain;
        }
        for (cluster, packed) in parts.packed.iter().enumerate() {
            let open = f32::from(parts.open[cluster]);
            for item in packed {
                self.price[item * stride + cluster] -= gain;
            }
            for resource in dual.clusters.rented(cluster) {
                let load = dual.clusters.load(packed, cluster, *resource);
                self.rent[cluster][*resource] += gain * (load - open);
            }
            self.duty[cluster] += gain * (f32::from(parts.covering[cluster]) - open);
        }
        let cells = self.price.iter().chain(self.rent.as_flattened()).chain(&self.duty);
        cells.map(|cell| f64::from(cell * cell)).sum()
    }

    /// Moves the multipliers, none below zero.
    fn step(&self, multipliers: &mut Multipliers, length: f32) {
        let values = &mut multipliers.values;
        let to = values.price.iter_mut().chain(values.rent.as_flattened_mut()).chain(&mut values.duty);
        let along = self.price.iter().chain(self.rent.as_flattened()).chain(&self.duty);
        for (value, direction) in to.zip(along) {
            *value = (*value + length * direction).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_made_of_square_roots() {
        assert_eq!((power(0.01, 0.0), power(0.01, 1.0), power(0.01, 0.5)), (1.0, 0.01, 0.1));
        for exponent in [0.1, 0.3, 0.7, 0.95] {
            assert!((power(0.02, exponent) / 0.02_f64.powf(exponent) - 1.0).abs() < 1e-5, "{exponent}");
        }
    }
}
