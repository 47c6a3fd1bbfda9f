mod decisions;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::document::{SECTIONS, Section, group};
use crate::config::sources::Flag;
use crate::config::{Mode, example, reference};
use crate::hdag::{PARAMETERS, WEIGHTS};

const KARMADA: &str = "/home/u/.kube/karmada-apiserver.config";

/// A machine with these variables and files; every file holds its text.
fn load_with(env: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_with_flags(env, files, vec![])
}

fn load_with_flags(
    env: &[(&str, &str)],
    files: &[(&str, &str)],
    flags: Vec<Flag>,
) -> Result<Loaded, ConfigErrors> {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let read = |path: &Path| files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    load(Sources {
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        home: Some(PathBuf::from("/home/u")),
        config_file: None,
        flags,
        read: &read,
    })
}

fn settings(env: &[(&str, &str)], files: &[(&str, &str)]) -> Settings {
    load_with(env, files).unwrap().settings
}

fn errors(env: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
    load_with(env, files).unwrap_err().0
}

fn with_file(text: &str) -> Settings {
    settings(&[("SMO_CONFIG", "/etc/smo.yaml")], &[("/etc/smo.yaml", text)])
}

fn shown(settings: &Settings) -> Vec<(&'static str, Value)> {
    SETTINGS.iter().map(|row| (row.key, (row.show)(settings))).collect()
}

#[test]
fn without_anything_the_simulation_runs_with_the_defaults() {
    let loaded = load_with(&[], &[]).unwrap();
    assert_eq!(shown(&loaded.settings), shown(&Settings::default()));
    assert_eq!(loaded.settings.mode, Mode::Simulated);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_example_file_states_the_defaults_and_every_key() {
    let example = &example();
    // The mode and the kubeconfigs depend on the machine; the example leaves them open.
    assert_eq!(shown(&with_file(example)), shown(&Settings::default()));
    let document: Value = serde_saphyr::from_str(example).unwrap();
    for row in SETTINGS {
        let pointer = format!("/{}", row.key.replace('.', "/"));
        assert!(document.pointer(&pointer).is_some(), "{} is missing in the example", row.key);
    }
}

#[test]
fn the_effective_settings_can_be_used_as_a_file() {
    let original = settings(
        &[
            ("SMO_WAIT", "90s"),
            ("SMO_RULE_LABELS", "a=b"),
            ("SMO_NAMESPACE", "apps"),
            ("SMO_LOG_FORMAT", "json"),
        ],
        &[],
    );
    assert_eq!(shown(&with_file(&original.to_yaml())), shown(&original));
}

#[test]
fn later_layers_win() {
    let file = [("/etc/smo.yaml", "wait: 10\nlisten: 127.0.0.1:1\ncalls: {attempts: 7}\n")];
    let env = [("SMO_CONFIG", "/etc/smo.yaml"), ("SMO_WAIT", "20"), ("SMO_LISTEN", "127.0.0.1:2")];
    let flag = Flag { name: "--listen", key: "listen", value: "127.0.0.1:3".to_owned() };
    let settings = load_with_flags(&env, &file, vec![flag]).unwrap().settings;
    assert_eq!(settings.calls.attempts, 7);
    assert_eq!(settings.wait, Duration::from_secs(20));
    assert_eq!(settings.listen.port(), 3);
}

#[test]
fn every_variable_reaches_its_setting() {
    let external = "scaling: {external: {other: {url: host}}}";
    let files = [("/k", ""), ("/etc/smo.yaml", external)];
    for row in SETTINGS {
        let Some(variable) = row.variable else { continue };
        let text = match row.key {
            "listen" => "0.0.0.0:1234",
            "database_url" => "sqlite://other.db",
            "mode" => "simulated",
            "monitoring.rule_labels" => "other=label",
            "monitoring.prometheus_url" => "http://prom:9090",
            "monitoring.reload" => "false",
            "helm.plain_http" => "true",
            "legacy_get" => "false",
            "helm.repositories" => "https://me:secret@charts.example",
            "placement.strategy" | "placement.replacement_strategy" => "cost",
            "scaling.strategy" => "other",
            "scaling.compat" => "original",
            "scaling.query" => "up",
            "scaling.target_utilisation" => "0.5",
            "scaling.rate_label" => "job",
            "scaling.when_absent" => "zero",
            // Other names of what other rows show.
            "scaling.tolerance" | "scaling.cooldown" => continue,
            "placement.strict" | "scaling.enabled" => "true",
            "log.format" => "json",
            "log.filter" => "debug",
            key if key.ends_with("kubeconfig") => "/k",
            "reconcile.backoff_first" => "7",
            _ => "77",
        };
        let base = [("SMO_MODE", "simulated"), ("SMO_CONFIG", "/etc/smo.yaml")];
        let settings = settings(&[base[0], base[1], (variable, text)], &files);
        let shown = (row.show)(&settings);
        let default = (row.show)(&Settings::default());
        assert!(row.key == "mode" || shown != default, "{variable} had no effect");
    }
}

#[test]
fn empty_variables_count_as_unset() {
    assert_eq!(
        shown(&settings(&[("SMO_WAIT", ""), ("KARMADA_KUBECONFIG", " ")], &[])),
        shown(&Settings::default())
    );
}

#[test]
fn an_empty_file_and_empty_sections_change_nothing() {
    for text in ["", "# nothing\n", "calls:\nwait:\n"] {
        assert_eq!(shown(&with_file(text)), shown(&Settings::default()), "{text:?}");
    }
}

#[test]
fn unknown_names_are_refused_and_the_nearest_known_is_named() {
    let file = [("/etc/smo.yaml", "calls: {deadlin: 3}\ndeadline: 4\n")];
    let env = [
        ("SMO_CONFIG", "/etc/smo.yaml"),
        ("SMO_WIAT", "3"),
        ("SMO_PORT_8000_TCP", "x"),
        ("SMO_SERVICE_HOST", "y"),
        ("SMO_URL", "http://127.0.0.1:8000"),
        ("SMO_TESTBED_DIR", "/tmp/bed"),
    ];
    assert_eq!(
        errors(&env, &file),
        [
            "unknown variable SMO_WIAT; did you mean SMO_WAIT?",
            "unknown key \"calls.deadlin\" in /etc/smo.yaml; did you mean calls.deadline?",
            "unknown key \"deadline\" in /etc/smo.yaml; did you mean calls.deadline?",
        ]
    );
}

#[test]
fn all_faults_are_reported_at_once() {
    let found = errors(
        &[
            ("SMO_WAIT", "soon"),
            ("SMO_LISTEN", "here"),
            ("SMO_HELM_PARALLEL", "0"),
            ("SMO_NAMESPACE", "No_Label"),
        ],
        &[],
    );
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().any(|error| error.starts_with("SMO_WAIT: \"soon\" is not a duration")), "{found:?}");
}

#[test]
fn a_file_that_is_missing_or_no_yaml_is_an_error() {
    let missing = errors(&[("SMO_CONFIG", "/none.yaml")], &[]);
    assert!(missing[0].starts_with("SMO_CONFIG: cannot read /none.yaml"), "{missing:?}");
    let broken = errors(&[("SMO_CONFIG", "/b.yaml")], &[("/b.yaml", "wait: [1")]);
    assert!(broken[0].contains("/b.yaml is not valid YAML"), "{broken:?}");
}

#[test]
fn any_setting_of_a_real_system_means_real_and_needs_karmadas_kubeconfig() {
    for variable in ["PROMETHEUS_HOST", "NFVCL_BASE_URL", "GRAFANA_HOST"] {
        let found = errors(&[(variable, "host")], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(KARMADA) && found[0].contains(variable), "{found:?}");
    }
    let found = errors(&[("KARMADA_KUBECONFIG", "typo.config")], &[(KARMADA, "")]);
    assert!(found[0].starts_with("KARMADA_KUBECONFIG: cannot read /home/u/.kube/typo.config"), "{found:?}");
}

#[test]
fn the_database_is_no_setting_of_a_real_system() {
    assert_eq!(settings(&[("DATABASE_URL", "postgres://h/smo")], &[]).mode, Mode::Simulated);
    assert_eq!(settings(&[("DB_HOST", "h")], &[]).mode, Mode::Simulated);
}

#[test]
fn a_kubeconfig_at_the_originals_place_means_real() {
    let real = settings(&[], &[(KARMADA, "")]);
    assert_eq!(real.mode, Mode::Real);
    assert_eq!(real.karmada.kubeconfig.unwrap().path, Path::new(KARMADA));
    assert_eq!(real.monitoring.kubeconfig, None);
}

#[test]
fn a_stated_mode_is_obeyed() {
    let simulated = settings(&[("SMO_MODE", "simulated"), ("PROMETHEUS_HOST", "prom")], &[(KARMADA, "")]);
    assert_eq!(simulated.mode, Mode::Simulated);
    assert_eq!(simulated.karmada.kubeconfig, None);
    assert_eq!(simulated.monitoring.prometheus_url.as_deref(), Some("http://prom"));
    let found = errors(&[("SMO_MODE", "real")], &[]);
    assert!(found[0].contains(KARMADA), "{found:?}");
    assert_eq!(settings(&[("SMO_MODE", "real")], &[(KARMADA, "")]).mode, Mode::Real);
}

#[test]
fn kubeconfigs_are_names_under_the_home_folder_or_absolute_paths() {
    let files = [("/home/u/.kube/k", ""), ("/m", ""), ("/home/u/.kube/config", "")];
    let real = settings(&[("KARMADA_KUBECONFIG", "k"), ("MONITORING_KUBECONFIG", "/m")], &files);
    assert_eq!(real.karmada.kubeconfig.unwrap().path, Path::new("/home/u/.kube/k"));
    assert_eq!(real.monitoring.kubeconfig.unwrap().path, Path::new("/m"));
    assert_eq!(real.submariner.kubeconfig.unwrap().path, Path::new("/home/u/.kube/config"));
}

#[test]
fn the_monitoring_cluster_is_that_of_the_default_kubeconfig() {
    let files = [(KARMADA, ""), ("/x", ""), ("/home/u/.kube/config", "")];
    let path = |env: &[(&str, &str)]| settings(env, &files).monitoring.kubeconfig.map(|config| config.path);
    assert_eq!(path(&[]), Some(PathBuf::from("/home/u/.kube/config")));
    assert_eq!(path(&[("KUBECONFIG", "/x:/y")]), Some(PathBuf::from("/x")));
    assert_eq!(path(&[("KUBECONFIG", "/missing")]), None);
}

#[test]
fn the_database_follows_the_data_folder_and_the_originals_variables() {
    let url = |env: &[(&str, &str)]| settings(env, &[]).database_url;
    assert_eq!(url(&[("SMO_DATA_DIR", "/var/lib/smo")]), "sqlite:///var/lib/smo/smo.db");
    assert_eq!(url(&[("DB_USER", "u")]), "postgres://u:password@localhost:5432/smo");
    assert_eq!(url(&[("DB_USER", "u"), (database::WHOLE[0], "sqlite:///a.db")]), "sqlite://a.db");
    assert_eq!(url(&[("DB_USER", "u"), ("DATABASE_URL", "sqlite://b.db")]), "sqlite://b.db");
}

#[test]
fn every_variable_of_the_fork_is_understood() {
    let env = [
        ("HOME", "/home/u"),
        ("DB_USER", "u"),
        ("DB_PASSWORD", "p"),
        ("DB_HOST", "db"),
        ("DB_PORT", "6000"),
        ("DB_NAME", "n"),
        ("KARMADA_KUBECONFIG", "karmada-apiserver.config"),
        ("GRAFANA_HOST", "http://grafana"),
        ("GRAFANA_USERNAME", "admin"),
        ("GRAFANA_PASSWORD", "x"),
        ("PROMETHEUS_HOST", "http://prometheus:9090"),
        ("SCALING_INTERVAL", "30"),
        ("SCALING_ENABLED", "Y"),
        ("INSECURE_REGISTRY", "y"),
        ("DOTENV_PATH", "/etc/flask.env"),
    ];
    let loaded = load_with(&env, &[(KARMADA, "")]).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.database_url, "postgres://u:p@db:6000/n");
    assert_eq!(settings.karmada.kubeconfig.as_ref().unwrap().path, Path::new(KARMADA));
    assert_eq!(settings.monitoring.prometheus_url.as_deref(), Some("http://prometheus:9090"));
    assert_eq!(settings.scaling.interval, Duration::from_secs(30));
    assert!(settings.scaling.enabled && settings.helm.plain_http);
    assert!(loaded.warnings.iter().all(|warning| warning.starts_with("GRAFANA_")), "{:?}", loaded.warnings);
    let url = [env.as_slice(), &[("SQLALCHEMY_URI", "postgresql://whole/n")]].concat();
    assert_eq!(load_with(&url, &[(KARMADA, "")]).unwrap().settings.database_url, "postgresql://whole/n");
}

#[test]
fn secrets_are_never_shown() {
    let loaded = load_with(
        &[("DB_PASSWORD", "hush-1"), ("PROMETHEUS_HOST", "http://u:hush-2@p"), ("SMO_MODE", "simulated")],
        &[],
    )
    .unwrap();
    let settings = &loaded.settings;
    let shown = format!("{loaded:?} {} {:?}", settings.to_yaml(), settings.monitoring);
    assert!(settings.database_url.contains("hush-1"), "the password was lost");
    assert!(shown.contains("root:***@localhost") && shown.contains("u:***@p"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn features_of_the_original_that_are_missing_are_warned_of() {
    let env = [("GRAFANA_USERNAME", "admin"), ("GRAFANA_PASSWORD", "x")];
    let warnings = load_with(&env, &[]).unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(load_with(&[("GRAFANA_USERNAME", "False")], &[]).unwrap().warnings.is_empty());
}

#[test]
fn examples_of_values_can_be_read_and_differ_from_the_default() {
    for row in SETTINGS {
        let Some(example) = row.example else { continue };
        let value: Value = serde_saphyr::from_str(example).unwrap();
        let mut settings = Settings::default();
        (row.apply)(&mut settings, &value).unwrap();
        assert_ne!((row.show)(&settings), (row.show)(&Settings::default()), "{}", row.key);
    }
}

#[test]
fn the_meaning_of_weights_and_parameters_names_them_all() {
    let names = [
        ("placement.weights", WEIGHTS.names().collect::<Vec<_>>()),
        ("placement.limits", PARAMETERS.names().collect()),
    ];
    for (key, names) in names {
        let row = SETTINGS.iter().find(|row| row.key == key).unwrap();
        for name in names {
            assert!(row.meaning.contains(&format!("`{name}`")), "{key}: {name}");
        }
    }
}

#[test]
fn settings_of_one_group_stand_together_and_sections_follow_their_order() {
    let mut groups: Vec<&str> = SETTINGS.iter().map(|row| group(row.key)).collect();
    groups.dedup();
    assert_eq!(groups.len(), groups.iter().collect::<BTreeSet<_>>().len(), "{groups:?}");
    let position = |section: &Section| groups.iter().position(|group| *group == section.group);
    let positions: Vec<Option<usize>> = SECTIONS.iter().map(position).collect();
    assert!(positions.is_sorted() && positions[0] == Some(0), "{positions:?}");
}

#[test]
fn the_documentation_has_every_setting_and_no_line_of_prose_is_too_long() {
    let page = reference();
    for row in SETTINGS {
        let variable = row.variable.map_or_else(String::new, |name| format!("`{name}`"));
        assert!(page.contains(&format!("| {variable} | `{}` |", row.key)), "{}", row.key);
    }
    let long: Vec<&str> =
        page.lines().filter(|line| !line.starts_with('|') && line.chars().count() > 120).collect();
    assert!(long.is_empty(), "{long:?}");
    let example = example();
    let long: Vec<&str> = example.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn a_descriptor_can_be_checked_on_a_machine_without_karmada() {
    let read = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let env = BTreeMap::from([("KARMADA_KUBECONFIG".to_owned(), "/none".to_owned())]);
    let sources = Sources { env, home: None, config_file: None, flags: vec![], read: &read };
    assert!(language(&sources).is_ok());
    assert!(load(sources).is_err());
}

#[test]
fn numbers_have_bounds() {
    assert!(u32::parse(&Value::from(-1)).is_err());
    assert_eq!(errors(&[("SMO_BREAKER_THRESHOLD", "99999999999")], &[]).len(), 1);
}
