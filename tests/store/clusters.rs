use std::collections::BTreeMap;

use smo::clients::{ClusterNetworks, ClusterObservation};
use smo::store::{ClusterRecord, Store};

use super::records::{at, observation, resources};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    first_sync_numbers_clusters_in_the_order_of_discovery,
    sync_keeps_ids_and_follows_changes,
    vanished_cluster_stays_unavailable_until_it_returns,
    sync_without_clusters_is_a_successful_sync,
    unchanged_clusters_only_get_a_newer_time,
    networks_are_kept_while_unknown,
    concurrent_syncs_give_each_cluster_one_id,
);

fn networks(cluster: &str) -> BTreeMap<String, ClusterNetworks> {
    let networks = ClusterNetworks {
        pod_cidr: Some("10.1.0.0/16".to_owned()),
        service_cidr: Some("10.2.0.0/16".to_owned()),
    };
    BTreeMap::from([(cluster.to_owned(), networks)])
}

async fn sync(store: &Store, observations: &[ClusterObservation], seconds: i64) -> Vec<ClusterRecord> {
    let mut tx = store.begin().await.unwrap();
    let answer = tx.sync_clusters(observations, &BTreeMap::new(), at(seconds)).await.unwrap();
    tx.commit("sync").await.unwrap();
    assert_eq!(store.clusters().await.unwrap(), answer, "the answer is what is stored");
    answer
}

fn ids(clusters: &[ClusterRecord]) -> Vec<(i64, &str)> {
    clusters.iter().map(|cluster| (cluster.id, cluster.name.as_str())).collect()
}

async fn first_sync_numbers_clusters_in_the_order_of_discovery(database: TestDatabase) {
    assert_eq!(database.store.clusters_observed_at().await.unwrap(), None);
    let unavailable = ClusterObservation {
        available: false,
        reason: Some("NotReady".to_owned()),
        storage_reported: false,
        acceleration: true,
        location: None,
        ..observation("cloud")
    };
    let mut tx = database.store.begin().await.unwrap();
    let observations = [observation("edge-2"), unavailable];
    let clusters = tx.sync_clusters(&observations, &networks("edge-2"), at(0)).await.unwrap();
    tx.commit("sync").await.unwrap();
    let edge = ClusterRecord {
        id: 1,
        name: "edge-2".to_owned(),
        location: "Brussels".to_owned(),
        available: true,
        reason: None,
        allocatable: resources(5),
        allocated: resources(6),
        storage_reported: true,
        acceleration: false,
        pod_cidr: Some("10.1.0.0/16".to_owned()),
        service_cidr: Some("10.2.0.0/16".to_owned()),
        grafana: None,
        observed_at: at(0),
    };
    let cloud = ClusterRecord {
        id: 2,
        name: "cloud".to_owned(),
        location: "Unknown".to_owned(),
        available: false,
        reason: Some("NotReady".to_owned()),
        storage_reported: false,
        acceleration: true,
        pod_cidr: None,
        service_cidr: None,
        ..edge.clone()
    };
    assert_eq!(clusters, [edge, cloud]);
    assert_eq!(database.store.clusters().await.unwrap(), clusters);
    assert_eq!(database.store.clusters_observed_at().await.unwrap(), Some(at(0)));
}

async fn sync_keeps_ids_and_follows_changes(database: TestDatabase) {
    sync(&database.store, &[observation("b"), observation("c")], 0).await;
    let changed = ClusterObservation {
        allocated: resources(9),
        location: Some("Ghent".to_owned()),
        acceleration: true,
        ..observation("c")
    };
    let clusters = sync(&database.store, &[observation("a"), changed, observation("b")], 1).await;
    assert_eq!(ids(&clusters), [(1, "b"), (2, "c"), (3, "a")]);
    assert_eq!(clusters[1].allocated, resources(9));
    assert_eq!(clusters[1].location, "Ghent");
    assert!(clusters[1].acceleration);
    assert!(clusters.iter().all(|cluster| cluster.observed_at == at(1)));
}

async fn vanished_cluster_stays_unavailable_until_it_returns(database: TestDatabase) {
    sync(&database.store, &[observation("a"), observation("b")], 0).await;
    let clusters = sync(&database.store, &[observation("b")], 1).await;
    assert_eq!(ids(&clusters), [(1, "a"), (2, "b")]);
    assert!(!clusters[0].available);
    assert_eq!(clusters[0].reason.as_deref(), Some("no longer known to Karmada"));
    assert_eq!(clusters[0].observed_at, at(0), "when it was last seen");
    assert_eq!(clusters[0].allocatable, resources(5), "as it was last seen");
    let again = sync(&database.store, &[observation("b")], 2).await;
    assert_eq!(again[0], clusters[0]);
    let clusters = sync(&database.store, &[observation("c"), observation("a")], 3).await;
    assert_eq!(ids(&clusters), [(1, "a"), (2, "b"), (3, "c")]);
    assert!(clusters[0].available && clusters[0].reason.is_none());
    assert!(!clusters[1].available);
    assert_eq!(database.store.clusters_observed_at().await.unwrap(), Some(at(3)));
}

async fn sync_without_clusters_is_a_successful_sync(database: TestDatabase) {
    assert_eq!(sync(&database.store, &[], 0).await, []);
    assert_eq!(database.store.clusters_observed_at().await.unwrap(), Some(at(0)));
    sync(&database.store, &[observation("a")], 1).await;
    let clusters = sync(&database.store, &[], 2).await;
    assert!(!clusters[0].available);
    assert_eq!(database.store.clusters_observed_at().await.unwrap(), Some(at(2)));
}

async fn unchanged_clusters_only_get_a_newer_time(database: TestDatabase) {
    let observations = [observation("a"), observation("b")];
    let before = sync(&database.store, &observations, 0).await;
    let after = sync(&database.store, &observations, 30).await;
    let newer: Vec<_> =
        before.into_iter().map(|cluster| ClusterRecord { observed_at: at(30), ..cluster }).collect();
    assert_eq!(after, newer);
}

async fn networks_are_kept_while_unknown(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    tx.sync_clusters(&[observation("a")], &networks("a"), at(0)).await.unwrap();
    tx.commit("sync").await.unwrap();
    let clusters = sync(&database.store, &[observation("a")], 1).await;
    assert_eq!(clusters[0].pod_cidr.as_deref(), Some("10.1.0.0/16"));
    assert_eq!(clusters[0].service_cidr.as_deref(), Some("10.2.0.0/16"));
}

async fn concurrent_syncs_give_each_cluster_one_id(database: TestDatabase) {
    let names = ["a", "b", "c", "d", "e"];
    let syncs = names.map(|name| {
        let store = database.store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin().await.unwrap();
            tx.sync_clusters(&[observation(name)], &BTreeMap::new(), at(0)).await.unwrap();
            tx.commit("sync").await.unwrap();
        })
    });
    futures::future::try_join_all(syncs).await.unwrap();
    let clusters = database.store.clusters().await.unwrap();
    let mut found: Vec<_> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, names);
    assert_eq!(clusters.iter().map(|cluster| cluster.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}
