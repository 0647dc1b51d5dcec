from tests.chaos.table import HEAD, percentile, table


def test_an_attack_has_a_line_with_its_runs_recoveries_and_seeds() -> None:
    results = [
        {"attack": "b", "seed": 7, "recoveries": [], "problems": []},
        {"attack": "a", "seed": 1, "recoveries": [10.0, 30.0], "problems": []},
        {"attack": "a", "seed": 2, "recoveries": [20.0], "problems": ["a click is missing"]},
    ]
    assert table(results) == f"{HEAD}\n| a | 2 | 1 | 20 s | 29 s | 1, 2 |\n| b | 1 | 1 |  |  | 7 |"


def test_of_one_value_every_percentile_is_that_value() -> None:
    assert [percentile([3.0], share) for share in (50, 95)] == [3.0, 3.0]
