"""Logistic regression against a published fit, and where it has none."""

import math

import numpy as np
import pytest

from app.stats.estimate import StatsError, Undetermined
from app.stats.logistic import coefficients


def test_the_shuttles_o_rings_have_the_published_coefficients():
    # Dalal, Fowlkes and Hoadley (1989), JASA 84, 945-957, table 1: temperature at launch (F) of 23 flights and whether an
    # O-ring showed thermal distress; its binary fit, 15.043 - 0.2322 t, as printed there and by R's glm with standard
    # errors 7.3786 and 0.1082.
    temperature = [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58]
    distress = [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    design = np.column_stack((np.ones(23), temperature))
    intercept, slope = coefficients(design, np.zeros(23), np.array(distress, float))
    z = 1.959963984540054
    assert (round(intercept.value, 3), round(slope.value, 4)) == (15.043, -0.2322)
    assert round((intercept.high - intercept.value) / z, 3) == 7.379
    assert round((slope.high - slope.value) / z, 4) == 0.1082


def test_what_is_held_is_taken_off_the_rest():
    happened = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    (shift,) = coefficients(np.ones((5, 1)), np.full(5, 0.7), happened)
    assert shift.value == pytest.approx(math.log(2 / 3) - 0.7, rel=1e-9)


def test_classes_that_a_line_parts_and_columns_that_say_the_same_have_no_fit():
    line = np.column_stack((np.ones(4), np.arange(4.0)))
    parted = np.array([0.0, 0.0, 1.0, 1.0])
    assert coefficients(line, np.zeros(4), parted) == [Undetermined("not_converged", 4)] * 2
    assert coefficients(np.ones((4, 2)), np.zeros(4), parted) == [Undetermined("not_converged", 4)] * 2


def test_arrays_of_other_customers_are_refused():
    with pytest.raises(StatsError):
        coefficients(np.ones((3, 1)), np.zeros(2), np.ones(3))
