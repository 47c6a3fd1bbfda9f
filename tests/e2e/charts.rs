//! Pushes the example charts to the registry of the test bed, reads the example descriptors, and writes
//! others.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::bed::{Bed, command, root};

static PUSHED: OnceCell<()> = OnceCell::const_new();

/// The descriptor of an example with the registry of the test bed in it; pushes the charts when first called.
pub async fn descriptor(bed: &Bed, example: &str) -> String {
    PUSHED.get_or_init(|| push(bed)).await;
    let path = root().join("examples").join(example).join("hdag.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("127.0.0.1:5000", &bed.registry())
}

/// A service of an example's chart.
pub struct Part {
    /// The example that the chart belongs to.
    pub example: &'static str,
    /// Name of the chart, of its Deployment and of the service.
    pub name: &'static str,
    /// Classes of the compute intent. They must be what the chart asks for, or a decision counts other room
    /// than the cluster reports.
    pub cpu: &'static str,
    pub ram: &'static str,
    /// Services that it calls.
    pub calls: &'static [&'static str],
}

/// A descriptor of services that start with the graph; pushes the charts when first called.
pub async fn graph(bed: &Bed, id: &str, parts: &[Part]) -> Value {
    PUSHED.get_or_init(|| push(bed)).await;
    let services: Vec<Value> = parts.iter().map(|part| service(bed, part)).collect();
    json!({ "hdaGraph": { "id": id, "services": services } })
}

fn service(bed: &Bed, part: &Part) -> Value {
    json!({
        "id": part.name,
        "deployment": {
            "trigger": { "auto": { "dependencies": part.calls } },
            "intent": {
                "compute": { "cpu": part.cpu, "ram": part.ram },
                "connectionPoints": part.calls,
            },
        },
        "artifact": { "ociImage": format!("oci://{}/{}/{}", bed.registry(), part.example, part.name) },
    })
}

async fn push(bed: &Bed) {
    let script = root().join("examples/push-charts.sh");
    let mut pushing = command("bash");
    pushing.arg(script).arg(bed.registry()).arg(bed.helm()).env("INSECURE_REGISTRY", "true");
    let output = pushing.output().await.expect("push-charts.sh runs");
    assert!(output.status.success(), "push-charts.sh: {}", String::from_utf8_lossy(&output.stderr));
}

/// Pushes a chart of `tests/charts` and returns its reference.
pub async fn push_own(bed: &Bed, name: &str) -> String {
    let packages = tempfile::tempdir().expect("a folder");
    let helm = async |arguments: &[&str]| {
        let output = command(&bed.helm()).args(arguments).output().await.expect("helm runs");
        assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let (folder, packages) = (packages.path().display().to_string(), packages);
    let chart = root().join("tests/charts").join(name);
    helm(&["package", &chart.display().to_string(), "--destination", &folder]).await;
    let repository = format!("oci://{}/own", bed.registry());
    helm(&["push", &format!("{folder}/{name}-1.0.0.tgz"), &repository, "--plain-http"]).await;
    drop(packages);
    format!("{repository}/{name}")
}
