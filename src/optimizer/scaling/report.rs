//! A scaling decision as a table of plain text.

use super::instance::Instance;
use super::reason::Number;
use super::{ScalingOutcome, ScalingPlan, ScalingProblem, validate};
use crate::hdag::{cores_text, ram_rounded, storage_rounded};

/// A table of fixed width for people: the objective, every service, and the load of each cluster; or why there
/// is no plan. Lines end with a line feed.
#[must_use]
pub fn report(problem: &ScalingProblem, outcome: &ScalingOutcome) -> String {
    let mut lines = Vec::new();
    match outcome {
        ScalingOutcome::Decided(plan) => {
            lines.push(headline(problem, plan));
            lines.extend(services(problem, plan));
            lines.extend(clusters(problem, plan));
        }
        ScalingOutcome::Infeasible(refusal) => {
            lines.push(format!("graph {} cannot be scaled by {}:", problem.graph, refusal.strategy));
            lines.extend(refusal.conflicts.iter().map(|conflict| format!("  {conflict}")));
            lines.push("replicas needed:".to_owned());
            let rows = refusal.needed.iter().map(|(name, needed)| [format!("  {name}"), needed.to_string()]);
            lines.extend(table(&rows.collect::<Vec<_>>()));
        }
        ScalingOutcome::Invalid(invalid) => {
            lines.push(format!("the scaling problem of graph {} is invalid:", problem.graph));
            lines.extend(invalid.faults.iter().map(|fault| format!("  {fault}")));
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn headline(problem: &ScalingProblem, plan: &ScalingPlan) -> String {
    let terms: Vec<String> =
        plan.objective.terms.iter().map(|term| format!("{} {}", term.name, Number(term.value))).collect();
    let proof = match plan.bound {
        _ if plan.optimal => ", optimal".to_owned(),
        Some(bound) => format!(", at least {}", Number(bound)),
        None => String::new(),
    };
    format!(
        "graph {} scaled by {}: objective {} ({}){proof}",
        problem.graph,
        plan.strategy,
        Number(plan.objective.total),
        terms.join(", ")
    )
}

fn services(problem: &ScalingProblem, plan: &ScalingPlan) -> Vec<String> {
    let mut rows =
        vec![["service", "cluster", "rate/s", "needed", "now", "then", "reason"].map(str::to_owned)];
    for entry in &plan.services {
        let service = problem.services.iter().find(|service| service.name == entry.service);
        let rate = service.and_then(|service| service.rate);
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        rows.push([
            entry.service.clone(),
            entry.cluster.clone(),
            or_unknown(rate.map(|rate| Number(rate).to_string())),
            or_unknown(entry.needed.map(|needed| needed.to_string())),
            entry.previous.to_string(),
            format!("{}{}", entry.replicas, if entry.saturated { "!" } else { "" }),
            entry.reason.clone(),
        ]);
    }
    table(&rows)
}

fn clusters(problem: &ScalingProblem, plan: &ScalingPlan) -> Vec<String> {
    if validate(problem).is_err() {
        return Vec::new();
    }
    let instance = Instance::new(problem);
    let count = |name: &String| plan.replicas.get(name).copied().unwrap_or(0);
    let replicas: Vec<i64> = instance.services.iter().map(|service| count(&service.name)).collect();
    let used = instance.used(&replicas);
    let row = |cluster: usize| {
        let used = used[cluster].map(|amount| i64::try_from(amount).unwrap_or(i64::MAX));
        let [cpu, ram, storage, gpus] = instance.clusters[cluster].free.amounts();
        [
            instance.clusters[cluster].name.clone(),
            format!("{} of {}", cores_text(used[0]), cores_text(cpu)),
            format!("{} of {}", ram_rounded(used[1]), ram_rounded(ram)),
            if instance.clusters[cluster].storage_reported {
                format!("{} of {}", storage_rounded(used[2]), storage_rounded(storage))
            } else {
                format!("{} of ?", storage_rounded(used[2]))
            },
            format!("{} of {}", used[3], if instance.clusters[cluster].acceleration { gpus } else { 0 }),
        ]
    };
    let mut rows = vec![["cluster", "cores", "ram", "storage", "gpus"].map(str::to_owned)];
    rows.extend((0..instance.clusters.len()).map(row));
    table(&rows)
}

/// Columns as wide as their widest cell, two blanks apart.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}
