"""Encoders against PyTorch's: skipped without it, unless EMOTION_REQUIRE_PARITY is set."""

import os

import pytest


def required(report):
    if report.skipped and os.environ.get("EMOTION_REQUIRE_PARITY"):
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return required((yield))
