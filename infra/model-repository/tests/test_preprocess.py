import tempfile
import unittest
from pathlib import Path

import dataset
import preprocess

DATA = Path(__file__).parent.parent / "data"
HEADER = "label,radius,texture"


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, *lines):
        (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def many(self):
        """Enough rows for both sides of the split."""
        return [f"{number % 2},{number}.5,{number % 7}" for number in range(100)]


class Split(Folder):
    def test_every_row_is_on_one_side(self):
        self.write("breast-cancer.csv", HEADER, *self.many())
        features, train, test = preprocess.split(self.folder)
        self.assertEqual(features, ["radius", "texture"])
        self.assertEqual(len(train) + len(test), 100)
        self.assertFalse([row for row in test if row in train])
        self.assertTrue(15 <= len(test) <= 45, len(test))

    def test_order_and_spelling_of_rows_change_nothing(self):
        self.write("breast-cancer.csv", HEADER, *self.many())
        _, _, test = preprocess.split(self.folder)
        self.write("breast-cancer.csv", HEADER, *(line.replace(".5,", ".50,") for line in reversed(self.many())))
        _, _, again = preprocess.split(self.folder)
        self.assertEqual(sorted(test), sorted(again))

    def test_later_files_only_enlarge_training(self):
        self.write("breast-cancer.csv", HEADER, *self.many())
        _, train, test = preprocess.split(self.folder)
        # Sorts before the first file, and repeats all of its rows.
        self.write("a-part.csv", HEADER, *self.many(), *(f"1,{number}.25,3" for number in range(40)))
        _, more, same = preprocess.split(self.folder)
        self.assertEqual(same, test)
        self.assertEqual(more[: len(train)], train)
        self.assertEqual(len(more), len(train) + 40)

    def test_later_days_are_left_out(self):
        self.write("breast-cancer.csv", HEADER, *self.many())
        for folder in ("2026-03-07", "2026-03-08", "day=20260309", "a-2026-13-45"):
            (self.folder / folder).mkdir()
        rows = iter(range(1000, 2000))
        for name in ("2026-03-07/a.csv", "2026-03-08/a.csv", "day=20260309/a.csv", "a-2026-13-45/b.csv", "part-20260310.csv"):
            self.write(name, HEADER, f"1,{next(rows)},3")
        for until, more in (("", 5), (None, 5), ("2026-03-08T03:00:00Z", 3), ("2026-03-09T00:00:00Z", 4), ("2026-01-01T00:00:00Z", 1)):
            _, train, test = preprocess.split(self.folder, until)
            self.assertEqual(len(train) + len(test), 100 + more, until)
        with self.assertRaisesRegex(dataset.DataError, "--until soon: not a time"):
            preprocess.split(self.folder, "soon")

    def test_what_it_writes_reads_back_and_stays_the_same(self):
        outputs = [self.folder / "train", self.folder / "test"]
        arguments = ["--input", str(DATA), "--train", str(outputs[0]), "--test", str(outputs[1])]
        preprocess.main(arguments)
        files = [outputs[0] / "train.csv", outputs[1] / "test.csv"]
        first = [file.read_bytes() for file in files]
        preprocess.main(arguments)
        self.assertEqual([file.read_bytes() for file in files], first)
        features, train, test = preprocess.split(DATA)
        for file, rows in zip(files, (train, test)):
            names, values, labels = dataset.read(file)
            self.assertEqual(names, features)
            self.assertEqual(list(zip(labels, values)), rows)


class Mistakes(Folder):
    def test_a_bad_line_is_named(self):
        for line, message in [
            ("1,2", "line 3: 2 columns instead of 3"),
            ("2,1,1", "line 3: the label must be 0 or 1, not '2'"),
            (",1,1", "line 3: the label must be 0 or 1"),
            ("1,one,1", "line 3: radius is no number: 'one'"),
            ("1,1,", "line 3: texture is no number: ''"),
            ("1,nan,1", "line 3: radius must be finite and not negative"),
            ("1,inf,1", "line 3: radius must be finite and not negative"),
            ("1,1,-2", "line 3: texture must be finite and not negative"),
        ]:
            with self.subTest(line=line):
                self.write("breast-cancer.csv", HEADER, "0,1,1", line)
                with self.assertRaises(dataset.DataError) as caught:
                    preprocess.split(self.folder)
                self.assertIn("breast-cancer.csv, " + message, str(caught.exception))

    def test_a_bad_file_is_named(self):
        for header, message in [
            ("radius,label,texture", "the header must be 'label'"),
            ("label", "the header must be 'label'"),
            ("label,radius,radius", "two columns have the same name"),
            ("label,texture,radius", "the columns differ"),
        ]:
            with self.subTest(header=header):
                self.write("breast-cancer.csv", HEADER, *self.many())
                self.write("part-0002.csv", header)
                with self.assertRaises(dataset.DataError) as caught:
                    preprocess.split(self.folder)
                self.assertIn("part-0002.csv, line 1: " + message, str(caught.exception))

    def test_too_little_data(self):
        for name, lines, message in [
            ("part-0002.csv", self.many(), "no file is called breast-cancer*.csv"),
            ("breast-cancer.csv", [], "must hold both labels"),
            ("breast-cancer.csv", ["1,1,1"], "must hold both labels"),
        ]:
            with self.subTest(name=name, lines=len(lines)):
                for file in self.folder.iterdir():
                    file.unlink()
                self.write(name, HEADER, *lines)
                with self.assertRaises(dataset.DataError) as caught:
                    preprocess.split(self.folder)
                self.assertIn(message, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
