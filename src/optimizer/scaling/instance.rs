//! A scaling problem with ordinals for names, sorted, and the parts of a plan that every strategy shares.

use super::demand::{Demand, Need, counted_millicores};
use super::reason::Reason;
use super::{
    BuiltIn, ScaledService, ScalingCluster, ScalingConflict, ScalingInfeasibility, ScalingPlan,
    ScalingProblem, ServiceScaling, Strategy,
};
use crate::hdag::Dimension;
use crate::optimizer::placement::{Objective, Term, Violation};

/// Resources that limit a cluster, in the order of [`Dimension::ALL`].
pub(super) const RESOURCES: usize = Dimension::ALL.len();

/// A valid problem, by ordinals. Services and clusters are in the order of their names.
pub(super) struct Instance<'a> {
    pub problem: &'a ScalingProblem,
    pub services: Vec<&'a ScaledService>,
    pub demands: Vec<Demand>,
    /// Cluster of each service.
    pub on: Vec<usize>,
    pub clusters: Vec<&'a ScalingCluster>,
}

impl<'a> Instance<'a> {
    pub fn new(problem: &'a ScalingProblem) -> Self {
        let mut services: Vec<&ScaledService> = problem.services.iter().collect();
        services.sort_by(|one, other| one.name.cmp(&other.name));
        let mut clusters: Vec<&ScalingCluster> = problem.clusters.iter().collect();
        clusters.sort_by(|one, other| one.name.cmp(&other.name));
        let cluster_of = |service: &&ScaledService| {
            clusters.binary_search_by(|cluster| cluster.name.cmp(&service.cluster)).unwrap_or_default()
        };
        let on: Vec<usize> = services.iter().map(cluster_of).collect();
        let normalisers = normalisers(problem.compat, &services, &on, clusters.len());
        let demands = services
            .iter()
            .zip(&on)
            .map(|(service, on)| Demand::new(problem, service, normalisers[*on]))
            .collect();
        Self { problem, services, demands, on, clusters }
    }

    /// The amount of each resource that the graph may use on a cluster; `i64::MAX` where a resource is
    /// unlimited.
    pub fn capacity(&self, cluster: usize) -> [i64; RESOURCES] {
        let cluster = self.clusters[cluster];
        let mut capacity = cluster.free;
        if !cluster.acceleration {
            capacity.gpus = 0;
        } else if !cluster.gpus_counted {
            capacity.gpus = i64::MAX;
        }
        if !cluster.storage_reported {
            capacity.storage_bytes = i64::MAX;
        }
        if !cluster.pods_counted {
            capacity.pods = i64::MAX;
        }
        // An unused resource cannot be exceeded, even where its free amount is negative.
        capacity.amounts().map(|amount| amount.max(0))
    }

    /// Usage of the services on each cluster.
    pub fn used(&self, replicas: &[i64]) -> Vec<[i128; RESOURCES]> {
        let mut used = vec![[0; RESOURCES]; self.clusters.len()];
        for ((service, cluster), replicas) in self.services.iter().zip(&self.on).zip(replicas) {
            for (sum, amount) in used[*cluster].iter_mut().zip(service.needs.amounts()) {
                *sum += i128::from(amount) * i128::from(*replicas);
            }
        }
        used
    }

    /// The clusters with too little capacity for these replicas.
    pub fn overfull(&self, replicas: &[i64]) -> Vec<usize> {
        let used = self.used(replicas);
        let over = |cluster: &usize| {
            used[*cluster].iter().zip(self.capacity(*cluster)).any(|(used, free)| *used > i128::from(free))
        };
        (0..self.clusters.len()).filter(over).collect()
    }

    /// The minimum replicas of every service.
    pub fn least(&self) -> Vec<i64> {
        self.demands.iter().map(|demand| demand.least).collect()
    }

    /// The conflicts of any plan with at least `replicas`, as far as single bounds show.
    pub fn conflicts(&self, replicas: &[i64]) -> Vec<ScalingConflict> {
        let mut conflicts = Vec::new();
        if self.problem.compat {
            let hopeless =
                self.services.iter().zip(&self.demands).filter(|(_, demand)| demand.need == Need::Never);
            conflicts.extend(hopeless.map(|(service, _)| ScalingConflict::Rate {
                service: service.name.clone(),
                rate: service.rate.unwrap_or_default(),
            }));
        }
        if !conflicts.is_empty() {
            return conflicts;
        }
        let needed = replicas.iter().sum();
        if let Some(maximum) = self.problem.max_overall.filter(|maximum| needed > *maximum) {
            conflicts.push(ScalingConflict::Maximum { maximum, needed });
        }
        let allowed = self.demands.iter().map(|demand| demand.most).sum();
        if let Some(minimum) = self.problem.min_overall.filter(|minimum| allowed < *minimum) {
            conflicts.push(ScalingConflict::Minimum { minimum, allowed });
        }
        let overfull = self.overfull(replicas);
        conflicts.extend(overfull.into_iter().map(|cluster| self.shortage(cluster, replicas)));
        conflicts
    }

    fn shortage(&self, cluster: usize, replicas: &[i64]) -> ScalingConflict {
        let clamped = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
        let free = self.capacity(cluster);
        let needed = self.used(replicas)[cluster].map(clamped);
        let lacks: Vec<Dimension> =
            Dimension::ALL.into_iter().filter(|lack| needed[lack.index()] > free[lack.index()]).collect();
        let services = (0..self.services.len())
            .filter(|index| self.on[*index] == cluster && replicas[*index] > 0)
            .map(|index| self.services[index])
            .filter(|service| lacks.iter().any(|lack| service.needs.get(*lack) > 0));
        let violation =
            |lack: &Dimension| Violation::shortage(*lack, needed[lack.index()], free[lack.index()]);
        ScalingConflict::Room {
            cluster: self.clusters[cluster].name.clone(),
            services: services.map(|service| service.name.clone()).collect(),
            violated: lacks.iter().map(violation).collect(),
        }
    }

    /// The answer that there is no plan.
    pub fn infeasible(
        &self,
        strategy: BuiltIn,
        conflicts: Vec<ScalingConflict>,
        needed: &[i64],
    ) -> ScalingInfeasibility {
        let sentences: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        ScalingInfeasibility {
            strategy: strategy.into(),
            summary: sentences.join("; "),
            conflicts,
            needed: self
                .services
                .iter()
                .map(|service| service.name.clone())
                .zip(needed.iter().copied())
                .collect(),
            cut_short: false,
        }
    }

    /// The answer with a plan of which nothing is proven.
    pub fn plan(&self, strategy: &Strategy, replicas: &[i64]) -> ScalingPlan {
        let scaling = |index: usize| {
            let (service, demand) = (self.services[index], &self.demands[index]);
            let reason =
                Reason { problem: self.problem, strategy, service, demand, replicas: replicas[index] };
            ServiceScaling {
                service: service.name.clone(),
                cluster: service.cluster.clone(),
                previous: service.previous,
                replicas: replicas[index],
                needed: if let Need::Replicas(need) = demand.need { Some(need) } else { None },
                saturated: demand.is_saturated(replicas[index]),
                reason: reason.sentence(),
            }
        };
        ScalingPlan {
            strategy: strategy.clone(),
            replicas: self
                .services
                .iter()
                .map(|service| service.name.clone())
                .zip(replicas.iter().copied())
                .collect(),
            objective: self.objective(replicas),
            bound: None,
            optimal: false,
            cut_short: false,
            services: (0..self.services.len()).map(scaling).collect(),
        }
    }

    /// The objective's value and terms.
    pub fn objective(&self, replicas: &[i64]) -> Objective {
        let weights = &self.problem.weights;
        let [mut utilisation, mut change, mut margin] = [0.0; 3];
        for (demand, replicas) in self.demands.iter().zip(replicas) {
            utilisation += weights.utilisation * *replicas as f64 * demand.share;
            change += weights.change * replicas.abs_diff(demand.previous) as f64 * demand.change_share;
            margin += weights.margin * demand.held.saturating_sub(*replicas).max(0) as f64 * demand.share;
        }
        let terms = [("utilisation", utilisation), ("change", change), ("margin", margin)];
        Objective {
            total: utilisation + change + margin,
            terms: terms.map(|(name, value)| Term { name: name.to_owned(), value }).to_vec(),
        }
    }
}

/// `U` of each cluster: the largest `max·cpu` of its services (original's model) or of all; at least 1.
fn normalisers(compat: bool, services: &[&ScaledService], on: &[usize], clusters: usize) -> Vec<f64> {
    let mut largest = vec![1.0_f64; clusters];
    for (service, on) in services.iter().zip(on) {
        let full = service.profile.max as f64 * counted_millicores(compat, service) as f64;
        largest[*on] = largest[*on].max(full);
    }
    if !compat {
        let overall = largest.iter().copied().fold(1.0, f64::max);
        largest.fill(overall);
    }
    largest
}
