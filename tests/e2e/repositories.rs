//! Charts of a repository over HTTP, behind a login: installed by Helm, kept by their content.

use std::path::Path;

use axum::Router;
use axum::extract::{Path as Named, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::bed::{Bed, command, root};
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};

const PROJECT: &str = "/project/repository/graphs";
/// `me:secret`
const LOGIN: &str = "Basic bWU6c2VjcmV0";

/// A repository with the chart `web` of the examples in version 1.0.0.
struct Repository {
    folder: TempDir,
    address: String,
    serving: JoinHandle<()>,
}

impl Repository {
    async fn serve(bed: &Bed) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = async |State(folder): State<std::path::PathBuf>,
                          Named(name): Named<String>,
                          headers: HeaderMap| {
            if headers.get("authorization").is_none_or(|login| login != LOGIN) {
                return Err(StatusCode::UNAUTHORIZED);
            }
            std::fs::read(folder.join(name)).map_err(|_| StatusCode::NOT_FOUND)
        };
        let router = Router::new().route("/stable/{name}", get(file)).with_state(folder.path().to_owned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let repository = Self { folder, address, serving };
        repository.publish(bed, "as it was").await;
        repository
    }

    /// Packages the chart with another description, under the same version, and writes the index.
    async fn publish(&self, bed: &Bed, description: &str) {
        let helm = async |arguments: &[&Path]| {
            let output = command(&bed.helm()).args(arguments).output().await.expect("helm runs");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let copy = tempfile::tempdir().expect("a folder");
        let chart = copy.path().join("web");
        let copied =
            command("cp").arg("-r").arg(root().join("examples/any-chart/charts/web")).arg(&chart).status();
        assert!(copied.await.expect("cp runs").success());
        let about = chart.join("Chart.yaml");
        let text = std::fs::read_to_string(&about).expect("Chart.yaml");
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with("description"))
            .flat_map(|line| [line, "\n"])
            .collect();
        std::fs::write(&about, format!("{text}description: {description}\n")).expect("Chart.yaml");
        helm(&["package".as_ref(), &chart, "--destination".as_ref(), self.folder.path()]).await;
        helm(&["repo".as_ref(), "index".as_ref(), self.folder.path()]).await;
    }
}

fn digest(graph: &Value) -> String {
    service(graph, "web")["artifact_digest"].as_str().expect("a digest").to_owned()
}

#[tokio::test]
async fn a_chart_of_a_repository_is_installed_and_stays_what_it_was() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let repository = Repository::serve(&bed).await;
    let url = format!("http://{}/stable", repository.address);
    let login = format!("http://me:secret@{}/stable", repository.address);
    let environment = [("SMO_WAIT", "60"), ("SMO_HELM_REPOSITORIES", &login)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = Server::start(&bed, &data, &Options { port: None, environment: environment.to_vec() }).await;
    let graph = |helm: Value| json!({ "hdaGraph": { "id": "repository", "services": [{ "id": "web", "artifact": { "helm": helm } }] } });
    let wrong = graph(json!({ "repo": url, "chart": "web", "version": "9" })).to_string();
    let (status, refused) = server.post(PROJECT, "application/json", wrong).await;
    assert!(refused.to_string().contains("its versions begin with 1.0.0"), "{status}: {refused:#}");
    server.delete_graph("repository").await;

    let wanted = graph(json!({ "repo": url, "chart": "web", "version": "^1" })).to_string();
    let (status, answer) = server.post(PROJECT, "application/json", wanted).await;
    assert_eq!(status, 200, "{answer:#}");
    let ready = server.until_ready("repository").await;
    assert_eq!(service(&ready, "web")["artifact_ref"], format!("{url}#web:^1"));
    assert_eq!(service(&ready, "web")["propagation"], "managed");

    // Another archive under the same version changes nothing, nor does a repository that is gone.
    repository.publish(&bed, "as it is now").await;
    repository.serving.abort();
    for step in ["stop", "start"] {
        let (status, answer) =
            server.post(&format!("/graphs/repository/{step}"), "application/json", "{}".to_owned()).await;
        assert_eq!(status, 200, "{step}: {answer:#}");
    }
    assert_eq!(digest(&server.until_ready("repository").await), digest(&ready));
    server.delete_graph("repository").await;
    before.assert_restored(&bed).await;
}
