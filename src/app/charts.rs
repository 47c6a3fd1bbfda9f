//! Rendering the charts of a new graph before it is placed: decisions then count what will run.

use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::App;
use crate::model::{GraphRecord, Manifest, ServiceRecord};
use crate::reconcile::render_chart;

/// Longest wait for a chart from the moment at which Helm has a slot for it. Of one that takes longer the intent
/// counts; it is rendered again before it is installed.
const RENDERED_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for all charts of a graph, for slots included.
const ALL_RENDERED_WITHIN: Duration = Duration::from_secs(30);

impl App {
    /// The services of a graph with what their charts bring, as far as the charts can be rendered now.
    pub(super) async fn with_charts(
        &self,
        graph: &GraphRecord,
        services: Vec<ServiceRecord>,
    ) -> Vec<ServiceRecord> {
        let latest = Instant::now() + ALL_RENDERED_WITHIN;
        let rendered = services.into_iter().map(|mut service| async move {
            if let Some(manifest) = self.render_until(graph, &service, latest).await {
                service.workloads = manifest.expected_workloads();
                service.manifest = Some(manifest);
            }
            service
        });
        join_all(rendered).await
    }

    /// The rendered chart of a service; `None` when it cannot be rendered now.
    async fn render_until(
        &self,
        graph: &GraphRecord,
        service: &ServiceRecord,
        latest: Instant,
    ) -> Option<Manifest> {
        let begun = Notify::new();
        let begins = async || {
            begun.notify_one();
            true
        };
        let late = async {
            begun.notified().await;
            sleep(RENDERED_WITHIN).await;
        };
        let name = &service.name;
        tokio::select! {
            rendered = render_chart(&self.parts.store, &self.parts.outside, graph, service, begins) => rendered
                .inspect_err(|error| tracing::debug!(service = name, %error, "chart not rendered yet"))
                .ok(),
            () = late => None,
            () = sleep_until(latest) => None,
        }
    }
}
