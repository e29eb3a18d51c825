"""The filter bench in a real browser: what it says where its sliders leave nothing."""

from __future__ import annotations

import pytest
from widgets.examples import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_sliders_that_cross_keep_nothing_and_find_nothing(lab):
    """Where no shell is kept every score is 0, and the first of them, at 0°, was called the best."""
    lab.notebook("bench.ipynb", EXAMPLES["filter bench"].strip() + "\nwidget")
    assert "best at" in lab.words()
    for label, key in (("coarsest kept", "End"), ("finest kept", "Home")):
        lab.page.get_by_label(label, exact=True).press(key)
    assert "nothing is kept" in lab.words() and "best at" not in lab.words()
    assert lab.page.locator(".cryoedu-score").get_attribute("aria-label").startswith("no score")
