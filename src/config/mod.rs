//! Every setting of the server, with its default and its unit.
//!
//! Layers, later ones win: the defaults here, the YAML file named by `SMO_CONFIG`, the environment (and
//! `.env`), command-line flags. The whole is validated before anything starts, and every fault is reported at
//! once.
//!
//! `table` is the one list of settings: key, variable, meaning, how to read and how to show it. Reading the
//! file, the environment and the flags, the check for unknown names, `smo config`, `Debug` and the table in
//! `docs/configuration.md` all follow from it, so they cannot disagree. [`load()`] is pure: it is given the
//! variables, the home folder and a function that reads files. No value of a secret is ever shown.

mod clusters;
mod database;
mod load;
mod outside;
mod placement;
mod scaling;
mod section;
mod strategies;
mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use clusters::ClusterLabels;
pub use load::{ConfigErrors, Flag, Loaded, Sources, language, load};
pub use placement::{AttributeRequirement, IntentRule, PlacementLimits, PlacementSettings, ProjectPlacement};
pub use scaling::{ScalingCompat, ScalingProfile, ScalingSettings};
pub(crate) use strategies::check_strategy;
pub use strategies::{ExternalStrategies, ExternalStrategy, IntentHandler};

use crate::hdag::{IntentMapping, Limits};
use crate::optimizer::ClusterAttributes;

/// All settings.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder for everything that is kept without PostgreSQL, and for Helm's homes and locks.
    pub data_dir: PathBuf,
    /// `postgres://…` or `sqlite://…`.
    pub database_url: String,
    /// Whether outside systems are real or simulated.
    pub mode: Mode,
    /// How long a `POST` waits until Helm has accepted every release.
    pub wait: Duration,
    /// Age from which the known state of the clusters is too old to decide on.
    pub stale_after: Duration,
    /// One namespace for the releases of all graphs instead of the project's name.
    pub namespace: Option<String>,
    /// Connection to Karmada.
    pub karmada: KarmadaSettings,
    /// Submariner's broker; `None` when not configured.
    pub submariner: Option<KubeconfigSettings>,
    /// Monitoring cluster and Prometheus.
    pub monitoring: MonitoringSettings,
    /// The Helm program.
    pub helm: HelmSettings,
    /// Deadlines, retries and breaker of outside calls.
    pub calls: CallSettings,
    /// Intervals of the reconciler.
    pub reconcile: ReconcileSettings,
    /// Placement.
    pub placement: PlacementSettings,
    /// Scaling.
    pub scaling: ScalingSettings,
    /// Attributes of clusters, by the cluster's name.
    pub clusters: BTreeMap<String, ClusterAttributes>,
    /// Labels of clusters that state attributes.
    pub cluster_labels: ClusterLabels,
    /// Classes of the descriptor's intents in units.
    pub intents: IntentMapping,
    /// Limits of what a descriptor may be.
    pub limits: Limits,
    /// Log format and filter.
    pub log: LogSettings,
    /// File with the clusters of the simulated continuum; `None` for the built-in one.
    pub simulation_file: Option<PathBuf>,
    /// Test of crash safety: SIGKILL oneself at the n-th numbered step (see `clients::faults`).
    pub kill_at_step: Option<u64>,
}

/// Which outside systems are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All are real; a missing setting stops the start.
    Real,
    /// What has no setting is simulated.
    Simulated,
}

/// A kubeconfig file and the context in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigSettings {
    /// The file.
    pub path: PathBuf,
}

/// Connection to Karmada and how its clusters are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KarmadaSettings {
    /// Kubeconfig of Karmada's API server; `None` only when simulated.
    pub kubeconfig: Option<KubeconfigSettings>,
    /// Label of a Cluster that says it has GPUs (value other than `false`), besides `*.com/gpu` resources.
    pub gpu_label: String,
}

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
    /// Value of the label `severity` of alerts.
    pub severity: String,
}

/// The Helm program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmSettings {
    /// Program name or path.
    pub bin: PathBuf,
    /// Use plain HTTP for the registry (`INSECURE_REGISTRY`).
    pub plain_http: bool,
    /// Helm processes that may run at the same time.
    pub parallel: usize,
}

/// Deadlines, retries and breaker of outside calls.
#[derive(Debug, Clone, PartialEq)]
pub struct CallSettings {
    /// Deadline of a quick call (list, query, patch).
    pub deadline: Duration,
    /// Deadline of a Helm operation.
    pub helm_deadline: Duration,
    /// Attempts of a quick call that fails transiently, the first included.
    pub attempts: usize,
    /// Delay before the second attempt; doubles, with jitter.
    pub first_delay: Duration,
    /// Consecutive failures after which a system is left alone.
    pub breaker_threshold: u32,
    /// How long it is left alone.
    pub breaker_open: Duration,
}

/// Intervals of the reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// A graph in its desired state is looked at again after this time.
    pub resync: Duration,
    /// First delay after a transient failure; doubles up to `backoff_max`, with jitter.
    pub backoff_first: Duration,
    /// Longest delay after a transient failure.
    pub backoff_max: Duration,
    /// How often clusters are read besides watching them.
    pub cluster_sync: Duration,
    /// How often round-trip times between clusters are read from Submariner's gateways.
    pub latency_sync: Duration,
    /// How often Prometheus is asked which alerts fire.
    pub alert_poll: Duration,
    /// How long a shutdown waits for running operations.
    pub shutdown_grace: Duration,
}

/// Log format and filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// JSON lines instead of text.
    pub json: bool,
    /// Filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        let data_dir = PathBuf::from("./data");
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            database_url: database::default_url(&data_dir),
            data_dir,
            mode: Mode::Simulated,
            wait: Duration::from_secs(60),
            stale_after: Duration::from_secs(5 * 60),
            namespace: None,
            karmada: KarmadaSettings { kubeconfig: None, gpu_label: "acceleration".to_owned() },
            submariner: None,
            monitoring: MonitoringSettings::default(),
            helm: HelmSettings { bin: PathBuf::from("helm"), plain_http: false, parallel: 8 },
            calls: CallSettings::default(),
            reconcile: ReconcileSettings::default(),
            placement: PlacementSettings::default(),
            scaling: ScalingSettings::default(),
            clusters: BTreeMap::new(),
            cluster_labels: ClusterLabels::default(),
            intents: IntentMapping::default(),
            limits: Limits::default(),
            log: LogSettings { json: false, filter: "info".to_owned() },
            simulation_file: None,
            kill_at_step: None,
        }
    }
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            namespace: "monitoring".to_owned(),
            rule_labels: BTreeMap::from([("release".to_owned(), "kube-prometheus-stack".to_owned())]),
            prometheus_url: None,
            reload: true,
            severity: "critical".to_owned(),
        }
    }
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            helm_deadline: Duration::from_secs(120),
            attempts: 3,
            first_delay: Duration::from_millis(200),
            breaker_threshold: 5,
            breaker_open: Duration::from_secs(15),
        }
    }
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self {
            resync: Duration::from_secs(5 * 60),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            cluster_sync: Duration::from_secs(10),
            latency_sync: Duration::from_secs(60),
            alert_poll: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// Shows every setting as `smo config` does: without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(table::SETTINGS.iter().map(|row| (row.key, (row.show)(self)))).finish()
    }
}

/// Shows the URL of Prometheus without its password.
impl fmt::Debug for MonitoringSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitoringSettings")
            .field("kubeconfig", &self.kubeconfig)
            .field("namespace", &self.namespace)
            .field("rule_labels", &self.rule_labels)
            .field("prometheus_url", &self.prometheus_url.as_deref().map(value::without_password))
            .field("reload", &self.reload)
            .field("severity", &self.severity)
            .finish()
    }
}

impl Settings {
    /// The effective settings as YAML with the keys of a configuration file, passwords masked.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        table::to_yaml(self)
    }
}
