"""Interrupted training goes on with the same bits; a checkpoint of another training, or a damaged one, is refused."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc._system import writers
from resmc.results import archive
from resmc.train import Fit, fit, gaussian_regression

pytest.importorskip("torch")

from resmc.experiments.train import checkpoint as checkpoints
from resmc.experiments.train import training as trainings

MODEL = ResidualNetwork(4, 3, "v-phi-w", "relu")
MODELS = [MODEL, replace(MODEL, scaling=DepthScaling(1.0)), ResidualNetwork(4, 2, "phi-out", "tanh", bias=0.1)]
X, Y = gaussian_regression(60, features=3, outputs=2)
STEPS = 24  # 4 epochs of 3 batches, of two shapes
GIVEN: dict[str, Any] = {
    "networks": 2, "learning_rate": [0.01, 0.1, 1e9], "epochs": 4, "batch": 12, "momentum": 0.9, "weight_decay": 0.01,
    "step_epochs": 2, "workers": 1, "progress": False,
}  # fmt: skip
NUMBERS = ("training_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy", "finite")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is written after each step."""
    monkeypatch.setattr(checkpoints, "LEAST", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def trained(file: Path | None = None, **given: Any) -> Fit:
    arguments = {"models": MODELS, "X": X, "y": Y} | GIVEN | given
    return fit(arguments.pop("models"), arguments.pop("X"), arguments.pop("y"), checkpoint=file, **arguments)


def interrupted(file: Path, steps: int, **given: Any) -> int:
    """Train until so many steps are done, as Ctrl-C may come then; return how many steps were taken."""
    taken = 0

    def progress(done: int, total: int) -> None:
        nonlocal taken
        taken += 1
        if taken == steps:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        trained(file, **given | {"progress": progress})
    return taken


def assert_same(one: Fit, other: Fit) -> None:
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for b in range(len(one.models)):
        for rate in one.settings.rates:
            for name in one.names(b):
                np.testing.assert_array_equal(one.weights(name, b, rate), other.weights(name, b, rate), err_msg=name)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"optimizer": "adam", "momentum": 0.0, "scales": "layers"},
        {"ends": "fixed", "momentum": 0.0, "scales": "shared", "start": 0.5},
    ],
)
def test_interrupted_training_ends_with_the_bits_of_training_that_was_not(changed, tmp_path):
    """Interrupted within an epoch, at its end, where a network has failed, and in either part; and again and again."""
    whole = trained(**changed)
    assert not whole.finite.all()
    for steps in (1, 6, 15):
        file = tmp_path / f"{steps}"
        assert interrupted(file, steps, **changed) == steps
        assert_same(trained(file, **changed | {"workers": 2}), whole)
    for _ in range(4):
        assert interrupted(tmp_path / "again", 5, **changed) == 5
    assert interrupted(file, 5, **changed) == 2  # one report for each part, as both are finished
    assert_same(trained(tmp_path / "again", **changed), whole)


def at_update(monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], object]) -> None:
    """Let something happen after one chunk of members has taken its share of a step, and before it is counted."""
    step, updates = trainings._Update.step, itertools.count(1)

    def updated(update: trainings._Update) -> None:
        step(update)
        if next(updates) == number:
            happens()

    monkeypatch.setattr(trainings._Update, "step", updated)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_in_the_middle_of_a_step_ends_it_and_writes_it(workers, tmp_path, monkeypatch):
    whole = trained()
    monkeypatch.setattr(checkpoints, "LEAST", np.inf)
    with monkeypatch.context() as patched:
        at_update(patched, 10, press_ctrl_c)  # a chunk of each of 3 rates, one of which soon fails
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "file", workers=workers)
    assert 4 <= _steps(tmp_path / "file") <= 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(trained(tmp_path / "file"), whole)


def test_an_exception_in_the_middle_of_a_step_writes_nothing(tmp_path, monkeypatch):
    """A second Ctrl-C comes at once: some members are a step ahead of others then."""
    whole = trained()
    monkeypatch.setattr(checkpoints, "LEAST", np.inf)
    with monkeypatch.context() as patched:
        at_update(patched, 10, lambda: (press_ctrl_c(), press_ctrl_c()))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "file")
    assert _steps(tmp_path / "file") == 0
    assert_same(trained(tmp_path / "file"), whole)


@pytest.mark.parametrize("leave", [resmc.stop, press_ctrl_c])
def test_stop_and_ctrl_c_between_two_steps_lose_none(leave, tmp_path, monkeypatch):
    whole, taken = trained(), []
    monkeypatch.setattr(checkpoints, "LEAST", np.inf)

    def progress(done: int, total: int) -> None:
        taken.append(done)
        if len(taken) == 5:
            leave()

    with pytest.raises((KeyboardInterrupt, resmc.Stopped)):
        trained(tmp_path / "file", progress=progress)
    assert _steps(tmp_path / "file") == len(taken) == 5
    assert_same(trained(tmp_path / "file"), whole)


@pytest.mark.long
def test_a_killed_process_loses_no_more_than_what_was_not_written(tmp_path):
    file = tmp_path / "file"
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "import test_train_checkpoint as test\n"
        "test.checkpoints.LEAST = 0.0\n"
        "test.trained(sys.argv[2], progress=lambda *_: time.sleep(0.1))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(Path(__file__).parent), str(file)])
    try:
        until = time.monotonic() + 60.0
        while process.poll() is None and time.monotonic() < until and not (file.exists() and _steps(file) > 3):
            time.sleep(0.02)
        assert process.poll() is None
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert 3 < _steps(file) < STEPS
    assert_same(trained(file), trained())


def _steps(file: Path) -> int:
    return int(archive.Archive(file.read_bytes(), "file").array("0.done", np.dtype(np.int64)))


def test_what_a_killed_process_left_half_written_is_removed_and_what_another_writes_is_not(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    ours = writers.temporary_name()
    left = ours.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    for name in (ours, left, "notes.tmp"):
        (tmp_path / name).write_bytes(b"half")
    trained(tmp_path / "file", models=MODEL, epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"file", ours, "notes.tmp"}


def test_a_checkpoint_is_not_written_more_often_than_a_twentieth_of_the_time_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHARE", 0.05)
    written: list[float] = []
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])

    def write(data: bytes, path: Path) -> None:
        written.append(clock[0])
        clock[0] += 1.0

    monkeypatch.setattr(checkpoints, "write_atomically", write)
    kept = checkpoints.Checkpoint(tmp_path / "file", {})
    for _ in range(1000):
        clock[0] += 0.1
        if kept.due:
            kept.write(0, {})
    assert len(written) == 5  # one at once, and then every 21 of 105 seconds
    assert min(np.diff(written)) >= 20.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("training") / "file"
    trained(file)
    return file


OTHER: list[tuple[dict[str, Any], str]] = [
    ({"batch": 8}, "differs in batch=8, where it was 12. Ask for the same"),
    ({"learning_rate": 0.1}, r"differs in learning_rate=\[0.1\], where it was \[0.01, 0.1, 1000000000.0\]"),
    (
        {"scales": "layers", "start": 0.5},
        "differs in scales='layers', where it was 'fixed'; start=0.5, where it was 1.0",
    ),
    ({"momentum": 0.5, "decay": 0.5}, "differs in momentum=0.5, where it was 0.9; decay=0.5, where it was 0.1"),
    ({"y": np.arange(60) % 2}, "differs in loss='cross_entropy', where it was 'mean_square'; the data"),
    ({"epochs": 5}, "differs in epochs=5, where it was 4"),
    ({"seed": 1}, "differs in seed=1, where it was 0"),
    ({"X": X + np.eye(60, 3)}, "differs in the data: X, y, or the indices"),
    ({"y": -Y}, "differs in the data: X, y, or the indices"),
    ({"X": X[:, :2]}, "differs in features=2, where it was 3; the data"),
    ({"split": (0.6, 0.2, 0.2)}, r"differs in split=\[0.6, 0.2, 0.2\], where it was \[0.7, 0.15, 0.15\]"),
    ({"networks": 3}, r"differs in networks=\[0, 1, 2\], where it was \[0, 1\]"),
    ({"models": MODELS[:2]}, "differs in 2 models, where there were 3"),
    ({"models": [*MODELS[:2], replace(MODELS[2], bias=0.2)]}, r"differs in models\[2\].bias=0.2, where it was 0.1"),
    ({"seed": 1, "epochs": 1, "batch": 2, "decay": 0.2, "ends": "fixed"}, "; and 1 more. Ask"),
]


@pytest.mark.parametrize(("given", "said"), OTHER, ids=[said for _, said in OTHER])
def test_another_training_is_refused_and_the_message_says_what_differs(given, said, finished):
    before = finished.read_bytes()
    with pytest.raises(ValueError, match=said):
        trained(finished, **given)
    assert finished.read_bytes() == before


def test_a_loss_that_follows_from_the_data_may_be_named(finished):
    before = finished.read_bytes()
    assert trained(finished, loss="mean_square").settings == trained(finished).settings
    assert finished.read_bytes() == before


def _changed(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """A file whose checksum is right, but whose manifest or arrays are changed."""

    def make(data: bytes) -> bytes:
        found = archive.Archive(data, "file")
        names = [name.removesuffix(".npy") for name in found._members if name.endswith(".npy")]
        types = [np.dtype(one) for one in (np.float32, np.float64, np.int64, np.bool_)]
        arrays = {name: found.array(name, *types) for name in names}
        manifest = found.manifest
        change(manifest, arrays)
        return archive.to_bytes(manifest, arrays)

    return make


DAMAGED: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: b"", "is not a resmc training, or its end is missing: it is empty: remove it to begin anew"),
    (lambda data: data[:-9], "its end is missing"),
    (lambda data: b"words" * 99, "is not a resmc training"),
    (lambda data: data[:999] + bytes([data[999] ^ 1]) + data[1000:], "is damaged: its checksum does not match"),
    (_changed(lambda manifest, arrays: arrays.pop("0.done")), "it has no 0.done.npy"),
    (
        _changed(lambda manifest, arrays: arrays.update({"0.done": np.array(99)})),
        "it says that 99 of 12 steps are done",
    ),
    (_changed(lambda manifest, arrays: arrays.update({"1.alive": np.ones(2, bool)})), "alive has the shape"),
    (_changed(lambda manifest, arrays: arrays.update({"0.0.V": np.zeros(3)})), "0.0.V has the wrong type"),
    (_changed(lambda manifest, arrays: manifest.clear()), "its manifest has no 'format'"),
    (_changed(lambda manifest, arrays: manifest.update(format="letter")), "it is a file of the format 'letter'"),
    (_changed(lambda manifest, arrays: manifest.update(schema_version=2)), "schema version 2, and 1 is read"),
    (_changed(lambda manifest, arrays: manifest.update(parts="many")), "parts='many'"),
    (_changed(lambda manifest, arrays: manifest.update(described=3)), "is not a training that this resmc can read"),
    (_changed(lambda manifest, arrays: manifest["described"].update(models=[1, 2, 3])), "is not a training that"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGED, ids=[said for _, said in DAMAGED])
def test_a_damaged_checkpoint_is_refused_in_a_sentence_and_left_alone(damage, said, finished, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(damage(finished.read_bytes()))
    before = file.read_bytes()
    with pytest.raises(ValueError, match=said) as caught:
        trained(file)
    assert str(caught.value).startswith(f"checkpoint='{file}'")
    assert file.read_bytes() == before


def test_a_file_of_a_simulation_is_no_checkpoint(tmp_path):
    resmc.simulate(width=4, depth=2, alpha=0.7, lam=0.7, networks=8).save(tmp_path / "file")
    with pytest.raises(ValueError, match="it is a file of the format 'resmc-simulation': remove it to begin anew"):
        trained(tmp_path / "file")


def test_a_place_that_cannot_be_written_to_is_found_before_training(tmp_path, monkeypatch):
    steps = lambda *_: pytest.fail("it has begun to train")  # noqa: E731
    for place, kind in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "none" / "file", FileNotFoundError),
        (Path("/dev/null"), OSError),
        (Path("/proc/file"), OSError),
    ):
        with pytest.raises(kind):
            trained(place, progress=steps)
    with pytest.raises(ValueError, match="checkpoint=3 is not allowed: it must be the name of a file"):
        trained(3, progress=steps)  # type: ignore[arg-type]
