use smo::model::{ScalingTick, TickOutcome, TickReport, TickService};
use smo::store::Store;

use super::records::{at, deploy, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    only_the_last_ticks_of_a_graph_are_kept,
    ticks_of_many_graphs_are_written_at_once,
    ticks_go_with_their_graph_and_one_that_comes_late_is_left_out,
    ticks_can_be_written_while_a_graph_is_being_changed,
);

fn tick(graph: &str, number: i64) -> ScalingTick {
    let service = TickService {
        derived: false,
        service: "s".to_owned(),
        cluster: "c \"\0é".to_owned(),
        rate: Some(1.5e300),
        previous: 0,
        replicas: number,
        needed: None,
        saturated: false,
        reason: String::new(),
    };
    let outcome = TickOutcome::Decided { strategy: "exact".to_owned(), services: vec![service] };
    let report =
        TickReport { outcome, shortage: None, replacement: None, postponed: Some("later".to_owned()) };
    ScalingTick { graph: graph.to_owned(), at: at(number), report }
}

async fn write(store: &Store, ticks: &[ScalingTick], keep: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_scaling_ticks(ticks, keep).await.unwrap();
    tx.commit_unnumbered().await.unwrap();
}

async fn numbers(store: &Store, graph: &str, limit: i64) -> Vec<i64> {
    let ticks = store.scaling_ticks(graph, limit).await.unwrap();
    let number = |tick: &ScalingTick| match &tick.report.outcome {
        TickOutcome::Decided { services, .. } => services[0].replicas,
        other => panic!("{other:?}"),
    };
    ticks.iter().map(number).collect()
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
    let refused = [
        TickOutcome::Invalid { reason: "\0\"\n".to_owned() },
        TickOutcome::Infeasible {
            strategy: "exact".to_owned(),
            reason: "é".to_owned(),
            needed: [("a".to_owned(), 3)].into(),
        },
    ];
    for outcome in refused {
        let mut refusal = tick("b", 1);
        refusal.report.outcome = outcome;
        write(store, std::slice::from_ref(&refusal), 3).await;
        assert_eq!(store.scaling_ticks("b", 1).await.unwrap(), [refusal]);
    }
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
