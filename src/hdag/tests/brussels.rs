//! A whole descriptor as users of the original write them.

use serde_json::{Value, json};

use super::*;

const TEXT: &str = r#"hdaGraph:
  imVersion: 0.4.0
  id: brussels-demo
  version: 1.10
  designer: someone
  description: A pipeline over the computing continuum
  hdaGraphIntent:
    useStaticPlacement: False
    security: {enabled: False}
    highAvailability: {enabled: "True", minReplicasOverall: 1, maxReplicasOverall: 9}
    highPerformance: {enabled: no}
    energyEfficiency: {enabled: True}
  services:
    - id: image-compression-vo
      deployment:
        trigger:
          event:
            condition: AND
            events:
              - id: cluster_is_busy
                source: [{serviceId: elsewhere, metricId: cpu}]
                condition:
                  promQuery: 'sum(rate(flask_http_request_total{service="noise-reduction"}[5m])) > 0.5'
                  gracePeriod: 1h30m
                  description: noise-reduction is busy
        intent:
          network:
            deviceProximity: {enabled: True}
            latencies:
              - {connectionPoint: noise-reduction, qos: ultralow}
              - {connectionPoint: "", qos: best-effort}
          compute: {cpu: light, ram: light, storage: small, gpu: {enabled: "False"}}
          coLocation: []
          connectionPoints: [noise-reduction]
          metrics: []
      artifact:
        ociImage: oci://registry.example:5000/brussels/image-compression-vo:1.0.0
        ociConfig: {type: VO, implementer: WOT}
        ociRun: {name: HELM, version: v3}
        valuesOverwrite:
          voChartOverwrite: {replicas: 1}
    - id: noise-reduction
      deployment:
        trigger:
          auto:
            dependencies: [image-detection]
        intent:
          compute: {cpu: medium, ram: large, storage: large, gpu: {enabled: True}}
          coLocation: [{id: image-detection}, image-detection]
          connectionPoints: [image-detection]
      artifact:
        ociImage: oci://registry.example/brussels/noise-reduction
        ociConfig: {type: App, implementer: HELM}
        valuesOverwrite: null
    - id: image-detection
      deployment:
        trigger: {auto: {}}
        intent: {compute: {cpu: small}}
      artifact:
        ociImage: oci://registry.example/brussels/image-detection:2.1.0+build.7
        valuesOverwrite: {image: {tag: "007"}, mode: 0755, country: "no", version: 1.0, on: text}
"#;

#[test]
fn every_part_is_read() {
    let parsed = yaml(TEXT).unwrap();
    let graph = &parsed.descriptor;
    assert_eq!(graph.id, "brussels-demo");
    assert_eq!(
        graph.intent,
        GraphIntent {
            high_availability: true,
            min_replicas_overall: Some(1),
            max_replicas_overall: Some(9),
            energy_efficiency: true,
            ..GraphIntent::default()
        }
    );
    let compression = graph.service("image-compression-vo").unwrap();
    insta::assert_json_snapshot!(compression.trigger, @r#"
    {
      "event": {
        "condition": "ALL",
        "events": [
          {
            "id": "cluster_is_busy",
            "prom_query": "sum(rate(flask_http_request_total{service=\"noise-reduction\"}[5m])) > 0.5",
            "grace_period": "1h30m",
            "description": "noise-reduction is busy"
          }
        ]
      }
    }
    "#);
    assert!(compression.device_proximity);
    assert_eq!(
        compression.latencies,
        [
            Latency { connection_point: Some("noise-reduction".into()), qos: LatencyQos::Ultralow },
            Latency { connection_point: None, qos: LatencyQos::BestEffort },
        ]
    );
    assert_eq!(compression.connection_points, ["noise-reduction"]);
    assert_eq!((compression.artifact_type.as_str(), compression.implementer.as_str()), ("VO", "WOT"));
    assert_eq!(
        compression.needs,
        Resources {
            cpu_millicores: 500,
            ram_bytes: 500 << 20,
            storage_bytes: 10_000_000_000,
            gpus: 0,
            pods: 0
        }
    );
    let noise = graph.service("noise-reduction").unwrap();
    assert_eq!(
        noise.needs,
        Resources {
            cpu_millicores: 4000,
            ram_bytes: 8 << 30,
            storage_bytes: 40_000_000_000,
            gpus: 1,
            pods: 0
        }
    );
    assert_eq!(noise.trigger, Trigger::Auto { dependencies: vec!["image-detection".into()] });
    assert_eq!(noise.co_location, ["image-detection"]);
    assert!(noise.values.is_empty());
}

#[test]
fn the_document_is_kept_as_it_was_posted() {
    let document = yaml(TEXT).unwrap().descriptor.document;
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["imVersion", "id", "version", "designer", "description", "hdaGraphIntent", "services"]);
    assert_eq!(document["hdaGraphIntent"]["useStaticPlacement"], json!(false));
    assert_eq!(document["hdaGraphIntent"]["highAvailability"]["enabled"], json!("True"));
    assert_eq!(document["hdaGraphIntent"]["highPerformance"]["enabled"], json!("no"));
    assert_eq!(
        document["services"][2]["artifact"]["valuesOverwrite"],
        json!({"image": {"tag": "007"}, "mode": 493, "country": "no", "version": 1.0, "on": "text"})
    );
}

#[test]
fn only_the_spelling_of_a_condition_and_of_a_number_is_worth_a_warning() {
    let warnings = yaml(TEXT).unwrap().warnings;
    assert_eq!(
        lines(&warnings),
        "18:24 /hdaGraph/services/0/deployment/trigger/event/condition: \"AND\" is taken as ALL\n\
         61:54 /hdaGraph/services/2/artifact/valuesOverwrite/mode: is read as an octal number, as Helm does; write it in \
         decimal, or quote it"
    );
}

#[test]
fn json_and_the_stored_document_give_the_same_descriptor() {
    let from_yaml = yaml(TEXT).unwrap().descriptor;
    let text = json!({ "hdaGraph": from_yaml.document }).to_string();
    assert_eq!(json(&text).unwrap().descriptor, from_yaml);
    let stored: Value = serde_json::from_str(&from_yaml.document.to_string()).unwrap();
    let again = from_document(stored, &IntentMapping::default(), &Limits::default()).unwrap();
    assert_eq!(again.descriptor, from_yaml);
    assert_eq!(again.warnings[0].location, None);
}

#[test]
fn the_digest_ignores_the_order_of_keys_and_nothing_else() {
    let one = json!({"a": 1, "b": [1, 2], "c": {"x": null, "y": "z"}});
    let same = json!({"c": {"y": "z", "x": null}, "b": [1, 2], "a": 1});
    assert_eq!(digest(&one), digest(&same));
    // printf '{"a":1,"b":[1,2],"c":{"x":null,"y":"z"}}' | sha256sum
    assert_eq!(digest(&one), "216c25b10b0bab5a103c78478aac1ead310512764710c8bb774c62e1dbe29756");
    for other in [
        json!({"a": 1, "b": [2, 1], "c": {"x": null, "y": "z"}}),
        json!({"a": "1", "b": [1, 2], "c": {"x": null, "y": "z"}}),
        json!({"a": 1, "b": [1, 2], "c": {"y": "z"}}),
    ] {
        assert_ne!(digest(&one), digest(&other));
    }
}
