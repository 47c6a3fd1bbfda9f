//! Metrics of the work queue.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Kind;
use super::schedule::Schedule;

/// Upper bounds of the buckets in seconds: a look takes milliseconds, an installation minutes.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: &'static str,
    outcome: &'static str,
}

type Durations = Family<KindLabels, Histogram, fn() -> Histogram>;

/// Counters and durations. The length of the queue is counted when metrics are read.
pub(super) struct QueueMetrics {
    reconciles: Family<OutcomeLabels, Counter>,
    waits: Durations,
    works: Durations,
}

impl QueueMetrics {
    /// Metrics of `schedule`, registered.
    pub(super) fn register(registry: &mut Registry, schedule: Arc<Mutex<Schedule>>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            reconciles: Family::default(),
            waits: Family::new_with_constructor(histogram),
            works: Family::new_with_constructor(histogram),
        };
        registry.register("smo_reconciles", "Reconciles by kind and outcome", metrics.reconciles.clone());
        registry.register(
            "smo_queue_wait_seconds",
            "How long keys waited in the work queue for a worker",
            metrics.waits.clone(),
        );
        registry.register("smo_queue_work_seconds", "How long the work on a key took", metrics.works.clone());
        registry.register_collector(Box::new(Lengths(schedule)));
        metrics
    }

    pub(super) fn waited(&self, kind: Kind, time: Duration) {
        self.waits.get_or_create(&KindLabels { kind: kind.label() }).observe(time.as_secs_f64());
    }

    pub(super) fn worked(&self, kind: Kind, outcome: &'static str, time: Duration) {
        let kind = kind.label();
        self.reconciles.get_or_create(&OutcomeLabels { kind, outcome }).inc();
        self.works.get_or_create(&KindLabels { kind }).observe(time.as_secs_f64());
    }
}

/// Counts the keys of a schedule when metrics are read.
struct Lengths(Arc<Mutex<Schedule>>);

impl fmt::Debug for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lengths").finish_non_exhaustive()
    }
}

impl Collector for Lengths {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = {
            let schedule = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Kind::ALL.map(|kind| (kind.label(), schedule.count(kind)))
        };
        let (mut keys, mut queued) = (Vec::new(), Vec::new());
        for (kind, (known, waiting)) in counts {
            let labels = [("kind", kind)];
            keys.push((labels, ConstGauge::new(i64::try_from(known).unwrap_or(i64::MAX))));
            queued.push((labels, ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX))));
        }
        for (name, help, gauges) in [
            ("smo_queue_keys", "Keys that are reconciled", keys),
            ("smo_queue_length", "Keys that wait in the work queue for a worker", queued),
        ] {
            let mut family =
                encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            for (labels, gauge) in gauges {
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
