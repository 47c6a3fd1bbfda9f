//! The test bed as the tests see it: where its parts are, and how to stop and start them.

use std::path::PathBuf;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// The member clusters of the test bed.
pub const MEMBERS: [&str; 3] = ["member1", "member2", "member3"];

/// Group, version and kind of an object.
pub type Kind = (&'static str, &'static str, &'static str);

/// The right to use the test bed.
pub struct Bed {
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    /// Waits for its turn.
    pub async fn take() -> Self {
        Self { _turn: TURN.lock().await }
    }

    /// The registry, `HOST:PORT`.
    pub fn registry(&self) -> String {
        variable("TESTBED_REGISTRY")
    }

    /// The Helm of this variant.
    pub fn helm(&self) -> String {
        match variant("E2E_HELM", "4").as_str() {
            "3" => variable("TESTBED_HELM3"),
            "4" => variable("TESTBED_HELM4"),
            other => panic!("E2E_HELM is {other:?}, not 3 or 4"),
        }
    }

    /// The port to which Alertmanager sends its notifications.
    pub fn webhook_port(&self) -> u16 {
        variable("TESTBED_WEBHOOK_PORT").parse().expect("TESTBED_WEBHOOK_PORT is a port")
    }

    /// A client of Karmada, of the monitoring cluster (`mgmt`) or of a member.
    pub async fn client(&self, cluster: &str) -> Client {
        let path = match cluster {
            "karmada" => variable("KARMADA_KUBECONFIG"),
            "mgmt" => variable("MONITORING_KUBECONFIG"),
            member => variable(&format!("TESTBED_{}_KUBECONFIG", member.to_uppercase())),
        };
        let kubeconfig = Kubeconfig::read_from(path).expect("kubeconfig of the test bed");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("configuration of the test bed")).expect("client")
    }

    /// Ready replicas of a Deployment, asked of the member itself; `None` when it is not there.
    pub async fn ready_replicas(&self, member: &str, namespace: &str, name: &str) -> Option<i32> {
        let api: Api<Deployment> = Api::namespaced(self.client(member).await, namespace);
        let deployment = api.get_opt(name).await.expect("member answers")?;
        Some(deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0))
    }

    /// The objects of a kind in a namespace, or in all.
    pub async fn api(&self, cluster: &str, gvk: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        api_of(self.client(cluster).await, gvk, namespace)
    }

    /// Lists the objects of a kind; empty when the cluster does not know the kind.
    pub async fn objects(&self, cluster: &str, gvk: Kind, namespace: Option<&str>) -> Vec<DynamicObject> {
        list(&self.client(cluster).await, cluster, gvk, namespace).await
    }

    /// Lists all objects of several kinds, all at once.
    pub async fn objects_of(&self, cluster: &str, kinds: &[Kind]) -> Vec<(Kind, DynamicObject)> {
        let client = self.client(cluster).await;
        let listed = join_all(kinds.iter().map(|kind| list(&client, cluster, *kind, None))).await;
        kinds.iter().zip(listed).flat_map(|(kind, objects)| objects.into_iter().map(|o| (*kind, o))).collect()
    }

    /// Names of the objects of a kind, as `namespace/name`.
    pub async fn names(&self, cluster: &str, gvk: Kind, namespace: Option<&str>) -> Vec<String> {
        self.objects(cluster, gvk, namespace).await.iter().map(name_of).collect()
    }

    /// Stops a component of the test bed.
    pub async fn stop(&self, component: &str) {
        testbed(&["stop", component]).await;
    }

    /// Starts a stopped component again.
    pub async fn start(&self, component: &str) {
        testbed(&["start", component]).await;
    }

    /// Sets how fast `flask_http_request_total` of a service grows at the load exporter, which Prometheus
    /// scrapes every second.
    pub async fn set_rate(&self, service: &str, per_second: f64) {
        let request = reqwest::Client::new().put(rate_url(service)).body(per_second.to_string());
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.expect("exporter takes the rate");
    }

    /// Takes the series of a service away from the load exporter.
    pub async fn remove_rate(&self, service: &str) {
        let answer = reqwest::Client::new().delete(rate_url(service)).send().await;
        answer.and_then(reqwest::Response::error_for_status).expect("exporter removes the series");
    }
}

fn rate_url(service: &str) -> String {
    format!("{}/rate/{service}", variable("TESTBED_EXPORTER"))
}

/// `namespace/name` of an object.
pub fn name_of(object: &DynamicObject) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&object.metadata.namespace), part(&object.metadata.name))
}

/// A variable that `make e2e` sets.
pub fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; run `make e2e`, or export `python3 -m testbed env`"))
}

/// A choice of the variant to test.
pub fn variant(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The folder of the sources.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn api_of(client: Client, gvk: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(gvk.0, gvk.1, gvk.2));
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

async fn list(client: &Client, cluster: &str, gvk: Kind, namespace: Option<&str>) -> Vec<DynamicObject> {
    match api_of(client.clone(), gvk, namespace).list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => panic!("{cluster} does not list {gvk:?}: {error}"),
    }
}

async fn testbed(arguments: &[&str]) {
    let output =
        command("python3").args(["-m", "testbed"]).args(arguments).current_dir(root()).output().await;
    let output = output.expect("python3 runs");
    assert!(output.status.success(), "testbed {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program to run.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start the server and the test bed; clients::command is not theirs"
)]
pub fn command(program: &str) -> tokio::process::Command {
    tokio::process::Command::new(program)
}
