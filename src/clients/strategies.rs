//! External strategies: programs of the operator that decide over HTTP and JSON.
//!
//! The server posts the whole problem and takes an answer of a few lines. What they answer is checked like any plan
//! before anyone acts on it; that, and the fallback, is the caller's work.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClientError, ClientErrorKind, Result};

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
