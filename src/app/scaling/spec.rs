//! Scaling parameters of a graph's services, merged from its descriptor, the configuration and the
//! interface's profiles. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{ScalingProfile, ScalingSettings};
use crate::hdag::{self, ChartSource, Descriptor, RateSource, ScalingWishes, Steps, WhenAbsent};
use crate::optimizer::scaling::{BuiltIn, Profile, ScalingProblem, ScalingWeights, Strategy, Thresholds};

/// The scaling part of a descriptor, kept between ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GraphSpec {
    pub(super) wishes: ScalingWishes,
    pub(super) min_overall: Option<i64>,
    pub(super) max_overall: Option<i64>,
    /// Its placement is final.
    pub(super) pinned: bool,
    services: BTreeMap<String, hdag::ScalingRequest>,
    /// The charts of the services, as profiles name them.
    charts: BTreeMap<String, String>,
    /// Who calls a service, by its name.
    callers: BTreeMap<String, Vec<String>>,
}

/// How one service is scaled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceSpec {
    pub(super) profile: Profile,
    /// Set under the strategy `steps`.
    pub(super) steps: Option<Steps>,
    /// Its counter, or the one that counts instead; `None` when the rates of its callers are asked for.
    pub(super) rate: Option<Rate>,
    /// Whose rates count together when the service has no counter of its own.
    pub(super) callers: Vec<Rate>,
    pub(super) when_absent: WhenAbsent,
}

/// Where a rate comes from: a query, and the service whose value of it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate {
    pub(super) query: Query,
    pub(super) service: String,
}

/// A template and a window: one query covers all services that share them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Query {
    pub(super) template: String,
    pub(super) window: Duration,
    /// The service that has the query for itself: an answer without a label is its rate.
    pub(super) asker: Option<String>,
}

/// Where the capacity model of a service and the query for its rate may come from. The interface takes
/// precedence over the descriptor, and the descriptor over the configuration; in each the service over its chart.
#[derive(Clone, Copy)]
pub(super) struct Profiles<'a> {
    pub(super) settings: &'a ScalingSettings,
    /// Set by the interface.
    pub(super) set: &'a BTreeMap<String, ScalingProfile>,
}

impl GraphSpec {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        let mut callers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for caller in &descriptor.services {
            for callee in &caller.connection_points {
                callers.entry(callee.clone()).or_default().push(caller.id.clone());
            }
        }
        let availability = descriptor.intent.high_availability;
        Self {
            wishes: descriptor.scaling.clone(),
            min_overall: descriptor.intent.min_replicas_overall.filter(|_| availability),
            max_overall: descriptor.intent.max_replicas_overall.filter(|_| availability),
            pinned: availability,
            services: descriptor
                .services
                .iter()
                .map(|service| (service.id.clone(), service.scaling.clone()))
                .collect(),
            charts: descriptor
                .services
                .iter()
                .filter_map(|service| {
                    Some((service.id.clone(), ChartSource::parse(&service.chart).ok()?.profile_key()))
                })
                .collect(),
            callers,
        }
    }

    /// The strategy that decides on the graph.
    pub(super) fn strategy(&self, settings: &ScalingSettings) -> Strategy {
        self.wishes.strategy.as_deref().map_or_else(|| settings.strategy.clone(), Strategy::from)
    }

    /// Sets the numbers that a decision is made with.
    pub(super) fn tune(&self, problem: &mut ScalingProblem, settings: &ScalingSettings) {
        let ScalingWishes { utilisation, change, target_utilisation, thresholds, .. } = self.wishes;
        problem.thresholds = thresholds.map_or(settings.thresholds, |(low, high)| Thresholds { high, low });
        problem.weights = match (utilisation, change) {
            (None, None) => settings.weights,
            _ => ScalingWeights::new(
                utilisation.unwrap_or(settings.weights.utilisation),
                change.unwrap_or(settings.weights.change),
            ),
        };
        problem.target_utilisation = match self.strategy(settings) {
            // Its high mark is the target.
            Strategy::BuiltIn(BuiltIn::Threshold) => problem.thresholds.high,
            _ => target_utilisation.unwrap_or(settings.target_utilisation),
        };
    }

    /// For how long replicas that were needed are kept.
    pub(super) fn stabilisation(&self, settings: &ScalingSettings) -> Duration {
        self.wishes.stabilisation.unwrap_or(settings.stabilisation)
    }

    /// The scaling parameters of a service; `None` when nothing says how many replicas a rate needs.
    pub(super) fn service(&self, name: &str, profiles: Profiles<'_>) -> Option<ServiceSpec> {
        let settings = profiles.settings;
        let set = self.profile_in(profiles.set, name);
        let configured = self.profile_in(&settings.profiles, name);
        let wanted = self.services.get(name)?;
        let by_steps = self.strategy(settings) == Strategy::BuiltIn(BuiltIn::Steps);
        let of = |profile: Option<&ScalingProfile>| profile.and_then(|profile| profile.steps);
        let steps = match set {
            Some(_) => of(set),
            None => wanted.steps.or(of(configured)),
        };
        let steps = steps.filter(|_| by_steps);
        let profile = bounds(set, wanted, configured, steps.is_some())?;
        let (rate, callers) = match self.source_of(name, profiles) {
            Some(RateSource::Callers) => (None, self.callers_of(name, profiles)),
            Some(RateSource::Service(source)) => (Some(self.rate_of(&source, profiles)), Vec::new()),
            Some(RateSource::Query(_)) => (Some(self.rate_of(name, profiles)), Vec::new()),
            None => (Some(self.rate_of(name, profiles)), self.callers_of(name, profiles)),
        };
        let when = |profile: Option<&ScalingProfile>| profile.and_then(|profile| profile.when_absent);
        let when_absent = match set {
            Some(_) => when(set),
            None => wanted.when_absent.or(when(configured)),
        };
        Some(ServiceSpec {
            profile,
            steps,
            rate,
            callers,
            when_absent: when_absent.unwrap_or(settings.when_absent),
        })
    }

    /// The profile of a service, or of its chart.
    fn profile_in<'a>(
        &self,
        profiles: &'a BTreeMap<String, ScalingProfile>,
        name: &str,
    ) -> Option<&'a ScalingProfile> {
        profiles.get(name).or_else(|| profiles.get(self.charts.get(name)?))
    }

    fn rate_of(&self, service: &str, profiles: Profiles<'_>) -> Rate {
        Rate { query: self.query_of(service, profiles), service: service.to_owned() }
    }

    fn callers_of(&self, name: &str, profiles: Profiles<'_>) -> Vec<Rate> {
        let callers = self.callers.get(name).into_iter().flatten();
        callers.map(|caller| self.rate_of(caller, profiles)).collect()
    }

    /// Where the rate of a service comes from, when not from its own counter.
    fn source_of(&self, name: &str, profiles: Profiles<'_>) -> Option<RateSource> {
        let of_profile = |profile: &ScalingProfile| match (&profile.rate_from, &profile.query) {
            _ if profile.from_callers => Some(RateSource::Callers),
            (Some(service), _) => Some(RateSource::Service(service.clone())),
            (None, Some(query)) => Some(RateSource::Query(query.clone())),
            (None, None) => None,
        };
        match self.profile_in(profiles.set, name) {
            Some(set) => of_profile(set),
            None => {
                let wanted = self.services.get(name).and_then(|wanted| wanted.rate.clone());
                wanted.or_else(|| self.profile_in(&profiles.settings.profiles, name).and_then(of_profile))
            }
        }
    }

    /// The query for the rate of a service's own counter.
    fn query_of(&self, name: &str, profiles: Profiles<'_>) -> Query {
        let settings = profiles.settings;
        let window = match self.profile_in(profiles.set, name) {
            Some(set) => set.window,
            None => {
                let wanted = self.services.get(name).and_then(|wanted| wanted.window);
                wanted.or_else(|| self.profile_in(&settings.profiles, name).and_then(|found| found.window))
            }
        };
        let (template, asker) = match self.source_of(name, profiles) {
            Some(RateSource::Query(query)) => (query, Some(name.to_owned())),
            Some(RateSource::Service(_) | RateSource::Callers) | None => (settings.query.clone(), None),
        };
        Query { template, window: window.unwrap_or_else(|| settings.rate_window()), asker }
    }
}

/// The capacity model of a service; `None` when there is none, and it is not scaled by steps either.
fn bounds(
    set: Option<&ScalingProfile>,
    wanted: &hdag::ScalingRequest,
    configured: Option<&ScalingProfile>,
    by_steps: bool,
) -> Option<Profile> {
    let alpha = match set {
        Some(set) => set.alpha,
        None => wanted.alpha.or(configured.and_then(|profile| profile.alpha)),
    };
    let alpha = alpha.or(by_steps.then_some(0.0))?;
    let from = |profile: &ScalingProfile| (profile.beta, profile.min, profile.max);
    // Without bounds the defaults hold.
    let (beta, min, max) = set.or(configured).map_or((0.0, 1, DEFAULT_MAX), from);
    let mut profile = Profile::new(alpha, beta, min, max);
    if set.is_none() {
        profile.beta = wanted.beta.unwrap_or(profile.beta);
        profile.min = wanted.min.unwrap_or(profile.min);
        profile.max = wanted.max.unwrap_or(profile.max.max(profile.min));
        // A descriptor that states one bound only must not contradict the other one of the configuration.
        profile.min = profile.min.min(profile.max);
    }
    Some(profile)
}

/// Maximum replicas of a service whose descriptor states a capacity and no bound; as the original's profiles.
const DEFAULT_MAX: i64 = 3;
