//! A server without a socket, on a database of the test and a simulated continuum of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use serde_json::{Value, json};
use smo::app::{Scaler, TickSummary};
use smo::config::{Settings, Sources, load};
use smo::faults::Faults;
use smo::server::Server;
use smo::simulation::{Continuum, World};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::database::TestDatabase;
use crate::wait::eventually;

/// How long a test waits for the server.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How often in a row nothing has happened before all is at rest.
const QUIET: u32 = 5;

/// Small clusters whose Deployments are ready at once.
const CONTINUUM: &str = "
ready_delay: 0.01
clusters:
  - { name: cloud, cpu: 16, ram: 64Gi, storage: 500Gi, gpus: 1 }
  - { name: edge-1, cpu: 4, ram: 8Gi, storage: 100Gi }
  - { name: edge-2, cpu: 4, ram: 8Gi, storage: 100Gi }
";

/// A running server.
pub struct TestApp {
    server: Server,
    grace: Duration,
    /// The world it works with.
    pub world: World,
}

/// An answer with its body read.
pub struct Answer {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl TestApp {
    /// A server with default settings, but short waits.
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_in(database, world(), Faults::none()).await
    }

    /// A server on a world that may have a past.
    pub async fn start_in(database: &TestDatabase, world: World, faults: Faults) -> Self {
        Self::start_with(database, world, faults, |_| {}).await
    }

    /// A server with settings of its own.
    pub async fn start_with(
        database: &TestDatabase,
        world: World,
        faults: Faults,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let (store, grace) =
            (database.store.clone().with_faults(faults.clone()), settings.reconcile.shutdown_grace);
        let server =
            Server::start(settings, store, world.ports(), Some(world.clone()), faults).await.unwrap();
        Self { server, grace, world }
    }

    /// Ends the server as a shutdown does.
    pub async fn shutdown(self) {
        self.server.shutdown(self.grace).await;
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, Body::empty()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, Body::empty()).await
    }

    /// POST of a JSON value.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some("application/json"), Body::from(body.to_string())).await
    }

    /// Any request.
    pub async fn send(&self, method: &str, path: &str, content_type: Option<&str>, body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        self.call(request.body(body).unwrap()).await
    }

    /// A request with headers of its own.
    pub async fn call(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.server.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body, text }
    }

    /// Sets the attributes of a cluster.
    pub async fn set_attributes(&self, cluster: &str, attributes: &Value) {
        let path = format!("/clusters/{cluster}/attributes");
        let set = self.send("PUT", &path, Some("application/json"), attributes.to_string().into()).await;
        assert_eq!(set.status, 200, "{:#}", set.body);
    }

    /// Serves it on a free port of the loopback, as the program does; its address.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(self.server.serve(listener));
        address
    }

    /// Serves it on a socket; its URL.
    pub async fn serve(&self) -> String {
        format!("http://{}", self.listen().await)
    }

    /// Looks at the load of all graphs, as the server does every interval.
    pub async fn tick(&self, scaler: &mut Scaler) -> TickSummary {
        scaler.tick().await.unwrap()
    }

    /// A scaler of its own, which remembers nothing yet.
    pub fn scaler(&self) -> Scaler {
        Scaler::new(self.server.app.clone())
    }

    /// How many reconciles of graphs have come to an end.
    pub async fn reconciles(&self) -> u64 {
        let metrics = self.get("/metrics").await.text;
        let counts =
            metrics.lines().filter_map(|line| line.strip_prefix("smo_reconciles_total{kind=\"graph\""));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits until so many reconciles of graphs have come to an end.
    pub async fn until_reconciled(&self, times: u64) {
        eventually("a reconcile comes to its end", LIMIT, async || {
            let done = self.reconciles().await;
            if done >= times { Ok(()) } else { Err(format!("{done} of {times}")) }
        })
        .await;
    }

    /// Waits until no news leads to a reconcile of a graph any more; how many came to an end so far.
    pub async fn until_at_rest(&self) -> u64 {
        let (mut last, mut same) = (0, 0);
        eventually("no graph is reconciled any more", LIMIT, async || {
            let now = self.reconciles().await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if same >= QUIET { Ok(now) } else { Err(format!("{now} reconciles")) }
        })
        .await
    }

    /// Waits until the answer for a graph satisfies a condition.
    pub async fn until(&self, graph: &str, what: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        eventually(&format!("graph {graph} {what}"), LIMIT, async || {
            let answer = self.get(&format!("/graphs/{graph}")).await;
            if wanted(&answer) { Ok(answer) } else { Err(format!("{} {:#}", answer.status, answer.body)) }
        })
        .await
    }
}

/// Serves an interface on a free port of the loopback until the test ends; its URL.
pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A fresh world.
pub fn world() -> World {
    World::new(Continuum::parse(CONTINUUM).unwrap(), 1)
}

fn settings() -> Settings {
    let never = |path: &std::path::Path| -> std::io::Result<String> { panic!("reads {}", path.display()) };
    let env = [("SMO_MODE", "simulated"), ("SMO_WAIT", "5"), ("SMO_ALERT_POLL", "1")];
    let env: BTreeMap<String, String> = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let sources = Sources { env, home: None, config_file: None, flags: Vec::new(), read: &never };
    let mut settings = load(sources).unwrap().settings;
    settings.reconcile.backoff_first = Duration::from_millis(20);
    settings.reconcile.cluster_max_age = Duration::ZERO;
    settings.calls.first_delay = Duration::from_millis(5);
    settings
}

/// A service of a descriptor.
pub fn service(id: &str, more: Value) -> Value {
    let mut service = json!({
        "id": id,
        "deployment": { "trigger": { "auto": { "dependencies": [] } }, "intent": { "compute": { "cpu": "light" } } },
        "artifact": { "ociImage": format!("oci://registry.example/demo/{id}") },
    });
    merge(&mut service, more);
    service
}

/// A service that an event deploys.
pub fn conditional(id: &str) -> Value {
    let event = json!({
        "id": format!("{id}-wanted"), "source": [],
        "condition": { "promQuery": "up > 0", "gracePeriod": "5s", "description": "load is high" },
    });
    let mut service = service(id, json!({}));
    service["deployment"]["trigger"] = json!({ "event": { "condition": "ANY", "events": [event] } });
    service
}

/// A descriptor.
pub fn graph(id: &str, services: &[Value]) -> Value {
    json!({ "hdaGraph": { "id": id, "services": services } })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
