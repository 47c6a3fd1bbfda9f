//! The objects that propagate a release. Pure.
//!
//! Policies name exactly the objects of the chart, one policy for each namespace, since a PropagationPolicy
//! selects in its own only. A Service that is called from other clusters is exported from its own and imported
//! there; and it is sent there itself, turned into an alias of the import, which Karmada names `derived-NAME`,
//! so that callers reach it by its name.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::clients::mirror::ObjectKey;
use crate::clients::{PropagationSpec, ReleaseKey};
use crate::model::{ManifestObject, ObjectId};

/// End of the names of all policies written here. Names of releases have no dots, so no chart's is the same.
const SUFFIX: &str = ".smo";

/// The kinds of objects that propagate a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    OverridePolicy,
    ServiceExport,
    ServiceImport,
    PropagationPolicy,
    ClusterPropagationPolicy,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::OverridePolicy,
        Self::ServiceExport,
        Self::ServiceImport,
        Self::PropagationPolicy,
        Self::ClusterPropagationPolicy,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::OverridePolicy => "OverridePolicy",
            Self::ServiceExport => "ServiceExport",
            Self::ServiceImport => "ServiceImport",
            Self::PropagationPolicy => "PropagationPolicy",
            Self::ClusterPropagationPolicy => "ClusterPropagationPolicy",
        }
    }

    /// Its name in paths.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::OverridePolicy => "overridepolicies",
            Self::ServiceExport => "serviceexports",
            Self::ServiceImport => "serviceimports",
            Self::PropagationPolicy => "propagationpolicies",
            Self::ClusterPropagationPolicy => "clusterpropagationpolicies",
        }
    }

    pub(super) fn group_version(self) -> (&'static str, &'static str) {
        match self {
            Self::ServiceExport | Self::ServiceImport => ("multicluster.x-k8s.io", "v1alpha1"),
            _ => ("policy.karmada.io", "v1alpha1"),
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        self != Self::ClusterPropagationPolicy
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PolicyObject {
    pub(super) kind: Kind,
    /// The namespace is empty for an object of the whole cluster.
    pub(super) key: ObjectKey,
    /// All but its metadata.
    pub(super) content: Value,
    /// It serves every release that needs it, and is never removed.
    pub(super) is_shared: bool,
}

impl PolicyObject {
    fn new(kind: Kind, namespace: &str, name: impl Into<String>, content: Value) -> Self {
        Self { kind, key: (namespace.to_owned(), name.into()), content, is_shared: false }
    }

    /// Whether `content` says everything that this object says; defaults of the API server come on top.
    pub(super) fn is_in(&self, content: &Value) -> bool {
        is_part(&self.content, content)
    }

    /// Kind and name, for people.
    pub(super) fn told(&self) -> String {
        format!("{} {}", self.kind, self.key.1)
    }
}

fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|in_whole| is_part(value, in_whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        (part, whole) => part == whole,
    }
}

/// The release whose policy has this name.
pub(in crate::clients::karmada) fn release_of_policy(name: &str) -> Option<ReleaseKey> {
    let mut parts = name.strip_suffix(SUFFIX)?.split('.');
    let (name, namespace) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    Some(ReleaseKey { namespace, name })
}

/// The objects that propagate a release.
pub(super) fn of(spec: &PropagationSpec) -> Vec<PolicyObject> {
    let ReleaseKey { namespace, name } = &spec.release;
    let name = |part: &str| format!("{name}.{namespace}{part}{SUFFIX}");
    let is_called = |object: &&ManifestObject| {
        !spec.importers.is_empty() && !object.ports.is_empty() && !object.hook && !wires_itself(spec, object)
    };
    let is_due = |object: &&ManifestObject| !object.hook || object.hook_of_removal || spec.installs;
    let objects = spec.manifest.objects.iter().filter(|object| object.is_for_members()).filter(is_due);
    let objects: Vec<&ManifestObject> = objects.collect();
    let (called, own): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_called);
    let own_cluster = [spec.cluster.clone()];
    let everywhere: Vec<String> = own_cluster.iter().chain(&spec.importers).cloned().collect();

    let mut written = Vec::new();
    let definitions = spec.manifest.definitions().map(definition);
    written.extend(definitions);
    let mut selectors = BTreeMap::<Option<&str>, Vec<Value>>::new();
    for object in own {
        selectors.entry(object.id.namespace.as_deref()).or_default().push(selector(&object.id));
    }
    let mut aliases = BTreeMap::<&str, Vec<&ManifestObject>>::new();
    for service in called {
        let Some(namespace) = service.id.namespace.as_deref() else { continue };
        selectors.entry(Some(namespace)).or_default().push(multicluster("ServiceExport", service));
        aliases.entry(namespace).or_default().push(service);
    }
    for (namespace, services) in aliases {
        let of_services = services.iter().map(|service| selector(&service.id)).collect();
        // The aliases come first: a Service never arrives where it is imported as what it is at home.
        written.extend(
            services
                .iter()
                .map(|service| alias(name(&format!(".{}", service.id.name)), service, &spec.importers)),
        );
        written.push(policy(Some(namespace), name(".services"), of_services, &everywhere));
        let imports = services.iter().map(|service| multicluster("ServiceImport", service)).collect();
        written.push(policy(Some(namespace), name(".imports"), imports, &spec.importers));
        for service in services {
            let export = PolicyObject::new(Kind::ServiceExport, namespace, &service.id.name, json!({}));
            let content = json!({"spec": {"type": "ClusterSetIP", "ports": service.ports}});
            let import = PolicyObject::new(Kind::ServiceImport, namespace, &service.id.name, content);
            written.extend([export, import]);
        }
    }
    let own = selectors.into_iter().map(|(namespace, list)| policy(namespace, name(""), list, &own_cluster));
    written.extend(own);
    written
}

/// Whether the chart exports or imports a Service itself: objects of these names are then Helm's.
fn wires_itself(spec: &PropagationSpec, service: &ManifestObject) -> bool {
    let is_its = |id: &ObjectId| {
        matches!(id.kind.as_str(), "ServiceExport" | "ServiceImport")
            && (&id.namespace, &id.name) == (&service.id.namespace, &service.id.name)
    };
    spec.manifest.objects.iter().any(|object| is_its(&object.id))
}

fn selector(id: &ObjectId) -> Value {
    json!({"apiVersion": id.api_version, "kind": id.kind, "name": id.name})
}

fn multicluster(kind: &str, service: &ManifestObject) -> Value {
    json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": kind, "name": service.id.name})
}

fn policy(namespace: Option<&str>, name: String, selectors: Vec<Value>, clusters: &[String]) -> PolicyObject {
    let kind = if namespace.is_some() { Kind::PropagationPolicy } else { Kind::ClusterPropagationPolicy };
    let content = json!({"spec": {
        "resourceSelectors": selectors,
        "propagateDeps": true,
        "placement": {"clusterAffinity": {"clusterNames": clusters}},
    }});
    PolicyObject::new(kind, namespace.unwrap_or_default(), name, content)
}

/// A definition goes to all members: which of its objects go where changes with every move, and it costs
/// nothing where there are none.
fn definition(id: &ObjectId) -> PolicyObject {
    let content = json!({"spec": {"resourceSelectors": [selector(id)], "placement": {}}});
    let policy =
        PolicyObject::new(Kind::ClusterPropagationPolicy, "", format!("{}{SUFFIX}", id.name), content);
    PolicyObject { is_shared: true, ..policy }
}

/// Turns a Service into an alias of its import where it is called from. Its whole specification is replaced: which
/// fields stand in the way of an alias depends on the Service.
fn alias(name: String, service: &ManifestObject, importers: &[String]) -> PolicyObject {
    let namespace = service.id.namespace.as_deref().unwrap_or_default();
    let import = format!("derived-{}.{namespace}.svc.cluster.local", service.id.name);
    let specification = json!({"type": "ExternalName", "externalName": import});
    let content = json!({"spec": {
        "resourceSelectors": [selector(&service.id)],
        "overrideRules": [{
            "targetCluster": {"clusterNames": importers},
            "overriders": {"plaintext": [{"path": "/spec", "operator": "replace", "value": specification}]},
        }],
    }});
    PolicyObject::new(Kind::OverridePolicy, namespace, name, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DEFINITION;
    use crate::model::{Manifest, ServicePort};

    fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> ManifestObject {
        let id = ObjectId {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        };
        ManifestObject { id, ..ManifestObject::default() }
    }

    fn service(name: &str) -> ManifestObject {
        let port = ServicePort { name: None, port: 80, protocol: "TCP".into(), app_protocol: None };
        ManifestObject { ports: vec![port], ..object("v1", "Service", Some("demo"), name) }
    }

    fn spec(objects: Vec<ManifestObject>, importers: &[&str]) -> PropagationSpec {
        PropagationSpec {
            release: ReleaseKey { namespace: "demo".into(), name: "shop".into() },
            owner: "g".into(),
            cluster: "edge-1".into(),
            installs: false,
            importers: importers.iter().map(|name| (*name).to_owned()).collect(),
            manifest: Manifest { objects, ..Manifest::default() },
        }
    }

    /// The objects that each policy selects, and the clusters it sends them to.
    fn policies(objects: &[PolicyObject]) -> BTreeMap<String, (Vec<String>, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let policy = |object: &PolicyObject| {
            let spec = &object.content["spec"];
            let selectors = spec["resourceSelectors"].as_array()?;
            let names = selectors.iter().map(|one| format!("{} {}", text(&one["kind"]), text(&one["name"])));
            let clusters = spec.pointer("/placement/clusterAffinity/clusterNames").unwrap_or(&Value::Null);
            let key = format!("{} {}/{}", object.kind, object.key.0, object.key.1);
            Some((key, (names.collect(), clusters.to_string())))
        };
        objects.iter().filter_map(policy).collect()
    }

    #[test]
    fn one_policy_for_each_namespace_names_exactly_its_objects() {
        let selected = ManifestObject { selected: true, ..object("v1", "Secret", Some("demo"), "theirs") };
        let objects = of(&spec(
            vec![
                object("apps/v1", "Deployment", Some("demo"), "shop"),
                service("shop"),
                selected,
                object("v1", "Namespace", None, "other"),
                object("v1", "ConfigMap", Some("other"), "c"),
                object("rbac.authorization.k8s.io/v1", "ClusterRole", None, "r"),
                object("apiextensions.k8s.io/v1", DEFINITION, None, "things.example.org"),
            ],
            &[],
        ));
        let expected = [
            ("ClusterPropagationPolicy /shop.demo.smo", vec!["ClusterRole r"], r#"["edge-1"]"#),
            (
                "ClusterPropagationPolicy /things.example.org.smo",
                vec!["CustomResourceDefinition things.example.org"],
                "null",
            ),
            (
                "PropagationPolicy demo/shop.demo.smo",
                vec!["Deployment shop", "Service shop"],
                r#"["edge-1"]"#,
            ),
            ("PropagationPolicy other/shop.demo.smo", vec!["ConfigMap c"], r#"["edge-1"]"#),
        ];
        let expected = expected.map(|(policy, objects, clusters)| {
            (policy.to_owned(), (objects.into_iter().map(str::to_owned).collect(), clusters.to_owned()))
        });
        assert_eq!(policies(&objects), expected.into());
        let shared: Vec<&str> = objects.iter().filter(|o| o.is_shared).map(|o| o.key.1.as_str()).collect();
        assert_eq!(shared, ["things.example.org.smo"]);
    }

    #[test]
    fn hooks_are_propagated_when_helm_waits_for_them_and_a_move_runs_none_again() {
        let hook = |name: &str, hook_of_removal| {
            let job = object("batch/v1", "Job", Some("demo"), name);
            ManifestObject { hook: true, hook_of_removal, ..job }
        };
        let main = object("apps/v1", "Deployment", Some("demo"), "shop");
        let selected = |installs| {
            let spec = spec(vec![main.clone(), hook("migrate", false), hook("farewell", true)], &[]);
            policies(&of(&PropagationSpec { installs, ..spec }))
                .remove("PropagationPolicy demo/shop.demo.smo")
                .unwrap()
                .0
        };
        assert_eq!(selected(true), ["Deployment shop", "Job migrate", "Job farewell"]);
        assert_eq!(selected(false), ["Deployment shop", "Job farewell"]);
    }

    #[test]
    fn a_service_that_is_called_from_elsewhere_is_exported_imported_and_aliased() {
        let objects = of(&spec(
            vec![object("apps/v1", "Deployment", Some("demo"), "shop"), service("shop")],
            &["edge-2", "cloud"],
        ));
        let policies = policies(&objects);
        let own = &policies["PropagationPolicy demo/shop.demo.smo"];
        assert_eq!(own.0, ["Deployment shop", "ServiceExport shop"]);
        let services = &policies["PropagationPolicy demo/shop.demo.services.smo"];
        assert_eq!(
            (services.0.as_slice(), services.1.as_str()),
            (&["Service shop".to_owned()][..], r#"["edge-1","edge-2","cloud"]"#)
        );
        let imports = &policies["PropagationPolicy demo/shop.demo.imports.smo"];
        assert_eq!(
            (imports.0.as_slice(), imports.1.as_str()),
            (&["ServiceImport shop".to_owned()][..], r#"["edge-2","cloud"]"#)
        );
        let rules = objects.iter().find(|object| object.kind == Kind::OverridePolicy).unwrap();
        let rule = &rules.content["spec"]["overrideRules"][0];
        assert_eq!(rule["targetCluster"]["clusterNames"], json!(["edge-2", "cloud"]));
        let value = &rule["overriders"]["plaintext"][0]["value"];
        assert_eq!(value["externalName"], "derived-shop.demo.svc.cluster.local");
        let import = objects.iter().find(|object| object.kind == Kind::ServiceImport).unwrap();
        assert_eq!(import.content["spec"]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
        assert_eq!(rules.key.1, "shop.demo.shop.smo");
    }

    #[test]
    fn a_service_that_the_chart_exports_itself_is_left_to_it() {
        let export = object("multicluster.x-k8s.io/v1alpha1", "ServiceExport", Some("demo"), "shop");
        let objects = of(&spec(vec![service("shop"), service("db"), export], &["edge-2"]));
        let exports: Vec<&str> =
            objects.iter().filter(|o| o.kind == Kind::ServiceExport).map(|o| o.key.1.as_str()).collect();
        assert_eq!(exports, ["db"]);
        let own = &policies(&objects)["PropagationPolicy demo/shop.demo.smo"].0;
        assert_eq!(own, &["Service shop", "ServiceExport shop", "ServiceExport db"]);
    }

    #[test]
    fn defaults_of_the_server_are_no_difference_and_changes_are() {
        let wanted = PolicyObject::new(Kind::PropagationPolicy, "n", "a", json!({"spec": {"a": [{"b": 1}]}}));
        assert!(wanted.is_in(&json!({"spec": {"a": [{"b": 1, "c": 2}], "d": 3}})));
        assert!(!wanted.is_in(&json!({"spec": {"a": [{"b": 2}]}})));
        assert!(!wanted.is_in(&json!({"spec": {"a": [{"b": 1}, {"b": 1}]}})));
        assert!(!wanted.is_in(&json!({})));
    }

    #[test]
    fn the_release_of_a_policy_is_in_its_name() {
        let release = ReleaseKey { namespace: "demo".into(), name: "shop".into() };
        assert_eq!(release_of_policy("shop.demo.smo"), Some(release.clone()));
        assert_eq!(release_of_policy("shop.demo.services.smo"), Some(release));
        assert_eq!(release_of_policy("shop"), None);
        assert_eq!(release_of_policy("shop.smo"), None);
    }
}
