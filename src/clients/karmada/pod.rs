//! The request of a pod, as Kubernetes' scheduler counts it.
//!
//! Follows `PodRequests` of `k8s.io/component-helpers` and the defaults that the API server sets before (1.35): a limit
//! without a request is a request; init containers run one after the other, so that the largest counts; those that restart
//! always (sidecars) go on running and add up; requests of the pod as a whole come before those of its containers; the
//! overhead of the runtime class is added.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::inventory::resources;
use crate::hdag::{Dimension, QuantityError, Resources};

type Quantities = BTreeMap<String, Quantity>;

/// What one pod requests.
///
/// # Errors
/// A quantity cannot be read.
pub(super) fn request(pod: &PodSpec) -> Result<Resources, QuantityError> {
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
    if let Some(whole) = &pod.resources {
        override_with(&mut request, whole)?;
    }
    Ok(request + amounts(pod.overhead.as_ref())?)
}

/// Requests of a container; limits where there is no request.
fn of_container(container: &Container) -> Result<Resources, QuantityError> {
    let Some(given) = &container.resources else { return Ok(Resources::default()) };
    let mut list = given.limits.clone().unwrap_or_default();
    list.extend(given.requests.clone().unwrap_or_default());
    amounts(Some(&list))
}

/// Requests of the pod as a whole, which exist for CPU and memory only, replace those of its containers; its limits count
/// where neither it nor a container requests anything.
fn override_with(request: &mut Resources, whole: &ResourceRequirements) -> Result<(), QuantityError> {
    let (requests, limits) = (amounts(whole.requests.as_ref())?, amounts(whole.limits.as_ref())?);
    for dimension in [Dimension::Cpu, Dimension::Ram] {
        let (asked, limit) = (requests.get(dimension), limits.get(dimension));
        if asked > 0 {
            request.set(dimension, asked);
        } else if request.get(dimension) == 0 {
            request.set(dimension, limit);
        }
    }
    Ok(())
}

fn amounts(list: Option<&Quantities>) -> Result<Resources, QuantityError> {
    let text = |(name, quantity): (&String, &Quantity)| (name.clone(), quantity.0.clone());
    resources(&list.into_iter().flatten().map(text).collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        spec: PodSpec,
        #[serde(flatten)]
        request: Resources,
    }

    /// `testbed/go/kubernetes/podrequests` made the file.
    #[test]
    fn requests_are_those_that_kubernetes_counts() {
        let golden: Vec<serde_json::Value> = serde_json::from_str(include_str!("pod_requests.json")).unwrap();
        assert!(golden.len() >= 300);
        for value in golden {
            let Golden { spec, request: expected } = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(request(&spec).unwrap(), expected, "{value:#}");
        }
    }
}
