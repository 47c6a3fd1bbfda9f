//! Descriptors as others have published them: what has no effect is warned of, never refused.

use serde_json::json;

use super::*;

/// Warnings of a valid descriptor, as `pointer: message`.
fn warnings(text: &str) -> Vec<String> {
    let parsed = yaml(text).unwrap_or_else(|error| panic!("{error:?}"));
    parsed.warnings.iter().map(|warning| format!("{}: {}", warning.pointer, warning.message)).collect()
}

/// A service `a` with these intents, beside a service `b`.
fn with_intent(intent: &str) -> String {
    graph(&[("a", &format!("trigger: {{auto: }}, intent: {intent}")), ("b", "trigger: {auto: }")])
}

#[test]
fn texts_of_older_information_models_have_no_effect() {
    let old = with_intent("{network: \"\"}").replacen(
        "  services:",
        "  hdaGraphIntent: Low latency\n  services:",
        1,
    );
    let told = ["/hdaGraph/hdaGraphIntent: is a text, as in older information models, and has no effect"];
    assert_eq!(warnings(&old), told);
    assert_eq!(warnings(&with_intent("{network: fast}")).len(), 1);
    assert_eq!(warnings(&with_intent("none")).len(), 1);
    assert!(yaml(&with_intent("{network: [1]}")).is_err(), "no text");
}

#[test]
fn connection_points_are_read_where_published_descriptors_have_them() {
    let calls =
        |intent: &str| yaml(&with_intent(intent)).unwrap().descriptor.services[0].connection_points.clone();
    assert_eq!(calls("{network: {connectionPoints: [b]}}"), ["b"]);
    assert_eq!(calls("{network: {connectionPoints: [b]}, connectionPoints: [b]}"), ["b"]);
    assert!(warnings(&with_intent("{network: {connectionPoints: [b]}}")).is_empty());
    assert!(yaml(&with_intent("{network: {connectionPoints: [c]}}")).is_err(), "there is no service c");
}

#[test]
fn a_service_without_storage_says_so() {
    for none in ["none", "None"] {
        let text = with_intent(&format!("{{compute: {{storage: {none}}}}}"));
        assert_eq!(yaml(&text).unwrap().descriptor.services[0].needs.storage_bytes, 0);
    }
    assert!(yaml(&with_intent("{compute: {cpu: none}}")).is_err());
}

#[test]
fn words_of_a_fork_about_triggers_are_understood_or_have_no_effect() {
    let event = "{id: e, source: prometheus, condition: {promQuery: up}}";
    let text =
        graph(&[("a", &format!("trigger: {{type: event, event: {{condition: AND, events: [{event}]}}}}"))]);
    let told = warnings(&text).join("\n");
    for part in ["/type", "\"AND\" is taken as ALL", "/source: is a text and has no effect"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let standard = graph(&[("a", "trigger: {type: standard}")]);
    assert!(warnings(&standard).iter().any(|warning| warning.ends_with("auto is assumed")));
}

#[test]
fn values_are_read_as_helm_reads_them() {
    let values = |text: &str| {
        let artifact = format!("artifact: {{valuesOverwrite: {{v: {text}}}, ");
        yaml(&one("trigger: {auto: }").replace("artifact: {", &artifact))
    };
    let read = |text: &str| values(text).unwrap().descriptor.services[0].values["v"].clone();
    for (text, value) in [
        ("0644", json!(420)),
        ("00", json!(0)),
        ("'0644'", json!("0644")),
        ("089", json!("089")),
        ("0", json!(0)),
        ("0o17", json!(15)),
        ("no", json!(false)),
        ("'no'", json!("no")),
        ("1_000", json!(1000)),
        ("9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("22:22", json!("22:22")),
        ("2024-01-01", json!("2024-01-01")),
    ] {
        assert_eq!(read(text), value, "{text}");
    }
    let told = |text: &str| values(text).unwrap().warnings[0].message.clone();
    assert!(told("0644").starts_with("is read as an octal number, as Helm does"), "{}", told("0644"));
    let refused = format!("{:?}", values("12e5678").unwrap_err());
    assert!(refused.contains("quote it"), "{refused}");
}

#[test]
fn intents_that_cannot_have_an_effect_are_warned_of() {
    let own = with_intent(
        "{network: {latencies: [{connectionPoint: a, qos: low}, {connectionPoint: b, qos: low}]}}",
    );
    let pointer = "/hdaGraph/services/0/deployment/intent/network/latencies/0/connectionPoint";
    let why = "is the service itself, to which there is no latency: it has no effect";
    assert_eq!(warnings(&own), [format!("{pointer}: {why}")]);

    let bounded = |enabled: &str| {
        let bounds = format!("{{enabled: {enabled}, minReplicasOverall: 1, maxReplicasOverall: 2}}");
        one("trigger: {auto: }")
            .replace("  id: g\n", &format!("  id: g\n  hdaGraphIntent: {{highAvailability: {bounds}}}\n"))
    };
    let ignored = ["min", "max"].map(|which| {
        format!(
            "/hdaGraph/hdaGraphIntent/highAvailability/{which}ReplicasOverall: \
             has no effect unless highAvailability is enabled"
        )
    });
    assert_eq!(warnings(&bounded("False")), ignored);
    assert_eq!(warnings(&bounded("True")), Vec::<String>::new());
}
