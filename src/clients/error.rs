//! The error type of all calls to other systems.

use std::time::Duration;

use thiserror::Error;

/// Why a call to an external system failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{system}: {kind}: {message}")]
pub struct ClientError {
    /// Name of the system that failed: `karmada`, `helm`, `registry`, `monitoring`, `prometheus`,
    /// `submariner`, `gateways`, `nodes`, `repository`, `database`, or `strategy` for any external program.
    pub system: &'static str,
    /// Kind of the failure; determines whether it is retried.
    pub kind: ClientErrorKind,
    /// Description of the failure for the operator. Contains no secret.
    pub message: String,
    /// The pause that the system requested, if any.
    pub retry_after: Option<Duration>,
}

/// Kinds of failure that callers distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ClientErrorKind {
    /// The requested chart or object does not exist.
    #[error("not found")]
    NotFound,
    /// Credentials are missing or refused.
    #[error("unauthorised")]
    Unauthorised,
    /// The system cannot be reached.
    #[error("unreachable")]
    Unreachable,
    /// No answer within the deadline.
    #[error("timed out")]
    Timeout,
    /// The chart is invalid, or the objects rendered from it are.
    #[error("invalid")]
    Invalid,
    /// A foreign object, or another writer, is in the way.
    #[error("conflict")]
    Conflict,
    /// The breaker is open: the system failed repeatedly and is not called for a while.
    #[error("circuit open")]
    CircuitOpen,
    /// The operation became obsolete before its turn came: nothing was done.
    #[error("no longer wanted")]
    Superseded,
    /// The system answered with an error of its own.
    #[error("failed")]
    Failed,
}

impl ClientErrorKind {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::CircuitOpen | Self::Failed)
    }

    /// The name used as metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorised => "unauthorised",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::CircuitOpen => "circuit_open",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

impl ClientError {
    /// An error of `system`.
    pub fn new(system: &'static str, kind: ClientErrorKind, message: impl Into<String>) -> Self {
        Self { system, kind, message: message.into(), retry_after: None }
    }
}
