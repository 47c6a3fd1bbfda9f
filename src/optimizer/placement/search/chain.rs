//! A chain of simulated annealing (Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing, 1983).
//!
//! While it is hot, a cluster's price of being used grows gradually with its number of items instead of being
//! due as a whole for the first one (see [`State::soften`]): which clusters are used is decided by a slope,
//! not by a step that one move at a time cannot climb. Only assignments feasible under the true costs are
//! kept.

use std::time::Instant;

use super::landscape::Landscape;
use super::random::{Random, below, tolerance};
use super::state::State;
use crate::optimizer::Stop;

/// Temperatures are parts of 1024 of [`Landscape::scale`]; exploring starts here.
pub(super) const HOT: i64 = 1024;
/// Refining starts here: parts of an assignment dissolve, not all of it.
pub(super) const WARM: i64 = 256;
/// Final temperature of a chain, in bits below [`HOT`].
const COOLING_BITS: u32 = 5;
/// Fraction bits of temperatures while they are computed.
const FRACTION_BITS: u32 = 16;
/// Temperatures of a chain.
const EPOCHS: u64 = 256;
/// Proposals between two checks of the clock.
const PULSE: u64 = 256;
/// Of 256 proposals, how many exchange two items, how many move a connected group, and how many look only at
/// the clusters of an item's neighbours.
const EXCHANGES: u64 = 90;
const MIGRATIONS: u64 = 10;
const NEAR: u64 = 100;
const GROUP: usize = 8;

/// The budget of a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<'a> {
    length: Length,
    /// Ends the chain before.
    stop: &'a Stop,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    /// This many proposals.
    Steps(u64),
    /// From one instant to another.
    Time(Instant, Instant),
}

impl<'a> Pace<'a> {
    /// This many proposals.
    pub(super) fn steps(steps: u64, stop: &'a Stop) -> Self {
        Self { length: Length::Steps(steps), stop }
    }

    /// From now on, an equal share of the time until `end` among this many chains.
    pub(super) fn until(end: Instant, chains: usize, stop: &'a Stop) -> Self {
        let now = Instant::now();
        let share = end.saturating_duration_since(now) / u32::try_from(chains).unwrap_or(u32::MAX).max(1);
        Self { length: Length::Time(now, now + share), stop }
    }
}

/// The best feasible assignment that a chain met, if any.
pub(super) fn anneal_chain<'a>(
    landscape: &'a Landscape<'a>,
    start: &[usize],
    heat: i64,
    pace: &Pace<'_>,
    random: Random,
) -> Option<Vec<usize>> {
    let mut chain = Chain {
        state: State::new(landscape, start.to_vec()),
        random,
        temperature: 0,
        best_cost: i64::MAX,
        best: None,
        unsaved: false,
        group: Vec::new(),
    };
    chain.note();
    for epoch in 0..EPOCHS {
        chain.cool(heat, epoch);
        chain.run(pace, epoch);
    }
    chain.save();
    chain.best
}

struct Chain<'a> {
    state: State<'a>,
    random: Random,
    temperature: i64,
    best_cost: i64,
    best: Option<Vec<usize>>,
    /// Whether the state is better than `best`, to be copied before it changes.
    unsaved: bool,
    group: Vec<usize>,
}

impl Chain<'_> {
    /// Sets the temperature of an epoch and the values derived from it.
    fn cool(&mut self, heat: i64, epoch: u64) {
        let scale = i128::from(self.state.landscape.scale);
        let warmth = cooled(heat, epoch);
        self.temperature =
            i64::try_from((i128::from(warmth) * scale) >> (10 + FRACTION_BITS)).unwrap_or(i64::MAX);
        self.state.soften(softness(warmth >> FRACTION_BITS));
        let patience = if self.state.breaks_a_rule() { EPOCHS / 2 } else { EPOCHS * 3 / 4 };
        if epoch >= patience && !self.state.is_feasible() {
            self.state.harden();
        }
    }

    fn run(&mut self, pace: &Pace<'_>, epoch: u64) {
        match pace.length {
            Length::Steps(total) => {
                let until = |epoch: u64| u128::from(total) * u128::from(epoch) / u128::from(EPOCHS);
                let (mut done, end) = (until(epoch), until(epoch + 1));
                while done < end && !pace.stop.is_due() {
                    let pulse = end.min(done + u128::from(PULSE));
                    for _ in done..pulse {
                        self.step();
                    }
                    done = pulse;
                }
            }
            Length::Time(start, end) => {
                let end =
                    start + end.saturating_duration_since(start).mul_f64((epoch + 1) as f64 / EPOCHS as f64);
                while Instant::now() < end && !pace.stop.is_due() {
                    for _ in 0..PULSE {
                        self.step();
                    }
                }
            }
        }
    }

    /// Proposes one change and takes it if the Metropolis rule does.
    #[inline]
    fn step(&mut self) {
        let landscape = self.state.landscape;
        let (bits, more) = (self.random.next(), self.random.next());
        let item = landscape.movable[below(bits >> 32, landscape.movable.len())];
        let (kind, near) = ((bits >> 10) & 255, (bits >> 18) & 255 < NEAR);
        let Some(to) = self.target(item, near, more) else { return };
        let limit = tolerance(self.temperature, bits);
        if kind < EXCHANGES {
            self.try_exchange(item, to, more >> 32, limit);
        } else if kind < EXCHANGES + MIGRATIONS {
            self.try_migration(item, to, more >> 32, limit);
        } else if self.state.relocation(item, to) <= limit {
            self.save();
            self.state.relocate(item, to);
            self.note();
        }
    }

    /// Another cluster that the item may go to: a neighbour's or any.
    #[inline]
    fn target(&self, item: usize, near: bool, bits: u64) -> Option<usize> {
        let landscape = self.state.landscape;
        let (neighbours, choices) = (landscape.neighbours.of(item), landscape.choices.of(item));
        let to = if near && !neighbours.is_empty() {
            self.state.at[neighbours[below(bits, neighbours.len())].0]
        } else {
            choices[below(bits, choices.len())]
        };
        (to != self.state.at[item] && landscape.model.allowed.at(item, to)).then_some(to)
    }

    #[inline]
    fn try_exchange(&mut self, item: usize, to: usize, bits: u64, limit: i64) {
        let from = self.state.at[item];
        let there = &self.state.members[to];
        if there.is_empty() {
            return;
        }
        let other = there[below(bits, there.len())];
        if self.state.landscape.model.allowed.at(other, from) && self.state.exchange(item, other) <= limit {
            self.save();
            self.state.relocate(item, to);
            self.state.relocate(other, from);
            self.note();
        }
    }

    /// Moves an item together with items of its cluster that it is connected with.
    fn try_migration(&mut self, item: usize, to: usize, bits: u64, limit: i64) {
        let most = 2 + below(bits, GROUP - 1);
        let mut group = std::mem::take(&mut self.group);
        self.gather(&mut group, item, most);
        let allowed = group.iter().all(|member| self.state.landscape.model.allowed.at(*member, to));
        if allowed && self.state.migration(&group, to) <= limit {
            self.save();
            for member in &group {
                self.state.relocate(*member, to);
            }
            self.note();
        }
        self.group = group;
    }

    /// Items of one cluster in the order of their distance from `item`, along edges and pair rules.
    fn gather(&self, group: &mut Vec<usize>, item: usize, most: usize) {
        let landscape = self.state.landscape;
        group.clear();
        group.push(item);
        let mut next = 0;
        while next < group.len() {
            let edges = landscape.neighbours.of(group[next]).iter().map(|(other, _)| *other);
            let rules = landscape.rules.of(group[next]).iter().map(|(other, _)| *other);
            for other in edges.chain(rules) {
                if group.len() == most {
                    return;
                }
                if self.state.at[other] == self.state.at[item] && !group.contains(&other) {
                    group.push(other);
                }
            }
            next += 1;
        }
    }

    /// Copies the state if it is the best so far; due before it changes.
    #[inline]
    fn save(&mut self) {
        if self.unsaved {
            self.best = Some(self.state.at.clone());
            self.unsaved = false;
        }
    }

    /// Notices whether the state is the best so far.
    #[inline]
    fn note(&mut self) {
        if self.state.cost() < self.best_cost && self.state.is_feasible() {
            self.best_cost = self.state.cost();
            self.unsaved = true;
        }
    }
}

/// Temperature of an epoch that cools from `heat` to [`COOLING_BITS`] below [`HOT`], with [`FRACTION_BITS`]:
/// about geometric, linear between two halvings.
fn cooled(heat: i64, epoch: u64) -> i64 {
    let halvings = COOLING_BITS.saturating_sub((HOT / heat).ilog2());
    let progress = epoch * u64::from(halvings);
    let half = (heat << FRACTION_BITS) >> (progress / EPOCHS);
    half - half * (progress % EPOCHS) as i64 / (2 * EPOCHS as i64)
}

/// How gradual the price of using a cluster is, in parts of 1024: falls with the temperature to 0 at an
/// eighth of [`HOT`].
fn softness(warmth: i64) -> i64 {
    300 * (warmth - HOT / 8).max(0) / HOT
}
