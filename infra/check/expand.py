"""Expands the SAM template into the CloudFormation template that a deployment makes of it, with the official translator.

    expand.py TEMPLATE EXPANDED [PARAMETERS]

Parameters have the values of the file, as `sam deploy` reads it, else their defaults, and sample values where they have none. What `sam build` and `aws cloudformation package` would upload is put
in as if it had been.
"""

import json
import logging
import sys

from samcli.cli.types import CfnParameterOverridesType
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

SAMPLES = {"ModelName": "churn", "ImageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/train:1", "Approvers": "lead@example.com"}


class NoManagedPolicies:
    """The template names no managed policy that would have to be looked up."""

    def load(self):
        return {}


def read_parameters(path):
    """The values of a parameter file, with what it includes, as SAM reads them."""
    return CfnParameterOverridesType().convert(f"file://{path}", None, None)


def main(source, target, parameter_file=None):
    # The translator warns, once a function, of a feature switch that only AWS itself has.
    logging.disable(logging.WARNING)
    with open(source, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/code"
        if resource["Type"] == "AWS::CodeCommit::Repository":
            resource["Properties"]["Code"]["S3"] = {"Bucket": "artifacts", "Key": "repository"}
    missing = [name for name, parameter in template["Parameters"].items() if "Default" not in parameter and name not in SAMPLES]
    if missing:
        sys.exit(f"parameters without a default need a sample value in {__file__}: {', '.join(missing)}")
    parameters = {name: parameter["Default"] for name, parameter in template["Parameters"].items() if "Default" in parameter}
    chosen = read_parameters(parameter_file) if parameter_file else {}
    unknown = chosen.keys() - template["Parameters"].keys()
    if unknown:
        sys.exit(f"{parameter_file} sets what the template does not have: {', '.join(sorted(unknown))}")
    expanded = transform(template, {**parameters, **SAMPLES, **chosen}, NoManagedPolicies())
    # Was used by the translator itself, for the names of CodeDeploy's configurations.
    used = json.dumps(expanded["Resources"])
    for name in ["FunctionRollout"]:
        if f'"Ref": "{name}"' not in used and "${%s}" % name not in used:
            del expanded["Parameters"][name]
    with open(target, "w", encoding="utf-8") as file:
        json.dump(expanded, file, indent=1)
    print(f"{len(template['Resources'])} resources became {len(expanded['Resources'])}, with {len(chosen)} parameters chosen")


if __name__ == "__main__":
    main(*sys.argv[1:])
