//! Results of a descriptor and a placement: values, imports, order, names.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn service(implementer: &str, values: &str) -> Service {
    let text = one("trigger: {auto: }").replace(
        "artifact: {",
        &format!("artifact: {{ociConfig: {{implementer: {implementer}}}, valuesOverwrite: {values}, "),
    );
    yaml(&text).unwrap().descriptor.services.remove(0)
}

fn assignment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(service, cluster)| ((*service).to_owned(), (*cluster).to_owned())).collect()
}

#[test]
fn clusters_go_to_the_top_or_for_wot_below_vo_chart_overwrite() {
    let imports = ["x".to_owned(), "y".to_owned()];
    let place = json!({"clustersAffinity": ["x"], "serviceImportClusters": ["x", "y"]});
    for (implementer, values, wanted) in [
        (
            "HELM",
            "{a: 1, clustersAffinity: [old]}",
            json!({"a": 1, "clustersAffinity": ["x"], "serviceImportClusters": ["x", "y"]}),
        ),
        ("HELM", "{}", place.clone()),
        (
            "anything",
            "{voChartOverwrite: {}}",
            json!({"voChartOverwrite": {}, "clustersAffinity": ["x"], "serviceImportClusters": ["x", "y"]}),
        ),
        ("WOT", "{a: 1}", json!({"a": 1, "voChartOverwrite": place.clone()})),
        ("wot", "{voChartOverwrite: }", json!({"voChartOverwrite": place})),
        (
            "WOT",
            "{voChartOverwrite: {b: 2}}",
            json!({"voChartOverwrite": {"b": 2, "clustersAffinity": ["x"], "serviceImportClusters": ["x", "y"]}}),
        ),
    ] {
        let values = release_values(&service(implementer, values), Some("x"), &imports);
        assert_eq!(Value::Object(values), wanted);
    }
}

#[test]
fn static_placement_leaves_values_alone() {
    let service = service("WOT", "{a: 1}");
    assert_eq!(Value::Object(release_values(&service, None, &["x".to_owned()])), json!({"a": 1}));
}

#[test]
fn a_service_is_imported_where_its_callers_are_and_never_nowhere() {
    let call = |names: &str| format!("trigger: {{auto: }}, intent: {{connectionPoints: [{names}]}}");
    let (a, b, own) = (call("callee, own"), call("callee"), call("own"));
    let text = graph(&[
        ("a", &a),
        ("b", &b),
        ("c", &b),
        ("callee", "trigger: {auto: }"),
        ("own", &own),
        ("unplaced", "trigger: {auto: }"),
    ]);
    let graph = yaml(&text).unwrap().descriptor;
    let places = [("a", "z"), ("b", "y"), ("c", "z"), ("callee", "x"), ("own", "y")];
    let imports = service_import_clusters(&graph, &assignment(&places));
    assert_eq!(
        serde_json::to_value(imports).unwrap(),
        json!({"a": ["z"], "b": ["y"], "c": ["z"], "callee": ["y", "z"], "own": ["y", "z"]})
    );
}

#[test]
fn services_come_after_those_they_depend_on_else_in_descriptor_order() {
    let on = |names: &str| format!("trigger: {{auto: {{dependencies: [{names}]}}}}");
    let event = "trigger: {event: {events: [{id: e, condition: {promQuery: up}}]}}";
    let (d, a, none) = (on("d, d"), on("c, e"), on(""));
    let graph =
        yaml(&graph(&[("a", &a), ("b", &none), ("c", &d), ("d", &none), ("e", event)])).unwrap().descriptor;
    let order: Vec<&str> =
        dependency_order(&graph).into_iter().map(|index| graph.services[index].id.as_str()).collect();
    assert_eq!(order, ["b", "d", "c", "e", "a"]);
}

#[test]
fn slugs_are_readable_and_distinct() {
    assert_eq!(slug("brussels-demo", 63), "brussels-demo-998be566");
    assert_eq!(slug("Größe & Maß!", 63), "gr-e-ma-f810fec2");
    assert_eq!(slug("日本", 63).len(), 8);
    assert_ne!(slug("a b", 63), slug("a-b", 63));
    assert_eq!(slug(&"x".repeat(300), 20).len(), 20);
    assert_eq!(slug("abc", 5).len(), 5);
}

#[test]
fn dns_labels() {
    for good in ["a", "0", "a-b", "a--b", "9z"] {
        assert!(is_dns_label(good, 4), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a_b", "abcde", "é", "a\n"] {
        assert!(!is_dns_label(bad, 4), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn slugs_are_dns_labels(text in "\\PC{0,80}", max in 10..64_usize) {
        let slug = slug(&text, max);
        prop_assert!(is_dns_label(&slug, max), "{}", slug);
    }

    #[test]
    fn a_dependency_order_is_a_permutation_that_respects_every_dependency(
        edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..30),
    ) {
        // Only edges to smaller numbers, so there is no cycle; services stand in reverse order.
        let triggers: Vec<String> = (0..12)
            .rev()
            .map(|this| {
                let on: Vec<String> = edges
                    .iter()
                    .filter(|(from, to)| *from == this && to < from)
                    .map(|(_, to)| format!("s{to}"))
                    .collect();
                format!("trigger: {{auto: {{dependencies: [{}]}}}}", on.join(", "))
            })
            .collect();
        let names: Vec<String> = (0..12).rev().map(|this| format!("s{this}")).collect();
        let services: Vec<(&str, &str)> =
            names.iter().zip(&triggers).map(|(name, trigger)| (name.as_str(), trigger.as_str())).collect();
        let graph = yaml(&graph(&services)).unwrap().descriptor;
        let order = dependency_order(&graph);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..12).collect::<Vec<_>>());
        let turn = |id: &str| order.iter().position(|index| graph.services[*index].id == id);
        for (from, to) in edges.iter().filter(|(from, to)| to < from) {
            let (first, second) = (turn(&format!("s{to}")), turn(&format!("s{from}")));
            prop_assert!(first < second);
        }
    }
}
