//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_millis(25);

/// Asks again until the answer is `Ok`; panics with the last answer after `limit`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(last) if start.elapsed() > limit => panic!("{what}: not within {limit:?}; last: {last}"),
            Err(_) => sleep(INTERVAL).await,
        }
    }
}
