//! External strategies: programs of the operator that decide over HTTP and JSON.
//!
//! The server posts the whole problem and takes an answer of a few lines. What they answer is checked like any plan
//! before anyone acts on it; that, and the fallback, is the caller's work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClientError, ClientErrorKind, Result};
use crate::optimizer::Problem;
use crate::optimizer::scaling::ScalingProblem;

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

/// Where an external strategy answers.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// How long an answer may take.
    pub deadline: Duration,
}

/// Speaks to external strategies. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Strategies {
    http: reqwest::Client,
}

impl Strategies {
    /// Posts a question and reads the answer.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<'_>,
        question: &(impl Serialize + Sync),
    ) -> Result<A> {
        let failed = |kind, what: &str| {
            ClientError::new("strategy", kind, format!("external strategy {}: {what}", endpoint.name))
        };
        let request = self.http.post(endpoint.url).timeout(endpoint.deadline).json(question);
        let answer = request.send().await.map_err(|error| {
            let kind =
                if error.is_timeout() { ClientErrorKind::Timeout } else { ClientErrorKind::Unreachable };
            failed(kind, &error.without_url().to_string())
        })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(failed(ClientErrorKind::Failed, &format!("answered {status}")));
        }
        answer.json().await.map_err(|error| {
            let kind = if error.is_timeout() { ClientErrorKind::Timeout } else { ClientErrorKind::Failed };
            failed(kind, &format!("its answer cannot be read: {}", error.without_url()))
        })
    }
}
