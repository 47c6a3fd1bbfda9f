//! Tests of the index, fed with objects as a watch delivers them.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::*;

fn deployment(name: &str, release: &str, generation: i64, containers: Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "demo", "generation": generation,
            "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "demo"},
        },
        "spec": {
            "replicas": 2, "selector": {},
            "template": {"spec": {
                "containers": containers,
                "initContainers": [{"name": "init", "resources": {"limits": {"cpu": "600m"}}}],
            }},
        },
    }))
    .unwrap()
}

fn plain(name: &str, release: &str) -> Deployment {
    deployment(name, release, 1, json!([{"name": "c"}]))
}

fn binding(name: &str, cluster: &str, template_generation: i64) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
        "metadata": {"name": format!("{name}-deployment"), "namespace": "demo", "generation": 3},
        "spec": {
            "resource": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "demo", "name": name},
            "replicas": 2, "clusters": [{"name": cluster, "replicas": 2}],
        },
        "status": {
            "schedulerObservedGeneration": 3,
            "conditions": [
                {"type": "Scheduled", "status": "True", "reason": "Success"},
                {"type": "FullyApplied", "status": "True"},
            ],
            "aggregatedStatus": [{
                "clusterName": cluster, "applied": true, "health": "Healthy",
                "status": {"readyReplicas": 2, "resourceTemplateGeneration": template_generation},
            }],
        },
    }))
    .unwrap()
}

fn release(name: &str) -> ReleaseKey {
    ReleaseKey { namespace: "demo".to_owned(), name: name.to_owned() }
}

fn touched(names: &[&str]) -> BTreeSet<ReleaseKey> {
    names.iter().map(|name| release(name)).collect()
}

/// An index whose first lists are complete.
fn index(deployments: Vec<Deployment>, bindings: Vec<DynamicObject>) -> Index {
    let mut index = Index::default();
    index.apply_workload(Event::<Deployment>::Init);
    for object in deployments {
        index.apply_workload(Event::InitApply(object));
    }
    index.apply_workload(Event::<Deployment>::InitDone);
    index.apply_binding(Event::Init);
    for object in bindings {
        index.apply_binding(Event::InitApply(object));
    }
    index.apply_binding(Event::InitDone);
    index
}

#[test]
fn a_deployment_and_its_binding_are_found_by_release() {
    let index = index(vec![plain("d", "a"), plain("other", "b")], vec![binding("d", "edge-1", 1)]);
    let found = index.of_release(&release("a"));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].replicas), ("d", 2));
    let binding = found[0].binding.as_ref().unwrap();
    assert_eq!(binding.scheduled, BTreeMap::from([("edge-1".to_owned(), 2)]));
    assert!(binding.fully_applied && binding.up_to_date);
    assert_eq!(binding.unscheduled_reason, None);
    let expected = MemberStatus { applied: true, healthy: true, ready_replicas: 2, message: None };
    assert_eq!(binding.clusters["edge-1"], expected);
    assert_eq!(index.of_release(&release("b"))[0].binding, None);
    assert_eq!(index.of_release(&release("unknown")), []);
}

#[test]
fn requests_of_containers_add_up_and_limits_count_where_nothing_is_requested() {
    let containers = json!([
        {"name": "c", "resources": {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
        }},
        {"name": "d", "resources": {"requests": {"cpu": "250m", "ephemeral-storage": "1Gi"}}},
    ]);
    let index = index(vec![deployment("d", "a", 1, containers)], vec![]);
    let expected =
        Resources { cpu_millicores: 750, ram_bytes: 1 << 30, storage_bytes: 1 << 30, gpus: 1, pods: 1 };
    assert_eq!(index.of_release(&release("a"))[0].requests, expected);
}

#[test]
fn events_tell_the_releases_they_touch() {
    let mut index = index(vec![plain("d", "a")], vec![]);
    assert_eq!(index.apply_binding(Event::Apply(binding("d", "edge-1", 1))), touched(&["a"]));
    assert_eq!(index.apply_binding(Event::Apply(binding("d", "edge-1", 1))), touched(&[]), "nothing changed");
    assert_eq!(index.apply_binding(Event::Apply(binding("unknown", "edge-1", 1))), touched(&[]));
    assert_eq!(index.apply_workload(Event::Apply(plain("d", "b"))), touched(&["a", "b"]));
    assert_eq!(index.of_release(&release("a")), []);
    assert_eq!(index.apply_workload(Event::Delete(plain("d", "b"))), touched(&["b"]));
    assert_eq!(index.of_release(&release("b")), []);
}

#[test]
fn a_binding_that_goes_leaves_the_deployment_without_one() {
    let mut index = index(vec![plain("d", "a")], vec![binding("d", "edge-1", 1)]);
    assert_eq!(index.apply_binding(Event::Delete(binding("d", "edge-1", 1))), touched(&["a"]));
    assert_eq!(index.of_release(&release("a"))[0].binding, None);
}

#[test]
fn a_new_list_keeps_the_old_state_until_it_is_complete_and_tells_only_differences() {
    let mut index = index(vec![plain("kept", "a"), plain("gone", "b")], vec![]);
    assert_eq!(index.apply_workload(Event::<Deployment>::Init), touched(&[]));
    assert_eq!(index.apply_workload(Event::InitApply(plain("kept", "a"))), touched(&[]));
    assert_eq!(index.apply_workload(Event::InitApply(plain("new", "c"))), touched(&[]));
    assert_eq!(index.of_release(&release("b")).len(), 1);
    assert_eq!(index.of_release(&release("c")).len(), 0);
    assert_eq!(index.apply_workload(Event::<Deployment>::InitDone), touched(&["b", "c"]));
    assert_eq!(index.of_release(&release("b")), []);
    assert_eq!(index.of_release(&release("c")).len(), 1);
}

#[test]
fn a_status_about_an_older_deployment_or_binding_is_not_up_to_date() {
    let up_to_date = |index: &Index| index.of_release(&release("a"))[0].binding.as_ref().unwrap().up_to_date;
    let newer = deployment("d", "a", 5, json!([{"name": "c"}]));
    assert!(!up_to_date(&index(vec![newer.clone()], vec![binding("d", "edge-1", 4)])));
    assert!(up_to_date(&index(vec![newer.clone()], vec![binding("d", "edge-1", 5)])));

    let mut unconfirmed = binding("d", "edge-1", 5);
    unconfirmed.metadata.generation = Some(4);
    assert!(!up_to_date(&index(vec![newer.clone()], vec![unconfirmed])));

    let mut old_karmada = binding("d", "edge-1", 5);
    let status = &mut old_karmada.data["status"]["aggregatedStatus"][0]["status"];
    status.as_object_mut().unwrap().remove("resourceTemplateGeneration");
    assert!(up_to_date(&index(vec![newer], vec![old_karmada])));
}

#[test]
fn just_after_a_move_the_status_still_tells_of_the_old_cluster_and_is_not_up_to_date() {
    let mut moved = binding("d", "edge-1", 1);
    moved.data["spec"]["clusters"] = json!([{"name": "edge-2", "replicas": 2}]);
    let index = index(vec![plain("d", "a")], vec![moved]);
    let binding = index.of_release(&release("a"))[0].binding.clone().unwrap();
    assert!(binding.fully_applied && binding.clusters["edge-1"].healthy, "as Karmada shows it for a moment");
    assert!(!binding.up_to_date);
}

#[test]
fn what_is_not_scheduled_or_applied_says_why() {
    let mut object = binding("d", "edge-1", 1);
    object.data["status"]["conditions"][0] =
        json!({"type": "Scheduled", "status": "False", "reason": "NoClusterFit", "message": "0/3 clusters"});
    object.data["status"]["aggregatedStatus"][0] =
        json!({"clusterName": "edge-1", "health": "Unknown", "appliedMessage": "namespace is missing"});
    let index = index(vec![plain("d", "a")], vec![object]);
    let binding = index.of_release(&release("a"))[0].binding.clone().unwrap();
    assert_eq!(binding.unscheduled_reason.as_deref(), Some("NoClusterFit: 0/3 clusters"));
    let member = &binding.clusters["edge-1"];
    assert_eq!(member.message.as_deref(), Some("namespace is missing"));
    assert!(!member.applied && !member.healthy);
}

#[test]
fn objects_of_others_and_unreadable_ones_are_ignored() {
    let mut foreign = plain("d", "a");
    foreign.metadata.annotations = None;
    let mut service = binding("s", "edge-1", 1);
    service.data["spec"]["resource"]["kind"] = "Service".into();
    let mut broken = binding("x", "edge-1", 1);
    broken.data["spec"] = json!({"clusters": "none"});
    let index = index(vec![foreign, plain("x", "x")], vec![service, broken]);
    assert_eq!(index.of_release(&release("a")), []);
    assert_eq!(index.of_release(&release("x"))[0].binding, None);
}

#[test]
fn what_cannot_be_read_any_more_leaves_the_index() {
    let mut index = index(vec![plain("d", "a")], vec![binding("d", "edge-1", 1)]);
    let mut broken = binding("d", "edge-1", 1);
    broken.data["spec"] = json!({"clusters": "none"});
    assert_eq!(index.apply_binding(Event::Apply(broken)), touched(&["a"]));
    assert_eq!(index.of_release(&release("a"))[0].binding, None);
    let mut disowned = plain("d", "a");
    disowned.metadata.annotations = None;
    assert_eq!(index.apply_workload(Event::Apply(disowned)), touched(&["a"]));
    assert_eq!(index.of_release(&release("a")), []);
}

/// Karmada passes the whole status of a CronJob, whose `active` is a list.
#[test]
fn a_status_of_any_shape_leaves_the_binding_readable() {
    let mut bound = binding("d", "edge-1", 1);
    bound.data["status"]["aggregatedStatus"][0]["status"] =
        json!({"active": [{"name": "run"}], "phase": {"odd": true}, "readyReplicas": "2"});
    let index = index(vec![plain("d", "a")], vec![bound]);
    let found = index.of_release(&release("a"));
    let status = &found[0].binding.as_ref().unwrap().clusters["edge-1"];
    assert_eq!((status.healthy, status.ready_replicas), (true, 0));
}

#[test]
fn objects_without_a_namespace_have_bindings_of_their_own() {
    let mut index = Index::default();
    let policy = "a.demo.smo";
    let binding = |cluster: &str| -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "work.karmada.io/v1alpha2", "kind": "ClusterResourceBinding",
            "metadata": {
                "name": "reader-clusterrole",
                "annotations": {"clusterpropagationpolicy.karmada.io/name": policy},
            },
            "spec": {
                "resource": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "reader"},
                "clusters": [{"name": cluster}],
            },
        }))
        .unwrap()
    };
    assert_eq!(index.apply_cluster_binding(Event::Apply(binding("edge-1"))), touched(&["a"]));
    let role = ObjectId {
        api_version: "rbac.authorization.k8s.io/v1".into(),
        kind: "ClusterRole".into(),
        namespace: None,
        name: "reader".into(),
    };
    assert_eq!(index.binding_of(&role).unwrap().scheduled, BTreeMap::from([("edge-1".to_owned(), 0)]));
    // A new list of the other kind forgets nothing of this one.
    index.apply_binding(Event::Init);
    index.apply_binding(Event::InitDone);
    assert_eq!(index.binding_of(&role).unwrap().managed, Some(release("a")));
    index.apply_cluster_binding(Event::Delete(binding("edge-1")));
    assert_eq!(index.binding_of(&role), None);
}
