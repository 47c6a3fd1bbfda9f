//! Classification of Helm failures: exit code and stderr become a typed error.
//!
//! Helm has one exit code for everything and no machine-readable errors, so the text decides. The patterns
//! were taken from Helm 3.17 and 4.3 (recorded in the tests); where both generations differ, both are listed.
//! An unrecognised failure is `Failed`, which is retried: a wrong guess here costs time, not correctness.

use std::time::Duration;

use crate::clients::command::{CommandError, Finished};
use crate::clients::{ClientError, ClientErrorKind as Kind};

/// Longest message that is passed on, in characters.
const MESSAGE_CAP: usize = 600;

/// A rule: when any of the texts occurs (in lower case), the error is of this system and kind.
type Rule = (&'static [&'static str], &'static str, Kind);

/// How a failure to render begins, after the name of the operation. Charts can quote anything after that.
const RENDERING: &[&str] = &[
    "execution error at (",
    "template: ",
    "parse error at (",
    "yaml parse error on ",
    "values don't meet the specifications of the schema",
];

/// Errors of input that never fits into a request to Karmada, a Secret of Helm, or a message between Karmada and its etcd.
const TOO_LARGE: &[&str] =
    &["request is too large", "too long: ", "larger than max", "request entity too large"];

/// A registry or an API server that wants to be asked less often.
const RATE_LIMITED: &[&str] =
    &["toomanyrequests", "429 too many requests", "status code 429", "too many requests"];
/// How long one is then left alone: registries count pulls by the hour.
const LEFT_ALONE: Duration = Duration::from_secs(300);

/// First match wins; from the specific to the general.
const RULES: &[Rule] = &[
    (
        &["the server has asked for the client to provide credentials", "is forbidden: user "],
        "karmada",
        Kind::Unauthorised,
    ),
    (&["kubernetes cluster unreachable", "failed calling webhook"], "karmada", Kind::Unreachable),
    (&["another operation (install/upgrade/rollback) is in progress"], "helm", Kind::Failed),
    // Another Helm has just written its record.
    (&["\"sh.helm.release.v1."], "helm", Kind::Failed),
    // A namespace on its way out, a full quota, a lost race of writers: all pass.
    (
        &["because it is being terminated", "exceeded quota", "the object has been modified"],
        "karmada",
        Kind::Failed,
    ),
    (
        &[
            "invalid ownership metadata",
            "cannot be imported into the current release",
            "cannot re-use a name that is still in use",
            "conflict occurred while applying",
            "apply failed with ",
            "\" already exists",
        ],
        "helm",
        Kind::Conflict,
    ),
    (
        &[
            "parse error",
            "execution error",
            "nil pointer evaluating",
            "error converting yaml to json",
            "error calling ",
            "function \"",
            "don't meet the specifications of the schema",
            "validation: ",
            "error validating ",
            "denied the request",
            " is invalid: ",
            "no matches for kind",
            "chart.yaml file is missing",
            "chart metadata is missing",
            "missing in charts/ directory",
            "chart requires kubeversion",
            "library charts are not installable",
            "improper constraint",
            "invalid reference",
            "invalid_reference",
            "cannot be handled as a ",
            "cannot unmarshal ",
            "strict decoding error",
            "unknown field \"",
            "violates podsecurity",
            "invalid release name",
            "exceeds max length",
            "is not allowed, found in descriptor",
            "could not load config with mediatype",
            "unsupported media type",
            "manifest does not contain minimum number of descriptors",
            "does not appear to be a gzipped archive",
            "file does not appear to be a valid",
        ],
        "helm",
        Kind::Invalid,
    ),
    (&["server gave http response to https client", "tls: ", "x509: "], "registry", Kind::Unreachable),
    (
        &[
            "401 unauthorized",
            "403 forbidden",
            "status code 401",
            "status code 403",
            "access denied",
            "authorization failed",
            "credential not found",
            "no basic auth credentials",
            "credential required for basic auth",
            "docker-credential-",
            "error getting credentials",
            "denied: ",
            "unauthorized: ",
        ],
        "registry",
        Kind::Unauthorised,
    ),
    (
        &[
            "manifest unknown",
            "name unknown",
            "could not locate a version matching",
            "unable to locate any tags",
            "status code 404",
            "404 not found",
            ": not found",
        ],
        "registry",
        Kind::NotFound,
    ),
];

/// Texts of a connection that failed; whose it was is decided by the URL.
const CONNECTION: &[&str] = &[
    "connection refused",
    "connection reset",
    "connection lost",
    "no such host",
    "no route to host",
    "network is unreachable",
    "i/o timeout",
    "server misbehaving",
    "unexpected eof",
    "503 service unavailable",
    "status code 503",
    "502 bad gateway",
    "status code 502",
    "504 gateway timeout",
    "the server is currently unable to handle the request",
    "etcdserver: ",
];

const TIMEOUT: &[&str] = &["context deadline exceeded", "timed out waiting for the condition"];

/// The error of a Helm that ended with another exit code than zero.
pub(super) fn of_exit(finished: &Finished) -> ClientError {
    let text = finished.stderr.to_lowercase();
    let (system, kind) = classify(&text);
    let mut message = last_words(&finished.stderr);
    if message.is_empty() {
        message = match finished.code {
            Some(code) => format!("helm ended with exit code {code} and said nothing"),
            None => "helm was ended by a signal".to_owned(),
        };
    }
    if kind == Kind::Timeout && text.contains("hooks failed") {
        message = format!("{message} (calls.helm_deadline, SMO_HELM_DEADLINE, is how long a hook may take)");
    }
    let mut error = ClientError::new(system, kind, message);
    if RATE_LIMITED.iter().any(|words| text.contains(words)) && kind == Kind::Failed {
        error.retry_after = Some(LEFT_ALONE);
    }
    error
}

/// Whether the chart itself failed, before anything was asked of another system.
fn is_rendering(text: &str) -> bool {
    let verbs = ["upgrade failed: ", "installation failed: "];
    let words = |line| verbs.iter().fold(line, |line: &str, verb| line.strip_prefix(verb).unwrap_or(line));
    let mut errors = text.lines().filter_map(|line| line.strip_prefix("error: "));
    errors.any(|line| RENDERING.iter().any(|beginning| words(line).starts_with(beginning)))
}

/// The error of a Helm that could not be run to its end.
pub(super) fn of_command(error: &CommandError) -> ClientError {
    let kind = match error {
        CommandError::NoProgram(_) => Kind::NotFound,
        CommandError::Io(..) => Kind::Failed,
        CommandError::Timeout(..) => Kind::Timeout,
    };
    ClientError::new("helm", kind, error.to_string())
}

fn classify(text: &str) -> (&'static str, Kind) {
    let any = |patterns: &[&str]| patterns.iter().any(|pattern| text.contains(pattern));
    if any(TOO_LARGE) || is_rendering(text) {
        return ("helm", Kind::Invalid);
    }
    let of_registry = text.contains("/v2/") || text.contains("fetchreference");
    if any(RATE_LIMITED) {
        return (
            if of_registry || text.contains("toomanyrequests") { "registry" } else { "karmada" },
            Kind::Failed,
        );
    }
    // A connection error can quote any text of the server, hence before the texts of rendering.
    let connection = any(CONNECTION) && !text.contains("kubernetes cluster unreachable");
    if connection && of_registry {
        return ("registry", Kind::Unreachable);
    }
    if of_registry && any(&["500 internal server error", "status code 500"]) {
        return ("registry", Kind::Failed);
    }
    if let Some((_, system, kind)) = RULES.iter().find(|(patterns, _, _)| any(patterns)) {
        return (system, *kind);
    }
    if connection {
        return ("karmada", Kind::Unreachable);
    }
    if any(TIMEOUT) {
        return ("helm", Kind::Timeout);
    }
    ("helm", Kind::Failed)
}

/// Helm's message about the failure on one line: from its `Error:` on, without warnings and progress.
fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| is_meaningful(line)).collect();
    let start = lines.iter().position(|line| line.starts_with("Error:")).unwrap_or(0);
    let text = lines[start..].join(" ");
    cut(text.strip_prefix("Error: ").unwrap_or(&text))
}

fn is_meaningful(line: &str) -> bool {
    const NOISE: [&str; 8] =
        ["WARNING:", "level=", "time=", "coalesce.go:", "Pulled:", "Digest:", "Use --debug flag", "warning:"];
    !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise))
}

/// Keeps the beginning (the failed operation) and the end (the cause) of a long text.
fn cut(text: &str) -> String {
    let length = text.chars().count();
    if length <= MESSAGE_CAP {
        return text.to_owned();
    }
    let head: String = text.chars().take(MESSAGE_CAP / 3).collect();
    let tail: String = text.chars().skip(length - MESSAGE_CAP * 2 / 3 + 5).collect();
    format!("{head} ... {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stderr: &str) -> (&'static str, Kind) {
        let error = of_exit(&Finished { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() });
        (error.system, error.kind)
    }

    #[test]
    fn charts_that_do_not_exist_are_not_found() {
        for text in [
            "Error: 127.0.0.1:7404/project/demo:1.0.0: not found",
            r#"Error: failed to perform "FetchReference" on source: 127.0.0.1:7404/project/demo:1.0.0: not found"#,
            r#"Error: GET "http://127.0.0.1:7404/v2/project/demo/tags/list": unexpected status code 404: manifest unknown: x"#,
            r#"Error: GET "http://127.0.0.1:7404/v2/project/demo/tags/list": response status code 404: manifest unknown: x"#,
            r#"Error: GET "http://127.0.0.1:5000/v2/p/d/tags/list": response status code 404: name unknown: repository name not known to registry: map[name:p/d]"#,
        ] {
            assert_eq!(failure(text), ("registry", Kind::NotFound), "{text}");
        }
    }

    #[test]
    fn refused_credentials_are_unauthorised() {
        for text in [
            "Error: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
            "Error: unexpected status from HEAD request to http://127.0.0.1:7403/v2/project/demo/manifests/1.0.0: 403 Forbidden",
            r#"Error: failed to perform "FetchReference" on source: GET "http://127.0.0.1:7401/v2/project/demo/manifests/1.0.0": basic credential not found"#,
            r#"Error: failed to perform "FetchReference" on source: GET "http://127.0.0.1:7403/v2/project/demo/manifests/1.0.0": response status code 403: denied: x"#,
        ] {
            assert_eq!(failure(text), ("registry", Kind::Unauthorised), "{text}");
        }
    }

    #[test]
    fn a_registry_that_does_not_answer_is_unreachable() {
        for text in [
            r#"Error: failed to do request: Head "http://127.0.0.1:7999/v2/project/demo/manifests/1.0.0": dial tcp 127.0.0.1:7999: connect: connection refused"#,
            r#"Error: failed to perform "FetchReference" on source: Get "http://127.0.0.1:7999/v2/project/demo/manifests/1.0.0": dial tcp 127.0.0.1:7999: connect: connection refused"#,
            r#"Error: failed to do request: Head "https://no-such-host.invalid/v2/project/demo/manifests/1.0.0": dial tcp: lookup no-such-host.invalid on 10.0.0.53:53: no such host"#,
            r#"Error: failed to perform "FetchReference" on source: Get "https://127.0.0.1:7404/v2/project/demo/manifests/1.0.0": tls: first record does not look like a TLS handshake"#,
            "Error: unexpected status from HEAD request to http://127.0.0.1:7503/v2/project/demo/manifests/1.0.0: 503 Service Unavailable",
            r#"Error: failed to perform "FetchReference" on source: GET "http://127.0.0.1:7503/v2/project/demo/manifests/1.0.0": response status code 503: unavailable: x"#,
        ] {
            assert_eq!(failure(text), ("registry", Kind::Unreachable), "{text}");
        }
    }

    #[test]
    fn karmada_that_does_not_answer_is_unreachable() {
        for text in [
            r#"Error: Kubernetes cluster unreachable: Get "http://127.0.0.1:7998/version": dial tcp 127.0.0.1:7998: connect: connection refused"#,
            r#"Error: kubernetes cluster unreachable: Get "http://127.0.0.1:7998/version": dial tcp 127.0.0.1:7998: connect: connection refused"#,
            r#"Error: UPGRADE FAILED: create: failed to create: Post "https://127.0.0.1:5443/api/v1/namespaces/demo/secrets": dial tcp 127.0.0.1:5443: connect: connection refused"#,
            r#"Error: INSTALLATION FAILED: Internal error occurred: failed calling webhook "propagationpolicy.karmada.io": failed to call webhook: Post "https://127.0.0.1:8443/validate": dial tcp 127.0.0.1:8443: connect: connection refused"#,
        ] {
            assert_eq!(failure(text), ("karmada", Kind::Unreachable), "{text}");
        }
        let text = r#"Error: Kubernetes cluster unreachable: the server has asked for the client to provide credentials"#;
        assert_eq!(failure(text), ("karmada", Kind::Unauthorised));
    }

    #[test]
    fn charts_that_do_not_render_are_invalid() {
        for text in [
            "Error: template: bad/templates/a.yaml:1:10: executing \"bad/templates/a.yaml\" at <.Values.a.b.c>: nil pointer evaluating interface {}.b\n\nUse --debug flag to render out invalid YAML",
            "Error: bad/templates/a.yaml:1:10\n  executing \"bad/templates/a.yaml\" at <.Values.a.b.c>:\n    nil pointer evaluating interface {}.b\n",
            "Error: parse error at (bad/templates/a.yaml:1): missing value for if",
            "Error: YAML parse error on bad/templates/a.yaml: error converting YAML to JSON: yaml: mapping values are not allowed in this context",
            "Error: execution error at (bad/templates/a.yaml:1:3): no cluster",
            "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nbad:\n- (root): q is required",
            r#"Error: INSTALLATION FAILED: unable to build kubernetes objects from release manifest: resource mapping not found for name: "x" namespace: "" from "": no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1""#,
            r#"Error: INSTALLATION FAILED: admission webhook "propagationpolicy.karmada.io" denied the request: empty resource selectors"#,
            r#"Error: UPGRADE FAILED: cannot patch "demo" with kind Deployment: Deployment.apps "demo" is invalid: spec.selector: Invalid value"#,
        ] {
            assert_eq!(failure(text), ("helm", Kind::Invalid), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_somebody_else_is_a_conflict() {
        let text = r#"Error: INSTALLATION FAILED: Unable to continue with install: Service "demo" in namespace "a" exists and cannot be imported into the current release: invalid ownership metadata; annotation validation error: key "meta.helm.sh/release-name" must equal "demo": current value is "other""#;
        assert_eq!(failure(text), ("helm", Kind::Conflict));
    }

    #[test]
    fn what_passes_by_itself_is_retried() {
        for (text, expected) in [
            (
                "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
                ("helm", Kind::Failed),
            ),
            (
                r#"Error: INSTALLATION FAILED: services "x" is forbidden: unable to create new content in namespace demo because it is being terminated"#,
                ("karmada", Kind::Failed),
            ),
            (
                "Error: UPGRADE FAILED: pre-upgrade hooks failed: timed out waiting for the condition",
                ("helm", Kind::Timeout),
            ),
            ("Error: something never seen before", ("helm", Kind::Failed)),
        ] {
            assert_eq!(failure(text), expected, "{text}");
            assert!(failure(text).1.is_transient());
        }
    }

    #[test]
    fn what_a_chart_says_while_it_renders_is_never_taken_for_another_systems_word() {
        for text in [
            r#"Error: execution error at (a/templates/a.yaml:1:3): see https://registry.example/v2/a: connection refused"#,
            r#"Error: UPGRADE FAILED: template: a/templates/a.yaml:1:3: executing "a" at <lookup>: dial tcp: i/o timeout: etcdserver: x"#,
            r#"Error: INSTALLATION FAILED: values don't meet the specifications of the schema(s) in the following chart(s): a: failing loading "https://h/v2/x.json": dial tcp: lookup h: no such host"#,
        ] {
            assert_eq!(failure(text), ("helm", Kind::Invalid), "{text}");
        }
    }

    #[test]
    fn what_can_never_be_stored_waits_for_a_user() {
        for text in [
            "Error: create: failed to create: etcdserver: request is too large",
            r#"Error: UPGRADE FAILED: create: failed to create: Secret "sh.helm.release.v1.a.v1" is invalid: data: Too long: may not be more than 1048576 bytes"#,
            "Error: INSTALLATION FAILED: create: failed to create: Request entity too large: limit is 3145728",
            "Error: INSTALLATION FAILED: rpc error: code = ResourceExhausted desc = trying to send message larger than max (2252211 vs. 2097152)",
            r#"Error: UPGRADE FAILED: cannot patch "a" with kind ConfigMap: metadata.annotations: Too long: may not be more than 262144 bytes"#,
            r#"Error: INSTALLATION FAILED: 1 error occurred:
	* Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"#,
            r#"Error: INSTALLATION FAILED: failed to create typed patch object: .spec.replica: strict decoding error: unknown field "spec.replica""#,
            r#"Error: media type "application/vnd.oci.image.config.v1+json" is not allowed, found in descriptor with digest: "sha256:d1""#,
            "Error: could not load config with mediatype application/vnd.cncf.helm.config.v1+json",
            "Error: manifest does not contain minimum number of descriptors (2), descriptors found: 1",
            "Error: INSTALLATION FAILED: improper constraint: latest",
            r#"Error: INSTALLATION FAILED: release name "a": exceeds max length of 53"#,
        ] {
            assert_eq!(failure(text), ("helm", Kind::Invalid), "{text}");
        }
    }

    #[test]
    fn who_asks_too_often_waits_longer() {
        for (text, system) in [
            (
                "Error: INSTALLATION FAILED: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/a/manifests/sha256:95: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
                "registry",
            ),
            (
                r#"Error: GET "https://h/v2/a/tags/list": response status code 429: toomanyrequests: x"#,
                "registry",
            ),
            (
                "Error: UPGRADE FAILED: the server has received too many requests and has asked us to try again later (get deployments.apps)",
                "karmada",
            ),
        ] {
            let error = of_exit(&Finished { code: Some(1), stdout: String::new(), stderr: text.to_owned() });
            assert_eq!((error.system, error.kind), (system, Kind::Failed), "{text}");
            assert_eq!(error.retry_after, Some(LEFT_ALONE), "{text}");
        }
    }

    #[test]
    fn missing_credentials_conflicts_and_errors_of_registries_have_their_kinds() {
        for (text, expected) in [
            (
                r#"Error: INSTALLATION FAILED: GET "https://abc.io/v2/chart1/tags/list": credential required for basic auth"#,
                ("registry", Kind::Unauthorised),
            ),
            (
                r#"Error: INSTALLATION FAILED: failed to perform "FetchReference" on source: GET "https://registry-1.docker.io/v2/a/manifests/25.0.24": exec: "docker-credential-osxkeychain": executable file not found in $PATH"#,
                ("registry", Kind::Unauthorised),
            ),
            (
                r#"Error: UPGRADE FAILED: conflict occurred while applying object kube-system/traefik apps/v1, Kind=Deployment: Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas"#,
                ("helm", Kind::Conflict),
            ),
            (
                r#"Error: INSTALLATION FAILED: failed post-install: warning: Hook post-install a.yaml failed: jobs.batch "stack-api-migration" already exists"#,
                ("helm", Kind::Conflict),
            ),
            (
                r#"Error: INSTALLATION FAILED: create: failed to create: secrets "sh.helm.release.v1.a.v1" already exists"#,
                ("helm", Kind::Failed),
            ),
            (
                "Error: unexpected status from HEAD request to https://h/v2/a/manifests/1.0.0: 500 Internal Server Error",
                ("registry", Kind::Failed),
            ),
        ] {
            assert_eq!(failure(text), expected, "{text}");
        }
    }

    #[test]
    fn a_hook_that_takes_too_long_names_the_setting() {
        let stderr = "Error: UPGRADE FAILED: pre-upgrade hooks failed: timed out waiting for the condition";
        let error = of_exit(&Finished { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() });
        assert_eq!(error.kind, Kind::Timeout);
        assert!(error.message.contains("SMO_HELM_DEADLINE"), "{}", error.message);
    }

    #[test]
    fn the_message_is_the_error_without_warnings_and_not_too_long() {
        let words = |stderr: &str| {
            of_exit(&Finished { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() }).message
        };
        assert_eq!(
            words(
                "WARNING: Kubernetes configuration file is group-readable\nPulled: x\nError: a\nb\n\nUse --debug flag to render out invalid YAML\n"
            ),
            "a b"
        );
        assert_eq!(words(""), "helm ended with exit code 1 and said nothing");
        let long = words(&format!("Error: begin {} end", "x".repeat(5000)));
        assert!(long.chars().count() <= MESSAGE_CAP, "{}", long.chars().count());
        assert!(long.starts_with("begin ") && long.ends_with(" end"), "{long}");
    }
}
