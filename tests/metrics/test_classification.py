"""Metrics: equal to scikit-learn's, with labels that come from the run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from emotion import metrics
from emotion.metrics.keras_uar import UnweightedAverageRecall

cases = st.integers(2, 8).flatmap(
    lambda c: st.lists(
        st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=60
    ).map(lambda pairs: (c, *np.array(pairs).T))
)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(cases)
def test_numbers_equal_scikit_learn(case):
    classes, true, predicted = case
    counts = metrics.confusion(true, predicted, classes)
    np.testing.assert_array_equal(
        counts, reference.confusion_matrix(true, predicted, labels=range(classes))
    )
    *by_class, _ = reference.precision_recall_fscore_support(
        true, predicted, labels=range(classes), zero_division=np.nan
    )
    for ours, theirs in zip((metrics.precisions, metrics.recalls, metrics.f1s), by_class):
        np.testing.assert_allclose(ours(counts), theirs, rtol=0, atol=1e-12)
    present = sorted(set(true))
    recall = reference.recall_score(
        true, predicted, labels=present, average="macro", zero_division=0
    )
    assert metrics.uar(counts) == pytest.approx(recall, abs=1e-12)
    accuracy = reference.accuracy_score(true, predicted)
    assert metrics.war(counts) == pytest.approx(accuracy, abs=1e-12)
    f1 = reference.f1_score(true, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(counts) == pytest.approx(f1, abs=1e-12)
    scores = np.random.default_rng(len(true)).random((len(true), classes))
    scores[range(len(true)), predicted] += 1
    assert metrics.top_k(true, scores, 1) == metrics.war(counts)
    for k in [k for k in metrics.TOPS[1:] if k < classes]:
        top = reference.top_k_accuracy_score(true, scores, k=k, labels=range(classes))
        assert metrics.top_k(true, scores, k) == pytest.approx(top, abs=1e-12)


def test_a_class_without_clips_has_no_recall_and_enters_no_mean():
    measured = metrics.summary([0, 0, 1], np.eye(3)[[0, 1, 1]], ("a", "b", "c"))
    assert measured["recall"] == {"a": 0.5, "b": 1.0, "c": None}
    assert measured["uar"] == 0.75


def test_top_k_counts_the_true_class_among_the_best():
    scores = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    assert [metrics.top_k([1, 0], scores, k) for k in (1, 2, 3)] == [0.0, 0.5, 1.0]


def test_summary_has_the_tops_that_there_are_classes_for():
    scores = np.eye(8)[[0, 1, 2, 3]] + np.linspace(0.5, 0, 8)  # the first classes come next
    measured = metrics.summary([0, 2, 4, 5], scores, tuple("abcdefgh"))
    tops = {k: measured[f"top_{k}"] for k in (1, 2, 3, 5)}
    assert tops == {1: 0.25, 2: 0.25, 3: 0.5, 5: 0.75} and measured["war"] == tops[1]
    few = metrics.summary([0, 1], np.eye(4)[[0, 1]], tuple("abcd"))
    assert "top_3" in few and "top_5" not in few


def test_keras_metric_equals_uar_over_batches():
    rng = np.random.default_rng(0)
    true, logits = rng.integers(0, 3, 50), rng.normal(size=(50, 4)).astype(np.float32)
    metric = UnweightedAverageRecall(4)
    for part in np.array_split(np.arange(50), 7):
        metric.update_state(np.eye(4)[true[part]], logits[part], sample_weight=np.ones(len(part)))
    counts = metrics.confusion(true, logits.argmax(axis=1), 4)
    assert float(metric.result()) == pytest.approx(metrics.uar(counts), abs=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0
