//! Health of the watches, as metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Outside;

/// Reads the state of the watches whenever the metrics are read.
pub(super) struct WatchMetrics(pub(super) Outside);

#[derive(EncodeLabelSet)]
struct WatchLabels {
    system: &'static str,
    watch: &'static str,
}

impl fmt::Debug for WatchMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchMetrics").field(&self.0.watches()).finish()
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let watches = self.0.watches();
        let labels = |system, watch| WatchLabels { system, watch };
        let help = "Time since a watch last proved alive";
        let mut ages = encoder.encode_descriptor("smo_watch_age_seconds", help, None, MetricType::Gauge)?;
        for watch in &watches {
            let age = ConstGauge::new(watch.age.as_secs_f64());
            age.encode(ages.encode_family(&labels(watch.system, watch.name))?)?;
        }
        let help = "Errors of a watch since its start";
        let mut errors = encoder.encode_descriptor("smo_watch_errors", help, None, MetricType::Counter)?;
        for watch in &watches {
            let count = ConstCounter::new(watch.errors);
            count.encode(errors.encode_family(&labels(watch.system, watch.name))?)?;
        }
        Ok(())
    }
}
