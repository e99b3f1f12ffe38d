use serde_json::json;

use super::*;

#[test]
fn every_model_parses() {
    for service in MODELLED {
        assert!(
            parsed(*service).unwrap().is_ok(),
            "{service:?}: {:?}",
            parsed(*service).unwrap().as_ref().err()
        );
    }
    assert!(model(Service::S3).is_none());
}

#[test]
fn what_is_right_passes() {
    for (service, operation, input) in [
        (Service::SageMaker, "DescribeEndpoint", json!({"EndpointName": "churn"})),
        (
            Service::SageMaker,
            "DescribeEndpoint",
            json!({"EndpointName": "churn", "NotOfTheModel": [1]}),
        ),
        (
            Service::SageMaker,
            "ListEndpoints",
            json!({"NameContains": null, "MaxResults": 100, "CreationTimeAfter": 1.5}),
        ),
        (
            Service::SageMaker,
            "DescribeModelPackage",
            json!({"ModelPackageName": "churn/7"}),
        ),
        (
            Service::CodePipeline,
            "PutJobSuccessResult",
            json!({"jobId": "0f2ba5ba-9f1e-4d5f-8a51-1f6ad9d86d3a"}),
        ),
        (
            Service::Kms,
            "GenerateMac",
            json!({"KeyId": "k", "MacAlgorithm": "HMAC_SHA_256", "Message": "YWJj"}),
        ),
        (Service::Sts, "GetCallerIdentity", json!({})),
        (Service::S3, "GetObject", json!({"anything": 1})),
    ] {
        assert_eq!(validate(service, operation, &input), Ok(()), "{operation} {input}");
    }
}

#[test]
fn what_is_wrong_is_refused_in_the_services_words() {
    let validation = "ValidationException";
    for (service, operation, input, code, message) in [
        (
            Service::SageMaker,
            "DescribeEndpoint",
            json!({}),
            validation,
            "1 validation error detected: Value null at 'endpointName' failed to satisfy constraint: Member must not be null",
        ),
        (
            Service::SageMaker,
            "DescribeEndpoint",
            json!({"EndpointName": "a_b"}),
            validation,
            "1 validation error detected: Value 'a_b' at 'endpointName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            Service::SageMaker,
            "ListEndpoints",
            json!({"MaxResults": 101, "SortBy": "Age"}),
            validation,
            "2 validation errors detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value \
             less than or equal to 100; Value 'Age' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value \
             set: [Name, CreationTime, Status]",
        ),
        (
            Service::SageMaker,
            "AddTags",
            json!({"ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn", "Tags": [{"Key": "a", "Value": "b"}, {"Key": ""}]}),
            validation,
            "2 validation errors detected: Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not \
             be null; Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or \
             equal to 1",
        ),
        (
            Service::SageMaker,
            "CreateModelPackage",
            json!({"CustomerMetadataProperties": {"a,b": "c"}}),
            validation,
            "1 validation error detected: Value '{a,b=c}' at 'customerMetadataProperties' failed to satisfy constraint: Map \
             keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length \
             greater than or equal to 1, Member must satisfy regular expression pattern: \
             ([\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@]*)${1,128}]",
        ),
        (
            Service::CodePipeline,
            "PutApprovalResult",
            json!({"pipelineName": "p", "stageName": "s", "actionName": "a", "token": "t", "result": {"summary": "x".repeat(513), "status": "Approved"}}),
            validation,
            &format!(
                "2 validation errors detected: Value '{}' at 'result.summary' failed to satisfy constraint: Member must have \
                 length less than or equal to 512; Value 't' at 'token' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: [0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}",
                "x".repeat(513)
            ),
        ),
        (
            Service::SageMaker,
            "DescribeEndpoint",
            json!({"EndpointName": 7}),
            "SerializationException",
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            Service::SageMaker,
            "DescribeEndpoint",
            json!(["EndpointName"]),
            "SerializationException",
            "Expected map or null",
        ),
        (
            Service::SageMaker,
            "ListEndpoints",
            json!({"MaxResults": 1.5}),
            "SerializationException",
            "NUMBER_VALUE cannot be converted to Integer",
        ),
        (
            Service::SageMaker,
            "ListEndpoints",
            json!({"NameContains": {}}),
            "SerializationException",
            "Start of structure or map found where not expected.",
        ),
        (
            Service::Kms,
            "GenerateMac",
            json!({"KeyId": "k", "MacAlgorithm": "HMAC_SHA_256", "Message": "not base64"}),
            "SerializationException",
            "STRING_VALUE cannot be converted to Blob",
        ),
        (
            Service::CloudWatch,
            "SetAlarmState",
            json!({"AlarmName": "a", "StateValue": "OK"}),
            "ValidationError",
            "1 validation error detected: Value null at 'stateReason' failed to satisfy constraint: Member must not be null",
        ),
        (
            Service::Sns,
            "Publish",
            json!({"TopicArn": "t"}),
            "InvalidParameter",
            "Invalid parameter: Message Reason: no value for required parameter",
        ),
        (
            Service::Sqs,
            "GetQueueUrl",
            json!({}),
            "MissingParameter",
            "The request must contain the parameter QueueName.",
        ),
        (
            Service::Sns,
            "DeleteTopic",
            json!({}),
            "InvalidAction",
            "Could not find operation DeleteTopic for version 2010-03-31",
        ),
        (
            Service::SageMaker,
            "CreateCluster",
            json!({}),
            "UnknownOperationException",
            "The sagemaker API of the local cloud has no operation CreateCluster.",
        ),
    ] {
        let error = validate(service, operation, &input).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.message.as_str(), error.status),
            (code, message, 400),
            "{operation}"
        );
    }
}

#[test]
fn a_call_may_nest_as_deep_as_it_likes() {
    // The JSON parser stops at 128 levels; what reaches this by another way must not exhaust the stack either.
    let mut input = json!([]);
    for _ in 0..100 {
        input = json!([input]);
    }
    let error = validate(
        Service::SageMaker,
        "AddTags",
        &json!({"ResourceArn": input, "Tags": input}),
    )
    .unwrap_err();
    assert_eq!(error.code, "SerializationException");
}

#[test]
fn answers_are_held_to_the_model() {
    let arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn";
    for (service, operation, output, expected) in [
        (Service::SageMaker, "UpdateEndpoint", json!({"EndpointArn": arn}), ""),
        (Service::SageMaker, "DeleteEndpoint", json!({}), ""),
        (Service::SageMaker, "DeleteEndpoint", Value::Null, ""),
        (
            Service::SageMaker,
            "DeleteEndpoint",
            json!({"a": 1}),
            "DeleteEndpoint answers nothing, but this answers {\"a\":1}",
        ),
        (
            Service::SageMaker,
            "UpdateEndpoint",
            json!({"EndpointArn": arn, "endpointArn": arn}),
            "at 'endpointArn': the model has no member endpointArn",
        ),
        (
            Service::SageMaker,
            "UpdateEndpoint",
            json!({}),
            "Value null at 'endpointArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            Service::SageMaker,
            "Nothing",
            json!({}),
            "sagemaker has no operation Nothing",
        ),
    ] {
        assert_eq!(
            check_output(service, operation, &output).err().unwrap_or_default(),
            expected,
            "{operation}"
        );
    }
}
