"""Experiments about residual networks and ordinary differential equations; `resmc.ode` is where their names are."""
