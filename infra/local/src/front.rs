//! The HTTP front end: the stack on one port of 127.0.0.1, in (scaled) real time.
//!
//! It gives the core the time, does what the core wants done, and reports what came of it. The core is behind one lock that is
//! never held over an `await`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::binaries;
use crate::cloud::effect::{Effect, EffectId, InvocationOutcome, Invoke};
use crate::cloud::{Cloud, Happening};
use crate::drop_folder::{self, DropFolder};
use crate::git::{Change, Repositories};
use crate::jobs::{self, Bench};
use crate::processes::fleet::Fleet;
use crate::processes::functions::{Functions, Logged, Program};
use crate::processes::{Warden, lock};
use crate::server;
use crate::template::{Stack, Target};

mod clock;
mod package;

use self::clock::Clock;

/// The account that the stack is deployed in.
pub const ACCOUNT: &str = "123456789012";

/// The region that the stack is deployed in.
pub const REGION: &str = "eu-west-1";

/// The stack's name.
pub const STACK: &str = "signalbox";

/// Where the template is in the workspace; its paths are relative to it.
const TEMPLATE_FOLDER: &str = "infra";

/// The longest sleep of the clock's task: a timer far away is looked at again after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// How to run the local cloud.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Virtual seconds in a second.
    pub speed: f64,
    /// What ids and choices follow from.
    pub seed: u64,
    /// Where the git repository is kept, below `git/`, and the training data is taken from, below `data/`. Without it both end with
    /// the run.
    pub data: Option<PathBuf>,
}

/// Where training data is put, and how much of it starts a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The folder on this machine: what is copied into it is put.
    pub folder: PathBuf,
    /// The bucket that its files appear in.
    pub bucket: String,
    /// Below which prefix.
    pub prefix: String,
    /// How many new objects start a training; 0 if their number starts none.
    pub threshold_objects: u64,
    /// How many bytes of new objects do; 0 if they start none.
    pub threshold_bytes: u64,
}

/// The local cloud, running. Dropping it ends its processes at once; [`stop`](Self::stop) waits for them.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    driver: tokio::task::JoinHandle<()>,
    server: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
    workspace: PathBuf,
    data: Option<Data>,
    ready_in: Duration,
}

/// What the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    cloud: Mutex<Cloud>,
    clock: Mutex<Clock>,
    /// There may be something to do.
    wake: Notify,
    happenings: Mutex<Vec<Happening>>,
    /// Who waits for what comes of an invocation.
    waiting: Mutex<BTreeMap<EffectId, oneshot::Sender<InvocationOutcome>>>,
    tasks: Mutex<JoinSet<()>>,
    bench: Arc<Bench>,
    /// The functions' programs by name.
    programs: BTreeMap<String, Program>,
    pub(crate) functions: Functions,
    pub(crate) fleet: Fleet,
    pub(crate) repositories: Repositories,
    base_url: String,
}

/// One entry of a parameter file, as CloudFormation has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ParameterEntry {
    parameter_key: String,
    parameter_value: String,
}

/// Reads a file of template parameters: a JSON list of `{"ParameterKey": …, "ParameterValue": …}`.
///
/// # Errors
/// Where the file can't be read or is none.
pub fn read_parameters(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let entries: Vec<ParameterEntry> = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no list of {{\"ParameterKey\", \"ParameterValue\"}}",
            path.display()
        )
    })?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.parameter_key, entry.parameter_value))
        .collect())
}

/// The parameters that the repository brings along for the local cloud.
///
/// # Errors
/// Where their file can't be read or is none.
pub fn default_parameters(workspace: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    read_parameters(&workspace.join("infra/parameters/local.json"))
}

/// Deploys the stack without running anything of it.
///
/// # Errors
/// Where the template can't be read or deployed.
pub fn deploy(
    workspace: &Path,
    parameters: &BTreeMap<String, String>,
    base_url: &str,
    seed: u64,
) -> anyhow::Result<Cloud> {
    let (stack, target) = load(workspace, parameters, base_url)?;
    let code = package::code(&stack, &workspace.join(TEMPLATE_FOLDER))?;
    Ok(Cloud::deploy_with_code(stack, target, Timestamp::now(), seed, code)?)
}

/// Whether the template has a parameter of that name.
///
/// # Errors
/// Where the template can't be read.
pub fn has_parameter(workspace: &Path, name: &str) -> anyhow::Result<bool> {
    Ok(Stack::declares(&template(workspace)?, name)?)
}

fn template(workspace: &Path) -> anyhow::Result<String> {
    let path = workspace.join(TEMPLATE_FOLDER).join("template.yaml");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn load(workspace: &Path, parameters: &BTreeMap<String, String>, base_url: &str) -> anyhow::Result<(Stack, Target)> {
    let template = template(workspace)?;
    let target = Target {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        stack_name: STACK.to_owned(),
        base_url: base_url.to_owned(),
    };
    Ok((Stack::load(&template, parameters, &target)?, target))
}

/// What a run needs before its stack is deployed.
#[derive(Debug)]
struct Ground {
    /// The run's own folder, which goes with it.
    folder: tempfile::TempDir,
    repositories: Repositories,
}

impl Ground {
    async fn prepare(stack: &Stack, options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        fs::create_dir(folder.path().join("logs"))?;
        let git = match &options.data {
            Some(data) => std::path::absolute(data)?.join("git"),
            None => folder.path().join("git"),
        };
        let repositories = Repositories::open(git, repository_names(stack)).await?;
        Ok(Self { folder, repositories })
    }
}

impl Running {
    /// Starts the local cloud with these parameters of the template. `progress` is told what is being done.
    ///
    /// # Errors
    /// Where a tool is missing, a function can't be built, the template can't be deployed or the port is taken.
    pub async fn start(
        options: Options,
        parameters: &BTreeMap<String, String>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        clock::check_speed(options.speed).map_err(anyhow::Error::msg)?;
        let workspace = binaries::workspace()?;
        binaries::check_git()?;
        let python = binaries::python()?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port))
            .await
            .with_context(|| {
                format!(
                    "port {} of 127.0.0.1 can't be had; choose another with --port, 0 for any",
                    options.port
                )
            })?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let (stack, target) = load(&workspace, parameters, &base_url)?;

        let names = function_binaries(&stack);
        let before_build = Instant::now();
        let built = binaries::find(&workspace, &names, progress).await?;
        let building = before_build.elapsed();

        progress("deploying the stack");
        let ground = Ground::prepare(&stack, &options).await?;
        let code = package::commit(&stack, &workspace.join(TEMPLATE_FOLDER), &ground.repositories).await?;
        let cloud = Cloud::deploy_with_code(stack, target, Timestamp::now(), options.seed, code)?;
        let mut running = Self::run(cloud, ground, listener, &built, python, workspace, &options).await?;
        running.open_data(options.data.as_deref())?;
        let standing = running.shared.repositories.standing().await?;
        running.shared.push(standing);
        running.ready_in = started.elapsed().saturating_sub(building);
        Ok(running)
    }

    /// Runs a deployed cloud.
    async fn run(
        cloud: Cloud,
        ground: Ground,
        listener: tokio::net::TcpListener,
        built: &BTreeMap<String, PathBuf>,
        python: PathBuf,
        workspace: PathBuf,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let Ground { folder, repositories } = ground;
        let mut programs = BTreeMap::new();
        for function in cloud.functions() {
            let binary = built.get(&function.binary);
            let binary = binary.with_context(|| format!("the function {} has no binary", function.name))?;
            let environment = cloud.function_environment(&function.name).unwrap_or_default();
            let program = Program {
                command: vec![binary.clone()],
                arn: format!(
                    "arn:aws:lambda:{}:{}:function:{}",
                    cloud.target().region,
                    cloud.target().account,
                    function.name
                ),
                environment,
            };
            programs.insert(function.name, program);
        }
        let (stop, stopping) = watch::channel(false);
        let (tell, logged) = mpsc::unbounded_channel();
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            clock: Mutex::new(Clock::new(cloud.now(), Instant::now(), options.speed)),
            base_url: cloud.target().base_url.clone(),
            cloud: Mutex::new(cloud),
            wake: Notify::new(),
            happenings: Mutex::default(),
            waiting: Mutex::default(),
            tasks: Mutex::default(),
            bench: Arc::new(Bench {
                warden: Warden::start().context("cannot run sh")?,
                stopping: stopping.clone(),
                folder: folder.path().to_owned(),
                python,
            }),
            programs,
            functions: Functions::new(address, tell),
            fleet: Fleet::new(),
            repositories,
        });
        tokio::spawn(read_logs(Arc::clone(&shared), logged, stopping.clone()));
        Ok(Self {
            driver: tokio::spawn(drive(Arc::clone(&shared), stopping)),
            server: tokio::spawn(server::serve(Arc::clone(&shared), listener)),
            shared,
            stop,
            folder,
            workspace,
            data: None,
            ready_in: Duration::ZERO,
        })
    }

    /// Puts what is in the folder for training data, and from then on what is copied into it. A folder that is not there yet begins
    /// with the sample data set.
    fn open_data(&mut self, kept: Option<&Path>) -> anyhow::Result<()> {
        let folder = std::path::absolute(kept.unwrap_or(self.folder.path()))?.join("data");
        let Some(data) = self.shared.with(|cloud| data(cloud, folder)) else {
            bail!("the stack has no function that knows where the training data is");
        };
        let shown = data.folder.display();
        if !data.folder.is_dir() {
            let sample = self.workspace.join("infra/model-repository/data");
            copy_sample(&sample, &data.folder).with_context(|| format!("cannot put the sample data set to {shown}"))?;
        }
        let mut known = DropFolder::new(&data.prefix);
        let found = drop_folder::find(&data.folder).with_context(|| format!("cannot read {shown}"))?;
        let dropped = drop_folder::take(&mut known, &data.folder, found, true);
        for (path, reason) in &dropped.refused {
            eprintln!("{path} is not taken: {reason}");
        }
        self.shared.with(|cloud| {
            for (key, content) in dropped.objects {
                cloud.put_object(&data.bucket, &key, content)?;
            }
            Ok::<_, crate::cloud::ApiError>(())
        })?;
        tokio::spawn(watch_data(
            Arc::clone(&self.shared),
            data.clone(),
            known,
            self.stop.subscribe(),
        ));
        self.data = Some(data);
        Ok(())
    }

    /// Where training data is put. A stack without a function that looks for it has none.
    #[must_use]
    pub fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }

    /// Where everything is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// The workspace that the template was read from.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The folder with the run's logs. It goes when the run ends.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// How long the start took, without the building of the functions.
    #[must_use]
    pub fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// The names of the repositories, each of which is at `BASE/git/NAME`.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        repository_names(lock(&self.shared.cloud).stack())
    }

    /// The core, at the current time. It is locked for as long as this is held: nothing goes on meanwhile.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.shared.cloud()
    }

    /// Sets how many virtual seconds a second has. What makes no sense changes nothing.
    pub fn set_speed(&self, speed: f64) {
        if clock::check_speed(speed).is_ok() {
            lock(&self.shared.clock).set_speed(speed, Instant::now());
            self.shared.wake.notify_one();
        }
    }

    /// How many virtual seconds a second has.
    #[must_use]
    pub fn speed(&self) -> f64 {
        lock(&self.shared.clock).speed()
    }

    /// What has happened so far, from the index on.
    #[must_use]
    pub fn happenings(&self, from: usize) -> Vec<Happening> {
        // Those that the driver has not seen yet, too; under the cloud's lock, as there.
        let mut cloud = self.shared.cloud();
        let mut all = lock(&self.shared.happenings);
        all.extend(cloud.take_happenings());
        all.get(from..).unwrap_or_default().to_vec()
    }

    /// Ends every process and waits until they are gone.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        let ends = async { while tasks.join_next().await.is_some() {} };
        // A task that hangs is cut off; the warden kills what it ran.
        let _ = tokio::time::timeout(Duration::from_secs(12), ends).await;
        drop(tasks);
        let _ = (&mut self.driver).await;
        self.shared.bench.warden.finish().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.server.abort();
        self.shared.bench.warden.close();
    }
}

impl Shared {
    /// The core at the current time. Whatever is done to it, the driver looks at it afterwards.
    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        let mut cloud = lock(&self.cloud);
        // Read under the cloud's lock: a time read before would let the clock lag behind another's.
        let now = lock(&self.clock).at(Instant::now());
        cloud.advance(now);
        // The driver wakes now and gets the lock when this guard is gone.
        self.wake.notify_one();
        cloud
    }

    /// Does something with the core at the current time.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Cloud) -> R) -> R {
        act(&mut self.cloud())
    }

    /// Tells the core of what was pushed.
    pub(crate) fn push(&self, changes: Vec<Change>) {
        for change in changes {
            let result = self.with(|cloud| match change {
                Change::Commits { repository, commits } => cloud.add_commits(&repository, commits),
                Change::Push(push) => cloud.push(push),
                Change::Delete { repository, branch } => cloud.delete_branch(&repository, &branch),
            });
            if let Err(error) = result {
                eprintln!("a push has no effect: {error}");
            }
        }
    }

    /// What will come of an invocation. To be asked for while the core is still locked.
    pub(crate) fn wait_for_invocation(&self, id: EffectId) -> oneshot::Receiver<InvocationOutcome> {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(id, tell);
        told
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Does what the core wants done.
    pub(crate) fn perform(self: &Arc<Self>, effect: Effect) {
        let shared = Arc::clone(self);
        match effect {
            Effect::Invoke(invoke) => self.spawn(async move {
                let id = invoke.id;
                let outcome = shared.invoke(invoke).await;
                shared.with(|cloud| cloud.finish_invocation(id, outcome.clone()));
                if let Some(waiting) = lock(&shared.waiting).remove(&id) {
                    // Who waited may have gone.
                    let _ = waiting.send(outcome);
                }
            }),
            Effect::Build(build) => self.spawn(async move {
                let outcome = jobs::build::run(&shared.bench, &build, jobs::BUILD_LIMIT).await;
                shared.with(|cloud| cloud.finish_build(build.id, outcome));
            }),
            Effect::Job(job) => self.spawn(async move {
                let outcome = jobs::container::run(&shared.bench, &job).await;
                shared.with(|cloud| cloud.finish_job(job.id, outcome));
            }),
            Effect::StartInstance(start) => {
                // Known from now on: its stop may come before its task has begun.
                self.fleet.announce(start.id);
                self.spawn(async move {
                    let report = |result| shared.with(|cloud| cloud.finish_start(start.id, result));
                    shared.fleet.run(&shared.bench, &start, report).await;
                });
            }
            Effect::StopInstance { id } => self.fleet.stop(id),
            Effect::MoveBranch {
                repository,
                branch,
                from,
                to,
            } => self.spawn(async move {
                // A push that came between is told of, and the cloud's branch follows it.
                if let Err(error) = shared.repositories.move_branch(&repository, &branch, &from, &to).await {
                    eprintln!("the merge into {branch} of {repository} is not in git: {error:#}");
                }
            }),
            // It is in the cloud's inbox.
            Effect::Mail(_) => {}
        }
    }

    async fn invoke(&self, invoke: Invoke) -> InvocationOutcome {
        let Some(program) = self.programs.get(&invoke.function) else {
            return InvocationOutcome::Killed(format!("the function {} has no program", invoke.function));
        };
        let environment = lock(&self.cloud).version_environment(&invoke.function, &invoke.version);
        let program = Program {
            environment: environment.unwrap_or_default(),
            ..program.clone()
        };
        self.functions.invoke(&self.bench, &program, invoke).await
    }
}

/// Moves the clock on whenever something falls due or has changed, and has done what the core wants done.
async fn drive(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    loop {
        let (effects, next) = {
            let mut cloud = lock(&shared.cloud);
            let now = lock(&shared.clock).at(Instant::now());
            cloud.advance(now);
            let happenings = cloud.take_happenings();
            // Under the cloud's lock, so that they are noted in the order in which they happened.
            lock(&shared.happenings).extend(happenings);
            (cloud.take_effects(), cloud.next_timer())
        };
        for effect in effects {
            shared.perform(effect);
        }
        let wait = next.map_or(LONGEST_SLEEP, |next| {
            lock(&shared.clock).until(next, Instant::now()).min(LONGEST_SLEEP)
        });
        tokio::select! {
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Hands on to the core what the functions log.
async fn read_logs(
    shared: Arc<Shared>,
    mut logged: mpsc::UnboundedReceiver<Logged>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            line = logged.recv() => match line {
                Some(Logged { function, line }) => shared.with(|cloud| cloud.log_line(&function, &line)),
                None => return,
            },
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// The names of the functions' binaries.
fn function_binaries(stack: &Stack) -> Vec<String> {
    let functions = stack
        .resources
        .iter()
        .filter(|resource| resource.kind == "AWS::Lambda::Function");
    let binaries = functions.filter_map(|function| function.properties.pointer("/Code/Binary")?.as_str());
    let mut names: Vec<String> = binaries.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn repository_names(stack: &Stack) -> Vec<String> {
    let repositories = stack
        .resources
        .iter()
        .filter(|resource| resource.kind == "AWS::CodeCommit::Repository");
    let names = repositories.filter_map(|repository| repository.properties.get("RepositoryName")?.as_str());
    names.map(str::to_owned).collect()
}

/// Where the functions say that training data is.
fn data(cloud: &Cloud, folder: PathBuf) -> Option<Data> {
    let environments = cloud
        .functions()
        .into_iter()
        .filter_map(|function| cloud.function_environment(&function.name));
    let environments: Vec<_> = environments.filter(|known| known.contains_key("DATA_PREFIX")).collect();
    let of = |name: &str| environments.iter().find_map(|known| known.get(name)).cloned();
    let threshold = |name: &str| of(name).and_then(|number| number.parse().ok()).unwrap_or_default();
    Some(Data {
        folder,
        bucket: of("ARTIFACT_BUCKET")?,
        prefix: of("DATA_PREFIX")?,
        threshold_objects: threshold("DATA_THRESHOLD_OBJECTS"),
        threshold_bytes: threshold("DATA_THRESHOLD_BYTES"),
    })
}

/// Puts the tables of the sample data set to a folder, which is made.
fn copy_sample(sample: &Path, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in jobs::archive::files(sample)? {
        if name.ends_with(".csv") {
            fs::copy(sample.join(&name), folder.join(&name))?;
        }
    }
    Ok(())
}

/// Looks at the folder for training data again and again.
async fn watch_data(shared: Arc<Shared>, data: Data, mut known: DropFolder, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(drop_folder::LOOK_EVERY) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let folder = data.folder.clone();
        let look = tokio::task::spawn_blocking(move || {
            // A folder that has gone, or can't be read just now, has nothing new in it.
            let found = drop_folder::find(&folder).ok();
            let dropped = found.map(|found| drop_folder::take(&mut known, &folder, found, false));
            (known, dropped.unwrap_or_default())
        });
        let Ok((back, dropped)) = look.await else {
            return;
        };
        known = back;
        shared.with(|cloud| cloud.drop_data(&data.bucket, &data.prefix, dropped));
    }
}

/// The memory that this process holds, in bytes, if the system tells.
#[must_use]
pub fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod invocations;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use serde_json::{Value, json};

    use super::*;
    use crate::cloud::{Caller, Service};

    /// A port of its own, and the stack's target behind it.
    pub(super) async fn listening() -> (tokio::net::TcpListener, Target) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            stack_name: STACK.to_owned(),
            base_url: format!("http://{}", listener.local_addr().unwrap()),
        };
        (listener, target)
    }

    /// The front end around a stack without resources.
    async fn empty(speed: f64) -> Running {
        let (listener, target) = listening().await;
        let cloud = Cloud::deploy(Stack::default(), target, "2026-01-01T00:00:00Z".parse().unwrap(), 1).unwrap();
        let options = Options {
            port: 0,
            speed,
            seed: 1,
            data: None,
        };
        let python = binaries::python().unwrap();
        let workspace = binaries::workspace().unwrap();
        let ground = Ground::prepare(cloud.stack(), &options).await.unwrap();
        Running::run(cloud, ground, listener, &BTreeMap::new(), python, workspace, &options)
            .await
            .unwrap()
    }

    async fn request(running: &Running, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", running.base_url()))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// The front end around a repository and the project that builds its branches.
    async fn with_repository() -> Running {
        const TEMPLATE: &str = r"
Resources:
  Repository:
    Type: AWS::CodeCommit::Repository
    Properties: {RepositoryName: fraud}
  Checks:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: checks
      ServiceRole: !GetAtt Role.Arn
      Source: {Type: CODECOMMIT, Location: !GetAtt Repository.CloneUrlHttp}
      Artifacts: {Type: NO_ARTIFACTS}
      Environment: {Type: LINUX_CONTAINER, ComputeType: BUILD_GENERAL1_SMALL, Image: i}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {Service: codebuild.amazonaws.com}, Action: sts:AssumeRole}
      Policies:
        - PolicyName: check
          PolicyDocument: {Statement: {Effect: Allow, Action: ['logs:*', codecommit:GitPull], Resource: '*'}}
";
        let (listener, target) = listening().await;
        let stack = Stack::load(TEMPLATE, &BTreeMap::new(), &target).unwrap();
        let cloud = Cloud::deploy(stack, target, "2026-01-01T00:00:00Z".parse().unwrap(), 1).unwrap();
        let options = Options {
            port: 0,
            speed: 1.0,
            seed: 1,
            data: None,
        };
        let (python, workspace) = (binaries::python().unwrap(), binaries::workspace().unwrap());
        let ground = Ground::prepare(cloud.stack(), &options).await.unwrap();
        Running::run(cloud, ground, listener, &BTreeMap::new(), python, workspace, &options)
            .await
            .unwrap()
    }

    async fn git(folder: &Path, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new("git");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada");
            command.env(format!("GIT_{who}_EMAIL"), "ada@example.com");
        }
        let output = command.args(arguments).current_dir(folder).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn call(running: &Running, service: Service, operation: &str, input: &Value) -> Value {
        running
            .cloud()
            .call(&Caller::Administrator, service, operation, input)
            .unwrap()
    }

    async fn build(running: &Running, version: &str) -> Value {
        let input = json!({"projectName": "checks", "sourceVersion": version});
        let started = call(running, Service::CodeBuild, "StartBuild", &input);
        let ids = json!({"ids": [started["build"]["id"]]});
        loop {
            let shown = call(running, Service::CodeBuild, "BatchGetBuilds", &ids);
            if shown["builds"][0]["buildComplete"] == true {
                return shown["builds"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_branch_is_pushed_built_and_merged() {
        let running = with_repository().await;
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        let remote = format!("{}/git/fraud", running.base_url());
        let commit = async |command: &str| {
            let spec =
                format!("version: 0.2\nphases: {{build: {{commands: ['{command}']}}}}\nartifacts: {{files: [no]}}\n");
            fs::write(work.join("buildspec.yml"), spec).unwrap();
            git(work, &["add", "."]).await;
            git(work, &["commit", "-q", "-m", command]).await;
        };
        git(work, &["init", "-q", "-b", "main"]).await;
        commit("exit 3").await;
        git(work, &["push", "-q", &remote, "main"]).await;
        git(work, &["checkout", "-q", "-b", "topic"]).await;
        commit("exit 4").await;
        commit("true").await;
        // Two branches at once.
        git(work, &["push", "-q", &remote, "topic", "topic:other"]).await;
        let tip = git(work, &["rev-parse", "HEAD"]).await;

        let (failed, passed) = (build(&running, "main").await, build(&running, &tip).await);
        assert_eq!(
            (&failed["buildStatus"], &passed["buildStatus"]),
            (&json!("FAILED"), &json!("SUCCEEDED"))
        );
        let phases = failed["phases"].as_array().unwrap();
        let phase = phases.iter().find(|phase| phase["phaseStatus"] == "FAILED").unwrap();
        assert_eq!(
            (&phase["phaseType"], &phase["contexts"][0]),
            (
                &json!("BUILD"),
                &json!({"statusCode": "COMMAND_EXECUTION_ERROR",
                    "message": "Error while executing command: exit 3. Reason: exit status 3"})
            )
        );
        // A commit between two pushes is built as well.
        let between = git(work, &["rev-parse", "HEAD~1"]).await;
        assert_eq!(build(&running, &between).await["buildStatus"], "FAILED");

        let proposal = json!({"title": "Better", "targets":
            [{"repositoryName": "fraud", "sourceReference": "topic", "destinationReference": "main"}]});
        call(&running, Service::CodeCommit, "CreatePullRequest", &proposal);
        let merge = json!({"pullRequestId": "1", "repositoryName": "fraud"});
        call(&running, Service::CodeCommit, "MergePullRequestByFastForward", &merge);
        let until = Instant::now() + Duration::from_secs(20);
        while git(work, &["ls-remote", &remote, "refs/heads/main"])
            .await
            .split('\t')
            .next()
            != Some(&tip)
        {
            assert!(Instant::now() < until, "the merge does not reach git");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        git(work, &["push", "-q", &remote, ":topic", ":other"]).await;
        let happenings = running.happenings(0);
        let deleted = happenings.iter().filter(|happening| happening.what == "branch-deleted");
        assert_eq!(deleted.count(), 2);
        running.stop().await;
    }

    #[tokio::test]
    async fn a_repository_that_begins_with_code_can_be_cloned_and_pushed() {
        const TEMPLATE: &str = r"
Resources:
  Repository:
    Type: AWS::CodeCommit::Repository
    Properties: {RepositoryName: fraud, Code: {BranchName: main, S3: ./sample}}
";
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("sample")).unwrap();
        fs::write(place.path().join("sample/train.py"), "1\n").unwrap();
        let (listener, target) = listening().await;
        let options = Options {
            port: 0,
            speed: 1.0,
            seed: 1,
            data: None,
        };
        let stack = Stack::load(TEMPLATE, &BTreeMap::new(), &target).unwrap();
        let ground = Ground::prepare(&stack, &options).await.unwrap();
        let missing = package::commit(&stack, &place.path().join("none"), &ground.repositories).await;
        assert!(missing.unwrap_err().to_string().contains("Repository: cannot read"));
        let code = package::commit(&stack, place.path(), &ground.repositories)
            .await
            .unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let cloud = Cloud::deploy_with_code(stack, target, now, 1, code).unwrap();
        let (python, workspace) = (binaries::python().unwrap(), binaries::workspace().unwrap());
        let running = Running::run(cloud, ground, listener, &BTreeMap::new(), python, workspace, &options)
            .await
            .unwrap();
        let standing = running.shared.repositories.standing().await.unwrap();
        running.shared.push(standing);

        let tip = |running: &Running| {
            let input = json!({"repositoryName": "fraud", "branchName": "main"});
            let shown = call(running, Service::CodeCommit, "GetBranch", &input);
            shown["branch"]["commitId"].as_str().unwrap().to_owned()
        };
        let remote = format!("{}/git/fraud", running.base_url());
        git(place.path(), &["clone", "-q", &remote, "clone"]).await;
        let clone = place.path().join("clone");
        assert_eq!(git(&clone, &["rev-parse", "HEAD"]).await, tip(&running));
        git(&clone, &["commit", "-q", "--allow-empty", "-m", "Next"]).await;
        git(&clone, &["push", "-q"]).await;
        assert_eq!(git(&clone, &["rev-parse", "HEAD"]).await, tip(&running));
        let pushed: Vec<Value> = running
            .happenings(0)
            .into_iter()
            .filter(|happening| happening.what == "pushed")
            .map(|happening| happening.data["message"].clone())
            .collect();
        assert_eq!(pushed, ["Initial commit", "Next"], "each once");
        running.stop().await;
    }

    #[tokio::test]
    async fn requests_find_their_part_of_the_cloud() {
        let running = empty(1.0).await;
        for (method, path, expected_status, expected) in [
            ("GET", "/inbox", 200, "No mail yet."),
            ("GET", "/inbox?format=json", 200, "[]"),
            ("GET", "/inbox/7", 404, "No such mail"),
            ("GET", "/inbox/chat", 200, "Nothing was posted yet."),
            ("GET", "/inbox/chat?format=json", 200, "[]"),
            (
                "GET",
                "/git/none/info/refs?service=git-upload-pack",
                404,
                "there is no repository none",
            ),
            (
                "GET",
                "/runtime/f-1/2018-06-01/runtime/invocation/next",
                410,
                "not known",
            ),
            ("POST", "/endpoints/none/invocations", 400, "Message"),
        ] {
            let (status, body) = request(&running, method, path, Vec::new()).await;
            assert_eq!(status, expected_status, "{method} {path}: {body}");
            assert!(body.contains(expected), "{method} {path}: {body}");
        }
        let (status, _) = request(&running, "GET", "/function-url/none/", Vec::new()).await;
        assert!((400..600).contains(&status), "{status}");
        let (status, _) = request(&running, "POST", "/endpoints/none/invocations", vec![0; 26 << 20]).await;
        assert_eq!(status, 413);
        running.stop().await;
    }

    /// The front end around a bucket and a function that says where data is.
    async fn with_data(place: &Path) -> Running {
        const TEMPLATE: &str = r"
Resources:
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: artifacts}}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: []}}}
  Look:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: look
      Handler: bootstrap
      Runtime: provided.al2023
      Role: !GetAtt Role.Arn
      Code: {Binary: look}
      Environment: {Variables: {ARTIFACT_BUCKET: !Ref Bucket, DATA_PREFIX: in/data/, DATA_THRESHOLD_OBJECTS: 3}}
";
        let (listener, target) = listening().await;
        let stack = Stack::load(TEMPLATE, &BTreeMap::new(), &target).unwrap();
        let cloud = Cloud::deploy(stack, target, "2026-01-01T00:00:00Z".parse().unwrap(), 1).unwrap();
        let options = Options {
            port: 0,
            speed: 1.0,
            seed: 1,
            data: Some(place.to_owned()),
        };
        let (python, workspace) = (binaries::python().unwrap(), binaries::workspace().unwrap());
        let built = BTreeMap::from([("look".to_owned(), PathBuf::from("/bin/true"))]);
        let ground = Ground::prepare(cloud.stack(), &options).await.unwrap();
        let mut running = Running::run(cloud, ground, listener, &built, python, workspace, &options)
            .await
            .unwrap();
        running.open_data(options.data.as_deref()).unwrap();
        running
    }

    fn keys(running: &Running) -> Vec<String> {
        let listed = call(running, Service::S3, "ListObjectsV2", &json!({"Bucket": "artifacts"}));
        let objects = listed["Contents"].as_array().unwrap().iter();
        objects
            .map(|object| object["Key"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < until, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn files_that_are_dropped_into_the_folder_become_objects() {
        let place = tempfile::tempdir().unwrap();
        let running = with_data(place.path()).await;
        let data = running.data().unwrap().clone();
        assert_eq!((data.threshold_objects, data.threshold_bytes), (3, 0));
        assert_eq!(data.folder, place.path().join("data"));
        // A folder that was not there begins with the sample, without its README.
        assert_eq!(keys(&running), ["in/data/breast-cancer.csv"]);
        fs::create_dir(data.folder.join("march")).unwrap();
        fs::write(data.folder.join("march/a b.csv"), "1,2\n").unwrap();
        fs::write(data.folder.join(".a.csv"), "hidden").unwrap();
        let dropped = ["in/data/breast-cancer.csv", "in/data/march/a b.csv"];
        until("the file does not become an object", || keys(&running) == dropped).await;
        let told = || -> Vec<String> {
            let news = running.happenings(0);
            let news = news.iter().filter_map(crate::news::News::of);
            news.map(|news| news.to_string()).collect()
        };
        assert_eq!(told(), ["data 1 new file (4 bytes) under in/data/"]);
        // What goes stays in S3; what changes is put again.
        fs::remove_file(data.folder.join("breast-cancer.csv")).unwrap();
        fs::write(data.folder.join("march/a b.csv"), "1,2,3\n").unwrap();
        until("the change is not seen", || told().len() == 2).await;
        assert_eq!(told()[1], "data 1 changed file (6 bytes) under in/data/");
        assert_eq!(keys(&running), dropped);
        let object = json!({"Bucket": "artifacts", "Key": "in/data/march/a b.csv"});
        assert_eq!(call(&running, Service::S3, "HeadObject", &object)["ContentLength"], 6);
        running.stop().await;

        // The next run begins with what the folder has.
        let running = with_data(place.path()).await;
        assert_eq!(keys(&running), ["in/data/march/a b.csv"]);
        assert!(running.happenings(0).is_empty());
        running.stop().await;
    }

    #[tokio::test]
    async fn the_cloud_is_given_the_scaled_time() {
        let running = empty(1000.0).await;
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let first = running.cloud().now();
        assert!(first >= start + jiff::SignedDuration::from_secs(100), "{first}");
        running.set_speed(0.001);
        running.set_speed(f64::NAN);
        assert!((running.speed() - 0.001).abs() < 1e-9);
        let second = running.cloud().now();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let third = running.cloud().now();
        assert!(
            first <= second && third < second + jiff::SignedDuration::from_secs(1),
            "{second} {third}"
        );
        assert!(running.happenings(usize::MAX).is_empty());
        let folder = running.logs();
        running.stop().await;
        assert!(!folder.exists(), "the run's folder goes with it");
    }

    #[test]
    fn the_parameter_file_is_read() {
        let workspace = binaries::workspace().unwrap();
        assert!(default_parameters(&workspace).unwrap().contains_key("ModelName"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        for (text, good) in [
            (r#"[{"ParameterKey": "A", "ParameterValue": "b"}]"#, true),
            (r#"[{"ParameterKey": "A"}]"#, false),
            (r#"{"A": "b"}"#, false),
            ("", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_parameters(&path).is_ok(), good, "{text}");
        }
        assert!(read_parameters(&folder.path().join("none")).is_err());
    }
}
