"""The table of `python -m bench.gpu_check`: what was asked and what was reached, from its report."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def markdown(report: dict[str, Any]) -> str:
    """The written and printed text; steps that are not there yet are left out."""
    m, steps = report["machine"], report["steps"]
    clean = {True: "", False: " (with changes)", None: " (not known whether clean)"}[report["clean"]]
    lines = [
        f"# {m['gpu']}, commit {report['commit'].removesuffix('+')}{clean}",
        "",
        f"{report['date']}; driver {m['driver']}, nvcc {m.get('nvcc')}, torch {m.get('torch')}, jax {m.get('jax')}, "
        f"Python {m['python']}; {m['cpu']}, {m['cores']} cores; at most {report['minutes']:g} minutes",
        "",
        *table(("step", "status", "seconds", "limit"), [_step(name, step) for name, step in steps.items()]),
    ]
    writers = {"parity": parity, "tests": tests, "sanitizer": sanitizer, "speed": speed, "peers": peers}
    for name, writer in writers.items():
        if name in steps and (body := writer(steps[name])):
            lines += ["", f"## {name}", "", *body]
    return "\n".join(lines) + "\n"


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    cells = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells]


def _step(name: str, step: Row) -> tuple[Any, ...]:
    why = f": {step['reason']}" if "reason" in step else ""
    return name, step["status"] + why, step.get("took_s", "-"), step.get("limit_s", "-")


def _not_measured(row: Row) -> str | None:
    """Why a row has no numbers."""
    if "error" in row:
        return f"FAILED: {row['error']}"
    return f"skipped: {row['skipped']}" if "skipped" in row else None


def parity(step: Row) -> list[str]:
    rows = []
    for row in step.get("rows", []):
        why, asked = _not_measured(row), row.get("asked", "equal words")
        if why:
            reached = why
        elif "roots_that_differ" in row:
            reached = f"{row['roots_that_differ']} of {row['radicands']} square roots differ"
        elif "quantities" in row:
            reached = "; ".join(
                f"{name} max {q['max']:.2g}, above {q['above']:.2%}" for name, q in row["quantities"].items()
            )
        elif "log_product_difference" in row:
            d = row["log_product_difference"]
            reached = (
                f"max {d['max']:.2g}, median {d['median']:.2g}, above {row['above_1e-4']:.2%} of {row['populations']} "
                f"populations, resampled at {row['layers'] - 2} layers"
            )
        elif "log_norm_difference" in row:
            d = row["log_norm_difference"]
            reached = (
                f"max {d['max']:.2g}, median {d['median']:.2g}, above {row['above_1e-4']:.2%}; equal bits "
                f"{row['final_bits_equal']:.1%}; equal sums of active {row['integers_equal']['active']:.1%}"
                + (f"; states in {row['states']}" if "states" in row else "")
            )
        else:
            differ = [f"{k} {v['normals_that_differ']}" for k, v in row.items() if isinstance(v, dict)]
            reached = (
                f"{row['words_that_differ']} of {row['words']} words differ; normals of {row['normals']} that differ "
                f"from the CPU's: {', '.join(differ)}"
            )
        rows.append((row["name"], asked, reached, {True: "yes", False: "NO", None: "-"}[row.get("holds")]))
    return table(("networks on CPU and GPU", "asked", "reached", "contract holds"), rows) if rows else []


def tests(step: Row) -> list[str]:
    if "ran" not in step:
        return []
    reached = f"{step['passed']} passed, {step['failures']} failed, {step['skipped']} skipped"
    if step["ran"] != step["collected"]:
        reached += f"; {step['ran']} of {step['collected'] or 'an unknown number'} ended in time"
    lines = table(("asked", "reached"), [("no failure", reached)])
    return [*lines, "", *(f"- {line}" for line in step["failed"])] if step["failed"] else lines


def sanitizer(step: Row) -> list[str]:
    rows = []
    for name, tool in step.get("tools", {}).items():
        said = tool.get("summary") or tool.get("reason") or "; ".join(tool.get("words", [])[:3]) or "no verdict"
        rows.append((name, "0 errors", said, tool["status"]))
    return table(("tool", "asked", "reached", "status"), rows) if rows else []


def _spread(s: Row) -> str:
    return f"{s['median']:.4g} ({s['min']:.4g} to {s['max']:.4g})"


def speed(step: Row) -> list[str]:
    sizes: list[tuple[Any, ...]] = []
    shapes: list[tuple[Any, ...]] = []
    others: list[tuple[Any, ...]] = []
    for row in step.get("rows", []):
        why = _not_measured(row)
        if why:
            others.append((row["name"], why))
        elif "generator_per_s" in row:
            sizes.append(
                (row["name"], row["shape"], _spread(row["per_s"]), f"{row['generator_per_s']['median']:.4g}",
                 f"{row['of_generator']:.1%}", f"{row['reduce_over_simulate']:.1%}")
            )  # fmt: skip
        elif "chosen" in row:
            share = "not measured" if row["chosen_over_best"] is None else f"{row['chosen_over_best']:.1%}"
            shapes.append((row["name"], row["chosen"], row["best"], f"{row['per_s'][row['best']]:.4g}", share))
        else:
            beside = f", {_spread(row['of_plain'])} times a plain simulation's" if "of_plain" in row else ""
            others.append((row["name"], f"{_spread(row['seconds'])} s, {row['per_s']:.4g} per s{beside}"))
    lines: list[str] = []
    if sizes:
        sums = "sums, beside the kernel's time"
        lines += table(("size", "shape", "per s", "generator alone", "of generator", sums), sizes)
    if shapes:
        chosen = "chosen by counted instructions"
        lines += ["", *table(("sweep", chosen, "fastest", "its neurons per s", "chosen / fastest"), shapes)]
    if others:
        lines += ["", *table(("other", "reached"), others)]
    return lines


def peers(step: Row) -> list[str]:
    found = step.get("rows", [])
    ours = next((row["per_s"]["median"] for row in found if row["name"] == "ours" and "per_s" in row), None)
    rows, lines = [], []
    for row in found:
        why = _not_measured(row)
        if why:
            rows.append((row["name"], why, "-", "-"))
        elif "randn_per_s" in row:
            names = {"torch.randn": "randn_per_s", "in cache": "randn_in_cache_per_s", "ours, forgotten": "ours_per_s"}
            lines = ["", *table(("normals", "per s"), [(k, _spread(row[v])) for k, v in names.items()])]
        else:
            options = ", ".join(f"{k} {v}" for k, v in row["options"].items()) or "-"
            ratio = "-" if ours is None else f"{ours / row['per_s']['median']:.4g}"
            rows.append((row["name"], _spread(row["per_s"]), options, ratio))
    head = ("peer, 192x200", "neuron updates per s", "best options", "resmc / peer")
    return [*table(head, rows), *lines] if rows else lines[1:]
