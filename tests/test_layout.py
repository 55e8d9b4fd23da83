from mixlaw.layout import aligned


def test_the_first_column_stands_left_and_the_others_right() -> None:
    assert aligned([("domain", "loss"), ("web", "2.5"), ("a", "12.25")]).splitlines() == [
        "domain   loss",
        "web       2.5",
        "a       12.25",
    ]
