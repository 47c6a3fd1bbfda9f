//! The list of all settings.
//!
//! Nothing else in the crate names a key or a variable of a setting to read or to show it. The documentation
//! (`smo config --reference`) and the example file (`smo config --example`) are printed from this list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::database;
use super::intent_rules::with_default_rules;
use super::scaling::ScalingProfile;
use super::setting::{Setting, row};
use super::strategies::{parse_externals, show_externals};
use super::value::{Parse, http_url, without_password};
use crate::hdag::utilisation_of_tolerance;

/// All settings, in the order of the documentation.
pub(super) const SETTINGS: &[Setting] = &[
    row!("listen", Some("SMO_LISTEN"), listen, "Address and port to listen on."),
    row!(
        "legacy_get",
        Some("SMO_LEGACY_GET"),
        legacy_get,
        "Whether `GET /graphs/NAME/start`, `/stop` and `/placement` change graphs, as in the original; POST does so in \
         any case."
    ),
    row!(
        "data_dir",
        Some("SMO_DATA_DIR"),
        data_dir,
        "Folder for what is kept without PostgreSQL, and for Helm's homes and locks."
    ),
    Setting::new(
        "database_url",
        Some("DATABASE_URL"),
        "Database: `postgres://USER:PASSWORD@HOST:5432/NAME` or `sqlite://FILE`.",
        |settings, value| {
            settings.database_url = database::url(value)?;
            Ok(())
        },
        |settings| json!(without_password(&settings.database_url)),
    )
    .derived_default("`smo.db` in the data folder"),
    row!(
        "wait",
        Some("SMO_WAIT"),
        wait,
        "How long a deploy, placement, start, stop or delete waits for completion before it answers 202. After a \
         start of the server, deploys wait and `/readyz` answers 503 until the clusters have been listed for the \
         first time, but no longer than this."
    ),
    row!(
        "stale_after",
        Some("SMO_STALE_AFTER"),
        stale_after,
        "Age at which the observed state of clusters, releases, workloads or alert rules is too old to act on."
    ),
    row!(
        "namespace",
        Some("SMO_NAMESPACE"),
        namespace,
        "Namespace of the releases of all graphs; without it each graph uses the name of its project."
    ),
    row!(
        "installation",
        Some("SMO_INSTALLATION"),
        installation,
        "Id of this installation, by which several of them on one Karmada leave each other's releases and rules alone; \
         by default an id stored in the database."
    ),
    row!(
        "http.head_timeout",
        Some("SMO_HTTP_HEAD_TIMEOUT"),
        http.head_timeout,
        "How long a connection may take until it has sent the head of its first or next request; then it is closed. \
         Slow heads and idle connections end so. Longer than a reverse proxy keeps its idle connections."
    ),
    row!(
        "http.body_timeout",
        Some("SMO_HTTP_BODY_TIMEOUT"),
        http.body_timeout,
        "How long the body of a request may take to arrive (then 408), and how long data of an answer may stay untaken \
         by the client before its connection is cut. Waiting for work (`wait`) is not limited by it."
    ),
    row!(
        "http.max_connections",
        Some("SMO_HTTP_MAX_CONNECTIONS"),
        http.max_connections,
        "Connections that are served at the same time; each needs a file descriptor. A few more are answered 503, but for \
         `/healthz`, `/readyz` and `/metrics`; further ones wait."
    ),
    row!(
        "http.max_requests",
        Some("SMO_HTTP_MAX_REQUESTS"),
        http.max_requests,
        "Requests that are handled at the same time, those that wait for their work (`wait`) included; further ones are \
         answered 503, but for `/healthz`, `/readyz` and `/metrics`."
    ),
    row!("mode", Some("SMO_MODE"), mode, "`real`: nothing is simulated. `simulated`: a system without a setting is.")
        .derived_default("depends on the settings below"),
    row!(
        "karmada.kubeconfig",
        Some("KARMADA_KUBECONFIG"),
        karmada.kubeconfig,
        "Kubeconfig of Karmada's API server; in real mode `karmada-apiserver.config` by default."
    ),
    row!(
        "karmada.gpu_label",
        Some("SMO_GPU_LABEL"),
        karmada.gpu_label,
        "Label of a Cluster that marks it as having GPUs (any value but `false`), besides `*.com/gpu` resources."
    ),
    row!(
        "submariner.kubeconfig",
        Some("SUBMARINER_KUBECONFIG"),
        submariner.kubeconfig,
        "Kubeconfig of Submariner's broker; in real mode `config` by default, when that file exists. Pod and service \
         networks are unknown without it."
    ),
    row!(
        "submariner.broker_namespace",
        Some("SMO_SUBMARINER_BROKER_NAMESPACE"),
        submariner.broker_namespace,
        "Namespace of the broker's Cluster objects."
    ),
    row!(
        "submariner.gateway_namespace",
        Some("SMO_SUBMARINER_GATEWAY_NAMESPACE"),
        submariner.gateway_namespace,
        "Namespace of Submariner's Gateway objects in each member."
    ),
    row!(
        "monitoring.kubeconfig",
        Some("MONITORING_KUBECONFIG"),
        monitoring.kubeconfig,
        "Kubeconfig of the cluster of prometheus-operator, which conditional services need; in real mode the default \
         kubeconfig, when it exists."
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
        "Labels of the PrometheusRule objects, matching the operator's `ruleSelector`; in the variable \
         `name=value,name=value`."
    ),
    Setting::new(
        "monitoring.prometheus_url",
        Some("PROMETHEUS_HOST"),
        "Base URL of Prometheus; `http://` may be left out.",
        |settings, value| {
            settings.monitoring.prometheus_url = Some(http_url(value)?);
            Ok(())
        },
        |settings| json!(settings.monitoring.prometheus_url.as_deref().map(without_password)),
    ),
    row!(
        "monitoring.reload",
        Some("SMO_PROMETHEUS_RELOAD"),
        monitoring.reload,
        "Whether to call Prometheus' `/-/reload` after a change of rules."
    ),
    row!(
        "monitoring.rules_loaded_within",
        Some("SMO_RULES_LOADED_WITHIN"),
        monitoring.rules_loaded_within,
        "How long Prometheus may take to load the rules of a graph before its condition `RulesPublished` becomes false."
    ),
    row!(
        "monitoring.severity",
        Some("SMO_ALERT_SEVERITY"),
        monitoring.severity,
        "Value of the label `severity` of alerts."
    ),
    row!(
        "monitoring.alerts_query",
        Some("SMO_ALERTS_QUERY"),
        monitoring.alerts_query,
        "Query that gives the alerts that fire, with the labels `alertname`, `graph` and `service`."
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
        "Helm operations that install or upgrade at the same time; charts of one registry take three quarters of them at \
         most."
    ),
    row!(
        "helm.parallel_removals",
        Some("SMO_HELM_PARALLEL_REMOVALS"),
        helm.parallel_removals,
        "Helm operations that uninstall at the same time, besides those."
    ),
    row!(
        "helm.allowed_kinds",
        Some("SMO_HELM_ALLOWED_KINDS"),
        helm.allowed_kinds,
        "Kinds of objects that charts may bring although they would act on Karmada itself, such as ClusterRoleBinding."
    ),
    row!(
        "helm.repositories",
        Some("SMO_HELM_REPOSITORIES"),
        helm.repositories,
        "Chart repositories over HTTP that want a login, as https://USER:PASSWORD@HOST/PATH; the login is used for \
         everything below that URL, and for nothing else."
    ),
    row!(
        "labels.installation",
        Some("SMO_INSTALLATION_LABEL"),
        labels.installation,
        "Label of releases, policies and PrometheusRules that says which installation made them."
    ),
    row!(
        "labels.graph",
        Some("SMO_GRAPH_LABEL"),
        labels.graph,
        "Label that says to which graph they belong."
    ),
    row!(
        "labels.digest",
        Some("SMO_DIGEST_LABEL"),
        labels.digest,
        "Label of releases that holds the digest of what was applied."
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
        "Calls in a row without an answer (unreachable or timed out) that open a circuit breaker; each system, \
         chart registry and external program (strategy or intent handler) has its own."
    ),
    row!("calls.breaker_open", Some("SMO_BREAKER_OPEN"), calls.breaker_open, "How long an open circuit breaker refuses calls before it lets one through."),
    row!(
        "reconcile.workers",
        Some("SMO_WORKERS"),
        reconcile.workers,
        "Graphs that are worked on at the same time. One that waits for Helm does not count."
    ),
    row!(
        "reconcile.resync",
        Some("SMO_RESYNC"),
        reconcile.resync,
        "Interval at which a graph in its desired state is reconciled again."
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
        "Interval at which clusters are listed, besides being watched."
    ),
    row!(
        "reconcile.cluster_max_age",
        Some("SMO_CLUSTER_MAX_AGE"),
        reconcile.cluster_max_age,
        "Age up to which a reading of the clusters answers `GET /clusters`; requests that come while Karmada is asked share the \
         answer in any case. 0 asks it for each."
    ),
    row!(
        "reconcile.latency_sync",
        Some("SMO_LATENCY_SYNC"),
        reconcile.latency_sync,
        "Interval at which round-trip times between clusters are read from Submariner's gateways, through Karmada's \
         proxy of the members (needs the right to `get` `clusters/proxy`)."
    ),
    row!(
        "reconcile.alert_poll",
        Some("SMO_ALERT_POLL"),
        reconcile.alert_poll,
        "Interval at which Prometheus is queried for firing alerts, in case a webhook was lost."
    ),
    row!(
        "reconcile.shutdown_grace",
        Some("SMO_SHUTDOWN_GRACE"),
        reconcile.shutdown_grace,
        "How long a shutdown waits for operations in progress."
    ),
    row!(
        "placement.settle",
        Some("SMO_SETTLE"),
        placement.settle,
        "How long after a change of a graph its resources stay reserved, because its clusters' reports may be older."
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
        "Strategy for graphs that are already placed."
    ),
    row!(
        "placement.projects",
        None,
        placement.projects,
        "Strategies of single projects, by name; they win over the two above."
    )
    .example("demo: {strategy: cost, replacement_strategy: cost}"),
    row!(
        "placement.shadow",
        None,
        placement.shadow,
        "Strategies that decide every placement that is carried out as well, after it and beside it: recorded and never \
         applied. `GET /graphs/NAME/decisions?shadow=true` compares them with the real ones."
    )
    .example("[cost, green]"),
    row!(
        "placement.strict",
        Some("SMO_PLACEMENT_STRICT"),
        placement.strict,
        "Refuse a placement whose requirements cannot be verified (unknown latency or attribute) instead of warning."
    ),
    row!(
        "placement.weights",
        None,
        placement.weights,
        "Weights of the objective that differ from the strategy's own: `moves`, `activation`, `price`, `carbon`, \
         `latency`, `balance`."
    )
    .example("price: 2"),
    row!(
        "placement.limits",
        None,
        placement.limits,
        "How hard decisions may try: `max_deadline` of any decision, `max_iterations` that may be asked for, and the \
         parameters that differ from their defaults: `seed`, `iterations`, `deadline_ms`, `exact_cells`, `ultralow_ms`, \
         `neighbour_ms`, `unknown_latency_ms`, `balance_above`."
    )
    .example("neighbour_ms: 15"),
    row!(
        "placement.solve_queue",
        Some("SMO_SOLVE_QUEUE"),
        placement.solve_queue,
        "Decisions that may wait for a solver; further requests get 429."
    ),
    Setting::new(
        "placement.external",
        None,
        "Strategies over HTTP, by name; `deadline`, `fallback` and `handles` (paths of intents) may be left out.",
        |settings, value| {
            settings.placement.external = parse_externals(value)?;
            Ok(())
        },
        |settings| show_externals(&settings.placement.external),
    )
    .example("mine: {url: 'http://127.0.0.1:9000/place', deadline: 5s, fallback: first-fit}"),
    Setting::new(
        "placement.intents",
        None,
        "Rules that give intents beyond the information model a meaning; see docs/intents.md. They take the place of the \
         default rules of the same path.",
        |settings, value| {
            settings.placement.intents = with_default_rules(Vec::parse(value)?);
            Ok(())
        },
        |settings| settings.placement.intents.show(),
    )
    .example(
        "- path: energy_preference\n  value: renewable_high\n  require: {attribute: energy_class, one_of: [solar, wind]}\n  \
         weights: {carbon: 5}\n  strategy: green",
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
        "Whether graphs are scaled whose descriptors do not decide (`hdaGraph.smo.scaling.enabled`)."
    ),
    row!(
        "scaling.interval",
        Some("SCALING_INTERVAL"),
        scaling.interval,
        "Time between two ticks, each of which compares replicas with request rates."
    ),
    row!(
        "scaling.strategy",
        Some("SMO_SCALING_STRATEGY"),
        scaling.strategy,
        "Strategy that decides on replicas: `exact`, `threshold`, `steps` or an external one."
    ),
    row!(
        "scaling.compat",
        Some("SCALING_COMPAT"),
        scaling.compat,
        "`original` for the decisions of the original SMO, otherwise `none`."
    ),
    row!(
        "scaling.query",
        Some("SMO_SCALING_QUERY"),
        scaling.query,
        "Template of the query for request rates; `{label}` becomes the label that distinguishes services, `{services}` \
         their names as alternatives of a regular expression, `{window}` the window."
    ),
    row!(
        "scaling.rate_label",
        Some("SMO_SCALING_RATE_LABEL"),
        scaling.rate_label,
        "Label whose value is the name of the service, such as `service` or `job`."
    ),
    row!(
        "scaling.when_absent",
        Some("SMO_SCALING_WHEN_ABSENT"),
        scaling.when_absent,
        "What counts while Prometheus answers and has no rate of a service: `hold` keeps its replicas, `zero` is no load."
    ),
    row!(
        "scaling.window",
        Some("SMO_SCALING_WINDOW"),
        scaling.window,
        "Time range over which rates are taken; 0 for the longer of the interval and four scrapes."
    ),
    row!(
        "scaling.scrape_interval",
        Some("SMO_SCRAPE_INTERVAL"),
        scaling.scrape_interval,
        "Interval at which Prometheus scrapes the services."
    ),
    Setting::new(
        "scaling.cooldown",
        Some("SMO_SCALING_COOLDOWN"),
        "Deprecated name of `scaling.stabilisation`, which wins.",
        |settings, value| {
            settings.scaling.stabilisation = Parse::parse(value)?;
            Ok(())
        },
        |_| Value::Null,
    )
    .derived_default("`scaling.stabilisation`"),
    row!(
        "scaling.stabilisation",
        Some("SMO_SCALING_STABILISATION"),
        scaling.stabilisation,
        "For how long replicas that were needed are kept when the load falls."
    ),
    row!(
        "scaling.up_cooldown",
        Some("SMO_SCALING_UP_COOLDOWN"),
        scaling.up_cooldown,
        "Time after a change of a service's replicas during which they are not increased."
    ),
    row!(
        "scaling.step_up",
        None,
        scaling.step_up,
        "Largest change upwards in one tick: the larger of `replicas` and of `percent` of those there are; `{}` for any."
    ),
    row!("scaling.step_down", None, scaling.step_down, "Largest change downwards in one tick, likewise."),
    Setting::new(
        "scaling.tolerance",
        Some("SMO_SCALING_TOLERANCE"),
        "Deprecated: the target utilisation is 1 / (1 + tolerance); `scaling.target_utilisation` wins.",
        |settings, value| {
            settings.scaling.target_utilisation = utilisation_of_tolerance(Parse::parse(value)?)?;
            Ok(())
        },
        |_| Value::Null,
    )
    .derived_default("`scaling.target_utilisation`"),
    row!(
        "scaling.target_utilisation",
        Some("SMO_SCALING_TARGET_UTILISATION"),
        scaling.target_utilisation,
        "Share of their modelled capacity up to which replicas are used."
    ),
    row!(
        "scaling.weights",
        None,
        scaling.weights,
        "Weights of used CPU (`utilisation`) and of changed replicas (`change`). While `change` is the larger one, \
         replicas are never reduced."
    ),
    row!(
        "scaling.thresholds",
        None,
        scaling.thresholds,
        "Limits of the strategy `threshold`, as fractions of the replicas' capacity: more replicas above `high`, one less \
         below `low`."
    ),
    row!(
        "scaling.replacement_cooldown",
        Some("SMO_REPLACEMENT_COOLDOWN"),
        scaling.replacement_cooldown,
        "Time after a rescheduling for lack of capacity during which there is no other."
    ),
    row!(
        "scaling.history",
        Some("SMO_SCALING_HISTORY"),
        scaling.history,
        "Ticks that are kept of each graph."
    ),
    Setting::new(
        "scaling.external",
        None,
        "Strategies over HTTP, by name; `deadline`, `fallback` and `handles` (paths of intents) may be left out.",
        |settings, value| {
            settings.scaling.external = parse_externals(value)?;
            Ok(())
        },
        |settings| show_externals(&settings.scaling.external),
    )
    .example("mine: {url: 'http://127.0.0.1:9000/scale', deadline: 5s, fallback: exact}"),
    Setting::new(
        "scaling.profiles",
        None,
        "Capacity models by the name of the service, or of the chart (`HOST/PATH/CHART`), added to the default ones: `r` \
         replicas serve up to `alpha·r + beta` requests per second. Optional fields: `beta`, `min`, `max`, `window`, \
         `when_absent`, one of `rate_from` (another service), `from_callers` and `query` (a template); for the strategy \
         `steps` `up: {above, to}` and `down: {below, to}`, which do without `alpha`.",
        |settings, value| {
            settings.scaling.profiles.extend(BTreeMap::<String, ScalingProfile>::parse(value)?);
            Ok(())
        },
        |settings| settings.scaling.profiles.show(),
    ),
    row!("clusters", None, clusters, "Attributes of clusters by name; they win over labels.").example(
        "edge-1:\n  price_per_core_hour: 0.04\n  carbon_per_core_hour: 12.5\n  activation_cost: 20\n  region: be\n  \
         site: factory-1\n  energy_class: wind\n  trusted: true\n  latencies_ms: {cloud: 25}\n  labels: {owner: me}",
    ),
    row!("cluster_labels", None, cluster_labels, "Labels of Karmada's Cluster objects that carry attributes."),
    row!("intents", None, intents, "Amounts that the classes of a descriptor's compute intent stand for; classes can be added."),
    row!("limits", None, limits, "Maximum size of a descriptor."),
    Setting::new(
        "log.format",
        Some("SMO_LOG_FORMAT"),
        "`text` or `json` (one object per line).",
        |settings, value| {
            settings.log.json = match String::parse(value)?.as_str() {
                "text" => false,
                "json" => true,
                other => return Err(format!("{other:?} is neither text nor json")),
            };
            Ok(())
        },
        |settings| json!(if settings.log.json { "json" } else { "text" }),
    ),
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
        "YAML file with the clusters of the simulated continuum, instead of the built-in one."
    ),
    row!(
        "kill_at_step",
        Some("SMO_KILL_AT_STEP"),
        kill_at_step,
        "For tests of crash safety: the server kills itself at the n-th numbered step."
    ),
];
