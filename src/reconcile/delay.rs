//! Delays before retries and resyncs. All are applied with jitter, so that operations that failed together
//! are not retried together.

use std::time::Duration;

use crate::config::ReconcileSettings;

/// The delay after the `failures`-th failure in a row, without jitter: doubles with each.
pub(super) fn backoff(settings: &ReconcileSettings, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    settings.backoff_first.saturating_mul(factor).min(settings.backoff_max)
}

/// Between three quarters and five quarters of a delay.
pub(super) fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

/// The shortest delay that [`jitter`] may give.
pub(super) fn earliest(delay: Duration) -> Duration {
    delay.mul_f64(0.75)
}

/// Between a delay and five quarters of it, where a system asked not to be called earlier.
pub(super) fn not_before(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

/// Anywhere within a window.
pub(super) fn spread(window: Duration) -> Duration {
    window.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        let settings = ReconcileSettings {
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5),
            ..ReconcileSettings::default()
        };
        let seconds: Vec<u64> = (0..6).map(|failures| backoff(&settings, failures).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 5, 5]);
        assert_eq!(backoff(&settings, u32::MAX), Duration::from_secs(5));
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_differs() {
        let delay = Duration::from_secs(100);
        let seconds = |draw: fn(Duration) -> Duration| -> Vec<u64> {
            (0..1000).map(|_| draw(delay).as_secs()).collect()
        };
        for (drawn, bounds) in
            [(seconds(jitter), 75..=125), (seconds(not_before), 100..=125), (seconds(spread), 0..=100)]
        {
            assert!(drawn.iter().all(|seconds| bounds.contains(seconds)), "{bounds:?}");
            assert!(drawn.iter().any(|seconds| seconds != &drawn[0]), "{bounds:?}");
        }
    }
}
