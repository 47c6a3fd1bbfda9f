//! Amounts of decisions in words: cores, binary units for memory, decimal ones for storage.
//!
//! Amounts are rounded down for reading; where that would hide the difference, they are shown exactly.

use crate::hdag::{Dimension, Resources};

/// Amounts as one phrase: `0.5 cores, 500MiB RAM, 10GB storage, 1 GPU`, without those that are not to be
/// shown.
pub(in crate::optimizer) fn amounts(resources: Resources, hidden: &[Dimension]) -> String {
    // Pods are told of where they are lacking.
    let is_told = |dimension: &Dimension| *dimension != Dimension::Pods && !hidden.contains(dimension);
    let shown = Dimension::ALL.into_iter().filter(is_told);
    let parts: Vec<String> = shown
        .map(|dimension| {
            let amount = resources.get(dimension);
            format!("{} {}", dimension.rounded(amount), dimension.noun(amount))
        })
        .collect();
    parts.join(", ")
}
