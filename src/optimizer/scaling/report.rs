//! A scaling decision as a table of plain text.

use std::iter;

use super::instance::Instance;
use super::reason::Number;
use super::{ScalingOutcome, ScalingPlan, ScalingProblem, validate};
use crate::hdag::Dimension;

/// A table of fixed width for people: the objective, every service, and the load of each cluster; or why
/// there is no plan. Lines end with a line feed.
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
    let pods_count = problem.clusters.iter().any(|cluster| cluster.pods_counted);
    let columns = || Dimension::ALL.into_iter().filter(|column| pods_count || *column != Dimension::Pods);
    let row = |cluster: usize| {
        let used = used[cluster].map(|amount| i64::try_from(amount).unwrap_or(i64::MAX));
        let capacity = instance.capacity(cluster);
        let cell = |dimension: Dimension| {
            let limit = capacity[dimension.index()];
            let limit = if limit == i64::MAX { "?".to_owned() } else { dimension.rounded(limit) };
            format!("{} of {limit}", dimension.rounded(used[dimension.index()]))
        };
        let name = instance.clusters[cluster].name.clone();
        iter::once(name).chain(columns().map(cell)).collect()
    };
    let heading = iter::once("cluster").chain(columns().map(Dimension::name));
    let mut rows: Vec<Vec<String>> = vec![heading.map(str::to_owned).collect()];
    rows.extend((0..instance.clusters.len()).map(row));
    table(&rows)
}

/// Columns as wide as their widest cell, two blanks apart.
fn table<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().map(|row| row.as_ref()[column].chars().count()).max().unwrap_or(0);
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &R| {
        let row = row.as_ref();
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}
