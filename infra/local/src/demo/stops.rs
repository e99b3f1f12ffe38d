//! The stops of the story: what the people do, and what is then seen.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use jiff::SignedDuration;

use super::chart;
use super::observe::{self, Endpoint};
use super::report::{Decision, Outcome, Release};
use super::strategy::{Step, Strategy, duration, in_words};
use super::traffic::WORKERS;
use super::world::{Run, Serving, USUAL, World};
use crate::cloud::{Cloud, Happening};

/// How much faster the clock runs while nothing but time has to pass.
const HURRY: f64 = 20.0;
/// The share of the rows that the first model must get right.
const RIGHT_MIN: f64 = 0.85;
/// The alarm that the failing server sets off, without the model's name.
const ALARM: &str = "5xx";

/// How far the story has come.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    /// The releases so far.
    pub(crate) releases: Vec<Release>,
    /// The version that serves, as the stops have seen it.
    pub(crate) serving: Option<Serving>,
}

/// What the stops show, in order.
pub(crate) const NAMES: [&str; 7] = [
    "the first model goes live",
    "a better model takes over",
    "a broken test stops at the build",
    "a model below the threshold is not registered",
    "a model that fails while serving is rolled back",
    "new data retrains, and the gate keeps the better model",
    "what is refused, or nobody decides on, changes nothing",
];

/// Plays a stop, numbered from 1, and says whether it held.
pub(crate) async fn play(world: &World<'_>, tale: &mut Tale, stop: usize) -> bool {
    if stop == 7 {
        let refused = one(world, tale, Scene::Refused).await;
        return one(world, tale, Scene::Unanswered).await && refused;
    }
    let scene = match stop {
        1 => Scene::First,
        2 => Scene::Better,
        3 => Scene::Broken,
        4 => Scene::Below,
        5 => Scene::Failing,
        _ => Scene::Data,
    };
    one(world, tale, scene).await
}

/// What makes one release.
#[derive(Debug, Clone, Copy)]
enum Scene {
    First,
    Better,
    Broken,
    Below,
    Failing,
    Data,
    Refused,
    Unanswered,
}

async fn one(world: &World<'_>, tale: &mut Tale, scene: Scene) -> bool {
    let trigger = if matches!(scene, Scene::Data) { "data" } else { "push" };
    let mut run = Run::begin(world, tale.releases.len(), trigger);
    let ended = match scene {
        Scene::First => first(&mut run, tale).await,
        Scene::Better => better(&mut run, tale).await,
        Scene::Broken => broken(&mut run).await,
        Scene::Below => below(&mut run).await,
        Scene::Failing => failing(&mut run, tale).await,
        Scene::Data => data(&mut run, tale).await,
        Scene::Refused => refused(&mut run, tale).await,
        Scene::Unanswered => unanswered(&mut run, tale).await,
    };
    let (release, held) = run.finish(ended).await;
    if let Some(rollout) = &release.rollout {
        world
            .console
            .say(&format!("\n{}", chart::render(rollout, world.columns)));
    }
    tale.releases.push(release);
    held
}

async fn pushed(run: &mut Run<'_>, stop: u32) -> anyhow::Result<()> {
    let world = run.world;
    let push = world.story.push(stop)?;
    run.push(push, &world.story.folder(push)).await?;
    Ok(())
}

/// The push is built and trained, and a version registered.
async fn registered(run: &mut Run<'_>) -> anyhow::Result<u64> {
    let build = run.built().await?;
    run.check(
        build.status == "Succeeded",
        &format!("the build of the push: {} {}", build.status, build.said),
    );
    let training = run.trained().await?;
    let version = run
        .version()
        .with_context(|| format!("the training ended as {}", training.status))?;
    let threshold = observe::parameter(&run.world.cloud(), "AccuracyThreshold").context("no AccuracyThreshold")?;
    let accuracy = run.accuracy();
    run.check(
        accuracy > threshold,
        &format!("trained and registered as v{version} with accuracy {accuracy:.4}, above the threshold {threshold}"),
    );
    Ok(version)
}

/// The registered version beats the one that serves, and the gate says so.
fn beats(run: &mut Run<'_>, serving: &Serving) {
    let (mine, theirs) = (run.accuracy(), serving.accuracy);
    let gate = run.package().gate.unwrap_or_default();
    run.check(
        mine > theirs && gate.starts_with("held"),
        &format!(
            "the gate lets it pass: accuracy {mine:.4} against {theirs:.4} of v{} ({gate})",
            serving.version
        ),
    );
}

fn serving(tale: &Tale) -> anyhow::Result<Serving> {
    tale.serving
        .clone()
        .context("no version was seen to serve, so there is nothing to compare with")
}

/// Checks that what served before serves still.
async fn unchanged(run: &mut Run<'_>, before: &Serving) -> anyhow::Result<()> {
    let endpoint = run.in_service().await?;
    run.check(
        endpoint.config == before.config,
        &format!("the endpoint serves v{} still", before.version),
    );
    Ok(())
}

/// Stop 1.
async fn first(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    let world = run.world;
    world.traffic.count_for(run.place);
    let (push, folder) = world.story.first()?;
    run.push(&push, &folder).await?;
    let version = registered(run).await?;
    let link = run.asked().await?;

    let (status, page) = world.browser.get(&link).await?;
    let shown = String::from_utf8_lossy(&page).contains(&format!("v{version}"));
    // Time enough for a decision to show, if the page had made one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (package, approval) = (run.package(), run.approval());
    run.check(
        status.is_success() && shown && package.approval == "PendingManualApproval" && approval.status == "InProgress",
        &format!(
            "opening the link shows v{version} and decides nothing ({status}; {}; {})",
            package.approval, approval.status
        ),
    );

    run.decide(&link, Decision::Approved, "Good enough to start with")
        .await?;
    let package = run.ended(USUAL).await?;
    let endpoint = run.in_service().await?;
    run.release.strategy = Some("create".to_owned());
    let right_config = endpoint.config.starts_with(&world.names.config_prefix(version));
    run.check(
        package.approval == "Approved" && run.release.outcome == Outcome::Deployed && right_config,
        &format!(
            "{} in the registry, {}, served by {}",
            package.approval,
            run.release.outcome.as_str(),
            endpoint.config
        ),
    );
    world.traffic.flow(true);
    tale.serving = Some(Serving {
        release: run.place,
        version,
        accuracy: run.accuracy(),
        config: endpoint.config,
    });

    let (mut right, mut wrong) = (0_u32, 0_u32);
    for request in &world.story.requests {
        let prediction = world.traffic.ask(&request.body).await;
        let which = if prediction.is_ok_and(|label| label == request.label) {
            &mut right
        } else {
            &mut wrong
        };
        *which += 1;
    }
    let share = f64::from(right) / f64::from((right + wrong).max(1));
    run.check(
        share >= RIGHT_MIN,
        &format!("{right} of {} rows are predicted as they are labelled", right + wrong),
    );
    run.mail(&[&format!("{} v{version} deployed", world.names.model)])
        .await?;
    run.check(true, "a notice tells of the deployment");
    Ok(())
}

/// Stop 2.
async fn better(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    let world = run.world;
    let before = serving(tale)?;
    pushed(run, 2).await?;
    let version = registered(run).await?;
    let link = run.asked().await?;
    beats(run, &before);
    run.decide(&link, Decision::Approved, "Better in every respect").await?;
    run.ended(USUAL).await?;
    let endpoint = run.in_service().await?;
    run.release.strategy = endpoint.strategy.map(|strategy| strategy.as_str().to_owned());
    let right_config = endpoint.config.starts_with(&world.names.config_prefix(version));
    run.check(
        run.release.outcome == Outcome::Deployed && right_config,
        &format!("{}, served by {}", run.release.outcome.as_str(), endpoint.config),
    );

    as_expected(run, version, endpoint.strategy);

    let (old, new) = served(world, &before.config, &endpoint.config);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (old_later, new_later) = served(world, &before.config, &endpoint.config);
    run.check(
        old == old_later && new_later > new,
        &format!(
            "the old fleet answers nothing any more, the new one {} requests in a second",
            new_later - new
        ),
    );

    let count = world.traffic.count(run.place);
    run.check(
        count.failed == 0 && count.served > 0,
        &format!(
            "{} requests meanwhile, {} of them failed",
            count.served + count.failed,
            count.failed
        ),
    );
    run.mail(&[&format!("{} v{version} deployed", world.names.model)])
        .await?;
    run.check(true, "a notice tells of the deployment");
    tale.serving = Some(Serving {
        release: run.place,
        version,
        accuracy: run.accuracy(),
        config: endpoint.config,
    });
    Ok(())
}

/// Checks that the traffic shifted as the template's parameters have it.
fn as_expected(run: &mut Run<'_>, version: u64, strategy: Option<Strategy>) {
    let expected = &run.world.expected;
    let shares = run.shares(version);
    let baked = baked(&run.happenings(), &run.world.names.config_prefix(version)).unwrap_or_default();
    let ends = shares.iter().skip(1).map(|(time, _)| Some(*time)).chain([None]);
    let steps = shares.iter().zip(ends).map(|((begins, share), ends)| Step {
        share: *share,
        seconds: ends.map_or(baked, |ends| ends.duration_since(*begins).as_secs_f64()),
    });
    let steps: Vec<Step> = steps.collect();
    let alike = |(seen, asked): (&Step, &Step)| {
        // Instances that start may make a step longer, but nothing makes it shorter.
        (seen.share - asked.share).abs() < 1e-6 && seen.seconds >= asked.seconds - 0.1
    };
    let shifted = steps.len() == expected.steps.len() && steps.iter().zip(&expected.steps).all(alike);
    let (seen, asked) = (in_words(&steps), in_words(&expected.steps));
    let held = shifted && strategy == Some(expected.strategy);
    let by = strategy.map_or("no strategy", Strategy::as_str);
    let text = if held {
        format!("the traffic shifted as asked for, {by}: {seen}")
    } else {
        format!(
            "the traffic shifted by {by}: {seen}; it should be {}: {asked}",
            expected.strategy.as_str()
        )
    };
    let (last, asked) = (duration(baked), expected.last_seconds());
    let kept = match expected.strategy {
        _ if asked <= 0.0 => format!("the old fleet was kept for {last}: it goes at once"),
        Strategy::Rolling => format!(
            "the last batch was watched for {last}, of {} asked for",
            duration(asked)
        ),
        _ => format!(
            "it baked for {last} beside the old fleet, of {} asked for",
            duration(asked)
        ),
    };
    run.check(held, &text);
    run.check(baked >= asked && (baked > 0.0) == (asked > 0.0), &kept);
}

/// How many requests each of two configurations has answered, in whatever way.
fn served(world: &World<'_>, old: &str, new: &str) -> (u64, u64) {
    let cloud = world.cloud();
    let all = |config| {
        let (ok, failed) = cloud.served(config);
        ok + failed
    };
    (all(old), all(new))
}

/// How long the new fleet had all traffic before the old one was taken down, in virtual seconds.
fn baked(happenings: &[Happening], prefix: &str) -> Option<f64> {
    let of = |happening: &Happening, member: &str| {
        let value = happening.data.get(member).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    let phases = || {
        let phases = happenings
            .iter()
            .filter(|happening| happening.what == "deployment-phase");
        phases.filter(|happening| of(happening, "config").starts_with(prefix))
    };
    let first = phases().find(|happening| of(happening, "phase") == "Baking")?.time;
    let to = phases()
        .find(|happening| of(happening, "phase") == "Deleting" && happening.time >= first)?
        .time;
    // A canary is watched too before it gets the rest: the bake is the last time before the end.
    let watched = phases().filter(|happening| of(happening, "phase") == "Baking" && happening.time <= to);
    let from = watched.max_by_key(|happening| happening.time)?.time;
    Some(to.duration_since(from).as_secs_f64())
}

/// Stop 3.
async fn broken(run: &mut Run<'_>) -> anyhow::Result<()> {
    let world = run.world;
    let registry = || {
        let (mut cloud, model) = (world.cloud(), &world.names.model);
        (
            observe::versions(&mut cloud, model),
            observe::trainings(&mut cloud, model).len(),
        )
    };
    let before = registry();
    let config = run.serving_config();
    pushed(run, 3).await?;
    let build = run.built().await?;
    if build.status == "Failed" {
        run.release.outcome = Outcome::BuildFailed;
        run.release.reason.clone_from(&build.said);
    }
    run.check(
        build.status == "Failed",
        &format!("the build ended as {}: {}", build.status, build.said),
    );
    let notice = run.mail(&[&world.names.train(), "Build", "failed"]).await?;
    run.check(true, &format!("a notice tells {} of the failed build", notice.to));
    let after = registry();
    run.check(
        after == before,
        &format!("nothing was trained or registered: {} versions as before", after.0),
    );
    let serves = run.serving_config();
    run.check(serves == config, &format!("{serves} serves still"));
    Ok(())
}

/// Stop 4.
async fn below(run: &mut Run<'_>) -> anyhow::Result<()> {
    let world = run.world;
    let versions = observe::versions(&mut world.cloud(), &world.names.model);
    let config = run.serving_config();
    let threshold = observe::parameter(&world.cloud(), "AccuracyThreshold").context("no AccuracyThreshold")?;
    pushed(run, 4).await?;
    let build = run.built().await?;
    run.check(
        build.status == "Succeeded",
        &format!("the build of the push: {} {}", build.status, build.said),
    );
    let training = run.trained().await?;
    let accuracy = run.accuracy();
    let now = observe::versions(&mut world.cloud(), &world.names.model);
    run.check(
        accuracy <= threshold && training.package.is_none() && now == versions,
        &format!(
            "accuracy {accuracy:.4} is not above {threshold}: nothing was registered ({})",
            training.status
        ),
    );
    if accuracy <= threshold && training.package.is_none() {
        run.release.outcome = Outcome::GateNotMet;
    }
    let notice = run.mail(&[&format!("{} training failed", world.names.model)]).await?;
    run.release.reason = observe::item(&notice.body, "Reason").unwrap_or_default();
    run.check(
        observe::names_number(&notice.body, accuracy) && observe::names_number(&notice.body, threshold),
        &format!("the notice names both numbers: {}", run.release.reason),
    );
    let serves = run.serving_config();
    run.check(serves == config, &format!("{serves} serves still"));
    Ok(())
}

/// Stop 5.
async fn failing(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    let world = run.world;
    let before = serving(tale)?;
    let alarm = format!("{}-{ALARM}", world.names.model);
    pushed(run, 5).await?;
    let version = registered(run).await?;
    let link = run.asked().await?;
    beats(run, &before);
    run.decide(&link, Decision::Approved, "The best so far").await?;

    let back = taken_back(run, version).await;
    // Whatever becomes of it, from here on the version before is what is asked.
    world.traffic.count_for(before.release);
    let Back {
        endpoint,
        served,
        strategy,
    } = back?;
    run.release.strategy = strategy.map(|strategy| strategy.as_str().to_owned());
    run.ended(USUAL).await?;
    deployed_or_not(run, version, &before, served, &alarm).await?;
    run.check(
        strategy == Some(world.expected.strategy) && run.release.outcome == Outcome::RolledBack,
        &format!(
            "v{version}, which came by the strategy {}, is marked {} in the registry",
            strategy.map_or("none", Strategy::as_str),
            run.release.outcome.as_str()
        ),
    );
    run.check(
        endpoint.config.starts_with(&world.names.config_prefix(before.version)),
        &format!("the endpoint serves v{} again: {}", before.version, endpoint.config),
    );
    tale.serving = Some(Serving {
        config: endpoint.config,
        ..before.clone()
    });
    bounded(run, version, &alarm)?;
    let healthy = world.traffic.count(before.release);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = world.traffic.count(before.release);
    run.check(
        later.failed == healthy.failed && later.served > healthy.served,
        &format!("v{} answers everything again", before.version),
    );
    run.mail(&[&format!("{} v{version} rolled back", world.names.model)])
        .await?;
    run.check(true, "a notice tells of the rollback");
    Ok(())
}

/// What was seen while a version was taken back.
struct Back {
    /// The endpoint afterwards.
    endpoint: Endpoint,
    /// Whether the version's configuration ever was the endpoint's.
    served: bool,
    /// How the version came to the endpoint.
    strategy: Option<Strategy>,
}

/// Waits until the registry says that a version was rolled back, and the endpoint has come to rest without it.
async fn taken_back(run: &Run<'_>, version: u64) -> anyhow::Result<Back> {
    let (world, package) = (run.world, run.package.clone().unwrap_or_default());
    let (model, prefix) = (&world.names.model, world.names.config_prefix(version));
    let (mut served, mut strategy) = (false, None);
    // The endpoint is looked at all the time, not only at the end.
    let look = |cloud: &mut Cloud| {
        let endpoint = observe::endpoint(cloud, model)?;
        let serves = endpoint.config.starts_with(&prefix);
        served |= serves;
        let latest = endpoint.pending.as_ref().unwrap_or(&endpoint.config);
        if latest.starts_with(&prefix) {
            strategy = endpoint.strategy;
        }
        let rests = endpoint.status == "InService" && endpoint.pending.is_none();
        let outcome = observe::package(cloud, &package)?.outcome;
        let back = rests && !serves && outcome.as_deref() == Some(Outcome::RolledBack.as_str());
        back.then_some(endpoint)
    };
    let what = format!("v{version} is rolled-back in the registry, and another version serves");
    let limit = SignedDuration::from_secs_f64(world.expected.guard_minutes * 60.0) + USUAL;
    let endpoint = world.until(&what, limit, look).await?;
    Ok(Back {
        endpoint,
        served,
        strategy,
    })
}

/// Checks that a version that fails is not deployed where the rollout is watched, and is where it isn't.
async fn deployed_or_not(
    run: &mut Run<'_>,
    version: u64,
    before: &Serving,
    served: bool,
    alarm: &str,
) -> anyhow::Result<()> {
    let world = run.world;
    let release = world.names.release();
    let ended = |cloud: &mut Cloud| {
        let deploy = observe::action(cloud, &release, "Deploy");
        matches!(deploy.status.as_str(), "Succeeded" | "Failed").then_some(deploy)
    };
    let deploy = world.until("the stage Deploy has ended", USUAL, ended).await?;
    if world.expected.is_watched() {
        run.check(
            !served,
            &format!("v{} was the configuration of the endpoint throughout", before.version),
        );
        run.check(
            deploy.status == "Failed" && deploy.said.contains(alarm),
            &format!("the stage Deploy failed: {}", deploy.said),
        );
    } else {
        // The alarm may be faster than the stage, which then ends as rolled back.
        run.check(
            served,
            &format!(
                "nothing watches the rollout, so v{version} was deployed first; the stage Deploy: {}",
                deploy.said
            ),
        );
    }
    Ok(())
}

/// Checks that the alarm fired in time, and that no more requests failed than the strategy lets.
fn bounded(run: &mut Run<'_>, version: u64, alarm: &str) -> anyhow::Result<()> {
    let (world, expected) = (run.world, &run.world.expected);
    let shares = run.shares(version);
    let from = shares.first().context("the version never got traffic")?.0;
    let to = shares.last().filter(|(_, share)| *share <= 0.0);
    let to = to.context("the version has traffic still")?.0;
    let happenings = run.happenings();
    let fired = happenings.iter().find(|happening| {
        let fires = happening.data.get("state").and_then(|state| state.as_str()) == Some("ALARM");
        happening.service == "cloudwatch" && happening.subject == alarm && fires
    });
    let after = fired.map_or(f64::INFINITY, |alarm| alarm.time.duration_since(from).as_secs_f64());
    let (watched, by) = if expected.is_watched() {
        (expected.watched_seconds(), "the rollout is watched for")
    } else {
        (expected.guard_minutes * 60.0, "alarms count for after a deployment")
    };
    run.check(
        after <= watched,
        &format!(
            "the alarm {alarm} fired {} after v{version} got its first traffic, within the {} that {by}",
            duration(after),
            duration(watched)
        ),
    );

    let most = expected.share_after(after);
    let had = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    let (failed, all) = (world.traffic.count(run.place).failed, world.requests(from, to));
    let share = failed as f64 / all.max(1) as f64;
    // Requests that were under way when it began or ended may count on the wrong side.
    let bound = most * all as f64 + f64::from(WORKERS);
    let time = duration(to.duration_since(from).as_secs_f64());
    let why = if most < 1.0 {
        format!("no more than its {:.0} % of the traffic", most * 100.0)
    } else {
        "it had all the traffic, and only the time limits the harm".to_owned()
    };
    run.check(
        failed > 0 && failed as f64 <= bound && had <= most + 1e-6,
        &format!(
            "{failed} of {all} requests failed in the {time} that v{version} had traffic, {:.0} %: {why}",
            share * 100.0
        ),
    );
    Ok(())
}

/// Puts a file of new data, as whoever labels it does.
fn drop_off(world: &World<'_>, (name, content): (String, String)) -> anyhow::Result<()> {
    let (bucket, prefix) = (&world.names.bucket, &world.names.data_prefix);
    world
        .cloud()
        .put_object(bucket, &format!("{prefix}{name}"), Bytes::from(content))?;
    world
        .console
        .say(&format!("        {name} is put to s3://{bucket}/{prefix}"));
    Ok(())
}

/// Stop 6.
async fn data(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    let world = run.world;
    let before = serving(tale)?;
    let threshold = world.cloud().stack().parameters.get("DataThresholdObjects").cloned();
    let enough: usize = threshold
        .and_then(|threshold| threshold.parse().ok())
        .filter(|enough| *enough > 0)
        .context("no DataThresholdObjects to reach")?;
    let mut files = world.story.new_data(enough)?;
    let last = files.pop().context("there is no new data")?;
    let few = files.len();
    for file in files {
        drop_off(world, file)?;
    }
    if few > 0 {
        // The function has looked once it says what it found.
        let words = format!("{few} new objects, ");
        let looked = |happening: &Happening| {
            let reason = happening.data.get("reason").and_then(|reason| reason.as_str())?;
            let says = happening.subject == world.names.retrain() && happening.what == "logged";
            (says && reason.starts_with(&words)).then(|| reason.to_owned())
        };
        let what = format!("{} has counted {few} new objects", world.names.retrain());
        let reason = run.happened(&what, USUAL, looked).await?;
        run.check(!run.has_training(), &format!("too few for a training: {reason}"));
    }
    drop_off(world, last)?;
    let training = run.trained().await?;
    let version = run
        .version()
        .with_context(|| format!("the training ended as {}", training.status))?;
    run.check(
        training.trigger == "data" && training.new_objects == Some(enough as u64),
        &format!(
            "{} new objects alone made a training start, as its description says: v{version} with accuracy {:.4}",
            training.new_objects.unwrap_or_default(),
            run.accuracy()
        ),
    );
    let package = run.ended(USUAL).await?;
    run.check(
        run.release.outcome == Outcome::GateNotMet && package.approval == "Rejected",
        &format!("{}, {} in the registry", run.release.outcome.as_str(), package.approval),
    );
    let notice = run
        .mail(&[&format!("{} v{version} gate not met", world.names.model)])
        .await?;
    let verdict = observe::item(&notice.body, "Gate")
        .or_else(|| package.gate.clone())
        .unwrap_or_default();
    run.check(
        observe::names_number(&verdict, run.accuracy()) && observe::names_number(&verdict, before.accuracy),
        &format!("the reason names both numbers: {verdict}"),
    );
    run.release.reason = verdict;
    let asked = world
        .mails(run.mails)
        .iter()
        .any(|mail| mail.subject.contains("approve "));
    run.check(!asked, "nobody was asked to approve it");
    unchanged(run, &before).await
}

/// Stop 7, the first half.
async fn refused(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    const COMMENT: &str = "Ask the clinic about the units first";
    let before = serving(tale)?;
    pushed(run, 7).await?;
    let version = registered(run).await?;
    let link = run.asked().await?;
    beats(run, &before);
    run.decide(&link, Decision::Rejected, COMMENT).await?;
    let package = run.ended(USUAL).await?;
    let said = run.approval();
    run.check(
        package.approval == "Rejected" && run.release.outcome == Outcome::Rejected && said.status == "Failed",
        &format!(
            "v{version} is {} in the registry; the stage Approve: {}",
            package.approval, said.status
        ),
    );
    let notice = run
        .mail(&[&format!("{} v{version} rejected", run.world.names.model)])
        .await?;
    if run.release.reason.is_empty() {
        run.release.reason = format!("rejected: {COMMENT}");
    }
    run.check(notice.body.contains(COMMENT), "a notice has the approver's comment");
    unchanged(run, &before).await
}

/// Stop 7, the second half.
async fn unanswered(run: &mut Run<'_>, tale: &mut Tale) -> anyhow::Result<()> {
    let world = run.world;
    let before = serving(tale)?;
    pushed(run, 8).await?;
    let version = registered(run).await?;
    run.asked().await?;
    beats(run, &before);
    let minutes = observe::parameter(&world.cloud(), "ApprovalTimeoutMinutes").context("no ApprovalTimeoutMinutes")?;
    world.console.say(&format!(
        "        nobody answers; the clock runs {HURRY:.0} times as fast until {minutes:.0} minutes are over"
    ));

    // Requests at this speed would be few in a virtual minute, and slow ones.
    world.traffic.flow(false);
    let speed = world.running.speed();
    world.running.set_speed(speed * HURRY);
    let release = world.names.release();
    let limit = SignedDuration::from_secs_f64(minutes * 60.0) + USUAL;
    let waited = world.until("the approval has expired", limit, |cloud| {
        let approval = observe::action(cloud, &release, "Approve");
        (approval.status == "Failed").then_some(approval)
    });
    let waited = waited.await;
    world.running.set_speed(speed);
    world.traffic.flow(true);
    let approval = waited?;

    run.ended(USUAL).await?;
    if run.release.outcome == Outcome::Expired {
        run.release.decision = Some(Decision::Expired);
    }
    run.check(
        run.release.outcome == Outcome::Expired,
        &format!(
            "v{version}: {}; the stage Approve: {}",
            run.release.outcome.as_str(),
            approval.said
        ),
    );
    run.mail(&[&format!("{} v{version} expired", world.names.model)])
        .await?;
    run.check(true, "a notice tells that nobody decided");
    unchanged(run, &before).await
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_bake_is_measured_between_its_phases() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let phase = |seconds: i64, phase: &str, config: &str| Happening {
            time: start + SignedDuration::from_secs(seconds),
            service: "sagemaker",
            subject: "m".to_owned(),
            what: "deployment-phase",
            data: json!({"phase": phase, "config": config, "from": "m-v1-a"}),
        };
        let mut elsewhere = phase(5, "Baking", "m-v2-a");
        elsewhere.data = Value::Null;
        let cases = [
            (vec![], None),
            (vec![phase(10, "Baking", "m-v2-a")], None),
            (
                vec![phase(10, "Baking", "m-v1-a"), phase(20, "Deleting", "m-v1-a")],
                None,
            ),
            (
                vec![
                    elsewhere,
                    phase(10, "Baking", "m-v2-a"),
                    phase(190, "Deleting", "m-v2-a"),
                ],
                Some(180.0),
            ),
            // The canary's own watch is not the bake.
            (
                vec![
                    phase(10, "Baking", "m-v2-a"),
                    phase(310, "Baking", "m-v2-a"),
                    phase(490, "Deleting", "m-v2-a"),
                ],
                Some(180.0),
            ),
            // A fleet taken down before the bake is that of another try.
            (
                vec![
                    phase(5, "Deleting", "m-v2-a"),
                    phase(10, "Baking", "m-v2-a"),
                    phase(40, "Deleting", "m-v2-a"),
                ],
                Some(30.0),
            ),
        ];
        for (happenings, expected) in cases {
            assert_eq!(baked(&happenings, "m-v2-"), expected, "{happenings:?}");
        }
    }
}
