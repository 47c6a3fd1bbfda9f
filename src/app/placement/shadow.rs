//! Shadow decisions: what other strategies would have made of the problem of a placement that is carried out.

use crate::app::App;
use crate::app::planner::{Caller, Decided};
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::model::DecisionRecord;
use crate::optimizer::DecisionContext;
use crate::optimizer::placement::{Problem, Strategy};

impl App {
    /// Has the shadow strategies decide on the problem of a recorded placement, beside everything else and after it.
    /// A shadow that fails, or is lost with the server, is missed by nobody but the comparison.
    pub(in crate::app) fn decide_shadows(&self, decided: &Decided, descriptor: &Descriptor, project: &str) {
        let strategies = &self.parts.settings.placement.shadow;
        let real = &decided.record;
        let others: Vec<Strategy> =
            strategies.iter().filter(|strategy| strategy.name() != real.strategy).cloned().collect();
        if others.is_empty() {
            return;
        }
        let context = DecisionContext::new(descriptor, project, real.created_at);
        let (app, real) = (self.clone(), real.clone());
        tokio::spawn(async move {
            for strategy in others {
                let name = strategy.to_string();
                if let Err(error) = app.decide_shadow(&real, strategy, &context).await {
                    tracing::warn!(graph.name = %real.graph, "the shadow of strategy {name} is missing: {error}");
                }
            }
        });
    }

    async fn decide_shadow(
        &self,
        real: &DecisionRecord,
        strategy: Strategy,
        context: &DecisionContext,
    ) -> Result<()> {
        let problem = serde_json::from_value::<Problem>(real.problem.clone());
        let mut problem = problem.map_err(|error| Error::Internal(error.into()))?;
        problem.strategy = strategy;
        let shadow = self.parts.planner.place(problem, context, Caller::DryRun).await?;
        self.record_decision(&DecisionRecord { shadow_of: Some(real.id), ..shadow.record }).await
    }
}
