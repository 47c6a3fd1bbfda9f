//! What the charts of a new graph bring, known before it is placed: decisions then count what will run.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::App;
use crate::model::{GraphRecord, ServiceRecord};
use crate::reconcile::render_chart;

/// Longest wait for the charts of a graph. Of those that take longer the intents count; they are rendered again
/// before they are installed.
const RENDERED_WITHIN: Duration = Duration::from_secs(10);

impl App {
    /// The services of a graph with what their charts bring, as far as the charts can be rendered now.
    pub(super) async fn with_charts(
        &self,
        graph: &GraphRecord,
        services: Vec<ServiceRecord>,
    ) -> Vec<ServiceRecord> {
        let rendered = services.into_iter().map(|mut service| async move {
            match timeout(RENDERED_WITHIN, render_chart(&self.parts.outside, graph, &service, async || true))
                .await
            {
                Ok(Ok(manifest)) => {
                    service.workloads = manifest.expected_workloads();
                    service.manifest = Some(manifest);
                }
                Ok(Err(error)) => tracing::debug!(service = service.name, %error, "chart not rendered yet"),
                Err(_) => tracing::debug!(service = service.name, "chart not rendered in time"),
            }
            service
        });
        join_all(rendered).await
    }
}
