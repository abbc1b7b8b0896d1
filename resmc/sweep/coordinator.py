"""The coordinator of a run: finds which shards the store lacks, and hands them out until all are there and sound."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .._system import checks
from .._system.build import instruction_set
from .._system.plain import Plain
from .._system.stopping import look, stoppable
from ..engine import cuda, devices
from ..results.entries import FinalSums
from ..results.observables import SWEPT
from .claims import Claims
from .compute import Done, Task
from .cost import shard_sizes
from .engines import Engine, open_engine
from .errors import Damaged, Superseded
from .pilot import pilot_shard, wanted_networks
from .plan import FIRST_OF_PILOT, Plan, ends
from .progress import Progress, State
from .result import SweepResult, collect
from .shards import MOST_FILES, Range, Shard, cover, in_turn, is_within
from .store import Listing, Store, Stored, class_name

PATIENCE = 1.0  # seconds between looks into the store, when other processes compute all shards that are left
LOOK = 20.0  # seconds between looks into the store for shards of other processes; more where a look takes long
MOST_FAILURES = 3  # times that a shard is computed again after the worker that computed it has died


@stoppable()
def run(
    plan: Plan,
    path: str | Path,
    *,
    engine: Any,
    workers: int | None,
    threads: int | None,
    device: Any,
    progress: Any,
    replace: bool = False,
    keep_plan: bool = False,
) -> SweepResult:
    """Run a plan as `Sweep.run` says.

    With ``keep_plan``, leave the store's plan, which may be newer by now; then `Superseded` is raised if another takes
    its place during the run.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # The sweep that has started this process waits for it. A second sweep, begun in here, would wait for the first.
        raise RuntimeError(
            "a worker process begins the sweep anew as it imports your script: put the call under "
            "`if __name__ == '__main__':`"
        )
    checks.boolean("replace", replace)
    device = device_name(device)
    if engine is None and device.startswith("cuda"):
        # A missing GPU is refused before anything is written. The number of the GPU is fixed here, because torch's
        # current device may differ in the workers' threads.
        device = f"cuda:{cuda.open_cuda(devices.parse(device)[1]).ordinal}"
    runner = Runner(plan, Store(path), device, progress)
    chosen = open_engine(engine, workers, threads, device)
    try:
        runner.open(keep_plan, replace)
        return runner.run(chosen)
    finally:
        try:
            chosen.close()
        finally:  # claims are given up even after a second Ctrl-C: this process would wait for them in its next run
            runner.close()


def work(path: str | Path, say: Callable[[str], None], **options: Any) -> SweepResult:
    """Compute what a store lacks of its plan, and of any plan that takes its place meanwhile; ``options`` as for `run`.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan.
    """
    store = Store(path)
    while True:
        described, result = store.read_plan(), None
        with contextlib.suppress(Superseded):
            result = run(store.plan(described), path, keep_plan=True, **options)
        if result is not None and store.read_plan() == described:
            return result
        say(f"{path} has another plan by now, which is computed next")


def device_name(device: Any) -> str:
    """Name a device by a string that means the same in another process; ``auto`` is decided here."""
    kind, ordinal = devices.parse(device)
    return kind if ordinal is None else f"{kind}:{ordinal}"


class Track:
    """Progress of a distinct point of the plan: how many networks it shall have, and how many are done."""

    def __init__(self, index: int) -> None:
        self.index = index  # number of the point in the plan
        self.networks: int | None = None  # networks that the point shall have; None until the pilot has told
        self.size = 1  # networks of a shard
        self.done = 0  # networks in the store
        self.sums: FinalSums | None = None  # sums of the shards that this run has computed

    def add(self, done: Done) -> None:
        """Note a shard that this run has computed for the estimate."""
        self.done += done.shard.stop - done.shard.start
        self.sums = done.final if self.sums is None else self.sums.merged(done.final)


class Runner:
    """One call of `Sweep.run`."""

    def __init__(self, plan: Plan, store: Store, device: str, progress: Any) -> None:
        self.plan, self.store, self.device = plan, store, device
        self.kind = devices.parse(device)[0]
        self.state = State()
        self.progress = Progress(progress, self.worst)
        self.claims: Claims | None = None
        self.tracks: dict[tuple[Any, int], Track] = {}
        for index, identity in enumerate(plan.identities):
            self.tracks.setdefault(identity, Track(index))
        self.laws = any(SWEPT[name].per == "end" for name in plan.target_stderr or ())
        self._cut([(t, plan.networks) for t in self.tracks.values()] if plan.networks else [])
        if sum(-(-(t.networks or 0) // t.size) for t in self.tracks.values()) > MOST_FILES:
            raise ValueError(
                f"shard_updates={plan.shard_updates} is too small: the plan would have more than {MOST_FILES} shards, "
                "a file each"
            )
        self.classes = {class_name(f"cpu/{instruction_set()}")} if self.kind == "cpu" else set()
        self.looked, self.look_cost = time.monotonic(), 0.0
        self.before: tuple[int, float] | None = None
        self.finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.failures: Counter[Shard] = Counter()
        self.kept: Plain | None = None  # the store's plan, where this run does not write its own

    def open(self, keep_plan: bool, replace: bool = False) -> None:
        """Make the directory, remove what ended processes have left in it, and write the plan for workers to come."""
        self.store.create()
        if keep_plan:
            self.kept = self.store.read_plan()
        else:
            self.store.write_plan(self.plan.to_dict(), replace)
        self.claims = Claims(self.store.claims)
        self.claims.sweep_up()
        self.store.sweep_up()

    def close(self) -> None:
        """Finish the progress display and give up all claims."""
        self.progress.close()
        if self.claims is not None:
            self.claims.drop_all()

    def run(self, engine: Engine) -> SweepResult:
        """Compute until the result can be read back whole; a shard that turns out damaged is computed again."""
        damaged: set[str] = set()
        while True:
            if not self._work(engine, self._missing(self._listing())):
                continue  # other processes had claimed the rest: another look says what they have done or left
            self.progress.show(self.state, last=True)
            result = collect(self.plan, self.store.path)
            if result.complete:
                return result
            for name in result.damaged:
                self._note_damaged(name)
                if name in damaged:
                    raise self.store.failure(OSError(0, f"{name} was written twice, and is damaged again"))
            damaged |= set(result.damaged)

    def _note_damaged(self, name: str) -> None:
        self.progress.note(f"{name} was damaged: it is set aside, and computed again")

    # -- missing shards -----------------------------------------------------------------------------------------------

    def _listing(self) -> Listing:
        """List the shards that the store holds now."""
        begin = time.monotonic()
        listing = self.store.listing()
        self.classes |= listing.classes
        self.looked = time.monotonic()
        self.look_cost = self.looked - begin
        return listing

    def _cut(self, wanted: Sequence[tuple[Track, int]]) -> None:
        """Note how many networks points shall have, and how many of them make a shard."""
        points = [self.plan.point(track.index, networks) for track, networks in wanted]
        sizes = shard_sizes(self.plan, points, [networks for _, networks in wanted], self.kind)
        for (track, networks), size in zip(wanted, sizes, strict=True):
            track.networks, track.size = networks, size

    def _missing(self, listing: Listing) -> list[Shard]:
        """List the shards that the store lacks, in the order in which to compute them; pilots come first."""
        pilots: list[Shard] = []
        ready: list[tuple[Track, int]] = []
        if self.plan.networks is not None:
            ready = [(track, self.plan.networks) for track in self.tracks.values()]
        else:
            pilots, ready = self._pilots(listing)
        self.state = State(at_least=bool(pilots))
        shards: list[tuple[int, Shard]] = []
        if self.plan.networks is None:
            self._cut(ready)
        for track, networks in ready:
            shards += [(networks, shard) for shard in self._start(track, networks, listing)]
        self.state.work_in_all += float(sum(shard.updates for shard in pilots))
        self.state.networks_in_all += sum(shard.stop - shard.start for shard in pilots)
        if self.before is None:
            self.before = self.state.networks, self.state.work
        self.state.networks_before, self.state.work_before = self.before
        return pilots + in_turn(shards)

    def _pilots(self, listing: Listing) -> tuple[list[Shard], list[tuple[Track, int]]]:
        """List pilots that are missing, and points whose pilots are there, with their numbers of networks."""
        missing, there, sums = [], [], []
        for track in self.tracks.values():
            shard = pilot_shard(self.plan, track.index)
            found = Range(shard.start, shard.stop)
            if found in listing.ranges(shard.point.key):
                stored = listing.first(shard.point.key, found)
                try:
                    sums.append(self.store.read_final(stored).end())
                    there.append(track)
                    continue
                except Damaged:
                    self._set_aside(stored)
                    listing.remove(stored)
            track.networks = None  # an earlier loop may have set it, by a pilot that has been damaged since
            missing.append(shard)
        numbers = wanted_networks(self.plan, [t.index for t in there], sums)
        return missing, list(zip(there, numbers, strict=True))

    def _start(self, track: Track, networks: int, listing: Listing) -> list[Shard]:
        """List the missing shards of a point whose number of networks is known, and count the others as done."""
        point = self.plan.point(track.index, networks)
        have, missing = cover(networks, track.size, listing.ranges(point.key))
        track.done = sum(r.stop - r.start for r in have)
        self.state.networks += track.done
        self.state.networks_in_all += networks
        self.state.work += float(track.done * point.updates)
        self.state.work_in_all += float(networks * point.updates)
        return [Shard(point, *r) for r in missing]

    # -- work ---------------------------------------------------------------------------------------------------------

    def _work(self, engine: Engine, shards: Iterable[Shard]) -> bool:
        """Compute every shard that no other process has claimed; return False if some were claimed by others."""
        assert self.claims is not None
        waiting, running, others = deque(shards), dict[Any, Shard](), list[Shard]()
        while waiting or running:
            look()
            self._look(waiting)
            while waiting and len(running) < engine.places():
                shard = waiting.popleft()
                if not self.claims.take(shard.name):
                    others.append(shard)
                elif stored := self.store.find(shard.point.key, Range(shard.start, shard.stop), self.classes):
                    self._was_done(shard, stored, waiting)  # another process has written it since the store was listed
                else:
                    try:
                        future = engine.submit(self._task(engine, shard))
                    except engine.broken:  # raised by an executor that cannot be used any more
                        self._worker_died(engine, shard, waiting)
                        continue
                    running[future] = shard
                    future.add_done_callback(self.finished.put)
            self.claims.beat()
            self.progress.show(self.state)
            if not running:
                continue
            try:
                future = self.finished.get(timeout=0.2)
            except queue.Empty:
                continue
            if future not in running:  # left from an earlier call of this method
                continue
            shard = running.pop(future)
            try:
                done = future.result()
            except engine.broken:
                self._worker_died(engine, shard, waiting)
                continue
            self._was_computed(done, waiting)
        if others:
            self.progress.show(self.state)
            self._pause(min(max(PATIENCE, 10.0 * self.look_cost), LOOK))
        return not others

    def _pause(self, seconds: float) -> None:
        """Sleep, but look now and then whether to go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            look()
            time.sleep(min(left, 0.1))

    def _worker_died(self, engine: Engine, shard: Shard, waiting: deque[Shard]) -> None:
        """Put a shard whose worker has died back into the queue; give up if workers die with it again and again."""
        self.failures[shard] += 1
        if self.failures[shard] > MOST_FAILURES or not engine.recovers:
            raise RuntimeError(
                f"a worker has died while computing {self.plan.describe(self._track(shard).index)}: it may "
                "have run out of memory. Finished shards are safe; run the same again, with fewer workers"
            ) from None
        self.progress.note("a worker has died; its shard is computed again")
        waiting.appendleft(shard)

    def _task(self, engine: Engine, shard: Shard) -> Task:
        return Task(str(self.store.path), shard, self.device, engine.threads, engine.pin, self.laws)

    def _count(self, shard: Shard) -> None:
        """Count a shard as done, whoever has computed it, and give up the claim on it."""
        assert self.claims is not None
        self.claims.drop(shard.name)
        self.state.networks += shard.stop - shard.start
        self.state.work += float(shard.updates)

    def _was_computed(self, done: Done, waiting: deque[Shard]) -> None:
        shard = done.shard
        self.classes.add(done.stored.numerics)
        self._count(shard)
        if self._is_pilot(shard):
            self._pilot_has_spoken(shard, done.final, waiting)
        else:
            self._track(shard).add(done)

    def _was_done(self, shard: Shard, stored: Stored, waiting: deque[Shard]) -> None:
        """Count a shard that another process has computed; a pilot is read, and put back into the queue if damaged."""
        assert self.claims is not None
        if self._is_pilot(shard):
            try:
                self._pilot_has_spoken(shard, self.store.read_final(stored), waiting)
            except Damaged:
                self._set_aside(stored)
                waiting.append(shard)
                self.claims.drop(shard.name)
                return
        else:
            self._track(shard).done += shard.stop - shard.start
        self._count(shard)

    def _set_aside(self, stored: Stored) -> None:
        """Set a damaged pilot aside; other damaged shards are noticed when the result is collected at the end."""
        self.store.set_aside(stored)
        self._note_damaged(stored.file)

    def _look(self, waiting: deque[Shard]) -> None:
        """Look into the store from time to time, and drop networks that others have done, in shards of any size."""
        if time.monotonic() - self.looked < max(LOOK, 100.0 * self.look_cost):
            return
        if self.kept is not None and self.store.read_plan() != self.kept:
            raise Superseded
        listing = self._listing()
        have: dict[str, list[Range]] = {}
        for shard in [waiting.popleft() for _ in range(len(waiting))]:
            track, key = self._track(shard), shard.point.key
            if track.networks is not None and key not in have:
                have[key], _ = cover(track.networks, track.size, listing.ranges(key))
            if self._is_pilot(shard) or not is_within(Range(shard.start, shard.stop), have[key]):
                waiting.append(shard)
                continue
            track.done += shard.stop - shard.start
            self._count(shard)

    def _is_pilot(self, shard: Shard) -> bool:
        return shard.start >= FIRST_OF_PILOT

    def _pilot_has_spoken(self, shard: Shard, sums: FinalSums, waiting: deque[Shard]) -> None:
        track = self._track(shard)
        (networks,) = wanted_networks(self.plan, [track.index], [sums.end()])
        self._cut([(track, networks)])
        listing = self.store.listing(self.plan.point(track.index, networks).key)
        shards = self._start(track, networks, listing)
        waiting.extend(in_turn((networks, s) for s in shards))
        self.state.at_least = any(t.networks is None for t in self.tracks.values())

    def _track(self, shard: Shard) -> Track:
        return self.tracks[shard.point.model, shard.point.seed]

    # -- progress -----------------------------------------------------------------------------------------------------

    def worst(self) -> str:
        """Name the largest standard error so far, relative to its target if there is one, in words."""
        tracks = [(t, t.sums.end()) for t in self.tracks.values() if t.sums is not None]
        if not tracks:
            return ""
        targets = self.plan.target_stderr or {"log_norm.variance": 1.0}
        found = ends(self.plan, [t.index for t, _ in tracks], [end for _, end in tracks])
        largest, words = 0.0, ""
        for name, target in targets.items():
            estimate = SWEPT[name].estimate_of(found)
            for (track, _), stderr, n in zip(tracks, estimate.stderr, found.networks, strict=True):
                # The sums are this run's alone; networks of earlier runs make the error smaller, too.
                now = float(stderr) * (float(n) / max(track.done, 1)) ** 0.5
                if now / target > largest:
                    largest = now / target
                    words = f"largest error: {name} +- {now:.2g} at {self.plan.describe(track.index)}"
        return words
