//! Alert rules and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{Outside, configured, read, write};
use crate::clients::call::{Operation, Policy};
use crate::clients::{FiringAlert, GraphRules, LoadedRule, Rates, Result};

const APPLY_RULES: Operation = write("monitoring", "apply_rules");
const DELETE_RULES: Operation = write("monitoring", "delete_rules");
const FIRING_ALERTS: Operation = read("prometheus", "firing_alerts");
const LOADED_RULES: Operation = read("prometheus", "loaded_rules");
const RATES: Operation = read("prometheus", "rates");
/// A query that a user wrote may take for ever, which says nothing about Prometheus.
const CUSTOM_RATES: Operation = Operation {
    system: "prometheus",
    name: "custom_rates",
    policy: Policy::Once(Duration::from_secs(5)),
    proves: &[],
};

impl Outside {
    /// Whether alert rules can be written.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.0.ports.rules.is_some()
    }

    /// Replaces the rules of a graph by exactly these.
    ///
    /// # Errors
    /// `Invalid` when no monitoring cluster is configured; otherwise the error of its API server.
    pub async fn apply_rules(&self, rules: &GraphRules) -> Result<()> {
        let port = configured(self.0.ports.rules.as_ref(), "monitoring")?;
        self.0.calls.run(APPLY_RULES, || port.apply(rules)).await
    }

    /// Removes the rules of a graph; missing rules are no error, also when no monitoring cluster is
    /// configured.
    ///
    /// # Errors
    /// Errors of the monitoring cluster's API server.
    pub async fn delete_rules(&self, object_name: &str) -> Result<()> {
        match self.0.ports.rules.as_ref() {
            Some(port) => self.0.calls.run(DELETE_RULES, || port.delete(object_name)).await,
            None => Ok(()),
        }
    }

    /// Names of the rule objects of this installation, from the watched state.
    ///
    /// # Errors
    /// `Invalid` when no monitoring cluster is configured; `Unreachable` while its rules are not known.
    pub async fn list_rules(&self) -> Result<Vec<String>> {
        let port = configured(self.0.ports.rules.as_ref(), "monitoring")?;
        self.require_fresh(port.watches())?;
        port.list().await
    }

    /// The rules of a graph, from the watched state; `None` when they have to be written, or written again.
    ///
    /// # Errors
    /// `Invalid` when no monitoring cluster is configured; `Unreachable` while its rules are not known.
    pub async fn observed_rules(&self, object_name: &str) -> Result<Option<GraphRules>> {
        let port = configured(self.0.ports.rules.as_ref(), "monitoring")?;
        self.require_fresh(port.watches())?;
        port.observed(object_name).await
    }

    /// Names a rules object whenever it changed; `None` when no monitoring cluster is configured.
    #[must_use]
    pub fn rule_changes(&self) -> Option<broadcast::Receiver<String>> {
        self.0.ports.rules.as_ref().map(|port| port.changes())
    }

    /// Whether Prometheus can be queried.
    #[must_use]
    pub fn has_metrics(&self) -> bool {
        self.0.ports.metrics.is_some()
    }

    /// All firing alerts of this installation's rules.
    ///
    /// # Errors
    /// `Invalid` when no Prometheus is configured; otherwise Prometheus's error.
    pub async fn firing_alerts(&self) -> Result<Vec<FiringAlert>> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(FIRING_ALERTS, || port.firing_alerts()).await
    }

    /// The alert rules that Prometheus has loaded, by graph.
    ///
    /// # Errors
    /// `Invalid` when no Prometheus is configured; otherwise Prometheus's error.
    pub async fn loaded_rules(&self) -> Result<BTreeMap<String, Vec<LoadedRule>>> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(LOADED_RULES, || port.loaded_rules()).await
    }

    /// Values of an instant query, by this label.
    ///
    /// # Errors
    /// `Invalid` when no Prometheus is configured or the query is wrong; otherwise Prometheus's error.
    pub async fn rates(&self, query: &str, label: &str) -> Result<Rates> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(RATES, || port.rates(query, label)).await
    }

    /// As [`Self::rates`], for a query that a user wrote: within its own deadline, and not under the breaker of
    /// Prometheus.
    ///
    /// # Errors
    /// As [`Self::rates`].
    pub async fn custom_rates(&self, query: &str, label: &str) -> Result<Rates> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(CUSTOM_RATES, || port.rates(query, label)).await
    }
}
