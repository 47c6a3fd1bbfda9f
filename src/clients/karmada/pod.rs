//! The request of a pod, as Kubernetes' scheduler counts it.
//!
//! Follows `PodRequests` of `k8s.io/component-helpers` and the defaults that the API server sets before
//! (1.35): a limit without a request is a request; init containers run one after the other, so that the
//! largest counts; those that restart always (sidecars) go on running and add up; requests of the pod as a
//! whole come before those of its containers; the overhead of the runtime class is added.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::inventory::resources;
use crate::hdag::{Dimension, QuantityError, Resources};

type Quantities = BTreeMap<String, Quantity>;

/// The request of one pod.
///
/// # Errors
/// A quantity cannot be read.
pub fn request(pod: &PodSpec) -> Result<Resources, QuantityError> {
    let mut running = Resources::default();
    for container in &pod.containers {
        running += of_container(container)?;
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in pod.init_containers.iter().flatten() {
        let own = of_container(container)?;
        let needed = sidecars + own;
        if container.restart_policy.as_deref() == Some("Always") {
            running += own;
            sidecars = needed;
        }
        starting = starting.max(needed);
    }
    let mut request = running.max(starting);
    override_with(&mut request, pod)?;
    request += amounts(pod.overhead.as_ref())?;
    // Every pod takes one of the places of its node.
    request.pods = 1;
    Ok(request)
}

/// The part of one pod that a cluster's report holds: Karmada sums ordinary containers and the overhead. Never more than
/// [`request`], which the report may leave out in part.
///
/// # Errors
/// A quantity cannot be read.
pub(super) fn reported(pod: &PodSpec) -> Result<Resources, QuantityError> {
    let mut sum = amounts(pod.overhead.as_ref())?;
    for container in &pod.containers {
        sum += of_container(container)?;
    }
    let request = request(pod)?;
    Ok(Resources::from_fn(|dimension| match dimension {
        Dimension::Pods => 1,
        _ => sum.get(dimension).min(request.get(dimension)),
    }))
}

/// Requests of a container; limits where there is no request.
fn of_container(container: &Container) -> Result<Resources, QuantityError> {
    let Some(given) = &container.resources else { return Ok(Resources::default()) };
    let mut list = given.limits.clone().unwrap_or_default();
    list.extend(given.requests.clone().unwrap_or_default());
    amounts(Some(&list))
}

/// Requests of the pod as a whole, which exist for CPU and memory only, replace those of its containers; its
/// limits count where neither it nor a container names the resource.
fn override_with(request: &mut Resources, pod: &PodSpec) -> Result<(), QuantityError> {
    let Some(whole) = &pod.resources else { return Ok(()) };
    let (requests, limits) = (amounts(whole.requests.as_ref())?, amounts(whole.limits.as_ref())?);
    let containers = || pod.containers.iter().chain(pod.init_containers.iter().flatten());
    for (dimension, name) in [(Dimension::Cpu, "cpu"), (Dimension::Ram, "memory")] {
        if names(&whole.requests, name) {
            request.set(dimension, requests.get(dimension));
        } else if !containers().any(|container| mentions(container, name)) {
            request.set(dimension, limits.get(dimension));
        }
    }
    Ok(())
}

fn mentions(container: &Container, name: &str) -> bool {
    container
        .resources
        .as_ref()
        .is_some_and(|given| names(&given.requests, name) || names(&given.limits, name))
}

fn names(list: &Option<Quantities>, name: &str) -> bool {
    list.as_ref().is_some_and(|list| list.contains_key(name))
}

fn amounts(list: Option<&Quantities>) -> Result<Resources, QuantityError> {
    let text = |(name, quantity): (&String, &Quantity)| (name.clone(), quantity.0.clone());
    resources(&list.into_iter().flatten().map(text).collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        spec: PodSpec,
        #[serde(flatten)]
        request: Resources,
    }

    #[test]
    fn the_report_leaves_out_init_containers_and_resources_of_the_pod() {
        let cpu = |pod: serde_json::Value| {
            let pod: PodSpec = serde_json::from_value(pod).unwrap();
            (request(&pod).unwrap().cpu_millicores, reported(&pod).unwrap().cpu_millicores)
        };
        let container = |cpu: &str| json!({"name": cpu, "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("1");
        sidecar["restartPolicy"] = "Always".into();
        let overhead = json!({"cpu": "100m"});
        let with =
            json!({"containers": [container("500m")], "initContainers": [sidecar], "overhead": overhead});
        assert_eq!(cpu(with), (1600, 600));
        let whole = json!({"containers": [container("500m")], "resources": {"requests": {"cpu": "200m"}}});
        assert_eq!(cpu(whole), (200, 200), "never more than the scheduler counts");
    }

    /// `testbed/go/kubernetes/podrequests` made the file.
    #[test]
    fn requests_are_those_that_kubernetes_counts() {
        let golden: Vec<serde_json::Value> = serde_json::from_str(include_str!("pod_requests.json")).unwrap();
        assert!(golden.len() >= 300);
        for value in golden {
            let Golden { spec, request: expected } = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(request(&spec).unwrap(), Resources { pods: 1, ..expected }, "{value:#}");
        }
    }
}
