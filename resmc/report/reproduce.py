"""Command lines and Python that give a simulation's file, or a sweep's store, once more in the same bits."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.build import VARIABLE
from .._system.plain import Plain
from ..analyses.regime import Regime
from ..engine.recording import batch_size, recorded_layers
from ..engine.request import NetworkRange
from ..experiments.heat_map import HeatMap
from ..experiments.train.heat_map import TrainedHeatMap
from ..models.spelling import of_dict
from ..results.record import Record
from ..results.storage import to_bytes
from . import asked
from .found import rounding
from .numbers import counted
from .spelled import model_call, model_options, numbers_of

FILE = "again.resmc"
STORED = "run.resmc"  # stands for the file of a simulation whose model is too long to print
MOST_NUMBERS = 1000  # numbers of a scaling and an input that are written out


@dataclass(frozen=True)
class Reproduction:
    """Instructions to get a result again: shell, Python, remarks in sentences, and the hash of the file."""

    shell: str
    python: str
    sentences: tuple[str, ...]
    sha256: str | None = None


def of_simulation(sim: Record) -> Reproduction:
    """Return runs of `resmc simulate` with the networks of ``sim``, recorded in the same way."""
    runs = [_run_arguments(sim, found) for found in _runs(sim)]
    files = [FILE] if len(runs) == 1 else [f"part-{k}.resmc" for k in range(1, len(runs) + 1)]
    environment = _environment(sim.numerics[1:])
    device = _device(sim.numerics[1:])
    written = numbers_of(sim.model) <= MOST_NUMBERS
    held = any(isinstance(value, asked.Expression) for value in runs[0].values())
    model = model_call(sim.model) if written else f"resmc.load({STORED!r}).model"
    options = model_options(sim.model) if written else {}
    lines = [_command(environment, options | a | device, f) for a, f in zip(runs, files, strict=True)]
    calls = [_call("resmc.simulate", a | device, model) for a in runs]
    if len(runs) > 1:
        code = f"import resmc; resmc.merge(*map(resmc.load, {files})).save({FILE!r})"
        lines.append(f"python -c {shlex.quote(code)}")
        calls = ["resmc.merge(\n" + "".join(f"{_indented(c)},\n" for c in calls) + ")"]
    python = f"{_setting(environment)}import resmc\n\nsim = {calls[0]}\nsim.save({FILE!r})"
    sentences = list(_remarks(sim))
    if held or not written:
        lines = [f"python -c {shlex.quote(python)}"]
    if held:
        sentences.append(f"{STORED} is the file of this simulation, which holds its inputs with all digits.")
    if not written:
        sentences.append(
            f"The network has {counted(numbers_of(sim.model), 'number')} in its scaling, input and weights: too many "
            f"to print here. {STORED} is the file of this simulation, which holds them."
        )
    return Reproduction("\n".join(lines), python, tuple(sentences), hashlib.sha256(to_bytes(sim)).hexdigest())


def _runs(sim: Record) -> list[NetworkRange]:
    """Return the ranges, cut where samples or paths begin anew: a run keeps those of its first networks.

    In a file that was merged from [0, 1000) and [1000, 2000) with ten samples each, these are of networks 0 to 9 and
    1000 to 1009, which no single run keeps.
    """
    kept = [each.astype(np.int64) for each in (sim.sampled, sim.trajectories.networks)]
    starts = {int(k) for each in kept for k in each[np.diff(each, prepend=-2) > 1]}
    out = []
    for r in sim.ranges:
        cuts = [r.start, *sorted(k for k in starts if r.start < k < r.stop), r.stop]
        out += [r._replace(start=a, stop=b) for a, b in pairwise(cuts)]
    return out


def _run_arguments(sim: Record, found: NetworkRange) -> Plain:
    """Return the arguments of `resmc.simulate` besides the model for one range, without those that have their default.

    Quotients are there only where more than h was followed; the gradients' come with the displacement's.
    """
    out: Plain = {"networks": found.stop - found.start, "seed": sim.seed}
    if found.start:
        out["first_network"] = found.start
    if sim.method != "projected":
        out["method"] = sim.method
    if sim.joint is not None:
        out |= asked.arguments(sim.joint.recording, STORED)
    elif "gradient" in sim.laws:
        out["gradients"] = True
    elif sim.lowered.has_displacement and bool(sim.laws) != sim.lowered.follows_displacement:
        out["displacement"] = bool(sim.laws)
    if not np.array_equal(sim.layers, recorded_layers(sim.model.depth, None)):
        out["layers"] = _layers(sim.layers)
    if sim.lowered.log_gaussian is not None and not sim.correlations:  # other networks have none
        out["correlations"] = False
    for name, kept in (("keep_samples", sim.sampled), ("keep_trajectories", sim.trajectories.networks)):
        number = int(np.count_nonzero((kept >= found.start) & (kept < found.stop)))
        if number:
            out[name] = number
    return out


def _layers(layers: NDArray[np.int64]) -> range | list[int]:
    """Return the recorded layers, as a range where all but the last, which is always recorded, are equally spaced."""
    chosen = layers.tolist()
    if len(chosen) == 2:
        return [0]
    step = chosen[1]
    steps = range(0, chosen[-1] + 1, step)
    return steps if sorted({*steps, chosen[-1]}) == chosen else chosen


def _environment(classes: Iterable[str]) -> str | None:
    """Return the instruction set to choose, if that alone decides on the bits."""
    sets = {c.replace("-", "/").partition("/")[2] for c in classes if c.startswith("cpu")}
    return sets.pop() if len(sets) == 1 and all(c.startswith("cpu") for c in classes) else None


def _device(classes: Iterable[str]) -> dict[str, str]:
    kinds = {"cpu" if c.startswith("cpu") else "cuda" for c in classes}
    return {"device": "cuda"} if kinds == {"cuda"} else {"device": "cpu"}


def _remarks(sim: Record) -> Iterable[str]:
    classes, agree = sim.numerics[1:], rounding([sim.model], sim.method)
    uncut = all(r.batch == batch_size(r.stop - r.start) for r in _runs(sim))
    if len(classes) > 1:
        yield (
            f"Several numerics classes have computed this ({', '.join(classes)}); a run on one of them gives the "
            f"same networks, and {agree}."
        )
        return
    where = f"On the numerics class {classes[0]}"
    if not uncut:
        yield (
            f"{where} this gives the same networks, integers that are equal and floats within 1e-12 of their scale. "
            "The file was merged from shorter runs, whose groups gave slightly other standard errors."
        )
        return
    yield (
        f"{where} this gives the same file, byte for byte, whatever the number of threads (if it was merged from "
        "neighbouring ranges: integers that are equal, floats within 1e-12 of their scale)."
    )
    if not classes[0].startswith("cpu"):
        yield "Correlations are summed by the GPU's library: within 1e-12 where its version differs."
    yield f"Elsewhere the same networks come out, random number by random number; {agree}."


def of_regime(found: Regime) -> Reproduction:
    """Return the call of `resmc.regime`, and the command, that simulate and judge the same networks again."""
    sims, model = found.simulations, found.model
    first, classes = sims[0], sorted({name for sim in sims for name in sim.numerics[1:]})
    arguments: Plain = {"depths": found.depths.tolist(), "networks": first.networks, "seed": first.seed}
    arguments |= {"method": first.method, "threshold": found.forward.threshold}
    environment, device = _environment(classes), _device(classes)
    call, options = model_call(replace(model, depth=1)), model_options(model)
    sentences = [
        f"On the numerics class{'es' * (len(classes) > 1)} {', '.join(classes)} this gives the same numbers, whatever "
        "the number of threads; elsewhere the same networks come out, and their rounding may differ."
    ]
    if numbers_of(model) > MOST_NUMBERS:
        call, options = model_call(replace(model, input=None, n_in=None, depth=1)), options | {"input": "INPUT"}
        call = f"{call.removesuffix(')')}, input=INPUT)"
        sentences.append(f"The input has {counted(numbers_of(model), 'number')}: too many to print; INPUT is it.")
    options.pop("depth")
    words = _options(options | arguments | device)
    shell = wrapped([*_prefix(environment), "resmc", "regime", *words, "--output=regime.html"])
    python = f"{_setting(environment)}import resmc\n\nfound = {_call('resmc.regime', arguments | device, call)}"
    return Reproduction(shell, f"{python}\nprint(found.summary())", tuple(sentences))


# ---------------------------------------------------------------------------------------------------------- as commands


def _command(environment: str | None, arguments: Plain, file: str) -> str:
    return wrapped([*_prefix(environment), "resmc", "simulate", *_options(arguments), f"--output={file}"])


def _options(arguments: Plain) -> list[str]:
    words = []
    for name, value in arguments.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value is False:
            words.append("--no-" + name.replace("_", "-"))
        elif isinstance(value, range):
            words.append(f"{option}={value.start}:{value.stop}:{value.step}")
        elif isinstance(value, list) and value and isinstance(value[0], list):
            words.append(f"{option}={';'.join(','.join(map(repr, row)) for row in value)}")
        elif isinstance(value, list):
            words.append(f"{option}={','.join(map(str, value))}")
        else:
            words.append(f"{option}={value!r}" if isinstance(value, int | float) else f"{option}={value}")
    return words


def wrapped(words: list[str]) -> str:
    """Return a command in lines of a readable length."""
    lines, line = [], ""
    for word in map(shlex.quote, words):
        if line and len(line) + len(word) > 78:
            lines.append(line)
            line = "   "
        line += (" " if line else "") + word
    return " \\\n".join([*lines, line])


def _prefix(environment: str | None) -> list[str]:
    return [f"{VARIABLE}={environment}"] if environment else []


def _setting(environment: str | None) -> str:
    return f'import os\n\nos.environ["{VARIABLE}"] = "{environment}"\n' if environment else ""


def _call(function: str, arguments: Plain, first: str = "") -> str:
    lines = [first] * bool(first) + [f"{name}={value!r}" for name, value in arguments.items()]
    return f"{function}(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


# -------------------------------------------------------------------------------------------------------------- a sweep

MOST_MODELS = 1000  # models of a list that are written out


def of_sweep(plan: Any, classes: tuple[str, ...]) -> Reproduction:
    """Return the plan as a file with the command that runs it, and Python that does as much."""
    given = {name: value for name, value in plan.to_dict().items() if name not in ("format", "schema_version")}
    environment = _environment(classes)
    device = _device(classes)["device"] if classes else "auto"
    where = f"On the numerics class {classes[0]}" if len(classes) == 1 else "On one numerics class"
    sentences = [
        f"{where} this gives the same shards, byte for byte, whatever the number of workers; a store that "
        "holds some of them keeps them."
    ]
    if len(classes) > 1:
        sentences.append(
            f"Here several have filled the store: {', '.join(classes)}. Their networks are the same, "
            "their rounding is not."
        )
    command = [*_prefix(environment), "resmc", "sweep", "plan.toml", "--store=again", f"--device={device}"]
    run = f"result = plan.run('again', device={device!r})"
    if plan.listed and len(plan.models) > MOST_MODELS:
        sentences.append(
            f"The plan lists {counted(len(plan.models), 'model')}: too many to print here. The plan.json "
            "of this store, STORE, holds them."
        )
        worker = [*_prefix(environment), "resmc", "worker", "again", f"--device={device}"]
        python = (
            f"{_setting(environment)}import json\n\nimport resmc\n\nwith open('STORE/plan.json') as file:\n"
            f"    plan = resmc.Sweep.from_dict(json.load(file))\n{run}"
        )
        shell = f"mkdir -p again/shards   # an empty store\ncp STORE/plan.json again/\n{wrapped(worker)}"
        return Reproduction(shell, python, tuple(sentences))
    file = "".join(f"{name} = {toml(value)}\n" for name, value in given.items())
    shell = f"cat >plan.toml <<'END'\n{file}END\n{wrapped(command)}"
    python = f"{_setting(environment)}import resmc\n\nplan = {_sweep_call(given)}\n{run}"
    return Reproduction(shell, python, tuple(sentences))


def _sweep_call(given: Plain) -> str:
    if "models" not in given:
        return _call("resmc.Sweep", given)
    models = "".join(f"        {model_call(of_dict(m))},\n" for m in given["models"])
    rest = "".join(f"    {name}={value!r},\n" for name, value in given.items() if name != "models")
    return f"resmc.Sweep(\n    [\n{models}    ],\n{rest})"


def toml(value: Any) -> str:
    """Return a plan's value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        given = (f'"{name}" = {toml(v)}' for name, v in value.items() if v is not None)  # TOML has no None
        return "{" + ", ".join(given) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"  {toml(v)},\n" for v in value) + "]"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


# ----------------------------------------------------------------------------------------------------------- a heat map


def of_heat_map(found: HeatMap) -> Reproduction:
    """Return the call of `resmc.heat_map` that computes the same networks again, as a program and as a command."""
    classes = tuple(name.replace("-", "/", 1) for name in found.numerics[1:])
    environment = _environment(classes)
    arguments: Plain = {"hurst": found.hurst.tolist(), "beta": found.beta.tolist(), "networks": found.wanted}
    arguments |= {"n_inputs": found.n_inputs, "seed": found.seed, "gradients": "gradient" in found.quantities}
    arguments |= {"store": "again", "device": _device(classes)["device"] if classes else "auto"}
    python = (
        f"{_setting(environment)}import resmc\n\nfound = {_call('resmc.heat_map', arguments, model_call(found.model))}"
    )
    python += "\nprint(found.summary())"
    where = f"On the numerics class {classes[0]}" if len(classes) == 1 else "On one numerics class"
    return Reproduction(
        f"python -c {shlex.quote(python)}",
        python,
        (
            f"{where} this gives the same numbers, whatever the number of workers; a store that holds some of the "
            "networks keeps them. Elsewhere the same networks come out, and their rounding may differ.",
        ),
    )


def of_trained_map(found: TrainedHeatMap) -> Reproduction:
    """Return the call of `resmc.train.heat_map` that trains the same networks again, given the data."""
    arguments: Plain = {"hurst": found.hurst.tolist(), "beta": found.beta.tolist(), "networks": found.wanted}
    arguments |= {**found.settings.to_dict(), "store": "again", **_device(found.numerics)}
    split = found.data.split
    arguments |= {} if isinstance(split, str) else {"split": list(split)}
    call = _call("resmc.train.heat_map", arguments, f"{model_call(found.model)},\n    X,\n    y")
    python = (
        f"import resmc\n\n# X, y: the data whose SHA-256 is {found.data.data}\nfound = {call}\nprint(found.summary())"
    )
    given = "" if not isinstance(split, str) else " The split was given by indices, which belong into split=."
    return Reproduction(
        "",
        python,
        (
            f"No store holds the data, {found.data.words()}: X and y are yours to give.{given}",
            f"On the same numerics class, {', '.join(found.numerics) or 'of which there is none yet'}, this gives the "
            "same numbers. Elsewhere the same networks begin, and rounding lets them end elsewhere.",
        ),
    )
