//! Reads the objects of a rendered chart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::kinds::workload_of;
use crate::model::{DEFINITION, ManifestObject, ObjectId, ServicePort};

/// Kinds of Kubernetes and Karmada whose objects belong to no namespace.
const OF_THE_CLUSTER: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", DEFINITION),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy.karmada.io", "ClusterOverridePolicy"),
    ("policy.karmada.io", "ClusterPropagationPolicy"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];
/// Groups whose objects would act on the API server that stores them: Karmada's own.
const OF_THE_API_SERVER: [&str; 3] =
    ["admissionregistration.k8s.io", "apiregistration.k8s.io", "flowcontrol.apiserver.k8s.io"];

/// Whether kinds outside Kubernetes are namespaced, by group and kind.
pub(in crate::clients) type Scopes = BTreeMap<(String, String), bool>;

/// The objects of a chart's documents, lists taken apart; empty documents are skipped.
///
/// # Errors
/// A text is not YAML.
pub(in crate::clients) fn parse(texts: &[&str]) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let mut objects = Vec::new();
    for text in texts {
        let documents: Vec<Option<Value>> = serde_saphyr::from_multiple_with_options(text, options.clone())
            .map_err(|error| error.to_string())?;
        documents.into_iter().flatten().for_each(|document| flatten(document, &mut objects));
    }
    Ok(objects)
}

fn flatten(document: Value, objects: &mut Vec<Value>) {
    let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items.iter().for_each(|item| flatten(item.clone(), objects)),
        _ if document.get("kind").is_some() => objects.push(document),
        _ => {}
    }
}

/// Group and kind of those objects whose scope only their definitions tell, with what the chart's own say.
pub(in crate::clients) fn scopes(objects: &[Value]) -> (Scopes, BTreeSet<(String, String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut known = Scopes::new();
    for spec in objects.iter().filter(|object| object["kind"] == DEFINITION).map(|object| &object["spec"]) {
        known.insert((text(&spec["group"]), text(&spec["names"]["kind"])), spec["scope"] != "Cluster");
    }
    let mut unknown = BTreeSet::new();
    for object in objects {
        let id = id_of(object);
        let key = (id.group().to_owned(), id.kind.clone());
        if !is_of_kubernetes(&key.0) && !known.contains_key(&key) {
            let version = id.api_version.rsplit('/').next().unwrap_or_default();
            unknown.insert((key.0, version.to_owned(), key.1));
        }
    }
    (known, unknown)
}

fn is_of_kubernetes(group: &str) -> bool {
    !group.contains('.')
        || group.ends_with(".k8s.io") && !group.ends_with(".x-k8s.io")
        || is_of_karmada(group)
}

/// Whether objects of a group tell Karmada what to do, so that they are not for members.
fn is_of_karmada(group: &str) -> bool {
    group.ends_with("karmada.io")
}

/// Reduces the objects of a chart that is installed into `namespace`.
pub(in crate::clients) fn read(objects: &[Value], namespace: &str, scopes: &Scopes) -> Vec<ManifestObject> {
    let full: Vec<(ObjectId, &Value)> =
        objects.iter().map(|object| (placed(id_of(object), namespace, scopes), object)).collect();
    let selectors: Vec<Selector> = full.iter().flat_map(|(id, object)| selectors(id, object)).collect();
    let mut read = Vec::new();
    for (id, object) in full {
        let annotation = |name: &str| object["metadata"]["annotations"][name].as_str();
        let hooks = annotation("helm.sh/hook");
        let occasions: Vec<&str> = hooks.iter().flat_map(|hooks| hooks.split(',')).map(str::trim).collect();
        if !occasions.is_empty() && occasions.iter().all(|occasion| occasion.starts_with("test")) {
            continue;
        }
        read.push(ManifestObject {
            hook: !occasions.is_empty(),
            hook_of_removal: !occasions.is_empty()
                && occasions.iter().all(|occasion| matches!(*occasion, "pre-delete" | "post-delete")),
            kept: annotation("helm.sh/resource-policy") == Some("keep"),
            selected: is_of_karmada(id.group())
                || selectors.iter().any(|selector| selector.matches(&id, object)),
            workload: workload_of(&id, object),
            ports: if id.api_version == "v1" && id.kind == "Service" { ports(object) } else { Vec::new() },
            claims: claims(&id, object),
            harm: harm(&id, object),
            id,
        });
    }
    read
}

fn id_of(object: &Value) -> ObjectId {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    ObjectId { api_version, kind, namespace, name: text("/metadata/name") }
}

/// The identity as the API server will have it: Helm's namespace where none is stated, none where the kind has
/// none.
fn placed(mut id: ObjectId, namespace: &str, scopes: &Scopes) -> ObjectId {
    let of_the_cluster = OF_THE_CLUSTER.contains(&(id.group(), id.kind.as_str()))
        || scopes.get(&(id.group().to_owned(), id.kind.clone())) == Some(&false);
    id.namespace = match of_the_cluster {
        true => None,
        false => id.namespace.or_else(|| Some(namespace.to_owned())),
    };
    id
}

/// One entry of the list of objects that a propagation policy of a chart selects.
struct Selector {
    api_version: String,
    kind: String,
    /// Empty for any.
    name: String,
    /// `None` for any.
    namespace: Option<String>,
    labels: Option<LabelSelector>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

fn selectors(policy: &ObjectId, object: &Value) -> Vec<Selector> {
    let is_policy = policy.group() == "policy.karmada.io"
        && matches!(policy.kind.as_str(), "PropagationPolicy" | "ClusterPropagationPolicy");
    let list = object.pointer("/spec/resourceSelectors").and_then(Value::as_array).filter(|_| is_policy);
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let selector = |entry: &Value| Selector {
        api_version: text(entry, "apiVersion"),
        kind: text(entry, "kind"),
        name: text(entry, "name"),
        // A policy of a namespace selects nothing outside of it, whatever it says.
        namespace: policy.namespace.clone().or(entry["namespace"].as_str().map(str::to_owned)),
        labels: entry.get("labelSelector").and_then(|labels| LabelSelector::deserialize(labels).ok()),
    };
    list.into_iter().flatten().map(selector).collect()
}

impl Selector {
    fn matches(&self, id: &ObjectId, object: &Value) -> bool {
        let label = |name: &str| object["metadata"]["labels"][name].as_str();
        self.api_version == id.api_version
            && self.kind == id.kind
            && self.namespace.as_ref().is_none_or(|namespace| id.namespace.as_ref() == Some(namespace))
            // With a name, the labels are not looked at.
            && match (self.name.as_str(), &self.labels) {
                ("", labels) => labels.as_ref().is_none_or(|labels| labels.matches(label)),
                (name, _) => name == id.name,
            }
    }
}

impl LabelSelector {
    fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |expression: &Expression| {
            let value = label(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().any(|listed| listed == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        };
        self.match_labels.iter().all(|(name, value)| label(name) == Some(value))
            && self.match_expressions.iter().all(holds)
    }
}

fn ports(service: &Value) -> Vec<ServicePort> {
    if service["spec"]["type"] == "ExternalName" {
        return Vec::new();
    }
    let text = |port: &Value, name: &str| port[name].as_str().map(str::to_owned);
    let port = |port: &Value| {
        Some(ServicePort {
            name: text(port, "name"),
            port: port["port"].as_i64()?,
            protocol: text(port, "protocol").unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: text(port, "appProtocol"),
        })
    };
    service["spec"]["ports"].as_array().into_iter().flatten().filter_map(port).collect()
}

fn claims(id: &ObjectId, object: &Value) -> Vec<String> {
    match (id.api_version.as_str(), id.kind.as_str()) {
        ("v1", "PersistentVolumeClaim") => vec![id.name.clone()],
        ("apps/v1", "StatefulSet") => {
            let templates = object["spec"]["volumeClaimTemplates"].as_array();
            let names =
                templates.into_iter().flatten().filter_map(|claim| claim["metadata"]["name"].as_str());
            names.map(|template| format!("{template}-{}", id.name)).collect()
        }
        _ => Vec::new(),
    }
}

fn harm(id: &ObjectId, object: &Value) -> Option<String> {
    let namespace = match (id.group(), id.kind.as_str()) {
        ("", "Namespace") => Some(id.name.as_str()),
        _ => id.namespace.as_deref(),
    };
    if let Some(namespace) = namespace.filter(|namespace| is_reserved(namespace)) {
        return Some(format!("belongs to namespace {namespace}, which Karmada never propagates"));
    }
    if OF_THE_API_SERVER.contains(&id.group()) {
        return Some("would act on Karmada's own API server".to_owned());
    }
    if matches!(id.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
        let subjects = object["subjects"].as_array().into_iter().flatten();
        let person =
            subjects.filter_map(|subject| Some((subject["kind"].as_str()?, subject["name"].as_str()?)));
        let person = person.into_iter().find(|(kind, _)| matches!(*kind, "User" | "Group"));
        return person.map(|(kind, name)| format!("would give {kind} {name} rights in Karmada itself"));
    }
    None
}

/// Namespaces that Karmada keeps for itself or does not propagate.
fn is_reserved(namespace: &str) -> bool {
    namespace.starts_with("kube-")
        || namespace.starts_with("karmada-es-")
        || matches!(namespace, "karmada-system" | "karmada-cluster")
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
