use serde_json::json;
use smo::model::ProfileRecord;

use super::records::{at, awkward_json};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(profiles_are_replaced_listed_and_removed,);

async fn profiles_are_replaced_listed_and_removed(database: TestDatabase) {
    let store = &database.store;
    let mut tx = store.begin().await.unwrap();
    tx.put_profile("b", &json!({ "alpha": 1 }), at(0)).await.unwrap();
    tx.put_profile("B", &json!({ "alpha": 2 }), at(1)).await.unwrap();
    tx.put_profile("b", &awkward_json(), at(2)).await.unwrap();
    tx.commit("put").await.unwrap();
    let record = |service: &str, profile, updated_at| ProfileRecord {
        service: service.to_owned(),
        profile,
        updated_at,
    };
    let (upper, lower) = (record("B", json!({ "alpha": 2 }), at(1)), record("b", awkward_json(), at(2)));
    assert_eq!(store.profiles().await.unwrap(), [upper.clone(), lower]);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.delete_profile("b").await.unwrap());
    assert!(!tx.delete_profile("b").await.unwrap());
    tx.commit("delete").await.unwrap();
    assert_eq!(store.profiles().await.unwrap(), [upper]);
}
