"""The campaign of each kind of plan."""

from __future__ import annotations

from .campaign import Campaign, Described, Outcome
from .heat_map_campaign import HeatMapCampaign
from .heat_map_plan import HeatMapPlan
from .moment_campaign import MomentCampaign
from .moment_plan import MomentPlan
from .plan import Plan
from .store import Store
from .sweep_campaign import SweepCampaign
from .trained_map_campaign import TrainedMapCampaign
from .trained_map_plan import TrainedMapPlan


def campaign_of(plan: Described) -> Campaign:
    """Return the campaign that computes a plan."""
    return SweepCampaign(plan) if isinstance(plan, Plan) else row_campaign(plan)


def row_campaign(plan: Described) -> HeatMapCampaign | TrainedMapCampaign | MomentCampaign:
    """Return the campaign of a map or of moments, which is all but a sweep of simulations."""
    if isinstance(plan, HeatMapPlan):
        return HeatMapCampaign(plan)
    if isinstance(plan, TrainedMapPlan):
        return TrainedMapCampaign(plan)
    if isinstance(plan, MomentPlan):
        return MomentCampaign(plan)
    raise TypeError(f"{type(plan).__name__} is no kind of plan that has a campaign")


def collect(campaign: Campaign, store: Store) -> Outcome:
    """Read the result of a campaign back from its store."""
    return campaign.collect(store)
