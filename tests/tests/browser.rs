//! The approval page as people meet it: in a real browser, by the mouse and the keyboard, with the headers that it
//! really has.
//!
//! Without Chromium or its chromedriver these tests say so and hold; the project's check script installs and requires
//! them. What the page looked like is in `target/screenshots`.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use axum::http::Method;
use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::key::Key;
use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::candidate::Candidate;
use tests::site::Site;
use tests::snapshot;
use tests::world::World;

/// A metric whose name has no place to break it.
const LONG_METRIC: &str = "macro_averaged_area_under_the_precision_recall_curve_at_fixed_specificity_of_0_95";

/// Releases a version of that accuracy.
fn release(world: &mut World, version: u32, accuracy: f64) {
    let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(version, "deployed").unwrap();
}

/// A world in which version 2 serves, and two people are asked about version 3.
fn asked() -> World {
    asked_with(&[])
}

fn asked_with(parameters: &[(&str, &str)]) -> World {
    let mut world = World::with_parameters(1, parameters).unwrap();
    release(&mut world, 1, 0.88);
    release(&mut world, 2, 0.91);
    let report = format!(r#"{{"metrics": {{"accuracy": 0.95, "f1": 0.94, "{LONG_METRIC}": 0.5}}}}"#);
    world
        .propose(&Candidate {
            report,
            ..Candidate::of_accuracy(0.95)
        })
        .unwrap();
    world
}

/// A site on which version 3 waits, with the link of its last mail, and a browser; none where there is no browser.
async fn waiting() -> Option<(Browser, Site, String)> {
    let browser = Browser::start().await.unwrap()?;
    let site = Site::open(|| Ok(asked())).unwrap();
    let link = site.world(|world| world.approval_links().pop().unwrap()).unwrap();
    let address = site.address(&link);
    Some((browser, site, address))
}

/// How the registry and the release pipeline have version 3.
fn standing(site: &Site) -> (Value, Value) {
    site.world(|world| {
        let name = json!({"name": format!("{}-release", world.model())});
        let state = world.call(Service::CodePipeline, "GetPipelineState", &name).unwrap();
        (world.package(3).unwrap(), state)
    })
    .unwrap()
}

/// Everything that the services tell.
fn told(site: &Site) -> Value {
    site.world(|world| snapshot::of(world).unwrap()).unwrap()
}

fn member<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The page asks nobody for anything.
async fn no_form(browser: &Browser) {
    assert_eq!(browser.run("return document.forms.length").await.unwrap(), json!(0));
    let asks = |role: &str| ["button", "textbox", "link"].contains(&role);
    let parts = browser.parts().await.unwrap();
    assert!(!parts.iter().any(|part| asks(&part.role)), "{parts:#?}");
}

/// The page's heading of the first level.
async fn heading(browser: &Browser) -> String {
    let parts = browser.parts().await.unwrap();
    let headings: Vec<_> = parts
        .iter()
        .filter(|part| part.role == "heading" && part.level == Some(1))
        .collect();
    assert_eq!(headings.len(), 1, "{parts:#?}");
    headings.first().map(|part| part.name.clone()).unwrap_or_default()
}

/// The browser complained of nothing, and asked nobody but the site for anything.
async fn clean(browser: &Browser, site: &Site) {
    let complaints = browser.complaints().await.unwrap();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let asked = browser.asked().await.unwrap();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|address| address.starts_with(site.origin())),
        "{asked:#?}"
    );
}

#[tokio::test]
async fn a_click_approves_and_the_version_is_deployed() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    browser.screenshot("review").await.unwrap();
    assert!(heading(&browser).await.contains("v3"));
    browser.type_into("Comment", "Better on Sundays, too").await.unwrap();
    browser.press("Approve").await.unwrap();
    browser.screenshot("approved").await.unwrap();
    assert!(heading(&browser).await.contains("approved"));
    assert!(browser.text().await.unwrap().contains("Better on Sundays, too"));
    no_form(&browser).await;
    clean(&browser, &site).await;
    assert_eq!(site.requests(&Method::POST), 1);

    site.world(|world| world.until_outcome(3, "deployed").unwrap()).unwrap();
    assert_eq!(site.world(|world| world.serving()).unwrap(), Some(3));
    let (package, _) = standing(&site);
    assert_eq!(member(&package, "ModelApprovalStatus"), "Approved");
    assert!(member(&package, "ApprovalDescription").contains("Better on Sundays, too"));
}

#[tokio::test]
async fn a_version_that_nobody_pushed_says_why_it_was_trained() {
    let Some(browser) = Browser::start().await.unwrap() else {
        return;
    };
    let retrained = || {
        let mut world = World::with_parameters(1, &[("GateExpression", "true")]).unwrap();
        release(&mut world, 1, 0.88);
        world.run_for(SignedDuration::from_hours(1)).unwrap();
        world.set_alarm("tumour-drift", "ALARM").unwrap();
        let asked = |world: &World| {
            world
                .subjects()
                .iter()
                .any(|subject| subject.contains("approve tumour v2?"))
        };
        world.run_until(2, "the question about v2", asked).unwrap();
        Ok(world)
    };
    let site = Site::open(retrained).unwrap();
    let link = site.world(|world| world.approval_links().pop().unwrap()).unwrap();
    browser.goto(&site.address(&link)).await.unwrap();
    browser.screenshot("retrained").await.unwrap();
    let text = browser.text().await.unwrap();
    for words in [
        "an alarm on drift, quality or bias (tumour-drift",
        "New data",
        "v1 served then",
        "Try number 1",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    clean(&browser, &site).await;
}

#[tokio::test]
async fn a_click_rejects() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    browser
        .type_into("Comment", "Worse for <new> customers\n& old ones")
        .await
        .unwrap();
    browser.press("Reject").await.unwrap();
    browser.screenshot("rejected").await.unwrap();
    assert!(heading(&browser).await.contains("rejected"));
    let text = browser.text().await.unwrap();
    assert!(text.contains("Worse for <new> customers\n& old ones"), "{text}");
    no_form(&browser).await;
    clean(&browser, &site).await;
    site.world(|world| world.until_outcome(3, "rejected").unwrap()).unwrap();
    assert_eq!(site.world(|world| world.serving()).unwrap(), Some(2));
}

#[tokio::test]
async fn the_keyboard_alone_decides() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    let keys = async |keys: &str| browser.active_element().await?.send_keys(keys).await;
    let tab_to = async |tag: &str| {
        for _ in 0..10 {
            keys(&Key::Tab).await.unwrap();
            let focused = browser.active_element().await.unwrap();
            if focused.tag_name().await.unwrap() == tag {
                return;
            }
        }
        panic!("no {tag} takes the focus");
    };
    tab_to("textarea").await;
    keys("typed").await.unwrap();
    tab_to("button").await;
    browser.screenshot("focus").await.unwrap();
    browser.lead(keys(&Key::Enter)).await.unwrap();
    assert!(heading(&browser).await.contains("approved"));
    let (package, _) = standing(&site);
    assert!(member(&package, "ApprovalDescription").contains("typed"), "{package:#}");
}

#[tokio::test]
async fn a_link_whose_time_is_over_is_refused() {
    let Some(browser) = Browser::start().await.unwrap() else {
        return;
    };
    let site = Site::open(|| Ok(asked_with(&[("ApprovalTimeoutMinutes", "30")]))).unwrap();
    let link = site.world(|world| world.approval_links().pop().unwrap()).unwrap();
    site.world(|world| world.run_for(SignedDuration::from_mins(45)).unwrap())
        .unwrap();
    let before = told(&site);
    browser.goto(&site.address(&link)).await.unwrap();
    browser.screenshot("expired").await.unwrap();
    assert!(browser.text().await.unwrap().contains("expired"));
    no_form(&browser).await;
    assert_eq!(told(&site), before);
}

#[tokio::test]
async fn after_a_decision_the_page_says_whose_it_was() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    let other = site
        .world(|world| {
            let links = world.approval_links();
            let other = links.get(links.len() - 2).cloned().unwrap();
            world.decide(&other, "reject", "not on a Friday").unwrap();
            other
        })
        .unwrap();
    assert_ne!(site.address(&other), address, "each person has a link of their own");
    let decided = standing(&site);
    browser.goto(&address).await.unwrap();
    browser.screenshot("decided-by-another").await.unwrap();
    let text = browser.text().await.unwrap();
    assert!(text.contains("lead@example.com"), "{text}");
    assert!(
        text.contains("not on a Friday") && heading(&browser).await.contains("rejected"),
        "{text}"
    );
    no_form(&browser).await;
    assert_eq!(standing(&site), decided);
}

#[tokio::test]
async fn after_a_decision_in_the_registry_the_page_says_so() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    site.world(|world| {
        let arn = world.package(3).unwrap().get("ModelPackageArn").cloned();
        let update =
            json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "in Studio"});
        world.call(Service::SageMaker, "UpdateModelPackage", &update).unwrap();
        world.run_for(SignedDuration::from_mins(1)).unwrap();
    })
    .unwrap();
    browser.goto(&address).await.unwrap();
    browser.screenshot("decided-in-the-registry").await.unwrap();
    let text = browser.text().await.unwrap();
    assert!(text.contains("registry") && text.contains("in Studio"), "{text}");
    no_form(&browser).await;
}

#[tokio::test]
async fn a_double_click_and_a_form_that_is_sent_again_are_one_decision() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    let element = browser.control("button", "Approve").await.unwrap();
    let into_view = vec![serde_json::to_value(&element).unwrap()];
    browser
        .execute("arguments[0].scrollIntoView()", into_view)
        .await
        .unwrap();
    let (duration, x, y, button) = (None, 0.0, 0.0, MOUSE_BUTTON_LEFT);
    let mut mouse = MouseActions::new("mouse".to_owned()).then(PointerAction::MoveToElement {
        element,
        duration,
        x,
        y,
    });
    for _ in 0..2 {
        mouse = mouse
            .then(PointerAction::Down { button })
            .then(PointerAction::Up { button });
    }
    browser.lead(browser.perform_actions(mouse)).await.unwrap();
    assert!(heading(&browser).await.contains("approved"));
    let decided = standing(&site);
    let sent = site.requests(&Method::POST);
    assert!(sent >= 1);

    // As one does who is not sure that it worked. The browser sends the form again.
    browser.refresh().await.unwrap();
    assert_eq!(site.requests(&Method::POST), sent + 1);
    assert!(heading(&browser).await.contains("approved"));
    // Nothing is kept, so going back asks again, and there is nothing left to press.
    browser.back().await.unwrap();
    assert!(heading(&browser).await.contains("approved"));
    no_form(&browser).await;
    assert_eq!(standing(&site), decided);

    site.world(|world| world.until_outcome(3, "deployed").unwrap()).unwrap();
    let releases = site
        .world(|world| {
            let name = json!({"pipelineName": format!("{}-release", world.model())});
            world
                .call(Service::CodePipeline, "ListPipelineExecutions", &name)
                .unwrap()
        })
        .unwrap();
    let releases = releases.get("pipelineExecutionSummaries").and_then(Value::as_array);
    assert_eq!(releases.map(Vec::len), Some(3), "{releases:#?}");
}

#[tokio::test]
async fn the_page_needs_no_javascript() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    let disabled = json!({"value": true});
    browser
        .devtools("Emulation.setScriptExecutionDisabled", disabled)
        .await
        .unwrap();
    browser.goto(&address).await.unwrap();
    browser.type_into("Comment", "without scripts").await.unwrap();
    browser.press("Approve").await.unwrap();
    assert!(heading(&browser).await.contains("approved"));
    site.world(|world| world.until_outcome(3, "deployed").unwrap()).unwrap();

    let back = site.world(|world| world.take_back_links().pop().unwrap()).unwrap();
    browser.goto(&site.address(&back)).await.unwrap();
    browser.type_into("Reason", "too slow by half").await.unwrap();
    browser.press("Take").await.unwrap();
    assert!(browser.text().await.unwrap().contains("too slow by half"));
    clean(&browser, &site).await;
    site.world(|world| {
        let before = |world: &World| world.serving() == Some(2);
        world.run_until(12, "the version before", before).unwrap();
    })
    .unwrap();
}

#[tokio::test]
async fn a_deployed_version_is_taken_back_by_a_click() {
    let Some(browser) = Browser::start().await.unwrap() else {
        return;
    };
    let site = Site::open(|| Ok(asked())).unwrap();
    let back = site.world(|world| world.take_back_links().pop().unwrap()).unwrap();
    browser.goto(&site.address(&back)).await.unwrap();
    browser.screenshot("take-back").await.unwrap();
    assert!(heading(&browser).await.contains("v2"));
    browser.press("Take").await.unwrap();
    browser.screenshot("taken-back").await.unwrap();
    no_form(&browser).await;
    clean(&browser, &site).await;
    site.world(|world| world.until_outcome(2, "rolled-back").unwrap())
        .unwrap();
    assert_eq!(site.world(|world| world.serving()).unwrap(), Some(1));
}

#[tokio::test]
async fn a_phone_shows_all_of_it() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    let phone = json!({"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true});
    browser
        .devtools("Emulation.setDeviceMetricsOverride", phone)
        .await
        .unwrap();
    let fits = async |name: &str| {
        browser.screenshot(&format!("phone-{name}")).await.unwrap();
        let width = "return [document.documentElement.scrollWidth, window.innerWidth]";
        // A phone that shows a page which is too wide makes its own width seem larger.
        assert_eq!(browser.run(width).await.unwrap(), json!([320, 320]), "{name}");
        let heights =
            "return [...document.querySelectorAll('button')].map(button => button.getBoundingClientRect().height)";
        let heights: Vec<f64> = serde_json::from_value(browser.run(heights).await.unwrap()).unwrap();
        assert!(heights.iter().all(|height| *height >= 44.0), "{name}: {heights:?}");
        heights.len()
    };
    browser.goto(&address).await.unwrap();
    assert!(browser.text().await.unwrap().contains(LONG_METRIC));
    assert_eq!(fits("review").await, 2);
    let back = site.world(|world| world.take_back_links().pop().unwrap()).unwrap();
    browser.goto(&site.address(&back)).await.unwrap();
    assert_eq!(fits("take-back").await, 1);
    browser.goto(&format!("{}x", site.address(&back))).await.unwrap();
    assert_eq!(fits("invalid").await, 0);
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.devtools("Emulation.setEmulatedMedia", dark).await.unwrap();
    browser.goto(&address).await.unwrap();
    fits("dark").await;
    browser.type_into("Comment", &"long".repeat(90)).await.unwrap();
    browser.press("Approve").await.unwrap();
    assert_eq!(fits("approved").await, 0);
}

#[tokio::test]
async fn a_screen_reader_is_told_all_of_it() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    assert!(!heading(&browser).await.is_empty());
    assert_eq!(
        browser.run("return document.documentElement.lang").await.unwrap(),
        json!("en")
    );
    let parts = browser.parts().await.unwrap();
    let names = |role: &str| -> Vec<&str> {
        let parts = parts.iter().filter(|part| part.role == role);
        parts.map(|part| part.name.as_str()).collect()
    };
    assert_eq!(names("main").len(), 1, "{parts:#?}");
    let tables = names("table");
    assert!(tables.len() == 1 && tables != [""], "{tables:?}");
    let columns = names("columnheader");
    assert!(
        columns.len() >= 4 && columns.iter().all(|name| !name.is_empty()),
        "{columns:?}"
    );
    for version in ["v3", "v2"] {
        assert!(columns.iter().any(|name| name.contains(version)), "{columns:?}");
    }
    assert!(names("rowheader").contains(&"accuracy"), "{parts:#?}");
    for chart in names("image") {
        assert!(chart.contains("v3"), "a chart is read as its numbers: {chart}");
    }
    assert!(names("textbox").iter().all(|name| name.contains("Comment")));
    let buttons = names("button");
    assert_eq!(buttons.len(), 2, "{buttons:?}");
    assert!(
        buttons
            .iter()
            .any(|name| name.contains("Approve") && name.contains("v3"))
    );
    assert!(buttons.iter().any(|name| name.contains("Reject")));
    clean(&browser, &site).await;
}

#[tokio::test]
async fn the_policy_refuses_what_the_page_does_not_have() {
    let Some((browser, site, address)) = waiting().await else {
        return;
    };
    browser.goto(&address).await.unwrap();
    clean(&browser, &site).await;
    // What an injection would try. Were it let through, or not complained of, the other tests would prove less.
    let inject = "
        window.ran = [];
        const script = document.createElement('script');
        script.textContent = 'window.ran.push(1)';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', `
            <img id=image src='/image.png' onerror='window.ran.push(2)'>
            <p id=styled style='color: red'>x</p>
            <form id=away action='http://127.0.0.1:9/' method=post></form>`);
        document.getElementById('away').submit();
        return new Promise(resolve => setTimeout(resolve, 500))";
    browser.run(inject).await.unwrap();
    assert_eq!(browser.run("return window.ran").await.unwrap(), json!([]));
    let colour = browser
        .run("return getComputedStyle(document.getElementById('styled')).color")
        .await
        .unwrap();
    assert_ne!(colour, json!("rgb(255, 0, 0)"));
    assert!(heading(&browser).await.contains("v3"), "nothing was sent away");
    let complaints = browser.complaints().await.unwrap();
    // The console and the audits each tell of script, image, style and form.
    for told in ["violates the following Content Security Policy", "violatedDirective"] {
        let count = complaints.iter().filter(|complaint| complaint.contains(told)).count();
        assert!(count >= 4, "{told}: {complaints:#?}");
    }
    assert_eq!(site.requests(&Method::POST), 0);
}

#[tokio::test]
async fn a_scanner_that_renders_every_link_decides_nothing() {
    let Some(browser) = Browser::start().await.unwrap() else {
        return;
    };
    let site = Site::open(|| Ok(asked())).unwrap();
    let links = site
        .world(|world| [world.approval_links(), world.take_back_links()].concat())
        .unwrap();
    let before = told(&site);
    for link in links {
        browser.goto(&site.address(&link)).await.unwrap();
        let look = "return new Promise(resolve => setTimeout(resolve, 300)).then(() =>
            [...document.forms].map(form => [form.method, form.action, [...form.elements].map(element => element.name)]))";
        let forms = browser.run(look).await.unwrap();
        let forms = forms.as_array().unwrap();
        assert!(
            forms.iter().all(|form| form.get(0) == Some(&json!("post"))),
            "{forms:#?}"
        );
    }
    assert_eq!(site.requests(&Method::POST), 0);
    clean(&browser, &site).await;
    assert!(told(&site) == before, "something was changed");
}

#[tokio::test]
async fn a_scanner_that_sends_every_form_by_get_decides_nothing() {
    let Some(browser) = Browser::start().await.unwrap() else {
        return;
    };
    let site = Site::open(|| Ok(asked())).unwrap();
    let links = site
        .world(|world| [world.approval_links(), world.take_back_links()].concat())
        .unwrap();
    let before = told(&site);
    let mut sent = 0;
    for link in links {
        browser.goto(&site.address(&link)).await.unwrap();
        let buttons = browser
            .run("return document.forms[0]?.querySelectorAll('button').length ?? 0")
            .await
            .unwrap();
        for button in 0..buttons.as_u64().unwrap() {
            // The fields take the place of the query; so once with the claims among the fields, too.
            for keep in [false, true] {
                browser.goto(&site.address(&link)).await.unwrap();
                let send = format!(
                    "const form = document.forms[0];
                    form.method = 'get';
                    if ({keep}) for (const [name, value] of new URLSearchParams(location.search)) {{
                        const field = document.createElement('input');
                        Object.assign(field, {{type: 'hidden', name, value}});
                        form.append(field);
                    }}
                    form.requestSubmit(form.querySelectorAll('button')[{button}])"
                );
                browser.lead(browser.execute(&send, Vec::new())).await.unwrap();
                sent += 1;
                let there = browser.run("return location.search").await.unwrap();
                assert!(there.as_str().unwrap().contains("decision="), "{there}");
            }
        }
    }
    assert!(sent >= 10, "two forms of two buttons and one of one: {sent}");
    assert_eq!(site.requests(&Method::POST), 0);
    assert!(told(&site) == before, "something was changed");
}
