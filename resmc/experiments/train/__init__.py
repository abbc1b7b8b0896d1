"""Experiments about trained residual networks; `resmc.train` is where their names are."""
