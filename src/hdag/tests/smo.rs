//! The sections `smo`, and intents beyond the information model.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const TEXT: &str = r#"hdaGraph:
  id: g
  hdaGraphIntent:
    energy_preference: renewable_high
    offload: {policy: eager, level: 3, more: {deep: yes}, list: [1]}
    security: {enabled: True, zone: eu}
  smo:
    placement:
      strategy: cost
      strict: "True"
      parameters: {seed: 7, iterations: 1000, ultralow_ms: 2.5, deadline_ms: }
      weights: {carbon: 5, moves: 0}
    site: factory-1
    scaling:
      enabled: True
      strategy: exact
      weights: {utilisation: 0.6}
      targetUtilisation: 0.7
      stabilisation: 2m
      thresholds: {low: 0.2, high: 0.9}
  services:
  - id: a
    deployment:
      trigger: {auto: }
      intent:
        network: {deviceProximity: {enabled: True, site: harbour}}
        compute: {accelerator: fpga}
        tier: 2
    artifact: {ociImage: 'oci://h/p/a'}
    smo:
      scaling: {alpha: 33.33, beta: -16.66, min: 1, max: 3, rateFrom: b, window: 1m, workload: front,
        whenAbsent: zero, up: {above: 50, to: 3}}
      antiAffinity: [b, c, b]
      moveWeight: 2.5
      traffic: {b: 3, c: 0}
  - id: b
    deployment: {trigger: {auto: }, intent: {network: {deviceProximity: {enabled: True}}}}
    artifact: {ociImage: 'oci://h/p/b'}
    smo: {scaling: {query: 'sum(rate(x{service=~"{services}"}[{window}]))'}}
  - id: c
    deployment: {trigger: {auto: }}
    artifact: {ociImage: 'oci://h/p/c'}
"#;

fn mapped(paths: &[&str]) -> IntentMapping {
    IntentMapping {
        mapped: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..IntentMapping::default()
    }
}

fn numbers(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// A service `a` with this section `smo`, beside a service `b`.
fn with_service_section(section: &str) -> String {
    graph(&[("a", "trigger: {auto: }"), ("b", "trigger: {auto: }")]).replacen(
        "    artifact:",
        &format!("    smo: {{{section}}}\n    artifact:"),
        1,
    )
}

#[track_caller]
fn refused(text: &str, pointer: &str, message: &str) {
    let found = findings(yaml(text));
    assert_eq!(found.len(), 1, "{}", lines(&found));
    assert_eq!((found[0].pointer.as_str(), found[0].message.as_str()), (pointer, message));
    assert!(found[0].location.is_some());
}

#[test]
fn the_sections_are_read() {
    let graph = yaml(TEXT).unwrap().descriptor;
    assert_eq!(
        graph.placement,
        PlacementWishes {
            strategy: Some("cost".to_owned()),
            strict: Some(true),
            parameters: numbers(&[("iterations", 1000.0), ("seed", 7.0), ("ultralow_ms", 2.5)]),
            weights: numbers(&[("carbon", 5.0), ("moves", 0.0)]),
        }
    );
    assert_eq!(
        graph.scaling,
        ScalingWishes {
            enabled: Some(true),
            strategy: Some("exact".to_owned()),
            utilisation: Some(0.6),
            change: None,
            target_utilisation: Some(0.7),
            stabilisation: Some(Duration::from_secs(120)),
            thresholds: Some((0.2, 0.9)),
        }
    );
    let [a, b, c] = &graph.services[..] else { panic!("three services") };
    assert_eq!(
        a.scaling,
        ScalingRequest {
            alpha: Some(33.33),
            beta: Some(-16.66),
            min: Some(1),
            max: Some(3),
            steps: Some(Steps { up: Some(StepUp { above: 50.0, to: 3 }), down: None }),
            when_absent: Some(WhenAbsent::Zero),
            rate: Some(RateSource::Service("b".to_owned())),
            window: Some(Duration::from_secs(60)),
            workload: Some("front".to_owned()),
        }
    );
    assert_eq!(a.anti_affinity, ["b", "c"]);
    assert_eq!((a.move_weight, &a.traffic), (2.5, &numbers(&[("b", 3.0), ("c", 0.0)])));
    assert!(matches!(&b.scaling.rate, Some(RateSource::Query(query)) if query.contains("{services}")));
    assert_eq!((c.move_weight, &c.scaling), (1.0, &ScalingRequest::default()));
}

#[test]
fn a_service_has_its_own_site_or_that_of_the_graph() {
    let services = yaml(TEXT).unwrap().descriptor.services;
    let sites: Vec<_> = services.iter().map(|service| service.site.as_deref()).collect();
    assert_eq!(sites, [Some("harbour"), Some("factory-1"), Some("factory-1")]);
    assert_eq!(yaml(&one("trigger: {auto: }")).unwrap().descriptor.services[0].site, None);
}

#[test]
fn a_descriptor_without_the_sections_wishes_nothing() {
    let graph = yaml(&one("trigger: {auto: }")).unwrap().descriptor;
    assert_eq!(graph.placement, PlacementWishes::default());
    assert_eq!(graph.scaling, ScalingWishes::default());
    assert_eq!(yaml(&with_service_section("scaling: , traffic: ")).unwrap().warnings, []);
}

#[test]
fn faults_of_the_graphs_section_are_told_at_once_with_their_places() {
    let text = one("trigger: {auto: }").replace(
        "  id: g\n",
        "  id: g\n  smo:\n    placement:\n      strategy: ''\n      strict: perhaps\n      parameters: {sed: 1, \
         iterations: 1.5, deadline_ms: 1e9, balance_above: high}\n      weights: {price: -1, prize: 2}\n    \
         scaling: on\n    site: 4\n    place: x\n",
    );
    insta::assert_snapshot!(lines(&findings(yaml(&text))), @r#"
    5:17 /hdaGraph/smo/placement/strategy: must not be empty
    6:15 /hdaGraph/smo/placement/strict: must be true or false, not "perhaps"
    7:25 /hdaGraph/smo/placement/parameters/sed: unknown parameter "sed"; known ones are seed, iterations, deadline_ms, exact_cells, ultralow_ms, neighbour_ms, unknown_latency_ms, balance_above
    7:40 /hdaGraph/smo/placement/parameters/iterations: must be a whole number from 0 to 1000000000, not 1.5
    7:58 /hdaGraph/smo/placement/parameters/deadline_ms: must be a whole number from 0 to 600000, not 1000000000
    7:78 /hdaGraph/smo/placement/parameters/balance_above: must be a number, not text
    8:24 /hdaGraph/smo/placement/weights/price: must be a number from 0 to 1000000, not -1
    8:35 /hdaGraph/smo/placement/weights/prize: unknown weight "prize"; known ones are moves, activation, price, carbon, latency, balance
    9:14 /hdaGraph/smo/scaling: must be an object, not text
    10:11 /hdaGraph/smo/site: must be text, not a number; quote it
    "#);
}

#[test]
fn faults_of_a_services_section_are_told_at_once_with_their_places() {
    let text = with_service_section(
        "scaling: {alpha: 0, beta: low, min: 4, max: 2, rateFrom: gone, query: 'rate(', window: 5 min}, antiAffinity: [a, \
         gone, 3], moveWeight: -1, traffic: {gone: 1, a: 1, b: much}",
    );
    insta::assert_snapshot!(lines(&findings(yaml(&text))), @r#"
    6:28 /hdaGraph/services/0/smo/scaling/alpha: must be a number above 0 and up to 1000000000, not 0
    6:37 /hdaGraph/services/0/smo/scaling/beta: must be a number, not text
    6:47 /hdaGraph/services/0/smo/scaling/min: is 4, which is more than max, 2
    6:68 /hdaGraph/services/0/smo/scaling/rateFrom: there is no service "gone"
    6:81 /hdaGraph/services/0/smo/scaling/query: cannot be given together with rateFrom
    6:98 /hdaGraph/services/0/smo/scaling/window: "5 min" is not a Prometheus duration such as 30s, 5m or 1h30m
    6:121 /hdaGraph/services/0/smo/antiAffinity/0: must be another service, not the service itself
    6:124 /hdaGraph/services/0/smo/antiAffinity/1: there is no service "gone"
    6:130 /hdaGraph/services/0/smo/antiAffinity/2: must be text, not a number; quote it
    6:146 /hdaGraph/services/0/smo/moveWeight: must be a number from 0 to 1000000, not -1
    6:166 /hdaGraph/services/0/smo/traffic/gone: there is no service "gone"
    6:172 /hdaGraph/services/0/smo/traffic/a: must be another service, not the service itself
    6:178 /hdaGraph/services/0/smo/traffic/b: must be a number, not text
    "#);
}

#[test]
fn deprecated_names_of_scaling_count_and_are_warned_of() {
    let text = one("trigger: {auto: }")
        .replace("  id: g\n", "  id: g\n  smo: {scaling: {tolerance: 0.25, cooldown: 30s}}\n");
    let parsed = yaml(&text).unwrap();
    let scaling = &parsed.descriptor.scaling;
    assert_eq!(
        (scaling.target_utilisation, scaling.stabilisation),
        (Some(0.8), Some(Duration::from_secs(30)))
    );
    insta::assert_snapshot!(lines(&parsed.warnings), @r"
    3:30 /hdaGraph/smo/scaling/tolerance: is a deprecated name of targetUtilisation
    3:46 /hdaGraph/smo/scaling/cooldown: is a deprecated name of stabilisation
    ");
    let both = text.replace("cooldown: 30s", "cooldown: 30s, stabilisation: 0s, targetUtilisation: 0.5");
    let scaling = yaml(&both).unwrap().descriptor.scaling;
    assert_eq!((scaling.target_utilisation, scaling.stabilisation), (Some(0.5), Some(Duration::ZERO)));
}

#[test]
fn faults_of_how_a_graph_is_scaled_are_told() {
    let text = one("trigger: {auto: }").replace(
        "  id: g\n",
        "  id: g\n  smo: {scaling: {weights: {change: -1}, targetUtilisation: 0, stabilisation: soon, thresholds: {low: 0.9, \
         high: 0.2}, tolerance: 1}}\n",
    );
    insta::assert_snapshot!(lines(&findings(yaml(&text))), @r#"
    3:37 /hdaGraph/smo/scaling/weights/change: must be a number from 0 to 100, not -1
    3:61 /hdaGraph/smo/scaling/targetUtilisation: must be more than 0 and at most 1, not 0
    3:79 /hdaGraph/smo/scaling/stabilisation: "soon" is not a Prometheus duration such as 30s, 5m or 1h30m
    3:97 /hdaGraph/smo/scaling/thresholds: must be 0 ≤ low < high ≤ 1, not low 0.9 and high 0.2
    3:131 /hdaGraph/smo/scaling/tolerance: must be at least 0 and less than 1, not 1
    "#);
    refused(
        &one("trigger: {auto: }")
            .replace("  id: g\n", "  id: g\n  smo: {scaling: {thresholds: {low: 0.9}}}\n"),
        "/hdaGraph/smo/scaling/thresholds",
        "must have the numbers low and high",
    );
}

#[test]
fn steps_need_marks_and_replicas_that_do_not_overlap() {
    let scaling = "/hdaGraph/services/0/smo/scaling";
    for (section, pointer, message) in [
        ("up: {above: 5}", "/up", "must have the numbers above and to"),
        ("down: {to: 2}", "/down", "must have the numbers below and to"),
        ("up: {above: -1, to: 2}", "", "marks must be numbers from 0 to 1000000000, not -1"),
        ("up: {above: 5, to: 2}, down: {below: 6, to: 1}", "", "below 6 and above 5: a rate could be both"),
        (
            "up: {above: 5, to: 1}, down: {below: 2, to: 3}",
            "",
            "more load would have 1 replicas, and less load 3",
        ),
        ("whenAbsent: never", "/whenAbsent", "is \"never\"; known are hold, zero"),
        ("fromCallers: true, query: up", "/fromCallers", "cannot be given together with rateFrom or query"),
    ] {
        refused(
            &with_service_section(&format!("scaling: {{{section}}}")),
            &format!("{scaling}{pointer}"),
            message,
        );
    }
}

#[test]
fn bounds_of_replicas_and_windows_are_checked() {
    let scaling = "/hdaGraph/services/0/smo/scaling";
    for (section, field, message) in [
        ("min: 0", "min", "must be a whole number from 1 to 10000, not 0"),
        ("max: 10001", "max", "must be a whole number from 1 to 10000, not 10001"),
        ("max: -1", "max", "must be a whole number of at least 0, not -1"),
        ("window: 0s", "window", "must be more than 0"),
        ("beta: 1e10", "beta", "must be a number from -1000000000 to 1000000000, not 10000000000"),
        ("query: 'x[{window}]'", "query", "\"x[60000ms]\" gives a range vector; an instant vector is needed"),
    ] {
        let text = with_service_section(&format!("scaling: {{{section}}}"));
        refused(&text, &format!("{scaling}/{field}"), message);
    }
}

#[test]
fn unknown_fields_of_the_sections_are_warned_of() {
    let text = with_service_section("antiAfinity: [b], scaling: {rate_from: b}");
    insta::assert_snapshot!(lines(&yaml(&text).unwrap().warnings), @r#"
    6:11 /hdaGraph/services/0/smo/antiAfinity: unknown field "antiAfinity" has no effect; did you mean "antiAffinity"?
    6:39 /hdaGraph/services/0/smo/scaling/rate_from: unknown field "rate_from" has no effect; did you mean "rateFrom"?
    "#);
}

#[test]
fn intents_beyond_the_information_model_are_collected_by_their_paths() {
    let graph = yaml(TEXT).unwrap().descriptor;
    assert_eq!(
        serde_json::to_value(&graph.intent.custom).unwrap(),
        json!({
            "energy_preference": "renewable_high",
            "offload.level": 3,
            "offload.more.deep": "yes",
            "offload.policy": "eager",
            "security.zone": "eu",
        })
    );
    assert_eq!(
        serde_json::to_value(&graph.services[0].custom_intents).unwrap(),
        json!({ "compute.accelerator": "fpga", "tier": 2 })
    );
    assert!(graph.services[1].custom_intents.is_empty());
}

#[test]
fn an_intent_is_warned_of_unless_a_rule_looks_at_it() {
    let warnings = |paths: &[&str]| {
        lines(&parse(TEXT, Format::Yaml, &mapped(paths), &Limits::default()).unwrap().warnings)
    };
    insta::assert_snapshot!(warnings(&[]), @r#"
    4:5 /hdaGraph/hdaGraphIntent/energy_preference: unknown field "energy_preference" has no effect
    5:5 /hdaGraph/hdaGraphIntent/offload: unknown field "offload" has no effect
    6:31 /hdaGraph/hdaGraphIntent/security/zone: unknown field "zone" has no effect
    27:19 /hdaGraph/services/0/deployment/intent/compute/accelerator: unknown field "accelerator" has no effect
    28:9 /hdaGraph/services/0/deployment/intent/tier: unknown field "tier" has no effect
    "#);
    insta::assert_snapshot!(warnings(&["energy_preference", "offload.policy", "offload.list", "tier"]), @r#"
    5:30 /hdaGraph/hdaGraphIntent/offload/level: unknown field "level" has no effect
    5:40 /hdaGraph/hdaGraphIntent/offload/more: unknown field "more" has no effect
    5:59 /hdaGraph/hdaGraphIntent/offload/list: has no effect: the intent must be a single value, not a list
    6:31 /hdaGraph/hdaGraphIntent/security/zone: unknown field "zone" has no effect
    27:19 /hdaGraph/services/0/deployment/intent/compute/accelerator: unknown field "accelerator" has no effect
    "#);
    let all = ["energy_preference", "offload.policy", "offload.level", "offload.more.deep", "security.zone"];
    let left =
        warnings(&all).lines().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect::<Vec<_>>();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left[0].ends_with("/offload/list"), "{left:?}");
}

#[test]
fn a_rule_may_look_at_an_intent_of_the_information_model() {
    let mapping = mapped(&["security.enabled", "compute.cpu"]);
    let parsed = parse(TEXT, Format::Yaml, &mapping, &Limits::default()).unwrap();
    assert_eq!(parsed.descriptor.intent.custom["security.enabled"], json!(true));
    assert!(parsed.descriptor.intent.security);
}

#[test]
fn long_paths_of_intents_take_no_memory() {
    let mut value = json!(1);
    for _ in 0..100 {
        let name = "x".repeat(150);
        value = json!({ name: value });
    }
    let text = json!({"hdaGraph": {"id": "g", "hdaGraphIntent": value, "services": [
        {"id": "a", "deployment": {"trigger": {"auto": {}}}, "artifact": {"ociImage": "oci://h/p/a"}}
    ]}});
    assert!(json(&text.to_string()).unwrap().descriptor.intent.custom.is_empty());
}

#[test]
fn rate_queries_name_services_and_window() {
    let template = "rate(x{service=~\"{services}\"}[{window}])";
    assert_eq!(
        rate_query(template, "service", ["a", "b-c"], Duration::from_secs(90)),
        "rate(x{service=~\"a|b-c\"}[90000ms])"
    );
    let by_label = "sum by ({label}) (rate(x{{label}=~\"{services}\"}[{window}]))";
    assert_eq!(
        rate_query(by_label, "job", ["a"], Duration::from_secs(1)),
        "sum by (job) (rate(x{job=~\"a\"}[1000ms]))"
    );
    assert_eq!(rate_query("up", "service", ["a"], Duration::from_secs(1)), "up");
}

#[test]
fn parameters_have_names_and_bounds() {
    assert_eq!(WEIGHTS.check("price", 1e6), Ok(()));
    assert_eq!(
        WEIGHTS.check("seed", 1.0),
        Err("unknown weight \"seed\"; known ones are moves, activation, price, carbon, latency, balance"
            .to_owned())
    );
    for value in [f64::NAN, f64::INFINITY, -0.1, 1e6 + 1.0] {
        assert!(WEIGHTS.check("price", value).is_err() && check_weight(value).is_err(), "{value}");
    }
    assert_eq!(PARAMETERS.check("seed", 9_007_199_254_740_992.0), Ok(()));
    assert_eq!(
        PARAMETERS.check("iterations", 0.5),
        Err("must be a whole number from 0 to 1000000000, not 0.5".to_owned())
    );
    assert!(check_alpha(0.0).is_err() && check_alpha(f64::NAN).is_err() && check_beta(f64::NAN).is_err());
}

#[test]
fn the_documented_wishes_are_those_of_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let names = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    let placement = "/$defs/graphSmo/properties/placement/properties";
    assert_eq!(names(&format!("{placement}/weights/properties")), WEIGHTS.names().collect::<Vec<_>>());
    assert_eq!(names(&format!("{placement}/parameters/properties")), PARAMETERS.names().collect::<Vec<_>>());
}
