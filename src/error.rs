//! The one domain error. It knows nothing of HTTP: `api::problem` decides the status.
//!
//! Lower layers have errors of their own where callers branch on them; each converts here, at the border of
//! its layer, by an explicit `From`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::clients::ClientError;
use crate::hdag::Finding;
use crate::optimizer::placement::Infeasibility;
use crate::store::StoreError;

/// When a client may ask again after others took the capacity that was decided on.
const RETRY_CONTENDED: Duration = Duration::from_secs(1);

/// Result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case was refused or failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The input is wrong; every finding is listed.
    #[error("{detail}")]
    Invalid {
        /// The fault in one sentence.
        detail: String,
        /// Where and why.
        findings: Vec<Finding>,
    },
    /// The input is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The subject does not exist.
    #[error("{kind} {name:?} does not exist")]
    NotFound {
        /// Kind of the subject, such as `graph`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The request contradicts the state of the graph (already running, already stopped).
    #[error("{0}")]
    State(String),
    /// Something else has the name.
    #[error("{0}")]
    Conflict(String),
    /// No placement satisfies the constraints.
    #[error("{}", .0.summary)]
    Infeasible(Box<Infeasibility>),
    /// A plan was made for a problem that is no longer the current one.
    #[error("the world has changed since plan {plan} was made: {}", changes.join("; "))]
    WorldChanged {
        /// Id of the plan.
        plan: String,
        /// The differences, one sentence each.
        changes: Vec<String>,
    },
    /// The last observation of the clusters is too old to base a decision on.
    #[error("the state of the clusters was last observed {} and is too old to decide on", observed(*.observed_at))]
    Stale {
        /// When Karmada last answered; `None` when it never did.
        observed_at: Option<DateTime<Utc>>,
        /// When asking again may help.
        retry_after: Duration,
    },
    /// Others took the capacity that was decided on, again and again.
    #[error("cluster {cluster:?} is in demand: its capacity was taken by others while this was decided")]
    Contended {
        /// The cluster.
        cluster: String,
        /// When asking again may help.
        retry_after: Duration,
    },
    /// Too many decisions wait already.
    #[error("{waiting} decisions wait already; try again later")]
    Busy {
        /// How many wait.
        waiting: usize,
        /// When asking again may help.
        retry_after: Duration,
    },
    /// A feature needs a system that is not configured.
    #[error("{system} is not configured; set {setting}")]
    NotConfigured {
        /// The system.
        system: &'static str,
        /// The setting that would configure it.
        setting: &'static str,
    },
    /// An outside system failed.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The database failed. The cause is logged, never shown.
    #[error("the database failed")]
    Store(#[source] StoreError),
    /// A bug. The cause is logged, never shown.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A graph that does not exist.
    pub fn no_graph(name: &str) -> Self {
        Self::NotFound { kind: "graph", name: name.to_owned() }
    }

    /// A graph whose intent is no longer the one that something was decided for.
    pub fn changed_meanwhile(name: &str) -> Self {
        Self::Conflict(format!("graph {name:?} was changed meanwhile; try again"))
    }

    /// Wrong input with one finding.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Invalid { detail: message.clone(), findings: vec![Finding::new(pointer, message)] }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { message } => Self::Conflict(message),
            StoreError::NoCapacity { cluster } => Self::Contended { cluster, retry_after: RETRY_CONTENDED },
            other => Self::Store(other),
        }
    }
}

fn observed(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| format!("at {}", at.format("%Y-%m-%d %H:%M:%S UTC")))
}
