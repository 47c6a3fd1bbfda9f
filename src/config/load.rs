//! Loads the settings: defaults < file < environment and `.env` < flags, then checks the whole.
//!
//! [`load`] is a function of [`Sources`] alone. It goes on after a fault, so that all faults are reported at
//! once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::settings::Settings;
use super::sources::{ConfigErrors, Sources, merge, refuse_unknown_variables};
use super::table::SETTINGS;
use super::value::Parse;
use super::{clusters, database, mode, placement, scaling};
use crate::hdag::{IntentMapping, Limits, is_dns_label, is_label_value};

/// Variables of the original whose features are not available yet, with the text of the documentation.
pub(super) const UNUSED: &[(&[&str], &str)] = &[
    (
        &["GRAFANA_HOST", "GRAFANA_USERNAME", "GRAFANA_PASSWORD"],
        "Dashboards are not available yet; a warning is logged.",
    ),
    (&["NFVCL_BASE_URL"], "Infrastructure through NFVCL is not available yet; a warning is logged."),
];
/// Keys that define the meaning of a descriptor's words.
const LANGUAGE: [&str; 6] = [
    "intents",
    "limits",
    "placement.intents",
    "placement.intent_handlers",
    "placement.external",
    "scaling.external",
];

/// Settings with their warnings.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// To be logged at start.
    pub warnings: Vec<String>,
}

/// Reads, merges and checks all settings.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(mut sources: Sources<'_>) -> Result<Loaded, ConfigErrors> {
    sources.env.retain(|_, value| !value.trim().is_empty());
    let mut errors = Vec::new();
    refuse_unknown_variables(&sources.env, &mut errors);
    let given = merge(&sources, &mut errors);
    let mut settings = Settings::default();
    for row in SETTINGS {
        let Some(given) = given.get(row.key) else { continue };
        if let Err(message) = (row.apply)(&mut settings, &given.value) {
            errors.push(format!("{}: {message}", given.origin));
        }
    }
    if !given.contains_key("database_url") {
        settings.database_url = match database::from_original(&sources.env) {
            None => database::default_url(&settings.data_dir),
            Some(Ok(url)) => url,
            Some(Err(message)) => {
                errors.push(message);
                String::new()
            }
        };
    }
    settings.map_intents();
    mode::resolve(&mut settings, &given, &sources, &mut errors);
    check(&settings, &mut errors);
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    Ok(Loaded { settings, warnings: unused_variables(&sources.env) })
}

/// Loads only the settings of the descriptor's language, so that a descriptor can be checked without any
/// server.
///
/// # Errors
/// The configuration file is wrong.
pub fn language(sources: &Sources<'_>) -> Result<(IntentMapping, Limits), ConfigErrors> {
    let mut errors = Vec::new();
    let mut settings = Settings::default();
    let given = merge(sources, &mut errors);
    for row in SETTINGS.iter().filter(|row| LANGUAGE.contains(&row.key)) {
        let Some(given) = given.get(row.key) else { continue };
        if let Err(message) = (row.apply)(&mut settings, &given.value) {
            errors.push(format!("{}: {message}", given.origin));
        }
    }
    settings.map_intents();
    if errors.is_empty() { Ok((settings.intents, settings.limits)) } else { Err(ConfigErrors(errors)) }
}

impl Settings {
    /// Tells the language which intents rules, handlers and external strategies look at.
    fn map_intents(&mut self) {
        let rules = self.placement.intents.iter().map(|rule| &rule.path);
        let handlers = self.placement.intent_handlers.values().flat_map(|handler| &handler.intents);
        let placement = self.placement.external.values().flat_map(|strategy| &strategy.handles);
        let scaling = self.scaling.external.values().flat_map(|strategy| &strategy.handles);
        self.intents.mapped = rules.chain(handlers).chain(placement).chain(scaling).cloned().collect();
    }
}

fn unused_variables(env: &BTreeMap<String, String>) -> Vec<String> {
    let switched_off = |value: &str| bool::parse(&Value::String(value.to_owned())) == Ok(false);
    let names = UNUSED.iter().flat_map(|(names, _)| names.iter());
    names
        .filter(|name| env.get(**name).is_some_and(|value| !switched_off(value)))
        .map(|name| format!("{name} is set, but the feature it belongs to is not available yet"))
        .collect()
}

/// Checks bounds of values and rules over several settings.
fn check(settings: &Settings, errors: &mut Vec<String>) {
    let (http, calls, reconcile) = (&settings.http, &settings.calls, &settings.reconcile);
    let positive: [(&str, Duration); 14] = [
        ("stale_after", settings.stale_after),
        ("http.head_timeout", http.head_timeout),
        ("http.body_timeout", http.body_timeout),
        ("calls.deadline", calls.deadline),
        ("calls.helm_deadline", calls.helm_deadline),
        ("calls.breaker_open", calls.breaker_open),
        ("reconcile.resync", reconcile.resync),
        ("reconcile.backoff_first", reconcile.backoff_first),
        ("reconcile.backoff_max", reconcile.backoff_max),
        ("reconcile.cluster_sync", reconcile.cluster_sync),
        ("reconcile.latency_sync", reconcile.latency_sync),
        ("reconcile.alert_poll", reconcile.alert_poll),
        ("scaling.interval", settings.scaling.interval),
        ("scaling.scrape_interval", settings.scaling.scrape_interval),
    ];
    let zeros = positive.iter().filter(|(_, value)| value.is_zero()).map(|(key, _)| *key);
    let counts = [
        ("http.max_connections", http.max_connections == 0),
        ("http.max_requests", http.max_requests == 0),
        ("helm.parallel", settings.helm.parallel == 0),
        ("reconcile.workers", reconcile.workers == 0),
        ("helm.parallel_removals", settings.helm.parallel_removals == 0),
        ("calls.attempts", calls.attempts == 0),
        ("calls.breaker_threshold", calls.breaker_threshold == 0),
    ];
    let zeros = zeros.chain(counts.iter().filter(|(_, zero)| *zero).map(|(key, _)| *key));
    errors.extend(zeros.map(|key| format!("{} must be more than 0", named(key))));
    if reconcile.backoff_max < reconcile.backoff_first {
        errors.push(format!(
            "{} must not be less than {}",
            named("reconcile.backoff_max"),
            named("reconcile.backoff_first")
        ));
    }
    check_names(settings, errors);
    placement::check(&settings.placement, errors);
    scaling::check(&settings.scaling, errors);
    clusters::check(&settings.clusters, errors);
    if let Err(error) = EnvFilter::builder().parse(&settings.log.filter) {
        errors.push(format!("{}: {error}", named("log.filter")));
    }
}

/// Names of namespaces and labels have to be such that Kubernetes takes them.
fn check_names(settings: &Settings, errors: &mut Vec<String>) {
    let namespaces = [
        ("namespace", settings.namespace.as_deref()),
        ("monitoring.namespace", Some(settings.monitoring.namespace.as_str())),
        ("submariner.broker_namespace", Some(settings.submariner.broker_namespace.as_str())),
        ("submariner.gateway_namespace", Some(settings.submariner.gateway_namespace.as_str())),
    ];
    for (key, name) in namespaces.into_iter().filter_map(|(key, name)| Some((key, name?))) {
        if !is_dns_label(name, 63) {
            errors.push(format!(
                "{}: {name:?} is not a valid namespace name (at most 63 lower-case letters, digits and inner hyphens)",
                named(key)
            ));
        }
    }
    let labels = &settings.labels;
    let names = [
        ("labels.installation", &labels.installation),
        ("labels.graph", &labels.graph),
        ("labels.digest", &labels.digest),
    ];
    // The prefix of a label is a domain.
    let is_domain =
        |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(|part| is_dns_label(part, 63));
    let is_label = |text: &str| match text.split_once('/') {
        Some((prefix, name)) => is_domain(prefix) && is_label_value(name),
        None => is_label_value(text),
    };
    for (key, name) in names.into_iter().filter(|(_, name)| !is_label(name)) {
        errors.push(format!("{}: {name:?} is not a valid label name", named(key)));
    }
    if let Some(id) = settings.installation.as_deref().filter(|id| !is_label_value(id)) {
        errors.push(format!("{}: {id:?} cannot be the value of a label", named("installation")));
    }
}

/// Key and variable of a setting, for a message.
fn named(key: &str) -> String {
    match SETTINGS.iter().find(|row| row.key == key).and_then(|row| row.variable) {
        Some(variable) => format!("{key} ({variable})"),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests;
