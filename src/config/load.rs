//! Puts the layers together: defaults < file < environment and `.env` < flags.
//!
//! [`load`] is a function of [`Sources`] alone. It goes on after a fault, so that all faults are reported at
//! once, and a name that does not exist is a fault too: a typo must not leave a setting at its default.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

use super::table::SETTINGS;
use super::value::Parse;
use super::{Settings, clusters, database, outside, placement, scaling};
use crate::hdag::{IntentMapping, Limits, is_dns_label};

/// Variable that names the configuration file.
const CONFIG_VARIABLE: &str = "SMO_CONFIG";
/// Kubernetes sets these for a Service named `smo`; they are not ours.
const SERVICE_LINKS: [&str; 2] = ["SMO_SERVICE_", "SMO_PORT"];
/// Variables of the original whose features are not available yet.
pub(super) const UNUSED: [&str; 4] =
    ["GRAFANA_HOST", "GRAFANA_USERNAME", "GRAFANA_PASSWORD", "NFVCL_BASE_URL"];
/// Keys that say what the words of a descriptor mean.
const LANGUAGE: [&str; 6] = [
    "intents",
    "limits",
    "placement.intents",
    "placement.intent_handlers",
    "placement.external",
    "scaling.external",
];

/// Where settings come from.
pub struct Sources<'a> {
    /// Environment variables, those of `.env` included.
    pub env: BTreeMap<String, String>,
    /// The user's home folder, for kubeconfigs.
    pub home: Option<PathBuf>,
    /// Configuration file named on the command line; wins over `SMO_CONFIG`.
    pub config_file: Option<PathBuf>,
    /// Settings given on the command line.
    pub flags: Vec<Flag>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, such as `--listen`.
    pub name: &'static str,
    /// Key of the setting.
    pub key: &'static str,
    /// What was given.
    pub value: String,
}

/// Settings, and what the operator should know about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// To be logged at start.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Sources<'static> {
    /// The environment of this process, with `.env` of the current folder below it.
    ///
    /// # Errors
    /// There is a `.env` that cannot be read.
    pub fn of_process(config_file: Option<PathBuf>, flags: Vec<Flag>) -> Result<Self, ConfigErrors> {
        let wrong = |error: dotenvy::Error| ConfigErrors(vec![format!(".env: {error}")]);
        let mut env = BTreeMap::new();
        match dotenvy::from_path_iter(".env") {
            Err(error) if error.not_found() => {}
            Err(error) => return Err(wrong(error)),
            Ok(pairs) => {
                for pair in pairs {
                    // The error of a line repeats the line, which may hold a password.
                    let (name, value) = pair.map_err(|error| match error {
                        dotenvy::Error::LineParse(_, at) => {
                            ConfigErrors(vec![format!(".env: a line is malformed at its character {at}")])
                        }
                        other => wrong(other),
                    })?;
                    env.insert(name, value);
                }
            }
        }
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        env.extend(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))));
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Ok(Self { env, home, config_file, flags, read: &read_file })
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// A value of one layer and what to call its origin in a message.
pub(super) struct Given {
    value: Value,
    /// Such as `SMO_WAIT`, `--listen` or `wait in smo.yaml`.
    pub(super) origin: String,
}

/// The winning value of each key.
pub(super) type GivenByKey = BTreeMap<&'static str, Given>;

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
    outside::resolve(&mut settings, &given, &sources, &mut errors);
    check(&settings, &mut errors);
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    Ok(Loaded { settings, warnings: unused_variables(&sources.env) })
}

/// Only what the descriptor's language needs, so that a descriptor can be checked without any server.
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

fn merge(sources: &Sources<'_>, errors: &mut Vec<String>) -> GivenByKey {
    let mut given = GivenByKey::new();
    let named = sources.config_file.clone().map(|path| ("--config", path));
    let by_variable = sources.env.get(CONFIG_VARIABLE).map(|path| (CONFIG_VARIABLE, PathBuf::from(path)));
    if let Some((origin, path)) = named.or(by_variable)
        && let Err(message) = read_yaml(&path, sources.read, &mut given, errors)
    {
        errors.push(format!("{origin}: {message}"));
    }
    for row in SETTINGS {
        let Some(variable) = row.variable else { continue };
        if let Some(text) = sources.env.get(variable) {
            let value = Value::String(text.clone());
            given.insert(row.key, Given { value, origin: variable.to_owned() });
        }
    }
    for flag in &sources.flags {
        let value = Value::String(flag.value.clone());
        given.insert(flag.key, Given { value, origin: flag.name.to_owned() });
    }
    given
}

fn read_yaml(
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
    given: &mut GivenByKey,
    errors: &mut Vec<String>,
) -> Result<(), String> {
    let text = read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // `yes` and `no` stay texts, so that they can be names; settings that are booleans take the texts.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let document: Option<Value> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| format!("{} is not valid YAML: {error}", path.display()))?;
    match document.unwrap_or_default() {
        Value::Null => {}
        Value::Object(root) => flatten(&root, "", path, given, errors),
        _ => return Err(format!("{} holds no mapping of settings", path.display())),
    }
    Ok(())
}

/// Walks the sections of a file. A key without a value counts as not given.
fn flatten(
    section: &Map<String, Value>,
    prefix: &str,
    path: &Path,
    given: &mut GivenByKey,
    errors: &mut Vec<String>,
) {
    for (name, value) in section {
        let key = format!("{prefix}{name}");
        let inner = format!("{key}.");
        if let Some(row) = SETTINGS.iter().find(|row| row.key == key) {
            if !value.is_null() {
                let origin = format!("{key} in {}", path.display());
                given.insert(row.key, Given { value: value.clone(), origin });
            }
        } else if SETTINGS.iter().any(|row| row.key.starts_with(&inner)) {
            match value {
                Value::Null => {}
                Value::Object(section) => flatten(section, &inner, path, given, errors),
                _ => errors.push(format!("{key} in {} must be a mapping", path.display())),
            }
        } else {
            let known = SETTINGS.iter().map(|row| row.key);
            errors.push(format!("unknown key {key:?} in {}{}", path.display(), suggestion(&key, known)));
        }
    }
}

fn refuse_unknown_variables(env: &BTreeMap<String, String>, errors: &mut Vec<String>) {
    let known = || SETTINGS.iter().filter_map(|row| row.variable).chain([CONFIG_VARIABLE]);
    for name in env.keys().filter(|name| name.starts_with("SMO_")) {
        if SERVICE_LINKS.iter().any(|prefix| name.starts_with(prefix)) || known().any(|known| known == name) {
            continue;
        }
        let ours = known().filter(|known| known.starts_with("SMO_"));
        errors.push(format!("unknown variable {name}{}", suggestion(name, ours)));
    }
}

/// Names the known name that is nearest to a wrong one.
fn suggestion<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    // A key without its section is a common slip, so the last part is compared as well.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &&str| {
        let whole = strsim::damerau_levenshtein(wrong, name);
        whole.min(strsim::damerau_levenshtein(&last(wrong), &last(name)) + 1)
    };
    known.min_by_key(distance).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn unused_variables(env: &BTreeMap<String, String>) -> Vec<String> {
    let switched_off = |value: &str| bool::parse(&Value::String(value.to_owned())) == Ok(false);
    UNUSED
        .iter()
        .filter(|name| env.get(**name).is_some_and(|value| !switched_off(value)))
        .map(|name| format!("{name} is set, but the feature it belongs to is not available yet"))
        .collect()
}

/// What cannot be seen at one setting alone, and bounds of values.
fn check(settings: &Settings, errors: &mut Vec<String>) {
    let (calls, reconcile) = (&settings.calls, &settings.reconcile);
    let positive: [(&str, Duration); 12] = [
        ("stale_after", settings.stale_after),
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
        ("helm.parallel", settings.helm.parallel == 0),
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
    let monitoring = ("monitoring.namespace", settings.monitoring.namespace.as_str());
    for (key, name) in
        settings.namespace.as_deref().map(|name| ("namespace", name)).into_iter().chain([monitoring])
    {
        if !is_dns_label(name, 63) {
            errors.push(format!(
                "{}: {name:?} is no name of a namespace (at most 63 lower-case letters, digits and inner hyphens)",
                named(key)
            ));
        }
    }
    placement::check(&settings.placement, errors);
    scaling::check(&settings.scaling, errors);
    clusters::check(&settings.clusters, errors);
    if let Err(error) = EnvFilter::builder().parse(&settings.log.filter) {
        errors.push(format!("{}: {error}", named("log.filter")));
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
