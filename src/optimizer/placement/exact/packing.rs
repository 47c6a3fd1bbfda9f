//! Best-fit decreasing for items with several resources, allowed clusters and pair rules.

use super::super::{Model, RESOURCES};

/// A partial assignment that is being completed.
pub(super) struct Packing<'a> {
    model: &'a Model,
    /// The cluster of each item that is placed.
    pub(super) assignment: Vec<Option<usize>>,
    /// Remaining capacity of each cluster; negative where the residents alone exceed it.
    pub(super) room: Vec<[i64; RESOURCES]>,
    /// One over the total demand, per resource: makes resources comparable.
    share: [f64; RESOURCES],
    /// Per item the partners and relations of its pair rules.
    partners: Vec<Vec<(usize, usize)>>,
}

impl<'a> Packing<'a> {
    /// Nothing placed.
    pub(super) fn new(model: &'a Model) -> Self {
        let mut partners = vec![Vec::new(); if model.pair_rules.is_empty() { 0 } else { model.items() }];
        for rule in &model.pair_rules {
            partners[rule.a].push((rule.b, rule.relation));
            partners[rule.b].push((rule.a, rule.relation));
        }
        Self {
            model,
            assignment: vec![None; model.items()],
            room: model.capacity.clone(),
            share: shares(model),
            partners,
        }
    }

    /// Puts an item on a cluster, whether it fits or not.
    pub(super) fn put(&mut self, item: usize, cluster: usize) {
        self.assignment[item] = Some(cluster);
        for (room, amount) in self.room[cluster].iter_mut().zip(&self.model.demand[item]) {
            *room -= amount;
        }
    }

    /// Takes an item off its cluster.
    pub(super) fn take(&mut self, item: usize) {
        if let Some(cluster) = self.assignment[item].take() {
            for (room, amount) in self.room[cluster].iter_mut().zip(&self.model.demand[item]) {
                *room += amount;
            }
        }
    }

    /// The demand of an item over all resources, as a share of the total demand.
    pub(super) fn size(&self, item: usize) -> f64 {
        weigh(&self.model.demand[item], &self.share)
    }

    /// Places items: first those with the fewest allowed clusters, of these the largest; each on the cheapest
    /// cluster that it fits, among equals the one with the least remaining capacity. One that fits nowhere
    /// takes the place of an item that fits elsewhere; `None` when there is no such item.
    pub(super) fn complete(mut self, mut items: Vec<usize>) -> Option<Vec<usize>> {
        let key = |item: &usize| {
            let clusters = self.model.allowed.row(*item).iter().filter(|allowed| **allowed).count();
            (clusters, self.size(*item))
        };
        let mut keyed: Vec<_> = items.drain(..).map(|item| (key(&item), item)).collect();
        keyed.sort_by(|((few, size), item), ((other_few, other_size), other)| {
            few.cmp(other_few).then(other_size.total_cmp(size)).then(item.cmp(other))
        });
        for (_, item) in keyed {
            let cluster = self.best_fit(item).or_else(|| self.make_room(item))?;
            self.put(item, cluster);
        }
        self.assignment.into_iter().collect()
    }

    fn best_fit(&self, item: usize) -> Option<usize> {
        let open = (0..self.model.clusters()).filter(|cluster| self.may_take(item, *cluster));
        open.map(|cluster| (self.model.cost.at(item, cluster), self.left(item, cluster), cluster))
            .min_by(|one, other| {
                one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.cmp(&other.2))
            })
            .map(|(_, _, cluster)| cluster)
    }

    /// Moves one item elsewhere so that another fits in its place, which is returned: the one that is
    /// cheapest to move, of these the smallest.
    fn make_room(&mut self, item: usize) -> Option<usize> {
        let mut best: Option<(i64, f64, usize, usize)> = None;
        for other in 0..self.model.items() {
            let Some(from) = self.assignment[other] else { continue };
            if !self.model.allowed.at(item, from) || !self.frees_enough(other, from, item) {
                continue;
            }
            self.take(other);
            if self.may_take(item, from) {
                self.put(item, from);
                if let Some(to) = self.best_fit(other) {
                    let surcharge = self.model.cost.at(other, to) - self.model.cost.at(other, from);
                    let size = self.size(other);
                    if best.is_none_or(|(least, smallest, ..)| (surcharge, size) < (least, smallest)) {
                        best = Some((surcharge, size, other, to));
                    }
                }
                self.take(item);
            }
            self.put(other, from);
        }
        let (_, _, other, to) = best?;
        let from = self.assignment[other]?;
        self.take(other);
        self.put(other, to);
        Some(from)
    }

    fn frees_enough(&self, other: usize, cluster: usize, item: usize) -> bool {
        let (freed, needed) = (&self.model.demand[other], &self.model.demand[item]);
        (0..RESOURCES).all(|resource| needed[resource] - freed[resource] <= self.room[cluster][resource])
    }

    fn may_take(&self, item: usize, cluster: usize) -> bool {
        let fits = |(room, amount): (&i64, &i64)| amount <= room;
        self.model.allowed.at(item, cluster)
            && self.room[cluster].iter().zip(&self.model.demand[item]).all(fits)
            && self.partners.get(item).is_none_or(|partners| {
                partners.iter().all(|(partner, relation)| {
                    self.assignment[*partner]
                        .is_none_or(|other| self.model.relations[*relation].at(cluster, other))
                })
            })
    }

    /// The remaining amount of the limited resources on a cluster after placing the item.
    fn left(&self, item: usize, cluster: usize) -> f64 {
        let mut left = [0; RESOURCES];
        for (resource, left) in left.iter_mut().enumerate() {
            if self.model.capacity[cluster][resource] != i64::MAX {
                *left = self.room[cluster][resource] - self.model.demand[item][resource];
            }
        }
        weigh(&left, &self.share)
    }
}

/// Packs all items from nothing.
pub(super) fn pack(model: &Model) -> Option<Vec<usize>> {
    let assignment = Packing::new(model).complete((0..model.items()).collect())?;
    model.is_feasible(&assignment).then_some(assignment)
}

/// One over the total demand, per resource; 0 where nothing is needed.
#[expect(clippy::cast_precision_loss, reason = "a weight, not an amount")]
pub(super) fn shares(model: &Model) -> [f64; RESOURCES] {
    let mut totals = [0; RESOURCES];
    for demand in &model.demand {
        for (total, amount) in totals.iter_mut().zip(demand) {
            *total += i128::from(*amount);
        }
    }
    totals.map(|total: i128| if total > 0 { 1.0 / total as f64 } else { 0.0 })
}

#[expect(clippy::cast_precision_loss, reason = "a weight, not an amount")]
fn weigh(amounts: &[i64; RESOURCES], share: &[f64; RESOURCES]) -> f64 {
    amounts.iter().zip(share).map(|(amount, share)| *amount as f64 * share).sum()
}
