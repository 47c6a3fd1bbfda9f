//! Progress of the reconcile of a graph, for the requests that wait for it.

/// How far the reconcile of a graph has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The generation that was worked on.
    pub generation: i64,
    /// Every release is in the state that this generation desires.
    pub done: bool,
    /// Something failed that only a user can mend.
    pub failed: bool,
    /// The graph does not exist any more.
    pub gone: bool,
}

impl Progress {
    pub(super) fn gone() -> Self {
        Self { gone: true, ..Self::default() }
    }

    pub(super) fn under_way(generation: i64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Whether waiting any longer for `generation` is of no use.
    #[must_use]
    pub fn is_final_for(&self, generation: i64) -> bool {
        self.gone || (self.generation >= generation && (self.done || self.failed))
    }
}
