"""Trains the model: a SageMaker training job in script mode."""

import argparse
import os
import shutil
import sys
from pathlib import Path

import classifier
import dataset

# The model can use any of the columns; a row to predict always holds all of them.
FEATURES = ["mean_radius", "mean_texture"]

# What the endpoint runs: the server, and what it imports.
SERVING_FILES = ["serve.py", "classifier.py"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN", "/opt/ml/input/data/train"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--l2", type=float, default=0.001)
    # SageMaker hands over every hyperparameter, its own too.
    options, _ = parser.parse_known_args(arguments)

    features, rows, labels = dataset.read(os.path.join(options.train, "train.csv"))
    model = classifier.fit(
        features, rows, labels, FEATURES, epochs=options.epochs, learning_rate=options.learning_rate, l2=options.l2
    )
    os.makedirs(options.model_dir, exist_ok=True)
    model.save(options.model_dir)

    code = os.path.join(options.model_dir, "code")
    os.makedirs(code, exist_ok=True)
    for name in SERVING_FILES:
        shutil.copy(Path(__file__).with_name(name), code)

    right = sum(model.predict(row) == label for row, label in zip(rows, labels))
    print(f"trained on {len(rows)} rows with {len(FEATURES)} features; train accuracy {right / len(rows):.4f}")


if __name__ == "__main__":
    try:
        main()
    except (dataset.DataError, OSError) as error:
        sys.exit(f"train: {error}")
