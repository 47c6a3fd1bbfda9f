//! Groups of interchangeable items, which make placement programs small.
//!
//! Items with equal demand, equal allowed clusters and equal costs may be exchanged for one another, so it is
//! enough to decide how many of a group are on each cluster. Items of pair rules are kept distinct: each is a
//! group of its own.

use std::collections::BTreeMap;

use super::super::{Model, RESOURCES};

/// The quantity to minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objective {
    /// The costs of items on clusters.
    Cost,
    /// Nothing: any feasible assignment will do.
    None,
}

/// Which items share a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    /// Those that are interchangeable.
    Alike,
    /// None: each item is a group.
    Apart,
}

/// Interchangeable items.
pub(super) struct Group {
    /// The items, ascending.
    pub(super) items: Vec<usize>,
    /// How many items are on each cluster now, where staying costs less than coming.
    pub(super) residents: BTreeMap<usize, usize>,
    /// Nano-cost of an item that stays.
    pub(super) stay: i64,
    /// Nano-cost of an item that comes, per cluster.
    pub(super) come: Costs,
}

/// Costs per cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Costs {
    /// The same everywhere.
    Flat(i64),
    /// One per cluster.
    Each(Vec<i64>),
}

impl Costs {
    pub(super) fn at(&self, cluster: usize) -> i64 {
        match self {
            Self::Flat(cost) => *cost,
            Self::Each(costs) => costs[cluster],
        }
    }
}

/// The properties shared by the items of a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    demand: [i64; RESOURCES],
    allowed: &'a [bool],
    stay: i64,
    come: Costs,
    /// The item itself if it is kept distinct.
    apart: Option<usize>,
}

/// The groups of a model, by their lowest item.
pub(super) fn groups(model: &Model, objective: Objective, grouping: Grouping) -> Vec<Group> {
    let mut apart = vec![grouping == Grouping::Apart; model.items()];
    for rule in &model.pair_rules {
        apart[rule.a] = true;
        apart[rule.b] = true;
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut index: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for (item, apart) in apart.into_iter().enumerate() {
        let (home, stay, come) = match objective {
            Objective::Cost => costs(model, item),
            Objective::None => (None, 0, Costs::Flat(0)),
        };
        let key = Key {
            demand: model.demand[item],
            allowed: model.allowed.row(item),
            stay,
            come: come.clone(),
            apart: apart.then_some(item),
        };
        let group = *index.entry(key).or_insert_with(|| {
            groups.push(Group { items: Vec::new(), residents: BTreeMap::new(), stay, come });
            groups.len() - 1
        });
        groups[group].items.push(item);
        if let Some(home) = home {
            *groups[group].residents.entry(home).or_default() += 1;
        }
    }
    groups
}

/// The current cluster of an item, and its costs there and elsewhere.
///
/// Only costs that are flat elsewhere, and not lower than at home, let items of different homes share a
/// group; others are costs without a home.
fn costs(model: &Model, item: usize) -> (Option<usize>, i64, Costs) {
    let row = model.cost.row(item);
    let allowed = model.allowed.row(item);
    let home = model.current[item].filter(|home| allowed[*home]);
    let mut elsewhere = row
        .iter()
        .enumerate()
        .filter(|(cluster, _)| allowed[*cluster] && Some(*cluster) != home)
        .map(|(_, cost)| *cost);
    let Some(first) = elsewhere.next() else {
        return (home, home.map_or(0, |home| row[home]), Costs::Flat(home.map_or(0, |home| row[home])));
    };
    let flat = elsewhere.all(|cost| cost == first);
    match home {
        Some(home) if flat && row[home] <= first => (Some(home), row[home], Costs::Flat(first)),
        None if flat => (None, 0, Costs::Flat(first)),
        _ => (None, 0, Costs::Each(row.to_vec())),
    }
}
