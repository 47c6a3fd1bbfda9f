//! The contract of the ports on the real systems: the same suite that the simulated continuum passes.

#[path = "../contract/suite.rs"]
mod suite;

use std::collections::BTreeMap;

use smo::clients::{Ports, real_ports};
use smo::config::{Sources, load};
use tempfile::TempDir;

use crate::bed::{Bed, variable};
use crate::charts::descriptor;

async fn real(bed: &Bed, data: &TempDir, installation: &str) -> Ports {
    let mut env: BTreeMap<String, String> = [
        "KARMADA_KUBECONFIG",
        "MONITORING_KUBECONFIG",
        "SUBMARINER_KUBECONFIG",
        "PROMETHEUS_HOST",
        "INSECURE_REGISTRY",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), variable(name)))
    .collect();
    env.insert("SMO_MODE".to_owned(), "real".to_owned());
    env.insert("HELM_BIN".to_owned(), bed.helm());
    env.insert("SMO_DATA_DIR".to_owned(), data.path().display().to_string());
    let read = |path: &std::path::Path| std::fs::read_to_string(path);
    let sources = Sources { env, home: None, config_file: None, flags: Vec::new(), read: &read };
    let settings = load(sources).expect("settings of the test bed").settings;
    real_ports(&settings, installation).await.expect("the real ports")
}

#[tokio::test]
async fn the_real_ports_keep_the_contract() {
    let bed = Bed::take().await;
    let data = tempfile::tempdir().expect("temporary folder");
    // Pushes the charts.
    drop(descriptor(&bed, "hello-world").await);
    let (ports, other) = (real(&bed, &data, "contract").await, real(&bed, &data, "other").await);
    let fixture = suite::Fixture {
        namespace: "contract".to_owned(),
        chart: format!("oci://{}/hello-world/hello-world", bed.registry()),
        clusters: ["member1".to_owned(), "member2".to_owned()],
    };
    suite::inventory(&ports, &fixture).await;
    suite::rendering(&ports, &fixture).await;
    suite::life_of_policies(&ports, &fixture).await;
    suite::life_of_a_release(&ports, &fixture).await;
    suite::a_foreign_release_is_left_alone(&ports, &fixture).await;
    suite::a_release_of_another_installation(&ports, &other, &fixture).await;
    suite::watches(&ports).await;
    suite::changes_are_announced(&ports, &fixture).await;
    suite::life_of_alert_rules(&ports, &other).await;
    // Prometheus evaluates the rule.
    suite::firing_alerts(&ports, |_| ()).await;
    suite::rates(&ports).await;
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let latencies = BTreeMap::from([
        (pair("member1", "member2"), 5.0),
        (pair("member1", "member3"), 25.0),
        (pair("member2", "member3"), 30.0),
    ]);
    assert_eq!(suite::latencies(&ports, &fixture).await, latencies);
    let networks =
        ports.networks.as_ref().expect("Submariner is configured").networks().await.expect("networks");
    assert!(networks.get("member1").is_some_and(|networks| networks.pod_cidr.is_some()), "{networks:?}");
}
