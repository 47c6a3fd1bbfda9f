//! Numbers of decisions in the words of a person: cores, binary units for memory, decimal ones for storage.
//!
//! Amounts are rounded down for reading; where that would hide the difference, they are shown exactly.

use std::fmt;

use super::Violation;
use crate::hdag::{Resources, cores_text, ram_rounded, ram_text, storage_rounded, storage_text};

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("unavailable"),
            Self::Cpu { needed, free } => {
                write!(f, "cpu: needs {}, {} free", cores(*needed), cores_text(*free))
            }
            Self::Ram { needed, free } => write_bytes(f, "ram", *needed, *free, ram_text, ram_rounded),
            Self::Storage { needed, free } => {
                write_bytes(f, "storage", *needed, *free, storage_text, storage_rounded)
            }
            Self::Gpu { needed, free } => write!(f, "gpu: needs {needed}, {free} free"),
            Self::Pinned { cluster } => write!(f, "must stay on {cluster}"),
            Self::Attribute { intent, attribute, wanted, found } => {
                let found = found.as_deref().unwrap_or("unknown");
                write!(f, "{intent}: {attribute} must be {wanted}, is {found}")
            }
            Self::Latency { service, wanted, milliseconds: Some(ms) } => {
                write!(f, "latency to {service}: {ms} ms, wanted {wanted}")
            }
            Self::Latency { service, wanted, milliseconds: None } => {
                write!(f, "latency to {service}: unknown, wanted {wanted}")
            }
            Self::AntiAffinity { service } => write!(f, "must be apart from {service}"),
        }
    }
}

/// Rounded, unless both would then look the same.
fn write_bytes(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    needed: i64,
    free: i64,
    exact: fn(i64) -> String,
    rounded: fn(i64) -> String,
) -> fmt::Result {
    let (short_needed, short_free) = (rounded(needed), rounded(free));
    if short_needed == short_free {
        write!(f, "{what}: needs {}, {} free", exact(needed), exact(free))
    } else {
        write!(f, "{what}: needs {short_needed}, {short_free} free")
    }
}

/// All resources as one phrase: `0.5 cores, 500MiB RAM, 10GB storage, 1 GPU`; storage and GPUs where asked.
pub(super) fn amounts(resources: Resources, with_storage: bool, with_gpus: bool) -> String {
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

pub(super) fn cores(millicores: i64) -> String {
    format!("{} core{}", cores_text(millicores), if millicores == 1000 { "" } else { "s" })
}
