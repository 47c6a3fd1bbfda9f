//! The JSON contracts with other programs, external strategies and intent handlers: their requests and
//! answers.
//!
//! Plans become outcomes through [`super::placement::adopt`] and [`super::scaling::adopt`] and are checked
//! like any.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::placement::{AttributeTest, Problem};
use super::scaling::ScalingProblem;
use crate::hdag::{Descriptor, Trigger};

/// The surroundings of a problem: the intents as the user wrote them, and the dependencies.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionContext {
    /// Project of the graph.
    pub project: String,
    /// When the decision is made.
    pub at: DateTime<Utc>,
    /// `hdaGraphIntent` as written, unknown fields included; null when there is none.
    pub intents: Value,
    /// The graph's services by name.
    pub services: BTreeMap<String, ServiceContext>,
}

/// The surroundings of a service of a problem.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServiceContext {
    /// Its `intent` as written, unknown fields included; null when there is none.
    pub intents: Value,
    /// Services that are installed before it.
    pub dependencies: Vec<String>,
    /// Services that it calls.
    pub connection_points: Vec<String>,
}

impl DecisionContext {
    /// The context of a decision about a descriptor's graph.
    #[must_use]
    pub fn new(descriptor: &Descriptor, project: &str, at: DateTime<Utc>) -> Self {
        let graph = &descriptor.document;
        let service = |(index, service): (usize, &crate::hdag::Service)| {
            let dependencies = match &service.trigger {
                Trigger::Auto { dependencies } => dependencies.clone(),
                Trigger::Event { .. } => Vec::new(),
            };
            let context = ServiceContext {
                intents: graph["services"][index]["deployment"]["intent"].clone(),
                dependencies,
                connection_points: service.connection_points.clone(),
            };
            (service.id.clone(), context)
        };
        Self {
            project: project.to_owned(),
            at,
            intents: graph["hdaGraphIntent"].clone(),
            services: descriptor.services.iter().enumerate().map(service).collect(),
        }
    }
}

/// The question to an external placement strategy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExternalPlacementQuestion<'a> {
    /// The complete input of constraints and objective.
    pub problem: &'a Problem,
    /// Its surroundings.
    pub context: &'a DecisionContext,
}

/// The answer of an external placement strategy.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExternalPlacementAnswer {
    /// Service name to cluster name, for every service of the problem.
    #[schema(example = json!({"camera": "edge-1", "detector": "cloud"}))]
    pub assignment: BTreeMap<String, String>,
}

/// The question to an external scaling strategy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExternalScalingQuestion<'a> {
    /// The complete input of constraints and objective.
    pub problem: &'a ScalingProblem,
    /// Its surroundings.
    pub context: &'a DecisionContext,
    /// Earlier measurements and decisions, oldest first; as many ticks as `scaling.history` keeps.
    pub history: &'a [ScalingSample],
}

/// One tick of the past.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScalingSample {
    /// When the load was measured.
    pub at: DateTime<Utc>,
    /// The services by name.
    pub services: BTreeMap<String, ServiceSample>,
}

/// A service in a tick of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceSample {
    /// Requests per second; null when not known.
    pub rate: Option<f64>,
    /// Replicas that were decided.
    pub replicas: i64,
}

/// The answer of an external scaling strategy.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExternalScalingAnswer {
    /// Service name to number of replicas, for every service of the problem.
    #[schema(example = json!({"detector": 3}))]
    pub replicas: BTreeMap<String, i64>,
}

/// The question to an intent handler, before a placement is decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntentHandlerQuestion<'a> {
    /// Name of the graph.
    pub graph: &'a str,
    /// The surroundings of the decision.
    pub context: &'a DecisionContext,
    /// The graph's intents that the handler handles: path with dots to value.
    pub intents: BTreeMap<&'a str, &'a Value>,
    /// The same of its services, by service name; services without any are absent.
    pub services: BTreeMap<&'a str, BTreeMap<&'a str, &'a Value>>,
}

/// The answer of an intent handler: the meaning of the intents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IntentHandlerAnswer {
    /// Conditions on clusters.
    pub requirements: Vec<IntentRequirement>,
    /// Weights of the objective of the graph, by name.
    #[schema(example = json!({"carbon": 5.0}))]
    pub weights: BTreeMap<String, f64>,
}

/// A condition on the clusters of a service, or of all services of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentRequirement {
    /// The intent that it comes from, for explanations.
    #[schema(example = "sovereignty")]
    pub intent: String,
    /// The service; absent for all services of the graph.
    #[serde(default)]
    pub service: Option<String>,
    /// Name of an attribute of clusters, or of a label.
    #[schema(example = "region")]
    pub attribute: String,
    /// The condition on its value.
    pub test: AttributeTest,
}
