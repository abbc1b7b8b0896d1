"""Train a small convolutional residual network on scikit-learn's digits without stored states, beside autograd.

Sander, Ablin and Peyre (arXiv 2205.14612) train and fine-tune deep convolutional networks so. The residual part here is
N steps of Heun's method through N + 1 branches, which are the same at the start, as theirs are, and then train apart:

    x -> convolution -> x_0 -> .. -> x_N -> mean over four quarters -> logits           x_k: 8 channels, 8 x 8 pixels
    branch f_k(x) = convolution(tanh(convolution(x)))

Each way of going backwards trains in a process of its own, from the same weights and on the same batches. "Peak" is
what a forward and a backward pass of one batch take, as the operating system counts it, beyond parameters, gradients,
and what a network of two steps has taken before.

    python examples/digits.py [--depths 32 64] [--epochs 8] [--seed 0] [--output digits.png]

Needs ``resmc[digits,plot]``; the figure is of the memory against N.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from resmc.ode import ResidualODE

CHANNELS, BATCH, HELD_OUT = 8, 128, 360


class Branch(nn.Module):
    """Two convolutions with tanh between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def network(depth: int, backward: str, seed: int) -> nn.Sequential:
    """N = depth steps, all branches the same at the start."""
    torch.manual_seed(seed)
    stem, branch, head = nn.Conv2d(1, CHANNELS, 3, padding=1), Branch(), nn.Linear(4 * CHANNELS, 10)
    branches = [copy.deepcopy(branch) for _ in range(depth + 1)]
    residual = ResidualODE(branches, scheme="heun", backward=backward)
    return nn.Sequential(stem, residual, nn.AdaptiveAvgPool2d(2), nn.Flatten(), head)


def data(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (1797, 1, 8, 8) with a mean square of 1, and their digits, in a random order."""
    images, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    x = torch.as_tensor(images, dtype=torch.float32)[order].reshape(-1, 1, 8, 8) - 5.0
    return x / x.square().mean().sqrt(), torch.as_tensor(digits)[order]


def kilobytes(name: str) -> int:
    """A line of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def peak(net: nn.Module, backward: str, x: torch.Tensor, y: torch.Tensor) -> float:
    """Memory that a forward and a backward pass take beyond parameters and gradients, in MiB."""
    cross_entropy(network(2, backward, 0)(x), y).backward()  # libraries take their own memory now
    gradients = sum(4 * one.numel() for one in net.parameters())
    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    cross_entropy(net(x), y).backward()
    return (1024 * (kilobytes("VmHWM") - before) - gradients) / 2**20


def train(depth: int, backward: str, epochs: int, seed: int) -> dict[str, Any]:
    """Train in this process."""
    torch.set_num_threads(1)  # images are small
    net, (x, y) = network(depth, backward, seed), data(seed)
    found: dict[str, Any] = {"depth": depth, "backward": backward, "peak": peak(net, backward, x[:BATCH], y[:BATCH])}
    descent = torch.optim.Adam(net.parameters(), lr=2e-2)
    generator, start = torch.Generator().manual_seed(seed), time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(x) - HELD_OUT, generator=generator).split(BATCH):
            descent.zero_grad()
            loss = cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            descent.step()
    found["seconds"] = time.perf_counter() - start
    with torch.no_grad():
        logits = net(x)
        found["loss"] = cross_entropy(logits[:-HELD_OUT], y[:-HELD_OUT]).item()
        found["accuracy"] = (logits.argmax(1) == y)[-HELD_OUT:].double().mean().item()
    return found


def apart(depth: int, backward: str, epochs: int, seed: int) -> dict[str, Any]:
    """Train in a process of its own."""
    words = [sys.executable, __file__, "--one", backward, "--depths", depth, "--epochs", epochs, "--seed", seed]
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def figure(found: list[dict[str, Any]], path: Path) -> None:
    """Peak memory against N, by both ways."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(4.0, 2.8), layout="constrained")
    ax = fig.subplots()
    for backward, look in (("autograd", "s--"), ("adjoint", "o-")):
        these = [one for one in found if one["backward"] == backward]
        ax.plot([one["depth"] for one in these], [max(one["peak"], 0.0) for one in these], look, label=backward)
    ax.set(xlabel="depth $N$", ylabel="peak memory (MiB)")
    ax.legend()
    fig.savefig(path, dpi=160)
    print(f"figure: {path}")


def main() -> None:
    """Train by both ways at every depth, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("digits.png"), help="the figure")
    parser.add_argument("--one", choices=("adjoint", "autograd"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(train(args.depths[0], args.one, args.epochs, args.seed)))
        return
    print("depth  backward  peak (MiB)  training loss  test accuracy  seconds")
    found = []
    for depth in args.depths:
        for backward in ("autograd", "adjoint"):
            one = apart(depth, backward, args.epochs, args.seed)
            found.append(one)
            print(
                f"{depth:5d}  {backward:8s}  {one['peak']:10.1f}  {one['loss']:13.4f}  {one['accuracy']:13.3f}"
                f"  {one['seconds']:7.1f}",
                flush=True,
            )
    figure(found, args.output)


if __name__ == "__main__":
    main()
