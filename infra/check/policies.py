"""Runs parliament over every policy of the expanded template.

    policies.py EXPANDED FINDINGS

parliament reads plain JSON, so references get sample values: what matters is the shape of an ARN, not the account in it.
"""

import json
import re
import sys

import parliament

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "churn",
}
ACCOUNT = "eu-west-1:123456789012"
# What `Ref` and `Fn::GetAtt` give where they are used in policies, by resource type.
ARNS = {
    "AWS::CodeBuild::Project": f"arn:aws:codebuild:{ACCOUNT}:project/churn-{{}}",
    "AWS::CodeCommit::Repository": f"arn:aws:codecommit:{ACCOUNT}:churn",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{ACCOUNT}:alarm:churn-{{}}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::KMS::Key": f"arn:aws:kms:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
    "AWS::Lambda::Alias": f"arn:aws:lambda:{ACCOUNT}:function:churn-{{}}:live",
    "AWS::Lambda::Function": f"arn:aws:lambda:{ACCOUNT}:function:churn-{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{ACCOUNT}:log-group:/aws/lambda/churn-{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::signalbox-churn",
    "AWS::SNS::Topic": f"arn:aws:sns:{ACCOUNT}:churn-{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{ACCOUNT}:churn-{{}}",
}

VALUES = {"ModelName": "churn", "VolumeKeyArn": ARNS["AWS::KMS::Key"], "DataKeyArn": ARNS["AWS::KMS::Key"]}


class Resolver:
    def __init__(self, template):
        self.resources = template["Resources"]
        self.parameters = template["Parameters"]

    def reference(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return VALUES.get(name) or f"sample-{name.lower()}"
        return self.arn(name)

    def arn(self, name):
        kind = self.resources[name]["Type"]
        if kind == "AWS::CodeDeploy::Application":
            return "churn-application"
        if kind not in ARNS:
            sys.exit(f"{__file__} has no sample ARN for {kind}, which a policy refers to by {name}")
        return ARNS[kind].format(name.lower())

    def resolve(self, value):
        if isinstance(value, list):
            resolved = [self.resolve(item) for item in value]
            return [item for item in resolved if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return None if argument == "AWS::NoValue" else self.reference(argument)
            if name == "Fn::GetAtt":
                return self.arn(argument[0] if isinstance(argument, list) else argument.split(".")[0])
            if name == "Fn::Sub":
                text, names = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^!}]+)\}", lambda found: self.named(found[1], names), text)
            if name == "Fn::If":
                # Whatever may be there is looked at.
                return self.resolve(argument[1])
            if name == "Fn::Select":
                return f"selected-{argument[0]}"
            if name.startswith("Fn::"):
                sys.exit(f"{__file__} does not know {name}, which a policy uses")
        return {name: self.resolve(item) for name, item in value.items()}

    def named(self, name, names):
        if name in names:
            return str(self.resolve(names[name]))
        return self.arn(name.split(".")[0]) if "." in name else self.reference(name)


def policies(template):
    """The identity policies: of each role, by its name and the policy's."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                yield f"{name}/{policy['PolicyName']}", policy["PolicyDocument"]
            if resource["Properties"].get("ManagedPolicyArns"):
                sys.exit(f"{name} has a managed policy: what it allows is AWS's to change; write out what is needed")


def main(source, target):
    with open(source, encoding="utf-8") as file:
        template = json.load(file)
    resolver = Resolver(template)
    findings = []
    count = 0
    for name, document in policies(template):
        count += 1
        document = resolver.resolve(document)
        for statement in document["Statement"]:
            # parliament sees that a resource is `*` where the action takes others, but not an action that is a pattern.
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            for action in actions:
                if "*" in action:
                    findings.append({"policy": name, "issue": "ACTION_STAR", "detail": action})
            one = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            for finding in parliament.analyze_policy_string(one).findings:
                detail = finding.detail if isinstance(finding.detail, str) else json.dumps(finding.detail, sort_keys=True)
                # Which action, not only which statement.
                findings.append({"policy": name, "issue": finding.issue, "detail": detail, "actions": sorted(actions)})
    with open(target, "w", encoding="utf-8") as file:
        json.dump({"policies": count, "findings": findings}, file, indent=1)
    print(f"{count} policies of roles")


if __name__ == "__main__":
    main(*sys.argv[1:])
