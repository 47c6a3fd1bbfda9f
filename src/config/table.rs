//! The list of all settings.
//!
//! A row names the key in a configuration file and the variable, says what the setting means, and knows how to
//! read and how to show it. Nothing else in the crate names a key or a variable of a setting.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::strategies::{parse_externals, show_externals};
use super::value::{Parse, http_url, without_password};
use super::{ScalingProfile, Settings, database};

/// One setting.
pub(super) struct Setting {
    /// Key in a configuration file, sections separated by dots.
    pub(super) key: &'static str,
    /// Environment variable; `None` for what is too large for one.
    pub(super) variable: Option<&'static str>,
    /// What it means, for the table of the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation's table is checked by a test"))]
    pub(super) meaning: &'static str,
    /// Reads it.
    pub(super) apply: fn(&mut Settings, &Value) -> Result<(), String>,
    /// Shows it as a file would state it, passwords masked.
    pub(super) show: fn(&Settings) -> Value,
}

/// A row for a field that reads and shows itself.
macro_rules! row {
    ($key:literal, $variable:expr, $($field:ident).+, $meaning:literal) => {
        Setting {
            key: $key,
            variable: $variable,
            meaning: $meaning,
            apply: |settings, value| {
                settings.$($field).+ = Parse::parse(value)?;
                Ok(())
            },
            show: |settings| settings.$($field).+.show(),
        }
    };
}

/// All settings, in the order of the documentation.
pub(super) const SETTINGS: &[Setting] = &[
    row!("listen", Some("SMO_LISTEN"), listen, "Address and port to listen on."),
    row!(
        "data_dir",
        Some("SMO_DATA_DIR"),
        data_dir,
        "Folder for what is kept without PostgreSQL, and for Helm's homes and locks."
    ),
    Setting {
        key: "database_url",
        variable: Some("DATABASE_URL"),
        meaning: "`postgres://…` or `sqlite://…`; without it a SQLite file in the data folder.",
        apply: |settings, value| {
            settings.database_url = database::url(value)?;
            Ok(())
        },
        show: |settings| json!(without_password(&settings.database_url)),
    },
    row!("mode", Some("SMO_MODE"), mode, "`real` or `simulated`; see \"Real or simulated\"."),
    row!(
        "wait",
        Some("SMO_WAIT"),
        wait,
        "How long a deploy, start, stop or delete waits for its work before it answers 202."
    ),
    row!(
        "stale_after",
        Some("SMO_STALE_AFTER"),
        stale_after,
        "Age from which the known state of the clusters is too old to decide on."
    ),
    row!(
        "namespace",
        Some("SMO_NAMESPACE"),
        namespace,
        "One namespace for the releases of all graphs instead of the project's name."
    ),
    row!(
        "karmada.kubeconfig",
        Some("KARMADA_KUBECONFIG"),
        karmada.kubeconfig,
        "Kubeconfig of Karmada's API server. In real mode `karmada-apiserver.config` by default."
    ),
    row!(
        "karmada.gpu_label",
        Some("SMO_GPU_LABEL"),
        karmada.gpu_label,
        "Label of a Cluster that says it has GPUs (any value but `false`), besides `*.com/gpu` resources."
    ),
    row!(
        "submariner.kubeconfig",
        Some("SUBMARINER_KUBECONFIG"),
        submariner,
        "Kubeconfig of Submariner's broker. In real mode `config` by default, when that file exists."
    ),
    row!(
        "monitoring.kubeconfig",
        Some("MONITORING_KUBECONFIG"),
        monitoring.kubeconfig,
        "Kubeconfig of the cluster of prometheus-operator. In real mode the default kubeconfig, when it exists."
    ),
    row!(
        "monitoring.namespace",
        Some("SMO_MONITORING_NAMESPACE"),
        monitoring.namespace,
        "Namespace of the PrometheusRule objects."
    ),
    row!(
        "monitoring.rule_labels",
        Some("SMO_RULE_LABELS"),
        monitoring.rule_labels,
        "Labels of the PrometheusRule objects, as the operator's `ruleSelector` wants them; in the variable \
         `name=value,name=value`."
    ),
    Setting {
        key: "monitoring.prometheus_url",
        variable: Some("PROMETHEUS_HOST"),
        meaning: "Base URL of Prometheus; `http://` may be left out.",
        apply: |settings, value| {
            settings.monitoring.prometheus_url = Some(http_url(value)?);
            Ok(())
        },
        show: |settings| json!(settings.monitoring.prometheus_url.as_deref().map(without_password)),
    },
    row!(
        "monitoring.reload",
        Some("SMO_PROMETHEUS_RELOAD"),
        monitoring.reload,
        "Whether to call Prometheus' `/-/reload` after rules changed."
    ),
    row!(
        "monitoring.severity",
        Some("SMO_ALERT_SEVERITY"),
        monitoring.severity,
        "Value of the label `severity` of alerts."
    ),
    row!("helm.bin", Some("HELM_BIN"), helm.bin, "Name or path of the Helm program (3 or 4)."),
    row!(
        "helm.plain_http",
        Some("INSECURE_REGISTRY"),
        helm.plain_http,
        "Speak plain HTTP to the registry of the charts."
    ),
    row!(
        "helm.parallel",
        Some("SMO_HELM_PARALLEL"),
        helm.parallel,
        "Helm processes that may run at the same time."
    ),
    row!(
        "calls.deadline",
        Some("SMO_CALL_DEADLINE"),
        calls.deadline,
        "Deadline of a quick call to an outside system."
    ),
    row!(
        "calls.helm_deadline",
        Some("SMO_HELM_DEADLINE"),
        calls.helm_deadline,
        "Deadline of a Helm operation."
    ),
    row!(
        "calls.attempts",
        Some("SMO_CALL_ATTEMPTS"),
        calls.attempts,
        "Attempts of a quick call that fails transiently, the first included."
    ),
    row!(
        "calls.first_delay",
        Some("SMO_CALL_FIRST_DELAY"),
        calls.first_delay,
        "Delay before the second attempt; doubles, with jitter."
    ),
    row!(
        "calls.breaker_threshold",
        Some("SMO_BREAKER_THRESHOLD"),
        calls.breaker_threshold,
        "Consecutive failures after which a system is left alone."
    ),
    row!("calls.breaker_open", Some("SMO_BREAKER_OPEN"), calls.breaker_open, "How long it is left alone."),
    row!(
        "reconcile.resync",
        Some("SMO_RESYNC"),
        reconcile.resync,
        "A graph in its desired state is looked at again after this time."
    ),
    row!(
        "reconcile.backoff_first",
        Some("SMO_BACKOFF_FIRST"),
        reconcile.backoff_first,
        "First delay after a transient failure of a graph; doubles, with jitter."
    ),
    row!(
        "reconcile.backoff_max",
        Some("SMO_BACKOFF_MAX"),
        reconcile.backoff_max,
        "Longest delay after a transient failure of a graph."
    ),
    row!(
        "reconcile.cluster_sync",
        Some("SMO_CLUSTER_SYNC"),
        reconcile.cluster_sync,
        "How often clusters are read besides watching them."
    ),
    row!(
        "reconcile.latency_sync",
        Some("SMO_LATENCY_SYNC"),
        reconcile.latency_sync,
        "How often round-trip times between clusters are read from Submariner's gateways, through Karmada's proxy of \
         the members (needs the right to `get` `clusters/proxy`)."
    ),
    row!(
        "reconcile.alert_poll",
        Some("SMO_ALERT_POLL"),
        reconcile.alert_poll,
        "How often Prometheus is asked which alerts fire."
    ),
    row!(
        "reconcile.shutdown_grace",
        Some("SMO_SHUTDOWN_GRACE"),
        reconcile.shutdown_grace,
        "How long a shutdown waits for running operations."
    ),
    row!(
        "placement.settle",
        Some("SMO_SETTLE"),
        placement.settle,
        "How long after a change of a graph its use stays reserved, because its clusters' own reports may be older."
    ),
    row!(
        "placement.strategy",
        Some("SMO_PLACEMENT_STRATEGY"),
        placement.strategy,
        "Strategy for new graphs: `first-fit`, `min-moves`, `cost`, `green` or an external one."
    ),
    row!(
        "placement.replacement_strategy",
        Some("SMO_REPLACEMENT_STRATEGY"),
        placement.replacement_strategy,
        "Strategy for graphs that are placed already."
    ),
    row!(
        "placement.projects",
        None,
        placement.projects,
        "Strategies of single projects: `{project: {strategy, replacement_strategy}}`."
    ),
    row!(
        "placement.strict",
        Some("SMO_PLACEMENT_STRICT"),
        placement.strict,
        "Refuse what cannot be decided (no latency known, no attribute known) instead of warning."
    ),
    row!(
        "placement.weights",
        None,
        placement.weights,
        "Weights of the objective that differ from the strategy's own."
    ),
    row!(
        "placement.limits",
        None,
        placement.limits,
        "How hard decisions may try: `max_deadline` of any decision, `max_iterations` that may be asked for, and the parameters that differ from their defaults."
    ),
    row!(
        "placement.solve_queue",
        Some("SMO_SOLVE_QUEUE"),
        placement.solve_queue,
        "Decisions that may wait for a solver; further requests get 429."
    ),
    Setting {
        key: "placement.external",
        variable: None,
        meaning: "Strategies over HTTP: `{name: {url, deadline: 5s, fallback: first-fit, handles: [path]}}`.",
        apply: |settings, value| {
            settings.placement.external = parse_externals(value)?;
            Ok(())
        },
        show: |settings| show_externals(&settings.placement.external),
    },
    row!(
        "placement.intents",
        None,
        placement.intents,
        "What intents beyond the information model mean; see \"New intents\"."
    ),
    row!(
        "placement.intent_handlers",
        None,
        placement.intent_handlers,
        "Programs that say over HTTP what intents mean: `{name: {url, deadline: 5s, intents: [path]}}`."
    ),
    row!(
        "scaling.enabled",
        Some("SCALING_ENABLED"),
        scaling.enabled,
        "Whether graphs are scaled that do not say themselves."
    ),
    row!(
        "scaling.interval",
        Some("SCALING_INTERVAL"),
        scaling.interval,
        "Time between two looks at a graph's request rates."
    ),
    row!(
        "scaling.strategy",
        Some("SMO_SCALING_STRATEGY"),
        scaling.strategy,
        "Strategy that decides on replicas: `exact`, `threshold` or an external one."
    ),
    row!(
        "scaling.compat",
        Some("SCALING_COMPAT"),
        scaling.compat,
        "`original` for the decisions of the original SMO, else `none`."
    ),
    row!(
        "scaling.query",
        Some("SMO_SCALING_QUERY"),
        scaling.query,
        "Query for the request rates by the label `service`; `{services}` becomes their names, `{window}` the window."
    ),
    row!(
        "scaling.window",
        Some("SMO_SCALING_WINDOW"),
        scaling.window,
        "Over which time rates are taken; 0 for the longer of the interval and four scrapes."
    ),
    row!(
        "scaling.scrape_interval",
        Some("SMO_SCRAPE_INTERVAL"),
        scaling.scrape_interval,
        "How often Prometheus scrapes the services."
    ),
    row!(
        "scaling.cooldown",
        Some("SMO_SCALING_COOLDOWN"),
        scaling.cooldown,
        "Time after a change of a service's replicas in which they do not go down."
    ),
    row!(
        "scaling.up_cooldown",
        Some("SMO_SCALING_UP_COOLDOWN"),
        scaling.up_cooldown,
        "Time after a change of a service's replicas in which they do not go up."
    ),
    row!(
        "scaling.tolerance",
        Some("SMO_SCALING_TOLERANCE"),
        scaling.tolerance,
        "Share by which the rate must miss what the replicas can take before they change."
    ),
    row!(
        "scaling.weights",
        None,
        scaling.weights,
        "Weights of used CPU (`utilisation`) and of changed replicas (`change`)."
    ),
    row!(
        "scaling.thresholds",
        None,
        scaling.thresholds,
        "Marks of the strategy `threshold`, as shares of what the replicas can take: more above `high`, one less below `low`."
    ),
    row!(
        "scaling.replacement_cooldown",
        Some("SMO_REPLACEMENT_COOLDOWN"),
        scaling.replacement_cooldown,
        "Time after a re-placement for lack of room in which there is no other."
    ),
    row!(
        "scaling.history",
        Some("SMO_SCALING_HISTORY"),
        scaling.history,
        "Looks at its request rates that are kept of each graph."
    ),
    Setting {
        key: "scaling.external",
        variable: None,
        meaning: "Strategies over HTTP: `{name: {url, deadline: 5s, fallback: exact, handles: [path]}}`.",
        apply: |settings, value| {
            settings.scaling.external = parse_externals(value)?;
            Ok(())
        },
        show: |settings| show_externals(&settings.scaling.external),
    },
    Setting {
        key: "scaling.profiles",
        variable: None,
        meaning: "Capacity models of services by name, besides those that are there by default.",
        apply: |settings, value| {
            settings.scaling.profiles.extend(BTreeMap::<String, ScalingProfile>::parse(value)?);
            Ok(())
        },
        show: |settings| settings.scaling.profiles.show(),
    },
    row!("clusters", None, clusters, "Attributes of clusters by name; they win over labels."),
    row!("cluster_labels", None, cluster_labels, "Labels of clusters that state attributes."),
    row!("intents", None, intents, "Classes of the descriptor's intents in units."),
    row!("limits", None, limits, "How large a descriptor may be."),
    Setting {
        key: "log.format",
        variable: Some("SMO_LOG_FORMAT"),
        meaning: "`text` or `json` (one object per line).",
        apply: |settings, value| {
            settings.log.json = match String::parse(value)?.as_str() {
                "text" => false,
                "json" => true,
                other => return Err(format!("{other:?} is neither text nor json")),
            };
            Ok(())
        },
        show: |settings| json!(if settings.log.json { "json" } else { "text" }),
    },
    row!(
        "log.filter",
        Some("SMO_LOG"),
        log.filter,
        "What is logged, such as `info` or `info,smo::clients=debug`."
    ),
    row!(
        "simulation_file",
        Some("SMO_SIMULATION_FILE"),
        simulation_file,
        "YAML file with the clusters of the simulated continuum; without it the built-in one."
    ),
    row!(
        "kill_at_step",
        Some("SMO_KILL_AT_STEP"),
        kill_at_step,
        "For tests of crash safety: the server kills itself at the n-th step."
    ),
];

/// All settings as YAML.
pub(super) fn to_yaml(settings: &Settings) -> String {
    let mut root = Map::new();
    for row in SETTINGS {
        let value = (row.show)(settings);
        match row.key.split_once('.') {
            None => drop(root.insert(row.key.to_owned(), value)),
            Some((section, key)) => {
                let section = root.entry(section).or_insert_with(|| json!({}));
                if let Value::Object(section) = section {
                    section.insert(key.to_owned(), value);
                }
            }
        }
    }
    // Values of this kind can always be written; JSON is YAML too.
    serde_saphyr::to_string(&root).unwrap_or_else(|_| Value::Object(root).to_string())
}
