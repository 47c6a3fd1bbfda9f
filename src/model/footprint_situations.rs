//! Free capacity, situation by situation: what a cluster reports, what of a service is there, and what is free for its
//! graph and for a newcomer.

use super::*;
use crate::hdag::Dimension;
use crate::model::WorkloadKind::{self, CronJob, DaemonSet, Deployment, Job, StatefulSet};

/// A workload: kind, requests of a pod, the part of them that is reported, pods wanted, pods ready.
type Workload = (WorkloadKind, f64, f64, i64, i64);

/// A service on a cluster of 8 cores, 8 GiB, 8 GB, 8 GPUs or 8 pods; amounts are whole ones of these, and the rest of
/// the cluster's use is of others.
struct Situation {
    what: &'static str,
    counts: Dimension,
    workloads: Vec<Workload>,
    /// Needs of a replica by the intent.
    intent: f64,
    decided: Option<i64>,
    state: ServiceState,
    /// Seconds since the graph was changed, and since scaling decided.
    changed: i64,
    scaled: i64,
    /// The report: taken by pods, and requested by pods that no node has taken.
    report: [f64; 2],
    /// Free for its own graph, and for another one.
    free: [f64; 2],
}

/// A settled service with these workloads.
fn of(what: &'static str, workloads: &[Workload], report: [f64; 2], free: [f64; 2]) -> Situation {
    Situation {
        what,
        counts: Dimension::Cpu,
        workloads: workloads.to_vec(),
        intent: 0.0,
        decided: None,
        state: ServiceState::Deployed,
        changed: 1000,
        scaled: 1000,
        report,
        free,
    }
}

/// A settled Deployment of one unit for each replica; so many are wanted and ready.
fn plain(what: &'static str, replicas: [i64; 2], report: [f64; 2], free: [f64; 2]) -> Situation {
    let [wanted, ready] = replicas;
    of(what, &[(Deployment, 1.0, 1.0, wanted, ready)], report, free)
}

/// Starting pods are neither counted twice nor forgotten. The report does not say whose pods wait, so that the smaller
/// reading counts.
fn starting() -> Vec<Situation> {
    vec![
        plain("all runs", [4, 4], [4.0, 0.0], [8.0, 4.0]),
        plain("scheduled, one is ready", [4, 1], [4.0, 0.0], [8.0, 4.0]),
        plain("scheduled, none is ready", [4, 0], [4.0, 0.0], [8.0, 4.0]),
        plain("half of those that start have no node", [4, 2], [3.0, 1.0], [8.0, 4.0]),
        plain("half have no node", [4, 0], [2.0, 2.0], [8.0, 4.0]),
        plain("none has a node", [4, 0], [0.0, 4.0], [8.0, 4.0]),
        plain("all but the ready one have no node", [4, 1], [1.0, 3.0], [8.0, 4.0]),
        plain("pods of others wait, too", [4, 1], [4.0, 2.0], [6.0, 2.0]),
        plain("many pods of others wait", [4, 0], [4.0, 8.0], [4.0, 0.0]),
        plain("only pods of others wait", [4, 4], [4.0, 3.0], [8.0, 4.0]),
        plain("others have a part, one is ready", [4, 1], [6.0, 0.0], [6.0, 2.0]),
        plain("others have a part", [4, 4], [6.0, 0.0], [6.0, 2.0]),
        plain("others have a part, none is ready", [4, 0], [6.0, 0.0], [6.0, 2.0]),
        plain("others have a part, none has a node", [4, 0], [2.0, 4.0], [6.0, 2.0]),
        plain("overfull", [4, 4], [9.0, 0.0], [3.0, 0.0]),
        plain("overfull, one is ready", [4, 1], [9.0, 0.0], [3.0, 0.0]),
        plain("nothing is wanted", [0, 0], [0.0, 0.0], [8.0, 8.0]),
        plain("nothing is wanted, others have a part", [0, 0], [3.0, 0.0], [5.0, 5.0]),
        plain("others have all", [1, 0], [8.0, 0.0], [1.0, 0.0]),
    ]
}

/// A report may be older than the last change, and what is not there yet does not show in it.
fn changing() -> Vec<Situation> {
    let fresh = |situation| Situation { changed: 5, ..situation };
    let to = |decided, situation| Situation { decided: Some(decided), ..situation };
    let when = |state, situation| Situation { state, ..situation };
    vec![
        fresh(plain("just placed, report older", [3, 0], [0.0, 0.0], [8.0, 5.0])),
        fresh(plain("just placed, report newer", [3, 0], [3.0, 0.0], [5.0, 2.0])),
        fresh(plain("just changed, all runs", [3, 3], [3.0, 0.0], [8.0, 2.0])),
        fresh(plain("just placed beside others, report older", [3, 0], [4.0, 0.0], [4.0, 1.0])),
        fresh(plain("just placed beside others, report newer", [3, 0], [7.0, 0.0], [3.0, 0.0])),
        fresh(plain("just placed, overfull", [3, 0], [9.0, 0.0], [2.0, 0.0])),
        Situation { scaled: 1, ..to(4, plain("just scaled up", [1, 1], [5.0, 0.0], [4.0, 0.0])) },
        to(4, plain("scaled up, still starting", [1, 1], [4.0, 0.0], [8.0, 4.0])),
        to(1, plain("scaled down, pods still there", [3, 3], [3.0, 0.0], [8.0, 5.0])),
        to(2, plain("scaled down, pods are gone", [2, 2], [2.0, 0.0], [8.0, 6.0])),
        when(
            ServiceState::Deploying,
            plain("not installed, others have half", [4, 0], [4.0, 0.0], [4.0, 0.0]),
        ),
        when(ServiceState::Failed, plain("its release failed", [2, 0], [0.0, 0.0], [8.0, 6.0])),
        when(ServiceState::Pending, plain("waits for its event", [2, 0], [0.0, 0.0], [8.0, 6.0])),
        when(ServiceState::Pending, plain("waits, switched off", [0, 0], [0.0, 0.0], [8.0, 7.0])),
    ]
}

fn kinds() -> Vec<Situation> {
    let front: Workload = (Deployment, 0.5, 0.5, 4, 4);
    let decided = |decided, situation| Situation { decided: Some(decided), ..situation };
    vec![
        // Parts of pods that the report leaves out are reserved for good.
        of("a sidecar", &[(Deployment, 1.5, 0.5, 2, 2)], [3.0, 0.0], [6.0, 3.0]),
        of("an init container larger than the rest", &[(Deployment, 2.0, 1.0, 1, 1)], [1.0, 0.0], [8.0, 6.0]),
        of("resources of the pod as a whole", &[(Deployment, 2.0, 0.0, 2, 2)], [0.0, 0.0], [8.0, 4.0]),
        of("a StatefulSet", &[(StatefulSet, 1.0, 1.0, 3, 2)], [3.0, 0.0], [8.0, 5.0]),
        of("a DaemonSet on two nodes", &[(DaemonSet, 1.0, 1.0, 2, 2)], [2.0, 0.0], [8.0, 6.0]),
        decided(9, of("a DaemonSet is not scaled", &[(DaemonSet, 1.0, 1.0, 2, 2)], [2.0, 0.0], [8.0, 6.0])),
        of("a Job with one pod left", &[(Job, 2.0, 2.0, 1, 1)], [2.0, 0.0], [8.0, 6.0]),
        of("a Job that is done", &[(Job, 2.0, 2.0, 0, 0)], [0.0, 0.0], [8.0, 8.0]),
        of("a CronJob between two runs", &[(CronJob, 1.0, 1.0, 1, 0)], [4.0, 0.0], [4.0, 3.0]),
        of("a CronJob while it runs", &[(CronJob, 1.0, 1.0, 1, 0)], [5.0, 0.0], [3.0, 2.0]),
        of("each by its own requests", &[front, (StatefulSet, 2.0, 2.0, 1, 1)], [4.0, 0.0], [8.0, 4.0]),
        of("one of them starts", &[front, (StatefulSet, 2.0, 2.0, 1, 0)], [2.0, 2.0], [8.0, 4.0]),
        of("a CronJob beside it", &[front, (CronJob, 1.0, 1.0, 1, 0)], [2.0, 0.0], [8.0, 5.0]),
        decided(
            3,
            of(
                "the only Deployment is scaled",
                &[(Deployment, 0.5, 0.5, 1, 1), (Job, 1.0, 1.0, 1, 1)],
                [1.5, 1.0],
                [8.0, 5.5],
            ),
        ),
    ]
}

fn intents_and_resources() -> Vec<Situation> {
    let silent: Workload = (Deployment, 0.0, 0.0, 2, 2);
    let intent = |intent, situation| Situation { intent, ..situation };
    let counts = |counts, situation| Situation { counts, ..situation };
    let storage = of("storage, which pods seldom request", &[silent], [1.0, 0.0], [7.0, 3.0]);
    vec![
        intent(1.0, of("the intent stands in", &[silent], [0.0, 0.0], [8.0, 6.0])),
        intent(4.0, plain("requests come before the intent", [2, 2], [2.0, 0.0], [8.0, 6.0])),
        intent(1.0, of("of several it stands in once", &[silent; 2], [0.0, 0.0], [8.0, 7.0])),
        counts(Dimension::Ram, plain("memory", [4, 2], [3.0, 1.0], [8.0, 4.0])),
        counts(Dimension::Gpus, plain("GPUs", [2, 2], [3.0, 0.0], [7.0, 5.0])),
        counts(Dimension::Pods, plain("pods", [3, 3], [5.0, 0.0], [6.0, 3.0])),
        counts(Dimension::Storage, intent(2.0, storage)),
    ]
}

impl Situation {
    /// So many units of the resource.
    fn amount(&self, units: f64) -> Resources {
        let unit = match self.counts {
            Dimension::Cpu => 1000.0,
            Dimension::Ram => f64::from(1 << 30),
            Dimension::Storage => 1e9,
            Dimension::Gpus | Dimension::Pods => 1.0,
        };
        let mut amount = Resources::default();
        #[expect(clippy::cast_possible_truncation, reason = "small whole amounts")]
        amount.set(self.counts, (units * unit) as i64);
        amount
    }

    /// Free for its own graph and for a newcomer.
    fn found(&self) -> [Resources; 2] {
        let workload = |&(kind, requests, reported, replicas, ready): &Workload| {
            let (requests, reported) = (self.amount(requests), self.amount(reported));
            WorkloadUse { kind, requests, reported, replicas, ready, ..WorkloadUse::default() }
        };
        let (graph, service) = settled("a", 1);
        let graph = GraphRecord { updated_at: at(-self.changed), ..graph };
        let service = ServiceRecord {
            workloads: self.workloads.iter().map(workload).collect(),
            needs: self.amount(self.intent),
            replicas_decided: self.decided,
            scaled_at: Some(at(-self.scaled)),
            state: self.state,
            ..service
        };
        let [allocated, allocating] = self.report.map(|units| self.amount(units));
        let allocatable = self.amount(8.0);
        let cluster = ClusterRecord { allocatable, allocated, allocating, ..testing::cluster("c") };
        let placed = [(graph, service)];
        ["a", "new"].map(|graph| {
            let own = usage(&placed, |name| name == graph);
            free_capacity(&cluster, &entry(&placed), &own).free
        })
    }
}

#[test]
fn every_situation_leaves_what_it_must() {
    let groups = [starting(), changing(), kinds(), intents_and_resources()];
    let situations: Vec<Situation> = groups.into_iter().flatten().collect();
    assert_eq!(situations.len(), 54);
    let wrong: Vec<String> = situations
        .iter()
        .filter_map(|situation| {
            let amounts = |of: [Resources; 2]| of.map(|free| free.get(situation.counts));
            let wanted = amounts(situation.free.map(|units| situation.amount(units)));
            let found = amounts(situation.found());
            (found != wanted).then(|| format!("{}: free {found:?}, not {wanted:?}", situation.what))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
