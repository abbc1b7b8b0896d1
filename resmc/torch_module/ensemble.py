"""Networks of one shape that are trained side by side, with forward and backward passes by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from threading import local
from typing import Any, TypeVar

import torch

from .._system import checks
from .._system.cpus import usable_cpus
from .._system.memory import available_memory
from .._system.words import brief
from ..models.residual_network import ResidualNetwork
from .batches import checked_input, checked_target
from .chunk_weights import chunks_at_start, fresh_row
from .chunks import BY_LAYER, Chunk, Shape
from .devices import checked_device
from .fill import module_from_arrays
from .losses import LOSSES
from .members import check_members, check_scales, cuts
from .passes import Workspace
from .residual import ExplicitResidualNetwork
from .threads import one_thread

Tensor = torch.Tensor
T = TypeVar("T")
ENDS = ("trained", "fixed", "identity")
USUAL_BATCH = 64
PIECE = 256  # examples that are taken at once where nothing is trained


class Ensemble:
    """P networks of one shape side by side, whose gradients come in batched matrix products.

    .. code-block:: text

        h_0     = A x
        h_{k+1} = carry h_k + f_k(h_k)                 k = 0 .. N-1, blocks f_k as in `ExplicitResidualNetwork`
        out     = W_out h_N

    Members have the same width n, depth N, block, activation, and a bias or none; they differ in scaling, weights,
    carry and size of the bias. Nothing is rescaled, so that states may leave the range of the dtype. Members lie in
    chunks, which threads take side by side. The chunks depend on the members and not on the threads, and so do all
    results, to the bit.

    .. code-block:: python

        ensemble = Ensemble(models, networks, seed, features=64, outputs=10)
        optimizers = {chunk: torch.optim.SGD(chunk.parameters.values(), lr=0.1) for chunk in ensemble.chunks}
        losses = ensemble.gradients(x, y, "cross_entropy", update=lambda chunk: optimizers[chunk].step())

    Parameters
    ----------
    models : sequence of P ResidualNetwork
        Their ``n_out`` and inputs are of no account.
    networks : sequence of P int
        Numbers of the networks, 0 to 2^48 - 1, in any order; several members may have the same. V, W, b and signs are
        those of ``model.to_torch(seed, network)``. A, of variance 1/F, and W_out, of variance 1/n, are Gaussian and
        depend on seed and number alone.
    seed : int
        0 to 2^64 - 1.
    features, outputs : int
        F and the length of an output, 1 to 2^17.
    ends : {"trained", "fixed", "identity"}
        "fixed" leaves A and W_out as they are drawn; with "identity" h_0 = x and the output is h_N, which needs
        features = outputs = n.
    scales : {"fixed", "shared", "layers"}
        "shared" trains one factor s = s_k of all layers, which must be the same in the model, and "layers" trains one
        of each layer, which begins as s_k times N(0, 1) of its own.
    start : float
        Factor of V, W and b at the start, above 0.
    groups : sequence of P values, optional
        Neighbours of the same value may share a chunk, such as those of the same learning rate; by default all.
    dtype : torch.float32 or torch.float64
    device : str or torch.device
        On "cpu" chunks are sized so that calls are few and a layer stays in the caches; elsewhere a group is a chunk.
    workers : int, optional
        Threads; by default as many as there are CPUs.

    Attributes
    ----------
    chunks : tuple of Chunk
        ``chunk.members`` is the range of its members, ``chunk.parameters`` a dict of its parameters with gradients in
        ``.grad``: "V" and "W" (N, c, m, m), "b" (N, c, m), those that are there, and if they are trained "s" (N, c), or
        (1, c) where layers share it, "A" (c, m, F) and "W_out" (c, outputs, m). m is n padded to a multiple of 4;
        entries of the padding are 0 and stay so, gradients too.
    alive : bool tensor (P,)
        False for members that are frozen.

    Raises
    ------
    ValueError
        For members of different shapes, arguments out of range, and weights that do not fit into memory.
    """

    def __init__(
        self,
        models: Sequence[ResidualNetwork],
        networks: Sequence[int],
        seed: int = 0,
        *,
        features: int,
        outputs: int,
        ends: str = "trained",
        scales: str = "fixed",
        start: float = 1.0,
        groups: Sequence[Any] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        workers: int | None = None,
    ) -> None:
        self.models, self.networks, self.seed = tuple(models), tuple(networks), seed
        self.dtype, self.device = dtype, checked_device(device)
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype={brief(dtype)} is not allowed: it must be torch.float32 or torch.float64")
        check_members(self.models, self.networks)
        first = self.models[0]
        features = checks.integer("features", features, 1, 1 << 17, "2^17")
        outputs = checks.integer("outputs", outputs, 1, 1 << 17, "2^17")
        checks.choice("ends", ends, ENDS)
        if ends == "identity" and not features == outputs == first.width:
            raise ValueError(
                f"ends='identity' is not allowed with features={features} and outputs={outputs}: both must be the "
                f"width, {first.width}"
            )
        check_scales(self.models, scales)
        start = checks.real("start", start, positive=True)
        self.workers = checks.integer("workers", usable_cpus() if workers is None else workers, 1, 4096)
        self.shape = Shape(first, features, outputs, -(-first.width // 4) * 4, ends, scales)
        groups = [0] * len(self.models) if groups is None else list(groups)
        if len(groups) != len(self.models):
            raise ValueError(f"groups of {len(groups)} values are not allowed: there are {len(self.models)} models")
        self._check_size()
        m = self.shape.padded
        layer = self.dtype.itemsize * (4 * m * m + 5 * USUAL_BATCH * m)  # matrices, gradients and states of a member
        parts = list(cuts(groups, layer, self.device.type == "cpu"))
        self.chunks = chunks_at_start(self.shape, self.models, self.networks, seed, parts, dtype, self.device, start)
        self._local = local()

    def _check_size(self) -> None:
        """Refuse weights and gradients that do not fit into memory."""
        entries = sum(torch.Size(size).numel() for size in self.shape.sizes(len(self.models)).values())
        size, available = 2 * self.dtype.itemsize * entries, available_memory()
        if self.device.type == "cpu" and size > available:
            raise ValueError(
                f"{len(self.models)} networks of width {self.shape.model.width} and depth {self.shape.model.depth} "
                f"need {size / 1e9:.3g} GB of memory, and {available / 1e9:.3g} GB are available: use fewer at once"
            )

    @property
    def alive(self) -> Tensor:
        return torch.cat([chunk.alive.cpu() for chunk in self.chunks])

    def gradients(self, x: Tensor, y: Tensor, loss: str, update: Callable[[Chunk], object] | None = None) -> Tensor:
        """Leave the gradients of every member's loss in ``.grad`` of the chunks' parameters; return the losses.

        Members whose loss is not finite, or their gradient with respect to h_0, are frozen then and there: their
        gradients are 0 and ``update`` leaves their weights as they are. Frozen members' losses are infinite.

        Parameters
        ----------
        x : tensor (batch, F), which all share, or (P, batch, F)
            Of the ensemble's dtype.
        y : tensor
            Integers (batch,) or (P, batch) for the cross entropy; (batch, outputs) or (P, batch, outputs) of the
            ensemble's dtype for the mean square.
        loss : {"cross_entropy", "mean_square"}
            The mean over the batch of -log softmax(out)_y, or that over batch and outputs of (out - y)^2.
        update : callable, optional
            Called with each `Chunk` after its gradients, in the chunk's thread, under ``torch.no_grad``: a step of its
            optimizer. It is not called for chunks all of whose members are frozen.

        Returns
        -------
        float64 tensor (P,)

        Raises
        ------
        ValueError
            For tensors of another shape or dtype, and labels out of range.
        """
        checks.choice("loss", loss, tuple(LOSSES))
        x = self._input(x)
        y = checked_target(y, len(self.models), x.shape[1], self.shape.outputs, loss, self.dtype).to(self.device)

        def step(chunk: Chunk, work: Workspace) -> Tensor:
            return chunk.step(chunk.part(x), chunk.part(y), loss, work, update)

        return torch.cat(self._each(step))

    def outputs(self, x: Tensor) -> Tensor:
        """Return W_out h_N of every member for x, (batch, F) or (P, batch, F): a tensor (P, batch, outputs)."""
        x = self._input(x)

        def out(chunk: Chunk, work: Workspace) -> Tensor:
            passes = chunk.passes
            pieces = torch.split(chunk.part(x), PIECE, 1)
            return torch.cat([passes.outputs(passes.forward(piece, work, kept=False)) for piece in pieces], 1)

        return torch.cat(self._each(out))

    def state_norms(self, x: Tensor) -> Tensor:
        """Return |h_k|^2 for x, (batch, F) or (P, batch, F): a float64 tensor (N + 1, P, batch)."""
        x = self._input(x)

        def norms(chunk: Chunk, work: Workspace) -> Tensor:
            pieces = torch.split(chunk.part(x), USUAL_BATCH, 1)
            return torch.cat([_squares(chunk.passes.forward(piece, work).h) for piece in pieces], 2)

        return torch.cat(self._each(norms), 1)

    def gradient_norms(self, x: Tensor, row: Tensor | None = None) -> Tensor:
        """Return |p_k|^2 for x, p_k being the gradient of <row, h_N> with respect to h_k.

        Parameters
        ----------
        x : tensor (batch, F) or (P, batch, F)
        row : tensor (P, n) or (P, batch, n), optional
            p_N; by default `fresh_rows`.

        Returns
        -------
        float64 tensor (N + 1, P, batch)
        """
        x, n = self._input(x), self.shape.model.width
        row = self.fresh_rows().to(device=self.device, dtype=self.dtype) if row is None else row
        wanted = (len(self.models), x.shape[1], n)
        if row.dtype != self.dtype or tuple(row.shape) not in (wanted, (wanted[0], n)):
            raise ValueError(
                f"row of shape {tuple(row.shape)} and {row.dtype} is not allowed: it must be of {self.dtype} and shape "
                f"{(wanted[0], n)} or {wanted}"
            )
        row = (row.unsqueeze(1) if row.ndim == 2 else row).expand(wanted)

        def norms(chunk: Chunk, work: Workspace) -> Tensor:
            pieces = zip(*(torch.split(chunk.part(one), USUAL_BATCH, 1) for one in (x, row)), strict=True)
            found = []
            for inputs, last in pieces:
                passed = chunk.passes.forward(inputs, work)
                p = work.get("p", *passed.h[-1].shape).zero_()
                p[:, :n] = last.mT
                squares = [_squares([p])]
                squares += [_squares([p]) for _ in chunk.passes.backward(passed, p, work, False)]
                found.append(torch.cat(squares[::-1]))
            return torch.cat(found, 2)

        return torch.cat(self._each(norms), 1)

    def fresh_rows(self) -> Tensor:
        """Return a row of variance 1/n for every member that nothing else has used: a float64 tensor (P, n).

        Rows depend on seed and network number alone.
        """
        return fresh_row(self.models, self.networks, self.seed, self.shape.outputs)

    @torch.no_grad()
    def freeze(self, members: Tensor) -> None:
        """Freeze the members of a mask (P,): gradients are 0 from now on, and weights stay as they are."""
        for chunk in self.chunks:
            chunk.freeze(chunk.part(members).to(self.device))

    def weights(self, name: str) -> Tensor:
        """Return a copy of the weights of all members, without padding, on the CPU.

        "V" and "W" are (N, P, n, n), "b" (N, P, n), "s" (N, P), "A" (P, n, F), "W_out" (P, outputs, n).

        Raises
        ------
        ValueError
            For a name that is none of those that are there.
        """
        checks.choice("name", name, tuple(self.chunks[0].weights))
        parts = [self.shape.unpadded(name, chunk.weights[name].detach()).cpu() for chunk in self.chunks]
        found = torch.cat(parts, dim=1 if name in BY_LAYER else 0)
        return found.expand(self.shape.model.depth, -1).clone() if name == "s" else found

    @torch.no_grad()
    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Give all members weights of the shapes that `weights` returns; those not given stay as they are.

        Of an "s" that layers share the first is taken.

        Raises
        ------
        ValueError
            For a name that is none of those that are there.
        """
        for name, of_all in weights.items():
            checks.choice("name", name, tuple(self.chunks[0].weights))
            for chunk in self.chunks:
                own = self.shape.unpadded(name, chunk.weights[name].detach())
                part = chunk.part(of_all.movedim(1, 0)).movedim(0, 1) if name in BY_LAYER else chunk.part(of_all)
                own.copy_(part[: len(own)])

    def module(self, members: Sequence[int]) -> ExplicitResidualNetwork:
        """Return members of one model as a module, with copies of their weights as they are now.

        Its networks lie side by side in the order of ``members``; inputs are tensors (batch, F) of the ensemble's
        dtype.

        Raises
        ------
        ValueError
            For no members, numbers out of range, members of several models, and weights that are not finite.
        """
        members = [checks.integer("member", one, 0, len(self.models) - 1) for one in members]
        if len({self.models[member] for member in members}) != 1:
            raise ValueError(f"members={brief(members)} are not allowed: they must be of one model, and at least one")
        model = self.models[members[0]]
        weights = {
            name: self.weights(name)[:, members] if name in BY_LAYER else self.weights(name)[members]
            for name in self.chunks[0].weights
        }
        signs = [chunk.passes.signs for chunk in self.chunks if chunk.passes.signs is not None]
        if signs:
            weights["signs"] = torch.cat(signs, 1)[:, members, : model.width, 0]
        return module_from_arrays(model, len(members), self.shape.features, self.shape.outputs, weights).to(self.dtype)

    def _input(self, x: Tensor) -> Tensor:
        return checked_input(x, len(self.models), self.shape.features, self.dtype).to(self.device)

    def _each(self, work: Callable[[Chunk, Workspace], T]) -> list[T]:
        """Return what a function returns for every chunk, called in threads each of which has buffers of its own."""

        @torch.no_grad()
        def apply(chunk: Chunk) -> T:
            if not hasattr(self._local, "workspace"):
                self._local.workspace = Workspace(self.dtype, self.device)
            return work(chunk, self._local.workspace)

        with one_thread():
            if self._threads is None:
                return [apply(chunk) for chunk in self.chunks]
            running = [self._threads.submit(apply, chunk) for chunk in self.chunks]
            try:
                return [one.result() for one in running]
            finally:  # An exception leaves no chunk at work.
                for one in running:
                    one.cancel()
                wait(running)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor | None:
        workers = min(self.workers, len(self.chunks))
        return ThreadPoolExecutor(workers) if workers > 1 and self.device.type == "cpu" else None


def _squares(h: Sequence[Tensor]) -> Tensor:
    """Return the squared norms of states, (len(h), c, batch), in float64."""
    return torch.stack([torch.linalg.vector_norm(one, dim=-2, dtype=torch.float64).square() for one in h])
