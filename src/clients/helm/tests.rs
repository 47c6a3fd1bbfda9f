//! Tests of the Helm client against a stand-in program and release Secrets served by a router.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path as UrlPath, Query, Request, State};
use axum::http::HeaderValue;
use axum::middleware::map_request;
use axum::routing::{get, patch};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::clients::testing::{Collection, fake_server};
use crate::clients::{ChartArchive, ReleaseStatus};
use crate::config::{CallSettings, HelmSettings, KarmadaSettings, KubeconfigSettings, ObjectLabels};

const NAMESPACE: &str = "demo";
/// Labels of the installation, the graph and the digest.
const MARKS: [&str; 3] = ["smo-installation", "smo-graph", "smo-digest"];

struct Bed {
    folder: tempfile::TempDir,
    /// Helm's records, as the fake API server shows them.
    secrets: Collection,
    /// Requests to the fake API server that ask for more than to watch.
    asked: Arc<AtomicUsize>,
    _records: AbortOnDropHandle<()>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clients/helm/fake-helm.sh");
        symlink(script, folder.path().join("helm")).unwrap();
        let secrets = Collection::new();
        let records = keep_records(folder.path().join("calls"), secrets.clone());
        let records = AbortOnDropHandle::new(tokio::spawn(records));
        Self { folder, secrets, asked: Arc::default(), _records: records }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn behaviour(&self, script: &str) {
        fs::write(self.path("behaviour"), script).unwrap();
    }

    fn helm(&self, deadline: Duration) -> HelmReleases {
        let defaults = Settings::default();
        let kubeconfig = Some(KubeconfigSettings { path: self.path("config") });
        let settings = Settings {
            helm: HelmSettings { bin: self.path("helm"), plain_http: true, ..defaults.helm },
            karmada: KarmadaSettings { kubeconfig, ..defaults.karmada },
            calls: CallSettings { helm_deadline: deadline, ..defaults.calls },
            data_dir: self.path("data"),
            ..Settings::default()
        };
        let (in_all, in_one) = (self.secrets.clone(), self.secrets.clone());
        let router = Router::new()
            .route("/api/v1/secrets", get(async move |Query(query): Query<_>| in_all.answer(None, &query)))
            .route(
                "/api/v1/namespaces/{namespace}/secrets",
                get(async move |UrlPath(namespace): UrlPath<String>, Query(query): Query<_>| {
                    in_one.answer(Some(&namespace), &query)
                }),
            )
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", patch(patched))
            .layer(map_request(as_json))
            .layer(map_request(counted))
            .layer(Extension(Arc::clone(&self.asked)))
            .with_state(self.secrets.clone());
        HelmReleases::start(&settings, marks(), fake_server(router))
    }

    fn quick(&self) -> HelmReleases {
        self.helm(Duration::from_secs(60))
    }

    fn revision(&self, name: &str, version: i64, status: &str, owner: Option<&str>) {
        let digest = format!("digest-{version}");
        let labels = owner.map(|owner| MARKS.into_iter().zip(["test", owner, digest.as_str()]));
        self.secrets.put(record(NAMESPACE, name, version, status, labels.into_iter().flatten()));
    }

    /// The recorded command lines.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(without_timeout).collect()
    }
}

/// Drops the value of `--timeout`, which depends on the clock.
fn without_timeout(line: &str) -> String {
    let mut words = line.split(' ').peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        kept.push(word);
        if word == "--timeout" {
            words.next();
        }
    }
    kept.join(" ")
}

fn marks() -> Marks {
    Marks { installation: "test".to_owned(), labels: ObjectLabels::default() }
}

/// Changes labels of a record.
async fn patched(
    State(secrets): State<Collection>,
    UrlPath((namespace, name)): UrlPath<(String, String)>,
    Json(patch): Json<Value>,
) -> Json<Value> {
    let is_it =
        |object: &Value| object["metadata"]["namespace"] == *namespace && object["metadata"]["name"] == *name;
    let mut object = secrets.objects().into_iter().find(is_it).unwrap();
    for (label, value) in patch["metadata"]["labels"].as_object().unwrap() {
        object["metadata"]["labels"][label] = value.clone();
    }
    Json(secrets.put(object))
}

/// A merge patch is JSON under another name.
async fn as_json(mut request: Request) -> Request {
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    request
}

async fn counted(request: Request) -> Request {
    let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
    request
        .extensions()
        .get::<Arc<AtomicUsize>>()
        .unwrap()
        .fetch_add(usize::from(!watches), Ordering::SeqCst);
    request
}

/// A record as Helm writes it.
fn record<'a>(
    namespace: &str,
    release: &str,
    version: i64,
    status: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Value {
    let mut all = json!({"owner": "helm", "name": release, "version": version.to_string(), "status": status});
    labels.for_each(|(name, value)| all[name] = value.into());
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {
            "name": format!("sh.helm.release.v1.{release}.v{version}"), "namespace": namespace, "labels": all,
        },
    })
}

/// Changes the records as Helm would: the stand-in program only writes down how it was called.
async fn keep_records(calls: PathBuf, secrets: Collection) {
    let mut done = 0;
    loop {
        let text = fs::read_to_string(&calls).unwrap_or_default();
        for line in text.split_inclusive('\n').skip(done).take_while(|line| line.ends_with('\n')) {
            done += 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |flag: &str| words.iter().position(|word| *word == flag).map(|at| words[at + 1]);
            let (namespace, release) = (after("--namespace").unwrap(), after("--").unwrap());
            let versions: Vec<i64> = versions(&secrets, release);
            if words[0] == "uninstall" {
                let name = |version: &i64| format!("sh.helm.release.v1.{release}.v{version}");
                versions.iter().for_each(|version| secrets.remove(namespace, &name(version)));
            }
            let next = versions.iter().max().unwrap_or(&0) + 1;
            if words[0] == "rollback" {
                let good = words.last().unwrap();
                let labels = secrets.objects().into_iter().map(|object| object["metadata"]["labels"].clone());
                let is_it = |labels: &Value| labels["name"] == release && labels["version"] == **good;
                let labels = labels.into_iter().find(is_it).unwrap();
                let ours = MARKS.iter().map(|name| (*name, labels[name].as_str().unwrap()));
                secrets.put(record(namespace, release, next, "deployed", ours));
            } else if let Some(labels) = after("--labels") {
                let labels = labels.split(',').filter_map(|label| label.split_once('='));
                secrets.put(record(namespace, release, next, "deployed", labels));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn versions(secrets: &Collection, release: &str) -> Vec<i64> {
    let labels = secrets.objects().into_iter().map(|object| object["metadata"]["labels"].clone());
    let of_release = labels.filter(|labels| labels["name"] == release);
    of_release.map(|labels| labels["version"].as_str().unwrap().parse().unwrap()).collect()
}

fn key(name: &str) -> ReleaseKey {
    ReleaseKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() }
}

fn spec(name: &str) -> ReleaseSpec {
    ReleaseSpec {
        archive: None,
        key: key(name),
        chart: "oci://127.0.0.1:5000/project/demo:1.2.0".to_owned(),
        values: json!({"clustersAffinity": ["edge-1"], "n": 1}),
        owner: "brussels-1a2b".to_owned(),
        digest: "0123abcd".to_owned(),
    }
}

const UPGRADE: &str = "upgrade --namespace demo --timeout --kubeconfig HERE/config --install --create-namespace \
                       --history-max 3 --values values.json --labels smo-installation=test,smo-graph=brussels-1a2b,smo-digest=0123abcd \
                       --version 1.2.0 --plain-http --server-side=false -- a oci://127.0.0.1:5000/project/demo";
const UNINSTALL: &str =
    "uninstall --namespace demo --timeout --kubeconfig HERE/config --ignore-not-found --wait -- a";

#[tokio::test]
async fn apply_passes_everything_to_helm_and_values_in_a_private_file() {
    let bed = Bed::new();
    bed.quick().apply(&spec("a")).await.unwrap();
    assert_eq!(bed.calls(), [UPGRADE]);
    let values: Value = serde_json::from_slice(&fs::read(bed.path("values")).unwrap()).unwrap();
    assert_eq!(values, spec("a").values);
    assert_eq!(fs::read_to_string(bed.path("values.mode")).unwrap(), "600\n");
    let env = fs::read_to_string(bed.path("env")).unwrap();
    assert!(env.lines().any(|line| line == "HELM_DRIVER=secret"), "{env}");
    let cache = format!("HELM_CACHE_HOME={}", bed.path("data/helm/run/demo_a/cache").display());
    assert!(env.lines().any(|line| line == cache), "{env}");
    assert!(!bed.path("data/helm/run/demo_a").exists(), "the values stay behind");
}

#[tokio::test]
async fn helm_3_is_not_given_flags_of_helm_4() {
    let bed = Bed::new();
    fs::write(bed.path("version"), "v3.20.2\n").unwrap();
    let helm = bed.quick();
    assert_eq!(helm.version().await.unwrap(), "v3.20.2");
    helm.apply(&spec("a")).await.unwrap();
    assert_eq!(bed.calls(), [UPGRADE.replace(" --server-side=false", "")]);
}

#[tokio::test]
async fn a_foreign_release_is_neither_upgraded_nor_removed() {
    for owner in [None, Some("other-graph")] {
        let bed = Bed::new();
        bed.revision("a", 1, "deployed", owner);
        let helm = bed.quick();
        let refused = helm.apply(&spec("a")).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Conflict);
        assert!(refused.message.starts_with("release a in namespace demo exists and"), "{}", refused.message);
        assert_eq!(helm.uninstall(&key("a"), "brussels-1a2b").await.unwrap_err().kind, Kind::Conflict);
        assert_eq!(bed.calls(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_release_of_another_installation_is_foreign_even_for_a_graph_of_the_same_name() {
    let bed = Bed::new();
    let labels = [("smo-installation", "other"), ("smo-graph", "brussels-1a2b")];
    bed.secrets.put(record(NAMESPACE, "a", 1, "deployed", labels.into_iter()));
    let helm = bed.quick();
    let refused = helm.apply(&spec("a")).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    assert!(refused.message.contains("not made by this installation"), "{refused}");
    assert_eq!(helm.uninstall(&key("a"), "brussels-1a2b").await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(bed.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_release_from_before_installations_had_ids_belongs_to_its_graph() {
    let bed = Bed::new();
    bed.secrets.put(record(NAMESPACE, "a", 1, "deployed", [("smo-graph", "brussels-1a2b")].into_iter()));
    bed.quick().apply(&spec("a")).await.unwrap();
    assert_eq!(bed.calls(), [UPGRADE]);
}

#[tokio::test]
async fn adopting_labels_every_revision_without_running_helm() {
    let bed = Bed::new();
    bed.revision("a", 1, "superseded", None);
    bed.revision("a", 2, "deployed", None);
    bed.revision("b", 1, "deployed", None);
    let helm = bed.quick();
    helm.adopt(&key("a"), "brussels-1a2b", "0123abcd").await.unwrap();
    assert_eq!(bed.calls(), Vec::<String>::new());
    let listed = helm.find(NAMESPACE, "brussels-1a2b", &["b"]).await.unwrap();
    let owners: Vec<_> = listed.iter().map(|release| release.owner.as_deref()).collect();
    assert_eq!((owners, listed[0].digest.as_deref()), (vec![Some("brussels-1a2b"), None], Some("0123abcd")));
    let history = storage::history(&helm.client, &helm.marks, &key("a")).await.unwrap();
    assert!(history.iter().all(|revision| revision.owner.as_deref() == Some("brussels-1a2b")), "{history:?}");

    assert_eq!(helm.adopt(&key("c"), "g", "d").await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(helm.adopt(&key("b"), "a,b=c", "d").await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn a_chart_that_is_no_registrys_is_given_as_a_file() {
    let bed = Bed::new();
    let archive = ChartArchive { digest: "sha256:1".into(), archive: "the archive".into() };
    let spec = ReleaseSpec { chart: "https://h/charts#demo:~1".into(), archive: Some(archive), ..spec("a") };
    bed.behaviour("cp chart.tgz \"$here/archive\"");
    bed.quick().apply(&spec).await.unwrap();
    let expected = UPGRADE.replace(" --version 1.2.0 --plain-http", "");
    assert_eq!(bed.calls(), [expected.replace("oci://127.0.0.1:5000/project/demo", "./chart.tgz")]);
    assert_eq!(fs::read_to_string(bed.path("archive")).unwrap(), "the archive");
}

#[tokio::test]
async fn an_interrupted_install_is_removed_before_installing_again() {
    for status in ["pending-install", "uninstalling"] {
        let bed = Bed::new();
        bed.revision("a", 1, status, Some("brussels-1a2b"));
        bed.quick().apply(&spec("a")).await.unwrap();
        assert_eq!(bed.calls(), [UNINSTALL, UPGRADE], "{status}");
    }
}

#[tokio::test]
async fn an_interrupted_upgrade_is_rolled_back_to_the_deployed_revision_before_upgrading() {
    for status in ["pending-upgrade", "pending-rollback"] {
        let bed = Bed::new();
        for (version, status) in [(1, "superseded"), (2, "deployed"), (3, "failed"), (4, status)] {
            bed.revision("a", version, status, Some("brussels-1a2b"));
        }
        // The revision that is rolled back to had the values that are wanted now.
        let marks = MARKS.into_iter().zip(["test", "brussels-1a2b", "0123abcd"]);
        bed.secrets.put(record(NAMESPACE, "a", 2, "deployed", marks));
        bed.quick().apply(&spec("a")).await.unwrap();
        assert_eq!(versions(&bed.secrets, "a").into_iter().max(), Some(6), "a rollback and an upgrade");
        let rollback = "rollback --namespace demo --timeout --kubeconfig HERE/config -- a 2";
        assert_eq!(bed.calls(), [rollback, UPGRADE], "{status}");
    }
}

#[tokio::test]
async fn an_interrupted_upgrade_of_a_release_that_had_failed_does_not_remove_what_runs() {
    let bed = Bed::new();
    bed.revision("a", 1, "failed", Some("brussels-1a2b"));
    bed.revision("a", 2, "pending-upgrade", Some("brussels-1a2b"));
    bed.quick().apply(&spec("a")).await.unwrap();
    let rollback = "rollback --namespace demo --timeout --kubeconfig HERE/config -- a 1";
    assert_eq!(bed.calls(), [rollback, UPGRADE]);
}

#[tokio::test]
async fn uninstall_of_what_is_not_there_starts_no_helm() {
    let bed = Bed::new();
    bed.revision("another", 1, "deployed", None);
    bed.quick().uninstall(&key("a"), "brussels-1a2b").await.unwrap();
    assert_eq!(bed.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn uninstall_removes_a_release_that_is_ours_and_takes_its_vanishing_for_done() {
    let bed = Bed::new();
    bed.revision("a", 1, "deployed", Some("brussels-1a2b"));
    bed.behaviour("echo 'Error: uninstall: Release not loaded: a: release: not found' >&2; exit 1");
    bed.quick().uninstall(&key("a"), "brussels-1a2b").await.unwrap();
    assert_eq!(bed.calls(), [UNINSTALL]);
}

#[tokio::test]
async fn the_newest_revisions_of_named_releases_and_of_all_of_an_owner_are_found() {
    let bed = Bed::new();
    bed.revision("a", 9, "superseded", Some("g"));
    bed.revision("a", 10, "deployed", Some("g"));
    bed.revision("b", 1, "pending-install", None);
    bed.revision("c", 1, "deployed", None);
    bed.revision("d", 1, "deployed", Some("g"));
    bed.revision("e", 1, "deployed", Some("other"));
    let helm = bed.quick();
    let listed = loop {
        if let Ok(listed) = helm.find(NAMESPACE, "g", &["a", "b", "absent"]).await {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    let release =
        |name: &str, revision, status, owner: Option<&str>, digest: Option<&str>| ReleaseObservation {
            name: name.to_owned(),
            revision,
            status,
            owner: owner.map(str::to_owned),
            digest: digest.map(str::to_owned),
        };
    assert_eq!(
        listed,
        [
            release("a", 10, ReleaseStatus::Deployed, Some("g"), Some("digest-10")),
            release("b", 1, ReleaseStatus::Pending, None, None),
            release("d", 1, ReleaseStatus::Deployed, Some("g"), Some("digest-1")),
        ]
    );
    // Who owns a release may change, and it may go.
    helm.adopt(&key("d"), "other", "digest").await.unwrap();
    helm.uninstall(&key("a"), "g").await.unwrap();
    let names = async |owner: &str| {
        let found = helm.find(NAMESPACE, owner, &[]).await.unwrap();
        found.into_iter().map(|release| release.name).collect::<Vec<_>>()
    };
    assert_eq!((names("g").await, names("other").await), (vec![], vec!["d".to_owned(), "e".to_owned()]));
}

#[tokio::test]
async fn to_find_releases_takes_no_request_however_often_it_is_done() {
    let bed = Bed::new();
    bed.revision("a", 1, "deployed", Some("g"));
    let helm = bed.quick();
    while helm.find(NAMESPACE, "g", &["a"]).await.is_err() {
        tokio::task::yield_now().await;
    }
    let asked = bed.asked.load(Ordering::SeqCst);
    assert!(asked > 0, "the watch lists what there is");
    for _ in 0..10 {
        assert_eq!(helm.find(NAMESPACE, "g", &["a", "absent"]).await.unwrap().len(), 1);
    }
    assert_eq!(bed.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn a_failed_helm_becomes_a_typed_error() {
    let bed = Bed::new();
    bed.behaviour("echo 'Error: 127.0.0.1:5000/project/demo:1.2.0: not found' >&2; exit 1");
    let error = bed.quick().apply(&spec("a")).await.unwrap_err();
    assert_eq!((error.system, error.kind), ("registry", Kind::NotFound));
}

#[tokio::test]
async fn at_the_deadline_helm_is_stopped_and_the_release_free_again() {
    let bed = Bed::new();
    bed.revision("a", 1, "deployed", Some("brussels-1a2b"));
    bed.behaviour("exec sleep 600");
    let error = bed.helm(Duration::from_millis(300)).apply(&spec("a")).await.unwrap_err();
    assert_eq!(
        (error.system, error.kind),
        ("helm", Kind::Timeout),
        "its record is there: the chart had come"
    );
    bed.behaviour("exit 0");
    bed.quick().apply(&spec("a")).await.unwrap();
}

#[tokio::test]
async fn helm_gives_up_by_itself_well_before_it_is_asked_to_end_and_that_before_it_is_killed() {
    let bed = Bed::new();
    let helm = bed.helm(Duration::from_secs(300));
    let key = key("a");
    let lock = ReleaseLock::acquire(&bed.path("data/helm"), &key, Instant::now()).await.unwrap();
    // Time to record the failure of the release.
    let margin = Duration::from_secs(20);
    for left in [0, 1, 60, 300].map(Duration::from_secs) {
        let call = helm.call(&key, &lock, Instant::now() + left);
        let program = call.program("upgrade", &[], &["a"]).unwrap();
        let told = program.args.iter().skip_while(|arg| *arg != "--timeout").nth(1).unwrap();
        let told = told.to_str().unwrap().strip_suffix('s').unwrap();
        let own = Duration::from_secs(told.parse().unwrap());
        assert!(own <= left.max(Duration::from_secs(1)), "{own:?} of {left:?}");
        assert!(program.deadline >= own + margin, "{:?} after {own:?}", program.deadline);
        assert!(program.grace >= margin, "{:?}", program.grace);
    }
}

#[tokio::test]
async fn a_helm_that_hangs_before_its_record_is_there_waits_for_the_registry() {
    let bed = Bed::new();
    // So that no record follows from the call.
    fs::write(bed.path("silent"), "").unwrap();
    bed.behaviour("exec sleep 600");
    let error = bed.helm(Duration::from_millis(300)).apply(&spec("a")).await.unwrap_err();
    assert_eq!((error.system, error.kind), ("registry", Kind::Timeout), "{error}");
    assert!(error.message.contains("127.0.0.1:5000"), "{error}");
}

#[tokio::test]
async fn a_cancelled_operation_kills_its_helm_and_the_next_one_waits_for_its_end() {
    let bed = Bed::new();
    bed.behaviour(r#"echo $$ >"$here/pid"; exec sleep 600"#);
    let helm = Arc::new(bed.quick());
    let first = Arc::clone(&helm);
    let task = tokio::spawn(async move { first.apply(&spec("a")).await });
    wait_until(|| fs::read_to_string(bed.path("pid")).is_ok_and(|pid| pid.ends_with('\n'))).await;
    bed.behaviour("exit 0");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    helm.apply(&spec("a")).await.unwrap();
    assert_eq!(bed.calls().len(), 2);
}

#[tokio::test]
async fn a_surviving_helm_keeps_the_release_locked_after_its_server_is_gone() {
    let bed = Bed::new();
    let home = bed.path("data/helm");
    let lock = ReleaseLock::acquire(&home, &key("a"), Instant::now() + Duration::from_secs(5)).await.unwrap();
    // The remains of a killed server: only a process with the locked file as its standard input.
    let mut orphan = orphan(&lock);
    drop(lock);
    let busy = bed.helm(Duration::from_millis(300)).apply(&spec("a")).await.unwrap_err();
    assert_eq!(busy.kind, Kind::Timeout);
    assert_eq!(busy.message, "another helm still works on release a");
    bed.helm(Duration::from_secs(5)).apply(&spec("b")).await.unwrap();

    orphan.kill().unwrap();
    orphan.wait().unwrap();
    bed.quick().apply(&spec("a")).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "stands for a process of another server")]
fn orphan(lock: &ReleaseLock) -> std::process::Child {
    std::process::Command::new("sleep").arg("600").stdin(lock.share().unwrap()).spawn().unwrap()
}

#[tokio::test]
async fn names_that_could_be_options_paths_or_lists_are_refused() {
    let bed = Bed::new();
    let helm = bed.quick();
    let mut bad = vec![spec("-rf"), spec("a_b"), spec("../a"), spec("")];
    bad.push(ReleaseSpec { chart: "--post-renderer=x".into(), ..spec("a") });
    bad.push(ReleaseSpec { chart: "oci://host/a b".into(), ..spec("a") });
    bad.push(ReleaseSpec { owner: "a,b=c".into(), ..spec("a") });
    bad.push(ReleaseSpec { digest: "x".repeat(64), ..spec("a") });
    for spec in bad {
        assert_eq!(helm.apply(&spec).await.unwrap_err().kind, Kind::Invalid, "{spec:?}");
    }
    assert_eq!(bed.calls(), Vec::<String>::new());
}

#[test]
fn a_tag_is_told_from_a_port() {
    assert_eq!(split_tag("oci://h:5000/p/c:1.0"), ("oci://h:5000/p/c", Some("1.0")));
    assert_eq!(split_tag("oci://h:5000/p/c"), ("oci://h:5000/p/c", None));
    assert_eq!(split_tag("oci://h/p/c"), ("oci://h/p/c", None));
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "condition not met in time");
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
