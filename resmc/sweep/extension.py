"""Does one plan extend another? It does if it answers everything that the other one answers."""

from __future__ import annotations

from .._system.words import brief
from .plan import ASKED, Plan
from .point import spaced_layers

MOST_NAMED = 3  # points that a sentence names; of the others it says how many


def differences(new: Plan, old: Plan) -> list[str]:
    """Say in words what of ``old`` is missing in ``new``; nothing if ``new`` extends it.

    A plan extends another if it has all its points, with the same random numbers, at least as many networks of each
    (or targets that are at most as large), and records all that the other records. How it is cut into shards does not
    matter.
    """
    out = [_said(name, new, old) for name in ("seed", "independent") if _differs(name, new, old)]
    if not out and _other_methods(new, old):
        out.append(_said("method", new, old))
    if not out:
        out += _lacking_points(new, old)
    for name in ("correlations", "gradients", "displacement"):
        if getattr(old, name) and not getattr(new, name):
            out.append(_said(name, new, old))
    out += [_said(name, new, old) for name in ASKED if _differs(name, new, old)]
    depths = {model.depth for model in old.models} if _differs("layers", new, old) else ()
    if any(set(spaced_layers(d, old.layers).tolist()) - set(spaced_layers(d, new.layers).tolist()) for d in depths):
        out.append(f"{_said('layers', new, old)}, which leaves out layers that were recorded")
    return out + _lacking_networks(new, old)


def _differs(name: str, new: Plan, old: Plan) -> bool:
    return bool(getattr(new, name) != getattr(old, name))


def _other_methods(new: Plan, old: Plan) -> bool:
    """Say if a network of both plans is simulated by another method in the new one."""
    before = {network: old.method_of(index) for index, network in enumerate(old.identities)}
    now = {network: new.method_of(index) for index, network in enumerate(new.identities)}
    return any(now.get(network, method) != method for network, method in before.items())


def _said(name: str, new: Plan, old: Plan) -> str:
    return f"{name}={brief(getattr(new, name))} instead of {brief(getattr(old, name))}"


def _lacking_points(new: Plan, old: Plan) -> list[str]:
    there = set(new.identities)
    lacking = [index for index, identity in enumerate(old.identities) if identity not in there]
    if not lacking:
        return []
    named = "; ".join(old.describe(index) for index in lacking[:MOST_NAMED])
    more = f"; and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
    points = "1 point is" if len(lacking) == 1 else f"{len(lacking)} points are"
    return [f"{points} not in it any more ({named}{more})"]


def _lacking_networks(new: Plan, old: Plan) -> list[str]:
    new_most, old_most = new.max_networks or 0, old.max_networks or 0  # there beside target_stderr
    targets = new.target_stderr or {}
    if old.networks is not None:
        if new.networks is None:
            return [f"networks={old.networks} has become target_stderr, which may take fewer"]
        return [] if new.networks >= old.networks else [_said("networks", new, old)]
    if new.networks is not None:
        enough = new.networks >= old_most
        return [] if enough else [f"networks={new.networks} is less than max_networks={old.max_networks}"]
    out = [] if new_most >= old_most else [_said("max_networks", new, old)]
    for name, target in (old.target_stderr or {}).items():
        now = targets.get(name)
        if now is None:
            out.append(f"there is no target_stderr[{name!r}] any more")
        elif now > target:
            out.append(f"target_stderr[{name!r}]={now!r} instead of {target!r}")
    return out
