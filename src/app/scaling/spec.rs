//! Scaling parameters of a graph's services, merged from its descriptor, the configuration and the
//! interface's profiles. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{ScalingProfile, ScalingSettings};
use crate::hdag::{self, Descriptor, RateSource};
use crate::optimizer::scaling::{Profile, Strategy};

/// The scaling part of a descriptor, kept between ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GraphSpec {
    pub(super) enabled: Option<bool>,
    pub(super) strategy: Option<Strategy>,
    pub(super) min_overall: Option<i64>,
    pub(super) max_overall: Option<i64>,
    /// Its placement is final.
    pub(super) pinned: bool,
    services: BTreeMap<String, hdag::ScalingRequest>,
    /// Who calls a service, by its name.
    callers: BTreeMap<String, Vec<String>>,
}

/// How one service is scaled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceSpec {
    pub(super) profile: Profile,
    pub(super) rate: Rate,
    /// Whose rates count together when the service has no counter of its own.
    pub(super) callers: Vec<Rate>,
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
            enabled: descriptor.scaling.enabled,
            strategy: descriptor.scaling.strategy.as_deref().map(Strategy::from),
            min_overall: descriptor.intent.min_replicas_overall.filter(|_| availability),
            max_overall: descriptor.intent.max_replicas_overall.filter(|_| availability),
            pinned: availability,
            services: descriptor
                .services
                .iter()
                .map(|service| (service.id.clone(), service.scaling.clone()))
                .collect(),
            callers,
        }
    }

    /// The scaling parameters of a service; `None` when its capacity is unknown. The interface takes
    /// precedence over the descriptor, and the descriptor over the configuration.
    pub(super) fn service(
        &self,
        name: &str,
        settings: &ScalingSettings,
        profiles: &BTreeMap<String, ScalingProfile>,
    ) -> Option<ServiceSpec> {
        let set = profiles.get(name);
        let configured = settings.profiles.get(name);
        let wanted = self.services.get(name)?;
        let from = |profile: &ScalingProfile| (profile.alpha, profile.beta, profile.min, profile.max);
        let (alpha, beta, min, max) = match set.or(configured) {
            Some(profile) => from(profile),
            // Without a model there is nothing to decide by; without bounds the defaults hold.
            None => (wanted.alpha?, 0.0, 1, DEFAULT_MAX),
        };
        let mut profile = Profile::new(alpha, beta, min, max);
        if set.is_none() {
            profile.alpha = wanted.alpha.unwrap_or(profile.alpha);
            profile.beta = wanted.beta.unwrap_or(profile.beta);
            profile.min = wanted.min.unwrap_or(profile.min);
            profile.max = wanted.max.unwrap_or(profile.max.max(profile.min));
            // A descriptor that states one bound only must not contradict the other one of the configuration.
            profile.min = profile.min.min(profile.max);
        }
        let own = |service: &str| Rate {
            query: self.query_of(service, settings, profiles),
            service: service.to_owned(),
        };
        let rate = match self.source_of(name, settings, profiles) {
            Some(RateSource::Service(source)) => own(&source),
            Some(RateSource::Query(_)) | None => own(name),
        };
        let callers = self.callers.get(name).into_iter().flatten().map(|caller| own(caller)).collect();
        Some(ServiceSpec { profile, rate, callers })
    }

    /// Where the rate of a service comes from, when not from its own counter.
    fn source_of(
        &self,
        name: &str,
        settings: &ScalingSettings,
        profiles: &BTreeMap<String, ScalingProfile>,
    ) -> Option<RateSource> {
        let of_profile = |profile: &ScalingProfile| match (&profile.rate_from, &profile.query) {
            (Some(service), _) => Some(RateSource::Service(service.clone())),
            (None, Some(query)) => Some(RateSource::Query(query.clone())),
            (None, None) => None,
        };
        match profiles.get(name) {
            Some(set) => of_profile(set),
            None => {
                let wanted = self.services.get(name).and_then(|wanted| wanted.rate.clone());
                wanted.or_else(|| settings.profiles.get(name).and_then(of_profile))
            }
        }
    }

    /// The query for the rate of a service's own counter.
    fn query_of(
        &self,
        name: &str,
        settings: &ScalingSettings,
        profiles: &BTreeMap<String, ScalingProfile>,
    ) -> Query {
        let window = match profiles.get(name) {
            Some(set) => set.window,
            None => {
                let wanted = self.services.get(name).and_then(|wanted| wanted.window);
                wanted.or_else(|| settings.profiles.get(name).and_then(|profile| profile.window))
            }
        };
        let template = match self.source_of(name, settings, profiles) {
            Some(RateSource::Query(query)) => query,
            Some(RateSource::Service(_)) | None => settings.query.clone(),
        };
        Query { template, window: window.unwrap_or_else(|| settings.rate_window()) }
    }
}

/// Maximum replicas of a service whose descriptor states a capacity and no bound; as the original's profiles.
const DEFAULT_MAX: i64 = 3;
