//! Proximity of clusters to each other, as far as it is known.

use super::{LatencyBound, Problem};

/// Yes, no, or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tri {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// The data does not decide it.
    Unknown,
}

impl Tri {
    /// The result when `Unknown` is treated as `unknown`.
    #[must_use]
    pub fn decided(self, unknown: bool) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Unknown => unknown,
        }
    }
}

impl From<bool> for Tri {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Latencies and regions of the clusters of a problem, by their index.
pub struct Proximity {
    /// Clusters × clusters: the larger of the values from both ends, in milliseconds.
    milliseconds: Vec<Vec<Option<f64>>>,
    regions: Vec<Option<String>>,
    ultralow_ms: f64,
    neighbour_ms: f64,
    unknown_us: i64,
}

impl Proximity {
    /// The proximity given by the attributes of the problem's clusters.
    #[must_use]
    pub fn new(problem: &Problem) -> Self {
        let said = |one: usize, other: usize| {
            let (one, other) = (&problem.clusters[one], &problem.clusters[other]);
            one.attributes.latencies_ms.get(&other.name).copied().filter(|ms| *ms > 0.0)
        };
        let between = |one: usize, other: usize| match (said(one, other), said(other, one)) {
            (Some(there), Some(back)) => Some(there.max(back)),
            (one_way, other_way) => one_way.or(other_way),
        };
        let clusters = 0..problem.clusters.len();
        Self {
            milliseconds: clusters
                .clone()
                .map(|one| {
                    clusters
                        .clone()
                        .map(|other| if one == other { Some(0.0) } else { between(one, other) })
                        .collect()
                })
                .collect(),
            regions: problem.clusters.iter().map(|cluster| cluster.attributes.region.clone()).collect(),
            ultralow_ms: problem.limits.ultralow_ms,
            neighbour_ms: problem.limits.neighbour_ms,
            unknown_us: microseconds(problem.limits.unknown_latency_ms),
        }
    }

    /// Round-trip time in milliseconds, if known.
    #[must_use]
    pub fn milliseconds(&self, one: usize, other: usize) -> Option<f64> {
        self.milliseconds[one][other]
    }

    /// Round-trip time in microseconds; a pessimistic one where it is unknown.
    #[must_use]
    pub fn microseconds(&self, one: usize, other: usize) -> i64 {
        self.milliseconds(one, other).map_or(self.unknown_us, microseconds)
    }

    /// Whether two clusters are as near as a bound requires.
    ///
    /// Clusters of one region are neighbours whatever their latency; clusters of two regions are not, unless
    /// their latency is known to be small.
    #[must_use]
    pub fn within(&self, bound: LatencyBound, one: usize, other: usize) -> Tri {
        if one == other {
            return Tri::Yes;
        }
        let measured = self.milliseconds(one, other);
        match bound {
            LatencyBound::Ultralow => measured.map_or(Tri::Unknown, |ms| Tri::from(ms < self.ultralow_ms)),
            LatencyBound::Low => match (&self.regions[one], &self.regions[other], measured) {
                (Some(here), Some(there), _) if here == there => Tri::Yes,
                (_, _, Some(ms)) => Tri::from(ms <= self.neighbour_ms),
                (Some(_), Some(_), None) => Tri::No,
                _ => Tri::Unknown,
            },
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "attributes and limits are far below 2^53 microseconds")]
fn microseconds(ms: f64) -> i64 {
    (ms * 1000.0).round() as i64
}
