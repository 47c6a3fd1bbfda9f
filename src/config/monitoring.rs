//! Settings of the monitoring cluster and of Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::connections::KubeconfigSettings;
use super::value::without_password;

/// Monitoring cluster (where prometheus-operator runs) and Prometheus.
#[derive(Clone, PartialEq, Eq)]
pub struct MonitoringSettings {
    /// Kubeconfig of the monitoring cluster; `None` when not configured.
    pub kubeconfig: Option<KubeconfigSettings>,
    /// Namespace of the PrometheusRule objects.
    pub namespace: String,
    /// Labels of the PrometheusRule objects, as the operator's `ruleSelector` wants them.
    pub rule_labels: BTreeMap<String, String>,
    /// Base URL of Prometheus; `None` when not configured.
    pub prometheus_url: Option<String>,
    /// Whether to call Prometheus' `/-/reload` after rules changed.
    pub reload: bool,
    /// How long Prometheus may take to load rules that were written.
    pub rules_loaded_within: Duration,
    /// Value of the label `severity` of alerts.
    pub severity: String,
    /// Query that gives the alerts that fire, with the labels `alertname`, `graph` and `service`.
    pub alerts_query: String,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            namespace: "monitoring".to_owned(),
            rule_labels: BTreeMap::from([("release".to_owned(), "kube-prometheus-stack".to_owned())]),
            prometheus_url: None,
            reload: true,
            rules_loaded_within: Duration::from_secs(180),
            severity: "critical".to_owned(),
            alerts_query: r#"ALERTS{alertstate="firing",graph!="",service!=""}"#.to_owned(),
        }
    }
}

/// Shows the URL of Prometheus without its password.
impl fmt::Debug for MonitoringSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitoringSettings")
            .field("kubeconfig", &self.kubeconfig)
            .field("namespace", &self.namespace)
            .field("rule_labels", &self.rule_labels)
            .field("prometheus_url", &self.prometheus_url.as_deref().map(without_password))
            .field("reload", &self.reload)
            .field("severity", &self.severity)
            .field("alerts_query", &self.alerts_query)
            .finish()
    }
}
