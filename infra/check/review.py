"""Holds what the scanners found against what is suppressed.

    review.py SUPPRESSIONS CHECKOV PARLIAMENT

Exits with 1 where something was found that is not suppressed, or something is suppressed that was not found.
"""

import json
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def found_by_checkov(report):
    """Pairs of a check and a resource's logical id, with what checkov says of it."""
    failed = report["results"]["failed_checks"]
    if not failed and not report["summary"]["passed"]:
        sys.exit("checkov checked nothing: see checkov.log beside its report")
    # `AWS::S3::Bucket.Bucket`
    return {(check["check_id"], check["resource"].split(".", 1)[-1]): check["check_name"] for check in failed}


def found_by_parliament(report):
    if not report["policies"]:
        sys.exit("parliament was given no policy")
    return {(finding["issue"], finding["policy"]): f"{finding['detail']} in {finding.get('actions', '')}" for finding in report["findings"]}


def main(suppressions, checkov, parliament):
    found = {**found_by_checkov(read(checkov)), **found_by_parliament(read(parliament))}
    suppressed = {}
    for entry in read(suppressions):
        if not entry["reason"].strip():
            sys.exit(f"{entry['check']} is suppressed without a reason in {suppressions}")
        for resource in entry["resources"]:
            suppressed[(entry["check"], resource)] = entry["reason"]
    wrong = [f"{check}  {resource}: {found[(check, resource)]}" for check, resource in sorted(found.keys() - suppressed.keys())]
    stale = [f"{check}  {resource}: suppressed, but not found any more" for check, resource in sorted(suppressed.keys() - found.keys())]
    for line in wrong + stale:
        print(line)
    if wrong or stale:
        print(f"{len(wrong)} findings and {len(stale)} stale suppressions: change the template, or {suppressions} with a reason")
        sys.exit(1)
    print(f"nothing found but {len(found)} findings that are suppressed with a reason")


if __name__ == "__main__":
    main(*sys.argv[1:])
