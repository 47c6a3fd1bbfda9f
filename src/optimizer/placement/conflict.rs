//! Explanation of infeasible problems: a minimal set of conflicting requirements, and the smallest changes
//! that would help.
//!
//! The deletion filter (Chinneck, "Feasibility and Infeasibility in Optimization", 2008, ch. 6) drops
//! requirements as long as the rest is still infeasible; here in chunks that are halved, since most of them
//! are superfluous.

use super::compile::{Compiled, compile};
use super::exact::{Feasibility, elastic, feasibility};
use super::model::RESOURCES;
use super::partial::{bound_text, wanted};
use super::violation::told;
use super::{BuiltIn, ClusterState, Infeasibility, Problem, ServiceDemand};
use crate::hdag::Dimension;
use crate::optimizer::{BuiltInStrategy, Stop};

/// Models that may be solved for one explanation. A filter that needs more stops, and reports that it did.
const MOST_SOLVES: usize = 400;
/// Items × clusters above which nothing is filtered.
const MOST_CELLS: usize = 5_000;

/// One requirement that could be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    /// The demand of a service for one resource.
    Need(usize, Dimension),
    /// The sizes of the pods of a service.
    Pods(usize),
    /// One condition of a service on its cluster's attributes.
    Requirement(usize, usize),
    /// A service stays where it is.
    Pinned(usize),
    /// A service shares the cluster of others.
    CoLocation(usize),
    /// A service is apart from others.
    AntiAffinity(usize),
    /// The latency bound of a link.
    Bound(usize),
}

/// Adds conflict and relaxations to the answer of a strategy that found no placement.
pub(super) fn explained(compiled: &Compiled<'_>, mut cause: Infeasibility, stop: &Stop) -> Infeasibility {
    if compiled.model.items() * compiled.model.clusters() > MOST_CELLS {
        return cause;
    }
    let mut filter = Filter { compiled, stop, solves: 0 };
    let problem = compiled.problem;
    match filter.feasible(problem) {
        Some(true) => {
            let looking_back = BuiltIn::ALL.iter().filter(|strategy| **strategy != BuiltIn::FirstFit);
            let others: Vec<&str> = looking_back.map(|strategy| strategy.name()).collect();
            cause.relaxations.push(format!(
                "a placement exists, but {} does not look back: use the strategy {}",
                problem.strategy,
                others.join(" or ")
            ));
        }
        Some(false) => {
            cause.proven = true;
            let (conflict, minimal) = filter.minimal(elements(problem));
            cause.conflict = conflict.iter().map(|element| element.words(problem)).collect();
            cause.minimal = minimal;
            cause.relaxations = filter.relaxations(&conflict);
        }
        None => {}
    }
    cause
}

struct Filter<'a> {
    compiled: &'a Compiled<'a>,
    stop: &'a Stop,
    solves: usize,
}

impl Filter<'_> {
    /// Whether no further model may be solved.
    fn is_exhausted(&self) -> bool {
        self.solves >= MOST_SOLVES || self.stop.is_due()
    }

    /// Whether a problem has a placement; `None` when that could not be found out.
    fn feasible(&mut self, problem: &Problem) -> Option<bool> {
        if self.is_exhausted() {
            return None;
        }
        self.solves += 1;
        let compiled = compile(problem, self.compiled.unknown.clone()).ok()?;
        match feasibility(&compiled.model, self.stop) {
            Feasibility::Feasible(_) => Some(true),
            Feasibility::Infeasible => Some(false),
            Feasibility::Unknown => None,
        }
    }

    /// A subset of the elements that is infeasible with none of them to spare, and whether that is certain.
    fn minimal(&mut self, elements: Vec<Element>) -> (Vec<Element>, bool) {
        let problem = self.compiled.problem;
        let (mut kept, mut certain) = (elements.clone(), true);
        let mut chunk = elements.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < kept.len() {
                if self.is_exhausted() {
                    return (kept, false);
                }
                let mut fewer = kept.clone();
                fewer.drain(at..kept.len().min(at + chunk));
                let dropped: Vec<Element> =
                    elements.iter().filter(|one| !fewer.contains(one)).copied().collect();
                match self.feasible(&without(problem, &dropped)) {
                    Some(false) => kept = fewer,
                    Some(true) => at += chunk,
                    None => {
                        certain = false;
                        at += chunk;
                    }
                }
            }
            if chunk == 1 {
                return (kept, certain);
            }
            chunk = chunk.div_ceil(2);
        }
    }

    /// The smallest additional capacity that makes a placement possible, in words.
    fn extension(&self) -> Option<String> {
        let problem = self.compiled.problem;
        // An item that fits no empty cluster may go to each, once there is more capacity.
        let mut roomy = problem.clone();
        for cluster in &mut roomy.clusters {
            Dimension::ALL.into_iter().for_each(|dimension| cluster.free.set(dimension, i64::MAX));
        }
        let mut model = compile(&roomy, self.compiled.unknown.clone()).ok()?.model;
        model.capacity.clone_from(&self.compiled.model.capacity);
        elastic(&model, self.stop).map(|extra| room(problem, &extra))
    }

    /// Changes each of which alone makes a placement possible.
    fn relaxations(&mut self, conflict: &[Element]) -> Vec<String> {
        let problem = self.compiled.problem;
        let mut relaxations: Vec<String> = self.extension().into_iter().collect();
        for cluster in problem.clusters.iter().filter(|cluster| !cluster.available) {
            if self.is_exhausted() {
                return relaxations;
            }
            let mut changed = problem.clone();
            changed.clusters.iter_mut().filter(|c| c.name == cluster.name).for_each(|c| c.available = true);
            if self.feasible(&changed) == Some(true) {
                relaxations.push(format!("make cluster {} available again", cluster.name));
            }
        }
        for element in conflict.iter().filter(|element| !matches!(element, Element::Need(..))) {
            if self.feasible(&without(problem, &[*element])) == Some(true) {
                relaxations.push(format!("give up: {}", element.words(problem)));
            }
        }
        relaxations
    }
}

/// Additional capacity in words.
fn room(problem: &Problem, extra: &[[i64; RESOURCES]]) -> String {
    let amounts = |cluster: &[i64; RESOURCES]| -> Vec<String> {
        let missing = Dimension::ALL.into_iter().zip(*cluster).filter(|(_, missing)| *missing > 0);
        missing.map(|(dimension, missing)| dimension.exact_with_noun(missing)).collect()
    };
    let parts: Vec<String> = problem
        .clusters
        .iter()
        .zip(extra)
        .filter(|(_, extra)| extra.iter().any(|amount| *amount > 0))
        .map(|(cluster, extra)| format!("{} on {}", amounts(extra).join(", "), cluster.name))
        .collect();
    format!("free another {}", parts.join(" and another "))
}

fn elements(problem: &Problem) -> Vec<Element> {
    let mut elements = Vec::new();
    for (at, service) in problem.services.iter().enumerate() {
        elements.extend((0..service.requires.len()).map(|index| Element::Requirement(at, index)));
        let flags = [
            (problem.clusters.iter().any(|cluster| cluster.too_large(service).is_some()), Element::Pods(at)),
            (service.pinned, Element::Pinned(at)),
            (!service.co_location.is_empty(), Element::CoLocation(at)),
            (!service.anti_affinity.is_empty(), Element::AntiAffinity(at)),
        ];
        elements.extend(flags.into_iter().filter(|(present, _)| *present).map(|(_, element)| element));
        let needed = Dimension::ALL.into_iter().filter(|dimension| service.total().get(*dimension) > 0);
        elements.extend(needed.map(|dimension| Element::Need(at, dimension)));
    }
    let bounds = problem.links.iter().enumerate().filter(|(_, link)| link.bound.is_some());
    elements.extend(bounds.map(|(at, _)| Element::Bound(at)));
    elements
}

/// The problem without some of its requirements.
fn without(problem: &Problem, dropped: &[Element]) -> Problem {
    let mut changed = problem.clone();
    for (at, service) in changed.services.iter_mut().enumerate() {
        let mut index = 0;
        service.requires.retain(|_| {
            index += 1;
            !dropped.contains(&Element::Requirement(at, index - 1))
        });
    }
    for element in dropped {
        match *element {
            Element::Requirement(..) => {}
            Element::Need(at, dimension) => {
                changed.services[at].needs.set(dimension, 0);
                changed.services[at].fixed_needs.set(dimension, 0);
            }
            Element::Pods(at) => changed.services[at].pods.clear(),
            Element::Pinned(at) => changed.services[at].pinned = false,
            Element::AntiAffinity(at) => changed.services[at].anti_affinity.clear(),
            Element::CoLocation(at) => changed.services[at].co_location.clear(),
            Element::Bound(at) => changed.links[at].bound = None,
        }
    }
    changed
}

impl Element {
    fn words(self, problem: &Problem) -> String {
        let name = |at: usize| problem.services[at].name.as_str();
        match self {
            Self::Need(at, dimension) => need(&problem.services[at], dimension),
            Self::Requirement(at, index) => {
                let requirement = &problem.services[at].requires[index];
                let (intent, attribute) = (&requirement.intent, &requirement.attribute);
                format!(
                    "intent {intent} of service {}: {attribute} must be {}",
                    name(at),
                    wanted(requirement)
                )
            }
            Self::Pods(at) => {
                let pods: Vec<String> = problem.services[at].pods.iter().map(|pod| told(*pod)).collect();
                format!("each pod of service {} fits one node: {}", name(at), pods.join(" and "))
            }
            Self::Pinned(at) => {
                let service = &problem.services[at];
                let current = service.current.as_deref().unwrap_or("its cluster");
                let is_lost = |cluster: &ClusterState| cluster.name == current && !cluster.available;
                let lost = if problem.clusters.iter().any(is_lost) { ", which is not available" } else { "" };
                let because =
                    service.pinned_because.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                format!("service {} must stay on {current}{lost}{because}", name(at))
            }
            Self::CoLocation(at) => {
                let others = problem.services[at].co_location.join(", ");
                format!("service {} must share a cluster with {others}", name(at))
            }
            Self::AntiAffinity(at) => {
                let others = problem.services[at].anti_affinity.join(", ");
                format!("service {} must be apart from {others}", name(at))
            }
            Self::Bound(at) => {
                let link = &problem.links[at];
                let bound = link.bound.map_or_else(String::new, |bound| bound_text(bound, problem));
                format!("between the clusters of {} and {}: {bound}", link.from, link.to)
            }
        }
    }
}

fn need(service: &ServiceDemand, dimension: Dimension) -> String {
    let needed = dimension.exact_with_noun(service.total().get(dimension));
    let (name, replicas) = (&service.name, service.replicas.min);
    match (replicas, service.fixed_needs.get(dimension)) {
        (1, _) => format!("service {name} needs {needed}"),
        (_, 0) => format!("service {name} needs {needed} for {replicas} replicas"),
        _ => format!("service {name} needs {needed} for {replicas} replicas and its other workloads"),
    }
}
