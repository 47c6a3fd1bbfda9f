//! Prometheus over HTTP: firing alerts of this installation's rules, rates of the services, and the request
//! to reload its rules.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::kind_of;
use super::kubernetes::chain;
use super::{ClientError, ClientErrorKind as Kind, FiringAlert, LoadedRule, Metrics, Rates, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    http: Client,
    base: Url,
    /// Gives the alerts that fire, of all graphs.
    alerts_query: String,
}

impl Prometheus {
    /// The Prometheus at `base_url`, which is asked for firing alerts with `alerts_query`. Does not speak to
    /// it.
    ///
    /// # Errors
    /// `Invalid` when this is no URL.
    pub fn connect(base_url: &str, alerts_query: &str) -> Result<Self> {
        let invalid = |cause: String| {
            ClientError::new(
                "prometheus",
                Kind::Invalid,
                format!("the URL of Prometheus cannot be used: {cause}"),
            )
        };
        let mut base = Url::parse(base_url).map_err(|error| invalid(error.to_string()))?;
        if base.cannot_be_a_base() {
            return Err(invalid("is no URL of a server".to_owned()));
        }
        // Relative paths are joined to the last slash.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let http = http.map_err(|error| invalid(chain(&error)))?;
        Ok(Self { http, base, alerts_query: alerts_query.to_owned() })
    }

    /// Asks the server to read its configuration and rules again.
    ///
    /// # Errors
    /// When it does not answer, or has this switched off (`--web.enable-lifecycle`).
    pub async fn reload(&self) -> Result<()> {
        let sent = self.http.post(self.url("-/reload")?).send().await.map_err(|error| unreachable(&error))?;
        answered(sent).await.map(drop)
    }

    /// Runs an instant query. Sent as a form, because a URL is not long enough for every query.
    async fn query<T: DeserializeOwned>(&self, query: &str) -> Result<QueryData<T>> {
        let request = self.http.post(self.url("api/v1/query")?).form(&[("query", query)]);
        let response = answered(request.send().await.map_err(|error| unreachable(&error))?).await?;
        let answer: QueryAnswer<T> = read(response).await?;
        Ok(answer.data)
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base
            .join(path)
            .map_err(|error| ClientError::new("prometheus", Kind::Invalid, format!("{path}: {error}")))
    }
}

#[derive(Deserialize)]
struct QueryAnswer<T> {
    data: QueryData<T>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum QueryData<T> {
    Vector(Vec<T>),
    Scalar(Sample),
}

/// Time, and the value as text, since JSON has no NaN.
type Sample = (f64, String);

#[derive(Deserialize)]
struct AlertSeries {
    metric: AlertLabels,
}

#[derive(Deserialize)]
struct AlertLabels {
    alertname: String,
    graph: String,
    service: String,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Sample,
}

#[derive(Deserialize)]
struct RulesAnswer {
    data: RuleGroups,
}

#[derive(Deserialize)]
struct RuleGroups {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
struct RuleGroup {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    health: String,
    #[serde(default)]
    last_error: String,
}

#[async_trait]
impl Metrics for Prometheus {
    async fn firing_alerts(&self) -> Result<Vec<FiringAlert>> {
        let alert = |AlertSeries { metric: AlertLabels { alertname, graph, service } }| FiringAlert {
            alert: alertname,
            graph,
            service,
        };
        match self.query(&self.alerts_query).await? {
            QueryData::Vector(series) => Ok(series.into_iter().map(alert).collect()),
            QueryData::Scalar(_) => {
                let message = "the query for alerts gives a scalar, which names no alert";
                Err(ClientError::new("prometheus", Kind::Invalid, message))
            }
        }
    }

    async fn loaded_rules(&self) -> Result<BTreeMap<String, Vec<LoadedRule>>> {
        let request = self.http.get(self.url("api/v1/rules")?).query(&[("type", "alert")]);
        let response = answered(request.send().await.map_err(|error| unreachable(&error))?).await?;
        let answer: RulesAnswer = read(response).await?;
        let mut rules = BTreeMap::<String, Vec<LoadedRule>>::new();
        for rule in answer.data.groups.into_iter().flat_map(|group| group.rules) {
            let Some(graph) = rule.labels.get("graph").cloned() else { continue };
            let error = (rule.health == "err").then_some(rule.last_error);
            rules.entry(graph).or_default().push(LoadedRule { alert: rule.name, error });
        }
        Ok(rules)
    }

    async fn rates(&self, query: &str, label: &str) -> Result<Rates> {
        let finite = |(_, text): Sample| text.parse().ok().filter(|value: &f64| value.is_finite());
        let mut rates = Rates::default();
        match self.query::<Series>(query).await? {
            QueryData::Scalar(sample) => rates.unlabelled.extend(finite(sample)),
            QueryData::Vector(all) => {
                for Series { mut metric, value } in all {
                    match (metric.remove(label), finite(value)) {
                        (_, None) => {}
                        (Some(service), Some(value)) => {
                            *rates.labelled.entry(service).or_insert(0.0) += value
                        }
                        (None, Some(value)) => rates.unlabelled.push(value),
                    }
                }
            }
        }
        Ok(rates)
    }
}

/// Reads an answer.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T> {
    response.json().await.map_err(|error| {
        if error.is_decode() {
            let message = format!("prometheus answered something else than was asked: {}", chain(&error));
            ClientError::new("prometheus", Kind::Failed, message)
        } else {
            unreachable(&error)
        }
    })
}

fn unreachable(error: &reqwest::Error) -> ClientError {
    let kind = if error.is_builder() { Kind::Invalid } else { Kind::Unreachable };
    ClientError::new("prometheus", kind, format!("prometheus does not answer: {}", chain(error)))
}

/// Turns an answer that is an error into one.
async fn answered(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let kind = kind_of(status);
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.text().await.unwrap_or_default();
    let text: String = body.trim().chars().take(300).collect();
    let mut error = ClientError::new("prometheus", kind, format!("prometheus answered {status}: {text}"));
    error.retry_after = seconds.map(Duration::from_secs);
    Err(error)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use std::collections::HashMap;

    use axum::routing::post;
    use axum::{Form, Json, Router};
    use serde_json::json;

    use super::*;
    use crate::clients::testing::serve;

    #[tokio::test]
    async fn firing_alerts_are_asked_with_one_query() {
        let answer = |Form(form): Form<HashMap<String, String>>| async move {
            assert_eq!(form["query"], "ALERTS");
            let labels = json!({
                "__name__": "ALERTS", "alertname": "high-load", "alertstate": "firing", "graph": "brussels",
                "service": "image-compression-vo", "severity": "critical",
            });
            let series = json!({"metric": labels, "value": [1_700_000_000, "1"]});
            Json(json!({"status": "success", "data": {"resultType": "vector", "result": [series]}}))
        };
        // Behind a proxy the server has a path of its own.
        let url = serve(Router::new().route("/prometheus/api/v1/query", post(answer))).await;
        let prometheus = Prometheus::connect(&format!("{url}/prometheus"), "ALERTS").unwrap();
        let expected = FiringAlert {
            alert: "high-load".to_owned(),
            graph: "brussels".to_owned(),
            service: "image-compression-vo".to_owned(),
        };
        assert_eq!(prometheus.firing_alerts().await, Ok(vec![expected]));
    }

    #[tokio::test]
    async fn loaded_rules_are_told_by_graph_with_their_errors() {
        let answer = || async {
            let rule = |name: &str, labels: serde_json::Value, health: &str, error: &str| json!({"type": "alerting", "name": name, "labels": labels, "health": health, "lastError": error});
            let rules = [
                rule("busy", json!({"graph": "g", "service": "a"}), "ok", ""),
                rule("same", json!({"graph": "g"}), "err", "vector contains metrics with the same labelset"),
                rule("new", json!({"graph": "h"}), "unknown", ""),
                rule("Watchdog", json!({}), "ok", ""),
            ];
            let groups = json!([{"name": "smo", "rules": rules}, {"name": "empty", "rules": []}]);
            Json(json!({"status": "success", "data": {"groups": groups}}))
        };
        let url = serve(Router::new().route("/api/v1/rules", axum::routing::get(answer))).await;
        let rules = Prometheus::connect(&url, "ALERTS").unwrap().loaded_rules().await.unwrap();
        let rule = |alert: &str, error: Option<&str>| LoadedRule {
            alert: alert.into(),
            error: error.map(str::to_owned),
        };
        let same = rule("same", Some("vector contains metrics with the same labelset"));
        assert_eq!(rules["g"], [rule("busy", None), same]);
        assert_eq!(rules["h"], [rule("new", None)]);
        assert_eq!(rules.len(), 2);
    }

    #[tokio::test]
    async fn rates_are_given_by_service_and_what_is_no_number_is_absent() {
        // Longer than servers let a URL be.
        let asked = format!("sum by (service) (rate(x{{service=~\"{}\"}}[1m]))", "a|".repeat(20_000));
        let expected = asked.clone();
        let answer = |Form(form): Form<HashMap<String, String>>| async move {
            assert_eq!(form["query"], expected);
            let series = |service: &str, value: &str| json!({"metric": {"service": service}, "value": [1_700_000_000.781, value]});
            let mut result: Vec<_> =
                [("a", "1.5"), ("b", "0"), ("nan", "NaN"), ("inf", "+Inf"), ("a", "0.5")]
                    .map(|(service, value)| series(service, value))
                    .into();
            result.push(json!({"metric": {"pod": "p"}, "value": [1_700_000_000, "7"]}));
            Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
        };
        let url = serve(Router::new().route("/api/v1/query", post(answer))).await;
        let rates = Prometheus::connect(&url, "ALERTS").unwrap().rates(&asked, "service").await;
        let labelled = BTreeMap::from([("a".to_owned(), 2.0), ("b".to_owned(), 0.0)]);
        assert_eq!(rates, Ok(Rates { labelled, unlabelled: vec![7.0] }));
    }

    #[tokio::test]
    async fn a_scalar_is_a_rate_without_a_label() {
        let answer = |Form(form): Form<HashMap<String, String>>| async move {
            let value = if form["query"] == "scalar(none)" { "NaN" } else { "5" };
            let data = json!({"resultType": "scalar", "result": [1_717_228_800.1, value]});
            Json(json!({"status": "success", "data": data}))
        };
        let url = serve(Router::new().route("/api/v1/query", post(answer))).await;
        let prometheus = Prometheus::connect(&url, "ALERTS").unwrap();
        let unlabelled = async |query: &str| prometheus.rates(query, "service").await.unwrap().unlabelled;
        assert_eq!(unlabelled("scalar(sum(x))").await, [5.0]);
        assert!(unlabelled("scalar(none)").await.is_empty());
    }

    #[tokio::test]
    async fn failures_become_kinds() {
        let busy = || async { (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "3")], "starting") };
        let odd = || async { "<html>" };
        let url = serve(
            Router::new().route("/busy/api/v1/query", post(busy)).route("/odd/api/v1/query", post(odd)),
        )
        .await;
        let ask = |path: &'static str| {
            let prometheus = Prometheus::connect(&format!("{url}{path}"), "ALERTS").unwrap();
            async move { prometheus.firing_alerts().await.unwrap_err() }
        };
        let busy = ask("/busy").await;
        assert_eq!((busy.kind, busy.retry_after), (Kind::Unreachable, Some(Duration::from_secs(3))));
        assert_eq!(ask("/odd").await.kind, Kind::Failed);
        assert_eq!(ask("/absent").await.kind, Kind::NotFound);
        let nobody = Prometheus::connect("http://127.0.0.1:1", "ALERTS").unwrap();
        assert_eq!(nobody.firing_alerts().await.unwrap_err().kind, Kind::Unreachable);
        assert_eq!(Prometheus::connect("prometheus:9090 ", "ALERTS").unwrap_err().kind, Kind::Invalid);
    }

    #[tokio::test]
    async fn reload_posts_to_the_lifecycle_endpoint() {
        let url = serve(Router::new().route("/-/reload", post(|| async {}))).await;
        assert_eq!(Prometheus::connect(&url, "ALERTS").unwrap().reload().await, Ok(()));
    }
}
