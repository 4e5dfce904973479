"""The shipped recogniser keeps what its card says of it, on people it never saw."""

from __future__ import annotations

import csv
import re
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidanon.evaluate.metrics_match import best_threshold
from vidanon.recognise.crop import crop
from vidanon.recognise.student import Student, load_student
from vidanon.runtime.device import choose_runtime

CARD = Path(__file__).parents[2] / "models" / "student.md"
POINTS = (("rex", "rey"), ("lex", "ley"), ("nx", "ny"), ("rmx", "rmy"), ("lmx", "lmy"))


def pairs(text: str) -> list[tuple[str, str, bool]]:
    """Every fourth pair of the protocol: 150 of each of its ten folds, half of them of one person."""
    out = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) == 3:
            words.insert(2, words[0])
        one, first, other, second = words
        out.append((f"{one}/{one}_{int(first):04d}.jpg", f"{other}/{other}_{int(second):04d}.jpg", one == other))
    return out[::4]


@pytest.fixture(scope="module")
def answers(test_data) -> tuple[Student, list[tuple[str, str, bool]], dict[str, np.ndarray]]:
    folder = test_data / "faces"
    chosen = pairs((folder / "lfw-pairs.txt").read_text())
    needed = {name for first, second, _ in chosen for name in (first, second)}
    with (folder / "lfw-landmarks.csv").open(newline="") as file:
        landmarks = {
            row["path"]: np.array([[float(row[x]), float(row[y])] for x, y in POINTS], np.float32) + 0.5  # centres
            for row in csv.DictReader(file)
            if row["path"] in needed
        }
    student = load_student(choose_runtime("cpu", 1))
    crops = {}
    with tarfile.open(folder / "lfw-deepfunneled.tar") as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if name in needed:
                data = archive.extractfile(member)
                assert data is not None
                bgr = cv2.imdecode(np.frombuffer(data.read(), np.uint8), cv2.IMREAD_COLOR)
                crops[name] = crop(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), landmarks[name], student.description)
    assert set(crops) == needed
    embeddings = student.embed(np.stack(list(crops.values())))
    return student, chosen, dict(zip(crops, embeddings, strict=True))


def test_accuracy_is_that_of_the_card(answers):
    _, chosen, embeddings = answers
    assert len(chosen) == 1500
    scores = np.array([embeddings[a] @ embeddings[b] for a, b, _ in chosen])
    same = np.array([truth for *_, truth in chosen])
    assert same.sum() == 750
    accuracy = ((scores >= best_threshold(scores, same)) == same).mean()
    card = re.search(r"^\| as shipped[^|]*\| ([\d.]+) %", CARD.read_text(encoding="utf-8"), re.MULTILINE)
    assert card is not None
    assert abs(100 * accuracy - float(card[1])) <= 1, f"{accuracy:.4f} here, {card[1]} % in the card"


def test_the_thresholds_are_of_these_weights(answers):
    """False accepts among all pairs of different people are about as rare as the thresholds claim."""
    student, _, embeddings = answers
    people = np.array([name.partition("/")[0] for name in embeddings])
    matrix = np.stack(list(embeddings.values()))
    scores = (matrix @ matrix.T)[np.triu(people[:, None] != people[None])]
    assert len(scores) > 500_000
    for far, threshold in student.description.thresholds.items():
        assert 0.6 * far < (scores >= threshold).mean() < 1.6 * far, far
