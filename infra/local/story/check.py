"""Plays the story without the train: does every stop still do what the demo needs of it?

Lays the pushes over the model repository one after another and runs, for each, what the pipeline would run: the
tests, the jobs, and the server with the demo's requests. Prints one line for each stop. The exit code is 1 if the
story doesn't hold.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

STORY = Path(__file__).resolve().parent
REPOSITORY = STORY.parent.parent / "model-repository"
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

# What a push must reach. `better`: more accurate than the model of stop 2, which serves from then on.
EXPECTED = {
    1: {"tests": True, "accuracy": (0.88, 0.92), "errors": (0, 0)},
    2: {"tests": True, "accuracy": (0.94, 0.955), "errors": (0, 0)},
    3: {"tests": False},
    4: {"tests": True, "accuracy": (0.7, 0.84)},
    5: {"tests": True, "accuracy": (0.85, 1), "better": True, "errors": (0.4, 0.6)},
    6: {"accuracy": (0.85, 1), "better": False},
    7: {"tests": True, "accuracy": (0.85, 1), "better": True, "errors": (0, 0)},
    8: {"tests": True, "accuracy": (0.85, 1), "better": True, "errors": (0, 0)},
}


def run(*arguments, **variables):
    """Runs Python and returns the finished process; whoever calls decides what a failure means."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=variables.pop("cwd", None),
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def job(*arguments, **variables):
    done = run(*arguments, **variables)
    if done.returncode != 0:
        raise SystemExit(f"{arguments[0]}: {done.stderr}")


def train(code, data, folder):
    """Preprocess, train, evaluate; returns the metrics. The model is left in the folder."""
    job(code / "preprocess.py", "--input", data, "--train", folder / "train", "--test", folder / "test")
    job(code / "train.py", SM_CHANNEL_TRAIN=str(folder / "train"), SM_MODEL_DIR=str(folder / "model"))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model", arcname=".")
    job(code / "evaluate.py", "--model", folder, "--test", folder / "test", "--output", folder)
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["metrics"]


def serve(model):
    """Serves the model and sends the demo's requests; returns the share that failed and the share of right answers."""
    requests = json.loads((STORY / "requests.json").read_text(encoding="utf-8"))
    server = subprocess.Popen(
        [sys.executable, model / "code/serve.py"],
        env={
            **ENVIRONMENT,
            "SM_MODEL_DIR": str(model),
            "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        # It asked for any free port and says which one it got.
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        failed = right = 0
        for request in requests:
            connection.request("POST", "/invocations", request["body"], {"Content-Type": "text/csv"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                right += json.loads(body)["predictions"] == [request["label"]]
            else:
                failed += 1
        connection.request("GET", "/ping")
        if connection.getresponse().status != 200:
            raise SystemExit("/ping is not well")
        connection.close()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    return failed / len(requests), right / len(requests)


def play(stop, code, data, folder, champion):
    """One stop; returns its accuracy, if it has one, what happened, and what is wrong with it."""
    expected, said, wrong = EXPECTED[stop], [], []
    if "tests" in expected:
        passed = run("-m", "unittest", "discover", "-s", "tests", cwd=code).returncode == 0
        said.append("tests " + ("pass" if passed else "fail"))
        if passed != expected["tests"]:
            wrong.append("tests")
        if not passed:
            return None, said, wrong
    metrics = train(code, data, folder)
    accuracy = metrics["accuracy"]
    said += [f"{name} {value:.4f}" for name, value in metrics.items()]
    low, high = expected["accuracy"]
    if not low < accuracy <= high:
        wrong.append(f"accuracy not in {low}..{high}")
    if "better" in expected and (accuracy > champion) != expected["better"]:
        wrong.append(f"accuracy {'not ' if expected['better'] else ''}above that of stop 2")
    if "errors" in expected:
        failed, right = serve(folder / "model")
        said.append(f"{failed:.0%} of requests fail, {right:.0%} are right")
        low, high = expected["errors"]
        if not low <= failed <= high:
            wrong.append(f"failed requests not in {low}..{high}")
    return accuracy, said, wrong


def main():
    pushes = {push["stop"]: push for push in json.loads((STORY / "story.json").read_text(encoding="utf-8"))}
    holds = True
    with tempfile.TemporaryDirectory() as name:
        code, champion = Path(name) / "repository", None
        shutil.copytree(REPOSITORY, code, ignore=shutil.ignore_patterns("__pycache__"))
        # The data lives in a bucket of its own: pushes don't bring the batch of stop 6, and don't take it away.
        data = Path(name) / "data"
        shutil.copytree(code / "data", data)
        for stop in EXPECTED:
            folder = Path(name) / str(stop)
            folder.mkdir()
            if stop in pushes:
                shutil.copytree(STORY / pushes[stop]["folder"], code, dirs_exist_ok=True)
            elif stop == 6:
                shutil.copytree(STORY / "6-new-data", data, dirs_exist_ok=True)
            accuracy, said, wrong = play(stop, code, data, folder, champion)
            champion = accuracy if stop == 2 else champion
            print(f"stop {stop}: {', '.join(said)}" + (f"  WRONG: {'; '.join(wrong)}" if wrong else ""), flush=True)
            holds = holds and not wrong
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
