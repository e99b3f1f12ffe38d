//! How many instances a new configuration has: the template's count, unless the endpoint has been scaled since.

use crate::endpoint::{Configuration, Endpoint};

/// What the template says of the variant's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// How many there are when nothing scales them.
    pub count: u32,
    /// Between which numbers autoscaling keeps them, where the template sets it.
    pub scaling: Option<Scaling>,
}

/// Autoscaling of a variant: Application Auto Scaling keeps the invocations of an instance near a target.
///
/// See <https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// `SageMakerVariantInvocationsPerInstance`: the invocations of one instance in a minute that are aimed at.
    pub invocations_per_instance: u32,
}

/// How many instances the new fleet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// `InitialInstanceCount` of the new configuration.
    pub initial: u32,
    /// Whether the count that the endpoint has now is kept instead (`RetainAllVariantProperties`): SageMaker then reads it itself at
    /// the update, so that scaling between our look and the update is not undone.
    pub keep: bool,
    /// How many instances there will be.
    pub instances: u32,
}

/// Decides the new fleet's size.
///
/// A count that differs from the one that the serving configuration began with was made by autoscaling or by a person, and is kept;
/// bounds that the template names hold all the same.
#[must_use]
pub fn fleet(
    capacity: &Capacity,
    variant: &str,
    endpoint: Option<&Endpoint>,
    serving: Option<&Configuration>,
) -> Fleet {
    let bound = |count: u32| {
        capacity
            .scaling
            .map_or(count, |scaling| count.clamp(scaling.min, scaling.max.max(scaling.min)))
    };
    let initial = bound(capacity.count);
    let now = endpoint.and_then(|endpoint| endpoint.desired_count(variant));
    let began = serving.and_then(|config| {
        let served = config.variants.iter().find(|served| served.name == variant)?;
        served.initial_count
    });
    match (now, began) {
        (Some(now), Some(began)) if (capacity.scaling.is_some() || now != began) && bound(now) == now => Fleet {
            initial,
            keep: true,
            instances: now,
        },
        // Scaled, and out of the bounds: the nearest that they allow.
        (Some(now), Some(began)) if now != began => Fleet {
            initial: bound(now),
            keep: false,
            instances: bound(now),
        },
        _ => Fleet {
            initial,
            keep: false,
            instances: initial,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Status, Variant};

    #[test]
    fn scaled_counts_are_kept() {
        let scaling = |min, max| {
            Some(Scaling {
                min,
                max,
                invocations_per_instance: 500,
            })
        };
        // (template's count, bounds, began with, has now) → (initial, kept, instances)
        for (count, scaling, began, now, expected) in [
            (2, None, 2, 2, (2, false, 2)),
            // The template is the truth where nothing scaled it.
            (4, None, 2, 2, (4, false, 4)),
            // Somebody or something scaled it.
            (4, None, 2, 6, (4, true, 6)),
            // A kept count is kept again by the next update.
            (4, None, 4, 6, (4, true, 6)),
            (2, scaling(2, 8), 2, 6, (2, true, 6)),
            (2, scaling(2, 8), 2, 2, (2, true, 2)),
            // New bounds hold.
            (2, scaling(2, 4), 2, 6, (4, false, 4)),
            (2, scaling(3, 4), 2, 2, (3, false, 3)),
        ] {
            let endpoint = Endpoint {
                status: Status::InService,
                config: "old".into(),
                failure_reason: None,
                pending: None,
                modified_at: None,
                desired_counts: vec![("AllTraffic".into(), now)],
            };
            let serving = Configuration {
                name: "old".into(),
                made_at: None,
                variants: vec![Variant {
                    name: "AllTraffic".into(),
                    model: "m".into(),
                    instance_type: Some("ml.m5.large".into()),
                    initial_count: Some(began),
                    serverless: false,
                }],
            };
            let capacity = Capacity { count, scaling };
            let fleet = fleet(&capacity, "AllTraffic", Some(&endpoint), Some(&serving));
            assert_eq!(
                (fleet.initial, fleet.keep, fleet.instances),
                expected,
                "{capacity:?} began {began}, now {now}"
            );
        }
        let first = fleet(
            &Capacity {
                count: 1,
                scaling: scaling(2, 4),
            },
            "AllTraffic",
            None,
            None,
        );
        assert_eq!(
            first,
            Fleet {
                initial: 2,
                keep: false,
                instances: 2
            }
        );
    }
}
