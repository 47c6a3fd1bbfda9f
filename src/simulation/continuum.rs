//! The clusters of a simulated continuum, read from YAML and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::hdag::{self, Resources};

const BUILT_IN: &str = include_str!("../../config/continuum.yaml");

/// Why a continuum cannot be used.
#[derive(Debug, Error)]
pub enum ContinuumError {
    /// The file cannot be read.
    #[error("cannot read the simulated continuum {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a continuum.
    #[error("the simulated continuum is invalid: {0}")]
    Invalid(String),
}

/// The contents of a simulated world.
#[derive(Debug, Clone, PartialEq)]
pub struct Continuum {
    /// The clusters; names are unique.
    pub clusters: Vec<ClusterSpec>,
    /// Round-trip times between clusters.
    pub latencies: Vec<MeasuredLatency>,
    /// From scheduling to readiness of a Deployment.
    pub ready_delay: Duration,
    /// Resources that a replica requests when its values specify none, by the name of the chart.
    pub charts: BTreeMap<String, Resources>,
    /// Charts that bring no propagation policies.
    pub plain_charts: BTreeSet<String>,
    /// Resources that it requests when the chart is not listed either.
    pub default_requests: Resources,
}

/// One simulated cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its name.
    pub name: String,
    /// Where it is, for people.
    pub location: Option<String>,
    /// Allocatable resources of its nodes.
    pub allocatable: Resources,
    /// Sizes of its nodes; empty when it does not tell them.
    pub nodes: Vec<Resources>,
    /// Pod network.
    pub pod_cidr: Option<String>,
    /// Service network.
    pub service_cidr: Option<String>,
    /// Region, when stated.
    pub region: Option<String>,
    /// Labels of its Cluster object.
    pub labels: BTreeMap<String, String>,
}

/// Round-trip time between two clusters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredLatency {
    /// The two clusters.
    pub between: [String; 2],
    /// Milliseconds.
    pub ms: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    ready_delay: Option<f64>,
    #[serde(default)]
    charts: BTreeMap<String, Amounts>,
    #[serde(default)]
    plain_charts: BTreeSet<String>,
    #[serde(default)]
    default_requests: Option<Amounts>,
    clusters: Vec<ClusterEntry>,
    #[serde(default)]
    latencies: Vec<MeasuredLatency>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amounts {
    cpu: Value,
    ram: Value,
    #[serde(default)]
    gpus: i64,
}

impl Amounts {
    fn read(&self, what: &str) -> Result<Resources, ContinuumError> {
        Ok(Resources {
            cpu_millicores: amount(&self.cpu, &format!("{what}.cpu"), hdag::millicores)?,
            ram_bytes: amount(&self.ram, &format!("{what}.ram"), hdag::bytes)?,
            storage_bytes: 0,
            gpus: self.gpus.max(0),
            pods: 1,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterEntry {
    name: String,
    location: Option<String>,
    cpu: Value,
    ram: Value,
    storage: Value,
    #[serde(default)]
    gpus: i64,
    #[serde(default = "plenty_of_pods")]
    pods: i64,
    pod_cidr: Option<String>,
    service_cidr: Option<String>,
    region: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    nodes: Vec<NodeEntry>,
}

/// The size of a node; of what is not stated it has all that its cluster has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    cpu: Value,
    ram: Value,
}

/// More than any number of graphs in a test or a benchmark takes.
fn plenty_of_pods() -> i64 {
    1_000_000
}

impl Continuum {
    /// Reads a continuum from a YAML file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a continuum.
    pub fn load(path: &Path) -> Result<Self, ContinuumError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ContinuumError::Read { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// The continuum that comes with the program: two edge clusters and a cloud with GPUs.
    ///
    /// # Errors
    /// None in a program whose tests pass.
    pub fn built_in() -> Result<Self, ContinuumError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a continuum from YAML.
    ///
    /// # Errors
    /// It is not a continuum.
    pub fn parse(text: &str) -> Result<Self, ContinuumError> {
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| ContinuumError::Invalid(error.to_string()))?;
        let clusters = file.clusters.into_iter().map(cluster).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        if names.len() != clusters.len() {
            return Err(invalid("two clusters have the same name"));
        }
        for latency in &file.latencies {
            let unknown = latency.between.iter().find(|name| !names.contains(name.as_str()));
            if let Some(name) = unknown {
                return Err(invalid(format!("latencies name cluster {name:?}, which is not in clusters")));
            }
            if !(latency.ms >= 0.0 && latency.ms.is_finite()) {
                return Err(invalid(format!("latency {} ms is not a time", latency.ms)));
            }
        }
        let delay = file.ready_delay.unwrap_or(2.0);
        Ok(Self {
            clusters,
            latencies: file.latencies,
            ready_delay: Duration::try_from_secs_f64(delay)
                .map_err(|error| invalid(format!("ready_delay {delay}: {error}")))?,
            charts: file
                .charts
                .into_iter()
                .map(|(name, amounts)| Ok((name.clone(), amounts.read(&format!("charts.{name}"))?)))
                .collect::<Result<_, ContinuumError>>()?,
            plain_charts: file.plain_charts,
            default_requests: match file.default_requests {
                Some(amounts) => amounts.read("default_requests")?,
                None => {
                    Resources { cpu_millicores: 500, ram_bytes: 512 << 20, pods: 1, ..Resources::default() }
                }
            },
        })
    }
}

fn cluster(entry: ClusterEntry) -> Result<ClusterSpec, ContinuumError> {
    let name = &entry.name;
    if !hdag::is_dns_label(name, 63) {
        return Err(invalid(format!("cluster name {name:?} is not a DNS-1123 label")));
    }
    let allocatable = Resources {
        cpu_millicores: amount(&entry.cpu, &format!("{name}: cpu"), hdag::millicores)?,
        ram_bytes: amount(&entry.ram, &format!("{name}: ram"), hdag::bytes)?,
        storage_bytes: amount(&entry.storage, &format!("{name}: storage"), hdag::bytes)?,
        gpus: entry.gpus.max(0),
        pods: entry.pods.max(0),
    };
    let size = |node: &NodeEntry| {
        let (cpu, ram) = (format!("{name}: nodes.cpu"), format!("{name}: nodes.ram"));
        Ok(Resources {
            cpu_millicores: amount(&node.cpu, &cpu, hdag::millicores)?,
            ram_bytes: amount(&node.ram, &ram, hdag::bytes)?,
            ..allocatable
        })
    };
    let nodes = entry.nodes.iter().map(size).collect::<Result<Vec<_>, ContinuumError>>()?;
    let ClusterEntry { name, location, pod_cidr, service_cidr, region, labels, .. } = entry;
    Ok(ClusterSpec { name, location, allocatable, nodes, pod_cidr, service_cidr, region, labels })
}

/// An amount written as a number or as a Kubernetes quantity.
fn amount<E: std::fmt::Display>(
    value: &Value,
    what: &str,
    parse: impl Fn(&str) -> Result<i64, E>,
) -> Result<i64, ContinuumError> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    parse(&text).map_err(|error| invalid(format!("{what}: {error}")))
}

fn invalid(message: impl Into<String>) -> ContinuumError {
    ContinuumError::Invalid(message.into())
}
