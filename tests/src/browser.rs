//! Headless Chromium, driven over WebDriver as a person drives it: by the mouse, the keyboard and what the page calls
//! its parts.
//!
//! A [`Browser`] is fantoccini's client, and what that lacks: the commands that WebDriver does not have, but chromedriver.

use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::driver::Driver;

/// Set to `required`, a browser that is not there fails the tests, which are skipped otherwise.
pub const BROWSER_VARIABLE: &str = "SIGNALBOX_BROWSER";

/// How long a page or a script may take, on a machine that does much else.
const WAIT: Duration = Duration::from_secs(120);

/// Chromium without anything but the page that is opened.
const ARGUMENTS: [&str; 5] = [
    "--headless=new",
    // The tests may run as root, where Chromium has no sandbox. It shows nothing but our own pages.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    // Whatever else is asked for is not found.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    // A pipe to chromedriver and no port: when that ends, the browser ends too.
    "--remote-debugging-pipe",
];

/// A browser with one tab. What it can't do, or not in time, is an error.
pub struct Browser {
    client: Client,
    /// Ends when it is dropped.
    _driver: Driver,
}

/// A part of the page, as a screen reader is told of it.
#[derive(Debug)]
pub struct Part {
    /// The role: `button`, `heading`.
    pub role: String,
    /// What it is called.
    pub name: String,
    /// The level of a heading.
    pub level: Option<u64>,
}

impl Browser {
    /// Starts it; none where there is no Chromium and none is required, which is told once.
    pub async fn start() -> Result<Option<Self>> {
        if !(installed("chromium") && installed("chromedriver")) {
            let missing = "chromium or chromedriver is not installed (apt-get install chromium chromium-driver)";
            let required = std::env::var(BROWSER_VARIABLE).is_ok_and(|word| word == "required");
            ensure!(!required, missing);
            static TOLD: Once = Once::new();
            // Not by a print, which the test harness would keep to itself.
            TOLD.call_once(|| drop(writeln!(std::io::stderr(), "skipped: {missing}")));
            return Ok(None);
        }
        let (driver, address) = Driver::start()?;
        let capabilities = json!({
            "timeouts": {"pageLoad": WAIT.as_millis(), "script": WAIT.as_millis()},
            "goog:chromeOptions": {"args": ARGUMENTS},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL", "driver": "ALL"},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(capabilities)?)
            .connect(&address)
            .await?;
        let browser = Self {
            client,
            _driver: driver,
        };
        browser.devtools("Audits.enable", json!({})).await?;
        Ok(Some(browser))
    }

    /// Calls a method of Chromium's DevTools protocol.
    pub async fn devtools(&self, method: &str, parameters: Value) -> Result<Value> {
        let body = json!({"cmd": method, "params": parameters});
        Ok(self.issue_cmd(Endpoint("goog/cdp/execute".into(), Some(body))).await?)
    }

    /// What a script returns. It runs from outside of the page: also where the page's scripts are off.
    pub async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.execute(script, Vec::new()).await?)
    }

    /// Does something that leads to another page, and waits until that is loaded.
    pub async fn lead<T>(&self, act: impl Future<Output = Result<T, CmdError>>) -> Result<()> {
        self.run("document.left = true").await?;
        act.await?;
        let end = Instant::now() + WAIT;
        let arrived = "return !document.left && document.readyState === 'complete'";
        // Between two pages a script may fail.
        while !self.run(arrived).await.is_ok_and(|arrived| arrived == true) {
            ensure!(Instant::now() < end, "no other page is loaded");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The parts of the page, as a screen reader is told of them.
    pub async fn parts(&self) -> Result<Vec<Part>> {
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await?;
        let text = |value: &Value, pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let level = |node: &Value| {
            let mut properties = node.get("properties")?.as_array()?.iter();
            let level = properties.find(|property| text(property, "/name") == "level")?;
            level.pointer("/value/value")?.as_u64()
        };
        let nodes = tree.get("nodes").and_then(Value::as_array).context("no nodes")?;
        let told = nodes.iter().filter(|node| node.get("ignored") != Some(&json!(true)));
        let parts = told.map(|node| Part {
            role: text(node, "/role/value"),
            name: text(node, "/name/value"),
            level: level(node),
        });
        Ok(parts.collect())
    }

    /// The one element to be used of which a screen reader is told this role and a name that begins so.
    pub async fn control(&self, role: &str, name: &str) -> Result<Element> {
        let (mut found, mut told) = (Vec::new(), Vec::new());
        let controls = Locator::Css("a, button, input, select, textarea");
        for element in self.find_all(controls).await? {
            let computed = |what| Endpoint(format!("element/{}/{what}", &*element.element_id()), None);
            let its_role = self.issue_cmd(computed("computedrole")).await?;
            let its_name = self.issue_cmd(computed("computedlabel")).await?;
            if its_role == role && its_name.as_str().is_some_and(|its| its.starts_with(name)) {
                found.push(element);
            }
            told.push((its_role, its_name));
        }
        let Ok([element]) = <[Element; 1]>::try_from(found) else {
            bail!("not one {role} called `{name}` in {told:?}");
        };
        Ok(element)
    }

    /// Clicks a button, and waits for the page that it leads to.
    pub async fn press(&self, button: &str) -> Result<()> {
        self.lead(self.control("button", button).await?.click()).await
    }

    /// Types into the text box that is labelled so.
    pub async fn type_into(&self, label: &str, text: &str) -> Result<()> {
        Ok(self.control("textbox", label).await?.send_keys(text).await?)
    }

    /// The text of the page.
    pub async fn text(&self) -> Result<String> {
        Ok(self.find(Locator::Css("body")).await?.text().await?)
    }

    /// What was logged under that type since this was last asked.
    async fn log(&self, kind: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Entry {
            message: String,
        }
        let body = json!({"type": kind});
        let entries = self.issue_cmd(Endpoint("se/log".into(), Some(body))).await?;
        let entries: Vec<Entry> = serde_json::from_value(entries)?;
        Ok(entries.into_iter().map(|entry| entry.message).collect())
    }

    /// What the browser complained of since this was last asked: console, exceptions, what the policy refused, and its
    /// own audits.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        // The audits are in no log but that of everything that chromedriver is told.
        let mut audits = self.log("driver").await?;
        audits.retain(|message| message.contains("Event: Audits.issueAdded"));
        Ok([self.log("browser").await?, audits].concat())
    }

    /// The addresses that the pages asked for since this was last asked.
    pub async fn asked(&self) -> Result<Vec<String>> {
        let events = self.log("performance").await?;
        let events: Vec<Value> = events
            .iter()
            .map(|event| serde_json::from_str(event))
            .collect::<Result<_, _>>()?;
        let address = |event: &Value| Some(event.pointer("/message/params/request/url")?.as_str()?.to_owned());
        Ok(events.iter().filter_map(address).collect())
    }

    /// Writes the whole page as `target/screenshots/NAME.png`, to be looked at.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", whole).await?;
        let picture = picture.get("data").and_then(Value::as_str).context("no picture")?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}.png")), BASE64_STANDARD.decode(picture)?)?;
        Ok(())
    }
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A command that the client does not know: its path below the session's, and what is sent there.
#[derive(Debug)]
struct Endpoint(String, Option<Value>);

impl WebDriverCompatibleCommand for Endpoint {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = self.1.as_ref().map(Value::to_string);
        (if body.is_some() { Method::POST } else { Method::GET }, body)
    }
}

/// Whether a program is found by the path.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
