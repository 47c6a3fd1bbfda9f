//! The contracts of external strategies: what they are asked, and what they answer, in JSON.
//!
//! Their answers become outcomes through [`super::placement::adopt`] and [`super::scaling::adopt`] and are checked like any.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::placement::Problem;
use super::scaling::ScalingProblem;

/// What is posted to an external placement strategy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExternalPlacementQuestion<'a> {
    /// Everything the decision may look at.
    pub problem: &'a Problem,
}

/// What an external placement strategy answers.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExternalPlacementAnswer {
    /// Service name to cluster name, for every service of the problem.
    #[schema(example = json!({"camera": "edge-1", "detector": "cloud"}))]
    pub assignment: BTreeMap<String, String>,
}

/// What is posted to an external scaling strategy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExternalScalingQuestion<'a> {
    /// Everything the decision may look at.
    pub problem: &'a ScalingProblem,
}

/// What an external scaling strategy answers.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExternalScalingAnswer {
    /// Service name to number of replicas, for every service of the problem.
    #[schema(example = json!({"detector": 3}))]
    pub replicas: BTreeMap<String, i64>,
}
