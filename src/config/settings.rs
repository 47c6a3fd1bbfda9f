//! All settings of the server, and their defaults.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::calls::CallSettings;
use super::clusters::ClusterLabels;
use super::connections::{KarmadaSettings, Mode, ObjectLabels, SubmarinerSettings};
use super::database;
use super::helm::HelmSettings;
use super::http::HttpSettings;
use super::log::LogSettings;
use super::monitoring::MonitoringSettings;
use super::placement::PlacementSettings;
use super::reconcile::ReconcileSettings;
use super::scaling::ScalingSettings;
use crate::hdag::{IntentMapping, Limits};
use crate::optimizer::ClusterAttributes;

/// All settings.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Whether the original's GETs that change graphs are answered.
    pub legacy_get: bool,
    /// Limits of connections and requests.
    pub http: HttpSettings,
    /// Folder for the SQLite database, and for Helm's homes and locks.
    pub data_dir: PathBuf,
    /// `postgres://…` or `sqlite://…`.
    pub database_url: String,
    /// Whether outside systems are real or simulated.
    pub mode: Mode,
    /// How long a request waits for its work, and after a start for the first list of the clusters.
    pub wait: Duration,
    /// Age at which the observed state of clusters, releases, workloads or rules is too old to act on.
    pub stale_after: Duration,
    /// One namespace for the releases of all graphs instead of the project's name.
    pub namespace: Option<String>,
    /// Id of this installation, which marks what it makes; `None` for the one that the database keeps.
    pub installation: Option<String>,
    /// Labels by which smo knows the objects that it makes.
    pub labels: ObjectLabels,
    /// Connection to Karmada.
    pub karmada: KarmadaSettings,
    /// Submariner.
    pub submariner: SubmarinerSettings,
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
    /// Maximum size of a descriptor.
    pub limits: Limits,
    /// Log format and filter.
    pub log: LogSettings,
    /// File with the clusters of the simulated continuum; `None` for the built-in one.
    pub simulation_file: Option<PathBuf>,
    /// Test of crash safety: the process kills itself at the n-th numbered step (see `crate::faults`).
    pub kill_at_step: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        let data_dir = PathBuf::from("./data");
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            legacy_get: true,
            http: HttpSettings::default(),
            database_url: database::default_url(&data_dir),
            data_dir,
            mode: Mode::Simulated,
            wait: Duration::from_secs(60),
            stale_after: Duration::from_secs(5 * 60),
            namespace: None,
            installation: None,
            labels: ObjectLabels::default(),
            karmada: KarmadaSettings::default(),
            submariner: SubmarinerSettings::default(),
            monitoring: MonitoringSettings::default(),
            helm: HelmSettings::default(),
            calls: CallSettings::default(),
            reconcile: ReconcileSettings::default(),
            placement: PlacementSettings::default(),
            scaling: ScalingSettings::default(),
            clusters: BTreeMap::new(),
            cluster_labels: ClusterLabels::default(),
            intents: IntentMapping::default(),
            limits: Limits::default(),
            log: LogSettings::default(),
            simulation_file: None,
            kill_at_step: None,
        }
    }
}
