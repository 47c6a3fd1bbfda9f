//! Alertmanager calls: deploy the conditional services that firing alerts name.

use std::collections::BTreeMap;

use super::{Alert, AlertOutcome, AlertTarget, App, IgnoredAlert, RequestContext};
use crate::error::Result;
use crate::reconcile::trigger::{Triggered, trigger};

impl App {
    /// Deploys the conditional services that firing alerts name. Labels `graph` and `project` narrow the target;
    /// a redelivered alert changes nothing. Does not wait for the deployment.
    ///
    /// # Errors
    /// The database failed; Alertmanager then delivers again.
    pub async fn receive_alerts(&self, alerts: &[Alert], context: &RequestContext) -> Result<AlertOutcome> {
        let mut outcome = AlertOutcome::default();
        for alert in alerts {
            match self.receive_alert(alert, context).await? {
                Ok(targets) => {
                    let new = targets.into_iter().filter(|target| !outcome.deployed.contains(target));
                    outcome.deployed.extend(new.collect::<Vec<_>>());
                }
                Err(reason) => outcome.ignored.push(IgnoredAlert { labels: alert.labels.clone(), reason }),
            }
        }
        Ok(outcome)
    }

    /// The services an alert deploys, or why it deploys none.
    async fn receive_alert(
        &self,
        alert: &Alert,
        context: &RequestContext,
    ) -> Result<Result<Vec<AlertTarget>, String>> {
        if !alert.firing {
            return Ok(Err("the alert is resolved".to_owned()));
        }
        let Some(service) = alert.labels.get("service") else {
            return Ok(Err("the alert has no label \"service\"".to_owned()));
        };
        let candidates = self.parts.store.conditional_services(service).await?;
        let matching = candidates.iter().filter(|(graph, project)| {
            fits(&alert.labels, "graph", graph) && fits(&alert.labels, "project", project)
        });
        let (mut deployed, mut reason) = (Vec::new(), None);
        for (graph, _) in matching {
            let _wake = self.parts.supervisor.wake_on_drop(graph);
            let done = trigger(&self.parts.store, graph, service, &context.cause()).await?;
            match ignored_because(done, graph, service) {
                None => deployed.push(AlertTarget { graph: graph.clone(), service: service.clone() }),
                Some(why) => reason = Some(why),
            }
        }
        if deployed.is_empty() {
            return Ok(Err(
                reason.unwrap_or_else(|| format!("no graph has a service {service:?} that fits the labels"))
            ));
        }
        Ok(Ok(deployed))
    }
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
        Triggered::Unknown => Some(format!("service {service:?} of graph {graph:?} is gone")),
    }
}
