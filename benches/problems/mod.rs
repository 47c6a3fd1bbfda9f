//! Instance files of the benchmarks, and the problems of the library that they stand for.
//!
//! `benches/generate.py` explains the fields. An instance has no names: service 7 is `s00007`, cluster 7 is
//! `c00007`, so that the order of names is the order of the instance.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use smo::hdag::Resources;
use smo::optimizer::ClusterAttributes;
use smo::optimizer::placement::{
    BuiltIn, ClusterState, Link, Problem, ReplicaBounds, ServiceDemand, Weights,
};
use smo::optimizer::scaling::{Profile, ScaledService, ScalingCluster, ScalingProblem};

/// GPUs of a cluster that has any: instances do not limit their number.
const GPUS: i64 = 1_000_000;
const GIB: f64 = 1_073_741_824.0;

/// Either kind of instance.
pub enum Instance {
    /// Of the families `basic`, `tight`, `mixed…` and `rich`.
    Placement(Placement),
    /// Of the family `scale`.
    Scaling(Scaling),
}

/// Services to place.
#[derive(Deserialize)]
pub struct Placement {
    /// Cores per replica, by service.
    pub cpu: Vec<f64>,
    /// Replicas, by service.
    pub replicas: Vec<i64>,
    /// Whether a replica needs a GPU, by service.
    pub gpu: Vec<bool>,
    /// Cores, by cluster; 0 when it is down.
    pub cap: Vec<f64>,
    /// Whether it has GPUs, by cluster.
    pub cgpu: Vec<bool>,
    /// Cluster that it is on, by service.
    pub current: Vec<usize>,
    /// RAM; absent where it is no limit.
    #[serde(skip)]
    pub memory: Option<Memory>,
    /// The costs that are weighed up; absent where moves alone count.
    #[serde(skip)]
    pub costs: Option<Costs>,
}

/// The RAM of services and clusters.
#[derive(Deserialize)]
pub struct Memory {
    /// GiB per replica, by service.
    pub ram: Vec<f64>,
    /// GiB, by cluster.
    pub rcap: Vec<f64>,
}

/// The parts that only the family `rich` has.
#[derive(Deserialize)]
pub struct Costs {
    /// Cost per core, by cluster.
    pub carbon: Vec<f64>,
    /// Cost of using it, by cluster.
    pub act: Vec<f64>,
    /// Cost of moving it, by service.
    #[serde(rename = "move")]
    pub moving: Vec<f64>,
    /// Two services and the weight of the latency between them.
    pub edges: Vec<(usize, usize, f64)>,
    /// Latency, by cluster and cluster.
    pub lat: Vec<Vec<f64>>,
}

/// Services of one cluster to scale.
#[derive(Deserialize)]
pub struct Scaling {
    /// Requests per second, by service.
    pub rate: Vec<f64>,
    /// Replicas now, by service.
    pub prev: Vec<i64>,
    /// Cores per replica, by service.
    pub cpu: Vec<f64>,
    /// GPUs per replica, by service.
    pub acc: Vec<i64>,
    /// Requests per second that one replica adds, by service.
    pub alpha: Vec<f64>,
    /// Offset of that, by service.
    pub beta: Vec<f64>,
    /// Normaliser of the change, by service.
    pub maxr: Vec<i64>,
    /// Cores of the cluster.
    pub cap: f64,
    /// Whether the cluster has GPUs, 0 or 1.
    pub cacc: i64,
}

/// Reads an instance.
///
/// # Errors
/// The file cannot be read or is no instance.
pub fn read(path: &Path) -> Result<Instance, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn parse(text: &str) -> serde_json::Result<Instance> {
    let value: Value = serde_json::from_str(text)?;
    if value.get("rate").is_some() {
        return Scaling::deserialize(&value).map(Instance::Scaling);
    }
    let costs = value.get("act").map(|_| Costs::deserialize(&value)).transpose()?;
    let memory = value.get("ram").map(|_| Memory::deserialize(&value)).transpose()?;
    Ok(Instance::Placement(Placement { costs, memory, ..Placement::deserialize(&value)? }))
}

impl Placement {
    /// The problem, for `cost` when the instance has costs, otherwise for `min-moves`.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let clusters = (0..self.cap.len()).map(|cluster| self.cluster(cluster)).collect();
        let services = (0..self.cpu.len()).map(|service| self.service(service)).collect();
        let Some(costs) = &self.costs else {
            return Problem::new("bench", BuiltIn::MinMoves, clusters, services);
        };
        let link = |(from, to, traffic): &(usize, usize, f64)| Link {
            from: service_name(*from),
            to: service_name(*to),
            traffic: *traffic,
            bound: None,
        };
        let weights =
            Weights { moves: 1.0, activation: 1.0, price: 0.0, carbon: 1.0, latency: 1.0, balance: 0.0 };
        let links = costs.edges.iter().map(link).collect();
        Problem { links, weights, ..Problem::new("bench", BuiltIn::Cost, clusters, services) }.sorted()
    }

    fn cluster(&self, index: usize) -> ClusterState {
        let costs = self.costs.as_ref();
        let distances = |costs: &Costs| {
            let others = costs.lat[index].iter().enumerate().filter(|(other, _)| *other != index);
            others.map(|(other, ms)| (cluster_name(other), *ms)).collect()
        };
        ClusterState {
            name: cluster_name(index),
            rank: 0,
            available: self.cap[index] > 0.0,
            free: Resources {
                cpu_millicores: thousandths(self.cap[index]),
                ram_bytes: self.memory.as_ref().map_or(0, |memory| bytes(memory.rcap[index])),
                storage_bytes: 0,
                gpus: if self.cgpu[index] { GPUS } else { 0 },
                pods: 0,
            },
            storage_reported: false,
            gpus_counted: true,
            pods_counted: false,
            nodes: Vec::new(),
            reserved: Resources::default(),
            own: Resources::default(),
            attributes: ClusterAttributes {
                carbon_per_core_hour: costs.map(|costs| costs.carbon[index]),
                activation_cost: costs.map(|costs| costs.act[index]),
                latencies_ms: costs.map(distances).unwrap_or_default(),
                ..ClusterAttributes::default()
            },
        }
    }

    fn service(&self, index: usize) -> ServiceDemand {
        let costs = self.costs.as_ref();
        let needs = Resources {
            cpu_millicores: thousandths(self.cpu[index]),
            ram_bytes: self.memory.as_ref().map_or(0, |memory| bytes(memory.ram[index])),
            storage_bytes: 0,
            gpus: i64::from(self.gpu[index]),
            pods: 0,
        };
        ServiceDemand {
            rank: u32::try_from(index).unwrap_or(u32::MAX),
            replicas: ReplicaBounds::exactly(self.replicas[index]),
            current: Some(cluster_name(self.current[index])),
            move_weight: costs.map_or(1.0, |costs| costs.moving[index]),
            ..ServiceDemand::new(service_name(index), needs)
        }
    }
}

impl Scaling {
    /// The problem in the model of the original program.
    #[must_use]
    pub fn problem(&self) -> ScalingProblem {
        let cluster = ScalingCluster {
            name: cluster_name(0),
            free: Resources { cpu_millicores: thousandths(self.cap), gpus: GPUS, ..Resources::default() },
            storage_reported: false,
            gpus_counted: true,
            pods_counted: false,
            acceleration: self.cacc > 0,
        };
        let service = |index: usize| {
            let needs = Resources {
                cpu_millicores: thousandths(self.cpu[index]),
                gpus: self.acc[index],
                ..Resources::default()
            };
            let profile = Profile::new(self.alpha[index], self.beta[index], 1, self.maxr[index]);
            ScaledService {
                rate: Some(self.rate[index]),
                previous: self.prev[index],
                ..ScaledService::new(service_name(index), cluster_name(0), needs, profile)
            }
        };
        ScalingProblem::new("bench", vec![cluster], (0..self.rate.len()).map(service).collect()).original()
    }
}

/// Name of a service.
#[must_use]
pub fn service_name(index: usize) -> String {
    format!("s{index:05}")
}

fn cluster_name(index: usize) -> String {
    format!("c{index:05}")
}

fn thousandths(amount: f64) -> i64 {
    (amount * 1000.0).round() as i64
}

fn bytes(gib: f64) -> i64 {
    (gib * GIB).round() as i64
}
