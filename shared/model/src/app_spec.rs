//! The AppSpec of a CodeDeploy deployment to Lambda: which version of which function gets traffic.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The version that a deployment gives traffic to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The function's name.
    pub function: String,
    /// Its version.
    pub version: String,
}

/// An AppSpec that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum AppSpecError {
    /// It is not the JSON that CloudFormation makes of an alias with an update policy; by hand it may be YAML as well.
    #[error("the deployment's AppSpec is not the JSON of a deployment to Lambda")]
    Unreadable(#[source] serde_json::Error),
    /// A deployment to Lambda is one of one function.
    #[error("the deployment's AppSpec has {0} resources where a deployment to Lambda has one")]
    Resources(usize),
    /// The resource is something else than a function.
    #[error("the deployment's AppSpec is of a `{0}`, and not of an AWS::Lambda::Function")]
    NoFunction(String),
}

/// See <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html>. The rest of it does
/// not matter here.
#[derive(Debug, Deserialize)]
struct AppSpec {
    #[serde(rename = "Resources")]
    resources: Vec<BTreeMap<String, Resource>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    name: String,
    target_version: String,
}

/// The version that the deployment with this AppSpec gives traffic to.
///
/// # Errors
/// Where the AppSpec is not one of one Lambda function, in JSON.
pub fn target(app_spec: &str) -> Result<Target, AppSpecError> {
    let app_spec: AppSpec = serde_json::from_str(app_spec).map_err(AppSpecError::Unreadable)?;
    let resources = app_spec.resources.into_iter().flat_map(BTreeMap::into_values);
    let mut resources: Vec<Resource> = resources.collect();
    let count = resources.len();
    let (Some(resource), true) = (resources.pop(), resources.is_empty()) else {
        return Err(AppSpecError::Resources(count));
    };
    if resource.r#type != "AWS::Lambda::Function" {
        return Err(AppSpecError::NoFunction(resource.r#type));
    }
    // A function may be named by its ARN too, as anywhere in Lambda.
    let name = resource.properties.name;
    let name = name.rsplit_once(":function:").map_or(name.as_str(), |(_, name)| name);
    Ok(Target {
        function: name.to_owned(),
        version: resource.properties.target_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_version_that_gets_traffic() {
        let resource = r#"{"live": {"Type": "AWS::Lambda::Function", "Properties": {"Name": "churn-retrain", "Alias": "live", "CurrentVersion": "3", "TargetVersion": "4"}}}"#;
        let by_arn = resource.replace(
            "churn-retrain",
            "arn:aws:lambda:eu-west-1:123456789012:function:churn-retrain",
        );
        let other = resource.replace("AWS::Lambda::Function", "AWS::ECS::Service");
        let target_of = |resources: &str| {
            let hooks = r#"[{"BeforeAllowTraffic": "churn-check-version"}]"#;
            let target = target(&format!(
                r#"{{"version": "0.0", "Resources": [{resources}], "Hooks": {hooks}}}"#
            ));
            target
                .map(|target| format!("{} {}", target.function, target.version))
                .map_err(|error| error.to_string())
        };
        let retrain = Ok("churn-retrain 4".to_owned());
        for (resources, expected) in [
            (resource.to_owned(), retrain.clone()),
            (by_arn, retrain),
            (
                String::new(),
                Err("the deployment's AppSpec has 0 resources where a deployment to Lambda has one"),
            ),
            (
                format!("{resource}, {resource}"),
                Err("the deployment's AppSpec has 2 resources where a deployment to Lambda has one"),
            ),
            (
                other,
                Err("the deployment's AppSpec is of a `AWS::ECS::Service`, and not of an AWS::Lambda::Function"),
            ),
            (
                "1".to_owned(),
                Err("the deployment's AppSpec is not the JSON of a deployment to Lambda"),
            ),
        ]
        .map(|(resources, expected)| (resources, expected.map_err(str::to_owned)))
        {
            assert_eq!(target_of(&resources), expected, "{resources}");
        }
        assert!(target("version: 0.0\nResources: []").is_err());
    }
}
