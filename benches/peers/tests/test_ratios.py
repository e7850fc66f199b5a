"""Figures from rounds that were made up, with numbers that can be divided in one's head."""

import unittest
from statistics import median

from ..ratios import Figure, Gain, Headline, Scaling, faster, figures, gains, headlines, scalings
from ..rounds import Measurement


def rounds(
    kind: str,
    engine: str,
    values: list[float],
    *,
    threads: int = 1,
    p99: list[float | None] | None = None,
    peak_fractions: list[float | None] | None = None,
) -> list[Measurement]:
    """An engine's measurements, a round a value; its precision is the last word of its name."""
    nothing: list[float | None] = [None] * len(values)
    each = zip(values, p99 or nothing, peak_fractions or nothing, strict=True)
    precision = engine.rsplit(" ", 1)[1]
    return [
        Measurement(number, kind, threads, engine, precision, value, late, fraction)
        for number, (value, late, fraction) in enumerate(each)
    ]


def by_engine(found: list[Figure]) -> dict[str, Figure]:
    return {figure.engine: figure for figure in found}


class Faster(unittest.TestCase):
    def test_latency_is_better_where_it_is_less_and_throughput_where_it_is_more(self) -> None:
        self.assertEqual(faster("short", 2.0, 5.0), 2.5)
        self.assertEqual(faster("long", 8.0, 4.0), 0.5)
        self.assertEqual(faster("mixed", 90.0, 60.0), 1.5)


class Figures(unittest.TestCase):
    def test_a_ratio_is_taken_in_each_round_before_its_median(self) -> None:
        # The machine is half as fast in the middle. Ratios are 3, 1.5, 2; that of the medians would be 3.
        ours, rival = [1.0, 4.0, 2.0], [3.0, 6.0, 4.0]
        self.assertEqual(median(rival) / median(ours), 2.0)
        ours[2], rival[2] = 1.0, 2.0
        self.assertEqual(median(rival) / median(ours), 3.0)
        found = by_engine(figures(rounds("short", "minilm f32", ours) + rounds("short", "rival f32", rival)))
        self.assertEqual(found["rival f32"].value, 3.0)
        self.assertEqual(found["rival f32"].minilm_ratio, 2.0)

    def test_throughput_is_divided_the_other_way_round(self) -> None:
        data = rounds("mixed", "minilm f32", [90.0]) + rounds("mixed", "rival f32", [60.0])
        self.assertEqual(by_engine(figures(data))["rival f32"].minilm_ratio, 1.5)

    def test_only_minilm_of_the_same_kind_threads_and_precision_is_compared(self) -> None:
        data = (
            rounds("short", "minilm f32", [1.0])
            + rounds("short", "rival f32", [2.0])
            + rounds("short", "rival int8", [4.0])
            + rounds("short", "rival f32", [3.0], threads=2)
            + rounds("long", "rival f32", [5.0])
        )
        ratios = {(f.kind, f.threads, f.engine): f.minilm_ratio for f in figures(data)}
        expected = {
            ("short", 1, "minilm f32"): None,
            ("short", 1, "rival f32"): 2.0,
            ("short", 1, "rival int8"): None,
            ("short", 2, "rival f32"): None,
            ("long", 1, "rival f32"): None,
        }
        self.assertEqual(ratios, expected)

    def test_medians_leave_out_what_was_not_measured(self) -> None:
        data = rounds(
            "short", "minilm f32", [3.0, 1.0, 2.0], p99=[9.0, None, 5.0], peak_fractions=[None, 0.5, None]
        )
        [figure] = figures(data)
        self.assertEqual((figure.value, figure.p99, figure.peak_fraction), (2.0, 7.0, 0.5))
        [figure] = figures(rounds("short", "rival f32", [3.0]))
        self.assertEqual((figure.p99, figure.peak_fraction), (None, None))

    def test_a_round_that_one_of_the_two_lacks_is_an_error(self) -> None:
        data = rounds("short", "minilm f32", [1.0, 1.0]) + rounds("short", "rival f32", [2.0])
        with self.assertRaises(ValueError):
            figures(data)


class Headlines(unittest.TestCase):
    def test_the_best_rival_is_whichever_was_fastest_in_the_round(self) -> None:
        data = (
            rounds("short", "minilm f32", [1.0, 1.0, 1.0])
            + rounds("short", "steady f32", [4.0, 4.0, 4.0])
            + rounds("short", "moody f32", [2.0, 9.0, 3.0])
        )
        # 2, 4 and 3 times; against either of them alone it would be 4 or 3.
        self.assertEqual(headlines(data), [Headline("short", 1, "f32", 3.0, "moody f32")])

    def test_the_best_rival_in_bulk_has_the_most_texts_a_second(self) -> None:
        data = (
            rounds("mixed", "minilm f32", [100.0])
            + rounds("mixed", "slow f32", [20.0])
            + rounds("mixed", "fast f32", [80.0])
        )
        self.assertEqual(headlines(data), [Headline("mixed", 1, "f32", 1.25, "fast f32")])

    def test_precisions_numbers_of_threads_and_kinds_do_not_mix(self) -> None:
        data = (
            rounds("short", "minilm f32", [2.0])
            + rounds("short", "minilm int8", [1.0])
            + rounds("short", "rival f32", [6.0])
            + rounds("short", "rival int8", [4.0])
            + rounds("short", "minilm f32", [1.0], threads=2)
            + rounds("short", "rival f32", [5.0], threads=2)
            + rounds("long", "minilm f32", [7.0])
            # Nobody else has it: there is no best one.
            + rounds("short", "minilm bf16", [1.5])
            + rounds("short", "rival bf16", [9.0], threads=2)
        )
        expected = [
            Headline("short", 1, "f32", 3.0, "rival f32"),
            Headline("short", 1, "int8", 4.0, "rival int8"),
            Headline("short", 2, "f32", 5.0, "rival f32"),
        ]
        self.assertEqual(headlines(data), expected)


class Scalings(unittest.TestCase):
    def test_the_most_threads_are_compared_with_the_fewest(self) -> None:
        data = (
            rounds("mixed", "minilm f32", [350.0, 300.0, 380.0], threads=4)
            + rounds("mixed", "minilm f32", [190.0, 190.0, 190.0], threads=2)
            + rounds("mixed", "minilm f32", [100.0, 75.0, 100.0], threads=1)
            + rounds("mixed", "rival f32", [100.0, 100.0, 100.0], threads=4)
        )
        # 3.5, 4 and 3.8 times.
        self.assertEqual(scalings(data), [Scaling("mixed", "f32", 1, 4, 3.8)])

    def test_one_number_of_threads_scales_nothing(self) -> None:
        self.assertEqual(scalings(rounds("mixed", "minilm f32", [100.0], threads=2)), [])


class Gains(unittest.TestCase):
    def test_each_narrower_precision_is_compared_with_f32_round_by_round(self) -> None:
        data = (
            rounds("short", "minilm f32", [2.0, 4.0, 3.0])
            + rounds("short", "minilm bf16", [1.0, 4.0, 2.0])
            + rounds("short", "minilm int8", [0.5, 0.5, 0.5])
            + rounds("short", "rival int8", [0.1, 0.1, 0.1])
            + rounds("mixed", "minilm f32", [100.0], threads=2)
            + rounds("mixed", "minilm int8", [350.0], threads=2)
        )
        expected = [
            Gain("short", 1, "bf16", 1.5),
            Gain("short", 1, "int8", 6.0),
            Gain("mixed", 2, "int8", 3.5),
        ]
        self.assertEqual(gains(data), expected)

    def test_without_f32_there_is_nothing_to_gain_over(self) -> None:
        data = rounds("long", "minilm int8", [1.0]) + rounds("long", "minilm f32", [1.0], threads=2)
        self.assertEqual(gains(data), [])
