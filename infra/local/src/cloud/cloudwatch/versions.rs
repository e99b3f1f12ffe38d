//! Alarms on a version of a function.

use super::super::Cloud;
use super::tick;

/// Has the alarms on `AWS/Lambda` whose `ExecutedVersion` is one version of a function look at another one, as an update of the
/// stack does where the template has the dimension from the version (`!GetAtt FUNCTION.Version.Version`).
pub(crate) fn follow_version(cloud: &mut Cloud, function: &str, from: &str, to: &str) {
    let mut moved = Vec::new();
    for (name, alarm) in &mut cloud.cloudwatch.alarms {
        let (namespace, _, dimensions) = &alarm.metric;
        let is_of_function = dimensions.iter().any(|(name, value)| match name.as_str() {
            "FunctionName" => value == function,
            "Resource" => value.split(':').next() == Some(function),
            _ => false,
        });
        let version = dimensions
            .iter()
            .position(|(name, value)| name == "ExecutedVersion" && value == from);
        let (true, true, Some(place)) = (namespace == "AWS/Lambda", is_of_function, version) else {
            continue;
        };
        let before = alarm.metric.clone();
        if let Some((_, value)) = alarm.metric.2.get_mut(place) {
            to.clone_into(value);
        }
        moved.push((name.clone(), before, alarm.metric.clone()));
    }
    for (name, before, after) in moved {
        if let Some(watching) = cloud.cloudwatch.watching.get_mut(&before) {
            watching.retain(|known| *known != name);
        }
        cloud.cloudwatch.watching.entry(after).or_default().push(name.clone());
        tick(cloud, &name);
    }
}
