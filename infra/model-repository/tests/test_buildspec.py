"""The build installs from where the stack says."""

import os
import re
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def install_commands():
    """The commands of the phase `install`, as the shell gets them. The standard library reads no YAML; this reads as much of it as
    the file has."""
    with open(os.path.join(HERE, "..", "buildspec.yml"), encoding="utf-8") as file:
        text = file.read()
    phase = re.search(r"\n  install:\n    commands:\n(.*?)\n  \w+:\n", text, re.S)[1]
    commands = []
    for line in phase.split("\n"):
        content = line.strip()
        if content.startswith("#"):
            continue
        if line.startswith("      - "):
            commands.append("" if content == "- |" else content[2:])
        else:
            commands[-1] += line[8:] + "\n"
    return commands


class Install(unittest.TestCase):
    def run_install(self, requirements, **variables):
        """Runs the phase with an `aws` and a `pip` that only say how they were called."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ["aws", "pip"]:
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f'#!/bin/sh\necho "{name} $*"\n')
                os.chmod(path, 0o755)
            with open(os.path.join(folder, "requirements.txt"), "w", encoding="utf-8") as file:
                file.write(requirements)
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
            said = ""
            for command in install_commands():
                ran = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=True)
                said += ran.stdout
            return said.splitlines()

    def test_a_private_index_is_logged_in_to_first(self):
        said = self.run_install("numpy==2.0\n", CODEARTIFACT_DOMAIN="acme", CODEARTIFACT_REPOSITORY="python")
        self.assertEqual(
            said,
            [
                "aws codeartifact login --tool pip --domain acme --repository python",
                "pip install -r requirements.txt",
            ],
        )

    def test_without_one_nothing_is_logged_in_to(self):
        for variables in [{}, {"CODEARTIFACT_DOMAIN": "", "CODEARTIFACT_REPOSITORY": ""}, {"CODEARTIFACT_DOMAIN": "acme"}]:
            self.assertEqual(self.run_install("numpy==2.0\n", **variables), ["pip install -r requirements.txt"])
            self.assertEqual(self.run_install("# nothing\n", **variables), [])


if __name__ == "__main__":
    unittest.main()
