//! Code shared by the clients of all Kubernetes API servers (Karmada, the monitoring cluster, Submariner's
//! broker): connecting from a kubeconfig, and the translation of errors.
//!
//! A client is made without speaking to the server, so that `smo` starts while a server is down. Retrying is
//! turned off here: [`super::Calls`] retries.

use std::error::Error;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{ClientError, ClientErrorKind as Kind, Result};
use crate::config::KubeconfigSettings;

/// A server that does not even accept a connection in this time is down. How long an answer may take is the
/// caller's deadline; watches have none, and end themselves when they go quiet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for the current context of a kubeconfig. Does not speak to the server.
///
/// # Errors
/// `Invalid` when the file is missing or unusable.
pub(super) async fn connect(system: &'static str, settings: &KubeconfigSettings) -> Result<Client> {
    let path = &settings.path;
    let invalid = |cause: &dyn Error| {
        let message = format!("cannot use the kubeconfig {}: {}", path.display(), chain(cause));
        ClientError::new(system, Kind::Invalid, message)
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| invalid(&error))?;
    let options = KubeConfigOptions::default();
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| invalid(&error))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    Client::try_from(config).map_err(|error| invalid(&error))
}

/// The error of a call. `what` names the attempted operation in a few words.
pub(super) fn failure(system: &'static str, what: &str, error: kube::Error) -> ClientError {
    let mut retry_after = None;
    let (kind, cause) = match &error {
        kube::Error::Api(status) => {
            retry_after =
                status.details.as_ref().map(|details| details.retry_after_seconds).filter(|s| *s > 0);
            let cause = match status.message.as_str() {
                "" => format!("status {} {}", status.code, status.reason),
                message => message.chars().take(600).collect(),
            };
            (status_kind(status.code), cause)
        }
        // Their own text only states that a lower layer failed.
        kube::Error::Service(cause) => (Kind::Unreachable, chain(cause.as_ref())),
        kube::Error::HyperError(cause) => (Kind::Unreachable, chain(cause)),
        kube::Error::ReadEvents(_) | kube::Error::RustlsTls(_) => (Kind::Unreachable, chain(&error)),
        kube::Error::Auth(_) => (Kind::Unauthorised, chain(&error)),
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => (Kind::Invalid, chain(&error)),
        _ => (Kind::Failed, chain(&error)),
    };
    let mut failure = ClientError::new(system, kind, format!("{what}: {cause}"));
    failure.retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
    failure
}

/// The kind of failure for an HTTP status of a Kubernetes API server.
fn status_kind(code: u16) -> Kind {
    match code {
        401 | 403 => Kind::Unauthorised,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        400 | 405 | 415 | 422 => Kind::Invalid,
        // A gateway or an aggregating server that cannot reach its backend.
        502 | 503 => Kind::Unreachable,
        408 | 504 => Kind::Timeout,
        _ => Kind::Failed,
    }
}

/// An error with its causes, each mentioned once (many errors repeat their cause in their own text).
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::testing::{fake_server, status};

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let settings = KubeconfigSettings { path: "/nonexistent/karmada.config".into() };
        let error = connect("karmada", &settings).await.err().unwrap();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("/nonexistent/karmada.config"), "{}", error.message);
    }

    #[tokio::test]
    async fn a_server_that_is_down_does_not_stop_the_connection_and_is_unreachable_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = r#"{"apiVersion":"v1","kind":"Config","current-context":"a",
            "clusters":[{"name":"a","cluster":{"server":"http://127.0.0.1:1"}}],
            "contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],"users":[{"name":"a","user":{}}]}"#;
        std::fs::write(&path, text).unwrap();
        let client = connect("karmada", &KubeconfigSettings { path }).await.unwrap();
        let error = failure("karmada", "cannot ask", client.apiserver_version().await.unwrap_err());
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(error.message.contains("refused"), "{}", error.message);
    }

    #[tokio::test]
    async fn api_errors_become_kinds_and_carry_the_servers_patience() {
        for (code, kind) in [
            (401, Kind::Unauthorised),
            (403, Kind::Unauthorised),
            (404, Kind::NotFound),
            (409, Kind::Conflict),
            (422, Kind::Invalid),
            (429, Kind::Failed),
            (500, Kind::Failed),
            (503, Kind::Unreachable),
            (504, Kind::Timeout),
        ] {
            let client =
                fake_server(axum::Router::new().fallback(move || async move { status(code, "told") }));
            let error = failure("karmada", "cannot ask", client.apiserver_version().await.unwrap_err());
            assert_eq!((error.kind, error.message.as_str()), (kind, "cannot ask: told"), "{code}");
            assert_eq!(error.retry_after, (code == 429).then(|| Duration::from_secs(7)));
        }
    }
}
