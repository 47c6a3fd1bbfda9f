//! Tests of watches under a paused clock, against misbehaving API servers.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::Query;
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::watcher::watcher;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::clients::testing::fake_server;

type Asked = Query<HashMap<String, String>>;

/// A watch of the Secrets of a server, as long as the handle lives.
fn watch(router: Router) -> (Arc<WatchHealth>, AbortOnDropHandle<()>) {
    let health = WatchHealth::new("karmada", "releases");
    let secrets = Api::<Secret>::all(monitored(&fake_server(router), &health));
    let task = follow(Arc::clone(&health), watcher(secrets, config("")), |_| {});
    (health, task)
}

/// Answers lists with an empty one, and watches by `answer`.
fn server<F>(answer: impl Fn() -> F + Clone + Send + Sync + 'static) -> Router
where
    F: Future<Output = Answer> + Send + 'static,
{
    let handler = move |Query(query): Asked| {
        let answer = answer.clone();
        async move {
            if query.contains_key("watch") {
                return answer().await;
            }
            let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
            Json(list).into_response()
        }
    };
    Router::new().route("/api/v1/secrets", get(handler))
}

/// A body of these lines, one every minute.
fn minutely(line: &'static str) -> Answer {
    let lines = futures::stream::unfold((), move |()| async move {
        sleep(Duration::from_secs(60)).await;
        Some((Ok::<_, Infallible>(line), ()))
    });
    axum::body::Body::from_stream(lines).into_response()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_never_answers_is_seen() {
    let (health, _task) = watch(Router::new().fallback(std::future::pending::<Answer>));
    sleep(minutes(10)).await;
    let state = health.state();
    assert!(!state.complete && state.errors > 5, "{state:?}");
    assert_eq!(state.age, minutes(10));
    assert!(state.last_error.unwrap().ends_with("no answer within 30 s"));
    let error = health.require_complete().unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unreachable);
    assert!(error.message.starts_with("the releases are not known yet: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_answering_after_the_first_list_is_seen() {
    let (health, _task) = watch(server(std::future::pending::<Answer>));
    sleep(minutes(10)).await;
    let state = health.state();
    assert!(state.complete && state.age > minutes(9) && state.errors > 5, "{state:?}");
    assert!(state.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_silently_is_given_up() {
    let begun = || async {
        let begin = futures::stream::iter([Ok::<_, Infallible>(r#"{"kind": "List", "#)]);
        axum::body::Body::from_stream(begin.chain(futures::stream::pending())).into_response()
    };
    let (health, _task) = watch(Router::new().fallback(begun));
    sleep(minutes(5)).await;
    let state = health.state();
    assert!(!state.complete && state.errors > 2 && state.age == minutes(5), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_prove_that_a_watch_is_alive() {
    let bookmark = "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\"}}}\n";
    let (health, _task) = watch(server(move || async move { minutely(bookmark) }));
    for _ in 0..30 {
        sleep(minutes(1)).await;
        assert!(health.state().age <= minutes(1), "{:?}", health.state());
    }
    assert_eq!((health.state().errors, health.state().last_error), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_that_the_server_ends_in_order_is_alive() {
    let (health, _task) = watch(server(|| async {
        let lines = futures::stream::unfold((), |()| async {
            sleep(Duration::from_secs(u64::from(WATCH_SECONDS))).await;
            None::<(Result<String, Infallible>, ())>
        });
        axum::body::Body::from_stream(lines).into_response()
    }));
    sleep(Duration::from_secs(100)).await;
    assert_eq!(health.state().age, Duration::from_secs(100));
    for _ in 0..30 {
        sleep(minutes(1)).await;
        assert!(health.state().age < minutes(3), "{:?}", health.state());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_proves_nothing() {
    let error = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"etcd is gone\",\"reason\":\"InternalError\",\"code\":500}}\n";
    let stays = server(move || async move { minutely(error) });
    let ends = server(move || async move { error.into_response() });
    for router in [stays, ends] {
        let (health, _task) = watch(router);
        sleep(minutes(10)).await;
        let state = health.state();
        assert!(state.errors >= 5 && state.age > minutes(9), "{state:?}");
        assert!(state.last_error.unwrap().contains("etcd is gone"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_begins_and_never_goes_on_is_seen() {
    let (health, _task) = watch(server(|| async {
        axum::body::Body::from_stream(futures::stream::pending::<Result<String, Infallible>>())
            .into_response()
    }));
    sleep(minutes(10)).await;
    let state = health.state();
    assert!(state.complete && state.age > minutes(9), "{state:?}");
}
