//! The placement policy of a graph: strategy, parameters, and the cluster requirements of its intents. Pure
//! but for `policy_of`, which asks the intent handlers.
//!
//! Later ones win: configuration, project, configured rules of the graph's intents, intent handlers,
//! `energyEfficiency`, the descriptor's `smo` section, the request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::app::App;
use crate::app::planner::HandledIntents;
use crate::clients::{ClientError, ClientErrorKind};
use crate::config::{
    AttributeRequirement, IntentRule, PlacementLimits, PlacementSettings, RuleTest, check_strategy,
};
use crate::error::{Error, Result};
use crate::hdag::{Descriptor, PARAMETERS, Service, WEIGHTS};
use crate::optimizer::placement::{
    AttributeTest, BuiltIn, PlacementRequest, Preference, Requirement, SolveLimits, Strategy, Weights,
};
use crate::optimizer::{DecisionContext, IntentHandlerAnswer, IntentRequirement};

/// Whether a graph is placed for the first time or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    New,
    Again,
}

/// How a placement is to be decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacementPolicy {
    pub(super) strategy: Strategy,
    pub(super) strict: bool,
    pub(super) weights: Weights,
    pub(super) limits: SolveLimits,
    pub(super) warnings: Vec<String>,
    /// Requirements of configured rules on the clusters of all services, and of single services.
    everywhere: Vec<Requirement>,
    by_service: BTreeMap<String, Vec<Requirement>>,
    /// Preferences of single services.
    prefers: BTreeMap<String, Vec<Preference>>,
}

impl PlacementPolicy {
    pub(super) fn requirements_of(&self, service: &str) -> Vec<Requirement> {
        let own = self.by_service.get(service).into_iter().flatten();
        self.everywhere.iter().chain(own).cloned().collect()
    }

    pub(super) fn preferences_of(&self, service: &str) -> Vec<Preference> {
        self.prefers.get(service).cloned().unwrap_or_default()
    }
}

/// Puts all layers together.
///
/// # Errors
/// The strategy that wins does not exist; an intent handler did not answer, and the decision is to be strict.
pub(super) fn resolve(
    settings: &PlacementSettings,
    project: &str,
    descriptor: &Descriptor,
    occasion: Occasion,
    request: &PlacementRequest,
    handled: &[HandledIntents],
) -> Result<PlacementPolicy> {
    let of_project = settings.projects.get(project);
    let (default, of_project) = match occasion {
        Occasion::New => (&settings.strategy, of_project.and_then(|project| project.strategy.as_ref())),
        Occasion::Again => (
            &settings.replacement_strategy,
            of_project.and_then(|project| project.replacement_strategy.as_ref()),
        ),
    };
    let mut policy = PlacementPolicy {
        strategy: of_project.unwrap_or(default).clone(),
        strict: request.strict.or(descriptor.placement.strict).unwrap_or(settings.strict),
        weights: Weights::default(),
        limits: SolveLimits::default(),
        warnings: Vec::new(),
        everywhere: Vec::new(),
        by_service: BTreeMap::new(),
        prefers: BTreeMap::new(),
    };
    let unusable = |section: &'static str| move |message| Error::invalid(section, message);
    policy.set(&settings.weights, &settings.limits.parameters).map_err(unusable("/placement"))?;
    policy.apply_rules(&settings.intents, descriptor).map_err(unusable("/placement/intents"))?;
    for handled in handled {
        policy.apply_handled(handled, descriptor)?;
    }
    if descriptor.intent.energy_efficiency {
        policy.strategy = BuiltIn::Green.into();
    }
    let asked = &descriptor.placement;
    policy.set(&asked.weights, &asked.parameters).map_err(unusable("/hdaGraph/smo/placement"))?;
    policy.set(&request.weights, &BTreeMap::new()).map_err(unusable("/weights"))?;
    policy.set(&BTreeMap::new(), &request.parameters).map_err(unusable("/parameters"))?;
    policy.clamp(&settings.limits);
    if let Some(name) = request.strategy.as_deref().or(asked.strategy.as_deref()) {
        policy.strategy = name.into();
    }
    if let Err(message) = check_strategy(&policy.strategy, &settings.external) {
        let pointer =
            if request.strategy.is_some() { "/strategy" } else { "/hdaGraph/smo/placement/strategy" };
        return Err(Error::invalid(pointer, message));
    }
    policy.warn_of_idle_handlers(settings, descriptor);
    Ok(policy)
}

impl App {
    /// How the placement of a descriptor's graph is to be decided; asks the intent handlers.
    pub(super) async fn policy_of(
        &self,
        descriptor: &Descriptor,
        context: &DecisionContext,
        occasion: Occasion,
        request: &PlacementRequest,
    ) -> Result<PlacementPolicy> {
        let handled = self.parts.planner.handle_intents(descriptor, context).await;
        let settings = &self.parts.settings.placement;
        resolve(settings, &context.project, descriptor, occasion, request, &handled)
    }
}

impl PlacementPolicy {
    fn set(&mut self, weights: &BTreeMap<String, f64>, limits: &BTreeMap<String, f64>) -> Result<(), String> {
        WEIGHTS.set(&mut self.weights, weights)?;
        PARAMETERS.set(&mut self.limits, limits)
    }

    /// Limits requested values to the operator's caps, with a warning.
    fn clamp(&mut self, caps: &PlacementLimits) {
        let max_deadline = u64::try_from(caps.max_deadline.as_millis()).unwrap_or(u64::MAX);
        let numbers = [
            ("deadline_ms", &mut self.limits.deadline_ms, max_deadline),
            ("iterations", &mut self.limits.iterations, caps.max_iterations),
        ];
        for (name, number, most) in numbers {
            if let Some(asked) = number.filter(|asked| *asked > most) {
                *number = Some(most);
                self.warnings.push(format!("{name}: {asked} was asked for, this server allows {most}"));
            }
        }
    }

    fn apply_rules(&mut self, rules: &[IntentRule], descriptor: &Descriptor) -> Result<(), String> {
        for rule in rules {
            let of_graph = matching(rule, &descriptor.intent.custom);
            let mut is_stated = of_graph.is_some();
            for service in &descriptor.services {
                if let Some(value) = matching(rule, &service.custom_intents).or(of_graph) {
                    self.ask(rule, value, service);
                    is_stated = true;
                }
            }
            if is_stated {
                self.tune(rule)?;
            }
        }
        self.warn_of_unknown_values(rules, descriptor);
        Ok(())
    }

    /// What a rule asks of the cluster of a service.
    fn ask(&mut self, rule: &IntentRule, value: &Value, service: &Service) {
        let mut requirement = |asked: &AttributeRequirement| {
            let requirement = requirement(rule, asked, value, service);
            if requirement.is_none() {
                self.warnings.push(format!(
                    "intent {}: {} of service {} has no effect: neither it nor its graph names a site",
                    rule.path,
                    text(value),
                    service.id
                ));
            }
            requirement
        };
        let required = rule.require.as_ref().and_then(&mut requirement);
        let preferred = rule.prefer.as_ref().and_then(&mut requirement);
        self.by_service.entry(service.id.clone()).or_default().extend(required);
        let cost = rule.cost_of_preference();
        let preference = preferred.map(|requirement| Preference { requirement, cost });
        self.prefers.entry(service.id.clone()).or_default().extend(preference);
    }

    /// Warns of intents whose rules are all for other values.
    fn warn_of_unknown_values(&mut self, rules: &[IntentRule], descriptor: &Descriptor) {
        let services = descriptor.services.iter().flat_map(|service| &service.custom_intents);
        let stated: BTreeSet<(&String, String)> = descriptor
            .intent
            .custom
            .iter()
            .chain(services)
            .map(|(path, value)| (path, text(value)))
            .collect();
        for (path, value) in stated {
            let mut of_path = rules.iter().filter(|rule| rule.path == *path).peekable();
            let is_known = |rule: &IntentRule| rule.applies_to(&Value::String(value.clone()));
            if of_path.peek().is_none() || of_path.clone().any(is_known) {
                continue;
            }
            let known: Vec<String> = of_path.filter_map(|rule| rule.value.as_ref().map(text)).collect();
            let known = known.join(", ");
            self.warnings.push(format!("intent {path}: {value} has no effect; known values are {known}"));
        }
    }

    /// Applies the answer of an intent handler. Without a usable answer its intents have no effect, which is
    /// a warning or, when the decision is to be strict, an error.
    fn apply_handled(&mut self, handled: &HandledIntents, descriptor: &Descriptor) -> Result<()> {
        let HandledIntents { handler, answer } = handled;
        let applied = answer.clone().and_then(|answer| {
            let unusable = |cause: String| {
                let message =
                    format!("external intent handler {handler}: its answer cannot be used: {cause}");
                ClientError::new("strategy", ClientErrorKind::Failed, message)
            };
            self.with_answer(&answer, descriptor).map_err(unusable)
        });
        match applied {
            Ok(policy) => *self = policy,
            Err(error) if self.strict => return Err(error.into()),
            Err(error) => {
                self.warnings.push(format!("the intents that {handler} handles have no effect: {error}"));
            }
        }
        Ok(())
    }

    fn with_answer(&self, answer: &IntentHandlerAnswer, descriptor: &Descriptor) -> Result<Self, String> {
        let mut policy = self.clone();
        WEIGHTS.set(&mut policy.weights, &answer.weights)?;
        for IntentRequirement { intent, service, attribute, test } in answer.requirements.clone() {
            let requirement = Requirement { intent, attribute, test, must_be_known: false };
            match service {
                None => policy.everywhere.push(requirement),
                Some(name) if descriptor.service(&name).is_none() => {
                    return Err(format!("there is no service {name:?}"));
                }
                Some(name) => policy.by_service.entry(name).or_default().push(requirement),
            }
        }
        Ok(policy)
    }

    /// Warns of intents that only an external strategy evaluates, when another strategy decides.
    fn warn_of_idle_handlers(&mut self, settings: &PlacementSettings, descriptor: &Descriptor) {
        let services = descriptor.services.iter().flat_map(|service| service.custom_intents.keys());
        let stated: BTreeSet<&String> = descriptor.intent.custom.keys().chain(services).collect();
        for path in stated {
            let by_rule = settings.intents.iter().any(|rule| rule.path == *path);
            let by_handler = settings.intent_handlers.values().any(|handler| handler.intents.contains(path));
            let mut strategies =
                settings.external.iter().filter(|(_, external)| external.handles.contains(path));
            let decides = |(name, _): (&String, _)| self.strategy.name() == name;
            let idle = strategies.clone().next();
            let Some((other, _)) = idle.filter(|_| !by_rule && !by_handler && !strategies.any(decides))
            else {
                continue;
            };
            let chosen = &self.strategy;
            self.warnings.push(format!(
                "intent {path} has no effect: the strategy {other} handles it, and {chosen} decides"
            ));
        }
    }

    /// Weights and strategies belong to the graph as a whole, also when a service's intent asks for them; however many
    /// services state it, once.
    fn tune(&mut self, rule: &IntentRule) -> Result<(), String> {
        WEIGHTS.set(&mut self.weights, &rule.weights)?;
        for (name, factor) in &rule.factors {
            self.weights.scale(name, *factor)?;
        }
        if let Some(strategy) = &rule.strategy {
            self.strategy.clone_from(strategy);
        }
        Ok(())
    }
}

/// The value of the intent that a rule is about, when it is one that the rule is for.
fn matching<'a>(rule: &IntentRule, intents: &'a BTreeMap<String, Value>) -> Option<&'a Value> {
    let value = intents.get(&rule.path)?;
    rule.applies_to(value).then_some(value)
}

/// What is asked of the cluster of a service; `None` when that depends on a site, and none is named.
fn requirement(
    rule: &IntentRule,
    asked: &AttributeRequirement,
    value: &Value,
    service: &Service,
) -> Option<Requirement> {
    let test = match &asked.test {
        RuleTest::Attribute(test) => test.clone(),
        RuleTest::OwnSite => AttributeTest::OneOf(vec![service.site.clone()?]),
    };
    Some(Requirement {
        intent: format!("{}: {}", rule.path, text(value)),
        attribute: asked.attribute.clone(),
        test,
        must_be_known: false,
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hdag::{self, Format, IntentMapping, Limits};

    fn descriptor(placement: &str) -> Descriptor {
        let text = format!(
            "hdaGraph: {{id: g, smo: {{placement: {placement}}}, services: [{{id: a, deployment: {{trigger: {{auto: }}}}, \
             artifact: {{ociImage: 'oci://h/p/a'}}}}]}}"
        );
        hdag::parse(&text, Format::Yaml, &IntentMapping::default(), &Limits::default()).unwrap().descriptor
    }

    fn resolved(settings: &PlacementSettings, placement: &str) -> PlacementPolicy {
        resolve(settings, "demo", &descriptor(placement), Occasion::New, &PlacementRequest::default(), &[])
            .unwrap()
    }

    #[test]
    fn what_is_asked_for_beyond_the_caps_is_clamped_and_said() {
        let mut settings = PlacementSettings::default();
        settings.limits.max_deadline = Duration::from_secs(2);
        settings.limits.max_iterations = 1000;
        let policy = resolved(&settings, "{parameters: {deadline_ms: 600000, iterations: 1e9, seed: 5}}");
        let SolveLimits { deadline_ms, iterations, seed, .. } = policy.limits;
        assert_eq!((deadline_ms, iterations, seed), (Some(2000), Some(1000), 5));
        assert_eq!(
            policy.warnings,
            [
                "deadline_ms: 600000 was asked for, this server allows 2000",
                "iterations: 1000000000 was asked for, this server allows 1000"
            ]
        );
    }

    #[test]
    fn what_is_within_the_caps_or_not_asked_for_stays() {
        let settings = PlacementSettings::default();
        let policy = resolved(&settings, "{parameters: {deadline_ms: 10000}}");
        assert_eq!((policy.limits.deadline_ms, policy.limits.iterations), (Some(10_000), None));
        assert!(policy.warnings.is_empty());
        assert_eq!(resolved(&settings, "{strategy: cost}").limits, SolveLimits::default());
    }

    /// The policy of a graph of two services with these intents; `b` names a site of its own.
    fn of_intents(graph: &str, service: &str, smo: &str) -> PlacementPolicy {
        let text = format!(
            "hdaGraph: {{id: g, hdaGraphIntent: {{{graph}}}, smo: {{{smo}}}, services: [
             {{id: a, deployment: {{trigger: {{auto: }}, intent: {{{service}}}}}, artifact: {{ociImage: 'oci://h/p/a'}}}},
             {{id: b, deployment: {{trigger: {{auto: }}, intent: {{network: {{deviceProximity: {{site: harbour}}}}}}}},
               artifact: {{ociImage: 'oci://h/p/b'}}}}]}}"
        );
        let settings = PlacementSettings::default();
        let mapped = settings.intents.iter().map(|rule| rule.path.clone()).collect();
        let mapping = IntentMapping { mapped, ..IntentMapping::default() };
        let descriptor = hdag::parse(&text, Format::Yaml, &mapping, &Limits::default()).unwrap().descriptor;
        let request = PlacementRequest::default();
        resolve(&settings, "demo", &descriptor, Occasion::New, &request, &[]).unwrap()
    }

    #[test]
    fn a_preference_for_renewable_energy_is_green_or_a_requirement() {
        let high = of_intents("energy_preference: renewable_high", "", "");
        assert_eq!((&high.strategy, high.weights.carbon), (&BuiltIn::Green.into(), 0.05));
        let named = of_intents("energy_preference: renewable_high", "", "placement: {strategy: min-moves}");
        assert_eq!(named.strategy, BuiltIn::MinMoves.into());
        let only = of_intents("", "energy_preference: renewable_only", "");
        let required = only.requirements_of("a");
        assert_eq!((required.len(), required[0].attribute.as_str()), (1, "energy_class"));
        assert!(only.requirements_of("b").is_empty());
        let twice = of_intents("energy_preference: renewable_high", "energy_preference: renewable_high", "");
        assert_eq!(twice.weights.carbon, 0.05, "stated twice it counts once");
        let twice = of_intents("offload_policy: overflow", "offload_policy: overflow", "site: factory");
        assert_eq!((twice.preferences_of("a").len(), twice.preferences_of("b").len()), (1, 1));
        let any = of_intents("energy_preference: any", "", "");
        let nothing = of_intents("", "", "");
        assert_eq!((&any.strategy, any.weights, any.warnings.len()), (&nothing.strategy, nothing.weights, 0));
    }

    #[test]
    fn a_policy_of_offloading_is_about_the_site_of_each_service() {
        let never = of_intents("offload_policy: never", "", "site: factory");
        for (service, site) in [("a", "factory"), ("b", "harbour")] {
            let required = never.requirements_of(service);
            assert_eq!(required.len(), 1);
            assert_eq!(required[0].attribute, "site");
            assert_eq!(required[0].test, AttributeTest::OneOf(vec![site.to_owned()]), "{service}");
        }
        let overflow = of_intents("offload_policy: overflow", "", "site: factory");
        assert!(overflow.requirements_of("a").is_empty());
        assert_eq!(overflow.preferences_of("a")[0].cost, 10_000.0);
        let saving = of_intents("offload_policy: aggressive_cost_saving", "", "");
        let default = Weights::default();
        assert_eq!(saving.strategy, BuiltIn::Cost.into());
        assert_eq!((saving.weights.price, saving.weights.moves), (5.0 * default.price, 0.5 * default.moves));
        // `a` has no site.
        let unknown = of_intents("offload_policy: never", "", "");
        assert_eq!(
            unknown.warnings,
            [
                "intent offload_policy: never of service a has no effect: neither it nor its graph names a site"
            ]
        );
    }

    #[test]
    fn a_value_that_no_rule_is_for_is_warned_of() {
        let policy = of_intents("energy_preference: renewable_hihg", "", "");
        assert_eq!(
            policy.warnings,
            ["intent energy_preference: renewable_hihg has no effect; known values are renewable_high, \
              renewable_only, any"]
        );
    }
}
