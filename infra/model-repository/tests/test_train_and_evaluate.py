import json
import math
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import classifier
import evaluate

REPOSITORY = Path(__file__).parent.parent


class Jobs(unittest.TestCase):
    def test_the_jobs_one_after_another(self):
        """As the pipeline runs them, each as a process of its own."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            environment = {**os.environ, "SM_CHANNEL_TRAIN": f"{folder}/train", "SM_MODEL_DIR": f"{folder}/model"}
            data = ["--input", f"{REPOSITORY}/data", "--train", f"{folder}/train", "--test", f"{folder}/test"]
            self.run_job("preprocess.py", *data)
            # SageMaker passes its own hyperparameters along.
            self.run_job("train.py", "--sagemaker_program", "train.py", environment=environment)
            first = (folder / "model/model.json").read_bytes()
            self.run_job("train.py", environment=environment)
            self.assertEqual((folder / "model/model.json").read_bytes(), first)

            with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
                tar.add(folder / "model", arcname=".")
            self.run_job("evaluate.py", "--model", name, "--test", f"{folder}/test", "--output", f"{folder}/evaluation")
            report = json.loads((folder / "evaluation/evaluation.json").read_text(encoding="utf-8"))
            self.assertEqual(sorted(report["metrics"]), ["accuracy", "f1", "precision", "recall"])
            self.assertTrue(all(0 <= value <= 1 for value in report["metrics"].values()), report)
            lines = (folder / "test/test.csv").read_text(encoding="utf-8").splitlines()
            self.assertEqual(report["rows"], len(lines) - 1)

            # The model must serve without the repository around it.
            self.run_python("-c", "import serve; serve.model_fn('..')", cwd=folder / "model/code")

    def run_job(self, script, *arguments, environment=None):
        self.run_python(str(REPOSITORY / script), *arguments, env=environment)

    def run_python(self, *arguments, **options):
        job = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)
        self.assertEqual(job.returncode, 0, job.stderr)


class Fit(unittest.TestCase):
    def test_it_learns_what_separates_the_rows(self):
        rows = [[float(number), 5.0] for number in range(20)]
        labels = [int(number >= 10) for number in range(20)]
        # The second column never changes and must not divide by zero.
        names = ["size", "same"]
        model = classifier.fit(names, rows, labels, names, epochs=200, learning_rate=0.1, l2=0.001)
        self.assertEqual([model.predict(row) for row in rows], labels)

    def test_large_numbers_do_not_overflow(self):
        for value, expected in [(0, 0.5), (1e6, 1.0), (-1e6, 0.0)]:
            self.assertEqual(classifier.sigmoid(value), expected)


class Measure(unittest.TestCase):
    def test_metrics(self):
        for scores, labels, expected in [
            ([0.9, 0.1], [1, 0], (1, 1, 1, 1)),
            ([0.9, 0.9, 0.1, 0.1], [1, 0, 1, 0], (0.5, 0.5, 0.5, 0.5)),
            ([0.5, 0.9, 0.9, 0.1], [1, 1, 0, 0], (0.75, 2 / 3, 1, 0.8)),
            ([0.1, 0.1], [1, 0], (0.5, 0, 0, 0)),
            ([0.1], [0], (1, 0, 0, 0)),
        ]:
            with self.subTest(scores=scores, labels=labels):
                metrics = evaluate.measure(scores, labels)
                values = [metrics[name] for name in ("accuracy", "precision", "recall", "f1")]
                for value, wanted in zip(values, expected):
                    self.assertAlmostEqual(value, wanted)

    def test_a_model_that_gives_no_numbers_is_refused(self):
        for scores, labels in [([math.nan, 0.5], [0, 1]), ([math.inf], [1]), ([], [])]:
            with self.subTest(scores=scores), self.assertRaises(evaluate.EvaluationError):
                evaluate.measure(scores, labels)


if __name__ == "__main__":
    unittest.main()
