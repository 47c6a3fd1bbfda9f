//! Tests of decisions through their public functions, and shared helpers.

mod check;
mod explanation;
mod first_fit;
mod stop;
mod strategies;
mod unknowns;

use super::*;
use crate::hdag::Resources;
use crate::optimizer::ClusterAttributes;

const GIB: i64 = 1 << 30;
const GB: i64 = 1_000_000_000;

fn amount(cpu: i64, ram: i64, storage: i64, gpus: i64) -> Resources {
    Resources { cpu_millicores: cpu, ram_bytes: ram, storage_bytes: storage, gpus, pods: 0 }
}

fn cluster(name: &str, free: Resources) -> ClusterState {
    ClusterState {
        name: name.to_owned(),
        rank: 0,
        available: true,
        free,
        storage_reported: true,
        gpus_counted: true,
        pods_counted: false,
        nodes: Vec::new(),
        reserved: Resources::default(),
        own: Resources::default(),
        attributes: ClusterAttributes::default(),
    }
}

fn service(name: &str, needs: Resources) -> ServiceDemand {
    ServiceDemand::new(name, needs)
}

/// The problem with its services considered in the order given, which need not be that of their names.
fn in_turn(graph: &str, clusters: Vec<ClusterState>, mut services: Vec<ServiceDemand>) -> Problem {
    (0..).zip(&mut services).for_each(|(rank, service)| service.rank = rank);
    Problem::new(graph, BuiltIn::FirstFit, clusters, services)
}

fn plan(problem: &Problem) -> Plan {
    match decide(problem).unwrap() {
        Outcome::Feasible(plan) | Outcome::Optimal(plan) => plan,
        other => panic!("no plan: {other:?}"),
    }
}

fn refusal(problem: &Problem) -> Infeasibility {
    match decide(problem).unwrap() {
        Outcome::Infeasible(reason) => reason,
        other => panic!("feasible: {other:?}"),
    }
}

/// Whether the checker accepts the plan as one of which nothing is proven.
fn accepts(problem: &Problem, plan: &Plan) -> Result<(), Vec<String>> {
    check(problem, &Outcome::Feasible(plan.clone()))
}

fn with(mut service: ServiceDemand, others: &[&str]) -> ServiceDemand {
    service.co_location = others.iter().map(|name| (*name).to_owned()).collect();
    service
}

fn places(plan: &Plan) -> Vec<(&str, &str)> {
    plan.assignment.iter().map(|(service, cluster)| (service.as_str(), cluster.as_str())).collect()
}

fn link(from: &str, to: &str, bound: Option<LatencyBound>) -> Link {
    Link { from: from.to_owned(), to: to.to_owned(), traffic: 1.0, bound }
}

/// The requirement of the intent `security`.
fn trusted() -> Requirement {
    Requirement {
        intent: "security".to_owned(),
        attribute: "trusted".to_owned(),
        test: AttributeTest::OneOf(vec!["true".to_owned()]),
        must_be_known: true,
    }
}
