//! Alertmanager calls: deploy the conditional services that firing alerts name.

use std::collections::BTreeMap;

use super::trigger::Triggered;
use super::{Alert, AlertOutcome, AlertTarget, App, IgnoredAlert, RequestContext};
use crate::error::Result;
use crate::model::Cause;

impl App {
    /// Deploys the conditional services that firing alerts name. Labels `graph` and `project` narrow the
    /// target; a redelivered alert changes nothing. Does not wait for the deployment.
    ///
    /// # Errors
    /// The database failed; Alertmanager then delivers again.
    pub async fn receive_alerts(&self, alerts: &[Alert], context: &RequestContext) -> Result<AlertOutcome> {
        let mut outcome = AlertOutcome::default();
        for alert in alerts {
            match self.receive_alert(alert, context).await? {
                Reception::Deployed(targets) => {
                    let new = targets.into_iter().filter(|target| !outcome.deployed.contains(target));
                    outcome.deployed.extend(new.collect::<Vec<_>>());
                }
                Reception::Ignored(reason) => {
                    outcome.ignored.push(IgnoredAlert { labels: alert.labels.clone(), reason });
                }
            }
        }
        Ok(outcome)
    }

    /// Asks Prometheus for firing alerts, and how the rules are, until it is dropped: a webhook of Alertmanager may get
    /// lost, and a rule that is not evaluated never calls.
    pub async fn run_alert_loop(self) {
        if !self.parts.outside.has_metrics() {
            return;
        }
        loop {
            tokio::time::sleep(self.parts.settings.reconcile.alert_poll).await;
            if let Err(error) = self.check_alerts().await {
                tracing::warn!("the firing alerts could not be read: {error}");
            }
            if let Err(error) = self.check_rules().await {
                tracing::warn!("the state of the alert rules could not be read: {error}");
            }
        }
    }

    /// Wakes the graphs whose rules Prometheus judges otherwise than before.
    async fn check_rules(&self) -> Result<()> {
        let graphs = self.parts.store.conditional_graphs().await?;
        if graphs.is_empty() || !self.parts.outside.has_rules() {
            return Ok(());
        }
        let loaded = self.parts.outside.loaded_rules().await?;
        let within = self.parts.settings.monitoring.rules_loaded_within;
        for graph in self.parts.rule_health.note(loaded, &graphs, within) {
            self.parts.queue.wake(&graph);
        }
        Ok(())
    }

    async fn check_alerts(&self) -> Result<()> {
        for alert in self.parts.outside.firing_alerts().await? {
            let cause = Cause::internal("prometheus");
            if let Err(error) = self.trigger(&alert.graph, &alert.service, Some(&alert.alert), cause).await {
                tracing::warn!(graph.name = %alert.graph, "alert {} was not taken: {error}", alert.alert);
            }
        }
        Ok(())
    }

    /// Deploys the services that one alert names.
    async fn receive_alert(&self, alert: &Alert, context: &RequestContext) -> Result<Reception> {
        let ignored = |reason: &str| Ok(Reception::Ignored(reason.to_owned()));
        if !alert.firing {
            return ignored("the alert is resolved");
        }
        let Some(service) = alert.labels.get("service") else {
            return ignored("the alert has no label \"service\"");
        };
        let name = alert.labels.get("alertname").map(String::as_str);
        let candidates = self.parts.store.conditional_services(service).await?;
        let matching = candidates.iter().filter(|(graph, project)| {
            fits(&alert.labels, "graph", graph) && fits(&alert.labels, "project", project)
        });
        let (mut deployed, mut reason) = (Vec::new(), None);
        for (graph, _) in matching {
            let done = self.trigger(graph, service, name, context.cause()).await?;
            match ignored_because(done, graph, service) {
                None => deployed.push(AlertTarget { graph: graph.clone(), service: service.clone() }),
                Some(why) => reason = Some(why),
            }
        }
        if deployed.is_empty() {
            let unknown =
                || format!("no graph has a conditional service {service:?} that matches the alert's labels");
            return Ok(Reception::Ignored(reason.unwrap_or_else(unknown)));
        }
        Ok(Reception::Deployed(deployed))
    }
}

/// Outcome of one alert.
enum Reception {
    /// These services are deployed because of it.
    Deployed(Vec<AlertTarget>),
    /// It led to nothing, for this reason.
    Ignored(String),
}

fn fits(labels: &BTreeMap<String, String>, label: &str, value: &str) -> bool {
    labels.get(label).is_none_or(|wanted| wanted == value)
}

fn ignored_because(done: Triggered, graph: &str, service: &str) -> Option<String> {
    match done {
        Triggered::Now => None,
        Triggered::Already => Some(format!("service {service:?} of graph {graph:?} is deployed already")),
        Triggered::NotRunning => Some(format!("graph {graph:?} is not running")),
        Triggered::NotConditional => Some(format!("service {service:?} of graph {graph:?} has no event")),
        Triggered::NotItsEvent => {
            Some(format!("the alert is no event of service {service:?} of graph {graph:?}"))
        }
        Triggered::Unknown => Some(format!("service {service:?} of graph {graph:?} is gone")),
    }
}
