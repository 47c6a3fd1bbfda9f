//! Tests of chart repositories, on a server of a few charts.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::*;
use crate::clients::testing::serve;

/// `web` in some versions, `bad` with an archive that is not what the index states.
const INDEX: &str = "
apiVersion: v1
entries:
  web:
  - {version: 2.0.0-rc.1, urls: [web-2.0.0-rc.1.tgz]}
  - {version: v1.10.0, urls: [\"BASE/files/web-1.10.0.tgz\"], digest: DIGEST}
  - {version: 1.9.0, urls: [web-1.9.0.tgz]}
  - {version: 1.2.3, urls: [web-1.2.3.tgz]}
  - {version: 0.9, urls: [web-0.9.tgz], digest: null, created: never}
  bad:
  - {version: 1.0.0, urls: [bad-1.0.0.tgz], digest: sha256:00}
  - {version: 0.1.0}
  moved:
  - {version: 1.0.0, urls: [\"oci://registry.example/charts/moved:1.0.0\"]}
";

struct Repository {
    url: String,
    /// How often its index was read.
    reads: Arc<AtomicUsize>,
}

/// Archives contain their names.
async fn repository() -> Repository {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let index = move |headers: HeaderMap| {
        counted.fetch_add(1, Ordering::SeqCst);
        let base = format!("http://{}", headers["host"].to_str().unwrap());
        let digest = hex(b"web-1.10.0.tgz");
        async move { INDEX.replace("BASE", &base).replace("DIGEST", &digest) }
    };
    let archive = |Path(name): Path<String>| async move { name };
    // me:secret
    let private = |Path(name): Path<String>, headers: HeaderMap| async move {
        match headers.get("authorization") {
            Some(login) if login == "Basic bWU6c2VjcmV0" => name.into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    let odd = |Path(name): Path<String>| async move {
        let answer: Response = match name.as_str() {
            "large.tgz" => vec![0_u8; MAX_ARCHIVE + 1].into_response(),
            "index.yaml" => "entries: [".into_response(),
            "round.tgz" => Redirect::to("round.tgz").into_response(),
            "private.tgz" => Redirect::to("/private/a.tgz").into_response(),
            "files.tgz" => Redirect::to("/files/b.tgz").into_response(),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        answer
    };
    let router = Router::new()
        .route("/charts/index.yaml", get(index))
        .route("/charts/{name}", get(archive))
        .route("/files/{name}", get(archive))
        .route("/private/{name}", get(private))
        .route("/odd/{name}", get(odd));
    Repository { url: serve(router).await, reads }
}

fn without_logins() -> HttpRepositories {
    HttpRepositories::new(Vec::new()).unwrap()
}

async fn fetched(repository: &Repository, chart: &str) -> Result<String> {
    let archive = without_logins().fetch(&format!("{}/{chart}", repository.url)).await?;
    assert_eq!(archive.digest, format!("sha256:{}", hex(&archive.archive)));
    Ok(String::from_utf8(archive.archive.to_vec()).unwrap())
}

#[tokio::test]
async fn versions_are_found_as_helm_finds_them() {
    let repository = repository().await;
    for (version, found) in [
        ("", "web-1.10.0.tgz"),
        (":1.9.0", "web-1.9.0.tgz"),
        (":v1.9.0", "web-1.9.0.tgz"),
        (":1.10.0", "web-1.10.0.tgz"),
        (":2.0.0-rc.1", "web-2.0.0-rc.1.tgz"),
        (":1", "web-1.10.0.tgz"),
        (":1.9", "web-1.9.0.tgz"),
        (":1.x", "web-1.10.0.tgz"),
        (":~1.2", "web-1.2.3.tgz"),
        (":^1.2", "web-1.10.0.tgz"),
        (":>=1.2 <1.10", "web-1.9.0.tgz"),
        (":>= 1.2, < 1.9", "web-1.2.3.tgz"),
        (":5.0.0 || ~1.2.0", "web-1.2.3.tgz"),
        (":0.9", "web-0.9.tgz"),
    ] {
        assert_eq!(
            fetched(&repository, &format!("charts#web{version}")).await.unwrap(),
            found,
            "{version:?}"
        );
    }
    let error = fetched(&repository, "charts#web:3").await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(
        error.message.ends_with("its versions begin with 2.0.0-rc.1, v1.10.0, 1.9.0, 1.2.3, 0.9"),
        "{error}"
    );
    assert_eq!(fetched(&repository, "charts#none").await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn an_index_is_read_once_for_all_that_ask_for_it() {
    let repository = repository().await;
    let repositories = without_logins();
    let chart = |version: &str| format!("{}/charts#web:{version}", repository.url);
    let (one, other) = (chart("1.9.0"), chart("1.2.3"));
    let (one, other) = tokio::join!(repositories.fetch(&one), repositories.fetch(&other));
    assert_eq!(
        (one.unwrap().archive, other.unwrap().archive),
        ("web-1.9.0.tgz".into(), "web-1.2.3.tgz".into())
    );
    assert_eq!(repository.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn archives_are_taken_by_their_urls() {
    let repository = repository().await;
    assert_eq!(fetched(&repository, "files/web-1.10.0.tgz").await.unwrap(), "web-1.10.0.tgz");
    assert_eq!(fetched(&repository, "odd/files.tgz").await.unwrap(), "b.tgz");
}

#[tokio::test]
async fn a_login_is_sent_to_its_repository_only() {
    let repository = repository().await;
    let url = Url::parse(&format!("{}/private", repository.url)).unwrap();
    let login = RepositoryLogin { url, user: "me".into(), password: "secret".into() };
    let wrong =
        RepositoryLogin { url: Url::parse(&repository.url).unwrap(), user: "x".into(), ..login.clone() };
    let repositories = HttpRepositories::new(vec![wrong, login]).unwrap();
    let taken = repositories.fetch(&format!("{}/private/a.tgz", repository.url)).await.unwrap();
    assert_eq!(taken.archive, "a.tgz");
    let error = fetched(&repository, "private/a.tgz").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorised);
    assert!(error.message.contains("helm.repositories"), "{error}");
}

#[tokio::test]
async fn what_is_not_a_chart_is_refused_with_the_cause() {
    let repository = repository().await;
    for (chart, kind, cause) in [
        ("charts#bad:1.0.0", Kind::Invalid, "has another SHA-256 than 00"),
        ("charts#moved", Kind::Invalid, "name it as ociImage: oci://registry.example/charts/moved:1.0.0"),
        ("charts#bad:0.1.0", Kind::Invalid, "names no archive of bad 0.1.0"),
        ("odd/large.tgz", Kind::Invalid, "is larger than 20 MiB"),
        ("odd#web", Kind::Invalid, "odd/index.yaml is no index"),
        ("odd/round.tgz", Kind::Invalid, "leads on more than 5 times"),
        ("odd/private.tgz", Kind::Unauthorised, "helm.repositories"),
        ("odd/down.tgz", Kind::Unreachable, "answered 503"),
        ("nowhere/a.tgz", Kind::NotFound, "answered 404"),
    ] {
        let error = fetched(&repository, chart).await.unwrap_err();
        assert_eq!((error.kind, error.message.contains(cause)), (kind, true), "{chart}: {error}");
    }
    let down = without_logins().fetch("http://127.0.0.1:9/a.tgz").await.unwrap_err();
    assert_eq!(down.kind, Kind::Unreachable);
}
