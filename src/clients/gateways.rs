//! Round-trip times between member clusters, as Submariner's gateways measure them.
//!
//! The gateways are objects of each member and are not synced to the broker, so the members are asked. Submariner is
//! optional in each of them: one that has no gateways merely has no measurements.

use async_trait::async_trait;
use kube::Client;
use kube::api::ListParams;
use serde::Deserialize;

use super::{Latencies, Result, members};
use crate::model::RoundTripTimes;

const SYSTEM: &str = "gateways";
/// The gateways of the members of a Karmada.
pub struct GatewayLatencies {
    client: Client,
    namespace: String,
}

#[derive(Deserialize)]
struct Gateway {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    ha_status: String,
    local_endpoint: Endpoint,
    connections: Vec<Connection>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    cluster_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Connection {
    status: String,
    endpoint: Endpoint,
    #[serde(rename = "latencyRTT")]
    latency: Latency,
}

/// Durations as Go writes them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Latency {
    last: String,
    average: String,
}

impl GatewayLatencies {
    /// The gateways in `namespace` of the members that a client of Karmada leads to. Does not speak to them.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }
}

#[async_trait]
impl Latencies for GatewayLatencies {
    async fn latencies(&self, clusters: &[String]) -> Result<RoundTripTimes> {
        let path = format!("apis/submariner.io/v1/namespaces/{}/gateways", self.namespace);
        let path = path.as_str();
        let ask = |cluster| async move {
            let page = members::list(&self.client, SYSTEM, cluster, path, &ListParams::default()).await?;
            Ok(round_trips(&page.items))
        };
        let mut times = RoundTripTimes::new();
        for (_, answer) in members::ask_each(clusters, "round-trip times", ask).await {
            for (pair, ms) in answer {
                keep_larger(&mut times, pair, ms);
            }
        }
        Ok(times)
    }
}

/// Only the active gateway of a cluster has connections that carry traffic.
fn round_trips(gateways: &[Gateway]) -> RoundTripTimes {
    let mut times = RoundTripTimes::new();
    for status in gateways.iter().map(|gateway| &gateway.status).filter(|status| status.ha_status == "active")
    {
        for connection in status.connections.iter().filter(|connection| connection.status == "connected") {
            let (here, there) = (&status.local_endpoint.cluster_id, &connection.endpoint.cluster_id);
            let measured = [&connection.latency.average, &connection.latency.last];
            // No time at all: the health check is switched off.
            let ms = measured.into_iter().filter_map(|text| milliseconds(text)).find(|ms| *ms > 0.0);
            if let Some(ms) = ms
                && here != there
                && !here.is_empty()
                && !there.is_empty()
            {
                keep_larger(&mut times, (here.min(there).clone(), here.max(there).clone()), ms);
            }
        }
    }
    times
}

fn keep_larger(times: &mut RoundTripTimes, pair: (String, String), ms: f64) {
    let known = times.entry(pair).or_insert(ms);
    *known = known.max(ms);
}

/// Units of Go's durations in milliseconds; one stands before any other that it begins with.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-6),
    ("us", 1e-3),
    ("µs", 1e-3),
    // The Greek letter instead of the micro sign.
    ("μs", 1e-3),
    ("ms", 1.0),
    ("s", 1e3),
    ("m", 6e4),
    ("h", 3.6e6),
];

/// Milliseconds of a duration as Go writes it (`time.Duration.String`), such as `1.07ms` or `1m2.5s`; `None`
/// when it is none.
fn milliseconds(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let mut rest = text;
    let mut sum = None;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, factor) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum = Some(sum.unwrap_or(0.0) + number.parse::<f64>().ok()? * factor);
        rest = &tail[unit.len()..];
    }
    sum
}

#[cfg(test)]
mod tests {
    use axum::extract::Path;
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::clients::testing::{fake_server, status};

    const PATH: &str = "/apis/cluster.karmada.io/v1alpha1/clusters/{cluster}/proxy/apis/submariner.io/v1/namespaces/\
                        operator/gateways";

    #[test]
    fn durations_of_go_are_read() {
        let cases = [
            ("1.07ms", 1.07),
            ("850µs", 0.85),
            ("850μs", 0.85),
            ("850us", 0.85),
            ("1500ns", 0.0015),
            ("1m2.5s", 62_500.0),
            ("1h0m1s", 3_601_000.0),
            ("2s", 2000.0),
            ("0s", 0.0),
            ("0", 0.0),
        ];
        for (text, expected) in cases {
            let found = milliseconds(text).unwrap();
            assert!((found - expected).abs() < 1e-9, "{text}: {found}");
        }
        for text in ["", "5", "ms", "1.2.3s", "-1ms", "1 ms", "1d", "1ms2"] {
            assert_eq!(milliseconds(text), None, "{text:?}");
        }
    }

    fn connection(cluster: &str, status: &str, latency: Value) -> Value {
        json!({"status": status, "endpoint": {"cluster_id": cluster}, "latencyRTT": latency})
    }

    fn list(cluster: &str, ha_status: &str, connections: &[Value]) -> Response {
        let status = json!({"haStatus": ha_status, "localEndpoint": {"cluster_id": cluster}, "connections": connections});
        let items =
            json!([{"metadata": {"name": "gateway"}, "status": status}, {"metadata": {"name": "new"}}]);
        Json(json!({"kind": "GatewayList", "apiVersion": "submariner.io/v1", "metadata": {}, "items": items}))
            .into_response()
    }

    async fn answer(Path(cluster): Path<String>) -> Response {
        match cluster.as_str() {
            "a" => list(
                "a",
                "active",
                &[
                    connection("b", "connected", json!({"last": "9ms", "average": "1.5ms"})),
                    connection("c", "connected", json!({"last": "20ms", "average": "0s"})),
                    connection("d", "connecting", json!({"average": "1ms"})),
                    connection("e", "connected", json!({"last": "0s", "average": "0s"})),
                    json!({"status": "connected", "endpoint": {"cluster_id": "f"}}),
                ],
            ),
            "b" => list("b", "active", &[connection("a", "connected", json!({"average": "2ms"}))]),
            "passive" => {
                list("passive", "passive", &[connection("a", "connected", json!({"average": "2ms"}))])
            }
            "down" => status(503, "the cluster does not answer"),
            _ => status(404, "the server could not find the requested resource"),
        }
    }

    #[tokio::test]
    async fn active_connected_gateways_tell_the_larger_time_and_the_others_nothing() {
        let latencies =
            GatewayLatencies::new(fake_server(Router::new().route(PATH, get(answer))), "operator");
        let clusters = ["b", "a", "passive", "down", "without-submariner"].map(str::to_owned);
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let expected = RoundTripTimes::from([(pair("a", "b"), 2.0), (pair("a", "c"), 20.0)]);
        assert_eq!(latencies.latencies(&clusters).await, Ok(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_hangs_does_not_keep_the_others_from_being_heard() {
        let router = Router::new().route(
            PATH,
            get(|Path(cluster): Path<String>| async move {
                if cluster == "hangs" {
                    std::future::pending::<()>().await;
                }
                answer(Path(cluster)).await
            }),
        );
        let latencies = GatewayLatencies::new(fake_server(router), "operator");
        let found = latencies.latencies(&["hangs".to_owned(), "b".to_owned()]).await.unwrap();
        assert_eq!(found, RoundTripTimes::from([(("a".to_owned(), "b".to_owned()), 2.0)]));
    }
}
