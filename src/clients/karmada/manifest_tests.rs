//! Tests of reading what charts bring.

use super::*;

const CHART: &str = r#"
---
# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop, tier: front}}
spec:
  replicas: 2
  selector: {}
  template: {spec: {containers: [{name: a, resources: {requests: {cpu: 250m}}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {app: shop}}
spec:
  serviceName: db
  selector: {}
  template: {spec: {containers: [{name: a}]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {ports: [{port: 80, name: http}]}}
  - {apiVersion: v1, kind: Service, metadata: {name: else}, spec: {type: ExternalName, ports: [{port: 80}]}}
  - {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r, namespace: x}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: "pre-install, pre-upgrade"}}
spec: {template: {spec: {containers: [{name: a}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: try, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: a}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, namespace: other, annotations: {helm.sh/resource-policy: keep}}
"#;

fn objects(text: &str) -> Vec<ManifestObject> {
    let objects = parse(&[text]).unwrap();
    let (scopes, _) = scopes(&objects);
    read(&objects, "demo", &scopes)
}

fn find<'a>(objects: &'a [ManifestObject], name: &str) -> &'a ManifestObject {
    objects.iter().find(|object| object.id.name == name).unwrap_or_else(|| panic!("{name} in {objects:#?}"))
}

#[test]
fn every_object_is_read_with_its_namespace_and_tests_are_left_out() {
    let objects = objects(CHART);
    let told: Vec<String> = objects
        .iter()
        .map(|object| format!("{} {}", object.id, object.id.namespace.as_deref().unwrap_or("-")))
        .collect();
    let expected = [
        "Deployment shop demo",
        "StatefulSet db demo",
        "Service shop demo",
        "Service else demo",
        "ClusterRole r -",
        "Job migrate demo",
        "PersistentVolumeClaim files other",
    ];
    assert_eq!(told, expected);
    let workload = find(&objects, "shop").workload.clone().unwrap();
    assert_eq!((workload.replicas, workload.requests.cpu_millicores), (2, 250));
    assert_eq!(find(&objects, "db").claims, ["data-db"]);
    assert_eq!(find(&objects, "files").claims, ["files"]);
    assert!(find(&objects, "files").kept && !find(&objects, "db").kept);
    assert!(find(&objects, "migrate").hook && !find(&objects, "db").hook);
    let ports: Vec<i64> = objects.iter().flat_map(|object| &object.ports).map(|port| port.port).collect();
    assert_eq!(ports, [80], "an alias of something outside cannot be imported");
}

/// The names that a policy of these selectors selects of two Deployments `shop` (app: shop) and `other` (app:
/// other).
fn selected(kind: &str, selectors: &str) -> Vec<String> {
    let deployment = |name: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n---\n"
        )
    };
    let policy = format!(
        "apiVersion: policy.karmada.io/v1alpha1\nkind: {kind}\nmetadata: {{name: p}}\nspec: {{resourceSelectors: {selectors}}}"
    );
    let objects = objects(&(deployment("shop") + &deployment("other") + &policy));
    let of_chart = objects.into_iter().filter(|object| object.selected && object.id.kind == "Deployment");
    of_chart.map(|object| object.id.name).collect()
}

#[test]
fn policies_of_a_chart_select_as_karmada_has_it() {
    let of_namespace = |selector: &str| selected("PropagationPolicy", &format!("[{{{selector}}}]"));
    let deployments = "apiVersion: apps/v1, kind: Deployment";
    assert_eq!(of_namespace(deployments), ["shop", "other"]);
    assert_eq!(of_namespace(&format!("{deployments}, name: shop")), ["shop"]);
    assert_eq!(
        of_namespace(&format!("{deployments}, labelSelector: {{matchLabels: {{app: shop}}}}")),
        ["shop"]
    );
    let expression = |operator: &str| {
        of_namespace(&format!(
            "{deployments}, labelSelector: {{matchExpressions: [{{key: app, operator: {operator}, values: [shop]}}]}}"
        ))
    };
    assert_eq!(expression("In"), ["shop"]);
    assert_eq!(expression("NotIn"), ["other"]);
    assert_eq!(expression("Exists"), ["shop", "other"]);
    assert_eq!(expression("DoesNotExist"), [""; 0]);
    assert_eq!(of_namespace("apiVersion: v1, kind: Deployment"), [""; 0]);
    assert_eq!(
        selected("ClusterPropagationPolicy", &format!("[{{{deployments}, namespace: demo}}]")),
        ["shop", "other"]
    );
    assert_eq!(selected("ClusterPropagationPolicy", &format!("[{{{deployments}, namespace: x}}]")), [""; 0]);
    assert_eq!(selected("OverridePolicy", &format!("[{{{deployments}}}]")), [""; 0]);
}

#[test]
fn what_would_act_on_karmada_is_told() {
    let harm = |text: &str| objects(text).remove(0).harm;
    for (api_version, kind) in [
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"),
        ("apiregistration.k8s.io/v1", "APIService"),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"),
    ] {
        let told = harm(&format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}"));
        assert_eq!(told.as_deref(), Some("would act on Karmada's own API server"), "{kind}");
    }
    let bound = |subject: &str| {
        harm(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: a}}\nsubjects: [{{kind: {subject}, name: b}}]"
        ))
    };
    assert_eq!(bound("Group").as_deref(), Some("would give Group b rights in Karmada itself"));
    assert_eq!(bound("User").as_deref(), Some("would give User b rights in Karmada itself"));
    assert_eq!(bound("ServiceAccount"), None);
    for namespace in ["kube-system", "karmada-system", "karmada-cluster", "karmada-es-member1"] {
        let told =
            harm(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}"));
        assert!(told.is_some_and(|told| told.contains(namespace)));
        assert!(harm(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}")).is_some());
    }
    assert_eq!(harm("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: karmada}"), None);
}

#[test]
fn the_scope_of_a_kind_is_told_by_the_charts_own_definitions() {
    let text = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, scope: Cluster, names: {kind: Thing}}
---
apiVersion: example.org/v1
kind: Thing
metadata: {name: a}
---
apiVersion: example.org/v1
kind: Other
metadata: {name: b}
";
    let parsed = parse(&[text]).unwrap();
    let (known, unknown) = scopes(&parsed);
    assert_eq!(unknown.into_iter().map(|(_, _, kind)| kind).collect::<Vec<_>>(), ["Other"]);
    let objects = read(&parsed, "demo", &known);
    assert_eq!(find(&objects, "a").id.namespace, None);
    assert_eq!(find(&objects, "b").id.namespace.as_deref(), Some("demo"));
}

#[test]
fn what_is_no_yaml_is_refused() {
    assert!(parse(&["a: [1"]).is_err());
    assert_eq!(parse(&["", "---\n", "# nothing"]).unwrap(), Vec::<Value>::new());
}
