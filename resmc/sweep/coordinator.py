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
from .._system.stopping import Stopped, look, stoppable
from ..engine import devices
from .campaign import Described, Outcome, Pilots
from .campaigns import campaign_of, collect
from .claims import Claims, NoClaims
from .compute import Done, ShardTask
from .engines import Engine, open_engine
from .errors import Damaged, Superseded
from .kinds import plan_of
from .plan_checks import FIRST_OF_PILOT
from .progress import Progress, State
from .shards import Range, Shard, cover, in_turn, is_within
from .store import Listing, Store, Stored, class_name

PATIENCE = 1.0  # seconds between looks into the store, when other processes compute all shards that are left
LOOK = 20.0  # seconds between looks into the store for shards of other processes; more where a look takes long
MOST_TOGETHER = 16  # small shards that are one task
SHARES = 8  # tasks that small shards are cut into for each place at least
MOST_FAILURES = 3  # times that a shard is computed again after the worker that computed it has died


@stoppable()
def run(
    plan: Described,
    path: str | Path | Store,
    *,
    engine: Any,
    workers: int | None,
    threads: int | None,
    device: Any,
    progress: Any,
    replace: bool = False,
    keep_plan: bool = False,
) -> Any:
    """Run a plan, of whatever kind, as `Sweep.run` says, and return its result.

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
    runner = Runner(plan, path if isinstance(path, Store) else Store(path), device, progress)
    if engine is None and runner.kind == "cuda":
        # A missing GPU is refused before anything is written. The number of the GPU is fixed here, because torch's
        # current device may differ in the workers' threads.
        runner.device = device = runner.campaign.gpu(device)
    chosen = open_engine(engine, workers, threads, device)
    try:
        runner.open(keep_plan, replace)
        return runner.run(chosen)
    except (KeyboardInterrupt, Stopped) as stopped:
        stopped.add_note(_how_to_go_on(runner.store))
        raise
    finally:
        try:
            chosen.close()
        finally:  # claims are given up even after a second Ctrl-C: this process would wait for them in its next run
            runner.close()


def _how_to_go_on(store: Store) -> str:
    """Say below the traceback of a run that was stopped what is left of it."""
    if store.in_memory:
        return "stopped: what was in memory is lost; with a store= the same call would go on"
    return f"stopped: finished shards are safe in {store.path}; the same call goes on"


def work(path: str | Path, say: Callable[[str], None], **options: Any) -> Any:
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
            result = run(store.made(described, plan_of), path, keep_plan=True, **options)
        if result is not None and store.read_plan() == described:
            return result
        say(f"{path} has another plan by now, which is computed next")


def device_name(device: Any) -> str:
    """Name a device by a string that means the same in another process; ``auto`` is decided here."""
    kind, ordinal = devices.parse(device)
    return kind if ordinal is None else f"{kind}:{ordinal}"


class Track:
    """Progress of a series: how many networks it shall have, and how many are done."""

    def __init__(self, index: int) -> None:
        self.index = index  # number of the series in the plan
        self.networks: int | None = None  # networks that the series shall have; None until the pilot has told
        self.size = 1  # networks of a shard
        self.done = 0  # networks in the store


class Runner:
    """One run of a plan."""

    def __init__(self, plan: Described, store: Store, device: str, progress: Any) -> None:
        self.plan, self.campaign, self.store, self.device = plan, campaign_of(plan), store, device
        self.kind = devices.parse(device)[0]
        self.state = State()
        self.progress = Progress(progress, self._worst)
        self.claims: Claims | None = None
        self.tracks = {index: Track(index) for index in self.campaign.indices}
        self._cut([(t, self.campaign.networks) for t in self.tracks.values()] if self.campaign.networks else [])
        self.classes = {class_name(f"cpu/{instruction_set()}")} if self.kind == "cpu" else set()
        self.looked, self.look_cost = time.monotonic(), 0.0
        self.before: tuple[int, float] | None = None
        self.finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.failures: Counter[Shard[Any]] = Counter()
        self.kept: Plain | None = None  # the store's plan, where this run does not write its own

    def open(self, keep_plan: bool, replace: bool = False) -> None:
        """Make the directory, remove what ended processes have left in it, and write the plan for workers to come."""
        self.store.create()
        if keep_plan:
            self.kept = self.store.read_plan()
        else:
            self.store.write_plan(self.plan.to_dict(), replace)
        self.claims = NoClaims() if self.store.in_memory else Claims(self.store.claims)
        self.claims.sweep_up()
        self.store.sweep_up()

    def close(self) -> None:
        """Finish the progress display and give up all claims."""
        self.progress.close()
        if self.claims is not None:
            self.claims.drop_all()

    def run(self, engine: Engine) -> Outcome:
        """Compute until the result can be read back whole; a shard that turns out damaged is computed again."""
        damaged: set[str] = set()
        while True:
            if not self._work(engine, self._missing(self._listing())):
                continue  # other processes had claimed the rest: another look says what they have done or left
            self.progress.show(self.state, last=True)
            result = collect(self.campaign, self.store)
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
        """Note how many networks series shall have, and how many of them make a shard."""
        sizes = self.campaign.sizes([(track.index, networks) for track, networks in wanted], self.kind)
        for (track, networks), size in zip(wanted, sizes, strict=True):
            track.networks, track.size = networks, size

    def _missing(self, listing: Listing) -> list[Shard[Any]]:
        """List the shards that the store lacks, in the order in which to compute them; pilots come first."""
        pilots: list[Shard[Any]] = []
        ready: list[tuple[Track, int]] = []
        if self.campaign.networks is not None:
            ready = [(track, self.campaign.networks) for track in self.tracks.values()]
        elif self.campaign.pilots is not None:
            pilots, ready = self._pilots(self.campaign.pilots, listing)
            self._cut(ready)
        self.state = State(at_least=bool(pilots))
        shards: list[tuple[int, Shard[Any]]] = []
        for track, networks in ready:
            shards += [(networks, shard) for shard in self._start(track, networks, listing)]
        self.state.work_in_all += float(sum(shard.updates for shard in pilots))
        self.state.networks_in_all += sum(shard.stop - shard.start for shard in pilots)
        if self.before is None:
            self.before = self.state.networks, self.state.work
        self.state.networks_before, self.state.work_before = self.before
        return pilots + in_turn(shards)

    def _pilots(self, pilots: Pilots, listing: Listing) -> tuple[list[Shard[Any]], list[tuple[Track, int]]]:
        """List pilots that are missing, and series whose pilots are there, with their numbers of networks."""
        missing, there, found = [], [], []
        for track in self.tracks.values():
            shard = pilots.shard(track.index)
            networks = Range(shard.start, shard.stop)
            if networks in listing.ranges(shard.point.key):
                stored = listing.first(shard.point.key, networks)
                try:
                    found.append(pilots.read(self.store, stored))
                    there.append(track)
                    continue
                except Damaged:
                    self._set_aside(stored)
                    listing.remove(stored)
            track.networks = None  # an earlier loop may have set it, by a pilot that has been damaged since
            missing.append(shard)
        numbers = pilots.wanted([t.index for t in there], found)
        return missing, list(zip(there, numbers, strict=True))

    def _start(self, track: Track, networks: int, listing: Listing) -> list[Shard[Any]]:
        """List the missing shards of a series whose number of networks is known, and count the others as done."""
        point = self.campaign.series(track.index, networks)
        have, missing = cover(networks, track.size, listing.ranges(point.key))
        track.done = sum(r.stop - r.start for r in have)
        self.state.networks += track.done
        self.state.networks_in_all += networks
        self.state.work += float(track.done * point.updates)
        self.state.work_in_all += float(networks * point.updates)
        return [Shard(point, *r) for r in missing]

    # -- work ---------------------------------------------------------------------------------------------------------

    def _work(self, engine: Engine, shards: Iterable[Shard[Any]]) -> bool:
        """Compute every shard that no other process has claimed; return False if some were claimed by others."""
        assert self.claims is not None
        waiting, running, others = deque(shards), dict[Any, list[Shard[Any]]](), list[Shard[Any]]()
        while waiting or running:
            look()
            self._look(waiting)
            while waiting and len(running) < (places := engine.places()):
                shards_of_task = self._next(waiting, others, places)
                if not shards_of_task:
                    continue
                try:
                    future = engine.submit([self._task(engine, shard) for shard in shards_of_task])
                except engine.broken:  # raised by an executor that cannot be used any more
                    self._worker_died(engine, shards_of_task, waiting)
                    continue
                running[future] = shards_of_task
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
            shards_of_task = running.pop(future)
            try:
                all_done = future.result()
            except engine.broken:
                self._worker_died(engine, shards_of_task, waiting)
                continue
            for done in all_done:
                self._was_computed(done, waiting)
        if others:
            self.progress.show(self.state)
            self._pause(min(max(PATIENCE, 10.0 * self.look_cost), LOOK))
        return not others

    def _next(self, waiting: deque[Shard[Any]], others: list[Shard[Any]], places: int) -> list[Shard[Any]]:
        """Claim the next shard, or the next few small ones, and note those that others compute or have computed.

        They become fewer towards the end, so that all workers end at about the same time. One whose worker has died is
        a task of its own: if it kills the next one too, it takes no others along, and is the one to be named.
        """
        assert self.claims is not None
        found, work, seen = list[Shard[Any]](), 0, self.claims.of_others()
        most = min(MOST_TOGETHER, 1 + len(waiting) // (SHARES * places)) if self.kind == "cpu" else 1
        while waiting:
            shard = waiting[0]
            if found and (len(found) >= most or work + shard.updates > self.campaign.together or self.failures[shard]):
                break
            waiting.popleft()
            if not self.claims.take(shard.name, seen):
                others.append(shard)
            elif stored := self.store.find(shard.point.key, Range(shard.start, shard.stop), self.classes):
                self._was_done(shard, stored, waiting)  # another process has written it since the store was listed
            else:
                found.append(shard)
                work += shard.updates
                if self.failures[shard]:
                    break
        return found

    def _pause(self, seconds: float) -> None:
        """Sleep, but look now and then whether to go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            look()
            time.sleep(min(left, 0.1))

    def _worker_died(self, engine: Engine, shards: list[Shard[Any]], waiting: deque[Shard[Any]]) -> None:
        """Put shards whose worker has died back into the queue; give up if workers die with them again and again."""
        self.failures.update(shards)
        shard = max(shards, key=lambda one: self.failures[one])
        if self.failures[shard] > MOST_FAILURES or not engine.recovers:
            raise RuntimeError(
                f"a worker has died while computing {self.campaign.describe(self._track(shard).index)}: it may "
                "have run out of memory. Finished shards are safe; run the same again, with fewer workers"
            ) from None
        self.progress.note("a worker has died; what it was at is computed again")
        waiting.extendleft(reversed(shards))

    def _task(self, engine: Engine, shard: Shard[Any]) -> ShardTask:
        path = None if self.store.in_memory else str(self.store.path)
        return self.campaign.task(path, shard, self.device, engine.threads, engine.pin)

    def _count(self, shard: Shard[Any]) -> None:
        """Count a shard as done, whoever has computed it, and give up the claim on it."""
        assert self.claims is not None
        self.claims.drop(shard.name)
        self.state.networks += shard.stop - shard.start
        self.state.work += float(shard.updates)

    def _was_computed(self, done: Done, waiting: deque[Shard[Any]]) -> None:
        shard = done.shard
        if done.data is not None:
            self.store.write(done.stored, done.data)
        self.classes.add(done.stored.numerics)
        self._count(shard)
        if pilots := self._pilots_of(shard):
            self._pilot_has_spoken(pilots, shard, done.final, waiting)
        else:
            track = self._track(shard)
            track.done += shard.stop - shard.start
            self.campaign.note(track.index, done)

    def _was_done(self, shard: Shard[Any], stored: Stored, waiting: deque[Shard[Any]]) -> None:
        """Count a shard that another process has computed; a pilot is read, and put back into the queue if damaged."""
        assert self.claims is not None
        if pilots := self._pilots_of(shard):
            try:
                self._pilot_has_spoken(pilots, shard, pilots.read(self.store, stored), waiting)
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

    def _look(self, waiting: deque[Shard[Any]]) -> None:
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
            if self._pilots_of(shard) or not is_within(Range(shard.start, shard.stop), have[key]):
                waiting.append(shard)
                continue
            track.done += shard.stop - shard.start
            self._count(shard)

    def _pilots_of(self, shard: Shard[Any]) -> Pilots | None:
        """Return the pilots if the shard is one of them."""
        return self.campaign.pilots if shard.start >= FIRST_OF_PILOT else None

    def _pilot_has_spoken(self, pilots: Pilots, shard: Shard[Any], final: Any, waiting: deque[Shard[Any]]) -> None:
        track = self._track(shard)
        (networks,) = pilots.wanted([track.index], [final])
        self._cut([(track, networks)])
        listing = self.store.listing(self.campaign.series(track.index, networks).key)
        shards = self._start(track, networks, listing)
        waiting.extend(in_turn((networks, s) for s in shards))
        self.state.at_least = any(t.networks is None for t in self.tracks.values())

    def _track(self, shard: Shard[Any]) -> Track:
        return self.tracks[self.campaign.index_of(shard)]

    def _worst(self) -> str:
        """Name the largest error so far in words."""
        return self.campaign.worst({index: track.done for index, track in self.tracks.items()})
