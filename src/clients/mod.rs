//! Clients of other systems: ports, their real implementations, and the one wrapper around every call.
//!
//! [`ports`](self) declares the functions that `smo` needs from other systems as traits. One file or folder per
//! real system implements them: [`karmada`] (clusters, workloads), [`helm`] (releases), [`rules`] and
//! [`prometheus`] (alerting), [`submariner`] (networks), [`gateways`] (round-trip times); `strategies` requests
//! decisions from the operator's programs. The layers above hold an [`Outside`] and nothing else: each of its
//! methods passes through [`Calls`], which owns deadline, retry, breaker, metrics, span and
//! [`faults`](crate::faults).
//!
//! Clients translate: foreign objects and texts come in, the ports' small types and [`ClientError`] go out.
//! They decide nothing, know nothing of graphs, and keep no state but watched objects. Creating a client does
//! not contact its system, so that a server starts while other systems are down; a setting that cannot work
//! is refused at once.

mod breaker;
mod bulkhead;
mod call;
mod command;
mod error;
pub mod gateways;
pub mod helm;
mod http;
pub mod karmada;
mod kubernetes;
mod marks;
mod members;
mod mirror;
mod observed;
mod outside;
mod ports;
pub mod prometheus;
mod repositories;
pub mod rules;
mod strategies;
pub mod submariner;
#[cfg(test)]
mod testing;
mod watch;
mod watch_metrics;

use std::sync::Arc;

pub use call::{Calls, Operation, Policy};
pub use error::{ClientError, ClientErrorKind};
pub use marks::Marks;
pub use outside::Outside;
pub use ports::*;

use crate::config::Settings;

/// All ports on the real systems of these settings, for the installation of this id; optional ones that are
/// not configured are `None`. Starts the watches, so it must be called within a tokio runtime; they end with
/// the ports.
///
/// # Errors
/// When a setting cannot work: no kubeconfig for Karmada, an unusable file or URL, no Helm program. Systems
/// that are down are no error.
pub async fn real_ports(settings: &Settings, installation: &str) -> Result<Ports> {
    let client = karmada::connect(&settings.karmada).await?;
    let helm = helm::HelmReleases::start(settings, marks(settings, installation), client.clone());
    tracing::info!(version = helm.version().await?, "found helm");

    let OptionalPorts { rules, metrics, networks } = optional_ports(settings, installation).await?;
    let gateways = gateways::GatewayLatencies::new(client.clone(), &settings.submariner.gateway_namespace);
    Ok(Ports {
        inventory: Arc::new(karmada::KarmadaInventory::start(client.clone(), &settings.karmada.gpu_label)),
        latencies: Some(Arc::new(gateways)),
        workloads: Arc::new(karmada::KarmadaWorkloads::start(client.clone())),
        propagation: Arc::new(karmada::KarmadaPropagation::start(client, marks(settings, installation))),
        releases: Arc::new(helm),
        charts: Arc::new(repositories::HttpRepositories::new(settings.helm.repositories.clone())?),
        rules,
        metrics,
        networks,
    })
}

fn marks(settings: &Settings, installation: &str) -> Marks {
    Marks { installation: installation.to_owned(), labels: settings.labels.clone() }
}

/// The ports that a server can do without.
pub struct OptionalPorts {
    /// Alert rules.
    pub rules: Option<Arc<dyn AlertRules>>,
    /// Prometheus queries.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// Networks of the clusters.
    pub networks: Option<Arc<dyn Networks>>,
}

/// The optional ports that have a setting, on their real systems.
///
/// # Errors
/// When a setting cannot work.
pub async fn optional_ports(settings: &Settings, installation: &str) -> Result<OptionalPorts> {
    let monitoring = &settings.monitoring;
    let rules: Option<Arc<dyn AlertRules>> = match monitoring.kubeconfig {
        Some(_) => {
            let marks = marks(settings, installation);
            Some(Arc::new(rules::PrometheusRules::connect(monitoring, marks).await?))
        }
        None => None,
    };
    let metrics: Option<Arc<dyn Metrics>> = match &monitoring.prometheus_url {
        Some(url) => Some(Arc::new(prometheus::Prometheus::connect(url, &monitoring.alerts_query)?)),
        None => None,
    };
    let networks: Option<Arc<dyn Networks>> = match &settings.submariner.kubeconfig {
        Some(kubeconfig) => {
            let namespace = &settings.submariner.broker_namespace;
            Some(Arc::new(submariner::SubmarinerNetworks::connect(kubeconfig, namespace).await?))
        }
        None => None,
    };
    Ok(OptionalPorts { rules, metrics, networks })
}
