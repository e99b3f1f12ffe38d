import json
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
DEFINITION = json.loads((REPOSITORY / "pipeline-definition.json").read_text(encoding="utf-8"))


def steps(level):
    """All steps, those behind a condition too."""
    for step in level:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from steps(step["Arguments"].get(branch, []))


def references(value):
    """All texts behind "Get"."""
    if isinstance(value, dict):
        if list(value) == ["Get"]:
            yield value["Get"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


class PipelineDefinition(unittest.TestCase):
    def test_references_lead_somewhere(self):
        parameters = {parameter["Name"] for parameter in DEFINITION["Parameters"]}
        names = [step["Name"] for step in steps(DEFINITION["Steps"])]
        self.assertEqual(len(names), len(set(names)))
        used = set()
        for reference in references(DEFINITION["Steps"]):
            kind, name = reference.split(".")[:2]
            with self.subTest(reference=reference):
                self.assertIn(kind, ("Parameters", "Steps", "Execution"))
                if kind == "Parameters":
                    self.assertIn(name, parameters)
                    used.add(name)
                elif kind == "Steps":
                    self.assertIn(name, names)
        self.assertEqual(used, parameters)

    def test_the_scripts_exist(self):
        scripts = []
        for step in steps(DEFINITION["Steps"]):
            arguments = step["Arguments"]
            if step["Type"] == "Processing":
                scripts.append(arguments["AppSpecification"]["ContainerEntrypoint"][-1].rsplit("/", 1)[-1])
            elif step["Type"] == "Training":
                scripts.append(arguments["HyperParameters"]["sagemaker_program"])
        self.assertEqual(len(scripts), 3)
        for script in scripts:
            self.assertTrue((REPOSITORY / script).is_file(), script)


if __name__ == "__main__":
    unittest.main()
