import json
import sys

import pytest
import torch

from benchmarks.sweep import between_products, worker
from benchmarks.sweep.job import Case, Job
from benchmarks.sweep.matrix_peak import shapes, sustained_rates
from benchmarks.sweep.processes import last_line, run_job
from benchmarks.sweep.scaling import linear_fit, prefix_once

CASE = Case(4, ((5, 9, 30, 77), (8, 7, 6, 5)), (17, 18), (0, 2), (12,), (12, 64), 0.0)


@pytest.mark.parametrize("engine", ["ripplestats", "batched_hooks"])
def test_a_process_measures_its_engine_on_every_case(engine, tiny_folder, tmp_path, monkeypatch):
    asked, answered = tmp_path / "job.json", tmp_path / "result.json"
    Job(engine, str(tiny_folder), "cpu", "float32", "10,50", (CASE, CASE), 2).write(asked)
    monkeypatch.setattr(sys, "argv", ["worker", str(asked), str(answered)])
    assert worker.main() == 0
    results = json.loads(answered.read_text(encoding="utf-8"))
    assert [case["context"] for case in results] == [4, 4]
    for case in results:
        assert case["seconds_per_prompt"] > 0
        assert "0:12" in case["outcomes"]
        # Of a process that did other things before, memory may well have fallen.
        assert case["peak_bytes_with_loading"] >= case["peak_bytes"] > case["beyond_weights_bytes"]
    if engine == "ripplestats":
        assert 0 <= results[0]["self_check"] < 1e-4
        assert results[0]["operations_counted"] > 0


def test_sweeps_between_products_are_held_against_the_better_peak_around_them(tiny_folder, tmp_path, monkeypatch):
    asked, answered = tmp_path / "job.json", tmp_path / "result.json"
    Job("", str(tiny_folder), "cpu", "float32", "10,50", (CASE,), repeats=2).write(asked)
    monkeypatch.setattr(sys, "argv", ["between_products", str(asked), str(answered)])
    peaks = iter([1e9, 3e9, 2e9])
    monkeypatch.setattr(between_products, "matrix_peak", lambda *_: next(peaks))
    kept_up = iter([[1e9, 2e9], [3e9, 1e9], [5e9, 3e9]])
    monkeypatch.setattr(between_products, "sustained_rates", lambda *_: next(kept_up))
    assert between_products.main() == 0
    found = json.loads(answered.read_text(encoding="utf-8"))
    assert found["peaks"] == [1e9, 3e9, 2e9]
    assert found["of_peak"]["shares"] == pytest.approx([rate / 3e9 for rate in found["operations_per_second"]])
    assert found["of_sustained"]["shares"] == pytest.approx([rate / 3e9 for rate in found["operations_per_second"]])
    assert 0 < found["of_peak"]["lowest_share"] <= found["of_peak"]["median_share"] <= found["of_peak"]["highest_share"]


def test_a_process_that_fails_is_reported_in_one_line(tmp_path):
    why = run_job(Job("note", str(tmp_path), "cpu", "float32", "10", (CASE,)), "benchmarks.sweep.not_there")
    assert why.endswith("No module named benchmarks.sweep.not_there")
    assert "\n" not in why


def test_the_last_line_that_says_something_is_the_reason():
    assert last_line("Traceback\n  file\nValueError: no\n\n") == "ValueError: no"
    assert last_line("") == ""


def test_a_cost_that_is_linear_in_prompts_is_found_so():
    fit = linear_fit([8, 16, 32], [5.0, 9.0, 17.0])
    assert fit["seconds_per_prompt"] == pytest.approx(0.5)
    assert fit["constant_seconds"] == pytest.approx(1.0)
    assert fit["unexplained_share"] == pytest.approx(0, abs=1e-12)
    assert fit["dearest_to_cheapest_prompt"] == pytest.approx((5 / 8) / (17 / 32))
    assert linear_fit([1, 2, 3], [1.0, 4.0, 9.0])["unexplained_share"] > 0.01


def test_the_prefix_is_paid_for_once_where_the_long_prompt_costs_a_short_one_and_a_plain_pass():
    assert prefix_once({"seconds_per_prompt": 1.0}, {"seconds_per_prompt": 2.6, "plain_forward_seconds": 1.0}) == 1.3


def test_a_graphics_card_gets_larger_products():
    assert max(n for n, _, _ in shapes(576, 1536, "cuda")) > max(n for n, _, _ in shapes(576, 1536, "cpu"))


def test_every_shape_has_a_rate_that_its_product_keeps_up():
    rates = sustained_rates("cpu", torch.float32, 16, 32, seconds=0.01)
    assert len(rates) == len(shapes(16, 32, "cpu")) and min(rates) > 0
