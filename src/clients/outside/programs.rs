//! Programs of the operator: external strategies and intent handlers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Outside;
use crate::clients::Result;
use crate::clients::call::{Operation, Policy};
use crate::clients::strategies::Endpoint;
use crate::config::{ExternalStrategy, IntentHandler};
use crate::optimizer::{
    ExternalPlacementAnswer, ExternalPlacementQuestion, ExternalScalingAnswer, ExternalScalingQuestion,
    IntentHandlerAnswer, IntentHandlerQuestion, placement, scaling,
};

impl Outside {
    /// Asks an external placement strategy: service name to cluster name.
    ///
    /// # Errors
    /// It does not answer in time, or its answer is invalid.
    pub async fn ask_placement(
        &self,
        name: &str,
        strategy: &ExternalStrategy<placement::BuiltIn>,
        question: &ExternalPlacementQuestion<'_>,
    ) -> Result<BTreeMap<String, String>> {
        let ExternalStrategy { url, deadline, .. } = strategy;
        let endpoint = Endpoint { kind: "strategy", name, url, deadline: *deadline };
        let answer: ExternalPlacementAnswer = self.ask(endpoint, question).await?;
        Ok(answer.assignment)
    }

    /// Asks an external scaling strategy: service name to replicas.
    ///
    /// # Errors
    /// It does not answer in time, or its answer is invalid.
    pub async fn ask_scaling(
        &self,
        name: &str,
        strategy: &ExternalStrategy<scaling::BuiltIn>,
        question: &ExternalScalingQuestion<'_>,
    ) -> Result<BTreeMap<String, i64>> {
        let ExternalStrategy { url, deadline, .. } = strategy;
        let endpoint = Endpoint { kind: "scaling strategy", name, url, deadline: *deadline };
        let answer: ExternalScalingAnswer = self.ask(endpoint, question).await?;
        Ok(answer.replicas)
    }

    /// Asks an intent handler for the meaning of intents.
    ///
    /// # Errors
    /// It does not answer in time, or its answer is invalid.
    pub async fn ask_intent_handler(
        &self,
        name: &str,
        handler: &IntentHandler,
        question: &IntentHandlerQuestion<'_>,
    ) -> Result<IntentHandlerAnswer> {
        let IntentHandler { url, deadline, .. } = handler;
        self.ask(Endpoint { kind: "intent handler", name, url, deadline: *deadline }, question).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<'_>,
        question: &(impl Serialize + Sync),
    ) -> Result<A> {
        let admitted = self.0.strategies.admit(endpoint)?;
        let policy = Policy::Once(endpoint.deadline);
        let decide = Operation { system: "strategy", name: "decide", policy, proves: &[] };
        let answer = self.0.calls.run(decide, || self.0.strategies.ask(endpoint, question)).await;
        admitted.finish(&answer);
        answer
    }
}
