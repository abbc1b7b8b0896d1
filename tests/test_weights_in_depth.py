"""Weights that depend on each other in depth: their law, their bits, and every place where they are drawn.

Statistical tests take the entries of one network, which are independent of each other, with fixed seeds. A bound is in
standard errors; of a program that is right, all of them together fail for fewer than one seed in ten.
"""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights, _native
from resmc.engine import native
from resmc.engine.weights import LayerWeights, Threads, WeightSource, noise_columns, passes_of
from resmc.models.weight_law import WEIGHTS
from resmc.reference.sources import Counters
from resmc.theory.processes import covariance, covariance_by_lag

HURST = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99]
BLOCKS = ["phi-in", "phi-out", "v-phi-w"]
BOUND = 4.0
DEPTH = 23

_factor = np.random.default_rng(0).standard_normal((DEPTH, DEPTH)) / math.sqrt(DEPTH)
MIXTURE = Mixture(SmoothProcess(0.2), FractionalNoise(0.4), betas=(0.5, 0.2), cs=(1.0, 0.7))
PROCESSES = {
    "rough": FractionalNoise(0.2),
    "persistent": FractionalNoise(0.97),
    "smooth": SmoothProcess(),
    "increments": SmoothProcess(0.3, "increments"),
    "matrix": _factor @ _factor.T,
    "mixture": MIXTURE,
}
DEPENDENCES = {"iid": "iid", "tied": "tied", **PROCESSES}


def network(name: str, width: int = 7, depth: int = DEPTH, block: str = "", law: str = "gaussian") -> ResidualNetwork:
    """A network with a bias and the dependence of this name; of block v-phi-w, where that is allowed."""
    mixed = name == "mixture"
    block, weights = block or ("phi-in" if mixed else "v-phi-w"), Weights(law, DEPENDENCES[name])
    scaling = DepthScaling(0.0, inside=block == "phi-out") if mixed else DepthScaling(0.5)
    return ResidualNetwork(width, depth, block, "balanced", bias=0.4, weights=weights, scaling=scaling)


def arrays_of(weights: LayerWeights) -> dict[str, np.ndarray]:
    """The arrays that are there, by place."""
    found = {name: getattr(weights, name) for name in ("outer", "inner", "bias")}
    return {name: array for name, array in found.items() if array is not None}


def in_float64(model: ResidualNetwork, seed: int, networks: range, layers: range) -> dict[str, np.ndarray]:
    """The same arrays from the twin's counters."""
    source = Counters(model, seed, np.array(networks, np.uint64))
    places = [place for place in (model.residual_block.V, model.residual_block.W) if place is not None]
    layers = range(1) if model.dependence == "tied" else layers
    found = {place: np.stack([source.matrix(place, layer) for layer in layers], axis=1) for place in places}
    return found | {"bias": np.stack([source.bias(layer) for layer in layers], axis=1)}


# -------------------------------------------------------------------------------------------------------------- laws


def paths(process: object, depth: int, width: int, seed: int) -> np.ndarray:
    """Independent paths over the layers, (width^2, depth): the entries of one network's V."""
    model = ResidualNetwork(width, depth, weights=Weights(depth=process))
    return WeightSource(model, seed, 1).draw(range(1), 0, depth).outer[0].reshape(depth, -1).T.astype(np.float64)


def errors_by_lag(x: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """How many standard errors the mean product at every lag is off, each path being one observation."""
    depth = x.shape[1]
    spectrum = np.fft.rfft(x, 2 * depth)
    products = np.fft.irfft(np.abs(spectrum) ** 2, 2 * depth)[:, :depth] / (depth - np.arange(depth))
    return (products.mean(axis=0) - exact) / (products.std(axis=0) / math.sqrt(len(x)))


@pytest.mark.parametrize("hurst", HURST)
def test_fractional_noise_has_its_covariance_at_every_lag(hurst):
    """100 lags and 8 H: the chance of a false alarm is 5% at most."""
    x = paths(FractionalNoise(hurst), 100, 128, seed=11)
    assert np.abs(errors_by_lag(x, covariance_by_lag(FractionalNoise(hurst), 100))).max() < BOUND
    other = hurst + 0.03 if hurst < 0.95 else hurst - 0.03
    assert np.abs(errors_by_lag(x, covariance_by_lag(FractionalNoise(other), 100))).max() > 2.0 * BOUND  # control


@pytest.mark.long
@pytest.mark.parametrize("hurst", HURST)
def test_fractional_noise_has_its_covariance_at_every_lag_of_a_thousand_layers(hurst):
    """1000 lags and 8 H, so a bound of 5 standard errors: the chance of a false alarm is 1% at most."""
    x = paths(FractionalNoise(hurst), 1000, 128, seed=12)
    assert np.abs(errors_by_lag(x, covariance_by_lag(FractionalNoise(hurst), 1000))).max() < 5.0


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_has_its_covariance_of_any_two_layers(name):
    """12 layers: 78 covariances of 6 processes, and a chance of a false alarm of 3% at most."""
    process = PROCESSES[name] if name != "matrix" else PROCESSES["matrix"][:12, :12]
    x = paths(process, 12, 128, seed=13) if name != "mixture" else mixture_paths(12)
    exact = covariance(Weights(depth=process).dependence, 12)
    products = np.einsum("ij,ik->ijk", x, x)
    error = products.std(axis=0) / math.sqrt(len(x))
    assert np.abs((products.mean(axis=0) - exact) / error).max() < BOUND
    assert np.abs((products.mean(axis=0) - np.diag(np.diag(exact))) / error).max() > 2.0 * BOUND  # control


def mixture_paths(depth: int) -> np.ndarray:
    model = ResidualNetwork(128, depth, weights=Weights(depth=MIXTURE), scaling=DepthScaling(0.0))
    return WeightSource(model, 13, 1).draw(range(1), 0, depth).outer[0].reshape(depth, -1).T.astype(np.float64)


@pytest.mark.parametrize("name", PROCESSES)
def test_different_entries_matrices_and_networks_are_independent(name):
    """Products of an entry with its neighbours, with the other matrix, the bias and the next network, in all layers."""
    model = network(name, width=64, depth=DEPTH)
    drawn = arrays_of(WeightSource(model, 14, 1).draw(range(2), 0, DEPTH))
    outer = drawn["outer"].reshape(2, DEPTH, -1).astype(np.float64)
    pairs = [(outer[0, :, :-step], outer[0, :, step:]) for step in (1, 2, 3, 4, 64, 512)]
    pairs += [(outer[0], outer[1]), (outer[0][:, :64], drawn["bias"][0])]
    if "inner" in drawn:
        pairs.append((outer[0], drawn["inner"][0].reshape(DEPTH, -1)))
    for a, b in pairs:
        mean = (a * b).mean(axis=0)  # over layers, for each pair of entries
        assert abs(mean.mean()) < BOUND * mean.std() / math.sqrt(mean.size)
    assert np.mean(outer[0] ** 2) > BOUND * np.std(outer[0] ** 2) / math.sqrt(outer[0].size)  # an entry with itself


def test_the_trend_and_the_noise_of_a_mixture_are_those_of_the_processes_by_themselves():
    trend, noise = MIXTURE.factors(DEPTH)
    drawn = [
        WeightSource(ResidualNetwork(7, DEPTH, weights=Weights(depth=process)), 15, 1).draw(range(3), 0, DEPTH).outer
        for process in (MIXTURE.trend, MIXTURE.noise)
    ]
    mixed = WeightSource(network("mixture"), 15, 1).draw(range(3), 0, DEPTH).outer
    np.testing.assert_allclose(mixed, trend * drawn[0] + noise * drawn[1], rtol=0, atol=2e-6)


# ----------------------------------------------------------------------------------------------------- nested depths


def test_smooth_networks_of_100_and_of_1000_layers_see_the_same_path():
    shallow, deep = (
        arrays_of(WeightSource(network("smooth", depth=depth), 16, 1).draw(range(2), 0, depth)) for depth in (100, 1000)
    )
    for name, array in shallow.items():
        np.testing.assert_allclose(array, deep[name][:, ::10], rtol=0, atol=3e-6)
        assert np.abs(array - deep[name][:, 1::10]).max() > 0.01  # negative control


def test_the_twin_s_smooth_path_goes_through_the_layers_and_has_its_derivative():
    t = np.arange(DEPTH) / DEPTH
    for name in ("smooth", "mixture"):
        source = Counters(network(name), 17, np.arange(2, dtype=np.uint64))
        for place, shape in (("outer", (2, DEPTH, 7, 7)), ("bias", (2, DEPTH, 7))):
            path = source.smooth(place, t)
            assert path.shape == shape
            if name == "smooth":
                layer = source.bias(5) if place == "bias" else source.matrix(place, 5)
                np.testing.assert_allclose(path[:, 5], layer, rtol=0, atol=1e-13)
            ahead, behind = source.smooth(place, t + 1e-5), source.smooth(place, t - 1e-5)
            slope = source.smooth(place, t, derivative=True)
            np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="have no smooth path"):
        Counters(network("rough"), 17, np.arange(2, dtype=np.uint64)).smooth("outer", t)


def test_increments_are_differences_of_the_path_that_values_are_of():
    values, increments = (
        Counters(ResidualNetwork(5, 40, weights=Weights(depth=SmoothProcess(0.3, version))), 18, np.zeros(1, np.uint64))
        for version in ("values", "increments")
    )
    sd = math.sqrt(2.0 - 2.0 * math.exp(-0.5 / (40 * 0.3) ** 2))
    found = np.sum([increments.matrix("outer", layer) for layer in range(39)], axis=0) * sd
    np.testing.assert_allclose(found, values.matrix("outer", 39) - values.matrix("outer", 0), rtol=0, atol=1e-12)


# -------------------------------------------------------------------------------------------------------- same numbers


@pytest.mark.parametrize("instructions", [name for name, _ in _native.instruction_sets()])
@pytest.mark.parametrize("name", DEPENDENCES)
def test_the_fast_source_has_the_twin_s_weights(name, instructions):
    networks, layers = range(2**47 + 3, 2**47 + 6), range(4, 19)
    laws = WEIGHTS if name in ("iid", "tied") else ("gaussian",)
    for law in laws:
        model = network(name, law=law)
        source = WeightSource(model, 2**63 + 1, 2, Threads(instructions))
        found = source.draw(networks, layers.start, layers.stop)
        assert (found.networks, found.begin, found.end, found.tied) == (networks, 4, 19, name == "tied")
        expected = in_float64(model, 2**63 + 1, networks, layers)
        assert arrays_of(found).keys() == expected.keys()
        for place, array in arrays_of(found).items():
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            size = np.abs(expected[place]).max()
            np.testing.assert_allclose(array, expected[place], rtol=0, atol=1.5e-6 * size, err_msg=f"{law} {place}")


@pytest.mark.parametrize("name", DEPENDENCES)
def test_a_gpu_s_source_has_the_same_weights_made_here_by_torch_on_the_cpu(name):
    torch = pytest.importorskip("torch")
    from resmc.engine.cuda.weights import Tensors

    networks = range(2**47 + 3, 2**47 + 6)
    for law in WEIGHTS if name in ("iid", "tied") else ("gaussian",):
        model = network(name, law=law)
        tensors = WeightSource(model, 2**63 + 1, 1, Tensors(torch, "cpu")).draw(networks, 4, 19)
        expected = in_float64(model, 2**63 + 1, networks, range(4, 19))
        for place, tensor in arrays_of(tensors).items():
            assert tensor.dtype == torch.float32
            size = np.abs(expected[place]).max()
            np.testing.assert_allclose(tensor.numpy(), expected[place], rtol=0, atol=1.5e-6 * size)


@pytest.mark.parametrize("name", DEPENDENCES)
def test_blocks_of_a_gpu_are_large_but_not_beyond_a_bound_of_numbers(name):
    torch = pytest.importorskip("torch")
    from resmc.engine.cuda.weights import Tensors

    class Counted(Tensors):
        most = 0

        def entries(self, *counter):
            drawn = super().entries(*counter)
            self.most = max(self.most, drawn.numel())
            return drawn

    class Bounded(Counted):
        most_numbers = 1 << 18

    depth = DEPTH if name == "matrix" else 300
    model = network(name, width=40, depth=depth, block="phi-in")
    machines = Counted(torch, "cpu"), Bounded(torch, "cpu")
    whole, parts = (WeightSource(model, 23, 1, machine).draw(range(1), 0, 3) for machine in machines)
    np.testing.assert_allclose(parts.outer.numpy(), whole.outer.numpy(), rtol=0, atol=3e-6 * whole.outer.abs().max())
    assert machines[1].most <= Bounded.most_numbers
    if "rough" in name or name in ("persistent", "mixture"):
        assert machines[0].most == 40**2 * (depth + 1) > Bounded.most_numbers  # negative control


def test_blocks_of_the_deepest_networks_take_a_bounded_memory_on_a_gpu():
    torch = pytest.importorskip("torch")
    from resmc.engine.cuda.weights import Tensors

    machine = Tensors(torch, "cpu")
    for process in ("iid", *(one for name, one in PROCESSES.items() if name != "matrix")):
        for depth in (1000, 30000, 1 << 19):
            for one in passes_of(process, depth):
                assert one.columns * one.numbers * one.grain(machine) <= machine.most_numbers
                assert one.grain(Threads("baseline")) == 1
    (deep,) = passes_of(FractionalNoise(0.2), 1000)
    assert deep.grain(machine) == machine.grain  # as large as a GPU likes it


@pytest.mark.parametrize("name", DEPENDENCES)
def test_threads_chunks_of_layers_and_ranges_of_networks_change_no_bit(name):
    depth = DEPTH if name == "matrix" else 200  # several blocks of entries
    model = network(name, width=70 if name == "rough" else 40, depth=depth)
    assert model.width**2 > noise_columns(depth) or name == "matrix"
    whole = arrays_of(WeightSource(model, 19, 1).draw(range(4), 0, depth))
    several = arrays_of(WeightSource(model, 19, 3).draw(range(4), 0, depth))
    cuts = [0, 1, depth // 3, depth - 1, depth]
    for place, array in whole.items():
        np.testing.assert_array_equal(several[place], array)
    source = WeightSource(model, 19, 2)
    for begin, end in pairwise(cuts):
        for number in (0, 3):
            part = arrays_of(source.draw(range(number, number + 1), begin, end))
            for place, array in whole.items():
                layers = slice(None) if name == "tied" else slice(begin, end)
                np.testing.assert_array_equal(part[place][0], array[number, layers])


def test_independent_gaussian_layers_are_the_numbers_that_the_dense_kernels_draw():
    model = network("iid")
    for name, _ in _native.instruction_sets():
        drawn = WeightSource(model, 20, 1, Threads(name)).draw(range(5, 8), 0, DEPTH)
        for place, stream in (("outer", "dense_weights"), ("inner", "dense_inner"), ("bias", "bias")):
            array = arrays_of(drawn)[place].reshape(3, DEPTH, -1)
            quads = -(-array.shape[2] // 4)
            for layer in (0, 9, DEPTH - 1):
                expected = _native.drawn(name, 20, _native.STREAMS[stream], layer, 5, 3, quads)
                np.testing.assert_array_equal(array[:, layer], expected[:, : array.shape[2]])


@pytest.mark.parametrize("law", WEIGHTS)
def test_independent_layers_make_the_networks_of_the_dense_method(law):
    model = ResidualNetwork(9, DEPTH, "v-phi-w", "tanh", bias=0.3, weights=law)
    sim = resmc.simulate(model, networks=3, seed=21, method="dense", keep_trajectories=3, layers=range(DEPTH + 1))
    drawn = WeightSource(model, 21, 1).draw(range(3), 0, DEPTH)
    source, found = Counters(model, 21, np.arange(3, dtype=np.uint64)), []
    h = source.first_layer()[:, :, 0]
    for layer in range(DEPTH + 1):
        found.append(np.log(np.mean(h**2, axis=1)))
        if layer < DEPTH:
            u = np.einsum("nij,nj->ni", drawn.inner[:, layer], h) / 3.0 + 0.3 * drawn.bias[:, layer]
            h = h + model.scales[layer] * np.einsum("nij,nj->ni", drawn.outer[:, layer], np.tanh(u)) / 3.0
    np.testing.assert_allclose(np.stack(found, axis=1), sim.trajectories.log_norm, rtol=0, atol=2e-5)


def test_tied_layers_are_the_first_layer_of_independent_ones():
    for law in WEIGHTS:
        tied, free = (
            arrays_of(WeightSource(network(name, law=law), 22, 1).draw(range(2), 0, DEPTH)) for name in ("tied", "iid")
        )
        for place, array in tied.items():
            assert array.shape[1] == 1
            np.testing.assert_array_equal(array, free[place][:, :1])
            assert np.mean(array != free[place][:, 1:2]) > 0.3  # negative control


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", DEPENDENCES)
def test_drawing_takes_no_more_memory_than_it_says(name):
    for width, depth in ((60, DEPTH), (30, 3000)):
        if name == "matrix" and depth != DEPTH:
            continue
        source = WeightSource(network(name, width, depth), 26, 1)
        source.draw(range(1), 0, 1)  # what is kept from call to call
        tracemalloc.start()
        drawn = arrays_of(source.draw(range(1), 0, depth))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < sum(array.nbytes for array in drawn.values()) + source.scratch_bytes + 2**17


def test_the_extension_refuses_arrays_that_it_would_read_or_write_beyond():
    x, out = np.zeros((3, 8), np.float32), np.zeros((2, 8), np.float32)
    coefficients = np.ones((2, 3), np.float32)
    native.combine(coefficients, x, out[:, :5], "baseline")
    for bad in ((coefficients[:, :2].copy(), x, out), (coefficients, x[:, :4], out), (coefficients, x[:, ::2], out)):
        with pytest.raises(ValueError, match="must"):
            native.combine(*bad, "baseline")
    waves = np.empty((4, 8), np.complex64)
    with pytest.raises(ValueError, match="two numbers for each row"):
        native.waves(0, "noise_outer", 0, np.ones((3, 2), np.float32), 0, 2, waves, "baseline")
    with pytest.raises(ValueError, match="quads must end"):
        native.waves(0, "noise_outer", 0, np.ones((4, 2), np.float32), 2**32 - 1, 2, waves, "baseline")
    with pytest.raises(ValueError, match="layers must end"):
        native.entries(0, "noise_outer", 0, 2**20 - 1, 2, 0, 1, 0, "baseline")
