//! The JSON Schema of descriptors.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::*;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

/// Whether the schema accepts this value of the key `hdaGraph`.
pub(super) fn accepts(graph: &Value) -> bool {
    VALIDATOR.is_valid(&json!({ "hdaGraph": graph }))
}

/// A descriptor that is changed at one place.
fn with(pointer: &str, value: Value) -> Value {
    let mut graph = json!({
        "id": "g",
        "hdaGraphIntent": {"security": {}},
        "services": [{
            "id": "a",
            "deployment": {"trigger": {"auto": {}}, "intent": {"compute": {}, "network": {}}},
            "artifact": {"ociImage": "oci://h/p/a"},
            "smo": {"scaling": {}},
        }],
        "smo": {"placement": {}},
    });
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    graph.pointer_mut(parent).unwrap()[name] = value;
    graph
}

#[test]
fn every_example_is_accepted() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path().join("hdag.yaml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let document = yaml(&text).unwrap().descriptor.document;
        let found: Vec<String> = VALIDATOR
            .iter_errors(&json!({ "hdaGraph": document }))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
        count += 1;
    }
    assert!(count >= 4, "{count} examples");
}

#[test]
fn what_the_parser_takes_is_accepted() {
    for (pointer, value) in [
        ("/id", json!("Größe und mehr")),
        ("/version", json!(1.0)),
        ("/unknown", json!([1])),
        ("/hdaGraphIntent", json!(null)),
        ("/hdaGraphIntent/useStaticPlacement", json!("True")),
        ("/hdaGraphIntent/security/enabled", json!("no")),
        ("/hdaGraphIntent/energy_preference", json!("renewable_high")),
        ("/hdaGraphIntent/offload", json!({"policy": "eager"})),
        ("/services/0/deployment/trigger", json!(null)),
        ("/services/0/deployment/trigger/auto", json!(null)),
        ("/services/0/smo/scaling", json!(null)),
        ("/services/0/deployment/intent/tier", json!(2)),
        ("/services/0/deployment/intent/compute/cpu", json!("tiny")),
        ("/services/0/deployment/intent/network/latencies", json!([{"connectionPoint": "", "qos": "low"}])),
        ("/services/0/deployment/intent/coLocation", json!(["a", {"id": "a"}])),
        ("/services/0/artifact/valuesOverwrite", json!({"any": [{"thing": null}]})),
        ("/smo/placement/weights", json!({"carbon": 5, "price": 0.5})),
        ("/smo/placement/parameters", json!({"seed": 1, "deadline_ms": null})),
        ("/services/0/smo/scaling/window", json!("1h30m")),
        ("/services/0/smo/scaling/workload", json!("front")),
        ("/hdaGraphIntent", json!("Low latency")),
        ("/services/0/deployment/intent/network", json!("")),
        ("/services/0/deployment/intent/network/connectionPoints", json!(["a"])),
        ("/services/0/deployment/intent/compute/storage", json!("none")),
        ("/services/0/artifact", json!({"helm": {"repo": "https://h/c", "chart": "web", "version": "~1.2"}})),
        ("/services/0/artifact", json!({"helm": "https://h/web-1.tgz", "ociImage": null})),
        ("/services/0/artifact", json!({"ociImage": "https://h#web:1.0.0"})),
    ] {
        let graph = with(pointer, value);
        let parsed = from_document(graph.clone(), &mapping_with_tiny(), &Limits::default());
        assert!(parsed.is_ok(), "{pointer}: {parsed:?}");
        assert!(accepts(&graph), "{pointer} is not accepted");
    }
}

fn mapping_with_tiny() -> IntentMapping {
    serde_saphyr::from_str("cpu: {tiny: 0.1}").unwrap()
}

#[test]
fn broken_descriptors_are_not_accepted() {
    assert!(accepts(&with("/id", json!("g"))));
    for (pointer, value) in [
        ("/id", json!("a/b")),
        ("/id", json!(5)),
        ("/services", json!([])),
        ("/services/0/id", json!("-rf")),
        ("/services/0/artifact", json!({})),
        ("/services/0/artifact", json!({"helm": {"repo": "https://h"}})),
        ("/services/0/artifact", json!({"helm": {"repo": "https://me:pw@h", "chart": "web"}})),
        ("/services/0/artifact", json!({"helm": "https://h/web.zip"})),
        ("/services/0/artifact", json!({"helm": "https://h/web.tgz", "ociImage": "oci://h/p/a"})),
        ("/services/0/artifact/ociImage", json!("http://h/p/a")),
        ("/services/0/artifact/valuesOverwrite", json!("text")),
        ("/hdaGraphIntent/useStaticPlacement", json!("maybe")),
        ("/hdaGraphIntent/security/enabled", json!(1)),
        ("/hdaGraphIntent/highAvailability", json!({"minReplicasOverall": -1})),
        ("/services/0/deployment/trigger/event", json!({"events": []})),
        (
            "/services/0/deployment/trigger/event",
            json!({"events": [{"id": "e", "condition": {"promQuery": "up"}}]}),
        ),
        ("/services/0/deployment/intent/compute/gpu", json!("True")),
        ("/services/0/deployment/intent/network/latencies", json!([{"qos": "fast"}])),
        ("/services/0/deployment/intent/coLocation", json!([{}])),
        ("/smo/placement/weights", json!({"prize": 1})),
        ("/smo/placement/weights", json!({"price": -1})),
        ("/smo/placement/parameters", json!({"iterations": 1.5})),
        ("/smo/placement/strategy", json!(" ")),
        ("/services/0/smo/moveWeight", json!("2")),
        ("/services/0/smo/traffic", json!({"b": -1})),
        ("/services/0/smo/scaling/min", json!(0)),
        ("/services/0/smo/scaling/alpha", json!(0)),
        ("/services/0/smo/scaling/window", json!("5 min")),
        ("/services/0/smo/scaling/workload", json!("")),
    ] {
        let graph = with(pointer, value.clone());
        assert!(!accepts(&graph), "{pointer}: {value} is accepted");
        let parsed = from_document(graph, &IntentMapping::default(), &Limits::default());
        assert!(parsed.is_err(), "{pointer}: {value} is parsed");
    }
}
