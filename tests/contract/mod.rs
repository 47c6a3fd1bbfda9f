//! The contract of the ports on the simulated continuum.

mod dead_watch;
mod names;
mod suite;

use smo::simulation::{Continuum, World};

use suite::Fixture;

fn world() -> (World, Fixture) {
    let fixture = Fixture {
        namespace: "contract".to_owned(),
        chart: "oci://registry.example/hello-world/hello-world".to_owned(),
        clusters: ["edge-1".to_owned(), "edge-2".to_owned()],
    };
    (World::new(Continuum::built_in().unwrap(), 3), fixture)
}

#[tokio::test(start_paused = true)]
async fn inventory() {
    let (world, fixture) = world();
    suite::inventory(&world.ports(), &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn life_of_a_release() {
    let (world, fixture) = world();
    suite::life_of_a_release(&world.ports(), &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn rendering_and_policies() {
    let (world, fixture) = world();
    suite::rendering(&world.ports(), &fixture).await;
    suite::life_of_policies(&world.ports(), &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_release_is_left_alone() {
    let (world, fixture) = world();
    suite::a_foreign_release_is_left_alone(&world.ports(), &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_of_another_installation_is_left_alone_until_it_is_adopted() {
    let (world, fixture) = world();
    suite::a_release_of_another_installation(&world.ports(), &world.ports_of("other"), &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_announced_and_watches_are_alive() {
    let (world, fixture) = world();
    suite::changes_are_announced(&world.ports(), &fixture).await;
    suite::watches(&world.ports()).await;
}

#[tokio::test(start_paused = true)]
async fn alert_rules_and_what_fires() {
    let (world, _) = world();
    suite::life_of_alert_rules(&world.ports(), &world.ports_of("other")).await;
    suite::firing_alerts(&world.ports(), |firing| world.set_alert_firing("contract", "s", firing).unwrap())
        .await;
}

#[tokio::test]
async fn rates() {
    let (world, _) = world();
    world.set_rate("contract", 3.0);
    suite::rates(&world.ports()).await;
}

#[tokio::test]
async fn latencies() {
    let (world, fixture) = world();
    let times = suite::latencies(&world.ports(), &fixture).await;
    assert_eq!(times[&("edge-1".to_owned(), "edge-2".to_owned())], 5.0);
}
