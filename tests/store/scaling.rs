use serde_json::json;
use smo::model::ScalingTick;
use smo::store::Store;

use super::records::{at, awkward_json, deploy, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    only_the_last_ticks_of_a_graph_are_kept,
    ticks_of_many_graphs_are_written_at_once,
    ticks_go_with_their_graph_and_one_that_comes_late_is_left_out,
    ticks_can_be_written_while_a_graph_is_being_changed,
);

fn tick(graph: &str, number: i64) -> ScalingTick {
    ScalingTick { graph: graph.to_owned(), at: at(number), data: json!({ "number": number }) }
}

async fn write(store: &Store, ticks: &[ScalingTick], keep: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_scaling_ticks(ticks, keep).await.unwrap();
    tx.commit_unnumbered().await.unwrap();
}

async fn numbers(store: &Store, graph: &str, limit: i64) -> Vec<i64> {
    let ticks = store.scaling_ticks(graph, limit).await.unwrap();
    ticks.iter().map(|tick| tick.data["number"].as_i64().unwrap()).collect()
}

async fn only_the_last_ticks_of_a_graph_are_kept(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("a"), &[]).await;
    deploy(store, &graph("b"), &[]).await;
    write(store, &[tick("b", 0)], 3).await;
    for number in 1..=5 {
        write(store, &[tick("a", number)], 3).await;
    }
    assert_eq!(numbers(store, "a", 10).await, [5, 4, 3]);
    assert_eq!(numbers(store, "a", 2).await, [5, 4]);
    assert_eq!(store.scaling_ticks("b", 10).await.unwrap(), [tick("b", 0)]);
    write(store, &[ScalingTick { data: awkward_json(), ..tick("b", 1) }], 3).await;
    let read = store.scaling_ticks("b", 1).await.unwrap().remove(0);
    assert_eq!(read.data.to_string(), awkward_json().to_string());
}

async fn ticks_of_many_graphs_are_written_at_once(database: TestDatabase) {
    let store = &database.store;
    // More than one statement takes.
    let names: Vec<String> = (0..1002).map(|number| format!("graph-{number:04}")).collect();
    let mut tx = store.begin().await.unwrap();
    for name in &names {
        tx.insert_graph(&graph(name)).await.unwrap();
    }
    tx.commit("deploy").await.unwrap();
    for number in 1..=3 {
        let ticks: Vec<ScalingTick> = names.iter().map(|name| tick(name, number)).collect();
        write(store, &ticks, 2).await;
    }
    for name in [&names[0], &names[999], &names[1001]] {
        assert_eq!(numbers(store, name, 10).await, [3, 2], "{name}");
    }
}

async fn ticks_go_with_their_graph_and_one_that_comes_late_is_left_out(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("a"), &[service("a", "s", 0)]).await;
    deploy(store, &graph("b"), &[]).await;
    write(store, &[tick("a", 1), tick("b", 1)], 5).await;
    let mut tx = store.begin().await.unwrap();
    tx.delete_graph("a").await.unwrap();
    tx.commit("delete").await.unwrap();
    write(store, &[tick("a", 2), tick("b", 2)], 5).await;
    write(store, &[tick("a", 3)], 5).await;
    deploy(store, &graph("a"), &[]).await;
    assert_eq!(numbers(store, "a", 10).await, Vec::<i64>::new());
    assert_eq!(numbers(store, "b", 10).await, [2, 1]);
}

/// The ticks of all graphs come in one transaction: it must not wait for every request that is under way. On
/// SQLite all writers wait for each other.
async fn ticks_can_be_written_while_a_graph_is_being_changed(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("a"), &[]).await;
    let mut tx = store.begin().await.unwrap();
    let read = tx.graph("a").await.unwrap().unwrap();
    if store.engine() == "postgres" {
        write(store, &[tick("a", 1)], 5).await;
    }
    tx.update_graph(&read).await.unwrap();
    tx.commit("change").await.unwrap();
    write(store, &[tick("a", 2)], 1).await;
    assert_eq!(numbers(store, "a", 10).await, [2]);
}
