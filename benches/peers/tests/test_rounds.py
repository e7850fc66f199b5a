"""Who is measured when, and on which texts."""

import unittest

from ..rounds import Plan, in_turn


class Order(unittest.TestCase):
    def test_who_begins_changes_from_round_to_round(self) -> None:
        order = ["".join(in_turn(list("abc"), number)) for number in range(4)]
        self.assertEqual(order, ["abc", "bca", "cab", "abc"])

    def test_one_alone_is_always_the_first(self) -> None:
        self.assertEqual(in_turn(["a"], 5), ["a"])


class Sample(unittest.TestCase):
    plan = Plan(rounds=3, short=4, long=2)

    def sample(self, kind: str, texts: str, number: int) -> str:
        return "".join(self.plan.sample(kind, list(texts), number))

    def test_texts_are_at_equal_distances_and_others_in_every_round(self) -> None:
        found = [self.sample("short", "abcdefghijkl", number) for number in range(4)]
        self.assertEqual(found, ["adgj", "behk", "cfil", "adgj"])
        self.assertEqual(self.sample("long", "abcdef", 1), "be")

    def test_what_is_left_over_is_not_used(self) -> None:
        self.assertEqual(self.sample("short", "abcdefghij", 1), "bdfh")

    def test_fewer_texts_than_planned_are_all_used(self) -> None:
        self.assertEqual(self.sample("short", "abc", 2), "abc")

    def test_bulk_is_always_all_of_them(self) -> None:
        for number in range(3):
            self.assertEqual(self.sample("mixed", "abcdefghijkl", number), "abcdefghijkl")
