"""Checks the data and splits it into training and evaluation rows."""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import dataset

# Only these files give evaluation rows. Files that arrive later enlarge training and leave the measure as it is:
# otherwise a new model and the one in production would be compared on different questions.
EVALUATION_FILES = "breast-cancer*.csv"
EVALUATION_PERCENT = 30


def fingerprint(label, row):
    """Tells rows apart by what they say, not by how their numbers are written or where they stand."""
    return hashlib.sha256(repr((label, row)).encode()).hexdigest()


def is_evaluation(digest):
    """The row itself decides, so neither the order of rows nor more rows move it from one side to the other."""
    return int(digest[:8], 16) % 100 < EVALUATION_PERCENT


def split(folder):
    """The names of the features, the training rows and the evaluation rows; rows are (label, features)."""
    paths = sorted(Path(folder).rglob("*.csv"))
    if not any(path.match(EVALUATION_FILES) for path in paths):
        raise dataset.DataError(f"{folder}: no file is called {EVALUATION_FILES}; evaluation rows come from there")
    # Those first: a later copy of an evaluation row must be recognised, or a model would be measured on what it learnt.
    paths.sort(key=lambda path: not path.match(EVALUATION_FILES))

    features, seen, train, test = None, set(), [], []
    for path in paths:
        names, rows, labels = dataset.read(path)
        if features is None:
            features = names
        if names != features:
            raise dataset.DataError(f"{path}, line 1: the columns differ from those of {paths[0]}")
        for label, row in zip(labels, rows):
            digest = fingerprint(label, row)
            # A file delivered twice must not count twice.
            if digest in seen:
                continue
            seen.add(digest)
            evaluation = path.match(EVALUATION_FILES) and is_evaluation(digest)
            (test if evaluation else train).append((label, row))
    for name, rows in (("training", train), ("evaluation", test)):
        if len({label for label, _ in rows}) != 2:
            raise dataset.DataError(f"{folder}: the {name} rows must hold both labels")
    return features, train, test


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", default="/opt/ml/processing/input/data", help="folder with the CSV files")
    parser.add_argument("--train", default="/opt/ml/processing/output/train", help="folder for train.csv")
    parser.add_argument("--test", default="/opt/ml/processing/output/test", help="folder for test.csv")
    options = parser.parse_args(arguments)

    features, train, test = split(options.input)
    for folder, name, rows in ((options.train, "train.csv", train), (options.test, "test.csv", test)):
        os.makedirs(folder, exist_ok=True)
        dataset.write(os.path.join(folder, name), features, [row for _, row in rows], [label for label, _ in rows])
    print(f"{len(train)} rows for training, {len(test)} for evaluation")


if __name__ == "__main__":
    try:
        main()
    except (dataset.DataError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"preprocess: {error}")
