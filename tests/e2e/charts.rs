//! Pushes the example charts to the registry of the test bed, and reads the example descriptors.

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

async fn push(bed: &Bed) {
    let script = root().join("examples/push-charts.sh");
    let mut pushing = command("bash");
    pushing.arg(script).arg(bed.registry()).arg(bed.helm()).env("INSECURE_REGISTRY", "true");
    let output = pushing.output().await.expect("push-charts.sh runs");
    assert!(output.status.success(), "push-charts.sh: {}", String::from_utf8_lossy(&output.stderr));
}
