//! Fields that may be missing, and odd but accepted input.

use serde_json::json;

use super::*;

#[test]
fn a_service_with_id_trigger_cpu_and_chart_is_complete() {
    let text = "{hdaGraph: {id: g, services: [{id: a, deployment: {trigger: {auto: {dependencies: []}}, \
                intent: {compute: {cpu: light}}}, artifact: {ociImage: 'oci://h/p/a'}}]}}";
    let parsed = yaml(text).unwrap();
    assert_eq!(parsed.warnings, []);
    let service = &parsed.descriptor.services[0];
    assert_eq!(parsed.descriptor.intent, GraphIntent::default());
    assert_eq!(service.trigger, Trigger::Auto { dependencies: Vec::new() });
    assert_eq!(
        service.needs,
        Resources {
            cpu_millicores: 500,
            ram_bytes: 1 << 30,
            storage_bytes: 10_000_000_000,
            gpus: 0,
            pods: 0
        }
    );
    assert_eq!((service.artifact_type.as_str(), service.implementer.as_str()), ("App", "HELM"));
    assert!(service.values.is_empty() && service.latencies.is_empty() && service.co_location.is_empty());
}

#[test]
fn a_missing_or_unknown_trigger_is_auto_with_a_warning() {
    for (deployment, place) in [("", "5:17"), ("trigger: ", "5:25"), ("trigger: {atuo: {}}", "5:27")] {
        let parsed = yaml(&one(deployment)).unwrap();
        assert_eq!(parsed.descriptor.services[0].trigger, Trigger::Auto { dependencies: Vec::new() });
        let all = lines(&parsed.warnings);
        let wanted = "/hdaGraph/services/0/deployment/trigger: \
                      service \"a\" has no trigger of kind auto or event; auto is assumed";
        assert!(all.contains(wanted), "{all}");
        assert!(all.starts_with(place) || deployment.contains("atuo"), "{all}");
    }
    assert_eq!(yaml(&one("trigger: {auto: }")).unwrap().warnings, []);
    assert_eq!(yaml(&one("trigger: {auto: {dependencies: }, event: }")).unwrap().warnings, []);
}

#[test]
fn missing_compute_is_small() {
    let services = yaml(&one("trigger: {auto: }")).unwrap().descriptor.services;
    assert_eq!(services[0].needs.cpu_millicores, 1000);
}

#[test]
fn unknown_fields_are_kept_and_told_with_the_nearest_known_name() {
    let text = "hdaGraph:\n  id: g\n  smo: {x: 1}\n  services:\n  - id: a\n    deployment:\n      \
                triger: {auto: {}}\n      trigger: {auto: {dependancies: []}}\n    artifact:\n      \
                ociImage: oci://h/p/a\n      a/b~c: 1\n      valuesOverwrite: {any: {thing: 1}}\nextra: 1\n";
    let parsed = yaml(text).unwrap();
    insta::assert_snapshot!(lines(&parsed.warnings), @r#"
    3:9 /hdaGraph/smo/x: unknown field "x" has no effect
    7:7 /hdaGraph/services/0/deployment/triger: unknown field "triger" has no effect; did you mean "trigger"?
    8:24 /hdaGraph/services/0/deployment/trigger/auto/dependancies: unknown field "dependancies" has no effect; did you mean "dependencies"?
    11:7 /hdaGraph/services/0/artifact/a~1b~0c: unknown field "a/b~c" has no effect
    13:1 /extra: unknown field "extra" has no effect
    "#);
    assert_eq!(parsed.descriptor.document["smo"], json!({"x": 1}));
    assert_eq!(parsed.descriptor.document["services"][0]["artifact"]["a/b~c"], json!(1));
}

#[test]
fn booleans_of_python_and_of_yaml_1_1_are_accepted_where_a_boolean_is_meant() {
    for (word, value) in [
        ("True", true),
        ("TRUE", true),
        ("'True'", true),
        ("\"true\"", true),
        ("yes", true),
        ("On", true),
        ("False", false),
        ("'False'", false),
        ("off", false),
        ("No", false),
    ] {
        let text = one(&format!("trigger: {{auto: }}, intent: {{compute: {{gpu: {{enabled: {word}}}}}}}"));
        assert_eq!(yaml(&text).unwrap().descriptor.services[0].needs.gpus, i64::from(value), "{word}");
    }
}

#[test]
fn unquoted_yes_and_no_among_the_values_are_booleans_with_a_warning() {
    let text = "hdaGraph:\n  id: g\n  services:\n  - id: a\n    deployment: {trigger: {auto: }}\n    artifact:\n      \
                ociImage: oci://h/p/a\n      valuesOverwrite: {on: yes, b: [off, 'no', \"on\"], c: yesterday}\n";
    let parsed = yaml(text).unwrap();
    assert_eq!(
        serde_json::to_value(&parsed.descriptor.services[0].values).unwrap(),
        json!({"on": true, "b": [false, "no", "on"], "c": "yesterday"})
    );
    let places: Vec<_> =
        parsed.warnings.iter().map(|w| (w.pointer.as_str(), w.location.unwrap().column)).collect();
    assert_eq!(
        places,
        [
            ("/hdaGraph/services/0/artifact/valuesOverwrite/on", 29),
            ("/hdaGraph/services/0/artifact/valuesOverwrite/b/0", 38),
        ]
    );
}

#[test]
fn merge_keys_and_aliases_are_resolved() {
    let text = "hdaGraph:\n  id: g\n  services:\n  - &first\n    id: a\n    deployment: &d {trigger: {auto: }}\n    \
                artifact: {ociImage: 'oci://h/p/a'}\n  - <<: *first\n    id: b\n    deployment: *d\n";
    let parsed = yaml(text).unwrap();
    let second = &parsed.descriptor.services[1];
    assert_eq!((second.id.as_str(), second.chart.as_str()), ("b", "oci://h/p/a"));
}

#[test]
fn conditions_have_more_than_one_spelling() {
    for (text, condition, warnings) in [
        ("ANY", EventCondition::Any, 0),
        ("all", EventCondition::All, 0),
        ("or", EventCondition::Any, 1),
        ("AND", EventCondition::All, 1),
    ] {
        let trigger = format!(
            "trigger: {{event: {{condition: {text}, events: [{{id: e, condition: {{promQuery: up}}}}]}}}}"
        );
        let parsed = yaml(&one(&trigger)).unwrap();
        let Trigger::Event { condition: read, events } = &parsed.descriptor.services[0].trigger else {
            panic!("not conditional");
        };
        assert_eq!((*read, parsed.warnings.len()), (condition, warnings));
        assert_eq!((events[0].grace_period.as_str(), events[0].description.as_str()), ("0s", ""));
    }
}

#[test]
fn versions_and_other_texts_may_be_numbers() {
    let text = one("trigger: {auto: }")
        .replace("  id: g\n", "  id: g\n  version: 1.0\n  imVersion: 4\n  designer: true\n");
    assert_eq!(yaml(&text).unwrap().warnings, []);
}

#[test]
fn configuration_adds_and_changes_classes() {
    let mapping: IntentMapping = serde_saphyr::from_str(
        "cpu: {light: 0.25, tiny: 0.1, odd: 1500m, big: 16}\nram: {light: 256Mi, plain: 1000}\nstorage: {huge: 1TB}\n",
    )
    .unwrap();
    assert_eq!(mapping.cpu.names(), ["tiny", "light", "small", "odd", "medium", "large", "big"]);
    assert_eq!((mapping.cpu.get("light"), mapping.cpu.get("tiny")), (Some(250), Some(100)));
    assert_eq!((mapping.ram.get("light"), mapping.ram.get("plain")), (Some(256 << 20), Some(1000)));
    assert_eq!(mapping.storage.get("huge"), Some(1_000_000_000_000));
    let text = one("trigger: {auto: }, intent: {compute: {cpu: tiny}}");
    let parsed = parse(&text, Format::Yaml, &mapping, &Limits::default()).unwrap();
    assert_eq!(parsed.descriptor.services[0].needs.cpu_millicores, 100);
}

#[test]
fn configuration_with_a_wrong_amount_or_resource_is_refused() {
    for (text, part) in [
        ("cpu: {light: many}", "cpu class \"light\": \"many\" is not a quantity"),
        ("ram: {light: -1}", "ram class \"light\": quantity \"-1\" is negative"),
        ("gpu: {light: 1}", "gpu"),
        ("cpu: {light: [1]}", "a number or a quantity"),
    ] {
        let error = serde_saphyr::from_str::<IntentMapping>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(serde_saphyr::from_str::<Limits>("max_bytes: 5\nmax_service: 1").is_err());
    let limits: Limits = serde_saphyr::from_str("max_services: 7").unwrap();
    assert_eq!(limits, Limits { max_services: 7, ..Limits::default() });
}
