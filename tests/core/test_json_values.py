"""JSON, never pickle: what may be handed in, and what becomes of results that are not."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.core.json_values import RESULT_LIMIT, from_text, result_text, to_text

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Colour(enum.IntEnum):
    RED = 1


def contains_itself():
    value = []
    value.append(value)
    return value


@given(JSON_VALUES)
def test_what_goes_in_comes_back_equal_and_of_the_same_type(value):
    back = from_text(to_text(value, "args"))
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ((1, 2), "args"),
        ({1, 2}, "args"),
        (b"x", "args"),
        ([{"a": object()}], r"args\[0\]\['a'\]"),
        ({1: 2}, "key 1 is int"),
        ({None: 2}, "key None is NoneType"),
        (math.nan, "nan"),
        ([math.inf], r"args\[0\]"),
        (datetime(2026, 1, 1), "datetime"),  # noqa: DTZ001  # any will do
        (Colour.RED, "Colour"),
        (OrderedDict(a=1), "OrderedDict"),
        pytest.param(10**5000, "args", id="an int of 5000 digits"),
        (contains_itself(), "contains itself"),
    ],
)
def test_what_is_not_json_is_a_type_error_that_says_where(value, place):
    with pytest.raises(TypeError, match=place):
        to_text(value, "args")


def test_a_result_of_none_keeps_nothing_and_gives_no_reason():
    assert result_text(None) == (None, "")


@pytest.mark.parametrize(
    "value", [object, {1: 2}, math.nan, pytest.param(10**5000, id="huge int"), contains_itself(), "x" * 64_001]
)
def test_a_result_that_cannot_be_kept_gives_the_reason_instead(value):
    text, reason = result_text(value)
    assert text is None
    assert reason.startswith("result")


def test_a_result_up_to_the_limit_is_kept():
    assert result_text("x" * (RESULT_LIMIT - 2)) == (f'"{"x" * (RESULT_LIMIT - 2)}"', "")
