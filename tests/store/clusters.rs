use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use smo::hdag::Resources;
use smo::model::{
    ClusterNetworks, ClusterObservation, ClusterRecord, RoundTripTimes, merge_observations,
    merge_round_trip_times,
};
use smo::optimizer::ClusterAttributes;
use smo::store::{Store, Tx};

use super::records::{at, observation, resources};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    first_sync_numbers_clusters_in_the_order_of_discovery,
    sync_keeps_ids_and_follows_changes,
    vanished_cluster_stays_unavailable_until_it_returns,
    sync_without_clusters_is_a_successful_sync,
    unchanged_clusters_only_get_a_newer_time,
    networks_are_kept_while_unknown,
    latencies_are_kept_at_both_ends_until_measured_again,
    attributes_are_said_by_name_and_can_be_taken_back,
    concurrent_syncs_give_each_cluster_one_id,
);

fn networks(cluster: &str) -> BTreeMap<String, ClusterNetworks> {
    let networks = ClusterNetworks {
        pod_cidr: Some("10.1.0.0/16".to_owned()),
        service_cidr: Some("10.2.0.0/16".to_owned()),
    };
    BTreeMap::from([(cluster.to_owned(), networks)])
}

/// Records an observation as the loop does.
async fn sync_clusters(
    tx: &mut Tx,
    observations: &[ClusterObservation],
    networks: &BTreeMap<String, ClusterNetworks>,
    latencies: &RoundTripTimes,
    now: DateTime<Utc>,
) -> smo::store::Result<Vec<ClusterRecord>> {
    let known = tx.lock_clusters().await?;
    let mut clusters = merge_observations(&known, observations, networks, now);
    merge_round_trip_times(&mut clusters, latencies, |_, _| false);
    let names: Vec<&str> = observations.iter().map(|cluster| cluster.name.as_str()).collect();
    tx.write_clusters(&known, &clusters, &names, now).await?;
    Ok(clusters)
}

async fn sync(store: &Store, observations: &[ClusterObservation], seconds: i64) -> Vec<ClusterRecord> {
    let mut tx = store.begin().await.unwrap();
    let answer =
        sync_clusters(&mut tx, observations, &BTreeMap::new(), &BTreeMap::new(), at(seconds)).await.unwrap();
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
        region: None,
        labels: BTreeMap::new(),
        ..observation("cloud")
    };
    let mut tx = database.store.begin().await.unwrap();
    let observations = [observation("edge-2"), unavailable];
    let clusters =
        sync_clusters(&mut tx, &observations, &networks("edge-2"), &BTreeMap::new(), at(0)).await.unwrap();
    tx.commit("sync").await.unwrap();
    let edge = ClusterRecord {
        id: 1,
        name: "edge-2".to_owned(),
        location: "Brussels".to_owned(),
        available: true,
        reason: None,
        allocatable: resources(5),
        allocated: resources(6),
        allocating: Resources::default(),
        nodes: Vec::new(),
        storage_reported: true,
        acceleration: false,
        pod_cidr: Some("10.1.0.0/16".to_owned()),
        service_cidr: Some("10.2.0.0/16".to_owned()),
        grafana: None,
        region: Some("be".to_owned()),
        labels: observation("").labels,
        latencies_ms: BTreeMap::new(),
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
        region: None,
        labels: BTreeMap::new(),
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
        allocating: Resources::default(),
        location: Some("Ghent".to_owned()),
        region: Some("fr".to_owned()),
        labels: BTreeMap::new(),
        acceleration: true,
        ..observation("c")
    };
    let clusters = sync(&database.store, &[observation("a"), changed, observation("b")], 1).await;
    assert_eq!(ids(&clusters), [(1, "b"), (2, "c"), (3, "a")]);
    assert_eq!(clusters[1].allocated, resources(9));
    assert_eq!(clusters[1].location, "Ghent");
    assert!(clusters[1].acceleration && clusters[1].labels.is_empty());
    assert_eq!(clusters[1].region.as_deref(), Some("fr"));
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
    sync_clusters(&mut tx, &[observation("a")], &networks("a"), &BTreeMap::new(), at(0)).await.unwrap();
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
            sync_clusters(&mut tx, &[observation(name)], &BTreeMap::new(), &BTreeMap::new(), at(0))
                .await
                .unwrap();
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

async fn latencies_are_kept_at_both_ends_until_measured_again(database: TestDatabase) {
    let observations = ["a", "b", "c"].map(observation);
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let measure = async |latencies: &[((String, String), f64)], seconds| {
        let latencies = latencies.iter().cloned().collect();
        let mut tx = database.store.begin().await.unwrap();
        sync_clusters(&mut tx, &observations, &BTreeMap::new(), &latencies, at(seconds)).await.unwrap();
        tx.commit("sync").await.unwrap();
    };
    measure(&[(pair("a", "b"), 1.25), (pair("b", "c"), 20.0), (pair("a", "unknown"), 3.0)], 0).await;
    measure(&[(pair("a", "b"), 1.5)], 1).await;
    let clusters = sync(&database.store, &observations[..2], 2).await;
    let found = clusters.iter().map(|cluster| cluster.latencies_ms.clone()).collect::<Vec<_>>();
    let times = |times: &[(&str, f64)]| times.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
    assert_eq!(found, [times(&[("b", 1.5)]), times(&[("a", 1.5), ("c", 20.0)]), times(&[("b", 20.0)])]);
}

async fn attributes_are_said_by_name_and_can_be_taken_back(database: TestDatabase) {
    let store = &database.store;
    let attributes = ClusterAttributes {
        price_per_core_hour: Some(0.04),
        trusted: Some(false),
        latencies_ms: BTreeMap::from([("cloud".to_owned(), 12.5)]),
        ..ClusterAttributes::default()
    };
    assert_eq!(store.cluster_attributes().await.unwrap(), BTreeMap::new());
    let mut tx = store.begin().await.unwrap();
    tx.put_cluster_attributes("edge-1", &ClusterAttributes::default(), at(0)).await.unwrap();
    tx.put_cluster_attributes("edge-1", &attributes, at(1)).await.unwrap();
    tx.put_cluster_attributes("not-joined-yet", &attributes, at(1)).await.unwrap();
    tx.commit("put").await.unwrap();
    let said = |names: &[&str]| -> BTreeMap<String, ClusterAttributes> {
        names.iter().map(|name| ((*name).to_owned(), attributes.clone())).collect()
    };
    assert_eq!(store.cluster_attributes().await.unwrap(), said(&["edge-1", "not-joined-yet"]));
    let mut tx = store.begin().await.unwrap();
    assert!(tx.delete_cluster_attributes("edge-1").await.unwrap());
    assert!(!tx.delete_cluster_attributes("edge-1").await.unwrap());
    tx.commit("delete").await.unwrap();
    assert_eq!(store.cluster_attributes().await.unwrap(), said(&["not-joined-yet"]));
}
