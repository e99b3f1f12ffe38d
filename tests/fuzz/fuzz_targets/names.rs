//! Names, ARNs and addresses, as AWS and people write them.

#![no_main]

use fuzz::{model, package, release};
use libfuzzer_sys::fuzz_target;
use signalbox_model::build::{id_of, safe_url};
use signalbox_model::names::{
    CommitId, Console, MODEL_NAME_CHARS_MAX, ModelName, ModelPackageArn, ModelPackageGroupArn, ReleaseId, job_log_url,
    version_of_config,
};
use signalbox_model::undo::Undoes;

/// The longest name of SageMaker's, in characters.
const NAME_CHARS_MAX: usize = 63;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<ModelName>() {
        assert_eq!(name.as_str(), text);
        assert!(is_name(text, MODEL_NAME_CHARS_MAX), "{text:?}");
    }
    if let Ok(release) = text.parse::<ReleaseId>() {
        assert!(release.as_str().eq_ignore_ascii_case(text));
        assert_eq!(
            (release.short().len(), release.as_str().parse().as_ref()),
            (8, Ok(&release))
        );
    }
    if let Ok(commit) = text.parse::<CommitId>() {
        assert!(commit.as_str().eq_ignore_ascii_case(text));
        assert_eq!(
            (commit.short().len(), commit.as_str().parse().as_ref()),
            (8, Ok(&commit))
        );
    }
    if let Ok(undoes) = text.parse::<Undoes>() {
        assert_eq!(undoes.to_string(), text.strip_prefix('v').unwrap_or(text));
    }
    package_arn(text);
    config(text);
    addresses(text);
    assert!(!id_of(text).contains(":build/") || text.matches(":build/").count() > 1);
});

/// One version has one ARN, and what is named after it leads back to it.
fn package_arn(text: &str) {
    if let Ok(group) = text.parse::<ModelPackageGroupArn>() {
        let version = group.version(7);
        assert_eq!(
            version.to_string().replace(":model-package/", ":model-package-group/"),
            format!("{text}/7")
        );
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    let Ok(arn) = text.parse::<ModelPackageArn>() else {
        return;
    };
    assert_eq!(arn.to_string(), text, "one version has one ARN");
    assert!(arn.version() > 0 && is_name(arn.group(), NAME_CHARS_MAX), "{text:?}");
    for part in [arn.region(), arn.account()] {
        assert!(part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{text:?}");
    }
    let Some(release) = release() else { return };
    let config = arn.endpoint_config_name(&release);
    assert_eq!(version_of_config(&config), Some((arn.group(), arn.version())));
    if arn.group().len() <= MODEL_NAME_CHARS_MAX {
        assert!(is_name(&config, NAME_CHARS_MAX), "{config:?}");
    }
    assert_ne!(arn.release_token(), arn.release_token_after(&release));
    is_console(&arn.endpoint_console_url("churn"));
    is_console(&arn.endpoint_log_url("churn"));
}

/// A configuration that is read as a version's begins with the version's label, and is the model's of that name alone.
fn config(text: &str) {
    let (Some(model), Some(package)) = (model(), package()) else {
        return;
    };
    let read = version_of_config(text);
    if let Some((group, version)) = read {
        assert!(
            version > 0 && text.starts_with(&format!("{group}-v{version}-")),
            "{text:?}"
        );
    }
    let own = read
        .filter(|(group, _)| *group == model.as_str())
        .map(|(_, version)| version);
    assert_eq!(model.version_of_config(text), own);
    if let Some(version) = own {
        assert!(text.starts_with(&package.with_version(version).label()));
    }
}

/// Addresses that are shown lead to AWS's console, or end where they seem to.
fn addresses(text: &str) {
    if let Ok(console) = text.parse::<Console>() {
        is_console(&console.pipeline_execution_url("churn-train", "a"));
        is_console(&console.function_log_url("churn-retrain"));
    }
    if let Some(url) = job_log_url(text) {
        is_console(&url);
        assert_eq!(safe_url(&url), Some(url.as_str()));
    }
    if let Some(url) = safe_url(text) {
        assert_eq!(url, text);
        assert!(url.starts_with("https://") && !url.contains(|c: char| c.is_whitespace() || "<>()\"'`[]".contains(c)));
    }
}

/// The host of the address is one of a console's, whatever Region an ARN names.
fn is_console(url: &str) {
    let host = url
        .strip_prefix("https://")
        .and_then(|rest| rest.split(['/', '?', '#', '\\', '@', ':']).next());
    let domains = [
        ".console.aws.amazon.com",
        ".console.amazonaws.cn",
        ".console.amazonaws-us-gov.com",
    ];
    let region = host.and_then(|host| domains.iter().find_map(|domain| host.strip_suffix(domain)));
    let plain = |region: &str| !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    assert!(region.is_some_and(plain), "{url}");
    assert!(!url.contains(|c: char| c.is_whitespace() || c.is_control()), "{url:?}");
}

/// SageMaker's pattern for names: `[a-zA-Z0-9](-*[a-zA-Z0-9])*`.
fn is_name(text: &str, chars_max: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= chars_max
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
