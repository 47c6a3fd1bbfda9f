//! Settings of placement, scaling and the attributes of clusters.

use serde_json::json;

use super::*;
use crate::config::{
    AttributeRequirement, ExternalStrategy, IntentRule, PlacementLimits, RuleTest, ScalingCompat,
    ScalingProfile,
};
use crate::hdag::{self, Format};
use crate::optimizer::placement::{self, AttributeTest};
use crate::optimizer::scaling;

fn faults(text: &str) -> Vec<String> {
    errors(&[("SMO_CONFIG", "/etc/smo.yaml")], &[("/etc/smo.yaml", text)])
}

const EVERYTHING: &str = r#"
placement:
  strategy: mine
  replacement_strategy: cost
  projects: {demo: {strategy: green}}
  strict: yes
  weights: {price: 2, carbon: "0.5"}
  limits: {seed: 7, neighbour_ms: 15, max_deadline: 2s, max_iterations: 5000}
  external: {mine: {url: "u:secret@h:9000/place", deadline: 200ms, fallback: cost}, other: {url: h}}
  intents:
    - {path: energy_preference, value: renewable_high, require: {attribute: energy_class, one_of: [wind, 5]},
       weights: {carbon: 5}, strategy: green}
    - {path: offload.policy, require: {attribute: distance, at_most: 2.5}}
    - {path: offload.any, value: true, require: {attribute: trusted, known: true}}
scaling:
  enabled: True
  interval: 5
  strategy: far
  compat: original
  window: 1m
  weights: {change: 0.4}
  thresholds: {low: 0.3}
  external: {far: {url: "http://h"}}
  profiles: {a: {alpha: 2}, b: {alpha: 1, beta: -0.5, min: 2, max: 4, query: 'x{service="{services}"}', window: 90s}}
clusters:
  edge-1: {price_per_core_hour: 0.04, region: be, trusted: true, latencies_ms: {cloud: 25}, labels: {owner: me}}
cluster_labels: {region: example.org/region}
"#;

fn external<B>(url: &str, deadline: u64, fallback: B) -> ExternalStrategy<B> {
    ExternalStrategy::new(url, Duration::from_millis(deadline), fallback)
}

#[test]
fn everything_can_be_stated_and_is_shown_as_it_can_be_read() {
    let settings = with_file(EVERYTHING);
    assert_eq!(shown(&with_file(EVERYTHING)), shown(&settings));
    let yaml = settings.to_yaml();
    assert!(!yaml.contains("secret") && !format!("{:?}", settings.placement).contains("secret"), "{yaml}");
    assert_eq!(with_file(&yaml).to_yaml(), yaml);
    let placement = &settings.placement;
    let PlacementLimits { max_deadline, max_iterations, .. } = &placement.limits;
    assert_eq!((*max_deadline, *max_iterations), (Duration::from_secs(2), 5000));
    assert_eq!(placement.projects["demo"].strategy, Some("green".into()));
    assert_eq!((placement.weights["carbon"], placement.limits.parameters["seed"]), (0.5, 7.0));
    assert_eq!(
        placement.external["mine"],
        external("http://u:secret@h:9000/place", 200, placement::BuiltIn::Cost)
    );
    assert_eq!(placement.external["other"], external("http://h", 5000, placement::BuiltIn::FirstFit));
    assert_eq!(settings.scaling.external["far"], external("http://h", 5000, scaling::BuiltIn::Exact));
    assert_eq!(settings.clusters["edge-1"].latencies_ms["cloud"], 25.0);
    assert_eq!(settings.cluster_labels.region, "example.org/region");
    assert_eq!(settings.cluster_labels.site, "smo.io/site");
}

#[test]
fn rules_of_intents_are_read_and_reach_the_language() {
    let settings = with_file(EVERYTHING);
    let rules = &settings.placement.intents;
    let defaults = rules.iter().filter(|rule| rule.path == "offload_policy").count();
    assert_eq!((rules.len(), defaults), (6, 3), "one path has rules of its own, the other the default ones");
    let rules = &rules[defaults..];
    let requires = |attribute: &str, test| {
        Some(AttributeRequirement { attribute: attribute.to_owned(), test: RuleTest::Attribute(test) })
    };
    let one_of = AttributeTest::OneOf(vec!["wind".to_owned(), "5".to_owned()]);
    assert_eq!(rules[0].require, requires("energy_class", one_of));
    assert_eq!(rules[1].require, requires("distance", AttributeTest::AtMost(2.5)));
    assert_eq!(rules[2].require, requires("trusted", AttributeTest::Known));
    let paths: Vec<&str> = settings.intents.mapped.iter().map(String::as_str).collect();
    assert_eq!(paths, ["energy_preference", "offload.any", "offload.policy", "offload_policy"]);
    let text = "hdaGraph: {id: g, hdaGraphIntent: {offload: {policy: edge}}, services: [{id: a, deployment: \
                {trigger: {auto: }}, artifact: {ociImage: 'oci://h/p/a'}}]}";
    let warnings =
        |mapping| hdag::parse(text, Format::Yaml, mapping, &settings.limits).unwrap().warnings.len();
    assert_eq!((warnings(&settings.intents), warnings(&Settings::default().intents)), (0, 1));
    let read = |_: &Path| Ok(EVERYTHING.to_owned());
    let config_file = Some(PathBuf::from("/etc/smo.yaml"));
    let sources = Sources { env: BTreeMap::new(), home: None, config_file, flags: vec![], read: &read };
    assert_eq!(language(&sources).unwrap().0, settings.intents);
}

#[test]
fn a_rule_applies_to_its_value_however_it_is_spelt() {
    let rule = |value| IntentRule { path: "x".to_owned(), value, ..IntentRule::default() };
    for (wanted, value, applies) in [
        (None, json!("anything"), true),
        (Some(json!("high")), json!("high"), true),
        (Some(json!("high")), json!("higher"), false),
        (Some(json!(true)), json!("True"), true),
        (Some(json!(true)), json!(false), false),
        (Some(json!(5)), json!("5"), true),
        (Some(json!("5")), json!(6), false),
    ] {
        assert_eq!(rule(wanted.clone()).applies_to(&value), applies, "{wanted:?} {value}");
    }
}

#[test]
fn scaling_settings_are_read() {
    let scaling = with_file(EVERYTHING).scaling;
    assert!(scaling.enabled && scaling.compat == ScalingCompat::Original);
    assert_eq!((scaling.interval, scaling.rate_window()), (Duration::from_secs(5), Duration::from_secs(60)));
    assert_eq!((scaling.weights.utilisation, scaling.weights.change), (0.5, 0.4));
    assert_eq!((scaling.thresholds.low, scaling.thresholds.high), (0.3, 0.8));
    let profile = ScalingProfile { alpha: Some(2.0), min: 1, max: 3, ..ScalingProfile::default() };
    assert_eq!(scaling.profiles["a"], profile);
    assert_eq!(scaling.profiles["b"].window, Some(Duration::from_secs(90)));
    assert_eq!(scaling.profiles.len(), 5, "those of the Brussels demonstration stay");
}

#[test]
fn rates_are_taken_over_at_least_four_scrapes() {
    let window = |interval: &str| settings(&[("SCALING_INTERVAL", interval)], &[]).scaling.rate_window();
    assert_eq!(window("10"), Duration::from_secs(60));
    assert_eq!(window("90"), Duration::from_secs(90));
}

#[test]
fn unknown_strategies_and_numbers_out_of_bounds_are_refused() {
    let text = r#"
placement:
  strategy: firstfit
  projects: {demo: {replacement_strategy: best}}
  weights: {prize: 1, price: -1}
  limits: {seed: 1.5}
  intents: [{path: x, strategy: gren, weights: {crabon: 1}}]
scaling:
  strategy: fast
  query: "rate("
  rate_label: a-b
  target_utilisation: 2
  step_up: {percent: 0}
  weights: {change: -1}
  thresholds: {low: 0.9}
  history: 0
  interval: 0
clusters: {edge: {price_per_core_hour: -1}}
"#;
    insta::assert_snapshot!(faults(text).join("\n"), @r#"
    scaling.interval (SCALING_INTERVAL) must be more than 0
    placement.strategy: unknown strategy "firstfit"; known ones are first-fit, min-moves, cost, green
    placement.projects.demo.replacement_strategy: unknown strategy "best"; known ones are first-fit, min-moves, cost, green
    placement.intents: path "x": unknown strategy "gren"; known ones are first-fit, min-moves, cost, green
    placement.weights: price: must be a number from 0 to 1000000, not -1
    placement.weights: prize: unknown weight "prize"; known ones are moves, activation, price, carbon, latency, balance
    placement.limits: seed: must be a whole number from 0 to 9007199254740992, not 1.5
    placement.intents: path "x": crabon: unknown weight "crabon"; known ones are moves, activation, price, carbon, latency, balance
    scaling.strategy: unknown strategy "fast"; known ones are exact, threshold, steps
    scaling.query: "rate(" is not a PromQL expression: unclosed left parenthesis
    scaling.rate_label: "a-b" is no name of a label: letters, digits and '_', not a digit first
    scaling.target_utilisation: must be more than 0 and at most 1, not 2
    scaling.step_up: percent must be more than 0 and at most 10000, not 0
    scaling.weights: change: must be a number from 0 to 100, not -1
    scaling.thresholds: must be 0 ≤ low < high ≤ 1, not low 0.9 and high 0.8
    scaling.history: must be more than 0
    clusters.edge.price_per_core_hour: must be a number from 0 to 1000000, not -1
    "#);
}

#[test]
fn malformed_sections_are_refused() {
    for (text, message) in [
        ("placement: {projects: {demo: cost}}", "demo: expected a mapping, found \"cost\""),
        ("placement: {weights: {price: much}}", "price: \"much\" is not a number"),
        ("placement: {limits: {max_deadline: 0}}", "placement.limits: max_deadline must be more than 0"),
        ("placement: {limits: {max_iterations: -1}}", "max_iterations: \"-1\" is not a whole number"),
        ("placement: {solve_queue: 0}", "placement.solve_queue must be more than 0"),
        ("placement: {external: {cost: {url: h}}}", "cost: a built-in strategy has this name"),
        ("placement: {external: {My_Own: {url: h}}}", "My_Own: a name has at most 63 lower-case letters"),
        ("placement: {external: {x: {}}}", "x: url is required"),
        ("placement: {external: {x: {url: h, deadline: 0}}}", "x: deadline must be more than 0"),
        ("placement: {external: {x: {url: h, fallback: x}}}", "x: fallback: \"x\" is not built in"),
        ("placement: {intents: [{value: 1, strategy: cost}]}", "entry 1: path is required"),
        (
            "placement: {intents: [{path: a..b, strategy: cost}]}",
            "entry 1: path: \"a..b\" is not of the form",
        ),
        (
            "placement: {intents: [{path: a}]}",
            "entry 1: has no effect; give require, prefer, weights, factors or strategy",
        ),
        (
            "placement: {intents: [{path: a, require: {attribute: b}}]}",
            "entry 1: require: give one of one_of, none_of, at_most, at_least, known and own_site",
        ),
        (
            "placement: {intents: [{path: a, require: {attribute: b, at_most: 1, at_least: 0}}]}",
            "entry 1: require: give one of",
        ),
        (
            "placement: {intents: [{path: a, require: {one_of: [b]}}]}",
            "entry 1: require: attribute is required",
        ),
        ("placement: {intents: {path: a}}", "expected a list"),
        ("scaling: {profiles: {a: {}}}", "a: alpha is required"),
        ("scaling: {profiles: {a: {alpha: 0}}}", "a: alpha: must be a number above 0"),
        ("scaling: {profiles: {a: {alpha: 1, min: 4}}}", "a: min is 4, which is more than max, 3"),
        (
            "scaling: {profiles: {a: {alpha: 1, rate_from: b, query: up}}}",
            "a: query cannot be given together",
        ),
        ("scaling: {profiles: {a: {alpha: 1, query: 'rate('}}}", "a: query: \"rate(\" is not a PromQL"),
        ("scaling: {profiles: {a: {alpha: 1, apha: 2}}}", "a: unknown field \"apha\"; known ones are alpha"),
        ("scaling: {weights: {use: 1}}", "unknown field \"use\"; known ones are utilisation, change"),
        ("scaling: {compat: both}", "\"both\" is neither none nor original"),
        ("clusters: {edge: {price: 1}}", "edge: unknown field `price`"),
        ("cluster_labels: {site: ''}", "site: \"\" is no name of a label"),
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(message), "{text}: {found:?}");
    }
}

#[test]
fn deprecated_names_of_scaling_count_unless_the_new_ones_are_there() {
    let read = |text: &str| {
        let settings = settings(&[("SMO_MODE", "simulated"), ("SMO_CONFIG", "/c")], &[("/c", text)]);
        (settings.scaling.target_utilisation, settings.scaling.stabilisation.as_secs())
    };
    assert_eq!(read("scaling: {tolerance: 0.25, cooldown: 45s}"), (0.8, 45));
    assert_eq!(
        read("scaling: {tolerance: 0.25, target_utilisation: 0.5, cooldown: 45s, stabilisation: 0}"),
        (0.5, 0)
    );
    assert_eq!(read(""), (0.8, 300));
}
