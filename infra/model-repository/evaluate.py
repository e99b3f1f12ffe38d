"""Measures a trained model on the evaluation rows."""

import argparse
import json
import math
import os
import sys
import tarfile

import classifier
import dataset


class EvaluationError(Exception):
    """A model that can't be measured."""


def load_model(archive):
    """The model in a training job's model.tar.gz. Nothing is unpacked to disk."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if os.path.normpath(member.name) == classifier.MODEL_FILE and member.isfile():
                return classifier.load(tar.extractfile(member).read().decode("utf-8"))
    raise EvaluationError(f"{archive}: holds no {classifier.MODEL_FILE}")


def measure(scores, labels):
    """Accuracy, precision, recall and F1; malignant is the positive class."""
    if not labels:
        raise EvaluationError("there are no evaluation rows")
    # Every comparison with NaN is false: a broken model would look like one that calls everything benign.
    if not all(math.isfinite(score) for score in scores):
        raise EvaluationError("the model gives scores that are no numbers")
    pairs = [(score >= 0.5, label == 1) for score, label in zip(scores, labels)]
    hits = pairs.count((True, True))
    false_alarms = pairs.count((True, False))
    misses = pairs.count((False, True))
    return {
        "accuracy": (len(pairs) - false_alarms - misses) / len(pairs),
        # Nothing called malignant, or nothing malignant: the worst value, so that no model gains by it.
        "precision": hits / (hits + false_alarms) if hits else 0.0,
        "recall": hits / (hits + misses) if hits else 0.0,
        "f1": 2 * hits / (2 * hits + false_alarms + misses) if hits else 0.0,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="/opt/ml/processing/input/model", help="folder with model.tar.gz")
    parser.add_argument("--test", default="/opt/ml/processing/input/test", help="folder with test.csv")
    parser.add_argument("--output", default="/opt/ml/processing/output/evaluation", help="folder for evaluation.json")
    options = parser.parse_args(arguments)

    model = load_model(os.path.join(options.model, "model.tar.gz"))
    features, rows, labels = dataset.read(os.path.join(options.test, "test.csv"))
    if features != model.inputs:
        raise EvaluationError("the evaluation rows have other columns than the model was trained with")
    metrics = measure([model.score(row) for row in rows], labels)

    os.makedirs(options.output, exist_ok=True)
    with open(os.path.join(options.output, "evaluation.json"), "w", encoding="utf-8") as file:
        json.dump({"metrics": metrics, "rows": len(rows)}, file, indent=2, allow_nan=False)
        file.write("\n")
    print(json.dumps(metrics))


if __name__ == "__main__":
    try:
        main()
    except (EvaluationError, dataset.DataError, tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"evaluate: {error}")
