"""Management of stores: see how far a store is with a plan, and bring several stores together."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._system.plain import Plain
from .._system.words import are, counted
from ..experiments import heat_row, moment_point
from ..experiments.heat_map import HeatMap
from ..experiments.train import map_row
from ..experiments.train.heat_map import TrainedHeatMap
from ..results.archive import format_of
from . import heat_map_campaign, moment_campaign, trained_map_campaign
from .campaigns import row_campaign
from .claims import Claims
from .errors import Damaged, StoreError
from .kinds import AnyPlan, lacking
from .moment_result import MomentSweep
from .plan import Plan
from .result import Reader, SweepResult
from .store import Store, Stored
from .summary import targets

READERS: dict[str | None, Callable[[Store, Stored], Any]] = {  # by the format of a file that holds no simulation
    heat_row.FILES.format: heat_map_campaign.read,
    map_row.FILES.format: trained_map_campaign.read,
    moment_point.FILES.format: moment_campaign.read,
}
UNITS = {
    "sweep": "point",
    "heat map": "row",
    "trained heat map": "row",
    "moment sweep": "point",
}  # series of networks, by the kind of a plan


@dataclass(frozen=True)
class Status:
    """Progress of a store with its plan; of a heat map, ``points`` are its rows, each an H with all of its exponents.

    ``unit`` is "point" or "row", as people call them. ``networks_wanted`` is None while pilots are missing; ``at_work``
    counts the shards that living processes claim, ``of_other_plans`` the shards that the plan does not use.
    """

    unit: str
    points: int
    points_complete: int
    pilots_missing: int
    networks: int
    networks_wanted: int | None
    shards: int
    of_other_plans: int
    classes: dict[str, int]
    at_work: int
    damaged: tuple[str, ...]
    set_aside: int  # files that earlier runs have moved to the folder `damaged`
    earlier_plans: tuple[str, ...]  # files of the plans before this one, the oldest first
    targets: str | None  # a sentence on how many points reach their targets, if the plan has targets and is complete

    def to_dict(self) -> Plain:
        """Return the fields by name, as JSON can hold them."""
        return asdict(self)

    def __str__(self) -> str:
        wanted = f"{self.networks_wanted}" if self.networks_wanted is not None else "so far unknown"
        points = f"{self.points_complete} of {counted(self.points, self.unit)}"
        lines = [
            f"{points} complete, {self.networks} of {wanted} networks",
            f"{counted(self.shards, 'shard')} ({', '.join(f'{c} {n}' for c, n in self.classes.items()) or 'none'}), "
            f"{self.at_work} being computed",
        ]
        if self.pilots_missing:
            lines.append(f"{counted(self.pilots_missing, 'pilot')} still to run")
        if self.of_other_plans:
            lines.append(f"{counted(self.of_other_plans, 'shard')} {are(self.of_other_plans)} not used by this plan")
        if self.earlier_plans:
            lines.append(f"plans before this one: {', '.join(self.earlier_plans)}")
        if self.set_aside:
            files = "1 damaged file was" if self.set_aside == 1 else f"{self.set_aside} damaged files were"
            lines.append(f"{files} set aside in the folder damaged, for you to look at")
        lines += [f"damaged: {name}" for name in self.damaged]
        if self.targets:
            lines.append(self.targets)
        return "\n".join(lines)


def status(plan: AnyPlan, path: str | Path) -> Status:
    """Find how far the store at ``path`` is with ``plan``; every shard of the plan is verified, nothing is changed."""
    store = Store(path)
    store.require()
    listing = store.listing()
    files = listing.files
    classes = Counter(c for ranges in listing.by_key.values() for names in ranges.values() for c in names)
    result: SweepResult | HeatMap | TrainedHeatMap | MomentSweep
    if isinstance(plan, Plan):
        reader = Reader(plan, store, listing, set_aside=False)
        result, pilots = reader.result(), len(reader.pilots)
        reached = targets(result) if plan.target_stderr and result.complete else None
    else:
        result, pilots, reached = row_campaign(plan).collect(store, listing, set_aside=False), 0, None
    wanted = np.broadcast_to(result.wanted, result.networks.shape)
    missing = int((wanted == 0).sum())
    return Status(
        unit=UNITS[result.kind],
        points=result.networks.size,
        points_complete=result.points_complete,
        pilots_missing=missing,
        networks=int(result.networks.sum()),
        networks_wanted=None if missing else int(wanted.sum()),
        shards=files,
        of_other_plans=listing.files - pilots - result.shards,  # damaged files are in the listing no more
        classes=dict(sorted(classes.items())),
        at_work=Claims(store.claims).others(),
        damaged=result.damaged,
        set_aside=sum(1 for _ in store.damaged.iterdir()) if store.damaged.is_dir() else 0,
        earlier_plans=tuple(str(path.relative_to(store.path)) for path in store.plans.earlier()),
        targets=reached,
    )


def other_plans(path: str | Path, others: list[str | Path]) -> list[str]:
    """Say of which of the ``others`` the plan asks for more than the plan of the store at ``path``, and for what."""
    plan, out = Store(path).read_plan(), list[str]()
    for other in map(Store, others):
        with contextlib.suppress(StoreError, ValueError):  # the other store may hold shards without a plan
            missing = lacking(plan, other.read_plan())
            out += [f"the plan of {other.path} asks for more: {'; '.join(missing)}"] if missing else []
    return out


def join(path: str | Path, others: list[str | Path]) -> int:
    """Bring the shards of other stores into the store at ``path``, each verified; return how many were new.

    Raises
    ------
    StoreError
        If one of them is not a store, the first cannot be written to, or a shard to be copied is damaged.
    """
    store, sources = Store(path), [Store(other) for other in others]
    for source in sources:
        source.require()
    store.create()
    new = 0
    for source in sources:
        there = store.listing()
        for key, ranges in source.listing().by_key.items():
            for networks, classes in ranges.items():
                have = there.ranges(key).get(networks, [])
                for stored in (Stored(key, networks, c) for c in classes if c not in have):
                    try:
                        _verify(source, stored)
                    except Damaged as error:
                        raise StoreError(f"{error}; run the sweep in {source.path} once more, which mends it") from None
                    store.write(stored, source.file(stored).read_bytes())
                    new += 1
        if not store.plans.path.exists():
            with contextlib.suppress(StoreError):  # the other store may hold shards without a plan
                store.write_plan(source.read_plan())
    return new


def _verify(store: Store, stored: Stored) -> None:
    """Read a shard, of whatever kind; raises `Damaged`."""
    try:
        form = format_of(store.content(stored), stored.file)
    except ValueError:  # a damaged file, of which the reader says what is wrong
        form = None
    READERS.get(form, Store.read_final)(store, stored)
