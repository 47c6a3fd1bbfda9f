//! A subset of all assignments, on which the multipliers are evaluated and which the search splits.

use super::super::model::{Matrix, Model};

/// Whether a cluster is in use, as far as decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Either is possible.
    Free,
    /// At least one item is there.
    Open,
    /// No item is there.
    Closed,
}

/// The assignments that put every item on an allowed cluster and use clusters as stated.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) allowed: Matrix<bool>,
    pub(super) uses: Vec<Use>,
    items: usize,
}

impl Domain {
    /// All assignments of a model.
    pub(super) fn new(model: &Model) -> Self {
        let mut domain = Self {
            allowed: model.allowed.clone(),
            uses: vec![Use::Free; model.clusters()],
            items: model.items(),
        };
        for cluster in 0..model.clusters() {
            if (0..model.items()).all(|item| !model.allowed.at(item, cluster)) {
                domain.close(cluster);
            }
        }
        domain
    }

    /// Number of items.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Removes the assignments that use a cluster.
    pub(super) fn close(&mut self, cluster: usize) {
        self.uses[cluster] = Use::Closed;
        for item in 0..self.items {
            self.allowed.set(item, cluster, false);
        }
    }

    /// Clusters an item may still go to.
    pub(super) fn choices(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        let row = self.allowed.row(item).iter().enumerate();
        row.filter(|(_, allowed)| **allowed).map(|(cluster, _)| cluster)
    }

    /// The only assignment left, if there is only one.
    pub(super) fn single(&self) -> Option<Vec<usize>> {
        (0..self.items)
            .map(|item| {
                let mut choices = self.choices(item);
                let first = choices.next()?;
                choices.next().is_none().then_some(first)
            })
            .collect()
    }
}
