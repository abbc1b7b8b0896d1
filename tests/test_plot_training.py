"""Figures of training: curves are the numbers of the fit, failures leave gaps, and what cannot be drawn is refused."""

from __future__ import annotations

from dataclasses import replace

import figures
import numpy as np
import pytest
from figures import P, no_figure_remains  # noqa: F401


def test_curves_are_means_by_epoch_and_legends_tell_the_models_apart():
    fit = figures.training()
    ax = P.plot_training(fit)
    curves = {line.get_linestyle(): np.asarray(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 6}
    drawn = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    for b in range(3):
        for wanted in (fit.validation_loss[b, 0].mean(axis=0), fit.training_loss[b, 0].mean(axis=0)):
            assert any(len(one) == 6 and np.allclose(one, wanted) for one in drawn), b
    assert len(curves) > 1
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[:3] == [f"scaling 1 depth^-{beta:g}" for beta in (0.25, 0.5, 1.0)]
    assert {"mean ± s.e., 32 networks", "loss of training"} <= set(words)


def test_epochs_after_a_failure_have_no_value_and_models_that_are_equal_are_numbered():
    fit = figures.training()
    loss = fit.validation_loss.copy()
    loss[1, 0, 3, 2:] = np.inf
    ax = P.plot_training(replace(fit, models=(fit.models[0],) * 3, validation_loss=loss))
    drawn = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    assert any(len(one) == 6 and np.isnan(one).tolist() == [False] * 2 + [True] * 4 for one in drawn)
    assert [text.get_text() for text in ax.get_legend().get_texts()][:3] == ["model 0", "model 1", "model 2"]


def test_what_cannot_be_drawn_is_refused_in_a_sentence():
    fit = figures.training()
    failed = replace(fit, validation_loss=np.full(fit.validation_loss.shape, np.inf))
    values = replace(fit, data=replace(fit.data, loss="mean_square"))
    for given, said in (
        ((3,), "result=3 is not allowed: it must be a Fit"),
        ((fit, "speed"), "quantity='speed'"),
        ((failed,), "no loss that is finite"),
        ((values, "accuracy"), "target values, which have a loss alone"),
    ):
        with pytest.raises(ValueError, match=said):
            P.plot_training(*given)
