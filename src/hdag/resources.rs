//! Amounts of the resources that placement counts, in exact integer units.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::quantity::{cores_text, ram_rounded, ram_text, storage_rounded, storage_text};

/// A resource that is counted. To count another one, add it here and a field to [`Resources`]: everything
/// that adds, compares or words amounts goes through all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// CPU in millicores.
    Cpu,
    /// Memory in bytes.
    Ram,
    /// Ephemeral storage in bytes.
    Storage,
    /// Whole GPUs.
    Gpus,
    /// Pods, of which a node takes a limited number.
    Pods,
}

impl Dimension {
    /// All of them, in the order in which amounts stand in vectors.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Ram, Self::Storage, Self::Gpus, Self::Pods];

    /// Position of its amount in a vector.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name of its field in JSON.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_millicores",
            Self::Ram => "ram_bytes",
            Self::Storage => "storage_bytes",
            Self::Gpus => "gpus",
            Self::Pods => "pods",
        }
    }

    /// Its name for people: a constraint or the column of a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Ram => "ram",
            Self::Storage => "storage",
            Self::Gpus => "gpu",
            Self::Pods => "pods",
        }
    }

    /// An exact amount in its usual unit, without its name: `0.5` cores, `500MiB`, `10GB`, `1` GPU.
    #[must_use]
    pub fn exact(self, amount: i64) -> String {
        match self {
            Self::Cpu => cores_text(amount),
            Self::Ram => ram_text(amount),
            Self::Storage => storage_text(amount),
            Self::Gpus | Self::Pods => amount.to_string(),
        }
    }

    /// An amount in its usual unit, rounded down where an exact number would be long.
    #[must_use]
    pub fn rounded(self, amount: i64) -> String {
        match self {
            Self::Ram => ram_rounded(amount),
            Self::Storage => storage_rounded(amount),
            Self::Cpu | Self::Gpus | Self::Pods => self.exact(amount),
        }
    }

    /// The words behind an amount: `core`, `cores`, `RAM`, `storage`, `GPU`, `GPUs`, `pod`, `pods`.
    #[must_use]
    pub const fn noun(self, amount: i64) -> &'static str {
        match self {
            Self::Cpu if amount == 1000 => "core",
            Self::Cpu => "cores",
            Self::Ram => "RAM",
            Self::Storage => "storage",
            Self::Gpus if amount == 1 => "GPU",
            Self::Gpus => "GPUs",
            Self::Pods if amount == 1 => "pod",
            Self::Pods => "pods",
        }
    }

    /// An exact amount with its noun: `0.5 cores`, `500MiB RAM`, `1 GPU`.
    #[must_use]
    pub fn exact_with_noun(self, amount: i64) -> String {
        format!("{} {}", self.exact(amount), self.noun(amount))
    }

    /// Its unit in words.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "millicores of cpu",
            Self::Ram => "bytes of ram",
            Self::Storage => "bytes of storage",
            Self::Gpus => "gpus",
            Self::Pods => "pods",
        }
    }
}

/// An amount of each resource that a service needs or a cluster offers.
///
/// Integers keep sums exact: a thousand services of 0.1 cores add up to 100 cores, not to 99.999…. A stored
/// document that lacks a resource has none of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resources {
    /// Thousandths of a CPU core.
    pub cpu_millicores: i64,
    /// Memory in bytes.
    pub ram_bytes: i64,
    /// Ephemeral storage in bytes.
    pub storage_bytes: i64,
    /// Whole GPUs.
    pub gpus: i64,
    /// Pods; 0 in intents, which are about amounts for one.
    pub pods: i64,
}

impl Resources {
    /// Amounts by resource.
    #[must_use]
    pub fn from_fn(mut amount: impl FnMut(Dimension) -> i64) -> Self {
        let mut resources = Self::default();
        for dimension in Dimension::ALL {
            resources.set(dimension, amount(dimension));
        }
        resources
    }

    /// The amount of one resource.
    #[must_use]
    pub const fn get(&self, dimension: Dimension) -> i64 {
        match dimension {
            Dimension::Cpu => self.cpu_millicores,
            Dimension::Ram => self.ram_bytes,
            Dimension::Storage => self.storage_bytes,
            Dimension::Gpus => self.gpus,
            Dimension::Pods => self.pods,
        }
    }

    /// Changes the amount of one resource.
    pub const fn set(&mut self, dimension: Dimension, amount: i64) {
        *match dimension {
            Dimension::Cpu => &mut self.cpu_millicores,
            Dimension::Ram => &mut self.ram_bytes,
            Dimension::Storage => &mut self.storage_bytes,
            Dimension::Gpus => &mut self.gpus,
            Dimension::Pods => &mut self.pods,
        } = amount;
    }

    /// All amounts, in the order of [`Dimension::ALL`].
    #[must_use]
    pub fn amounts(&self) -> [i64; Dimension::ALL.len()] {
        Dimension::ALL.map(|dimension| self.get(dimension))
    }

    /// The larger of the two amounts, resource by resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self::from_fn(|dimension| self.get(dimension).max(other.get(dimension)))
    }

    /// Whether there is as much of every resource in `room`.
    #[must_use]
    pub fn fits(&self, room: Self) -> bool {
        Dimension::ALL.into_iter().all(|dimension| self.get(dimension) <= room.get(dimension))
    }

    /// This amount for each of `replicas` replicas.
    #[must_use]
    pub fn times(self, replicas: i64) -> Self {
        Self::from_fn(|dimension| self.get(dimension).saturating_mul(replicas))
    }

    /// The remainder after `used` is subtracted; never below zero.
    #[must_use]
    pub fn minus_clamped(self, used: Self) -> Self {
        Self::from_fn(|dimension| self.get(dimension).saturating_sub(used.get(dimension)).max(0))
    }
}

impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amounts = BTreeMap::<String, i64>::deserialize(deserializer)?;
        Ok(Self::from_fn(|dimension| amounts.get(dimension.field()).copied().unwrap_or_default()))
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_fn(|dimension| self.get(dimension).saturating_add(other.get(dimension)))
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_is_a_dimension_with_a_place_of_its_own() {
        let mut amount = 0;
        let resources = Resources::from_fn(|_| {
            amount += 1;
            amount
        });
        let stored = serde_json::to_value(resources).unwrap();
        assert_eq!(stored.as_object().unwrap().len(), Dimension::ALL.len());
        for (index, dimension) in Dimension::ALL.into_iter().enumerate() {
            assert_eq!(dimension.index(), index);
            assert_eq!(stored[dimension.field()], resources.get(dimension));
        }
        assert_eq!(resources.amounts(), [1, 2, 3, 4, 5]);
        assert_eq!(serde_json::from_value::<Resources>(stored).unwrap(), resources);
    }

    #[test]
    fn amounts_beyond_what_can_be_counted_stay_the_largest_amount() {
        let half = Resources { ram_bytes: 5 << 60, ..Resources::default() };
        assert_eq!((half + half).ram_bytes, i64::MAX);
        assert_eq!(half.times(3).ram_bytes, i64::MAX);
        assert!(!(half + half).fits(half));
    }

    #[test]
    fn a_document_from_before_a_resource_was_counted_has_none_of_it() {
        let read: Resources = serde_json::from_value(json!({ "cpu_millicores": 5 })).unwrap();
        assert_eq!(read, Resources { cpu_millicores: 5, ..Resources::default() });
    }
}
