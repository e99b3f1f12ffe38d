"""Logistic regression on standardised features, in plain Python.

Training, evaluation and serving all import this file, so that a row means the same in each of them. It needs nothing
but the standard library: the same code runs in any SageMaker image with Python 3 and on a laptop.
"""

import json
import math
import os

MODEL_FILE = "model.json"


class Classifier:
    """A trained model: which columns of a row it uses, and their weights."""

    def __init__(self, inputs, features, means, scales, weights, bias):
        self.inputs = inputs
        self.features = features
        self.means = means
        self.scales = scales
        self.weights = weights
        self.bias = bias
        self.columns = [inputs.index(name) for name in features]

    def score(self, row):
        """The probability that the row is malignant. The row holds every input, in the order of `inputs`."""
        total = self.bias
        for column, mean, scale, weight in zip(self.columns, self.means, self.scales, self.weights):
            total += weight * (row[column] - mean) / scale
        return sigmoid(total)

    def predict(self, row):
        """1 for malignant, 0 for benign."""
        return int(self.score(row) >= 0.5)

    def save(self, folder):
        names = ("inputs", "features", "means", "scales", "weights", "bias")
        with open(os.path.join(folder, MODEL_FILE), "w", encoding="utf-8") as file:
            json.dump({name: getattr(self, name) for name in names}, file, indent=1)
            file.write("\n")


def load(text):
    """The model in the text of a model file."""
    return Classifier(**json.loads(text))


def load_from(folder):
    """The model in a folder's model file."""
    with open(os.path.join(folder, MODEL_FILE), encoding="utf-8") as file:
        return load(file.read())


def sigmoid(value):
    # Two forms of the same function: exp() of a large positive number overflows.
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def fit(inputs, rows, labels, features, epochs, learning_rate, l2):
    """Trains by full-batch gradient descent with momentum. Nothing in it is random: equal data gives an equal model."""
    columns = [inputs.index(name) for name in features]
    means, scales = [], []
    for column in columns:
        values = [row[column] for row in rows]
        mean = math.fsum(values) / len(values)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        means.append(mean)
        # A column that never changes says nothing; any scale but zero will do.
        scales.append(deviation or 1.0)
    scaled = [[(row[column] - mean) / scale for column, mean, scale in zip(columns, means, scales)] for row in rows]

    weights, bias = [0.0] * len(features), 0.0
    speeds, bias_speed = [0.0] * len(features), 0.0
    for _ in range(epochs):
        gradients, bias_gradient = [l2 * weight for weight in weights], 0.0
        for row, label in zip(scaled, labels):
            error = (sigmoid(bias + sum(map(float.__mul__, weights, row))) - label) / len(scaled)
            bias_gradient += error
            gradients = [gradient + error * value for gradient, value in zip(gradients, row)]
        speeds = [0.9 * speed - learning_rate * gradient for speed, gradient in zip(speeds, gradients)]
        bias_speed = 0.9 * bias_speed - learning_rate * bias_gradient
        weights = [weight + speed for weight, speed in zip(weights, speeds)]
        bias += bias_speed
    return Classifier(inputs, features, means, scales, weights, bias)
