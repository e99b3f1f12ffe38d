use proptest::prelude::*;

use super::*;

fn origin() -> Origin {
    Origin {
        function: "churn-sync-approval".into(),
        function_version: "12".into(),
        model: "churn".into(),
    }
}

/// The lines that this says, each parsed.
async fn said(handling: impl Future<Output = ()>) -> Vec<Value> {
    let lines = Lines::default();
    let invocation = Invocation::new(&origin(), "8f0a").kept(&lines);
    let _logs = tracing::subscriber::set_default(subscriber(&Origin::default()));
    within(invocation, handling).await;
    let lines = lock(&lines);
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn package() -> ModelPackageArn {
    "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
        .parse()
        .unwrap()
}

fn id() -> ReleaseId {
    "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

#[tokio::test]
async fn every_line_has_what_is_known_by_then() {
    let lines = said(async {
        tracing::info!("begun");
        execution("arn:e");
        trigger(Trigger::Data);
        version(&package());
        tracing::warn!(gate = "held", seconds = 3, half = 0.5, on = true, "judged");
        release(&id());
        tracing::error!(error = %"of AWS\n\"x\"", reason = ?Some(1), "failed");
        anew();
        tracing::info!("begun");
    })
    .await;
    insta::assert_snapshot!(lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[tokio::test]
async fn a_line_about_another_version_says_so() {
    let lines = said(async {
        version(&package());
        tracing::info!(version = 6, target = "of its own", level = 3, "superseded");
    })
    .await;
    assert_eq!(lines[0]["version"], 6);
    assert_eq!(
        (&lines[0]["target_"], &lines[0]["level_"]),
        (&"of its own".into(), &3.into())
    );
    assert_eq!(
        (&lines[0]["level"], &lines[0]["message"]),
        (&"INFO".into(), &"superseded".into())
    );
}

#[tokio::test]
async fn a_line_outside_of_an_invocation_is_the_functions() {
    #[derive(Clone, Default)]
    struct Kept(Lines);
    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let json = Json {
        outside: Invocation::new(&origin(), "").fields(),
    };
    let to = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .event_format(json)
        .with_writer(move || to.clone());
    tracing::subscriber::with_default(subscriber.finish(), || {
        version(&package());
        tracing::error!("the configuration is wrong");
    });
    let lines = lock(&kept.0);
    let expected = "{\"level\":\"ERROR\",\"message\":\"the configuration is wrong\",\"function\":\"churn-sync-approval\",\
                    \"functionVersion\":\"12\",\"model\":\"churn\",\"target\":\"signalbox_aws::log::tests\"}\n";
    assert_eq!(lines.as_slice(), [expected]);
}

#[test]
fn the_origin_is_lambdas_and_the_templates() {
    let environment: Environment = [
        ("AWS_LAMBDA_FUNCTION_NAME", "churn-sync-approval"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "12"),
        ("MODEL_NAME", "churn"),
    ]
    .into_iter()
    .collect();
    assert_eq!(Origin::of(&environment), origin());
    assert_eq!(Origin::of(&Environment::default()), Origin::default());
}

proptest! {
    /// Whoever can write a commit or an error's text can't write a line of the log.
    #[test]
    fn whatever_is_said_is_one_line(message in any::<String>(), error in any::<String>(), arn in any::<String>()) {
        let lines = Lines::default();
        let invocation = Invocation::new(&origin(), &arn).kept(&lines);
        let _logs = tracing::subscriber::set_default(subscriber(&Origin::default()));
        let saying = within(invocation, async {
            execution(&arn);
            tracing::error!(error, "{message}");
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(saying);
        let lines = lock(&lines);
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(!lines[0].contains(['\n', '\r']));
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        prop_assert_eq!((&line["message"], &line["error"]), (&message.into(), &error.into()));
        prop_assert_eq!(line["execution"].as_str().unwrap_or_default(), arn);
    }
}
