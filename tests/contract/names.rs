//! Names of outside objects are settings: namespaces, labels, ports and queries differ between installations.
//! Every name in the code of `src/clients/` is either part of a system's protocol, the same everywhere, or it
//! belongs in the settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Texts that look like names of outside objects, with the reason why they are no settings.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "API groups, which are the identity of a kind",
        &[
            "cluster.karmada.io",
            "work.karmada.io",
            "policy.karmada.io",
            "multicluster.x-k8s.io",
            "multicluster.x-k8s.io/v1alpha1",
            "apps/v1",
            "batch/v1",
            ".k8s.io",
            ".x-k8s.io",
            "karmada.io",
            "{group}/{version}",
            "{group}/{version}/{kind}",
            "monitoring.coreos.com",
            "submariner.io",
        ],
    ),
    (
        "path of an API: Karmada's proxy of a member, and kinds behind it; the namespace is a setting",
        &[
            "/apis/cluster.karmada.io/v1alpha1/clusters/{cluster}/proxy/{path}",
            "api/v1/nodes",
            "apis/submariner.io/v1/namespaces/{}/gateways",
        ],
    ),
    (
        "paths of Prometheus' HTTP API below its base URL, which is a setting",
        &["api/v1/query", "api/v1/rules", "-/reload"],
    ),
    ("path by which a registry's API is recognised in Helm's errors", &["/v2/"]),
    ("parameter of the Kubernetes API by which a watch is recognised", &["watch=true"]),
    (
        "how Helm marks its objects, the same in every chart and version",
        &[
            "app.kubernetes.io/managed-by=Helm",
            "meta.helm.sh/release-name",
            "meta.helm.sh/release-namespace",
            "helm.sh/resource-policy",
            "helm.sh/hook",
            "pre-delete",
            "post-delete",
            "owner=helm",
            "{HELM_RECORDS},name={}",
        ],
    ),
    ("states in Helm's storage", &["pending-", "pending-install", "pending-upgrade", "pending-rollback"]),
    ("recommended label of Kubernetes; its value is the program's name", &["app.kubernetes.io/managed-by"]),
    (
        "resources of the Kubernetes API",
        &[
            "ephemeral-storage",
            ".com/gpu",
            ".com/gpu.shared",
            "nvidia.com/mig-",
            "gpu.intel.com/i915",
            "gpu.intel.com/xe",
        ],
    ),
    (
        "names of policies: the release, its namespace, and an end that no release has",
        &[".smo", ".services", ".imports", "{name}.{namespace}{part}{SUFFIX}"],
    ),
    (
        "annotation of policies that names their release, beside the labels, which are settings",
        &["smo-release"],
    ),
    (
        "how Karmada names imports, and marks what its policies claim",
        &[
            "derived-{}.{namespace}.svc.cluster.local",
            "propagationpolicy.karmada.io/name",
            "clusterpropagationpolicy.karmada.io/name",
        ],
    ),
    (
        "namespaces that Karmada does not propagate or keeps for itself",
        &["kube-", "karmada-es-", "karmada-system", "karmada-cluster"],
    ),
    (
        "fields of objects",
        &[
            "/spec",
            "/spec/resourceSelectors",
            "/apiVersion",
            "/kind",
            "/names/kind",
            "/metadata/name",
            "/metadata/namespace",
        ],
    ),
    ("volume claims of a StatefulSet", &["{template}-{}"]),
    ("folder of a chart with definitions", &["crds/"]),
    ("scheme of chart references", &["oci://"]),
    ("index of a chart repository, below its URL", &["{repository}/index.yaml", "{repository}/"]),
    ("how digests are written", &["sha256:", "sha256:{}", "{byte:02x}"]),
    (
        "files below Helm's own folders or the data folder, which is a setting",
        &[".config/helm", "registry/config.json", "values.json", "./chart.tgz", "{name}.lock"],
    ),
    ("source file in Helm's warnings", &["coalesce.go:"]),
    (
        "parts of texts that are put together: a version, a label, a place",
        &["v3.", "{name}={value}", "{namespace}/{name}", "{region}/{zone}"],
    ),
    ("Go template that makes Helm print its version", &["{{.Version}}"]),
    (
        "prefixes of log lines of Helm",
        &["level=", "time=", "Digest:", "Pulled:", "Error:", "WARNING:", "warning:"],
    ),
    ("programs that keep logins of registries, in Helm's errors", &["docker-credential-"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            found.push(path);
        }
    }
}

/// The string literals of a file without its tests and comments.
fn literals(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(start) = rest.find('"') {
        let mut literal = String::new();
        let mut chars = rest[start + 1..].char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = start + 1 + at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    // A line that is continued: its indentation does not count.
                    Some((_, '\n')) => {
                        let left = chars.as_str().trim_start().len();
                        while chars.as_str().len() > left {
                            chars.next();
                        }
                    }
                    other => literal.extend(other.map(|(_, c)| c)),
                },
                _ => literal.push(c),
            }
        }
        found.push(literal);
        rest = &rest[end..];
    }
    found
}

/// Whether a text looks like the name of an object, a namespace, a label, a path or a port, and not like a
/// word, a sentence or an option of a program.
fn is_name(text: &str) -> bool {
    let has_letter_or_digit = text.chars().any(char::is_alphanumeric);
    let is_port = text.len() > 3 && text.chars().all(|c| c.is_ascii_digit());
    let has_separator = text.chars().any(|c| matches!(c, '-' | '.' | '/' | '=' | ':'));
    let is_group_of_kubernetes = text.ends_with(".k8s.io") && !text.starts_with('.');
    is_port
        || (has_separator
            && !is_group_of_kubernetes
            && has_letter_or_digit
            && !text.starts_with("--")
            && !text.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '(' | ')')))
}

#[test]
fn names_of_outside_objects_are_settings_or_protocol() {
    let allowed: BTreeMap<&str, &str> =
        ALLOWED.iter().flat_map(|(reason, names)| names.iter().map(move |name| (*name, *reason))).collect();
    let (mut files, mut used, mut wrong) = (Vec::new(), BTreeSet::new(), Vec::new());
    sources(Path::new("src/clients"), &mut files);
    for file in files {
        for literal in literals(&fs::read_to_string(&file).unwrap()).into_iter().filter(|text| is_name(text))
        {
            if !allowed.contains_key(literal.as_str()) {
                wrong.push(format!("{}: {literal:?}", file.display()));
            }
            used.insert(literal);
        }
    }
    assert!(
        wrong.is_empty(),
        "make these settings, or say in tests/contract/names.rs why they are the same everywhere:\n{}",
        wrong.join("\n")
    );
    let unused: Vec<&&str> = allowed.keys().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "tests/contract/names.rs allows what does not occur: {unused:?}");
}

#[test]
fn names_differ_from_words_options_and_sentences() {
    for name in ["submariner-operator", "a/b", "x.io", "smo-graph", "9090", "http://h"] {
        assert!(is_name(name), "{name}");
    }
    for other in ["karmada", "--timeout", "cannot list the clusters: no", "Ready", "{}", "v1"] {
        assert!(!is_name(other), "{other}");
    }
    let text = "fn f() { g(\"a-b\", \"c\\\n        d\"); } // \"e-f\"\n// \"no\"\n#[cfg(test)] \"t-t\"";
    assert_eq!(literals(text), ["a-b", "cd", "e-f"]);
}
