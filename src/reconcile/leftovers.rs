//! Removal of leftovers of deleted graphs: rule objects without a record, as after restoring a database from
//! a backup, and charts that no service has.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::graph::Reconciler;
use super::memory::Memory;
use super::progress::Progress;
use super::queue::{WorkOutcome, WorkerSlot};
use super::resources::{Change, Resource, ResourceId, ResourceKind, Scope, States, Unwanted, rules};
use crate::error::Result;
use crate::model::now;

/// How long a chart is kept that no service has: a graph with it may be about to be recorded.
const CHARTS_KEPT: TimeDelta = TimeDelta::hours(1);

impl Reconciler {
    /// Removes the rule objects of graphs that do not exist, and the kept charts that no service has.
    pub(super) async fn remove_leftovers(
        &self,
        memory: &mut Memory,
        worker: &WorkerSlot,
    ) -> Result<(WorkOutcome, Progress)> {
        let removed = self.store.remove_unused_charts(now() - CHARTS_KEPT).await?;
        if removed > 0 {
            tracing::info!(charts = removed, "removed {removed} kept charts that no service has");
        }
        if !self.outside.has_rules() {
            return Ok((WorkOutcome::Settled, Progress::default()));
        }
        let objects = match self.outside.list_rules().await {
            Ok(objects) => objects,
            Err(error) => return Ok((WorkOutcome::Failed { after: error.retry_after }, Progress::default())),
        };
        // The names are read after the objects: a graph is recorded before its rules are written.
        let graphs = self.store.graph_names().await?;
        let leftovers = leftovers(objects, &graphs);
        for resource in &leftovers {
            tracing::info!(rules.name = %resource.id.name, "remove rules {} of no graph", resource.id.name);
        }
        let (scope, mut states) = (Scope { graph: None, services: &[], worker }, States::new());
        self.carry_out(&scope, leftovers, &mut memory.failures, &mut states).await?;
        memory.failures.forget_others(&states);
        let errors = states.values().filter_map(|state| state.error());
        let after =
            errors.filter(|error| error.kind.is_transient()).filter_map(|error| error.retry_after).min();
        let outcome = after.map_or(WorkOutcome::Settled, |after| WorkOutcome::Retry { after: Some(after) });
        Ok((outcome, Progress::default()))
    }
}

/// Those of the rule objects that belong to none of the graphs, to be removed.
fn leftovers(objects: Vec<String>, graphs: &[String]) -> Vec<Resource> {
    let owned: BTreeSet<String> = graphs.iter().map(|graph| rules::object_name(graph)).collect();
    let removed = |object_name: String| Resource {
        id: ResourceId::new(ResourceKind::Rules, &object_name),
        change: Change::Remove(Unwanted::Rules { object_name }),
        after: BTreeSet::new(),
    };
    objects.into_iter().filter(|object| !owned.contains(object)).map(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_graphs_that_exist_stay() {
        let objects = vec![rules::object_name("a"), rules::object_name("gone"), "smo-by-hand".to_owned()];
        let found = leftovers(objects, &["a".to_owned(), "without-rules".to_owned()]);
        let names: Vec<&str> = found.iter().map(|resource| resource.id.name.as_str()).collect();
        assert_eq!(names, [rules::object_name("gone").as_str(), "smo-by-hand"]);
    }
}
