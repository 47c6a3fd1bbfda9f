//! Numbers of decisions in words: cores, binary units for memory, decimal ones for storage.
//!
//! Amounts are rounded down for reading; where that would hide the difference, they are shown exactly.

use crate::hdag::{Dimension, Resources, cores_text, ram_rounded, ram_text, storage_rounded, storage_text};

/// All resources as one phrase: `0.5 cores, 500MiB RAM, 10GB storage, 1 GPU`; storage and GPUs where asked.
pub(in crate::optimizer) fn amounts(resources: Resources, with_storage: bool, with_gpus: bool) -> String {
    let mut parts =
        vec![cores(resources.cpu_millicores), format!("{} RAM", ram_rounded(resources.ram_bytes))];
    if with_storage {
        parts.push(format!("{} storage", storage_rounded(resources.storage_bytes)));
    }
    if with_gpus {
        parts.push(format!("{} GPU{}", resources.gpus, if resources.gpus == 1 { "" } else { "s" }));
    }
    parts.join(", ")
}

/// An exact amount of one resource: `0.5 cores`, `500MiB RAM`.
pub(in crate::optimizer) fn amount(dimension: Dimension, amount: i64) -> String {
    match dimension {
        Dimension::Cpu => cores(amount),
        Dimension::Ram => format!("{} RAM", ram_text(amount)),
        Dimension::Storage => format!("{} storage", storage_text(amount)),
        Dimension::Gpus => format!("{amount} GPUs"),
    }
}

pub(in crate::optimizer) fn cores(millicores: i64) -> String {
    format!("{} core{}", cores_text(millicores), if millicores == 1000 { "" } else { "s" })
}
