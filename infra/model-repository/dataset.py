"""Reads and writes the data sets: CSV with a header, `label` first, then the features."""

import csv
import math

LABEL = "label"


class DataError(ValueError):
    """A data set that can't be used. The message names the file and the line."""


def read(path):
    """The names of the features, the rows of features and their labels."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        if header[:1] != [LABEL] or len(header) < 2:
            raise DataError(f"{path}, line 1: the header must be '{LABEL}' and then the names of the features")
        if len(set(header)) != len(header):
            raise DataError(f"{path}, line 1: two columns have the same name")
        rows, labels = [], []
        for fields in reader:
            # A blank line, usually the last one, is no row.
            if fields:
                label, row = parse(fields, header, f"{path}, line {reader.line_num}")
                labels.append(label)
                rows.append(row)
    return header[1:], rows, labels


def parse(fields, header, where):
    """The label and the features of one line."""
    if len(fields) != len(header):
        raise DataError(f"{where}: {len(fields)} columns instead of {len(header)}")
    if fields[0].strip() not in ("0", "1"):
        raise DataError(f"{where}: the label must be 0 or 1, not '{fields[0]}'")
    row = []
    for name, field in zip(header[1:], fields[1:]):
        try:
            value = float(field)
        except ValueError:
            raise DataError(f"{where}: {name} is no number: '{field}'") from None
        if not math.isfinite(value) or value < 0:
            raise DataError(f"{where}: {name} must be finite and not negative, not '{field}'")
        row.append(value)
    return int(fields[0]), row


def write(path, features, rows, labels):
    """Writes what `read` reads. Numbers are written so that they read back exactly."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([LABEL, *features])
        writer.writerows([label, *row] for label, row in zip(labels, rows))
