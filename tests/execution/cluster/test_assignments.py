"""Who gets which shard: in order, few at a time, failed ones elsewhere, hopeless ones set aside."""

from ripplestats.execution.cluster.assignments import AT_HAND, TRIES, Assignments
from ripplestats.execution.shards import Shard


def shards(n: int) -> list[Shard]:
    return [Shard(number, slice(8 * number, 8 * number + 8), f"{number:064x}") for number in range(n)]


def test_shards_go_out_in_order_and_a_worker_has_few_at_a_time() -> None:
    all_of_them = shards(6)
    assignments = Assignments.of(all_of_them)
    mine = [assignments.hand_out("a") for _ in range(AT_HAND + 1)]
    assert mine == [*all_of_them[:AT_HAND], None]
    assert assignments.hand_out("b") == all_of_them[AT_HAND]
    assignments.done("a", all_of_them[0])
    assert assignments.hand_out("a") == all_of_them[AT_HAND + 1]


def test_all_is_done_when_every_shard_is_done_or_set_aside() -> None:
    one, two = shards(2)
    assignments = Assignments.of([one, two])
    for _ in range(TRIES):
        assert assignments.hand_out("a") == one
        assert assignments.open
        assignments.failed("a", one, "no luck")
    assert [aside.why for aside in assignments.set_aside.values()] == ["no luck"]
    assert assignments.hand_out("a") == two
    assert assignments.open
    assignments.done("a", two)
    assert not assignments.open
    assert assignments.hand_out("a") is None


def test_a_failed_shard_goes_to_another_worker_if_there_is_one() -> None:
    one, two = shards(2)
    assignments = Assignments.of([one, two])
    assignments.hand_out("a")
    assert assignments.failed("a", one, "no luck") == 1
    assert assignments.hand_out("a", others=("a", "b")) == two
    assert assignments.hand_out("b", others=("a", "b")) == one
    # Where it has failed with everyone, anyone takes it.
    assert assignments.failed("b", one, "no luck") == 2
    assert assignments.hand_out("b", others=("a", "b")) == one


def test_a_worker_that_is_gone_leaves_its_shards_first_in_line_and_only_the_first_has_failed() -> None:
    one, two, three = shards(3)
    assignments = Assignments.of([one, two, three])
    assert [assignments.hand_out("a"), assignments.hand_out("a")] == [one, two]
    assert assignments.at("a") == one
    assignments.failed("a", one, "gone")
    assignments.take_back("a")
    assert assignments.at("a") is None
    assert [assignments.hand_out("b"), assignments.hand_out("b")] == [two, one]
    assert assignments.failed("b", one, "gone") == 2
    assert assignments.failed("b", two, "gone") == 1


def test_shards_too_far_ahead_are_not_handed_out() -> None:
    one, two = shards(2)
    assignments = Assignments.of([one, two])
    assert assignments.hand_out("a", before=1) == one
    assert assignments.hand_out("a", before=1) is None
    assert assignments.hand_out("a", before=2) == two
