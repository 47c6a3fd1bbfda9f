//! Compilation of a problem in names and units into a [`Model`] in ordinals and integers.
//!
//! Costs are made in [`costs`](super::costs). The caller chooses which requirements that the clusters' data cannot
//! decide forbid a cluster ([`Unknown`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::{Matrix, Model, NANO, PairRule, RESOURCES};
use super::proximity::{Proximity, Tri};
use super::{Objectives, Problem, Requirement, ServiceDemand};
use crate::hdag::Resources;
use crate::optimizer::ClusterAttributes;

/// Largest cost of a whole assignment, in the unit of the model: the search needs some bits beside it.
const LARGEST_SUM: f64 = 3.6e16;

/// Parts of a cost unit that costs are counted in. The first one is nano-cost; coarser ones are for numbers so
/// large that their sums would not fit.
const UNITS: [f64; 6] = [NANO, 1e6, 1e3, 1.0, 1e-3, 1e-6];

/// Treatment of the requirements that the clusters' data cannot decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// They count as not met.
    Forbids,
    /// They count as met.
    Allows,
    /// These count as met, all others as not met.
    AllowsIn(BTreeSet<Undecidable>),
}

/// A requirement that the data of some cluster cannot decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecidable {
    /// A condition of a service on its cluster: the service's index, and the condition's.
    Requirement(usize, usize),
    /// The latency bound of a link.
    Link(usize),
}

impl Unknown {
    /// Whether a requirement counts as met where it cannot be decided.
    #[must_use]
    pub fn allows(&self, requirement: Undecidable) -> bool {
        match self {
            Self::Forbids => false,
            Self::Allows => true,
            Self::AllowsIn(met) => met.contains(&requirement),
        }
    }
}

/// A model, and how its ordinals relate to the problem: clusters have the same index in both.
pub struct Compiled<'a> {
    /// The problem it was compiled from.
    pub problem: &'a Problem,
    /// The model.
    pub model: Model,
    /// Indices of the services of each item, by turn ([`ServiceDemand::rank`]); items by the turn of their
    /// first.
    pub items: Vec<Vec<usize>>,
    /// The item of each service.
    pub item_of: Vec<usize>,
    /// How near clusters are.
    pub proximity: Proximity,
    /// Values that were assumed because they are unknown.
    pub warnings: Vec<String>,
    /// The treatment of undecidable requirements.
    pub unknown: Unknown,
    /// The requirements that are undecidable somewhere.
    pub undecidable: BTreeSet<Undecidable>,
    /// So much of the model's costs is one cost unit.
    pub unit: f64,
}

impl Compiled<'_> {
    /// Names by service of an assignment of items.
    #[must_use]
    pub fn names(&self, assignment: &[usize]) -> BTreeMap<String, String> {
        let name = |(service, item): (&ServiceDemand, &usize)| {
            (service.name.clone(), self.problem.clusters[assignment[*item]].name.clone())
        };
        self.problem.services.iter().zip(&self.item_of).map(name).collect()
    }

    /// Items of an assignment by names; `None` when a name is unknown, missing, or co-located services
    /// differ.
    #[must_use]
    pub fn ordinals(&self, assignment: &BTreeMap<String, String>) -> Option<Vec<usize>> {
        let cluster = |service: &usize| {
            let name = assignment.get(&self.problem.services[*service].name)?;
            self.problem.clusters.iter().position(|cluster| cluster.name == *name)
        };
        self.items
            .iter()
            .map(|members| {
                let first = cluster(members.first()?)?;
                members.iter().all(|member| cluster(member) == Some(first)).then_some(first)
            })
            .collect()
    }
}

/// Makes the model of a problem. Objectives other than [`Objectives::Cost`] know moves only.
///
/// # Errors
/// Two services or two clusters have one name, or a number is too large to compute with.
pub fn compile(problem: &Problem, unknown: Unknown) -> Result<Compiled<'_>, String> {
    refuse_repeats(problem)?;
    let mut refusal = String::new();
    for unit in UNITS {
        match compile_in(problem, unknown.clone(), unit) {
            Ok(compiled) => return Ok(compiled),
            Err(too_large) => refusal = too_large,
        }
    }
    Err(refusal)
}

/// The model with costs in this unit.
///
/// # Errors
/// A number is too large for it.
fn compile_in(problem: &Problem, unknown: Unknown, unit: f64) -> Result<Compiled<'_>, String> {
    let items = items(&problem.services);
    let mut item_of = vec![0; problem.services.len()];
    for (item, members) in items.iter().enumerate() {
        members.iter().for_each(|member| item_of[*member] = item);
    }
    let proximity = Proximity::new(problem);
    let demand: Vec<Resources> = items.iter().map(|members| total(problem, members)).collect();
    let capacity: Vec<[i64; RESOURCES]> = problem.clusters.iter().map(capacity).collect();
    let mut compiled = Compiled {
        problem,
        model: Model {
            demand: bounded(&demand, &capacity),
            capacity,
            allowed: Matrix::new(items.len(), problem.clusters.len(), false),
            cost: Matrix::new(items.len(), problem.clusters.len(), 0),
            activation: vec![0; problem.clusters.len()],
            edges: Vec::new(),
            latency: Matrix::new(problem.clusters.len(), problem.clusters.len(), 0),
            relations: Vec::new(),
            pair_rules: Vec::new(),
            overload: None,
            current: items.iter().map(|members| current(problem, members)).collect(),
        },
        items,
        item_of,
        proximity,
        warnings: problem.warnings.clone(),
        unknown,
        undecidable: BTreeSet::new(),
        unit,
    };
    compiled.set_allowed();
    compiled.set_pair_rules();
    compiled.set_preferences()?;
    match Objectives::of(&problem.strategy) {
        Objectives::Moves => compiled.set_moves(1.0)?,
        Objectives::Cost => compiled.set_cost(&demand)?,
    }
    let ceiling = compiled.model.cost_ceiling();
    if ceiling > LARGEST_SUM {
        return Err(format!(
            "all costs together may reach {:.0}; at most {:.0} can be computed with exactly: lower the weights, the \
             traffic or the attributes",
            ceiling / unit,
            LARGEST_SUM / unit
        ));
    }
    Ok(compiled)
}

impl Compiled<'_> {
    fn set_allowed(&mut self) {
        for (item, members) in self.items.iter().enumerate() {
            for (index, cluster) in self.problem.clusters.iter().enumerate() {
                let fits = self.model.demand[item]
                    .iter()
                    .zip(&self.model.capacity[index])
                    .all(|(need, free)| need <= free);
                let mut met = true;
                for member in members {
                    let service = &self.problem.services[*member];
                    let elsewhere = service.current.as_ref().is_some_and(|current| *current != cluster.name);
                    if (service.pinned && elsewhere) || cluster.too_large(service).is_some() {
                        met = false;
                    }
                    for (index, requirement) in service.requires.iter().enumerate() {
                        let here = Undecidable::Requirement(*member, index);
                        let found = requirement.met_by(&cluster.attributes);
                        if found == Tri::Unknown {
                            self.undecidable.insert(here);
                        }
                        met &= found.decided(self.unknown.allows(here));
                    }
                }
                self.model.allowed.set(item, index, cluster.available && fits && met);
            }
        }
    }

    /// Latency bounds between items become relations, one per kind; services that must be apart another one.
    fn set_pair_rules(&mut self) {
        let clusters = self.problem.clusters.len();
        let item = self.items_by_name();
        let mut kinds: Vec<Kind> = Vec::new();
        let (mut rules, mut bounded) = (Vec::new(), Vec::new());
        let mut add = |kind: Kind, one: usize, other: usize| {
            let relation = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            });
            rules.push(PairRule { a: one.min(other), b: one.max(other), relation });
        };
        for (index, from, to) in self.links_between_items() {
            if let Some(bound) = self.problem.links[index].bound {
                let link = Undecidable::Link(index);
                add(Kind::Near { bound, unknown_is_near: self.unknown.allows(link) }, from, to);
                bounded.push((link, bound));
            }
        }
        for (at, service) in self.problem.services.iter().enumerate() {
            for other in service.anti_affinity.iter().filter_map(|name| item.get(name.as_str())) {
                add(Kind::Apart, self.item_of[at], *other);
            }
        }
        rules.sort_by_key(|rule| (rule.a, rule.b, rule.relation));
        rules.dedup();
        for kind in kinds {
            let mut relation = Matrix::new(clusters, clusters, false);
            for one in 0..clusters {
                for other in 0..clusters {
                    let holds = match kind {
                        Kind::Apart => one != other,
                        Kind::Near { bound, unknown_is_near } => {
                            let near = self.proximity.within(bound, one, other);
                            if near == Tri::Unknown {
                                let open = bounded.iter().filter(|(_, asked)| *asked == bound);
                                self.undecidable.extend(open.map(|(link, _)| *link));
                            }
                            near.decided(unknown_is_near)
                        }
                    };
                    relation.set(one, other, holds);
                }
            }
            self.model.relations.push(relation);
        }
        // One item cannot be apart from itself: such a rule can never hold.
        let (never, rules): (Vec<PairRule>, Vec<PairRule>) =
            rules.into_iter().partition(|rule| rule.a == rule.b);
        for rule in never {
            (0..clusters).for_each(|cluster| self.model.allowed.set(rule.a, cluster, false));
        }
        self.model.pair_rules = rules;
    }

    pub(super) fn items_by_name(&self) -> HashMap<&str, usize> {
        let services = self.problem.services.iter().zip(&self.item_of);
        services.map(|(service, item)| (service.name.as_str(), *item)).collect()
    }

    /// Links whose ends are different items, with these.
    pub(super) fn links_between_items(&self) -> Vec<(usize, usize, usize)> {
        let item = self.items_by_name();
        let ends = |link: &super::Link| Some((*item.get(link.from.as_str())?, *item.get(link.to.as_str())?));
        let links = self.problem.links.iter().enumerate();
        let links = links.filter_map(|(index, link)| ends(link).map(|(from, to)| (index, from, to)));
        links.filter(|(_, from, to)| from != to).collect()
    }
}

/// Kinds of relations between two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Near { bound: super::LatencyBound, unknown_is_near: bool },
    Apart,
}

fn capacity(cluster: &super::ClusterState) -> [i64; RESOURCES] {
    let mut capacity = cluster.free.amounts().map(|amount| amount.max(0));
    for dimension in cluster.unlimited() {
        capacity[dimension.index()] = i64::MAX;
    }
    capacity
}

/// The demands, none of them further above what any cluster has than is needed to fit nowhere: sums stay far inside
/// 64-bit integers.
fn bounded(demand: &[Resources], capacity: &[[i64; RESOURCES]]) -> Vec<[i64; RESOURCES]> {
    let most: [i64; RESOURCES] = std::array::from_fn(|resource| {
        let finite = capacity.iter().map(|capacity| capacity[resource]).filter(|amount| *amount < i64::MAX);
        finite.max().map_or(i64::MAX, |most| most.saturating_add(1))
    });
    let bounded = |demand: &Resources| {
        let amounts = demand.amounts();
        std::array::from_fn(|resource| amounts[resource].min(most[resource]))
    };
    demand.iter().map(bounded).collect()
}

pub(super) fn total(problem: &Problem, members: &[usize]) -> Resources {
    members.iter().fold(Resources::default(), |sum, member| sum + problem.services[*member].total())
}

/// Where all members are, when they are on one cluster.
fn current(problem: &Problem, members: &[usize]) -> Option<usize> {
    let first = problem.services[*members.first()?].current.as_ref()?;
    let together = members.iter().all(|member| problem.services[*member].current.as_ref() == Some(first));
    together.then(|| problem.clusters.iter().position(|cluster| cluster.name == *first)).flatten()
}

fn refuse_repeats(problem: &Problem) -> Result<(), String> {
    let repeated = |names: Vec<&String>| {
        let mut names = names;
        names.sort();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
    };
    if let Some(name) = repeated(problem.services.iter().map(|service| &service.name).collect()) {
        return Err(format!("the problem has two services {name}"));
    }
    match repeated(problem.clusters.iter().map(|cluster| &cluster.name).collect()) {
        Some(name) => Err(format!("the problem has two clusters {name}")),
        None => Ok(()),
    }
}

/// Indices of the services that must share a cluster. Co-location is symmetric and transitive; names that are
/// not in the problem bind nothing.
fn items(services: &[ServiceDemand]) -> Vec<Vec<usize>> {
    let mut turns: Vec<usize> = (0..services.len()).collect();
    turns.sort_by_key(|index| (services[*index].rank, services[*index].name.as_str()));
    let turn_of: HashMap<&str, usize> =
        turns.iter().enumerate().map(|(turn, index)| (services[*index].name.as_str(), turn)).collect();
    let mut parent: Vec<usize> = (0..services.len()).collect();
    for (turn, index) in turns.iter().enumerate() {
        for other in services[*index].co_location.iter().filter_map(|name| turn_of.get(name.as_str())) {
            let (one, other) = (root(&mut parent, turn), root(&mut parent, *other));
            // The smaller turn leads, so the leader is the member whose turn comes first.
            parent[one.max(other)] = one.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (turn, index) in turns.iter().enumerate() {
        groups.entry(root(&mut parent, turn)).or_default().push(*index);
    }
    groups.into_values().collect()
}

fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

impl Requirement {
    /// Whether a cluster of these attributes meets it.
    #[must_use]
    pub fn met_by(&self, attributes: &ClusterAttributes) -> Tri {
        use super::AttributeTest::{AtLeast, AtMost, Known, NoneOf, OneOf};
        let Some(value) = attributes.get(&self.attribute) else {
            return if self.must_be_known { Tri::No } else { Tri::Unknown };
        };
        let number = || value.parse::<f64>().ok();
        Tri::from(match &self.test {
            OneOf(texts) => texts.contains(&value),
            NoneOf(texts) => !texts.contains(&value),
            AtMost(most) => number().is_some_and(|number| number <= *most),
            AtLeast(least) => number().is_some_and(|number| number >= *least),
            Known => true,
        })
    }
}
